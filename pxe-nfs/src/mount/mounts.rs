//! Who mounted what.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who mounted what, for DUMP: what clients said, and nothing depends on it.
///
/// A client that loses power never says that it is gone, and a restart forgets all.
#[derive(Debug)]
pub(crate) struct Mounts {
    mounts_max: usize,
    /// The oldest first.
    known: Mutex<VecDeque<Mount>>,
    /// Clients that have mounted and read nothing since; at most `mounts_max`.
    unread: Mutex<BTreeSet<IpAddr>>,
    /// Whether there are any: each READ asks.
    has_unread: AtomicBool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) client: IpAddr,
    pub(crate) path: Vec<u8>,
}

/// That the oldest mount was forgotten, for the bound's sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forgotten;

impl Mounts {
    pub(crate) fn new(mounts_max: usize) -> Self {
        Self {
            mounts_max,
            known: Mutex::default(),
            unread: Mutex::default(),
            has_unread: AtomicBool::new(false),
        }
    }

    pub(crate) fn add(&self, mount: Mount) -> Option<Forgotten> {
        self.change_unread(|unread| {
            if unread.len() < self.mounts_max {
                unread.insert(mount.client);
            }
        });
        let mut known = self.known();
        known.retain(|other| *other != mount);
        known.push_back(mount);
        if known.len() <= self.mounts_max {
            return None;
        }
        known.pop_front();
        Some(Forgotten)
    }

    pub(crate) fn remove(&self, mount: &Mount) {
        self.known().retain(|other| other != mount);
    }

    /// Takes out all of a client.
    pub(crate) fn remove_all(&self, client: IpAddr) -> Vec<Mount> {
        self.change_unread(|unread| unread.remove(&client));
        let mut known = self.known();
        let all = std::mem::take(&mut *known);
        let (gone, rest) = all.into_iter().partition(|mount| mount.client == client);
        *known = rest;
        Vec::from(gone)
    }

    /// All, the latest first: where not all can be told, these are the ones that matter.
    pub(crate) fn all(&self) -> Vec<Mount> {
        self.known().iter().rev().cloned().collect()
    }

    /// Whether this client has mounted something and reads for the first time since.
    pub(crate) fn begins_to_read(&self, client: IpAddr) -> bool {
        self.has_unread.load(Ordering::Relaxed)
            && self.change_unread(|unread| unread.remove(&client))
    }

    fn change_unread<T>(&self, change: impl FnOnce(&mut BTreeSet<IpAddr>) -> T) -> T {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut unread);
        // Under the lock, so that it says what is so.
        self.has_unread.store(!unread.is_empty(), Ordering::Relaxed);
        changed
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<Mount>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(host: u8, path: &str) -> Mount {
        Mount {
            client: [192, 168, 150, host].into(),
            path: path.into(),
        }
    }

    #[test]
    fn a_client_begins_to_read_once_after_it_mounted() {
        let mounts = Mounts::new(2);
        let client = |host: u8| IpAddr::from([192, 168, 150, host]);
        assert!(!mounts.begins_to_read(client(1)), "it mounted nothing");
        for host in 1..=3 {
            mounts.add(mount(host, "/srv"));
        }
        assert!(!mounts.begins_to_read(client(3)), "beyond the bound");
        assert!(mounts.begins_to_read(client(1)));
        assert!(!mounts.begins_to_read(client(1)), "it reads on");
        mounts.remove_all(client(2));
        assert!(!mounts.begins_to_read(client(2)), "it is gone");
        mounts.add(mount(1, "/srv"));
        assert!(mounts.begins_to_read(client(1)), "it mounted again");
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mounts = Mounts::new(2);
        assert_eq!(mounts.add(mount(1, "/a")), None);
        assert_eq!(mounts.add(mount(2, "/a")), None);
        assert_eq!(mounts.add(mount(1, "/a")), None, "known already");
        assert_eq!(mounts.add(mount(1, "/b")), Some(Forgotten));
        assert_eq!(mounts.all(), [mount(1, "/b"), mount(1, "/a")]);
        assert_eq!(Mounts::new(0).add(mount(1, "/a")), Some(Forgotten));
    }

    #[test]
    fn one_client_takes_out_its_own() {
        let mounts = Mounts::new(9);
        for one in [
            mount(1, "/a"),
            mount(2, "/a"),
            mount(1, "/b"),
            mount(3, "/c"),
        ] {
            mounts.add(one);
        }
        mounts.remove(&mount(3, "/b"));
        mounts.remove(&mount(3, "/c"));
        assert_eq!(mounts.remove_all([192, 168, 150, 1].into()).len(), 2);
        assert_eq!(mounts.all(), [mount(2, "/a")]);
    }
}
