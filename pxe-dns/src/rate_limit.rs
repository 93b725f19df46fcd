//! How many responses leave by UDP, so that a forged source is not flooded through this server.

use std::hash::Hasher;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use pxe_core::Instant;
use siphasher::sip::SipHasher13;

use crate::{Limits, Rcode};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Counts responses in leaking buckets, of which there are as many as at the start, whoever asks.
///
/// A client's network and the kind of response name two buckets by a keyed hash. Each response fills
/// both, time empties them, and only if both are full is there no response: so that one whose
/// network shares a bucket with another's flood is answered nevertheless. A bucket is one number:
/// the time at which it will be empty (the generic cell rate algorithm).
pub(crate) struct RateLimit {
    key: [u8; 16],
    /// Nanoseconds of [`Instant`] at which the bucket is empty.
    empty_at: Box<[AtomicU64]>,
    strangers: Option<Rate>,
    own: Option<Rate>,
    slip: Option<NonZeroU32>,
    /// Responses that were over the rate.
    limited: AtomicU64,
    sums: Sums,
}

/// What was not told yet.
#[derive(Default)]
struct Sums {
    dropped: AtomicU64,
    truncated: AtomicU64,
    told_at: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    /// What a response adds to a bucket.
    cost_nanos: u64,
    /// What a bucket holds.
    size_nanos: u64,
}

/// For whom a response is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// An address of a network of our own: all kinds together.
    Own(IpAddr),
    /// A network of which nothing is known: each kind for itself.
    Stranger(IpAddr, Kind),
}

/// Kinds of responses that are counted for themselves, so that a flood of one does not keep others
/// from leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Answer = 1,
    /// There is nothing of this type, or others are to be asked.
    NoData,
    NoName,
    Error,
}

impl Kind {
    pub(crate) const fn new(rcode: Rcode, has_answers: bool) -> Self {
        match (rcode, has_answers) {
            (Rcode::NOERROR, true) => Self::Answer,
            (Rcode::NOERROR, false) => Self::NoData,
            (Rcode::NXDOMAIN, _) => Self::NoName,
            _ => Self::Error,
        }
    }
}

/// What is to be done with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Send,
    /// An empty one leaves instead, which says that there is more by TCP: who asked in truth comes
    /// that way, and one that is flooded gets no more than the flooder had to send.
    Truncate,
    Drop,
}

/// Responses that did not leave since that was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Untold {
    pub(crate) dropped: u64,
    pub(crate) truncated: u64,
}

impl RateLimit {
    pub(crate) fn new(limits: &Limits, key: [u8; 16]) -> Self {
        let window = limits.rate_limit_burst.as_nanos();
        let window = u64::try_from(window).unwrap_or(u64::MAX / 4);
        let rate = |per_second: NonZeroU32| {
            let cost_nanos = (NANOS_PER_SECOND / u64::from(per_second.get())).max(1);
            let size_nanos = window.clamp(cost_nanos, u64::MAX / 4);
            Rate {
                cost_nanos,
                size_nanos,
            }
        };
        let buckets = limits.rate_limit_buckets.max(2);
        Self {
            key,
            empty_at: std::iter::repeat_with(AtomicU64::default)
                .take(buckets)
                .collect(),
            strangers: limits.responses_per_second.map(rate),
            own: limits.own_responses_per_second.map(rate),
            slip: limits.rate_limit_slip,
            limited: AtomicU64::new(0),
            sums: Sums::default(),
        }
    }

    /// Counts a response, and says whether it may leave.
    pub(crate) fn count(&self, now: Instant, account: Account) -> Verdict {
        let rate = match account {
            Account::Own(_) => self.own,
            Account::Stranger(..) => self.strangers,
        };
        let Some(rate) = rate else {
            return Verdict::Send;
        };
        let hash = self.hash(account);
        let [first, second] = [hash, hash.rotate_left(32)].map(|hash| self.fill(now, hash, rate));
        if first || second {
            return Verdict::Send;
        }
        let limited = self.limited.fetch_add(1, Ordering::Relaxed);
        let slips = self
            .slip
            .is_some_and(|slip| limited.is_multiple_of(slip.get().into()));
        if slips {
            self.sums.truncated.fetch_add(1, Ordering::Relaxed);
            Verdict::Truncate
        } else {
            self.sums.dropped.fetch_add(1, Ordering::Relaxed);
            Verdict::Drop
        }
    }

