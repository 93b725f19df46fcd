//! The driver: sockets, the clock and a store for one [`Engine`](crate::Engine), on tokio.

mod bell;
mod driver;
mod interface;
mod packet_address;
mod packet_socket;
mod ping_socket;
mod prober;
mod ready_socket;
mod server_search;
mod socket;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::tokio::sync::{Notify, mpsc, oneshot};
use thiserror::Error;

use crate::{
    BootPolicy, Config, ConfigError, Event, LeaseRecord, LeaseStore, Mode, StoreError,
    WithdrawError,
};
use driver::Driver;
use packet_socket::PacketSocket;
use ping_socket::PingSocket;
pub use server_search::{FoundServer, find_dhcp_servers};
use socket::LinkSocket;

/// Sees every event, in order, from the task that runs the server: it must not block.
type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// Where a socket is bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BindSpec {
    /// All clients of one interface, by its name: broadcasts, relays and renewals. What a server
    /// for machines needs. Takes `CAP_NET_RAW` besides the port's privileges
    /// (`SO_BINDTODEVICE`, on kernels before 5.7).
    Interface(String),
    /// One address of this host. It receives no broadcast, so only relays and clients that have
    /// an address reach it: for tests on loopback, or behind relays only. 0.0.0.0 takes all
    /// interfaces, broadcasts included.
    Address(Ipv4Addr),
}

impl BindSpec {
    /// All clients of this interface.
    pub fn interface(name: impl Into<String>) -> Self {
        Self::Interface(name.into())
    }

    /// What comes to this address.
    pub const fn address(address: Ipv4Addr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for BindSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => write!(f, "interface {name}"),
            Self::Address(address) => write!(f, "address {address}"),
        }
    }
}

/// A server cannot be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The interface does not exist.
    #[error("interface {name} does not exist")]
    NoInterface {
        /// Its name.
        name: String,
    },
    /// A socket cannot be had: the port is in use, or needs privileges.
    #[error("cannot listen on UDP port {port} of {spec}")]
    Socket {
        /// Where.
        spec: BindSpec,
        /// The port.
        port: u16,
        /// The system's reason.
        source: io::Error,
    },
    /// This host's addresses cannot be listed.
    #[error("cannot list the addresses of this host")]
    Addresses(#[source] io::Error),
}

