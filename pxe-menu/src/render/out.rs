//! A file being written, with what it could not say.

use super::Rendered;
use crate::{Code, Diagnostic, Entry, Text};

/// The most characters of a comment. A loader reads comments, too: iPXE keeps a pointer for each of their
/// words on its stack, which has 4,096 bytes in a build for the BIOS (`system` in core/exec.c).
const COMMENT_CHARS_MAX: usize = 160;

/// A file of a language whose comments begin with a `#`.
pub(super) struct Out {
    text: Vec<u8>,
    diagnostics: Vec<Diagnostic>,
    /// Two blanks for each.
    pub(super) depth: usize,
}

impl Out {
    pub(super) fn new() -> Self {
        Self {
            text: Vec::new(),
            diagnostics: Vec::new(),
            depth: 0,
        }
    }

    pub(super) fn line(&mut self, line: impl AsRef<[u8]>) {
        let line = line.as_ref();
        if !line.is_empty() {
            self.text.extend(core::iter::repeat_n(b' ', self.depth * 2));
        }
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
    }

    pub(super) fn comment(&mut self, what: &str) {
        self.line(format!("# {}", comment(&Text::from(what))));
    }

    /// Something that the language cannot say: a comment and a warning, never silence.
    pub(super) fn lost(&mut self, what: &str) {
        self.told(Code::NotExpressible, what);
    }

    /// An entry that the language cannot say.
    pub(super) fn left_out(&mut self, entry: &Entry, why: &str) {
        self.lost(&format!("left out: {}: {why}", name(entry)));
    }

    /// What the language cannot protect.
    pub(super) fn unprotected(&mut self, what: &str) {
        self.told(Code::ProtectionLost, what);
    }

    /// An entry that the language cannot protect.
    pub(super) fn protected(&mut self, entry: &Entry, why: &str) {
        self.unprotected(&format!("left out: {}: {why}", name(entry)));
    }

    fn told(&mut self, code: Code, what: &str) {
        let what = comment(&Text::from(what));
        self.line(format!("# {what}"));
        self.diagnostics.push(Diagnostic::new(code, None, what));
    }

    pub(super) fn done(self) -> Rendered {
        Rendered {
            text: Text::new(self.text),
            diagnostics: self.diagnostics,
        }
    }
}

/// Text for a comment: on one line, of a bounded length, without control characters, and without a
/// backslash at its end, which would join the next line to it.
pub(super) fn comment(text: &Text) -> String {
    let text = text.to_string();
    let printable = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    let mut comment: String = text
        .chars()
        .take(COMMENT_CHARS_MAX)
        .map(printable)
        .collect();
    comment.truncate(comment.trim_end().len());
    if text.chars().count() > COMMENT_CHARS_MAX || comment.ends_with('\\') {
        comment.push_str("...");
    }
    comment
}

/// An entry's name for a comment.
pub(super) fn name(entry: &Entry) -> String {
    let label = entry.label.as_ref().filter(|label| !label.is_empty());
    let shown = entry.shown();
    let name = comment(label.unwrap_or(&shown));
    let name = name.trim();
    if name.is_empty() {
        "an entry without a name".to_owned()
    } else {
        name.chars().take(60).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_never_takes_the_next_line_to_it() {
        for text in ["a\\", "a\\ ", "a\\\n", "a\\\u{85}\t"] {
            assert_eq!(comment(&text.into()), "a\\...");
        }
        assert_eq!(comment(&"a\nboot".into()), "a boot");
    }
}
