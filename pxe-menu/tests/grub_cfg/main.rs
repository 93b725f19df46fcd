//! What GRUB makes of what people write: each named for the rule, with its source.

use std::collections::BTreeSet;

use pxe_menu::{
    Action, Boot, Client, Code, Diagnostic, GrubOptions, GrubParser, IpxeOptions, Limits, Loader,
    Menu, Paths, Resolution, render_grub, render_ipxe, render_syslinux,
};

/// A configuration of these files, the first being the main one.
fn read(files: &[(&str, &str)]) -> Resolution {
    let mut parser = GrubParser::new(files[0].0, Limits::default());
    while let Some(need) = parser.poll_need() {
        let found = files.iter().find(|(name, _)| need.file == *name);
        match found {
            Some((_, text)) => parser.provide(need.id, *text),
            None => parser.missing(need.id),
        }
    }
    parser.finish()
}

fn one(text: &str) -> Resolution {
    read(&[("grub/grub.cfg", text)])
}

fn told(resolution: &Resolution) -> Vec<String> {
    resolution
        .diagnostics
        .iter()
        .map(Diagnostic::to_string)
        .collect()
}

fn codes(resolution: &Resolution) -> Vec<Code> {
    let codes = resolution.diagnostics.iter().map(|told| told.code);
    codes.collect()
}

/// The menu of one file for a parser of one's own.
fn provided(mut parser: GrubParser, text: &str) -> Resolution {
    while let Some(need) = parser.poll_need() {
        if need.file == "grub/grub.cfg" {
            parser.provide(need.id, text);
        }
    }
    parser.finish()
}

/// Each entry as `shown: what it starts`, those of submenus below their own with a dash before them.
fn outline(menu: &Menu) -> Vec<String> {
    let mut lines = Vec::new();
    screen(menu, 0, "", &mut lines);
    lines
}

fn screen(menu: &Menu, index: usize, indent: &str, lines: &mut Vec<String>) {
    for entry in &menu.screens[index].entries {
        let shown = entry.shown();
        match &entry.action {
            Action::Run(command) => {
                let what = match command.boot(Loader::GrubEfi, &Client::new()) {
                    Boot::Linux(linux) => format!(
                        "{} {:?} {}",
                        linux.kernel,
                        linux.initrds,
                        linux.arguments_without_initrd()
                    ),
                    other => format!("{other:?}"),
                };
                lines.push(format!("{indent}{shown}: {what}"));
            }
            Action::Submenu(below) => {
                lines.push(format!("{indent}{shown} >"));
                screen(menu, below.index(), &format!("{indent}- "), lines);
            }
            other => lines.push(format!("{indent}{shown}: {other:?}")),
        }
    }
}

/// Installers of the Debian family: a font and a background that may be there or not, submenus in submenus.
#[test]
fn an_installer_as_debian_writes_it() {
    let resolution = one(include_str!("debian.cfg"));
    assert_eq!(told(&resolution), Vec::<String>::new());
    assert_eq!(
        outline(&resolution.menu),
        [
            "Install: ::images/amd64/linux [\"::images/amd64/initrd.gz\"] vga=788 --- quiet",
            "Other ways ... >",
            "- ... Rescue: ::images/amd64/linux [\"::images/amd64/initrd.gz\"] rescue/enable=true --- quiet",
            "- ... Desktops >",
            "- - ... KDE: ::images/amd64/linux [\"::images/amd64/initrd.gz\"] desktop=kde",
        ]
    );
    let top = &resolution.menu.screens[0];
    assert_eq!(
        (top.timeout_tenths, top.entries[1].hotkey),
        (None, Some(b'O'))
    );
    assert_eq!(resolution.places[0][0].line, 17);
}

