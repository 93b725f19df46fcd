//! MOUNT, version 3 (RFC 1813 appendix I): from a path to a handle.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Mutex;

use crate::Peer;
use crate::rpc::{Call, Rejected};
use crate::service::{Inner, results};

pub(crate) const PROGRAM: u32 = 100_005;
pub(crate) const VERSION: u32 = 3;

/// Who mounted what, for DUMP: what clients said, and nothing depends on it.
#[derive(Debug)]
pub(crate) struct Mounts {
    mounts_max: usize,
    #[expect(dead_code, reason = "MNT, UMNT and DUMP keep it")]
    known: Mutex<VecDeque<(IpAddr, Vec<u8>)>>,
}

impl Mounts {
    pub(crate) fn new(mounts_max: usize) -> Self {
        Self {
            mounts_max,
            known: Mutex::default(),
        }
    }
}

/// A path with one slash between names and none at its end.
pub(crate) fn normal(path: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(path.len());
    for name in path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
    {
        normal.push(b'/');
        normal.extend_from_slice(name);
    }
    if normal.is_empty() && path.starts_with(b"/") {
        normal.push(b'/');
    }
    normal
}

pub(crate) async fn answer(
    service: &Inner,
    _peer: &Peer,
    call: &Call<'_>,
) -> Result<Vec<u8>, Rejected> {
    if call.version != VERSION {
        return Err(Rejected::ProgramMismatch {
            low: VERSION,
            high: VERSION,
        });
    }
    let _ = service.mounts.mounts_max;
    match call.procedure {
        0 => Ok(results(call, 0)),
        _ => Err(Rejected::ProcedureUnavailable),
    }
}
