//! Where the folders of a menu's files are found by HTTP, where that serves a part of the tree only.

use std::collections::{BTreeMap, BTreeSet};

use pxe_menu::{Action, Boot, Client, LinuxBoot, Loader, Location, Menu, Paths, Text};
use pxe_tree::{Attributes, NodeKind, TreePath};

use super::address::Address;
use super::read::MenuFiles;
use super::wanted::Language;

/// How many folders of one menu are looked up; files in others are fetched from where all of the
/// tree is.
const FOLDERS_MAX: usize = 1024;

/// How a loader finds a menu's files.
#[derive(Debug)]
pub(super) struct Places {
    /// What stands before their paths.
    pub(super) base: String,
    /// What stands before them instead in these folders.
    pub(super) folders: BTreeMap<Text, String>,
    /// The folders that were looked up, with what they are.
    pub(super) asked: Vec<(Location, Option<Attributes>)>,
    /// The folders, by their paths in the tree, that no listener shows.
    pub(super) unserved: BTreeSet<TreePath>,
}

/// Where a loader finds this menu's files, if anywhere.
pub(super) async fn places(
    files: &MenuFiles,
    menu: &Menu,
    paths: &Paths,
    language: Language,
    addresses: &[Address],
) -> Option<Places> {
    let whole = addresses.iter().position(|address| address.root.is_root());
    // If no listener shows all of the tree, what is outside of the best one is not found.
    let base = addresses.get(whole.unwrap_or(0))?.base.clone();
    let preferred = addresses.get(..whole.unwrap_or(addresses.len()))?;
    let mut places = Places {
        base,
        folders: BTreeMap::new(),
        asked: Vec::new(),
        unserved: BTreeSet::new(),
    };
    if preferred.is_empty() {
        return Some(places);
    }
    for folder in folders(menu, paths) {
        let location = Location::Tftp {
            host: None,
            path: folder.clone(),
        };
        let found = files.find(&location).await.ok();
        let attributes = found.as_ref().map(|found| found.attributes.clone());
        places.asked.push((location, attributes));
        let Some(found) = found else { continue };
        if found.attributes.kind != NodeKind::Directory {
            continue;
        }
        let place = preferred.iter().find_map(|address| {
            let below = address.below(&found.path)?;
            let below = String::from_utf8(below.as_bytes().to_vec()).ok()?;
            let is_plain = below.bytes().all(is_plain);
            is_plain.then_some((&address.base, below))
        });
        if let Some((base, below)) = place {
            let slash = if below.is_empty() { "" } else { "/" };
            let place = match language {
                Language::Syslinux | Language::Ipxe => format!("{base}/{below}{slash}"),
                Language::Grub => format!("{base}{slash}{below}"),
            };
            places.folders.insert(folder, place);
        } else if whole.is_none() {
            places.unserved.insert(found.path);
        }
    }
    Some(places)
}

/// What may stand in a URL as it is.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/.-_~+".contains(&byte)
}

/// The folders of what the entries load, as requests have them: with a slash at their ends, and
/// none before them.
fn folders(menu: &Menu, paths: &Paths) -> BTreeSet<Text> {
    let nobody = Client::new();
    let mut folders = BTreeSet::new();
    for entry in menu.entries() {
        let Action::Run(command) = &entry.action else {
            continue;
        };
        // Programs for the BIOS and for UEFI: a menu may have both.
        for loader in [Loader::Lpxelinux, Loader::SyslinuxEfi] {
            for name in loaded(command.boot(loader, &nobody)) {
                if let Location::Tftp { host: None, path } = paths.locate(&name)
                    && let Some(end) = path.iter().rposition(|byte| *byte == b'/')
                    && folders.len() < FOLDERS_MAX
                {
                    let folder = path.get(..=end).unwrap_or_default();
                    let folder = folder.strip_prefix(b"/").unwrap_or(folder);
                    folders.insert(Text::from(folder));
                }
            }
        }
    }
    folders
}

/// The names of the files that are loaded.
fn loaded(boot: Boot) -> Vec<Text> {
    match boot {
        Boot::Linux(LinuxBoot {
            kernel, initrds, ..
        })
        | Boot::Memdisk(LinuxBoot {
            kernel, initrds, ..
        }) => [vec![kernel], initrds].concat(),
        Boot::Multiboot(modules) => modules.into_iter().map(|module| module.file).collect(),
        Boot::Pxe(program) | Boot::Efi(program) => vec![program.file],
        Boot::Wimboot { program, files } => {
            let files = files.into_iter().map(|(_, file)| file);
            std::iter::once(program).chain(files).collect()
        }
        Boot::BootSector(file) => vec![file],
        _ => Vec::new(),
    }
}
