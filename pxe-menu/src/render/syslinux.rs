//! A menu as a configuration of pxelinux.

use std::collections::{BTreeMap, BTreeSet};

use super::Rendered;
use super::out::{comment, name};
use super::protection::UNREACHABLE;
use crate::keyword::{ImageType, Message, Parameter};
use crate::scan::is_space;
use crate::{
    Action, Code, Colour, Command, Diagnostic, Entry, FKeyHelp, Menu, Screen, ScreenId, Text, Ui,
};

/// A menu as one configuration file of pxelinux, without includes: reading it gives the same menu.
///
/// Where the menu was read from files that its command line names (`UI menu.c32 FILE`), they are merged
/// into the file, and the command line loses them: what comes back is [`Menu::merged`].
///
/// Comments, blank lines and lines that the loader ignores are not in a [`Menu`], so they are lost. A program
/// for UEFI, from a menu of GRUB, is a line that cannot be chosen.
pub fn render_syslinux(menu: &Menu) -> Rendered {
    let menu = menu.merged();
    let mut out = Writer {
        out: Vec::new(),
        depth: 0,
        diagnostics: Vec::new(),
    };
    out.core(&menu);
    if let Some(top) = menu.screens.first() {
        let at_top = settings_may_come_first(&menu, top);
        if at_top {
            out.settings(&Screen::default(), top);
        }
        out.inherited_flags(&Screen::default(), top);
        out.start(&menu, ScreenId::TOP);
        out.title(top);
        let seen = if at_top {
            top.clone()
        } else {
            Screen::default()
        };
        // The first of a label counts, and a hidden one is there only if it came first.
        let shown: BTreeSet<&Text> = (menu.screens.iter())
            .flat_map(|screen| &screen.entries)
            .filter_map(|entry| entry.label.as_ref())
            .collect();
        let came_first = |entry: &&Entry| {
            let label = entry.label.as_ref();
            label.is_some_and(|label| shown.contains(label))
        };
        let (before, after): (Vec<&Entry>, Vec<&Entry>) = menu.hidden.iter().partition(came_first);
        // On the menu of hidden entries nothing is inherited.
        let nothing = Screen::default();
        for entry in before {
            out.entry(&menu, entry, &nothing, false, true);
        }
        out.entries(&menu, ScreenId::TOP, &seen);
        for entry in after {
            out.entry(&menu, entry, &nothing, false, true);
        }
        if !at_top {
            out.settings(&Screen::default(), top);
        }
    }
    // After every MENU ONERROR, which is the same to the loader itself.
    out.option("ONERROR", menu.core.on_error.as_ref());
    Rendered {
        text: Text::new(out.out),
        diagnostics: out.diagnostics,
    }
}

impl Menu {
    /// The same menu as one file: its command line names no files of the menu.
    #[must_use]
    pub fn merged(&self) -> Self {
        let mut merged = self.clone();
        let module = match &self.ui {
            Ui::Text(files) if !files.is_empty() => "menu.c32",
            Ui::Graphic(files) if !files.is_empty() => "vesamenu.c32",
            _ => return merged,
        };
        merged.ui = if module == "menu.c32" {
            Ui::Text(Vec::new())
        } else {
            Ui::Graphic(Vec::new())
        };
        // Only DEFAULT can be there, or a UI besides: the menu heeds DEFAULT where it finds a UI.
        if merged.ui_command.is_some() {
            merged.ui_command = Some(module.into());
        } else {
            merged.default = Some(module.into());
        }
        merged
    }
}

/// Whether the submenus can undo all that they would inherit: what one does not have itself, cannot be unset.
fn settings_may_come_first(menu: &Menu, screen: &Screen) -> bool {
    let keeps = |below: &Screen| {
        let has = |above: bool, below: bool| !above || below;
        has(screen.on_timeout.is_some(), below.on_timeout.is_some())
            && has(screen.on_error.is_some(), below.on_error.is_some())
            && has(
                screen.master_password.is_some(),
                below.master_password.is_some(),
            )
            && has(screen.background.is_some(), below.background.is_some())
            && screen
                .f_keys
                .keys()
                .all(|key| below.f_keys.contains_key(key))
            && has(
                screen.message_colours.is_some(),
                screen.message_colours == below.message_colours,
            )
            && screen.colours.iter().all(|(name, colour)| {
                below
                    .colours
                    .get(name)
                    .is_some_and(|other| covers(other, colour))
            })
    };
    // Those below submenus inherit it, too.
    let mut above = vec![screen];
    while let Some(screen) = above.pop() {
        for entry in &screen.entries {
            if let Action::Submenu(id) = entry.action
                && let Some(below) = menu.screen(id)
            {
                if !keeps(below) {
                    return false;
                }
                above.push(below);
            }
        }
    }
    true
}

