//! `[[dhcp.class]]`: machines that have something in common, and what they are told.

use std::collections::BTreeSet;

use pxe_dhcp::{Class, LeaseTimes};

use super::super::file::{self, OneOrMany};
use super::super::place::Problems;
use super::condition::condition;
use super::option::options;
use super::value::number;

/// Every class, in its order: of a machine in several, the first one's options come first.
pub(super) fn classes(problems: &mut Problems<'_>, raw: &OneOrMany<file::Class>) -> Vec<Class> {
    let mut names = BTreeSet::new();
    let mut classes = Vec::new();
    for (path, raw) in raw.with_paths("dhcp.class") {
        let Some(name) = raw.name.as_deref().filter(|name| !name.is_empty()) else {
            problems.error(
                &format!("{path}.name"),
                "the class has no name",
                "add name = \"..\"",
            );
            continue;
        };
        if !names.insert(name) {
            problems.error(
                &format!("{path}.name"),
                format!("two classes are called {name}"),
                "rename one of them",
            );
        }
        if raw.when.is_empty() {
            problems.error(
                &format!("{path}.when"),
                "every machine is of this class",
                "add when = { .. }, or write its options in [dhcp]",
            );
        }
        let when = condition(problems, &format!("{path}.when"), &raw.when);
        let mut class = Class::new(name, when);
        class.options = options(problems, &format!("{path}.options"), &raw.options);
        let key = format!("{path}.lease_seconds");
        let range = 1..=i64::from(u32::MAX - 1);
        if let Some(seconds) = number(problems, &key, raw.lease_seconds, range) {
            class.lease = LeaseTimes::exactly(seconds);
        }
        if class.options.is_empty() && raw.lease_seconds.is_none() {
            problems.error(
                &path,
                "the class says nothing to its machines",
                "add options or lease_seconds; what they boot is for [[boot.rule]]",
            );
        }
        classes.push(class);
    }
    classes
}
