//! What one machine can start of an image, and by which commands of its loader.

use pxe_menu::{Command, ImageType, Paths};

use super::command_line::{CommandLine, Served, Transport, Unfilled};
use super::profile::{Architecture, Firmware, ImagePath, Location};
use super::recognise::{Entry, Recognised, Start};
use crate::menus::Language;

/// SYSAPPEND's bit for `BOOTIF=`, which each loader says in its own way.
const BOOTIF: u32 = 2;
/// The bytes that a loader puts on a command line by itself: `BOOT_IMAGE=`, `BOOTIF=`, the type.
const OWN_BYTES: usize = 64;
/// The longest line of pxelinux (`MAX_CMDLINE_LEN` in menu.h), and of kernels for x86 with the zero
/// at its end (`COMMAND_LINE_SIZE`).
const LINE_BYTES_MAX: usize = 2047;

/// A machine and its loader, as far as they decide what can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Station {
    /// The language of the loader.
    pub(crate) language: Language,
    /// What started it, if that is known.
    pub(crate) firmware: Option<Firmware>,
    /// The processor as the firmware runs it, if that is known.
    pub(crate) processor: Option<Architecture>,
}

/// Where that machine finds images, and what its loader needs besides.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shelves {
    /// What its loader puts before a path in the folder of images, with a slash at its end.
    pub(crate) loads: String,
    /// The URL of that folder, without a slash at its end; `None` if HTTP does not show it.
    pub(crate) http: Option<String>,
    /// The address of the NFS server, and the path of that folder's export.
    pub(crate) nfs: Option<(String, String)>,
    /// memdisk, as its loader asks for it, if the tree has it.
    pub(crate) memdisk: Option<String>,
    /// wimboot, likewise.
    pub(crate) wimboot: Option<String>,
}

/// What is started, and how the system goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// What its loader does.
    pub(crate) command: Command,
    /// How the system reads the rest; `None` if it reads nothing more.
    pub(crate) transport: Option<Transport>,
    /// The memory that it needs, in MiB.
    pub(crate) memory_mib: Option<u64>,
}

impl Shelves {
    /// A file of the image `name`, as the loader asks for it; or why no loader can be told.
    pub(super) fn file(&self, name: &str, path: &ImagePath) -> Result<String, String> {
        match path.location {
            Location::Image => self.path(name, &path.path),
            Location::Beside => self.path(&beside(name), &path.path),
        }
    }

    /// A path in that folder.
    pub(super) fn path(&self, folder: &str, path: &str) -> Result<String, String> {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "/-._~+".contains(char);
        let file = format!("{}{folder}/{path}", self.loads);
        match () {
            () if !path.chars().all(is_plain) => Err(format!(
                "{} is a name that loaders would take for something else; rename it in the image",
                path.escape_debug()
            )),
            () if file.len() > Paths::NAME_BYTES_MAX => Err(format!(
                "{path} is a longer name than pxelinux takes; shorten the image's name"
            )),
            () => Ok(file),
        }
    }

    pub(super) fn served(&self, name: &str) -> Served {
        Served {
            http: self.http.as_ref().map(|http| format!("{http}/{name}")),
            nfs: self
                .nfs
                .as_ref()
                .map(|(server, path)| (server.clone(), format!("{path}/{name}"))),
        }
    }
}

impl Station {
    /// Why this machine cannot start what is for such firmware and such a processor.
    pub(super) fn refuses(self, entry: &Entry<'_>) -> Option<String> {
        if let Some(firmware) = self.firmware
            && !entry.firmware.contains(&firmware)
        {
            return Some(match firmware {
                Firmware::Bios => "it starts under UEFI only".to_owned(),
                Firmware::Uefi => match entry.start {
                    Start::Memdisk(_) => {
                        "memdisk is for the BIOS: under UEFI nobody answers its calls".to_owned()
                    }
                    _ => "it starts under the BIOS only".to_owned(),
                },
            });
        }
        let (processor, wanted) = (self.processor?, entry.architecture?);
        let is_taken = processor == wanted
            || self.firmware == Some(Firmware::Bios)
                && [processor, wanted]
                    .iter()
                    .all(|one| matches!(one, Architecture::X86 | Architecture::X86_64));
        (!is_taken).then(|| format!("it is for {wanted}, and this machine is {processor}"))
    }

