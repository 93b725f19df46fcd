//! Fuzz bodies: run by cargo-fuzz, and by the property tests. They panic if a promise is broken.

mod grub_cfg;
mod links;
mod reports;
mod scripts;

pub use grub_cfg::{check_grub_reads, fuzz_grub_cfg, read_grub_cfg};
pub use links::{fuzz_links, read_links};
pub use reports::check_reports;
pub use scripts::{check_grub, check_ipxe, check_renderers};

use crate::{
    Client, Document, Limits, Loader, Menu, Parser, Paths, Text, render_syslinux, resolve,
};

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
    check_reports(document.files(), &resolution, &client);
    check_renderers(&resolution.menu, &paths);
    check_grub_reads(&resolution.menu);
    let once = reread(&render_syslinux(&resolution.menu).text);
    // Where a file leaves a submenu open, labels are read in another order than they stand in: of two of
    // one name another may be the first.
    let in_order = |told: &crate::Diagnostic| {
        !matches!(told.code, crate::Code::UnclosedMenu | crate::Code::Limited)
    };
    if document.menu_files().is_empty() && resolution.diagnostics.iter().all(in_order) {
        assert_eq!(
            once, resolution.menu,
            "what is rendered reads as the same menu"
        );
    }
    // Merged from several files, the loader itself sees what before only its menu saw.
    // Its default may be an entry that names files of the menu all the same.
    assert_eq!(reread(&render_syslinux(&once).text), once.merged());
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

/// So many cases, the same ones in each run: looking for others is what the fuzz targets are for.
#[cfg(test)]
pub(crate) fn the_same_cases(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0),
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
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
            Just("prompt"),
            Just("implicit"),
            Just("noescape"),
            Just("nocomplete"),
            Just("nohalt"),
            Just("console"),
            Just("font"),
            Just("kbdmap"),
            Just("display"),
            Just("pxeretry"),
            Just("sendcookies"),
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
        #![proptest_config(the_same_cases(1000))]

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
