//! `pxe-server init DIR`: lays out a boot tree from the loaders installed on this machine.
//!
//! The layout is that of most tutorials: a folder per firmware, one menu for all of them, and
//! links by which each loader finds the menu and the systems beside its own folder.

mod loaders;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::loaders::{Catalogue, Family, System, targets};
use crate::fact::printable;
use crate::folder::{Entry, Folder, FolderError, Put};

/// The first menu, for PXELINUX and syslinux.efi; the server makes those of GRUB and iPXE of it.
const MENU: &str = include_str!("default.menu");
/// A configuration for `serve`; `@DHCP@` stands for who gives the addresses, `@DIR@` for the tree,
/// `@FILES@` for its boot files.
const CONFIG: &str = include_str!("server.toml");

/// The largest loader known, GRUB's, has 4 MiB; a larger file is not one.
const LOADER_BYTES_MAX: u64 = 64 << 20;

/// The command line of `init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory to lay the tree out in; made if it is not there
    dir: PathBuf,
    /// Replace loaders that differ from the installed ones (a menu is never replaced)
    #[arg(long)]
    force: bool,
    /// Take the loaders from under this directory instead of from the running system
    #[arg(long, value_name = "ROOT", default_value = "/")]
    from: PathBuf,
    /// Who gives the addresses in that configuration: this server, or another one that is there
    /// already and is left as it is (proxy)
    #[arg(long, value_name = "MODE", default_value = "authoritative")]
    mode: Addresses,
    /// Write a configuration for `serve` to this file, too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Who gives the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Addresses {
    /// This server.
    Authoritative,
    /// Another one: this server only adds what to boot.
    Proxy,
}

impl Addresses {
    /// `[dhcp]` of the configuration.
    const fn config(self) -> &'static str {
        match self {
            Self::Authoritative => include_str!("authoritative.toml"),
            Self::Proxy => include_str!("proxy.toml"),
        }
    }
}

/// Runs `init`. Successful if at least one kind of firmware can boot from the tree.
pub(crate) fn run(args: &Args) -> ExitCode {
    let mut out = io::stdout().lock();
    match lay_out(args, &mut out) {
        Ok(outcome) if outcome.complete.is_empty() => {
            eprintln!(
                "error: no loader family is complete; install what is missing, and run this again"
            );
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
        // Nobody reads on (`init … | head`): there is no one to tell.
        Err(Error::Report(broken)) if broken.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the tree could not be laid out.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("report could not be written: {0}")]
    Report(#[from] io::Error),
}

/// What there is in the end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Names of families that have all they need.
    complete: Vec<String>,
    /// Names of those that lack something they need.
    incomplete: Vec<String>,
}

/// Lays the tree out and reports each step as a line.
fn lay_out(args: &Args, out: &mut dyn Write) -> Result<Outcome, Error> {
    let catalogue = Catalogue::built_in();
    let (systems, own_known) = catalogue.systems_for(&args.from);
    let tree = Folder::open_or_make(&args.dir)?;
    let mut tree = Layout {
        tree,
        force: args.force,
        out,
    };
    tree.menu("pxelinux.cfg", "default", MENU)?;
    tree.tree.subfolder("os")?;

    let mut outcome = Outcome::default();
    let mut missing = Missing::default();
    for family in &catalogue.families {
        // All of a family comes from one system: ldlinux.c32 refuses another version's PXELINUX.
        let Some(system) = source_of(family, &systems, &args.from) else {
            continue;
        };
        let lacking = tree.family(family, system, &args.from)?;
        let complete = lacking.iter().all(|(_, needed)| !needed);
        let names = if complete {
            &mut outcome.complete
        } else {
            &mut outcome.incomplete
        };
        names.push(family.name.clone());
        // What this very system does not have, others have: name their package.
        missing.note(&lacking, system, &systems);
    }
    missing.report(&mut tree.out, own_known)?;
    for family in &catalogue.families {
        let state = if outcome.complete.contains(&family.name) {
            "complete"
        } else {
            "incomplete"
        };
        writeln!(tree.out, "{state}: {} ({})", family.name, family.what)?;
    }
    let shown = std::path::absolute(&args.dir).unwrap_or_else(|_| args.dir.clone());
    let files = boot_files(&catalogue, &outcome.complete);
    let config = CONFIG
        .replace("@DHCP@\n", args.mode.config())
        .replace("@DIR@", &toml_string(&shown))
        .replace("@MOUNT@", &printable(&shown.to_string_lossy()))
        .replace("@FILES@", &files);
    if let Some(file) = &args.config {
        tree.config(file, &config)?;
    }
    if !outcome.complete.is_empty() {
        writeln!(
            tree.out,
            "\nA configuration to start from (pxe-server serve FILE):\n\n{config}"
        )?;
    }
    Ok(outcome)
}

/// The boot file of each architecture, as the inside of a TOML table. Of two families for one
/// architecture the first is taken.
fn boot_files(catalogue: &Catalogue, complete: &[String]) -> String {
    let mut files: BTreeMap<&str, &str> = BTreeMap::new();
    for family in catalogue
        .families
        .iter()
        .filter(|family| complete.contains(&family.name))
    {
        if let (Some(arch), Some(file)) = (&family.boots, family.needs.first()) {
            files.entry(arch).or_insert(file);
        }
    }
    let pairs: Vec<String> = files
        .iter()
        .map(|(arch, file)| format!("{arch} = {}", toml_string(Path::new(file))))
        .collect();
    pairs.join(", ")
}

/// The system that a family is taken from: the first that has all the family needs, else the one
/// that has most of it. The running system comes first, so it also wins where nobody has anything.
fn source_of<'a>(family: &Family, systems: &[&'a System], root: &Path) -> Option<&'a System> {
    let found = |system: &System| {
        let needs = family.needs.iter();
        needs
            .filter(|target| system.find(root, target).is_some())
            .count()
    };
    let mut best: Option<(usize, &System)> = None;
    for system in systems {
        let count = found(system);
        if best.is_none_or(|(most, _)| count > most) {
            best = Some((count, system));
        }
    }
    best.map(|(_, system)| system)
}

