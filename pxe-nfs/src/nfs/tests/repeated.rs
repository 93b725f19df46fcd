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
use crate::Peer;

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
    let message = Bytes::from_static(b"call");
    let mut context = Context::from_waker(Waker::noop());
    let mut lost = Box::pin(repeated.once(client, &message, &mut begin));
    assert!(lost.as_mut().poll(&mut context).is_pending());
    drop(lost);
    let mut again = Box::pin(repeated.once(client, &message, &mut begin));
    assert!(again.as_mut().poll(&mut context).is_pending());
    done.send(()).expect("it waits");
    let Poll::Ready(Ok(reply)) = again.as_mut().poll(&mut context) else {
        panic!("no reply");
    };
    assert_eq!(reply, "reply");
    drop(again);
    assert_eq!(begun.load(Ordering::Relaxed), 1);
    let other = Bytes::from_static(b"another");
    repeated
        .once(client, &other, &mut begin)
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
        let message = Bytes::copy_from_slice(&number.to_be_bytes());
        let begin = || {
            begun.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(Bytes::from_static(b"reply")) }) as _
        };
        repeated
            .once(client, &message, begin)
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
    let message = Bytes::from_static(b"call");
    for expected in [10008, 0, 0] {
        let reply = [vec![0; 24], status.to_be_bytes().to_vec()].concat();
        let begin = || Box::pin(async { Ok(Bytes::from(reply)) }) as _;
        let reply = repeated
            .once(client, &message, begin)
            .await
            .expect("a reply");
        assert_eq!(reply[24..], u32::to_be_bytes(expected));
        status = match status {
            10008 => 0,
            _ => 13,
        };
    }
}
