//! A terminal at the serial console: the screen that a stream of bytes draws.

use std::num::NonZeroU16;

/// The screen of syslinux, which takes it from the text mode of the video card.
const ROWS: NonZeroU16 = NonZeroU16::new(25).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(80).unwrap();

/// Bytes beyond ASCII become characters of Unicode's private use area: the terminal is to have one column for each, as the
/// text screen of a PC has.
const HIGH_BYTES: u32 = 0xE000;

/// Clears the screen (ECMA-48 section 8.3.39).
const CLEAR: &[u8] = b"\x1b[2J";

/// A terminal of 80 by 25.
pub(crate) struct Terminal {
    screen: vt100::Parser,
    /// Letters are line-drawing characters (SO of the DEC VT100, which syslinux uses).
    graphics: bool,
    /// Within a control sequence, whose letters are no characters.
    sequence: bool,
    /// The end of the stream.
    last: Vec<u8>,
    /// The screen as it was when it was cleared last.
    cleared: Option<Picture>,
}

/// What a screen shows. The frame is drawn with `+-|`, the thumb of a scroll bar with `#`, and `>` is at the first blank in
/// reverse video of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Without blanks at their ends.
    pub(crate) lines: Vec<Vec<u8>>,
}

impl Terminal {
    pub(crate) fn new() -> Terminal {
        Terminal {
            screen: vt100::Parser::new(ROWS, COLUMNS, 0),
            graphics: false,
            sequence: false,
            last: Vec::new(),
            cleared: None,
        }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.last.push(byte);
            if self.last.len() > CLEAR.len() {
                self.last.remove(0);
            }
            if self.last == CLEAR {
                self.cleared = Some(self.picture());
            }
            let graphics = self.graphics && !self.sequence;
            self.sequence = match byte {
                0x1b => true,
                b'@'..=b'Z' | b'\\'..=b'~' => false,
                _ => self.sequence,
            };
            match byte {
                0x0e => self.graphics = true,
                0x0f => self.graphics = false,
                b'j'..=b'n' | b't'..=b'w' if graphics => self.screen.process(b"+"),
                b'q' if graphics => self.screen.process(b"-"),
                b'x' if graphics => self.screen.process(b"|"),
                b'a' if graphics => self.screen.process(b"#"),
                0..=0x7f => self.screen.process(&[byte]),
                _ => {
                    let shown = char::from_u32(HIGH_BYTES + u32::from(byte)).unwrap_or('?');
                    self.screen
                        .process(shown.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }

    /// The screen as it was when it was cleared, once.
    pub(crate) fn take_cleared(&mut self) -> Option<Picture> {
        self.cleared.take()
    }

    pub(crate) fn picture(&self) -> Picture {
        let screen = self.screen.screen();
        let lines = (0..ROWS.get()).map(|row| {
            let mut line = Vec::new();
            let mut marked = false;
            for column in 0..COLUMNS.get() {
                let cell = screen.cell(row, column);
                let character = cell.and_then(|cell| cell.contents().chars().next());
                let byte = match character.map_or(u32::from(b' '), u32::from) {
                    ascii @ 0..=0x7f => ascii,
                    high => high.wrapping_sub(HIGH_BYTES),
                };
                let mut byte = u8::try_from(byte).unwrap_or(b'?');
                if byte == b' ' && !marked && cell.is_some_and(vt100::Cell::inverse) {
                    marked = true;
                    byte = b'>';
                }
                line.push(byte);
            }
            line.truncate(line.trim_ascii_end().len());
            line
        });
        Picture {
            lines: lines.collect(),
        }
    }
}

impl Picture {
    /// Whether it shows these lines, and nothing below them.
    ///
    /// Of a line with bytes beyond ASCII the words are compared: as UTF-8 without a character that was cut, or as Latin-1. A
    /// byte takes a column on the screen, a character of several bytes one column in the text.
    pub(crate) fn shows(&self, text: &str) -> bool {
        let mut wanted = text.lines();
        let all = self
            .lines
            .iter()
            .all(|line| line_shows(line, wanted.next().unwrap_or_default()));
        all && wanted.next().is_none()
    }

    /// Whether a line has this text in it.
    pub(crate) fn has(&self, text: &str) -> bool {
        let len = text.len().max(1);
        let has = |line: &Vec<u8>| line.windows(len).any(|at| at == text.as_bytes());
        self.lines.iter().any(has)
    }

    /// The line that has the cursor.
    pub(crate) fn marked(&self) -> Option<&[u8]> {
        let lines = self.lines.iter().map(Vec::as_slice);
        lines.into_iter().find(|line| is_marked(line))
    }

    /// Both texts, line by line, with a mark where they differ.
    pub(crate) fn compared_with(&self, text: &str) -> String {
        let mut wanted = text.lines();
        let mut told = String::new();
        for line in &self.lines {
            let wanted = wanted.next().unwrap_or_default();
            let shown = latin_1(line);
            if line_shows(line, wanted) {
                told.push_str(&format!("    {shown}\n"));
            } else {
                told.push_str(&format!("is  {shown}\nnot {wanted}\n"));
            }
        }
        told
    }
}

/// Whether a line of a menu has the cursor: after the left side of its frame.
pub(crate) fn is_marked(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"|>")
}

/// Whether a line is this text.
pub(crate) fn line_shows(line: &[u8], text: &str) -> bool {
    if line.is_ascii() {
        return line == text.as_bytes();
    }
    let same = |shown: &str| shown.split_whitespace().eq(text.split_whitespace());
    let whole: Vec<String> = line
        .utf8_chunks()
        .map(|chunk| chunk.valid().to_owned())
        .collect();
    same(&whole.concat()) || same(&latin_1(line))
}

fn latin_1(line: &[u8]) -> String {
    line.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(stream: &[u8]) -> Picture {
        let mut terminal = Terminal::new();
        terminal.add(stream);
        terminal.picture()
    }

    #[test]
    fn a_frame_with_a_cursor_is_seen_as_text() {
        let picture = drawn(
            b"\x1b[2J\x1b[1;3H\x0elqk\x1b[2;3H\x1b[0;30;44mx\x0f\x1b[0;7;37;40m a\x1b[0m \x0ea\x0f\x1b[25;80H",
        );
        assert!(picture.shows("  +-+\n  |>a #\n"));
        assert!(!picture.shows("  +-+\n  | a #\n"));
        assert!(!picture.shows("  +-+\n  |>a #\n\nmore"));
        assert!(!picture.shows("  +-+\n"));
        assert_eq!(picture.marked(), Some(&b"  |>a #"[..]));
        assert!(
            picture
                .compared_with("  +-+\n  |>b #")
                .contains("is    |>a #\nnot   |>b #")
        );
    }

    #[test]
    fn a_byte_is_a_column() {
        let picture = drawn("\u{e9}|\x1b[2;1HD\u{e9} |\x1b[3;1H".as_bytes());
        assert_eq!(picture.lines[0], "\u{e9}|".as_bytes());
        assert!(picture.shows("\u{e9}|\nD\u{e9}  |"));
        assert!(drawn(b"D\xe9marrer").shows("D\u{e9}marrer"));
        // Cut in the middle of a character.
        assert!(drawn("a \u{e9}\u{e9}".as_bytes().split_last().unwrap().1).shows("a \u{e9}"));
    }

    #[test]
    fn the_screen_before_it_was_cleared_is_kept() {
        let mut terminal = Terminal::new();
        terminal.add(b"before\x1b[");
        assert_eq!(terminal.take_cleared(), None);
        terminal.add(b"2Jafter");
        assert!(terminal.take_cleared().unwrap().shows("before"));
        assert_eq!(terminal.take_cleared(), None);
        assert!(terminal.picture().shows("      after"));
    }
}
