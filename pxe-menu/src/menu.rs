//! What a configuration means: the menu, as the loader has it after reading.

use std::collections::{BTreeMap, BTreeSet};

use crate::Text;
use crate::keyword::{ImageType, Message, Parameter};

/// The number of a [`Screen`] in [`Menu::screens`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScreenId(pub(crate) usize);

impl ScreenId {
    /// The top menu, `.top` to MENU GOTO.
    pub const TOP: Self = Self(0);

    /// Its index in [`Menu::screens`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a person at the machine is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Ui {
    /// The `boot:` prompt, or straight the default entry.
    #[default]
    Prompt,
    /// menu.c32, with the files that it is told to read instead of the main one.
    Text(Vec<Text>),
    /// vesamenu.c32, likewise.
    Graphic(Vec<Text>),
    /// Another module, with its arguments.
    Other(Text),
}

impl Ui {
    /// Whether it is menu.c32 or vesamenu.c32.
    pub fn is_menu(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Graphic(_))
    }

    /// Whether it is gfxboot.c32, which shows the labels in a menu of its own.
    pub(crate) fn is_gfxboot(&self) -> bool {
        let Self::Other(line) = self else {
            return false;
        };
        let name = line.first_word().rsplit(|byte| matches!(byte, b'/' | b':'));
        let name = name.take(1).next().unwrap_or_default();
        name.eq_ignore_ascii_case(b"gfxboot.c32") || name.eq_ignore_ascii_case(b"gfxboot")
    }

    pub(crate) fn menu_files(&self) -> Vec<Text> {
        match self {
            Self::Text(files) | Self::Graphic(files) => files.clone(),
            _ => Vec::new(),
        }
    }
}

/// A menu, as the loader has it after reading its configuration: made by [`resolve`](crate::resolve()).
///
/// Two menus are equal if a person at the machine could not tell them apart and they start the same
/// commands, in whatever way they are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Menu {
    /// What is shown.
    pub ui: Ui,
    /// The last DEFAULT: a command line, whose first word may be a label.
    pub default: Option<Text>,
    /// The last UI: a command line that comes before DEFAULT.
    pub ui_command: Option<Text>,
    /// The menus: the top one first, then in the order of their MENU BEGIN.
    pub screens: Vec<Screen>,
    /// The one that is shown first.
    pub start: Option<ScreenId>,
    /// Entries that no screen shows (MENU HIDE), but which the command line knows.
    pub hidden: Vec<Entry>,
    /// MENU HIDDEN: nothing but the timeout is shown until a key is pressed.
    pub hidden_menu: bool,
    /// MENU HIDDENKEY: the command that a key starts which interrupts a hidden menu.
    pub hidden_keys: BTreeMap<Text, Text>,
    /// MENU SHIFTKEY: no menu unless a shift key is held.
    pub shift_key: bool,
    /// MENU CLEAR: the screen is cleared when the menu is left.
    pub clear: bool,
    /// MENU RESOLUTION: width and height.
    pub resolution: Option<(u32, u32)>,
    /// TOTALTIMEOUT, in tenths of a second; it is not stopped by keys.
    pub total_timeout_tenths: Option<u32>,
    /// What only the loader itself reads.
    pub core: Core,
}

/// What the loader itself reads, and the menu does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Core {
    /// PROMPT: the prompt is shown, unless there is a UI.
    pub prompt: bool,
    /// `IMPLICIT 0`: only labels can be started, no file by its name.
    pub labels_only: bool,
    /// NOESCAPE: no key opens the prompt.
    pub no_escape: bool,
    /// NOCOMPLETE: the tab key lists no labels.
    pub no_complete: bool,
    /// NOHALT: the processor is not halted while idle.
    pub no_halt: bool,
    /// `CONSOLE 0`: nothing is written to the video console.
    pub no_console: bool,
    /// SERIAL.
    pub serial: Option<Serial>,
    /// DISPLAY: the files shown before the prompt, in order.
    pub display: Vec<Text>,
    /// FONT.
    pub font: Option<Text>,
    /// KBDMAP.
    pub keymap: Option<Text>,
    /// SAY: what is written, in order.
    pub say: Vec<Text>,
    /// PATH: directories in which modules are looked for.
    pub path: Vec<Text>,
    /// PXERETRY: how often a file is asked for again.
    pub pxe_retry: Option<i32>,
    /// SENDCOOKIES: a mask of what is told to HTTP servers.
    pub send_cookies: Option<u32>,
    /// ONERROR: the command started when an image cannot be loaded.
    pub on_error: Option<Text>,
    /// SYSAPPEND or IPAPPEND before any LABEL: for images started by their name.
    pub sysappend: u32,
}

