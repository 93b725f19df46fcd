//! boot.cfg: the configuration of mboot, the loader of ESXi (esx-boot: bootlib/parse.c, mboot/config.c).

use crate::diagnostic::{Diagnostics, quoted};
use crate::keyword::nearest;
use crate::scan::is_space;
use crate::{
    Action, Code, Command, Diagnostic, Entry, FileId, ImageType, Limits, Menu, Place, Resolution,
    Screen, Text, Ui,
};

/// A boot.cfg, as mboot reads it.
///
/// The names are written so that [`Paths::locate`](crate::Paths::locate) finds the files whatever the
/// loader's directory is: `::path`, or a URL.
///
/// # Example
///
/// ```
/// use pxe_menu::{BootCfg, Limits};
///
/// let text = "title=ESXi\nkernel=b.b00\nkernelopt=runweasel\nmodules=jumpstrt.gz --- useropts.gz\n";
/// let config = BootCfg::read("esx/boot.cfg", text.as_bytes(), &Limits::default());
/// assert_eq!(config.kernel.as_ref().map(ToString::to_string), Some("::esx/b.b00".into()));
/// assert_eq!(config.modules[1].file, "::esx/useropts.gz");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BootCfg {
    /// `title`: what is shown above the progress bar.
    pub title: Option<Text>,
    /// `prefix`, or the folder of the configuration: where relative names are.
    pub prefix: Text,
    /// `kernel`.
    pub kernel: Option<Text>,
    /// `kernelopt`: the kernel's arguments. mboot adds `BOOTIF=` to them, unless `nobootif` is 1.
    pub kernel_options: Text,
    /// `modules`, each with its arguments.
    pub modules: Vec<crate::Invocation>,
    /// `crypto`, a module that only mboot itself uses.
    pub crypto: Option<Text>,
    /// `timeout`, in seconds, for the person to press a key.
    pub timeout_seconds: Option<u32>,
    /// What was found; [`Place::file`] is the first file.
    pub diagnostics: Vec<Diagnostic>,
    /// Where `kernel` stands.
    place: Option<Place>,
}

/// The options of mboot/config.c, and those that only other programs read.
const KEYS: &[&str] = &[
    "kernel",
    "kernelopt",
    "modules",
    "title",
    "prefix",
    "nobootif",
    "timeout",
    "noquirks",
    "norts",
    "crypto",
    "runtimewd",
    "tftpblksize",
    "acpitables",
    "runtimewdtimeout",
    "skip",
    "errtimeout",
    "bootstate",
    "build",
    "updated",
    "quickboot",
];

