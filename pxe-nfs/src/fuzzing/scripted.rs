//! A tree that can be written to, as far as anybody can tell from one answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tree::{
    Attributes, Blob, Cookie, Creation, DirPage, ErrorKind, MemTree, Name, NodeId, NodeKey,
    NodeKind, Result, SetAttributes, Stability, Tree, WriteTree,
};

/// Reads are those of a tree in memory; changes end as it is told, and change nothing.
#[derive(Debug)]
pub(super) struct Scripted {
    tree: MemTree,
    next: AtomicU8,
}

impl Scripted {
    pub(super) fn new(tree: MemTree) -> Self {
        let next = AtomicU8::new(0);
        Self { tree, next }
    }

    /// How the changes to come end: well up to 127, else with an error.
    pub(super) fn set_next(&self, next: u8) {
        self.next.store(next, Ordering::Relaxed);
    }

    fn check(&self) -> Result<()> {
        let next = self.next.load(Ordering::Relaxed);
        match next.checked_sub(128) {
            None => Ok(()),
            Some(error) => {
                let kinds = ErrorKind::ALL;
                Err(kinds[usize::from(error) % kinds.len()].into())
            }
        }
    }

    /// What is said of a node that was changed or made; it may be the wrong one.
    async fn changed(&self, node: NodeId) -> Result<Attributes> {
        self.check()?;
        let next = self.next.load(Ordering::Relaxed);
        match next & 1 {
            0 => self.tree.attributes(node).await,
            _ => {
                let page = self
                    .tree
                    .read_dir_attributes(self.root(), Cookie::START, 9)
                    .await?;
                let known = page
                    .entries
                    .into_iter()
                    .filter_map(|listed| listed.attributes);
                let known: Vec<Attributes> = known.collect();
                let chosen = known.get(usize::from(next >> 1) % known.len().max(1));
                chosen.cloned().ok_or_else(|| ErrorKind::Stale.into())
            }
        }
    }
}

#[async_trait]
impl Tree for Scripted {
    fn root(&self) -> NodeId {
        self.tree.root()
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        self.tree.lookup(dir, name).await
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        self.tree.attributes(node).await
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        self.tree.read_dir(dir, after, entries_max).await
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        self.tree.read_link(node).await
    }

    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        self.tree.open(node).await
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        self.tree.key(node)
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        self.tree.resolve_key(key).await
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        self.tree.parent(dir).await
    }
}

#[async_trait]
impl WriteTree for Scripted {
    async fn create(
        &self,
        dir: NodeId,
        _: &Name,
        _: Creation,
        _: &SetAttributes,
    ) -> Result<Attributes> {
        self.changed(dir).await
    }

    async fn make_directory(&self, dir: NodeId, _: &Name, _: &SetAttributes) -> Result<Attributes> {
        self.changed(dir).await
    }

    async fn make_link(
        &self,
        dir: NodeId,
        _: &Name,
        _: &[u8],
        _: &SetAttributes,
    ) -> Result<Attributes> {
        self.changed(dir).await
    }

    async fn make_special(
        &self,
        dir: NodeId,
        _: &Name,
        _: NodeKind,
        _: (u32, u32),
        _: &SetAttributes,
    ) -> Result<Attributes> {
        self.changed(dir).await
    }

    async fn add_name(&self, node: NodeId, _: NodeId, _: &Name) -> Result<Attributes> {
        self.changed(node).await
    }

    async fn remove(&self, _: NodeId, _: &Name) -> Result<()> {
        self.check()
    }

    async fn remove_directory(&self, _: NodeId, _: &Name) -> Result<()> {
        self.check()
    }

    async fn rename(&self, _: NodeId, _: &Name, _: NodeId, _: &Name) -> Result<()> {
        self.check()
    }

    async fn set_attributes(&self, node: NodeId, _: &SetAttributes) -> Result<Attributes> {
        self.changed(node).await
    }

    async fn write(&self, node: NodeId, _: u64, _: Bytes, _: Stability) -> Result<Attributes> {
        self.changed(node).await
    }

    async fn commit(&self, node: NodeId) -> Result<Attributes> {
        self.changed(node).await
    }

    fn writes_lost(&self) -> u64 {
        self.next.load(Ordering::Relaxed).into()
    }
}
