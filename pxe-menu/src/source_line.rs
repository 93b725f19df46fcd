//! A line of a hostile file, shown on a terminal with something underlined.

/// Columns of a line that are shown at most.
const COLUMNS_MAX: usize = 100;

/// Columns shown before what is meant, where a line is cut.
const COLUMNS_BEFORE: usize = 30;

/// What stands for the part that is cut off.
const CUT: &str = "...";

/// A tab ends at the next of these columns, as rustc shows it.
const TAB_COLUMNS: usize = 4;

/// A line as it is shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SourceLine {
    /// The text: no control character, and of a bounded width.
    pub(crate) text: String,
    /// The columns before what is meant.
    pub(crate) before: usize,
    /// The columns of what is meant, at least 1.
    pub(crate) width: usize,
}

/// A character of the file, as it is shown.
struct Cell {
    /// Its first byte in the line.
    at: usize,
    shown: String,
    columns: usize,
}

impl SourceLine {
    /// A line, of which `bytes` bytes from `at` on are meant.
    pub(crate) fn new(line: &[u8], at: usize, bytes: usize) -> Self {
        // Far more than is shown; a file may be one line of 16 MiB.
        let from = at.saturating_sub(8 * COLUMNS_MAX);
        let to = at.saturating_add(8 * COLUMNS_MAX).min(line.len());
        let window = line.get(from..to).unwrap_or_default();
        let cells = cells(window, from);
        let end = at.saturating_add(bytes);
        let columns = |cells: &[Cell]| -> usize { cells.iter().map(|cell| cell.columns).sum() };
        let first = cells.partition_point(|cell| cell.at < at);
        let last = cells.partition_point(|cell| cell.at < end);
        let (mut start, mut before) = (0, columns(cells.get(..first).unwrap_or_default()));
        let mut text = String::new();
        let whole = columns(&cells);
        if from > 0 || (whole > COLUMNS_MAX && before > COLUMNS_BEFORE) {
            let mut dropped = 0;
            while before - dropped > COLUMNS_BEFORE {
                dropped += cells.get(start).map_or(0, |cell| cell.columns);
                start += 1;
            }
            before = before - dropped + CUT.len();
            text.push_str(CUT);
        }
        let (mut shown, mut stop) = (text.len(), start);
        for cell in cells.get(start..).unwrap_or_default() {
            if shown + cell.columns > COLUMNS_MAX {
                break;
            }
            text.push_str(&cell.shown);
            shown += cell.columns;
            stop += 1;
        }
        let text = text.trim_end().to_owned();
        let marked = cells.get(first..last.min(stop)).unwrap_or_default();
        let width = columns(marked).max(1);
        let text = if stop < cells.len() || to < line.len() {
            text + CUT
        } else {
            text
        };
        Self {
            text,
            before,
            width,
        }
    }
}

/// The characters of a part of a line that begins at its byte `from`.
fn cells(window: &[u8], from: usize) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut column = 0;
    let mut push = |at: usize, character: char| {
        let (shown, columns) = match character {
            '\t' => {
                let columns = TAB_COLUMNS - column % TAB_COLUMNS;
                (" ".repeat(columns), columns)
            }
            other if is_harmful(other) => {
                let shown = escaped(other);
                let columns = shown.len();
                (shown, columns)
            }
            other => (other.to_string(), columns_of(other)),
        };
        column += columns;
        cells.push(Cell { at, shown, columns });
    };
    let mut at = from;
    // A cut may fall within a character: then only that is told byte for byte.
    for chunk in window.utf8_chunks() {
        for character in chunk.valid().chars() {
            push(at, character);
            at += character.len_utf8();
        }
        for byte in chunk.invalid() {
            push(at, char::from(*byte));
            at += 1;
        }
    }
    cells
}

/// Text without what a terminal would obey.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => out.push(' '),
            other if is_harmful(other) => out.push_str(&escaped(other)),
            other => out.push(other),
        }
    }
    out
}

fn escaped(character: char) -> String {
    match u32::from(character) {
        low @ 0..=0xff => format!("\\x{low:02x}"),
        high => format!("\\u{{{high:x}}}"),
    }
}

/// Control characters, and those that are not seen or turn the direction of writing (Unicode's general
/// category Cf, as far as it is used so, and its line separators).
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The columns that a terminal gives a character: 0 for marks that combine, 2 for the wide ones of
/// East Asia and for pictures. Only where the underline stands depends on it.
fn columns_of(character: char) -> usize {
    match u32::from(character) {
        0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0x610..=0x61a | 0x64b..=0x65f => 0,
        0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f => {
            0
        }
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 => 2,
        0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 => 2,
        0x1f300..=0x1f64f | 0x1f900..=0x1f9ff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &[u8], at: usize, bytes: usize) -> (String, String) {
        let shown = SourceLine::new(line, at, bytes);
        let carets = format!("{}{}", " ".repeat(shown.before), "^".repeat(shown.width));
        (shown.text, carets)
    }

    #[test]
    fn tabs_and_wide_characters_keep_the_underline_in_place() {
        let told = shown(b"\tKERNEL\tmenu. c32", 8, 5);
        assert_eq!(told.0, "    KERNEL  menu. c32");
        assert_eq!(told.1, "            ^^^^^");
        let told = shown("LABEL \u{65e5}\u{672c} x".as_bytes(), 13, 1);
        assert_eq!(told.1, format!("{}^", " ".repeat(11)));
    }

    #[test]
    fn a_terminal_is_not_driven_by_a_menu() {
        let told = shown(b"MENU TITLE \x1b]0;x\x07\x1b[2J\x9b31m\r", 0, 4);
        assert_eq!(told.0, "MENU TITLE \\x1b]0;x\\x07\\x1b[2J\\x9b31m\\x0d");
        let told = shown("a\u{202e}b\u{2028}c".as_bytes(), 0, 1);
        assert_eq!(told.0, "a\\u{202e}b\\u{2028}c");
        assert_eq!(harmless("a\nb\tc\u{85}"), "a\\x0ab c\\x85");
    }

    #[test]
    fn latin_1_is_shown_as_such() {
        assert_eq!(shown(b"D\xe9marrer x", 9, 1).0, "D\u{e9}marrer x");
    }

    #[test]
    fn a_long_line_is_shown_around_what_is_meant() {
        let line = [b"APPEND ".to_vec(), vec![b'x'; 1_000_000], b" end".to_vec()].concat();
        let (text, carets) = shown(&line, 500_000, 3);
        assert_eq!(text, format!("...{}...", "x".repeat(97)));
        assert_eq!(carets, format!("{}^^^", " ".repeat(33)));
        let (text, carets) = shown(&line, 0, 6);
        assert!(text.starts_with("APPEND x") && text.ends_with("x..."));
        assert_eq!(carets, "^^^^^^");
        let (text, carets) = shown(&line, line.len() - 3, 3);
        assert!(text.ends_with("x end"), "{text}");
        assert_eq!(carets.len(), text.len());
    }

    #[test]
    fn a_place_beyond_the_line_is_underlined_behind_it() {
        assert_eq!(shown(b"abc", 3, 1), ("abc".to_owned(), "   ^".to_owned()));
        assert_eq!(shown(b"abc", 30, 9).0, "abc");
        assert_eq!(shown(b"", 0, 1).1, "^");
    }
}
