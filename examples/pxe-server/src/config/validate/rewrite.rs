//! `[[tftp.rewrite]]`: from the path that a client asks for to the one that is served.

use pxe_dhcp::RASPBERRY_PI_BLOCKS;
use pxe_tree::{
    Case, PathPattern, Replacement, RewriteAction, RewriteRule, RewriteRules, RewriteThen,
    RewriteWhen, TreePath,
};

use super::super::place::Problems;
use super::super::suggest::nearest;
use super::super::{Tree, file};
use super::value::choice;
use crate::source::root_path;

/// What a replacement may have filled in.
pub(crate) const VALUES: [&str; 5] = ["ip", "ip_hex", "mac", "uuid", "arch"];

const WHEN: [(&str, RewriteWhen); 2] = [
    ("always", RewriteWhen::Always),
    ("missing", RewriteWhen::Missing),
];
const THEN: [(&str, RewriteThen); 3] = [
    ("next", RewriteThen::Next),
    ("stop", RewriteThen::Stop),
    ("restart", RewriteThen::Restart),
];

/// Every rule, in its order, and that for Raspberry Pis behind them.
pub(super) fn rewrite(problems: &mut Problems<'_>, raw: &file::Tftp, tree: &Tree) -> RewriteRules {
    let mut rules: Vec<RewriteRule> = Vec::new();
    let ignores_case = raw.ignore_case.unwrap_or(false) || tree.ignore_case;
    for (path, raw) in raw.rewrite.with_paths("tftp.rewrite") {
        if raw.refuse == Some(true) && !raw.ignore_case.unwrap_or(false) && ignores_case {
            problems.warning(
                &path,
                "refuses names as they are written here, and files are found in any case",
                "add ignore_case = true to this rule",
            );
        }
        // One that is wrong is left out here: it is told, and nothing starts.
        rules.extend(rule(problems, &path, raw));
    }
    if raw.raspberry_pi_fallback.unwrap_or(true) {
        rules.extend(raspberry_pi(problems, raw));
    } else if raw.raspberry_pi_directory.is_some() {
        problems.warning(
            "tftp.raspberry_pi_directory",
            "has no meaning with raspberry_pi_fallback = false",
            "remove one of the two",
        );
    }
    match RewriteRules::new(rules) {
        Ok(rules) => rules.with_root_path(root_path(&tree.root).unwrap_or_default()),
        Err(error) => {
            problems.error("tftp.rewrite", error.to_string(), "have fewer rules");
            RewriteRules::default()
        }
    }
}

fn rule(problems: &mut Problems<'_>, path: &str, raw: &file::Rewrite) -> Option<RewriteRule> {
    let case = match raw.ignore_case.unwrap_or(false) {
        true => Case::Ignored,
        false => Case::Sensitive,
    };
    let pattern = pattern(problems, path, raw, case);
    let action = action(problems, path, raw);
    let when = choice(
        problems,
        &format!("{path}.when"),
        raw.when.as_deref(),
        &WHEN,
    );
    let then_key = format!("{path}.then");
    let then = choice(problems, &then_key, raw.then.as_deref(), &THEN);
    if when == Some(RewriteWhen::Missing) && then.is_some() {
        problems.error(
            &then_key,
            "has no meaning with when = \"missing\"",
            "remove it: such a rule is one more place to look at, and the first that has the file counts",
        );
    }
    let name = raw.name.as_deref().unwrap_or(path);
    if name.is_empty() || name.chars().any(char::is_control) {
        let message = format!("{name:?} is no name");
        problems.error(&format!("{path}.name"), message, "name it in a few words");
    }
    let rule = RewriteRule::new(name, pattern?, action?)
        .when(when.unwrap_or_default())
        .then(then.unwrap_or_default());
    if let Err(error) = RewriteRules::new([rule.clone()]) {
        let remedy = "groups are counted from the left by their opening brackets";
        problems.error(&format!("{path}.replace"), error.to_string(), remedy);
        return None;
    }
    Some(rule)
}

