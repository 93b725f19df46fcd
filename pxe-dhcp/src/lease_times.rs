//! How long leases last.

use crate::Subnet;

/// Lease times of a class or a reservation, in seconds, as far as they differ from what holds for
/// everybody.
///
/// What is said here wins: a longest time of 60 s makes a subnet's default of 3600 s one of 60 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct LeaseTimes {
    /// The shortest that a client can ask for.
    pub min_seconds: Option<u32>,
    /// For a client that does not ask.
    pub default_seconds: Option<u32>,
    /// The longest that a client can ask for.
    pub max_seconds: Option<u32>,
}

impl LeaseTimes {
    /// As for everybody.
    pub const fn new() -> Self {
        Self {
            min_seconds: None,
            default_seconds: None,
            max_seconds: None,
        }
    }

    /// The same time for all, whatever they ask for, in seconds.
    pub const fn exactly(seconds: u32) -> Self {
        Self {
            min_seconds: Some(seconds),
            default_seconds: Some(seconds),
            max_seconds: Some(seconds),
        }
    }

    /// Whether those that are said are above 0 and in order.
    pub(crate) fn is_ordered(&self) -> bool {
        let said = [self.min_seconds, self.default_seconds, self.max_seconds];
        let said: Vec<u32> = said.into_iter().flatten().collect();
        said.is_sorted() && !said.contains(&0)
    }
}

/// The lease times that hold for one client, in seconds: 0 < min <= default <= max.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseBounds {
    min: u32,
    default: u32,
    max: u32,
}

impl LeaseBounds {
    /// Those of a subnet.
    pub(crate) const fn of(subnet: &Subnet) -> Self {
        Self {
            min: subnet.lease_seconds_min,
            default: subnet.lease_seconds_default,
            max: subnet.lease_seconds_max,
        }
    }

    /// Puts what is said over what held before, which gives way as far as it must.
    pub(crate) fn narrow(&mut self, said: &LeaseTimes) {
        if let Some(max) = said.max_seconds {
            (self.min, self.default) = (self.min.min(max), self.default.min(max));
            self.max = max;
        }
        if let Some(min) = said.min_seconds {
            (self.default, self.max) = (self.default.max(min), self.max.max(min));
            self.min = min;
        }
        if let Some(default) = said.default_seconds {
            (self.min, self.max) = (self.min.min(default), self.max.max(default));
            self.default = default;
        }
    }

    /// The lease time for a client that asks for this one.
    pub(crate) fn seconds(&self, asked: Option<u32>) -> u32 {
        asked.map_or(self.default, |seconds| seconds.clamp(self.min, self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_for_a_client_wins_and_stays_in_order() {
        let subnet = Subnet::new("10.0.0.0/24".parse().expect("a network"));
        let times = |min, default, max| LeaseTimes {
            min_seconds: min,
            default_seconds: default,
            max_seconds: max,
        };
        let narrowed = |said: LeaseTimes| {
            let mut bounds = LeaseBounds::of(&subnet);
            bounds.narrow(&said);
            [Some(1), None, Some(u32::MAX)].map(|asked| bounds.seconds(asked))
        };
        assert_eq!(narrowed(LeaseTimes::new()), [120, 3600, 86_400]);
        assert_eq!(narrowed(LeaseTimes::exactly(30)), [30; 3]);
        assert_eq!(narrowed(times(None, None, Some(60))), [60; 3]);
        assert_eq!(narrowed(times(None, Some(60), None)), [60, 60, 86_400]);
        assert_eq!(narrowed(times(Some(100_000), None, None)), [100_000; 3]);
        assert!(!times(None, Some(60), Some(30)).is_ordered());
        assert!(!LeaseTimes::exactly(0).is_ordered());
    }
}
