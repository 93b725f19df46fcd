//! A directory that changes, lies and attacks while it is served.

mod nobody;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use pxe_tree::{
    Attributes, Blob, Cookie, DirKeys, DirOptions, DirTree, ErrorKind, Name, NodeKey, Tree,
    TreePath, resolve,
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn path(text: impl AsRef<[u8]>) -> TreePath {
    TreePath::parse(text.as_ref()).expect("a valid path")
}

fn tree(dir: &TempDir) -> DirTree {
    DirTree::new(dir.path()).expect("a directory")
}

/// The same directory behind each of the two walls.
fn both_walls(dir: &Path) -> [DirTree; 2] {
    [
        DirOptions::default(),
        DirOptions::default().without_openat2(),
    ]
    .map(|options| DirTree::with_options(dir, options).expect("a directory"))
}

/// Walks by names alone.
async fn look(tree: &DirTree, names: impl AsRef<[u8]>) -> Result<Attributes, ErrorKind> {
    let mut here = tree.attributes(tree.root()).await.map_err(|e| e.kind())?;
    for name in path(names).names() {
        here = tree.lookup(here.node, name).await.map_err(|e| e.kind())?;
    }
    Ok(here)
}

async fn open(tree: &DirTree, names: impl AsRef<[u8]>) -> Arc<dyn Blob> {
    let found = look(tree, names).await.expect("there");
    tree.open(found.node).await.expect("a file")
}

fn kind_of<T: std::fmt::Debug>(done: pxe_tree::Result<T>) -> ErrorKind {
    done.expect_err("a refusal").kind()
}

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

// What a blob promises.

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

// Nodes whose files come and go.

#[tokio::test]
async fn what_vanishes_between_two_calls_is_stale() {
    let dir = temporary();
    fs::create_dir(dir.path().join("d")).expect("create");
    fs::write(dir.path().join("d/f"), "x").expect("write");
    symlink("f", dir.path().join("d/l")).expect("link");
    for tree in both_walls(dir.path()) {
        let (d, f) = (look(&tree, "d").await, look(&tree, "d/f").await);
        let l = look(&tree, "d/l").await.expect("there").node;
        let (d, f) = (d.expect("there").node, f.expect("there").node);
        let away = dir.path().join("away");
        fs::rename(dir.path().join("d"), &away).expect("rename");
        assert_eq!(kind_of(tree.attributes(f).await), ErrorKind::Stale);
        assert_eq!(kind_of(tree.open(f).await), ErrorKind::Stale);
        assert_eq!(kind_of(tree.read_link(l).await), ErrorKind::Stale);
        assert_eq!(
            kind_of(tree.read_dir(d, Cookie::START, 9).await),
            ErrorKind::Stale
        );
        let name = Name::new(b"f").expect("valid");
        assert_eq!(kind_of(tree.lookup(d, name).await), ErrorKind::Stale);
        // Another directory of that name is another node, and so is what is in it.
        fs::create_dir(dir.path().join("d")).expect("create");
        fs::write(dir.path().join("d/f"), "other").expect("write");
        assert_eq!(kind_of(tree.lookup(d, name).await), ErrorKind::Stale);
        assert_eq!(kind_of(tree.open(f).await), ErrorKind::Stale);
        assert_ne!(look(&tree, "d").await.expect("there").node, d);
        fs::remove_dir_all(dir.path().join("d")).expect("remove");
        // A link in its place leads nowhere either, even to the very directory.
        symlink("away", dir.path().join("d")).expect("link");
        assert_eq!(kind_of(tree.attributes(f).await), ErrorKind::Stale);
        assert_eq!(kind_of(tree.lookup(d, name).await), ErrorKind::Stale);
        fs::remove_file(dir.path().join("d")).expect("remove");
        fs::rename(&away, dir.path().join("d")).expect("rename");
        assert_eq!(tree.attributes(f).await.expect("back again").node, f);
    }
}

#[tokio::test]
async fn nodes_are_forgotten_within_bounds_and_found_again_by_key() {
    let dir = temporary();
    fs::create_dir(dir.path().join("d")).expect("create");
    for number in 0..200 {
        fs::write(dir.path().join(format!("d/{number}")), "x").expect("write");
    }
    let options = DirOptions::default().with_nodes_max(20);
    let tree = DirTree::with_options(dir.path(), options).expect("a directory");
    let mut seen = Vec::new();
    for number in 0..200 {
        let found = look(&tree, format!("d/{number}")).await.expect("there");
        seen.push((
            found.node,
            found.fileid,
            tree.key(found.node).expect("known"),
        ));
    }
    let mut forgotten = 0;
    for (node, fileid, key) in seen {
        match tree.attributes(node).await {
            Ok(found) => assert_eq!(found.fileid, fileid),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Stale);
                forgotten += 1;
            }
        }
        let again = tree.resolve_key(&key).await.expect("there");
        assert_eq!(tree.attributes(again).await.expect("there").fileid, fileid);
    }
    assert!(forgotten >= 180, "{forgotten}");
    look(&tree, "").await.expect("the root is never forgotten");
}

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
            fs::remove_file(&place).expect("remove");
            match make_directory {
                true => fs::create_dir(&place).expect("create"),
                false => fs::write(&place, "other").expect("write"),
            }
            assert_eq!(kind_of(old.attributes(node).await), ErrorKind::Stale);
            expect_key(&dir, &old, &key, None).await;
            match make_directory {
                true => fs::remove_dir(&place).expect("remove"),
                false => fs::remove_file(&place).expect("remove"),
            }
        }
    }
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
    assert_eq!(
        kind_of(by_inode.resolve_key(&key).await),
        ErrorKind::BadCookie
    );
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

