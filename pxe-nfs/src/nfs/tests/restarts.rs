//! Handles outlive the server that made them, and lead to the same file or to none.

use std::path::Path;

use pxe_tree::{DirKeys, DirOptions, DirTree};

use super::*;

fn served(dir: &Path, keys: DirKeys) -> Client {
    let options = DirOptions::default().with_keys(keys);
    let tree = DirTree::with_options(dir, options).expect("a directory");
    Client::new(Arc::new(tree))
}

fn files(dir: &Path) {
    std::fs::create_dir_all(dir.join("os/debian")).expect("a directory");
    for (path, content) in [
        ("os/debian/linux", "a kernel"),
        ("os/debian/initrd", "..."),
        ("one", "1"),
    ] {
        std::fs::write(dir.join(path), content).expect("written");
    }
}

const PATHS: [&str; 6] = [
    "",
    "os",
    "os/debian",
    "os/debian/linux",
    "os/debian/initrd",
    "one",
];

async fn fileid(client: &Client, node: &nfs_fh3) -> Result<(u64, u64), nfsstat3> {
    let told = client.attributes(node).await?;
    Ok((told.fsid, told.fileid))
}

#[tokio::test]
async fn clients_do_not_notice_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    files(dir.path());
    for keys in [DirKeys::Inode, DirKeys::Name] {
        let before = served(dir.path(), keys);
        let mut handles = Vec::new();
        for path in PATHS {
            let handle = before.walk(path).await;
            handles.push((fileid(&before, &handle).await.expect("there"), handle));
        }
        drop(before);
        let after = served(dir.path(), keys);
        // The deepest first: nothing above it is known yet.
        for (known, handle) in handles.iter().rev() {
            assert_eq!(fileid(&after, handle).await, Ok(*known), "{keys:?}");
        }
        for (path, (_, handle)) in PATHS.iter().zip(&handles) {
            assert_eq!(after.walk(path).await, *handle, "{keys:?}: no new handle");
        }
        let (_, debian) = &handles[2];
        assert!(after.look_up(debian, b"linux").await.is_ok());
    }
}

#[tokio::test]
async fn a_second_server_of_the_same_names_takes_over() {
    let (one, other) = (tempfile::tempdir(), tempfile::tempdir());
    let (one, other) = (one.expect("a directory"), other.expect("a directory"));
    files(one.path());
    files(other.path());
    let first = served(one.path(), DirKeys::Name);
    let second = served(other.path(), DirKeys::Name);
    for path in PATHS {
        let handle = first.walk(path).await;
        let told = second.attributes(&handle).await;
        assert_eq!(told.expect("there").size, {
            let there = second.attributes(&second.walk(path).await).await;
            there.expect("there").size
        });
        assert_eq!(second.walk(path).await, handle, "{path}");
    }
    // Trees in memory, an image unpacked into one, say.
    let (first, second) = (Client::new(tree()), Client::new(tree()));
    for path in ["", "open", "open/all"] {
        let handle = first.walk(path).await;
        let known = fileid(&first, &handle).await;
        assert_eq!(fileid(&second, &handle).await, known, "{path}");
    }
}

#[tokio::test]
async fn with_another_key_no_handle_holds() {
    let first = Client::new(tree());
    let export = Export::new(PATH, tree()).to(ExportClient::new(Network::Any, options()));
    let other = Service::builder(HandleKey::new(*b"another secret..")).export(export);
    let second = Client::of(other.build().expect("one export"));
    let handle = first.walk("open").await;
    let told = second.attributes(&handle).await;
    assert_eq!(told.err(), Some(nfsstat3::NFS3ERR_BADHANDLE));
}

/// A renamed file keeps its handle, a removed one loses it, and what is made in its place has
/// another.
#[tokio::test]
async fn a_handle_follows_its_file_and_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    files(dir.path());
    let client = served(dir.path(), DirKeys::Inode);
    let linux = client.walk("os/debian/linux").await;
    let known = fileid(&client, &linux).await;
    let path = |path: &str| dir.path().join(path);
    std::fs::rename(path("os/debian/linux"), path("os/debian/vmlinuz")).expect("renamed");
    assert_eq!(fileid(&client, &linux).await, known);
    std::fs::rename(path("os/debian"), path("os/bookworm")).expect("renamed");
    assert_eq!(fileid(&client, &linux).await, known);
    let after = served(dir.path(), DirKeys::Inode);
    assert_eq!(fileid(&after, &linux).await, known);

    let one = client.walk("one").await;
    std::fs::write(path("new"), "another").expect("written");
    std::fs::rename(path("new"), path("one")).expect("replaced");
    let stale = Err(nfsstat3::NFS3ERR_STALE);
    assert_eq!(fileid(&client, &one).await, stale);
    assert_eq!(fileid(&after, &one).await, stale);
    assert_ne!(client.walk("one").await, one);
}
