//! What is written is there, and nowhere else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use bytes::Bytes;
use pxe_tree::{
    Creation, DirKeys, DirOptions, DirTree, ErrorKind, Name, NodeKind, SetAttributes, SetTime,
    Stability, Timestamp, Tree, WriteTree,
};

use crate::outside::{SECRET, besieged};
use crate::{both_walls, kind_of, look, open, temporary, tree};

fn name(bytes: &str) -> &Name {
    Name::new(bytes).expect("a valid name")
}

fn mode(mode: u32) -> SetAttributes {
    let mut attributes = SetAttributes::default();
    attributes.mode = Some(mode);
    attributes
}

/// Everything below a directory: names, kinds, targets and contents.
fn seen(dir: &std::path::Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(dir).expect("list").flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let meta = entry.metadata().expect("there");
        let content = match meta.file_type() {
            kind if kind.is_dir() => seen(&path).join(","),
            kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).expect("link")),
            kind if kind.is_file() => format!("{:?}", fs::read(&path).expect("read")),
            kind => format!("{kind:?}"),
        };
        let times = (meta.mtime(), meta.mtime_nsec(), meta.mode(), meta.nlink());
        all.push(format!("{}: {times:?} {content}", path.display()));
    }
    all
}

/// Every call with every name that leads out, as directory and as name in one.
#[tokio::test]
async fn nothing_outside_the_root_is_changed() {
    for number in 0..2 {
        let (top, root) = besieged();
        let outside = top.path().join("outside");
        let before = seen(&outside);
        let [new, old] = both_walls(&root);
        let tree = if number == 0 { new } else { old };
        let root = tree.root();
        for link in ["absolute", "up", "dots", "proc"] {
            let node = look(&tree, link).await.expect("the link itself").node;
            let any = SetAttributes::default();
            let not_a_directory = [
                kind_of(
                    tree.create(node, name("new"), Creation::Unchecked, &any)
                        .await,
                ),
                kind_of(tree.make_directory(node, name("new"), &any).await),
                kind_of(tree.make_link(node, name("new"), b"x", &any).await),
                kind_of(tree.remove(node, name("f")).await),
                kind_of(tree.remove_directory(node, name("d")).await),
                kind_of(tree.rename(node, name("f"), root, name("in")).await),
                kind_of(tree.rename(root, name("f"), node, name("in")).await),
                kind_of(tree.add_name(node, node, name("new")).await),
            ];
            assert_eq!(not_a_directory, [ErrorKind::NotADirectory; 8], "{link}");
        }
        for link in ["absolute_file", "up_file", "absolute", "up"] {
            let node = look(&tree, link).await.expect("the link itself").node;
            let mut length = SetAttributes::default();
            length.len = Some(0);
            assert_eq!(
                kind_of(tree.set_attributes(node, &length).await),
                ErrorKind::NotAFile
            );
            let data = Bytes::from_static(b"overwritten");
            let written = tree.write(node, 0, data, Stability::File).await;
            assert_eq!(kind_of(written), ErrorKind::NotAFile);
            assert_eq!(kind_of(tree.commit(node).await), ErrorKind::NotAFile);
            assert_eq!(
                kind_of(tree.set_attributes(node, &mode(0)).await),
                ErrorKind::Unsupported
            );
            let mut times = SetAttributes::default();
            times.modified = Some(SetTime::To(Timestamp::from_seconds(1)));
            let set = tree.set_attributes(node, &times).await.expect("its own");
            assert_eq!(set.modified, Timestamp::from_seconds(1));
            for creation in [
                Creation::Unchecked,
                Creation::Guarded,
                Creation::Exclusive([1; 8]),
            ] {
                let created = tree.create(root, name(link), creation, &mode(0o777)).await;
                assert_eq!(kind_of(created), ErrorKind::Exists);
            }
            // One more name of the link itself.
            let other = format!("{link} too");
            let linked = tree.add_name(node, root, name(&other)).await;
            assert_eq!(linked.expect("a second name").kind, NodeKind::Link);
            let (from, to) = (name(&other), name("renamed"));
            tree.rename(root, from, root, to).await.expect("the link");
            tree.remove(root, to).await.expect("the link");
        }
        assert_eq!(seen(&outside), before);
        assert_eq!(
            fs::read_to_string(outside.join("f")).ok().as_deref(),
            Some(SECRET)
        );
    }
}

