//! The data of records: words of a zone file to wire form, and back.

mod bitmap;
mod date;
mod digest;
mod encoding;
mod fields;
mod form;
mod location;
mod params;
mod prefixes;
mod registry;

use std::fmt::Write as _;

pub(super) use self::form::number;
use super::lexer::{Entry, Token};
use crate::zone::DATA_LEN_MAX;
use crate::{NameRef, RecordType};

/// Why words mean nothing, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: u32,
    pub(super) text: String,
}

/// The words of an entry that were not read yet.
#[derive(Debug)]
pub(super) struct Words<'e, 'a> {
    rest: &'e [Token<'a>],
    /// The line of the word before: that of a fault if there is none left.
    line: u32,
}

impl<'e, 'a> Words<'e, 'a> {
    pub(super) fn new(entry: &'e Entry<'a>) -> Self {
        Self {
            rest: &entry.tokens,
            line: entry.line,
        }
    }

    /// The line of the word that was taken last.
    pub(super) fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.rest.first().copied()
    }

    pub(super) fn take(&mut self) -> Option<Token<'a>> {
        let (first, rest) = self.rest.split_first()?;
        (self.rest, self.line) = (rest, first.line);
        Some(*first)
    }

    /// The next word, which is `what`.
    pub(super) fn expect(&mut self, what: &str) -> Result<Token<'a>, Fault> {
        let none = |line| Fault {
            line,
            text: format!("the line ends where {what} is needed"),
        };
        self.take().ok_or_else(|| none(self.line))
    }

    /// The next word, which is `what` and stands without quotes.
    pub(super) fn expect_bare(&mut self, what: &str) -> Result<Token<'a>, Fault> {
        let token = self.expect(what)?;
        match token.is_quoted {
            false => Ok(token),
            true => Err(self.fault(format!("{what} is written without quotes"))),
        }
    }

    /// Whether what is left is in the form of RFC 3597. Text may begin with `\#` too, if no number
    /// follows.
    fn begin_unknown_form(&self, kind: RecordType) -> bool {
        match self.rest {
            [first, ..] if first.text != br"\#" || first.is_quoted => false,
            [_, second, ..] if kind == RecordType::TXT => number::<u32>(second.text).is_some(),
            [_] if kind == RecordType::TXT => false,
            rest => !rest.is_empty(),
        }
    }

    /// A fault of the word that was taken last.
    pub(super) fn fault(&self, text: impl Into<String>) -> Fault {
        Fault {
            line: self.line,
            text: text.into(),
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        match self.take() {
            None => Ok(()),
            Some(token) => Err(self.fault(format!(
                "there is more on the line than belongs to it: {}",
                shown(token.text)
            ))),
        }
    }
}

/// Octets of a file for a person: not many, and none that a terminal would obey.
pub(super) fn shown(text: &[u8]) -> String {
    let (head, dots) = match text.get(..60) {
        Some(head) if text.len() > 60 => (head, ".."),
        _ => (text, ""),
    };
    let mut out = String::from("'");
    for character in String::from_utf8_lossy(head).chars() {
        match character.is_control() {
            true => out.push('\u{fffd}'),
            false => out.push(character),
        }
    }
    out + dots + "'"
}

/// The data of a record of this type, in wire form: all words that are left.
pub(super) fn parse(
    kind: RecordType,
    words: &mut Words<'_, '_>,
    origin: NameRef<'_>,
) -> Result<Vec<u8>, Fault> {
    let data = if words.begin_unknown_form(kind) {
        words.take();
        unknown_form(kind, words)?
    } else {
        let Some(fields) = fields::of(kind) else {
            return Err(words.fault(format!(
                "the data of {kind} can only be written as \\# and a length and hexadecimal digits \
                 (RFC 3597)"
            )));
        };
        let mut data = Vec::new();
        for field in fields {
            field.parse(words, origin, &mut data)?;
        }
        data
    };
    words.finish()?;
    digest::check(kind, &data).map_err(|why| words.fault(why))?;
    match data.len() {
        ..=DATA_LEN_MAX => Ok(data),
        _ => Err(words.fault(format!(
            "the data is longer than {DATA_LEN_MAX} octets, for which no message has room"
        ))),
    }
}

/// `\# LENGTH HEX ..` (RFC 3597 section 5), of which `\#` was read.
fn unknown_form(kind: RecordType, words: &mut Words<'_, '_>) -> Result<Vec<u8>, Fault> {
    let token = words.expect_bare("the data's length")?;
    let len: u16 = number(token.text)
        .ok_or_else(|| words.fault(format!("no length: {}", shown(token.text))))?;
    let mut digits = Vec::new();
    while let Some(token) = words.take() {
        digits.extend_from_slice(token.text);
    }
    let data = encoding::HEX
        .decode(&digits)
        .ok_or_else(|| words.fault("no even number of hexadecimal digits"))?;
    if data.len() != usize::from(len) {
        return Err(words.fault(format!(
            "{len} octets were announced and {} follow",
            data.len()
        )));
    }
    match is_well_formed(kind, &data) {
        true => Ok(data),
        false => Err(words.fault(format!("these octets are no data of {kind}"))),
    }
}

/// Whether data in wire form is what its type wants; that of a type that is not known always is.
fn is_well_formed(kind: RecordType, data: &[u8]) -> bool {
    fields::of(kind).is_none() || known_text(kind, data).is_some()
}

/// Data as zone files have it; as RFC 3597 has it if its type is not known or it is malformed.
pub(super) fn text(kind: RecordType, data: &[u8]) -> String {
    let known = known_text(kind, data).filter(|text| !text.is_empty());
    known.unwrap_or_else(|| {
        let mut out = format!("\\# {}", data.len());
        if !data.is_empty() {
            let _ = write!(out, " {}", encoding::HEX.encode(data));
        }
        out
    })
}

fn known_text(kind: RecordType, data: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut rest = data;
    for field in fields::of(kind)? {
        field.text(&mut rest, &mut out)?;
    }
    // Of sets that are empty the blank before them is left.
    rest.is_empty()
        .then(|| out.trim_end_matches(' ').to_owned())
}
