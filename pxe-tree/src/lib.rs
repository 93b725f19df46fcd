//! Files to serve over the network: trees, blobs, sources, one path resolver, one error table.
//!
//! A network boot server serves the same files by TFTP, HTTP and NFS: a directory, the inside of
//! an image, generated files. This crate is what lies between those protocols and the files:
//!
//! - a [`Tree`] is a namespace of nodes: [`DirTree`] (a directory of this machine), [`MemTree`]
//!   (in memory), [`Overlay`] (one over the other), [`Subtree`] (one mounted in another),
//!   [`CaseFold`] (names in any case);
//! - a [`WriteTree`] is a tree that can be changed, too, which is seen in its type;
//! - a [`Blob`] is an open file, shared by any number of readers, that says when it was edited
//!   under them, and where its bytes lie for those who send without copying ([`Direct`]);
//! - a [`Source`] answers a client's request for a path: [`TreeSource`] from a tree,
//!   [`source_fn`] from a closure;
//! - [`RewriteRules`] lead from the path that was asked for to the one that is served, before any
//!   other source ([`RewriteSource`]);
//! - [`resolve()`] walks a [`TreePath`] over any tree, and is the only code that follows links;
//! - an [`ErrorKind`] says what a peer is told in TFTP, HTTP and NFS.
//!
//! # Example
//!
//! Generated files over a directory, for TFTP:
//!
//! ```
//! # #[cfg(not(feature = "dir"))] fn main() {}
//! # #[cfg(feature = "dir")] #[tokio::main(flavor = "current_thread")] async fn main() -> pxe_tree::Result<()> {
//! use std::sync::Arc;
//! use pxe_tree::{
//!     DirTree, FileRequest, MemTree, Opened, Overlay, Protocol, Source, TreePath, TreeSource,
//! };
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # std::fs::create_dir(dir.path().join("bios")).unwrap();
//! # std::fs::write(dir.path().join("bios/lpxelinux.0"), "...").unwrap();
//! # let srv_tftp = dir.path();
//! let made = MemTree::new();
//! made.insert_file("bios/pxelinux.cfg/default", "default install\n")?;
//! let tree = Overlay::new([Arc::new(made) as _, Arc::new(DirTree::new(srv_tftp)?) as _])?;
//! let source = TreeSource::new(Arc::new(tree)).with_root_path("/srv/tftp".parse()?);
//!
//! let path = TreePath::from_tftp(b"/srv/tftp/bios\\lpxelinux.0")?;
//! let client = ([192, 168, 150, 30], 2070).into();
//! match source.open(&FileRequest::new(Protocol::Tftp, client, &path)).await {
//!     Ok(Opened::File(blob)) => assert_eq!(blob.read_at(0, 512).await?, "..."),
//!     Ok(_) => panic!("a directory"),
//!     Err(error) => panic!("ERROR {}: {error}", error.kind().tftp_code()),
//! }
//! # Ok(()) }
//! ```
//!
//! # Keys
//!
//! A [`NodeId`] means something in this process alone. A [`NodeKey`] survives a restart, so that
//! NFS clients do not notice one. Which changes a key survives is for each tree to say.
//!
//! # Trees of your own
//!
//! Implement [`Tree`] and run [`conformance::check`] on it.
//!
//! # Features
//!
//! `dir` (on by default): [`DirTree`], for Linux, with rustix and tokio's blocking pool. Without
//! it the crate knows neither runtime nor file system. Any Unix will do then.
//!
//! `regex`: regular expressions in [`RewriteRules`].
//!
//! # What it does not do
//!
//! It checks no credentials (a tree shows modes and owners; who may see or change what is for the
//! protocol to decide), and speaks no protocol. Nothing is written but by [`WriteTree`], which
//! [`DirTree`] alone implements.
#![deny(unsafe_code)]

mod blob;
mod case_fold;
pub mod conformance;
#[cfg(feature = "dir")]
mod dir_tree;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod id_table;
mod listing_cache;
mod mem_blob;
mod mem_entry;
mod mem_tree;
mod name;
mod name_key;
mod node;
mod overlay;
mod path;
mod resolve;
mod rewrite;
mod source;
mod stable_hash;
mod subtree;
mod tree;
mod tree_source;
mod turns;
mod write_tree;

pub use crate::blob::{Blob, Direct};
pub use crate::case_fold::CaseFold;
#[cfg(feature = "dir")]
pub use crate::dir_tree::{DirKeys, DirOptions, DirTree};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::mem_blob::MemBlob;
pub use crate::mem_entry::{MemEntry, MemLimits};
pub use crate::mem_tree::MemTree;
pub use crate::name::{Name, NameBuf};
pub use crate::node::{
    Attributes, Capacity, Cookie, DirEntry, DirPage, ListedEntry, ListedPage, NodeId, NodeKey,
    NodeKind, Timestamp,
};
pub use crate::overlay::Overlay;
pub use crate::path::TreePath;
pub use crate::resolve::{LINKS_MAX, Resolved, Resolver, resolve};
pub use crate::rewrite::{
    Case, PathPattern, PatternError, REWRITE_RULES_MAX, Replacement, RewriteAction, RewriteCourse,
    RewriteLookup, RewriteRule, RewriteRules, RewriteSource, RewriteThen, RewriteValues,
    RewriteWhen, Rewritten,
};
pub use crate::source::{FileRequest, Opened, Protocol, Source, SourceFn, source_fn};
pub use crate::subtree::Subtree;
pub use crate::tree::Tree;
pub use crate::tree_source::TreeSource;
pub use crate::turns::{Maker, Turn, Turns};
pub use crate::write_tree::{Creation, SetAttributes, SetTime, Stability, WriteTree};

/// The README's example is compiled and run with the other documentation tests.
#[cfg(all(doctest, feature = "dir"))]
#[doc = include_str!("../README.md")]
struct Readme;
