//! The files that all servers serve, and whose content shows where it belongs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Words of eight bytes after which the content begins anew: a prime, so that no block, window or
/// page is a part of it. A block in the wrong place shows, but for one that is whole periods away,
/// whose number is wrong then.
const PERIOD_WORDS: usize = 32_771;
const PERIOD: usize = PERIOD_WORDS * 8;
/// The most that is compared at once: a block (RFC 2348).
const BLOCK_MAX: usize = 65_464;

/// A file that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    /// Of as many MiB as the options say.
    Large,
    /// 1 MiB, as a boot loader.
    Loader,
    /// 64 KiB, as one of its modules.
    Module,
    /// 1 KiB, as a configuration.
    Small,
}

impl File {
    const ALL: [Self; 4] = [Self::Large, Self::Loader, Self::Module, Self::Small];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Large => "initrd.img",
            Self::Loader => "loader.efi",
            Self::Module => "module.mod",
            Self::Small => "small.cfg",
        }
    }

    /// Bytes, where the large one has so many MiB.
    pub(super) const fn len(self, large_mib: u64) -> u64 {
        match self {
            Self::Large => large_mib << 20,
            Self::Loader => 1 << 20,
            Self::Module => 64 << 10,
            Self::Small => 1 << 10,
        }
    }
}

/// What is in the files: each is its beginning.
#[derive(Debug)]
pub(super) struct Content {
    /// A period, and as much of the next as a block may need.
    bytes: Vec<u8>,
}

impl Content {
    pub(super) fn new() -> Self {
        // An odd factor, so that no two words of a period are alike: 2^64 by the golden ratio
        // (Knuth, volume 3, 6.4).
        let word = |index: usize| (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let words = (0..PERIOD_WORDS)
            .cycle()
            .map(|index| word(index).to_le_bytes());
        let bytes = words.flatten().take(PERIOD + BLOCK_MAX).collect();
        Self { bytes }
    }

    /// Whether these are a file's bytes from `offset` on.
    pub(super) fn is_at(&self, offset: u64, bytes: &[u8]) -> bool {
        let start = (offset % PERIOD as u64) as usize;
        self.bytes.get(start..start + bytes.len()) == Some(bytes)
    }

    /// The first bytes of a file.
    pub(super) fn prefix(&self, len: u64) -> Vec<u8> {
        let period = self.bytes.get(..PERIOD).unwrap_or_default();
        period.iter().copied().cycle().take(len as usize).collect()
    }

    /// Makes a directory below another, with all files, which everybody may read: some servers
    /// serve as nobody, others only what everybody may read. They are in the page cache then.
    ///
    /// # Errors
    /// A text that names the file.
    pub(super) fn write_tree(
        &self,
        parent: &Path,
        root: &Path,
        large_mib: u64,
    ) -> Result<(), String> {
        let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        let at = |error: std::io::Error| format!("{}: {error}", root.display());
        fs::create_dir(root).map_err(at)?;
        allow(parent, 0o755)
            .and_then(|()| allow(root, 0o755))
            .map_err(at)?;
        for file in File::ALL {
            let path = root.join(file.name());
            let written = fs::write(&path, self.prefix(file.len(large_mib)));
            let readable = written.and_then(|()| allow(&path, 0o644));
            readable.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_from_what_was_moved_cut_or_changed() {
        let content = Content::new();
        let file = content.prefix(1 << 20);
        for offset in [0, 1468, 1468 * 178, 1468 * 179, 1468 * 700] {
            let block = &file[offset..offset + 1468];
            let at = offset as u64;
            assert!(content.is_at(at, block), "{offset}");
            for other in [at + 1, at + 8, at + 1468, at + 65_536, at + 4096] {
                assert!(!content.is_at(other, block), "{offset} is at {other}");
            }
            let mut changed = block.to_vec();
            changed[1467] ^= 1;
            assert!(!content.is_at(at, &changed), "{offset} changed");
        }
    }
}
