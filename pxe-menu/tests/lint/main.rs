//! Mistakes of real menus, each told by its own code and with its remedy.

mod grub;
mod include;
mod tree;
mod tutorial;

use pxe_menu::fuzzing::read;
use pxe_menu::{
    Client, Code, Diagnostic, Files, Limits, Loader, Paths, Severity, Text, check, lint, resolve,
};

use tree::{ELF32, ELF64, MemFiles};

fn tree() -> MemFiles {
    MemFiles::new(&[
        "bios/ldlinux.c32",
        "bios/libutil.c32",
        "bios/libcom32.c32",
        "bios/menu.c32",
        "bios/vesamenu.c32",
        "bios/memdisk",
        "bios/Vmlinuz",
        "bios/help.txt",
        "os/vmlinuz",
        "os/initrd",
        "os/dos.iso",
        "live/casper/vmlinuz",
        "live/casper/initrd",
        "netinst/install.amd/vmlinuz",
    ])
    .with("bios/chain.c32", ELF64)
    .with("bios/old.c32", b"\xb8\xfe\x4c\xcd\x21")
    .with("bios/efi.c32", b"MZ\0\0\0\0")
    .with("bios/notes.c32", b"not a module")
    .with(
        "bios/arm.c32",
        b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x28\0",
    )
    .with("bios/cut.c32", b"")
}

/// What is said of a menu, by the reading and by the check.
fn findings_in(menu: &str, loaders: &[Paths], files: &dyn Files) -> Vec<Diagnostic> {
    let document = read(Limits::default(), |name| {
        (name == b"main").then(|| menu.into())
    });
    check(&resolve(&document), loaders, &Client::new(), files)
}

fn findings(menu: &str, loader: Loader) -> Vec<Diagnostic> {
    findings_in(menu, &[Paths::new(loader, "bios/lpxelinux.0")], &tree())
}

