//! How much one client may send.

use core::net::Ipv4Addr;
use core::time::Duration;

use pxe_core::Instant;

use crate::{ClientKey, Limits};

/// A bucket of tokens, a message taking one.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    client: u64,
    /// When the bucket will be full; it holds `burst` tokens less those that flow in till then.
    full_at: Instant,
}

/// The buckets of the clients that sent last. Of two clients whose hashes share a slot, the later
/// one takes it, so a flood of addresses blocks nobody: it only forgets.
#[derive(Debug)]
pub(super) struct RateLimiter {
    slots: Vec<Option<Bucket>>,
    interval: Duration,
    burst: u32,
}

impl RateLimiter {
    pub(super) fn new(limits: &Limits) -> Self {
        let slots = limits
            .rate_clients_max
            .clamp(1, 1 << 24)
            .next_power_of_two();
        let per_second = limits.client_messages_per_second.max(1);
        Self {
            slots: vec![None; slots],
            interval: Duration::from_secs(1) / per_second,
            burst: limits.client_burst.max(1),
        }
    }

    /// Whether the client with this hash may send one more message.
    pub(super) fn allows(&mut self, now: Instant, client: u64) -> bool {
        let mask = self.slots.len() as u64 - 1; // a power of two
        let Some(slot) = self.slots.get_mut((client & mask) as usize) else {
            return true;
        };
        let full_at = match *slot {
            Some(bucket) if bucket.client == client => bucket.full_at.max(now),
            _ => now,
        };
        let next = full_at + self.interval;
        if next.saturating_duration_since(now) > self.interval.saturating_mul(self.burst) {
            return false;
        }
        *slot = Some(Bucket {
            client,
            full_at: next,
        });
        true
    }
}

/// A client's hash: where the search for its address begins, and its slot above. Equal for equal
/// seeds on every machine.
pub(super) fn hash(seed: u64, client: &ClientKey) -> u64 {
    let (kind, bytes): (u8, &[u8]) = match client {
        ClientKey::Ethernet(mac) => (0, &mac.octets()),
        ClientKey::ClientId(id) => (1, id),
        ClientKey::Hardware { htype, address } => (*htype, address),
    };
    hash_of_bytes(seed, kind, bytes)
}

/// An address's hash, for those who can say any client.
pub(super) fn hash_of_address(seed: u64, address: Ipv4Addr) -> u64 {
    // The other seed keeps it apart from those of clients.
    hash_of_bytes(!seed, 0, &address.octets())
}

fn hash_of_bytes(seed: u64, kind: u8, bytes: &[u8]) -> u64 {
    // FNV-1a, then the finalizer of SplitMix64, which spreads it over all bits.
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for byte in [kind].iter().chain(bytes) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let mut limits = Limits::new();
        (limits.client_burst, limits.client_messages_per_second) = (4, 2);
        let mut limiter = RateLimiter::new(&limits);
        let at = |millis| Instant::EPOCH + Duration::from_millis(millis);
        let mut allowed = |millis| limiter.allows(at(millis), 7);
        assert_eq!([allowed(0), allowed(0), allowed(0), allowed(0)], [true; 4]);
        assert!(!allowed(0) && !allowed(499));
        assert!(allowed(500) && !allowed(500));
        assert!(
            limiter.allows(at(500), 8),
            "another client has a bucket of its own"
        );
    }
}
