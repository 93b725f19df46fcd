//! What a language cannot say of a menu is a comment and a warning, never silence.

use pxe_menu::fuzzing::{check_grub, check_ipxe, reread};
use pxe_menu::{GrubOptions, IpxeOptions, Loader, Paths, Rendered, render_grub, render_ipxe};

fn both(text: &str) -> [(&'static str, Rendered); 2] {
    let menu = reread(&text.into());
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    let options = IpxeOptions::new(paths.clone()).with_base("http://192.0.2.1/");
    let script = render_ipxe(&menu, &options);
    check_ipxe(&script.text);
    let config = render_grub(&menu, &GrubOptions::new(paths, "(tftp,192.0.2.1)"));
    check_grub(&config.text);
    [("iPXE", script), ("GRUB", config)]
}

const TWO: &str = "LABEL a\nLINUX a\nLABEL b\nLINUX b\n";

/// Each directive, and the word that the warning has.
#[test]
fn what_is_lost_is_told() {
    for (line, word) in [
        ("TOTALTIMEOUT 900", "TOTALTIMEOUT"),
        ("MENU SHIFTKEY", "SHIFTKEY"),
        ("MENU HIDDENKEY Tab a", "HIDDENKEY"),
        ("MENU RESOLUTION 800 600", "RESOLUTION"),
        ("MENU BACKGROUND x.png", "BACKGROUND"),
        ("MENU COLOR title 1;36;44 #ffffffff #00000000 std", "COLOR"),
        ("MENU MSGCOLOR 1;36;44 #ffffffff #00000000", "COLOR"),
        ("MENU TABMSG press it", "messages"),
        ("MENU WIDTH 60", "WIDTH"),
        ("MENU ROWS 5", "ROWS"),
        ("MENU SAVE", "SAVE"),
        ("F1 help.txt", "F1"),
        ("SERIAL 0 115200", "SERIAL"),
        ("CONSOLE 0", "CONSOLE"),
        ("FONT x.psf", "FONT"),
        ("KBDMAP de.ktl", "KBDMAP"),
        ("DISPLAY boot.msg", "DISPLAY"),
        ("SAY hello", "SAY"),
        ("PXERETRY 3", "PXERETRY"),
        ("SENDCOOKIES 3", "SENDCOOKIES"),
        (
            "LABEL c\nMENU LABEL c\nLINUX c\nTEXT HELP\nx\nENDTEXT",
            "TEXT HELP",
        ),
        ("LABEL c\nMENU QUIT", "QUIT"),
        ("LABEL c\nMENU HELP x.txt", "HELP"),
        ("LABEL c\nMENU SAVE\nLINUX c", "SAVE"),
        ("LABEL c\nMENU HIDE\nLINUX c", "HIDE"),
        ("LABEL c\nMENU LABEL ^c\nLINUX c", "hotkey"),
        ("LABEL c\nLINUX c\nSYSAPPEND 0x8", "SYSAPPEND 0x8"),
        ("LABEL c\nLOCALBOOT 5", "LOCALBOOT"),
        ("LABEL c\nLINUX ftp://h/c", "ftp://"),
        ("LABEL c\nCOM32 hdt.c32", "module"),
        ("LABEL c\nBSS x.bss", "boot sector"),
        ("LABEL c\nFDIMAGE x.img", "cannot start"),
        ("LABEL c\nCONFIG other", "configuration"),
    ] {
        for (language, rendered) in both(&format!("UI menu.c32\n{TWO}{line}\n")) {
            let told = rendered.diagnostics.iter();
            assert!(
                told.clone().any(|told| told.message.contains(word)),
                "{language}: {line}: {rendered}"
            );
        }
    }
}

/// IPAPPEND of a machine that nobody knows: iPXE has variables for most of it, GRUB none that fit.
#[test]
fn what_grub_does_not_know_of_the_machine_is_told() {
    let [_, (_, config)] = both("UI menu.c32\nLABEL a\nLINUX a\nIPAPPEND 3\n");
    for word in ["SYSAPPEND 0x1", "SYSAPPEND 0x2"] {
        let told = &config.diagnostics;
        assert!(
            told.iter().any(|told| told.message.contains(word)),
            "{word}: {config}"
        );
    }
}

/// `ldlinux_main` (core/../ldlinux.c): without UI and PROMPT the default entry starts at once, and TIMEOUT and
/// ONTIMEOUT are those of the prompt.
#[test]
fn without_a_menu_the_default_entry_starts_at_once() {
    for more in ["", "PROMPT 0\n", "TIMEOUT 900\nONTIMEOUT a\n"] {
        let [(_, script), (_, config)] = both(&format!("DEFAULT b\n{more}{TWO}"));
        let line =
            "\nprompt --timeout 3000 Press a key for the menu. && goto screen0 || goto e0_1\n";
        assert!(script.to_string().contains(line), "{script}");
        let line = "set default='e0_1'\nset timeout_style=countdown\nset timeout=3\n";
        assert!(config.to_string().contains(line), "{config}");
    }
    let [(_, script), (_, config)] = both(&format!("DEFAULT b\nPROMPT 1\nTIMEOUT 50\n{TWO}"));
    assert!(
        script
            .to_string()
            .contains("\nset wait 5000\ngoto screen0\n"),
        "{script}"
    );
    assert!(config.to_string().contains("set timeout=5\n"), "{config}");
    // A default that is a file, and one that is nothing.
    let [(_, script), (_, config)] = both(&format!("DEFAULT boot/c.bzi quiet\n{TWO}"));
    assert!(script.to_string().contains("|| goto timeout\n"), "{script}");
    assert!(
        config.to_string().contains("set default='timeout'\n"),
        "{config}"
    );
    for (_, rendered) in both(&format!("DEFAULT c\n{TWO}")) {
        let told = &rendered.diagnostics;
        assert!(
            told.iter()
                .any(|told| told.message.contains("no such label")),
            "{rendered}"
        );
    }
}

/// SMBIOS has names such as `Dell Inc.`, in which syslinux writes underscores.
#[test]
fn blanks_in_names_of_the_machine_are_told() {
    let [(_, script), _] = both("UI menu.c32\nLABEL a\nLINUX a\nSYSAPPEND 0x32\n");
    let told = script
        .diagnostics
        .iter()
        .filter(|told| told.message.contains("blanks"));
    assert_eq!(told.count(), 2, "{script}");
}

/// A tab ends an argument, too; a kernel of UEFI looks for each `initrd=` that it is given.
#[test]
fn an_initrd_after_a_tab_is_no_argument() {
    let text = "UI menu.c32\nLABEL a\nLINUX a\nAPPEND ro\tinitrd=x.gz quiet\n";
    let [(_, script), (_, config)] = both(text);
    assert!(
        script
            .to_string()
            .contains("kernel http://192.0.2.1/a initrd=initrd0 ro quiet ||"),
        "{script}"
    );
    assert!(
        config
            .to_string()
            .contains("linux (tftp,192.0.2.1)/a ro quiet\n"),
        "{config}"
    );
}
