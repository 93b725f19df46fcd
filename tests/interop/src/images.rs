//! Images that come into the folder of a running server, change and go, as clients see them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pxe_test_lab::POLL_INTERVAL;

use crate::Test;
use crate::client::{client, ensure, same};
use crate::site::{SERVER, Setup, Site};

/// A server with a folder of images.
pub(crate) const SETUP: Setup = Setup {
    configuration: include_str!("../images.toml"),
    ports: &[69, 80, 111, 2049],
};

pub(crate) const TESTS: &[Test] = &[
    ("an_image_is_offered_once_its_copy_is_whole", copied),
    ("a_replaced_image_is_read_to_its_end", replaced),
    (
        "an_image_in_the_folder_is_as_the_files_it_was_made_of",
        inside,
    ),
];

/// In how many pieces an image is copied.
const PIECES: usize = 8;
/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// An image of the files that the tree has in `os`, with this volume identifier.
fn image(site: &Site, volume: &str) -> Result<PathBuf, String> {
    let made = site.scratch(&format!("{volume}.iso"));
    let mut genisoimage = Command::new("genisoimage");
    genisoimage.args(["-quiet", "-R", "-J", "-V", volume, "-o"]);
    genisoimage.arg(&made).arg(site.served("os"));
    let output = genisoimage.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure(output.status.success(), || format!("genisoimage: {said}"))?;
    Ok(made)
}

fn in_folder(site: &Site, name: &str) -> PathBuf {
    site.beside_tree("images").join(name)
}

/// The status of a path by HTTP.
fn status(site: &Site, path: &str) -> Result<String, String> {
    let url = format!("http://{SERVER}{path}");
    let told = ["-s", "-o", "/dev/null", "-w", "%{http_code}", &url];
    Ok(client(&site.client, "curl", &told)?.succeeds()?.text)
}

fn await_status(site: &Site, path: &str, wanted: &str) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if status(site, path)? == wanted {
            return Ok(());
        }
        thread::sleep(POLL_INTERVAL);
    }
    Err(format!("{path} does not become {wanted}"))
}

fn fetch_all(site: &Site, name: &str, like: &str) -> Result<(), String> {
    let path = format!("/images/{name}/{like}");
    let original = site.served(&format!("os/{like}"));
    let to = site.scratch(&format!("{name}-{like}-http"));
    let url = format!("http://{SERVER}{path}");
    client(
        &site.client,
        "curl",
        &["-sfo", &to.display().to_string(), &url],
    )?
    .succeeds()?;
    same(&to, &original)?;
    let to = site.scratch(&format!("{name}-{like}-tftp"));
    let get = [
        "-m",
        "binary",
        SERVER,
        "-c",
        "get",
        &path,
        &to.display().to_string(),
    ];
    client(&site.client, "tftp", &get)?.succeeds()?;
    same(&to, &original)?;
    let to = site.scratch(&format!("{name}-{like}-nfs"));
    let url = format!("nfs://{SERVER}{path}");
    client(&site.client, "nfs-cp", &[&url, &to.display().to_string()])?.succeeds()?;
    same(&to, &original)
}

