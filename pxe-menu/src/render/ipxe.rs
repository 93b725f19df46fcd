//! A menu as a script of iPXE.

use std::collections::BTreeMap;

use super::opening::{Opening, Target, timeout};
use super::out::{Out, name};
use super::protection::{Guards, UNREACHABLE, passwords};
use super::{Rendered, looks};
use crate::{Action, Client, Entry, Link, Menu, Paths, Screen, ScreenId, Text};

mod body;
mod words;

use body::Refusal;
use words::shown_words;

/// How a menu becomes a script of iPXE.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IpxeOptions {
    /// How the menu's names are to be understood.
    pub paths: Paths,
    /// What comes before a path on the loader's own server, with a slash at its end.
    ///
    /// Default `tftp://${next-server}/`. Behind a proxy DHCP server that variable may be the router's:
    /// give a URL with the server's address there, by HTTP if it serves the same files.
    pub base: String,
    /// Folders of the loader's own server that are found elsewhere, each as what takes its place: a URL with a slash at its end.
    ///
    /// A folder is as requests have it, without a slash before it and with one at its end: `bios/os/debian/` is
    /// `http://192.168.150.1/debian/`, if HTTP serves `/os` alone.
    pub folders: BTreeMap<Text, String>,
    /// The machine, for IPAPPEND. What it does not know, iPXE fills in.
    pub client: Client,
    /// Where converted menus are found that entries lead to: a URL.
    pub links: BTreeMap<Link, String>,
}

impl IpxeOptions {
    /// For a menu that a loader would read there.
    pub fn new(paths: Paths) -> Self {
        Self {
            paths,
            base: "tftp://${next-server}/".to_owned(),
            folders: BTreeMap::new(),
            client: Client::new(),
            links: BTreeMap::new(),
        }
    }

    /// With another server than the one that iPXE came from.
    #[must_use]
    pub fn with_base(mut self, base: impl Into<String>) -> Self {
        self.base = base.into();
        self
    }

    /// With folders that are found elsewhere.
    #[must_use]
    pub fn with_folders(mut self, folders: BTreeMap<Text, String>) -> Self {
        self.folders = folders;
        self
    }

    /// With what is known of the machine.
    #[must_use]
    pub fn with_client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }
}

/// A menu as a script for iPXE, BIOS or UEFI. It uses no command that BIOS builds of iPXE 2.0 lack
/// (config/general.h), and no option that iPXE of 2019 lacks.
///
/// # Protection
///
/// - MENU PASSWD in plain text: iPXE asks (`login`). The script holds the password, as the menu does:
///   whoever may fetch the one or the other can read it. An entry whose password is a hash, which iPXE
///   cannot check, is left out; so is a submenu with one, and all that leads into it.
/// - ALLOWOPTIONS 0, NOESCAPE, MENU MASTER PASSWD: iPXE lets nobody edit an entry, Escape at the top shows the
///   menu again, and no error ends the script. But most builds open a shell with Ctrl-B before any script
///   runs: that is for the build to close, and a warning says so.
/// - NOESCAPE without a menu: nobody can start anything but the default, so the other entries are left out.
/// - A timeout never starts an entry other than the one that the menu means: where that one is left
///   out, the script waits.
pub fn render_ipxe(menu: &Menu, options: &IpxeOptions) -> Rendered {
    let guards = Guards::new(menu, |screen, entry| {
        passwords(screen, entry).is_none_or(|passwords| !passwords.plain.is_empty())
    });
    let mut script = Script {
        menu,
        options,
        out: Out::new(),
        guards,
        opening: Opening::of(menu),
        said: Vec::new(),
        timeout_body: None,
        then: None,
        uses_local: false,
    };
    script.said = script.entries();
    script.out.line("#!ipxe");
    script.out.line("set sp:hex 20 && set sp ${sp:string}");
    script.globals();
    script.open();
    for index in 0..menu.screens.len() {
        script.screen(ScreenId(index));
    }
    if script.uses_local {
        script.local();
    }
    script.out.done()
}

