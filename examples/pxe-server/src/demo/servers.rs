//! The demo's servers: those of `serve`, on loopback addresses, unprivileged ports and a tree in
//! memory.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use pxe_tree::MemTree;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::files::{Files, LINKS};
use super::{RELAY, SERVER};
use crate::bind::{Bound, StartError};
use crate::config::{Config, ConfigError};
use crate::fact::Protocol;
use crate::machines::Machines;
use crate::running::Running;

/// The first and the last of the addresses that machines get; on Linux all of 127.0.0.0/8 is ours.
pub(super) const POOL: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 30), Ipv4Addr::new(127, 0, 0, 39)];

/// The configuration, `@PORT@` being that of DHCP. `root` only gives the tree in memory a name.
const CONFIG: &str = r#"
[server]
user = ""
control = ""
grace_seconds = 1

[tree]
root = "/demo"

[dhcp]
listen = "127.0.0.1"
port = @PORT@

[[dhcp.subnet]]
network = "127.0.0.0/24"
pools = ["127.0.0.30-127.0.0.39"]
lease_seconds = 600

[boot]
configfile = "pxelinux.cfg/default"
files = { uefi-x64 = "efi64/syslinux.efi", default = "bios/lpxelinux.0" }

[tftp]
listen = ["127.0.0.1:0"]

[http]
listen = ["127.0.0.1:0"]
"#;

/// How often a port is looked for that is free on both addresses.
const PORT_ATTEMPTS_MAX: u32 = 16;

/// Why the servers did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServerError {
    #[error("servers did not start: {0}")]
    Start(#[from] StartError),
    #[error("demo's own configuration is wrong: {0}")]
    Config(#[from] ConfigError),
    #[error("no UDP port is free on both {SERVER} and {RELAY}")]
    NoPort,
    #[error("{0} is not served")]
    NotServed(Protocol),
    #[error("tree in memory: {0}")]
    Tree(#[from] pxe_tree::Error),
    #[error("operating system: {0}")]
    System(#[from] io::Error),
    #[error("servers ended: {0}")]
    Ended(String),
}

/// Servers that run until they are stopped.
#[derive(Debug)]
pub(super) struct Servers {
    runtime: Runtime,
    running: Running,
    tree: Arc<MemTree>,
    relay: UdpSocket,
    dhcp: SocketAddrV4,
    tftp: SocketAddr,
    http: SocketAddr,
}

/// Signals by which the process is told to end.
#[derive(Debug)]
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Servers {
    /// Starts all three on ports that the system chooses, with a tree that is empty yet.
    pub(super) fn start() -> Result<Self, ServerError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let tree = Arc::new(MemTree::new());
        let (relay, port) = relay_socket()?;
        let text = CONFIG.replace("@PORT@", &port.to_string());
        let config = Config::parse(&text, Path::new("demo.toml"))?;
        let bound = Bound::bind(config)?;
        let running = runtime.block_on(bound.start_with_tree(tree.clone()))?;
        let address = |protocol| {
            let addresses = running.addresses(protocol);
            addresses
                .first()
                .copied()
                .ok_or(ServerError::NotServed(protocol))
        };
        let (tftp, http) = (address(Protocol::Tftp)?, address(Protocol::Http)?);
        Ok(Self {
            runtime,
            running,
            tree,
            relay,
            dhcp: SocketAddrV4::new(SERVER, port),
            tftp,
            http,
        })
    }

    /// Puts files, and the links between their folders, into the tree.
    pub(super) fn publish(&self, files: &Files) -> Result<(), ServerError> {
        for (path, content) in files.iter() {
            self.tree.insert_file(path, content.clone())?;
        }
        for (path, target) in LINKS {
            self.tree.insert_link(path, target)?;
        }
        Ok(())
    }

    pub(super) const fn dhcp(&self) -> SocketAddrV4 {
        self.dhcp
    }

    pub(super) const fn tftp(&self) -> SocketAddr {
        self.tftp
    }

    pub(super) const fn http(&self) -> SocketAddr {
        self.http
    }

    /// The socket of the machines' relay.
    pub(super) const fn relay(&self) -> &UdpSocket {
        &self.relay
    }

    pub(super) fn machines(&self) -> &Machines {
        self.running.machines()
    }

    /// From now on, SIGINT and SIGTERM end the process no more: they end the wait for them.
    pub(super) fn catch_interrupts(&self) -> Result<Interrupts, ServerError> {
        let _context = self.runtime.enter();
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when the process was told to end.
    pub(super) fn wait_for(&self, mut interrupts: Interrupts) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupts.interrupt.recv() => {}
                _ = interrupts.terminate.recv() => {}
            }
        });
    }

    /// Ends all servers, and says if one of them had ended by itself.
    pub(super) fn stop(self) -> Result<(), ServerError> {
        let stopped = self.runtime.block_on(self.running.stop());
        stopped.map_err(ServerError::Ended)
    }
}

/// The relay's socket, on a port that is free on the server's address, too: a server answers a
/// relay on the server's own port (RFC 2131 section 4.1).
fn relay_socket() -> Result<(UdpSocket, u16), ServerError> {
    // Kept until the end, so that the system does not offer the same port again.
    let mut occupied = Vec::new();
    for _ in 0..PORT_ATTEMPTS_MAX {
        let relay = UdpSocket::bind((RELAY, 0))?;
        let port = relay.local_addr()?.port();
        match UdpSocket::bind((IpAddr::V4(SERVER), port)) {
            Ok(_) => return Ok((relay, port)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => occupied.push(relay),
            Err(error) => return Err(error.into()),
        }
    }
    Err(ServerError::NoPort)
}

#[cfg(test)]
mod tests {
    use super::super::files::MENU;
    use super::*;

    #[test]
    fn configuration_says_what_the_machines_expect() {
        let text = CONFIG.replace("@PORT@", "1067");
        let config = Config::parse(&text, Path::new("demo.toml")).expect("valid");
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        let dhcp = config.dhcp.expect("there");
        assert_eq!(dhcp.subnets[0].pools, [POOL[0]..=POOL[1]]);
        assert_eq!(dhcp.listen, [SERVER]);
        assert_eq!(
            config.boot.expect("there").configfile.as_deref(),
            Some(MENU)
        );
    }
}
