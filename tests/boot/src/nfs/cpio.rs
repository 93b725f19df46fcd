//! Writes archives that the kernel unpacks as an initramfs (cpio, "newc"; Documentation/driver-api/early-userspace/buffer-format.rst
//! of Linux). It unpacks several, one after the other, so files can be added to one that is there already.

const DIRECTORY: u32 = 0o040_755;
const REGULAR: u32 = 0o100_000;

/// An archive that is being written. Directories have to come before what is in them.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a directory that everybody may read.
    pub(crate) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, &[]);
    }

    /// Adds a file that everybody may read and run.
    pub(crate) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, REGULAR | 0o755, content);
    }

    /// Adds a file that everybody may read.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, REGULAR | 0o644, content);
    }

    /// The whole archive. The kernel wants the next one at a multiple of four bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let len = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let links = if mode == DIRECTORY { 2 } else { 1 };
        // Inode, mode, owner, group, links, time, size, device and its own device (major and minor), length of the name, checksum.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            len(content.len()),
            0,
            0,
            0,
            0,
            len(path.len() + 1),
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").into_bytes());
        }
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn an_archive_is_laid_out_as_the_kernel_reads_it() {
        let mut archive = Archive::default();
        archive.directory("bin");
        archive.file("bin/a", b"hello");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        let (directory, rest) = text.split_at(116);
        assert!(
            directory.starts_with("07070100000001000041ED"),
            "{directory}"
        );
        assert!(
            directory.ends_with("00000004\u{0}bin\u{0}\u{0}\u{0}")
                || directory.contains("bin\u{0}")
        );
        assert!(rest.starts_with("07070100000002000081A4"), "{rest}");
        assert!(rest.contains("00000005"), "the size: {rest}");
        assert!(rest.contains("bin/a\u{0}"));
        assert!(rest.contains("hello\u{0}\u{0}\u{0}"));
        assert!(text.contains("TRAILER!!!\u{0}"));
    }
}
