//! Files that a menu names: what is asked for, whether it is there, and what was meant if it is not.

use super::{FileState, Lint, simplified};
use crate::diagnostic::quoted;
use crate::keyword::{Keyword, MenuWord, Word, distance};
use crate::scan::word;
use crate::{Code, Diagnostic, Loader, Location, Paths, Place, Setting, Text, Ui};

/// What a file is for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Use {
    /// Nothing starts without it.
    Started,
    /// It is shown; the menu works without it.
    Shown,
    /// It is a part of the menu.
    Included,
}

impl Use {
    fn code(self) -> Code {
        match self {
            Self::Started => Code::MissingFile,
            Self::Shown => Code::MissingScreenFile,
            Self::Included => Code::MissingInclude,
        }
    }
}

/// The longest name that is compared with others.
const NAME_BYTES_MAX: usize = 100;

impl Lint<'_> {
    /// A line outside of labels that names a file.
    pub(super) fn setting(&mut self, setting: &Setting) {
        let (first, rest) = word(&setting.value);
        let is_menu = self.resolution.menu.ui.is_menu();
        match setting.keyword {
            Keyword::Word(Word::Display) if !first.is_empty() => {
                self.file(first, setting.place, Use::Shown);
            }
            Keyword::Word(Word::Font | Word::KbdMap) if !first.is_empty() => {
                self.file(first, setting.place, Use::Shown);
            }
            Keyword::FKey(_) if !first.is_empty() && (setting.by_menu || !is_menu) => {
                self.file(first, setting.place, Use::Shown);
                let background = word(crate::scan::skip_space(rest)).0;
                if !background.is_empty() {
                    self.background(background, setting.place);
                }
            }
            Keyword::Menu(MenuWord::Background) if setting.by_menu => {
                self.background(first, setting.place);
            }
            _ => {}
        }
    }

    /// A background, which vesamenu.c32 alone shows: a colour, or an image (`vesacon_load_background`).
    pub(super) fn background(&mut self, name: &[u8], place: Place) {
        let is_graphic = matches!(self.resolution.menu.ui, Ui::Graphic(_));
        if !is_graphic || name.is_empty() || name.starts_with(b"#") {
            return;
        }
        self.file(name, place, Use::Shown);
        let Some(head) = self.head(name) else {
            return;
        };
        let is_image = head.starts_with(b"\x89PNG\r\n\x1a\n")
            || head.starts_with(b"\xff\xd8")
            || head.starts_with(b"\x3d\xf3\x13\x14");
        if !is_image {
            let message = format!("{} is no image that vesamenu.c32 can read", quoted(name));
            let remedy = "it reads PNG, JPEG and LSS16";
            self.tell(Code::UnreadableImage, place, message, Some(remedy));
        }
    }

    pub(super) fn head(&self, name: &[u8]) -> Option<Vec<u8>> {
        match self.paths.locate(name) {
            Location::Tftp { host: None, path } => self.files.head(&simplified(&path)),
            _ => None,
        }
    }

    /// A path on the loader's own server.
    pub(super) fn own_path(&mut self, name: &[u8], place: Option<Place>) -> Option<Text> {
        let first = word(name).0;
        let is_grub = self.paths.loader().is_grub();
        if !is_grub && first.len() > Paths::NAME_BYTES_MAX {
            let message = format!(
                "a name of {} bytes: the loader reads {} of them",
                first.len(),
                Paths::NAME_BYTES_MAX
            );
            self.tell_once(Diagnostic::new(Code::PathTooLong, place, message));
            return None;
        }
        match self.paths.locate(name) {
            Location::Tftp { host: None, path } => {
                if !is_grub && path.len() > Paths::NAME_BYTES_SAFE {
                    let message = format!(
                        "{} is a path of {} bytes: pxelinux promises {}",
                        quoted(first),
                        path.len(),
                        Paths::NAME_BYTES_SAFE
                    );
                    self.tell_once(Diagnostic::new(Code::LongPath, place, message));
                }
                Some(path)
            }
            Location::NoProtocol(url) => {
                let lower = url.to_ascii_lowercase();
                let known = |scheme: &&str| lower.starts_with(format!("{scheme}://").as_bytes());
                let remedy = if self.paths.loader() == Loader::Pxelinux
                    && Loader::Lpxelinux.schemes().iter().any(known_in(&url))
                {
                    "boot lpxelinux.0 instead of pxelinux.0: it has HTTP and FTP".to_owned()
                } else if self.paths.loader().schemes().iter().any(known) {
                    "write the protocol in lower case".to_owned()
                } else {
                    format!("it has {}", self.paths.loader().schemes().join(", "))
                };
                let message = format!("{} is never asked for", quoted(&url));
                let note = format!("{} has no such protocol", self.loader());
                let diagnostic = Diagnostic::new(Code::NoProtocol, place, message);
                self.push(diagnostic.with_note(note).with_remedy(remedy));
                None
            }
            _ => None,
        }
    }

    pub(super) fn loader(&self) -> &'static str {
        self.paths.loader().file_name()
    }

    pub(super) fn file(&mut self, name: &[u8], place: impl Into<Option<Place>>, usage: Use) {
        self.file_before(name, b"", place, usage);
    }

    /// A file, and what follows its name.
    pub(super) fn file_before(
        &mut self,
        name: &[u8],
        after: &[u8],
        place: impl Into<Option<Place>>,
        usage: Use,
    ) {
        let place = place.into();
        let Some(path) = self.own_path(name, place) else {
            return;
        };
        let simple = simplified(&path);
        let state = self.files.state(&simple);
        if state != FileState::File && self.may_look_into() {
            let remedy = self.meant(name, after, &simple);
            self.absent(name, &path, state, place, usage, remedy);
        }
    }

    /// Counts a file that is not there. Where there are too many, that is told.
    fn may_look_into(&mut self) -> bool {
        let left = self.missing_left.saturating_sub(1);
        let is_last = left == 0 && self.missing_left > 0;
        self.missing_left = left;
        if is_last {
            let message = "too many files are missing: the rest is not told";
            self.tell(Code::Limited, None, message, None);
        }
        left > 0
    }

    /// A name as a person writes it: in a grub.cfg the root is a slash.
    pub(super) fn as_written(&self, name: &[u8]) -> String {
        match name.strip_prefix(b"::") {
            Some(rest) if self.paths.loader().is_grub() => quoted(&[b"/", rest].concat()),
            _ => quoted(name),
        }
    }

    /// Tells that a file is not there, with what was meant.
    pub(super) fn absent(
        &mut self,
        name: &[u8],
        path: &[u8],
        state: FileState,
        place: Option<Place>,
        usage: Use,
        remedy: Option<String>,
    ) {
        let what = match state {
            FileState::Folder => "is a folder",
            FileState::Unreadable => "may not be read by the server",
            _ => "is not there",
        };
        let message = format!("{} {what}", self.as_written(name));
        let mut diagnostic = Diagnostic::new(usage.code(), place, message).with_note(format!(
            "{} asks for {}",
            self.loader(),
            quoted(path)
        ));
        if usage == Use::Included {
            diagnostic = diagnostic.with_note("the loader goes on without a word");
        }
        diagnostic.remedy = match state {
            FileState::Unreadable => Some("let the server's user read it (chmod a+r)".to_owned()),
            _ => remedy,
        };
        self.push(diagnostic);
    }

    /// What a name may have been meant as.
    pub(super) fn meant(&mut self, name: &[u8], after: &[u8], asked: &[u8]) -> Option<String> {
        if name.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
            return Some("write the name without quotes: to the loader they are part of it".into());
        }
        if let Some(whole) = self.torn(name, after) {
            return Some(format!("a space ends a name: did you mean {whole}?"));
        }
        if let Some(other) = self.elsewhere(name) {
            return Some(other);
        }
        self.suggestions_left = self.suggestions_left.checked_sub(1)?;
        self.nearest(asked)
    }

    /// A name with a space in it by mistake.
    fn torn(&self, name: &[u8], after: &[u8]) -> Option<Text> {
        let whole = [name, word(crate::scan::skip_space(after)).0].concat();
        if whole.len() == name.len() {
            return None;
        }
        self.is_there(&whole).then(|| Text::new(whole))
    }

    /// Whether a name means a file that is there.
    pub(super) fn is_there(&self, name: &[u8]) -> bool {
        match self.paths.locate(name) {
            Location::Tftp { host: None, path } => self.files.is_file(&simplified(&path)),
            _ => false,
        }
    }

    /// The file is there under another path: what people expect a name to be relative to.
    fn elsewhere(&self, name: &[u8]) -> Option<String> {
        if self.paths.loader().is_grub() {
            return self.below_root(name, "/");
        }
        let directory = simplified(self.paths.directory());
        let below_menu = [b"pxelinux.cfg/", name].concat();
        if !name.starts_with(b"/") && self.is_there(&below_menu) {
            return Some(format!(
                "names are relative to the loader's directory, not to the file that has them: write {}",
                Text::new(below_menu)
            ));
        }
        let prefix = self.paths.directory();
        if !prefix.is_empty() && !prefix.ends_with(b"/") && !prefix.ends_with(b"::") {
            let joined = [&directory[..], b"/", name].concat();
            if self.files.is_file(&simplified(&joined)) {
                return Some(format!(
                    "the path prefix {} is put before a name as it is: end it with a slash",
                    quoted(prefix)
                ));
            }
        }
        self.below_root(name, "::")
    }

    /// The server's own root, or a part of it, was written before the name. `mark` leads to the root.
    fn below_root(&self, name: &[u8], mark: &str) -> Option<String> {
        let simple = simplified(name);
        let mut rest = &simple[..];
        loop {
            if self.files.is_file(rest) {
                let root = Text::from(rest);
                return Some(if rest.len() < simple.len() {
                    format!(
                        "the loader knows nothing of the server's own folders: write {mark}{root}"
                    )
                } else if name.starts_with(b"/") {
                    format!("a slash does not lead to the root: write {mark}{root}")
                } else {
                    format!("it is in the root: write {mark}{root}")
                });
            }
            // Only a path that begins with a slash is one of the server's.
            let slash = rest.iter().position(|byte| *byte == b'/')?;
            if !name.starts_with(b"/") && !self.paths.loader().is_grub() {
                return None;
            }
            rest = rest.get(slash + 1..)?;
        }
    }

    /// The name that is most like it, in the first folder in which its way ends.
    fn nearest(&mut self, path: &[u8]) -> Option<String> {
        let mut folder: Vec<u8> = Vec::new();
        let mut parts = path.split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            let names = self.files.names(&folder);
            let is_last = parts.peek().is_none();
            if !is_last && names.iter().any(|name| name.as_bytes() == part) {
                if !folder.is_empty() {
                    folder.push(b'/');
                }
                folder.extend_from_slice(part);
                continue;
            }
            if let Some(other) = names.iter().find(|name| name.eq_ignore_ascii_case(part))
                && other.as_bytes() != part
            {
                return Some(format!("names differ by case: did you mean {other}?"));
            }
            let other = most_like(part, &names, &mut self.steps_left)?;
            return Some(format!("did you mean {other}?"));
        }
        None
    }
}

