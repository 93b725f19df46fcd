//! Calls that get nothing, and learn nothing.

use nfs3_types::nfs3::*;
use nfs3_types::rpc::{accept_stat_data, reply_body};
use pxe_tree::ErrorKind;

use super::odd_tree::OddTree;
use super::*;
use crate::nfs::{PROGRAM, VERSION};
use crate::{Event, Refusal, Transport};

/// Bytes of an accepted reply before its results.
const RPC_HEADER_LEN: usize = 24;

/// Every procedure with arguments that are well-formed, as bytes; NULL has none.
fn calls(node: &nfs_fh3) -> Vec<(u32, Vec<u8>)> {
    let there = || diropargs3 {
        dir: node.clone(),
        name: b"new"[..].into(),
    };
    let attributes = sattr3::default;
    let object = || node.clone();
    let calls = [
        oracle::packed(&GETATTR3args { object: object() }),
        oracle::packed(&SETATTR3args {
            object: object(),
            new_attributes: attributes(),
            guard: Nfs3Option::None,
        }),
        oracle::packed(&LOOKUP3args { what: there() }),
        oracle::packed(&ACCESS3args {
            object: object(),
            access: 0x3f,
        }),
        oracle::packed(&READLINK3args { symlink: object() }),
        oracle::packed(&READ3args {
            file: object(),
            offset: 0,
            count: 10,
        }),
        oracle::packed(&WRITE3args {
            file: object(),
            offset: 0,
            count: 3,
            stable: stable_how::FILE_SYNC,
            data: Opaque::borrowed(b"abc"),
        }),
        oracle::packed(&CREATE3args {
            where_: there(),
            how: createhow3::UNCHECKED(attributes()),
        }),
        oracle::packed(&MKDIR3args {
            where_: there(),
            attributes: attributes(),
        }),
        oracle::packed(&SYMLINK3args {
            where_: there(),
            symlink: symlinkdata3 {
                symlink_attributes: attributes(),
                symlink_data: b"to"[..].into(),
            },
        }),
        // `mknoddata3` packs no kind: NF3FIFO and attributes that set nothing.
        [
            oracle::packed(&there()),
            vec![0, 0, 0, 7],
            oracle::packed(&attributes()),
        ]
        .concat(),
        oracle::packed(&REMOVE3args { object: there() }),
        oracle::packed(&RMDIR3args { object: there() }),
        oracle::packed(&RENAME3args {
            from: there(),
            to: there(),
        }),
        oracle::packed(&LINK3args {
            file: object(),
            link: there(),
        }),
        oracle::packed(&READDIR3args {
            dir: object(),
            cookie: 0,
            cookieverf: cookieverf3::default(),
            count: 4096,
        }),
        oracle::packed(&READDIRPLUS3args {
            dir: object(),
            cookie: 0,
            cookieverf: cookieverf3::default(),
            dircount: 512,
            maxcount: 4096,
        }),
        oracle::packed(&FSSTAT3args { fsroot: object() }),
        oracle::packed(&FSINFO3args { fsroot: object() }),
        oracle::packed(&PATHCONF3args { object: object() }),
        oracle::packed(&COMMIT3args {
            file: object(),
            offset: 0,
            count: 0,
        }),
    ];
    (1..).zip(calls).collect()
}

/// Arguments that are packed already.
struct Packed<'a>(&'a [u8]);

impl Pack for Packed<'_> {
    fn packed_size(&self) -> usize {
        self.0.len()
    }

    fn pack(&self, out: &mut impl std::io::Write) -> nfs3_types::xdr_codec::Result<usize> {
        out.write_all(self.0)?;
        Ok(self.0.len())
    }
}

