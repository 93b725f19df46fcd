//! The server in this process, asked over loopback.

mod network;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pxe_server::{Bound, Config, Machine, MachineId, Protocol, Running, What};
use pxe_tree::MemTree;
use tempfile::TempDir;

use network::{DhcpClient, TftpTransfer, http_get, tftp_get, tftp_get_from};

/// A directory with a tree and a configuration for high ports on loopback.
struct Site {
    directory: TempDir,
    config: String,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let tree = directory.path().join("tree");
        std::fs::create_dir_all(tree.join("os")).expect("writable");
        std::fs::write(tree.join("hello"), "hello\n").expect("writable");
        std::fs::write(tree.join("os/linux"), vec![7; 100_000]).expect("writable");
        let config = "[server]\ncontrol = \"control.sock\"\n[tree]\nroot = \"tree\"\n\
            [tftp]\nlisten = \"127.0.0.1:0\"\n\
            [[http]]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nroot = \"/os\"\n\
            [[http]]\nlisten = \"127.0.0.1:0\"\n";
        Self {
            directory,
            config: config.to_owned(),
        }
    }

    /// The same with DHCP for loopback at this port.
    fn with_dhcp(mut self, port: u16) -> Self {
        self.config += &format!(
            "[dhcp]\nlisten = \"127.0.0.1\"\nport = {port}\n\
             [dhcp.subnet]\nnetwork = \"127.0.0.0/24\"\npools = \"127.0.0.30\"\n\
             [boot]\nfiles = {{ uefi-x64 = \"efi64/syslinux.efi\", default = \"lpxelinux.0\" }}\n"
        );
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> Config {
        Config::parse(&self.config, &self.path("server.toml")).expect("valid")
    }
}

