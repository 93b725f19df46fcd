//! Ethernet frames that carry UDP or ARP, and ICMP echo: what a driver writes and reads itself
//! where the kernel's UDP cannot do it. Pure, like an engine; nothing here trusts a length field.

use core::net::{Ipv4Addr, SocketAddrV4};

use pxe_core::MacAddr;

/// Every station of a link.
pub(crate) const BROADCAST: MacAddr = MacAddr::new([0xff; 6]);
/// The EtherType of IPv4 (RFC 894).
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
/// The EtherType of ARP (RFC 826).
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;

const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const UDP_LEN: usize = 8;
const ARP_LEN: usize = 28;
/// The shortest frame without its checksum (IEEE 802.3 clause 4A.4.2): 64 bytes less 4.
const FRAME_LEN_MIN: usize = 60;
const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_UDP: u8 = 17;
/// RFC 1700: the default of IPv4's time to live.
const TTL: u8 = 64;

/// Both ends of a UDP datagram in an Ethernet frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UdpEnds {
    pub(crate) source_mac: MacAddr,
    pub(crate) destination_mac: MacAddr,
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
}

impl UdpEnds {
    /// Appends the datagram as a frame; whether it fits into one at all.
    ///
    /// DF stays clear, as boot ROMs and tunnels drop what has it and is too long; the
    /// identification may be 0, because no datagram is fragmented here (RFC 6864 section 4.1).
    pub(crate) fn write(&self, payload: &[u8], frame: &mut Vec<u8>) -> bool {
        let (Ok(total), Ok(udp_len)) = (
            u16::try_from(payload.len().saturating_add(IPV4_LEN + UDP_LEN)),
            u16::try_from(payload.len().saturating_add(UDP_LEN)),
        ) else {
            return false;
        };
        let start = frame.len();
        write_ethernet(self.destination_mac, self.source_mac, ETHERTYPE_IPV4, frame);
        let (source, destination) = (self.source.ip().octets(), self.destination.ip().octets());
        // Version 4 and 5 words, no service, length, identification, flags and offset.
        let mut ip = [0_u8; IPV4_LEN];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        (ip[8], ip[9]) = (TTL, PROTOCOL_UDP);
        ip[12..16].copy_from_slice(&source);
        ip[16..20].copy_from_slice(&destination);
        let sum = checksum(&[&ip]);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend_from_slice(&ip);
        let mut udp = [0_u8; UDP_LEN];
        udp[0..2].copy_from_slice(&self.source.port().to_be_bytes());
        udp[2..4].copy_from_slice(&self.destination.port().to_be_bytes());
        udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
        let length = udp_len.to_be_bytes();
        let pseudo = [0, PROTOCOL_UDP, length[0], length[1]];
        let sum = checksum(&[&source, &destination, &pseudo, &udp, payload]);
        // 0 says that there is no checksum; its equal in ones' complement stands for it (RFC 768).
        let sum = if sum == 0 { u16::MAX } else { sum };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        frame.extend_from_slice(&udp);
        frame.extend_from_slice(payload);
        pad(start, frame);
        true
    }

    /// Reads a frame with a whole UDP datagram over IPv4.
    ///
    /// UDP's checksum is not looked at: a packet socket is given datagrams of the same machine
    /// (containers, virtual machines) before their checksum is written.
    pub(crate) fn parse(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (destination_mac, source_mac, packet) = ethernet(frame, ETHERTYPE_IPV4)?;
        let (ends, datagram) = ipv4(packet, PROTOCOL_UDP)?;
        let (header, rest) = datagram.split_first_chunk::<UDP_LEN>()?;
        let word = |index: usize| u16::from_be_bytes([header[index], header[index + 1]]);
        let payload = rest.get(..usize::from(word(4)).checked_sub(UDP_LEN)?)?;
        let ends = Self {
            source_mac,
            destination_mac,
            source: SocketAddrV4::new(ends.0, word(0)),
            destination: SocketAddrV4::new(ends.1, word(2)),
        };
        Some((ends, payload))
    }
}

/// An ARP packet for IPv4 over Ethernet (RFC 826), request or reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arp {
    pub(crate) is_request: bool,
    pub(crate) sender_mac: MacAddr,
    pub(crate) sender_ip: Ipv4Addr,
    pub(crate) target_mac: MacAddr,
    pub(crate) target_ip: Ipv4Addr,
}

