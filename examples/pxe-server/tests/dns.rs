//! DNS of the server in this process, asked over loopback.

mod network;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pxe_dns::RecordType;
use pxe_server::{Answer, Config, ControlClient, ControlCommand, Protocol, Running};
use serde_json::{Value, json};
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

#[tokio::test(flavor = "multi_thread")]
async fn the_domain_of_dhcp_is_a_zone_by_itself() {
    let mut site = Site::new("server_name = \"pxe\"\n");
    site.config += "[dhcp]\nlisten = \"127.0.0.1\"\nport = 0\n[dhcp.subnet]\nnetwork = \"127.0.0.0/24\"\n\
        pools = \"127.0.0.77\"\ndomain_name = \"matrix.lan\"\n";
    site.config = site
        .config
        .replace("port = 0", &format!("port = {}", free_port()));
    let running = site.start().await;
    let reply = ask(dns(&running), "pxe.matrix.lan", RecordType::A);
    assert_eq!(reply.answers, ["pxe.matrix.lan. A 127.0.0.1"]);
    let reply = ask(dns(&running), "1.0.0.127.in-addr.arpa", RecordType::PTR);
    assert_eq!(
        reply.answers,
        ["1.0.0.127.in-addr.arpa. PTR pxe.matrix.lan."]
    );
    running.stop().await.expect("no failure");
}

/// A port that nobody has, and the next one.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("bound").port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_all_zones_or_none() {
    let mut site = Site::new("[[dns.zone]]\nname = \"matrix.lan\"\nfile = \"db.matrix.lan\"\n");
    let running = site.start().await;
    let reload = async |config: Config| running.handle().reload_with(config).await;
    let address = || ask(dns(&running), "pxe.matrix.lan", RecordType::A).answers;
    site.config += "[[dns.zone]]\nname = \"lab.lan\"\nhosts = { nas = \"10.0.0.2\" }\n";
    reload(site.config()).await.expect("valid");
    let reply = ask(dns(&running), "nas.lab.lan", RecordType::A);
    assert_eq!(reply.answers, ["nas.lab.lan. A 10.0.0.2"]);
    std::fs::write(site.path("db.matrix.lan"), "@ A 1.2.3\n").expect("writable");
    let good = site.config.clone();
    site.config = site.config.replace("10.0.0.2", "10.0.0.3");
    let refused = reload(site.config()).await.expect_err("a bad zone");
    assert!(refused.message.contains("db.matrix.lan:1"), "{refused}");
    assert_eq!(address(), ["pxe.matrix.lan. A 192.168.150.1"]);
    let reply = ask(dns(&running), "nas.lab.lan", RecordType::A);
    assert_eq!(reply.answers, ["nas.lab.lan. A 10.0.0.2"], "as before");
    site.config = good.replace("127.0.0.1:0", "127.0.0.2:0");
    let refused = reload(site.config()).await.expect_err("another address");
    assert!(
        refused.message.contains("dns.listen: it cannot change"),
        "{refused}"
    );
    running.stop().await.expect("no failure");
}

