//! What a command starts: the type of its image, its files, its arguments.

use crate::keyword::ImageType;
use crate::scan::{skip_space, strtoul, word};
use crate::{Client, Command, Link, Loader, Text};

/// What the loader does with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Boot {
    /// A Linux kernel, or what is loaded like one.
    Linux(LinuxBoot),
    /// memdisk: a disk image in memory, for the BIOS.
    Memdisk(LinuxBoot),
    /// menu.c32 or vesamenu.c32 with the files that it reads; none: the configuration as it is.
    Menu(Vec<Text>),
    /// mboot.c32: a Multiboot kernel and its modules, each with its arguments.
    Multiboot(Vec<Invocation>),
    /// ESXi's mboot.c32 with a configuration: see [`BootCfg`](crate::BootCfg).
    BootCfg {
        /// The configuration that `-c` names.
        config: Text,
        /// What is added to the kernel's arguments.
        arguments: Text,
    },
    /// Any other module.
    Module(Invocation),
    /// A network bootstrap program, with the arguments that it never sees.
    Pxe(Invocation),
    /// A boot sector.
    BootSector(Text),
    /// A program for UEFI, and its arguments: GRUB and iPXE start it, no version of syslinux does.
    Efi(Invocation),
    /// wimboot, and the files that it is given, by the names that it knows them by: iPXE starts it.
    Wimboot {
        /// wimboot.
        program: Text,
        /// Each name, and the file.
        files: Vec<(Text, Text)>,
    },
    /// Back to the firmware, or to its next boot device.
    Local(LocalBoot),
    /// The loader starts anew with another configuration.
    Config {
        /// The file.
        file: Text,
        /// The directory to change to before.
        directory: Option<Text>,
    },
    /// Nothing works.
    Nothing(NotBootable),
}

/// A kernel with all it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinuxBoot {
    /// The kernel.
    pub kernel: Text,
    /// The initial RAM disks in the order in which they are joined.
    pub initrds: Vec<Text>,
    /// The arguments, `initrd=` among them, without the `BOOT_IMAGE=` that the loader puts before them.
    pub arguments: Text,
}

impl LinuxBoot {
    /// The command line that the kernel sees.
    pub fn command_line(&self) -> Text {
        let mut line = b"BOOT_IMAGE=".to_vec();
        line.extend_from_slice(&self.kernel);
        line.push(b' ');
        line.extend_from_slice(&self.arguments);
        Text::new(line)
    }

    /// The arguments without `initrd=`, for loaders that are told of initial RAM disks otherwise. A kernel
    /// takes a tab for the end of an argument, too; the loader takes it for a part of the name.
    pub fn arguments_without_initrd(&self) -> Text {
        let mut kept: Vec<&[u8]> = Vec::new();
        for part in self.arguments.split(|byte| *byte == b' ') {
            let mut words = part.split(|byte| *byte == b'\t').peekable();
            while let Some(word) = words.next_if(|word| !word.starts_with(b"initrd=")) {
                if !word.is_empty() {
                    kept.push(word);
                }
            }
        }
        Text::new(kept.join(&b' '))
    }
}

/// A file and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invocation {
    /// The file.
    pub file: Text,
    /// The arguments.
    pub arguments: Text,
}

/// How LOCALBOOT leaves the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalBoot {
    /// 0: a normal boot, the firmware's network stack unloaded.
    Normal,
    /// 4: the UNDI driver stays.
    KeepUndi,
    /// 5: the whole PXE stack stays.
    KeepPxe,
    /// -1: the firmware tries its next boot device.
    NextDevice,
    /// Any other value, for which nothing is promised.
    Other(i16),
    /// syslinux.efi: it always fails towards the firmware, whatever the value (efi/main.c).
    Firmware,
}

/// Why a command starts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotBootable {
    /// The command names no image.
    NoImage,
    /// FDIMAGE, or the extension `.img`: since version 5 it is loaded as if it were a Linux kernel.
    FloppyImage,
    /// COMBOOT or NONE: no type of image since version 5.
    UnknownType,
    /// A BIOS program under UEFI.
    BiosOnly,
    /// The command line has 2,048 bytes or more, with the type before it where that is not KERNEL.
    TooLong,
}

/// The loader's buffer for a command line, with its NUL (`MAX_CMDLINE_LEN` in menu.h).
pub(crate) const COMMAND_LINE_BYTES_MAX: usize = 2047;

impl Command {
    /// The whole command line, as the menu hands it to the loader: the image, APPEND, INITRD, SYSAPPEND.
    pub fn line(&self, client: &Client) -> Text {
        let mut line = self.image.to_vec();
        if !self.append.is_empty() {
            line.push(b' ');
            line.extend_from_slice(&self.append);
        }
        if let Some(initrd) = &self.initrd {
            line.extend_from_slice(b" initrd=");
            line.extend_from_slice(initrd);
        }
        line.extend_from_slice(&client.sysappend(self.sysappend));
        Text::new(line)
    }

