//! A menu as a grub.cfg.

use std::collections::{BTreeMap, BTreeSet};

use super::opening::Opening;
use super::out::{Out, comment, name};
use super::protection::{Guards, Passwords, UNREACHABLE, passwords, plain};
use super::{Rendered, looks};
use crate::{Action, Client, Entry, Link, Menu, Paths, Screen, ScreenId, Text};

mod body;
mod plan;
mod quote;

use body::Body;
use plan::Plan;

/// How a menu becomes a grub.cfg.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GrubOptions {
    /// How the menu's names are to be understood.
    pub paths: Paths,
    /// The device for files of the loader's own server, such as `(http,192.168.150.1)`.
    ///
    /// It is written out in each path, since `$root` is not what it should be in a GRUB that came by HTTP.
    /// A port, as in `(http,192.168.150.1:8080)`, is for GRUB 2.12 and later.
    pub device: String,
    /// Folders of the loader's own server that are found elsewhere, each as what takes its place: a device and a path without a slash at its end.
    ///
    /// A folder is as requests have it, without a slash before it and with one at its end: `bios/os/debian/` is
    /// `(http,192.168.150.1)/debian`, if HTTP serves `/os` alone.
    pub folders: BTreeMap<Text, String>,
    /// The machine, for IPAPPEND.
    pub client: Client,
    /// Where converted menus are found that entries lead to: a path with its device.
    pub links: BTreeMap<Link, String>,
}

impl GrubOptions {
    /// For a menu that a loader would read there, with files at this device.
    pub fn new(paths: Paths, device: impl Into<String>) -> Self {
        Self {
            paths,
            device: device.into(),
            folders: BTreeMap::new(),
            client: Client::new(),
            links: BTreeMap::new(),
        }
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

/// A menu as a grub.cfg, for GRUB under UEFI and under the BIOS. What only one of them can start, only that
/// one shows (`$grub_platform`).
///
/// # Protection
///
/// - ALLOWOPTIONS 0, NOESCAPE, MENU MASTER PASSWD: GRUB is locked. `superusers` names a user, so nobody else
///   edits an entry or opens its command line, and each entry is `--unrestricted`. The user has no password, so
///   nobody is that user; but with a master password in plain text, and editing allowed, whoever knows it.
/// - MENU PASSWD in plain text: the entry is for `--users` whose passwords are those. GRUB asks for the name of
///   a user, too, which a warning tells. An entry whose password is a hash of another kind than GRUB's is
///   left out; so is a submenu with one, and all that leads into it.
/// - NOESCAPE without a menu: nobody can start anything but the default, so the other entries are left out.
/// - A timeout never starts an entry other than the one that the menu means: where that one is left
///   out, GRUB waits.
pub fn render_grub(menu: &Menu, options: &GrubOptions) -> Rendered {
    let guards = Guards::new(menu, |screen, entry| {
        passwords(screen, entry).is_none_or(|passwords| !passwords.plain.is_empty())
    });
    let mut config = Config {
        menu,
        options,
        out: Out::new(),
        guards,
        opening: Opening::of(menu),
        said: Vec::new(),
        users: BTreeMap::new(),
        is_locked: false,
        functions: BTreeSet::new(),
        plan: Plan::default(),
    };
    config.said = config.all();
    config.lock();
    config.jumps();
    config.globals();
    config.open();
    for index in 0..menu.screens.len() {
        if config.functions.contains(&index) {
            config.function(ScreenId(index));
        }
    }
    config.body_of(ScreenId::TOP);
    config.out.done()
}

struct Config<'a> {
    menu: &'a Menu,
    options: &'a GrubOptions,
    out: Out,
    guards: Guards,
    opening: Opening,
    /// Each screen's entries; empty for a screen that is left out.
    said: Vec<Vec<Said>>,
    /// The user of each password.
    users: BTreeMap<String, String>,
    /// Whether nobody may edit entries.
    is_locked: bool,
    /// Screens that more than one place leads to.
    functions: BTreeSet<usize>,
    plan: Plan,
}

/// An entry in the words of GRUB.
enum Said {
    /// A line that does nothing.
    Dead,
    /// An entry with commands, and what is lost of it.
    Commands(Body, Vec<String>),
    /// An entry that shows another screen.
    Screen(ScreenId),
    /// Nothing: whether its protection is why, and why.
    LeftOut(bool, String),
}

fn id(screen: ScreenId, at: usize) -> String {
    format!("e{}_{at}", screen.index())
}

impl Config<'_> {
    fn all(&self) -> Vec<Vec<Said>> {
        let screens = self.menu.screens.iter().enumerate();
        let said = screens.map(|(index, screen)| {
            let id = ScreenId(index);
            if self.guards.is_closed(id) {
                return Vec::new();
            }
            let entries = screen.entries.iter();
            entries.map(|entry| self.say(id, screen, entry)).collect()
        });
        said.collect()
    }

