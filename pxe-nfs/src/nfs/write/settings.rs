//! Mode, owner, length and times: SETATTR, and `sattr3` of all that make something.

use pxe_tree::{Attributes, NodeKind, SetAttributes, SetTime, Timestamp};

use super::super::attributes::{WCC_LEN, put_wcc};
use super::super::node::{Answer, Context, Object};
use super::super::permission::{Wanted, allows, may_write};
use super::super::status::Status;
use super::{bits, failed, is_root, is_stale, without_set_id, writable};
use crate::Credentials;
use crate::xdr::{Malformed, Reader};

/// No user and no group: to the operating system it means to leave them as they are.
const NOBODY: u32 = u32::MAX;

/// SETATTR (RFC 1813 section 3.3.2).
pub(super) async fn setattr(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let handle = args.handle()?;
    let wanted = sattr(&mut args)?;
    let guard = args.optional(time)?;
    let mut object = context.object(handle).await?;
    match set(context, &mut object, &wanted, guard).await {
        Ok(after) => {
            let mut reply = context.results(Status::OK, WCC_LEN);
            put_wcc(&mut reply, object.export.id, Some(&after));
            Ok(reply.into())
        }
        Err(status) => Err(failed(context, status, &object).await),
    }
}

async fn set(
    context: &Context<'_>,
    object: &mut Object,
    wanted: &SetAttributes,
    guard: Option<Timestamp>,
) -> Result<Attributes, Status> {
    let tree = writable(object)?;
    loop {
        if guard.is_some_and(|guard| guard != as_told(object.attributes.changed)) {
            return Err(Status::NOT_SYNC);
        }
        let allowed = allowed(&object.attributes, &object.user, wanted)?;
        match tree.set_attributes(object.node(), &allowed).await {
            Err(error) if is_stale(&error) => context.refresh(object).await?,
            done => return done.map_err(|error| context.status(&error)),
        }
    }
}

/// A time as clients know it from `fattr3`, for comparing.
fn as_told(time: Timestamp) -> Timestamp {
    let seconds = u32::try_from(time.seconds.max(0)).unwrap_or(u32::MAX);
    Timestamp {
        seconds: seconds.into(),
        nanos: time.nanos,
    }
}

/// What is to be set of what a user wants, or why he may not (Linux's `setattr_prepare`, fs/attr.c,
/// and `nfsd_sanitize_attrs`, fs/nfsd/vfs.c).
pub(super) fn allowed(
    node: &Attributes,
    user: &Credentials,
    wanted: &SetAttributes,
) -> Result<SetAttributes, Status> {
    let mut allowed = wanted.clone();
    let may_all = is_root(user);
    let is_owner = may_all || user.uid == node.uid;
    if wanted.len.is_some() {
        match node.kind {
            NodeKind::File if may_write(node, user) => {}
            NodeKind::File => return Err(Status::ACCES),
            NodeKind::Directory => return Err(Status::ISDIR),
            _ => return Err(Status::INVAL),
        }
    }
    if [wanted.uid, wanted.gid].contains(&Some(NOBODY)) {
        return Err(Status::INVAL);
    }
    // An owner may not give a file away, but to another group of his.
    if wanted
        .uid
        .is_some_and(|uid| !is_owner || !may_all && uid != node.uid)
    {
        return Err(Status::PERM);
    }
    let may_have = |gid: u32| may_all || gid == node.gid || user.is_in(gid);
    if wanted.gid.is_some_and(|gid| !is_owner || !may_have(gid)) {
        return Err(Status::PERM);
    }
    for time in [wanted.accessed, wanted.modified] {
        match time {
            Some(SetTime::To(_)) if !is_owner => return Err(Status::PERM),
            // As utimes(2) without a time: whoever may write may do that.
            Some(SetTime::Now) if !is_owner && !allows(node, user, Wanted::WRITE) => {
                return Err(Status::ACCES);
            }
            _ => {}
        }
    }
    // Of a file with another owner, and of one that another user writes to, nobody becomes that
    // owner by running it.
    let is_given = wanted.uid.is_some() || wanted.gid.is_some();
    let is_cut = wanted.len.is_some() && !may_all;
    if node.kind == NodeKind::Link {
        // A link's mode means nothing: it is left as it is (`nfsd_setattr`).
        allowed.mode = None;
    } else if let Some(mode) = wanted.mode {
        if !is_owner {
            return Err(Status::PERM);
        }
        let mut mode = mode & 0o7777;
        if node.kind != NodeKind::Directory && is_given {
            mode = without_set_id(mode);
        }
        if !may_all && !user.is_in(wanted.gid.unwrap_or(node.gid)) {
            mode &= !bits::SET_GID;
        }
        allowed.mode = Some(mode);
    } else if node.kind == NodeKind::File && (is_given || is_cut) {
        let mode = without_set_id(node.mode);
        allowed.mode = (mode != node.mode).then_some(mode);
    }
    Ok(allowed)
}

/// A `sattr3` (RFC 1813 section 2.6).
pub(super) fn sattr(args: &mut Reader<'_>) -> Result<SetAttributes, Malformed> {
    let mut wanted = SetAttributes::default();
    wanted.mode = args.optional(Reader::u32)?;
    wanted.uid = args.optional(Reader::u32)?;
    wanted.gid = args.optional(Reader::u32)?;
    wanted.len = args.optional(Reader::u64)?;
    wanted.accessed = set_time(args)?;
    wanted.modified = set_time(args)?;
    Ok(wanted)
}

/// A `set_atime` or a `set_mtime`.
fn set_time(args: &mut Reader<'_>) -> Result<Option<SetTime>, Malformed> {
    match args.u32()? {
        0 => Ok(None),
        1 => Ok(Some(SetTime::Now)),
        2 => time(args).map(SetTime::To).map(Some),
        _ => Err(Malformed),
    }
}

/// An `nfstime3`.
fn time(args: &mut Reader<'_>) -> Result<Timestamp, Malformed> {
    let (seconds, nanos) = (args.u32()?, args.u32()?);
    match nanos {
        0..1_000_000_000 => Ok(Timestamp {
            seconds: seconds.into(),
            nanos,
        }),
        _ => Err(Malformed),
    }
}
