//! What the DHCP server does below UDP and beside its clients: unicast to clients without an
//! address, probes, interfaces that change, other servers, and `pxe-server doctor`.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pxe_test_lab::{Namespace, Output, POLL_INTERVAL, Process, run, unique_name};
use tempfile::TempDir;

use crate::LoneTest;
use crate::client::{client, ensure};
use crate::site::{await_ports, await_text};
use crate::wiretap::Wiretap;

pub(crate) const TESTS: &[LoneTest] = &[
    (
        "a_client_without_address_is_answered_by_its_hardware_address",
        unicast,
    ),
    ("a_reused_address_that_is_in_use_is_not_offered", probe),
    (
        "a_reused_address_behind_a_relay_is_pinged",
        probe_behind_relay,
    ),
    ("the_server_follows_its_own_address", address_change),
    ("an_interface_that_is_made_anew_is_served_again", made_anew),
    ("another_dhcp_server_is_told_of", other_server),
    ("the_doctor_finds_what_is_wrong", doctor),
];

/// How long something may take that takes milliseconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const SERVER: &str = "10.77.0.1";

/// A link with a server at a bridge, a client, and another machine.
///
/// ```text
/// client eth0 ── port0 ┐
///                      br0 10.77.0.1 server
/// other eth0 ─── port1 ┘
/// ```
#[derive(Debug)]
pub(crate) struct Lan {
    // Dropped in this order: processes, then namespaces, then files.
    pub(crate) server: Option<Process>,
    pub(crate) client: Namespace,
    pub(crate) other: Namespace,
    pub(crate) at_server: Namespace,
    directory: TempDir,
    program: PathBuf,
    /// The network that addresses are given in, as far as it is the same for all.
    network: &'static str,
}

impl Lan {
    pub(crate) fn new(program: &Path) -> Result<Self, String> {
        let directory = TempDir::with_prefix("pxe-interop-").map_err(text)?;
        // The server runs as nobody.
        run(Command::new("chmod").arg("0755").arg(directory.path()))?;
        fs::create_dir(directory.path().join("tree")).map_err(text)?;
        let [at_server, client, other] = [(); 3].map(|()| Namespace::new(&unique_name()));
        let (at_server, client, other) = (at_server?, client?, other?);
        at_server.connect("port0", &client, "eth0")?;
        at_server.connect("port1", &other, "eth0")?;
        let lan = Self {
            server: None,
            client,
            other,
            at_server,
            directory,
            program: program.to_owned(),
            network: "10.77.0",
        };
        lan.make_bridge(SERVER)?;
        Ok(lan)
    }

    pub(crate) fn make_bridge(&self, address: &str) -> Result<(), String> {
        self.at_server
            .ip(&["link", "add", "br0", "type", "bridge"])?;
        for port in ["port0", "port1"] {
            self.at_server.ip(&["link", "set", port, "master", "br0"])?;
        }
        self.at_server.ip(&["link", "set", "br0", "up"])?;
        add_address(&self.at_server, address, "br0")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a configuration with one pool.
    pub(crate) fn configure(&self, pool: &str) -> Result<PathBuf, String> {
        let config = self.path("server.toml");
        let (work, network) = (self.directory.path().display(), self.network);
        let content = format!(
            r#"
            server = {{ user = "nobody", control = "{work}/control.sock" }}
            tree = {{ root = "{work}/tree" }}
            log = {{ format = "json", level = "debug" }}
            leases = {{ store = "{work}/var/leases.redb" }}
            [dhcp]
            interface = "br0"
            [[dhcp.subnet]]
            network = "{network}.0/24"
            pools = ["{pool}"]
            lease_seconds = 600
            "#
        );
        fs::write(&config, content).map_err(text)?;
        Ok(config)
    }

    pub(crate) fn serve(&mut self, pool: &str) -> Result<(), String> {
        self.configure(pool)?;
        self.serve_by(&[])
    }

    /// Serves the configuration that was written last, started by this program.
    pub(crate) fn serve_by(&mut self, starter: &[&str]) -> Result<(), String> {
        let program = self.program.display().to_string();
        let mut words = starter.iter().copied().chain([program.as_str(), "serve"]);
        let mut command = self.at_server.command(words.next().unwrap_or_default());
        command.args(words).arg(self.path("server.toml"));
        let log = self.path("server.log");
        let mut server = Process::spawn(command, "pxe-server", &log, Output::Log)?;
        await_ports(&self.at_server, &mut server, &log, &[67])?;
        await_text(&mut server, &log, "\"ready\"")?;
        self.server = Some(server);
        Ok(())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("server.log")).unwrap_or_default()
    }

