//! UDF (ECMA-167 third edition; OSTA UDF 1.02 to 2.01).
//!
//! The parsers take bytes and give values or a [`Fault`]; [`opening`], [`content`] and [`directory`]
//! read the bytes for them. A volume of a later revision is read too if its partitions are plain;
//! a metadata partition, which makes a volume UDF 2.50, is refused by its name, as virtual and
//! sparable partitions (discs that are written in packets) are.
//!
//! A node's number is the address of its file entry ([`BlockAddress::number`]), so all names of a
//! hard link have the same.

mod address;
mod allocation;
mod characters;
mod content;
mod descriptor;
mod directory;
mod extended_attribute;
mod fault;
mod fields;
mod file_entry;
pub(crate) mod fuzzing;
mod identifier;
pub(crate) mod image_builder;
mod opening;
mod path_component;
mod recognition;
mod sequence;
mod tag;
mod timestamp;
#[cfg(test)]
mod volume_tests;

use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tree::{Attributes, ErrorKind, NodeId, NodeKind};

use self::address::BlockAddress;
use self::fault::Fault;
use self::file_entry::{EntryContent, FileEntry};
use crate::format::{Content, Entry, Fingerprint, Format, Node};
use crate::reader::Reader;
use crate::{Damage, ImageError, Limits};

/// A UDF volume.
#[derive(Debug)]
pub(crate) struct Volume {
    reader: Reader,
    limits: Limits,
    /// Bytes of a logical block.
    block_size: u32,
    revision: u16,
    /// By partition reference, as addresses have them.
    partitions: Vec<PartitionPlace>,
    root: BlockAddress,
    identifier: String,
    fingerprint: Fingerprint,
}

/// Where a partition lies in the image, in bytes.
#[derive(Debug, Clone, Copy)]
struct PartitionPlace {
    start: u64,
    len: u64,
}

/// A file entry that was read.
#[derive(Debug)]
struct Found {
    at: BlockAddress,
    /// Where its block lies in the image, in bytes.
    place: u64,
    block: Bytes,
    entry: FileEntry,
}

impl Volume {
    /// Where a range that begins with this block lies in the image.
    fn locate(&self, at: BlockAddress, len: u64) -> Result<u64, Damage> {
        let partition = self.partitions.get(usize::from(at.partition));
        let partition = partition.ok_or(Damage::BeyondEnd)?;
        let offset = u64::from(at.block) * u64::from(self.block_size);
        match offset.checked_add(len) {
            Some(end) if end <= partition.len => {}
            _ => return Err(Damage::BeyondEnd),
        }
        let place = partition.start + offset;
        self.reader.check(place, len)?;
        Ok(place)
    }

    async fn find(&self, at: BlockAddress) -> Result<Found, ImageError> {
        let place = self.locate(at, u64::from(self.block_size))?;
        let block = self.reader.read(place, self.block_len()).await?;
        Ok(Found::new(at, place, block)?)
    }

    /// Bytes of a logical block, 4096 at most.
    const fn block_len(&self) -> usize {
        self.block_size as usize
    }

    async fn find_node(&self, node: NodeId) -> Result<Found, ImageError> {
        match BlockAddress::from_number(node.get().get()) {
            Some(at) if self.may_be(node) => self.find(at).await,
            _ => Err(ErrorKind::Stale.into()),
        }
    }

    async fn find_directory(&self, dir: NodeId) -> Result<Found, ImageError> {
        let found = self.find_node(dir).await?;
        match found.entry.kind {
            NodeKind::Directory => Ok(found),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// What is known of a node, but for the length of a link's target.
    fn attributes(&self, found: &Found) -> Attributes {
        let entry = &found.entry;
        let mut attributes = Attributes::new(found.at.node(), entry.kind, entry.len);
        attributes.used = entry.blocks.checked_mul(u64::from(self.block_size));
        attributes.mode = entry.mode;
        attributes.uid = entry.uid;
        attributes.gid = entry.gid;
        attributes.nlink = entry.nlink;
        attributes.rdev = entry.device;
        attributes.accessed = entry.accessed.unwrap_or_default();
        attributes.modified = entry.modified.unwrap_or_default();
        attributes.changed = entry.changed.unwrap_or_default();
        attributes
    }
}

impl Found {
    fn new(at: BlockAddress, place: u64, block: Bytes) -> Result<Self, Fault> {
        let entry = FileEntry::parse(&block, at.block)?;
        Ok(Self {
            at,
            place,
            block,
            entry,
        })
    }
}

impl BlockAddress {
    fn node(self) -> NodeId {
        // A number is an address and one: never 0.
        NodeId::new(NonZeroU64::new(self.number()).unwrap_or(NonZeroU64::MIN))
    }
}

#[async_trait]
impl Format for Volume {
    fn name(&self) -> &'static str {
        match self.revision {
            0x0100..=0x0102 => "UDF 1.02",
            0x0150 => "UDF 1.50",
            0x0200 => "UDF 2.00",
            0x0201 => "UDF 2.01",
            _ => "UDF",
        }
    }

    fn volume_id(&self) -> &str {
        &self.identifier
    }

    fn declared_len(&self) -> Option<u64> {
        let ends = self.partitions.iter();
        ends.map(|partition| partition.start + partition.len).max()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn root(&self) -> NodeId {
        self.root.node()
    }

    fn may_be(&self, node: NodeId) -> bool {
        let at = BlockAddress::from_number(node.get().get());
        at.is_some_and(|at| self.locate(at, u64::from(self.block_size)).is_ok())
    }

    async fn node(&self, node: NodeId) -> Result<Node, ImageError> {
        let found = self.find_node(node).await?;
        let mut attributes = self.attributes(&found);
        let content = match (found.entry.kind, &found.entry.content) {
            (NodeKind::Directory, _) => Content::Directory,
            (NodeKind::Link, _) => {
                let target = self.target(&found, &mut self.budget()).await?;
                attributes.len = target.len() as u64;
                Content::Link(target.into())
            }
            (NodeKind::File, EntryContent::Refused(why)) => Content::Refused(*why),
            (NodeKind::File, _) => {
                let extents = self.extents(&found, &mut self.budget()).await?;
                Content::File(Arc::new(extents))
            }
            _ => Content::Special,
        };
        Ok(Node {
            attributes,
            content,
        })
    }

    async fn entries(&self, dir: NodeId) -> Result<Vec<Entry>, ImageError> {
        self.children(&self.find_directory(dir).await?).await
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId, ImageError> {
        let found = self.find_directory(dir).await?;
        match found.at == self.root {
            true => Ok(dir),
            false => {
                let above = self.parent_of(&found, &mut self.budget()).await?;
                Ok(above.node())
            }
        }
    }
}