/// SERIAL: a serial console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Serial {
    /// A number of 0 to 3, or an I/O port.
    pub port: u32,
    /// Bits per second; below 75 the console is off.
    pub baud: u32,
    /// Flow control, as the directive has it.
    pub flow: u32,
}

impl Serial {
    /// The speed where none is given.
    pub const BAUD_DEFAULT: u32 = 9600;
}

/// One menu of entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Screen {
    /// The tag that MENU GOTO knows; `.top` for the first, and `None` for a submenu without a tag.
    pub tag: Option<Text>,
    /// Its title.
    pub title: Text,
    /// The menu above, and the index of the entry there that leads here.
    pub parent: Option<(ScreenId, usize)>,
    /// Its lines.
    pub entries: Vec<Entry>,
    /// The index of the entry selected at first.
    pub default: usize,
    /// TIMEOUT, in tenths of a second.
    pub timeout_tenths: Option<u32>,
    /// ONTIMEOUT: the command started then, instead of the selected entry.
    pub on_timeout: Option<Text>,
    /// MENU ONERROR.
    pub on_error: Option<Text>,
    /// `ALLOWOPTIONS 0` (the default is to allow): no editing, and no way to the prompt.
    pub no_edit: bool,
    /// MENU SAVE for its entries.
    pub save: bool,
    /// MENU IMMEDIATE for its entries: a hotkey starts its entry at once.
    pub immediate: bool,
    /// MENU MASTER PASSWD.
    pub master_password: Option<Text>,
    /// MENU BACKGROUND: a colour or a file.
    pub background: Option<Text>,
    /// Messages that were replaced.
    pub messages: BTreeMap<Message, Text>,
    /// Numbers of the layout that were given.
    pub layout: BTreeMap<Parameter, i32>,
    /// Colours that were given, by the name of the element in lower case.
    pub colours: BTreeMap<String, Colour>,
    /// MENU MSGCOLOR.
    pub message_colours: Option<Colour>,
    /// F1 to F12: the file shown, and its background.
    pub f_keys: BTreeMap<u8, FKeyHelp>,
    /// Whether it is the top menu of another configuration, that an entry led to before a
    /// [`MenuReader`](crate::MenuReader) made one menu of all. It inherits nothing, and its TIMEOUT
    /// begins when it is opened; that of other submenus never runs, as the key that opens them ends it.
    pub linked: bool,
}

impl Screen {
    /// A number of the layout.
    pub fn parameter(&self, parameter: Parameter) -> i32 {
        self.layout
            .get(&parameter)
            .copied()
            .unwrap_or_else(|| parameter.default_value())
    }

    /// A message.
    pub fn message(&self, message: Message) -> Text {
        self.messages
            .get(&message)
            .cloned()
            .unwrap_or_else(|| message.default_text().into())
    }
}

/// The help that a function key shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FKeyHelp {
    /// The file.
    pub file: Text,
    /// The background, for vesamenu.c32.
    pub background: Option<Text>,
}

/// A colour of the menu. What is `None` is left as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Colour {
    /// The ECMA-48 sequence for text screens, such as `37;40`.
    pub ansi: Option<Text>,
    /// Foreground, as 0xAARRGGBB.
    pub foreground: Option<u32>,
    /// Background, as 0xAARRGGBB.
    pub background: Option<u32>,
    /// The shadow.
    pub shadow: Option<Shadow>,
}

/// Which pixels are raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shadow {
    /// None.
    None,
    /// Those of the foreground.
    Standard,
    /// All.
    All,
    /// Those of the background.
    Reverse,
}

impl Shadow {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Standard => "std",
            Self::All => "all",
            Self::Reverse => "rev",
        }
    }
}

/// A line of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// LABEL; `None` for a submenu, unless the submenu is a linked configuration.
    pub label: Option<Text>,
    /// MENU LABEL, with `^` before a hotkey; `None`: the label is shown.
    pub menu_label: Option<Text>,
    /// MENU INDENT: columns.
    pub indent: u32,
    /// The key that selects it, in upper case.
    pub hotkey: Option<u8>,
    /// MENU PASSWD; empty: only the master password opens it.
    pub password: Option<Text>,
    /// TEXT HELP, with a newline after each line.
    pub help: Option<Text>,
    /// MENU SAVE: it is the default of the next boot.
    pub save: bool,
    /// MENU IMMEDIATE: the hotkey starts it at once.
    pub immediate: bool,
    /// Nobody can start it: no menu shows it, and NOESCAPE keeps the `boot:` prompt closed, so that the
    /// loader starts its default again and again (`enter_cmdline` in ldlinux.c). Not of submenus.
    pub unreachable: bool,
    /// What it does.
    pub action: Action,
}

