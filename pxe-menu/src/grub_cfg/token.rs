//! The words of a grub.cfg, as GRUB's lexer cuts them (grub-core/script/yylex.l of GRUB 2.06 and 2.12).

use core::ops::Range;

/// A piece of a word. Pieces without a blank between them are one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Text outside of quotes, its backslashes taken away.
    Text(Vec<u8>),
    /// Text in quotes: a word of it is there even if it is empty.
    Quoted(Vec<u8>),
    /// `$name`; in double quotes its value is never cut into words.
    Variable { name: Vec<u8>, quoted: bool },
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word(Vec<Part>),
    Newline,
    Semicolon,
    Open,
    Close,
    /// An operator that the lexer knows and the grammar does not: `||`, `&&`, `>` and the like.
    Operator,
    Bad(Fault),
    End,
}

/// What GRUB cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A quote, or a backslash, that the file's end leaves open.
    Unended,
    /// A dollar sign that begins no variable.
    Dollar,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Range<usize>,
}

/// The text of a file as GRUB's lexer has it, and where its lines are in the file.
#[derive(Debug)]
pub(super) struct Source {
    text: Vec<u8>,
    /// The offset in the text at which each line begins, and its number.
    lines: Vec<(usize, u32)>,
}

impl Source {
    /// `grub_file_getline` leaves out carriage returns, and a NUL ends a line there;
    /// `read_config_file_getline` leaves out lines that begin with `#`, even within quotes. The last
    /// line always gets a newline.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut text = Vec::with_capacity(bytes.len() + 1);
        let mut lines = Vec::new();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let start = text.len();
            let seen = line.iter().position(|byte| *byte == 0);
            let line = line.get(..seen.unwrap_or(line.len())).unwrap_or_default();
            text.extend(line.iter().filter(|byte| **byte != b'\r'));
            if text.get(start) == Some(&b'#') {
                text.truncate(start);
                continue;
            }
            text.push(b'\n');
            lines.push((start, u32::try_from(index + 1).unwrap_or(u32::MAX)));
        }
        Self { text, lines }
    }

    pub(super) fn text(&self, span: &Range<usize>) -> &[u8] {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// The line and the column of an offset.
    pub(super) fn position(&self, at: usize) -> (u32, u32) {
        let after = self.lines.partition_point(|(start, _)| *start <= at);
        let (start, line) = after
            .checked_sub(1)
            .and_then(|index| self.lines.get(index))
            .copied()
            .unwrap_or((0, 1));
        let column = u32::try_from(at.saturating_sub(start)).unwrap_or(u32::MAX - 1);
        (line, column + 1)
    }

    /// The offset at which the line after this offset begins.
    pub(super) fn next_line(&self, at: usize) -> usize {
        let after = self.lines.partition_point(|(start, _)| *start <= at);
        self.lines
            .get(after)
            .map_or(self.text.len(), |(start, _)| *start)
    }
}

/// Cuts a text into tokens.
pub(super) struct Lexer<'a> {
    pub(super) source: &'a Source,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, at: 0 }
    }

    pub(super) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    fn rest(&self) -> &'a [u8] {
        self.source.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn next(&mut self) -> Token {
        let blanks = self
            .rest()
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        self.at += blanks;
        // A comment is the longest match even where a quote stands in it.
        if self.rest().first() == Some(&b'#') {
            let end = self.rest().iter().position(|byte| *byte == b'\n');
            self.at += end.unwrap_or(self.rest().len());
        }
        let start = self.at;
        let (kind, length) = match self.rest() {
            [] => (TokenKind::End, 0),
            [b'\n', ..] => (TokenKind::Newline, 1),
            [b'|', b'|', ..] | [b'&', b'&', ..] | [b';', b';', ..] => (TokenKind::Operator, 2),
            [b'|' | b'&' | b'<' | b'>', ..] => (TokenKind::Operator, 1),
            [b';', ..] => (TokenKind::Semicolon, 1),
            [b'{', ..] => (TokenKind::Open, 1),
            [b'}', ..] => (TokenKind::Close, 1),
            rest => match word(rest) {
                // Reserved, and of no use in the grammar.
                Ok((_, 2)) if rest.starts_with(b"[[") || rest.starts_with(b"]]") => {
                    (TokenKind::Operator, 2)
                }
                Ok((parts, length)) => (TokenKind::Word(parts), length),
                Err((fault, length)) => (TokenKind::Bad(fault), length.min(rest.len())),
            },
        };
        self.at = start + length;
        Token {
            kind,
            span: start..self.at,
        }
    }
}

