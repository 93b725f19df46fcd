//! A menu of the tree in another loader's language.

use std::fs;
use std::path::Path;

use pxe_menu::{
    Document, GrubOptions, IpxeOptions, Limits, Loader, Location, Parser, Paths, Rendered,
    render_grub, render_ipxe, resolve,
};

use crate::matrix::{Convert, Language};

/// Reads a configuration as pxelinux reads it from a server of this tree, with all that it includes. Says which files it
/// asked for in vain, too.
pub(crate) fn read(root: &Path, paths: &Paths, menu: &str) -> (Document, Vec<String>) {
    let mut parser = Parser::new(menu, Limits::default());
    let mut missing = Vec::new();
    while let Some(need) = parser.poll_need() {
        let content = match paths.locate(&need.file) {
            Location::Tftp { host: None, path } => {
                fs::read(root.join(path.to_string().trim_start_matches('/'))).ok()
            }
            _ => None,
        };
        match content {
            Some(content) => parser.provide(need.id, content),
            None => {
                missing.push(need.file.to_string());
                parser.missing(need.id);
            }
        }
    }
    (parser.finish(), missing)
}

/// Says a menu of the tree in another language.
pub(crate) fn convert(root: &Path, wanted: &Convert, files: &str) -> Result<Vec<u8>, String> {
    let paths = Paths::new(Loader::Lpxelinux, &wanted.boot_file);
    let (document, missing) = read(root, &paths, &wanted.menu);
    if missing.contains(&wanted.menu) {
        return Err(format!("there is no menu {}", wanted.menu));
    }
    let menu = resolve(&document).menu;
    let Rendered { text, .. } = match wanted.to {
        Language::Ipxe => render_ipxe(&menu, &IpxeOptions::new(paths).with_base(files)),
        Language::Grub => render_grub(&menu, &GrubOptions::new(paths, files)),
    };
    Ok(text.as_bytes().to_vec())
}
