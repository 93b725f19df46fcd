//! The bounds on what peers can make a server hold.

use std::num::NonZeroU32;
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
    /// Beyond it the listeners stop accepting, and connections that have waited for a request of
    /// their client for a second or more are closed to make room, the oldest first; where there is
    /// none, the one whose client takes least, as [`slow_timeout`](Self::slow_timeout) says. A booting
    /// machine waits in the operating system's queue meanwhile and tries again by TCP's own means,
    /// while a refusal would end its boot.
    ///
    /// Default 4096: each costs a file descriptor, some 6 KiB when idle, and one chunk of 64 KiB
    /// while it sends what neither is a file of the operating system nor lies in memory.
    pub connections_max: usize,
    /// Connections at once from one address, or one /64 of IPv6; at least 1.
    ///
    /// Default 1024: a download tool opens 16, and a school's machines behind one NAT share an
    /// address.
    pub connections_per_client_max: usize,
    /// Requests a second that one address, or one /64 of IPv6, may make for long; `None`: any
    /// number.
    ///
    /// Default 10,000: a sixth of what one processor answers, while a booting machine makes some 10
    /// to 200 in all.
    pub requests_per_client_per_second: Option<NonZeroU32>,
    /// Requests that it may make at once after a pause; at least 1.
    ///
    /// Default 1,000,000: thousands of machines behind one NAT that boot at once.
    pub requests_per_client_burst: u32,
    /// Handshakes of TLS that one address, or one /64 of IPv6, may have calculated a second for
    /// long; `None`: any number. Others wait for their turn, for `handshake_timeout` at most.
    ///
    /// Default 50: a full one takes 1 to 3 ms of a processor, so that one client can ask for a tenth
    /// of it. Resumed ones, which take less, count as well.
    pub handshakes_per_client_per_second: Option<NonZeroU32>,
    /// Handshakes that it may begin at once after a pause; at least 1.
    ///
    /// Default 1000: a school's machines behind one NAT, which boot at once.
    pub handshakes_per_client_burst: u32,
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
    /// How long a client may take for [`taken_bytes_least`](Self::taken_bytes_least) of a response;
    /// over TLS, for anything beyond the 64 KiB that are encrypted ahead.
    ///
    /// Default 60 s: firmware that writes what it got to flash or a slow disk stops reading
    /// meanwhile.
    pub stall_timeout: Duration,
    /// Bytes of a response, or its rest, that a client has to take within
    /// [`stall_timeout`](Self::stall_timeout); at least 1.
    ///
    /// Default 4096: 68 bytes a second, less than the slowest link that a machine boots from.
    pub taken_bytes_least: usize,
    /// How long a client may take for 64 KiB of a response where all connections are taken: then the
    /// one that has taken longest is closed to make room for another.
    ///
    /// Default 20 s: 3 KiB a second, while firmware that writes to flash takes tens of KiB, with
    /// pauses of a few seconds. Without this, whoever takes as little as
    /// [`taken_bytes_least`](Self::taken_bytes_least) allows could keep all places for days.
    pub slow_timeout: Duration,
    /// How long the source may take to open a file, and for each piece that is read of it.
    ///
    /// Default 60 s: a network file system that hangs, rather than a disk that has to spin up.
    pub source_timeout: Duration,
}

impl Limits {
    /// The least value of [`head_bytes_max`](Self::head_bytes_max).
    pub const HEAD_BYTES_LEAST: usize = 8192;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            connections_per_client_max: 1024,
            requests_per_client_per_second: NonZeroU32::new(10_000),
            requests_per_client_burst: 1_000_000,
            handshakes_per_client_per_second: NonZeroU32::new(50),
            handshakes_per_client_burst: 1000,
            head_bytes_max: 16 * 1024,
            handshake_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            taken_bytes_least: 4096,
            slow_timeout: Duration::from_secs(20),
            source_timeout: Duration::from_secs(60),
        }
    }
}
