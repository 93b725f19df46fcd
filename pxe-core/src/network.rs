//! Networks of addresses.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// Addresses that begin with the same bits (RFC 4632 section 3.1, RFC 4291 section 2.3).
///
/// ```
/// use pxe_core::Network;
///
/// let network: Network = "192.168.150.9/24".parse()?;
/// assert_eq!(network.to_string(), "192.168.150.0/24");
/// assert!(network.contains([192, 168, 150, 77].into()));
/// # Ok::<(), pxe_core::ParseNetworkError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    first: IpAddr,
    prefix_len: u8,
}

/// A text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseNetworkError;

impl Network {
    /// The network of an address that has so many bits in common with it; `None` if it has fewer.
    /// An IPv4 address in IPv6's clothes (`::ffff:a.b.c.d`) is one of IPv4.
    pub const fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        let (address, prefix_len) = match address {
            IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), prefix_len.checked_sub(96)) {
                (Some(v4), Some(less)) => (IpAddr::V4(v4), less),
                _ => (address, prefix_len),
            },
            IpAddr::V4(_) => (address, prefix_len),
        };
        let first = match address {
            IpAddr::V4(v4) if prefix_len <= 32 => {
                let host = u32::MAX.checked_shr(prefix_len as u32);
                let host = if let Some(host) = host { host } else { 0 };
                IpAddr::V4(core::net::Ipv4Addr::from_bits(v4.to_bits() & !host))
            }
            IpAddr::V6(v6) if prefix_len <= 128 => {
                let host = u128::MAX.checked_shr(prefix_len as u32);
                let host = if let Some(host) = host { host } else { 0 };
                IpAddr::V6(core::net::Ipv6Addr::from_bits(v6.to_bits() & !host))
            }
            _ => return None,
        };
        Some(Self { first, prefix_len })
    }

    /// Its first address.
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// How many bits its addresses have in common.
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// Whether an address is in it. One of IPv4 in IPv6's clothes is one of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shared = match (self.first, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros()
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        shared >= u32::from(self.prefix_len)
    }
}

impl From<IpAddr> for Network {
    /// An address alone.
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        let prefix_len = match first {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { first, prefix_len }
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    /// `192.168.150.0/24`, `2001:db8::/64`, or an address.
    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, prefix_len)) => (address, Some(prefix_len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ParseNetworkError)?;
        match prefix_len {
            None => Some(Self::from(address)),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().and_then(|len| Self::new(address, len))
            }
            Some(_) => None,
        }
        .ok_or(ParseNetworkError)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix_len)
    }
}

impl fmt::Display for ParseNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither an address nor a network such as 192.168.150.0/24")
    }
}

impl core::error::Error for ParseNetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses() {
        for (network, inside, outside) in [
            ("192.168.150.0/24", "192.168.150.255", "192.168.151.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("10.1.2.3", "::ffff:10.1.2.3", "10.1.2.2"),
            ("::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::/0", "::1", "10.0.0.1"),
        ] {
            let network: Network = network.parse().expect("a network");
            assert!(
                network.contains(inside.parse().expect("an address")),
                "{network}"
            );
            assert!(
                !network.contains(outside.parse().expect("an address")),
                "{network}"
            );
        }
    }

    #[test]
    fn what_is_no_network_is_told() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0/8",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(ParseNetworkError), "{text}");
        }
    }
}
