//! Where a reply goes: RFC 2131 section 4.1 as one pure function.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use pxe_core::{Destination, IfIndex, MacAddr};

/// What decides where a reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplyRoute {
    /// The relay that the request came through (`giaddr`).
    pub giaddr: Option<Ipv4Addr>,
    /// The address that the client has (`ciaddr`).
    pub ciaddr: Option<Ipv4Addr>,
    /// The address that the reply gives (`yiaddr`).
    pub yiaddr: Option<Ipv4Addr>,
    /// The client's Ethernet address (`chaddr`).
    pub mac: Option<MacAddr>,
    /// Whether the client asked for broadcast (the B bit of `flags`).
    pub is_broadcast: bool,
    /// Whether the reply is a NAK.
    pub is_nak: bool,
    /// Where the request came from, if it asks a boot server: the reply goes back there.
    pub asked_from: Option<SocketAddrV4>,
    /// The link that the request came from.
    pub interface: Option<IfIndex>,
    /// Where clients listen: 68.
    pub client_port: u16,
    /// Where relays listen: 67.
    pub server_port: u16,
}

impl ReplyRoute {
    /// A reply to a client on this link of which nothing else is known.
    pub const fn new(interface: Option<IfIndex>) -> Self {
        Self {
            giaddr: None,
            ciaddr: None,
            yiaddr: None,
            mac: None,
            is_broadcast: false,
            is_nak: false,
            asked_from: None,
            interface,
            client_port: 68,
            server_port: 67,
        }
    }

