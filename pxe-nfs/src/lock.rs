//! The lock manager, NLM (RFC 1813 appendix II; X/Open XNFS chapter 10): it keeps no locks, and
//! says so at once.
//!
//! Without it a Linux client that was not told `nolock` waits for ever with each program that locks
//! a file: it asks the portmapper for NLM again and again.

use crate::rpc::{Call, Rejected};
use crate::service::results;
use crate::xdr::{Reader, Write};

pub(crate) const PROGRAM: u32 = 100_021;
/// Of NFS version 2 (1, and 3 with the shares of DOS), and of NFS version 3.
pub(crate) const VERSIONS: [u32; 3] = [1, 3, 4];

const PROC_NULL: u32 = 0;
const PROC_TEST: u32 = 1;
const PROC_LOCK: u32 = 2;
const PROC_CANCEL: u32 = 3;
const PROC_UNLOCK: u32 = 4;
const PROC_SHARE: u32 = 20;
const PROC_UNSHARE: u32 = 21;
const PROC_NM_LOCK: u32 = 22;
const PROC_FREE_ALL: u32 = 23;

/// `MAXNETOBJ_SZ` (XNFS section 10.2), in bytes.
const COOKIE_LEN_MAX: usize = 1024;

/// `nlm4_stats` (RFC 1813 appendix II.6.1), and the same numbers of `nlm_stats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Granted = 0,
    DeniedNoLocks = 2,
}

