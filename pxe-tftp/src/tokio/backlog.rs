//! Sends that wait for room in their socket's buffer.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;

/// Sends kept while a socket's buffer is full; what is beyond is lost, as on any full queue.
const BACKLOG_MAX: usize = 16;

/// What could not be sent yet, in order.
#[derive(Debug, Default)]
pub(super) struct Backlog(VecDeque<Waiting>);

/// Datagrams that wait for room.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) to: SocketAddr,
    pub(super) source: Option<IpAddr>,
    pub(super) contents: Vec<u8>,
    pub(super) segment_size: Option<NonZeroUsize>,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        if self.0.len() < BACKLOG_MAX {
            self.0.push_back(waiting);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        self.0.pop_front()
    }

    /// Puts back what was taken last.
    pub(super) fn unpop(&mut self, waiting: Waiting) {
        self.0.push_front(waiting);
    }
}
