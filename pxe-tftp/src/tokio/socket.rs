//! UDP sockets as a TFTP server needs them: the asked address is known, several blocks leave in
//! one call, and packets may be fragmented on their way.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::tokio::io::Interest;
use ::tokio::time::Instant;
use quinn_udp::{UdpSockRef, UdpSocketState};

use pxe_core::{IfIndex, RecvMeta, SendFailure, SocketId};

use super::icmp::take_icmp_error;
use super::readiness::{Shared, SocketWaker};

/// Datagrams that one system call may bring from a listening socket.
const RECV_BATCH: usize = 16;
/// Longer datagrams are cut off; a request is refused long before that, and clients send no data.
const RECV_BYTES: usize = 2048;
/// Sends kept while a socket's buffer is full; what is beyond is lost, as on any full queue.
const BACKLOG_MAX: usize = 16;
/// How long segmentation offload stays off after an error.
const OFFLOAD_RETRY: Duration = Duration::from_secs(60);
/// ICMP errors read at a time.
const ICMP_ERRORS_PER_TURN: usize = 64;

/// Room for what is received: one per driver.
#[derive(Debug)]
pub(super) struct RecvBuffers {
    bytes: Vec<u8>,
}

impl Default for RecvBuffers {
    fn default() -> Self {
        Self {
            bytes: vec![0; RECV_BATCH * RECV_BYTES],
        }
    }
}

/// A datagram that waits for room in its socket's buffer.
#[derive(Debug)]
struct Waiting {
    to: SocketAddr,
    source: Option<IpAddr>,
    contents: Vec<u8>,
    segment_size: Option<usize>,
}

/// What is known of segmentation offload. quinn-udp keeps it per socket, and asks for it with a
/// dozen system calls; but it is a matter of the kernel and its interfaces.
#[derive(Debug)]
pub(super) struct Offload {
    state: Arc<UdpSocketState>,
    asked: Instant,
}

impl Offload {
    /// Asks the system.
    pub(super) fn new() -> io::Result<Self> {
        // A socket of its own, since asking switches options on, DF among them.
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self {
            state: Arc::new(UdpSocketState::new(UdpSockRef::from(&socket))?),
            asked: Instant::now(),
        })
    }

    /// How many datagrams may leave by one call.
    pub(super) fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Asks again from time to time, where offload was given up: quinn-udp gives it up for ever
    /// on an error that may have been one client's (its issue 2202).
    pub(super) fn refresh(&mut self) {
        if self.segments_max() == 1
            && self.asked.elapsed() > OFFLOAD_RETRY
            && let Ok(fresh) = Self::new()
        {
            *self = fresh;
        }
    }
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    /// It left, or never will.
    Done,
    /// It has to wait.
    NoRoom,
}

/// One socket of the driver.
#[derive(Debug)]
pub(super) struct DriverSocket {
    id: SocketId,
    io: ::tokio::net::UdpSocket,
    /// What is known of segmentation offload; shared by all sockets.
    offload: Arc<UdpSocketState>,
    family: Family,
    role: Role,
    listed: Arc<SocketWaker>,
    waker: Waker,
    backlog: VecDeque<Waiting>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Requests come in, for any of the machine's addresses.
    Listener,
    /// One transfer's packets, from the address that it is bound to.
    Transfer {
        /// It is bound to no address: the source has to be given with each packet.
        wildcard: bool,
    },
}

