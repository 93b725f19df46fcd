//! One menu for several loaders: what they share is told once.

use std::collections::{BTreeMap, btree_map};

use super::{Files, lint};
use crate::{Client, Code, Diagnostic, Paths, Place, Resolution, Severity};

/// All that is wrong with a menu: what [`Resolution::diagnostics`] has, and what [`lint`](lint()) finds for each
/// of the loaders that read it, such as lpxelinux.0 in `bios/` and syslinux.efi in `efi64/`.
///
/// What is wrong for several loaders is told once, with the notes of each; what is wrong for some of them
/// only says for which. In the order of the files and lines, what has no place first.
pub fn check(
    resolution: &Resolution,
    loaders: &[Paths],
    client: &Client,
    files: &dyn Files,
) -> Vec<Diagnostic> {
    let mut merged: BTreeMap<Key, (Diagnostic, Vec<&Paths>)> = BTreeMap::new();
    for paths in loaders {
        for found in lint(resolution, paths, client, files) {
            match merged.entry(Key::of(&found)) {
                btree_map::Entry::Vacant(free) => {
                    free.insert((found, vec![paths]));
                }
                btree_map::Entry::Occupied(same) => add(same.into_mut(), found, paths),
            }
        }
    }
    // An include that is missing is told with the path that is asked for, if a loader was given.
    let is_told = |told: &Diagnostic| {
        let has = |(other, _): &(Diagnostic, _)| {
            let other: &Diagnostic = other;
            other.code == told.code && same_line(other.place, told.place)
        };
        told.code == Code::MissingInclude && merged.values().any(has)
    };
    let mut all: Vec<Diagnostic> = resolution
        .diagnostics
        .iter()
        .filter(|told| !is_told(told))
        .cloned()
        .collect();
    for (mut found, concerned) in merged.into_values() {
        if concerned.len() < loaders.len() {
            let names: Vec<String> = concerned.iter().map(|paths| named(paths)).collect();
            found
                .notes
                .push(format!("only with {}", names.join(" and ")));
        }
        all.push(found);
    }
    all.sort_by_key(|found| found.place);
    all
}

/// What makes two findings one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    place: Option<Place>,
    code: Code,
    severity: Severity,
    message: String,
}

impl Key {
    fn of(found: &Diagnostic) -> Self {
        Self {
            place: found.place,
            code: found.code,
            severity: found.severity,
            message: found.message.clone(),
        }
    }
}

fn add<'a>(same: &mut (Diagnostic, Vec<&'a Paths>), found: Diagnostic, paths: &'a Paths) {
    let (first, concerned) = same;
    for note in found.notes {
        if !first.notes.contains(&note) {
            first.notes.push(note);
        }
    }
    first.remedy = first.remedy.take().or(found.remedy);
    if !concerned.contains(&paths) {
        concerned.push(paths);
    }
}

fn same_line(one: Option<Place>, other: Option<Place>) -> bool {
    let line = |place: Place| (place.file, place.line);
    one.map(line) == other.map(line)
}

/// A loader and where it lies.
fn named(paths: &Paths) -> String {
    let directory = paths.directory().to_string();
    let directory = directory.trim_start_matches("::");
    let name = paths.loader().file_name();
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{name} in {directory}")
    }
}
