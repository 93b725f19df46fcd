//! Keys of a directory's nodes, and how the node of a key is found again.
//!
//! A key is a tag, the node's stamp, and one byte for each directory between the root and the
//! node: a hint by which the search skips directories that it cannot be in, as unfs3 does it.
//! - Keys by inode: the stamp is the inode and a hash of file system and birth; hints are made of
//!   the directories' inodes, so that directories may be renamed too.
//! - Keys by name: the stamp is a hash of the path, hints are made of the directories' names.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::listing::scan;
use super::stat::{Halt, Identity, Stat, Wait};
use super::table::Stamp;
use super::wall::{Closed, Wall};
use super::{DirKeys, HINTED_MOUNTS_MAX, Shared};
use crate::id_table::id;
use crate::stable_hash::{StableHasher, domain};
use crate::{Cookie, ErrorKind, Name, NameBuf, NodeKey, NodeKind};

const TAG_INODE: u8 = b'i';
const TAG_NAME: u8 = b'p';
const STAMP_END: usize = 1 + size_of::<Stamp>();

/// One name on the way to what was found.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) name: NameBuf,
    pub(super) stat: Stat,
    pub(super) stamp: Stamp,
}

pub(super) fn encode(keys: DirKeys, stamp: Stamp, hints: &[u8]) -> Result<NodeKey, ErrorKind> {
    let mut key = Vec::with_capacity(NodeKey::LEN_MAX);
    key.push(tag(keys));
    key.extend_from_slice(&stamp);
    key.extend_from_slice(hints);
    NodeKey::new(&key).map_err(|_| ErrorKind::Unsupported)
}

/// The hint of a directory above a node.
pub(super) fn hint(keys: DirKeys, name: &Name, identity: &Identity) -> u8 {
    match keys {
        DirKeys::Inode => inode_hint(identity.ino),
        DirKeys::Name => name_hint(name),
    }
}

/// The stamp and the hints of a key that such a tree made.
pub(super) fn decode(keys: DirKeys, key: &NodeKey) -> Result<(Stamp, &[u8]), ErrorKind> {
    let (head, hints) = key
        .as_bytes()
        .split_at_checked(STAMP_END)
        .ok_or(ErrorKind::BadKey)?;
    match head {
        [first, stamp @ ..] if *first == tag(keys) => {
            let stamp = stamp.try_into().map_err(|_| ErrorKind::BadKey)?;
            Ok((stamp, hints))
        }
        _ => Err(ErrorKind::BadKey),
    }
}

const fn tag(keys: DirKeys) -> u8 {
    match keys {
        DirKeys::Inode => TAG_INODE,
        DirKeys::Name => TAG_NAME,
    }
}

fn inode_hint(ino: u64) -> u8 {
    StableHasher::new(domain::HINT).number(ino).finish8()
}

fn name_hint(name: &Name) -> u8 {
    StableHasher::new(domain::HINT)
        .part(name.as_bytes())
        .finish8()
}

/// What a node is known by after a restart. `fs_tag` is 0 on the root's own file system.
pub(super) fn stamp(keys: DirKeys, identity: &Identity, fs_tag: u64, path: &[u8]) -> Stamp {
    if keys == DirKeys::Name {
        return StableHasher::new(domain::NAME_KEY).part(path).finish128();
    }
    // The inode is hashed too: files born together would differ in it alone.
    let hash = StableHasher::new(domain::GENERATION)
        .number(fs_tag)
        .number(identity.ino);
    let generation = match identity.birth {
        Some(birth) => hash
            .number(birth.seconds.cast_unsigned())
            .number(u64::from(birth.nanos)),
        // Without a birth, another file could have been given this inode: then the path has to be
        // the same too.
        None => hash.part(path),
    };
    let mut stamp = [0; 16];
    let (ino, rest) = stamp.split_at_mut(8);
    ino.copy_from_slice(&identity.ino.to_le_bytes());
    rest.copy_from_slice(&generation.finish64().to_le_bytes());
    stamp
}

/// An entry of a directory, as a search remembers it.
#[derive(Debug)]
pub(super) struct Listed {
    name: NameBuf,
    kind: Option<NodeKind>,
    ino: u64,
}

/// A search below the root for a stamp.
pub(super) struct Search<'a> {
    shared: &'a Shared,
    stamp: Stamp,
    /// How many more entries are looked at.
    entries_left: usize,
    mounts_left: usize,
}

impl<'a> Search<'a> {
    pub(super) fn new(shared: &'a Shared, stamp: Stamp, entries_max: usize) -> Self {
        Self {
            shared,
            stamp,
            entries_left: entries_max,
            mounts_left: HINTED_MOUNTS_MAX,
        }
    }

