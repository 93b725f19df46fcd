//! What a blob promises while its file changes.

use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pxe_tree::{DirOptions, DirTree, ErrorKind};

use crate::{kind_of, open, temporary, tree};

/// A write that a file system's clock can tell from those before: they tick every 1 to 10 ms.
fn write_later(place: &Path, write: impl Fn(&mut fs::File)) {
    let before = fs::metadata(place).expect("there");
    let times = |data: &fs::Metadata| (data.ctime(), data.ctime_nsec(), data.len());
    for _ in 0..10_000 {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(place)
            .expect("open");
        write(&mut file);
        if times(&fs::metadata(place).expect("there")) != times(&before) {
            return;
        }
    }
    panic!("the file system's clock stands still");
}

#[tokio::test]
async fn a_file_replaced_by_rename_is_read_to_its_end() {
    let dir = temporary();
    let (place, new) = (dir.path().join("f"), dir.path().join(".new"));
    fs::write(&place, "old content").expect("write");
    let tree = tree(&dir);
    let blob = open(&tree, "f").await;
    assert_eq!(blob.read_at(0, 4).await.expect("open"), "old ");
    fs::write(&new, "NEW").expect("write");
    fs::rename(&new, &place).expect("rename");
    assert_eq!(blob.read_at(4, 100).await.expect("pinned"), "content");
    blob.validate().expect("replaced, not edited");
    let mut buf = [0; 11];
    assert!(
        blob.read_now(0, &mut buf)
            .expect("pinned")
            .is_none_or(|len| len == 11)
    );
    assert_eq!(
        open(&tree, "f").await.read_at(0, 100).await.expect("open"),
        "NEW"
    );
}

/// All of this moves the file's ctime, as an edit does.
#[tokio::test]
async fn what_leaves_the_content_alone_spoils_nothing() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 7] = [
        ("rename", |f| {
            fs::rename(f, f.with_extension("x")).expect("rename");
        }),
        ("move", |f| {
            let below = f.with_file_name("below");
            fs::create_dir(&below).expect("create");
            fs::rename(f, below.join("x")).expect("rename");
        }),
        ("unlink", |f| fs::remove_file(f).expect("remove")),
        ("link", |f| {
            fs::hard_link(f, f.with_extension("x")).expect("link");
        }),
        ("chmod", |f| {
            fs::set_permissions(f, fs::Permissions::from_mode(0o640)).expect("chmod");
        }),
        ("rename away, another in its place", |f| {
            fs::rename(f, f.with_extension("x")).expect("rename");
            fs::write(f, "other content").expect("write");
        }),
        ("rename of the directory", |f| {
            let dir = f.parent().expect("below");
            fs::rename(dir, dir.with_extension("x")).expect("rename");
        }),
    ];
    for (what, change) in changes {
        let dir = temporary();
        fs::create_dir(dir.path().join("d")).expect("create");
        let place = dir.path().join("d/f");
        fs::write(&place, "content").expect("write");
        let tree = tree(&dir);
        let blob = open(&tree, "d/f").await;
        change(&place);
        for _ in 0..2 {
            let read = blob.read_at(0, 100).await;
            assert_eq!(read.unwrap_or_else(|e| panic!("{what}: {e}")), "content");
            blob.validate().unwrap_or_else(|e| panic!("{what}: {e}"));
        }
    }
}

