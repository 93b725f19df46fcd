//! Ceasing to be root, once the ports are bound.
//!
//! Nothing of root's is kept, but for what an export of NFS cannot do without ([`Kept`]).

use std::ffi::CString;
use std::io;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{
    Gid, Uid, User, geteuid, getgroups, getresgid, getresuid, initgroups, setresgid, setresuid,
};
use rustix::thread::set_keep_capabilities;

use crate::capabilities::Kept;

/// Whom to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
}

impl Identity {
    /// The user of this name, with its primary group.
    pub(crate) fn of(name: &str) -> io::Result<Option<Self>> {
        let user = User::from_name(name)?;
        Ok(user.map(|user| Self {
            name: user.name,
            uid: user.uid,
            gid: user.gid,
        }))
    }

    /// Becomes this user for good, in every thread of the process, and makes sure of it.
    ///
    /// The C library applies the changes to all threads; still it is done before the runtime has
    /// any, and `kept` is this thread's and that of those that it starts. Supplementary groups,
    /// real, effective and saved ids change; the kernel then takes all capabilities away but
    /// those. No program that this process starts can get more (`no_new_privs`), nor has these.
    ///
    /// # Errors
    /// Any step failed, or root could be had back. The process must end then.
    pub(crate) fn assume(&self, kept: Kept) -> io::Result<()> {
        let name = CString::new(self.name.as_str())?;
        if !kept.is_none() {
            set_keep_capabilities(true)?;
        }
        initgroups(&name, self.gid)?;
        setresgid(self.gid, self.gid, self.gid)?;
        setresuid(self.uid, self.uid, self.uid)?;
        // Root has them all, and whoever stays root wants it so.
        if !self.uid.is_root() {
            kept.assume()?;
            set_keep_capabilities(false)?;
        }
        prctl::set_no_new_privs()?;
        self.verify(kept)
    }

    fn verify(&self, kept: Kept) -> io::Result<()> {
        let uids = getresuid()?;
        let gids = getresgid()?;
        let is_assumed = [uids.real, uids.effective, uids.saved] == [self.uid; 3]
            && [gids.real, gids.effective, gids.saved] == [self.gid; 3];
        if !is_assumed {
            return Err(io::Error::other(
                "the process did not change its user and group",
            ));
        }
        if self.uid.is_root() {
            return Ok(());
        }
        if Kept::current()? != kept {
            return Err(io::Error::other(
                "the process has other capabilities than it should",
            ));
        }
        let root = Uid::from_raw(0);
        let root_group = Gid::from_raw(0);
        if setresuid(root, root, root) != Err(Errno::EPERM) {
            return Err(io::Error::other("the process could become root again"));
        }
        if self.gid != root_group && getgroups()?.contains(&root_group) {
            return Err(io::Error::other(
                "the process is still in the group of root",
            ));
        }
        Ok(())
    }
}

/// Whether the process is root, and so can become somebody else.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}
