//! The portmapper, version 2 (RFC 1833 section 3): which port a program listens at.

use std::sync::{Mutex, PoisonError};

use crate::Peer;
use crate::rpc::{Call, Rejected};
use crate::service::results;
use crate::xdr::{Reader, Write};

pub(crate) const PROGRAM: u32 = 100_000;
pub(crate) const VERSION: u32 = 2;
/// `IPPROTO_TCP`, by which mappings name TCP.
#[cfg(feature = "tokio")]
pub(crate) const IPPROTO_TCP: u32 = 6;
/// `IPPROTO_UDP`.
#[cfg(feature = "tokio")]
pub(crate) const IPPROTO_UDP: u32 = 17;
const PROC_NULL: u32 = 0;
const PROC_GETPORT: u32 = 3;
const PROC_DUMP: u32 = 4;

/// A program and where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Mapping {
    /// The program's number.
    pub program: u32,
    /// Its version.
    pub version: u32,
    /// TCP (6) or UDP (17).
    pub protocol: u32,
    /// The port.
    pub port: u16,
}

/// What the portmapper knows.
#[derive(Debug, Default)]
pub(crate) struct PortMap(Mutex<Vec<Mapping>>);

impl PortMap {
    pub(crate) fn add(&self, mapping: Mapping) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&mapping) {
            all.push(mapping);
        }
    }

    fn all(&self) -> Vec<Mapping> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

pub(crate) fn answer(ports: &PortMap, _: &Peer, call: &Call<'_>) -> Result<Vec<u8>, Rejected> {
    if call.version != VERSION {
        // rpcbind's versions 3 and 4: clients fall back to the one that is named.
        return Err(Rejected::ProgramMismatch {
            low: VERSION,
            high: VERSION,
        });
    }
    let mut reply = results(call, 64);
    match call.procedure {
        PROC_NULL => {}
        PROC_GETPORT => {
            let mut args = Reader::new(call.args);
            let (program, version, protocol) = (args.u32()?, args.u32()?, args.u32()?);
            let all = ports.all();
            let found = all.iter().find(|mapping| {
                (mapping.program, mapping.version, mapping.protocol) == (program, version, protocol)
            });
            reply.put_u32(found.map_or(0, |mapping| u32::from(mapping.port)));
        }
        PROC_DUMP => {
            for mapping in ports.all() {
                reply.put_bool(true);
                reply.put_u32(mapping.program);
                reply.put_u32(mapping.version);
                reply.put_u32(mapping.protocol);
                reply.put_u32(u32::from(mapping.port));
            }
            reply.put_bool(false);
        }
        _ => return Err(Rejected::ProcedureUnavailable),
    }
    Ok(reply)
}
