//! What is wrong with templates, found before a client asks for them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pxe_tree::TreePath;

use super::template::{self, TEMPLATE_BYTES_MAX};
use crate::config::Config;

/// How many names of the tree are looked at: it is done at each start, too.
const NAMES_MAX: usize = 20_000;
/// How many faults are told.
const FAULTS_MAX: usize = 100;

/// What is wrong with the templates of a configuration.
#[derive(Debug, Default)]
pub(crate) struct TemplateFaults {
    /// The files that no client could be given, each with the reason.
    pub(crate) faults: Vec<String>,
    /// The indices of patterns that are no file's.
    pub(crate) unused: Vec<usize>,
    /// Not all of the tree was looked at.
    pub(crate) is_partial: bool,
}

impl TemplateFaults {
    /// Those of the directory that is served.
    pub(crate) fn of(config: &Config) -> Self {
        let patterns = &config.menu.templates;
        let mut used = vec![false; patterns.len()];
        let mut found = Self::default();
        if patterns.is_empty() {
            return found;
        }
        let (files, is_all) = files(&config.tree.root);
        found.is_partial = !is_all;
        for (path, file) in files {
            let mut is_template = false;
            for (pattern, used) in patterns.iter().zip(&mut used) {
                if pattern.matches(path.as_bytes()) {
                    (is_template, *used) = (true, true);
                }
            }
            if is_template && found.faults.len() < FAULTS_MAX {
                let left = FAULTS_MAX - found.faults.len();
                found
                    .faults
                    .extend(faults(&file, &path).into_iter().take(left));
            }
        }
        let unused = used.iter().enumerate().filter(|(_, used)| !**used);
        found.unused = unused.map(|(index, _)| index).collect();
        found
    }
}

fn faults(file: &Path, path: &TreePath) -> Vec<String> {
    let text = match std::fs::metadata(file).map(|metadata| metadata.len()) {
        Ok(len) if len > TEMPLATE_BYTES_MAX as u64 => {
            return vec![format!(
                "{path} has {len} bytes: {TEMPLATE_BYTES_MAX} are the most"
            )];
        }
        Ok(_) => std::fs::read(file),
        Err(error) => Err(error),
    };
    match text {
        Ok(text) => {
            let errors = template::errors(path, &text).into_iter();
            errors.map(|error| format!("{path}: {error}")).collect()
        }
        Err(error) => vec![format!("{path}: {error}")],
    }
}

/// The files below a directory, by their paths in the tree; and whether these are all. Links are
/// not followed: a template is known by its path without any.
fn files(root: &Path) -> (Vec<(TreePath, PathBuf)>, bool) {
    let mut files = Vec::new();
    let mut directories = vec![(TreePath::ROOT, root.to_owned())];
    let mut names = 0;
    while let Some((path, directory)) = directories.pop() {
        // What cannot be listed cannot be checked; it may be served all the same.
        for entry in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            names += 1;
            if names > NAMES_MAX {
                return (files, false);
            }
            let name = TreePath::parse(entry.file_name().as_bytes());
            let (Ok(name), Ok(kind)) = (name, entry.file_type()) else {
                continue;
            };
            let Ok(path) = path.join(&name) else { continue };
            if kind.is_dir() {
                directories.push((path, entry.path()));
            } else if kind.is_file() {
                files.push((path, entry.path()));
            }
        }
    }
    files.sort();
    (files, true)
}
