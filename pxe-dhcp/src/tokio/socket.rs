//! A socket of one interface or address, with the interface and local address of each datagram.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use ::tokio::io::Interest;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use pxe_core::{Destination, IfIndex, MacAddr, RecvMeta, SendFailure, SocketId, Transmit};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::{Domain, Protocol, Socket, Type};

use super::interface::Interfaces;
use super::packet_socket::PacketSocket;
use super::ready_socket::ReadySocket;
use super::{BindError, BindSpec};
use crate::frame::{BROADCAST, ETHERTYPE_IPV4, UdpEnds};

/// Peers whose hardware addresses are kept while a packet socket stands in; a peer beyond it takes
/// the place of another, and asks again.
const NEIGHBOURS_MAX: usize = 1024;

/// Frames that are passed over before others have a turn: the kernel's filter does not look at
/// checksums and lengths.
const BAD_FRAMES_MAX: usize = 64;

/// The longest frame that a packet socket takes in, in bytes: what jumbo frames carry.
const FRAME_LEN_MAX: usize = 9216;

/// A UDP socket that is bound, outside of a runtime.
#[derive(Debug)]
pub(super) struct LinkSocket {
    spec: BindSpec,
    port: u16,
    socket: UdpSocket,
    /// Stands in when the interface comes back under another index: see [`RunningSocket::follow`].
    spare: Option<PacketSocket>,
    index: Option<IfIndex>,
}

impl LinkSocket {
    pub(super) fn bind(spec: BindSpec, port: u16) -> Result<Self, BindError> {
        let index = match &spec {
            BindSpec::Interface(name) => match nix::net::if_::if_nametoindex(name.as_str()) {
                Ok(index) => IfIndex::new(index),
                Err(_) => return Err(BindError::NoInterface { name: name.clone() }),
            },
            BindSpec::Address(_) => None,
        };
        match open(&spec, port) {
            Ok(socket) => Ok(Self {
                // Only an interface can come back as another one.
                spare: index.and_then(|_| PacketSocket::open().ok()),
                spec,
                port,
                socket,
                index,
            }),
            Err(source) => Err(BindError::Socket { spec, port, source }),
        }
    }

    pub(super) fn spec(&self) -> &BindSpec {
        &self.spec
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The same in a tokio runtime.
    pub(super) fn start(self) -> io::Result<RunningSocket> {
        let socket = ::tokio::net::UdpSocket::from_std(self.socket)?;
        Ok(RunningSocket {
            spec: self.spec,
            port: self.port,
            hearing: Hearing::Udp(socket),
            spare: self.spare.map(ReadySocket::new).transpose()?,
            bound: self.index,
            is_there: true,
            unserved: None,
            control: nix::cmsg_space!(in_pktinfo),
            frame: Vec::new(),
        })
    }
}

fn open(spec: &BindSpec, port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    let address = match spec {
        BindSpec::Interface(name) => {
            // Sockets of other interfaces, such as libvirt's dnsmasq has, share the port with this
            // one by themselves. SO_REUSEADDR would also let in a second server of this interface.
            socket.bind_device(Some(name.as_bytes()))?;
            Ipv4Addr::UNSPECIFIED
        }
        BindSpec::Address(address) => *address,
    };
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    // Boot ROMs and tunnels drop what has DF set and is too long.
    set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
    socket.bind(&SocketAddrV4::new(address, port).into())?;
    Ok(socket.into())
}

/// A socket in a tokio runtime.
#[derive(Debug)]
pub(super) struct RunningSocket {
    spec: BindSpec,
    port: u16,
    hearing: Hearing,
    /// It has all that it takes from the start on: there may be no file descriptor left later.
    spare: Option<ReadySocket<PacketSocket>>,
    /// The interface that is listened to.
    bound: Option<IfIndex>,
    is_there: bool,
    /// Why its interface cannot be listened to, while that is there.
    unserved: Option<String>,
    control: Vec<u8>,
    frame: Vec<u8>,
}

#[derive(Debug)]
enum Hearing {
    Udp(::tokio::net::UdpSocket),
    Frames(Frames),
}

/// UDP by a packet socket: the kernel's part is done here.
#[derive(Debug)]
struct Frames {
    socket: ReadySocket<PacketSocket>,
    frame: Vec<u8>,
    /// By whom the datagrams of these addresses came: answers go back that way.
    neighbours: BTreeMap<Ipv4Addr, MacAddr>,
}

/// What became of a socket's interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Lost,
    Served,
    Unserved(String),
}

impl RunningSocket {
    /// The name of the interface that it is for.
    pub(super) fn interface(&self) -> Option<&str> {
        match &self.spec {
            BindSpec::Interface(name) => Some(name),
            BindSpec::Address(_) => None,
        }
    }