/// Unpacks a failure's results as those of its procedure, and gives the status.
fn failed(procedure: u32, reply: &[u8]) -> nfsstat3 {
    fn status<T: Unpack, E: Unpack>(reply: &[u8]) -> nfsstat3 {
        match oracle::results::<Nfs3Result<T, E>>(reply) {
            Nfs3Result::Ok(_) => nfsstat3::NFS3_OK,
            Nfs3Result::Err((status, _)) => status,
        }
    }
    match procedure {
        1 => status::<GETATTR3resok, Void>(reply),
        2 => status::<SETATTR3resok, SETATTR3resfail>(reply),
        3 => status::<LOOKUP3resok, LOOKUP3resfail>(reply),
        4 => status::<ACCESS3resok, ACCESS3resfail>(reply),
        5 => status::<READLINK3resok<'_>, READLINK3resfail>(reply),
        6 => status::<READ3resok<'_>, READ3resfail>(reply),
        7 => status::<WRITE3resok, WRITE3resfail>(reply),
        8 => status::<CREATE3resok, CREATE3resfail>(reply),
        9 => status::<MKDIR3resok, MKDIR3resfail>(reply),
        10 => status::<SYMLINK3resok, SYMLINK3resfail>(reply),
        11 => status::<MKNOD3resok, MKNOD3resfail>(reply),
        12 => status::<REMOVE3resok, REMOVE3resfail>(reply),
        13 => status::<RMDIR3resok, RMDIR3resfail>(reply),
        14 => status::<RENAME3resok, RENAME3resfail>(reply),
        15 => status::<LINK3resok, LINK3resfail>(reply),
        16 => status::<READDIR3resok<'_>, READDIR3resfail>(reply),
        17 => status::<READDIRPLUS3resok<'_>, READDIRPLUS3resfail>(reply),
        18 => status::<FSSTAT3resok, FSSTAT3resfail>(reply),
        19 => status::<FSINFO3resok, FSINFO3resfail>(reply),
        20 => status::<PATHCONF3resok, PATHCONF3resfail>(reply),
        21 => status::<COMMIT3resok, COMMIT3resfail>(reply),
        _ => panic!("{procedure}: no such procedure"),
    }
}

/// Every procedure fails so, and tells nothing of any node.
async fn all_refused(client: &Client, node: &nfs_fh3, expected: nfsstat3) {
    for (procedure, args) in calls(node) {
        let reply = client.raw(procedure, &Packed(&args)).await;
        assert_eq!(failed(procedure, &reply), expected, "{procedure}");
        let told = &reply[RPC_HEADER_LEN + 4..];
        assert!(told.iter().all(|byte| *byte == 0), "{procedure}: {told:?}");
    }
}

#[tokio::test]
async fn whoever_is_not_admitted_learns_nothing() {
    let network = Network::Prefix {
        address: [192, 168, 150, 0].into(),
        prefix_len: 24,
    };
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let export = Export::new(PATH, tree()).to(ExportClient::new(
        network,
        ExportOptions {
            is_secure: true,
            ..options()
        },
    ));
    let service = builder()
        .export(export)
        .admit(|peer| peer.remote.ip() != std::net::Ipv4Addr::new(192, 168, 150, 66))
        .on_event(move |event| told.lock().expect("no panic").push(event.clone()))
        .build()
        .expect("one export");
    let client = Client::of(service);
    let root = client.root().await;
    assert!(client.attributes(&root).await.is_ok());
    let local = ([192, 168, 150, 1], 2049).into();
    for (remote, expected, reason) in [
        ("10.0.0.7:900", nfsstat3::NFS3ERR_STALE, Refusal::Address),
        ("192.168.150.7:1024", nfsstat3::NFS3ERR_PERM, Refusal::Port),
        (
            "192.168.150.66:900",
            nfsstat3::NFS3ERR_ACCES,
            Refusal::NotAdmitted,
        ),
    ] {
        let remote = remote.parse().expect("an address");
        let mut client = client.clone();
        client.peer = Peer::new(remote, local, Transport::Tcp);
        events.lock().expect("no panic").clear();
        all_refused(&client, &root, expected).await;
        let events = events.lock().expect("no panic");
        assert!(events.len() >= 21);
        for event in &*events {
            let Event::Refused(refused) = event else {
                panic!("{event:?}");
            };
            assert_eq!(refused.reason, reason);
            assert_eq!(refused.peer.remote, remote);
        }
    }
}

#[tokio::test]
async fn handles_of_others_are_bad() {
    let client = Client::new(tree());
    let root = client.root().await;
    let mut forged = root.data.to_vec();
    if let Some(last) = forged.last_mut() {
        *last ^= 1;
    }
    let long = [7; 64];
    for bytes in [&forged[..], b"", b"abcd", &long] {
        all_refused(&client, &handle(bytes), nfsstat3::NFS3ERR_BADHANDLE).await;
    }
    // Longer than any `nfs_fh3`.
    for (procedure, args) in calls(&handle(&[7; 68])) {
        let reply = client.raw(procedure, &Packed(&args)).await;
        let (reply_body::MSG_ACCEPTED(reply), _) = oracle::body(&reply) else {
            panic!("denied");
        };
        assert!(matches!(reply.reply_data, accept_stat_data::GARBAGE_ARGS));
    }
}

