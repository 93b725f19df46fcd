//! INCLUDE seems to be ignored: every reason for it that a menu and its tree can tell.

use pxe_menu::fuzzing::read;
use pxe_menu::{Client, Code, Diagnostic, Limits, Loader, Paths, check, resolve};

use crate::tree::MemFiles;

fn tree() -> MemFiles {
    MemFiles::new(&[
        "bios/ldlinux.c32",
        "bios/libutil.c32",
        "bios/menu.c32",
        "bios/pxelinux.cfg/common.cfg",
        "bios/pxelinux.cfg/default",
        "bios/Colours.cfg",
        "bios/other.cfg",
        "root.cfg",
        "bios/folder/x",
    ])
    .unreadable("bios/secret.cfg")
}

/// The findings of a menu whose included files are read where the loader asks for them.
fn findings(menu: &str, paths: &Paths) -> Vec<Diagnostic> {
    let content = |name: &[u8]| match name {
        b"main" => Some(menu.into()),
        b"other.cfg" => Some(b"LABEL other\nLOCALBOOT 0\n".to_vec()),
        b"pxelinux.cfg/common.cfg" => Some(b"MENU TITLE common\n".to_vec()),
        _ => None,
    };
    let document = read(Limits::default(), content);
    check(
        &resolve(&document),
        std::slice::from_ref(paths),
        &Client::new(),
        &tree(),
    )
}

/// What is told of one line of a menu, and nothing else is.
fn told(line: &str) -> Diagnostic {
    let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
    let menu = format!("UI menu.c32\n{line}\nLABEL a\nLOCALBOOT 0\n");
    let mut found = findings(&menu, &paths);
    assert_eq!(found.len(), 1, "{line}: {found:#?}");
    let told = found.remove(0);
    assert_eq!(told.place.map(|place| place.line), Some(2), "{line}");
    told
}

#[test]
fn each_reason_is_told_with_what_to_write() {
    let asked = |path: &str| format!("lpxelinux.0 asks for `{path}`");
    for (line, path, remedy) in [
        // A person expects a name to be relative to the file that has it, which lies in pxelinux.cfg.
        (
            "INCLUDE common.cfg",
            "bios/common.cfg",
            "write pxelinux.cfg/common.cfg",
        ),
        (
            "MENU INCLUDE common.cfg",
            "bios/common.cfg",
            "write pxelinux.cfg/common.cfg",
        ),
        ("INCLUDE /root.cfg", "bios//root.cfg", "write ::root.cfg"),
        ("INCLUDE root.cfg", "bios/root.cfg", "write ::root.cfg"),
        (
            "INCLUDE /srv/tftp/root.cfg",
            "bios//srv/tftp/root.cfg",
            "write ::root.cfg",
        ),
        (
            "INCLUDE colours.cfg",
            "bios/colours.cfg",
            "did you mean Colours.cfg?",
        ),
        (
            "INCLUDE oter.cfg",
            "bios/oter.cfg",
            "did you mean other.cfg?",
        ),
        ("INCLUDE oth er.cfg", "bios/oth", "did you mean other.cfg?"),
        (
            "INCLUDE secret.cfg",
            "bios/secret.cfg",
            "let the server's user read it",
        ),
        ("INCLUDE folder", "bios/folder", ""),
    ] {
        let told = told(line);
        assert_eq!(told.code, Code::MissingInclude, "{line}");
        assert!(told.notes.contains(&asked(path)), "{line}: {told:#?}");
        let silence = "the loader goes on without a word".to_owned();
        assert!(told.notes.contains(&silence), "{line}");
        let given = told.remedy.unwrap_or_default();
        assert!(given.contains(remedy), "{line}: {given}");
    }
}

#[test]
fn an_include_by_http_wants_a_loader_with_http() {
    let paths = Paths::new(Loader::Pxelinux, "bios/pxelinux.0");
    let menu = "UI menu.c32\nINCLUDE http://192.168.150.1/x.cfg\nLABEL a\nLOCALBOOT 0\n";
    let found = findings(menu, &paths);
    assert!(
        found.iter().any(|told| told.code == Code::NoProtocol),
        "{found:#?}"
    );
}

#[test]
fn an_include_under_a_path_prefix_without_slash_is_told() {
    let paths = Paths::with_prefix(Loader::Lpxelinux, "bios");
    let found = findings(
        "UI menu.c32\nINCLUDE other.cfg\nLABEL a\nLOCALBOOT 0\n",
        &paths,
    );
    let told = found
        .iter()
        .find(|told| told.to_string().contains("biosother.cfg"))
        .expect("the path that is asked for");
    let remedy = told.remedy.as_deref().unwrap_or_default();
    assert!(remedy.contains("end it with a slash"), "{told}");
}

/// The menu reads the files of its command line instead of the main one (`parse_configs`).
#[test]
fn what_the_menu_does_not_read_is_told() {
    let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
    let menu = "UI menu.c32 pxelinux.cfg/common.cfg\nINCLUDE other.cfg\n";
    let found = findings(menu, &paths);
    let told = found
        .iter()
        .find(|told| told.code == Code::IgnoredInclude)
        .expect("told");
    assert_eq!(
        told.place.map(|place| (place.line, place.column)),
        Some((2, 9))
    );
    assert!(told.notes[0].contains("pxelinux.cfg/common.cfg"), "{told}");
    let read_too = menu.replace("UI menu.c32 ", "UI menu.c32 ~ ");
    let found = findings(&read_too, &paths);
    assert!(
        !found.iter().any(|told| told.code == Code::IgnoredInclude),
        "{found:#?}"
    );
}

/// What hides the line itself is told by the reader.
#[test]
fn a_line_that_the_loader_does_not_see_is_told() {
    let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
    for (menu, code) in [
        (
            "UI menu.c32\nLABEL a\nTEXT HELP\nx\nINCLUDE other.cfg\n",
            Code::UnclosedText,
        ),
        (
            "\u{feff}INCLUDE other.cfg\nUI menu.c32\nLABEL a\n",
            Code::ByteOrderMark,
        ),
        (
            "UI menu.c32\nLABEL a\rINCLUDE other.cfg\n",
            Code::CarriageReturn,
        ),
        (
            "UI menu.c32\nINCULDE other.cfg\nLABEL a\n",
            Code::UnknownDirective,
        ),
        (
            "UI menu.c32\nINCLUDE other.cfg\nINCLUDE main\nLABEL a\n",
            Code::IncludeCycle,
        ),
    ] {
        let found = findings(menu, &paths);
        assert!(
            found.iter().any(|told| told.code == code),
            "{menu:?}: {found:#?}"
        );
    }
}
