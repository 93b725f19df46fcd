//! From an open directory to what is answered for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pxe_tree::{ErrorKind, FileRequest, NodeId, Opened, Source, Tree};

use super::answer::Found;
use super::peer::network;
use crate::{Directories, Listing, ListingLimits, Route};

/// How directories are answered, by all connections together.
#[derive(Debug, Default)]
pub(super) struct DirectoryDesk {
    directories: Directories,
    /// Listings that are being made.
    listings: AtomicUsize,
    pages: Mutex<Pages>,
}

/// Bytes of the pages that are made and not taken yet: in all, and by the client's network, where there
/// are any.
#[derive(Debug, Default)]
struct Pages {
    bytes: usize,
    of_clients: HashMap<IpAddr, usize>,
}

/// A listing's place among those that may be made at once; given back when dropped.
#[derive(Debug)]
pub(super) struct ListingPlace {
    desk: Arc<DirectoryDesk>,
    client: IpAddr,
    sent_bytes_max: usize,
}

/// A page's place among those that are being sent; given back when dropped.
#[derive(Debug)]
pub(super) struct PagePlace {
    desk: Arc<DirectoryDesk>,
    client: IpAddr,
    bytes: usize,
}

/// One client, however slow, has no more of what all may hold.
const CLIENT_SHARE: usize = 4;

impl ListingPlace {
    /// The listing is made, and its page is that long; `None` if too much is being sent.
    pub(super) fn into_page(self, len: u64) -> Option<PagePlace> {
        let bytes = usize::try_from(len).ok()?;
        let mut pages = self.desk.pages();
        let others = pages.bytes;
        let own = pages.of_clients.get(&self.client).copied().unwrap_or(0);
        let is_beyond = |before: usize, max| before > 0 && before.saturating_add(bytes) > max;
        if is_beyond(others, self.sent_bytes_max)
            || is_beyond(own, self.sent_bytes_max / CLIENT_SHARE)
        {
            return None;
        }
        pages.bytes = others.saturating_add(bytes);
        pages
            .of_clients
            .insert(self.client, own.saturating_add(bytes));
        drop(pages);
        Some(PagePlace {
            desk: Arc::clone(&self.desk),
            client: self.client,
            bytes,
        })
    }
}

impl Drop for ListingPlace {
    fn drop(&mut self) {
        self.desk.listings.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for PagePlace {
    fn drop(&mut self) {
        let mut pages = self.desk.pages();
        pages.bytes = pages.bytes.saturating_sub(self.bytes);
        if let Some(own) = pages.of_clients.get_mut(&self.client) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                pages.of_clients.remove(&self.client);
            }
        }
    }
}

impl DirectoryDesk {
    pub(super) fn new(directories: Directories) -> Self {
        Self {
            directories,
            listings: AtomicUsize::new(0),
            pages: Mutex::default(),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(self: &Arc<Self>, limits: &ListingLimits, client: IpAddr) -> Option<ListingPlace> {
        let place = ListingPlace {
            desk: Arc::clone(self),
            client,
            sent_bytes_max: limits.sent_bytes_max,
        };
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
        if !route.is_of_directory {
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
        let Some(place) = self.place(limits, network(asked.remote.ip())) else {
            return Found::Failed(ErrorKind::Busy);
        };
        match Listing::read(tree, node, limits).await {
            Ok(listing) => Found::Directory(Some((listing, place))),
            Err(error) => Found::Failed(error.kind()),
        }
    }
}
