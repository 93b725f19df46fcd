//! memdisk: an image in memory, which the BIOS then takes for a drive.

use super::{At, Lint};
use crate::diagnostic::quoted_text;
use crate::{Code, Diagnostic, LinuxBoot};

impl Lint<'_> {
    pub(super) fn memdisk(&mut self, linux: &LinuxBoot, at: At) {
        let Some(image) = linux.initrds.first() else {
            let message = "memdisk without an image";
            let remedy = "add INITRD with the image";
            self.tell(Code::MissingInitrd, at.label, message, Some(remedy));
            return;
        };
        let name = image.to_ascii_lowercase();
        if !name.ends_with(b".iso") {
            return;
        }
        let is_iso = linux
            .arguments
            .split(|byte| crate::scan::is_space(*byte))
            .any(|word| word == b"iso" || word.starts_with(b"iso="));
        if !is_iso {
            // Without the word the image becomes a disk, with the geometry of its partition table.
            let message = format!(
                "{} without the argument `iso` becomes a disk, and no CD",
                quoted_text(image)
            );
            let diagnostic = Diagnostic::new(Code::MemdiskIso, at.append, message);
            self.push(diagnostic.with_remedy("add iso to APPEND"));
        }
        let message = format!(
            "{} is seen through the BIOS alone: Linux and Windows, once they run, do not find it by themselves",
            quoted_text(image)
        );
        let diagnostic = Diagnostic::new(Code::MemdiskIso, at.initrd, message)
            .with_remedy("start the kernel and the initrd of the image themselves");
        self.push(diagnostic.as_note());
    }
}