/// Installers of the Fedora family: made for a disk of a label, which a netbooted GRUB does not find, so
/// that `$root` stays where it was.
#[test]
fn an_installer_as_fedora_writes_it() {
    let resolution = one(include_str!("fedora.cfg"));
    assert_eq!(
        codes(&resolution),
        [Code::LocalDevice, Code::LocalDevice],
        "{:?}",
        told(&resolution)
    );
    assert_eq!(
        outline(&resolution.menu),
        [
            "Install F 40: ::images/pxeboot/vmlinuz [\"::images/pxeboot/initrd.img\"] \
             inst.stage2=hd:LABEL=F-S-dvd-x86_64-40 quiet",
            "Test this media & install F 40: ::images/pxeboot/vmlinuz \
             [\"::images/pxeboot/initrd.img\"] inst.stage2=hd:LABEL=F-S-dvd-x86_64-40 rd.live.check quiet",
            "Troubleshooting --> >",
            "- Rescue a F system: ::images/pxeboot/vmlinuz [\"::images/pxeboot/initrd.img\"] inst.rescue quiet",
            "- Boot first drive: Local(Firmware)",
        ]
    );
    let top = &resolution.menu.screens[0];
    assert_eq!((top.default, top.timeout_tenths), (1, Some(600)));
}

/// Installers of the Ubuntu family: a variable of the network, an escaped semicolon, two initrds.
#[test]
fn an_installer_as_ubuntu_writes_it() {
    let resolution = one(include_str!("ubuntu.cfg"));
    assert_eq!(
        codes(&resolution),
        [
            Code::UnknownCommand,
            Code::MachineVariable,
            Code::MachineVariable,
            Code::NotExpressible
        ]
    );
    let lines = outline(&resolution.menu);
    assert_eq!(
        lines[0],
        "Try or Install U Server: ::casper/vmlinuz [\"::casper/initrd\", \"::casper/extra.img\"] ip=dhcp \
         url=http://${net_default_server}/u.iso autoinstall \
         ds=nocloud-net;s=http://${net_default_server}/seed/ ---"
    );
    assert_eq!(lines[1], "Boot from next volume: Local(Firmware)");
    assert!(lines[2].starts_with("UEFI Firmware Settings: Disabled"));
    // The other branch is that of the BIOS.
    let known = Client::new().with_server([192, 0, 2, 1].into());
    let parser = GrubParser::new("grub/grub.cfg", Limits::default())
        .with_client(known)
        .with_loader(Loader::GrubPc);
    let menu = provided(parser, include_str!("ubuntu.cfg")).menu;
    let lines = outline(&menu);
    assert!(lines[0].contains("url=http://192.0.2.1/u.iso"), "{lines:?}");
    assert_eq!(lines[1], "Test memory: ::boot/memtest86+.bin [] ");
}

/// Installers of the openSUSE family: variables by processor, a search of disks within an entry.
#[test]
fn an_installer_as_opensuse_writes_it() {
    let resolution = one(include_str!("opensuse.cfg"));
    let all_local = codes(&resolution)
        .iter()
        .all(|code| *code == Code::LocalDevice);
    assert!(all_local, "{:?}", told(&resolution));
    assert_eq!(
        outline(&resolution.menu),
        [
            "Boot from Hard Disk: Local(Firmware)",
            "Install openS Leap: ::boot/x86_64/loader/linux [\"::boot/x86_64/loader/initrd\"] splash=silent",
            "More ... >",
            "- Rescue System: ::boot/x86_64/loader/linux [\"::boot/x86_64/loader/initrd\"] rescue=1",
        ]
    );
    assert_eq!(resolution.menu.default, Some("install".into()));
}

#[test]
fn a_site_with_functions_loops_and_passwords() {
    let resolution = one(include_str!("site.cfg"));
    let menu = &resolution.menu;
    assert_eq!(
        outline(menu),
        [
            "Boot alpine: http://192.0.2.1/alpine/vmlinuz [\"http://192.0.2.1/alpine/initrd\"] \
             root=/dev/nfs \"note=two words\" it\\'s ip=dhcp",
            "Boot debian: http://192.0.2.1/debian/vmlinuz [\"http://192.0.2.1/debian/initrd\"] \
             root=/dev/nfs \"note=two words\" it\\'s ip=dhcp",
            "Tools >",
            "- Shell: Efi(Invocation { file: \"::efi/shell.efi\", arguments: \"-nointerrupt\" })",
            "- Memory test: Efi(Invocation { file: \"::memtest.efi\", arguments: \"\" })",
            "- Xen: Multiboot([Invocation { file: \"::xen.gz\", arguments: \"dom0_mem=1G\" }, \
             Invocation { file: \"::vmlinuz\", arguments: \"console=hvc0\" }, \
             Invocation { file: \"::initrd.img\", arguments: \"\" }])",
            "- Next menu: Config { file: \"::other/grub.cfg\", directory: None }",
            "- Restart: Module(Invocation { file: \"reboot.c32\", arguments: \"\" })",
            "- Off: Module(Invocation { file: \"poweroff.c32\", arguments: \"\" })",
            ": Separator",
        ]
    );
    let (top, tools) = (&menu.screens[0], &menu.screens[1]);
    assert!(menu.hidden_menu && menu.core.no_escape && top.no_edit && tools.no_edit);
    assert_eq!((top.default, tools.default), (2, 1));
    assert_eq!(menu.default, Some("memtest".into()));
    assert_eq!(top.on_error, Some("alpine".into()));
    let protected = |entry: &pxe_menu::Entry| entry.password.is_some();
    let locked: Vec<bool> = tools.entries.iter().map(protected).collect();
    assert!(protected(&top.entries[2]) && !protected(&top.entries[0]));
    assert_eq!(locked, [true, false, false, false, false, false]);
}

