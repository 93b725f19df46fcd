//! What was sent in the last seconds.

/// Over so many whole seconds a rate is taken.
const SECONDS: u64 = 10;

/// Counts transfers and their bytes, for the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Each second's place is its number modulo the length; the second itself is kept beside it.
    seconds: [Second; SECONDS as usize + 1],
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    transfers: u64,
    bytes: u64,
}

/// What was sent in a second, on average over the last ten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub(crate) transfers_per_second: f64,
    pub(crate) bytes_per_second: u64,
}

impl Meter {
    /// Counts a transfer that ended in this second.
    pub(crate) fn add(&mut self, second: u64, bytes: u64) {
        let len = self.seconds.len() as u64;
        if let Some(place) = self.seconds.get_mut((second % len) as usize) {
            if place.number != second {
                *place = Second {
                    number: second,
                    ..Second::default()
                };
            }
            place.transfers += 1;
            place.bytes = place.bytes.saturating_add(bytes);
        }
    }

    /// The rate of the last seconds that are over.
    pub(crate) fn rate(&self, now: u64) -> Rate {
        let lately = now.saturating_sub(SECONDS)..now;
        let counted = self.seconds.iter();
        let counted = counted.filter(|second| lately.contains(&second.number));
        let (transfers, bytes) = counted.fold((0, 0_u64), |(transfers, bytes), second| {
            let bytes = bytes.saturating_add(second.bytes);
            (transfers + second.transfers, bytes)
        });
        Rate {
            transfers_per_second: transfers as f64 / SECONDS as f64,
            bytes_per_second: bytes / SECONDS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds() {
        let mut meter = Meter::default();
        for second in 100..120 {
            for _ in 0..3 {
                meter.add(second, 1000);
            }
        }
        let rate = meter.rate(120);
        assert_eq!(
            (rate.transfers_per_second, rate.bytes_per_second),
            (3.0, 3000)
        );
        // The second that lasts does not count yet, and what is long ago no more.
        meter.add(120, 1_000_000);
        assert_eq!(meter.rate(120), rate);
        assert_eq!(meter.rate(125).transfers_per_second, 1.6);
        assert_eq!(meter.rate(140).bytes_per_second, 0);
    }
}
