//! Single values: numbers, addresses, words of a list.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::super::file::OneOrMany;
use super::super::place::Problems;
use super::super::suggest::nearest;

/// One word of a list of words.
pub(super) fn choice<T: Copy>(
    problems: &mut Problems<'_>,
    path: &str,
    text: Option<&str>,
    valid: &[(&str, T)],
) -> Option<T> {
    let text = text?;
    let found = valid.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let names: Vec<&str> = valid.iter().map(|(name, _)| *name).collect();
        let remedy = match nearest(text, names.iter().copied()) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("choose one of: {}", names.join(", ")),
        };
        problems.error(path, format!("{text:?} is not known"), remedy);
    }
    found.map(|(_, value)| *value)
}

/// The addresses of a list that are addresses.
pub(super) fn addresses(
    problems: &mut Problems<'_>,
    path: &str,
    raw: &OneOrMany<String>,
) -> Vec<Ipv4Addr> {
    raw.with_paths(path)
        .filter_map(|(path, text)| address(problems, &path, text))
        .collect()
}

pub(super) fn address(problems: &mut Problems<'_>, path: &str, text: &str) -> Option<Ipv4Addr> {
    let address = text.parse().ok();
    if address.is_none() {
        problems.error(
            path,
            format!("{text:?} is no IPv4 address"),
            "write it as 192.168.150.1",
        );
    }
    address
}

/// The address of a server: one machine's.
pub(super) fn server_address(
    problems: &mut Problems<'_>,
    path: &str,
    text: &str,
) -> Option<Ipv4Addr> {
    let address = address(problems, path, text)?;
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
        problems.error(
            path,
            format!("{address} is no server's address"),
            "name the server's, or leave the key out to take that of the interface",
        );
    }
    Some(address)
}

/// A number within bounds, in a type that the bounds fit.
pub(super) fn number<T: TryFrom<i64>>(
    problems: &mut Problems<'_>,
    path: &str,
    number: Option<i64>,
    range: RangeInclusive<i64>,
) -> Option<T> {
    let number = number?;
    let value = T::try_from(number).ok().filter(|_| range.contains(&number));
    if value.is_none() {
        problems.error(
            path,
            format!("{number} is out of range"),
            format!("choose {} to {}", range.start(), range.end()),
        );
    }
    value
}
