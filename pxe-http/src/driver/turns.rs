//! How many requests a connection may make on which hyper speaks HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Response, StatusCode};

use super::admission::Admission;
use super::body::FileBody;
use super::flow::Flow;
use super::observer::{Observer, Report};
use super::peer::Peer;
use super::rate::{Credit, TooMany};
use crate::Piece;
use crate::event::Limit;

/// By what the requests of one connection are counted.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    admission: Arc<Admission>,
    credit: Arc<Mutex<Credit>>,
}

impl Turns {
    pub(super) fn new(admission: &Arc<Admission>) -> Self {
        Self {
            admission: Arc::clone(admission),
            credit: Arc::default(),
        }
    }

    /// How long its files are waited for.
    pub(super) fn source_timeout(&self) -> Duration {
        self.admission.limits.source_timeout
    }

    /// Tells that a bound was reached while a request was answered.
    pub(super) fn tell_limit(&self, limit: Limit, peer: Peer) {
        // Our own servers know where each of their connections came in.
        if let Some(local) = peer.local {
            self.admission.tell_limit(limit, Some(peer.remote), local);
        }
    }

    /// Counts a request. The last response of its connection, if its client asks too often.
    pub(super) fn refuse(
        &self,
        peer: Peer,
        method: &Method,
        flow: &Option<Arc<Flow>>,
    ) -> Option<Response<FileBody>> {
        let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.admission.rates.take(&mut credit, peer.remote.ip());
        let TooMany(wait) = taken.err()?;
        if let Some(flow) = flow {
            flow.break_limit(Limit::RequestRate);
        }
        Some(too_many(method, wait, flow.clone()))
    }
}

/// The same response as on plain connections.
fn too_many(method: &Method, wait: Duration, flow: Option<Arc<Flow>>) -> Response<FileBody> {
    let text = "429 Too Many Requests\ntoo many requests from your address\n";
    let pieces = match *method {
        Method::HEAD => Vec::new(),
        _ => vec![Piece::Text(Bytes::from_static(text.as_bytes()))],
    };
    let report = Report::new(Observer::default(), None);
    let mut response = Response::new(FileBody::new(pieces, None, report, flow));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let text_plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().extend([
        (RETRY_AFTER, wait.as_secs().saturating_add(1).into()),
        // RFC 9110 section 8.6: HEAD is told the length that GET would get.
        (CONTENT_LENGTH, text.len().into()),
        (CONTENT_TYPE, text_plain),
        (CONNECTION, HeaderValue::from_static("close")),
    ]);
    response
}
