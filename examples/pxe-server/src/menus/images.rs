//! The images of the library as menus: what is asked of it for one client.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use pxe_dhcp::ClientArch;
use pxe_menu::{Action, Command, ImageType, Loader, Location, Menu, Text, render_syslinux};
use pxe_tree::{FileRequest, Protocol, TreePath};

use super::address::{Served, addresses};
use super::asker::Asker;
use super::found;
use super::read::MenuFiles;
use super::wanted::Language;
use crate::config::{Config, MenuFileProtocol};
use crate::images::{
    self, Architecture, Firmware, Library, Listed, Offered, Shelf, Shelves, Station,
};

/// The menu of images for pxelinux, in the folder of images.
const MENU: &str = "menu.cfg";
/// Its entries alone, for menus that include them.
const ENTRIES: &str = "entries.cfg";
/// All menus of images, in the folder of images.
pub(crate) const MENUS: [(&str, Language); 4] = [
    (MENU, Language::Syslinux),
    (ENTRIES, Language::Syslinux),
    ("menu.ipxe", Language::Ipxe),
    ("grub.cfg", Language::Grub),
];
/// Those that menus of pxelinux lead to, and whether each is of entries alone.
const INCLUDED: [(&str, bool); 2] = [(MENU, false), (ENTRIES, true)];
/// What stands for the command of an image where a menu is read as text: pxelinux has no words for
/// all that GRUB and iPXE start. A number follows.
const STAND_IN: &str = ".image.";
/// Where memdisk is looked for, the places of `pxe-server init` first; beside the loaders too.
pub(crate) const MEMDISK: [&str; 4] = [
    "bios/memdisk",
    "memdisk",
    "syslinux/memdisk",
    "boot/memdisk",
];
/// Where wimboot is looked for.
pub(crate) const WIMBOOT: [&str; 4] = ["wimboot", "ipxe/wimboot", "boot/wimboot", "bios/wimboot"];

/// The images that menus offer.
#[derive(Debug, Clone)]
pub(super) struct Images {
    library: Arc<Library>,
    /// The folder of images in the tree.
    path: TreePath,
    /// Whether machines without a menu get one of images, and menus that are converted have them.
    is_offered: bool,
}

/// The images for one client: those that are offered now, and where it finds them.
#[derive(Debug, Clone)]
pub(super) struct ImagesFor {
    shelf: Arc<Shelf>,
    /// The folder of images in the tree.
    path: TreePath,
    /// What tells a menu of them from others.
    pub(super) key: ImagesKey,
}

/// What a menu of images depends on. It holds no image open.
#[derive(Debug, Clone)]
pub(super) struct ImagesKey {
    offered: Vec<(String, Weak<Offered>)>,
    station: Station,
    shelves: Shelves,
    /// Whether it is of entries alone.
    is_part: bool,
}

impl PartialEq for ImagesKey {
    fn eq(&self, other: &Self) -> bool {
        let offered = self.offered.iter().zip(&other.offered);
        let mut same = offered.map(|(mine, other)| mine.0 == other.0 && mine.1.ptr_eq(&other.1));
        self.offered.len() == other.offered.len()
            && same.all(|is_same| is_same)
            && (self.station, self.is_part) == (other.station, other.is_part)
            && self.shelves == other.shelves
    }
}

impl Eq for ImagesKey {}

impl Images {
    /// Those of this configuration.
    pub(super) fn new(config: &Config, library: Arc<Library>) -> Option<Self> {
        let images = config.images.as_ref()?;
        Some(Self {
            library,
            path: images.path.clone(),
            is_offered: images.menu,
        })
    }

    /// The language of the menu of images that this path of the tree names.
    pub(super) fn asked(&self, path: &TreePath) -> Option<Language> {
        let below = path.strip_prefix(&self.path)?;
        let menu = MENUS
            .iter()
            .find(|(name, _)| below.as_bytes() == name.as_bytes());
        menu.map(|(_, language)| *language)
    }

    /// Whether machines are offered images where they asked for another menu.
    pub(super) const fn is_offered(&self) -> bool {
        self.is_offered
    }

    /// What this client is offered of them.
    pub(super) async fn for_client(
        &self,
        (config, served, files): (&Config, &Served, &MenuFiles),
        language: Language,
        request: &FileRequest<'_>,
        asker: &Asker,
    ) -> ImagesFor {
        // When the server starts, machines ask while the folder is looked at.
        self.library.known().await;
        let shelf = self.library.shelf();
        let offered = shelf.offered();
        let offered = offered.map(|(image, offered)| (image.name.clone(), Arc::downgrade(offered)));
        let key = ImagesKey {
            offered: offered.collect(),
            station: station(config, language, request.path, asker),
            shelves: self
                .shelves((config, served, files), language, request)
                .await,
            is_part: request.path.as_bytes().ends_with(ENTRIES.as_bytes()),
        };
        let path = self.path.clone();
        ImagesFor { shelf, path, key }
    }

