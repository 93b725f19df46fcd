//! What identifies a node, and what is known of it.

use std::fmt;
use std::num::NonZeroU64;

use crate::{ErrorKind, NameBuf};

/// A node of one tree in this process: never 0, and meaningless in another process.
///
/// A tree may forget an id that was not used for long (its table is bounded), and then answers
/// [`ErrorKind::Stale`]; whoever holds a [`NodeKey`] or a path finds the node again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// The id of this number.
    pub const fn new(number: NonZeroU64) -> Self {
        Self(number)
    }

    /// The number of this id.
    pub const fn get(self) -> NonZeroU64 {
        self.0
    }
}

/// A name of a node that survives a restart of the server: at most [`NodeKey::LEN_MAX`] opaque
/// bytes, made and read by the tree alone.
///
/// NFS file handles carry it, so that a diskless machine does not notice that its server was
/// restarted. It is no secret and no proof of access: whoever sends it out signs it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    len: u8,
    // Bytes beyond `len` are zero, so that equality and order can be derived.
    bytes: [u8; Self::LEN_MAX],
}

impl NodeKey {
    /// The longest key, in bytes. NFSv3 handles have 64 (RFC 1813 section 2.4); the rest is for
    /// the export's number and a signature.
    pub const LEN_MAX: usize = 40;

    /// The key of these bytes.
    ///
    /// # Errors
    /// [`ErrorKind::BadKey`] if there are more than [`Self::LEN_MAX`].
    pub fn new(key: &[u8]) -> Result<Self, ErrorKind> {
        let mut bytes = [0; Self::LEN_MAX];
        bytes
            .get_mut(..key.len())
            .ok_or(ErrorKind::BadKey)?
            .copy_from_slice(key);
        let len = u8::try_from(key.len()).map_err(|_| ErrorKind::BadKey)?;
        Ok(Self { len, bytes })
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; [`Tree::read_link`](crate::Tree::read_link) gives its target.
    Link,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
}

/// A point of civil time with nanoseconds, as file systems keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[allow(clippy::exhaustive_structs)] // it is complete
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z, negative before.
    pub seconds: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    pub nanos: u32,
}

impl Timestamp {
    /// A time of whole seconds since 1970-01-01T00:00:00Z.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }
}

/// Everything that is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attributes {
    /// The node, in this process.
    pub node: NodeId,
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of a file's content or of a link's target; for a directory, what its tree says.
    pub len: u64,
    /// Bytes that it takes on its medium, where the tree knows that: less than
    /// [`len`](Self::len) for a file with holes.
    pub used: Option<u64>,
    /// Permission bits: `0o7777` at most. Read-only trees without modes give 0o444 to files and
    /// 0o555 to directories.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// How many names the node has.
    pub nlink: u32,
    /// Major and minor number of a device; (0, 0) for all else.
    pub rdev: (u32, u32),
    /// The file system that the node lies on, stable over restarts and different for each tree
    /// that is mounted into another.
    pub fsid: u64,
    /// The node's number on that file system (the inode), stable over restarts.
    pub fileid: u64,
    /// Last read (`atime`).
    pub accessed: Timestamp,
    /// Last change of content (`mtime`).
    pub modified: Timestamp,
    /// Last change of content or attributes (`ctime`).
    pub changed: Timestamp,
    /// A stamp that differs whenever content or attributes were changed; equal stamps of one node
    /// promise equal content as far as its file system's clock is fine enough.
    pub change: u64,
    /// Whether each directory in this one is made by somebody who is not to be trusted with the rest
    /// of the tree: links in it lead no further than it does (see
    /// [`Resolver`](crate::Resolver)).
    pub confines_entries: bool,
}

