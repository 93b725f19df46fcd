//! A menu as menu.c32 draws it (syslinux 6.04, com32/menu/menumain.c).

use crate::keyword::Parameter;
use crate::{Action, Entry, Menu, Message, Screen, ScreenId};

mod canvas;

use canvas::{Canvas, Frame};

/// A menu as menu.c32 draws it on a text screen of 80 by 25, one screen after the other: the rows that
/// fit, with `>` at the entry selected at first, the help of that entry, and the timeout where it runs.
///
/// The frame and the scroll bar are drawn with ASCII characters (`+-|`, `#`), and colours are left out. So
/// are blanks at the ends of lines, and the empty lines below a menu. A character of several bytes takes one
/// column for each on the real screen, which shows them one by one; here it is itself, and blanks make up
/// for the columns behind it.
///
/// A menu that is hidden (MENU HIDDEN, MENU SHIFTKEY) is drawn as it is after the key that opens it.
pub fn render_text(menu: &Menu) -> String {
    let mut text = String::new();
    let start = menu.start.unwrap_or(ScreenId::TOP);
    for index in 0..menu.screens.len() {
        let Some(screen) = menu.screen(ScreenId(index)) else {
            continue;
        };
        if index > 0 {
            text.push('\n');
        }
        // A key stops the timeout: the one that shows a hidden menu, or the one that opens a submenu.
        let counts_down = start.index() == index && !menu.hidden_menu;
        text.push_str(&draw(screen, counts_down));
    }
    text
}

/// The numbers of a menu's layout: rows and columns from 1, those below 0 from the bottom (`main`).
#[derive(Debug)]
struct Layout {
    width: i32,
    margin: i32,
    rows: i32,
    h_shift: i32,
    v_shift: i32,
    tab_message_row: i32,
    timeout_row: i32,
    help_row: i32,
    help_end_row: i32,
}

impl Layout {
    /// More than a screen can have, and few enough that sums of them do not overflow.
    const NUMBER_MAX: i32 = 255;

    fn of(screen: &Screen) -> Self {
        let number = |parameter| match screen.parameter(parameter) {
            value if value < 0 => value.saturating_add(Canvas::ROWS).max(0),
            value => value.min(Self::NUMBER_MAX),
        };
        let v_shift = number(Parameter::VShift);
        Self {
            width: match screen.parameter(Parameter::Width) {
                0 => Canvas::COLUMNS,
                _ => number(Parameter::Width),
            },
            margin: number(Parameter::Margin),
            rows: number(Parameter::Rows),
            h_shift: number(Parameter::HShift),
            v_shift,
            tab_message_row: number(Parameter::TabMsgRow) + v_shift,
            timeout_row: number(Parameter::TimeoutRow) + v_shift,
            help_row: number(Parameter::HelpMsgRow) + v_shift,
            help_end_row: number(Parameter::HelpMsgEndRow),
        }
    }

    /// The columns of an entry's text.
    fn inner(&self) -> usize {
        usize::try_from(self.width - 2 * self.margin - 4).unwrap_or(0)
    }

    /// The column of the frame's left side.
    fn left(&self) -> i32 {
        self.h_shift + self.margin + 1
    }

    /// The column at which a message begins.
    fn centred(&self, message_bytes: usize) -> i32 {
        let len = i32::try_from(message_bytes).unwrap_or(i32::MAX);
        1 + self.h_shift + (self.width.saturating_sub(len) >> 1)
    }
}

fn draw(screen: &Screen, counts_down: bool) -> String {
    let layout = Layout::of(screen);
    let selected = selected(screen);
    let mut canvas = Canvas::default();
    // In the order of the loader: what is drawn later covers what was there.
    draw_menu(screen, &layout, selected, &mut canvas);
    let help = screen
        .entries
        .get(selected)
        .and_then(|entry| entry.help.as_ref());
    draw_help(
        help.map_or(b"", |help| help.as_bytes()),
        &layout,
        &mut canvas,
    );
    // A cursor that is not on the default entry has stopped it.
    if let Some(tenths) = screen.timeout_tenths
        && counts_down
        && selected == screen.default
    {
        let message = autoboot(&screen.message(Message::Autoboot), tenths / 10);
        canvas.go(layout.timeout_row, layout.centred(message.len()));
        canvas.print(&message);
    }
    canvas.text()
}

