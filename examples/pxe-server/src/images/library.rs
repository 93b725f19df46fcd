//! The images of the folder, as they are served now.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pxe_iso::ImageTree;
use pxe_tree::{Blob, NameBuf, NodeId, Timestamp, Tree};
use tokio::sync::watch;

use super::{Contents, Profiles, Recognised, recognise};

/// The images of a folder. What is served changes as a whole: who asks sees one [`Shelf`].
#[derive(Debug)]
pub(crate) struct Library {
    shelf: ArcSwap<Shelf>,
    /// Whether the folder was looked at. Before that, no handle of NFS is known to be stale.
    is_known: watch::Sender<bool>,
    started: Instant,
}

/// What was in the folder at its last look.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// All images, by their names: those that are not offered too.
    pub(crate) images: Vec<Arc<LibraryImage>>,
    /// Images that are gone or replaced, and that machines have mounted.
    pub(super) retired: Vec<Retired>,
    /// The folder, for what lies beside images; `None` if it cannot be read.
    pub(super) folder: Option<Arc<dyn Tree>>,
    /// What is wrong with the folder itself.
    pub(crate) problems: Vec<String>,
    /// When what is offered changed.
    pub(super) changed: Timestamp,
}

/// An image that is served no more, for those who have it mounted.
#[derive(Debug, Clone)]
pub(super) struct Retired {
    pub(super) file_name: NameBuf,
    pub(super) image: Arc<Offered>,
}

/// A file of the folder that should be an image.
#[derive(Debug)]
pub(crate) struct LibraryImage {
    /// What it is called in paths and menus: its file name without the ending; characters other
    /// than `A-Za-z0-9._-` are `_`, and each image has another name.
    pub(crate) name: String,
    /// The name of its file.
    pub(crate) file_name: NameBuf,
    /// The length of the file in bytes.
    pub(crate) len: u64,
    /// When it was changed last.
    pub(crate) modified: Timestamp,
    /// Whether it is served.
    pub(crate) state: ImageState,
}

impl LibraryImage {
    /// What is served of it, if it is served.
    pub(crate) const fn offered(&self) -> Option<&Arc<Offered>> {
        match &self.state {
            ImageState::Offered(offered) => Some(offered),
            ImageState::Withheld(_) => None,
        }
    }
}

/// Whether an image is served.
#[derive(Debug)]
pub(crate) enum ImageState {
    /// It is.
    Offered(Arc<Offered>),
    /// It is not.
    Withheld(Reason),
}

/// Why an image is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was changed a moment ago.
    Settling,
    /// It is shorter than its own descriptors say: half of a copy, or of a download.
    Incomplete {
        /// What its descriptors say, in bytes.
        declared: u64,
    },
    /// It cannot be read as an image.
    Damaged(String),
    /// The file cannot be read.
    Unreadable(String),
    /// There are more images than are opened.
    TooMany,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settling => f.write_str("it was changed a moment ago"),
            Self::Incomplete { declared } => write!(
                f,
                "it is not complete: its volume has {declared} bytes; copy or download it again"
            ),
            Self::Damaged(why) => write!(f, "it cannot be read as an image: {why}"),
            Self::Unreadable(why) => write!(f, "the file cannot be read: {why}"),
            Self::TooMany => f.write_str("there are too many images; remove some"),
        }
    }
}

/// An image that is served.
#[derive(Debug)]
pub(crate) struct Offered {
    /// Its inside.
    pub(crate) tree: Arc<ImageTree>,
    /// The image itself.
    pub(crate) blob: Arc<dyn Blob>,
    /// What its profile was recognised by.
    pub(crate) contents: Contents,
    /// The profiles that it was asked about.
    pub(crate) profiles: Arc<Profiles>,
    /// Tells it from all other images that this process has opened.
    pub(super) number: u64,
    /// The folder of what lies beside it.
    pub(super) beside: Option<NodeId>,
    /// When a handle of NFS led into it, in seconds since the library was made, and one.
    pub(super) mounted: AtomicU64,
}

impl Offered {
    /// What it is and how it boots; `None` if no profile fits.
    pub(crate) fn recognised(&self) -> Option<Recognised<'_>> {
        recognise(&self.profiles, &self.contents)
    }
}

impl Library {
    /// A library whose folder was not looked at yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            shelf: ArcSwap::default(),
            is_known: watch::Sender::new(false),
            started: Instant::now(),
        })
    }

    /// What is there now.
    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        self.shelf.load_full()
    }

    /// The image that is offered under this name.
    pub(crate) fn image(&self, name: &str) -> Option<Arc<LibraryImage>> {
        self.shelf().image(name).cloned()
    }
}

impl Shelf {
    /// The images that are served, by their names.
    pub(crate) fn offered(&self) -> impl Iterator<Item = (&Arc<LibraryImage>, &Arc<Offered>)> {
        let images = self.images.iter();
        images.filter_map(|image| Some((image, image.offered()?)))
    }

    /// The image of this name.
    pub(crate) fn image(&self, name: &str) -> Option<&Arc<LibraryImage>> {
        self.images.iter().find(|image| image.name == name)
    }
}
