//! IPv4 networks.

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

use thiserror::Error;

/// An IPv4 network: an address and a prefix length, host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv4Net {
    network: Ipv4Addr,
    prefix: u8,
}

impl Ipv4Net {
    /// The network of this address; `None` if the prefix length exceeds 32. Host bits are cleared.
    pub const fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        if prefix > 32 {
            return None;
        }
        let network = Ipv4Addr::from_bits(address.to_bits() & mask_bits(prefix));
        Some(Self { network, prefix })
    }

    /// The first address.
    pub const fn network(self) -> Ipv4Addr {
        self.network
    }

    /// The prefix length, at most 32.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The mask.
    pub const fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask_bits(self.prefix))
    }

    /// The last address: the broadcast address, but for prefix lengths 31 and 32.
    pub const fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !mask_bits(self.prefix))
    }

    /// Whether the address is of this network.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask_bits(self.prefix) == self.network.to_bits()
    }

    /// Whether all addresses of the other network are of this one.
    pub const fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.network)
    }

    /// Whether a host can have the address: neither the network's nor the broadcast address
    /// (RFC 3021: networks of 31 bits have neither).
    pub const fn is_host(self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        self.contains(address)
            && (self.prefix >= 31
                || (bits != self.network.to_bits() && bits != self.broadcast().to_bits()))
    }
}

const fn mask_bits(prefix: u8) -> u32 {
    match u32::MAX.checked_shl(32 - prefix as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

impl fmt::Display for Ipv4Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// A text is no network of the form `192.168.150.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a network of the form 192.168.150.0/24, or with bits set beyond its prefix")]
#[non_exhaustive]
pub struct ParseIpv4NetError;

impl FromStr for Ipv4Net {
    type Err = ParseIpv4NetError;

    /// Reads `192.168.150.0/24`. Host bits must be zero: `192.168.150.1/24` is more often a
    /// mistake than a network.
    fn from_str(text: &str) -> Result<Self, ParseIpv4NetError> {
        let (address, prefix) = text.split_once('/').ok_or(ParseIpv4NetError)?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseIpv4NetError);
        }
        let address: Ipv4Addr = address.parse().map_err(|_| ParseIpv4NetError)?;
        let prefix = prefix.parse().map_err(|_| ParseIpv4NetError)?;
        Self::new(address, prefix)
            .filter(|net| net.network == address)
            .ok_or(ParseIpv4NetError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a network")
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().expect("an address")
    }

    #[test]
    fn networks_and_their_hosts() {
        let lan = net("192.168.150.0/24");
        assert_eq!(lan.mask(), ip("255.255.255.0"));
        assert_eq!(lan.broadcast(), ip("192.168.150.255"));
        assert!(lan.is_host(ip("192.168.150.1")));
        assert!(!lan.is_host(ip("192.168.150.0")) && !lan.is_host(ip("192.168.150.255")));
        assert!(!lan.contains(ip("192.168.151.1")));
        assert!(lan.covers(lan) && lan.covers(net("192.168.150.128/25")));
        assert!(!lan.covers(net("192.168.0.0/16")) && !lan.covers(net("192.168.151.0/25")));
        assert!(net("10.0.0.0/31").is_host(ip("10.0.0.0")));
        assert!(net("0.0.0.0/0").contains(ip("255.1.2.3")));
        for text in [
            "10.0.0.1/24",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
        ] {
            assert_eq!(text.parse::<Ipv4Net>(), Err(ParseIpv4NetError), "{text}");
        }
    }
}
