//! What is said about a menu: a code, a severity, a place and a remedy.

use core::fmt;

use crate::Text;
use crate::source_line::harmless;

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Place {
    /// The file: see [`Document::files`](crate::Document::files).
    pub file: FileId,
    /// The line, from 1.
    pub line: u32,
    /// The column in bytes, from 1.
    pub column: u32,
    /// The bytes that it covers, at least 1.
    pub bytes: u32,
}

impl Place {
    /// A place of one byte.
    pub fn new(file: FileId, line: u32, column: u32) -> Self {
        Self {
            file,
            line,
            column,
            bytes: 1,
        }
    }

    /// The place, covering so many bytes of its line.
    #[must_use]
    pub fn covering(mut self, bytes: usize) -> Self {
        self.bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        self
    }
}

/// The number of a file within one [`Document`](crate::Document).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(crate) u32);

impl FileId {
    /// The configuration itself.
    pub const MAIN: Self = Self(0);

    /// Its index in [`Document::files`](crate::Document::files).
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what its writer meant.
    Warning,
    /// An entry will not work, or the menu is not shown as written.
    Error,
}

impl Severity {
    /// The word for it, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $id:literal, $severity:ident;)+) => {
        /// What kind of finding it is. The words of [`as_str`](Self::as_str) stay the same over versions.
        ///
        #[doc = include_str!("../docs/findings.md")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])+ $name,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name in reports, such as `unknown-directive`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }
        }
    };
}

