//! Text that GRUB takes for nothing but text.
//!
//! In single quotes GRUB takes nothing for its own but the quote itself (script/yylex.l). A quoted word that
//! begins with a hyphen is an option to menuentry nevertheless (lib/arg.c).

use crate::Text;

/// A string in single quotes, without control characters, as bytes: what is not UTF-8 stays as it is.
pub(super) fn quoted(text: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in text {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            0..=0x1f | 0x7f => {}
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// A title, in UTF-8, which is what GRUB shows.
pub(super) fn title(text: &Text) -> String {
    let text = text.to_string();
    let shown = text.chars().filter(|character| !character.is_control());
    let mut title: String = shown.collect();
    if title.starts_with('-') {
        title.insert(0, ' ');
    }
    format!("'{}'", title.replace('\'', r"'\''"))
}

/// A word, in quotes only where GRUB would take something in it for its own.
pub(super) fn word(word: &[u8]) -> Vec<u8> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/.,:=_-+@%".contains(byte);
    if !word.is_empty() && word.iter().all(is_plain) {
        word.to_vec()
    } else {
        quoted(word)
    }
}

/// A file: its device, which begins with a bracket, and its path.
pub(super) fn file(device: &str, path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let full = [device.as_bytes(), b"/", path].concat();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/.,:=_-+@%()".contains(byte);
    if full.iter().all(is_plain) {
        full
    } else {
        quoted(&full)
    }
}

/// The arguments of a kernel, each with a space before it, and whether the kernel gets them byte for byte.
///
/// GRUB puts arguments with spaces in double quotes, and a backslash before each quote and backslash
/// (`grub_create_loader_cmdline` in lib/cmdline.c). So what stands in double quotes becomes one argument
/// without them: the kernel takes `"a=b c"` for what it takes `a="b c"`.
pub(super) fn arguments(text: &[u8]) -> (Vec<u8>, bool) {
    let mut line = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let (mut in_quotes, mut is_exact) = (false, true);
    for byte in text {
        match byte {
            b'"' => {
                in_quotes = !in_quotes;
                is_exact = false;
                current.get_or_insert_default();
            }
            space if crate::scan::is_space(*space) && !in_quotes => {
                if let Some(done) = current.take() {
                    line.push(b' ');
                    line.extend(word(&done));
                }
            }
            other => {
                is_exact &= !matches!(other, b'\'' | b'\\');
                current.get_or_insert_default().push(*other);
            }
        }
    }
    if let Some(done) = current {
        line.push(b' ');
        line.extend(word(&done));
    }
    (line, is_exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> (String, bool) {
        let (line, is_exact) = arguments(text.as_bytes());
        (String::from_utf8(line).expect("text"), is_exact)
    }

    #[test]
    fn arguments_come_one_by_one() {
        let exact = |line: &str| (line.to_owned(), true);
        assert_eq!(said("ro  a=b;c $x {"), exact(" ro 'a=b;c' '$x' '{'"));
        assert_eq!(said("(hd0)"), exact(" '(hd0)'"));
        assert_eq!(said(r#"a="b c" d"#), (" 'a=b c' d".to_owned(), false));
        assert_eq!(said("it's"), (r" 'it'\''s'".to_owned(), false));
    }

    #[test]
    fn a_title_is_no_option() {
        assert_eq!(title(&"--unrestricted".into()), "' --unrestricted'");
        assert_eq!(title(&"it's".into()), r"'it'\''s'");
        assert_eq!(title(&Text::new(*b"D\xe9j\xe0\n")), "'D\u{e9}j\u{e0}'");
    }
}
