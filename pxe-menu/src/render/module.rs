//! Modules of syslinux that other loaders have a command for.

use crate::{Invocation, Text};

/// What a module does, where another loader can do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Module {
    /// `chain.c32 hd0`: the boot sector of a disk, for the BIOS; the number of the disk.
    Disk(u8),
    /// `reboot.c32`.
    Reboot,
    /// `poweroff.c32`.
    PowerOff,
    /// `pxechn.c32 FILE`: another network bootstrap program, for the BIOS.
    Pxe(Text),
}

impl Module {
    pub(super) fn of(invocation: &Invocation) -> Option<Self> {
        let file = &invocation.file;
        let base = file
            .rsplit(|byte| *byte == b'/' || *byte == b':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let mut words = invocation
            .arguments
            .split(|byte| crate::scan::is_space(*byte))
            .filter(|word| !word.is_empty());
        let first = words.next();
        let second = words.next();
        match base.as_slice() {
            b"reboot.c32" => Some(Self::Reboot),
            b"poweroff.c32" => Some(Self::PowerOff),
            b"chain.c32" => {
                // `hd0 1` and the other arguments are of partitions and of files on them.
                let is_whole = second.is_none_or(|part| part == b"0") && words.next().is_none();
                let digits = first?.strip_prefix(b"hd")?;
                let number: u8 = core::str::from_utf8(digits).ok()?.parse().ok()?;
                (is_whole && number < 0x80).then_some(Self::Disk(number))
            }
            b"pxechn.c32" => {
                let file = first.filter(|file| !file.starts_with(b"-"))?;
                second.is_none().then(|| Self::Pxe(Text::from(file)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(file: &str, arguments: &str) -> Option<Module> {
        Module::of(&Invocation {
            file: file.into(),
            arguments: arguments.into(),
        })
    }

    #[test]
    fn whole_disks_are_chained_and_partitions_are_not() {
        assert_eq!(module("chain.c32", "hd0"), Some(Module::Disk(0)));
        assert_eq!(module("bios/chain.c32", "hd1 0"), Some(Module::Disk(1)));
        for arguments in ["", "hd0 1", "hd0 0 swap", "hd", "hd300", "mbr:0x1", "boot"] {
            assert_eq!(module("chain.c32", arguments), None, "{arguments}");
        }
        assert_eq!(module("hdt.c32", ""), None);
        let program = Module::Pxe("undionly.kpxe".into());
        assert_eq!(module("pxechn.c32", "undionly.kpxe"), Some(program));
    }
}
