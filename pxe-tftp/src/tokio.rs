//! The driver: sockets, the clock and files for one [`Engine`](crate::Engine), on tokio.

mod bind;
mod driver;
mod files;
mod icmp;
mod mtu;
mod readiness;
mod socket;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use pxe_tree::Source;

use crate::config::Config;
use crate::event::Event;
use driver::Driver;
use readiness::Shared;

/// Sees every event, in order, from the task that runs the server: it must not block.
type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// A TFTP server whose sockets are bound, and which does not serve yet.
///
/// Binding needs no runtime, so that a program can bind port 69 as root, give up its privileges,
/// and then start its runtime:
///
/// ```
/// use std::sync::Arc;
/// use pxe_tftp::{Config, Server};
/// use pxe_tree::{ErrorKind, FileRequest, MemBlob, Opened, source_fn};
///
/// let server = Server::bind("127.0.0.1:0".parse().unwrap(), Config::new())?
///     .on_event(|event| eprintln!("{event:?}"));
/// let handle = server.handle();
/// // Privileges are dropped here.
/// let source = source_fn(|request: &FileRequest<'_>| match request.path.as_bytes() {
///     b"hello.txt" => Ok(Opened::File(MemBlob::new("hello"))),
///     _ => Err(ErrorKind::NotFound.into()),
/// });
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # handle.shut_down();
/// runtime.block_on(server.run(Arc::new(source), std::future::pending()))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a server serves when it is run"]
pub struct Server {
    sockets: Vec<UdpSocket>,
    config: Config,
    observer: Observer,
    grace: Duration,
    shared: Arc<Shared>,
}

impl Server {
    /// How long transfers may go on after a shutdown began, unless
    /// [`with_grace`](Self::with_grace) says otherwise: a kernel and an initrd take less at
    /// 10 MB/s.
    pub const GRACE_DEFAULT: Duration = Duration::from_secs(30);

    /// Binds a UDP socket to `addr`.
    ///
    /// The wildcard addresses are right: answers leave from the address that was asked all the
    /// same. `[::]` takes IPv4 as well. Port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// The system's: the address is in use or not ours, or the port needs privileges.
    pub fn bind(addr: SocketAddr, config: Config) -> io::Result<Self> {
        Self::from_socket(bind::bind_listener(addr)?, config)
    }

    /// Takes a socket that is bound already, for example by a service manager.
    ///
    /// # Errors
    ///
    /// The system's: it is no UDP socket.
    pub fn from_socket(socket: UdpSocket, config: Config) -> io::Result<Self> {
        socket.local_addr()?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            sockets: vec![socket],
            config,
            observer: Arc::new(|_| {}),
            grace: Self::GRACE_DEFAULT,
            shared: Arc::default(),
        })
    }

    /// Serves on this address too.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn and_bind(self, addr: SocketAddr) -> io::Result<Self> {
        let socket = bind::bind_listener(addr)?;
        self.and_socket(socket)
    }

    /// Serves on this socket too.
    ///
    /// # Errors
    ///
    /// As [`from_socket`](Self::from_socket).
    pub fn and_socket(mut self, socket: UdpSocket) -> io::Result<Self> {
        socket.local_addr()?;
        socket.set_nonblocking(true)?;
        self.sockets.push(socket);
        Ok(self)
    }

    /// Calls `observer` with each event. It runs on the server's task: it must not block.
    pub fn on_event(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// How long transfers may go on after a shutdown began, before their clients get an ERROR.
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The address that the first socket is bound to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.sockets.first() {
            Some(socket) => socket.local_addr(),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The addresses that all sockets are bound to, in the order in which they were given.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(UdpSocket::local_addr).collect()
    }

    /// A remote control that stays valid while the server runs.
    pub fn handle(&self) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Serves files from `source` until `shutdown` completes, or [`Handle::shut_down`] is called,
    /// and the running transfers are over (or the grace period is).
    ///
    /// Dropping the future ends all transfers at once, without a word to their clients.
    ///
    /// # Errors
    ///
    /// The system's, if a socket cannot be used: what happens to one client is an [`Event`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn run(
        self,
        source: Arc<dyn Source>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let handle = self.handle();
        let driver = Driver::new(
            self.sockets,
            self.config,
            source,
            self.observer,
            self.grace,
            self.shared,
        )?;
        let mut driver = std::pin::pin!(driver.run());
        ::tokio::select! {
            result = &mut driver => return result,
            () = shutdown => handle.shut_down(),
        }
        driver.await
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("sockets", &self.sockets)
            .field("config", &self.config)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// Controls a [`Server`] while it runs (and before).
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Begins a graceful shutdown: new requests get an ERROR, running transfers go on until they
    /// are over or the grace period is. Then [`Server::run`] returns.
    pub fn shut_down(&self) {
        self.shared.control(|control| control.shut_down = true);
    }

    /// Changes the configuration for new transfers; running ones keep theirs.
    pub fn reconfigure(&self, config: Config) {
        self.shared.control(|control| control.config = Some(config));
    }
}
