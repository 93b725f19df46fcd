//! From lines to a menu, as the loader does it (syslinux 6.04: com32/elflink/ldlinux/readconfig.c for
//! the loader itself, com32/menu/readconfig.c for its menu).

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostics, quoted, quoted_text};
use crate::document::include_parts;
use crate::item::ItemKind;
use crate::keyword::{ImageType, Keyword, MenuWord, Message, Reader, Word};
use crate::scan::{atoi, is_space, same_keyword, skip_space, strtoul, word};
use crate::{
    Action, Code, Command, Core, Diagnostic, Document, Entry, FKeyHelp, FileId, Item, Menu, Place,
    Screen, ScreenId, Serial, Text, Ui,
};

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
    /// What is wrong with it: the lines' own findings first.
    pub diagnostics: Vec<Diagnostic>,
}

/// What a document means to the loader.
///
/// It is read twice, as on the machine: once by the loader itself, which decides what is shown, and if
/// that is menu.c32 or vesamenu.c32, once by that. Where the two read a line differently, the menu is
/// told as its reader has it.
pub fn resolve(document: &Document) -> Resolution {
    let mut core = Interpreter::new(document, Reader::Core);
    core.run(&[FileId(0)]);
    let ui = core.user_interface();
    let mut shown = if ui.is_menu() {
        let mut menu = Interpreter::new(document, Reader::Menu);
        match document.menu_files() {
            [] => menu.run(&[FileId(0)]),
            files => menu.run(files),
        }
        menu
    } else {
        core.clone_without_findings()
    };
    shown.menu.ui = ui;
    shown.menu.default = core.menu.default.take();
    shown.menu.ui_command = core.menu.ui_command.take();
    shown.menu.core = core::mem::take(&mut core.menu.core);
    shown.check_default();
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
    Resolution {
        menu: shown.menu,
        places: shown.places,
        hidden_places: shown.hidden_places,
        diagnostics,
    }
}

/// What the loader starts first.
pub(crate) fn user_interface(document: &Document) -> Ui {
    let mut core = Interpreter::new(document, Reader::Core);
    core.run(&[FileId(0)]);
    core.user_interface()
}

/// The label that is being read (`struct labeldata`).
#[derive(Debug, Clone, Default)]
struct Label {
    name: Option<Text>,
    place: Option<Place>,
    image: Text,
    image_type: Option<ImageType>,
    append: Option<Text>,
    initrd: Option<Text>,
    menu_label: Option<Text>,
    password: Option<Text>,
    help: Vec<u8>,
    sysappend: u32,
    hide: bool,
    default: bool,
    separator: bool,
    disabled: bool,
    indent: u32,
    action: LabelAction,
    save: Option<bool>,
    immediate: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum LabelAction {
    #[default]
    Run,
    Quit,
    Goto,
    ExitTo,
    Exit(ScreenId),
    Help,
}

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
    begun: Vec<Option<Place>>,
    /// Whether a submenu shows something else than its tag.
    named: Vec<bool>,
    /// The hotkeys of each screen; the last is the hidden menu's.
    hotkeys: Vec<[bool; 256]>,
    hidden_hotkeys: [bool; 256],
    /// The first entry of each label.
    labels: BTreeMap<Text, Slot>,
    label: Label,
    current: ScreenId,
    append: Option<Text>,
    sysappend: u32,
    has_ui: bool,
    core_timeout: Option<u32>,
    core_on_timeout: Option<Text>,
    core_no_edit: bool,
    /// GOTO and EXIT to a tag, to be found when all menus are known.
    gotos: Vec<(Option<ScreenId>, usize, Place, bool)>,
    open_files: Vec<FileId>,
    lines: usize,
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
            begun: vec![None],
            named: vec![true],
            hotkeys: vec![[false; 256]],
            hidden_hotkeys: [false; 256],
            labels: BTreeMap::new(),
            label: Label::default(),
            current: ScreenId::TOP,
            append: None,
            sysappend: 0,
            has_ui: false,
            core_timeout: None,
            core_on_timeout: None,
            core_no_edit: false,
            gotos: Vec::new(),
            open_files: Vec::new(),
            lines: 0,
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
        copy.labels = core::mem::take(&mut self.labels);
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
        for (screen, index, place, is_exit) in core::mem::take(&mut self.gotos) {
            self.resolve_goto(screen, index, place, is_exit);
        }
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

