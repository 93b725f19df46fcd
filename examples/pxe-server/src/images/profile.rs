//! How one kind of image is recognised and booted: a row of the table.

use std::collections::BTreeMap;
use std::fmt;

use regex::bytes::Regex;

use super::template::Template;

/// All profiles, those of the administrator before the shipped ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Profiles {
    pub(super) profiles: Vec<Profile>,
}

impl Profiles {
    /// The profiles, in the order in which they are tried.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.iter()
    }

    /// The profile of this name.
    #[cfg(test)]
    pub(crate) fn get(&self, id: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.id == id)
    }
}

/// One kind of image.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// Its name: lower case, digits, dashes.
    pub(crate) id: String,
    /// What it is for people, with captured values.
    pub(crate) label: Template,
    /// What an image has to have.
    pub(crate) recognise: Recognise,
    /// The profiles that fit such images too and are passed over for this one.
    pub(crate) over: Vec<String>,
    /// Whether it is taken only if nothing else fits.
    pub(crate) fallback: bool,
    /// Values for names that a pattern did not capture.
    pub(crate) defaults: BTreeMap<String, String>,
    /// Files by name, each with its alternatives in their order: `{name}` is the path of the one
    /// that is there.
    pub(crate) files: BTreeMap<String, Vec<ImagePath>>,
    /// The memory that a machine needs.
    pub(crate) memory: Option<Memory>,
    /// The ways to boot it, those for people to choose from first.
    pub(crate) boots: Vec<Boot>,
    /// What surprises: limits of the distribution, not of this server.
    pub(crate) quirks: Vec<String>,
    /// Where the command lines were checked.
    pub(crate) sources: Vec<Source>,
    /// Whether an image of this kind was booted by this project's own tests.
    pub(crate) booted: bool,
}

impl Profile {
    /// All paths that it names.
    pub(super) fn paths(&self) -> impl Iterator<Item = &ImagePath> {
        let Recognise { all, any, none, .. } = &self.recognise;
        let recognised = all.iter().chain(any).chain(none);
        let files = self.files.values().flatten();
        let boots = self.boots.iter().flat_map(|boot| boot.needs.iter());
        let started = self.boots.iter().flat_map(|boot| boot.method.paths());
        recognised.chain(files).chain(boots).chain(started)
    }
}

/// What an image has to have to be of this kind.
#[derive(Debug, Clone)]
pub(crate) struct Recognise {
    /// Files that are all there.
    pub(crate) all: Vec<ImagePath>,
    /// Files of which one is there at least; no condition if empty.
    pub(crate) any: Vec<ImagePath>,
    /// Files of which none is there.
    pub(crate) none: Vec<ImagePath>,
    /// What texts say.
    pub(crate) texts: Vec<TextRule>,
}

/// A pattern on a text of the image. Its named groups become values.
#[derive(Debug, Clone)]
pub(crate) struct TextRule {
    /// The file; `None` is the volume identifier.
    pub(crate) file: Option<String>,
    /// What it has to look like.
    pub(crate) pattern: Regex,
    /// Whether it captures where it fits, and is no condition.
    pub(crate) optional: bool,
}

/// A file of the image, or beside it. The last part may have `*` in it, for any characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ImagePath {
    /// Which folder it lies in.
    pub(crate) location: Location,
    /// The path in it, without a slash at either end.
    pub(crate) path: String,
}

/// Where a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Location {
    /// In the image.
    Image,
    /// In the folder that the administrator put beside the image, `beside:` in a profile.
    Beside,
}

impl ImagePath {
    /// A path as a profile has it, or what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (location, path) = match text.strip_prefix("beside:") {
            Some(path) => (Location::Beside, path),
            None => (Location::Image, text),
        };
        let strange = |part: &str| part.is_empty() || part == "." || part == "..";
        if path.split('/').any(strange) {
            return Err(format!("`{text}` is no path inside of an image"));
        }
        if let Some((folders, _)) = path.rsplit_once('/')
            && folders.contains('*')
        {
            return Err(format!("`{text}` has a * before its last part"));
        }
        if location == Location::Beside && path.contains('*') {
            return Err(format!(
                "`{text}` has a *, which files beside an image cannot have"
            ));
        }
        let path = path.to_owned();
        Ok(Self { location, path })
    }

    /// The folder of a path with `*` in it; `None` if it has none.
    pub(super) fn folder_of_pattern(&self) -> Option<&str> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        name.contains('*').then_some(folder)
    }

    /// Whether `path` is one that this pattern means.
    pub(super) fn fits(&self, path: &str) -> bool {
        let mut pieces = self.path.split('*');
        let Some(mut rest) = path.strip_prefix(pieces.next().unwrap_or_default()) else {
            return false;
        };
        let mut pieces = pieces.peekable();
        while let Some(piece) = pieces.next() {
            let end = match pieces.peek() {
                None if rest.ends_with(piece) => rest.len() - piece.len(),
                None => return false,
                Some(_) => match rest.find(piece) {
                    Some(at) => at,
                    None => return false,
                },
            };
            let (stars, after) = rest.split_at(end);
            if stars.contains('/') {
                return false;
            }
            rest = after.strip_prefix(piece).unwrap_or_default();
        }
        rest.is_empty()
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.location {
            Location::Image => f.write_str(&self.path),
            Location::Beside => write!(f, "beside:{}", self.path),
        }
    }
}

/// The memory that a machine needs: a fixed part, and copies that it makes of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Memory {
    /// For the system itself, in MiB.
    pub(crate) fixed_mib: u64,
    /// What it copies into memory when it is booted by NFS.
    pub(crate) nfs: Option<Copied>,
    /// What it copies into memory when it is booted by HTTP.
    pub(crate) http: Option<Copied>,
}

