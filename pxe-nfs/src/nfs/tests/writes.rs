//! What procedures change.

use nfs3_types::nfs3::{
    Nfs3Option, createhow3, createverf3, devicedata3, ftype3, mknoddata3, nfsstat3, nfstime3,
    sattr3, set_atime, set_mtime, specdata3, stable_how,
};

use super::handle;
use super::writer::{Writer, mode};

fn size(size: u64) -> sattr3 {
    sattr3 {
        size: Nfs3Option::Some(size),
        ..sattr3::default()
    }
}

#[tokio::test]
async fn a_file_is_made_written_and_removed() {
    let writer = Writer::owner();
    let root = writer.root().await;
    let file = writer.file(&root, "f", 0o640).await;
    let known = writer.attributes(&file).await.expect("there");
    assert!(matches!(known.type_, ftype3::NF3REG));
    assert_eq!((known.mode, known.size, known.nlink), (0o640, 0, 1));
    assert_eq!(
        (known.uid, known.gid),
        (writer.client.uid, writer.client.gid)
    );
    let mut verifiers = Vec::new();
    for (offset, data, stable) in [
        (0, &b"hello"[..], stable_how::UNSTABLE),
        (5, b", world", stable_how::DATA_SYNC),
        (20, b"!", stable_how::FILE_SYNC),
        (7, b"", stable_how::UNSTABLE),
    ] {
        let done = writer
            .write(&file, offset, data, stable)
            .await
            .expect("written");
        assert_eq!((done.count as usize, done.committed), (data.len(), stable));
        verifiers.push(done.verf);
    }
    verifiers.push(writer.commit(&file).await.expect("committed").verf);
    assert!(verifiers.iter().all(|verifier| *verifier == verifiers[0]));
    let content = std::fs::read(writer.dir.path().join("f")).expect("there");
    assert_eq!(content, b"hello, world\0\0\0\0\0\0\0\0!");
    writer.remove(&root, "f").await.expect("removed");
    assert_eq!(
        writer.attributes(&file).await.err(),
        Some(nfsstat3::NFS3ERR_STALE)
    );
    assert_eq!(
        writer.remove(&root, "f").await,
        Err(nfsstat3::NFS3ERR_NOENT)
    );
}

#[tokio::test]
async fn create_does_what_its_mode_says() {
    let writer = Writer::owner();
    let root = writer.root().await;
    let (file, _) = writer
        .create(&root, "f", createhow3::UNCHECKED(mode(0o600)))
        .await
        .expect("created");
    writer
        .write(&file, 0, b"content", stable_how::FILE_SYNC)
        .await
        .expect("written");
    // Found, and nothing but its length is set.
    let found = writer
        .create(&root, "f", createhow3::UNCHECKED(mode(0o777)))
        .await;
    let (same, known) = found.expect("found");
    assert_eq!((same, known.mode, known.size), (file.clone(), 0o600, 7));
    let cut = sattr3 {
        mode: Nfs3Option::Some(0o777),
        ..size(3)
    };
    let (_, known) = writer
        .create(&root, "f", createhow3::UNCHECKED(cut))
        .await
        .expect("cut");
    assert_eq!((known.mode, known.size), (0o600, 3));
    let guarded = writer
        .create(&root, "f", createhow3::GUARDED(mode(0o600)))
        .await;
    assert_eq!(guarded.err(), Some(nfsstat3::NFS3ERR_EXIST));
    // The same verifier finds the file, as long as nobody wrote to it.
    let exclusive = |verifier| createhow3::EXCLUSIVE(createverf3(verifier));
    let (first, known) = writer
        .create(&root, "x", exclusive([0xff; 8]))
        .await
        .expect("new");
    assert_eq!(known.size, 0);
    let (again, _) = writer
        .create(&root, "x", exclusive([0xff; 8]))
        .await
        .expect("the same");
    assert_eq!(first, again);
    for (name, verifier) in [("x", [1; 8]), ("f", [0xff; 8])] {
        let other = writer.create(&root, name, exclusive(verifier)).await;
        assert_eq!(other.err(), Some(nfsstat3::NFS3ERR_EXIST), "{name}");
    }
    let now = sattr3 {
        mtime: set_mtime::SET_TO_SERVER_TIME,
        atime: set_atime::SET_TO_SERVER_TIME,
        ..mode(0o644)
    };
    writer.set(&first, now).await.expect("as clients do");
    let late = writer.create(&root, "x", exclusive([0xff; 8])).await;
    assert_eq!(late.err(), Some(nfsstat3::NFS3ERR_EXIST));
    // What is no file is not found.
    writer.mkdir(&root, "d", mode(0o755)).await.expect("made");
    writer.symlink(&root, "l", "f").await.expect("made");
    for name in ["d", "l"] {
        let taken = writer
            .create(&root, name, createhow3::UNCHECKED(size(0)))
            .await;
        assert_eq!(taken.err(), Some(nfsstat3::NFS3ERR_EXIST), "{name}");
    }
}