    /// What a loader does with it, for a client.
    pub fn boot(&self, loader: Loader, client: &Client) -> Boot {
        let line = self.line(client);
        // The type stands before it, as in `.linux vmlinuz` (`record` in readconfig.c), KERNEL aside.
        let before = match self.image_type {
            ImageType::Kernel => 0,
            other => ". ".len() + other.as_str().len(),
        };
        if before + line.len() > COMMAND_LINE_BYTES_MAX {
            return Boot::Nothing(NotBootable::TooLong);
        }
        let (image, arguments) = word(&line);
        let arguments = skip_space(arguments);
        // To `strtoul` no value is 0, so LOCALBOOT alone is LOCALBOOT 0 (`execute` in execute.c).
        if image.is_empty() && self.image_type != ImageType::LocalBoot {
            return Boot::Nothing(NotBootable::NoImage);
        }
        match self.effective_type(image) {
            ImageType::LocalBoot => Boot::Local(local_boot(loader, image)),
            ImageType::Config => Boot::Config {
                file: Text::from(image),
                directory: (!arguments.is_empty()).then(|| Text::from(word(arguments).0)),
            },
            ImageType::Com32 => module(image, arguments),
            ImageType::Efi => Boot::Efi(invocation(image, arguments)),
            ImageType::Wimboot => wimboot(image, arguments),
            ImageType::Pxe | ImageType::Boot | ImageType::Bss if loader.is_efi() => {
                Boot::Nothing(NotBootable::BiosOnly)
            }
            ImageType::Pxe => Boot::Pxe(invocation(image, arguments)),
            ImageType::Boot | ImageType::Bss => Boot::BootSector(Text::from(image)),
            ImageType::FdImage => Boot::Nothing(NotBootable::FloppyImage),
            ImageType::None | ImageType::Comboot => Boot::Nothing(NotBootable::UnknownType),
            ImageType::Kernel | ImageType::Linux => linux(loader, image, arguments),
        }
    }

    /// The type, by the extension where KERNEL leaves it open (`parse_image_type`).
    fn effective_type(&self, image: &[u8]) -> ImageType {
        if self.image_type != ImageType::Kernel {
            return self.image_type;
        }
        let extensions = [
            (".c32", ImageType::Com32),
            (".img", ImageType::FdImage),
            (".bss", ImageType::Bss),
            (".bin", ImageType::Boot),
            (".bs", ImageType::Boot),
            (".0", ImageType::Pxe),
        ];
        let known = extensions
            .into_iter()
            .find(|(extension, _)| image.ends_with(extension.as_bytes()));
        known.map_or(ImageType::Kernel, |(_, image_type)| image_type)
    }

    /// The configuration that it leads to.
    pub(crate) fn link(&self) -> Option<Link> {
        if !matches!(
            self.image_type,
            ImageType::Kernel | ImageType::Com32 | ImageType::Config
        ) {
            return None;
        }
        match self.boot(Loader::Lpxelinux, &Client::new()) {
            Boot::Config { file, directory } => Some(Link::Config { file, directory }),
            Boot::Menu(files) if !files.is_empty() => Some(Link::MenuFiles(files)),
            _ => None,
        }
    }
}

fn invocation(file: &[u8], arguments: &[u8]) -> Invocation {
    Invocation {
        file: Text::from(file),
        arguments: Text::from(arguments),
    }
}

fn local_boot(loader: Loader, value: &[u8]) -> LocalBoot {
    if loader.is_efi() {
        return LocalBoot::Firmware;
    }
    // The loader keeps the low 16 bits (`local_boot(int16_t)`).
    let low = strtoul(value).0.to_le_bytes();
    match i16::from_le_bytes([low[0], low[1]]) {
        0 => LocalBoot::Normal,
        4 => LocalBoot::KeepUndi,
        5 => LocalBoot::KeepPxe,
        -1 => LocalBoot::NextDevice,
        other => LocalBoot::Other(other),
    }
}

/// mboot.c32 of ESXi: options, and arguments for the kernel (mboot/mboot.c of esx-boot). Without `-c` it
/// reads `boot.cfg`.
fn esxi<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Boot {
    let mut config = Text::from("boot.cfg");
    let mut arguments: Vec<&[u8]> = Vec::new();
    while let Some(word) = words.next() {
        match word {
            b"-c" => config = words.next().map_or(config, Text::from),
            [b'-', b'c', file @ ..] => config = Text::from(file),
            // Those that have a value.
            [
                b'-',
                b'S' | b's' | b't' | b'R' | b'p' | b'E' | b'L' | b'b' | b'A' | b'q',
            ] => {
                words.next();
            }
            [b'-', ..] if arguments.is_empty() => {}
            other => arguments.push(other),
        }
    }
    Boot::BootCfg {
        config,
        arguments: Text::new(arguments.join(&b' ')),
    }
}

