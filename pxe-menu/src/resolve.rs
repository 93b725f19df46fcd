//! From lines to a menu, as the loader does it (syslinux 6.04: com32/elflink/ldlinux/readconfig.c for
//! the loader itself, com32/menu/readconfig.c for its menu).

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Diagnostics, quoted, quoted_text};
use crate::document::include_parts;
use crate::item::ItemKind;
use crate::keyword::{ImageType, Keyword, MenuWord, Reader, Word};
use crate::scan::{skip_space, word};
use crate::{
    Action, Code, Diagnostic, Document, Entry, FileId, Menu, Place, Screen, ScreenId, Text, Ui,
};

mod directives;
mod label;

use label::Label;

/// A menu, where its parts stand, and what was found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Resolution {
    /// The menu.
    pub menu: Menu,
    /// The place of each entry, as [`Menu::screens`] has them.
    pub places: Vec<Vec<Place>>,
    /// The place of each of [`Menu::hidden`].
    pub hidden_places: Vec<Place>,
    /// The lines of each entry, by the place of the entry. An entry without lines of its own has none
    /// here.
    pub lines: BTreeMap<Place, EntryLines>,
    /// The lines that count for a menu or for all of them, and those that name files: see
    /// [`Setting::keyword`]. In the order of their places.
    pub settings: Vec<Setting>,
    /// What is wrong with it: the lines' own findings first.
    pub diagnostics: Vec<Diagnostic>,
}

/// Where the parts of an entry stand: the values of its directives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EntryLines {
    /// MENU LABEL.
    pub menu_label: Option<Place>,
    /// KERNEL, LINUX and the like.
    pub image: Option<Place>,
    /// APPEND, if it is the label's own.
    pub append: Option<Place>,
    /// INITRD.
    pub initrd: Option<Place>,
}

/// A line that was acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Its directive: one of INCLUDE, MENU INCLUDE, DISPLAY, FONT, KBDMAP, F1 to F12, MENU BACKGROUND, MENU
    /// HELP, UI, DEFAULT, TIMEOUT, TOTALTIMEOUT, ONTIMEOUT, ONERROR, MENU ONERROR, IMPLICIT, NOESCAPE.
    pub keyword: Keyword,
    /// Its value.
    pub value: Text,
    /// Where the value stands.
    pub place: Place,
    /// Whether the loader itself acts on it.
    pub by_core: bool,
    /// Whether the menu does.
    pub by_menu: bool,
}

/// What a document means to the loader.
///
/// It is read twice, as on the machine: once by the loader itself, which decides what is shown, and if
/// that is menu.c32 or vesamenu.c32, once by that. Where the two read a line differently, the menu is
/// told as its reader has it.
pub fn resolve(document: &Document) -> Resolution {
    resolve_and_count(document).0
}

/// A menu's resolution, and how many lines were acted on for it.
pub(crate) fn resolve_and_count(document: &Document) -> (Resolution, usize) {
    if document.only_menu {
        return menu_alone(document);
    }
    let mut core = Interpreter::new(document, Reader::Core);
    core.run(&[FileId(0)]);
    let ui = core.user_interface();
    let mut shown = if ui.is_menu() {
        let mut menu = Interpreter::new(document, Reader::Menu);
        match document.menu_files() {
            [] => menu.run(&[FileId(0)]),
            files => {
                menu.check_menu_files(files, core.command_place());
                menu.run(files);
            }
        }
        menu.default_place = core.default_place;
        menu.ui_place = core.ui_place;
        menu
    } else {
        core.clone_without_findings()
    };
    for (place, setting) in core::mem::take(&mut core.settings) {
        let both = shown.settings.entry(place).or_insert(setting);
        both.by_core = true;
    }
    shown.menu.ui = ui;
    shown.menu.default = core.menu.default.take();
    shown.menu.ui_command = core.menu.ui_command.take();
    shown.menu.core = core::mem::take(&mut core.menu.core);
    shown.close_unreachable();
    shown.check_default();
    shown.check_repeated();
    let mut diagnostics = document.diagnostics().to_vec();
    let told = if shown.reader == Reader::Menu {
        &shown.found
    } else {
        &core.found
    };
    diagnostics.extend(told.list.iter().cloned());
    if shown.reader == Reader::Core {
        diagnostics.extend(shown.found.list.iter().cloned());
    }
    let lines = core.lines_read.saturating_add(shown.lines_read);
    let resolution = Resolution {
        menu: shown.menu,
        places: shown.places,
        hidden_places: shown.hidden_places,
        lines: shown.lines,
        settings: shown.settings.into_values().collect(),
        diagnostics,
    };
    (resolution, lines)
}

