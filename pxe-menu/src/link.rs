//! All configurations that a menu leads to, read as one menu.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Diagnostics, quoted, quoted_text};
use crate::{
    Client, Code, Diagnostic, EntryLines, FileId, Format, Limits, Location, Menu, NeedKind, Parser,
    Paths, Place, Resolution, SourceFile, Text, Ui,
};

mod any_parser;
mod join;
mod names;
mod target;

use any_parser::{AnyParser, First, Parsed, grub_parser, is_refused};
use target::{Source, Target};

/// A file that a [`MenuReader`] needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileNeed {
    /// Its number in [`LinkedMenu::files`], for the answer.
    pub id: FileId,
    /// Its name as it is written.
    pub name: Text,
    /// What the loader asks for by that name, in the directory in which it is then.
    pub location: Location,
    /// Why it is needed.
    pub kind: NeedKind,
    /// Where it is named.
    pub place: Option<Place>,
}

/// A menu with all that it leads to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkedMenu {
    /// The menu, where its parts stand, and what was found.
    pub resolution: Resolution,
    /// The files, the first configuration's own one first: [`FileId::index`] is the index here.
    /// The name of one that was named in another directory than the first configuration's is
    /// [absolute](Paths::absolute).
    pub files: Vec<SourceFile>,
    /// What was asked for, for each of [`files`](Self::files).
    pub locations: Vec<Location>,
}

/// Reads a configuration and all others that its entries lead to, and makes one [`Menu`] of them.
/// It opens no file: it says which one it needs, and is given its content.
///
/// The first configuration may be of any [`Format`]: [`Format::of`] decides, unless
/// [`with_format`](Self::with_format) says it. Those that it leads to are of the same, since one loader reads them all. GRUB's
/// `configfile` is followed as CONFIG is; what variables it exports are not handed on, but
/// `$prefix` is.
///
/// An entry that starts menu.c32 or vesamenu.c32 with other files, and one of CONFIG, becomes
/// [`Action::Submenu`](crate::Action::Submenu) of a [`Screen`](crate::Screen) that is
/// [`linked`](crate::Screen::linked). A link to a menu that is there already, as "back to the main
/// menu", becomes [`Action::Goto`](crate::Action::Goto). Names of files in a configuration that
/// CONFIG reads in another directory become [absolute](Paths::absolute).
///
/// What is there at pxelinux and not in one menu is told in [`Diagnostic`]s: settings that count
/// for all of a configuration ([`Code::LinkedSettings`]), and a linked configuration that shows no
/// menu ([`Code::LinkedPrompt`]). NOESCAPE of any configuration counts for all, so that no entry is
/// easier to edit than it was. A linked configuration that is not there becomes a submenu that says
/// so ([`Code::MissingLink`]): the person at the machine finds out by choosing it, too.
///
/// Where the first configuration shows no menu, but starts a default entry that leads to another
/// configuration, that one's menu is the one that is shown first.
///
/// Reading ends for all files: [`Limits::configurations_max`], [`Limits::links_max`], and the other
/// limits are kept over all configurations together.
///
/// # Example
///
/// ```
/// use pxe_menu::{Action, Limits, Loader, MenuReader, Paths};
///
/// let files = [
///     ("pxelinux.cfg/default", "UI menu.c32\nLABEL other\n CONFIG sub/menu.cfg\n APPEND sub/\n"),
///     ("sub/menu.cfg", "UI menu.c32\nLABEL linux\n LINUX vmlinuz\nLABEL back\n \
///                       CONFIG ::pxelinux.cfg/default\n APPEND ::\n"),
/// ];
/// let paths = Paths::new(Loader::Pxelinux, "pxelinux.0");
/// let mut reader = MenuReader::new("pxelinux.cfg/default", paths, Limits::default());
/// while let Some(need) = reader.poll_need() {
///     let found = files.iter().find(|(path, _)| need.location.to_string() == format!("{path} (TFTP)"));
///     match found {
///         Some((_, content)) => reader.provide(need.id, *content),
///         None => reader.missing(need.id),
///     }
/// }
/// let menu = reader.finish().resolution.menu;
/// let Action::Submenu(sub) = menu.screens[0].entries[0].action else { panic!("a submenu") };
/// let sub = menu.screen(sub).expect("a screen");
/// let Action::Run(command) = &sub.entries[0].action else { panic!("a kernel") };
/// assert_eq!(command.image, "::sub/vmlinuz");
/// assert!(matches!(sub.entries[1].action, Action::Goto(_)));
/// ```
#[derive(Debug)]
pub struct MenuReader {
    limits: Limits,
    files: Vec<SourceFile>,
    locations: Vec<Location>,
    known: BTreeMap<Location, FileId>,
    nodes: Vec<Node>,
    targets: BTreeMap<Target, usize>,
    /// The node that is read next.
    next: usize,
    reading: Option<Reading>,
    spent: Spent,
    found: Diagnostics,
    told: BTreeSet<(Code, Option<Place>, String)>,
    client: Client,
    format: Option<Format>,
}

