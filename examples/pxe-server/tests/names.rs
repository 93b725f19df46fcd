//! Names of leased machines: DHCP and DNS of one server, over loopback.

mod network;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use pxe_dns::RecordType;
use pxe_server::{Config, Protocol, Running};
use serde_json::Value;
use tempfile::TempDir;

use network::DhcpClient;
use network::dns::{Reply, ask};

const NXDOMAIN: u8 = 3;

const FIRST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SECOND: [u8; 6] = [2, 0, 0, 0, 0, 2];

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
            client: DhcpClient::bind().with_mac(FIRST),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, more: &str) -> String {
        format!(
            "[server]\ncontrol = \"control.sock\"\n[tree]\nroot = \"tree\"\n\
             [leases]\nstore = \"var/leases.redb\"\n\
             [dns]\nlisten = \"127.0.0.1:0\"\nforward = []\nserver_name = \"pxe\"\n\
             domain = \"matrix.lan\"\nallow_query = \"any\"\n\
             [dhcp]\nlisten = \"127.0.0.1\"\nport = {}\n\
             [dhcp.subnet]\nnetwork = \"127.0.0.0/24\"\npools = \"127.0.0.30-127.0.0.39\"\n{more}",
            self.client.port()
        )
    }

    fn config(&self, text: &str) -> Config {
        let config = Config::parse(text, &self.path("server.toml"));
        config.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn start(&self, more: &str) -> Running {
        let started = Running::start(self.config(&self.text(more))).await;
        started.unwrap_or_else(|error| panic!("{error}"))
    }

    fn lease(&self, running: &Running) -> network::Lease {
        self.client.boot(running.addresses(Protocol::Dhcp)[0])
    }

    fn leases(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pxe-server"));
        command.args(["leases", "--control"]);
        command.arg(self.path("control.sock")).args(arguments);
        let output = command.output().expect("built");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

fn dns(running: &Running) -> SocketAddr {
    running.addresses(Protocol::Dns)[0]
}

fn a(running: &Running, name: &str) -> Reply {
    ask(dns(running), name, RecordType::A)
}

fn serial(running: &Running, zone: &str) -> u32 {
    let reply = ask(dns(running), zone, RecordType::SOA);
    let answer = reply.answers.first().expect("an answer");
    let serial = answer.rsplit(' ').next().expect("a serial");
    serial.parse().expect("a number")
}

#[track_caller]
fn assert_named(running: &Running, name: &str, address: Ipv4Addr) {
    let reply = a(running, name);
    assert_eq!(reply.answers, [format!("{name}. A {address}")]);
    let last = address.octets()[3];
    let pointer = format!("{last}.0.0.127.in-addr.arpa");
    let reply = ask(dns(running), &pointer, RecordType::PTR);
    assert_eq!(reply.answers, [format!("{pointer}. PTR {name}.")]);
}

/// Asks until there is no such name; nobody tells when that is.
#[track_caller]
fn assert_goes(running: &Running, name: &str) {
    let start = Instant::now();
    while a(running, name).rcode != NXDOMAIN {
        assert!(start.elapsed() < Duration::from_secs(10), "{name} stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_answers_when_the_ack_is_there_and_goes_with_the_lease() {
    let mut site = Site::new();
    let running = site.start("").await;
    assert_eq!(a(&running, "pc7.matrix.lan").rcode, NXDOMAIN);
    let before = serial(&running, "matrix.lan");
    site.client.say(12, b"PC_7\0");
    let address = site.lease(&running).address;
    assert_named(&running, "pc-7.matrix.lan", address);
    let after = serial(&running, "matrix.lan");
    assert!(after > before, "{before} {after}");
    // The same again is no change of the zone.
    assert_eq!(site.lease(&running).address, address);
    assert_eq!(serial(&running, "matrix.lan"), after);
    let json: Value = serde_json::from_str(&site.leases(&["--json"])).expect("JSON");
    assert_eq!(json["leases"][0]["dns_name"], "pc-7.matrix.lan");
    assert!(site.leases(&[]).contains("pc-7.matrix.lan"));
    let machines = running.machines();
    let told = machines.ids().into_iter().filter_map(|id| machines.get(id));
    let told: Vec<String> = told
        .flat_map(|machine| machine.facts.into_iter().map(|fact| fact.what.to_string()))
        .collect();
    let line = format!("name pc-7.matrix.lan -> {address}");
    assert!(told.contains(&line), "{told:?}");
    // Given back by the machine, then by the operator.
    let server = running.addresses(Protocol::Dhcp)[0];
    site.client.release(server, address);
    assert_goes(&running, "pc-7.matrix.lan");
    assert!(serial(&running, "matrix.lan") > after);
    let address = site.lease(&running).address;
    assert_named(&running, "pc-7.matrix.lan", address);
    site.leases(&["release", &address.to_string()]);
    assert_eq!(a(&running, "pc-7.matrix.lan").rcode, NXDOMAIN);
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_goes_when_its_lease_ends() {
    let mut site = Site::new();
    let short = "lease_seconds = 1\nlease_seconds_min = 1\nlease_seconds_max = 1\n";
    let running = site.start(short).await;
    site.client.say(12, b"pc7");
    // On a slow machine it may be over by now, so that nobody asks whether it is there.
    site.lease(&running);
    assert_goes(&running, "pc7.matrix.lan");
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_whose_they_are_outlive_the_server() {
    let mut site = Site::new();
    let running = site.start("").await;
    site.client.say(12, b"pc7");
    let first = site.lease(&running).address;
    site.client.set_mac(SECOND);
    let second = site.lease(&running).address;
    assert_ne!(first, second);
    // The first one, or in the same second that with the lower address.
    let is_firsts = a(&running, "pc7.matrix.lan").answers[0].ends_with(&first.to_string());
    let (holder, next) = match is_firsts {
        true => (first, second),
        false => (second, first),
    };
    assert!(is_firsts || second < first);
    assert_named(&running, "pc7.matrix.lan", holder);
    running.stop().await.expect("no failure");

    let running = site.start("").await;
    assert_named(&running, "pc7.matrix.lan", holder);
    site.leases(&["release", &holder.to_string()]);
    assert_named(&running, "pc7.matrix.lan", next);
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn option_81_is_answered_and_a_reload_moves_names() {
    let mut site = Site::new();
    let running = site.start("").await;
    site.client.say(81, b"\x04\0\0\x03PC7\x07example\x03com\0");
    let lease = site.lease(&running);
    let told = b"\x07\xff\xff\x03pc7\x06matrix\x03lan\0";
    assert_eq!(lease.fqdn.as_deref(), Some(&told[..]));
    assert_named(&running, "pc7.matrix.lan", lease.address);
    // A host of the zone has its name, and another domain has them all.
    let zone = "[[dns.zone]]\nname = \"other.lan\"\nhosts = { gw = \"127.0.0.1\" }\n";
    let text = site.text(zone).replace("\"matrix.lan\"", "\"other.lan\"");
    let reloaded = running.handle().reload_with(site.config(&text)).await;
    reloaded.unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_named(&running, "pc7.other.lan", lease.address);
    site.client.set_mac(SECOND);
    site.client.say(12, b"gw");
    site.lease(&running);
    let gw = a(&running, "gw.other.lan").answers;
    assert_eq!(gw, ["gw.other.lan. A 127.0.0.1"]);
    running.stop().await.expect("no failure");
}

/// The server is called so in its SOA and NS records, in URLs and certificates: no machine may be,
/// also where the zone's file does not have that name and the configuration says none.
#[tokio::test(flavor = "multi_thread")]
async fn no_lease_takes_the_name_of_the_server() {
    let mut site = Site::new();
    let file = "$TTL 60\n@ SOA ns root 1 60 60 60 60\n@ NS ns\nns A 127.0.0.9\n";
    fs::write(site.path("db"), file).expect("writable");
    let zone = "[[dns.zone]]\nname = \"matrix.lan\"\nfile = \"db\"\n";
    let text = site.text(zone).replace("server_name = \"pxe\"\n", "");
    let running = Running::start(site.config(&text)).await;
    let running = running.unwrap_or_else(|error| panic!("{error}"));
    // The zone of addresses is made, with the server's name.
    let servers = ask(dns(&running), "0.0.127.in-addr.arpa", RecordType::NS).answers;
    let server = servers[0].rsplit(' ').next().expect("a name");
    let label = server.strip_suffix(".matrix.lan.").expect("in the domain");
    site.client.say(12, label.as_bytes());
    site.lease(&running);
    assert_eq!(a(&running, server).rcode, NXDOMAIN);
    // Any other name of that length is given.
    let other = "x".repeat(label.len());
    site.client.say(12, other.as_bytes());
    let address = site.lease(&running).address;
    assert_named(&running, &format!("{other}.matrix.lan"), address);
    running.stop().await.expect("no failure");
}
