//! The inside of an ISO image as a [`Tree`](pxe_tree::Tree): read in place, never unpacked.
#![forbid(unsafe_code)]

mod blob;
mod directory_cache;
mod error;
mod extent;
mod format;
pub mod fuzzing;
mod image;
mod iso9660;
mod limits;
mod reader;
mod tree;
mod udf;

pub use crate::error::{Damage, ImageError, Unsupported};
pub use crate::image::{Image, ImageOptions, NameSource};
pub use crate::limits::Limits;
pub use crate::tree::ImageTree;
