//! What a rule puts in the place of what it found.

use std::collections::BTreeMap;

use super::pattern::PatternError;
use crate::{ErrorKind, TreePath};

/// The groups of a match, the whole first; `None` where one took no part in it.
pub(super) type Groups<'p> = Vec<Option<&'p [u8]>>;

/// What is known of the client that asks, by name: `mac`, `ip`, whatever the application gives.
pub type RewriteValues = BTreeMap<&'static str, String>;

/// A replacement: text with places to be filled in.
///
/// - `$0` is all of what was found, `$1` to `$9` are the groups of a regular expression; `${12}`
///   is one beyond, and `${1}0` has a digit behind it. A group that took no part is empty.
/// - `${ip}` and other names stand for what is known of the client.
/// - `${1:lower}` and `${mac:upper}` are in small letters and in capitals (ASCII's).
/// - `$$` is a dollar sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize, Letters),
    Value(String, Letters),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    AsTheyAre,
    Lower,
    Upper,
}

impl Replacement {
    /// Reads a replacement.
    ///
    /// # Errors
    /// A dollar sign that begins nothing known; braces that are not closed; more than
    /// [`TreePath::LEN_MAX`] bytes.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > TreePath::LEN_MAX {
            return Err(PatternError(format!(
                "the replacement has {} bytes, and {} are allowed",
                text.len(),
                TreePath::LEN_MAX
            )));
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            let (part, behind) = match after.chars().next() {
                Some('$') => {
                    plain.push('$');
                    rest = &after[1..];
                    continue;
                }
                Some('{') => {
                    let (inside, behind) = after[1..].split_once('}').ok_or_else(|| {
                        PatternError(format!("the brace in ${after} is not closed"))
                    })?;
                    (braces(inside)?, behind)
                }
                Some(digit @ '0'..='9') => {
                    let group = digit as usize - '0' as usize;
                    (Part::Group(group, Letters::AsTheyAre), &after[1..])
                }
                _ => {
                    let text = "a dollar sign is written as $$, a group as $1, a value as ${ip}";
                    return Err(PatternError(text.to_owned()));
                }
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The names of values that it wants filled in, each as often as it stands there.
    pub fn value_names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(name, _) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The greatest number of a group that it refers to; 0 if it refers to none but the whole.
    pub(super) fn greatest_group(&self) -> usize {
        let groups = self.parts.iter().map(|part| match part {
            Part::Group(group, _) => *group,
            _ => 0,
        });
        groups.max().unwrap_or(0)
    }

    /// Whether all values that it wants are there.
    pub(super) fn is_filled_by(&self, values: &RewriteValues) -> bool {
        self.value_names().all(|name| values.contains_key(name))
    }

    /// Appends the replacement; values that are not there are empty.
    ///
    /// # Errors
    /// `NameTooLong` where `out` would exceed [`TreePath::LEN_MAX`].
    pub(super) fn append(
        &self,
        groups: &Groups<'_>,
        values: &RewriteValues,
        out: &mut Vec<u8>,
    ) -> Result<(), ErrorKind> {
        for part in &self.parts {
            let (bytes, letters) = match part {
                Part::Text(text) => (text.as_bytes(), Letters::AsTheyAre),
                Part::Group(group, letters) => {
                    let bytes = groups.get(*group).copied().flatten();
                    (bytes.unwrap_or_default(), *letters)
                }
                Part::Value(name, letters) => {
                    let value = values.get(name.as_str()).map(String::as_bytes);
                    (value.unwrap_or_default(), *letters)
                }
            };
            push(bytes, out)?;
            let begin = out.len() - bytes.len();
            match letters {
                Letters::AsTheyAre => {}
                Letters::Lower => out[begin..].make_ascii_lowercase(),
                Letters::Upper => out[begin..].make_ascii_uppercase(),
            }
        }
        Ok(())
    }
}

/// Appends these octets, unless the whole becomes too long for a path.
pub(super) fn push(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorKind> {
    if out.len() + bytes.len() > TreePath::LEN_MAX {
        return Err(ErrorKind::NameTooLong);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

/// What stands between `${` and `}`.
fn braces(inside: &str) -> Result<Part, PatternError> {
    let (name, letters) = match inside.split_once(':') {
        None => (inside, Letters::AsTheyAre),
        Some((name, "lower")) => (name, Letters::Lower),
        Some((name, "upper")) => (name, Letters::Upper),
        Some((_, other)) => {
            return Err(PatternError(format!(
                "{other:?} is not known behind a colon: there are :lower and :upper"
            )));
        }
    };
    let is_name = |name: &str| {
        let mut chars = name.chars();
        chars.next().is_some_and(|first| first.is_ascii_lowercase())
            && chars.all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
    };
    match name.parse() {
        Ok(group) if name.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Part::Group(group, letters))
        }
        _ if is_name(name) => Ok(Part::Value(name.to_owned(), letters)),
        _ => Err(PatternError(format!(
            "${{{inside}}} is neither the number of a group nor the name of a value"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, groups: &[Option<&[u8]>]) -> String {
        let values = RewriteValues::from([("mac", "dc-a6-32-01-02-03".to_owned())]);
        let template = Replacement::parse(template).expect("valid");
        let mut out = Vec::new();
        template
            .append(&groups.to_vec(), &values, &mut out)
            .expect("short");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn places_are_filled_in() {
        let groups: [Option<&[u8]>; 3] = [Some(b"Boot/BCD"), Some(b"BCD"), None];
        for (template, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("a/$1/b$2", "a/BCD/b"),
            ("$0$0", "Boot/BCDBoot/BCD"),
            ("${1}0", "BCD0"),
            ("${1:lower}.${0:upper}", "bcd.BOOT/BCD"),
            ("rpi/${mac}", "rpi/dc-a6-32-01-02-03"),
            ("${mac:upper}", "DC-A6-32-01-02-03"),
            ("${nobody}x", "x"),
            ("$$1$$", "$1$"),
            ("$9${17}", ""),
        ] {
            assert_eq!(filled(template, &groups), expected, "{template}");
        }
    }

    #[test]
    fn what_is_no_replacement_says_why() {
        for (text, reason) in [
            ("a$", "a dollar sign is written as $$"),
            ("$x", "a dollar sign is written as $$"),
            ("${mac", "not closed"),
            ("${}", "neither the number of a group nor the name"),
            ("${Mac}", "neither the number of a group nor the name"),
            ("${+1}", "neither the number of a group nor the name"),
            ("${1:title}", "there are :lower and :upper"),
        ] {
            let error = Replacement::parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(Replacement::parse(&"x".repeat(5000)).is_err());
    }

    #[test]
    fn a_replacement_cannot_grow_beyond_a_path() {
        let template = Replacement::parse("$0$0$0").expect("valid");
        let whole = [b'a'; 2000];
        let mut out = Vec::new();
        let done = template.append(&vec![Some(&whole[..])], &RewriteValues::new(), &mut out);
        assert_eq!(done, Err(ErrorKind::NameTooLong));
        assert!(out.len() <= TreePath::LEN_MAX);
    }
}
