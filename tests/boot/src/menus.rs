//! What menu.c32 really draws, compared with `render_text`: one machine walks through the menus of menus/, each of which leads
//! to the next one by CONFIG. Keys go over the serial console, and so does what it draws.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use pxe_menu::{Action, Entry, Loader, Menu, Message, Paths, ScreenId, render_text, resolve};

use crate::Options;
use crate::cell::{WorkDirectory, variables};
use crate::document;
use crate::installer;
use crate::matrix::Matrix;
use crate::network;
use crate::qemu::Machine;
use crate::report;
use crate::server::{self, Server};
use crate::signals;
use crate::terminal::{Picture, Terminal, is_marked, line_shows};
use crate::tree;

/// How often a machine is looked after while its console is silent.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How long it may take to draw what is expected. It ends a hang: no measure.
const PATIENCE: Duration = Duration::from_secs(120);
/// The seconds that a timeout may have run when it is looked at first.
const SECONDS_LATE: u32 = 30;
/// After which a key of a password is typed once more.
const LOST_KEY: Duration = Duration::from_secs(2);
const MEMORY_MIB: u32 = 256;

/// Keys of the menu (`run_menu` in com32/menu/menumain.c).
mod key {
    pub(super) const DOWN: &str = "\x0e";
    pub(super) const HOME: &str = "\x01";
    pub(super) const END: &str = "\x05";
    pub(super) const REDRAW: &str = "\x0c";
    pub(super) const ERASE: &str = "\x15";
    pub(super) const ENTER: &str = "\r";
    pub(super) const ESCAPE: &str = "\x1b";
}

/// Boots the machine, walks, and tells how it went.
pub(crate) fn run(options: &Options, matrix: &Matrix, home: &Path) -> Result<ExitCode, String> {
    let missing = || "the matrix lacks a part of the walk".to_owned();
    let firmware = matrix
        .firmware
        .get("seabios-ipxe-quiet")
        .ok_or_else(missing)?;
    let loader = matrix.loaders.get("menu-walk").ok_or_else(missing)?;
    let definition = matrix.servers.get("leasing").ok_or_else(missing)?;
    signals::listen()?;
    let packages = [&firmware.packages, &loader.packages, &definition.packages];
    pxe_test_lab::ensure(packages.into_iter().flatten().chain(&installer::packages()))?;
    installer::check()?;

    let work_parent = std::env::temp_dir();
    pxe_test_lab::remove_stale(&work_parent);
    let name = pxe_test_lab::unique_name();
    let work = WorkDirectory(work_parent.join(&name));
    let program = options.server()?;
    tree::make_directory(&work.0)?;
    let variables = variables(loader, "", &program, &work.0);
    let root = work.0.join("tree");
    tree::lay_out(&root, &[&loader.tree], &variables)?;
    tree::copy(&home.join("menus"), &root.join("bios/menus"))?;
    let namespace = network::make(&name)?;
    let server = Server::start(&namespace, definition, &variables, &work.0);
    let server = server.map_err(|error| {
        let logs = server::log_ends(definition, &work.0).join("\n");
        format!("{error}\n{logs}")
    })?;
    let machine = Machine::start(&namespace, firmware, MEMORY_MIB, &work.0)?;
    let mut walk = Walk {
        machine,
        server,
        terminal: Terminal::new(),
        menu: Menu::default(),
        cursors: Vec::new(),
        counts_down: false,
        compared: 0,
        entries: 0,
        hotkeys: 0,
    };
    let walked = walk.through(&root);
    println!(
        "{} screens, {} entries and {} hotkeys of menu.c32 agree with the text",
        walk.compared, walk.entries, walk.hotkeys
    );
    let _ = walk.machine.process.terminate();
    let served = walk.server.finish();
    if walked.is_err() {
        let kept = report::keep(&home.join("artifacts"), "menus", &work.0)?;
        println!("artifacts: {}", kept.display());
    }
    walked?;
    served?;
    Ok(ExitCode::SUCCESS)
}

struct Walk {
    // Dropped first.
    machine: Machine,
    server: Server,
    terminal: Terminal,
    /// The menu that the machine is in.
    menu: Menu,
    /// The selected entry of each of its screens.
    cursors: Vec<usize>,
    /// No key has stopped the timeout yet.
    counts_down: bool,
    compared: usize,
    entries: usize,
    hotkeys: usize,
}

