//! The System Use Sharing Protocol (IEEE P1281, version 1.12).

use super::field::{byte, le32, part};
use crate::Damage;

/// One system use entry: its signature, and what follows the header of four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SystemUse<'a> {
    pub(super) signature: [u8; 2],
    pub(super) data: &'a [u8],
}

/// The entries of an area, up to `ST` (section 5.4) or what cannot be one.
#[derive(Debug, Clone)]
pub(super) struct SystemUses<'a> {
    rest: &'a [u8],
}

impl<'a> SystemUses<'a> {
    pub(super) const fn new(area: &'a [u8]) -> Self {
        Self { rest: area }
    }
}

impl<'a> Iterator for SystemUses<'a> {
    type Item = SystemUse<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let &[first, second, len, _version, ..] = self.rest else {
            return None;
        };
        let (entry, rest) = self.rest.split_at_checked(usize::from(len))?;
        let data = entry.get(4..)?;
        self.rest = rest;
        let signature = [first, second];
        (signature != *b"ST").then_some(SystemUse { signature, data })
    }
}

/// Where an area goes on: `CE` (section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Continuation {
    pub(super) block: u32,
    pub(super) offset: u32,
    pub(super) len: u32,
}

impl Continuation {
    pub(super) fn parse(data: &[u8]) -> Result<Self, Damage> {
        Ok(Self {
            block: le32(data, 0)?,
            offset: le32(data, 8)?,
            len: le32(data, 16)?,
        })
    }
}

/// How many bytes each area begins with that belong to others, by the root's `SP` (section 5.3).
/// `None` if the root has none: then there is no system use sharing on this volume.
///
/// `SP` is the first entry of the root's area; on CD-ROM XA discs 14 bytes of theirs lie before it
/// (section 5.3; Linux looks there too, fs/isofs/rock.c).
pub(super) fn bytes_skipped(root_area: &[u8]) -> Option<usize> {
    let sp = |area: &[u8]| {
        let header = part(area, 0, 6).ok()?;
        let is_sp = header.starts_with(b"SP") && header.ends_with(&[0xbe, 0xef]);
        is_sp.then(|| byte(area, 6).map(usize::from).ok())?
    };
    sp(root_area).or_else(|| sp(root_area.get(14..)?))
}

/// The area of the root's own record, which begins with `SP` wherever that lies.
pub(super) fn root_area(area: &[u8]) -> &[u8] {
    match area.get(14..) {
        Some(behind) if !area.starts_with(b"SP") && behind.starts_with(b"SP") => behind,
        _ => area,
    }
}