struct Script<'a> {
    menu: &'a Menu,
    options: &'a IpxeOptions,
    out: Out,
    guards: Guards,
    opening: Opening,
    /// Each screen's entries; empty for a screen that is left out.
    said: Vec<Vec<Said>>,
    /// What ONTIMEOUT starts, where that is no entry.
    timeout_body: Option<Vec<u8>>,
    /// The label of what the timeout starts.
    then: Option<String>,
    uses_local: bool,
}

/// An entry in the words of iPXE.
enum Said {
    /// A line that cannot be chosen.
    Gap(String),
    /// An item, what it does, and what is lost of it.
    Item(Vec<u8>, Vec<String>),
    /// Nothing.
    LeftOut(Refusal),
}

fn label(screen: ScreenId, at: usize) -> String {
    format!("e{}_{at}", screen.index())
}

impl Script<'_> {
    fn entries(&mut self) -> Vec<Vec<Said>> {
        let menu = self.menu;
        let said = menu.screens.iter().enumerate().map(|(index, screen)| {
            let id = ScreenId(index);
            if self.guards.is_closed(id) {
                return Vec::new();
            }
            let entries = screen.entries.iter().enumerate();
            entries
                .map(|(at, entry)| self.say(id, screen, at, entry))
                .collect()
        });
        said.collect()
    }

    fn say(&mut self, id: ScreenId, screen: &Screen, at: usize, entry: &Entry) -> Said {
        match &entry.action {
            Action::Separator => return Said::Gap(String::new()),
            Action::Disabled(_) | Action::Nowhere(_) => return Said::Gap(shown(entry)),
            _ => {}
        }
        if entry.unreachable {
            return Said::LeftOut(Refusal::Protected(UNREACHABLE.to_owned()));
        }
        let mut lost = Vec::new();
        let lock = match passwords(screen, entry) {
            None => None,
            Some(passwords) if passwords.plain.is_empty() => {
                return Said::LeftOut(Refusal::Protected(
                    "it has a password that iPXE cannot check".to_owned(),
                ));
            }
            Some(passwords) => {
                lost.push(format!(
                    "MENU PASSWD of {}: this script holds its password in plain text, as the menu does",
                    name(entry)
                ));
                if passwords.others {
                    lost.push(format!(
                        "MENU PASSWD of {}: a hashed password does not open it here",
                        name(entry)
                    ));
                }
                Some(passwords)
            }
        };
        if entry.help.is_some() {
            lost.push(format!("TEXT HELP of {}: iPXE shows no help", name(entry)));
        }
        let failed = format!("failed{}", id.index());
        match self.body(id, entry, &failed, &mut lost) {
            Ok(body) => {
                let label = label(id, at);
                let body = match lock {
                    Some(passwords) => locked(&label, id, &passwords.plain, &body),
                    None => body,
                };
                Said::Item(body, lost)
            }
            Err(refusal) => Said::LeftOut(refusal),
        }
    }

    /// What no screen says.
    fn globals(&mut self) {
        let menu = self.menu;
        if menu.total_timeout_tenths.is_some() {
            self.out
                .lost("TOTALTIMEOUT: iPXE's timeout ends with the first key");
        }
        if menu.shift_key {
            self.out.lost(
                "MENU SHIFTKEY: iPXE sees no shift key, and waits three seconds for any other",
            );
        }
        if !menu.hidden_keys.is_empty() {
            self.out.lost("MENU HIDDENKEY: any key shows the menu");
        }
        if !menu.hidden.is_empty() {
            let count = menu.hidden.len();
            self.out.lost(&format!(
                "{count} entries of MENU HIDE: iPXE has no prompt to type their labels at"
            ));
        }
        if is_locked(menu) {
            self.out.unprotected(
                "ALLOWOPTIONS 0, NOESCAPE or MENU MASTER PASSWD: nothing can be edited here, but a build with a \
                 banner opens its shell with Ctrl-B before this script runs",
            );
        }
        if menu
            .entries()
            .any(|entry| entry.hotkey.is_some() && !entry.immediate)
        {
            self.out
                .lost("hotkeys: iPXE starts an item with its key, without Enter");
        }
        if menu.screens.iter().any(|screen| !screen.f_keys.is_empty()) {
            self.out.lost("F1 to F12: iPXE shows no files");
        }
        if let Some(what) = looks::lost(menu) {
            self.out.lost(&what);
        }
    }

    /// What comes first: a screen, or a countdown.
    fn open(&mut self) {
        let mut screen = self.opening.screen;
        if !self.guards.may_go(ScreenId::TOP, screen) {
            self.out
                .unprotected("MENU START: the menu shown first is behind a password");
            screen = ScreenId::TOP;
            self.opening.screen = screen;
            self.opening.timeout_tenths = None;
        }
        if self.opening.timeout_tenths.is_some() {
            self.timeout_body = self.timeout_command();
        }
        self.then = self.then();
        let then = self.then.clone();
        if then.is_none() && self.opening.timeout_tenths.take().is_some() {
            let why = match self.opening.then {
                Target::Nothing(why) => why,
                _ => "what it would start is not in this script",
            };
            self.out
                .lost(&format!("the timeout: {why}, so this menu waits"));
        }
        let wait = milliseconds(self.opening.timeout_tenths);
        match then {
            Some(then) if self.opening.is_hidden => {
                self.out.line("set wait 0");
                self.out.line(format!("set target {then}"));
                self.out.line(format!(
                    "prompt --timeout {wait} Press a key for the menu. && goto screen{} || goto {then}",
                    screen.index()
                ));
            }
            _ => {
                if self.opening.is_hidden {
                    self.out
                        .lost("MENU HIDDEN: without a timeout the menu is shown at once");
                }
                self.out.line(format!("set wait {wait}"));
                self.out.line(format!("goto screen{}", screen.index()));
            }
        }
    }

    /// The label of what the timeout starts; `None` if nothing does.
    fn then(&self) -> Option<String> {
        self.opening.timeout_tenths?;
        match &self.opening.then {
            Target::Entry(screen, at) => {
                let is_item = self.item(*screen, *at).is_some();
                let entry = self.menu.screen(*screen)?.entries.get(*at)?;
                // Nobody is there to type it.
                let is_free =
                    entry.password.is_none() && self.guards.may_go(self.opening.screen, *screen);
                (is_item && is_free).then(|| label(*screen, *at))
            }
            Target::Command(_) => self.timeout_body.as_ref().map(|_| "timeout".to_owned()),
            Target::Nothing(_) => None,
        }
    }

    fn item(&self, screen: ScreenId, at: usize) -> Option<&[u8]> {
        match self.said.get(screen.index())?.get(at)? {
            Said::Item(body, _) => Some(body),
            _ => None,
        }
    }

    fn screen(&mut self, id: ScreenId) {
        let menu = self.menu;
        let Some(screen) = menu.screen(id).filter(|_| !self.guards.is_closed(id)) else {
            return;
        };
        let index = id.index();
        let said = core::mem::take(&mut self.said[index]);
        let above = screen.parent.map_or(id, |(parent, _)| parent);
        self.out.line("");
        self.out.line(format!(":screen{index}"));
        self.out
            .line(format!("menu -- {}", shown_words(&screen.title)).trim_end());
        let mut items = 0;
        for (at, (entry, said)) in screen.entries.iter().zip(&said).enumerate() {
            match said {
                Said::Gap(text) => self.out.line(format!("item --gap -- {text}").trim_end()),
                Said::Item(_, lost) => {
                    for what in lost {
                        self.out.lost(what);
                    }
                    if entry.hotkey.is_some() && hotkey(entry).is_none() {
                        let name = name(entry);
                        self.out.lost(&format!(
                            "the hotkey of {name}: iPXE's item has none of that kind"
                        ));
                    }
                    self.out.line(item_line(entry, &label(id, at)));
                    items += 1;
                }
                Said::LeftOut(Refusal::Protected(why)) => self.out.protected(entry, why),
                Said::LeftOut(Refusal::Unsaid(why)) => self.out.left_out(entry, why),
            }
        }
        let is_item = |at: usize| matches!(said.get(at), Some(Said::Item(..)));
        let mut default = is_item(screen.default).then(|| label(id, screen.default));
        if self.opening.screen == id && self.opening.timeout_tenths.is_some() {
            default = self.timeout_item(screen, default, &mut items);
        }
        if items == 0 {
            self.out.line("echo This menu has nothing to start.");
            self.out.line("prompt Press a key. ||");
            self.out.line(format!("goto screen{}", above.index()));
        } else {
            if screen.linked && timeout(screen).is_some() {
                if self.linked_timeout(id).is_none() {
                    self.out
                        .lost("ONTIMEOUT of a linked menu is not its default entry: it waits");
                } else if default.is_none() {
                    // Else the timeout would start the first item.
                    self.out.lost(
                        "TIMEOUT of a linked menu: its default entry is left out, so it waits",
                    );
                    self.out.line("set wait 0");
                }
            }
            let selected = default
                .as_ref()
                .map_or_else(String::new, |label| format!(" --default {label}"));
            self.out.line(format!(
                "choose --timeout ${{wait}}{selected} target || set target screen{}",
                above.index()
            ));
            self.out.line("set wait 0");
            self.out.line("goto ${target}");
        }
        for (at, said) in said.iter().enumerate() {
            if let Said::Item(body, _) = said {
                self.out.line("");
                self.out.line(format!(":{}", label(id, at)));
                self.out.line(body.strip_suffix(b"\n").unwrap_or(body));
            }
        }
        // A hidden menu may start something that is no item.
        let starts_hidden = self.opening.screen == id && self.timeout_body.is_some();
        if items > 0 || starts_hidden {
            self.failed(id, screen, default.as_deref());
        }
    }

    /// What ONTIMEOUT names must be an item, and the one selected.
    fn timeout_item(
        &mut self,
        screen: &Screen,
        default: Option<String>,
        items: &mut usize,
    ) -> Option<String> {
        let then = self.then.clone();
        // A hidden menu without an item would have no way back to what it starts.
        let needs_no_item = self.opening.is_hidden && *items > 0;
        if then == default || then.is_none() || needs_no_item {
            return default;
        }
        self.out
            .lost("ONTIMEOUT is not the default entry: iPXE selects what the timeout starts");
        let is_here = |at: &usize| Some(label(self.opening.screen, *at)) == then;
        if !(0..screen.entries.len()).any(|at| is_here(&at))
            && let Some(then) = &then
        {
            let line = self.opening.line(self.menu, screen);
            self.out
                .line(format!("item {then} {}", shown_words(&line)).trim_end());
            *items += 1;
        }
        then
    }

    /// What follows an error: ONERROR, then the menu. The timeout of a menu runs again if it was the default
    /// entry that failed (`run_menu` in menumain.c).
    fn failed(&mut self, id: ScreenId, screen: &Screen, default: Option<&str>) {
        let index = id.index();
        if let Some(body) = self.timeout_body.take_if(|_| self.opening.screen == id) {
            self.out.line("");
            self.out.line(":timeout");
            self.out.line(body.strip_suffix(b"\n").unwrap_or(&body));
        }
        self.out.line("");
        self.out.line(format!(":failed{index}"));
        self.out.line("echo That did not work.");
        let on_error = screen
            .on_error
            .as_ref()
            .or(self.menu.core.on_error.as_ref());
        if let Some(line) = on_error {
            self.on_error(id, line);
            self.out.line(format!(":again{index}"));
        }
        self.out
            .line("prompt --timeout 30000 Press a key for the menu. ||");
        // On the screen shown first, what the timeout starts is selected.
        let is_meant = self.opening.screen == id || self.means_default(id);
        if let (Some(default), Some(tenths), true) = (default, timeout(screen), is_meant) {
            let wait = milliseconds(Some(tenths));
            self.out
                .line(format!("iseq ${{target}} {default} && set wait {wait} ||"));
        }
        self.out.line(format!("goto screen{index}"));
    }

    /// A command that ONTIMEOUT has, if iPXE can start it.
    fn timeout_command(&mut self) -> Option<Vec<u8>> {
        let Target::Command(command) = self.opening.then.clone() else {
            return None;
        };
        let failed = format!("failed{}", self.opening.screen.index());
        let mut lost = Vec::new();
        let body = self.run(&command, &failed, &mut lost);
        for what in lost {
            self.out.lost(&what);
        }
        match body {
            Ok(body) => Some(body),
            Err(Refusal::Unsaid(why) | Refusal::Protected(why)) => {
                self.out.lost(&format!("ONTIMEOUT: {why}"));
                None
            }
        }
    }

    fn on_error(&mut self, id: ScreenId, line: &Text) {
        let again = format!("again{}", id.index());
        let command = match super::opening::target(self.menu, line) {
            Target::Command(command) => command,
            Target::Entry(screen, at) => {
                let entry = self
                    .menu
                    .screen(screen)
                    .and_then(|screen| screen.entries.get(at));
                match entry.map(|entry| &entry.action) {
                    Some(Action::Run(command)) if self.guards.may_go(id, screen) => command.clone(),
                    _ => {
                        self.out.lost("ONERROR: its entry starts nothing here");
                        return;
                    }
                }
            }
            Target::Nothing(why) => {
                self.out.lost(&format!("ONERROR: {why}"));
                return;
            }
        };
        let mut lost = Vec::new();
        match self.run(&command, &again, &mut lost) {
            Ok(body) => self.out.line(body.strip_suffix(b"\n").unwrap_or(&body)),
            Err(Refusal::Unsaid(why) | Refusal::Protected(why)) => {
                lost.push(format!("ONERROR: {why}"));
            }
        }
        for what in lost {
            self.out.lost(&what);
        }
    }

    /// LOCALBOOT. A firmware of UEFI goes on with its next boot option only after an error (UEFI 2.10,
    /// section 3.1.2).
    fn local(&mut self) {
        self.out.line("");
        self.out.line(":local");
        self.out.line("iseq ${platform} efi && exit 1 ||");
        self.out.line("exit");
    }
}

