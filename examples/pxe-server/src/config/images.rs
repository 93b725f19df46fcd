//! `[images]`: a folder of images of systems.

use std::path::PathBuf;
use std::time::Duration;

use pxe_tree::TreePath;

/// `[images]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Images {
    /// The folder.
    pub dir: PathBuf,
    /// Where they are served: a directory of the tree, and an export of NFS.
    pub path: TreePath,
    /// Files of further profiles, which are tried before the shipped ones.
    pub profiles: Vec<PathBuf>,
    /// Whether machines are offered them in menus.
    pub menu: bool,
    /// For how long an image has to be left alone before it is served.
    pub settle: Duration,
}
