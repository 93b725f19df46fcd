//! The directives: their names, who reads them, and the nearest to a misspelt one.

use crate::scan::same_keyword;

/// Who acts on a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reader {
    /// The loader itself (`ldlinux.c32`), which offers the `boot:` prompt.
    Core,
    /// The menu (`menu.c32` and `vesamenu.c32`).
    Menu,
}

/// The type that a directive gives an image (`kernel_types` in syslinux's readconfig.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageType {
    /// `NONE`: in the loader's table, and of no use: no image has that type.
    None,
    /// `LOCALBOOT`: leave, and let the firmware go on.
    LocalBoot,
    /// `KERNEL`: by the name's extension.
    Kernel,
    /// `LINUX`.
    Linux,
    /// `BOOT`: a boot sector.
    Boot,
    /// `BSS`: a boot sector to be patched.
    Bss,
    /// `PXE`: a network bootstrap program.
    Pxe,
    /// `FDIMAGE`: a floppy image. No version since 5 acts on it.
    FdImage,
    /// `COMBOOT`: read, but no type of image since version 5.
    Comboot,
    /// `COM32`: a module.
    Com32,
    /// `CONFIG`: another configuration file.
    Config,
    /// A program for UEFI, that GRUB and iPXE start (`chainloader`, `chain`). No directive of pxelinux
    /// gives this type, and no version of syslinux starts one.
    Efi,
    /// wimboot, which starts Windows PE, with files by the names that it knows them by: APPEND has
    /// `NAME=FILE` for each. No directive gives this type; iPXE alone names files for it.
    Wimboot,
}

impl ImageType {
    /// Those that a directive gives, in the loader's order.
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::LocalBoot,
        Self::Kernel,
        Self::Linux,
        Self::Boot,
        Self::Bss,
        Self::Pxe,
        Self::FdImage,
        Self::Comboot,
        Self::Com32,
        Self::Config,
    ];

    /// The directive, in lower case; a word like one for what has none.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::LocalBoot => "localboot",
            Self::Kernel => "kernel",
            Self::Linux => "linux",
            Self::Boot => "boot",
            Self::Bss => "bss",
            Self::Pxe => "pxe",
            Self::FdImage => "fdimage",
            Self::Comboot => "comboot",
            Self::Com32 => "com32",
            Self::Config => "config",
            Self::Efi => "efi",
            Self::Wimboot => "wimboot",
        }
    }
}

/// A message of the menu that can be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Message {
    /// MENU AUTOBOOT.
    Autoboot,
    /// MENU TABMSG.
    Tab,
    /// MENU NOTABMSG.
    NoTab,
    /// MENU PASSPROMPT.
    PassPrompt,
}

impl Message {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Autoboot, Self::Tab, Self::NoTab, Self::PassPrompt];

    /// The word after MENU, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Autoboot => "autoboot",
            Self::Tab => "tabmsg",
            Self::NoTab => "notabmsg",
            Self::PassPrompt => "passprompt",
        }
    }

    /// What the menu says where it is not replaced.
    pub fn default_text(self) -> &'static str {
        match self {
            Self::Autoboot => "Automatic boot in # second{,s}...",
            Self::Tab => "Press [Tab] to edit options",
            Self::NoTab => "",
            Self::PassPrompt => "Password required",
        }
    }
}

/// A number of the menu's layout on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Parameter {
    /// Columns of the screen; 0: as many as it has.
    Width,
    /// Columns to each side of the menu.
    Margin,
    /// Columns to each side of the password box.
    PasswordMargin,
    /// Rows of entries.
    Rows,
    /// The row of the TABMSG.
    TabMsgRow,
    /// The row of the command line.
    CmdlineRow,
    /// The row of the cursor afterwards.
    EndRow,
    /// The row of the password box.
    PasswordRow,
    /// The row of the timeout message.
    TimeoutRow,
    /// The first row of help.
    HelpMsgRow,
    /// The last row of help.
    HelpMsgEndRow,
    /// Columns that the whole is shifted.
    HShift,
    /// Rows that the whole is shifted.
    VShift,
    /// The row of the timeout message of a hidden menu.
    HiddenRow,
}

impl Parameter {
    /// All of them, in the loader's order.
    pub const ALL: [Self; 14] = [
        Self::Width,
        Self::Margin,
        Self::PasswordMargin,
        Self::Rows,
        Self::TabMsgRow,
        Self::CmdlineRow,
        Self::EndRow,
        Self::PasswordRow,
        Self::TimeoutRow,
        Self::HelpMsgRow,
        Self::HelpMsgEndRow,
        Self::HShift,
        Self::VShift,
        Self::HiddenRow,
    ];

