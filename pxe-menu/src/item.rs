//! The lines of a file, each with what the loader takes it for.

use core::ops::Range;

use crate::diagnostic::{Diagnostics, quoted};
use crate::keyword::{
    ImageType, Keyword, MenuWord, Word, f_key, menu_keyword, suggestion, word_keyword,
};
use crate::scan::{atoi, is_space, same_keyword, skip_space, strtoul, word};
use crate::{Code, Diagnostic, FileId, Place};

/// The loader's buffer for a line holds 4,096 bytes, one of them a NUL (`MAX_LINE` in readconfig.c).
/// What is longer it reads as two lines.
pub(crate) const PIECE_BYTES_MAX: usize = 4095;

/// What the loader takes a line for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ItemKind {
    /// Nothing but blanks.
    Blank,
    /// It begins with `#`. The loader knows no comments: it ignores the line as it does any other
    /// that begins with no directive.
    Comment,
    /// A directive.
    Directive(Keyword),
    /// A line of help, between TEXT HELP and ENDTEXT.
    HelpLine,
    /// A line between TEXT without HELP and ENDTEXT, which is read over.
    SkippedLine,
    /// ENDTEXT.
    EndText,
    /// Anything else; the loader ignores it.
    Unknown,
}

/// A line of a file, or a part of one that is too long for the loader.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// The line, from 1.
    pub line: u32,
    /// The column of its first byte that is no blank, from 1.
    pub column: u32,
    /// Its bytes in the file, line ending included: the items of a file cover it without a gap.
    pub span: Range<usize>,
    /// The bytes of its value: what follows the directive and its spaces, up to the end that the
    /// loader sees (trailing blanks included). For a line of help the line as it is.
    pub value: Range<usize>,
    /// Its first byte that is no blank, which stands at `column`.
    start: usize,
    /// The bytes from there to the last one that is no blank.
    covered: usize,
}

impl Item {
    /// Where it stands, without the blanks at its ends.
    pub fn place(&self, file: FileId) -> Place {
        Place::new(file, self.line, self.column).covering(self.covered)
    }

    /// Where its value stands; as [`place`](Self::place) if it has none.
    pub fn value_place(&self, file: FileId) -> Place {
        let before = self.value.start.saturating_sub(self.start);
        if before >= self.covered {
            return self.place(file);
        }
        let column = self
            .column
            .saturating_add(u32::try_from(before).unwrap_or(0));
        Place::new(file, self.line, column).covering(self.covered - before)
    }
}

/// What the loader is reading.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Directives,
    Help,
    Skipping,
}

/// Cuts a file into items.
pub(crate) fn items(file: FileId, bytes: &[u8], found: &mut Diagnostics) -> Vec<Item> {
    let mut items = Vec::new();
    let mut state = State::Directives;
    let mut opened = None;
    let mut start = 0;
    let (mut line, mut line_start) = (1_u32, 0);
    let mut above = Above::Other;
    while start < bytes.len() {
        let rest = bytes.get(start..).unwrap_or_default();
        let window = rest.get(..PIECE_BYTES_MAX).unwrap_or(rest);
        let newline = window.iter().position(|byte| *byte == b'\n');
        let length = newline.map_or(window.len(), |at| at + 1);
        let piece = Piece {
            file,
            bytes,
            start,
            end: start + length,
            line,
            line_start,
        };
        if newline.is_none() && length < rest.len() {
            let at = Place::new(file, line, column(start + length - line_start));
            let message = format!(
                "the line is longer than {PIECE_BYTES_MAX} bytes: what follows is a line of its own to the loader"
            );
            found.push(Diagnostic::new(Code::LineTooLong, at, message));
        }
        let item = match state {
            State::Directives => piece.directive(above, found),
            State::Help => piece.text(ItemKind::HelpLine),
            State::Skipping => piece.text(ItemKind::SkippedLine),
        };
        match item.kind {
            ItemKind::EndText => state = State::Directives,
            ItemKind::Directive(Keyword::Word(Word::Text)) => {
                opened = Some(item.place(file));
                let value = bytes.get(item.value.clone()).unwrap_or_default();
                let help = same_keyword(word(value).0, "help");
                state = if help { State::Help } else { State::Skipping };
            }
            _ => {}
        }
        above = Above::of(&item, bytes);
        items.push(item);
        start += length;
        if newline.is_some() {
            line = line.saturating_add(1);
            line_start = start;
        }
    }
    if state != State::Directives {
        let message = "TEXT without ENDTEXT: the rest of the file is help";
        found.push(Diagnostic::new(Code::UnclosedText, opened, message));
    }
    items
}

