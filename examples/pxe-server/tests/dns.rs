//! DNS of the server in this process, asked over loopback.

mod network;

use std::net::SocketAddr;
use std::path::PathBuf;

use pxe_dns::RecordType;
use pxe_server::{Config, Protocol, Running};
use tempfile::TempDir;

use network::dns::{ask, ask_by_tcp};

const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;

const ZONE_FILE: &str = "$TTL 3d\n@ IN SOA pxe.matrix.lan. root.matrix.lan. (\n\
    20230401 604800 86400 2419200 3600 )\n  IN NS pxe.matrix.lan.\npxe IN A 192.168.150.1\n";

struct Site {
    directory: TempDir,
    config: String,
}

impl Site {
    /// A server with this after `[dns]`.
    fn new(dns: &str) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(directory.path().join("tree")).expect("writable");
        std::fs::write(directory.path().join("db.matrix.lan"), ZONE_FILE).expect("writable");
        let config = format!(
            "[server]\ncontrol = \"control.sock\"\n[tree]\nroot = \"tree\"\n\
             [dns]\nlisten = \"127.0.0.1:0\"\nforward = []\n{dns}"
        );
        Self { directory, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> Config {
        Config::parse(&self.config, &self.path("server.toml")).expect("valid")
    }

    async fn start(&self) -> Running {
        Running::start(self.config()).await.expect("started")
    }
}

fn dns(running: &Running) -> SocketAddr {
    running.addresses(Protocol::Dns)[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_file_is_served_by_both_transports() {
    let site = Site::new("[[dns.zone]]\nname = \"matrix.lan\"\nfile = \"db.matrix.lan\"\n");
    let running = site.start().await;
    let expected = ["pxe.matrix.lan. A 192.168.150.1"];
    let reply = ask(dns(&running), "pxe.matrix.lan", RecordType::A);
    assert_eq!((reply.rcode, reply.is_authoritative), (0, true));
    assert_eq!(reply.answers, expected);
    let reply = ask_by_tcp(dns(&running), "pxe.matrix.lan", RecordType::A);
    assert_eq!(reply.answers, expected);
    let reply = ask(dns(&running), "nobody.matrix.lan", RecordType::A);
    assert_eq!((reply.rcode, reply.is_authoritative), (NXDOMAIN, true));
    let reply = ask(dns(&running), "example.com", RecordType::A);
    assert_eq!((reply.rcode, reply.is_authoritative), (REFUSED, false));
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_have_names_in_both_directions() {
    let site = Site::new(
        "domain = \"lab.lan\"\nserver_name = \"pxe\"\n[[dns.zone]]\nname = \"lab.lan\"\n\
         hosts = { pxe = \"192.168.150.1\", nas = [\"192.168.150.2\", \"fd00::2\"] }\n\
         records = [\"www CNAME pxe\", \"*.apps A 192.168.150.9\"]\n",
    );
    let running = site.start().await;
    for (name, kind, expected) in [
        ("pxe.lab.lan", RecordType::A, "pxe.lab.lan. A 192.168.150.1"),
        ("nas.lab.lan", RecordType::AAAA, "nas.lab.lan. AAAA"),
        (
            "x.apps.lab.lan",
            RecordType::A,
            "x.apps.lab.lan. A 192.168.150.9",
        ),
        ("lab.lan", RecordType::NS, "lab.lan. NS pxe.lab.lan."),
        (
            "2.150.168.192.in-addr.arpa",
            RecordType::PTR,
            "2.150.168.192.in-addr.arpa. PTR nas.lab.lan.",
        ),
    ] {
        assert_eq!(ask(dns(&running), name, kind).answers, [expected]);
    }
    let reply = ask(dns(&running), "www.lab.lan", RecordType::A);
    assert_eq!(reply.answers.len(), 2, "{reply:?}");
    running.stop().await.expect("no failure");
}
