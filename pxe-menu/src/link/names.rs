//! Names of files that mean the same in any directory.

use crate::keyword::{ImageType, Keyword, MenuWord, Word};
use crate::scan::{skip_space, word};
use crate::{
    Action, Boot, Client, Code, Command, Diagnostic, FKeyHelp, Loader, Menu, Paths, Resolution,
    Setting, Text,
};

/// Makes the names of a menu absolute, which is read in the directory of `paths`. Tells the modules
/// whose arguments are left as they are.
pub(super) fn make_absolute(resolution: &mut Resolution, paths: &Paths) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let menu = &mut resolution.menu;
    let names = Names {
        paths,
        // A module is looked for in PATH too, by its bare name (`findpath` in sys/module/common.c).
        has_path: !menu.core.path.is_empty(),
    };
    let commands = names.command_lines(menu);
    let places = resolution.places.iter().flatten();
    let places = places.chain(&resolution.hidden_places);
    let screens = menu
        .screens
        .iter_mut()
        .flat_map(|screen| &mut screen.entries);
    for (entry, place) in screens.chain(&mut menu.hidden).zip(places) {
        let known = match &mut entry.action {
            Action::Run(command) | Action::Disabled(command) => names.command(command),
            Action::Help(help) => {
                names.help(help);
                true
            }
            _ => true,
        };
        if let Action::Run(command) = &entry.action
            && !known
        {
            let module = crate::diagnostic::quoted(command.image.first_word());
            let message = format!(
                "the arguments of {module} are left as they are: names of files in them are those of \
                 another directory"
            );
            found.push(Diagnostic::new(Code::ModuleArguments, *place, message));
        }
    }
    for (screen, (on_timeout, on_error)) in menu.screens.iter_mut().zip(commands) {
        screen.on_timeout = on_timeout;
        screen.on_error = on_error;
        if let Some(background) = &mut screen.background {
            names.picture(background);
        }
        screen.f_keys.values_mut().for_each(|help| names.help(help));
    }
    for setting in &mut resolution.settings {
        names.setting(setting);
    }
    found
}

struct Names<'a> {
    paths: &'a Paths,
    has_path: bool,
}