    /// What is to be told now: sums, once a second at most.
    pub(crate) fn untold(&self, now: Instant) -> Option<Untold> {
        let sums = [&self.sums.dropped, &self.sums.truncated];
        if sums.iter().all(|sum| sum.load(Ordering::Relaxed) == 0) {
            return None;
        }
        let told_at = self.sums.told_at.load(Ordering::Relaxed);
        let is_time = told_at == 0 || now.as_nanos().saturating_sub(told_at) >= NANOS_PER_SECOND;
        let claim = || {
            let to = now.as_nanos().max(1);
            self.sums
                .told_at
                .compare_exchange(told_at, to, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        (is_time && claim()).then(|| Untold {
            dropped: self.sums.dropped.swap(0, Ordering::Relaxed),
            truncated: self.sums.truncated.swap(0, Ordering::Relaxed),
        })
    }

    /// Adds a response to a bucket. Returns whether it had room.
    fn fill(&self, now: Instant, hash: u64, rate: Rate) -> bool {
        let now = now.as_nanos();
        let len = self.empty_at.len() as u64;
        // The high half, spread evenly over the buckets.
        let index = ((hash >> 32).wrapping_mul(len) >> 32) as usize;
        let Some(bucket) = self.empty_at.get(index) else {
            return true;
        };
        let filled = |empty_at: u64| {
            let empty_at = empty_at.max(now).saturating_add(rate.cost_nanos);
            (empty_at - now <= rate.size_nanos).then_some(empty_at)
        };
        bucket
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, filled)
            .is_ok()
    }

    fn hash(&self, account: Account) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        let (ip, kind) = match account {
            Account::Own(ip) => (ip, 0),
            Account::Stranger(ip, kind) => (ip, kind as u8),
        };
        hasher.write_u8(kind);
        let is_own = kind == 0;
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                hasher.write(&[4, a, b, c, if is_own { d } else { 0 }]);
            }
            IpAddr::V6(ip) => {
                // All machines of a link share a /64; a site mostly has a /56.
                let prefix_len = if is_own { 128 } else { 56 };
                hasher.write_u8(6);
                hasher.write_u128(ip.to_bits() >> (128 - prefix_len));
            }
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn stranger(ip: &str, kind: Kind) -> Account {
        Account::Stranger(ip.parse().expect("an address"), kind)
    }

    fn limit(change: impl FnOnce(&mut Limits)) -> RateLimit {
        let mut limits = Limits::default();
        change(&mut limits);
        RateLimit::new(&limits, *b"a key of sixteen")
    }

    /// So many of a thousand that come within a second are sent.
    fn sent(limit: &RateLimit, second: u64, account: Account) -> usize {
        let verdicts = (0..1000).map(|millis| limit.count(at(second * 1000 + millis), account));
        verdicts.filter(|verdict| *verdict == Verdict::Send).count()
    }

    #[test]
    fn a_network_gets_its_burst_and_then_its_rate() {
        let limit = limit(|limits| {
            limits.responses_per_second = NonZeroU32::new(100);
            limits.rate_limit_burst = Duration::from_secs(2);
        });
        let one = stranger("198.51.100.7", Kind::Answer);
        let first = sent(&limit, 1, one);
        assert!((298..=300).contains(&first), "{first}");
        assert!((99..=101).contains(&sent(&limit, 2, one)));
        // The same network, the same kind; and others.
        let neighbour = stranger("198.51.100.200", Kind::Answer);
        assert!(sent(&limit, 3, neighbour) <= 101);
        assert!(sent(&limit, 3, stranger("198.51.100.7", Kind::NoName)) > 200);
        assert!(sent(&limit, 3, stranger("198.51.101.7", Kind::Answer)) > 200);
        // After silence the bucket is empty again.
        assert!(sent(&limit, 60, one) > 200);
    }

