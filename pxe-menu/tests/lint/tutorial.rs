//! The menus of a tutorial on BIOS and UEFI, HTTP and NFS, as print makes them (lines broken where
//! the page ends, characters misread, a page number between two lines) and as they were meant.
//!
//! What no reader of menus can know is misread text: `NES` for NFS in a title.

use pxe_menu::fuzzing::read;
use pxe_menu::{
    Client, Code, Diagnostic, Limits, Loader, MenuReader, Paths, Severity, check, resolve,
};

use crate::tree::MemFiles;

/// The tutorial's tree: BIOS files in `bios/`, which has links to the folders beside it.
fn tree() -> MemFiles {
    let mut files = MemFiles::new(&[
        "bios/lpxelinux.0",
        "bios/ldlinux.c32",
        "bios/libcom32.c32",
        "bios/libutil.c32",
        "bios/menu.c32",
        "bios/memdisk",
    ]);
    for menu in ["default", "http", "nfs"] {
        for root in ["", "bios/"] {
            files = files.with(&format!("{root}pxelinux.cfg/{menu}"), b"x");
        }
    }
    let images = [
        (
            "ubuntu/2204",
            "casper",
            "initrd",
            "Ubuntu-MATE 22.04.2 LTS \"Jammy Jellyfish\"",
        ),
        (
            "ubuntu/1804",
            "casper",
            "initrd",
            "Ubuntu-MATE 18.04.4 LTS \"Bionic Beaver\"",
        ),
        (
            "mint/21",
            "casper",
            "initrd.lz",
            "Linux Mint 21.1 \"Vera\" - Release amd64",
        ),
        (
            "debian/netinst",
            "install.amd",
            "initrd.gz",
            "Debian GNU/Linux 12.0.0",
        ),
    ];
    for (folder, kernels, initrd, info) in images {
        for root in ["os", "bios/os"] {
            files = files
                .with(&format!("{root}/{folder}/{kernels}/vmlinuz"), b"x")
                .with(&format!("{root}/{folder}/{kernels}/{initrd}"), b"x")
                .with(&format!("{root}/{folder}/.disk/info"), info.as_bytes());
        }
    }
    files
}

