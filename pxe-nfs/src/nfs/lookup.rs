//! From a directory and a name to a node: LOOKUP.

use futures_util::FutureExt;
use pxe_tree::{Attributes, Error, ErrorKind, Name, NodeKey, NodeKind};

use super::attributes::{POST_OP_LEN, put_post_op};
use super::node::{Answer, Context, Object};
use super::permission::Wanted;
use super::status::Status;
use crate::handle::HANDLE_LEN_MAX;
use crate::xdr::Write as _;

/// Directories that are climbed to see whether an export's root is above: as many as a path has
/// names at most.
const DEPTH_MAX: usize = 2048;

/// LOOKUP (RFC 1813 section 3.3.3).
pub(super) async fn lookup(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let handle = args.handle()?;
    let name = args.opaque(usize::MAX)?;
    let mut dir = match name {
        // Its own attributes are asked for.
        b"." | b".." => context.object(handle).await?,
        _ => context.directory(handle).await?,
    };
    let found = find(context, &mut dir, name).await;
    let (key, found) = found.map_err(|status| context.failed(status, &dir))?;
    let room = 4 + HANDLE_LEN_MAX + 2 * POST_OP_LEN;
    let mut reply = context.results(Status::OK, room);
    let handle = context.service.key.sign(dir.export.id, &key);
    reply.put_opaque(handle.as_bytes());
    put_post_op(&mut reply, dir.export.id, Some(&found));
    dir.put_post_op(&mut reply);
    Ok(reply.into())
}

async fn find(
    context: &Context<'_>,
    dir: &mut Object,
    name: &[u8],
) -> Result<(NodeKey, Attributes), Status> {
    loop {
        if dir.attributes.kind != NodeKind::Directory {
            return Err(Status::NOTDIR);
        }
        if dir.is_recent && !dir.allows(Wanted::EXECUTE) {
            context.refresh(dir).boxed().await?;
            continue;
        }
        dir.check(Wanted::EXECUTE)?;
        let found = match name {
            b"." => Ok(dir.attributes.clone()),
            b".." => parent(dir).boxed().await,
            name => match Name::new(name) {
                Ok(name) => dir.tree().lookup(dir.node(), name).await,
                Err(ErrorKind::NameTooLong) => return Err(Status::NAMETOOLONG),
                // Nothing can be called so.
                Err(_) => return Err(Status::NOENT),
            },
        };
        match found.and_then(|found| Ok((dir.tree().key(found.node)?, found))) {
            Err(error) if error.kind() == ErrorKind::Stale => context.refresh(dir).boxed().await?,
            found => return found.map_err(|error| context.status(&error)),
        }
    }
}

/// The directory above a directory (`..`), which never leads out of an export: that of its root
/// is itself (fs/nfsd/vfs.c, `nfsd_lookup_dentry`), and so is that of a directory that was moved
/// out of the exported one.
pub(super) async fn parent(dir: &Object) -> Result<Attributes, Error> {
    let tree = dir.tree();
    let root = dir.export.root_node().await?;
    if dir.node() == root {
        return Ok(dir.attributes.clone());
    }
    let parent = tree.parent(dir.node()).await?;
    let mut here = parent;
    for _ in 0..DEPTH_MAX {
        // All of a tree is below its own root.
        if here == root || root == tree.root() {
            return tree.attributes(parent).await;
        }
        let above = tree.parent(here).await?;
        if above == here {
            break;
        }
        here = above;
    }
    Ok(dir.attributes.clone())
}