    fn say(&self, at: ScreenId, screen: &Screen, entry: &Entry) -> Said {
        if entry.unreachable {
            return Said::LeftOut(true, UNREACHABLE.to_owned());
        }
        let has_password = |passwords: &Passwords| passwords.plain.is_empty();
        if passwords(screen, entry).as_ref().is_some_and(has_password) {
            let why = "it has a password that GRUB cannot check".to_owned();
            return Said::LeftOut(true, why);
        }
        match &entry.action {
            Action::Separator | Action::Disabled(_) | Action::Nowhere(_) => Said::Dead,
            Action::Submenu(below) => Said::Screen(*below),
            Action::Goto(to) | Action::Exit(to) if self.guards.may_go(at, *to) => Said::Screen(*to),
            Action::Goto(_) | Action::Exit(_) => {
                Said::LeftOut(true, "it leads to a menu with a password".to_owned())
            }
            Action::Run(command) => {
                let mut lost = Vec::new();
                match self.run(Some(entry), command, &mut lost) {
                    Ok(body) => Said::Commands(body, lost),
                    Err(why) => Said::LeftOut(false, why),
                }
            }
            Action::Quit => Said::LeftOut(
                false,
                "MENU QUIT: GRUB has no prompt of this kind".to_owned(),
            ),
            Action::Help(_) => Said::LeftOut(
                false,
                "MENU HELP: GRUB shows no files of this kind".to_owned(),
            ),
        }
    }

    /// Users for the passwords of entries, and whether GRUB is to be locked: without superusers, it lets
    /// everybody start and edit everything (`is_authenticated` in normal/auth.c).
    fn lock(&mut self) {
        let menu = self.menu;
        for (screen, said) in menu.screens.iter().zip(&self.said) {
            for (entry, said) in screen.entries.iter().zip(said) {
                let Some(passwords) = passwords(screen, entry) else {
                    continue;
                };
                if !matches!(said, Said::LeftOut(..)) {
                    for password in passwords.plain {
                        let number = self.users.len() + 1;
                        let user = format!("user{number}");
                        self.users.entry(password).or_insert(user);
                    }
                }
            }
            self.is_locked |= screen.no_edit || screen.master_password.is_some();
        }
        self.is_locked |= menu.core.no_escape || !self.users.is_empty();
    }

    /// The screens that more than one place leads to become functions: a jump can lead back.
    fn jumps(&mut self) {
        let mut seen = BTreeSet::from([ScreenId::TOP.index()]);
        for (index, said) in self.said.iter().enumerate() {
            let targets = said.iter().filter_map(|said| match said {
                Said::Screen(to) => Some(to.index()),
                _ => None,
            });
            let parent = self
                .menu
                .screens
                .get(index)
                .and_then(|screen| screen.parent);
            let back = parent
                .filter(|_| self.needs_way_back(ScreenId(index)))
                .map(|(parent, _)| parent.index());
            for to in targets.chain(back) {
                if !seen.insert(to) {
                    self.functions.insert(to);
                }
            }
        }
    }

    /// Whether a submenu wants an entry that leads back: a locked GRUB asks whoever leaves a submenu by Escape
    /// for a password, and stays (`grub_show_menu` in normal/menu.c).
    fn needs_way_back(&self, id: ScreenId) -> bool {
        let leads_back = |entry: &Entry| matches!(entry.action, Action::Exit(_) | Action::Goto(_));
        self.is_locked
            && !self.guards.is_closed(id)
            && self.menu.screen(id).is_some_and(|screen| {
                screen.parent.is_some() && !screen.entries.iter().any(leads_back)
            })
    }

