//! What the kernel says of a file, and what its errors mean.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, StatxFlags};
use rustix::io::Errno;

use crate::stable_hash::{StableHasher, domain};
use crate::{Attributes, Error, ErrorKind, Name, NodeId, NodeKind, Timestamp};

/// Why an operation ended without a result.
#[derive(Debug)]
pub(super) enum Halt {
    /// It would have to wait for the medium, and was told not to.
    Wait,
    /// It failed.
    Error(Error),
}

impl From<Errno> for Halt {
    fn from(errno: Errno) -> Self {
        Self::Error(os_error(errno))
    }
}

impl From<ErrorKind> for Halt {
    fn from(kind: ErrorKind) -> Self {
        Self::Error(kind.into())
    }
}

impl From<Halt> for Error {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Error(error) => error,
            Halt::Wait => ErrorKind::Busy.into(),
        }
    }
}

/// Whether an operation may wait for the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Never,
    Allowed,
}

/// Sorts an error of the kernel more finely than [`io::ErrorKind`] does.
pub(super) fn os_error(errno: Errno) -> Error {
    let source = io::Error::from(errno);
    let kind = match errno {
        // Descriptors and memory run out for a while only; EAGAIN here is another process's lease.
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::NOBUFS => {
            ErrorKind::Busy
        }
        // A program that runs on this machine was opened for writing: it may run for long.
        Errno::TXTBSY => ErrorKind::PermissionDenied,
        Errno::LOOP => ErrorKind::LinkLoop,
        Errno::NAMETOOLONG => ErrorKind::NameTooLong,
        // A device without driver, or a socket, was opened.
        Errno::NXIO | Errno::NODEV => ErrorKind::NotAFile,
        _ => ErrorKind::from(source.kind()),
    };
    Error::with_source(kind, source)
}

/// Which file it is, as long as this process lives. Inode numbers are given again after a file
/// is deleted; its birth tells the two apart where the file system keeps it, to a tick of its
/// clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) dev: (u32, u32),
    pub(super) ino: u64,
    pub(super) birth: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Stat {
    pub(super) identity: Identity,
    pub(super) kind: NodeKind,
    pub(super) len: u64,
    /// In bytes; the kernel counts in blocks of 512.
    pub(super) used: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u32,
    pub(super) rdev: (u32, u32),
    pub(super) accessed: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) changed: Timestamp,
}

