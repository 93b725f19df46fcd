//! Where in the file a key stands, and what is wrong there.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

/// A line and a column of the configuration file, both counted from 1; the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
}

/// Where each key of a file stands, by its path: `dhcp.subnet[0].pools[1]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places {
    values: BTreeMap<String, Place>,
    /// The spans of keys and values, to name the key in which a parser's error lies.
    spans: Vec<(Range<usize>, String)>,
}

impl Places {
    /// The places of all keys in `text`; none if it is no TOML.
    pub(crate) fn of(text: &str) -> Self {
        let mut places = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            places.walk_table(&Lines::of(text), "", table.get_ref());
        }
        places
    }

    fn walk_table(&mut self, lines: &Lines<'_>, parent: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let path = match parent {
                "" => name.to_string(),
                parent => format!("{parent}.{name}"),
            };
            // A table's own span is its header, an array of tables has none of use: the key's is
            // where an editor should jump to.
            let span = match value.get_ref() {
                DeValue::Table(_) | DeValue::Array(_) => key.span(),
                _ => value.span(),
            };
            self.values.insert(path.clone(), lines.place(span.start));
            self.spans.push((key.span(), path.clone()));
            self.spans.push((value.span(), path.clone()));
            self.walk(lines, &path, value.get_ref());
        }
    }

    fn walk(&mut self, lines: &Lines<'_>, path: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.walk_table(lines, path, table),
            DeValue::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    let place = lines.place(element.span().start);
                    self.values.insert(path.clone(), place);
                    self.spans.push((element.span(), path.clone()));
                    self.walk(lines, &path, element.get_ref());
                }
            }
            _ => {}
        }
    }

    /// Where `path` stands, or else the nearest table or array around it that the file has.
    pub(crate) fn find(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.values.get(path) {
                return Some(*place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Whether the file has this very key.
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.values.contains_key(path)
    }

    /// The path of the key or value that begins and ends as `span` does.
    pub(crate) fn path_of(&self, span: &Range<usize>) -> Option<&str> {
        self.spans
            .iter()
            .find(|(candidate, _)| candidate == span)
            .map(|(_, path)| path.as_str())
    }
}

/// Where the lines of a text begin, so that the places of all its keys take one walk through it: a
/// site with thousands of hosts has a long file.
struct Lines<'a> {
    text: &'a str,
    /// The first byte of each line, in order; the first is 0.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_newlines).collect(),
        }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[..line].last().copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        Place {
            line,
            column: before.chars().count() + 1,
        }
    }
}

/// The place of a byte of `text`.
pub(crate) fn place_of(text: &str, offset: usize) -> Place {
    Lines::of(text).place(offset)
}

/// One thing that is wrong, or doubtful, in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where, if it can be said.
    pub place: Option<Place>,
    /// Which key: `dhcp.subnet.pools`. Empty if it is about the file as a whole.
    pub key: String,
    /// What is wrong, with the offending value.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Why a configuration cannot be used: every problem found in it, in the order of their lines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The configuration file.
    pub file: PathBuf,
    /// What is wrong; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    /// One line a problem: `tutorial.toml:9:10: dhcp.subnet.pools: ..; ..`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            located(f, &self.file, problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// `file:line:column: ` and the problem.
pub(crate) fn located(f: &mut impl fmt::Write, file: &Path, problem: &Problem) -> fmt::Result {
    match problem.place {
        Some(Place { line, column }) => write!(f, "{}:{line}:{column}: ", file.display())?,
        None => write!(f, "{}: ", file.display())?,
    }
    write!(f, "{problem}")
}

/// Collects problems while a configuration is read.
#[derive(Debug)]
pub(crate) struct Problems<'a> {
    places: &'a Places,
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(places: &'a Places) -> Self {
        Self {
            places,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(crate) const fn places(&self) -> &'a Places {
        self.places
    }

    /// Something that forbids to start.
    pub(crate) fn error(
        &mut self,
        path: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = self.problem(path, message.into(), remedy.into());
        self.errors.push(problem);
    }

    /// Something that is probably not meant.
    pub(crate) fn warning(
        &mut self,
        path: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = self.problem(path, message.into(), remedy.into());
        self.warnings.push(problem);
    }

    fn problem(&self, path: &str, message: String, remedy: String) -> Problem {
        Problem {
            place: self.places.find(path),
            key: without_indices(path),
            message,
            remedy,
        }
    }
}

/// `dhcp.subnet[0].pools[1]` as a person writes it: `dhcp.subnet.pools`.
pub(crate) fn without_indices(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut inside = false;
    for char in path.chars() {
        match char {
            '[' => inside = true,
            ']' => inside = false,
            _ if inside => {}
            char => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[tree]\nroot = \"/srv\"\n\n[[dhcp.subnet]]\npools = [\n  \"a\",\n  \"b\"]\n\
        [boot]\nfiles = { uefi-x64 = \"x\" }\n";

    fn at(line: usize, column: usize) -> Option<Place> {
        Some(Place { line, column })
    }

    #[test]
    fn keys_are_found_by_their_paths() {
        let places = Places::of(TEXT);
        assert_eq!(places.find("tree.root"), at(2, 8));
        assert_eq!(places.find("dhcp.subnet[0].pools[1]"), at(7, 3));
        assert_eq!(places.find("dhcp.subnet[0].pools"), at(5, 1));
        assert_eq!(places.find("boot.files.uefi-x64"), at(9, 22));
    }

    #[test]
    fn a_missing_key_is_placed_at_the_table_around_it() {
        let places = Places::of(TEXT);
        assert_eq!(places.find("tree.colour"), at(1, 2));
        assert_eq!(places.find("dhcp.subnet[0].network"), at(4, 1));
        assert_eq!(places.find("nowhere"), None);
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(Some(place_of("é = 1\nxé=2", 10)), at(2, 3));
    }

    #[test]
    fn the_ends_of_a_text_have_places() {
        assert_eq!(Some(place_of("", 0)), at(1, 1));
        assert_eq!(Some(place_of("a\n", 0)), at(1, 1));
        assert_eq!(
            Some(place_of("a\n", 1)),
            at(1, 2),
            "a newline ends its line"
        );
        assert_eq!(Some(place_of("a\n", 2)), at(2, 1));
        assert_eq!(Some(place_of("a\n", 9)), at(2, 1), "behind the end");
    }
}
