//! From the configuration's exports to those of pxe-nfs.

use std::path::Path;
use std::sync::Arc;

use pxe_nfs::Export;
use pxe_tree::{DirOptions, DirTree};

use crate::capabilities::Kept;
use crate::config::{Config, ExportedFiles, NfsExport, Problem};
use crate::privileges;
use crate::trees::{Exported, Trees};

/// What is exported of these trees; directories of their own are opened here.
pub(crate) fn exports(config: &Config, trees: &Trees) -> Result<Vec<Export>, Problem> {
    let all = config.nfs.iter().flat_map(|nfs| &nfs.exports).enumerate();
    all.map(|(index, export)| one(config, trees, index, export))
        .collect()
}

fn one(config: &Config, trees: &Trees, index: usize, from: &NfsExport) -> Result<Export, Problem> {
    let export = match (&from.files, &trees.exported) {
        (ExportedFiles::Images, _) => match &trees.images {
            Some(images) => Export::new(&from.path, Arc::clone(images) as _),
            None => {
                let message = format!("{} has no images", from.path);
                return Err(config.problem("nfs.export", message, "add [images]"));
            }
        },
        (ExportedFiles::InTree(root), Exported::Directory(tree)) => {
            of_directory(from, Arc::clone(tree)).with_root(root.clone())
        }
        (ExportedFiles::InTree(root), Exported::Given(tree)) => {
            Export::new(&from.path, Arc::clone(tree)).with_root(root.clone())
        }
        (ExportedFiles::Directory(directory), _) => {
            of_directory(from, open(config, index, directory)?)
        }
    };
    let export = from.clients.iter().cloned().fold(export, Export::to);
    Ok(match from.is_hidden {
        true => export.hidden(),
        false => export,
    })
}

fn of_directory(from: &NfsExport, tree: Arc<DirTree>) -> Export {
    match from.is_writable() {
        true => Export::writable(&from.path, tree),
        false => Export::new(&from.path, tree),
    }
}

fn open(config: &Config, index: usize, directory: &Path) -> Result<Arc<DirTree>, Problem> {
    let keys = config.nfs.as_ref().map(|nfs| nfs.handles);
    let options = DirOptions::default().with_keys(keys.unwrap_or_default());
    let tree = DirTree::with_options(directory, options).map_err(|error| {
        let key = format!("nfs.export[{index}].directory");
        let message = format!("cannot open {}: {}", directory.display(), error.kind());
        config.problem(&key, message, "make it readable for the server's user")
    });
    tree.map(Arc::new)
}

/// Whether the process still has what these exports ask for: what it gave up with root, it cannot
/// have back.
pub(crate) fn check_exports(config: &Config) -> Result<(), Problem> {
    if privileges::is_root() {
        return Ok(());
    }
    let wanted = Kept::wanted(config);
    let kept = Kept::current().unwrap_or(Kept::NONE);
    let lacking = wanted.without(kept);
    let names: Vec<&str> = lacking.iter().map(|(name, _)| *name).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(config.problem(
            "nfs.export",
            format!(
                "asks for {}, which were given up with root",
                names.join(", ")
            ),
            "restart the server, or export it with ro and root_squash",
        )),
    }
}
