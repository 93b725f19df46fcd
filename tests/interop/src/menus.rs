//! What pxe-menu renders, read by the programs that it is for: GRUB's own parser, and jq.

use std::fs;
use std::path::Path;
use std::process::Command;

use pxe_menu::fuzzing::reread;
use pxe_menu::{Client, GrubOptions, Loader, Menu, Paths, Text, render_grub, render_json};

use crate::LoneTest;

pub(crate) const TESTS: &[LoneTest] = &[
    (
        "grub_and_jq_read_rendered_menus",
        rendered_menus_can_be_read,
    ),
    ("grub_script_check_can_fail", grub_script_check_can_fail),
];

/// Menus made of lines that mean something, with values that a script would take for its own.
const MENUS: u64 = 150;

const DIRECTIVES: [&str; 26] = [
    "LABEL",
    "LABEL",
    "MENU LABEL",
    "MENU TITLE",
    "MENU BEGIN",
    "MENU END",
    "MENU GOTO",
    "MENU EXIT",
    "MENU SEPARATOR",
    "MENU PASSWD",
    "MENU MASTER PASSWD",
    "MENU DEFAULT",
    "MENU DISABLE",
    "MENU START",
    "MENU HIDDEN",
    "LINUX",
    "KERNEL",
    "INITRD",
    "APPEND",
    "TIMEOUT",
    "ONTIMEOUT",
    "ALLOWOPTIONS",
    "LOCALBOOT",
    "COM32",
    "MENU HIDE",
    "TEXT HELP\nit's } `x` \"\nENDTEXT",
];

const VALUES: [&str; 26] = [
    "",
    "a",
    "b",
    "0",
    "50",
    "^a b",
    "-1",
    "0x80",
    "memdisk",
    "vmlinuz",
    "chain.c32 hd0",
    "http://h:8080/a b",
    "tftp://h/$x",
    "a'b",
    "it's \"two words\" \\",
    "$(reboot)",
    "${x}",
    "} reboot {",
    "' } ; reboot ; {",
    "a;b && c || d | e > f < g",
    "# no comment",
    "--unrestricted",
    "--users x",
    "\\",
    "`x`",
    "\u{e9}\u{1f600}",
];

/// A number of a sequence that is the same each time (Marsaglia's xorshift).
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).unwrap_or(0)
}

fn hostile(number: u64) -> Text {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ number;
    let mut text = b"UI menu.c32\n".to_vec();
    for _ in 0..10 + next(&mut state) % 40 {
        let directive = DIRECTIVES[next(&mut state) % DIRECTIVES.len()];
        let value = VALUES[next(&mut state) % VALUES.len()];
        text.extend_from_slice(format!("{directive} {value}").as_bytes());
        if next(&mut state).is_multiple_of(10) {
            // Latin-1, and a control character.
            text.extend_from_slice(b"\xe9\x01");
        }
        text.push(b'\n');
    }
    Text::new(text)
}

/// Real menus, where PXE_CORPUS has some.
fn corpus() -> Result<Vec<Text>, String> {
    let Some(corpus) = std::env::var_os("PXE_CORPUS") else {
        return Ok(Vec::new());
    };
    let mut folders = vec![Path::new(&corpus).join("pxelinux")];
    let mut menus = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                menus.push(Text::new(
                    fs::read(&path).map_err(|error| error.to_string())?,
                ));
            }
        }
    }
    Ok(menus)
}

fn rendered_menus_can_be_read(_server: &Path) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let corpus = corpus()?;
    let menus = (0..MENUS).map(hostile).chain(corpus);
    for (index, text) in menus.enumerate() {
        check(&reread(&text), folder.path())
            .map_err(|error| format!("menu {index}: {error}\n{text}"))?;
    }
    Ok(())
}

fn check(menu: &Menu, folder: &Path) -> Result<(), String> {
    let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
    for device in ["(http,192.0.2.1)", "(tftp,192.0.2.1)"] {
        let config = render_grub(menu, &GrubOptions::new(paths.clone(), device));
        let file = folder.join("grub.cfg");
        fs::write(&file, &*config.text).map_err(|error| error.to_string())?;
        pxe_test_lab::run(Command::new("grub-script-check").arg(&file))
            .map_err(|error| format!("{error}\n{config}"))?;
    }
    let file = folder.join("menu.json");
    let json = render_json(menu, Loader::Lpxelinux, &Client::new());
    fs::write(&file, &json).map_err(|error| error.to_string())?;
    // Every entry has its action, and every target is a screen.
    let program = ".screens as $screens | [.screens[].entries[], .hidden[]] | \
                   all(.action != null and (.target == null or $screens[.target] != null))";
    pxe_test_lab::run(
        Command::new("jq")
            .args(["--exit-status", program])
            .arg(&file),
    )
    .map_err(|error| format!("{error}\n{json}"))
}

/// The check is one: it refuses what is no grub.cfg.
fn grub_script_check_can_fail(_server: &Path) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = folder.path().join("grub.cfg");
    for broken in [
        "menuentry 'a' {\n",
        "menuentry 'it's' { true }\n",
        "if true; then\n",
    ] {
        fs::write(&file, broken).map_err(|error| error.to_string())?;
        if pxe_test_lab::run(Command::new("grub-script-check").arg(&file)).is_ok() {
            return Err(format!("grub-script-check accepts {broken}"));
        }
    }
    Ok(())
}
