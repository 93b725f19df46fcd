//! What a connection says of itself to those who may ask it to leave.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

/// Why a connection is asked to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// As soon as nothing is under way on it.
    ServerStops,
    /// If nothing is under way on it now, or its client takes too little of what is.
    MakeRoom,
}

/// Shared by a connection and the admission.
#[derive(Debug, Default)]
pub(super) struct Seat(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when it waits for its client's request; `None` while a request is answered.
    waits_since: Option<Instant>,
    /// Since when its client has taken less than [`SLOW_BYTES`] of a response, and is waited for.
    slow_since: Option<Instant>,
    waker: Option<Waker>,
    leave: Option<Leave>,
}

/// Bytes of a response for which a client may take [`slow_timeout`](crate::Limits::slow_timeout) where
/// others wait for its place.
pub(super) const SLOW_BYTES: usize = 64 * 1024;

impl State {
    fn may_make_room(&self) -> bool {
        self.leave.is_none() && (self.waits_since.is_some() || self.slow_since.is_some())
    }

    fn wake_by(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

impl Seat {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(&self, leave: Leave) {
        let mut state = self.state();
        match leave {
            Leave::MakeRoom if !state.may_make_room() => {}
            _ => state.leave = Some(leave),
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// `None` as well if it was asked to leave already.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let state = self.state();
        state.waits_since.filter(|_| state.leave.is_none())
    }

    /// Since when its client has been slow to take a response; `None` as well if it was asked to
    /// leave already.
    pub(super) fn slow_since(&self) -> Option<Instant> {
        let state = self.state();
        state.slow_since.filter(|_| state.leave.is_none())
    }

    /// Says that the client has taken less than [`SLOW_BYTES`] since then, and is waited for. Ready
    /// if the connection is to make room.
    pub(super) fn poll_make_room(&self, cx: &mut Context<'_>, since: Instant) -> Poll<()> {
        let mut state = self.state();
        if state.leave == Some(Leave::MakeRoom) {
            return Poll::Ready(());
        }
        state.slow_since = Some(since);
        state.wake_by(cx);
        Poll::Pending
    }

    /// Says that the client has taken enough, or all there is.
    pub(super) fn took(&self) {
        let mut state = self.state();
        state.slow_since = None;
        if state.leave == Some(Leave::MakeRoom) {
            state.leave = None;
        }
    }

    /// Says that the connection waits for its client, since then. Ready if it is to leave.
    pub(super) fn poll_leave(&self, cx: &mut Context<'_>, since: Instant) -> Poll<Leave> {
        let mut state = self.state();
        if let Some(leave) = state.leave {
            return Poll::Ready(leave);
        }
        state.waits_since = Some(since);
        state.wake_by(cx);
        Poll::Pending
    }

    /// Resolves once the connection is to leave, for those that do not say what they wait for.
    #[cfg(feature = "tls")]
    pub(super) async fn leave(&self) -> Leave {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            if let Some(leave) = state.leave {
                return Poll::Ready(leave);
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Says that a request is answered now.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        state.waits_since = None;
        state.slow_since = None;
        if state.leave == Some(Leave::MakeRoom) {
            // Its client was quicker.
            state.leave = None;
        }
    }

    /// Whether the response under way is the last one.
    pub(super) fn is_leaving(&self) -> bool {
        self.state().leave.is_some()
    }
}
