//! From a request's head to its response: what all drivers do alike.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
#[cfg(feature = "tokio")]
use http::header::{CONNECTION, HeaderValue};
use http::header::{COOKIE, HeaderName, RANGE, USER_AGENT};
use pxe_tree::{Blob, ErrorKind, FileRequest, Opened, Source, Timestamp, TreePath};

use super::directory::{DirectoryDesk, ListingPlace};
#[cfg(feature = "tokio")]
use super::known_head::KnownHead;
use super::observer::{Observer, Report};
use super::peer::Peer;
#[cfg(feature = "tokio")]
use super::{outgoing::Outgoing, response::Response};
use crate::event::{Event, Requested, RequestedHead};
use crate::{Listing, MediaTypes, Outcome, Plan, Rejection, RequestHead, Route, bootif, plan};

/// What is served, and who is told of it; clones share everything.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) source: Arc<dyn Source>,
    pub(super) media_types: Arc<MediaTypes>,
    pub(super) directories: Arc<DirectoryDesk>,
    pub(super) observer: Observer,
}

/// A request that was told of.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    route: Result<Route<'a>, Rejection>,
    report: Report,
}

/// The response to one request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) plan: Plan,
    /// The file that the plan's [`Piece::File`](crate::Piece::File) are parts of.
    pub(super) blob: Option<Arc<dyn Blob>>,
    /// What is to be told at the end of the response.
    pub(super) report: Report,
}

impl Files {
    /// Tells of the request, opens what it asks for, and plans the response. `now` is the civil
    /// time.
    #[cfg(feature = "hyper")]
    pub(super) async fn answer(
        &self,
        peer: Peer,
        head: &RequestHead<'_>,
        now: Timestamp,
    ) -> Answer {
        let asked = self.ask(peer, head);
        let found = self.find(peer, head, &asked).await;
        self.plan(head, asked, found, now)
    }

