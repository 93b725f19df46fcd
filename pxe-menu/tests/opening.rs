//! What a rendered menu does by itself: what it shows first, what a timeout starts, what follows an error; and
//! menus that lead nowhere.

use pxe_menu::fuzzing::{check_grub, check_ipxe, read_links, reread};
use pxe_menu::{
    Code, GrubOptions, IpxeOptions, Limits, Loader, Menu, Paths, Rendered, render_grub, render_ipxe,
};

fn menu(lines: &str) -> Menu {
    reread(&format!("UI menu.c32\n{lines}").into())
}

fn ipxe_of(menu: &Menu) -> Rendered {
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    let options = IpxeOptions::new(paths).with_base("http://192.0.2.1/");
    let rendered = render_ipxe(menu, &options);
    check_ipxe(&rendered.text);
    rendered
}

fn ipxe(lines: &str) -> Rendered {
    ipxe_of(&menu(lines))
}

fn grub_of(menu: &Menu) -> Rendered {
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    let rendered = render_grub(menu, &GrubOptions::new(paths, "(tftp,192.0.2.1)"));
    check_grub(&rendered.text);
    rendered
}

fn grub(lines: &str) -> Rendered {
    grub_of(&menu(lines))
}

#[track_caller]
fn has(rendered: &Rendered, parts: &[&str]) {
    let text = rendered.to_string();
    for part in parts {
        assert!(text.contains(part), "{part}\n--\n{text}");
    }
}

#[track_caller]
fn tells(rendered: &Rendered, what: &str) {
    let is_told = |told: &&str| told.contains(what);
    let told: Vec<&str> = rendered
        .diagnostics
        .iter()
        .filter(|told| told.code == Code::NotExpressible)
        .map(|told| told.message.as_str())
        .collect();
    assert!(told.iter().any(is_told), "{what}: {told:?}");
}

const TWO: &str = "LABEL a\nLINUX a\nLABEL b\nMENU DEFAULT\nLINUX b\n";

#[test]
fn the_default_entry_starts_when_the_time_is_over() {
    let lines = format!("TIMEOUT 51\n{TWO}");
    has(
        &ipxe(&lines),
        &[
            "set wait 5100\ngoto screen0\n",
            "choose --timeout ${wait} --default e0_1 target",
        ],
    );
    has(&grub(&lines), &["set default='e0_1'\nset timeout=6\n"]);
    has(&ipxe(TWO), &["set wait 0\n", "--default e0_1 "]);
    has(&grub(TWO), &["set default='e0_1'\nset timeout=-1\n"]);
}

/// The first entry that is left would start instead.
#[test]
fn a_default_entry_that_is_left_out_takes_the_timeout_with_it() {
    for entry in ["COM32 hdt.c32", "LINUX ftp://h/x", "KERNEL x.bin"] {
        let lines = format!(
            "TIMEOUT 50\nLABEL a\nLINUX a\nLABEL b\nMENU DEFAULT\n{entry}\nLABEL c\nLINUX c\n"
        );
        let script = ipxe(&lines);
        has(&script, &["set wait 0\ngoto screen0\n"]);
        let config = grub(&lines);
        has(&config, &["set timeout=-1\n"]);
        for rendered in [script, config] {
            assert!(!rendered.to_string().contains("--default"), "{rendered}");
            assert!(!rendered.to_string().contains("set default"), "{rendered}");
            tells(&rendered, "so this menu waits");
        }
    }
}

/// GRUB for UEFI does not show it, and would start another entry.
#[test]
fn a_default_entry_for_the_bios_has_its_timeout_there_only() {
    let lines =
        "TIMEOUT 50\nLABEL a\nLINUX a\nLABEL b\nMENU DEFAULT\nKERNEL memdisk\nINITRD x.img\n";
    has(
        &grub(lines),
        &[
            "set default='e0_1'\nset timeout=-1\nif [ \"$grub_platform\" = \"pc\" ]; then\n  set timeout=5\nfi\n",
            "if [ \"$grub_platform\" = \"pc\" ]; then\n  menuentry 'b' ",
        ],
    );
    // iPXE shows it everywhere, and under UEFI says that it did not work.
    has(
        &ipxe(lines),
        &[
            "set wait 5000\n",
            ":e0_1\niseq ${platform} pcbios || goto failed0\n",
        ],
    );
}

#[test]
fn ontimeout_is_what_is_selected() {
    let lines = format!("TIMEOUT 50\nONTIMEOUT a\n{TWO}");
    for rendered in [ipxe(&lines), grub(&lines)] {
        tells(&rendered, "ONTIMEOUT is not the default entry");
    }
    has(&ipxe(&lines), &["--default e0_0 "]);
    has(&grub(&lines), &["set default='e0_0'\n"]);
}

