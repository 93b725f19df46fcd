//! GETATTR, LOOKUP, ACCESS, READLINK, FSSTAT, FSINFO, PATHCONF.

use std::sync::atomic::{AtomicUsize, Ordering};

use nfs3_types::nfs3::*;
use pxe_tree::ErrorKind;

use super::*;
use crate::Transport;

fn time(time: Timestamp) -> (u32, u32) {
    (u32::try_from(time.seconds).expect("now"), time.nanos)
}

#[tokio::test]
async fn attributes_are_those_of_the_tree() {
    let tree = tree();
    let client = Client::new(Arc::clone(&tree) as _);
    for (path, kind) in [
        ("", ftype3::NF3DIR),
        ("open", ftype3::NF3DIR),
        ("open/all", ftype3::NF3REG),
        ("open/link", ftype3::NF3LNK),
        ("open/disk", ftype3::NF3BLK),
        ("open/null", ftype3::NF3CHR),
        ("open/fifo", ftype3::NF3FIFO),
        ("open/socket", ftype3::NF3SOCK),
    ] {
        let told = client.attributes(&client.walk(path).await).await;
        let (told, known) = (told.expect("there"), found_itself(&*tree, path).await);
        assert_eq!(told.type_, kind, "{path}");
        assert_eq!(
            (told.mode, told.nlink, told.uid, told.gid),
            (known.mode, known.nlink, known.uid, known.gid)
        );
        assert_eq!((told.size, told.fileid), (known.len, known.fileid));
        assert_eq!((told.rdev.specdata1, told.rdev.specdata2), known.rdev);
        let told = [told.atime, told.mtime, told.ctime];
        assert_eq!(
            told.map(|time| (time.seconds, time.nseconds)),
            [known.accessed, known.modified, known.changed].map(time)
        );
    }
}

/// A link itself, not what it leads to.
async fn found_itself(tree: &dyn Tree, path: &str) -> Attributes {
    match path.rsplit_once('/') {
        Some((dir, name)) => {
            let dir = found(tree, dir).await.node;
            let name = pxe_tree::Name::new(name).expect("valid");
            tree.lookup(dir, name).await.expect("there")
        }
        None => found(tree, path).await,
    }
}

#[tokio::test]
async fn times_that_nfs_does_not_know_are_the_nearest_that_it_knows() {
    let tree = MemTree::new();
    for (name, seconds) in [("before", -5), ("after", 1 << 33)] {
        let file = MemEntry::file("").with_modified(Timestamp::from_seconds(seconds));
        tree.insert(name, file).expect("free");
    }
    let client = Client::new(Arc::new(tree));
    for (name, seconds) in [("before", 0), ("after", u32::MAX)] {
        let node = client.walk(name).await;
        let told = client.attributes(&node).await.expect("there");
        assert_eq!(told.mtime.seconds, seconds, "{name}");
    }
}

/// One tree under two paths is two file systems to clients, each the same after a restart.
#[tokio::test]
async fn file_systems_are_told_apart_by_export() {
    let tree = tree();
    let make = || {
        let export = |path| {
            let export = Export::new(path, Arc::clone(&tree) as _);
            export.to(ExportClient::new(Network::Any, options()))
        };
        let both = builder().export(export(PATH)).export(export("/other"));
        Client::of(both.build().expect("two exports"))
    };
    let (before, after) = (make(), make());
    let fsid = async |client: &Client, path| {
        let told = client.attributes(&client.root_of(path).await).await;
        told.expect("there").fsid
    };
    let (one, other) = (fsid(&before, PATH).await, fsid(&before, "/other").await);
    assert_ne!(one, other);
    assert_eq!(fsid(&after, PATH).await, one);
    assert_eq!(fsid(&after, "/other").await, other);
}

#[tokio::test]
async fn names_are_looked_up() {
    let tree = tree();
    let client = Client::new(Arc::clone(&tree) as _);
    let open = client.walk("open").await;
    let all = client.look_up(&open, b"all").await.expect("there");
    assert_eq!(some(all.obj_attributes).size, 7);
    assert_eq!(
        some(all.dir_attributes).fileid,
        found(&*tree, "open").await.fileid
    );
    let bytes = client.look_up(&open, b"\xff\xfe.bin").await.expect("there");
    assert_eq!(some(bytes.obj_attributes).size, 7);
    for (dir, name, expected) in [
        ("open", &b"missing"[..], nfsstat3::NFS3ERR_NOENT),
        ("open", b"", nfsstat3::NFS3ERR_NOENT),
        ("open", b"../closed", nfsstat3::NFS3ERR_NOENT),
        ("open", b"a\0b", nfsstat3::NFS3ERR_NOENT),
        ("open", &[b'a'; 255], nfsstat3::NFS3ERR_NOENT),
        ("open", &[b'a'; 256], nfsstat3::NFS3ERR_NAMETOOLONG),
        ("open", &[b'a'; 70_000], nfsstat3::NFS3ERR_NAMETOOLONG),
        ("open/all", b"x", nfsstat3::NFS3ERR_NOTDIR),
        ("open/link", b"x", nfsstat3::NFS3ERR_NOTDIR),
        ("closed", b"file", nfsstat3::NFS3ERR_ACCES),
        ("closed", b".", nfsstat3::NFS3ERR_ACCES),
        ("closed", b"missing", nfsstat3::NFS3ERR_ACCES),
        ("listed", b"file", nfsstat3::NFS3ERR_ACCES),
    ] {
        let dir_handle = client.walk(dir).await;
        let found = client.look_up(&dir_handle, name).await;
        let name = String::from_utf8_lossy(name);
        assert_eq!(found.err(), Some(expected), "{dir}, {name:.20}");
    }
    client.walk("searched/file").await;
}

