//! MENU COLOR and MENU MSGCOLOR, read as menu.c32 reads them.

use crate::scan::{same_keyword, skip_space, word};
use crate::{Colour, Screen, Shadow, Text};

/// The elements that have a colour (`colors.c`), beside `msg00` to `msgff`.
const ELEMENTS: [&str; 18] = [
    "screen",
    "border",
    "title",
    "unsel",
    "hotkey",
    "sel",
    "hotsel",
    "disabled",
    "scrollbar",
    "tabmsg",
    "cmdmark",
    "cmdline",
    "pwdborder",
    "pwdheader",
    "pwdentry",
    "timeout_msg",
    "timeout",
    "help",
];

/// The element that a word names, in lower case.
fn element(read: &[u8]) -> Option<String> {
    if let Some(known) = ELEMENTS.into_iter().find(|name| same_keyword(read, name)) {
        return Some(known.to_owned());
    }
    let lower = read.to_ascii_lowercase();
    let digits = lower.strip_prefix(b"msg")?;
    let is_hex = digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
    is_hex.then(|| crate::text::decode(&lower))
}

/// MENU COLOR; false if it names no element.
pub(crate) fn set(screen: &mut Screen, value: &[u8]) -> bool {
    let (name, rest) = word(value);
    let Some(element) = element(name) else {
        return false;
    };
    let colour = screen.colours.entry(element).or_default();
    let rest = skip_space(rest);
    if rest.is_empty() {
        return true;
    }
    let (ansi, rest) = word(rest);
    if ansi != b"*" {
        colour.ansi = Some(Text::from(ansi));
    }
    let rest = skip_space(rest);
    if rest.is_empty() {
        return true;
    }
    read_pair(colour, rest);
    true
}

/// MENU MSGCOLOR: what was said of single msgXX before is forgotten.
pub(crate) fn set_messages(screen: &mut Screen, value: &[u8]) {
    for (name, colour) in &mut screen.colours {
        if name.starts_with("msg") {
            *colour = Colour {
                ansi: colour.ansi.take(),
                ..Colour::default()
            };
        }
    }
    let mut colour = Colour::default();
    if !value.is_empty() {
        read_pair(&mut colour, value);
    }
    screen.message_colours = Some(colour);
}

/// Foreground, background, shadow; what is `*` or left out stays.
fn read_pair(colour: &mut Colour, text: &[u8]) {
    let rest = read_argb(&mut colour.foreground, text);
    if rest.is_empty() {
        return;
    }
    let rest = read_argb(&mut colour.background, rest);
    colour.shadow = match rest.first().map(|byte| byte | 0x20) {
        Some(b'n') => Some(Shadow::None),
        Some(b's') => Some(Shadow::Standard),
        Some(b'a') => Some(Shadow::All),
        Some(b'r') => Some(Shadow::Reverse),
        _ => colour.shadow,
    };
}

fn read_argb<'a>(into: &mut Option<u32>, text: &'a [u8]) -> &'a [u8] {
    if word(text).0 == b"*" {
        return skip_space(text.get(1..).unwrap_or_default());
    }
    let (value, rest) = argb(text);
    *into = Some(value);
    skip_space(rest)
}

/// A colour: `#rgb`, `#argb`, `#rrggbb`, `#aarrggbb` or with more digits; bright red if it is none.
fn argb(text: &[u8]) -> (u32, &[u8]) {
    let text = text.strip_prefix(b"#").unwrap_or(text);
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let digit = |at: usize| {
        let byte = digits.get(at).copied().unwrap_or(b'0');
        char::from(byte).to_digit(16).unwrap_or(0)
    };
    let one = |at: usize| digit(at) * 0x11;
    let two = |at: usize| digit(at) << 4 | digit(at + 1);
    let value = match digits.len() {
        3 => 0xff00_0000 | one(0) << 16 | one(1) << 8 | one(2),
        4 => one(0) << 24 | one(1) << 16 | one(2) << 8 | one(3),
        length @ (6 | 9 | 12) => {
            let step = length / 3;
            0xff00_0000 | two(0) << 16 | two(step) << 8 | two(step * 2)
        }
        length @ (8 | 16) => {
            let step = length / 4;
            two(0) << 24 | two(step) << 16 | two(step * 2) << 8 | two(step * 3)
        }
        _ => 0xffff_0000,
    };
    (value, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_in_every_length() {
        for (text, value) in [
            ("#fff", 0xffff_ffff),
            ("#8123", 0x8811_2233),
            ("#102030", 0xff10_2030),
            ("e0000000", 0xe000_0000),
            ("#12", 0xffff_0000),
        ] {
            assert_eq!(argb(text.as_bytes()).0, value, "{text}");
        }
    }

    #[test]
    fn a_star_leaves_a_field_as_it_was() {
        let mut screen = Screen::default();
        assert!(set(&mut screen, b"SEL 7;37;40 #e0000000 #20ff8000 all"));
        assert!(set(&mut screen, b"sel * * #11223344"));
        let colour = &screen.colours["sel"];
        assert_eq!(colour.ansi, Some("7;37;40".into()));
        assert_eq!(colour.foreground, Some(0xe000_0000));
        assert_eq!(colour.background, Some(0x1122_3344));
        assert_eq!(colour.shadow, Some(Shadow::All));
        assert!(!set(&mut screen, b"sell 1"));
    }
}