#[tokio::test]
async fn every_other_kind_is_made() {
    let writer = Writer::owner();
    let root = writer.root().await;
    let (dir, known) = writer.mkdir(&root, "d", mode(0o7751)).await.expect("made");
    // mkdir(2) takes no bits to run as somebody else.
    assert_eq!((known.mode, known.nlink >= 1), (0o1751, true));
    let (_, known) = writer.symlink(&dir, "l", "../nowhere").await.expect("made");
    assert_eq!(known.size, 10);
    let target = std::fs::read_link(writer.dir.path().join("d/l")).expect("a link");
    assert_eq!(target.as_os_str(), "../nowhere");
    let (_, known) = writer
        .mknod(&dir, "p", mknoddata3::NF3FIFO(mode(0o604)))
        .await
        .expect("made");
    assert!(matches!(known.type_, ftype3::NF3FIFO));
    assert_eq!(known.mode, 0o604);
    let made = writer
        .mknod(&dir, "s", mknoddata3::NF3SOCK(mode(0o666)))
        .await;
    assert!(matches!(made.expect("made").1.type_, ftype3::NF3SOCK));
    // Devices are root's.
    let null = || devicedata3 {
        dev_attributes: mode(0o666),
        spec: specdata3 {
            specdata1: 1,
            specdata2: 3,
        },
    };
    for what in [mknoddata3::NF3CHR(null()), mknoddata3::NF3BLK(null())] {
        let refused = writer.mknod(&dir, "n", what).await;
        assert_eq!(refused.err(), Some(nfsstat3::NFS3ERR_PERM));
    }
    // Whether this process may make one is for the machine to say; nothing else is made then.
    match writer
        .root_user()
        .mknod(&dir, "n", mknoddata3::NF3CHR(null()))
        .await
    {
        Ok((_, known)) => {
            assert!(matches!(known.type_, ftype3::NF3CHR));
            assert_eq!((known.rdev.specdata1, known.rdev.specdata2), (1, 3));
        }
        Err(status) => {
            assert_eq!(status, nfsstat3::NFS3ERR_PERM);
            assert!(!writer.dir.path().join("d/n").exists());
        }
    }
    let taken = writer.mkdir(&root, "d", mode(0o755)).await;
    assert_eq!(taken.err(), Some(nfsstat3::NFS3ERR_EXIST));
}

