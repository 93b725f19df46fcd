//! A tree in memory.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use bytes::Bytes;

use crate::mem_entry::EntryContent;
use crate::stable_hash::{StableHasher, domain};
use crate::{
    Attributes, Blob, Capacity, Cookie, DirEntry, DirPage, Error, ErrorKind, ListedEntry,
    ListedPage, MemBlob, MemEntry, MemLimits, Name, NameBuf, NodeId, NodeKey, NodeKind, Result,
    Timestamp, Tree, TreePath,
};

/// A tree in memory: generated files, the content of tests and demonstrations, a layer above a
/// directory.
///
/// It can be changed while it is served: readers of a file that is replaced finish with the old
/// content. No clock is read: times are those that were given, and `changed` (and `modified` of a
/// directory) moves by a nanosecond with each change, so that clients which cache by time notice.
///
/// [`NodeKey`]s, file numbers and cookies are made of the names, so they are equal on another
/// server whose tree has the same names. A file that is removed and inserted again under the same
/// name and with the same kind is therefore the same node to holders of a key.
///
/// # Example
///
/// ```
/// use pxe_tree::{MemEntry, MemTree, Timestamp};
///
/// let tree = MemTree::new();
/// tree.insert_file("bios/lpxelinux.0", &b"..."[..])?;
/// tree.insert_link("bios/os", "../os")?;
/// tree.insert("os/vmlinuz", MemEntry::file("...").with_mode(0o644).with_modified(Timestamp::from_seconds(1_700_000_000)))?;
/// tree.remove("bios/os")?;
/// # Ok::<(), pxe_tree::Error>(())
/// ```
#[derive(Debug)]
pub struct MemTree {
    inner: RwLock<Inner>,
    limits: MemLimits,
}

#[derive(Debug)]
struct Inner {
    nodes: HashMap<NodeId, Node>,
    by_key: HashMap<NodeKey, NodeId>,
    last_id: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Node {
    /// The directory above; the root's is the root.
    parent: NodeId,
    attributes: Attributes,
    key: NodeKey,
    data: Data,
}

#[derive(Debug)]
enum Data {
    File(Arc<MemBlob>),
    Link(Bytes),
    Directory(Directory),
    Special,
}

impl Data {
    fn bytes(&self) -> u64 {
        match self {
            Self::File(blob) => blob.content().len() as u64,
            Self::Link(target) => target.len() as u64,
            Self::Directory(_) | Self::Special => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Directory {
    /// The part of the directory's change stamp that its entries make up.
    entries_change: u64,
    by_name: BTreeMap<NameBuf, (Cookie, NodeId)>,
    by_cookie: BTreeMap<Cookie, NameBuf>,
}

const ROOT: NodeId = NodeId::new(NonZeroU64::MIN);
const KEY_TAG: u8 = b'm';

impl Default for MemTree {
    fn default() -> Self {
        Self::new()
    }
}

impl MemTree {
    /// An empty tree within the default bounds.
    pub fn new() -> Self {
        Self::with_limits(MemLimits::default())
    }

    /// An empty tree within these bounds.
    pub fn with_limits(limits: MemLimits) -> Self {
        let key = key_of(&TreePath::ROOT, NodeKind::Directory);
        let mut attributes = Attributes::new(ROOT, NodeKind::Directory, 0);
        attributes.fileid = fileid_of(&TreePath::ROOT);
        attributes.nlink = 2;
        let root = Node {
            parent: ROOT,
            attributes,
            key,
            data: Data::Directory(Directory::default()),
        };
        Self {
            inner: RwLock::new(Inner {
                nodes: HashMap::from([(ROOT, root)]),
                by_key: HashMap::from([(key, ROOT)]),
                last_id: ROOT.get().get(),
                bytes: 0,
            }),
            limits,
        }
    }

    /// Puts a file at a path, as [`insert`](Self::insert) does.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_file(&self, path: impl AsRef<[u8]>, content: impl Into<Bytes>) -> Result<NodeId> {
        self.insert(path, MemEntry::file(content))
    }

    /// Puts a symbolic link at a path, as [`insert`](Self::insert) does.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_link(&self, path: impl AsRef<[u8]>, target: impl Into<Bytes>) -> Result<NodeId> {
        self.insert(path, MemEntry::link(target))
    }

    /// Puts a directory at a path, as [`insert`](Self::insert) does.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_dir(&self, path: impl AsRef<[u8]>) -> Result<NodeId> {
        self.insert(path, MemEntry::directory())
    }