#[tokio::test]
async fn a_file_edited_in_place_is_stale_for_good() {
    type Edit = fn(&mut fs::File);
    let edits: [(&str, Edit); 4] = [
        ("grown", |f| {
            f.seek(std::io::SeekFrom::End(0)).expect("seek");
            f.write_all(b"more").expect("write");
        }),
        ("cut", |f| f.set_len(3).expect("truncate")),
        ("emptied", |f| f.set_len(0).expect("truncate")),
        ("rewritten", |f| f.write_all(b"CONTENT").expect("write")),
    ];
    for (what, edit) in edits {
        let dir = temporary();
        let place = dir.path().join("f");
        fs::write(&place, "content").expect("write");
        let tree = tree(&dir);
        let blob = open(&tree, "f").await;
        write_later(&place, edit);
        assert_eq!(kind_of(blob.validate()), ErrorKind::Stale, "{what}");
        assert_eq!(
            kind_of(blob.read_at(0, 2).await),
            ErrorKind::Stale,
            "{what}"
        );
        assert_eq!(
            kind_of(blob.read_now(0, &mut [0; 2])),
            ErrorKind::Stale,
            "{what}"
        );
        // Put back as it was: what was sent meanwhile is unknown.
        fs::write(&place, "content").expect("write");
        assert_eq!(
            kind_of(blob.read_at(0, 2).await),
            ErrorKind::Stale,
            "{what}"
        );
        // Opened again, it is a file like any other.
        let again = open(&tree, "f").await;
        assert_eq!(
            again.read_at(0, 100).await.expect("new"),
            "content",
            "{what}"
        );
    }
}

fn put_mtime_back(place: &Path, edit: impl Fn(&mut fs::File)) {
    let modified = fs::metadata(place)
        .and_then(|data| data.modified())
        .expect("there");
    write_later(place, |file| {
        edit(file);
        file.set_modified(modified).expect("utimes");
    });
}

#[tokio::test]
async fn an_edit_that_puts_the_mtime_back_shows_in_the_ctime() {
    let dir = temporary();
    let place = dir.path().join("f");
    fs::write(&place, "content").expect("write");
    let tree = tree(&dir);
    let blob = open(&tree, "f").await;
    put_mtime_back(&place, |file| file.write_all(b"CONTENT").expect("write"));
    assert_eq!(kind_of(blob.read_at(0, 100).await), ErrorKind::Stale);
}

/// The documented limit on the other side: nothing tells these from such an edit.
#[tokio::test]
async fn a_change_that_changes_nothing_ends_a_transfer() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 2] = [
        ("chmod to the same mode", |f| {
            let mode = fs::metadata(f).expect("there").permissions();
            fs::set_permissions(f, mode).expect("chmod");
        }),
        ("link and unlink", |f| {
            let link = f.with_extension("link");
            fs::hard_link(f, &link).expect("link");
            fs::remove_file(link).expect("remove");
        }),
    ];
    for (what, change) in changes {
        let dir = temporary();
        let place = dir.path().join("f");
        fs::write(&place, "content").expect("write");
        let tree = tree(&dir);
        let blob = open(&tree, "f").await;
        write_later(&place, |_| change(&place));
        assert_eq!(
            kind_of(blob.read_at(0, 100).await),
            ErrorKind::Stale,
            "{what}"
        );
        let again = open(&tree, "f").await.read_at(0, 100).await;
        assert_eq!(again.expect("opened anew"), "content", "{what}");
    }
}

/// The documented limit: a change of mode explains the ctime, and nothing else tells.
#[tokio::test]
async fn an_edit_that_hides_behind_a_chmod_cannot_be_seen() {
    let dir = temporary();
    let place = dir.path().join("f");
    fs::write(&place, "content").expect("write");
    let tree = tree(&dir);
    let blob = open(&tree, "f").await;
    put_mtime_back(&place, |file| {
        file.write_all(b"CONTENT").expect("write");
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .expect("chmod");
    });
    assert_eq!(blob.read_at(0, 100).await.expect("unseen"), "CONTENT");
}

#[tokio::test]
async fn cold_content_is_read_on_a_thread_that_may_wait() {
    let dir = temporary();
    let content: Bytes = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    let place = dir.path().join("f");
    fs::write(&place, &content).expect("write");
    let file = fs::File::open(&place).expect("open");
    file.sync_all().expect("sync");
    let tree = tree(&dir);
    let blob = open(&tree, "f").await;
    for offset in [1_500_000_usize, 0, 700_000] {
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice");
        let mut buf = vec![0; 300_000];
        if let Some(len) = blob.read_now(offset as u64, &mut buf).expect("open") {
            assert!(buf[..len] == content[offset..offset + len] && len == 300_000);
        }
        let read = blob.read_at(offset as u64, 300_000).await.expect("open");
        assert!(read == content[offset..offset + 300_000]);
    }
}

