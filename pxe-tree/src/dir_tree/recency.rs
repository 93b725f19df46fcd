//! What was asked so recently that it need not be asked again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long the kernel is taken to have a file in its caches after it had it: what it looked at a
/// moment ago is the last that it gives up.
const CACHED_FOR: Duration = Duration::from_secs(1);

/// A point of time, in nanoseconds of the kernel's coarse clock, which is some milliseconds behind
/// and is read in a fraction of the time: every question asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

#[cfg(test)]
impl Moment {
    /// So much later.
    pub(super) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }
}

/// Decides what is recent.
#[derive(Debug)]
pub(super) struct Recency {
    settled_for: u64,
    /// What was walked before this moment has to be walked again.
    walks_count_from: AtomicU64,
}

impl Recency {
    /// A directory that was walked to is taken to be in its place for so long.
    pub(super) fn new(settled_for: Duration) -> Self {
        Self {
            settled_for: nanos(settled_for),
            walks_count_from: AtomicU64::new(0),
        }
    }

    #[expect(clippy::unused_self, reason = "asked of what decides by it")]
    pub(super) fn now(&self) -> Moment {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        Moment(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Whether a directory need not be walked to again.
    pub(super) fn is_in_place(&self, walked: Option<Moment>, now: Moment) -> bool {
        walked.is_some_and(|Moment(walked)| {
            now.0.saturating_sub(walked) < self.settled_for
                && walked >= self.walks_count_from.load(Ordering::Relaxed)
        })
    }

    /// Whether looking at a file asks no medium.
    pub(super) fn is_cached(&self, seen: Option<Moment>, now: Moment) -> bool {
        seen.is_some_and(|seen| age(seen, now) < nanos(CACHED_FOR))
    }

    /// Whether it is worth saying that a file was seen once more.
    pub(super) fn is_news(&self, seen: Option<Moment>, now: Moment) -> bool {
        seen.is_none_or(|seen| age(seen, now) > nanos(CACHED_FOR) / 4)
    }

    /// Whether less time than that has passed.
    pub(super) fn is_within(then: Moment, now: Moment, time: Duration) -> bool {
        age(then, now) < nanos(time)
    }

    /// Directories were moved, or their modes changed: all have to be looked at again.
    pub(super) fn directories_changed(&self) {
        self.moved_before(self.now());
    }

    fn moved_before(&self, Moment(now): Moment) {
        // Threads may come here in another order than they asked for the time.
        self.walks_count_from
            .fetch_max(now.saturating_add(1), Ordering::Relaxed);
    }
}

fn age(then: Moment, now: Moment) -> u64 {
    now.0.saturating_sub(then.0)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recent() {
        let recency = Recency::new(Duration::from_millis(10));
        let at = |millis: u64| Moment(millis * 1_000_000);
        assert!(!recency.is_in_place(None, at(5)));
        assert!(recency.is_in_place(Some(at(5)), at(14)));
        assert!(!recency.is_in_place(Some(at(5)), at(15)));
        assert!(recency.is_cached(Some(at(5)), at(1004)));
        assert!(!recency.is_cached(Some(at(5)), at(1005)));
        assert!(!recency.is_cached(None, at(5)));
        assert!(recency.is_news(None, at(5)) && recency.is_news(Some(at(5)), at(500)));
        assert!(!recency.is_news(Some(at(5)), at(6)));
        let late = Moment(u64::MAX / 2);
        assert!(recency.is_in_place(Some(late), late));
        recency.moved_before(late);
        assert!(!recency.is_in_place(Some(late), late));
        // Of another thread, which looked at the clock before.
        recency.moved_before(at(1));
        assert!(!recency.is_in_place(Some(late), late));
        let never = Recency::new(Duration::ZERO);
        assert!(!never.is_in_place(Some(at(5)), at(5)));
    }
}
