//! Two clocks: one that only moves forward, and one that a record can carry.

use core::fmt;
use core::ops::{Add, AddAssign};
use core::time::Duration;

/// A point of monotonic time: nanoseconds since an epoch that the driver picks.
///
/// Unlike `std::time::Instant` it can be made from a number, so a simulation starts at
/// [`Instant::EPOCH`] and a failing run can be repeated to the nanosecond. 2^64 ns are 584 years;
/// arithmetic saturates there instead of wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The driver's epoch, nanosecond 0.
    pub const EPOCH: Self = Self(0);

    /// The point `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time that passed since `earlier`, or zero if `earlier` is later than `self`.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// A point of civil time: seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Only records carry it (leases, HTTP dates, SOA serials). It can jump in both directions, so no
/// engine schedules by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The point `seconds` seconds after 1970-01-01T00:00:00Z.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn as_seconds(self) -> u64 {
        self.0
    }

    /// This time plus whole seconds, saturating.
    pub const fn saturating_add_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to `self`, or zero if `earlier` is later.
    pub const fn saturating_seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Both clocks, read together by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Now {
    /// What timers run on.
    pub mono: Instant,
    /// What records carry.
    pub wall: UnixTime,
}

impl Now {
    /// A reading of both clocks.
    pub const fn new(mono: Instant, wall: UnixTime) -> Self {
        Self { mono, wall }
    }
}

impl Add<Duration> for Now {
    type Output = Self;

    /// Both clocks later by `duration`. The wall clock, which has no fractions, ticks as the
    /// monotonic one comes to a whole second: so many short steps amount to a long one.
    fn add(self, duration: Duration) -> Self {
        const NANOS_PER_SECOND: u64 = 1_000_000_000;
        let mono = self.mono + duration;
        let ticks = mono.0 / NANOS_PER_SECOND - self.mono.0 / NANOS_PER_SECOND;
        Self {
            mono,
            wall: self.wall.saturating_add_seconds(ticks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate_at_both_ends() {
        let end = Instant::from_nanos(u64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Instant::EPOCH + Duration::MAX, end);
        assert_eq!(
            Instant::EPOCH.saturating_duration_since(end),
            Duration::ZERO
        );
    }

    #[test]
    fn unix_time_saturates_at_both_ends() {
        let end = UnixTime::from_seconds(u64::MAX);
        assert_eq!(end.saturating_add_seconds(1), end);
        assert_eq!(UnixTime::default().saturating_seconds_since(end), 0);
    }

    #[test]
    fn now_moves_both_clocks() {
        let now =
            Now::new(Instant::EPOCH, UnixTime::from_seconds(10)) + Duration::from_millis(2500);
        assert_eq!(now.mono.as_nanos(), 2_500_000_000);
        assert_eq!(now.wall.as_seconds(), 12);
    }

    #[test]
    fn many_short_steps_move_both_clocks_as_one_long_step_does() {
        let begin = Now::new(Instant::from_nanos(1), UnixTime::from_seconds(10));
        let mut now = begin;
        for _ in 0..2500 {
            now = now + Duration::from_millis(1);
        }
        assert_eq!(now, begin + Duration::from_millis(2500));
        assert_eq!(now.wall.as_seconds(), 12);
    }
}