/// What is cold is not waited for: if the kernel itself says that a read would wait, `read_now` says
/// so too. On a file system that has all in memory (tmpfs), neither ever does.
#[tokio::test]
async fn cold_content_is_not_read_now() {
    const TRIES: u64 = 16;
    const STEP: u64 = 1 << 20;
    let dir = temporary();
    let place = dir.path().join("f");
    let len = usize::try_from(TRIES * STEP).expect("small");
    fs::write(&place, vec![7; len]).expect("write");
    let file = fs::File::open(&place).expect("open");
    file.sync_all().expect("sync");
    let tree = tree(&dir);
    let blob = open(&tree, "f").await;
    // Each look may make the kernel read ahead.
    let evict =
        || rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice");
    let (mut kernel_waits, mut blob_waits) = (0, 0);
    for offset in (0..TRIES).map(|number| number * STEP) {
        let mut buf = [0];
        evict();
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        let mut slices = [std::io::IoSliceMut::new(&mut buf)];
        let read = rustix::io::preadv2(&file, &mut slices, offset, flags);
        kernel_waits += u32::from(read == Err(rustix::io::Errno::AGAIN));
        evict();
        let read = blob.read_now(offset, &mut buf).expect("open");
        blob_waits += u32::from(read.is_none());
    }
    assert!(
        kernel_waits == 0 || blob_waits > 0,
        "the kernel would wait for {kernel_waits} of {TRIES}, and the blob for none"
    );
}

/// NFS asks whether the end of a range is in the caches, and says what will be needed if not.
#[tokio::test]
async fn what_will_be_needed_is_fetched_meanwhile() {
    let dir = temporary();
    let place = dir.path().join("f");
    fs::write(&place, vec![7; 2_000_000]).expect("write");
    let file = fs::File::open(&place).expect("open");
    file.sync_all().expect("sync");
    let tree = tree(&dir);
    let blob = open(&tree, "f").await;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice");
    blob.will_need(0, 2_000_000);
    let mut buf = [0];
    let mut asked = 0;
    while blob.read_now(1_999_999, &mut buf).expect("open").is_none() {
        asked += 1;
        assert!(asked < 10_000_000, "it never comes");
        // Another hint does no harm; it may be the one that is taken.
        blob.will_need(1_999_999, 1);
        tokio::task::yield_now().await;
    }
    assert_eq!(buf, [7]);
}

#[tokio::test]
async fn readers_of_a_file_share_one_descriptor() {
    let dir = temporary();
    for name in ["f", "g", "h"] {
        fs::write(dir.path().join(name), name).expect("write");
    }
    fs::hard_link(dir.path().join("f"), dir.path().join("f2")).expect("link");
    let options = DirOptions::default().with_shared_files_max(2);
    let tree = DirTree::with_options(dir.path(), options).expect("a directory");
    let first = open(&tree, "f").await;
    for _ in 0..1000 {
        assert!(Arc::ptr_eq(&first, &open(&tree, "f").await));
    }
    assert!(
        Arc::ptr_eq(&first, &open(&tree, "f2").await),
        "one file by two names"
    );
    let second = open(&tree, "g").await;
    // Beyond the bound files open nevertheless, and room is made of what was closed.
    let (third, fourth) = (open(&tree, "h").await, open(&tree, "h").await);
    assert!(!Arc::ptr_eq(&third, &fourth));
    drop(second);
    let (fifth, sixth) = (open(&tree, "h").await, open(&tree, "h").await);
    assert!(Arc::ptr_eq(&fifth, &sixth));
    // Edited: whoever opens it now gets the new content.
    write_later(&dir.path().join("f"), |file| {
        file.write_all(b"F").expect("write");
    });
    let edited = open(&tree, "f").await;
    assert!(!Arc::ptr_eq(&first, &edited));
    assert_eq!(edited.read_at(0, 9).await.expect("open"), "F");
}
