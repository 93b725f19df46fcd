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
            // A hint that changes nothing.
            blob.will_need(offset as u64, len as u64 + 1);
            for wanted in [0, 1, 512, 1468, 65536, len, len + 1] {
                let end = offset.saturating_add(wanted).min(len);
                let range = content.slice(offset.min(len)..end.max(offset.min(len)));
                check_range(&*blob, path, offset as u64, wanted, &range).await;
            }
        }
        for offset in [u64::MAX, u64::MAX - 1, i64::MAX as u64, len as u64 + 4096] {
            other.will_need(offset, u64::MAX);
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

/// What lies somewhere directly is the content, piece by piece and for any range.
fn check_direct(blob: &dyn Blob, path: &TreePath, content: &Bytes) {
    let mut done = 0;
    while let Some(piece) = direct(blob, path, content, done, u64::MAX) {
        done += piece;
    }
    let len = content.len();
    for offset in [0, 1, 511, 1468, len / 2, len.saturating_sub(1)] {
        for wanted in [1, 512, 1468, len as u64] {
            direct(blob, path, content, offset, wanted);
        }
    }
    for (offset, wanted) in [(len as u64, 1), (u64::MAX, 1), (u64::MAX, u64::MAX), (0, 0)] {
        assert!(
            matches!(blob.direct(offset, wanted), Direct::None),
            "{path}: direct {offset}, {wanted} bytes: there are none"
        );
    }
}

/// How much of a range lies in one place; `None` where that is unknown.
fn direct(
    blob: &dyn Blob,
    path: &TreePath,
    content: &Bytes,
    offset: usize,
    wanted: u64,
) -> Option<usize> {
    let expected = content.get(offset..).unwrap_or_default();
    let most = usize::try_from(wanted).map_or(expected.len(), |len| len.min(expected.len()));
    let what = format!("{path}: direct {offset}, {wanted} bytes");
    let piece = match blob.direct(offset as u64, wanted) {
        Direct::None => return None,
        Direct::Memory(bytes) => Bytes::copy_from_slice(bytes),
        Direct::File { fd, offset, len } => {
            assert!(len <= most as u64, "{what}: {len} are too many");
            let file = File::from(fd.try_clone_to_owned().expect("a descriptor"));
            let mut bytes = vec![0; most.min(usize::try_from(len).unwrap_or(most))];
            file.read_exact_at(&mut bytes, offset).expect("readable");
            bytes.into()
        }
    };
    assert!(
        (1..=most).contains(&piece.len()),
        "{what}: {} bytes",
        piece.len()
    );
    assert!(piece == expected[..piece.len()], "{what}: content");
    Some(piece.len())
}
