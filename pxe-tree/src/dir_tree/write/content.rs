//! Content of files: written now, on the medium when it is committed.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::super::stat::{Halt, Identity, Stat, Wait};
use super::{Known, Place, Shared, failed, flush};
use crate::{ErrorKind, NodeId, Stability};

/// Files that are kept open for writing. Beyond, the one that was used least lately is flushed and
/// closed.
const FILES_MAX: usize = 128;

impl Shared {
    pub(super) fn write(
        &self,
        node: NodeId,
        offset: u64,
        data: &[u8],
        stability: Stability,
    ) -> Known {
        let place = self.place(node)?;
        let end = offset.checked_add(data.len() as u64);
        if end.is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(ErrorKind::TooLarge.into());
        }
        let file = self.writer(&place)?;
        write_all(&file, offset, data)?;
        match stability {
            // Until now it was held here.
            Stability::Unstable => self.uncommitted.keep(place.identity, &file, false),
            Stability::Data => self.told(rustix::fs::fdatasync(&file))?,
            Stability::File => self.told(rustix::fs::fsync(&file))?,
        }
        let stat = Stat::of(&file)?;
        let fs = self.file_system(stat.identity.dev, file.as_fd())?;
        Ok(stat.attributes(node, fs.fsid))
    }

    pub(super) fn commit(&self, node: NodeId) -> Known {
        let place = self.place(node)?;
        let (file, writes) = match self.kept(&place)? {
            Some((file, writes)) => (file, Some(writes)),
            // It may be all on the medium; or this server was started again since.
            None => {
                let file = self.open_content(&place, OFlags::RDONLY);
                // Write-only it may be, too.
                let file = file.or_else(|_| self.open_content(&place, OFlags::WRONLY))?;
                (Arc::new(file), None)
            }
        };
        self.told(rustix::fs::fsync(&file))?;
        if let Some(writes) = writes {
            self.uncommitted.committed(place.identity, writes);
        }
        let stat = Stat::of(&file)?;
        let fs = self.file_system(stat.identity.dev, file.as_fd())?;
        Ok(stat.attributes(node, fs.fsid))
    }

    /// Takes what the kernel says of a flush. After an error it does not try again: what was not on
    /// the medium is lost.
    pub(super) fn told(&self, flushed: Result<(), Errno>) -> Result<(), Halt> {
        match flushed {
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => {
                self.uncommitted.lost.fetch_add(1, Ordering::Relaxed);
                Err(failed(errno))
            }
        }
    }

    /// The file, open for writing.
    pub(super) fn writer(&self, place: &Place) -> Result<Arc<OwnedFd>, Halt> {
        match self.kept(place)? {
            Some((file, _)) => Ok(file),
            None => Ok(Arc::new(self.open_content(place, OFlags::WRONLY)?)),
        }
    }

    /// The file if it is kept open, and its unstable writes. It has to be in its place still:
    /// what was moved out of the root since is not this tree's any more.
    fn kept(&self, place: &Place) -> Result<Option<(Arc<OwnedFd>, u64)>, Halt> {
        let kept = self.uncommitted.get(place.identity);
        if kept.is_some() {
            self.reach(place, Wait::Allowed)?;
        }
        Ok(kept)
    }

    /// Keeps a file open that was made just now and could not be opened for writing again: its
    /// maker may write to it whatever its mode says, as `open(2)` with `O_CREAT` lets him.
    pub(super) fn keep_if_needed(&self, file: OwnedFd) -> Result<(), Halt> {
        // By its descriptor: its name may be that of a device by now.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if rustix::fs::open(path, flags, Mode::empty()).is_err() {
            let identity = Stat::of(&file)?.identity;
            self.uncommitted.keep(identity, &Arc::new(file), true);
        }
        Ok(())
    }
}