/// The bytes up to the last one that is no blank.
fn covered(content: &[u8]) -> usize {
    let last = content.iter().rposition(|byte| !is_space(*byte));
    last.map_or(0, |at| at + 1)
}

fn column(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX - 1) + 1
}

/// What one read of the loader gives.
struct Piece<'a> {
    file: FileId,
    bytes: &'a [u8],
    start: usize,
    end: usize,
    line: u32,
    line_start: usize,
}

impl Piece<'_> {
    fn range(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Where the loader's string ends: at a NUL, and unless it is help, at a carriage return.
    fn seen_end(&self, ends: &[u8]) -> usize {
        let all = self.range(self.start..self.end);
        let end = all.iter().position(|byte| ends.contains(byte));
        self.start + end.unwrap_or(all.len())
    }

    fn item(&self, kind: ItemKind, at: usize, value: Range<usize>) -> Item {
        Item {
            kind,
            line: self.line,
            column: column(at - self.line_start),
            span: self.start..self.end,
            start: at,
            covered: covered(self.range(at..value.end)),
            value,
        }
    }

    /// A line between TEXT and ENDTEXT.
    fn text(&self, kind: ItemKind) -> Item {
        let end = self.seen_end(b"\0");
        let line = self.range(self.start..end);
        let content = skip_space(line);
        let at = end - content.len();
        if same_keyword(word(content).0, "endtext") {
            self.item(ItemKind::EndText, at, end..end)
        } else {
            self.item(kind, self.start, self.start..end)
        }
    }

    fn directive(&self, above: Above<'_>, found: &mut Diagnostics) -> Item {
        let end = self.seen_end(b"\0\r\n");
        self.check_end(end, found);
        let line = self.range(self.start..end);
        let content = skip_space(line);
        let at = end - content.len();
        let place = Place::new(self.file, self.line, column(at - self.line_start))
            .covering(covered(content));
        if content.is_empty() {
            return self.item(ItemKind::Blank, at, end..end);
        }
        if content.starts_with(b"#") {
            return self.item(ItemKind::Comment, at, at..end);
        }
        let (first, rest) = word(content);
        let (keyword, rest) = if same_keyword(first, "menu") {
            let (second, rest) = word(skip_space(rest));
            (menu_keyword(second), rest)
        } else if same_keyword(first, "f") {
            // The number may stand behind spaces, which `strtoul` skips (`is_fkey`).
            let (number, after) = word(skip_space(rest));
            (f_key(&[first, number].concat()).map(Keyword::FKey), after)
        } else {
            (word_keyword(first), rest)
        };
        let Some(keyword) = keyword else {
            if same_keyword(first, "endtext") {
                let message = "ENDTEXT without TEXT";
                found.push(Diagnostic::new(Code::StrayEndText, place, message));
            } else if !found.is_full() {
                found.push(unknown(place, content, above));
                if matches!(above, Above::Arguments(_)) {
                    torn_arguments(place, content, found);
                }
            }
            return self.item(ItemKind::Unknown, at, at..end);
        };
        let value = match keyword {
            // It is written from the fifth byte on, further spaces included (`parse_config_file`).
            Keyword::Word(Word::Say) => rest.get(1..).unwrap_or_default(),
            _ => skip_space(rest),
        };
        check_value(place, keyword, content, value, found);
        self.item(ItemKind::Directive(keyword), at, end - value.len()..end)
    }

    /// A line that ends for the loader before it ends for its writer.
    fn check_end(&self, end: usize, found: &mut Diagnostics) {
        let hidden = self.range(end..self.end);
        let Some((cut, after)) = hidden.split_first() else {
            return;
        };
        if *cut == b'\n' || after.iter().all(|byte| is_space(*byte)) {
            return;
        }
        let place = Place::new(self.file, self.line, column(end - self.line_start));
        let (code, name) = match cut {
            b'\r' => (Code::CarriageReturn, "a carriage return"),
            _ => (Code::NulByte, "a NUL"),
        };
        let message = format!("the loader ignores what follows {name}: {}", quoted(after));
        found.push(Diagnostic::new(code, place, message));
    }
}

