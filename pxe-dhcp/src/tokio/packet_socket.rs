//! Sockets for whole Ethernet frames (packet(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, recvfrom, sendto, socket,
};
use pxe_core::IfIndex;
use socket2::{SockFilter, SockRef};

use super::packet_address::packet_address;

/// A packet socket. To open one takes `CAP_NET_RAW`; to use it, and to let it listen elsewhere,
/// takes nothing.
#[derive(Debug)]
pub(super) struct PacketSocket {
    fd: OwnedFd,
}

/// Destined for this host, for all, or for many; not for another host (packet(7)).
const PACKET_MULTICAST: u32 = 2;

impl PacketSocket {
    /// A socket that can send on every interface, and receives nothing.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        Ok(Self { fd })
    }

    /// Receives frames of this EtherType from now on, on this interface or on all; 0: nothing.
    pub(super) fn listen(&self, interface: Option<IfIndex>, ethertype: u16) -> io::Result<()> {
        bind(self.as_raw_fd(), &packet_address(interface, ethertype)?)?;
        Ok(())
    }

    /// Receives only IPv4 frames for this host that carry a UDP datagram to this port: the kernel
    /// throws the others away, or each packet of a download would wake the server.
    pub(super) fn receive_udp_only(&self, port: u16) -> io::Result<()> {
        // Classic BPF (Linux, Documentation/networking/filter.rst). A jump that is taken skips so
        // many instructions.
        const LOAD_WORD: u16 = 0x20;
        const LOAD_HALF: u16 = 0x28;
        const LOAD_BYTE: u16 = 0x30;
        const LOAD_HALF_AT_X: u16 = 0x48;
        const LOAD_IP_HEADER_LEN: u16 = 0xb1;
        const JUMP_EQUAL: u16 = 0x15;
        const JUMP_GREATER: u16 = 0x25;
        const JUMP_ANY_SET: u16 = 0x45;
        const RETURN: u16 = 0x06;
        const PACKET_TYPE: u32 = 0xffff_f000 + 4;
        let op = SockFilter::new;
        SockRef::from(self).attach_filter(&[
            op(LOAD_WORD, 0, 0, PACKET_TYPE),
            op(JUMP_GREATER, 8, 0, PACKET_MULTICAST),
            op(LOAD_BYTE, 0, 0, 23),
            op(JUMP_EQUAL, 0, 6, 17),
            op(LOAD_HALF, 0, 0, 20),
            op(JUMP_ANY_SET, 4, 0, 0x3fff),
            op(LOAD_IP_HEADER_LEN, 0, 0, 14),
            op(LOAD_HALF_AT_X, 0, 0, 16),
            op(JUMP_EQUAL, 0, 1, port.into()),
            op(RETURN, 0, 0, u32::from(u16::MAX)),
            op(RETURN, 0, 0, 0),
        ])
    }

    /// Sends a frame by this interface, without waiting.
    pub(super) fn send(&self, interface: IfIndex, frame: &[u8]) -> io::Result<()> {
        let to = packet_address(Some(interface), 0)?;
        sendto(self.as_raw_fd(), frame, &to, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    /// Receives a frame, without waiting: its length, and the interface it came by.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<IfIndex>)> {
        let (len, from) = recvfrom::<LinkAddr>(self.as_raw_fd(), buffer)?;
        let index = from.and_then(|from| u32::try_from(from.ifindex()).ok());
        Ok((len, index.and_then(IfIndex::new)))
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
