//! A server of any number of listeners: made, started and stopped.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use pxe_tree::Source;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admission::Admission;
use super::answer::Files;
use super::directory::DirectoryDesk;
use super::listener::{Listener, Transport};
use super::observer::Observer;
#[cfg(feature = "tls")]
use super::tls::CurrentIdentity;
use crate::event::Event;
use crate::{Directories, Limits, MediaTypes};

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
    directories: Directories,
    observer: Observer,
    listeners: Vec<(Bound, Transport, Arc<dyn Source>)>,
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

    /// What is answered to requests for directories; 403 by default.
    pub fn directories(mut self, directories: Directories) -> Self {
        self.directories = directories;
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
        self.listeners.push((bound, Transport::Plain, source));
        self
    }

    /// Serves this source on that port over TLS. Give a [`CurrentIdentity`] to replace the
    /// certificate while it runs.
    #[cfg(feature = "tls")]
    pub fn listen_tls(
        mut self,
        bound: Bound,
        identity: impl Into<CurrentIdentity>,
        source: Arc<dyn Source>,
    ) -> Self {
        let transport = Transport::Tls(identity.into());
        self.listeners.push((bound, transport, source));
        self
    }

    /// Starts to serve, on tasks of the current tokio runtime.
    ///
    /// # Errors
    /// There is no current tokio runtime, or it takes no more sockets.
    pub fn start(self) -> io::Result<Handle> {
        let mut handle = Handle {
            admission: Arc::new(Admission::new(self.limits, self.observer.clone())),
            media_types: Arc::new(self.media_types),
            directories: Arc::new(DirectoryDesk::new(self.directories)),
            observer: self.observer,
            stop: watch::Sender::new(false),
            listeners: JoinSet::new(),
        };
        for (bound, transport, source) in self.listeners {
            handle.serve(bound, transport, source)?;
        }
        Ok(handle)
    }
}

/// A running server. Dropping it ends all its connections at once.
#[derive(Debug)]
#[must_use = "dropping the handle stops the server"]
pub struct Handle {
    admission: Arc<Admission>,
    media_types: Arc<MediaTypes>,
    directories: Arc<DirectoryDesk>,
    observer: Observer,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

impl Handle {
    /// Serves one more port, under the same limits.
    ///
    /// # Errors
    /// There is no current tokio runtime, or it takes no more sockets.
    pub fn listen(&mut self, bound: Bound, source: Arc<dyn Source>) -> io::Result<()> {
        self.serve(bound, Transport::Plain, source)
    }

    /// Serves one more port over TLS, under the same limits.
    ///
    /// # Errors
    /// There is no current tokio runtime, or it takes no more sockets.
    #[cfg(feature = "tls")]
    pub fn listen_tls(
        &mut self,
        bound: Bound,
        identity: impl Into<CurrentIdentity>,
        source: Arc<dyn Source>,
    ) -> io::Result<()> {
        self.serve(bound, Transport::Tls(identity.into()), source)
    }

    fn serve(
        &mut self,
        bound: Bound,
        transport: Transport,
        source: Arc<dyn Source>,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let listener = Listener {
            socket: TcpListener::from_std(bound.listener)?,
            local: bound.local,
            files: Files {
                source,
                media_types: Arc::clone(&self.media_types),
                directories: Arc::clone(&self.directories),
                observer: self.observer.clone(),
            },
            admission: Arc::clone(&self.admission),
            stop: self.stop.subscribe(),
            transport,
        };
        self.listeners.spawn_on(listener.run(), &runtime);
        Ok(())
    }

    /// How many connections are open now.
    pub fn connections(&self) -> usize {
        self.admission.connections()
    }

    /// Stops: accepts nothing more, closes idle connections, lets running responses finish for
    /// `grace`, and then ends what is left. Returns how many connections had to be ended.
    pub async fn shutdown(mut self, grace: Duration) -> usize {
        self.stop.send_replace(true);
        self.admission.stop();
        let all_ended = async { while self.listeners.join_next().await.is_some() {} };
        let left = match tokio::time::timeout(grace, all_ended).await {
            Ok(()) => 0,
            Err(_) => {
                let left = self.connections();
                self.listeners.shutdown().await;
                left
            }
        };
        self.admission.tell_refusals(true);
        left
    }
}
