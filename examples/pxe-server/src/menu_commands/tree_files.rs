//! The files that a check looks for, in the tree.

use std::cell::RefCell;
use std::collections::BTreeMap;

use pxe_menu::{Files, Text};

use super::site::{Site, tftp};

/// What is read of a module or a boot program, to know its kind.
const HEAD_BYTES: usize = 4096;

/// How many files are remembered.
const KNOWN_MAX: usize = 100_000;

/// A tree, as [`lint`](pxe_menu::lint()) asks for it.
pub(super) struct TreeFiles<'a> {
    site: &'a Site,
    /// Whether there is such a file. Menus of many machines name the same ones.
    known: RefCell<BTreeMap<Vec<u8>, bool>>,
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
}

impl Files for TreeFiles<'_> {
    fn is_file(&self, path: &[u8]) -> bool {
        if let Some(known) = self.known.borrow().get(path) {
            return *known;
        }
        let is_file = self.site.wait(self.site.files.is_file(&tftp(path)));
        let mut known = self.known.borrow_mut();
        if known.len() < KNOWN_MAX {
            known.insert(path.to_vec(), is_file);
        }
        is_file
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