/// The last part of a path, in lower case, without its extension `.c32`.
pub(crate) fn module_name(file: &[u8]) -> Vec<u8> {
    let base = file
        .rsplit(|byte| matches!(byte, b'/' | b':' | b'\\'))
        .next()
        .unwrap_or_default();
    let base = base.to_ascii_lowercase();
    base.strip_suffix(b".c32").unwrap_or(&base).to_vec()
}

fn module(image: &[u8], arguments: &[u8]) -> Boot {
    // COM32 adds the extension where it is missing (`apply_extension`).
    let file = if image.ends_with(b".c32") {
        image.to_vec()
    } else {
        [image, b".c32"].concat()
    };
    let mut words = arguments
        .split(|byte| crate::scan::is_space(*byte))
        .filter(|word| !word.is_empty());
    match module_name(&file).as_slice() {
        b"menu" | b"vesamenu" => Boot::Menu(words.map(Text::from).collect()),
        b"linux" => match words.find(|word| !word.starts_with(b"-")) {
            Some(kernel) => {
                let rest: Vec<&[u8]> = words.collect();
                linux_module(kernel, &rest)
            }
            None => Boot::Nothing(NotBootable::NoImage),
        },
        b"mboot" if arguments.starts_with(b"-") => esxi(words),
        b"mboot" => match multiboot(words) {
            modules if modules.is_empty() => Boot::Nothing(NotBootable::NoImage),
            modules => Boot::Multiboot(modules),
        },
        _ => Boot::Module(invocation(&file, arguments)),
    }
}

fn wimboot(program: &[u8], arguments: &[u8]) -> Boot {
    let words = arguments.split(|byte| crate::scan::is_space(*byte));
    let files = words.filter_map(|word| {
        let equals = word.iter().position(|byte| *byte == b'=')?;
        let (name, file) = word.split_at(equals);
        Some((Text::from(name), Text::from(file.get(1..)?)))
    });
    Boot::Wimboot {
        program: Text::from(program),
        files: files.collect(),
    }
}

/// linux.c32 loads the files of every `initrd=`, not of the first alone (com32/modules/linux.c).
fn linux_module(kernel: &[u8], arguments: &[&[u8]]) -> Boot {
    let lists = arguments
        .iter()
        .filter_map(|word| word.strip_prefix(b"initrd="));
    let initrds = lists
        .flat_map(|list| list.split(|byte| *byte == b','))
        .filter(|file| !file.is_empty());
    Boot::Linux(LinuxBoot {
        kernel: Text::from(kernel),
        initrds: initrds.map(Text::from).collect(),
        arguments: Text::new(arguments.join(&b' ')),
    })
}

/// `mboot.c32 kernel arguments --- module arguments --- ..`
fn multiboot<'a>(words: impl Iterator<Item = &'a [u8]>) -> Vec<Invocation> {
    let words: Vec<&[u8]> = words.collect();
    let parts = words.split(|word| *word == b"---");
    let with_file = parts.filter_map(|part| part.split_first());
    with_file
        .map(|(file, arguments)| invocation(file, &arguments.join(&b' ')))
        .collect()
}

fn linux(loader: Loader, image: &[u8], arguments: &[u8]) -> Boot {
    let boot = LinuxBoot {
        kernel: Text::from(image),
        initrds: initrds(image, arguments),
        arguments: Text::from(arguments),
    };
    let name = module_name(image);
    if name == b"memdisk" {
        if loader.is_efi() {
            return Boot::Nothing(NotBootable::BiosOnly);
        }
        return Boot::Memdisk(boot);
    }
    Boot::Linux(boot)
}

