//! Listeners, and the life of their connections.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::bind::{self, Bound, BoundSocket};
use super::clients::{Clients, Place};
use super::connection::{Answer, Answering, Connection, End, Totals, finish};
use super::datagrams::Datagrams;
use super::memory::Memory;
use super::room::reply_room;
use crate::{Disconnected, Event, Limited, Mapping, Peer, Programs, Service, Transport};

/// After so much silence the operating system asks whether the client is still there, and then
/// again each [`KEEPALIVE_INTERVAL`]: a machine that was switched off says nothing.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Out of descriptors or memory: waiting is all that can help.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Brings calls to a [`Service`], from any number of ports.
///
/// Ports are bound first ([`bind_tcp`](Self::bind_tcp), [`bind_udp`](Self::bind_udp)), with no
/// runtime and no thread yet, so that a program can drop its privileges before anything is read or
/// served ([`start`](Self::start)).
///
/// # Example
///
/// ```no_run
/// # async fn example(service: pxe_nfs::Service) -> std::io::Result<()> {
/// use std::time::Duration;
/// use pxe_nfs::{Programs, Server};
///
/// let nfs = Server::bind_tcp("[::]:2049")?;
/// let portmap_tcp = Server::bind_tcp("[::]:111")?;
/// let portmap_udp = Server::bind_udp("[::]:111")?;
/// // Privileges can be dropped here.
/// let handle = Server::new(service)
///     .listen(nfs, Programs::Nfs)
///     .listen(portmap_tcp, Programs::Portmap)
///     .listen(portmap_udp, Programs::Portmap)
///     .start()?;
/// // Until it is time to stop:
/// handle.shutdown(Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a server does nothing before it is started"]
pub struct Server {
    service: Service,
    ports: Vec<(Bound, Programs)>,
}

impl Server {
    /// A server without ports. Bounds, and who is told what happens, are the service's.
    pub const fn new(service: Service) -> Self {
        Self {
            service,
            ports: Vec::new(),
        }
    }

    /// Binds a port for connections, with `SO_REUSEADDR`, so that a restarted server gets it at
    /// once. `[::]` takes IPv4 as well.
    ///
    /// # Errors
    /// The operating system's: in use, not permitted, no such address.
    pub fn bind_tcp(address: impl ToSocketAddrs) -> io::Result<Bound> {
        bind::bind_tcp(address)
    }

    /// Binds a port for datagrams. `[::]` takes IPv4 as well.
    ///
    /// # Errors
    /// The operating system's: in use, not permitted, no such address.
    pub fn bind_udp(address: impl ToSocketAddrs) -> io::Result<Bound> {
        bind::bind_udp(address)
    }

    /// Serves these programs at that port. The portmapper tells of them, of the port that came
    /// first if there are several.
    pub fn listen(mut self, bound: Bound, programs: Programs) -> Self {
        self.ports.push((bound, programs));
        self
    }

    /// What the portmapper will say: for registering with another one, where the port of the
    /// portmapper is taken.
    pub fn mappings(&self) -> Vec<Mapping> {
        let ports = self.ports.iter();
        ports
            .flat_map(|(bound, programs)| bound.mappings(*programs))
            .collect()
    }

    /// Starts to serve, on tasks of the current tokio runtime.
    ///
    /// # Errors
    /// There is no current tokio runtime, or it takes no more sockets.
    pub fn start(self) -> io::Result<Handle> {
        let connections_max = self.service.limits().connections_max;
        let mut handle = Handle {
            shared: Arc::new(Shared {
                service: self.service,
                permits: Arc::new(Semaphore::new(
                    connections_max.clamp(1, Semaphore::MAX_PERMITS),
                )),
                clients: Arc::default(),
                memory: Memory::default(),
            }),
            stop: watch::Sender::new(false),
            listeners: JoinSet::new(),
        };
        for (bound, programs) in self.ports {
            handle.listen(bound, programs)?;
        }
        Ok(handle)
    }
}

/// A running server. Dropping it ends all its connections at once.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server"]
pub struct Handle {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

impl Handle {
    /// Serves one more port, under the same bounds.
    ///
    /// # Errors
    /// There is no current tokio runtime, or it takes no more sockets.
    pub fn listen(&mut self, bound: Bound, programs: Programs) -> io::Result<()> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let mappings = bound.mappings(programs);
        let local = bound.local_addr();
        match bound.socket {
            BoundSocket::Tcp(socket) => {
                let listener = Listener {
                    socket: TcpListener::from_std(socket)?,
                    local,
                    programs,
                    shared: Arc::clone(&self.shared),
                    stop: self.stop.subscribe(),
                };
                self.listeners.spawn_on(listener.run(), &runtime);
            }
            BoundSocket::Udp(socket) => {
                let service = self.shared.service.clone();
                let datagrams = Datagrams::new(socket, local, service, programs)?;
                let mut stop = self.stop.subscribe();
                let run = async move { datagrams.run(stopped(&mut stop)).await };
                self.listeners.spawn_on(run, &runtime);
            }
        }
        for mapping in mappings {
            self.shared.service.inner.ports.add(mapping);
        }
        Ok(())
    }

    /// How many connections are open now.
    pub fn connections(&self) -> usize {
        self.shared.clients.connections()
    }

