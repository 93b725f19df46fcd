//! Trees laid one over the other.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::id_table::{IdTable, NODES_MAX, id};
use crate::listing_cache::{DIRECTORY_ENTRIES_MAX, ListingCache, Turn, list};
use crate::name_key::{self, PathHash};
use crate::stable_hash::{StableHasher, domain};
use crate::{
    Attributes, Blob, Capacity, Cookie, DirEntry, DirPage, Error, ErrorKind, Name, NodeId, NodeKey,
    NodeKind, Result, Timestamp, Tree, TreePath,
};

/// Trees laid one over the other: generated files over a directory, a local directory over an
/// image.
///
/// For each name the first layer that has it wins. Directories of the same path are one, as long
/// as no layer above has something else there. Nothing is ever hidden from a layer below but by a
/// name (there are no whiteouts).
/// Which layers have a directory is found anew at each lookup of it, and when its key is resolved:
/// whoever keeps its [`NodeId`] does not see a layer that gets it later.
///
/// A file's [`NodeKey`] is that of its layer and grows by one byte; a directory's is made of its
/// path, so a renamed directory loses it, and so do directories more than 24 names deep
/// (`Unsupported`). File numbers are made anew, so that they are unique over the layers. A
/// directory is listed as a whole, which is remembered while it does not change; one of more than
/// 1,048,576 entries cannot be listed (`Unsupported`).
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use pxe_tree::{MemTree, Overlay, TreePath, resolve};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> pxe_tree::Result<()> {
/// let (generated, stock) = (MemTree::new(), MemTree::new());
/// generated.insert_file("pxelinux.cfg/default", "made")?;
/// stock.insert_file("pxelinux.cfg/default", "from the package")?;
/// stock.insert_file("pxelinux.cfg/01-52-54-00-15-00-01", "one machine's")?;
/// let tree = Overlay::new([Arc::new(generated) as _, Arc::new(stock) as _])?;
/// let found = resolve(&tree, &TreePath::parse("pxelinux.cfg/default")?).await?;
/// assert_eq!(found.attributes.len, 4);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Overlay {
    layers: Vec<Layer>,
    table: Mutex<IdTable<Place, Option<Directory>>>,
    listings: ListingCache<Vec<DirEntry>>,
}

#[derive(Debug)]
struct Layer {
    tree: Arc<dyn Tree>,
    /// The file system of its root, which becomes the overlay's own.
    fsid: OnceLock<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// A directory, by its path: it may lie in several layers.
    Directory(PathHash),
    /// Anything else, in one layer.
    Other(u8, NodeId),
}

#[derive(Debug, Clone)]
struct Directory {
    path: TreePath,
    /// The layers' directories, topmost first; the root's are not kept.
    parts: Vec<(u8, NodeId)>,
}

/// What the layers have under a name.
struct Found {
    /// The topmost one.
    layer: u8,
    attributes: Attributes,
    /// All directories, if the topmost one is a directory.
    parts: Vec<(u8, NodeId)>,
}

const KEY_DIRECTORY: u8 = 0xff;
const LAYERS_MAX: usize = KEY_DIRECTORY as usize;

impl Overlay {
    /// These layers, topmost first.
    ///
    /// # Errors
    /// `Unsupported` for no layer, or more than 255.
    pub fn new(layers: impl IntoIterator<Item = Arc<dyn Tree>>) -> Result<Self, ErrorKind> {
        let layers: Vec<Layer> = layers
            .into_iter()
            .take(LAYERS_MAX + 1)
            .map(|tree| Layer {
                tree,
                fsid: OnceLock::new(),
            })
            .collect();
        if layers.is_empty() || layers.len() > LAYERS_MAX {
            return Err(ErrorKind::Unsupported);
        }
        let overlay = Self {
            layers,
            table: Mutex::new(IdTable::new(1, NODES_MAX)),
            listings: ListingCache::default(),
        };
        Ok(overlay)
    }

