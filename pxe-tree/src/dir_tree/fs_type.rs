//! What can be relied on, by the type of a file system.

use std::os::fd::AsFd;

/// `f_type` of statfs(2): ext2 to 4, XFS, btrfs, tmpfs, F2FS, ZFS, squashfs, EROFS, ISO 9660, UDF,
/// ramfs, bcachefs, FAT.
const LOCAL: [u32; 13] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x0102_1994,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0x7371_7368,
    0xe0f5_e1e2,
    0x9660,
    0x1501_3346,
    0x8584_58f6,
    0xca45_1a4e,
    0x4d44,
];
const OVERLAYFS: u32 = 0x794c_7630;

/// Whether a file system answers for what it has cached without asking anybody.
pub(super) fn answers_alone(fd: impl AsFd) -> bool {
    fs_type(fd).is_some_and(|fs_type| fs_type == OVERLAYFS || LOCAL.contains(&fs_type))
}

/// Whether listings show the inodes that stat shows. Overlayfs over several file systems, as
/// containers use it, shows in listings those of the layers (without `xino`); FUSE shows anything.
pub(super) fn lists_inodes(fd: impl AsFd) -> bool {
    fs_type(fd).is_some_and(|fs_type| LOCAL.contains(&fs_type))
}

#[allow(clippy::unnecessary_cast)] // the field's type differs from machine to machine
fn fs_type(fd: impl AsFd) -> Option<u32> {
    Some(rustix::fs::fstatfs(fd).ok()?.f_type as u32)
}