impl Entry {
    /// What is shown, without the `^` of a hotkey. A caret is shown only where it is the hotkey itself
    /// (`display_entry` in menumain.c).
    pub fn shown(&self) -> Text {
        let text = self.menu_label.as_ref().or(self.label.as_ref());
        let mut shown = vec![b' '; self.indent as usize];
        let text = text.filter(|_| !matches!(self.action, Action::Separator));
        let mut bytes = text.iter().flat_map(|text| text.iter()).peekable();
        while let Some(byte) = bytes.next() {
            if *byte != b'^' {
                shown.push(*byte);
            } else if let Some(key) = bytes.next_if(|byte| self.hotkey == Some(**byte & !0x20)) {
                shown.push(*key);
            }
        }
        Text::new(shown)
    }

    /// Whether the command line finds it by this word.
    fn is_label(&self, word: &[u8]) -> bool {
        self.label.as_deref() == Some(word)
            && !matches!(self.action, Action::Separator | Action::Disabled(_))
    }

    /// Whether a person can choose it.
    pub fn can_be_chosen(&self) -> bool {
        !matches!(
            self.action,
            Action::Separator | Action::Disabled(_) | Action::Nowhere(_)
        )
    }
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// It starts a command.
    Run(Command),
    /// MENU SEPARATOR: an empty line.
    Separator,
    /// MENU DISABLE: a line that cannot be chosen, with the command that it would start.
    Disabled(Command),
    /// MENU GOTO or MENU EXIT to a menu that does not exist; it cannot be chosen.
    Nowhere(Text),
    /// It opens the submenu below it.
    Submenu(ScreenId),
    /// MENU GOTO.
    Goto(ScreenId),
    /// MENU EXIT: to the menu above, or to the one named.
    Exit(ScreenId),
    /// MENU QUIT: to the `boot:` prompt.
    Quit,
    /// MENU HELP: a file is shown.
    Help(FKeyHelp),
}

/// What a label starts, as the loader has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Command {
    /// The directive that names the image.
    pub image_type: ImageType,
    /// The image, and what follows it on its line.
    pub image: Text,
    /// APPEND: the label's or the global one; `APPEND -` is none.
    pub append: Text,
    /// INITRD: the files, separated by commas.
    pub initrd: Option<Text>,
    /// SYSAPPEND or IPAPPEND: the label's or the global one.
    pub sysappend: u32,
}

/// Another configuration that a menu leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Link {
    /// CONFIG: the loader starts anew with this file, in this directory if one is given.
    Config {
        /// The file.
        file: Text,
        /// The directory, added to the present one.
        directory: Option<Text>,
    },
    /// The menu is started with these files instead of the main one.
    MenuFiles(Vec<Text>),
}

impl Entry {
    /// An entry that no file has, with this label and what is shown of it.
    ///
    /// Both are text and nothing more: what a configuration cannot hold in them becomes a space, and `^` makes no
    /// hotkey.
    pub fn new(label: impl Into<Text>, shown: impl Into<Text>, action: Action) -> Self {
        let label = label.into();
        Self {
            label: (!label.is_empty()).then(|| one_word(&label)),
            menu_label: Some(one_line(&shown.into())),
            indent: 0,
            hotkey: None,
            password: None,
            help: None,
            save: false,
            immediate: false,
            unreachable: false,
            action,
        }
    }
}

impl Command {
    /// A command that no file has.
    ///
    /// The image is one word, and APPEND one line: control characters become spaces.
    pub fn new(image_type: ImageType, image: impl Into<Text>, append: impl Into<Text>) -> Self {
        Self {
            image_type,
            image: one_word(&image.into()),
            append: clean(&append.into()),
            initrd: None,
            sysappend: 0,
        }
    }

    /// With these initial RAM disks. A name with a comma is two to every loader.
    #[must_use]
    pub fn with_initrds<'a>(mut self, initrds: impl IntoIterator<Item = &'a str>) -> Self {
        let initrds: Vec<&str> = initrds.into_iter().collect();
        let list = one_word(&initrds.join(",").into());
        self.initrd = (!list.is_empty()).then_some(list);
        self
    }

    /// With options about the machine that the loader adds, as SYSAPPEND has them.
    #[must_use]
    pub fn with_sysappend(mut self, mask: u32) -> Self {
        self.sysappend = mask;
        self
    }
}

/// Without what would end a line.
fn clean(text: &Text) -> Text {
    let bytes = text.iter().map(|byte| match byte {
        0..=0x1f | 0x7f => b' ',
        other => *other,
    });
    Text::new(bytes.collect::<Vec<_>>().trim_ascii())
}

