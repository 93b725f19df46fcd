//! Names of addresses (RFC 1035 section 3.5, RFC 3596 section 2.5).

use std::net::IpAddr;

use pxe_core::Network;
use pxe_dns::Name;

/// A subnet of some /8 and a few bits would have this many zones at most.
const ZONES_MAX: usize = 128;

/// The name of an address: `1.150.168.192.in-addr.arpa.`.
pub(crate) fn name_of(address: IpAddr) -> Option<Name> {
    let bits = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    zone_name(address, bits)
}

/// The zones that have the names of a network's addresses, and as few others as can be: zones are
/// cut between octets for IPv4, between half octets for IPv6. A network of less than that shares
/// its zone with its neighbours.
pub(crate) fn zones_of(network: Network) -> Vec<Name> {
    let first = network.first();
    let (unit, bits) = match first {
        IpAddr::V4(_) => (8, 24),
        IpAddr::V6(_) => (4, 124),
    };
    let cut = network
        .prefix_len()
        .next_multiple_of(unit)
        .clamp(unit, bits);
    let count = 1_usize << u32::from(cut.saturating_sub(network.prefix_len())).min(8);
    let zones = (0..count.min(ZONES_MAX)).filter_map(|number| {
        let address = match first {
            IpAddr::V4(v4) => {
                let number = u32::try_from(number).ok()?;
                let more = number.checked_shl(32 - u32::from(cut))?;
                IpAddr::V4((v4.to_bits() | more).into())
            }
            IpAddr::V6(v6) => {
                let number = u128::try_from(number).ok()?;
                let more = number.checked_shl(128 - u32::from(cut))?;
                IpAddr::V6((v6.to_bits() | more).into())
            }
        };
        zone_name(address, cut)
    });
    zones.collect()
}

/// The zone of the addresses that have so many bits in common with this one.
fn zone_name(address: IpAddr, bits: u8) -> Option<Name> {
    let (mut labels, suffix): (Vec<String>, &str) = match address {
        IpAddr::V4(v4) => {
            let octets = v4.octets().into_iter().take(usize::from(bits / 8));
            (
                octets.map(|octet| octet.to_string()).collect(),
                "in-addr.arpa",
            )
        }
        IpAddr::V6(v6) => {
            let halves = v6
                .octets()
                .into_iter()
                .flat_map(|octet| [octet >> 4, octet & 0xf]);
            let halves = halves.take(usize::from(bits / 4));
            (halves.map(|half| format!("{half:x}")).collect(), "ip6.arpa")
        }
    };
    labels.reverse();
    labels.push(suffix.to_owned());
    labels.join(".").parse().ok()
}

/// Whether addresses like this are nobody's in particular, so that their names are ours to give
/// (RFC 1918, RFC 4193).
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// The network whose zone has the name of a private address: /24 and /64.
pub(crate) fn network_around(address: IpAddr) -> Option<Network> {
    let prefix_len = match address {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 64,
    };
    Network::new(address, prefix_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(network: &str) -> Vec<String> {
        let zones = zones_of(network.parse().expect("a network"));
        zones.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn zones_are_cut_where_names_are() {
        assert_eq!(zones("192.168.150.0/24"), ["150.168.192.in-addr.arpa."]);
        assert_eq!(zones("192.168.0.0/16"), ["168.192.in-addr.arpa."]);
        assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa."]);
        assert_eq!(
            zones("192.168.150.0/23"),
            ["150.168.192.in-addr.arpa.", "151.168.192.in-addr.arpa."]
        );
        assert_eq!(zones("192.168.150.128/25"), ["150.168.192.in-addr.arpa."]);
        assert_eq!(zones("10.128.0.0/9").len(), 128);
        assert_eq!(
            zones("fd00::/64"),
            ["0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa."]
        );
        assert_eq!(zones("fd00::/63").len(), 2);
    }

    #[test]
    fn an_address_has_a_name() {
        let name = |address: &str| {
            let name = name_of(address.parse().expect("an address"));
            name.expect("short enough").to_string()
        };
        assert_eq!(name("192.168.150.1"), "1.150.168.192.in-addr.arpa.");
        assert!(name("fd00::2").starts_with("2.0.0.0."));
        assert!(name("fd00::2").ends_with("0.0.d.f.ip6.arpa."));
    }
}
