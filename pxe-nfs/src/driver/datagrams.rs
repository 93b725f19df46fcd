//! Calls by UDP: a datagram each, answered from the address that was asked.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;

use crate::xdr::padding;
use crate::{Data, Event, Limited, Peer, Programs, Reply, Service, Transport};

/// Datagrams that one system call may bring.
const RECV_BATCH: usize = 8;
/// Datagrams of that length may have been cut off, and are no calls: 8 KiB of data, which is the most that
/// clients are told to write by UDP, with what is around them.
const RECV_BYTES: usize = 12 * 1024;
/// The most that a datagram holds, with IPv4 (65,535 bytes with both headers).
const REPLY_BYTES_MAX: usize = 65_507;
/// Batches of datagrams that are taken before other sockets have their turn.
const BATCHES_PER_TURN: usize = 8;

/// A socket that is asked by datagrams.
pub(super) struct Datagrams {
    socket: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    service: Service,
    programs: Programs,
    buffer: Vec<u8>,
    calls: FuturesUnordered<Pin<Box<dyn Future<Output = Option<Answered>> + Send>>>,
    /// Replies that wait for room in the socket.
    unsent: VecDeque<Answered>,
    is_limited: bool,
}

/// A reply and where it goes.
struct Answered {
    /// As the socket names it.
    remote: SocketAddr,
    /// The source address, as the datagram's destination was.
    from: Option<IpAddr>,
    reply: Vec<u8>,
}

impl Datagrams {
    pub(super) fn new(
        socket: UdpSocket,
        local: SocketAddr,
        service: Service,
        programs: Programs,
    ) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        plain_datagrams(&socket, local)?;
        Ok(Self {
            socket: tokio::net::UdpSocket::from_std(socket)?,
            state,
            local,
            service,
            programs,
            buffer: vec![0; RECV_BATCH * RECV_BYTES],
            calls: FuturesUnordered::new(),
            unsent: VecDeque::new(),
            is_limited: false,
        })
    }

    /// Answers until it is stopped, and then what is under way.
    pub(super) async fn run(mut self, stopped: impl Future<Output = ()>) {
        let mut stopped = pin!(stopped);
        let mut is_stopped = false;
        poll_fn(|cx| {
            is_stopped = is_stopped || stopped.as_mut().poll(cx).is_ready();
            self.poll(cx, is_stopped)
        })
        .await;
    }

    fn poll(&mut self, cx: &mut Context<'_>, is_stopped: bool) -> Poll<()> {
        for _ in 0..BATCHES_PER_TURN {
            while let Poll::Ready(Some(answered)) = self.calls.poll_next_unpin(cx) {
                self.unsent.extend(answered);
            }
            self.send(cx);
            if is_stopped {
                return match self.calls.is_empty() && self.unsent.is_empty() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                };
            }
            if self.is_full() || self.socket.poll_recv_ready(cx).is_pending() {
                return Poll::Pending;
            }
            self.receive(cx);
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether no call can be taken now; that is told once, until one can be.
    fn is_full(&mut self) -> bool {
        let calls_max = self.service.limits().udp_calls_max.max(1);
        let was_limited = self.is_limited;
        self.is_limited = self.calls.len() + self.unsent.len() >= calls_max;
        if self.is_limited && !was_limited {
            self.service.inner.tell(&Event::Limited(Limited {
                peer: None,
                limit: "udp_calls_max",
            }));
        }
        self.is_limited
    }

    /// Takes what one system call brings.
    fn receive(&mut self, cx: &mut Context<'_>) {
        let mut metas = [RecvMeta::default(); RECV_BATCH];
        let received = {
            let mut chunks = self.buffer.chunks_mut(RECV_BYTES);
            let mut slices: [IoSliceMut<'_>; RECV_BATCH] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            self.socket.try_io(Interest::READABLE, || {
                let socket = UdpSockRef::from(&self.socket);
                self.state.recv(socket, &mut slices, &mut metas)
            })
        };
        // Nothing there after all, or another's trouble: an error of an earlier packet.
        let count = received.unwrap_or(0);
        let datagrams = self.buffer.chunks(RECV_BYTES).zip(&metas).take(count);
        for (bytes, meta) in datagrams {
            // It was cut off.
            if meta.len >= RECV_BYTES {
                continue;
            }
            // A broadcast asks everybody: answers to that are nobody's business.
            let to = meta.dst_ip.map(|ip| ip.to_canonical());
            if to.is_some_and(|ip| ip.is_multicast() || ip == Ipv4Addr::BROADCAST) {
                continue;
            }
            let local = SocketAddr::new(to.unwrap_or(self.local.ip()), self.local.port());
            let peer = Peer::new(meta.addr, local, Transport::Udp);
            let message = Bytes::copy_from_slice(bytes.get(..meta.len).unwrap_or(bytes));
            let (service, programs) = (self.service.clone(), self.programs);
            let remote = meta.addr;
            let from = meta.dst_ip.map(|ip| match (remote, ip) {
                // An IPv4 client of an IPv6 socket.
                (SocketAddr::V6(_), IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
                _ => ip,
            });
            let mut call = Box::pin(async move {
                let reply = service.answer(&peer, programs, message).await?;
                Some(Answered {
                    remote,
                    from,
                    reply: datagram(reply)?,
                })
            });
            match call.as_mut().poll(cx) {
                Poll::Ready(answered) => self.unsent.extend(answered),
                Poll::Pending => self.calls.push(call),
            }
        }
    }

    /// Sends what the socket takes.
    fn send(&mut self, cx: &mut Context<'_>) {
        while let Some(answered) = self.unsent.front() {
            let transmit = Transmit {
                destination: answered.remote,
                ecn: None,
                contents: &answered.reply,
                segment_size: None,
                src_ip: answered.from,
            };
            let socket = UdpSockRef::from(&self.socket);
            if self.socket.poll_send_ready(cx).is_pending() {
                return;
            }
            let send = || self.state.try_send(socket, &transmit);
            let sent = self.socket.try_io(Interest::WRITABLE, send);
            if matches!(&sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                continue;
            }
            // A reply that cannot be sent is a lost one, as any datagram may be.
            self.unsent.pop_front();
        }
    }
}

/// A reply in one piece; `None` if no datagram takes it.
fn datagram(reply: Reply) -> Option<Vec<u8>> {
    if reply.len() > REPLY_BYTES_MAX {
        return None;
    }
    let mut bytes = reply.head;
    if let Data::Bytes(data) = &reply.data {
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len() + padding(data.len()), 0);
    }
    Some(bytes)
}

/// Replies may be fragmented on their way: an interface's MTU is not the path's, and initramfs and
/// U-Boot have no path MTU discovery. quinn-udp's constructor switches that on (DF), and has the
/// kernel put datagrams together, for which the buffers are too small.
#[cfg(target_os = "linux")]
fn plain_datagrams(socket: &UdpSocket, local: SocketAddr) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt::Ipv6DontFrag, sockopt::UdpGroSegment};
    use rustix::net::sockopt;

    // Older kernels have none to switch off.
    let _ = setsockopt(socket, UdpGroSegment, &false);
    // On IPv6 sockets too, for IPv4 clients of a socket for both.
    sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::DONT)?;
    if local.is_ipv6() {
        sockopt::set_ipv6_mtu_discover(socket, sockopt::Ipv6PathMtuDiscovery::DONT)?;
        setsockopt(socket, Ipv6DontFrag, &false)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn plain_datagrams(_socket: &UdpSocket, _local: SocketAddr) -> io::Result<()> {
    Ok(())
}