/// A file that a machine copies into its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copied {
    /// A name of the profile's files; `None` is the whole image.
    pub(crate) file: Option<String>,
    /// How much memory that takes, in hundredths of its length: 200 where the copy has to fit half
    /// of the memory.
    pub(crate) percent: u64,
}

/// One way to boot an image.
#[derive(Debug, Clone)]
pub(crate) struct Boot {
    /// What tells it from the others of the profile: `autoinstall`; empty for the usual one.
    pub(crate) name: String,
    /// The processor that it is for: a name, or a captured value.
    pub(crate) architecture: Option<Template>,
    /// What it starts from. Never empty.
    pub(crate) firmware: Vec<Firmware>,
    /// Files without which it is not offered.
    pub(crate) needs: Vec<ImagePath>,
    /// How it is started.
    pub(crate) method: Method,
}

/// How a loader starts something of an image.
#[derive(Debug, Clone)]
pub(crate) enum Method {
    /// A Linux kernel, or what can be loaded as one.
    Linux {
        /// The kernel's alternatives.
        kernel: Vec<ImagePath>,
        /// The initrds in their order, each with its alternatives.
        initrds: Vec<Vec<ImagePath>>,
        /// What follows the kernel if the machine reads the rest by NFS.
        nfs: Option<Template>,
        /// What follows the kernel if the machine reads the rest by HTTP, or has all it needs.
        http: Option<Template>,
        /// Whether it reads which network card the loader used from `BOOTIF=`. Each loader says
        /// that in its own way, so it is no part of the command line.
        bootif: bool,
    },
    /// A program of UEFI.
    Program {
        /// Its alternatives.
        program: Vec<ImagePath>,
    },
    /// A disk in memory by syslinux' memdisk: BIOS alone, and seen by nothing but DOS and loaders.
    Memdisk {
        /// The disk's alternatives; none is the whole image.
        disk: Vec<ImagePath>,
    },
    /// Windows by wimboot.
    Wimboot {
        /// The files that it is given, by the names that it knows them by.
        files: BTreeMap<String, Vec<ImagePath>>,
    },
    /// The menu inside of the image, with its paths rewritten.
    Menu {
        /// The menus, the best first.
        menus: Vec<ImagePath>,
    },
    /// It cannot be booted from the network as it is.
    Refused {
        /// Why, and what to do instead.
        reason: String,
    },
}

impl Method {
    fn paths(&self) -> Vec<&ImagePath> {
        match self {
            Self::Linux {
                kernel, initrds, ..
            } => kernel.iter().chain(initrds.iter().flatten()).collect(),
            Self::Program { program } => program.iter().collect(),
            Self::Memdisk { disk } => disk.iter().collect(),
            Self::Wimboot { files } => files.values().flatten().collect(),
            Self::Menu { menus } => menus.iter().collect(),
            Self::Refused { .. } => Vec::new(),
        }
    }
}

/// What starts the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Firmware {
    /// PC BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

/// A processor, by any of the names that distributions have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Architecture {
    /// 32-bit x86.
    X86,
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Arm64,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit POWER, little endian.
    Ppc64le,
}

impl Architecture {
    /// The processor that is called `name`; `None` for other names, and for images of several.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "x86" | "i386" | "i486" | "i586" | "i686" => Some(Self::X86),
            "x86-64" | "x86_64" | "amd64" | "x64" => Some(Self::X86_64),
            "arm64" | "aarch64" => Some(Self::Arm64),
            "riscv64" => Some(Self::Riscv64),
            "ppc64le" | "ppc64el" => Some(Self::Ppc64le),
            _ => None,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86 => "32-bit x86",
            Self::X86_64 => "64-bit x86",
            Self::Arm64 => "64-bit ARM",
            Self::Riscv64 => "64-bit RISC-V",
            Self::Ppc64le => "64-bit POWER",
        })
    }
}

/// Where a command line was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The page, or the file with its project and version.
    pub(crate) at: String,
    /// What was looked at.
    pub(crate) evidence: Evidence,
}

/// What a profile rests on, the strongest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub(crate) enum Evidence {
    /// Where it should be documented; nobody has looked yet.
    #[serde(rename = "unread")]
    Unread,
    /// Others boot it so: templates of another project, or a thread. Not read in its own sources.
    #[serde(rename = "used by others")]
    UsedByOthers,
    /// Its own documentation says so.
    #[serde(rename = "documentation")]
    Documentation,
    /// The source of its initramfs was read.
    #[serde(rename = "source read")]
    SourceRead,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for wrong in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/./b",
            "*/a",
            "beside:x*",
            "beside:",
        ] {
            assert!(ImagePath::parse(wrong).is_err(), "{wrong}");
        }
        let beside = ImagePath::parse("beside:netboot/linux").expect("valid");
        assert_eq!(beside.location, Location::Beside);
        assert_eq!(beside.path, "netboot/linux");
        assert_eq!(beside.to_string(), "beside:netboot/linux");
    }

    #[test]
    fn a_star_stands_for_characters_of_a_name() {
        let fits = |pattern: &str, path| ImagePath::parse(pattern).expect("valid").fits(path);
        assert!(fits("live/vmlinuz-*", "live/vmlinuz-6.1"));
        assert!(fits("live/vmlinuz-*", "live/vmlinuz-"));
        assert!(!fits("live/vmlinuz-*", "live/vmlinuz"));
        assert!(!fits("live/vmlinuz-*", "live/vmlinuz-6/x"));
        assert!(fits("a*b*c", "a1b2c"));
        assert!(fits("a*b*c", "abcbc"));
        assert!(!fits("a*b*c", "a1c"));
        assert!(!fits("a*a", "a"));
    }
}
