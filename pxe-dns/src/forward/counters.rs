//! How often something happened.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ForwardError;

/// How often something happened since the forwarder was made, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ForwardCounters {
    /// Questions that others were asked.
    pub asked: u64,
    /// Questions that were answered from the cache.
    pub from_cache: u64,
    /// Questions that waited for the answer to an identical one.
    pub joined: u64,
    /// Questions beyond [`in_flight_max`](crate::ForwardLimits::in_flight_max), not asked.
    pub busy: u64,
    /// Questions that nobody answered in time.
    pub timed_out: u64,
    /// Questions to which nobody had a usable answer.
    pub failed: u64,
    /// Failures of single servers, of which another may have answered.
    pub server_failed: u64,
    /// Answers in the cache now.
    pub cache_entries: usize,
    /// Questions that wait now.
    pub in_flight: usize,
}

/// The same, being counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    asked: AtomicU64,
    from_cache: AtomicU64,
    joined: AtomicU64,
    busy: AtomicU64,
    timed_out: AtomicU64,
    failed: AtomicU64,
    server_failed: AtomicU64,
}

impl Counts {
    pub(super) fn asked(&self) {
        count(&self.asked);
    }

    pub(super) fn found(&self) {
        count(&self.from_cache);
    }

    pub(super) fn joined(&self) {
        count(&self.joined);
    }

    pub(super) fn busy(&self) {
        count(&self.busy);
    }

    pub(super) fn failed(&self, why: &ForwardError) {
        match why {
            ForwardError::Timeout => count(&self.timed_out),
            _ => count(&self.failed),
        }
    }

    pub(super) fn server_failed(&self) {
        count(&self.server_failed);
    }

    pub(super) fn get(&self) -> ForwardCounters {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ForwardCounters {
            asked: value(&self.asked),
            from_cache: value(&self.from_cache),
            joined: value(&self.joined),
            busy: value(&self.busy),
            timed_out: value(&self.timed_out),
            failed: value(&self.failed),
            server_failed: value(&self.server_failed),
            ..ForwardCounters::default()
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
