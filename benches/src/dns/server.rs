//! The servers that are compared: how each is configured and started.
//!
//! All alike: the same names, answers as short as can be (no NS records beside them), no limit on
//! rates, no log of queries, no recursion.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use clap::ValueEnum;
use pxe_test_lab::Namespace;

use super::names::{FORWARD, REVERSE, TTL_SECONDS};
use crate::processor::Placement;
use crate::running::{Running, on_cpus};

/// Where all of them listen.
pub(super) const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 53);

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// This project's.
    #[value(name = "pxe-server")]
    PxeServer,
    /// Its crate alone, as a process of this program.
    #[value(name = "pxe-dns")]
    PxeDns,
    /// NLnet Labs' NSD.
    Nsd,
    /// CZ.NIC's Knot DNS.
    Knot,
    /// ISC's BIND.
    Named,
    /// dnsmasq, with the names in a hosts file: it reads no zones.
    Dnsmasq,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::PxeServer,
        Self::Nsd,
        Self::Knot,
        Self::Named,
        Self::Dnsmasq,
    ];
    pub(super) const PACKAGES: [&str; 5] = ["nsd", "knot", "bind9", "dnsmasq-base", "dnsperf"];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PxeServer => "pxe-server",
            Self::PxeDns => "pxe-dns",
            Self::Nsd => "nsd",
            Self::Knot => "knot",
            Self::Named => "named",
            Self::Dnsmasq => "dnsmasq",
        }
    }
}

/// Starts a server in a namespace, on the CPUs of a placement and with as many threads. The
/// directory has the zones, and gets what else the server writes.
///
/// # Errors
/// A text that names the server.
pub(super) fn start(
    kind: Kind,
    pxe_server: &Path,
    namespace: &Namespace,
    directory: &Path,
    placement: Placement,
) -> Result<Running, String> {
    let own = directory.join(kind.name());
    let at = |error: std::io::Error| format!("{}: {error}", kind.name());
    fs::create_dir_all(&own).map_err(at)?;
    let config = own.join("config");
    let (cpus, _) = placement.cpus();
    let text = config_text(kind, directory, &own, cpus.len());
    fs::write(&config, text).map_err(at)?;
    let mut command = on_cpus(namespace, cpus);
    let threads = cpus.len().to_string();
    match kind {
        Kind::PxeServer => command.arg(pxe_server).arg("serve").arg(config),
        Kind::PxeDns => {
            let program = std::env::current_exe().map_err(at)?;
            command.arg(program).arg("dns-serve").arg(directory)
        }
        Kind::Nsd => command.args(["nsd", "-d", "-c"]).arg(config),
        Kind::Knot => command.args(["knotd", "-c"]).arg(config),
        Kind::Named => {
            command.args(["named", "-g", "-4", "-n", &threads, "-c"]);
            command.arg(config)
        }
        Kind::Dnsmasq => {
            command.args(["dnsmasq", "--keep-in-foreground", "--user=root"]);
            let file = format!("--conf-file={}", config.display());
            command.args(["--pid-file=", "--log-facility=-", &file])
        }
    };
    Running::start(command, kind.name(), &own.join("log"))
}

fn config_text(kind: Kind, directory: &Path, own: &Path, threads: usize) -> String {
    let (directory, own) = (directory.display(), own.display());
    let (ip, port) = (ADDRESS.ip(), ADDRESS.port());
    match kind {
        Kind::PxeServer => format!(
            r#"[server]
user = "root"
control = "{own}/control"
[tree]
root = "{own}"
[dns]
listen = "{ADDRESS}"
forward = []
[[dns.zone]]
name = "{FORWARD}"
file = "{directory}/forward.zone"
[[dns.zone]]
name = "{REVERSE}"
file = "{directory}/reverse.zone"
"#
        ),
        Kind::PxeDns => String::new(),
        Kind::Nsd => format!(
            r#"server:
  ip-address: {ip}
  port: {port}
  server-count: {threads}
  reuseport: yes
  username: ""
  pidfile: ""
  database: ""
  zonelistfile: "{own}/zone.list"
  xfrdfile: "{own}/xfrd.state"
  zonesdir: "{directory}"
  minimal-responses: yes
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: {FORWARD}
  zonefile: forward.zone
zone:
  name: {REVERSE}
  zonefile: reverse.zone
"#
        ),
        Kind::Knot => format!(
            "server:
  rundir: {own}
  listen: {ip}@{port}
  udp-workers: {threads}
  tcp-workers: 1
  background-workers: 1
log:
  - target: stderr
    any: warning
database:
  storage: {own}
template:
  - id: default
    storage: {directory}
    journal-content: none
zone:
  - domain: {FORWARD}
    file: forward.zone
  - domain: {REVERSE}
    file: reverse.zone
"
        ),
        Kind::Named => format!(
            r#"options {{
  directory "{own}";
  pid-file none;
  session-keyfile none;
  listen-on port {port} {{ {ip}; }};
  listen-on-v6 {{ none; }};
  recursion no;
  minimal-responses yes;
  notify no;
  dnssec-validation no;
}};
controls {{ }};
zone "{FORWARD}" {{ type primary; file "{directory}/forward.zone"; }};
zone "{REVERSE}" {{ type primary; file "{directory}/reverse.zone"; }};
"#
        ),
        Kind::Dnsmasq => format!(
            "port={port}
listen-address={ip}
bind-interfaces
no-resolv
no-hosts
addn-hosts={directory}/hosts
local=/{FORWARD}/
local=/{REVERSE}/
local-ttl={TTL_SECONDS}
"
        ),
    }
}
