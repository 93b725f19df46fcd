//! What peers can cause by one packet each: told one by one as long as there is little of it.

use std::collections::BTreeMap;
use std::time::Duration;

use pxe_core::Instant;

use crate::event::Noise;

/// Of each kind, what was told within a second and what was not.
#[derive(Debug, Default)]
pub(crate) struct NoiseCounts {
    kinds: BTreeMap<Noise, Count>,
    /// When the first sum is to be told.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Count {
    /// When its second began.
    since: Instant,
    told: u32,
    untold: u64,
}

const SECOND: Duration = Duration::from_secs(1);

impl NoiseCounts {
    /// Counts one. Returns whether it is told.
    pub(crate) fn take(&mut self, now: Instant, noise: Noise, per_second: u32) -> bool {
        let fresh = Count {
            since: now,
            told: 0,
            untold: 0,
        };
        let count = self.kinds.entry(noise).or_insert(fresh);
        // What was not told is told first, by `sums`.
        if count.untold == 0 && now.saturating_duration_since(count.since) >= SECOND {
            (count.since, count.told) = (now, 0);
        }
        if count.told < per_second {
            count.told += 1;
            return true;
        }
        count.untold = count.untold.saturating_add(1);
        let at = count.since + SECOND;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
        false
    }

    /// When there are sums to be told.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// How many of each kind were not told in a second that is over.
    pub(crate) fn sums(&mut self, now: Instant) -> Vec<(Noise, u64)> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let mut sums = Vec::new();
        self.due = None;
        for (noise, count) in &mut self.kinds {
            let end = count.since + SECOND;
            if count.untold == 0 {
                continue;
            }
            if now >= end {
                sums.push((*noise, std::mem::take(&mut count.untold)));
                (count.since, count.told) = (now, 0);
            } else {
                self.due = Some(self.due.map_or(end, |due| due.min(end)));
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_is_told_as_a_sum_when_its_second_is_over() {
        let at = |millis| Instant::EPOCH + Duration::from_millis(millis);
        let mut counts = NoiseCounts::default();
        let told = |counts: &mut NoiseCounts, now, noise| {
            (0..10).filter(|_| counts.take(now, noise, 3)).count()
        };
        assert_eq!(told(&mut counts, at(0), Noise::Malformed), 3);
        assert_eq!(told(&mut counts, at(500), Noise::UnknownTransfer), 3);
        assert_eq!(counts.due(), Some(at(1000)));
        assert_eq!(counts.sums(at(999)), []);
        assert_eq!(counts.sums(at(1000)), [(Noise::Malformed, 7)]);
        assert_eq!(counts.due(), Some(at(1500)));
        // The next second of one, and still the first of the other.
        assert_eq!(told(&mut counts, at(1400), Noise::Malformed), 3);
        assert_eq!(told(&mut counts, at(1400), Noise::UnknownTransfer), 0);
        let sums = counts.sums(at(9000));
        assert_eq!(sums, [(Noise::Malformed, 7), (Noise::UnknownTransfer, 17)]);
        assert_eq!((counts.due(), counts.sums(at(9999))), (None, Vec::new()));
        assert_eq!(told(&mut counts, at(20_000), Noise::Malformed), 3);
    }
}
