//! Who calls.

use std::net::SocketAddr;

/// Who calls, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// The client's address and port.
    pub remote: SocketAddr,
    /// Our address and port that it called.
    pub local: SocketAddr,
    /// How its calls come.
    pub transport: Transport,
}

impl Peer {
    /// A client that calls us at `local`. An IPv4 address in IPv6's clothes (`::ffff:a.b.c.d`, as
    /// a socket for both families shows it) is taken for what it is.
    pub fn new(remote: SocketAddr, local: SocketAddr, transport: Transport) -> Self {
        let plain =
            |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Self {
            remote: plain(remote),
            local: plain(local),
            transport,
        }
    }

    /// Whether the call comes from a port that only a privileged process can take (below 1024), as
    /// exports with `secure` want it.
    pub const fn is_privileged(&self) -> bool {
        self.remote.port() < 1024
    }
}

/// How calls come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// A connection, with record marking (RFC 5531 section 11).
    Tcp,
    /// A datagram for each call.
    Udp,
}