    /// The word after MENU, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Width => "width",
            Self::Margin => "margin",
            Self::PasswordMargin => "passwordmargin",
            Self::Rows => "rows",
            Self::TabMsgRow => "tabmsgrow",
            Self::CmdlineRow => "cmdlinerow",
            Self::EndRow => "endrow",
            Self::PasswordRow => "passwordrow",
            Self::TimeoutRow => "timeoutrow",
            Self::HelpMsgRow => "helpmsgrow",
            Self::HelpMsgEndRow => "helpmsgendrow",
            Self::HShift => "hshift",
            Self::VShift => "vshift",
            Self::HiddenRow => "hiddenrow",
        }
    }

    /// Its value where none is given; a negative one counts from the bottom of the screen.
    pub fn default_value(self) -> i32 {
        match self {
            Self::Width | Self::HShift | Self::VShift => 0,
            Self::Margin => 10,
            Self::PasswordMargin => 3,
            Self::Rows => 12,
            Self::TabMsgRow | Self::CmdlineRow => 18,
            Self::EndRow | Self::HelpMsgEndRow => -1,
            Self::PasswordRow => 11,
            Self::TimeoutRow => 20,
            Self::HelpMsgRow => 22,
            Self::HiddenRow => -2,
        }
    }
}

macro_rules! keywords {
    ($name:ident, $table:ident, $doc:literal, $($variant:ident = $word:literal, $core:literal, $menu:literal;)+) => {
        #[doc = $doc]
        ///
        /// Each is described in syslinux's doc/syslinux.txt, doc/pxelinux.txt or doc/menu.txt.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(
                #[doc = concat!("`", $word, "`.")]
                $variant,
            )+
        }

        /// Name, directive, whether the core acts on it, whether the menu does.
        const $table: &[(&str, $name, bool, bool)] = &[$(($word, $name::$variant, $core, $menu)),+];
    };
}

keywords! { MenuWord, MENU_WORDS, "A directive that begins with MENU, without those of a table of its own.",
    Label = "label", true, true;
    Title = "title", true, true;
    Default = "default", true, true;
    Hide = "hide", true, true;
    Passwd = "passwd", true, true;
    ShiftKey = "shiftkey", true, true;
    Save = "save", true, true;
    NoSave = "nosave", true, true;
    Immediate = "immediate", false, true;
    NoImmediate = "noimmediate", false, true;
    OnError = "onerror", true, true;
    Master = "master", true, true;
    Include = "include", true, true;
    Background = "background", true, true;
    Hidden = "hidden", true, true;
    HiddenKey = "hiddenkey", false, true;
    Clear = "clear", false, true;
    Color = "color", true, true;
    Colour = "colour", true, true;
    MsgColor = "msgcolor", true, true;
    MsgColour = "msgcolour", true, true;
    Separator = "separator", true, true;
    Disable = "disable", true, true;
    Disabled = "disabled", true, true;
    Indent = "indent", true, true;
    Begin = "begin", true, true;
    End = "end", true, true;
    Quit = "quit", true, true;
    Goto = "goto", true, true;
    Exit = "exit", true, true;
    Start = "start", true, true;
    Help = "help", false, true;
    Resolution = "resolution", false, true;
}

keywords! { Word, WORDS, "A directive of one word, without those of a table of its own.",
    Text = "text", true, true;
    Include = "include", true, true;
    Append = "append", true, true;
    Initrd = "initrd", true, true;
    Label = "label", true, true;
    Timeout = "timeout", true, true;
    TotalTimeout = "totaltimeout", true, true;
    OnTimeout = "ontimeout", true, true;
    AllowOptions = "allowoptions", true, true;
    IpAppend = "ipappend", true, true;
    SysAppend = "sysappend", true, true;
    Default = "default", true, true;
    Ui = "ui", true, true;
    Display = "display", true, false;
    Font = "font", true, false;
    KbdMap = "kbdmap", true, false;
    Implicit = "implicit", true, false;
    Prompt = "prompt", true, false;
    Console = "console", true, false;
    NoEscape = "noescape", true, false;
    NoComplete = "nocomplete", true, false;
    NoHalt = "nohalt", true, false;
    OnError = "onerror", true, false;
    PxeRetry = "pxeretry", true, false;
    Serial = "serial", true, false;
    Say = "say", true, false;
    Path = "path", true, false;
    SendCookies = "sendcookies", true, false;
}

