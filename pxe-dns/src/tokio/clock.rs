//! The time, for the service.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pxe_core::{Now, UnixTime};

/// Tells the time since the server's start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Now {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // A clock before 1970 is taken for 1970.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Now::new(
            pxe_core::Instant::from_nanos(nanos),
            UnixTime::from_seconds(wall.map_or(0, |since| since.as_secs())),
        )
    }
}