/// A configuration.
#[derive(Debug)]
struct Node {
    target: Target,
    /// How many links lead to it from the first.
    depth: usize,
    /// The entry that led to it first.
    place: Option<Place>,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    /// None of its files is there.
    Missing,
    /// It is the same menu as another.
    Same(usize),
    Read(Box<Read>),
}

/// A configuration that was read.
#[derive(Debug)]
struct Read {
    resolution: Resolution,
    links: Vec<Link>,
}

/// An entry that leads to another configuration.
#[derive(Debug, Clone, Copy)]
struct Link {
    screen: usize,
    entry: usize,
    node: usize,
}

/// The configuration that is being read.
#[derive(Debug)]
struct Reading {
    node: usize,
    parser: AnyParser,
    /// The number over all configurations of each of its files.
    ids: Vec<FileId>,
    /// The file that was asked for and not answered.
    asked: Option<(FileId, FileId)>,
}

/// What was used of the limits.
#[derive(Debug, Default)]
struct Spent {
    bytes: usize,
    lines: usize,
    screens: usize,
    entries: usize,
}

impl MenuReader {
    /// A reader that begins with the configuration of this name, for the loader of these paths.
    pub fn new(main: impl Into<Text>, paths: Paths, limits: Limits) -> Self {
        let target = Target::first(main.into(), paths);
        let node = Node {
            target: target.clone(),
            depth: 0,
            place: None,
            state: State::Waiting,
        };
        Self {
            found: Diagnostics::new(limits.diagnostics_max),
            limits,
            files: Vec::new(),
            locations: Vec::new(),
            known: BTreeMap::new(),
            nodes: vec![node],
            targets: BTreeMap::from([(target, 0)]),
            next: 0,
            reading: None,
            spent: Spent::default(),
            told: BTreeSet::new(),
            client: Client::new(),
            format: None,
        }
    }

    /// For a machine: the conditions of a grub.cfg are decided for it, as far as they can be. See
    /// [`GrubParser::with_client`](crate::GrubParser::with_client).
    #[must_use]
    pub fn with_client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// The first configuration is of this format, whatever it contains: whoever found it where only
    /// one loader looks knows that.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// The next file that is needed; `None` when there is no more. Each location is told once. A
    /// file that was not answered before the next call counts as missing.
    pub fn poll_need(&mut self) -> Option<FileNeed> {
        loop {
            let mut reading = self.reading.take().or_else(|| self.begin())?;
            let need = self.ask(&mut reading);
            if need.is_some() {
                self.reading = Some(reading);
                return need;
            }
            self.end(reading);
        }
    }