/// A server stopped for a reason of its own.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// A socket cannot be used.
    #[error("cannot use a socket")]
    Socket(#[from] io::Error),
    /// The leases cannot be read.
    #[error("cannot load the leases")]
    Store(#[from] StoreError),
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A DHCP server whose sockets are bound, and which does not serve yet.
///
/// Binding needs no runtime, so that a program can bind port 67 as root, give up its privileges,
/// and then start its runtime:
///
/// ```no_run
/// use std::{net::Ipv4Addr, sync::Arc};
/// use pxe_dhcp::{ArchPolicy, BindSpec, Config, MemoryStore, Server, Subnet};
///
/// let config = Config::new().with_ports(10067, 10068).with_subnet(
///     Subnet::new("127.0.0.0/24".parse()?)
///         .with_pool([127, 0, 0, 100].into(), [127, 0, 0, 200].into()),
/// );
/// let server = Server::bind(BindSpec::address(Ipv4Addr::LOCALHOST), config)?
///     .on_event(|event| eprintln!("{event:?}"));
/// let handle = server.handle(); // to reconfigure it, or to end it
/// // Privileges are dropped here.
/// let (store, policy) = (Arc::new(MemoryStore::new()), Arc::new(ArchPolicy::syslinux()));
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// runtime.block_on(server.run(store, policy, std::future::pending()))?;
/// # drop(handle);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With `CAP_NET_RAW` at the time of binding, it answers clients that have no address yet by their
/// hardware address, probes addresses, looks for other DHCP servers, and goes on serving an
/// interface that is made anew. Without it, such clients are answered by broadcast, and
/// [`Event::LinkLayerUnavailable`] says so.
#[must_use = "a server serves when it is run"]
pub struct Server {
    sockets: Vec<(LinkSocket, Port)>,
    raw: RawSockets,
    has_binl: bool,
    config: Config,
    observer: Observer,
    seed: u64,
    changes_interval: Option<Duration>,
    handle: Handle,
    controls: mpsc::UnboundedReceiver<Control>,
}

/// What is asked at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    /// 67: DHCP.
    Server,
    /// 4011: what to boot.
    Binl,
}

/// Sockets that take privileges to open, and none to use.
#[derive(Debug)]
struct RawSockets {
    /// Sends frames by any interface.
    sender: io::Result<PacketSocket>,
    arp: io::Result<PacketSocket>,
    ping: io::Result<PingSocket>,
    /// To look for other servers, one for each interface.
    searches: Vec<(String, PacketSocket)>,
}

/// What a [`Handle`] asks for.
enum Control {
    ShutDown,
    Reconfigure(Box<Config>, Arc<dyn BootPolicy>),
    Leases(oneshot::Sender<Vec<LeaseRecord>>),
    Withdraw(Ipv4Addr, oneshot::Sender<Result<(), WithdrawError>>),
}

impl Server {
    /// Binds a UDP socket to the configuration's server port; to the port of boot servers besides
    /// if the server gives no addresses, and to that alone in [`Mode::Binl`].
    ///
    /// # Errors
    ///
    /// If the configuration contradicts itself, the interface does not exist, the port is in use
    /// or the privileges are missing.
    pub fn bind(spec: BindSpec, config: Config) -> Result<Self, BindError> {
        config.check()?;
        let (sender, controls) = mpsc::unbounded_channel();
        let raw = RawSockets {
            sender: PacketSocket::open(),
            arp: PacketSocket::open(),
            ping: PingSocket::open(server_search::random() as u16),
            searches: Vec::new(),
        };
        Self {
            sockets: Vec::new(),
            raw,
            has_binl: !config.mode.gives_addresses(),
            config,
            observer: Arc::new(|_| {}),
            seed: 0,
            changes_interval: None,
            handle: Handle {
                sender,
                end: Arc::default(),
            },
            controls,
        }
        .and_bind(spec)
    }

    /// Serves there too.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn and_bind(mut self, spec: BindSpec) -> Result<Self, BindError> {
        if let BindSpec::Interface(name) = &spec
            && let Ok(socket) = PacketSocket::open()
        {
            self.raw.searches.push((name.clone(), socket));
        }
        if self.config.mode != Mode::Binl {
            let socket = LinkSocket::bind(spec.clone(), self.config.server_port)?;
            self.sockets.push((socket, Port::Server));
        }
        if self.has_binl {
            let socket = LinkSocket::bind(spec, self.config.binl_port)?;
            self.sockets.push((socket, Port::Binl));
        }
        Ok(self)
    }

    /// Answers at the port of boot servers too, 4011 ([`Config::binl_port`]), wherever it serves:
    /// for boot menus. A server that gives no addresses does so anyway.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn with_binl(mut self) -> Result<Self, BindError> {
        if !std::mem::replace(&mut self.has_binl, true) {
            let specs = self.sockets.iter().map(|(socket, _)| socket.spec().clone());
            for spec in specs.collect::<Vec<_>>() {
                let socket = LinkSocket::bind(spec, self.config.binl_port)?;
                self.sockets.push((socket, Port::Binl));
            }
        }
        Ok(self)
    }

    /// Calls `observer` with each event. It runs on the server's task: it must not block.
    pub fn on_event(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Decides which of the free addresses a client gets; see [`Engine::new`](crate::Engine::new).
    /// Default: 0.
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Asks the store for changes by other servers this often. Default: never, for a store of
    /// one's own.
    pub const fn with_changes_every(mut self, interval: Duration) -> Self {
        self.changes_interval = Some(interval);
        self
    }

    /// The addresses that the sockets are bound to, in the order in which they were bound.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        let sockets = self.sockets.iter();
        sockets.map(|(socket, _)| socket.local_addr()).collect()
    }

    /// Where each socket is bound, in the order of [`local_addrs`](Self::local_addrs).
    pub fn specs(&self) -> impl Iterator<Item = &BindSpec> {
        self.sockets.iter().map(|(socket, _)| socket.spec())
    }

    /// A remote control that stays valid while the server runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until `shutdown` completes, or [`Handle::shut_down`] is called. Leases on their way
    /// to the store are then stored and acknowledged before it returns; a store that hangs is
    /// waited for. While the leases are still being loaded, it ends at once.
    ///
    /// # Errors
    ///
    /// If the store cannot be read at the start, or a socket cannot be used: what happens to one
    /// client is an [`Event`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn run(
        self,
        store: Arc<dyn LeaseStore>,
        policy: Arc<dyn BootPolicy>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), RunError> {
        let handle = self.handle();
        let mut shutdown = std::pin::pin!(async {
            ::tokio::select! {
                () = shutdown => {}
                () = handle.end.notified() => {}
            }
        });
        // A store that hangs keeps no server from its end.
        let driver = ::tokio::select! {
            biased;
            started = Driver::start(self, store, policy) => started?,
            () = &mut shutdown => return Ok(()),
        };
        let mut driver = std::pin::pin!(driver.run());
        ::tokio::select! {
            result = &mut driver => return result,
            // The driver has the other end until it is over.
            () = shutdown => drop(handle.sender.send(Control::ShutDown)),
        }
        driver.await
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("sockets", &self.sockets)
            .field("config", &self.config)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// Controls a [`Server`] while it runs (and before).
#[derive(Clone)]
pub struct Handle {
    sender: mpsc::UnboundedSender<Control>,
    /// Apart from the rest, as it counts while the leases are still being loaded.
    end: Arc<Notify>,
}

impl Handle {
    /// Ends the server: see [`Server::run`].
    pub fn shut_down(&self) {
        self.end.notify_one();
    }

    /// Changes what the server does, at once and without losing a lease. Sockets and ports stay
    /// as they were bound.
    ///
    /// # Errors
    ///
    /// If the configuration contradicts itself; the old one stays then.
    pub fn reconfigure(
        &self,
        config: Config,
        policy: Arc<dyn BootPolicy>,
    ) -> Result<(), ConfigError> {
        config.check()?;
        let _ = self
            .sender
            .send(Control::Reconfigure(Box::new(config), policy));
        Ok(())
    }

    /// The records of all leases, by address; `None` if the server has ended.
    pub async fn leases(&self) -> Option<Vec<LeaseRecord>> {
        let (sender, receiver) = oneshot::channel();
        self.sender.send(Control::Leases(sender)).ok()?;
        receiver.await.ok()
    }

    /// Frees an address: see [`Engine::withdraw`](crate::Engine::withdraw). When it returns, the
    /// store has it.
    ///
    /// # Errors
    ///
    /// If nobody holds the address, it is being changed, the store refuses, or the server has
    /// ended.
    pub async fn withdraw(&self, address: Ipv4Addr) -> Result<(), WithdrawError> {
        let (sender, receiver) = oneshot::channel();
        let sent = self.sender.send(Control::Withdraw(address, sender));
        sent.map_err(|_| WithdrawError::Ended)?;
        receiver.await.unwrap_or(Err(WithdrawError::Ended))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
