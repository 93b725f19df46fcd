//! Bounds on asking others.

use std::time::Duration;

/// Bounds on asking others, and on what is kept of their answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForwardLimits {
    /// How long a client waits at most, until it is told that nobody answered: 4 s. The resolvers
    /// of systems ask again after 5 s (resolv.conf(5)), and a client that has an answer, if only
    /// that one, need not ask the same again and again.
    pub deadline: Duration,
    /// How long a server has, until the next one is asked as well: 700 ms. That is more than any
    /// distance on Earth needs, and leaves time for five servers before the deadline.
    pub patience: Duration,
    /// After how long a datagram is sent again to the same server: 1 s.
    pub retransmit: Duration,
    /// Questions that wait for others at a time: 256. Identical ones count once. Each holds a
    /// socket per server that was asked and did not answer, three at most.
    pub in_flight_max: usize,
    /// Octets of an answer, not compressed: 256 KiB, more than a message of 64 KiB becomes.
    pub answer_len_max: usize,
    /// Aliases between a name and what it stands for: 16, as in BIND.
    pub aliases_max: usize,
    /// Answers that are kept: 10,000.
    pub cache_entries_max: usize,
    /// Octets of the answers that are kept: 16 MiB.
    pub cache_len_max: usize,
    /// For how many seconds an answer is kept at least, whatever its TTL: 0.
    pub ttl_min_seconds: u32,
    /// For how many seconds an answer is kept at most, here and by clients: a day.
    pub ttl_max_seconds: u32,
    /// For how many seconds is kept that there is nothing: an hour (RFC 2308 section 5).
    pub negative_ttl_max_seconds: u32,
    /// For how many seconds is kept that nobody could answer: 2 (RFC 9520 section 3.2 demands
    /// between 1 and 300). It is short, as a machine that boots while the uplink comes up waits
    /// for it.
    pub failure_ttl_seconds: u32,
}

impl Default for ForwardLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(4),
            patience: Duration::from_millis(700),
            retransmit: Duration::from_secs(1),
            in_flight_max: 256,
            answer_len_max: 256 * 1024,
            aliases_max: 16,
            cache_entries_max: 10_000,
            cache_len_max: 16 * 1024 * 1024,
            ttl_min_seconds: 0,
            ttl_max_seconds: 86_400,
            negative_ttl_max_seconds: 3600,
            failure_ttl_seconds: 2,
        }
    }
}
