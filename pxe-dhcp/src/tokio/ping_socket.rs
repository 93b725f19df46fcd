//! A socket for ICMP echo (raw(7)).

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::socket::{MsgFlags, SockaddrIn, recv, sendto};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::frame::Echo;

/// A raw socket that sends echo requests, and hears the replies to its own. To open one takes
/// `CAP_NET_RAW`; to use it takes nothing.
#[derive(Debug)]
pub(super) struct PingSocket {
    socket: Socket,
    identifier: u16,
}

impl PingSocket {
    /// `identifier` is to tell its requests from those of other programs.
    pub(super) fn open(identifier: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
        socket.set_nonblocking(true)?;
        // Classic BPF (Linux, Documentation/networking/filter.rst) from the IP header on: echo
        // replies with this identifier. A raw socket would be woken by all ICMP otherwise.
        const LOAD_IP_HEADER_LEN: u16 = 0xb1;
        const LOAD_BYTE_AT_X: u16 = 0x50;
        const LOAD_HALF_AT_X: u16 = 0x48;
        const JUMP_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        let op = SockFilter::new;
        socket.attach_filter(&[
            op(LOAD_IP_HEADER_LEN, 0, 0, 0),
            op(LOAD_BYTE_AT_X, 0, 0, 0),
            op(JUMP_EQUAL, 0, 3, 0),
            op(LOAD_HALF_AT_X, 0, 0, 4),
            op(JUMP_EQUAL, 0, 1, identifier.into()),
            op(RETURN, 0, 0, u32::from(u16::MAX)),
            op(RETURN, 0, 0, 0),
        ])?;
        Ok(Self { socket, identifier })
    }

    /// Sends a request, without waiting.
    pub(super) fn send(&self, to: Ipv4Addr, sequence: u16) -> io::Result<()> {
        let identifier = self.identifier;
        let request = Echo {
            identifier,
            sequence,
        }
        .request();
        let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
        sendto(self.as_raw_fd(), &request, &to, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    /// Receives a packet, without waiting; who it is from and its number, if it answers us.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(Ipv4Addr, u16)>> {
        let len = recv(self.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?;
        let reply = Echo::parse_reply(buffer.get(..len).unwrap_or_default());
        let reply = reply.filter(|(_, echo)| echo.identifier == self.identifier);
        Ok(reply.map(|(from, echo)| (from, echo.sequence)))
    }
}

impl AsFd for PingSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for PingSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