/// What the menu has that an entry started with files of its own: the loader does not read them.
fn menu_alone(document: &Document) -> (Resolution, usize) {
    let mut menu = Interpreter::new(document, Reader::Menu);
    menu.run(document.menu_files());
    menu.menu.ui = Ui::Text(Vec::new());
    menu.check_repeated();
    let mut diagnostics = document.diagnostics().to_vec();
    diagnostics.append(&mut menu.found.list);
    let resolution = Resolution {
        menu: menu.menu,
        places: menu.places,
        hidden_places: menu.hidden_places,
        lines: menu.lines,
        settings: menu.settings.into_values().collect(),
        diagnostics,
    };
    (resolution, menu.lines_read)
}

/// What the loader starts first.
pub(crate) fn user_interface(document: &Document) -> Ui {
    let mut core = Interpreter::new(document, Reader::Core);
    core.run(&[FileId(0)]);
    core.user_interface()
}

/// Bytes of a line that count as another line acted on: what is kept of a file is kept each time that it is
/// included.
const LINE_BYTES: usize = 64;

/// Where an entry is kept.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Screen(ScreenId, usize),
    Hidden,
}

/// The state of a reader, which is the same over all files.
#[derive(Debug)]
struct Interpreter<'a> {
    document: &'a Document,
    reader: Reader,
    menu: Menu,
    places: Vec<Vec<Place>>,
    hidden_places: Vec<Place>,
    lines: BTreeMap<Place, EntryLines>,
    settings: BTreeMap<Place, Setting>,
    begun: Vec<Option<Place>>,
    /// Whether a submenu shows something else than its tag.
    named: Vec<bool>,
    /// The hotkeys of each screen; the last is the hidden menu's.
    hotkeys: Vec<[bool; 256]>,
    hidden_hotkeys: [bool; 256],
    /// The first entry of each label.
    labels: BTreeMap<Text, Slot>,
    /// The labels of more than one entry.
    repeated: BTreeSet<Text>,
    label: Label,
    current: ScreenId,
    append: Option<Text>,
    /// The global APPEND that no label has taken yet.
    free_append: Option<Place>,
    sysappend: u32,
    has_ui: bool,
    default_place: Option<Place>,
    ui_place: Option<Place>,
    core_timeout: Option<u32>,
    core_on_timeout: Option<Text>,
    core_no_edit: bool,
    /// GOTO and EXIT to a tag, to be found when all menus are known.
    gotos: Vec<(Option<ScreenId>, usize, Place, bool)>,
    open_files: Vec<FileId>,
    lines_read: usize,
    entries: usize,
    /// The menus that are left out and not ended yet, one in the other.
    left_out: usize,
    found: Diagnostics,
}

impl<'a> Interpreter<'a> {
    fn new(document: &'a Document, reader: Reader) -> Self {
        let top = Screen {
            tag: Some(".top".into()),
            ..Screen::default()
        };
        Self {
            document,
            reader,
            menu: Menu {
                screens: vec![top],
                ..Menu::default()
            },
            places: vec![Vec::new()],
            hidden_places: Vec::new(),
            lines: BTreeMap::new(),
            settings: BTreeMap::new(),
            begun: vec![None],
            named: vec![true],
            hotkeys: vec![[false; 256]],
            hidden_hotkeys: [false; 256],
            labels: BTreeMap::new(),
            repeated: BTreeSet::new(),
            label: Label::default(),
            current: ScreenId::TOP,
            append: None,
            free_append: None,
            sysappend: 0,
            has_ui: false,
            default_place: None,
            ui_place: None,
            core_timeout: None,
            core_on_timeout: None,
            core_no_edit: false,
            gotos: Vec::new(),
            open_files: Vec::new(),
            lines_read: 0,
            entries: 0,
            left_out: 0,
            found: Diagnostics::new(document.limits.diagnostics_max),
        }
    }

