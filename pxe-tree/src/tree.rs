//! The trait of everything that has directories and files.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Attributes, Blob, Capacity, Cookie, DirPage, ErrorKind, ListedEntry, ListedPage, Name, NodeId,
    NodeKey, Result, TreePath,
};

/// A read-only namespace of nodes: a directory, the inside of an image, generated files, or a
/// composition of these.
///
/// Every method answers for one node and follows no symbolic link; [`resolve`](crate::resolve())
/// walks paths. An id that the tree does not know (any more) gives
/// [`ErrorKind::Stale`]. [`conformance`](crate::conformance) tests what
/// is written here.
#[async_trait]
pub trait Tree: Debug + Send + Sync + 'static {
    /// The root directory; the same for as long as the tree lives, and never forgotten.
    fn root(&self) -> NodeId;

    /// The node of this name in a directory; a link itself, not what it points to.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `PermissionDenied`, `Stale`, `Io`.
    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes>;

    /// What is known of a node now.
    ///
    /// # Errors
    /// `Stale`, `PermissionDenied`, `Io`.
    async fn attributes(&self, node: NodeId) -> Result<Attributes>;

    /// At most `entries_max` entries of a directory, after the position `after`.
    ///
    /// A page may be shorter than `entries_max` without being the last: only
    /// [`DirPage::end`] says so. A page that is not the last holds at least one entry; an
    /// `entries_max` of 0 counts as 1.
    ///
    /// # Errors
    /// `NotADirectory`, `BadCookie`, `PermissionDenied`, `Stale`, `Io`.
    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage>;

    /// The target of a symbolic link: its bytes as they are, absolute, relative or dangling.
    ///
    /// # Errors
    /// `NotALink`, `Stale`, `PermissionDenied`, `Io`.
    async fn read_link(&self, node: NodeId) -> Result<Bytes>;

    /// Opens a regular file. Opening the same file again may give the same blob.
    ///
    /// # Errors
    /// `IsADirectory`, `NotAFile` (also for a link), `PermissionDenied`, `Stale`, `Busy`, `Io`.
    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>>;

    /// The file that this path led to when it was opened a moment ago, if its names lead to it still
    /// and it is unchanged: the same as looking up one name after the other and opening what is
    /// there, without links on the way. It waits for nothing. `None` where that would have to be
    /// done, and by default.
    fn open_again(&self, path: &TreePath) -> Option<Arc<dyn Blob>> {
        let _ = path;
        None
    }

    /// The node's name beyond the life of this process.
    ///
    /// # Errors
    /// `Stale`, or `Unsupported` if the node is too deep for a key.
    fn key(&self, node: NodeId) -> Result<NodeKey>;

    /// The node of a key that this tree, or one built alike (before a restart, on another
    /// server), has made. A key never resolves to another file than the one that it was made for,
    /// as far as the tree can tell files apart; each says how it does.
    ///
    /// # Errors
    /// `Stale` if the node is gone, `BadKey` if no such tree made the key.
    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId>;

    /// What is known now of the node of a key: [`resolve_key`](Self::resolve_key) and
    /// [`attributes`](Self::attributes) in one step, with which every NFS call begins.
    ///
    /// # Errors
    /// Those of both.
    async fn attributes_of_key(&self, key: &NodeKey) -> Result<Attributes> {
        let node = self.resolve_key(key).await?;
        self.attributes(node).await
    }

    /// What a key's directory was a moment ago, where that is remembered: enough to say whether its
    /// names may be looked up, and not for a client that asks for attributes. A directory that was
    /// moved or changed by the tree itself is not remembered. `None` by default.
    fn recent_directory(&self, key: &NodeKey) -> Option<Attributes> {
        let _ = key;
        None
    }

    /// The directory above a directory (`..`); the root's is the root.
    ///
    /// # Errors
    /// `NotADirectory`, `Stale`, `Io`; `Unsupported` by default.
    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        match dir == self.root() {
            true => Ok(dir),
            false => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// As [`read_dir`](Self::read_dir), with what is known of each entry.
    ///
    /// # Errors
    /// As [`read_dir`](Self::read_dir).
    async fn read_dir_attributes(
        &self,
        dir: NodeId,
        after: Cookie,
        entries_max: usize,
    ) -> Result<ListedPage> {
        let page = self.read_dir(dir, after, entries_max).await?;
        Ok(with_attributes(self, dir, page).await)
    }

    /// How much the file system of a node holds; all 0 by default, as trees have it that are not
    /// written to.
    ///
    /// # Errors
    /// `Stale`, `Io`.
    async fn capacity(&self, node: NodeId) -> Result<Capacity> {
        let _ = node;
        Ok(Capacity::default())
    }
}

/// A page of a directory with what a lookup of each entry says.
pub(crate) async fn with_attributes<T>(tree: &T, dir: NodeId, page: DirPage) -> ListedPage
where
    T: Tree + ?Sized,
{
    let mut entries = Vec::with_capacity(page.entries.len());
    for entry in page.entries {
        let attributes = tree.lookup(dir, &entry.name).await.ok();
        entries.push(ListedEntry::new(entry, attributes));
    }
    ListedPage::new(entries, page.end)
}
