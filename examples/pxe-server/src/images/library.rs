//! The images of the folder, as they are served now.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pxe_iso::ImageTree;
use pxe_tree::{Blob, Name, NameBuf, Timestamp, Tree};
use siphasher::sip::SipHasher24;
use tokio::sync::{Notify, watch};

use super::contents::Contents;
use super::offer::{Shelves, Station};
use super::own_menu::{OwnMenu, OwnMenus};
use super::profile::ImagePath;
use super::recognise::recognise;
use super::shelf::Shelf;
use super::{Profiles, Recognised};

/// How long a request waits for the first look at the folder: as long as a client waits before it
/// asks again.
const KNOWN_WAIT: Duration = Duration::from_secs(5);

/// The images of a folder. What is served changes as a whole: who asks sees one [`Shelf`].
#[derive(Debug)]
pub(crate) struct Library {
    shelf: ArcSwap<Shelf>,
    /// Whether the folder was looked at. Before that, no handle of NFS is known to be stale.
    is_known: watch::Sender<bool>,
    /// Rung when the folder may have changed.
    bell: Notify,
    started: Instant,
}

impl Library {
    /// A library whose folder was not looked at yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            shelf: ArcSwap::default(),
            is_known: watch::Sender::new(false),
            bell: Notify::new(),
            started: Instant::now(),
        })
    }

    /// What is there now.
    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        self.shelf.load_full()
    }

    /// From now on, this is there.
    pub(super) fn put(&self, shelf: Shelf) {
        self.shelf.store(Arc::new(shelf));
    }

    /// The folder was looked at, and everything in it.
    pub(super) fn set_known(&self) {
        self.is_known.send_replace(true);
    }

    /// Waits until the folder was looked at; whether it was, as nobody waits for ever.
    pub(crate) async fn known(&self) -> bool {
        // Commands look once, and have no timers.
        if self.is_known() {
            return true;
        }
        let mut is_known = self.is_known.subscribe();
        let known = is_known.wait_for(|is_known| *is_known);
        tokio::time::timeout(KNOWN_WAIT, known).await.is_ok()
    }

    pub(super) fn is_known(&self) -> bool {
        *self.is_known.borrow()
    }

    /// Has the folder looked at soon.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Waits until somebody rings.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Notes that a machine has an image mounted.
    pub(super) fn note_mounted(&self, image: &Offered) {
        let seconds = self.started.elapsed().as_secs() + 1;
        image.mounted.store(seconds, Ordering::Relaxed);
    }

    /// How long ago a machine used a handle of NFS into an image; `None` if none ever did.
    pub(super) fn mounted_ago(&self, image: &Offered) -> Option<Duration> {
        let seconds = image.mounted.load(Ordering::Relaxed).checked_sub(1)?;
        let then = Duration::from_secs(seconds);
        Some(self.started.elapsed().saturating_sub(then))
    }
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

    /// Why it is not served, if it is not.
    pub(crate) const fn reason(&self) -> Option<&Reason> {
        match &self.state {
            ImageState::Offered(_) => None,
            ImageState::Withheld(reason) => Some(reason),
        }
    }
}

/// Whether an image is served.
#[derive(Debug, Clone)]
pub(crate) enum ImageState {
    /// It is.
    Offered(Arc<Offered>),
    /// It is not.
    Withheld(Reason),
}

impl ImageState {
    /// Whether both are the same, and of the same opening.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Offered(one), Self::Offered(other)) => Arc::ptr_eq(one, other),
            (Self::Withheld(one), Self::Withheld(other)) => one == other,
            _ => false,
        }
    }
}

/// Why an image is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was changed a moment ago.
    Settling,
    /// It is being opened, and its disk does not answer.
    Opening,
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
    /// Looking at it ended in a panic, which said this.
    Fault(String),
}

