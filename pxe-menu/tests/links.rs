//! Menus that lead to others, read as one: each named for the rule, with its source.

use pxe_menu::{
    Action, Code, IpxeOptions, Limits, LinkedMenu, Loader, Location, Menu, MenuReader, Paths,
    Screen, Ui, render_ipxe, render_syslinux,
};

fn read_as(paths: Paths, limits: Limits, files: &[(&str, &str)]) -> LinkedMenu {
    let mut reader = MenuReader::new("pxelinux.cfg/default", paths, limits);
    while let Some(need) = reader.poll_need() {
        let Location::Tftp { host: None, path } = &need.location else {
            panic!("{need:?}");
        };
        match files.iter().find(|(known, _)| path == known) {
            Some((_, text)) => reader.provide(need.id, *text),
            None => reader.missing(need.id),
        }
    }
    reader.finish()
}

fn read(files: &[(&str, &str)]) -> LinkedMenu {
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    read_as(paths, Limits::default(), files)
}

fn codes(read: &LinkedMenu) -> Vec<Code> {
    read.resolution
        .diagnostics
        .iter()
        .map(|told| told.code)
        .collect()
}

fn shown(screen: &Screen) -> Vec<String> {
    screen
        .entries
        .iter()
        .map(|entry| entry.shown().to_string())
        .collect()
}

/// The screens that the entries of a screen lead to; `None` for other entries.
fn targets(menu: &Menu, screen: usize) -> Vec<Option<(&'static str, usize)>> {
    menu.screens[screen]
        .entries
        .iter()
        .map(|entry| match entry.action {
            Action::Submenu(id) => Some(("submenu", id.index())),
            Action::Goto(id) => Some(("goto", id.index())),
            Action::Exit(id) => Some(("exit", id.index())),
            _ => None,
        })
        .collect()
}

fn image(menu: &Menu, screen: usize, entry: usize) -> (String, String, Option<String>) {
    match &menu.screens[screen].entries[entry].action {
        Action::Run(command) => (
            command.image.to_string(),
            command.append.to_string(),
            command.initrd.as_ref().map(ToString::to_string),
        ),
        other => panic!("{other:?}"),
    }
}

const MAIN: &str = "DEFAULT menu.c32\nMENU TITLE PXE\nMENU COLOR SEL 37;40\nTIMEOUT 300\n\
    LABEL 1 Menu HTTP\nKERNEL menu.c32\nAPPEND pxelinux.cfg/http\n\
    LABEL 2 Menu NFS\nKERNEL menu.c32\nAPPEND pxelinux.cfg/nfs\n";
const HTTP: &str = "DEFAULT menu.c32\nMENU TITLE HTTP and NFS\nTIMEOUT 600\n\
    LABEL 0 Back to the main menu\nKERNEL menu.c32\nAPPEND pxelinux.cfg/default\n\
    LABEL 1 Ubuntu\nKERNEL http://192.168.150.1:8080/ubuntu/vmlinuz\nINITRD http://192.168.150.1:8080/ubuntu/initrd\n";
const NFS: &str = "DEFAULT menu.c.32\nMENU TITLE NFS only\n\
    LABEL 0 Back to the main menu\nKERNEL menu.c32\nAPPEND pxelinux.cfg/default\n\
    LABEL 1 Ubuntu\nKERNEL os/ubuntu/vmlinuz\nINITRD os/ubuntu/initrd\n";

