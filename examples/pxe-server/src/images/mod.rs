//! Images of systems (ISO files) and how each is booted from the network.
//!
//! All that is known about distributions is data: `profiles.toml`, and files of the same format by
//! the administrator. What is here reads that data and applies it; it opens no image itself:
//!
//! 1. [`Profiles`] are read, from the shipped file and others;
//! 2. [`Questions`] of theirs are asked of an image, by whoever can read it, which gives
//!    [`Contents`];
//! 3. [`recognise()`] finds the profile that fits, with the files and the values that it captured;
//! 4. [`CommandLine`] fills in where this server has the image.
#![allow(dead_code, unused_imports, reason = "nothing serves images yet")]

mod command_line;
mod contents;
mod library;
mod menu;
mod offer;
mod own_menu;
mod profile;
mod read;
mod recognise;
mod template;
#[cfg(test)]
mod tests;
mod written;

pub(crate) use command_line::{CommandLine, Served, Transport};
pub(crate) use contents::{Contents, Questions};
pub(crate) use library::{ImageState, Library, LibraryImage, Offered, Reason, Shelf};
pub(crate) use menu::{Listed, add_submenu, images_menu};
pub(crate) use offer::{Shelves, Station};
pub(crate) use own_menu::own_menu;
pub(crate) use profile::{Architecture, Boot, Evidence, Firmware, Method, Profile, Profiles};
pub(crate) use recognise::{Entry, Recognised, Start, recognise};
