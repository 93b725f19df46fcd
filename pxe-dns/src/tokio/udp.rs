//! Queries by UDP: a thread for each socket, two system calls for as many queries as wait.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmmsg, sendmsg, setsockopt, sockopt,
};
use pxe_core::Now;
use tokio::runtime::Handle;

use super::forwards::Begun;
use super::server::{Alive, Shared};
use crate::{Outcome, Peer, Transport};

/// Datagrams that one system call may bring.
const BATCH: usize = 32;
/// Longer datagrams are no queries: RFC 9715 and all firewalls keep those far below.
const QUERY_LEN_MAX: usize = 4096;
/// How soon a thread notices that it is to stop, on a socket that it may not shut down.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Pause after an error of the socket itself.
const RECEIVE_RETRY: Duration = Duration::from_millis(100);

/// A socket that is asked by datagrams.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    /// Whether the socket has all addresses of the machine: replies leave from the one that was
    /// asked then.
    is_wildcard: bool,
    is_ipv6: bool,
    /// Whether nobody else can have this socket.
    is_own: bool,
}

impl Socket {
    /// One that was bound for us alone.
    pub(super) fn own(socket: UdpSocket) -> io::Result<Self> {
        Self::new(socket, true)
    }

    /// One that others may go on to use.
    pub(super) fn inherited(socket: UdpSocket) -> io::Result<Self> {
        socket.set_read_timeout(Some(LOOK_INTERVAL))?;
        Self::new(socket, false)
    }

    fn new(socket: UdpSocket, is_own: bool) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        let local = socket.local_addr()?;
        let is_wildcard = local.ip().is_unspecified();
        if is_wildcard {
            match local {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
                SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            }
        }
        let _ = unfragmented(&socket, local);
        Ok(Self {
            socket,
            is_wildcard,
            is_ipv6: local.is_ipv6(),
            is_own,
        })
    }

    /// Room for the control messages that say from where a datagram leaves.
    fn source_space(&self) -> Option<Vec<u8>> {
        self.is_wildcard.then(|| match self.is_ipv6 {
            true => nix::cmsg_space!(libc::in6_pktinfo),
            false => nix::cmsg_space!(libc::in_pktinfo),
        })
    }

    /// Wakes the thread that waits for datagrams.
    pub(super) fn wake(&self) {
        if self.is_own {
            // The socket is not connected, and says so, but whoever waits is woken all the same.
            let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Read);
        }
    }

    /// Sends a reply, unless the system has no room for it: any datagram may be lost.
    pub(super) fn send(&self, to: &Client, reply: &[u8]) {
        let fd = self.socket.as_raw_fd();
        let iov = [IoSlice::new(reply)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let _ = with_source(to.source, |source| {
            sendmsg(fd, &iov, source, flags, Some(&to.address))
        });
    }
}

/// Replies go by the route's MTU as it is known here, and are fragmented rather than lost: a message
/// that claims a smaller one may be forged (RFC 9715 section 3.1).
fn unfragmented(socket: &UdpSocket, local: SocketAddr) -> io::Result<()> {
    use rustix::net::sockopt;

    sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::OMIT)?;
    if local.is_ipv6() {
        sockopt::set_ipv6_mtu_discover(socket, sockopt::Ipv6PathMtuDiscovery::OMIT)?;
    }
    Ok(())
}

/// Whom a reply goes to, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client {
    address: SockaddrStorage,
    /// `None`: from the address that the socket is bound to.
    source: Option<Source>,
}

/// The address that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    V4(Ipv4Addr),
    /// Link-local addresses need their interface.
    V6(Ipv6Addr, u32),
}

/// Calls this with the control messages that make a datagram leave from there.
fn with_source<T>(source: Option<Source>, send: impl FnOnce(&[ControlMessage<'_>]) -> T) -> T {
    match source {
        None => send(&[]),
        Some(Source::V4(ip)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(ip.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            send(&[ControlMessage::Ipv4PacketInfo(&info)])
        }
        Some(Source::V6(ip, interface)) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: ip.octets(),
                },
                ipi6_ifindex: interface,
            };
            send(&[ControlMessage::Ipv6PacketInfo(&info)])
        }
    }
}

