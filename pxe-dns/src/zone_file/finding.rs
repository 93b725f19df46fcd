//! What is found in a zone file.

use std::fmt;
use std::sync::Arc;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Good to know.
    Note,
    /// The zone is served, but it is probably not what was meant.
    Warning,
    /// The zone is not served.
    Error,
}

/// What is wrong in a zone file, or looks so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The path of the file, as it was asked for.
    pub file: Arc<str>,
    /// The line, from 1; none if it concerns no single line.
    pub line: Option<u32>,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, and what to do.
    pub text: String,
}

impl Finding {
    /// A finding.
    pub fn new(
        file: Arc<str>,
        line: Option<u32>,
        severity: Severity,
        text: impl Into<String>,
    ) -> Self {
        Self {
            file,
            line,
            severity,
            text: text.into(),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Finding {
    /// As compilers have it: `db.matrix.lan:7: error: '192.168.1' is not an IPv4 address`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.severity, self.text)
    }
}

/// Findings up to a bound.
#[derive(Debug)]
pub(super) struct Findings {
    list: Vec<Finding>,
    len_max: usize,
    has_error: bool,
}

impl Findings {
    pub(super) fn new(len_max: usize) -> Self {
        Self {
            list: Vec::new(),
            len_max,
            has_error: false,
        }
    }

    pub(super) fn push(
        &mut self,
        file: &Arc<str>,
        line: Option<u32>,
        severity: Severity,
        text: impl Into<String>,
    ) {
        self.has_error |= severity == Severity::Error;
        if self.list.len() < self.len_max {
            let file = Arc::clone(file);
            self.list.push(Finding::new(file, line, severity, text));
        }
    }

    /// Whether an error was found, also one that is not in the list.
    pub(super) fn has_error(&self) -> bool {
        self.has_error
    }

    /// In the order of these files and of their lines; what concerns no single line comes last.
    pub(super) fn sorted(mut self, files: &[Arc<str>]) -> Vec<Finding> {
        self.list.sort_by_key(|finding| {
            let file = files.iter().position(|file| *file == finding.file);
            (file, finding.line.unwrap_or(u32::MAX))
        });
        self.list
    }
}
