//! What a server's handles and its threads tell each other.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pxe_core::Instant;
use rustix::event::{EventfdFlags, eventfd};

use crate::config::Config;

/// How many transfers a thread may be asked to displace before it has displaced any: what others learn
/// in one call of clients without a place. With one at a time, all but the first would be refused.
const ROOM_MAX: usize = 16;

/// What is common to a server's threads. It exists before they do: a handle may be used then.
#[derive(Debug, Default)]
pub(super) struct Shared {
    wishes: Mutex<Wishes>,
    /// How often the wishes have changed: a thread looks at them when this has.
    changes: AtomicU64,
    threads: OnceLock<Box<[Thread]>>,
    /// How many transfers each thread has with an address, where it has any.
    remotes: Mutex<BTreeMap<(IpAddr, usize), usize>>,
    /// Threads that have no transfer left to wait for.
    finished: AtomicUsize,
    /// The future that runs the server is gone: everything ends at once.
    abandoned: AtomicBool,
}

/// What others know of a thread.
#[derive(Debug)]
struct Thread {
    waker: Waker,
    transfers: AtomicUsize,
    /// What its windows may hold beyond their shares.
    borrowed_window_bytes: AtomicUsize,
    /// Since when the transfer has not been answered for which that is longest, and since when the
    /// last one of [`ROOM_MAX`]: one more than the nanoseconds of the threads' clock; 0 where there is
    /// none.
    unanswered: [AtomicU64; 2],
    /// How many transfers it is to displace for others' requests.
    displacements: AtomicUsize,
    /// Packets that others put into its mail, and it has not taken.
    handed_over: AtomicUsize,
}

/// What the handles want.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    pub(super) shut_down: bool,
    pub(super) config: Option<Config>,
}

impl Shared {
    /// Prepares for so many threads; once.
    pub(super) fn prepare(&self, threads: usize) -> io::Result<()> {
        let thread = |_| {
            Ok(Thread {
                waker: Waker::new()?,
                transfers: AtomicUsize::new(0),
                borrowed_window_bytes: AtomicUsize::new(0),
                unanswered: [const { AtomicU64::new(0) }; 2],
                displacements: AtomicUsize::new(0),
                handed_over: AtomicUsize::new(0),
            })
        };
        let threads: io::Result<Box<[_]>> = (0..threads).map(thread).collect();
        let threads = threads?;
        self.threads.get_or_init(|| threads);
        Ok(())
    }

    fn threads(&self) -> &[Thread] {
        self.threads.get().map_or(&[], |threads| threads)
    }

    pub(super) fn waker(&self, thread: usize) -> Option<&Waker> {
        Some(&self.threads().get(thread)?.waker)
    }

    fn wake_all(&self) {
        self.threads().iter().for_each(|thread| thread.waker.wake());
    }