impl Attributes {
    /// Attributes of a node whose tree keeps none: read-only mode, owner 0, one name, times 0.
    pub const fn new(node: NodeId, kind: NodeKind, len: u64) -> Self {
        let mode = match kind {
            NodeKind::Directory => 0o555,
            NodeKind::Link => 0o777,
            _ => 0o444,
        };
        Self {
            node,
            kind,
            len,
            used: None,
            mode,
            uid: 0,
            gid: 0,
            nlink: 1,
            rdev: (0, 0),
            fsid: 0,
            fileid: node.get().get(),
            accessed: Timestamp::from_seconds(0),
            modified: Timestamp::from_seconds(0),
            changed: Timestamp::from_seconds(0),
            change: 0,
            confines_entries: false,
        }
    }
}

/// A position in a directory: where the next page of [`Tree::read_dir`](crate::Tree::read_dir)
/// begins.
///
/// Cookies of one directory are unique and stay valid while entries come and go, in the sense of
/// POSIX `seekdir` within one server and one directory: what was there all the time is listed
/// exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a plain number, made by every tree
pub struct Cookie(pub u64);

impl Cookie {
    /// The beginning of a directory.
    pub const START: Self = Self(0);
}

/// One entry of a directory; `.` and `..` are not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirEntry {
    /// The entry's name.
    pub name: NameBuf,
    /// Where the listing goes on after this entry; never [`Cookie::START`], nor one of the two
    /// highest numbers, which protocols that list `.` and `..` need.
    pub cookie: Cookie,
    /// What it is.
    pub kind: NodeKind,
    /// As [`Attributes::fileid`].
    pub fileid: u64,
}

impl DirEntry {
    /// An entry of a listing.
    pub const fn new(name: NameBuf, cookie: Cookie, kind: NodeKind, fileid: u64) -> Self {
        Self {
            name,
            cookie,
            kind,
            fileid,
        }
    }
}

/// A part of a directory's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirPage {
    /// The entries, in the directory's own order.
    pub entries: Vec<DirEntry>,
    /// Whether nothing follows. If false, ask again after the last entry's cookie.
    pub end: bool,
}

impl DirPage {
    /// A page of a listing; `end` says that nothing follows.
    pub const fn new(entries: Vec<DirEntry>, end: bool) -> Self {
        Self { entries, end }
    }
}

/// One entry of a directory with what is known of its node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedEntry {
    /// The entry.
    pub entry: DirEntry,
    /// What [`Tree::lookup`](crate::Tree::lookup) would say; `None` if that would fail.
    pub attributes: Option<Attributes>,
}

impl ListedEntry {
    /// An entry and its attributes.
    pub const fn new(entry: DirEntry, attributes: Option<Attributes>) -> Self {
        Self { entry, attributes }
    }
}

/// A part of a directory's entries with their attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedPage {
    /// The entries, in the directory's own order.
    pub entries: Vec<ListedEntry>,
    /// As [`DirPage::end`].
    pub end: bool,
}

impl ListedPage {
    /// A page of a listing; `end` says that nothing follows.
    pub const fn new(entries: Vec<ListedEntry>, end: bool) -> Self {
        Self { entries, end }
    }
}

/// How much a file system holds, and how much more it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capacity {
    /// Bytes in all.
    pub bytes_total: u64,
    /// Bytes that are free.
    pub bytes_free: u64,
    /// Bytes that are free to those who are not root.
    pub bytes_available: u64,
    /// Nodes in all.
    pub nodes_total: u64,
    /// Nodes that can be made still.
    pub nodes_free: u64,
    /// The same for those who are not root.
    pub nodes_available: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_compare_by_content() {
        let key = NodeKey::new(b"abc").expect("short enough");
        assert_eq!(key.as_bytes(), b"abc");
        assert_ne!(key, NodeKey::new(b"abc\0").expect("short enough"));
        assert_eq!(
            NodeKey::new(&[1; 40]).map(|key| key.as_bytes().len()),
            Ok(40)
        );
        assert_eq!(NodeKey::new(&[1; 41]), Err(ErrorKind::BadKey));
        assert_eq!(NodeKey::new(&[1; 300]), Err(ErrorKind::BadKey));
    }
}
