//! Trees that can be written to.

use std::sync::Arc;

use bytes::Bytes;

use super::{attributes, refused, settled};
use crate::{
    Attributes, Creation, ErrorKind, Name, NodeId, NodeKind, Result, SetAttributes, SetTime,
    Stability, Timestamp, TreePath, WriteTree,
};

/// Runs every check of what [`WriteTree`] says.
///
/// `build` makes a tree whose root is empty and may be written to. When it is called again, after
/// the first tree was dropped, it makes one of what that one left behind.
///
/// # Panics
/// If the tree does not do what [`WriteTree`] says.
pub async fn check_writable(build: impl AsyncFn() -> Arc<dyn WriteTree>) {
    let key = {
        let tree = build().await;
        let root = tree.root();
        check_creation(&*tree, root).await;
        check_content(&*tree, root).await;
        check_settings(&*tree, root).await;
        check_kinds(&*tree, root).await;
        check_links(&*tree, root).await;
        check_moves(&*tree, root).await;
        check_refusals(&*tree, root).await;
        let kept = look(&*tree, root, "moved").await;
        tree.key(kept.node).expect("a key")
    };
    // What was done is there, and nothing else.
    let tree = build().await;
    let node = tree.resolve_key(&key).await;
    let node = node.unwrap_or_else(|error| panic!("a key after a restart: {error}"));
    let kept = attributes(&*tree, node, &path("moved")).await;
    assert_eq!(
        (kept.kind, kept.len),
        (NodeKind::File, 5),
        "after a restart"
    );
    tree.remove(tree.root(), name("moved"))
        .await
        .expect("remove");
    let exclusive = Creation::Exclusive([7; 8]);
    let made = make(&*tree, tree.root(), "exclusive", exclusive).await;
    made.expect("the verifier outlives the tree");
    tree.remove(tree.root(), name("exclusive"))
        .await
        .expect("remove");
    let page = tree.read_dir(tree.root(), crate::Cookie::START, 100).await;
    let page = page.expect("a listing");
    assert!(page.entries.is_empty() && page.end, "left behind: {page:?}");
}

fn name(bytes: &str) -> &Name {
    Name::new(bytes).expect("a valid name")
}

fn path(bytes: &str) -> TreePath {
    TreePath::parse(bytes).expect("a valid path")
}

fn mode(mode: u32) -> SetAttributes {
    SetAttributes {
        mode: Some(mode),
        ..SetAttributes::default()
    }
}

async fn look(tree: &dyn WriteTree, dir: NodeId, what: &str) -> Attributes {
    match tree.lookup(dir, name(what)).await {
        Ok(found) => found,
        Err(error) => panic!("{what}: lookup: {error}"),
    }
}

async fn make(
    tree: &dyn WriteTree,
    dir: NodeId,
    what: &str,
    creation: Creation,
) -> Result<Attributes> {
    tree.create(dir, name(what), creation, &mode(0o644)).await
}

/// A file that is removed again by the check that made it.
async fn file(tree: &dyn WriteTree, dir: NodeId, what: &str, content: &'static str) -> NodeId {
    let made = make(tree, dir, what, Creation::Guarded).await;
    let node = made
        .unwrap_or_else(|error| panic!("{what}: create: {error}"))
        .node;
    let content = Bytes::from_static(content.as_bytes());
    let written = tree.write(node, 0, content, Stability::File).await;
    written.unwrap_or_else(|error| panic!("{what}: write: {error}"));
    node
}

async fn read(tree: &dyn WriteTree, node: NodeId) -> Bytes {
    let blob = tree.open(node).await.expect("open");
    blob.read_at(0, 1 << 20).await.expect("read")
}