    /// Stops: takes no further call, lets those under way be answered for `grace`, and then ends
    /// what is left. Returns how many connections had to be ended.
    ///
    /// Clients notice nothing but a pause if the server is started again: they connect again, and
    /// repeat what was not answered.
    pub async fn shutdown(mut self, grace: Duration) -> usize {
        self.stop.send_replace(true);
        let all_ended = async { while self.listeners.join_next().await.is_some() {} };
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

#[derive(Debug)]
struct Shared {
    service: Service,
    permits: Arc<Semaphore>,
    clients: Arc<Clients>,
    /// Of none, for making others.
    memory: Memory,
}

impl Shared {
    fn tell(&self, event: &Event) {
        self.service.inner.tell(event);
    }

    fn limited(&self, peer: Option<Peer>, limit: &'static str) {
        self.tell(&Event::Limited(Limited { peer, limit }));
    }
}

struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    programs: Programs,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
}

impl Listener {
    async fn run(mut self) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stopped(&mut self.stop) => break,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let Some(accepted) = self.admit(stream, remote) else {
                        continue;
                    };
                    // One connection a listener waits here, the others in the operating system.
                    let Some(permit) = self.permit().await else {
                        break;
                    };
                    connections.spawn(accepted.serve(permit));
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    let text = format!("{}: {error}", self.local);
                    self.shared.tell(&Event::AcceptFailed(text));
                    tokio::select! {
                        () = tokio::time::sleep(ACCEPT_RETRY) => {}
                        () = stopped(&mut self.stop) => break,
                    }
                }
            }
        }
        // Refuses newcomers while the rest finishes.
        drop(self.socket);
        while connections.join_next().await.is_some() {}
    }

    /// Waits until fewer than `connections_max` are served; `None` if the server stops.
    async fn permit(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.shared.permits).try_acquire_owned() {
            return Some(permit);
        }
        self.shared.limited(None, "connections_max");
        tokio::select! {
            permit = Arc::clone(&self.shared.permits).acquire_owned() => permit.ok(),
            () = stopped(&mut self.stop) => None,
        }
    }

    /// Gives a connection its place, or closes it.
    fn admit(&self, stream: TcpStream, remote: SocketAddr) -> Option<Accepted> {
        let local = stream.local_addr().unwrap_or(self.local);
        let peer = Peer::new(remote, local, Transport::Tcp);
        let per_client_max = self.shared.service.limits().connections_per_client_max;
        let clients = &self.shared.clients;
        let Some(place) = Place::take(clients, peer.remote.ip(), per_client_max) else {
            self.shared
                .limited(Some(peer), "connections_per_client_max");
            return None;
        };
        // Without it, the end of a reply may wait for the client's delayed ACK.
        let _ = stream.set_nodelay(true);
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_TIME)
            .with_interval(KEEPALIVE_INTERVAL);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        Some(Accepted {
            stream,
            peer,
            programs: self.programs,
            shared: Arc::clone(&self.shared),
            _place: place,
            stop: self.stop.clone(),
        })
    }
}

/// A connection that was let in.
struct Accepted {
    stream: TcpStream,
    peer: Peer,
    programs: Programs,
    shared: Arc<Shared>,
    _place: Place,
    stop: watch::Receiver<bool>,
}

impl Accepted {
    /// Serves it to its end.
    async fn serve(mut self, _permit: OwnedSemaphorePermit) {
        let (shared, peer) = (Arc::clone(&self.shared), self.peer);
        let answers = ServiceAnswers {
            service: shared.service.clone(),
            peer,
            programs: self.programs,
        };
        let limits = shared.service.limits().clone();
        let mut told = Told {
            connection: Connection::new(self.stream, answers, limits, shared.memory.another()),
            shared: &shared,
            peer,
        };
        let mut stopped = pin!(stopped(&mut self.stop));
        let mut is_stopped = false;
        let end = poll_fn(|cx| {
            if !is_stopped && stopped.as_mut().poll(cx).is_ready() {
                is_stopped = true;
                told.connection.stop();
            }
            told.connection.poll(cx)
        })
        .await;
        match end {
            End::Closed => {}
            End::Malformed => shared.tell(&Event::Malformed(peer)),
            End::Idle => shared.limited(Some(peer), "idle_max"),
            End::SendStalled => shared.limited(Some(peer), "send_stalled_max"),
        }
        let calls = told.connection.take_calls();
        drop(told);
        finish(calls).await;
    }
}

/// A connection whose end is told, also if its task is ended from outside.
struct Told<'a> {
    connection: Connection<ServiceAnswers>,
    shared: &'a Shared,
    peer: Peer,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let Totals { calls, bytes_sent } = self.connection.totals;
        self.shared.tell(&Event::Disconnected(Disconnected {
            peer: self.peer,
            calls,
            bytes_sent,
        }));
    }
}

/// A service, for one peer.
struct ServiceAnswers {
    service: Service,
    peer: Peer,
    programs: Programs,
}

impl Answer for ServiceAnswers {
    fn answer(&self, message: Bytes) -> Answering {
        let (service, peer, programs) = (self.service.clone(), self.peer, self.programs);
        Box::pin(async move { service.answer(&peer, programs, message).await })
    }

    fn room(&self, message: &[u8]) -> usize {
        reply_room(self.service.limits(), message)
    }
}

/// Resolves once the server stops, or has gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

/// Errors of `accept` that say nothing of the listener (accept(2)).
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