/// Shown text: without a hotkey's mark either.
fn one_line(text: &Text) -> Text {
    let text = clean(text);
    let bytes = text.iter().copied().filter(|byte| *byte != b'^');
    Text::new(bytes.collect::<Vec<_>>().trim_ascii())
}

/// What would end a word becomes an underscore.
fn one_word(text: &Text) -> Text {
    let bytes = text.iter().map(|byte| match byte {
        0..=0x20 | 0x7f => b'_',
        other => *other,
    });
    Text::new(bytes.collect::<Vec<_>>())
}

impl Menu {
    /// A menu that no file has: menu.c32 with this title, and no entries.
    ///
    /// ```
    /// use pxe_menu::{Action, Command, Entry, ImageType, Menu, ScreenId, render_syslinux};
    ///
    /// let mut menu = Menu::titled("Systems");
    /// let command = Command::new(ImageType::Linux, "::debian/linux", "quiet").with_initrds(["::debian/initrd.gz"]);
    /// menu.push(ScreenId::TOP, Entry::new("debian", "Debian", Action::Run(command)));
    /// let text = render_syslinux(&menu).text.to_string();
    /// assert!(text.contains("LINUX ::debian/linux\n  APPEND quiet\n  INITRD ::debian/initrd.gz\n"));
    /// ```
    pub fn titled(title: impl Into<Text>) -> Self {
        let top = Screen {
            tag: Some(".top".into()),
            title: one_line(&title.into()),
            ..Screen::default()
        };
        Self {
            ui: Ui::Text(Vec::new()),
            ui_command: Some("menu.c32".into()),
            screens: vec![top],
            ..Self::default()
        }
    }

    /// Adds an entry at the end of a screen; nothing where there is no such screen.
    pub fn push(&mut self, screen: ScreenId, entry: Entry) {
        if let Some(screen) = self.screens.get_mut(screen.0) {
            screen.entries.push(entry);
        }
    }

    /// Adds an empty submenu with this title at the end of a screen, with the settings of that screen, as MENU BEGIN
    /// does. `None`: there is no such screen.
    pub fn push_submenu(&mut self, above: ScreenId, title: impl Into<Text>) -> Option<ScreenId> {
        let below = ScreenId(self.screens.len());
        let screen = self.screens.get_mut(above.0)?;
        let entry = Entry::new("", title, Action::Submenu(below));
        let submenu = Screen {
            tag: None,
            title: entry.menu_label.clone().unwrap_or_default(),
            parent: Some((above, screen.entries.len())),
            entries: Vec::new(),
            default: 0,
            linked: false,
            ..screen.clone()
        };
        screen.entries.push(entry);
        self.screens.push(submenu);
        Some(below)
    }

    /// A screen.
    pub fn screen(&self, id: ScreenId) -> Option<&Screen> {
        self.screens.get(id.0)
    }

    /// All entries, hidden ones last.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.screens
            .iter()
            .flat_map(|screen| &screen.entries)
            .chain(&self.hidden)
    }

    /// The words by which the command line finds entries.
    pub(crate) fn labels(&self) -> BTreeSet<&[u8]> {
        let known = self.entries().filter(|entry| {
            let label = entry.label.as_deref();
            label.is_some_and(|label| entry.is_label(label))
        });
        known.filter_map(|entry| entry.label.as_deref()).collect()
    }

    /// The entry that the command line finds by a word: the first of that label. Those of linked
    /// configurations come last.
    pub fn find_label(&self, word: &[u8]) -> Option<&Entry> {
        // A hidden one is there only if no label before it has its name.
        let found = self.hidden.iter().find(|entry| entry.is_label(word));
        let found = found.or_else(|| self.find_below(self.screens.first()?, word));
        found.or_else(|| {
            let mut linked = self.screens.iter().filter(|screen| screen.linked);
            linked.find_map(|top| self.find_below(top, word))
        })
    }

    /// In the order in which the labels were read: a submenu's come before those that follow it. Only
    /// where an included file leaves a submenu open, what is read later may stand before.
    fn find_below<'a>(&'a self, top: &'a Screen, word: &[u8]) -> Option<&'a Entry> {
        let mut stack = vec![top.entries.iter()];
        while let Some(entries) = stack.last_mut() {
            let Some(entry) = entries.next() else {
                stack.pop();
                continue;
            };
            if entry.is_label(word) {
                return Some(entry);
            }
            if let Action::Submenu(id) = entry.action
                && let Some(below) = self.screen(id)
                && !below.linked
            {
                stack.push(below.entries.iter());
            }
        }
        None
    }

    /// What is started first: UI, else DEFAULT.
    pub fn default_command(&self) -> Option<&Text> {
        self.ui_command.as_ref().or(self.default.as_ref())
    }

    /// The configurations that entries lead to, each once, in order.
    pub fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        let mut seen = BTreeSet::new();
        for entry in self.entries() {
            if let Action::Run(command) = &entry.action
                && let Some(link) = command.link()
                && seen.insert(link.clone())
            {
                links.push(link);
            }
        }
        links
    }
}