#[tokio::test]
async fn names_are_checked() {
    let writer = Writer::owner();
    let root = writer.root().await;
    let file = writer.file(&root, "f", 0o644).await;
    writer.file(&root, &"n".repeat(255), 0o644).await;
    let long = "n".repeat(256);
    for (name, status) in [
        (&long[..], nfsstat3::NFS3ERR_NAMETOOLONG),
        ("", nfsstat3::NFS3ERR_INVAL),
        ("a/b", nfsstat3::NFS3ERR_INVAL),
        ("a\0b", nfsstat3::NFS3ERR_INVAL),
    ] {
        let statuses = [
            writer
                .create(&root, name, createhow3::UNCHECKED(mode(0o600)))
                .await
                .err(),
            writer.mkdir(&root, name, mode(0o700)).await.err(),
            writer.symlink(&root, name, "x").await.err(),
            writer.link(&file, &root, name).await.err(),
            writer.remove(&root, name).await.err(),
            writer.rmdir(&root, name).await.err(),
            writer.rename((&root, name), (&root, "g")).await.err(),
            writer.rename((&root, "f"), (&root, name)).await.err(),
        ];
        assert_eq!(statuses, [Some(status); 8], "{name}");
    }
    for dots in [".", ".."] {
        let made = [
            writer
                .create(&root, dots, createhow3::UNCHECKED(mode(0o600)))
                .await
                .err(),
            writer.mkdir(&root, dots, mode(0o700)).await.err(),
            writer.symlink(&root, dots, "x").await.err(),
            writer.link(&file, &root, dots).await.err(),
        ];
        assert_eq!(made, [Some(nfsstat3::NFS3ERR_EXIST); 4], "{dots}");
        assert_eq!(
            writer.remove(&root, dots).await,
            Err(nfsstat3::NFS3ERR_ISDIR)
        );
        assert_eq!(
            writer.rmdir(&root, dots).await,
            Err(nfsstat3::NFS3ERR_INVAL)
        );
        let moved = writer.rename((&root, dots), (&root, "g")).await;
        assert_eq!(moved, Err(nfsstat3::NFS3ERR_INVAL));
    }
    for (target, status) in [
        ("", nfsstat3::NFS3ERR_INVAL),
        ("a\0b", nfsstat3::NFS3ERR_INVAL),
        (&"t".repeat(5000), nfsstat3::NFS3ERR_NAMETOOLONG),
    ] {
        assert_eq!(writer.symlink(&root, "l", target).await.err(), Some(status));
    }
    // A file is no directory.
    assert_eq!(
        writer.remove(&file, "x").await,
        Err(nfsstat3::NFS3ERR_NOTDIR)
    );
    let within = writer
        .create(&file, "x", createhow3::UNCHECKED(mode(0o600)))
        .await;
    assert_eq!(within.err(), Some(nfsstat3::NFS3ERR_NOTDIR));
    let forged = handle(&[7; 40]);
    assert_eq!(
        writer.remove(&forged, "x").await,
        Err(nfsstat3::NFS3ERR_BADHANDLE)
    );
}

#[tokio::test]
async fn names_are_moved_linked_and_removed() {
    let writer = Writer::owner();
    let root = writer.root().await;
    let (a, _) = writer.mkdir(&root, "a", mode(0o755)).await.expect("made");
    let (b, _) = writer.mkdir(&root, "b", mode(0o755)).await.expect("made");
    let file = writer.file(&a, "f", 0o644).await;
    let linked = writer.link(&file, &b, "g").await.expect("linked");
    assert_eq!(linked.nlink, 2);
    // Both names have one handle, so that clients know them for one file.
    assert_eq!(writer.look_up(&b, "g").await, Ok(file.clone()));
    writer.rename((&a, "f"), (&b, "h")).await.expect("moved");
    assert_eq!(
        writer.look_up(&b, "h").await,
        Ok(file.clone()),
        "handles stay"
    );
    assert_eq!(writer.look_up(&a, "f").await, Err(nfsstat3::NFS3ERR_NOENT));
    writer.remove(&b, "h").await.expect("removed");
    assert_eq!(writer.attributes(&file).await.expect("there").nlink, 1);
    let none = writer.link(&a, &b, "d").await.err();
    assert_eq!(none, Some(nfsstat3::NFS3ERR_ISDIR));
    for (from, to, status) in [
        ((&root, "a"), (&a, "a"), nfsstat3::NFS3ERR_INVAL),
        ((&root, "a"), (&root, "b"), nfsstat3::NFS3ERR_NOTEMPTY),
        ((&root, "a"), (&b, "g"), nfsstat3::NFS3ERR_NOTDIR),
        ((&b, "g"), (&root, "a"), nfsstat3::NFS3ERR_ISDIR),
        ((&root, "no"), (&root, "x"), nfsstat3::NFS3ERR_NOENT),
    ] {
        assert_eq!(
            writer.rename(from, to).await,
            Err(status),
            "{} {}",
            from.1,
            to.1
        );
    }
    assert_eq!(
        writer.rmdir(&root, "b").await,
        Err(nfsstat3::NFS3ERR_NOTEMPTY)
    );
    assert_eq!(writer.rmdir(&b, "g").await, Err(nfsstat3::NFS3ERR_NOTDIR));
    assert_eq!(
        writer.remove(&root, "a").await,
        Err(nfsstat3::NFS3ERR_ISDIR)
    );
    writer.rmdir(&root, "a").await.expect("empty");
    assert_eq!(
        writer.attributes(&a).await.err(),
        Some(nfsstat3::NFS3ERR_STALE)
    );
}

