//! A directory that changes, lies and attacks while it is served.

mod blobs;
mod keys;
mod large;
#[path = "../nobody/mod.rs"]
mod nobody;
mod nodes;
mod outside;
mod permissions;
mod writes;

use std::path::Path;
use std::sync::Arc;

use pxe_tree::{Attributes, Blob, DirOptions, DirTree, ErrorKind, Tree, TreePath};
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

#[test]
fn all_of_it_as_nobody() {
    nobody::run_again(20);
}