impl Arp {
    /// An ARP Probe (RFC 5227 section 2.1.1): the sender's address is 0.0.0.0, so that nobody
    /// learns anything from it.
    pub(crate) const fn probe(sender_mac: MacAddr, address: Ipv4Addr) -> Self {
        Self {
            is_request: true,
            sender_mac,
            sender_ip: Ipv4Addr::UNSPECIFIED,
            target_mac: MacAddr::new([0; 6]),
            target_ip: address,
        }
    }

    /// Appends it as a frame.
    pub(crate) fn write(&self, destination: MacAddr, frame: &mut Vec<u8>) {
        let start = frame.len();
        write_ethernet(destination, self.sender_mac, ETHERTYPE_ARP, frame);
        let operation = if self.is_request { 1 } else { 2 };
        // Ethernet, IPv4, and the lengths of their addresses.
        frame.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, operation]);
        frame.extend_from_slice(&self.sender_mac.octets());
        frame.extend_from_slice(&self.sender_ip.octets());
        frame.extend_from_slice(&self.target_mac.octets());
        frame.extend_from_slice(&self.target_ip.octets());
        pad(start, frame);
    }

    /// Reads a frame with an ARP packet.
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        let (_, _, packet) = ethernet(frame, ETHERTYPE_ARP)?;
        let packet: &[u8; ARP_LEN] = packet.first_chunk()?;
        let (kind, addresses) = packet.split_first_chunk::<8>()?;
        let is_request = match kind {
            [0, 1, 8, 0, 6, 4, 0, 1] => true,
            [0, 1, 8, 0, 6, 4, 0, 2] => false,
            _ => return None,
        };
        let (sender_mac, addresses) = addresses.split_first_chunk::<6>()?;
        let (sender_ip, addresses) = addresses.split_first_chunk::<4>()?;
        let (target_mac, addresses) = addresses.split_first_chunk::<6>()?;
        let target_ip = addresses.first_chunk::<4>()?;
        Some(Self {
            is_request,
            sender_mac: MacAddr::new(*sender_mac),
            sender_ip: Ipv4Addr::from(*sender_ip),
            target_mac: MacAddr::new(*target_mac),
            target_ip: Ipv4Addr::from(*target_ip),
        })
    }

    /// Who uses this address, if this packet shows it (RFC 5227 section 2.1.1): any packet with
    /// the address as its sender's, or another host's probe for it.
    pub(crate) fn user_of(&self, address: Ipv4Addr) -> Option<MacAddr> {
        let is_probe = self.is_request && self.sender_ip.is_unspecified();
        (self.sender_ip == address || (is_probe && self.target_ip == address))
            .then_some(self.sender_mac)
    }
}

/// An ICMP echo message (RFC 792) without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) identifier: u16,
    pub(crate) sequence: u16,
}

impl Echo {
    /// The request, without an IP header: the kernel writes that.
    pub(crate) fn request(self) -> [u8; 8] {
        let [id_high, id_low] = self.identifier.to_be_bytes();
        let [high, low] = self.sequence.to_be_bytes();
        let mut message = [8, 0, 0, 0, id_high, id_low, high, low];
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    }

    /// Reads an IPv4 packet with an echo reply: who answers what.
    pub(crate) fn parse_reply(packet: &[u8]) -> Option<(Ipv4Addr, Self)> {
        let (ends, message) = ipv4(packet, PROTOCOL_ICMP)?;
        let header: &[u8; 8] = message.first_chunk()?;
        if header[..2] != [0, 0] || checksum(&[message]) != 0 {
            return None;
        }
        let echo = Self {
            identifier: u16::from_be_bytes([header[4], header[5]]),
            sequence: u16::from_be_bytes([header[6], header[7]]),
        };
        Some((ends.0, echo))
    }
}

fn write_ethernet(destination: MacAddr, source: MacAddr, kind: u16, frame: &mut Vec<u8>) {
    frame.extend_from_slice(&destination.octets());
    frame.extend_from_slice(&source.octets());
    frame.extend_from_slice(&kind.to_be_bytes());
}