/// A directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Keyword {
    /// One word.
    Word(Word),
    /// MENU and a word.
    Menu(MenuWord),
    /// MENU and the name of a message.
    Message(Message),
    /// MENU and the name of a number of the layout.
    Parameter(Parameter),
    /// KERNEL, LINUX, LOCALBOOT and the like.
    Image(ImageType),
    /// F1 to F12, by what the loader makes of it: `F0` is F11 to it, though it is documented as F10
    /// (`is_fkey` in readconfig.c).
    FKey(u8),
}

impl Keyword {
    /// Whether a reader acts on it.
    pub fn is_read_by(self, reader: Reader) -> bool {
        let pick = |core, menu| match reader {
            Reader::Core => core,
            Reader::Menu => menu,
        };
        match self {
            Self::Word(word) => WORDS
                .iter()
                .any(|(_, known, core, menu)| *known == word && pick(*core, *menu)),
            Self::Menu(word) => MENU_WORDS
                .iter()
                .any(|(_, known, core, menu)| *known == word && pick(*core, *menu)),
            _ => true,
        }
    }

    /// Whether it counts only below a LABEL.
    pub fn needs_label(self) -> bool {
        matches!(
            self,
            Self::Image(_)
                | Self::Word(Word::Initrd)
                | Self::Menu(
                    MenuWord::Indent
                        | MenuWord::Disable
                        | MenuWord::Disabled
                        | MenuWord::Hide
                        | MenuWord::Quit
                        | MenuWord::Goto
                        | MenuWord::Exit
                        | MenuWord::Help
                )
        )
    }
}

/// The directive that a word at the beginning of a line is, MENU aside.
pub(crate) fn word_keyword(word: &[u8]) -> Option<Keyword> {
    if let Some(number) = f_key(word) {
        return Some(Keyword::FKey(number));
    }
    let known = WORDS.iter().find(|(name, ..)| same_keyword(word, name));
    if let Some((_, keyword, ..)) = known {
        return Some(Keyword::Word(*keyword));
    }
    let image = ImageType::ALL
        .into_iter()
        .find(|image| same_keyword(word, image.as_str()));
    image.map(Keyword::Image)
}

/// The directive that a word after MENU is.
pub(crate) fn menu_keyword(word: &[u8]) -> Option<Keyword> {
    let known = MENU_WORDS
        .iter()
        .find(|(name, ..)| same_keyword(word, name));
    if let Some((_, keyword, ..)) = known {
        return Some(Keyword::Menu(*keyword));
    }
    let message = Message::ALL
        .into_iter()
        .find(|message| same_keyword(word, message.as_str()));
    if let Some(message) = message {
        return Some(Keyword::Message(message));
    }
    let number = Parameter::ALL
        .into_iter()
        .find(|number| same_keyword(word, number.as_str()));
    number.map(Keyword::Parameter)
}

/// `F`, and a number of 0 to 12; without one, 0 is read.
pub(crate) fn f_key(word: &[u8]) -> Option<u8> {
    let (b'f' | b'F', digits) = word.split_first()? else {
        return None;
    };
    if digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    match crate::scan::atoi(digits) {
        0 => Some(11),
        number => u8::try_from(number).ok().filter(|number| *number <= 12),
    }
}