/// What cannot be read, and how far the lexer looked to find that out: the grammar goes on behind that.
type Unreadable = (Fault, usize);

/// The parts of the word that begins here, and its length.
fn word(text: &[u8]) -> Result<(Vec<Part>, usize), Unreadable> {
    let mut parts = Vec::new();
    let mut plain = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let special = match rest {
            [b'\\', b'\n', after @ ..] => {
                // GRUB wants another line after it.
                if after.is_empty() {
                    return Err((Fault::Unended, text.len()));
                }
                at += 2;
                continue;
            }
            [b'\\', byte, ..] => {
                plain.push(*byte);
                at += 2;
                continue;
            }
            [b'\'' | b'"', ..] | [b'$', ..] => true,
            []
            | [
                b'{' | b'}' | b'|' | b'&' | b';' | b'<' | b'>' | b' ' | b'\t' | b'\n',
                ..,
            ]
            | [b'\\'] => false,
            [byte, ..] => {
                plain.push(*byte);
                at += 1;
                continue;
            }
        };
        if !plain.is_empty() {
            parts.push(Part::Text(core::mem::take(&mut plain)));
        }
        if !special {
            return Ok((parts, at));
        }
        let length = match rest {
            [b'\'', quoted @ ..] => {
                let end = quoted.iter().position(|byte| *byte == b'\'');
                let end = end.ok_or((Fault::Unended, text.len()))?;
                parts.push(Part::Quoted(quoted.get(..end).unwrap_or_default().to_vec()));
                end + 2
            }
            [b'"', quoted @ ..] => {
                let read = double_quoted(quoted, &mut parts);
                read.map_err(|(fault, length)| (fault, at + 1 + length))? + 1
            }
            // `$".."`: a text to be translated.
            [b'$', b'"', quoted @ ..] => {
                let read = translated(quoted, &mut parts);
                read.map_err(|fault| (fault, text.len()))? + 2
            }
            _ => match variable(rest.get(1..).unwrap_or_default()) {
                Some((name, length)) => {
                    parts.push(Part::Variable {
                        name,
                        quoted: false,
                    });
                    length + 1
                }
                // The word ends before it, and what follows cannot be read.
                None if at > 0 => return Ok((parts, at)),
                None => return Err((Fault::Dollar, 1)),
            },
        };
        at += length;
    }
}

/// The parts of a text in double quotes, and its length with the quote that ends it.
fn double_quoted(text: &[u8], parts: &mut Vec<Part>) -> Result<usize, Unreadable> {
    let mut quoted = Vec::new();
    let mut at = 0;
    loop {
        match text.get(at..).unwrap_or_default() {
            [] => return Err((Fault::Unended, at)),
            [b'"', ..] => {
                parts.push(Part::Quoted(quoted));
                return Ok(at + 1);
            }
            [b'\\', b'\n', ..] => at += 2,
            [b'\\', byte @ (b'$' | b'\\' | b'"'), ..] => {
                quoted.push(*byte);
                at += 2;
            }
            [b'$', rest @ ..] => {
                // The lexer looks for the end of the quotes first.
                let Some((name, length)) = variable(rest) else {
                    return Err(match ended(rest) {
                        Some(length) => (Fault::Dollar, at + 1 + length),
                        None => (Fault::Unended, text.len()),
                    });
                };
                parts.push(Part::Quoted(core::mem::take(&mut quoted)));
                parts.push(Part::Variable { name, quoted: true });
                at += length + 1;
            }
            [byte, ..] => {
                quoted.push(*byte);
                at += 1;
            }
        }
    }
}

/// The length of what is left of a text in double quotes, with the quote that ends it.
fn ended(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at..)? {
            [] => return None,
            [b'"', ..] => return Some(at + 1),
            [b'\\', ..] => at += 2,
            _ => at += 1,
        }
    }
}

