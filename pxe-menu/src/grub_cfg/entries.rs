//! From declarations to the lines of a menu.

use super::machine::{Context, Declared, Machine};
use super::outcome::{Load, Outcome, nothing};
use super::script::Block;
use super::test::Status;
use super::variables::Argument;
use crate::diagnostic::{quoted, quoted_text};
use crate::scan::is_space;
use crate::{Action, Code, Entry, EntryLines, Place, Screen, ScreenId, Text, Ui};

/// What an entry is called in `default`.
#[derive(Debug)]
pub(super) struct Name {
    id: Text,
    title: Text,
}

impl Machine<'_> {
    /// `menuentry` and `submenu` (commands/menuentry.c).
    pub(super) fn declare(
        &mut self,
        submenu: bool,
        arguments: &[Argument],
        block: Option<&Block>,
        place: Place,
    ) -> Status {
        let word = if submenu { "submenu" } else { "menuentry" };
        let Some(block) = block else {
            let message = format!("{word} without a block: GRUB makes no entry");
            self.say(Code::MissingValue, place, message);
            return Status::False;
        };
        let mut declared = Declared {
            arguments: Vec::new(),
            id: None,
            hotkey: None,
            users: None,
            unrestricted: false,
            submenu,
            block: block.clone(),
            place,
            title_place: None,
        };
        declared.read_options(arguments);
        declared.title_place = arguments
            .iter()
            .find(|argument| {
                declared
                    .arguments
                    .first()
                    .is_some_and(|title| *title.as_bytes() == argument.text)
            })
            .and_then(|argument| argument.place);
        self.told_doubt(arguments, place);
        if declared.arguments.is_empty() {
            let message = format!("{word} without a title: GRUB makes no entry");
            self.say(Code::MissingValue, place, message);
            return Status::False;
        }
        if self.entries >= self.setting.limits.entries_max {
            let max = self.setting.limits.entries_max;
            self.say(
                Code::Limited,
                place,
                format!("more than {max} entries: this one is left out"),
            );
            return Status::False;
        }
        self.entries += 1;
        // A title is kept several times.
        let bytes: usize = arguments.iter().map(|argument| argument.text.len()).sum();
        if self.step(bytes / 64, Some(place)) {
            self.declared.push(declared);
        }
        Status::True
    }

    /// What the person sees when all is read.
    pub(super) fn finish_top(&mut self) {
        let declared = core::mem::take(&mut self.declared);
        let outcome = core::mem::take(&mut self.outcome);
        // GRUB started something before it showed a menu.
        let started = outcome.booted || (declared.is_empty() && outcome.starts_something());
        let place = declared.first().map(|entry| entry.place);
        if started && outcome.starts_something() {
            let place = place.unwrap_or(Place::new(crate::FileId(0), 1, 1));
            self.entries += 1;
            self.record(ScreenId::TOP, &Text::from("boot"), None, place, outcome);
            if let Some(top) = self.menu.screens.first_mut() {
                top.timeout_tenths = Some(1);
            }
            self.menu.hidden_menu = true;
        } else {
            self.finish_screen(ScreenId::TOP, declared);
            self.timeout();
        }
        self.default_entry();
        self.menu.ui = Ui::Text(Vec::new());
        self.menu.ui_command = Some("menu.c32".into());
        if self.variables.text("superusers").is_some() {
            self.menu.core.no_escape = true;
        }
    }

    fn timeout(&mut self) {
        let timeout = self.variables.text("timeout").cloned();
        let seconds = timeout.map(|text| crate::scan::atoi(&text));
        let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
        let style = self.variables.text("timeout_style").cloned();
        let is_hidden = style.is_some_and(|style| style == "hidden" || style == "countdown");
        if let (Some(top), Some(seconds)) = (self.menu.screens.first_mut(), seconds) {
            // 0 starts the default entry at once: a tenth of a second, since 0 is no timeout elsewhere.
            top.timeout_tenths = Some(seconds.saturating_mul(10).max(1));
            self.menu.hidden_menu = is_hidden || seconds == 0;
        }
    }

    /// Runs the entries that were declared.
    fn finish_screen(&mut self, id: ScreenId, declared: Vec<Declared>) {
        if self.variables.text("superusers").is_some()
            && let Some(screen) = self.menu.screens.get_mut(id.index())
        {
            screen.no_edit = true;
        }
        for entry in declared {
            if !self.step(1, Some(entry.place)) {
                return;
            }
            let mark = self.variables.mark();
            let parameters = entry.arguments.clone();
            let outer = core::mem::replace(&mut self.variables.parameters, parameters);
            if entry.submenu {
                self.submenu(id, &entry);
            } else {
                self.entry(id, &entry);
            }
            self.variables.parameters = outer;
            self.variables.roll_back(mark);
        }
    }

    fn entry(&mut self, id: ScreenId, declared: &Declared) {
        let outer = core::mem::take(&mut self.outcome);
        let menu = core::mem::take(&mut self.declared);
        self.body(&declared.block, Context::Entry, declared.place);
        if let Some(inner) = self.declared.first() {
            let message = "menuentry inside of a menuentry: only a submenu shows entries";
            let place = inner.place;
            self.say(Code::OutsideLabel, place, message);
        }
        self.declared = menu;
        let outcome = core::mem::replace(&mut self.outcome, outer);
        let title = declared.arguments.first().cloned().unwrap_or_default();
        self.record(id, &title, Some(declared), declared.place, outcome);
    }

    fn submenu(&mut self, above: ScreenId, declared: &Declared) {
        let title = declared.arguments.first().cloned().unwrap_or_default();
        if self.menu.screens.len() >= self.setting.limits.screens_max {
            let max = self.setting.limits.screens_max;
            let message = format!("more than {max} menus: this one is left out");
            self.say(Code::Limited, declared.place, message);
            return;
        }
        let id = ScreenId(self.menu.screens.len());
        let label = self.label(declared, &title);
        let index = self
            .menu
            .screens
            .get(above.0)
            .map_or(0, |screen| screen.entries.len());
        self.menu.screens.push(Screen {
            tag: Some(label),
            title: title.clone(),
            parent: Some((above, index)),
            ..Screen::default()
        });
        self.places.push(Vec::new());
        self.names.push(Vec::new());
        let protected = self.is_protected(declared);
        let name = declared.name(&title);
        let entry = self.line(declared, None, &title, protected, Action::Submenu(id));
        self.push(above, entry, name, declared.place);
        let outer = core::mem::take(&mut self.outcome);
        let menu = core::mem::take(&mut self.declared);
        self.body(&declared.block, Context::Menu, declared.place);
        let inner = core::mem::replace(&mut self.declared, menu);
        self.outcome = outer;
        let place = declared.place;
        self.deeper(place, |machine| {
            machine.finish_screen(id, inner);
            Status::True
        });
    }

    fn push(&mut self, id: ScreenId, entry: Entry, name: Name, place: Place) {
        if let (Some(screen), Some(places), Some(names)) = (
            self.menu.screens.get_mut(id.0),
            self.places.get_mut(id.0),
            self.names.get_mut(id.0),
        ) {
            screen.entries.push(entry);
            places.push(place);
            names.push(name);
        }
    }

    /// Whether GRUB asks for a name and a password before it starts the entry: `superusers` is set, and
    /// the entry is not `--unrestricted` (`grub_menu_execute_entry`, `is_authenticated` in auth.c).
    fn is_protected(&self, declared: &Declared) -> bool {
        let restricted = declared.users.is_some() || !declared.unrestricted;
        restricted && self.variables.text("superusers").is_some()
    }

    fn record(
        &mut self,
        id: ScreenId,
        title: &Text,
        declared: Option<&Declared>,
        place: Place,
        outcome: Outcome,
    ) {
        let not_followed = outcome.not_followed;
        if matches!(outcome.load, Some(Load::Setup)) {
            let message = format!(
                "{}: fwsetup opens the firmware's setup, which no other loader can",
                quoted_text(title)
            );
            self.say(Code::NotExpressible, place, message);
        }
        let mut lines = outcome.lines;
        lines.menu_label = declared.and_then(|declared| declared.title_place);
        if lines != EntryLines::default() {
            self.lines.insert(place, lines);
        }
        let action = outcome.action(self.setting.loader);
        let is_blank = title.iter().all(|byte| is_space(*byte));
        let action = match action {
            Some(action) => action,
            None if is_blank => Action::Separator,
            None => {
                if !not_followed {
                    let message = format!("{} starts nothing", quoted_text(title));
                    self.say(Code::EmptyEntry, place, message);
                }
                Action::Disabled(nothing(Text::default()))
            }
        };
        let name = match declared {
            Some(declared) => declared.name(title),
            None => Name {
                id: title.clone(),
                title: title.clone(),
            },
        };
        let entry = match declared {
            Some(declared) => {
                let label = self.label(declared, title);
                let protected = self.is_protected(declared);
                self.line(declared, Some(label), title, protected, action)
            }
            None => Entry {
                label: Some(self.unique(title.clone())),
                menu_label: None,
                indent: 0,
                hotkey: None,
                password: None,
                help: None,
                save: false,
                immediate: false,
                unreachable: false,
                action,
            },
        };
        self.push(id, entry, name, place);
    }

    fn line(
        &mut self,
        declared: &Declared,
        label: Option<Text>,
        title: &Text,
        protected: bool,
        action: Action,
    ) -> Entry {
        let is_separator = matches!(action, Action::Separator);
        let can_be_chosen = !is_separator && !matches!(action, Action::Disabled(_));
        if protected && can_be_chosen {
            let message = format!(
                "{} wants a login of GRUB: elsewhere nobody can open it",
                quoted_text(title)
            );
            self.say(Code::LoginOfGrub, declared.place, message);
        }
        let hotkey = declared.hotkey.as_deref().filter(|_| can_be_chosen);
        let hotkey = match hotkey {
            Some([key]) if key.is_ascii_graphic() => Some(key.to_ascii_uppercase()),
            Some(other) => {
                let message = format!("the key {} is one of GRUB alone", quoted(other));
                self.say(Code::NotExpressible, declared.place, message);
                None
            }
            None => None,
        };
        Entry {
            label: label.filter(|_| !is_separator),
            menu_label: (!is_separator).then(|| marked(title, hotkey)),
            indent: 0,
            hotkey,
            // Only GRUB can check a name and a hash; without a master password nobody opens it.
            password: (protected && can_be_chosen).then(Text::default),
            help: None,
            save: false,
            immediate: hotkey.is_some(),
            unreachable: false,
            action,
        }
    }

    /// A word for the entry, of which there is one only: its id, else its title.
    fn label(&mut self, declared: &Declared, title: &Text) -> Text {
        let name = declared.id.as_ref().unwrap_or(title);
        if !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic()) {
            return self.unique(name.clone());
        }
        let mut word = Vec::new();
        for byte in name.iter() {
            if byte.is_ascii_alphanumeric() || *byte == b'.' {
                word.push(byte.to_ascii_lowercase());
            } else if word.last().is_some_and(|last| *last != b'-') {
                word.push(b'-');
            }
            if word.len() >= 40 {
                break;
            }
        }
        while word.last() == Some(&b'-') {
            word.pop();
        }
        if word.is_empty() {
            word = b"entry".to_vec();
        }
        self.unique(Text::new(word))
    }

    fn unique(&mut self, name: Text) -> Text {
        if self.labels.insert(name.clone()) {
            return name;
        }
        // The number of entries is one that no label had yet, unless somebody wrote it. None is tried again:
        // whoever wrote them all would have each entry count through them.
        let mut number = self.labels.len().max(self.numbered + 1);
        loop {
            let tried = Text::new([&name, &b"-"[..], number.to_string().as_bytes()].concat());
            self.numbered = number;
            if self.labels.insert(tried.clone()) {
                return tried;
            }
            number += 1;
        }
    }

    /// `default`: an id, a title or a number, and after a `>` the same in the submenu
    /// (`get_entry_number_helper` in normal/menu.c).
    fn default_entry(&mut self) {
        let default = self.variables.text("default").cloned().unwrap_or_default();
        let mut rest = default.as_bytes();
        let mut id = ScreenId::TOP;
        let mut started = None;
        while !rest.is_empty() {
            let (first, after) = path_parts(rest);
            let Some(screen) = self.menu.screens.get_mut(id.0) else {
                break;
            };
            let found = self.names.get(id.0).and_then(|names| number(names, &first));
            let Some(index) = found.filter(|index| *index < screen.entries.len()) else {
                if id == ScreenId::TOP {
                    let message = format!(
                        "there is no entry {}: the first one is the default",
                        quoted(&first)
                    );
                    let place = self
                        .places
                        .first()
                        .and_then(|places| places.first())
                        .copied();
                    if let Some(place) = place {
                        self.say(Code::UnknownDefault, place, message);
                    }
                }
                break;
            };
            screen.default = index;
            started = Some((id, index));
            let Some(Action::Submenu(below)) = screen.entries.get(index).map(|entry| &entry.action)
            else {
                break;
            };
            id = *below;
            rest = after;
        }
        self.fallback();
        let (screen, index) = started.unwrap_or((ScreenId::TOP, 0));
        let entry = self
            .menu
            .screens
            .get(screen.0)
            .and_then(|screen| screen.entries.get(index));
        self.menu.default = entry.and_then(|entry| entry.label.clone());
        self.menu.start = (screen != ScreenId::TOP).then_some(screen);
    }
}

