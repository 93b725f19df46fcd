//! What the loader makes of what people write: each named for the rule, with its source.

use pxe_menu::fuzzing::{read, reread};
use pxe_menu::{Action, Code, Document, Limits, Menu, Resolution, Text, Ui, resolve};

fn menu(text: &str) -> Menu {
    reread(&text.into())
}

fn document(files: &[(&str, &str)]) -> Document {
    read(Limits::default(), |name| {
        let found = files.iter().find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, text)| text.as_bytes().to_vec())
    })
}

fn codes(document: &Document) -> Vec<Code> {
    resolve(document)
        .diagnostics
        .iter()
        .map(|told| told.code)
        .collect()
}

fn shown(menu: &Menu) -> Vec<String> {
    menu.screens[0]
        .entries
        .iter()
        .map(|entry| entry.shown().to_string())
        .collect()
}

fn append(menu: &Menu, index: usize) -> String {
    match &menu.screens[0].entries[index].action {
        Action::Run(command) => command.append.to_string(),
        other => panic!("{other:?}"),
    }
}

/// `record` in readconfig.c: the global APPEND is what it was when the label ended, not when it began.
#[test]
fn a_global_append_counts_where_a_label_has_none() {
    let menu =
        menu("APPEND global\nUI menu.c32\nLABEL a\nLABEL b\nAPPEND own\nLABEL c\nAPPEND -\n");
    assert_eq!(
        [append(&menu, 0), append(&menu, 1), append(&menu, 2)],
        ["global", "own", ""]
    );
}

/// menu/readconfig.c takes the whole line, ldlinux/readconfig.c its first word.
#[test]
fn a_label_with_spaces_is_one_word_to_the_prompt() {
    assert_eq!(shown(&menu("UI menu.c32\nLABEL 0 back\n")), ["0 back"]);
    assert_eq!(shown(&menu("LABEL 0 back\n")), ["0"]);
}

/// The menu heeds DEFAULT only where there is a UI directive.
#[test]
fn default_selects_an_entry_only_beside_ui() {
    let with_ui = menu("UI menu.c32\nDEFAULT b\nLABEL a\nLABEL b\n");
    assert_eq!(with_ui.screens[0].default, 1);
    let without = menu("DEFAULT menu.c32\nLABEL a\nLABEL b\n");
    assert_eq!(
        (without.ui, without.screens[0].default),
        (Ui::Text(Vec::new()), 0)
    );
}

/// The tutorial: INCLUDE seems to be ignored. The file is looked for in the loader's directory, and if it
/// is not there, the loader goes on without a word.
#[test]
fn include_of_a_missing_file_is_told() {
    let document = document(&[(
        "main",
        "INCLUDE pxelinux.cfg/colours\nUI menu.c32\nLABEL a\n",
    )]);
    assert_eq!(codes(&document), [Code::MissingInclude]);
}

#[test]
fn include_with_a_tag_makes_a_submenu_in_the_menu_only() {
    let files = [
        ("main", "UI menu.c32\nINCLUDE sub Sub menu\nLABEL b\n"),
        ("sub", "LABEL a\n"),
    ];
    let menu = resolve(&document(&files)).menu;
    assert_eq!(shown(&menu), ["Sub menu", "b"]);
    assert_eq!(menu.screens.len(), 2);
    let files = [
        ("main", "INCLUDE sub Sub menu\nLABEL b\n"),
        ("sub", "LABEL a\n"),
    ];
    assert_eq!(shown(&resolve(&document(&files)).menu), ["a", "b"]);
}

#[test]
fn an_include_cycle_is_told_and_ends() {
    let document = document(&[
        ("main", "UI menu.c32\nINCLUDE a\nLABEL x\n"),
        ("a", "INCLUDE b\n"),
        ("b", "INCLUDE a\n"),
    ]);
    assert_eq!(codes(&document), [Code::IncludeCycle]);
    assert_eq!(shown(&resolve(&document).menu), ["x"]);
}

/// Each file keeps the menu it was begun in (`m` in parse_config_file).
#[test]
fn a_submenu_left_open_by_an_include_holds_what_is_included_later() {
    let files = [
        (
            "main",
            "UI menu.c32\nINCLUDE open\nLABEL outside\nINCLUDE inner\nMENU END\nLABEL last\n",
        ),
        ("open", "MENU BEGIN sub\n"),
        ("inner", "LABEL inside\n"),
    ];
    let resolution = resolve(&document(&files));
    // The label that is being read goes to the menu of the file that ends it.
    assert_eq!(shown(&resolution.menu), ["sub", "inside", "last"]);
    assert_eq!(resolution.menu.screens[1].entries.len(), 1);
    assert!(
        resolution
            .diagnostics
            .iter()
            .any(|told| told.code == Code::UnclosedMenu)
    );
}

