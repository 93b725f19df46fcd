//! The portmapper, version 2 (RFC 1833 section 3): which port a program listens at.

use std::sync::{Mutex, PoisonError};

use crate::rpc::{Call, Rejected};
use crate::service::results;
use crate::xdr::{Malformed, Reader, Write};
use crate::{Peer, Transport};

pub(crate) const PROGRAM: u32 = 100_000;
pub(crate) const VERSION: u32 = 2;
/// `IPPROTO_TCP`, by which mappings name TCP.
#[cfg(feature = "tokio")]
pub(crate) const IPPROTO_TCP: u32 = 6;
/// `IPPROTO_UDP`.
#[cfg(feature = "tokio")]
pub(crate) const IPPROTO_UDP: u32 = 17;
const PROC_NULL: u32 = 0;
const PROC_SET: u32 = 1;
const PROC_UNSET: u32 = 2;
const PROC_GETPORT: u32 = 3;
const PROC_DUMP: u32 = 4;
const PROC_CALLIT: u32 = 5;

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

    /// Where a program listens. If it has not that version, where it does with another one, as
    /// rpcbind has it (src/pmap_svc.c, `find_service_pmap`): it says itself which ones it has.
    /// U-Boot asks for versions that it then gives up.
    fn port(&self, wanted: &Wanted) -> Option<u16> {
        let all = self.all();
        let of_program = |mapping: &&Mapping| {
            (mapping.program, mapping.protocol) == (wanted.program, wanted.protocol)
        };
        let exact = |mapping: &&Mapping| of_program(mapping) && mapping.version == wanted.version;
        let found = all.iter().find(exact);
        Some(found.or_else(|| all.iter().find(of_program))?.port)
    }

    fn all(&self) -> Vec<Mapping> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What a client asks for, or wants to register.
struct Wanted {
    program: u32,
    version: u32,
    protocol: u32,
}

impl Wanted {
    fn parse(call: &Call<'_>) -> Result<Self, Malformed> {
        let mut args = Reader::new(call.args);
        let wanted = Self {
            program: args.u32()?,
            version: args.u32()?,
            protocol: args.u32()?,
        };
        let _port = args.u32()?;
        Ok(wanted)
    }
}

