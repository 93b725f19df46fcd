//! All images as one tree.

use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tree::{
    Attributes, Blob, Capacity, Cookie, DirEntry, DirPage, Error, ErrorKind, ListedEntry,
    ListedPage, Name, NodeId, NodeKey, NodeKind, Result, Tree,
};

use super::library::{FileHash, Library, Offered, hash};
use super::shelf::{Shelf, Shelved};

/// The images of a library: for each that is offered its inside as `NAME`, the image itself as
/// `NAME.iso`, and what lies beside it as `NAME.beside`.
///
/// A [`NodeId`] is the number of an image and a node within it, so no table is kept. A key is made of
/// the image's file name, the fingerprint of its volume, and the node: it survives a restart, and
/// while somebody uses it, the image's replacement.
#[derive(Debug)]
pub(crate) struct ImagesTree {
    library: Arc<Library>,
    fsid: u64,
}

/// How many bits of a [`NodeId`] are a node's within its image: its place in the image in bytes, or
/// a block of one of 4096 partitions.
const INNER_BITS: u32 = 44;
const INNER_MAX: u64 = (1 << INNER_BITS) - 1;
/// The root.
const ROOT: u64 = 1;
/// In the place of an image's number: what lies beside images.
const BESIDE: u64 = (1 << (64 - INNER_BITS)) - 1;
/// The greatest number of an image; the smallest is 1.
pub(super) const NUMBER_MAX: u64 = BESIDE - 1;

/// The node within an image that stands for the image itself; no node of an image is 0.
const ITSELF: u64 = 0;

const KEY_ROOT: u8 = 0x72;
const KEY_INSIDE: u8 = 0x64;
const KEY_IMAGE: u8 = 0x66;
const KEY_BESIDE: u8 = 0x62;

/// What a node is.
#[derive(Debug, Clone)]
enum Place {
    Root,
    Inside(Arc<Offered>, NodeId),
    Image(Arc<Offered>),
    Beside(Arc<dyn Tree>, NodeId),
}

impl ImagesTree {
    /// The images of this library.
    pub(crate) fn new(library: Arc<Library>) -> Self {
        let fsid = hash(&[b"images"]);
        Self { library, fsid }
    }

    fn place(&self, node: NodeId) -> Result<Place> {
        let (image, inner) = (node.get().get() >> INNER_BITS, node.get().get() & INNER_MAX);
        let inner = NonZeroU64::new(inner).map(NodeId::new);
        let shelf = self.library.shelf();
        Ok(match (image, inner) {
            (0, Some(_)) if node == self.root() => Place::Root,
            (BESIDE, Some(inner)) => Place::Beside(folder(&shelf)?, inner),
            (number, inner) => {
                let image = shelf.by_number(number).ok_or(ErrorKind::Stale)?;
                match inner {
                    Some(inner) => Place::Inside(Arc::clone(image), inner),
                    None => Place::Image(Arc::clone(image)),
                }
            }
        })
    }

    fn inside(&self, image: &Offered, mut attributes: Attributes) -> Result<Attributes> {
        attributes.node = packed(image.number, attributes.node.get().get())?;
        attributes.fsid = image.fsid;
        Ok(attributes)
    }

    /// The image itself as a file.
    fn image(&self, image: &Offered) -> Result<Attributes> {
        let mut attributes = image.blob.attributes().clone();
        attributes.node = packed(image.number, ITSELF)?;
        attributes.fsid = self.fsid;
        // What is in it is served to all.
        attributes.mode = 0o444;
        (attributes.uid, attributes.gid) = (0, 0);
        Ok(attributes)
    }

    fn beside(&self, mut attributes: Attributes) -> Result<Attributes> {
        attributes.node = packed(BESIDE, attributes.node.get().get())?;
        attributes.fsid = self.fsid;
        Ok(attributes)
    }

    fn root_attributes(&self, shelf: &Shelf) -> Attributes {
        let mut attributes = Attributes::new(self.root(), NodeKind::Directory, 0);
        attributes.fsid = self.fsid;
        attributes.fileid = ROOT;
        attributes.nlink = 2;
        attributes.accessed = shelf.changed;
        attributes.modified = shelf.changed;
        attributes.changed = shelf.changed;
        attributes.change = shelf.stamp;
        // An image's links are whoever's who made it, and lead into it alone.
        attributes.confines_entries = true;
        attributes
    }

    async fn attributes_of(&self, shelf: &Shelf, what: &Shelved) -> Result<Attributes> {
        match what {
            Shelved::Inside(image) => {
                let root = image.tree.attributes(image.tree.root()).await?;
                self.inside(image, root)
            }
            Shelved::Image(image) => self.image(image),
            Shelved::Beside(name) => {
                let folder = folder(shelf)?;
                self.beside(folder.lookup(folder.root(), name).await?)
            }
        }
    }

