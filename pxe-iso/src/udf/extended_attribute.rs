//! Extended attributes of a file entry: of them, the numbers of a device (ECMA-167 part 4 sections
//! 14.10.1 and 14.10.7).

use super::fields::Fields;
use crate::Damage;

/// Bytes of the header that begins the attributes' space.
const HEADER_LEN: usize = 24;

/// The device specification's attribute type.
const DEVICE: u32 = 12;

/// Major and minor number of a device, if the attributes have them.
pub(super) fn device(space: &[u8]) -> Result<Option<(u32, u32)>, Damage> {
    let mut rest = space.get(HEADER_LEN..).unwrap_or(&[]);
    while !rest.is_empty() {
        let fields = Fields::new(rest);
        let len = fields.len(8)?;
        if fields.u32(0)? == DEVICE {
            return Ok(Some((fields.u32(16)?, fields.u32(20)?)));
        }
        // The type, the subtype and the length itself: each step goes ahead.
        if len < 12 {
            return Err(Damage::Malformed);
        }
        rest = rest.get(len..).ok_or(Damage::TooShort)?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(words: &[u32]) -> Vec<u8> {
        let words = words.iter().flat_map(|word| word.to_le_bytes());
        std::iter::repeat_n(0, HEADER_LEN).chain(words).collect()
    }

    #[test]
    fn the_device_is_found_behind_other_attributes() {
        let found = device(&space(&[5, 1, 16, 0, 12, 1, 24, 0, 8, 3]));
        assert_eq!(found, Ok(Some((8, 3))));
        assert_eq!(device(&space(&[5, 1, 16, 0])), Ok(None));
        assert_eq!(device(&[]), Ok(None));
    }

    #[test]
    fn attributes_that_lead_nowhere_are_damage() {
        assert_eq!(device(&space(&[5, 1, 0, 0])), Err(Damage::Malformed));
        assert_eq!(device(&space(&[5, 1, 99, 0])), Err(Damage::TooShort));
        assert_eq!(device(&space(&[12, 1, 24, 0])), Err(Damage::TooShort));
        assert_eq!(device(&space(&[5])), Err(Damage::TooShort));
    }
}