    /// The way to the node, where the hints lead.
    pub(super) fn by_hints(&mut self, hints: &[u8]) -> Result<Option<Vec<Step>>, Halt> {
        let root = open_dir(self.shared.wall.root(), b".")?;
        let dev = self.shared.root_identity.dev;
        let mut way = Vec::new();
        let found = self.descend(root.as_fd(), dev, hints, &mut way)?;
        Ok(found.then_some(way))
    }

    fn descend(
        &mut self,
        dir: BorrowedFd<'_>,
        dev: (u32, u32),
        hints: &[u8],
        way: &mut Vec<Step>,
    ) -> Result<bool, Halt> {
        let path = path_of(way);
        let mut likely = Vec::new();
        let mut mounts = Vec::new();
        self.list(dir, |this, Listed { name, kind, ino }| {
            let maybe_directory = matches!(kind, None | Some(NodeKind::Directory));
            let is_likely = match (hints.first(), this.shared.options.keys) {
                (None, DirKeys::Inode) => this.stamp.starts_with(&ino.to_le_bytes()),
                (None, DirKeys::Name) => {
                    let path = join(&path, name);
                    StableHasher::new(domain::NAME_KEY).part(&path).finish128() == this.stamp
                }
                (Some(hint), DirKeys::Inode) => maybe_directory && inode_hint(*ino) == *hint,
                (Some(hint), DirKeys::Name) => maybe_directory && name_hint(name) == *hint,
            };
            if is_likely {
                likely.push(name.to_buf());
            } else if maybe_directory && this.shared.options.keys == DirKeys::Inode {
                // Where a file system is mounted, the listing shows the inode beneath it.
                mounts.push(name.to_buf());
            }
        })?;
        for name in likely {
            if let Some(step) = self.step(dir, &path, &name)?
                && self.enter(dir, step, hints, way)?
            {
                return Ok(true);
            }
        }
        for name in mounts {
            let Some(left) = self.mounts_left.checked_sub(1) else {
                break;
            };
            self.mounts_left = left;
            if let Some(step) = self.step(dir, &path, &name)?
                && step.stat.identity.dev != dev
                && hints
                    .first()
                    .is_none_or(|hint| inode_hint(step.stat.identity.ino) == *hint)
                && self.enter(dir, step, hints, way)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn enter(
        &mut self,
        dir: BorrowedFd<'_>,
        step: Step,
        hints: &[u8],
        way: &mut Vec<Step>,
    ) -> Result<bool, Halt> {
        let Some((_, below)) = hints.split_first() else {
            let found = step.stamp == self.stamp;
            if found {
                way.push(step);
            }
            return Ok(found);
        };
        let Some(child) = open_dir_if_allowed(dir, &step)? else {
            return Ok(false);
        };
        let dev = step.stat.identity.dev;
        way.push(step);
        let found = self.descend(child.as_fd(), dev, below, way)?;
        if !found {
            way.pop();
        }
        Ok(found)
    }

    /// The way to the node, wherever it was moved: everything is looked at, nearest first.
    pub(super) fn everywhere(&mut self) -> Result<Option<Vec<Step>>, Halt> {
        // The directories met, each with the one above it.
        let mut met: Vec<(Option<usize>, Step)> = Vec::new();
        let mut pending = VecDeque::from([None]);
        while let Some(here) = pending.pop_front() {
            let mut way = way_to(&met, here);
            let path = path_of(&way);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let dir = match self.shared.wall.open(&path, flags, Wait::Allowed) {
                Ok(dir) => dir,
                Err(Closed::Errno(
                    Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM,
                )) => continue,
                Err(Closed::Errno(errno)) => return Err(errno.into()),
                Err(Closed::Wait) => return Err(Halt::Wait),
            };
            let (mut likely, mut below) = (Vec::new(), Vec::new());
            self.list(dir.as_fd(), |this, Listed { name, kind, ino }| {
                if this.stamp.starts_with(&ino.to_le_bytes()) {
                    likely.push(name.to_buf());
                }
                if matches!(kind, None | Some(NodeKind::Directory)) {
                    below.push(name.to_buf());
                }
            })?;
            for name in likely {
                if let Some(step) = self.step(dir.as_fd(), &path, &name)?
                    && step.stamp == self.stamp
                {
                    way.push(step);
                    return Ok(Some(way));
                }
            }
            for name in below {
                if self.pay()
                    && let Some(step) = self.step(dir.as_fd(), &path, &name)?
                    && step.stat.kind == NodeKind::Directory
                {
                    pending.push_back(Some(met.len()));
                    met.push((here, step));
                }
            }
        }
        Ok(None)
    }

    fn pay(&mut self) -> bool {
        let left = self.entries_left.checked_sub(1);
        self.entries_left = left.unwrap_or(0);
        left.is_some()
    }

    /// Looks at each entry of a directory, as far as the search may go on.
    fn list(
        &mut self,
        dir: BorrowedFd<'_>,
        mut see: impl FnMut(&Self, &Listed),
    ) -> Result<(), Halt> {
        let stat = Stat::of(dir)?;
        // Not a node of the tree, but a number that stands for the directory.
        let number = StableHasher::new(domain::CHANGE)
            .number(stat.identity.ino)
            .number(u64::from(stat.identity.dev.0) << 32 | u64::from(stat.identity.dev.1));
        let attributes = stat.attributes(id(number.finish64()), 0);
        let listed = match self.shared.listed.get(&attributes) {
            Some(listed) => listed,
            None => {
                let mut listed = Vec::new();
                let whole = scan(dir, Cookie::START, 1024, |name, kind, ino, _| {
                    listed.push(Listed {
                        name: name.to_buf(),
                        kind,
                        ino,
                    });
                    Ok(listed.len() <= self.entries_left)
                })?;
                let listed = Arc::new(listed);
                if whole {
                    let all = Arc::clone(&listed);
                    self.shared.listed.put(&attributes, listed.len(), all);
                }
                listed
            }
        };
        for entry in listed.iter() {
            if !self.pay() {
                break;
            }
            see(self, entry);
        }
        Ok(())
    }

    fn step(&self, dir: BorrowedFd<'_>, path: &[u8], name: &Name) -> Result<Option<Step>, Halt> {
        let wall: &Wall = &self.shared.wall;
        let fd = match wall.open_piece(dir, name.as_bytes(), OFlags::PATH, Wait::Allowed) {
            Ok(fd) => fd,
            Err(Closed::Errno(Errno::NOENT | Errno::ACCESS)) => return Ok(None),
            Err(Closed::Errno(errno)) => return Err(errno.into()),
            Err(Closed::Wait) => return Err(Halt::Wait),
        };
        let stat = Stat::of(&fd)?;
        let fs = self.shared.file_system(stat.identity.dev, fd.as_fd())?;
        let stamp = stamp(
            self.shared.options.keys,
            &stat.identity,
            fs.tag,
            &join(path, name),
        );
        Ok(Some(Step {
            name: name.to_buf(),
            stat,
            stamp,
        }))
    }
}

fn way_to(met: &[(Option<usize>, Step)], last: Option<usize>) -> Vec<Step> {
    let mut way = Vec::new();
    let mut here = last;
    while let Some((above, step)) = here.and_then(|here| met.get(here)) {
        way.push(step.clone());
        here = *above;
    }
    way.reverse();
    way
}

fn path_of(way: &[Step]) -> Vec<u8> {
    way.iter()
        .fold(Vec::new(), |path, step| join(&path, &step.name))
}

pub(super) fn join(path: &[u8], name: &Name) -> Vec<u8> {
    let mut joined = Vec::with_capacity(path.len() + 1 + name.as_bytes().len());
    joined.extend_from_slice(path);
    push(&mut joined, name);
    joined
}

/// Makes a path lead on to a name.
pub(super) fn push(path: &mut Vec<u8>, name: &Name) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
}

/// Opens a directory that was reached already for listing.
pub(super) fn open_dir(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty())
}

