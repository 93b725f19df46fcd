//! A menu as JSON.

use crate::json::Json;
use crate::{
    Action, Boot, Client, Colour, Command, Core, Entry, FKeyHelp, Loader, Menu, Screen, Text, Ui,
};

/// The version of the form of [`render_json`]. A field more does not raise it.
pub const JSON_VERSION: u32 = 1;

/// A menu as JSON (RFC 8259), in UTF-8: all that a [`Menu`] has but its passwords.
///
#[doc = include_str!("../../docs/json.md")]
pub fn render_json(menu: &Menu, loader: Loader, client: &Client) -> String {
    let mut json = Json::default();
    json.open('{');
    json.count("version", JSON_VERSION);
    json.ui(&menu.ui);
    json.bytes("default", menu.default.as_ref());
    json.bytes("ui_command", menu.ui_command.as_ref());
    json.number("start", menu.start.map_or(0, |id| id.index()));
    json.flag("hidden_menu", menu.hidden_menu);
    json.list("hidden_keys", &menu.hidden_keys, |json, (key, command)| {
        json.open('{');
        json.bytes("key", Some(key));
        json.bytes("command", Some(command));
        json.close('}');
    });
    json.flag("shift_key", menu.shift_key);
    json.flag("clear", menu.clear);
    json.key("resolution");
    match menu.resolution {
        Some((width, height)) => json.out.push_str(&format!("[{width},{height}]")),
        None => json.out.push_str("null"),
    }
    json.maybe_count("total_timeout_tenths", menu.total_timeout_tenths);
    json.core(&menu.core);
    json.list("screens", &menu.screens, |json, screen| {
        json.screen(screen, loader, client);
    });
    json.list("hidden", &menu.hidden, |json, entry| {
        json.entry(entry, loader, client);
    });
    json.close('}');
    json.finish()
}