    /// Puts an entry at a path. Directories that are missing above it are made; links above it
    /// are not followed.
    ///
    /// What was there is replaced: an entry of the same kind keeps its node, with new content and
    /// attributes; another kind becomes a new node. A directory keeps its entries, and is only
    /// replaced by a directory.
    ///
    /// # Errors
    /// `InvalidName`, `NameTooLong`; `NotADirectory` if something else is in the way;
    /// `IsADirectory` if a directory would be replaced by something else; `Busy` beyond a bound.
    pub fn insert(&self, path: impl AsRef<[u8]>, entry: MemEntry) -> Result<NodeId> {
        let path = TreePath::parse(path.as_ref())?;
        self.write()
            .insert(&path, entry, &self.limits)
            .map_err(|kind| Error::new(kind).at(&path))
    }

    /// Takes away what lies at a path, and everything below it.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`; `Unsupported` for the root.
    pub fn remove(&self, path: impl AsRef<[u8]>) -> Result<()> {
        let path = TreePath::parse(path.as_ref())?;
        self.write()
            .remove(&path)
            .map_err(|kind| Error::new(kind).at(&path))
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // No code of others runs under the lock, so a poisoned one is still in order.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key of the path and the kind: what makes it equal on a second server.
fn key_of(path: &TreePath, kind: NodeKind) -> NodeKey {
    let hash = StableHasher::new(domain::NAME_KEY)
        .part(path.as_bytes())
        .number(kind_number(kind))
        .finish128();
    let mut key = [KEY_TAG; 17];
    key[1..].copy_from_slice(&hash);
    NodeKey::new(&key).expect("17 bytes fit")
}

/// Numbers that never change, as they are part of keys.
const fn kind_number(kind: NodeKind) -> u64 {
    match kind {
        NodeKind::File => 1,
        NodeKind::Directory => 2,
        NodeKind::Link => 3,
        NodeKind::BlockDevice => 4,
        NodeKind::CharDevice => 5,
        NodeKind::Fifo => 6,
        NodeKind::Socket => 7,
    }
}

fn fileid_of(path: &TreePath) -> u64 {
    let hash = StableHasher::new(domain::FILEID).part(path.as_bytes());
    // Clients take 0 for "none", and some keep 63 bits only.
    (hash.finish64() >> 1).max(1)
}

fn later(time: Timestamp) -> Timestamp {
    match time.nanos {
        ..999_999_999 => Timestamp {
            nanos: time.nanos + 1,
            ..time
        },
        _ => Timestamp::from_seconds(time.seconds.saturating_add(1)),
    }
}

impl Inner {
    fn node(&self, id: NodeId) -> Result<&Node, ErrorKind> {
        self.nodes.get(&id).ok_or(ErrorKind::Stale)
    }

    fn directory(&self, id: NodeId) -> Result<&Directory, ErrorKind> {
        match &self.node(id)?.data {
            Data::Directory(directory) => Ok(directory),
            _ => Err(ErrorKind::NotADirectory),
        }
    }

    fn page(
        &self,
        dir: NodeId,
        after: Cookie,
        entries_max: usize,
    ) -> Result<ListedPage, ErrorKind> {
        let directory = self.directory(dir)?;
        let mut following = directory
            .by_cookie
            .range((Bound::Excluded(after), Bound::Unbounded));
        let mut entries = Vec::new();
        for (cookie, name) in following.by_ref().take(entries_max.max(1)) {
            if let Some((_, child)) = directory.by_name.get(name) {
                let child = &self.node(*child)?.attributes;
                let entry = DirEntry::new(name.clone(), *cookie, child.kind, child.fileid);
                entries.push(ListedEntry::new(entry, Some(child.clone())));
            }
        }
        Ok(ListedPage::new(entries, following.next().is_none()))
    }

    fn insert(
        &mut self,
        path: &TreePath,
        entry: MemEntry,
        limits: &MemLimits,
    ) -> Result<NodeId, ErrorKind> {
        // First look how far the path leads, so that a refusal leaves no half-made directories.
        let names: Vec<&Name> = path.names().collect();
        let mut here = ROOT;
        let mut found = 0;
        for name in &names {
            match self.directory(here)?.by_name.get(*name) {
                Some((_, child)) => here = *child,
                None => break,
            }
            found += 1;
        }
        let missing = names.get(found..).unwrap_or_default();
        let names_bytes: u64 = missing
            .iter()
            .map(|name| name.as_bytes().len() as u64)
            .sum();
        let freed = match missing {
            [] => self.node(here)?.data.bytes(),
            _ => 0,
        };
        let bytes = (self.bytes - freed)
            .saturating_add(names_bytes)
            .saturating_add(entry.bytes());
        if self.nodes.len() + missing.len() > limits.nodes_max || bytes > limits.bytes_max {
            return Err(ErrorKind::Busy);
        }
        let Some((last, parents)) = missing.split_last() else {
            return self.replace(here, path, entry);
        };
        let mut prefix = TreePath::ROOT;
        for name in &names[..found] {
            prefix = prefix.child(name)?;
        }
        for name in parents {
            prefix = prefix.child(name)?;
            here = self.add(here, name, &prefix, MemEntry::directory());
        }
        Ok(self.add(here, last, path, entry))
    }

    fn replace(
        &mut self,
        id: NodeId,
        path: &TreePath,
        entry: MemEntry,
    ) -> Result<NodeId, ErrorKind> {
        let node = self.nodes.get_mut(&id).ok_or(ErrorKind::Stale)?;
        let kind = node.attributes.kind;
        if kind != entry.kind() {
            if kind == NodeKind::Directory {
                return Err(ErrorKind::IsADirectory);
            }
            self.remove(path)?;
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(ErrorKind::IsADirectory);
            };
            let parent = self.find(&parent)?;
            return Ok(self.add(parent, name, path, entry));
        }
        self.bytes = self.bytes - node.data.bytes() + entry.bytes();
        let changed = later(node.attributes.changed).max(entry.modified);
        let mut attributes = attributes_of(id, path, &entry);
        attributes.changed = changed;
        if let Data::Directory(directory) = &node.data {
            // Its entries stay, and so does what is said of them.
            attributes.len = node.attributes.len;
            attributes.nlink = node.attributes.nlink;
            attributes.change ^= directory.entries_change;
        }
        node.attributes = attributes.clone();
        match entry.content {
            EntryContent::File(content) => {
                node.data = Data::File(MemBlob::with_attributes(content, attributes));
            }
            EntryContent::Link(target) => node.data = Data::Link(target),
            EntryContent::Directory | EntryContent::Special(..) => {}
        }
        Ok(id)
    }

    fn add(&mut self, parent: NodeId, name: &Name, path: &TreePath, entry: MemEntry) -> NodeId {
        self.last_id += 1;
        let id = NodeId::new(NonZeroU64::new(self.last_id).expect("counts up from 1"));
        let kind = entry.kind();
        let key = key_of(path, kind);
        let attributes = attributes_of(id, path, &entry);
        let modified = entry.modified;
        self.bytes += entry.bytes() + name.as_bytes().len() as u64;
        let data = match entry.content {
            EntryContent::File(content) => {
                Data::File(MemBlob::with_attributes(content, attributes.clone()))
            }
            EntryContent::Link(target) => Data::Link(target),
            EntryContent::Directory => Data::Directory(Directory::default()),
            EntryContent::Special(..) => Data::Special,
        };
        self.nodes.insert(
            id,
            Node {
                parent,
                attributes,
                key,
                data,
            },
        );
        self.by_key.insert(key, id);
        if let Some(node) = self.nodes.get_mut(&parent)
            && let Data::Directory(directory) = &mut node.data
        {
            let mut cookie = cookie_of(name);
            while directory.by_cookie.contains_key(&cookie) {
                cookie = Cookie(cookie.0 % (i64::MAX as u64) + 1);
            }
            directory.by_cookie.insert(cookie, name.to_buf());
            directory.by_name.insert(name.to_buf(), (cookie, id));
            directory.entries_change ^= touch(&mut node.attributes, name, kind, modified);
            node.attributes.len += 1;
            node.attributes.nlink += u32::from(kind == NodeKind::Directory);
        }
        id
    }

    fn find(&self, path: &TreePath) -> Result<NodeId, ErrorKind> {
        path.names().try_fold(ROOT, |here, name| {
            let directory = self.directory(here)?;
            let (_, child) = directory.by_name.get(name).ok_or(ErrorKind::NotFound)?;
            Ok(*child)
        })
    }

    fn remove(&mut self, path: &TreePath) -> Result<(), ErrorKind> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ErrorKind::Unsupported);
        };
        let victim = self.find(path)?;
        let kind = self.node(victim)?.attributes.kind;
        let parent = self.find(&parent)?;
        if let Some(node) = self.nodes.get_mut(&parent)
            && let Data::Directory(directory) = &mut node.data
            && let Some((cookie, _)) = directory.by_name.remove(name)
        {
            directory.by_cookie.remove(&cookie);
            let time = Timestamp::default();
            directory.entries_change ^= touch(&mut node.attributes, name, kind, time);
            node.attributes.len -= 1;
            node.attributes.nlink -= u32::from(kind == NodeKind::Directory);
        }
        let mut names_bytes = name.as_bytes().len() as u64;
        let mut doomed = vec![victim];
        while let Some(id) = doomed.pop() {
            let Some(node) = self.nodes.remove(&id) else {
                continue;
            };
            if self.by_key.get(&node.key) == Some(&id) {
                self.by_key.remove(&node.key);
            }
            self.bytes -= node.data.bytes();
            if let Data::Directory(directory) = node.data {
                for (name, (_, child)) in directory.by_name {
                    names_bytes += name.as_bytes().len() as u64;
                    doomed.push(child);
                }
            }
        }
        self.bytes -= names_bytes;
        Ok(())
    }
}