/// Exactly one of the three.
fn pattern(
    problems: &mut Problems<'_>,
    path: &str,
    raw: &file::Rewrite,
    case: Case,
) -> Option<PathPattern> {
    let mut tree_path = |key: &str, text: &str| {
        let made = TreePath::from_tftp(text.as_bytes());
        let key = format!("{path}.{key}");
        if let Err(kind) = &made {
            problems.error(&key, format!("{text:?}: {kind}"), "write it as dir/file");
        }
        made.ok()
    };
    match (&raw.path, &raw.directory, &raw.regex) {
        (Some(text), None, None) => Some(PathPattern::exact(tree_path("path", text)?, case)),
        (None, Some(text), None) => Some(PathPattern::below(tree_path("directory", text)?, case)),
        (None, None, Some(text)) => match PathPattern::regex(text, case) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let lines = error.to_string();
                // The library draws the place below the expression.
                let last = lines.lines().last().unwrap_or_default();
                let reason = last.trim_start_matches("error: ");
                problems.error(
                    &format!("{path}.regex"),
                    format!("{text:?}: {reason}"),
                    "correct it; a TOML text between single quotes keeps its backslashes",
                );
                None
            }
        },
        _ => {
            problems.error(
                path,
                "does not say which paths it is about",
                "write one of path, directory and regex",
            );
            None
        }
    }
}

fn action(problems: &mut Problems<'_>, path: &str, raw: &file::Rewrite) -> Option<RewriteAction> {
    match (&raw.replace, raw.refuse.unwrap_or(false)) {
        (None, true) => return Some(RewriteAction::Refuse),
        (Some(_), false) => {}
        _ => {
            problems.error(
                path,
                "does not say what becomes of a path",
                "write replace = \"..\", or refuse = true",
            );
            return None;
        }
    }
    let text = raw.replace.as_deref()?;
    let key = format!("{path}.replace");
    let replacement = match Replacement::parse(text) {
        Ok(replacement) => replacement,
        Err(error) => {
            problems.error(&key, format!("{text:?}: {error}"), "correct it");
            return None;
        }
    };
    if let Some(unknown) = replacement
        .value_names()
        .find(|name| !VALUES.contains(name))
    {
        let remedy = match nearest(unknown, VALUES) {
            Some(name) => format!("did you mean ${{{name}}}?"),
            None => format!("there are {}", VALUES.join(", ")),
        };
        problems.error(&key, format!("${{{unknown}}} is not known"), remedy);
        return None;
    }
    Some(match raw.all.unwrap_or(false) {
        true => RewriteAction::ReplaceAll(replacement),
        false => RewriteAction::Replace(replacement),
    })
}

/// A Raspberry Pi puts a directory before each name: the last four octets of its serial number
/// (raspberrypi/rpi-eeprom issue 563), or with `TFTP_PREFIX=2` its hardware address, both in small
/// letters (raspberrypi/documentation PR 1562). It looks without that only if neither start4.elf
/// nor start.elf is there (raspberrypi/documentation PR 1426), so a directory with some files of
/// its own would have to hold all of them.
fn raspberry_pi(problems: &mut Problems<'_>, raw: &file::Tftp) -> Option<RewriteRule> {
    let blocks = RASPBERRY_PI_BLOCKS.map(|[a, b, c]| format!("{a:02x}-{b:02x}-{c:02x}"));
    let blocks = blocks.join("|");
    let prefix = format!("^(?:[0-9a-f]{{8}}|(?:{blocks})(?:-[0-9a-f]{{2}}){{3}})/");
    let key = "tftp.raspberry_pi_directory";
    let text = raw.raspberry_pi_directory.as_deref().unwrap_or("/");
    let directory = match TreePath::from_tftp(text.as_bytes()) {
        Ok(directory) => directory,
        Err(kind) => {
            problems.error(
                key,
                format!("{text:?}: {kind}"),
                "name a directory of the tree",
            );
            return None;
        }
    };
    let directory = directory.to_string().replace('$', "$$");
    let pattern = PathPattern::regex(&prefix, Case::Sensitive).ok()?;
    let to = Replacement::parse(&format!("{directory}/")).ok()?;
    let action = RewriteAction::Replace(to);
    Some(RewriteRule::new("raspberry_pi_fallback", pattern, action).when(RewriteWhen::Missing))
}
