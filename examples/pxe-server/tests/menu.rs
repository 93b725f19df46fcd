//! `pxe-server menu`: what it prints, where, and its exit status.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// What of a boot program tells it from others.
const LPXELINUX: &str = "\0PXELINUX 6.04 lwIP \0";
const PXELINUX: &str = "\0PXELINUX 6.04 PXE \0";
const MODULE_BIOS: &str = "\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x03\0";
const MODULE_EFI: &str = "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";

const MENU: &str = "\
DEFAULT menu.c32
MENU TITLE Lab
TIMEOUT 100
INCLUDE common.cfg
LABEL debian
  MENU LABEL ^Debian
  KERNEL os/linux
  INITRD os/initrd.gz
LABEL more
  KERNEL menu.c32
  APPEND more.cfg
";

/// A directory with a tree in it.
struct Site(TempDir);

impl Site {
    /// Empty.
    fn empty() -> Self {
        Self(tempfile::tempdir().expect("temporary directory"))
    }

    /// A BIOS tree with a menu that has nothing wrong.
    fn new() -> Self {
        let site = Self::empty();
        site.write("tftp/bios/lpxelinux.0", LPXELINUX);
        for module in ["menu.c32", "libutil.c32", "ldlinux.c32"] {
            site.write(&format!("tftp/bios/{module}"), MODULE_BIOS);
        }
        site.write("tftp/os/linux", "kernel");
        site.write("tftp/os/initrd.gz", "initrd");
        site.write("tftp/bios/pxelinux.cfg/default", MENU);
        site.write("tftp/bios/common.cfg", "LABEL local\n  LOCALBOOT 0\n");
        site.write(
            "tftp/bios/more.cfg",
            "LABEL x\n  MENU LABEL Memory test\n  LINUX os/linux\n",
        );
        site.link("../os", "tftp/bios/os");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
        fs::write(path, content).expect("writable");
    }