fn cookie_of(name: &Name) -> Cookie {
    let hash = StableHasher::new(domain::COOKIE).part(name.as_bytes());
    Cookie((hash.finish64() >> 1).max(1))
}

/// A directory's attributes after a name came or went.
///
/// Gives the part of the change stamp that this name makes up: the stamp is the sum over all
/// entries, whatever their order, and taking one away undoes adding it.
fn touch(attributes: &mut Attributes, name: &Name, kind: NodeKind, modified: Timestamp) -> u64 {
    attributes.modified = later(attributes.modified).max(modified);
    attributes.changed = later(attributes.changed).max(modified);
    let part = StableHasher::new(domain::CHANGE)
        .part(name.as_bytes())
        .number(kind_number(kind))
        .finish64();
    attributes.change ^= part;
    part
}

fn attributes_of(id: NodeId, path: &TreePath, entry: &MemEntry) -> Attributes {
    let kind = entry.kind();
    let mut attributes = Attributes::new(id, kind, entry.bytes());
    attributes.mode = entry.mode.unwrap_or(attributes.mode);
    (attributes.uid, attributes.gid) = entry.owner;
    attributes.fileid = fileid_of(path);
    attributes.accessed = entry.modified;
    attributes.modified = entry.modified;
    attributes.changed = entry.modified;
    let content: &[u8] = match &entry.content {
        EntryContent::File(bytes) | EntryContent::Link(bytes) => bytes,
        EntryContent::Directory => {
            attributes.nlink = 2;
            b""
        }
        EntryContent::Special(_, rdev) => {
            attributes.rdev = *rdev;
            b""
        }
    };
    // Made of the content, not counted: so it is equal on a second server, and differs where a
    // restarted server has other content under the same name.
    attributes.change = StableHasher::new(domain::CHANGE)
        .part(content)
        .number(u64::from(attributes.mode))
        .number(u64::from(attributes.uid) << 32 | u64::from(attributes.gid))
        .number(entry.modified.seconds.cast_unsigned())
        .number(u64::from(entry.modified.nanos))
        .finish64();
    attributes
}

