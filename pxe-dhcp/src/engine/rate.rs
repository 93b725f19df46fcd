//! How much one client may send, and how many new clients a port may have.

use core::net::Ipv4Addr;
use core::time::Duration;

use pxe_core::Instant;

use crate::{ClientKey, Limits};

/// A bucket of tokens, a message taking one.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    owner: u64,
    /// When the bucket will be full; it holds `burst` tokens less those that flow in till then.
    full_at: Instant,
}

/// The buckets of the clients, or ports, that sent last. Of two whose hashes share a slot, the
/// later one takes it, so a flood of addresses blocks nobody: it only forgets.
#[derive(Debug)]
pub(super) struct RateLimiter {
    slots: Vec<Option<Bucket>>,
    interval: Duration,
    burst: u32,
}

impl RateLimiter {
    /// How much each client may send.
    pub(super) fn of_clients(limits: &Limits) -> Self {
        let per_second = limits.client_messages_per_second;
        Self::new(limits.rate_clients_max, per_second, limits.client_burst)
    }

    /// How many new clients each port may have.
    pub(super) fn of_new_clients(limits: &Limits) -> Self {
        let per_second = limits.new_clients_per_second;
        Self::new(
            limits.rate_clients_max,
            per_second,
            limits.new_clients_burst,
        )
    }

    fn new(owners_max: usize, per_second: u32, burst: u32) -> Self {
        let slots = owners_max.clamp(1, 1 << 24).next_power_of_two();
        Self {
            slots: vec![None; slots],
            interval: Duration::from_secs(1) / per_second.max(1),
            burst: burst.max(1),
        }
    }

    /// Whether the owner of this hash may have one more.
    pub(super) fn allows(&mut self, now: Instant, owner: u64) -> bool {
        let mask = self.slots.len() as u64 - 1; // a power of two
        let Some(slot) = self.slots.get_mut((owner & mask) as usize) else {
            return true;
        };
        let full_at = match *slot {
            Some(bucket) if bucket.owner == owner => bucket.full_at.max(now),
            _ => now,
        };
        let next = full_at + self.interval;
        if next.saturating_duration_since(now) > self.interval.saturating_mul(self.burst) {
            return false;
        }
        *slot = Some(Bucket {
            owner,
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
    hash_parts(seed, &[&[kind], bytes])
}

/// An address's hash, for those who can say any client.
pub(super) fn hash_of_address(seed: u64, address: Ipv4Addr) -> u64 {
    // The other seed keeps it apart from those of clients.
    hash_parts(!seed, &[&[0], &address.octets()])
}

/// A hash of these, one after the other; the same for equal seeds on every machine.
pub(super) fn hash_parts(seed: u64, parts: &[&[u8]]) -> u64 {
    // FNV-1a, then the finalizer of SplitMix64, which spreads it over all bits.
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().copied().flatten() {
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
        let mut limiter = RateLimiter::of_clients(&limits);
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
