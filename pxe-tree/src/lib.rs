//! Files to serve over the network: trees, blobs, sources, one path resolver, one error table.
#![deny(unsafe_code)]

mod blob;
mod error;
mod name;
mod node;
mod path;
mod source;
mod tree;

pub use crate::blob::{Blob, Direct};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::name::{Name, NameBuf};
pub use crate::node::{
    Attributes, Cookie, DirEntry, DirPage, NodeId, NodeKey, NodeKind, Timestamp,
};
pub use crate::path::TreePath;
pub use crate::source::{FileRequest, Opened, Protocol, Source, SourceFn, source_fn};
pub use crate::tree::Tree;
