//! READ.

use std::sync::atomic::AtomicUsize;

use nfs3_types::nfs3::*;
use pxe_tree::{DirTree, ErrorKind, Overlay, Subtree};

use super::odd_tree::OddTree;
use super::*;
use crate::nfs::{PROGRAM, VERSION};
use crate::rpc::Call;
use crate::{Data, Limits, Reply, Transport};

/// What READ gave: bytes, whether they end the file, what is said of it.
#[derive(Debug)]
struct Given {
    bytes: Vec<u8>,
    eof: bool,
    attributes: fattr3,
}

impl Client {
    async fn read(&self, file: &nfs_fh3, offset: u64, count: u32) -> Result<Given, nfsstat3> {
        let file = file.clone();
        let args = READ3args {
            file,
            offset,
            count,
        };
        let told: READ3res<'_> = self.ask(6, &args).await;
        match told {
            Nfs3Result::Ok(ok) => {
                assert_eq!(ok.count as usize, ok.data.len());
                Ok(Given {
                    bytes: ok.data.to_vec(),
                    eof: ok.eof,
                    attributes: some(ok.file_attributes),
                })
            }
            Nfs3Result::Err((status, _)) => Err(status),
        }
    }

    async fn reply(&self, file: &nfs_fh3, offset: u64, count: u32) -> Reply {
        let file = file.clone();
        let args = READ3args {
            file,
            offset,
            count,
        };
        let user = oracle::auth_sys(self.uid, self.gid, &self.groups);
        let message = oracle::call(Procedure(PROGRAM, VERSION, 6), user, &args);
        assert!(Call::parse(&message).is_ok());
        let reply = self.service.answer(&self.peer, Programs::Nfs, message);
        reply.await.expect("a reply")
    }
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn any_range_is_read() {
    let tree = MemTree::new();
    let all = content(10_000);
    tree.insert_file("file", all.clone()).expect("free");
    tree.insert_file("empty", "").expect("free");
    let client = Client::new(Arc::new(tree));
    let file = client.walk("file").await;
    for (offset, count, eof) in [
        (0, 10_000, true),
        (0, 9_999, false),
        (0, 0, false),
        (5, 17, false),
        (9_999, 1, true),
        (9_999, 100_000, true),
        (10_000, 1, true),
        (10_000, 0, true),
        (10_001, 1, true),
        (i64::MAX as u64, 4096, true),
        (u64::MAX, u32::MAX, true),
        (u64::MAX - 3, 10, true),
        (0, u32::MAX, true),
    ] {
        let given = client.read(&file, offset, count).await.expect("allowed");
        let start = usize::try_from(offset).expect("64 bits").min(all.len());
        let end = start.saturating_add(count as usize).min(all.len());
        assert_eq!(given.bytes, all[start..end], "{offset}, {count}");
        assert_eq!(given.eof, eof, "{offset}, {count}");
        assert_eq!(given.attributes.size, 10_000);
    }
    let empty = client.walk("empty").await;
    let given = client.read(&empty, 0, 4096).await.expect("allowed");
    assert!(given.bytes.is_empty() && given.eof);
}

#[tokio::test]
async fn a_read_is_never_longer_than_the_limit() {
    let tree = MemTree::new();
    tree.insert_file("file", content(20_000)).expect("free");
    let limits = Limits {
        read_bytes_max: 16_000,
        ..Limits::default()
    };
    let export = Export::new(PATH, Arc::new(tree));
    let export = export.to(ExportClient::new(Network::Any, options()));
    let service = builder().limits(limits).export(export).build();
    let mut client = Client::of(service.expect("one export"));
    let file = client.walk("file").await;
    let given = client.read(&file, 0, 20_000).await.expect("allowed");
    assert_eq!((given.bytes.len(), given.eof), (16_000, false));
    client.peer.transport = Transport::Udp;
    let given = client.read(&file, 0, 20_000).await.expect("allowed");
    assert_eq!((given.bytes.len(), given.eof), (8192, false));
}

#[tokio::test]
async fn only_files_are_read() {
    let client = Client::new(tree());
    for (path, expected) in [
        ("open", nfsstat3::NFS3ERR_ISDIR),
        ("", nfsstat3::NFS3ERR_ISDIR),
        ("open/link", nfsstat3::NFS3ERR_INVAL),
        ("open/disk", nfsstat3::NFS3ERR_INVAL),
        ("open/null", nfsstat3::NFS3ERR_INVAL),
        ("open/fifo", nfsstat3::NFS3ERR_INVAL),
        ("open/socket", nfsstat3::NFS3ERR_INVAL),
    ] {
        let node = client.walk(path).await;
        let given = client.read(&node, 0, 100).await;
        assert_eq!(given.err(), Some(expected), "{path}");
    }
}

/// The owner reads whatever the mode; who may execute a program may read it.
#[tokio::test]
async fn permission_is_that_of_an_open_file() {
    let tree = tree();
    let squashed = Client::new(Arc::clone(&tree) as _);
    let no_squash = ExportOptions {
        squash: Squash::None,
        ..options()
    };
    let trusted = Client::of(service(tree as _, no_squash));
    let owner = squashed.user(1000, 7, &[]);
    let member = squashed.user(7, 7, &[100]);
    let denied = Err(nfsstat3::NFS3ERR_ACCES);
    for (who, client, path, expected) in [
        ("owner", &owner, "open/nobody", Ok(8)),
        ("owner", &owner, "open/owner", Ok(8)),
        ("owner", &owner, "open/group", Ok(13)),
        ("member", &member, "open/group", Ok(13)),
        ("member", &member, "open/owner", denied),
        ("member", &member, "open/program", Ok(9)),
        ("squashed root", &squashed, "open/program", Ok(9)),
        ("squashed root", &squashed, "open/owner", denied),
        ("squashed root", &squashed, "open/nobody", denied),
        ("squashed root", &squashed, "open/group", denied),
        ("root", &trusted, "open/nobody", Ok(8)),
        ("root", &trusted, "open/owner", Ok(8)),
    ] {
        let file = trusted.walk(path).await;
        let given = client.read(&file, 0, 100).await;
        let given = given.map(|given| given.bytes.len());
        assert_eq!(given, expected, "{who}, {path}");
    }
}

/// A blob's `Stale` is never shown: the file is opened again. One that changes all the time is
/// to be read later.
#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_opened_anew() {
    for (times, expected) in [
        (1, Ok(7)),
        (3, Ok(7)),
        (1000, Err(nfsstat3::NFS3ERR_JUKEBOX)),
    ] {
        let odd = OddTree {
            inner: tree(),
            stale_reads: Arc::new(AtomicUsize::new(times)),
            ..OddTree::default()
        };
        let client = Client::new(Arc::new(odd));
        let file = client.walk("open/all").await;
        let given = client.read(&file, 0, 100).await;
        assert_eq!(given.map(|given| given.bytes.len()), expected, "{times}");
    }
}

