//! Which part of a path a rule is about.

use std::ops::Range;

use super::template::Groups;
use crate::TreePath;

/// Most octets that a regular expression may have as text.
#[cfg(feature = "regex")]
const REGEX_TEXT_BYTES_MAX: usize = 4096;
/// Most memory that a regular expression takes when it is compiled, and again for what is learnt
/// while it is used, in bytes.
#[cfg(feature = "regex")]
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Whether capitals differ from small letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Case {
    /// They differ.
    #[default]
    Sensitive,
    /// Those of ASCII do not.
    Ignored,
}

/// Which part of a path a [`RewriteRule`](crate::RewriteRule) is about.
///
/// A path is looked at without a slash before it: `Boot/BCD`, whatever slashes, backslashes and
/// dots the client wrote.
#[derive(Debug, Clone)]
pub struct PathPattern {
    kind: Kind,
    case: Case,
}

#[derive(Debug, Clone)]
enum Kind {
    Exact(TreePath),
    Below(TreePath),
    #[cfg(feature = "regex")]
    Regex(regex::bytes::Regex),
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.kind, &other.kind) {
            (Kind::Exact(one), Kind::Exact(two)) | (Kind::Below(one), Kind::Below(two)) => {
                one == two
            }
            #[cfg(feature = "regex")]
            (Kind::Regex(one), Kind::Regex(two)) => one.as_str() == two.as_str(),
            _ => false,
        };
        same && self.case == other.case
    }
}

impl Eq for PathPattern {}

impl PathPattern {
    /// All of a path that is this one.
    pub const fn exact(path: TreePath, case: Case) -> Self {
        let kind = Kind::Exact(path);
        Self { kind, case }
    }

    /// This directory at the beginning of a path that goes on below it, by whole names; for the
    /// root, the empty beginning of every path.
    pub const fn below(directory: TreePath, case: Case) -> Self {
        let kind = Kind::Below(directory);
        Self { kind, case }
    }

    /// What this regular expression finds: any part of a path unless `^` and `$` say otherwise.
    ///
    /// The syntax is that of the crate `regex`, on octets: names need not be UTF-8, so `.` is any
    /// octet, and `\w`, `\d` and `\s` are ASCII's. To find a match takes a time that is linear in
    /// the length of the path, whatever the expression.
    ///
    /// # Errors
    /// An expression that is none, that has more than 4096 bytes, or that takes more than 1 MiB
    /// when compiled.
    #[cfg(feature = "regex")]
    pub fn regex(expression: &str, case: Case) -> Result<Self, PatternError> {
        if expression.len() > REGEX_TEXT_BYTES_MAX {
            return Err(PatternError(format!(
                "the regular expression has {} bytes, and {REGEX_TEXT_BYTES_MAX} are allowed",
                expression.len()
            )));
        }
        let regex = regex::bytes::RegexBuilder::new(expression)
            .case_insensitive(case == Case::Ignored)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .build();
        match regex {
            Ok(regex) => Ok(Self {
                kind: Kind::Regex(regex),
                case,
            }),
            Err(regex::Error::CompiledTooBig(_)) => Err(PatternError(format!(
                "the regular expression takes more than {REGEX_BYTES_MAX} bytes of memory"
            ))),
            Err(error) => Err(PatternError(error.to_string())),
        }
    }

    /// How many groups there are to refer to, besides the whole.
    pub(super) fn groups(&self) -> usize {
        match &self.kind {
            Kind::Exact(_) | Kind::Below(_) => 0,
            #[cfg(feature = "regex")]
            Kind::Regex(regex) => regex.captures_len() - 1,
        }
    }

    /// The first part at or behind `from`, with its groups.
    pub(super) fn find<'p>(&self, path: &'p [u8], from: usize) -> Option<Found<'p>> {
        let same = |ours: &[u8], theirs: &[u8]| match self.case {
            Case::Sensitive => ours == theirs,
            Case::Ignored => ours.eq_ignore_ascii_case(theirs),
        };
        match &self.kind {
            Kind::Exact(exact) => {
                (from == 0 && same(exact.as_bytes(), path)).then(|| Found::plain(path, path.len()))
            }
            Kind::Below(directory) => {
                if from > 0 {
                    return None;
                }
                if directory.is_root() {
                    return Some(Found {
                        ends_before_name: true,
                        ..Found::plain(path, 0)
                    });
                }
                let len = directory.as_bytes().len();
                let begin = path.get(..len)?;
                (same(directory.as_bytes(), begin) && path.get(len) == Some(&b'/'))
                    .then(|| Found::plain(path, len))
            }
            #[cfg(feature = "regex")]
            Kind::Regex(regex) => {
                let captures = regex.captures_at(path, from)?;
                let whole = captures.get(0)?.range();
                let groups = captures
                    .iter()
                    .map(|group| group.map(|group| group.as_bytes()))
                    .collect();
                Some(Found {
                    whole,
                    groups,
                    ends_before_name: false,
                })
            }
        }
    }
}

/// A part of a path that a pattern is about.
#[derive(Debug)]
pub(super) struct Found<'p> {
    pub(super) whole: Range<usize>,
    pub(super) groups: Groups<'p>,
    /// A name follows, without a slash before it.
    pub(super) ends_before_name: bool,
}

impl<'p> Found<'p> {
    fn plain(path: &'p [u8], len: usize) -> Self {
        Self {
            whole: 0..len,
            groups: vec![path.get(..len)],
            ends_before_name: false,
        }
    }
}

/// Why a text is no pattern or no replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError(pub(super) String);

impl std::fmt::Display for PatternError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}
