//! What is wrong with a menu where it lies: its files, its loader, its kernels' arguments.

use crate::diagnostic::quoted;
use crate::keyword::distance;
use crate::{
    Action, Boot, Client, Code, Command, Diagnostic, Link, LinuxBoot, Loader, Location,
    NotBootable, Paths, Place, Resolution, Text,
};

/// The files that a server has, as far as [`lint`](lint()) asks for them. Paths have no slash before them.
pub trait Files {
    /// Whether there is a file of this path.
    fn is_file(&self, path: &[u8]) -> bool;

    /// The names in a folder, for suggestions; empty if there is none such.
    fn names(&self, folder: &[u8]) -> Vec<Text>;

    /// The first bytes of a file, 20 at least if it has them.
    fn head(&self, path: &[u8]) -> Option<Vec<u8>>;
}

/// Checks a menu against its loader and the files of its server. What [`Resolution::diagnostics`] told
/// already is not told again.
pub fn lint(
    resolution: &Resolution,
    paths: &Paths,
    client: &Client,
    files: &dyn Files,
) -> Vec<Diagnostic> {
    let mut lint = Lint {
        paths,
        client,
        files,
        found: Vec::new(),
    };
    let menu = &resolution.menu;
    for (screen, places) in menu.screens.iter().zip(&resolution.places) {
        for (entry, place) in screen.entries.iter().zip(places) {
            if let Action::Run(command) = &entry.action {
                lint.command(command, *place);
            }
        }
        let first = places.first().copied();
        lint.timeout(screen.timeout_tenths, first);
        let default = screen.entries.get(screen.default);
        // The cursor moves off it, and "cursor movement cancels timeout" (`run_menu` in menumain.c).
        if screen.timeout_tenths.is_some() && default.is_some_and(|entry| !entry.can_be_chosen()) {
            let message =
                "the default entry cannot be chosen: the cursor moves off it, which stops TIMEOUT";
            let remedy = "give MENU DEFAULT to an entry that can be chosen".to_owned();
            lint.tell(
                Code::DeadTimeout,
                places.get(screen.default).copied(),
                message,
                Some(remedy),
            );
        }
    }
    for (entry, place) in menu.hidden.iter().zip(&resolution.hidden_places) {
        if let Action::Run(command) = &entry.action {
            lint.command(command, *place);
        }
    }
    if let Some(command) = menu.default_command()
        && menu.find_label(command.first_word()).is_none()
        && (menu.ui_command.is_some() || command.first_word().contains(&b'.'))
    {
        lint.file(command.first_word(), None);
    }
    lint.found
}

struct Lint<'a> {
    paths: &'a Paths,
    client: &'a Client,
    files: &'a dyn Files,
    found: Vec<Diagnostic>,
}

