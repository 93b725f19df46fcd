//! A socket that requests come to, for any of the machine's addresses.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmsg, setsockopt, sockopt,
};
use pxe_core::{IfIndex, RecvMeta, SendFailure, SocketId};

use super::backlog::{Backlog, Waiting};
use super::fragments::allow_fragments;
use super::icmp::take_icmp_error;
use super::slices::with_slices;
use super::transfer_socket::{Fault, Sent, failure_of, takes_no_segments};
use crate::send_buffer::SendBuffer;

/// Datagrams that one system call may bring.
const RECV_BATCH: usize = 32;
/// Longer datagrams are cut off; a request is refused long before that, and clients send no data.
const RECV_BYTES: usize = 2048;
/// ICMP errors read at a time.
const ICMP_ERRORS_PER_TURN: usize = 64;
/// Errors in a row after which the socket is taken to be broken.
const ERRORS_MAX: u32 = 1000;

/// Room for what is received: one per thread.
#[derive(Debug)]
pub(super) struct RecvBatch {
    /// For each listening socket: the room for addresses and options in them becomes what was
    /// last needed.
    headers: Vec<MultiHeaders<SockaddrStorage>>,
    bytes: Vec<u8>,
}

impl RecvBatch {
    pub(super) fn new(listeners: usize) -> Self {
        Self {
            headers: (0..listeners).map(|_| headers()).collect(),
            bytes: vec![0; RECV_BATCH * RECV_BYTES],
        }
    }
}

fn headers() -> MultiHeaders<SockaddrStorage> {
    let control = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
    MultiHeaders::preallocate(RECV_BATCH, Some(control))
}

/// Requests come in by it; in single-port mode, everything does.
#[derive(Debug)]
pub(super) struct Listener {
    id: SocketId,
    socket: UdpSocket,
    local: SocketAddr,
    backlog: Backlog,
    errors: u32,
}