    /// Ready when there may be something to receive.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.hearing {
            Hearing::Udp(socket) => socket.poll_recv_ready(context),
            Hearing::Frames(frames) => frames.socket.poll_readable(context),
        }
    }

    /// Listens to its interface again if that was made anew: the new one has another index, and a
    /// socket stays bound to the old one (socket(7), `SO_BINDTODEVICE`).
    ///
    /// Another UDP socket takes the privileges of the start. Without them a packet socket takes
    /// its place that was opened at the start: where it listens can be changed by anybody.
    pub(super) fn follow(&mut self, interfaces: &Interfaces) -> Option<Change> {
        let now = interfaces.named(self.interface()?).map(|one| one.index);
        let Some(now) = now else {
            self.unserved = None;
            return std::mem::replace(&mut self.is_there, false).then_some(Change::Lost);
        };
        let was_there = std::mem::replace(&mut self.is_there, true);
        if self.bound == Some(now) {
            self.unserved = None;
            return (!was_there).then_some(Change::Served);
        }
        match self.move_to(now) {
            Ok(()) => {
                self.bound = Some(now);
                self.unserved = None;
                Some(Change::Served)
            }
            Err(error) => {
                let reason = error.to_string();
                let told = self.unserved.replace(reason.clone());
                (told.as_ref() != Some(&reason)).then_some(Change::Unserved(reason))
            }
        }
    }

    /// Whether its interface is there and cannot be listened to: it is worth another try, as file
    /// descriptors may be short, or another program may have the port for now.
    pub(super) const fn is_unserved(&self) -> bool {
        self.unserved.is_some()
    }

    fn move_to(&mut self, index: IfIndex) -> io::Result<()> {
        let refused = match open(&self.spec, self.port) {
            Ok(socket) => {
                let socket = ::tokio::net::UdpSocket::from_std(socket)?;
                self.hearing = Hearing::Udp(socket);
                return Ok(());
            }
            Err(refused) => refused,
        };
        if let Hearing::Frames(frames) = &mut self.hearing {
            frames.neighbours.clear();
            return frames.socket.get_ref().listen(Some(index), ETHERTYPE_IPV4);
        }
        let Some(spare) = &self.spare else {
            return Err(refused);
        };
        spare.get_ref().receive_udp_only(self.port)?;
        spare.get_ref().listen(Some(index), ETHERTYPE_IPV4)?;
        if let Some(socket) = self.spare.take() {
            self.hearing = Hearing::Frames(Frames {
                socket,
                frame: vec![0; FRAME_LEN_MAX],
                neighbours: BTreeMap::new(),
            });
        }
        Ok(())
    }

    /// Receives one datagram, without waiting; its payload is then at the start of the buffer.
    pub(super) fn try_receive(
        &mut self,
        id: SocketId,
        interfaces: &Interfaces,
        buffer: &mut [u8],
    ) -> io::Result<(usize, RecvMeta)> {
        match &mut self.hearing {
            Hearing::Udp(socket) => receive_udp(socket, &mut self.control, id, buffer),
            Hearing::Frames(frames) => frames.receive(id, interfaces, buffer),
        }
    }

    /// Sends one datagram, without waiting. `sender` is for clients that have no address yet:
    /// without it, the whole link hears their answers.
    ///
    /// While the socket's buffer is full, a datagram is lost: datagrams for a neighbour that does
    /// not answer ARP stay in there for seconds (arp(7)), and anybody can ask for some. Those for
    /// all leave as frames then.
    pub(super) fn send(
        &mut self,
        transmit: &Transmit,
        payload: &[u8],
        sender: Option<&PacketSocket>,
        interfaces: &Interfaces,
    ) -> Result<(), SendFailure> {
        match &self.hearing {
            Hearing::Udp(socket) => {
                if let (Some(sender), Destination::LinkLayer { .. }) = (sender, transmit.to)
                    && let Some((interface, ends)) = self.ends(transmit, interfaces)
                    && write_and_send(&mut self.frame, sender, interface, &ends, payload).is_ok()
                {
                    return Ok(());
                }
                let error = match send_udp(socket, transmit, payload) {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                };
                if let (Some(sender), Destination::Broadcast { .. }) = (sender, transmit.to)
                    && error.kind() == io::ErrorKind::WouldBlock
                    && let Some((interface, ends)) = self.ends(transmit, interfaces)
                    && write_and_send(&mut self.frame, sender, interface, &ends, payload).is_ok()
                {
                    return Ok(());
                }
                Err(failure(&error))
            }
            Hearing::Frames(frames) => {
                let (interface, ends) = self
                    .ends(transmit, interfaces)
                    .ok_or(SendFailure::Unreachable)?;
                let sender = frames.socket.get_ref();
                write_and_send(&mut self.frame, sender, interface, &ends, payload)
                    .map_err(|error| failure(&error))
            }
        }
    }

    /// Both ends of a datagram that leaves as a frame; `None` if it cannot.
    fn ends(&self, transmit: &Transmit, interfaces: &Interfaces) -> Option<(IfIndex, UdpEnds)> {
        let (interface, destination_mac, to) = match transmit.to {
            Destination::LinkLayer {
                interface,
                hwaddr,
                ip,
                port,
            } => (interface, hwaddr, SocketAddrV4::new(ip, port)),
            Destination::Broadcast { interface, port } => {
                let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, port);
                (interface, BROADCAST, to)
            }
            Destination::Unicast(SocketAddr::V4(to)) => {
                let Hearing::Frames(frames) = &self.hearing else {
                    return None;
                };
                (self.bound?, *frames.neighbours.get(to.ip())?, to)
            }
            _ => return None,
        };
        let link = interfaces.get(interface)?;
        let source = match transmit.source {
            Some(IpAddr::V4(source)) => source,
            _ => *link.addresses.first()?,
        };
        let ends = UdpEnds {
            source_mac: link.mac?,
            destination_mac,
            source: SocketAddrV4::new(source, self.port),
            destination: to,
        };
        Some((interface, ends))
    }
}

