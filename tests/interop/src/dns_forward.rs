//! Names that others know: unbound is asked, by datagrams, TCP and TLS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pxe_test_lab::{Namespace, Output, Process, run, unique_name};
use tempfile::TempDir;

use crate::LoneTest;
use crate::client::{Ran, client, ensure};
use crate::site::await_ports;

pub(crate) const TESTS: &[LoneTest] = &[
    ("unbound_is_asked_for_other_names", unbound_is_asked),
    ("unbound_is_asked_by_tls", unbound_is_asked_by_tls),
    (
        "who_asks_a_dead_server_is_told_in_time",
        dead_servers_are_told_of,
    ),
];

const OURS: &str = "10.81.0.1";
const UNBOUND: &str = "10.81.0.2";
/// The name in unbound's certificate.
const SERVER_NAME: &str = "dns.example";
/// Where Debian's authorities are; the server sees ours there.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Our server and unbound, on the two ends of a cable. Dropped, everything is gone.
struct World {
    // Dropped in this order: processes, then namespaces, then files.
    _ours: Process,
    unbound: Option<Process>,
    outside: Namespace,
    _at_server: Namespace,
    directory: TempDir,
    ports: Vec<u16>,
}

impl World {
    /// Ours forwards to these, and unbound listens at these ports.
    fn new(server: &Path, forward: &str, ports: &[u16]) -> Result<Self, String> {
        let directory = TempDir::with_prefix("pxe-interop-").map_err(|error| error.to_string())?;
        // The server runs as nobody.
        run(Command::new("chmod").arg("0755").arg(directory.path()))?;
        let [at_server, outside] = [(); 2].map(|()| Namespace::new(&unique_name()));
        let (at_server, outside) = (at_server?, outside?);
        at_server.connect("eth0", &outside, "eth0")?;
        at_server.ip(&["address", "add", "10.81.0.1/24", "dev", "eth0"])?;
        outside.ip(&["address", "add", "10.81.0.2/24", "dev", "eth0"])?;
        certify(directory.path())?;
        let ours = start_ours(server, &at_server, directory.path(), forward)?;
        let mut world = Self {
            _ours: ours,
            unbound: None,
            outside,
            _at_server: at_server,
            directory,
            ports: ports.to_vec(),
        };
        world.start_unbound()?;
        Ok(world)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start_unbound(&mut self) -> Result<(), String> {
        let mut text = format!(
            "server:\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  directory: \"{}\"\n",
            self.directory.path().display()
        );
        text.push_str(include_str!("../fixtures/unbound.conf"));
        for port in &self.ports {
            text.push_str(&format!("  interface: {UNBOUND}@{port}\n"));
        }
        for number in 0..20 {
            let string = format!("{number}-{}", "x".repeat(240));
            text.push_str(&format!(
                "  local-data: 'big.example. 300 IN TXT \"{string}\"'\n"
            ));
        }
        let file = self.path("unbound.conf");
        fs::write(&file, text).map_err(|error| error.to_string())?;
        let mut command = self.outside.command("unbound");
        command.arg("-d").arg("-c").arg(&file);
        let log = self.path("unbound.log");
        let mut unbound = Process::spawn(command, "unbound", &log, Output::Log)?;
        await_ports(&self.outside, &mut unbound, &log, &self.ports)?;
        self.unbound = Some(unbound);
        Ok(())
    }

    fn stop_unbound(&mut self) -> Result<(), String> {
        let unbound = self.unbound.take();
        let ended = unbound.map(|mut unbound| unbound.terminate());
        ended.transpose().map(drop)
    }

    /// Asks ours.
    fn dig(&self, arguments: &[&str]) -> Result<Ran, String> {
        let ours = format!("@{OURS}");
        let mut all = vec!["+time=8", "+tries=1", "+nocookie", &ours];
        all.extend(arguments);
        client(&self.outside, "dig", &all)?.succeeds()
    }
}

/// Starts ours, which trusts the test's authority alone.
fn start_ours(
    server: &Path,
    at_server: &Namespace,
    directory: &Path,
    forward: &str,
) -> Result<Process, String> {
    fs::create_dir(directory.join("tree")).map_err(|error| error.to_string())?;
    let work = directory.display();
    let text = format!(
        "[server]\nuser = \"nobody\"\ncontrol = \"{work}/control.sock\"\n\
         [tree]\nroot = \"{work}/tree\"\n\
         [dns]\nlisten = [\"{OURS}:53\"]\nforward = [\"{forward}\"]\n"
    );
    let file = directory.join("server.toml");
    fs::write(&file, text).map_err(|error| error.to_string())?;
    // The mount is seen by this process alone: `ip netns exec` gives it a mount namespace.
    let script = format!("mount --bind \"$0\" {AUTHORITIES} && exec \"$@\"");
    let mut command = at_server.command("sh");
    command.arg("-c").arg(script).arg(directory.join("ca.pem"));
    command.arg(server).arg("serve").arg(&file);
    let log = directory.join("server.log");
    let mut ours = Process::spawn(command, "pxe-server", &log, Output::Log)?;
    await_ports(at_server, &mut ours, &log, &[53])?;
    Ok(ours)
}

/// Makes an authority, and a certificate of unbound's.
fn certify(directory: &Path) -> Result<(), String> {
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command
            .current_dir(directory)
            .args(["req", "-x509", "-nodes", "-days", "2"]);
        run(command.args(["-newkey", "rsa:2048"]).args(arguments))
    };
    let name = format!("subjectAltName=DNS:{SERVER_NAME}");
    let authority = "basicConstraints=critical,CA:TRUE";
    openssl(&[
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=authority",
        "-addext",
        authority,
    ])?;
    let server = "basicConstraints=critical,CA:FALSE";
    openssl(&[
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-keyout",
        "server.key",
        "-out",
        "server.pem",
        "-subj",
        "/CN=server",
        "-addext",
        server,
        "-addext",
        &name,
    ])
}

