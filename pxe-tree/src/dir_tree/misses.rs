//! Keys that led to nothing just now.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::recency::{Moment, Recency};
use crate::NodeKey;

/// How long a key that led to nothing is taken to do so still: clients ask for the files that they
/// had open again and again, each time at the cost of a search.
pub(super) const MISSED_FOR: Duration = Duration::from_secs(1);
/// Keys that are remembered at once.
const MISSES_MAX: usize = 4096;

/// Keys that led to nothing just now, so that they are not searched for again.
#[derive(Debug)]
pub(super) struct Misses {
    known: Mutex<Known>,
    missed_for: Duration,
}

#[derive(Debug, Default)]
struct Known {
    missed: HashMap<NodeKey, Moment>,
    /// The oldest is the first.
    order: VecDeque<NodeKey>,
    /// How often all were forgotten.
    changes: u64,
}

/// The state of the tree before a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before(u64);

impl Misses {
    pub(super) fn new(missed_for: Duration) -> Self {
        Self {
            known: Mutex::default(),
            missed_for,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a key led to nothing just now.
    pub(super) fn has(&self, key: &NodeKey, now: Moment) -> bool {
        let missed = self.known().missed.get(key).copied();
        missed.is_some_and(|missed| Recency::is_within(missed, now, self.missed_for))
    }

    /// To be told when the search that begins now ends.
    pub(super) fn before(&self) -> Before {
        Before(self.known().changes)
    }

    /// Remembers that a search found nothing, unless names were changed meanwhile.
    pub(super) fn put(&self, key: NodeKey, before: Before, now: Moment) {
        let mut known = self.known();
        if before != Before(known.changes) {
            return;
        }
        if known.missed.insert(key, now).is_none() {
            known.order.push_back(key);
        }
        if known.order.len() > MISSES_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.missed.remove(&oldest);
        }
    }

    /// Names were changed through this tree: any key may lead somewhere now.
    pub(super) fn clear(&self) {
        let mut known = self.known();
        known.changes = known.changes.wrapping_add(1);
        known.missed.clear();
        known.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> NodeKey {
        NodeKey::new(&number.to_le_bytes()).expect("short")
    }

    #[test]
    fn misses_are_remembered_within_bounds_and_until_a_change() {
        let now = Recency::new(Duration::ZERO).now();
        let misses = Misses::new(MISSED_FOR);
        let put = |number| misses.put(key(number), misses.before(), now);
        (0..2 * MISSES_MAX).for_each(put);
        (0..2 * MISSES_MAX).for_each(put);
        let known = (0..2 * MISSES_MAX).filter(|number| misses.has(&key(*number), now));
        assert_eq!(known.count(), MISSES_MAX);
        assert_eq!(misses.known().order.len(), MISSES_MAX);
        let before = misses.before();
        misses.clear();
        assert!(!misses.has(&key(2 * MISSES_MAX - 1), now));
        // What a search saw before the change says nothing.
        misses.put(key(1), before, now);
        assert!(!misses.has(&key(1), now) && misses.known().order.is_empty());
        put(1);
        assert!(misses.has(&key(1), now));
        let never = Misses::new(Duration::ZERO);
        never.put(key(1), never.before(), now);
        assert!(!never.has(&key(1), now));
    }
}
