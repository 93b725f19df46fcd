//! What every [`Tree`] has to do, as checks to run on one.
//!
//! Whoever implements `Tree` describes in a [`Fixture`] what their tree holds, and calls
//! [`check`] with a function that makes it. The checks need no particular runtime. They panic,
//! with the path at which something is wrong, so they are for tests only.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use pxe_tree::conformance::{Fixture, check};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let fixture = Fixture::new().file("os/linux", "kernel").link("bios/os", "../os");
//! check(&fixture, async || Arc::new(fixture.mem_tree()) as _).await;
//! # }
//! ```

mod content;
mod keys;
mod listing;
mod names;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Attributes, ErrorKind, MemEntry, MemTree, NodeKind, Result, Tree, TreePath};

pub use self::content::check_content;
pub use self::keys::{check_keys, check_strange_keys};
pub use self::listing::{check_large_listing, check_listings};
pub use self::names::{check_names, check_refusals, check_surroundings};
pub use self::writing::check_writable;

/// What a tree under test holds.
#[derive(Debug, Clone, Default)]
pub struct Fixture {
    entries: BTreeMap<TreePath, Expected>,
}

/// What is at a path of a [`Fixture`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// A regular file of this content.
    File(Bytes),
    /// A directory.
    Directory,
    /// A symbolic link with this target.
    Link(Bytes),
    /// A device, pipe or socket.
    Other(NodeKind),
}

impl Expected {
    /// What sort of node it is.
    pub const fn kind(&self) -> NodeKind {
        match self {
            Self::File(_) => NodeKind::File,
            Self::Directory => NodeKind::Directory,
            Self::Link(_) => NodeKind::Link,
            Self::Other(kind) => *kind,
        }
    }
}

impl Fixture {
    /// Nothing but the root.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and this file; directories above it come by themselves.
    ///
    /// # Panics
    /// If the path is none.
    #[must_use]
    pub fn file(self, path: impl AsRef<[u8]>, content: impl Into<Bytes>) -> Self {
        self.with(path, Expected::File(content.into()))
    }

    /// The same, and this directory.
    ///
    /// # Panics
    /// If the path is none.
    #[must_use]
    pub fn directory(self, path: impl AsRef<[u8]>) -> Self {
        self.with(path, Expected::Directory)
    }

    /// The same, and this symbolic link.
    ///
    /// # Panics
    /// If the path is none.
    #[must_use]
    pub fn link(self, path: impl AsRef<[u8]>, target: impl Into<Bytes>) -> Self {
        self.with(path, Expected::Link(target.into()))
    }

    /// The same, and this.
    ///
    /// # Panics
    /// If the path is none.
    #[must_use]
    pub fn with(mut self, path: impl AsRef<[u8]>, expected: Expected) -> Self {
        let path = TreePath::parse(path.as_ref()).expect("a valid path in a fixture");
        let mut above = path.parent();
        while let Some(parent) = above {
            above = parent.parent();
            if !parent.is_root() {
                self.entries.entry(parent).or_insert(Expected::Directory);
            }
        }
        self.entries.insert(path, expected);
        self
    }

    /// Names, sizes, depths and links that found mistakes elsewhere: for trees that can hold
    /// anything.
    pub fn standard() -> Self {
        let pattern = |len: usize| -> Bytes {
            (0..len)
                .map(|place| (place * 31 + place / 251) as u8)
                .collect()
        };
        let mut fixture = Self::new()
            .file("empty", "")
            .file("one", "1")
            .file("sizes/511", pattern(511))
            .file("sizes/512", pattern(512))
            .file("sizes/4096", pattern(4096))
            .file("sizes/4097", pattern(4097))
            .file("sizes/large", pattern(300_001))
            .file("names/with space", "a")
            .file("names/percent%41", "b")
            .file("names/back\\slash", "c")
            .file("names/-dash", "d")
            .file("names/.hidden", "e")
            .file("names/...", "f")
            .file("names/*", "g")
            .file("names/new\nline", "h")
            .file("names/gr\u{f6}\u{df}e", "i")
            .file(b"names/\xff\xfe\x80raw", "j")
            .file(format!("names/{}", "n".repeat(255)), "k")
            .file("names/Case", "upper")
            .file("names/case", "lower")
            .directory("directories/empty")
            .file(format!("directories/{}file", "deep/".repeat(17)), "deep")
            .link("links/file", "../one")
            .link("links/absolute", "/sizes/512")
            .link("links/directory", "../directories")
            .link("links/dangling", "nowhere")
            .link("links/self", "self")
            .link("links/outside", "../../../../../etc/passwd")
            .link("links/raw", &b"\xff\xfe"[..])
            .link("links/long", "long/".repeat(200));
        for number in 0..100 {
            fixture = fixture.file(format!("many/file{number}"), number.to_string());
        }
        fixture
    }

