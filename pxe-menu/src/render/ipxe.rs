//! A menu as a script of iPXE.

use std::collections::BTreeMap;

use super::{Out, Rendered, tenths_to_ms};
use crate::{
    Action, Boot, Client, Command, Entry, Invocation, Link, LinuxBoot, Loader, LocalBoot, Location,
    Menu, Paths, Screen, ScreenId, Text,
};

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
    /// The machine, for IPAPPEND. What it does not know, iPXE fills in.
    pub client: Client,
    /// Where converted menus are found that entries lead to.
    pub links: BTreeMap<Link, String>,
}

impl IpxeOptions {
    /// For a menu that a loader would read there.
    pub fn new(paths: Paths) -> Self {
        Self {
            paths,
            base: "tftp://${next-server}/".to_owned(),
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
}

/// A menu as a script for iPXE, BIOS or UEFI. It uses no command that BIOS builds of iPXE 2.0 lack.
///
/// Entries with a password are left out, and so are submenus with one: iPXE cannot check a hash, and a
/// password in a script can be read by all who may fetch it. iPXE lets nobody edit an entry. Its own
/// shell is another matter: a build decides whether Ctrl-B opens it.
pub fn render_ipxe(menu: &Menu, options: &IpxeOptions) -> Rendered {
    let mut script = Script {
        menu,
        options,
        out: Out::new("#"),
        bodies: Vec::new(),
        closed: super::closed(menu),
    };
    script.out.line("#!ipxe");
    script.out.line("set sp:hex 20 && set sp ${sp:string}");
    script.globals();
    let start = menu.start.unwrap_or(ScreenId::TOP);
    script.out.line(&format!("goto screen{}", start.index()));
    for (index, screen) in menu.screens.iter().enumerate() {
        if !script.closed.contains(&index) {
            script.screen(index, screen);
        }
    }
    for body in core::mem::take(&mut script.bodies) {
        script.out.line("");
        script.out.line(&body);
    }
    script.out.line("");
    script.out.line(":failed");
    script.out.line("echo That did not work.");
    script
        .out
        .line("prompt --timeout 30000 Press a key for the menu. ||");
    script.out.line(&format!("goto screen{}", start.index()));
    script.out.line("");
    script.out.line(":leave");
    script.out.line("exit");
    script.out.done()
}

struct Script<'a> {
    menu: &'a Menu,
    options: &'a IpxeOptions,
    out: Out,
    bodies: Vec<String>,
    closed: std::collections::BTreeSet<usize>,
}

impl Script<'_> {
    fn globals(&mut self) {
        if self.menu.total_timeout_tenths.is_some() {
            self.out
                .lost("TOTALTIMEOUT: iPXE's timeout ends with the first key");
        }
        if self.menu.hidden_menu {
            self.out.lost("MENU HIDDEN: iPXE shows the menu at once");
        }
        if self.menu.shift_key {
            self.out.lost("MENU SHIFTKEY: iPXE shows the menu always");
        }
        if !self.menu.hidden.is_empty() {
            let count = self.menu.hidden.len();
            self.out.lost(&format!(
                "{count} entries of MENU HIDE: iPXE has no prompt to type their labels at"
            ));
        }
    }

    fn screen(&mut self, index: usize, screen: &Screen) {
        self.out.line("");
        self.out.line(&format!(":screen{index}"));
        self.out.line(&format!("menu {}", words(&screen.title)));
        let mut default = None;
        for (at, entry) in screen.entries.iter().enumerate() {
            let label = format!("e{index}_{at}");
            if self.entry(entry, &label) && at == screen.default {
                default = Some(label);
            }
        }
        if screen.on_error.is_some() {
            self.out
                .lost("MENU ONERROR: after an error the menu is shown again");
        }
        let mut choose = "choose".to_owned();
        if let Some(tenths) = screen.timeout_tenths {
            choose.push_str(&format!(" --timeout {}", tenths_to_ms(tenths)));
        }
        if let Some(target) = self.on_timeout(screen) {
            if target.is_some() && default.is_some() && default != target {
                self.out
                    .lost("ONTIMEOUT is not the default entry: iPXE starts the one it selects");
            }
            default = target.or(default);
        }
        if let Some(default) = default {
            choose.push_str(&format!(" --default {default}"));
        }
        let escape = match screen.parent {
            Some((parent, _)) => format!("screen{}", parent.index()),
            None if screen.no_edit || self.menu.core.no_escape => format!("screen{index}"),
            None => "leave".to_owned(),
        };
        self.out.line(&format!(
            "{choose} target && goto ${{target}} || goto {escape}"
        ));
    }