/// What a word that is no directive may have been meant as, as one would write it.
pub(crate) fn suggestion(line: &[u8]) -> Option<String> {
    let (word, rest) = crate::scan::word(line);
    let word = word.to_ascii_lowercase();
    if word == b"menu" {
        let (second, value) = crate::scan::word(crate::scan::skip_space(rest));
        let second = second.to_ascii_lowercase();
        let names = menu_names();
        if let Some(name) = nearest(&second, names) {
            return Some(format!("MENU {}", name.to_ascii_uppercase()));
        }
        // Words are a title (`MENU Boot from disk`), unless an image is named (`MENU KERNEL vmlinuz`).
        let is_title = match word_keyword(&second) {
            Some(Keyword::Image(_)) => !value.iter().any(|byte| matches!(byte, b'/' | b'.')),
            Some(_) => false,
            None => !crate::scan::skip_space(value).is_empty(),
        };
        if is_title {
            return Some("MENU LABEL".to_owned());
        }
        return word_keyword(&second).map(|_| crate::text::decode(&second).to_ascii_uppercase());
    }
    match word.as_slice() {
        b"linuxefi" | b"linux16" => return Some("LINUX".to_owned()),
        b"initrdefi" | b"initrd16" => return Some("INITRD".to_owned()),
        b"menuentry" => return Some("LABEL".to_owned()),
        _ => {}
    }
    if menu_keyword(&word).is_some() {
        return Some(format!(
            "MENU {}",
            crate::text::decode(&word).to_ascii_uppercase()
        ));
    }
    let names = || WORDS.iter().map(|(name, ..)| *name);
    // A number glued to its directive: `prompt0`, `timeout=50`.
    let letters: Vec<u8> = word
        .iter()
        .copied()
        .take_while(u8::is_ascii_alphabetic)
        .collect();
    let glued = word.get(letters.len()..).unwrap_or_default();
    let number = glued.strip_prefix(b"=").or(glued.strip_prefix(b":"));
    let number = number.unwrap_or(glued);
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    if is_number && names().any(|name| name.as_bytes() == letters) {
        let name = crate::text::decode(&letters).to_ascii_uppercase();
        return Some(format!("{name} {}", crate::text::decode(number)));
    }
    let images = ImageType::ALL.into_iter().skip(1).map(ImageType::as_str);
    let all = names().chain(images).chain(["menu", "endtext"]);
    if let Some(name) = nearest(&word, all) {
        return Some(name.to_ascii_uppercase());
    }
    None
}

fn menu_names() -> impl Iterator<Item = &'static str> {
    MENU_WORDS
        .iter()
        .map(|(name, ..)| *name)
        .chain(Message::ALL.into_iter().map(Message::as_str))
        .chain(Parameter::ALL.into_iter().map(Parameter::as_str))
}

/// The nearest name: at most one change in three letters, two in more than five, three in more than eight.
pub(crate) fn nearest<'a>(word: &[u8], names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 32 {
        return None;
    }
    let allowed = match word.len() {
        0..=2 => return None,
        3..=5 => 1,
        6..=8 => 2,
        _ => 3,
    };
    names
        .map(|name| (distance(word, name.as_bytes()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, deletions, changes and swaps of neighbours from one to the other.
pub(crate) fn distance(a: &[u8], b: &[u8]) -> usize {
    let width = b.len() + 1;
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..width).collect();
    for (i, left) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(width);
        row.push(i + 1);
        for (j, right) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(left != right))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            let swapped = i > 0 && j > 0 && a[i - 1] == *right && *left == b[j - 1];
            if swapped {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = core::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_directives_of_real_menus_are_recognised() {
        for (line, meant) in [
            ("arppend initrd=x", "APPEND"),
            ("appen x", "APPEND"),
            ("promt 1", "PROMPT"),
            ("prompt0", "PROMPT 0"),
            ("timeout=50", "TIMEOUT 50"),
            ("outtimeout x", "ONTIMEOUT"),
            ("onetimeout x", "ONTIMEOUT"),
            ("allowoption 0", "ALLOWOPTIONS"),
            ("menu backgroud x", "MENU BACKGROUND"),
            ("menu titl x", "MENU TITLE"),
            ("mentu label x", "MENU"),
            ("manu title x", "MENU"),
            ("enu title x", "MENU"),
            ("menul label x", "MENU"),
            ("linuxefi x", "LINUX"),
            ("menu boot boot.bin", "BOOT"),
            ("menu timeout 50", "TIMEOUT"),
            ("MENU Boot from local hard drive", "MENU LABEL"),
            ("MENU LINUX INSTALLATION", "MENU LABEL"),
            ("MENU Windows PE", "MENU LABEL"),
            ("tabmsgrow 3", "MENU TABMSGROW"),
        ] {
            assert_eq!(
                suggestion(line.as_bytes()).as_deref(),
                Some(meant),
                "{line}"
            );
        }
        assert_eq!(suggestion(b"applies to all"), None);
    }

    /// Lines of a menu copied from paper: arguments whose names begin as directives do.
    #[test]
    fn only_numbers_are_glued_to_directives() {
        for line in [
            "console-setup/layoutcode=fr",
            "console=ttyS0,115200",
            "text-mode",
            "path/to/it",
        ] {
            assert_eq!(suggestion(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn f0_is_f11_to_the_loader() {
        assert_eq!(word_keyword(b"F0"), Some(Keyword::FKey(11)));
        assert_eq!(word_keyword(b"f12"), Some(Keyword::FKey(12)));
        assert_eq!(word_keyword(b"f13"), None);
        assert_eq!(word_keyword(b"font"), Some(Keyword::Word(Word::Font)));
    }
}