    #[test]
    fn ipv6_clients_are_counted_by_their_site() {
        let limit = limit(|limits| limits.responses_per_second = NonZeroU32::new(10));
        let one = stranger("2001:db8:0:100::1", Kind::NoName);
        assert!(sent(&limit, 1, one) <= 50);
        assert!(sent(&limit, 2, stranger("2001:db8:0:1ff::2", Kind::NoName)) <= 11);
        assert!(sent(&limit, 2, stranger("2001:db8:0:200::1", Kind::NoName)) > 11);
    }

    #[test]
    fn each_second_limited_response_is_a_truncated_one() {
        let limit = limit(|limits| {
            limits.responses_per_second = NonZeroU32::new(1);
            limits.rate_limit_burst = Duration::from_secs(1);
        });
        let one = stranger("198.51.100.7", Kind::Answer);
        let verdicts: Vec<_> = (0..5).map(|_| limit.count(at(1), one)).collect();
        use Verdict::{Drop, Send, Truncate};
        assert_eq!(verdicts, [Send, Truncate, Drop, Truncate, Drop]);
        let untold = Untold {
            dropped: 2,
            truncated: 2,
        };
        assert_eq!(limit.untold(at(1)), Some(untold));
        assert_eq!(limit.untold(at(2000)), None, "there is nothing to tell");
        limit.count(at(1), one);
        assert_eq!(limit.untold(at(1000)), None);
        assert!(limit.untold(at(1001)).is_some());
    }

    /// 200 machines that boot at once ask for three names each, for addresses of both kinds.
    #[test]
    fn a_rack_that_boots_is_not_limited() {
        let limit = limit(|_| {});
        for machine in 0..200 {
            let ip = format!("192.168.150.{machine}");
            for kind in [Kind::Answer, Kind::NoData] {
                for _ in 0..3 {
                    assert_eq!(limit.count(at(1), stranger(&ip, kind)), Verdict::Send);
                }
            }
        }
    }

    /// The table is as large as at the start; a flood from ever new networks fills it, and those
    /// who are limited thereby come by TCP.
    #[test]
    fn a_flood_from_a_thousand_networks_leaves_others_served() {
        let limit = limit(|_| {});
        for network in 0..1000_u32 {
            let [_, _, c, d] = network.to_be_bytes();
            let account = stranger(&format!("10.{c}.{d}.1"), Kind::NoName);
            while limit.count(at(1), account) == Verdict::Send {}
        }
        let served = (0..=255).filter(|network| {
            let account = stranger(&format!("198.51.{network}.1"), Kind::NoName);
            limit.count(at(1), account) == Verdict::Send
        });
        assert!(served.count() >= 250);
    }

    #[test]
    fn addresses_of_our_own_have_a_rate_of_their_own() {
        let limit = limit(|limits| {
            limits.own_responses_per_second = NonZeroU32::new(100);
            limits.responses_per_second = None;
            limits.rate_limit_burst = Duration::from_secs(1);
        });
        let own = |ip: &str| Account::Own(ip.parse().expect("an address"));
        assert!(sent(&limit, 1, own("192.168.150.7")) <= 200);
        assert!(sent(&limit, 1, own("192.168.150.8")) > 150);
        assert_eq!(sent(&limit, 1, stranger("192.0.2.1", Kind::Error)), 1000);
    }

    /// All machines of a link share one /64, be it of global or of link-local addresses.
    #[test]
    fn a_flood_of_one_of_our_own_leaves_its_ipv6_neighbours_served() {
        let limit = limit(|limits| {
            limits.own_responses_per_second = NonZeroU32::new(100);
            limits.rate_limit_burst = Duration::from_secs(1);
        });
        for [flooder, neighbour] in [["fe80::7", "fe80::8"], ["2001:db8::7", "2001:db8::8"]] {
            let own = |ip: &str| Account::Own(ip.parse().expect("an address"));
            assert!(sent(&limit, 1, own(flooder)) <= 200);
            assert!(sent(&limit, 1, own(neighbour)) > 150, "{neighbour}");
        }
    }
}
