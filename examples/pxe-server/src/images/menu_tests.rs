//! Menus of images, as each loader gets them.

use std::collections::BTreeSet;

use pxe_menu::{
    Action, Boot, Client, Format, GrubOptions, IpxeOptions, Limits, Loader, Menu, MenuReader,
    Paths, Rendered, ScreenId, render_grub, render_ipxe, render_syslinux,
};
use pxe_tree::MemTree;

use super::command_line::{CommandLine, Transport};
use super::contents::Contents;
use super::menu::{Listed, add_submenu, images_menu, memory};
use super::offer::{Shelves, Station};
use super::own_menu::{OwnMenu, OwnMenus};
use super::profile::{Architecture, Firmware, ImagePath, Profiles};
use super::recognise::{Recognised, Start, recognise};
use super::tests::{IMAGES, Image, with_all_beside};
use crate::menus::Language;

const LANGUAGES: [Language; 3] = [Language::Syslinux, Language::Grub, Language::Ipxe];

fn station(language: Language, firmware: Firmware) -> Station {
    Station {
        language,
        firmware: Some(firmware),
        processor: Some(Architecture::X86_64),
    }
}

fn shelves(has_nfs: bool) -> Shelves {
    Shelves {
        loads: "::images/".to_owned(),
        http: Some("http://192.0.2.1:8080/images".to_owned()),
        nfs: has_nfs.then(|| ("192.0.2.1".to_owned(), "/images".to_owned())),
        memdisk: Some("::bios/memdisk".to_owned()),
        wimboot: Some("::wimboot".to_owned()),
    }
}

fn said(menu: &Menu, language: Language) -> Rendered {
    let paths = Paths::new(Loader::Lpxelinux, "");
    let client = Client::new().with_mac([0x52, 0x54, 0, 0, 0, 1]);
    match language {
        Language::Syslinux => render_syslinux(menu),
        Language::Grub => {
            let options = GrubOptions::new(paths, "(tftp,192.0.2.1)");
            render_grub(menu, &options.with_client(client))
        }
        Language::Ipxe => {
            let options = IpxeOptions::new(paths);
            render_ipxe(menu, &options.with_base("http://192.0.2.1:8080/"))
        }
    }
}

/// The menu of some images by their profiles, and what is left out of it.
fn menu_of(profiles: &[&str], station: Station, shelves: &Shelves) -> (String, Vec<String>) {
    let shipped = Profiles::shipped();
    let contents = profiles
        .iter()
        .map(|profile| with_all_beside(&shipped, Image::of(profile).contents()));
    let contents: Vec<_> = contents.collect();
    let listed = profiles.iter().zip(&contents);
    let listed = listed.map(|(name, contents)| Listed {
        name,
        recognised: recognise(&shipped, contents).expect("recognised"),
        own: None,
    });
    let listed: Vec<_> = listed.collect();
    let (menu, left_out) = images_menu(&listed, station, shelves);
    (said(&menu, station.language).to_string(), left_out)
}

const SOME: [&str; 5] = [
    "debian-live",
    "ubuntu-server",
    "memtest86plus",
    "freedos",
    "windows-pe",
];

