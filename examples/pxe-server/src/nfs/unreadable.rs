//! Which files of an export its server cannot read.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::fact::printable;
use crate::user_tree::Reader;

/// How many names are looked at: more than the root of a machine has, and less than a second of
/// work where they are in memory, as it is done at each start, too.
const NAMES_MAX: usize = 200_000;
/// How many are named.
const NAMED_MAX: usize = 3;

/// Files and directories that a user cannot read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unreadable {
    count: usize,
    /// The first of them by name, relative to the directory.
    named: Vec<PathBuf>,
    /// Not all names were looked at.
    is_partial: bool,
}

impl Unreadable {
    /// Those below a directory, and that itself, by their modes. Links are not followed, and what
    /// is in an unreadable directory is not counted.
    pub(crate) fn below(directory: &Path, reader: &Reader) -> Self {
        Self::within(directory, reader, NAMES_MAX)
    }

    fn within(directory: &Path, reader: &Reader, names_max: usize) -> Self {
        let mut found = Self::default();
        let mut names = 0;
        let mut directories = vec![PathBuf::new()];
        while let Some(path) = directories.pop() {
            let whole = directory.join(&path);
            let metadata = std::fs::symlink_metadata(&whole);
            let may_enter = metadata.is_ok_and(|metadata| {
                reader.may_enter(metadata.mode(), metadata.uid(), metadata.gid())
            });
            let Some(entries) = std::fs::read_dir(&whole).ok().filter(|_| may_enter) else {
                found.add(path);
                continue;
            };
            for entry in entries.flatten() {
                names += 1;
                if names > names_max {
                    found.is_partial = true;
                    return found;
                }
                let path = path.join(entry.file_name());
                // It may be gone meanwhile.
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
                if metadata.is_dir() {
                    directories.push(path);
                } else if metadata.is_file() && !reader.may_read(mode, uid, gid) {
                    found.add(path);
                }
            }
        }
        found
    }

    fn add(&mut self, path: PathBuf) {
        self.count += 1;
        let at = self.named.partition_point(|named| *named < path);
        self.named.insert(at, path);
        self.named.truncate(NAMED_MAX);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Unreadable {
    /// `12 files that cannot be read: a, b, c and others`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_least = if self.is_partial { "at least " } else { "" };
        match self.count {
            1 => write!(f, "{at_least}1 file or directory"),
            count => write!(f, "{at_least}{count} files or directories"),
        }?;
        let named = self
            .named
            .iter()
            .map(|path| match path.as_os_str().is_empty() {
                true => "the directory itself".to_owned(),
                false => printable(&path.to_string_lossy()),
            });
        let named: Vec<String> = named.collect();
        let more = if self.count > named.len() { ", .." } else { "" };
        write!(f, " ({}{more})", named.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{Uid, geteuid};
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn they_are_counted_and_the_first_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let stranger = Reader::new(Uid::from_raw(geteuid().as_raw() + 1), []);
        let below = || Unreadable::below(directory.path(), &stranger);
        let put = |path: &str, mode| {
            let path = directory.path().join(path);
            if !path.exists() {
                std::fs::create_dir_all(path.parent().expect("one")).expect("writable");
                std::fs::write(&path, "x").expect("writable");
            }
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
        };
        put("", 0o700);
        assert_eq!(
            below().to_string(),
            "1 file or directory (the directory itself)"
        );
        put("", 0o755);
        put("a/open", 0o644);
        put("a", 0o755);
        assert!(below().is_empty());
        for (path, mode) in [("d", 0o640), ("c", 0o600), ("a/b", 0o400), ("e/f", 0o644)] {
            put(path, mode);
        }
        put("e", 0o754);
        assert_eq!(
            below().to_string(),
            "4 files or directories (a/b, c, d, ..)"
        );
        let partial = Unreadable::within(directory.path(), &stranger, 0);
        assert!(partial.is_partial && partial.is_empty());
        std::os::unix::fs::symlink("nowhere", directory.path().join("link")).expect("writable");
        put("c", 0o644);
        assert_eq!(below().to_string(), "3 files or directories (a/b, d, e)");
    }
}
