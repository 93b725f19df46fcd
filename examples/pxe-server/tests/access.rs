//! One decision for all protocols: who may not boot gets no file by any of them.

mod network;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use pxe_server::{Config, MachineId, Protocol, Running, What};
use tempfile::TempDir;

use network::{DhcpClient, http_get_from, tftp_get_from};

const DENIED: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const ALLOWED: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];

/// A server on loopback that gives 127.0.0.30 and following.
struct Site {
    directory: TempDir,
    hosts: String,
    port: u16,
}

impl Site {
    fn new(client: &DhcpClient) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(directory.path().join("tree")).expect("writable");
        std::fs::write(directory.path().join("tree/hello"), "hello\n").expect("writable");
        let deny = "[[dhcp.host]]\nname = \"stolen\"\nmac = \"52:54:00:00:00:01\"\ndeny = true\n";
        Self {
            directory,
            hosts: deny.to_owned(),
            port: client.port(),
        }
    }

    fn config(&self) -> Config {
        let text = format!(
            "[server]\ncontrol = \"\"\n[tree]\nroot = \"tree\"\n[tftp]\nlisten = \"127.0.0.1:0\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[dhcp]\nlisten = \"127.0.0.1\"\nport = {}\n\
             [[dhcp.subnet]]\nnetwork = \"127.0.0.0/24\"\npools = \"127.0.0.30-127.0.0.39\"\n\
             [boot]\nfiles = {{ default = \"lpxelinux.0\" }}\n{}",
            self.port, self.hosts
        );
        Config::parse(&text, &self.directory.path().join("server.toml")).expect("valid")
    }
}

/// What TFTP and HTTP say to this address: an error code or 0, and a status.
fn fetched(running: &Running, from: Ipv4Addr) -> (u16, u16) {
    let tftp: SocketAddr = running.addresses(Protocol::Tftp)[0];
    let code = match tftp_get_from(tftp, from.into(), "hello") {
        Ok(content) => {
            assert_eq!(content, b"hello\n");
            0
        }
        Err(error) => error.code,
    };
    let http = running.addresses(Protocol::Http)[0];
    (code, http_get_from(http, from.into(), "/hello").0)
}

const FILES: (u16, u16) = (0, 200);
const NO_FILES: (u16, u16) = (2, 403);

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_boot_gets_no_file_by_any_protocol() {
    let relay = DhcpClient::bind();
    let mut site = Site::new(&relay);
    let running = Running::start(site.config()).await.expect("started");
    let dhcp = running.addresses(Protocol::Dhcp)[0];
    let relay = relay.with_mac(DENIED);
    let denied = relay.boot(dhcp);
    assert_eq!(denied.file, "", "it gets an address and nothing to boot");
    let relay = relay.with_mac(ALLOWED);
    let allowed = relay.boot(dhcp);
    assert_eq!(allowed.file, "lpxelinux.0");
    assert_eq!(fetched(&running, denied.address), NO_FILES);
    assert_eq!(fetched(&running, allowed.address), FILES);
    // Nobody has this address: nothing is known of it that a rule denies.
    let stranger = Ipv4Addr::new(127, 0, 0, 77);
    assert_eq!(fetched(&running, stranger), FILES);

    let id = MachineId::Mac(DENIED.into());
    await_fact(&running, id, Protocol::Tftp).await;
    let machine = running.machines().get(id).expect("seen");
    let told: Vec<String> = machine
        .facts
        .iter()
        .filter(|fact| matches!(fact.what, What::Denied { .. }))
        .map(|fact| format!("{} {}", fact.protocol, fact.what))
        .collect();
    let rule = "denied by host stolen: mac is 52:54:00:00:00:01";
    for (line, begin) in told
        .iter()
        .zip(["dhcp boot is ", "dhcp boot is ", "tftp hello is "])
    {
        assert!(line.starts_with(&format!("{begin}{rule}")), "{line}");
    }
    assert!(told.len() >= 3, "{told:?}");

    // Decisions are asked again after a reload, without a word by DHCP.
    site.hosts = site.hosts.replace("00:01", "00:02");
    running
        .handle()
        .reload_with(site.config())
        .await
        .expect("valid");
    assert_eq!(fetched(&running, denied.address), FILES);
    assert_eq!(fetched(&running, allowed.address), NO_FILES);
    running.stop().await.expect("no failure");
}