/// What is asked, and what dig then says. Unbound has all of these names.
/// The TTL of 3999 s is less by some seconds when the cache is asked.
const ASKED: [(&[&str], &[&str]); 12] = [
    (
        &["www.example"],
        &[
            "NOERROR",
            "192.0.2.80",
            "flags: qr rd ra;",
            "www.example.\t\t39",
        ],
    ),
    (
        &["+tcp", "www.example"],
        &["NOERROR", "192.0.2.80", "flags: qr rd ra;"],
    ),
    (&["WWW.Example"], &["WWW.Example.", "192.0.2.80"]),
    // Unbound tells the alias alone; what it leads to is asked for.
    (&["alias.example"], &["CNAME", "www.example.", "192.0.2.80"]),
    (
        &["www.example", "AAAA"],
        &["NOERROR", "ANSWER: 0", "SOA", "ns.example."],
    ),
    (&["missing.example"], &["NXDOMAIN", "SOA", "ns.example."]),
    (&["srv.example", "SRV"], &["1 2 69 www.example."]),
    (&["opaque.example", "TYPE65280"], &["\\# 4 01020304"]),
    (
        &["big.example", "TXT"],
        &["flags: qr rd ra;", "ANSWER: 20", "(TCP)"],
    ),
    // Not forwarded: ours says itself that there is nothing.
    (
        &["-x", "10.1.2.3"],
        &["NXDOMAIN", "flags: qr aa rd ra;", "nobody.invalid."],
    ),
    (&["www.test"], &["NXDOMAIN", "flags: qr aa rd ra;"]),
    (&["localhost"], &["NOERROR", "127.0.0.1"]),
];

fn answers(world: &World) -> Result<(), String> {
    // Twice: the second time from the cache.
    for (arguments, parts) in ASKED.iter().chain(&ASKED) {
        let mut ran = world.dig(arguments)?;
        for part in *parts {
            ran = ran.says(part)?;
        }
    }
    Ok(())
}

fn unbound_is_asked(server: &Path) -> Result<(), String> {
    answers(&World::new(server, UNBOUND, &[53])?)
}

fn unbound_is_asked_by_tls(server: &Path) -> Result<(), String> {
    let mut world = World::new(server, &format!("tls://{UNBOUND}#{SERVER_NAME}"), &[853])?;
    answers(&world)?;
    // A connection that broke is made anew.
    world.stop_unbound()?;
    world.start_unbound()?;
    world.dig(&["srv.example", "A"])?.says("NOERROR")?;
    // Nobody is believed who has another name.
    let other = World::new(server, &format!("tls://{UNBOUND}#other.example"), &[853])?;
    other.dig(&["www.example"])?.says("SERVFAIL")?;
    Ok(())
}

fn dead_servers_are_told_of(server: &Path) -> Result<(), String> {
    let mut world = World::new(server, UNBOUND, &[53])?;
    world.stop_unbound()?;
    // dig itself would give up after 8 s, with another exit status.
    let ran = world.dig(&["www.example"])?.says("SERVFAIL")?;
    let milliseconds = ran.text.split("Query time: ").nth(1);
    let milliseconds = milliseconds.and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    ensure(milliseconds.is_some_and(|passed| passed < 5000), || {
        ran.text
    })
}