/// Switches path MTU discovery off: no packet leaves with DF set, and routers may fragment it.
///
/// An interface's MTU is not the path's (tunnels, relays), and old boot ROMs drop packets with DF.
/// quinn-udp's constructor switches it on, and so does the system's default for most sockets.
#[cfg(target_os = "linux")]
fn allow_fragments(socket: &UdpSocket, family: Family) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt::Ipv6DontFrag};
    use rustix::net::sockopt;

    // On IPv6 sockets too, for IPv4 clients of a dual-stack socket.
    sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::DONT)?;
    if family == Family::V6 {
        sockopt::set_ipv6_mtu_discover(socket, sockopt::Ipv6PathMtuDiscovery::DONT)?;
        setsockopt(socket, Ipv6DontFrag, &false)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn allow_fragments(_socket: &UdpSocket, _family: Family) -> io::Result<()> {
    Ok(())
}

impl DriverSocket {
    /// A listening socket; tells where its datagrams were sent to.
    pub(super) fn listener(
        id: SocketId,
        socket: UdpSocket,
        offload: &Offload,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        // For its side effects: the address and the interface are told with each datagram.
        UdpSocketState::new(UdpSockRef::from(&socket))?;
        // Coalesced datagrams would need 64 KiB of room each; requests do not come in trains.
        #[cfg(target_os = "linux")]
        let _ =
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::UdpGroSegment, &false);
        Self::new(id, socket, offload, Role::Listener, shared)
    }

    /// A transfer's own socket.
    pub(super) fn transfer(
        id: SocketId,
        socket: UdpSocket,
        wildcard: bool,
        offload: &Offload,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        Self::new(id, socket, offload, Role::Transfer { wildcard }, shared)
    }

    fn new(
        id: SocketId,
        socket: UdpSocket,
        offload: &Offload,
        role: Role,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let family = match socket.local_addr()? {
            SocketAddr::V4(_) => Family::V4,
            SocketAddr::V6(_) => Family::V6,
        };
        allow_fragments(&socket, family)?;
        let offload = Arc::clone(&offload.state);
        offload.enable_transport_errors(UdpSockRef::from(&socket))?;
        let listed = SocketWaker::new(id, shared);
        let waker = Waker::from(Arc::clone(&listed));
        // Look at it once, so that its waker gets registered.
        waker.wake_by_ref();
        Ok(Self {
            id,
            io: ::tokio::net::UdpSocket::from_std(socket)?,
            offload,
            family,
            role,
            listed,
            waker,
            backlog: VecDeque::new(),
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Before the socket is looked at.
    pub(super) fn unlist(&self) {
        self.listed.unlist();
    }

    /// To look at it again soon.
    pub(super) fn relist(&self) {
        self.waker.wake_by_ref();
    }

    /// Receives once. `Ready(Ok(0))`: there was nothing, ask again. `Pending`: the driver is woken
    /// when there is something.
    pub(super) fn poll_recv(
        &self,
        buffers: &mut RecvBuffers,
        mut received: impl FnMut(RecvMeta, &[u8]),
    ) -> Poll<io::Result<usize>> {
        let mut cx = Context::from_waker(&self.waker);
        match self.io.poll_recv_ready(&mut cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {}
        }
        let result = match self.role {
            Role::Listener => self.recv_batch(buffers, &mut received),
            Role::Transfer { .. } => self.recv_one(buffers, &mut received),
        };
        Poll::Ready(match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        })
    }

    fn recv_batch(
        &self,
        buffers: &mut RecvBuffers,
        received: &mut impl FnMut(RecvMeta, &[u8]),
    ) -> io::Result<usize> {
        let mut metas = [quinn_udp::RecvMeta::default(); RECV_BATCH];
        let count = {
            let mut chunks = buffers.bytes.chunks_mut(RECV_BYTES);
            let mut slices: [IoSliceMut<'_>; RECV_BATCH] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            self.io.try_io(Interest::READABLE, || {
                let socket = UdpSockRef::from(&self.io);
                self.offload.recv(socket, &mut slices, &mut metas)
            })?
        };
        let datagrams = buffers.bytes.chunks(RECV_BYTES).zip(&metas).take(count);
        for (bytes, meta) in datagrams {
            let mut converted = RecvMeta::new(self.id, canonical(meta.addr));
            converted.local_ip = meta.dst_ip.map(|ip| ip.to_canonical());
            converted.interface = meta.interface_index.and_then(IfIndex::new);
            // Several of one peer, where the kernel coalesced them all the same.
            let payload = bytes.get(..meta.len).unwrap_or(bytes);
            if payload.is_empty() {
                received(converted, payload);
            }
            for datagram in payload.chunks(meta.stride.max(1)) {
                received(converted, datagram);
            }
        }
        Ok(count)
    }

    fn recv_one(
        &self,
        buffers: &mut RecvBuffers,
        received: &mut impl FnMut(RecvMeta, &[u8]),
    ) -> io::Result<usize> {
        let buffer = buffers.bytes.get_mut(..RECV_BYTES).unwrap_or_default();
        let (len, remote) = self.io.try_recv_from(buffer)?;
        let meta = RecvMeta::new(self.id, canonical(remote));
        received(meta, buffer.get(..len).unwrap_or_default());
        Ok(1)
    }

    /// Sends now, or keeps it until there is room. Failures are told with their peer.
    pub(super) fn send(
        &mut self,
        to: SocketAddr,
        source: Option<IpAddr>,
        contents: &[u8],
        segment_size: Option<usize>,
        failed: &mut impl FnMut(SocketAddr, SendFailure),
    ) {
        if self.backlog.is_empty()
            && self.try_send(to, source, contents, segment_size, failed) == Sent::Done
        {
            return;
        }
        if self.backlog.len() < BACKLOG_MAX {
            self.backlog.push_back(Waiting {
                to,
                source,
                contents: contents.to_vec(),
                segment_size,
            });
            self.relist();
        }
    }

    /// Sends what waited for room, as far as there is some. Failures are told with their peer.
    pub(super) fn flush(&mut self, failed: &mut impl FnMut(SocketAddr, SendFailure)) {
        while let Some(waiting) = self.backlog.pop_front() {
            let (to, source) = (waiting.to, waiting.source);
            let sent = self.try_send(to, source, &waiting.contents, waiting.segment_size, failed);
            if sent == Sent::Done {
                continue;
            }
            self.backlog.push_front(waiting);
            let mut cx = Context::from_waker(&self.waker);
            if self.io.poll_send_ready(&mut cx).is_ready() {
                // tokio believes that there is room: tell it better, and ask again.
                let full = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                let _ = self.io.try_io(Interest::WRITABLE, full);
                if self.io.poll_send_ready(&mut cx).is_ready() {
                    self.relist();
                }
            }
            return;
        }
    }

    fn try_send(
        &self,
        to: SocketAddr,
        source: Option<IpAddr>,
        contents: &[u8],
        segment_size: Option<usize>,
        failed: &mut impl FnMut(SocketAddr, SendFailure),
    ) -> Sent {
        let mut result = self.send_now(to, source, contents, segment_size);
        if matches!(&result, Err(error) if error.kind() != io::ErrorKind::WouldBlock) {
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
            result = self.send_now(to, source, contents, segment_size);
        }
        match result {
            Ok(()) => Sent::Done,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::NoRoom,
            Err(error) => {
                failed(to, failure_of(&error));
                Sent::Done
            }
        }
    }

    fn send_now(
        &self,
        to: SocketAddr,
        source: Option<IpAddr>,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let result = self.send_offloaded(to, source, contents, segment_size);
        let Some(size) = segment_size else {
            return result;
        };
        match result {
            // EIO, EINVAL: this interface takes no segments; EMSGSIZE: its MTU shrank.
            Err(error)
                if error.raw_os_error().is_some()
                    && error.kind() != io::ErrorKind::WouldBlock
                    && error.kind() != io::ErrorKind::ConnectionRefused =>
            {
                let mut datagrams = contents.chunks(size.max(1));
                datagrams.try_for_each(|datagram| self.send_offloaded(to, source, datagram, None))
            }
            result => result,
        }
    }

    fn send_offloaded(
        &self,
        to: SocketAddr,
        source: Option<IpAddr>,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let source = match self.role {
            Role::Transfer { wildcard: false } => None,
            Role::Listener | Role::Transfer { wildcard: true } => source,
        };
        let transmit = quinn_udp::Transmit {
            destination: self.of_family(to),
            ecn: None,
            contents,
            segment_size,
            src_ip: source.map(|ip| self.ip_of_family(ip)),
        };
        // Not by way of tokio's readiness, which a new socket does not have yet.
        self.offload.try_send(UdpSockRef::from(&self.io), &transmit)
    }

    /// Tells of the peers whose port is closed, as ICMP said, and empties the queue of its errors.
    ///
    /// That a packet was too big for its path is no failure: the kernel puts it down, and
    /// fragments what follows. Other errors may pass.
    pub(super) fn take_unreachable(&self, failed: &mut impl FnMut(SocketAddr, SendFailure)) {
        for _ in 0..ICMP_ERRORS_PER_TURN {
            let Some((peer, error)) = take_icmp_error(&self.io) else {
                return;
            };
            if error.kind() == io::ErrorKind::ConnectionRefused {
                failed(canonical(peer), SendFailure::Unreachable);
            }
        }
    }

    /// The address as this socket's family has it.
    fn of_family(&self, addr: SocketAddr) -> SocketAddr {
        match (self.family, addr) {
            (Family::V6, SocketAddr::V4(v4)) => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            (_, addr) => addr,
        }
    }

    fn ip_of_family(&self, ip: IpAddr) -> IpAddr {
        match (self.family, ip) {
            (Family::V6, IpAddr::V4(v4)) => v4.to_ipv6_mapped().into(),
            (_, ip) => ip,
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

/// What an engine is told of a system's error.
fn failure_of(error: &io::Error) -> SendFailure {
    if quinn_udp::is_msg_size_err(error) {
        return SendFailure::TooLarge;
    }
    match error.kind() {
        // Only a closed port is sure to stay so: a host that does not answer ARP, or a network
        // without a route, may be back before the client gives up.
        io::ErrorKind::ConnectionRefused => SendFailure::Unreachable,
        io::ErrorKind::PermissionDenied | io::ErrorKind::AddrNotAvailable => SendFailure::Refused,
        _ => SendFailure::Other,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::tokio::bind::{bind_listener, bind_transfer};
    use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};

    #[test]
    fn never_sets_df() {
        let runtime = ::tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let _guard = runtime.enter();
        for ip in ["127.0.0.1", "::1", "::"] {
            let addr = SocketAddr::new(ip.parse().expect("an address"), 0);
            let Ok(listener) = bind_listener(addr) else {
                assert!(
                    addr.is_ipv6(),
                    "a kernel without IPv6, but not without IPv4"
                );
                continue;
            };
            let shared = Arc::new(Shared::default());
            let offload = Offload::new().expect("a scratch socket");
            let listener =
                DriverSocket::listener(SocketId(0), listener, &offload, Arc::clone(&shared))
                    .expect("a listening socket");
            let remote = listener.local_addr().expect("an address");
            let local_ip = Some(addr.ip()).filter(|ip| !ip.is_unspecified());
            let (socket, wildcard) =
                bind_transfer(local_ip, remote, None, None, &mut 0).expect("a port");
            let transfer = DriverSocket::transfer(SocketId(1), socket, wildcard, &offload, shared)
                .expect("a transfer's socket");
            for socket in [&listener, &transfer] {
                assert_eq!(
                    sockopt::ip_mtu_discover(&socket.io),
                    Ok(Ipv4PathMtuDiscovery::DONT)
                );
                if addr.is_ipv6() {
                    assert_eq!(
                        sockopt::ipv6_mtu_discover(&socket.io),
                        Ok(Ipv6PathMtuDiscovery::DONT)
                    );
                    let dont_fragment = nix::sys::socket::getsockopt(
                        &socket.io,
                        nix::sys::socket::sockopt::Ipv6DontFrag,
                    );
                    assert_eq!(dont_fragment, Ok(false));
                }
            }
        }
    }
}