fn copied(site: &Site) -> Result<(), String> {
    let whole = fs::read(image(site, "COPIED")?).map_err(|error| error.to_string())?;
    let path = in_folder(site, "copied.iso");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = File::create(&path).map_err(failed)?;
    for piece in whole.chunks(whole.len().div_ceil(PIECES)) {
        // By every protocol, before each piece: also of what its directory says already.
        for asked in [
            "/images/copied/small.bin",
            "/images/copied.iso",
            "/images/copied/",
        ] {
            let told = status(site, asked)?;
            ensure(told == "404", || format!("{asked} is offered: {told}"))?;
        }
        let url = format!("nfs://{SERVER}/images/copied");
        client(&site.client, "nfs-ls", &[&url])?.says("MNT3ERR_NOENT")?;
        let to = site.scratch("half").display().to_string();
        let get = [SERVER, "-c", "get", "/images/copied/small.bin", &to];
        client(&site.client, "tftp", &get)?.says("Error code 1")?;
        file.write_all(piece).map_err(failed)?;
    }
    drop(file);
    await_status(site, "/images/copied/small.bin", "200")?;
    site.await_log(&["\"event\":\"image_offered\"", "copied"])?;
    fetch_all(site, "copied", "big.bin")?;
    // Half of it once more, under another name: left alone, and short.
    fs::write(in_folder(site, "half.iso"), &whole[..whole.len() / 2]).map_err(failed)?;
    site.await_log(&["\"event\":\"image_withheld\"", "incomplete", "half"])?;
    let told = status(site, "/images/half/")?;
    ensure(told == "404", || {
        format!("half an image is offered: {told}")
    })?;
    // What is written over in place is not offered until it is whole again.
    let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
    file.set_len(whole.len() as u64 / 2).map_err(failed)?;
    await_status(site, "/images/copied/small.bin", "404")
}

fn replaced(site: &Site) -> Result<(), String> {
    let (old, new) = (image(site, "OLD")?, image(site, "NEWER")?);
    let path = in_folder(site, "a.iso");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let put = |from: &PathBuf| {
        let by = in_folder(site, "a.iso.part");
        fs::copy(from, &by)?;
        fs::rename(by, &path)
    };
    put(&old).map_err(failed)?;
    await_status(site, "/images/a/big.bin", "200")?;
    let (by_http, by_nfs) = (site.scratch("slow-http"), site.scratch("slow-nfs"));
    let url = format!("http://{SERVER}/images/a.iso");
    let slowly = [
        "-sfo",
        &by_http.display().to_string(),
        "--limit-rate",
        "4M",
        &url,
    ];
    // The pipe is full until the image is replaced: a machine that has it mounted reads on.
    let go = site.scratch("go").display().to_string();
    let nfs = format!(
        "nfs-cat nfs://{SERVER}/images/a/big.bin | \
         (while [ ! -e {go} ]; do sleep 0.1; done; cat > {})",
        by_nfs.display()
    );
    thread::scope(|scope| {
        let http = scope.spawn(|| client(&site.client, "curl", &slowly));
        let nfs = scope.spawn(|| client(&site.client, "sh", &["-c", &nfs]));
        site.await_log(&["\"event\":\"mounted\"", "/images/a"])?;
        put(&new).map_err(failed)?;
        site.await_log(&["\"event\":\"image_replaced\"", "\"image\":\"a\""])?;
        fs::remove_file(&path).map_err(failed)?;
        await_status(site, "/images/a/big.bin", "404")?;
        fs::write(&go, "").map_err(failed)?;
        let ended = |thread: thread::ScopedJoinHandle<'_, Result<_, String>>| {
            thread
                .join()
                .map_err(|_| "a client's thread failed".to_owned())?
        };
        ended(http)?.succeeds()?;
        ended(nfs)?.succeeds()
    })?;
    same(&by_http, &old)?;
    same(&by_nfs, &site.served("os/big.bin"))
}

fn inside(site: &Site) -> Result<(), String> {
    let made = image(site, "INSIDE")?;
    let name = in_folder(site, "In Side (1).ISO");
    fs::copy(&made, name).map_err(|error| error.to_string())?;
    await_status(site, "/images/In_Side__1_/big.bin", "200")?;
    for like in ["big.bin", "small.bin", "empty.bin", "block.bin"] {
        fetch_all(site, "In_Side__1_", like)?;
    }
    let to = site.scratch("whole.iso");
    let url = format!("http://{SERVER}/images/In_Side__1_.iso");
    client(
        &site.client,
        "curl",
        &["-sfo", &to.display().to_string(), &url],
    )?
    .succeeds()?;
    same(&to, &made)?;
    client(&site.client, "showmount", &["-e", SERVER])?
        .succeeds()?
        .says("/images ")
        .map(drop)
}
