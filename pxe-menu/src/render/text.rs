//! A menu as menu.c32 draws it.

use crate::keyword::Parameter;
use crate::{Action, Entry, Menu, Message, Screen, ScreenId};

/// The columns of a text screen.
const COLUMNS: usize = 80;
/// Its rows.
const ROWS: i32 = 25;

/// A menu as menu.c32 draws it on a text screen of 80 by 25, one screen after the other, each with the
/// rows that fit; `>` marks the entry selected at first.
///
/// The frame is drawn with ASCII characters, and colours are left out. Blanks at the ends of lines too.
pub fn render_text(menu: &Menu) -> String {
    let mut text = String::new();
    for index in 0..menu.screens.len() {
        if let Some(screen) = menu.screen(ScreenId(index)) {
            if index > 0 {
                text.push('\n');
            }
            draw(screen, &mut text);
        }
    }
    text
}

fn draw(screen: &Screen, out: &mut String) {
    let number = |parameter| match screen.parameter(parameter) {
        value if value < 0 => (value + ROWS).max(0),
        value => value,
    };
    let width = match number(Parameter::Width) {
        0 => COLUMNS,
        width => usize::try_from(width).unwrap_or(COLUMNS).min(255),
    };
    let margin = usize::try_from(number(Parameter::Margin)).unwrap_or(0);
    let inner = width
        .saturating_sub(margin.saturating_mul(2))
        .saturating_sub(4);
    let rows = usize::try_from(number(Parameter::Rows))
        .unwrap_or(0)
        .clamp(1, 255);
    let left = " ".repeat(margin.min(COLUMNS));
    let bar = "-".repeat(inner + 2);
    let mut line = |text: &str| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&format!("{left}+{bar}+"));
    line(&format!("{left}| {} |", centred(&screen.title, inner)));
    line(&format!("{left}+{bar}+"));
    let selected = selected(screen);
    // The screen scrolls by whole rows until the selected entry is in sight.
    let top = if selected >= rows {
        selected + 1 - rows
    } else {
        0
    };
    for row in 0..rows {
        let at = top + row;
        let entry = screen.entries.get(at);
        let content = entry.map_or_else(|| " ".repeat(inner), |entry| entry_line(entry, inner));
        let mark = if at == selected && entry.is_some() {
            '>'
        } else {
            ' '
        };
        line(&format!("{left}|{mark}{content} |"));
    }
    line(&format!("{left}+{bar}+"));
    let editable = !screen.no_edit && screen.master_password.is_none();
    let message = screen.message(if editable {
        Message::Tab
    } else {
        Message::NoTab
    });
    let message = printable(&message);
    if !message.is_empty() {
        let before = width.saturating_sub(message.chars().count()) / 2;
        line(&format!("{}{message}", " ".repeat(before)));
    }
    // A cursor that is not on the default entry has stopped it.
    if let Some(tenths) = screen.timeout_tenths.filter(|_| selected == screen.default) {
        let text = autoboot(&screen.message(Message::Autoboot).to_string(), tenths / 10);
        let before = width.saturating_sub(text.chars().count()) / 2;
        line(&format!("{}{text}", " ".repeat(before)));
    }
}

/// The entry selected at first: one that cannot be chosen gives way at the ends of the menu
/// (`run_menu` in menumain.c).
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

/// An entry: its text, and a mark if it leads to another menu.
fn entry_line(entry: &Entry, inner: usize) -> String {
    let marker = match entry.action {
        Action::Submenu(_) => Some('>'),
        Action::Exit(_) => Some('<'),
        _ => None,
    };
    let width = if marker.is_some() {
        inner.saturating_sub(2)
    } else {
        inner
    };
    let mut text: String = printable(&entry.shown()).chars().take(width).collect();
    let missing = width - text.chars().count();
    text.extend(core::iter::repeat_n(' ', missing));
    if let Some(marker) = marker {
        text.push(' ');
        text.push(marker);
    }
    text
}

fn centred(title: &[u8], inner: usize) -> String {
    let title: String = printable(title).chars().take(inner).collect();
    let before = (inner - title.chars().count()) / 2;
    let after = inner - title.chars().count() - before;
    format!("{}{title}{}", " ".repeat(before), " ".repeat(after))
}

fn printable(text: &[u8]) -> String {
    let text = crate::text::decode(text);
    let shown = text.chars().filter(|character| !character.is_control());
    shown.collect()
}

/// The autoboot message: `#` is the number, `{one,two,many}` what fits it (`print_timeout_message`).
fn autoboot(message: &str, seconds: u32) -> String {
    let mut text = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(['#', '{']) {
        let (before, found) = rest.split_at(at);
        text.push_str(before);
        if let Some(after) = found.strip_prefix('#') {
            text.push_str(&seconds.to_string());
            rest = after;
            continue;
        }
        let found = found.get(1..).unwrap_or_default();
        let end = found.find('}').unwrap_or(found.len());
        let (forms, after) = found.split_at(end);
        let forms: Vec<&str> = forms.splitn(3, ',').collect();
        let wanted = usize::try_from(seconds.saturating_sub(1)).unwrap_or(usize::MAX);
        let form = forms.get(wanted).or_else(|| forms.last());
        let plural = if seconds == 0 { forms.last() } else { form };
        text.push_str(plural.copied().unwrap_or_default());
        rest = after.strip_prefix('}').unwrap_or(after);
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_message_has_a_singular_and_a_plural() {
        let message = Message::Autoboot.default_text();
        assert_eq!(autoboot(message, 1), "Automatic boot in 1 second...");
        assert_eq!(autoboot(message, 5), "Automatic boot in 5 seconds...");
    }
}
