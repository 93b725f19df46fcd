//! A tree mounted at a path of another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::id_table::{IdTable, NODES_MAX, id};
use crate::stable_hash::{StableHasher, domain};
use crate::tree::with_attributes;
use crate::{
    Attributes, Blob, Capacity, Cookie, DirEntry, DirPage, ErrorKind, ListedPage, Name, NameBuf,
    NodeId, NodeKey, NodeKind, Result, Tree, TreePath,
};

/// A tree (the outer one) with another (the inner one) at one of its paths, as `mount` does it.
///
/// Directories of that path which the outer tree lacks are there nevertheless, empty but for the
/// way to the inner tree. What the outer tree has at the path itself, or a link or file on the
/// way, is hidden. Links of either tree may lead into the other (see [`Resolver`]).
/// Several mounts are made by mounting into a `Subtree`.
///
/// [`NodeKey`]s grow by one byte with each mount on the way to the node's own tree, and each call
/// passes through one tree more: this is for a few mounts, not for dozens. Each tree keeps its file numbers, and [`Attributes::fsid`] of the
/// inner one is changed, so that it differs from the outer one's.
///
/// To serve a directory of a tree as the root, see [`Resolver::with_base`].
///
/// [`Resolver`]: crate::Resolver
/// [`Resolver::with_base`]: crate::Resolver::with_base
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use pxe_tree::{MemTree, Subtree, TreePath, resolve};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> pxe_tree::Result<()> {
/// let image = MemTree::new();
/// image.insert_file("casper/vmlinuz", "...")?;
/// let boot = MemTree::new();
/// boot.insert_link("bios/os", "../os")?;
/// let at = TreePath::parse("os/ubuntu")?;
/// let tree = Subtree::new(Arc::new(boot), at, Arc::new(image))?;
/// let asked = TreePath::parse("bios/os/ubuntu/casper/vmlinuz")?;
/// assert_eq!(resolve(&tree, &asked).await?.attributes.len, 3);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Subtree {
    outer: Arc<dyn Tree>,
    inner: Arc<dyn Tree>,
    /// The names of the path; the directory before the n-th one is `Place::Way(n)`.
    at: Vec<NameBuf>,
    inner_salt: u64,
    table: Mutex<IdTable<Place, ()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// A directory on the way to the inner tree, by its depth; 0 is the root.
    Way(usize),
    Outer(NodeId),
    Inner(NodeId),
}

const KEY_OUTER: u8 = 0;
const KEY_INNER: u8 = 1;
const KEY_WAY: u8 = 2;

/// The way to the inner tree is listed before everything else; all cookies of the outer tree
/// move up by one.
const WAY_COOKIE: Cookie = Cookie(1);

impl Subtree {
    /// The outer tree with the inner one at this path.
    ///
    /// # Errors
    /// `Unsupported` if the path is the root: then the inner tree is all there would be.
    pub fn new(
        outer: Arc<dyn Tree>,
        at: TreePath,
        inner: Arc<dyn Tree>,
    ) -> Result<Self, ErrorKind> {
        if at.is_root() {
            return Err(ErrorKind::Unsupported);
        }
        let names: Vec<NameBuf> = at.names().map(Name::to_buf).collect();
        let hash = StableHasher::new(domain::FSID).part(at.as_bytes());
        let depth = names.len();
        drop(at);
        Ok(Self {
            outer,
            inner,
            inner_salt: hash.finish64(),
            table: Mutex::new(IdTable::new(depth as u64, NODES_MAX)),
            at: names,
        })
    }

    fn place(&self, node: NodeId) -> Result<Place, ErrorKind> {
        let number = usize::try_from(node.get().get()).unwrap_or(usize::MAX);
        if number <= self.at.len() {
            return Ok(Place::Way(number - 1));
        }
        match self.table().get(node) {
            Some((place, ())) => Ok(*place),
            None => Err(ErrorKind::Stale),
        }
    }

    fn node(&self, place: Place) -> NodeId {
        match place {
            Place::Way(depth) => id(depth as u64 + 1),
            place => self.table().intern(place, ()),
        }
    }