impl Names<'_> {
    /// ONTIMEOUT and MENU ONERROR of each screen: a label stays, and else it is a command line.
    fn command_lines(&self, menu: &Menu) -> Vec<(Option<Text>, Option<Text>)> {
        let labels = menu.labels();
        let line = |line: &Option<Text>| {
            let line = line.as_ref()?;
            let (image, arguments) = word(line);
            if labels.contains(image) || image.starts_with(b".") {
                return Some(line.clone());
            }
            let mut command = Command {
                image_type: ImageType::Kernel,
                image: Text::from(image),
                append: Text::from(skip_space(arguments)),
                initrd: None,
                sysappend: 0,
            };
            self.command(&mut command);
            Some(command.line(&Client::new()))
        };
        let screens = menu.screens.iter();
        screens
            .map(|screen| (line(&screen.on_timeout), line(&screen.on_error)))
            .collect()
    }

    /// A line that names files; a command line stays as it is.
    fn setting(&self, setting: &mut Setting) {
        let (file, rest) = word(&setting.value);
        match setting.keyword {
            Keyword::Word(Word::Include | Word::Display | Word::Font | Word::KbdMap)
            | Keyword::Menu(MenuWord::Include | MenuWord::Background | MenuWord::Help)
            | Keyword::FKey(_) => {}
            _ => return,
        }
        if !file.is_empty() && file != b"~" && !file.starts_with(b"#") {
            setting.value = Text::new([&self.paths.absolute(file)[..], rest].concat());
        }
    }

    fn help(&self, help: &mut FKeyHelp) {
        help.file = self.paths.absolute(&help.file);
        if let Some(background) = &mut help.background {
            self.picture(background);
        }
    }

    /// A background that begins with `#` is a colour (`set_background` in menu/background.c).
    fn picture(&self, name: &mut Text) {
        if !name.starts_with(b"#") {
            *name = self.paths.absolute(name);
        }
    }

    /// False if the arguments are those of a module that is not known.
    fn command(&self, command: &mut Command) -> bool {
        if command.image_type == ImageType::LocalBoot || command.image.is_empty() {
            return true;
        }
        // What is started does not depend on the loader, only whether it can be.
        let boot = command.boot(Loader::Lpxelinux, &Client::new());
        let is_module = matches!(
            boot,
            Boot::Module(_) | Boot::Menu(_) | Boot::Multiboot(_) | Boot::BootCfg { .. }
        ) || (matches!(boot, Boot::Linux(_)) && self.is_linux_module(command));
        let (image, on_line) = word(&command.image);
        let bare = !image.iter().any(|byte| matches!(byte, b'/' | b':'));
        let image = if is_module && bare && self.has_path {
            Text::from(image)
        } else {
            self.paths.absolute(image)
        };
        let mut arguments = [on_line, b" ", &command.append].concat();
        let mut known = true;
        match boot {
            Boot::Linux(_) if is_module => self.first_word(&mut arguments),
            Boot::Menu(_) => self.every_word(&mut arguments),
            Boot::Multiboot(_) | Boot::BootCfg { .. } => self.modules(&mut arguments),
            Boot::Module(_) => known = skip_space(&arguments).is_empty(),
            Boot::Config { .. } => {
                let directory = Text::from(word(skip_space(&arguments)).0);
                let inside = self.paths.in_directory(&directory);
                arguments = inside.directory().to_vec();
            }
            _ => {}
        }
        if known {
            self.initrds(&mut arguments);
        }
        let arguments = skip_space(&arguments);
        command.image = image;
        command.append = Text::from(arguments);
        if let Some(initrd) = &mut command.initrd {
            *initrd = self.list(initrd);
        }
        known
    }

    fn is_linux_module(&self, command: &Command) -> bool {
        let image = command.image.first_word().to_ascii_lowercase();
        let base = image.rsplit(|byte| matches!(byte, b'/' | b':')).next();
        matches!(base, Some(b"linux.c32"))
            || (command.image_type == ImageType::Com32 && matches!(base, Some(b"linux")))
    }

    /// linux.c32: options, the kernel, its arguments.
    fn first_word(&self, arguments: &mut Vec<u8>) {
        let mut is_found = false;
        self.words(arguments, |words, _| {
            let is_it = !is_found && !words.starts_with(b"-");
            is_found |= is_it;
            is_it
        });
    }

    fn every_word(&self, arguments: &mut Vec<u8>) {
        self.words(arguments, |word, _| word != b"~");
    }

    /// mboot.c32: a kernel, and after each `---` a module; or `-c` and the file that names them.
    fn modules(&self, arguments: &mut Vec<u8>) {
        self.words(arguments, |word, before| {
            !word.starts_with(b"-") && matches!(before, None | Some(b"---" | b"-c"))
        });
    }

    /// Makes those words absolute that are names, by the word and the one before it.
    fn words(&self, text: &mut Vec<u8>, mut is_name: impl FnMut(&[u8], Option<&[u8]>) -> bool) {
        let mut changed: Vec<u8> = Vec::with_capacity(text.len());
        let mut before = None;
        let words = text.split(|byte| crate::scan::is_space(*byte));
        for word in words.filter(|word| !word.is_empty()) {
            if before.is_some() {
                changed.push(b' ');
            }
            if is_name(word, before) {
                changed.extend_from_slice(&self.paths.absolute(word));
            } else {
                changed.extend_from_slice(word);
            }
            before = Some(word);
        }
        *text = changed;
    }

    /// The files of each `initrd=`.
    fn initrds(&self, text: &mut Vec<u8>) {
        const NAME: &[u8] = b"initrd=";
        let mut changed = Vec::with_capacity(text.len());
        let mut rest = text.as_slice();
        while let Some(at) = rest.windows(NAME.len()).position(|part| part == NAME) {
            let (before, found) = rest.split_at(at + NAME.len());
            changed.extend_from_slice(before);
            let end = found.iter().position(|byte| crate::scan::is_space(*byte));
            let (list, after) = found.split_at(end.unwrap_or(found.len()));
            changed.extend_from_slice(&self.list(list));
            rest = after;
        }
        changed.extend_from_slice(rest);
        *text = changed;
    }

    fn list(&self, list: &[u8]) -> Text {
        let names = list.split(|byte| *byte == b',').map(|name| {
            if name.is_empty() {
                Text::default()
            } else {
                self.paths.absolute(name)
            }
        });
        let names: Vec<Text> = names.collect();
        let parts: Vec<&[u8]> = names.iter().map(Text::as_bytes).collect();
        Text::new(parts.join(&b','))
    }
}
