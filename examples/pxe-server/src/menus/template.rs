//! Menus that are filled in for each client when they are served.

use std::fmt;
use std::net::Ipv4Addr;

use bytes::Bytes;
use pxe_dhcp::Pattern;
use pxe_menu::{Client, Format, TemplateError, Text};
use pxe_tree::TreePath;

use super::asker::Asker;

/// A template is read whole, so it has to be short: menus are.
pub(super) const TEMPLATE_BYTES_MAX: usize = 1 << 20;

/// A template that cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateFault {
    /// Its path in the tree, without links.
    pub(crate) file: TreePath,
    /// What is wrong, and in which line.
    pub(crate) error: TemplateError,
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.error)
    }
}

/// Whether the file of this path in the tree, without links, is a template.
pub(super) fn is_template(patterns: &[Pattern], path: &TreePath) -> bool {
    let mut patterns = patterns.iter();
    patterns.any(|pattern| pattern.matches(path.as_bytes()))
}

/// The text of a template as this client gets it.
///
/// # Errors
/// It has a placeholder that is not known, or of which nobody knows what it is for this client.
pub(super) fn filled_in(
    file: &TreePath,
    text: &[u8],
    asker: &Asker,
) -> Result<Bytes, TemplateFault> {
    filled_in_for(file, text, &asker.client)
}

/// The same for a client of which this is known.
pub(super) fn filled_in_for(
    file: &TreePath,
    text: &[u8],
    client: &Client,
) -> Result<Bytes, TemplateFault> {
    match expanded(file, text, client) {
        Ok(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        Err(error) => Err(TemplateFault {
            file: file.clone(),
            error,
        }),
    }
}

/// All that is wrong with a template whatever client asks for it.
pub(super) fn errors(file: &TreePath, text: &[u8]) -> Vec<TemplateError> {
    match has_variables(file, text) {
        true => pxe_menu::template_errors_grub(text, &anybody()),
        false => pxe_menu::template_errors(text, &anybody()),
    }
}

/// A client of which all is known.
fn anybody() -> Client {
    let ip = Ipv4Addr::new(192, 0, 2, 1);
    Client::new()
        .with_mac([0x52, 0x54, 0, 0, 0, 1])
        .with_ip(ip)
        .with_server(ip)
        .with_network(ip, Ipv4Addr::new(255, 255, 255, 0))
        .with_uuid([0x41; 16])
        .with_architecture(7)
        .with_host_name("host")
}

fn expanded(file: &TreePath, text: &[u8], client: &Client) -> Result<Text, TemplateError> {
    match has_variables(file, text) {
        true => pxe_menu::expand_grub(text, client),
        false => pxe_menu::expand(text, client),
    }
}

/// To GRUB and iPXE `${name}` is a variable of their own.
fn has_variables(file: &TreePath, text: &[u8]) -> bool {
    file.as_bytes().ends_with(b".ipxe") || Format::of(file.as_bytes(), text) == Format::GrubCfg
}
