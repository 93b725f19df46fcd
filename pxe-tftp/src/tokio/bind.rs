//! Binding of sockets: for requests, and for single transfers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use pxe_core::IfIndex;
use socket2::{Domain, Protocol, Socket, Type};

/// What the kernel may queue of requests, in bytes: a class of machines that is switched on at
/// once. The system's bound (`net.core.rmem_max`) holds all the same.
const LISTENER_RECV_BUFFER_BYTES: usize = 1 << 20;

/// Binds a listening socket. `[::]` takes IPv4 as well, whatever the system's default.
pub(super) fn bind_listener(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // Less is good too.
    let _ = socket.set_recv_buffer_size(LISTENER_RECV_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Binds a socket for one transfer.
pub(super) fn bind_transfer(
    local_ip: Option<IpAddr>,
    remote: SocketAddr,
    interface: Option<IfIndex>,
    ports: Option<&RangeInclusive<u16>>,
    ports_tried: &mut u16,
) -> io::Result<(UdpSocket, bool)> {
    let unspecified: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let local_ip = local_ip.filter(|ip| ip.is_ipv4() == remote.is_ipv4());
    match bind_ip(
        local_ip.unwrap_or(unspecified),
        interface,
        ports,
        ports_tried,
    ) {
        // The address has gone meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && local_ip.is_some() => {
            let socket = bind_ip(unspecified, interface, ports, ports_tried)?;
            Ok((socket, true))
        }
        result => Ok((result?, local_ip.is_none())),
    }
}

fn bind_ip(
    ip: IpAddr,
    interface: Option<IfIndex>,
    ports: Option<&RangeInclusive<u16>>,
    ports_tried: &mut u16,
) -> io::Result<UdpSocket> {
    let Some(ports) = ports else {
        return bind_port(ip, interface, 0);
    };
    let count = u32::from(*ports.end()).saturating_sub(u32::from(*ports.start())) + 1;
    for _ in 0..count {
        let offset = u32::from(*ports_tried) % count;
        *ports_tried = ports_tried.wrapping_add(1);
        let port = u16::try_from(u32::from(*ports.start()) + offset).unwrap_or(*ports.end());
        match bind_port(ip, interface, port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn bind_port(ip: IpAddr, interface: Option<IfIndex>, port: u16) -> io::Result<UdpSocket> {
    let mut addr = SocketAddr::new(ip, port);
    if let (SocketAddr::V6(v6), Some(interface)) = (&mut addr, interface)
        && v6.ip().is_unicast_link_local()
    {
        v6.set_scope_id(interface.get());
    }
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}
