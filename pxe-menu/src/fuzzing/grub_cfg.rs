//! grub.cfg and boot.cfg.

use super::{check_renderers, check_reports, reread};
use crate::{
    Action, BootCfg, Client, Code, Diagnostic, Format, GrubOptions, GrubParser, Limits, Loader,
    Menu, Paths, Resolution, SourceFile, Text, render_grub, render_syslinux,
};

/// Whatever a grub.cfg is, reading it ends within its bounds, and what is made of it can be told to every
/// other loader.
///
/// The input is the main file, and after each 0xff another file, named `/1`, `/2` and so on.
pub fn fuzz_grub_cfg(data: &[u8]) {
    let limits = Limits {
        lines_max: 5_000,
        files_max: 6,
        screens_max: 32,
        entries_max: 100,
        variable_bytes_max: 10_000,
        diagnostics_max: 200,
        ..Limits::default()
    };
    let files: Vec<&[u8]> = data.split(|byte| *byte == 0xff).collect();
    let (files, resolution) = read_grub_cfg(limits.clone(), |name| {
        let name = core::str::from_utf8(name).ok()?;
        let index: usize = match name.strip_prefix("::") {
            Some(name) => name.parse().ok()?,
            None => 0,
        };
        files.get(index).map(|file| file.to_vec())
    });
    assert!(files.len() <= limits.files_max);
    check_grub_menu(&files, &resolution, &limits);
    let _ = Format::of(b"", data);
    let config = BootCfg::read("esx/boot.cfg", data, &limits);
    let main = SourceFile {
        name: "boot.cfg".into(),
        bytes: Some(data.to_vec()),
        items: Vec::new(),
    };
    check_grub_menu(&[main], &config.resolution(), &limits);
}