    fn table(&self) -> MutexGuard<'_, IdTable<Place, ()>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn as_outer(&self, mut attributes: Attributes) -> Attributes {
        attributes.node = self.node(Place::Outer(attributes.node));
        attributes
    }

    fn as_inner(&self, mut attributes: Attributes) -> Attributes {
        attributes.node = self.node(Place::Inner(attributes.node));
        attributes.fsid = StableHasher::new(domain::FSID)
            .number(self.inner_salt)
            .number(attributes.fsid)
            .finish64();
        attributes
    }

    /// The outer tree's directory at this depth of the way, if it has one. It is looked up each
    /// time: what a composed tree knows of a directory is as old as its last lookup.
    async fn outer_dir(&self, depth: usize) -> Result<Option<Attributes>> {
        let mut here = self.outer.attributes(self.outer.root()).await?;
        for name in self.at.iter().take(depth) {
            here = match self.outer_below(here.node, name).await? {
                Some(next) => next,
                None => return Ok(None),
            };
        }
        Ok(Some(here))
    }

    /// The outer tree's directory of this name, if it has one.
    async fn outer_below(&self, dir: NodeId, name: &Name) -> Result<Option<Attributes>> {
        match self.outer.lookup(dir, name).await {
            Ok(found) if found.kind == NodeKind::Directory => Ok(Some(found)),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Stale) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A node of the outer tree, unless it is a directory on the way: a key of that one may stem
    /// from before the mount was made, and must not lead past it.
    async fn outer_place(&self, node: NodeId) -> Place {
        let mut here = self.outer.root();
        for (depth, name) in self.at.iter().enumerate() {
            if here == node {
                return Place::Way(depth);
            }
            match self.outer_below(here, name).await {
                Ok(Some(next)) => here = next.node,
                _ => break,
            }
        }
        Place::Outer(node)
    }

    async fn way_attributes(&self, depth: usize) -> Result<Attributes> {
        let node = self.node(Place::Way(depth));
        if let Some(mut outer) = self.outer_dir(depth).await? {
            outer.node = node;
            return Ok(outer);
        }
        let mut made = Attributes::new(node, NodeKind::Directory, 0);
        made.nlink = 3;
        let hash = StableHasher::new(domain::FILEID).number(self.inner_salt);
        made.fileid = (hash.number(depth as u64).finish64() >> 1).max(1);
        // It is part of the outer tree, so that crossing shows where the inner one begins.
        made.fsid = self.outer.attributes(self.outer.root()).await?.fsid;
        Ok(made)
    }

    /// What lies on the way at the next name.
    async fn next_on_way(&self, depth: usize) -> Result<Attributes> {
        if depth + 1 < self.at.len() {
            return self.way_attributes(depth + 1).await;
        }
        let root = self.inner.attributes(self.inner.root()).await?;
        Ok(self.as_inner(root))
    }

    async fn read_way(&self, depth: usize, after: Cookie, entries_max: usize) -> Result<DirPage> {
        let entries_max = entries_max.max(1);
        let mut entries = Vec::new();
        let Some(name) = self.at.get(depth) else {
            return Err(ErrorKind::Stale.into());
        };
        if after == Cookie::START {
            let next = self.next_on_way(depth).await?;
            entries.push(DirEntry::new(
                name.clone(),
                WAY_COOKIE,
                next.kind,
                next.fileid,
            ));
        }
        let Some(outer) = self.outer_dir(depth).await? else {
            return Ok(DirPage::new(entries, true));
        };
        let mut outer_after = Cookie(after.0.saturating_sub(WAY_COOKIE.0));
        loop {
            let room = entries_max - entries.len();
            if room == 0 {
                return Ok(DirPage::new(entries, false));
            }
            let page = self.outer.read_dir(outer.node, outer_after, room).await?;
            let last = page.entries.last().map(|entry| entry.cookie);
            for entry in page.entries {
                if entry.name == *name {
                    continue;
                }
                let cookie = entry.cookie.0.checked_add(WAY_COOKIE.0);
                let cookie = cookie.ok_or(ErrorKind::Unsupported)?;
                entries.push(DirEntry {
                    cookie: Cookie(cookie),
                    ..entry
                });
            }
            match last {
                Some(last) if !page.end => {
                    outer_after = last;
                    // A page with nothing but the hidden name is not the last, and not empty.
                    if !entries.is_empty() {
                        return Ok(DirPage::new(entries, false));
                    }
                }
                _ => return Ok(DirPage::new(entries, true)),
            }
        }
    }
}

fn prefixed(prefix: u8, key: &NodeKey) -> Result<NodeKey> {
    let mut bytes = vec![prefix];
    bytes.extend_from_slice(key.as_bytes());
    Ok(NodeKey::new(&bytes).map_err(|_| ErrorKind::Unsupported)?)
}

#[async_trait]
impl Tree for Subtree {
    fn root(&self) -> NodeId {
        id(1)
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        match self.place(dir)? {
            Place::Way(depth) => {
                if self.at.get(depth).is_some_and(|next| **next == *name) {
                    return self.next_on_way(depth).await;
                }
                match self.outer_dir(depth).await? {
                    Some(outer) => Ok(self.as_outer(self.outer.lookup(outer.node, name).await?)),
                    None => Err(ErrorKind::NotFound.into()),
                }
            }
            Place::Outer(node) => Ok(self.as_outer(self.outer.lookup(node, name).await?)),
            Place::Inner(node) => Ok(self.as_inner(self.inner.lookup(node, name).await?)),
        }
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        match self.place(node)? {
            Place::Way(depth) => self.way_attributes(depth).await,
            Place::Outer(node) => Ok(self.as_outer(self.outer.attributes(node).await?)),
            Place::Inner(node) => Ok(self.as_inner(self.inner.attributes(node).await?)),
        }
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        match self.place(dir)? {
            Place::Way(depth) => self.read_way(depth, after, entries_max).await,
            Place::Outer(node) => self.outer.read_dir(node, after, entries_max).await,
            Place::Inner(node) => self.inner.read_dir(node, after, entries_max).await,
        }
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        match self.place(node)? {
            Place::Way(_) => Err(ErrorKind::NotALink.into()),
            Place::Outer(node) => self.outer.read_link(node).await,
            Place::Inner(node) => self.inner.read_link(node).await,
        }
    }

