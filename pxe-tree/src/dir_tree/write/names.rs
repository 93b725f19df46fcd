//! Making, linking, renaming and removing names.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::super::stat::{Halt, Stat, Wait};
use super::super::wall::Closed;
use super::settings::{Target, has_verifier, with_verifier};
use super::{Directory, Known, Place, Shared, bits, failed, flush, split};
use crate::{Creation, DirKeys, ErrorKind, Name, NodeId, NodeKind, SetAttributes};

/// The mode of files and of directories for which none is wanted: nobody else sees what is in
/// them until their owner says so.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
const SPECIAL_MODE: u32 = 0o600;

impl Shared {
    pub(super) fn create(
        &self,
        dir: NodeId,
        name: &Name,
        creation: Creation,
        wanted: &SetAttributes,
    ) -> Known {
        let above = self.directory(dir)?;
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        // Nobody else can open it before it is given to its owner.
        match rustix::fs::openat(&above, name.as_bytes(), flags, Mode::empty()) {
            Ok(fd) => {
                let made = self.settle_file(&fd, creation, wanted);
                self.keep_or_undo(&above, name, AtFlags::empty(), made)?;
                let made = self.known_as(dir, &above.place, name, fd.as_fd())?;
                self.keep_if_needed(&above, name, fd)?;
                Ok(made)
            }
            Err(Errno::EXIST) => self.find(dir, &above, name, creation, wanted),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn settle_file(
        &self,
        fd: &OwnedFd,
        creation: Creation,
        wanted: &SetAttributes,
    ) -> Result<(), Halt> {
        if let Some(len) = wanted.len {
            let len = i64::try_from(len).map_err(|_| ErrorKind::TooLarge)?;
            rustix::fs::ftruncate(fd, len.cast_unsigned()).map_err(failed)?;
        }
        let target = Target {
            reached: fd.as_fd(),
            opened: Some(fd),
            kind: NodeKind::File,
        };
        target.settle(wanted, FILE_MODE)?;
        if let Creation::Exclusive(verifier) = creation {
            target.set_times(&with_verifier(verifier))?;
        }
        flush(fd.as_fd())
    }

    /// A name that is taken already.
    fn find(
        &self,
        dir: NodeId,
        above: &Directory,
        name: &Name,
        creation: Creation,
        wanted: &SetAttributes,
    ) -> Known {
        let fd = self.look(above, name)?;
        let found = self.known_as(dir, &above.place, name, fd.as_fd())?;
        match creation {
            Creation::Exclusive(verifier) if has_verifier(&found, verifier) => Ok(found),
            Creation::Unchecked if found.kind == NodeKind::File => match wanted.len {
                Some(_) => {
                    let wanted = SetAttributes {
                        len: wanted.len,
                        ..SetAttributes::default()
                    };
                    self.set_attributes(found.node, &wanted)
                }
                None => Ok(found),
            },
            _ => Err(ErrorKind::Exists.into()),
        }
    }

    pub(super) fn make_directory(&self, dir: NodeId, name: &Name, wanted: &SetAttributes) -> Known {
        let above = self.directory(dir)?;
        rustix::fs::mkdirat(&above, name.as_bytes(), bits(DIRECTORY_MODE)).map_err(failed)?;
        let settle = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let fd = self.look_with(&above, name, flags)?;
            let target = Target {
                reached: fd.as_fd(),
                opened: Some(&fd),
                kind: NodeKind::Directory,
            };
            target.settle(wanted, DIRECTORY_MODE)?;
            flush(fd.as_fd())?;
            Ok(fd)
        };
        let fd = self.keep_or_undo(&above, name, AtFlags::REMOVEDIR, settle())?;
        self.known_as(dir, &above.place, name, fd.as_fd())
    }

    pub(super) fn make_link(
        &self,
        dir: NodeId,
        name: &Name,
        target: &[u8],
        wanted: &SetAttributes,
    ) -> Known {
        let above = self.directory(dir)?;
        rustix::fs::symlinkat(target, &above, name.as_bytes()).map_err(failed)?;
        let settled = self.settle_closed(&above, name, NodeKind::Link, wanted);
        let fd = self.keep_or_undo(&above, name, AtFlags::empty(), settled)?;
        self.known_as(dir, &above.place, name, fd.as_fd())
    }

    pub(super) fn make_special(
        &self,
        dir: NodeId,
        name: &Name,
        kind: NodeKind,
        rdev: (u32, u32),
        wanted: &SetAttributes,
    ) -> Known {
        let (file_type, rdev) = match kind {
            NodeKind::Fifo => (FileType::Fifo, (0, 0)),
            NodeKind::Socket => (FileType::Socket, (0, 0)),
            NodeKind::BlockDevice => (FileType::BlockDevice, rdev),
            NodeKind::CharDevice => (FileType::CharacterDevice, rdev),
            _ => return Err(ErrorKind::Unsupported.into()),
        };
        let above = self.directory(dir)?;
        let mode = bits(wanted.mode.unwrap_or(SPECIAL_MODE));
        let rdev = rustix::fs::makedev(rdev.0, rdev.1);
        rustix::fs::mknodat(&above, name.as_bytes(), file_type, mode, rdev).map_err(failed)?;
        let settled = self.settle_closed(&above, name, kind, wanted);
        let fd = self.keep_or_undo(&above, name, AtFlags::empty(), settled)?;
        self.known_as(dir, &above.place, name, fd.as_fd())
    }

    /// Settles what may not be opened.
    fn settle_closed(
        &self,
        above: &Directory,
        name: &Name,
        kind: NodeKind,
        wanted: &SetAttributes,
    ) -> Result<OwnedFd, Halt> {
        let fd = self.look(above, name)?;
        let target = Target {
            reached: fd.as_fd(),
            opened: None,
            kind,
        };
        target.settle(wanted, SPECIAL_MODE)?;
        Ok(fd)
    }

    /// Flushes a new name; takes it away again if what it names could not be made as wanted.
    fn keep_or_undo<T>(
        &self,
        above: &Directory,
        name: &Name,
        flags: AtFlags,
        made: Result<T, Halt>,
    ) -> Result<T, Halt> {
        let done = made.and_then(|made| above.flush().map(|()| made));
        if done.is_err() {
            // What went wrong first is what is told.
            let _ = rustix::fs::unlinkat(above, name.as_bytes(), flags);
        }
        done
    }

    pub(super) fn add_name(&self, node: NodeId, dir: NodeId, name: &Name) -> Known {
        let place = self.place(node)?;
        let (_, stat) = self.reach(&place, Wait::Allowed)?;
        if stat.kind == NodeKind::Directory {
            return Err(ErrorKind::IsADirectory.into());
        }
        let (old_above, old_name) = self.above(&place)?;
        let above = self.directory(dir)?;
        let (from, to) = (old_name, name.as_bytes());
        // Without `AT_SYMLINK_FOLLOW`: a link is given a second name itself.
        rustix::fs::linkat(&old_above, from, &above, to, AtFlags::empty()).map_err(failed)?;
        let settle = || {
            let fd = self.look(&above, name)?;
            match Stat::of(&fd)?.identity == place.identity {
                true => Ok(fd),
                // The old name was given to another file meanwhile.
                false => Err(ErrorKind::Stale.into()),
            }
        };
        let fd = self.keep_or_undo(&above, name, AtFlags::empty(), settle())?;
        let made = self.known_as(dir, &above.place, name, fd.as_fd())?;
        if self.options.keys == DirKeys::Inode {
            self.table().linked(made.node, node);
        }
        Ok(made)
    }

    /// The directory of a node, opened, and the node's name in it.
    fn above<'a>(&self, place: &'a Place) -> Result<(OwnedFd, &'a [u8]), Halt> {
        let (above, name) = split(&place.path);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.wall.open(above, flags, Wait::Allowed) {
            Ok(above) => Ok((above, name)),
            Err(Closed::Wait) => Err(Halt::Wait),
            Err(Closed::Errno(_)) => Err(ErrorKind::Stale.into()),
        }
    }