#[test]
fn files_of_the_menus_command_line_are_read_in_its_place() {
    let files = [
        (
            "main",
            "DEFAULT vesamenu.c32 graphics.conf other.conf\nLABEL main\n",
        ),
        ("graphics.conf", "MENU TITLE Other\n"),
        (
            "other.conf",
            "LABEL a\nLABEL back\nKERNEL vesamenu.c32\nAPPEND graphics.conf ~\n",
        ),
    ];
    let resolution = resolve(&document(&files));
    assert_eq!(shown(&resolution.menu), ["a", "back"]);
    assert_eq!(resolution.menu.screens[0].title, "Other");
    assert_eq!(resolution.menu.links().len(), 1);
}

#[test]
fn windows_line_ends_tabs_and_a_missing_newline_change_nothing() {
    let unix = "UI menu.c32\nLABEL a\n  LINUX x\n  TEXT HELP\nline\n  ENDTEXT\nLABEL b\n LINUX y\n";
    let dos = unix.replace('\n', "\r\n").replace("  ", "\t\t");
    assert_eq!(menu(&dos), menu(unix));
    assert_eq!(menu(unix.trim_end()), menu(unix));
}

#[test]
fn a_byte_order_mark_hides_the_first_line() {
    let document = document(&[("main", "\u{feff}DEFAULT a\nLABEL a\n")]);
    assert_eq!(codes(&document), [Code::ByteOrderMark, Code::NoDefault]);
}

#[test]
fn a_bare_carriage_return_ends_what_the_loader_sees() {
    let document = document(&[("main", "UI menu.c32\rLABEL a\rLABEL b\r")]);
    assert!(codes(&document).contains(&Code::CarriageReturn));
    assert!(resolve(&document).menu.screens[0].entries.is_empty());
}

#[test]
fn a_line_longer_than_the_buffer_is_two() {
    let text = format!(
        "UI menu.c32\nLABEL a\nAPPEND {}LABEL b\n",
        "x".repeat(4095 - 7)
    );
    let document = document(&[("main", &text)]);
    assert!(codes(&document).contains(&Code::LineTooLong));
    assert_eq!(shown(&resolve(&document).menu), ["a", "b"]);
}

#[test]
fn files_that_include_each_other_twice_end_at_a_bound() {
    let mut files: Vec<(String, String)> = Vec::new();
    for index in 0..15 {
        let next = format!("INCLUDE f{0}\nINCLUDE f{0}\nINCLUDE f{0}\n", index + 1);
        files.push((format!("f{index}"), next));
    }
    let mut limits = Limits::default();
    limits.lines_max = 10_000;
    let document = read(limits, |name| {
        if name == b"main" {
            return Some(b"UI menu.c32\nINCLUDE f0\n".to_vec());
        }
        files
            .iter()
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(_, text)| text.clone().into_bytes())
    });
    assert!(codes(&document).contains(&Code::Limited));
}

/// Half of the real menus with equal labels name them all `-` or `>`, on purpose: nobody types them.
#[test]
fn equal_labels_matter_where_a_command_line_names_them() {
    let quiet = document(&[(
        "main",
        "UI menu.c32\nLABEL -\nMENU LABEL a\nLABEL -\nMENU LABEL b\n",
    )]);
    assert_eq!(codes(&quiet), [Code::DuplicateLabel]);
    assert_eq!(Code::DuplicateLabel.severity(), pxe_menu::Severity::Note);
    let text = "UI menu.c32\nDEFAULT x\nDEFAULT a\nONTIMEOUT a b\nLABEL a\nLABEL a\n";
    let named = document(&[("main", text)]);
    let told = resolve(&named).diagnostics;
    let ambiguous = told.iter().filter(|told| told.code == Code::AmbiguousLabel);
    let lines: Vec<_> = ambiguous
        .filter_map(|told| Some(told.place?.line))
        .collect();
    assert_eq!(lines, [3, 4]);
}

fn limited(change: impl FnOnce(&mut Limits), files: &[(&str, &str)]) -> Resolution {
    let mut limits = Limits::default();
    change(&mut limits);
    let document = read(limits, |name| {
        let found = files.iter().find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, text)| text.as_bytes().to_vec())
    });
    resolve(&document)
}

