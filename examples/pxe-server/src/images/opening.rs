//! What is read of one file of the folder. It may wait for its disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pxe_iso::{ImageError, ImageOptions, Limits};
use pxe_tree::{
    Attributes, Error, ErrorKind, NameBuf, NodeKind, Resolver, Timestamp, Tree, TreePath,
};

use super::Profiles;
use super::contents::Questions;
use super::inquiry;
use super::library::{Offered, Opened, Reason};
use super::watch::Watch;

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Its file system and its number there.
    pub(super) file: (u64, u64),
    /// Its length in bytes.
    pub(super) len: u64,
    /// When its content was changed.
    pub(super) modified: Timestamp,
    changed: Timestamp,
}

impl Stamp {
    const fn of(attributes: &Attributes) -> Self {
        Self {
            file: (attributes.fsid, attributes.fileid),
            len: attributes.len,
            modified: attributes.modified,
            changed: attributes.changed,
        }
    }

    /// Whether it was left alone for so long by its own times. `ctime` is the one that nobody sets
    /// back.
    pub(super) fn is_older_than(&self, settle: Duration) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let touched = self.modified.max(self.changed);
        let touched = u64::try_from(touched.seconds).map(Duration::from_secs);
        match (now, touched) {
            // A second more, as what is cut off of it is not known here.
            (Ok(now), Ok(touched)) => now > touched + settle + Duration::from_secs(1),
            _ => false,
        }
    }
}

/// Reads files of the folder.
#[derive(Debug)]
pub(super) struct FolderReader {
    /// The folder.
    pub(super) tree: Arc<dyn Tree>,
    /// What is to ring when a folder beside an image changes.
    pub(super) watch: Arc<Watch>,
    /// How links in the folder are followed.
    pub(super) resolver: Resolver,
    /// What images are recognised by, and what those ask.
    pub(super) profiles: Arc<Profiles>,
    pub(super) questions: Arc<Questions>,
}

/// A file that should be an image.
#[derive(Debug, Clone)]
pub(super) struct ImageFile {
    /// Its name.
    pub(super) name: NameBuf,
    /// What the folder's entry is: a file, a link to one, or neither.
    pub(super) kind: NodeKind,
    /// The folder beside it.
    pub(super) beside: Option<NameBuf>,
}

/// What was read of a file.
#[derive(Debug)]
pub(super) enum Seen {
    /// It was looked at.
    Glance(Glance),
    /// It was opened.
    Opened(Result<(Stamp, Opened), NotOpened>),
    /// It was replaced before.
    Retired {
        /// Whether it is as it was when it was opened.
        is_valid: bool,
    },
}

/// How a file is now.
#[derive(Debug)]
pub(super) struct Glance {
    /// The file, or why it cannot be opened; `None` if it is gone.
    pub(super) found: Option<Result<Stamp, Reason>>,
    /// Whether the image that is offered is as it was when it was opened; true if none is.
    pub(super) is_valid: bool,
    /// That image, if more is known of it now.
    pub(super) asked: Option<Arc<Offered>>,
}

/// Why there is no open image.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// It changes still.
    Changed,
    /// It is not to be served.
    Withheld(Reason),
}

impl FolderReader {
    /// Looks at a file, of which this image is offered. That is asked anew after profiles were
    /// changed, and for what lies beside it.
    pub(super) async fn glance(&self, file: &ImageFile, offered: Option<&Arc<Offered>>) -> Glance {
        let found = self.find(file).await;
        let is_valid = offered.is_none_or(|offered| offered.blob.validate().is_ok());
        let asked = match offered.filter(|_| is_valid) {
            Some(offered) => self.ask_again(file, offered).await,
            None => None,
        };
        Glance {
            found,
            is_valid,
            asked,
        }
    }

    async fn find(&self, file: &ImageFile) -> Option<Result<Stamp, Reason>> {
        let path = TreePath::ROOT.child(&file.name).map_err(Error::from);
        let found = match path {
            Ok(path) => self.resolver.resolve(&*self.tree, &path).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(found) if found.attributes.kind == NodeKind::File => {
                Some(Ok(Stamp::of(&found.attributes)))
            }
            Ok(_) => {
                let what = "it is no regular file".to_owned();
                Some(Err(Reason::Unreadable(what)))
            }
            // It went after the folder was listed; a link leads to nothing.
            Err(error) if error.kind() == ErrorKind::NotFound && file.kind == NodeKind::File => {
                None
            }
            Err(error) => Some(Err(unreadable(file.kind, &error))),
        }
    }

    async fn ask_again(&self, file: &ImageFile, offered: &Offered) -> Option<Arc<Offered>> {
        let asks_anew = !Arc::ptr_eq(&offered.profiles, &self.profiles);
        let mut contents = match asks_anew {
            false => offered.contents.clone(),
            true => {
                let asked = inquiry::contents(&offered.tree, &*offered.blob, &self.questions);
                // One that was edited is opened anew.
                asked.await.ok()?
            }
        };
        contents.beside = self.beside(file).await;
        (asks_anew || contents != offered.contents).then(|| {
            let profiles = Arc::clone(&self.profiles);
            Arc::new(offered.with_contents(contents, profiles))
        })
    }

    /// The files beside an image that are asked for, with their lengths.
    async fn beside(&self, file: &ImageFile) -> BTreeMap<String, u64> {
        let Some(name) = &file.beside else {
            return BTreeMap::new();
        };
        // Before it is looked at, so that nothing goes unseen.
        self.watch.add(name);
        inquiry::beside(&*self.tree, name, &self.questions).await
    }

    /// Opens an image and asks it what profiles want to know.
    pub(super) async fn open(&self, file: &ImageFile) -> Result<(Stamp, Opened), NotOpened> {
        let changed_or = |error: Error| match error.kind() {
            ErrorKind::Stale | ErrorKind::NotFound => NotOpened::Changed,
            kind => NotOpened::Withheld(Reason::Unreadable(kind.to_string())),
        };
        let path = TreePath::ROOT
            .child(&file.name)
            .map_err(|kind| changed_or(kind.into()))?;
        let found = self.resolver.resolve(&*self.tree, &path).await;
        let found = found.map_err(changed_or)?.attributes;
        let blob = self.tree.open(found.node).await.map_err(changed_or)?;
        let attributes = blob.attributes();
        let (stamp, len) = (Stamp::of(attributes), attributes.len);
        let tree = options().open(Arc::clone(&blob)).await;
        let tree = tree.map_err(|error| match error {
            ImageError::Tree(error) => changed_or(error),
            other => NotOpened::Withheld(Reason::Damaged(other.to_string())),
        })?;
        if let Some(declared) = tree.declared_len().filter(|declared| *declared > len) {
            return Err(NotOpened::Withheld(Reason::Incomplete { declared }));
        }
        let contents = inquiry::contents(&tree, &*blob, &self.questions);
        let mut contents = contents.await.map_err(changed_or)?;
        contents.beside = self.beside(file).await;
        let opened = Opened::new(tree, blob, contents, Arc::clone(&self.profiles));
        Ok((stamp, opened))
    }
}

/// A folder may hold hundreds of images, each of which remembers directories.
fn options() -> ImageOptions {
    let mut limits = Limits::default();
    limits.directories_cached_max = 32;
    limits.entries_cached_max = 1 << 14;
    ImageOptions::new().with_limits(limits)
}

fn unreadable(kind: NodeKind, error: &Error) -> Reason {
    Reason::Unreadable(match kind {
        NodeKind::Link => {
            let kind = error.kind();
            format!("the link leads to nothing within the folder ({kind}); move the image there")
        }
        _ => error.kind().to_string(),
    })
}