/// The tree on its way.
struct Layout<'a> {
    tree: Folder,
    force: bool,
    out: &'a mut dyn Write,
}

impl Layout<'_> {
    /// Lays out what there is of one family, and says what is lacking and whether it is needed.
    fn family<'a>(
        &mut self,
        family: &'a Family,
        system: &System,
        root: &Path,
    ) -> Result<Vec<(&'a str, bool)>, Error> {
        let mut folders: BTreeMap<&str, Folder> = BTreeMap::new();
        let mut lacking = Vec::new();
        for (target, needed) in targets(family) {
            let (folder, name) = target.split_once('/').unwrap_or(("", target));
            let Some(found) = system.find(root, target) else {
                // What an administrator put there by hand is as good.
                let there = self.tree.entry(folder)? == Entry::Folder
                    && self.tree.subfolder(folder)?.entry(name)? == Entry::File;
                if there {
                    writeln!(
                        self.out,
                        "kept: {target}: was there; this system has none to compare with"
                    )?;
                } else {
                    lacking.push((target, needed));
                }
                continue;
            };
            let content = read_bounded(&found.real)?;
            if !folders.contains_key(folder) {
                folders.insert(folder, self.tree.subfolder(folder)?);
            }
            let put = folders[folder].put(name, &content, self.force)?;
            let shown = found.shown.display();
            let line = match put {
                Put::Created => format!("created: {target} from {shown}"),
                Put::Unchanged => format!("unchanged: {target}"),
                Put::Replaced => format!("replaced: {target} from {shown}"),
                Put::Kept => format!("kept: {target}: differs from {shown}; --force replaces it"),
            };
            writeln!(self.out, "{line}")?;
        }
        if let Some(folder) = &family.links
            && let Some(folder_open) = folders.get(folder.as_str())
        {
            for to in ["pxelinux.cfg", "os"] {
                let target = format!("../{to}");
                let line = match folder_open.link(to, &target, self.force)? {
                    Put::Created => format!("linked: {folder}/{to} -> {target}"),
                    Put::Unchanged => format!("unchanged: {folder}/{to} -> {target}"),
                    Put::Replaced => format!("replaced: {folder}/{to} -> {target}"),
                    Put::Kept => format!("kept: {folder}/{to}: is not a link to {target}"),
                };
                writeln!(self.out, "{line}")?;
            }
        }
        Ok(lacking)
    }

    /// Puts a menu, unless there is one.
    fn menu(&mut self, folder: &str, name: &str, content: &str) -> Result<(), Error> {
        let put = self
            .tree
            .subfolder(folder)?
            .put(name, content.as_bytes(), false)?;
        self.tell_of_starter(put, &format!("{folder}/{name}"), "a menu")
    }

    /// Writes the configuration, unless there is one.
    fn config(&mut self, file: &Path, content: &str) -> Result<(), Error> {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| FolderError::new(file, io::Error::other("is no name for a file")))?;
        let parent = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let put = Folder::open_or_make(parent)?.put(name, content.as_bytes(), false)?;
        self.tell_of_starter(put, &file.display().to_string(), "a configuration")
    }

    /// Tells of a file that is the administrator's as soon as it is there.
    fn tell_of_starter(&mut self, put: Put, path: &str, what: &str) -> Result<(), Error> {
        let line = match put {
            Put::Created | Put::Replaced => format!("created: {path}, {what} to start from"),
            Put::Unchanged => format!("unchanged: {path}"),
            Put::Kept => format!("kept: {path}: differs from a fresh one"),
        };
        writeln!(self.out, "{line}")?;
        Ok(())
    }
}

/// What is lacking, and who brings it.
#[derive(Default)]
struct Missing {
    lines: Vec<String>,
}

impl Missing {
    fn note(&mut self, lacking: &[(&str, bool)], system: &System, systems: &[&System]) {
        for &(target, needed) in lacking {
            let own = systems.first().copied().unwrap_or(system);
            let with = |system: &System| {
                let origin = system.origin(target)?;
                Some(format!("{} {}", system.install, origin.package))
            };
            let remedy = match with(own) {
                Some(command) => command,
                // Only a family's needs are worth a line about other systems.
                None if needed => systems
                    .iter()
                    .find_map(|system| Some((with(system)?, &system.id)))
                    .map_or_else(
                        || "no known package brings it".to_owned(),
                        |(command, id)| {
                            format!("not packaged for this system; for {id}: {command}")
                        },
                    ),
                None => continue,
            };
            let optional = if needed { "" } else { " (optional)" };
            self.lines
                .push(format!("missing: {target}{optional}: {remedy}"));
        }
    }

    fn report(&self, out: &mut dyn Write, own_known: bool) -> io::Result<()> {
        if !own_known && !self.lines.is_empty() {
            writeln!(
                out,
                "note: this system is not in the list of known ones; the packages are Debian's names"
            )?;
        }
        self.lines
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, FolderError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        std::fs::File::open(path)?
            .take(LOADER_BYTES_MAX + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > LOADER_BYTES_MAX {
            return Err(io::Error::other("is too large for a loader"));
        }
        Ok(content)
    };
    read().map_err(|source| FolderError::new(path, source))
}

/// A path as a TOML string, with its quotes.
fn toml_string(path: &Path) -> String {
    toml::Value::from(path.to_string_lossy().into_owned()).to_string()
}

#[cfg(test)]
mod tests;
