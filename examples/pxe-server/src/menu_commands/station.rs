//! Loaders of a tree: whose menus lie where, and what names in them mean.

use std::collections::{BTreeSet, VecDeque};

use pxe_dhcp::{Boot, ClientArch};
use pxe_menu::{Format, Limits, Loader, Paths, Text};
use pxe_tree::{NodeKind, TreePath};

use super::site::{Site, tftp};
use crate::menus::program::Program;

/// How deep below the root loaders are looked for: `debian-installer/amd64/pxelinux.0`, and one more.
const DEPTH_MAX: usize = 3;

/// In how many directories.
const FOLDERS_MAX: usize = 512;

/// What is in the root of an image of an installation medium: there are thousands of files below,
/// and none that a client asks for first.
const IMAGE_MARKS: [&[u8]; 6] = [
    b".disk",
    b".discinfo",
    b"casper",
    b"live",
    b"dists",
    b"repodata",
];

/// A loader and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Station {
    pub(super) program: Program,
    /// Its boot file, as clients ask for it.
    pub(super) file: Text,
    /// DHCP option 210.
    prefix: Option<String>,
    /// DHCP option 209.
    pub(super) config_file: Option<String>,
    /// Whether the configuration names it.
    is_configured: bool,
    /// Whether there is no such file: it is taken for there by the names around it.
    pub(super) is_assumed: bool,
}

impl Station {
    /// One that was found.
    pub(super) fn new(program: Program, file: impl Into<Text>) -> Self {
        Self {
            program,
            file: file.into(),
            prefix: None,
            config_file: None,
            is_configured: false,
            is_assumed: false,
        }
    }

    /// One that nobody saw, in a directory, which ends in a slash or is empty.
    pub(super) fn assumed(program: Program, folder: &[u8]) -> Self {
        let file = match program {
            Program::Syslinux(Loader::Pxelinux) => "pxelinux.0",
            Program::Syslinux(Loader::SyslinuxEfi) => "syslinux.efi",
            Program::Syslinux(_) => "lpxelinux.0",
            Program::Grub => "grubx64.efi",
        };
        Self {
            is_assumed: true,
            ..Self::new(program, &[folder, file.as_bytes()].concat()[..])
        }
    }

    /// What DHCP tells PXELINUX beside its boot file.
    pub(super) fn with_options(mut self, config: Option<String>, prefix: Option<String>) -> Self {
        (self.config_file, self.prefix) = (config, prefix);
        self
    }

    /// What names mean to it.
    pub(super) fn paths(&self) -> Paths {
        let loader = match self.program {
            Program::Syslinux(loader) => loader,
            Program::Grub if self.file.ends_with(b".efi") => Loader::GrubEfi,
            Program::Grub => Loader::GrubPc,
        };
        match &self.prefix {
            Some(prefix) => Paths::with_prefix(loader, prefix),
            None => Paths::new(loader, &self.file.to_string()),
        }
    }

    /// The directory that it puts before names: with a slash at its end, or empty.
    pub(super) fn folder(&self) -> Vec<u8> {
        let paths = self.paths();
        let folder = paths.directory().as_bytes();
        let folder = folder.strip_prefix(b"::").unwrap_or(folder);
        folder.strip_prefix(b"/").unwrap_or(folder).to_vec()
    }

    /// The name by which it would ask for a file of the tree.
    pub(super) fn name_of(&self, path: &TreePath) -> Text {
        let path = path.as_bytes();
        match path.strip_prefix(&self.folder()[..]) {
            Some(rest) => Text::from(rest),
            None => Text::new([b"::", path].concat()),
        }
    }

    /// The language of the menus that it looks for.
    pub(super) fn format(&self) -> Option<Format> {
        match self.program {
            Program::Syslinux(_) => Some(Format::Syslinux),
            Program::Grub => Some(Format::GrubCfg),
        }
    }

    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self.program {
            Program::Syslinux(Loader::Pxelinux) => "pxelinux.0",
            Program::Syslinux(Loader::Lpxelinux) => "lpxelinux.0",
            Program::Syslinux(_) => "syslinux.efi",
            Program::Grub => "GRUB",
        }
    }
}

/// What there is in a tree for machines to begin with.
#[derive(Debug, Default)]
pub(super) struct Stations {
    pub(super) stations: Vec<Station>,
    /// Each `grub.cfg` and its kin, and each directory `pxelinux.cfg`.
    pub(super) grub_files: Vec<TreePath>,
    pub(super) pxelinux_folders: Vec<TreePath>,
    /// Whether there were more directories than are looked at.
    pub(super) is_cut: bool,
}

