//! A label: what is read below it, and the entry that it becomes.

use std::collections::btree_map;

use super::{EntryLines, Interpreter, Slot};
use crate::diagnostic::{quoted, quoted_text};
use crate::keyword::{ImageType, Reader};
use crate::scan::{skip_space, word};
use crate::{Action, Code, Command, Diagnostic, Entry, FKeyHelp, FileId, Place, ScreenId, Text};

/// The label that is being read (`struct labeldata`).
#[derive(Debug, Clone, Default)]
pub(super) struct Label {
    pub(super) name: Option<Text>,
    pub(super) place: Option<Place>,
    pub(super) lines: EntryLines,
    pub(super) image: Text,
    pub(super) image_type: Option<ImageType>,
    pub(super) append: Option<Text>,
    pub(super) initrd: Option<Text>,
    pub(super) menu_label: Option<Text>,
    pub(super) password: Option<Text>,
    pub(super) help: Vec<u8>,
    pub(super) sysappend: u32,
    pub(super) hide: bool,
    pub(super) default: bool,
    pub(super) separator: bool,
    pub(super) disabled: bool,
    pub(super) indent: u32,
    pub(super) action: LabelAction,
    pub(super) action_place: Option<Place>,
    pub(super) save: Option<bool>,
    pub(super) immediate: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum LabelAction {
    #[default]
    Run,
    Quit,
    Goto,
    ExitTo,
    Exit(ScreenId),
    Help,
}

impl Interpreter<'_> {
    pub(super) fn new_label(&mut self, value: &[u8], screen: ScreenId, place: Place) {
        self.record(screen);
        // A blank after the name matters to the menu alone, and only where the label is named.
        if !skip_space(word(value).1).is_empty() {
            let first = quoted(word(value).0);
            let message = format!("the command line and DEFAULT know this label only as {first}");
            self.tell(Code::LabelWithSpace, Some(place), message);
        }
        let name = match self.reader {
            Reader::Core => Text::from(word(value).0),
            Reader::Menu => Text::from(value),
        };
        self.label = Label {
            name: Some(name.clone()),
            place: Some(place),
            image: name,
            image_type: Some(ImageType::Kernel),
            sysappend: self.sysappend,
            ..Label::default()
        };
    }

    /// Ends the label that is being read (`record`).
    pub(super) fn record(&mut self, screen: ScreenId) {
        if self.label.name.is_none() {
            return;
        }
        let mut label = core::mem::take(&mut self.label);
        if !label.help.is_empty() && !label.help.ends_with(b"\n") {
            label.help.push(b'\n');
        }
        if label.hide && label.separator {
            return;
        }
        let place = label.place.unwrap_or(Place::new(FileId(0), 1, 1));
        if !self.may_have_entry(place) {
            return;
        }
        self.lines.insert(place, label.lines);
        let name = label.name.clone().unwrap_or_default();
        let (save, immediate) = if label.hide {
            (false, false)
        } else {
            let screen = self.screen(screen);
            (screen.save, screen.immediate)
        };
        let action = self.action(&label);
        if label.append.is_none() && matches!(action, Action::Run(_)) {
            self.free_append = None;
        }
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
            unreachable: false,
            action,
        };
        let goes = matches!(entry.action, Action::Nowhere(_))
            .then_some(label.action == LabelAction::ExitTo);
        if label.hide && can_be_chosen && self.labels.contains_key(&name) {
            // Nobody sees it, and the command line finds the other.
            self.know(name, None, 0, place);
            return;
        }
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
            let place = label.action_place.unwrap_or(place);
            self.gotos.push((slot, index, place, is_exit));
        }
        if can_be_chosen {
            self.know(name, slot, index, place);
        }
    }

    /// Remembers the first entry of each label.
    pub(super) fn know(
        &mut self,
        name: Text,
        screen: Option<ScreenId>,
        index: usize,
        place: Place,
    ) {
        let slot = screen.map_or(Slot::Hidden, |screen| Slot::Screen(screen, index));
        match self.labels.entry(name) {
            btree_map::Entry::Vacant(free) => {
                free.insert(slot);
            }
            btree_map::Entry::Occupied(first) => {
                let label = first.key().clone();
                let name = quoted_text(&label);
                let message =
                    format!("label {name} is there already: the command line finds the first");
                self.repeated.insert(label);
                self.found
                    .push(Diagnostic::new(Code::DuplicateLabel, place, message));
            }
        }
    }

    pub(super) fn action(&self, label: &Label) -> Action {
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
    pub(super) fn check_initrds(&mut self, label: &Label, place: Place) {
        let append = label.append.as_deref().unwrap_or_default();
        if append.windows(7).any(|window| window == b"initrd=") {
            let message = "APPEND has initrd= and the label has INITRD: the loader loads the one of APPEND only";
            self.found.push(
                Diagnostic::new(Code::TwoInitrds, place, message)
                    .with_remedy("name all files in one INITRD, separated by commas"),
            );
        }
    }
}

/// The letter after the first `^`, in upper case.
pub(super) fn hotkey(shown: &[u8]) -> Option<u8> {
    let caret = shown.iter().position(|byte| *byte == b'^')?;
    shown.get(caret + 1).map(|byte| byte & !0x20)
}
