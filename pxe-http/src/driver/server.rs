//! Listeners, and the life of their connections.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use pxe_tree::Source;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{Connection, Timeouts};
use super::observer::{Flow, Observer};
use super::service::{FileService, Peer};
use crate::event::{AcceptFailed, Event, Limit, Limited, Malformed};
use crate::{Limits, MediaTypes};

/// A file server on any number of listeners.
///
/// Ports are bound first ([`bind`](Self::bind)), with no runtime and no thread yet, so that a
/// program can drop its privileges before anything is read or served ([`start`](Self::start)).
///
/// # Example
///
/// ```no_run
/// # async fn example(source: std::sync::Arc<dyn pxe_tree::Source>) -> std::io::Result<()> {
/// use std::time::Duration;
/// use pxe_http::Server;
///
/// let port_80 = Server::bind("0.0.0.0:80")?;
/// let port_8080 = Server::bind("0.0.0.0:8080")?;
/// // Privileges can be dropped here.
/// let handle = Server::new()
///     .on_event(|event| eprintln!("{event:?}"))
///     .listen(port_80, source.clone())
///     .listen(port_8080, source)
///     .start()?;
/// // Until it is time to stop:
/// handle.shutdown(Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "a server does nothing before it is started"]
pub struct Server {
    limits: Limits,
    media_types: MediaTypes,
    observer: Observer,
    listeners: Vec<(Bound, Arc<dyn Source>)>,
}

/// A listener that is bound and not yet served.
#[derive(Debug)]
#[must_use = "a bound port serves nothing before it is given to a server"]
pub struct Bound {
    listener: std::net::TcpListener,
    local: SocketAddr,
}

impl Bound {
    /// A listener that was bound elsewhere (inherited from a supervisor, for example).
    ///
    /// # Errors
    /// Its address cannot be told, or it cannot be made non-blocking.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local })
    }

    /// Where it listens; tells the port if port 0 was asked for.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Server {
    /// A server with default limits, the default media types and no listener.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds a port, with `SO_REUSEADDR`, so that a restarted server gets it at once.
    ///
    /// # Errors
    /// The operating system's: in use, not permitted, no such address.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Bound> {
        // std sets SO_REUSEADDR on Unix and only there, where it means what is wanted.
        Bound::from_std(std::net::TcpListener::bind(address)?)
    }

    /// Other bounds than the default ones.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Other media types than the default ones.
    pub fn media_types(mut self, media_types: MediaTypes) -> Self {
        self.media_types = media_types;
        self
    }

    /// A function that is told what happens.
    pub fn on_event(mut self, on_event: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(on_event);
        self
    }

    /// Serves this source on that port. To replace its content while it runs, give a `Source`
    /// that asks another one, which you replace.
    pub fn listen(mut self, bound: Bound, source: Arc<dyn Source>) -> Self {
        self.listeners.push((bound, source));
        self
    }

    /// Starts to serve, on tasks of the current tokio runtime.
    ///
    /// # Errors
    /// There is no current tokio runtime, or it takes no more sockets.
    pub fn start(self) -> io::Result<Handle> {
        let connections_max = self.limits.connections_max.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Shared {
            permits: Arc::new(Semaphore::new(connections_max)),
            limits: self.limits,
            media_types: Arc::new(self.media_types),
            observer: self.observer,
            clients: Mutex::default(),
        };
        let mut handle = Handle {
            shared: Arc::new(shared),
            stop: watch::Sender::new(false),
            listeners: JoinSet::new(),
        };
        for (bound, source) in self.listeners {
            handle.listen(bound, source)?;
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
    /// Serves one more port, under the same limits.
    ///
    /// # Errors
    /// There is no current tokio runtime, or it takes no more sockets.
    pub fn listen(&mut self, bound: Bound, source: Arc<dyn Source>) -> io::Result<()> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let listener = Listener {
            socket: TcpListener::from_std(bound.listener)?,
            local: bound.local,
            files: FileService::with_parts(
                source,
                Arc::clone(&self.shared.media_types),
                self.shared.observer.clone(),
            ),
            shared: Arc::clone(&self.shared),
            stop: self.stop.subscribe(),
        };
        self.listeners.spawn_on(listener.run(), &runtime);
        Ok(())
    }

    /// How many connections are open now.
    pub fn connections(&self) -> usize {
        self.shared.clients().values().sum()
    }

    /// Stops: accepts nothing more, closes idle connections, lets running responses finish for
    /// `grace`, and then ends what is left. Returns how many connections had to be ended.
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
    limits: Limits,
    permits: Arc<Semaphore>,
    media_types: Arc<MediaTypes>,
    observer: Observer,
    /// Connections of each client; as many entries as there are connections at most.
    clients: Mutex<HashMap<IpAddr, usize>>,
}