#[tokio::test]
async fn attributes_are_set_as_wanted() {
    let writer = Writer::owner();
    let root = writer.root().await;
    let file = writer.file(&root, "f", 0o644).await;
    let time = |seconds, nseconds| nfstime3 { seconds, nseconds };
    let wanted = sattr3 {
        mode: Nfs3Option::Some(0o4711),
        uid: Nfs3Option::None,
        gid: Nfs3Option::None,
        size: Nfs3Option::Some(1000),
        atime: set_atime::SET_TO_CLIENT_TIME(time(5, 999_999_999)),
        mtime: set_mtime::SET_TO_CLIENT_TIME(time(u32::MAX, 0)),
    };
    let set = writer.set(&file, wanted).await.expect("set");
    assert_eq!((set.mode, set.size), (0o4711, 1000));
    assert_eq!(
        (set.atime, set.mtime),
        (time(5, 999_999_999), time(u32::MAX, 0))
    );
    // Under a guard: what the client knows has to be so still.
    let guarded = writer
        .set_if(&file, mode(0o600), Nfs3Option::Some(set.ctime))
        .await;
    assert_eq!(guarded.expect("unchanged since").mode, 0o600);
    let late = writer
        .set_if(&file, mode(0o644), Nfs3Option::Some(time(1, 1)))
        .await;
    assert_eq!(late.err(), Some(nfsstat3::NFS3ERR_NOT_SYNC));
    let far = writer.set(&file, size(u64::MAX)).await;
    assert_eq!(far.err(), Some(nfsstat3::NFS3ERR_FBIG));
    let far = writer
        .write(&file, u64::MAX, b"x", stable_how::UNSTABLE)
        .await;
    assert_eq!(far.err(), Some(nfsstat3::NFS3ERR_FBIG));
    // What is no file has no length and no content.
    let (pipe, _) = writer
        .mknod(&root, "p", mknoddata3::NF3FIFO(mode(0o600)))
        .await
        .expect("made");
    for (node, status) in [
        (&root, nfsstat3::NFS3ERR_ISDIR),
        (&pipe, nfsstat3::NFS3ERR_INVAL),
    ] {
        assert_eq!(writer.set(node, size(0)).await.err(), Some(status));
        let written = writer.write(node, 0, b"x", stable_how::FILE_SYNC).await;
        assert_eq!(written.err(), Some(status));
        assert_eq!(writer.commit(node).await.err(), Some(status));
    }
    assert_eq!(
        writer.set(&pipe, mode(0o640)).await.expect("set").mode,
        0o640
    );
}

/// macOS sets the modes of links that it copies; Linux's server says that this was done
/// (fs/nfsd/vfs.c, `nfsd_setattr`).
#[tokio::test]
async fn the_mode_of_a_link_is_left_alone() {
    let writer = Writer::owner();
    let root = writer.root().await;
    let (link, before) = writer.symlink(&root, "l", "x").await.expect("made");
    let after = writer.set(&link, mode(0o600)).await.expect("as if set");
    assert_eq!(after.mode, before.mode);
}

/// RFC 1813 section 3.3.7: a client sends the rest.
#[tokio::test]
async fn more_than_wtmax_is_written_in_part() {
    let writer = Writer::owner();
    let most = writer.service().limits().write_bytes_max;
    let root = writer.root().await;
    let file = writer.file(&root, "f", 0o644).await;
    let data = vec![7; most as usize + 4];
    let done = writer
        .write(&file, 0, &data, stable_how::UNSTABLE)
        .await
        .expect("written");
    assert_eq!(done.count, most);
    assert_eq!(
        writer.attributes(&file).await.expect("there").size,
        u64::from(most)
    );
}
