//! Directories of which images are made.

use std::fs::{self, File, FileTimes};
use std::io::Result;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::tools::{program, run};

/// When the files were changed, unless a test is about that.
const MODIFIED: u64 = 1_700_000_000;

/// Bytes of the large file: 4.1 GiB, two extents of ISO 9660, five of UDF.
pub(super) const LARGE_LEN: u64 = 4_402_341_479;

/// Where extents of the large file end: in images of xorriso after 4 GiB less a block, in UDF of
/// genisoimage each has a block of 2048 bytes less than 1 GiB.
pub(super) const MARKS: [u64; 5] = [
    0x3fff_f800,
    2 * 0x3fff_f800,
    3 * 0x3fff_f800,
    4 * 0x3fff_f800,
    0xffff_f800,
];

fn file(path: &Path, content: &[u8], mode: u32, modified: u64) -> Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    fs::write(path, content)?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(modified);
    let times = FileTimes::new().set_modified(time).set_accessed(time);
    File::options().write(true).open(path)?.set_times(times)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Names, sizes, modes and times of files that every format can hold.
pub(super) fn files(source: &Path) -> Result<()> {
    let plain = |name: &str, content: &[u8]| file(&source.join(name), content, 0o644, MODIFIED);
    plain("README.TXT", b"hello\n")?;
    plain("empty", b"")?;
    plain("name with spaces", b"a")?;
    plain("Ünïcödé", b"b")?;
    plain("漢字 and more.txt", b"c")?;
    plain("UPPER.lower.Mixed.tar.gz", b"d")?;
    plain(".hidden", b"e")?;
    plain("...dots", b"f")?;
    plain("a block", &[b'g'; 2048])?;
    plain("a block and a byte", &[b'h'; 2049])?;
    plain(".disk/info", b"Debian")?;
    plain("a directory/with/file", b"i")?;
    let content: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    plain("large enough", &content)?;
    for (name, mode) in [
        ("0755", 0o755),
        ("0600", 0o600),
        ("0000", 0),
        ("0444", 0o444),
    ] {
        file(&source.join("modes").join(name), b"mode", mode, MODIFIED)?;
    }
    for (name, modified) in [("1970", 1), ("2000", 951_868_799), ("2038", (1 << 31) + 5)] {
        file(&source.join("times").join(name), b"time", 0o644, modified)?;
    }
    fs::create_dir(source.join("empty directory"))
}

/// What only Rock Ridge has: the rest of the modes, links, a pipe, a moved directory.
pub(super) fn unix(source: &Path) -> std::result::Result<(), String> {
    nodes(source).map_err(|error| format!("filling: {error}"))?;
    make_node(&source.join("fifo"), "p", &[])
}

/// Devices with small and with large numbers.
pub(super) fn devices(source: &Path) -> std::result::Result<(), String> {
    let place = source.join("devices");
    fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    make_node(&place.join("null"), "c", &["1", "3"])?;
    make_node(&place.join("without a major number"), "c", &["0", "7"])?;
    make_node(&place.join("disk"), "b", &["8", "17"])?;
    make_node(&place.join("large numbers"), "c", &["300", "70000"])
}

fn make_node(place: &Path, kind: &str, numbers: &[&str]) -> std::result::Result<(), String> {
    let mut command = program("mknod");
    run(command
        .args(["-m", "0640"])
        .arg(place)
        .arg(kind)
        .args(numbers))
    .map(drop)
}

fn nodes(source: &Path) -> Result<()> {
    for (name, mode) in [("4755", 0o4755), ("2711", 0o2711), ("1777", 0o1777)] {
        file(&source.join("modes").join(name), b"mode", mode, MODIFIED)?;
    }
    fs::create_dir(source.join("shared"))?;
    fs::set_permissions(source.join("shared"), fs::Permissions::from_mode(0o1777))?;
    file(&source.join("owned"), b"owner", 0o640, MODIFIED)?;
    chown(source.join("owned"), Some(1234), Some(70_000))?;
    file(
        &source.join("hard"),
        b"one file, three names",
        0o644,
        MODIFIED,
    )?;
    fs::hard_link(source.join("hard"), source.join("harder"))?;
    fs::hard_link(source.join("hard"), source.join("modes/hardest"))?;
    let links = source.join("links");
    fs::create_dir(&links)?;
    for (name, target) in [
        ("relative", "../README.TXT"),
        ("absolute", "/etc/passwd"),
        ("root", "/"),
        ("up", ".."),
        ("here", "."),
        ("mixed", "./../links/./../README.TXT"),
        (
            "up twenty",
            "../../../../../../../../../../../../../../../../../../../../x",
        ),
        ("UTF-8", "../漢字 and more.txt"),
        ("dangling", "nowhere"),
        ("to itself", "to itself"),
    ] {
        symlink(target, links.join(name))?;
    }
    symlink("c".repeat(250), links.join("250"))?;
    deep(source)
}

/// A directory so deep that it is moved: below eight levels (ECMA-119 section 6.8.2.1).
fn deep(source: &Path) -> Result<()> {
    let ninth = source.join("deep/2/3/4/5/6/7/8/9");
    file(
        &ninth.join("10/11/12/13/14/15/16/17/file"),
        b"deep",
        0o644,
        MODIFIED,
    )?;
    file(&ninth.join("beside"), b"less deep", 0o644, MODIFIED)
}

/// What genisoimage cannot take: it knows no characters beyond the first 65,536, and targets of
/// about 1,000 bytes keep it busy for ever.
pub(super) fn beyond_genisoimage(source: &Path) -> Result<()> {
    let plain = |name: &str| file(&source.join(name), name.as_bytes(), 0o644, MODIFIED);
    plain("💿")?;
    plain("trailing.")?;
    plain("semicolon;1")?;
    plain(&"n".repeat(255))?;
    plain(&"漢".repeat(85))?;
    let links = source.join("links");
    symlink("e".repeat(255) + "/f", links.join("a component of 255"))?;
    symlink(["d"; 500].join("/"), links.join("999 in many"))?;
    symlink(
        ["g".repeat(99).as_str(); 10].join("/"),
        links.join("999 in few"),
    )?;
    symlink("../".repeat(330), links.join("990 up"))?;
    file(&source.join("times/2106"), b"time", 0o644, (1 << 32) + 5)
}

/// 4.1 GiB of which nearly nothing takes room on disk; what lies at the end of each extent is
/// told from all else.
pub(super) fn large(source: &Path) -> Result<()> {
    fs::create_dir_all(source)?;
    let large = File::create(source.join("large"))?;
    large.set_len(LARGE_LEN)?;
    for mark in MARKS {
        large.write_all_at(&mark.to_be_bytes(), mark - 4)?;
    }
    large.write_all_at(b"end", LARGE_LEN - 3)?;
    // An extent of its own behind it.
    fs::write(source.join("later"), "later")
}

/// So many files in one directory. No name is cut off in the primary hierarchy: xorriso takes
/// minutes to tell 50,000 of such apart.
pub(super) fn many(directory: &Path, count: u32) -> Result<()> {
    fs::create_dir_all(directory)?;
    for number in 0..count {
        let name = format!("{number:05} with a longer name");
        fs::write(directory.join(name), number.to_string())?;
    }
    Ok(())
}
