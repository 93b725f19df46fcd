//! New nodes: CREATE, MKDIR, SYMLINK and MKNOD.

use pxe_tree::{
    Attributes, Creation, ErrorKind, Name, NodeKind, SetAttributes, TreePath, WriteTree,
};

use super::super::attributes::{POST_OP_LEN, WCC_LEN, put_post_op};
use super::super::node::{Answer, Context, Halt, Object};
use super::super::permission::Wanted;
use super::super::status::Status;
use super::settings::{allowed, sattr};
use super::{
    bits, checked, directory_and_name, failed, is_root, is_stale, put_now, writable,
    writable_directory,
};
use crate::Credentials;
use crate::handle::HANDLE_LEN_MAX;
use crate::xdr::Malformed;

/// How often a name may come and go between looking and making.
const TRIES: usize = 4;

/// A `createhow3`.
enum How {
    Unchecked(SetAttributes),
    Guarded(SetAttributes),
    Exclusive([u8; 8]),
}

/// CREATE (RFC 1813 section 3.3.8).
pub(super) async fn create(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let (handle, name) = directory_and_name(&mut args)?;
    let how = match args.u32()? {
        0 => How::Unchecked(sattr(&mut args)?),
        1 => How::Guarded(sattr(&mut args)?),
        2 => How::Exclusive(args.fixed()?),
        _ => return Err(Malformed.into()),
    };
    let mut dir = context.object(handle).await?;
    let made = create_file(context, &mut dir, name, &how).await;
    answer(context, &dir, made).await
}

async fn create_file(
    context: &Context<'_>,
    dir: &mut Object,
    name: &[u8],
    how: &How,
) -> Result<Attributes, Status> {
    let tree = writable(dir)?;
    if dir.attributes.kind != NodeKind::Directory {
        return Err(Status::NOTDIR);
    }
    let name = checked(name, Status::EXIST)?;
    for _ in 0..TRIES {
        dir.check(Wanted::EXECUTE)?;
        // What is there already needs no permission to write to the directory.
        let done = match tree.lookup(dir.node(), name).await {
            Ok(found) => match how {
                How::Unchecked(wanted) => open(&*tree, dir, found, wanted).await?,
                // Who made it a moment ago may write here; what is gone by now is made anew.
                How::Exclusive(_) if dir.allows(Wanted::WRITE) => {
                    make_file(&*tree, dir, name, how).await
                }
                How::Guarded(_) | How::Exclusive(_) => return Err(Status::EXIST),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                dir.check(Wanted::WRITE.and(Wanted::EXECUTE))?;
                make_file(&*tree, dir, name, how).await
            }
            Err(error) => Err(error),
        };
        match done {
            Err(error) if is_stale(&error) => context.refresh(dir).await?,
            // Somebody else made it meanwhile: so it is to be found.
            Err(error) if error.kind() == ErrorKind::Exists && matches!(how, How::Unchecked(_)) => {
            }
            done => return done.map_err(|error| context.status(&error)),
        }
    }
    Err(Status::JUKEBOX)
}

async fn make_file(
    tree: &dyn WriteTree,
    dir: &Object,
    name: &Name,
    how: &How,
) -> pxe_tree::Result<Attributes> {
    let none = SetAttributes::default();
    let (creation, wanted) = match how {
        // Never `Unchecked`: what came meanwhile is another's, who may not let this user cut it.
        How::Unchecked(wanted) | How::Guarded(wanted) => (Creation::Guarded, wanted),
        How::Exclusive(verifier) => (Creation::Exclusive(*verifier), &none),
    };
    let new = of_new(&dir.attributes, &dir.user, NodeKind::File, wanted);
    tree.create(dir.node(), name, creation, &new).await
}

/// An unchecked CREATE of what is there: as Linux's server does it, of all that is wanted only the
/// length is set.
async fn open(
    tree: &dyn WriteTree,
    dir: &Object,
    found: Attributes,
    wanted: &SetAttributes,
) -> Result<pxe_tree::Result<Attributes>, Status> {
    if found.kind != NodeKind::File {
        return Err(Status::EXIST);
    }
    let mut length = SetAttributes::default();
    length.len = wanted.len;
    if length.len.is_none() {
        return Ok(Ok(found));
    }
    let length = allowed(&found, &dir.user, &length)?;
    Ok(tree.set_attributes(found.node, &length).await)
}

/// MKDIR (RFC 1813 section 3.3.9).
pub(super) async fn mkdir(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let (handle, name) = directory_and_name(&mut args)?;
    let wanted = sattr(&mut args)?;
    let mut dir = context.object(handle).await?;
    let made = make(context, &mut dir, name, &What::Directory, &wanted).await;
    answer(context, &dir, made).await
}

/// SYMLINK (RFC 1813 section 3.3.10).
pub(super) async fn symlink(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let (handle, name) = directory_and_name(&mut args)?;
    let wanted = sattr(&mut args)?;
    let target = args.opaque(usize::MAX)?;
    let mut dir = context.object(handle).await?;
    let made = match target.len() {
        _ if target.is_empty() || target.contains(&0) => Err(Status::INVAL),
        0..TreePath::LEN_MAX => make(context, &mut dir, name, &What::Link(target), &wanted).await,
        _ => Err(Status::NAMETOOLONG),
    };
    answer(context, &dir, made).await
}

