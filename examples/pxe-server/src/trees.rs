//! The trees of files that a configuration serves.

use std::sync::Arc;

use nix::unistd::{AccessFlags, access};
use pxe_tree::{CaseFold, DirOptions, DirTree, Tree};

use crate::capabilities::Kept;
use crate::config::{Config, Problem};
use crate::user_tree::{Reader, UserTree};

/// The directory of the configuration, or what was given in its place.
#[derive(Debug, Clone)]
pub(crate) struct Trees {
    /// What TFTP and HTTP serve.
    pub(crate) served: Arc<dyn Tree>,
    /// The same as NFS exports it.
    pub(crate) exported: Exported,
}

/// A tree to be exported: names are what they are, and who may read what, pxe-nfs decides.
#[derive(Debug, Clone)]
pub(crate) enum Exported {
    /// A directory of this machine.
    Directory(Arc<DirTree>),
    /// Any other tree, which nobody can write to.
    Given(Arc<dyn Tree>),
}

impl Trees {
    /// Opens the configured directory.
    pub(crate) fn open(config: &Config) -> Result<Self, Problem> {
        let root = &config.tree.root;
        let failed = |why: String| {
            let message = format!("cannot open {}: {why}", root.display());
            config.problem(
                "tree.root",
                message,
                "make it readable for the server's user",
            )
        };
        let keys = config.nfs.as_ref().map(|nfs| nfs.handles);
        let options = DirOptions::default().with_keys(keys.unwrap_or_default());
        let tree = DirTree::with_options(root, options)
            .map_err(|error| failed(error.kind().to_string()))?;
        let tree = Arc::new(tree);
        let mut served: Arc<dyn Tree> = Arc::clone(&tree) as _;
        let kept = Kept::current().map_err(|error| failed(error.to_string()))?;
        let reader = Reader::of_process().map_err(|error| failed(error.to_string()))?;
        if kept.reads_all() && !reader.is_root() {
            if config.tftp.is_some() || !config.http.is_empty() {
                // The kernel judges that without the powers kept, for all directories above it.
                access(root, AccessFlags::X_OK).map_err(|error| failed(error.desc().into()))?;
            }
            served = Arc::new(UserTree::new(served, reader));
        }
        if config.tree.ignore_case {
            served = Arc::new(CaseFold::new(served));
        }
        Ok(Self {
            served,
            exported: Exported::Directory(tree),
        })
    }

    /// This tree for all.
    pub(crate) fn given(tree: Arc<dyn Tree>) -> Self {
        Self {
            served: Arc::clone(&tree),
            exported: Exported::Given(tree),
        }
    }
}

/// The configured directory as TFTP and HTTP serve it.
pub(crate) fn open_tree(config: &Config) -> Result<Arc<dyn Tree>, Problem> {
    Trees::open(config).map(|trees| trees.served)
}
