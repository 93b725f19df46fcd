//! Remote procedure calls (RFC 5531): the header of a call, and that of its reply.

use crate::credentials::GROUPS_MAX;
use crate::xdr::{Malformed, Reader, Write};

const CALL: u32 = 0;
const REPLY: u32 = 1;
const RPC_VERSION: u32 = 2;
const MSG_ACCEPTED: u32 = 0;
const MSG_DENIED: u32 = 1;
const AUTH_NONE: u32 = 0;
pub(crate) const AUTH_SYS: u32 = 1;
const AUTH_SHORT: u32 = 2;
/// Section 8.2.
const AUTH_BODY_MAX: usize = 400;
/// The machine's name of AUTH_SYS (appendix A).
const MACHINE_NAME_MAX: usize = 255;

/// A call, as far as every program needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call<'a> {
    pub(crate) xid: u32,
    pub(crate) program: u32,
    pub(crate) version: u32,
    pub(crate) procedure: u32,
    pub(crate) auth: Auth,
    /// The procedure's arguments.
    pub(crate) args: &'a [u8],
}

/// Who says to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Auth {
    None,
    Sys {
        uid: u32,
        gid: u32,
        groups: Vec<u32>,
    },
}

/// A call that is answered, or not, before any program sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoCall {
    /// It is no call at all: not even a transaction can be named in a reply.
    Garbage,
    /// Another version of RPC.
    RpcMismatch { xid: u32 },
    /// Credentials that are not taken here.
    Auth { xid: u32, stat: AuthStat },
}

/// `auth_stat` (section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthStat {
    BadCred = 1,
    RejectedCred = 2,
}

/// `accept_stat` (section 9) but for SUCCESS, or silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The procedure answers nothing.
    Silently,
    ProgramUnavailable,
    /// The versions that there are.
    ProgramMismatch {
        low: u32,
        high: u32,
    },
    ProcedureUnavailable,
    GarbageArguments,
    SystemError,
}

impl From<Malformed> for Rejected {
    fn from(Malformed: Malformed) -> Self {
        Self::GarbageArguments
    }
}

impl<'a> Call<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, NoCall> {
        let mut reader = Reader::new(message);
        let (xid, kind) =
            (|| Ok((reader.u32()?, reader.u32()?)))().map_err(|Malformed| NoCall::Garbage)?;
        if kind != CALL {
            return Err(NoCall::Garbage);
        }
        let garbage = |Malformed: Malformed| NoCall::Garbage;
        if reader.u32().map_err(garbage)? != RPC_VERSION {
            return Err(NoCall::RpcMismatch { xid });
        }
        let program = reader.u32().map_err(garbage)?;
        let version = reader.u32().map_err(garbage)?;
        let procedure = reader.u32().map_err(garbage)?;
        let bad = |Malformed: Malformed| NoCall::Auth {
            xid,
            stat: AuthStat::BadCred,
        };
        let flavor = reader.u32().map_err(bad)?;
        let body = reader.opaque(AUTH_BODY_MAX).map_err(bad)?;
        let auth = match flavor {
            AUTH_NONE => Auth::None,
            AUTH_SYS => Auth::sys(body).map_err(bad)?,
            // What a client was given as short hand is forgotten by now (appendix A): it takes
            // AUTH_SYS again.
            AUTH_SHORT => {
                let stat = AuthStat::RejectedCred;
                return Err(NoCall::Auth { xid, stat });
            }
            // RPCSEC_GSS, AUTH_TLS (RFC 9289 section 4.1), and all that come: as Linux's server
            // answers for flavors that it does not know (net/sunrpc/svcauth.c), whatever the
            // procedure. Clients that may do without try that next.
            _ => return Err(bad(Malformed)),
        };
        // The verifier of these two is AUTH_NONE; what else is in it means nothing.
        reader.u32().map_err(bad)?;
        reader.opaque(AUTH_BODY_MAX).map_err(bad)?;
        Ok(Self {
            xid,
            program,
            version,
            procedure,
            auth,
            args: reader.rest(),
        })
    }
}

impl Auth {
    fn sys(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let _stamp = reader.u32()?;
        let _machine = reader.opaque(MACHINE_NAME_MAX)?;
        let (uid, gid) = (reader.u32()?, reader.u32()?);
        let count = usize::try_from(reader.u32()?).map_err(|_| Malformed)?;
        if count > GROUPS_MAX {
            return Err(Malformed);
        }
        let groups: Result<Vec<u32>, Malformed> = (0..count).map(|_| reader.u32()).collect();
        Ok(Self::Sys {
            uid,
            gid,
            groups: groups?,
        })
    }
}

/// The header of a reply to a call that was done; its results follow.
pub(crate) fn accepted(xid: u32, room: usize) -> Vec<u8> {
    let mut reply = Vec::with_capacity(24 + room);
    accept(&mut reply, xid, 0);
    reply
}

fn accept(reply: &mut Vec<u8>, xid: u32, stat: u32) {
    for number in [xid, REPLY, MSG_ACCEPTED, AUTH_NONE, 0, stat] {
        reply.put_u32(number);
    }
}