    async fn shelves(
        &self,
        (config, served, files): (&Config, &Served, &MenuFiles),
        language: Language,
        request: &FileRequest<'_>,
    ) -> Shelves {
        let all = addresses(config, served, Language::Ipxe, request);
        let mut http = all
            .iter()
            .filter(|address| address.base.starts_with("http://"));
        let http = http.find_map(|address| {
            let below = address.below(&self.path)?;
            let url = format!("{}{below}", address.base);
            Some(url.trim_end_matches('/').to_owned())
        });
        let by_http = match config.menu.files {
            Some(protocol) => protocol == MenuFileProtocol::Http,
            None => request.protocol != Protocol::Tftp,
        };
        let own = |path: &TreePath| format!("::{}", path.to_string().trim_start_matches('/'));
        // Names in a menu of pxelinux are final; GRUB's and iPXE's are said when it is rendered.
        let http_root = http
            .as_ref()
            .filter(|_| by_http && language == Language::Syslinux);
        let loads = match http_root {
            Some(http) => format!("{http}/"),
            None => format!("{}/", own(&self.path)),
        };
        let loaders = found::loaders(config, language);
        Shelves {
            loads,
            http,
            nfs: self.nfs(config, request),
            memdisk: find(files, &loaders, "memdisk", &MEMDISK).await,
            wimboot: find(files, &loaders, "wimboot", &WIMBOOT).await,
        }
    }

    /// The NFS server, if this client may mount images. Kernels mount by IPv4.
    fn nfs(&self, config: &Config, request: &FileRequest<'_>) -> Option<(String, String)> {
        let nfs = config.nfs.as_ref()?;
        let asked = request.local?.ip().to_canonical();
        let is_here = |listen: &SocketAddr| {
            listen.ip().is_unspecified() || listen.ip().to_canonical() == asked
        };
        let server = config.menu.server.map_or(asked, IpAddr::V4);
        let path = self.path.to_string();
        let export = nfs.exports.iter().find(|export| export.path == path)?;
        let client = request.remote.ip().to_canonical();
        let mut clients = export.clients.iter();
        let may_mount = clients.any(|known| known.network.contains(client));
        let is_served = nfs.listen.iter().any(is_here) && may_mount && server.is_ipv4();
        is_served.then(|| (server.to_string(), path))
    }
}

/// Menus of images that a menu of the tree leads to, for its loader.
#[derive(Debug, Default)]
pub(super) struct Included {
    files: Vec<(TreePath, Bytes)>,
    commands: Vec<Command>,
}

impl Included {
    /// The menu of this path.
    pub(super) fn file(&self, location: &Location) -> Option<Bytes> {
        let Location::Tftp { host: None, path } = location else {
            return None;
        };
        let path = TreePath::from_tftp(path).ok()?;
        let found = self.files.iter().find(|(file, _)| *file == path);
        found.map(|(_, text)| text.clone())
    }

    /// Puts the commands of images into a menu that was read with them.
    pub(super) fn put_commands(&self, menu: &mut Menu) {
        let shown = menu
            .screens
            .iter_mut()
            .flat_map(|screen| &mut screen.entries);
        for entry in shown.chain(&mut menu.hidden) {
            if let Action::Run(command) = &mut entry.action
                && let Some(number) = command.image.to_string().strip_prefix(STAND_IN)
                && let Some(meant) = number
                    .parse()
                    .ok()
                    .and_then(|at: usize| self.commands.get(at))
            {
                command.clone_from(meant);
            }
        }
    }
}