impl Reason {
    /// The word for it, for programs.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::Opening => "opening",
            Self::Incomplete { .. } => "incomplete",
            Self::Damaged(_) => "damaged",
            Self::Unreadable(_) => "unreadable",
            Self::TooMany => "too_many",
            Self::Fault(_) => "fault",
        }
    }

    /// Whether it is likely to be served soon, and who has it mounted had better wait.
    pub(super) const fn will_pass(&self) -> bool {
        matches!(
            self,
            Self::Settling | Self::Opening | Self::Incomplete { .. }
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settling => f.write_str("it was changed a moment ago"),
            Self::Opening => f.write_str(
                "it is being opened, and its disk does not answer; it is looked at once that does",
            ),
            Self::Incomplete { declared } => write!(
                f,
                "it is not complete, its volume has {declared} bytes; copy or download it again"
            ),
            Self::Damaged(why) => write!(
                f,
                "it cannot be read as an image: {why}; see whether all of it was copied or downloaded"
            ),
            Self::Unreadable(why) => write!(f, "the file cannot be read: {why}"),
            Self::TooMany => f.write_str("there are too many images; remove some"),
            Self::Fault(message) => write!(
                f,
                "looking at it failed, by a fault of this server that you may report; it is tried \
                 again when the file changes: {message}"
            ),
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
    /// Tells it from all other images that are open.
    pub(super) number: u64,
    /// The file system that its inside is, to clients of NFS.
    pub(super) fsid: u64,
    /// Which file of the folder it is, for keys.
    pub(super) file: FileHash,
    /// What it is, by its profile; `None` if none fits.
    pub(super) label: Option<String>,
    /// When a handle of NFS led into it, in seconds since the library was made, and one.
    pub(super) mounted: Arc<AtomicU64>,
    own_menus: OwnMenus,
}

/// A hash of an image's file name.
pub(super) type FileHash = [u8; 8];

impl Offered {
    /// What it is and how it boots; `None` if no profile fits.
    pub(crate) fn recognised(&self) -> Option<Recognised<'_>> {
        recognise(&self.profiles, &self.contents)
    }

    /// An image that was opened.
    pub(super) fn new(opened: Opened, number: u64, file: &Name) -> Self {
        let Opened {
            tree,
            blob,
            contents,
            profiles,
            label,
        } = opened;
        let key = tree.key(tree.root());
        let volume = key.as_ref().map_or(&[][..], |key| key.as_bytes());
        Self {
            fsid: hash(&[b"fsid", volume, file.as_bytes()]),
            file: file_hash(file),
            tree,
            blob,
            contents,
            profiles,
            label,
            number,
            mounted: Arc::default(),
            own_menus: OwnMenus::default(),
        }
    }

    /// Its own menu, one of `menus`, for such machines; it is called `name`.
    ///
    /// # Errors
    /// None of them has anything to start, and why.
    pub(crate) async fn own_menu(
        &self,
        name: &str,
        menus: &[ImagePath],
        station: Station,
        shelves: &Shelves,
    ) -> Result<OwnMenu, String> {
        let tree = &*self.tree;
        self.own_menus
            .get(tree, name, menus, station, shelves)
            .await
    }

    /// The same image with what else is known of it.
    pub(super) fn with_contents(&self, contents: Contents, profiles: Arc<Profiles>) -> Self {
        Self {
            tree: Arc::clone(&self.tree),
            blob: Arc::clone(&self.blob),
            label: label(&profiles, &contents),
            contents,
            profiles,
            number: self.number,
            fsid: self.fsid,
            file: self.file,
            mounted: Arc::clone(&self.mounted),
            own_menus: OwnMenus::default(),
        }
    }
}

/// What opening an image gives.
#[derive(Debug)]
pub(super) struct Opened {
    tree: Arc<ImageTree>,
    blob: Arc<dyn Blob>,
    contents: Contents,
    profiles: Arc<Profiles>,
    label: Option<String>,
}

impl Opened {
    /// This image, recognised by these profiles.
    pub(super) fn new(
        tree: Arc<ImageTree>,
        blob: Arc<dyn Blob>,
        contents: Contents,
        profiles: Arc<Profiles>,
    ) -> Self {
        Self {
            label: label(&profiles, &contents),
            tree,
            blob,
            contents,
            profiles,
        }
    }
}

fn label(profiles: &Profiles, contents: &Contents) -> Option<String> {
    recognise(profiles, contents).map(|recognised| recognised.label)
}

/// The hash by which keys know the file of an image.
pub(super) fn file_hash(file_name: &Name) -> FileHash {
    hash(&[b"file", file_name.as_bytes()]).to_le_bytes()
}

/// A hash that stays the same on every machine for ever, as it leaves the process.
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0x7078_652d_696d_6167, 0x6573_2d66_6f6c_6465);
    for part in parts {
        hasher.write(part);
        // Where a part ends is part of the hash.
        hasher.write(&(part.len() as u64).to_le_bytes());
    }
    hasher.finish()
}