/// The reply to a call that was not done, if there is to be one.
pub(crate) fn rejected(xid: u32, rejected: Rejected) -> Option<Vec<u8>> {
    let mut reply = Vec::with_capacity(32);
    match rejected {
        Rejected::Silently => return None,
        Rejected::ProgramUnavailable => accept(&mut reply, xid, 1),
        Rejected::ProgramMismatch { low, high } => {
            accept(&mut reply, xid, 2);
            reply.put_u32(low);
            reply.put_u32(high);
        }
        Rejected::ProcedureUnavailable => accept(&mut reply, xid, 3),
        Rejected::GarbageArguments => accept(&mut reply, xid, 4),
        Rejected::SystemError => accept(&mut reply, xid, 5),
    }
    Some(reply)
}

/// The reply to what is no call of ours; `None` if nobody could read it.
pub(crate) fn denied(no_call: NoCall) -> Option<Vec<u8>> {
    let mut reply = Vec::with_capacity(24);
    let numbers: &[u32] = match no_call {
        NoCall::Garbage => return None,
        NoCall::RpcMismatch { xid } => &[xid, REPLY, MSG_DENIED, 0, RPC_VERSION, RPC_VERSION],
        NoCall::Auth { xid, stat } => &[xid, REPLY, MSG_DENIED, 1, stat as u32],
    };
    numbers.iter().for_each(|number| reply.put_u32(*number));
    Some(reply)
}

#[cfg(test)]
mod tests {
    use nfs3_types::rpc::{accept_stat_data, auth_stat, opaque_auth, rejected_reply, reply_body};
    use nfs3_types::rpc::{auth_flavor, rpc_msg};
    use nfs3_types::xdr_codec::{Opaque, Unpack, Void};
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::{self, Procedure};
    use crate::{HandleKey, Programs, Service};

    const NULL: Procedure = Procedure(100_003, 3, 0);

    /// A call whose credentials are these.
    fn call(flavor: u32, body: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        for number in [1, CALL, RPC_VERSION, 100_003, 3, 0, flavor] {
            message.put_u32(number);
        }
        message.put_opaque(body);
        message.put_u32(AUTH_NONE);
        message.put_opaque(b"");
        message
    }