    fn table(&self) -> MutexGuard<'_, IdTable<Place, Option<Directory>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn layer(&self, number: u8) -> Result<&Layer, ErrorKind> {
        self.layers
            .get(usize::from(number))
            .ok_or(ErrorKind::BadKey)
    }

    fn root_parts(&self) -> Vec<(u8, NodeId)> {
        let numbers = 0..=u8::MAX;
        let roots = self.layers.iter().map(|layer| layer.tree.root());
        numbers.zip(roots).collect()
    }

    /// A node, as what it stands for.
    fn place(&self, node: NodeId) -> Result<(Place, Option<Directory>), ErrorKind> {
        if node == self.root() {
            let root = Directory {
                path: TreePath::ROOT,
                parts: self.root_parts(),
            };
            return Ok((Place::Directory(name_key::hash(&root.path)), Some(root)));
        }
        let mut table = self.table();
        let (place, directory) = table.get(node).ok_or(ErrorKind::Stale)?;
        Ok((*place, directory.clone()))
    }

    fn directory(&self, node: NodeId) -> Result<Directory, ErrorKind> {
        self.place(node)?.1.ok_or(ErrorKind::NotADirectory)
    }

    /// What the layers' directories have under a name.
    async fn find(&self, parts: &[(u8, NodeId)], name: &Name) -> Result<Found> {
        let mut found: Option<Found> = None;
        for &(layer, dir) in parts {
            let attributes = match self.layer(layer)?.tree.lookup(dir, name).await {
                Ok(attributes) => attributes,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let is_directory = attributes.kind == NodeKind::Directory;
            match &mut found {
                None => {
                    let parts = match is_directory {
                        true => vec![(layer, attributes.node)],
                        false => Vec::new(),
                    };
                    let attributes = self.own(layer, attributes).await?;
                    found = Some(Found {
                        layer,
                        attributes,
                        parts,
                    });
                    if !is_directory {
                        break;
                    }
                }
                Some(found) if is_directory => {
                    found.parts.push((layer, attributes.node));
                    merge(&mut found.attributes, &attributes);
                }
                // A file below a directory is hidden by it, and hides what lies lower.
                Some(_) => break,
            }
        }
        found.ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// The layers' directories of a path, found anew.
    async fn walk(&self, path: &TreePath) -> Result<Directory> {
        let mut parts = self.root_parts();
        for name in path.names() {
            parts = self.find(&parts, name).await?.parts;
            if parts.is_empty() {
                return Err(ErrorKind::NotADirectory.into());
            }
        }
        Ok(Directory {
            path: path.clone(),
            parts,
        })
    }

    /// A directory whose layers forgot or lost theirs.
    async fn refresh(&self, directory: &Directory) -> Result<Directory> {
        let again = match self.walk(&directory.path).await {
            Ok(again) => again,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Err(ErrorKind::Stale.into());
            }
            Err(error) => return Err(error),
        };
        self.intern(again.clone());
        Ok(again)
    }

    fn intern(&self, directory: Directory) -> NodeId {
        if directory.path.is_root() {
            return self.root();
        }
        let place = Place::Directory(name_key::hash(&directory.path));
        self.table().intern(place, Some(directory))
    }

    /// A layer's attributes as the overlay's own, but for the node.
    async fn own(&self, layer: u8, mut attributes: Attributes) -> Result<Attributes> {
        let Layer { tree, fsid } = self.layer(layer)?;
        let of_layer = match fsid.get() {
            Some(of_layer) => *of_layer,
            None => {
                let root = tree.attributes(tree.root()).await?.fsid;
                *fsid.get_or_init(|| root)
            }
        };
        attributes.fileid = own_fileid(layer, attributes.fileid);
        let hash = StableHasher::new(domain::FSID);
        attributes.fsid = match attributes.fsid == of_layer {
            true => hash.finish64(),
            // Another file system, mounted within the layer.
            false => hash
                .number(u64::from(layer) + 1)
                .number(attributes.fsid)
                .finish64(),
        };
        Ok(attributes)
    }

    async fn directory_attributes(&self, directory: &Directory) -> Result<Attributes> {
        let mut merged: Option<Attributes> = None;
        for &(layer, node) in &directory.parts {
            let attributes = self.layer(layer)?.tree.attributes(node).await?;
            match &mut merged {
                None => merged = Some(self.own(layer, attributes).await?),
                Some(merged) => merge(merged, &attributes),
            }
        }
        merged.ok_or_else(|| ErrorKind::Stale.into())
    }

    async fn listing(&self, directory: &Directory, node: NodeId) -> Result<Arc<Vec<DirEntry>>> {
        let mut attributes = self.directory_attributes(directory).await?;
        attributes.node = node;
        let _maker = match self.listings.turn(&attributes).await {
            Turn::Made(listing) => return Ok(listing),
            Turn::Make(maker) => maker,
        };
        let mut seen = HashSet::new();
        let mut all: Vec<DirEntry> = Vec::new();
        for &(layer, node) in &directory.parts {
            for entry in list(&*self.layer(layer)?.tree, node).await? {
                if seen.insert(entry.name.clone()) {
                    all.push(DirEntry {
                        fileid: own_fileid(layer, entry.fileid),
                        cookie: cookie_of(&entry.name),
                        ..entry
                    });
                }
            }
            if all.len() > DIRECTORY_ENTRIES_MAX {
                return Err(ErrorKind::Unsupported.into());
            }
        }
        // By name where two names have one hash, so that it is the same the next time.
        all.sort_unstable_by(|a, b| (a.cookie, &a.name).cmp(&(b.cookie, &b.name)));
        let mut last = Cookie::START;
        for entry in &mut all {
            entry.cookie = entry.cookie.max(Cookie(last.0 + 1));
            last = entry.cookie;
        }
        let all = Arc::new(all);
        self.listings.put(&attributes, all.len(), Arc::clone(&all));
        Ok(all)
    }
}