/// A menu's line, what is told of it, and what is in its remedy or its notes.
const MISTAKES: &[(&str, Code, &str)] = &[
    (
        "LINUX ::os/vmlinuz\narppend x",
        Code::UnknownDirective,
        "did you mean APPEND?",
    ),
    (
        "LINUX vmlinuz",
        Code::MissingFile,
        "names differ by case: did you mean Vmlinuz?",
    ),
    (
        "LINUX ::OS/vmlinuz",
        Code::MissingFile,
        "names differ by case: did you mean os?",
    ),
    (
        "LINUX ::os/vmlimuz",
        Code::MissingFile,
        "did you mean vmlinuz?",
    ),
    (
        "LINUX /os/vmlinuz",
        Code::MissingFile,
        "a slash does not lead to the root: write ::os/vmlinuz",
    ),
    (
        "LINUX /srv/tftp/os/vmlinuz",
        Code::MissingFile,
        "the server's own folders: write ::os/vmlinuz",
    ),
    (
        "LINUX os/vmlinuz",
        Code::MissingFile,
        "it is in the root: write ::os/vmlinuz",
    ),
    (
        "LINUX os/vmlinuz",
        Code::MissingFile,
        "lpxelinux.0 asks for `bios/os/vmlinuz`",
    ),
    (
        "LINUX ::os /vmlinuz",
        Code::MissingFile,
        "a space ends a name: did you mean ::os/vmlinuz?",
    ),
    (
        "LINUX ::os/vmlinuz.efi",
        Code::MissingFile,
        "did you mean vmlinuz?",
    ),
    (
        "LINUX ::os/vmlinuz\nINITRD ::os/initrd.img",
        Code::MissingFile,
        "did you mean initrd?",
    ),
    ("LINUX \"vmlinuz\"", Code::MissingFile, "without quotes"),
    ("LINUX ::os", Code::MissingFile, "lpxelinux.0 asks for `os`"),
    (
        "COM32 menu.c.32",
        Code::MissingFile,
        "did you mean menu.c32?",
    ),
    (
        "COM32 chain.c32",
        Code::WrongArchitecture,
        "take the modules",
    ),
    ("COM32 old.c32", Code::WrongArchitecture, "take the modules"),
    ("COM32 efi.c32", Code::WrongArchitecture, "take the modules"),
    ("COM32 arm.c32", Code::WrongArchitecture, "take the modules"),
    (
        "COM32 notes.c32",
        Code::WrongArchitecture,
        "take the modules",
    ),
    ("COM32 cut.c32", Code::WrongArchitecture, "take the modules"),
    ("KERNEL x.img", Code::CannotStart, "use memdisk"),
    ("LINUX HTTP://h/vmlinuz", Code::NoProtocol, "lower case"),
    (
        "LINUX nfs://h/vmlinuz",
        Code::NoProtocol,
        "it has tftp, http, ftp",
    ),
    ("KERNEL memdisk", Code::MissingInitrd, "add INITRD"),
    (
        "KERNEL memdisk\nINITRD ::os/dos.iso",
        Code::MemdiskIso,
        "add iso",
    ),
    (
        "KERNEL memdisk\nINITRD ::os/dos.iso\nAPPEND iso",
        Code::MemdiskIso,
        "themselves",
    ),
    (
        "LINUX ::os/vmlinuz\nAPPEND boot=live",
        Code::MissingInitrd,
        "add INITRD",
    ),
    (
        "LINUX ::os/vmlinuz\nAPPEND auto=true url=http://192.168.150.1/p.cfg",
        Code::MissingInitrd,
        "add INITRD",
    ),
    (
        "LINUX ::os/vmlinuz\nAPPEND initrd= ::os/initrd",
        Code::MissingInitrd,
        "no space",
    ),
    (
        "LINUX ::os/vmlinuz\nAPPEND initrd=::os/initrd initrd=::os/vmlinuz",
        Code::TwoInitrds,
        "name all files in one",
    ),
    (
        "LINUX ::os/vmlinuz\nINITRD ::os/initrd\nAPPEND nfsroot=tftp://192.168.150.1/os",
        Code::NfsRoot,
        "server:/path",
    ),
    (
        "LINUX ::os/vmlinuz\nINITRD ::os/initrd\nAPPEND boot=live nfsroot=192.168.150.1/os",
        Code::NfsRoot,
        "server:/path",
    ),
    (
        "LINUX ::os/vmlinuz\nAPPEND root=/dev/nfs",
        Code::KernelArguments,
        "add ip=dhcp",
    ),
    (
        "LINUX ::os/vmlinuz\nIPAPPEND 1\nAPPEND ip=dhcp",
        Code::KernelArguments,
        "leave one",
    ),
    (
        "LINUX ::netinst/install.amd/vmlinuz\nINITRD ::os/initrd\nAPPEND boot=live netboot=nfs",
        Code::LiveArguments,
        "take boot=",
    ),
    (
        "LINUX ::os/vmlinuz\nINITRD ::os/initrd\nAPPEND boot=live fetch=filesystem.squashfs",
        Code::LiveArguments,
        "fetch=http://",
    ),
    (
        "LINUX ::os/vmlinuz\nINITRD ::os/initrd\nAPPEND boot=casper netboot=nfs nfsroot=1.1.1.1:/x",
        Code::CasperNetwork,
        "add ip=dhcp",
    ),
    (
        "LINUX ::live/casper/vmlinuz\nINITRD ::live/casper/initrd\nAPPEND boot=casper",
        Code::MissingDisk,
        "live/.disk",
    ),
    (
        "LINUX ::os/vmlinuz\nTIMEOUT 5",
        Code::TimeoutUnit,
        "tenths of a second: 5 seconds are TIMEOUT 50",
    ),
    (
        "LINUX ::os/vmlinuz\nTIMEOUT 60000",
        Code::TimeoutUnit,
        "60 seconds are TIMEOUT 600",
    ),
    (
        "LINUX ::os/vmlinuz\nTOTALTIMEOUT 9",
        Code::TimeoutUnit,
        "tenths",
    ),
    (
        "LINUX ::os/vmlinuz\nONTIMEOUT a",
        Code::DeadTimeout,
        "add TIMEOUT",
    ),
    (
        "LINUX ::os/vmlinuz\nIMPLICIT 0",
        Code::NotImplicit,
        "take out IMPLICIT 0",
    ),
    (
        "LINUX ::os/vmlinuz\nDISPLAY boot.msg",
        Code::MissingScreenFile,
        "asks for `bios/boot.msg`",
    ),
    (
        "LINUX ::os/vmlinuz\nF2 helb.txt",
        Code::MissingScreenFile,
        "did you mean help.txt?",
    ),
    (
        "MENU HELP no.txt",
        Code::MissingScreenFile,
        "asks for `bios/no.txt`",
    ),
    (
        "LINUX ::os/vmlinuz\nONERROR loacl.c32",
        Code::MissingFile,
        "asks for `bios/loacl.c32`",
    ),
    (
        "LINUX ::os/vmlinuz\nMENU LABEL ^A\nLABEL b\nLINUX ::os/vmlinuz\nMENU LABEL ^Another",
        Code::DuplicateHotkey,
        "another letter",
    ),
    (
        "LINUX ::os/vmlinuz\nTIMEOUT 15",
        Code::TimeoutUnit,
        "tenths",
    ),
    ("KERNEL memtest86+.bin", Code::ImageType, "write LINUX"),
    ("KERNEL ipxe.pxe", Code::ImageType, "write PXE"),
    ("KERNEL ::os/dos.iso", Code::ImageType, "use memdisk"),
    (
        "LINUX ::os/vmlinuz\nINITRD ::os/initrd\nAPPEND ks=http://h/ks ksdevice=bootif",
        Code::KernelArguments,
        "add IPAPPEND 2",
    ),
    (
        "LINUX ::os/vmlinuz\nNOESCAPE 1\nLABEL b\nLINUX ::os/vmlinuz\nMENU HIDE",
        Code::UnreachableEntry,
        "NOESCAPE",
    ),
    (
        "LINUX ::os/vmlinuz\nALLOWOPTIONS 0\nLABEL b\nLINUX ::os/vmlinuz\nMENU HIDE",
        Code::UnreachableEntry,
        "ALLOWOPTIONS",
    ),
];

