//! What a client is told when it does not get its file.

use std::borrow::Cow;
use std::fmt;

use crate::wire::ErrorCode;

/// Why a request is not served, or a transfer is broken off: becomes an ERROR packet.
///
/// The message is shown to a person by many clients, so it should name the file. What exceeds
/// [`Refusal::MESSAGE_BYTES_MAX`] is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The number that clients act upon.
    pub code: ErrorCode,
    /// The text that people read.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// The longest message that is sent, in bytes. An ERROR is never much longer than the request
    /// that it answers, so that forged requests cannot be amplified by it.
    pub const MESSAGE_BYTES_MAX: usize = 200;

    /// A refusal with this number and text.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// ERROR 1 for this file.
    pub fn file_not_found(name: impl fmt::Display) -> Self {
        Self::new(ErrorCode::FILE_NOT_FOUND, format!("file not found: {name}"))
    }

    /// The message as it is sent: bounded, cut at a character's edge.
    pub(crate) fn wire_message(&self) -> &[u8] {
        let end = floor_char_boundary(&self.message, Self::MESSAGE_BYTES_MAX);
        self.message.as_bytes().get(..end).unwrap_or_default()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}: {}", self.code, self.message)
    }
}

/// The greatest character boundary not after `index` (`str::floor_char_boundary` came in 1.91).
fn floor_char_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_at_a_characters_edge() {
        let refusal = Refusal::new(ErrorCode::NOT_DEFINED, "é".repeat(150));
        assert_eq!(refusal.wire_message().len(), 200);
        let refusal = Refusal::new(ErrorCode::NOT_DEFINED, format!("x{}", "é".repeat(150)));
        assert_eq!(refusal.wire_message().len(), 199);
        assert!(std::str::from_utf8(refusal.wire_message()).is_ok());
    }
}
