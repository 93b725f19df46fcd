//! Boot menus, read as the boot loaders read them.
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod fuzzing;

mod client;
mod colour;
mod command;
mod diagnostic;
mod document;
mod item;
mod keyword;
mod limits;
mod lint;
mod menu;
mod parser;
mod paths;
mod render;
mod resolve;
mod scan;
mod search;
mod text;

pub use crate::client::Client;
pub use crate::command::{Boot, Invocation, LinuxBoot, LocalBoot, NotBootable};
pub use crate::diagnostic::{Code, Diagnostic, FileId, Place, Severity};
pub use crate::document::{Document, SourceFile};
pub use crate::item::{Item, ItemKind};
pub use crate::keyword::{ImageType, Keyword, MenuWord, Message, Parameter, Reader, Word};
pub use crate::limits::Limits;
pub use crate::lint::{Files, lint};
pub use crate::menu::{
    Action, Colour, Command, Core, Entry, FKeyHelp, Link, Menu, Screen, ScreenId, Serial, Shadow,
    Ui,
};
pub use crate::parser::{Need, NeedKind, Parser};
pub use crate::paths::{Loader, Location, Paths};
pub use crate::render::{
    GrubOptions, IpxeOptions, JSON_VERSION, Rendered, render_grub, render_ipxe, render_json,
    render_syslinux, render_text,
};
pub use crate::resolve::{Resolution, resolve};
pub use crate::search::{
    grub_search_paths, ipxe_search_paths, pxelinux_names, pxelinux_search_paths,
};
pub use crate::text::Text;
