//! KERNEL goes by the extension of a name, and by that alone (`parse_image_type`).

use super::{At, Lint};
use crate::command::module_name;
use crate::diagnostic::quoted;
use crate::{Code, Command, Diagnostic, ImageType};

/// Where a Linux kernel has its mark: Documentation/arch/x86/boot.rst, `header` at 0x202.
const LINUX_MARK: (usize, &[u8]) = (0x202, b"HdrS");

impl Lint<'_> {
    /// A boot sector that is a kernel.
    pub(super) fn boot_sector(&mut self, command: &Command, file: &[u8], at: At) {
        if command.image_type != ImageType::Kernel {
            return;
        }
        let is_linux = self.has_linux_mark(file);
        // memtest86+ is loaded like Linux, and is shipped as `memtest86+.bin`.
        let is_memtest = module_name(file).starts_with(b"memtest");
        if is_linux || is_memtest {
            self.taken_for(file, at, "a boot sector", "write LINUX instead of KERNEL");
        }
    }

    /// Whether a file is there, and is a Linux kernel.
    pub(super) fn has_linux_mark(&self, file: &[u8]) -> bool {
        let (from, mark) = LINUX_MARK;
        let head = self.head(file).unwrap_or_default();
        head.get(from..from + mark.len()) == Some(mark)
    }

    /// A kernel that is something else.
    pub(super) fn linux_image(&mut self, command: &Command, file: &[u8], at: At) {
        if command.image_type != ImageType::Kernel || self.paths.loader().is_efi() {
            return;
        }
        let name = file.to_ascii_lowercase();
        let remedy = if [&b".pxe"[..], b".kpxe", b".kkpxe"]
            .iter()
            .any(|extension| name.ends_with(extension))
        {
            "write PXE instead of KERNEL"
        } else if name.ends_with(b".iso") {
            "use memdisk, with the image as its initrd"
        } else {
            return;
        };
        self.taken_for(file, at, "a Linux kernel", remedy);
    }

    fn taken_for(&mut self, file: &[u8], at: At, kind: &str, remedy: &str) {
        let message = format!("KERNEL takes {} for {kind}, by its extension", quoted(file));
        self.push(Diagnostic::new(Code::ImageType, at.image, message).with_remedy(remedy));
    }
}
