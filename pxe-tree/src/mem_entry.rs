//! What is put into a tree in memory, and how much of it.

use bytes::Bytes;

use crate::{ErrorKind, NodeKind, Timestamp};

/// Bounds of a [`MemTree`](crate::MemTree); an insertion beyond one is refused with [`ErrorKind::Busy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemLimits {
    /// Nodes, the root included; 1,048,576 by default.
    pub nodes_max: usize,
    /// Bytes of all contents, link targets and names together; 4 GiB by default.
    pub bytes_max: u64,
}

impl Default for MemLimits {
    fn default() -> Self {
        Self {
            nodes_max: 1 << 20,
            bytes_max: 4 << 30,
        }
    }
}

impl MemLimits {
    /// The default bounds, with that many nodes.
    #[must_use]
    pub const fn with_nodes_max(mut self, nodes_max: usize) -> Self {
        self.nodes_max = nodes_max;
        self
    }

    /// The same bounds, with that many bytes.
    #[must_use]
    pub const fn with_bytes_max(mut self, bytes_max: u64) -> Self {
        self.bytes_max = bytes_max;
        self
    }
}

/// What is put into a [`MemTree`](crate::MemTree).
#[derive(Debug, Clone)]
pub struct MemEntry {
    pub(crate) content: EntryContent,
    pub(crate) mode: Option<u32>,
    pub(crate) owner: (u32, u32),
    pub(crate) modified: Timestamp,
}

/// The part of an entry that depends on its kind.
#[derive(Debug, Clone)]
pub(crate) enum EntryContent {
    File(Bytes),
    Link(Bytes),
    Directory,
    Special(NodeKind, (u32, u32)),
}

impl MemEntry {
    const fn new(content: EntryContent) -> Self {
        Self {
            content,
            mode: None,
            owner: (0, 0),
            modified: Timestamp::from_seconds(0),
        }
    }

    /// A file of this content, with mode 0o444.
    pub fn file(content: impl Into<Bytes>) -> Self {
        Self::new(EntryContent::File(content.into()))
    }

    /// A symbolic link to this target.
    pub fn link(target: impl Into<Bytes>) -> Self {
        Self::new(EntryContent::Link(target.into()))
    }

    /// A directory, with mode 0o555.
    pub const fn directory() -> Self {
        Self::new(EntryContent::Directory)
    }

    /// A device (with its major and minor number), a pipe or a socket: listed, never opened.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for files, links and directories.
    pub const fn special(kind: NodeKind, rdev: (u32, u32)) -> Result<Self, ErrorKind> {
        match kind {
            NodeKind::File | NodeKind::Link | NodeKind::Directory => Err(ErrorKind::Unsupported),
            _ => Ok(Self::new(EntryContent::Special(kind, rdev))),
        }
    }

    /// The same with these permission bits (`0o7777` at most; more are dropped).
    #[must_use]
    pub const fn with_mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode & 0o7777);
        self
    }

    /// The same with these numbers of owner and group.
    #[must_use]
    pub const fn with_owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// The same, last modified then.
    #[must_use]
    pub const fn with_modified(mut self, modified: Timestamp) -> Self {
        self.modified = modified;
        self
    }

    pub(crate) fn kind(&self) -> NodeKind {
        match self.content {
            EntryContent::File(_) => NodeKind::File,
            EntryContent::Link(_) => NodeKind::Link,
            EntryContent::Directory => NodeKind::Directory,
            EntryContent::Special(kind, _) => kind,
        }
    }

    pub(crate) const fn bytes(&self) -> u64 {
        match &self.content {
            EntryContent::File(bytes) | EntryContent::Link(bytes) => bytes.len() as u64,
            EntryContent::Directory | EntryContent::Special(..) => 0,
        }
    }
}
