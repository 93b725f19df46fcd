//! A grub.cfg, run as far as it can be without the machine.

use std::collections::{BTreeMap, BTreeSet};

mod files;
mod flow;

use super::device::{Target, home, target};
use super::entries::Name;
use super::names::{ASKING, NOT_FOLLOWED, WITHOUT_EFFECT, is_in, suggestion};
use super::outcome::{Load, Outcome};
use super::script::{Block, CommandLine, Statement, Word};
use super::test::{Status, test};
use super::variables::{Argument, Assigned, COMMAND_BYTES_MAX, Certainty, Doubt, Variables};
use crate::diagnostic::{Diagnostics, quoted};
use crate::{
    Client, Code, Diagnostic, EntryLines, FileId, Limits, Loader, Menu, NeedKind, Place, Screen,
    Text,
};

/// How deep functions, conditions and submenus may be in each other. GRUB's own bound is 64
/// (`MAX_RECURSION_DEPTH` in execute.c).
const DEPTH_MAX: usize = 64;

/// The files that a run reads, as far as they are known.
pub(super) trait Library {
    /// The number and the commands of a file; no commands: it is not there.
    fn open(&self, name: &Text) -> Option<(FileId, Option<Block>)>;
}

/// A file that a run would have read.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) file: Text,
    pub(super) kind: NeedKind,
    pub(super) place: Place,
}

/// What a run starts from.
pub(super) struct Setting<'a> {
    pub(super) library: &'a dyn Library,
    pub(super) limits: &'a Limits,
    pub(super) loader: Loader,
    pub(super) client: &'a Client,
    /// The name of the configuration.
    pub(super) main: &'a Text,
    /// How many commands may be run.
    pub(super) steps_max: usize,
}

/// What a run found.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) menu: Menu,
    pub(super) places: Vec<Vec<Place>>,
    pub(super) lines: BTreeMap<Place, EntryLines>,
    pub(super) found: Diagnostics,
    pub(super) asked: Vec<Asked>,
    pub(super) steps: usize,
}

/// Whose commands are being run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// Those of a configuration or a submenu: what it shows.
    Menu,
    /// Those of an entry: what it starts.
    Entry,
}

/// What a command asks of those that it is among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break(u32),
    Continue(u32),
    Return,
    /// Something was started, or the machine was left.
    Ended,
}

/// An entry as it was declared. Its commands are run when it is chosen, with the variables of then.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) arguments: Vec<Text>,
    pub(super) id: Option<Text>,
    pub(super) hotkey: Option<Text>,
    pub(super) users: Option<Text>,
    pub(super) unrestricted: bool,
    pub(super) submenu: bool,
    pub(super) block: Block,
    pub(super) place: Place,
    /// Where its title stands.
    pub(super) title_place: Option<Place>,
}

pub(super) struct Machine<'a> {
    pub(super) setting: &'a Setting<'a>,
    pub(super) variables: Variables,
    functions: BTreeMap<Text, Block>,
    pub(super) menu: Menu,
    pub(super) places: Vec<Vec<Place>>,
    pub(super) lines: BTreeMap<Place, EntryLines>,
    pub(super) labels: BTreeSet<Text>,
    /// The last number that a label was tried with.
    pub(super) numbered: usize,
    /// What `default` knows the entries by, as the menu's screens have them.
    pub(super) names: Vec<Vec<Name>>,
    /// The entries of the menu that is being read.
    pub(super) declared: Vec<Declared>,
    pub(super) entries: usize,
    pub(super) outcome: Outcome,
    context: Context,
    flow: Flow,
    open: Vec<FileId>,
    depth: usize,
    steps: usize,
    /// Whether a bound was reached.
    pub(super) stopped: bool,
    asked: Vec<Asked>,
    /// The last test, if it was for a file on the network.
    asked_remote: Option<Place>,
    found: Diagnostics,
    told: BTreeSet<(Option<Place>, Code, String)>,
}

/// Runs a configuration.
pub(super) fn run(setting: &Setting<'_>, main: FileId, block: &Block) -> Finished {
    let (device, folder) = home(setting.main, setting.client.server);
    let mut machine = Machine {
        setting,
        variables: Variables::of_client(
            setting.limits.variable_bytes_max,
            setting.loader,
            setting.client,
            &device,
            &folder,
        ),
        functions: BTreeMap::new(),
        menu: Menu::default(),
        places: Vec::new(),
        lines: BTreeMap::new(),
        labels: BTreeSet::new(),
        numbered: 0,
        names: vec![Vec::new()],
        declared: Vec::new(),
        entries: 0,
        outcome: Outcome::default(),
        context: Context::Menu,
        flow: Flow::On,
        open: vec![main],
        depth: 0,
        steps: 0,
        stopped: false,
        asked: Vec::new(),
        asked_remote: None,
        found: Diagnostics::new(setting.limits.diagnostics_max),
        told: BTreeSet::new(),
    };
    machine.menu.screens.push(Screen {
        tag: Some(".top".into()),
        ..Screen::default()
    });
    machine.places.push(Vec::new());
    machine.block(block);
    machine.finish_top();
    Finished {
        menu: machine.menu,
        places: machine.places,
        lines: machine.lines,
        found: machine.found,
        asked: machine.asked,
        steps: machine.steps,
    }
}