/// The entry selected at first: one that cannot be chosen gives way at the ends of the menu (`run_menu`).
fn selected(screen: &Screen) -> usize {
    let can_be_chosen = |at: usize| screen.entries.get(at).is_some_and(Entry::can_be_chosen);
    let last = screen.entries.len().saturating_sub(1);
    let mut at = screen.default.min(last);
    if at == 0 {
        at = (0..last).find(|at| can_be_chosen(*at)).unwrap_or(last);
    }
    if at == last {
        at = (0..=last).rev().find(|at| can_be_chosen(*at)).unwrap_or(0);
    }
    at
}

/// The frame with the title, the rows, and the message below (`draw_menu`).
fn draw_menu(screen: &Screen, layout: &Layout, selected: usize, canvas: &mut Canvas) {
    let inner = layout.inner();
    let left = layout.left();
    let bar = |canvas: &mut Canvas, row: i32| {
        canvas.go(row, left);
        canvas.frame(Frame::Corner);
        for _ in 0..layout.width - 2 * layout.margin - 2 {
            canvas.frame(Frame::Horizontal);
        }
        canvas.frame(Frame::Corner);
    };
    bar(canvas, layout.v_shift + 1);
    canvas.go(layout.v_shift + 2, left);
    canvas.frame(Frame::Vertical);
    let title = cut(&screen.title, inner);
    let before = (inner - title.len().min(inner)) >> 1;
    canvas.print(b" ");
    canvas.print(&vec![b' '; before]);
    canvas.print(title);
    canvas.print(&vec![b' '; inner - before - title.len()]);
    canvas.print(b" ");
    canvas.frame(Frame::Vertical);
    bar(canvas, layout.v_shift + 3);

    let rows = usize::try_from(layout.rows).unwrap_or(0);
    let count = screen.entries.len();
    // The screen scrolls by whole rows until the selected entry is in sight.
    let top = (selected + 1).saturating_sub(rows);
    let thumb = scroll_bar(count, rows, top);
    for row in 0..rows {
        let at = top + row;
        canvas.go(layout.v_shift + 4 + i32::try_from(row).unwrap_or(0), left);
        canvas.frame(Frame::Vertical);
        let entry = screen.entries.get(at);
        canvas.print(if at == selected && entry.is_some() {
            b">"
        } else {
            b" "
        });
        match entry {
            Some(entry) => draw_entry(entry, inner, canvas),
            None => canvas.print(&vec![b' '; inner]),
        }
        canvas.print(b" ");
        let in_thumb = thumb.as_ref().is_some_and(|thumb| thumb.contains(&row));
        canvas.frame(if in_thumb {
            Frame::Thumb
        } else {
            Frame::Vertical
        });
    }
    bar(canvas, layout.v_shift + 4 + layout.rows);

    let editable = !screen.no_edit && screen.master_password.is_none();
    let message = screen.message(if editable {
        Message::Tab
    } else {
        Message::NoTab
    });
    canvas.go(layout.tab_message_row, layout.centred(message.len()));
    canvas.print(&message);
}

/// The rows that the scroll bar's thumb takes, where the entries do not fit.
fn scroll_bar(count: usize, rows: usize, top: usize) -> Option<core::ops::Range<usize>> {
    if count <= rows {
        return None;
    }
    let len = (rows * rows / count).max(1);
    let at = (rows + 1).saturating_sub(len) * top / (count + 1 - rows);
    Some(at..at + len)
}

/// An entry: its text without the carets, and a mark if it leads to another menu (`display_entry`).
fn draw_entry(entry: &Entry, inner: usize, canvas: &mut Canvas) {
    let marker = match entry.action {
        Action::Submenu(_) => Some(b" >"),
        Action::Exit(_) => Some(b" <"),
        _ => None,
    };
    let width = inner.saturating_sub(marker.map_or(0, |marker| marker.len()));
    let shown = entry.shown();
    let shown = cut(&shown, width);
    canvas.print(shown);
    canvas.print(&vec![b' '; width - shown.len()]);
    if let Some(marker) = marker {
        canvas.print(marker);
    }
}

/// As many bytes as there are columns, but no broken character.
fn cut(text: &[u8], width: usize) -> &[u8] {
    let mut end = text.len().min(width);
    if core::str::from_utf8(text).is_ok() {
        while text.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
            end -= 1;
        }
    }
    text.get(..end).unwrap_or_default()
}

