//! Leases that are kept, listed, exported and released.

mod network;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use pxe_server::{Config, Protocol, Running, Store};
use serde_json::Value;
use tempfile::TempDir;

use network::DhcpClient;

/// A directory with a configuration for DHCP on loopback, and room for its leases.
struct Site {
    directory: TempDir,
    client: DhcpClient,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(directory.path().join("tree")).expect("writable");
        Self {
            directory,
            client: DhcpClient::bind(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self, store: &str) -> Config {
        let text = format!(
            "[server]\ncontrol = \"control.sock\"\n[tree]\nroot = \"tree\"\n\
             [leases]\nstore = \"{store}\"\n[dhcp]\nlisten = \"127.0.0.1\"\nport = {}\n\
             [dhcp.subnet]\nnetwork = \"127.0.0.0/24\"\npools = \"127.0.0.30-127.0.0.39\"\n",
            self.client.port()
        );
        Config::parse(&text, &self.path("server.toml")).expect("valid")
    }

    async fn start(&self) -> Running {
        let started = Running::start(self.config("var/leases.redb")).await;
        started.unwrap_or_else(|error| panic!("{error}"))
    }

    fn lease(&self, running: &Running) -> Ipv4Addr {
        let server = running.addresses(Protocol::Dhcp)[0];
        self.client.boot(server).address
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pxe-server"));
        command.args(arguments);
        command.output().expect("built")
    }

    /// Asks the running server.
    fn leases(&self, arguments: &[&str]) -> Output {
        let control = self.path("control.sock");
        let mut all = vec!["leases", "--control", control.to_str().expect("UTF-8")];
        all.extend(arguments);
        self.ask(&all)
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_outlive_the_server_and_can_be_read_without_it() {
    let site = Site::new();
    let running = site.start().await;
    let address = site.lease(&running);
    let store = site.path("var/leases.redb");
    let mode = fs::metadata(&store).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let store = store.to_str().expect("UTF-8");
    // While it runs, the server has the file.
    let busy = site.ask(&["leases", "--store", store]);
    assert_eq!(busy.status.code(), Some(1));
    let said = text(&busy.stderr);
    assert!(
        said.contains("another server has the lease store"),
        "{said}"
    );
    assert!(said.contains("--control"), "{said}");
    running.stop().await.expect("no failure");

    let offline = site.ask(&["leases", "--json", "--store", store]);
    let offline: Value = serde_json::from_slice(&offline.stdout).expect("JSON");
    let lease = &offline["leases"][0];
    assert_eq!(lease["address"], address.to_string());
    assert_eq!(lease["mac"], site.client.mac().to_string());
    assert_eq!(lease["state"], "active");

    let running = site.start().await;
    let online = site.leases(&["--json"]);
    let online: Value = serde_json::from_slice(&online.stdout).expect("JSON");
    assert_eq!(&online["leases"][0], lease, "the same after a restart");
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_exported_and_released() {
    let site = Site::new();
    let running = site.start().await;
    let address = site.lease(&running).to_string();
    let mac = site.client.mac().to_string();
    let csv = site.leases(&["--csv"]);
    let csv = text(&csv.stdout);
    let line = csv.lines().nth(1).expect("a lease below the head");
    assert!(line.starts_with(&format!("{address},active,")), "{csv}");
    assert!(line.contains(&format!(",{mac},")), "{csv}");
    assert!(text(&site.leases(&[]).stdout).contains(&mac));

    for what in [&address, &mac] {
        let released = site.leases(&["release", what]);
        let said = (text(&released.stdout), text(&released.stderr));
        assert_eq!(said, (format!("{address} is free\n").as_str(), ""));
        let json = site.leases(&["--json"]);
        let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
        assert_eq!(json["leases"][0]["state"], "released");
        let again = site.leases(&["release", what]);
        assert_eq!(again.status.code(), Some(1), "it is free already");
        assert_eq!(site.lease(&running).to_string(), address);
    }
    for (what, said) in [
        ("10.0.0.1", "no lease of 10.0.0.1 is active"),
        ("02:00:00:00:00:99", "02:00:00:00:00:99 holds no lease here"),
        ("pc1", "\"pc1\" is neither a hardware nor an IPv4 address"),
    ] {
        let refused = site.leases(&["release", what]);
        assert!(text(&refused.stderr).contains(said), "{refused:?}");
    }
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_used_is_explained() {
    let site = Site::new();
    fs::write(site.path("text"), "no database\n".repeat(1000)).expect("writable");
    for (store, said, remedy) in [
        ("text", "is damaged: ", "keep a copy"),
        ("tree", "cannot open the lease store", "name another file"),
        ("text/leases.redb", "cannot make the directory", ":memory:"),
    ] {
        let error = Running::start(site.config(store)).await.expect_err(store);
        let error = error.to_string();
        assert!(error.contains("server.toml:6:9: leases.store: "), "{error}");
        assert!(error.contains(said) && error.contains(remedy), "{error}");
    }
}

#[test]
fn leases_are_kept_where_the_configuration_says() {
    let site = Site::new();
    let store = |text: &str| site.config(text).leases.store;
    let file = Store::File(site.path("var/leases.redb"));
    assert_eq!(store("var/leases.redb"), Some(file));
    assert_eq!(store(":memory:"), Some(Store::Memory));
    let text = "[tree]\nroot = \"tree\"\n[leases]\nstore = \"\"\n[tftp]\n";
    let error = Config::parse(text, &site.path("server.toml")).expect_err("no file");
    let error = error.to_string();
    assert!(error.contains("leases.store: \"\" is no file"), "{error}");
}
