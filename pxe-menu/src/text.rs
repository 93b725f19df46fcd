//! Text of a menu, byte for byte.

use core::borrow::Borrow;
use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

/// A piece of a menu's text, byte for byte as the file has it.
///
/// Menus are written in UTF-8, in Latin-1, and with control characters for the loader's screen;
/// the loaders neither know nor care. A file name goes to the server with the same bytes, so this
/// type keeps them; a copy of it costs nothing. [`Display`](fmt::Display) shows UTF-8 as such and anything else as Latin-1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Arc<[u8]>);

impl Text {
    /// Text of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into().into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first word: up to the first byte that the loaders take for a space.
    pub fn first_word(&self) -> &[u8] {
        crate::scan::word(&self.0).0
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decode(&self.0))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*decode(&self.0), f)
    }
}

/// UTF-8 if it is that, else Latin-1, in which every byte is a character.
pub(crate) fn decode(bytes: &[u8]) -> String {
    match core::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_1_is_shown_and_kept() {
        let text = Text::new(*b"D\xe9marrer");
        assert_eq!(text.to_string(), "D\u{e9}marrer");
        assert_eq!(text.as_bytes(), b"D\xe9marrer");
        assert_eq!(Text::from("D\u{e9}marrer").to_string(), "D\u{e9}marrer");
    }
}
