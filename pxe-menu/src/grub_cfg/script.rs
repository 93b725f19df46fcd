//! The commands of a grub.cfg, as GRUB's grammar joins them (grub-core/script/parser.y).

use std::sync::Arc;

use super::token::{Fault, Lexer, Part, Source, Token, TokenKind, name_prefix};
use crate::diagnostic::{Diagnostics, quoted};
use crate::{Code, Diagnostic, FileId, Place, Text};

/// How deep blocks and conditions may be in each other. GRUB's own bound is that of its stack
/// (`MAX_RECURSION_DEPTH` in execute.c, which counts each of them twice).
const NESTING_MAX: usize = 64;

/// A list of commands.
pub(super) type Block = Arc<[Statement]>;

/// A word. One without parts is there too: a backslash alone at the end of a line.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) enum Statement {
    Command(CommandLine),
    If(Condition),
    For {
        name: Text,
        words: Vec<Word>,
        body: Block,
        place: Place,
    },
    /// WHILE, and UNTIL.
    While {
        until: bool,
        condition: Block,
        body: Block,
        place: Place,
    },
    Function {
        name: Text,
        body: Block,
    },
}

/// A command, and the block at its end, as menuentry has one.
#[derive(Debug)]
pub(super) struct CommandLine {
    pub(super) words: Vec<Word>,
    pub(super) block: Option<Block>,
    pub(super) place: Place,
}

/// IF, each ELIF, and ELSE.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) arms: Vec<Arm>,
    pub(super) otherwise: Option<Block>,
}

#[derive(Debug)]
pub(super) struct Arm {
    pub(super) condition: Block,
    pub(super) body: Block,
    pub(super) place: Place,
}

/// The commands of a file, of `words_max` words at most. What GRUB cannot read it drops, and goes on after
/// that line.
pub(super) fn parse(
    file: FileId,
    bytes: &[u8],
    words_max: usize,
    found: &mut Diagnostics,
) -> Block {
    let source = Source::new(bytes);
    let mut grammar = Grammar {
        file,
        lexer: Lexer::new(&source),
        token: None,
        depth: 0,
        words_left: words_max,
    };
    let mut statements = Vec::new();
    loop {
        grammar.skip_newlines();
        let start = grammar.peek().span.start;
        if grammar.peek().kind == TokenKind::End {
            break;
        }
        match grammar.top() {
            Ok(statement) => statements.push(statement),
            Err(wrong) => {
                let token = grammar.take();
                found.push(grammar.diagnostic(start, &token, wrong));
                if let Wrong::TooMuch = wrong {
                    break;
                }
                let next = source.next_line(token.span.end.saturating_sub(1).max(start));
                grammar.token = None;
                grammar.lexer.seek(next);
            }
        }
    }
    statements.into()
}

/// What is wrong: what is there, against what may be.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Unexpected,
    Wanted(&'static str),
    TooDeep,
    TooMuch,
}

struct Grammar<'a> {
    file: FileId,
    lexer: Lexer<'a>,
    token: Option<Token>,
    depth: usize,
    /// A word of a few bytes becomes many in memory.
    words_left: usize,
}

type Parsed<T> = Result<T, Wrong>;