impl Machine<'_> {
    pub(super) fn tell(&mut self, diagnostic: Diagnostic) {
        let known = (
            diagnostic.place,
            diagnostic.code,
            diagnostic.message.clone(),
        );
        // A function tells it each time that it is called.
        if self.told.len() <= self.setting.limits.diagnostics_max && self.told.insert(known) {
            self.found.push(diagnostic);
        }
    }

    pub(super) fn say(&mut self, code: Code, place: Place, message: impl Into<String>) {
        self.tell(Diagnostic::new(code, place, message));
    }

    /// Counts what is done; false if the bound is reached.
    pub(super) fn step(&mut self, count: usize, place: Option<Place>) -> bool {
        if self.stopped {
            return false;
        }
        self.steps = self.steps.saturating_add(count);
        if self.steps > self.setting.steps_max {
            self.stopped = true;
            let message = "more commands than are acted on: the rest is not read";
            self.tell(Diagnostic::new(Code::Limited, place, message));
        }
        !self.stopped
    }

    /// Runs commands, one below the other.
    pub(super) fn block(&mut self, block: &Block) -> Status {
        let mut status = Status::True;
        for statement in block.iter() {
            if self.stopped || self.flow != Flow::On {
                break;
            }
            status = self.statement(statement);
        }
        status
    }

    /// Runs what an entry or a submenu holds.
    pub(super) fn body(&mut self, block: &Block, context: Context, place: Place) {
        let context = core::mem::replace(&mut self.context, context);
        let flow = core::mem::replace(&mut self.flow, Flow::On);
        self.deeper(place, |machine| machine.block(block));
        self.flow = flow;
        self.context = context;
    }

    /// Runs something one level deeper, unless that is too deep.
    pub(super) fn deeper(&mut self, place: Place, run: impl FnOnce(&mut Self) -> Status) -> Status {
        if self.depth >= DEPTH_MAX {
            let message = format!("more than {DEPTH_MAX} deep: GRUB gives up here");
            self.say(Code::Limited, place, message);
            return Status::False;
        }
        self.depth += 1;
        let status = run(self);
        self.depth -= 1;
        status
    }

    fn statement(&mut self, statement: &Statement) -> Status {
        match statement {
            Statement::Command(command) => self.command(command),
            Statement::If(condition) => self.condition(condition, 0),
            Statement::For {
                name,
                words,
                body,
                place,
            } => self.deeper(*place, |machine| {
                machine.for_each(name, words, body, *place)
            }),
            Statement::While {
                until,
                condition,
                body,
                place,
            } => self.deeper(*place, |machine| {
                machine.while_true(*until, condition, body, *place)
            }),
            Statement::Function { name, body } => {
                if self.step(1, None) {
                    self.functions.insert(name.clone(), body.clone());
                }
                Status::True
            }
        }
    }

    /// The words of a command, with the values of their variables.
    fn arguments(&mut self, words: &[Word], place: Place) -> Option<Vec<Argument>> {
        let arguments = self.variables.expand(words);
        let Some(arguments) = arguments else {
            let message = "the values of its variables make this command too long: it is not read";
            self.say(Code::Limited, place, message);
            // To find that out was as much work as to read it.
            self.step(COMMAND_BYTES_MAX / 1024, Some(place));
            return None;
        };
        let bytes: usize = arguments.iter().map(|argument| argument.text.len()).sum();
        // Each argument is a piece of memory of its own.
        let work = bytes / 1024 + arguments.len() / 8;
        self.step(work, Some(place)).then_some(arguments)
    }

    fn assign(&mut self, name: Text, value: Text, certainty: Certainty, place: Place) {
        if self.variables.set(name, value, certainty) == Assigned::Full {
            let max = self.setting.limits.variable_bytes_max;
            let message = format!("the variables have more than {max} bytes: this one is not set");
            self.say(Code::Limited, place, message);
        }
    }

    fn command(&mut self, command: &CommandLine) -> Status {
        let place = command.place;
        if !self.step(1, Some(place)) {
            return Status::Unknown;
        }
        let Some(mut arguments) = self.arguments(&command.words, place) else {
            return Status::False;
        };
        let mut invert = false;
        if arguments.first().is_some_and(|name| name.text == b"!") {
            arguments.remove(0);
            invert = true;
        }
        if arguments.is_empty() {
            return Status::True;
        }
        let name = arguments.remove(0);
        let status = self.named(&name, &arguments, command.block.as_ref(), place);
        if invert { status.inverted() } else { status }
    }

    fn named(
        &mut self,
        word: &Argument,
        arguments: &[Argument],
        block: Option<&Block>,
        place: Place,
    ) -> Status {
        let name = word.text.as_slice();
        match name {
            b"menuentry" | b"submenu" => {
                return self.declare(name == b"submenu", arguments, block, place);
            }
            b"true" => return Status::True,
            b"false" => return Status::False,
            b"test" => return self.test(arguments, place),
            b"[" => {
                let inner = match arguments.split_last() {
                    Some((last, inner)) if last.text == b"]" => inner,
                    _ => arguments,
                };
                return self.test(inner, place);
            }
            b"set" => return self.set(arguments, place),
            b"unset" => {
                for argument in arguments.iter().take(1) {
                    self.variables.unset(Text::new(argument.text.clone()));
                }
            }
            b"source" | b"." => return self.source(arguments, place),
            b"configfile" | b"normal" | b"syslinux_configfile" | b"legacy_configfile" => {
                return self.configfile(name, arguments, place);
            }
            b"linux" | b"linuxefi" | b"linux16" | b"initrd" | b"initrdefi" | b"initrd16"
            | b"chainloader" | b"pxechainloader" | b"multiboot" | b"multiboot2" | b"module"
            | b"module2" => return self.load(name, arguments, place),
            b"boot" => {
                if self.outcome.starts_something() {
                    self.outcome.booted = true;
                    self.flow = Flow::Ended;
                }
            }
            b"exit" | b"normal_exit" => return self.leave(Load::Leave),
            b"reboot" | b"reset" => return self.leave(Load::Reboot),
            b"halt" | b"poweroff" => return self.leave(Load::Halt),
            b"fwsetup" => return self.leave(Load::Setup),
            b"search" | b"search.file" | b"search.fs_label" | b"search.fs_uuid" => {
                return self.search(arguments, place);
            }
            b"loopback" => return self.loopback(arguments, place),
            b"password" | b"password_pbkdf2" => {}
            b"return" => self.flow = Flow::Return,
            b"break" | b"continue" => {
                let count = arguments.first().map_or(1, |count| {
                    crate::scan::strtoul(&count.text).0.clamp(1, 1000)
                });
                self.flow = if name == b"break" {
                    Flow::Break(count)
                } else {
                    Flow::Continue(count)
                };
            }
            b"shift" => {
                let count = arguments.first().map_or(1, |count| {
                    usize::try_from(crate::scan::atoi(&count.text)).unwrap_or(0)
                });
                let all = self.variables.parameters.len();
                self.variables.parameters.drain(..count.min(all));
            }
            b"setparams" => {
                let texts = arguments.iter().map(|one| Text::new(one.text.clone()));
                self.variables.parameters = texts.collect();
            }
            _ if is_in(ASKING, name) => return self.ask(arguments, place),
            _ if is_in(WITHOUT_EFFECT, name) => return Status::Unknown,
            _ if is_in(NOT_FOLLOWED, name) => {
                let message = format!("{}: this command is not followed", quoted(name));
                self.say(Code::NotFollowed, place, message);
                self.outcome.not_followed = true;
                return Status::Unknown;
            }
            _ => return self.function_or_assignment(word, arguments, block, place),
        }
        Status::True
    }

    fn function_or_assignment(
        &mut self,
        word: &Argument,
        arguments: &[Argument],
        block: Option<&Block>,
        place: Place,
    ) -> Status {
        let name = word.text.as_slice();
        let certainty = Doubt::certainty(word.doubt.as_ref());
        if let Some(body) = self.functions.get(name).cloned() {
            let parameters: Vec<Text> = arguments
                .iter()
                .map(|argument| Text::new(argument.text.clone()))
                .collect();
            let outer = core::mem::replace(&mut self.variables.parameters, parameters);
            let status = self.deeper(place, |machine| machine.block(&body));
            if self.flow != Flow::Ended {
                self.flow = Flow::On;
            }
            self.variables.parameters = outer;
            return status;
        }
        if let Some(at) = name.iter().position(|byte| *byte == b'=') {
            let (variable, value) = name.split_at(at);
            let value = Text::from(value.get(1..).unwrap_or_default());
            self.assign(Text::from(variable), value, certainty, place);
            return Status::True;
        }
        let message = format!("{} is no command of GRUB", quoted(name));
        let mut diagnostic = Diagnostic::new(Code::UnknownCommand, place, message);
        if let Some(meant) = suggestion(name) {
            diagnostic = diagnostic.with_remedy(format!("did you mean {meant}?"));
        }
        self.tell(diagnostic);
        if block.is_some() {
            self.outcome.not_followed = true;
        }
        Status::False
    }

    fn set(&mut self, arguments: &[Argument], place: Place) -> Status {
        let Some(first) = arguments.first() else {
            return Status::True;
        };
        let Some(at) = first.text.iter().position(|byte| *byte == b'=') else {
            let message = format!("set {}: GRUB wants name=value", quoted(&first.text));
            let remedy = match arguments.get(1) {
                Some(second) if second.text.starts_with(b"=") => "no blanks around the `=`",
                _ => "write set name=value",
            };
            self.tell(Diagnostic::new(Code::MissingValue, place, message).with_remedy(remedy));
            return Status::False;
        };
        if let Some(more) = arguments.get(1) {
            let message = format!("set takes one word: {} is ignored", quoted(&more.text));
            let remedy = "put a value with blanks in quotes";
            self.tell(Diagnostic::new(Code::MissingValue, place, message).with_remedy(remedy));
        }
        let (name, value) = first.text.split_at(at);
        let (name, value) = (
            Text::from(name),
            Text::from(value.get(1..).unwrap_or_default()),
        );
        let certainty = Doubt::certainty(first.doubt.as_ref());
        self.assign(name, value, certainty, place);
        Status::True
    }

    fn test(&mut self, arguments: &[Argument], place: Place) -> Status {
        let mut asks_remote = false;
        // After a search `$root` may be a disk.
        let searched = self.outcome.searched;
        let is_remote = |name: &[u8]| {
            (!searched || name.starts_with(b"(")) && matches!(self.target(name), Target::Server(_))
        };
        let status = test(arguments, &is_remote, &mut asks_remote);
        self.asked_remote = asks_remote.then_some(place);
        status
    }

    /// Tells of a test that is never true.
    fn tell_test(&mut self, place: Place) {
        let message = "GRUB cannot see whether a file is on the network: this test is never true";
        let remedy = "-s, which opens the file, works";
        self.tell(Diagnostic::new(Code::FileTest, place, message).with_remedy(remedy));
    }

    /// What a name leads to.
    pub(super) fn target(&self, name: &[u8]) -> Target {
        let root = self.variables.text("root").cloned().unwrap_or_default();
        target(name, &root, self.setting.client.server)
    }

    /// Tells of a value that may be another one on the machine.
    pub(super) fn told_doubt(&mut self, arguments: &[Argument], place: Place) {
        for argument in arguments {
            let place = argument.place.unwrap_or(place);
            match &argument.doubt {
                Some(Doubt::Depends(name)) => {
                    let value = self.variables.get(name).map(|value| value.text.clone());
                    let message = format!(
                        "${name} depends on what only the machine can decide: it is taken as {}",
                        quoted(&value.unwrap_or_default())
                    );
                    self.say(Code::UndecidedCondition, place, message);
                }
                Some(Doubt::Machine(name)) => {
                    let message = format!("the value of ${name} is known on the machine only");
                    self.say(Code::MachineVariable, place, message);
                }
                None => {}
            }
        }
    }

    /// `--set VARIABLE` and its kind: what only the machine knows.
    fn ask(&mut self, arguments: &[Argument], place: Place) -> Status {
        let mut wants_name = false;
        let mut names = Vec::new();
        for argument in arguments {
            let text = argument.text.as_slice();
            if core::mem::take(&mut wants_name) {
                names.push(text);
            } else if let Some(name) = text.strip_prefix(b"--set=") {
                names.push(name);
            } else if text == b"--set" || text == b"-s" {
                wants_name = true;
            }
        }
        // `regexp --set 1:name`.
        for name in names {
            let colon = name.iter().position(|byte| *byte == b':');
            let name = name.get(colon.map_or(0, |at| at + 1)..).unwrap_or_default();
            self.variables.forget(&Text::from(name));
        }
        self.step(1, Some(place));
        Status::Unknown
    }

    fn leave(&mut self, load: Load) -> Status {
        self.outcome.load(load);
        self.outcome.booted = true;
        self.flow = Flow::Ended;
        Status::True
    }
}