#[tokio::test]
async fn a_renamed_file_keeps_its_node_and_key() {
    let dir = temporary();
    fs::create_dir_all(dir.path().join("a/deep")).expect("create");
    fs::create_dir(dir.path().join("b")).expect("create");
    fs::write(dir.path().join("a/deep/file"), "content").expect("write");
    let tree = tree(&dir);
    let file = look(&tree, "a/deep/file").await.expect("there").node;
    let (a, b) = (look(&tree, "a").await, look(&tree, "b").await);
    let (a, b) = (a.expect("there").node, b.expect("there").node);
    let key = tree.key(file).expect("shallow");
    // The file to another directory, then that directory elsewhere.
    let deep = look(&tree, "a/deep").await.expect("there").node;
    tree.rename(deep, name("file"), b, name("moved"))
        .await
        .expect("renamed");
    assert_eq!(look(&tree, "b/moved").await.expect("there").node, file);
    assert_eq!(tree.key(file).expect("shallow"), key);
    tree.rename(tree.root(), name("b"), a, name("c"))
        .await
        .expect("renamed");
    assert_eq!(look(&tree, "a/c/moved").await.expect("there").node, file);
    assert_eq!(tree.key(file).expect("shallow"), key);
    assert_eq!(tree.attributes(file).await.expect("there").len, 7);
    assert_eq!(tree.resolve_key(&key).await.expect("known"), file);
    // A new tree finds it by its first key, too.
    let again = DirTree::new(dir.path()).expect("a directory");
    let found = again.resolve_key(&key).await.expect("found");
    assert_eq!(again.attributes(found).await.expect("there").len, 7);
    // A directory into itself.
    let into_itself = tree.rename(tree.root(), name("a"), a, name("a")).await;
    assert_eq!(kind_of(into_itself), ErrorKind::InvalidName);
}

/// All names of a file have one key, whichever is removed.
#[tokio::test]
async fn names_of_one_file_share_its_key() {
    let dir = temporary();
    fs::create_dir(dir.path().join("d")).expect("create");
    fs::write(dir.path().join("first"), "content").expect("write");
    let tree = tree(&dir);
    let root = tree.root();
    let first = look(&tree, "first").await.expect("there").node;
    let key = tree.key(first).expect("shallow");
    let d = look(&tree, "d").await.expect("there").node;
    let second = tree
        .add_name(first, d, name("second"))
        .await
        .expect("linked");
    assert_eq!(second.nlink, 2);
    assert_eq!(tree.key(second.node).expect("shallow"), key);
    let third = tree
        .add_name(second.node, root, name("third"))
        .await
        .expect("linked");
    assert_eq!(tree.key(third.node).expect("shallow"), key);
    // Renaming one name to another leaves both.
    tree.rename(root, name("third"), d, name("second"))
        .await
        .expect("nothing");
    look(&tree, "third").await.expect("still there");
    for (parent, gone) in [(root, "third"), (root, "first")] {
        tree.remove(parent, name(gone)).await.expect("removed");
        let node = tree.resolve_key(&key).await.expect("has other names");
        tree.attributes(node).await.expect("there");
    }
    tree.remove(d, name("second")).await.expect("the last one");
    assert_eq!(kind_of(tree.resolve_key(&key).await), ErrorKind::Stale);
}

#[tokio::test]
async fn a_replaced_file_is_gone() {
    let dir = temporary();
    fs::write(dir.path().join("old"), "old").expect("write");
    fs::write(dir.path().join("new"), "newer").expect("write");
    for keys in [DirKeys::Inode, DirKeys::Name] {
        fs::write(dir.path().join("new"), "newer").expect("write");
        let options = DirOptions::default().with_keys(keys);
        let tree = DirTree::with_options(dir.path(), options).expect("a directory");
        let root = tree.root();
        let old = look(&tree, "old").await.expect("there").node;
        let new = look(&tree, "new").await.expect("there").node;
        let old_blob = tree.open(old).await.expect("a file");
        let read = old_blob.read_at(0, 10).await.expect("old content");
        tree.rename(root, name("new"), root, name("old"))
            .await
            .expect("renamed");
        assert_eq!(kind_of(tree.attributes(old).await), ErrorKind::Stale);
        let found = look(&tree, "old").await.expect("there");
        assert_eq!(found.node == new, keys == DirKeys::Inode, "{keys:?}");
        assert_eq!(found.len, 5);
        assert_eq!(old_blob.read_at(0, 10).await.expect("pinned"), read);
    }
}

