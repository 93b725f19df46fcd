//! The content of nodes: READ and READLINK.

use std::sync::Arc;

use bytes::Bytes;
use pxe_tree::{Attributes, Blob, Direct, Error, ErrorKind, NodeKind};

use super::attributes::POST_OP_LEN;
use super::node::{Answer, Context, Object};
use super::permission::may_read;
use super::status::Status;
use crate::xdr::Write as _;
use crate::{Data, Event, Reply, Transport};

/// Reads of at most so many bytes are copied: two system calls fewer than `sendfile` takes.
const COPIED_BYTES_MAX: u32 = 64 << 10;
/// How far apart bytes are looked at to see whether a range is in memory: what the kernel reads
/// ahead at once.
const PROBE_STRIDE: u64 = 128 << 10;
/// How many reads of the same length are fetched ahead of a client that reads on.
const AHEAD_READS: u64 = 2;

/// READLINK (RFC 1813 section 3.3.5).
pub(super) async fn readlink(context: &Context<'_>) -> Answer {
    let mut link = context.object(context.args().handle()?).await?;
    let target = loop {
        if link.attributes.kind != NodeKind::Link {
            return Err(context.failed(Status::INVAL, &link));
        }
        match link.tree().read_link(link.node()).await {
            Ok(target) => break target,
            Err(error) if error.kind() == ErrorKind::Stale => {
                let again = context.refresh(&mut link).await;
                again.map_err(|status| context.failed(status, &link))?;
            }
            Err(error) => return Err(context.failed(context.status(&error), &link)),
        }
    };
    let mut reply = context.results(Status::OK, POST_OP_LEN + 8 + target.len());
    link.put_post_op(&mut reply);
    reply.put_opaque(&target);
    Ok(reply.into())
}

/// READ (RFC 1813 section 3.3.6).
pub(super) async fn read(context: &Context<'_>) -> Answer {
    let mut args = context.args();
    let handle = args.handle()?;
    let (offset, count) = (args.u64()?, args.u32()?);
    let count = count.min(context.read_bytes_max());
    let mut file = context.object(handle).await?;
    loop {
        let allowed = match file.attributes.kind {
            NodeKind::File if may_read(&file.attributes, &file.user) => Ok(()),
            NodeKind::File => Err(Status::ACCES),
            NodeKind::Directory => Err(Status::ISDIR),
            _ => Err(Status::INVAL),
        };
        allowed.map_err(|status| context.failed(status, &file))?;
        match range(context, &file, offset, count).await {
            Ok((data, of_blob)) => {
                file.attributes = with_content_of(&file.attributes, &of_blob);
                let (service, peer) = (context.service, context.peer);
                if service.mounts.begins_to_read(peer.remote.ip()) {
                    service.tell(&Event::FirstRead(*peer));
                }
                return Ok(answer(context, &file, offset, data));
            }
            // A blob was edited or replaced while it was read. It is the file's affair that it
            // changes, and no error: the file is opened anew.
            Err(error) if error.kind() == ErrorKind::Stale => {
                let again = context.refresh(&mut file).await;
                again.map_err(|status| context.failed(status, &file))?;
            }
            Err(error) => return Err(context.failed(context.status(&error), &file)),
        }
    }
}

fn answer(context: &Context<'_>, file: &Object, offset: u64, data: Data) -> Reply {
    let mut head = context.results(Status::OK, POST_OP_LEN + 12);
    file.put_post_op(&mut head);
    // At most `read_bytes_max`, which has 32 bits.
    let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
    head.put_u32(count);
    head.put_bool(offset.saturating_add(u64::from(count)) >= file.attributes.len);
    head.put_u32(count);
    Reply { head, data }
}

/// A node's attributes with what the blob that was read says of its content: it was opened after
/// they were asked for. A blob of a composed tree has the numbers of the tree in which it lies.
fn with_content_of(node: &Attributes, blob: &Attributes) -> Attributes {
    let mut attributes = node.clone();
    attributes.len = blob.len;
    attributes.used = blob.used;
    attributes.modified = blob.modified;
    attributes.changed = blob.changed;
    attributes
}

/// A range of a file, and what its blob says of the file.
async fn range(
    context: &Context<'_>,
    file: &Object,
    offset: u64,
    count: u32,
) -> Result<(Data, Attributes), Error> {
    let blob = file.tree().open(file.node()).await?;
    let attributes = blob.attributes().clone();
    let left = attributes.len.saturating_sub(offset);
    let len = u32::try_from(left).map_or(count, |left| left.min(count));
    let data = match len {
        0 => Data::None,
        _ => content(context, blob, offset, len).await?,
    };
    Ok((data, attributes))
}

/// `len` bytes that lie within the content.
async fn content(
    context: &Context<'_>,
    blob: Arc<dyn Blob>,
    offset: u64,
    len: u32,
) -> Result<Data, Error> {
    let sends_files = context.peer.transport == Transport::Tcp && len > COPIED_BYTES_MAX;
    if sends_files && is_one_file(&*blob, offset, len) {
        let next = offset.saturating_add(u64::from(len));
        if is_in_memory(&*blob, offset, len)? {
            // Sent without being read, it would not make the kernel read ahead for clients that
            // read on.
            if blob.read_now(next, &mut [0])?.is_none() {
                blob.will_need(next, AHEAD_READS * u64::from(len));
            }
            blob.validate()?;
            return Ok(Data::File { blob, offset, len });
        }
        // It is read on a thread that may wait, and the medium fetches the next reads meanwhile.
        blob.will_need(offset, (1 + AHEAD_READS) * u64::from(len));
    }
    let bytes: Bytes = blob.read_at(offset, len as usize).await?;
    match bytes.len() == len as usize {
        true => Ok(Data::Bytes(bytes)),
        // Shorter than what it says of itself: cut off meanwhile.
        false => Err(ErrorKind::Stale.into()),
    }
}

fn is_one_file(blob: &dyn Blob, offset: u64, len: u32) -> bool {
    let wanted = u64::from(len);
    matches!(blob.direct(offset, wanted), Direct::File { len, .. } if len == wanted)
}

/// Whether a range is in the page cache, as far as bytes here and there and the last one tell.
fn is_in_memory(blob: &dyn Blob, offset: u64, len: u32) -> Result<bool, Error> {
    let last = offset.saturating_add(u64::from(len) - 1);
    let mut at = offset;
    loop {
        if blob.read_now(at, &mut [0])? != Some(1) {
            return Ok(false);
        }
        if at == last {
            return Ok(true);
        }
        at = at.saturating_add(PROBE_STRIDE).min(last);
    }
}