    fn clone_without_findings(&mut self) -> Self {
        let mut copy = Self::new(self.document, self.reader);
        copy.menu = core::mem::take(&mut self.menu);
        self.menu.default = copy.menu.default.clone();
        self.menu.ui_command = copy.menu.ui_command.clone();
        self.menu.core = core::mem::take(&mut copy.menu.core);
        copy.places = core::mem::take(&mut self.places);
        copy.hidden_places = core::mem::take(&mut self.hidden_places);
        copy.lines = core::mem::take(&mut self.lines);
        copy.labels = core::mem::take(&mut self.labels);
        copy.repeated = core::mem::take(&mut self.repeated);
        copy.default_place = self.default_place;
        copy.ui_place = self.ui_place;
        copy
    }

    fn run(&mut self, files: &[FileId]) {
        for file in files {
            self.file(*file, 0);
        }
        self.record(self.current);
        self.finish();
    }

    fn finish(&mut self) {
        if self.current != ScreenId::TOP {
            let place = self.begun.get(self.current.0).copied().flatten();
            let message = "MENU BEGIN without MENU END: all that follows is in the submenu";
            self.tell(Code::UnclosedMenu, place, message);
        }
        // The menu of a tag is the last one begun (`menu_list` grows at its head).
        let tags: BTreeMap<Text, ScreenId> = self
            .menu
            .screens
            .iter()
            .enumerate()
            .filter_map(|(index, screen)| Some((screen.tag.clone()?, ScreenId(index))))
            .collect();
        for (screen, index, place, is_exit) in core::mem::take(&mut self.gotos) {
            self.resolve_goto(&tags, screen, index, place, is_exit);
        }
        self.check_global_append();
        if self.reader == Reader::Core {
            // To the loader itself they are of the whole, wherever they stand.
            for screen in &mut self.menu.screens {
                screen.timeout_tenths = self.core_timeout;
                screen.on_timeout = self.core_on_timeout.clone();
                screen.no_edit = self.core_no_edit;
                screen.on_error = None;
            }
        }
        // The menu heeds DEFAULT only where there is a UI, the loader always.
        let heeded = self.has_ui || self.reader == Reader::Core;
        if heeded
            && let Some(default) = &self.menu.default
            && let Some(Slot::Screen(screen, index)) =
                self.labels.get(default.first_word()).copied()
        {
            if let Some(found) = self.menu.screens.get_mut(screen.0) {
                found.default = index;
            }
            self.menu.start = Some(screen);
        }
    }

    fn resolve_goto(
        &mut self,
        tags: &BTreeMap<Text, ScreenId>,
        screen: Option<ScreenId>,
        index: usize,
        place: Place,
        is_exit: bool,
    ) {
        let entry = match screen {
            Some(id) => self
                .menu
                .screens
                .get(id.0)
                .and_then(|screen| screen.entries.get(index)),
            None => self.menu.hidden.get(index),
        };
        let Some(Action::Nowhere(tag)) = entry.map(|entry| entry.action.clone()) else {
            return;
        };
        let Some(target) = tags.get(&tag).copied() else {
            let message = format!(
                "there is no menu {}: the entry cannot be chosen",
                quoted_text(&tag)
            );
            self.tell(Code::UnknownMenu, Some(place), message);
            return;
        };
        let entry = match screen {
            Some(id) => self
                .menu
                .screens
                .get_mut(id.0)
                .and_then(|screen| screen.entries.get_mut(index)),
            None => self.menu.hidden.get_mut(index),
        };
        if let Some(entry) = entry {
            entry.action = if is_exit {
                Action::Exit(target)
            } else {
                Action::Goto(target)
            };
        }
    }

    fn tell(&mut self, code: Code, place: Option<Place>, message: impl Into<String>) {
        self.found.push(Diagnostic::new(code, place, message));
    }

