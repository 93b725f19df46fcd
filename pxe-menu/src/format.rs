//! Whose configuration a file is.

use crate::scan::{is_space, skip_space, word};

/// The language of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// pxelinux, menu.c32, vesamenu.c32: [`Parser`](crate::Parser).
    Syslinux,
    /// GRUB's grub.cfg: [`GrubParser`](crate::GrubParser).
    GrubCfg,
    /// boot.cfg of mboot, the loader of ESXi: [`BootCfg`](crate::BootCfg).
    MbootCfg,
}

impl Format {
    /// What a file is: by who asks for such a name, else by its content.
    ///
    /// A file in a directory `pxelinux.cfg`, and isolinux.cfg, syslinux.cfg and extlinux.conf, are
    /// read by nobody but pxelinux and its kin, whatever they contain; `grub.cfg`, `grub.cfg-..` and
    /// `grub*.cfg` by nobody but GRUB.
    ///
    /// Of another file each line is a vote by its first word: `menuentry`, `insmod`, `linuxefi` and
    /// the like are GRUB's alone; LABEL, APPEND, `MENU` and the like are pxelinux's. An assignment
    /// (`timeout=5`) is GRUB's, and `kernel=`, `modules=`, `bootstate=` and the like are mboot's; both
    /// count only where no line is pxelinux's, since an APPEND that was broken into lines has them, too.
    /// The most votes count, and among equals the name does: `boot.cfg` is mboot's, a name that begins
    /// with `loopback.cfg` is GRUB's. All else is taken for pxelinux's, as it ignores what it does not
    /// know.
    pub fn of(name: &[u8], content: &[u8]) -> Self {
        let name = name.to_ascii_lowercase();
        let mut parts = name.rsplit(|byte| matches!(byte, b'/' | b'\\' | b':' | b')'));
        let base = parts.next().unwrap_or_default();
        if parts.next() == Some(b"pxelinux.cfg")
            || matches!(base, b"isolinux.cfg" | b"syslinux.cfg" | b"extlinux.conf")
        {
            return Self::Syslinux;
        }
        if base.starts_with(b"grub.cfg-") || (base.starts_with(b"grub") && base.ends_with(b".cfg"))
        {
            return Self::GrubCfg;
        }
        let named = if base == b"boot.cfg" {
            Self::MbootCfg
        } else if base.starts_with(b"grub.cfg") || base.starts_with(b"loopback.cfg") {
            Self::GrubCfg
        } else {
            Self::Syslinux
        };
        Self::of_content(named, content)
    }

    /// What the lines say, or this where they say nothing.
    fn of_content(named: Self, content: &[u8]) -> Self {
        let (mut syslinux, mut grub, mut mboot) = (0_usize, 0_usize, 0_usize);
        let mut assigned = 0_usize;
        for line in content.split(|byte| *byte == b'\n').take(LINES) {
            let line = skip_space(line);
            let (first, rest) = word(line);
            let first = first.to_ascii_lowercase();
            if first.is_empty() || first.starts_with(b"#") {
                continue;
            }
            let first = first.strip_suffix(b";").unwrap_or(&first);
            if is_in(GRUB_WORDS, first) {
                grub += 2;
            } else if is_in(SYSLINUX_WORDS, first) && !skip_space(rest).starts_with(b"=") {
                syslinux += 1;
            } else if let Some(at) = line.iter().position(|byte| *byte == b'=') {
                let key = line.get(..at).unwrap_or_default();
                let blanks = key.iter().rev().take_while(|byte| is_space(**byte)).count();
                let key = key.get(..key.len() - blanks).unwrap_or_default();
                if is_in(MBOOT_KEYS, &key.to_ascii_lowercase()) {
                    mboot += 2;
                } else if !key.is_empty() && key.iter().all(|byte| is_name(*byte)) {
                    assigned += 1;
                }
            }
        }
        if syslinux == 0 {
            grub += assigned;
        } else {
            mboot = 0;
        }
        let most = syslinux.max(grub).max(mboot);
        let votes = |format| match format {
            Self::Syslinux => syslinux,
            Self::GrubCfg => grub,
            Self::MbootCfg => mboot,
        };
        if votes(named) == most {
            return named;
        }
        let all = [Self::Syslinux, Self::GrubCfg, Self::MbootCfg];
        all.into_iter()
            .find(|format| votes(*format) == most)
            .unwrap_or(named)
    }
}

/// How many lines are looked at.
const LINES: usize = 2000;

