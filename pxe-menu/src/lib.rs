//! Boot menus: pxelinux, menu.c32 and vesamenu.c32 read as the loaders themselves read them, checked,
//! and said to other loaders.
//!
//! The crate does no input or output and has no dependencies: it is given the content of files. It
//! follows the sources of syslinux 6.04 where its documentation is silent or wrong.
//!
//! # From a file to a menu
//!
//! | step | type | what it holds |
//! |---|---|---|
//! | read | [`Parser`] | asks for files ([`Need`]), is given their content |
//! | written | [`Document`], [`SourceFile`], [`Item`] | each line with its place, and not a byte less |
//! | meant | [`Menu`], [`Screen`], [`Entry`], [`Action`] | what the loader has after reading: scopes, defaults and inheritance resolved |
//! | in other languages | [`GrubParser`], [`BootCfg`], [`Format`] | grub.cfg and boot.cfg, as the same [`Menu`] |
//! | linked | [`MenuReader`], [`LinkedMenu`] | a configuration and all that its entries lead to, as one menu |
//! | started | [`Command`], [`Boot`] | what an entry does in a given [`Loader`], for a given [`Client`] |
//! | asked for | [`Paths`], [`Location`] | the request that a name becomes |
//!
//! ```
//! use pxe_menu::{
//!     Action, Boot, Client, Limits, Loader, Location, Parser, Paths, pxelinux_search_paths, resolve,
//! };
//!
//! let client = Client::new().with_mac([0x52, 0x54, 0, 0x15, 0, 1]);
//! let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
//! let first = &pxelinux_search_paths(&client, &paths, None)[0];
//! assert_eq!(first.to_string(), "bios/pxelinux.cfg/01-52-54-00-15-00-01 (TFTP)");
//!
//! let mut parser = Parser::new("pxelinux.cfg/default", Limits::default());
//! while let Some(need) = parser.poll_need() {
//!     parser.provide(need.id, "DEFAULT menu.c32\nLABEL a\n LINUX vmlinuz\n IPAPPEND 2\n arppend quiet\n");
//! }
//! let resolution = resolve(&parser.finish());
//! let told: Vec<String> = resolution.diagnostics.iter().map(ToString::to_string).collect();
//! assert_eq!(told, ["warning[unknown-directive]: `arppend` is no directive: the line is ignored \
//!                    (help: did you mean APPEND?)"]);
//!
//! let entry = &resolution.menu.screens[0].entries[0];
//! let Action::Run(command) = &entry.action else { panic!("an entry to start") };
//! let Boot::Linux(linux) = command.boot(Loader::Lpxelinux, &client) else { panic!("a kernel") };
//! assert_eq!(linux.arguments, "BOOTIF=01-52-54-00-15-00-01");
//! let asked = Location::Tftp { host: None, path: "bios/vmlinuz".into() };
//! assert_eq!(paths.locate(&linux.kernel), asked);
//! ```
//!
//! # Two readers
//!
//! The loader itself (`ldlinux.c32`) and its menu (`menu.c32`, `vesamenu.c32`) read the same file, one
//! after the other, and not alike ([`Reader`]): to the first a LABEL is one word, to the second a line;
//! TIMEOUT is one number to the first, one of each submenu to the second. [`resolve`](resolve()) reads it twice too, and tells what the one
//! has that a person sees.
//!
//! # GRUB
//!
//! A grub.cfg is a program. [`GrubParser`] runs it as far as that can be done without the machine, and
//! its entries become those of a [`Menu`]. What only the machine can decide is told
//! ([`Code::UndecidedCondition`], [`Code::MachineVariable`]), and so is what GRUB does over the network and
//! nobody expects: a file is never there to `[ -e FILE ]` ([`Code::FileTest`]), and `search` finds the
//! machine's own disks only ([`Code::LocalDevice`]). GRUB's names are absolute; in the menu they are
//! written `::path`, which means the same to all [`Paths`].
//!
//! # To other loaders
//!
//! [`render_ipxe`], [`render_grub`], [`render_syslinux`] (which reads as the same menu), [`render_text`],
//! [`render_json`]. What a language cannot say becomes a comment and a warning.
//!
//! An entry is never easier to reach than its menu meant it to be. A password in plain text is asked for where the
//! language can; an entry whose password it cannot check is left out, and what a timeout would start is
//! never replaced by something else. What each does with ALLOWOPTIONS 0, NOESCAPE and MENU MASTER PASSWD
//! stands with [`render_ipxe`] and [`render_grub`].
//!
//! # Findings
//!
//! [`Diagnostic`]: a code, a severity, a place, a remedy. Those of single lines come with the [`Document`],
//! those of their meaning from [`resolve`](resolve()), those about files and loaders from
//! [`lint`](lint()), and all of them, for one loader or several, from [`check`](check()). [`Code`] has the table.
//! [`report_text`] writes them as rustc does, [`report_json`] and [`report_github`] for programs. A menu may come
//! from a stranger: nothing in it drives the terminal that a report is shown on.
//!
//! # Bounds
//!
//! [`Limits`] bounds what a menu can make its reader hold and do. Reading takes time linear in the
//! bytes of the files; resolving, in the lines acted on; a grub.cfg, in the commands that are run.
//!
//! # What it does not do
//!
//! - It does not read iPXE scripts. Of grub.cfg it does not follow `blscfg`, `eval`, `legacy_*`, the
//!   `extract_entries_*` and kernels other than those of Linux and Multiboot ([`Code::NotFollowed`]).
//! - [`Parser`] and [`resolve`](resolve()) read one configuration; [`Menu::links`] tells the others that it
//!   leads to, and [`MenuReader`] reads them all. Entries of modules that choose by the hardware
//!   (`ifcpu64.c32`, `whichsys.c32`) are not followed.
//! - It knows neither gfxboot nor the other modules of syslinux beyond menu.c32, vesamenu.c32, linux.c32,
//!   mboot.c32 and memdisk.
//! - The ADV, in which MENU SAVE keeps an entry on disks, is not there on the network.
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod fuzzing;

