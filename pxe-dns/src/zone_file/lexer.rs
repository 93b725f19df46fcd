//! Characters of a zone file to entries: a line, or several that parentheses make one.

/// A word of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// As it is written, with its backslashes, without its quotes.
    pub(super) text: &'a [u8],
    /// Whether it stood between quotes.
    pub(super) is_quoted: bool,
    /// The line on which it begins, from 1.
    pub(super) line: u32,
}

/// A line that says something, or several that are one.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    /// The line on which it begins, from 1.
    pub(super) line: u32,
    /// Whether it begins with a blank: it is about the owner of the last record.
    pub(super) is_indented: bool,
    /// Its words; at least one, unless there is a fault.
    pub(super) tokens: Vec<Token<'a>>,
}

impl Entry<'_> {
    /// Makes it as if it all stood on this line.
    pub(super) fn move_to(&mut self, line: u32) {
        self.line = line;
        self.tokens.iter_mut().for_each(|token| token.line = line);
    }
}

/// Why characters make no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LexerFault {
    #[error("a parenthesis is closed that was not opened")]
    UnopenedParenthesis,
    #[error("this parenthesis is never closed")]
    UnclosedParenthesis,
    #[error("this quote is not closed on its line")]
    UnclosedQuote,
    #[error("a NUL character")]
    Nul,
}

/// Reads entries from the octets of a file.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    octets: &'a [u8],
    at: usize,
    line: u32,
}

/// What some editors write before a text, though UTF-8 has no order of bytes.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

impl<'a> Lexer<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        let bom = if octets.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        Self {
            octets,
            at: bom,
            line: 1,
        }
    }

    /// Puts the next entry in place of this one; false at the end.
    ///
    /// # Errors
    /// The line and what is wrong on it; the next entry is read from the line after it.
    pub(super) fn next(&mut self, entry: &mut Entry<'a>) -> Result<bool, (u32, LexerFault)> {
        let result = self.fill(entry);
        if result.is_err() {
            self.skip_line();
        }
        result
    }

    fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    fn fill(&mut self, entry: &mut Entry<'a>) -> Result<bool, (u32, LexerFault)> {
        entry.tokens.clear();
        entry.is_indented = matches!(self.peek(), Some(b' ' | b'\t'));
        entry.line = self.line;
        // The lines of the parentheses that are open.
        let (mut depth, mut opened_on) = (0_usize, 0);
        loop {
            let Some(octet) = self.peek() else {
                return match depth {
                    0 => Ok(!entry.tokens.is_empty()),
                    _ => Err((opened_on, LexerFault::UnclosedParenthesis)),
                };
            };
            match octet {
                b'\n' | b'\r' => {
                    self.at += 1;
                    self.line += u32::from(octet == b'\n');
                    if depth > 0 {
                        continue;
                    }
                    if !entry.tokens.is_empty() {
                        return Ok(true);
                    }
                    entry.is_indented = matches!(self.peek(), Some(b' ' | b'\t'));
                    entry.line = self.line;
                }
                b' ' | b'\t' => self.at += 1,
                b';' => self.skip_comment(),
                b'(' => {
                    if depth == 0 {
                        opened_on = self.line;
                    }
                    depth += 1;
                    self.at += 1;
                }
                b')' if depth == 0 => return Err((self.line, LexerFault::UnopenedParenthesis)),
                b')' => {
                    depth -= 1;
                    self.at += 1;
                }
                b'"' => entry.tokens.push(self.quoted()?),
                0 => return Err((self.line, LexerFault::Nul)),
                _ => entry.tokens.push(self.word()),
            }
        }
    }

    /// To the end of the line, which remains.
    fn skip_comment(&mut self) {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|octet| *octet == b'\n');
        self.at += len.unwrap_or(rest.len());
    }

    fn skip_line(&mut self) {
        self.skip_comment();
        if self.peek().is_some() {
            self.at += 1;
            self.line += 1;
        }
    }

    fn token(&self, from: usize, is_quoted: bool) -> Token<'a> {
        Token {
            text: self.octets.get(from..self.at).unwrap_or_default(),
            is_quoted,
            line: self.line,
        }
    }

    fn word(&mut self) -> Token<'a> {
        let from = self.at;
        let mut is_escaped = false;
        while let Some(octet) = self.peek() {
            match octet {
                b'\n' | b'\r' | 0 => break,
                b' ' | b'\t' | b';' | b'(' | b')' | b'"' if !is_escaped => break,
                _ => is_escaped = octet == b'\\' && !is_escaped,
            }
            self.at += 1;
        }
        self.token(from, false)
    }

    fn quoted(&mut self) -> Result<Token<'a>, (u32, LexerFault)> {
        self.at += 1;
        let (from, line) = (self.at, self.line);
        let mut is_escaped = false;
        loop {
            match self.peek() {
                None => return Err((line, LexerFault::UnclosedQuote)),
                Some(b'\n') if !is_escaped => return Err((line, LexerFault::UnclosedQuote)),
                Some(b'"') if !is_escaped => break,
                Some(octet) => {
                    is_escaped = octet == b'\\' && !is_escaped;
                    self.line += u32::from(octet == b'\n');
                }
            }
            self.at += 1;
        }
        let token = Token {
            line,
            ..self.token(from, true)
        };
        self.at += 1;
        Ok(token)
    }
}