    /// Gives the content of a file. Only the file that was asked for last is taken.
    pub fn provide(&mut self, id: FileId, bytes: impl Into<Vec<u8>>) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        let Some((_, local)) = reading.asked.take_if(|(global, _)| *global == id) else {
            return;
        };
        let bytes = bytes.into();
        reading.parser.provide(local, bytes.clone());
        if reading.parser.has(local)
            && let Some(file) = self.files.get_mut(id.index())
        {
            file.bytes = Some(bytes);
        }
    }

    /// Says that a file is not there.
    pub fn missing(&mut self, id: FileId) {
        if let Some(reading) = &mut self.reading
            && let Some((_, local)) = reading.asked.take_if(|(global, _)| *global == id)
        {
            reading.parser.missing(local);
        }
    }

    /// The menu as far as it was given.
    pub fn finish(mut self) -> LinkedMenu {
        if let Some(reading) = self.reading.take() {
            self.end(reading);
        }
        let mut resolution = join::join(&mut self.nodes, &self.limits, &mut self.found);
        resolution.diagnostics = self.found.list;
        LinkedMenu {
            resolution,
            files: self.files,
            locations: self.locations,
        }
    }

    /// Asks for the next file of a configuration that is not known yet.
    fn ask(&mut self, reading: &mut Reading) -> Option<FileNeed> {
        if let Some((_, local)) = reading.asked.take() {
            reading.parser.missing(local);
        }
        while let Some(need) = reading.parser.poll_need() {
            let target = &self.nodes[reading.node].target;
            let location = target.paths.locate(&need.file);
            if let Some(known) = self.known.get(&location).copied() {
                reading.ids.push(known);
                let file = self.files.get(known.index());
                match file.and_then(|file| file.bytes.clone()) {
                    Some(bytes) => reading.parser.provide(need.id, bytes),
                    None => reading.parser.missing(need.id),
                }
                continue;
            }
            let id = FileId(u32::try_from(self.files.len()).ok()?);
            reading.ids.push(id);
            let is_elsewhere = target.is_elsewhere;
            let name = if is_elsewhere {
                target.paths.absolute(&need.file)
            } else {
                need.file.clone()
            };
            let place = match need.place {
                Some(place) => place_of(&reading.ids, place),
                None => self.nodes[reading.node].place,
            };
            self.files.push(SourceFile {
                name,
                bytes: None,
                items: Vec::new(),
            });
            self.locations.push(location.clone());
            self.known.insert(location.clone(), id);
            if self.files.len() > self.limits.files_max {
                let max = self.limits.files_max;
                let message = format!("more than {max} files: this one is not read");
                self.tell(Diagnostic::new(Code::Limited, place, message));
                reading.parser.missing(need.id);
                continue;
            }
            if let Location::NoProtocol(_) = location {
                reading.parser.missing(need.id);
                continue;
            }
            reading.asked = Some((id, need.id));
            return Some(FileNeed {
                id,
                name: need.file,
                location,
                kind: target.kind(need.kind),
                place,
            });
        }
        None
    }

    /// The next configuration that was not read.
    fn begin(&mut self) -> Option<Reading> {
        let node = self.next;
        let target = &self.nodes.get(node)?.target;
        self.next += 1;
        let mut limits = self.limits.clone();
        limits.bytes_max = limits.bytes_max.saturating_sub(self.spent.bytes);
        limits.lines_max = limits.lines_max.saturating_sub(self.spent.lines).max(1);
        limits.screens_max = limits.screens_max.saturating_sub(self.spent.screens).max(1);
        limits.entries_max = limits.entries_max.saturating_sub(self.spent.entries);
        let (loader, client) = (target.paths.loader(), self.client.clone());
        let parser = match &target.source {
            Source::Config(file) if node == 0 => AnyParser::First(Box::new(First {
                name: file.clone(),
                absolute: target.paths.absolute(file),
                is_asked: false,
                format: self.format,
                loader,
                client,
                limits,
            })),
            Source::Config(file) if target.format == Format::GrubCfg => {
                let first = self.nodes.first().map(|node| &node.target);
                let first = first.map_or(file, |first| &first.own);
                let first = target.paths.absolute(first);
                let parser = grub_parser(file.clone(), loader, client, limits);
                AnyParser::Grub(parser.with_first(first))
            }
            Source::Config(file) => AnyParser::Syslinux(Parser::new(file.clone(), limits)),
            Source::MenuFiles(files) => {
                AnyParser::Syslinux(Parser::of_menu(target.own.clone(), files, limits))
            }
        };
        Some(Reading {
            node,
            parser,
            ids: Vec::new(),
            asked: None,
        })
    }

    /// A configuration of which all files were asked for.
    fn end(&mut self, reading: Reading) {
        let Reading {
            node, parser, ids, ..
        } = reading;
        let Parsed {
            format,
            mut resolution,
            files,
            wanted,
            lines,
        } = parser.finish();
        let bytes = files.iter().flat_map(|file| &file.bytes).map(Vec::len);
        self.spent.bytes += bytes.sum::<usize>();
        self.spent.lines = self.spent.lines.saturating_add(lines);
        self.spent.screens += resolution.menu.screens.len();
        self.spent.entries += resolution.menu.entries().count();
        let has = |id: &FileId| {
            files
                .get(id.index())
                .is_some_and(|file| file.bytes.is_some())
        };
        let missing = |id: &&FileId| !has(id) && !is_refused(&resolution, **id);
        for id in wanted.iter().filter(missing) {
            self.tell_missing(node, *id, &ids);
        }
        let is_there = wanted.iter().any(has);
        self.nodes[node].target.format = format;
        renumber(&mut resolution, &ids);
        for mut diagnostic in core::mem::take(&mut resolution.diagnostics) {
            diagnostic.place = diagnostic.place.and_then(|place| place_of(&ids, place));
            if is_there || diagnostic.code == Code::Limited {
                self.tell(diagnostic);
            }
        }
        self.keep_items(files, &ids);
        if !is_there && node > 0 {
            self.nodes[node].state = State::Missing;
            return;
        }
        if let Some(same) = self.same_menu(node, &resolution) {
            self.nodes[node].state = State::Same(same);
            return;
        }
        self.tell_settings(node, &resolution.menu);
        let links = self.links(node, &resolution);
        let target = &self.nodes[node].target;
        if target.is_elsewhere {
            let moved = names::make_absolute(&mut resolution, &target.paths);
            for diagnostic in moved {
                self.tell(diagnostic);
            }
        }
        self.nodes[node].state = State::Read(Box::new(Read { resolution, links }));
    }

    /// Tells that a file of a configuration is not there.
    fn tell_missing(&mut self, node: usize, id: FileId, ids: &[FileId]) {
        let Some(id) = ids.get(id.index()).map(|id| id.index()) else {
            return;
        };
        let (Some(file), Some(location)) = (self.files.get(id), self.locations.get(id)) else {
            return;
        };
        let name = quoted_text(&file.name);
        let message = match location {
            Location::NoProtocol(_) => {
                format!("{name} is never asked for: the loader has no such protocol")
            }
            _ => format!("{name} is not there: the menu has no entries of it"),
        };
        let asked = quoted(location.to_string().as_bytes());
        let diagnostic = Diagnostic::new(Code::MissingLink, self.nodes[node].place, message)
            .with_remedy(format!("the loader asks for {asked}"));
        self.tell(diagnostic);
    }

    /// Keeps the lines of files that no other configuration had before.
    fn keep_items(&mut self, files: Vec<SourceFile>, ids: &[FileId]) {
        for (file, id) in files.into_iter().zip(ids) {
            if let Some(kept) = self.files.get_mut(id.index())
                && kept.items.is_empty()
                && file.bytes.is_some()
            {
                kept.items = file.items;
            }
        }
    }

    /// A configuration that has the same entries, from the same lines: `menu.c32 default` from a
    /// menu that is `default` itself, with or without a file of colours before it.
    fn same_menu(&self, node: usize, resolution: &Resolution) -> Option<usize> {
        let target = &self.nodes[node].target;
        let has_entries = resolution.places.iter().any(|places| !places.is_empty());
        let is_same = |other: &Node| {
            let State::Read(read) = &other.state else {
                return false;
            };
            let mine = resolution.menu.screens.iter();
            other.target.is_in_directory_of(target)
                && read.resolution.places == resolution.places
                && mine
                    .zip(&read.resolution.menu.screens)
                    .all(|(mine, theirs)| mine.entries == theirs.entries)
        };
        self.nodes.iter().position(is_same).filter(|_| has_entries)
    }

    /// Tells what counts for all of a configuration, and so is lost in one menu.
    fn tell_settings(&mut self, node: usize, menu: &Menu) {
        if node == 0 {
            return;
        }
        let Some(State::Read(first)) = self.nodes.first().map(|node| &node.state) else {
            return;
        };
        let name = quoted_text(self.nodes[node].target.name());
        let place = self.nodes[node].place;
        let lost = target::lost_settings(&first.resolution.menu, menu, &self.nodes[node].target);
        if !lost.is_empty() {
            let message = format!(
                "{name} has settings for all of its menu, which are lost in one menu: {}",
                lost.join(", ")
            );
            self.tell(Diagnostic::new(Code::LinkedSettings, place, message));
        }
        if let Source::MenuFiles(_) = self.nodes[node].target.source {
            return;
        }
        let shows = match &menu.ui {
            Ui::Prompt if menu.core.prompt => "a prompt",
            Ui::Prompt => "nothing, but starts its default",
            Ui::Other(_) => "what another module draws",
            Ui::Text(_) | Ui::Graphic(_) => return,
        };
        let message =
            format!("{name} shows no menu, but {shows}: its labels are entries of a menu here");
        self.tell(Diagnostic::new(Code::LinkedPrompt, place, message));
    }

    /// The entries that lead to other configurations, which are put down to be read.
    fn links(&mut self, node: usize, resolution: &Resolution) -> Vec<Link> {
        let mut links = Vec::new();
        let from = self.nodes[node].target.clone();
        let depth = self.nodes[node].depth + 1;
        let screens = resolution.menu.screens.iter().zip(&resolution.places);
        for (screen, (of_screen, places)) in screens.enumerate() {
            for (index, (entry, place)) in of_screen.entries.iter().zip(places).enumerate() {
                let Some(target) = from.of_entry(entry) else {
                    continue;
                };
                if let Some(to) = self.node_of(target, depth, *place) {
                    links.push(Link {
                        screen,
                        entry: index,
                        node: to,
                    });
                }
            }
        }
        links
    }

    /// The node of a target: a new one, if it has none and the limits allow it.
    fn node_of(&mut self, target: Target, depth: usize, place: Place) -> Option<usize> {
        if let Some(known) = self.targets.get(&target) {
            return Some(*known);
        }
        let message = if self.nodes.len() >= self.limits.configurations_max {
            let max = self.limits.configurations_max;
            Some(format!(
                "more than {max} configurations: this link is not followed"
            ))
        } else if depth > self.limits.links_max {
            Some(format!(
                "more than {} links after each other: this one is not followed",
                self.limits.links_max
            ))
        } else if self.spent.screens.max(self.nodes.len()) >= self.limits.screens_max {
            Some(format!(
                "more than {} menus: this link is not followed",
                self.limits.screens_max
            ))
        } else {
            None
        };
        if let Some(message) = message {
            self.tell(Diagnostic::new(Code::Limited, place, message));
            return None;
        }
        let node = self.nodes.len();
        self.targets.insert(target.clone(), node);
        self.nodes.push(Node {
            target,
            depth,
            place: Some(place),
            state: State::Waiting,
        });
        Some(node)
    }

    /// Tells a finding, once: a file that two configurations read has the same ones in both.
    fn tell(&mut self, diagnostic: Diagnostic) {
        let key = (
            diagnostic.code,
            diagnostic.place,
            diagnostic.message.clone(),
        );
        if self.told.len() <= self.limits.diagnostics_max && !self.told.insert(key) {
            return;
        }
        self.found.push(diagnostic);
    }
}

/// The place with the file's number over all configurations.
fn place_of(ids: &[FileId], place: Place) -> Option<Place> {
    let file = *ids.get(place.file.index())?;
    Some(Place { file, ..place })
}

/// Gives all places the numbers of files over all configurations.
fn renumber(resolution: &mut Resolution, ids: &[FileId]) {
    let places = resolution.places.iter_mut().flatten();
    let places = places.chain(&mut resolution.hidden_places);
    let settings = resolution.settings.iter_mut();
    for place in places.chain(settings.map(|setting| &mut setting.place)) {
        if let Some(known) = place_of(ids, *place) {
            *place = known;
        }
    }
    let entries = core::mem::take(&mut resolution.lines).into_iter();
    resolution.lines = entries
        .filter_map(|(place, lines)| {
            let line = |place: Option<Place>| place.and_then(|place| place_of(ids, place));
            let lines = EntryLines {
                menu_label: line(lines.menu_label),
                image: line(lines.image),
                append: line(lines.append),
                initrd: line(lines.initrd),
            };
            Some((place_of(ids, place)?, lines))
        })
        .collect();
}
