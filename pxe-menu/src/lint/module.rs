//! Modules of syslinux: built for this loader, and with the libraries that they need.

use super::file::Use;
use super::{Lint, simplified};
use crate::command::module_name;
use crate::diagnostic::quoted;
use crate::scan::word;
use crate::{Code, Diagnostic, Location, Place, Text};

/// Modules that are built for the BIOS alone (`MOD_BIOS` in com32/modules/Makefile).
const BIOS_ONLY: [&str; 16] = [
    "disk",
    "elf",
    "ethersel",
    "gpxecmd",
    "ifmemdsk",
    "ifplop",
    "kbdmap",
    "kontron_wdt",
    "pcitest",
    "pmload",
    "poweroff",
    "prdhcp",
    "pxechn",
    "sanboot",
    "sdi",
    "vesainfo",
];

/// The libraries of modules (DT_NEEDED of syslinux 6.04's files).
const LIBRARIES: [(&str, &[&str]); 9] = [
    ("menu", &["libutil"]),
    ("vesamenu", &["libutil", "libcom32"]),
    ("chain", &["libutil", "libcom32"]),
    ("linux", &["libcom32"]),
    ("mboot", &["libcom32"]),
    ("pxechn", &["libutil", "libcom32"]),
    ("hdt", &["libutil", "libcom32", "libgpl", "libmenu"]),
    ("cmenu", &["libmenu", "libutil", "libcom32"]),
    ("gfxboot", &["libcom32"]),
];

/// Where the loader looks for its own part, if it is not in its directory (`load_env32`).
const OTHER_PLACES: [&str; 5] = [
    "/boot/isolinux/",
    "/isolinux/",
    "/boot/syslinux/",
    "/syslinux/",
    "/",
];