#[test]
fn pxelinux_under_the_bios() {
    let station = station(Language::Syslinux, Firmware::Bios);
    let (text, left_out) = menu_of(&SOME, station, &shelves(true));
    let expected = "\
UI menu.c32
MENU MARGIN 2
MENU TITLE Images
LABEL images/debian-live
  MENU LABEL Debian GNU/Linux 12.5.0 live (needs 1 GiB of memory)
  LINUX ::images/debian-live/live/vmlinuz-6.1.0-18-amd64
  APPEND boot=live components netboot=nfs nfsroot=192.0.2.1:/images/debian-live
  INITRD ::images/debian-live/live/initrd.img-6.1.0-18-amd64
  SYSAPPEND 0x2
MENU BEGIN
  MENU TITLE Ubuntu Server 24.04.4 LTS
  LABEL images/ubuntu-server/1
    MENU LABEL Start (needs 2 GiB of memory)
    LINUX ::images/ubuntu-server/casper/vmlinuz
    APPEND boot=casper netboot=nfs nfsroot=192.0.2.1:/images/ubuntu-server ip=dhcp
    INITRD ::images/ubuntu-server/casper/initrd
    SYSAPPEND 0x2
  LABEL images/ubuntu-server/2
    MENU LABEL autoinstall (needs 2 GiB of memory)
    LINUX ::images/ubuntu-server/casper/vmlinuz
    APPEND boot=casper netboot=nfs nfsroot=192.0.2.1:/images/ubuntu-server ip=dhcp \
autoinstall ds=nocloud;s=http://192.0.2.1:8080/images/ubuntu-server.beside/seed/
    INITRD ::images/ubuntu-server/casper/initrd
    SYSAPPEND 0x2
  LABEL images/ubuntu-server/back
    MENU LABEL Back
    MENU EXIT
MENU END
MENU BEGIN
  MENU TITLE Memtest86+
  LABEL images/memtest86plus/1
    MENU LABEL Start (needs 16 MiB of memory)
    LINUX ::images/memtest86plus/EFI/BOOT/bootx64.efi
    SYSAPPEND 0x0
  LABEL images/memtest86plus/2
    MENU LABEL floppy (needs 16 MiB of memory)
    LINUX ::bios/memdisk
    INITRD ::images/memtest86plus/boot/floppy.img
    SYSAPPEND 0x0
  LABEL images/memtest86plus/back
    MENU LABEL Back
    MENU EXIT
MENU END
LABEL images/freedos
  MENU LABEL FreeDOS (needs 1016 MiB of memory)
  LINUX ::bios/memdisk
  APPEND iso raw
  INITRD ::images/freedos.iso
  SYSAPPEND 0x0
LABEL local
  MENU LABEL Boot from the local disk
  LOCALBOOT 0
  SYSAPPEND 0x0
";
    assert_eq!(text, expected);
    assert_eq!(
        left_out,
        ["windows-pe: wimboot wants its files by their names, which iPXE alone gives"]
    );
}

#[test]
fn syslinux_under_uefi() {
    let station = station(Language::Syslinux, Firmware::Uefi);
    let (text, left_out) = menu_of(&["debian-live", "memtest86plus", "freedos"], station, &{
        let mut by_http = shelves(false);
        by_http.loads = "http://192.0.2.1:8080/images/".to_owned();
        by_http
    });
    let expected = "\
UI menu.c32
MENU MARGIN 2
MENU TITLE Images
LABEL images/debian-live
  MENU LABEL Debian GNU/Linux 12.5.0 live (needs 1.3 GiB of memory)
  LINUX http://192.0.2.1:8080/images/debian-live/live/vmlinuz-6.1.0-18-amd64
  APPEND boot=live components \
fetch=http://192.0.2.1:8080/images/debian-live/live/filesystem.squashfs
  INITRD http://192.0.2.1:8080/images/debian-live/live/initrd.img-6.1.0-18-amd64
  SYSAPPEND 0x2
LABEL local
  MENU LABEL Boot from the local disk
  LOCALBOOT 0
  SYSAPPEND 0x0
";
    assert_eq!(text, expected);
    assert_eq!(
        left_out,
        [
            "memtest86plus: no syslinux starts programs of UEFI; GRUB and iPXE do",
            "memtest86plus, floppy: memdisk is for the BIOS: under UEFI nobody answers its calls",
            "freedos: memdisk is for the BIOS: under UEFI nobody answers its calls",
        ]
    );
}