    /// Where the reply goes; `None` if it would have to be broadcast, or sent by hardware address,
    /// on a link that is not known, or to somebody who did not ask.
    ///
    /// | RFC 2131 section 4.1 | destination |
    /// |---|---|
    /// | `giaddr` is not zero | the relay, at the server's port |
    /// | NAK | broadcast |
    /// | `ciaddr` is not zero | `ciaddr` |
    /// | the broadcast bit is set | broadcast |
    /// | otherwise | `chaddr` and `yiaddr`; broadcast for hardware that is not Ethernet |
    ///
    /// A request to a boot server is answered where it came from, address and port: BIOS ROMs and
    /// iPXE ask from port 68, and EDK2 asks from 4011 and listens only there
    /// (`PxeBcDhcp4Discover`). `ciaddr` or `giaddr` has to be that address too, if they are said:
    /// a request that claims to be another's is a forged one.
    pub fn destination(&self) -> Option<Destination> {
        let unicast = |ip: Ipv4Addr, port| {
            Some(Destination::Unicast(SocketAddr::V4(SocketAddrV4::new(
                ip, port,
            ))))
        };
        if let Some(sender) = self.asked_from {
            let (ip, port) = (*sender.ip(), sender.port());
            let is_host = !ip.is_unspecified() && !ip.is_broadcast() && !ip.is_multicast();
            let is_who_it_says = match (self.ciaddr, self.giaddr) {
                (None, None) => true,
                (ciaddr, giaddr) => ciaddr == Some(ip) || giaddr == Some(ip),
            };
            let is_sound = is_host && port != 0 && is_who_it_says;
            return is_sound.then(|| unicast(ip, port)).flatten();
        }
        if let Some(giaddr) = self.giaddr {
            return unicast(giaddr, self.server_port);
        }
        if let (false, Some(ciaddr)) = (self.is_nak, self.ciaddr) {
            return unicast(ciaddr, self.client_port);
        }
        let (interface, port) = (self.interface?, self.client_port);
        match (self.is_nak || self.is_broadcast, self.mac, self.yiaddr) {
            (false, Some(hwaddr), Some(ip)) => Some(Destination::LinkLayer {
                interface,
                hwaddr,
                ip,
                port,
            }),
            _ => Some(Destination::Broadcast { interface, port }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of RFC 2131 section 4.1, in its order.
    #[test]
    fn table_of_rfc_2131_section_4_1() {
        let relay = Ipv4Addr::new(10, 1, 0, 1);
        let client = Ipv4Addr::new(10, 0, 0, 7);
        let given = Ipv4Addr::new(10, 0, 0, 9);
        let hwaddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
        let interface = IfIndex::new(3).expect("not zero");
        let unicast = |ip, port| Some(Destination::Unicast(SocketAddr::from((ip, port))));
        let broadcast = Some(Destination::Broadcast {
            interface,
            port: 68,
        });
        let link_layer = Some(Destination::LinkLayer {
            interface,
            hwaddr,
            ip: given,
            port: 68,
        });
        // relayed, ciaddr, broadcast bit, NAK, Ethernet
        for bits in 0_u8..32 {
            let bit = |index: u8| bits & 1 << index != 0;
            let (relayed, has_ciaddr, is_broadcast, is_nak, ethernet) =
                (bit(0), bit(1), bit(2), bit(3), bit(4));
            let mut route = ReplyRoute::new(Some(interface));
            route.giaddr = relayed.then_some(relay);
            route.ciaddr = has_ciaddr.then_some(client);
            route.yiaddr = (!is_nak).then_some(given);
            route.mac = ethernet.then_some(hwaddr);
            (route.is_broadcast, route.is_nak) = (is_broadcast, is_nak);
            let expected = match (relayed, is_nak, has_ciaddr, is_broadcast, ethernet) {
                (true, ..) => unicast(relay, 67),
                (_, true, ..) => broadcast,
                (_, _, true, ..) => unicast(client, 68),
                (_, _, _, true, _) => broadcast,
                (_, _, _, _, true) => link_layer,
                (_, _, _, _, false) => broadcast,
            };
            assert_eq!(route.destination(), expected, "{route:?}");
        }
    }

    #[test]
    fn boot_servers_answer_where_they_were_asked_from() {
        let client = Ipv4Addr::new(10, 0, 0, 7);
        let other = Ipv4Addr::new(10, 0, 0, 8);
        for port in [68, 4011] {
            let sender = SocketAddrV4::new(client, port);
            let back = Some(Destination::Unicast(SocketAddr::V4(sender)));
            for (ciaddr, giaddr, expected) in [
                (None, None, back),
                (Some(client), None, back),
                (None, Some(client), back),
                (Some(other), Some(client), back),
                (Some(client), Some(other), back),
                (Some(other), None, None),
                (None, Some(other), None),
                (Some(other), Some(other), None),
            ] {
                for is_broadcast in [false, true] {
                    let mut route = ReplyRoute::new(IfIndex::new(3));
                    (route.ciaddr, route.giaddr) = (ciaddr, giaddr);
                    (route.asked_from, route.is_broadcast) = (Some(sender), is_broadcast);
                    assert_eq!(route.destination(), expected, "{route:?}");
                }
            }
        }
        for sender in [
            SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
            SocketAddrV4::new(Ipv4Addr::BROADCAST, 68),
            SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 1), 68),
            SocketAddrV4::new(client, 0),
        ] {
            let mut route = ReplyRoute::new(IfIndex::new(3));
            route.asked_from = Some(sender);
            assert_eq!(route.destination(), None, "{sender}");
        }
    }

    #[test]
    fn alternate_ports() {
        let mut route = ReplyRoute::new(None);
        (route.server_port, route.client_port) = (1067, 1068);
        route.ciaddr = Some(Ipv4Addr::LOCALHOST);
        let to = |port| {
            Some(Destination::Unicast(SocketAddr::from((
                Ipv4Addr::LOCALHOST,
                port,
            ))))
        };
        assert_eq!(route.destination(), to(1068));
        route.giaddr = Some(Ipv4Addr::LOCALHOST);
        assert_eq!(route.destination(), to(1067));
    }

    #[test]
    fn an_unknown_link_has_no_broadcast() {
        let mut route = ReplyRoute::new(None);
        assert_eq!(route.destination(), None);
        (route.is_nak, route.ciaddr) = (true, Some(Ipv4Addr::LOCALHOST));
        assert_eq!(route.destination(), None);
    }
}
