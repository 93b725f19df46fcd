//! A menu as JSON.

use crate::json::Json;
use crate::{Action, Boot, Client, Command, Entry, Loader, Menu, Screen, Text, Ui};

/// The version of the form of [`render_json`]. A field more does not raise it.
pub const JSON_VERSION: u32 = 1;

/// A menu as JSON (RFC 8259), in UTF-8.
///
/// An object: `version`; `ui` (`prompt`, `text`, `graphic` or `other`); `start`, the index of the screen
/// shown first; `screens`, each with `tag`, `title`, `parent` (an index), `default` (the index of an entry),
/// `timeout_tenths`, `on_timeout`, `editable`, `entries`. An entry has `label`, `text`, `hotkey`,
/// `protected`, `help`, `action` (`run`, `separator`, `disabled`, `submenu`, `goto`, `exit`, `quit`, `help`,
/// `nowhere`), with `target` the index of a screen, and `run` an object of `type`, `file`, `initrds`,
/// `arguments`. Passwords are not in it. What is absent is `null`. Bytes that are no UTF-8 are told as Latin-1.
pub fn render_json(menu: &Menu, loader: Loader, client: &Client) -> String {
    let mut json = Json::default();
    json.open('{');
    json.number("version", JSON_VERSION as usize);
    let ui = match menu.ui {
        Ui::Prompt => "prompt",
        Ui::Text(_) => "text",
        Ui::Graphic(_) => "graphic",
        Ui::Other(_) => "other",
    };
    json.string("ui", ui);
    json.number("start", menu.start.map_or(0, |id| id.index()));
    json.key("screens");
    json.open('[');
    for screen in &menu.screens {
        json.item();
        json.screen(screen, loader, client);
    }
    json.close(']');
    json.key("hidden");
    json.open('[');
    for entry in &menu.hidden {
        json.item();
        json.entry(entry, loader, client);
    }
    json.close(']');
    json.close('}');
    json.finish()
}

impl Json {
    fn screen(&mut self, screen: &Screen, loader: Loader, client: &Client) {
        self.open('{');
        self.text("tag", screen.tag.as_ref());
        self.text("title", Some(&screen.title));
        self.maybe_number("parent", screen.parent.map(|(parent, _)| parent.index()));
        self.number("default", screen.default);
        self.maybe_number(
            "timeout_tenths",
            screen.timeout_tenths.map(|tenths| tenths as usize),
        );
        self.text("on_timeout", screen.on_timeout.as_ref());
        self.flag(
            "editable",
            !screen.no_edit && screen.master_password.is_none(),
        );
        self.key("entries");
        self.open('[');
        for entry in &screen.entries {
            self.item();
            self.entry(entry, loader, client);
        }
        self.close(']');
        self.close('}');
    }

    fn entry(&mut self, entry: &Entry, loader: Loader, client: &Client) {
        self.open('{');
        self.text("label", entry.label.as_ref());
        self.text("text", Some(&entry.shown()));
        let hotkey = entry.hotkey.map(|key| Text::from(&[key][..]));
        self.text("hotkey", hotkey.as_ref());
        self.flag("protected", entry.password.is_some());
        self.text("help", entry.help.as_ref());
        let (action, target) = match &entry.action {
            Action::Run(_) => ("run", None),
            Action::Separator => ("separator", None),
            Action::Disabled(_) => ("disabled", None),
            Action::Nowhere(_) => ("nowhere", None),
            Action::Submenu(id) => ("submenu", Some(id.index())),
            Action::Goto(id) => ("goto", Some(id.index())),
            Action::Exit(id) => ("exit", Some(id.index())),
            Action::Quit => ("quit", None),
            Action::Help(_) => ("help", None),
        };
        self.string("action", action);
        self.maybe_number("target", target);
        self.key("run");
        match &entry.action {
            Action::Run(command) => self.command(command, loader, client),
            _ => self.out.push_str("null"),
        }
        self.close('}');
    }

    fn command(&mut self, command: &Command, loader: Loader, client: &Client) {
        let (kind, file, initrds, arguments) = match command.boot(loader, client) {
            Boot::Linux(boot) => ("linux", Some(boot.kernel), boot.initrds, boot.arguments),
            Boot::Memdisk(boot) => ("memdisk", Some(boot.kernel), boot.initrds, boot.arguments),
            Boot::Menu(files) => ("menu", None, files, Text::default()),
            Boot::Multiboot(mut modules) if !modules.is_empty() => {
                let kernel = modules.remove(0);
                let files = modules.into_iter().map(|module| module.file).collect();
                ("multiboot", Some(kernel.file), files, kernel.arguments)
            }
            Boot::Module(module) => ("module", Some(module.file), Vec::new(), module.arguments),
            Boot::Pxe(program) => ("pxe", Some(program.file), Vec::new(), program.arguments),
            Boot::Efi(program) => ("efi", Some(program.file), Vec::new(), program.arguments),
            Boot::BootCfg { config, arguments } => {
                ("boot-cfg", Some(config), Vec::new(), arguments)
            }
            Boot::BootSector(file) => ("boot-sector", Some(file), Vec::new(), Text::default()),
            Boot::Local(_) => ("local", None, Vec::new(), command.image.clone()),
            Boot::Config { file, directory } => (
                "config",
                Some(file),
                Vec::new(),
                directory.unwrap_or_default(),
            ),
            Boot::Nothing(_) | Boot::Multiboot(_) => {
                ("nothing", None, Vec::new(), command.append.clone())
            }
        };
        self.open('{');
        self.string("type", kind);
        self.text("file", file.as_ref());
        self.key("initrds");
        self.open('[');
        for initrd in &initrds {
            self.item();
            self.quote(&initrd.to_string());
        }
        self.close(']');
        self.text("arguments", Some(&arguments));
        self.close('}');
    }
}
