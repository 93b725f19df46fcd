//! The socket of one transfer: it knows its client and nobody else.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use pxe_core::{IfIndex, SendFailure};
use rustix::io::Errno as RustixErrno;
use rustix::net::{RecvFlags, SendFlags, connect_unspec, recv, send};

use super::backlog::{Backlog, Waiting};
use super::bind::{Ports, bind_transfer};
use super::fragments::allow_fragments;
use super::slices::with_slices;
use crate::send_buffer::SendBuffer;

/// A socket bound to the address that was asked, and connected to the client: the system looks up
/// no route for its packets, answers strangers by ICMP, and says by ICMP whom an error is about.
#[derive(Debug)]
pub(super) struct TransferSocket {
    socket: UdpSocket,
    remote: SocketAddr,
    backlog: Backlog,
    /// The address that it stays bound to between transfers, if it may serve another.
    kept_ip: Option<IpAddr>,
    /// No transfer has it.
    parked: bool,
    /// It was told for how long to wait for a datagram.
    waits: bool,
}

/// How long a datagram is waited for at the socket itself. The system counts in jiffies: it is one or
/// two of them, 4 to 8 ms mostly.
const WAIT: Duration = Duration::from_millis(1);

/// Packets that may wait in a socket when its transfer is over; with more, it is closed.
const LATE_PACKETS_MAX: usize = 4;

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It left, or never will.
    Done,
    /// The same, and the system takes no segments on this way: they left one by one.
    Singly,
    /// It has to wait until there is room.
    NoRoom,
    /// It has failed.
    Failed(SendFailure),
}

/// What an engine is to know of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It left, but not as segments.
    NoSegments,
    /// It has failed.
    Failed(SendFailure),
}

impl TransferSocket {
    pub(super) fn open(
        local_ip: Option<IpAddr>,
        remote: SocketAddr,
        interface: Option<IfIndex>,
        ports: &mut Ports,
        backlog: Backlog,
    ) -> io::Result<Self> {
        let socket = bind_transfer(local_ip, remote, interface, ports)?;
        allow_fragments(&socket, remote.is_ipv6(), false)?;
        socket.connect(remote)?;
        Ok(Self {
            socket,
            remote,
            backlog,
            // A link-local address needs its interface, and a port of a range is searched for.
            kept_ip: local_ip.filter(|ip| ports.range.is_none() && !is_link_local(*ip)),
            parked: false,
            waits: false,
        })
    }

    /// Gives up its client and its port, and keeps the rest for another transfer: to make a socket
    /// and to close it takes as long as sending two blocks. `false`: it is to be closed.
    pub(super) fn park(&mut self) -> bool {
        // The port goes too, since the system has chosen it: who knew it cannot guess the next.
        let disconnected = || connect_unspec(&self.socket).is_ok();
        if self.kept_ip.is_none() || !self.backlog.is_empty() || !disconnected() {
            return false;
        }
        // Nothing can come any more. What is there was for the transfer that is over.
        let mut late = [0; 4];
        self.parked = (0..=LATE_PACKETS_MAX).any(|_| {
            let received = recv(&self.socket, &mut late, RecvFlags::DONTWAIT);
            matches!(received, Err(RustixErrno::AGAIN))
        });
        self.parked
    }

    /// Whether it can serve a transfer from this address.
    pub(super) fn is_parked_at(&self, local_ip: Option<IpAddr>) -> bool {
        self.parked && self.kept_ip.is_some() && self.kept_ip == local_ip
    }

    pub(super) const fn is_parked(&self) -> bool {
        self.parked
    }

    /// Serves another transfer, by another port.
    pub(super) fn unpark(&mut self, remote: SocketAddr) -> io::Result<()> {
        self.socket.connect(remote)?;
        self.remote = remote;
        self.parked = false;
        Ok(())
    }

