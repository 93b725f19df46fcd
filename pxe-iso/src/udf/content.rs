//! The content of files: where it lies, and that of small ones as bytes.

use bytes::Bytes;

use super::address::BlockAddress;
use super::allocation::{self, Allocation, Form};
use super::file_entry::EntryContent;
use super::path_component;
use super::{Found, Volume};
use crate::extent::{Extent, Extents};
use crate::{Damage, ImageError};

/// Continuations of a file's allocation descriptors. A block of 2048 bytes has 253 of them, so this
/// is more than the extents that a file may have.
const CONTINUATIONS_MAX: usize = 1024;

/// Bytes of one continuation; writers use a block.
const CONTINUATION_BYTES_MAX: u64 = 64 << 10;

/// Bytes of a path component around its characters: four, and one for the compression.
const COMPONENT_OVERHEAD: u64 = 5;

/// What one extent of allocation descriptors leads to.
type Continuation = Option<(BlockAddress, u32)>;

/// What may still be read to answer one question: descriptors, and the content of directories and
/// links. A small image can name the same bytes ever again.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_left: u64,
}

/// What says that a budget is spent: no entry is left out for that.
pub(super) const SPENT: Damage = Damage::Limit("directory_bytes_max");

impl Budget {
    fn take(&mut self, bytes: u64) -> Result<(), Damage> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(SPENT)?;
        Ok(())
    }
}

impl Volume {
    pub(super) const fn budget(&self) -> Budget {
        let bytes_left = self.limits.directory_bytes_max;
        Budget { bytes_left }
    }

    /// Where a file's content lies; exactly its length, in the image.
    pub(super) async fn extents(
        &self,
        found: &Found,
        budget: &mut Budget,
    ) -> Result<Extents, ImageError> {
        let mut extents = Extents::default();
        let (form, place) = match &found.entry.content {
            EntryContent::Refused(why) => return Err((*why).into()),
            EntryContent::Embedded(place) => {
                let extent = Extent {
                    place: Some(found.place + place.start as u64),
                    len: place.len() as u64,
                };
                extents.push(extent, self.limits.extents_max)?;
                return Ok(extents);
            }
            EntryContent::Allocated(form, place) => (*form, place.clone()),
        };
        let len = found.entry.len;
        let descriptors = found.block.get(place).ok_or(Damage::TooShort)?;
        let partition = found.at.partition;
        let mut next = self.add(&mut extents, len, descriptors, form, partition)?;
        let mut continuations = 0;
        while let Some((at, bytes)) = next {
            continuations += 1;
            if continuations > CONTINUATIONS_MAX {
                return Err(Damage::Loop.into());
            }
            let bytes = u64::from(bytes).min(CONTINUATION_BYTES_MAX);
            budget.take(bytes)?;
            let place = self.locate(at, bytes)?;
            let bytes = usize::try_from(bytes).map_err(|_| Damage::Malformed)?;
            let extent = self.reader.read(place, bytes).await?;
            let descriptors = allocation::parse_extent(&extent, at.block)?;
            next = self.add(&mut extents, len, descriptors, form, at.partition)?;
        }
        match extents.len() == len {
            true => Ok(extents),
            false => Err(Damage::TooShort.into()),
        }
    }

    /// Adds what these descriptors name, up to the length of the file: behind it lies what was
    /// put by for more (the tail, ECMA-167 part 4 section 12.1).
    fn add(
        &self,
        extents: &mut Extents,
        file_len: u64,
        descriptors: &[u8],
        form: Form,
        partition: u16,
    ) -> Result<Continuation, ImageError> {
        for allocation in allocation::parse_all(descriptors, form, partition) {
            let left = file_len.saturating_sub(extents.len());
            if left == 0 {
                break;
            }
            let extent = match allocation? {
                Allocation::Continued { at, len } => return Ok(Some((at, len))),
                Allocation::Unrecorded { len } => Extent {
                    place: None,
                    len: left.min(u64::from(len)),
                },
                Allocation::Recorded { at, len } => {
                    let len = left.min(u64::from(len));
                    let place = Some(self.locate(at, len)?);
                    Extent { place, len }
                }
            };
            extents.push(extent, self.limits.extents_max)?;
        }
        Ok(None)
    }

    /// The content as bytes, which the caller has bounded.
    pub(super) async fn content(
        &self,
        found: &Found,
        budget: &mut Budget,
    ) -> Result<Bytes, ImageError> {
        budget.take(found.entry.len)?;
        match &found.entry.content {
            EntryContent::Embedded(place) => {
                let content = found.block.get(place.clone()).ok_or(Damage::TooShort)?;
                Ok(found.block.slice_ref(content))
            }
            _ => {
                let extents = self.extents(found, budget).await?;
                self.reader.read_extents(&extents).await
            }
        }
    }

    /// The target of a symbolic link.
    pub(super) async fn target(
        &self,
        found: &Found,
        budget: &mut Budget,
    ) -> Result<Vec<u8>, ImageError> {
        let len_max = self.limits.link_bytes_max;
        // At its longest, each character is a component of its own.
        let content_max = (len_max as u64).saturating_mul(COMPONENT_OVERHEAD + 1);
        if found.entry.len > content_max {
            return Err(Damage::Limit("link_bytes_max").into());
        }
        let content = self.content(found, budget).await?;
        let target = path_component::target(&content)?;
        match target.len() <= len_max {
            true => Ok(target),
            false => Err(Damage::Limit("link_bytes_max").into()),
        }
    }
}
