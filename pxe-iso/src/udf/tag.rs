//! Descriptor tags: what begins every descriptor (ECMA-167 part 3 section 7.2, part 4 section 7.2).

use super::fields::Fields;
use crate::Damage;

/// Primary volume descriptor.
pub(super) const PRIMARY_VOLUME: u16 = 1;
/// Anchor volume descriptor pointer.
pub(super) const ANCHOR: u16 = 2;
/// Volume descriptor pointer: the sequence goes on elsewhere.
pub(super) const VOLUME_POINTER: u16 = 3;
/// Partition descriptor.
pub(super) const PARTITION: u16 = 5;
/// Logical volume descriptor.
pub(super) const LOGICAL_VOLUME: u16 = 6;
/// Terminating descriptor.
pub(super) const TERMINATING: u16 = 8;
/// File set descriptor.
pub(super) const FILE_SET: u16 = 256;
/// File identifier descriptor.
pub(super) const FILE_IDENTIFIER: u16 = 257;
/// Allocation extent descriptor.
pub(super) const ALLOCATION_EXTENT: u16 = 258;
/// File entry.
pub(super) const FILE_ENTRY: u16 = 261;
/// Extended file entry.
pub(super) const EXTENDED_FILE_ENTRY: u16 = 266;

/// Bytes of a tag.
pub(super) const TAG_LEN: usize = 16;

/// A tag whose checksum and CRC are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    /// Which descriptor it is.
    pub(super) identifier: u16,
    /// The block, counted in its partition or volume, where the descriptor says it lies.
    pub(super) location: u32,
}

impl Tag {
    /// The tag at the start of a descriptor; the bytes that its CRC covers have to be there.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let fields = Fields::new(bytes);
        let head = fields.slice(0, TAG_LEN)?;
        let sum = head
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != 4)
            .fold(0_u8, |sum, (_, byte)| sum.wrapping_add(*byte));
        if sum != fields.u8(4)? {
            return Err(Damage::Checksum);
        }
        let covered = fields.slice(TAG_LEN, usize::from(fields.u16(10)?))?;
        if crc(covered) != fields.u16(8)? {
            return Err(Damage::Checksum);
        }
        Ok(Self {
            identifier: fields.u16(0)?,
            location: fields.u32(12)?,
        })
    }

    /// The same, for a descriptor that has to be `identifier` and to lie at `location`.
    pub(super) fn expect(bytes: &[u8], identifier: u16, location: u32) -> Result<(), Damage> {
        let tag = Self::parse(bytes)?;
        if tag.identifier != identifier {
            return Err(Damage::Tag);
        }
        match tag.location == location {
            true => Ok(()),
            false => Err(Damage::Tag),
        }
    }
}

/// The CRC of ECMA-167 part 3 section 7.2.6: polynomial x^16 + x^12 + x^5 + 1, starting at 0.
pub(super) fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        (u16::from(low) << 8) ^ CRC_TABLE[usize::from(high ^ byte)]
    })
}

const CRC_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = match crc & 0x8000 {
                0 => crc << 1,
                _ => (crc << 1) ^ 0x1021,
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udf::image_builder;

    #[test]
    fn the_crc_is_that_of_the_standards_example() {
        // ECMA-167 part 3 section 7.2.6 gives this example.
        assert_eq!(crc(&[0x70, 0x6a, 0x77]), 0x3299);
        assert_eq!(crc(&[]), 0);
    }

    #[test]
    fn a_tag_is_taken_only_with_its_checksum_crc_kind_and_place() {
        let good = image_builder::tagged(FILE_SET, 7, &[1, 2, 3, 4, 5]);
        assert_eq!(Tag::expect(&good, FILE_SET, 7), Ok(()));
        assert_eq!(Tag::expect(&good, FILE_ENTRY, 7), Err(Damage::Tag));
        assert_eq!(Tag::expect(&good, FILE_SET, 8), Err(Damage::Tag));
        let mut wrong = good.clone();
        wrong[12] ^= 1;
        assert_eq!(Tag::parse(&wrong), Err(Damage::Checksum));
        let mut wrong = good.clone();
        wrong[18] ^= 1;
        assert_eq!(Tag::parse(&wrong), Err(Damage::Checksum));
        for len in 0..good.len() {
            assert_eq!(Tag::parse(&good[..len]), Err(Damage::TooShort));
        }
    }
}
