//! JSON (RFC 8259), written.

use crate::Text;

/// A value being written.
#[derive(Debug, Default)]
pub(crate) struct Json {
    pub(crate) out: String,
    comma: bool,
}

impl Json {
    pub(crate) fn open(&mut self, bracket: char) {
        self.out.push(bracket);
        self.comma = false;
    }

    pub(crate) fn close(&mut self, bracket: char) {
        self.out.push(bracket);
        self.comma = true;
    }

    pub(crate) fn item(&mut self) {
        if core::mem::replace(&mut self.comma, true) {
            self.out.push(',');
        }
    }

    pub(crate) fn key(&mut self, name: &str) {
        self.item();
        self.quote(name);
        self.out.push(':');
    }

    pub(crate) fn string(&mut self, name: &str, value: &str) {
        self.key(name);
        self.quote(value);
    }

    pub(crate) fn text(&mut self, name: &str, value: Option<&Text>) {
        self.key(name);
        match value {
            Some(value) => self.quote(&value.to_string()),
            None => self.out.push_str("null"),
        }
    }

    pub(crate) fn number(&mut self, name: &str, value: usize) {
        self.key(name);
        self.out.push_str(&value.to_string());
    }

    pub(crate) fn maybe_number(&mut self, name: &str, value: Option<usize>) {
        match value {
            Some(value) => self.number(name, value),
            None => self.text(name, None),
        }
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.key(name);
        self.out.push_str(if value { "true" } else { "false" });
    }

    pub(crate) fn quote(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                // Those of DEL and above too: what is written may be shown on a terminal.
                control if control.is_control() => {
                    self.out.push_str(&format!("\\u{:04x}", u32::from(control)));
                }
                other => self.out.push(other),
            }
        }
        self.out.push('"');
    }

    /// What was written, with a newline at its end.
    pub(crate) fn finish(mut self) -> String {
        self.out.push('\n');
        self.out
    }
}
