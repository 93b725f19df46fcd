//! The words in which a menu is told.

use clap::ValueEnum;
use pxe_menu::{
    Client, Diagnostic, GrubOptions, IpxeOptions, Menu, Paths, Rendered, Text, render_grub,
    render_ipxe, render_json, render_syslinux, render_text,
};

use super::terminal::{harmless, harmless_json};

/// In which words a menu is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    /// As menu.c32 draws it
    Text,
    /// For programs
    Json,
    /// A script of iPXE
    Ipxe,
    /// A grub.cfg
    Grub,
    /// One file for pxelinux
    Syslinux,
}

/// What other loaders are told, beside the menu itself.
#[derive(Debug, clap::Args)]
pub(super) struct BaseArgs {
    /// Where iPXE and GRUB find the tree's files, such as http://192.168.150.1/; by default they ask
    /// the server that they came from, by TFTP
    #[arg(long, value_name = "URL", value_parser = base)]
    base: Option<Base>,
}

/// A server and a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Base {
    /// With a slash at its end.
    url: String,
    /// The same as GRUB has it, such as `(http,192.168.150.1)`.
    device: String,
}

/// GRUB has a device for a server, and no directory within.
fn base(text: &str) -> Result<Base, String> {
    let wrong = || "write tftp://SERVER/ or http://SERVER[:PORT]/".to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let is_of_a_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if !matches!(scheme, "tftp" | "http") || host.is_empty() || !host.bytes().all(is_of_a_host) {
        return Err(wrong());
    }
    Ok(Base {
        url: format!("{scheme}://{host}/"),
        device: format!("({scheme},{host})"),
    })
}

impl Language {
    /// A menu in this language, and what could not be said.
    pub(super) fn say(
        self,
        menu: &Menu,
        paths: Paths,
        client: &Client,
        base: &BaseArgs,
    ) -> (Text, Vec<Diagnostic>) {
        let base = base.base.as_ref();
        let rendered: Rendered = match self {
            Self::Text => return (Text::from(harmless(&render_text(menu))), Vec::new()),
            Self::Json => {
                let json = render_json(menu, paths.loader(), client);
                return (Text::from(harmless_json(&json)), Vec::new());
            }
            Self::Syslinux => render_syslinux(menu),
            Self::Ipxe => {
                let mut options = IpxeOptions::new(paths);
                options.client = client.clone();
                if let Some(base) = base {
                    options = options.with_base(&*base.url);
                }
                render_ipxe(menu, &options)
            }
            Self::Grub => {
                // Without a server GRUB takes the one that it came from.
                let device = base.map_or("(tftp)", |base| &base.device);
                let options = GrubOptions::new(paths, device).with_client(client.clone());
                render_grub(menu, &options)
            }
        };
        (rendered.text, rendered.diagnostics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_server_and_nothing_more() {
        let known = base("http://192.168.150.1:8080").expect("a server");
        assert_eq!(known.url, "http://192.168.150.1:8080/");
        assert_eq!(known.device, "(http,192.168.150.1:8080)");
        for wrong in [
            "192.168.150.1",
            "ftp://h/",
            "http://",
            "http://h/os/",
            "http://h\n/",
        ] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }
}