/// A datagram that came.
#[derive(Debug, Clone, Copy)]
struct Datagram {
    /// Which of the buffers has it.
    index: usize,
    len: usize,
    peer: Peer,
    client: Client,
}

impl Datagram {
    /// `None` for what nobody is to be answered for.
    fn new(index: usize, message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Self> {
        // Cut off; or nothing, as when the socket is shut down.
        if message.bytes == 0 || message.flags.contains(MsgFlags::MSG_TRUNC) {
            return None;
        }
        let address = message.address?;
        let remote = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => SocketAddr::V4(SocketAddrV4::from(*v4)),
            (None, Some(v6)) => canonical(SocketAddrV6::from(*v6)),
            (None, None) => return None,
        };
        let mut peer = Peer::new(remote, Transport::Udp);
        let source = asked(message)?;
        peer.local_ip = source.map(|source| match source {
            Source::V4(ip) => ip.into(),
            Source::V6(ip, _) => ip.to_canonical(),
        });
        Some(Self {
            index,
            len: message.bytes,
            peer,
            client: Client { address, source },
        })
    }
}

/// The address that was asked, where it is told. `None` if everybody was asked: that is not answered.
#[allow(clippy::option_option)]
fn asked(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Option<Source>> {
    let mut source = None;
    for control in message.cmsgs().ok()? {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let [asked, ours] = [info.ipi_addr, info.ipi_spec_dst]
                    .map(|address| Ipv4Addr::from(address.s_addr.to_ne_bytes()));
                // Which of ours it is, the system does not know of what came before it was told to
                // find that out: a query for which a service manager started the server.
                let is_ours = asked == ours || ours.is_unspecified();
                // A broadcast or multicast address is none of ours.
                if !is_ours || asked.is_multicast() || asked.is_broadcast() {
                    return None;
                }
                source = Some(Source::V4(asked));
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                let is_broadcast = ip.to_ipv4_mapped() == Some(Ipv4Addr::BROADCAST);
                if ip.to_canonical().is_multicast() || is_broadcast {
                    return None;
                }
                let interface = match ip.is_unicast_link_local() {
                    true => info.ipi6_ifindex,
                    false => 0,
                };
                source = Some(Source::V6(ip, interface));
            }
            _ => {}
        }
    }
    Some(source)
}

/// An IPv4 client of an IPv6 socket is an IPv4 client.
fn canonical(address: SocketAddrV6) -> SocketAddr {
    match address.ip().to_ipv4_mapped() {
        Some(ip) => (ip, address.port()).into(),
        None => address.into(),
    }
}

/// Answers what comes to a socket.
pub(super) struct Worker {
    pub(super) socket: Arc<Socket>,
    pub(super) shared: Arc<Shared>,
    pub(super) stop: Arc<AtomicBool>,
    /// Where queries are forwarded.
    pub(super) runtime: Handle,
    pub(super) alive: Alive,
}

/// A reply in the buffer of replies.
#[derive(Debug, Clone, Copy)]
struct Reply {
    client: Client,
    start: usize,
    end: usize,
}

impl Reply {
    /// The reply itself.
    fn of<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(self.start..self.end).unwrap_or_default()
    }
}

impl Worker {
    /// Answers until it is to stop.
    pub(super) fn run(&self) {
        let mut headers = MultiHeaders::preallocate(BATCH, self.socket.source_space());
        let mut sending = MultiHeaders::preallocate(BATCH, self.socket.source_space());
        let mut queries = vec![0; BATCH * QUERY_LEN_MAX];
        let mut datagrams = Vec::with_capacity(BATCH);
        let mut bytes = Vec::new();
        let mut replies = Vec::with_capacity(BATCH);
        while !self.stop.load(Ordering::Acquire) {
            datagrams.clear();
            if let Err(error) = self.receive(&mut headers, &mut queries, &mut datagrams)
                && !concerns_one_datagram(error)
            {
                // Out of memory: waiting is all that can help.
                std::thread::sleep(RECEIVE_RETRY);
            }
            bytes.clear();
            replies.clear();
            let now = self.shared.clock.now();
            for datagram in &datagrams {
                let start = datagram.index * QUERY_LEN_MAX;
                let query = queries.get(start..start + datagram.len).unwrap_or_default();
                let start = bytes.len();
                let answer = AssertUnwindSafe(|| self.answer(now, datagram, query, &mut bytes));
                // A panic, of who listens to events say, costs one client an answer, and not all
                // others theirs.
                if !catch_unwind(answer).unwrap_or(false) {
                    bytes.truncate(start);
                }
                if bytes.len() > start {
                    replies.push(Reply {
                        client: datagram.client,
                        start,
                        end: bytes.len(),
                    });
                }
            }
            self.send(&mut sending, &bytes, &replies);
        }
    }

