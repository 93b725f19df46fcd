//! What is rendered for iPXE and GRUB consists of the commands that were meant: nothing of a menu's text
//! becomes a command.

use std::collections::BTreeSet;

use crate::{
    Client, GrubOptions, IpxeOptions, Menu, Paths, Rendered, render_grub, render_ipxe, render_json,
    render_text,
};

/// Renders a menu in every language, and checks each.
pub fn check_renderers(menu: &Menu, paths: &Paths) {
    let options = IpxeOptions::new(paths.clone());
    let script = render_ipxe(menu, &options);
    check_ipxe(&script.text);
    check_told(&script);
    let options = GrubOptions::new(paths.clone(), "(http,192.0.2.1)");
    let config = render_grub(menu, &options);
    check_grub(&config.text);
    check_told(&config);
    let text = render_text(menu);
    assert!(
        !text
            .chars()
            .any(|character| character.is_control() && character != '\n')
    );
    let json = render_json(menu, paths.loader(), &Client::new());
    assert!(json.starts_with('{') && json.ends_with("}\n"));
}

/// A comment stands for each finding.
fn check_told(rendered: &Rendered) {
    // As bytes: names beside them need not be UTF-8.
    let comments: BTreeSet<&[u8]> = rendered
        .text
        .as_bytes()
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.trim_ascii_start().strip_prefix(b"# "))
        .collect();
    for told in &rendered.diagnostics {
        assert!(
            comments.contains(told.message.as_bytes()),
            "{told} in {rendered}"
        );
    }
}

/// A command of iPXE.
struct Syntax {
    verb: &'static str,
    /// Its options, and whether they have a value.
    options: &'static [(&'static str, bool)],
    /// How many arguments it takes.
    arguments: core::ops::RangeInclusive<usize>,
}

const fn syntax(
    verb: &'static str,
    options: &'static [(&'static str, bool)],
    least: usize,
    most: usize,
) -> Syntax {
    Syntax {
        verb,
        options,
        arguments: least..=most,
    }
}

/// The commands of iPXE 2.0 that its BIOS builds have, too, as far as they are used here (config/general.h,
/// hci/commands, core/exec.c and image/script.c of v2.0.0), with the options that iPXE of 2019 had already.
const COMMANDS: [Syntax; 21] = [
    syntax("menu", &[("name", true), ("delete", false)], 0, WORDS_MAX),
    syntax(
        "item",
        &[("key", true), ("default", false), ("gap", false)],
        0,
        WORDS_MAX,
    ),
    syntax(
        "choose",
        &[("default", true), ("timeout", true), ("keep", false)],
        1,
        1,
    ),
    syntax("goto", &[], 1, 1),
    syntax("set", &[], 1, WORDS_MAX),
    syntax("clear", &[], 1, 1),
    syntax("iseq", &[], 2, 2),
    syntax("echo", &[("n", false)], 0, WORDS_MAX),
    syntax("prompt", &[("key", true), ("timeout", true)], 0, WORDS_MAX),
    syntax("sleep", &[], 1, 1),
    syntax("exit", &[], 0, 1),
    syntax("login", &[], 0, 0),
    syntax("imgfree", &[], 0, WORDS_MAX),
    syntax("kernel", IMAGE, 1, WORDS_MAX),
    syntax("initrd", IMAGE, 1, WORDS_MAX),
    syntax("module", IMAGE, 1, WORDS_MAX),
    syntax("chain", IMAGE, 0, WORDS_MAX),
    syntax("boot", IMAGE, 0, WORDS_MAX),
    syntax(
        "sanboot",
        &[("drive", true), ("no-describe", false)],
        0,
        WORDS_MAX,
    ),
    syntax("reboot", &[], 0, 0),
    syntax("poweroff", &[], 0, 0),
];

const IMAGE: &[(&str, bool)] = &[("name", true), ("timeout", true), ("autofree", false)];

/// Words that the stack of a BIOS build holds, two pointers each.
const WORDS_MAX: usize = 160;

/// Reads a script as iPXE does, and checks each command: that it exists, its options, the number of its
/// arguments, where it jumps to. What is filled in is nothing but this crate's own variables.
pub fn check_ipxe(script: &[u8]) {
    assert!(script.starts_with(b"#!ipxe\n"));
    let mut labels = BTreeSet::new();
    let mut jumps = Vec::new();
    let lines = script.split(|byte| *byte == b'\n');
    for line in lines {
        let text = String::from_utf8_lossy(line);
        assert!(!line.ends_with(b"\\"), "joined to the next line: {text}");
        assert!(!line.iter().any(u8::is_ascii_control), "{text:?}");
        let mut words: Vec<&[u8]> = line
            .split(|byte| byte.is_ascii_whitespace() || *byte == 0x0b)
            .filter(|word| !word.is_empty())
            .collect();
        assert!(words.len() <= WORDS_MAX, "{text}");
        if let Some(label) = words.first().and_then(|word| word.strip_prefix(b":")) {
            assert!(labels.insert(label.to_vec()), "twice: {text}");
            words.remove(0);
        }
        if let Some(comment) = words.iter().position(|word| word.starts_with(b"#")) {
            assert_eq!(comment, 0, "a comment after a command: {text}");
            continue;
        }
        let ends = |word: &&[u8]| [&b"||"[..], b"&&", b";"].contains(word);
        for command in words.split(ends).filter(|command| !command.is_empty()) {
            let (verb, arguments) = check_command(command, &text);
            if verb == "goto" && !arguments[0].starts_with(b"${") {
                jumps.push(arguments[0].to_vec());
            }
            if verb == "item" && !text.contains("--gap") {
                jumps.push(arguments[0].to_vec());
            }
        }
    }
    for jump in jumps {
        let name = String::from_utf8_lossy(&jump);
        assert!(labels.contains(&jump), "no label {name}");
    }
}