/// What DHCP told of machines before is in the leases alone, and the files are served at once.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_denied_machine_is_known_before_it_gets_a_file() {
    let relay = DhcpClient::bind();
    let mut site = Site::new(&relay);
    let store = site.directory.path().join("leases.redb");
    site.hosts += &format!("[leases]\nstore = \"{}\"\n", store.display());
    let running = Running::start(site.config()).await.expect("started");
    let relay = relay.with_mac(DENIED);
    let denied = relay.boot(running.addresses(Protocol::Dhcp)[0]);
    running.stop().await.expect("no failure");
    for _ in 0..5 {
        let running = Running::start(site.config()).await.expect("started");
        assert_eq!(fetched(&running, denied.address), NO_FILES);
        running.stop().await.expect("no failure");
    }
}

/// The events of a transfer come from another task than its answer.
async fn await_fact(running: &Running, id: MachineId, protocol: Protocol) {
    let wait = async {
        loop {
            let machine = running.machines().get(id);
            let facts = machine.iter().flat_map(|machine| &machine.facts);
            let is_there = |what: &What| matches!(what, What::Denied { file: Some(_), .. });
            if facts
                .into_iter()
                .any(|fact| fact.protocol == protocol && is_there(&fact.what))
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_request_is_in_the_timeline_once_by_each_protocol() {
    let relay = DhcpClient::bind().with_mac(DENIED);
    let site = Site::new(&relay);
    let running = Running::start(site.config()).await.expect("started");
    let lease = relay.boot(running.addresses(Protocol::Dhcp)[0]);
    assert_eq!(fetched(&running, lease.address), NO_FILES);
    let id = MachineId::Mac(DENIED.into());
    await_fact(&running, id, Protocol::Tftp).await;
    await_fact(&running, id, Protocol::Http).await;
    let machine = running.machines().get(id).expect("seen");
    let names: Vec<&str> = machine.facts.iter().map(|fact| fact.what.name()).collect();
    let expected = [
        "asked", "offered", "denied", "asked", "leased", "denied", "denied", "denied",
    ];
    assert_eq!(names, expected);
    assert_eq!(machine.ip, Some(IpAddr::V4(lease.address)));
    running.stop().await.expect("no failure");
}

/// Another server gave the address; the machine's own REQUEST tells which.
#[tokio::test(flavor = "multi_thread")]
async fn in_proxy_mode_machines_tell_their_addresses() {
    let relay = DhcpClient::bind().with_mac(DENIED);
    let site = Site::new(&relay);
    let binl = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let binl_port = binl.local_addr().expect("bound").port();
    drop(binl);
    let text = format!(
        "[server]\ncontrol = \"\"\n[tree]\nroot = \"tree\"\n[tftp]\nlisten = \"127.0.0.1:0\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n[dhcp]\nmode = \"proxy\"\nlisten = \"127.0.0.1\"\n\
         port = {}\nbinl_port = {binl_port}\n[boot]\nfiles = {{ default = \"lpxelinux.0\" }}\n{}",
        site.port, site.hosts
    );
    let file = site.directory.path().join("server.toml");
    let config = Config::parse(&text, &file).expect("valid");
    let running = Running::start(config).await.expect("started");
    let ports: Vec<u16> = (running.addresses(Protocol::Dhcp).iter())
        .map(SocketAddr::port)
        .collect();
    assert_eq!(ports, [site.port, binl_port]);
    let dhcp = running.addresses(Protocol::Dhcp)[0];
    let address = Ipv4Addr::new(127, 0, 0, 55);
    assert_eq!(
        fetched(&running, address),
        FILES,
        "nobody knows whose it is"
    );
    relay.take_from_another(dhcp, address);
    let wait = async {
        while running.machines().mac_of(address.into()) != Some(DENIED.into()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("in time");
    assert_eq!(fetched(&running, address), NO_FILES);
    running.stop().await.expect("no failure");
}