    /// Answers a query. Returns whether what it has appended is to be sent.
    fn answer(&self, now: Now, datagram: &Datagram, query: &[u8], bytes: &mut Vec<u8>) -> bool {
        let service = &self.shared.service;
        match service.handle(now, &datagram.peer, query, bytes) {
            Outcome::Replied => true,
            // A transfer is the outcome of a query by TCP alone.
            Outcome::Ignored | Outcome::Transfer(_) => false,
            Outcome::Forward(forwarding) => match self.shared.forwards.begin(forwarding, bytes) {
                None => true,
                Some(begun) => {
                    self.forward(begun, datagram.client);
                    false
                }
            },
        }
    }

    /// Answers a query once others have: from the socket that was asked.
    fn forward(&self, begun: Begun, client: Client) {
        let (socket, mut alive) = (Arc::clone(&self.socket), self.alive.clone());
        self.runtime.spawn(async move {
            let mut reply = Vec::new();
            if alive.until_over(begun.finish(&mut reply)).await.is_some() && !reply.is_empty() {
                socket.send(&client, &reply);
            }
        });
    }

    /// Waits for a datagram, and takes those that wait with it.
    fn receive(
        &self,
        headers: &mut MultiHeaders<SockaddrStorage>,
        buffer: &mut [u8],
        datagrams: &mut Vec<Datagram>,
    ) -> Result<(), Errno> {
        let mut chunks = buffer.chunks_mut(QUERY_LEN_MAX);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
        let fd = self.socket.socket.as_raw_fd();
        let flags = MsgFlags::MSG_WAITFORONE;
        let messages = recvmmsg(fd, headers, slices.iter_mut(), flags, None)?;
        let messages = messages.enumerate();
        datagrams.extend(messages.filter_map(|(index, message)| Datagram::new(index, &message)));
        Ok(())
    }

    /// Sends replies, those that leave from one address by one system call.
    fn send(&self, headers: &mut MultiHeaders<SockaddrStorage>, bytes: &[u8], replies: &[Reply]) {
        for group in replies.chunk_by(|one, other| one.client.source == other.client.source) {
            match group {
                [many, _, ..] if many.client.source.is_some() == self.socket.is_wildcard => {
                    self.send_group(headers, bytes, group);
                }
                few => {
                    for reply in few {
                        self.socket.send(&reply.client, reply.of(bytes));
                    }
                }
            }
        }
    }

    fn send_group(
        &self,
        headers: &mut MultiHeaders<SockaddrStorage>,
        bytes: &[u8],
        mut group: &[Reply],
    ) {
        let fd = self.socket.socket.as_raw_fd();
        while let Some(first) = group.first() {
            let slices: Vec<_> = group
                .iter()
                .map(|reply| [IoSlice::new(reply.of(bytes))])
                .collect();
            let addresses: Vec<_> = group
                .iter()
                .map(|reply| Some(reply.client.address))
                .collect();
            let sent = with_source(first.client.source, |source| {
                let flags = MsgFlags::MSG_DONTWAIT;
                let sent = sendmmsg(fd, headers, &slices, &addresses, source, flags);
                sent.map(Iterator::count)
            });
            let sent = match sent {
                Ok(sent) => sent.max(1),
                // The system has no room: any datagram may be lost.
                Err(Errno::EAGAIN) => return,
                // The first one cannot be sent.
                Err(_) => 1,
            };
            group = group.get(sent..).unwrap_or_default();
        }
    }
}

/// Errors that say nothing of the socket: nobody asked, or a reply found nobody.
fn concerns_one_datagram(error: Errno) -> bool {
    matches!(
        error,
        Errno::EAGAIN
            | Errno::EINTR
            | Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EMSGSIZE
    )
}
