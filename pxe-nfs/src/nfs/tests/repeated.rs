//! Calls that come twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use nfs3_types::nfs3::{
    Nfs3Result, REMOVE3args, REMOVE3resfail, REMOVE3resok, RENAME3args, RENAME3resfail,
    RENAME3resok, nfsstat3,
};

use super::super::repeated::{CALL_BYTES_MAX, Repeated};
use super::writer::{Writer, at};
use crate::{Export, ExportClient, ExportOptions, Peer, Squash};

/// Linux repeats a REMOVE over a new connection when it lost the old one before the reply came.
#[tokio::test]
async fn a_remove_that_is_repeated_succeeds_again() {
    let mut writer = Writer::owner();
    let root = writer.root().await;
    for name in ["f", "g"] {
        writer.file(&root, name, 0o644).await;
    }
    let object = at(&root, "f");
    let remove = writer.message(12, &REMOVE3args { object });
    let (from, to) = (at(&root, "g"), at(&root, "h"));
    let rename = writer.message(14, &RENAME3args { from, to });
    for port in [900, 901, 902] {
        let peer = writer.client.peer;
        let remote = (peer.remote.ip(), port).into();
        writer.client.peer = Peer::new(remote, peer.local, peer.transport);
        let removed: Nfs3Result<REMOVE3resok, REMOVE3resfail> = writer.send(remove.clone()).await;
        removed.unwrap();
        let renamed: Nfs3Result<RENAME3resok, RENAME3resfail> = writer.send(rename.clone()).await;
        renamed.unwrap();
    }
    // Written anew, a call has another stamp: it stands behind the head of the call, and the flavor
    // and the length of the credentials.
    let mut anew = remove.to_vec();
    assert_eq!(anew[32..36], 7_u32.to_be_bytes());
    anew[32..36].copy_from_slice(&8_u32.to_be_bytes());
    let removed: Nfs3Result<REMOVE3resok, REMOVE3resfail> = writer.send(anew.into()).await;
    removed.unwrap();
    // Another client with the same bytes is another call.
    writer.client.peer = crate::oracle::peer([192, 168, 150, 8]);
    let other: Nfs3Result<REMOVE3resok, REMOVE3resfail> = writer.send(remove).await;
    assert!(matches!(other, Nfs3Result::Err(_)));
}

/// A call in progress is not begun again: whoever repeats it waits for the first, even if the
/// connection of the first is lost.
#[tokio::test]
async fn a_call_in_progress_is_done_once() {
    let repeated = Repeated::new(4);
    let begun = Arc::new(AtomicUsize::new(0));
    let (done, first_done) = tokio::sync::oneshot::channel::<()>();
    let mut first_done = Some(first_done);
    let mut begin = || {
        begun.fetch_add(1, Ordering::Relaxed);
        let first_done = first_done.take();
        Box::pin(async move {
            if let Some(first_done) = first_done {
                let _ = first_done.await;
            }
            Ok(Bytes::from_static(b"reply"))
        }) as _
    };
    let client = [192, 168, 150, 7].into();
    let message = 1;
    let mut context = Context::from_waker(Waker::noop());
    let mut lost = Box::pin(repeated.once(client, message, &mut begin));
    assert!(lost.as_mut().poll(&mut context).is_pending());
    drop(lost);
    let mut again = Box::pin(repeated.once(client, message, &mut begin));
    assert!(again.as_mut().poll(&mut context).is_pending());
    done.send(()).expect("it waits");
    let Poll::Ready(Ok(reply)) = again.as_mut().poll(&mut context) else {
        panic!("no reply");
    };
    assert_eq!(reply, "reply");
    drop(again);
    assert_eq!(begun.load(Ordering::Relaxed), 1);
    let other = 2;
    repeated
        .once(client, other, &mut begin)
        .await
        .expect("a reply");
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn replies_are_kept_within_bounds() {
    let repeated = Repeated::new(4);
    let begun = AtomicUsize::new(0);
    let client = [192, 168, 150, 7].into();
    let ask = async |number: u32| {
        let message = u128::from(number);
        let begin = || {
            begun.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(Bytes::from_static(b"reply")) }) as _
        };
        repeated
            .once(client, message, begin)
            .await
            .expect("a reply");
    };
    for number in 0..1000 {
        ask(number).await;
    }
    assert!(format!("{repeated:?}").contains("calls: 4"), "{repeated:?}");
    ask(999).await;
    assert_eq!(begun.load(Ordering::Relaxed), 1000, "kept");
    ask(0).await;
    assert_eq!(begun.load(Ordering::Relaxed), 1001, "forgotten");
}

/// What follows the arguments means nothing, and would be held for as long as nobody comes back.
#[tokio::test]
async fn long_calls_are_not_kept() {
    let writer = Writer::owner();
    let object = at(&writer.root().await, "none");
    let remove = writer.message(12, &REMOVE3args { object });
    for (len, kept) in [
        (CALL_BYTES_MAX + 1, "calls: 0"),
        (CALL_BYTES_MAX, "calls: 1"),
    ] {
        let mut remove = remove.to_vec();
        remove.resize(len, 0);
        let done: Nfs3Result<REMOVE3resok, REMOVE3resfail> = writer.send(remove.into()).await;
        assert!(matches!(
            done,
            Nfs3Result::Err((nfsstat3::NFS3ERR_NOENT, _))
        ));
        let repeated = format!("{:?}", writer.client.service.inner.repeated);
        assert!(repeated.contains(kept), "{repeated}");
    }
}