/// The machine, once the last thing that it did has this name.
async fn machine_after(running: &Running, id: MachineId, event: &str) -> Machine {
    let wait = async {
        loop {
            let machine = running.machines().get(id);
            let last = machine.as_ref().and_then(|machine| machine.facts.back());
            if last.is_some_and(|fact| fact.what.name() == event) {
                return machine.expect("it has facts");
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tree_by_two_protocols_and_several_listeners() {
    let site = Site::new();
    let running = Running::start(site.config()).await.expect("started");
    let tftp = running.addresses(Protocol::Tftp)[0];
    assert_eq!(tftp_get(tftp, "hello").expect("found"), b"hello\n");
    // A loader may name the root's own path, and Windows' separators.
    let absolute = format!("{}/os\\linux", site.path("tree").display());
    assert_eq!(tftp_get(tftp, &absolute).expect("found").len(), 100_000);
    assert_eq!(tftp_get(tftp, "missing").expect_err("missing").code, 1);
    let http = running.addresses(Protocol::Http);
    assert_eq!(http.len(), 3);
    for address in &http[..2] {
        let (status, body) = http_get(*address, "/linux");
        assert_eq!((status, body.len()), (200, 100_000));
        assert_eq!(http_get(*address, "/hello").0, 404, "outside of its root");
    }
    assert_eq!(http_get(http[2], "/hello"), (200, b"hello\n".to_vec()));
    running.stop().await.expect("no failure");
    assert!(!site.path("control.sock").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_tree_is_served_instead_of_a_directory() {
    let mut site = Site::new();
    site.config = site.config.replace("\"tree\"", "\"nowhere\"");
    let tree = MemTree::new();
    tree.insert_file("hello", "from memory").expect("free");
    let bound = Bound::bind(site.config()).expect("bound");
    let running = bound
        .start_with_tree(Arc::new(tree))
        .await
        .expect("started");
    let tftp = running.addresses(Protocol::Tftp)[0];
    assert_eq!(tftp_get(tftp, "hello").expect("found"), b"from memory");
    running
        .handle()
        .reload_with(site.config())
        .await
        .expect("the tree stays");
    assert_eq!(tftp_get(tftp, "hello").expect("found"), b"from memory");
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_name_is_short_and_harmless_in_a_fact() {
    let site = Site::new();
    let running = Running::start(site.config()).await.expect("started");
    let id = MachineId::Ip(Ipv4Addr::LOCALHOST.into());
    // A mark that turns the direction of writing around, and more text than a log should hold.
    let names = [
        format!("/%e2%80%ae{}", "%01%0a/".repeat(1000)),
        "/x".repeat(1000),
    ];
    for name in &names {
        assert_eq!(http_get(running.addresses(Protocol::Http)[0], name).0, 404);
    }
    let name = format!("\u{202e}\n{}", "y".repeat(490));
    tftp_get(running.addresses(Protocol::Tftp)[0], &name).expect_err("missing");
    let wait = async {
        while running
            .machines()
            .get(id)
            .is_none_or(|machine| machine.facts.len() < 3)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("in time");
    for fact in running.machines().get(id).expect("seen").facts {
        let file = fact.what.file().expect("a name");
        assert!(file.len() < 300, "{} bytes", file.len());
        let is_harmful = |char: char| char.is_control() || char == '\u{202e}';
        assert!(!file.contains(is_harmful), "{file:?}");
    }
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_are_facts_of_the_machine_that_has_the_lease() {
    let client = DhcpClient::bind();
    let site = Site::new().with_dhcp(client.port());
    let running = Running::start(site.config()).await.expect("started");
    let ip = Ipv4Addr::new(127, 0, 0, 30);
    let tftp = running.addresses(Protocol::Tftp)[0];
    // Before the lease nobody knows whose address it is.
    tftp_get_from(tftp, ip.into(), "missing").expect_err("missing");
    machine_after(&running, MachineId::Ip(ip.into()), "missing").await;
    let lease = client.boot(running.addresses(Protocol::Dhcp)[0]);
    assert_eq!(
        (lease.address, lease.file.as_str()),
        (ip, "efi64/syslinux.efi")
    );
    assert_eq!(
        lease.next_server,
        Ipv4Addr::LOCALHOST,
        "the address that was asked"
    );
    tftp_get_from(tftp, ip.into(), "hello").expect("found");
    let machine = machine_after(&running, MachineId::Mac(client.mac()), "sent").await;
    let names: Vec<&str> = machine.facts.iter().map(|fact| fact.what.name()).collect();
    assert_eq!(
        names,
        ["asked", "offered", "asked", "leased", "started", "sent"]
    );
    assert!(
        machine
            .facts
            .iter()
            .all(|fact| fact.mac == Some(client.mac()))
    );
    let last = &machine.facts.back().expect("there are six").what;
    assert!(matches!(last, What::Sent { bytes: 6, .. }), "{last:?}");
    assert_eq!(
        running.machines().mac_of(IpAddr::V4(ip)),
        Some(client.mac())
    );
    assert_eq!(running.handle().leases().await.len(), 1);
    running.stop().await.expect("no failure");
}

/// lpxelinux uses one port for all its files: what it leaves is no failure of its boot.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_left_for_the_next_one_is_no_failure() {
    let site = Site::new();
    let running = Running::start(site.config()).await.expect("started");
    let tftp = running.addresses(Protocol::Tftp)[0];
    let local = Ipv4Addr::LOCALHOST.into();
    let transfer = TftpTransfer::begin(tftp, local, "os/linux").expect("found");
    let mut next = transfer.leave_for(tftp, "hello").expect("found");
    assert!(next.is_complete);
    next.step().expect("sent");
    let machine = machine_after(&running, MachineId::Ip(local), "sent").await;
    let names: Vec<&str> = machine.facts.iter().map(|fact| fact.what.name()).collect();
    assert_eq!(names, ["started", "superseded", "started", "sent"]);
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_swaps_everything_and_running_transfers_go_on() {
    let client = DhcpClient::bind();
    let mut site = Site::new().with_dhcp(client.port());
    let other = site.path("other");
    std::fs::create_dir_all(other.join("os")).expect("writable");
    std::fs::write(other.join("hello"), "another\n").expect("writable");
    let running = Running::start(site.config()).await.expect("started");
    let tftp = running.addresses(Protocol::Tftp)[0];
    let local = Ipv4Addr::LOCALHOST.into();
    let mut transfer = TftpTransfer::begin(tftp, local, "os/linux").expect("found");
    site.config = site
        .config
        .replace("root = \"tree\"", "root = \"other\"")
        .replace("127.0.0.30", "127.0.0.31")
        .replace("efi64/syslinux.efi", "http://{server}/grub.efi");
    running
        .handle()
        .reload_with(site.config())
        .await
        .expect("valid");
    assert_eq!(tftp_get(tftp, "hello").expect("found"), b"another\n");
    assert_eq!(
        http_get(running.addresses(Protocol::Http)[2], "/hello").1,
        b"another\n"
    );
    let lease = client.boot(running.addresses(Protocol::Dhcp)[0]);
    assert_eq!(lease.address, Ipv4Addr::new(127, 0, 0, 31));
    while !transfer.is_complete {
        transfer.step().expect("it goes on");
    }
    transfer.step().expect("sent");
    assert_eq!(transfer.content, vec![7; 100_000]);
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_changes_nothing() {
    let mut site = Site::new();
    let running = Running::start(site.config()).await.expect("started");
    let tftp = running.addresses(Protocol::Tftp)[0];
    let before = running.handle().config();
    site.config = site.config.replace("root = \"tree\"", "root = \"nowhere\"");
    let failure = running
        .handle()
        .reload_with(site.config())
        .await
        .expect_err("no tree");
    assert_eq!(failure.code, "invalid_config");
    assert!(
        failure.message.contains("server.toml:4:8: tree.root: "),
        "{failure}"
    );
    assert!(
        failure.message.contains("nowhere: no such directory"),
        "{failure}"
    );
    let mut site = Site::new();
    site.config = site.config.replace("[tftp]\nlisten = \"127.0.0.1:0\"", "");
    let failure = running
        .handle()
        .reload_with(site.config())
        .await
        .expect_err("no TFTP");
    assert_eq!(failure.code, "restart_needed");
    assert_eq!(*running.handle().config(), *before);
    assert_eq!(tftp_get(tftp, "hello").expect("found"), b"hello\n");
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn boot_files_of_rules_and_hosts_are_looked_for_too() {
    let mut site = Site::new().with_dhcp(DhcpClient::bind().port());
    site.config += "[[boot.rule]]\nwhen = { mac = \"52:54:00:*\" }\nboot = \"of-a-rule\"\n\
        [[boot.rule]]\nboot = \"elsewhere\"\nnext_server = \"127.0.0.9\"\n\
        [[boot.rule]]\nmenu = { item = [{ label = \"a\", boot = \"of-a-menu\" }] }\n\
        [[boot.rule]]\nboot = \"{mac}.cfg\"\n\
        [[dhcp.host]]\nname = \"pc\"\nmac = \"52:54:00:00:00:01\"\nboot = \"of-a-host\"\n";
    let config = site.config();
    let warnings = config.check_machine().expect("no error");
    let said: Vec<String> = warnings.iter().map(|one| format!("{one:?}")).collect();
    let said = said.join("\n");
    for (key, file) in [
        ("boot.rule.boot", "of-a-rule"),
        ("boot.rule.menu", "of-a-menu"),
        ("dhcp.host.boot", "of-a-host"),
    ] {
        assert!(said.contains(key), "{key}: {said}");
        assert!(said.contains(&format!("has no file {file}")), "{said}");
    }
    assert!(
        !said.contains("elsewhere") && !said.contains(".cfg"),
        "{said}"
    );
}

/// What is chosen in a menu is asked for at the port of boot servers.
#[tokio::test(flavor = "multi_thread")]
async fn a_menu_needs_the_port_of_boot_servers_from_the_start_on() {
    let client = DhcpClient::bind();
    let mut site = Site::new().with_dhcp(client.port());
    let without = site.config.clone();
    let binl_port = DhcpClient::bind().port();
    let with_port = without.replace("[dhcp]\n", &format!("[dhcp]\nbinl_port = {binl_port}\n"));
    let menu = "[[boot.rule]]\nmenu = { item = [{ label = \"Disk\" }, \
                { label = \"Debian\", boot = \"lpxelinux.0\" }] }\n";
    let ports = |running: &Running| -> Vec<u16> {
        let addresses = running.addresses(Protocol::Dhcp);
        addresses.iter().map(SocketAddr::port).collect()
    };

    site.config = with_port.clone();
    let running = Running::start(site.config()).await.expect("started");
    assert_eq!(ports(&running), [client.port()]);
    site.config = format!("{with_port}{menu}");
    let refused = running.handle().reload_with(site.config()).await;
    let failure = refused.expect_err("nobody listens there");
    assert_eq!(failure.code, "restart_needed");
    assert!(failure.message.contains("boot.rule"), "{failure}");
    running.stop().await.expect("no failure");

    let running = Running::start(site.config()).await.expect("started");
    assert_eq!(ports(&running), [client.port(), binl_port]);
    // The menu goes and comes back.
    for config in [with_port.clone(), format!("{with_port}{menu}")] {
        site.config = config;
        let reloaded = running.handle().reload_with(site.config()).await;
        reloaded.expect("the port is bound");
    }
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_found_in_any_case_if_wished() {
    let mut site = Site::new();
    site.config = site
        .config
        .replace("\"tree\"\n", "\"tree\"\nignore_case = true\n");
    let running = Running::start(site.config()).await.expect("started");
    let tftp = running.addresses(Protocol::Tftp)[0];
    assert_eq!(tftp_get(tftp, "\\OS\\Linux").expect("found").len(), 100_000);
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_http_root_is_an_error_of_the_configuration() {
    let mut site = Site::new();
    site.config = site.config.replace("\"/os\"", "\"/isos\"");
    let error = Running::start(site.config())
        .await
        .expect_err("no such directory");
    let text = error.to_string();
    assert!(
        text.contains("server.toml:9:8: http.root: /isos is no directory of the tree"),
        "{text}"
    );
}
