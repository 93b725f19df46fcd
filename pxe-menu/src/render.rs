//! A menu in other words: for loaders, for people, for programs.

use core::fmt;
use std::collections::BTreeSet;

mod grub;
mod ipxe;
mod json;
mod syslinux;
mod text;

pub use grub::{GrubOptions, render_grub};
pub use ipxe::{IpxeOptions, render_ipxe};
pub use json::{JSON_VERSION, render_json};
pub use syslinux::render_syslinux;
pub use text::render_text;

use crate::{Action, Code, Diagnostic, Entry, Menu, Text};

/// A menu in a language, and what that language could not say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rendered {
    /// The file. Bytes, since file names and titles keep theirs.
    pub text: Text,
    /// What was left out or changed; a comment in the file stands for each.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// A file being written, with what it could not say.
struct Out {
    text: String,
    comment: &'static str,
    diagnostics: Vec<Diagnostic>,
}

impl Out {
    fn new(comment: &'static str) -> Self {
        Self {
            text: String::new(),
            comment,
            diagnostics: Vec::new(),
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Something that the language cannot say: a comment and a warning, never silence.
    fn lost(&mut self, what: &str) {
        let what = comment(&Text::from(what));
        self.line(&format!("{} {what}", self.comment));
        self.diagnostics
            .push(Diagnostic::new(Code::NotExpressible, None, what));
    }

    /// An entry that the language cannot say.
    fn left_out(&mut self, entry: &Entry, why: &str) {
        self.lost(&format!("left out: {}: {why}", name(entry)));
    }

    /// An entry whose password the language cannot ask for.
    fn protected(&mut self, entry: &Entry) {
        let what = format!("left out: {}: it has a password", name(entry));
        self.line(&format!("{} {what}", self.comment));
        self.diagnostics
            .push(Diagnostic::new(Code::ProtectionLost, None, what));
    }

    fn done(self) -> Rendered {
        Rendered {
            text: Text::from(self.text),
            diagnostics: self.diagnostics,
        }
    }
}

/// Text for a comment: on one line, without control characters.
fn comment(text: &Text) -> String {
    let text = text.to_string();
    text.chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect()
}

/// An entry's name for a comment.
fn name(entry: &Entry) -> String {
    comment(
        entry
            .label
            .as_ref()
            .filter(|label| !label.is_empty())
            .unwrap_or(&entry.shown()),
    )
}

/// The screens that can be reached only through an entry with a password, by their index. Ways around
/// it by MENU GOTO are closed too, so that an entry is never easier to reach than it was meant to be.
fn closed(menu: &Menu) -> BTreeSet<usize> {
    let mut closed = BTreeSet::new();
    // A submenu comes after the one that it is in.
    for (index, screen) in menu.screens.iter().enumerate() {
        let Some((parent, at)) = screen.parent else {
            continue;
        };
        let entry = menu.screen(parent).and_then(|above| above.entries.get(at));
        let leads_here =
            |entry: &Entry| matches!(entry.action, Action::Submenu(id) if id.index() == index);
        let is_protected = entry.is_some_and(|entry| entry.password.is_some() && leads_here(entry));
        if is_protected || closed.contains(&parent.index()) {
            closed.insert(index);
        }
    }
    closed
}

/// Tenths of a second in milliseconds.
fn tenths_to_ms(tenths: u32) -> u64 {
    u64::from(tenths) * 100
}

/// A path or URL with what may not stand in one escaped; percent signs stay.
fn escape_uri(path: &[u8]) -> String {
    let mut uri = String::new();
    for byte in path {
        match byte {
            b'!' | b'#' | b'%' | b'&'..=b'~'
                if !matches!(byte, b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') =>
            {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