mod boot_cfg;
mod client;
mod colour;
mod command;
mod diagnostic;
mod document;
mod format;
mod grub_cfg;
mod item;
mod json;
mod keyword;
mod limits;
mod link;
mod lint;
mod menu;
mod parser;
mod paths;
mod render;
mod report;
mod resolve;
mod scan;
mod search;
mod source_line;
mod template;
mod text;

pub use crate::boot_cfg::BootCfg;
pub use crate::client::Client;
pub use crate::command::{Boot, Invocation, LinuxBoot, LocalBoot, NotBootable};
pub use crate::diagnostic::{Code, Diagnostic, FileId, Place, Severity};
pub use crate::document::{Document, SourceFile};
pub use crate::format::Format;
pub use crate::grub_cfg::GrubParser;
pub use crate::item::{Item, ItemKind};
pub use crate::keyword::{ImageType, Keyword, MenuWord, Message, Parameter, Reader, Word};
pub use crate::limits::Limits;
pub use crate::link::{FileNeed, LinkedMenu, MenuReader};
pub use crate::lint::{FileState, Files, check, lint};
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
pub use crate::report::{
    Paint, REPORT_JSON_VERSION, ReportFile, Tally, report_github, report_json, report_text,
};
pub use crate::resolve::{EntryLines, Resolution, Setting, resolve};
pub use crate::search::{
    grub_search_paths, grub_signed_search_paths, ipxe_search_paths, pxelinux_names,
    pxelinux_search_paths,
};
pub use crate::template::{
    TemplateError, expand, expand_grub, template_errors, template_errors_grub,
};
pub use crate::text::Text;

/// The README's example is compiled and run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
