//! Who mounted what.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who mounted what, for DUMP: what clients said, and nothing depends on it.
///
/// A client that loses power never says that it is gone, and a restart forgets all.
#[derive(Debug)]
pub(crate) struct Mounts {
    mounts_max: usize,
    /// The oldest first.
    known: Mutex<VecDeque<Mount>>,
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
        }
    }

    pub(crate) fn add(&self, mount: Mount) -> Option<Forgotten> {
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
