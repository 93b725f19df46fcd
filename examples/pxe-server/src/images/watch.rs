//! A bell that rings when a folder changes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pxe_tree::{Name, NameBuf};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;

/// How many folders beside images are watched; the others are looked at from time to time.
const BESIDE_MAX: usize = 64;

/// Rings when a folder changes, as far as the kernel sees it: what others do on a file system of
/// the network, it does not. So it makes things sooner and is never relied on: events can be lost,
/// and none of them is read.
#[derive(Debug)]
pub(super) struct Watch {
    /// tokio's `AsyncFd` would be for this, and takes unsafe code since tokio 1.54. Its pipe only
    /// waits for a descriptor and reads from it, which does for this one.
    inotify: Option<Receiver>,
    dir: PathBuf,
    /// The watches of folders beside images, by the names of those folders.
    beside: Mutex<BTreeMap<NameBuf, i32>>,
}

impl Watch {
    /// A watch of this folder; one that never rings where that cannot be had, which is told.
    pub(super) fn of(dir: &Path) -> Self {
        let inotify = watched(dir).inspect_err(|error| {
            tracing::warn!(
                event = "images",
                "images: {} is looked at every 10 s only: inotify: {error}",
                dir.display()
            );
        });
        Self {
            inotify: inotify.ok(),
            dir: dir.to_owned(),
            beside: Mutex::default(),
        }
    }

    /// One that never rings.
    pub(super) fn none() -> Self {
        Self {
            inotify: None,
            dir: PathBuf::new(),
            beside: Mutex::default(),
        }
    }

    /// Watches a folder in that folder as well. One that was removed and made again is another one
    /// of the same name, so this is to be asked each time; it may wait for a disk.
    pub(super) fn add(&self, name: &Name) {
        let Some(inotify) = &self.inotify else { return };
        let is_full = {
            let beside = self.beside();
            beside.len() >= BESIDE_MAX && !beside.contains_key(name)
        };
        if is_full {
            return;
        }
        let path = self.dir.join(OsStr::from_bytes(name.as_bytes()));
        // Of a folder that is watched already, the kernel gives the same number.
        let Ok(watch) = inotify::add_watch(inotify, &path, flags()) else {
            return;
        };
        let before = self.beside().insert(name.to_buf(), watch);
        if let Some(before) = before.filter(|before| *before != watch) {
            self.remove(before);
        }
    }

    /// Watches no other folders in that folder than these.
    pub(super) fn retain(&self, names: &BTreeSet<NameBuf>) {
        let mut gone = Vec::new();
        self.beside().retain(|name, watch| {
            let is_there = names.contains(name);
            gone.extend((!is_there).then_some(*watch));
            is_there
        });
        for watch in gone {
            self.remove(watch);
        }
    }

    /// Ends the watch of a folder that was moved away; of one that was removed, the kernel has.
    fn remove(&self, watch: i32) {
        if let Some(inotify) = &self.inotify {
            let _ = inotify::remove_watch(inotify, watch);
        }
    }

    fn beside(&self) -> MutexGuard<'_, BTreeMap<NameBuf, i32>> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it rings.
    pub(super) async fn changed(&self) {
        let Some(inotify) = &self.inotify else {
            return std::future::pending().await;
        };
        if inotify.readable().await.is_err() {
            return std::future::pending().await;
        }
        let mut events = [0; 4096];
        while inotify.try_read(&mut events).is_ok_and(|len| len > 0) {}
    }
}

/// A file that is being written rings when it is closed, and not for each write.
fn flags() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ATTRIB
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
}

fn watched(dir: &Path) -> io::Result<Receiver> {
    let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    inotify::add_watch(&fd, dir, flags())?;
    Receiver::from_file_unchecked(File::from(fd))
}
