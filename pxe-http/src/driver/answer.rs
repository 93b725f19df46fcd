//! From a request's head to its response: what all drivers do alike.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{COOKIE, HeaderName, RANGE, USER_AGENT};
use pxe_tree::{Blob, FileRequest, Opened, Source, Timestamp, TreePath};

use super::observer::{Observer, Report};
use super::peer::Peer;
use crate::event::{Event, Requested};
use crate::{MediaTypes, Outcome, Plan, RequestHead, bootif, plan};

/// What is served, and who is told of it; clones share everything.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) source: Arc<dyn Source>,
    pub(super) media_types: Arc<MediaTypes>,
    pub(super) observer: Observer,
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
    pub(super) async fn answer(
        &self,
        peer: Peer,
        head: &RequestHead<'_>,
        now: Timestamp,
    ) -> Answer {
        let started = Instant::now();
        let route = head.route();
        let request = self.observer.listens().then(|| {
            let path = route.as_ref().ok().map(|route| route.path.clone());
            Arc::new(requested(peer, head, path))
        });
        if let Some(request) = &request {
            self.observer.tell(|| Event::Request(Arc::clone(request)));
        }
        let opened = match &route {
            Err(rejection) => Err(Outcome::Rejected(*rejection)),
            Ok(route) => {
                let mut asked = FileRequest::new(peer.protocol, peer.remote, &route.path)
                    .with_http(
                        route.query,
                        text(head.headers, &USER_AGENT),
                        text(head.headers, &COOKIE),
                    );
                if let Some(local) = peer.local {
                    asked = asked.with_local(local);
                }
                match self.source.open(&asked).await {
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
                    media_type: self.media_types.of(path),
                }
            }
            Ok((Opened::Moved(to), _)) => Outcome::Moved(to),
            Ok((Opened::Directory(..), _)) => Outcome::Failed(pxe_tree::ErrorKind::IsADirectory),
            // A kind of answer that pxe-tree may add: nothing here can serve it.
            Ok(_) => Outcome::Failed(pxe_tree::ErrorKind::Unsupported),
        };
        let plan = plan(head, outcome, now);
        let report = Report {
            observer: self.observer.clone(),
            request,
            status: plan.status,
            bytes_expected: plan.body_len(),
            bytes_sent: 0,
            started,
        };
        Answer { plan, blob, report }
    }
}

fn requested(peer: Peer, head: &RequestHead<'_>, path: Option<TreePath>) -> Requested {
    let owned = |name| text(head.headers, name).map(str::to_owned);
    Requested {
        remote: peer.remote,
        local: peer.local,
        protocol: peer.protocol,
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