fn is_in(list: &[&str], word: &[u8]) -> bool {
    list.iter().any(|known| known.as_bytes() == word)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Words that begin lines of GRUB and mean nothing to pxelinux.
const GRUB_WORDS: &[&str] = &[
    "menuentry",
    "submenu",
    "set",
    "insmod",
    "source",
    ".",
    "configfile",
    "search",
    "loadfont",
    "linuxefi",
    "initrdefi",
    "linux16",
    "initrd16",
    "chainloader",
    "if",
    "elif",
    "else",
    "fi",
    "for",
    "done",
    "function",
    "export",
    "terminal_output",
    "terminal_input",
    "background_image",
    "load_video",
    "multiboot",
    "multiboot2",
    "loopback",
    "blscfg",
    "password_pbkdf2",
    "}",
    "{",
];

/// Words that begin lines of pxelinux and mean nothing to GRUB.
const SYSLINUX_WORDS: &[&str] = &[
    "label",
    "kernel",
    "append",
    "menu",
    "prompt",
    "timeout",
    "default",
    "include",
    "display",
    "localboot",
    "ontimeout",
    "onerror",
    "totaltimeout",
    "ui",
    "say",
    "f1",
    "f2",
    "f3",
    "com32",
    "config",
    "ipappend",
    "sysappend",
    "text",
    "endtext",
    "allowoptions",
    "noescape",
    "console",
    "font",
    "path",
];

/// What boot.cfg of mboot knows and nobody else does (mboot/config.c; `bootstate` and the like are read by
/// safeboot, `build` and `updated` by the installer).
const MBOOT_KEYS: &[&str] = &[
    "bootstate",
    "kernel",
    "kernelopt",
    "modules",
    "nobootif",
    "noquirks",
    "norts",
    "acpitables",
    "runtimewd",
    "tftpblksize",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_says_whose_it_is() {
        let of = |name: &str, content: &str| Format::of(name.as_bytes(), content.as_bytes());
        let grub = "set timeout=5\nmenuentry 'a' {\n linux /a\n initrd /b\n}\n";
        let syslinux = "DEFAULT a\nTIMEOUT 50\nLABEL a\n LINUX /a\n INITRD /b\n";
        let mboot =
            "bootstate=0\ntitle=Loading ESXi\ntimeout=5\nkernel=/b.b00\nmodules=/a --- /b\n";
        for name in ["x", "default", "loopback.cfg", "boot.cfg"] {
            assert_eq!(of(name, grub), Format::GrubCfg, "{name}");
            assert_eq!(of(name, syslinux), Format::Syslinux, "{name}");
            assert_eq!(of(name, mboot), Format::MbootCfg, "{name}");
        }
    }

    #[test]
    fn the_name_says_it_where_the_content_does_not() {
        let of = |name: &str| Format::of(name.as_bytes(), b"# nothing\n");
        assert_eq!(
            of("(tftp)/grub/grub.cfg-01-52-54-00-00-00-01"),
            Format::GrubCfg
        );
        assert_eq!(of("::esxi/BOOT.CFG"), Format::MbootCfg);
        assert_eq!(of("pxelinux.cfg/default"), Format::Syslinux);
    }

    #[test]
    fn who_asks_for_a_name_reads_it_whatever_it_contains() {
        let of = |name: &str, content: &str| Format::of(name.as_bytes(), content.as_bytes());
        let grub = "set timeout=5\nmenuentry 'a' {\n linux /a\n}\n";
        let syslinux = "DEFAULT a\nLABEL a\n LINUX /a\n APPEND x\n";
        for name in [
            "pxelinux.cfg/default",
            "::bios/PXELINUX.CFG/01-52-54-00-00-00-01",
            "pxelinux.cfg/boot.cfg",
            "isolinux/isolinux.cfg",
            "syslinux.cfg",
            "extlinux/extlinux.conf",
        ] {
            assert_eq!(of(name, grub), Format::Syslinux, "{name}");
        }
        for name in ["(tftp)/grub/grub.cfg", "grub.cfg-C0A8", "grub/grub-x64.cfg"] {
            assert_eq!(of(name, syslinux), Format::GrubCfg, "{name}");
        }
    }

    #[test]
    fn an_append_that_was_broken_into_lines_is_no_grub_cfg() {
        let menu = "UI menu.c32\nLABEL a\nKERNEL vmlinuz\nAPPEND\nboot=casper\nip=dhcp\n\
                    netboot=nfs\nnfsroot=192.168.150.1:/srv/x\nlocale=fr_FR.UTF-8\nmodules=loop\n\
                    modules=a\nmodules=b\nmodules=c\nINITRD initrd\n";
        for name in ["pxelinux.cfg/default", "menus/lab", "boot.cfg"] {
            let format = Format::of(name.as_bytes(), menu.as_bytes());
            assert_eq!(format, Format::Syslinux, "{name}");
        }
        let settings = b"serial --unit=0\ndefault=0\ntimeout=5\n";
        assert_eq!(Format::of(b"common", settings), Format::GrubCfg);
    }
}
