//! How much memory a reply may take, before it is there.

use crate::Limits;
use crate::handle::HANDLE_LEN_MAX;
use crate::nfs;
use crate::rpc::Call;
use crate::xdr::{Malformed, Reader};

/// Heads, attributes and names.
const SMALL: usize = 8 * 1024;
const READ: u32 = 6;
const READDIR: u32 = 16;
const READDIRPLUS: u32 = 17;

/// The most that the reply to a call may take, in bytes.
pub(super) fn reply_room(limits: &Limits, message: &[u8]) -> usize {
    let Ok(call) = Call::parse(message) else {
        return SMALL;
    };
    let data = match (call.program, call.procedure) {
        (nfs::PROGRAM, READ) => read_count(call.args)
            .unwrap_or(0)
            .min(limits.read_bytes_max),
        (nfs::PROGRAM, READDIR | READDIRPLUS) => limits.list_bytes_max,
        _ => 0,
    };
    SMALL + data as usize
}

/// `count` of READ3args (RFC 1813 section 3.3.6).
fn read_count(args: &[u8]) -> Result<u32, Malformed> {
    let mut args = Reader::new(args);
    args.opaque(HANDLE_LEN_MAX)?;
    args.u64()?;
    args.u32()
}