    pub(super) const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Receives one datagram, if there is one; its length.
    pub(super) fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        received(recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT))
    }

    /// The same, but a short while is waited for one. Not while something waits to be sent: room
    /// is told of elsewhere.
    pub(super) fn wait_recv(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if self.parked || !self.backlog.is_empty() {
            return Ok(None);
        }
        if !self.waits {
            // Without it, the wait would have no end.
            self.socket.set_read_timeout(Some(WAIT))?;
            self.waits = true;
        }
        received(recv(&self.socket, &mut *buffer, RecvFlags::empty()))
    }

    /// Sends it, or keeps a copy until there is room.
    pub(super) fn send(&mut self, buffer: &SendBuffer, segment_size: Option<NonZeroUsize>) -> Sent {
        let sent = match self.backlog.is_empty() {
            true => self.try_send(buffer, segment_size),
            false => Sent::NoRoom,
        };
        if sent == Sent::NoRoom {
            self.backlog.push(Waiting {
                to: self.remote,
                source: None,
                contents: buffer.to_vec(),
                segment_size,
            });
        }
        sent
    }

    fn try_send(&self, buffer: &SendBuffer, segment_size: Option<NonZeroUsize>) -> Sent {
        let result = with_slices(buffer, |slices| self.send_slices(slices, segment_size));
        self.conclude(result, segment_size, || buffer.to_vec())
    }

    /// Sends what waited, as far as there is room.
    pub(super) fn flush(&mut self) -> Sent {
        let mut all = Sent::Done;
        while let Some(waiting) = self.backlog.pop() {
            let slices = [IoSlice::new(&waiting.contents)];
            let result = self.send_slices(&slices, waiting.segment_size);
            match self.conclude(result, waiting.segment_size, || waiting.contents.clone()) {
                Sent::NoRoom => {
                    self.backlog.unpop(waiting);
                    return Sent::NoRoom;
                }
                Sent::Done => {}
                other => all = other,
            }
        }
        all
    }

    fn send_slices(
        &self,
        slices: &[IoSlice<'_>],
        segment_size: Option<NonZeroUsize>,
    ) -> Result<(), Errno> {
        // The usual case, and the cheapest call.
        if let ([slice], None) = (slices, segment_size) {
            return match send(&self.socket, slice, SendFlags::DONTWAIT) {
                Ok(_) => Ok(()),
                Err(errno) => Err(Errno::from_raw(errno.raw_os_error())),
            };
        }
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        match segment_size.and_then(|size| u16::try_from(size.get()).ok()) {
            None => sendmsg::<()>(fd, slices, &[], flags, None)?,
            Some(size) => {
                let segments = ControlMessage::UdpGsoSegments(&size);
                sendmsg::<()>(fd, slices, &[segments], flags, None)?
            }
        };
        Ok(())
    }

    fn conclude(
        &self,
        result: Result<(), Errno>,
        segment_size: Option<NonZeroUsize>,
        contents: impl FnOnce() -> Vec<u8>,
    ) -> Sent {
        let errno = match result {
            Ok(()) => return Sent::Done,
            Err(Errno::EAGAIN) => return Sent::NoRoom,
            // A full queue of the interface: lost, as on any other.
            Err(Errno::ENOBUFS) => return Sent::Done,
            Err(errno) => errno,
        };
        if let Some(size) = segment_size
            && takes_no_segments(errno)
        {
            // What there is no room for is lost, as on any full queue.
            for datagram in contents().chunks(size.get()) {
                let _ = self.send_slices(&[IoSlice::new(datagram)], None);
            }
            return Sent::Singly;
        }
        Sent::Failed(failure_of(errno))
    }
}