#[async_trait]
impl Tree for MemTree {
    fn root(&self) -> NodeId {
        ROOT
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        let inner = self.read();
        let (_, child) = inner
            .directory(dir)?
            .by_name
            .get(name)
            .ok_or(ErrorKind::NotFound)?;
        Ok(inner.node(*child)?.attributes.clone())
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        Ok(self.read().node(node)?.attributes.clone())
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        let page = self.read().page(dir, after, entries_max)?;
        let entries = page.entries.into_iter().map(|listed| listed.entry);
        Ok(DirPage::new(entries.collect(), page.end))
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        match &self.read().node(node)?.data {
            Data::Link(target) => Ok(target.clone()),
            _ => Err(ErrorKind::NotALink.into()),
        }
    }

    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        match &self.read().node(node)?.data {
            Data::File(blob) => Ok(Arc::clone(blob) as Arc<dyn Blob>),
            Data::Directory(_) => Err(ErrorKind::IsADirectory.into()),
            Data::Link(_) | Data::Special => Err(ErrorKind::NotAFile.into()),
        }
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        Ok(self.read().node(node)?.key)
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        match key.as_bytes() {
            [KEY_TAG, hash @ ..] if hash.len() == 16 => {
                let id = self.read().by_key.get(key).copied();
                Ok(id.ok_or(ErrorKind::Stale)?)
            }
            _ => Err(ErrorKind::BadKey.into()),
        }
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        let inner = self.read();
        inner.directory(dir)?;
        Ok(inner.node(dir)?.parent)
    }

    async fn read_dir_attributes(
        &self,
        dir: NodeId,
        after: Cookie,
        entries_max: usize,
    ) -> Result<ListedPage> {
        Ok(self.read().page(dir, after, entries_max)?)
    }

    /// What the tree holds; nothing is free, as only its maker adds to it.
    async fn capacity(&self, node: NodeId) -> Result<Capacity> {
        let inner = self.read();
        inner.node(node)?;
        Ok(Capacity {
            bytes_total: inner.bytes,
            nodes_total: inner.nodes.len() as u64,
            ..Capacity::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replaced_file_keeps_its_node_and_its_old_readers() {
        let tree = MemTree::new();
        let id = tree.insert_file("a", "old").expect("free");
        let before = tree.attributes(id).await.expect("there");
        let old = tree.open(id).await.expect("a file");
        assert_eq!(tree.insert_file("a", "other").expect("same kind"), id);
        let after = tree.attributes(id).await.expect("there");
        assert_ne!(before.change, after.change);
        assert!(after.changed > before.changed);
        assert_eq!(old.read_at(0, 9).await.expect("in memory"), "old");
        let new = tree.open(id).await.expect("a file");
        assert_eq!(new.read_at(0, 9).await.expect("in memory"), "other");
        assert_eq!(new.attributes().len, 5);
    }

    #[tokio::test]
    async fn another_kind_is_another_node() {
        let tree = MemTree::new();
        let file = tree.insert_file("a", "x").expect("free");
        let key = tree.key(file).expect("there");
        let link = tree.insert_link("a", "b").expect("a file gives way");
        assert_ne!(file, link);
        let gone = tree.resolve_key(&key).await.expect_err("no file any more");
        assert_eq!(gone.kind(), ErrorKind::Stale);
        tree.insert_dir("d").expect("free");
        let kept = tree.insert_file("d", "x").expect_err("a directory stays");
        assert_eq!(kept.kind(), ErrorKind::IsADirectory);
        let root = tree
            .insert_file("", "x")
            .expect_err("the root is a directory");
        assert_eq!(root.kind(), ErrorKind::IsADirectory);
    }

    #[tokio::test]
    async fn removal_takes_everything_below_and_gives_back_the_space() {
        let limits = MemLimits::default().with_nodes_max(4).with_bytes_max(10);
        let tree = MemTree::with_limits(limits);
        let before = tree.attributes(ROOT).await.expect("the root");
        for _ in 0..100 {
            tree.insert_file("a/b/c", "1234567").expect("exactly fits");
            let full = tree.insert_dir("d").expect_err("one node too many");
            assert_eq!(full.kind(), ErrorKind::Busy);
            let full = tree
                .insert_file("a/b/c", "12345678")
                .expect_err("too many bytes");
            assert_eq!(full.kind(), ErrorKind::Busy);
            tree.remove("a").expect("there");
        }
        let after = tree.attributes(ROOT).await.expect("the root");
        assert_eq!(
            (after.len, after.nlink, after.change),
            (0, 2, before.change)
        );
        assert!(after.modified > before.modified);
        assert_eq!(tree.read().nodes.len(), 1);
        assert_eq!(tree.read().by_key.len(), 1);
        assert_eq!(tree.read().bytes, 0);
    }

    #[tokio::test]
    async fn trees_built_alike_have_equal_keys_whatever_the_order() {
        let (one, two) = (MemTree::new(), MemTree::new());
        one.insert_file("a/b", "1").expect("free");
        one.insert_file("c", "2").expect("free");
        two.insert_file("c", "2").expect("free");
        two.insert_file("a/b", "1").expect("free");
        for path in ["", "a", "a/b", "c"] {
            let path = TreePath::parse(path).expect("valid");
            let in_one = one.read().find(&path).expect("there");
            let in_two = two.read().find(&path).expect("there");
            let key = one.key(in_one).expect("there");
            assert_eq!(two.resolve_key(&key).await.expect("there"), in_two);
            let (a, b) = (one.attributes(in_one).await, two.attributes(in_two).await);
            let (a, b) = (a.expect("there"), b.expect("there"));
            assert_eq!((a.fileid, a.change), (b.fileid, b.change), "{path}");
        }
    }
}