    /// Waits until the server has logged a line that holds all of these.
    pub(crate) fn await_log(&self, parts: &[&str]) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if log
                .lines()
                .any(|line| parts.iter().all(|part| line.contains(part)))
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("no line of the log has {parts:?}:\n{log}"));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Leases an address with this hardware address: the address, and the server's.
    pub(crate) fn lease(&self, mac: &str, more: &[&str]) -> Result<(Ipv4Addr, Ipv4Addr), String> {
        self.client.ip(&["link", "set", "eth0", "address", mac])?;
        let script = self.path("script");
        // udhcpc gives an address back from that very address (-R), so it has to be there.
        let content = "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\n\
                       ip address replace \"$ip/24\" dev \"$interface\"\n\
                       echo \"bound=$ip,$serverid\"\nkill -TERM \"$PPID\"\n";
        fs::write(&script, content).map_err(text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(text)?;
        let script = script.display().to_string();
        let arguments = [
            "udhcpc", "-i", "eth0", "-f", "-n", "-t", "5", "-T", "2", "-s", &script,
        ];
        let output = client(&self.client, "busybox", &[&arguments[..], more].concat())?;
        let output = output
            .succeeds()
            .map_err(|error| format!("{error}\nserver's log:\n{}", self.log()))?
            .text;
        let bound = output.lines().find_map(|line| line.strip_prefix("bound="));
        let (address, server) = bound
            .and_then(|bound| bound.split_once(','))
            .ok_or_else(|| format!("no lease: {output}"))?;
        let bound = format!("{address}/24");
        self.client.ip(&["address", "del", &bound, "dev", "eth0"])?;
        Ok((
            address.parse().map_err(text)?,
            server.parse().map_err(text)?,
        ))
    }

    pub(crate) fn end(mut self) -> Result<(), String> {
        match &mut self.server {
            Some(server) => server.terminate().map(drop),
            None => Ok(()),
        }
    }
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn add_address(
    namespace: &Namespace,
    address: &str,
    device: &str,
) -> Result<(), String> {
    namespace.ip(&["address", "add", &format!("{address}/24"), "dev", device])
}

pub(crate) fn mac(last: u8) -> String {
    format!("52:54:00:77:00:{last:02x}")
}

fn unicast(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    lan.serve("10.77.0.30-10.77.0.50")?;
    for (wants_broadcast, last) in [(false, 1), (true, 2)] {
        let tap = Wiretap::new(&lan.client)?;
        let more: &[&str] = if wants_broadcast { &["-B"] } else { &[] };
        let (address, _) = lan.lease(&mac(last), more)?;
        let deadline = Instant::now() + PATIENCE;
        let mut replies = 0;
        while replies < 2 {
            let datagram = tap.next(deadline).ok_or("no OFFER and ACK were heard")?;
            if datagram.source.port() != 67 {
                continue;
            }
            replies += 1;
            let (hardware, ip) = match wants_broadcast {
                true => ([0xff; 6], Ipv4Addr::BROADCAST),
                false => ([0x52, 0x54, 0, 0x77, 0, last], address),
            };
            ensure(
                datagram.hardware_destination == hardware
                    && *datagram.destination.ip() == ip
                    && datagram.source.ip().to_string() == SERVER,
                || format!("a reply to {address} went to {datagram:?}"),
            )?;
        }
    }
    lan.end()
}

fn probe(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    lan.serve("10.77.0.30-10.77.0.31")?;
    let mut former = [
        (lan.lease(&mac(1), &["-R"])?.0, mac(1)),
        (lan.lease(&mac(2), &["-R"])?.0, mac(2)),
    ];
    former.sort();
    let [(low, low_mac), (high, high_mac)] = &former;
    ensure(low != high, || format!("{low} twice"))?;
    // What was given back first is given again first; within a second, the lower address.
    lan.lease(low_mac, &["-R"])?;
    lan.lease(high_mac, &["-R"])?;
    // A client that uses the address already is no conflict with itself.
    add_address(&lan.client, &low.to_string(), "eth0")?;
    let (third, _) = lan.lease(&mac(3), &["-R"])?;
    ensure(third == *low, || format!("{third}, not {low}"))?;
    ensure(!lan.log().contains("address_in_use"), || lan.log())?;
    // Somebody else who does is one.
    lan.lease(high_mac, &["-R"])?;
    add_address(&lan.other, &low.to_string(), "eth0")?;
    let (fourth, _) = lan.lease(&mac(4), &[])?;
    ensure(fourth == *high, || format!("{fourth}, not {high}"))?;
    lan.await_log(&["address_in_use", &low.to_string()])?;
    lan.end()
}

/// The other machine is the relay of a far link, where the client is.
fn probe_behind_relay(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    let [far, user] = [(); 2].map(|()| Namespace::new(&unique_name()));
    let (far, user) = (far?, user?);
    let relay = &lan.other;
    add_address(relay, "10.77.0.9", "eth0")?;
    relay.ip(&["link", "add", "far0", "type", "bridge"])?;
    for (port, machine) in [("port0", &far), ("port1", &user)] {
        relay.connect(port, machine, "eth0")?;
        relay.ip(&["link", "set", port, "master", "far0"])?;
    }
    relay.ip(&["link", "set", "far0", "up"])?;
    add_address(relay, "10.76.0.1", "far0")?;
    run(relay
        .command("sysctl")
        .args(["-qw", "net.ipv4.ip_forward=1"]))?;
    let to_far = ["route", "add", "10.76.0.0/24", "via", "10.77.0.9"];
    lan.at_server.ip(&to_far)?;
    for (machine, address) in [(&far, "10.76.0.200"), (&user, "10.76.0.201")] {
        add_address(machine, address, "eth0")?;
        machine.ip(&["route", "add", "default", "via", "10.76.0.1"])?;
    }
    let mut command = relay.command("dhcrelay");
    command.args(["-4", "-d", "-id", "far0", "-iu", "eth0", SERVER]);
    let log = lan.path("relay.log");
    let mut relaying = Process::spawn(command, "dhcrelay", &log, Output::Log)?;
    await_text(&mut relaying, &log, "Sending on   Socket/fallback")?;
    lan.network = "10.76.0";
    lan.client = far;
    lan.serve("10.76.0.30-10.76.0.30")?;

    let (address, _) = lan.lease(&mac(1), &["-R"])?;
    lan.await_log(&["released"])?;
    add_address(&user, &address.to_string(), "eth0")?;
    // The router remembers who had it a moment ago.
    lan.other.ip(&["neighbour", "flush", "dev", "far0"])?;
    let second = lan.lease(&mac(2), &["-t", "2", "-T", "2"]);
    ensure(second.is_err(), || format!("{second:?}, which is in use"))?;
    lan.await_log(&["address_in_use", &address.to_string()])?;
    relaying.terminate()?;
    lan.end()
}

fn address_change(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    lan.serve("10.77.0.30-10.77.0.31")?;
    let (leased, _) = lan.lease(&mac(1), &[])?;
    // The new address is the other one of the pool: it must not be given to a client.
    let own = Ipv4Addr::from_bits(leased.to_bits() ^ 1);
    lan.at_server.ip(&["address", "flush", "dev", "br0"])?;
    add_address(&lan.at_server, &own.to_string(), "br0")?;
    lan.await_log(&["own_addresses", &own.to_string()])?;
    let (_, server) = lan.lease(&mac(1), &[])?;
    ensure(server == own, || format!("the server says it is {server}"))?;
    let second = lan.lease(&mac(2), &["-t", "2", "-T", "1"]);
    ensure(second.is_err(), || {
        format!("{second:?} of a pool without a free address")
    })?;
    lan.await_log(&["no address is left"])?;
    lan.end()
}

fn made_anew(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    lan.serve("10.77.0.30-10.77.0.50")?;
    let (before, _) = lan.lease(&mac(1), &[])?;
    lan.at_server.ip(&["link", "delete", "br0"])?;
    lan.await_log(&["interface_lost"])?;
    lan.make_bridge("10.77.0.2")?;
    lan.await_log(&["interface_served"])?;
    lan.await_log(&["own_addresses", "10.77.0.2"])?;
    // The broadcasts of a new client and its unicast RELEASE come in, and answers go out.
    let (after, server) = lan.lease(&mac(1), &["-R"])?;
    ensure(after == before, || format!("{after}, not {before}"))?;
    ensure(server == Ipv4Addr::new(10, 77, 0, 2), || {
        format!("from {server}")
    })?;
    lan.await_log(&["released", &after.to_string()])?;
    let (_, _) = lan.lease(&mac(2), &["-B"])?;
    lan.end()
}

/// dnsmasq as a DHCP server on the other machine.
fn start_dnsmasq(lan: &Lan) -> Result<Process, String> {
    add_address(&lan.other, "10.77.0.9", "eth0")?;
    let mut command = lan.other.command("dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--log-facility=-",
        "--no-ping",
        "--interface=eth0",
        "--dhcp-range=10.77.0.100,10.77.0.110,1h",
        "--pid-file=",
    ]);
    let leases = lan.path("dnsmasq.leases");
    command.arg(format!("--dhcp-leasefile={}", leases.display()));
    let log = lan.path("dnsmasq.log");
    let mut process = Process::spawn(command, "dnsmasq", &log, Output::Log)?;
    await_text(&mut process, &log, "started")?;
    Ok(process)
}

