//! The inside of an ISO image as a [`Tree`](pxe_tree::Tree): read in place, never unpacked.
//!
//! An image is any [`Blob`](pxe_tree::Blob): a file of a directory, memory, a file in another
//! image. [`Image::open`] reads its volume descriptors, some KiB; directories are read when they
//! are asked for, and some of them remembered ([`Limits`]). Files are parts of the image's blob:
//! their bytes are read where they lie, and can be sent without a copy from there
//! ([`Direct`](pxe_tree::Direct)).
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use pxe_iso::{Image, ImageError};
//! use pxe_tree::{Cookie, DirTree, Name, Tree};
//!
//! # let dir = tempfile::tempdir()?;
//! # std::fs::write(dir.path().join("debian.iso"), "not really")?;
//! # let images = dir.path();
//! let images = DirTree::new(images)?;
//! let found = images.lookup(images.root(), Name::new("debian.iso")?).await?;
//! match Image::open(images.open(found.node).await?).await {
//!     Ok(tree) => {
//!         println!("{}: {}", tree.volume_id(), tree.format_name());
//!         for entry in tree.read_dir(tree.root(), Cookie::START, 1000).await?.entries {
//!             println!("{}", entry.name);
//!         }
//!     }
//!     Err(ImageError::NotAnImage) => println!("something else"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(()) }
//! ```
//!
//! # What it reads
//!
//! ISO 9660 (ECMA-119) with Rock Ridge, Joliet or plain names; files of several extents; El
//! Torito's entries as files of a directory `[BOOT]`; and UDF. Hybrid images, which have a
//! partition table before the volume descriptors, are read as any other.
//!
//! # Hostile images
//!
//! Whatever an image holds, the answer is an [`ImageError`], or an entry less; never a panic or
//! endless work. A damaged record hides itself, not its directory. Every bound is in [`Limits`].
//! A [`NodeId`](pxe_tree::NodeId) is the place of a record: each look reads and checks it again.
//!
//! A directory of ISO 9660 may be named in several places, and so in one below it: whoever walks an
//! image that nobody vouches for counts the levels. Of UDF, which has each directory name its parent,
//! only the entry in that parent is shown.
//!
//! # What it does not do
//!
//! Nothing is written. Interleaved files, sparse files of Rock Ridge (SF) and zisofs are listed,
//! and refused by name when they are opened. Sessions but the first, High Sierra, Apple's
//! extensions and the long names of ISO 9660:1999 are not looked at. Names that no
//! [`Name`](pxe_tree::Name) can be are not shown. Each name of a file with several (hard links) is
//! a node of its own.
#![forbid(unsafe_code)]

mod blob;
mod directory_cache;
mod error;
mod extent;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod image;
#[cfg(test)]
mod image_tests;
mod iso9660;
mod limits;
mod reader;
mod tree;
mod udf;

pub use crate::error::{Damage, ImageError, Unsupported};
pub use crate::image::{Image, ImageOptions, NameSource};
pub use crate::limits::Limits;
pub use crate::tree::ImageTree;

/// The README's example is compiled with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
