//! A directory's entries as searches for keys ask for them.

use std::os::fd::BorrowedFd;

use super::DirKeys;
use super::keys::hint_of;
use super::listing::scan;
use super::stat::Halt;
use crate::{Cookie, Name, NameBuf, NodeKind};

/// The entries of a directory: thousands of keys of a large one are found after a restart.
#[derive(Debug)]
pub(super) struct Listing {
    names: Vec<NameBuf>,
    /// Inodes and the places of their names, in order.
    by_inode: Vec<(u64, usize)>,
    /// Hints and the places of the names of what may be a directory.
    directories: Vec<(u8, usize)>,
}

impl Listing {
    /// The entries of an open directory, and whether these are all; at most one more than wanted.
    pub(super) fn of(
        dir: BorrowedFd<'_>,
        keys: DirKeys,
        entries_max: usize,
    ) -> Result<(Self, bool), Halt> {
        let mut listing = Self {
            names: Vec::new(),
            by_inode: Vec::new(),
            directories: Vec::new(),
        };
        let whole = scan(dir, Cookie::START, 1024, |name, kind, ino, _| {
            let place = listing.names.len();
            listing.names.push(name.to_buf());
            listing.by_inode.push((ino, place));
            if matches!(kind, None | Some(NodeKind::Directory)) {
                listing.directories.push((hint_of(keys, name, ino), place));
            }
            Ok(place < entries_max)
        })?;
        listing.by_inode.sort_unstable();
        Ok((listing, whole))
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter().map(|name| &**name)
    }

    /// The names of an inode.
    pub(super) fn of_inode(&self, ino: u64) -> impl Iterator<Item = &Name> {
        let begin = self.by_inode.partition_point(|(other, _)| *other < ino);
        let rest = self.by_inode.get(begin..).unwrap_or_default();
        let same = rest.iter().take_while(move |(other, _)| *other == ino);
        same.filter_map(|(_, place)| Some(&**self.names.get(*place)?))
    }

    /// What may be a directory, each with its hint.
    pub(super) fn directories(&self) -> impl Iterator<Item = (u8, &Name)> {
        let named = |(hint, place): &(u8, usize)| Some((*hint, &**self.names.get(*place)?));
        self.directories.iter().filter_map(named)
    }
}
