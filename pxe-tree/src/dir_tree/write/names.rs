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
/// The numbers of devices that Linux knows (include/linux/kdev_t.h).
const MAJOR_MAX: u32 = (1 << 12) - 1;
const MINOR_MAX: u32 = (1 << 20) - 1;

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
                self.keep_if_needed(fd)?;
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
        let make = || rustix::fs::mkdirat(&above, name.as_bytes(), bits(DIRECTORY_MODE));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = self.make_and_open(&above, name, NodeKind::Directory, flags, make)?;
        let settle = || {
            let target = Target {
                reached: fd.as_fd(),
                opened: Some(&fd),
                kind: NodeKind::Directory,
            };
            target.settle(wanted, DIRECTORY_MODE)?;
            flush(fd.as_fd())
        };
        self.keep_or_undo(&above, name, AtFlags::REMOVEDIR, settle())?;
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
        let make = || rustix::fs::symlinkat(target, &above, name.as_bytes());
        let fd = self.make_and_open(&above, name, NodeKind::Link, OFlags::PATH, make)?;
        let settled = settle_closed(&fd, NodeKind::Link, wanted);
        self.keep_or_undo(&above, name, AtFlags::empty(), settled)?;
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
        // The system call would take other bits than these for another device.
        if rdev.0 > MAJOR_MAX || rdev.1 > MINOR_MAX {
            return Err(ErrorKind::InvalidName.into());
        }
        let above = self.directory(dir)?;
        let mode = bits(wanted.mode.unwrap_or(SPECIAL_MODE));
        let rdev = rustix::fs::makedev(rdev.0, rdev.1);
        let make = || rustix::fs::mknodat(&above, name.as_bytes(), file_type, mode, rdev);
        let fd = self.make_and_open(&above, name, kind, OFlags::PATH, make)?;
        let settled = settle_closed(&fd, kind, wanted);
        self.keep_or_undo(&above, name, AtFlags::empty(), settled)?;
        self.known_as(dir, &above.place, name, fd.as_fd())
    }

    /// Makes what cannot be made and opened in one step, and opens it.
    ///
    /// Whatever has the name by then is given to the user who wanted it, so it must not be
    /// another's that was moved there meanwhile: no other change of this tree comes between, and
    /// what others on this machine put there is taken for it only if it is of the same kind and
    /// has no other name. Owners do not tell: not all file systems keep them.
    fn make_and_open(
        &self,
        above: &Directory,
        name: &Name,
        kind: NodeKind,
        flags: OFlags,
        make: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<OwnedFd, Halt> {
        let _names = self.names();
        make().map_err(failed)?;
        #[cfg(test)]
        self.meanwhile();
        let fd = self.look_with(above, name, flags)?;
        let stat = Stat::of(&fd)?;
        match stat.kind == kind && (kind == NodeKind::Directory || stat.nlink == 1) {
            true => Ok(fd),
            // It is not for this change to take it away either.
            false => Err(ErrorKind::Stale.into()),
        }
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
        let settled = {
            let _names = self.names();
            rustix::fs::linkat(&old_above, from, &above, to, AtFlags::empty()).map_err(failed)?;
            self.misses.clear();
            let settle = || {
                let fd = self.look(&above, name)?;
                match Stat::of(&fd)?.identity == place.identity {
                    true => Ok(fd),
                    // The old name was given to another file meanwhile.
                    false => Err(ErrorKind::Stale.into()),
                }
            };
            settle()
        };
        let fd = self.keep_or_undo(&above, name, AtFlags::empty(), settled)?;
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
        {
            let _names = self.names();
            let stat = Stat::below(&above, name)?;
            if stat.kind == NodeKind::Directory {
                return Err(ErrorKind::IsADirectory.into());
            }
            rustix::fs::unlinkat(&above, name.as_bytes(), AtFlags::empty()).map_err(failed)?;
            self.gone(dir, name, &stat);
        }
        above.flush()
    }

    pub(super) fn remove_directory(&self, dir: NodeId, name: &Name) -> Result<(), Halt> {
        let above = self.directory(dir)?;
        {
            let _names = self.names();
            let stat = Stat::below(&above, name)?;
            rustix::fs::unlinkat(&above, name.as_bytes(), AtFlags::REMOVEDIR).map_err(failed)?;
            self.gone(dir, name, &stat);
        }
        above.flush()
    }

    /// Notes that a name is gone, of what it named before.
    fn gone(&self, dir: NodeId, name: &Name, was: &Stat) {
        let has_others = was.kind != NodeKind::Directory && was.nlink > 1;
        if was.kind == NodeKind::Directory {
            self.recency.directories_changed();
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
        let names = self.names();
        let moved = Stat::below(&from_above, from)?;
        let replaced = match Stat::below(&to_above, to) {
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(failed(errno)),
        };
        rustix::fs::renameat(&from_above, from.as_bytes(), &to_above, to.as_bytes())
            .map_err(failed)?;
        self.misses.clear();
        if moved.kind == NodeKind::Directory {
            self.recency.directories_changed();
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
        drop(names);
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

    fn look_with(&self, above: &Directory, name: &Name, flags: OFlags) -> Result<OwnedFd, Halt> {
        let opened = (self.wall).open_piece(above.as_fd(), name.as_bytes(), flags, Wait::Allowed);
        opened.map_err(|closed| match closed {
            Closed::Wait => Halt::Wait,
            Closed::Errno(errno) => failed(errno),
        })
    }
}

/// Settles what may not be opened.
fn settle_closed(fd: &OwnedFd, kind: NodeKind, wanted: &SetAttributes) -> Result<(), Halt> {
    let target = Target {
        reached: fd.as_fd(),
        opened: None,
        kind,
    };
    target.settle(wanted, SPECIAL_MODE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use crate::{DirTree, ErrorKind, Name, NodeKind, SetAttributes, Tree, WriteTree};

    #[tokio::test]
    async fn a_device_that_linux_cannot_number_is_not_another_one() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tree = DirTree::new(dir.path()).expect("a directory");
        let (name, any) = (Name::new("n").expect("valid"), SetAttributes::default());
        for rdev in [(1 << 12, 3), (1, 1 << 20), (u32::MAX, u32::MAX)] {
            let made = tree.make_special(tree.root(), name, NodeKind::CharDevice, rdev, &any);
            let refused = made.await.map_err(|error| error.kind()).err();
            assert_eq!(refused, Some(ErrorKind::InvalidName), "{rdev:?}");
        }
    }

    /// Nobody gets another's file by moving it to a name that is being made.
    #[tokio::test]
    async fn what_takes_a_new_name_meanwhile_is_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        let mode = |name: &str| at(name).metadata().expect("there").permissions().mode() & 0o7777;
        let tree = DirTree::new(dir.path()).expect("a directory");
        let root = tree.root();
        let new = Name::new("new").expect("valid");
        let wanted = SetAttributes {
            mode: Some(0o777),
            ..SetAttributes::default()
        };
        for kind in [NodeKind::Fifo, NodeKind::Link, NodeKind::Directory] {
            std::fs::write(at("victim"), "x").expect("write");
            std::fs::set_permissions(at("victim"), PermissionsExt::from_mode(0o600)).expect("set");
            let (victim, name, is_dir) = (at("victim"), at("new"), kind == NodeKind::Directory);
            let shared = Arc::clone(&tree.shared);
            tree.shared.set_meanwhile(move || {
                assert!(
                    shared.names.try_lock().is_err(),
                    "no other change of this tree"
                );
                match is_dir {
                    true => std::fs::remove_dir(&name).expect("made"),
                    false => std::fs::remove_file(&name).expect("made"),
                }
                std::fs::rename(&victim, &name).expect("moved there");
            });
            let made = match kind {
                NodeKind::Fifo => tree.make_special(root, new, kind, (0, 0), &wanted).await,
                NodeKind::Link => tree.make_link(root, new, b"x", &wanted).await,
                _ => tree.make_directory(root, new, &wanted).await,
            };
            let refused = made.map_err(|error| error.kind());
            assert!(refused.is_err(), "{kind:?}: {refused:?}");
            assert_eq!(mode("new"), 0o600, "{kind:?}");
            tree.remove(root, new).await.expect("it is there still");
        }
        // Another name of the same kind of node is none that was just made.
        let special = tree.make_special(root, new, NodeKind::Fifo, (0, 0), &wanted);
        special.await.expect("made");
        std::fs::rename(at("new"), at("victim")).expect("rename");
        std::fs::hard_link(at("victim"), at("other")).expect("link");
        let (other, name) = (at("other"), at("new"));
        tree.shared
            .set_meanwhile(move || std::fs::rename(&other, &name).expect("replaced"));
        let special = tree.make_special(root, new, NodeKind::Fifo, (0, 0), &wanted);
        let refused = special.await.map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(ErrorKind::Stale));
    }
}