/// The help of the selected entry. Its rows are erased, whether it has one or not (`display_help`).
fn draw_help(help: &[u8], layout: &Layout, canvas: &mut Canvas) {
    let mut row = layout.help_row;
    canvas.go(row, 1);
    for byte in help {
        if row > layout.help_end_row {
            break;
        }
        match byte {
            b'\r' | 0x0b | 0x0c | 0x1b => {}
            b'\n' => {
                canvas.erase_to_the_right();
                row += 1;
                canvas.go(row, 1);
            }
            byte => canvas.print(&[*byte]),
        }
    }
    canvas.erase_to_the_right();
    while row <= layout.help_end_row {
        canvas.erase_to_the_right();
        row += 1;
        canvas.go(row, 1);
    }
}

/// The autoboot message: `#` is the number, `{one,two,many}` what fits it (`print_timeout_message`).
fn autoboot(message: &[u8], seconds: u32) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = message;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'#' => text.extend(seconds.to_string().bytes()),
            b'{' => {
                let end = rest.iter().position(|byte| *byte == b'}');
                let (forms, after) = rest.split_at(end.unwrap_or(rest.len()));
                rest = after.get(1..).unwrap_or_default();
                let forms: Vec<&[u8]> = forms.splitn(3, |byte| *byte == b',').collect();
                let wanted = match seconds {
                    1 => 0,
                    2 => 1,
                    _ => 2,
                };
                let form = forms.get(wanted).or(forms.last());
                text.extend(form.copied().unwrap_or_default());
            }
            byte => text.push(*byte),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::reread;

    fn drawn(menu: &[u8]) -> String {
        render_text(&reread(&menu.into()))
    }

    #[test]
    fn the_timeout_message_has_a_singular_and_a_plural() {
        let told = |message: &str, seconds| {
            String::from_utf8(autoboot(message.as_bytes(), seconds)).unwrap()
        };
        let message = Message::Autoboot.default_text();
        assert_eq!(told(message, 1), "Automatic boot in 1 second...");
        assert_eq!(told(message, 5), "Automatic boot in 5 seconds...");
        assert_eq!(told("{one,two,many, many}", 0), "many, many");
        assert_eq!(told("{one,two}", 7), "two");
        assert_eq!(told("# {open", 2), "2 open");
    }

    /// A submenu is entered by a key, and a key stops the timeout.
    #[test]
    fn only_the_menu_shown_first_counts_down() {
        let menu = "UI menu.c32\nTIMEOUT 50\nMENU BEGIN\nLABEL a\nMENU END\n";
        assert_eq!(drawn(menu.as_bytes()).matches("Automatic boot").count(), 1);
        let hidden = format!("MENU HIDDEN\n{menu}");
        assert_eq!(
            drawn(hidden.as_bytes()).matches("Automatic boot").count(),
            0
        );
    }

    #[test]
    fn a_character_of_two_bytes_does_not_shift_the_frame() {
        let text = drawn("UI menu.c32\nLABEL a\nMENU LABEL \u{e9}\u{e8} b\n".as_bytes());
        let row = text.lines().nth(3).unwrap();
        assert!(row.starts_with("          |>\u{e9}\u{e8} b "), "{row}");
        assert_eq!(row.chars().count(), 70);
        assert!(row.ends_with(" |"));
    }

    #[test]
    fn a_menu_that_is_longer_than_its_rows_has_a_scroll_bar() {
        assert_eq!(scroll_bar(12, 12, 0), None);
        assert_eq!(scroll_bar(30, 10, 0), Some(0..3));
        assert_eq!(scroll_bar(30, 10, 20), Some(7..10));
        assert_eq!(scroll_bar(1, 0, 0), Some(0..1));
    }

    /// The help rows are erased over the whole width, even where the menu's frame stands.
    #[test]
    fn the_rows_of_the_help_cover_what_is_below_them() {
        let menu = "UI menu.c32\nMENU ROWS 4\nMENU HELPMSGROW 5\nLABEL a\nTEXT HELP\n  two\nlines\nENDTEXT\nLABEL b\n";
        let text = drawn(menu.as_bytes());
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[3].contains(">a"));
        assert_eq!(rows[4..], ["  two", "lines"]);
    }
}
