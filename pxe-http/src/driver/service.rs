//! Requests in, responses out: the service that any HTTP/1 server of the `http` crate's types can
//! run.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use pxe_tree::{ErrorKind, Source};

#[cfg(feature = "tls")]
use super::answer::Found;
use super::answer::{Answer, Files, civil_time};
use super::body::FileBody;
use super::directory::DirectoryDesk;
use super::flow::Flow;
use super::observer::{Observer, Report};
use super::peer::Peer;
#[cfg(feature = "tls")]
use super::{admission::Admission, turns::Turns};
use crate::event::Event;
#[cfg(feature = "tls")]
use crate::event::Limit;
use crate::{Directories, MediaTypes, Outcome, RequestHead, plan};

/// Answers requests from a [`Source`]; clones share everything.
///
/// To nest it in a server of your own:
///
/// - In a router of tower's (axum, for example) it is a [`tower_service::Service`] itself. Who asks
///   is a [`Peer`] among the request's extensions: put it there where connections are accepted.
///   Without one, requests are answered 500, as no policy could judge them. Where the router has it
///   below a path, tell it that by [`below`](Self::below).
/// - For hyper, [`for_peer`](Self::for_peer) gives each connection its service.
/// - From a handler of any kind, call [`respond`](Self::respond).
///
/// Have your server write the names of header fields in title case: GRUB finds `Content-Length`
/// with regard to case.
#[derive(Debug, Clone)]
pub struct FileService {
    files: Files,
    base: Arc<str>,
}

impl FileService {
    /// A service of this source's files.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self::from_files(Files {
            source,
            media_types: Arc::default(),
            directories: Arc::default(),
            observer: Observer::default(),
        })
    }

    pub(super) fn from_files(files: Files) -> Self {
        Self {
            files,
            base: Arc::default(),
        }
    }

    /// The same with other media types.
    #[must_use]
    pub fn media_types(mut self, media_types: MediaTypes) -> Self {
        self.files.media_types = Arc::new(media_types);
        self
    }

    /// The same with another answer to requests for directories than 403.
    #[must_use]
    pub fn directories(mut self, directories: Directories) -> Self {
        self.files.directories = Arc::new(DirectoryDesk::new(directories));
        self
    }

    /// The same with a function that is told of [`Event::Request`] and [`Event::Response`].
    #[must_use]
    pub fn on_event(mut self, on_event: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.files.observer = Observer::new(on_event);
        self
    }

    /// The same below this path, which a router takes off the target before it asks
    /// (`nest_service` of axum): so it has to be told again where a client is sent elsewhere, to a
    /// directory's final slash for example.
    #[must_use]
    pub fn below(mut self, path: &str) -> Self {
        self.base = match path.trim_matches('/') {
            "" => Arc::default(),
            path => format!("/{path}").into(),
        };
        self
    }

    /// The service for one connection, as hyper takes it.
    pub fn for_peer(&self, peer: Peer) -> PeerService {
        PeerService {
            files: self.files.clone(),
            base: Arc::clone(&self.base),
            peer,
            flow: None,
            #[cfg(feature = "tls")]
            turns: None,
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

    /// Who asks is not known: an error of the program around this one, and no event, as those
    /// say who asked.
    fn without_peer(parts: &Parts) -> Response<FileBody> {
        let head = RequestHead::from_parts(parts);
        let answer = Answer {
            plan: plan(&head, Outcome::Failed(ErrorKind::Io), civil_time()),
            blob: None,
            report: Report::new(Observer::default(), None),
        };
        answered(answer, None)
    }
}

/// A [`FileService`] on one connection: a [`hyper::service::Service`], and one of tower's.
#[derive(Debug, Clone)]
pub struct PeerService {
    files: Files,
    base: Arc<str>,
    peer: Peer,
    flow: Option<Arc<Flow>>,
    #[cfg(feature = "tls")]
    turns: Option<Turns>,
}

impl PeerService {
    /// The same, telling where it is to the connection that it runs on.
    #[cfg(feature = "tls")]
    pub(super) fn with_flow(mut self, flow: Arc<Flow>) -> Self {
        self.flow = Some(flow);
        self
    }

    /// The same, within the rates of a server of ours.
    #[cfg(feature = "tls")]
    pub(super) fn within(mut self, admission: &Arc<Admission>) -> Self {
        self.turns = Some(Turns::new(admission));
        self
    }

    async fn respond_to(self, parts: Parts) -> Response<FileBody> {
        if let Some(flow) = &self.flow {
            flow.begin_response();
        }
        #[cfg(feature = "tls")]
        if let Some(turns) = &self.turns
            && let Some(refused) = turns.refuse(self.peer, &parts.method, &self.flow)
        {
            return refused;
        }
        let head = RequestHead::from_parts(&parts)
            .with_protocol(self.peer.protocol)
            .with_base(&self.base);
        #[cfg(feature = "tls")]
        if let Some(turns) = &self.turns {
            let source_timeout = turns.source_timeout();
            let asked = self.files.ask(self.peer, &head);
            let find = self.files.find(self.peer, &head, &asked);
            let found = tokio::time::timeout(source_timeout, find).await;
            let found = found.unwrap_or_else(|_| {
                turns.tell_limit(Limit::SourceTime, self.peer);
                Found::Failed(ErrorKind::Busy)
            });
            let answer = self.files.plan(&head, asked, found, civil_time());
            return answered(answer, self.flow)
                .map(|body| body.with_source_timeout(source_timeout));
        }
        let answer = self.files.answer(self.peer, &head, civil_time()).await;
        answered(answer, self.flow)
    }
}

fn answered(answer: Answer, flow: Option<Arc<Flow>>) -> Response<FileBody> {
    let plan = answer.plan;
    let body = FileBody::new(plan.body, answer.blob, answer.report, flow);
    let mut response = Response::new(body);
    *response.status_mut() = plan.status;
    // A map into which each name goes once, and nothing is removed from, keeps its order; the
    // tests on raw sockets would notice if it did not.
    response.headers_mut().reserve(plan.headers.len());
    for (name, value) in plan.headers {
        response.headers_mut().append(name, value);
    }
    response
}

type Responding = Pin<Box<dyn Future<Output = Result<Response<FileBody>, Infallible>> + Send>>;

impl<B> tower_service::Service<Request<B>> for FileService {
    type Response = Response<FileBody>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, _) = request.into_parts();
        match parts.extensions.get::<Peer>() {
            Some(peer) => {
                let service = self.for_peer(*peer);
                Box::pin(async move { Ok(service.respond_to(parts).await) })
            }
            None => {
                let response = Self::without_peer(&parts);
                Box::pin(async move { Ok(response) })
            }
        }
    }
}

impl<B> tower_service::Service<Request<B>> for PeerService {
    type Response = Response<FileBody>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        hyper::service::Service::call(self, request)
    }
}

impl<B> hyper::service::Service<Request<B>> for PeerService {
    type Response = Response<FileBody>;
    type Error = Infallible;
    type Future = Responding;

    fn call(&self, request: Request<B>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let service = self.clone();
        Box::pin(async move { Ok(service.respond_to(parts).await) })
    }
}