/// `grub_menu_execute_entry` (normal/menu.c): with `superusers` set, whoever is not logged in may start
/// what is `--unrestricted`. A password of GRUB opens nothing elsewhere.
#[test]
fn a_login_of_grub_is_left_out_elsewhere() {
    let menu = one(include_str!("site.cfg")).menu;
    let paths = Paths::new(Loader::GrubEfi, "grub/grubx64.efi");
    let script = render_ipxe(&menu, &IpxeOptions::new(paths.clone())).to_string();
    let config = render_grub(&menu, &GrubOptions::new(paths, "(tftp)")).to_string();
    for (name, text) in [("ipxe", &script), ("grub", &config)] {
        assert!(text.contains("alpine/vmlinuz"), "{name}");
        assert!(
            !text.contains("shell.efi") && !text.contains("memtest.efi"),
            "{text}"
        );
    }
    let syslinux = render_syslinux(&menu).to_string();
    assert!(syslinux.contains("MENU PASSWD"), "{syslinux}");
    assert!(!syslinux.contains("secret"), "{syslinux}");
}

/// `chainloader` is for the firmware that GRUB is of.
#[test]
fn programs_for_uefi_are_chained_by_grub_and_ipxe_only() {
    let menu = one("menuentry S { chainloader /s.efi -a b }\n").menu;
    let paths = Paths::new(Loader::GrubEfi, "grub/grubx64.efi");
    let config = render_grub(&menu, &GrubOptions::new(paths.clone(), "(http,192.0.2.1)"));
    assert!(
        config
            .to_string()
            .contains("chainloader (http,192.0.2.1)/s.efi -a b")
    );
    let script = render_ipxe(&menu, &IpxeOptions::new(paths)).to_string();
    assert!(script.contains("iseq ${platform} efi || "), "{script}");
    assert!(script.contains("/s.efi -a b || "), "{script}");
    let syslinux = render_syslinux(&menu);
    assert_eq!(syslinux.diagnostics[0].code, Code::NotExpressible);
    let syslinux = syslinux.to_string();
    assert!(syslinux.contains("# S: a program for UEFI, which no syslinux starts: ::s.efi"));
    assert!(syslinux.contains("MENU DISABLE") && !syslinux.contains("EFI ::"));
}

