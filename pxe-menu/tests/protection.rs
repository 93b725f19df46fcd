//! What each language does with what a menu protects: MENU PASSWD, MENU MASTER PASSWD, ALLOWOPTIONS 0, NOESCAPE.

use pxe_menu::fuzzing::{check_grub, check_ipxe, read_links, reread};
use pxe_menu::{
    Client, Code, GrubOptions, IpxeOptions, Limits, Loader, Menu, Paths, Rendered, render_grub,
    render_ipxe, render_json, render_syslinux, render_text,
};

fn menu(lines: &str) -> Menu {
    reread(&format!("UI menu.c32\n{lines}").into())
}

fn ipxe(lines: &str) -> Rendered {
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    let options = IpxeOptions::new(paths).with_base("http://192.0.2.1/");
    let rendered = render_ipxe(&menu(lines), &options);
    check_ipxe(&rendered.text);
    rendered
}

fn grub(lines: &str) -> Rendered {
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    let options = GrubOptions::new(paths, "(http,192.0.2.1)");
    let rendered = render_grub(&menu(lines), &options);
    check_grub(&rendered.text);
    rendered
}

/// What is no comment.
fn said(rendered: &Rendered) -> String {
    let text = rendered.to_string();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

fn count(rendered: &Rendered, code: Code) -> usize {
    let told = rendered.diagnostics.iter();
    told.filter(|told| told.code == code).count()
}

const HASHES: [&str; 4] = [
    "$1$salt$hash",
    "$4$salt$hash",
    "$5$salt$hash",
    "$6$salt$hash",
];

#[test]
fn an_entry_whose_password_is_a_hash_is_left_out() {
    for hash in HASHES {
        let lines = format!("LABEL a\nLINUX a\nLABEL wipe\nMENU PASSWD {hash}\nLINUX wipe\n");
        for rendered in [ipxe(&lines), grub(&lines)] {
            assert!(!said(&rendered).contains("wipe"), "{rendered}");
            assert_eq!(count(&rendered, Code::ProtectionLost), 1);
            assert!(rendered.to_string().contains("# left out: wipe: "));
        }
    }
}

/// An empty password opens nothing (`ask_passwd` in menumain.c): without a master password nobody gets in.
#[test]
fn an_entry_with_an_empty_password_is_left_out() {
    let lines = "LABEL a\nLINUX a\nLABEL wipe\nMENU PASSWD\nLINUX wipe\n";
    for rendered in [ipxe(lines), grub(lines)] {
        assert!(!said(&rendered).contains("wipe"), "{rendered}");
        assert_eq!(count(&rendered, Code::ProtectionLost), 1);
    }
}

/// A password with characters that a script could take for its own is none that can be asked for.
#[test]
fn an_entry_whose_password_no_script_can_hold_is_left_out() {
    for password in [
        "a b",
        "${net0/mac}",
        "a'b",
        "a#b",
        "a;b",
        "d\u{e9}mo",
        "a\\",
    ] {
        let lines = format!("LABEL a\nLINUX a\nLABEL wipe\nMENU PASSWD {password}\nLINUX wipe\n");
        for rendered in [ipxe(&lines), grub(&lines)] {
            assert!(!said(&rendered).contains("wipe"), "{rendered}");
        }
    }
}

#[test]
fn ipxe_asks_for_a_password_in_plain_text_before_it_starts_anything() {
    let rendered = ipxe("LABEL wipe\nMENU PASSWD s3cret\nLINUX wipe\n");
    let script = rendered.to_string();
    let at = |what: &str| {
        script
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {script}"))
    };
    assert!(at("\n:e0_0\n") < at("login || goto screen0"));
    assert!(at("login") < at("iseq -- ${password} s3cret && goto e0_0_open ||"));
    // Whoever types something else is led back before the kernel is named.
    assert!(at("This is not the password.") < at(":e0_0_open"));
    assert!(at(":e0_0_open") < at("kernel http://192.0.2.1/wipe"));
    assert_eq!(script.matches("goto e0_0_open").count(), 1);
    // That the script holds it is told.
    assert!(
        rendered
            .diagnostics
            .iter()
            .any(|told| told.message.contains("plain text"))
    );
}

#[test]
fn grub_asks_for_a_password_in_plain_text_and_is_locked() {
    let rendered = grub("LABEL a\nLINUX a\nLABEL wipe\nMENU PASSWD s3cret\nLINUX wipe\n");
    let config = rendered.to_string();
    assert!(config.contains("password user1 's3cret'"), "{config}");
    assert!(
        config.contains("menuentry 'wipe' --id e0_1 --users 'user1' {"),
        "{config}"
    );
    assert!(
        config.contains("menuentry 'a' --id e0_0 --unrestricted {"),
        "{config}"
    );
    // Without superusers GRUB asks nobody; this one has no password, so nobody is it.
    assert!(
        config.contains("set superusers='nobody'\nexport superusers\n"),
        "{config}"
    );
    assert!(!config.contains("password nobody"));
    assert!(
        rendered
            .diagnostics
            .iter()
            .any(|told| told.message.contains("user1"))
    );
}

#[test]
fn a_master_password_opens_every_protected_entry() {
    let lines = "MENU MASTER PASSWD all\nLABEL wipe\nMENU PASSWD one\nLINUX wipe\nLABEL x\nMENU PASSWD\nLINUX x\n";
    let script = ipxe(lines).to_string();
    for line in [
        "iseq -- ${password} one && goto e0_0_open ||",
        "iseq -- ${password} all && goto e0_0_open ||",
        "iseq -- ${password} all && goto e0_1_open ||",
    ] {
        assert!(script.contains(line), "{script}");
    }
    let config = grub(lines).to_string();
    // It lets its holder edit, too, as in menu.c32.
    assert!(config.contains("set superusers='user2'"), "{config}");
    assert!(config.contains("password user2 'all'"), "{config}");
    assert!(
        config.contains("--id e0_0 --users 'user1,user2'"),
        "{config}"
    );
    assert!(config.contains("--id e0_1 --users 'user2'"), "{config}");
    // But not where nobody may edit at all.
    let config = grub(&format!("ALLOWOPTIONS 0\n{lines}")).to_string();
    assert!(config.contains("set superusers='nobody'"), "{config}");
    assert!(config.contains("--id e0_1 --users 'user2'"), "{config}");
}

#[test]
fn a_master_password_that_is_a_hash_opens_nothing_elsewhere() {
    for hash in HASHES {
        let lines = format!("MENU MASTER PASSWD {hash}\nLABEL wipe\nMENU PASSWD one\nLINUX wipe\n");
        let script = ipxe(&lines);
        assert_eq!(script.to_string().matches("&& goto e0_0_open").count(), 1);
        let config = grub(&lines);
        assert!(config.to_string().contains("set superusers='nobody'"));
        for rendered in [script, config] {
            assert!(!rendered.to_string().contains("salt"), "{rendered}");
            assert!(count(&rendered, Code::NotExpressible) > 0);
        }
    }
}

/// GRUB's entries are open to change unless there is a superuser; iPXE has no command to change one, but
/// Ctrl-B before the script.
#[test]
fn a_menu_that_cannot_be_edited_cannot_be_edited_elsewhere() {
    for line in ["ALLOWOPTIONS 0", "NOESCAPE 1", "MENU MASTER PASSWD $1$a$b"] {
        let lines = format!("{line}\nLABEL a\nLINUX a\n");
        let config = grub(&lines).to_string();
        assert!(
            config.contains("set superusers='nobody'\nexport superusers\n"),
            "{line}"
        );
        assert!(
            !config.lines().any(|line| line.starts_with("password ")),
            "{config}"
        );
        assert!(
            config.contains("menuentry 'a' --id e0_0 --unrestricted {"),
            "{config}"
        );
        let script = ipxe(&lines);
        assert_eq!(count(&script, Code::ProtectionLost), 1, "{script}");
        // Nothing but LOCALBOOT ends the script, and nothing opens the shell.
        let text = said(&script);
        for word in ["exit", "shell", "config", "goto leave"] {
            assert!(!text.contains(word), "{text}");
        }
    }
    let open = "LABEL a\nLINUX a\n";
    assert!(!grub(open).to_string().contains("superusers"));
    assert_eq!(count(&ipxe(open), Code::ProtectionLost), 0);
}

/// Without a status, a failed command ends the script, and iPXE goes on to its shell.
#[test]
fn no_error_ends_an_ipxe_script() {
    let script =
        ipxe("ALLOWOPTIONS 0\nLABEL a\nLINUX a\nINITRD b\nLABEL c\nCOM32 reboot.c32\n").to_string();
    let may_fail = [
        "kernel ", "initrd ", "boot", "chain ", "reboot", "iseq ", "prompt ", "choose ",
    ];
    for line in script.lines() {
        if may_fail.iter().any(|verb| line.starts_with(verb)) {
            assert!(line.contains("||"), "{line}");
        }
    }
}

const GUARDED: &str = "\
LABEL a
LINUX a
LABEL jump
MENU GOTO inner
MENU BEGIN outer
MENU PASSWD {}
LABEL b
LINUX b
MENU BEGIN inner
LABEL c
LINUX c
LABEL up
MENU EXIT outer
MENU END
MENU END
";

/// menu.c32 lets MENU GOTO into a menu behind a password. That is no reason to do so.
#[test]
fn a_jump_into_a_guarded_menu_is_left_out() {
    let hashed = GUARDED.replace("{}", "$4$salt$hash");
    for rendered in [ipxe(&hashed), grub(&hashed)] {
        let text = said(&rendered);
        for word in [
            "192.0.2.1/b",
            "192.0.2.1)/b",
            "/c",
            "jump",
            "inner",
            "outer",
        ] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        assert_eq!(count(&rendered, Code::ProtectionLost), 2);
    }
    let plain = GUARDED.replace("{}", "s3cret");
    for rendered in [ipxe(&plain), grub(&plain)] {
        let text = said(&rendered);
        assert!(
            text.contains("s3cret") && text.contains("1/c") | text.contains(")/c"),
            "{text}"
        );
        assert!(!text.contains("jump"), "{text}");
        // Within, one may jump.
        assert!(text.contains("up"), "{text}");
    }
}

#[test]
fn a_guarded_menu_is_not_shown_first() {
    let lines = "TIMEOUT 10\nLABEL a\nLINUX a\nMENU BEGIN b\nMENU PASSWD x\nMENU START\nLABEL c\nLINUX c\nMENU END\n";
    let script = ipxe(lines);
    assert!(
        script.to_string().contains("set wait 0\ngoto screen0\n"),
        "{script}"
    );
    let config = grub(lines);
    assert!(config.to_string().contains("set timeout=-1\n"), "{config}");
    for rendered in [script, config] {
        assert_eq!(count(&rendered, Code::ProtectionLost), 1);
    }
}

/// menu.c32 starts a default entry without its password when the time is over.
#[test]
fn a_timeout_starts_no_entry_with_a_password() {
    for password in ["s3cret", "$4$salt$hash"] {
        let lines = format!(
            "TIMEOUT 50\nLABEL a\nLINUX a\nLABEL b\nMENU DEFAULT\nMENU PASSWD {password}\nLINUX b\n"
        );
        let script = ipxe(&lines).to_string();
        assert!(script.contains("\nset wait 0\ngoto screen0\n"), "{script}");
        let config = grub(&lines).to_string();
        assert!(config.contains("set timeout=-1\n"), "{config}");
        assert!(!config.contains("set default="), "{config}");
    }
}

/// A label with arguments starts its entry as well as the label alone: as an item, it would be open to all.
#[test]
fn a_timeout_starts_nothing_of_a_guarded_menu() {
    for password in ["s3cret", "$4$salt$hash"] {
        for line in ["c", "c quiet"] {
            for inner in [
                "LABEL c\nLINUX c\n",
                "MENU BEGIN\nLABEL c\nLINUX c\nMENU END\n",
            ] {
                let lines = format!(
                    "TIMEOUT 50\nONTIMEOUT {line}\nONERROR {line}\nLABEL a\nLINUX a\nMENU BEGIN b\n\
                     MENU PASSWD {password}\n{inner}MENU END\n"
                );
                let script = ipxe(&lines).to_string();
                let top = script.split(":screen1").next().expect("the top menu");
                assert!(!top.contains("192.0.2.1/c"), "{line}: {script}");
                assert!(
                    top.contains("\nset wait 0\ngoto screen0\n"),
                    "{line}: {script}"
                );
                let config = grub(&lines).to_string();
                assert!(config.contains("set timeout=-1\n"), "{line}: {config}");
                assert!(!config.contains("--id timeout"), "{line}: {config}");
            }
        }
    }
}

/// Nothing can be started from them; and a hash or a password stays in the menu's own language.
#[test]
fn text_and_json_show_protected_entries_and_no_password() {
    let menu = menu(
        "MENU MASTER PASSWD m4ster\nLABEL wipe\nMENU LABEL Wipe\nMENU PASSWD s3cret\nLINUX wipe\n",
    );
    let json = render_json(&menu, Loader::Lpxelinux, &Client::new());
    let text = render_text(&menu);
    for told in [&json, &text] {
        assert!(told.contains("Wipe"));
        assert!(!told.contains("s3cret") && !told.contains("m4ster"));
    }
    assert!(json.contains("\"protected\":true") && json.contains("\"master_protected\":true"));
    assert!(
        render_syslinux(&menu)
            .to_string()
            .contains("MENU PASSWD s3cret")
    );
}

fn both(lines: &str) -> [Rendered; 2] {
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    both_of(&reread(&lines.into()), &paths)
}

fn both_of(menu: &Menu, paths: &Paths) -> [Rendered; 2] {
    let options = IpxeOptions::new(paths.clone()).with_base("http://192.0.2.1/");
    let script = render_ipxe(menu, &options);
    check_ipxe(&script.text);
    let config = render_grub(menu, &GrubOptions::new(paths.clone(), "(http,192.0.2.1)"));
    check_grub(&config.text);
    [script, config]
}

const CLOSED: &str = "NOESCAPE 1\nLABEL a\nLINUX vmlinuz\nLABEL secret\nLINUX vmlinuz rescue\n";

/// `enter_cmdline` in ldlinux.c starts the default again instead of the prompt, even with PROMPT 1.
#[test]
fn an_entry_that_noescape_keeps_from_everybody_is_left_out() {
    for start in [
        "DEFAULT a\nPROMPT 0\n",
        "DEFAULT a\nPROMPT 1\nTIMEOUT 50\nONTIMEOUT secret\n",
        "UI a\nDEFAULT secret\n",
        "DEFAULT a\nIMPLICIT 0\nALLOWOPTIONS 0\n",
        "DEFAULT a\nMENU SHIFTKEY\nMENU HIDDEN\n",
    ] {
        let [script, config] = both(&format!("{start}{CLOSED}"));
        assert!(script.to_string().contains("|| goto e0_0\n"), "{script}");
        assert!(
            config.to_string().contains("set default='e0_0'\n"),
            "{config}"
        );
        assert!(config.to_string().contains("set timeout=3\n"), "{config}");
        for (rendered, own) in [(script, 1), (config, 0)] {
            let text = said(&rendered);
            assert!(
                !text.contains("secret") && !text.contains("rescue"),
                "{rendered}"
            );
            assert!(text.contains("1/vmlinuz") || text.contains(")/vmlinuz"));
            assert_eq!(
                count(&rendered, Code::ProtectionLost),
                1 + own,
                "{rendered}"
            );
            assert!(rendered.to_string().contains("# left out: secret: "));
        }
    }
    // With the prompt or a menu one may start it.
    for lines in [
        CLOSED.replace("NOESCAPE 1", "DEFAULT a"),
        format!("UI menu.c32\n{CLOSED}"),
        format!("UI gfxboot.c32 message\n{CLOSED}"),
    ] {
        for rendered in both(&lines) {
            assert!(said(&rendered).contains("rescue"), "{rendered}");
        }
    }
}

/// The same with a default that is a module, a file or a label with arguments, or that is missing.
#[test]
fn a_default_that_is_no_entry_opens_no_other() {
    let module = "DEFAULT disk\nLABEL disk\nCOM32 chain.c32\nAPPEND hd0\n";
    for start in [module, "DEFAULT os/vmlinuz x\n", "DEFAULT a quiet\n", ""] {
        for rendered in both(&format!("{start}{CLOSED}")) {
            let text = said(&rendered);
            assert!(
                !text.contains("secret") && !text.contains("rescue"),
                "{rendered}"
            );
            assert!(rendered.to_string().contains("# left out: secret: "));
            assert!(rendered.to_string().contains("# left out: a: "));
            let starts = ["os/vmlinuz x", "vmlinuz quiet", "quiet", "sanboot", "hd0"];
            let is_started = starts.iter().any(|what| text.contains(what));
            assert_eq!(is_started, !start.is_empty(), "{rendered}");
        }
    }
}

/// The other configuration has a menu, and its NOESCAPE is another's: this one's entries stay closed.
#[test]
fn a_configuration_that_noescape_closes_stays_closed_where_it_is_linked() {
    let more = "LABEL more\nCONFIG 1\n";
    for (first, second) in [
        (
            format!("DEFAULT more\n{CLOSED}{more}"),
            "UI menu.c32\nLABEL c\nLINUX c\n".to_owned(),
        ),
        (
            format!("UI menu.c32\n{more}"),
            format!("DEFAULT a\n{CLOSED}"),
        ),
    ] {
        let files = [first, second];
        let read = read_links(Limits::default(), |path| match path {
            b"1" => Some(files[1].clone().into_bytes()),
            b"2" => None,
            _ => Some(files[0].clone().into_bytes()),
        });
        let menu = read.resolution.menu;
        assert!(menu.ui.is_menu());
        let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
        for rendered in both_of(&menu, &paths)
            .into_iter()
            .chain([render_syslinux(&menu)])
        {
            let text = said(&rendered);
            assert!(
                !text.contains("secret") && !text.contains("rescue"),
                "{rendered}"
            );
            assert!(
                rendered.to_string().contains("# left out: secret: "),
                "{rendered}"
            );
        }
    }
}

/// MENU HIDE: with NOESCAPE or ALLOWOPTIONS 0 no prompt opens to type the label at.
#[test]
fn a_hidden_entry_is_left_out() {
    for line in ["NOESCAPE 1", "ALLOWOPTIONS 0", "IMPLICIT 0"] {
        let lines = format!(
            "UI menu.c32\n{line}\nLABEL a\nLINUX a\nLABEL secret\nMENU HIDE\nLINUX rescue\n"
        );
        for rendered in both(&lines) {
            let text = said(&rendered);
            assert!(
                !text.contains("secret") && !text.contains("rescue"),
                "{rendered}"
            );
            assert!(rendered.to_string().contains("MENU HIDE"));
        }
    }
}

/// A master password lets nobody edit where NOESCAPE is, and NOESCAPE alone makes no word of passwords.
#[test]
fn noescape_alone_closes_the_command_line() {
    let lines = "NOESCAPE 1\nLABEL a\nLINUX a\n";
    assert_eq!(count(&ipxe(lines), Code::ProtectionLost), 1);
    let config = grub(lines);
    assert!(said(&config).contains("set superusers='nobody'\n"));
    assert!(!config.to_string().contains("MENU PASSWD"), "{config}");
    let config = grub(&format!("MENU MASTER PASSWD m4ster\n{lines}"));
    assert!(
        said(&config).contains("set superusers='nobody'\n"),
        "{config}"
    );
    assert!(!said(&config).contains("m4ster"), "{config}");
}
