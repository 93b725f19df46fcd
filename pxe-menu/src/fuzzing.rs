//! Fuzz bodies: run by cargo-fuzz, and by the property tests. They panic if a promise is broken.

use crate::{
    Client, Document, GrubOptions, IpxeOptions, Limits, Loader, Menu, Parser, Paths, Text,
    render_grub, render_ipxe, render_json, render_syslinux, render_text, resolve,
};

mod links;

pub use links::{fuzz_links, read_links};

/// Whatever a menu is, reading it ends within its bounds, loses no byte, and what is rendered reads as
/// the same menu.
///
/// The input is the main file, and after each 0xff another file, named `1`, `2` and so on.
pub fn fuzz_menu(data: &[u8]) {
    let files: Vec<&[u8]> = data.split(|byte| *byte == 0xff).collect();
    fuzz_links(&files);
    let limits = Limits {
        lines_max: 10_000,
        files_max: 8,
        screens_max: 64,
        diagnostics_max: 100,
        ..Limits::default()
    };
    let document = read(limits.clone(), |name| {
        let name = core::str::from_utf8(name).ok()?;
        let index: usize = if name == "main" {
            0
        } else {
            name.parse().ok()?
        };
        files.get(index).map(|file| file.to_vec())
    });
    check_document(&document, &limits);
    let resolution = resolve(&document);
    assert!(resolution.menu.screens.len() <= limits.screens_max);
    for (screen, places) in resolution.menu.screens.iter().zip(&resolution.places) {
        assert_eq!(screen.entries.len(), places.len());
    }
    let client = Client::new().with_mac([2, 0, 0, 0, 0, 1]);
    let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
    for entry in resolution.menu.entries() {
        let _ = entry.shown();
        if let crate::Action::Run(command) = &entry.action {
            for loader in [Loader::Lpxelinux, Loader::SyslinuxEfi] {
                let _ = command.boot(loader, &client);
            }
            let _ = paths.locate(&command.image);
        }
    }
    for diagnostic in &resolution.diagnostics {
        assert!(!diagnostic.to_string().contains(['\n', '\0', '\x1b']));
    }
    fuzz_renderers(&resolution.menu, &paths);
    let once = reread(&render_syslinux(&resolution.menu));
    if document.menu_files().is_empty() {
        assert_eq!(
            once, resolution.menu,
            "what is rendered reads as the same menu"
        );
    }
    // Merged from several files, the loader itself sees what before only its menu saw.
    assert_eq!(reread(&render_syslinux(&once)), once);
}

/// What is rendered for iPXE and GRUB consists of the commands that were meant: nothing of a menu's text
/// becomes a command.
fn fuzz_renderers(menu: &Menu, paths: &Paths) {
    let script = render_ipxe(menu, &IpxeOptions::new(paths.clone())).to_string();
    let verbs = [
        "menu", "item", "choose", "kernel", "initrd", "module", "boot", "goto", "iseq", "chain",
        "set", "echo", "prompt", "exit",
    ];
    for line in script
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ':']))
    {
        let mut words = line.split_ascii_whitespace();
        let verb = words.next().unwrap_or_default();
        assert!(verbs.contains(&verb), "{line}");
        let mut ends =
            words.filter(|word| word.starts_with('#') || ["||", "&&", ";"].contains(word));
        let most = match verb {
            "menu" | "item" => 0,
            "choose" => 2,
            _ => 1,
        };
        assert!(ends.by_ref().take(3).count() <= most, "{line}");
    }
    assert!(
        !script
            .chars()
            .any(|character| character.is_control() && character != '\n')
    );
    let config =
        render_grub(menu, &GrubOptions::new(paths.clone(), "(http,192.0.2.1)")).to_string();
    let verbs = [
        "set",
        "export",
        "menuentry",
        "submenu",
        "linux",
        "initrd",
        "multiboot",
        "module",
        "exit",
        "configfile",
        "}",
    ];
    for line in config
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with('#'))
    {
        let (mut bare, mut in_quotes, mut escaped) = (String::new(), false, false);
        for character in line.chars() {
            match character {
                _ if core::mem::take(&mut escaped) => {}
                '\\' if !in_quotes => escaped = true,
                '\'' => in_quotes = !in_quotes,
                _ if in_quotes => {}
                other => bare.push(other),
            }
        }
        assert!(!in_quotes, "{line}");
        let verb = bare.split_ascii_whitespace().next().unwrap_or_default();
        assert!(verbs.contains(&verb), "{line}");
        assert!(
            !bare.contains([';', '$', '&', '|', '<', '>', '"', '`']),
            "{line}"
        );
    }
    let text = render_text(menu);
    assert!(
        !text
            .chars()
            .any(|character| character.is_control() && character != '\n')
    );
    let json = render_json(menu, paths.loader(), &Client::new());
    assert!(json.starts_with('{') && json.ends_with("}\n"));
}

