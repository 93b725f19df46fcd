//! Nodes whose files come and go.

use std::fs;
use std::os::unix::fs::symlink;

use pxe_tree::{Cookie, DirOptions, DirTree, ErrorKind, Name, Tree};

use crate::{both_walls, kind_of, look, temporary};

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