impl Walk {
    /// Walks through all menus.
    fn through(&mut self, root: &Path) -> Result<(), String> {
        let files = files(&root.join("bios/menus"))?;
        for (index, file) in files.iter().enumerate() {
            let name = format!("menus/{file}");
            let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
            let (document, missing) = document::read(root, &paths, &name);
            if !missing.is_empty() {
                return Err(format!("{name}: {} is missing", missing.join(", ")));
            }
            self.menu = resolve(&document).menu;
            self.cursors = self
                .menu
                .screens
                .iter()
                .map(|screen| screen.default)
                .collect();
            let (compared, entries) = (self.compared, self.entries);
            let walked = self.menu(index + 1 < files.len());
            walked.map_err(|error| format!("{name}: {error}"))?;
            println!(
                "{file}: {} screens, {} entries",
                self.compared - compared,
                self.entries - entries
            );
        }
        Ok(())
    }

    /// Walks through one menu, and leaves it by its last entry if there is another.
    fn menu(&mut self, goes_on: bool) -> Result<(), String> {
        let start = self.menu.start.unwrap_or(ScreenId::TOP);
        self.counts_down = true;
        if self.menu.hidden_menu {
            let message = self.message(start, Message::Autoboot);
            let begin = message
                .split(['#', '{'])
                .next()
                .unwrap_or_default()
                .to_owned();
            self.wait_for(&format!("{begin:?} of a hidden menu"), |picture| {
                let shown = picture.lines.iter().filter(|line| !line.is_empty());
                let shown: Vec<&Vec<u8>> = shown.collect();
                matches!(&shown[..], [line] if line.trim_ascii_start().starts_with(begin.as_bytes()))
            })?;
            self.type_keys("x")?;
            self.counts_down = false;
        }
        let mut at = start;
        self.screen(at)?;
        while let Some((above, _)) = self.menu.screen(at).and_then(|screen| screen.parent) {
            self.type_keys(key::ESCAPE)?;
            at = above;
            self.screen(at)?;
        }
        self.type_keys(key::END)?;
        let last = last(self.entries(at));
        self.move_to(at, last);
        self.compare(at)?;
        if goes_on {
            self.type_keys(key::ENTER)?;
        }
        Ok(())
    }

    /// Compares the screen that was just entered, then each of its entries and what is below them.
    fn screen(&mut self, at: ScreenId) -> Result<(), String> {
        let cursor = self.cursor(at);
        self.cursors[at.index()] = settled(self.entries(at), cursor);
        self.compare(at)?;
        self.compare_complete(at)?;
        self.type_keys(key::END)?;
        let (first, last) = (first(self.entries(at)), last(self.entries(at)));
        self.move_to(at, last);
        self.compare(at)?;
        self.type_keys(key::HOME)?;
        self.move_to(at, first);
        self.compare(at)?;
        let count = self.entries(at).len();
        for index in first..count {
            let Some(entry) = self.entries(at).get(index).cloned() else {
                break;
            };
            if !entry.can_be_chosen() {
                // It is on the screens that were compared.
                self.entries += 1;
                continue;
            }
            if index > first {
                self.type_keys(key::DOWN)?;
                self.move_to(at, index);
                self.compare_line(at)?;
            }
            self.entries += 1;
            match entry.action {
                Action::Submenu(below) => {
                    self.enter(&entry, at)?;
                    self.screen(below)?;
                    self.type_keys(key::ESCAPE)?;
                    self.compare(at)?;
                }
                // The mark `<`: to the menu above, where the cursor is still on the way back here.
                Action::Exit(above) if self.came_from(above, at) => {
                    self.type_keys(key::ENTER)?;
                    self.counts_down = false;
                    self.compare(above)?;
                    self.type_keys(key::ENTER)?;
                    self.compare(at)?;
                }
                _ => {}
            }
        }
        self.hotkeys(at)
    }

