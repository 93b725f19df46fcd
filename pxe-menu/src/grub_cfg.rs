//! grub.cfg: a working subset, read as GRUB's own script parser reads it (GRUB 2.06 and 2.12:
//! grub-core/script, grub-core/normal, grub-core/commands).
//!
//! A grub.cfg is a program. It is run here as far as that can be done without the machine: variables,
//! functions, loops, `source`, and the conditions that a netbooted client's variables decide. Where
//! a condition is decided on the machine only, both branches are read, and a finding says so.

use std::collections::{BTreeMap, VecDeque};

mod device;
mod entries;
mod machine;
mod names;
mod outcome;
mod script;
mod test;
mod token;
mod variables;

use crate::diagnostic::Diagnostics;
use crate::{
    Client, Code, Diagnostic, FileId, Limits, Loader, Need, NeedKind, Place, Resolution,
    SourceFile, Text,
};
use machine::{Asked, Finished, Library, Setting};
use script::Block;

/// Reads a grub.cfg, and the files that it reads. It opens no file: it says which one it needs, and is
/// given its content, as [`Parser`](crate::Parser) does it.
///
/// # Names
///
/// GRUB's names are absolute, on a device: `/linux` is on `$root`, `(http,192.0.2.1)/linux` on a server.
/// In the menu, and in [`Need::file`], they are written so that [`Paths::locate`](crate::Paths::locate)
/// finds the file whatever the loader's directory is: `::linux` on the loader's own server, by whatever
/// protocol, and else a URL. The folder of the configuration does not matter, unless by `$prefix`,
/// which is taken to be that folder.
///
/// # What entries become
///
/// | commands | action |
/// |---|---|
/// | `linux`, `initrd`, and the forms with `efi` and `16` | [`ImageType::Linux`](crate::ImageType) |
/// | `chainloader` of a file on the network | [`ImageType::Efi`](crate::ImageType); a boot sector with [`Loader::GrubPc`] |
/// | `chainloader` or `configfile` of a disk, `exit` | LOCALBOOT -1 |
/// | `multiboot`, `multiboot2`, `module` | mboot.c32 |
/// | `configfile` | CONFIG: see [`Menu::links`](crate::Menu::links) |
/// | `reboot`, `halt` | reboot.c32, poweroff.c32 |
/// | nothing that can be told | [`Action::Disabled`](crate::Action), with a finding |
///
/// Where `superusers` is set, no entry can be edited, and one without `--unrestricted` has an empty
/// [`password`](crate::Entry::password): only GRUB can ask for a name, and check a hash.
///
/// # Example
///
/// ```
/// use pxe_menu::{Action, Boot, Client, GrubParser, Limits, Loader};
///
/// let mut parser = GrubParser::new("grub/grub.cfg", Limits::default());
/// while let Some(need) = parser.poll_need() {
///     match need.file.to_string().as_str() {
///         "grub/grub.cfg" => parser.provide(need.id, "set timeout=5\nsource $prefix/os.cfg\n"),
///         "::grub/os.cfg" => parser.provide(
///             need.id,
///             "menuentry 'Debian' { linux /linux quiet; initrd /initrd.gz }\n",
///         ),
///         _ => parser.missing(need.id),
///     }
/// }
/// let menu = parser.finish().menu;
/// let entry = &menu.screens[0].entries[0];
/// let Action::Run(command) = &entry.action else { panic!("an entry to start") };
/// let Boot::Linux(linux) = command.boot(Loader::GrubEfi, &Client::new()) else { panic!("a kernel") };
/// assert_eq!((linux.kernel, linux.initrds), ("::linux".into(), vec!["::initrd.gz".into()]));
/// ```
#[derive(Debug)]
pub struct GrubParser {
    limits: Limits,
    loader: Loader,
    client: Client,
    /// The configuration whose folder is `$prefix`, if it is another.
    first: Option<Text>,
    files: Vec<SourceFile>,
    scripts: Vec<Option<Block>>,
    names: BTreeMap<Text, FileId>,
    queue: VecDeque<Need>,
    bytes: usize,
    /// What the lines themselves say.
    found: Diagnostics,
    /// The commands that may still be run, over all runs.
    steps_left: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A file was given since the last run.
    Changed,
    Run(Box<Finished>),
}

/// What a run knows of the files.
struct Files<'a> {
    names: &'a BTreeMap<Text, FileId>,
    scripts: &'a [Option<Block>],
}

impl Library for Files<'_> {
    fn open(&self, name: &Text) -> Option<(FileId, Option<Block>)> {
        let id = *self.names.get(name)?;
        Some((id, self.scripts.get(id.index())?.clone()))
    }
}

/// How often in all a configuration may be run anew, in bounds of one run: it is run again where it turns
/// out to need another file.
const RUNS: usize = 8;

