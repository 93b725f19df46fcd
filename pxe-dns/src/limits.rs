//! Bounds on what others can make the server hold or send.

/// Bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets of a response by UDP at most, whatever the client takes: 1232, which passes an
    /// Ethernet without fragments (DNS flag day 2020).
    pub udp_len_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { udp_len_max: 1232 }
    }
}