    /// What this machine's loader does to start `entry` of the image `name`, which is for such
    /// machines; or why it cannot.
    pub(super) fn offer(
        self,
        name: &str,
        recognised: &Recognised<'_>,
        entry: &Entry<'_>,
        shelves: &Shelves,
    ) -> Result<Offer, String> {
        let file = |path: &ImagePath| shelves.file(name, path);
        let once = |command: Command| Offer {
            command,
            transport: None,
            memory_mib: recognised.memory_mib(Transport::Http),
        };
        match &entry.start {
            Start::Linux {
                kernel,
                initrds,
                bootif,
                ..
            } => {
                let (line, transport) = line(name, recognised, entry, shelves)?;
                let kernel = file(kernel)?;
                let initrds: Vec<String> = initrds.iter().map(file).collect::<Result<_, _>>()?;
                let command = Command::new(ImageType::Linux, kernel, line)
                    .with_initrds(initrds.iter().map(String::as_str))
                    .with_sysappend(if *bootif { BOOTIF } else { 0 });
                self.fits(&command)?;
                let memory = transport.unwrap_or(Transport::Http);
                Ok(Offer {
                    command,
                    transport,
                    memory_mib: recognised.memory_mib(memory),
                })
            }
            Start::Program(program) => match self.language {
                Language::Syslinux => {
                    Err("no syslinux starts programs of UEFI; GRUB and iPXE do".to_owned())
                }
                Language::Grub | Language::Ipxe => {
                    Ok(once(Command::new(ImageType::Efi, file(program)?, "")))
                }
            },
            Start::Memdisk(disk) => {
                let memdisk = shelves.memdisk.as_deref().ok_or(NO_MEMDISK)?;
                let (disk, how) = match disk {
                    Some(disk) => (file(disk)?, ""),
                    None => (format!("{}{name}.iso", shelves.loads), "iso raw"),
                };
                let command = Command::new(ImageType::Linux, memdisk, how);
                let command = command.with_initrds([disk.as_str()]);
                self.fits(&command)?;
                Ok(once(command))
            }
            Start::Wimboot(files) => match self.language {
                Language::Syslinux | Language::Grub => {
                    Err("wimboot wants its files by their names, which iPXE alone gives".to_owned())
                }
                Language::Ipxe => {
                    let wimboot = shelves.wimboot.as_deref().ok_or(NO_WIMBOOT)?;
                    let mut words = Vec::new();
                    for (known, path) in files {
                        words.push(format!("{known}={}", file(path)?));
                    }
                    let command = Command::new(ImageType::Wimboot, wimboot, words.join(" "));
                    Ok(once(command))
                }
            },
            Start::Menu(_) => Err("its own menu could not be read".to_owned()),
            Start::Refused(why) => Err((*why).to_owned()),
        }
    }

    /// Whether the loader, and the kernel, take all of this line.
    pub(super) fn fits(self, command: &Command) -> Result<(), String> {
        if self.language != Language::Syslinux {
            return Ok(());
        }
        let bytes = command.line(&pxe_menu::Client::new()).len() + OWN_BYTES;
        match bytes > LINE_BYTES_MAX {
            true => Err(format!(
                "its line has {bytes} bytes, pxelinux takes {LINE_BYTES_MAX}; shorten the image's name"
            )),
            false => Ok(()),
        }
    }
}

/// What to do where memdisk is not in the tree.
pub(crate) const NO_MEMDISK: &str = "memdisk is not in the tree: put it there as memdisk, or beside \
    lpxelinux.0 (Debian: syslinux-common, /usr/lib/syslinux/memdisk)";
/// What to do where wimboot is not in the tree.
pub(crate) const NO_WIMBOOT: &str =
    "wimboot is not in the tree: put it there as wimboot (https://ipxe.org/wimboot)";

/// The folder of what lies beside an image, in the folder of images.
fn beside(name: &str) -> String {
    format!("{name}.beside")
}

/// The command line by NFS if that is served, else by HTTP; and by which.
fn line(
    name: &str,
    recognised: &Recognised<'_>,
    entry: &Entry<'_>,
    shelves: &Shelves,
) -> Result<(String, Option<Transport>), String> {
    let served = shelves.served(name);
    let Start::Linux { nfs, http, .. } = &entry.start else {
        return Err(Unfilled::NoKernel.to_string());
    };
    let filled = |transport, template: &super::template::Template| {
        let reads = template.names().any(|name| {
            super::command_line::IMAGE_NAMES.contains(&name)
                || super::command_line::NFS_NAMES.contains(&name)
        });
        let line = CommandLine::of(recognised, entry, transport, &served);
        let line = line.map_err(|why| why.to_string())?;
        Ok((line.0, reads.then_some(transport)))
    };
    let by_nfs = nfs.filter(|_| shelves.nfs.is_some());
    let by_nfs = by_nfs.map(|template| filled(Transport::Nfs, template));
    match (by_nfs, http) {
        (Some(Ok(line)), _) => Ok(line),
        (Some(Err(_)), Some(http)) | (None, Some(http)) => filled(Transport::Http, http),
        (Some(Err(why)), None) => Err(why),
        (None, None) => Err("it reads the image by NFS, which does not serve it here".to_owned()),
    }
}