fn own_fileid(layer: u8, fileid: u64) -> u64 {
    let hash = StableHasher::new(domain::FILEID)
        .number(u64::from(layer))
        .number(fileid);
    (hash.finish64() >> 1).max(1)
}

fn cookie_of(name: &Name) -> Cookie {
    let hash = StableHasher::new(domain::COOKIE).part(name.as_bytes());
    // Room above for the rare names that have to move up.
    Cookie((hash.finish64() >> 2).max(1))
}

/// Adds a lower directory to what is said of the upper ones.
fn merge(upper: &mut Attributes, lower: &Attributes) {
    let later = |a: Timestamp, b: Timestamp| a.max(b);
    upper.modified = later(upper.modified, lower.modified);
    upper.changed = later(upper.changed, lower.changed);
    upper.accessed = later(upper.accessed, lower.accessed);
    upper.len = upper.len.saturating_add(lower.len);
    // Two names and one for each directory in it; the same ones are counted twice, for safety.
    upper.nlink = upper.nlink.saturating_add(lower.nlink.saturating_sub(2));
    upper.change = StableHasher::new(domain::CHANGE)
        .number(upper.change)
        .number(lower.change)
        .finish64();
}

/// Does something with a directory's parts, and once more if a layer forgot them.
macro_rules! with_directory {
    ($overlay:ident, $directory:ident, $work:expr) => {{
        let done: Result<_> = $work;
        match done {
            Err(error) if error.kind() == ErrorKind::Stale => {
                $directory = $overlay.refresh(&$directory).await?;
                $work
            }
            done => done,
        }
    }};
}

