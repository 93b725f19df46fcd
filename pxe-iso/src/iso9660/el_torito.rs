//! The boot catalogue (El Torito 1.0, UEFI 2.10 section 13.3.2.1).

use super::descriptor::SECTOR;
use super::field::{byte, le16, le32, part};
use crate::{Damage, Limits};

/// Bytes of an entry.
const ENTRY: usize = 32;
/// Bytes that a sector count of the catalogue counts by.
const VIRTUAL_SECTOR: u64 = 512;

/// Something to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BootEntry {
    /// Where the entry lies in the catalogue, in bytes.
    pub(super) place: usize,
    platform: u8,
    media: u8,
    sectors: u16,
    /// Where its content begins in the image, in bytes.
    pub(super) content: u64,
}

impl BootEntry {
    /// The name under which it is shown: its number, from 1, and its platform.
    pub(super) fn name(&self, number: usize) -> String {
        let platform = match self.platform {
            0 => "BIOS",
            1 => "PowerPC",
            2 => "Mac",
            0xef => "UEFI",
            _ => "Other",
        };
        format!("{number}-{platform}.img")
    }

    /// How many bytes it has, at most `left`; `head` is the beginning of its content.
    ///
    /// The catalogue tells what the firmware loads. For floppies that is the format's size. A file
    /// system (UEFI's) tells its own: the sector count has 16 bits, and firmware takes 0 and 1 for
    /// "to the end" (EDK2, MdeModulePkg/Universal/Disk/PartitionDxe/ElTorito.c).
    pub(super) fn len(&self, head: &[u8], left: u64) -> u64 {
        let counted = u64::from(self.sectors) * VIRTUAL_SECTOR;
        let len = match self.media & 0x0f {
            1 => 1200 << 10,
            2 => 1440 << 10,
            3 => 2880 << 10,
            4 => hard_disk_bytes(head).unwrap_or(counted),
            _ => match fat_bytes(head) {
                Some(bytes) => bytes.max(counted),
                None if self.platform == 0xef && self.sectors < 2 => left,
                None if counted == 0 => SECTOR,
                None => counted,
            },
        };
        len.min(left)
    }
}

/// Bytes of a FAT file system by its boot sector.
fn fat_bytes(head: &[u8]) -> Option<u64> {
    let sector_bytes = u64::from(le16(head, 11).ok()?);
    let is_fat = part(head, 510, 2) == Ok(&[0x55, 0xaa])
        && matches!(byte(head, 0), Ok(0xeb | 0xe9))
        && matches!(sector_bytes, 512 | 1024 | 2048 | 4096);
    let sectors = match le16(head, 19).ok()? {
        0 => u64::from(le32(head, 32).ok()?),
        small => u64::from(small),
    };
    (is_fat && sectors > 0).then_some(sectors * sector_bytes)
}

/// Bytes up to the end of a disk's first partition: the catalogue has but one.
fn hard_disk_bytes(head: &[u8]) -> Option<u64> {
    let start = u64::from(le32(head, 446 + 8).ok()?);
    let sectors = u64::from(le32(head, 446 + 12).ok()?);
    let is_there = part(head, 510, 2) == Ok(&[0x55, 0xaa]) && sectors > 0;
    is_there.then_some((start + sectors) * VIRTUAL_SECTOR)
}

/// The entries of a catalogue, also those that firmware is not to boot.
///
/// # Errors
/// `Malformed` or `Checksum` if the validation entry is none.
pub(super) fn parse(catalogue: &[u8], limits: &Limits) -> Result<Vec<BootEntry>, Damage> {
    let validation = part(catalogue, 0, ENTRY)?;
    if byte(validation, 0)? != 1 || part(validation, 30, 2)? != [0x55, 0xaa] {
        return Err(Damage::Malformed);
    }
    let (words, _) = validation.as_chunks::<2>();
    let sum = words.iter().fold(0u16, |sum, word| {
        sum.wrapping_add(u16::from_le_bytes(*word))
    });
    if sum != 0 {
        return Err(Damage::Checksum);
    }
    let mut platform = byte(validation, 1)?;
    let mut found = Vec::new();
    let (entries, _) = catalogue.as_chunks::<ENTRY>();
    // Entries that the last section header announced; the first one needs none.
    let mut announced = 1;
    for (number, entry) in entries.iter().enumerate().skip(1) {
        match entry[0] {
            // A header, 0x91 for the last one; entries follow.
            0x90 | 0x91 => {
                platform = entry[1];
                announced = le16(entry, 2)?;
            }
            // What goes on about the entry before.
            0x44 => {}
            0x88 | 0x00 if announced > 0 => {
                announced -= 1;
                let content = u64::from(le32(entry, 8)?) * SECTOR;
                if content == 0 {
                    continue;
                }
                found.push(BootEntry {
                    place: number * ENTRY,
                    platform,
                    media: entry[1],
                    sectors: le16(entry, 6)?,
                    content,
                });
                if found.len() >= limits.boot_entries_max {
                    break;
                }
            }
            _ => break,
        }
    }
    Ok(found)
}
