//! Sets of types, in windows of 256 bits (RFC 4034 section 4.1.2).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Fault, Words, shown};
use crate::RecordType;

/// All words that are left are types.
pub(super) fn parse(words: &mut Words<'_, '_>, data: &mut Vec<u8>) -> Result<(), Fault> {
    let mut kinds = BTreeSet::new();
    while let Some(token) = words.take() {
        let text = std::str::from_utf8(token.text).ok();
        let kind: Option<RecordType> = text.and_then(|text| text.parse().ok());
        let kind = kind.ok_or_else(|| {
            words.fault(format!("{} is not the type of a record", shown(token.text)))
        })?;
        kinds.insert(kind.0);
    }
    let mut windows: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    for kind in kinds {
        let [window, bit] = kind.to_be_bytes();
        let bits = windows.entry(window).or_default();
        bits.resize(usize::from(bit / 8) + 1, 0);
        if let Some(last) = bits.last_mut() {
            *last |= 0x80 >> (bit % 8);
        }
    }
    for (window, bits) in windows {
        // At most 32 octets.
        data.extend([window, bits.len() as u8]);
        data.extend(bits);
    }
    Ok(())
}

/// Takes all data that is left.
pub(super) fn text(data: &mut &[u8], out: &mut String) -> Option<()> {
    let mut last_window = None;
    while let [window, len, rest @ ..] = *data {
        let (bits, rest) = rest.split_at_checked(usize::from(*len))?;
        *data = rest;
        // A window has no trailing zeros, and windows are in order, so that what was written
        // becomes the same octets.
        let is_full = (1..=32).contains(&bits.len()) && bits.last() != Some(&0);
        if !is_full || last_window >= Some(*window) {
            return None;
        }
        last_window = Some(*window);
        for (index, octet) in (0_u8..).zip(bits) {
            for bit in (0..8).filter(|bit| octet & (0x80 >> bit) != 0) {
                let separator = if out.is_empty() || out.ends_with(' ') {
                    ""
                } else {
                    " "
                };
                let kind = RecordType(u16::from_be_bytes([*window, index * 8 + bit]));
                write!(out, "{separator}{kind}").ok()?;
            }
        }
    }
    data.is_empty().then_some(())
}