    /// Changes what is wished, and lets every thread know.
    pub(super) fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut lock(&self.wishes));
        self.changes.fetch_add(1, Ordering::Release);
        self.wake_all();
    }

    /// What is wished, if that has changed since `seen`.
    pub(super) fn wishes(&self, seen: &mut u64) -> Option<Wishes> {
        let changes = self.changes.load(Ordering::Acquire);
        if mem::replace(seen, changes) == changes {
            return None;
        }
        Some(lock(&self.wishes).clone())
    }

    /// The sum of what the other threads have of something.
    fn elsewhere(&self, thread: usize, what: impl Fn(&Thread) -> &AtomicUsize) -> usize {
        let others = self.threads().iter().enumerate();
        let others = others.filter(|(other, _)| *other != thread);
        others
            .map(|(_, other)| what(other).load(Ordering::Relaxed))
            .sum()
    }

    /// How many transfers the other threads have, but for those that they are to displace.
    pub(super) fn transfers_elsewhere(&self, thread: usize) -> usize {
        let transfers = self.elsewhere(thread, |other| &other.transfers);
        transfers.saturating_sub(self.elsewhere(thread, |other| &other.displacements))
    }

    /// What the windows of the other threads' transfers have borrowed, in octets.
    pub(super) fn borrowed_window_bytes_elsewhere(&self, thread: usize) -> usize {
        self.elsewhere(thread, |other| &other.borrowed_window_bytes)
    }

    pub(super) fn set_borrowed_window_bytes(&self, thread: usize, bytes: usize) {
        if let Some(mine) = self.threads().get(thread) {
            mine.borrowed_window_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn set_transfers(&self, thread: usize, transfers: usize) {
        if let Some(mine) = self.threads().get(thread) {
            mine.transfers.store(transfers, Ordering::Relaxed);
        }
    }

    /// Of the other threads, the one that can displace the transfer that has not been answered for
    /// longest, and since when. Those that are to be displaced already are not counted.
    fn longest_unanswered(&self, thread: usize) -> Option<(Instant, &Thread)> {
        let others = self.threads().iter().enumerate();
        let others = others.filter(|(other, _)| *other != thread);
        let since = others.filter_map(|(_, other)| {
            let [longest, last_of_many] = &other.unanswered;
            let since = match other.displacements.load(Ordering::Relaxed) {
                0 => longest,
                1..ROOM_MAX => last_of_many,
                _ => return None,
            };
            let since = since.load(Ordering::Relaxed).checked_sub(1)?;
            Some((Instant::from_nanos(since), other))
        });
        since.min_by_key(|(since, _)| *since)
    }

    /// Since when a transfer of the other threads has not been answered that can be displaced.
    pub(super) fn longest_unanswered_elsewhere(&self, thread: usize) -> Option<Instant> {
        let (since, _) = self.longest_unanswered(thread)?;
        Some(since)
    }

    /// Says since when a thread's transfers have not been answered, by their ranks.
    pub(super) fn set_unanswered(&self, thread: usize, since: impl Fn(usize) -> Option<Instant>) {
        if let Some(mine) = self.threads().get(thread) {
            for (place, rank) in mine.unanswered.iter().zip([0, ROOM_MAX - 1]) {
                let since = since(rank).map_or(0, |since| since.as_nanos().saturating_add(1));
                place.store(since, Ordering::Relaxed);
            }
        }
    }

    /// Has another thread displace the transfer that has not been answered for longest. If it is
    /// answered at this moment, there is one transfer too many for a while.
    pub(super) fn displace_elsewhere(&self, thread: usize) {
        if let Some((_, other)) = self.longest_unanswered(thread) {
            other.displacements.fetch_add(1, Ordering::Release);
            other.waker.wake();
        }
    }

    /// How many transfers this thread is to displace.
    pub(super) fn displacements(&self, thread: usize) -> usize {
        let mine = self.threads().get(thread);
        mine.map_or(0, |mine| mine.displacements.load(Ordering::Acquire))
    }

    /// It has displaced so many, and said how many transfers it has now.
    pub(super) fn have_displaced(&self, thread: usize, count: usize) {
        if let Some(mine) = self.threads().get(thread) {
            mine.displacements.fetch_sub(count, Ordering::Release);
        }
    }

    /// Counts a packet for a thread's mail, if there are less than so many.
    pub(super) fn put_handed_over(&self, thread: usize, handed_over_max: usize) -> bool {
        let more = |count| (count < handed_over_max).then_some(count + 1);
        self.threads().get(thread).is_some_and(|thread| {
            let count = &thread.handed_over;
            count
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                .is_ok()
        })
    }

    /// One less: the thread has taken it.
    pub(super) fn take_handed_over(&self, thread: usize) {
        if let Some(thread) = self.threads().get(thread) {
            thread.handed_over.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many transfers the other threads have with this address.
    pub(super) fn transfers_of_remote_elsewhere(&self, thread: usize, remote: IpAddr) -> usize {
        let remotes = lock(&self.remotes);
        let all = remotes.range((remote, 0)..=(remote, usize::MAX));
        let others = all.filter(|((_, other), _)| *other != thread);
        others.map(|(_, transfers)| transfers).sum()
    }

    pub(super) fn set_transfers_of_remote(&self, thread: usize, remote: IpAddr, transfers: usize) {
        let mut remotes = lock(&self.remotes);
        match transfers {
            0 => remotes.remove(&(remote, thread)),
            _ => remotes.insert((remote, thread), transfers),
        };
    }

    /// A thread that shuts down has no transfer left.
    pub(super) fn finish_one(&self) {
        if self.finished.fetch_add(1, Ordering::AcqRel) + 1 == self.threads().len() {
            self.wake_all();
        }
    }

    /// Whether all threads have none left.
    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire) >= self.threads().len()
    }

    /// Ends everything at once.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.wake_all();
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

/// Wakes a thread that waits for its sockets.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(eventfd(0, flags)?))
    }

    /// Its number is not read by anybody: each change of it wakes, as the thread is told of edges.
    pub(super) fn wake(&self) {
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The values behind these locks are whole at every moment, so a panic elsewhere harms nothing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
