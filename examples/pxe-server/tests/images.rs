//! A folder of images, served by a server in this process over loopback.

mod network;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pxe_iso::fuzzing::image_of;
use pxe_server::{Config, Protocol, Running};
use pxe_tree::conformance::Fixture;
use tempfile::TempDir;

use network::nfs::NfsClient;
use network::{http_get, tftp_get};

struct Site {
    directory: TempDir,
    config: String,
}

impl Site {
    /// A folder of images with this one, and more keys of `[images]` and other tables.
    fn new(more: &str) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        for name in ["tree", "images"] {
            std::fs::create_dir(directory.path().join(name)).expect("writable");
        }
        let config = format!(
            "[server]\ncontrol = \"control.sock\"\n[tree]\nroot = \"tree\"\n\
             [tftp]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [nfs]\nlisten = \"127.0.0.1:0\"\nportmap = \"off\"\nhandle_key = \"nfs.key\"\n\
             [images]\ndir = \"images\"\nsettle_seconds = 0\n{more}"
        );
        Self { directory, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts an image of one file into the folder, all of it at once.
    fn put(&self, name: &str, content: &str) {
        let fixture = Fixture::new().file("live/file", content.to_owned());
        let new = self.path("new");
        std::fs::write(&new, image_of(&fixture, content)).expect("writable");
        std::fs::rename(new, self.path("images").join(name)).expect("writable");
    }

    fn config(&self) -> Config {
        Config::parse(&self.config, &self.path("server.toml")).expect("valid")
    }

    async fn start(&self) -> Running {
        Running::start(self.config()).await.expect("started")
    }
}

fn address(running: &Running, protocol: Protocol) -> SocketAddr {
    running.addresses(protocol)[0]
}

/// Waits until HTTP gives this.
async fn until_http(running: &Running, path: &str, status: u16, content: &str) {
    let http = address(running, Protocol::Http);
    let wait = async {
        loop {
            let (found, bytes) = http_get(http, path);
            if found == status && (status != 200 || bytes == content.as_bytes()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
    waited.unwrap_or_else(|_| panic!("{path} does not become {status} {content}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inside_of_an_image_by_three_protocols() {
    let site = Site::new("");
    site.put("debian live.iso", "content");
    std::fs::create_dir_all(site.path("images/debian live/netboot")).expect("writable");
    std::fs::write(site.path("images/debian live/netboot/linux"), "beside").expect("writable");
    let running = site.start().await;
    let http = address(&running, Protocol::Http);
    let file = "/images/debian_live/live/file";
    assert_eq!(http_get(http, file), (200, b"content".to_vec()));
    let tftp = address(&running, Protocol::Tftp);
    assert_eq!(tftp_get(tftp, file).expect("found"), b"content");
    let beside = "/images/debian_live.beside/netboot/linux";
    assert_eq!(http_get(http, beside), (200, b"beside".to_vec()));
    let (status, listing) = http_get(http, "/images/");
    let listing = String::from_utf8_lossy(&listing).into_owned();
    assert_eq!(status, 200);
    for name in ["debian_live/", "debian_live.iso", "debian_live.beside/"] {
        assert!(listing.contains(&format!("\"{name}\"")), "{listing}");
    }
    let whole = std::fs::read(site.path("images/debian live.iso")).expect("there");
    assert_eq!(
        http_get(http, "/images/debian_live.iso"),
        (200, whole.clone())
    );

    let mut client = NfsClient::connect(address(&running, Protocol::Nfs));
    assert_eq!(client.exports(), ["/images"]);
    let live = client.mount("/images/debian_live/live").expect("mounted");
    let found = client.look_up(&live, "file").expect("found");
    assert_eq!(client.read(&found, 100).expect("readable"), b"content");
    let images = client.mount("/images").expect("mounted");
    let found = client.look_up(&images, "debian_live.iso").expect("found");
    assert_eq!(client.read(&found, 2048).expect("readable"), whole[..2048]);
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_come_change_and_go_while_the_server_runs() {
    let site = Site::new("");
    let running = site.start().await;
    let file = "/images/a/live/file";
    assert_eq!(http_get(address(&running, Protocol::Http), file).0, 404);
    site.put("a.iso", "one");
    until_http(&running, file, 200, "one").await;
    let mut client = NfsClient::connect(address(&running, Protocol::Nfs));
    let live = client.mount("/images/a/live").expect("mounted");
    site.put("a.iso", "two");
    until_http(&running, file, 200, "two").await;
    // Who has the old one mounted looks up and reads in it.
    let found = client.look_up(&live, "file").expect("found");
    assert_eq!(client.read(&found, 100).expect("readable"), b"one");
    std::fs::remove_file(site.path("images/a.iso")).expect("there");
    until_http(&running, file, 404, "").await;
    assert_eq!(client.read(&found, 100).expect("readable"), b"one");
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_image_outlives_a_restart() {
    let site = Site::new("");
    site.put("a.iso", "content");
    let running = site.start().await;
    let mut client = NfsClient::connect(address(&running, Protocol::Nfs));
    let live = client.mount("/images/a/live").expect("mounted");
    let images = client.mount("/images").expect("mounted");
    running.stop().await.expect("no failure");
    let running = site.start().await;
    let mut client = NfsClient::connect(address(&running, Protocol::Nfs));
    let found = client.look_up(&live, "file").expect("found");
    assert_eq!(client.read(&found, 100).expect("readable"), b"content");
    client.look_up(&images, "a").expect("found");
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_begins_moves_and_ends_images() {
    let mut site = Site::new("");
    site.put("a.iso", "content");
    let with = site.config.clone();
    let (without, _) = with.split_once("[images]").expect("there");
    let export = "[[nfs.export]]\npath = \"/srv/tftp\"\nclients = \"127.0.0.0/8(ro,insecure)\"\n";
    let running = {
        site.config = format!("{without}{export}");
        site.start().await
    };
    let http = address(&running, Protocol::Http);
    assert_eq!(http_get(http, "/images/a/live/file").0, 404);
    let reload = async |config: String| {
        let config = Config::parse(&config, &site.path("server.toml")).expect("valid");
        running
            .handle()
            .reload_with(config)
            .await
            .expect("reloaded");
    };
    reload(format!("{with}{export}")).await;
    until_http(&running, "/images/a/live/file", 200, "content").await;
    reload(format!("{with}path = \"/os/live\"\n{export}")).await;
    until_http(&running, "/os/live/a/live/file", 200, "content").await;
    assert_eq!(http_get(http, "/images/a/live/file").0, 404);
    let mut client = NfsClient::connect(address(&running, Protocol::Nfs));
    assert_eq!(client.exports(), ["/os/live", "/srv/tftp"]);
    reload(format!("{without}{export}")).await;
    assert_eq!(http_get(http, "/os/live/a/live/file").0, 404);
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_the_same_path_says_who_may_mount_images() {
    const MNT3ERR_ACCES: u32 = 13;
    let site = Site::new("[[nfs.export]]\npath = \"/images\"\nclients = \"192.0.2.1\"\n");
    site.put("a.iso", "content");
    let running = site.start().await;
    let mut client = NfsClient::connect(address(&running, Protocol::Nfs));
    assert_eq!(
        client.mount("/images/a").expect_err("denied"),
        MNT3ERR_ACCES
    );
    running.stop().await.expect("no failure");
}