// Large and deep.

#[tokio::test]
async fn a_directory_of_100_000_entries() {
    const COUNT: usize = 100_000;
    let dir = temporary();
    for number in 0..COUNT {
        symlink("x", dir.path().join(format!("entry{number}"))).expect("link");
    }
    let tree = tree(&dir);
    let (mut names, mut cookies) = (HashSet::new(), HashSet::new());
    let mut after = Cookie::START;
    let mut pages = 0;
    loop {
        let page = tree
            .read_dir(tree.root(), after, 500)
            .await
            .expect("a directory");
        pages += 1;
        assert!(page.entries.len() <= 500);
        for entry in &page.entries {
            assert!(names.insert(entry.name.clone()), "{} twice", entry.name);
            assert!(cookies.insert(entry.cookie), "{:?} twice", entry.cookie);
        }
        match page.entries.last() {
            Some(last) if !page.end => after = last.cookie,
            _ => break,
        }
    }
    assert_eq!(names.len(), COUNT);
    assert!(pages <= 2 * COUNT / 500, "{pages} pages");
    // A key among so many is found again.
    let found = look(&tree, "entry77777").await.expect("there");
    let key = tree.key(found.node).expect("shallow");
    let again = DirTree::new(dir.path()).expect("a directory");
    let node = again.resolve_key(&key).await.expect("there");
    assert_eq!(
        again.attributes(node).await.expect("there").fileid,
        found.fileid
    );
}

#[tokio::test]
async fn what_stays_is_listed_once_while_others_come_and_go() {
    let dir = temporary();
    let make = |name: String| fs::write(dir.path().join(name), "").expect("write");
    (0..500).for_each(|number| make(format!("stays{number}")));
    (0..500).for_each(|number| make(format!("goes{number}")));
    let tree = tree(&dir);
    let mut seen: HashMap<String, usize> = HashMap::new();
    let (mut after, mut page_number) = (Cookie::START, 0);
    loop {
        let page = tree
            .read_dir(tree.root(), after, 50)
            .await
            .expect("a directory");
        for entry in &page.entries {
            *seen.entry(entry.name.to_string()).or_default() += 1;
        }
        for number in page_number * 20..(page_number + 1) * 20 {
            let _ = fs::remove_file(dir.path().join(format!("goes{number}")));
            make(format!("comes{number}"));
        }
        page_number += 1;
        match page.entries.last() {
            Some(last) if !page.end => after = last.cookie,
            _ => break,
        }
    }
    for number in 0..500 {
        assert_eq!(
            seen.get(&format!("stays{number}")),
            Some(&1),
            "stays{number}"
        );
    }
}

/// The kernel takes no path of more than 4,095 bytes at once.
#[tokio::test]
async fn deeper_than_a_path_can_say() {
    let dir = temporary();
    let name = "n".repeat(200);
    let mut here = fs::File::open(dir.path()).expect("open");
    for _ in 0..50 {
        rustix::fs::mkdirat(&here, &name, rustix::fs::Mode::RWXU).expect("create");
        let flags = rustix::fs::OFlags::DIRECTORY;
        let next = rustix::fs::openat(&here, &name, flags, rustix::fs::Mode::empty());
        here = next.expect("open").into();
    }
    for tree in both_walls(dir.path()) {
        let mut node = tree.root();
        for _ in 0..50 {
            let name = Name::new(&name).expect("valid");
            node = tree.lookup(node, name).await.expect("there").node;
            assert_eq!(tree.attributes(node).await.expect("there").node, node);
        }
        let page = tree
            .read_dir(node, Cookie::START, 10)
            .await
            .expect("a directory");
        assert!(page.end && page.entries.is_empty());
    }
}