#[tokio::test]
async fn what_is_gone_is_stale() {
    let tree = tree();
    let client = Client::new(Arc::clone(&tree) as _);
    let gone = client.walk("open/all").await;
    tree.remove("open/all").expect("there");
    all_refused(&client, &gone, nfsstat3::NFS3ERR_STALE).await;
    // An export that is no more.
    let root = client.root().await;
    client.service.set_exports(Vec::new()).expect("none");
    all_refused(&client, &root, nfsstat3::NFS3ERR_STALE).await;
}

#[tokio::test]
async fn errors_of_trees_have_their_codes() {
    for (kind, expected) in [
        (ErrorKind::Stale, nfsstat3::NFS3ERR_STALE),
        // The key was signed here, so the tree is another one now.
        (ErrorKind::BadKey, nfsstat3::NFS3ERR_STALE),
        (ErrorKind::Busy, nfsstat3::NFS3ERR_JUKEBOX),
        (ErrorKind::Io, nfsstat3::NFS3ERR_IO),
        (ErrorKind::PermissionDenied, nfsstat3::NFS3ERR_ACCES),
    ] {
        let odd = OddTree {
            inner: tree(),
            of_keys: Some(kind),
            ..OddTree::default()
        };
        let client = Client::new(Arc::new(odd));
        all_refused(&client, &client.root().await, expected).await;
    }
}

/// What is known of a node is told with the failure, so that clients refresh what they cached.
#[tokio::test]
async fn failures_tell_attributes() {
    let client = Client::new(tree());
    let args = READ3args {
        file: client.root().await,
        offset: 0,
        count: 1,
    };
    let told: READ3res<'_> = client.ask(6, &args).await;
    let Nfs3Result::Err((nfsstat3::NFS3ERR_ISDIR, fail)) = told else {
        panic!("{told:?}");
    };
    assert_eq!(some(fail.file_attributes).type_, ftype3::NF3DIR);
}

/// An export that is narrowed to a directory of its tree takes nothing else with it: handles of
/// what is outside now, which clients kept from before, lead to nothing.
#[tokio::test]
async fn a_narrowed_export_forgets_the_handles_of_before() {
    let tree = tree();
    let exported = |root: &str| {
        let export = Export::new(PATH, Arc::clone(&tree) as _);
        let root = TreePath::parse(root).expect("valid");
        let clients = ExportClient::new(Network::Any, options());
        export.with_root(root).to(clients)
    };
    let client = Client::of(builder().export(exported("")).build().expect("one export"));
    let client = client.user(1000, 100, &[]);
    let before = [client.root().await, client.walk("closed").await];
    let file = client.walk("closed/file").await;
    client
        .service
        .set_exports(vec![exported("open")])
        .expect("one");
    for old in before.iter().chain([&file]) {
        let told = client.attributes(old).await;
        assert_eq!(told.err(), Some(nfsstat3::NFS3ERR_STALE));
    }
    assert!(client.walk("all").await != file);
    client.service.set_exports(vec![exported("")]).expect("one");
    for old in before.iter().chain([&file]) {
        client.attributes(old).await.expect("as before");
    }
}

