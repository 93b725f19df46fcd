//! Directory records (ECMA-119 section 9.1).

use pxe_tree::Timestamp;

use super::field::{byte, date7, le32, part};
use crate::Damage;

/// Bytes of a record before its identifier.
const FIXED_BYTES: usize = 33;
/// The longest record.
pub(super) const RECORD_BYTES_MAX: usize = 255;

/// A directory record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Bytes of the record.
    pub(super) len: usize,
    /// Blocks of the extended attribute record, which lies before the data (section 9.5).
    extended_blocks: u8,
    /// The block of the extent.
    block: u32,
    /// Bytes of the data.
    pub(super) data_len: u32,
    pub(super) date: Option<Timestamp>,
    flags: u8,
    /// File unit size and interleave gap size are not zero.
    pub(super) is_interleaved: bool,
    pub(super) identifier: &'a [u8],
    pub(super) system_use: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the beginning of these bytes.
    ///
    /// # Errors
    /// `TooShort` if it does not end in them, `Malformed` if its fields do not fit into it.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Damage> {
        let len = usize::from(byte(bytes, 0)?);
        let record = part(bytes, 0, len)?;
        if len <= FIXED_BYTES {
            return Err(Damage::Malformed);
        }
        let identifier_len = usize::from(byte(record, 32)?);
        let identifier = part(record, FIXED_BYTES, identifier_len);
        let identifier = identifier.map_err(|_| Damage::Malformed)?;
        if identifier.is_empty() {
            return Err(Damage::Malformed);
        }
        // A byte of padding makes the place of what follows even (section 9.1.12).
        let system_use = FIXED_BYTES + (identifier_len | 1);
        Ok(Self {
            len,
            extended_blocks: byte(record, 1)?,
            block: le32(record, 2)?,
            data_len: le32(record, 10)?,
            date: date7(part(record, 18, 7)?),
            flags: byte(record, 25)?,
            is_interleaved: byte(record, 26)? != 0 || byte(record, 27)? != 0,
            identifier,
            system_use: record.get(system_use..).unwrap_or_default(),
        })
    }

    /// The block at which the data begins, behind the extended attribute record.
    pub(super) const fn data_block(&self) -> u64 {
        self.block as u64 + self.extended_blocks as u64
    }

    pub(super) const fn is_directory(&self) -> bool {
        self.flags & 0x02 != 0
    }

    /// An associated file: the resource fork of a file of the same name (section 9.1.6).
    pub(super) const fn is_associated(&self) -> bool {
        self.flags & 0x04 != 0
    }

    /// The file goes on in the next record.
    pub(super) const fn goes_on(&self) -> bool {
        self.flags & 0x80 != 0
    }

    /// `.`
    pub(super) const fn is_self(&self) -> bool {
        matches!(self.identifier, [0])
    }

    /// `..`
    pub(super) const fn is_parent(&self) -> bool {
        matches!(self.identifier, [1])
    }
}

/// The records of a part of a directory, each with its place in the image.
///
/// A length of 0 means that the rest of the sector is unused (section 6.8.1.1). A record that
/// goes over the end of a sector, which is not allowed, is read as Linux reads it. What cannot be
/// a record ends the sector in which it lies: the next one begins with a record again.
#[derive(Debug, Clone)]
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    /// Where `bytes` begins in the image.
    start: u64,
    at: usize,
}

impl<'a> Records<'a> {
    pub(super) const fn new(bytes: &'a [u8], start: u64) -> Self {
        let at = 0;
        Self { bytes, start, at }
    }

    fn next_sector(&mut self) {
        let place = self.start + self.at as u64;
        let left = super::descriptor::SECTOR - place % super::descriptor::SECTOR;
        // At most 2048.
        self.at += left as usize;
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u64, Record<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            if *rest.first()? == 0 {
                self.next_sector();
                continue;
            }
            let Ok(record) = Record::parse(rest) else {
                self.next_sector();
                continue;
            };
            let place = self.start + self.at as u64;
            self.at += record.len;
            return Some((place, record));
        }
    }
}