// Nothing from outside.

const SECRET: &str = "from outside the root";

/// A root beside a directory full of secrets, and links that lead there in every way.
fn besieged() -> (TempDir, std::path::PathBuf) {
    let top = temporary();
    let (root, outside) = (top.path().join("root"), top.path().join("outside"));
    for dir in [&root, &outside] {
        fs::create_dir_all(dir.join("d")).expect("create");
        let content = if *dir == outside { SECRET } else { "inside" };
        fs::write(dir.join("f"), content).expect("write");
        fs::write(dir.join("d/f"), content).expect("write");
    }
    fs::write(outside.join("only"), SECRET).expect("write");
    for (link, target) in [
        ("absolute", outside.clone()),
        ("absolute_file", outside.join("f")),
        ("up", "../outside".into()),
        ("up_file", "../outside/f".into()),
        ("d/far_up", "../../../../../../../../..".into()),
        ("dots", "..".into()),
        ("d/dots", "../..".into()),
        ("proc", "/proc/self/root".into()),
        ("cwd", "/proc/self/cwd/../outside".into()),
    ] {
        symlink(target, root.join(link)).expect("link");
    }
    (top, root)
}

#[tokio::test]
async fn links_that_leave_lead_nowhere() {
    let (top, root) = besieged();
    let outside = top.path().join("outside");
    let outside = outside.to_str().expect("text");
    for tree in both_walls(&root) {
        for (asked, expected) in [
            ("absolute/only", Err(ErrorKind::NotFound)),
            ("absolute_file", Err(ErrorKind::NotFound)),
            ("up/only", Err(ErrorKind::NotFound)),
            ("up_file", Err(ErrorKind::NotFound)),
            // Their `/proc` is the root's: the first of the two links.
            ("proc/etc", Err(ErrorKind::LinkLoop)),
            ("cwd/only", Err(ErrorKind::LinkLoop)),
            (outside, Err(ErrorKind::NotFound)),
            ("../outside/only", Err(ErrorKind::NotFound)),
            // `..` stops at the root.
            ("dots/f", Ok("/f")),
            ("d/dots/f", Ok("/f")),
            ("d/far_up/d/f", Ok("/d/f")),
        ] {
            let found = resolve(&tree, &path(asked)).await;
            let found = found.map(|found| found.path.to_string());
            let found = found.map_err(|error| error.kind());
            assert_eq!(found, expected.map(str::to_owned), "{asked}");
        }
        // Whoever does not resolve, but goes on below a link, gets nowhere.
        for link in ["absolute", "up", "dots", "proc"] {
            let node = look(&tree, link).await.expect("the link itself").node;
            let name = Name::new(b"f").expect("valid");
            assert_eq!(
                kind_of(tree.lookup(node, name).await),
                ErrorKind::NotADirectory
            );
            assert_eq!(kind_of(tree.open(node).await), ErrorKind::NotAFile);
        }
    }
}

/// Somebody exchanges a directory and a link to the outside as fast as they can, while we walk
/// through that name, by resolver and by nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamer_that_races_with_us_wins_nothing() {
    let (top, root) = besieged();
    for tree in both_walls(&root) {
        let stop = Arc::new(AtomicBool::new(false));
        let renamer = std::thread::spawn({
            let (stop, root) = (Arc::clone(&stop), root.clone());
            move || {
                let mut exchanges = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let exchange = |a: &str, b: &str| {
                        let (a, b) = (root.join(a), root.join(b));
                        renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).expect("exchange");
                    };
                    exchange("d", "absolute");
                    exchange("f", "absolute_file");
                    exchanges += 1;
                }
                exchanges
            }
        });
        let (mut good, mut refused) = (0, 0);
        for round in 0..4000 {
            let asked = ["d/f", "f", "absolute/f", "absolute_file"][round % 4];
            let found = resolve(&tree, &path(asked)).await;
            let opened = match found {
                Ok(found) => tree.open(found.attributes.node).await,
                Err(error) => Err(error),
            };
            let read = match opened {
                Ok(blob) => blob.read_at(0, 100).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(content) => {
                    assert_eq!(content, "inside", "{asked}");
                    good += 1;
                }
                Err(_) => refused += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
        let exchanges = renamer.join().expect("the renamer");
        assert!(
            good > 0 && refused > 0,
            "no race: {good} good, {refused} refused, {exchanges}"
        );
    }
    drop(top);
}

