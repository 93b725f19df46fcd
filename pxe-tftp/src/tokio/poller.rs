//! The sockets of one thread, and which of them are ready.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
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
/// What is told of the timer, which is then looked at by nobody: something may be due.
const TIMER: u64 = u64::MAX - 1;

/// Tells which sockets are ready, as long as they are.
///
/// Not only when they become so: a transfer's socket has one ACK in it as a rule. To take one by one
/// call is right, and to ask whether there is another would be a second call for each block.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
    timer: TimerFd,
    /// When the timer wakes the thread.
    armed: Option<Instant>,
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
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), flags)?;
        Ok(Self {
            epoll,
            timer,
            armed: None,
        })
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

    /// Waits until something is ready, or until the deadline. It may end for nothing.
    ///
    /// A deadline that moves on with each ACK costs nothing: the timer is left as it is, wakes the
    /// thread too early now and then, and is set anew. A timeout of the call itself would be set up
    /// and taken back for each block.
    pub(super) fn wait(
        &mut self,
        events: &mut Events,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        if let Some(deadline) = deadline
            && self.armed.is_none_or(|armed| deadline < armed)
        {
            let left = deadline.saturating_duration_since(Instant::now());
            // None at all would switch it off.
            let left = TimeSpec::from_duration(left.max(Duration::from_nanos(1)));
            let flags = TimerSetTimeFlags::empty();
            self.timer.set(Expiration::OneShot(left), flags)?;
            self.armed = Some(deadline);
        }
        self.take(events, None)
    }

    /// Tells what is ready now.
    pub(super) fn look(&mut self, events: &mut Events) -> io::Result<()> {
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        self.take(events, Some(&at_once))
    }

    fn take(&mut self, events: &mut Events, timeout: Option<&Timespec>) -> io::Result<()> {
        let Events(events) = events;
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if events.iter().any(|event| event.data.u64() == TIMER) {
            self.armed = None;
        }
        Ok(())
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

    /// All that were ready.
    pub(super) fn all(&self) -> impl Iterator<Item = Ready> {
        (0..self.len()).filter_map(|index| self.ready(index))
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
            Err(_) if number == TIMER => return None,
            Err(_) => Ready::Waker,
        })
    }
}

fn data(id: SocketId) -> EventData {
    EventData::new_u64(id.0.into())
}