impl Grammar<'_> {
    fn peek(&mut self) -> &Token {
        let lexer = &mut self.lexer;
        self.token.get_or_insert_with(|| lexer.next())
    }

    fn take(&mut self) -> Token {
        match self.token.take() {
            Some(token) => token,
            None => self.lexer.next(),
        }
    }

    fn raw(&mut self) -> &[u8] {
        let span = self.peek().span.clone();
        self.lexer.source.text(&span)
    }

    fn place(&self, at: usize) -> Place {
        let (line, column) = self.lexer.source.position(at);
        Place::new(self.file, line, column)
    }

    fn here(&mut self) -> Place {
        let span = self.peek().span.clone();
        self.place(span.start).covering(span.len())
    }

    fn is_word(&mut self, word: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Word(_)) && self.raw() == word.as_bytes()
    }

    fn skip_newlines(&mut self) {
        while self.peek().kind == TokenKind::Newline {
            self.take();
        }
    }

    /// A statement and its delimiter.
    fn top(&mut self) -> Parsed<Statement> {
        self.depth = 0;
        let statement = if self.is_word("function") {
            self.take();
            self.function()?
        } else {
            self.statement()?
        };
        match self.peek().kind {
            TokenKind::Newline | TokenKind::Semicolon => {
                self.take();
                Ok(statement)
            }
            TokenKind::End => Ok(statement),
            _ => Err(Wrong::Unexpected),
        }
    }

    fn name(&mut self) -> Parsed<Text> {
        let raw = self.raw();
        if raw.is_empty() || name_prefix(raw) != raw.len() || is_reserved(raw) {
            return Err(Wrong::Wanted("a name"));
        }
        let name = Text::from(raw);
        self.take();
        Ok(name)
    }

    fn function(&mut self) -> Parsed<Statement> {
        let name = self.name()?;
        self.skip_newlines();
        if self.peek().kind != TokenKind::Open {
            return Err(Wrong::Wanted("`{`"));
        }
        self.take();
        let body = self.ended_commands("a new line or `;` before `}`")?;
        self.close()?;
        Ok(Statement::Function { name, body })
    }

    fn close(&mut self) -> Parsed<()> {
        if self.peek().kind != TokenKind::Close {
            return Err(Wrong::Wanted("`}`"));
        }
        self.take();
        Ok(())
    }

    /// `delimiters1`, if it is there.
    fn delimiters(&mut self) -> bool {
        if !matches!(self.peek().kind, TokenKind::Newline | TokenKind::Semicolon) {
            return false;
        }
        self.take();
        self.skip_newlines();
        true
    }

    /// `commands1`, one command at least; and whether a delimiter follows it, which is taken.
    fn commands(&mut self) -> Parsed<(Block, bool)> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(Wrong::TooDeep);
        }
        self.skip_newlines();
        let mut statements = vec![self.statement()?];
        let mut ended = false;
        while self.delimiters() {
            ended = true;
            if !self.begins_command() {
                break;
            }
            ended = false;
            statements.push(self.statement()?);
        }
        self.depth -= 1;
        Ok((statements.into(), ended))
    }

    /// `commands1 delimiters1`.
    fn ended_commands(&mut self, wanted: &'static str) -> Parsed<Block> {
        match self.commands()? {
            (block, true) => Ok(block),
            (_, false) => Err(Wrong::Wanted(wanted)),
        }
    }

    fn begins_command(&mut self) -> bool {
        if !matches!(self.peek().kind, TokenKind::Word(_)) {
            return false;
        }
        let raw = self.raw();
        !is_reserved(raw) || matches!(raw, b"if" | b"for" | b"while" | b"until")
    }

    fn statement(&mut self) -> Parsed<Statement> {
        if !self.begins_command() {
            return Err(Wrong::Wanted("a command"));
        }
        let place = self.here();
        match self.raw() {
            b"if" => self.condition(),
            b"for" => {
                self.take();
                let name = self.name()?;
                self.keyword("in")?;
                let words = self.words()?;
                if !self.delimiters() {
                    return Err(Wrong::Wanted("`; do`"));
                }
                let body = self.loop_body()?;
                Ok(Statement::For {
                    name,
                    words,
                    body,
                    place,
                })
            }
            b"while" | b"until" => {
                let until = self.is_word("until");
                self.take();
                let condition = self.ended_commands("`; do`")?;
                let body = self.loop_body()?;
                Ok(Statement::While {
                    until,
                    condition,
                    body,
                    place,
                })
            }
            _ => self.command(place),
        }
    }

    fn keyword(&mut self, word: &'static str) -> Parsed<()> {
        if !self.is_word(word) {
            return Err(match word {
                "in" => Wrong::Wanted("`in`"),
                "do" => Wrong::Wanted("`do`"),
                "done" => Wrong::Wanted("`done`"),
                "then" => Wrong::Wanted("`then`"),
                _ => Wrong::Wanted("`fi`"),
            });
        }
        self.take();
        Ok(())
    }

    fn loop_body(&mut self) -> Parsed<Block> {
        self.keyword("do")?;
        let body = self.ended_commands("`; done`")?;
        self.keyword("done")?;
        Ok(body)
    }

    fn condition(&mut self) -> Parsed<Statement> {
        let mut arms = Vec::new();
        let mut otherwise = None;
        loop {
            let place = self.here();
            self.take();
            let condition = self.ended_commands("`; then`")?;
            self.keyword("then")?;
            let body = self.ended_commands("a new line or `;`")?;
            arms.push(Arm {
                condition,
                body,
                place,
            });
            if self.is_word("elif") {
                continue;
            }
            if self.is_word("else") {
                self.take();
                otherwise = Some(self.ended_commands("`; fi`")?);
            }
            self.keyword("fi")?;
            return Ok(Statement::If(Condition { arms, otherwise }));
        }
    }

    /// The words up to what is none; reserved ones too.
    fn words(&mut self) -> Parsed<Vec<Word>> {
        let mut words = Vec::new();
        while let TokenKind::Word(_) = self.peek().kind {
            let token = self.take();
            let place = self.place(token.span.start).covering(token.span.len());
            if let TokenKind::Word(parts) = token.kind {
                self.words_left = self
                    .words_left
                    .checked_sub(parts.len().max(1))
                    .ok_or(Wrong::TooMuch)?;
                words.push(Word { parts, place });
            }
        }
        Ok(words)
    }

    fn command(&mut self, place: Place) -> Parsed<Statement> {
        let words = self.words()?;
        let mut block = None;
        if self.peek().kind == TokenKind::Open {
            self.take();
            block = Some(self.commands()?.0);
            self.close()?;
        }
        Ok(Statement::Command(CommandLine {
            words,
            block,
            place,
        }))
    }

    fn diagnostic(&self, start: usize, token: &Token, wrong: Wrong) -> Diagnostic {
        let place = self.place(token.span.start);
        let place = match token.kind {
            TokenKind::Bad(_) => place,
            _ => place.covering(token.span.len()),
        };
        let begun = self.place(start);
        let raw = self.lexer.source.text(&token.span);
        let what = match (&token.kind, wrong) {
            (_, Wrong::TooMuch) => {
                let message = "more words than are acted on: the rest of the file is not read";
                return Diagnostic::new(Code::Limited, place, message);
            }
            (_, Wrong::TooDeep) => {
                let message = format!("blocks are more than {NESTING_MAX} deep");
                return Diagnostic::new(Code::Limited, place, message);
            }
            (TokenKind::Bad(Fault::Unended), _) => "a quote that is never closed".to_owned(),
            (TokenKind::Bad(Fault::Dollar), _) => "`$` begins no variable".to_owned(),
            (TokenKind::Operator, _) => format!("GRUB does not expect {} here", quoted(raw)),
            (TokenKind::End, Wrong::Wanted(wanted)) => {
                format!("the file ends where GRUB wants {wanted}")
            }
            (TokenKind::Newline, Wrong::Wanted(wanted)) => {
                format!("the line ends where GRUB wants {wanted}")
            }
            (_, Wrong::Wanted(wanted)) => format!("{} where GRUB wants {wanted}", quoted(raw)),
            (_, Wrong::Unexpected) => format!("GRUB does not expect {} here", quoted(raw)),
        };
        let message = if begun.line == place.line {
            format!("{what}: it drops the line")
        } else {
            let line = begun.line;
            format!(
                "{what}: it drops all since line {line}, and reads on as if nothing had been open"
            )
        };
        let diagnostic = Diagnostic::new(Code::SyntaxError, place, message);
        let remedy = match (&token.kind, raw) {
            (TokenKind::Operator, b"&&" | b"||") => "write if .. then .. fi: GRUB has no && and ||",
            (TokenKind::Operator, b"[[" | b"]]") => "write [ and ]",
            (TokenKind::Operator, _) => "put it in quotes",
            (TokenKind::Bad(Fault::Dollar), _) => r"write \$, or put the word in single quotes",
            (TokenKind::Open, _) => "`{` stands on the line of its command, after a blank",
            (TokenKind::Close, _) if matches!(wrong, Wrong::Wanted("a command")) => {
                "a block holds one command at least: write true"
            }
            _ => return diagnostic,
        };
        diagnostic.with_remedy(remedy)
    }
}

fn is_reserved(word: &[u8]) -> bool {
    matches!(
        word,
        b"case"
            | b"do"
            | b"done"
            | b"elif"
            | b"else"
            | b"esac"
            | b"fi"
            | b"for"
            | b"if"
            | b"in"
            | b"select"
            | b"then"
            | b"until"
            | b"while"
            | b"function"
    )
}