/// The tutorial's tree: a main menu, and two that lead back to it. Its menu.c.32 does no harm
/// there, since the menu that an entry starts heeds no DEFAULT.
#[test]
fn the_tutorials_three_menus_are_one() {
    let read = read(&[
        ("pxelinux.cfg/default", MAIN),
        ("pxelinux.cfg/http", HTTP),
        ("pxelinux.cfg/nfs", NFS),
    ]);
    let menu = &read.resolution.menu;
    assert_eq!(menu.screens.len(), 3);
    assert_eq!(shown(&menu.screens[0]), ["1 Menu HTTP", "2 Menu NFS"]);
    assert_eq!(
        targets(menu, 0),
        [Some(("submenu", 1)), Some(("submenu", 2))]
    );
    assert_eq!(targets(menu, 1), [Some(("goto", 0)), None]);
    assert_eq!(targets(menu, 2), [Some(("goto", 0)), None]);
    let titles: Vec<String> = menu
        .screens
        .iter()
        .map(|screen| screen.title.to_string())
        .collect();
    assert_eq!(titles, ["PXE", "HTTP and NFS", "NFS only"]);
    let timeouts: Vec<Option<u32>> = menu
        .screens
        .iter()
        .map(|screen| screen.timeout_tenths)
        .collect();
    assert_eq!(timeouts, [Some(300), Some(600), None]);
    let linked: Vec<bool> = menu.screens.iter().map(|screen| screen.linked).collect();
    assert_eq!(linked, [false, true, true]);
    // It inherits nothing.
    assert!(menu.screens[1].colours.is_empty());
    assert_eq!(image(menu, 2, 1).0, "os/ubuntu/vmlinuz");
    let files: Vec<String> = read
        .files
        .iter()
        .map(|file| file.name.to_string())
        .collect();
    assert_eq!(
        files,
        [
            "pxelinux.cfg/default",
            "pxelinux.cfg/http",
            "pxelinux.cfg/nfs"
        ]
    );
    let places = &read.resolution.places;
    assert_eq!((places[2][1].file.index(), places[2][1].line), (2, 6));
    assert!(menu.links().is_empty());
    // Labels with spaces in each file; nothing else.
    assert!(
        codes(&read)
            .iter()
            .all(|code| *code == Code::LabelWithSpace)
    );
}

/// `parse_one_config` says nothing of a file that is not there, and `main` in menu/menumain.c that
/// there are no entries.
#[test]
fn a_linked_menu_that_is_not_there_says_so() {
    let read = read(&[("pxelinux.cfg/default", MAIN), ("pxelinux.cfg/http", HTTP)]);
    let menu = &read.resolution.menu;
    assert_eq!(targets(menu, 0)[1], Some(("submenu", 2)));
    assert_eq!(
        shown(&menu.screens[2]),
        ["pxelinux.cfg/nfs is not there", "Back"]
    );
    assert_eq!(targets(menu, 2), [None, Some(("exit", 0))]);
    let told: Vec<_> = read
        .resolution
        .diagnostics
        .iter()
        .filter(|told| told.code == Code::MissingLink)
        .collect();
    assert_eq!(told.len(), 1);
    // At the entry, not in the file that is missing.
    assert_eq!(
        told[0].place.map(|place| (place.file.index(), place.line)),
        Some((0, 8))
    );
}

/// `execute` and `parse_main_config`: the file is named in the old directory, all that it names in
/// the new one, which is added to the old.
#[test]
fn config_changes_the_directory_of_all_names() {
    let files = [
        (
            "bios/pxelinux.cfg/default",
            "UI menu.c32\nLABEL d\nCONFIG debian/menu.cfg\nAPPEND debian/\nLABEL same\nCONFIG other.cfg\n",
        ),
        (
            "bios/debian/menu.cfg",
            "UI menu.c32\nINCLUDE more.cfg\nMENU BACKGROUND splash.png\nF1 help.txt\nONTIMEOUT linux quiet\n\
             LABEL a\nLINUX linux\nAPPEND initrd=initrd.gz,extra.gz vga=788\n\
             LABEL m\nKERNEL mboot.c32\nAPPEND xen.gz dom0_mem=1 --- vmlinuz x --- initrd\n\
             LABEL c\nKERNEL chain.c32\nAPPEND file=x\n\
             LABEL h\nKERNEL http://h/linux\nINITRD i\n\
             LABEL back\nCONFIG ::bios/pxelinux.cfg/default\nAPPEND ::bios/\n",
        ),
        (
            "bios/debian/more.cfg",
            "LABEL z\nKERNEL linux.c32 -v linux\n",
        ),
        ("bios/other.cfg", "UI menu.c32\nLABEL o\nLINUX o\n"),
    ];
    let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
    let read = read_as(paths, Limits::default(), &files);
    let menu = &read.resolution.menu;
    let directory = "::bios/debian/";
    let at = |name: &str| format!("{directory}{name}");
    assert_eq!(
        image(menu, 1, 0),
        (at("linux.c32"), format!("-v {}", at("linux")), None)
    );
    assert_eq!(
        image(menu, 1, 1),
        (
            at("linux"),
            format!("initrd={},{} vga=788", at("initrd.gz"), at("extra.gz")),
            None
        )
    );
    assert_eq!(
        image(menu, 1, 2),
        (
            at("mboot.c32"),
            format!(
                "{} dom0_mem=1 --- {} x --- {}",
                at("xen.gz"),
                at("vmlinuz"),
                at("initrd")
            ),
            None
        )
    );
    assert_eq!(image(menu, 1, 3), (at("chain.c32"), "file=x".into(), None));
    assert_eq!(
        image(menu, 1, 4),
        ("http://h/linux".into(), String::new(), Some(at("i")))
    );
    let screen = &menu.screens[1];
    assert_eq!(screen.background, Some(at("splash.png").into()));
    assert_eq!(screen.f_keys[&1].file, at("help.txt").as_str());
    assert_eq!(
        screen.on_timeout,
        Some(format!("{} quiet", at("linux")).into())
    );
    assert_eq!(targets(menu, 1)[5], Some(("goto", 0)));
    assert_eq!(image(menu, 2, 0).0, "o");
    assert_eq!(codes(&read), [Code::ModuleArguments]);
}