    /// What no screen says.
    fn globals(&mut self) {
        let menu = self.menu;
        let top = menu.screens.first();
        if let Some(title) = top.map(|top| comment(&top.title))
            && !title.is_empty()
        {
            self.out.comment(&title);
        }
        let screens = || menu.screens.iter();
        let remarks = [
            (
                menu.total_timeout_tenths.is_some(),
                "TOTALTIMEOUT: GRUB's timeout ends with the first key",
            ),
            (
                menu.shift_key,
                "MENU SHIFTKEY: GRUB waits three seconds for Escape instead",
            ),
            (
                !menu.hidden_keys.is_empty(),
                "MENU HIDDENKEY: Escape shows the menu",
            ),
            (
                screens().any(|screen| !screen.f_keys.is_empty()),
                "F1 to F12: GRUB shows no files",
            ),
            (
                menu.entries()
                    .any(|entry| entry.hotkey.is_some() && !entry.immediate),
                "hotkeys: GRUB starts an entry with its key, without Enter",
            ),
            (
                menu.core.on_error.is_some() || screens().any(|screen| screen.on_error.is_some()),
                "ONERROR: GRUB shows its menu again",
            ),
            (
                screens().any(|screen| {
                    let above = screen.parent.and_then(|(parent, _)| menu.screen(parent));
                    above.filter(|_| !screen.linked).is_some_and(|above| {
                        (screen.timeout_tenths, &screen.on_timeout)
                            != (above.timeout_tenths, &above.on_timeout)
                    })
                }),
                "TIMEOUT or ONTIMEOUT of a submenu: it would run there after an error only",
            ),
        ];
        for (is_lost, what) in remarks {
            if is_lost {
                self.out.lost(what);
            }
        }
        if let Some(what) = looks::lost(menu) {
            self.out.lost(&what);
        }
        if !menu.hidden.is_empty() {
            let count = menu.hidden.len();
            self.out.lost(&format!(
                "{count} entries of MENU HIDE: GRUB has no prompt to type their labels at"
            ));
        }
        if self.is_locked {
            self.superusers();
        }
    }

    fn superusers(&mut self) {
        let menu = self.menu;
        let screens = || menu.screens.iter();
        let may_edit = !menu.core.no_escape && !screens().any(|screen| screen.no_edit);
        let masters: Vec<_> = screens()
            .filter_map(|screen| screen.master_password.as_ref())
            .collect();
        if may_edit && masters.is_empty() {
            self.out
                .lost("MENU PASSWD: GRUB asks for it only where nobody may edit entries");
        }
        let mut superusers = BTreeSet::new();
        for master in &masters {
            match plain(master) {
                Some(password) if may_edit => {
                    let number = self.users.len() + 1;
                    let user = self.users.entry(password);
                    superusers.insert(user.or_insert_with(|| format!("user{number}")).clone());
                }
                _ => {}
            }
        }
        if !masters.is_empty() && superusers.is_empty() {
            self.out
                .lost("MENU MASTER PASSWD: nobody can edit entries, not even with it");
        }
        if superusers.is_empty() {
            self.out.comment(
                "Nobody may edit an entry or open the command line: this user has no password.",
            );
            superusers.insert("nobody".to_owned());
        }
        let superusers: Vec<String> = superusers.into_iter().collect();
        self.out
            .line(format!("set superusers='{}'", superusers.join(",")));
        self.out.line("export superusers");
        let names: Vec<&str> = self.users.values().map(String::as_str).collect();
        if !names.is_empty() {
            self.out.lost(&format!(
                "passwords: GRUB asks for the name of a user first, which is {}; this file holds the passwords in \
                 plain text, as the menu does",
                names.join(" or ")
            ));
        }
        for (password, user) in &self.users {
            self.out.line(format!("password {user} '{password}'"));
        }
    }

    fn function(&mut self, id: ScreenId) {
        self.out.line(format!("function screen{} {{", id.index()));
        self.out.depth += 1;
        self.entries(id);
        self.out.depth -= 1;
        self.out.line("}");
    }

    /// A screen's entries, or the function that has them.
    fn body_of(&mut self, id: ScreenId) {
        if self.functions.contains(&id.index()) {
            self.out.line(format!("screen{}", id.index()));
        } else {
            self.entries(id);
        }
    }