    fn sys(machine: &[u8], groups: &[u32]) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u32(0);
        body.put_opaque(machine);
        body.put_u32(7);
        body.put_u32(8);
        body.put_u32(u32::try_from(groups.len()).expect("few"));
        groups.iter().for_each(|group| body.put_u32(*group));
        body
    }

    #[test]
    fn credentials_are_taken_or_refused() {
        let xid = 1;
        let bad = Err(NoCall::Auth {
            xid,
            stat: AuthStat::BadCred,
        });
        let rejected = Err(NoCall::Auth {
            xid,
            stat: AuthStat::RejectedCred,
        });
        let user = |groups: &[u32]| {
            Ok(Auth::Sys {
                uid: 7,
                gid: 8,
                groups: groups.to_vec(),
            })
        };
        let mut unsaid = sys(b"", &[]);
        *unsaid.last_mut().expect("a count") = 1;
        for (flavor, body, expected) in [
            (AUTH_NONE, &b""[..], Ok(Auth::None)),
            (AUTH_NONE, b"ignored", Ok(Auth::None)),
            // U-Boot has no name; klibc's is AUTH_NONE.
            (AUTH_SYS, &sys(b"", &[]), user(&[])),
            (AUTH_SYS, &sys(&[b'a'; 255], &[9; 16]), user(&[9; 16])),
            (AUTH_SYS, &sys(&[b'a'; 256], &[]), bad.clone()),
            (AUTH_SYS, &sys(b"", &[9; 17]), bad.clone()),
            (AUTH_SYS, &unsaid, bad.clone()),
            (AUTH_SYS, b"", bad.clone()),
            (AUTH_SHORT, b"abcd", rejected),
            (3, b"", bad.clone()),
            (6, b"", bad.clone()), // RPCSEC_GSS
            (7, b"", bad.clone()), // AUTH_TLS
            (u32::MAX, &[0; 400], bad.clone()),
            (AUTH_NONE, &[0; 401], bad),
        ] {
            let message = call(flavor, body);
            let auth = Call::parse(&message).map(|call| call.auth);
            assert_eq!(auth, expected, "{flavor} {body:?}");
        }
    }

    #[test]
    fn what_is_no_call_is_not_answered() {
        let message = call(AUTH_NONE, b"");
        for len in 0..message.len() {
            let no_call = Call::parse(&message[..len]).expect_err("cut off");
            match len {
                0..24 => assert_eq!(no_call, NoCall::Garbage, "{len}"),
                _ => assert!(matches!(no_call, NoCall::Auth { xid: 1, .. }), "{len}"),
            }
        }
        let mut reply = message.clone();
        reply[7] = 1;
        assert_eq!(Call::parse(&reply), Err(NoCall::Garbage));
        let mut version = message;
        version[11] = 3;
        assert_eq!(Call::parse(&version), Err(NoCall::RpcMismatch { xid: 1 }));
        assert_eq!(denied(NoCall::Garbage), None);
    }

    #[test]
    fn refusals_are_read_by_others() {
        let xid = 7;
        let read = |bytes: Vec<u8>| {
            let (message, len) = rpc_msg::unpack(&mut &bytes[..]).expect("a reply");
            assert_eq!((message.xid, len), (xid, bytes.len()));
            format!("{:?}", message.body)
        };
        let accepted = |stat: accept_stat_data| {
            let reply = nfs3_types::rpc::accepted_reply {
                verf: opaque_auth::default(),
                reply_data: stat,
            };
            format!("REPLY({:?})", reply_body::MSG_ACCEPTED(reply))
        };
        for (why, expected) in [
            (Rejected::ProgramUnavailable, accept_stat_data::PROG_UNAVAIL),
            (
                Rejected::ProgramMismatch { low: 2, high: 3 },
                accept_stat_data::PROG_MISMATCH { low: 2, high: 3 },
            ),
            (
                Rejected::ProcedureUnavailable,
                accept_stat_data::PROC_UNAVAIL,
            ),
            (Rejected::GarbageArguments, accept_stat_data::GARBAGE_ARGS),
            (Rejected::SystemError, accept_stat_data::SYSTEM_ERR),
        ] {
            let reply = rejected(xid, why).expect("a reply");
            assert_eq!(read(reply), accepted(expected), "{why:?}");
        }
        assert_eq!(rejected(xid, Rejected::Silently), None);
        let auth = |stat| NoCall::Auth { xid, stat };
        for (no_call, expected) in [
            (
                NoCall::RpcMismatch { xid },
                rejected_reply::rpc_mismatch(2, 2),
            ),
            (
                auth(AuthStat::BadCred),
                rejected_reply::auth_error(auth_stat::AUTH_BADCRED),
            ),
            (
                auth(AuthStat::RejectedCred),
                rejected_reply::auth_error(auth_stat::AUTH_REJECTEDCRED),
            ),
        ] {
            let expected = format!("REPLY({:?})", reply_body::MSG_DENIED(expected));
            assert_eq!(read(denied(no_call).expect("a reply")), expected);
        }
    }

    /// ACL, which Linux asks for beside NFS and NLM, and each program at another's port.
    #[tokio::test]
    async fn each_port_has_its_programs() {
        let service = Service::builder(HandleKey::new([1; 16]));
        let service = service.build().expect("no exports");
        let peer = oracle::peer([192, 168, 150, 7]);
        let programs = [
            (100_000, 2),
            (100_003, 3),
            (100_005, 3),
            (100_021, 4),
            (100_227, 3),
        ];
        for (programs_here, known) in [
            (Programs::Portmap, &[100_000][..]),
            (Programs::Nfs, &[100_003, 100_005, 100_021]),
            (Programs::Mount, &[100_005]),
        ] {
            for (program, version) in programs {
                let null = Procedure(program, version, 0);
                for cred in [opaque_auth::default(), oracle::auth_sys(0, 0, &[])] {
                    let message = oracle::call(null, cred, &Void);
                    let reply = service.answer(&peer, programs_here, message).await;
                    let reply = oracle::bytes(reply.expect("a reply")).await;
                    match known.contains(&program) {
                        true => assert!(matches!(oracle::results(&reply), Void)),
                        false => assert!(matches!(
                            oracle::refusal(&reply),
                            accept_stat_data::PROG_UNAVAIL
                        )),
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn calls_of_others_are_read(
            (program, version, procedure) in any::<(u32, u32, u32)>(),
            (uid, gid) in any::<(u32, u32)>(),
            groups in prop::collection::vec(any::<u32>(), 0..=16),
            is_sys in any::<bool>(),
            args in any::<u64>(),
        ) {
            let cred = match is_sys {
                true => oracle::auth_sys(uid, gid, &groups),
                false => opaque_auth::default(),
            };
            let message = oracle::call(Procedure(program, version, procedure), cred, &args);
            let auth = match is_sys {
                true => Auth::Sys { uid, gid, groups },
                false => Auth::None,
            };
            let call = Call::parse(&message).expect("a call");
            prop_assert_eq!((call.program, call.version), (program, version));
            prop_assert_eq!((call.procedure, &call.auth), (procedure, &auth));
            prop_assert_eq!(call.args, args.to_be_bytes());
        }

        /// Other flavors are read over, whatever is in them, and their callers told.
        #[test]
        fn flavors_of_others_are_read(body in prop::collection::vec(any::<u8>(), 0..=400)) {
            let cred = opaque_auth { flavor: auth_flavor::AUTH_DES, body: Opaque::owned(body) };
            let message = oracle::call(NULL, cred, &Void);
            let is_auth = matches!(Call::parse(&message), Err(NoCall::Auth { .. }));
            prop_assert!(is_auth);
        }
    }
}
