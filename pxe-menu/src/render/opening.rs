//! What a menu does by itself: what is shown first, what a timeout starts, what follows an error.

use crate::keyword::ImageType;
use crate::{Action, Command, Entry, Menu, Screen, ScreenId, Text, Ui};

/// What a command line starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// An entry, which a screen shows, without further arguments.
    Entry(ScreenId, usize),
    /// A command.
    Command(Command),
    /// Nothing that can be told: why.
    Nothing(&'static str),
}

/// What the loader starts by a command line: a label with more arguments, or an image by its name.
pub(super) fn target(menu: &Menu, line: &Text) -> Target {
    let (word, rest) = crate::scan::word(line);
    let rest = crate::scan::skip_space(rest);
    if let Some(entry) = menu.find_label(word) {
        if entry.password.is_some() {
            return Target::Nothing("its entry has a password");
        }
        if rest.is_empty()
            && let Some((screen, at)) = position(menu, entry)
        {
            return Target::Entry(screen, at);
        }
        // A command is an item, or follows an error, where nobody has typed the password of a menu above.
        if position(menu, entry).is_some_and(|(screen, _)| is_behind_password(menu, screen)) {
            return Target::Nothing("its menu has a password");
        }
        let Action::Run(command) = &entry.action else {
            return Target::Nothing("its entry starts nothing");
        };
        let mut command = command.clone();
        if !rest.is_empty() {
            let parts = [&command.append[..], rest];
            let parts: Vec<&[u8]> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            command.append = Text::new(parts.join(&b' '));
        }
        return Target::Command(command);
    }
    if word.is_empty() {
        return Target::Nothing("it names nothing");
    }
    if menu.core.labels_only {
        return Target::Nothing("there is no such label, and IMPLICIT 0 allows no files");
    }
    // Modules are in most trees, a file named like a label that was forgotten is not.
    let is_file = word.iter().any(|byte| matches!(byte, b'.' | b'/' | b':'));
    if !is_file {
        return Target::Nothing("there is no such label");
    }
    Target::Command(Command {
        image_type: ImageType::Kernel,
        image: line.clone(),
        append: Text::default(),
        initrd: None,
        sysappend: menu.core.sysappend,
    })
}

fn position(menu: &Menu, wanted: &Entry) -> Option<(ScreenId, usize)> {
    for (index, screen) in menu.screens.iter().enumerate() {
        let at = screen
            .entries
            .iter()
            .position(|entry| core::ptr::eq(entry, wanted));
        if let Some(at) = at {
            return Some((ScreenId(index), at));
        }
    }
    None
}

/// Whether a password guards a screen or one above it.
fn is_behind_password(menu: &Menu, screen: ScreenId) -> bool {
    let above = |id: &ScreenId| menu.screen(*id)?.parent.map(|(parent, _)| parent);
    let mut screens = core::iter::successors(Some(screen), above).take(menu.screens.len());
    screens.any(|id| {
        let parent = menu.screen(id).and_then(|screen| screen.parent);
        let entry = parent.and_then(|(parent, at)| menu.screen(parent)?.entries.get(at));
        entry.is_some_and(|entry| entry.password.is_some())
    })
}

/// What the menu does if nobody touches a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    /// The screen shown first.
    pub(super) screen: ScreenId,
    /// Whether nothing is shown until a key is pressed.
    pub(super) is_hidden: bool,
    /// In tenths of a second; `None`: it waits for a person.
    pub(super) timeout_tenths: Option<u32>,
    /// What is started then.
    pub(super) then: Target,
}

impl Opening {
    pub(super) fn of(menu: &Menu) -> Self {
        let id = menu.start.unwrap_or(ScreenId::TOP);
        let screen = menu.screen(id);
        let default = Target::Entry(id, screen.map_or(0, |screen| screen.default));
        let line = screen.and_then(|screen| screen.on_timeout.as_ref());
        let then = match line {
            Some(line) if !menu.shift_key => target(menu, line),
            _ => default,
        };
        let is_hidden = menu.hidden_menu || menu.shift_key;
        let timeout_tenths = if menu.shift_key {
            Some(SHIFT_KEY_TENTHS)
        } else {
            screen.and_then(timeout)
        };
        // With neither a menu nor a prompt the loader starts DEFAULT at once (`main` in ldlinux.c); so it does
        // where NOESCAPE keeps the prompt closed.
        let top = menu.screens.first();
        let is_closed = top.is_some_and(|top| top.entries.iter().any(|entry| entry.unreachable));
        let at_once = match menu.ui {
            Ui::Prompt => is_closed || !menu.core.prompt,
            Ui::Other(_) => is_closed,
            _ => false,
        };
        match menu.default_command().filter(|_| at_once) {
            Some(line) => Self {
                screen: id,
                is_hidden: true,
                timeout_tenths: Some(SHIFT_KEY_TENTHS),
                then: target(menu, line),
            },
            None => Self {
                screen: id,
                is_hidden,
                timeout_tenths,
                then,
            },
        }
    }
}

impl Opening {
    /// What is shown of a command that is started and is no entry: its line.
    pub(super) fn line(&self, menu: &Menu, screen: &Screen) -> Text {
        let line = screen.on_timeout.as_ref().filter(|_| menu.ui.is_menu());
        line.or(menu.default_command()).cloned().unwrap_or_default()
    }
}

/// MENU SHIFTKEY, or a configuration without menu and prompt, starts the default entry at once unless a shift
/// key is held: other loaders do not see that key, and wait so long for any other.
const SHIFT_KEY_TENTHS: u32 = 30;

/// The timeout of a screen, if it is one that ends: a cursor that is not on the default entry stops it, and
/// at the ends of a menu it leaves an entry that cannot be chosen (`run_menu` in menumain.c).
pub(super) fn timeout(screen: &Screen) -> Option<u32> {
    let tenths = screen.timeout_tenths.filter(|tenths| *tenths > 0)?;
    let default = screen.entries.get(screen.default)?;
    let at_an_end = screen.default == 0 || screen.default + 1 == screen.entries.len();
    (default.can_be_chosen() || !at_an_end).then_some(tenths)
}

/// The timeout of a linked configuration, which begins each time that it is opened, and the entry of its menu
/// that it starts. An error: why it starts none.
pub(super) fn linked_timeout(
    menu: &Menu,
    id: ScreenId,
) -> Result<Option<(u32, usize)>, &'static str> {
    let screen = menu.screen(id).filter(|screen| screen.linked);
    let Some((screen, tenths)) = screen.and_then(|screen| Some((screen, timeout(screen)?))) else {
        return Ok(None);
    };
    let at = match &screen.on_timeout {
        None => screen.default,
        Some(line) => match target(menu, line) {
            Target::Entry(shown_on, at) if shown_on == id => at,
            Target::Nothing(why) => return Err(why),
            _ => return Err("what it would start is no entry of its menu"),
        },
    };
    let entry = screen.entries.get(at);
    if entry.is_none_or(|entry| entry.password.is_some()) {
        return Err("its entry has a password");
    }
    Ok(Some((tenths, at)))
}