/// Answers a call. Nobody is asked for and no handle is looked at: the answer is the same for all,
/// and not longer than the call.
pub(crate) fn answer(call: &Call<'_>) -> Result<Vec<u8>, Rejected> {
    if !VERSIONS.contains(&call.version) {
        let [low, _, high] = VERSIONS;
        return Err(Rejected::ProgramMismatch { low, high });
    }
    let status = match call.procedure {
        PROC_NULL => return Ok(results(call, 0)),
        // What follows version 1.
        PROC_SHARE.. if call.version == 1 => return Err(Rejected::ProcedureUnavailable),
        // A program gets ENOLCK of Linux, and sees that there is no use in waiting
        // (fs/lockd/clntproc.c, `nlm_stat_to_errno`).
        PROC_TEST | PROC_LOCK | PROC_SHARE | PROC_NM_LOCK => Status::DeniedNoLocks,
        // What is not held is given back with success: Linux would ask again, some of it for ever
        // (`nlmclnt_cancel_callback`, `nlmclnt_unlock_callback`).
        PROC_CANCEL | PROC_UNLOCK | PROC_UNSHARE => Status::Granted,
        PROC_FREE_ALL => return Ok(results(call, 0)),
        // Those that a server calls at a client, and the asynchronous ones, to which the answer
        // would be a call. Linux uses none of them as a client.
        _ => return Err(Rejected::ProcedureUnavailable),
    };
    let cookie = Reader::new(call.args).opaque(COOKIE_LEN_MAX)?;
    let mut reply = results(call, 12 + cookie.len().next_multiple_of(4));
    reply.put_opaque(cookie);
    reply.put_u32(status as u32);
    if let PROC_SHARE | PROC_UNSHARE = call.procedure {
        let sequence = 0;
        reply.put_u32(sequence);
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use nfs3_types::rpc::{accept_stat_data, opaque_auth};
    use nfs3_types::xdr_codec::{Opaque, Void};

    use super::*;
    use crate::oracle::{self, Procedure};
    use crate::{HandleKey, Programs, Service, Transport};

    const GRANTED: u32 = 0;
    const DENIED_NOLOCKS: u32 = 2;

    /// The reply to a call by UDP, and how long the call was.
    async fn ask(version: u32, number: u32, args: &[u8]) -> (Vec<u8>, usize) {
        let service = Service::builder(HandleKey::new([1; 16]));
        let service = service.build().expect("no exports");
        let mut peer = oracle::peer([192, 168, 150, 7]);
        peer.transport = Transport::Udp;
        let procedure = Procedure(PROGRAM, version, number);
        let header = oracle::call(procedure, opaque_auth::default(), &Void);
        let message = [&header[..], args].concat();
        let len = message.len();
        let reply = service.answer(&peer, Programs::Nfs, message.into()).await;
        (oracle::bytes(reply.expect("a reply")).await, len)
    }

    async fn refused(version: u32, number: u32, args: &[u8]) -> accept_stat_data {
        oracle::refusal(&ask(version, number, args).await.0)
    }

    /// `nlm4_lock` of version 4, `nlm_lock` of the others: caller, handle, owner, process, range.
    fn lock(version: u32) -> Vec<u8> {
        let mut lock = Vec::new();
        lock.put_opaque(b"diskless");
        lock.put_opaque(&[7; 32]);
        lock.put_opaque(b"12@diskless");
        lock.put_u32(12);
        for bound in [0, 100_u32] {
            match version {
                4 => lock.put_u64(bound.into()),
                _ => lock.put_u32(bound),
            }
        }
        lock
    }

    /// `nlm4_testargs`, `nlm4_lockargs` and so on: what is before the lock, and after it.
    fn args(version: u32, number: u32, cookie: &[u8]) -> Vec<u8> {
        let mut args = Vec::new();
        args.put_opaque(cookie);
        match number {
            // exclusive; and block before it.
            1 => args.put_bool(true),
            2 | 3 | 22 => args.put_u64(1),
            _ => {}
        }
        match number {
            // `nlm4_share`: caller, handle, owner, mode, access; then reclaim.
            20 | 21 => {
                args.put_opaque(b"diskless");
                args.put_opaque(&[7; 32]);
                args.put_opaque(b"12@diskless");
                [3, 3, 0].iter().for_each(|word| args.put_u32(*word));
            }
            _ => args.extend(lock(version)),
        }
        if let 2 | 22 = number {
            // reclaim and state.
            args.put_u64(7);
        }
        args
    }

    /// Linux waits for ever where nobody answers, and asks again where UNLOCK is not granted.
    #[tokio::test]
    async fn locks_are_refused_at_once_and_given_back() {
        let (refused, done) = (&[DENIED_NOLOCKS][..], &[GRANTED][..]);
        for (number, expected, versions) in [
            (1, refused, &[1, 3, 4][..]),
            (2, refused, &[1, 3, 4]),
            (3, done, &[1, 3, 4]),
            (4, done, &[1, 3, 4]),
            (20, &[DENIED_NOLOCKS, 0], &[3, 4]),
            (21, &[GRANTED, 0], &[3, 4]),
            (22, refused, &[3, 4]),
        ] {
            for &version in versions {
                // HP-UX has empty ones (fs/lockd/clnt4xdr.c, `decode_cookie`); Linux' have 4.
                for cookie in [&b""[..], b"\x34\x12\0\0", b"odd", &[9; 1024]] {
                    let args = args(version, number, cookie);
                    let (reply, asked) = ask(version, number, &args).await;
                    assert!(reply.len() <= asked, "a datagram is not made longer");
                    let mut wanted = Vec::new();
                    wanted.put_opaque(cookie);
                    expected.iter().for_each(|word| wanted.put_u32(*word));
                    let (_, results) = oracle::body(&reply);
                    assert_eq!(results, wanted, "{number} of version {version}");
                }
            }
        }
    }

    #[tokio::test]
    async fn what_has_no_result_is_done() {
        let mut notify = Vec::new();
        notify.put_opaque(b"diskless");
        notify.put_u32(7);
        for (version, number, args) in [
            (1, 0, &b""[..]),
            (3, 0, b""),
            (4, 0, b""),
            (3, 23, &notify),
            (4, 23, &notify),
        ] {
            let (reply, _) = ask(version, number, args).await;
            let Void = oracle::results(&reply);
        }
    }

    #[tokio::test]
    async fn other_versions_and_procedures_are_refused() {
        let cookie = oracle::packed(&Opaque::borrowed(b"1234"));
        for version in [0, 2, 5] {
            let told = refused(version, 2, &cookie).await;
            let accept_stat_data::PROG_MISMATCH { low: 1, high: 4 } = told else {
                panic!("{version}: {told:?}");
            };
        }
        // GRANTED, the asynchronous ones with their results, what is private, and what is none.
        let after_1 = (20..=23).map(|number| (1, number));
        let everywhere = (5..20).chain([24, u32::MAX]);
        let everywhere = everywhere.flat_map(|number| VERSIONS.map(|version| (version, number)));
        for (version, number) in after_1.chain(everywhere) {
            let told = refused(version, number, &cookie).await;
            let is_unavailable = matches!(told, accept_stat_data::PROC_UNAVAIL);
            assert!(is_unavailable, "{number} of version {version}: {told:?}");
        }
    }

    #[tokio::test]
    async fn cookies_are_bounded() {
        let long = oracle::packed(&Opaque::borrowed(&[9; 1025]));
        for number in [1, 2, 3, 4, 20, 21, 22] {
            for args in [&b""[..], &[0, 0, 0, 4, 1], &[0xff; 8], &long] {
                let told = refused(4, number, args).await;
                let is_garbage = matches!(told, accept_stat_data::GARBAGE_ARGS);
                assert!(is_garbage, "{number}: {told:?}");
            }
        }
    }
}