fn covers(below: &Colour, above: &Colour) -> bool {
    (above.ansi.is_none() || below.ansi.is_some())
        && (above.foreground.is_none() || below.foreground.is_some())
        && (above.background.is_none() || below.background.is_some())
        && (above.shadow.is_none() || below.shadow.is_some())
}

struct Writer {
    out: Vec<u8>,
    depth: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Writer {
    fn line(&mut self, keyword: &str, value: &[u8]) {
        self.out.extend(core::iter::repeat_n(b' ', self.depth * 2));
        self.out.extend_from_slice(keyword.as_bytes());
        if !value.is_empty() {
            self.out.push(b' ');
            self.out.extend_from_slice(value);
        }
        self.out.push(b'\n');
    }

    fn option(&mut self, keyword: &str, value: Option<&Text>) {
        if let Some(value) = value {
            self.line(keyword, value);
        }
    }

    fn number(&mut self, keyword: &str, value: impl Into<i64>) {
        self.line(keyword, value.into().to_string().as_bytes());
    }

    fn flag(&mut self, keyword: &str, is_set: bool) {
        if is_set {
            self.line(keyword, b"");
        }
    }

    fn core(&mut self, menu: &Menu) {
        let core = &menu.core;
        if let Some(serial) = core.serial {
            let value = format!("{} {} {:#x}", serial.port, serial.baud, serial.flow);
            self.line("SERIAL", value.as_bytes());
        }
        let number = |is_set: bool, on: u8| is_set.then_some(on);
        for (keyword, value) in [
            ("CONSOLE", number(core.no_console, 0)),
            ("NOHALT", number(core.no_halt, 1)),
            ("PROMPT", number(core.prompt, 1)),
            ("IMPLICIT", number(core.labels_only, 0)),
            ("NOESCAPE", number(core.no_escape, 1)),
            ("NOCOMPLETE", number(core.no_complete, 1)),
        ] {
            if let Some(value) = value {
                self.number(keyword, value);
            }
        }
        self.option("FONT", core.font.as_ref());
        self.option("KBDMAP", core.keymap.as_ref());
        for file in &core.display {
            self.line("DISPLAY", file);
        }
        for text in &core.say {
            self.line("SAY", text);
        }
        if !core.path.is_empty() {
            let parts: Vec<&[u8]> = core.path.iter().map(|part| &part[..]).collect();
            for part in parts {
                self.line("PATH", part);
            }
        }
        if let Some(retries) = core.pxe_retry {
            self.number("PXERETRY", retries);
        }
        if let Some(mask) = core.send_cookies {
            self.number("SENDCOOKIES", mask);
        }
        if core.sysappend != 0 {
            self.line("SYSAPPEND", format!("{:#x}", core.sysappend).as_bytes());
        }
        self.option("DEFAULT", menu.default.as_ref());
        self.option("UI", menu.ui_command.as_ref());
        if let Some(tenths) = menu.total_timeout_tenths {
            self.number("TOTALTIMEOUT", tenths);
        }
        self.flag("MENU HIDDEN", menu.hidden_menu);
        self.flag("MENU SHIFTKEY", menu.shift_key);
        self.flag("MENU CLEAR", menu.clear);
        for (key, command) in &menu.hidden_keys {
            let value = [&key[..], b" ", command].concat();
            self.line("MENU HIDDENKEY", &value);
        }
        if let Some((width, height)) = menu.resolution {
            self.line("MENU RESOLUTION", format!("{width} {height}").as_bytes());
        }
    }

    /// What a screen has otherwise than the one that it inherits from.
    fn settings(&mut self, above: &Screen, screen: &Screen) {
        if screen.timeout_tenths != above.timeout_tenths {
            self.number("TIMEOUT", screen.timeout_tenths.unwrap_or(0));
        }
        if screen.no_edit != above.no_edit {
            self.number("ALLOWOPTIONS", u8::from(!screen.no_edit));
        }
        for (keyword, mine, theirs) in [
            ("ONTIMEOUT", &screen.on_timeout, &above.on_timeout),
            ("MENU ONERROR", &screen.on_error, &above.on_error),
            (
                "MENU MASTER PASSWD",
                &screen.master_password,
                &above.master_password,
            ),
            ("MENU BACKGROUND", &screen.background, &above.background),
        ] {
            if mine != theirs {
                self.option(keyword, mine.as_ref());
            }
        }
        for message in Message::ALL {
            if screen.messages.get(&message) != above.messages.get(&message) {
                let keyword = format!("MENU {}", message.as_str().to_ascii_uppercase());
                self.line(&keyword, &screen.message(message));
            }
        }
        for parameter in Parameter::ALL {
            let mine = screen.layout.get(&parameter);
            if mine != above.layout.get(&parameter) {
                let keyword = format!("MENU {}", parameter.as_str().to_ascii_uppercase());
                self.number(&keyword, screen.parameter(parameter));
            }
        }
        self.colours(above, screen);
        self.f_keys(&above.f_keys, &screen.f_keys);
    }

    fn colours(&mut self, above: &Screen, screen: &Screen) {
        if screen.message_colours != above.message_colours
            && let Some(colour) = &screen.message_colours
        {
            let value = pair(colour);
            self.line("MENU MSGCOLOR", value.trim_end().as_bytes());
        }
        for (name, colour) in &screen.colours {
            if above.colours.get(name) != Some(colour) {
                let ansi = colour.ansi.clone().unwrap_or_else(|| "*".into());
                let value = [
                    name.as_bytes(),
                    b" ",
                    &ansi,
                    b" ",
                    pair(colour).trim_end().as_bytes(),
                ]
                .concat();
                self.line("MENU COLOR", &value);
            }
        }
    }

    fn f_keys(&mut self, above: &BTreeMap<u8, FKeyHelp>, keys: &BTreeMap<u8, FKeyHelp>) {
        for (number, help) in keys {
            if above.get(number) != Some(help) {
                self.line(&format!("F{number}"), &with_background(help));
            }
        }
    }

    /// What submenus and entries inherit as a whole. Before any label, or it would be the label's.
    fn inherited_flags(&mut self, above: &Screen, screen: &Screen) {
        for (keyword, mine, theirs) in [
            ("SAVE", screen.save, above.save),
            ("IMMEDIATE", screen.immediate, above.immediate),
        ] {
            if mine != theirs {
                let no = if mine { "" } else { "NO" };
                self.line(&format!("MENU {no}{keyword}"), b"");
            }
        }
    }

    fn start(&mut self, menu: &Menu, id: ScreenId) {
        self.flag("MENU START", menu.start == Some(id));
    }

    fn title(&mut self, screen: &Screen) {
        if !screen.title.is_empty() {
            self.line("MENU TITLE", &screen.title);
        }
    }

    fn entries(&mut self, menu: &Menu, id: ScreenId, above: &Screen) {
        let Some(screen) = menu.screen(id) else {
            return;
        };
        for (index, entry) in screen.entries.iter().enumerate() {
            let is_default = screen.default == index;
            // Of a linked configuration that showed no menu.
            if entry.unreachable && menu.ui.is_menu() {
                let what = format!("left out: {}: {UNREACHABLE}", name(entry));
                self.line("#", what.as_bytes());
                let told = Diagnostic::new(Code::ProtectionLost, None, what);
                self.diagnostics.push(told);
                continue;
            }
            match entry.action {
                Action::Submenu(below) => {
                    self.submenu(menu, entry, below, is_default, above, screen);
                }
                Action::Separator => self.line("MENU SEPARATOR", b""),
                _ => self.entry(menu, entry, screen, is_default, false),
            }
        }
    }

    /// `above` is what the submenu inherits as far as it is written already.
    fn submenu(
        &mut self,
        menu: &Menu,
        entry: &Entry,
        id: ScreenId,
        is_default: bool,
        above: &Screen,
        parent: &Screen,
    ) {
        let Some(screen) = menu.screen(id) else {
            return;
        };
        let tag = screen.tag.clone().unwrap_or_default();
        self.line("MENU BEGIN", &tag);
        self.depth += 1;
        if entry.menu_label != screen.tag || !screen.title.is_empty() {
            let shown = entry.menu_label.as_deref().unwrap_or_default();
            // A title is shown too where there is no label, and takes no hotkey.
            let by_title = entry.hotkey.is_none() && !shown.is_empty();
            // The hotkey of an earlier label stays where a later one has none.
            if let Some(key) = entry.hotkey
                && !shown.contains(&b'^')
            {
                self.line("MENU LABEL", &[b'^', key]);
            }
            self.line(if by_title { "MENU TITLE" } else { "MENU LABEL" }, shown);
            if screen.title.as_bytes() != shown || !by_title {
                self.line("MENU TITLE", &screen.title);
            }
        }
        self.option("MENU PASSWD", entry.password.as_ref());
        self.flag("MENU DEFAULT", is_default && parent.default != 0);
        let inherited = Screen {
            save: parent.save,
            immediate: parent.immediate,
            ..Screen::default()
        };
        self.inherited_flags(&inherited, screen);
        self.start(menu, id);
        let first = settings_may_come_first(menu, screen);
        let seen = if first { screen } else { above };
        if first {
            self.settings(above, screen);
        }
        self.entries(menu, id, seen);
        if !first {
            self.settings(above, screen);
        }
        self.depth -= 1;
        self.line("MENU END", b"");
    }

    fn entry(&mut self, menu: &Menu, entry: &Entry, screen: &Screen, is_default: bool, hide: bool) {
        self.line("LABEL", entry.label.as_deref().unwrap_or_default());
        self.depth += 1;
        self.flag("MENU HIDE", hide);
        self.option("MENU LABEL", entry.menu_label.as_ref());
        if entry.indent > 0 {
            self.number("MENU INDENT", entry.indent);
        }
        self.flag("MENU DEFAULT", is_default && screen.default != 0);
        self.option("MENU PASSWD", entry.password.as_ref());
        let inherited = Screen {
            save: screen.save,
            immediate: screen.immediate,
            ..Screen::default()
        };
        let mine = Screen {
            save: entry.save,
            immediate: entry.immediate,
            ..Screen::default()
        };
        self.inherited_flags(&inherited, &mine);
        match &entry.action {
            Action::Run(command)
                if matches!(command.image_type, ImageType::Efi | ImageType::Wimboot) =>
            {
                let why = match command.image_type {
                    ImageType::Efi => "a program for UEFI, which no syslinux starts",
                    _ => "wimboot, to which only iPXE gives files by their names",
                };
                let image = comment(&command.image);
                let what = format!("{}: {why}: {image}", name(entry));
                self.line("#", what.as_bytes());
                let told = Diagnostic::new(Code::NotExpressible, None, what);
                self.diagnostics.push(told);
                self.line("MENU DISABLE", b"");
            }
            Action::Run(command) => self.command(entry, command),
            Action::Disabled(command) => {
                self.line("MENU DISABLE", b"");
                self.command(entry, command);
            }
            Action::Nowhere(tag) => self.line("MENU GOTO", tag),
            Action::Goto(id) => self.line("MENU GOTO", tag(menu, *id)),
            Action::Exit(id) if screen.parent.is_some_and(|(parent, _)| parent == *id) => {
                self.line("MENU EXIT", b"");
            }
            Action::Exit(id) => self.line("MENU EXIT", tag(menu, *id)),
            Action::Separator | Action::Submenu(_) => {}
            Action::Quit => self.line("MENU QUIT", b""),
            Action::Help(FKeyHelp { file, background })
                if [Some(file), background.as_ref()]
                    .into_iter()
                    .flatten()
                    .any(|name| name.iter().any(|byte| is_space(*byte))) =>
            {
                // KERNEL is the file and APPEND the background, too, and both may have blanks (`MA_HELP`
                // in `record`).
                self.line("MENU HELP", b"-");
                self.line("KERNEL", file);
                self.option("APPEND", background.as_ref());
            }
            Action::Help(help) => self.line("MENU HELP", &with_background(help)),
        }
        if let Some(help) = &entry.help {
            self.line("TEXT HELP", b"");
            self.out.extend_from_slice(help);
            self.line("ENDTEXT", b"");
        }
        self.depth -= 1;
    }

    fn command(&mut self, entry: &Entry, command: &Command) {
        let is_implied =
            command.image_type == ImageType::Kernel && entry.label.as_ref() == Some(&command.image);
        if !is_implied {
            self.line(
                &command.image_type.as_str().to_ascii_uppercase(),
                &command.image,
            );
        }
        if !command.append.is_empty() {
            self.line("APPEND", &command.append);
        }
        self.option("INITRD", command.initrd.as_ref());
        self.line("SYSAPPEND", format!("{:#x}", command.sysappend).as_bytes());
    }
}

fn tag(menu: &Menu, id: ScreenId) -> &[u8] {
    menu.screen(id)
        .and_then(|screen| screen.tag.as_deref())
        .unwrap_or_default()
}

fn pair(colour: &Colour) -> String {
    let argb = |value: Option<u32>| value.map_or("*".to_owned(), |value| format!("#{value:08x}"));
    let shadow = colour.shadow.map_or("", |shadow| shadow.as_str());
    format!(
        "{} {} {shadow}",
        argb(colour.foreground),
        argb(colour.background)
    )
}

fn with_background(help: &FKeyHelp) -> Vec<u8> {
    let mut value = help.file.to_vec();
    if let Some(background) = &help.background {
        value.push(b' ');
        value.extend_from_slice(background);
    }
    value
}
