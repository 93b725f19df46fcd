//! A menu as a grub.cfg.

use std::collections::BTreeMap;

use super::{Out, Rendered};
use crate::{
    Action, Boot, Client, Command, Entry, Invocation, Link, LinuxBoot, Loader, Location, Menu,
    Paths, ScreenId, Text,
};

/// How a menu becomes a grub.cfg.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GrubOptions {
    /// How the menu's names are to be understood.
    pub paths: Paths,
    /// The device for files of the loader's own server, such as `(http,192.168.150.1)`.
    ///
    /// It is written out in each path, since `$root` is not what it should be in a GRUB that came by HTTP.
    pub device: String,
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
            client: Client::new(),
            links: BTreeMap::new(),
        }
    }

    /// With what is known of the machine.
    #[must_use]
    pub fn with_client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }
}

/// A menu as a grub.cfg for UEFI.
///
/// Entries with a password are left out, and so are submenus with one. Where the menu lets nobody edit
/// entries (`ALLOWOPTIONS 0`, NOESCAPE, MENU MASTER PASSWD), GRUB is locked likewise: `superusers` names a
/// user without a password, and each entry is `--unrestricted`.
pub fn render_grub(menu: &Menu, options: &GrubOptions) -> Rendered {
    let mut config = Config {
        menu,
        options,
        out: Out::new("#"),
        depth: 0,
    };
    config.globals();
    config.entries(ScreenId::TOP);
    config.out.done()
}

struct Config<'a> {
    menu: &'a Menu,
    options: &'a GrubOptions,
    out: Out,
    depth: usize,
}

