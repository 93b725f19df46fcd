//! `when = { .. }`: which clients a rule or a class is for.

use pxe_dhcp::wire::{IpxeFeature, MachineUuid, OptionCode};
use pxe_dhcp::{ClientArch, Condition, Ipv4Net, MacPrefix, Pattern, Stage};
use toml::{Table, Value};

use super::super::place::Problems;
use super::super::suggest::nearest;
use super::boot::architecture_remedy;

/// What can be asked for, with how it is written.
const KEYS: [(&str, &str); 17] = [
    ("stage", "write pxe, http, ipxe or system"),
    ("arch", "write a name such as \"uefi-x64\", or its number"),
    (
        "mac",
        "write it as \"52:54:00:12:34:56\", or its beginning as \"52:54:00:*\"",
    ),
    ("uuid", "write it as `dmidecode -s system-uuid` shows it"),
    ("client_id", PATTERN),
    ("vendor_class", PATTERN),
    ("user_class", PATTERN),
    ("host_name", PATTERN),
    ("ipxe_feature", "write a name such as \"http\""),
    ("subnet", "write a network such as \"192.168.150.0/24\""),
    (
        "relay",
        "write its address, or a network such as \"10.0.0.0/8\"",
    ),
    ("circuit_id", PATTERN),
    ("remote_id", PATTERN),
    ("requested", "write an option's code, such as 66"),
    (
        "option",
        "write a table of codes and patterns, such as { 43 = \"hex:06*\" }",
    ),
    (
        "not",
        "write a table, such as not = { arch = \"x86-bios\" }",
    ),
    (
        "any",
        "write a list of tables, such as any = [{ .. }, { .. }]",
    ),
];
const PATTERN: &str = "write a text, with * for any characters, or octets such as \"hex:0004*\"";

/// What the table at `path` asks for: all of its keys, of a list any. What is wrong with it is
/// left out, and told.
pub(super) fn condition(problems: &mut Problems<'_>, path: &str, table: &Table) -> Condition {
    let mut written: Vec<(String, &String, &Value)> = table
        .iter()
        .map(|(key, value)| (format!("{path}.{key}"), key, value))
        .collect();
    written.sort_by_key(|(path, ..)| problems.places().find(path));
    let mut conditions = Vec::new();
    for (path, key, value) in written {
        let Some((key, form)) = KEYS.iter().find(|(known, _)| known == key) else {
            let remedy = match nearest(key, KEYS.map(|(known, _)| known)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("valid: {}", KEYS.map(|(known, _)| known).join(", ")),
            };
            problems.error(
                &path,
                format!("{key} is nothing to ask a client for"),
                remedy,
            );
            continue;
        };
        conditions.extend(asked(problems, &path, key, form, value));
    }
    joined(conditions, Condition::All)
}

/// One of them by itself, several as a list.
fn joined(mut conditions: Vec<Condition>, list: fn(Vec<Condition>) -> Condition) -> Condition {
    match conditions.len() {
        1 => conditions.remove(0),
        _ => list(conditions),
    }
}

/// What one key asks for.
fn asked(
    problems: &mut Problems<'_>,
    path: &str,
    key: &str,
    form: &str,
    value: &Value,
) -> Option<Condition> {
    match (key, value) {
        ("not", Value::Table(table)) => {
            let condition = condition(problems, path, table);
            if table.is_empty() {
                problems.error(path, "nothing matches what is not anything", form);
            }
            return Some(Condition::Not(Box::new(condition)));
        }
        ("option", Value::Table(table)) => return Some(sent(problems, path, form, table)),
        ("not" | "option", _) => {
            problems.error(path, format!("{value} is no table"), form);
            return None;
        }
        _ => {}
    }
    let Value::Array(values) = value else {
        return one(problems, path, key, form, value);
    };
    if values.is_empty() {
        problems.error(path, "nothing matches an empty list", form);
    }
    let conditions = values
        .iter()
        .enumerate()
        .filter_map(|(index, value)| one(problems, &format!("{path}[{index}]"), key, form, value));
    let conditions = conditions.collect();
    Some(joined(conditions, Condition::Any))
}