#[async_trait]
impl Tree for Overlay {
    fn root(&self) -> NodeId {
        id(1)
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        let mut directory = self.directory(dir)?;
        let found = with_directory!(self, directory, self.find(&directory.parts, name).await)?;
        let mut attributes = found.attributes;
        attributes.node = if found.parts.is_empty() {
            let inner = attributes.node;
            self.table().intern(Place::Other(found.layer, inner), None)
        } else {
            self.intern(Directory {
                path: directory.path.child(name)?,
                parts: found.parts,
            })
        };
        Ok(attributes)
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        let mut attributes = match self.place(node)? {
            (Place::Other(layer, inner), _) => {
                let attributes = self.layer(layer)?.tree.attributes(inner).await?;
                self.own(layer, attributes).await?
            }
            (Place::Directory(_), Some(mut directory)) => {
                with_directory!(self, directory, self.directory_attributes(&directory).await)?
            }
            (Place::Directory(_), None) => return Err(ErrorKind::Stale.into()),
        };
        attributes.node = node;
        Ok(attributes)
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        let mut directory = self.directory(dir)?;
        let listing = with_directory!(self, directory, self.listing(&directory, dir).await)?;
        let begin = listing.partition_point(|entry| entry.cookie <= after);
        let following = listing.get(begin..).unwrap_or_default();
        let count = entries_max.max(1).min(following.len());
        let (page, rest) = following.split_at(count);
        Ok(DirPage::new(page.to_vec(), rest.is_empty()))
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        match self.place(node)? {
            (Place::Other(layer, inner), _) => self.layer(layer)?.tree.read_link(inner).await,
            (Place::Directory(_), _) => Err(ErrorKind::NotALink.into()),
        }
    }

    /// The blob is that of its layer: its attributes carry the layer's numbers.
    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        match self.place(node)? {
            (Place::Other(layer, inner), _) => self.layer(layer)?.tree.open(inner).await,
            (Place::Directory(_), _) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        match self.place(node)? {
            (Place::Other(layer, inner), _) => {
                let mut bytes = vec![layer];
                bytes.extend_from_slice(self.layer(layer)?.tree.key(inner)?.as_bytes());
                Ok(NodeKey::new(&bytes).map_err(|_| ErrorKind::Unsupported)?)
            }
            (Place::Directory(_), Some(directory)) => {
                Ok(name_key::encode(KEY_DIRECTORY, &directory.path)?)
            }
            (Place::Directory(_), None) => Err(ErrorKind::Stale.into()),
        }
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        let Some(first) = key.as_bytes().first() else {
            return Err(ErrorKind::BadKey.into());
        };
        if *first != KEY_DIRECTORY {
            return Ok(self.attributes_of_key(key).await?.node);
        }
        let (hash, hints) = name_key::decode(KEY_DIRECTORY, key.as_bytes())?;
        let known = self.table().find(&Place::Directory(hash));
        if let Some(known) = known {
            let directory = self.directory(known)?;
            // It may be gone, or be a file by now.
            self.refresh(&directory).await?;
            return Ok(known);
        }
        let found = name_key::find_dir(self, hash, hints).await?;
        found.ok_or_else(|| Error::new(ErrorKind::Stale))
    }

    async fn attributes_of_key(&self, key: &NodeKey) -> Result<Attributes> {
        match key.as_bytes() {
            [layer, rest @ ..] if *layer != KEY_DIRECTORY => {
                let tree = &self.layer(*layer)?.tree;
                let found = tree.attributes_of_key(&NodeKey::new(rest)?).await?;
                // Directories have keys of their own: a layer's key of one is not from here.
                if found.kind == NodeKind::Directory {
                    return Err(ErrorKind::BadKey.into());
                }
                let place = Place::Other(*layer, found.node);
                let mut attributes = self.own(*layer, found).await?;
                attributes.node = self.table().intern(place, None);
                Ok(attributes)
            }
            _ => self.attributes(self.resolve_key(key).await?).await,
        }
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        match self.directory(dir)?.path.parent() {
            Some(path) => {
                let parts = Vec::new();
                let above = self.refresh(&Directory { path, parts }).await?;
                Ok(self.intern(above))
            }
            None => Ok(dir),
        }
    }

    /// That of the topmost layer that has the node.
    async fn capacity(&self, node: NodeId) -> Result<Capacity> {
        let topmost = async |directory: &Directory| {
            let (layer, part) = directory.parts.first().ok_or(ErrorKind::Stale)?;
            self.layer(*layer)?.tree.capacity(*part).await
        };
        match self.place(node)? {
            (Place::Other(layer, inner), _) => self.layer(layer)?.tree.capacity(inner).await,
            (Place::Directory(_), Some(mut directory)) => {
                with_directory!(self, directory, topmost(&directory).await)
            }
            (Place::Directory(_), None) => Err(ErrorKind::Stale.into()),
        }
    }
}
