//! What a driver and an engine tell each other about datagrams.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::num::{NonZeroU32, NonZeroUsize};

use crate::MacAddr;

/// A driver's number for one of its sockets.
///
/// The driver chooses it (or answers an engine's wish for a new socket with it); an engine only
/// repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a plain number, made by every driver
pub struct SocketId(pub u32);

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The operating system's number of a network interface (`if_nametoindex`), 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfIndex(NonZeroU32);

impl IfIndex {
    /// An interface's index, or `None` for 0, by which systems mean "no interface".
    pub const fn new(index: u32) -> Option<Self> {
        match NonZeroU32::new(index) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }

    /// The index as the operating system takes it.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of a datagram that was received, besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecvMeta {
    /// The socket it came in on.
    pub socket: SocketId,
    /// Who sent it.
    pub remote: SocketAddr,
    /// The address it was sent to (`IP_PKTINFO`); replies leave from it.
    pub local_ip: Option<IpAddr>,
    /// The interface it came in on (`IP_PKTINFO`).
    pub interface: Option<IfIndex>,
}

impl RecvMeta {
    /// A datagram from `remote` on `socket`, with its local address and interface unknown.
    pub const fn new(socket: SocketId, remote: SocketAddr) -> Self {
        Self {
            socket,
            remote,
            local_ip: None,
            interface: None,
        }
    }

    /// The same, received at this local address.
    #[must_use]
    pub const fn with_local_ip(mut self, local_ip: IpAddr) -> Self {
        self.local_ip = Some(local_ip);
        self
    }

    /// The same, received on this interface.
    #[must_use]
    pub const fn with_interface(mut self, interface: IfIndex) -> Self {
        self.interface = Some(interface);
        self
    }
}

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Destination {
    /// To an address that answers ARP or neighbour solicitations.
    Unicast(SocketAddr),
    /// To 255.255.255.255 on one link.
    Broadcast {
        /// The link.
        interface: IfIndex,
        /// The UDP port, in host order.
        port: u16,
    },
    /// To a client that cannot answer ARP yet: its hardware address is given with the packet
    /// (RFC 2131 section 4.1, the `chaddr` and `yiaddr` case).
    LinkLayer {
        /// The link.
        interface: IfIndex,
        /// The client's hardware address.
        hwaddr: MacAddr,
        /// The address that it is about to get.
        ip: Ipv4Addr,
        /// The UDP port, in host order.
        port: u16,
    },
}

/// One or more datagrams that an engine appended to the driver's send buffer.
///
/// The first [`len`](Self::len) bytes that `poll_transmit` appended are cut into segments of
/// [`segment_size`](Self::segment_size) bytes, the last of which may be shorter; each is one
/// datagram. So a window of blocks leaves in one system call where segmentation offload exists,
/// and in a loop elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transmit {
    /// The socket to send on.
    pub socket: SocketId,
    /// Where to.
    pub to: Destination,
    /// The source address to send from; `None` leaves it to the operating system.
    pub source: Option<IpAddr>,
    /// How many bytes were appended in all.
    pub len: usize,
    /// The size of each datagram but the last; `None` means one datagram of `len` bytes.
    pub segment_size: Option<NonZeroUsize>,
}

impl Transmit {
    /// One datagram of `len` bytes.
    pub const fn new(socket: SocketId, to: Destination, len: usize) -> Self {
        Self {
            socket,
            to,
            source: None,
            len,
            segment_size: None,
        }
    }

    /// The same, from this source address.
    #[must_use]
    pub const fn with_source(mut self, source: Option<IpAddr>) -> Self {
        self.source = source;
        self
    }

    /// The same, as datagrams of `segment_size` bytes each.
    #[must_use]
    pub const fn with_segment_size(mut self, segment_size: NonZeroUsize) -> Self {
        self.segment_size = Some(segment_size);
        self
    }

    /// The datagrams of `payload`, which must be what `poll_transmit` appended for this value.
    pub fn segments<'a>(&self, payload: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let size = self.segment_size.map_or(self.len, NonZeroUsize::get).max(1);
        payload.chunks(size)
    }
}

/// How much one `poll_transmit` may append.
///
/// Both bounds matter: 64 segments of 1468 bytes exceed the 65,507 bytes of one UDP send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLimit {
    /// At most this many datagrams.
    pub segments_max: NonZeroUsize,
    /// At most this many bytes in all, if there is more than one datagram.
    pub bytes_max: usize,
}

impl BatchLimit {
    /// One datagram at a time, of any size.
    pub const ONE: Self = Self {
        segments_max: NonZeroUsize::MIN,
        bytes_max: usize::MAX,
    };

    /// At most `segments_max` datagrams and `bytes_max` bytes.
    pub const fn new(segments_max: NonZeroUsize, bytes_max: usize) -> Self {
        Self {
            segments_max,
            bytes_max,
        }
    }

    /// How many datagrams of `segment_size` bytes fit; at least one.
    pub const fn segments_of(&self, segment_size: NonZeroUsize) -> usize {
        let by_bytes = self.bytes_max / segment_size.get();
        let by_count = self.segments_max.get();
        match (by_bytes < by_count, by_bytes) {
            (true, 0) => 1,
            (true, by_bytes) => by_bytes,
            (false, _) => by_count,
        }
    }
}

/// Why a datagram that an engine asked for could not be sent, or was answered by ICMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendFailure {
    /// The peer's port is closed, or its host or network cannot be reached.
    Unreachable,
    /// The datagram is larger than the link or the path takes.
    TooLarge,
    /// The local system forbids it: a filter, or an address that is no longer ours.
    Refused,
    /// Any other reason.
    Other,
}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "peer is unreachable",
            Self::TooLarge => "datagram is too large for the link",
            Self::Refused => "sending was refused by the local system",
            Self::Other => "datagram could not be sent",
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    fn size(size: usize) -> NonZeroUsize {
        NonZeroUsize::new(size).expect("not zero")
    }

    #[test]
    fn interface_zero_is_no_interface() {
        assert_eq!(IfIndex::new(0), None);
        assert_eq!(IfIndex::new(7).map(IfIndex::get), Some(7));
    }

    #[test]
    fn batch_is_bounded_by_bytes_and_by_count() {
        let limit = BatchLimit::new(size(64), 65_507);
        assert_eq!(limit.segments_of(size(1472)), 44);
        assert_eq!(limit.segments_of(size(516)), 64);
        assert_eq!(limit.segments_of(size(65_508)), 1);
        assert_eq!(BatchLimit::ONE.segments_of(size(1)), 1);
    }

    #[test]
    fn segments_are_equal_but_for_the_last() {
        let to = Destination::Unicast(SocketAddr::from(([127, 0, 0, 1], 69)));
        let transmit = Transmit::new(SocketId(1), to, 5).with_segment_size(size(2));
        let parts: Vec<_> = transmit.segments(b"abcde").collect();
        assert_eq!(parts, [&b"ab"[..], b"cd", b"e"]);
        let whole: Vec<_> = Transmit::new(SocketId(1), to, 5)
            .segments(b"abcde")
            .collect();
        assert_eq!(whole, [b"abcde"]);
    }
}