    /// Reads a file. `depth` counts the files that are open above it.
    fn file(&mut self, id: FileId, depth: usize) {
        let document = self.document;
        let Some(file) = document.file(id) else {
            return;
        };
        self.open_files.push(id);
        // The menu of this file. An included file that leaves a submenu open changes the loader's
        // current menu, but not this one (`m` in parse_config_file).
        let mut screen = self.current;
        for item in &file.items {
            let before = self.lines_read;
            let lines = 1 + item.span.len() / LINE_BYTES;
            self.lines_read = before.saturating_add(lines);
            if self.lines_read > document.limits.lines_max {
                if before <= document.limits.lines_max {
                    let message = "more lines than are acted on: the rest is not read";
                    self.tell(Code::Limited, Some(item.place(id)), message);
                }
                break;
            }
            let value = file.value(item);
            match item.kind {
                ItemKind::HelpLine => self.help_line(value),
                ItemKind::Directive(keyword) if keyword.is_read_by(self.reader) => {
                    self.directive(keyword, id, item, value, &mut screen, depth);
                }
                _ => {}
            }
        }
        self.open_files.pop();
    }

    /// Where what is started first stands: the label, else UI or DEFAULT.
    fn command_place(&self) -> Option<Place> {
        let command = self.menu.default_command()?;
        let label = match self.labels.get(command.first_word()) {
            Some(Slot::Screen(screen, index)) => self.places.get(screen.0)?.get(*index).copied(),
            _ => None,
        };
        let command = match self.menu.ui_command {
            Some(_) => self.ui_place,
            None => self.default_place,
        };
        label.or(command)
    }

    /// The files that the menu's command line names, from `place` on.
    fn check_menu_files(&mut self, files: &[FileId], place: Option<Place>) {
        for id in files {
            let Some(file) = self.document.file(*id).filter(|file| file.bytes.is_none()) else {
                continue;
            };
            if self.document.refused.contains(id) {
                continue;
            }
            let named = place.and_then(|place| self.document.line_naming(&file.name, place));
            let message = format!(
                "{} is not there: the menu goes on without a word",
                quoted_text(&file.name)
            );
            self.tell(Code::MissingInclude, named.or(place), message);
        }
    }

    fn screen(&mut self, id: ScreenId) -> &mut Screen {
        // Screens are never taken away, and every id was made with one.
        &mut self.menu.screens[id.0]
    }

    /// The entry of the menu above that leads to a submenu.
    fn parent_entry(&mut self, id: ScreenId) -> Option<&mut Entry> {
        let (parent, index) = self.screen(id).parent?;
        self.screen(parent).entries.get_mut(index)
    }

    fn in_label(&self) -> bool {
        self.label.name.is_some()
    }

    fn include(
        &mut self,
        value: &[u8],
        by_menu: bool,
        screen: &mut ScreenId,
        place: Place,
        depth: usize,
    ) {
        let (name, tag) = include_parts(value);
        // The loader itself knows no tag at INCLUDE (`do_include`).
        let tag = if self.reader == Reader::Core && !by_menu {
            &[][..]
        } else {
            tag
        };
        let id = self.document.find(name);
        let there = id.filter(|id| {
            self.document
                .file(*id)
                .is_some_and(|file| file.bytes.is_some())
        });
        if there.is_none() && !name.is_empty() {
            // One without a number was never asked for; that a limit was reached is told already.
            let is_refused = id.is_none_or(|id| self.document.refused.contains(&id));
            if !is_refused {
                let message = format!(
                    "{} is not there: the loader goes on without a word",
                    quoted(name)
                );
                self.tell(Code::MissingInclude, Some(place), message);
            }
            if self.reader == Reader::Core {
                return;
            }
        }
        let mut open = None;
        if let Some(id) = there {
            if self.open_files.contains(&id) {
                let message = format!(
                    "{} includes itself: the loader would never end",
                    quoted(name)
                );
                self.tell(Code::IncludeCycle, Some(place), message);
            } else if depth + 1 >= self.document.limits.depth_max {
                let message = format!("files include each other more than {depth} deep");
                self.tell(Code::Limited, Some(place), message);
            } else {
                open = Some(id);
            }
        }
        if !tag.is_empty() {
            self.record(*screen);
            if !self.begin(tag, place) {
                return;
            }
            *screen = self.current;
        }
        if let Some(id) = open {
            self.file(id, depth + 1);
        }
        if !tag.is_empty() {
            self.record(*screen);
            self.end();
            *screen = self.current;
        } else if self.current != *screen && open.is_some() {
            let message = format!(
                "{} leaves a submenu open: the lines after it are not in that submenu, but files included after it are",
                quoted(name)
            );
            self.tell(Code::UnclosedMenu, Some(place), message);
        }
    }

