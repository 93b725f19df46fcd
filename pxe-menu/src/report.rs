//! Findings as people and programs read them.
//!
//! A menu comes from strangers, and its report is shown on a terminal: nothing of the menu reaches it
//! that a terminal would obey. Control characters and those that turn the direction of writing are
//! escaped, in the lines shown as in names and messages.

use crate::json::Json;
use crate::source_line::{SourceLine, harmless};
use crate::{Diagnostic, FileId, Severity, SourceFile, Text};

/// The version of the form of [`report_json`]. A field more does not raise it.
pub const REPORT_JSON_VERSION: u32 = 1;

/// A file that findings are about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportFile<'a> {
    /// Its name in the report.
    pub name: Text,
    /// Its content; empty if it is not there.
    pub bytes: &'a [u8],
}

impl<'a> ReportFile<'a> {
    /// A file. The name may be another than the one that the menu has for it, such as its path on
    /// this machine.
    pub fn new(name: impl Into<Text>, bytes: &'a [u8]) -> Self {
        let name = name.into();
        Self { name, bytes }
    }

    /// The files of a configuration, under the names that it has for them.
    pub fn all(files: &'a [SourceFile]) -> Vec<Self> {
        let of = |file: &'a SourceFile| {
            let bytes = file.bytes.as_deref().unwrap_or_default();
            Self::new(file.name.clone(), bytes)
        };
        files.iter().map(of).collect()
    }
}

/// Whether a report has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Paint {
    /// None: for files and pipes.
    #[default]
    Plain,
    /// ECMA-48 sequences: for terminals.
    Ansi,
}

impl Paint {
    fn with(self, sequence: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Ansi => format!("\x1b[{sequence}m{text}\x1b[0m"),
        }
    }

    fn severity(self, severity: Severity, text: &str) -> String {
        let sequence = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;36",
        };
        self.with(sequence, text)
    }

    fn frame(self, text: &str) -> String {
        self.with("1;34", text)
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
}

/// How many findings there are of each severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tally {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
    /// Notes.
    pub notes: usize,
}

impl Tally {
    /// Counts findings.
    pub fn of(diagnostics: &[Diagnostic]) -> Self {
        let mut tally = Self::default();
        for diagnostic in diagnostics {
            match diagnostic.severity {
                Severity::Error => tally.errors += 1,
                Severity::Warning => tally.warnings += 1,
                Severity::Note => tally.notes += 1,
            }
        }
        tally
    }
}

/// `2 errors, 1 warning, 0 notes`.
impl core::fmt::Display for Tally {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        write!(
            f,
            "{} error{}, {} warning{}, {} note{}",
            self.errors,
            plural(self.errors),
            self.warnings,
            plural(self.warnings),
            self.notes,
            plural(self.notes)
        )
    }
}

