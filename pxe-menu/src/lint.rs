//! What is wrong with a menu where it lies: its files, its loader, its kernels' arguments.

use std::collections::BTreeSet;

use crate::diagnostic::Diagnostics;
use crate::{
    Action, Boot, Client, Code, Command, Diagnostic, Link, LinuxBoot, Paths, Place, Resolution,
    Text,
};

mod arguments;
mod file;
mod image;
mod include;
mod live;
mod memdisk;
mod merge;
mod module;
mod nothing;
mod reach;
mod timeout;
mod torn;

pub use merge::check;
pub(crate) use torn::torn;

use file::Use;

/// What there is under a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileState {
    /// A file that can be read.
    File,
    /// A folder.
    Folder,
    /// Something that the server may not read.
    Unreadable,
    /// Nothing.
    Missing,
}

/// The files that a server has, as far as [`lint`](lint()) asks for them. Paths have no slash before them.
pub trait Files {
    /// Whether there is a file of this path that the server may read.
    fn is_file(&self, path: &[u8]) -> bool;

    /// All names in a folder, those that begin with a dot too; empty if there is no such folder.
    fn names(&self, folder: &[u8]) -> Vec<Text>;

    /// The first bytes of a file, 64 at least if it has them.
    fn head(&self, path: &[u8]) -> Option<Vec<u8>>;

    /// What there is. The default tells nothing [`Unreadable`](FileState::Unreadable).
    fn state(&self, path: &[u8]) -> FileState {
        if self.is_file(path) {
            FileState::File
        } else if self.names(path).is_empty() {
            FileState::Missing
        } else {
            FileState::Folder
        }
    }
}

/// Checks a menu against its loader and the files of its server. What [`Resolution::diagnostics`] told
/// already is not told again, but for a missing include: here it is told with the path that the loader
/// asks for. [`check`](check()) puts both together, for any number of loaders.
pub fn lint(
    resolution: &Resolution,
    paths: &Paths,
    client: &Client,
    files: &dyn Files,
) -> Vec<Diagnostic> {
    let mut lint = Lint {
        resolution,
        paths,
        client,
        files,
        told: BTreeSet::new(),
        found: Diagnostics::new(FINDINGS_MAX),
        suggestions_left: SUGGESTIONS_MAX,
        steps_left: STEPS_MAX,
        missing_left: MISSING_MAX,
        said: BTreeSet::new(),
    };
    if !paths.loader().is_grub() {
        lint.settings();
        lint.includes();
        lint.timeouts();
        lint.hotkeys();
        lint.reachable();
        lint.empty();
        lint.loader_itself();
        lint.commands();
    }
    let menu = &resolution.menu;
    for (screen, places) in menu.screens.iter().zip(&resolution.places) {
        for (entry, place) in screen.entries.iter().zip(places) {
            lint.action(&entry.action, *place);
            if lint.is_done() {
                return lint.found.list;
            }
        }
    }
    for (entry, place) in menu.hidden.iter().zip(&resolution.hidden_places) {
        lint.action(&entry.action, *place);
    }
    lint.found.list
}

/// Findings of one run at most: a menu of strangers may have a mistake in each of a million lines.
const FINDINGS_MAX: usize = 10_000;

/// Missing files that are looked into at most, twice as many as findings: entries may share a line with a
/// thousand of them, each of which is looked for elsewhere too.
const MISSING_MAX: usize = 2 * FINDINGS_MAX;

/// Files for which a nearest name is looked for at most: each is compared with a whole folder.
const SUGGESTIONS_MAX: usize = 1_000;

/// Pairs of bytes that are compared at most for all those names. A usual name and one of its folder are some
/// hundreds.
const STEPS_MAX: usize = 50_000_000;

struct Lint<'a> {
    resolution: &'a Resolution,
    paths: &'a Paths,
    client: &'a Client,
    files: &'a dyn Files,
    /// What is told once, however many entries it concerns.
    told: BTreeSet<(Code, String)>,
    found: Diagnostics,
    suggestions_left: usize,
    steps_left: usize,
    missing_left: usize,
    /// What was found already: entries share lines, as a global APPEND, and a line may have a word twice.
    said: BTreeSet<(Option<Place>, Code, String)>,
}

/// Where the parts of an entry stand.
#[derive(Clone, Copy)]
struct At {
    label: Place,
    image: Place,
    append: Place,
    initrd: Place,
}

