//! The driver: threads, each with sockets, the clock and files for one
//! [`Engine`](crate::Engine) of its own.

mod backlog;
mod bind;
mod buffers;
mod chunks;
mod claims;
mod control;
mod files;
mod fragments;
mod icmp;
mod interfaces;
mod jobs;
mod listener;
mod lone;
mod mailbox;
mod mtu;
mod poller;
mod processors;
mod requests;
mod slices;
mod transfer_socket;
mod worker;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::tokio::runtime;
use ::tokio::sync::mpsc;
use futures_util::FutureExt;
use pxe_tree::Source;

use crate::config::{Config, PortMode};
use crate::event::Event;
use backlog::BacklogBytes;
use chunks::Chunks;
use claims::Claims;
use control::Shared;
use mailbox::Mailbox;
use processors::Steering;
use requests::Desk;
use worker::{Common, Worker};

/// Sees every event, those of a transfer in order, from the threads that serve: it must not block.
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
    groups: Vec<Group>,
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

    /// Binds UDP sockets to `addr`: as many as there are processors that this program may use, up
    /// to 16. Each is served by a thread.
    ///
    /// A request is served by the thread of the processor that it arrived at, if the processors are
    /// the first ones of the machine, and every network interface can deliver packets to all of
    /// them at this moment: a network card by as many queues, or by receive packet steering
    /// (`rps_cpus`). Else, and with [`PortMode::Single`], the client's address and port decide.
    ///
    /// The wildcard addresses are right: answers leave from the address that was asked all the
    /// same. `[::]` takes IPv4 as well. Port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// The system's: the address is in use or not ours, or the port needs privileges.
    pub fn bind(addr: SocketAddr, config: Config) -> io::Result<Self> {
        Ok(Self::new(Group::bind(addr)?, config))
    }

    /// Takes a socket that is bound already, for example by a service manager. It is served by one
    /// thread.
    ///
    /// # Errors
    ///
    /// The system's: it is no UDP socket.
    pub fn from_socket(socket: UdpSocket, config: Config) -> io::Result<Self> {
        socket.local_addr()?;
        bind::enlarge(&socket);
        Ok(Self::new(Group::single(socket), config))
    }

    fn new(group: Group, config: Config) -> Self {
        Self {
            groups: vec![group],
            config,
            observer: Arc::new(|_| {}),
            grace: Self::GRACE_DEFAULT,
            shared: Arc::default(),
        }
    }

    /// Serves on this address too.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn and_bind(mut self, addr: SocketAddr) -> io::Result<Self> {
        self.groups.push(Group::bind(addr)?);
        Ok(self)
    }

    /// Serves on this socket too.
    ///
    /// # Errors
    ///
    /// As [`from_socket`](Self::from_socket).
    pub fn and_socket(mut self, socket: UdpSocket) -> io::Result<Self> {
        socket.local_addr()?;
        bind::enlarge(&socket);
        self.groups.push(Group::single(socket));
        Ok(self)
    }

    /// Calls `observer` with each event. It runs on the threads that serve, maybe on several at
    /// once; the events of one transfer come in order. It must not block.
    pub fn on_event(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// How long transfers may go on after a shutdown began, before their clients get an ERROR.
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The address that was bound first.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.groups.first().and_then(Group::first) {
            Some(socket) => socket.local_addr(),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The addresses that are bound, in the order in which they were given.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        let sockets = self.groups.iter().filter_map(Group::first);
        sockets.map(UdpSocket::local_addr).collect()
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
    /// Clients are served by threads, each with its own sockets and transfers, and not by tasks of
    /// the runtime. That is for the source: what it cannot answer at once it goes on with there.
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
        let mut threads = Threads::start(self, source)?;
        let mut shutdown = pin!(shutdown.fuse());
        loop {
            ::tokio::select! {
                result = threads.next_end() => match result {
                    Some(result) => result?,
                    None => return Ok(()),
                },
                () = &mut shutdown => handle.shut_down(),
            }
        }
    }

    /// The listening sockets of each thread.
    fn divide(groups: Vec<Group>) -> Vec<Vec<UdpSocket>> {
        let mut threads: Vec<Vec<UdpSocket>> = Vec::new();
        // Single sockets last, and not all to one thread.
        let groups = groups.into_iter().map(|group| group.sockets);
        let (shared, single): (Vec<_>, Vec<_>) = groups.partition(|group| group.len() > 1);
        for group in shared {
            for (number, socket) in group.into_iter().enumerate() {
                match threads.get_mut(number) {
                    Some(thread) => thread.push(socket),
                    None => threads.push(vec![socket]),
                }
            }
        }
        for socket in single.into_iter().flatten() {
            match threads.iter_mut().min_by_key(|thread| thread.len()) {
                Some(thread) => thread.push(socket),
                None => threads.push(vec![socket]),
            }
        }
        threads
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("sockets", &self.groups)
            .field("config", &self.config)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// The sockets of one address, among which the system divides the clients.
#[derive(Debug)]
struct Group {
    sockets: Vec<UdpSocket>,
    /// Whether it suits that each gets what arrives at its processor.
    by_processor: bool,
}

impl Group {
    /// As many as there are to be threads.
    fn bind(addr: SocketAddr) -> io::Result<Self> {
        let sockets = bind::bind_listeners(addr)?;
        let by_processor = processors::suit(sockets.len());
        Ok(Self {
            sockets,
            by_processor,
        })
    }

    fn single(socket: UdpSocket) -> Self {
        Self {
            sockets: vec![socket],
            by_processor: false,
        }
    }

    fn first(&self) -> Option<&UdpSocket> {
        self.sockets.first()
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
        self.shared.wish(|wishes| wishes.shut_down = true);
    }

    /// Changes the configuration for new transfers; running ones keep theirs.
    pub fn reconfigure(&self, config: Config) {
        self.shared.wish(|wishes| wishes.config = Some(config));
    }
}

/// The threads of a server that runs. They end when this is dropped.
struct Threads {
    shared: Arc<Shared>,
    threads: Vec<Option<JoinHandle<io::Result<()>>>>,
    /// Tells the number of a thread that ends.
    ends: mpsc::UnboundedReceiver<usize>,
}

/// Tells of a thread's end, be it a panic.
struct End(usize, mpsc::UnboundedSender<usize>);

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

impl Threads {
    fn start(server: Server, source: Arc<dyn Source>) -> io::Result<Self> {
        let steered = Self::steer(&server.groups, &server.config);
        let divided = Server::divide(server.groups);
        let shared = server.shared;
        shared.prepare(divided.len())?;
        let mailbox = |number| Arc::new(Mailbox::new(Arc::clone(&shared), number));
        let mailboxes: Vec<_> = (0..divided.len()).map(mailbox).collect();
        let desk = steered.map(|addrs| {
            let mailboxes = mailboxes.clone();
            Arc::new(Desk {
                claims: Claims::default(),
                addrs,
                mailboxes,
            })
        });
        let common = Common {
            chunks: Arc::new(Chunks::new(server.config.limits.cache_bytes_max)),
            config: server.config,
            source,
            observer: server.observer,
            grace: server.grace,
            shared: Arc::clone(&shared),
            runtime: runtime::Handle::current(),
            backlog_bytes: BacklogBytes::default(),
            epoch: Instant::now(),
            desk,
        };
        let (sender, ends) = mpsc::unbounded_channel();
        let mut started = Self {
            shared,
            threads: Vec::new(),
            ends,
        };
        for (number, (sockets, mailbox)) in divided.into_iter().zip(mailboxes).enumerate() {
            let worker = Worker::new(number, sockets, mailbox, common.clone())?;
            let end = End(number, sender.clone());
            let thread = thread::Builder::new().name(format!("tftp-{number}"));
            let thread = thread.spawn(move || {
                let _end = end;
                worker.run()
            })?;
            started.threads.push(Some(thread));
        }
        Ok(started)
    }

    /// Has requests go to the thread of the processor that they arrive at, where that suits: packets
    /// that pass from one to another cost half as much again. It says at which addresses it is so.
    fn steer(groups: &[Group], config: &Config) -> Option<Vec<SocketAddr>> {
        let threads = groups.iter().map(|group| group.sockets.len()).max()?;
        // With one port for all, ACKs have to come where the request came.
        if config.ports == PortMode::Single {
            return None;
        }
        let suits = |group: &&Group| group.by_processor && group.sockets.len() == threads;
        let steered = groups.iter().filter(suits).filter_map(|group| {
            let socket = group.first()?;
            let addr = socket.local_addr().ok()?;
            Steering::Processor.set(socket).ok()?;
            Some(addr)
        });
        let addrs: Vec<_> = steered.collect();
        (!addrs.is_empty()).then_some(addrs)
    }

    /// How the next thread ends; `None` when all have.
    async fn next_end(&mut self) -> Option<io::Result<()>> {
        let number = self.ends.recv().await?;
        let thread = self.threads.get_mut(number).and_then(Option::take)?;
        match thread.join() {
            Ok(result) => Some(result),
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}
