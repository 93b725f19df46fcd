//! Where a connection is on which hyper speaks HTTP, and when a response on it counts as ended.

use std::sync::{Mutex, PoisonError};

use super::observer::Report;
use crate::event::{Limit, ResponseEnd};

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
