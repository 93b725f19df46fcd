//! Fuzz bodies: run by cargo-fuzz, and by the property tests. They panic if a promise is broken.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::{
    Cookie, ErrorKind, MemTree, Name, NodeKey, NodeKind, Resolver, Tree, TreePath, resolve,
};

/// Whatever a peer asks for is a bounded list of harmless names, in its simplest form.
pub fn fuzz_paths(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let made = [
        TreePath::parse(data),
        TreePath::from_tftp(data),
        TreePath::from_uri_path(&text),
    ];
    let half = data.split_at(data.len() / 2);
    for path in made.iter().flatten() {
        assert!(path.as_bytes().len() <= TreePath::LEN_MAX);
        for name in path.names() {
            assert!(Name::new(name.as_bytes()).is_ok());
        }
        assert_eq!(TreePath::parse(path.as_bytes()).as_ref(), Ok(path));
        assert_eq!(path.strip_prefix(path), Some(TreePath::ROOT));
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => {
                assert_eq!(parent.child(name).as_ref(), Ok(path));
                assert_eq!(
                    path.strip_prefix(&parent).map(|rest| rest.names().count()),
                    Some(1)
                );
            }
            (parent, name) => assert!(parent.is_none() && name.is_none() && path.is_root()),
        }
        assert!(!path.to_string().bytes().any(|byte| byte.is_ascii_control()));
    }
    if let (Ok(base), Ok(below)) = (TreePath::parse(half.0), TreePath::parse(half.1))
        && let Ok(joined) = base.join(&below)
    {
        assert_eq!(joined.strip_prefix(&base), Some(below));
    }
}

/// Whatever bytes a key, a cookie or a link has, the answer is a node or a refusal.
///
/// The input is the target of links in a tree, a key and a cookie.
pub fn fuzz_keys(data: &[u8]) {
    let tree = MemTree::new();
    let mut made = vec![tree.root()];
    for path in ["a/b/file", "c", "srv/tftp/x"] {
        made.push(tree.insert_file(path, path).expect("free"));
    }
    for path in ["link", "a/link", "a/b/link"] {
        made.push(tree.insert_link(path, data.to_vec()).expect("free"));
    }
    for node in &made {
        let key = tree.key(*node).expect("there");
        assert_eq!(now(tree.resolve_key(&key)).expect("its own key"), *node);
    }
    match NodeKey::new(data) {
        Ok(key) => match now(tree.resolve_key(&key)) {
            Ok(node) => assert_eq!(tree.key(node).expect("there"), key),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Stale | ErrorKind::BadKey));
            }
        },
        Err(kind) => assert!(kind == ErrorKind::BadKey && data.len() > NodeKey::LEN_MAX),
    }
    if let Some((number, _)) = data.split_first_chunk() {
        let after = Cookie(u64::from_le_bytes(*number));
        let page = now(tree.read_dir(tree.root(), after, usize::MAX)).expect("a directory");
        assert!(page.end && page.entries.iter().all(|entry| entry.cookie > after));
    }
    let root_path = TreePath::parse("srv/tftp").expect("valid");
    let asked: Vec<TreePath> = ["link", "a/link/x", "srv/tftp/a/b/link"]
        .into_iter()
        .map(|asked| TreePath::parse(asked).expect("valid"))
        .chain(TreePath::from_tftp(data))
        .collect();
    for path in &asked {
        let resolver = Resolver::new().with_root_path(root_path.clone());
        let Ok(found) = now(resolver.resolve(&tree, path)) else {
            continue;
        };
        assert_ne!(found.attributes.kind, NodeKind::Link);
        // Canonical: it leads to the same node, and to itself.
        let again = now(resolve(&tree, &found.path)).expect("canonical");
        assert_eq!(again.path, found.path);
        assert_eq!(again.attributes.node, found.attributes.node);
    }
}

/// What a tree in memory answers, it answers at once.
fn now<T>(work: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(work).as_mut().poll(&mut context) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a tree in memory waits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that mean something in paths come often.
    fn telling() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            Just(b'/'),
            Just(b'.'),
            Just(b'\\'),
            Just(b'%'),
            Just(b'2'),
            Just(b'a'),
            Just(b'm'),
            any::<u8>()
        ];
        prop::collection::vec(byte, 0..100)
    }

    fn link_target() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just("a"),
            Just("b"),
            Just("c"),
            Just("link"),
            Just(".."),
            Just("."),
            Just(""),
            Just("srv"),
            Just("tftp"),
            Just("file"),
            Just("x"),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.join("/").into_bytes())
    }

    proptest! {
        #[test]
        fn paths(data in telling()) {
            fuzz_paths(&data);
        }

        #[test]
        fn keys(data in prop_oneof![telling(), link_target()]) {
            fuzz_keys(&data);
        }
    }
}
