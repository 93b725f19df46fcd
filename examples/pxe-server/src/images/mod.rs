//! Images of systems (ISO files) and how each is booted from the network.
//!
//! A folder of images is served in place: [`Images`] keeps a [`Library`] in step with it, and
//! [`ImagesTree`] shows its images to every protocol. `keeper` looks at the folder (`watch` says
//! when), `opening` reads a file of it, on a thread of `workers` as its disk may hang, `events` tells
//! of it, and `shelf` is what was found under the names that are served.
//!
//! All that is known about distributions is data: `profiles.toml`, and files of the same format by
//! the administrator:
//!
//! 1. [`Profiles`] are read, from the shipped file and others;
//! 2. `Questions` of theirs are asked of an image (`inquiry`), which gives its `Contents`;
//! 3. `recognise` finds the profile that fits, with the files and the values that it captured;
//! 4. [`CommandLine`] fills in where this server has the image.

mod command_line;
mod contents;
mod events;
#[cfg(test)]
mod hanging_tests;
mod inquiry;
mod keeper;
mod library;
mod menu;
#[cfg(test)]
mod menu_tests;
mod offer;
mod opening;
mod own_menu;
mod profile;
mod read;
mod recognise;
mod serving;
#[cfg(test)]
mod serving_tests;
mod shelf;
mod template;
#[cfg(test)]
mod tests;
mod tree;
mod watch;
mod workers;
mod written;

pub(crate) use command_line::{CommandLine, Served, Transport};
#[cfg(test)]
pub(crate) use keeper::Keeper;
pub(crate) use keeper::{IMAGES_MAX, RETIRED_MAX, Settings as ImagesSettings};
pub(crate) use library::{ImageState, Library, LibraryImage, Offered};
pub(crate) use menu::{Listed, add_submenu, images_entries, images_menu, memory};
pub(crate) use offer::{NO_MEMDISK, NO_WIMBOOT, Shelves, Station};
pub(crate) use own_menu::OwnEntry;
pub(crate) use profile::{Architecture, Evidence, Firmware, ImagePath, Location, Profiles};
pub(crate) use recognise::{Entry, Recognised, Start, why_not};
pub(crate) use serving::Images;
pub(crate) use shelf::Shelf;
pub(crate) use tree::ImagesTree;
