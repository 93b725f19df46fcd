//! INCLUDE: why what is in the other file is not in the menu.
//!
//! The loader says nothing when a file is not there, so a person sees that INCLUDE is ignored and not
//! why. The reasons, and what tells each:
//!
//! | reason | told by |
//! |---|---|
//! | the file is not where the loader asks for it: names are relative to the loader's directory | `missing-include`, with the path asked for |
//! | a slash, the server's own root, or a path prefix without a slash stands before the name | `missing-include`, with the name to write |
//! | the name is in quotes, or has a space in it, or differs by case | `missing-include` |
//! | the server may not read the file | `missing-include` |
//! | a URL for which the loader has no protocol | `no-protocol` |
//! | the menu reads other files instead: `UI menu.c32 FILE` | `ignored-include` |
//! | the line is part of a text: TEXT without ENDTEXT | `unclosed-text` |
//! | a byte order mark, a NUL or a carriage return hides the line | `byte-order-mark`, `nul-byte`, `carriage-return` |
//! | the keyword is misspelt | `unknown-directive` |
//! | the files include each other | `include-cycle` |

use super::{FileState, Lint, file::Use, simplified};
use crate::diagnostic::quoted;
use crate::keyword::{Keyword, MenuWord, Word};
use crate::scan::{skip_space, word};
use crate::{Code, Diagnostic, Setting, Text};

impl Lint<'_> {
    pub(super) fn includes(&mut self) {
        let resolution = self.resolution;
        let is_include = |setting: &&Setting| {
            matches!(
                setting.keyword,
                Keyword::Word(Word::Include) | Keyword::Menu(MenuWord::Include)
            )
        };
        for setting in resolution.settings.iter().filter(is_include) {
            self.include(setting);
        }
    }

    fn include(&mut self, setting: &Setting) {
        let (name, rest) = word(&setting.value);
        let tag = skip_space(rest);
        if name.is_empty() || name == b"~" {
            return;
        }
        let before = self.found.list.len();
        self.file_before(name, tag, setting.place, Use::Included);
        let ui = &self.resolution.menu.ui;
        let files = ui.menu_files();
        // What the menu reads in place of the main file does not have what the main file includes.
        if self.found.list.len() == before
            && ui.is_menu()
            && !setting.by_menu
            && !files.is_empty()
            && self.state(name) == FileState::File
        {
            let files: Vec<String> = files.iter().map(|file| quoted(file)).collect();
            let message = format!("what {} has is not in the menu", quoted(name));
            let note = format!(
                "the menu is started with {}, and reads nothing else; only the `boot:` prompt knows what stands here",
                files.join(" and ")
            );
            self.push(
                Diagnostic::new(Code::IgnoredInclude, setting.place, message)
                    .with_note(note)
                    .with_remedy("include it there, or name no file after the menu's"),
            );
        }
    }

    fn state(&self, name: &[u8]) -> FileState {
        match self.paths.locate(name) {
            crate::Location::Tftp { host: None, path } => self.files.state(&simplified(&path)),
            _ => FileState::File,
        }
    }

    /// A command that names no label: the loader takes its first word for a file.
    pub(super) fn implicit_command(&mut self, command: &Text) {
        let menu = &self.resolution.menu;
        let first = command.first_word();
        let is_command = |setting: &&Setting| {
            matches!(
                setting.keyword,
                Keyword::Word(Word::Ui | Word::Default | Word::OnTimeout | Word::OnError)
                    | Keyword::Menu(MenuWord::OnError)
            ) && setting.value == *command
        };
        let setting = self.resolution.settings.iter().rfind(is_command);
        // DEFAULT without a label is told where it is resolved; labels may be in a file that was not read.
        let is_unread = |told: &Diagnostic| {
            matches!(
                told.code,
                Code::MissingInclude | Code::MissingLink | Code::Limited
            )
        };
        let is_told = self.resolution.diagnostics.iter().any(is_unread)
            || setting.is_none_or(|setting| {
                matches!(setting.keyword, Keyword::Word(Word::Ui | Word::Default))
            });
        let place = setting.map(|setting| setting.place);
        if menu.core.labels_only {
            let message = format!(
                "IMPLICIT 0, and {} is no label: it is not started",
                quoted(first)
            );
            let diagnostic = Diagnostic::new(Code::NotImplicit, place, message)
                .with_note(
                    "with IMPLICIT 0 the loader starts labels only, menus too (`load_kernel`)",
                )
                .with_remedy("take out IMPLICIT 0, or make a LABEL for it");
            self.push(diagnostic);
        }
        let is_module = first.ends_with(b".c32") || menu.ui_command.as_ref() == Some(command);
        if is_module {
            self.module(first, place);
        } else if !is_told || first.contains(&b'.') || first.contains(&b'/') {
            self.file(first, place, Use::Started);
        }
    }
}
