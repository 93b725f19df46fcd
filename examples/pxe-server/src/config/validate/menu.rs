//! `[menu]`: what is done with menus when they are served.

use pxe_dhcp::Pattern;

use super::super::file;
use super::super::place::Problems;
use super::super::{Menu, MenuFileProtocol};
use super::boot::boot_text;
use super::value::{choice, server_address};

pub(super) fn menu(
    problems: &mut Problems<'_>,
    raw: &file::Menu,
    has_tftp: bool,
    has_http: bool,
) -> Menu {
    if let Some(file) = &raw.pxelinux {
        boot_text(problems, "menu.pxelinux", file);
    }
    let files = raw.files.as_deref();
    let files = choice(problems, "menu.files", files, &MenuFileProtocol::NAMES);
    let lacking = match files {
        Some(MenuFileProtocol::Tftp) if !has_tftp => Some("tftp"),
        Some(MenuFileProtocol::Http) if !has_http => Some("http"),
        _ => None,
    };
    if let Some(protocol) = lacking {
        problems.error(
            "menu.files",
            format!("no file is served by {protocol}"),
            format!("add [{protocol}], or leave the key out"),
        );
    }
    let server = raw.server.as_deref();
    let server = server.and_then(|text| server_address(problems, "menu.server", text));
    let convert = raw.convert.unwrap_or(true);
    if !convert {
        for (key, is_given) in [
            ("menu.pxelinux", raw.pxelinux.is_some()),
            ("menu.files", files.is_some()),
            ("menu.server", server.is_some()),
        ] {
            if is_given {
                let message = "has no effect, as no menu is converted";
                problems.warning(key, message, "remove it, or convert = false");
            }
        }
    }
    let templates = raw.templates.with_paths("menu.templates");
    let templates = templates.filter_map(|(path, text)| template(problems, &path, text));
    Menu {
        convert,
        pxelinux: raw.pxelinux.clone(),
        files,
        server,
        templates: templates.collect(),
    }
}

/// Paths in the tree have no slash before them here, but people write one.
fn template(problems: &mut Problems<'_>, path: &str, text: &str) -> Option<Pattern> {
    if text.split('/').any(|name| name == "..") {
        problems.error(
            path,
            format!("{text:?} leads out of the tree"),
            "name files by their paths in the tree, such as pxelinux.cfg/*",
        );
        return None;
    }
    match text.trim_start_matches('/').parse::<Pattern>() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            problems.error(
                path,
                format!("{text:?}: {error}"),
                "name files by their paths in the tree, such as pxelinux.cfg/*",
            );
            None
        }
    }
}