fn check_command<'a>(command: &[&'a [u8]], line: &str) -> (&'static str, Vec<&'a [u8]>) {
    let known = COMMANDS
        .iter()
        .find(|known| known.verb.as_bytes() == command[0]);
    let Some(known) = known else {
        panic!("no command of iPXE: {line}");
    };
    let mut rest = command.get(1..).unwrap_or_default();
    // What follows the first word without a hyphen is no option.
    while let Some((first, after)) = rest.split_first()
        && first.starts_with(b"-")
    {
        rest = after;
        if *first == b"--" {
            break;
        }
        let option = known
            .options
            .iter()
            .find(|(name, _)| first.strip_prefix(b"--") == Some(name.as_bytes()));
        let Some((_, has_value)) = option else {
            panic!("no such option: {line}");
        };
        if *has_value {
            let (value, after) = rest.split_first().expect("the value of an option");
            assert!(!value.starts_with(b"-"), "{line}");
            rest = after;
        }
    }
    assert!(known.arguments.contains(&rest.len()), "{line}");
    for word in rest {
        check_variables(word, line);
    }
    (known.verb, rest.to_vec())
}

/// What iPXE fills in: the innermost `${..}` first.
fn check_variables(word: &[u8], line: &str) {
    let own = [
        "nothing",
        "sp",
        "sp:string",
        "wait",
        "target",
        "password",
        "platform",
        "next-server",
        "ip",
        "gateway",
        "netmask",
        "mac:hexhyp",
        "uuid",
        "manufacturer",
        "product",
        "serial",
    ];
    let mut word = word.to_vec();
    while let Some(end) = word.iter().position(|byte| *byte == b'}') {
        let before = &word[..end];
        let Some(start) = before.windows(2).rposition(|two| two == b"${") else {
            // The first `}` after `${` is the one that counts.
            word.remove(end);
            continue;
        };
        let name = String::from_utf8_lossy(&word[start + 2..end]).into_owned();
        assert!(own.contains(&&*name), "filled in: {name}: {line}");
        word.drain(start..=end);
    }
}

/// Reads a configuration as GRUB does as far as quotes go, and checks that each line is a command that was
/// meant.
pub fn check_grub(config: &[u8]) {
    let verbs = [
        "set",
        "export",
        "password",
        "menuentry",
        "submenu",
        "function",
        "linux",
        "initrd",
        "linux16",
        "initrd16",
        "multiboot",
        "module",
        "chainloader",
        "exit",
        "reboot",
        "halt",
        "configfile",
        "else",
        "fi",
        "}",
    ];
    let config = String::from_utf8_lossy(config);
    let mut depth = 0_i32;
    for line in config.lines().map(str::trim_start) {
        let is_condition = ["pc", "efi"]
            .map(|platform| format!("if [ \"$grub_platform\" = \"{platform}\" ]; then"))
            .contains(&line.to_owned());
        if line.starts_with('#') || is_condition {
            assert!(!line.ends_with('\\'), "{line}");
            continue;
        }
        let (mut bare, mut in_quotes, mut is_escaped) = (String::new(), false, false);
        for character in line.chars() {
            match character {
                _ if core::mem::take(&mut is_escaped) => {}
                '\\' if !in_quotes => is_escaped = true,
                '\'' => in_quotes = !in_quotes,
                _ if in_quotes => {}
                other => bare.push(other),
            }
        }
        assert!(!in_quotes && !is_escaped, "{line}");
        let mut words = bare.split_ascii_whitespace();
        let verb = words.next().unwrap_or_default();
        let is_function = verb
            .strip_prefix("screen")
            .is_some_and(|number| number.parse::<usize>().is_ok());
        assert!(is_function || verbs.contains(&verb), "{line}");
        let braces = bare.chars().filter(|character| "{}".contains(*character));
        for brace in braces {
            depth += if brace == '{' { 1 } else { -1 };
            assert!(depth >= 0, "{line}");
        }
        if ["menuentry", "submenu"].contains(&verb) {
            check_options(words, line);
        }
        assert!(
            !bare.contains([';', '$', '&', '|', '<', '>', '"', '`', '#']),
            "{line}"
        );
    }
    assert_eq!(depth, 0, "braces");
}

/// What is not in quotes after menuentry: options that it knows, and braces (commands/menuentry.c).
fn check_options<'a>(words: impl Iterator<Item = &'a str>, line: &str) {
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        match word {
            "--id" => {
                let id = words.next().expect("an identifier");
                assert!(
                    id.bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
                    "{line}"
                );
            }
            // Their value is in quotes.
            "--users" | "--unrestricted" | "{" | "}" | "true" => {}
            other => assert!(other.starts_with("--hotkey="), "{line}"),
        }
    }
}
