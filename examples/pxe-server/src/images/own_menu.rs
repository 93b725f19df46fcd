//! An image's own menu, said for the network: its paths lead into the image as it is served.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use pxe_menu::{
    Action, Boot, Client, Command, Format, ImageType, Limits, LinuxBoot, Loader, Location, Menu,
    MenuReader, Paths, ScreenId, Text,
};
use pxe_tree::{ErrorKind, NodeKind, Resolver, Tree, TreePath};

use super::offer::{Shelves, Station};
use super::profile::{Firmware, ImagePath};
use crate::menus::Language;

/// How much of an image's menus is read: they are anybody's, and real ones have some KiB.
const BYTES_MAX: usize = 256 << 10;
/// How many entries of an image are offered, and how deep its submenus go.
const ENTRIES_MAX: usize = 100;
const DEPTH_MAX: usize = 4;
/// How many reasons are told why entries are not offered.
const REASONS_MAX: usize = 100;
/// For how many stations and shelves the menu of an image is kept: machines differ by firmware,
/// processor and loader, and by the address that they ask.
const KEPT_MAX: usize = 8;
/// How many of the files that entries name are looked for; the others are taken as there.
const FILES_MAX: usize = 1000;
/// How often the entries of a menu are written anew, since files that are missing make room for others.
const ROUNDS_MAX: usize = 16;
/// How much is read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// What of an image's own menu can be started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OwnMenu {
    /// Its entries.
    pub(crate) entries: Vec<OwnEntry>,
    /// What is not among them, and why.
    pub(crate) left_out: Vec<String>,
}

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnEntry {
    /// Something to start.
    Run {
        title: String,
        command: Command,
        /// Whether its system looks for a disk with the image on it, and so finds nothing.
        looks_for_cd: bool,
    },
    /// More of them.
    Submenu {
        title: String,
        entries: Vec<OwnEntry>,
    },
}

/// An image's own menu as it was said for some machines.
#[derive(Debug, Default)]
pub(super) struct OwnMenus {
    kept: Mutex<VecDeque<(Said, Result<OwnMenu, String>)>>,
}

/// What a menu depends on, but for the image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    /// What the image is called: another file may take its name.
    name: String,
    station: Station,
    shelves: Shelves,
}

impl OwnMenus {
    /// The menu for such a station. It is read once: a menu of images is made for each machine that
    /// GRUB starts, and whoever made the image may have made its menu long.
    ///
    /// # Errors
    /// None of its menus has anything to start, and why.
    pub(super) async fn get(
        &self,
        tree: &dyn Tree,
        name: &str,
        menus: &[ImagePath],
        station: Station,
        shelves: &Shelves,
    ) -> Result<OwnMenu, String> {
        let said = Said {
            name: name.to_owned(),
            station,
            shelves: shelves.clone(),
        };
        if let Some((_, own)) = self.lock().iter().find(|(of, _)| *of == said) {
            return own.clone();
        }
        let mut is_whole = true;
        let own = own_menu(tree, name, menus, station, shelves, &mut is_whole).await;
        // A disk that failed may do better the next time.
        if is_whole {
            let mut kept = self.lock();
            kept.push_back((said, own.clone()));
            if kept.len() > KEPT_MAX {
                kept.pop_front();
            }
        }
        own
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Said, Result<OwnMenu, String>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the best of an image's menus that has something to start.
async fn own_menu(
    tree: &dyn Tree,
    name: &str,
    menus: &[ImagePath],
    station: Station,
    shelves: &Shelves,
    is_whole: &mut bool,
) -> Result<OwnMenu, String> {
    let mut menus: Vec<&str> = menus.iter().map(|menu| menu.path.as_str()).collect();
    // What is written for GRUB under UEFI has what UEFI needs, and isolinux what the BIOS does. A
    // loopback.cfg is for an image in a file, which a system on the network does not find.
    let is_uefi = station.firmware == Some(Firmware::Uefi);
    menus.sort_by_key(|menu| (menu.ends_with("loopback.cfg"), is_grub(menu) != is_uefi));
    let mut why = None;
    for menu in menus {
        let read = read(tree, menu, station, is_whole).await;
        let mut files = BTreeMap::new();
        let mut rounds = 0;
        let (entries, mut left_out) = loop {
            rounds += 1;
            let mut rewriter = Rewriter {
                name,
                own: folder_of(menu),
                is_grub: is_grub(menu),
                station,
                shelves,
                files: &files,
                unknown: BTreeSet::new(),
                left_out: Vec::new(),
                count: 0,
            };
            let entries = rewriter.screen(&read, ScreenId::TOP, 0);
            let room = FILES_MAX - files.len();
            let Rewriter {
                unknown, left_out, ..
            } = rewriter;
            if unknown.is_empty() || room == 0 || rounds == ROUNDS_MAX {
                break (entries, left_out);
            }
            for path in unknown.into_iter().take(room) {
                let is_there = is_file(tree, &path, is_whole).await;
                files.insert(path, is_there);
            }
        };
        left_out.truncate(REASONS_MAX);
        if !entries.is_empty() {
            return Ok(OwnMenu { entries, left_out });
        }
        // That of the best one.
        why.get_or_insert_with(|| match left_out.as_slice() {
            [] => format!("{menu} has no entry that can be started from the network"),
            left_out => format!("{menu}: {}", left_out.join("; ")),
        });
    }
    Err(why.unwrap_or_else(|| "there is none".to_owned()))
}

fn is_grub(menu: &str) -> bool {
    menu.ends_with("grub.cfg") || menu.ends_with("loopback.cfg")
}

/// The folder of a file, with a slash at its end.
fn folder_of(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| &path[..=slash])
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.files_max = 64;
    limits.bytes_max = BYTES_MAX;
    limits.lines_max = 50_000;
    limits.entries_max = 2000;
    limits.screens_max = 100;
    limits
}

async fn read(tree: &dyn Tree, menu: &str, station: Station, is_whole: &mut bool) -> Menu {
    let (loader, format) = match (is_grub(menu), station.firmware) {
        (true, Some(Firmware::Bios)) => (Loader::GrubPc, Format::GrubCfg),
        (true, _) => (Loader::GrubEfi, Format::GrubCfg),
        (false, _) => (Loader::Lpxelinux, Format::Syslinux),
    };
    let own = folder_of(menu);
    let (paths, main) = match is_grub(menu) {
        true => (Paths::new(loader, ""), format!("::{menu}")),
        false => (
            Paths::with_prefix(loader, own),
            menu[own.len()..].to_owned(),
        ),
    };
    let limits = limits();
    let mut left = limits.bytes_max;
    let mut reader = MenuReader::new(main.as_str(), paths, limits).with_format(format);
    while let Some(need) = reader.poll_need() {
        let path = in_image(&need.location, own, is_grub(menu));
        let bytes = match path {
            Some(path) => match content(tree, &path, left).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    *is_whole &= !may_pass(error.kind());
                    None
                }
            },
            None => None,
        };
        match bytes {
            Some(bytes) => {
                left = left.saturating_sub(bytes.len());
                reader.provide(need.id, bytes);
            }
            None => reader.missing(need.id),
        }
    }
    reader.finish().resolution.menu
}