impl Stat {
    /// What is known of an open file; `O_PATH` will do.
    pub(super) fn of(fd: impl AsFd) -> Result<Self, Errno> {
        let fd = fd.as_fd();
        let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        match rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, mask) {
            Ok(statx) => Self::from_statx(&statx),
            // Old container runtimes refuse statx (Docker before 18.04).
            Err(Errno::NOSYS | Errno::PERM) => Self::from_stat(&rustix::fs::fstat(fd)?),
            Err(errno) => Err(errno),
        }
    }

    /// What is known of a name in an open directory; of a link itself.
    pub(super) fn below(dir: impl AsFd, name: &Name) -> Result<Self, Errno> {
        Self::at(dir, name.as_bytes())
    }

    /// The same of a path below an open directory; links on the way are followed.
    pub(super) fn at(dir: impl AsFd, path: &[u8]) -> Result<Self, Errno> {
        let dir = dir.as_fd();
        let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        // As `O_PATH`, which mounts nothing: statx(2) does unless it is told not to.
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        match rustix::fs::statx(dir, path, flags, mask) {
            Ok(statx) => Self::from_statx(&statx),
            Err(Errno::NOSYS | Errno::PERM) => {
                let stat = rustix::fs::statat(dir, path, AtFlags::SYMLINK_NOFOLLOW)?;
                Self::from_stat(&stat)
            }
            Err(errno) => Err(errno),
        }
    }

    fn from_statx(statx: &rustix::fs::Statx) -> Result<Self, Errno> {
        let time = |time: &rustix::fs::StatxTimestamp| Timestamp {
            seconds: time.tv_sec,
            nanos: time.tv_nsec,
        };
        let kept = StatxFlags::from_bits_retain(statx.stx_mask);
        let mode = u32::from(statx.stx_mode);
        Ok(Self {
            identity: Identity {
                dev: (statx.stx_dev_major, statx.stx_dev_minor),
                ino: statx.stx_ino,
                birth: kept
                    .contains(StatxFlags::BTIME)
                    .then(|| time(&statx.stx_btime)),
            },
            kind: kind_of(FileType::from_raw_mode(mode)).ok_or(Errno::IO)?,
            len: statx.stx_size,
            used: statx.stx_blocks.saturating_mul(512),
            mode: mode & 0o7777,
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            nlink: statx.stx_nlink,
            rdev: (statx.stx_rdev_major, statx.stx_rdev_minor),
            accessed: time(&statx.stx_atime),
            modified: time(&statx.stx_mtime),
            changed: time(&statx.stx_ctime),
        })
    }

    #[allow(clippy::unnecessary_cast)] // the fields' types differ from machine to machine
    fn from_stat(stat: &rustix::fs::Stat) -> Result<Self, Errno> {
        let time = |seconds, nanos| Timestamp { seconds, nanos };
        let numbers = |dev| (rustix::fs::major(dev), rustix::fs::minor(dev));
        let kind = kind_of(FileType::from_raw_mode(stat.st_mode)).ok_or(Errno::IO)?;
        Ok(Self {
            identity: Identity {
                dev: numbers(stat.st_dev as u64),
                ino: stat.st_ino as u64,
                birth: None,
            },
            kind,
            len: u64::try_from(stat.st_size).unwrap_or(0),
            used: u64::try_from(stat.st_blocks)
                .unwrap_or(0)
                .saturating_mul(512),
            mode: stat.st_mode as u32 & 0o7777,
            uid: stat.st_uid as u32,
            gid: stat.st_gid as u32,
            nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            rdev: match kind {
                NodeKind::BlockDevice | NodeKind::CharDevice => numbers(stat.st_rdev as u64),
                _ => (0, 0),
            },
            accessed: time(stat.st_atime as i64, stat.st_atime_nsec as u32),
            modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        })
    }

    pub(super) fn attributes(&self, node: NodeId, fsid: u64) -> Attributes {
        let mut attributes = Attributes::new(node, self.kind, self.len);
        attributes.used = Some(self.used);
        attributes.mode = self.mode;
        attributes.uid = self.uid;
        attributes.gid = self.gid;
        attributes.nlink = self.nlink;
        attributes.rdev = self.rdev;
        attributes.fsid = fsid;
        attributes.fileid = self.identity.ino;
        attributes.accessed = self.accessed;
        attributes.modified = self.modified;
        attributes.changed = self.changed;
        let time = |hash: StableHasher, time: Timestamp| {
            hash.number(time.seconds.cast_unsigned())
                .number(u64::from(time.nanos))
        };
        // The inode is in it, so that a name whose file was replaced has another stamp too.
        let hash = StableHasher::new(domain::CHANGE)
            .number(self.identity.ino)
            .number(self.len);
        let hash = time(time(hash, self.modified), self.changed);
        attributes.change = time(hash, self.identity.birth.unwrap_or_default()).finish64();
        attributes
    }
}

pub(super) fn kind_of(file_type: FileType) -> Option<NodeKind> {
    match file_type {
        FileType::RegularFile => Some(NodeKind::File),
        FileType::Directory => Some(NodeKind::Directory),
        FileType::Symlink => Some(NodeKind::Link),
        FileType::BlockDevice => Some(NodeKind::BlockDevice),
        FileType::CharacterDevice => Some(NodeKind::CharDevice),
        FileType::Fifo => Some(NodeKind::Fifo),
        FileType::Socket => Some(NodeKind::Socket),
        FileType::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_calls_say_the_same() {
        let file = tempfile::tempfile().expect("a temporary file");
        let new = Stat::of(&file).expect("open");
        let old = Stat::from_stat(&rustix::fs::fstat(&file).expect("open")).expect("a file");
        assert_eq!(
            (new.identity.dev, new.identity.ino),
            (old.identity.dev, old.identity.ino)
        );
        assert_eq!((new.kind, new.len, new.mode), (old.kind, old.len, old.mode));
        assert_eq!(new.used, old.used);
        assert_eq!((new.modified, new.changed), (old.modified, old.changed));
        assert_eq!((new.uid, new.gid, new.nlink), (old.uid, old.gid, old.nlink));
    }

    #[test]
    fn what_passes_is_busy() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::AGAIN] {
            assert_eq!(os_error(errno).kind(), ErrorKind::Busy);
        }
        assert_eq!(os_error(Errno::PERM).kind(), ErrorKind::PermissionDenied);
        assert_eq!(os_error(Errno::NAMETOOLONG).kind(), ErrorKind::NameTooLong);
    }
}
