//! Looks for DHCP servers on a link, as a client would.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ::tokio::time::{Instant, sleep_until};
use pxe_core::{IfIndex, MacAddr};

use super::interface::{Interface, Interfaces};
use super::packet_socket::PacketSocket;
use super::ready_socket::ReadySocket;
use crate::frame::{BROADCAST, ETHERTYPE_IPV4, UdpEnds};
use crate::wire::{BROADCAST_FLAG, Header, Message, MessageType, Op, OptionCode, Priority, Reply};

/// How long to wait for offers where nothing else is asked for: dnsmasq pings an address for 3 s
/// before it offers it.
pub(super) const WAIT_DEFAULT: Duration = Duration::from_secs(5);
/// When the DISCOVER is repeated, as one may be lost.
const REPEAT: Duration = Duration::from_secs(1);
/// Servers that are listened to; further ones are passed over.
const SERVERS_MAX: usize = 64;
/// No DHCP message on Ethernet is longer.
const FRAME_LEN_MAX: usize = 2048;

/// A DHCP server that answered a DISCOVER.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundServer {
    /// Its server identifier (option 54), or else the address that it sent from.
    pub address: Ipv4Addr,
    /// The hardware address that its answer came from: its own, or that of a relay.
    pub mac: MacAddr,
    /// The address that it offered; `None` from a proxyDHCP server.
    pub offered: Option<Ipv4Addr>,
    /// The boot server that it names (`siaddr`).
    pub next_server: Option<Ipv4Addr>,
    /// The boot file that it names.
    pub boot_file: Option<Vec<u8>>,
}

/// Finds the DHCP servers that answer on the link of an interface within `wait`, by address.
///
/// It sends a DISCOVER from a hardware address that is made up, and never a REQUEST: no lease is
/// taken, but servers keep the offered address for a minute or so. The servers of this host itself
/// do not hear it.
///
/// It takes `CAP_NET_RAW`, and a tokio runtime with I/O and time enabled.
///
/// # Errors
///
/// If the interface does not exist, is down or no Ethernet, or the privileges are missing.
pub async fn find_dhcp_servers(interface: &str, wait: Duration) -> io::Result<Vec<FoundServer>> {
    let interfaces = Interfaces::list()?;
    let Some(interface) = interfaces.named(interface) else {
        let text = format!("interface {interface} does not exist");
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    };
    search(PacketSocket::open()?, interface, (67, 68), wait).await
}

