//! Who is told what happens.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use super::directory::PagePlace;
use crate::event::{Event, Requested, Responded, ResponseEnd};

type OnEvent = dyn Fn(&Event) + Send + Sync;

/// The operator's function, if there is one.
#[derive(Clone, Default)]
pub(super) struct Observer(Option<Arc<OnEvent>>);

impl Observer {
    pub(super) fn new(on_event: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(on_event)))
    }

    /// Tells the event; it is only made if somebody listens.
    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(on_event) = &self.0 {
            on_event(&event());
        }
    }

    pub(super) const fn listens(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}

/// What will be told of a response at its end.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) observer: Observer,
    /// `None` if nobody listens: then it was not made.
    pub(super) request: Option<Arc<Requested>>,
    pub(super) status: StatusCode,
    pub(super) bytes_expected: u64,
    pub(super) bytes_sent: u64,
    /// Held until the response has ended.
    pub(super) page_place: Option<PagePlace>,
}

impl Report {
    /// The report on a response that begins now, and of which nothing else is known yet.
    pub(super) fn new(observer: Observer, request: Option<Arc<Requested>>) -> Self {
        Self {
            observer,
            request,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            bytes_expected: 0,
            bytes_sent: 0,
            page_place: None,
        }
    }

    pub(super) fn tell(mut self, end: ResponseEnd) {
        self.tell_once(end);
    }

    fn tell_once(&mut self, end: ResponseEnd) {
        let Some(request) = self.request.take() else {
            return;
        };
        self.observer.tell(|| {
            Event::Response(Responded {
                duration: request.at.elapsed(),
                request,
                status: self.status,
                bytes_expected: self.bytes_expected,
                bytes_sent: self.bytes_sent,
                end,
            })
        });
    }
}

impl Drop for Report {
    /// For responses whose task was ended from outside, or failed: who was told of a request is
    /// told of its end.
    fn drop(&mut self) {
        self.tell_once(ResponseEnd::Disconnected);
    }
}
