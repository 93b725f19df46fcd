//! Procedures that ask for one node: GETATTR, LOOKUP, ACCESS.

use pxe_tree::{Attributes, ErrorKind, Name, NodeKind};

use super::attributes::{POST_OP_LEN, put_post_op};
use super::node::{Answer, Context, Object};
use super::permission::Wanted;
use super::status::Status;
use crate::handle::HANDLE_LEN_MAX;
use crate::xdr::Write as _;

/// Section 3.3.1.
pub(super) async fn getattr(context: &Context<'_>) -> Answer {
    let object = context.object(context.args().handle()?).await?;
    let mut reply = context.results(Status::OK, POST_OP_LEN);
    object.put_attributes(&mut reply);
    Ok(reply.into())
}

/// Section 3.3.3.
pub(super) async fn lookup(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let handle = args.handle()?;
    let name = args.opaque(usize::MAX)?;
    let dir = context.object(handle).await?;
    let found = find(context, &dir, name).await;
    let found = found.map_err(|status| context.failed(status, &dir))?;
    let room = 4 + HANDLE_LEN_MAX + 2 * POST_OP_LEN;
    let mut reply = context.results(Status::OK, room);
    let put = context.put_handle(&mut reply, &dir.export, found.node);
    put.map_err(|status| context.failed(status, &dir))?;
    put_post_op(&mut reply, dir.export.id, Some(&found));
    dir.put_post_op(&mut reply);
    Ok(reply.into())
}

async fn find(context: &Context<'_>, dir: &Object, name: &[u8]) -> Result<Attributes, Status> {
    if dir.attributes.kind != NodeKind::Directory {
        return Err(Status::NOTDIR);
    }
    dir.check(Wanted::EXECUTE)?;
    match name {
        b"." => return Ok(dir.attributes.clone()),
        b".." => return Err(Status::NOTSUPP),
        _ => {}
    }
    let name = match Name::new(name) {
        Ok(name) => name,
        Err(ErrorKind::NameTooLong) => return Err(Status::NAMETOOLONG),
        Err(_) => return Err(Status::NOENT),
    };
    let found = dir.tree().lookup(dir.node(), name).await;
    found.map_err(|error| context.status(&error))
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

/// Section 3.3.4.
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