#[tokio::test]
async fn busy_is_later() {
    let tree = OddTree::failing(ErrorKind::Busy, 0);
    let tree = Arc::new(tree);
    let client = Client::new(Arc::clone(&tree) as _);
    let file = client.walk("open/all").await;
    tree.times.store(1, std::sync::atomic::Ordering::Relaxed);
    let given = client.read(&file, 0, 100).await;
    assert_eq!(given.err(), Some(nfsstat3::NFS3ERR_JUKEBOX));
    assert!(client.read(&file, 0, 100).await.is_ok());
}

/// Large ranges of a file in the page cache leave by `sendfile`, small ones and those over UDP
/// are copied.
#[tokio::test]
async fn large_ranges_in_memory_are_not_copied() {
    let dir = tempfile::tempdir().expect("a directory");
    let all = content(3 << 20);
    std::fs::write(dir.path().join("file"), &all).expect("written");
    let tree = Arc::new(DirTree::new(dir.path()).expect("a directory"));
    let mut client = Client::new(Arc::clone(&tree) as _);
    let file = client.walk("file").await;
    let reply = client.reply(&file, 1 << 20, 1 << 20).await;
    let blob = tree.open(found(&*tree, "file").await.node).await;
    match blob.expect("a file").read_now(0, &mut [0]).expect("there") {
        Some(_) => {
            let Data::File { offset, len, .. } = &reply.data else {
                panic!("just written, so it is in memory: {reply:?}");
            };
            assert_eq!((*offset, *len), (1 << 20, 1 << 20));
        }
        // A file system that does not tell what it has in memory (tmpfs of old kernels).
        None => assert!(matches!(&reply.data, Data::Bytes(_)), "{reply:?}"),
    }
    let given = client.read(&file, (2 << 20) + 5, 1 << 20).await;
    let given = given.expect("allowed");
    assert!(given.eof);
    assert!(given.bytes == all[(2 << 20) + 5..]);
    let reply = client.reply(&file, 0, 4096).await;
    assert!(matches!(&reply.data, Data::Bytes(bytes) if bytes[..] == all[..4096]));
    client.peer.transport = Transport::Udp;
    let reply = client.reply(&file, 0, 1 << 20).await;
    assert!(matches!(&reply.data, Data::Bytes(bytes) if bytes[..] == all[..8192]));
}