/// MKNOD (RFC 1813 section 3.3.11).
pub(super) async fn mknod(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let (handle, name) = directory_and_name(&mut args)?;
    // `ftype3`.
    let kind = match args.u32()? {
        3 => Some(NodeKind::BlockDevice),
        4 => Some(NodeKind::CharDevice),
        6 => Some(NodeKind::Socket),
        7 => Some(NodeKind::Fifo),
        _ => None,
    };
    let Some(kind) = kind else {
        let dir = context.object(handle).await?;
        return answer(context, &dir, Err(Status::BADTYPE)).await;
    };
    let wanted = sattr(&mut args)?;
    let is_device = matches!(kind, NodeKind::BlockDevice | NodeKind::CharDevice);
    let rdev = match is_device {
        true => (args.u32()?, args.u32()?),
        false => (0, 0),
    };
    let mut dir = context.object(handle).await?;
    let made = match is_device && !is_root(&dir.user) {
        true => writable(&dir).and(Err(Status::PERM)),
        false => make(context, &mut dir, name, &What::Special(kind, rdev), &wanted).await,
    };
    answer(context, &dir, made).await
}

/// What is made, other than regular files.
enum What<'a> {
    Directory,
    Link(&'a [u8]),
    Special(NodeKind, (u32, u32)),
}

async fn make(
    context: &Context<'_>,
    dir: &mut Object,
    name: &[u8],
    what: &What<'_>,
    wanted: &SetAttributes,
) -> Result<Attributes, Status> {
    loop {
        let tree = writable_directory(dir)?;
        let name = checked(name, Status::EXIST)?;
        let kind = match what {
            What::Directory => NodeKind::Directory,
            What::Link(_) => NodeKind::Link,
            What::Special(kind, _) => *kind,
        };
        let new = of_new(&dir.attributes, &dir.user, kind, wanted);
        let done = match what {
            What::Directory => tree.make_directory(dir.node(), name, &new).await,
            What::Link(target) => tree.make_link(dir.node(), name, target, &new).await,
            What::Special(kind, rdev) => {
                tree.make_special(dir.node(), name, *kind, *rdev, &new)
                    .await
            }
        };
        match done {
            Err(error) if is_stale(&error) => context.refresh(dir).await?,
            done => return done.map_err(|error| context.status(&error)),
        }
    }
}

/// What a new node is given: it is the user's, and in a directory with `SET_GID` the directory's
/// group's (Linux's `inode_init_owner` and `mode_strip_sgid`, fs/inode.c).
///
/// Only root gives it to somebody else at once, as with Linux's server (`nfsd_create_setattr`).
fn of_new(
    dir: &Attributes,
    user: &Credentials,
    kind: NodeKind,
    wanted: &SetAttributes,
) -> SetAttributes {
    let mut new = wanted.clone();
    let is_inherited = dir.mode & bits::SET_GID != 0;
    let wanted_id = |id: Option<u32>| id.filter(|id| is_root(user) && *id != u32::MAX);
    let group = if is_inherited { dir.gid } else { user.gid };
    new.uid = Some(wanted_id(wanted.uid).unwrap_or(user.uid));
    new.gid = Some(wanted_id(wanted.gid).unwrap_or(group));
    if kind != NodeKind::File {
        new.len = None;
    }
    new.mode = match kind {
        // mkdir(2) takes no such bits; the group's goes on to what is made below.
        NodeKind::Directory if is_inherited => {
            Some(wanted.mode.unwrap_or(0o700) & 0o1777 | bits::SET_GID)
        }
        NodeKind::Directory => wanted.mode.map(|mode| mode & 0o1777),
        _ => wanted.mode.map(|mode| {
            let runs_as_group = bits::SET_GID | bits::GROUP_EXECUTE;
            let is_foreign = is_inherited && !is_root(user) && !user.is_in(dir.gid);
            match is_foreign && mode & runs_as_group == runs_as_group {
                true => mode & 0o7777 & !bits::SET_GID,
                false => mode & 0o7777,
            }
        }),
    };
    new
}

/// The results of all four: the new node's handle and attributes, and the directory's.
async fn answer(context: &Context<'_>, dir: &Object, made: Result<Attributes, Status>) -> Answer {
    let made = match made {
        Ok(made) => made,
        Err(status) => return Err(failed(context, status, dir).await),
    };
    let room = 8 + HANDLE_LEN_MAX + POST_OP_LEN + WCC_LEN;
    let mut reply = context.results(Status::OK, room);
    context.put_post_op_handle(&mut reply, &dir.export, Some(made.node));
    put_post_op(&mut reply, dir.export.id, Some(&made));
    put_now(&mut reply, dir).await;
    Ok::<_, Halt>(reply.into())
}
