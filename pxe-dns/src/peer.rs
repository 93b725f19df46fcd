//! Who asks, and by what.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// By what a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// In a datagram: the sender's address may be forged.
    Udp,
    /// Over a connection.
    Tcp,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// The client's address and port.
    pub remote: SocketAddr,
    /// The address that was asked, if known.
    pub local_ip: Option<IpAddr>,
    /// By what it asks.
    pub transport: Transport,
}

impl Peer {
    /// A client.
    pub const fn new(remote: SocketAddr, transport: Transport) -> Self {
        Self {
            remote,
            local_ip: None,
            transport,
        }
    }

    /// Whether a datagram to this address can reach one client: a query from elsewhere is forged,
    /// and its answer would go to many, or to nobody.
    pub(crate) fn is_answerable(&self) -> bool {
        let ip = self.remote.ip().to_canonical();
        let is_somebody =
            !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST);
        is_somebody && self.remote.port() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_answered_who_cannot_have_asked() {
        for (remote, is_answerable) in [
            ("192.168.150.7:53", true),
            ("192.168.150.7:0", false),
            ("255.255.255.255:53", false),
            ("[::ffff:255.255.255.255]:53", false),
            ("0.0.0.0:53", false),
            ("224.0.0.251:5353", false),
            ("[ff02::fb]:5353", false),
            ("[::]:53", false),
            ("[fe80::1]:53", true),
        ] {
            let remote = remote.parse().expect("an address");
            let peer = Peer::new(remote, Transport::Udp);
            assert_eq!(peer.is_answerable(), is_answerable, "{remote}");
        }
    }
}
