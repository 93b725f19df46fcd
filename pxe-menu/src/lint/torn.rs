//! Arguments torn in two: menus copied from paper, where a line ends, and an underscore looks like a
//! blank.

use super::arguments::argument_place;
use super::{At, Lint};
use crate::diagnostic::quoted;
use crate::{Code, Command, Diagnostic};

/// Arguments with underscores in their names.
const WITH_UNDERSCORES: [&str; 6] = [
    "vt.global_cursor_default",
    "ramdisk_size",
    "module_blacklist",
    "intel_iommu",
    "amd_iommu",
    "archiso_http_srv",
];

/// Torn arguments of one command line that are told.
const TORN_MAX: usize = 8;

impl Lint<'_> {
    pub(super) fn torn_arguments(&mut self, words: &[&str], command: &Command, at: At) {
        let mut left = TORN_MAX;
        for (index, word) in words.iter().enumerate() {
            if left == 0 {
                return;
            }
            let following = words.get(index + 1..).unwrap_or_default();
            let Some(remedy) = torn(word, following) else {
                continue;
            };
            left -= 1;
            let place = argument_place(command, at, word.as_bytes());
            let message = format!("{} is a part of an argument", quoted(word.as_bytes()));
            self.push(Diagnostic::new(Code::TornArgument, place, message).with_remedy(remedy));
        }
    }
}

/// What a word was torn from.
pub(crate) fn torn(word: &str, following: &[&str]) -> Option<String> {
    if let [first, second, rest @ ..] = word.as_bytes()
        && first.is_ascii_uppercase()
        && second.is_ascii_uppercase()
        && rest.eq_ignore_ascii_case(b".UTF-8")
    {
        return Some(format!(
            "a blank was read for an underscore: locale=.._{word}"
        ));
    }
    if let Some(next) = following.first()
        && word.ends_with('-')
        && word
            .trim_end_matches('-')
            .ends_with(|last: char| last.is_ascii_alphanumeric())
        && !word.contains('=')
    {
        let joined = quoted(format!("{word}{next}").as_bytes());
        return Some(format!(
            "a line was broken after a hyphen: did you mean {joined}?"
        ));
    }
    let is_start = |name: &&str| name.strip_prefix(word).is_some_and(|rest| !rest.is_empty());
    if !WITH_UNDERSCORES.iter().any(is_start) {
        return None;
    }
    let rest = following.iter().take(2);
    let mut joined = word.to_owned();
    for next in rest {
        joined = format!("{joined}_{next}");
        let name = joined.split('=').next().unwrap_or_default();
        if WITH_UNDERSCORES.contains(&name) {
            return Some(format!("did you mean {}?", quoted(joined.as_bytes())));
        }
    }
    None
}
