//! GRUB's variables, and the words that they are put into (grub-core/script/execute.c and argv.c).

use std::collections::BTreeMap;

use super::script::Word;
use super::token::Part;
use crate::{Client, Loader, Place, Text};

/// The most bytes of one command, its variables filled in. `a=$a$a` doubles a value each time.
pub(super) const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// Whether a value is the one that the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Certainty {
    Known,
    /// Branches of a condition that cannot be decided here give it other values.
    Depends,
    /// The machine alone knows it; in its place stands the name of a variable.
    Machine,
}

/// A variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: Text,
    pub(super) certainty: Certainty,
}

/// The variables, and what they were before.
#[derive(Debug)]
pub(super) struct Variables {
    values: BTreeMap<Text, Value>,
    bytes: usize,
    bytes_max: usize,
    /// What was changed since the first mark that is open, and what it was before.
    journal: Vec<(Text, Option<Value>)>,
    marks: usize,
    /// Of the function or the entry that is being run.
    pub(super) parameters: Vec<Text>,
}

/// What an assignment did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Assigned {
    Done,
    /// The variables together would be larger than their bound.
    Full,
}

impl Variables {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            values: BTreeMap::new(),
            bytes: 0,
            bytes_max,
            journal: Vec::new(),
            marks: 0,
            parameters: Vec::new(),
        }
    }

    /// The variables that GRUB has before it reads its configuration.
    pub(super) fn of_client(
        bytes_max: usize,
        loader: Loader,
        client: &Client,
        device: &str,
        folder: &Text,
    ) -> Self {
        let mut variables = Self::new(bytes_max);
        let mut set = |name: &str, value: Text| {
            variables.set(Text::from(name), value, Certainty::Known);
        };
        let (cpu, platform) = if loader.is_efi() {
            ("x86_64", "efi")
        } else {
            ("i386", "pc")
        };
        set("grub_cpu", cpu.into());
        set("grub_platform", platform.into());
        // `features` in normal/main.c.
        for feature in [
            "chainloader_bpb",
            "ntldr",
            "platform_search_hint",
            "default_font_path",
            "all_video_module",
            "menuentry_id",
            "menuentry_options",
            "200_final",
            "nativedisk_cmd",
            "timeout_style",
        ] {
            set(&format!("feature_{feature}"), "y".into());
        }
        set("root", device.into());
        set("prefix", folder.clone());
        set("config_directory", folder.clone());
        set("cmdpath", folder.clone());
        if let Some(ip) = client.ip {
            set("net_default_ip", ip.to_string().into());
        }
        if let Some(server) = client.server {
            set("net_default_server", server.to_string().into());
            set("pxe_default_server", server.to_string().into());
        }
        if let Some(mac) = client.mac {
            let digits = mac.map(|byte| format!("{byte:02x}"));
            set("net_default_mac", digits.join(":").into());
        }
        variables
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Value> {
        self.values.get(name)
    }

    /// Its value as text, if it is known.
    pub(super) fn text(&self, name: &str) -> Option<&Text> {
        self.values.get(name.as_bytes()).map(|value| &value.text)
    }

    pub(super) fn set(&mut self, name: Text, text: Text, certainty: Certainty) -> Assigned {
        // `root` loses its brackets (`grub_env_write_root` in kern/main.c).
        let text = match text.as_bytes() {
            [b'(', device @ .., b')'] if name == "root" => Text::from(device),
            _ => text,
        };
        self.put(name, Some(Value { text, certainty }))
    }

    pub(super) fn unset(&mut self, name: Text) {
        self.put(name, None);
    }

    fn put(&mut self, name: Text, value: Option<Value>) -> Assigned {
        let size = |value: &Value| name.len() + value.text.len();
        let new = value.as_ref().map_or(0, size);
        let old = self.values.get(&name).map_or(0, size);
        if self.bytes - old + new > self.bytes_max {
            return Assigned::Full;
        }
        self.bytes = self.bytes - old + new;
        let before = match value {
            Some(value) => self.values.insert(name.clone(), value),
            None => self.values.remove(&name),
        };
        if self.marks > 0 {
            self.journal.push((name, before));
        }
        Assigned::Done
    }

    /// Remembers the present values.
    pub(super) fn mark(&mut self) -> usize {
        self.marks += 1;
        self.journal.len()
    }

    /// Goes back to a mark, and gives what had been changed since.
    pub(super) fn roll_back(&mut self, mark: usize) -> BTreeMap<Text, Option<Value>> {
        let mut changed = BTreeMap::new();
        for (name, before) in self
            .journal
            .split_off(mark.min(self.journal.len()))
            .into_iter()
            .rev()
        {
            let size = |value: &Value| name.len() + value.text.len();
            self.bytes += before.as_ref().map_or(0, size);
            let now = match before {
                Some(value) => self.values.insert(name.clone(), value),
                None => self.values.remove(&name),
            };
            self.bytes -= now.as_ref().map_or(0, size);
            changed.entry(name).or_insert(now);
        }
        self.marks -= 1;
        changed
    }

    /// Takes over what two branches changed, of which one is run on the machine. Where they differ the
    /// first that gives a value counts.
    pub(super) fn merge(
        &mut self,
        first: &BTreeMap<Text, Option<Value>>,
        second: &BTreeMap<Text, Option<Value>>,
    ) {
        let mut names: Vec<Text> = first.keys().chain(second.keys()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let before = self.values.get(&name).cloned();
            let of = |branch: &BTreeMap<Text, Option<Value>>| {
                branch.get(&name).cloned().unwrap_or_else(|| before.clone())
            };
            let (a, b) = (of(first), of(second));
            let mut value = a.clone().or_else(|| b.clone());
            if a != b
                && let Some(value) = &mut value
            {
                value.certainty = value.certainty.max(Certainty::Depends);
            }
            self.put(name, value);
        }
    }

    /// The words of a command, with the values of their variables; `None` if they are too long.
    pub(super) fn expand(&self, words: &[Word]) -> Option<Vec<Argument>> {
        let mut arguments = Arguments::default();
        for word in words {
            arguments.place = Some(word.place);
            arguments.next();
            for part in &word.parts {
                match part {
                    Part::Text(text) if text.is_empty() => {}
                    Part::Text(text) | Part::Quoted(text) => arguments.append(text),
                    Part::Variable { name, quoted } => self.fill_in(name, *quoted, &mut arguments),
                }
                if arguments.bytes > COMMAND_BYTES_MAX {
                    return None;
                }
            }
        }
        let mut list = arguments.list;
        if list.last().is_some_and(Option::is_none) {
            list.pop();
        }
        Some(list.into_iter().flatten().collect())
    }

    fn fill_in(&self, name: &[u8], quoted: bool, arguments: &mut Arguments) {
        match name {
            b"#" => arguments.append(self.parameters.len().to_string().as_bytes()),
            b"@" | b"*" => {
                for (index, parameter) in self.parameters.iter().enumerate() {
                    if index > 0 {
                        if quoted && name == b"*" {
                            arguments.append(b" ");
                        } else {
                            arguments.next();
                        }
                    }
                    arguments.value(parameter, quoted);
                    if arguments.bytes > COMMAND_BYTES_MAX {
                        return;
                    }
                }
            }
            [b'0'..=b'9', ..] => {
                let number = core::str::from_utf8(name).ok();
                let index = number.and_then(|digits| digits.parse::<usize>().ok());
                let index = index.and_then(|index| index.checked_sub(1));
                if let Some(parameter) = index.and_then(|index| self.parameters.get(index)) {
                    arguments.value(parameter, quoted);
                }
            }
            _ => match self.values.get(name) {
                Some(value) => {
                    arguments.value(&value.text, quoted);
                    match value.certainty {
                        Certainty::Known => {}
                        Certainty::Depends => arguments.doubt(Doubt::Depends(Text::from(name))),
                        Certainty::Machine => arguments.doubt(Doubt::Machine(Text::from(name))),
                    }
                }
                None if is_of_machine(name) => {
                    arguments.append(&[b"${", name, b"}"].concat());
                    arguments.doubt(Doubt::Machine(Text::from(name)));
                }
                None => {}
            },
        }
    }

    /// Marks a variable as one that only the machine knows.
    pub(super) fn forget(&mut self, name: &Text) {
        let text = Text::new([b"${", name.as_bytes(), b"}"].concat());
        self.set(name.clone(), text, Certainty::Machine);
    }
}