impl Declared {
    fn name(&self, title: &Text) -> Name {
        Name {
            id: self.id.clone().unwrap_or_else(|| title.clone()),
            title: title.clone(),
        }
    }

    /// `--class`, `--id` and the like; what is no option is the title, and what follows it
    /// (`grub_arg_parse` in lib/arg.c, which takes an option that it does not know for a word here).
    fn read_options(&mut self, arguments: &[Argument]) {
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let text = argument.text.as_slice();
            if text == b"--" {
                let all = rest.map(|argument| Text::new(argument.text.clone()));
                self.arguments.extend(all);
                return;
            }
            let option = text.strip_prefix(b"--").unwrap_or_default();
            let equals = option.iter().position(|byte| *byte == b'=');
            let (name, value) = option.split_at(equals.unwrap_or(option.len()));
            let value = value.get(1..).map(Text::from);
            let mut value = || {
                value.clone().or_else(|| {
                    let next = rest.next_if(|next| !next.text.starts_with(b"-"));
                    next.map(|next| Text::new(next.text.clone()))
                })
            };
            match name {
                b"unrestricted" => self.unrestricted = true,
                b"class" | b"source" => drop(value()),
                b"id" => self.id = value(),
                b"hotkey" => self.hotkey = value(),
                b"users" => self.users = Some(value().unwrap_or_default()),
                _ => self.arguments.push(Text::from(text)),
            }
        }
    }
}