fn told(resolution: &Resolution) -> Vec<Code> {
    let told = resolution.diagnostics.iter();
    told.map(|told| told.code).collect()
}

/// Its entries would stand in the menu above, and what a password protects there would be open.
#[test]
fn a_menu_beyond_the_limit_is_left_out_with_all_its_entries() {
    let menu = "UI menu.c32\nDEFAULT last\nMENU BEGIN a\nMENU END\nMENU BEGIN b\nMENU PASSWD x\nLABEL secret\n\
                MENU BEGIN c\nMENU END\nLABEL too\nMENU END\nMENU INCLUDE sub d\nLABEL last\n";
    let files = [("main", menu), ("sub", "LABEL inside\n")];
    let resolution = limited(|limits| limits.screens_max = 2, &files);
    assert_eq!(shown(&resolution.menu), ["a", "last"]);
    assert_eq!(told(&resolution), [Code::Limited, Code::Limited]);
}

/// A small file that is included often would fill the memory otherwise.
#[test]
fn a_long_line_counts_as_several() {
    let long = format!("LABEL a\nTEXT HELP\n{}ENDTEXT\n", "x".repeat(6399) + "\n");
    let menu = "DEFAULT a\n".to_owned() + &"INCLUDE long\n".repeat(50);
    let files = [("main", menu.as_str()), ("long", long.as_str())];
    let resolution = limited(|limits| limits.lines_max = 1000, &files);
    let help = resolution.menu.entries().flat_map(|entry| &entry.help);
    let bytes: usize = help.map(|help| help.len()).sum();
    assert!((6000..64_000).contains(&bytes), "{bytes}");
    assert!(told(&resolution).contains(&Code::Limited));
}

#[test]
fn entries_are_bounded() {
    let menu = "DEFAULT a\nLABEL a\nLABEL b\nLABEL c\nMENU BEGIN\nMENU END\n";
    let resolution = limited(|limits| limits.entries_max = 2, &[("main", menu)]);
    assert_eq!(shown(&resolution.menu), ["a", "b"]);
    assert_eq!(told(&resolution), [Code::Limited, Code::Limited]);
}

#[test]
fn a_file_that_is_not_read_is_not_said_to_be_missing() {
    let files = [
        ("main", "UI menu.c32\nINCLUDE big\nINCLUDE small\nLABEL a\n"),
        ("big", "MENU TITLE too long for the limit of this test\n"),
        ("small", "\n"),
    ];
    let resolution = limited(|limits| limits.bytes_max = 60, &files);
    assert_eq!(told(&resolution), [Code::Limited]);
    let resolution = limited(|limits| limits.files_max = 2, &files);
    assert_eq!(told(&resolution), [Code::Limited]);
}

/// `printf("%s\n", p+4)` in ldlinux/readconfig.c.
#[test]
fn say_keeps_its_indentation() {
    let say = menu("SAY    Welcome\nSAY\nSAY a\n").core.say;
    assert_eq!(say, ["   Welcome", "", "a"].map(Text::from));
}

/// `strtoul(skipspace(p), NULL, 10)`, where the other masks have base 0.
#[test]
fn sendcookies_is_decimal() {
    assert_eq!(menu("SENDCOOKIES 010\n").core.send_cookies, Some(10));
    assert_eq!(menu("SENDCOOKIES 0x3\n").core.send_cookies, Some(0));
    let all = menu("SENDCOOKIES 4294967295\n");
    assert_eq!(all.core.send_cookies, Some(u32::MAX));
}

/// `is_fkey`: `strtoul` skips spaces, and what follows its number has to be one.
#[test]
fn the_number_of_a_function_key_may_stand_apart() {
    let menu = menu("UI menu.c32\nF 5 five.txt\nF help.txt\nF 13 x\nF ont\n");
    let keys: Vec<u8> = menu.screens[0].f_keys.keys().copied().collect();
    assert_eq!(keys, [5]);
    assert_eq!(menu.screens[0].f_keys[&5].file, "five.txt");
    assert_eq!(menu.core.font, None);
}

/// The global APPEND is not the separator's.
#[test]
fn a_separator_has_no_lines_of_its_own() {
    let document = document(&[("main", "UI menu.c32\nAPPEND x\nMENU SEPARATOR\nLABEL a\n")]);
    let lines = resolve(&document).lines;
    assert!(lines.values().all(|lines| lines.append.is_none()));
}

