//! How the node of a key is found again: by its hints, or by looking at everything.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::keys::{ino_of, inode_hint, join, open_dir, stamp};
use super::search_listing::Listing;
use super::stat::{Halt, Stat, Wait};
use super::table::Stamp;
use super::wall::{Closed, Wall};
use super::{DirKeys, HINTED_MOUNTS_MAX, Shared};
use crate::id_table::id;
use crate::stable_hash::{StableHasher, domain};
use crate::{Attributes, Error, ErrorKind, Name, NameBuf, NodeKind};

/// One name on the way to what was found.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) name: NameBuf,
    pub(super) stat: Stat,
    pub(super) stamp: Stamp,
}

/// A search below the root for a stamp.
///
/// What cannot be looked at (a dead mount, a damaged directory) hides what is in it and nothing
/// else: the search goes on beside it. It is told only if nothing was found.
pub(super) struct Search<'a> {
    shared: &'a Shared,
    stamp: Stamp,
    /// How many more entries are looked at.
    entries_left: usize,
    mounts_left: usize,
    hidden: Option<Error>,
}

impl<'a> Search<'a> {
    pub(super) fn new(shared: &'a Shared, stamp: Stamp, entries_max: usize) -> Self {
        Self {
            shared,
            stamp,
            entries_left: entries_max,
            mounts_left: HINTED_MOUNTS_MAX,
            hidden: None,
        }
    }

    /// Why something could not be looked at, where the node may be.
    pub(super) fn into_hidden(self) -> Option<Error> {
        self.hidden
    }

