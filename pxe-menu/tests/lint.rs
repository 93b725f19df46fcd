//! Mistakes of real menus, each told by its own code and with its remedy.

use std::collections::BTreeMap;

use pxe_menu::fuzzing::read;
use pxe_menu::{Client, Code, Diagnostic, Files, Limits, Loader, Paths, Text, lint, resolve};

/// A server's files.
struct Tree(BTreeMap<&'static str, &'static [u8]>);

impl Files for Tree {
    fn is_file(&self, path: &[u8]) -> bool {
        self.head(path).is_some()
    }

    fn names(&self, folder: &[u8]) -> Vec<Text> {
        let folder = std::str::from_utf8(folder).expect("text");
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let below = self.0.keys().filter_map(|path| path.strip_prefix(&prefix));
        below
            .filter(|name| !name.contains('/'))
            .map(Text::from)
            .collect()
    }

    fn head(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.0
            .get(std::str::from_utf8(path).ok()?)
            .map(|bytes| bytes.to_vec())
    }
}

fn tree() -> Tree {
    Tree(BTreeMap::from([
        ("bios/menu.c32", &b"\x7fELF\x01"[..]),
        ("bios/chain.c32", b"\x7fELF\x02"),
        ("bios/old.c32", b"\xb8\xfe\x4c\xcd\x21"),
        ("bios/Vmlinuz", b""),
        ("os/vmlinuz", b""),
        ("os/initrd", b""),
    ]))
}

/// What is said of a menu, by the reading and by the check.
fn findings(menu: &str, loader: Loader) -> Vec<Diagnostic> {
    let document = read(Limits::default(), |name| {
        (name == b"main").then(|| menu.into())
    });
    let resolution = resolve(&document);
    let paths = Paths::new(loader, "bios/lpxelinux.0");
    let mut found = resolution.diagnostics.clone();
    found.extend(lint(&resolution, &paths, &Client::new(), &tree()));
    found
}

#[test]
fn each_mistake_has_its_code_and_its_remedy() {
    let head = "UI menu.c32\nLABEL a\n";
    for (lines, code, remedy) in [
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
            "LINUX /os/vmlinuz",
            Code::MissingFile,
            "a slash does not lead to the root: write ::os/vmlinuz",
        ),
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
        ("KERNEL x.img", Code::CannotStart, "use memdisk"),
        (
            "LINUX ::os/vmlinuz\nINITRD ::os/initrd\nAPPEND boot=casper netboot=nfs nfsroot=1.1.1.1:/x",
            Code::KernelArguments,
            "add ip=dhcp",
        ),
        (
            "LINUX ::os/vmlinuz\nAPPEND boot=live",
            Code::KernelArguments,
            "add INITRD",
        ),
        ("LINUX ::os/vmlinuz\nTIMEOUT 5", Code::TimeoutUnit, "tenths"),
    ] {
        let found = findings(&format!("{head}{lines}\n"), Loader::Lpxelinux);
        let told = found.iter().find(|told| told.code == code);
        let told = told.unwrap_or_else(|| panic!("{lines}: {found:#?}"));
        let given = told.remedy.clone().unwrap_or_default();
        assert!(given.contains(remedy), "{lines}: {told}");
    }
}

#[test]
fn a_menu_without_mistakes_has_no_findings() {
    let menu = "UI menu.c32\nLABEL a\nLINUX ::os/vmlinuz\nINITRD ::os/initrd\nAPPEND boot=casper ip=dhcp netboot=nfs nfsroot=1.1.1.1:/os\n";
    assert_eq!(findings(menu, Loader::Lpxelinux), []);
}

#[test]
fn nfsroot_with_a_url_is_told() {
    let menu = "UI menu.c32\nLABEL a\nLINUX ::os/vmlinuz\nAPPEND nfsroot=tftp://192.168.150.1/os\n";
    let found = findings(menu, Loader::Lpxelinux);
    assert!(
        found.iter().any(|told| told.code == Code::KernelArguments),
        "{found:?}"
    );
}

#[test]
fn pxelinux_0_is_told_to_have_no_http() {
    let menu = "UI menu.c32\nLABEL a\nLINUX http://192.168.150.1/vmlinuz\n";
    let found = findings(menu, Loader::Pxelinux);
    let told = found
        .iter()
        .find(|told| told.code == Code::NoProtocol)
        .expect("told");
    assert!(
        told.remedy
            .as_ref()
            .is_some_and(|remedy| remedy.contains("lpxelinux.0"))
    );
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

/// The menu of a tutorial as one copies it from paper: broken lines, `menu.c.32`, a colon for a
/// semicolon, a space in a name, a TFTP URL as NFS root.
#[test]
fn a_copied_menu_is_told_each_of_its_errors() {
    let menu = "\
DEFAULT menu.c.32
MENU TITLE PXE
MENU COLOR TABMSG 37:40
LABEL 0 Main menu
KERNEL menu. c32
APPEND pxelinux.cfg/default
LABEL 1 Live system
KERNEL
http://192.168.150.1:8080/casper/vmlinuz
APPEND boot=casper netboot=nfs
nfsroot=192.168.150.1:/srv/os
INITRD ::os/initrd
LABEL 2 Installer
LINUX ::os/vmlinuz
APPEND nfsroot=tftp://192.168.150.1/os ro --
";
    let found = findings(menu, Loader::Lpxelinux);
    for (code, line, words) in [
        (Code::MissingFile, None, "did you mean menu.c32?"),
        (Code::NotANumber, Some(3), "`37:40` is no colour"),
        (
            Code::MissingFile,
            Some(4),
            "a space ends a name: did you mean menu.c32?",
        ),
        (Code::MissingValue, Some(8), "KERNEL has no value"),
        (Code::UnknownDirective, Some(9), "the loader joins no lines"),
        (
            Code::UnknownDirective,
            Some(11),
            "the loader joins no lines",
        ),
        (Code::CannotStart, Some(7), "names no image"),
        (Code::KernelArguments, Some(13), "nfsroot=tftp:"),
    ] {
        let told = found.iter().any(|told| {
            let at = told.place.map(|place| place.line);
            told.code == code && at == line && told.to_string().contains(words)
        });
        assert!(told, "{words}: {found:#?}");
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