codes! {
    /// A line that no loader acts on.
    UnknownDirective = "unknown-directive", Warning;
    /// A directive that only counts below a LABEL, or in a submenu, stands outside of one, and is ignored.
    OutsideLabel = "outside-label", Warning;
    /// A directive has no value where it needs one.
    MissingValue = "missing-value", Warning;
    /// A name in quotes: to the loader they are part of it.
    QuotedName = "quoted-name", Warning;
    /// A value is not a number where one is read.
    NotANumber = "not-a-number", Warning;
    /// A byte order mark hides the first directive from the loader.
    ByteOrderMark = "byte-order-mark", Error;
    /// A carriage return inside a line: the loader ignores what follows it.
    CarriageReturn = "carriage-return", Warning;
    /// A NUL inside a line: the loader ignores what follows it.
    NulByte = "nul-byte", Warning;
    /// A line longer than the loader's buffer is read as two.
    LineTooLong = "line-too-long", Error;
    /// TEXT without ENDTEXT: the rest of the file is taken for help text.
    UnclosedText = "unclosed-text", Error;
    /// ENDTEXT without TEXT.
    StrayEndText = "stray-endtext", Warning;
    /// A submenu that does not end in the file in which it begins.
    UnclosedMenu = "unclosed-menu", Warning;
    /// MENU END with no submenu to end.
    StrayMenuEnd = "stray-menu-end", Warning;
    /// Two labels of one name: the first is what the command line finds.
    DuplicateLabel = "duplicate-label", Note;
    /// A command line, as that of DEFAULT or ONTIMEOUT, names a label of more than one entry.
    AmbiguousLabel = "ambiguous-label", Warning;
    /// A label with a space in it: the command line knows only its first word.
    LabelWithSpace = "label-with-space", Note;
    /// An included file is not there, or not where the loader asks for it; it goes on without a word.
    MissingInclude = "missing-include", Warning;
    /// An included file is there, and nobody who shows the menu reads it.
    IgnoredInclude = "ignored-include", Warning;
    /// A file includes itself, straight or by way of others.
    IncludeCycle = "include-cycle", Error;
    /// A bound of [`Limits`](crate::Limits) was reached.
    Limited = "limited", Error;
    /// MENU GOTO or MENU EXIT names no menu; the entry cannot be chosen.
    UnknownMenu = "unknown-menu", Error;
    /// DEFAULT names a label that does not exist, and nothing that looks like a file.
    UnknownDefault = "unknown-default", Warning;
    /// A menu is shown, and has no entry.
    EmptyMenu = "empty-menu", Warning;
    /// The file has neither DEFAULT nor UI.
    NoDefault = "no-default", Warning;
    /// APPEND has `initrd=` and the label has INITRD: only the first counts for the loader.
    TwoInitrds = "two-initrds", Warning;
    /// A name is longer than the loader's buffer of 255 bytes, and is cut off.
    PathTooLong = "path-too-long", Error;
    /// A path is longer than the 127 bytes that pxelinux promises.
    LongPath = "long-path", Warning;
    /// A command line is longer than the loader's buffer of 2,048 bytes.
    CommandLineTooLong = "command-line-too-long", Error;
    /// A URL for which this loader has no protocol.
    NoProtocol = "no-protocol", Error;
    /// The loader cannot start an image of this type.
    CannotStart = "cannot-start", Error;
    /// KERNEL goes by a name's extension, and takes the file for something else than it seems to be.
    ImageType = "image-type", Warning;
    /// A file that an entry starts is not in the tree, or may not be read.
    MissingFile = "missing-file", Error;
    /// A file that is shown is not in the tree: a message, a background, a font, a page of help.
    MissingScreenFile = "missing-screen-file", Warning;
    /// A background that is neither PNG, JPEG nor LSS16.
    UnreadableImage = "unreadable-image", Warning;
    /// A library that a module needs, or the loader's own second part, is not there.
    MissingLibrary = "missing-library", Error;
    /// A kernel, a live system or memdisk without the initrd that it needs.
    MissingInitrd = "missing-initrd", Error;
    /// A module built for another firmware than the loader's.
    WrongArchitecture = "wrong-architecture", Error;
    /// A timeout that was probably meant in another unit.
    TimeoutUnit = "timeout-unit", Warning;
    /// A timeout that never ends, since the default entry cannot be chosen.
    DeadTimeout = "dead-timeout", Warning;
    /// A hotkey that an entry before it has.
    DuplicateHotkey = "duplicate-hotkey", Warning;
    /// An entry that neither the menu nor the prompt can start.
    UnreachableEntry = "unreachable-entry", Warning;
    /// IMPLICIT 0, and a command that names a file and no label: it is not started.
    NotImplicit = "not-implicit", Error;
    /// A kernel command line that contradicts itself.
    KernelArguments = "kernel-arguments", Warning;
    /// A configuration that an entry leads to is not there.
    MissingLink = "missing-link", Error;
    /// A linked configuration has settings that count for a whole menu: in one menu of all, those of
    /// the first count.
    LinkedSettings = "linked-settings", Note;
    /// A linked configuration shows no menu, but a prompt or another module: its labels are shown as a
    /// menu.
    LinkedPrompt = "linked-prompt", Note;
    /// The arguments of a module may name files of another directory.
    ModuleArguments = "module-arguments", Note;
    /// A file lies where configurations are looked for, and no loader asks for its name.
    NeverAsked = "never-asked", Warning;
    /// A placeholder of a template that is filled in for no machine: the file is given to nobody.
    UnknownPlaceholder = "unknown-placeholder", Error;
    /// GRUB cannot read a command, and drops it.
    SyntaxError = "syntax-error", Error;
    /// A word that is no command of GRUB.
    UnknownCommand = "unknown-command", Warning;
    /// A command of GRUB that may lead to entries or start something, and is not followed here.
    NotFollowed = "not-followed", Warning;
    /// A condition that only the machine can decide.
    UndecidedCondition = "undecided-condition", Warning;
    /// A variable whose value only the machine knows.
    MachineVariable = "machine-variable", Note;
    /// A device of the machine, and not of the network.
    LocalDevice = "local-device", Note;
    /// GRUB looks for a file on the network in a way in which it never finds one.
    FileTest = "file-test", Warning;
    /// An entry that starts nothing.
    EmptyEntry = "empty-entry", Note;
    /// An entry that asks for a name and a password, as only GRUB does.
    LoginOfGrub = "login-of-grub", Note;
    /// An argument that was torn in two, by a line broken on paper or a character misread.
    TornArgument = "torn-argument", Warning;
    /// `nfsroot=` with something that is no NFS export.
    NfsRoot = "nfs-root", Error;
    /// Arguments of a live system that do not fit what is started.
    LiveArguments = "live-arguments", Warning;
    /// casper is told of no network. Where the release is not known a note, or a warning beside an image's
    /// URL.
    CasperNetwork = "casper-network", Error;
    /// The folder `.disk` of a live system, by which casper knows it, is not there.
    MissingDisk = "missing-disk", Error;
    /// An ISO image in memory: what memdisk makes of it.
    MemdiskIso = "memdisk-iso", Warning;
    /// A language cannot say something of the menu; a comment stands in its place.
    NotExpressible = "not-expressible", Warning;
    /// An entry was left out, since a language cannot protect it as the menu does.
    ProtectionLost = "protection-lost", Warning;
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// What kind.
    pub code: Code,
    /// Where; `None` if it is about the menu as a whole.
    pub place: Option<Place>,
    /// How bad it is: as its code has it, or a note where it is less than certain.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What else there is to know: what a loader really asks for, and why.
    pub notes: Vec<String>,
    /// What to do about it, where that is known.
    pub remedy: Option<String>,
}