#[test]
fn each_mistake_has_its_code_and_its_remedy() {
    for (lines, code, words) in MISTAKES {
        let found = findings(
            &format!("UI menu.c32\nLABEL a\n{lines}\n"),
            Loader::Lpxelinux,
        );
        let told = found.iter().filter(|told| told.code == *code);
        let told = told.map(|told| format!("{:?} {:?}", told.notes, told.remedy));
        assert!(
            told.clone().any(|told| told.contains(words)),
            "{lines}: {found:#?}"
        );
    }
}

#[test]
fn a_menu_without_mistakes_has_no_findings() {
    let menu = "\
UI menu.c32
DEFAULT a
TIMEOUT 300
ONTIMEOUT a
F1 help.txt
LABEL a
MENU LABEL ^A
LINUX ::os/vmlinuz
INITRD ::os/initrd
APPEND boot=casper ip=dhcp netboot=nfs nfsroot=1.1.1.1:/os
LABEL b
MENU LABEL ^B
KERNEL memdisk
APPEND initrd=::os/initrd raw
LABEL c
LOCALBOOT 0
LABEL d
KERNEL http://192.168.150.1/vmlinuz
IPAPPEND 2
APPEND ksdevice=bootif root=/dev/nfs nfsroot=/srv/x ip=dhcp
LABEL e
LINUX ::os/vmlinuz
INITRD ::os/initrd
IPAPPEND 3
APPEND root=/dev/nfs
";
    assert_eq!(findings(menu, Loader::Lpxelinux), []);
}

#[test]
fn pxelinux_0_is_told_to_have_no_http() {
    let menu = "UI menu.c32\nLABEL a\nLINUX http://192.168.150.1/vmlinuz\n";
    let found = findings(menu, Loader::Pxelinux);
    let [told] = &found[..] else {
        panic!("{found:#?}")
    };
    assert_eq!(told.code, Code::NoProtocol);
    let remedy = told.remedy.as_deref().unwrap_or_default();
    assert!(remedy.contains("lpxelinux.0"), "{told}");
    assert_eq!(findings(menu, Loader::Lpxelinux), []);
}

#[test]
fn memdisk_is_told_to_need_a_bios() {
    let menu = "UI menu.c32\nLABEL a\nKERNEL memdisk\nINITRD ::os/initrd\n";
    let found = findings(menu, Loader::SyslinuxEfi);
    assert!(
        found.iter().any(|told| told.code == Code::CannotStart),
        "{found:?}"
    );
}

