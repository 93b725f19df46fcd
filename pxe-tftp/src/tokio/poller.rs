//! The sockets of one thread, and which of them are ready.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use pxe_core::SocketId;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::control::Waker;

/// Sockets that one call tells of.
const EVENTS_MAX: usize = 256;
/// What is told of the waker; sockets have 32 bits.
const WAKER: u64 = u64::MAX;

/// Tells which sockets are ready, as long as they are.
///
/// Not only when they become so: a transfer's socket has one ACK in it as a rule. To take one by one
/// call is right, and to ask whether there is another would be a second call for each block.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
}

/// What one call told.
pub(super) struct Events(Vec<Event>);

/// What is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    Waker,
    Socket {
        id: SocketId,
        /// There is room to send where there was none.
        writable: bool,
    },
}

impl Poller {
    pub(super) fn new(waker: &Waker) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // By edges: its number is never read.
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, waker, EventData::new_u64(WAKER), flags)?;
        Ok(Self { epoll })
    }

    /// Closing a socket takes it out again.
    pub(super) fn add(&self, socket: impl AsFd, id: SocketId) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, data(id), EventFlags::IN)?)
    }

    /// Has room to send told too, or not any more.
    pub(super) fn set_writable(
        &self,
        socket: impl AsFd,
        id: SocketId,
        writable: bool,
    ) -> io::Result<()> {
        let flags = match writable {
            true => EventFlags::IN | EventFlags::OUT,
            false => EventFlags::IN,
        };
        Ok(epoll::modify(&self.epoll, socket, data(id), flags)?)
    }

    /// Waits until something is ready, for so long at most.
    pub(super) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let Events(events) = events;
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Events {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(EVENTS_MAX))
    }

    /// How many were ready.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// One of those that were ready.
    pub(super) fn ready(&self, index: usize) -> Option<Ready> {
        let event = self.0.get(index)?;
        let (number, flags) = (event.data.u64(), event.flags);
        Some(match u32::try_from(number) {
            Ok(id) => Ready::Socket {
                id: SocketId(id),
                writable: flags.contains(EventFlags::OUT),
            },
            Err(_) => Ready::Waker,
        })
    }
}

fn data(id: SocketId) -> EventData {
    EventData::new_u64(id.0.into())
}
