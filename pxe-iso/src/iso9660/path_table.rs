//! The path table: all directories of a hierarchy, each with the number of the one above it
//! (ECMA-119 section 9.4).

use super::field::{byte, le16, le32};

/// Bytes of a record before its identifier.
const FIXED_BYTES: usize = 8;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PathRecord {
    /// The block at which the directory's data begins, behind the extended attribute record.
    block: u64,
    /// The number of the directory above, from 1.
    parent: u16,
}

/// The records of a table whose numbers are little-endian (type L).
fn records(table: &[u8]) -> impl Iterator<Item = PathRecord> {
    let mut rest = table;
    std::iter::from_fn(move || {
        let identifier_len = usize::from(byte(rest, 0).ok()?);
        let record = PathRecord {
            block: u64::from(le32(rest, 2).ok()?) + u64::from(byte(rest, 1).ok()?),
            parent: le16(rest, 6).ok()?,
        };
        // A byte of padding makes the length even (section 9.4.6).
        let len = FIXED_BYTES + identifier_len.next_multiple_of(2);
        rest = rest.get(len..).unwrap_or_default();
        // A length of 0 is that of what is behind the last record.
        (identifier_len > 0).then_some(record)
    })
}

/// The block of the directory above the one at `block`.
pub(super) fn parent_block(table: &[u8], block: u64) -> Option<u64> {
    let found = records(table).find(|record| record.block == block)?;
    let above = usize::from(found.parent).checked_sub(1)?;
    records(table).nth(above).map(|record| record.block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso9660::image_builder::path_record as record;

    #[test]
    fn each_directory_has_one_above_it() {
        let table = [
            record(20, 1, &[0]),
            record(21, 1, b"ODD"),
            record(22, 1, b"EVEN"),
            record(23, 3, b"BELOW"),
            record(24, 9, b"NOWHERE"),
        ];
        let table = table.concat();
        for (block, above) in [(20, 20), (21, 20), (22, 20), (23, 22)] {
            assert_eq!(parent_block(&table, block), Some(above), "{block}");
        }
        for block in [0, 24, 25] {
            assert_eq!(parent_block(&table, block), None, "{block}");
        }
        for end in 0..table.len() {
            let found = parent_block(&table[..end], 23);
            assert!(matches!(found, None | Some(22)), "{end}");
        }
    }
}