fn other_server(program: &Path) -> Result<(), String> {
    let mut lan = Lan::new(program)?;
    let mut dnsmasq = start_dnsmasq(&lan)?;
    lan.serve("10.77.0.30-10.77.0.50")?;
    lan.await_log(&["other_server", "10.77.0.9"])?;
    dnsmasq.terminate()?;
    lan.end()
}

fn doctor(program: &Path) -> Result<(), String> {
    let lan = Lan::new(program)?;
    let config = lan
        .configure("10.77.0.30-10.77.0.50")?
        .display()
        .to_string();
    let program = program.display().to_string();
    let ask = || {
        client(
            &lan.at_server,
            &program,
            &["doctor", "--wait", "3", &config],
        )
    };
    ask()?
        .succeeds()?
        .says("DHCP can listen on UDP port 67")?
        .says("interface br0 is up with 10.77.0.1")?
        .says("no other DHCP server answers on br0")?
        .says("can be read by nobody")?;

    let mut dnsmasq = start_dnsmasq(&lan)?;
    ask()?.succeeds()?.says("DHCP server 10.77.0.9")?;
    dnsmasq.terminate()?;

    // The port is held, and the tree is for root alone.
    let mut command = lan.at_server.command("dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--interface=br0",
        "--log-facility=-",
        "--dhcp-range=10.77.0.100,10.77.0.110,1h",
        "--pid-file=",
    ]);
    let leases = lan.path("holder.leases");
    command.arg(format!("--dhcp-leasefile={}", leases.display()));
    let log = lan.path("holder.log");
    let mut holder = Process::spawn(command, "dnsmasq", &log, Output::Log)?;
    await_text(&mut holder, &log, "started")?;
    fs::create_dir(lan.path("var")).map_err(text)?;
    fs::set_permissions(lan.path("tree"), fs::Permissions::from_mode(0o700)).map_err(text)?;
    ask()?
        .exits_with(1)?
        .says("address in use (dnsmasq, pid ")?
        .says("cannot be read by nobody")?
        // Its directory is root's.
        .says("leases cannot be kept in")?;
    holder.terminate()?;

    lan.at_server.ip(&["link", "set", "br0", "down"])?;
    ask()?.exits_with(1)?.says("interface br0 is down")?;
    lan.end()
}
