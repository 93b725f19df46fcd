//! The files that a check looks for, in the tree.

use std::cell::RefCell;
use std::collections::BTreeMap;

use pxe_menu::{FileState, Files, Text};
use pxe_tree::{ErrorKind, NodeKind};

use super::site::{Site, tftp};
use crate::menus::read::Unread;

/// What is read of a module or a boot program, to know its kind.
const HEAD_BYTES: usize = 4096;

/// How many files are remembered.
const KNOWN_MAX: usize = 100_000;

/// A tree, as [`lint`](pxe_menu::lint()) asks for it.
pub(super) struct TreeFiles<'a> {
    site: &'a Site,
    /// What there is. Menus of many machines name the same files.
    known: RefCell<BTreeMap<Vec<u8>, FileState>>,
    /// The directory listed last: what is missing is mostly missing where the last one was.
    listed: RefCell<Option<(Vec<u8>, Vec<Text>)>>,
}

impl<'a> TreeFiles<'a> {
    pub(super) fn new(site: &'a Site) -> Self {
        Self {
            site,
            known: RefCell::default(),
            listed: RefCell::new(None),
        }
    }

    pub(super) fn site(&self) -> &'a Site {
        self.site
    }

    /// What a client of the server would get. A file is opened, since only that tells whether it may be.
    fn look(&self, path: &[u8]) -> FileState {
        let location = tftp(path);
        let found = match self.site.wait(self.site.files.find(&location)) {
            Ok(found) => found,
            Err(why) => return denied(&why),
        };
        match found.attributes.kind {
            NodeKind::Directory => FileState::Folder,
            NodeKind::File => match self.site.wait(self.site.files.head(&location, 1)) {
                Ok(_) => FileState::File,
                Err(why) => denied(&why),
            },
            _ => FileState::Missing,
        }
    }
}

/// What stands in the way of reading it.
fn denied(why: &Unread) -> FileState {
    match why {
        Unread::Tree(error) if error.kind() == ErrorKind::PermissionDenied => FileState::Unreadable,
        _ => FileState::Missing,
    }
}

impl Files for TreeFiles<'_> {
    fn is_file(&self, path: &[u8]) -> bool {
        self.state(path) == FileState::File
    }

    fn state(&self, path: &[u8]) -> FileState {
        if let Some(known) = self.known.borrow().get(path) {
            return *known;
        }
        let state = self.look(path);
        let mut known = self.known.borrow_mut();
        if known.len() < KNOWN_MAX {
            known.insert(path.to_vec(), state);
        }
        state
    }

    fn names(&self, folder: &[u8]) -> Vec<Text> {
        let mut listed = self.listed.borrow_mut();
        if let Some((last, names)) = &*listed
            && last == folder
        {
            return names.clone();
        }
        let found = self.site.wait(self.site.files.names(&tftp(folder)));
        let names = found.unwrap_or_default().into_iter();
        let names: Vec<Text> = names.map(|(name, _)| name).collect();
        *listed = Some((folder.to_vec(), names.clone()));
        names
    }

    fn head(&self, path: &[u8]) -> Option<Vec<u8>> {
        let location = tftp(path);
        let head = self.site.wait(self.site.files.head(&location, HEAD_BYTES));
        head.ok().map(|head| head.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever may read everything, as root may, sees no such file: the tree's error stands for it.
    #[test]
    fn what_may_not_be_read_is_not_told_to_be_missing() {
        let of = |kind: ErrorKind| denied(&Unread::Tree(kind.into()));
        assert_eq!(of(ErrorKind::PermissionDenied), FileState::Unreadable);
        assert_eq!(of(ErrorKind::NotFound), FileState::Missing);
        assert_eq!(denied(&Unread::Elsewhere), FileState::Missing);
    }
}
