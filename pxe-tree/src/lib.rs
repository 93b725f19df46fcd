//! Files to serve over the network: trees, blobs, sources, one path resolver, one error table.
#![deny(unsafe_code)]

mod blob;
mod case_fold;
pub mod conformance;
#[cfg(feature = "dir")]
mod dir_tree;
mod error;
mod id_table;
mod listing_cache;
mod mem_blob;
mod mem_tree;
mod name;
mod name_key;
mod node;
mod overlay;
mod path;
mod resolve;
mod source;
mod stable_hash;
mod subtree;
mod tree;
mod tree_source;

pub use crate::blob::{Blob, Direct};
pub use crate::case_fold::CaseFold;
#[cfg(feature = "dir")]
pub use crate::dir_tree::{DirKeys, DirOptions, DirTree};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::mem_blob::MemBlob;
pub use crate::mem_tree::{MemEntry, MemLimits, MemTree};
pub use crate::name::{Name, NameBuf};
pub use crate::node::{
    Attributes, Cookie, DirEntry, DirPage, NodeId, NodeKey, NodeKind, Timestamp,
};
pub use crate::overlay::Overlay;
pub use crate::path::TreePath;
pub use crate::resolve::{LINKS_MAX, Resolved, Resolver, resolve};
pub use crate::source::{FileRequest, Opened, Protocol, Source, SourceFn, source_fn};
pub use crate::subtree::Subtree;
pub use crate::tree::Tree;
pub use crate::tree_source::TreeSource;