/// Whether the menu lets a person only choose.
fn is_locked(menu: &Menu) -> bool {
    let is_locked = |screen: &Screen| screen.no_edit || screen.master_password.is_some();
    menu.core.no_escape || menu.screens.iter().any(is_locked)
}

/// `--timeout` in milliseconds; 0 waits. iPXE's number has 32 bits.
fn milliseconds(tenths: Option<u32>) -> u64 {
    (u64::from(tenths.unwrap_or(0)) * 100).min(u64::from(u32::MAX))
}

/// What an item shows; iPXE joins words with one space.
fn shown(entry: &Entry) -> String {
    let text = entry.shown();
    let blanks = text.iter().take_while(|byte| **byte == b' ').take(64);
    format!("{}{}", "${sp}".repeat(blanks.count()), shown_words(&text))
}

fn hotkey(entry: &Entry) -> Option<char> {
    let key = entry.hotkey.filter(u8::is_ascii_alphanumeric)?;
    Some(char::from(key.to_ascii_lowercase()))
}

fn item_line(entry: &Entry, label: &str) -> String {
    let key = hotkey(entry).map(|key| format!("--key {key} "));
    let marker = if matches!(entry.action, Action::Submenu(_)) {
        " >"
    } else {
        ""
    };
    let line = format!(
        "item {}{label} {}{marker}",
        key.unwrap_or_default(),
        shown(entry)
    );
    line.trim_end().to_owned()
}

/// An item that asks for a password first. What was typed is one word, whatever it is: iPXE cuts a line into
/// words before it fills in variables.
fn locked(label: &str, screen: ScreenId, passwords: &[String], body: &[u8]) -> Vec<u8> {
    let mut lines = format!(
        "clear password ||\nlogin || goto screen{}\n",
        screen.index()
    );
    for password in passwords {
        lines.push_str(&format!(
            "iseq -- ${{password}} {password} && goto {label}_open ||\n"
        ));
    }
    lines.push_str("clear password ||\necho This is not the password.\n");
    lines.push_str(&format!(
        "sleep 3 ||\ngoto screen{}\n:{label}_open\nclear password ||\n",
        screen.index()
    ));
    let mut lines = lines.into_bytes();
    lines.extend_from_slice(body);
    lines
}