#[cfg(test)]
mod tests {
    use crate::fuzzing::reread;
    use crate::{
        Action, Command, Entry, GrubOptions, ImageType, IpxeOptions, Loader, Menu, Paths, ScreenId,
        render_grub, render_ipxe, render_syslinux,
    };

    fn made() -> Menu {
        let mut menu = Menu::titled("Systems");
        let linux = Command::new(ImageType::Linux, "::os/linux", "root=x; quiet")
            .with_initrds(["::os/a", "::os/b"])
            .with_sysappend(2);
        menu.push(ScreenId::TOP, Entry::new("one", "One", Action::Run(linux)));
        let below = menu.push_submenu(ScreenId::TOP, "More").expect("a screen");
        let disk = Command::new(ImageType::Kernel, "::bios/memdisk", "iso raw");
        let disk = disk.with_initrds(["::images/x.iso"]);
        menu.push(below, Entry::new("two", "Two", Action::Run(disk)));
        let back = Entry::new("back", "Back", Action::Exit(ScreenId::TOP));
        menu.push(below, back);
        menu
    }

    #[test]
    fn a_menu_that_is_made_reads_as_itself() {
        let menu = made();
        let rendered = render_syslinux(&menu);
        assert_eq!(rendered.diagnostics, []);
        assert_eq!(reread(&rendered.text), menu, "{rendered}");
    }

    #[test]
    fn what_is_made_of_text_of_others_has_no_line_of_its_own() {
        let mut menu = Menu::titled("a\nDEFAULT x\r");
        let command =
            Command::new(ImageType::Linux, "k x\ny", "a\nLABEL z\0").with_initrds(["i\nj k"]);
        menu.push(
            ScreenId::TOP,
            Entry::new("l m\nn", " ^One\nLINUX evil", Action::Run(command)),
        );
        let rendered = render_syslinux(&menu).text.to_string();
        let expected = "UI menu.c32\nMENU TITLE a DEFAULT x\nLABEL l_m_n\n  MENU LABEL One LINUX evil\n  \
                        LINUX k_x_y\n  APPEND a LABEL z\n  INITRD i_j_k\n  SYSAPPEND 0x0\n";
        assert_eq!(rendered, expected);
    }

    #[test]
    fn wimboot_is_given_its_files_by_ipxe_alone() {
        let mut menu = Menu::titled("Systems");
        let wim = Command::new(
            ImageType::Wimboot,
            "::wimboot",
            "BCD=::w/boot/bcd boot.wim=::w/sources/boot.wim",
        );
        menu.push(
            ScreenId::TOP,
            Entry::new("w", "Windows PE", Action::Run(wim)),
        );
        let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
        let options = IpxeOptions::new(paths.clone()).with_base("http://h/");
        let ipxe = render_ipxe(&menu, &options);
        assert!(
            ipxe.text.to_string().contains(
                "kernel http://h/wimboot || goto failed0\n\
                 initrd --name BCD http://h/w/boot/bcd BCD || goto failed0\n\
                 initrd --name boot.wim http://h/w/sources/boot.wim boot.wim || goto failed0\n\
                 boot || goto failed0\n"
            ),
            "{ipxe}"
        );
        assert_eq!(ipxe.diagnostics, []);
        for rendered in [
            render_grub(&menu, &GrubOptions::new(paths, "(tftp)")),
            render_syslinux(&menu),
        ] {
            assert_eq!(rendered.diagnostics.len(), 1, "{rendered}");
            let said = rendered.to_string();
            let mut lines = said.lines().map(str::trim_start);
            assert!(!lines.any(|line| line.starts_with("WIMBOOT") || line.starts_with("linux")));
        }
    }

    #[test]
    fn a_caret_is_shown_where_it_is_the_hotkey() {
        let menu =
            reread(&"UI menu.c32\nLABEL a\nMENU LABEL a^^b^c\nLABEL b\nMENU LABEL a^^b\n".into());
        let shown: Vec<String> = menu
            .entries()
            .map(|entry| entry.shown().to_string())
            .collect();
        assert_eq!(shown, ["a^bc", "ab"]);
    }
}
