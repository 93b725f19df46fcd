//! The bounds on what a menu can make its reader hold.

/// Bounds on what a menu can make its reader hold and do. Reaching one ends the reading there, and
/// is told as [`Code::Limited`](crate::Code::Limited).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Files read for one configuration, itself included; a [`MenuReader`](crate::MenuReader) asks for
    /// no more than these over all configurations.
    ///
    /// Default 256: the largest tree of menus seen has 60.
    pub files_max: usize,
    /// Configurations that a [`MenuReader`](crate::MenuReader) reads, the first one included.
    ///
    /// Default 256, as each has a file of its own.
    pub configurations_max: usize,
    /// How many links after each other a [`MenuReader`](crate::MenuReader) follows.
    ///
    /// Default 16: a CONFIG that changes its directory each time would never come back to a menu that
    /// was read already.
    pub links_max: usize,
    /// Bytes of all files together.
    ///
    /// Default 16 MiB: a menu of 100,000 labels has 10 MiB.
    pub bytes_max: usize,
    /// How deep files may include each other.
    ///
    /// Default 16, which syslinux.txt promises. The loader itself has no bound since version 5: a
    /// cycle goes on until its memory is full.
    pub depth_max: usize,
    /// Lines acted on, a line counted each time that its file is included, and one more for each 64 bytes
    /// that it has; at least 1. In a grub.cfg: the commands that are run, and half of the words of each
    /// file.
    ///
    /// Default 1,000,000: files that include each other twice would otherwise grow without bound.
    pub lines_max: usize,
    /// Menus of one configuration, submenus included; one beyond it is left out with all its entries.
    ///
    /// Default 1024: each inherits all that its parent has.
    pub screens_max: usize,
    /// Entries of a configuration, in all its menus; one beyond it is left out.
    ///
    /// Default 100,000: a loop of a few lines in a grub.cfg can make as many as it likes, and so can a file
    /// that is included often.
    pub entries_max: usize,
    /// Bytes of the names and values of a grub.cfg's variables together.
    ///
    /// Default 1 MiB: `a=$a$a` doubles a value each time that it is read.
    pub variable_bytes_max: usize,
    /// Diagnostics kept.
    ///
    /// Default 10,000.
    pub diagnostics_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files_max: 256,
            configurations_max: 256,
            links_max: 16,
            bytes_max: 16 * 1024 * 1024,
            depth_max: 16,
            lines_max: 1_000_000,
            screens_max: 1024,
            entries_max: 100_000,
            variable_bytes_max: 1024 * 1024,
            diagnostics_max: 10_000,
        }
    }
}
