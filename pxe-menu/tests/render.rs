//! One menu in every language, and what each does with protected entries.

use pxe_menu::fuzzing::reread;
use pxe_menu::{
    Action, Client, Code, GrubOptions, IpxeOptions, Loader, Menu, Paths, Rendered, render_grub,
    render_ipxe, render_json, render_syslinux, render_text,
};

const MENU: &str = "\
UI menu.c32
TIMEOUT 50
ONTIMEOUT live
MENU TITLE Network boot
MENU ROWS 5
LABEL live
  MENU LABEL ^Ubuntu 22.04
  MENU DEFAULT
  LINUX http://192.168.150.1:8080/casper/vmlinuz
  INITRD os/initrd,os/extra.cpio
  APPEND boot=casper ip=dhcp a;b it's ---
  IPAPPEND 2
MENU SEPARATOR
MENU BEGIN tools
  MENU LABEL ^Tools
  LABEL memtest
    KERNEL memdisk
    INITRD memtest.iso
    APPEND iso
  LABEL hdt
    COM32 hdt.c32
  LABEL back
    MENU LABEL Back
    MENU EXIT
MENU END
LABEL secret
  MENU LABEL Wipe the disk
  MENU PASSWD $4$salt$hash
  LINUX wipe
MENU BEGIN hidden
  MENU PASSWD $1$salt$hash
  LABEL inside
    LINUX inside
MENU END
LABEL jump
  MENU GOTO hidden
LABEL local
  LOCALBOOT -1
";

fn menu() -> Menu {
    reread(&MENU.into())
}

fn paths() -> Paths {
    Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")
}

fn ipxe(menu: &Menu) -> Rendered {
    render_ipxe(
        menu,
        &IpxeOptions::new(paths()).with_base("http://192.168.150.1/"),
    )
}

fn grub(menu: &Menu) -> Rendered {
    let client = Client::new().with_mac([0x52, 0x54, 0, 0x15, 0, 1]);
    render_grub(
        menu,
        &GrubOptions::new(paths(), "(http,192.168.150.1)").with_client(client),
    )
}

/// To write the expected files anew, set UPDATE_EXPECT, and read what changed.
fn expect(name: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/render")
        .join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, found).expect("an expected file");
    }
    let expected = std::fs::read_to_string(&path).expect("an expected file");
    assert_eq!(found, expected);
}

#[test]
fn a_menu_for_ipxe() {
    expect("menu.ipxe", &ipxe(&menu()).to_string());
}

#[test]
fn a_menu_for_grub() {
    expect("grub.cfg", &grub(&menu()).to_string());
}

#[test]
fn a_menu_as_text() {
    expect("menu.txt", &render_text(&menu()));
}

#[test]
fn a_menu_as_json() {
    let json = render_json(&menu(), Loader::Lpxelinux, &Client::new());
    expect("menu.json", &json);
}

#[test]
fn a_menu_for_syslinux_reads_as_itself() {
    assert_eq!(reread(&render_syslinux(&menu()).text), menu());
}

/// An entry is never easier to reach than its writer meant it to be.
#[test]
fn protected_entries_are_left_out_of_languages_that_cannot_ask() {
    for rendered in [ipxe(&menu()), grub(&menu())] {
        let text = rendered.to_string();
        let told: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .collect();
        let told = told.join("\n");
        for word in ["wipe", "Wipe", "inside", "hash"] {
            assert!(!told.contains(word), "{word} in {text}");
        }
        let lost = rendered
            .diagnostics
            .iter()
            .filter(|told| told.code == Code::ProtectionLost);
        // The entry, the submenu, and what jumps into it.
        assert_eq!(lost.count(), 3);
    }
    assert!(!render_json(&menu(), Loader::Lpxelinux, &Client::new()).contains("salt"));
}

/// GRUB's entries are open to change unless there is a superuser.
#[test]
fn a_menu_that_cannot_be_edited_locks_grub() {
    for line in ["ALLOWOPTIONS 0", "NOESCAPE 1", "MENU MASTER PASSWD x"] {
        let menu = reread(&format!("UI menu.c32\n{line}\nLABEL a\nLINUX a\n").into());
        let text = grub(&menu).to_string();
        assert!(text.contains("set superusers="), "{line}");
        assert!(text.contains("--unrestricted"), "{line}");
    }
    assert!(!grub(&menu()).to_string().contains("superusers"));
}

