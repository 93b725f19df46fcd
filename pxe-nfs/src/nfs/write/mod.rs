//! Procedures that change something, and COMMIT.
//!
//! The server's own process may be allowed everything, so who may change what is decided here,
//! by the rules of Linux (fs/attr.c, fs/namei.c, fs/nfsd/vfs.c). A tree has brought each change
//! to the medium when it returns (but for unstable writes), and a reply is made only then: so
//! what a client was told survives a power cut.

mod content;
mod made;
mod names;
mod settings;

use std::sync::Arc;

use pxe_tree::{Attributes, Error, ErrorKind, Name, NodeKind, WriteTree};

use super::attributes::{WCC_LEN, put_wcc};
use super::node::{Answer, Context, Halt, Object};
use super::permission::{ROOT, Wanted};
use super::status::Status;
use crate::Credentials;
use crate::xdr::{Malformed, Reader};

/// Mode bits.
mod bits {
    /// A program runs as the file's owner.
    pub(super) const SET_UID: u32 = 0o4000;
    /// A program runs as the file's group; what is made in a directory gets its group.
    pub(super) const SET_GID: u32 = 0o2000;
    /// Names of a directory are taken away only by their files' owners.
    pub(super) const STICKY: u32 = 0o1000;
    pub(super) const GROUP_EXECUTE: u32 = 0o010;
}

/// Answers SETATTR, WRITE, CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR, RENAME, LINK and COMMIT.
pub(super) async fn answer(context: &Context<'_>) -> Answer {
    match context.call.procedure {
        2 => settings::setattr(context).await,
        7 => content::write(context).await,
        8 => made::create(context).await,
        9 => made::mkdir(context).await,
        10 => made::symlink(context).await,
        11 => made::mknod(context).await,
        12 => names::remove(context).await,
        13 => names::rmdir(context).await,
        14 => names::rename(context).await,
        15 => names::link(context).await,
        _ => content::commit(context).await,
    }
}

/// The tree, if this client may write to it.
fn writable(object: &Object) -> Result<Arc<dyn WriteTree>, Status> {
    let write = object.export.write.as_ref();
    let allowed = write.filter(|_| object.options.is_writable);
    allowed.cloned().ok_or(Status::ROFS)
}

/// The tree, if this user may give and take names of this directory.
fn writable_directory(dir: &Object) -> Result<Arc<dyn WriteTree>, Status> {
    let tree = writable(dir)?;
    if dir.attributes.kind != NodeKind::Directory {
        return Err(Status::NOTDIR);
    }
    dir.check(Wanted::WRITE.and(Wanted::EXECUTE))?;
    Ok(tree)
}

/// A `diropargs3`.
fn directory_and_name<'a>(args: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    Ok((args.handle()?, args.opaque(usize::MAX)?))
}

/// A name in a directory; what `.` and `..` give differs from procedure to procedure.
fn checked(name: &[u8], dots: Status) -> Result<&Name, Status> {
    match name {
        b"." | b".." => Err(dots),
        name => Name::new(name).map_err(|kind| match kind {
            ErrorKind::NameTooLong => Status::NAMETOOLONG,
            _ => Status::INVAL,
        }),
    }
}

fn is_root(user: &Credentials) -> bool {
    user.uid == ROOT
}

/// Whether a user may take a name of a directory away from what it names (Linux's
/// `check_sticky`).
fn may_take(dir: &Attributes, node: &Attributes, user: &Credentials) -> bool {
    let is_sticky = dir.mode & bits::STICKY != 0;
    !is_sticky || is_root(user) || [dir.uid, node.uid].contains(&user.uid)
}

/// The mode without what makes a program run as another user or group, if it does that now: a
/// group bit without `x` for the group means something else.
fn without_set_id(mode: u32) -> u32 {
    let mode = mode & !bits::SET_UID;
    match mode & bits::GROUP_EXECUTE {
        0 => mode,
        _ => mode & !bits::SET_GID,
    }
}

fn is_stale(error: &Error) -> bool {
    error.kind() == ErrorKind::Stale
}

/// A failure, with what is known now of the one node that was to be changed.
async fn failed(context: &Context<'_>, status: Status, object: &Object) -> Halt {
    let mut reply = context.results(status, WCC_LEN);
    put_now(&mut reply, object).await;
    Halt::Answered(reply)
}

/// The `wcc_data` of a node after a change.
async fn put_now(reply: &mut Vec<u8>, object: &Object) {
    let now = object.tree().attributes(object.node()).await.ok();
    put_wcc(reply, object.export.id, now.as_ref());
}
