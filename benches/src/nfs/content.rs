//! The tree that all servers serve: one large file, and a directory of small ones.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::pattern;

/// The large file, in the exported directory.
pub(crate) const LARGE: &str = "filesystem.squashfs";
/// The way to the directory of small files.
pub(crate) const DIRECTORY: [&str; 2] = ["usr", "lib"];
/// How many small files there are.
pub(crate) const SMALL_COUNT: u32 = 64;

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
    pattern::write(&path, 0, large_len).map_err(at)?;
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