    /// Each hotkey puts the cursor on its entry.
    fn hotkeys(&mut self, at: ScreenId) -> Result<(), String> {
        for index in 0..self.entries(at).len() {
            let entry = self.entries(at).get(index);
            let Some(entry) = entry.filter(|entry| entry.can_be_chosen() && !entry.immediate)
            else {
                continue;
            };
            if let Some(hotkey) = entry.hotkey {
                // The menu knows it without this bit.
                self.type_keys(char::from(hotkey | 0x20).encode_utf8(&mut [0; 4]))?;
                self.move_to(at, index);
                self.compare_line(at)?;
                self.hotkeys += 1;
            }
        }
        Ok(())
    }

    /// Opens a submenu, by its password if it has one.
    fn enter(&mut self, entry: &Entry, at: ScreenId) -> Result<(), String> {
        self.counts_down = false;
        self.type_keys(key::ENTER)?;
        if let Some(password) = &entry.password {
            let prompt = self.message(at, Message::PassPrompt);
            self.wait_for(&format!("{prompt:?}"), |picture| picture.has(&prompt))?;
            // The menu throws away what was typed before it began to listen, which nothing shows but the first star.
            let deadline = Instant::now() + PATIENCE;
            loop {
                self.type_keys("x")?;
                let again = Instant::now() + LOST_KEY;
                while !self.terminal.picture().has("*") && Instant::now() < again {
                    self.listen(deadline)
                        .map_err(|error| format!("no key of a password is taken: {error}"))?;
                }
                if self.terminal.picture().has("*") {
                    break;
                }
            }
            self.type_keys(&format!("{}{password}\r", key::ERASE))?;
        }
        Ok(())
    }

    fn entries(&self, at: ScreenId) -> &[Entry] {
        self.menu.screen(at).map_or(&[], |screen| &screen.entries)
    }

    /// Whether the cursor of the menu above is where it leads to this screen: it is not, if this one was shown first.
    fn came_from(&self, above: ScreenId, at: ScreenId) -> bool {
        let parent = self.menu.screen(at).and_then(|screen| screen.parent);
        parent == Some((above, self.cursor(above)))
    }

    fn cursor(&self, at: ScreenId) -> usize {
        self.cursors.get(at.index()).copied().unwrap_or_default()
    }

    fn message(&self, at: ScreenId, message: Message) -> String {
        let screen = self.menu.screen(at);
        screen.map_or_else(String::new, |screen| screen.message(message).to_string())
    }

    /// The cursor went there. A timeout runs only while it is at the default.
    fn move_to(&mut self, at: ScreenId, index: usize) {
        if let Some(cursor) = self.cursors.get_mut(at.index()) {
            *cursor = index;
        }
        let default = self.menu.screen(at).map(|screen| screen.default);
        self.counts_down &= default == Some(index);
    }

    /// The texts of a screen with the cursor where it is: of each second of the timeout one, if it runs.
    fn texts(&self, at: ScreenId) -> Vec<String> {
        let Some(mut screen) = self.menu.screen(at).cloned() else {
            return Vec::new();
        };
        // The timeout is the one of the menu that was shown first.
        let start = self.menu.screen(self.menu.start.unwrap_or(ScreenId::TOP));
        let tenths = start.and_then(|start| start.timeout_tenths);
        let tenths = tenths.filter(|_| self.counts_down && self.cursor(at) == screen.default);
        let mut menu = self.menu.clone();
        menu.start = None;
        menu.hidden_menu = false;
        screen.default = self.cursor(at);
        let lates = if tenths.is_some() { SECONDS_LATE } else { 1 };
        let mut text_after = |late: u32| {
            screen.timeout_tenths = tenths.map(|tenths| tenths.saturating_sub(10 * late));
            menu.screens = vec![screen.clone()];
            render_text(&menu)
        };
        (0..lates).map(&mut text_after).collect()
    }

    /// Waits until the console shows the screen.
    fn compare(&mut self, at: ScreenId) -> Result<(), String> {
        let texts = self.texts(at);
        let first = texts.first().cloned().unwrap_or_default();
        let shows = |picture: &Picture| texts.iter().any(|text| picture.shows(text));
        self.wait_for_text(&first, shows)?;
        self.compared += 1;
        Ok(())
    }