// Permissions.

#[tokio::test]
async fn what_we_may_not_read_is_said_so() {
    let dir = temporary();
    let set = |place: &Path, mode| {
        fs::set_permissions(place, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    for name in ["closed", "search_only"] {
        fs::create_dir(dir.path().join(name)).expect("create");
        fs::write(dir.path().join(name).join("f"), "x").expect("write");
    }
    fs::write(dir.path().join("unreadable"), "x").expect("write");
    set(&dir.path().join("closed"), 0o000);
    set(&dir.path().join("search_only"), 0o311);
    set(&dir.path().join("unreadable"), 0o000);
    // Root may read all of it; the same test runs as nobody, too.
    let root = nobody::acting_user() == 0;
    let denied = |done: Result<(), ErrorKind>, what: &str| {
        let expected = if root {
            Ok(())
        } else {
            Err(ErrorKind::PermissionDenied)
        };
        assert_eq!(done, expected, "{what}");
    };
    for tree in both_walls(dir.path()) {
        denied(
            look(&tree, "closed/f").await.map(drop),
            "a name in a closed directory",
        );
        let unreadable = look(&tree, "unreadable")
            .await
            .expect("its name is open")
            .node;
        denied(
            tree.open(unreadable).await.map(drop).map_err(|e| e.kind()),
            "open",
        );
        let found = look(&tree, "search_only/f")
            .await
            .expect("its name is known");
        tree.open(found.node).await.expect("readable");
        let listed = look(&tree, "search_only").await.expect("there").node;
        let listed = tree.read_dir(listed, Cookie::START, 10).await;
        denied(listed.map(drop).map_err(|e| e.kind()), "read_dir");
    }
    set(&dir.path().join("closed"), 0o700);
    set(&dir.path().join("search_only"), 0o700);
}

#[tokio::test]
async fn a_root_that_is_none_is_named() {
    let dir = temporary();
    fs::write(dir.path().join("file"), "").expect("write");
    for (name, kind) in [
        ("file", ErrorKind::NotADirectory),
        ("missing", ErrorKind::NotFound),
    ] {
        let place = dir.path().join(name);
        let error = DirTree::new(&place).expect_err("no directory");
        assert_eq!(error.kind(), kind);
        let said = error.to_string();
        assert!(said.starts_with(place.to_str().expect("text")), "{said}");
    }
    symlink(dir.path(), dir.path().join("link")).expect("link");
    let tree = DirTree::new(dir.path().join("link")).expect("a link to a directory");
    look(&tree, "file").await.expect("there");
}

/// Whoever has no runtime waits themselves.
#[test]
fn without_a_runtime() {
    let dir = temporary();
    fs::write(dir.path().join("f"), "content").expect("write");
    for tree in both_walls(dir.path()) {
        let work = async {
            let names: BTreeSet<String> = tree
                .read_dir(tree.root(), Cookie::START, 10)
                .await
                .expect("a directory")
                .entries
                .iter()
                .map(|entry| entry.name.to_string())
                .collect();
            assert_eq!(names, BTreeSet::from(["f".to_owned()]));
            open(&tree, "f").await.read_at(0, 100).await.expect("open")
        };
        let mut work = std::pin::pin!(work);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match work.as_mut().poll(&mut context) {
            std::task::Poll::Ready(content) => assert_eq!(content, "content"),
            std::task::Poll::Pending => panic!("nothing would wake it"),
        }
    }
}

/// Times before 1970 and far ahead are times.
#[tokio::test]
async fn odd_times() {
    let dir = temporary();
    let place = dir.path().join("f");
    fs::write(&place, "x").expect("write");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&place)
        .expect("open");
    let day = Duration::from_secs(86_400);
    for time in [
        SystemTime::UNIX_EPOCH - day,
        SystemTime::UNIX_EPOCH + 36_500 * day,
    ] {
        file.set_modified(time).expect("utimes");
        let tree = tree(&dir);
        let found = look(&tree, "f").await.expect("there");
        assert_eq!(
            found.modified.seconds,
            fs::metadata(&place).expect("there").mtime()
        );
        open(&tree, "f").await.validate().expect("unchanged");
    }
}

#[test]
fn all_of_it_as_nobody() {
    nobody::run_again(20);
}