/// Sends a datagram as a frame. It is not cut into fragments: what exceeds the link is an error.
fn write_and_send(
    frame: &mut Vec<u8>,
    sender: &PacketSocket,
    interface: IfIndex,
    ends: &UdpEnds,
    payload: &[u8],
) -> io::Result<()> {
    frame.clear();
    if !ends.write(payload, frame) {
        return Err(io::Error::from_raw_os_error(nix::libc::EMSGSIZE));
    }
    sender.send(interface, frame)
}

impl Frames {
    fn receive(
        &mut self,
        id: SocketId,
        interfaces: &Interfaces,
        buffer: &mut [u8],
    ) -> io::Result<(usize, RecvMeta)> {
        for _ in 0..BAD_FRAMES_MAX {
            let frame = &mut self.frame;
            let received = self.socket.try_read(|socket| socket.receive(frame));
            let (len, interface) = received?;
            let frame = self.frame.get(..len).unwrap_or_default();
            let Some((ends, payload)) = UdpEnds::parse(frame) else {
                continue;
            };
            let Some(link) = interface.and_then(|index| interfaces.get(index)) else {
                continue;
            };
            let to = *ends.destination.ip();
            let local = if ends.destination_mac == BROADCAST {
                link.addresses.first().copied()
            } else {
                // Routers may reach an address of another interface by this link.
                interfaces.addresses().contains(&to).then_some(to)
            };
            let Some(local) = local else { continue };
            let from = *ends.source.ip();
            if self.neighbours.len() >= NEIGHBOURS_MAX && !self.neighbours.contains_key(&from) {
                self.neighbours.pop_first();
            }
            self.neighbours.insert(from, ends.source_mac);
            let meta = RecvMeta::new(id, SocketAddr::V4(ends.source))
                .with_local_ip(IpAddr::V4(local))
                .with_interface(link.index);
            // A buffer that is full tells the engine that there was more, as with UDP.
            let len = payload.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(payload) {
                *to = *from;
            }
            return Ok((len, meta));
        }
        Err(io::ErrorKind::Interrupted.into())
    }
}

fn receive_udp(
    socket: &::tokio::net::UdpSocket,
    control: &mut [u8],
    id: SocketId,
    buffer: &mut [u8],
) -> io::Result<(usize, RecvMeta)> {
    socket.try_io(Interest::READABLE, || {
        let mut parts = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrIn>(
            socket.as_raw_fd(),
            &mut parts,
            Some(control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let remote = match message.address {
            Some(remote) => SocketAddr::new(remote.ip().into(), remote.port()),
            None => SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        let mut meta = RecvMeta::new(id, remote);
        for part in message.cmsgs()? {
            if let ControlMessageOwned::Ipv4PacketInfo(info) = part {
                // Of a broadcast, this is the interface's own address (ip(7)).
                let local = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                meta = meta.with_local_ip(IpAddr::V4(local));
                let index = u32::try_from(info.ipi_ifindex).ok().and_then(IfIndex::new);
                if let Some(index) = index {
                    meta = meta.with_interface(index);
                }
            }
        }
        Ok((message.bytes, meta))
    })
}

fn send_udp(
    socket: &::tokio::net::UdpSocket,
    transmit: &Transmit,
    payload: &[u8],
) -> io::Result<()> {
    let (to, interface) = match transmit.to {
        Destination::Unicast(SocketAddr::V4(to)) => (to, None),
        Destination::Broadcast { interface, port }
        | Destination::LinkLayer {
            interface, port, ..
        } => (
            SocketAddrV4::new(Ipv4Addr::BROADCAST, port),
            Some(interface),
        ),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let source = match transmit.source {
        Some(IpAddr::V4(source)) => source,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let info = in_pktinfo {
        ipi_ifindex: interface.map_or(0, IfIndex::get).cast_signed(),
        ipi_spec_dst: in_addr {
            s_addr: u32::from_ne_bytes(source.octets()),
        },
        ipi_addr: in_addr { s_addr: 0 },
    };
    // Not asked of tokio, which looks at the socket again only after the runtime had a turn.
    sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(payload)],
        &[ControlMessage::Ipv4PacketInfo(&info)],
        MsgFlags::MSG_DONTWAIT,
        Some(&SockaddrIn::from(to)),
    )?;
    Ok(())
}

fn failure(error: &io::Error) -> SendFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => SendFailure::Unreachable,
        io::ErrorKind::PermissionDenied | io::ErrorKind::AddrNotAvailable => SendFailure::Refused,
        _ if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => SendFailure::TooLarge,
        _ => SendFailure::Other,
    }
}
