//! A menu in other words: for loaders, for people, for programs.

use core::fmt;

//mod grub;
//mod ipxe;
//mod json;
mod syslinux;
//mod text;

//pub use grub::{GrubOptions, render_grub};
//pub use ipxe::{IpxeOptions, render_ipxe};
//pub use json::{JSON_VERSION, render_json};
pub use syslinux::render_syslinux;
//pub use text::render_text;

use crate::{Diagnostic, Text};

/// A menu in a language, and what that language could not say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rendered {
    /// The file. Bytes, since file names and titles keep theirs.
    pub text: Text,
    /// What was left out or changed; a comment in the file stands for each.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}