/// `load_kernel` in ldlinux.c, whether UI or a person wrote the line.
#[test]
fn allowoptions_0_takes_its_files_from_the_menu() {
    let files = [
        ("main", "UI menu.c32 other\nALLOWOPTIONS 0\nLABEL main\n"),
        ("other", "LABEL other\n"),
    ];
    assert_eq!(shown(&resolve(&document(&files)).menu), ["main"]);
    let files = [
        (
            "main",
            "UI m\nALLOWOPTIONS 0\nLABEL m\nCOM32 menu\nAPPEND other\n",
        ),
        ("other", "LABEL other\n"),
    ];
    assert_eq!(shown(&resolve(&document(&files)).menu), ["other"]);
}

/// `load_kernel` looks for `menu.c32` where `menu` is typed, and not where a label has it.
#[test]
fn a_label_names_its_module_with_the_extension() {
    assert_eq!(menu("DEFAULT menu\nLABEL a\n").ui, Ui::Text(Vec::new()));
    assert_eq!(menu("DEFAULT m\nLABEL m\nKERNEL menu\n").ui, Ui::Prompt);
    let com32 = menu("DEFAULT m\nLABEL m\nCOM32 menu\n");
    assert_eq!(com32.ui, Ui::Text(Vec::new()));
}

/// `fgets` cuts it, and `parse_config_file` joins the parts.
#[test]
fn a_long_line_of_help_stays_one() {
    for bytes in [4094, 4095, 4096, 9000] {
        let line = "x".repeat(bytes);
        for end in ["\nENDTEXT\n", ""] {
            let menu = menu(&format!("LABEL a\nTEXT HELP\n{line}{end}"));
            let help = menu.screens[0].entries[0].help.clone();
            assert_eq!(help, Some(Text::from(format!("{line}\n"))), "{bytes}");
        }
    }
}

/// `new_menu` in menu/readconfig.c.
#[test]
fn a_submenu_inherits_what_may_be_edited() {
    let lines =
        "UI menu.c32\nALLOWOPTIONS 0\nMENU MASTER PASSWD m4ster\nMENU BEGIN\nLABEL a\nMENU END\n";
    let below = &menu(lines).screens[1];
    assert!(below.no_edit);
    assert_eq!(below.master_password, Some("m4ster".into()));
}

/// `mparm` in menu/readconfig.c.
#[test]
fn numbers_of_the_layout_have_the_defaults_of_menu_c32() {
    use pxe_menu::Parameter;
    let defaults = [
        (Parameter::Width, 0),
        (Parameter::Margin, 10),
        (Parameter::PasswordMargin, 3),
        (Parameter::Rows, 12),
        (Parameter::TabMsgRow, 18),
        (Parameter::CmdlineRow, 18),
        (Parameter::EndRow, -1),
        (Parameter::PasswordRow, 11),
        (Parameter::TimeoutRow, 20),
        (Parameter::HelpMsgRow, 22),
        (Parameter::HelpMsgEndRow, -1),
        (Parameter::HShift, 0),
        (Parameter::VShift, 0),
        (Parameter::HiddenRow, -2),
    ];
    for (parameter, value) in defaults {
        assert_eq!(parameter.default_value(), value, "{parameter:?}");
    }
}

/// `parse_one_config` in menu/readconfig.c: the loader's own configuration, which is asked for once.
#[test]
fn a_tilde_is_the_configuration_itself() {
    let files = [
        ("main", "UI menu.c32 colours ~\nLABEL a\n"),
        ("colours", "MENU TITLE T\n"),
    ];
    let read = document(&files);
    let names: Vec<Text> = read.files().iter().map(|file| file.name.clone()).collect();
    assert_eq!(names, ["main", "colours"].map(Text::from));
    let resolution = resolve(&read);
    assert_eq!(told(&resolution), []);
    assert_eq!(shown(&resolution.menu), ["a"]);
}

#[test]
fn so_many_bytes_are_read_and_not_one_more() {
    let files = [("main", "LABEL a\nINCLUDE b\n"), ("b", "LABEL b\n")];
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    let whole = limited(|limits| limits.bytes_max = bytes, &files);
    assert_eq!(shown(&whole.menu), ["a", "b"]);
    let short = limited(|limits| limits.bytes_max = bytes - 1, &files);
    assert_eq!(shown(&short.menu), ["a"]);
    assert!(told(&short).contains(&Code::Limited));
}
