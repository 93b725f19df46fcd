//! What each directive does.

use super::Interpreter;
use super::label::{LabelAction, hotkey};
use crate::diagnostic::quoted;
use crate::item::PIECE_BYTES_MAX;
use crate::keyword::{Keyword, MenuWord, Message, Reader, Word};
use crate::scan::{atoi, same_keyword, skip_space, strtoul, strtoul_decimal, word};
use crate::{
    Code, Core, EntryLines, FKeyHelp, FileId, Item, Place, ScreenId, Serial, Setting, Text,
};

impl Interpreter<'_> {
    /// A line of help, or a part of one that is too long for the loader, which joins the parts again. A
    /// carriage return is not shown (`display_help`), and the last line of a file may lack its newline.
    pub(super) fn help_line(&mut self, line: &[u8]) {
        let is_part = line.len() == PIECE_BYTES_MAX && !line.ends_with(b"\n");
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.label
            .help
            .extend(line.iter().filter(|byte| **byte != b'\r'));
        if !is_part {
            self.label.help.push(b'\n');
        }
    }

    pub(super) fn directive(
        &mut self,
        keyword: Keyword,
        file: FileId,
        item: &Item,
        value: &[u8],
        screen: &mut ScreenId,
        depth: usize,
    ) {
        let place = item.place(file);
        if self.left_out > 0 {
            match keyword {
                Keyword::Menu(MenuWord::Begin) => self.left_out += 1,
                Keyword::Menu(MenuWord::End) => self.left_out -= 1,
                _ => {}
            }
            return;
        }
        // Help that comes before its label is lost: LABEL forgets it (`parse_config_file`).
        let is_help = keyword == Keyword::Word(Word::Text) && same_keyword(word(value).0, "help");
        if (keyword.needs_label() || is_help) && !self.in_label() {
            let message = "the directive counts only below a LABEL, and is ignored here";
            self.tell(Code::OutsideLabel, Some(place), message);
        }
        self.note_line(keyword, item.value_place(file), value);
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

    /// Remembers where a line is that findings about the whole menu may name.
    fn note_line(&mut self, keyword: Keyword, place: Place, value: &[u8]) {
        let lines = &mut self.label.lines;
        match keyword {
            Keyword::Image(_) => lines.image = Some(place),
            Keyword::Word(Word::Append) => lines.append = Some(place),
            Keyword::Word(Word::Initrd) => lines.initrd = Some(place),
            Keyword::Menu(MenuWord::Label) => lines.menu_label = Some(place),
            Keyword::Word(
                Word::Include
                | Word::Display
                | Word::Font
                | Word::KbdMap
                | Word::Ui
                | Word::Default
                | Word::Timeout
                | Word::TotalTimeout
                | Word::OnTimeout
                | Word::OnError
                | Word::Implicit
                | Word::NoEscape,
            )
            | Keyword::Menu(
                MenuWord::Include | MenuWord::Background | MenuWord::Help | MenuWord::OnError,
            )
            | Keyword::FKey(_) => {
                let setting = Setting {
                    keyword,
                    value: Text::from(value),
                    place,
                    by_core: self.reader == Reader::Core,
                    by_menu: self.reader == Reader::Menu,
                };
                self.settings.insert(place, setting);
            }
            _ => {}
        }
    }

    pub(super) fn message(&mut self, message: Message, value: &[u8], screen: ScreenId) {
        let messages = &mut self.screen(screen).messages;
        if value == message.default_text().as_bytes() {
            messages.remove(&message);
        } else {
            messages.insert(message, Text::from(value));
        }
    }

    pub(super) fn word(&mut self, keyword: Word, value: &[u8], screen: ScreenId, place: Place) {
        match keyword {
            Word::Append => {
                let append = Some(Text::from(value));
                if self.in_label() {
                    self.label.append = append;
                } else {
                    self.free_append = (value != b"-" && !value.is_empty()).then_some(place);
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
            Word::Default => {
                self.menu.default = Some(Text::from(value));
                self.default_place = Some(place);
            }
            Word::Ui => {
                self.has_ui = true;
                self.ui_place = Some(place);
                self.menu.ui_command = Some(Text::from(value));
            }
            Word::Text | Word::Include => {}
            _ => self.core_word(keyword, value),
        }
    }

    /// What only the loader itself reads.
    pub(super) fn core_word(&mut self, keyword: Word, value: &[u8]) {
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
            Word::SendCookies => core.send_cookies = Some(strtoul_decimal(value)),
            _ => {}
        }
    }

    pub(super) fn menu_word(
        &mut self,
        keyword: MenuWord,
        value: &[u8],
        screen: &mut ScreenId,
        place: Place,
    ) {
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
                let (element, rest) = word(value);
                let ansi = word(skip_space(rest)).0;
                if !crate::colour::set(self.screen(id), value) {
                    let message = format!("{} is no element of the menu", quoted(element));
                    self.tell(Code::UnknownDirective, Some(place), message);
                } else if ansi != b"*"
                    && !ansi.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';'))
                {
                    let message = format!(
                        "{} is no colour: it wants numbers, as in 37;40",
                        quoted(ansi)
                    );
                    self.tell(Code::NotANumber, Some(place), message);
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
                self.label.lines = EntryLines::default();
                self.record(id);
            }
            MenuWord::Disable | MenuWord::Disabled => self.label.disabled = true,
            MenuWord::Indent => {
                self.label.indent = u32::try_from(atoi(value)).unwrap_or(0).min(255);
            }
            MenuWord::Begin => {
                self.record(id);
                if self.begin(value, place) {
                    *screen = self.current;
                } else {
                    self.left_out = 1;
                }
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
            MenuWord::Quit => self.act(LabelAction::Quit, None, place),
            MenuWord::Goto => self.act(LabelAction::Goto, Some(Text::from(value)), place),
            MenuWord::Exit => match (self.screen(id).parent, value.is_empty()) {
                (Some((parent, _)), true) => self.act(LabelAction::Exit(parent), None, place),
                (Some(_), false) => self.act(LabelAction::ExitTo, Some(Text::from(value)), place),
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
                self.act(LabelAction::Help, Some(help.file), place);
            }
            MenuWord::Resolution => {
                let (width, rest) = strtoul(value);
                self.menu.resolution = Some((width, strtoul(rest).0));
            }
        }
    }

    pub(super) fn act(&mut self, action: LabelAction, image: Option<Text>, place: Place) {
        if self.in_label() {
            self.label.action_place = Some(place);
            self.label.action = action;
            if let Some(image) = image {
                self.label.image = image;
            }
        }
    }

    pub(super) fn menu_label(&mut self, id: ScreenId, value: &[u8], place: Place) {
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

    pub(super) fn title(&mut self, id: ScreenId, value: &[u8]) {
        let screen = self.screen(id);
        screen.title = Text::from(value);
        // A submenu that shows no more than its tag shows its title instead.
        if !core::mem::replace(&mut self.named[id.0], true)
            && let Some(entry) = self.parent_entry(id)
        {
            entry.menu_label = (!value.is_empty()).then(|| Text::from(value));
        }
    }

    pub(super) fn hidden_keys(&mut self, value: &[u8]) {
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
