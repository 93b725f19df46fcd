//! Sends that wait for room in their socket's buffer.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sends kept while a socket's buffer is full; what is beyond is lost, as on any full queue.
const BACKLOG_MAX: usize = 16;
/// Octets kept so by all sockets together: they are copies.
const BYTES_MAX: usize = 16 << 20;

/// How many octets wait in the backlogs of several sockets.
#[derive(Debug, Clone, Default)]
pub(super) struct BacklogBytes(Arc<AtomicUsize>);

/// What could not be sent yet, in order.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: VecDeque<Waiting>,
    bytes: BacklogBytes,
}

/// Datagrams that wait for room.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) to: SocketAddr,
    pub(super) source: Option<IpAddr>,
    pub(super) contents: Vec<u8>,
    pub(super) segment_size: Option<NonZeroUsize>,
}

impl Backlog {
    /// One of those whose octets are counted there.
    pub(super) fn new(bytes: BacklogBytes) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        // Threads that look at the same moment may keep a few more.
        let bytes = self.bytes.0.load(Ordering::Relaxed);
        let has_room = bytes.saturating_add(waiting.contents.len()) <= BYTES_MAX;
        if self.waiting.len() < BACKLOG_MAX && has_room {
            self.count(&waiting);
            self.waiting.push_back(waiting);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.discount(&waiting);
        Some(waiting)
    }

    /// Puts back what was taken last.
    pub(super) fn unpop(&mut self, waiting: Waiting) {
        self.count(&waiting);
        self.waiting.push_front(waiting);
    }

    fn count(&self, waiting: &Waiting) {
        let len = waiting.contents.len();
        self.bytes.0.fetch_add(len, Ordering::Relaxed);
    }

    fn discount(&self, waiting: &Waiting) {
        let len = waiting.contents.len();
        self.bytes.0.fetch_sub(len, Ordering::Relaxed);
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_in_sends_and_in_octets_over_all_sockets() {
        let waiting = |len| Waiting {
            to: SocketAddr::from(([192, 0, 2, 1], 9)),
            source: None,
            contents: vec![0; len],
            segment_size: None,
        };
        let bytes = BacklogBytes::default();
        let mut backlogs: Vec<_> = (0..40).map(|_| Backlog::new(bytes.clone())).collect();
        for backlog in &mut backlogs {
            (0..2 * BACKLOG_MAX).for_each(|_| backlog.push(waiting(60_000)));
            assert!(backlog.waiting.len() <= BACKLOG_MAX);
        }
        let count = || bytes.0.load(Ordering::Relaxed);
        assert!((BYTES_MAX - 60_000..=BYTES_MAX).contains(&count()));
        let before = count();
        let first = backlogs[0].pop().expect("it waits");
        assert_eq!(count(), before - 60_000);
        backlogs[0].unpop(first);
        assert_eq!(count(), before);
        drop(backlogs);
        assert_eq!(count(), 0);
    }
}
