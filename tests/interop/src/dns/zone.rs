//! What a zone holds, as BIND reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use super::message::type_of;
use super::name::Name;

/// A zone file, and the name of its zone.
#[derive(Debug, Clone)]
pub(super) struct ZoneFile {
    pub(super) origin: String,
    pub(super) file: std::path::PathBuf,
}

/// The names of a zone.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) origin: Name,
    /// The types that each name has.
    pub(super) owners: BTreeMap<Name, BTreeSet<u16>>,
    /// Names in the data of records.
    pub(super) targets: BTreeSet<Name>,
}

/// What `named-checkzone` says of a zone file.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) is_accepted: bool,
    pub(super) text: String,
}

/// Asks `named-checkzone`, which is to ask nobody (`-i local`).
pub(super) fn check(zone: &ZoneFile) -> Result<Verdict, String> {
    let output = Command::new("named-checkzone")
        .args(["-i", "local", &zone.origin])
        .arg(&zone.file)
        .output()
        .map_err(|error| format!("cannot run named-checkzone: {error}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Verdict {
        is_accepted: output.status.success(),
        text,
    })
}

impl Content {
    /// Reads a zone that BIND accepts: `named-checkzone` writes a record a line, with full names.
    pub(super) fn read(zone: &ZoneFile, scratch: &Path) -> Result<Self, String> {
        let to = scratch.join("canonical");
        let mut command = Command::new("named-checkzone");
        command.args(["-q", "-D", "-i", "local", "-k", "ignore", "-o"]);
        command.arg(&to).arg(&zone.origin).arg(&zone.file);
        pxe_test_lab::run(&mut command)?;
        let text = std::fs::read_to_string(&to).map_err(|error| error.to_string())?;
        let origin = Name::of_text(&zone.origin).ok_or("no origin")?;
        let mut content = Self {
            origin,
            owners: BTreeMap::new(),
            targets: BTreeSet::new(),
        };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(owner), Some(_), Some("IN"), Some(kind)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let unread = || format!("{}: cannot read {line}", zone.origin);
            let owner = Name::of_text(owner).ok_or_else(unread)?;
            let kind = type_of(kind).ok_or_else(unread)?;
            content.owners.entry(owner).or_default().insert(kind);
            let names = words.filter(|word| word.ends_with('.'));
            content.targets.extend(names.filter_map(Name::of_text));
        }
        match content.owners.is_empty() {
            true => Err(format!("{}: nothing is in it", zone.origin)),
            false => Ok(content),
        }
    }
}
