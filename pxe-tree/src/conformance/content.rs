//! What is in files.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::{Expected, Fixture, reach};
use crate::{Blob, Direct, Tree, TreePath};

/// All ways of reading agree, and are short at the end only.
///
/// # Panics
/// If not so.
pub async fn check_content(fixture: &Fixture, tree: &dyn Tree) {
    for (path, expected) in fixture.entries() {
        let Expected::File(content) = expected else {
            continue;
        };
        let found = reach(tree, path).await;
        let open = async || match tree.open(found.node).await {
            Ok(blob) => blob,
            Err(error) => panic!("{path}: open: {error}"),
        };
        let (blob, other) = (open().await, open().await);
        assert_eq!(blob.attributes().len, content.len() as u64, "{path}: len");
        assert_eq!(blob.attributes().kind, found.kind, "{path}: kind");
        let len = content.len();
        let places = [
            0,
            1,
            511,
            512,
            1468,
            len / 2,
            len.saturating_sub(1),
            len,
            len + 1,
        ];
        for offset in places {
            for wanted in [0, 1, 512, 1468, 65536, len, len + 1] {
                let end = offset.saturating_add(wanted).min(len);
                let range = content.slice(offset.min(len)..end.max(offset.min(len)));
                check_range(&*blob, path, offset as u64, wanted, &range).await;
            }
        }
        for offset in [u64::MAX, u64::MAX - 1, i64::MAX as u64, len as u64 + 4096] {
            check_range(&*other, path, offset, 100, &Bytes::new()).await;
        }
        check_direct(&*other, path, content);
        if let Err(error) = blob.validate() {
            panic!("{path}: validate: {error}");
        }
    }
}

async fn check_range(blob: &dyn Blob, path: &TreePath, offset: u64, wanted: usize, range: &Bytes) {
    let read = match blob.read_at(offset, wanted).await {
        Ok(read) => read,
        Err(error) => panic!("{path}: read_at {offset}, {wanted} bytes: {error}"),
    };
    assert!(read == *range, "{path}: read_at {offset}, {wanted} bytes");
    let mut buf = vec![0xa5; wanted];
    match blob.read_now(offset, &mut buf) {
        Ok(None) => {}
        Ok(Some(len)) => {
            assert_eq!(
                len,
                range.len(),
                "{path}: read_now {offset}, {wanted} bytes: length"
            );
            assert!(
                buf[..len] == range[..],
                "{path}: read_now {offset}, {wanted} bytes"
            );
        }
        Err(error) => panic!("{path}: read_now {offset}, {wanted} bytes: {error}"),
    }
}

/// Piece by piece, what lies somewhere directly is the content.
fn check_direct(blob: &dyn Blob, path: &TreePath, content: &Bytes) {
    let mut done = 0;
    while done < content.len() {
        let left = content.len() - done;
        let piece = match blob.direct(done as u64, u64::MAX) {
            Direct::None => return,
            Direct::Memory(bytes) => Bytes::copy_from_slice(bytes),
            Direct::File { fd, offset, len } => {
                let len = usize::try_from(len).expect("as long as the content at most");
                assert!(len <= left, "{path}: direct goes beyond the end");
                let file = File::from(fd.try_clone_to_owned().expect("a descriptor"));
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, offset).expect("readable");
                bytes.into()
            }
        };
        assert!(
            !piece.is_empty() && piece.len() <= left,
            "{path}: direct {done}: length"
        );
        assert!(
            piece == content[done..done + piece.len()],
            "{path}: direct {done}"
        );
        done += piece.len();
    }
    let beyond = blob.direct(content.len() as u64, 1);
    assert!(
        matches!(beyond, Direct::None),
        "{path}: direct beyond the end"
    );
    assert!(
        matches!(blob.direct(0, 0), Direct::None),
        "{path}: direct of nothing"
    );
}