/// The menu's `~` is the loader's configuration (`ConfigName`), and no file at all is the same.
#[test]
fn the_menu_without_files_is_the_present_configuration() {
    let read = read(&[
        (
            "pxelinux.cfg/default",
            "UI vesamenu.c32\nLABEL sub\nKERNEL vesamenu.c32\nAPPEND colours sub.cfg\n",
        ),
        ("colours", "MENU TITLE T\n"),
        (
            "sub.cfg",
            "LABEL a\nKERNEL vesamenu.c32\nLABEL b\nCOM32 vesamenu.c32\nAPPEND ~\n\
             LABEL c\nKERNEL vesamenu.c32\nAPPEND colours ~\nLABEL d\nKERNEL vesamenu.c32\nAPPEND sub.cfg\n",
        ),
    ]);
    let menu = &read.resolution.menu;
    // With or without the file of colours: the entries are the same.
    assert_eq!(menu.screens.len(), 2);
    assert_eq!(
        targets(menu, 1),
        [
            Some(("goto", 0)),
            Some(("goto", 0)),
            Some(("goto", 0)),
            Some(("goto", 1))
        ]
    );
    assert_eq!(codes(&read), []);
}

/// A menu behind a password in one place, and open in another, is open; but no way round a password
/// is made.
#[test]
fn a_password_closes_only_what_has_no_other_way() {
    let read = read(&[
        (
            "pxelinux.cfg/default",
            "UI menu.c32\nLABEL p\nMENU PASSWD x\nKERNEL menu.c32\nAPPEND both\n\
             LABEL o\nKERNEL menu.c32\nAPPEND open\n\
             LABEL s\nMENU PASSWD x\nKERNEL menu.c32\nAPPEND secret\n",
        ),
        ("open", "LABEL b\nKERNEL menu.c32\nAPPEND both\n"),
        ("both", "LABEL x\nLINUX x\n"),
        (
            "secret",
            "LABEL y\nLINUX y\nLABEL o\nKERNEL menu.c32\nAPPEND open\n",
        ),
    ]);
    let menu = &read.resolution.menu;
    assert_eq!(
        targets(menu, 0),
        [
            Some(("goto", 2)),
            Some(("submenu", 1)),
            Some(("submenu", 3))
        ]
    );
    assert_eq!(targets(menu, 1), [Some(("submenu", 2))]);
    assert_eq!(targets(menu, 3), [None, Some(("goto", 1))]);
    assert!(menu.screens[0].entries[2].password.is_some());
    assert!(menu.screens[0].entries[0].password.is_some());
}