/// A node that is renamed, or forgotten by its tree, between the steps of a call is found again;
/// one that moves all the time is to be asked for later.
#[tokio::test]
async fn a_node_that_moves_is_found_again() {
    let is_later = Some(nfsstat3::NFS3ERR_JUKEBOX);
    let tree = Arc::new(odd_tree::OddTree::failing(ErrorKind::Stale, 0));
    let client = Client::new(Arc::clone(&tree) as _);
    let open = client.walk("open").await;
    let link = client.walk("open/link").await;
    for (times, expected) in [(2, None), (1000, is_later)] {
        let again = |counter: &AtomicUsize| counter.store(times, Ordering::Relaxed);
        again(&tree.times);
        let found = client.look_up(&open, b"all").await;
        assert_eq!(found.err(), expected, "{times}");
        again(&tree.times);
        let args = READLINK3args {
            symlink: link.clone(),
        };
        let told: READLINK3res<'_> = client.ask(5, &args).await;
        let failure = match told {
            Nfs3Result::Ok(_) => None,
            Nfs3Result::Err((status, _)) => Some(status),
        };
        assert_eq!(failure, expected, "{times}");
        tree.times.store(0, Ordering::Relaxed);
        for name in [&b"all"[..], b".", b".."] {
            again(&tree.stale_keys);
            let found = client.look_up(&open, name).await;
            assert_eq!(found.err(), expected, "{times}");
        }
    }
}

/// live-boot looks for `*.ext2` when no such file is there (scripts/live, `find_files`).
#[tokio::test]
async fn live_boot_looks_up_a_star() {
    let client = Client::new(tree());
    let star = client.look_up(&client.root().await, b"*.ext2").await;
    assert_eq!(star.err(), Some(nfsstat3::NFS3ERR_NOENT));
}

#[tokio::test]
async fn dots_lead_up_to_the_export_and_no_further() {
    let tree = tree();
    tree.insert_file("open/a/b/file", "").expect("free");
    let whole = Export::new(PATH, Arc::clone(&tree) as _);
    let part = Export::new("/part", Arc::clone(&tree) as _)
        .with_root(TreePath::parse("open/a").expect("valid"));
    let to = |export: Export| export.to(ExportClient::new(Network::Any, options()));
    let both = builder().export(to(whole)).export(to(part));
    let client = Client::of(both.build().expect("two exports"));

    let fileid = async |dir: &nfs_fh3, name: &[u8]| {
        let found = client.look_up(dir, name).await.expect("there");
        (some(found.obj_attributes).fileid, found.object)
    };
    let known = async |path| found(&*tree, path).await.fileid;
    let b = client.walk("open/a/b").await;
    assert_eq!(fileid(&b, b".").await, (known("open/a/b").await, b.clone()));
    assert_eq!(fileid(&b, b"..").await.0, known("open/a").await);
    let root = client.root().await;
    assert_eq!(fileid(&root, b"..").await, (known("").await, root.clone()));

    let part = client.root_of("/part").await;
    let (_, b) = fileid(&part, b"b").await;
    assert_eq!(
        fileid(&b, b"..").await,
        (known("open/a").await, part.clone())
    );
    assert_eq!(fileid(&part, b"..").await, (known("open/a").await, part));

    // A directory that is outside now, whose handle a client still has.
    let exports = client.service.inner.exports();
    let export = exports.values().find(|export| export.path == b"/part");
    let export = export.expect("exported");
    let outside = tree.key(found(&*tree, "closed").await.node).expect("a key");
    let outside = client.service.inner.key.sign(export.id, &outside);
    let owner = client.user(1000, 100, &[]);
    let above = owner
        .look_up(&handle(outside.as_bytes()), b"..")
        .await
        .expect("itself");
    assert_eq!(some(above.obj_attributes).fileid, known("closed").await);
}