/// Awaits that a name has this address.
async fn until_answered(server: SocketAddr, name: &'static str, expected: &str) {
    let wait = async {
        loop {
            let reply = tokio::task::spawn_blocking(move || ask(server, name, RecordType::A));
            let reply = reply.await.expect("no panic");
            if reply
                .answers
                .iter()
                .any(|answer| answer.ends_with(expected))
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_read_and_a_bad_one_leaves_the_zone_as_it_was() {
    let site = Site::new("[[dns.zone]]\nname = \"matrix.lan\"\nfile = \"db.matrix.lan\"\n");
    let with_include = format!("{ZONE_FILE}$INCLUDE more\n");
    std::fs::write(site.path("more"), "nas A 192.168.150.2\n").expect("writable");
    std::fs::write(site.path("db.matrix.lan"), with_include).expect("writable");
    let running = site.start().await;
    let server = dns(&running);
    until_answered(server, "nas.matrix.lan", "192.168.150.2").await;
    std::fs::write(site.path("more"), "nas A 192.168.150.33\n").expect("writable");
    until_answered(server, "nas.matrix.lan", "192.168.150.33").await;
    std::fs::write(site.path("more"), "nas A 192.168.150\n").expect("writable");
    let zone = until_zone(&site, |zone| {
        !zone["errors"].as_array().expect("some").is_empty()
    })
    .await;
    let error = zone["errors"][0].as_str().expect("a text");
    assert!(error.contains("more:1"), "{error}");
    let reply = ask(server, "nas.matrix.lan", RecordType::A);
    assert_eq!(
        reply.answers,
        ["nas.matrix.lan. A 192.168.150.33"],
        "as before"
    );
    std::fs::write(site.path("more"), "nas A 192.168.150.44\n").expect("writable");
    until_answered(server, "nas.matrix.lan", "192.168.150.44").await;
    until_zone(&site, |zone| {
        zone["errors"].as_array().expect("some").is_empty()
    })
    .await;
    running.stop().await.expect("no failure");
}

/// As `rsync -t` and `touch -r` leave it; and a file that was made readable is of another time of
/// status as well, and of nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_within_its_old_time_is_read() {
    let site = Site::new("[[dns.zone]]\nname = \"matrix.lan\"\nfile = \"db.matrix.lan\"\n");
    let path = site.path("db.matrix.lan");
    let modified = |path: &PathBuf| std::fs::metadata(path).and_then(|file| file.modified());
    let before = modified(&path).expect("readable");
    let running = site.start().await;
    let text = ZONE_FILE.replace("192.168.150.1", "192.168.150.9");
    let mut file = std::fs::File::options()
        .write(true)
        .open(&path)
        .expect("there");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("writable");
    file.set_modified(before).expect("writable");
    drop(file);
    assert_eq!(modified(&path).expect("readable"), before);
    until_answered(dns(&running), "pxe.matrix.lan", "192.168.150.9").await;
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_says_the_same_needs_no_other_serial() {
    let site = Site::new("[[dns.zone]]\nname = \"matrix.lan\"\nfile = \"db.matrix.lan\"\n");
    let running = site.start().await;
    std::fs::remove_file(site.path("db.matrix.lan")).expect("there");
    let is_bad = |zone: &Value| zone["errors"] != json!([]);
    until_zone(&site, is_bad).await;
    std::fs::write(site.path("db.matrix.lan"), ZONE_FILE).expect("writable");
    let zone = until_zone(&site, |zone| !is_bad(zone)).await;
    assert_eq!(zone["warnings"], json!([]));
    let other = ZONE_FILE.replace("192.168.150.1", "192.168.150.9");
    std::fs::write(site.path("db.matrix.lan"), other).expect("writable");
    until_answered(dns(&running), "pxe.matrix.lan", "192.168.150.9").await;
    let zone = until_zone(&site, |zone| zone["warnings"] != json!([])).await;
    assert!(zone.to_string().contains("increase it"), "{zone}");
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_the_place_of_a_zone_file_keeps_nobody_waiting() {
    let site = Site::new("[[dns.zone]]\nname = \"matrix.lan\"\nfile = \"pipe\"\n");
    let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
    nix::unistd::mkfifo(&site.path("pipe"), mode).expect("made");
    let error = Running::start(site.config()).await.expect_err("no file");
    assert!(error.to_string().contains("is no file"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_may_be_written_around_that_of_the_server() {
    let site = Site::new(
        "domain = \"lab.matrix.lan\"\nserver_name = \"pxe\"\n\
         [[dns.zone]]\nname = \"matrix.lan\"\nhosts = { nas = \"192.168.150.2\" }\n",
    );
    let running = site.start().await;
    for (name, expected) in [
        ("pxe.lab.matrix.lan", "pxe.lab.matrix.lan. A 127.0.0.1"),
        ("nas.matrix.lan", "nas.matrix.lan. A 192.168.150.2"),
    ] {
        let reply = ask(dns(&running), name, RecordType::A);
        assert_eq!(reply.answers, [expected]);
    }
    running.stop().await.expect("no failure");
}

/// The first zone of `status`, once it is like this.
async fn until_zone(site: &Site, is_so: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let zone = status(site).await["zones"][0].clone();
            if is_so(&zone) {
                return zone;
            }
            tokio::task::yield_now().await;
        }
    };
    let zone = tokio::time::timeout(Duration::from_secs(30), wait);
    zone.await.expect("in time")
}

async fn command(site: &Site, command: ControlCommand) -> Result<Answer, String> {
    let path = site.path("control.sock");
    let asked = tokio::task::spawn_blocking(move || {
        let mut client = ControlClient::connect(&path).expect("listening");
        client.ask(command).map_err(|error| error.to_string())
    });
    asked.await.expect("no panic")
}

/// What `status` says of DNS.
async fn status(site: &Site) -> Value {
    let status = command(site, ControlCommand::Status)
        .await
        .expect("running");
    status["dns"].clone()
}

/// What `dns query` says: the code, the answers, and why.
async fn query(site: &Site, name: &str, client: Option<&str>) -> (String, Value, String) {
    let query = ControlCommand::DnsQuery {
        name: name.to_owned(),
        kind: None,
        client: client.map(str::to_owned),
    };
    let answer = command(site, query).await.expect("answered");
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    (text("rcode"), answer["answer"].clone(), text("why"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_the_administrator_says_where_an_answer_comes_from() {
    let site = Site::new(
        "domain = \"lab.lan\"\nserver_name = \"pxe\"\n\
         [[dns.zone]]\nname = \"lab.lan\"\nhosts = { nas = \"10.0.0.2\" }\n\
         [[dns.zone]]\nname = \"matrix.lan\"\nfile = \"db.matrix.lan\"\n\
         allow_query = \"192.168.150.0/24\"\n",
    );
    let running = site.start().await;
    let (rcode, answers, why) = query(&site, "nas", None).await;
    assert_eq!(rcode, "NOERROR");
    assert_eq!(answers, json!(["nas.lab.lan. 3600 IN A 10.0.0.2"]));
    assert_eq!(why, "the zone lab.lan., made of the configuration");
    let (_, answers, _) = query(&site, "10.0.0.2", None).await;
    assert_eq!(
        answers,
        json!(["2.0.0.10.in-addr.arpa. 3600 IN PTR nas.lab.lan."])
    );
    let pxe = "pxe.matrix.lan";
    let (rcode, _, why) = query(&site, pxe, None).await;
    assert_eq!(rcode, "REFUSED");
    assert!(
        why.contains("127.0.0.1 is not in allow_query of the zone matrix.lan."),
        "{why}"
    );
    let (rcode, _, why) = query(&site, pxe, Some("192.168.150.7")).await;
    assert_eq!(rcode, "NOERROR");
    assert!(why.contains("db.matrix.lan"), "{why}");
    let (rcode, _, why) = query(&site, "example.com", None).await;
    assert_eq!(rcode, "REFUSED");
    assert!(why.contains("nobody else is asked (dns.forward)"), "{why}");
    assert!(
        command(
            &site,
            ControlCommand::DnsQuery {
                name: "a..b".to_owned(),
                kind: None,
                client: None,
            }
        )
        .await
        .expect_err("no name")
        .contains("no domain name")
    );
    running.stop().await.expect("no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_asked_for_those_who_may() {
    let upstream =
        Site::new("[[dns.zone]]\nname = \"example.com\"\nhosts = { www = \"192.0.2.7\" }\n");
    let others = upstream.start().await;
    let mut site = Site::new("allow_recursion = [\"127.0.0.1\"]\n");
    site.config = site
        .config
        .replace("forward = []", &format!("forward = \"{}\"", dns(&others)));
    let running = site.start().await;
    let reply = ask(dns(&running), "www.example.com", RecordType::A);
    assert_eq!(reply.answers, ["www.example.com. A 192.0.2.7"]);
    assert!(!reply.is_authoritative);
    let (rcode, _, why) = query(&site, "www.example.com", None).await;
    assert_eq!(rcode, "NOERROR");
    assert_eq!(why, format!("others were asked: {}", dns(&others)));
    let (rcode, _, why) = query(&site, "www.example.com", Some("192.0.2.1")).await;
    assert_eq!(rcode, "REFUSED");
    assert!(
        why.contains("add its network to dns.allow_recursion"),
        "{why}"
    );
    // From now on nobody is asked, and this is said at once.
    let nobody = site.config.replace("forward = \"", "forward = [] # \"");
    site.config = nobody;
    running
        .handle()
        .reload_with(site.config())
        .await
        .expect("valid");
    let reply = ask(dns(&running), "www.example.com", RecordType::A);
    assert_eq!(reply.rcode, REFUSED);
    running.stop().await.expect("no failure");
    others.stop().await.expect("no failure");
}

/// What dnsmasq says as `server=/corp.lan/10.0.0.53`: the company's names, and those of its private
/// addresses, which nobody is asked for else.
#[tokio::test(flavor = "multi_thread")]
async fn some_names_are_asked_of_others_than_the_rest() {
    let corp = Site::new(
        "[[dns.zone]]\nname = \"corp.lan\"\nhosts = { files = \"10.1.2.3\" }\n\
         [[dns.zone]]\nname = \"1.10.in-addr.arpa\"\nrecords = [\"3.2 PTR files.corp.lan.\"]\n",
    );
    let others = corp.start().await;
    let server = dns(&others);
    let site = Site::new(&format!(
        "allow_recursion = [\"127.0.0.1\"]\n\
         forward_zones = {{ \"corp.lan\" = \"{server}\", \"10.in-addr.arpa\" = \"{server}\" }}\n"
    ));
    let running = site.start().await;
    let reply = ask(dns(&running), "files.corp.lan", RecordType::A);
    assert_eq!(reply.answers, ["files.corp.lan. A 10.1.2.3"]);
    let (rcode, answers, why) = query(&site, "10.1.2.3", None).await;
    assert_eq!(rcode, "NOERROR", "{why}");
    assert_eq!(answers.as_array().map(Vec::len), Some(1), "{answers}");
    assert_eq!(
        status(&site).await["forward"],
        json!([
            format!("{server} for 10.in-addr.arpa."),
            format!("{server} for corp.lan.")
        ])
    );
    // Who is not named for it is not asked.
    let (rcode, _, why) = query(&site, "example.com", None).await;
    assert_eq!(rcode, "SERVFAIL", "{why}");
    // Where that one is gone, it is said how the client is told it.
    others.stop().await.expect("no failure");
    let (rcode, _, why) = query(&site, "gone.corp.lan", None).await;
    assert_eq!(rcode, "SERVFAIL");
    assert!(why.starts_with("others were asked in vain: "), "{why}");
    running.stop().await.expect("no failure");
}