impl ImagesFor {
    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.key.offered.is_empty()
    }

    /// A menu of nothing else, and what is not in it.
    pub(super) async fn menu(&self) -> (Menu, Vec<String>) {
        self.drawn(self.key.is_part).await
    }

    async fn drawn(&self, is_part: bool) -> (Menu, Vec<String>) {
        let (station, shelves) = (self.key.station, &self.key.shelves);
        let (listed, mut left_out) = self.listed().await;
        let (menu, more) = match is_part {
            true => images::images_entries(&listed, station, shelves),
            false => images::images_menu(&listed, station, shelves),
        };
        left_out.extend(more);
        (menu, left_out)
    }

    /// Whether this names one of the menus that menus of the tree may include or lead to.
    pub(super) fn is_menu(&self, location: &Location) -> bool {
        let Location::Tftp { host: None, path } = location else {
            return false;
        };
        let path = TreePath::from_tftp(path).ok();
        let below = path.and_then(|path| path.strip_prefix(&self.path));
        below.is_some_and(|below| {
            INCLUDED
                .iter()
                .any(|(name, _)| below.as_bytes() == name.as_bytes())
        })
    }

    /// Those menus, for a menu that leads to them.
    pub(super) async fn included(&self) -> Included {
        let mut included = Included::default();
        for (name, is_part) in INCLUDED {
            let path = TreePath::parse(name).and_then(|name| self.path.join(&name));
            let Ok(path) = path else { continue };
            let (mut menu, _) = self.drawn(is_part).await;
            let screens = menu.screens.iter_mut();
            for entry in screens.flat_map(|screen| &mut screen.entries) {
                if let Action::Run(command) = &mut entry.action {
                    let stand_in = format!("{STAND_IN}{}", included.commands.len());
                    let stand_in = Command::new(ImageType::Linux, stand_in, "");
                    included.commands.push(std::mem::replace(command, stand_in));
                }
            }
            let text = render_syslinux(&menu).text;
            included
                .files
                .push((path, Bytes::copy_from_slice(text.as_bytes())));
        }
        included
    }

    /// Adds them to a menu, and tells what is not in it.
    pub(super) async fn add_to(&self, menu: &mut Menu) -> Vec<String> {
        let (station, shelves) = (self.key.station, &self.key.shelves);
        let (listed, mut left_out) = self.listed().await;
        left_out.extend(images::add_submenu(menu, &listed, station, shelves));
        left_out
    }

    async fn listed(&self) -> (Vec<Listed<'_>>, Vec<String>) {
        let (station, shelves) = (self.key.station, &self.key.shelves);
        let mut listed = Vec::new();
        let mut left_out = Vec::new();
        for (image, offered) in self.shelf.offered() {
            let name = image.name.as_str();
            let Some(recognised) = offered.recognised() else {
                left_out.push(format!("{name}: no profile knows it"));
                continue;
            };
            let own = match recognised.own_menus() {
                Some(menus) => Some(offered.own_menu(name, menus, station, shelves).await),
                None => None,
            };
            listed.push(Listed {
                name,
                recognised,
                own,
            });
        }
        (listed, left_out)
    }
}

/// The machine, as DHCP tells of it; else as the folder of its pxelinux does.
fn station(config: &Config, language: Language, path: &TreePath, asker: &Asker) -> Station {
    let architecture = asker.client.architecture.map(ClientArch);
    let mut station = Station {
        language,
        firmware: architecture.and_then(firmware_of),
        processor: architecture.and_then(processor_of),
    };
    if station.firmware.is_none() && language == Language::Syslinux {
        let path = path.to_string();
        let folder = path.trim_start_matches('/');
        let folder = folder
            .strip_suffix("pxelinux.cfg/default")
            .unwrap_or_default();
        let mut loaders = found::loaders(config, language).into_iter();
        let loader = loaders.find(|(_, file)| {
            file.rsplit_once('/').map_or("", |(folder, _)| folder) == folder.trim_end_matches('/')
        });
        let is_efi = loader.is_some_and(|(loader, _)| loader == Loader::SyslinuxEfi);
        station.firmware = Some(match is_efi {
            true => Firmware::Uefi,
            false => Firmware::Bios,
        });
        station.processor = is_efi.then_some(match folder.contains("32") {
            true => Architecture::X86,
            false => Architecture::X86_64,
        });
    }
    if station.firmware == Some(Firmware::Bios) && station.processor.is_none() {
        station.processor = Some(Architecture::X86_64);
    }
    station
}

fn firmware_of(arch: ClientArch) -> Option<Firmware> {
    match arch {
        ClientArch::X86_BIOS | ClientArch::X86_BIOS_HTTP => Some(Firmware::Bios),
        _ if arch.is_uefi() => Some(Firmware::Uefi),
        _ => None,
    }
}

fn processor_of(arch: ClientArch) -> Option<Architecture> {
    Some(match arch {
        // It may have 32 bits alone; the entries' names say what they are for.
        ClientArch::X86_BIOS | ClientArch::X86_BIOS_HTTP => Architecture::X86_64,
        ClientArch::UEFI_X86 | ClientArch::UEFI_X86_HTTP => Architecture::X86,
        ClientArch::UEFI_X64
        | ClientArch::UEFI_EBC
        | ClientArch::UEFI_X64_HTTP
        | ClientArch::UEFI_EBC_HTTP => Architecture::X86_64,
        ClientArch::UEFI_ARM64
        | ClientArch::UEFI_ARM64_HTTP
        | ClientArch::UBOOT_ARM64
        | ClientArch::UBOOT_ARM64_HTTP => Architecture::Arm64,
        ClientArch::UEFI_RISCV64 | ClientArch::UEFI_RISCV64_HTTP => Architecture::Riscv64,
        ClientArch::POWER_OPAL => Architecture::Ppc64le,
        _ => return None,
    })
}

/// The first of these that the tree has, as a menu names it.
async fn find(
    files: &MenuFiles,
    loaders: &[(Loader, String)],
    name: &str,
    usual: &[&str],
) -> Option<String> {
    let beside = loaders.iter().filter_map(|(_, file)| {
        let (folder, _) = file.rsplit_once('/')?;
        Some(format!("{folder}/{name}"))
    });
    let usual = usual.iter().map(|path| (*path).to_owned());
    for path in usual.chain(beside) {
        let location = Location::Tftp {
            host: None,
            path: Text::from(path.as_str()),
        };
        if files.is_file(&location).await {
            return Some(format!("::{path}"));
        }
    }
    None
}