fn write_all(file: &OwnedFd, mut offset: u64, data: &[u8]) -> Result<(), Halt> {
    let mut rest = data;
    while !rest.is_empty() {
        match rustix::io::pwrite(file, rest, offset) {
            Ok(0) => return Err(failed(Errno::IO)),
            Ok(written) => {
                offset += written as u64;
                rest = rest.get(written..).unwrap_or_default();
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}

/// Files with content that is not on the medium yet.
///
/// They are kept open: Linux tells an error of writing back to whoever flushes the file next, but
/// forgets it with the inode, which may go when nobody has the file open.
#[derive(Debug, Default)]
pub(in super::super) struct Uncommitted {
    kept: Mutex<Kept>,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    files: HashMap<Identity, KeptFile>,
    uses: u64,
}

#[derive(Debug)]
struct KeptFile {
    file: Arc<OwnedFd>,
    /// Unstable writes so far, so that a commit lets go of those alone that came before it.
    writes: u64,
    /// It could not be opened for writing again.
    is_only_way: bool,
    last_use: u64,
}

impl Uncommitted {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often content was lost that had not been on the medium.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn get(&self, identity: Identity) -> Option<(Arc<OwnedFd>, u64)> {
        let mut kept = self.lock();
        kept.uses += 1;
        let uses = kept.uses;
        let file = kept.files.get_mut(&identity)?;
        file.last_use = uses;
        Some((Arc::clone(&file.file), file.writes))
    }

    fn keep(&self, identity: Identity, file: &Arc<OwnedFd>, is_only_way: bool) {
        let mut kept = self.lock();
        kept.uses += 1;
        let last_use = kept.uses;
        let entry = kept.files.entry(identity).or_insert_with(|| KeptFile {
            file: Arc::clone(file),
            writes: 0,
            is_only_way,
            last_use,
        });
        entry.writes += u64::from(!is_only_way);
        entry.last_use = last_use;
        let oldest = match kept.files.len() > FILES_MAX {
            true => kept.oldest(),
            false => None,
        };
        let closed = oldest.and_then(|oldest| kept.files.remove(&oldest));
        drop(kept);
        match closed {
            // Nobody asked for it to be flushed, so an error can be told by `lost` alone.
            Some(closed) if closed.writes > 0 && flush(closed.file.as_fd()).is_err() => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn committed(&self, identity: Identity, writes: u64) {
        let mut kept = self.lock();
        if let Some(file) = kept.files.get_mut(&identity)
            && file.writes == writes
        {
            file.writes = 0;
            if !file.is_only_way {
                kept.files.remove(&identity);
            }
        }
    }

    /// Closes a file that has no name any more.
    pub(super) fn forget(&self, identity: Identity) {
        self.lock().files.remove(&identity);
    }
}

impl Kept {
    fn oldest(&self) -> Option<Identity> {
        let last_use = |(_, file): &(&Identity, &KeptFile)| file.last_use;
        let (oldest, _) = self.files.iter().min_by_key(last_use)?;
        Some(*oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(ino: u64) -> Identity {
        Identity {
            dev: (0, 1),
            ino,
            birth: None,
        }
    }

    fn file() -> Arc<OwnedFd> {
        Arc::new(tempfile::tempfile().expect("a temporary file").into())
    }

    #[test]
    fn a_commit_lets_go_of_what_came_before_it() {
        let uncommitted = Uncommitted::default();
        let (here, file) = (identity(1), file());
        uncommitted.keep(here, &file, false);
        let (_, writes) = uncommitted.get(here).expect("kept");
        uncommitted.keep(here, &file, false);
        uncommitted.committed(here, writes);
        let (_, writes) = uncommitted.get(here).expect("written to since");
        uncommitted.committed(here, writes);
        assert!(uncommitted.get(here).is_none());
        // But for what could not be opened again.
        uncommitted.keep(here, &file, true);
        uncommitted.committed(here, 0);
        assert!(uncommitted.get(here).is_some());
        uncommitted.forget(here);
        assert!(uncommitted.get(here).is_none());
    }

    #[test]
    fn the_one_used_least_lately_is_closed() {
        let uncommitted = Uncommitted::default();
        let file = file();
        for ino in 0..FILES_MAX as u64 {
            uncommitted.keep(identity(ino), &file, false);
        }
        assert!(uncommitted.get(identity(0)).is_some(), "used");
        uncommitted.keep(identity(1000), &file, false);
        assert_eq!(uncommitted.lock().files.len(), FILES_MAX);
        assert!(uncommitted.get(identity(0)).is_some(), "kept");
        assert!(uncommitted.get(identity(1)).is_none(), "closed");
        // It was flushed first, and that went well.
        assert_eq!(uncommitted.lost(), 0);
    }

    /// What cannot be flushed (here: opened with `O_PATH`) is counted when it is closed, as nobody
    /// asks for it any more.
    #[test]
    fn what_fails_when_a_file_is_closed_is_lost() {
        let uncommitted = Uncommitted::default();
        let broken = rustix::fs::open("/", OFlags::PATH, Mode::empty());
        uncommitted.keep(identity(0), &Arc::new(broken.expect("open")), false);
        let file = file();
        for ino in 1..=FILES_MAX as u64 {
            uncommitted.keep(identity(ino), &file, false);
        }
        assert_eq!(uncommitted.lost(), 1);
    }
}