    /// The menu of a tag: the last one begun (`menu_list` grows at its head).
    fn resolve_goto(
        &mut self,
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
        let target = self
            .menu
            .screens
            .iter()
            .rposition(|screen| screen.tag.as_ref() == Some(&tag));
        let Some(target) = target.map(ScreenId) else {
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
        let mut help = false;
        for item in &file.items {
            self.lines += 1;
            if self.lines > document.limits.lines_max {
                if self.lines == document.limits.lines_max + 1 {
                    let message = "more lines than are acted on: the rest is not read";
                    self.tell(Code::Limited, Some(item.place(id)), message);
                }
                break;
            }
            let value = file.value(item);
            match item.kind {
                ItemKind::HelpLine if help => self.help_line(value),
                ItemKind::Directive(keyword) => {
                    help = keyword == Keyword::Word(Word::Text);
                    if keyword.is_read_by(self.reader) {
                        self.directive(keyword, id, item, value, &mut screen, depth);
                    }
                }
                _ => {}
            }
        }
        self.open_files.pop();
    }

    /// A line of help. A carriage return is not shown (`display_help`), and the last line of a file
    /// may lack its newline.
    fn help_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.label
            .help
            .extend(line.iter().filter(|byte| **byte != b'\r'));
        self.label.help.push(b'\n');
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

    fn directive(
        &mut self,
        keyword: Keyword,
        file: FileId,
        item: &Item,
        value: &[u8],
        screen: &mut ScreenId,
        depth: usize,
    ) {
        let place = item.place(file);
        if keyword.needs_label() && !self.in_label() {
            let message = "the directive counts only below a LABEL, and is ignored here";
            self.tell(Code::OutsideLabel, Some(place), message);
        }
        match keyword {
            Keyword::Word(Word::Include) => self.include(value, false, screen, place, depth),
            Keyword::Menu(MenuWord::Include) => self.include(value, true, screen, place, depth),
            Keyword::Word(word) => self.word(word, value, *screen, place),
            Keyword::Menu(word) => self.menu_word(word, value, screen, place),
            Keyword::Message(message) => self.message(message, value, *screen),
            Keyword::Parameter(parameter) => {
                let layout = &mut self.screen(*screen).layout;
                match atoi(value) {
                    value if value == parameter.default_value() => layout.remove(&parameter),
                    value => layout.insert(parameter, value),
                };
            }
            Keyword::Image(image_type) => {
                if self.in_label() {
                    self.label.image = Text::from(value);
                    self.label.image_type = Some(image_type);
                }
            }
            Keyword::FKey(number) => {
                self.screen(*screen)
                    .f_keys
                    .insert(number, f_key_help(value));
            }
        }
    }

    fn message(&mut self, message: Message, value: &[u8], screen: ScreenId) {
        let messages = &mut self.screen(screen).messages;
        if value == message.default_text().as_bytes() {
            messages.remove(&message);
        } else {
            messages.insert(message, Text::from(value));
        }
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
        let id = if name == b"~" {
            Some(FileId(0))
        } else {
            self.document.find(name)
        };
        let there = id.filter(|id| {
            self.document
                .file(*id)
                .is_some_and(|file| file.bytes.is_some())
        });
        if there.is_none() && !name.is_empty() {
            let message = format!(
                "{} is not there: the loader goes on without a word",
                quoted(name)
            );
            self.tell(Code::MissingInclude, Some(place), message);
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
            self.begin(tag, place);
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

    fn word(&mut self, keyword: Word, value: &[u8], screen: ScreenId, place: Place) {
        match keyword {
            Word::Append => {
                let append = Some(Text::from(value));
                if self.in_label() {
                    self.label.append = append;
                } else {
                    self.append = append;
                }
            }
            Word::Initrd => {
                if self.in_label() {
                    self.label.initrd = Some(Text::from(value));
                }
            }
            Word::Label => self.new_label(value, screen, place),
            Word::Timeout => {
                let tenths = u32::try_from(atoi(value)).ok().filter(|tenths| *tenths > 0);
                self.core_timeout = tenths;
                self.screen(screen).timeout_tenths = tenths;
            }
            Word::TotalTimeout => {
                self.menu.total_timeout_tenths =
                    u32::try_from(atoi(value)).ok().filter(|tenths| *tenths > 0);
            }
            Word::OnTimeout => {
                self.core_on_timeout = Some(Text::from(value));
                self.screen(screen).on_timeout = Some(Text::from(value));
            }
            Word::AllowOptions => {
                self.core_no_edit = atoi(value) == 0;
                self.screen(screen).no_edit = atoi(value) == 0;
            }
            Word::IpAppend | Word::SysAppend => {
                let mask = strtoul(value).0;
                if self.in_label() {
                    self.label.sysappend = mask;
                } else {
                    self.sysappend = mask;
                    self.menu.core.sysappend = mask;
                }
            }
            Word::Default => self.menu.default = Some(Text::from(value)),
            Word::Ui => {
                self.has_ui = true;
                self.menu.ui_command = Some(Text::from(value));
            }
            Word::Text | Word::Include => {}
            _ => self.core_word(keyword, value, place),
        }
    }

    /// What only the loader itself reads.
    fn core_word(&mut self, keyword: Word, value: &[u8], place: Place) {
        let file = || Text::from(word(value).0);
        let core: &mut Core = &mut self.menu.core;
        match keyword {
            Word::Display => core.display.push(file()),
            Word::Font => core.font = Some(file()),
            Word::KbdMap => core.keymap = Some(file()),
            Word::Implicit => core.labels_only = atoi(value) == 0,
            Word::Prompt => core.prompt = atoi(value) != 0,
            Word::Console => core.no_console = atoi(value) == 0,
            Word::NoEscape => core.no_escape = atoi(value) != 0,
            Word::NoComplete => core.no_complete = atoi(value) != 0,
            Word::NoHalt => core.no_halt = atoi(value) != 0,
            Word::OnError => core.on_error = Some(Text::from(value)),
            Word::PxeRetry => core.pxe_retry = Some(atoi(value)),
            Word::Serial => core.serial = Some(serial(value)),
            Word::Say => core.say.push(Text::from(value)),
            Word::Path => {
                let parts = value
                    .split(|byte| *byte == b':')
                    .filter(|part| !part.is_empty());
                core.path.extend(parts.map(Text::from));
            }
            Word::SendCookies => core.send_cookies = Some(strtoul(value).0),
            _ => {}
        }
        let _ = place;
    }

    fn new_label(&mut self, value: &[u8], screen: ScreenId, place: Place) {
        self.record(screen);
        let has_space = value.iter().any(|byte| is_space(*byte));
        if has_space && self.reader == Reader::Menu {
            let first = quoted(word(value).0);
            let message = format!("the command line and DEFAULT know this label only as {first}");
            self.tell(Code::LabelWithSpace, Some(place), message);
        }
        let name = match self.reader {
            Reader::Core => Text::from(word(value).0),
            Reader::Menu => Text::from(value),
        };
        // What a label does not reset stays: see clear_label_data, which is called by record only.
        let kept = core::mem::take(&mut self.label);
        self.label = Label {
            name: Some(name.clone()),
            place: Some(place),
            image: name,
            image_type: Some(ImageType::Kernel),
            sysappend: self.sysappend,
            action: kept.action,
            save: kept.save,
            immediate: kept.immediate,
            ..Label::default()
        };
    }

    fn menu_word(&mut self, keyword: MenuWord, value: &[u8], screen: &mut ScreenId, place: Place) {
        let id = *screen;
        match keyword {
            MenuWord::Label => self.menu_label(id, value, place),
            MenuWord::Title => self.title(id, value),
            MenuWord::Default => {
                if self.in_label() {
                    self.label.default = true;
                } else if let Some((parent, index)) = self.screen(id).parent {
                    self.screen(parent).default = index;
                } else {
                    let message = "MENU DEFAULT counts only below a LABEL or in a submenu";
                    self.tell(Code::OutsideLabel, Some(place), message);
                }
            }
            MenuWord::Hide => self.label.hide = true,
            MenuWord::Passwd => {
                let password = Some(Text::from(value));
                if self.in_label() {
                    self.label.password = password;
                } else if let Some(entry) = self.parent_entry(id) {
                    entry.password = password;
                } else {
                    let message = "MENU PASSWD counts only below a LABEL or in a submenu: nothing is protected";
                    self.tell(Code::OutsideLabel, Some(place), message);
                }
            }
            MenuWord::ShiftKey => self.menu.shift_key = true,
            MenuWord::Save | MenuWord::NoSave => {
                let save = keyword == MenuWord::Save;
                if self.in_label() {
                    self.label.save = Some(save);
                } else {
                    self.screen(id).save = save;
                }
            }
            MenuWord::Immediate | MenuWord::NoImmediate => {
                let immediate = keyword == MenuWord::Immediate;
                if self.in_label() {
                    self.label.immediate = Some(immediate);
                } else {
                    self.screen(id).immediate = immediate;
                }
            }
            MenuWord::OnError => {
                self.screen(id).on_error = Some(Text::from(value));
                if self.reader == Reader::Core {
                    self.menu.core.on_error = Some(Text::from(value));
                }
            }
            MenuWord::Master => {
                let (first, rest) = word(value);
                if same_keyword(first, "passwd") {
                    self.screen(id).master_password = Some(Text::from(skip_space(rest)));
                } else {
                    let message = "MENU MASTER without PASSWD is ignored";
                    self.tell(Code::UnknownDirective, Some(place), message);
                }
            }
            MenuWord::Include => {}
            MenuWord::Background => {
                self.screen(id).background = Some(Text::from(word(value).0));
            }
            MenuWord::Hidden => self.menu.hidden_menu = true,
            MenuWord::HiddenKey => self.hidden_keys(value),
            MenuWord::Clear => self.menu.clear = true,
            MenuWord::Color | MenuWord::Colour => {
                if !crate::colour::set(self.screen(id), value) {
                    let message = format!("{} is no element of the menu", quoted(word(value).0));
                    self.tell(Code::UnknownDirective, Some(place), message);
                }
            }
            MenuWord::MsgColor | MenuWord::MsgColour => {
                crate::colour::set_messages(self.screen(id), value);
            }
            MenuWord::Separator => {
                self.record(id);
                self.label.name = Some(Text::default());
                self.label.place = Some(place);
                self.label.separator = true;
                self.record(id);
            }
            MenuWord::Disable | MenuWord::Disabled => self.label.disabled = true,
            MenuWord::Indent => {
                self.label.indent = u32::try_from(atoi(value)).unwrap_or(0).min(255)
            }
            MenuWord::Begin => {
                self.record(id);
                self.begin(value, place);
                *screen = self.current;
            }
            MenuWord::End => {
                self.record(id);
                if self.screen(self.current).parent.is_none() {
                    self.tell(
                        Code::StrayMenuEnd,
                        Some(place),
                        "MENU END, and no submenu to end",
                    );
                }
                self.end();
                *screen = self.current;
            }
            MenuWord::Quit => self.act(LabelAction::Quit, None),
            MenuWord::Goto => self.act(LabelAction::Goto, Some(Text::from(value))),
            MenuWord::Exit => match (self.screen(id).parent, value.is_empty()) {
                (Some((parent, _)), true) => self.act(LabelAction::Exit(parent), None),
                (Some(_), false) => self.act(LabelAction::ExitTo, Some(Text::from(value))),
                (None, _) => {
                    let message = "MENU EXIT counts only in a submenu";
                    self.tell(Code::OutsideLabel, Some(place), message);
                }
            },
            MenuWord::Start => self.menu.start = Some(id),
            MenuWord::Help => {
                let help = f_key_help(value);
                if self.in_label() {
                    self.label.append = help.background;
                }
                self.act(LabelAction::Help, Some(help.file));
            }
            MenuWord::Resolution => {
                let (width, rest) = strtoul(value);
                self.menu.resolution = Some((width, strtoul(rest).0));
            }
        }
    }

    fn act(&mut self, action: LabelAction, image: Option<Text>) {
        if self.in_label() {
            self.label.action = action;
            if let Some(image) = image {
                self.label.image = image;
            }
        }
    }

    fn menu_label(&mut self, id: ScreenId, value: &[u8], place: Place) {
        if self.in_label() {
            self.label.menu_label = Some(Text::from(value));
            return;
        }
        let Some((parent, index)) = self.screen(id).parent else {
            let message = "MENU LABEL counts only below a LABEL or in a submenu";
            self.tell(Code::OutsideLabel, Some(place), message);
            return;
        };
        let hotkey = hotkey(value).filter(|key| {
            let taken = &mut self.hotkeys[parent.0][usize::from(*key)];
            !core::mem::replace(taken, true)
        });
        if let Some(entry) = self.screen(parent).entries.get_mut(index) {
            entry.menu_label = (!value.is_empty()).then(|| Text::from(value));
            entry.hotkey = hotkey.or(entry.hotkey);
        }
        self.named[id.0] = true;
        let screen = self.screen(id);
        if screen.title.is_empty() {
            let title: Vec<u8> = value.iter().copied().filter(|byte| *byte != b'^').collect();
            screen.title = Text::new(title);
        }
    }

    fn title(&mut self, id: ScreenId, value: &[u8]) {
        let screen = self.screen(id);
        screen.title = Text::from(value);
        // A submenu that shows no more than its tag shows its title instead.
        if !core::mem::replace(&mut self.named[id.0], true)
            && let Some(entry) = self.parent_entry(id)
        {
            entry.menu_label = (!value.is_empty()).then(|| Text::from(value));
        }
    }

    fn hidden_keys(&mut self, value: &[u8]) {
        let (keys, command) = word(value);
        let command = Text::from(skip_space(command));
        // A comma that begins a name is a key itself.
        let mut rest = keys;
        while !rest.is_empty() {
            let comma = rest
                .iter()
                .skip(1)
                .position(|byte| *byte == b',')
                .map(|at| at + 1);
            let (key, after) = rest.split_at(comma.unwrap_or(rest.len()));
            self.menu
                .hidden_keys
                .insert(Text::from(key), command.clone());
            rest = after.get(1..).unwrap_or_default();
        }
    }

    fn begin(&mut self, tag: &[u8], place: Place) {
        if self.menu.screens.len() >= self.document.limits.screens_max {
            let max = self.document.limits.screens_max;
            self.tell(
                Code::Limited,
                Some(place),
                format!("more than {max} menus: this one is not begun"),
            );
            return;
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
            action: Action::Submenu(id),
        });
        self.places[parent.0].push(place);
        self.menu.screens.push(screen);
        self.places.push(Vec::new());
        self.begun.push(Some(place));
        self.named.push(false);
        self.hotkeys.push([false; 256]);
        self.current = id;
    }

    fn end(&mut self) {
        if let Some((parent, _)) = self.screen(self.current).parent {
            self.current = parent;
        }
    }

    /// Ends the label that is being read (`record`).
    fn record(&mut self, screen: ScreenId) {
        if self.label.name.is_none() {
            return;
        }
        let label = core::mem::take(&mut self.label);
        if label.hide && label.separator {
            return;
        }
        let place = label.place.unwrap_or(Place::new(FileId(0), 1, 1));
        let name = label.name.clone().unwrap_or_default();
        let (save, immediate) = if label.hide {
            (false, false)
        } else {
            let screen = self.screen(screen);
            (screen.save, screen.immediate)
        };
        let action = self.action(&label);
        let can_be_chosen = !label.separator && !label.disabled;
        let hotkeys = if label.hide {
            &mut self.hidden_hotkeys
        } else {
            &mut self.hotkeys[screen.0]
        };
        let hotkey = label
            .menu_label
            .as_ref()
            .filter(|_| can_be_chosen)
            .and_then(|shown| hotkey(shown))
            .filter(|key| !core::mem::replace(&mut hotkeys[usize::from(*key)], true));
        if label.append.is_some() && label.initrd.is_some() {
            self.check_initrds(&label, place);
        }
        let is_default = label.default
            && match (&action, label.action) {
                (Action::Run(_), _) => true,
                (_, LabelAction::Goto) => can_be_chosen && self.reader == Reader::Menu,
                _ => false,
            };
        let entry = Entry {
            label: (!label.separator).then_some(label.name).flatten(),
            menu_label: label.menu_label.filter(|_| !label.separator),
            indent: if label.separator { 0 } else { label.indent },
            hotkey,
            password: label.password.filter(|_| can_be_chosen),
            help: (!label.help.is_empty() && !label.separator).then(|| Text::new(label.help)),
            save: label.save.unwrap_or(save) && can_be_chosen,
            immediate: label.immediate.unwrap_or(immediate) && can_be_chosen,
            action,
        };
        let goes = matches!(entry.action, Action::Nowhere(_))
            .then_some(label.action == LabelAction::ExitTo);
        let (slot, index) = if label.hide {
            self.hidden_places.push(place);
            self.menu.hidden.push(entry);
            (None, self.menu.hidden.len() - 1)
        } else {
            self.places[screen.0].push(place);
            let found = self.screen(screen);
            found.entries.push(entry);
            let index = found.entries.len() - 1;
            if is_default {
                found.default = index;
            }
            (Some(screen), index)
        };
        if let Some(is_exit) = goes {
            self.gotos.push((slot, index, place, is_exit));
        }
        if can_be_chosen {
            self.know(name, slot, index, place);
        }
    }

    /// Remembers the first entry of each label.
    fn know(&mut self, name: Text, screen: Option<ScreenId>, index: usize, place: Place) {
        let slot = screen.map_or(Slot::Hidden, |screen| Slot::Screen(screen, index));
        if self.labels.contains_key(&name) {
            let message = format!(
                "label {} is there twice: the command line finds the first",
                quoted_text(&name)
            );
            self.tell(Code::DuplicateLabel, Some(place), message);
        } else {
            self.labels.insert(name, slot);
        }
    }

    fn action(&self, label: &Label) -> Action {
        if label.separator {
            return Action::Separator;
        }
        let append = label
            .append
            .clone()
            .or_else(|| self.append.clone())
            .unwrap_or_default();
        let command = Command {
            image_type: label.image_type.unwrap_or(ImageType::Kernel),
            image: label.image.clone(),
            append: if append == "-" {
                Text::default()
            } else {
                append
            },
            initrd: label.initrd.clone(),
            sysappend: label.sysappend,
        };
        if label.disabled {
            return Action::Disabled(command);
        }
        match label.action {
            LabelAction::Run => Action::Run(command),
            LabelAction::Quit => Action::Quit,
            LabelAction::Goto | LabelAction::ExitTo => Action::Nowhere(label.image.clone()),
            LabelAction::Exit(screen) => Action::Exit(screen),
            LabelAction::Help => Action::Help(FKeyHelp {
                file: label.image.clone(),
                background: label.append.clone(),
            }),
        }
    }

    /// The loader looks for the first `initrd=` of the command line, in which INITRD comes last
    /// (`new_linux_kernel` in kernel.c).
    fn check_initrds(&mut self, label: &Label, place: Place) {
        let append = label.append.as_deref().unwrap_or_default();
        if append.windows(7).any(|window| window == b"initrd=") {
            let message = "APPEND has initrd= and the label has INITRD: the loader loads the one of APPEND only";
            self.found.push(
                Diagnostic::new(Code::TwoInitrds, place, message)
                    .with_remedy("name all files in one INITRD, separated by commas"),
            );
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
            Some(Action::Run(run))
                if matches!(run.image_type, ImageType::Kernel | ImageType::Com32) =>
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

    fn check_default(&mut self) {
        let Some(command) = self.menu.default_command() else {
            let message = "neither DEFAULT nor UI: the loader stops at its prompt";
            self.tell(Code::NoDefault, None, message);
            return;
        };
        let first = Text::from(command.first_word());
        let names_file = first.iter().any(|byte| matches!(byte, b'.' | b'/' | b':'));
        let core_knows = self
            .labels
            .keys()
            .any(|label| label.first_word() == first.as_bytes());
        if !core_knows && !names_file && self.menu.ui == Ui::Prompt {
            let message = format!("DEFAULT {} is no label", quoted_text(&first));
            let names: Vec<String> = self.labels.keys().take(1000).map(Text::to_string).collect();
            let near = crate::keyword::nearest(&first, names.iter().map(String::as_str));
            let mut diagnostic = Diagnostic::new(Code::UnknownDefault, None, message);
            if let Some(near) = near {
                diagnostic = diagnostic.with_remedy(format!("did you mean {near}?"));
            }
            self.found.push(diagnostic);
        }
    }
}

/// The letter after the first `^`, in upper case.
fn hotkey(shown: &[u8]) -> Option<u8> {
    let caret = shown.iter().position(|byte| *byte == b'^')?;
    shown.get(caret + 1).map(|byte| byte & !0x20)
}

fn f_key_help(value: &[u8]) -> FKeyHelp {
    let (file, rest) = word(value);
    let background = word(skip_space(rest)).0;
    FKeyHelp {
        file: Text::from(file),
        background: (!background.is_empty()).then(|| Text::from(background)),
    }
}

fn serial(value: &[u8]) -> Serial {
    let port = strtoul(value).0;
    let rest = skip_space(word(value).1);
    let baud = if rest.is_empty() {
        Serial::BAUD_DEFAULT
    } else {
        u32::try_from(atoi(rest)).unwrap_or(0)
    };
    let flow = strtoul(word(rest).1).0;
    Serial { port, baud, flow }
}
