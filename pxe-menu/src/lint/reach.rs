//! Entries and keys that nobody can reach.

use std::collections::{BTreeMap, BTreeSet};

use super::Lint;
use crate::diagnostic::{quoted, quoted_text};
use crate::{Action, Code, Diagnostic, Entry, Menu, Place, Text, Ui};

impl Lint<'_> {
    /// A hotkey belongs to the first entry of its menu that has it (`consider_for_hotkey`).
    pub(super) fn hotkeys(&mut self) {
        let resolution = self.resolution;
        if !resolution.menu.ui.is_menu() {
            return;
        }
        for (screen, places) in resolution.menu.screens.iter().zip(&resolution.places) {
            let mut owners: BTreeMap<u8, &Entry> = BTreeMap::new();
            for (entry, place) in screen.entries.iter().zip(places) {
                let Some(key) = wanted_hotkey(entry) else {
                    continue;
                };
                if entry.hotkey == Some(key) {
                    owners.entry(key).or_insert(entry);
                    continue;
                }
                let Some(owner) = owners.get(&key) else {
                    continue;
                };
                let lines = resolution.lines.get(place).copied().unwrap_or_default();
                let message = format!(
                    "the key {} belongs to {} already",
                    quoted(&[key_written(key)]),
                    quoted_text(&owner.shown())
                );
                let place = lines.menu_label.unwrap_or(*place);
                let diagnostic = Diagnostic::new(Code::DuplicateHotkey, place, message);
                self.push(diagnostic.with_remedy("put `^` before another letter"));
            }
        }
    }

    /// A menu without entries, unless they are in a file that is not there.
    pub(super) fn empty(&mut self) {
        let resolution = self.resolution;
        let menu = &resolution.menu;
        let is_missing = |told: &Diagnostic| {
            matches!(
                told.code,
                Code::MissingInclude | Code::MissingLink | Code::Limited
            )
        };
        if menu.ui.is_menu()
            && menu.screens.iter().all(|screen| screen.entries.is_empty())
            && !resolution.diagnostics.iter().any(is_missing)
        {
            let message = "the menu has no entry";
            self.tell(
                Code::EmptyMenu,
                None,
                message,
                Some("add LABEL, and what it starts below it"),
            );
        }
    }

    /// Entries that neither a menu nor the prompt can start.
    pub(super) fn reachable(&mut self) {
        let resolution = self.resolution;
        let menu = &resolution.menu;
        let named = named_labels(menu);
        let is_named =
            |entry: &Entry| matches!(&entry.label, Some(label) if named.contains(&label[..]));
        if menu.ui.is_menu() {
            let top = menu.screens.first();
            let can_leave = top.is_some_and(|top| !top.no_edit)
                || menu.entries().any(|entry| entry.action == Action::Quit);
            if can_leave && !menu.core.no_escape {
                return;
            }
            let why = if menu.core.no_escape {
                "NOESCAPE keeps the `boot:` prompt closed"
            } else {
                "ALLOWOPTIONS 0 keeps the way to the `boot:` prompt closed"
            };
            for (entry, place) in menu.hidden.iter().zip(&resolution.hidden_places) {
                if !is_named(entry) {
                    self.unreachable(entry, *place, &format!("MENU HIDE hides it, and {why}"));
                }
            }
            return;
        }
        // Without a menu only the prompt starts an entry that is not the default.
        if menu.ui != Ui::Prompt || !menu.core.no_escape {
            return;
        }
        for (screen, places) in menu.screens.iter().zip(&resolution.places) {
            for (entry, place) in screen.entries.iter().zip(places) {
                if matches!(entry.action, Action::Run(_)) && !is_named(entry) {
                    let why = "there is no menu, and NOESCAPE keeps the `boot:` prompt closed";
                    self.unreachable(entry, *place, why);
                }
            }
        }
    }

    fn unreachable(&mut self, entry: &Entry, place: Place, why: &str) {
        let label = entry.label.clone().unwrap_or_default();
        let message = format!("nobody can start {}", quoted_text(&label));
        let diagnostic = Diagnostic::new(Code::UnreachableEntry, place, message);
        self.push(diagnostic.with_note(why));
    }
}

/// The first words of the commands that start without being chosen.
fn named_labels(menu: &Menu) -> BTreeSet<&[u8]> {
    let screens = menu.screens.iter();
    let mut commands: Vec<&Text> = screens
        .flat_map(|screen| [&screen.on_timeout, &screen.on_error])
        .flatten()
        .collect();
    commands.extend(&menu.default);
    commands.extend(&menu.ui_command);
    commands.extend(&menu.core.on_error);
    commands.extend(menu.hidden_keys.values());
    commands.into_iter().map(|text| text.first_word()).collect()
}

/// A key as it is written: the loader takes bit 5 away, from digits too.
fn key_written(key: u8) -> u8 {
    if key.is_ascii_uppercase() || key >= 0x40 {
        key
    } else {
        key | 0x20
    }
}

/// The key after `^`, without bit 5, as the loader compares it.
fn wanted_hotkey(entry: &Entry) -> Option<u8> {
    let shown = entry
        .menu_label
        .as_ref()
        .filter(|_| entry.can_be_chosen())?;
    let caret = shown.iter().position(|byte| *byte == b'^')?;
    let key = shown.get(caret + 1)? & !0x20;
    (key != 0).then_some(key)
}
