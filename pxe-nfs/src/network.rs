//! Addresses of clients.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::ParseClientError;

/// Addresses of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Network {
    /// `*`: everybody.
    Any,
    /// Those that begin with the same bits; a single address has all its bits.
    Prefix {
        /// One of them.
        address: IpAddr,
        /// How many bits they share: at most 32, or 128 with IPv6.
        prefix_len: u8,
    },
}

impl Network {
    /// Whether an address is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let Self::Prefix {
            address: network,
            prefix_len,
        } = *self
        else {
            return true;
        };
        let shared = match (network, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros()
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        shared >= u32::from(prefix_len)
    }

    /// How many bits its addresses share, for choosing the closest; none are less than any.
    pub(crate) const fn prefix_len(&self) -> Option<u8> {
        match self {
            Self::Any => None,
            Self::Prefix { prefix_len, .. } => Some(*prefix_len),
        }
    }
}

impl FromStr for Network {
    type Err = ParseClientError;

    /// Reads what exports(5) calls the machine name, as far as it is made of addresses: `*`,
    /// `192.168.150.7`, `192.168.150.0/24`, `192.168.150.0/255.255.255.0`, `2001:db8::/64`.
    fn from_str(text: &str) -> Result<Self, ParseClientError> {
        let client = || text.to_owned();
        if text == "*" {
            return Ok(Self::Any);
        }
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(no_address(text, address));
        };
        let bits = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let prefix_len = match mask {
            None => Some(bits),
            Some(mask) if mask.contains('.') && address.is_ipv4() => ones(mask),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
        };
        let prefix_len = prefix_len
            .filter(|len| *len <= bits)
            .ok_or_else(|| ParseClientError::Mask { client: client() })?;
        // Clients of IPv4 are known by that address, also those that a socket for both shows as
        // `::ffff:a.b.c.d`.
        let (address, prefix_len) = match (address.to_canonical(), prefix_len.checked_sub(96)) {
            (address @ IpAddr::V4(_), Some(prefix_len)) if bits == 128 => (address, prefix_len),
            _ => (address, prefix_len),
        };
        Ok(Self::Prefix {
            address: first(address, prefix_len),
            prefix_len,
        })
    }
}

/// How many ones a mask begins with, if zeros follow them alone.
fn ones(mask: &str) -> Option<u8> {
    let mask = mask.parse::<Ipv4Addr>().ok()?.to_bits();
    let ones = mask.leading_ones();
    (ones == mask.count_ones()).then_some(ones)?.try_into().ok()
}

/// What is wrong with a client that is no address.
fn no_address(client: &str, address: &str) -> ParseClientError {
    let inner = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let client = client.to_owned();
    let has = |characters: &[char]| address.contains(characters);
    if address.starts_with('@') {
        ParseClientError::Netgroup { client }
    } else if inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()) {
        ParseClientError::Brackets { client }
    } else if address.starts_with("gss/") || client.starts_with("gss/") {
        ParseClientError::Kerberos { client }
    } else if has(&['*', '?', '[']) {
        ParseClientError::Wildcard { client }
    } else if has(&[':'])
        || address
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        ParseClientError::Address { client }
    } else {
        ParseClientError::HostName { client }
    }
}

impl fmt::Display for Network {
    /// As exports(5) has it: `*`, an address, or the first address and the length of the prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Prefix {
            address,
            prefix_len,
        } = *self
        else {
            return f.write_str("*");
        };
        let first = first(address, prefix_len);
        match (address, prefix_len) {
            (IpAddr::V4(_), 32..) | (IpAddr::V6(_), 128..) => first.fmt(f),
            _ => write!(f, "{first}/{prefix_len}"),
        }
    }
}

/// The first address of those that share so many bits with this one.
fn first(address: IpAddr, prefix_len: u8) -> IpAddr {
    let rest = |bits: u32| bits.saturating_sub(prefix_len.into());
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(rest(Ipv4Addr::BITS)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(rest(Ipv6Addr::BITS)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}
