//! Who is told what happens, and when a response counts as ended.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::StatusCode;

use super::directory::ListingPlace;
use crate::event::{Event, Limit, Requested, Responded, ResponseEnd};

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
    pub(super) started: Instant,
    /// Held until the response has ended.
    pub(super) listing_place: Option<ListingPlace>,
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
            started: Instant::now(),
            listing_place: None,
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
                request,
                status: self.status,
                bytes_expected: self.bytes_expected,
                bytes_sent: self.bytes_sent,
                duration: self.started.elapsed(),
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

/// Where a connection is, shared by its socket and its service.
#[derive(Debug, Default)]
pub(super) struct Flow(Mutex<FlowState>);

#[derive(Debug, Default)]
struct FlowState {
    phase: Phase,
    /// Responses whose last byte is in hyper's buffer, but perhaps not in the operating system's
    /// yet. hyper flushes after each turn, so these are as many as it answers in one turn.
    ended: Vec<Report>,
    broken: Option<Limit>,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Phase {
    /// A request.
    #[default]
    Idle,
    /// The rest of a request's head.
    Head,
    /// The source, or the client's reading.
    Responding,
}

impl Flow {
    fn with<T>(&self, f: impl FnOnce(&mut FlowState) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn phase(&self) -> Phase {
        self.with(|state| state.phase)
    }

    /// Bytes came in. Returns whether they are the first after a pause.
    pub(super) fn received(&self) -> bool {
        self.with(|state| {
            let first = state.phase == Phase::Idle;
            if first {
                state.phase = Phase::Head;
            }
            first
        })
    }

    pub(super) fn begin_response(&self) {
        self.with(|state| state.phase = Phase::Responding);
    }

    /// The last byte of a response was handed over.
    pub(super) fn end_response(&self, report: Report) {
        self.with(|state| state.ended.push(report));
    }

    /// Everything that was handed over is out. Returns whether that ended a response.
    pub(super) fn flushed(&self) -> bool {
        let ended = self.with(|state| {
            if !state.ended.is_empty() {
                state.phase = Phase::Idle;
            }
            std::mem::take(&mut state.ended)
        });
        // Outside of the lock, since the operator's function runs here.
        let any = !ended.is_empty();
        for report in ended {
            report.tell(ResponseEnd::Complete);
        }
        any
    }

    /// The connection is gone: what was not flushed did not arrive.
    pub(super) fn disconnected(&self) {
        for report in self.with(|state| std::mem::take(&mut state.ended)) {
            report.tell(ResponseEnd::Disconnected);
        }
    }

    pub(super) fn break_limit(&self, limit: Limit) {
        self.with(|state| state.broken = Some(limit));
    }

    pub(super) fn broken_limit(&self) -> Option<Limit> {
        self.with(|state| state.broken)
    }
}

impl Drop for Flow {
    /// For connections whose task was ended from outside.
    fn drop(&mut self) {
        self.disconnected();
    }
}
