//! A socket of one interface or address, with the interface and local address of each datagram.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use pxe_core::{Destination, IfIndex, RecvMeta, SendFailure, SocketId, Transmit};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::{Domain, Protocol, Socket, Type};

use super::{BindError, BindSpec};

/// A UDP socket that is bound, outside of a runtime.
#[derive(Debug)]
pub(super) struct LinkSocket {
    socket: UdpSocket,
}

impl LinkSocket {
    pub(super) fn bind(spec: BindSpec, port: u16) -> Result<Self, BindError> {
        if let BindSpec::Interface(name) = &spec
            && nix::net::if_::if_nametoindex(name.as_str()).is_err()
        {
            return Err(BindError::NoInterface { name: name.clone() });
        }
        match open(&spec, port) {
            Ok(socket) => Ok(Self { socket }),
            Err(source) => Err(BindError::Socket { spec, port, source }),
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The same in a tokio runtime.
    pub(super) fn start(self) -> io::Result<RunningSocket> {
        let socket = ::tokio::net::UdpSocket::from_std(self.socket)?;
        Ok(RunningSocket {
            socket: Arc::new(socket),
            control: nix::cmsg_space!(in_pktinfo),
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
    socket: Arc<::tokio::net::UdpSocket>,
    control: Vec<u8>,
}

impl RunningSocket {
    pub(super) fn socket(&self) -> &::tokio::net::UdpSocket {
        &self.socket
    }

    /// Receives one datagram, without waiting.
    pub(super) fn try_receive(
        &mut self,
        id: SocketId,
        buffer: &mut [u8],
    ) -> io::Result<(usize, RecvMeta)> {
        let (socket, control) = (&self.socket, &mut self.control);
        socket.try_io(::tokio::io::Interest::READABLE, || {
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

    /// Sends one datagram; waits while the socket's buffer is full.
    pub(super) async fn send(
        &self,
        transmit: &Transmit,
        payload: &[u8],
    ) -> Result<(), SendFailure> {
        let (to, interface) = match transmit.to {
            Destination::Unicast(SocketAddr::V4(to)) => (to, None),
            // By hardware address is not in this driver's power: the whole link hears it.
            Destination::Broadcast { interface, port }
            | Destination::LinkLayer {
                interface, port, ..
            } => (
                SocketAddrV4::new(Ipv4Addr::BROADCAST, port),
                Some(interface),
            ),
            _ => return Err(SendFailure::Other),
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
        let sent = self.socket.async_io(::tokio::io::Interest::WRITABLE, || {
            let sent = sendmsg(
                self.socket.as_raw_fd(),
                &[IoSlice::new(payload)],
                &[ControlMessage::Ipv4PacketInfo(&info)],
                MsgFlags::MSG_DONTWAIT,
                Some(&SockaddrIn::from(to)),
            )?;
            Ok(sent)
        });
        match sent.await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }
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

/// Every IPv4 address of this host.
pub(super) fn own_addresses() -> io::Result<Vec<Ipv4Addr>> {
    let addresses = nix::ifaddrs::getifaddrs()?;
    let addresses = addresses.filter_map(|interface| interface.address);
    Ok(addresses
        .filter_map(|address| Some(address.as_sockaddr_in()?.ip()))
        .collect())
}