/// The same with a socket that was opened before, and the ports of servers and clients.
pub(super) async fn search(
    socket: PacketSocket,
    interface: &Interface,
    (server_port, client_port): (u16, u16),
    wait: Duration,
) -> io::Result<Vec<FoundServer>> {
    if interface.mac.is_none() {
        let text = format!("interface {} is no Ethernet", interface.name);
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    socket.receive_udp_only(client_port)?;
    socket.listen(Some(interface.index), ETHERTYPE_IPV4)?;
    let socket = ReadySocket::new(socket)?;
    let asking = Discover::random();
    let frame = asking.frame(server_port, client_port);
    let (mut found, mut buffer) = (BTreeMap::new(), vec![0; FRAME_LEN_MAX]);
    let start = Instant::now();
    let end = start + wait;
    let mut repeat = Some(start + REPEAT);
    send(socket.get_ref(), interface.index, &frame)?;
    loop {
        ::tokio::select! {
            ready = socket.readable() => {
                ready?;
                match socket.try_read(|socket| socket.receive(&mut buffer)) {
                    Ok((len, _)) if found.len() < SERVERS_MAX => {
                        let frame = buffer.get(..len).unwrap_or_default();
                        if let Some(server) = asking.answer(frame) {
                            found.entry(server.address).or_insert(server);
                        }
                    }
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    Ok(_) | Err(_) => {}
                }
            }
            () = sleep_until(repeat.unwrap_or(end)), if repeat.is_some() => {
                repeat = None;
                send(socket.get_ref(), interface.index, &frame)?;
            }
            () = sleep_until(end) => return Ok(found.into_values().collect()),
        }
    }
}

fn send(socket: &PacketSocket, interface: IfIndex, frame: &[u8]) -> io::Result<()> {
    match socket.send(interface, frame) {
        // As if it were lost.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        sent => sent,
    }
}

/// A number that differs from call to call. It need not be secret.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A DISCOVER of a client that does not exist.
#[derive(Debug)]
struct Discover {
    mac: MacAddr,
    xid: u32,
}

impl Discover {
    fn random() -> Self {
        let [_, a, b, c, d, e, _, _] = random().to_ne_bytes();
        Self {
            // Locally administered (IEEE 802, section 8.4): no device has it.
            mac: MacAddr::new([0x02, a, b, c, d, e]),
            xid: random() as u32,
        }
    }

    fn frame(&self, server_port: u16, client_port: u16) -> Vec<u8> {
        let mut header = Header::request();
        header.xid = self.xid;
        header.flags = BROADCAST_FLAG;
        for (to, from) in header.chaddr.iter_mut().zip(self.mac.octets()) {
            *to = from;
        }
        let mut discover = Reply::new(header);
        let kind = [MessageType::DISCOVER.0];
        discover.push(OptionCode::MESSAGE_TYPE, kind, Priority::Required);
        // Subnet mask, router, boot server, boot file.
        let wanted = [1, 3, 66, 67];
        discover.push(
            OptionCode::PARAMETER_REQUEST_LIST,
            wanted,
            Priority::Required,
        );
        let (mut message, mut frame) = (Vec::new(), Vec::new());
        let written = discover.write(548, &mut message);
        debug_assert!(written.is_ok(), "{written:?}");
        let ends = UdpEnds {
            source_mac: self.mac,
            destination_mac: BROADCAST,
            source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, client_port),
            destination: SocketAddrV4::new(Ipv4Addr::BROADCAST, server_port),
        };
        ends.write(&message, &mut frame);
        frame
    }

    /// The server whose OFFER this frame carries.
    fn answer(&self, frame: &[u8]) -> Option<FoundServer> {
        let (ends, payload) = UdpEnds::parse(frame)?;
        let message = Message::parse(payload).ok()?;
        let is_ours = message.op() == Op::Reply
            && message.xid() == self.xid
            && message.mac() == Some(self.mac)
            && message.message_type() == Some(MessageType::OFFER);
        is_ours.then(|| {
            let boot_file = message.option(OptionCode::BOOT_FILE_NAME);
            let boot_file = boot_file.map(std::borrow::Cow::into_owned);
            FoundServer {
                address: message.server_id().unwrap_or(*ends.source.ip()),
                mac: ends.source_mac,
                offered: message.yiaddr(),
                next_server: message.siaddr(),
                boot_file: boot_file.or_else(|| message.file().map(<[u8]>::to_vec)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(asking: &Discover, xid: u32) -> Vec<u8> {
        let discover = asking.frame(67, 68);
        let (ends, payload) = UdpEnds::parse(&discover).expect("a frame of ours");
        let message = Message::parse(payload).expect("a message of ours");
        assert_eq!(ends.destination, "255.255.255.255:67".parse().expect("one"));
        assert_eq!(message.message_type(), Some(MessageType::DISCOVER));
        assert!(message.is_broadcast());
        let mut header = Header::of(&message);
        (header.op, header.xid) = (Op::Reply, xid);
        header.yiaddr = [10, 0, 0, 7].into();
        let mut offer = Reply::new(header);
        let kind = [MessageType::OFFER.0];
        offer.push(OptionCode::MESSAGE_TYPE, kind, Priority::Required);
        offer.push(OptionCode::SERVER_ID, [10, 0, 0, 1], Priority::Required);
        let (mut bytes, mut frame) = (Vec::new(), Vec::new());
        offer.write(548, &mut bytes).expect("it fits");
        let ends = UdpEnds {
            source_mac: MacAddr::new([0x52, 0x54, 0, 0, 0, 1]),
            destination_mac: BROADCAST,
            source: "10.0.0.2:67".parse().expect("an address"),
            destination: "255.255.255.255:68".parse().expect("an address"),
        };
        assert!(ends.write(&bytes, &mut frame));
        frame
    }

    #[test]
    fn only_an_offer_to_us_is_an_answer() {
        let asking = Discover::random();
        let server = asking.answer(&offer(&asking, asking.xid)).expect("found");
        assert_eq!(server.address, Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(server.mac, MacAddr::new([0x52, 0x54, 0, 0, 0, 1]));
        assert_eq!(server.offered, Some(Ipv4Addr::new(10, 0, 0, 7)));
        assert_eq!((server.next_server, server.boot_file), (None, None));
        let other = asking.xid.wrapping_add(1);
        assert_eq!(asking.answer(&offer(&asking, other)), None);
        let other = Discover {
            mac: MacAddr::new([0; 6]),
            ..asking
        };
        assert_eq!(other.answer(&offer(&asking, asking.xid)), None);
        assert_eq!(asking.answer(&asking.frame(67, 68)), None);
    }
}