impl BootCfg {
    /// Reads a boot.cfg of this name: a path on the server, or a URL.
    pub fn read(name: &str, content: &[u8], limits: &Limits) -> Self {
        let mut found = Diagnostics::new(limits.diagnostics_max);
        let mut config = Self::default();
        let (mut kernel, mut modules, mut prefix, mut crypto) = (None, None, None, None);
        let content = match content.get(..limits.bytes_max) {
            Some(head) if head.len() < content.len() => {
                let message = "the file is too long: the rest is not read";
                found.push(Diagnostic::new(Code::Limited, None, message));
                head
            }
            _ => content,
        };
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let blanks = line.iter().take_while(|byte| is_space(**byte)).count();
            let column = u32::try_from(blanks + 1).unwrap_or(u32::MAX);
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let place = Place::new(FileId(0), number, column);
            let line = merged(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let Some(at) = line.iter().position(|byte| *byte == b'=') else {
                let message = format!("{} is no option: mboot ignores the line", quoted(&line));
                let remedy = "write key=value";
                found.push(
                    Diagnostic::new(Code::UnknownDirective, place, message).with_remedy(remedy),
                );
                continue;
            };
            let (key, value) = line.split_at(at);
            let key = key.strip_suffix(b" ").unwrap_or(key).to_ascii_lowercase();
            let value = value.get(1..).unwrap_or_default();
            let value = Text::from(value.strip_prefix(b" ").unwrap_or(value));
            match key.as_slice() {
                b"kernel" => {
                    kernel = Some(value).filter(|value| !value.is_empty());
                    config.place = Some(place);
                }
                b"kernelopt" => config.kernel_options = value,
                b"modules" => modules = Some(value),
                b"title" => config.title = Some(value),
                b"prefix" => prefix = Some(value).filter(|value| !value.is_empty()),
                b"crypto" => crypto = Some(value).filter(|value| !value.is_empty()),
                b"timeout" => {
                    let number = core::str::from_utf8(&value).ok();
                    config.timeout_seconds = number.and_then(|digits| digits.parse().ok());
                    if config.timeout_seconds.is_none() {
                        let message = format!("{} is no number: mboot stops here", quoted(&value));
                        found.push(Diagnostic::new(Code::NotANumber, place, message));
                    }
                }
                key if KEYS.iter().any(|known| known.as_bytes() == key) => {}
                key => {
                    let message = format!("{} is no option: mboot ignores it", quoted(key));
                    let mut told = Diagnostic::new(Code::UnknownDirective, place, message);
                    if let Some(meant) = nearest(key, KEYS.iter().copied()) {
                        told = told.with_remedy(format!("did you mean {meant}?"));
                    }
                    found.push(told);
                }
            }
        }
        config.prefix = prefix.unwrap_or_else(|| folder(name.as_bytes()));
        config.kernel = kernel.map(|file| config.locate(&file));
        config.crypto = crypto.map(|file| config.locate(&file));
        config.modules = modules.map_or(Vec::new(), |list| config.list(&list));
        if config.kernel.is_none() {
            let message = "no kernel: mboot stops with a syntax error";
            let told = Diagnostic::new(Code::MissingValue, None, message);
            found.push(told.with_remedy("write kernel=FILE"));
        }
        config.diagnostics = found.list;
        config
    }

    /// The entry that it is: a Multiboot kernel and its modules. Only mboot itself starts ESXi; the entry
    /// is there for its files to be checked and shown.
    pub fn resolution(&self) -> Resolution {
        let mut menu = Menu {
            ui: Ui::Text(Vec::new()),
            ui_command: Some("menu.c32".into()),
            ..Menu::default()
        };
        let mut screen = Screen {
            tag: Some(".top".into()),
            title: self.title.clone().unwrap_or_default(),
            ..Screen::default()
        };
        let mut places = Vec::new();
        if let Some(kernel) = &self.kernel {
            let mut line = kernel.to_vec();
            let mut add = |text: &[u8]| {
                if !text.is_empty() {
                    line.push(b' ');
                    line.extend_from_slice(text);
                }
            };
            add(&self.kernel_options);
            for module in &self.modules {
                add(b"---");
                add(&module.file);
                add(&module.arguments);
            }
            menu.default = Some("esxi".into());
            screen.entries.push(Entry {
                label: Some("esxi".into()),
                menu_label: self.title.clone(),
                indent: 0,
                hotkey: None,
                password: None,
                help: None,
                save: false,
                immediate: false,
                unreachable: false,
                action: Action::Run(Command {
                    image_type: ImageType::Com32,
                    image: "mboot.c32".into(),
                    append: Text::new(line),
                    initrd: None,
                    sysappend: 0,
                }),
            });
            places.push(self.place.unwrap_or(Place::new(FileId(0), 1, 1)));
        }
        menu.screens = vec![screen];
        Resolution {
            menu,
            places: vec![places],
            hidden_places: Vec::new(),
            lines: Default::default(),
            settings: Vec::new(),
            diagnostics: self.diagnostics.clone(),
        }
    }