    /// The blob is that of the tree in which it lies: its attributes carry that tree's numbers.
    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        match self.place(node)? {
            Place::Way(_) => Err(ErrorKind::IsADirectory.into()),
            Place::Outer(node) => self.outer.open(node).await,
            Place::Inner(node) => self.inner.open(node).await,
        }
    }

    fn open_again(&self, path: &TreePath) -> Option<Arc<dyn Blob>> {
        let mut names = path.names();
        for here in &self.at {
            match names.next() {
                Some(name) if *name == **here => {}
                Some(_) => return self.outer.open_again(path),
                // A directory on the way hides what the outer tree has there.
                None => return None,
            }
        }
        let mut below = TreePath::ROOT;
        for name in names {
            below = below.child(name).ok()?;
        }
        self.inner.open_again(&below)
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        match self.place(node)? {
            Place::Way(depth) => {
                let depth = u16::try_from(depth).map_err(|_| ErrorKind::Unsupported)?;
                let [high, low] = depth.to_be_bytes();
                Ok(NodeKey::new(&[KEY_WAY, high, low])?)
            }
            Place::Outer(node) => prefixed(KEY_OUTER, &self.outer.key(node)?),
            Place::Inner(node) => prefixed(KEY_INNER, &self.inner.key(node)?),
        }
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        match key.as_bytes() {
            [KEY_WAY, high, low] => {
                let depth = usize::from(u16::from_be_bytes([*high, *low]));
                match depth < self.at.len() {
                    true => Ok(self.node(Place::Way(depth))),
                    false => Err(ErrorKind::BadKey.into()),
                }
            }
            [KEY_OUTER, rest @ ..] => {
                let node = self.outer.resolve_key(&NodeKey::new(rest)?).await?;
                Ok(self.node(self.outer_place(node).await))
            }
            [KEY_INNER, rest @ ..] => {
                let node = self.inner.resolve_key(&NodeKey::new(rest)?).await?;
                Ok(self.node(Place::Inner(node)))
            }
            _ => Err(ErrorKind::BadKey.into()),
        }
    }

    async fn attributes_of_key(&self, key: &NodeKey) -> Result<Attributes> {
        match key.as_bytes() {
            [KEY_OUTER, rest @ ..] => {
                let outer = self.outer.attributes_of_key(&NodeKey::new(rest)?).await?;
                match self.outer_place(outer.node).await {
                    Place::Way(depth) => self.way_attributes(depth).await,
                    _ => Ok(self.as_outer(outer)),
                }
            }
            [KEY_INNER, rest @ ..] => {
                let inner = self.inner.attributes_of_key(&NodeKey::new(rest)?).await?;
                Ok(self.as_inner(inner))
            }
            _ => self.attributes(self.resolve_key(key).await?).await,
        }
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        let above = match self.place(dir)? {
            Place::Way(depth) => Place::Way(depth.saturating_sub(1)),
            // Where the inner tree begins, the way to it ends.
            Place::Inner(node) if node == self.inner.root() => {
                Place::Way(self.at.len().saturating_sub(1))
            }
            Place::Inner(node) => Place::Inner(self.inner.parent(node).await?),
            Place::Outer(node) => {
                let above = self.outer.parent(node).await?;
                self.outer_place(above).await
            }
        };
        Ok(self.node(above))
    }

    async fn read_dir_attributes(
        &self,
        dir: NodeId,
        after: Cookie,
        entries_max: usize,
    ) -> Result<ListedPage> {
        let (mut page, is_inner) = match self.place(dir)? {
            Place::Way(depth) => {
                let page = self.read_way(depth, after, entries_max).await?;
                return Ok(with_attributes(self, dir, page).await);
            }
            Place::Outer(node) => {
                let page = self.outer.read_dir_attributes(node, after, entries_max);
                (page.await?, false)
            }
            Place::Inner(node) => {
                let page = self.inner.read_dir_attributes(node, after, entries_max);
                (page.await?, true)
            }
        };
        for listed in &mut page.entries {
            let attributes = listed.attributes.take();
            listed.attributes = attributes.map(|attributes| match is_inner {
                true => self.as_inner(attributes),
                false => self.as_outer(attributes),
            });
        }
        Ok(page)
    }

    async fn capacity(&self, node: NodeId) -> Result<Capacity> {
        match self.place(node)? {
            Place::Way(_) => self.outer.capacity(self.outer.root()).await,
            Place::Outer(node) => self.outer.capacity(node).await,
            Place::Inner(node) => self.inner.capacity(node).await,
        }
    }
}
