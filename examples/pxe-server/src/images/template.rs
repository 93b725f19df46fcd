//! Text with `{names}` in it that are replaced by values.

use std::collections::BTreeMap;

/// A command line or a label as a profile has it, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(String),
}

impl Template {
    /// Takes `text` apart; an error says what is wrong with its braces.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(brace);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some((name, after)) = after
                .strip_prefix('{')
                .and_then(|after| after.split_once('}'))
            else {
                return Err("has a brace without its pair".to_owned());
            };
            if !is_name(name) {
                return Err(format!("{{{name}}} is no name"));
            }
            parts.push(Part::Value(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The names in it, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text with all values in their places, or the first name that has none.
    pub(super) fn fill(&self, values: &BTreeMap<String, String>) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Value(name) => filled.push_str(values.get(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(filled)
    }
}

/// A name as a template and a pattern's group may have it: lower case, digits, underscores.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_by_values() {
        let template = Template::parse("fetch={http}/{squashfs} ip=dhcp").expect("valid");
        assert_eq!(template.names().collect::<Vec<_>>(), ["http", "squashfs"]);
        let values = [("http", "http://a/b"), ("squashfs", "live/x")];
        let mut values: BTreeMap<String, String> = values
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let filled = template.fill(&values);
        assert_eq!(filled.as_deref(), Ok("fetch=http://a/b/live/x ip=dhcp"));
        values.remove("squashfs");
        assert_eq!(template.fill(&values), Err("squashfs".to_owned()));
    }

    #[test]
    fn a_value_with_braces_is_not_filled_again() {
        let template = Template::parse("{a}").expect("valid");
        let values = BTreeMap::from([("a".to_owned(), "{a}".to_owned())]);
        assert_eq!(template.fill(&values).as_deref(), Ok("{a}"));
    }

    #[test]
    fn braces_come_in_pairs_around_names() {
        for wrong in [
            "{",
            "}",
            "a}",
            "{a",
            "{}",
            "{A}",
            "{1}",
            "${net0/mac}",
            "{{a}}",
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