    /// Tells of the request.
    #[cfg(feature = "hyper")]
    pub(super) fn ask<'a>(&self, peer: Peer, head: &RequestHead<'a>) -> Asked<'a> {
        let route = head.route();
        let report = self.begin(peer, || {
            let path = route.as_ref().ok().map(|route| route.path.clone());
            Arc::new(requested_head(head, path))
        });
        Asked { route, report }
    }

    /// Tells of the request.
    #[cfg(feature = "tokio")]
    pub(super) fn ask_known<'a>(&self, peer: Peer, head: &'a KnownHead) -> Asked<'a> {
        let report = self.begin(peer, || head.requested());
        Asked {
            route: head.route(),
            report,
        }
    }

    fn begin(&self, peer: Peer, head: impl FnOnce() -> Arc<RequestedHead>) -> Report {
        let request = self.observer.listens().then(|| {
            Arc::new(Requested {
                at: Instant::now(),
                remote: peer.remote,
                local: peer.local,
                protocol: peer.protocol,
                head: head(),
            })
        });
        if let Some(request) = &request {
            self.observer.tell(|| Event::Request(Arc::clone(request)));
        }
        Report::new(self.observer.clone(), request)
    }

    /// Plans the response. `now` is the civil time.
    pub(super) fn plan(
        &self,
        head: &RequestHead<'_>,
        asked: Asked<'_>,
        found: Found,
        now: Timestamp,
    ) -> Answer {
        let mut report = asked.report;
        let outcome = match &found {
            Found::File { blob, path } => Outcome::File {
                attributes: blob.attributes(),
                media_type: self.media_types.of(path),
            },
            Found::Directory(listed) => {
                Outcome::Directory(listed.as_ref().map(|(listing, _)| listing))
            }
            Found::Moved(to) => Outcome::Moved(to),
            Found::Failed(kind) => Outcome::Failed(*kind),
            Found::Rejected(rejection) => Outcome::Rejected(*rejection),
        };
        let mut planned = plan(head, outcome, now);
        let blob = match found {
            Found::File { blob, .. } => Some(blob),
            Found::Directory(Some((_, place))) => {
                report.page_place = place.into_page(planned.body_len());
                if report.page_place.is_none() {
                    planned = plan(head, Outcome::Failed(ErrorKind::Busy), now);
                }
                None
            }
            _ => None,
        };
        let plan = planned;
        report.status = plan.status;
        report.bytes_expected = plan.body_len();
        Answer { plan, blob, report }
    }

    /// The response, ready to be sent. `now` is the civil time. If it is the last one of its
    /// connection, it says so.
    #[cfg(feature = "tokio")]
    pub(super) fn respond(
        &self,
        head: &KnownHead,
        asked: Asked<'_>,
        found: Found,
        now: Timestamp,
        is_last: bool,
    ) -> Outgoing {
        match found {
            Found::File { blob, path } if !is_last => {
                let attributes = blob.attributes();
                let response = head.file_response(&path, attributes, &self.media_types, now);
                Outgoing::new(response, Some(blob), asked.report)
            }
            found => {
                let answer = self.plan(&head.request(), asked, found, now);
                let mut plan = answer.plan;
                if is_last && plan.keep_alive {
                    close_after(&mut plan);
                }
                let response = Response::new(head.request().version, plan);
                Outgoing::new(Arc::new(response), answer.blob, answer.report)
            }
        }
    }

    /// Opens what is asked for. It may take its time.
    pub(super) async fn find(
        &self,
        peer: Peer,
        head: &RequestHead<'_>,
        asked: &Asked<'_>,
    ) -> Found {
        let route = match &asked.route {
            Ok(route) => route,
            Err(rejection) => return Found::Rejected(*rejection),
        };
        let mut asked = FileRequest::new(peer.protocol, peer.remote, &route.path).with_http(
            route.query,
            text(head.headers, &USER_AGENT),
            text(head.headers, &COOKIE),
        );
        if let Some(local) = peer.local {
            asked = asked.with_local(local);
        }
        let opened = match self.source.open_now(&asked) {
            Some(opened) => opened,
            None => self.source.open(&asked).await,
        };
        match opened {
            Ok(Opened::File(blob)) => Found::File {
                blob,
                path: route.path.clone(),
            },
            Ok(Opened::Moved(to)) => Found::Moved(to),
            Ok(Opened::Directory(tree, node)) => {
                // Boxed: directories are rare, and their futures large.
                let found = self
                    .directories
                    .find(&*self.source, &asked, route, &*tree, node);
                Box::pin(found).await
            }
            // A kind of answer that pxe-tree may add: nothing here can serve it.
            Ok(_) => Found::Failed(ErrorKind::Unsupported),
            Err(error) => Found::Failed(error.kind()),
        }
    }
}

/// What was found for a request: all that an [`Outcome`] borrows.
#[derive(Debug)]
pub(super) enum Found {
    /// A file, and the path that its type comes from.
    File {
        blob: Arc<dyn Blob>,
        path: TreePath,
    },
    Directory(Option<(Listing, ListingPlace)>),
    Moved(String),
    Failed(ErrorKind),
    Rejected(Rejection),
}

/// What is told of a head, and the path that is looked for.
pub(super) fn requested_head(head: &RequestHead<'_>, path: Option<TreePath>) -> RequestedHead {
    let owned = |name| text(head.headers, name).map(str::to_owned);
    RequestedHead {
        method: head.method.clone(),
        version: head.version,
        target: head.target.to_owned(),
        path,
        range: owned(&RANGE),
        user_agent: owned(&USER_AGENT),
        bootif: text(head.headers, &COOKIE).and_then(bootif),
    }
}

/// The first value of a field, if it is text.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Makes a response the last one of its connection.
#[cfg(feature = "tokio")]
fn close_after(plan: &mut Plan) {
    plan.keep_alive = false;
    plan.headers.retain(|(name, _)| *name != CONNECTION);
    let close = HeaderValue::from_static("close");
    plan.headers.push((CONNECTION, close));
}

/// The civil time now.
pub(super) fn civil_time() -> Timestamp {
    // A clock before 1970 is not set: then there is no date, and none is sent.
    let Ok(since_epoch) = SystemTime::now().duration_since(UNIX_EPOCH) else {
        return Timestamp::from_seconds(-1);
    };
    Timestamp {
        seconds: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
        nanos: since_epoch.subsec_nanos(),
    }
}
