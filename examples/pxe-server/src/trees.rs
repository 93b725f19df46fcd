//! The trees of files that a configuration serves.

use std::path::Path;
use std::sync::Arc;

use nix::unistd::{AccessFlags, access};
use pxe_tree::{CaseFold, DirKeys, DirOptions, DirTree, ErrorKind, Subtree, Tree};

use crate::capabilities::Kept;
use crate::config::{Config, Problem};
use crate::images::{Images, ImagesTree};
use crate::user_tree::{Reader, UserTree};

/// The directory of the configuration, or what was given in its place.
#[derive(Debug, Clone)]
pub(crate) struct Trees {
    /// What TFTP and HTTP serve.
    pub(crate) served: Arc<dyn Tree>,
    /// The same as NFS exports it.
    pub(crate) exported: Exported,
    /// The images, which TFTP and HTTP have in the tree, and NFS as an export.
    pub(crate) images: Option<Arc<ImagesTree>>,
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
    /// Opens the configured directory, with these images in it.
    pub(crate) fn open(config: &Config, images: Option<&Images>) -> Result<Self, Problem> {
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
        served = with_images(config, served, images)?;
        if config.tree.ignore_case {
            served = Arc::new(CaseFold::new(served));
        }
        Ok(Self {
            served,
            exported: Exported::Directory(tree),
            images: images.map(|images| Arc::clone(images.tree())),
        })
    }

    /// This tree for all, with these images in it.
    pub(crate) fn given(
        config: &Config,
        tree: Arc<dyn Tree>,
        images: Option<&Images>,
    ) -> Result<Self, Problem> {
        Ok(Self {
            served: with_images(config, Arc::clone(&tree), images)?,
            exported: Exported::Given(tree),
            images: images.map(|images| Arc::clone(images.tree())),
        })
    }
}

/// A tree with images at their path. What it has there itself is hidden.
fn with_images(
    config: &Config,
    tree: Arc<dyn Tree>,
    images: Option<&Images>,
) -> Result<Arc<dyn Tree>, Problem> {
    let (Some(images), Some(settings)) = (images, &config.images) else {
        return Ok(tree);
    };
    let inner = Arc::clone(images.tree()) as _;
    let mounted = Subtree::new(tree, settings.path.clone(), inner);
    let mounted = mounted.map_err(|kind| config.problem("images.path", kind.to_string(), ""))?;
    Ok(Arc::new(mounted))
}

/// A directory of which all clients get what the server's user can read, whatever powers the server
/// keeps.
pub(crate) fn open_for_all(directory: &Path, keys: DirKeys) -> pxe_tree::Result<Arc<dyn Tree>> {
    let failed = |_| pxe_tree::Error::from(ErrorKind::Io);
    let tree = DirTree::with_options(directory, DirOptions::default().with_keys(keys))?;
    let kept = Kept::current().map_err(failed)?;
    let reader = Reader::of_process().map_err(failed)?;
    Ok(match kept.reads_all() && !reader.is_root() {
        true => Arc::new(UserTree::new(Arc::new(tree), reader)),
        false => Arc::new(tree),
    })
}
