//! An image as a tree.

use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tree::{
    Attributes, Blob, Capacity, Cookie, DirEntry, DirPage, Error, ErrorKind, ListedEntry,
    ListedPage, Name, NodeId, NodeKey, Result, Tree, Turn,
};

use crate::blob::ExtentBlob;
use crate::directory_cache::{Directory, DirectoryCache};
use crate::format::{Content, Entry, Fingerprint, Format};
use crate::reader::Reader;
use crate::{ImageError, Limits};

/// The first byte of a key.
const KEY_TAG: u8 = 0x69;

/// The inside of an image.
///
/// A [`NodeId`] is the place of the node's record in the image: ids are never forgotten. A key is
/// an id and a fingerprint of the volume's descriptors (identifiers, dates, size), so it is the
/// same on every server that has a copy of the image, and stale once the image is replaced.
#[derive(Debug)]
pub struct ImageTree {
    reader: Reader,
    format: Box<dyn Format>,
    limits: Limits,
    fingerprint: Fingerprint,
    /// The fingerprint as a number: `fsid` and `change` of all nodes.
    number: u64,
    directories: DirectoryCache,
}

impl ImageTree {
    pub(crate) fn new(reader: Reader, format: Box<dyn Format>, limits: Limits) -> Self {
        let fingerprint = format.fingerprint();
        let [number @ .., _, _, _, _, _, _, _, _] = fingerprint;
        Self {
            reader,
            format,
            limits,
            fingerprint,
            number: u64::from_le_bytes(number),
            directories: DirectoryCache::default(),
        }
    }

    /// What is read, for people: `ISO 9660, Rock Ridge`.
    pub fn format_name(&self) -> &'static str {
        self.format.name()
    }

    /// The volume identifier: `Debian 12.5.0 amd64 1`.
    pub fn volume_id(&self) -> &str {
        self.format.volume_id()
    }

    /// How many bytes the volume has by its own descriptors, if they tell. A file that is shorter
    /// is not the whole image; a longer one may have a partition table or a checksum behind it.
    pub fn declared_len(&self) -> Option<u64> {
        self.format.declared_len()
    }

    fn finished(&self, mut attributes: Attributes) -> Attributes {
        attributes.fsid = self.number;
        attributes.change = self.number;
        attributes
    }

    async fn directory(&self, dir: NodeId) -> Result<Arc<Directory>> {
        let _maker = match self.directories.turn(dir).await {
            Turn::Made(known) => {
                // What is remembered is of no use once the image was edited in place.
                self.reader.image().validate()?;
                return Ok(known);
            }
            Turn::Make(maker) => maker,
        };
        let mut entries = self.format.entries(dir).await?;
        for Entry { attributes, .. } in &mut entries {
            attributes.fsid = self.number;
            attributes.change = self.number;
        }
        let directory = Arc::new(Directory::new(entries));
        self.directories
            .put(dir, Arc::clone(&directory), &self.limits);
        Ok(directory)
    }

    async fn page<T>(
        &self,
        dir: NodeId,
        after: Cookie,
        entries_max: usize,
        entry: impl Fn(&Entry, Cookie) -> T + Send,
    ) -> Result<(Vec<T>, bool)> {
        let directory = self.directory(dir).await?;
        let start = usize::try_from(after.0).map_err(|_| ErrorKind::BadCookie)?;
        let rest = directory.entries().get(start..);
        let rest = rest.ok_or(ErrorKind::BadCookie)?;
        let page = rest.get(..entries_max.max(1)).unwrap_or(rest);
        let cookies = (after.0 + 1..).map(Cookie);
        let entries = page.iter().zip(cookies);
        let entries = entries.map(|(found, cookie)| entry(found, cookie));
        Ok((entries.collect(), page.len() == rest.len()))
    }
}

fn dir_entry(found: &Entry, cookie: Cookie) -> DirEntry {
    let attributes = &found.attributes;
    DirEntry::new(
        found.name.clone(),
        cookie,
        attributes.kind,
        attributes.fileid,
    )
}

#[async_trait]
impl Tree for ImageTree {
    fn root(&self) -> NodeId {
        self.format.root()
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        let directory = self.directory(dir).await?;
        let found = directory.find(name).ok_or(ErrorKind::NotFound)?;
        Ok(found.attributes.clone())
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        Ok(self.finished(self.format.node(node).await?.attributes))
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        let (entries, end) = self.page(dir, after, entries_max, dir_entry).await?;
        Ok(DirPage::new(entries, end))
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        match self.format.node(node).await?.content {
            Content::Link(target) => Ok(target),
            _ => Err(ErrorKind::NotALink.into()),
        }
    }

    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        let node = self.format.node(node).await?;
        let attributes = self.finished(node.attributes);
        match node.content {
            Content::File(extents) => {
                extents.check(&self.reader).map_err(ImageError::from)?;
                let image = Arc::clone(self.reader.image());
                Ok(Arc::new(ExtentBlob::new(image, attributes, extents)))
            }
            Content::Refused(why) => Err(ImageError::Unsupported(why).into()),
            Content::Directory => Err(ErrorKind::IsADirectory.into()),
            Content::Link(_) | Content::Special => Err(ErrorKind::NotAFile.into()),
        }
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        if !self.format.may_be(node) {
            return Err(ErrorKind::Stale.into());
        }
        let mut key = vec![KEY_TAG];
        key.extend_from_slice(&self.fingerprint);
        key.extend_from_slice(&node.get().get().to_le_bytes());
        Ok(NodeKey::new(&key)?)
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        Ok(self.attributes_of_key(key).await?.node)
    }

    async fn attributes_of_key(&self, key: &NodeKey) -> Result<Attributes> {
        let rest = key.as_bytes().strip_prefix(&[KEY_TAG]);
        let parts = rest.and_then(<[u8]>::split_first_chunk::<16>);
        let (fingerprint, number) = parts.ok_or(ErrorKind::BadKey)?;
        let number = <[u8; 8]>::try_from(number).map_err(|_| ErrorKind::BadKey)?;
        if *fingerprint != self.fingerprint {
            return Err(ErrorKind::Stale.into());
        }
        let number = NonZeroU64::new(u64::from_le_bytes(number)).ok_or(ErrorKind::BadKey)?;
        match self.format.node(NodeId::new(number)).await {
            Ok(node) => Ok(self.finished(node.attributes)),
            // No record of ours lies there: this tree did not make the key.
            Err(ImageError::Damaged(_) | ImageError::Unsupported(_)) => {
                Err(ErrorKind::Stale.into())
            }
            Err(error) => Err(Error::from(error)),
        }
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        Ok(self.format.parent(dir).await?)
    }

    async fn capacity(&self, node: NodeId) -> Result<Capacity> {
        self.format.node(node).await?;
        let mut capacity = Capacity::default();
        capacity.bytes_total = self.reader.len();
        Ok(capacity)
    }

    async fn read_dir_attributes(
        &self,
        dir: NodeId,
        after: Cookie,
        entries_max: usize,
    ) -> Result<ListedPage> {
        let listed = |found: &Entry, cookie| {
            let attributes = Some(found.attributes.clone());
            ListedEntry::new(dir_entry(found, cookie), attributes)
        };
        let (entries, end) = self.page(dir, after, entries_max, listed).await?;
        Ok(ListedPage::new(entries, end))
    }
}