#[test]
fn ontimeout_starts_an_entry_of_a_submenu() {
    let lines = format!(
        "TIMEOUT 50\nONTIMEOUT d\n{TWO}MENU BEGIN\nLABEL c\nLINUX c\nLABEL d\nLINUX d\nMENU END\n"
    );
    has(&grub(&lines), &["set default='e0_2>e1_1'\nset timeout=5\n"]);
    has(
        &ipxe(&lines),
        &["item e1_1 d\nchoose --timeout ${wait} --default e1_1 target"],
    );
}

#[test]
fn ontimeout_starts_a_hidden_entry_or_a_command() {
    let hidden = "LABEL h\nMENU HIDE\nLINUX h\nAPPEND x\n";
    for (command, arguments) in [("h more", " x more"), ("h", " x"), ("os/vmlinuz y", " y")] {
        let lines = format!("TIMEOUT 50\nONTIMEOUT {command}\n{TWO}{hidden}");
        let script = ipxe(&lines);
        has(
            &script,
            &[&format!("item timeout {command}\n"), "--default timeout "],
        );
        has(
            &script,
            &[
                "\n:timeout\nimgfree\nkernel http://192.0.2.1/",
                &format!("{arguments} || goto failed0"),
            ],
        );
        let config = grub(&lines);
        has(
            &config,
            &[
                "set default='timeout'\nset timeout=5\n",
                &format!("{arguments}\n"),
            ],
        );
        has(
            &config,
            &[&format!(
                "menuentry '{command}' --id timeout --unrestricted {{"
            )],
        );
    }
    for nothing in ["nosuch", "hdt.c32"] {
        let lines = format!("TIMEOUT 50\nONTIMEOUT {nothing}\n{TWO}");
        for rendered in [ipxe(&lines), grub(&lines)] {
            tells(&rendered, "so this menu waits");
        }
    }
}

/// A cursor that is not on the default entry has stopped the timeout (`run_menu` in menumain.c).
#[test]
fn a_timeout_that_menu_c32_stops_is_none() {
    let lines = "TIMEOUT 50\nONTIMEOUT b\nLABEL a\nMENU DISABLE\nLINUX a\nLABEL b\nLINUX b\n";
    has(&ipxe(lines), &["set wait 0\n"]);
    has(&grub(lines), &["set timeout=-1\n"]);
}

const SUBMENU: &str = "LABEL a\nLINUX a\nMENU BEGIN sub\nLABEL b\nLINUX b\nLABEL c\nMENU DEFAULT\nLINUX c\nMENU END\n";

/// Enter has stopped it.
#[test]
fn a_submenu_has_no_timeout_of_its_own() {
    let lines = format!("TIMEOUT 50\n{SUBMENU}");
    let config = grub(&lines).to_string();
    assert_eq!(config.matches("set timeout").count(), 1, "{config}");
    has(&grub(&lines), &["  set default='e1_1'\n"]);
    let script = ipxe(&lines).to_string();
    assert!(script.contains("target || set target screen0\nset wait 0\ngoto ${target}\n"));
    let other = SUBMENU.replace("LABEL b", "TIMEOUT 20\nLABEL b");
    tells(&grub(&other), "TIMEOUT or ONTIMEOUT of a submenu");
}

#[test]
fn the_menu_shown_first_may_be_a_submenu() {
    let lines = SUBMENU.replace("LABEL b", "MENU START\nTIMEOUT 30\nLABEL b");
    has(&ipxe(&lines), &["set wait 3000\ngoto screen1\n"]);
    has(
        &grub(&lines),
        &[
            "set default='e0_1'\nset timeout=0\n",
            "  set default='e1_1'\n  set timeout=3\n",
        ],
    );
}

#[test]
fn a_hidden_menu_counts_down() {
    let lines = format!("MENU HIDDEN\nTIMEOUT 50\n{TWO}");
    has(
        &ipxe(&lines),
        &[
            "set target e0_1\nprompt --timeout 5000 Press a key for the menu. && goto screen0 || goto e0_1\n",
        ],
    );
    has(
        &grub(&lines),
        &["set timeout_style=countdown\nset timeout=5\n"],
    );
    let lines = format!("MENU SHIFTKEY\n{TWO}");
    has(&ipxe(&lines), &["prompt --timeout 3000 "]);
    has(
        &grub(&lines),
        &["set timeout_style=hidden\nset timeout=3\n"],
    );
    for rendered in [ipxe(&lines), grub(&lines)] {
        tells(&rendered, "MENU SHIFTKEY");
    }
}