impl Stations {
    /// Looks for them: at the boot files of the configuration, and in the directories near the
    /// root. Links to directories are not followed, and the inside of installation media is left out,
    /// as is the folder of images: menus in an image are for who starts from it.
    pub(super) async fn find(site: &Site) -> Self {
        let mut found = Self::default();
        found.of_config(site).await;
        let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
        seen.extend(found.stations.iter().map(|station| station.file.to_vec()));
        let mut folders = VecDeque::from([(Vec::new(), 0)]);
        let mut looked_at = 0;
        let images = site
            .config
            .as_ref()
            .and_then(|config| config.images.as_ref());
        let images = images.map(|images| images.path.as_bytes());
        while let Some((folder, depth)) = folders.pop_front() {
            if images == Some(&folder[..]) {
                continue;
            }
            if looked_at == FOLDERS_MAX {
                found.is_cut = true;
                break;
            }
            looked_at += 1;
            let Ok(mut names) = site.files.names(&tftp(&folder[..])).await else {
                continue;
            };
            names.sort();
            let is_image = names
                .iter()
                .any(|(name, _)| IMAGE_MARKS.contains(&name.as_bytes()));
            for (name, kind) in names {
                let path = match folder.is_empty() {
                    true => name.to_vec(),
                    false => [&folder[..], b"/", name.as_bytes()].concat(),
                };
                match kind {
                    NodeKind::Directory => {
                        if name == "pxelinux.cfg" {
                            found.pxelinux_folders.extend(TreePath::parse(&path));
                        } else if depth < DEPTH_MAX && !(is_image && depth > 0) {
                            folders.push_back((path, depth + 1));
                        }
                    }
                    NodeKind::File | NodeKind::Link => {
                        if name.starts_with(b"grub.cfg") {
                            found.grub_files.extend(TreePath::parse(&path));
                        } else if !seen.contains(&path)
                            && let Some(program) = Program::of(&site.files, &path).await
                        {
                            seen.insert(path.clone());
                            found.stations.push(Station::new(program, &path[..]));
                        }
                    }
                    _ => {}
                }
            }
        }
        found.prefer_links(site).await;
        found
    }

    /// Where a link leads to a loader, machines are told the link, and that is where names begin.
    async fn prefer_links(&mut self, site: &Site) {
        let mut linked = BTreeSet::new();
        for station in &self.stations {
            let real = site.files.find(&tftp(station.file.clone())).await;
            if let Ok(real) = real
                && real.path.as_bytes() != station.file.as_bytes()
            {
                linked.insert(real.path.as_bytes().to_vec());
            }
        }
        let is_real = |station: &Station| linked.contains(station.file.as_bytes());
        self.stations
            .retain(|station| station.is_configured || !is_real(station));
    }

    /// The boot files that the configuration names.
    async fn of_config(&mut self, site: &Site) {
        let Some(boot) = site.config.as_ref().and_then(|config| config.boot.as_ref()) else {
            return;
        };
        let ruled = boot.rules.iter().filter_map(|rule| match &rule.boot {
            Some(Boot::File(file)) => Some(file),
            _ => None,
        });
        let files = boot.files.values().chain(&boot.default_file).chain(ruled);
        let mut seen = BTreeSet::new();
        for file in files.filter(|file| !file.contains('{')) {
            let Ok(path) = TreePath::from_tftp(file.as_bytes()) else {
                continue;
            };
            if !seen.insert(path.clone()) {
                continue;
            }
            if let Some(program) = Program::of(&site.files, path.as_bytes()).await {
                let mut station = Station::new(program, path.as_bytes());
                station.is_configured = true;
                let (config, prefix) = (boot.configfile.clone(), boot.path_prefix.clone());
                self.stations.push(station.with_options(config, prefix));
            }
        }
    }

    /// GRUB's, one of each kind; one for UEFI is assumed where none lies.
    pub(super) fn grubs(&self) -> Vec<Station> {
        let mut grubs: Vec<Station> = Vec::new();
        for station in &self.stations {
            let loader = station.paths().loader();
            if loader.is_grub() && grubs.iter().all(|known| known.paths().loader() != loader) {
                grubs.push(station.clone());
            }
        }
        if grubs.is_empty() {
            grubs.push(Station::assumed(Program::Grub, b"grub/"));
        }
        grubs
    }

