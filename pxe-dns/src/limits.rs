//! Bounds on what others can make the server hold or send.

use std::num::NonZeroU32;
use std::time::Duration;

/// Bounds.
///
/// A peer that reaches one is told of in an [`Event`](crate::Event), which names the field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets of a response by UDP at most, whatever the client takes: 1232, which passes an
    /// Ethernet without fragments (DNS flag day 2020, RFC 9715). Less than 512 counts as 512.
    pub udp_len_max: usize,

    /// Keys of dynamic records at most: 65,536, a lease each for a whole /16.
    pub dynamic_keys_max: usize,
    /// Records of one such key at most: 64.
    pub dynamic_records_max: usize,

    /// Responses of a kind (answers, no data, no such name, errors) in a second by UDP to all
    /// addresses of a /24 (IPv6: /56) together. `None`: any number. Clients for whom others are
    /// asked (recursion) and loopback are not counted here.
    ///
    /// 500, with [`rate_limit_burst`](Self::rate_limit_burst) of 4 seconds: 200 machines of one
    /// network that are switched on at once ask for some names each, in all less than the burst of
    /// 2000. A forged source gets at most 500 small responses in a second through us.
    pub responses_per_second: Option<NonZeroU32>,
    /// Responses of all kinds in a second by UDP to one address for which others are asked. `None`:
    /// any number. Loopback is not counted.
    ///
    /// 20,000: a whole class behind one address, or a server that forwards to us, needs less; a
    /// machine that runs wild does not take the whole server.
    pub own_responses_per_second: Option<NonZeroU32>,
    /// So many seconds' worth of responses may leave at once after silence.
    pub rate_limit_burst: Duration,
    /// Each so manieth response above the rate is an empty, truncated one, so that those whose
    /// address is forged, and who ask themselves, come by TCP. `None`: none is. 2, as in BIND.
    pub rate_limit_slip: Option<NonZeroU32>,
    /// Counters of the rate limit, of 8 octets each, made at the start: 65,536.
    pub rate_limit_buckets: usize,

    /// Queries for which others are asked at once: 4096. Those beyond get SERVFAIL at once.
    pub forwards_max: usize,
    /// The same for one client's address: 128, so that a class behind one address is served, and
    /// no single one takes all questions that `HickoryForwarder` asks
    /// at once (256 by default).
    pub forwards_per_client_max: usize,
    /// For how long others may take to answer: 10 seconds, after which the client has asked again
    /// or given up. It gets SERVFAIL then.
    pub forward_max: Duration,

    /// Connections of all clients at once: 1024. For one beyond, the one that asks nothing for
    /// longest is closed; if all have queries under way, the new one is.
    pub connections_max: usize,
    /// Connections of one address at once: 64, so that machines behind one translated address are
    /// served, and no single one takes all.
    pub connections_per_client_max: usize,
    /// Queries of a connection that are under way at once: 64. Those beyond wait in the connection.
    pub queries_per_connection_max: usize,
    /// Octets of responses that wait until a connection's client takes them: 128 KiB, two of the
    /// longest. No query is taken from it meanwhile.
    pub response_bytes_max: usize,
    /// For how long a connection may bring no whole query: 10 seconds (RFC 7766 section 6.2.3: "on
    /// the order of a few seconds").
    pub idle_max: Duration,
    /// For how long a client may take nothing of its responses: 10 seconds.
    pub send_stalled_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            udp_len_max: 1232,
            dynamic_keys_max: 65_536,
            dynamic_records_max: 64,
            responses_per_second: NonZeroU32::new(500),
            own_responses_per_second: NonZeroU32::new(20_000),
            rate_limit_burst: Duration::from_secs(4),
            rate_limit_slip: NonZeroU32::new(2),
            rate_limit_buckets: 1 << 16,
            forwards_max: 4096,
            forwards_per_client_max: 128,
            forward_max: Duration::from_secs(10),
            connections_max: 1024,
            connections_per_client_max: 64,
            queries_per_connection_max: 64,
            response_bytes_max: 128 << 10,
            idle_max: Duration::from_secs(10),
            send_stalled_max: Duration::from_secs(10),
        }
    }
}