/// A file is never sent for another one's bytes: readers see each write.
#[tokio::test]
async fn what_is_written_is_read() {
    let dir = temporary();
    let tree = tree(&dir);
    let root = tree.root();
    let made = tree
        .create(root, name("f"), Creation::Guarded, &mode(0o644))
        .await;
    let node = made.expect("created").node;
    let mut expected = Vec::new();
    for (round, stability) in [Stability::Unstable, Stability::Data, Stability::File]
        .into_iter()
        .cycle()
        .take(60)
        .enumerate()
    {
        let offset = (round * 37) % 200;
        let data = Bytes::from(vec![round as u8; 50]);
        let end = offset + data.len();
        expected.resize(expected.len().max(end), 0);
        expected[offset..end].copy_from_slice(&data);
        let after = tree
            .write(node, offset as u64, data, stability)
            .await
            .expect("written");
        assert_eq!(after.len, expected.len() as u64);
        let blob = open(&tree, "f").await;
        assert_eq!(blob.read_at(0, 1000).await.expect("fresh"), expected);
        if round % 7 == 0 {
            tree.commit(node).await.expect("committed");
        }
    }
    assert_eq!(tree.writes_lost(), 0);
    let far = tree
        .write(node, u64::MAX, Bytes::from_static(b"x"), Stability::File)
        .await;
    assert_eq!(kind_of(far), ErrorKind::TooLarge);
}

/// More files than are kept open with unstable writes.
#[tokio::test]
async fn many_files_are_written_at_once() {
    let dir = temporary();
    let tree = tree(&dir);
    let mut nodes = Vec::new();
    for number in 0..300 {
        let file = format!("f{number}");
        let made = tree
            .create(tree.root(), name(&file), Creation::Guarded, &mode(0o444))
            .await;
        let node = made.expect("created").node;
        // Whatever its mode: whoever made it may write to it.
        let data = Bytes::from(file.clone());
        tree.write(node, 0, data, Stability::Unstable)
            .await
            .expect("written");
        nodes.push((file, node));
    }
    for (file, node) in nodes {
        assert_eq!(
            fs::read_to_string(dir.path().join(&file)).expect("read"),
            file
        );
        tree.commit(node).await.expect("committed");
    }
    assert_eq!(tree.writes_lost(), 0);
}

/// `pipe` and `socket` are neither opened nor do they hold anybody up.
#[tokio::test]
async fn what_is_no_file_is_not_opened() {
    let dir = temporary();
    let tree = tree(&dir);
    let root = tree.root();
    for (special, kind) in [("pipe", NodeKind::Fifo), ("socket", NodeKind::Socket)] {
        let made = tree
            .make_special(root, name(special), kind, (0, 0), &mode(0o640))
            .await;
        let made = made.expect("made");
        assert_eq!((made.kind, made.mode), (kind, 0o640));
        let data = Bytes::from_static(b"x");
        let written = tree.write(made.node, 0, data, Stability::File).await;
        assert_eq!(kind_of(written), ErrorKind::NotAFile);
        let set = tree
            .set_attributes(made.node, &mode(0o4711))
            .await
            .expect("set");
        assert_eq!(set.mode, 0o4711);
        tree.remove(root, name(special)).await.expect("removed");
    }
    let (kind, any) = (NodeKind::Directory, mode(0));
    let directory = tree.make_special(root, name("d"), kind, (0, 0), &any).await;
    assert_eq!(kind_of(directory), ErrorKind::Unsupported);
}

/// A directory that may be written to, but not listed, cannot be flushed by itself.
#[tokio::test]
async fn a_directory_that_may_not_be_listed_takes_names() {
    let dir = temporary();
    let blind = dir.path().join("blind");
    fs::create_dir(&blind).expect("create");
    let tree = tree(&dir);
    let above = look(&tree, "blind").await.expect("there").node;
    fs::set_permissions(&blind, fs::Permissions::from_mode(0o300)).expect("chmod");
    let made = tree
        .create(above, name("f"), Creation::Guarded, &mode(0o600))
        .await;
    made.expect("created");
    tree.remove(above, name("f")).await.expect("removed");
    fs::set_permissions(&blind, fs::Permissions::from_mode(0o700)).expect("chmod");
    assert_eq!(seen(&blind), Vec::<String>::new());
}

/// A file that is open because it has unstable writes is the tree's only as long as it is in it.
#[tokio::test]
async fn what_was_moved_out_is_not_written_to() {
    let (outside, top) = (temporary(), temporary());
    let tree = tree(&top);
    let any = SetAttributes::default();
    let made = tree.create(tree.root(), name("f"), Creation::Guarded, &any);
    let node = made.await.expect("made").node;
    let content = Bytes::from_static(b"content");
    let written = tree.write(node, 0, content.clone(), Stability::Unstable);
    written.await.expect("written");
    let moved = outside.path().join("f");
    fs::rename(top.path().join("f"), &moved).expect("rename");
    let mut cut = SetAttributes::default();
    cut.len = Some(0);
    let refused = [
        kind_of(tree.write(node, 2, content, Stability::Unstable).await),
        kind_of(tree.set_attributes(node, &cut).await),
        kind_of(tree.commit(node).await),
    ];
    assert_eq!(refused, [ErrorKind::Stale; 3]);
    assert_eq!(fs::read(&moved).expect("there"), b"content");
}
