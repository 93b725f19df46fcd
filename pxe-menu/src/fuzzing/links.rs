//! Menus that lead to each other.

use crate::{
    Action, Entry, GrubOptions, IpxeOptions, Limits, LinkedMenu, Loader, Location, Menu,
    MenuReader, Paths, ScreenId, render_grub, render_ipxe, render_syslinux, render_text,
};

/// Whatever files lead to each other, reading them ends within its bounds, and what comes of it is
/// one whole: each screen but the first hangs below the entry that opens it, and each entry knows
/// its line.
///
/// The files are named `0`, `1` and so on, in any directory; the first is the one begun with.
pub fn fuzz_links(files: &[&[u8]]) {
    let limits = Limits {
        lines_max: 10_000,
        files_max: 24,
        screens_max: 64,
        configurations_max: 16,
        links_max: 8,
        diagnostics_max: 100,
        bytes_max: 100_000,
        ..Limits::default()
    };
    let read = read_links(limits.clone(), |path| {
        let name = path.rsplit(|byte| *byte == b'/').next()?;
        let index: usize = core::str::from_utf8(name).ok()?.parse().ok()?;
        files.get(index).map(|file| file.to_vec())
    });
    let found = &read.resolution;
    let menu = &found.menu;
    assert_eq!(read.files.len(), read.locations.len());
    assert!(menu.screens.len() <= limits.screens_max);
    assert!(found.diagnostics.len() <= limits.diagnostics_max + 1);
    let bytes = read.files.iter().filter_map(|file| file.bytes.as_ref());
    assert!(bytes.map(Vec::len).sum::<usize>() <= limits.bytes_max);
    let places = found.places.iter().flatten().chain(&found.hidden_places);
    let told = found.diagnostics.iter();
    for place in places.copied().chain(told.filter_map(|told| told.place)) {
        assert!(place.file.index() < read.files.len(), "{place:?}");
    }
    assert_eq!(menu.screens.len(), found.places.len());
    assert_eq!(menu.hidden.len(), found.hidden_places.len());
    for (index, (screen, places)) in menu.screens.iter().zip(&found.places).enumerate() {
        assert_eq!(screen.entries.len(), places.len());
        check_parent(menu, index);
        for (at, entry) in screen.entries.iter().enumerate() {
            check_target(menu, ScreenId(index), at, entry);
        }
    }
    let paths = Paths::new(Loader::Lpxelinux, "bios/lpxelinux.0");
    let _ = render_ipxe(menu, &IpxeOptions::new(paths.clone()));
    let _ = render_grub(menu, &GrubOptions::new(paths, "(http,192.0.2.1)"));
    let _ = render_text(menu);
    let _ = render_syslinux(menu);
}

fn check_parent(menu: &Menu, index: usize) {
    let Some((parent, at)) = menu.screens[index].parent else {
        assert_eq!(index, 0, "only the first screen hangs below none");
        return;
    };
    assert!(parent.index() < index, "a screen comes after its parent");
    let action = &menu.screens[parent.index()].entries[at].action;
    assert_eq!(*action, Action::Submenu(ScreenId(index)));
}

fn check_target(menu: &Menu, screen: ScreenId, at: usize, entry: &Entry) {
    match entry.action {
        Action::Submenu(id) => assert_eq!(menu.screens[id.index()].parent, Some((screen, at))),
        Action::Goto(id) | Action::Exit(id) => assert!(id.index() < menu.screens.len()),
        _ => {}
    }
}

/// Reads the configuration `0` and all that it leads to, from what `open` gives for a path on the
/// loader's server.
pub fn read_links(limits: Limits, mut open: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> LinkedMenu {
    let paths = Paths::new(Loader::Lpxelinux, "lpxelinux.0");
    let files_max = limits.files_max;
    let mut reader = MenuReader::new("0", paths, limits);
    let mut asked = 0;
    while let Some(need) = reader.poll_need() {
        asked += 1;
        assert!(asked <= files_max, "more files are asked for than allowed");
        let content = match &need.location {
            Location::Tftp { host: None, path } => open(path),
            _ => None,
        };
        match content {
            Some(bytes) => reader.provide(need.id, bytes),
            None => reader.missing(need.id),
        }
    }
    reader.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file of entries that lead somewhere, mostly.
    fn file() -> impl Strategy<Value = Vec<u8>> {
        let number = || 0..6_u8;
        let line = prop_oneof![
            4 => number().prop_map(|to| format!("LABEL l{to}\nKERNEL menu.c32\nAPPEND {to}\n")),
            2 => number().prop_map(|to| format!("LABEL c\nCONFIG {to}\n")),
            2 => (number(), prop_oneof![Just("x/"), Just("../"), Just("::"), Just("::y/"), Just("x/../")])
                .prop_map(|(to, at)| format!("LABEL d\nCONFIG {to}\nAPPEND {at}\n")),
            1 => (number(), number())
                .prop_map(|(a, b)| format!("LABEL two\nCOM32 vesamenu.c32\nAPPEND {a} {b} ~\n")),
            1 => number().prop_map(|to| format!("INCLUDE {to}\n")),
            1 => number().prop_map(|to| format!("MENU INCLUDE {to} tag{to}\n")),
            1 => number().prop_map(|to| format!("DEFAULT l{to}\n")),
            1 => number().prop_map(|to| format!("ONTIMEOUT l{to} x\n")),
            1 => number().prop_map(|to| format!("DEFAULT vesamenu.c32 {to} ~\n")),
            2 => Just("UI menu.c32\n".to_owned()),
            1 => Just("LABEL s\nKERNEL menu.c32\n".to_owned()),
            1 => Just("MENU PASSWD p\n".to_owned()),
            1 => Just("MENU BEGIN b\n".to_owned()),
            1 => Just("MENU END\n".to_owned()),
            1 => Just("MENU START\n".to_owned()),
            1 => Just("MENU HIDE\n".to_owned()),
            1 => Just("LABEL e\nMENU EXIT .top\n".to_owned()),
            1 => Just("LABEL g\nMENU GOTO .top\n".to_owned()),
            1 => Just("LABEL k\nLINUX k\nAPPEND initrd=i,j x\n".to_owned()),
            1 => Just("NOESCAPE 1\n".to_owned()),
        ];
        prop::collection::vec(line, 0..14).prop_map(|lines| lines.concat().into_bytes())
    }

    /// A grub.cfg that leads to others.
    fn grub_file() -> impl Strategy<Value = Vec<u8>> {
        let number = || 0..6_u8;
        let line = prop_oneof![
            4 => number().prop_map(|to| format!("menuentry 'm{to}' {{ configfile /{to} }}\n")),
            1 => number().prop_map(|to| format!("menuentry d {{ configfile $prefix/x/{to} }}\n")),
            1 => number().prop_map(|to| format!("source /{to}\n")),
            1 => Just("submenu s {\n".to_owned()),
            1 => Just("}\n".to_owned()),
            1 => Just("set superusers=a\n".to_owned()),
            1 => Just("menuentry k --unrestricted { linux /k; initrd /i }\n".to_owned()),
        ];
        prop::collection::vec(line, 0..10).prop_map(|lines| lines.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(crate::fuzzing::the_same_cases(500))]

        #[test]
        fn reading_ends_and_gives_one_whole(files in prop::collection::vec(file(), 1..6)) {
            let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            fuzz_links(&files);
        }

        #[test]
        fn reading_of_grubs_menus_ends(files in prop::collection::vec(grub_file(), 1..6)) {
            let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            fuzz_links(&files);
        }
    }
}
