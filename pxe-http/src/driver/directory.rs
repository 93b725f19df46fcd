//! From an open directory to what is answered for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pxe_tree::{ErrorKind, FileRequest, NodeId, Opened, Source, Tree};

use super::answer::Found;
use crate::{Directories, Listing, ListingLimits, Route};

/// How directories are answered, by all connections together.
#[derive(Debug, Default)]
pub(super) struct DirectoryDesk {
    directories: Directories,
    /// Listings that are being read or sent.
    listings: AtomicUsize,
}

/// A listing's place among those that may be under way at once; given back when dropped.
#[derive(Debug)]
pub(super) struct ListingPlace(Arc<DirectoryDesk>);

impl Drop for ListingPlace {
    fn drop(&mut self) {
        self.0.listings.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DirectoryDesk {
    pub(super) fn new(directories: Directories) -> Self {
        Self {
            directories,
            listings: AtomicUsize::new(0),
        }
    }

    fn place(self: &Arc<Self>, limits: &ListingLimits) -> Option<ListingPlace> {
        let place = ListingPlace(Arc::clone(self));
        let others = self.listings.fetch_add(1, Ordering::Relaxed);
        // Dropping the place takes the number back.
        (others < limits.at_once_max.max(1)).then_some(place)
    }

    /// What is answered for a directory that the source opened.
    pub(super) async fn find(
        self: &Arc<Self>,
        source: &dyn Source,
        asked: &FileRequest<'_>,
        route: &Route<'_>,
        tree: &dyn Tree,
        node: NodeId,
    ) -> Found {
        let Directories { index, listing } = &self.directories;
        if index.is_none() && listing.is_none() {
            return Found::Failed(ErrorKind::IsADirectory);
        }
        if !route.has_final_slash {
            return Found::Directory(None);
        }
        // Asked of the source, so that links, rules and generated files are heeded.
        if let Some(name) = index
            && let Ok(path) = route.path.child(name)
        {
            match source.open(&asked.with_path(&path)).await {
                Ok(Opened::File(blob)) => return Found::File { blob, path },
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Found::Failed(error.kind());
                }
                _ => {}
            }
        }
        let Some(limits) = listing else {
            return Found::Directory(None);
        };
        let Some(place) = self.place(limits) else {
            return Found::Failed(ErrorKind::Busy);
        };
        match Listing::read(tree, node, limits).await {
            Ok(listing) => Found::Directory(Some((listing, place))),
            Err(error) => Found::Failed(error.kind()),
        }
    }
}
