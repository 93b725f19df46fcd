//! What the commands of an entry start.

use super::device::Target;
use super::machine::Machine;
use super::test::Status;
use super::variables::Argument;
use crate::diagnostic::quoted;
use crate::{Action, Code, Command, Diagnostic, EntryLines, ImageType, Loader, Place, Text};

/// What is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Load {
    /// A kernel and its arguments.
    Linux(Text, Text),
    /// A Multiboot kernel and its modules, as mboot.c32 wants them.
    Multiboot(Text),
    /// A program of the firmware and its arguments.
    Chain(Text, Text),
    /// Another configuration.
    Config(Text),
    /// Back to the firmware, or to a disk of the machine.
    Leave,
    Reboot,
    Halt,
    /// The firmware's setup.
    Setup,
    /// A file that no other loader can be told of.
    Unsayable(Text),
}

/// What commands have loaded so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    pub(super) load: Option<Load>,
    pub(super) initrds: Vec<Text>,
    /// `boot`, or a command that leaves GRUB.
    pub(super) booted: bool,
    /// A command was not followed that may start something.
    pub(super) not_followed: bool,
    /// `search` was used: `$root` may be a disk.
    pub(super) searched: bool,
    /// Where the parts of what is started stand.
    pub(super) lines: EntryLines,
}

impl Outcome {
    pub(super) fn starts_something(&self) -> bool {
        self.load.is_some()
    }

    /// How many bytes a copy of it has.
    pub(super) fn bytes(&self) -> usize {
        let load = match &self.load {
            Some(Load::Linux(file, arguments) | Load::Chain(file, arguments)) => {
                file.len() + arguments.len()
            }
            Some(Load::Multiboot(text) | Load::Config(text) | Load::Unsayable(text)) => text.len(),
            Some(Load::Leave | Load::Reboot | Load::Halt | Load::Setup) | None => 0,
        };
        load + self
            .initrds
            .iter()
            .map(|file| file.len() + 32)
            .sum::<usize>()
    }

    /// The last that is loaded counts, unless GRUB was left before.
    pub(super) fn load(&mut self, load: Load) {
        if !self.booted && !matches!(self.load, Some(Load::Config(_))) {
            self.load = Some(load);
            self.initrds.clear();
            self.lines = EntryLines::default();
        }
    }

    /// What the entry does; `None`: nothing that can be told.
    pub(super) fn action(self, loader: Loader) -> Option<Action> {
        let command = |image_type, image: Text, append: Text| Command {
            image_type,
            image,
            append,
            initrd: None,
            sysappend: 0,
        };
        let run = match self.load? {
            Load::Linux(image, arguments) => {
                let mut linux = command(ImageType::Linux, image, arguments);
                let initrds: Vec<&[u8]> = self.initrds.iter().map(Text::as_bytes).collect();
                linux.initrd = (!initrds.is_empty()).then(|| Text::new(initrds.join(&b',')));
                linux
            }
            Load::Multiboot(line) => command(ImageType::Com32, "mboot.c32".into(), line),
            Load::Chain(image, arguments) => {
                let image_type = if loader.is_efi() {
                    ImageType::Efi
                } else {
                    ImageType::Boot
                };
                command(image_type, image, arguments)
            }
            Load::Config(file) => command(ImageType::Config, file, Text::default()),
            Load::Leave => command(ImageType::LocalBoot, "-1".into(), Text::default()),
            Load::Reboot => command(ImageType::Com32, "reboot.c32".into(), Text::default()),
            Load::Halt => command(ImageType::Com32, "poweroff.c32".into(), Text::default()),
            Load::Setup => return Some(Action::Disabled(nothing("fwsetup".into()))),
            Load::Unsayable(name) => return Some(Action::Disabled(nothing(name))),
        };
        Some(Action::Run(run))
    }
}

/// A command that starts nothing, with what GRUB would have started.
pub(super) fn nothing(what: Text) -> Command {
    Command {
        image_type: ImageType::None,
        image: what,
        append: Text::default(),
        initrd: None,
        sysappend: 0,
    }
}

