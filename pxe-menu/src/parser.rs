//! The pull parser: it says which file it needs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::diagnostic::Diagnostics;
use crate::document::include_parts;
use crate::item::{ItemKind, items};
use crate::keyword::{Keyword, MenuWord, Word};
use crate::{Code, Diagnostic, Document, FileId, Limits, Place, SourceFile, Text};

/// Why a file is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NeedKind {
    /// It is the configuration itself.
    Main,
    /// INCLUDE names it.
    Include,
    /// MENU INCLUDE names it.
    MenuInclude,
    /// The menu's command line names it: `UI menu.c32 FILE`.
    MenuFile,
    /// CONFIG names it.
    Config,
}

/// A file that the parser needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Need {
    /// Its number, for the answer.
    pub id: FileId,
    /// Its name as it is written. What the loader asks its server for is told by
    /// [`Paths::locate`](crate::Paths::locate): names are relative to the loader's directory, never
    /// to the file that has the directive.
    pub file: Text,
    /// Why.
    pub kind: NeedKind,
    /// Where it is named first.
    pub place: Option<Place>,
}

/// Reads a configuration of pxelinux, and all that it includes. It opens no file: it says which one it
/// needs, and is given its content.
///
/// CONFIG, and an entry that starts menu.c32 with other files, leave a configuration for another:
/// those are not read with it, and [`Menu::links`](crate::Menu::links) tells them. A
/// [`MenuReader`](crate::MenuReader) reads them all.
///
/// # Example
///
/// ```
/// use pxe_menu::{Limits, Parser};
///
/// let mut parser = Parser::new("pxelinux.cfg/default", Limits::default());
/// while let Some(need) = parser.poll_need() {
///     match need.file.as_bytes() {
///         b"pxelinux.cfg/default" => parser.provide(need.id, b"INCLUDE common.cfg\n".to_vec()),
///         b"common.cfg" => parser.provide(need.id, b"LABEL local\n LOCALBOOT 0\n".to_vec()),
///         _ => parser.missing(need.id),
///     }
/// }
/// let document = parser.finish();
/// assert_eq!(document.files().len(), 2);
/// ```
#[derive(Debug)]
pub struct Parser {
    document: Document,
    queue: VecDeque<Need>,
    bytes: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// The main file and what it includes.
    Main,
    /// The files of the menu's command line are known too.
    MenuFiles,
}

impl Parser {
    /// A parser for the configuration of this name.
    pub fn new(main: impl Into<Text>, limits: Limits) -> Self {
        let main = main.into();
        let mut parser = Self::empty(main.clone(), State::Main, limits);
        parser.ask(main, NeedKind::Main, None);
        parser
    }

    /// A parser for the files that an entry starts the menu with. `own` is the loader's own
    /// configuration, for `~`.
    pub(crate) fn of_menu(own: Text, files: &[Text], limits: Limits) -> Self {
        let mut parser = Self::empty(own, State::MenuFiles, limits);
        parser.document.only_menu = true;
        parser.ask_menu_files(files);
        parser
    }

    fn empty(own: Text, state: State, limits: Limits) -> Self {
        let found = Diagnostics::new(limits.diagnostics_max);
        Self {
            document: Document {
                files: Vec::new(),
                names: BTreeMap::new(),
                menu_files: Vec::new(),
                own,
                only_menu: false,
                refused: BTreeSet::new(),
                limits,
                found,
            },
            queue: VecDeque::new(),
            bytes: 0,
            state,
        }
    }

    /// The next file that is needed; `None` when there is no more. Each is told once.
    pub fn poll_need(&mut self) -> Option<Need> {
        if self.queue.is_empty() && self.state == State::Main {
            self.state = State::MenuFiles;
            let ui = crate::resolve::user_interface(&self.document);
            self.ask_menu_files(&ui.menu_files());
        }
        self.queue.pop_front()
    }

    /// Gives the content of a file. A second content for the same file is ignored.
    pub fn provide(&mut self, id: FileId, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        let known = self
            .document
            .file(id)
            .is_some_and(|file| file.bytes.is_none());
        if !known {
            return;
        }
        let total = self.bytes.saturating_add(bytes.len());
        if total > self.document.limits.bytes_max {
            self.document.refused.insert(id);
            let max = self.document.limits.bytes_max;
            let message =
                format!("the files have more than {max} bytes in all: this one is not read");
            let place = Place::new(id, 1, 1);
            self.document
                .found
                .push(Diagnostic::new(Code::Limited, place, message));
            return;
        }
        self.bytes = total;
        let items = items(id, &bytes, &mut self.document.found);
        let mut asked = Vec::new();
        for item in &items {
            let kind = match item.kind {
                ItemKind::Directive(Keyword::Word(Word::Include)) => NeedKind::Include,
                ItemKind::Directive(Keyword::Menu(MenuWord::Include)) => NeedKind::MenuInclude,
                _ => continue,
            };
            let value = bytes.get(item.value.clone()).unwrap_or_default();
            asked.push((Text::from(include_parts(value).0), kind, item.place(id)));
        }
        if let Some(file) = self.document.files.get_mut(id.index()) {
            file.items = items;
            file.bytes = Some(bytes);
        }
        for (name, kind, place) in asked {
            self.ask(name, kind, Some(place));
        }
    }

    /// Says that a file is not there. Not to answer means the same.
    pub fn missing(&mut self, _id: FileId) {}

    /// Whether the content of a file was taken.
    pub(crate) fn has(&self, id: FileId) -> bool {
        self.document
            .file(id)
            .is_some_and(|file| file.bytes.is_some())
    }

    /// The configuration as far as it was given.
    pub fn finish(self) -> Document {
        self.document
    }

    fn ask(&mut self, file: Text, kind: NeedKind, place: Option<Place>) -> Option<FileId> {
        if file.is_empty() {
            return None;
        }
        if let Some(known) = self.document.find(&file) {
            return Some(known);
        }
        let file = if file == "~" {
            self.document.own.clone()
        } else {
            file
        };
        if self.document.files.len() >= self.document.limits.files_max {
            let max = self.document.limits.files_max;
            let message = format!("more than {max} files: this one is not read");
            self.document
                .found
                .push(Diagnostic::new(Code::Limited, place, message));
            return None;
        }
        let id = FileId(u32::try_from(self.document.files.len()).ok()?);
        self.document.names.insert(file.clone(), id);
        self.document.files.push(SourceFile {
            name: file.clone(),
            bytes: None,
            items: Vec::new(),
        });
        self.queue.push_back(Need {
            id,
            file,
            kind,
            place,
        });
        Some(id)
    }

    fn ask_menu_files(&mut self, files: &[Text]) {
        for name in files {
            if let Some(id) = self.ask(name.clone(), NeedKind::MenuFile, None) {
                self.document.menu_files.push(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `parse_one_config` in menu/readconfig.c: `~` is `ConfigName`, also for a menu that an entry starts.
    #[test]
    fn a_tilde_among_the_files_of_a_menu_is_the_configuration_itself() {
        let files = ["colours".into(), "~".into()];
        let mut parser = Parser::of_menu("own".into(), &files, Limits::default());
        let asked: Vec<Text> =
            core::iter::from_fn(|| parser.poll_need().map(|need| need.file)).collect();
        assert_eq!(asked, ["colours", "own"].map(Text::from));
    }
}