    /// All paths but the root, each after those above it.
    pub fn entries(&self) -> impl Iterator<Item = (&TreePath, &Expected)> {
        self.entries.iter()
    }

    /// The same content as a tree in memory.
    ///
    /// # Panics
    /// If the fixture contradicts itself.
    pub fn mem_tree(&self) -> MemTree {
        let tree = MemTree::new();
        for (path, expected) in self.entries() {
            let entry = match expected {
                Expected::File(content) => MemEntry::file(content.clone()),
                Expected::Directory => MemEntry::directory(),
                Expected::Link(target) => MemEntry::link(target.clone()),
                Expected::Other(kind) => MemEntry::special(*kind, (0, 0)).expect("a special kind"),
            };
            tree.insert(path, entry).expect("a sound fixture");
        }
        tree
    }

    /// All directories, the root too.
    fn directories(&self) -> impl Iterator<Item = TreePath> {
        let below = self
            .entries()
            .filter(|(_, expected)| **expected == Expected::Directory)
            .map(|(path, _)| path.clone());
        std::iter::once(TreePath::ROOT).chain(below)
    }

    fn children(&self, dir: &TreePath) -> impl Iterator<Item = (&TreePath, &Expected)> {
        self.entries()
            .filter(move |(path, _)| path.parent().as_ref() == Some(dir))
    }
}

/// Runs every check on a tree.
///
/// `build` makes the tree; when it is called again, after the first tree was dropped, it makes
/// one with the same content, as a server that is started again does.
///
/// # Panics
/// If the tree does not do what [`Tree`] and [`Blob`](crate::Blob) say.
pub async fn check(fixture: &Fixture, build: impl AsyncFn() -> Arc<dyn Tree>) {
    {
        let tree = build().await;
        check_names(fixture, &*tree).await;
        check_refusals(fixture, &*tree).await;
        check_surroundings(fixture, &*tree).await;
        check_listings(fixture, &*tree).await;
        check_content(fixture, &*tree).await;
        check_strange_keys(fixture, &*tree).await;
    }
    check_keys(fixture, build).await;
}

/// Walks by names alone.
async fn reach(tree: &dyn Tree, path: &TreePath) -> Attributes {
    let mut here = attributes(tree, tree.root(), path).await;
    for name in path.names() {
        here = match tree.lookup(here.node, name).await {
            Ok(found) => found,
            Err(error) => panic!("{path}: lookup of {name}: {error}"),
        };
    }
    here
}

async fn attributes(tree: &dyn Tree, node: crate::NodeId, path: &TreePath) -> Attributes {
    match tree.attributes(node).await {
        Ok(attributes) => attributes,
        Err(error) => panic!("{path}: attributes: {error}"),
    }
}

/// Reading moves `atime`, even while a test looks on.
fn settled(attributes: &Attributes) -> Attributes {
    Attributes {
        accessed: attributes.modified,
        ..attributes.clone()
    }
}

fn refused<T: std::fmt::Debug>(done: Result<T>, expected: ErrorKind, path: &TreePath, what: &str) {
    match done {
        Err(error) => assert_eq!(error.kind(), expected, "{path}: {what}"),
        Ok(done) => panic!("{path}: {what} gave {done:?} instead of {expected:?}"),
    }
}