impl AsFd for TransferSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn received(result: Result<(usize, usize), RustixErrno>) -> io::Result<Option<usize>> {
    match result {
        Ok((len, _)) => Ok(Some(len)),
        Err(RustixErrno::AGAIN | RustixErrno::INTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

const fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// EIO, EINVAL: this interface, or this system, takes no segments; EMSGSIZE: the MTU shrank.
pub(super) const fn takes_no_segments(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE | Errno::EOPNOTSUPP
    )
}

/// What an engine is told of a system's error.
pub(super) const fn failure_of(errno: Errno) -> SendFailure {
    match errno {
        // Only a closed port is sure to stay so: a host that does not answer ARP, or a network
        // without a route, may be back before the client gives up.
        Errno::ECONNREFUSED => SendFailure::Unreachable,
        Errno::EMSGSIZE => SendFailure::TooLarge,
        Errno::EPERM | Errno::EACCES | Errno::EADDRNOTAVAIL => SendFailure::Refused,
        _ => SendFailure::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> (UdpSocket, SocketAddr) {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let timeout = Some(Duration::from_secs(20));
        client.set_read_timeout(timeout).expect("a time");
        let addr = client.local_addr().expect("an address");
        (client, addr)
    }

    fn open(remote: SocketAddr, ports: &mut Ports) -> io::Result<TransferSocket> {
        TransferSocket::open(Some(remote.ip()), remote, None, ports, Backlog::default())
    }

    fn buffer(text: &[u8]) -> SendBuffer {
        let mut buffer = SendBuffer::new();
        buffer.make(|made| made.extend_from_slice(text));
        buffer
    }

    #[test]
    fn never_sets_df() {
        use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
        use rustix::net::sockopt::{ip_mtu_discover, ipv6_mtu_discover};

        for remote in ["127.0.0.1:9", "[::1]:9"] {
            let remote: SocketAddr = remote.parse().expect("an address");
            let opened = open(remote, &mut Ports::default());
            let Ok(socket) = opened else {
                assert!(
                    remote.is_ipv6(),
                    "a kernel without IPv6, but not without IPv4"
                );
                continue;
            };
            match remote {
                SocketAddr::V4(_) => {
                    assert_eq!(ip_mtu_discover(&socket), Ok(Ipv4PathMtuDiscovery::DONT));
                }
                SocketAddr::V6(_) => {
                    assert_eq!(ipv6_mtu_discover(&socket), Ok(Ipv6PathMtuDiscovery::DONT));
                }
            }
        }
    }

    #[test]
    fn a_socket_that_serves_again_knows_nothing_of_its_former_client() {
        let [(one, one_addr), (two, two_addr)] = [client(), client()];
        let ip = Some(one_addr.ip());
        let mut socket = open(one_addr, &mut Ports::default()).expect("a socket");
        let port = socket.socket.local_addr().expect("an address");
        assert_eq!(socket.send(&buffer(b"one"), None), Sent::Done);
        assert_eq!(one.recv_from(&mut [0; 9]).expect("a packet"), (3, port));
        one.send_to(b"late", port).expect("sent");
        assert!(socket.park() && socket.is_parked_at(ip));
        assert!(!socket.is_parked_at(Some([127, 0, 0, 9].into())));

        socket.unpark(two_addr).expect("a port");
        let other = socket.socket.local_addr().expect("an address");
        assert_eq!(other.ip(), one_addr.ip());
        assert_ne!(other.port(), 0);
        assert_eq!(socket.recv(&mut [0; 9]).expect("no error"), None);
        // Strangers are answered by the system.
        one.send_to(b"late", other).expect("sent");
        assert_eq!(socket.recv(&mut [0; 9]).expect("no error"), None);
        assert_eq!(socket.send(&buffer(b"two"), None), Sent::Done);
        assert_eq!(two.recv_from(&mut [0; 9]).expect("a packet"), (3, other));
        two.send_to(b"ack", other).expect("sent");
        assert_eq!(socket.recv(&mut [0; 9]).expect("no error"), Some(3));
    }

    #[test]
    fn a_wait_for_a_packet_ends_without_one() {
        let (client, addr) = client();
        let mut socket = open(addr, &mut Ports::default()).expect("a socket");
        assert_eq!(socket.wait_recv(&mut [0; 9]).expect("no error"), None);
        let port = socket.socket.local_addr().expect("an address");
        client.send_to(b"ack", port).expect("sent");
        assert_eq!(socket.wait_recv(&mut [0; 9]).expect("no error"), Some(3));
        assert!(socket.park());
        assert_eq!(socket.wait_recv(&mut [0; 9]).expect("no error"), None);
    }

    #[test]
    fn a_port_of_a_range_is_given_back_at_once() {
        let (_client, addr) = client();
        let mut ports = Ports {
            range: Some(1024..=65_000),
            tried: addr.port(),
        };
        let socket = open(addr, &mut ports);
        assert!(!socket.expect("a port").park());
    }
}