/// archiso's syslinux.cfg: a default entry of CONFIG, and nothing that is shown before.
#[test]
fn a_default_that_leads_to_a_configuration_starts_there() {
    let read = read(&[
        (
            "pxelinux.cfg/default",
            "DEFAULT load\nLABEL load\nCONFIG arch/arch.cfg\nAPPEND arch/\n",
        ),
        ("arch/arch.cfg", "UI vesamenu.c32\nLABEL a\nLINUX a\n"),
    ]);
    let menu = &read.resolution.menu;
    assert_eq!(menu.start.map(|start| start.index()), Some(1));
    assert_eq!(menu.ui, Ui::Graphic(Vec::new()));
}

/// Each configuration has labels of its own (`all_entries` is set anew in parse_configs).
#[test]
fn a_label_means_the_entry_of_its_own_configuration() {
    let read = read(&[
        (
            "pxelinux.cfg/default",
            "UI menu.c32\nONTIMEOUT local\nLABEL sub\nCONFIG sub\nLABEL local\nLOCALBOOT 0\n",
        ),
        (
            "sub",
            "UI menu.c32\nONTIMEOUT local x\nLABEL local\nLINUX rescue\n",
        ),
    ]);
    let menu = &read.resolution.menu;
    let first = menu.find_label(b"local").expect("a label");
    assert!(core::ptr::eq(first, &menu.screens[0].entries[1]));
    let word = menu.screens[1].on_timeout.clone().expect("ONTIMEOUT");
    let second = menu.find_label(word.first_word()).expect("a label");
    assert!(core::ptr::eq(second, &menu.screens[1].entries[0]));
    assert_eq!(second.shown(), "local");
    assert_eq!(codes(&read), []);
}

#[test]
fn settings_of_a_whole_linked_configuration_are_told() {
    let read = read(&[
        (
            "pxelinux.cfg/default",
            "UI menu.c32\nLABEL a\nCONFIG a\nLABEL b\nCONFIG b\n",
        ),
        (
            "a",
            "UI menu.c32\nNOESCAPE 1\nTOTALTIMEOUT 9\nMENU HIDDEN\nSERIAL 0\nLABEL x\n",
        ),
        ("b", "PROMPT 1\nDEFAULT x\nLABEL x\n"),
    ]);
    let told: Vec<String> = read
        .resolution
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "note[linked-settings]: `a` has settings for all of its menu, which are lost in one menu: \
             TOTALTIMEOUT, MENU HIDDEN, NOESCAPE, SERIAL",
            "note[linked-prompt]: `b` shows no menu, but a prompt: its labels are entries of a menu here",
        ]
    );
    // The stricter one counts.
    assert!(read.resolution.menu.core.no_escape);
}

/// A directory that grows with each CONFIG never comes back to the same menu.
#[test]
fn a_directory_that_grows_ends_at_a_bound() {
    let mut reader = MenuReader::new(
        "m",
        Paths::new(Loader::Pxelinux, "pxelinux.0"),
        Limits::default(),
    );
    let mut asked = 0;
    while let Some(need) = reader.poll_need() {
        asked += 1;
        reader.provide(need.id, "UI menu.c32\nLABEL on\nCONFIG m\nAPPEND x/\n");
    }
    // The first link names the first file, in another directory.
    assert_eq!(asked, Limits::default().links_max);
    let read = reader.finish();
    assert_eq!(codes(&read), [Code::Limited]);
    // One that goes up and down does come back.
    let mut reader = MenuReader::new(
        "a/m",
        Paths::new(Loader::Pxelinux, "pxelinux.0"),
        Limits::default(),
    );
    while let Some(need) = reader.poll_need() {
        reader.provide(need.id, "UI menu.c32\nLABEL on\nCONFIG a/m\nAPPEND x/../\n");
    }
    let read = reader.finish();
    assert_eq!(codes(&read), []);
    assert_eq!(targets(&read.resolution.menu, 0), [Some(("goto", 0))]);
}

