//! Who is at the other end of a connection.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use pxe_tree::Protocol;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// Its address. An IPv4 address that was mapped into IPv6 is better unmapped before.
    pub remote: SocketAddr,
    /// Our address that it speaks to, if known.
    pub local: Option<SocketAddr>,
    /// [`Protocol::Http`] or [`Protocol::Https`].
    pub protocol: Protocol,
}

impl Peer {
    /// A peer that speaks in clear.
    pub const fn new(remote: SocketAddr) -> Self {
        Self {
            remote,
            local: None,
            protocol: Protocol::Http,
        }
    }

    /// The same, with our address that it speaks to.
    #[must_use]
    pub const fn with_local(mut self, local: SocketAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// The same, over TLS.
    #[must_use]
    pub const fn over_tls(mut self) -> Self {
        self.protocol = Protocol::Https;
        self
    }
}

/// Whom an address stands for: with IPv6, whoever has a /64 has all its addresses (RFC 6177).
pub(super) fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let mask = u128::MAX << 64;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}
