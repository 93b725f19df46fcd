//! The tree that menus are read from: found by the configuration, named, or guessed.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pxe_menu::{Location, Text};
use pxe_tree::{DirTree, Tree, TreePath};
use tokio::runtime::Runtime;

use super::images;
use crate::config::Config;
use crate::fact::printable;
use crate::images::{Images, ImagesSettings, Library};
use crate::menus::read::MenuFiles;
use crate::trees::Trees;

/// How the tree is found.
#[derive(Debug, clap::Args)]
pub(super) struct TreeArgs {
    /// The server's configuration: its tree is looked at, as it serves it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The root of the tree, if there is no configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    root: Option<PathBuf>,
}

/// By what the root was found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Config(PathBuf),
    Told,
    Guessed,
}

/// A tree of menus, open.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) files: MenuFiles,
    pub(super) config: Option<Config>,
    pub(super) runtime: Runtime,
    /// The images of the configuration, and the tree as it serves them in it.
    pub(super) images: Option<(Arc<Library>, Arc<dyn Tree>)>,
    root: PathBuf,
    found: Found,
}

impl Site {
    /// Opens the tree that the command line names, or the one that this file or directory seems to
    /// be in.
    pub(super) fn open(args: &TreeArgs, near: &Path) -> Result<Self, String> {
        if let Some(file) = &args.config {
            let config = Config::load(file).map_err(|error| error.to_string())?;
            return Self::of_config(config);
        }
        let runtime = runtime()?;
        let (root, found) = match &args.root {
            Some(root) => (absolute(root)?, Found::Told),
            None => (guess(&absolute(near)?), Found::Guessed),
        };
        let tree = DirTree::new(&root).map_err(|error| {
            let shown = shown(&root);
            format!(
                "cannot open {shown}: {}; name a readable directory",
                error.kind()
            )
        })?;
        Ok(Self {
            files: MenuFiles::of_root(&root, Arc::new(tree)),
            config: None,
            runtime,
            images: None,
            root,
            found,
        })
    }

    /// Opens the tree of a configuration, with its images and the menus of them.
    pub(super) fn of_config(config: Config) -> Result<Self, String> {
        let runtime = runtime()?;
        let located = |problem| config.locate(&problem);
        let images = match &config.images {
            Some(images) => {
                let settings = ImagesSettings::of(&config, images).map_err(located)?;
                Some(Images::once(settings).map_err(|error| no_start(&error))?)
            }
            None => None,
        };
        let tree = Trees::open(&config, images.as_ref())
            .map_err(located)?
            .served;
        let mut site = Self {
            files: MenuFiles::new(&config, Arc::clone(&tree)),
            images: images.map(|images| (Arc::clone(images.library()), tree)),
            root: absolute(&config.tree.root)?,
            found: Found::Config(config.file.clone()),
            config: Some(config),
            runtime,
        };
        images::lay_all(&mut site)?;
        Ok(site)
    }

    /// A line that says which tree it is, and why.
    pub(super) fn tell(&self) -> String {
        let root = shown(&self.root);
        match &self.found {
            Found::Config(file) => format!("tree: {root} (of {})", shown(file)),
            Found::Told => format!("tree: {root}"),
            Found::Guessed => format!("tree: {root} (guessed; --root or --config says another)"),
        }
    }

    /// The path in the tree of a file of this machine.
    pub(super) fn path_of(&self, file: &Path) -> Result<TreePath, String> {
        let wanted = absolute(file)?;
        let outside = || {
            format!(
                "{} is not in the tree {}: name its tree by --root or --config",
                shown(file),
                shown(&self.root)
            )
        };
        // As it is named, so that a link within the tree is what a client would ask for; else as
        // it is, for those who came to the tree by a link.
        let rest = match wanted.strip_prefix(&self.root) {
            Ok(rest) => rest.to_owned(),
            Err(_) => {
                let real = |path: &Path| {
                    let real = std::fs::canonicalize(path);
                    real.map_err(|error| unreadable(path, &error))
                };
                let (wanted, root) = (real(&wanted)?, real(&self.root)?);
                let rest = wanted.strip_prefix(root).map_err(|_| outside())?;
                rest.to_owned()
            }
        };
        TreePath::parse(rest.as_os_str().as_bytes())
            .map_err(|error| format!("{}: {error}", shown(file)))
    }

    /// A file of the tree, as this machine knows it: relative to where we are, if it is below.
    pub(super) fn on_disk(&self, path: &TreePath) -> PathBuf {
        let full = self.root.join(std::ffi::OsStr::from_bytes(path.as_bytes()));
        let here = std::env::current_dir();
        match here.as_deref().map(|here| full.strip_prefix(here)) {
            Ok(Ok(below)) if !below.as_os_str().is_empty() => below.to_owned(),
            _ => full,
        }
    }

    /// Waits for what reads the tree.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

fn runtime() -> Result<Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|error| no_start(&error))
}

fn no_start(error: &std::io::Error) -> String {
    format!("cannot start: {error}")
}

/// A path without `..` and relative parts, its links as they are.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    let path = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    Ok(clean)
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => ": name an existing file",
        std::io::ErrorKind::PermissionDenied => ": make it readable for this user",
        _ => "",
    };
    format!("{} cannot be read: {error}{hint}", shown(path))
}

/// A path as it may stand on a terminal.
pub(super) fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// A file of this path in the tree, as TFTP asks for it.
pub(super) fn tftp(path: impl Into<Text>) -> Location {
    Location::Tftp {
        host: None,
        path: path.into(),
    }
}

/// The root of the tree that a file or a directory seems to be in: above the folders that loaders
/// and their menus usually have.
fn guess(near: &Path) -> PathBuf {
    if near.is_dir() {
        return near.to_owned();
    }
    let folder = near.parent().unwrap_or(near);
    // Debian's and Ubuntu's installers name their files from above this. Their packages lie below a
    // folder of that name themselves, and have another one beside pxelinux.cfg.
    let is_root = |root: &&Path| {
        ["debian-installer", "ubuntu-installer"].iter().any(|name| {
            let installer = root.join(name);
            let is_beside = folder.ends_with("pxelinux.cfg") && folder.parent() == Some(*root);
            near.starts_with(&installer) || (is_beside && installer.is_dir())
        })
    };
    if let Some(root) = near.ancestors().find(is_root) {
        return root.to_owned();
    }
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().to_ascii_lowercase()
    };
    let mut base = folder;
    if matches!(&*name(base), "pxelinux.cfg" | "grub" | "grub2") {
        base = base.parent().unwrap_or(base);
    }
    // `boot/grub/grub.cfg`, and the folder of one firmware, as `pxe-server init` lays it out.
    let is_folder_of_firmware = matches!(
        &*name(base),
        "boot" | "bios" | "efi" | "efi32" | "efi64" | "uefi" | "pxelinux" | "syslinux" | "ipxe"
    );
    match base.parent() {
        Some(above) if is_folder_of_firmware && above.parent().is_some() => above.to_owned(),
        _ => base.to_owned(),
    }
}