/// A title on one line, with a `^` before the letter of its key, where it has that letter. A `^` of its own would
/// be taken for that, and is left out.
fn marked(title: &Text, hotkey: Option<u8>) -> Text {
    let clean = title
        .iter()
        .filter(|byte| **byte != b'^')
        .map(|byte| if byte.is_ascii_control() { b' ' } else { *byte });
    let title = Text::new(clean.collect::<Vec<_>>());
    let letter = hotkey.and_then(|key| {
        title
            .iter()
            .position(|byte| byte.to_ascii_uppercase() == key)
    });
    let Some(at) = letter else {
        return title;
    };
    let (before, after) = title.split_at(at);
    Text::new([before, b"^", after].concat())
}

impl Machine<'_> {
    /// `fallback`: the entry that is started where the default one cannot be; the first of a list.
    fn fallback(&mut self) {
        let Some(fallback) = self.variables.text("fallback").cloned() else {
            return;
        };
        let names = self.names.first();
        let index = names.and_then(|names| {
            number(names, &fallback).or_else(|| number(names, fallback.first_word()))
        });
        if let Some(top) = self.menu.screens.first_mut() {
            let entry = index.and_then(|index| top.entries.get(index));
            top.on_error = entry.and_then(|entry| entry.label.clone());
        }
    }
}

/// The first part of a path of entries, `>>` in it being a `>`, and what follows it.
fn path_parts(path: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut first = Vec::new();
    let mut rest = path;
    loop {
        rest = match rest {
            [b'>', b'>', after @ ..] => {
                first.push(b'>');
                after
            }
            [b'>', after @ ..] => return (first, after),
            [byte, after @ ..] => {
                first.push(*byte);
                after
            }
            [] => return (first, rest),
        };
    }
}

/// The entry of an id, else of a title, else of a number.
fn number(names: &[Name], wanted: &[u8]) -> Option<usize> {
    let by_id = names.iter().position(|name| name.id.as_bytes() == wanted);
    let by_title = || {
        names
            .iter()
            .position(|name| name.title.as_bytes() == wanted)
    };
    by_id.or_else(by_title).or_else(|| {
        let digits = core::str::from_utf8(wanted).ok()?;
        digits.parse().ok()
    })
}
