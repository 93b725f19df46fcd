//! Nodes whose files come and go.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use pxe_tree::{Cookie, DirOptions, DirTree, ErrorKind, Name, SetAttributes, Tree, WriteTree as _};

use crate::{both_walls, kind_of, look, temporary};

#[tokio::test]
async fn what_vanishes_between_two_calls_is_stale() {
    let dir = temporary();
    fs::create_dir(dir.path().join("d")).expect("create");
    fs::write(dir.path().join("d/f"), "x").expect("write");
    symlink("f", dir.path().join("d/l")).expect("link");
    let exact = |options: DirOptions| {
        let options = options.with_settled_for(Duration::ZERO);
        DirTree::with_options(dir.path(), options).expect("a directory")
    };
    let options = DirOptions::default();
    for tree in [exact(options), exact(options.without_openat2())] {
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

/// A directory that is moved away, out of the root here, and leaves a link in its place, is known
/// for a moment longer, and so is what is in it; but nothing can be opened, and nothing else is
/// seen through the link.
#[tokio::test]
async fn what_is_moved_out_is_stale_soon() {
    let (dir, outside) = (temporary(), temporary());
    let (d, away) = (dir.path().join("d"), outside.path().join("away"));
    let rename = |from: &Path, to: &Path| fs::rename(from, to).expect("rename");
    for tree in both_walls(dir.path()) {
        fs::create_dir(&d).expect("create");
        for name in ["f", "other"] {
            fs::write(d.join(name), "x").expect("write");
        }
        let f = look(&tree, "d/f").await.expect("there");
        let other = look(&tree, "d/other").await.expect("there").node;
        let d_node = look(&tree, "d").await.expect("there").node;
        let key = tree.key(f.node).expect("shallow");
        rename(&d, &away);
        symlink(&away, &d).expect("link");
        assert_eq!(kind_of(tree.open(f.node).await), ErrorKind::Stale);
        rename(&away.join("f"), &away.join("other"));
        // Another file has the name now.
        assert_eq!(kind_of(tree.attributes(other).await), ErrorKind::Stale);
        rename(&away.join("other"), &away.join("f"));
        let mut asked = 0;
        while let Ok(still) = tree.attributes(f.node).await {
            assert_eq!(still.fileid, f.fileid);
            asked += 1;
            assert!(asked < 10_000_000, "it is known for ever");
        }
        assert_eq!(kind_of(tree.attributes(f.node).await), ErrorKind::Stale);
        let name = Name::new(b"f").expect("valid");
        assert_eq!(kind_of(tree.lookup(d_node, name).await), ErrorKind::Stale);
        assert_eq!(kind_of(tree.resolve_key(&key).await), ErrorKind::Stale);
        fs::remove_file(&d).expect("remove");
        fs::remove_dir_all(&away).expect("remove");
    }
}

/// Who has the node of a directory is told of nothing in another one that took its place, however
/// long the first one is taken to be there.
#[tokio::test]
async fn what_lies_in_another_directory_is_not_told() {
    let dir = temporary();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("d/e")).expect("create");
    fs::write(at("d/e/f"), "x").expect("write");
    let options = DirOptions::default().with_settled_for(Duration::from_secs(3600));
    for options in [options, options.without_openat2()] {
        let tree = DirTree::with_options(dir.path(), options).expect("a directory");
        let (d, e) = (look(&tree, "d").await, look(&tree, "d/e").await);
        let nodes = [(d, "e", "d"), (e, "f", "d/e")];
        for (node, known, path) in nodes {
            let node = node.expect("there").node;
            // Walked to just now.
            let known = Name::new(known).expect("valid");
            tree.lookup(node, known).await.expect("there");
            fs::rename(at(path), at("away")).expect("rename");
            fs::create_dir(at(path)).expect("create");
            fs::write(at(path).join("new"), "other").expect("write");
            fs::write(at(path).join(known.to_string()), "other").expect("write");
            for name in ["new", "nothing", &known.to_string()] {
                let found = tree.lookup(node, Name::new(name).expect("valid")).await;
                assert_eq!(kind_of(found), ErrorKind::Stale, "{path}: {name}");
            }
            fs::remove_dir_all(at(path)).expect("remove");
            fs::write(at(path), "a file").expect("write");
            let found = tree.lookup(node, known).await;
            assert_eq!(kind_of(found), ErrorKind::Stale, "{path}: a file");
            fs::remove_file(at(path)).expect("remove");
            fs::rename(at("away"), at(path)).expect("rename");
        }
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

/// Who may look up its names is asked of a directory at each name: it may be told as it was a moment
/// ago, but not as it was before the tree itself changed it.
#[tokio::test]
async fn a_directory_is_remembered_until_it_is_changed() {
    let dir = temporary();
    fs::create_dir(dir.path().join("d")).expect("create");
    let settled = DirOptions::default().with_settled_for(Duration::from_secs(3600));
    let tree = DirTree::with_options(dir.path(), settled).expect("a directory");
    let d = look(&tree, "d").await.expect("there");
    let key = tree.key(d.node).expect("shallow");
    let known = tree.attributes_of_key(&key).await.expect("there");
    assert_eq!(tree.recent_directory(&key), Some(known));
    let mut closed = SetAttributes::default();
    closed.mode = Some(0o700);
    let changed = tree.set_attributes(d.node, &closed).await;
    changed.expect("our own directory");
    assert_eq!(tree.recent_directory(&key), None);
    // Nor does a tree remember that is told to walk each path anew.
    let exact = DirOptions::default().with_settled_for(Duration::ZERO);
    let tree = DirTree::with_options(dir.path(), exact).expect("a directory");
    tree.attributes_of_key(&key).await.expect("there");
    assert_eq!(tree.recent_directory(&key), None);
}