impl Json {
    /// A list of values.
    fn list<T>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.key(name);
        self.open('[');
        for value in values {
            self.item();
            write(self, value);
        }
        self.close(']');
    }

    fn texts(&mut self, name: &str, texts: &[Text]) {
        self.list(name, texts, Self::lossless);
    }

    fn bytes(&mut self, name: &str, value: Option<&Text>) {
        self.key(name);
        match value {
            Some(value) => self.lossless(value),
            None => self.out.push_str("null"),
        }
    }

    /// Text, from which its bytes can be had.
    fn lossless(&mut self, text: &Text) {
        match core::str::from_utf8(text) {
            Ok(text) => self.quote(text),
            Err(_) => {
                self.open('{');
                self.string("latin1", &text.to_string());
                self.close('}');
            }
        }
    }

    fn count(&mut self, name: &str, value: impl Into<i64>) {
        self.key(name);
        self.out.push_str(&value.into().to_string());
    }

    fn maybe_count(&mut self, name: &str, value: Option<impl Into<i64>>) {
        match value {
            Some(value) => self.count(name, value),
            None => self.bytes(name, None),
        }
    }

    fn ui(&mut self, ui: &Ui) {
        let (kind, files, module) = match ui {
            Ui::Prompt => ("prompt", None, None),
            Ui::Text(files) => ("text", Some(files), None),
            Ui::Graphic(files) => ("graphic", Some(files), None),
            Ui::Other(module) => ("other", None, Some(module)),
        };
        self.string("ui", kind);
        match files {
            Some(files) => self.texts("ui_files", files),
            None => self.bytes("ui_files", None),
        }
        self.bytes("ui_module", module);
    }

    fn core(&mut self, core: &Core) {
        self.key("core");
        self.open('{');
        for (name, value) in [
            ("prompt", core.prompt),
            ("labels_only", core.labels_only),
            ("no_escape", core.no_escape),
            ("no_complete", core.no_complete),
            ("no_halt", core.no_halt),
            ("no_console", core.no_console),
        ] {
            self.flag(name, value);
        }
        self.key("serial");
        match core.serial {
            Some(serial) => {
                self.open('{');
                self.count("port", serial.port);
                self.count("baud", serial.baud);
                self.count("flow", serial.flow);
                self.close('}');
            }
            None => self.out.push_str("null"),
        }
        self.texts("display", &core.display);
        self.bytes("font", core.font.as_ref());
        self.bytes("keymap", core.keymap.as_ref());
        self.texts("say", &core.say);
        self.texts("path", &core.path);
        self.maybe_count("pxe_retry", core.pxe_retry);
        self.maybe_count("send_cookies", core.send_cookies);
        self.bytes("on_error", core.on_error.as_ref());
        self.count("sysappend", core.sysappend);
        self.close('}');
    }

    fn screen(&mut self, screen: &Screen, loader: Loader, client: &Client) {
        let is_mastered = screen.master_password.is_some();
        self.open('{');
        self.bytes("tag", screen.tag.as_ref());
        self.bytes("title", Some(&screen.title));
        self.maybe_number("parent", screen.parent.map(|(parent, _)| parent.index()));
        self.maybe_number("parent_entry", screen.parent.map(|(_, entry)| entry));
        self.number("default", screen.default);
        self.maybe_count("timeout_tenths", screen.timeout_tenths);
        self.bytes("on_timeout", screen.on_timeout.as_ref());
        self.bytes("on_error", screen.on_error.as_ref());
        self.flag("editable", !screen.no_edit && !is_mastered);
        self.flag("no_edit", screen.no_edit);
        self.flag("master_protected", is_mastered);
        self.flag("save", screen.save);
        self.flag("immediate", screen.immediate);
        self.flag("linked", screen.linked);
        self.bytes("background", screen.background.as_ref());
        self.key("messages");
        self.open('{');
        for (message, text) in &screen.messages {
            self.bytes(message.as_str(), Some(text));
        }
        self.close('}');
        self.key("layout");
        self.open('{');
        for (parameter, value) in &screen.layout {
            self.count(parameter.as_str(), *value);
        }
        self.close('}');
        self.key("colours");
        self.open('{');
        for (name, colour) in &screen.colours {
            self.colour(name, Some(colour));
        }
        self.close('}');
        self.colour("message_colours", screen.message_colours.as_ref());
        self.list("f_keys", &screen.f_keys, |json, (key, help)| {
            json.open('{');
            json.count("key", *key);
            json.help(Some(help));
            json.close('}');
        });
        self.list("entries", &screen.entries, |json, entry| {
            json.entry(entry, loader, client);
        });
        self.close('}');
    }

    fn colour(&mut self, name: &str, colour: Option<&Colour>) {
        self.key(name);
        let Some(colour) = colour else {
            self.out.push_str("null");
            return;
        };
        self.open('{');
        self.bytes("ansi", colour.ansi.as_ref());
        self.maybe_count("foreground", colour.foreground);
        self.maybe_count("background", colour.background);
        let shadow = colour.shadow.map(|shadow| Text::from(shadow.as_str()));
        self.bytes("shadow", shadow.as_ref());
        self.close('}');
    }

    fn help(&mut self, help: Option<&FKeyHelp>) {
        self.bytes("file", help.map(|help| &help.file));
        let background = help.and_then(|help| help.background.as_ref());
        self.bytes("background", background);
    }

    fn entry(&mut self, entry: &Entry, loader: Loader, client: &Client) {
        self.open('{');
        self.bytes("label", entry.label.as_ref());
        self.bytes("menu_label", entry.menu_label.as_ref());
        self.bytes("text", Some(&entry.shown()));
        self.count("indent", entry.indent);
        let hotkey = entry.hotkey.map(|key| Text::from(&[key][..]));
        self.bytes("hotkey", hotkey.as_ref());
        self.flag("protected", entry.password.is_some());
        self.flag("unreachable", entry.unreachable);
        self.bytes("help", entry.help.as_ref());
        self.flag("save", entry.save);
        self.flag("immediate", entry.immediate);
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
        let (mut tag, mut help, mut command) = (None, None, None);
        match &entry.action {
            Action::Nowhere(name) => tag = Some(name),
            Action::Help(file) => help = Some(file),
            Action::Run(written) | Action::Disabled(written) => command = Some(written),
            _ => {}
        }
        self.string("action", action);
        self.maybe_number("target", target);
        self.bytes("tag", tag);
        self.help(help);
        self.key("command");
        match command {
            Some(command) => self.command(command),
            None => self.out.push_str("null"),
        }
        self.key("run");
        match &entry.action {
            Action::Run(command) => self.boot(command, loader, client),
            _ => self.out.push_str("null"),
        }
        self.close('}');
    }

    fn command(&mut self, command: &Command) {
        self.open('{');
        self.string("image_type", command.image_type.as_str());
        self.bytes("image", Some(&command.image));
        self.bytes("append", Some(&command.append));
        self.bytes("initrd", command.initrd.as_ref());
        self.count("sysappend", command.sysappend);
        self.close('}');
    }

    fn boot(&mut self, command: &Command, loader: Loader, client: &Client) {
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
            Boot::Wimboot { program, files } => {
                let files = files.into_iter().map(|(_, file)| file).collect();
                ("wimboot", Some(program), files, command.append.clone())
            }
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
        self.bytes("file", file.as_ref());
        self.texts("initrds", &initrds);
        self.bytes("arguments", Some(&arguments));
        self.close('}');
    }
}