pub(crate) fn answer(ports: &PortMap, peer: &Peer, call: &Call<'_>) -> Result<Vec<u8>, Rejected> {
    if call.version != VERSION {
        // rpcbind's versions 3 and 4: clients that know 2 fall back to it.
        return Err(Rejected::ProgramMismatch {
            low: VERSION,
            high: VERSION,
        });
    }
    let mut reply = results(call, 64);
    match call.procedure {
        PROC_NULL => {}
        // Ours alone are listed: nobody else registers here.
        PROC_SET | PROC_UNSET => {
            Wanted::parse(call)?;
            reply.put_bool(false);
        }
        PROC_GETPORT => {
            let found = ports.port(&Wanted::parse(call)?);
            reply.put_u32(found.map_or(0, u32::from));
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
        // Calls for others would let a datagram with a forged sender draw a reply from any
        // program here. It is silent where it fails (RFC 1833 section 3.2), which only UDP
        // suffers.
        PROC_CALLIT if peer.transport == Transport::Udp => return Err(Rejected::Silently),
        _ => return Err(Rejected::ProcedureUnavailable),
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use nfs3_types::portmap::{PMAP_PROG, mapping, pmaplist};
    use nfs3_types::rpc::{accept_stat_data, opaque_auth};
    use nfs3_types::xdr_codec::{Pack, Void};

    use super::*;
    use crate::oracle::{self, Procedure};
    use crate::{HandleKey, Programs, Service};

    const TCP: u32 = 6;
    const UDP: u32 = 17;

    fn service() -> Service {
        let service = Service::builder(HandleKey::new([1; 16]));
        let service = service.build().expect("no exports");
        for (program, version, protocol, port) in [
            (PROGRAM, VERSION, TCP, 111),
            (PROGRAM, VERSION, UDP, 111),
            (100_003, 3, TCP, 2049),
            (100_005, 3, TCP, 2049),
            (100_005, 3, UDP, 2049),
            (100_005, 3, UDP, 627),
            (100_005, 3, UDP, 627),
            (100_021, 4, TCP, 2049),
        ] {
            service.inner.ports.add(Mapping {
                program,
                version,
                protocol,
                port,
            });
        }
        service
    }

    async fn reply(version: u32, number: u32, args: &impl Pack, udp: bool) -> Option<Vec<u8>> {
        let procedure = Procedure(PROGRAM, version, number);
        let message = oracle::call(procedure, opaque_auth::default(), args);
        let tcp = oracle::peer([192, 168, 150, 7]);
        let peer = match udp {
            true => Peer::new(tcp.remote, tcp.local, Transport::Udp),
            false => tcp,
        };
        let reply = service().answer(&peer, Programs::Portmap, message).await?;
        Some(oracle::bytes(reply).await)
    }

    async fn getport(prog: u32, vers: u32, prot: u32) -> u32 {
        let port = 0;
        let args = mapping {
            prog,
            vers,
            prot,
            port,
        };
        let number = PMAP_PROG::PMAPPROC_GETPORT as u32;
        oracle::results(&reply(VERSION, number, &args, true).await.expect("a reply"))
    }

    #[tokio::test]
    async fn ports_are_told() {
        assert_eq!(getport(100_003, 3, TCP).await, 2049);
        assert_eq!(getport(100_005, 3, UDP).await, 2049, "the first");
        assert_eq!(getport(PROGRAM, VERSION, TCP).await, 111);
        for (program, protocol) in [(100_003, UDP), (100_021, UDP), (100_227, TCP), (100_003, 0)] {
            assert_eq!(
                getport(program, 3, protocol).await,
                0,
                "{program} {protocol}"
            );
        }
    }

    /// As rpcbind: U-Boot asks for MOUNT 1 and NFS 2, and learns from NFS that there is 3.
    #[tokio::test]
    async fn another_version_s_port_is_told_as_by_rpcbind() {
        for version in [1, 2, 4] {
            assert_eq!(getport(100_005, version, TCP).await, 2049);
        }
    }

    #[tokio::test]
    async fn rpcinfo_shows_all() {
        let number = PMAP_PROG::PMAPPROC_DUMP as u32;
        let reply = reply(VERSION, number, &Void, false).await;
        let list: pmaplist = oracle::results(&reply.expect("a reply"));
        let line = |one: mapping| format!("{} {} {} {}", one.prog, one.vers, one.prot, one.port);
        let lines: Vec<String> = list.0.into_iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "100000 2 6 111",
                "100000 2 17 111",
                "100003 3 6 2049",
                "100005 3 6 2049",
                "100005 3 17 2049",
                "100005 3 17 627",
                "100021 4 6 2049",
            ]
        );
    }

    #[tokio::test]
    async fn nobody_registers_and_nobody_is_called() {
        let args = mapping {
            prog: 100_003,
            vers: 3,
            prot: TCP,
            port: 1,
        };
        for number in [PROC_SET, PROC_UNSET] {
            let reply = reply(VERSION, number, &args, false).await.expect("a reply");
            assert!(!oracle::results::<bool>(&reply));
        }
        assert_eq!(
            reply(VERSION, PROC_CALLIT, &args, true).await,
            None,
            "silence by UDP"
        );
        for (version, number) in [(VERSION, PROC_CALLIT), (VERSION, 6)] {
            let reply = reply(version, number, &args, false).await.expect("a reply");
            let refused = oracle::refusal(&reply);
            assert!(
                matches!(refused, accept_stat_data::PROC_UNAVAIL),
                "{refused:?}"
            );
        }
        for number in [PROC_SET, PROC_UNSET, PROC_GETPORT] {
            let reply = reply(VERSION, number, &7_u64, false)
                .await
                .expect("a reply");
            let refused = oracle::refusal(&reply);
            assert!(
                matches!(refused, accept_stat_data::GARBAGE_ARGS),
                "{refused:?}"
            );
        }
    }

    /// `rpcinfo` without `-p` asks for 4 and 3 first, and for 2 if these are not there.
    #[tokio::test]
    async fn rpcbind_s_versions_are_answered_with_ours() {
        for version in [0, 1, 3, 4] {
            let reply = reply(version, PROC_GETPORT, &Void, true)
                .await
                .expect("a reply");
            let refused = oracle::refusal(&reply);
            assert!(
                matches!(refused, accept_stat_data::PROG_MISMATCH { low: 2, high: 2 }),
                "{refused:?}"
            );
        }
    }
}