    /// Whether there may be another entry.
    fn may_have_entry(&mut self, place: Place) -> bool {
        let max = self.document.limits.entries_max;
        self.entries = self.entries.saturating_add(1);
        if self.entries > max {
            let message = format!("more than {max} entries: this one is left out");
            self.tell(Code::Limited, Some(place), message);
        }
        self.entries <= max
    }

    /// Begins a menu, if there may be another.
    fn begin(&mut self, tag: &[u8], place: Place) -> bool {
        if self.menu.screens.len() >= self.document.limits.screens_max {
            let max = self.document.limits.screens_max;
            self.tell(
                Code::Limited,
                Some(place),
                format!("more than {max} menus: this one is left out"),
            );
            return false;
        }
        if !self.may_have_entry(place) {
            return false;
        }
        let tag = (!tag.is_empty()).then(|| Text::from(tag));
        let id = ScreenId(self.menu.screens.len());
        let parent = self.current;
        let index = self.screen(parent).entries.len();
        let above = self.screen(parent);
        let screen = Screen {
            tag: tag.clone(),
            title: Text::default(),
            parent: Some((parent, index)),
            entries: Vec::new(),
            default: 0,
            timeout_tenths: above.timeout_tenths,
            on_timeout: above.on_timeout.clone(),
            on_error: above.on_error.clone(),
            no_edit: above.no_edit,
            save: above.save,
            immediate: above.immediate,
            master_password: above.master_password.clone(),
            background: above.background.clone(),
            messages: above.messages.clone(),
            layout: above.layout.clone(),
            colours: above.colours.clone(),
            message_colours: above.message_colours.clone(),
            f_keys: above.f_keys.clone(),
            linked: false,
        };
        above.entries.push(Entry {
            label: None,
            menu_label: tag,
            indent: 0,
            hotkey: None,
            password: None,
            help: None,
            save: false,
            immediate: false,
            unreachable: false,
            action: Action::Submenu(id),
        });
        self.places[parent.0].push(place);
        self.menu.screens.push(screen);
        self.places.push(Vec::new());
        self.begun.push(Some(place));
        self.named.push(false);
        self.hotkeys.push([false; 256]);
        self.current = id;
        true
    }

    fn end(&mut self) {
        if let Some((parent, _)) = self.screen(self.current).parent {
            self.current = parent;
        }
    }

    fn user_interface(&self) -> Ui {
        let Some(command) = self.menu.default_command() else {
            return Ui::Prompt;
        };
        let (first, arguments) = word(command);
        let label = self.labels.get(first).and_then(|slot| match slot {
            Slot::Screen(screen, index) => self.menu.screens.get(screen.0)?.entries.get(*index),
            Slot::Hidden => self.menu.find_label(first),
        });
        let line = match label.map(|entry| &entry.action) {
            // The extension is looked for only where no label is named (`load_kernel` in ldlinux.c).
            Some(Action::Run(run))
                if run.image_type == ImageType::Com32
                    || (run.image_type == ImageType::Kernel
                        && run.image.first_word().ends_with(b".c32")) =>
            {
                [
                    &run.image[..],
                    b" ",
                    &run.append,
                    b" ",
                    skip_space(arguments),
                ]
                .concat()
            }
            Some(_) => return Ui::Prompt,
            // ALLOWOPTIONS 0 cuts off what follows a name that is no label, even that of UI
            // (`load_kernel` in ldlinux.c): the menu is not given its files.
            None if self.core_no_edit => first.to_vec(),
            None => command.to_vec(),
        };
        let (module, arguments) = word(&line);
        let files = || {
            let mut files = Vec::new();
            let mut rest = skip_space(arguments);
            while !rest.is_empty() {
                let (file, after) = word(rest);
                files.push(Text::from(file));
                rest = skip_space(after);
            }
            files
        };
        let base = module
            .rsplit(|byte| matches!(byte, b'/' | b':'))
            .next()
            .unwrap_or_default();
        let base = base.to_ascii_lowercase();
        match base.strip_suffix(b".c32").unwrap_or(&base) {
            b"menu" => Ui::Text(files()),
            b"vesamenu" => Ui::Graphic(files()),
            _ if base.ends_with(b".c32") || self.has_ui => Ui::Other(Text::from(&line[..])),
            _ => Ui::Prompt,
        }
    }