#[tokio::test]
async fn access_is_told_bit_by_bit() {
    const R: u32 = ACCESS3_READ;
    const L: u32 = ACCESS3_LOOKUP;
    const X: u32 = ACCESS3_EXECUTE;
    const W: u32 = ACCESS3_MODIFY | ACCESS3_EXTEND;
    const D: u32 = ACCESS3_DELETE;
    let tree = tree();
    let no_squash = ExportOptions {
        squash: Squash::None,
        ..options()
    };
    let squashed = Client::new(Arc::clone(&tree) as _);
    let trusted = Client::of(service(Arc::clone(&tree) as _, no_squash));
    let owner = squashed.user(1000, 7, &[]);
    let member = squashed.user(7, 7, &[3, 100]);
    let all = 0x3f;
    for (who, client, path, asked, expected) in [
        ("root", &trusted, "open", all, R | L),
        ("root", &trusted, "closed", all, R | L),
        ("root", &trusted, "open/nobody", all, R),
        ("root", &trusted, "open/program", all, R | X),
        ("root", &trusted, "open/null", all, R | W),
        ("squashed root", &squashed, "closed", all, 0),
        ("squashed root", &squashed, "open", all, R | L),
        ("squashed root", &squashed, "open/owner", all, 0),
        ("squashed root", &squashed, "open/all", all, R),
        ("squashed root", &squashed, "open/program", all, X),
        ("squashed root", &squashed, "open/null", all, R | W),
        ("squashed root", &squashed, "open/fifo", W, W),
        ("squashed root", &squashed, "listed", all, R),
        ("squashed root", &squashed, "searched", all, L),
        ("owner", &owner, "closed", all, R | L),
        ("owner", &owner, "open/owner", all, R),
        ("owner", &owner, "open/group", all, 0),
        ("owner", &owner, "open/nobody", all, 0),
        ("owner", &owner, "open/owner", W | D | X, 0),
        ("member", &member, "open/group", all, R),
        ("member", &member, "closed", all, 0),
        ("anybody", &member, "open/all", 0, 0),
        ("anybody", &member, "open/all", u32::MAX, R),
    ] {
        let object = trusted.walk(path).await;
        let args = ACCESS3args {
            object,
            access: asked,
        };
        let told: ACCESS3res = client.ask(4, &args).await;
        let told = told.unwrap();
        assert_eq!(told.access, expected, "{who}, {path}, {asked:#x}");
        let fileid = found_itself(&*tree, path).await.fileid;
        assert_eq!(some(told.obj_attributes).fileid, fileid);
    }
}

#[tokio::test]
async fn links_are_read_as_they_are() {
    let tree = MemTree::new();
    let long: Vec<u8> = b"0123456789/".iter().copied().cycle().take(4095).collect();
    let targets = [&b"../os"[..], b"/absolute", b"\xff\xfe", b"*", &long];
    for (number, target) in targets.iter().enumerate() {
        tree.insert_link(number.to_string(), target.to_vec())
            .expect("free");
    }
    tree.insert_file("file", "").expect("free");
    let client = Client::new(Arc::new(tree));
    for (number, target) in targets.iter().enumerate() {
        let symlink = client.walk(&number.to_string()).await;
        let told: READLINK3res<'_> = client.ask(5, &READLINK3args { symlink }).await;
        let told = told.unwrap();
        assert_eq!(told.data.as_ref(), *target);
        assert_eq!(some(told.symlink_attributes).size, target.len() as u64);
    }
    for path in ["", "file"] {
        let symlink = client.walk(path).await;
        let told: READLINK3res<'_> = client.ask(5, &READLINK3args { symlink }).await;
        let Nfs3Result::Err((nfsstat3::NFS3ERR_INVAL, fail)) = told else {
            panic!("{path}: {told:?}");
        };
        some(fail.symlink_attributes);
    }
}

#[tokio::test]
async fn the_file_system_says_what_it_takes() {
    let mut client = Client::new(tree());
    let fsroot = client.root().await;
    let info: FSINFO3res = client
        .ask(
            19,
            &FSINFO3args {
                fsroot: fsroot.clone(),
            },
        )
        .await;
    let info = info.unwrap();
    assert_eq!(
        (info.rtmax, info.rtpref, info.rtmult),
        (1 << 20, 1 << 20, 4096)
    );
    assert_eq!(
        (info.wtmax, info.wtpref, info.wtmult),
        (1 << 20, 1 << 20, 4096)
    );
    assert_eq!((info.dtpref, info.maxfilesize), (1 << 16, i64::MAX as u64));
    assert_eq!(info.properties, 0x1b);
    some(info.obj_attributes);

    let stat: FSSTAT3res = client
        .ask(
            18,
            &FSSTAT3args {
                fsroot: fsroot.clone(),
            },
        )
        .await;
    let stat = stat.unwrap();
    some(stat.obj_attributes);
    assert_eq!(stat.invarsec, 0);

    let conf = PATHCONF3args {
        object: fsroot.clone(),
    };
    let conf: PATHCONF3res = client.ask(20, &conf).await;
    let conf = conf.unwrap();
    assert_eq!((conf.name_max, conf.linkmax), (255, 65_000));
    let properties = (conf.no_trunc, conf.chown_restricted);
    assert_eq!(properties, (true, true));
    assert!(!conf.case_insensitive && conf.case_preserving);

    client.peer.transport = Transport::Udp;
    let info: FSINFO3res = client.ask(19, &FSINFO3args { fsroot }).await;
    let info = info.unwrap();
    assert_eq!((info.rtmax, info.wtmax, info.dtpref), (8192, 8192, 8192));
}