async fn check_creation(tree: &dyn WriteTree, root: NodeId) {
    let made = make(tree, root, "new", Creation::Guarded)
        .await
        .expect("create");
    assert_eq!(
        (made.kind, made.len, made.mode),
        (NodeKind::File, 0, 0o644),
        "as made"
    );
    let found = look(tree, root, "new").await;
    assert_eq!(settled(&found), settled(&made), "create and lookup");
    for creation in [Creation::Guarded, Creation::Exclusive([1; 8])] {
        let again = make(tree, root, "new", creation).await;
        refused(again, ErrorKind::Exists, &path("new"), "create");
    }
    tree.write(
        made.node,
        0,
        Bytes::from_static(b"content"),
        Stability::Data,
    )
    .await
    .expect("write");
    let found = make(tree, root, "new", Creation::Unchecked)
        .await
        .expect("found");
    assert_eq!(
        (found.node, found.len),
        (made.node, 7),
        "unchecked leaves the content"
    );
    let cut = SetAttributes {
        len: Some(3),
        ..mode(0o600)
    };
    let found = tree
        .create(root, name("new"), Creation::Unchecked, &cut)
        .await
        .expect("found");
    assert_eq!(
        (found.len, found.mode),
        (3, 0o644),
        "unchecked sets the length alone"
    );
    tree.remove(root, name("new")).await.expect("remove");
    refused(
        tree.attributes(made.node).await,
        ErrorKind::Stale,
        &path("new"),
        "removed",
    );
    // The same verifier twice: a reply was lost.
    let exclusive = Creation::Exclusive([7; 8]);
    let first = make(tree, root, "exclusive", exclusive)
        .await
        .expect("create");
    let second = make(tree, root, "exclusive", exclusive)
        .await
        .expect("the same");
    assert_eq!(first.node, second.node, "exclusive, twice");
    let other = make(tree, root, "exclusive", Creation::Exclusive([8; 8])).await;
    refused(
        other,
        ErrorKind::Exists,
        &path("exclusive"),
        "another verifier",
    );
}

async fn check_content(tree: &dyn WriteTree, root: NodeId) {
    let node = file(tree, root, "content", "").await;
    let mut expected = Vec::new();
    let stabilities = [Stability::Unstable, Stability::Data, Stability::File];
    for (round, stability) in (0_u8..30).zip(stabilities.into_iter().cycle()) {
        let offset = usize::from(round) * 37 % 200;
        let data = vec![round; 20];
        expected.resize(expected.len().max(offset + data.len()), 0);
        expected[offset..offset + data.len()].copy_from_slice(&data);
        let after = tree
            .write(node, offset as u64, data.into(), stability)
            .await
            .expect("write");
        assert_eq!(after.len, expected.len() as u64, "the length after a write");
        assert_eq!(
            read(tree, node).await,
            expected,
            "what was written, at once"
        );
    }
    let before = attributes(tree, node, &path("content")).await;
    let committed = tree.commit(node).await.expect("commit");
    assert_eq!(
        settled(&committed),
        settled(&before),
        "commit changes nothing"
    );
    let length = |len| SetAttributes {
        len: Some(len),
        ..SetAttributes::default()
    };
    for len in [300, 10, 0, 5] {
        expected.resize(len, 0);
        let after = tree
            .set_attributes(node, &length(len as u64))
            .await
            .expect("set");
        assert_eq!(after.len, len as u64, "the length that was set");
        assert_eq!(read(tree, node).await, expected, "what is left of it");
    }
    let far = Bytes::from_static(b"x");
    let far = tree.write(node, u64::MAX, far, Stability::File).await;
    refused(far, ErrorKind::TooLarge, &path("content"), "write far away");
    let far = tree.set_attributes(node, &length(u64::MAX)).await;
    refused(
        far,
        ErrorKind::TooLarge,
        &path("content"),
        "a length beyond all",
    );
    assert_eq!(read(tree, node).await, expected, "after refusals");
    tree.remove(root, name("content")).await.expect("remove");
}

async fn check_settings(tree: &dyn WriteTree, root: NodeId) {
    let node = file(tree, root, "settings", "x").await;
    let before = attributes(tree, node, &path("settings")).await;
    let time = |seconds, nanos| Timestamp { seconds, nanos };
    let wanted = SetAttributes {
        mode: Some(0o640),
        uid: Some(before.uid),
        gid: Some(before.gid),
        accessed: Some(SetTime::To(time(1000, 1))),
        modified: Some(SetTime::To(time(2000, 999_999_999))),
        len: None,
    };
    let after = tree.set_attributes(node, &wanted).await.expect("set");
    assert_eq!((after.mode, after.len), (0o640, 1), "as set");
    assert_eq!((after.uid, after.gid), (before.uid, before.gid), "as set");
    assert_eq!(after.accessed.seconds, 1000, "as set");
    assert_eq!(after.modified.seconds, 2000, "as set");
    assert_ne!(after.change, before.change, "the change stamp");
    let now = SetAttributes {
        modified: Some(SetTime::Now),
        ..SetAttributes::default()
    };
    let after = tree.set_attributes(node, &now).await.expect("set");
    assert!(after.modified.seconds > 2000, "now");
    assert_eq!(after.accessed.seconds, 1000, "left alone");
    let nothing = SetAttributes::default();
    let same = tree.set_attributes(node, &nothing).await.expect("nothing");
    assert_eq!((same.mode, same.len), (0o640, 1), "nothing wanted");
    tree.remove(root, name("settings")).await.expect("remove");
}

