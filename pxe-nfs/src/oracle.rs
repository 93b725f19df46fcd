//! What others think of our messages: nfs3_types packs calls and unpacks replies, in tests.

use bytes::Bytes;
use nfs3_types::rpc::{
    accept_stat_data, auth_unix, call_body, msg_body, opaque_auth, reply_body, rpc_msg,
};
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack};

use crate::{Data, Peer, Programs, Reply, Service, Transport};

const XID: u32 = 0x1234_5678;

/// Program, version and procedure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Procedure(pub(crate) u32, pub(crate) u32, pub(crate) u32);

/// A client with a privileged port, by TCP.
pub(crate) fn peer(address: [u8; 4]) -> Peer {
    let local = ([192, 168, 150, 1], 2049).into();
    Peer::new((address, 900).into(), local, Transport::Tcp)
}

/// AUTH_SYS of a user.
pub(crate) fn auth_sys(uid: u32, gid: u32, groups: &[u32]) -> opaque_auth<'static> {
    opaque_auth::auth_unix(&auth_unix {
        stamp: 7,
        machinename: Opaque::borrowed(b"diskless"),
        uid,
        gid,
        gids: groups.to_vec(),
    })
}

pub(crate) fn packed(value: &impl Pack) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.pack(&mut bytes).expect("memory");
    bytes
}

pub(crate) fn call(
    Procedure(prog, vers, proc): Procedure,
    cred: opaque_auth<'_>,
    args: &impl Pack,
) -> Bytes {
    let body = msg_body::CALL(call_body {
        rpcvers: 2,
        prog,
        vers,
        proc,
        cred,
        verf: opaque_auth::default(),
    });
    let mut message = packed(&rpc_msg { xid: XID, body });
    args.pack(&mut message).expect("memory");
    message.into()
}

/// What goes over the wire: head, data, padding.
pub(crate) async fn bytes(reply: Reply) -> Vec<u8> {
    let len = reply.len();
    let mut bytes = reply.head;
    match reply.data {
        Data::None => {}
        Data::Bytes(data) => bytes.extend_from_slice(&data),
        Data::File { blob, offset, len } => {
            let len = usize::try_from(len).expect("64 bits");
            bytes.extend_from_slice(&blob.read_at(offset, len).await.expect("there"));
        }
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    assert_eq!(bytes.len(), len, "as announced");
    bytes
}

/// The reply to our call, and what follows its header.
pub(crate) fn body(reply: &[u8]) -> (reply_body<'static>, &[u8]) {
    let (message, len) = rpc_msg::unpack(&mut &*reply).expect("a reply");
    assert_eq!(message.xid, XID);
    let msg_body::REPLY(body) = message.body else {
        panic!("a call");
    };
    (body, &reply[len..])
}

/// The results of a call that was done, and of which nothing is left.
pub(crate) fn results<T: Unpack>(reply: &[u8]) -> T {
    let (body, mut rest) = body(reply);
    let reply_body::MSG_ACCEPTED(accepted) = body else {
        panic!("{body:?}");
    };
    let accept_stat_data::SUCCESS = accepted.reply_data else {
        panic!("{accepted:?}");
    };
    let (results, _) = T::unpack(&mut rest).expect("results");
    assert!(rest.is_empty(), "{} bytes too many", rest.len());
    results
}

/// Why a call was accepted and yet not done.
pub(crate) fn refusal(reply: &[u8]) -> accept_stat_data {
    let (body, rest) = body(reply);
    assert!(rest.is_empty(), "{} bytes too many", rest.len());
    match body {
        reply_body::MSG_ACCEPTED(accepted) => accepted.reply_data,
        reply_body::MSG_DENIED(denied) => panic!("{denied:?}"),
    }
}

/// Calls NFS or MOUNT as root.
pub(crate) async fn ask<T: Unpack>(
    service: &Service,
    peer: &Peer,
    procedure: Procedure,
    args: &impl Pack,
) -> T {
    let message = call(procedure, auth_sys(0, 0, &[]), args);
    let reply = service.answer(peer, Programs::Nfs, message).await;
    results(&bytes(reply.expect("a reply")).await)
}