    /// The entry that ONTIMEOUT names, where it is one of this screen.
    fn on_timeout(&mut self, screen: &Screen) -> Option<Option<String>> {
        let command = screen.on_timeout.as_ref()?;
        let word = command.first_word();
        for (index, other) in self.menu.screens.iter().enumerate() {
            let at = other
                .entries
                .iter()
                .position(|entry| entry.label.as_deref() == Some(word));
            if let Some(at) = at
                && core::ptr::eq(other, screen)
            {
                return Some(Some(format!("e{index}_{at}")));
            }
        }
        self.out
            .lost(&format!("ONTIMEOUT {command}: it is no entry of this menu"));
        Some(None)
    }

    /// Writes an item, and keeps what it does; false if it was left out.
    fn entry(&mut self, entry: &Entry, label: &str) -> bool {
        let shown = shown(entry);
        match &entry.action {
            Action::Separator => {
                self.out.line("item --gap --");
                return false;
            }
            Action::Disabled(_) | Action::Nowhere(_) => {
                self.out.line(&format!("item --gap -- {shown}"));
                return false;
            }
            _ => {}
        }
        if entry.password.is_some() {
            self.out.protected(entry);
            return false;
        }
        let Some(body) = self.body(entry) else {
            return false;
        };
        if entry.help.is_some() {
            self.out.lost(&format!(
                "TEXT HELP of {}: iPXE shows no help",
                super::name(entry)
            ));
        }
        let key = entry.hotkey.filter(u8::is_ascii_alphanumeric);
        let key = key.map(|key| format!("--key {} ", char::from(key.to_ascii_lowercase())));
        let marker = if matches!(entry.action, Action::Submenu(_)) {
            " >"
        } else {
            ""
        };
        self.out.line(&format!(
            "item {}{label} {shown}{marker}",
            key.unwrap_or_default()
        ));
        self.bodies.push(format!(":{label}\n{body}"));
        true
    }

    /// What an item does; `None`, with a comment, if iPXE cannot do it.
    fn body(&mut self, entry: &Entry) -> Option<String> {
        let target = match &entry.action {
            Action::Submenu(id) | Action::Goto(id) | Action::Exit(id) => *id,
            Action::Run(command) => return self.run(entry, command),
            Action::Quit => {
                self.out
                    .left_out(entry, "MENU QUIT: iPXE has no prompt of this kind");
                return None;
            }
            Action::Help(_) => {
                self.out.left_out(entry, "MENU HELP: iPXE shows no files");
                return None;
            }
            _ => return None,
        };
        if self.closed.contains(&target.index()) {
            self.out
                .left_out(entry, "it leads to a menu with a password");
            return None;
        }
        Some(format!("goto screen{}", target.index()))
    }

    fn run(&mut self, entry: &Entry, command: &Command) -> Option<String> {
        let mut plain = command.clone();
        plain.sysappend = 0;
        if let Some(link) = command.link() {
            let Some(at) = self.options.links.get(&link) else {
                self.out.left_out(
                    entry,
                    "it leads to another configuration, which was not converted",
                );
                return None;
            };
            return Some(format!("chain {at} || goto failed"));
        }
        let reason = match plain.boot(Loader::Lpxelinux, &self.options.client) {
            Boot::Linux(linux) => return self.linux(entry, &linux, command.sysappend, false),
            Boot::Memdisk(linux) => return self.linux(entry, &linux, command.sysappend, true),
            Boot::Multiboot(modules) => return self.multiboot(entry, &modules),
            Boot::Pxe(program) => {
                let uri = self.uri(entry, &program.file)?;
                return Some(format!(
                    "iseq ${{platform}} pcbios || goto failed\nchain {uri} || goto failed"
                ));
            }
            Boot::Local(LocalBoot::Normal | LocalBoot::NextDevice | LocalBoot::Firmware) => {
                return Some("goto leave".to_owned());
            }
            Boot::Local(_) => {
                return Some(
                    "# LOCALBOOT with the network stack kept: iPXE decides by itself\ngoto leave"
                        .to_owned(),
                );
            }
            Boot::Menu(_) => return Some("goto screen0".to_owned()),
            Boot::Module(_) => "a module of syslinux: iPXE cannot run it",
            Boot::BootSector(_) => "a boot sector: iPXE cannot start it by itself",
            Boot::Config { .. } => "it leads to another configuration",
            Boot::Nothing(_) => "the loader itself cannot start it",
        };
        self.out.left_out(entry, reason);
        None
    }