    /// Goes on after an entry that could not be looked at, unless it is this process that is short
    /// of something.
    fn pass<T>(&mut self, looked: Result<T, Halt>) -> Result<Option<T>, Halt> {
        match looked {
            Ok(seen) => Ok(Some(seen)),
            Err(Halt::Error(error)) if error.kind() != ErrorKind::Busy => {
                self.hidden.get_or_insert(error);
                Ok(None)
            }
            Err(halt) => Err(halt),
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
        let attributes = number_of(dir)?;
        // Thousands of keys of a directory that changed just now: an old listing leads to most.
        if hints.is_empty()
            && let Some((listing, holds)) = self.shared.listed.latest(&attributes)
            && !holds
            && self.try_likely(dir, &listing, hints, way)?
        {
            return Ok(true);
        }
        let listing = self.list(dir, &attributes)?;
        if self.try_likely(dir, &listing, hints, way)? {
            return Ok(true);
        }
        if self.shared.options.keys == DirKeys::Name {
            return Ok(false);
        }
        // Where a file system is mounted, the listing shows the inode beneath it.
        let path = path_of(way);
        for (_, name) in listing.directories() {
            let Some(left) = self.mounts_left.checked_sub(1) else {
                break;
            };
            self.mounts_left = left;
            if let Some(step) = self.step(dir, &path, name)?
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

    /// Looks at the entries of a listing that may lead to the node.
    fn try_likely(
        &mut self,
        dir: BorrowedFd<'_>,
        listing: &Listing,
        hints: &[u8],
        way: &mut Vec<Step>,
    ) -> Result<bool, Halt> {
        let path = path_of(way);
        let likely: Vec<&Name> = match (hints.first(), self.shared.options.keys) {
            (Some(hint), _) => {
                let directories = listing.directories();
                let hinted = directories.filter(|(other, _)| other == hint);
                hinted.map(|(_, name)| name).collect()
            }
            (None, DirKeys::Inode) => listing.of_inode(ino_of(&self.stamp)).collect(),
            (None, DirKeys::Name) => {
                let is_it = |name: &&Name| {
                    let path = join(&path, name);
                    StableHasher::new(domain::NAME_KEY).part(&path).finish128() == self.stamp
                };
                listing.names().filter(is_it).collect()
            }
        };
        for name in likely {
            if let Some(step) = self.step(dir, &path, name)?
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
        let opened = open_dir_if_allowed(dir, &step);
        let Some(child) = self.pass(opened)?.flatten() else {
            return Ok(false);
        };
        let dev = step.stat.identity.dev;
        let depth = way.len();
        way.push(step);
        let found = self.descend(child.as_fd(), dev, below, way);
        let found = self.pass(found)?.unwrap_or(false);
        if !found {
            way.truncate(depth);
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
            let listed = self.list_path(&path);
            let Some((dir, listing)) = self.pass(listed)?.flatten() else {
                continue;
            };
            for name in listing.of_inode(ino_of(&self.stamp)) {
                if let Some(step) = self.step(dir.as_fd(), &path, name)?
                    && step.stamp == self.stamp
                {
                    way.push(step);
                    return Ok(Some(way));
                }
            }
            for (_, name) in listing.directories() {
                if self.pay(1)
                    && let Some(step) = self.step(dir.as_fd(), &path, name)?
                    && step.stat.kind == NodeKind::Directory
                {
                    pending.push_back(Some(met.len()));
                    met.push((here, step));
                }
            }
        }
        Ok(None)
    }

    fn list_path(&mut self, path: &[u8]) -> Result<Option<(OwnedFd, Arc<Listing>)>, Halt> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let dir = match self.shared.wall.open(path, flags, Wait::Allowed) {
            Ok(dir) => dir,
            Err(Closed::Errno(
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM,
            )) => return Ok(None),
            Err(Closed::Errno(errno)) => return Err(errno.into()),
            Err(Closed::Wait) => return Err(Halt::Wait),
        };
        let listing = self.list(dir.as_fd(), &number_of(dir.as_fd())?)?;
        Ok(Some((dir, listing)))
    }

    fn pay(&mut self, entries: usize) -> bool {
        let left = self.entries_left.checked_sub(entries);
        self.entries_left = left.unwrap_or(0);
        left.is_some()
    }

    /// The entries of a directory, as far as the search may go on.
    fn list(&mut self, dir: BorrowedFd<'_>, attributes: &Attributes) -> Result<Arc<Listing>, Halt> {
        let listing = match self.shared.listed.latest(attributes) {
            Some((listing, true)) if listing.len() <= self.entries_left => listing,
            _ => {
                let (listing, whole) =
                    Listing::of(dir, self.shared.options.keys, self.entries_left)?;
                let listing = Arc::new(listing);
                if whole {
                    let all = Arc::clone(&listing);
                    self.shared.listed.put(attributes, listing.len(), all);
                }
                listing
            }
        };
        self.pay(listing.len());
        Ok(listing)
    }

    /// What lies under a name; `None` if there is nothing, or nothing that can be looked at.
    fn step(
        &mut self,
        dir: BorrowedFd<'_>,
        path: &[u8],
        name: &Name,
    ) -> Result<Option<Step>, Halt> {
        let looked = self.look(dir, path, name);
        Ok(self.pass(looked)?.flatten())
    }

    fn look(&self, dir: BorrowedFd<'_>, path: &[u8], name: &Name) -> Result<Option<Step>, Halt> {
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

/// What stands for an open directory in the cache of listings: no node of the tree, but a number
/// made of the inode's.
fn number_of(dir: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    let stat = Stat::of(dir)?;
    let number = StableHasher::new(domain::CHANGE)
        .number(stat.identity.ino)
        .number(u64::from(stat.identity.dev.0) << 32 | u64::from(stat.identity.dev.1));
    Ok(stat.attributes(id(number.finish64()), 0))
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
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::super::SEARCHES_MAX;
    use super::super::misses::Misses;
    use crate::{DirTree, ErrorKind, Name, Tree, TreePath, WriteTree, resolve};

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

    /// Clients ask again and again for files that they had open: each time would be a search.
    #[tokio::test]
    async fn what_is_gone_is_not_searched_for_again_at_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("d")).expect("create");
        std::fs::write(at("d/f"), "x").expect("write");
        let away = dir.path().with_extension("away");
        let mut tree = DirTree::new(at("")).expect("a directory");
        let shared = Arc::get_mut(&mut tree.shared).expect("nobody else has it");
        shared.misses = Misses::new(Duration::from_secs(3600));
        let path = TreePath::parse("d/f").expect("valid");
        let found = resolve(&tree, &path).await.expect("there").attributes;
        let root = tree.root();
        let key = tree.key(found.node).expect("shallow");
        std::fs::rename(at("d/f"), &away).expect("rename");
        let gone = tree.attributes_of_key(&key).await.expect_err("gone");
        assert_eq!(gone.kind(), ErrorKind::Stale);
        let turns = u32::try_from(SEARCHES_MAX).expect("few");
        let turns = tree.shared.searches.try_acquire_many(turns).expect("free");
        // It needs no turn.
        let gone = tree.attributes_of_key(&key).await.expect_err("gone");
        assert_eq!(gone.kind(), ErrorKind::Stale);
        drop(turns);
        // Back again, not through the tree; then its directory is renamed through it.
        std::fs::rename(&away, at("d/back")).expect("rename");
        let gone = tree.attributes_of_key(&key).await.expect_err("not yet");
        assert_eq!(gone.kind(), ErrorKind::Stale);
        let [d, e] = ["d", "e"].map(|name| Name::new(name).expect("valid"));
        tree.rename(root, d, root, e).await.expect("rename");
        let again = tree.attributes_of_key(&key).await.expect("there");
        assert_eq!(again.fileid, found.fileid);
    }

    /// A mount whose server is gone gives errors to whoever looks at it; that hides what is in it
    /// alone.
    #[tokio::test]
    async fn a_dead_mount_hides_what_is_in_it_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        for name in ["a", "b", "c", "dead", "c/dead"] {
            std::fs::create_dir(at(name)).expect("create");
        }
        let names = ["a/moved", "a/removed", "a/stays", "dead/hidden"];
        let old = DirTree::new(dir.path()).expect("a directory");
        let mut keys = Vec::new();
        for name in names {
            std::fs::write(at(name), name).expect("write");
            let path = TreePath::parse(name).expect("valid");
            let found = resolve(&old, &path).await.expect("there").attributes;
            keys.push((old.key(found.node).expect("shallow"), found.fileid));
        }
        std::fs::rename(at("a/moved"), at("b/moved")).expect("rename");
        std::fs::remove_file(at("a/removed")).expect("remove");
        let new = DirTree::new(dir.path()).expect("a directory");
        new.shared
            .wall
            .broken
            .set(b"dead")
            .expect("whole until now");
        let mut seen = Vec::new();
        for (key, fileid) in &keys {
            let found = new.attributes_of_key(key).await;
            let found = found.map(|found| found.fileid == *fileid);
            seen.push(found.map_err(|error| error.kind()));
        }
        // What was removed may have been moved into the dead mount: nobody can tell.
        let hidden = Err(ErrorKind::Io);
        assert_eq!(seen, [Ok(true), hidden, Ok(true), hidden]);
    }
}
