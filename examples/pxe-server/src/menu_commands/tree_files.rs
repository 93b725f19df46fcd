//! The files that a check looks for, in the tree.

use std::cell::RefCell;

use pxe_menu::{Files, Text};

use super::site::{Site, tftp};

/// What is read of a module or a boot program, to know its kind.
const HEAD_BYTES: usize = 4096;

/// A tree, as [`lint`](pxe_menu::lint()) asks for it.
pub(super) struct TreeFiles<'a> {
    site: &'a Site,
    /// The directory listed last: what is missing is mostly missing where the last one was.
    listed: RefCell<Option<(Vec<u8>, Vec<Text>)>>,
}

impl<'a> TreeFiles<'a> {
    pub(super) fn new(site: &'a Site) -> Self {
        Self {
            site,
            listed: RefCell::new(None),
        }
    }
}

impl Files for TreeFiles<'_> {
    fn is_file(&self, path: &[u8]) -> bool {
        self.site.wait(self.site.files.is_file(&tftp(path)))
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
