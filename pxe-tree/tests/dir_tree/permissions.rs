//! What we may not do, and odd circumstances.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use pxe_tree::{Cookie, DirTree, ErrorKind, Tree};

use crate::{both_walls, look, nobody, open, temporary, tree};

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