/// The path in the image of what a loader would ask for there. To isolinux a name with a slash
/// before it begins at the root of its medium (`searchdir` in core/fs/fs.c), where pxelinux puts
/// its folder before it.
fn in_image(location: &Location, own: &str, is_grub: bool) -> Option<TreePath> {
    let Location::Tftp { host: None, path } = location else {
        return None;
    };
    let path = path.as_bytes();
    let absolute = path.strip_prefix(own.as_bytes());
    let absolute = absolute.filter(|rest| !is_grub && rest.first() == Some(&b'/'));
    TreePath::parse(absolute.unwrap_or(path)).ok()
}

/// Whether it may be gone when the same is asked for again.
const fn may_pass(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Io | ErrorKind::Busy | ErrorKind::Stale)
}

/// Whether this is a file of the image; one that cannot be looked at now may be one.
async fn is_file(tree: &dyn Tree, path: &TreePath, is_whole: &mut bool) -> bool {
    match Resolver::new().resolve(tree, path).await {
        Ok(found) => found.attributes.kind == NodeKind::File,
        Err(error) => {
            let may_pass = may_pass(error.kind());
            *is_whole &= !may_pass;
            may_pass
        }
    }
}

/// A file of the image, if it has at most so many bytes.
async fn content(
    tree: &dyn Tree,
    path: &TreePath,
    bytes_max: usize,
) -> pxe_tree::Result<Option<Vec<u8>>> {
    let found = Resolver::new().resolve(tree, path).await?;
    let blob = tree.open(found.attributes.node).await?;
    let len = usize::try_from(blob.attributes().len).ok();
    let Some(len) = len.filter(|len| *len <= bytes_max) else {
        return Ok(None);
    };
    let mut bytes = BytesMut::with_capacity(len);
    while bytes.len() < len {
        let wanted = CHUNK_BYTES.min(len - bytes.len());
        let chunk = blob.read_at(bytes.len() as u64, wanted).await?;
        if chunk.is_empty() {
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes.to_vec()))
}

/// Says entries of an image for the network.
struct Rewriter<'a> {
    name: &'a str,
    own: &'a str,
    is_grub: bool,
    station: Station,
    shelves: &'a Shelves,
    /// Files that were looked for in the image, and whether each is there.
    files: &'a BTreeMap<TreePath, bool>,
    /// Files that entries name besides; they are taken as there.
    unknown: BTreeSet<TreePath>,
    left_out: Vec<String>,
    count: usize,
}