/// Findings as rustc writes its own: each with its line, what is meant in it underlined, notes and help.
/// In the order given; no line at the end that counts them ([`Tally`] does).
///
/// # Example
///
/// ```
/// use pxe_menu::{Limits, Paint, Parser, ReportFile, report_text, resolve};
///
/// let mut parser = Parser::new("default", Limits::default());
/// while let Some(need) = parser.poll_need() {
///     parser.provide(need.id, "DEFAULT a\nLABEL a\n\tarppend quiet\n");
/// }
/// let document = parser.finish();
/// let told = resolve(&document).diagnostics;
/// let report = report_text(&ReportFile::all(document.files()), &told, Paint::Plain);
/// assert_eq!(report, "\
/// warning[unknown-directive]: `arppend` is no directive: the line is ignored
///  --> default:3:2
///   |
/// 3 |     arppend quiet
///   |     ^^^^^^^^^^^^^
///   = help: did you mean APPEND?
///
/// ");
/// ```
pub fn report_text(files: &[ReportFile<'_>], diagnostics: &[Diagnostic], paint: Paint) -> String {
    let lines: Vec<Vec<usize>> = files.iter().map(|file| line_starts(file.bytes)).collect();
    let mut out = String::new();
    for diagnostic in diagnostics {
        let severity = diagnostic.severity;
        let head = format!("{}[{}]", severity.as_str(), diagnostic.code.as_str());
        let message = format!(": {}", harmless(&diagnostic.message));
        out.push_str(&paint.severity(severity, &head));
        out.push_str(&paint.bold(&message));
        out.push('\n');
        let mut margin = String::from(" ");
        if let Some(place) = diagnostic.place
            && let Some(file) = files.get(place.file.index())
        {
            let number = place.line.to_string();
            margin = " ".repeat(number.len());
            let name = harmless(&file.name.to_string());
            let arrow = paint.frame(&format!("{margin}-->"));
            out.push_str(&format!("{arrow} {name}:{number}:{}\n", place.column));
            let starts = lines.get(place.file.index());
            if let Some(line) = starts.and_then(|starts| line(file.bytes, starts, place.line)) {
                let column = place.column.saturating_sub(1) as usize;
                let shown = SourceLine::new(line, column, place.bytes as usize);
                let bar = paint.frame("|");
                let number = paint.frame(&number);
                let carets = "^".repeat(shown.width);
                let carets = paint.severity(severity, &carets);
                let before = " ".repeat(shown.before);
                out.push_str(&format!("{margin} {bar}\n"));
                out.push_str(&format!("{number} {bar} {}\n", shown.text));
                out.push_str(&format!("{margin} {bar} {before}{carets}\n"));
            }
        }
        let notes = diagnostic.notes.iter().map(|note| ("note", note));
        let help = diagnostic.remedy.iter().map(|remedy| ("help", remedy));
        for (kind, text) in notes.chain(help) {
            let (sign, kind) = (paint.frame("="), paint.bold(&format!("{kind}:")));
            out.push_str(&format!("{margin} {sign} {kind} {}\n", harmless(text)));
        }
        out.push('\n');
    }
    out
}

/// Findings as JSON (RFC 8259), in UTF-8, for programs.
///
/// An object: `version` ([`REPORT_JSON_VERSION`]); `errors`, `warnings` and `notes`, each a number; `findings`, a
/// list. A finding has `code`, `severity` (`error`, `warning` or `note`), `file`, `line` and `column` (from 1,
/// the column in bytes), `bytes` (what is underlined), `message`, `notes` (a list of strings) and
/// `help`. `file`, `line`, `column` and `bytes` are `null` where a finding is about the menu as a whole, and
/// `help` where there is none. Bytes that are no UTF-8 are told as Latin-1.
pub fn report_json(files: &[ReportFile<'_>], diagnostics: &[Diagnostic]) -> String {
    let tally = Tally::of(diagnostics);
    let mut json = Json::default();
    json.open('{');
    json.number("version", REPORT_JSON_VERSION as usize);
    json.number("errors", tally.errors);
    json.number("warnings", tally.warnings);
    json.number("notes", tally.notes);
    json.key("findings");
    json.open('[');
    for diagnostic in diagnostics {
        let place = diagnostic.place;
        json.item();
        json.open('{');
        json.string("code", diagnostic.code.as_str());
        json.string("severity", diagnostic.severity.as_str());
        json.text("file", place.and_then(|place| name(files, place.file)));
        json.maybe_number("line", place.map(|place| place.line as usize));
        json.maybe_number("column", place.map(|place| place.column as usize));
        json.maybe_number("bytes", place.map(|place| place.bytes as usize));
        json.string("message", &diagnostic.message);
        json.key("notes");
        json.open('[');
        for note in &diagnostic.notes {
            json.item();
            json.quote(note);
        }
        json.close(']');
        let help = diagnostic.remedy.as_deref().map(Text::from);
        json.text("help", help.as_ref());
        json.close('}');
    }
    json.close(']');
    json.close('}');
    json.finish()
}

/// Findings as annotations of GitHub's checks, a line each: "workflow commands", which a job writes to
/// its output. A note is a `notice`.
///
/// The names of the files must be paths in the repository, for GitHub to show a finding beside its line.
pub fn report_github(files: &[ReportFile<'_>], diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let command = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        out.push_str(&format!("::{command} "));
        if let Some(place) = diagnostic.place
            && let Some(name) = name(files, place.file)
        {
            let name = github_property(&name.to_string());
            let (line, column) = (place.line, place.column);
            out.push_str(&format!("file={name},line={line},col={column},"));
        }
        let title = github_property(diagnostic.code.as_str());
        out.push_str(&format!("title={title}::"));
        let mut text = harmless(&diagnostic.message);
        let notes = diagnostic.notes.iter().map(|note| ("note", note));
        let help = diagnostic.remedy.iter().map(|remedy| ("help", remedy));
        for (kind, part) in notes.chain(help) {
            text.push_str(&format!("\n{kind}: {}", harmless(part)));
        }
        out.push_str(&github_data(&text));
        out.push('\n');
    }
    out
}

fn name<'a>(files: &'a [ReportFile<'_>], id: FileId) -> Option<&'a Text> {
    files.get(id.index()).map(|file| &file.name)
}

/// As `escapeData` of actions/toolkit (packages/core/src/command.ts).
fn github_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// As `escapeProperty` of actions/toolkit (packages/core/src/command.ts).
fn github_property(text: &str) -> String {
    github_data(&harmless(text))
        .replace(':', "%3A")
        .replace(',', "%2C")
}

/// Where each line begins.
fn line_starts(bytes: &[u8]) -> Vec<usize> {
    let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    core::iter::once(0)
        .chain(newlines.map(|(at, _)| at + 1))
        .collect()
}

/// A line without its ending, by its number from 1.
fn line<'a>(bytes: &'a [u8], starts: &[usize], number: u32) -> Option<&'a [u8]> {
    let index = number.checked_sub(1)? as usize;
    let start = *starts.get(index)?;
    let end = starts.get(index + 1).copied().unwrap_or(bytes.len());
    let line = bytes.get(start..end)?;
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}