impl Lint<'_> {
    fn tell(
        &mut self,
        code: Code,
        place: Option<Place>,
        message: impl Into<String>,
        remedy: Option<String>,
    ) {
        let mut diagnostic = Diagnostic::new(code, place, message);
        diagnostic.remedy = remedy;
        self.found.push(diagnostic);
    }

    fn command(&mut self, command: &Command, place: Place) {
        let at = Some(place);
        if let Some(Link::Config { file, .. }) = command.link() {
            self.file(&file, at);
            return;
        }
        match command.boot(self.paths.loader(), self.client) {
            Boot::Linux(linux) => {
                self.file_before(&linux.kernel, &linux.arguments, at);
                for initrd in &linux.initrds {
                    self.file(initrd, at);
                }
                self.arguments(&linux, place);
            }
            Boot::Memdisk(linux) => {
                self.file(&linux.kernel, at);
                for initrd in &linux.initrds {
                    self.file(initrd, at);
                }
            }
            Boot::Menu(files) => {
                self.module(command.image.first_word(), at);
                for file in files.iter().filter(|file| **file != "~") {
                    self.file(file, at);
                }
            }
            Boot::Multiboot(modules) => {
                for module in &modules {
                    self.file(&module.file, at);
                }
            }
            Boot::BootCfg { config, .. } => {
                self.module(command.image.first_word(), at);
                self.file(&config, at);
            }
            Boot::Efi(program) => self.efi(&program.file, place),
            Boot::Module(module) => self.module(&module.file, at),
            Boot::Pxe(program) => self.file(&program.file, at),
            Boot::BootSector(file) => self.file(&file, at),
            Boot::Local(_) | Boot::Config { .. } => {}
            Boot::Nothing(why) => self.nothing(why, command, place),
        }
    }

    fn efi(&mut self, file: &[u8], place: Place) {
        if !self.paths.loader().is_grub() {
            let message = format!(
                "{} is a program for UEFI, which no syslinux starts",
                quoted(file)
            );
            self.tell(Code::CannotStart, Some(place), message, None);
        }
        self.file(file, Some(place));
    }

    fn nothing(&mut self, why: NotBootable, command: &Command, place: Place) {
        let image = quoted(command.image.first_word());
        let (code, message, remedy) = match why {
            NotBootable::NoImage => (
                Code::CannotStart,
                "the entry names no image".to_owned(),
                None,
            ),
            NotBootable::FloppyImage => (
                Code::CannotStart,
                format!(
                    "{image} is loaded as if it were a Linux kernel: floppy images are no type since syslinux 5"
                ),
                Some("use memdisk, with the image as its initrd".to_owned()),
            ),
            NotBootable::UnknownType => (
                Code::CannotStart,
                format!("{image}: COMBOOT is no type of image since syslinux 5"),
                Some("use COM32 and a module of this version".to_owned()),
            ),
            NotBootable::BiosOnly => (
                Code::CannotStart,
                format!("{image} is a program for the BIOS, which cannot run under UEFI"),
                None,
            ),
            NotBootable::TooLong => (
                Code::CommandLineTooLong,
                "the command line has 2,048 bytes or more".to_owned(),
                None,
            ),
        };
        self.tell(code, Some(place), message, remedy);
    }

    /// A path on the loader's own server.
    fn own_path(&mut self, name: &[u8], place: Option<Place>) -> Option<Text> {
        match self.paths.locate(name) {
            Location::Tftp { host: None, path } => {
                if path.len() > Paths::NAME_BYTES_SAFE {
                    let message = format!("a path of {} bytes: pxelinux promises 127", path.len());
                    self.tell(Code::PathTooLong, place, message, None);
                }
                Some(path)
            }
            Location::NoProtocol(url) => {
                let remedy = match self.paths.loader() {
                    Loader::Pxelinux => {
                        "boot lpxelinux.0 instead of pxelinux.0: it has HTTP and FTP"
                    }
                    _ => "the loader has tftp, http and ftp, in lower case",
                };
                let message = format!(
                    "{} is never asked for: the loader has no such protocol",
                    quoted(&url)
                );
                self.tell(Code::NoProtocol, place, message, Some(remedy.to_owned()));
                None
            }
            _ => None,
        }
    }

    fn file(&mut self, name: &[u8], place: Option<Place>) {
        self.file_before(name, b"", place);
    }

    /// A file, and what follows its name.
    fn file_before(&mut self, name: &[u8], after: &[u8], place: Option<Place>) {
        let Some(path) = self.own_path(name, place) else {
            return;
        };
        let simple = simplified(&path);
        if self.files.is_file(&simple) {
            return;
        }
        let from_root = simplified(name);
        let remedy = if let Some(whole) = self.torn(name, after) {
            Some(format!("a space ends a name: did you mean {whole}?"))
        } else if name.starts_with(b"/") && self.files.is_file(&from_root) {
            let root = crate::text::decode(&from_root);
            Some(format!("a slash does not lead to the root: write ::{root}"))
        } else {
            self.nearest(&simple)
        };
        let message = format!(
            "{} is not there: the loader asks for {}",
            quoted(name),
            quoted(&path)
        );
        self.tell(Code::MissingFile, place, message, remedy);
    }

    /// A name with a space in it by mistake.
    fn torn(&self, name: &[u8], after: &[u8]) -> Option<Text> {
        let whole = [name, crate::scan::word(after).0].concat();
        if whole.len() == name.len() {
            return None;
        }
        match self.paths.locate(&whole) {
            Location::Tftp { host: None, path } if self.files.is_file(&simplified(&path)) => {
                Some(Text::new(whole))
            }
            _ => None,
        }
    }

    /// The name in the same folder that is most like it.
    fn nearest(&self, path: &[u8]) -> Option<String> {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (folder, name) = path.split_at(slash.map_or(0, |at| at + 1));
        let folder = folder.strip_suffix(b"/").unwrap_or(folder);
        if name.len() > 100 {
            return None;
        }
        let names = self.files.names(folder);
        if let Some(other) = names.iter().find(|other| other.eq_ignore_ascii_case(name)) {
            return Some(format!("names differ by case: did you mean {other}?"));
        }
        // COM32 adds its extension to what does not end in it: `menu.c.32.c32`.
        let bare = name.strip_suffix(b".c32").unwrap_or(name);
        let near = names.iter().filter(|other| other.len() <= 100);
        let near = near.map(|other| (distance(name, other).min(distance(bare, other)), other));
        let (distance, other) = near.min_by_key(|(distance, _)| *distance)?;
        (distance <= 1 + name.len() / 5).then(|| format!("did you mean {other}?"))
    }

    fn module(&mut self, name: &[u8], place: Option<Place>) {
        self.file(name, place);
        let Some(path) = self.own_path(name, place) else {
            return;
        };
        let Some(head) = self.files.head(&simplified(&path)) else {
            return;
        };
        let wrong = match head.get(..5) {
            // ELF, and EI_CLASS: 1 is 32 bits, 2 is 64.
            Some([0x7f, b'E', b'L', b'F', 2]) if !self.paths.loader().is_efi() => {
                "is a module for UEFI of 64 bits, and the loader is for the BIOS"
            }
            Some([0x7f, b'E', b'L', b'F', _]) => return,
            // `mov eax, 0x21cd4cff` or `..fe`: the magic of COM32 and COM32R (doc/comboot.txt).
            Some([0xb8, 0xff | 0xfe, 0x4c, 0xcd, 0x21]) => {
                "is a module of syslinux 4 or older, which later versions cannot run"
            }
            Some(_) => "is no module of syslinux",
            None => "is empty or cut off",
        };
        let remedy = "take the modules from the same version and platform as the loader".to_owned();
        self.tell(
            Code::WrongArchitecture,
            place,
            format!("{} {wrong}", quoted(name)),
            Some(remedy),
        );
    }

    fn timeout(&mut self, tenths: Option<u32>, place: Option<Place>) {
        let Some(tenths) = tenths else {
            return;
        };
        let message = match tenths {
            2..=9 => format!("TIMEOUT {tenths} is less than a second"),
            30_000.. => format!("TIMEOUT {tenths} is {} minutes", tenths / 600),
            _ => return,
        };
        let remedy = "TIMEOUT counts tenths of a second".to_owned();
        self.tell(Code::TimeoutUnit, place, message, Some(remedy));
    }

    /// What Debian's and Ubuntu's live systems and installers need.
    fn arguments(&mut self, boot: &LinuxBoot, place: Place) {
        let text = boot.arguments.to_string();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let value = |name: &str| {
            words
                .iter()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let mut wrong = Vec::new();
        if let Some(root) = value("nfsroot")
            && root.contains("://")
        {
            let message =
                format!("nfsroot={root}: it wants an NFS export, as server:/path, not a URL");
            wrong.push((message, None));
        }
        if value("boot") == Some("casper") {
            if value("netboot").is_some() && value("ip").is_none() {
                let message = "casper configures no network by itself since Ubuntu 20.04";
                wrong.push((message.to_owned(), Some("add ip=dhcp".to_owned())));
            }
            if value("netboot") == Some("nfs") && value("nfsroot").is_none() {
                wrong.push(("netboot=nfs without nfsroot=server:/path".to_owned(), None));
            }
        }
        if matches!(value("boot"), Some("casper" | "live")) && boot.initrds.is_empty() {
            let message = "a live system without an initrd: the kernel finds no root";
            wrong.push((message.to_owned(), Some("add INITRD".to_owned())));
        }
        for (message, remedy) in wrong {
            self.tell(Code::KernelArguments, Some(place), message, remedy);
        }
    }
}

/// A path without leading, doubled and dotted parts, as servers take it.
fn simplified(path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"::").unwrap_or(path);
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}
