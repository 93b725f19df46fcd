//! File identifier descriptors: the entries of a directory (ECMA-167 part 4 section 14.4).

use super::address::BlockAddress;
use super::fields::Fields;
use super::tag::{self, Tag};
use crate::Damage;

/// An entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentifier<'a> {
    pub(super) role: Role,
    /// The block of the file entry.
    pub(super) icb: BlockAddress,
    /// The name, as compressed characters; empty for the parent.
    pub(super) identifier: &'a [u8],
}

/// What an entry is for, by its characteristics (section 14.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A file or a directory.
    Child,
    /// The directory above.
    Parent,
    /// It was removed.
    Deleted,
}

/// Bytes before the implementation use and the identifier.
const FIXED_LEN: usize = 38;

impl<'a> FileIdentifier<'a> {
    /// The first entry of these bytes, and the bytes after it. Its tag's location is not looked
    /// at: Linux does not either, and writers have got it wrong.
    ///
    /// Its CRC covers no more than the entry, as Linux has it too: else each entry of a large
    /// directory could ask for the CRC of the 64 KiB behind it.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Damage> {
        let fields = Fields::new(bytes);
        let characteristics = fields.u8(18)?;
        let identifier_len = usize::from(fields.u8(19)?);
        let identifier_at = FIXED_LEN + usize::from(fields.u16(36)?);
        let identifier = fields.slice(identifier_at, identifier_len)?;
        // Entries are a multiple of four long.
        let len = (identifier_at + identifier_len).next_multiple_of(4);
        let own = fields.slice(0, len)?;
        if Tag::parse(own)?.identifier != tag::FILE_IDENTIFIER {
            return Err(Damage::Tag);
        }
        let entry = Self {
            // Bit 2 is that of a removed entry, bit 3 of the parent.
            role: match characteristics {
                bits if bits & 1 << 2 != 0 => Role::Deleted,
                bits if bits & 1 << 3 != 0 => Role::Parent,
                _ => Role::Child,
            },
            icb: BlockAddress::parse(fields, 20 + 4)?,
            identifier,
        };
        Ok((entry, bytes.get(len..).ok_or(Damage::TooShort)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udf::image_builder::identifier;

    #[test]
    fn entries_follow_each_other() {
        let mut bytes = identifier(1 << 3, 5, b"");
        bytes.extend(identifier(1 << 2, 6, b"\x08gone"));
        bytes.extend(identifier(0, 7, b"\x08name"));
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (entry, after) = FileIdentifier::parse(rest).expect("an entry");
            found.push((entry.role, entry.icb.block, entry.identifier));
            rest = after;
        }
        let expected = [
            (Role::Parent, 5, &b""[..]),
            (Role::Deleted, 6, b"\x08gone"),
            (Role::Child, 7, b"\x08name"),
        ];
        assert_eq!(found, expected);
    }

    /// Each entry of a large directory could ask for the CRC of 64 KiB.
    #[test]
    fn the_crc_covers_no_more_than_its_entry() {
        let mut bytes = identifier(0, 7, b"\x08name");
        let own = bytes.len();
        bytes.extend(identifier(0, 8, b"\x08next"));
        let covered = u16::try_from(own + 4 - tag::TAG_LEN).expect("short");
        bytes[10..12].copy_from_slice(&covered.to_le_bytes());
        crate::udf::image_builder::sign(&mut bytes[..own + 4]);
        assert_eq!(Tag::parse(&bytes).map(|tag| tag.identifier), Ok(257));
        assert_eq!(FileIdentifier::parse(&bytes), Err(Damage::TooShort));
    }

    #[test]
    fn an_entry_that_ends_early_is_damage() {
        let bytes = identifier(0, 7, b"\x08name");
        for len in 0..bytes.len() {
            assert_eq!(FileIdentifier::parse(&bytes[..len]), Err(Damage::TooShort));
        }
    }
}
