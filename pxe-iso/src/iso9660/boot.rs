//! The directory in which El Torito's entries are shown as files.

use std::num::NonZeroU64;
use std::sync::Arc;

use pxe_tree::{Attributes, NameBuf, NodeId, NodeKind, Timestamp};

use super::descriptor::SECTOR;
use super::el_torito;
use crate::extent::{Extent, Extents};
use crate::format::{Content, Entry, Node};
use crate::reader::Reader;
use crate::{ImageError, Limits};

/// Its name, as 7-Zip has it.
const NAME: &str = "[BOOT]";
/// Bytes of a boot sector.
const HEAD: usize = 512;

/// The directory, and all that is in it.
#[derive(Debug)]
pub(super) struct BootDirectory {
    /// Named after the place of the boot record, which is no directory's.
    node: Node,
    /// Named after the places of their entries in the catalogue.
    files: Vec<(NameBuf, Node)>,
}

impl BootDirectory {
    /// Reads the catalogue and the first sector of each entry; `None` if there are no entries.
    ///
    /// # Errors
    /// A damaged catalogue, and what reading gives.
    pub(super) async fn open(
        reader: &Reader,
        record_place: u64,
        catalogue_sector: u32,
        modified: Option<Timestamp>,
        limits: &Limits,
    ) -> Result<Option<Self>, ImageError> {
        let start = u64::from(catalogue_sector) * SECTOR;
        let left = reader.len().saturating_sub(start);
        let entries_bytes = (limits.boot_entries_max as u64).saturating_mul(32);
        let len = entries_bytes.clamp(SECTOR, 16 * SECTOR).min(left);
        let catalogue = reader
            .read(start, usize::try_from(len).unwrap_or(0))
            .await?;
        let mut files = Vec::new();
        for (number, entry) in (1..).zip(el_torito::parse(&catalogue, limits)?) {
            let left = reader.len().saturating_sub(entry.content);
            let head = left.min(HEAD as u64) as usize;
            let head = reader.read(entry.content.min(reader.len()), head).await?;
            let len = entry.len(&head, left);
            let mut extents = Extents::default();
            let place = Some(entry.content);
            extents.push(Extent { place, len }, 1)?;
            let name = NameBuf::new(entry.name(number));
            let id = node_id(start + entry.place as u64);
            if let (Ok(name), Some(id)) = (name, id) {
                let attributes = attributes(id, NodeKind::File, len, modified);
                let content = Content::File(Arc::new(extents));
                let node = Node {
                    attributes,
                    content,
                };
                files.push((name, node));
            }
        }
        let Some(id) = node_id(record_place).filter(|_| !files.is_empty()) else {
            return Ok(None);
        };
        let node = Node {
            attributes: attributes(id, NodeKind::Directory, SECTOR, modified),
            content: Content::Directory,
        };
        Ok(Some(Self { node, files }))
    }

    pub(super) const fn id(&self) -> NodeId {
        self.node.attributes.node
    }

    /// The directory itself, or one of its files.
    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        let files = self.files.iter().map(|(_, node)| node);
        std::iter::once(&self.node)
            .chain(files)
            .find(|node| node.attributes.node == id)
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let entry = |(name, node): &(NameBuf, Node)| Entry {
            name: name.clone(),
            attributes: node.attributes.clone(),
        };
        self.files.iter().map(entry).collect()
    }

    /// The entry of the directory itself, in the root.
    pub(super) fn entry(&self) -> Option<Entry> {
        let name = NameBuf::new(NAME).ok()?;
        let attributes = self.node.attributes.clone();
        Some(Entry { name, attributes })
    }
}

fn node_id(place: u64) -> Option<NodeId> {
    NonZeroU64::new(place).map(NodeId::new)
}

fn attributes(id: NodeId, kind: NodeKind, len: u64, modified: Option<Timestamp>) -> Attributes {
    let mut attributes = Attributes::new(id, kind, len);
    let modified = modified.unwrap_or_default();
    attributes.accessed = modified;
    attributes.modified = modified;
    attributes.changed = modified;
    attributes
}