/// The menu of one file.
pub fn reread(text: &Text) -> Menu {
    let document = read(Limits::default(), |name| {
        (name == b"main").then(|| text.to_vec())
    });
    resolve(&document).menu
}

/// Reads the configuration `main` from what `open` gives.
pub fn read(limits: Limits, mut open: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Document {
    let mut parser = Parser::new("main", limits);
    while let Some(need) = parser.poll_need() {
        match open(&need.file) {
            Some(bytes) => parser.provide(need.id, bytes),
            None => parser.missing(need.id),
        }
    }
    parser.finish()
}

/// The items of each file cover it.
pub fn check_document(document: &Document, limits: &Limits) {
    assert!(document.files().len() <= limits.files_max);
    assert!(document.diagnostics().len() <= limits.diagnostics_max + 1);
    for file in document.files() {
        let mut joined = Vec::new();
        for item in &file.items {
            assert_eq!(item.span.start, joined.len());
            assert!(item.value.start <= item.value.end && item.value.end <= item.span.end);
            joined.extend_from_slice(file.text(item));
        }
        assert_eq!(joined, file.bytes.as_deref().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines that mean something, and some that mean none.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let words = prop_oneof![
            Just("label"),
            Just("menu label"),
            Just("menu begin"),
            Just("menu end"),
            Just("menu hide"),
            Just("menu default"),
            Just("menu title"),
            Just("menu separator"),
            Just("menu goto"),
            Just("menu exit"),
            Just("menu quit"),
            Just("menu start"),
            Just("menu disable"),
            Just("menu passwd"),
            Just("menu save"),
            Just("menu nosave"),
            Just("menu immediate"),
            Just("menu indent"),
            Just("menu help"),
            Just("menu color sel"),
            Just("menu msgcolor"),
            Just("menu background"),
            Just("menu rows"),
            Just("menu tabmsg"),
            Just("menu master passwd"),
            Just("menu include"),
            Just("menu onerror"),
            Just("menu hiddenkey"),
            Just("menu resolution"),
            Just("include"),
            Just("append"),
            Just("initrd"),
            Just("kernel"),
            Just("linux"),
            Just("config"),
            Just("localboot"),
            Just("ui"),
            Just("default"),
            Just("timeout"),
            Just("ontimeout"),
            Just("allowoptions"),
            Just("ipappend"),
            Just("text help"),
            Just("endtext"),
            Just("text"),
            Just("f1"),
            Just("f0"),
            Just("serial"),
            Just("path"),
            Just("say"),
            Just("onerror"),
            Just("arppend"),
        ];
        let value = prop_oneof![
            Just(""),
            Just("a"),
            Just("b"),
            Just("^a b"),
            Just(".top"),
            Just("menu.c32"),
            Just("menu.c32 1"),
            Just("1"),
            Just("2 t"),
            Just("0"),
            Just("-"),
            Just("* #fff"),
            Just("37;40 #123 * std"),
            Just("x,y z"),
            Just("a && shell || ${x} ; # y"),
            Just("'; reboot } {"),
            Just("http://h/${x};a '"),
            Just("initrd=q"),
            Just("vmlinuz ro"),
            Just("50"),
        ];
        let end = prop_oneof![8 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r"), 1 => Just("")];
        let any_line = prop::collection::vec(any::<u8>(), 0..12);
        prop_oneof![
            12 => (words, value, end).prop_map(|(word, value, end)| format!("{word} {value}{end}").into_bytes()),
            1 => any_line,
            1 => Just(vec![0xff]),
        ]
    }

    fn menu() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(line(), 0..40).prop_map(|lines| lines.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn menus(data in menu()) {
            fuzz_menu(&data);
        }

        #[test]
        fn bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
            fuzz_menu(&data);
        }
    }
}
