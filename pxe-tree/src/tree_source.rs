//! A source that answers from a tree.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{ErrorKind, FileRequest, NodeKind, Opened, Resolver, Result, Source, Tree, TreePath};

/// Serves the files of a tree, the same to each client.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use pxe_tree::{MemTree, TreePath, TreeSource};
///
/// let tree = Arc::new(MemTree::new());
/// let tftp = TreeSource::new(tree.clone()).with_root_path(TreePath::parse("/srv/tftp")?);
/// // A web server whose document root is /srv/tftp/os, with links into all of /srv/tftp:
/// let http = tftp.clone().with_base(TreePath::parse("os")?);
/// # let _ = http;
/// # Ok::<(), pxe_tree::ErrorKind>(())
/// ```
#[derive(Debug, Clone)]
pub struct TreeSource {
    tree: Arc<dyn Tree>,
    resolver: Resolver,
}

impl TreeSource {
    /// Serves this tree.
    pub fn new(tree: Arc<dyn Tree>) -> Self {
        Self {
            tree,
            resolver: Resolver::new(),
        }
    }

    /// The same, as [`Resolver::with_root_path`] says.
    #[must_use]
    pub fn with_root_path(mut self, root_path: TreePath) -> Self {
        self.resolver = self.resolver.with_root_path(root_path);
        self
    }

    /// The same, as [`Resolver::with_base`] says.
    #[must_use]
    pub fn with_base(mut self, base: TreePath) -> Self {
        self.resolver = self.resolver.with_base(base);
        self
    }

    /// The tree.
    pub const fn tree(&self) -> &Arc<dyn Tree> {
        &self.tree
    }

    /// How it walks the tree.
    pub const fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    async fn open_path(&self, path: &TreePath) -> Result<Opened> {
        if let Some(blob) = self.resolver.open_again(&*self.tree, path) {
            return Ok(Opened::File(blob));
        }
        let found = self.resolver.resolve(&*self.tree, path).await?.attributes;
        match found.kind {
            NodeKind::Directory => Ok(Opened::Directory(Arc::clone(&self.tree), found.node)),
            _ => Ok(Opened::File(self.tree.open(found.node).await?)),
        }
    }
}

#[async_trait]
impl Source for TreeSource {
    async fn open(&self, request: &FileRequest<'_>) -> Result<Opened> {
        match self.open_path(request.path).await {
            // Replaced between lookup and opening, as a rename does it: the new file will do.
            Err(error) if error.kind() == ErrorKind::Stale => self.open_path(request.path).await,
            done => done,
        }
        .map_err(|error| error.at(request.path))
    }

    fn open_now(&self, request: &FileRequest<'_>) -> Option<Result<Opened>> {
        let blob = self.resolver.open_again(&*self.tree, request.path)?;
        Some(Ok(Opened::File(blob)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemEntry, MemTree, Protocol};

    #[tokio::test]
    async fn files_directories_and_refusals() {
        let tree = Arc::new(MemTree::new());
        tree.insert_file("os/linux", "kernel").expect("free");
        tree.insert_link("bios/os", "../os").expect("free");
        let fifo = MemEntry::special(NodeKind::Fifo, (0, 0)).expect("a special kind");
        tree.insert("os/fifo", fifo).expect("free");
        let source = TreeSource::new(Arc::clone(&tree) as Arc<dyn Tree>)
            .with_root_path(TreePath::parse("/srv/tftp").expect("valid"));
        let open = async |path: &str| {
            let path = TreePath::parse(path).expect("valid");
            let remote = ([127, 0, 0, 1], 2070).into();
            let request = FileRequest::new(Protocol::Tftp, remote, &path);
            source.open(&request).await
        };
        let Ok(Opened::File(blob)) = open("/srv/tftp/bios/os/linux").await else {
            panic!("a file");
        };
        assert_eq!(blob.read_at(0, 100).await.expect("in memory"), "kernel");
        assert!(matches!(open("bios/os").await, Ok(Opened::Directory(..))));
        let error = open("os/fifo").await.expect_err("cannot be read");
        assert_eq!(error.to_string(), "/os/fifo: not a regular file");
        let error = open("x").await.expect_err("nothing there");
        assert_eq!(error.to_string(), "/x: no such file or directory");
    }
}
