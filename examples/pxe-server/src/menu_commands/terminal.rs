//! Menus on a terminal, which nothing in them may drive.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use pxe_menu::Text;

use crate::cli::print_bytes;

/// Prints a menu: byte for byte into a file or a pipe, and harmless on a terminal.
pub(super) fn print(text: &Text) -> ExitCode {
    match std::io::stdout().is_terminal() {
        true => print_bytes(harmless(&text.to_string()).as_bytes()),
        false => print_bytes(text),
    }
}

/// Lines of text with each other control character as an escape.
pub(super) fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for char in text.chars() {
        if drives(char) && char != '\t' {
            clean.extend(char.escape_default());
        } else {
            clean.push(char);
        }
    }
    clean
}

/// JSON with each such character as an escape of JSON's own. Only those below U+0020 have to be, but
/// a terminal obeys others, too (U+009B begins a sequence).
pub(crate) fn harmless_json(json: &str) -> String {
    let mut clean = String::with_capacity(json.len());
    for char in json.chars() {
        if drives(char) {
            clean.push_str(&format!("\\u{:04x}", u32::from(char)));
        } else {
            clean.push(char);
        }
    }
    clean
}

/// Whether a terminal may obey it: control characters but the end of a line, and the marks that
/// turn the direction of writing around.
fn drives(char: char) -> bool {
    let turns = matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (char.is_control() || turns) && char != '\n'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_cannot_drive_a_terminal() {
        let hostile = "LABEL \x1b]0;x\x07\u{202e}a\n\tb\r\n";
        let clean = harmless(hostile);
        assert_eq!(clean, "LABEL \\u{1b}]0;x\\u{7}\\u{202e}a\n\tb\\r\n");
    }

    #[test]
    fn json_stays_json() {
        let told = "a\u{9b}\u{202e}\u{7f}b";
        let json = harmless_json(&serde_json::json!({ "x": told }).to_string());
        assert_eq!(json, r#"{"x":"a\u009b\u202e\u007fb"}"#);
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read["x"], told);
    }
}