impl Shared {
    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the table of clients; dropping it gives the place back.
#[derive(Debug)]
struct Place {
    shared: Arc<Shared>,
    client: IpAddr,
}

impl Place {
    /// `None` if the client has too many already.
    fn take(shared: &Arc<Shared>, client: IpAddr) -> Option<Self> {
        let mut clients = shared.clients();
        let count = clients.entry(client).or_default();
        if *count >= shared.limits.connections_per_client_max.max(1) {
            return None;
        }
        *count += 1;
        Some(Self {
            shared: Arc::clone(shared),
            client,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.shared.clients().entry(self.client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    files: FileService,
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
                    let Some(accepted) = self.admit(stream, unmapped(remote)) else {
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
                    let error = Arc::new(error);
                    self.shared.observer.tell(|| {
                        Event::AcceptFailed(AcceptFailed {
                            local: self.local,
                            error,
                        })
                    });
                    // Out of descriptors or memory: waiting is all that can help.
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(100)) => {}
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
        self.shared.observer.tell(|| {
            Event::Limited(Limited {
                limit: Limit::Connections,
                remote: None,
                local: self.local,
            })
        });
        tokio::select! {
            permit = Arc::clone(&self.shared.permits).acquire_owned() => permit.ok(),
            () = stopped(&mut self.stop) => None,
        }
    }

    /// Gives a connection its place, or refuses it.
    fn admit(&self, stream: TcpStream, remote: SocketAddr) -> Option<Accepted<TcpStream>> {
        let local = stream.local_addr().map_or(self.local, unmapped);
        let Some(place) = Place::take(&self.shared, remote.ip()) else {
            // One try: a fresh connection's send buffer takes it, or the client gets nothing.
            let _ = stream.try_write(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\
                  Connection: close\r\n\r\n",
            );
            self.shared.observer.tell(|| {
                Event::Limited(Limited {
                    limit: Limit::ConnectionsPerClient,
                    remote: Some(remote),
                    local,
                })
            });
            return None;
        };
        // Without it, the last piece of a response may wait for the client's delayed ACK.
        let _ = stream.set_nodelay(true);
        Some(Accepted {
            stream,
            remote,
            local,
            files: self.files.clone(),
            place,
            stop: self.stop.clone(),
        })
    }
}

/// A connection that was let in.
struct Accepted<S> {
    stream: S,
    remote: SocketAddr,
    local: SocketAddr,
    files: FileService,
    place: Place,
    stop: watch::Receiver<bool>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Accepted<S> {
    /// Serves it to its end.
    async fn serve(mut self, _permit: OwnedSemaphorePermit) {
        let shared = &self.place.shared;
        let flow = Arc::new(Flow::default());
        let peer = Peer::new(self.remote).with_local(self.local);
        let service = self.files.for_peer(peer).with_flow(Arc::clone(&flow));
        let timeouts = Timeouts::from(&shared.limits);
        let socket = Connection::new(self.stream, Arc::clone(&flow), timeouts);
        let result = {
            let connection = http1_builder(&shared.limits).serve_connection(socket, service);
            let mut connection = pin!(connection);
            tokio::select! {
                result = connection.as_mut() => result,
                () = stopped(&mut self.stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        // Everything of the connection is gone now, so its responses are told of before its end.
        flow.disconnected();
        // What is left is a client that went away or a file that failed: its response said so.
        let limit = match (flow.broken_limit(), &result) {
            (Some(limit), _) => Some(limit),
            (None, Err(error)) if error.is_parse_too_large() => Some(Limit::HeadBytes),
            (None, Err(error)) if error.is_parse() => {
                shared.observer.tell(|| {
                    Event::Malformed(Malformed {
                        remote: self.remote,
                        local: self.local,
                        cause: error.to_string(),
                    })
                });
                None
            }
            _ => None,
        };
        if let Some(limit) = limit {
            shared.observer.tell(|| {
                Event::Limited(Limited {
                    limit,
                    remote: Some(self.remote),
                    local: self.local,
                })
            });
        }
    }
}

pub(super) fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // GRUB finds `Content-Length` with regard to case (grub-core/net/http.c, parse_line);
        // without it, it reads until the connection closes, which a kept one never does.
        .title_case_headers(true)
        // A client that ends its sending side after its request still gets the response.
        .half_close(true)
        // The times are kept by `Connection`.
        .header_read_timeout(None)
        // Bounds the request's head, and makes hyper ask for the next chunk of a body only when
        // less than this waits to be sent.
        .max_buf_size(limits.head_bytes_max.max(Limits::HEAD_BYTES_LEAST));
    builder
}

/// Resolves once the server stops, or has gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

/// An IPv4 client of an IPv6 socket is an IPv4 client: policies and logs know it as such.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::atomic::{AtomicU64, Ordering};

    use pxe_tree::{Attributes, Blob, FileRequest, NodeId, NodeKind, Opened, source_fn};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn ipv4_clients_of_an_ipv6_socket_are_ipv4_clients() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert_eq!(
            unmapped(address("[::ffff:10.0.0.7]:49153")),
            address("10.0.0.7:49153")
        );
        assert_eq!(unmapped(address("[fe80::1]:80")), address("[fe80::1]:80"));
    }

    /// A gibibyte of zeros that counts how many of them were read.
    #[derive(Debug)]
    struct Counted {
        attributes: Attributes,
        read: AtomicU64,
    }

    #[async_trait::async_trait]
    impl Blob for Counted {
        fn attributes(&self) -> &Attributes {
            &self.attributes
        }

        async fn read_at(&self, _offset: u64, _len: usize) -> pxe_tree::Result<bytes::Bytes> {
            unreachable!("read_now always answers")
        }

        fn read_now(&self, _offset: u64, buf: &mut [u8]) -> pxe_tree::Result<Option<usize>> {
            self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
            Ok(Some(buf.len()))
        }
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_makes_two_chunks_be_held_at_most() {
        let node = NodeId::new(NonZeroU64::MIN);
        let blob = Arc::new(Counted {
            attributes: Attributes::new(node, NodeKind::File, 1 << 30),
            read: AtomicU64::new(0),
        });
        let opened = Opened::File(blob.clone());
        let source = source_fn(move |_: &FileRequest<'_>| Ok(opened.clone()));
        let remote = "10.0.0.7:49153".parse().expect("an address");
        let service = FileService::new(Arc::new(source)).for_peer(Peer::new(remote));

        let limits = Limits::default();
        let (mut client, stream) = tokio::io::duplex(1024);
        let socket = Connection::new(stream, Arc::default(), Timeouts::from(&limits));
        let connection = http1_builder(&limits).serve_connection(socket, service);
        let connection = tokio::spawn(connection);
        client
            .write_all(b"GET / HTTP/1.0\r\n\r\n")
            .await
            .expect("to be taken");
        // The head and the beginning of the body; then the pipe is full.
        let mut begin = [0; 4096];
        client.read_exact(&mut begin).await.expect("a beginning");
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let read = blob.read.load(Ordering::Relaxed);
        assert!((1..=128 * 1024).contains(&read), "{read} bytes were read");
        connection.abort();
    }
}