impl Diagnostic {
    /// A finding.
    pub fn new(code: Code, place: impl Into<Option<Place>>, message: impl Into<String>) -> Self {
        Self {
            code,
            place: place.into(),
            severity: code.severity(),
            message: message.into(),
            notes: Vec::new(),
            remedy: None,
        }
    }

    /// With a remedy.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// With something else that there is to know.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// As a note: what is wrong depends on something that the menu does not say.
    #[must_use]
    pub fn as_note(mut self) -> Self {
        self.severity = Severity::Note;
        self
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }
}

/// On one line, and with nothing in it that a terminal would obey.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}[{}]: {}",
            self.severity().as_str(),
            self.code.as_str(),
            harmless(&self.message)
        )?;
        for note in &self.notes {
            write!(f, " (note: {})", harmless(note))?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, " (help: {})", harmless(remedy))?;
        }
        Ok(())
    }
}

/// A list of findings with a bound.
#[derive(Debug, Clone)]
pub(crate) struct Diagnostics {
    pub(crate) list: Vec<Diagnostic>,
    max: usize,
}

impl Diagnostics {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            list: Vec::new(),
            max,
        }
    }

    /// Whether a further finding is not told: what takes long to find need not be looked for.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() > self.max
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < self.max {
            self.list.push(diagnostic);
        } else if self.list.len() == self.max {
            let message = format!("more than {} findings: the rest is not told", self.max);
            self.list
                .push(Diagnostic::new(Code::Limited, None, message));
        }
    }
}

/// Text for a message: control characters escaped, cut after 80 characters.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let shown = bytes.get(..320).unwrap_or(bytes);
    let text = crate::text::decode(shown);
    let mut quoted = String::from("`");
    for character in text.chars().take(80) {
        if character.is_control() {
            quoted.extend(character.escape_default());
        } else {
            quoted.push(character);
        }
    }
    if text.chars().count() > 80 || shown.len() < bytes.len() {
        quoted.push_str("...");
    }
    quoted.push('`');
    quoted
}

/// A path, when it is text to be told.
pub(crate) fn quoted_text(text: &Text) -> String {
    quoted(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/findings.md has a row for each code, in their order, with its severity and a remedy.
    #[test]
    fn each_code_is_documented() {
        let rows = include_str!("../docs/findings.md")
            .lines()
            .filter(|line| line.starts_with("| `"));
        let rows: Vec<Vec<&str>> = rows
            .map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect();
        let told: Vec<(&str, &str)> = rows.iter().map(|row| (row[0], row[1])).collect();
        let codes = Code::ALL.iter();
        let codes: Vec<(String, &str)> = codes
            .map(|code| (format!("`{}`", code.as_str()), code.severity().as_str()))
            .collect();
        let codes: Vec<(&str, &str)> = codes.iter().map(|(code, how)| (&code[..], *how)).collect();
        assert_eq!(told, codes);
        for row in rows {
            assert!(
                row.len() == 4 && row.iter().all(|cell| !cell.is_empty()),
                "{row:?}"
            );
        }
    }
}