    pub(super) fn remove(&self, dir: NodeId, name: &Name) -> Result<(), Halt> {
        let above = self.directory(dir)?;
        let stat = Stat::below(&above, name)?;
        if stat.kind == NodeKind::Directory {
            return Err(ErrorKind::IsADirectory.into());
        }
        rustix::fs::unlinkat(&above, name.as_bytes(), AtFlags::empty()).map_err(failed)?;
        self.gone(dir, name, &stat);
        above.flush()
    }

    pub(super) fn remove_directory(&self, dir: NodeId, name: &Name) -> Result<(), Halt> {
        let above = self.directory(dir)?;
        let stat = Stat::below(&above, name)?;
        rustix::fs::unlinkat(&above, name.as_bytes(), AtFlags::REMOVEDIR).map_err(failed)?;
        self.gone(dir, name, &stat);
        above.flush()
    }

    /// Notes that a name is gone, of what it named before.
    fn gone(&self, dir: NodeId, name: &Name, was: &Stat) {
        let has_others = was.kind != NodeKind::Directory && was.nlink > 1;
        if was.kind == NodeKind::Directory {
            self.recency.directories_moved();
        }
        self.table().removed(dir, name, has_others);
        if !has_others {
            self.uncommitted.forget(was.identity);
        }
    }

    pub(super) fn rename(
        &self,
        (from_dir, from): (NodeId, &Name),
        (to_dir, to): (NodeId, &Name),
    ) -> Result<(), Halt> {
        let from_above = self.directory(from_dir)?;
        let to_above = self.directory(to_dir)?;
        let moved = Stat::below(&from_above, from)?;
        let replaced = match Stat::below(&to_above, to) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(failed(errno)),
        };
        rustix::fs::renameat(&from_above, from.as_bytes(), &to_above, to.as_bytes())
            .map_err(failed)?;
        if moved.kind == NodeKind::Directory {
            self.recency.directories_moved();
        }
        match replaced {
            // Two names of one file: rename(2) leaves both.
            Some(replaced) if replaced.identity == moved.identity => return Ok(()),
            Some(replaced) => self.gone(to_dir, to, &replaced),
            None => {}
        }
        match self.options.keys {
            DirKeys::Inode => {
                let (from, to) = ((from_dir, from), (to_dir, to));
                self.table().moved(from, to, moved.identity);
            }
            // Another path is another key, so it is another node.
            DirKeys::Name => self.table().removed(from_dir, from, false),
        }
        // The new name first: after a power cut a file may have two, but never none.
        to_above.flush()?;
        match from_dir == to_dir {
            true => Ok(()),
            false => from_above.flush(),
        }
    }

    fn look(&self, above: &Directory, name: &Name) -> Result<OwnedFd, Halt> {
        self.look_with(above, name, OFlags::PATH)
    }

    pub(super) fn look_with(
        &self,
        above: &Directory,
        name: &Name,
        flags: OFlags,
    ) -> Result<OwnedFd, Halt> {
        let opened = (self.wall).open_piece(above.as_fd(), name.as_bytes(), flags, Wait::Allowed);
        opened.map_err(|closed| match closed {
            Closed::Wait => Halt::Wait,
            Closed::Errno(errno) => failed(errno),
        })
    }
}
