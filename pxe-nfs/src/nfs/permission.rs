//! Who may do what with a node: mode bits against credentials, as Linux's server has it.

use pxe_tree::{Attributes, NodeKind};

use crate::Credentials;

/// What is wanted of a node: `r`, `w` and `x` of its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Wanted(u32);

impl Wanted {
    /// To read a file, to list a directory.
    pub(crate) const READ: Self = Self(4);
    /// To write to a file, to give and to take names of a directory (with `EXECUTE`).
    pub(crate) const WRITE: Self = Self(2);
    /// To execute a file, to look up names of a directory.
    pub(crate) const EXECUTE: Self = Self(1);

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const ROOT: u32 = 0;

/// Whether a node's mode lets a user do that (Linux's `generic_permission`, fs/namei.c).
///
/// The first class that the user is in decides: an owner without `r` may not read although all
/// others may. User 0, whom only `no_root_squash` lets through, may all but execute what nobody
/// may.
pub(crate) fn allows(node: &Attributes, user: &Credentials, wanted: Wanted) -> bool {
    if user.uid == ROOT {
        let is_file = node.kind != NodeKind::Directory;
        let executes = wanted.0 & Wanted::EXECUTE.0 != 0;
        return !(is_file && executes && node.mode & 0o111 == 0);
    }
    let class = if user.uid == node.uid {
        node.mode >> 6
    } else if user.is_in(node.gid) {
        node.mode >> 3
    } else {
        node.mode
    };
    class & wanted.0 == wanted.0
}

/// Whether the content of a regular file may be read.
///
/// The owner may whatever the mode, as permission was checked when the file was opened, and the
/// mode may have changed since; so may whoever may execute it, as that is how programs are
/// started (fs/nfsd/vfs.c, `nfsd_permission`).
pub(crate) fn may_read(node: &Attributes, user: &Credentials) -> bool {
    user.uid == node.uid || allows(node, user, Wanted::READ) || allows(node, user, Wanted::EXECUTE)
}

/// The same for writing: the owner may whatever the mode.
pub(crate) fn may_write(node: &Attributes, user: &Credentials) -> bool {
    user.uid == node.uid || allows(node, user, Wanted::WRITE)
}
