//! What is said of a call that could not be done.

use pxe_tree::ErrorKind;

use crate::Refusal;

/// An `nfsstat3` (RFC 1813 section 2.6). Those that only trees say come from their
/// [`ErrorKind`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Status(u32);

impl Status {
    /// `NFS3_OK`.
    pub(crate) const OK: Self = Self(0);
    /// `NFS3ERR_PERM`: only the owner, or root, could do that.
    pub(crate) const PERM: Self = Self(1);
    /// `NFS3ERR_NOENT`: there is nothing of this name.
    pub(crate) const NOENT: Self = Self(2);
    /// `NFS3ERR_ACCES`: the caller may not do that.
    pub(crate) const ACCES: Self = Self(13);
    /// `NFS3ERR_EXIST`: the name is taken.
    pub(crate) const EXIST: Self = Self(17);
    /// `NFS3ERR_XDEV`: a name on another file system.
    pub(crate) const XDEV: Self = Self(18);
    /// `NFS3ERR_NOTDIR`: no directory.
    pub(crate) const NOTDIR: Self = Self(20);
    /// `NFS3ERR_ISDIR`: a directory.
    pub(crate) const ISDIR: Self = Self(21);
    /// `NFS3ERR_INVAL`: not for a node of this kind, or no such value.
    pub(crate) const INVAL: Self = Self(22);
    /// `NFS3ERR_ROFS`: the export, or its tree, is not written to.
    pub(crate) const ROFS: Self = Self(30);
    /// `NFS3ERR_NAMETOOLONG`: more than 255 bytes.
    pub(crate) const NAMETOOLONG: Self = Self(63);
    /// `NFS3ERR_NOT_SYNC`: SETATTR's guard does not hold.
    pub(crate) const NOT_SYNC: Self = Self(10002);
    /// `NFS3ERR_TOOSMALL`: not even one entry fits.
    pub(crate) const TOOSMALL: Self = Self(10005);
    /// `NFS3ERR_SERVERFAULT`: what happened has no code.
    pub(crate) const SERVERFAULT: Self = Self(10006);
    /// `NFS3ERR_BADTYPE`: nodes of that kind cannot be made.
    pub(crate) const BADTYPE: Self = Self(10007);
    /// `NFS3ERR_JUKEBOX`: try again later.
    pub(crate) const JUKEBOX: Self = Self(10008);

    /// The number in a reply.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }
}

impl From<ErrorKind> for Status {
    fn from(kind: ErrorKind) -> Self {
        Self(kind.nfs3_status())
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.nfs3_status())
    }
}
