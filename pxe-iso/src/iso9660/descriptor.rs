//! Volume descriptors (ECMA-119 section 8, El Torito section 2.0).

use pxe_tree::Timestamp;

use super::field::{byte, date17, le16, le32, part};
use super::name::ucs2;
use super::record::Record;
use crate::{Damage, Unsupported};

/// Bytes of a logical sector and of a volume descriptor.
pub(super) const SECTOR: u64 = 2048;
/// The first sector of the volume descriptors; those before are for the system.
pub(super) const FIRST_SECTOR: u64 = 16;

/// One volume descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Descriptor {
    /// Section 8.4.
    Primary(VolumeDescriptor),
    /// Section 8.5 with an escape sequence of Joliet.
    Joliet(VolumeDescriptor),
    /// El Torito: the sector of the boot catalogue.
    Boot(u32),
    /// Section 8.3.
    End,
    /// Any other: partitions, other boot systems, other character sets.
    Other,
}

/// What the reader needs of a primary or supplementary descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VolumeDescriptor {
    pub(super) volume_id: String,
    /// Logical blocks of the volume.
    pub(super) blocks: u32,
    /// Bytes of a logical block: 512, 1024 or 2048.
    pub(super) block_bytes: u32,
    /// The block at which the root directory's data begins.
    pub(super) root_block: u64,
    /// The first block and the bytes of the path table whose numbers are little-endian.
    pub(super) path_table: (u32, u32),
    /// When the volume was made.
    pub(super) created: Option<Timestamp>,
}

/// Why a descriptor is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Damaged(Damage),
    Unsupported(Unsupported),
}

impl From<Damage> for Refused {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

/// The descriptor in a sector; `None` if there is none, as after the last one of an image that
/// lacks the terminator.
///
/// # Errors
/// A block size that no such volume can have, a root that is no directory.
pub(super) fn parse(sector: &[u8]) -> Result<Option<Descriptor>, Refused> {
    if part(sector, 1, 5)? != b"CD001" {
        return Ok(None);
    }
    Ok(Some(match byte(sector, 0)? {
        0 if part(sector, 7, 23)? == b"EL TORITO SPECIFICATION" => {
            Descriptor::Boot(le32(sector, 71)?)
        }
        1 => Descriptor::Primary(volume(sector, false)?),
        // Joliet section 4.2: UCS-2 level 1, 2 and 3.
        2 if matches!(part(sector, 88, 3)?, b"%/@" | b"%/C" | b"%/E") => {
            Descriptor::Joliet(volume(sector, true)?)
        }
        255 => Descriptor::End,
        _ => Descriptor::Other,
    }))
}

fn volume(sector: &[u8], is_ucs2: bool) -> Result<VolumeDescriptor, Refused> {
    let block_bytes = u32::from(le16(sector, 128)?);
    if !matches!(block_bytes, 512 | 1024 | 2048) {
        return Err(Refused::Unsupported(Unsupported::BlockSize(block_bytes)));
    }
    let root = Record::parse(part(sector, 156, 34)?)?;
    if !root.is_directory() {
        return Err(Damage::Malformed.into());
    }
    let id = part(sector, 40, 32)?;
    let volume_id = match is_ucs2 {
        true => ucs2(id),
        false => String::from_utf8_lossy(id).into_owned(),
    };
    let end = volume_id.trim_end_matches([' ', '\0']).len();
    Ok(VolumeDescriptor {
        volume_id: volume_id.get(..end).unwrap_or_default().to_owned(),
        blocks: le32(sector, 80)?,
        block_bytes,
        root_block: root.data_block(),
        path_table: (le32(sector, 140)?, le32(sector, 132)?),
        created: date17(part(sector, 813, 17)?),
    })
}
