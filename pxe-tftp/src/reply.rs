//! ERROR packets that belong to no running transfer, and the bounds on them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use pxe_core::{Instant, SocketId};

use crate::error::Refusal;
use crate::event::Peer;
use crate::wire;

/// An ERROR that waits to be sent.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) socket: SocketId,
    pub(crate) peer: Peer,
    pub(crate) refusal: Refusal,
    /// The socket is closed after it.
    pub(crate) closes: bool,
}

impl Reply {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        wire::encode_error(out, self.refusal.code, self.refusal.wire_message());
    }
}

#[derive(Debug, Default)]
pub(crate) struct Replies(VecDeque<Reply>);

impl Replies {
    /// `false`: there are too many.
    pub(crate) fn push(&mut self, reply: Reply, replies_max: usize) -> bool {
        let room = self.0.len() < replies_max;
        if room {
            self.0.push_back(reply);
        }
        room
    }

    /// Has this socket closed after the last reply that leaves by it; `false` if there is none.
    pub(crate) fn close_after(&mut self, socket: SocketId) -> bool {
        let last = self.0.iter_mut().rev().find(|reply| reply.socket == socket);
        if let Some(last) = last {
            last.closes = true;
            return true;
        }
        false
    }

    pub(crate) fn pop(&mut self) -> Option<Reply> {
        self.0.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// So many per second, counted in seconds that begin with the first.
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    since: Option<Instant>,
    taken: u32,
}

impl RateLimit {
    pub(crate) fn take(&mut self, now: Instant, per_second: u32) -> bool {
        let fresh = |since| now.saturating_duration_since(since) < Duration::from_secs(1);
        if !self.since.is_some_and(fresh) {
            self.since = Some(now);
            self.taken = 0;
        }
        let granted = self.taken < per_second;
        if granted {
            self.taken += 1;
        }
        granted
    }
}

/// Clients whose transfers on a shared socket ended a short while ago.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    until: BTreeMap<(SocketAddr, SocketId), Instant>,
    /// The oldest first. What `until` says otherwise of was remembered anew since.
    order: VecDeque<((SocketAddr, SocketId), Instant)>,
}

impl Remembered {
    pub(crate) fn insert(
        &mut self,
        key: (SocketAddr, SocketId),
        until: Instant,
        remembered_max: usize,
    ) {
        self.until.insert(key, until);
        self.order.push_back((key, until));
        while self.order.len() > remembered_max {
            if let Some((oldest, until)) = self.order.pop_front()
                && self.until.get(&oldest) == Some(&until)
            {
                self.until.remove(&oldest);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len().max(self.until.len())
    }

    pub(crate) fn contains(&self, now: Instant, key: (SocketAddr, SocketId)) -> bool {
        self.until.get(&key).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // lpxelinux fetches all files from one port: its place must not be as old as its first file.
    #[test]
    fn a_client_that_comes_again_is_remembered_anew() {
        let key = |port| (SocketAddr::from(([192, 0, 2, 1], port)), SocketId(0));
        let at = |seconds| Instant::EPOCH + Duration::from_secs(seconds);
        let mut remembered = Remembered::default();
        for (port, second) in [(1, 1), (2, 2), (1, 3), (3, 4)] {
            remembered.insert(key(port), at(second) + Duration::from_secs(8), 2);
            assert!(remembered.len() <= 2);
        }
        assert!(remembered.contains(at(4), key(1)));
        assert!(!remembered.contains(at(4), key(2)));
        assert!(remembered.contains(at(4), key(3)));
        assert!(!remembered.contains(at(12), key(3)));
    }
}
