//! The bounds on what peers can make a server hold.

use std::time::Duration;

/// Bounds on what peers can make a `Server` hold and wait for. What happens at each is said by
/// [`Limit`](crate::Limit), and told as an event.
///
/// # Example
///
/// ```
/// let mut limits = pxe_http::Limits::default();
/// limits.connections_per_client_max = 8;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections served at once, over all listeners; at least 1. One more per listener may be
    /// open and wait.
    ///
    /// Beyond it the listeners stop accepting: a booting machine then waits in the operating
    /// system's queue and tries again by TCP's own means, while a refusal would end its boot.
    ///
    /// Default 1024: each costs a file descriptor, about 10 KiB when idle, and one chunk of 64
    /// KiB while it sends.
    pub connections_max: usize,
    /// Connections at once from one address; at least 1.
    ///
    /// Default 64: a download tool opens 16, and machines behind one NAT share an address.
    pub connections_per_client_max: usize,
    /// Bytes of a request's head, request line included; at least 8192, smaller values count as
    /// that.
    ///
    /// Default 16 KiB: lpxelinux sends half a KiB, and a path may have three bytes of escape for
    /// each of its 4,095.
    pub head_bytes_max: usize,
    /// How long the handshake of a connection over TLS may take, from its acceptance on. It counts
    /// as a connection meanwhile.
    ///
    /// Default 30 s: firmware that calculates with large numbers is slow, and iPXE asks a server
    /// of its own for certificates that it lacks in between.
    pub handshake_timeout: Duration,
    /// How long a request's head may take, from its first byte to its last.
    ///
    /// Default 10 s: it is one packet, sent again at most a few times.
    pub head_timeout: Duration,
    /// How long a connection may stay open with no request, before the first or between two.
    ///
    /// Default 60 s: iPXE's SAN boot asks over one connection, with pauses.
    pub idle_timeout: Duration,
    /// How long a client may take nothing at all of a response; over TLS, less than the 64 KiB
    /// that are encrypted ahead.
    ///
    /// Default 60 s: firmware that writes what it got to flash or a slow disk stops reading
    /// meanwhile.
    pub stall_timeout: Duration,
}

impl Limits {
    /// The least value of [`head_bytes_max`](Self::head_bytes_max).
    pub const HEAD_BYTES_LEAST: usize = 8192;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            connections_per_client_max: 64,
            head_bytes_max: 16 * 1024,
            handshake_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
        }
    }
}
