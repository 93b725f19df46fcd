//! What is found in a zone file.

use std::fmt;
use std::sync::Arc;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Good to know.
    Note,
    /// The zone is served, but probably not what was meant.
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
    /// As compilers do it: `db.matrix.lan:7: error: no address: 192.168.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path is the configuration's; only a line's end would spoil the form.
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.severity, self.text)
    }
}
