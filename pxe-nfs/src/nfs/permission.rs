//! Who may do what with a node: mode bits against credentials, as Linux's server has it.

use pxe_tree::{Attributes, NodeKind};

use super::attributes::POST_OP_LEN;
use super::node::{Answer, Context, Object};
use super::status::Status;
use crate::Credentials;
use crate::xdr::Write as _;

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

/// The user who may all.
pub(crate) const ROOT: u32 = 0;

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

/// What a client may do, as ACCESS says it (section 3.3.4).
mod bits {
    pub(super) const READ: u32 = 0x01;
    pub(super) const LOOKUP: u32 = 0x02;
    pub(super) const MODIFY: u32 = 0x04;
    pub(super) const EXTEND: u32 = 0x08;
    pub(super) const DELETE: u32 = 0x10;
    pub(super) const EXECUTE: u32 = 0x20;
}

/// ACCESS (RFC 1813 section 3.3.4).
pub(super) async fn access(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let handle = args.handle()?;
    let asked = args.u32()?;
    let object = context.object(handle).await?;
    let mut reply = context.results(Status::OK, POST_OP_LEN + 4);
    object.put_post_op(&mut reply);
    reply.put_u32(asked & allowed(&object));
    Ok(reply.into())
}

/// The bits of ACCESS that a user has, as Linux's server gives them (fs/nfsd/vfs.c,
/// `nfsd_access`). Files and directories of a read-only export cannot be changed; devices, pipes
/// and sockets can be written to there too, as their content is the client's: a diskless machine's
/// `/dev/null`.
fn allowed(object: &Object) -> u32 {
    let mut bits = 0;
    let mut give = |bit: u32, wanted: Wanted| {
        if object.allows(wanted) {
            bits |= bit;
        }
    };
    give(bits::READ, Wanted::READ);
    match object.attributes.kind {
        NodeKind::Directory => {
            give(bits::LOOKUP, Wanted::EXECUTE);
            if object.is_writable() {
                let change = Wanted::EXECUTE.and(Wanted::WRITE);
                give(bits::MODIFY | bits::EXTEND | bits::DELETE, change);
            }
        }
        NodeKind::File => {
            give(bits::EXECUTE, Wanted::EXECUTE);
            if object.is_writable() {
                give(bits::MODIFY | bits::EXTEND, Wanted::WRITE);
            }
        }
        _ => {
            give(bits::EXECUTE, Wanted::EXECUTE);
            give(bits::MODIFY | bits::EXTEND, Wanted::WRITE);
        }
    }
    bits
}