/// The files of the first `initrd=`, wherever it stands, even within a word: the loader searches the
/// command line for these letters (`new_linux_kernel` in kernel.c). They end at a space, not at a tab.
fn initrds(image: &[u8], arguments: &[u8]) -> Vec<Text> {
    let line = [image, b" ", arguments].concat();
    let Some(at) = line.windows(7).position(|window| window == b"initrd=") else {
        return Vec::new();
    };
    let list = line.get(at + 7..).unwrap_or_default();
    let end = list
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(list.len());
    let files = list
        .get(..end)
        .unwrap_or_default()
        .split(|byte| *byte == b',');
    files
        .filter(|file| !file.is_empty())
        .map(Text::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(image_type: ImageType, image: &str, append: &str) -> Command {
        Command {
            image_type,
            image: image.into(),
            append: append.into(),
            initrd: None,
            sysappend: 0,
        }
    }

    fn boot(image: &str, append: &str, loader: Loader) -> Boot {
        command(ImageType::Kernel, image, append).boot(loader, &Client::new())
    }

    #[test]
    fn the_first_initrd_of_the_line_counts() {
        let mut both = command(ImageType::Linux, "vmlinuz", "initrd=a,b quiet");
        both.initrd = Some("c".into());
        let Boot::Linux(linux) = both.boot(Loader::Pxelinux, &Client::new()) else {
            panic!("a kernel");
        };
        assert_eq!(linux.initrds, ["a", "b"].map(Text::from));
        assert_eq!(
            linux.command_line(),
            "BOOT_IMAGE=vmlinuz initrd=a,b quiet initrd=c"
        );
        assert_eq!(linux.arguments_without_initrd(), "quiet");
    }

    /// `record` puts the type before the line, and `execute` counts it.
    #[test]
    fn the_type_counts_in_the_length_of_a_line() {
        let of = |image_type, bytes: usize| {
            let command = command(image_type, "k", &"x".repeat(bytes - 2));
            command.boot(Loader::Pxelinux, &Client::new()) == Boot::Nothing(NotBootable::TooLong)
        };
        assert!(!of(ImageType::Kernel, 2047) && of(ImageType::Kernel, 2048));
        assert!(!of(ImageType::Linux, 2040) && of(ImageType::Linux, 2041));
    }

    #[test]
    fn arguments_on_the_kernel_line_come_before_append() {
        let Boot::Linux(linux) = boot("vmlinuz ro", "quiet", Loader::Pxelinux) else {
            panic!("a kernel");
        };
        assert_eq!(
            (linux.kernel, linux.arguments),
            ("vmlinuz".into(), "ro quiet".into())
        );
    }

    #[test]
    fn kernel_goes_by_the_extension() {
        let bios = Loader::Lpxelinux;
        assert_eq!(
            boot("vesamenu.c32", "a ~", bios),
            Boot::Menu(vec!["a".into(), "~".into()])
        );
        assert!(matches!(boot("grldr.0", "", bios), Boot::Pxe(_)));
        assert!(matches!(boot("x.bs", "", bios), Boot::BootSector(_)));
        assert_eq!(
            boot("x.img", "", bios),
            Boot::Nothing(NotBootable::FloppyImage)
        );
        assert!(matches!(boot("chain.c32", "hd0", bios), Boot::Module(_)));
        assert!(matches!(
            boot("boot/memdisk", "iso", bios),
            Boot::Memdisk(_)
        ));
    }

    #[test]
    fn bios_programs_do_not_start_under_uefi() {
        for image in ["pxelinux.0", "x.bin", "memdisk"] {
            let booted = boot(image, "", Loader::SyslinuxEfi);
            assert_eq!(booted, Boot::Nothing(NotBootable::BiosOnly), "{image}");
        }
    }

    #[test]
    fn localboot_by_its_number() {
        let local = |value: &str, loader| {
            command(ImageType::LocalBoot, value, "").boot(loader, &Client::new())
        };
        assert_eq!(
            local("-1", Loader::Pxelinux),
            Boot::Local(LocalBoot::NextDevice)
        );
        assert_eq!(local("", Loader::Pxelinux), Boot::Local(LocalBoot::Normal));
        assert_eq!(
            local("0x80", Loader::Pxelinux),
            Boot::Local(LocalBoot::Other(0x80))
        );
        assert_eq!(
            local("0", Loader::SyslinuxEfi),
            Boot::Local(LocalBoot::Firmware)
        );
    }

    #[test]
    fn mboot_of_esxi_reads_a_configuration() {
        assert_eq!(
            boot(
                "esx/mboot.c32",
                "-S 1 -c esx/boot.cfg ks=http://h/ks",
                Loader::Pxelinux
            ),
            Boot::BootCfg {
                config: "esx/boot.cfg".into(),
                arguments: "ks=http://h/ks".into(),
            }
        );
    }

    #[test]
    fn mboot_without_a_kernel_starts_nothing() {
        let booted = boot("mboot.c32", "", Loader::Pxelinux);
        assert_eq!(booted, Boot::Nothing(NotBootable::NoImage));
    }

    #[test]
    fn mboot_takes_modules_between_dashes() {
        let Boot::Multiboot(modules) = boot(
            "mboot.c32",
            "xen.gz a --- vmlinuz b c --- initrd",
            Loader::Pxelinux,
        ) else {
            panic!("multiboot");
        };
        let files: Vec<String> = modules
            .iter()
            .map(|module| module.file.to_string())
            .collect();
        assert_eq!(files, ["xen.gz", "vmlinuz", "initrd"]);
        assert_eq!(modules[1].arguments, "b c");
    }
}