/// The parts of a text that is to be translated, and its length with the quote that ends it. The lexer
/// leaves its variables alone; they are looked for afterwards, and a dollar sign may stand alone
/// (`parse_string` in execute.c).
fn translated(text: &[u8], parts: &mut Vec<Part>) -> Result<usize, Fault> {
    let mut quoted = Vec::new();
    let mut at = 0;
    loop {
        match text.get(at..).unwrap_or_default() {
            [] => return Err(Fault::Unended),
            [b'"', ..] => {
                parts.push(Part::Quoted(quoted));
                return Ok(at + 1);
            }
            [b'\\', b'\n', ..] => at += 2,
            [b'\\', byte @ (b'$' | b'\\' | b'"'), ..] => {
                quoted.push(*byte);
                at += 2;
            }
            [b'$', rest @ ..] => match variable(rest) {
                Some((name, length)) if !matches!(name.as_slice(), b"*" | b"@") => {
                    parts.push(Part::Quoted(core::mem::take(&mut quoted)));
                    parts.push(Part::Variable { name, quoted: true });
                    at += length + 1;
                }
                _ => {
                    quoted.push(b'$');
                    at += 1;
                }
            },
            [byte, ..] => {
                quoted.push(*byte);
                at += 1;
            }
        }
    }
}

/// The name of the variable that begins after a dollar sign, and its length with its braces.
fn variable(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    if let [b'{', rest @ ..] = text {
        let length = name_length(rest)?;
        (rest.get(length) == Some(&b'}')).then_some(())?;
        return Some((rest.get(..length)?.to_vec(), length + 2));
    }
    let length = name_length(text)?;
    Some((text.get(..length)?.to_vec(), length))
}

fn name_length(text: &[u8]) -> Option<usize> {
    let count = |is_part: fn(&u8) -> bool| text.iter().take_while(|byte| is_part(byte)).count();
    match text.first()? {
        b'?' | b'#' | b'*' | b'@' => Some(1),
        b'0'..=b'9' => Some(count(u8::is_ascii_digit)),
        _ => Some(name_prefix(text)).filter(|length| *length > 0),
    }
}

/// How many bytes at the beginning are a name.
pub(super) fn name_prefix(text: &[u8]) -> usize {
    match text.first() {
        Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => text
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
            .count(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        let source = Source::new(text.as_bytes());
        let mut lexer = Lexer::new(&source);
        let mut kinds = Vec::new();
        loop {
            let token = lexer.next();
            if token.kind == TokenKind::End {
                return kinds;
            }
            kinds.push(token.kind);
        }
    }

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    fn quoted(text: &str) -> Part {
        Part::Quoted(text.into())
    }

    fn variable(name: &str, quoted: bool) -> Part {
        Part::Variable {
            name: name.into(),
            quoted,
        }
    }

    #[test]
    fn quotes_join_and_variables_stay_apart() {
        assert_eq!(
            kinds(r#"a'b c'"d $e \$f"${g}h"#),
            [
                TokenKind::Word(vec![
                    text("a"),
                    quoted("b c"),
                    quoted("d "),
                    variable("e", true),
                    quoted(" $f"),
                    variable("g", false),
                    text("h"),
                ]),
                TokenKind::Newline
            ]
        );
    }

    #[test]
    fn a_backslash_joins_lines_and_takes_the_meaning_of_what_follows() {
        assert_eq!(
            kinds("ro\\\not a\\;b\n"),
            [
                TokenKind::Word(vec![text("root")]),
                TokenKind::Word(vec![text("a;b")]),
                TokenKind::Newline
            ]
        );
    }

    #[test]
    fn a_comment_begins_a_word_only() {
        assert_eq!(
            kinds("a#b # it's\n"),
            [TokenKind::Word(vec![text("a#b")]), TokenKind::Newline]
        );
    }

    #[test]
    fn carriage_returns_are_left_out_and_lines_of_comments_too() {
        let source = Source::new(b"a\r\n# 'x\r\nb\r\n");
        assert_eq!(source.text, b"a\nb\n");
        assert_eq!(source.position(2), (3, 1));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        assert_eq!(kinds("'a\nb")[0], TokenKind::Bad(Fault::Unended));
        assert_eq!(kinds("\"a $ b\"")[0], TokenKind::Bad(Fault::Dollar));
        assert_eq!(kinds("$\"a$\"")[0], TokenKind::Word(vec![quoted("a$")]));
        assert_eq!(kinds("$(a)")[0], TokenKind::Bad(Fault::Dollar));
        assert_eq!(kinds("[[ a")[0], TokenKind::Operator);
    }
}