/// `NFS3ERR_JUKEBOX` says to come again later; it must not be what is found then.
#[tokio::test]
async fn try_again_is_not_kept() {
    let repeated = Repeated::new(4);
    let mut status = 10008_u32;
    let client = [192, 168, 150, 7].into();
    let message = 1;
    for expected in [10008, 0, 0] {
        let reply = [vec![0; 24], status.to_be_bytes().to_vec()].concat();
        let begin = || Box::pin(async { Ok(Bytes::from(reply)) }) as _;
        let reply = repeated
            .once(client, message, begin)
            .await
            .expect("a reply");
        assert_eq!(reply[24..], u32::to_be_bytes(expected));
        status = match status {
            10008 => 0,
            _ => 13,
        };
    }
}

/// Two who wait for one call that is to be tried again: the second who is told so does not forget
/// the call that was begun anew meanwhile.
#[tokio::test]
async fn a_call_that_was_begun_anew_is_not_forgotten_with_the_old_one() {
    let repeated = Repeated::new(4);
    let begun = AtomicUsize::new(0);
    let (done, wait) = tokio::sync::oneshot::channel::<()>();
    let mut wait = Some(wait);
    let mut begin = || {
        begun.fetch_add(1, Ordering::Relaxed);
        let wait = wait.take();
        Box::pin(async move {
            match wait {
                Some(wait) => wait.await.expect("it is done"),
                None => std::future::pending().await,
            }
            Ok(Bytes::from(
                [vec![0; 24], 10008_u32.to_be_bytes().to_vec()].concat(),
            ))
        }) as _
    };
    let client = [192, 168, 150, 7].into();
    let message = 1;
    let mut context = Context::from_waker(Waker::noop());
    let mut first = Box::pin(repeated.once(client, message, &mut begin));
    assert!(first.as_mut().poll(&mut context).is_pending());
    let mut second = Box::pin(repeated.once(client, message, || unreachable!("it is begun")));
    assert!(second.as_mut().poll(&mut context).is_pending());
    done.send(()).expect("it waits");
    assert!(first.as_mut().poll(&mut context).is_ready());
    drop(first);
    let mut anew = Box::pin(repeated.once(client, message, &mut begin));
    assert!(anew.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_ready());
    let mut last = Box::pin(repeated.once(client, message, || unreachable!("it is begun anew")));
    assert!(last.as_mut().poll(&mut context).is_pending());
    drop(anew);
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}

/// The export of a writer for one client, with these options, and read-only for another one.
fn for_two(writer: &Writer, options: ExportOptions) -> Export {
    let exports = writer.service().inner.exports();
    let mut export = Export::clone(exports.values().next().expect("one"));
    let client = |host: u8, options| {
        let network = format!("192.168.150.{host}").parse().expect("an address");
        ExportClient::new(network, options)
    };
    let reads = super::options();
    export.clients = vec![client(7, options), client(8, reads)];
    export
}

async fn removed(writer: &Writer, message: &Bytes) -> Option<nfsstat3> {
    let told: Nfs3Result<REMOVE3resok, REMOVE3resfail> = writer.send(message.clone()).await;
    match told {
        Nfs3Result::Ok(_) => None,
        Nfs3Result::Err((status, _)) => Some(status),
    }
}

/// Replies are kept for those who may change something: others, who are refused each time, cannot
/// drive them out.
#[tokio::test]
async fn strangers_drive_no_kept_reply_out() {
    let writer = Writer::owner();
    let root = writer.root().await;
    writer.file(&root, "f", 0o644).await;
    let writes = ExportOptions {
        is_writable: true,
        squash: Squash::None,
        ..super::options()
    };
    let export = for_two(&writer, writes);
    writer.service().set_exports(vec![export]).expect("one");
    let object = at(&root, "f");
    let remove = writer.message(12, &REMOVE3args { object });
    assert_eq!(removed(&writer, &remove).await, None);
    let forged = super::handle(&[7; 32]);
    for (host, dir, expected) in [
        (8, &root, nfsstat3::NFS3ERR_ROFS),
        (9, &root, nfsstat3::NFS3ERR_STALE),
        (9, &forged, nfsstat3::NFS3ERR_BADHANDLE),
    ] {
        let mut stranger = writer.clone();
        stranger.client.peer = crate::oracle::peer([192, 168, 150, host]);
        for _ in 0..writer.service().limits().repeated_calls_max {
            let object = at(dir, "f");
            let message = stranger.message(12, &REMOVE3args { object });
            assert_eq!(removed(&stranger, &message).await, Some(expected));
        }
        assert_eq!(removed(&writer, &remove).await, None, "{host}");
    }
}

/// Address, port and options are asked for a call that is repeated, too.
#[tokio::test]
async fn a_kept_reply_is_for_those_who_still_may() {
    let mut writer = Writer::owner();
    let root = writer.root().await;
    writer.file(&root, "f", 0o644).await;
    let object = at(&root, "f");
    let remove = writer.message(12, &REMOVE3args { object });
    assert_eq!(removed(&writer, &remove).await, None);
    let secure = ExportOptions {
        is_writable: true,
        is_secure: true,
        ..super::options()
    };
    let export = for_two(&writer, secure);
    writer.service().set_exports(vec![export]).expect("one");
    assert_eq!(removed(&writer, &remove).await, None, "as before");
    let peer = writer.client.peer;
    writer.client.peer.remote.set_port(40_000);
    let is_refused = Some(nfsstat3::NFS3ERR_PERM);
    assert_eq!(removed(&writer, &remove).await, is_refused);
    writer.client.peer = peer;
    let export = for_two(&writer, super::options());
    writer.service().set_exports(vec![export]).expect("one");
    let is_refused = Some(nfsstat3::NFS3ERR_ROFS);
    assert_eq!(removed(&writer, &remove).await, is_refused);
    writer.service().set_exports(Vec::new()).expect("none");
    let is_refused = Some(nfsstat3::NFS3ERR_STALE);
    assert_eq!(removed(&writer, &remove).await, is_refused);
}
