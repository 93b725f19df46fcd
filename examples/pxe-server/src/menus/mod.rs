//! Boot menus of the tree that is served.

pub(crate) mod program;
pub(crate) mod read;