impl GrubParser {
    /// A parser for the configuration of this name: a path on the server, or a URL.
    pub fn new(main: impl Into<Text>, limits: Limits) -> Self {
        let main = main.into();
        let mut parser = Self {
            loader: Loader::GrubEfi,
            client: Client::new(),
            first: None,
            files: Vec::new(),
            scripts: Vec::new(),
            names: BTreeMap::new(),
            queue: VecDeque::new(),
            bytes: 0,
            found: Diagnostics::new(limits.diagnostics_max),
            steps_left: limits.lines_max.saturating_mul(RUNS),
            state: State::Changed,
            limits,
        };
        parser.ask(main.clone(), NeedKind::Main, None);
        // What GRUB's own names call it.
        if let device::Target::Server(own) = device::target(&main, b"tftp", None) {
            parser.names.entry(own).or_insert(FileId(0));
        }
        parser
    }

    /// For a build of GRUB: [`Loader::GrubEfi`], which is the default, or [`Loader::GrubPc`]. It decides
    /// `$grub_platform`, and what `chainloader` starts.
    #[must_use]
    pub fn with_loader(mut self, loader: Loader) -> Self {
        self.loader = loader;
        self
    }

    /// For a configuration that another leads to (`configfile`): `$prefix` and `$root` are as they were for
    /// the first.
    #[must_use]
    pub(crate) fn with_first(mut self, first: Text) -> Self {
        self.first = Some(first);
        self
    }

    /// For a machine: `$net_default_server` and the like have its values. A variable that only the machine
    /// knows stays as it is written, with a finding.
    #[must_use]
    pub fn with_client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// The next file that is needed; `None` when there is no more. Each is told once.
    pub fn poll_need(&mut self) -> Option<Need> {
        if self.queue.is_empty() && matches!(self.state, State::Changed) {
            let finished = self.run();
            for Asked { file, kind, place } in finished.asked.clone() {
                self.ask(file, kind, Some(place));
            }
            self.state = State::Run(Box::new(finished));
        }
        self.queue.pop_front()
    }

    /// Gives the content of a file. A second content for the same file is ignored.
    pub fn provide(&mut self, id: FileId, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        let Some(file) = self.files.get_mut(id.index()) else {
            return;
        };
        if file.bytes.is_some() {
            return;
        }
        let total = self.bytes.saturating_add(bytes.len());
        if total > self.limits.bytes_max {
            let max = self.limits.bytes_max;
            let message =
                format!("the files have more than {max} bytes in all: this one is not read");
            let place = Place::new(id, 1, 1);
            self.found
                .push(Diagnostic::new(Code::Limited, place, message));
            return;
        }
        self.bytes = total;
        let words_max = self.limits.lines_max.saturating_mul(2);
        let script = script::parse(id, &bytes, words_max, &mut self.found);
        file.bytes = Some(bytes);
        if let Some(known) = self.scripts.get_mut(id.index()) {
            *known = Some(script);
        }
        self.state = State::Changed;
    }

    /// Says that a file is not there. Not to answer means the same.
    pub fn missing(&mut self, _id: FileId) {
        self.state = State::Changed;
    }

    /// The files, the main one first, then in the order in which they were asked for. They have no
    /// [`items`](SourceFile::items).
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The menu, as far as its files were given.
    pub fn finish(self) -> Resolution {
        self.finish_whole().0
    }

    /// The menu, the files, and how many commands were run.
    pub(crate) fn finish_whole(mut self) -> (Resolution, Vec<SourceFile>, usize) {
        let finished = match core::mem::replace(&mut self.state, State::Changed) {
            State::Run(finished) if finished.asked.is_empty() => *finished,
            _ => self.run(),
        };
        let mut found = self.found;
        for diagnostic in finished.found.list {
            found.push(diagnostic);
        }
        let resolution = Resolution {
            menu: finished.menu,
            places: finished.places,
            hidden_places: Vec::new(),
            lines: finished.lines,
            settings: Vec::new(),
            diagnostics: found.list,
        };
        let steps_max = self.limits.lines_max.saturating_mul(RUNS);
        let steps = steps_max.saturating_sub(self.steps_left);
        (resolution, self.files, steps)
    }

    fn run(&mut self) -> Finished {
        let main = self.files.first().map(|file| file.name.clone());
        let main = self.first.clone().or(main);
        let setting = Setting {
            library: &Files {
                names: &self.names,
                scripts: &self.scripts,
            },
            limits: &self.limits,
            loader: self.loader,
            client: &self.client,
            main: &main.unwrap_or_default(),
            steps_max: self.limits.lines_max.min(self.steps_left),
        };
        let block = self.scripts.first().cloned().flatten().unwrap_or_default();
        let finished = machine::run(&setting, FileId(0), &block);
        self.steps_left = self.steps_left.saturating_sub(finished.steps);
        finished
    }

    fn ask(&mut self, file: Text, kind: NeedKind, place: Option<Place>) {
        if self.names.contains_key(&file) {
            return;
        }
        let Ok(number) = u32::try_from(self.files.len()) else {
            return;
        };
        if self.files.len() >= self.limits.files_max {
            let max = self.limits.files_max;
            let message = format!("more than {max} files: this one is not read");
            self.found
                .push(Diagnostic::new(Code::Limited, place, message));
            return;
        }
        let id = FileId(number);
        self.names.insert(file.clone(), id);
        self.files.push(SourceFile {
            name: file.clone(),
            bytes: None,
            items: Vec::new(),
        });
        self.scripts.push(None);
        self.queue.push_back(Need {
            id,
            file,
            kind,
            place,
        });
    }
}
