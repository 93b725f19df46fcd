//! Allocation descriptors: where the content of a file lies (ECMA-167 part 4 section 14.14).

use super::address::BlockAddress;
use super::fault::Fault;
use super::fields::Fields;
use super::tag::{self, TAG_LEN, Tag};
use crate::{Damage, Unsupported};

/// The form of a file's allocation descriptors (ECMA-167 part 4 section 14.6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// 8 bytes; blocks of the partition that the descriptor lies in.
    Short,
    /// 16 bytes, with the partition.
    Long,
    /// 20 bytes, with the lengths before and after a compression.
    Extended,
}

impl Form {
    const fn len(self) -> usize {
        match self {
            Self::Short => 8,
            Self::Long => 16,
            Self::Extended => 20,
        }
    }
}

/// One allocation descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allocation {
    /// Bytes of the file, from a block on.
    Recorded { at: BlockAddress, len: u32 },
    /// Bytes that nobody wrote: zeros, with or without blocks put by for them.
    Unrecorded { len: u32 },
    /// More allocation descriptors.
    Continued { at: BlockAddress, len: u32 },
}

/// The descriptors of this form up to the first of length 0, which ends them; short ones refer to
/// the partition that they lie in.
pub(super) fn parse_all(
    bytes: &[u8],
    form: Form,
    partition: u16,
) -> impl Iterator<Item = Result<Allocation, Fault>> + '_ {
    bytes
        .chunks_exact(form.len())
        .map(move |bytes| parse(bytes, form, partition))
        .map_while(Result::transpose)
}

/// A compressed extent.
const COMPRESSED: Fault = Fault::Unsupported(Unsupported::Udf("a compressed extent"));

fn parse(bytes: &[u8], form: Form, partition: u16) -> Result<Option<Allocation>, Fault> {
    let fields = Fields::new(bytes);
    let len_and_type = fields.u32(0)?;
    let len = len_and_type & 0x3fff_ffff;
    if len == 0 {
        return Ok(None);
    }
    let at = match form {
        Form::Short => BlockAddress {
            block: fields.u32(4)?,
            partition,
        },
        Form::Long => BlockAddress::parse(fields, 4)?,
        Form::Extended => {
            // Bits 30 and 31 of the recorded length are reserved.
            let is_plain = fields.u32(4)? & 0x3fff_ffff == fields.u32(8)?;
            if len_and_type >> 30 == 0 && !is_plain {
                return Err(COMPRESSED);
            }
            BlockAddress::parse(fields, 12)?
        }
    };
    Ok(Some(match len_and_type >> 30 {
        0 => Allocation::Recorded { at, len },
        3 => Allocation::Continued { at, len },
        _ => Allocation::Unrecorded { len },
    }))
}

/// The allocation descriptors in an allocation extent, which begins with a descriptor of its own
/// that says how many bytes of them there are (ECMA-167 part 4 section 14.5).
pub(super) fn parse_extent(bytes: &[u8], block: u32) -> Result<&[u8], Damage> {
    Tag::expect(bytes, tag::ALLOCATION_EXTENT, block)?;
    let fields = Fields::new(bytes);
    fields.slice(TAG_LEN + 8, fields.len(20)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: BlockAddress = BlockAddress {
        block: 9,
        partition: 3,
    };

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn all(bytes: &[u8], form: Form) -> Result<Vec<Allocation>, Fault> {
        parse_all(bytes, form, 3).collect()
    }

    #[test]
    fn short_descriptors_have_four_types_and_end_at_length_0() {
        let bytes = words(&[
            100,
            9,
            1 << 30 | 5,
            0,
            2 << 30 | 6,
            0,
            3 << 30 | 7,
            9,
            0,
            1,
            8,
            9,
        ]);
        let parsed = vec![
            Allocation::Recorded { at: AT, len: 100 },
            Allocation::Unrecorded { len: 5 },
            Allocation::Unrecorded { len: 6 },
            Allocation::Continued { at: AT, len: 7 },
        ];
        assert_eq!(all(&bytes, Form::Short), Ok(parsed));
        assert_eq!(all(&bytes[..7], Form::Short), Ok(vec![]));
    }

    #[test]
    fn long_descriptors_name_their_partition() {
        let parsed = Ok(vec![Allocation::Recorded { at: AT, len: 100 }]);
        assert_eq!(all(&words(&[100, 9, 3, 0]), Form::Long), parsed);
    }

    #[test]
    fn extended_descriptors_are_read_unless_they_are_compressed() {
        let parsed = Ok(vec![Allocation::Recorded { at: AT, len: 100 }]);
        assert_eq!(all(&words(&[100, 90, 90, 9, 3]), Form::Extended), parsed);
        let packed = all(&words(&[100, 90, 200, 9, 3]), Form::Extended);
        assert_eq!(packed, Err(COMPRESSED));
    }

    #[test]
    fn an_extent_of_descriptors_is_no_longer_than_its_bytes() {
        let tagged = super::super::image_builder::tagged;
        let good = tagged(tag::ALLOCATION_EXTENT, 4, &words(&[0, 8, 100, 9]));
        assert_eq!(parse_extent(&good, 4), Ok(&words(&[100, 9])[..]));
        let long = tagged(tag::ALLOCATION_EXTENT, 4, &words(&[0, 9, 100, 9]));
        let truncated = Err(Damage::TooShort);
        assert_eq!(parse_extent(&long, 4), truncated);
    }
}
