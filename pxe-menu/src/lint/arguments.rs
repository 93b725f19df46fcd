//! What a kernel is told, where it contradicts itself.

use super::file::Use;
use super::{At, Lint};
use crate::diagnostic::quoted;
use crate::{Code, Command, Diagnostic, LinuxBoot, Place};

/// The arguments of a kernel, cut at blanks.
pub(super) struct Arguments<'a> {
    words: Vec<&'a str>,
}

impl<'a> Arguments<'a> {
    fn new(text: &'a str) -> Self {
        let words = text.split_ascii_whitespace().collect();
        Self { words }
    }

    /// The value of the first `name=value`.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.words
            .iter()
            .filter_map(move |word| word.strip_prefix(name)?.strip_prefix('='))
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// The first whole word that begins so.
    pub(super) fn word(&self, start: &str) -> Option<&'a str> {
        self.words
            .iter()
            .copied()
            .find(|word| word.starts_with(start))
    }
}

/// Arguments that only an initial RAM disk reads: its scripts, or the installer in it.
const OF_AN_INITRD: [(&str, &str); 10] = [
    ("boot=casper", "casper"),
    ("boot=live", "live-boot"),
    ("inst.repo=", "Anaconda"),
    ("inst.stage2=", "Anaconda"),
    ("inst.ks=", "Anaconda"),
    ("preseed/url=", "debian-installer"),
    ("auto=true", "debian-installer"),
    ("archisobasedir=", "archiso"),
    ("alpine_repo=", "Alpine's init"),
    ("root=live:", "dracut"),
];

