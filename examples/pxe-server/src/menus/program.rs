//! Which boot program a file of the tree is: whose menus are to be expected beside it.

use pxe_menu::{Loader, Location, Text};

use super::read::MenuFiles;

/// PXELINUX writes its name at some 3.5 KiB, before what is compressed.
const BANNER_BYTES_MAX: usize = 8192;

/// A boot program that reads menus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// One of syslinux.
    Syslinux(Loader),
    /// GRUB, for BIOS or UEFI.
    Grub,
}

impl Program {
    /// What a file is, by what is in it, else by its name.
    pub(crate) async fn of(files: &MenuFiles, path: &[u8]) -> Option<Self> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let name = name.to_ascii_lowercase();
        if !is_candidate(&name) {
            return None;
        }
        let location = Location::Tftp {
            host: None,
            path: Text::from(path),
        };
        let head = files.head(&location, BANNER_BYTES_MAX).await.ok()?;
        by_content(&head).or_else(|| by_name(&name))
    }

    /// What a file of this name is, where there is no such file to look at.
    pub(crate) fn of_name(path: &[u8]) -> Option<Self> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        by_name(&name.to_ascii_lowercase())
    }
}

/// Whether a boot program may have such a name, so that it is worth a look.
fn is_candidate(name: &[u8]) -> bool {
    let extensions: [&[u8]; 4] = [b".0", b".efi", b".bin", b".pxe"];
    extensions.iter().any(|extension| name.ends_with(extension))
}

fn by_content(head: &[u8]) -> Option<Program> {
    let has = |text: &[u8]| head.windows(text.len()).any(|window| window == text);
    if !has(b"PXELINUX ") {
        return None;
    }
    // lpxelinux.0 has a network stack of its own, which its banner names: `PXELINUX 6.04 lwIP`.
    let loader = match has(b"lwIP") {
        true => Loader::Lpxelinux,
        false => Loader::Pxelinux,
    };
    Some(Program::Syslinux(loader))
}

fn by_name(name: &[u8]) -> Option<Program> {
    let has = |text: &[u8]| name.windows(text.len()).any(|window| window == text);
    let is_efi = name.ends_with(b".efi");
    if has(b"lpxelinux") {
        Some(Program::Syslinux(Loader::Lpxelinux))
    } else if has(b"pxelinux") {
        Some(Program::Syslinux(Loader::Pxelinux))
    } else if is_efi && has(b"syslinux") {
        Some(Program::Syslinux(Loader::SyslinuxEfi))
    } else if has(b"grub") || name == b"core.0" {
        Some(Program::Grub)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pxelinux_is_known_by_its_banner_whatever_its_name() {
        let mut head = vec![0; 3000];
        head.extend_from_slice(b"PXELINUX 6.04 PXE \0");
        let pxelinux = Some(Program::Syslinux(Loader::Pxelinux));
        assert_eq!(by_content(&head), pxelinux);
        head.extend_from_slice(b"PXELINUX 6.04 lwIP \0");
        let lpxelinux = Some(Program::Syslinux(Loader::Lpxelinux));
        assert_eq!(by_content(&head), lpxelinux);
        assert_eq!(by_content(b"MZ"), None);
    }

    #[test]
    fn others_are_known_by_their_names() {
        for (name, program) in [
            (
                "bios/lpxelinux.0",
                Some(Program::Syslinux(Loader::Lpxelinux)),
            ),
            ("PXELINUX.0", Some(Program::Syslinux(Loader::Pxelinux))),
            (
                "efi64/syslinux.efi",
                Some(Program::Syslinux(Loader::SyslinuxEfi)),
            ),
            ("grub/grubx64.efi", Some(Program::Grub)),
            ("boot/grub/i386-pc/core.0", Some(Program::Grub)),
            ("ipxe/snponly.efi", None),
            ("syslinux.c32", None),
        ] {
            assert_eq!(Program::of_name(name.as_bytes()), program, "{name}");
        }
    }
}