fn pad(start: usize, frame: &mut Vec<u8>) {
    let len = frame.len().max(start + FRAME_LEN_MIN);
    frame.resize(len, 0);
}

/// Destination, source and what is inside, if it is of this kind.
fn ethernet(frame: &[u8], kind: u16) -> Option<(MacAddr, MacAddr, &[u8])> {
    let (header, inside) = frame.split_first_chunk::<ETHERNET_LEN>()?;
    let (destination, rest) = header.split_first_chunk::<6>()?;
    let (source, found) = rest.split_first_chunk::<6>()?;
    (*found == kind.to_be_bytes()).then_some((
        MacAddr::new(*destination),
        MacAddr::new(*source),
        inside,
    ))
}

/// Source and destination, and what an unfragmented IPv4 packet of this protocol carries.
fn ipv4(packet: &[u8], protocol: u8) -> Option<((Ipv4Addr, Ipv4Addr), &[u8])> {
    let fixed: &[u8; IPV4_LEN] = packet.first_chunk()?;
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    // All but the reserved bit and DF: more fragments, or not the first one.
    let is_fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0;
    let (header, _) = packet.split_at_checked(header_len)?;
    let is_good = fixed[0] >> 4 == 4
        && header_len >= IPV4_LEN
        && fixed[9] == protocol
        && !is_fragment
        && checksum(&[header]) == 0;
    if !is_good {
        return None;
    }
    let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
    let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
    Some(((source, destination), packet.get(header_len..total)?))
}

