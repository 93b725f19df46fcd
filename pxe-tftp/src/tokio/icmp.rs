//! What ICMP said of packets that were sent.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

/// To whom the packet was that ICMP answered, and how.
pub(super) fn take_icmp_error(socket: &UdpSocket) -> Option<(SocketAddr, io::Error)> {
    let mut packet = [0; 4];
    let mut packet = [IoSliceMut::new(&mut packet)];
    // Each of the two messages has an error (16 bytes) and an address (16 or 28) in it.
    let mut control = nix::cmsg_space!([u8; 64], [u8; 64]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let fd = socket.as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut packet, Some(&mut control), flags).ok()?;
    let errno = message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, _) => Some(error.ee_errno),
        ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error.ee_errno),
        _ => None,
    })?;
    let peer = message.address?;
    let peer = match (peer.as_sockaddr_in(), peer.as_sockaddr_in6()) {
        (Some(v4), _) => SocketAddr::new(v4.ip().into(), v4.port()),
        (None, Some(v6)) => SocketAddrV6::new(v6.ip(), v6.port(), 0, v6.scope_id()).into(),
        (None, None) => return None,
    };
    Some((
        peer,
        io::Error::from_raw_os_error(i32::try_from(errno).ok()?),
    ))
}
