//! Content of which each piece is told from every other: what servers are given to serve.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

/// Files are written in pieces of at most so many bytes.
const PIECE: u64 = 1 << 20;

/// Writes a file of the `len` bytes of the pattern from `offset` on, both multiples of eight. It is
/// in the page cache then.
///
/// # Errors
/// Those of the file system.
pub(crate) fn write(path: &Path, offset: u64, len: u64) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(PIECE as usize, File::create(path)?);
    let mut piece = Vec::with_capacity(PIECE as usize);
    let mut written = 0;
    while written < len {
        let next = PIECE.min(len - written);
        piece.clear();
        piece.extend((0..next / 8).flat_map(|word| word_at(offset + written + word * 8)));
        file.write_all(&piece)?;
        written += next;
    }
    // Written back now, not while it is measured.
    file.into_inner()?.sync_all()
}

/// Copies a file as [`write()`] writes it: the pages that the page cache has of a file, and so what it
/// costs to send it, are as large as the pieces that it was written in.
///
/// # Errors
/// Those of the file system.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut to = File::create(to)?;
    let mut piece = vec![0; PIECE as usize];
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return to.sync_all();
        }
        to.write_all(piece.get(..read).unwrap_or_default())?;
    }
}

/// Whether these are the pattern's bytes from `offset` on.
pub(crate) fn is_at(offset: u64, bytes: &[u8]) -> bool {
    let skipped = (offset % 8) as usize;
    let lead = bytes.len().min((8 - skipped) % 8);
    let (before, aligned) = bytes.split_at(lead);
    let mut words = aligned.chunks_exact(8);
    let first = offset + lead as u64;
    let whole = words
        .by_ref()
        .zip((first..).step_by(8))
        .all(|(word, at)| word == word_at(at));
    let rest = words.remainder();
    let after = word_at(offset + (bytes.len() - rest.len()) as u64);
    let ahead = word_at(offset - skipped as u64);
    whole && after.starts_with(rest) && ahead.get(skipped..).unwrap_or(&ahead).starts_with(before)
}

/// The eight bytes at an offset that is a multiple of eight: no two alike, so that a piece in the
/// wrong place shows.
fn word_at(offset: u64) -> [u8; 8] {
    // An odd factor, so that it is a permutation: 2^64 by the golden ratio (Knuth, volume 3, 6.4).
    offset.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_told_from_what_was_moved_cut_or_changed() {
        let whole: Vec<u8> = (0..8).flat_map(|word| word_at(4096 + word * 8)).collect();
        for from in 0..whole.len() {
            for to in from..=whole.len() {
                assert!(is_at(4096 + from as u64, &whole[from..to]));
                if to - from >= 8 {
                    assert!(!is_at(4097 + from as u64, &whole[from..to]));
                }
                for at in from..to {
                    let mut other = whole[from..to].to_vec();
                    other[at - from] ^= 1;
                    assert!(!is_at(4096 + from as u64, &other), "{from} {to} {at}");
                }
            }
        }
    }
}