async fn check_kinds(tree: &dyn WriteTree, root: NodeId) {
    let dir = tree
        .make_directory(root, name("dir"), &mode(0o751))
        .await
        .expect("make");
    assert_eq!(
        (dir.kind, dir.mode),
        (NodeKind::Directory, 0o751),
        "as made"
    );
    let any = SetAttributes::default();
    let again = tree.make_directory(root, name("dir"), &any).await;
    refused(again, ErrorKind::Exists, &path("dir"), "make_directory");
    let target = b"../\xff nowhere";
    let link = tree
        .make_link(dir.node, name("link"), target, &any)
        .await
        .expect("make");
    assert_eq!(
        (link.kind, link.len),
        (NodeKind::Link, target.len() as u64),
        "as made"
    );
    assert_eq!(
        tree.read_link(link.node).await.expect("a link"),
        &target[..]
    );
    let fifo = NodeKind::Fifo;
    match tree
        .make_special(dir.node, name("fifo"), fifo, (0, 0), &mode(0o600))
        .await
    {
        Ok(made) => {
            assert_eq!((made.kind, made.mode), (fifo, 0o600), "as made");
            tree.remove(dir.node, name("fifo")).await.expect("remove");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    let file = tree
        .make_special(dir.node, name("file"), NodeKind::File, (0, 0), &any)
        .await;
    refused(
        file,
        ErrorKind::Unsupported,
        &path("dir/file"),
        "make_special",
    );
    let full = tree.remove_directory(root, name("dir")).await;
    refused(full, ErrorKind::NotEmpty, &path("dir"), "remove_directory");
    tree.remove(dir.node, name("link")).await.expect("remove");
    tree.remove_directory(root, name("dir"))
        .await
        .expect("remove");
    refused(
        tree.attributes(dir.node).await,
        ErrorKind::Stale,
        &path("dir"),
        "removed",
    );
}

async fn check_links(tree: &dyn WriteTree, root: NodeId) {
    let node = file(tree, root, "first", "linked").await;
    let second = tree
        .add_name(node, root, name("second"))
        .await
        .expect("link");
    assert_eq!((second.nlink, second.len), (2, 6), "as linked");
    let taken = tree.add_name(node, root, name("second")).await;
    refused(taken, ErrorKind::Exists, &path("second"), "add_name");
    let key = tree.key(node).expect("a key");
    assert_eq!(
        tree.key(second.node).expect("a key"),
        key,
        "names of one file"
    );
    tree.rename(root, name("first"), root, name("second"))
        .await
        .expect("nothing");
    tree.remove(root, name("first"))
        .await
        .expect("two names of one file stay");
    let left = tree.resolve_key(&key).await.expect("it has a name still");
    assert_eq!(
        attributes(tree, left, &path("second")).await.nlink,
        1,
        "one is left"
    );
    tree.remove(root, name("second")).await.expect("remove");
    refused(
        tree.resolve_key(&key).await,
        ErrorKind::Stale,
        &path("second"),
        "the last",
    );
}

async fn check_moves(tree: &dyn WriteTree, root: NodeId) {
    let any = mode(0o755);
    let a = tree
        .make_directory(root, name("a"), &any)
        .await
        .expect("make")
        .node;
    let b = tree
        .make_directory(a, name("b"), &any)
        .await
        .expect("make")
        .node;
    let node = file(tree, b, "file", "moved").await;
    let key = tree.key(node).expect("a key");
    // The file's directory, then the file: its handles stay what they are.
    tree.rename(a, name("b"), root, name("c"))
        .await
        .expect("rename");
    assert_eq!(
        tree.key(node).expect("a key"),
        key,
        "below what was renamed"
    );
    file(tree, root, "moved", "replaced").await;
    let replaced = look(tree, root, "moved").await.node;
    let blob = tree.open(replaced).await.expect("open");
    tree.rename(b, name("file"), root, name("moved"))
        .await
        .expect("rename");
    let found = look(tree, root, "moved").await;
    assert_eq!(
        (found.node, found.len),
        (node, 5),
        "the node that was renamed"
    );
    assert_eq!(tree.key(node).expect("a key"), key, "what was renamed");
    assert_eq!(tree.resolve_key(&key).await.expect("there"), node);
    refused(
        tree.attributes(replaced).await,
        ErrorKind::Stale,
        &path("moved"),
        "replaced",
    );
    if let Ok(content) = blob.read_at(0, 100).await {
        assert_eq!(content, "replaced", "whoever had it open");
    }
    let gone = tree.lookup(b, name("file")).await;
    refused(gone, ErrorKind::NotFound, &path("c/file"), "renamed");
    let inside = tree.rename(root, name("c"), b, name("d")).await;
    refused(
        inside,
        ErrorKind::InvalidName,
        &path("c"),
        "a directory into itself",
    );
    let over = tree.rename(root, name("moved"), root, name("c")).await;
    refused(
        over,
        ErrorKind::IsADirectory,
        &path("c"),
        "a file over a directory",
    );
    let over = tree.rename(root, name("c"), root, name("moved")).await;
    refused(
        over,
        ErrorKind::NotADirectory,
        &path("moved"),
        "a directory over a file",
    );
    tree.rename(root, name("c"), root, name("a"))
        .await
        .expect("over an empty directory");
    tree.remove_directory(root, name("a"))
        .await
        .expect("remove");
}

async fn check_refusals(tree: &dyn WriteTree, root: NodeId) {
    let node = file(tree, root, "file", "x").await;
    let any = SetAttributes::default();
    let dir = tree
        .make_directory(root, name("dir"), &mode(0o755))
        .await
        .expect("make")
        .node;
    let (here, no_directory) = (path("file"), ErrorKind::NotADirectory);
    let below = name("below");
    let guarded = Creation::Guarded;
    refused(
        tree.create(node, below, guarded, &any).await,
        no_directory,
        &here,
        "create",
    );
    refused(
        tree.make_directory(node, below, &any).await,
        no_directory,
        &here,
        "make_directory",
    );
    refused(
        tree.make_link(node, below, b"x", &any).await,
        no_directory,
        &here,
        "make_link",
    );
    refused(
        tree.add_name(node, node, below).await,
        no_directory,
        &here,
        "add_name",
    );
    refused(
        tree.remove(node, below).await,
        no_directory,
        &here,
        "remove",
    );
    refused(
        tree.rename(root, name("file"), node, below).await,
        no_directory,
        &here,
        "rename",
    );
    refused(
        tree.remove_directory(root, name("file")).await,
        no_directory,
        &here,
        "of a file",
    );
    let (there, directory) = (path("dir"), ErrorKind::IsADirectory);
    let x = || Bytes::from_static(b"x");
    refused(
        tree.remove(root, name("dir")).await,
        directory,
        &there,
        "remove",
    );
    refused(
        tree.write(dir, 0, x(), Stability::File).await,
        directory,
        &there,
        "write",
    );
    refused(
        tree.add_name(dir, root, below).await,
        directory,
        &there,
        "add_name",
    );
    let none = ErrorKind::NotFound;
    refused(tree.remove(root, below).await, none, &there, "remove");
    refused(
        tree.remove_directory(root, below).await,
        none,
        &there,
        "remove_directory",
    );
    refused(
        tree.rename(root, below, root, name("x")).await,
        none,
        &there,
        "rename",
    );
    tree.remove(root, name("file")).await.expect("remove");
    tree.remove_directory(root, name("dir"))
        .await
        .expect("remove");
    let stale = ErrorKind::Stale;
    refused(
        tree.write(node, 0, x(), Stability::File).await,
        stale,
        &here,
        "write",
    );
    refused(
        tree.set_attributes(node, &mode(0)).await,
        stale,
        &here,
        "set_attributes",
    );
    refused(tree.commit(node).await, stale, &here, "commit");
    refused(
        tree.create(dir, below, guarded, &any).await,
        stale,
        &there,
        "create",
    );
    refused(tree.remove(dir, below).await, stale, &there, "remove");
}