impl Lint<'_> {
    /// The files of `initrd=`, and how the loader reads it.
    pub(super) fn initrds(&mut self, linux: &LinuxBoot, command: &Command, at: At) {
        for initrd in &linux.initrds {
            let own = command.initrd.as_deref().unwrap_or_default();
            let is_own = own
                .split(|byte| *byte == b',')
                .any(|file| file == &initrd[..]);
            let place = if is_own { at.initrd } else { at.append };
            self.file(initrd, place, Use::Started);
        }
        // linux.c32 loads the files of all of them.
        let is_module = command.image_type == crate::ImageType::Com32
            || command.image.first_word().ends_with(b".c32");
        let lists = command
            .append
            .split(|byte| *byte == b' ')
            .filter_map(|word| word.strip_prefix(b"initrd="));
        let lists: Vec<&[u8]> = lists.collect();
        // GRUB has a command of its own for them.
        if is_module || self.paths.loader().is_grub() {
            return;
        }
        if let [first, others @ ..] = &lists[..]
            && let Some(other) = others.iter().find(|other| *other != first)
        {
            let word = [b"initrd=", *other].concat();
            let place = argument_place(command, at, &word);
            let message = format!("a second initrd=: the loader loads {} only", quoted(first));
            let diagnostic = Diagnostic::new(Code::TwoInitrds, place, message);
            self.push(diagnostic.with_remedy("name all files in one, separated by commas"));
        }
        if lists.first().is_some_and(|list| list.is_empty()) && command.initrd.is_none() {
            let place = argument_place(command, at, b"initrd=");
            let message = "initrd= without a file: the loader loads none";
            let remedy = "no space may stand after the equals sign";
            self.tell(Code::MissingInitrd, place, message, Some(remedy));
        }
    }

    /// What Linux systems need to find their root.
    pub(super) fn arguments(&mut self, linux: &LinuxBoot, command: &Command, at: At) {
        let text = linux.arguments.to_string();
        let arguments = Arguments::new(&text);
        let place = |start: &str| {
            let word = arguments.word(start).unwrap_or(start);
            argument_place(command, at, word.as_bytes())
        };
        if let Some(root) = arguments.value("nfsroot") {
            self.nfs_root(root, &arguments, place("nfsroot="));
        }
        if linux.initrds.is_empty()
            && !self.is_told_without_initrd(command)
            && let Some((start, whose)) = OF_AN_INITRD
                .iter()
                .find(|(start, _)| is_given(&arguments, start))
        {
            let message = format!(
                "{} without an initrd: {whose} is in one",
                quoted(start.as_bytes())
            );
            let remedy = match self.paths.loader().is_grub() {
                true => "add the command initrd",
                false => "add INITRD",
            };
            self.tell(Code::MissingInitrd, place(start), message, Some(remedy));
        }
        if arguments.value("root") == Some("/dev/nfs")
            && linux.initrds.is_empty()
            && arguments.value("ip").is_none()
        {
            let message =
                "root=/dev/nfs without ip=: a kernel without an initrd configures no network";
            let diagnostic = Diagnostic::new(Code::KernelArguments, place("root="), message);
            self.push(diagnostic.with_remedy("add ip=dhcp").as_note());
        }
        if command.sysappend & 1 != 0
            && let Some(ip) = arguments.values("ip").find(|ip| !is_from_sysappend(ip))
        {
            let message = format!(
                "{} beside SYSAPPEND 1, which adds an ip= too",
                quoted(format!("ip={ip}").as_bytes())
            );
            let place = place(&format!("ip={ip}"));
            let diagnostic = Diagnostic::new(Code::KernelArguments, place, message)
                .with_note("which of the two counts depends on the system")
                .with_remedy("leave one of them out");
            self.push(diagnostic.as_note());
        }
        if arguments.value("ksdevice") == Some("bootif")
            && command.sysappend & 2 == 0
            && arguments.value("BOOTIF").is_none()
        {
            let message =
                "ksdevice=bootif without BOOTIF=: Anaconda does not know which device that is";
            let diagnostic = Diagnostic::new(Code::KernelArguments, place("ksdevice="), message);
            self.push(diagnostic.with_remedy("add IPAPPEND 2"));
        }
        self.contradictions(&arguments, command, at);
        self.torn_arguments(&arguments.words, command, at);
        self.live_system(&arguments, linux, command, at);
    }

    /// Two arguments of which only one can count. What stands after `--` is the first process's.
    fn contradictions(&mut self, arguments: &Arguments<'_>, command: &Command, at: At) {
        let own = arguments.words.iter().copied();
        let own: Vec<&str> = own
            .take_while(|word| !matches!(*word, "--" | "---"))
            .collect();
        let first_of = |words: &[&str]| own.iter().copied().find(|word| words.contains(word));
        let mut pairs = vec![
            (
                first_of(&["ip=dhcp", "ip=on", "ip=any"]),
                first_of(&["ip=off", "ip=none"]),
            ),
            (first_of(&["ro"]), first_of(&["rw"])),
        ];
        for name in ["root=", "boot="] {
            let mut all = own.iter().copied().filter(|word| word.starts_with(name));
            let first = all.next();
            pairs.push((first, all.find(|other| Some(*other) != first)));
        }
        for (one, other) in pairs {
            let (Some(one), Some(other)) = (one, other) else {
                continue;
            };
            let message = format!(
                "{} and {} contradict each other",
                quoted(one.as_bytes()),
                quoted(other.as_bytes())
            );
            let place = argument_place(command, at, other.as_bytes());
            let remedy = "leave one of them out";
            self.tell(Code::KernelArguments, place, message, Some(remedy));
        }
    }

    /// INITRD without a value is told when it is read.
    fn is_told_without_initrd(&self, command: &Command) -> bool {
        command.initrd.is_some() || command.append.windows(7).any(|part| part == b"initrd=")
    }

    fn nfs_root(&mut self, root: &str, arguments: &Arguments<'_>, place: Place) {
        let shown = quoted(format!("nfsroot={root}").as_bytes());
        let remedy = "write nfsroot=server:/path, with a folder that the server exports";
        if let Some((scheme, _)) = root.split_once("://") {
            let message = format!("{shown} is no NFS export: {scheme}:// is another protocol");
            self.tell(Code::NfsRoot, place, message, Some(remedy));
            return;
        }
        // Without a server it is a path on the boot server, to the kernel as to casper and live-boot.
        let is_live = matches!(arguments.value("boot"), Some("casper" | "live"));
        let has_folder = root.starts_with('/') || root.contains(":/");
        if is_live && root != "auto" && !has_folder && !root.is_empty() {
            let message = format!("{shown} names no folder of a server");
            self.tell(Code::NfsRoot, place, message, Some(remedy));
        }
    }
}

/// Where an argument stands: in APPEND if it is there.
pub(super) fn argument_place(command: &Command, at: At, word: &[u8]) -> Place {
    // The label has no APPEND of its own.
    if at.append == at.image {
        return at.append;
    }
    let blanks = |byte: &u8| crate::scan::is_space(*byte);
    let mut offset = 0;
    for part in command.append.split(blanks) {
        if part == word && at.append.bytes as usize >= offset + word.len() {
            let mut place = at.append;
            place.column = place
                .column
                .saturating_add(u32::try_from(offset).unwrap_or(0));
            return place.covering(word.len());
        }
        offset += part.len() + 1;
    }
    at.append
}

fn is_given(arguments: &Arguments<'_>, start: &str) -> bool {
    if start.ends_with(['=', ':']) {
        arguments.word(start).is_some()
    } else {
        arguments.has(start)
    }
}

/// `ip=client:server:gateway:netmask`, as the loader writes it.
fn is_from_sysappend(ip: &str) -> bool {
    let mut parts = ip.split(':');
    let count = parts.clone().count();
    count == 4 && parts.all(|part| part.parse::<core::net::Ipv4Addr>().is_ok())
}
