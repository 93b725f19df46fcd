//! The volume descriptor sequence: which of its descriptors prevail (ECMA-167 part 3 section 8.4).

use super::address::VolumeExtent;
use super::descriptor::{LogicalVolume, Partition, PrimaryVolume};
use super::fault::Fault;
use super::fields::Fields;
use super::tag::{self, Tag};
use crate::Damage;

/// Partition descriptors of one volume.
const PARTITIONS_MAX: usize = 64;

/// What a sequence said so far.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    primary: Option<PrimaryVolume>,
    logical: Option<LogicalVolume>,
    partitions: Vec<Partition>,
}

/// Where the reading of a sequence goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// At the next sector.
    Next,
    /// In another extent.
    Elsewhere(VolumeExtent),
    /// Nowhere.
    End,
}

impl Sequence {
    /// Takes the descriptor of one sector. Of the descriptors of one kind that with the highest
    /// sequence number prevails.
    pub(super) fn take(&mut self, bytes: &[u8], sector: u32) -> Result<Step, Fault> {
        // An unrecorded sector ends the sequence as well (section 8.4.2).
        if bytes.iter().take(tag::TAG_LEN).all(|byte| *byte == 0) {
            return Ok(Step::End);
        }
        let found = Tag::parse(bytes)?;
        if found.location != sector {
            return Err(Damage::Tag.into());
        }
        match found.identifier {
            tag::PRIMARY_VOLUME => {
                let new = PrimaryVolume::parse(bytes)?;
                let prevails = |old: &PrimaryVolume| old.sequence_number > new.sequence_number;
                if !self.primary.as_ref().is_some_and(prevails) {
                    self.primary = Some(new);
                }
            }
            tag::LOGICAL_VOLUME => {
                let new = LogicalVolume::parse(bytes)?;
                let prevails = |old: &LogicalVolume| old.sequence_number > new.sequence_number;
                if !self.logical.as_ref().is_some_and(prevails) {
                    self.logical = Some(new);
                }
            }
            tag::PARTITION => self.take_partition(Partition::parse(bytes)?)?,
            tag::VOLUME_POINTER => {
                let next = VolumeExtent::parse(Fields::new(bytes), 20)?;
                return Ok(Step::Elsewhere(next));
            }
            tag::TERMINATING => return Ok(Step::End),
            // Implementation use, unallocated space and whatever else says nothing to a reader.
            _ => {}
        }
        Ok(Step::Next)
    }

    fn take_partition(&mut self, new: Partition) -> Result<(), Damage> {
        let full = self.partitions.len() >= PARTITIONS_MAX;
        let same = |old: &&mut Partition| old.number == new.number;
        match self.partitions.iter_mut().find(same) {
            Some(old) if old.sequence_number > new.sequence_number => {}
            Some(old) => *old = new,
            None if !full => self.partitions.push(new),
            None => return Err(Damage::Limit("volume_descriptors_max")),
        }
        Ok(())
    }

    /// What prevailed: the primary and the logical volume, and for each of its maps the partition.
    pub(super) fn finish(
        self,
    ) -> Result<(Option<PrimaryVolume>, LogicalVolume, Vec<Partition>), Damage> {
        let logical = self.logical.ok_or(Damage::Tag)?;
        let find = |number: &u16| {
            let found = self.partitions.iter().find(|found| found.number == *number);
            found.copied().ok_or(Damage::Tag)
        };
        let partitions = logical.partition_numbers.iter().map(find);
        let partitions = partitions.collect::<Result<_, _>>()?;
        Ok((self.primary, logical, partitions))
    }
}
