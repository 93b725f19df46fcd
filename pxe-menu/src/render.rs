//! A menu in other words: for loaders, for people, for programs.

use core::fmt;
use std::collections::BTreeMap;

mod grub;
mod ipxe;
mod json;
mod looks;
mod module;
mod opening;
mod out;
mod protection;
mod syslinux;
mod text;

pub use grub::{GrubOptions, render_grub};
pub use ipxe::{IpxeOptions, render_ipxe};
pub use json::{JSON_VERSION, render_json};
pub use syslinux::render_syslinux;
pub use text::render_text;

use crate::{Diagnostic, Text};

/// A menu in a language, and what that language could not say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rendered {
    /// The file. Bytes, since file names and kernel arguments keep theirs.
    pub text: Text,
    /// What was left out or changed; a comment in the file stands for each.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// A host of a name or URL, with a port perhaps: `None` if it has characters that no host has, and that a
/// loader's script could take for its own.
fn host(host: &[u8]) -> Option<&str> {
    let is_of_a_host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    let host = core::str::from_utf8(host).ok()?;
    (!host.is_empty() && host.bytes().all(|byte| is_of_a_host(&byte))).then_some(host)
}

/// What takes the place of the folder that this path begins with, and the rest of the path: the longest of
/// these folders counts.
fn elsewhere<'a>(
    folders: &'a BTreeMap<Text, String>,
    path: &'a [u8],
) -> Option<(&'a str, &'a [u8])> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let ends = path.iter().enumerate().rev();
    let ends = ends.filter(|(_, byte)| **byte == b'/');
    ends.map(|(at, _)| path.split_at(at + 1))
        .find_map(|(folder, rest)| Some((folders.get(folder)?.as_str(), rest)))
}

/// What a path may not hold in a URL is escaped, percent signs too.
fn escape_path(path: &[u8]) -> String {
    escape(path, b"!&'()*+,-./:;=@_~")
}

/// The rest of a URL: what is escaped already stays so, and a question mark its own.
fn escape_url(rest: &[u8]) -> String {
    escape(rest, b"!%&'()*+,-./:;=?@_~")
}

fn escape(bytes: &[u8], kept: &[u8]) -> String {
    let mut escaped = String::new();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || kept.contains(byte) {
            escaped.push(char::from(*byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A URL's scheme with its slashes, its host, and the rest from the first slash on.
fn split_url(url: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let at = url.windows(3).position(|window| window == b"://")?;
    let (scheme, rest) = url.split_at(at + 3);
    let slash = rest.iter().position(|byte| *byte == b'/');
    let (host, path) = rest.split_at(slash.unwrap_or(rest.len()));
    Some((scheme, host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_folder_that_is_elsewhere_counts() {
        let folders = [("os/", "http://h/"), ("os/debian/", "http://d/")];
        let folders = folders.map(|(folder, base)| (Text::from(folder), base.to_owned()));
        let folders = BTreeMap::from(folders);
        let found = |path: &'static str| elsewhere(&folders, path.as_bytes());
        assert_eq!(found("os/x"), Some(("http://h/", &b"x"[..])));
        assert_eq!(found("/os/debian/x"), Some(("http://d/", &b"x"[..])));
        assert_eq!(found("os/other/x"), Some(("http://h/", &b"other/x"[..])));
        assert_eq!(found("osx"), None);
        assert_eq!(found("x/os/x"), None);
    }
}
