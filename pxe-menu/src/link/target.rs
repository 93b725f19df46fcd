//! What an entry leads to.

use crate::{Action, Boot, Client, Entry, Format, Location, Menu, NeedKind, Paths, Text};

/// A configuration, and how it comes to be read.
///
/// It is compared by what is read: the places of the files, and the directory in which they mean
/// something.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) source: Source,
    /// Where the loader is while it reads, and afterwards.
    pub(super) paths: Paths,
    /// The loader's own configuration then, for `~`.
    pub(super) own: Text,
    pub(super) format: Format,
    /// Whether its directory is another than the first configuration's.
    pub(super) is_elsewhere: bool,
    is_first: bool,
    first_directory: Text,
    key: (bool, Vec<Location>, Location),
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The loader reads this file.
    Config(Text),
    /// The menu alone reads these files.
    MenuFiles(Vec<Text>),
}

impl Target {
    /// The first configuration.
    pub(super) fn first(main: Text, paths: Paths) -> Self {
        let first_directory = paths.directory().clone();
        let mut first = Self::new(Source::Config(main.clone()), paths, main, first_directory);
        first.is_first = true;
        first
    }

    fn new(source: Source, paths: Paths, own: Text, first_directory: Text) -> Self {
        let (by_loader, names) = match &source {
            Source::Config(file) => (true, core::slice::from_ref(file)),
            Source::MenuFiles(files) => (false, files.as_slice()),
        };
        let files = names.iter().map(|name| paths.locate(name).simplified());
        // A file in the directory stands for it: the directory need not end in a slash.
        let directory = paths.locate(b"file").simplified();
        let key = (by_loader, files.collect(), directory);
        Self {
            is_elsewhere: *paths.directory() != first_directory,
            source,
            paths,
            own,
            // The first configuration's is known when it is there.
            format: Format::Syslinux,
            is_first: false,
            first_directory,
            key,
        }
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> &Text {
        match &self.source {
            Source::Config(file) => file,
            // An entry names one at least.
            Source::MenuFiles(files) => files.last().unwrap_or(&self.own),
        }
    }

    /// Why its files are needed.
    pub(super) fn kind(&self, kind: NeedKind) -> NeedKind {
        match kind {
            NeedKind::Main if !self.is_first => NeedKind::Config,
            kind => kind,
        }
    }

    /// Whether names mean the same in both.
    pub(super) fn is_in_directory_of(&self, other: &Self) -> bool {
        self.key.2 == other.key.2
    }

    /// What an entry of it leads to.
    ///
    /// CONFIG: the file is named in the present directory, and read in the new one (`execute` in
    /// elflink/ldlinux/execute.c, `parse_main_config` in elflink/ldlinux/readconfig.c). The menu
    /// with other files: a new menu.c32 reads those alone, and the loader keeps its own
    /// configuration.
    pub(super) fn of_entry(&self, entry: &Entry) -> Option<Self> {
        let Action::Run(command) = &entry.action else {
            return None;
        };
        match command.boot(self.paths.loader(), &Client::new()) {
            Boot::Config { file, directory } => {
                let paths = match directory {
                    Some(directory) => self.paths.in_directory(&directory),
                    None => self.paths.clone(),
                };
                let own = if self.is_elsewhere || paths.directory() != self.paths.directory() {
                    self.paths.absolute(&file)
                } else {
                    file
                };
                Some(self.to(Source::Config(own.clone()), paths, own))
            }
            Boot::Menu(files) if files.is_empty() => {
                let own = self.own.clone();
                let source = Source::MenuFiles(vec![own.clone()]);
                Some(self.to(source, self.paths.clone(), own))
            }
            Boot::Menu(files) => {
                let named = files
                    .into_iter()
                    .map(|file| if file == "~" { self.own.clone() } else { file });
                let source = Source::MenuFiles(named.collect());
                Some(self.to(source, self.paths.clone(), self.own.clone()))
            }
            _ => None,
        }
    }

    fn to(&self, source: Source, paths: Paths, own: Text) -> Self {
        let mut target = Self::new(source, paths, own, self.first_directory.clone());
        target.format = self.format;
        target
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Target {}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Target {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// The settings of a linked configuration that are not the first one's, and that count for all of a
/// menu. With other files, the menu is new and the loader is not.
pub(super) fn lost_settings(first: &Menu, linked: &Menu, target: &Target) -> Vec<&'static str> {
    let mut lost = Vec::new();
    let mut differs = |is_other: bool, name: &'static str| {
        if is_other {
            lost.push(name);
        }
    };
    let has_total = linked.total_timeout_tenths.is_some();
    differs(
        has_total && linked.total_timeout_tenths != first.total_timeout_tenths,
        "TOTALTIMEOUT",
    );
    differs(linked.hidden_menu && !first.hidden_menu, "MENU HIDDEN");
    differs(
        !linked.hidden_keys.is_empty() && linked.hidden_keys != first.hidden_keys,
        "MENU HIDDENKEY",
    );
    differs(linked.shift_key && !first.shift_key, "MENU SHIFTKEY");
    differs(
        linked.resolution.is_some() && linked.resolution != first.resolution,
        "MENU RESOLUTION",
    );
    if let Source::MenuFiles(_) = target.source {
        return lost;
    }
    let mut differs = |is_other: bool, name: &'static str| {
        if is_other {
            lost.push(name);
        }
    };
    let (first, linked) = (&first.core, &linked.core);
    differs(linked.no_escape != first.no_escape, "NOESCAPE");
    differs(linked.labels_only != first.labels_only, "IMPLICIT");
    differs(
        linked.serial.is_some() && linked.serial != first.serial,
        "SERIAL",
    );
    differs(linked.no_console && !first.no_console, "CONSOLE");
    differs(
        !linked.display.is_empty() && linked.display != first.display,
        "DISPLAY",
    );
    differs(!linked.say.is_empty() && linked.say != first.say, "SAY");
    differs(
        linked.on_error.is_some() && linked.on_error != first.on_error,
        "ONERROR",
    );
    lost
}