#[test]
fn limits_hold_over_all_configurations() {
    // Each menu leads to ten others.
    let text = |name: &str| {
        let lines = (0..10).map(|at| format!("LABEL {at}\nKERNEL menu.c32\nAPPEND {name}{at}\n"));
        format!("DEFAULT menu.c32\n{}", lines.collect::<String>())
    };
    let run = |limits: Limits| {
        let paths = Paths::new(Loader::Pxelinux, "pxelinux.0");
        let mut reader = MenuReader::new("m", paths, limits);
        let mut asked = 0;
        while let Some(need) = reader.poll_need() {
            asked += 1;
            reader.provide(need.id, text(&need.name.to_string()));
        }
        (asked, reader.finish())
    };
    let mut limits = Limits::default();
    limits.files_max = 20;
    let (asked, read) = run(limits);
    assert_eq!(asked, 20);
    assert!(codes(&read).contains(&Code::Limited));
    let mut limits = Limits::default();
    limits.configurations_max = 7;
    assert_eq!(run(limits).0, 7);
    let mut limits = Limits::default();
    limits.screens_max = 5;
    let (_, read) = run(limits);
    assert!(read.resolution.menu.screens.len() <= 5);
    assert!(codes(&read).contains(&Code::Limited));
    let mut limits = Limits::default();
    limits.bytes_max = 3000;
    let (_, read) = run(limits);
    let bytes = read.files.iter().flat_map(|file| file.bytes.as_ref());
    assert!(bytes.map(Vec::len).sum::<usize>() <= 3000);
    assert!(codes(&read).contains(&Code::Limited));
}

/// What is linked can be said in one file of pxelinux.
#[test]
fn a_linked_menu_comes_back_from_one_file() {
    let read = read(&[
        ("pxelinux.cfg/default", MAIN),
        ("pxelinux.cfg/http", HTTP),
        ("pxelinux.cfg/nfs", NFS),
    ]);
    let menu = read.resolution.menu;
    let once = pxe_menu::fuzzing::reread(&render_syslinux(&menu).text);
    let entries = |menu: &Menu| menu.screens.iter().map(shown).collect::<Vec<_>>();
    assert_eq!(entries(&once), entries(&menu));
    assert_eq!(targets(&once, 0), targets(&menu, 0));
    assert_eq!(targets(&once, 1), targets(&menu, 1));
}

fn read_grub(files: &[(&str, &str)]) -> LinkedMenu {
    let paths = Paths::new(Loader::GrubEfi, "efi/grubx64.efi");
    let mut reader = MenuReader::new("grub/grub.cfg", paths, Limits::default());
    while let Some(need) = reader.poll_need() {
        let Location::Tftp { host: None, path } = &need.location else {
            panic!("{need:?}");
        };
        match files.iter().find(|(known, _)| path == known) {
            Some((_, text)) => reader.provide(need.id, *text),
            None => reader.missing(need.id),
        }
    }
    reader.finish()
}

/// `configfile` opens another menu, and a person comes back by one more.
#[test]
fn configfile_of_grub_is_a_link() {
    let read = read_grub(&[
        (
            "grub/grub.cfg",
            "set timeout=5\nmenuentry 'Debian' { configfile /debian/grub.cfg }\n\
             menuentry 'None' { configfile $prefix/none.cfg }\nmenuentry 'x' { linux /x }\n",
        ),
        (
            "debian/grub.cfg",
            "source $prefix/common.cfg\nmenuentry 'Install' { linux /debian/linux; initrd /debian/initrd.gz }\n\
             menuentry 'Back' { configfile /grub/grub.cfg }\n",
        ),
        ("grub/common.cfg", "menuentry 'Common' { linux /c }\n"),
    ]);
    let menu = &read.resolution.menu;
    assert_eq!(shown(&menu.screens[0]), ["Debian", "None", "x"]);
    assert_eq!(
        targets(menu, 0),
        [Some(("submenu", 1)), Some(("submenu", 2)), None]
    );
    // `$prefix` is what it was.
    assert_eq!(shown(&menu.screens[1]), ["Common", "Install", "Back"]);
    assert_eq!(targets(menu, 1)[2], Some(("goto", 0)));
    assert_eq!(image(menu, 1, 1).0, "::debian/linux");
    assert_eq!(shown(&menu.screens[2])[0], "::grub/none.cfg is not there");
    assert_eq!(codes(&read), [Code::MissingLink]);
    let files: Vec<String> = read.locations.iter().map(ToString::to_string).collect();
    assert_eq!(
        files,
        [
            "grub/grub.cfg (TFTP)",
            "debian/grub.cfg (TFTP)",
            "grub/common.cfg (TFTP)",
            "grub/none.cfg (TFTP)"
        ]
    );
    let places = &read.resolution.places;
    assert_eq!(
        places[1]
            .iter()
            .map(|place| place.file.index())
            .collect::<Vec<_>>(),
        [2, 1, 1]
    );
}