    /// Without a menu NOESCAPE leaves nothing but the default, even with PROMPT 1 (`enter_cmdline` in
    /// ldlinux.c). Arguments make it another command than the entry's.
    fn close_unreachable(&mut self) {
        let has_menu = self.menu.ui.is_menu() || self.menu.ui.is_gfxboot();
        if has_menu || !self.menu.core.no_escape {
            return;
        }
        let default = self.menu.default_command().map(|line| word(line));
        let default = default.filter(|(_, rest)| skip_space(rest).is_empty());
        let default = match default.and_then(|(label, _)| self.labels.get(label)) {
            Some(Slot::Screen(screen, at)) => Some((screen.0, *at)),
            _ => None,
        };
        for (index, screen) in self.menu.screens.iter_mut().enumerate() {
            for (at, entry) in screen.entries.iter_mut().enumerate() {
                let is_command = matches!(entry.action, Action::Run(_));
                entry.unreachable = is_command && default != Some((index, at));
            }
        }
    }

    /// Since version 5 the loader puts the global APPEND to labels alone, and not, as syslinux.txt has
    /// it, to images that are started by their name (`new_linux_kernel` in kernel.c, whose `ocmdline`
    /// is never NULL).
    fn check_global_append(&mut self) {
        let told_missing = |told: &Diagnostic| told.code == Code::MissingInclude;
        // What stands in no menu may be there for the file that includes it.
        let is_part = self.labels.is_empty() && self.menu.default.is_none();
        if let Some(place) = self.free_append.take()
            && !is_part
            && !self.found.list.iter().any(told_missing)
        {
            let message =
                "no label takes this APPEND, and images started by their name do not, either";
            self.tell(Code::OutsideLabel, Some(place), message);
        }
    }

    /// Command lines that name a label of more than one entry. A menu of which nobody types or names the
    /// labels, as one in which each is `-`, is none the worse for it.
    fn check_repeated(&mut self) {
        let names_label = |setting: &&Setting| match setting.keyword {
            Keyword::Word(Word::Default) => self.menu.default.as_ref() == Some(&setting.value),
            Keyword::Word(Word::OnTimeout | Word::OnError) | Keyword::Menu(MenuWord::OnError) => {
                true
            }
            _ => false,
        };
        let lines = self.settings.values().filter(names_label);
        let lines = lines.filter(|line| self.repeated.contains(line.value.first_word()));
        let told: Vec<Diagnostic> = lines
            .map(|line| {
                let label = quoted(line.value.first_word());
                let message = format!("there is more than one label {label}: the first is meant");
                Diagnostic::new(Code::AmbiguousLabel, line.place, message)
            })
            .collect();
        for diagnostic in told {
            self.found.push(diagnostic);
        }
    }

    fn check_default(&mut self) {
        let Some(command) = self.menu.default_command() else {
            let message = "neither DEFAULT nor UI: the loader stops at its prompt";
            self.tell(Code::NoDefault, None, message);
            return;
        };
        // Where there is a UI, the menu selects the entry of DEFAULT.
        let (command, place) = match (&self.menu.ui_command, &self.menu.default) {
            (Some(_), Some(default)) if self.menu.ui.is_menu() => (default, self.default_place),
            (Some(_), _) => (command, self.ui_place),
            (None, _) => (command, self.default_place),
        };
        let first = Text::from(command.first_word());
        let names_file = first.iter().any(|byte| matches!(byte, b'.' | b'/' | b':'));
        let is_known = match self.reader {
            Reader::Core => self.menu.ui != Ui::Prompt || self.labels.contains_key(&first),
            Reader::Menu => self.labels.contains_key(&first) || self.menu.ui_command.is_none(),
        };
        if !is_known && !names_file && !first.is_empty() {
            let message = format!("DEFAULT {} is no label", quoted_text(&first));
            let names: Vec<String> = self.labels.keys().take(1000).map(Text::to_string).collect();
            let near = crate::keyword::nearest(&first, names.iter().map(String::as_str));
            let mut diagnostic = Diagnostic::new(Code::UnknownDefault, place, message);
            if let Some(near) = near {
                diagnostic = diagnostic.with_remedy(format!("did you mean {near}?"));
            }
            self.found.push(diagnostic);
        }
    }
}