fn open_dir_if_allowed(dir: BorrowedFd<'_>, step: &Step) -> Result<Option<OwnedFd>, Halt> {
    match open_dir(dir, step.name.as_bytes()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::super::SEARCHES_MAX;
    use crate::{DirTree, Name, Tree};

    /// Clients that come back after a restart leave threads to those who read. Without a runtime
    /// a search is made while it is polled, unless it has to wait for its turn.
    #[test]
    fn searches_wait_for_their_turn() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("f"), "x").expect("write");
        let mut context = Context::from_waker(Waker::noop());
        let build = || DirTree::new(dir.path()).expect("a directory");
        let (old, new) = (build(), build());
        let name = Name::new("f").expect("valid");
        let mut found = pin!(old.lookup(old.root(), name));
        let Poll::Ready(Ok(found)) = found.as_mut().poll(&mut context) else {
            panic!("not found");
        };
        let key = old.key(found.node).expect("shallow");
        let turns = u32::try_from(SEARCHES_MAX).expect("few");
        let turns = new.shared.searches.try_acquire_many(turns).expect("free");
        let mut search = pin!(new.resolve_key(&key));
        assert!(search.as_mut().poll(&mut context).is_pending());
        // What is known needs no search.
        let root = new.key(new.root()).expect("shallow");
        let mut known = pin!(new.resolve_key(&root));
        assert!(
            matches!(known.as_mut().poll(&mut context), Poll::Ready(Ok(node)) if node == new.root())
        );
        drop(turns);
        assert!(matches!(
            search.as_mut().poll(&mut context),
            Poll::Ready(Ok(_))
        ));
    }
}
