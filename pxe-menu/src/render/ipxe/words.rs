//! Text that iPXE takes for nothing but text.
//!
//! iPXE cuts a line into words at white space, ends a command at a word that is `||`, `&&` or `;`, begins a
//! comment at a word that starts with `#` (core/exec.c), fills in `${..}` within a word, again and again, until
//! none is left (`expand_settings` in core/settings.c), and joins a line that ends in a backslash with the next
//! one (image/script.c). Nothing quotes.

use crate::Text;

/// The most words of a line: iPXE keeps two pointers for each on its stack, which has 4,096 bytes in a build for
/// the BIOS.
const WORDS_MAX: usize = 120;

/// The most characters of a title or an item: a screen shows fewer.
const SHOWN_CHARS_MAX: usize = 160;

/// Text that iPXE shows as it is, but for the number of blanks, and one within `${..}`.
pub(super) fn shown_words(text: &Text) -> String {
    let text: String = text.to_string().chars().take(SHOWN_CHARS_MAX).collect();
    let text = text.replace("${", "$ {");
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    words
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(&safe(word.as_bytes())).into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Kernel arguments, or why iPXE cannot be given them.
pub(super) fn arguments(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let words: Vec<&[u8]> = text
        .split(|byte| crate::scan::is_space(*byte))
        .filter(|word| !word.is_empty())
        .collect();
    if words.len() > WORDS_MAX {
        return Err(format!(
            "more than {WORDS_MAX} arguments: iPXE for the BIOS has no stack for them"
        ));
    }
    if words.iter().any(|word| is_filled_in(word)) {
        return Err("iPXE would fill in the ${..} of its arguments".to_owned());
    }
    Ok(words.into_iter().map(safe).collect())
}

/// Whether iPXE would fill something in: a `}` somewhere after `${`.
fn is_filled_in(word: &[u8]) -> bool {
    let start = word.windows(2).position(|two| two == b"${");
    start.is_some_and(|start| word.get(start..).unwrap_or_default().contains(&b'}'))
}

/// A word with a variable that is empty where iPXE would take it for its own: before a comment or the end of a
/// command, after a backslash. Words are told apart before variables are filled in.
fn safe(word: &[u8]) -> Vec<u8> {
    let mut safe = Vec::new();
    if word.starts_with(b"#") || matches!(word, b"||" | b"&&" | b";") {
        safe.extend_from_slice(b"${nothing}");
    }
    safe.extend_from_slice(word);
    if word.ends_with(b"\\") {
        safe.extend_from_slice(b"${nothing}");
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ipxe_would_fill_in_is_no_argument() {
        assert!(arguments(b"a=${net0/mac}").is_err());
        assert!(arguments(b"a=$${x}").is_err());
        let open = arguments(b"a=${x b} {c} $d").expect("nothing to fill in");
        assert_eq!(open.join(&b' '), b"a=${x b} {c} $d");
        assert!(arguments(&b"a ".repeat(WORDS_MAX + 1)).is_err());
    }

    #[test]
    fn a_backslash_does_not_join_lines() {
        let words = arguments(b"a\\ b\\").expect("arguments");
        assert_eq!(words.join(&b' '), b"a\\${nothing} b\\${nothing}");
        assert_eq!(shown_words(&"C:\\".into()), "C:\\${nothing}");
    }
}
