//! Files of a directory that change while they are sent by TFTP: a client gets one version of a
//! file, or an error.

mod network;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pxe_server::{Config, Protocol, Running};
use tempfile::TempDir;

use network::{TftpError, TftpTransfer};

/// Several times what the server reads ahead.
const LEN: usize = 400_000;

fn content(version: u8) -> Vec<u8> {
    (0..LEN)
        .map(|place| (place / 512) as u8 ^ version)
        .collect()
}

struct Site {
    directory: TempDir,
    running: Running,
}

impl Site {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).expect("writable");
        fs::write(tree.join("linux"), content(1)).expect("writable");
        // Times of files are coarse: one that is changed right after it was made could look the same.
        let file = File::open(tree.join("linux")).expect("there");
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(hour_ago).expect("ours");
        let text = "[server]\ncontrol = \"control.sock\"\n[tree]\nroot = \"tree\"\n[tftp]\nlisten = \"127.0.0.1:0\"\n";
        let config = Config::parse(text, &directory.path().join("pxe.toml")).expect("valid");
        let running = Running::start(config).await.expect("starts");
        Self { directory, running }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("tree").join(name)
    }

    /// Fetches the file; after its tenth block, this is done to it.
    fn fetch(&self, change: impl FnOnce()) -> Result<Vec<u8>, TftpError> {
        let server = self.running.addresses(Protocol::Tftp)[0];
        let mut transfer = TftpTransfer::begin(server, Ipv4Addr::LOCALHOST.into(), "linux")?;
        for _ in 1..10 {
            transfer.step()?;
        }
        change();
        while !transfer.is_complete {
            transfer.step()?;
        }
        transfer.step()?;
        Ok(transfer.content)
    }

    async fn stop(self) {
        self.running.stop().await.expect("stops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_off_ends_with_an_error() {
    let site = Site::start().await;
    let path = site.path("linux");
    let cut = || {
        let file = OpenOptions::new().write(true).open(&path).expect("ours");
        file.set_len(200_000).expect("ours");
    };
    let error = site.fetch(cut).expect_err("no whole file");
    assert_eq!(error.code, 0, "{error:?}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_edited_in_place_ends_with_an_error() {
    let site = Site::start().await;
    let path = site.path("linux");
    let edit = || {
        let mut file = OpenOptions::new().write(true).open(&path).expect("ours");
        file.write_all(&content(2)).expect("ours");
    };
    let error = site.fetch(edit).expect_err("no mixture");
    assert_eq!(error.code, 0, "{error:?}");
    // Who asks now gets the new one.
    assert!(site.fetch(|| {}).expect("whole") == content(2));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_goes_on_with_the_old_content() {
    let site = Site::start().await;
    let (path, new) = (site.path("linux"), site.path("linux.new"));
    fs::write(&new, content(3)).expect("writable");
    let replace = || fs::rename(&new, &path).expect("ours");
    assert!(site.fetch(replace).expect("whole") == content(1));
    assert!(site.fetch(|| {}).expect("whole") == content(3));
    let remove = || fs::remove_file(&path).expect("ours");
    assert!(site.fetch(remove).expect("whole") == content(3));
    assert_eq!(site.fetch(|| {}).expect_err("gone").code, 1);
    site.stop().await;
}
