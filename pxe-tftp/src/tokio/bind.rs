//! Binding of sockets: for requests, and for single transfers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::thread::available_parallelism;

use nix::sys::socket::{setsockopt, sockopt};
use pxe_core::IfIndex;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Threads at most, each with a socket of its own at each address.
const THREADS_MAX: usize = 16;
/// What the kernel may queue of requests, in bytes: a class of machines that is switched on at
/// once. The system's bound (`net.core.rmem_max`) holds all the same.
const LISTENER_RECV_BUFFER_BYTES: usize = 1 << 20;

/// Binds listening sockets: one for each processor that this program may use.
pub(super) fn bind_listeners(addr: SocketAddr) -> io::Result<Vec<UdpSocket>> {
    let first = listener(addr)?;
    first.bind(&addr.into())?;
    let local = first.local_addr()?.as_socket();
    let local = local.ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut sockets = vec![first];
    share(&mut sockets, local)?;
    Ok(sockets.into_iter().map(UdpSocket::from).collect())
}

/// Binds more sockets to the address of the first. That one was bound without `SO_REUSEPORT`, so
/// that it is an error if another program, or another server of this one, has the port.
///
/// The system gives all packets of one client's port to the same socket of such a group, unless a
/// [program](super::processors::Steering) chooses.
fn share(sockets: &mut Vec<Socket>, local: SocketAddr) -> io::Result<()> {
    let count = available_parallelism().map_or(1, NonZeroUsize::get);
    while sockets.len() < count.min(THREADS_MAX) {
        for socket in &*sockets {
            socket.set_reuse_port(true)?;
        }
        let joined = listener(local)?;
        joined.set_reuse_port(true)?;
        joined.bind(&local.into())?;
        sockets.push(joined);
    }
    Ok(())
}

/// `[::]` takes IPv4 as well, whatever the system's default.
fn listener(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // From the first request on, it is told which of our addresses was asked.
    if addr.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    enlarge(&socket);
    Ok(socket)
}

/// Has the kernel queue more requests, if it will.
pub(super) fn enlarge(socket: &impl AsFd) {
    let socket = SockRef::from(socket);
    if socket
        .recv_buffer_size()
        .is_ok_and(|size| size < LISTENER_RECV_BUFFER_BYTES)
    {
        let _ = socket.set_recv_buffer_size(LISTENER_RECV_BUFFER_BYTES);
    }
}

/// The ports that transfers may have, and where the search for a free one goes on.
#[derive(Debug, Default)]
pub(super) struct Ports {
    pub(super) range: Option<RangeInclusive<u16>>,
    pub(super) tried: u16,
}

/// Binds a socket for one transfer.
pub(super) fn bind_transfer(
    local_ip: Option<IpAddr>,
    remote: SocketAddr,
    interface: Option<IfIndex>,
    ports: &mut Ports,
) -> io::Result<UdpSocket> {
    let unspecified: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let local_ip = local_ip.filter(|ip| ip.is_ipv4() == remote.is_ipv4());
    match bind_ip(local_ip.unwrap_or(unspecified), interface, ports) {
        // The address has gone meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && local_ip.is_some() => {
            bind_ip(unspecified, interface, ports)
        }
        result => result,
    }
}

fn bind_ip(ip: IpAddr, interface: Option<IfIndex>, ports: &mut Ports) -> io::Result<UdpSocket> {
    let Some(range) = &ports.range else {
        return bind_port(ip, interface, 0);
    };
    let (start, end) = (u32::from(*range.start()), u32::from(*range.end()));
    let count = end.saturating_sub(start) + 1;
    for _ in 0..count {
        let offset = u32::from(ports.tried) % count;
        ports.tried = ports.tried.wrapping_add(1);
        let port = u16::try_from(start + offset).unwrap_or(*range.end());
        match bind_port(ip, interface, port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    let text = format!("all ports from {start} to {end} are in use");
    Err(io::Error::new(io::ErrorKind::AddrInUse, text))
}

fn bind_port(ip: IpAddr, interface: Option<IfIndex>, port: u16) -> io::Result<UdpSocket> {
    let mut addr = SocketAddr::new(ip, port);
    if let (SocketAddr::V6(v6), Some(interface)) = (&mut addr, interface)
        && v6.ip().is_unicast_link_local()
    {
        v6.set_scope_id(interface.get());
    }
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}