impl Machine<'_> {
    pub(super) fn load(&mut self, name: &[u8], arguments: &[Argument], place: Place) -> Status {
        // Options of multiboot, and of chainloader under the BIOS.
        let options = arguments
            .iter()
            .take_while(|argument| argument.text.starts_with(b"--") && argument.text.len() > 2)
            .count();
        let arguments = arguments.get(options..).unwrap_or_default();
        let Some((file, rest)) = arguments.split_first() else {
            let message = format!("{} without a file", quoted(name));
            self.say(Code::MissingValue, place, message);
            return Status::False;
        };
        self.told_doubt(arguments, place);
        let place = file.place.unwrap_or(place);
        match name {
            b"initrd" | b"initrdefi" | b"initrd16" => self.initrd(arguments, place),
            b"chainloader" | b"pxechainloader" => self.chain(&file.text, rest, place),
            b"module" | b"module2" => self.module(&file.text, rest, place),
            _ => {
                let file = match self.file(&file.text, place) {
                    Ok(file) => file,
                    Err(load) => {
                        self.outcome.load(load);
                        return Status::Unknown;
                    }
                };
                let arguments = command_line(rest);
                if !self.step(arguments.len() / 64, Some(place)) {
                    return Status::Unknown;
                }
                if matches!(name, b"multiboot" | b"multiboot2") {
                    if name == b"multiboot2" {
                        let message = "multiboot2: other loaders are told of it as Multiboot 1";
                        self.say(Code::NotExpressible, place, message);
                    }
                    let line = joined(&file, &arguments);
                    self.outcome.load(Load::Multiboot(line));
                } else {
                    self.outcome.load(Load::Linux(file, arguments));
                }
            }
        }
        if name.starts_with(b"initrd") {
            self.outcome.lines.initrd = Some(place);
        } else if !name.starts_with(b"module") {
            self.outcome.lines.image = Some(place);
            self.outcome.lines.append = rest.first().and_then(|argument| argument.place);
        }
        // Whether the file is there, and is what it should be.
        Status::Unknown
    }

    /// A file of a server, or what an entry becomes that has another.
    fn file(&mut self, name: &[u8], place: Place) -> Result<Text, Load> {
        if name.windows(3).any(|window| window == b"://") {
            let message = format!("{} is no URL to GRUB, but a path on $root", quoted(name));
            let diagnostic = Diagnostic::new(Code::NoProtocol, place, message);
            self.tell(diagnostic.with_remedy("write (http,server)/path"));
        }
        match self.target(name) {
            Target::Server(file) => Ok(file),
            Target::Device(name) => {
                let message = format!("{} is not on the network", quoted(&name));
                self.say(Code::LocalDevice, place, message);
                Err(Load::Unsayable(name))
            }
            Target::Unsayable(name) => {
                let message = format!("{}: other loaders cannot be told this name", quoted(&name));
                self.say(Code::NotExpressible, place, message);
                Err(Load::Unsayable(name))
            }
        }
    }

    fn initrd(&mut self, arguments: &[Argument], place: Place) {
        let mut files = Vec::new();
        for argument in arguments {
            let place = argument.place.unwrap_or(place);
            let mut name = argument.text.as_slice();
            // `newc:NAME:FILE` puts a file into an archive of its own (loader/linux.c).
            if let Some(rest) = name.strip_prefix(b"newc:") {
                let colon = rest.iter().position(|byte| *byte == b':');
                name = rest.get(colon.map_or(0, |at| at + 1)..).unwrap_or_default();
                let message =
                    "newc: puts a file under another name: other loaders take it as it is";
                self.say(Code::NotExpressible, place, message);
            }
            match self.file(name, place) {
                Ok(file) if file.contains(&b',') => {
                    let message = format!(
                        "{}: other loaders take the comma for the end of a name",
                        quoted(&file)
                    );
                    self.say(Code::NotExpressible, place, message);
                    self.outcome.load = Some(Load::Unsayable(file));
                    return;
                }
                Ok(file) => files.push(file),
                Err(load) => {
                    self.outcome.load = Some(load);
                    return;
                }
            }
        }
        match self.outcome.load {
            Some(Load::Linux(..)) => self.outcome.initrds = files,
            Some(Load::Unsayable(_)) => {}
            _ => {
                let message = "initrd without a kernel before it: GRUB wants linux first";
                self.say(Code::CannotStart, place, message);
            }
        }
    }

    fn chain(&mut self, name: &[u8], arguments: &[Argument], place: Place) {
        // `+1`: the first sector of a device.
        let path = match name.iter().position(|byte| *byte == b')') {
            Some(end) if name.starts_with(b"(") => name.get(end + 1..).unwrap_or_default(),
            _ => name,
        };
        let is_blocks = path.starts_with(b"+") || path.is_empty();
        let on_searched = self.outcome.searched && !name.starts_with(b"(");
        let load = match self.target(name) {
            Target::Server(file) if !is_blocks && !on_searched => {
                Load::Chain(file, command_line(arguments))
            }
            Target::Unsayable(name) if !is_blocks => Load::Unsayable(name),
            _ => {
                let message = format!(
                    "{} is on a disk of the machine: the entry is taken as one that boots from there",
                    quoted(name)
                );
                self.say(Code::LocalDevice, place, message);
                Load::Leave
            }
        };
        self.outcome.load(load);
    }

    fn module(&mut self, name: &[u8], arguments: &[Argument], place: Place) {
        // `module --nounzip FILE`, and an initrd of the kernel as `module FILE FILE`.
        let file = match self.file(name, place) {
            Ok(file) => file,
            Err(load) => {
                self.outcome.load = Some(load);
                return;
            }
        };
        let Some(Load::Multiboot(line)) = &self.outcome.load else {
            if !matches!(self.outcome.load, Some(Load::Unsayable(_))) {
                let message = "module without a kernel before it: GRUB wants multiboot first";
                self.say(Code::CannotStart, place, message);
            }
            return;
        };
        let module = joined(&file, &command_line(arguments));
        let line = Text::new([line.as_bytes(), b" --- ", module.as_bytes()].concat());
        if self.step(line.len() / 256, Some(place)) {
            self.outcome.load = Some(Load::Multiboot(line));
        }
    }
}

fn joined(file: &Text, arguments: &Text) -> Text {
    if arguments.is_empty() {
        return file.clone();
    }
    Text::new([file.as_bytes(), b" ", arguments.as_bytes()].concat())
}

/// The command line that a kernel sees: quotes and backslashes escaped, and quotes around what has a
/// blank (`grub_create_loader_cmdline` in lib/cmdline.c).
fn command_line(arguments: &[Argument]) -> Text {
    let mut line = Vec::new();
    for argument in arguments {
        if !line.is_empty() {
            line.push(b' ');
        }
        let has_space = argument.text.contains(&b' ');
        if has_space {
            line.push(b'"');
        }
        for byte in &argument.text {
            if matches!(byte, b'\\' | b'\'' | b'"') {
                line.push(b'\\');
            }
            // A line's end would end the command for other loaders.
            line.push(if matches!(byte, b'\n' | b'\r' | 0) {
                b' '
            } else {
                *byte
            });
        }
        if has_space {
            line.push(b'"');
        }
    }
    Text::new(line)
}