impl Rewriter<'_> {
    fn screen(&mut self, menu: &Menu, at: ScreenId, depth: usize) -> Vec<OwnEntry> {
        let mut entries = Vec::new();
        let screen = menu.screen(at).filter(|_| depth < DEPTH_MAX);
        for entry in screen.into_iter().flat_map(|screen| &screen.entries) {
            if self.count >= ENTRIES_MAX {
                break;
            }
            let title = super::menu::plain(&entry.shown().to_string());
            if entry.password.is_some() {
                self.left_out.push(format!("{title}: it has a password"));
                continue;
            }
            match &entry.action {
                Action::Run(command) => {
                    if let Some(own) = self.entry(title, command) {
                        self.count += 1;
                        entries.push(own);
                    }
                }
                Action::Submenu(below) => {
                    let below = self.screen(menu, *below, depth + 1);
                    if !below.is_empty() {
                        entries.push(OwnEntry::Submenu {
                            title,
                            entries: below,
                        });
                    }
                }
                _ => {}
            }
        }
        entries
    }

    fn entry(&mut self, title: String, command: &Command) -> Option<OwnEntry> {
        let boot = command.boot(
            if self.is_grub {
                Loader::GrubEfi
            } else {
                Loader::Lpxelinux
            },
            &Client::new(),
        );
        let made = match boot {
            Boot::Linux(linux) => self.linux(&linux).map(|made| (made, medium(&linux))),
            Boot::Memdisk(_) => Err("it wants the memdisk of its medium".to_owned()),
            Boot::Efi(program) => self.program(&program.file).map(|made| (made, None)),
            // Menus have such entries for whoever started them by mistake.
            Boot::Local(_) | Boot::Menu(_) => return None,
            Boot::Nothing(_) => Err("it starts nothing".to_owned()),
            _ => Err("it is no kernel".to_owned()),
        };
        match made {
            Ok((command, None)) => Some(OwnEntry::Run {
                title,
                command,
                looks_for_cd: false,
            }),
            Ok((command, Some(word))) => {
                self.left_out
                    .push(format!("{title}: {word} looks for a CD"));
                Some(OwnEntry::Run {
                    title: format!("{title} (looks for a CD)"),
                    command,
                    looks_for_cd: true,
                })
            }
            Err(why) => {
                self.left_out.push(format!("{title}: {why}"));
                None
            }
        }
    }

    fn linux(&mut self, linux: &LinuxBoot) -> Result<Command, String> {
        let kernel = self.file(&linux.kernel)?;
        let initrds = linux.initrds.iter().map(|initrd| self.file(initrd));
        let initrds: Vec<String> = initrds.collect::<Result<_, _>>()?;
        let arguments = linux.arguments_without_initrd();
        let command = Command::new(ImageType::Linux, kernel, arguments);
        let command = command.with_initrds(initrds.iter().map(String::as_str));
        self.station.fits(&command)?;
        Ok(command)
    }

    fn program(&mut self, file: &Text) -> Result<Command, String> {
        if self.station.firmware == Some(Firmware::Bios) {
            return Err("it is a program of UEFI".to_owned());
        }
        if self.station.language == Language::Syslinux {
            return Err("no syslinux starts programs of UEFI".to_owned());
        }
        // It would look for its own menu beside itself, on a disk.
        Ok(Command::new(ImageType::Efi, self.file(file)?, ""))
    }

    /// A file of the image as it is served.
    fn file(&mut self, name: &[u8]) -> Result<String, String> {
        let paths = match self.is_grub {
            true => Paths::new(Loader::GrubEfi, ""),
            false => Paths::with_prefix(Loader::Lpxelinux, self.own),
        };
        let path = in_image(&paths.locate(name), self.own, self.is_grub);
        let path = path.ok_or("it is on another server, or on a disk")?;
        match self.files.get(&path) {
            Some(true) => {}
            Some(false) => return Err(format!("{path} is not in the image")),
            None => {
                self.unknown.insert(path.clone());
            }
        }
        let path = path.to_string();
        self.shelves.path(self.name, path.trim_start_matches('/'))
    }
}

/// The argument by which a system looks for its medium on a disk, if it has one.
fn medium(linux: &LinuxBoot) -> Option<String> {
    const WORDS: [&str; 13] = [
        "root=live:CDLABEL=",
        "root=live:LABEL=",
        "root=CDLABEL=",
        "root=LABEL=",
        "root=/dev/sr",
        "inst.stage2=hd:",
        "archisolabel=",
        "archisosearchuuid=",
        "archisodevice=",
        "iso-scan/filename=",
        "findiso=",
        "fromiso=",
        "img_loop=",
    ];
    let arguments = linux.arguments.to_string();
    let words = || arguments.split_whitespace();
    let starts = |word: &str, starts: &[&str]| starts.iter().any(|start| word.starts_with(start));
    // casper and live-boot take the network only where they are told how.
    let is_live = words().find(|word| matches!(*word, "boot=live" | "boot=casper"));
    let by_network = [
        "netboot=", "fetch=", "httpfs=", "ftpfs=", "url=", "nfsroot=",
    ];
    let is_told = words().any(|word| starts(word, &by_network));
    let found = words()
        .find(|word| starts(word, &WORDS))
        .or_else(|| is_live.filter(|_| !is_told))?;
    let word = match found.strip_prefix("boot=") {
        Some(_) => found,
        None => found.split('=').next().unwrap_or(found),
    };
    Some(super::menu::plain(word))
}