/// The Internet checksum (RFC 1071) of parts one after another; each but the last is of even
/// length. 0 if it comes over data with a right checksum in it.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        let (words, odd) = part.as_chunks::<2>();
        let words = words
            .iter()
            .map(|word| u64::from(u16::from_be_bytes(*word)));
        sum += words.sum::<u64>();
        sum += odd.first().map_or(0, |byte| u64::from(*byte) << 8);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: MacAddr = MacAddr::new([0x52, 0x54, 0, 0, 0, 1]);
    const CLIENT: MacAddr = MacAddr::new([0x52, 0x54, 0, 0, 0, 2]);

    fn ends() -> UdpEnds {
        UdpEnds {
            source_mac: SERVER,
            destination_mac: CLIENT,
            source: "10.0.0.1:67".parse().expect("an address"),
            destination: "10.0.0.7:68".parse().expect("an address"),
        }
    }

    fn udp(payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        assert!(ends().write(payload, &mut frame));
        frame
    }

    /// The bytes were written down from the formats of RFC 894, 791 and 768, and their checksums
    /// calculated by hand.
    #[test]
    fn a_datagram_as_a_frame() {
        let frame = udp(b"hello");
        assert_eq!(frame.len(), FRAME_LEN_MIN);
        assert_eq!(frame[..6], CLIENT.octets());
        assert_eq!(frame[6..12], SERVER.octets());
        assert_eq!(frame[12..14], [8, 0]);
        let ip = [
            0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0x66, 0xc5, 10, 0, 0, 1, 10, 0, 0, 7,
        ];
        assert_eq!(frame[14..34], ip);
        assert_eq!(frame[34..42], [0, 67, 0, 68, 0, 13, 0xa7, 0x73]);
        assert_eq!(&frame[42..47], b"hello");
        assert!(frame[47..].iter().all(|byte| *byte == 0));
        assert_eq!(UdpEnds::parse(&frame), Some((ends(), &b"hello"[..])));
    }

    #[test]
    fn datagrams_of_every_length_come_back() {
        for len in [0, 1, 17, 18, 19, 300, 548, 1472, 65_507] {
            let payload: Vec<u8> = (0..len).map(|index| index as u8).collect();
            let frame = udp(&payload);
            assert_eq!(frame.len(), (len + 42).max(60));
            assert_eq!(UdpEnds::parse(&frame), Some((ends(), &payload[..])));
        }
        assert!(!ends().write(&vec![0; 65_508], &mut Vec::new()));
    }

    #[test]
    fn frames_are_appended_and_padded_alone() {
        let mut frame = vec![9; 3];
        Arp::probe(SERVER, Ipv4Addr::new(10, 0, 0, 7)).write(BROADCAST, &mut frame);
        assert_eq!(frame.len(), 3 + FRAME_LEN_MIN);
    }

    #[test]
    fn what_is_not_a_whole_datagram_is_passed_over() {
        let good = udp(&[7; 40]);
        for len in 0..good.len() {
            assert_eq!(UdpEnds::parse(&good[..len]), None, "{len} bytes");
        }
        // EtherType, version, header length, total length, fragments, protocol, header checksum,
        // UDP length.
        let bad = [
            (12, 0x86),
            (14, 0x65),
            (14, 0x44),
            (17, 19),
            (20, 0x20),
            (21, 1),
            (23, 6),
            (24, 0),
            (38, 0xff),
        ];
        for (index, value) in bad {
            let mut frame = good.clone();
            frame[index] = value;
            if (14..34).contains(&index) && index != 24 {
                frame[24..26].fill(0);
                let sum = checksum(&[&frame[14..34]]);
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            assert_eq!(UdpEnds::parse(&frame), None, "byte {index}");
        }
    }

    #[test]
    fn options_of_ip_are_skipped() {
        let mut frame = udp(b"hello");
        frame.truncate(14 + 20 + 8 + 5);
        frame[14] = 0x46;
        frame[17] += 4;
        frame.splice(34..34, [1, 1, 1, 1]);
        frame[24..26].fill(0);
        let sum = checksum(&[&frame[14..38]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(UdpEnds::parse(&frame), Some((ends(), &b"hello"[..])));
    }

    #[test]
    fn an_arp_probe_is_as_in_rfc_5227() {
        let address = Ipv4Addr::new(10, 0, 0, 7);
        let probe = Arp::probe(SERVER, address);
        let mut frame = Vec::new();
        probe.write(BROADCAST, &mut frame);
        assert_eq!(frame.len(), FRAME_LEN_MIN);
        assert_eq!(frame[..6], [0xff; 6]);
        assert_eq!(frame[12..22], [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(frame[28..32], [0; 4], "the sender has no address");
        assert_eq!(frame[38..42], address.octets());
        assert_eq!(Arp::parse(&frame), Some(probe));
        for len in 0..42 {
            assert_eq!(Arp::parse(&frame[..len]), None);
        }
        frame[21] = 3;
        assert_eq!(Arp::parse(&frame), None, "RARP");
    }

    #[test]
    fn an_address_is_used_by_who_sends_from_it_or_probes_for_it() {
        let (address, other) = (Ipv4Addr::new(10, 0, 0, 7), Ipv4Addr::new(10, 0, 0, 8));
        let reply = Arp {
            is_request: false,
            sender_mac: CLIENT,
            sender_ip: address,
            target_mac: SERVER,
            target_ip: Ipv4Addr::UNSPECIFIED,
        };
        assert_eq!(reply.user_of(address), Some(CLIENT));
        assert_eq!(reply.user_of(other), None);
        assert_eq!(Arp::probe(CLIENT, address).user_of(address), Some(CLIENT));
        let question = Arp {
            is_request: true,
            sender_ip: other,
            target_ip: address,
            ..reply
        };
        assert_eq!(question.user_of(address), None, "it only asks who has it");
    }

    #[test]
    fn an_echo_reply_tells_who_answers_what() {
        let echo = Echo {
            identifier: 0x1234,
            sequence: 7,
        };
        let request = echo.request();
        assert_eq!(checksum(&[&request]), 0);
        let mut reply = request;
        reply[0] = 0;
        reply[2..4].fill(0);
        let sum = checksum(&[&reply]);
        reply[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut packet = vec![
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 7, 10, 0, 0, 1,
        ];
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend_from_slice(&reply);
        let from = Ipv4Addr::new(10, 0, 0, 7);
        assert_eq!(Echo::parse_reply(&packet), Some((from, echo)));
        for len in 0..packet.len() {
            assert_eq!(Echo::parse_reply(&packet[..len]), None);
        }
        let mut asked = packet.clone();
        asked[20..].copy_from_slice(&request);
        assert_eq!(Echo::parse_reply(&asked), None, "a request is no reply");
        let mut bad = packet;
        bad[27] ^= 1;
        assert_eq!(Echo::parse_reply(&bad), None, "checksum");
    }
}
