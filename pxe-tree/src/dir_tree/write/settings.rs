//! Mode, owner, length and times.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid};
use rustix::io::Errno;

use super::super::stat::{Halt, Stat, Wait, os_error};
use super::{Known, Place, Shared, bits, failed, flush, split};
use crate::{Attributes, ErrorKind, NodeId, NodeKind, SetAttributes, SetTime};

/// Bits by which a program runs as another user or group.
const SET_ID: u32 = 0o6000;

impl Shared {
    pub(super) fn set_attributes(&self, node: NodeId, wanted: &SetAttributes) -> Known {
        let place = self.place(node)?;
        let (reached, stat) = self.reach(&place, Wait::Allowed)?;
        let mut cut = None;
        if let Some(len) = wanted.len {
            let content = self.writer(&place)?;
            let len = i64::try_from(len).map_err(|_| ErrorKind::TooLarge)?;
            rustix::fs::ftruncate(&content, len.cast_unsigned()).map_err(failed)?;
            cut = Some(content);
        }
        let opened = self.open_for_flush(&place, &stat);
        let target = Target {
            reached: reached.as_fd(),
            opened: opened.as_ref(),
            kind: stat.kind,
        };
        if wanted.uid.is_some() || wanted.gid.is_some() {
            target.set_owner(wanted.uid, wanted.gid).map_err(failed)?;
        }
        if let Some(mode) = wanted.mode {
            target.set_mode(mode)?;
        }
        target.set_times(wanted)?;
        if stat.kind == NodeKind::Directory {
            // Whoever may look up its names now.
            self.recency.directories_changed();
        }
        match opened.as_ref().or(cut.as_deref()) {
            Some(opened) => self.told(rustix::fs::fsync(opened))?,
            None => self.flush_above(&place)?,
        }
        let fs = self.file_system(stat.identity.dev, reached.as_fd())?;
        Ok(Stat::of(reached.as_fd())?.attributes(node, fs.fsid))
    }

    /// Opens what can be flushed by itself: a file or a directory that may be read or written.
    fn open_for_flush(&self, place: &Place, stat: &Stat) -> Option<OwnedFd> {
        let open = |flags| {
            let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
            let fd = self.open_place(place, flags, Wait::Allowed).ok()?;
            let same = Stat::of(&fd).is_ok_and(|opened| opened.identity == stat.identity);
            same.then_some(fd)
        };
        match stat.kind {
            NodeKind::File => open(OFlags::RDONLY).or_else(|| open(OFlags::WRONLY)),
            NodeKind::Directory => open(OFlags::RDONLY | OFlags::DIRECTORY),
            _ => None,
        }
    }

    /// Flushes the directory of a node that cannot be flushed by itself (a link, a pipe): on
    /// file systems with a journal the node goes with it.
    fn flush_above(&self, place: &Place) -> Result<(), Halt> {
        let (above, _) = split(&place.path);
        match (self.wall).open(above, OFlags::RDONLY | OFlags::DIRECTORY, Wait::Allowed) {
            Ok(above) => flush(above.as_fd()),
            Err(_) => {
                rustix::fs::sync();
                Ok(())
            }
        }
    }
}

/// A node whose attributes are set.
pub(super) struct Target<'a> {
    /// Opened with `O_PATH` at least.
    pub(super) reached: BorrowedFd<'a>,
    /// Opened for more, if that was possible.
    pub(super) opened: Option<&'a OwnedFd>,
    pub(super) kind: NodeKind,
}

