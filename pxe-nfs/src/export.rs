//! What is exported, to whom, and how.

use std::net::IpAddr;
use std::sync::Arc;

use pxe_tree::{ErrorKind, NodeId, NodeKind, Tree, TreePath, WriteTree};

use crate::handle::ExportId;
use crate::{ExportClient, ExportOptions};

/// A directory that clients may mount, and every directory below it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Export {
    /// What clients call it: an absolute path, without a slash at its end; `/` is one.
    pub(crate) path: Vec<u8>,
    pub(crate) id: ExportId,
    pub(crate) tree: Arc<dyn Tree>,
    /// The same tree, if it can be written to.
    pub(crate) write: Option<Arc<dyn WriteTree>>,
    /// The exported directory of the tree.
    pub(crate) root: TreePath,
    pub(crate) clients: Vec<ExportClient>,
    pub(crate) is_listed: bool,
}

impl Export {
    /// A tree under the path by which clients mount it. Nobody may, until
    /// [`to`](Self::to) says who.
    ///
    /// Doubled slashes and those at the end are dropped from the path.
    pub fn new(path: impl AsRef<[u8]>, tree: Arc<dyn Tree>) -> Self {
        let path = crate::mount::normal(path.as_ref());
        Self {
            id: ExportId::of(&path, &TreePath::ROOT),
            path,
            tree,
            write: None,
            root: TreePath::ROOT,
            clients: Vec::new(),
            is_listed: true,
        }
    }

    /// The same for a tree that can be written to, by clients whose options say `rw`.
    pub fn writable(path: impl AsRef<[u8]>, tree: Arc<dyn WriteTree>) -> Self {
        let mut export = Self::new(path, Arc::clone(&tree) as _);
        export.write = Some(tree);
        export
    }

    /// The same, of a directory within the tree. `..` of that directory is itself to clients, and
    /// handles that they were given of another directory's export, under the same path, hold no
    /// more.
    #[must_use]
    pub fn with_root(mut self, root: TreePath) -> Self {
        self.id = ExportId::of(&self.path, &root);
        self.root = root;
        self
    }

    /// The same, for these clients too.
    #[must_use]
    pub fn to(mut self, client: ExportClient) -> Self {
        self.clients.push(client);
        self
    }

    /// The same, but `showmount -e` does not tell it.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.is_listed = false;
        self
    }

    /// What clients call it.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The exported directory: what `..` of it is, too.
    ///
    /// # Errors
    /// As [`pxe_tree::resolve`], if it is not there (any more), or no directory.
    pub(crate) async fn root_node(&self) -> pxe_tree::Result<NodeId> {
        if self.root.is_root() {
            return Ok(self.tree.root());
        }
        let root = pxe_tree::resolve(&*self.tree, &self.root).await?.attributes;
        match root.kind {
            NodeKind::Directory => Ok(root.node),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// The options that hold for a client: those of the longest network that it is in.
    pub fn options(&self, client: IpAddr) -> Option<&ExportOptions> {
        let matching = self
            .clients
            .iter()
            .filter(|rule| rule.network.contains(client));
        let best = matching.max_by_key(|rule| rule.network.prefix_len());
        best.map(|rule| &rule.options)
    }
}