/// What a menu says never becomes a command of the other language.
#[test]
fn text_of_a_menu_is_no_command_elsewhere() {
    let menu = reread(
        &"UI menu.c32\nLABEL a\nMENU LABEL x' } reboot { ' && shell || ${net0/mac} ; # y\nLINUX a\nAPPEND b'; reboot\n"
            .into(),
    );
    let script = ipxe(&menu).to_string();
    assert!(
        script.contains("item e0_0 x' } reboot { ' ${nothing}&& shell ${nothing}|| $ {net0/mac} ${nothing}; ${nothing}# y\n"),
        "{script}"
    );
    let config = grub(&menu).to_string();
    assert!(
        config.contains(r"menuentry 'x'\'' } reboot { '\'' && shell"),
        "{config}"
    );
    assert!(config.contains(r" 'b'\'';' reboot"), "{config}");
}

/// A submenu of a submenu inherits too: what it lacks itself must not be written before it.
#[test]
fn what_only_the_innermost_menu_lacks_comes_after_it() {
    let text = "MENU BEGIN a\nMENU BEGIN b\nLABEL x\nMENU END\nF1 help\nMENU END\nF1 help\n";
    let menu = reread(&text.into());
    assert!(menu.screens[2].f_keys.is_empty() && menu.screens[1].f_keys.len() == 1);
    assert_eq!(reread(&render_syslinux(&menu).text), menu);
}

/// menu.c32 takes the label of the last MENU LABEL, and the hotkey of the last that has one.
#[test]
fn the_hotkey_of_an_earlier_label_comes_back() {
    let text =
        "UI menu.c32\nMENU BEGIN t\nMENU LABEL 3 ^q\nMENU LABEL x\nLABEL a\nLINUX a\nMENU END\n";
    let menu = reread(&text.into());
    assert_eq!(menu.screens[0].entries[0].hotkey, Some(b'Q'));
    assert_eq!(reread(&render_syslinux(&menu).text), menu);
}

/// Of two entries of one label the command line finds the first, hidden or not.
#[test]
fn a_hidden_entry_keeps_its_label_from_a_later_one() {
    let text = "DEFAULT l\nLABEL l\nMENU HIDE\nLINUX hidden\nLABEL l\nLINUX shown\n";
    let menu = reread(&text.into());
    let found = |menu: &Menu| match &menu.find_label(b"l").expect("there").action {
        Action::Run(command) => command.image.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(found(&menu), "hidden");
    assert_eq!(reread(&render_syslinux(&menu).text), menu);
    let text = "DEFAULT l\nLABEL l\nLINUX shown\nLABEL l\nMENU HIDE\nLINUX hidden\n";
    let menu = reread(&text.into());
    assert_eq!(found(&menu), "shown");
    assert!(menu.hidden.is_empty(), "nothing leads to it");
    assert_eq!(reread(&render_syslinux(&menu).text), menu);
}

/// Each is read, written, and read as the same.
#[test]
fn every_directive_of_the_loader_is_written() {
    let bare = "DEFAULT a\nLABEL a\nLINUX a\n";
    for line in [
        "PROMPT 1",
        "IMPLICIT 0",
        "NOESCAPE 1",
        "NOCOMPLETE 1",
        "NOHALT 1",
        "CONSOLE 0",
        "FONT f.psf",
        "KBDMAP de.ktl",
        "DISPLAY boot.msg",
        "SAY Welcome",
        "PATH /bios:/efi",
        "PXERETRY 3",
        "SENDCOOKIES 5",
        "SERIAL 1 115200 0x303",
        "ONERROR a",
        "SYSAPPEND 2",
    ] {
        let menu = reread(&format!("{line}\n{bare}").into());
        assert_ne!(menu.core, reread(&bare.into()).core, "{line}");
        let written = render_syslinux(&menu).text;
        assert_eq!(reread(&written), menu, "{line}: {written}");
    }
}

/// `allowedit` and the master password (`show_fkey`, `draw_menu` in menumain.c).
#[test]
fn text_says_that_tab_edits_where_it_does() {
    for (line, edits) in [
        ("MENU TITLE x", true),
        ("ALLOWOPTIONS 0", false),
        ("MENU MASTER PASSWD x", false),
    ] {
        let menu = reread(&format!("UI menu.c32\n{line}\nLABEL a\nLINUX a\n").into());
        assert_eq!(render_text(&menu).contains("Press [Tab]"), edits, "{line}");
    }
}