impl Target<'_> {
    /// Sets what is wanted of a node that was made just now.
    ///
    /// Where the operating system does not let this process give it to another user, it stays its
    /// own, and gets no bits that would make it run as this process.
    pub(super) fn settle(&self, wanted: &SetAttributes, default_mode: u32) -> Result<(), Halt> {
        let given = self.give(wanted.uid, wanted.gid)?;
        if self.kind != NodeKind::Link {
            let mode = wanted.mode.unwrap_or(default_mode);
            let kept = match given || self.kind == NodeKind::Directory {
                true => mode,
                false => mode & !SET_ID,
            };
            if Stat::of(self.reached)?.mode != kept {
                self.set_mode(kept)?;
            }
        }
        self.set_times(wanted)
    }

    fn give(&self, uid: Option<u32>, gid: Option<u32>) -> Result<bool, Halt> {
        let is = Stat::of(self.reached)?;
        let uid = uid.filter(|uid| *uid != is.uid);
        let gid = gid.filter(|gid| *gid != is.gid);
        if uid.is_none() && gid.is_none() {
            return Ok(true);
        }
        match self.set_owner(uid, gid) {
            Ok(()) => Ok(true),
            // One of its own groups is what a process may give without any privilege.
            Err(Errno::PERM) if uid.is_some() && gid.is_some() => match self.set_owner(None, gid) {
                Ok(()) | Err(Errno::PERM) => Ok(false),
                Err(errno) => Err(failed(errno)),
            },
            Err(Errno::PERM) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        // -1 is none: it would mean to leave the owner as it is.
        if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
            return Err(Errno::INVAL);
        }
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        rustix::fs::chownat(self.reached, c"", uid, gid, AtFlags::EMPTY_PATH)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Halt> {
        if let Some(opened) = self.opened {
            return rustix::fs::fchmod(opened, bits(mode)).map_err(failed);
        }
        if self.kind == NodeKind::Link {
            return Err(ErrorKind::Unsupported.into());
        }
        // What may not be opened is named by its descriptor: this follows no link of the tree.
        let path = format!("/proc/self/fd/{}", self.reached.as_raw_fd());
        match rustix::fs::chmod(path, bits(mode)) {
            Err(Errno::NOENT) => Err(ErrorKind::Unsupported.into()),
            done => done.map_err(failed),
        }
    }

    pub(super) fn set_times(&self, wanted: &SetAttributes) -> Result<(), Halt> {
        if wanted.accessed.is_none() && wanted.modified.is_none() {
            return Ok(());
        }
        let times = Timestamps {
            last_access: timespec(wanted.accessed),
            last_modification: timespec(wanted.modified),
        };
        match rustix::fs::utimensat(self.reached, c"", &times, AtFlags::EMPTY_PATH) {
            // Before Linux 5.8.
            Err(Errno::INVAL) => match self.opened {
                Some(opened) => rustix::fs::futimens(opened, &times).map_err(failed),
                None => Err(ErrorKind::Unsupported.into()),
            },
            Err(errno) => Err(Halt::Error(os_error(errno))),
            Ok(()) => Ok(()),
        }
    }
}

fn timespec(time: Option<SetTime>) -> Timespec {
    let (tv_sec, tv_nsec) = match time {
        None => (0, UTIME_OMIT),
        Some(SetTime::Now) => (0, UTIME_NOW),
        // Values beyond a second mean something else to the kernel (`UTIME_NOW`).
        Some(SetTime::To(to)) => (to.seconds, i64::from(to.nanos.min(999_999_999))),
    };
    Timespec { tv_sec, tv_nsec }
}

/// Whether a file was made by an exclusive creation with this verifier and not written to since.
pub(super) fn has_verifier(attributes: &Attributes, verifier: [u8; 8]) -> bool {
    let wanted = with_verifier(verifier);
    attributes.kind == NodeKind::File
        && attributes.len == 0
        && wanted.accessed == Some(SetTime::To(attributes.accessed))
        && wanted.modified == Some(SetTime::To(attributes.modified))
}

/// Times that hold a verifier, as Linux's server keeps it (fs/nfsd/vfs.c and nfs3proc.c,
/// `nfsd3_create_file`): there is no other place that is on the medium with the file. The highest
/// bit of each half is dropped, as some file systems keep no times before 1970.
pub(super) fn with_verifier(verifier: [u8; 8]) -> SetAttributes {
    let [a, b, c, d, e, f, g, h] = verifier;
    let time = |half: [u8; 4]| {
        let seconds = u32::from_be_bytes(half) & 0x7fff_ffff;
        Some(SetTime::To(crate::Timestamp::from_seconds(i64::from(
            seconds,
        ))))
    };
    SetAttributes {
        modified: time([a, b, c, d]),
        accessed: time([e, f, g, h]),
        ..SetAttributes::default()
    }
}
