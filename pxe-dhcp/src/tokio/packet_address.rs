//! The address of a packet socket, which no safe crate makes.
#![allow(unsafe_code)]

use std::io;

use nix::libc;
use nix::sys::socket::{LinkAddr, SockaddrLike};
use pxe_core::IfIndex;

/// Frames of this EtherType on this interface, or on all of them (packet(7), "Address types").
/// EtherType 0: nothing is received.
pub(super) fn packet_address(interface: Option<IfIndex>, ethertype: u16) -> io::Result<LinkAddr> {
    const LEN: usize = size_of::<libc::sockaddr_ll>();
    let index = interface.map_or(0, IfIndex::get).cast_signed();
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        // For sending: what the device needs, though a raw frame has its own.
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer is to a whole, initialised `sockaddr_ll` that outlives the call, whose
    // family is AF_PACKET and whose length is the one given; `from_raw` copies it.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(LEN as u32)) };
    address.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
