//! Directories: their entries, and the way up.

use std::collections::BTreeSet;

use bytes::Bytes;
use pxe_tree::{Attributes, NameBuf, NodeKind};

use super::address::BlockAddress;
use super::characters::shown_name;
use super::content::{Budget, SPENT};
use super::identifier::{FileIdentifier, Role};
use super::{Found, Volume};
use crate::extent::Extents;
use crate::format::Entry;
use crate::{Damage, ImageError};

/// What is read at once where file entries follow each other.
const AHEAD_BYTES: u64 = 64 << 10;

/// What is read of a directory to find the parent, which comes first.
const PARENT_BYTES: u64 = 512;

/// The part of the image that was read last.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Volume {
    /// The entries of a directory. One whose file entry is damaged is left out; so is a directory
    /// that does not name this one as its parent, since only by that no directory contains itself,
    /// and one that came already: each level of such would double the paths.
    pub(super) async fn children(&self, dir: &Found) -> Result<Vec<Entry>, ImageError> {
        let content = self.content(dir, &mut self.budget()).await?;
        let mut budget = self.budget();
        let mut directories = BTreeSet::new();
        let mut rest = &content[..];
        let mut entries = Vec::new();
        let mut window = Window::default();
        while !rest.is_empty() {
            let (identifier, after) = FileIdentifier::parse(rest)?;
            rest = after;
            if identifier.role != Role::Child {
                continue;
            }
            let Ok(name) = shown_name(identifier.identifier) else {
                continue;
            };
            let Ok(name) = NameBuf::new(name) else {
                continue;
            };
            let child = self.child(dir, identifier.icb, &mut window, &mut budget);
            match child.await {
                Ok(Some(found))
                    if found.kind == NodeKind::Directory && !directories.insert(found.node) => {}
                Ok(Some(attributes)) => entries.push(Entry { name, attributes }),
                Err(error @ ImageError::Damaged(SPENT)) => return Err(error),
                Ok(None) | Err(ImageError::Damaged(_) | ImageError::Unsupported(_)) => {}
                Err(error) => return Err(error),
            }
            if entries.len() > self.limits.directory_entries_max {
                return Err(Damage::Limit("directory_entries_max").into());
            }
        }
        Ok(entries)
    }

    async fn child(
        &self,
        dir: &Found,
        at: BlockAddress,
        window: &mut Window,
        budget: &mut Budget,
    ) -> Result<Option<Attributes>, ImageError> {
        let found = self.find_near(at, window).await?;
        let mut attributes = self.attributes(&found);
        match found.entry.kind {
            NodeKind::Directory if at == self.root => return Ok(None),
            NodeKind::Directory if self.parent_of(&found, budget).await? != dir.at => {
                return Ok(None);
            }
            NodeKind::Link => attributes.len = self.target(&found, budget).await?.len() as u64,
            _ => {}
        }
        Ok(Some(attributes))
    }

    /// As [`find`](Self::find), with a look ahead: the file entries of a directory mostly lie
    /// side by side.
    async fn find_near(&self, at: BlockAddress, window: &mut Window) -> Result<Found, ImageError> {
        let block_size = u64::from(self.block_size);
        let place = self.locate(at, block_size)?;
        if let Some(block) = window.get(place, self.block_len()) {
            return Ok(Found::new(at, place, block)?);
        }
        let end = window.start + window.bytes.len() as u64;
        let is_near = !window.bytes.is_empty() && (end..end + AHEAD_BYTES).contains(&place);
        let wanted = match is_near {
            true => AHEAD_BYTES.min(self.reader.len() - place),
            false => block_size,
        };
        let wanted = usize::try_from(wanted).map_err(|_| Damage::Malformed)?;
        window.bytes = self.reader.read(place, wanted).await?;
        window.start = place;
        let block = window.get(place, self.block_len());
        Ok(Found::new(at, place, block.ok_or(Damage::TooShort)?)?)
    }

    /// The directory above this one, as it says.
    pub(super) async fn parent_of(
        &self,
        dir: &Found,
        budget: &mut Budget,
    ) -> Result<BlockAddress, ImageError> {
        let extents = self.extents(dir, budget).await?;
        if let Some(first) = extents.at(0, PARENT_BYTES) {
            let mut start = Extents::default();
            start.push(first, 1)?;
            let start = self.reader.read_extents(&start).await?;
            if let Ok((identifier, _)) = FileIdentifier::parse(&start)
                && identifier.role == Role::Parent
            {
                return Ok(identifier.icb);
            }
        }
        let content = self.content(dir, budget).await?;
        let mut rest = &content[..];
        while !rest.is_empty() {
            let (identifier, after) = FileIdentifier::parse(rest)?;
            if identifier.role == Role::Parent {
                return Ok(identifier.icb);
            }
            rest = after;
        }
        Err(Damage::Malformed.into())
    }
}

impl Window {
    fn get(&self, place: u64, len: usize) -> Option<Bytes> {
        let at = usize::try_from(place.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(len)?)?;
        Some(self.bytes.slice_ref(bytes))
    }
}
