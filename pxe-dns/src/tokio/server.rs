//! The server: ports, threads and tasks around a service.

use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::bind::{self, Bound, BoundSocket};
use super::clients::Clients;
use super::clock::Clock;
use super::forwards::Forwards;
use super::idle::IdleConnections;
use super::listener::Listener;
use super::throttle::Throttle;
use super::udp::{Socket, Worker};
use crate::{Event, Forwarder, Service};

/// Brings queries to a [`Service`], from any number of ports.
///
/// Ports are bound first ([`bind_udp`](Self::bind_udp), [`bind_tcp`](Self::bind_tcp)), with no
/// runtime and no thread yet, so that a program can drop its privileges before anything is read or
/// served ([`start`](Self::start)).
///
/// # Example
///
/// ```no_run
/// # async fn example(service: pxe_dns::Service) -> std::io::Result<()> {
/// use std::time::Duration;
/// use pxe_dns::Server;
///
/// let udp = Server::bind_udp("[::]:53")?;
/// let tcp = Server::bind_tcp("[::]:53")?;
/// // Privileges can be dropped here.
/// let handle = Server::new(service).listen(udp).listen(tcp).start()?;
/// // Until it is time to stop:
/// handle.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a server does nothing before it is started"]
pub struct Server {
    service: Service,
    forwarder: Option<Arc<dyn Forwarder>>,
    ports: Vec<Bound>,
}

impl Server {
    /// A server without ports. Bounds, and who is told what happens, are the service's.
    pub const fn new(service: Service) -> Self {
        Self {
            service,
            forwarder: None,
            ports: Vec::new(),
        }
    }

    /// Asks others by this, for the clients for whom others are asked
    /// ([`ServiceBuilder::recursion`](crate::ServiceBuilder::recursion)). Without it they are sent
    /// SERVFAIL.
    pub fn forwarder(mut self, forwarder: Arc<dyn Forwarder>) -> Self {
        self.forwarder = Some(forwarder);
        self
    }

    /// Binds a port for connections, with `SO_REUSEADDR`, so that a restarted server gets it at
    /// once. `[::]` takes IPv4 as well.
    ///
    /// # Errors
    /// The operating system's: in use, not permitted, no such address.
    pub fn bind_tcp(address: impl ToSocketAddrs) -> io::Result<Bound> {
        bind::bind_tcp(address)
    }

    /// Binds a port for datagrams. `[::]` takes IPv4 as well. There are as many sockets as
    /// processors that the program may use, up to eight, and each is served by a thread.
    ///
    /// # Errors
    /// The operating system's: in use, not permitted, no such address.
    pub fn bind_udp(address: impl ToSocketAddrs) -> io::Result<Bound> {
        bind::bind_udp(address)
    }

    /// Serves at that port, too.
    pub fn listen(mut self, bound: Bound) -> Self {
        self.ports.push(bound);
        self
    }

    /// Starts to serve: connections on tasks of the current tokio runtime, datagrams on threads of
    /// their own.
    ///
    /// # Errors
    /// There is no current tokio runtime, or the system gives no thread.
    pub fn start(self) -> io::Result<ServerHandle> {
        let connections_max = self.service.limits().connections_max;
        let (alive, ended) = mpsc::channel(1);
        let over = watch::Sender::new(());
        let clock = Clock::start();
        let forwards = Forwards::new(self.service.clone(), self.forwarder, clock);
        let mut handle = ServerHandle {
            shared: Arc::new(Shared {
                permits: Arc::new(Semaphore::new(
                    connections_max.clamp(1, Semaphore::MAX_PERMITS),
                )),
                clients: Arc::default(),
                idle: Arc::default(),
                clock,
                forwards: Arc::new(forwards),
                throttle: Throttle::new(clock),
                service: self.service,
            }),
            stop: watch::Sender::new(false),
            listeners: JoinSet::new(),
            threads: Threads {
                stop: Arc::default(),
                sockets: Vec::new(),
                alive: Some(Alive {
                    _alive: alive,
                    over: over.subscribe(),
                }),
                ended,
                _over: over,
            },
        };
        for bound in self.ports {
            handle.listen(bound)?;
        }
        Ok(handle)
    }
}