fn loaders() -> [Paths; 1] {
    [Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0")]
}

fn printed(menu: &str) -> Vec<Diagnostic> {
    let document = read(Limits::default(), |name| {
        (name == b"main").then(|| menu.into())
    });
    check(&resolve(&document), &loaders(), &Client::new(), &tree())
}

/// Each error with its line (0: the menu as a whole), its code, and what is said of it.
fn assert_each(menu: &str, errors: &[(u32, Code, &str)]) {
    let found = printed(menu);
    for (line, code, words) in errors {
        let is_it = |told: &&Diagnostic| {
            told.place.map_or(0, |place| place.line) == *line
                && told.code == *code
                && told.to_string().contains(words)
        };
        assert!(
            found.iter().any(|told| is_it(&told)),
            "{line} {words}: {found:#?}"
        );
    }
    // And nothing is said that is not wrong.
    for told in &found {
        let line = told.place.map_or(0, |place| place.line);
        let is_known = errors
            .iter()
            .any(|(known, code, _)| (*known, *code) == (line, told.code));
        assert!(
            is_known || told.severity == Severity::Note,
            "line {line}: {told}"
        );
    }
}

const JOINS: &str = "the loader joins no lines";
const BELONGS: &str = "does it belong to the line above?";
const PAGE_NUMBER: &str = "it looks like a page number";

#[test]
fn the_printed_main_menu_is_told_its_errors() {
    // Its second half, with all entries, was lost.
    assert_each(
        include_str!("tutorial/default.printed"),
        &[(0, Code::EmptyMenu, "no entry")],
    );
}

#[test]
fn the_printed_http_menu_is_told_its_errors() {
    assert_each(
        include_str!("tutorial/http.printed"),
        &[
            (0, Code::NoDefault, "neither DEFAULT nor UI"),
            (17, Code::CannotStart, "names no image"),
            (18, Code::MissingValue, "KERNEL has no value"),
            (19, Code::UnknownDirective, JOINS),
            (20, Code::UnknownDirective, BELONGS),
            (22, Code::UnknownDirective, JOINS),
            (23, Code::UnknownDirective, JOINS),
            (24, Code::UnknownDirective, JOINS),
            (
                25,
                Code::UnknownDirective,
                "take the mark-up of the page out",
            ),
            (26, Code::MissingValue, "INITRD has no value"),
            (27, Code::UnknownDirective, JOINS),
            (28, Code::UnknownDirective, BELONGS),
            (29, Code::CannotStart, "names no image"),
            (30, Code::MissingValue, "KERNEL has no value"),
            (31, Code::UnknownDirective, JOINS),
            (33, Code::UnknownDirective, JOINS),
            (34, Code::UnknownDirective, JOINS),
            (34, Code::TornArgument, "locale=.._FR.UTF-8"),
            (35, Code::UnknownDirective, JOINS),
            (36, Code::UnknownDirective, JOINS),
            (37, Code::MissingValue, "INITRD has no value"),
            (38, Code::UnknownDirective, JOINS),
            (39, Code::UnknownDirective, BELONGS),
            (40, Code::CannotStart, "names no image"),
            (41, Code::MissingValue, "KERNEL has no value"),
            (42, Code::UnknownDirective, JOINS),
            (43, Code::UnknownDirective, BELONGS),
            (45, Code::UnknownDirective, JOINS),
            (46, Code::UnknownDirective, BELONGS),
            (47, Code::UnknownDirective, PAGE_NUMBER),
            (48, Code::MissingValue, "INITRD has no value"),
            (49, Code::UnknownDirective, JOINS),
            (50, Code::UnknownDirective, BELONGS),
            (51, Code::CannotStart, "names no image"),
            (52, Code::MissingValue, "KERNEL has no value"),
            (53, Code::UnknownDirective, JOINS),
            (54, Code::UnknownDirective, BELONGS),
            (56, Code::UnknownDirective, JOINS),
            (57, Code::UnknownDirective, JOINS),
            (58, Code::UnknownDirective, JOINS),
            (59, Code::UnknownDirective, JOINS),
            (60, Code::MissingValue, "INITRD has no value"),
            (61, Code::UnknownDirective, JOINS),
            (62, Code::UnknownDirective, BELONGS),
        ],
    );
}

/// Its page has two columns: here the left one stands before the right one.
#[test]
fn the_printed_nfs_menu_is_told_its_errors() {
    assert_each(
        include_str!("tutorial/nfs.printed"),
        &[
            (1, Code::MissingFile, "did you mean menu.c32?"),
            (18, Code::NotANumber, "`37:40` is no colour"),
            (
                22,
                Code::MissingFile,
                "a space ends a name: did you mean menu.c32?",
            ),
            (27, Code::UnknownDirective, JOINS),
            (28, Code::UnknownDirective, JOINS),
            (28, Code::TornArgument, "locale=.._FR.UTF-8"),
            (29, Code::UnknownDirective, JOINS),
            (30, Code::UnknownDirective, JOINS),
            (30, Code::TornArgument, "vt.global_cursor_default=1"),
            (31, Code::UnknownDirective, PAGE_NUMBER),
            (36, Code::UnknownDirective, JOINS),
            (37, Code::UnknownDirective, JOINS),
            (37, Code::TornArgument, "locale=.._FR.UTF-8"),
            (38, Code::UnknownDirective, JOINS),
            (39, Code::UnknownDirective, JOINS),
            (41, Code::CannotStart, "names no image"),
            (42, Code::MissingValue, "KERNEL has no value"),
            (43, Code::UnknownDirective, JOINS),
            (44, Code::UnknownDirective, BELONGS),
            (46, Code::UnknownDirective, JOINS),
            (47, Code::UnknownDirective, BELONGS),
            (48, Code::MissingValue, "INITRD has no value"),
            (49, Code::UnknownDirective, JOINS),
            (50, Code::UnknownDirective, BELONGS),
            (54, Code::UnknownDirective, JOINS),
            (55, Code::UnknownDirective, JOINS),
            (56, Code::UnknownDirective, JOINS),
            (57, Code::UnknownDirective, JOINS),
        ],
    );
}

/// Repaired, only what the author did not know is left: Debian's installer has no NFS root, and none by
/// TFTP at all.
#[test]
fn the_repaired_menus_have_the_true_findings_only() {
    let contents = [
        (
            "bios/pxelinux.cfg/default",
            include_str!("tutorial/default.repaired"),
        ),
        (
            "bios/pxelinux.cfg/http",
            include_str!("tutorial/http.repaired"),
        ),
        (
            "bios/pxelinux.cfg/nfs",
            include_str!("tutorial/nfs.repaired"),
        ),
    ];
    let [paths] = loaders();
    let mut reader = MenuReader::new("pxelinux.cfg/default", paths, Limits::default());
    while let Some(need) = reader.poll_need() {
        let asked = need.location.to_string();
        let found = contents
            .iter()
            .find(|(path, _)| asked == format!("{path} (TFTP)"));
        match found {
            Some((_, content)) => reader.provide(need.id, *content),
            None => reader.missing(need.id),
        }
    }
    let linked = reader.finish();
    assert_eq!(linked.files.len(), 3);
    let found = check(&linked.resolution, &loaders(), &Client::new(), &tree());
    let told: Vec<(String, u32, Code)> = found
        .iter()
        .filter(|told| told.severity > Severity::Note)
        .map(|told| {
            let place = told.place.expect("a place");
            let name = linked.files[place.file.index()].name.to_string();
            (name, place.line, told.code)
        })
        .collect();
    let of = |menu: &str, line, code| (format!("pxelinux.cfg/{menu}"), line, code);
    assert_eq!(
        told,
        [
            of("http", 22, Code::LiveArguments),
            of("http", 22, Code::NfsRoot),
            of("nfs", 19, Code::LiveArguments),
            of("nfs", 19, Code::NfsRoot),
        ]
    );
}
