//! Entries that start nothing.

use super::file::Use;
use super::{At, Lint};
use crate::diagnostic::quoted;
use crate::{Code, Command, Loader, NotBootable};

impl Lint<'_> {
    /// A program for UEFI, which only GRUB for UEFI starts.
    pub(super) fn efi(&mut self, file: &[u8], at: At) {
        if self.paths.loader() != Loader::GrubEfi {
            let message = format!(
                "{} is a program for UEFI, which {} does not start",
                self.as_written(file),
                self.loader()
            );
            self.tell(Code::CannotStart, at.image, message, None);
        }
        self.file(file, at.image, Use::Started);
        // PE/COFF begins with the header of a program for DOS.
        if let Some(head) = self.head(file)
            && !head.starts_with(b"MZ")
        {
            let message = format!("{} is no program for UEFI", self.as_written(file));
            self.tell(Code::WrongArchitecture, at.image, message, None);
        }
    }

    pub(super) fn nothing(&mut self, why: NotBootable, command: &Command, at: At) {
        let file = command.image.first_word();
        // What is loaded like Linux, and is Linux, starts under any name: GRUB's lnxcore.img.
        if why == NotBootable::FloppyImage && self.has_linux_mark(file) {
            self.file(file, at.image, Use::Started);
            return;
        }
        let image = quoted(file);
        let (code, message, remedy) = match why {
            NotBootable::NoImage => (
                Code::CannotStart,
                "the entry names no image".to_owned(),
                Some("add LINUX, or what else it starts"),
            ),
            NotBootable::FloppyImage => (
                Code::CannotStart,
                format!(
                    "{image} is loaded as if it were a Linux kernel: floppy images are no type since syslinux 5"
                ),
                Some("use memdisk, with the image as its initrd"),
            ),
            NotBootable::UnknownType => (
                Code::CannotStart,
                format!("{image}: COMBOOT is no type of image since syslinux 5"),
                Some("use COM32 and a module of this version"),
            ),
            NotBootable::BiosOnly => (
                Code::CannotStart,
                format!("{image} is a program for the BIOS, which cannot run under UEFI"),
                Some("give UEFI a menu of its own, without this entry"),
            ),
            NotBootable::TooLong => (
                Code::CommandLineTooLong,
                "the command line has 2,048 bytes or more".to_owned(),
                Some("move arguments to a file that the system reads (preseed, kickstart)"),
            ),
        };
        let place = match why {
            NotBootable::NoImage => at.label,
            NotBootable::TooLong => at.append,
            _ => at.image,
        };
        self.tell(code, place, message, remedy);
    }
}
