//! Looking at nodes: whether they are where they were, and what is known of them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::recency::Moment;
use super::stat::{Halt, Stat, Wait};
use super::table::{Place, Stamp};
use super::wall::Closed;
use super::{FileSystem, Shared, keys};
use crate::{Attributes, ErrorKind, Name, NodeId, NodeKind};

/// A node that is where it was.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) place: Place,
    pub(super) stat: Stat,
    pub(super) fs: FileSystem,
}

/// A node that is open for looking at it.
pub(super) enum Reached<'a> {
    Root(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Reached<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(fd) => *fd,
            Self::Opened(fd) => fd.as_fd(),
        }
    }
}

impl Shared {
    /// Opens the node for looking at it, and makes sure that it is the one.
    pub(super) fn reach(&self, place: &Place, wait: Wait) -> Result<(Reached<'_>, Stat), Halt> {
        if place.dir.is_none() {
            let root = self.wall.root();
            return Ok((Reached::Root(root), Stat::of(root)?));
        }
        let fd = self.open_place(place, OFlags::PATH, wait)?;
        let stat = Stat::of(&fd)?;
        if stat.identity != place.identity {
            return Err(ErrorKind::Stale.into());
        }
        Ok((Reached::Opened(fd), stat))
    }

    pub(super) fn open_place(
        &self,
        place: &Place,
        flags: OFlags,
        wait: Wait,
    ) -> Result<OwnedFd, Halt> {
        self.wall
            .open(&place.path, flags, wait)
            .map_err(|closed| match closed {
                Closed::Wait => Halt::Wait,
                // The path led to a node once; now it leads nowhere, or through a file or link.
                Closed::Errno(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {
                    ErrorKind::Stale.into()
                }
                Closed::Errno(errno) => errno.into(),
            })
    }

    /// What is known of a node, if its path still leads to it.
    pub(super) fn see(&self, node: NodeId, wait: Wait) -> Result<Seen, Halt> {
        let now = self.recency.now();
        let place = self.place(node)?;
        if wait == Wait::Never
            && self.recency.is_cached(place.seen, now)
            && self.stands(&place, now)?
            && let Some(stat) = self.wall.glance(&place.path)
            && stat.identity == place.identity
            && let Some(fs) = self.known_file_system(stat.identity.dev)
        {
            if self.recency.is_news(place.seen, now) {
                self.table().saw(node, now);
            }
            return Ok(Seen { place, stat, fs });
        }
        let (reached, stat) = self.reach(&place, wait)?;
        let fs = self.file_system(stat.identity.dev, reached.as_fd())?;
        if wait == Wait::Never && place.dir.is_some() {
            self.table().saw(node, now);
        }
        Ok(Seen { place, stat, fs })
    }

    /// Whether the directory above a node is in its place.
    fn stands(&self, place: &Place, now: Moment) -> Result<bool, Halt> {
        let Some(above) = place.dir else {
            return Ok(false);
        };
        let Some(slash) = place.path.iter().rposition(|&byte| byte == b'/') else {
            // The root is.
            return Ok(true);
        };
        if self.recency.is_in_place(above.walked, now) {
            return Ok(true);
        }
        let path = place.path.get(..slash).unwrap_or_default();
        match self.wall.open(path, OFlags::PATH, Wait::Never) {
            Ok(fd) if Stat::of(&fd)?.identity == above.identity => {
                self.table().walked(above.node, now);
                Ok(true)
            }
            Err(Closed::Wait) => Err(Halt::Wait),
            Ok(_) | Err(Closed::Errno(_)) => Ok(false),
        }
    }

    pub(super) fn attributes(&self, node: NodeId, wait: Wait) -> Result<Attributes, Halt> {
        let began = self.recency.now();
        let seen = self.see(node, wait)?;
        let attributes = seen.stat.attributes(node, seen.fs.fsid);
        if attributes.kind == NodeKind::Directory && wait == Wait::Never {
            let recent = (began, attributes.clone());
            self.table().set_recent(node, recent);
        }
        Ok(attributes)
    }

    /// What a directory was at most as long ago as it is taken to be in its place.
    pub(super) fn recent(&self, stamp: Stamp) -> Option<Attributes> {
        let now = self.recency.now();
        let table = self.table();
        let (at, attributes) = table.recent(table.stamped(stamp)?)?;
        let is_recent = self.recency.is_in_place(Some(*at), now);
        is_recent.then(|| attributes.clone())
    }

    pub(super) fn lookup(&self, dir: NodeId, name: &Name, wait: Wait) -> Result<Attributes, Halt> {
        let now = self.recency.now();
        let (mut place, child) = {
            let mut table = self.table();
            let place = table.place(dir, 1 + name.as_bytes().len())?;
            (place, table.child(dir, name))
        };
        let is_root = place.dir.is_none();
        // Only for comparing what is known there: another directory may have its path by now.
        let in_place = is_root
            || child.is_some()
                && wait == Wait::Never
                && self.recency.is_in_place(place.walked, now);
        let mut reached = None;
        if !in_place {
            reached = Some(self.reach_directory(dir, &place, now, wait)?);
        }
        let above_len = place.path.len();
        keys::push(&mut place.path, name);
        if let Some(child) = child
            && wait == Wait::Never
            && self.recency.is_cached(child.seen, now)
            && let Some(stat) = self.wall.glance(&place.path)
            && stat.identity == child.identity
            && let Some(fs) = self.known_file_system(stat.identity.dev)
        {
            if self.recency.is_news(child.seen, now) {
                self.table().saw(child.node, now);
            }
            return Ok(stat.attributes(child.node, fs.fsid));
        }
        let reached = match reached {
            Some(reached) => reached,
            None if is_root => Reached::Root(self.wall.root()),
            None => {
                place.path.truncate(above_len);
                let reached = self.reach_directory(dir, &place, now, wait)?;
                keys::push(&mut place.path, name);
                reached
            }
        };
        let opened = (self.wall).open_piece(reached.as_fd(), name.as_bytes(), OFlags::PATH, wait);
        let fd = match opened {
            Ok(fd) => fd,
            Err(Closed::Wait) => return Err(Halt::Wait),
            Err(Closed::Errno(errno)) => return Err(errno.into()),
        };
        let stat = Stat::of(&fd)?;
        let fs = self.file_system(stat.identity.dev, fd.as_fd())?;
        let stamp = keys::stamp(self.options.keys, &stat.identity, fs.tag, &place.path);
        let mut table = self.table();
        let node = table.intern(dir, name, stat.identity, stamp)?;
        if wait == Wait::Never {
            table.saw(node, now);
        }
        Ok(stat.attributes(node, fs.fsid))
    }

    /// What lies under a name of an open directory, on a thread that may wait.
    pub(super) fn known_below(
        &self,
        dir: NodeId,
        above: &Place,
        reached: BorrowedFd<'_>,
        name: &Name,
        now: Moment,
    ) -> Result<Attributes, Halt> {
        let stat = Stat::below(reached, name)?;
        let dev = stat.identity.dev;
        let fs = match self.known_file_system(dev) {
            Some(fs) => fs,
            None => {
                let fd =
                    self.wall
                        .open_piece(reached, name.as_bytes(), OFlags::PATH, Wait::Allowed);
                let fd = fd.map_err(|_| ErrorKind::NotFound)?;
                if Stat::of(&fd)?.identity != stat.identity {
                    return Err(ErrorKind::NotFound.into());
                }
                self.file_system(dev, fd.as_fd())?
            }
        };
        let path = keys::join(&above.path, name);
        let stamp = keys::stamp(self.options.keys, &stat.identity, fs.tag, &path);
        let mut table = self.table();
        let node = table.intern(dir, name, stat.identity, stamp)?;
        // What lies on the root's own file system is where the kernel is asked on the spot.
        if dev == self.root_identity.dev && self.wall.answers_now() {
            table.saw(node, now);
        }
        Ok(stat.attributes(node, fs.fsid))
    }

    /// The directory above a directory that is in its place.
    pub(super) fn parent(&self, dir: NodeId, wait: Wait) -> Result<NodeId, Halt> {
        let seen = self.see(dir, wait)?;
        if seen.stat.kind != NodeKind::Directory {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(seen.place.dir.map_or(dir, |above| above.node))
    }

    fn reach_directory(
        &self,
        dir: NodeId,
        place: &Place,
        now: Moment,
        wait: Wait,
    ) -> Result<Reached<'_>, Halt> {
        let (reached, stat) = self.reach(place, wait)?;
        if stat.kind != NodeKind::Directory {
            return Err(ErrorKind::NotADirectory.into());
        }
        if wait == Wait::Never {
            let mut table = self.table();
            table.walked(dir, now);
            table.saw(dir, now);
        }
        Ok(reached)
    }

    /// The node of a stamp where it was seen last.
    pub(super) fn known(&self, stamp: Stamp, wait: Wait) -> Result<Option<Attributes>, Halt> {
        let Some(node) = self.table().stamped(stamp) else {
            return Ok(None);
        };
        match self.attributes(node, wait) {
            Ok(attributes) => Ok(Some(attributes)),
            Err(Halt::Error(error)) if error.kind() == ErrorKind::Stale => Ok(None),
            Err(halt) => Err(halt),
        }
    }
}
