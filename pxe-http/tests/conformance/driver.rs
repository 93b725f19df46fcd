//! What the cases run on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
#[cfg(feature = "tls")]
use pxe_http::CurrentIdentity;
use pxe_http::{Directories, Event, FileService, Handle, Limits, Peer, Responded, Server};
use pxe_tree::{Blob, Protocol, Source};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsConnector;

use crate::support::{Client, Stream, files, only, within_bounds};
#[cfg(feature = "tls")]
use crate::tls::Authority;

/// Something that serves HTTP by this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// [`Server`], on plain connections.
    OwnServer,
    /// [`Server`], over TLS.
    #[cfg(feature = "tls")]
    Tls,
    /// A server of someone else's that gives each connection a `PeerService`.
    HyperService,
}

impl Driver {
    /// As which requests are known.
    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls => Protocol::Https,
            Self::OwnServer | Self::HyperService => Protocol::Http,
        }
    }

    /// Serves this source on loopback, within these limits if they are ours to keep.
    pub(crate) async fn start(self, limits: Limits, source: Arc<dyn Source>) -> Running {
        self.start_with(limits, Directories::default(), source)
            .await
    }

    /// The same, with another answer to requests for directories than a refusal.
    pub(crate) async fn start_with(
        self,
        limits: Limits,
        directories: Directories,
        source: Arc<dyn Source>,
    ) -> Running {
        let (on_event, events) = heard();
        let (address, served) = match self {
            Self::OwnServer => {
                let bound = Server::bind("127.0.0.1:0").expect("a port");
                let server = Server::new().limits(limits).on_event(on_event);
                let server = server.directories(directories);
                let address = bound.local_addr();
                let handle = server.listen(bound, source).start().expect("a runtime");
                (address, Served::Ours(handle))
            }
            #[cfg(feature = "tls")]
            Self::Tls => {
                let authority = Authority::new();
                let identity = authority.identity(&["127.0.0.1"]);
                let mut running = Running::over_tls(limits, directories, identity.into(), source);
                running.trust = Some(authority.known_to_client());
                return running;
            }
            Self::HyperService => {
                let files = FileService::new(source).on_event(on_event);
                let files = files.directories(directories);
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let address = listener.local_addr().expect("an address");
                let mut task = JoinSet::new();
                task.spawn(serve_by_hyper(listener, files));
                (address, Served::Theirs { _task: task })
            }
        };
        Running {
            trust: None,
            address,
            served,
            events,
        }
    }

    /// The files of [`files`], under default limits.
    pub(crate) async fn with_files(self) -> Running {
        self.start(Limits::default(), files()).await
    }

    pub(crate) async fn with_blob(self, blob: Arc<dyn Blob>) -> Running {
        self.start(Limits::default(), only(blob)).await
    }
}

/// What is to be told the events, and where they come out.
fn heard() -> (
    impl Fn(&Event) + Send + Sync,
    mpsc::UnboundedReceiver<Event>,
) {
    let (sender, events) = mpsc::unbounded_channel();
    let on_event = move |event: &Event| {
        let _ = sender.send(event.clone());
    };
    (on_event, events)
}

/// A server as someone else would write it who has read the documentation of `FileService`.
async fn serve_by_hyper(listener: TcpListener, files: FileService) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, remote) = listener.accept().await.expect("a connection");
        let local = stream.local_addr().expect("an address");
        let service = files.for_peer(Peer::new(remote).with_local(local));
        let connection = http1::Builder::new()
            .title_case_headers(true)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(connection);
    }
}

/// A driver on loopback.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    trust: Option<TlsConnector>,
    served: Served,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
}

enum Served {
    Ours(Handle),
    Theirs {
        /// One task, which ends when this is dropped.
        _task: JoinSet<()>,
    },
}

/// Where the drivers are.
pub(crate) fn server_name() -> ServerName<'static> {
    "127.0.0.1".try_into().expect("a name")
}

/// What it takes to connect to a driver.
#[derive(Clone)]
pub(crate) struct Dialer {
    address: SocketAddr,
    /// What a client over TLS has to know.
    trust: Option<TlsConnector>,
}

impl Dialer {
    /// The same, as a client over TLS that knows this.
    #[cfg(feature = "tls")]
    pub(crate) fn trusting(mut self, trust: TlsConnector) -> Self {
        self.trust = Some(trust);
        self
    }

    /// A connection, or why there is none over TLS.
    pub(crate) async fn dial(&self) -> io::Result<Client> {
        let stream = within_bounds(TcpStream::connect(self.address)).await;
        let stream = stream.expect("a connection");
        let stream: Box<dyn Stream> = match &self.trust {
            None => Box::new(stream),
            Some(trust) => Box::new(within_bounds(trust.connect(server_name(), stream)).await?),
        };
        Ok(Client { stream })
    }
}

impl Running {
    /// Our server over TLS; a client has to say yet whom it trusts.
    #[cfg(feature = "tls")]
    pub(crate) fn over_tls(
        limits: Limits,
        directories: Directories,
        identity: CurrentIdentity,
        source: Arc<dyn Source>,
    ) -> Self {
        let (on_event, events) = heard();
        let bound = Server::bind("127.0.0.1:0").expect("a port");
        let address = bound.local_addr();
        let server = Server::new().limits(limits).on_event(on_event);
        let server = server.directories(directories);
        let server = server.listen_tls(bound, identity, source);
        Self {
            address,
            trust: None,
            served: Served::Ours(server.start().expect("a runtime")),
            events,
        }
    }

    pub(crate) fn dialer(&self) -> Dialer {
        Dialer {
            address: self.address,
            trust: self.trust.clone(),
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        self.dialer().dial().await.expect("a handshake")
    }

    /// Everything that the server sends until it closes.
    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> Vec<u8> {
        let mut client = self.connect().await;
        client.send(request).await;
        client.rest().await
    }

    /// The next event that the function takes; others are passed over.
    pub(crate) async fn event<T>(&mut self, take: impl Fn(Event) -> Option<T>) -> T {
        loop {
            let event = within_bounds(self.events.recv()).await.expect("an event");
            if let Some(taken) = take(event) {
                return taken;
            }
        }
    }

    pub(crate) async fn response_event(&mut self) -> Responded {
        self.event(|event| match event {
            Event::Response(responded) => Some(responded),
            _ => None,
        })
        .await
    }

    /// How many connections are open now; of our servers only.
    pub(crate) fn connections(&self) -> usize {
        match &self.served {
            Served::Ours(handle) => handle.connections(),
            Served::Theirs { .. } => panic!("someone else's server does not count"),
        }
    }

    /// Begins to stop one of our servers; the events go on meanwhile.
    pub(crate) fn shut_down(self, grace: Duration) -> Stopping {
        match self.served {
            Served::Ours(handle) => Stopping {
                task: tokio::spawn(handle.shutdown(grace)),
                events: self.events,
            },
            Served::Theirs { .. } => panic!("someone else's server stops in its own way"),
        }
    }
}

/// A server on its way out.
pub(crate) struct Stopping {
    task: JoinHandle<usize>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Stopping {
    /// How many connections had to be ended, and all events since the start.
    pub(crate) async fn end(mut self) -> (usize, Vec<Event>) {
        let left = within_bounds(self.task).await.expect("no panic");
        let mut events = Vec::new();
        while let Some(event) = within_bounds(self.events.recv()).await {
            events.push(event);
        }
        (left, events)
    }
}
