//! A menu in other words: for loaders, for people, for programs.

use core::fmt;

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
