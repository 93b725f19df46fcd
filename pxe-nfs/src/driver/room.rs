//! How much memory a reply may take, before it is there.

use crate::handle::HANDLE_LEN_MAX;
use crate::rpc::Call;
use crate::xdr::{Malformed, Reader};
use crate::{Limits, mount, nfs};

/// Heads, attributes and names.
const SMALL: usize = 8 * 1024;
const READ: u32 = 6;
const READDIR: u32 = 16;
const READDIRPLUS: u32 = 17;
const DUMP: u32 = 2;
const EXPORT: u32 = 5;

/// The most that the reply to a call may take, in bytes.
pub(super) fn reply_room(limits: &Limits, message: &[u8]) -> usize {
    let Ok(call) = Call::parse(message) else {
        return SMALL;
    };
    let data = match (call.program, call.procedure) {
        (nfs::PROGRAM, READ) => {
            let count = read_count(call.args).unwrap_or(0);
            count.min(limits.read_bytes_max) as usize
        }
        (nfs::PROGRAM, READDIR | READDIRPLUS) => limits.list_bytes_max as usize,
        (mount::PROGRAM, DUMP | EXPORT) => limits.mount_list_bytes_max,
        _ => 0,
    };
    SMALL + data
}

/// `count` of READ3args (RFC 1813 section 3.3.6).
fn read_count(args: &[u8]) -> Result<u32, Malformed> {
    let mut args = Reader::new(args);
    args.opaque(HANDLE_LEN_MAX)?;
    args.u64()?;
    args.u32()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Procedure, auth_sys, call};

    #[test]
    fn room_is_for_the_longest_reply() {
        let limits = Limits::default();
        for (procedure, expected) in [
            (Procedure(nfs::PROGRAM, 3, 1), 0),
            (
                Procedure(nfs::PROGRAM, 3, READDIR),
                limits.list_bytes_max as usize,
            ),
            (
                Procedure(mount::PROGRAM, 3, DUMP),
                limits.mount_list_bytes_max,
            ),
            (
                Procedure(mount::PROGRAM, 3, EXPORT),
                limits.mount_list_bytes_max,
            ),
        ] {
            let message = call(procedure, auth_sys(0, 0, &[]), &0_u32);
            let room = reply_room(&limits, &message);
            assert_eq!(room, SMALL + expected, "{procedure:?}");
        }
    }
}
