//! Keys of a directory's nodes.
//!
//! A key is a tag, the node's stamp, and one byte for each directory between the root and the
//! node: a hint by which the search skips directories that it cannot be in, as unfs3 does it.
//! - Keys by inode: the stamp is the inode and a hash of file system and birth; hints are made of
//!   the directories' inodes, so that directories may be renamed too.
//! - Keys by name: the stamp is a hash of the path, hints are made of the directories' names.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::DirKeys;
use super::stat::Identity;
use super::table::Stamp;
use crate::stable_hash::{StableHasher, domain};
use crate::{ErrorKind, Name, NodeKey};

const TAG_INODE: u8 = b'i';
const TAG_NAME: u8 = b'p';
const STAMP_END: usize = 1 + size_of::<Stamp>();

pub(super) fn encode(keys: DirKeys, stamp: Stamp, hints: &[u8]) -> Result<NodeKey, ErrorKind> {
    let mut key = Vec::with_capacity(NodeKey::LEN_MAX);
    key.push(tag(keys));
    key.extend_from_slice(&stamp);
    key.extend_from_slice(hints);
    NodeKey::new(&key).map_err(|_| ErrorKind::Unsupported)
}

/// The hint of a directory above a node.
pub(super) fn hint_of(keys: DirKeys, name: &Name, ino: u64) -> u8 {
    match keys {
        DirKeys::Inode => inode_hint(ino),
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

pub(super) fn inode_hint(ino: u64) -> u8 {
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

pub(super) fn join(path: &[u8], name: &Name) -> Vec<u8> {
    let mut joined = Vec::with_capacity(path.len() + 1 + name.as_bytes().len());
    joined.extend_from_slice(path);
    push(&mut joined, name);
    joined
}

/// The inode of a stamp of [`DirKeys::Inode`].
pub(super) fn ino_of(stamp: &Stamp) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *stamp;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
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