/// Whether it is a variable that GRUB gets from its network card, its firmware or its build.
pub(super) fn is_of_machine(name: &[u8]) -> bool {
    name.starts_with(b"net_")
        || name.starts_with(b"pxe_")
        || matches!(
            name,
            b"?" | b"fw_path" | b"package_version" | b"shim_lock" | b"secureboot" | b"lockdown"
        )
}

/// Why an argument may be another one on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doubt {
    /// A variable that branches of a condition set differently.
    Depends(Text),
    /// A variable that only the machine knows; its name stands in its place.
    Machine(Text),
}

impl Doubt {
    /// How certain a value is that was made with it.
    pub(super) fn certainty(doubt: Option<&Self>) -> Certainty {
        match doubt {
            None => Certainty::Known,
            Some(Self::Depends(_)) => Certainty::Depends,
            Some(Self::Machine(_)) => Certainty::Machine,
        }
    }
}

/// A word as a command gets it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) text: Vec<u8>,
    pub(super) doubt: Option<Doubt>,
    /// The word that it comes from.
    pub(super) place: Option<Place>,
}

#[derive(Debug, Default)]
struct Arguments {
    /// `None`: an argument that nothing was put into yet, and which the next word takes.
    list: Vec<Option<Argument>>,
    bytes: usize,
    place: Option<Place>,
}