    /// The directories in which GRUB looks for its configuration: what is built into it (`/grub`,
    /// `/boot/grub`), its own, and one of its platform in each.
    fn grub_folders(&self) -> BTreeSet<Vec<u8>> {
        let mut folders =
            BTreeSet::from([b"grub".to_vec(), b"grub2".to_vec(), b"boot/grub".to_vec()]);
        let grubs = self.stations.iter();
        for station in grubs.filter(|station| station.program == Program::Grub) {
            let own = TreePath::parse(station.file.as_bytes()).ok();
            let own = own.and_then(|file| file.parent()).unwrap_or(TreePath::ROOT);
            folders.insert(own.as_bytes().to_vec());
            folders.insert([&with_slash(&own)[..], b"grub"].concat());
        }
        folders
    }

    /// Each configuration of GRUB that machines may come to. An image that was unpacked into the
    /// tree has a grub.cfg as well, in which names mean something else.
    pub(super) fn grub_configurations(&self) -> impl Iterator<Item = &TreePath> {
        let folders = self.grub_folders();
        self.grub_files.iter().filter(move |path| {
            let folder = path.parent().unwrap_or(TreePath::ROOT);
            let above = folder.parent().unwrap_or(TreePath::ROOT);
            folders.contains(folder.as_bytes()) || folders.contains(above.as_bytes())
        })
    }

    /// The loaders that would read this file, at least one: all whose menus lie in its folder, first
    /// those that lie there themselves, else one that is above.
    pub(super) async fn readers_of(&self, site: &Site, path: &TreePath) -> Vec<Station> {
        let folder = path.parent().unwrap_or(TreePath::ROOT);
        let location = tftp(path.as_bytes());
        let read = site.files.read(&location, Limits::default().bytes_max);
        let content = read.await.map(|file| file.bytes).unwrap_or_default();
        if Format::of(path.as_bytes(), &content) == Format::GrubCfg {
            return self.grubs().into_iter().take(1).collect();
        }
        let is_syslinux = |station: &&Station| matches!(station.program, Program::Syslinux(_));
        let readers: Vec<&Station> = self.stations.iter().filter(is_syslinux).collect();
        let beside = match folder.file_name().map(|name| name.as_bytes()) {
            Some(b"pxelinux.cfg") => folder.parent().unwrap_or(TreePath::ROOT),
            _ => folder.clone(),
        };
        let beside = with_slash(&beside);
        let (mut found, others): (Vec<&Station>, Vec<&Station>) = readers
            .iter()
            .partition(|station| station.folder() == beside);
        for station in others {
            if site.menu_folder(station).await.as_ref() == Some(&folder) {
                found.push(station);
            }
        }
        if !found.is_empty() {
            return found.into_iter().cloned().collect();
        }
        let mut above = readers.iter();
        match above.find(|station| beside.starts_with(&station.folder())) {
            Some(station) => vec![(*station).clone()],
            None => vec![Station::assumed(
                Program::Syslinux(likely(&beside)),
                &beside,
            )],
        }
    }
}

impl Site {
    /// The directory in which a loader's menus really lie.
    pub(super) async fn menu_folder(&self, station: &Station) -> Option<TreePath> {
        let folder = station.paths().locate(b"pxelinux.cfg");
        let found = self.files.find(&folder).await.ok()?;
        Some(found.path)
    }
}

/// The loader that is likely where none lies.
pub(super) fn likely(folder: &[u8]) -> Loader {
    let is_efi = folder.to_ascii_lowercase();
    match is_efi.windows(3).any(|part| part == b"efi") {
        true => Loader::SyslinuxEfi,
        false => Loader::Lpxelinux,
    }
}

/// A directory as a prefix of what is in it.
pub(super) fn with_slash(folder: &TreePath) -> Vec<u8> {
    match folder.is_root() {
        true => Vec::new(),
        false => [folder.as_bytes(), b"/"].concat(),
    }
}

/// Whether machines of this architecture run such a loader.
pub(super) fn runs(arch: ClientArch, station: &Station) -> bool {
    match station.program {
        Program::Syslinux(loader) => loader.is_efi() == arch.is_uefi(),
        Program::Grub => arch.is_uefi() == station.file.ends_with(b".efi"),
    }
}
