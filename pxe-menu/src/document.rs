//! A configuration as it is written: its files, and their lines.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::Diagnostics;
use crate::scan::{is_space, skip_space, word};
use crate::{Diagnostic, FileId, Item, Limits, Place, Text};

/// A file of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFile {
    /// Its name, as the directive that asks for it has it.
    pub name: Text,
    /// Its content; `None` if it was not there.
    pub bytes: Option<Vec<u8>>,
    /// Its lines.
    pub items: Vec<Item>,
}

impl SourceFile {
    /// The bytes of an item, line ending included.
    pub fn text(&self, item: &Item) -> &[u8] {
        self.slice(&item.span)
    }

    /// The value of an item.
    pub fn value(&self, item: &Item) -> &[u8] {
        self.slice(&item.value)
    }

    fn slice(&self, range: &core::ops::Range<usize>) -> &[u8] {
        self.bytes
            .as_deref()
            .and_then(|bytes| bytes.get(range.clone()))
            .unwrap_or_default()
    }
}

/// A configuration as it is written: made by a [`Parser`](crate::Parser).
///
/// Each file is there once, however often it is included.
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) names: BTreeMap<Text, FileId>,
    pub(crate) menu_files: Vec<FileId>,
    /// What `~` means to the menu: the name of the loader's own configuration (`ConfigName`).
    pub(crate) own: Text,
    /// Whether only the menu reads it, since it was started with these files by an entry.
    pub(crate) only_menu: bool,
    /// The files that are there, and not read since a limit was reached.
    pub(crate) refused: BTreeSet<FileId>,
    pub(crate) limits: Limits,
    pub(crate) found: Diagnostics,
}

impl Document {
    /// The files, the main one first, then in the order in which they were asked for.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// A file.
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.index())
    }

    /// The file of this name, if one was asked for. `~` is the configuration itself, as to the menu
    /// (`parse_one_config` in menu/readconfig.c).
    pub fn find(&self, name: &[u8]) -> Option<FileId> {
        let name: &[u8] = if name == b"~" { &self.own } else { name };
        self.names.get(name).copied()
    }

    /// The files that the menu reads instead of the main one: those that `UI menu.c32 FILE..` names.
    /// Empty if it names none.
    pub fn menu_files(&self) -> &[FileId] {
        &self.menu_files
    }

    /// The first line from a place on that has a word in its value.
    pub(crate) fn line_naming(&self, name: &[u8], from: Place) -> Option<Place> {
        let file = self.file(from.file)?;
        let has_it = |item: &&Item| {
            let mut words = file.value(item).split(|byte| is_space(*byte));
            item.line >= from.line && words.any(|word| word == name)
        };
        file.items
            .iter()
            .find(has_it)
            .map(|item| item.place(from.file))
    }

    /// What was found while its lines were read. What they mean together, and what is wrong with
    /// that, is told by [`resolve`](crate::resolve()).
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.found.list
    }
}

/// The file that INCLUDE names, and the tag of the submenu that it makes.
pub(crate) fn include_parts(value: &[u8]) -> (&[u8], &[u8]) {
    let (file, rest) = word(value);
    (file, skip_space(rest))
}
