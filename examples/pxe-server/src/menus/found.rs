//! Which menu of pxelinux a client has, by the order in which pxelinux itself looks.

use pxe_menu::{Loader, Location, Paths, Text, pxelinux_names};
use pxe_tree::{NodeKind, TreePath};

use super::asker::Asker;
use super::program::Program;
use super::read::MenuFiles;
use super::wanted::{Language, Wanted};
use crate::config::Config;

/// The folders in which trees have their pxelinux, those of `pxe-server init` first.
const USUAL: [&str; 4] = [
    "bios/lpxelinux.0",
    "efi64/syslinux.efi",
    "efi32/syslinux.efi",
    "lpxelinux.0",
];

/// A menu of pxelinux.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// What names in it mean.
    pub(super) paths: Paths,
    /// The name by which its loader asks for it.
    pub(super) name: Text,
    /// Its path in the tree, without links.
    pub(super) file: TreePath,
}

/// The loaders whose menus are converted: that of the configuration, or those that it boots and
/// those in the usual places.
pub(crate) fn loaders(config: &Config, language: Language) -> Vec<(Loader, String)> {
    let loader = |file: &str| match Program::of_name(file.as_bytes()) {
        Some(Program::Syslinux(Loader::SyslinuxEfi)) => Some(Loader::SyslinuxEfi),
        // What pxelinux.0 cannot load by HTTP, GRUB and iPXE can.
        Some(Program::Syslinux(_)) => Some(Loader::Lpxelinux),
        _ => None,
    };
    if let Some(file) = &config.menu.pxelinux {
        let loader = loader(file).unwrap_or(Loader::Lpxelinux);
        return vec![(loader, file.clone())];
    }
    let boot = config.boot.iter();
    let files = boot.flat_map(|boot| boot.default_file.iter().chain(boot.files.values()));
    let files = files.map(String::as_str).filter(|file| !file.contains('{'));
    let known = files.chain(USUAL);
    let mut loaders: Vec<(Loader, String)> = Vec::new();
    for file in known {
        if let Some(loader) = loader(file)
            && loaders
                .iter()
                .all(|(_, other)| folder(other) != folder(file))
        {
            loaders.push((loader, file.to_owned()));
        }
    }
    if language == Language::Grub {
        // It runs under UEFI nearly always: what is for UEFI comes first.
        loaders.sort_by_key(|(loader, _)| !loader.is_efi());
    }
    loaders
}

fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The menu that pxelinux would show to this client.
///
/// A name of GRUB's that is for this client alone is answered with a menu that is for it alone, or
/// for fewer; GRUB asks for the other names next.
pub(super) async fn find(
    files: &MenuFiles,
    loaders: &[(Loader, String)],
    asker: &Asker,
    wanted: &Wanted,
) -> Option<Found> {
    let names = names(asker, wanted);
    let all = loaders
        .iter()
        .map(|(loader, file)| Paths::new(*loader, file));
    let all: Vec<Paths> = match &asker.path_prefix {
        Some(prefix) => {
            let loader = loaders.first().map_or(Loader::Lpxelinux, |first| first.0);
            vec![Paths::with_prefix(loader, prefix)]
        }
        None => all.collect(),
    };
    for paths in all {
        for (name, may_answer) in &names {
            let Some(file) = file(files, &paths.locate(name)).await else {
                continue;
            };
            if !may_answer {
                return None;
            }
            let name = name.clone();
            return Some(Found { paths, name, file });
        }
    }
    None
}

/// The names that pxelinux tries, and whether a menu of that name answers what is wanted.
fn names(asker: &Asker, wanted: &Wanted) -> Vec<(Text, bool)> {
    let client = wanted.tell(asker.client.clone());
    let config_file = asker.config_file.as_deref();
    let names = pxelinux_names(&client, config_file);
    let Wanted::Grub {
        suffix: Some(suffix),
        ..
    } = wanted
    else {
        return names.into_iter().map(|name| (name, true)).collect();
    };
    let own = Text::from(format!("pxelinux.cfg/{suffix}"));
    let Some(last) = names.iter().position(|name| *name == own) else {
        return vec![(own, true)];
    };
    // Option 209 is told to all: it answers the last name, which all ask for.
    let first = usize::from(config_file.is_some());
    let names = names.into_iter().enumerate();
    names
        .map(|(at, name)| (name, (first..=last).contains(&at)))
        .collect()
}

async fn file(files: &MenuFiles, location: &Location) -> Option<TreePath> {
    let found = files.find(location).await.ok()?;
    // pxelinux takes an empty file for a missing one (`__pxe_searchdir` in core/fs/pxe/pxe.c).
    let is_menu = found.attributes.kind == NodeKind::File && found.attributes.len > 0;
    is_menu.then_some(found.path)
}
