//! Mistakes that a person found in real menus and the crate did not, each with the line it is told at.

use pxe_menu::fuzzing::{read, reread};
use pxe_menu::{Code, GrubParser, Limits, resolve};

/// What is told of a menu alone: the code and the line; 0 for the whole.
fn told(text: &str) -> Vec<(Code, u32)> {
    let document = read(Limits::default(), |name| {
        (name == b"main").then(|| text.into())
    });
    let told = resolve(&document).diagnostics;
    told.iter()
        .map(|told| (told.code, told.place.map_or(0, |place| place.line)))
        .collect()
}

/// No reader of syslinux knows quotes: `LINUX "vmlinuz"` asks for a file with quotes in its name.
#[test]
fn quotes_are_part_of_a_name() {
    let menu = "DEFAULT a\nLABEL a\nLINUX \"os/vmlinuz\"\nINITRD \"os/initrd\"\nAPPEND url=\"http://h/\"\n";
    assert_eq!(told(menu), [(Code::QuotedName, 3), (Code::QuotedName, 4)]);
}

/// In a file without a UI, as those that a menu includes, labels are what is typed: one word.
#[test]
fn labels_with_spaces_are_told_at_the_prompt_too() {
    let found = told("DEFAULT one\nLABEL one\nLABEL two words\nLABEL trailing \n");
    assert_eq!(found, [(Code::LabelWithSpace, 3)]);
}

/// LABEL forgets the help that stands before it (`ld.helptext = NULL` in readconfig.c).
#[test]
fn help_before_its_label_is_lost() {
    let found = told("UI menu.c32\nTEXT HELP\nlost\nENDTEXT\nLABEL a\nTEXT HELP\nkept\nENDTEXT\n");
    assert_eq!(found, [(Code::OutsideLabel, 2)]);
}

/// syslinux.txt: the global APPEND is for "automatic and manual boots"; since version 5 it is for labels
/// alone (`new_linux_kernel` in com32/elflink/ldlinux/kernel.c).
#[test]
fn a_global_append_is_not_for_an_image_that_default_names() {
    assert_eq!(
        told("DEFAULT os/vmlinuz\nAPPEND initrd=os/initrd\n"),
        [(Code::OutsideLabel, 2)]
    );
    assert_eq!(told("DEFAULT a\nAPPEND quiet\nLABEL a\n LINUX b\n"), []);
    let own = "DEFAULT a\nAPPEND quiet\nLABEL a\n LINUX b\n APPEND own\n";
    assert_eq!(told(own), [(Code::OutsideLabel, 2)]);
    // For the labels of a file that is not there, or of one that includes this.
    assert_eq!(
        told("DEFAULT a.0\nAPPEND quiet\nINCLUDE b\n"),
        [(Code::MissingInclude, 3)]
    );
    assert_eq!(told("APPEND quiet\n"), [(Code::NoDefault, 0)]);
}

#[test]
fn a_file_of_the_menus_command_line_that_is_not_there_is_told_where_it_is_named() {
    assert_eq!(told("UI menu.c32 other\n"), [(Code::MissingInclude, 1)]);
    let by_label = "DEFAULT main\nLABEL main\nCOM32 menu.c32\nAPPEND other\n";
    assert_eq!(told(by_label), [(Code::MissingInclude, 4)]);
}

#[test]
fn goto_to_no_menu_is_told_at_its_line() {
    let menu = "UI menu.c32\nLABEL a\n MENU LABEL Back\n MENU GOTO nowhere\n";
    assert_eq!(told(menu), [(Code::UnknownMenu, 4)]);
}

/// With a UI, DEFAULT selects an entry (`parse_configs` in menu/readconfig.c); a label of another name
/// leaves the first selected.
#[test]
fn default_of_no_label_is_told_beside_a_ui() {
    let menu = "DEFAULT ubunto\nUI menu.c32\nLABEL local\nLABEL ubuntu\n";
    assert_eq!(told(menu), [(Code::UnknownDefault, 1)]);
    assert_eq!(told("UI menu.c32\nDEFAULT b\nLABEL a\nLABEL b\n"), []);
    // What many write, and the menu cannot mean.
    assert_eq!(told("DEFAULT menu.c32\nUI menu.c32\nLABEL a\n"), []);
}

/// What a finding proposes is made of the menu's words, too.
#[test]
fn no_finding_holds_what_a_terminal_obeys() {
    let document = read(Limits::default(), |name| {
        (name == b"main").then(|| b"INCLUDE\xe1\x8b\x1bag\n".to_vec())
    });
    for told in resolve(&document).diagnostics {
        assert!(!told.to_string().contains(char::is_control), "{told}");
    }
}

/// A variable that doubles makes each of a million commands as long as a command may be. That it is too
/// long counts as work, too: this took 23 seconds.
#[test]
fn a_command_that_is_too_long_counts_as_many() {
    let config = "x=aaaaaaaa\nwhile true; do x=$x$x; done\nmenuentry a { linux b; }\n";
    let mut limits = Limits::default();
    limits.lines_max = 50_000;
    let mut parser = GrubParser::new("grub.cfg", limits);
    while let Some(need) = parser.poll_need() {
        parser.provide(need.id, config);
    }
    let found = parser.finish().diagnostics;
    assert!(found.iter().any(|told| told.code == Code::Limited));
}

/// The file of MENU HELP is a word, or the whole line of a KERNEL after it, and its background APPEND's
/// (`MA_HELP` in `record`).
#[test]
fn help_with_blanks_in_its_names_comes_back() {
    for below in [
        " APPEND b c \n",
        " KERNEL f g\n",
        " KERNEL f g\n APPEND b c\n",
    ] {
        let text = format!("UI menu.c32\nLABEL a\n MENU HELP x\n{below}");
        let menu = reread(&text.as_str().into());
        assert_eq!(reread(&pxe_menu::render_syslinux(&menu).text), menu);
    }
}