/// com32/modules/Makefile: `MOD_BIOS` is built for the BIOS only.
#[test]
fn modules_that_uefi_has_not_are_told() {
    let menu = "UI menu.c32\nLABEL a\nCOM32 pxechn.c32\n";
    let is_told = |loader| {
        let found = findings_in(
            menu,
            &[Paths::new(loader, "bios/x")],
            &tree().with("bios/pxechn.c32", ELF32),
        );
        found.iter().any(|told| told.code == Code::CannotStart)
    };
    assert!(is_told(Loader::SyslinuxEfi));
    assert!(!is_told(Loader::Lpxelinux));
}

/// ELF32 may be of the BIOS or of UEFI with 32 bits; which the loader is, its own second part tells.
#[test]
fn modules_of_another_width_are_told_where_the_loader_is_known() {
    let menu = "UI menu.c32\nLABEL a\nLOCALBOOT 0\n";
    let paths = [Paths::new(Loader::SyslinuxEfi, "efi/syslinux.efi")];
    let codes = |own: &[&str], module: &[u8]| {
        let mut files = MemFiles::new(&["efi/libutil.c32"]).with("efi/menu.c32", module);
        for own in own {
            files = files.with(own, ELF64);
        }
        let found = findings_in(menu, &paths, &files);
        found.iter().map(|told| told.code).collect::<Vec<_>>()
    };
    assert_eq!(
        codes(&["efi/ldlinux.e64"], ELF32),
        [Code::WrongArchitecture]
    );
    assert_eq!(
        codes(&["efi/ldlinux.e32"], ELF64),
        [Code::WrongArchitecture]
    );
    assert_eq!(codes(&["efi/ldlinux.e32"], ELF32), []);
    assert_eq!(codes(&["efi/ldlinux.e64"], ELF64), []);
    assert_eq!(codes(&["efi/ldlinux.e32", "efi/ldlinux.e64"], ELF32), []);
}

