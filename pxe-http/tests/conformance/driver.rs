//! What the cases run on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use pxe_http::{Event, FileService, Handle, Limits, Peer, Responded, Server};
use pxe_tree::{Blob, Source};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Client, files, only, within_bounds};

/// Something that serves HTTP by this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// [`Server`], on plain connections.
    OwnServer,
    /// A server of someone else's that gives each connection a `PeerService`.
    HyperService,
}

impl Driver {
    /// Serves this source on loopback, within these limits if they are ours to keep.
    pub(crate) async fn start(self, limits: Limits, source: Arc<dyn Source>) -> Running {
        let (sender, events) = mpsc::unbounded_channel();
        let on_event = move |event: &Event| {
            let _ = sender.send(event.clone());
        };
        let (address, served) = match self {
            Self::OwnServer => {
                let bound = Server::bind("127.0.0.1:0").expect("a port");
                let server = Server::new().limits(limits).on_event(on_event);
                let address = bound.local_addr();
                let handle = server.listen(bound, source).start().expect("a runtime");
                (address, Served::Ours(handle))
            }
            Self::HyperService => {
                let files = FileService::new(source).on_event(on_event);
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let address = listener.local_addr().expect("an address");
                let mut task = JoinSet::new();
                task.spawn(serve_by_hyper(listener, files));
                (address, Served::Theirs { _task: task })
            }
        };
        Running {
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

impl Running {
    pub(crate) async fn connect(&self) -> Client {
        let stream = within_bounds(TcpStream::connect(self.address))
            .await
            .expect("a connection");
        Client {
            stream: Box::new(stream),
        }
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
