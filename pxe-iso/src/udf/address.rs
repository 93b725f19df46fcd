//! Addresses of blocks: in the volume, and in one of its partitions.

use super::fields::Fields;
use crate::Damage;

/// A run of sectors of the volume (`extent_ad`, ECMA-167 part 3 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VolumeExtent {
    /// Bytes.
    pub(super) len: u32,
    /// The first sector, counted from the start of the image.
    pub(super) sector: u32,
}

impl VolumeExtent {
    pub(super) fn parse(fields: Fields<'_>, at: usize) -> Result<Self, Damage> {
        Ok(Self {
            len: fields.u32(at)?,
            sector: fields.u32(at + 4)?,
        })
    }
}

/// A logical block (`lb_addr`, ECMA-167 part 4 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockAddress {
    /// The block, counted in its partition.
    pub(crate) block: u32,
    /// Which of the volume's partition maps names the partition.
    pub(crate) partition: u16,
}

impl BlockAddress {
    pub(super) fn parse(fields: Fields<'_>, at: usize) -> Result<Self, Damage> {
        Ok(Self {
            block: fields.u32(at)?,
            partition: fields.u16(at + 4)?,
        })
    }

    /// A number for this address that is never 0 and below 2^48 + 1.
    pub(crate) const fn number(self) -> u64 {
        ((self.partition as u64) << 32 | self.block as u64) + 1
    }

    /// The address of such a number.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        let number = number.checked_sub(1)?;
        Some(Self {
            block: u32::try_from(number & u64::from(u32::MAX)).ok()?,
            partition: u16::try_from(number >> 32).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_their_numbers_are_the_same() {
        for (block, partition) in [(0, 0), (7, 1), (u32::MAX, u16::MAX)] {
            let address = BlockAddress { block, partition };
            assert_ne!(address.number(), 0);
            assert_eq!(BlockAddress::from_number(address.number()), Some(address));
        }
        assert_eq!(BlockAddress::from_number(0), None);
        assert_eq!(BlockAddress::from_number((1 << 48) + 1), None);
    }
}
