//! From text to [`File`], with TOML's own errors turned into ours.

use super::file::File;
use super::place::{Places, Problem, place_of, without_indices};
use super::suggest::nearest;

/// Reads the text; the first thing that is no TOML, or has the wrong shape, ends it.
pub(super) fn parse(text: &str) -> Result<File, Problem> {
    toml::from_str(text).map_err(|error| problem(text, &error))
}

fn problem(text: &str, error: &toml::de::Error) -> Problem {
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
    if let Some((wrong, expected)) = message.split_once(", expected ") {
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
    fn a_text_that_is_no_toml_is_placed() {
        let text = error("[tree]\nroot = \"/srv\n");
        assert!(text.starts_with("2:"), "{text}");
    }
}