    fn entries(&mut self, at: ScreenId) {
        let menu = self.menu;
        let Some(screen) = menu.screen(at) else {
            return;
        };
        let Some(said) = self.said.get_mut(at.index()).map(core::mem::take) else {
            return;
        };
        if at != ScreenId::TOP {
            self.selected(at, screen, &said);
        }
        let mut is_empty = true;
        for (index, (entry, said)) in screen.entries.iter().zip(&said).enumerate() {
            is_empty &= matches!(said, Said::LeftOut(..));
            self.entry(screen, entry, said, &id(at, index));
        }
        if at == self.opening.screen {
            is_empty &= !self.timeout_entry(screen);
        }
        if self.needs_way_back(at)
            && let Some((parent, _)) = screen.parent
        {
            self.out
                .comment("Escape would ask for a password here: GRUB is locked.");
            self.out.line(format!(
                "submenu 'Back' --id back{} --unrestricted {{",
                at.index()
            ));
            self.out.line(format!("  screen{}", parent.index()));
            self.out.line("}");
        } else if is_empty {
            // GRUB opens its command line where there is no entry, and does not show a submenu without one.
            self.out
                .line("menuentry 'This menu has nothing to start.' --unrestricted { true }");
        }
    }

    fn entry(&mut self, screen: &Screen, entry: &Entry, said: &Said, id: &str) {
        if let Said::LeftOut(is_protected, why) = said {
            if *is_protected {
                self.out.protected(entry, why);
            } else {
                self.out.left_out(entry, why);
            }
            return;
        }
        if entry.help.is_some() {
            self.out
                .lost(&format!("TEXT HELP of {}: GRUB shows no help", name(entry)));
        }
        let hotkey = hotkey(entry);
        if entry.hotkey.is_some() && hotkey.is_empty() {
            self.out.lost(&format!(
                "the hotkey of {}: GRUB's menu has it for itself, or knows it not",
                name(entry)
            ));
        }
        let head = format!(
            "{} --id {id}{hotkey}{}",
            quote::title(&entry.shown()),
            self.users_of(screen, entry)
        );
        match said {
            Said::Dead => self.out.line(format!("menuentry {head} {{ true }}")),
            Said::Screen(below) => {
                self.out.line(format!("submenu {head} {{"));
                self.out.depth += 1;
                self.body_of(*below);
                self.out.depth -= 1;
                self.out.line("}");
            }
            Said::Commands(body, lost) => {
                for what in lost {
                    self.out.lost(what);
                }
                if let Some(platform) = body.platform {
                    self.out.lost(&format!(
                        "{}: GRUB shows it where its platform is {platform}",
                        name(entry)
                    ));
                }
                self.commands(&head, body);
            }
            Said::LeftOut(..) => {}
        }
    }

    fn commands(&mut self, head: &str, body: &Body) {
        if let Some(platform) = body.platform {
            self.out
                .line(format!("if [ \"$grub_platform\" = \"{platform}\" ]; then"));
            self.out.depth += 1;
        }
        self.out.line(format!("menuentry {head} {{"));
        self.out.depth += 1;
        for line in &body.lines {
            self.out.line(line);
        }
        self.out.depth -= 1;
        self.out.line("}");
        if body.platform.is_some() {
            self.out.depth -= 1;
            self.out.line("fi");
        }
    }

    /// Who may start an entry.
    fn users_of(&self, screen: &Screen, entry: &Entry) -> String {
        let Some(passwords) = passwords(screen, entry) else {
            return " --unrestricted".to_owned();
        };
        let users: Vec<&str> = passwords
            .plain
            .iter()
            .filter_map(|password| self.users.get(password))
            .map(String::as_str)
            .collect();
        format!(" --users '{}'", users.join(","))
    }
}

/// GRUB's menu has keys of its own, which come before an entry's (`run_menu` in normal/menu.c).
fn hotkey(entry: &Entry) -> String {
    let key = entry.hotkey.filter(u8::is_ascii_alphanumeric);
    let key = key.map(|key| key.to_ascii_lowercase());
    let key = key.filter(|key| !b"cev".contains(key));
    key.map_or_else(String::new, |key| format!(" --hotkey={}", char::from(key)))
}
