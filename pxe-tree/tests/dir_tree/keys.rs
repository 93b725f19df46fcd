//! Names of nodes beyond the life of a tree.

use std::fs;
use std::path::Path;

use pxe_tree::{DirKeys, DirOptions, DirTree, ErrorKind, NodeKey, Tree};
use tempfile::TempDir;

use crate::{kind_of, look, temporary, tree};

async fn key(dir: &TempDir, names: &str) -> (NodeKey, u64) {
    let tree = tree(dir);
    let found = look(&tree, names).await.expect("there");
    (tree.key(found.node).expect("shallow"), found.fileid)
}

/// In the tree that made the key, and in one built after it.
async fn expect_key(dir: &TempDir, old: &DirTree, key: &NodeKey, expected: Option<u64>) {
    let new = tree(dir);
    for tree in [old, &new] {
        match (tree.resolve_key(key).await, expected) {
            (Ok(node), Some(fileid)) => {
                assert_eq!(tree.attributes(node).await.expect("there").fileid, fileid);
            }
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::Stale),
            (done, expected) => panic!("{done:?} instead of {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_renamed_file_keeps_its_key() {
    let dir = temporary();
    fs::create_dir_all(dir.path().join("a/b")).expect("create");
    fs::create_dir(dir.path().join("c")).expect("create");
    fs::write(dir.path().join("a/b/f"), "x").expect("write");
    let (key, fileid) = key(&dir, "a/b/f").await;
    let tree = tree(&dir);
    for (from, to) in [
        ("a/b/f", "a/b/g"),   // within its directory
        ("a/b", "a/renamed"), // with its directory
        ("a/renamed/g", "c/h"),
        ("c/h", "at_the_top"),
        ("at_the_top", "a/renamed/deep"),
    ] {
        fs::rename(dir.path().join(from), dir.path().join(to)).expect("rename");
        expect_key(&dir, &tree, &key, Some(fileid)).await;
    }
    fs::rename(dir.path().join("a/renamed/deep"), dir.path().join("x")).expect("rename");
    fs::remove_file(dir.path().join("x")).expect("remove");
    expect_key(&dir, &tree, &key, None).await;
}

/// Makes something until its birth is another one: the file system's clock ticks every 1 to 10 ms.
fn make_later(place: &Path, make: impl Fn(), remove: impl Fn()) {
    let born = || fs::metadata(place).and_then(|data| data.created());
    let before = born().expect("a file system that keeps births");
    remove();
    for _ in 0..10_000 {
        make();
        if born().expect("just made") != before {
            return;
        }
        remove();
    }
    panic!("the file system's clock stands still");
}

/// The file system gives the inode to the next file at once.
#[tokio::test]
async fn a_deleted_file_made_again_is_another_one() {
    let dir = temporary();
    let place = dir.path().join("f");
    for make_directory in [false, true] {
        for _ in 0..50 {
            fs::write(&place, "first").expect("write");
            let (key, _) = key(&dir, "f").await;
            let old = tree(&dir);
            let node = look(&old, "f").await.expect("there").node;
            let make = || match make_directory {
                true => fs::create_dir(&place).expect("create"),
                false => fs::write(&place, "other").expect("write"),
            };
            let remove = || match place.is_dir() {
                true => fs::remove_dir(&place).expect("remove"),
                false => fs::remove_file(&place).expect("remove"),
            };
            make_later(&place, make, remove);
            assert_eq!(kind_of(old.attributes(node).await), ErrorKind::Stale);
            expect_key(&dir, &old, &key, None).await;
            remove();
        }
    }
}

/// A descriptor would keep the space of a deleted file, and its file system mounted.
#[tokio::test]
async fn a_dropped_tree_holds_nothing() {
    let dir = temporary();
    fs::create_dir(dir.path().join("d")).expect("create");
    fs::write(dir.path().join("d/f"), "x").expect("write");
    let (key, _) = key(&dir, "d/f").await;
    let tree = tree(&dir);
    tree.resolve_key(&key).await.expect("there");
    drop(tree);
    let held: Vec<_> = fs::read_dir("/proc/self/fd")
        .expect("proc")
        .filter_map(|fd| fs::read_link(fd.expect("listed").path()).ok())
        .filter(|target| target.starts_with(dir.path()))
        .collect();
    assert!(held.is_empty(), "{held:?}");
}

#[tokio::test]
async fn a_key_by_name_means_the_path() {
    let dir = temporary();
    fs::create_dir(dir.path().join("d")).expect("create");
    fs::write(dir.path().join("d/f"), "first").expect("write");
    let options = DirOptions::default().with_keys(DirKeys::Name);
    let build = |dir: &Path| DirTree::with_options(dir, options).expect("a directory");
    let one = build(dir.path());
    let found = look(&one, "d/f").await.expect("there");
    let key = one.key(found.node).expect("shallow");
    // A copy on another server, and the same path after a new file came.
    let copy = temporary();
    fs::create_dir(copy.path().join("d")).expect("create");
    fs::write(copy.path().join("d/f"), "copied").expect("write");
    fs::remove_file(dir.path().join("d/f")).expect("remove");
    fs::write(dir.path().join("d/f"), "second").expect("write");
    for (dir, content) in [(&dir, "second"), (&copy, "copied")] {
        let tree = build(dir.path());
        let node = tree.resolve_key(&key).await.expect("there");
        let blob = tree.open(node).await.expect("a file");
        assert_eq!(blob.read_at(0, 9).await.expect("open"), content);
    }
    let by_inode = tree(&dir);
    assert_eq!(kind_of(by_inode.resolve_key(&key).await), ErrorKind::BadKey);
}

#[tokio::test]
async fn too_deep_for_a_key_is_said() {
    let dir = temporary();
    let deep = "d/".repeat(30);
    fs::create_dir_all(dir.path().join(&deep)).expect("create");
    let tree = tree(&dir);
    let found = look(&tree, &deep[..2 * 24]).await.expect("there");
    let key = tree.key(found.node).expect("just fits");
    assert_eq!(tree.resolve_key(&key).await.expect("there"), found.node);
    let found = look(&tree, &deep[..2 * 25]).await.expect("there");
    assert_eq!(kind_of(tree.key(found.node)), ErrorKind::Unsupported);
}

/// `/proc` is another file system than `/` on every Linux; the listing of `/` shows the inode
/// of the directory beneath it.
#[tokio::test]
async fn what_is_mounted_below_belongs_to_the_tree() {
    let build = || DirTree::new("/").expect("a directory");
    let one = build();
    let (root, proc) = (
        look(&one, "").await.expect("there"),
        look(&one, "proc/sys").await,
    );
    let proc = proc.expect("there");
    assert_ne!(root.fsid, proc.fsid);
    for names in ["proc", "proc/sys", "proc/fs"] {
        let found = look(&one, names).await.expect("there");
        let key = one.key(found.node).expect("shallow");
        let two = build();
        let again = two.resolve_key(&key).await.expect("there");
        let again = two.attributes(again).await.expect("there");
        assert_eq!(
            (again.fsid, again.fileid),
            (found.fsid, found.fileid),
            "{names}"
        );
    }
}