/// The files and the menu of the configuration `main`, of what `open` gives.
pub fn read_grub_cfg(
    limits: Limits,
    mut open: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> (Vec<SourceFile>, Resolution) {
    let mut parser = GrubParser::new("main", limits);
    while let Some(need) = parser.poll_need() {
        match open(&need.file) {
            Some(bytes) => parser.provide(need.id, bytes),
            None => parser.missing(need.id),
        }
    }
    let files = parser.files().to_vec();
    (files, parser.finish())
}

fn check_grub_menu(files: &[SourceFile], resolution: &Resolution, limits: &Limits) {
    let menu = &resolution.menu;
    assert!(menu.screens.len() <= limits.screens_max);
    // One more for what is started before there is a menu.
    assert!(menu.entries().count() <= limits.entries_max + 1);
    assert!(resolution.diagnostics.len() <= limits.diagnostics_max + 1);
    assert_eq!(menu.screens.len(), resolution.places.len());
    for (screen, places) in menu.screens.iter().zip(&resolution.places) {
        assert_eq!(screen.entries.len(), places.len());
        assert!(screen.default < screen.entries.len().max(1));
    }
    let labels: Vec<&Text> = menu
        .entries()
        .filter_map(|entry| entry.label.as_ref())
        .collect();
    for label in &labels {
        assert_eq!(label.first_word(), label.as_bytes(), "a label is one word");
    }
    let client = Client::new().with_mac([2, 0, 0, 0, 0, 1]);
    for entry in menu.entries() {
        if let Action::Run(command) = &entry.action {
            let name = command.image.as_bytes();
            let is_known =
                [&b"mboot.c32"[..], b"reboot.c32", b"poweroff.c32", b"-1"].contains(&name);
            let is_absolute = name.starts_with(b"::") || name.windows(3).any(|at| at == b"://");
            assert!(is_known || is_absolute, "{command:?}");
            for loader in [Loader::GrubEfi, Loader::GrubPc, Loader::Lpxelinux] {
                let _ = command.boot(loader, &client);
            }
        }
    }
    check_reports(files, resolution, &client);
    check_renderers(menu, &Paths::new(Loader::GrubEfi, "grub/grubx64.efi"));
    // A person at pxelinux sees the same lines.
    let again = reread(&render_syslinux(menu).text);
    let outline = |menu: &Menu| -> Vec<usize> {
        menu.screens
            .iter()
            .map(|screen| screen.entries.len())
            .collect()
    };
    assert_eq!(outline(&again), outline(menu));
    // GRUB reads what is rendered for it.
    check_grub_reads(menu);
}

/// Our reader of grub.cfg finds nothing wrong with what is rendered for GRUB.
pub fn check_grub_reads(menu: &Menu) {
    let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
    let config = render_grub(menu, &GrubOptions::new(paths, "(http,192.0.2.1)"));
    let (_, resolution) = read_grub_cfg(Limits::default(), |name| {
        (name == b"main").then(|| config.text.to_vec())
    });
    let is_wrong = |told: &&Diagnostic| {
        matches!(
            told.code,
            Code::SyntaxError | Code::UnknownCommand | Code::MissingValue | Code::NotFollowed
        )
    };
    let wrong = resolution.diagnostics.iter().find(is_wrong);
    assert!(wrong.is_none(), "{wrong:?} in {config}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Words of grub.cfg, with all that may be between them.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let words = proptest::sample::select(vec![
            "menuentry 'a' {",
            "menuentry \"$1\" --id x --hotkey=a {",
            "submenu 'b b' --users u {",
            "menuentry $x --unrestricted { linux /k $x; initrd /i /j }\n",
            "}",
            "{",
            ";",
            "\n",
            "\n",
            " ",
            "linux /k a='b c' \"$x\"",
            "linuxefi (http,h:80)/k initrd=z",
            "linux16 /memdisk iso",
            "initrd /i /j",
            "initrd newc:a:/b",
            "chainloader /x.efi a",
            "chainloader (hd0)+1",
            "chainloader +1",
            "multiboot /xen a --- b",
            "module /m",
            "configfile /1",
            "source /1",
            "source $x",
            ". /2",
            "set x=$x$x",
            "set x=/1",
            "set x=a b",
            "set root=(hd0,1)",
            "set root=tftp",
            "set default='a>1'",
            "default=1",
            "set timeout=0",
            "timeout=5",
            "set timeout_style=hidden",
            "set superusers=u",
            "password u p",
            "unset x",
            "export x",
            "if [ -e /1 ]; then",
            "if [ $grub_platform = efi ]; then",
            "if $x; then",
            "if true; then",
            "if ! [ a = b -o -s /x ]; then",
            "elif loadfont x; then",
            "else",
            "fi",
            "for x in a b c; do",
            "while true; do",
            "until $x; do",
            "done",
            "break",
            "continue 2",
            "function f {",
            "f a b",
            "return",
            "shift",
            "setparams a",
            "search --set=root -l x",
            "loopback l /i",
            "linux (l)/k",
            "regexp --set 1:x a b",
            "exit",
            "reboot",
            "halt",
            "fwsetup",
            "boot",
            "blscfg",
            "frobnicate",
            "setx a",
            "#",
            "# it's",
            "'",
            "\"",
            "\\",
            "\\\n",
            "$",
            "${x}",
            "$\"t $x\"",
            "&&",
            "[[",
            "a\u{7}b",
            "\r\n",
            "menuentry ' ' { true }",
            "!",
            "$@",
            "$*",
            "$#",
            "^",
            ",",
            "'a\nb'",
        ]);
        prop_oneof![
            30 => (words, prop_oneof![4 => Just("\n"), 2 => Just(" "), 1 => Just("; "), 1 => Just("")])
                .prop_map(|(word, end)| format!("{word}{end}").into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..6),
            1 => Just(vec![0xff]),
        ]
    }

    proptest! {
        #![proptest_config(crate::fuzzing::the_same_cases(1000))]

        #[test]
        fn grub_cfgs(data in prop::collection::vec(piece(), 0..30)) {
            fuzz_grub_cfg(&data.concat());
        }

        #[test]
        fn bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz_grub_cfg(&data);
        }
    }
}