#[test]
fn grub_under_the_bios() {
    let station = station(Language::Grub, Firmware::Bios);
    let (text, left_out) = menu_of(&SOME, station, &shelves(false));
    let expected = "\
# Images
set default='e0_0'
set timeout=-1
menuentry 'Debian GNU/Linux 12.5.0 live (needs 1.3 GiB of memory)' --id e0_0 --unrestricted {
  linux (tftp,192.0.2.1)/images/debian-live/live/vmlinuz-6.1.0-18-amd64 boot=live components \
fetch=http://192.0.2.1:8080/images/debian-live/live/filesystem.squashfs \
BOOTIF=01-52-54-00-00-00-01
  initrd (tftp,192.0.2.1)/images/debian-live/live/initrd.img-6.1.0-18-amd64
}
submenu 'Ubuntu Server 24.04.4 LTS' --id e0_1 --unrestricted {
  menuentry 'Start (needs 3 GiB of memory)' --id e1_0 --unrestricted {
    linux (tftp,192.0.2.1)/images/ubuntu-server/casper/vmlinuz root=/dev/ram0 ip=dhcp \
cloud-config-url=/dev/null \
url=http://192.0.2.1:8080/images/ubuntu-server.iso BOOTIF=01-52-54-00-00-00-01
    initrd (tftp,192.0.2.1)/images/ubuntu-server/casper/initrd
  }
  menuentry 'autoinstall (needs 3 GiB of memory)' --id e1_1 --unrestricted {
    linux (tftp,192.0.2.1)/images/ubuntu-server/casper/vmlinuz root=/dev/ram0 ip=dhcp \
cloud-config-url=/dev/null \
url=http://192.0.2.1:8080/images/ubuntu-server.iso autoinstall \
'ds=nocloud;s=http://192.0.2.1:8080/images/ubuntu-server.beside/seed/' \
BOOTIF=01-52-54-00-00-00-01
    initrd (tftp,192.0.2.1)/images/ubuntu-server/casper/initrd
  }
}
submenu 'Memtest86+' --id e0_2 --unrestricted {
  menuentry 'Start (needs 16 MiB of memory)' --id e2_0 --unrestricted {
    linux (tftp,192.0.2.1)/images/memtest86plus/EFI/BOOT/bootx64.efi
  }
  # images/memtest86plus/2: GRUB shows it where its platform is pc
  if [ \"$grub_platform\" = \"pc\" ]; then
    menuentry 'floppy (needs 16 MiB of memory)' --id e2_1 --unrestricted {
      linux16 (tftp,192.0.2.1)/bios/memdisk
      initrd16 (tftp,192.0.2.1)/images/memtest86plus/boot/floppy.img
    }
  fi
}
# images/freedos: GRUB shows it where its platform is pc
if [ \"$grub_platform\" = \"pc\" ]; then
  menuentry 'FreeDOS (needs 1016 MiB of memory)' --id e0_3 --unrestricted {
    linux16 (tftp,192.0.2.1)/bios/memdisk iso raw
    initrd16 (tftp,192.0.2.1)/images/freedos.iso
  }
fi
menuentry 'Boot from the local disk' --id e0_4 --unrestricted {
  exit 1
}
";
    assert_eq!(text, expected);
    assert_eq!(left_out.len(), 1, "{left_out:?}");
}

#[test]
fn grub_under_uefi() {
    let station = station(Language::Grub, Firmware::Uefi);
    let (text, _) = menu_of(&["memtest86plus", "freedos"], station, &shelves(true));
    let expected = "\
# Images
set default='e0_0'
set timeout=-1
# images/memtest86plus: GRUB shows it where its platform is efi
if [ \"$grub_platform\" = \"efi\" ]; then
  menuentry 'Memtest86+ (needs 16 MiB of memory)' --id e0_0 --unrestricted {
    chainloader (tftp,192.0.2.1)/images/memtest86plus/EFI/BOOT/bootx64.efi
  }
fi
menuentry 'Boot from the local disk' --id e0_1 --unrestricted {
  exit 1
}
";
    assert_eq!(text, expected);
}

/// The items and what they do, without what is the same in all scripts.
fn script(text: &str) -> String {
    let lines = text.lines().skip_while(|line| *line != ":screen0");
    let lines = lines.take_while(|line| *line != ":local");
    let wanted = |line: &&str| {
        ["item", "kernel", "initrd --name", "chain ", "iseq"]
            .iter()
            .any(|word| line.starts_with(word))
    };
    lines
        .filter(wanted)
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn ipxe_under_the_bios() {
    let station = station(Language::Ipxe, Firmware::Bios);
    let (text, left_out) = menu_of(&SOME, station, &shelves(true));
    let expected = "\
item e0_0 Debian GNU/Linux 12.5.0 live (needs 1 GiB of memory)
item e0_1 Ubuntu Server 24.04.4 LTS >
item e0_2 Memtest86+ >
item e0_3 FreeDOS (needs 1016 MiB of memory)
item e0_4 Windows PE (needs 1.3 GiB of memory)
item e0_5 Boot from the local disk
kernel http://192.0.2.1:8080/images/debian-live/live/vmlinuz-6.1.0-18-amd64 initrd=initrd0 \
boot=live components netboot=nfs nfsroot=192.0.2.1:/images/debian-live \
BOOTIF=01-${mac:hexhyp} || goto failed0
initrd --name initrd0 \
http://192.0.2.1:8080/images/debian-live/live/initrd.img-6.1.0-18-amd64 || goto failed0
iseq ${platform} pcbios || goto failed0
kernel http://192.0.2.1:8080/bios/memdisk iso raw || goto failed0
initrd --name initrd0 http://192.0.2.1:8080/images/freedos.iso || goto failed0
kernel http://192.0.2.1:8080/wimboot || goto failed0
initrd --name BCD http://192.0.2.1:8080/images/windows-pe/boot/bcd BCD || goto failed0
initrd --name boot.sdi http://192.0.2.1:8080/images/windows-pe/boot/boot.sdi boot.sdi || \
goto failed0
initrd --name boot.wim http://192.0.2.1:8080/images/windows-pe/sources/boot.wim boot.wim || \
goto failed0
item e1_0 Start (needs 2 GiB of memory)
item e1_1 autoinstall (needs 2 GiB of memory)
item e1_2 Back
kernel http://192.0.2.1:8080/images/ubuntu-server/casper/vmlinuz initrd=initrd0 boot=casper \
netboot=nfs nfsroot=192.0.2.1:/images/ubuntu-server ip=dhcp BOOTIF=01-${mac:hexhyp} || goto failed1
initrd --name initrd0 http://192.0.2.1:8080/images/ubuntu-server/casper/initrd || goto failed1
kernel http://192.0.2.1:8080/images/ubuntu-server/casper/vmlinuz initrd=initrd0 boot=casper \
netboot=nfs nfsroot=192.0.2.1:/images/ubuntu-server ip=dhcp autoinstall \
ds=nocloud;s=http://192.0.2.1:8080/images/ubuntu-server.beside/seed/ \
BOOTIF=01-${mac:hexhyp} || goto failed1
initrd --name initrd0 http://192.0.2.1:8080/images/ubuntu-server/casper/initrd || goto failed1
item e2_0 Start (needs 16 MiB of memory)
item e2_1 floppy (needs 16 MiB of memory)
item e2_2 Back
kernel http://192.0.2.1:8080/images/memtest86plus/EFI/BOOT/bootx64.efi || goto failed2
iseq ${platform} pcbios || goto failed2
kernel http://192.0.2.1:8080/bios/memdisk || goto failed2
initrd --name initrd0 http://192.0.2.1:8080/images/memtest86plus/boot/floppy.img || goto failed2
";
    assert_eq!(script(&text), expected);
    assert!(text.starts_with("#!ipxe\n"), "{text}");
    assert_eq!(left_out, Vec::<String>::new());
}

#[test]
fn ipxe_under_uefi() {
    let station = station(Language::Ipxe, Firmware::Uefi);
    let images = ["memtest86plus", "freedos", "windows-pe"];
    let mut lacking = shelves(true);
    lacking.wimboot = None;
    let (text, left_out) = menu_of(&images, station, &lacking);
    let expected = "\
item e0_0 Memtest86+ (needs 16 MiB of memory)
item e0_1 Boot from the local disk
iseq ${platform} efi || goto failed0
chain http://192.0.2.1:8080/images/memtest86plus/EFI/BOOT/bootx64.efi || goto failed0
";
    assert_eq!(script(&text), expected);
    assert_eq!(
        left_out,
        [
            "memtest86plus, floppy: memdisk is for the BIOS: under UEFI nobody answers its calls",
            "freedos: memdisk is for the BIOS: under UEFI nobody answers its calls",
            "windows-pe: wimboot is not in the tree: put it there as wimboot \
             (https://ipxe.org/wimboot)",
        ]
    );
}

/// Nothing is known of a machine that no DHCP server of ours saw: it is shown what is for either
/// firmware, and told which.
#[test]
fn a_machine_that_is_not_known_is_told_what_is_for_whom() {
    let unknown = Station {
        language: Language::Ipxe,
        firmware: None,
        processor: None,
    };
    let (text, _) = menu_of(&["memtest86plus"], unknown, &shelves(true));
    let items: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("item e1"))
        .collect();
    assert_eq!(
        items,
        [
            "item e1_0 UEFI only (needs 16 MiB of memory)",
            "item e1_1 BIOS only (needs 16 MiB of memory)",
            "item e1_2 floppy, 32-bit x86, BIOS only (needs 16 MiB of memory)",
            "item e1_3 Back",
        ]
    );
}

/// The lines of kernels in a menu, as the loader hands them on.
fn lines(menu: &Rendered, language: Language) -> BTreeSet<String> {
    let text = menu.text.to_string();
    if language == Language::Ipxe {
        let kernels = text.lines().filter_map(|line| line.strip_prefix("kernel "));
        let kernels = kernels.filter(|line| !line.contains("/wimboot "));
        let lines = kernels.map(|line| {
            let line = line.rsplit_once(" || goto ").expect("an error is caught").0;
            let words = line.split(' ').skip(1);
            let is_own = |word: &&str| word.starts_with("initrd=") || word.starts_with("BOOTIF=");
            let words = words.filter(|word| !is_own(word));
            words.collect::<Vec<_>>().join(" ")
        });
        return lines.collect();
    }
    let (loader, menu) = reread(menu, language);
    let boots = menu.entries().filter_map(|entry| match &entry.action {
        Action::Run(command) => Some(command.boot(loader, &Client::new())),
        _ => None,
    });
    let lines = boots.filter_map(|boot| match boot {
        Boot::Linux(linux) => Some(linux.arguments_without_initrd().to_string()),
        _ => None,
    });
    let lines = lines.map(|line| {
        let words = line.split(' ').filter(|word| !word.starts_with("BOOTIF="));
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect()
}

fn reread(menu: &Rendered, language: Language) -> (Loader, Menu) {
    let (loader, format, name) = match language {
        Language::Grub => (Loader::GrubEfi, Format::GrubCfg, "::grub.cfg"),
        _ => (Loader::Lpxelinux, Format::Syslinux, "default"),
    };
    let paths = Paths::new(loader, "");
    let reader = MenuReader::new(name, paths, Limits::default());
    let mut reader = reader.with_format(format);
    while let Some(need) = reader.poll_need() {
        reader.provide(need.id, menu.text.to_vec());
    }
    (loader, reader.finish().resolution.menu)
}

fn expected(recognised: &Recognised<'_>, shelves: &Shelves, name: &str) -> BTreeSet<String> {
    let served = shelves.served(name);
    let transports = match shelves.nfs {
        Some(_) => &[Transport::Nfs, Transport::Http][..],
        None => &[Transport::Http],
    };
    let entries = recognised.entries.iter().filter(|entry| {
        matches!(entry.start, Start::Linux { .. })
            && entry.firmware.contains(&Firmware::Uefi)
            && entry
                .architecture
                .is_none_or(|it| it == Architecture::X86_64)
    });
    let lines = entries.filter_map(|entry| {
        let mut transports = transports.iter();
        transports
            .find_map(|transport| CommandLine::of(recognised, entry, *transport, &served).ok())
    });
    lines.map(|line| line.0).collect()
}

#[test]
fn no_language_changes_a_command_line_of_a_shipped_profile() {
    let profiles = Profiles::shipped();
    let ways = LANGUAGES
        .iter()
        .flat_map(|one| [(*one, true), (*one, false)]);
    for ((language, has_nfs), image) in
        ways.flat_map(|way| IMAGES.iter().map(move |image| (way, image)))
    {
        let contents = with_all_beside(&profiles, image.contents());
        let listed = [Listed {
            name: "some",
            recognised: recognise(&profiles, &contents).expect(image.profile),
            own: None,
        }];
        let shelves = shelves(has_nfs);
        let (menu, _) = images_menu(&listed, station(language, Firmware::Uefi), &shelves);
        let rendered = said(&menu, language);
        assert_eq!(
            lines(&rendered, language),
            expected(&listed[0].recognised, &shelves, "some"),
            "{} in {language:?}: {rendered}",
            image.profile
        );
    }
}

/// A text that would begin lines, entries, commands and variables of any of the loaders.
const HOSTILE: &str = "A\nEVIL\r\nLABEL EVIL\n\x1b[2J'\"`EVIL`$(EVIL)${EVIL} || EVIL && EVIL | EVIL; EVIL \
    } menuentry EVIL { # ^E \\";

fn hostile() -> Contents {
    let mut contents = Image::of("debian-live").contents();
    contents.volume_id = HOSTILE.to_owned();
    let info = HOSTILE.to_owned();
    contents.texts.insert(".disk/info".to_owned(), info);
    contents
}

#[test]
fn what_an_image_says_of_itself_begins_nothing_in_any_menu() {
    let own = "\n[[profile]]\nid = \"mine\"\nlabel = \"{all} {volume}\"\nover = [\"debian-live\"]\n\
        recognise.all = [\"live/filesystem.squashfs\"]\n\
        recognise.text = [{ file = \".disk/info\", pattern = '(?s)(?P<all>.*)' }, \
        { volume_id = true, pattern = '(?s)(?P<volume>.*)' }]\n\
        source = [{ at = \"x\", evidence = \"unread\" }]\n[[profile.boot]]\n\
        firmware = [\"bios\", \"uefi\"]\nmethod = \"linux\"\nkernel = [\"live/vmlinuz-*\"]\nhttp = \"a\"\n";
    let profiles = Profiles::shipped();
    let profiles = profiles
        .with(std::path::Path::new("my.toml"), own)
        .expect("valid");
    let contents = hostile();
    for language in LANGUAGES {
        let recognised = recognise(&profiles, &contents).expect("recognised");
        assert_eq!(recognised.profile.id, "mine");
        let listed = [Listed {
            name: "some",
            recognised,
            own: None,
        }];
        let station = station(language, Firmware::Bios);
        let (menu, left_out) = images_menu(&listed, station, &shelves(false));
        assert_eq!(left_out, Vec::<String>::new());
        let rendered = said(&menu, language);
        let text = rendered.text.to_string();
        let lines = text.lines().map(str::trim_start);
        let evil: Vec<&str> = lines.clone().filter(|line| line.contains("EVIL")).collect();
        let [line] = evil.as_slice() else {
            panic!("one line has it: {evil:?}");
        };
        let start = match language {
            Language::Syslinux => "MENU LABEL A EVIL LABEL EVIL",
            Language::Grub => "menuentry 'A EVIL LABEL EVIL",
            Language::Ipxe => "item e0_0 A EVIL LABEL EVIL",
        };
        assert!(line.starts_with(start), "{line}");
        if language == Language::Ipxe {
            assert!(!text.contains("${EVIL"), "{text}");
            let words: Vec<&str> = line.split(' ').collect();
            let ends = ["||", "&&", ";"];
            assert!(!words.iter().any(|word| ends.contains(word)), "{line}");
        } else {
            let (_, menu) = reread(&rendered, language);
            let shown: Vec<String> = menu
                .entries()
                .map(|entry| entry.shown().to_string())
                .collect();
            assert_eq!(shown.len(), 2, "{shown:?}");
            assert_eq!(shown[1], "Boot from the local disk");
        }
    }
}

#[test]
fn a_file_whose_name_is_not_plain_is_not_loaded() {
    let profiles = Profiles::shipped();
    for name in [
        "live/vmlinuz-6.1 init=x",
        "live/vmlinuz-6.1\nLABEL x",
        "live/vmlinuz-6.1,x",
        "live/vmlinuz-${mac}",
        "live/vmlinuz-'x",
        "live/vmlinuz-a::b",
    ] {
        let mut contents = Image::of("debian-live").contents();
        contents.files.remove("live/vmlinuz-6.1.0-18-amd64");
        contents.files.insert(name.to_owned(), 1);
        let listed = [Listed {
            name: "some",
            recognised: recognise(&profiles, &contents).expect("recognised"),
            own: None,
        }];
        for language in LANGUAGES {
            let station = station(language, Firmware::Bios);
            let (menu, left_out) = images_menu(&listed, station, &shelves(true));
            assert_eq!(menu.entries().count(), 1, "{name}");
            assert!(left_out[0].contains("loaders would take"), "{left_out:?}");
        }
    }
}

#[test]
fn editions_of_one_release_are_told_apart() {
    let profiles = Profiles::shipped();
    let contents = Image::of("debian-live").contents();
    let listed = ["gnome", "kde"].map(|name| Listed {
        name,
        recognised: recognise(&profiles, &contents).expect("recognised"),
        own: None,
    });
    let (menu, _) = images_menu(
        &listed,
        station(Language::Grub, Firmware::Bios),
        &shelves(true),
    );
    let shown: Vec<String> = menu
        .entries()
        .map(|entry| entry.shown().to_string())
        .collect();
    assert_eq!(
        shown[..2],
        [
            "Debian GNU/Linux 12.5.0 live [gnome] (needs 1 GiB of memory)",
            "Debian GNU/Linux 12.5.0 live [kde] (needs 1 GiB of memory)",
        ]
    );
}

#[test]
fn a_submenu_is_added_where_something_can_be_started() {
    let profiles = Profiles::shipped();
    let dos = Image::of("freedos").contents();
    let listed = [Listed {
        name: "dos",
        recognised: recognise(&profiles, &dos).expect("recognised"),
        own: None,
    }];
    let mut menu = Menu::titled("Mine");
    let uefi = station(Language::Ipxe, Firmware::Uefi);
    let left_out = add_submenu(&mut menu, &listed, uefi, &shelves(true));
    assert_eq!((menu.screens.len(), left_out.len()), (1, 1));
    let bios = station(Language::Ipxe, Firmware::Bios);
    let left_out = add_submenu(&mut menu, &listed, bios, &shelves(true));
    assert_eq!((menu.screens.len(), left_out.len()), (2, 0));
    let top = menu.screen(ScreenId::TOP).expect("there");
    assert_eq!(top.entries[0].shown(), "Images");
}

#[test]
fn memory_is_rounded_up() {
    for (mib, text) in [
        (16, "16 MiB"),
        (1023, "1023 MiB"),
        (1024, "1 GiB"),
        (1025, "1.1 GiB"),
        (1127, "1.2 GiB"),
        (4096, "4 GiB"),
    ] {
        assert_eq!(memory(mib), text);
    }
}

async fn own(files: &[(&str, &'static str)], station: Station) -> Result<OwnMenu, String> {
    let tree = MemTree::new();
    for (path, content) in files {
        tree.insert_file(*path, *content).expect("free");
    }
    let menus: Vec<ImagePath> = files
        .iter()
        .map(|(path, _)| ImagePath::parse(path).expect("valid"))
        .filter(|path| path.path.ends_with("linux.cfg") || path.path.ends_with("grub.cfg"))
        .collect();
    let own = OwnMenus::default();
    own.get(&tree, "some", &menus, station, &shelves(true))
        .await
}

async fn own_text(files: &[(&str, &'static str)], station: Station) -> (String, Vec<String>) {
    let own = own(files, station).await;
    let contents = Contents {
        volume_id: "SOME".to_owned(),
        files: files
            .iter()
            .map(|(path, _)| ((*path).to_owned(), 1))
            .collect(),
        ..Contents::default()
    };
    let profiles = Profiles::shipped();
    let listed = [Listed {
        name: "some",
        recognised: recognise(&profiles, &contents).expect("recognised"),
        own: Some(own),
    }];
    assert_eq!(listed[0].recognised.profile.id, "own-menu");
    let (menu, left_out) = images_menu(&listed, station, &shelves(true));
    (said(&menu, station.language).to_string(), left_out)
}

/// To isolinux names are relative to its folder, and a slash begins at the root of the medium.
#[tokio::test]
async fn an_isolinux_menu_leads_into_the_image_as_it_is_served() {
    let files = [
        (
            "isolinux/isolinux.cfg",
            "UI vesamenu.c32\nMENU TITLE Some\nINCLUDE more.cfg\nLABEL local\nLOCALBOOT 0x80\n",
        ),
        (
            "isolinux/more.cfg",
            "LABEL one\nMENU LABEL ^One\nKERNEL /boot/vmlinuz\nINITRD initrd.gz,/boot/more.gz\n\
             APPEND quiet a=b;c\nMENU BEGIN x\nMENU TITLE Others\nLABEL two\n\
             KERNEL vmlinuz\nAPPEND initrd=../boot/i.gz archisolabel=SOME\nLABEL hdt\n\
             COM32 hdt.c32\nMENU END\n",
        ),
        ("boot/vmlinuz", "kernel"),
        ("isolinux/initrd.gz", "initrd"),
        ("boot/more.gz", "initrd"),
        ("isolinux/vmlinuz", "kernel"),
        ("boot/i.gz", "initrd"),
    ];
    let bios = station(Language::Syslinux, Firmware::Bios);
    let (text, left_out) = own_text(&files, bios).await;
    let expected = "\
UI menu.c32
MENU MARGIN 2
MENU TITLE Images
MENU BEGIN
  MENU TITLE SOME [some]
  LABEL images/some/1
    MENU LABEL One
    LINUX ::images/some/boot/vmlinuz
    APPEND quiet a=b;c
    INITRD ::images/some/isolinux/initrd.gz,::images/some/boot/more.gz
    SYSAPPEND 0x0
  MENU BEGIN
    MENU TITLE Others
    LABEL images/some/2/1
      MENU LABEL two (looks for a CD)
      LINUX ::images/some/isolinux/vmlinuz
      APPEND archisolabel=SOME
      INITRD ::images/some/boot/i.gz
      SYSAPPEND 0x0
    LABEL images/some/2/back
      MENU LABEL Back
      MENU EXIT
  MENU END
  LABEL images/some/back
    MENU LABEL Back
    MENU EXIT
MENU END
LABEL local
  MENU LABEL Boot from the local disk
  LOCALBOOT 0
  SYSAPPEND 0x0
";
    assert_eq!(text, expected);
    assert_eq!(
        left_out,
        [
            "some: two: archisolabel looks for a CD",
            "some: hdt: it is no kernel",
        ]
    );
}

#[tokio::test]
async fn a_grub_menu_leads_into_the_image_as_it_is_served() {
    let menu = (
        "boot/grub/grub.cfg",
        "search --set=root --file /.disk/some\nset timeout=5\n\
         if loadfont $prefix/unicode.pf2 ; then set gfxmode=auto ; fi\n\
         menuentry 'Install' { linux /install/vmlinuz vga=788 -- quiet\n initrd /install/initrd.gz }\n\
         submenu 'More' {\n menuentry 'Shell' { linux ($root)/install/vmlinuz rescue/enable=true\n \
         initrd /install/initrd.gz }\n menuentry 'Firmware' { fwsetup }\n }\n\
         menuentry 'Program' { chainloader /EFI/x.efi }\n",
    );
    let files = [
        menu,
        ("install/vmlinuz", "kernel"),
        ("install/initrd.gz", "initrd"),
        ("EFI/x.efi", "program"),
    ];
    let (text, left_out) = own_text(&files, station(Language::Grub, Firmware::Uefi)).await;
    assert!(
        text.contains(
            "  menuentry 'Install' --id e1_0 --unrestricted {\n    \
             linux (tftp,192.0.2.1)/images/some/install/vmlinuz vga=788 -- quiet\n    \
             initrd (tftp,192.0.2.1)/images/some/install/initrd.gz\n  }\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("/images/some/install/vmlinuz rescue/enable=true\n"),
        "{text}"
    );
    assert_eq!(left_out, Vec::<String>::new());
}

/// GRUB's menu of images is made for each machine, and an image's menu may be long.
#[tokio::test]
async fn an_images_own_menu_is_read_once_for_machines_of_a_kind() {
    let tree = MemTree::new();
    tree.insert_file("k", "kernel").expect("free");
    let insert = |text: &'static str| tree.insert_file("isolinux.cfg", text).expect("free");
    insert("LABEL one\nLINUX k\n");
    let menus = [ImagePath::parse("isolinux.cfg").expect("valid")];
    let own = OwnMenus::default();
    let shelves = shelves(true);
    let get = async |name, firmware| {
        let station = station(Language::Syslinux, firmware);
        let own = own.get(&tree, name, &menus, station, &shelves).await;
        format!("{:?}", own.expect("an entry").entries)
    };
    let first = get("some", Firmware::Bios).await;
    assert!(first.contains("::images/some/k"), "{first}");
    tree.remove("isolinux.cfg").expect("there");
    insert("LABEL two\nLINUX k\n");
    assert_eq!(get("some", Firmware::Bios).await, first);
    assert!(get("some", Firmware::Uefi).await.contains("two"));
    // Another file may have taken its name.
    assert!(
        get("other", Firmware::Bios)
            .await
            .contains("::images/other/k")
    );
}

#[tokio::test]
async fn an_image_without_anything_to_start_says_so() {
    let files = [("isolinux.cfg", "DEFAULT x\nLABEL x\nCOM32 chain.c32\n")];
    let bios = station(Language::Syslinux, Firmware::Bios);
    assert_eq!(
        own(&files, bios).await,
        Err("isolinux.cfg: x: it is no kernel".to_owned())
    );
    let hostile = [
        (
            "isolinux.cfg",
            "LABEL x\nLINUX http://elsewhere/k\nLABEL y\nLINUX ../../etc/k\n",
        ),
        ("etc/k", "kernel"),
    ];
    let own = own(&hostile, bios).await.expect("one");
    let [super::own_menu::OwnEntry::Run { command, .. }] = own.entries.as_slice() else {
        panic!("one entry: {own:?}");
    };
    assert_eq!(command.image, "::images/some/etc/k");
    assert_eq!(own.left_out, ["x: it is on another server, or on a disk"]);
}

/// isolinux itself would say that it finds no such file, once it was chosen.
#[tokio::test]
async fn what_an_own_menu_names_and_the_image_has_not_is_not_offered() {
    let files = [
        (
            "isolinux/isolinux.cfg",
            "LABEL a\nKERNEL gone\nLABEL b\nKERNEL k\nINITRD i,gone.gz\nLABEL c\nKERNEL /isolinux\n",
        ),
        ("isolinux/k", "kernel"),
        ("isolinux/i", "initrd"),
        (
            "boot/grub/grub.cfg",
            "menuentry 'd' { linux /isolinux/k\n initrd /isolinux/i }\n",
        ),
    ];
    let bios = station(Language::Syslinux, Firmware::Bios);
    // Nothing of the menu that is for the BIOS can be started, so the other one is taken.
    let taken = own(&files, bios).await.expect("an entry");
    let [super::own_menu::OwnEntry::Run { title, .. }] = taken.entries.as_slice() else {
        panic!("one entry: {taken:?}");
    };
    assert_eq!(title, "d");
    let why = own(&files[..3], bios).await.expect_err("nothing");
    assert_eq!(
        why,
        "isolinux/isolinux.cfg: a: /isolinux/gone is not in the image; \
         b: /isolinux/gone.gz is not in the image; c: /isolinux is not in the image"
    );
}
