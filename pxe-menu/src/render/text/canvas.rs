//! A text screen, as the loader's console fills it (com32/lib/sys/ansi.c).

/// What is in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Byte(u8),
    Frame(Frame),
}

/// A part of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Corner,
    Horizontal,
    Vertical,
    /// A row of the scroll bar's thumb.
    Thumb,
}

const BLANK: Cell = Cell::Byte(b' ');

/// A screen of 80 by 25 with a cursor. A byte is a column.
#[derive(Debug)]
pub(super) struct Canvas {
    rows: Vec<Vec<Cell>>,
    /// From 0.
    row: usize,
    column: usize,
}

impl Default for Canvas {
    fn default() -> Self {
        Self {
            rows: vec![vec![BLANK; COLUMNS]; ROWS],
            row: 0,
            column: 0,
        }
    }
}

const COLUMNS: usize = 80;
const ROWS: usize = 25;

impl Canvas {
    pub(super) const COLUMNS: i32 = 80;
    pub(super) const ROWS: i32 = 25;

    /// Puts the cursor at a row and a column, both from 1; the screen's edges stop it.
    pub(super) fn go(&mut self, row: i32, column: i32) {
        let within = |at: i32, len: usize| usize::try_from(at - 1).unwrap_or(0).min(len - 1);
        self.row = within(row, ROWS);
        self.column = within(column, COLUMNS);
    }

    /// Writes text. A tab goes on to the next of its stops, as blanks; other control characters are left out.
    pub(super) fn print(&mut self, text: &[u8]) {
        for byte in text {
            match byte {
                b'\t' => {
                    for _ in 0..8 - self.column % 8 {
                        self.put(BLANK);
                    }
                }
                0..=0x1f | 0x7f => {}
                byte => self.put(Cell::Byte(*byte)),
            }
        }
    }

    pub(super) fn frame(&mut self, part: Frame) {
        self.put(Cell::Frame(part));
    }

    pub(super) fn erase_to_the_right(&mut self) {
        if let Some(row) = self.rows.get_mut(self.row) {
            row.iter_mut()
                .skip(self.column)
                .for_each(|cell| *cell = BLANK);
        }
    }

    /// Text that is longer than a line goes on in the next one, and pushes up the others at the end.
    fn put(&mut self, cell: Cell) {
        if let Some(at) = self
            .rows
            .get_mut(self.row)
            .and_then(|row| row.get_mut(self.column))
        {
            *at = cell;
        }
        self.column += 1;
        if self.column == COLUMNS {
            self.column = 0;
            self.row += 1;
        }
        if self.row == ROWS {
            self.rows.remove(0);
            self.rows.push(vec![BLANK; COLUMNS]);
            self.row -= 1;
        }
    }

    /// The screen, without blanks at the ends of lines, and without empty lines at the end.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            text.push_str(line(row).trim_end());
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

/// A row: UTF-8 where the bytes between two parts of the frame are that, else Latin-1.
fn line(row: &[Cell]) -> String {
    let mut line = String::new();
    let mut bytes = Vec::new();
    let mut rest = row;
    while let Some((cell, after)) = rest.split_first() {
        rest = after;
        match cell {
            Cell::Byte(byte) => {
                bytes.push(*byte);
                if !rest.is_empty() {
                    continue;
                }
                decode(&mut bytes, &mut line);
            }
            Cell::Frame(part) => {
                decode(&mut bytes, &mut line);
                line.push(match part {
                    Frame::Corner => '+',
                    Frame::Horizontal => '-',
                    Frame::Vertical => '|',
                    Frame::Thumb => '#',
                });
            }
        }
    }
    line
}

fn decode(bytes: &mut Vec<u8>, line: &mut String) {
    let columns = bytes.len();
    let text = crate::text::decode(&core::mem::take(bytes));
    let mut shown = 0;
    for character in text.chars() {
        // What Latin-1 has between 0x80 and 0x9f.
        line.push(if character.is_control() {
            '?'
        } else {
            character
        });
        shown += 1;
    }
    line.extend(core::iter::repeat_n(' ', columns - shown));
}