    fn linux(
        &mut self,
        entry: &Entry,
        boot: &LinuxBoot,
        sysappend: u32,
        is_memdisk: bool,
    ) -> Option<String> {
        let mut body = String::new();
        if is_memdisk {
            body.push_str("iseq ${platform} pcbios || goto failed\n");
        }
        let mut arguments = boot.arguments_without_initrd().to_string();
        if arguments.contains("${") || !is_clean(arguments.as_bytes()) {
            self.out.left_out(entry, "its arguments hold what iPXE would take for its own variables or for the end of a line");
            return None;
        }
        arguments = arguments
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(safe)
            .collect::<Vec<_>>()
            .join(" ");
        for option in self.sysappend(sysappend) {
            arguments.push(' ');
            arguments.push_str(&option);
        }
        // UEFI kernels find their initial RAM disks by these names; BIOS ones need none.
        let names: Vec<String> = (0..boot.initrds.len())
            .map(|index| format!("initrd{index}"))
            .collect();
        let named: String = names.iter().map(|name| format!("initrd={name} ")).collect();
        let named = if is_memdisk { "" } else { named.as_str() };
        let kernel = self.uri(entry, &boot.kernel)?;
        body.push_str(&format!(
            "kernel {kernel} {named}{}",
            arguments.trim_start()
        ));
        body = body.trim_end().to_owned() + " || goto failed\n";
        for (initrd, name) in boot.initrds.iter().zip(&names) {
            let uri = self.uri(entry, initrd)?;
            body.push_str(&format!("initrd --name {name} {uri} || goto failed\n"));
        }
        body.push_str("boot || goto failed");
        Some(body)
    }

    fn multiboot(&mut self, entry: &Entry, modules: &[Invocation]) -> Option<String> {
        let mut body = "iseq ${platform} pcbios || goto failed\n".to_owned();
        for (index, module) in modules.iter().enumerate() {
            let uri = self.uri(entry, &module.file)?;
            let verb = if index == 0 { "kernel" } else { "module" };
            let arguments = words(&module.arguments);
            body.push_str(&format!("{verb} {uri} {arguments}"));
            body = body.trim_end().to_owned() + " || goto failed\n";
        }
        body.push_str("boot || goto failed");
        Some(body)
    }

    /// SYSAPPEND's options: what is known of the client, else iPXE's own variables.
    fn sysappend(&mut self, mask: u32) -> Vec<String> {
        let mut options = Vec::new();
        for bit in (0..19).filter(|bit| mask & (1 << bit) != 0) {
            let known = self.options.client.sysappend(1 << bit);
            let variable = match bit {
                _ if !known.is_empty() => known.to_string().trim_start().to_owned(),
                0 => "ip=${ip}:${next-server}:${gateway}:${netmask}".to_owned(),
                1 => "BOOTIF=01-${mac:hexhyp}".to_owned(),
                2 => "SYSUUID=${uuid}".to_owned(),
                4 => "SYSVENDOR=${manufacturer}".to_owned(),
                5 => "SYSPRODUCT=${product}".to_owned(),
                7 => "SYSSERIAL=${serial}".to_owned(),
                _ => {
                    self.out.lost(&format!(
                        "SYSAPPEND {:#x}: its value is not known",
                        1_u32 << bit
                    ));
                    continue;
                }
            };
            options.push(variable);
        }
        options
    }

    fn uri(&mut self, entry: &Entry, name: &[u8]) -> Option<String> {
        match self.options.paths.locate(name) {
            Location::Tftp { host: None, path } => {
                // Servers take doubled and leading slashes as one.
                let path = path.strip_prefix(b"/").unwrap_or(&path);
                Some(format!("{}{}", self.options.base, super::escape_uri(path)))
            }
            Location::Tftp {
                host: Some(host),
                path,
            } => {
                let path = path.strip_prefix(b"/").unwrap_or(&path);
                Some(format!("tftp://{host}/{}", super::escape_uri(path)))
            }
            Location::Url(url) => Some(super::escape_uri(&url)),
            Location::NoProtocol(url) => {
                self.out
                    .left_out(entry, &format!("{url}: its loader has no such protocol"));
                None
            }
        }
    }
}

/// What an item shows; iPXE joins words with one space.
fn shown(entry: &Entry) -> String {
    let text = entry.shown();
    let blanks = text.iter().take_while(|byte| **byte == b' ').count();
    format!("{}{}", "${sp}".repeat(blanks), words(&text))
}

/// Text that iPXE shows as it is.
fn words(text: &Text) -> String {
    let text = text.to_string().replace("${", "$ {");
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    words
        .filter(|word| !word.is_empty())
        .map(safe)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word that iPXE would take for the beginning of a comment or the end of a command gets a variable
/// before it that is empty: words are told apart before variables are filled in.
fn safe(word: &str) -> String {
    if word.starts_with('#') || matches!(word, "||" | "&&" | ";") {
        format!("${{nothing}}{word}")
    } else {
        word.to_owned()
    }
}

fn is_clean(bytes: &[u8]) -> bool {
    !bytes.iter().any(u8::is_ascii_control)
}