/// Whether a URL has the scheme.
fn known_in(url: &[u8]) -> impl Fn(&&str) -> bool {
    move |scheme| url.starts_with(format!("{scheme}://").as_bytes())
}

/// The name most like one that is not there; each comparison takes from `steps_left`.
fn most_like<'a>(part: &[u8], names: &'a [Text], steps_left: &mut usize) -> Option<&'a Text> {
    if part.len() > NAME_BYTES_MAX {
        return None;
    }
    // An extension too many or too few: `initrd.gz` and `initrd`, `vmlinuz` and `vmlinuz.efi`.
    let extended = |long: &[u8], short: &[u8]| {
        !short.is_empty()
            && long
                .strip_prefix(short)
                .is_some_and(|rest| rest.starts_with(b"."))
    };
    // COM32 adds its extension to what does not end in it: `menu.c.32.c32`.
    let bare = part.strip_suffix(b".c32").unwrap_or(part);
    // The extension is shared by all in the folder, and says nothing of likeness.
    let stem = part.iter().rposition(|byte| *byte == b'.');
    let allowed = 1 + stem.unwrap_or(part.len()) / 5;
    let mut best: Option<(usize, &Text)> = None;
    for other in names.iter().filter(|other| other.len() <= NAME_BYTES_MAX) {
        let both = [part, bare];
        for wanted in both
            .get(..1 + usize::from(bare != part))
            .unwrap_or_default()
        {
            // As many changes are needed as the lengths differ by.
            if wanted.len().abs_diff(other.len()) > allowed {
                continue;
            }
            *steps_left = steps_left.checked_sub(wanted.len() * other.len())?;
            let distance = distance(wanted, other);
            if best.is_none_or(|(least, _)| distance < least) {
                best = Some((distance, other));
            }
        }
    }
    let near = best.filter(|(distance, _)| (1..=allowed).contains(distance));
    near.map(|(_, other)| other).or_else(|| {
        let mut names = names.iter();
        names.find(|other| extended(part, other) || extended(other, part))
    })
}