impl Lint<'_> {
    fn push(&mut self, diagnostic: Diagnostic) {
        let (place, code) = (diagnostic.place, diagnostic.code);
        if !self.is_done() && self.said.insert((place, code, diagnostic.message.clone())) {
            self.found.push(diagnostic);
        }
    }

    /// Whether nothing more would be told.
    fn is_done(&self) -> bool {
        self.found.is_full()
    }

    fn tell(
        &mut self,
        code: Code,
        place: impl Into<Option<Place>>,
        message: impl Into<String>,
        remedy: Option<&str>,
    ) {
        let mut diagnostic = Diagnostic::new(code, place, message);
        diagnostic.remedy = remedy.map(str::to_owned);
        self.push(diagnostic);
    }

    /// Tells what is the same for all entries that share a file, once.
    fn tell_once(&mut self, diagnostic: Diagnostic) {
        if self
            .told
            .insert((diagnostic.code, diagnostic.message.clone()))
        {
            self.push(diagnostic);
        }
    }

    fn at(&self, label: Place) -> At {
        let lines = self.resolution.lines.get(&label).copied();
        let lines = lines.unwrap_or_default();
        let image = lines.image.unwrap_or(label);
        let append = lines.append.unwrap_or(image);
        At {
            label,
            image,
            append,
            initrd: lines.initrd.unwrap_or(append),
        }
    }

    fn action(&mut self, action: &Action, place: Place) {
        match action {
            Action::Run(command) => self.command(command, self.at(place)),
            Action::Help(help) => {
                let text = help.file.clone();
                self.file(&text, place, Use::Shown);
                if let Some(background) = &help.background {
                    self.background(background, place);
                }
            }
            _ => {}
        }
    }

    fn command(&mut self, command: &Command, at: At) {
        if let Some(Link::Config { file, .. }) = command.link() {
            self.file(&file, at.image, Use::Started);
            return;
        }
        match command.boot(self.paths.loader(), self.client) {
            Boot::Linux(linux) => {
                self.kernel(&linux, at);
                self.linux_image(command, &linux.kernel, at);
                self.initrds(&linux, command, at);
                self.arguments(&linux, command, at);
            }
            Boot::Memdisk(linux) => {
                self.file(&linux.kernel, at.image, Use::Started);
                for initrd in &linux.initrds {
                    self.file(initrd, at.initrd, Use::Started);
                }
                self.memdisk(&linux, at);
            }
            Boot::Menu(files) => {
                self.module(command.image.first_word(), at.image);
                for file in files.iter().filter(|file| **file != "~") {
                    self.file(file, at.append, Use::Started);
                }
            }
            Boot::Multiboot(modules) => {
                self.module(command.image.first_word(), at.image);
                for module in &modules {
                    self.file(&module.file, at.append, Use::Started);
                }
            }
            Boot::BootCfg { config, .. } => {
                self.module(command.image.first_word(), at.image);
                self.file(&config, at.append, Use::Started);
            }
            Boot::Wimboot { program, files } => {
                self.file(&program, at.image, Use::Started);
                for (_, file) in &files {
                    self.file(file, at.append, Use::Started);
                }
            }
            Boot::Efi(program) => self.efi(&program.file, at),
            Boot::Module(module) => self.module(&module.file, at.image),
            Boot::Pxe(program) => self.file(&program.file, at.image, Use::Started),
            Boot::BootSector(file) => {
                self.file(&file, at.image, Use::Started);
                self.boot_sector(command, &file, at);
            }
            Boot::Local(_) | Boot::Config { .. } => {}
            Boot::Nothing(why) => self.nothing(why, command, at),
        }
    }

    fn kernel(&mut self, linux: &LinuxBoot, at: At) {
        let after = &linux.arguments;
        self.file_before(&linux.kernel, after, at.image, Use::Started);
    }

    /// Files that lines outside of labels name.
    fn settings(&mut self) {
        for setting in &self.resolution.settings {
            self.setting(setting);
        }
    }

    /// What is started without being an entry: DEFAULT, UI, ONTIMEOUT and the like, where they name no
    /// label.
    fn commands(&mut self) {
        let menu = &self.resolution.menu;
        let screens = menu.screens.iter();
        let mut commands: Vec<&Text> = menu.default_command().into_iter().collect();
        commands.extend(
            screens
                .flat_map(|screen| [&screen.on_timeout, &screen.on_error])
                .flatten(),
        );
        commands.extend(&menu.core.on_error);
        commands.extend(menu.hidden_keys.values());
        let mut seen = BTreeSet::new();
        for command in commands {
            if seen.insert(command) && menu.find_label(command.first_word()).is_none() {
                self.implicit_command(command);
            }
        }
    }
}

/// A path as servers take it.
fn simplified(path: &[u8]) -> Vec<u8> {
    crate::paths::simplified(path.strip_prefix(b"::").unwrap_or(path))
}
