//! From an image to its UDF volume.

use bytes::Bytes;
use pxe_tree::NodeKind;

use super::address::VolumeExtent;
use super::descriptor::{Anchor, FileSet, LogicalVolume};
use super::recognition::{self, RECOGNITION_LEN, RECOGNITION_START};
use super::sequence::{Sequence, Step};
use super::{PartitionPlace, Volume};
use crate::format::fingerprint;
use crate::reader::Reader;
use crate::{Damage, ImageError, Limits, Unsupported};

/// Sizes of a sector, in bytes: those of optical discs first, then those of hard disks.
const SECTOR_SIZES: [u32; 4] = [2048, 512, 4096, 1024];

/// A volume descriptor sequence that was read.
struct Described {
    sequence: Sequence,
    /// Its sectors.
    sectors: Vec<Bytes>,
}

impl Volume {
    /// The volume of an image; `None` if there is no UDF.
    ///
    /// # Errors
    /// Damage, if there is one that cannot be read; `Unsupported` for its kinds of partitions.
    pub(crate) async fn open(reader: &Reader, limits: &Limits) -> Result<Option<Self>, ImageError> {
        let Some(left) = reader.len().checked_sub(RECOGNITION_START) else {
            return Ok(None);
        };
        let len = usize::try_from(left).map_or(RECOGNITION_LEN, |left| left.min(RECOGNITION_LEN));
        let recognition = reader.read(RECOGNITION_START, len).await?;
        if !recognition::names_udf(&recognition) {
            return Ok(None);
        }
        // What is said if nothing can be read: the first anchor's fault is nearest to the cause.
        let mut fault = None;
        for sector_size in SECTOR_SIZES {
            for sector in anchor_sectors(reader.len() / u64::from(sector_size)) {
                let Some(anchor) = anchor(reader, sector_size, sector).await? else {
                    continue;
                };
                for extent in [anchor.main, anchor.reserve] {
                    match Self::described(reader, limits, sector_size, extent).await {
                        Ok(volume) => return Ok(Some(volume)),
                        Err(error @ (ImageError::Unsupported(_) | ImageError::Tree(_))) => {
                            return Err(error);
                        }
                        Err(error) => fault = fault.or(Some(error)),
                    }
                }
            }
        }
        Err(fault.unwrap_or(Damage::Tag.into()))
    }

    /// The volume that the sequence in this extent describes.
    async fn described(
        reader: &Reader,
        limits: &Limits,
        sector_size: u32,
        extent: VolumeExtent,
    ) -> Result<Self, ImageError> {
        let described = describe(reader, limits, sector_size, extent).await?;
        let (primary, logical, partitions) = described.sequence.finish()?;
        let LogicalVolume { block_size, .. } = logical;
        // UDF 2.01 section 2.2.4.2: a logical block is a sector.
        if block_size != sector_size {
            return Err(Unsupported::BlockSize(block_size).into());
        }
        let place = |partition: &super::descriptor::Partition| PartitionPlace {
            start: u64::from(partition.start) * u64::from(block_size),
            len: u64::from(partition.len) * u64::from(block_size),
        };
        let mut volume = Self {
            reader: reader.clone(),
            limits: limits.clone(),
            block_size,
            revision: logical.revision,
            partitions: partitions.iter().map(place).collect(),
            root: logical.file_set,
            identifier: logical.identifier,
            fingerprint: [0; 16],
        };
        if let Some(primary) = primary
            && volume.identifier.is_empty()
        {
            volume.identifier = primary.identifier;
        }
        let place = volume.locate(logical.file_set, u64::from(block_size))?;
        let file_set = reader.read(place, volume.block_len()).await?;
        volume.root = FileSet::parse(&file_set, logical.file_set.block)?.root;
        let mut parts: Vec<&[u8]> = described.sectors.iter().map(|part| &part[..]).collect();
        parts.push(&file_set);
        volume.fingerprint = fingerprint(&parts);
        match volume.find(volume.root).await?.entry.kind {
            NodeKind::Directory => Ok(volume),
            _ => Err(Damage::Malformed.into()),
        }
    }
}

/// Where an anchor may lie in an image of this many sectors: 256, the last sector and 256 before
/// it (ECMA-167 part 3 section 8.4.2.1), and 512 on a disc that was not closed (UDF 2.01 section
/// 6.13.1.1).
fn anchor_sectors(count: u64) -> impl Iterator<Item = u32> {
    let last = count.checked_sub(1);
    let before_last = last.and_then(|last| last.checked_sub(256));
    [Some(256), last, before_last, Some(512)]
        .into_iter()
        .flatten()
        .filter_map(|sector| u32::try_from(sector).ok())
}

async fn anchor(
    reader: &Reader,
    sector_size: u32,
    sector: u32,
) -> Result<Option<Anchor>, ImageError> {
    match read_sector(reader, sector_size, sector).await {
        Ok(bytes) => Ok(Anchor::parse(&bytes, sector).ok()),
        Err(ImageError::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read_sector(reader: &Reader, sector_size: u32, sector: u32) -> Result<Bytes, ImageError> {
    let place = u64::from(sector) * u64::from(sector_size);
    reader.read(place, sector_size as usize).await
}

/// Reads a volume descriptor sequence, on to the extents that it leads to.
async fn describe(
    reader: &Reader,
    limits: &Limits,
    sector_size: u32,
    mut extent: VolumeExtent,
) -> Result<Described, ImageError> {
    let mut described = Described {
        sequence: Sequence::default(),
        sectors: Vec::new(),
    };
    let mut done = 0;
    while done < extent.len / sector_size {
        if described.sectors.len() >= limits.volume_descriptors_max {
            return Err(Damage::Limit("volume_descriptors_max").into());
        }
        let sector = extent.sector.checked_add(done).ok_or(Damage::BeyondEnd)?;
        let bytes = read_sector(reader, sector_size, sector).await?;
        let step = described.sequence.take(&bytes, sector)?;
        described.sectors.push(bytes);
        match step {
            Step::Next => done += 1,
            Step::Elsewhere(next) => (extent, done) = (next, 0),
            Step::End => break,
        }
    }
    Ok(described)
}
