//! Names of what is there: REMOVE, RMDIR, RENAME and LINK.

use std::sync::Arc;

use pxe_tree::{ErrorKind, Name, NodeKind, WriteTree};

use super::super::attributes::{POST_OP_LEN, WCC_LEN, put_post_op};
use super::super::node::{Answer, Context, Object};
use super::super::permission::{Wanted, allows};
use super::super::status::Status;
use super::{
    bits, checked, directory_and_name, failed, is_root, is_stale, may_take, put_now, writable,
    writable_directory,
};

/// What a name that is taken away may stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Directory,
    AllElse,
}

/// REMOVE (RFC 1813 section 3.3.12).
pub(super) async fn remove(context: &Context<'_>) -> Answer {
    take_away(context, Of::AllElse).await
}

/// RMDIR (RFC 1813 section 3.3.13).
pub(super) async fn rmdir(context: &Context<'_>) -> Answer {
    take_away(context, Of::Directory).await
}

async fn take_away(context: &Context<'_>, of: Of) -> Answer {
    let mut args = context.args();
    let (handle, name) = directory_and_name(&mut args)?;
    let dots = match of {
        Of::Directory => Status::INVAL,
        Of::AllElse => Status::ISDIR,
    };
    let mut dir = context.object(handle).await?;
    let done = async {
        loop {
            let tree = writable_directory(&dir)?;
            let name = checked(name, dots)?;
            check_sticky(context, &dir, name).await?;
            let done = match of {
                Of::Directory => tree.remove_directory(dir.node(), name).await,
                Of::AllElse => tree.remove(dir.node(), name).await,
            };
            match done {
                Err(error) if is_stale(&error) => context.refresh(&mut dir).await?,
                done => return done.map_err(|error| context.status(&error)),
            }
        }
    }
    .await;
    match done {
        Ok(()) => {
            let mut reply = context.results(Status::OK, WCC_LEN);
            put_now(&mut reply, &dir).await;
            Ok(reply.into())
        }
        Err(status) => Err(failed(context, status, &dir).await),
    }
}

/// In a directory with the sticky bit, whether this name may be taken from what it names. That
/// there is no such name is for the change itself to say.
async fn check_sticky(context: &Context<'_>, dir: &Object, name: &Name) -> Result<(), Status> {
    let user = &dir.user;
    let may_all = is_root(user) || user.uid == dir.attributes.uid;
    if dir.attributes.mode & bits::STICKY == 0 || may_all {
        return Ok(());
    }
    match dir.tree().lookup(dir.node(), name).await {
        Ok(found) if may_take(&dir.attributes, &found, user) => Ok(()),
        Ok(_) => Err(Status::PERM),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Stale) => Ok(()),
        Err(error) => Err(context.status(&error)),
    }
}

/// RENAME (RFC 1813 section 3.3.14).
pub(super) async fn rename(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let (from_handle, from) = directory_and_name(&mut args)?;
    let (to_handle, to) = directory_and_name(&mut args)?;
    let mut from_dir = context.object(from_handle).await?;
    let mut to_dir = context.object(to_handle).await?;
    let done = move_name(context, (&mut from_dir, from), (&mut to_dir, to)).await;
    let status = match done {
        Ok(()) => Status::OK,
        Err(status) => status,
    };
    let mut reply = context.results(status, 2 * WCC_LEN);
    put_now(&mut reply, &from_dir).await;
    put_now(&mut reply, &to_dir).await;
    Ok(reply.into())
}

async fn move_name(
    context: &Context<'_>,
    (from_dir, from): (&mut Object, &[u8]),
    (to_dir, to): (&mut Object, &[u8]),
) -> Result<(), Status> {
    loop {
        let tree = one_tree(from_dir, to_dir)?;
        writable_directory(from_dir)?;
        writable_directory(to_dir)?;
        let from = checked(from, Status::INVAL)?;
        let to = checked(to, Status::INVAL)?;
        check_sticky(context, from_dir, from).await?;
        check_sticky(context, to_dir, to).await?;
        if from_dir.key != to_dir.key {
            check_moved(context, from_dir, from).await?;
        }
        match tree.rename(from_dir.node(), from, to_dir.node(), to).await {
            Err(error) if is_stale(&error) => {
                context.refresh(from_dir).await?;
                context.refresh(to_dir).await?;
            }
            done => return done.map_err(|error| context.status(&error)),
        }
    }
}

/// A directory that gets another one above it is changed itself: its `..` is (Linux's
/// `vfs_rename`, fs/namei.c).
async fn check_moved(context: &Context<'_>, dir: &Object, name: &Name) -> Result<(), Status> {
    match dir.tree().lookup(dir.node(), name).await {
        Ok(found) if found.kind != NodeKind::Directory => Ok(()),
        Ok(found) if allows(&found, &dir.user, Wanted::WRITE) => Ok(()),
        Ok(_) => Err(Status::ACCES),
        Err(error) if error.kind() == ErrorKind::Stale => Ok(()),
        Err(error) => Err(context.status(&error)),
    }
}

/// The tree of both; nothing goes from one export to another, even if a tree is behind both.
fn one_tree(one: &Object, other: &Object) -> Result<Arc<dyn WriteTree>, Status> {
    let tree = writable(one)?;
    match one.export.id == other.export.id {
        true => Ok(tree),
        false => Err(Status::XDEV),
    }
}

/// LINK (RFC 1813 section 3.3.15).
pub(super) async fn link(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let handle = args.handle()?;
    let (dir_handle, name) = directory_and_name(&mut args)?;
    let mut node = context.object(handle).await?;
    let mut dir = context.object(dir_handle).await?;
    let done = add_name(context, &mut node, &mut dir, name).await;
    let status = match done {
        Ok(()) => Status::OK,
        Err(status) => status,
    };
    let mut reply = context.results(status, POST_OP_LEN + WCC_LEN);
    let now = node.tree().attributes(node.node()).await.ok();
    put_post_op(&mut reply, node.export.id, now.as_ref());
    put_now(&mut reply, &dir).await;
    Ok(reply.into())
}

async fn add_name(
    context: &Context<'_>,
    node: &mut Object,
    dir: &mut Object,
    name: &[u8],
) -> Result<(), Status> {
    loop {
        let tree = one_tree(node, dir)?;
        writable_directory(dir)?;
        let name = checked(name, Status::EXIST)?;
        if node.attributes.kind == NodeKind::Directory {
            return Err(Status::ISDIR);
        }
        match tree.add_name(node.node(), dir.node(), name).await {
            Err(error) if is_stale(&error) => {
                context.refresh(node).await?;
                context.refresh(dir).await?;
            }
            Ok(_) => return Ok(()),
            Err(error) => return Err(context.status(&error)),
        }
    }
}