impl Listener {
    pub(super) fn new(id: SocketId, socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        socket.set_nonblocking(true)?;
        let is_ipv6 = local.is_ipv6();
        allow_fragments(&socket, is_ipv6, true)?;
        // The address and the interface are told with each datagram, and ICMP's errors in a queue.
        if is_ipv6 {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        Ok(Self {
            id,
            socket,
            local,
            backlog: Backlog::default(),
            errors: 0,
        })
    }

    pub(super) const fn id(&self) -> SocketId {
        self.id
    }

    pub(super) const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Receives once; whether there may be more. An error is one of the socket, and not of a client.
    pub(super) fn recv(
        &mut self,
        batch: &mut RecvBatch,
        mut received: impl FnMut(RecvMeta, &[u8]),
        failed: &mut impl FnMut(SocketAddr, Fault),
    ) -> io::Result<bool> {
        let result = recv_batch(self.id, &self.socket, batch, &mut received);
        match result {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {
                self.errors = 0;
                // It may be that only its queue of errors is ready.
                if result.is_err() {
                    self.take_unreachable(failed);
                }
                Ok(result.is_ok_and(|count| count == RECV_BATCH))
            }
            Err(errno) => {
                self.take_unreachable(failed);
                self.errors += 1;
                match self.errors > ERRORS_MAX {
                    true => Err(errno.into()),
                    false => Ok(false),
                }
            }
        }
    }

    /// Sends it, or keeps a copy until there is room. Failures are told with their peer.
    pub(super) fn send(
        &mut self,
        to: SocketAddr,
        source: Option<IpAddr>,
        buffer: &SendBuffer,
        segment_size: Option<NonZeroUsize>,
        failed: &mut impl FnMut(SocketAddr, Fault),
    ) -> Sent {
        let sent = match self.backlog.is_empty() {
            true => with_slices(buffer, |slices| {
                self.try_send(to, source, slices, segment_size, failed)
            }),
            false => Sent::NoRoom,
        };
        if sent == Sent::NoRoom {
            self.backlog.push(Waiting {
                to,
                source,
                contents: buffer.to_vec(),
                segment_size,
            });
        }
        sent
    }

    /// Sends what waited, as far as there is room; whether all of it has left.
    pub(super) fn flush(&mut self, failed: &mut impl FnMut(SocketAddr, Fault)) -> bool {
        while let Some(waiting) = self.backlog.pop() {
            let slices = [IoSlice::new(&waiting.contents)];
            let (to, source) = (waiting.to, waiting.source);
            match self.try_send(to, source, &slices, waiting.segment_size, failed) {
                Sent::NoRoom => {
                    self.backlog.unpop(waiting);
                    return false;
                }
                Sent::Failed(failure) => failed(to, Fault::Failed(failure)),
                Sent::Singly => failed(to, Fault::NoSegments),
                Sent::Done => {}
            }
        }
        true
    }

    fn try_send(
        &self,
        to: SocketAddr,
        source: Option<IpAddr>,
        slices: &[IoSlice<'_>],
        segment_size: Option<NonZeroUsize>,
        failed: &mut impl FnMut(SocketAddr, Fault),
    ) -> Sent {
        let mut result = self.send_now(to, source, slices, segment_size);
        if !matches!(result, Ok(()) | Err(Errno::EAGAIN)) {
            // Mostly, ICMP answered an earlier packet, maybe another peer's, and whichever call
            // comes next is told: this packet has not been sent.
            let mut unreachable = false;
            self.take_unreachable(&mut |peer, failure| {
                unreachable |= peer == to;
                failed(peer, failure);
            });
            if unreachable {
                return Sent::Done;
            }
            result = self.send_now(to, source, slices, segment_size);
        }
        match (result, segment_size) {
            (Ok(()) | Err(Errno::ENOBUFS), _) => Sent::Done,
            (Err(Errno::EAGAIN), _) => Sent::NoRoom,
            (Err(errno), Some(size)) if takes_no_segments(errno) => {
                let contents: Vec<u8> = slices
                    .iter()
                    .flat_map(|slice| slice.iter())
                    .copied()
                    .collect();
                // What there is no room for is lost, as on any full queue.
                for datagram in contents.chunks(size.get()) {
                    let _ = self.send_now(to, source, &[IoSlice::new(datagram)], None);
                }
                Sent::Singly
            }
            (Err(errno), _) => Sent::Failed(failure_of(errno)),
        }
    }

    fn send_now(
        &self,
        to: SocketAddr,
        source: Option<IpAddr>,
        slices: &[IoSlice<'_>],
        segment_size: Option<NonZeroUsize>,
    ) -> Result<(), Errno> {
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let to = SockaddrStorage::from(self.of_family(to));
        let segments = segment_size.and_then(|size| u16::try_from(size.get()).ok());
        // Bound to one address, no other can be the source.
        let source = source.filter(|_| self.local.ip().is_unspecified());
        with_source(source, self.local.is_ipv6(), |source| {
            match (segments.as_ref(), source) {
                (None, None) => sendmsg(fd, slices, &[], flags, Some(&to)),
                (None, Some(source)) => sendmsg(fd, slices, &[source], flags, Some(&to)),
                (Some(size), None) => {
                    let segments = ControlMessage::UdpGsoSegments(size);
                    sendmsg(fd, slices, &[segments], flags, Some(&to))
                }
                (Some(size), Some(source)) => {
                    let segments = ControlMessage::UdpGsoSegments(size);
                    sendmsg(fd, slices, &[source, segments], flags, Some(&to))
                }
            }
        })?;
        Ok(())
    }

    /// Tells of the peers whose port is closed, as ICMP said, and empties the queue of its errors.
    ///
    /// That a packet was too big for its path is no failure: the kernel puts it down, and
    /// fragments what follows. Other errors may pass.
    fn take_unreachable(&self, failed: &mut impl FnMut(SocketAddr, Fault)) {
        for _ in 0..ICMP_ERRORS_PER_TURN {
            let Some((peer, error)) = take_icmp_error(&self.socket) else {
                return;
            };
            if error.kind() == io::ErrorKind::ConnectionRefused {
                failed(canonical(peer), Fault::Failed(SendFailure::Unreachable));
            }
        }
    }

    /// The address as this socket's family has it.
    fn of_family(&self, addr: SocketAddr) -> SocketAddr {
        match addr {
            SocketAddr::V4(v4) if self.local.is_ipv6() => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            addr => addr,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn recv_batch(
    id: SocketId,
    socket: &UdpSocket,
    batch: &mut RecvBatch,
    received: &mut impl FnMut(RecvMeta, &[u8]),
) -> Result<usize, Errno> {
    let mut metas = [const { None }; RECV_BATCH];
    let Some(headers_of_socket) = batch.headers.get_mut(id.0 as usize) else {
        return Ok(0);
    };
    let (mut count, mut complete) = (0, true);
    {
        let mut chunks = batch.bytes.chunks_mut(RECV_BYTES);
        let mut slices: [[IoSliceMut<'_>; 1]; RECV_BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let (fd, headers) = (socket.as_raw_fd(), &mut *headers_of_socket);
        let messages = recvmmsg(fd, headers, slices.iter_mut(), flags, None)?;
        for (place, message) in metas.iter_mut().zip(messages) {
            count += 1;
            let meta = meta_of(id, &message);
            complete &= meta.is_some_and(|meta| meta.local_ip.is_some());
            *place = meta.map(|meta| (meta, message.bytes));
        }
    }
    if !complete {
        // Queued before the socket was told to say which address was asked.
        *headers_of_socket = headers();
    }
    for (bytes, meta) in batch.bytes.chunks(RECV_BYTES).zip(metas) {
        if let Some((meta, len)) = meta {
            received(meta, bytes.get(..len).unwrap_or(bytes));
        }
    }
    Ok(count)
}

fn meta_of(id: SocketId, message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<RecvMeta> {
    let address = message.address?;
    let remote = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => SocketAddr::V4(SocketAddrV4::from(*v4)),
        (None, Some(v6)) => canonical(SocketAddr::V6(SocketAddrV6::from(*v6))),
        (None, None) => return None,
    };
    let mut meta = RecvMeta::new(id, remote);
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let [asked, ours] = [info.ipi_addr, info.ipi_spec_dst]
                    .map(|addr| Ipv4Addr::from(addr.s_addr.to_ne_bytes()));
                // They differ for the broadcast address of a subnet, which the engine cannot know.
                // Ours is not told of what came before the option was set.
                let ip = match asked == ours || asked.is_multicast() || ours.is_unspecified() {
                    true => asked,
                    false => Ipv4Addr::BROADCAST,
                };
                meta.local_ip = Some(ip.into());
                meta.interface = u32::try_from(info.ipi_ifindex).ok().and_then(IfIndex::new);
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let ip = std::net::Ipv6Addr::from(info.ipi6_addr.s6_addr);
                meta.local_ip = Some(ip.to_canonical());
                meta.interface = IfIndex::new(info.ipi6_ifindex);
            }
            _ => {}
        }
    }
    Some(meta)
}

/// Calls this with the control message that makes a datagram leave from there.
fn with_source<T>(
    source: Option<IpAddr>,
    is_ipv6: bool,
    send: impl FnOnce(Option<ControlMessage<'_>>) -> T,
) -> T {
    let source = match source {
        None => return send(None),
        Some(IpAddr::V4(v4)) if is_ipv6 => v4.to_ipv6_mapped().into(),
        Some(source) => source,
    };
    match source {
        IpAddr::V4(ip) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(ip.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            send(Some(ControlMessage::Ipv4PacketInfo(&info)))
        }
        IpAddr::V6(ip) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: ip.octets(),
                },
                // A link-local client has its interface in its address.
                ipi6_ifindex: 0,
            };
            send(Some(ControlMessage::Ipv6PacketInfo(&info)))
        }
    }
}

/// IPv4 clients of a dual-stack socket under their own address.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => addr,
        },
        SocketAddr::V4(_) => addr,
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
    use rustix::net::sockopt::{ip_mtu_discover, ipv6_mtu_discover};

    use super::super::bind::bind_listeners;
    use super::*;

    #[test]
    fn never_sets_df() {
        for addr in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let addr: SocketAddr = addr.parse().expect("an address");
            let Ok(sockets) = bind_listeners(addr) else {
                assert!(
                    addr.is_ipv6(),
                    "a kernel without IPv6, but not without IPv4"
                );
                continue;
            };
            for socket in sockets {
                let listener = Listener::new(SocketId(0), socket).expect("a listening socket");
                assert_eq!(ip_mtu_discover(&listener), Ok(Ipv4PathMtuDiscovery::DONT));
                if addr.is_ipv6() {
                    assert_eq!(ipv6_mtu_discover(&listener), Ok(Ipv6PathMtuDiscovery::DONT));
                }
            }
        }
    }

    /// Each of them leaves, as single packets; were each told as a failure, the second one would end
    /// a transfer that goes well.
    #[test]
    fn two_sends_that_leave_as_single_packets_are_no_failure() {
        let addr: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let client = UdpSocket::bind(addr).expect("a port");
        let to = client.local_addr().expect("an address");
        let socket = UdpSocket::bind(addr).expect("a port");
        let mut listener = Listener::new(SocketId(0), socket).expect("a listening socket");
        for _ in 0..2 {
            // More segments than the system takes.
            listener.backlog.push(Waiting {
                to,
                source: None,
                contents: vec![0; 8 * 2000],
                segment_size: NonZeroUsize::new(8),
            });
        }
        let mut faults = Vec::new();
        assert!(listener.flush(&mut |peer, fault| faults.push((peer, fault))));
        assert_eq!(client.recv(&mut [0; 9]).expect("a packet"), 8);
        assert_eq!(faults, [(to, Fault::NoSegments); 2]);
    }

    #[test]
    fn an_address_in_use_is_found_though_threads_share_it() {
        let sockets = bind_listeners("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let addr = sockets[0].local_addr().expect("an address");
        let error = bind_listeners(addr).expect_err("it is in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
