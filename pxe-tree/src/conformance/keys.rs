//! Names of nodes beyond the life of a process.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Expected, Fixture, attributes, reach, settled};
use crate::{Attributes, ErrorKind, NodeKey, Tree, TreePath};

/// Every key leads to its node, in the tree that made it and in the next one.
///
/// # Panics
/// If not so.
pub async fn check_keys(fixture: &Fixture, build: impl AsyncFn() -> Arc<dyn Tree>) {
    let mut keys: Vec<(TreePath, Attributes, NodeKey)> = Vec::new();
    {
        let tree = build().await;
        let paths = fixture.entries().map(|(path, _)| path);
        for path in std::iter::once(&TreePath::ROOT).chain(paths) {
            let found = reach(&*tree, path).await;
            let key = match tree.key(found.node) {
                Ok(key) => key,
                Err(error) => panic!("{path}: key: {error}"),
            };
            assert_eq!(
                resolve(&*tree, path, &key).await.node,
                found.node,
                "{path}: its key"
            );
            keys.push((path.clone(), found, key));
        }
    }
    let by_key: HashMap<NodeKey, &TreePath> =
        keys.iter().map(|(path, _, key)| (*key, path)).collect();
    assert_eq!(by_key.len(), keys.len(), "two nodes have one key");
    // In the order of the paths, then against it: what one key taught must not be needed.
    for backwards in [false, true] {
        let tree = build().await;
        if backwards {
            keys.reverse();
        }
        for (path, before, key) in &keys {
            let after = resolve(&*tree, path, key).await;
            assert_eq!(after.kind, before.kind, "{path}: kind of a key's node");
            let at_once = match tree.attributes_of_key(key).await {
                Ok(at_once) => at_once,
                Err(error) => panic!("{path}: attributes of its key: {error}"),
            };
            assert_eq!(
                settled(&at_once),
                settled(&after),
                "{path}: in one step and in two"
            );
            let numbers = (after.fsid, after.fileid);
            assert_eq!(
                numbers,
                (before.fsid, before.fileid),
                "{path}: file number after all"
            );
            assert_eq!(
                after.change, before.change,
                "{path}: change stamp after all"
            );
            let again = tree
                .key(after.node)
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(again, *key, "{path}: the key of a key's node");
            let found = reach(&*tree, path).await;
            assert_eq!(found.node, after.node, "{path}: by name and by key");
        }
    }
}

async fn resolve(tree: &dyn Tree, path: &TreePath, key: &NodeKey) -> Attributes {
    match tree.resolve_key(key).await {
        Ok(node) => attributes(tree, node, path).await,
        Err(error) => panic!("{path}: resolve_key: {error}"),
    }
}

/// Keys that this tree did not make lead to nothing, or at least not to another node.
///
/// # Panics
/// If not so.
pub async fn check_strange_keys(fixture: &Fixture, tree: &dyn Tree) {
    for byte in 0..=u8::MAX {
        for len in [1, 2, 3, 8, 16, 17, 18, 32, 39, NodeKey::LEN_MAX] {
            expect_nothing(tree, &vec![byte; len]).await;
        }
    }
    expect_nothing(tree, &[]).await;
    // The root, a file and a directory, with a bit turned or an end cut off.
    let file = fixture
        .entries()
        .find(|(_, e)| matches!(e, Expected::File(_)));
    let dir = fixture
        .entries()
        .find(|(_, e)| matches!(e, Expected::Directory));
    let samples = [file, dir].into_iter().flatten().map(|(path, _)| path);
    for path in std::iter::once(&TreePath::ROOT).chain(samples) {
        let node = reach(tree, path).await;
        let key = match tree.key(node.node) {
            Ok(key) => key,
            Err(error) => panic!("{path}: key: {error}"),
        };
        let bytes = key.as_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            expect_nothing_else(tree, path, &node, &changed).await;
        }
        for len in 0..bytes.len() {
            expect_nothing_else(tree, path, &node, &bytes[..len]).await;
        }
    }
}

async fn expect_nothing(tree: &dyn Tree, bytes: &[u8]) {
    let key = NodeKey::new(bytes).expect("short enough");
    match tree.resolve_key(&key).await {
        Ok(node) => panic!("{key:?} leads to {node:?}"),
        Err(error) => assert!(is_no(error.kind()), "{key:?}: {error}"),
    }
}

/// Some parts of a key only help to find its node; and a changed key may be another node's.
async fn expect_nothing_else(tree: &dyn Tree, path: &TreePath, node: &Attributes, bytes: &[u8]) {
    let key = NodeKey::new(bytes).expect("short enough");
    match tree.resolve_key(&key).await {
        Ok(found) => {
            let found = attributes(tree, found, path).await;
            let is_same = (found.fsid, found.fileid) == (node.fsid, node.fileid);
            let is_its_own = tree.key(found.node).is_ok_and(|own| own == key);
            assert!(is_same || is_its_own, "{path}: {key:?} leads elsewhere");
        }
        Err(error) => assert!(is_no(error.kind()), "{path}: {key:?}: {error}"),
    }
}

const fn is_no(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BadKey | ErrorKind::Stale)
}