    /// Has the screen drawn again: what was there when it was cleared is all that there was to draw, so nothing came after what
    /// was expected.
    fn compare_complete(&mut self, at: ScreenId) -> Result<(), String> {
        // The key erases the message of a timeout before.
        let counts_down = std::mem::replace(&mut self.counts_down, false);
        let texts = self.texts(at);
        self.counts_down = counts_down;
        let text = texts.first().cloned().unwrap_or_default();
        self.terminal.take_cleared();
        self.type_keys(key::REDRAW)?;
        let deadline = Instant::now() + PATIENCE;
        let cleared = loop {
            if let Some(cleared) = self.terminal.take_cleared() {
                break cleared;
            }
            self.listen(deadline)
                .map_err(|error| format!("the screen is not drawn again: {error}"))?;
        };
        if !cleared.shows(&text) {
            let compared = cleared.compared_with(&text);
            return Err(format!("more is drawn than expected:\n{compared}"));
        }
        self.compare(at)
    }

    /// Waits until the line of the cursor is the one of its entry. A menu that scrolls is not compared with more: how far it is
    /// scrolled hangs on where the cursor came from.
    fn compare_line(&mut self, at: ScreenId) -> Result<(), String> {
        let rows = self
            .menu
            .screen(at)
            .map_or(0, |screen| screen.parameter(pxe_menu::Parameter::Rows));
        if self.entries(at).len() <= usize::try_from(rows).unwrap_or(0) {
            return self.compare(at);
        }
        let text = self.texts(at).swap_remove(0);
        let sides = |line: &str| line.replace('#', "|");
        let wanted = text.lines().find(|line| is_marked(line.as_bytes()));
        let wanted = wanted.map(sides).unwrap_or_default();
        self.wait_for_text(&text, |picture| {
            let line = picture.marked().map(<[u8]>::to_vec).unwrap_or_default();
            let line: Vec<u8> = line
                .iter()
                .map(|byte| if *byte == b'#' { b'|' } else { *byte })
                .collect();
            line_shows(&line, &wanted)
        })
    }

    fn wait_for_text(
        &mut self,
        text: &str,
        shows: impl Fn(&Picture) -> bool,
    ) -> Result<(), String> {
        self.wait_for("the screen", shows).map_err(|error| {
            let compared = self.terminal.picture().compared_with(text);
            format!("{error}\n{compared}")
        })
    }

    fn wait_for(&mut self, what: &str, shows: impl Fn(&Picture) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !shows(&self.terminal.picture()) {
            self.listen(deadline)
                .map_err(|error| format!("{what} is not shown: {error}"))?;
        }
        Ok(())
    }

    /// Takes what the console has printed.
    fn listen(&mut self, deadline: Instant) -> Result<(), String> {
        match self.machine.console.recv_timeout(LOOK_INTERVAL) {
            Ok(chunk) => {
                self.terminal.add(&chunk.bytes);
                // The machine prints byte by byte; a look at the screen after each would be what takes the time.
                for chunk in self.machine.console.try_iter() {
                    self.terminal.add(&chunk.bytes);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err("the machine switched itself off or reset".to_owned());
            }
        }
        if let Some(reason) = self.server.ended() {
            return Err(reason);
        }
        if signals::interrupted() {
            return Err("interrupted".to_owned());
        }
        if Instant::now() > deadline {
            return Err(format!("not within {} s", PATIENCE.as_secs()));
        }
        Ok(())
    }

    fn type_keys(&mut self, keys: &str) -> Result<(), String> {
        self.machine.type_keys(keys)
    }
}

/// The files of the walk: their names begin with a number.
fn files(directory: &Path) -> Result<Vec<String>, String> {
    let at = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(at)? {
        let name = entry
            .map_err(at)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The first entry that can be chosen.
fn first(entries: &[Entry]) -> usize {
    settled(entries, 0)
}

/// The last entry that can be chosen.
fn last(entries: &[Entry]) -> usize {
    settled(entries, entries.len().saturating_sub(1))
}

/// Where the cursor stays that is put there: at the ends of a menu it leaves what cannot be chosen.
fn settled(entries: &[Entry], at: usize) -> usize {
    let choosable = |at: &usize| entries.get(*at).is_some_and(Entry::can_be_chosen);
    let end = entries.len().saturating_sub(1);
    let at = match at {
        0 => (0..end).find(choosable).unwrap_or(end),
        at => at,
    };
    if at >= end {
        return (0..=end).rev().find(choosable).unwrap_or(0);
    }
    at
}