#[test]
fn a_boot_cfg_is_a_menu_of_one_entry() {
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    let mut reader = MenuReader::new("esx/boot.cfg", paths, Limits::default());
    while let Some(need) = reader.poll_need() {
        reader.provide(
            need.id,
            "bootstate=0\ntitle=ESXi\nkernel=b.b00\nmodules=a.gz\n",
        );
    }
    let read = reader.finish();
    assert_eq!(shown(&read.resolution.menu.screens[0]), ["ESXi"]);
    assert_eq!(read.files.len(), 1);
    assert!(read.files[0].bytes.is_some());
}

#[test]
fn a_first_file_that_is_not_there_is_told() {
    let read = read(&[]);
    assert_eq!(codes(&read), [Code::MissingLink]);
    assert_eq!(read.resolution.menu.screens.len(), 1);
}

/// Each link starts menu.c32 anew (`execute` in elflink/ldlinux/execute.c), and with it the
/// timeout.
#[test]
fn a_linked_menu_waits_anew_in_ipxe() {
    let script = |other: &str| {
        let files = [
            (
                "pxelinux.cfg/default",
                "UI menu.c32\nLABEL l\nCONFIG other\nLABEL x\nLINUX x\n",
            ),
            ("other", other),
        ];
        let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
        let menu = read(&files).resolution.menu;
        render_ipxe(&menu, &IpxeOptions::new(paths)).to_string()
    };
    let plain = script("UI menu.c32\nTIMEOUT 70\nLABEL a\nLINUX a\n");
    assert!(plain.contains("set wait 7000\ngoto screen1\n"), "{plain}");
    // The timeout starts nothing else than the menu means.
    let hidden =
        script("UI menu.c32\nTIMEOUT 70\nLABEL p\nMENU PASSWD $4$x\nLINUX p\nLABEL a\nLINUX a\n");
    assert!(
        hidden.contains("so it waits\nset wait 0\nchoose"),
        "{hidden}"
    );
    let other =
        script("UI menu.c32\nTIMEOUT 70\nONTIMEOUT b\nLABEL a\nLINUX a\nLABEL b\nLINUX b\n");
    assert!(!other.contains("set wait 7000"), "{other}");
    assert!(other.contains("# ONTIMEOUT of a linked menu"), "{other}");
}

/// Each configuration has a `.top` of its own (`new_menu` in menu/readconfig.c makes the list
/// anew), and its top menu none above it.
#[test]
fn the_top_of_a_linked_menu_is_its_own() {
    let read = read(&[
        (
            "pxelinux.cfg/default",
            "UI menu.c32\nMENU BEGIN sub\nMENU END\nLABEL l\nKERNEL menu.c32\nAPPEND l\n",
        ),
        (
            "l",
            "LABEL no\nMENU EXIT\nMENU BEGIN sub\nLABEL e\nMENU EXIT\nLABEL t\nMENU GOTO .top\nLABEL x\nMENU EXIT sub\n\
             MENU END\nLABEL g\nMENU GOTO sub\n",
        ),
    ]);
    let menu = &read.resolution.menu;
    assert_eq!(
        targets(menu, 0),
        [Some(("submenu", 1)), Some(("submenu", 2))]
    );
    assert_eq!(
        targets(menu, 2),
        [None, Some(("submenu", 3)), Some(("goto", 3))]
    );
    assert_eq!(
        targets(menu, 3),
        [Some(("exit", 2)), Some(("goto", 2)), Some(("exit", 3))]
    );
    assert_eq!(codes(&read), [Code::OutsideLabel]);
    // One file of pxelinux has one list of tags.
    let tags: Vec<String> = menu
        .screens
        .iter()
        .map(|screen| screen.tag.clone().unwrap_or_default().to_string())
        .collect();
    assert_eq!(tags, [".top", "sub", "l", "sub~2"]);
    let once = pxe_menu::fuzzing::reread(&render_syslinux(menu).text);
    assert_eq!(targets(&once, 3), targets(menu, 3));
}
