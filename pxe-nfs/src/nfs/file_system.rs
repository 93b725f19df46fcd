//! What is said of file systems: FSSTAT, FSINFO, PATHCONF.

use pxe_tree::Name;

use super::attributes::POST_OP_LEN;
use super::node::{Answer, Context};
use super::status::Status;
use crate::Transport;
use crate::xdr::Write as _;

/// What sizes should be multiples of, in bytes: a page.
pub(crate) const MULTIPLE: u32 = 4096;
/// The longest file, as offsets have a sign on Linux.
pub(crate) const FILE_LEN_MAX: u64 = i64::MAX as u64;
/// `FSF3_LINK | FSF3_SYMLINK | FSF3_HOMOGENEOUS | FSF3_CANSETTIME`.
const PROPERTIES: u32 = 0x1 | 0x2 | 0x8 | 0x10;
/// How many names a node may have: what ext4 allows, less than which no common file system does.
const LINKS_MAX: u32 = 65_000;

impl Context<'_> {
    /// The most bytes that one reply may carry of what has this bound over TCP.
    fn bounded(&self, bytes_max: u32) -> u32 {
        match self.peer.transport {
            Transport::Tcp => bytes_max,
            Transport::Udp => bytes_max.min(self.service.limits.udp_read_bytes_max),
        }
    }

    /// The most bytes that a READ gives this client.
    pub(super) fn read_bytes_max(&self) -> u32 {
        self.bounded(self.service.limits.read_bytes_max)
    }

    /// The most bytes that a READDIR or READDIRPLUS gives this client.
    pub(super) fn list_bytes_max(&self) -> u32 {
        self.bounded(self.service.limits.list_bytes_max)
    }
}

/// FSSTAT (RFC 1813 section 3.3.18).
pub(super) async fn fsstat(context: &Context<'_>) -> Answer {
    let object = context.object(context.args().handle()?).await?;
    let capacity = object.tree().capacity(object.node()).await;
    let capacity = capacity.map_err(|error| context.failed(context.status(&error), &object))?;
    let mut reply = context.results(Status::OK, POST_OP_LEN + 52);
    object.put_post_op(&mut reply);
    reply.put_u64(capacity.bytes_total);
    reply.put_u64(capacity.bytes_free);
    reply.put_u64(capacity.bytes_available);
    reply.put_u64(capacity.nodes_total);
    reply.put_u64(capacity.nodes_free);
    reply.put_u64(capacity.nodes_available);
    // For how many seconds that will stay so: nobody knows.
    reply.put_u32(0);
    Ok(reply.into())
}

/// FSINFO (RFC 1813 section 3.3.19). Reads and writes of other sizes than it says are done too,
/// the larger ones in part.
pub(super) async fn fsinfo(context: &Context<'_>) -> Answer {
    let object = context.object(context.args().handle()?).await?;
    let mut reply = context.results(Status::OK, POST_OP_LEN + 48);
    object.put_post_op(&mut reply);
    let read = context.read_bytes_max();
    let write = context.bounded(context.service.limits.write_bytes_max);
    for (max, preferred) in [(read, read), (write, write)] {
        reply.put_u32(max);
        reply.put_u32(preferred);
        reply.put_u32(MULTIPLE);
    }
    reply.put_u32(context.list_bytes_max());
    reply.put_u64(FILE_LEN_MAX);
    // `time_delta`: a nanosecond.
    reply.put_u32(0);
    reply.put_u32(1);
    reply.put_u32(PROPERTIES);
    Ok(reply.into())
}

/// PATHCONF (RFC 1813 section 3.3.20).
pub(super) async fn pathconf(context: &Context<'_>) -> Answer {
    let object = context.object(context.args().handle()?).await?;
    let mut reply = context.results(Status::OK, POST_OP_LEN + 24);
    object.put_post_op(&mut reply);
    reply.put_u32(LINKS_MAX);
    reply.put_u32(Name::LEN_MAX as u32);
    // `no_trunc`: longer names are refused. `chown_restricted`: files are given away by root.
    let (case_insensitive, case_preserving) = (false, true);
    for property in [true, true, case_insensitive, case_preserving] {
        reply.put_bool(property);
    }
    Ok(reply.into())
}
