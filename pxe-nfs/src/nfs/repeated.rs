//! Calls that must not be done twice.
//!
//! A client repeats a call whose reply it did not get. A REMOVE that was done before would fail
//! then, although it succeeded. So replies to such calls are kept for a while, as Linux's server
//! does it (fs/nfsd/nfscache.c), and a call that comes again is answered by its first reply.
//!
//! A call is known by its client's address, its transaction, its user and its arguments. The
//! client's port is not part of it: whoever lost his connection may come back by another one. Nor is
//! the stamp of AUTH_SYS, which may be the time at which a call was written (RFC 5531 appendix A).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Shared;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::status::Status;
use crate::Transport;
use crate::rpc::{Auth, Call, Rejected};

/// A reply without data of a file, or why there is none.
pub(crate) type Outcome = Result<Bytes, Rejected>;
type Done = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Longer calls are not kept: a call is held until it is answered, and a connection that is lost
/// may leave many. None that means something is longer, WRITE over UDP among them.
pub(super) const CALL_BYTES_MAX: usize = 16 * 1024;
/// Where the status is: after the header of a reply to a call that was done.
const STATUS_AT: usize = 24;

/// Whether a procedure must not be done twice.
///
/// WRITE may, unless a datagram can come late, after one that was sent after it: that many
/// replies would drive out those that matter.
pub(super) fn is_kept(procedure: u32, transport: Transport) -> bool {
    match procedure {
        7 => transport == Transport::Udp,
        2 | 8..=15 => true,
        _ => false,
    }
}

/// Calls and their replies; the oldest are forgotten first.
pub(crate) struct Repeated {
    calls_max: usize,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    known: BTreeMap<Key, Shared<Done>>,
    /// In the order in which they came.
    order: VecDeque<Key>,
}

/// The client, and what its call is known by.
type Key = (IpAddr, u128);

impl Repeated {
    pub(crate) fn new(calls_max: usize) -> Self {
        Self {
            calls_max,
            calls: Mutex::default(),
        }
    }

    /// Does a call, or waits for the one that does it already, or tells how it was answered.
    ///
    /// A call that was begun is held here, not by the connection that it came by: if that is lost
    /// and the client comes back, the call goes on where it was.
    pub(super) async fn once(
        &self,
        client: IpAddr,
        call: u128,
        begin: impl FnOnce() -> Done,
    ) -> Outcome {
        let key = (client, call);
        let call = {
            let mut calls = self.calls();
            match calls.known.get(&key) {
                Some(call) => call.clone(),
                None => {
                    let call = begin().shared();
                    calls.known.insert(key, call.clone());
                    calls.order.push_back(key);
                    calls.forget_beyond(self.calls_max);
                    call
                }
            }
        };
        let outcome = call.clone().await;
        if !is_final(&outcome) {
            self.calls().forget(&key, &call);
        }
        outcome
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn forget_beyond(&mut self, calls_max: usize) {
        while self.order.len() > calls_max {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.known.remove(&oldest);
        }
    }

    /// Forgets a call, unless it was begun anew since.
    fn forget(&mut self, key: &Key, call: &Shared<Done>) {
        if self.known.get(key).is_some_and(|known| known.ptr_eq(call)) {
            self.known.remove(key);
            self.order.retain(|known| known != key);
        }
    }
}

/// "Try again later" is an answer that must not stay.
fn is_final(outcome: &Outcome) -> bool {
    let jukebox = Status::JUKEBOX.get().to_be_bytes();
    match outcome {
        Ok(reply) => reply.get(STATUS_AT..STATUS_AT + 4) != Some(&jukebox),
        Err(_) => false,
    }
}

/// What a call of one client is known by.
pub(super) fn hash(call: &Call<'_>) -> u128 {
    let mut hasher = SipHasher13::new_with_key(b"pxe-nfs repeated");
    for number in [call.xid, call.program, call.version, call.procedure] {
        hasher.write_u32(number);
    }
    if let Auth::Sys { uid, gid, groups } = &call.auth {
        hasher.write_u32(*uid);
        hasher.write_u32(*gid);
        groups.iter().for_each(|group| hasher.write_u32(*group));
    }
    // Where the groups end and the arguments begin is no matter: these begin with a handle's length.
    hasher.write(call.args);
    hasher.finish128().as_u128()
}

impl fmt::Debug for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls().order.len();
        f.debug_struct("Repeated")
            .field("calls", &calls)
            .field("calls_max", &self.calls_max)
            .finish()
    }
}