    /// `make_path`: a relative name is below the prefix. Blanks are left out, and slashes beside each other
    /// are one (`file_sanitize_path`).
    fn locate(&self, name: &[u8]) -> Text {
        let is_url = |name: &[u8]| name.windows(3).any(|window| window == b"://");
        let is_absolute = name.starts_with(b"/") || is_url(name);
        let whole = if is_absolute || self.prefix.is_empty() {
            name.to_vec()
        } else {
            [&self.prefix, &b"/"[..], name].concat()
        };
        let is_url = is_url(&whole);
        let mut clean: Vec<u8> = Vec::with_capacity(whole.len() + 2);
        let mut after_scheme = !is_url;
        for byte in whole.into_iter().filter(|byte| !is_space(*byte)) {
            let byte = if byte == b'\\' { b'/' } else { byte };
            if byte == b'/' && after_scheme && clean.last() == Some(&b'/') {
                continue;
            }
            clean.push(byte);
            after_scheme |= clean.ends_with(b"://");
        }
        if is_url {
            return Text::new(clean);
        }
        let path = clean.strip_prefix(b"/").unwrap_or(&clean);
        Text::new([b"::", path].concat())
    }

    /// `modules`: files with their arguments, between `---`.
    fn list(&self, list: &[u8]) -> Vec<crate::Invocation> {
        let mut modules = Vec::new();
        let mut rest = list;
        loop {
            let end = rest.windows(3).position(|window| window == b"---");
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let part = crate::scan::skip_space(part);
            let (file, arguments) = crate::scan::word(part);
            if !file.is_empty() {
                modules.push(crate::Invocation {
                    file: self.locate(file),
                    arguments: Text::from(arguments.trim_ascii()),
                });
            }
            match end {
                Some(end) => rest = rest.get(end + 3..).unwrap_or_default(),
                None => return modules,
            }
        }
    }
}

/// Blanks at both ends taken away, and those within made one (`str_merge_spaces`).
fn merged(line: &[u8]) -> Vec<u8> {
    let words = line
        .split(|byte| is_space(*byte))
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

fn folder(name: &[u8]) -> Text {
    let name = name.strip_prefix(b"::").unwrap_or(name);
    let end = name.iter().rposition(|byte| *byte == b'/');
    Text::from(name.get(..end.unwrap_or(0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> BootCfg {
        BootCfg::read("esx/8/boot.cfg", text.as_bytes(), &Limits::default())
    }

    #[test]
    fn keys_are_read_in_any_case_with_blanks_around_them() {
        let config = read("# x\r\n Title = Loading  ESXi\r\nKERNEL=/b.b00\r\nkernelopt=\r\n");
        assert_eq!(config.title, Some("Loading ESXi".into()));
        assert_eq!(config.kernel, Some("::b.b00".into()));
        assert_eq!(config.diagnostics, []);
    }

    #[test]
    fn modules_are_below_the_prefix() {
        let config = read("kernel=b.b00\nprefix=http://h//esx\nmodules=a.gz x=1 y --- /b --- \n");
        assert_eq!(config.kernel, Some("http://h/esx/b.b00".into()));
        let modules: Vec<String> = config
            .modules
            .iter()
            .map(|module| format!("{} {}", module.file, module.arguments))
            .collect();
        assert_eq!(modules, ["http://h/esx/a.gz x=1 y", "::b "]);
        assert_eq!(read("kernel=b.b00").kernel, Some("::esx/8/b.b00".into()));
    }

    #[test]
    fn what_mboot_ignores_is_told() {
        let config = read("kernl=b.b00\nhello\ntimeout=x\n");
        let codes: Vec<Code> = config.diagnostics.iter().map(|told| told.code).collect();
        assert_eq!(
            codes,
            [
                Code::UnknownDirective,
                Code::UnknownDirective,
                Code::NotANumber,
                Code::MissingValue
            ]
        );
        assert!(
            config.diagnostics[0]
                .to_string()
                .contains("did you mean kernel?")
        );
        assert!(config.resolution().menu.screens[0].entries.is_empty());
    }
}