impl Lint<'_> {
    pub(super) fn module(&mut self, name: &[u8], place: impl Into<Option<Place>>) {
        let place = place.into();
        let name = word(name).0;
        // A module in a grub.cfg's menu stands for a command that is built into GRUB.
        if name.is_empty() || self.paths.loader().is_grub() {
            return;
        }
        if self.paths.loader().is_grub() {
            let message = format!(
                "{} is a module of syslinux, which GRUB does not start",
                quoted(name)
            );
            self.tell(Code::CannotStart, place, message, None);
            return;
        }
        let with_extension = if name.ends_with(b".c32") {
            name.to_vec()
        } else {
            [name, b".c32"].concat()
        };
        let name = &with_extension[..];
        let Some(path) = self.own_path(name, place) else {
            return;
        };
        let base = module_name(name);
        let is_bios_only = BIOS_ONLY.iter().any(|known| known.as_bytes() == base);
        if is_bios_only && self.paths.loader().is_efi() {
            let message = format!("{} is a module for the BIOS alone", quoted(name));
            let diagnostic = Diagnostic::new(Code::CannotStart, place, message)
                .with_note("syslinux has no build of it for UEFI");
            self.push(diagnostic);
            return;
        }
        let Some(found) = self.find_module(name) else {
            let simple = simplified(&path);
            let state = self.files.state(&simple);
            let remedy = self.meant(name, b"", &simple);
            self.absent(name, &path, state, place, Use::Started, remedy);
            return;
        };
        let Some(head) = self.files.head(&found) else {
            return;
        };
        if let Some(wrong) = self.wrong_module(&head) {
            let message = format!("{} {wrong}", quoted(name));
            let remedy = "take the modules from the same version and platform as the loader";
            let diagnostic = Diagnostic::new(Code::WrongArchitecture, place, message);
            self.push(diagnostic.with_remedy(remedy));
        } else if head.starts_with(b"\x7fELF") {
            self.libraries(&base, place);
        }
    }

    /// The path of a module: as it is named, else in the folders of PATH (`findpath`).
    fn find_module(&self, name: &[u8]) -> Option<Vec<u8>> {
        let folders = self.resolution.menu.core.path.iter().map(|folder| {
            let slash: &[u8] = if folder.ends_with(b"/") { b"" } else { b"/" };
            [&folder[..], slash].concat()
        });
        let names = core::iter::once(Vec::new()).chain(folders);
        for folder in names {
            if let Location::Tftp { host: None, path } =
                self.paths.locate(&[&folder[..], name].concat())
            {
                let simple = simplified(&path);
                if self.files.is_file(&simple) {
                    return Some(simple);
                }
            }
        }
        None
    }

    /// What is wrong with a module for this loader. A module for the BIOS and one for UEFI of 32 bits
    /// cannot be told from each other: both are ELF of 32 bits for the 80386.
    fn wrong_module(&self, head: &[u8]) -> Option<&'static str> {
        match head {
            // EI_CLASS and e_machine: the loader takes EM_386 and EM_X86_64 alone (`check_header_common`).
            [0x7f, b'E', b'L', b'F', class, ..] => {
                let machine = head
                    .get(18..20)
                    .map(|two| u16::from_le_bytes([two[0], two[1]]));
                if machine.is_some_and(|machine| !matches!(machine, 3 | 62)) {
                    return Some("is a program for another processor");
                }
                match (self.bits(), class) {
                    (Some(32), 2) if self.paths.loader().is_efi() => {
                        Some("is a module for UEFI of 64 bits, and the loader is for 32")
                    }
                    (Some(32), 2) => {
                        Some("is a module for UEFI of 64 bits, and the loader is for the BIOS")
                    }
                    (Some(64), 1) => {
                        Some("is a module of 32 bits, and the loader is for UEFI of 64 bits")
                    }
                    _ => None,
                }
            }
            // `mov eax, 0x21cd4cff` or `..fe`: the magic of COM32 and COM32R (doc/comboot.txt).
            [0xb8, 0xff | 0xfe, 0x4c, 0xcd, 0x21, ..] => self
                .own_part()
                .map(|_| "is a module of syslinux 4 or older, which this version cannot run"),
            [b'M', b'Z', ..] => Some("is a program for UEFI, and no module of syslinux"),
            [_, _, _, _, _, ..] => Some("is no module of syslinux"),
            _ => Some("is empty or cut off"),
        }
    }

    /// The width of the loader, as the part that it loads next tells.
    fn bits(&self) -> Option<u8> {
        if !self.paths.loader().is_efi() {
            return Some(32);
        }
        match (self.find_own("ldlinux.e32"), self.find_own("ldlinux.e64")) {
            (None, Some(_)) => Some(64),
            (Some(_), None) => Some(32),
            _ => None,
        }
    }

    /// The part that the loader loads before it reads any menu.
    fn own_part(&self) -> Option<Vec<u8>> {
        if self.paths.loader().is_efi() {
            let wide = self.find_own("ldlinux.e64");
            wide.or_else(|| self.find_own("ldlinux.e32"))
        } else {
            self.find_own("ldlinux.c32")
        }
    }

    fn find_own(&self, name: &str) -> Option<Vec<u8>> {
        let places = core::iter::once("").chain(OTHER_PLACES);
        places
            .filter_map(
                |folder| match self.paths.locate(format!("{folder}{name}").as_bytes()) {
                    Location::Tftp { host: None, path } => Some(simplified(&path)),
                    _ => None,
                },
            )
            .find(|path| self.files.is_file(path))
    }

    /// Since version 5 the loader is in two parts, and the second lies among the modules.
    pub(super) fn loader_itself(&mut self) {
        let name = if self.paths.loader().is_efi() {
            "ldlinux.e64"
        } else {
            "ldlinux.c32"
        };
        let Location::Tftp { host: None, path } = self.paths.locate(name.as_bytes()) else {
            return;
        };
        let folder = path.strip_suffix(name.as_bytes()).unwrap_or_default();
        let is_elf = |module: &Text| {
            let path = simplified(&[folder, module].concat());
            self.files
                .head(&path)
                .is_some_and(|head| head.starts_with(b"\x7fELF"))
        };
        // A folder of modules of version 5 and later is what the loader lies in.
        let modules = ["menu.c32", "vesamenu.c32", "libutil.c32", "libcom32.c32"];
        if self.own_part().is_none() && modules.map(Text::from).iter().any(is_elf) {
            let message = format!(
                "{} is not there: the loader cannot start",
                quoted(name.as_bytes())
            );
            let diagnostic = Diagnostic::new(Code::MissingLibrary, None, message)
                .with_note(format!("{} asks for {}", self.loader(), quoted(&path)))
                .with_remedy("put it beside the loader, from the same version and platform");
            self.push(diagnostic);
        }
    }

    fn libraries(&mut self, base: &[u8], place: Option<Place>) {
        let known = LIBRARIES
            .iter()
            .find(|(module, _)| module.as_bytes() == base);
        let Some((module, libraries)) = known else {
            return;
        };
        for library in *libraries {
            let file = format!("{library}.c32");
            if self.find_module(file.as_bytes()).is_some() {
                continue;
            }
            let Location::Tftp { host: None, path } = self.paths.locate(file.as_bytes()) else {
                continue;
            };
            let message = format!("{module}.c32 needs `{file}`, which is not there");
            let diagnostic = Diagnostic::new(Code::MissingLibrary, place, message)
                .with_note(format!("{} asks for {}", self.loader(), quoted(&path)))
                .with_remedy("put it beside the module, from the same version and platform");
            self.tell_once(diagnostic);
        }
    }
}
