//! What is said of nodes: `fattr3`, `post_op_attr`, `wcc_data` (RFC 1813 section 2.6).

use std::hash::Hasher;

use pxe_tree::{Attributes, NodeKind, Timestamp};
use siphasher::sip::SipHasher13;

use super::node::{Answer, Context};
use super::status::Status;
use crate::handle::ExportId;
use crate::xdr::Write;

/// Bytes of a `post_op_attr` that has attributes.
pub(crate) const POST_OP_LEN: usize = 4 + 84;
/// Bytes of a `wcc_data` as it is written here.
pub(crate) const WCC_LEN: usize = 4 + POST_OP_LEN;

/// The `ftype3` of a node.
const fn file_type(kind: NodeKind) -> u32 {
    match kind {
        NodeKind::Directory => 2,
        NodeKind::BlockDevice => 3,
        NodeKind::CharDevice => 4,
        NodeKind::Link => 5,
        NodeKind::Socket => 6,
        NodeKind::Fifo => 7,
        // A regular file; there are no kinds but these.
        _ => 1,
    }
}

/// The file system's number to clients: one tree may be exported twice, and clients take nodes
/// of one file system and number for one node, although what they may do there differs.
fn fsid(export: ExportId, fsid: u64) -> u64 {
    let mut hasher = SipHasher13::new_with_key(b"pxe-nfs fsid....");
    hasher.write_u32(export.0.to_be());
    hasher.write_u64(fsid.to_be());
    hasher.finish()
}

/// An `nfstime3`: it knows no time before 1970 and none after 2106.
fn put_time(reply: &mut Vec<u8>, time: Timestamp) {
    reply.put_u32(u32::try_from(time.seconds.max(0)).unwrap_or(u32::MAX));
    reply.put_u32(time.nanos);
}

/// A `fattr3`.
pub(crate) fn put_attributes(reply: &mut Vec<u8>, export: ExportId, node: &Attributes) {
    reply.put_u32(file_type(node.kind));
    reply.put_u32(node.mode);
    reply.put_u32(node.nlink);
    reply.put_u32(node.uid);
    reply.put_u32(node.gid);
    reply.put_u64(node.len);
    reply.put_u64(node.used.unwrap_or(node.len));
    reply.put_u32(node.rdev.0);
    reply.put_u32(node.rdev.1);
    reply.put_u64(fsid(export, node.fsid));
    reply.put_u64(node.fileid);
    put_time(reply, node.accessed);
    put_time(reply, node.modified);
    put_time(reply, node.changed);
}

/// A `post_op_attr`.
pub(crate) fn put_post_op(reply: &mut Vec<u8>, export: ExportId, node: Option<&Attributes>) {
    reply.put_bool(node.is_some());
    if let Some(node) = node {
        put_attributes(reply, export, node);
    }
}

/// A `wcc_data` without `pre_op_attr`: what was before cannot be told in one step with what is
/// now, and clients that are told nothing of it drop what they have cached.
pub(crate) fn put_wcc(reply: &mut Vec<u8>, export: ExportId, node: Option<&Attributes>) {
    reply.put_bool(false);
    put_post_op(reply, export, node);
}

/// GETATTR (RFC 1813 section 3.3.1).
pub(super) async fn getattr(context: &Context<'_>) -> Answer {
    let object = context.object(context.args().handle()?).await?;
    let mut reply = context.results(Status::OK, POST_OP_LEN);
    object.put_attributes(&mut reply);
    Ok(reply.into())
}