/// Since version 5 each module needs libraries, and the loader its own second part.
#[test]
fn libraries_that_are_not_there_are_told_once() {
    let menu = "UI vesamenu.c32\nLABEL a\nKERNEL vesamenu.c32\nAPPEND ~\n";
    let paths = [Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")];
    let files = tree()
        .without("bios/libutil.c32")
        .without("bios/ldlinux.c32");
    let found = findings_in(menu, &paths, &files);
    let told: Vec<&str> = found.iter().map(|told| &told.message[..]).collect();
    assert_eq!(
        told,
        [
            "`ldlinux.c32` is not there: the loader cannot start",
            "vesamenu.c32 needs `libutil.c32`, which is not there",
        ]
    );
}

/// PATH has the folders in which modules are looked for (`findpath` in com32/lib/sys/module/common.c):
/// Debian's installer has its modules there.
#[test]
fn modules_are_found_through_path() {
    let menu = "PATH ::boot-screens\nUI vesamenu.c32\nLABEL a\nLOCALBOOT 0\n";
    let files = MemFiles::new(&[
        "ldlinux.c32",
        "boot-screens/vesamenu.c32",
        "boot-screens/libutil.c32",
        "boot-screens/libcom32.c32",
    ]);
    let paths = [Paths::new(Loader::Pxelinux, "pxelinux.0")];
    assert_eq!(findings_in(menu, &paths, &files), []);
}

#[test]
fn a_background_has_to_be_an_image() {
    let menu = "UI vesamenu.c32\nMENU BACKGROUND splash.png\nLABEL a\nLOCALBOOT 0\n";
    let paths = [Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")];
    let codes = |menu: &str, splash: &[u8]| {
        let found = findings_in(menu, &paths, &tree().with("bios/splash.png", splash));
        found.iter().map(|told| told.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(menu, b"\x89PNG\r\n\x1a\n"), []);
    assert_eq!(codes(menu, b"\xff\xd8\xff\xe0"), []);
    assert_eq!(codes(menu, b"GIF89a.."), [Code::UnreadableImage]);
    // menu.c32 shows none.
    assert_eq!(codes(&menu.replace("vesamenu", "menu"), b"GIF89a.."), []);
}

#[test]
fn a_long_path_is_told_and_a_cut_one_is_an_error() {
    let of = |bytes: usize| {
        let menu = format!("UI menu.c32\nLABEL a\nLINUX ::{}\n", "x".repeat(bytes - 2));
        let found = findings(&menu, Loader::Lpxelinux);
        found.iter().map(|told| told.code).collect::<Vec<_>>()
    };
    assert_eq!(of(129), [Code::MissingFile]);
    assert_eq!(of(130), [Code::LongPath, Code::MissingFile]);
    assert_eq!(of(256), [Code::PathTooLong]);
}

/// The path prefix is put before a name as it is.
#[test]
fn a_path_prefix_without_its_slash_is_told() {
    let menu = "UI menu.c32\nLABEL a\nLOCALBOOT 0\n";
    let paths = [Paths::with_prefix(Loader::Lpxelinux, "/bios")];
    let found = findings_in(menu, &paths, &tree());
    let told = found
        .iter()
        .find(|told| told.code == Code::MissingFile)
        .expect("told");
    let remedy = told.remedy.as_deref().unwrap_or_default();
    assert!(remedy.contains("end it with a slash"), "{told}");
}

/// casper of 18.04 asks DHCP by itself: `.disk/info` tells which release it is.
#[test]
fn casper_is_told_of_the_network_by_its_release() {
    let menu = "UI menu.c32\nLABEL a\nLINUX ::live/casper/vmlinuz\nINITRD ::live/casper/initrd\n\
                APPEND boot=casper netboot=nfs nfsroot=192.168.150.1:/srv/tftp/live\n";
    let paths = [Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")];
    let of = |info: &str| {
        let found = findings_in(
            menu,
            &paths,
            &tree().with("live/.disk/info", info.as_bytes()),
        );
        found
            .iter()
            .map(|told| (told.code, told.severity))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("Ubuntu-MATE 18.04.4 LTS \"Bionic Beaver\""), []);
    let error = (Code::CasperNetwork, Severity::Error);
    assert_eq!(of("Ubuntu-MATE 22.04.2 LTS \"Jammy Jellyfish\""), [error]);
    assert_eq!(of("Ubuntu 20.04.6 LTS \"Focal Fossa\""), [error]);
    assert_eq!(of("Ubuntu 19.10 \"Eoan Ermine\""), []);
    let note = (Code::CasperNetwork, Severity::Note);
    assert_eq!(of("Linux Mint 21.1 \"Vera\""), [note]);
}

/// An image's URL and an export need the network as `netboot=` does.
#[test]
fn casper_needs_the_network_for_an_image_and_an_export() {
    let told = |arguments: &str| {
        let menu = format!(
            "UI menu.c32\nLABEL a\nLINUX ::os/vmlinuz\nINITRD ::os/initrd\nAPPEND boot=casper {arguments}\n"
        );
        let paths = [Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")];
        let found = findings_in(&menu, &paths, &tree());
        let found = found
            .into_iter()
            .find(|told| told.code == Code::CasperNetwork);
        found.map(|told| told.severity)
    };
    assert_eq!(told("url=http://x/u.iso"), Some(Severity::Warning));
    assert_eq!(told("iso-url=http://x/u.iso"), Some(Severity::Warning));
    assert_eq!(told("nfsroot=1.1.1.1:/x"), Some(Severity::Note));
    assert_eq!(told("url=http://x/u.iso ip=dhcp"), None);
    assert_eq!(told("url=http://x/preseed.cfg"), None);
}

/// casper compares the UUID in its initrd with that in `.disk`, unless it is told to ignore it.
#[test]
fn casper_needs_no_disk_folder_if_it_ignores_the_uuid() {
    let told = |arguments: &str| {
        let menu = format!(
            "UI menu.c32\nLABEL a\nLINUX ::live/casper/vmlinuz\nINITRD ::live/casper/initrd\n\
             APPEND boot=casper {arguments}\n"
        );
        let paths = [Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")];
        let found = findings_in(&menu, &paths, &tree());
        found.iter().any(|told| told.code == Code::MissingDisk)
    };
    assert!(told("quiet"));
    assert!(!told("quiet ignore_uuid"));
}

/// Real menus wait for five minutes (3000), and some in all for fifteen (TOTALTIMEOUT 9000).
#[test]
fn timeouts_in_another_unit_are_told() {
    let told = |line: &str| {
        let menu = format!("UI menu.c32\n{line}\nLABEL a\nLINUX ::os/vmlinuz\n");
        let paths = [Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")];
        let found = findings_in(&menu, &paths, &tree());
        let found = found
            .into_iter()
            .find(|told| told.code == Code::TimeoutUnit);
        found.map(|told| (told.severity, told.to_string()))
    };
    let (severity, words) = told("TIMEOUT 5000").expect("told");
    assert_eq!(severity, Severity::Note);
    assert!(words.contains("8 minutes 20 seconds"), "{words}");
    assert!(words.contains("5 seconds are TIMEOUT 50"), "{words}");
    let (_, words) = told("TIMEOUT 10000").expect("told");
    assert!(words.contains("10 seconds are TIMEOUT 100"), "{words}");
    let (severity, words) = told("TIMEOUT 30 seconds").expect("told");
    assert_eq!(severity, Severity::Warning);
    assert!(words.contains("30 seconds are TIMEOUT 300"), "{words}");
    let (_, words) = told("TOTALTIMEOUT 5 minutes").expect("told");
    assert!(
        words.contains("300 seconds are TOTALTIMEOUT 3000"),
        "{words}"
    );
    for line in [
        "TIMEOUT 3000",
        "TIMEOUT 4000",
        "TIMEOUT 9001",
        "TOTALTIMEOUT 9000",
        "TIMEOUT 300 # 30 s",
    ] {
        assert_eq!(told(line), None, "{line}");
    }
}

#[test]
fn arguments_that_contradict_each_other_are_told() {
    let told = |arguments: &str| {
        let menu = format!(
            "UI menu.c32\nLABEL a\nLINUX ::os/vmlinuz\nINITRD ::os/initrd\nAPPEND {arguments}\n"
        );
        let paths = [Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")];
        let found = findings_in(&menu, &paths, &tree());
        found
            .iter()
            .any(|told| told.message.contains("contradict each other"))
    };
    for arguments in [
        "ip=dhcp ip=off",
        "ro rw",
        "root=/dev/sda1 root=/dev/sda2",
        "boot=live boot=casper ip=dhcp",
    ] {
        assert!(told(arguments), "{arguments}");
    }
    for arguments in [
        "quiet debug",
        "ip=eth0:dhcp ip=eth1:off",
        "root=/dev/sda1 root=/dev/sda1",
        "ro -- rw",
        "ip=dhcp",
    ] {
        assert!(!told(arguments), "{arguments}");
    }
}

#[test]
fn a_command_that_names_nothing_is_told() {
    for line in ["ONTIMEOUT nosuch", "ONERROR nosuch"] {
        let menu = format!("UI menu.c32\nTIMEOUT 50\n{line}\nLABEL a\nLINUX ::os/vmlinuz\n");
        let paths = [Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")];
        let found = findings_in(&menu, &paths, &tree());
        let is_it = |told: &Diagnostic| {
            told.code == Code::MissingFile && told.to_string().contains("nosuch")
        };
        assert!(found.iter().any(is_it), "{line}: {found:?}");
        // The label may be in what was not found.
        let found = findings_in(&format!("INCLUDE no.cfg\n{menu}"), &paths, &tree());
        assert!(!found.iter().any(is_it), "{line}: {found:?}");
    }
}

/// run_menu in menumain.c: the cursor moves off an entry that cannot be chosen, and that stops the timeout.
#[test]
fn a_timeout_on_a_separator_is_told_to_be_dead() {
    let menu = "UI menu.c32\nTIMEOUT 50\nMENU SEPARATOR\nLABEL a\nLINUX ::os/vmlinuz\n";
    let codes: Vec<Code> = findings(menu, Loader::Lpxelinux)
        .iter()
        .map(|told| told.code)
        .collect();
    assert_eq!(codes, [Code::DeadTimeout]);
}

/// What is wrong for BIOS and UEFI alike is told once; what is wrong for one of them says for which.
#[test]
fn findings_of_several_loaders_are_merged() {
    let menu = "UI menu.c32\nLABEL a\nLINUX vmlinux\nLABEL b\nKERNEL memdisk\nINITRD ::os/initrd\n";
    let files = tree()
        .with("efi64/menu.c32", ELF64)
        .with("efi64/libutil.c32", ELF64)
        .with("efi64/ldlinux.e64", ELF64);
    let loaders = [
        Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0"),
        Paths::new(Loader::SyslinuxEfi, "efi64/syslinux.efi"),
    ];
    let found = findings_in(menu, &loaders, &files);
    let [kernel, memdisk] = &found[..] else {
        panic!("{found:#?}")
    };
    assert_eq!(kernel.code, Code::MissingFile);
    assert_eq!(
        kernel.notes,
        [
            "lpxelinux.0 asks for `bios/vmlinux`",
            "syslinux.efi asks for `efi64/vmlinux`"
        ]
    );
    assert_eq!(
        kernel.place.map(|place| (place.line, place.column)),
        Some((3, 7))
    );
    assert_eq!(memdisk.code, Code::CannotStart);
    assert_eq!(memdisk.notes, ["only with syslinux.efi in efi64/"]);
}

/// A menu may come from a stranger: findings and suggestions are bounded.
#[test]
fn a_menu_of_mistakes_has_a_bounded_report() {
    let labels: Vec<String> = (0..20_000)
        .map(|index| format!("LABEL l{index}\nLINUX vesamenu.x{index}\n"))
        .collect();
    let menu = format!("UI menu.c32\n{}", labels.concat());
    let found = findings(&menu, Loader::Lpxelinux);
    let last = found
        .iter()
        .filter(|told| told.code == Code::Limited)
        .count();
    assert_eq!((found.len(), last), (10_001, 1));
    let suggested = found.iter().filter(|told| told.remedy.is_some()).count();
    assert!((1..=1_000).contains(&suggested), "{suggested}");
}

/// An argument is underlined where it stands, not the whole of APPEND.
#[test]
fn an_argument_is_told_at_its_own_place() {
    let menu = "UI menu.c32\nLABEL a\nLINUX ::os/vmlinuz\nINITRD ::os/initrd\n\
                APPEND ro nfsroot=tftp://h/os quiet\n";
    let found = findings(menu, Loader::Lpxelinux);
    let place = found[0].place.expect("a place");
    assert_eq!((place.line, place.column, place.bytes), (5, 11, 19));
}

/// A line that many entries share is told once, and does not fill the report.
#[test]
fn a_mistake_of_a_shared_line_is_told_once() {
    let labels: Vec<String> = (0..200).map(|index| format!("LABEL l{index}\n")).collect();
    let shared = "LINUX ::os/vmlinuz\nINITRD ::os/initrd\nAPPEND ".to_owned() + &"a- ".repeat(600);
    let menu = format!(
        "UI menu.c32\nLABEL a\n{shared}\n{}",
        labels.join("LOCALBOOT 0\n")
    );
    let document = read(Limits::default(), |name| {
        (name == b"main").then(|| menu.clone().into())
    });
    let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
    let found = lint(&resolve(&document), &paths, &Client::new(), &tree());
    let torn = found.iter().filter(|told| told.code == Code::TornArgument);
    assert_eq!(torn.count(), 1, "{:#?}", found.first());
}

/// A folder that counts how often it is read, with names as long as those that are looked for.
struct Crowded(std::cell::Cell<usize>);

impl Files for Crowded {
    fn is_file(&self, _: &[u8]) -> bool {
        self.0.set(self.0.get() + 1);
        false
    }

    fn names(&self, _: &[u8]) -> Vec<Text> {
        let name = |index| Text::from(&*format!("{index:04}{}", "x".repeat(90)));
        (0..100).map(name).collect()
    }

    fn head(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// A line of 900 missing files, shared by 100 entries, is not looked into 90,000 times.
#[test]
fn files_are_looked_for_a_bounded_number_of_times() {
    let list = "a,".repeat(900);
    let labels: Vec<String> = (0..100)
        .map(|index| format!("LABEL l{index}\nLINUX k\n"))
        .collect();
    let menu = format!("UI menu.c32\nAPPEND initrd={list}\n{}", labels.concat());
    let files = Crowded(std::cell::Cell::default());
    let found = findings_in(&menu, &[Paths::new(Loader::Lpxelinux, "")], &files);
    let limited = found.iter().filter(|told| told.code == Code::Limited);
    assert_eq!(limited.count(), 1);
    assert!((1..300_000).contains(&files.0.get()), "{}", files.0.get());
}

/// GRUB's lnxcore.img is loaded as Linux, as it means to be.
#[test]
fn an_img_that_is_a_linux_kernel_is_no_mistake() {
    let mut kernel = vec![0; 0x202];
    kernel.extend_from_slice(b"HdrS");
    let menu = "UI menu.c32\nLABEL a\nKERNEL ::os/lnxcore.img\n";
    let paths = [Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")];
    let of = |content: &[u8]| findings_in(menu, &paths, &tree().with("os/lnxcore.img", content));
    assert_eq!(of(&kernel), []);
    assert_eq!(of(b"a floppy")[0].code, Code::CannotStart);
}
