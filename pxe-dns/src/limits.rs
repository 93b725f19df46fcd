//! Bounds on what others can make the server hold or send.

use std::time::Duration;

/// Bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets of a response by UDP at most, whatever the client takes: 1232, which passes an
    /// Ethernet without fragments (DNS flag day 2020).
    pub udp_len_max: usize,
    /// Keys of dynamic records at most: 65,536, a lease each for a whole /16.
    pub dynamic_keys_max: usize,
    /// Records of one such key at most: 64.
    pub dynamic_records_max: usize,
    /// Connections of all clients at once.
    pub connections_max: usize,
    /// Connections of one address at once: 64, so that machines behind one translated address are
    /// served, and no single one takes all.
    pub connections_per_client_max: usize,
    /// For how long a connection may be silent: 10 seconds, which RFC 7766 section 6.2.3 calls a
    /// few seconds.
    pub idle_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            udp_len_max: 1232,
            dynamic_keys_max: 65_536,
            dynamic_records_max: 64,
            connections_max: 1024,
            connections_per_client_max: 64,
            idle_max: Duration::from_secs(10),
        }
    }
}
