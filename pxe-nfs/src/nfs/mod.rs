//! NFS version 3 (RFC 1813).

mod attributes;
mod file_system;
mod list;
mod lookup;
mod node;
mod permission;
mod read;
pub(crate) mod repeated;
mod status;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;

#[cfg(feature = "nfs3-server")]
pub(crate) use self::file_system::{FILE_LEN_MAX, MULTIPLE};
#[cfg(feature = "nfs3-server")]
pub(crate) use self::list::{Position, cookies};
use self::node::{Context, Halt};
use crate::rpc::{Call, Rejected};
use crate::service::{Inner, results};
use crate::xdr::{Reader, Write as _};
use crate::{Peer, Reply};

pub(crate) const PROGRAM: u32 = 100_003;
pub(crate) const VERSION: u32 = 3;

/// Each procedure by its number (RFC 1813 section 3.3), and how many words its results have
/// after the status if it failed and tells nothing of any node: all of them are zero then.
const PROCEDURES: [(&str, usize); 22] = [
    ("NULL", 0),
    ("GETATTR", 0),
    ("SETATTR", 2),
    ("LOOKUP", 1),
    ("ACCESS", 1),
    ("READLINK", 1),
    ("READ", 1),
    ("WRITE", 2),
    ("CREATE", 2),
    ("MKDIR", 2),
    ("SYMLINK", 2),
    ("MKNOD", 2),
    ("REMOVE", 2),
    ("RMDIR", 2),
    ("RENAME", 4),
    ("LINK", 3),
    ("READDIR", 1),
    ("READDIRPLUS", 1),
    ("FSSTAT", 1),
    ("FSINFO", 1),
    ("PATHCONF", 1),
    ("COMMIT", 2),
];

/// What a procedure is called.
fn procedure_name(number: u32) -> &'static str {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    PROCEDURES.get(number).map_or("?", |(name, _)| name)
}

/// Answers a call; `message` is what `call` was read from.
pub(crate) async fn answer(
    service: &Arc<Inner>,
    peer: &Peer,
    call: &Call<'_>,
    message: &Bytes,
) -> Result<Reply, Rejected> {
    if call.version != VERSION {
        return Err(Rejected::ProgramMismatch {
            low: VERSION,
            high: VERSION,
        });
    }
    let name = procedure_name(call.procedure);
    let is_kept = repeated::is_kept(call.procedure, peer.transport)
        && message.len() <= repeated::CALL_BYTES_MAX;
    let may_change = || async { Ok(may_change(service, peer, call).await) };
    if !is_kept || !service.guarded(peer, name, may_change()).boxed().await? {
        let done = perform(service, peer, call, message);
        return service.guarded(peer, name, done).await;
    }
    let begin = || {
        let (service, peer, message) = (Arc::clone(service), *peer, message.clone());
        async move {
            let call = Call::parse(&message).map_err(|_| Rejected::SystemError)?;
            let done = perform(&service, &peer, &call, &message);
            let reply = service.guarded(&peer, name, done).await?;
            Ok(Bytes::from(reply.head))
        }
        .boxed()
    };
    let client = peer.remote.ip();
    let reply = service
        .repeated
        .once(client, repeated::hash(call), begin)
        .boxed()
        .await?;
    Ok(Vec::from(reply).into())
}

/// Whether this client may change anything where the call's handle leads, now. Others are refused
/// as often as they ask: they get no reply that was kept, and drive none out.
async fn may_change(service: &Inner, peer: &Peer, call: &Call<'_>) -> bool {
    // What each procedure that changes something begins with.
    let Ok(handle) = Reader::new(call.args).handle() else {
        return false;
    };
    let Some((export, _)) = service.key.verify(handle) else {
        return false;
    };
    match service.admitted(peer, export).await {
        Ok((export, options)) => options.is_writable && export.write.is_some(),
        Err(_) => false,
    }
}

/// Does what a call wants.
async fn perform(
    service: &Inner,
    peer: &Peer,
    call: &Call<'_>,
    message: &Bytes,
) -> Result<Reply, Rejected> {
    let context = Context {
        service,
        peer,
        call,
        message,
    };
    // The large ones are boxed, so that the future that is made for each call stays small.
    let done = match call.procedure {
        0 => Ok(results(call, 0).into()),
        1 => attributes::getattr(&context).await,
        3 => lookup::lookup(&context).await,
        4 => permission::access(&context).await,
        5 => read::readlink(&context).boxed().await,
        6 => read::read(&context).boxed().await,
        16 => list::readdir(&context).boxed().await,
        17 => list::readdirplus(&context).boxed().await,
        18 => file_system::fsstat(&context).boxed().await,
        19 => file_system::fsinfo(&context).boxed().await,
        20 => file_system::pathconf(&context).boxed().await,
        2 | 7..=15 | 21 => write::answer(&context).boxed().await,
        _ => return Err(Rejected::ProcedureUnavailable),
    };
    done.or_else(|halt| match halt {
        Halt::Rejected(rejected) => Err(rejected),
        Halt::Answered(reply) => Ok(reply.into()),
        Halt::Failed(status) => {
            let number = usize::try_from(call.procedure).unwrap_or(usize::MAX);
            let words = PROCEDURES.get(number).map_or(0, |(_, words)| *words);
            let mut reply = context.results(status, 4 * words);
            (0..words).for_each(|_| reply.put_u32(0));
            Ok(reply.into())
        }
    })
}
