//! What is told once a second at most.

use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::Clock;
use crate::{Event, Limited, Peer, Service};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Tells of bounds that were reached: a flood of queries is no flood of events.
#[derive(Debug)]
pub(super) struct Throttle {
    clock: Clock,
    /// When that is told again, in nanoseconds of the clock.
    next: AtomicU64,
}

impl Throttle {
    pub(super) const fn new(clock: Clock) -> Self {
        Self {
            clock,
            next: AtomicU64::new(0),
        }
    }

    /// Tells that this bound was reached, unless one was told of within the last second.
    pub(super) fn limited(&self, service: &Service, peer: Option<Peer>, limit: &'static str) {
        let now = self.clock.now().mono.as_nanos();
        let later = |next: u64| (now >= next).then(|| now.saturating_add(NANOS_PER_SECOND));
        let claimed = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        if claimed.is_ok() {
            service.tell(&Event::Limited(Limited { peer, limit }));
        }
    }
}