/// What is not in memory is read on a thread that may wait, and what a client that reads on will
/// ask for is fetched before it does.
#[tokio::test]
async fn what_follows_is_fetched_meanwhile() {
    const LEN: u64 = 1 << 20;
    let tree = MemTree::new();
    tree.insert_file("file", content(4 << 20)).expect("free");
    let tree = Arc::new(tree);
    for (in_memory, offset, is_copied, needed) in [
        (0, 0, true, vec![(0, 3 * LEN)]),
        (LEN - 1, 0, true, vec![(0, 3 * LEN)]),
        (LEN, 0, false, vec![(LEN, 2 * LEN)]),
        (LEN + 1, 0, false, vec![]),
        (4 * LEN, LEN, false, vec![]),
    ] {
        let odd = Arc::new(OddTree {
            inner: Arc::clone(&tree),
            in_memory: Some(in_memory),
            ..OddTree::default()
        });
        let client = Client::new(Arc::clone(&odd) as _);
        let file = client.walk("file").await;
        let reply = client.reply(&file, offset, 1 << 20).await;
        let copied = matches!(&reply.data, Data::Bytes(bytes) if bytes.len() == 1 << 20);
        assert_eq!(copied, is_copied, "{in_memory}: {reply:?}");
        assert_eq!(*odd.needed.lock().expect("no panic"), needed, "{in_memory}");
    }
}

/// Edited in place, replaced by rename, cut off: the next READ has what is there then.
#[tokio::test]
async fn a_file_is_read_as_it_is_now() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    std::fs::write(&path, content(5000)).expect("written");
    let client = Client::new(Arc::new(DirTree::new(dir.path()).expect("a directory")));
    let file = client.walk("file").await;
    let given = client.read(&file, 4000, 4096).await.expect("there");
    assert_eq!((given.bytes.len(), given.eof), (1000, true));
    std::fs::write(&path, "short").expect("written");
    let given = client.read(&file, 0, 4096).await.expect("there");
    assert_eq!((&given.bytes[..], given.eof), (&b"short"[..], true));
    assert_eq!(given.attributes.size, 5);
    let given = client.read(&file, 4000, 4096).await.expect("there");
    assert_eq!((given.bytes.len(), given.eof), (0, true));
}

/// `du` counts what a file takes, not how long it is.
#[tokio::test]
async fn holes_are_not_used() {
    let dir = tempfile::tempdir().expect("a directory");
    let sparse = std::fs::File::create(dir.path().join("file")).expect("made");
    sparse.set_len(64 << 20).expect("sparse");
    let client = Client::new(Arc::new(DirTree::new(dir.path()).expect("a directory")));
    let file = client.walk("file").await;
    let told = client.attributes(&file).await.expect("there");
    assert_eq!(told.size, 64 << 20);
    assert!(told.used < 1 << 20, "{} bytes", told.used);
    let client = Client::new(tree());
    let file = client.walk("open/all").await;
    let told = client.attributes(&file).await.expect("there");
    assert_eq!((told.size, told.used), (7, 7));
}

/// A file's numbers are the same in every reply: a client to which they differ takes it for
/// another file (Linux: `fileid changed`). Blobs of composed trees have the numbers of their parts.
#[tokio::test]
async fn composed_trees_have_one_number_for_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("lower"), "on disk").expect("written");
    let image = MemTree::new();
    image.insert_file("inner", "in an image").expect("free");
    let memory = MemTree::new();
    memory.insert_file("upper", "in memory").expect("free");
    let disk = DirTree::new(dir.path()).expect("a directory");
    let both = Overlay::new([Arc::new(memory) as _, Arc::new(disk) as _]).expect("two layers");
    let at = TreePath::parse("os").expect("valid");
    let whole = Subtree::new(Arc::new(both), at, Arc::new(image)).expect("a place");
    let client = Client::new(Arc::new(whole));
    for (path, len) in [("upper", 9), ("lower", 7), ("os/inner", 11)] {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = client.walk(dir).await;
        let looked_up = client.look_up(&dir, name.as_bytes()).await.expect("there");
        let told = client.attributes(&looked_up.object).await.expect("there");
        let given = client.read(&looked_up.object, 0, 100).await.expect("there");
        let numbers = |told: &fattr3| (told.fsid, told.fileid, told.size);
        assert_eq!(numbers(&told).2, len, "{path}");
        assert_eq!(numbers(&some(looked_up.obj_attributes)), numbers(&told));
        assert_eq!(numbers(&given.attributes), numbers(&told), "{path}");
        assert_eq!(given.bytes.len() as u64, len);
    }
}
