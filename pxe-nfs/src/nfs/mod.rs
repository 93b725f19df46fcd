//! NFS version 3 (RFC 1813).

use bytes::Bytes;

use crate::rpc::{Call, Rejected};
use crate::service::{Inner, results};
use crate::{Peer, Reply};

pub(crate) const PROGRAM: u32 = 100_003;
pub(crate) const VERSION: u32 = 3;

/// Answers a call; `message` is what `call` was read from.
pub(crate) async fn answer(
    _service: &Inner,
    _peer: &Peer,
    call: &Call<'_>,
    _message: &Bytes,
) -> Result<Reply, Rejected> {
    if call.version != VERSION {
        return Err(Rejected::ProgramMismatch {
            low: VERSION,
            high: VERSION,
        });
    }
    match call.procedure {
        0 => Ok(results(call, 0).into()),
        _ => Err(Rejected::ProcedureUnavailable),
    }
}
