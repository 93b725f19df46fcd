//! From text to [`File`], with TOML's own errors turned into ours.

use toml::de::{DeTable, DeValue};

use super::file::File;
use super::place::{Places, Problem, place_of, without_indices};
use super::suggest::nearest;

/// Reads the text; the first thing that is no TOML, or has the wrong shape, ends it.
pub(super) fn parse(text: &str) -> Result<File, Problem> {
    match misshapen(text) {
        Some(problem) => Err(problem),
        None => toml::from_str(text).map_err(|error| problem(text, &error)),
    }
}

/// A section that is no table. Serde would take a list for its keys' values, one after the other.
fn misshapen(text: &str) -> Option<Problem> {
    const SECTIONS: [&str; 8] = [
        "server", "tree", "dhcp", "boot", "tftp", "nfs", "dns", "log",
    ];
    let file = DeTable::parse(text).ok()?;
    let (key, _) = file.get_ref().iter().find(|(key, value)| {
        let is_section = SECTIONS.contains(&key.get_ref().as_ref());
        is_section && !matches!(value.get_ref(), DeValue::Table(_))
    })?;
    Some(Problem {
        place: Some(place_of(text, key.span().start)),
        key: key.get_ref().to_string(),
        message: "is a single table".to_owned(),
        remedy: format!("write it as [{}], and once", key.get_ref()),
    })
}

/// What TOML's parser says of `text`, in our words and with its place.
pub(crate) fn problem(text: &str, error: &toml::de::Error) -> Problem {
    let places = Places::of(text);
    let path = error
        .span()
        .and_then(|span| places.path_of(&span).map(str::to_owned));
    let place = error.span().map(|span| place_of(text, span.start));
    let (message, remedy) = explain(error.message());
    Problem {
        place,
        key: path.as_deref().map(without_indices).unwrap_or_default(),
        message,
        remedy,
    }
}

/// Serde's words in ours: what is wrong, and what to do.
fn explain(message: &str) -> (String, String) {
    // A library's message may have several lines; ours have one.
    let message = message.lines().collect::<Vec<_>>().join(", ");
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut names = rest.split('`').skip(1).step_by(2);
        let unknown = names.next().unwrap_or_default();
        let valid: Vec<&str> = names.collect();
        let remedy = match nearest(unknown, valid.iter().copied()) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("valid here: {}", valid.join(", ")),
        };
        return (format!("unknown key {unknown}"), remedy);
    }
    if message.starts_with("duplicate ") {
        return (message, "remove one of the two".to_owned());
    }
    if let Some((wrong, expected)) = message.split_once(", expected ") {
        let wrong = wrong.trim_end_matches(" as i128");
        let expected = match expected {
            "i64" => "a whole number",
            expected => expected,
        };
        return (wrong.to_owned(), format!("expected {expected}"));
    }
    (message, String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let problem = parse(text).expect_err("invalid");
        let place = problem.place.expect("every such error has a place");
        format!("{}:{}: {problem}", place.line, place.column)
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_valid_one() {
        assert_eq!(
            error("[server]\nusr = \"nobody\"\n"),
            "2:1: server.usr: unknown key usr; did you mean user?"
        );
        assert_eq!(
            error("[[dhcp.subnet]]\npool = \"10.0.0.1\"\n"),
            "2:1: dhcp.subnet.pool: unknown key pool; did you mean pools?"
        );
        assert_eq!(
            error("[tree]\ncolour = 1\n"),
            "2:1: tree.colour: unknown key colour; valid here: root, ignore_case"
        );
        assert_eq!(
            error("[[http]]\nlisten = []\n[[http]]\nroott = \"/\"\n"),
            "4:1: http.roott: unknown key roott; did you mean root?"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named() {
        assert_eq!(
            error("[tree]\nroot = 5\n"),
            "2:8: tree.root: invalid type: integer `5`; expected a string"
        );
        assert_eq!(
            error("[dhcp]\ninterface = [\"br1\", 2]\n"),
            "2:21: dhcp.interface: invalid type: integer `2`; expected a string"
        );
    }

    #[test]
    fn a_number_of_another_kind_is_explained_in_words() {
        assert_eq!(
            error("[tftp]\nblksize_max = \"1\"\n"),
            "2:15: tftp.blksize_max: invalid type: string \"1\"; expected a whole number"
        );
        assert_eq!(
            error("[tftp]\nblksize_max = 99999999999999999999\n"),
            "2:15: tftp.blksize_max: invalid type: integer `99999999999999999999`; \
             expected a whole number"
        );
    }

    #[test]
    fn a_section_is_a_single_table() {
        for (text, place) in [
            ("[[tftp]]\nlisten = \"127.0.0.1:69\"\n", "1:3: tftp"),
            ("tree = [\"/srv/tftp\"]\n", "1:1: tree"),
            ("[tftp]\n[tree]\n[[log]]\n", "3:3: log"),
            ("boot = 5\n", "1:1: boot"),
        ] {
            let section = place.rsplit(' ').next().expect("a name");
            let expected = format!("{place}: is a single table; write it as [{section}], and once");
            assert_eq!(error(text), expected);
        }
        assert_eq!(
            error("[tree]\n[tree]\n"),
            "2:2: duplicate key; remove one of the two"
        );
    }

    #[test]
    fn a_text_that_is_no_toml_is_placed() {
        let text = error("[tree]\nroot = \"/srv\n");
        assert!(text.starts_with("2:"), "{text}");
    }
}
