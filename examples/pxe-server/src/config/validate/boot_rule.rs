//! `[[boot.rule]]`: who boots what.

use std::collections::BTreeSet;

use pxe_dhcp::{Boot, BootItem, BootMenu, Condition, PLACEHOLDERS, Rule};

use super::super::file;
use super::super::place::Problems;
use super::super::suggest::nearest;
use super::boot::boot_text;
use super::condition::condition;
use super::option::options;
use super::value::{number, server_address};

/// Numbers of a menu's items that have none: those that the PXE specification leaves to vendors.
const ITEM_TYPE_FIRST: usize = 0x8000;

/// Every rule, in its order.
pub(super) fn boot_rules(
    problems: &mut Problems<'_>,
    raw: &file::OneOrMany<file::BootRule>,
) -> Vec<Rule> {
    let mut names = BTreeSet::new();
    let mut rules: Vec<Rule> = Vec::new();
    for (index, (path, raw)) in raw.with_paths("boot.rule").enumerate() {
        // One that is for everybody and decides ends the table.
        if let Some(last) = rules.last()
            && last.when == Condition::All(Vec::new())
            && matches!(
                last.boot,
                Some(Boot::Nothing | Boot::Denied | Boot::Menu(_))
            )
        {
            problems.warning(
                &path,
                format!(
                    "is never reached: {:?} before it is for everybody",
                    last.name
                ),
                "move it up, or give that rule a when",
            );
        }
        let name = match raw.name.as_deref() {
            Some(name) if name.is_empty() || name.chars().any(char::is_control) => {
                let message = format!("{name:?} is no name");
                problems.error(&format!("{path}.name"), message, "name it in a few words");
                continue;
            }
            Some(name) => name.to_owned(),
            None => format!("rule {}", index + 1),
        };
        if !names.insert(name.clone()) {
            problems.error(
                &format!("{path}.name"),
                format!("two rules are called {name}"),
                "rename one of them: the name is how a decision is explained",
            );
        }
        rules.push(rule(problems, &path, name, raw));
    }
    rules
}

fn rule(problems: &mut Problems<'_>, path: &str, name: String, raw: &file::BootRule) -> Rule {
    let when = condition(problems, &format!("{path}.when"), &raw.when);
    let mut rule = Rule::new(name, when);
    rule.boot = boot(problems, path, raw);
    rule.next_server = (raw.next_server.as_deref())
        .and_then(|text| server_address(problems, &format!("{path}.next_server"), text));
    rule.server_name.clone_from(&raw.server_name);
    if let Some(name) = &raw.server_name {
        boot_text(problems, &format!("{path}.server_name"), name);
    }
    rule.options = options(problems, &format!("{path}.options"), &raw.options);
    let adds = rule.next_server.is_some() || rule.server_name.is_some();
    if rule.boot.is_none() && !adds && rule.options.is_empty() {
        problems.error(
            path,
            "the rule does not say what is booted",
            "add boot = \"..\", menu, deny = true or none = true",
        );
    }
    rule
}

/// What the rule boots: one of four keys.
fn boot(problems: &mut Problems<'_>, path: &str, raw: &file::BootRule) -> Option<Boot> {
    let keys = [
        ("boot", raw.boot.is_some()),
        ("menu", raw.menu.is_some()),
        ("deny", raw.deny == Some(true)),
        ("none", raw.none == Some(true)),
    ];
    let mut given = keys.into_iter().filter(|(_, is_given)| *is_given);
    if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
        problems.error(
            &format!("{path}.{second}"),
            format!("{first} says what is booted already"),
            "remove one of the two",
        );
    }
    if let Some(text) = &raw.boot {
        let path = format!("{path}.boot");
        boot_file(problems, &path, text);
        return Some(match text.contains("://") {
            true => Boot::Url(text.clone()),
            false => Boot::File(text.clone()),
        });
    }
    if let Some(raw) = &raw.menu {
        return menu(problems, &format!("{path}.menu"), raw).map(Boot::Menu);
    }
    match (raw.deny, raw.none) {
        (Some(true), _) => Some(Boot::Denied),
        (_, Some(true)) => Some(Boot::Nothing),
        _ => None,
    }
}

fn menu(problems: &mut Problems<'_>, path: &str, raw: &file::BootMenu) -> Option<BootMenu> {
    let mut items = Vec::new();
    for (index, (path, raw)) in raw.item.with_paths(&format!("{path}.item")).enumerate() {
        let label = raw.label.clone().unwrap_or_default();
        if label.is_empty() {
            problems.error(
                &format!("{path}.label"),
                "the item has no label",
                "add label",
            );
        }
        let next_server = (raw.next_server.as_deref())
            .and_then(|text| server_address(problems, &format!("{path}.next_server"), text));
        let Some(file) = &raw.boot else {
            items.push(BootItem::local(label));
            continue;
        };
        boot_file(problems, &format!("{path}.boot"), file);
        let key = format!("{path}.type");
        let item_type = number(problems, &key, raw.item_type, 1..=i64::from(u16::MAX));
        let counted = u16::try_from(ITEM_TYPE_FIRST + index).unwrap_or(u16::MAX);
        let item = BootItem::new(item_type.unwrap_or(counted), label, file);
        items.push(match next_server {
            Some(next_server) => item.with_next_server(next_server),
            None => item,
        });
    }
    let key = format!("{path}.timeout_seconds");
    let timeout = number(problems, &key, raw.timeout_seconds, 0..=255);
    let prompt = raw.prompt.as_deref().unwrap_or("Press F8 for a menu");
    BootMenu::new(prompt, timeout.unwrap_or(10), items)
        .map_err(|error| problems.error(path, error.to_string(), "change the menu"))
        .ok()
}

/// A boot file or URL, with its placeholders.
pub(super) fn boot_file(problems: &mut Problems<'_>, path: &str, text: &str) {
    boot_text(problems, path, text);
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        rest = after;
        let known = PLACEHOLDERS.map(|(known, _)| known.trim_matches(['{', '}']));
        if !known.contains(&name) {
            let remedy = match nearest(name, known) {
                Some(near) => format!("did you mean {{{near}}}?"),
                None => format!("valid: {}", PLACEHOLDERS.map(|(known, _)| known).join(", ")),
            };
            problems.error(path, format!("{{{name}}} stands for nothing"), remedy);
        }
    }
}