impl Arguments {
    fn next(&mut self) {
        if self.list.last().is_none_or(Option::is_some) {
            self.list.push(None);
            self.bytes += 1;
        }
    }

    fn last(&mut self) -> &mut Argument {
        if self.list.is_empty() {
            self.list.push(None);
        }
        let last = self.list.len() - 1;
        let place = self.place;
        self.list[last].get_or_insert_with(|| Argument {
            place,
            ..Argument::default()
        })
    }

    fn append(&mut self, text: &[u8]) {
        self.bytes += text.len();
        self.last().text.extend_from_slice(text);
    }

    fn doubt(&mut self, doubt: Doubt) {
        self.last().doubt.get_or_insert(doubt);
    }

    fn value(&mut self, value: &Text, quoted: bool) {
        // A variable that is empty leaves no word, unless it is in quotes.
        if value.is_empty() {
            return;
        }
        if quoted {
            self.append(value);
            return;
        }
        let words = value
            .split(|byte| matches!(byte, b' ' | b'\t'..=b'\r'))
            .filter(|word| !word.is_empty());
        for (index, word) in words.enumerate() {
            if index > 0 {
                self.next();
            }
            self.append(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(parts: &[Part]) -> Word {
        Word {
            parts: parts.to_vec(),
            place: Place::new(crate::FileId::MAIN, 1, 1),
        }
    }

    fn variable(name: &str, quoted: bool) -> Part {
        Part::Variable {
            name: name.into(),
            quoted,
        }
    }

    fn texts(variables: &Variables, words: &[Word]) -> Vec<String> {
        let arguments = variables.expand(words).expect("short words");
        let text = |argument: Argument| String::from_utf8(argument.text).expect("UTF-8");
        arguments.into_iter().map(text).collect()
    }

    /// `grub_script_argv_next`: a word to which nothing was added is taken by the next one.
    #[test]
    fn an_empty_variable_is_no_word_unless_quoted() {
        let variables = Variables::new(1000);
        let bare = word(&[variable("x", false)]);
        let quoted = word(&[
            Part::Quoted(Vec::new()),
            variable("x", true),
            Part::Quoted(Vec::new()),
        ]);
        let a = word(&[Part::Text(b"a".to_vec())]);
        assert_eq!(texts(&variables, &[bare.clone(), a.clone(), bare]), ["a"]);
        assert_eq!(texts(&variables, &[quoted, a]), ["", "a"]);
    }

    #[test]
    fn values_are_cut_into_words_outside_of_quotes() {
        let mut variables = Variables::new(1000);
        variables.set("x".into(), " a  b ".into(), Certainty::Known);
        let bare = word(&[Part::Text(b"1".to_vec()), variable("x", false)]);
        assert_eq!(texts(&variables, &[bare]), ["1a", "b"]);
        let quoted = word(&[variable("x", true)]);
        assert_eq!(texts(&variables, &[quoted]), [" a  b "]);
    }

    #[test]
    fn branches_that_differ_leave_a_doubt() {
        let mut variables = Variables::new(1000);
        variables.set("root".into(), "(tftp)".into(), Certainty::Known);
        let mark = variables.mark();
        variables.set("root".into(), "hd0".into(), Certainty::Known);
        let first = variables.roll_back(mark);
        let mark = variables.mark();
        variables.set("x".into(), "1".into(), Certainty::Known);
        let second = variables.roll_back(mark);
        assert_eq!(
            variables.text("root").map(Text::as_bytes),
            Some(&b"tftp"[..])
        );
        variables.merge(&first, &second);
        let root = variables.get(b"root").expect("root");
        assert_eq!(
            (root.text.as_bytes(), root.certainty),
            (&b"hd0"[..], Certainty::Depends)
        );
        assert!(
            variables
                .get(b"x")
                .is_some_and(|value| value.certainty == Certainty::Depends)
        );
    }

    #[test]
    fn the_variables_have_a_bound() {
        let mut variables = Variables::new(10);
        assert_eq!(
            variables.set("a".into(), "123456789".into(), Certainty::Known),
            Assigned::Done
        );
        assert_eq!(
            variables.set("b".into(), "1".into(), Certainty::Known),
            Assigned::Full
        );
        assert_eq!(
            variables.set("a".into(), "".into(), Certainty::Known),
            Assigned::Done
        );
        assert_eq!(
            variables.set("b".into(), "1".into(), Certainty::Known),
            Assigned::Done
        );
    }
}