/// A running server. Dropping it ends all at once.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server"]
pub struct ServerHandle {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    threads: Threads,
}

impl ServerHandle {
    /// Serves one more port, under the same bounds.
    ///
    /// # Errors
    /// There is no current tokio runtime, or the system gives no thread.
    pub fn listen(&mut self, bound: Bound) -> io::Result<()> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let local = bound.local_addr();
        match bound.socket {
            BoundSocket::Tcp(socket) => {
                let shared = Arc::clone(&self.shared);
                let listener = Listener::new(socket, local, shared, self.stop.subscribe())?;
                self.listeners.spawn_on(listener.run(), &runtime);
            }
            BoundSocket::Udp(sockets) => {
                for socket in sockets {
                    self.threads.spawn(&self.shared, &runtime, socket)?;
                }
            }
        }
        Ok(())
    }

    /// The service.
    pub fn service(&self) -> &Service {
        &self.shared.service
    }

    /// How many connections are open now.
    pub fn connections(&self) -> usize {
        self.shared.clients.connections()
    }

    /// Stops: takes no further query, lets those under way be answered for `grace`, and then ends
    /// what is left. Returns how many connections had to be ended.
    pub async fn shutdown(mut self, grace: Duration) -> usize {
        self.stop.send_replace(true);
        self.threads.stop();
        let all_ended = async {
            while self.listeners.join_next().await.is_some() {}
            self.threads.ended().await;
        };
        match tokio::time::timeout(grace, all_ended).await {
            Ok(()) => 0,
            Err(_) => {
                let left = self.connections();
                self.listeners.shutdown().await;
                left
            }
        }
    }
}

/// The threads that answer datagrams.
#[derive(Debug)]
struct Threads {
    stop: Arc<AtomicBool>,
    sockets: Vec<Arc<Socket>>,
    /// What each of them has, so that it is known when the last has ended.
    alive: Option<Alive>,
    ended: mpsc::Receiver<()>,
    /// Once it is gone, no query is waited for.
    _over: watch::Sender<()>,
}

/// As long as there is one, something is under way.
#[derive(Debug, Clone)]
pub(super) struct Alive {
    _alive: mpsc::Sender<()>,
    over: watch::Receiver<()>,
}

impl Alive {
    /// What comes of this; `None` if the server has gone before.
    pub(super) async fn until_over<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = future => Some(done),
            // Nothing is ever sent: it fails when the other end has gone.
            _ = self.over.changed() => None,
        }
    }
}

impl Threads {
    fn spawn(&mut self, shared: &Arc<Shared>, runtime: &Handle, socket: Socket) -> io::Result<()> {
        let Some(alive) = self.alive.clone() else {
            return Ok(());
        };
        let socket = Arc::new(socket);
        let worker = Worker {
            socket: Arc::clone(&socket),
            shared: Arc::clone(shared),
            stop: Arc::clone(&self.stop),
            runtime: runtime.clone(),
            alive,
        };
        thread::Builder::new()
            .name("dns-udp".to_owned())
            .spawn(move || worker.run())?;
        self.sockets.push(socket);
        Ok(())
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for socket in &self.sockets {
            socket.wake();
        }
        self.alive = None;
    }

    /// Waits until they have ended.
    async fn ended(&mut self) {
        while self.ended.recv().await.is_some() {}
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) service: Service,
    pub(super) clock: Clock,
    pub(super) forwards: Arc<Forwards>,
    /// Of connections.
    pub(super) throttle: Throttle,
    pub(super) permits: Arc<Semaphore>,
    pub(super) clients: Arc<Clients>,
    pub(super) idle: Arc<IdleConnections>,
}

impl Shared {
    pub(super) fn tell(&self, event: &Event) {
        self.service.tell(event);
    }
}
