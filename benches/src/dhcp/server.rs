//! The servers that are compared: how each is configured and started.
//!
//! All alike: one subnet, the same pool, no conflict probing, no limit on leases that matters,
//! leases kept as each ships.

use std::fs;
use std::path::{Path, PathBuf};

use pxe_test_lab::{Namespace, Output, Process};

use crate::processor::cpu_seconds;

/// The interface of the server.
pub(crate) const INTERFACE: &str = "bench0";

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    PxeServer,
    Kea,
    Isc,
    Dnsmasq,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::PxeServer, Self::Kea, Self::Isc, Self::Dnsmasq];
    pub(crate) const PACKAGES: [&str; 4] = [
        "kea-dhcp4-server",
        "kea-admin",
        "isc-dhcp-server",
        "dnsmasq-base",
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PxeServer => "pxe-server",
            Self::Kea => "kea-dhcp4",
            Self::Isc => "isc-dhcpd",
            Self::Dnsmasq => "dnsmasq",
        }
    }

    /// What it does before an ACK leaves.
    pub(crate) const fn durability(self) -> &'static str {
        match self {
            Self::PxeServer => "flushes before each ACK, many leases in one flush",
            Self::Kea => "appends to its memfile, never flushes",
            Self::Isc => "flushes before each ACK",
            Self::Dnsmasq => "rewrites its lease file",
        }
    }
}

/// How many addresses there are to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// 4,096: isc-dhcpd takes the longer for a new lease, the more addresses are free.
    Usual,
    /// 260,000.
    Large,
}

impl Pool {
    const FIRST: &str = "10.16.1.0";

    const fn last(self) -> &'static str {
        match self {
            Self::Usual => "10.16.16.255",
            Self::Large => "10.19.254.255",
        }
    }
}

/// A server that runs, with its files in a directory.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    kind: Kind,
    log: PathBuf,
}

impl Running {
    /// Starts a server in its namespace, with what leases the directory has from before.
    ///
    /// # Errors
    /// A text that names the server.
    pub(crate) fn start(
        kind: Kind,
        pxe_server: &Path,
        namespace: &Namespace,
        directory: &Path,
        pool: Pool,
    ) -> Result<Self, String> {
        let arguments = arguments(kind, pxe_server, directory, pool)?;
        let log = directory.join("log");
        let mut command = namespace.command("taskset");
        command.args(["-c", "1"]).args(&arguments);
        // Debian's Kea insists on a directory for its lock and pid files.
        command.env("KEA_PIDFILE_DIR", directory);
        command.env("KEA_LOCKFILE_DIR", directory);
        let process = Process::spawn(command, kind.name(), &log, Output::Log)?;
        Ok(Self { process, kind, log })
    }

    /// Bytes of memory that are in use.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    }

    /// Processor time used since it started, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        cpu_seconds(self.pid())
    }

    fn pid(&self) -> u32 {
        // setpriv, `ip netns exec` and taskset replace themselves: it is one process all along.
        self.process.id()
    }

    /// # Errors
    /// A text with the log's end, if it has ended already.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        if let Some(status) = self.process.ended() {
            return Err(self.failed(&format!("ended: {status}")));
        }
        self.process.terminate().map(|_| ())
    }

    /// What went wrong, with the end of the server's log.
    pub(crate) fn failed(&self, error: &str) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let tail = log
            .get(log.len().saturating_sub(2000)..)
            .unwrap_or_default();
        let (name, tail) = (self.kind.name(), String::from_utf8_lossy(tail));
        format!("{name}: {error}\n{tail}")
    }
}

fn arguments(
    kind: Kind,
    pxe_server: &Path,
    directory: &Path,
    pool: Pool,
) -> Result<Vec<String>, String> {
    let (first, last) = (Pool::FIRST, pool.last());
    let at = |name: &str| directory.join(name).display().to_string();
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let leases = at("leases");
    let owned = |arguments: &[&str]| arguments.iter().map(|&one| one.to_owned()).collect();
    Ok(match kind {
        Kind::PxeServer => {
            let tree = at("tree");
            fs::create_dir_all(&tree).map_err(|error| format!("{tree}: {error}"))?;
            write(
                "server.toml",
                pxe_server_config(&tree, &leases, first, last),
            )?;
            let program = pxe_server.display().to_string();
            owned(&[&program, "serve", &at("server.toml")])
        }
        Kind::Kea => {
            write("kea.json", kea_config(&leases, first, last))?;
            owned(&["kea-dhcp4", "-c", &at("kea.json")])
        }
        Kind::Isc => {
            write("dhcpd.conf", isc_config(first, last))?;
            if !Path::new(&leases).exists() {
                write("leases", String::new())?;
            }
            let (config, pid) = (at("dhcpd.conf"), at("pid"));
            let files = ["-cf", &config, "-lf", &leases, "-pf", &pid];
            let mut arguments: Vec<String> = owned(&["dhcpd", "-f", "-q", "-4"]);
            arguments.extend(files.map(str::to_owned));
            arguments.push(INTERFACE.to_owned());
            arguments
        }
        Kind::Dnsmasq => owned(&[
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--port=0",
            "--no-ping",
            "--quiet-dhcp",
            "--user=root",
            "--dhcp-lease-max=1048576",
            &format!("--interface={INTERFACE}"),
            &format!("--dhcp-leasefile={leases}"),
            &format!("--dhcp-range={first},{last},255.240.0.0,1h"),
            "--dhcp-authoritative",
        ]),
    })
}

fn pxe_server_config(tree: &str, leases: &str, first: &str, last: &str) -> String {
    format!(
        r#"[server]
user = "root"
control = "{leases}.control"
[tree]
root = "{tree}"
[leases]
store = "{leases}"
[dhcp]
interface = "{INTERFACE}"
probing = "off"
[dhcp.limits]
client_burst = 1048576
client_messages_per_second = 1048576
offers_max = 262144
offers_per_port_max = 262144
leases_per_port_max = 1048576
leases_per_oui_max = 1048576
new_clients_burst = 1048576
new_clients_per_second = 1048576
[[dhcp.subnet]]
network = "10.16.0.0/12"
pools = ["{first}-{last}"]
routers = ["10.16.0.1"]
"#
    )
}

fn kea_config(leases: &str, first: &str, last: &str) -> String {
    format!(
        r#"{{ "Dhcp4": {{
  "interfaces-config": {{ "interfaces": ["{INTERFACE}"] }},
  "lease-database": {{ "type": "memfile", "persist": true, "name": "{leases}", "lfc-interval": 0 }},
  "valid-lifetime": 3600,
  "subnet4": [ {{ "id": 1, "subnet": "10.16.0.0/12",
    "pools": [ {{ "pool": "{first} - {last}" }} ],
    "option-data": [ {{ "name": "routers", "data": "10.16.0.1" }} ] }} ],
  "loggers": [ {{ "name": "kea-dhcp4", "severity": "WARN",
    "output_options": [ {{ "output": "stdout" }} ] }} ]
}} }}
"#
    )
}

/// dhcp-cache-threshold: it would answer clients that it knows without writing anything.
fn isc_config(first: &str, last: &str) -> String {
    format!(
        "authoritative;
ping-check false;
dhcp-cache-threshold 0;
default-lease-time 3600;
max-lease-time 3600;
subnet 10.16.0.0 netmask 255.240.0.0 {{
  range {first} {last};
  option routers 10.16.0.1;
}}
"
    )
}
