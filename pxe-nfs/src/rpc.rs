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
    TooWeak = 5,
}

/// `accept_stat` (section 9) but for SUCCESS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
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
            _ => {
                return Err(NoCall::Auth {
                    xid,
                    stat: AuthStat::TooWeak,
                });
            }
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

/// The reply to a call that was not done.
pub(crate) fn rejected(xid: u32, rejected: Rejected) -> Vec<u8> {
    let mut reply = Vec::with_capacity(32);
    match rejected {
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
    reply
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
