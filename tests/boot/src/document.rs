//! A configuration of pxelinux in a tree.

use std::fs;
use std::path::Path;

use pxe_menu::{Document, Limits, Location, Parser, Paths};

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