/// One value of a key.
fn one(
    problems: &mut Problems<'_>,
    path: &str,
    key: &str,
    form: &str,
    value: &Value,
) -> Option<Condition> {
    if key == "any" {
        let Value::Table(table) = value else {
            problems.error(path, format!("{value} is no table"), form);
            return None;
        };
        return Some(condition(problems, path, table));
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) if matches!(key, "arch" | "requested") => number.to_string(),
        other => {
            problems.error(path, format!("{other} is no text"), form);
            return None;
        }
    };
    let text = text.as_str();
    let condition = match key {
        "stage" => text.parse::<Stage>().ok().map(Condition::Stage),
        "arch" => {
            let number = text.parse().ok().map(ClientArch);
            let arch = number.or_else(|| text.parse().ok());
            if arch.is_none() {
                problems.error(
                    path,
                    format!("{text} is no architecture"),
                    architecture_remedy(text),
                );
                return None;
            }
            arch.map(Condition::Arch)
        }
        "mac" => text.parse::<MacPrefix>().ok().map(Condition::Mac),
        "uuid" => text.parse::<MachineUuid>().ok().map(Condition::Uuid),
        "ipxe_feature" => {
            let feature = text.parse::<IpxeFeature>().ok();
            let names = IpxeFeature::REGISTRY.iter().filter_map(|one| one.name());
            if feature.is_none() {
                let remedy = match nearest(text, names.clone()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("valid: {}", names.collect::<Vec<_>>().join(", ")),
                };
                problems.error(path, format!("{text:?} is no feature of iPXE"), remedy);
                return None;
            }
            feature.map(Condition::IpxeFeature)
        }
        "subnet" => text.parse::<Ipv4Net>().ok().map(Condition::Subnet),
        "relay" => {
            let address = text.parse().ok().and_then(|one| Ipv4Net::new(one, 32));
            address.or_else(|| text.parse().ok()).map(Condition::Relay)
        }
        "requested" => {
            let code = text
                .parse::<u8>()
                .ok()
                .filter(|code| (1..=254).contains(code));
            code.map(|code| Condition::Requested(OptionCode(code)))
        }
        _ => {
            let pattern = pattern(problems, path, text)?;
            Some(match key {
                "client_id" => Condition::ClientId(pattern),
                "vendor_class" => Condition::VendorClass(pattern),
                "user_class" => Condition::UserClass(pattern),
                "host_name" => Condition::HostName(pattern),
                "circuit_id" => Condition::CircuitId(pattern),
                _ => Condition::RemoteId(pattern),
            })
        }
    };
    if condition.is_none() {
        let name = key.replace('_', " ");
        problems.error(path, format!("{text:?} is no {name}"), form);
    }
    condition
}

/// `option = { 43 = "hex:06*" }`.
fn sent(problems: &mut Problems<'_>, path: &str, form: &str, table: &Table) -> Condition {
    let mut conditions = Vec::new();
    for (code, value) in table {
        let path = format!("{path}.{code}");
        let code = code
            .parse::<u8>()
            .ok()
            .filter(|code| (1..=254).contains(code));
        let (Some(code), Value::String(text)) = (code, value) else {
            problems.error(&path, "is no code of an option with a pattern", form);
            continue;
        };
        if let Some(pattern) = pattern(problems, &path, text) {
            conditions.push(Condition::Option(OptionCode(code), pattern));
        }
    }
    joined(conditions, Condition::All)
}

fn pattern(problems: &mut Problems<'_>, path: &str, text: &str) -> Option<Pattern> {
    text.parse()
        .map_err(|error| problems.error(path, format!("{text:?}: {error}"), PATTERN))
        .ok()
}