impl Config<'_> {
    fn line(&mut self, line: &str) {
        let indented = format!("{}{line}", "  ".repeat(self.depth));
        self.out.line(&indented);
    }

    fn globals(&mut self) {
        let Some(top) = self.menu.screens.first() else {
            return;
        };
        match top.timeout_tenths {
            Some(tenths) => self.line(&format!("set timeout={}", tenths.div_ceil(10))),
            None => self.line("set timeout=-1"),
        }
        if let Some(default) = self.default_path() {
            self.line(&format!("set default={}", quoted(default.as_bytes())));
        }
        if self.menu.hidden_menu {
            self.line("set timeout_style=countdown");
        }
        let locked = self.menu.core.no_escape
            || self
                .menu
                .screens
                .iter()
                .any(|screen| screen.no_edit || screen.master_password.is_some());
        if locked {
            self.line("# Nobody may edit an entry or open the shell: this user has no password.");
            self.line("set superusers=nobody");
            self.line("export superusers");
        }
        if self
            .menu
            .screens
            .iter()
            .any(|screen| screen.master_password.is_some())
        {
            self.out
                .lost("MENU MASTER PASSWD: nobody can edit entries, not even with it");
        }
        if self.menu.total_timeout_tenths.is_some() {
            self.out
                .lost("TOTALTIMEOUT: GRUB's timeout ends with the first key");
        }
        let selected = top
            .entries
            .get(top.default)
            .and_then(|entry| entry.label.as_deref());
        let on_timeout = top.on_timeout.as_ref().map(Text::as_bytes);
        if on_timeout.is_some() && on_timeout != selected {
            self.out.lost("ONTIMEOUT: GRUB starts the default entry");
        }
        if self.menu.shift_key {
            self.out.lost("MENU SHIFTKEY: GRUB shows the menu always");
        }
        if !self.menu.hidden.is_empty() {
            let count = self.menu.hidden.len();
            self.out.lost(&format!(
                "{count} entries of MENU HIDE: GRUB has no prompt to type their labels at"
            ));
        }
        if !top.title.is_empty() {
            self.out.line(&format!("# {}", super::comment(&top.title)));
        }
    }

    /// The identifiers of the entry selected at first, from the top menu down.
    fn default_path(&self) -> Option<String> {
        let start = self.menu.start.unwrap_or(ScreenId::TOP);
        let screen = self.menu.screen(start)?;
        let mut path = vec![id(start, screen.default)];
        let mut above = screen.parent;
        while let Some((parent, index)) = above {
            path.push(id(parent, index));
            above = self.menu.screen(parent)?.parent;
        }
        path.reverse();
        Some(path.join(">"))
    }

    fn entries(&mut self, at: ScreenId) {
        let menu = self.menu;
        let Some(screen) = menu.screen(at) else {
            return;
        };
        for (index, entry) in screen.entries.iter().enumerate() {
            self.entry(entry, &id(at, index));
        }
    }

    fn entry(&mut self, entry: &Entry, id: &str) {
        if entry.password.is_some() {
            self.out.protected(entry);
            return;
        }
        if entry.help.is_some() {
            self.out.lost(&format!(
                "TEXT HELP of {}: GRUB shows no help",
                super::name(entry)
            ));
        }
        let hotkey = entry.hotkey.filter(u8::is_ascii_alphanumeric);
        let hotkey =
            hotkey.map(|key| format!(" --hotkey={}", char::from(key.to_ascii_lowercase())));
        let head = format!(
            "{} --id {id}{} --unrestricted",
            quoted(&entry.shown()),
            hotkey.unwrap_or_default()
        );
        match &entry.action {
            Action::Submenu(below) => {
                self.line(&format!("submenu {head} {{"));
                self.depth += 1;
                self.entries(*below);
                self.depth -= 1;
                self.line("}");
            }
            Action::Separator | Action::Disabled(_) | Action::Nowhere(_) => {
                self.line(&format!("menuentry {head} {{ true }}"));
            }
            Action::Run(command) => {
                if let Some(body) = self.run(entry, command) {
                    self.line(&format!("menuentry {head} {{"));
                    self.depth += 1;
                    for line in body {
                        self.line(&line);
                    }
                    self.depth -= 1;
                    self.line("}");
                }
            }
            Action::Goto(_) => self.out.left_out(entry, "MENU GOTO: GRUB has no such jump"),
            Action::Exit(_) => self
                .out
                .left_out(entry, "MENU EXIT: the Escape key leaves a submenu of GRUB"),
            Action::Quit => self
                .out
                .left_out(entry, "MENU QUIT: GRUB has no prompt of this kind"),
            Action::Help(_) => self
                .out
                .left_out(entry, "MENU HELP: GRUB shows no files of this kind"),
        }
    }

    fn run(&mut self, entry: &Entry, command: &Command) -> Option<Vec<String>> {
        if let Some(link) = command.link() {
            let Some(at) = self.options.links.get(&link) else {
                self.out.left_out(
                    entry,
                    "it leads to another configuration, which was not converted",
                );
                return None;
            };
            return Some(vec![format!("configfile {}", quoted(at.as_bytes()))]);
        }
        let reason = match command.boot(Loader::SyslinuxEfi, &self.options.client) {
            Boot::Linux(linux) => return self.linux(entry, &linux),
            Boot::Multiboot(modules) => return self.multiboot(entry, &modules),
            Boot::Local(_) => return Some(vec!["exit".to_owned()]),
            Boot::Menu(_) => "it shows this same menu again",
            Boot::Module(_) => "a module of syslinux: GRUB cannot run it",
            Boot::Config { .. } => "it leads to another configuration",
            Boot::Nothing(crate::NotBootable::BiosOnly) => {
                "a program for the BIOS: it cannot run under UEFI"
            }
            _ => "the loader itself cannot start it",
        };
        self.out.left_out(entry, reason);
        None
    }

    fn linux(&mut self, entry: &Entry, boot: &LinuxBoot) -> Option<Vec<String>> {
        let kernel = self.path(entry, &boot.kernel)?;
        let arguments = boot.arguments_without_initrd();
        let mut lines = vec![format!("linux {kernel}{}", quoted_words(&arguments))];
        let mut initrds = String::new();
        for initrd in &boot.initrds {
            initrds.push(' ');
            initrds.push_str(&self.path(entry, initrd)?);
        }
        if !initrds.is_empty() {
            lines.push(format!("initrd{initrds}"));
        }
        Some(lines)
    }

    fn multiboot(&mut self, entry: &Entry, modules: &[Invocation]) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        for (index, module) in modules.iter().enumerate() {
            let verb = if index == 0 { "multiboot" } else { "module" };
            let path = self.path(entry, &module.file)?;
            lines.push(format!("{verb} {path}{}", quoted_words(&module.arguments)));
        }
        Some(lines)
    }

    fn path(&mut self, entry: &Entry, name: &[u8]) -> Option<String> {
        let with_device = |device: &str, path: &[u8]| {
            let path = path.strip_prefix(b"/").unwrap_or(path);
            let path = crate::text::decode(path);
            quoted_word(format!("{device}/{path}").as_bytes())
        };
        match self.options.paths.locate(name) {
            Location::Tftp { host: None, path } => Some(with_device(&self.options.device, &path)),
            Location::Tftp {
                host: Some(host),
                path,
            } => Some(with_device(&format!("(tftp,{host})"), &path)),
            Location::Url(url) if url.starts_with(b"http://") => {
                let rest = url.get(7..).unwrap_or_default();
                let slash = rest
                    .iter()
                    .position(|byte| *byte == b'/')
                    .unwrap_or(rest.len());
                let (host, path) = rest.split_at(slash);
                Some(with_device(
                    &format!("(http,{})", crate::text::decode(host)),
                    path,
                ))
            }
            Location::Url(url) | Location::NoProtocol(url) => {
                self.out
                    .left_out(entry, &format!("{url}: GRUB has no such protocol"));
                None
            }
        }
    }
}

fn id(screen: ScreenId, index: usize) -> String {
    format!("e{}_{index}", screen.index())
}

/// A string in single quotes, in which GRUB takes nothing for its own but the quote itself.
fn quoted(text: &[u8]) -> String {
    let text: String = crate::text::decode(text)
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A word, in quotes only where GRUB would take something in it for its own.
fn quoted_word(word: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/.,:=_-+@%()".contains(byte);
    if word.iter().all(plain) {
        crate::text::decode(word)
    } else {
        quoted(word)
    }
}

/// Arguments, each with a space before it.
fn quoted_words(arguments: &Text) -> String {
    let words = arguments
        .split(|byte| crate::scan::is_space(*byte))
        .filter(|word| !word.is_empty());
    words
        .map(|word| format!(" {}", quoted_argument(word)))
        .collect()
}

/// Like a word; but an argument in brackets is no device.
fn quoted_argument(word: &[u8]) -> String {
    if word.iter().any(|byte| matches!(byte, b'(' | b')')) {
        quoted(word)
    } else {
        quoted_word(word)
    }
}