fn unknown(place: Place, content: &[u8], above: Above<'_>) -> Diagnostic {
    if let Some(rest) = content.strip_prefix(b"\xef\xbb\xbf") {
        let message = format!("a byte order mark hides {} from the loader", quoted(rest));
        return Diagnostic::new(Code::ByteOrderMark, place, message)
            .with_remedy("save the file as UTF-8 without a byte order mark");
    }
    let shown = match word(content) {
        (first, rest) if same_keyword(first, "menu") => {
            let second = word(skip_space(rest)).0;
            [b"MENU ", second].concat()
        }
        (first, _) => first.to_vec(),
    };
    let message = format!("{} is no directive: the line is ignored", quoted(&shown));
    let diagnostic = Diagnostic::new(Code::UnknownDirective, place, message);
    let u_boots = [
        "fdt",
        "fdtdir",
        "devicetree",
        "devicetreedir",
        "fdtoverlays",
        "devicetree-overlay",
    ];
    if u_boots.iter().any(|name| same_keyword(&shown, name)) {
        return diagnostic
            .with_remedy("U-Boot knows it, which reads such files too; syslinux does not");
    }
    match remedy(content, above) {
        Some(remedy) => diagnostic.with_remedy(remedy),
        None => diagnostic,
    }
}

/// What the line above is to one that no loader acts on: the part of a longer line that came before it,
/// perhaps.
#[derive(Clone, Copy)]
enum Above<'a> {
    /// APPEND, or a rest of it: arguments may follow.
    Arguments(&'a [u8]),
    /// The name of a file or a URL, which may have been broken, or a directive that wants one.
    File(&'a [u8]),
    /// Anything else.
    Other,
}

impl<'a> Above<'a> {
    fn of(item: &Item, bytes: &'a [u8]) -> Self {
        let value = bytes.get(item.value.clone()).unwrap_or_default();
        let value = value.get(..covered(value)).unwrap_or_default();
        match item.kind {
            ItemKind::Directive(Keyword::Word(Word::Append)) => Self::Arguments(value),
            ItemKind::Directive(Keyword::Word(Word::Initrd) | Keyword::Image(_)) => {
                Self::File(value)
            }
            ItemKind::Unknown if has_scheme(value) => Self::File(value),
            ItemKind::Unknown if value.contains(&b'=') => Self::Arguments(value),
            _ => Self::Other,
        }
    }
}

fn has_scheme(value: &[u8]) -> bool {
    let first = word(value).0;
    let scheme = first.windows(3).position(|three| three == b"://");
    scheme.is_some_and(|at| !first.iter().take(at).any(|byte| *byte == b'='))
}

/// What to do with a line that no loader acts on.
fn remedy(content: &[u8], above: Above<'_>) -> Option<String> {
    const JOINED: &str = "the loader joins no lines: write it at the end of the line above";
    let first = word(content).0;
    let is_alone = first.len() == covered(content);
    let before = match above {
        Above::Arguments(before) | Above::File(before) => before,
        Above::Other => b"",
    };
    // `<pre>setup/variantcode=oss`
    if first.starts_with(b"<") && first.contains(&b'>') {
        return Some(format!(
            "take the mark-up of the page out; if the rest belongs to the line above, {JOINED}"
        ));
    }
    // `.../initrd.` and `17.`, `.../install` and `.amd/vmlinuz`
    let is_open = matches!(before.last(), Some(b'.' | b'=' | b'/' | b',' | b'-'));
    let starts_as_rest = matches!(first.first(), Some(b'.' | b'/' | b','));
    if !before.is_empty() && is_alone && (is_open || starts_as_rest) {
        return Some(format!("does it belong to the line above? {JOINED}"));
    }
    // A page number, or a rule.
    if is_alone && !first.iter().any(u8::is_ascii_alphabetic) && first.is_ascii() {
        return Some("take the line out: it looks like a page number or a rule".to_owned());
    }
    if let Some(meant) = suggestion(content) {
        return Some(format!("did you mean {meant}?"));
    }
    let is_value = first.contains(&b'=') || first.windows(3).any(|three| three == b"://");
    if is_value {
        return Some(JOINED.to_owned());
    }
    // `.../casper/vml` and `inuz`; `nfsroot=..` and `ro --`
    let is_rest = match above {
        Above::Arguments(_) => true,
        Above::File(before) => is_alone && has_scheme(before),
        Above::Other => false,
    };
    is_rest.then(|| format!("does it belong to the line above? {JOINED}"))
}

/// Torn arguments in a line that would belong to the APPEND above.
fn torn_arguments(place: Place, content: &[u8], found: &mut Diagnostics) {
    let words: Vec<(usize, &[u8])> = content
        .split(|byte| is_space(*byte))
        .scan(0, |offset, word| {
            let at = *offset;
            *offset += word.len() + 1;
            Some((at, word))
        })
        .filter(|(_, word)| !word.is_empty())
        .collect();
    let texts: Vec<_> = words
        .iter()
        .map(|(_, word)| crate::text::decode(word))
        .collect();
    let texts: Vec<&str> = texts.iter().map(|text| &text[..]).collect();
    for (index, (at, word)) in words.iter().enumerate() {
        let Some((text, following)) = texts.get(index..).and_then(<[&str]>::split_first) else {
            return;
        };
        if let Some(remedy) = crate::lint::torn(text, following) {
            let column = place.column.saturating_add(u32::try_from(*at).unwrap_or(0));
            let place = Place::new(place.file, place.line, column).covering(word.len());
            let message = format!("{} is a part of an argument", quoted(word));
            found.push(Diagnostic::new(Code::TornArgument, place, message).with_remedy(remedy));
        }
    }
}

fn check_value(
    place: Place,
    keyword: Keyword,
    content: &[u8],
    value: &[u8],
    found: &mut Diagnostics,
) {
    let name = || {
        let (first, rest) = word(content);
        let mut name = crate::text::decode(first).to_ascii_uppercase();
        if matches!(
            keyword,
            Keyword::Menu(_) | Keyword::Message(_) | Keyword::Parameter(_)
        ) {
            name.push(' ');
            name.push_str(&crate::text::decode(word(skip_space(rest)).0).to_ascii_uppercase());
        }
        name
    };
    let numeric = matches!(
        keyword,
        Keyword::Parameter(_)
            | Keyword::Menu(MenuWord::Indent)
            | Keyword::Word(
                Word::Timeout
                    | Word::TotalTimeout
                    | Word::AllowOptions
                    | Word::IpAppend
                    | Word::SysAppend
                    | Word::Implicit
                    | Word::Prompt
                    | Word::Console
                    | Word::NoEscape
                    | Word::NoComplete
                    | Word::NoHalt
                    | Word::PxeRetry
                    | Word::SendCookies
            )
    );
    if numeric {
        let first = word(value).0;
        let number = first.strip_prefix(b"-").unwrap_or(first);
        let hex = matches!(keyword, Keyword::Word(Word::IpAppend | Word::SysAppend));
        let is_number = if hex {
            !number.is_empty() && strtoul(number).1.is_empty()
        } else {
            !number.is_empty() && number.iter().all(u8::is_ascii_digit)
        };
        if !is_number {
            let read = if hex {
                strtoul(value).0.to_string()
            } else {
                atoi(value).to_string()
            };
            let message = format!(
                "{} wants a number, {} is read as {read}",
                name(),
                quoted(value)
            );
            found.push(Diagnostic::new(Code::NotANumber, place, message));
        }
        return;
    }
    let needs_value = matches!(keyword, Keyword::Image(_))
        || matches!(
            keyword,
            Keyword::Word(
                Word::Include
                    | Word::Initrd
                    | Word::Label
                    | Word::OnTimeout
                    | Word::Default
                    | Word::Ui
                    | Word::Display
                    | Word::Font
                    | Word::KbdMap
                    | Word::Serial
                    | Word::Path
            )
        )
        || matches!(
            keyword,
            Keyword::Menu(
                MenuWord::Include
                    | MenuWord::Goto
                    | MenuWord::Help
                    | MenuWord::HiddenKey
                    | MenuWord::Master
            )
        );
    if needs_value && value.is_empty() {
        let message = format!("{} has no value", name());
        found.push(Diagnostic::new(Code::MissingValue, place, message));
    }
    let names_file = match keyword {
        Keyword::Image(image) => image != ImageType::LocalBoot,
        Keyword::Word(Word::Include | Word::Initrd | Word::Display | Word::Font | Word::KbdMap)
        | Keyword::Menu(MenuWord::Include | MenuWord::Background)
        | Keyword::FKey(_) => true,
        _ => false,
    };
    if names_file && value.starts_with(b"\"") {
        let message = format!(
            "{}: to the loader the quotes are part of the name",
            quoted(word(value).0)
        );
        found.push(
            Diagnostic::new(Code::QuotedName, place, message)
                .with_remedy("write the name without quotes"),
        );
    }
}