    fn link(&self, target: &str, name: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
        std::os::unix::fs::symlink(target, path).expect("writable");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pxe-server"));
        command.args(arguments).current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Told {
        let mut menu = vec!["menu"];
        menu.extend(arguments);
        Told::new(&self.command(&menu).output().expect("built"))
    }
}

/// What a command said.
#[derive(Debug)]
struct Told {
    out: String,
    err: String,
    code: Option<i32>,
}

impl Told {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Self {
            out: text(&output.stdout),
            err: text(&output.stderr),
            code: output.status.code(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect("JSON")
    }
}

#[test]
fn a_menu_is_shown_with_all_that_it_leads_to() {
    let site = Site::new();
    let told = site.run(&["show", "tftp/bios/pxelinux.cfg/default"]);
    for line in [
        "Lab",
        "local",
        ">Debian",
        "more",
        "Memory test",
        "10 seconds",
    ] {
        assert!(
            told.out.contains(line.trim_start_matches('>')),
            "{line}: {told:?}"
        );
    }
    let root = site.path("tftp");
    let tree = format!(
        "tree: {} (guessed; --root or --config says another)",
        root.display()
    );
    assert_eq!(
        told.err,
        format!("{tree}\nloader: lpxelinux.0 (bios/lpxelinux.0)\n")
    );
    assert_eq!(told.code, Some(0));
}

/// A menu with placeholders is what the server makes of it.
#[test]
fn a_template_is_shown_as_its_machine_gets_it() {
    let site = Site::new();
    let menu = "LABEL a\n  LINUX os/${arch}/linux\n  APPEND x=${mac}\nLABEL b\n  LINUX os/gone\n";
    site.write("tftp/bios/pxelinux.cfg/default", menu);
    let config = "[tree]\nroot = \"tftp\"\n[tftp]\n[menu]\ntemplates = \"bios/pxelinux.cfg/*\"\n";
    site.write("pxe.toml", config);
    let told = site.run(&["check", "--config", "pxe.toml", "--format", "json"]);
    assert!(told.out.contains("`os/gone` is not there"), "{told:?}");
    assert!(!told.out.contains("${arch}"), "{told:?}");
    let file = "tftp/bios/pxelinux.cfg/default";
    let show = ["show", "--config", "pxe.toml", "--as", "syslinux", file];
    let known = [&show[..], &["--for", "52:54:00:00:00:01,x86-bios"]].concat();
    let told = site.run(&known);
    assert!(told.out.contains("os/i386/linux"), "{told:?}");
    assert!(told.out.contains("x=52:54:00:00:00:01"), "{told:?}");
    assert!(
        told.err.contains("`os/i386/linux` is not there"),
        "{told:?}"
    );
    let told = site.run(&show);
    assert!(told.out.contains("os/${arch}/linux"), "{told:?}");
    let why = "template, not filled in: /bios/pxelinux.cfg/default: line 2: arch";
    assert!(told.err.contains(why), "{told:?}");
}

#[test]
fn a_menu_is_shown_in_each_language() {
    let site = Site::new();
    let show = |language| {
        let told = site.run(&["show", "tftp/bios/pxelinux.cfg/default", "--as", language]);
        assert_eq!(told.code, Some(0), "{told:?}");
        told
    };
    let json = show("json").json();
    assert_eq!(json["screens"][0]["title"], "Lab");
    assert!(show("ipxe").out.starts_with("#!ipxe\n"));
    assert!(show("grub").out.contains("menuentry"));
    assert!(show("syslinux").out.contains("MENU TITLE Lab\n"));
}

#[test]
fn a_machine_gets_the_first_file_that_its_loader_asks_for() {
    let site = Site::new();
    site.write(
        "tftp/bios/pxelinux.cfg/C0A80",
        "UI menu.c32\nMENU TITLE Room 8\nLABEL a\n LOCALBOOT 0\n",
    );
    let machine = "52:54:00:12:34:56,192.168.8.9,x86-bios";
    let told = site.run(&["show", "--root", "tftp", "--for", machine]);
    let asked = "\
asks for bios/pxelinux.cfg/01-52-54-00-12-34-56 (TFTP): no such file or directory
asks for bios/pxelinux.cfg/C0A80809 (TFTP): no such file or directory
asks for bios/pxelinux.cfg/C0A8080 (TFTP): no such file or directory
asks for bios/pxelinux.cfg/C0A808 (TFTP): no such file or directory
asks for bios/pxelinux.cfg/C0A80 (TFTP): that is /bios/pxelinux.cfg/C0A80
";
    assert!(told.err.contains(asked), "{told:?}");
    assert!(told.out.contains("Room 8"), "{told:?}");
    assert_eq!(told.code, Some(0));

    let told = site.run(&["show", "--root", "tftp", "--for", "uefi-arm64"]);
    assert_eq!(told.code, Some(2));
    assert!(
        told.err.contains("no loader for uefi-arm64 was found"),
        "{told:?}"
    );
}

#[test]
fn a_machines_loader_and_options_are_those_of_the_configuration() {
    let site = Site::new();
    site.write("tftp/efi64/syslinux.efi", "MZ");
    site.write(
        "tftp/efi64/menus/lab",
        "UI menu.c32\nMENU TITLE UEFI lab\nLABEL a\n LOCALBOOT 0\n",
    );
    site.write("tftp/efi64/menu.c32", MODULE_EFI);
    site.write(
        "pxe.toml",
        "[tree]\nroot = \"tftp\"\n[tftp]\n[dhcp]\nlisten = \"192.168.8.1\"\nmode = \"proxy\"\n[boot]\n\
         files = { default = \"bios/lpxelinux.0\", uefi-x64 = \"efi64/syslinux.efi\" }\n\
         configfile = \"menus/lab\"\n",
    );
    let told = site.run(&["show", "--config", "pxe.toml", "--for", "uefi-x64"]);
    assert!(
        told.err
            .contains("asks for efi64/menus/lab (TFTP): that is /efi64/menus/lab\n"),
        "{told:?}"
    );
    assert!(
        told.err
            .contains("loader: syslinux.efi (efi64/syslinux.efi)\n"),
        "{told:?}"
    );
    assert!(told.out.contains("UEFI lab"), "{told:?}");
    let told = site.run(&["show", "--config", "pxe.toml", "--for", "x86-bios"]);
    assert!(
        told.err
            .contains("asks for bios/menus/lab (TFTP): no such file or directory\n"),
        "{told:?}"
    );
    assert!(told.out.contains("Lab"), "{told:?}");
}

#[test]
fn a_check_of_a_good_tree_is_one_line() {
    let site = Site::new();
    let told = site.run(&["check", "tftp"]);
    let line = "checked 1 menu for 1 loader: 0 errors, 0 warnings, 0 notes\n";
    assert_eq!((&*told.out, &*told.err, told.code), (line, "", Some(0)));
}

#[test]
fn the_exit_status_says_what_was_found() {
    let site = Site::new();
    site.write(
        "tftp/bios/pxelinux.cfg/default",
        &format!("{MENU}  arppend quiet\n"),
    );
    assert_eq!(site.run(&["check", "tftp"]).code, Some(0), "a warning");
    assert_eq!(
        site.run(&["check", "--strict", "tftp"]).code,
        Some(1),
        "a warning, strictly"
    );
    fs::remove_file(site.path("tftp/os/linux")).expect("there");
    let told = site.run(&["check", "tftp"]);
    assert_eq!(told.code, Some(1), "an error");
    assert!(
        told.out
            .contains("error[missing-file]: `os/linux` is not there"),
        "{told:?}"
    );
    assert!(
        told.out.contains(" --> tftp/bios/pxelinux.cfg/default:"),
        "{told:?}"
    );
    // Neither a missing argument nor a file that cannot be read is a finding.
    for usage in [
        &["check", "nowhere"][..],
        &["check", "--format", "xml"],
        &["check", "tftp/os"],
    ] {
        let told = site.run(usage);
        assert_eq!(
            (told.code, &*told.out),
            (Some(2), ""),
            "{usage:?}: {told:?}"
        );
        assert!(!told.err.is_empty());
    }
    site.link("nowhere", "tftp/bios/pxelinux.cfg/C0A8");
    let told = site.run(&["check", "tftp"]);
    assert_eq!(told.code, Some(2), "a menu that cannot be read");
    assert!(
        told.out
            .contains("error: tftp/bios/pxelinux.cfg/C0A8: no such file or directory"),
        "{told:?}"
    );
}

#[test]
fn one_menu_is_checked_alone() {
    let site = Site::new();
    site.write("tftp/bios/pxelinux.cfg/C0A8", "LABEL a\n LINUX nothing\n");
    let told = site.run(&["check", "tftp/bios/pxelinux.cfg/default"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let told = site.run(&["check", "tftp/bios/pxelinux.cfg/C0A8"]);
    assert_eq!(told.code, Some(1), "{told:?}");
}

#[test]
fn each_loader_of_a_menu_is_checked_and_named_where_they_differ() {
    let site = Site::new();
    site.write("tftp/bios/pxelinux.0", PXELINUX);
    site.write("tftp/efi64/syslinux.efi", "MZ");
    site.write("tftp/efi64/menu.c32", MODULE_EFI);
    fs::remove_dir_all(site.path("tftp/bios/pxelinux.cfg")).expect("there");
    let menu =
        "UI menu.c32\nLABEL a\n LINUX http://192.0.2.1/linux\nLABEL b\n LINUX memdisk\n INITRD x\n";
    site.write("tftp/pxelinux.cfg/default", menu);
    site.link("../pxelinux.cfg", "tftp/bios/pxelinux.cfg");
    site.link("../pxelinux.cfg", "tftp/efi64/pxelinux.cfg");
    let told = site.run(&["check", "--format", "json", "tftp"]);
    let report = told.json();
    let menus = report["menus"].as_array().expect("a list");
    let [menu] = &menus[..] else {
        panic!("all read it alike: {report:#}");
    };
    let loaders = menu["loaders"].as_array().expect("a list").iter();
    let loaders: Vec<&str> = loaders
        .filter_map(|loader| loader["boot_file"].as_str())
        .collect();
    assert_eq!(
        loaders,
        ["bios/lpxelinux.0", "bios/pxelinux.0", "efi64/syslinux.efi"]
    );
    let findings: Vec<&Value> = menus
        .iter()
        .flat_map(|menu| menu["findings"].as_array().expect("a list"))
        .collect();
    let of = |code: &str| -> Vec<&Value> {
        findings
            .iter()
            .filter(|finding| finding["code"] == code)
            .copied()
            .collect()
    };
    let [no_http] = of("no-protocol")[..] else {
        panic!("{report:#}");
    };
    assert_eq!(no_http["file"], "tftp/pxelinux.cfg/default");
    assert_eq!(
        no_http["notes"]
            .as_array()
            .and_then(|notes| notes.last())
            .expect("a note"),
        "only with pxelinux.0 in bios/"
    );
    let [cannot] = of("cannot-start")[..] else {
        panic!("{report:#}");
    };
    assert_eq!(
        cannot["notes"]
            .as_array()
            .and_then(|notes| notes.last())
            .expect("a note"),
        "only with syslinux.efi in efi64/"
    );
    // What all of them miss is told once.
    let missing = of("missing-file");
    let messages: Vec<&str> = missing
        .iter()
        .filter_map(|one| one["message"].as_str())
        .collect();
    assert!(
        messages
            .iter()
            .all(|message| message.contains("`memdisk`") || message.contains("`x`")),
        "{messages:?}"
    );
    assert_eq!(report["errors"], findings.len());
    assert_eq!(report["complete"], true);
    assert_eq!(told.code, Some(1));
}

#[test]
fn a_file_that_nobody_asks_for_is_told_with_the_name_that_was_meant() {
    let site = Site::new();
    site.write("tftp/bios/pxelinux.cfg/52:54:00:AB:CD:EF", MENU);
    site.write("tftp/bios/pxelinux.cfg/notes.txt", "");
    let told = site.run(&["check", "tftp"]);
    let text = "\
warning[never-asked]: no machine asks for 52:54:00:AB:CD:EF, and no menu includes it
 --> tftp/bios/pxelinux.cfg/52:54:00:AB:CD:EF:1:1
";
    assert!(told.out.contains(text), "{told:?}");
    assert!(
        told.out
            .contains("help: did you mean 01-52-54-00-ab-cd-ef?"),
        "{told:?}"
    );
    assert!(
        told.out
            .contains("note[never-asked]: no machine asks for notes.txt"),
        "{told:?}"
    );
    assert!(
        told.out.ends_with("0 errors, 1 warning, 1 note\n"),
        "{told:?}"
    );
}

#[test]
fn github_is_told_by_annotations() {
    let site = Site::new();
    site.write(
        "tftp/bios/pxelinux.cfg/default",
        &format!("{MENU}  arppend quiet\n"),
    );
    let told = site.run(&["check", "--format", "github", "tftp"]);
    let first = told.out.lines().next().expect("a line");
    assert_eq!(
        first,
        "::warning file=tftp/bios/pxelinux.cfg/default,line=12,col=3,title=unknown-directive::\
         `arppend` is no directive: the line is ignored%0Ahelp: did you mean APPEND?"
    );
}

#[test]
fn colours_are_for_terminals() {
    let site = Site::new();
    site.write(
        "tftp/bios/pxelinux.cfg/default",
        &format!("{MENU}  arppend quiet\n"),
    );
    let has_colours = |arguments: &[&str]| site.run(arguments).out.contains('\x1b');
    assert!(!has_colours(&["check", "tftp"]));
    assert!(has_colours(&["check", "--color", "always", "tftp"]));
    assert!(!has_colours(&["check", "--color", "never", "tftp"]));
    let mut command = site.command(&["menu", "check", "--color", "always", "tftp"]);
    let output = command.env("NO_COLOR", "1").output().expect("built");
    assert!(
        output.stdout.contains(&0x1b),
        "what is asked for comes first"
    );
}

#[test]
fn hostile_names_and_menus_do_not_drive_the_terminal() {
    let site = Site::new();
    let hostile = "\x1b]0;owned\x07\u{202e}";
    let menu = format!(
        "UI menu.c32\n{hostile} {hostile}\nINCLUDE {hostile}x\nLABEL {hostile}\n LINUX {hostile}\n"
    );
    site.write(&format!("tftp/bios/pxelinux.cfg/{hostile}"), &menu);
    site.write("tftp/bios/pxelinux.cfg/default", &menu);
    site.write(&format!("tftp/{hostile}/pxelinux.cfg/default"), &menu);
    let name = format!("tftp/{hostile}/pxelinux.cfg/default");
    let is_harmless = |text: &str| !text.contains(['\x1b', '\x07', '\u{202e}']);
    for arguments in [
        &["check", "tftp"][..],
        &["check", "--format", "github", "tftp"],
        &["check", "--format", "json", "tftp"],
        &["show", &name],
        &["show", "--as", "json", &name],
        &["convert", &name, "--to", "ipxe"],
        &["convert", &name, "--to", "grub"],
        &["check", hostile],
        &["show", "--root", hostile, "x"],
    ] {
        let told = site.run(arguments);
        assert!(is_harmless(&told.err), "{arguments:?}: {:?}", told.err);
        let is_for_a_loader = arguments[0] == "convert";
        assert!(
            is_for_a_loader || is_harmless(&told.out),
            "{arguments:?}: {:?}",
            told.out
        );
    }
}

#[test]
fn nothing_outside_of_the_tree_is_read() {
    let site = Site::new();
    site.write("secret.cfg", "LABEL secret\n LOCALBOOT 0\n");
    site.write(
        "tftp/bios/pxelinux.cfg/default",
        "UI menu.c32\nINCLUDE ../../secret.cfg\nINCLUDE ::../../../secret.cfg\nINCLUDE out.cfg\nLABEL a\n LOCALBOOT 0\n",
    );
    site.link("../../secret.cfg", "tftp/bios/out.cfg");
    let told = site.run(&[
        "show",
        "--root",
        "tftp",
        "tftp/bios/pxelinux.cfg/default",
        "--as",
        "syslinux",
    ]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(!told.out.contains("secret"), "{told:?}");
    let told = site.run(&["show", "--root", "tftp", "secret.cfg"]);
    assert_eq!((told.code, &*told.out), (Some(2), ""));
    assert!(told.err.contains("is not in the tree"), "{told:?}");
}

#[test]
fn a_menu_is_converted_into_a_file_that_is_not_overwritten() {
    let site = Site::new();
    let convert = |more: &[&str]| {
        let mut arguments = vec![
            "convert",
            "tftp/bios/pxelinux.cfg/default",
            "--to",
            "ipxe",
            "-o",
            "boot.ipxe",
        ];
        arguments.extend(more);
        site.run(&arguments)
    };
    let told = convert(&["--base", "http://192.168.150.1"]);
    assert_eq!((told.code, &*told.out), (Some(0), ""), "{told:?}");
    let script = fs::read_to_string(site.path("boot.ipxe")).expect("written");
    assert!(
        script.contains("http://192.168.150.1/bios/os/linux"),
        "{script}"
    );
    let told = convert(&[]);
    assert_eq!(told.code, Some(2));
    assert!(
        told.err
            .contains("boot.ipxe is there already; --force replaces it"),
        "{told:?}"
    );
    assert_eq!(
        fs::read_to_string(site.path("boot.ipxe")).expect("there"),
        script
    );
    assert_eq!(convert(&["--force"]).code, Some(0));
    let folder = site.run(&[
        "convert",
        "tftp/bios/pxelinux.cfg/default",
        "--to",
        "ipxe",
        "-o",
        "tftp",
        "--force",
    ]);
    assert!(
        folder.err.contains("tftp is there and no file"),
        "{folder:?}"
    );
    assert_eq!(folder.code, Some(2));
    assert_ne!(
        fs::read_to_string(site.path("boot.ipxe")).expect("there"),
        script
    );
    let told = site.run(&["convert", "nowhere", "--to", "grub"]);
    assert_eq!((told.code, &*told.out), (Some(2), ""), "{told:?}");
}

#[test]
fn an_entry_that_cannot_be_protected_is_left_out_and_told() {
    let site = Site::new();
    // A hash, which neither iPXE nor GRUB can check.
    let locked = format!(
        "{MENU}LABEL wipe\n  MENU PASSWD $1$abcdefgh$1234567890123456789012\n  LINUX os/linux wipe\n"
    );
    site.write("tftp/bios/pxelinux.cfg/default", &locked);
    for language in ["ipxe", "grub"] {
        let told = site.run(&[
            "convert",
            "tftp/bios/pxelinux.cfg/default",
            "--to",
            language,
        ]);
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.err.contains("left out: wipe: "), "{told:?}");
        assert!(told.err.ends_with("1 entry was left out\n"), "{told:?}");
        assert!(!told.out.contains("linux wipe"), "{told:?}");
    }
}

#[test]
fn grubs_menus_are_read_too() {
    let site = Site::new();
    site.write("tftp/grub/grubx64.efi", "MZ");
    site.write(
        "tftp/grub/grub.cfg",
        "set timeout=5\nmenuentry 'Debian' {\n linux /os/linux quiet\n initrd /os/initrd\n}\n\
         menuentry 'More' {\n configfile /grub/more.cfg\n}\n",
    );
    site.write(
        "tftp/grub/more.cfg",
        "menuentry 'Old' {\n linux /os/vmlinuz-old\n}\n",
    );
    // Another medium's, in which names mean its own files.
    site.write(
        "tftp/os/image/boot/grub/grub.cfg",
        "menuentry 'x' {\n linux /nothing\n}\n",
    );
    let told = site.run(&["check", "--format", "json", "tftp"]);
    let report = told.json();
    let menus: Vec<(&str, &str)> = report["menus"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|menu| {
            (
                menu["file"].as_str().expect("a name"),
                menu["loaders"][0]["name"].as_str().expect("a name"),
            )
        })
        .collect();
    assert_eq!(
        menus,
        [
            ("tftp/bios/pxelinux.cfg/default", "lpxelinux.0"),
            ("tftp/grub/grub.cfg", "GRUB"),
        ]
    );
    let findings = report["menus"][1]["findings"].as_array().expect("a list");
    let missing: Vec<(&str, &str)> = findings
        .iter()
        .map(|finding| {
            (
                finding["code"].as_str().expect("a code"),
                finding["file"].as_str().expect("a name"),
            )
        })
        .collect();
    let expected = [
        ("missing-file", "tftp/grub/grub.cfg"),
        ("missing-file", "tftp/grub/more.cfg"),
    ];
    assert_eq!(missing, expected, "{report:#}");
    assert_eq!(told.code, Some(1));

    let told = site.run(&["show", "tftp/grub/grub.cfg"]);
    assert!(told.out.contains("Debian"), "{told:?}");
    assert!(
        told.err.contains("loader: GRUB (grub/grubx64.efi)"),
        "{told:?}"
    );
    let told = site.run(&["convert", "tftp/grub/grub.cfg", "--to", "ipxe"]);
    assert!(
        told.out.contains("tftp://${next-server}/os/linux"),
        "{told:?}"
    );
    let told = site.run(&[
        "show",
        "--root",
        "tftp",
        "--for",
        "uefi-x64,52:54:00:12:34:56",
    ]);
    assert!(
        told.err
            .contains("asks for grub/grub.cfg-01-52-54-00-12-34-56 (TFTP): no such"),
        "{told:?}"
    );
    assert!(
        told.err
            .contains("asks for grub/grub.cfg (TFTP): that is /grub/grub.cfg\n"),
        "{told:?}"
    );
}

#[test]
fn the_check_of_a_configuration_counts_what_is_wrong_with_its_menus() {
    let site = Site::new();
    site.write("pxe.toml", "[tree]\nroot = \"tftp\"\n[tftp]\n");
    let check = || {
        Told::new(
            &site
                .command(&["check", "pxe.toml"])
                .output()
                .expect("built"),
        )
    };
    let told = check();
    assert!(!told.err.contains("menus"), "{told:?}");
    fs::remove_file(site.path("tftp/os/linux")).expect("there");
    let told = check();
    let line = "warning: menus: checked 1 menu for 1 loader: 2 errors, 0 warnings, 0 notes; \
                pxe-server menu check --config pxe.toml shows them\n";
    assert!(told.err.contains(line), "{told:?}");
    assert_eq!(told.code, Some(0), "the configuration is valid");
}

/// In the tree of Debian's installer the loader lies deep, and names are relative to the link at
/// the root.
#[test]
fn a_loader_that_a_link_leads_to_is_where_the_link_is() {
    let site = Site::new();
    fs::rename(site.path("tftp/bios"), site.path("tftp/real")).expect("there");
    fs::create_dir(site.path("tftp/bios")).expect("writable");
    site.link("../real/lpxelinux.0", "tftp/bios/lpxelinux.0");
    site.link("../real/pxelinux.cfg", "tftp/bios/pxelinux.cfg");
    let told = site.run(&["check", "--format", "json", "tftp"]);
    let loaders = &told.json()["menus"][0]["loaders"];
    assert_eq!(loaders.as_array().map(Vec::len), Some(1), "{told:?}");
    assert_eq!(loaders[0]["boot_file"], "bios/lpxelinux.0");
}

#[test]
fn the_root_is_guessed_above_what_installers_have() {
    let site = Site::empty();
    let menu = "debian-installer/amd64/boot-screens/txt.cfg";
    site.write(&format!("tftp/{menu}"), "LABEL a\n LOCALBOOT 0\n");
    let told = site.run(&["show", &format!("tftp/{menu}")]);
    let root = site.path("tftp");
    let tree = format!("tree: {} (guessed", root.display());
    assert!(told.err.starts_with(&tree), "{told:?}");
}

/// The packages debian-installer-12-netboot-amd64 and its kin lie below a folder with the same name.
#[test]
fn the_root_is_guessed_inside_debians_package() {
    let site = Site::empty();
    let root = "debian-installer/images/12/amd64/text";
    site.write(&format!("{root}/debian-installer/amd64/linux"), "kernel");
    let menu = format!("{root}/pxelinux.cfg/default");
    site.write(
        &menu,
        "LABEL a\n LINUX debian-installer/amd64/linux\n INITRD x\n",
    );
    let told = site.run(&["show", &menu]);
    let tree = format!("tree: {} (guessed", site.path(root).display());
    assert!(told.err.starts_with(&tree), "{told:?}");
}

/// pxelinux.0 has no HTTP, and lpxelinux.0 does.
#[test]
fn a_file_is_checked_for_every_loader_of_its_folder() {
    let site = Site::new();
    site.write("tftp/bios/pxelinux.0", PXELINUX);
    let menu = "LABEL a\n  LINUX http://10.0.0.1/linux\n  INITRD os/initrd.gz\n";
    site.write("tftp/bios/pxelinux.cfg/default", menu);
    let file = "tftp/bios/pxelinux.cfg/default";
    let told = site.run(&["check", "--root", "tftp", "--format", "json", file]);
    let report = told.json();
    let loaders = report["menus"][0]["loaders"].as_array();
    let files = loaders.map(|all| all.iter().map(|one| &one["boot_file"]).collect::<Vec<_>>());
    assert_eq!(
        files,
        Some(vec![&"bios/lpxelinux.0".into(), &"bios/pxelinux.0".into()]),
        "{told:?}"
    );
    assert!(told.out.contains("no-protocol"), "{told:?}");
}

/// A tree may hold any number of directories beside the menus.
#[test]
fn a_large_tree_is_looked_through_to_a_bound() {
    let site = Site::new();
    for number in 0..600 {
        fs::create_dir_all(site.path(&format!("tftp/os/{number}"))).expect("writable");
    }
    let told = site.run(&["check", "tftp"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.out
            .contains("there are more directories than are looked at"),
        "{told:?}"
    );
    assert!(
        told.out.starts_with("checked 1 menu for 1 loader"),
        "{told:?}"
    );
}

#[test]
fn what_init_lays_out_is_clean() {
    let site = Site::empty();
    for (folder, content, names) in [
        ("PXELINUX", LPXELINUX, "lpxelinux.0"),
        ("PXELINUX", PXELINUX, "pxelinux.0"),
        (
            "syslinux/modules/bios",
            MODULE_BIOS,
            "ldlinux.c32 libcom32.c32 libutil.c32 menu.c32 reboot.c32",
        ),
        (
            "syslinux/modules/efi64",
            MODULE_EFI,
            "ldlinux.e64 libcom32.c32 libutil.c32 menu.c32 reboot.c32",
        ),
        ("SYSLINUX.EFI/efi64", "MZ", "syslinux.efi"),
        ("shim", "MZ", "shimx64.efi.signed"),
        ("grub/x86_64-efi-signed", "MZ", "grubnetx64.efi.signed"),
    ] {
        for name in names.split(' ') {
            site.write(&format!("root/usr/lib/{folder}/{name}"), content);
        }
    }
    let arguments = ["init", "tftp", "--from", "root", "--config", "pxe.toml"];
    let laid = Told::new(&site.command(&arguments).output().expect("built"));
    assert_eq!(laid.code, Some(0), "{laid:?}");
    for arguments in [
        &["check", "--strict", "tftp"][..],
        &["check", "--strict", "--config", "pxe.toml"],
    ] {
        let told = site.run(arguments);
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(
            told.out.ends_with(": 0 errors, 0 warnings, 0 notes\n"),
            "{told:?}"
        );
        assert!(
            told.out.starts_with("checked 1 menu for 3 loaders"),
            "{told:?}"
        );
    }
}

/// Names and not lines say whose a file is: all that lies in pxelinux.cfg is pxelinux's.
#[test]
fn a_broken_append_and_a_pasted_menuentry_do_not_make_a_grub_cfg() {
    let site = Site::new();
    let menu = "UI menu.c32\nLABEL a\nKERNEL os/linux\nAPPEND\nboot=casper\nip=dhcp\nnetboot=nfs\n\
                nfsroot=192.168.150.1:/srv/x\nlocale=fr_FR.UTF-8\nINITRD os/initrd.gz\n\
                menuentry 'x' {\n  linux /gone\n}\nmenuentry 'y' {\n  linux /gone\n}\n";
    site.write("tftp/bios/pxelinux.cfg/default", menu);
    for path in ["tftp", "tftp/bios/pxelinux.cfg/default"] {
        let told = site.run(&["check", path, "--root", "tftp"]);
        assert!(told.out.contains("nfsroot="), "{told:?}");
        assert!(told.out.contains("menuentry 'x'"), "{told:?}");
    }
    let file = ["show", "tftp/bios/pxelinux.cfg/default", "--root", "tftp"];
    let told = site.run(&[&file[..], &["--as", "json"]].concat());
    let entries = &told.json()["screens"][0]["entries"];
    assert_eq!(entries.as_array().map(Vec::len), Some(1), "{told:?}");
    assert!(told.err.contains("loader: lpxelinux.0 "), "{told:?}");

    // By a link or by option 209 it has another name.
    fs::remove_dir_all(site.path("tftp/bios/pxelinux.cfg")).expect("there");
    site.write("tftp/menus/default", menu);
    site.link("../menus", "tftp/bios/pxelinux.cfg");
    for arguments in [
        &["check", "tftp"][..],
        &["show", "--root", "tftp", "--for", "52:54:00:00:00:01"],
    ] {
        let told = site.run(arguments);
        let said = format!("{}{}", told.out, told.err);
        assert!(said.contains("menuentry 'x'"), "{told:?}");
    }
}

/// The file is given to nobody, so each of its placeholders counts, and not the first alone.
#[test]
fn every_unknown_placeholder_is_an_error_wherever_one_looks() {
    let site = Site::new();
    let menu = "LABEL a\n  LINUX os/${arch}/linux\n  APPEND x=${banana} y=${mac}\n\
                LABEL b\n  LINUX os/linux\n  APPEND z=${cherry}\n";
    site.write("tftp/bios/pxelinux.cfg/default", menu);
    let config = "[tree]\nroot = \"tftp\"\n[tftp]\n[menu]\ntemplates = \"bios/pxelinux.cfg/*\"\n";
    site.write("pxe.toml", config);
    let file = "tftp/bios/pxelinux.cfg/default";
    let of = ["--config", "pxe.toml"];
    for arguments in [
        &["check"][..],
        &["check", file],
        &["show", "--for", "52:54:00:00:00:01"],
        &["show", file],
    ] {
        let told = site.run(&[arguments, &of].concat());
        let said = format!("{}{}", told.out, told.err);
        for (name, place) in [("banana", ":3:12"), ("cherry", ":6:12")] {
            let error = format!("error[unknown-placeholder]: no placeholder `{name}`: known are ");
            assert!(said.contains(&error), "{error}: {said}");
            assert!(said.contains(place), "{place}: {said}");
        }
        assert_eq!(told.code, Some(1), "{told:?}");
    }
    let output = site.command(&["check", "pxe.toml"]).output();
    let told = Told::new(&output.expect("built"));
    for name in ["banana", "cherry"] {
        let is_told = |line: &str| line.starts_with("error: ") && line.contains(name);
        assert!(told.err.lines().any(is_told), "{told:?}");
    }
    assert_eq!(told.code, Some(1), "{told:?}");
}

#[test]
fn a_machine_of_no_known_architecture_has_that_of_its_loader() {
    let site = Site::new();
    let menu = "LABEL a\n  LINUX os/${arch}/linux\n";
    site.write("tftp/bios/pxelinux.cfg/default", menu);
    let config = "[tree]\nroot = \"tftp\"\n[tftp]\n[menu]\ntemplates = \"bios/pxelinux.cfg/*\"\n";
    site.write("pxe.toml", config);
    let show = ["show", "--config", "pxe.toml", "--as", "syslinux"];
    let told = site.run(&[&show[..], &["--for", "52:54:00:00:00:01"]].concat());
    assert!(told.out.contains("os/i386/linux"), "{told:?}");
}