/// A label that is missing ends the script.
#[test]
fn a_hidden_menu_without_an_item_starts_what_ontimeout_names() {
    let lines = "MENU HIDDEN\nTIMEOUT 50\nONTIMEOUT c.bzi\nLABEL a\nCOM32 hdt.c32\n";
    has(
        &ipxe(lines),
        &[
            "|| goto timeout\n",
            "\n:timeout\nimgfree\nkernel http://192.0.2.1/c.bzi ",
        ],
    );
}

#[test]
fn onerror_starts_its_command_once() {
    let lines = format!("ONERROR a\n{TWO}");
    has(
        &ipxe(&lines),
        &[
            ":failed0\necho That did not work.\nimgfree\nkernel http://192.0.2.1/a || goto again0\nboot || goto again0\n:again0\nprompt ",
        ],
    );
    tells(&grub(&lines), "ONERROR");
}

#[test]
fn a_menu_with_nothing_to_start_waits_for_a_person() {
    for lines in [
        "",
        "LABEL a\nMENU DISABLE\nLINUX a\n",
        "MENU SEPARATOR\n",
        "LABEL a\nCOM32 hdt.c32\n",
        "MENU BEGIN\nMENU END\n",
        "TIMEOUT 10\nLABEL a\nMENU QUIT\n",
    ] {
        let script = ipxe(lines);
        let text = script.to_string();
        // A loop without a key in it would turn for ever.
        for screen in text.split("\n:screen").skip(1) {
            assert!(
                screen.contains("choose ") || screen.contains("prompt Press"),
                "{text}"
            );
        }
        let config = grub(lines).to_string();
        assert!(
            config.contains("menuentry ") || config.contains("submenu "),
            "{config}"
        );
    }
}

/// As the converter of linked menus makes them: back and forth, and to itself.
#[test]
fn jumps_in_a_circle_are_functions_of_grub() {
    let lines = "\
LABEL self
MENU GOTO .top
MENU BEGIN one
LABEL two
MENU GOTO two
LABEL up
MENU EXIT
MENU END
MENU BEGIN two
LABEL one
MENU GOTO one
MENU END
";
    let config = grub(lines).to_string();
    for part in [
        "function screen0 {",
        "function screen1 {",
        "function screen2 {",
        "\nscreen0\n",
    ] {
        assert_eq!(config.matches(part).count(), 1, "{part}: {config}");
    }
    has(
        &ipxe(lines),
        &[
            ":e0_0\ngoto screen0\n",
            ":e1_0\ngoto screen2\n",
            ":e2_0\ngoto screen1\n",
        ],
    );
}

#[test]
fn ten_thousand_entries_are_rendered() {
    let mut lines = String::from("TIMEOUT 50\nMENU BEGIN\n");
    for number in 0..10_000 {
        // The same label each time: identifiers are still each their own.
        lines.push_str(&format!("LABEL same\nLINUX vmlinuz{number}\nAPPEND x\n"));
    }
    lines.push_str("MENU END\n");
    let script = ipxe(&lines).to_string();
    assert_eq!(script.matches("\nitem e1_").count(), 10_000);
    let config = grub(&lines).to_string();
    assert_eq!(config.matches(" --id e1_").count(), 10_000);
}

/// Another configuration begins anew: its timeout runs each time that it is opened.
#[test]
fn a_linked_menu_has_a_timeout_of_its_own() {
    let linked = |other: &str| {
        let files = [
            "UI menu.c32\nTIMEOUT 50\nLABEL a\nLINUX a\nLABEL more\nKERNEL menu.c32\nAPPEND 1\n"
                .to_owned(),
            format!("TIMEOUT 70\n{other}"),
        ];
        let read = read_links(Limits::default(), |path| {
            let index: usize = core::str::from_utf8(path).ok()?.parse().ok()?;
            Some(files.get(index)?.clone().into_bytes())
        });
        read.resolution.menu
    };
    let menu = linked(TWO);
    assert!(menu.screens.iter().any(|screen| screen.linked));
    has(
        &ipxe_of(&menu),
        &[
            "set wait 5000\ngoto screen0\n",
            ":e0_1\nset wait 7000\ngoto screen1\n",
            "--default e1_1 ",
        ],
    );
    has(
        &grub_of(&menu),
        &[
            "\nset timeout=5\n",
            "  set default='e1_1'\n  set timeout=7\n",
        ],
    );
    let menu = linked("LABEL a\nLINUX a\nLABEL b\nMENU DEFAULT\nCOM32 hdt.c32\n");
    has(&ipxe_of(&menu), &["\nset wait 0\nchoose "]);
    for rendered in [ipxe_of(&menu), grub_of(&menu)] {
        tells(&rendered, "of a linked menu");
        assert!(!rendered.to_string().contains("timeout=7"));
    }
}
