//! The socket of one transfer: it knows its client and nobody else.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use pxe_core::{IfIndex, SendFailure};
use rustix::net::{RecvFlags, recv};

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
}

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

impl TransferSocket {
    pub(super) fn open(
        local_ip: Option<IpAddr>,
        remote: SocketAddr,
        interface: Option<IfIndex>,
        ports: &mut Ports,
    ) -> io::Result<Self> {
        let socket = bind_transfer(local_ip, remote, interface, ports)?;
        allow_fragments(&socket, remote.is_ipv6(), false)?;
        socket.connect(remote)?;
        Ok(Self {
            socket,
            remote,
            backlog: Backlog::default(),
        })
    }

    pub(super) const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Receives one datagram, if there is one; its length.
    pub(super) fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((len, _)) => Ok(Some(len)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
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
