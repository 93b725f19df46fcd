//! A server's files, in memory.

use std::collections::BTreeMap;

use pxe_menu::{FileState, Files, Text};

/// A module of syslinux 5 or later, for the 80386.
pub(crate) const ELF32: &[u8] = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x03\0";

/// A module for UEFI of 64 bits.
pub(crate) const ELF64: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";

/// Files and their first bytes.
#[derive(Default)]
pub(crate) struct MemFiles {
    files: BTreeMap<String, Vec<u8>>,
    unreadable: Vec<String>,
}

impl MemFiles {
    /// Files of these paths, with nothing in them but modules' heads.
    pub(crate) fn new(paths: &[&str]) -> Self {
        let mut files = Self::default();
        for path in paths {
            let is_module = path.ends_with(".c32");
            files = files.with(path, if is_module { ELF32 } else { b"x" });
        }
        files
    }

    pub(crate) fn with(mut self, path: &str, bytes: &[u8]) -> Self {
        self.files.insert(path.to_owned(), bytes.to_vec());
        self
    }

    pub(crate) fn without(mut self, path: &str) -> Self {
        self.files.remove(path).expect("it was there");
        self
    }

    pub(crate) fn unreadable(mut self, path: &str) -> Self {
        self.unreadable.push(path.to_owned());
        self
    }
}

impl Files for MemFiles {
    fn is_file(&self, path: &[u8]) -> bool {
        self.head(path).is_some()
    }

    fn names(&self, folder: &[u8]) -> Vec<Text> {
        let folder = String::from_utf8(folder.to_vec()).expect("text");
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let below = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix));
        let mut names: Vec<Text> = below
            .filter_map(|rest| rest.split('/').next())
            .map(Text::from)
            .collect();
        names.dedup();
        names
    }

    fn head(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.files.get(std::str::from_utf8(path).ok()?).cloned()
    }

    fn state(&self, path: &[u8]) -> FileState {
        if self.unreadable.iter().any(|known| known.as_bytes() == path) {
            FileState::Unreadable
        } else if self.is_file(path) {
            FileState::File
        } else if self.names(path).is_empty() {
            FileState::Missing
        } else {
            FileState::Folder
        }
    }
}
