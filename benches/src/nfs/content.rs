//! The tree that all servers serve: one large file, and a directory of small ones.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The large file, in the exported directory.
pub(crate) const LARGE: &str = "filesystem.squashfs";
/// The way to the directory of small files.
pub(crate) const DIRECTORY: [&str; 2] = ["usr", "lib"];
/// How many small files there are.
pub(crate) const SMALL_COUNT: u32 = 64;
/// Files are written in pieces of so many bytes, and have a whole number of them.
const PIECE: usize = 1 << 20;

/// What a server has to say of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) len: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    /// Seconds and nanoseconds, as NFS cuts them off.
    pub(crate) modified: (u32, u32),
}

/// The name of a small file.
pub(crate) fn small_name(number: u32) -> String {
    format!("libexample-{number:03}.so")
}

/// Makes the tree below a directory, with a large file of so many bytes; it is in the page cache
/// then.
///
/// # Errors
/// A text that names the file.
pub(crate) fn make(root: &Path, large_len: u64) -> Result<(), String> {
    let path = root.join(LARGE);
    let at = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = BufWriter::with_capacity(PIECE, File::create(&path).map_err(at)?);
    let mut piece = Vec::with_capacity(PIECE);
    for number in 0..large_len / PIECE as u64 {
        piece.clear();
        let first = number * PIECE as u64;
        piece.extend((0..PIECE as u64 / 8).flat_map(|word| word_at(first + word * 8)));
        file.write_all(&piece).map_err(at)?;
    }
    let file = file.into_inner().map_err(|error| at(error.into_error()))?;
    // Written back now, not while it is measured.
    file.sync_all().map_err(at)?;
    let directory = directory(root);
    let at = |error: std::io::Error| format!("{}: {error}", directory.display());
    fs::create_dir_all(&directory).map_err(at)?;
    for number in 0..SMALL_COUNT {
        let content = vec![b'x'; number as usize + 1];
        fs::write(directory.join(small_name(number)), content).map_err(at)?;
    }
    // Servers that serve as nobody come to it too.
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).map_err(at)
}

/// The directory of the small files.
pub(crate) fn directory(root: &Path) -> PathBuf {
    DIRECTORY
        .iter()
        .fold(root.to_owned(), |path, name| path.join(name))
}

/// What is to be said of a file.
///
/// # Errors
/// A text that names the file.
pub(crate) fn facts(path: &Path) -> Result<Facts, String> {
    let known = fs::symlink_metadata(path);
    let known = known.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Facts {
        len: known.len(),
        uid: known.uid(),
        gid: known.gid(),
        nlink: known.nlink() as u32,
        modified: (known.mtime() as u32, known.mtime_nsec() as u32),
    })
}

/// Whether these are the large file's bytes from `offset` on.
pub(crate) fn is_content(offset: u64, bytes: &[u8]) -> bool {
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
    fn content_is_told_from_what_was_moved_cut_or_changed() {
        let whole: Vec<u8> = (0..8).flat_map(|word| word_at(4096 + word * 8)).collect();
        for from in 0..whole.len() {
            for to in from..=whole.len() {
                assert!(is_content(4096 + from as u64, &whole[from..to]));
                if to - from >= 8 {
                    assert!(!is_content(4097 + from as u64, &whole[from..to]));
                }
                for at in from..to {
                    let mut other = whole[from..to].to_vec();
                    other[at - from] ^= 1;
                    assert!(!is_content(4096 + from as u64, &other), "{from} {to} {at}");
                }
            }
        }
    }
}
