//! Bounds on what peers can make an engine keep or do.

/// Bounds on what peers can make an engine keep or do. None of them is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest message to read, in bytes. Default: 4096; the longest seen are of 600.
    pub datagram_bytes_max: usize,
    /// Offers that wait for their REQUEST. Beyond it the oldest is given up; its client can still
    /// have the address if it is free when the REQUEST comes. Default: 16384.
    pub offers_max: usize,
    /// Records of leases, expired ones included; beyond it the longest expired is forgotten, and
    /// if none is expired, new clients get nothing. Default: 1,000,000, some 400 MB.
    pub leases_max: usize,
    /// Changes on their way to the store. Default: 4096.
    pub commits_max: usize,
    /// Replies that wait to be sent. Default: 4096, at most 6 MB.
    pub transmits_max: usize,
    /// Events that wait to be fetched. Default: 65536.
    pub events_max: usize,
    /// Addresses in quarantine, so that a liar cannot decline a whole pool. Default: 64.
    pub quarantined_max: usize,
    /// Probes for one DISCOVER, each of which found its address in use. Default: 3.
    pub probes_per_client_max: u32,
    /// How many messages a client may send at once. Default: 32.
    pub client_burst: u32,
    /// How many messages per second a client may send on and on. Default: 8; boots send less than
    /// one.
    pub client_messages_per_second: u32,
    /// How many clients' rates are remembered, rounded up to a power of two. Default: 8192.
    pub rate_clients_max: usize,
}

impl Limits {
    /// Every default.
    pub const fn new() -> Self {
        Self {
            datagram_bytes_max: 4096,
            offers_max: 16_384,
            leases_max: 1_000_000,
            commits_max: 4096,
            transmits_max: 4096,
            events_max: 65_536,
            quarantined_max: 64,
            probes_per_client_max: 3,
            client_burst: 32,
            client_messages_per_second: 8,
            rate_clients_max: 8192,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
