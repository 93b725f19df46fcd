//! Requests in, responses out: the service that any HTTP/1 server of the `http` crate's types can
//! run.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::header::{COOKIE, HeaderName, RANGE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use pxe_tree::{Blob, FileRequest, Opened, Protocol, Source, Timestamp, TreePath};

use super::body::FileBody;
use super::observer::{Flow, Observer, Report};
use crate::event::{Event, Requested};
use crate::{MediaTypes, Outcome, RequestHead, bootif, plan};

/// Answers requests from a [`Source`]; clones share everything.
///
/// [`Server`](crate::Server) runs it by itself. To nest it in a server of your own, call
/// [`respond`](Self::respond) from a handler, or give [`for_peer`](Self::for_peer) to hyper.
#[derive(Debug, Clone)]
pub struct FileService {
    source: Arc<dyn Source>,
    media_types: Arc<MediaTypes>,
    observer: Observer,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// Its address. An IPv4 address that was mapped into IPv6 is better unmapped before.
    pub remote: SocketAddr,
    /// Our address that it speaks to, if known.
    pub local: Option<SocketAddr>,
    /// [`Protocol::Http`] or [`Protocol::Https`].
    pub protocol: Protocol,
}

impl Peer {
    /// A peer that speaks in clear.
    pub const fn new(remote: SocketAddr) -> Self {
        Self {
            remote,
            local: None,
            protocol: Protocol::Http,
        }
    }

    /// The same, with our address that it speaks to.
    #[must_use]
    pub const fn with_local(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// The same, over TLS.
    #[must_use]
    pub const fn over_tls(mut self) -> Self {
        self.protocol = Protocol::Https;
        self
    }
}

impl FileService {
    /// A service of this source's files.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self::with_parts(source, Arc::default(), Observer::default())
    }

    pub(super) const fn with_parts(
        source: Arc<dyn Source>,
        media_types: Arc<MediaTypes>,
        observer: Observer,
    ) -> Self {
        Self {
            source,
            media_types,
            observer,
        }
    }

    /// The same with other media types.
    #[must_use]
    pub fn media_types(mut self, media_types: MediaTypes) -> Self {
        self.media_types = Arc::new(media_types);
        self
    }

    /// The same with a function that is told of [`Event::Request`] and [`Event::Response`].
    #[must_use]
    pub fn on_event(mut self, on_event: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(on_event);
        self
    }

    /// The service for one connection, as hyper takes it.
    pub fn for_peer(&self, peer: Peer) -> PeerService {
        PeerService {
            files: self.clone(),
            peer,
            flow: None,
        }
    }

    /// Answers one request. Its body, if it has one, is dropped unread.
    pub fn respond<B>(
        &self,
        peer: Peer,
        request: Request<B>,
    ) -> impl Future<Output = Response<FileBody>> + Send + 'static + use<B> {
        let (parts, _) = request.into_parts();
        let service = self.for_peer(peer);
        async move { service.respond_to(parts).await }
    }
}

/// A [`FileService`] on one connection: a [`hyper::service::Service`].
#[derive(Debug, Clone)]
pub struct PeerService {
    files: FileService,
    peer: Peer,
    flow: Option<Arc<Flow>>,
}

impl PeerService {
    /// The same, telling where it is to the connection that it runs on.
    pub(super) fn with_flow(mut self, flow: Arc<Flow>) -> Self {
        self.flow = Some(flow);
        self
    }

    async fn respond_to(self, parts: Parts) -> Response<FileBody> {
        let started = Instant::now();
        if let Some(flow) = &self.flow {
            flow.begin_response();
        }
        let FileService {
            source,
            media_types,
            observer,
        } = &self.files;
        let head = RequestHead::from_parts(&parts).with_protocol(self.peer.protocol);
        let route = head.route();
        let request = observer.listens().then(|| {
            let path = route.as_ref().ok().map(|route| route.path.clone());
            Arc::new(self.requested(&parts, path))
        });
        if let Some(request) = &request {
            observer.tell(|| Event::Request(Arc::clone(request)));
        }
        let opened = match &route {
            Err(rejection) => Err(Outcome::Rejected(*rejection)),
            Ok(route) => {
                let mut asked = FileRequest::new(self.peer.protocol, self.peer.remote, &route.path)
                    .with_http(
                        route.query,
                        text(&parts.headers, &USER_AGENT),
                        text(&parts.headers, &COOKIE),
                    );
                if let Some(local) = self.peer.local {
                    asked = asked.with_local(local);
                }
                match source.open(&asked).await {
                    Ok(opened) => Ok((opened, &route.path)),
                    Err(error) => Err(Outcome::Failed(error.kind())),
                }
            }
        };
        let mut blob: Option<Arc<dyn Blob>> = None;
        let outcome = match &opened {
            Err(outcome) => *outcome,
            Ok((Opened::File(file), path)) => {
                blob = Some(Arc::clone(file));
                Outcome::File {
                    attributes: file.attributes(),
                    media_type: media_types.of(path),
                }
            }
            Ok((Opened::Moved(to), _)) => Outcome::Moved(to),
            Ok((Opened::Directory(..), _)) => Outcome::Failed(pxe_tree::ErrorKind::IsADirectory),
            // A kind of answer that pxe-tree may add: nothing here can serve it.
            Ok(_) => Outcome::Failed(pxe_tree::ErrorKind::Unsupported),
        };
        let plan = plan(&head, outcome, civil_time());

        let report = Report {
            observer: observer.clone(),
            request,
            status: plan.status,
            bytes_expected: plan.body_len(),
            bytes_sent: 0,
            started,
        };
        let mut response = Response::new(FileBody::new(plan.body, blob, report, self.flow));
        *response.status_mut() = plan.status;
        // A map into which each name goes once, and nothing is removed from, keeps its order; the
        // tests on raw sockets would notice if it did not.
        response.headers_mut().reserve(plan.headers.len());
        for (name, value) in plan.headers {
            response.headers_mut().append(name, value);
        }
        response
    }

    fn requested(&self, parts: &Parts, path: Option<TreePath>) -> Requested {
        let owned = |name| text(&parts.headers, name).map(str::to_owned);
        Requested {
            remote: self.peer.remote,
            local: self.peer.local,
            protocol: self.peer.protocol,
            method: parts.method.clone(),
            version: parts.version,
            target: parts.uri.to_string(),
            path,
            range: owned(&RANGE),
            user_agent: owned(&USER_AGENT),
            bootif: text(&parts.headers, &COOKIE).and_then(bootif),
        }
    }
}

impl<B> hyper::service::Service<Request<B>> for PeerService {
    type Response = Response<FileBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<FileBody>, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let service = self.clone();
        Box::pin(async move { Ok(service.respond_to(parts).await) })
    }
}

/// The first value of a field, if it is text.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn civil_time() -> Timestamp {
    // A clock before 1970 is not set: then there is no date, and none is sent.
    let Ok(since_epoch) = SystemTime::now().duration_since(UNIX_EPOCH) else {
        return Timestamp::from_seconds(-1);
    };
    Timestamp {
        seconds: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
        nanos: since_epoch.subsec_nanos(),
    }
}