/// `grub_net_open_real` (net/net.c): the devices of the network; `$root` and `$prefix` name one.
#[test]
fn names_are_absolute_on_their_device() {
    let kernel = |before: &str, name: &str| {
        let text = format!("{before}\nmenuentry a {{ linux {name} }}\n");
        let menu = read(&[("net/grub/grub.cfg", &text)]).menu;
        match &menu.screens[0].entries[0].action {
            Action::Run(command) => command.image.to_string(),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(kernel("", "/a//b"), "::a/b");
    assert_eq!(kernel("", "a"), "::a");
    assert_eq!(kernel("", "$prefix/a"), "::net/grub/a");
    assert_eq!(kernel("", "$config_directory/a"), "::net/grub/a");
    assert_eq!(kernel("set root=http,h:8080", "/a"), "http://h:8080/a");
    assert_eq!(kernel("set root='(tftp,h)'", "/a"), "tftp://h/a");
    assert_eq!(kernel("", "($root)/a"), "::a");
    assert_eq!(kernel("", "(http,$net_default_server)/a"), "::a");
    assert!(kernel("set root=hd0,1", "/a").starts_with("Disabled"));
    assert!(kernel("loopback loop /x.iso", "(loop)/a").starts_with("Disabled"));
}

/// `grub_cmd_source` (commands/configfile.c): what is read in its place, and by which name.
#[test]
fn files_are_read_in_their_place_and_cycles_end() {
    let files = [
        (
            "grub/grub.cfg",
            "set x=1\nsource $prefix/a.cfg\nmenuentry $y { true; linux /k }\n",
        ),
        (
            "::grub/a.cfg",
            ". /b.cfg\nset y=$x$z\nsource /grub/a.cfg\nsource /c.cfg\n",
        ),
        ("::b.cfg", "z=2\n"),
    ];
    let resolution = read(&files);
    assert_eq!(outline(&resolution.menu), ["12: ::k [] "]);
    assert_eq!(
        codes(&resolution),
        [Code::IncludeCycle, Code::MissingInclude]
    );
    assert_eq!(
        resolution.diagnostics[0]
            .place
            .map(|place| (place.file.index(), place.line)),
        Some((1, 3))
    );
}

/// Images whose grub.cfg only says where the real one is.
#[test]
fn a_configfile_before_any_entry_is_the_menu() {
    let files = [
        (
            "grub.cfg",
            "set prefix=(http,h)/boot/grub\nconfigfile $prefix/grub.cfg\n",
        ),
        (
            "http://h/boot/grub/grub.cfg",
            "menuentry a { linux $prefix/k }\n",
        ),
    ];
    assert_eq!(outline(&read(&files).menu), ["a: http://h/boot/grub/k [] "]);
}

/// `grub_script_execute_sourcecode`: a command that cannot be read is dropped, and what follows it is read as if
/// nothing had been open.
#[test]
fn a_syntax_error_drops_its_command_only() {
    let text = "menuentry a {\n linux /a && true\n initrd /i\n}\nmenuentry b { linux /b }\n";
    let resolution = one(text);
    assert_eq!(outline(&resolution.menu), ["b: ::b [] "]);
    let told = told(&resolution);
    assert_eq!(
        told[0],
        "error[syntax-error]: GRUB does not expect `&&` here: it drops all since line 1, and reads on as if \
         nothing had been open (help: write if .. then .. fi: GRUB has no && and ||)"
    );
    assert!(
        told[1].starts_with("error[syntax-error]: `}` where GRUB wants a command"),
        "{told:?}"
    );
}

#[test]
fn each_mistake_has_its_code_and_its_remedy() {
    for (text, expected) in [
        (
            "menuenty a { true }",
            "warning[unknown-command]: `menuenty` is no command of GRUB (help: did you mean menuentry?)",
        ),
        (
            "kernel /k",
            "warning[unknown-command]: `kernel` is no command of GRUB (help: did you mean linux?)",
        ),
        (
            "set timeout = 5",
            "warning[missing-value]: set `timeout`: GRUB wants name=value (help: no blanks around the `=`)",
        ),
        (
            "set a=b c",
            "warning[missing-value]: set takes one word: `c` is ignored (help: put a value with blanks in quotes)",
        ),
        (
            "blscfg",
            "warning[not-followed]: `blscfg`: this command is not followed",
        ),
        (
            "menuentry a {\n}",
            "error[syntax-error]: `}` where GRUB wants a command: it drops all since line 1, and reads on as if nothing had been open (help: a block holds one command at least: write true)",
        ),
        (
            "if [[ a ]]; then true; fi",
            "error[syntax-error]: GRUB does not expect `[[` here: it drops the line (help: write [ and ])",
        ),
        (
            "echo 'it",
            "error[syntax-error]: a quote that is never closed: it drops the line",
        ),
        (
            "menuentry a { initrd /i }",
            "error[cannot-start]: initrd without a kernel before it: GRUB wants linux first",
        ),
        (
            "menuentry a { linux http://h/k }",
            "error[no-protocol]: `http://h/k` is no URL to GRUB, but a path on $root (help: write (http,server)/path)",
        ),
        (
            "set default=9; menuentry a { linux /k }",
            "warning[unknown-default]: there is no entry `9`: the first one is the default",
        ),
        (
            "menuentry a { echo }",
            "note[empty-entry]: `a` starts nothing",
        ),
        (
            "if [ -f /x ]; then source /x; fi",
            "warning[file-test]: GRUB cannot see whether a file is on the network: this test is never true (help: -s, which opens the file, works)",
        ),
    ] {
        let told = told(&one(text));
        assert_eq!(told.first().map(String::as_str), Some(expected), "{text}");
    }
}

/// What only the machine knows names no file that could be asked for.
#[test]
fn a_file_of_a_name_that_the_machine_knows_is_not_asked_for() {
    let text = "\
regexp --set=1:part '(.*)' $net_default_mac
name=grub.cfg-$part
source $prefix/$name
configfile $prefix/$net_default_ip.cfg
";
    let mut parser = GrubParser::new("grub/grub.cfg", Limits::default());
    let main = parser.poll_need().expect("the file itself");
    parser.provide(main.id, text);
    assert_eq!(parser.poll_need(), None);
    assert_eq!(codes(&parser.finish()), [Code::MachineVariable; 2]);
    let client = Client::new().with_mac([0x52, 0x54, 0, 0, 0, 1]);
    let mut parser = GrubParser::new("grub/grub.cfg", Limits::default()).with_client(client);
    let main = parser.poll_need().expect("the file itself");
    parser.provide(main.id, "source $prefix/$net_default_mac.cfg\n");
    let need = parser.poll_need().expect("a file of the machine");
    assert_eq!(need.file, "::grub/52:54:00:00:00:01.cfg");
}

#[test]
fn conditions_of_the_machine_are_read_both_ways() {
    let resolution = one("\
if [ -s /x ]; then menuentry a { linux /a }; set timeout=3; else menuentry b { linux /b }; fi
menuentry c { if cpuid -l; then linux /64; else linux /32; fi; initrd /i }
");
    assert_eq!(
        outline(&resolution.menu),
        ["a: ::a [] ", "b: ::b [] ", "c: ::64 [\"::i\"] "]
    );
    assert_eq!(codes(&resolution), [Code::UndecidedCondition; 2]);
    assert_eq!(resolution.menu.screens[0].timeout_tenths, Some(30));
}

/// A value that doubles each time, functions that call themselves, loops without an end.
#[test]
fn what_grows_without_bound_ends() {
    let doubling: String = (0..60).map(|_| "set a=$a$a\n").collect();
    let resolution = one(&format!(
        "a=xxxxxxxx\n{doubling}menuentry b {{ linux /k $a }}\n"
    ));
    assert!(codes(&resolution).contains(&Code::Limited));
    let words = "a ".repeat(50_000);
    for text in [
        words.as_str(),
        "function f { f; }\nf\n",
        "while true; do menuentry a { linux /k }; done\n",
        "function f { menuentry a { linux /k }; submenu b { f; }; }\nf\n",
        "submenu a { source /grub/grub.cfg }\n",
        "for a in 1 2 3 4 5 6 7 8 9; do for b in $a $a; do while true; do x=1; done; done; done\n",
    ] {
        let mut limits = Limits::default();
        limits.lines_max = 20_000;
        limits.entries_max = 1000;
        let resolution = provided(GrubParser::new("grub/grub.cfg", limits), text);
        let wanted = [Code::Limited, Code::IncludeCycle];
        let is_told = codes(&resolution).iter().any(|code| wanted.contains(code));
        assert!(is_told, "{text}: {:?}", told(&resolution));
        assert!(resolution.menu.entries().count() <= 1000);
    }
}

/// Work and memory that one step stands for are bounded: long titles and command lines, many parameters, copies
/// of what is loaded where a condition is read both ways.
#[test]
fn what_is_large_counts_as_more_steps() {
    let large = format!("set b={}\n", "x".repeat(60_000));
    let rounds = |count| "1 ".repeat(count);
    for text in [
        format!(
            "{large}for i in {}; do menuentry $b {{ linux /k; }}; done\n",
            rounds(100)
        ),
        format!(
            "{large}for i in {}; do menuentry x {{ linux /k $b; }}; done\n",
            rounds(100)
        ),
        format!(
            "setparams {}\nfor i in {}; do setparams $@; done\n",
            rounds(6000),
            rounds(30)
        ),
        format!(
            "{large}menuentry x {{ multiboot /k; for i in 1 2 3 4 5; do module /m $b; done\n\
             for i in {}; do if search; then true; fi; done; }}\n",
            rounds(1000)
        ),
    ] {
        let mut limits = Limits::default();
        limits.lines_max = 20_000;
        let resolution = provided(GrubParser::new("grub/grub.cfg", limits), &text);
        let shown = &text[text.len() - 80..];
        assert!(codes(&resolution).contains(&Code::Limited), "{shown}");
    }
}

/// Whoever writes all the numbers that a label could get does not make each entry count through them: with
/// 20,000 entries that would be 10^8 attempts.
#[test]
fn no_number_of_a_label_is_tried_twice() {
    let count = 10_000;
    let taken =
        (count + 1..2 * count + 1).map(|number| format!("menuentry a-{number} {{ linux /k; }}\n"));
    let text: String = taken
        .chain((0..count).map(|_| "menuentry a { linux /k; }\n".to_owned()))
        .collect();
    let resolution = one(&text);
    let labels: BTreeSet<_> = resolution
        .menu
        .entries()
        .map(|entry| &entry.label)
        .collect();
    assert_eq!(labels.len(), 2 * count);
}

/// The lexer reads a word up to its end before it finds that it has no sense. What is read again from its
/// second line on would be told, and cost, once for each line.
#[test]
fn a_word_that_cannot_be_read_is_told_once() {
    for end in ["\"$ \"", "\"$ "] {
        let text = format!(
            "{}{end}\nmenuentry b {{ linux /k; }}\n",
            "a\\\n".repeat(2000)
        );
        assert_eq!(codes(&one(&text)), [Code::SyntaxError], "{end}");
    }
    let text = "menuentry \"a\n$ b\n\" { linux /k; }\nmenuentry c { linux /k; }\n";
    let resolution = one(text);
    assert_eq!(codes(&resolution), [Code::SyntaxError]);
    assert_eq!(resolution.menu.entries().count(), 1);
}

/// `get_entry_number_helper` (normal/menu.c): an id, a title, a number, and a path of them.
#[test]
fn the_default_is_found_by_id_title_and_number() {
    let text = "menuentry 'A b' { linux /a }\nsubmenu S --id s {\n menuentry T --id '1>t' { linux /t }\n menuentry U { linux /u }\n}\n";
    for (default, label) in [
        ("A b", "a-b"),
        ("0", "a-b"),
        ("s>U", "U"),
        ("1>1", "U"),
        ("S>1>>t", "1>t"),
        ("nothing", "a-b"),
    ] {
        let resolution = one(&format!("set default='{default}'\n{text}"));
        assert_eq!(resolution.menu.default, Some(label.into()), "{default}");
    }
}

#[test]
fn windows_line_ends_and_a_missing_newline_change_nothing() {
    for text in [include_str!("debian.cfg"), include_str!("opensuse.cfg")] {
        let menu = one(text).menu;
        assert_eq!(one(&text.replace('\n', "\r\n")).menu, menu);
        assert_eq!(one(text.trim_end()).menu, menu);
    }
}

#[test]
fn places_are_those_of_the_words() {
    let text = "menuentry --id a 'Title' {\n  linux  /kernel quiet\n  initrd /i\n}\n";
    let resolution = one(text);
    let place = resolution.places[0][0];
    assert_eq!((place.line, place.column, place.bytes), (1, 1, 9));
    let lines = resolution.lines[&place];
    let at = |place: Option<pxe_menu::Place>| place.map(|at| (at.line, at.column, at.bytes));
    assert_eq!(at(lines.menu_label), Some((1, 18, 7)));
    assert_eq!(at(lines.image), Some((2, 10, 7)));
    assert_eq!(at(lines.append), Some((2, 18, 5)));
    assert_eq!(at(lines.initrd), Some((3, 10, 2)));
}

/// What is written for GRUB reads as the same entries.
#[test]
fn what_is_rendered_for_grub_comes_back() {
    let menu = one(include_str!("debian.cfg")).menu;
    let paths = Paths::new(Loader::GrubEfi, "grub/grubx64.efi");
    let config = render_grub(&menu, &GrubOptions::new(paths, "(tftp)"));
    let again = one(&config.to_string());
    assert_eq!(outline(&again.menu), outline(&menu));
    assert_eq!(told(&again), Vec::<String>::new());
}