/// The medium's errors are the operator's affair.
#[tokio::test]
async fn errors_of_the_medium_are_events() {
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let tree = Arc::new(OddTree::failing(ErrorKind::Io, 0));
    let export = Export::new(PATH, Arc::clone(&tree) as _);
    let service = builder()
        .export(export.to(ExportClient::new(Network::Any, options())))
        .on_event(move |event| told.lock().expect("no panic").push(event.clone()))
        .build();
    let client = Client::of(service.expect("one export"));
    let symlink = client.walk("open/link").await;
    tree.times.store(1, std::sync::atomic::Ordering::Relaxed);
    let told: READLINK3res<'_> = client.ask(5, &READLINK3args { symlink }).await;
    assert!(matches!(told, Nfs3Result::Err((nfsstat3::NFS3ERR_IO, _))));
    let events = events.lock().expect("no panic");
    let [Event::Failed(failed)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(failed.procedure, "READLINK");
}

/// Nothing is changed by calls to an export that is read-only, and each failure has the form of
/// its procedure.
#[tokio::test]
async fn read_only_exports_are_not_written_to() {
    let client = Client::new(tree());
    let client = client.user(1000, 100, &[]);
    let dir = client.walk("closed").await;
    for (procedure, args) in calls(&dir) {
        if !matches!(procedure, 2 | 8..=15) {
            continue;
        }
        let reply = client.raw(procedure, &Packed(&args)).await;
        let status = failed(procedure, &reply);
        assert_eq!(status, nfsstat3::NFS3ERR_ROFS, "{procedure}");
    }
    let file = client.walk("open/all").await;
    for (procedure, args) in calls(&file) {
        if matches!(procedure, 2 | 7 | 21) {
            let reply = client.raw(procedure, &Packed(&args)).await;
            let status = failed(procedure, &reply);
            assert_eq!(status, nfsstat3::NFS3ERR_ROFS, "{procedure}");
        }
    }
}

/// `mount.nfs` tries version 4 first, and falls back by the versions that it is told; ACL
/// (procedures of another program) and what comes after COMMIT are not there.
#[tokio::test]
async fn other_versions_and_procedures_are_refused_as_mount_nfs_expects_it() {
    let client = Client::new(tree());
    let ask = async |program, version, procedure| {
        let user = oracle::auth_sys(0, 0, &[]);
        let message = oracle::call(Procedure(program, version, procedure), user, &Void);
        let reply = client.service.answer(&client.peer, Programs::Nfs, message);
        let bytes = oracle::bytes(reply.await.expect("a reply")).await;
        let (reply_body::MSG_ACCEPTED(reply), _) = oracle::body(&bytes) else {
            panic!("denied");
        };
        reply.reply_data
    };
    for version in [2, 4] {
        for procedure in [0, 1, 99] {
            let told = ask(PROGRAM, version, procedure).await;
            let accept_stat_data::PROG_MISMATCH { low, high } = told else {
                panic!("{told:?}");
            };
            assert_eq!((low, high), (3, 3));
        }
    }
    for procedure in [22, 23, u32::MAX] {
        let told = ask(PROGRAM, VERSION, procedure).await;
        assert!(matches!(told, accept_stat_data::PROC_UNAVAIL), "{told:?}");
    }
    let acl = ask(100_227, 3, 0).await;
    assert!(matches!(acl, accept_stat_data::PROG_UNAVAIL), "{acl:?}");
    for procedure in 1..=21 {
        let told = ask(PROGRAM, VERSION, procedure).await;
        assert!(matches!(told, accept_stat_data::GARBAGE_ARGS), "{told:?}");
    }
    let null = ask(PROGRAM, VERSION, 0).await;
    assert!(matches!(null, accept_stat_data::SUCCESS), "{null:?}");
}

/// A fault of a tree, or of what admits clients, is told to whoever called, and to nobody else.
#[tokio::test]
async fn a_panic_ends_nothing_but_its_call() {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    let (panics, told) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(Mutex::new(vec![])),
    );
    let (asked, telling) = (Arc::clone(&panics), Arc::clone(&told));
    let everybody = ExportClient::new(Network::Any, options());
    let service = builder()
        .export(Export::new(PATH, tree()).to(everybody))
        .admit(move |_| {
            assert!(!asked.swap(false, Ordering::Relaxed), "on purpose");
            true
        })
        .on_event(move |event| {
            if let Event::Failed(failed) = event {
                let told = (failed.procedure, failed.error.clone());
                telling.lock().expect("no panic").push(told);
            }
        })
        .build()
        .expect("one export");
    let client = Client::of(service);
    let root = client.root().await;
    let object = diropargs3 {
        dir: root.clone(),
        name: b"new"[..].into(),
    };
    panics.store(true, Ordering::Relaxed);
    let args = GETATTR3args { object: root };
    let reply = client.raw(1, &args).await;
    assert!(matches!(
        oracle::refusal(&reply),
        accept_stat_data::SYSTEM_ERR
    ));
    let _: Nfs3Result<GETATTR3resok, Void> = client.ask(1, &args).await;
    // One that is kept for those who repeat it.
    panics.store(true, Ordering::Relaxed);
    let args = REMOVE3args { object };
    let reply = client.raw(12, &args).await;
    assert!(matches!(
        oracle::refusal(&reply),
        accept_stat_data::SYSTEM_ERR
    ));
    let again: Nfs3Result<REMOVE3resok, REMOVE3resfail> = client.ask(12, &args).await;
    assert!(matches!(
        again,
        Nfs3Result::Err((nfsstat3::NFS3ERR_ROFS, _))
    ));
    let told = told.lock().expect("no panic");
    let panicked = "panicked: on purpose".to_owned();
    assert_eq!(*told, [("GETATTR", panicked.clone()), ("REMOVE", panicked)]);
}
