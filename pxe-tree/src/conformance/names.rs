//! Lookup, attributes and links.

use std::collections::HashMap;

use super::{Expected, Fixture, attributes, reach, refused, settled};
use crate::id_table::id;
use crate::{Cookie, ErrorKind, Name, NodeKind, Tree, TreePath};

/// Everything is found by its name, and lookup and attributes agree.
///
/// # Panics
/// If not so.
pub async fn check_names(fixture: &Fixture, tree: &dyn Tree) {
    let root = attributes(tree, tree.root(), &TreePath::ROOT).await;
    assert_eq!(root.kind, NodeKind::Directory, "the root is a directory");
    assert_eq!(root.node, tree.root(), "attributes name the node");
    let mut numbers = HashMap::from([((root.fsid, root.fileid), TreePath::ROOT)]);
    for (path, expected) in fixture.entries() {
        let found = reach(tree, path).await;
        assert_eq!(found.kind, expected.kind(), "{path}: kind");
        let asked = attributes(tree, found.node, path).await;
        assert_eq!(
            settled(&found),
            settled(&asked),
            "{path}: lookup and attributes"
        );
        let again = reach(tree, path).await;
        assert_eq!(
            again.node, found.node,
            "{path}: the node of a second lookup"
        );
        assert_eq!(
            again.change, found.change,
            "{path}: the change stamp, unchanged"
        );
        match expected {
            Expected::File(content) => assert_eq!(found.len, content.len() as u64, "{path}: len"),
            Expected::Link(target) => {
                let given = tree.read_link(found.node).await;
                let given = given.unwrap_or_else(|error| panic!("{path}: read_link: {error}"));
                assert_eq!(given, target, "{path}: the target");
                assert_eq!(found.len, target.len() as u64, "{path}: len");
            }
            Expected::Directory | Expected::Other(_) => {}
        }
        assert!(found.mode <= 0o7777, "{path}: mode {:o}", found.mode);
        assert!(found.nlink > 0, "{path}: nlink");
        for time in [found.accessed, found.modified, found.changed] {
            assert!(
                time.nanos < 1_000_000_000,
                "{path}: nanoseconds {}",
                time.nanos
            );
        }
        assert_ne!(found.fileid, 0, "{path}: fileid");
        if let Some(other) = numbers.insert((found.fsid, found.fileid), path.clone()) {
            panic!("{path} and {other} have the same file number");
        }
    }
    assert_eq!(tree.root(), root.node, "the root stays");
}

/// The way up from a directory is the way by which it was found, and a file system has room for
/// what it holds.
///
/// # Panics
/// If not so.
pub async fn check_surroundings(fixture: &Fixture, tree: &dyn Tree) {
    for dir in fixture.directories() {
        let node = reach(tree, &dir).await.node;
        let above = match dir.parent() {
            Some(above) => reach(tree, &above).await.node,
            None => tree.root(),
        };
        match tree.parent(node).await {
            Ok(parent) => assert_eq!(parent, above, "{dir}: the directory above"),
            Err(error) => panic!("{dir}: parent: {error}"),
        }
    }
    let paths = fixture.entries().map(|(path, _)| path);
    for path in std::iter::once(&TreePath::ROOT).chain(paths) {
        let found = reach(tree, path).await;
        if found.kind != NodeKind::Directory {
            let parent = tree.parent(found.node).await;
            refused(parent, ErrorKind::NotADirectory, path, "parent");
        }
        let room = match tree.capacity(found.node).await {
            Ok(room) => room,
            Err(error) => panic!("{path}: capacity: {error}"),
        };
        let bytes = [room.bytes_available, room.bytes_free, room.bytes_total];
        let nodes = [room.nodes_available, room.nodes_free, room.nodes_total];
        assert!(bytes.is_sorted(), "{path}: available, free, all: {bytes:?}");
        assert!(nodes.is_sorted(), "{path}: available, free, all: {nodes:?}");
    }
    let (unknown, nowhere) = (id(u64::MAX), &TreePath::ROOT);
    let what = "of an unknown node";
    refused(tree.parent(unknown).await, ErrorKind::Stale, nowhere, what);
    refused(
        tree.capacity(unknown).await,
        ErrorKind::Stale,
        nowhere,
        what,
    );
    let listed = tree.read_dir_attributes(unknown, Cookie::START, 10).await;
    refused(listed, ErrorKind::Stale, nowhere, what);
}

/// What cannot be done is refused, for the right reason; no link is followed.
///
/// # Panics
/// If not so.
pub async fn check_refusals(fixture: &Fixture, tree: &dyn Tree) {
    let absent = Name::new(b"no such name").expect("valid");
    for dir in fixture.directories() {
        let node = reach(tree, &dir).await.node;
        let found = tree.lookup(node, absent).await;
        refused(found, ErrorKind::NotFound, &dir, "lookup of an absent name");
        refused(tree.open(node).await, ErrorKind::IsADirectory, &dir, "open");
        refused(
            tree.read_link(node).await,
            ErrorKind::NotALink,
            &dir,
            "read_link",
        );
    }
    for (path, expected) in fixture.entries() {
        let node = reach(tree, path).await.node;
        if *expected != Expected::Directory {
            let found = tree.lookup(node, absent).await;
            refused(found, ErrorKind::NotADirectory, path, "lookup below it");
            let listed = tree.read_dir(node, Cookie::START, 10).await;
            refused(listed, ErrorKind::NotADirectory, path, "read_dir");
            let listed = tree.read_dir_attributes(node, Cookie::START, 10).await;
            refused(
                listed,
                ErrorKind::NotADirectory,
                path,
                "read_dir_attributes",
            );
        }
        if !matches!(expected, Expected::Link(_)) {
            refused(
                tree.read_link(node).await,
                ErrorKind::NotALink,
                path,
                "read_link",
            );
        }
        if matches!(expected, Expected::Link(_) | Expected::Other(_)) {
            refused(tree.open(node).await, ErrorKind::NotAFile, path, "open");
        }
    }
    // No tree has come so far by counting.
    let (unknown, nowhere) = (id(u64::MAX), &TreePath::ROOT);
    refused(
        tree.lookup(unknown, absent).await,
        ErrorKind::Stale,
        nowhere,
        "lookup in an unknown node",
    );
    refused(
        tree.attributes(unknown).await,
        ErrorKind::Stale,
        nowhere,
        "attributes of an unknown node",
    );
    let listed = tree.read_dir(unknown, Cookie::START, 10).await;
    refused(
        listed,
        ErrorKind::Stale,
        nowhere,
        "read_dir of an unknown node",
    );
    refused(
        tree.read_link(unknown).await,
        ErrorKind::Stale,
        nowhere,
        "read_link of an unknown node",
    );
    refused(
        tree.open(unknown).await,
        ErrorKind::Stale,
        nowhere,
        "open of an unknown node",
    );
    refused(
        tree.key(unknown),
        ErrorKind::Stale,
        nowhere,
        "key of an unknown node",
    );
}