    async fn look_up_image(&self, name: &Name) -> Result<Attributes> {
        let shelf = self.library.shelf();
        match shelf.entry(name) {
            Some(entry) => self.attributes_of(&shelf, &entry.what).await,
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    async fn list(&self, after: Cookie, entries_max: usize) -> Result<ListedPage> {
        let shelf = self.library.shelf();
        let mut entries = Vec::new();
        for entry in shelf.after(after) {
            if entries.len() == entries_max.max(1) {
                return Ok(ListedPage::new(entries, false));
            }
            // One that was edited a moment ago hides itself alone.
            let Ok(attributes) = self.attributes_of(&shelf, &entry.what).await else {
                continue;
            };
            let (kind, fileid) = (attributes.kind, attributes.fileid);
            let listed = DirEntry::new(entry.name.clone(), entry.cookie, kind, fileid);
            entries.push(ListedEntry::new(listed, Some(attributes)));
        }
        Ok(ListedPage::new(entries, true))
    }

    /// The attributes of a key, if it leads anywhere now.
    async fn find_key(&self, key: &NodeKey) -> Result<Attributes> {
        let shelf = self.library.shelf();
        match key.as_bytes() {
            [KEY_ROOT, rest @ ..] if *rest == self.fsid.to_le_bytes() => {
                Ok(self.root_attributes(&shelf))
            }
            [KEY_BESIDE, rest @ ..] => {
                let key = NodeKey::new(rest)?;
                let Some(folder) = &shelf.folder else {
                    return Err(ErrorKind::Stale.into());
                };
                let found = folder.attributes_of_key(&key).await?;
                match found.node == folder.root() {
                    // Nothing above the folders beside images is served.
                    true => Err(ErrorKind::BadKey.into()),
                    false => self.beside(found),
                }
            }
            [tag @ (KEY_INSIDE | KEY_IMAGE), rest @ ..] => {
                let (file, rest) = rest
                    .split_first_chunk::<{ size_of::<FileHash>() }>()
                    .ok_or(ErrorKind::BadKey)?;
                let key = NodeKey::new(rest)?;
                let mut wrong = ErrorKind::Stale;
                for image in shelf.by_file(file) {
                    let found = match *tag {
                        KEY_IMAGE => self.key_of_image(image, &key),
                        _ => match image.tree.attributes_of_key(&key).await {
                            Ok(found) => self.inside(image, found),
                            Err(error) => Err(error),
                        },
                    };
                    match found {
                        Ok(found) => {
                            self.library.note_mounted(image);
                            return Ok(found);
                        }
                        Err(error) => match error.kind() {
                            ErrorKind::Stale if image.blob.validate().is_err() => {
                                // It was edited, and will be opened anew.
                                self.library.ring();
                                wrong = ErrorKind::Busy;
                            }
                            ErrorKind::Stale => {}
                            ErrorKind::BadKey => wrong = ErrorKind::BadKey,
                            _ => return Err(error),
                        },
                    }
                }
                match shelf.is_awaited(file) {
                    true => Err(ErrorKind::Busy.into()),
                    false => Err(wrong.into()),
                }
            }
            _ => Err(ErrorKind::BadKey.into()),
        }
    }

    fn key_of_image(&self, image: &Offered, key: &NodeKey) -> Result<Attributes> {
        image.blob.validate()?;
        match image.tree.key(image.tree.root())? == *key {
            true => self.image(image),
            false => Err(ErrorKind::Stale.into()),
        }
    }
}

fn folder(shelf: &Shelf) -> Result<Arc<dyn Tree>> {
    Ok(Arc::clone(shelf.folder.as_ref().ok_or(ErrorKind::Stale)?))
}

/// The node of this number within an image.
fn packed(image: u64, inner: u64) -> Result<NodeId> {
    if inner > INNER_MAX {
        return Err(ErrorKind::Unsupported.into());
    }
    let number = NonZeroU64::new((image << INNER_BITS) | inner).ok_or(ErrorKind::Unsupported)?;
    Ok(NodeId::new(number))
}

fn prefixed(prefix: &[&[u8]], key: &NodeKey) -> Result<NodeKey> {
    let bytes = [&prefix.concat()[..], key.as_bytes()].concat();
    Ok(NodeKey::new(&bytes).map_err(|_| ErrorKind::Unsupported)?)
}

/// What is asked again once the folder was looked at, if it was not yet and the answer may change
/// by that.
macro_rules! once_known {
    ($tree:ident, $wrong:pat, $work:expr) => {{
        let done: Result<Attributes> = $work;
        match done {
            Err(error) if matches!(error.kind(), $wrong) && !$tree.library.is_known() => {
                match $tree.library.known().await {
                    true => $work,
                    false => Err(Error::new(ErrorKind::Busy)),
                }
            }
            done => done,
        }
    }};
}

#[async_trait]
impl Tree for ImagesTree {
    fn root(&self) -> NodeId {
        NodeId::new(NonZeroU64::MIN)
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        match self.place(dir)? {
            Place::Root => {
                once_known!(self, ErrorKind::NotFound, self.look_up_image(name).await)
            }
            Place::Inside(image, dir) => self.inside(&image, image.tree.lookup(dir, name).await?),
            Place::Image(_) => Err(ErrorKind::NotADirectory.into()),
            Place::Beside(folder, dir) => self.beside(folder.lookup(dir, name).await?),
        }
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        match self.place(node)? {
            Place::Root => Ok(self.root_attributes(&self.library.shelf())),
            Place::Inside(image, node) => self.inside(&image, image.tree.attributes(node).await?),
            Place::Image(image) => self.image(&image),
            Place::Beside(folder, node) => self.beside(folder.attributes(node).await?),
        }
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        match self.place(dir)? {
            Place::Root => {
                let page = self.list(after, entries_max).await?;
                let entries = page.entries.into_iter().map(|listed| listed.entry);
                Ok(DirPage::new(entries.collect(), page.end))
            }
            Place::Inside(image, dir) => image.tree.read_dir(dir, after, entries_max).await,
            Place::Image(_) => Err(ErrorKind::NotADirectory.into()),
            Place::Beside(folder, dir) => folder.read_dir(dir, after, entries_max).await,
        }
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        match self.place(node)? {
            Place::Root | Place::Image(_) => Err(ErrorKind::NotALink.into()),
            Place::Inside(image, node) => image.tree.read_link(node).await,
            Place::Beside(folder, node) => folder.read_link(node).await,
        }
    }

    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        match self.place(node)? {
            Place::Root => Err(ErrorKind::IsADirectory.into()),
            Place::Inside(image, node) => image.tree.open(node).await,
            Place::Image(image) => Ok(Arc::clone(&image.blob)),
            Place::Beside(folder, node) => folder.open(node).await,
        }
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        match self.place(node)? {
            Place::Root => {
                let key = [&[KEY_ROOT][..], &self.fsid.to_le_bytes()].concat();
                Ok(NodeKey::new(&key)?)
            }
            Place::Inside(image, node) => {
                self.library.note_mounted(&image);
                prefixed(&[&[KEY_INSIDE], &image.file], &image.tree.key(node)?)
            }
            Place::Image(image) => {
                let volume = image.tree.key(image.tree.root())?;
                prefixed(&[&[KEY_IMAGE], &image.file], &volume)
            }
            Place::Beside(folder, node) => prefixed(&[&[KEY_BESIDE]], &folder.key(node)?),
        }
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        Ok(self.attributes_of_key(key).await?.node)
    }

    async fn attributes_of_key(&self, key: &NodeKey) -> Result<Attributes> {
        once_known!(self, ErrorKind::Stale, self.find_key(key).await)
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        match self.place(dir)? {
            Place::Root => Ok(dir),
            Place::Inside(image, inner) if inner == image.tree.root() => Ok(self.root()),
            Place::Inside(image, inner) => {
                packed(image.number, image.tree.parent(inner).await?.get().get())
            }
            Place::Image(_) => Err(ErrorKind::NotADirectory.into()),
            Place::Beside(folder, inner) => {
                let above = folder.parent(inner).await?;
                match above == folder.root() {
                    true => Ok(self.root()),
                    false => packed(BESIDE, above.get().get()),
                }
            }
        }
    }

    async fn read_dir_attributes(
        &self,
        dir: NodeId,
        after: Cookie,
        entries_max: usize,
    ) -> Result<ListedPage> {
        let place = self.place(dir)?;
        let mut page = match &place {
            Place::Root => return self.list(after, entries_max).await,
            Place::Inside(image, dir) => {
                let page = image.tree.read_dir_attributes(*dir, after, entries_max);
                page.await?
            }
            Place::Image(_) => return Err(ErrorKind::NotADirectory.into()),
            Place::Beside(folder, dir) => {
                folder.read_dir_attributes(*dir, after, entries_max).await?
            }
        };
        for listed in &mut page.entries {
            let attributes = listed.attributes.take();
            listed.attributes = attributes.and_then(|attributes| match &place {
                Place::Inside(image, _) => self.inside(image, attributes).ok(),
                _ => self.beside(attributes).ok(),
            });
        }
        Ok(page)
    }

    async fn capacity(&self, node: NodeId) -> Result<Capacity> {
        match self.place(node)? {
            Place::Root => Ok(Capacity::default()),
            Place::Inside(image, node) => image.tree.capacity(node).await,
            Place::Image(image) => {
                let mut capacity = Capacity::default();
                capacity.bytes_total = image.blob.attributes().len;
                Ok(capacity)
            }
            Place::Beside(folder, node) => folder.capacity(node).await,
        }
    }
}
