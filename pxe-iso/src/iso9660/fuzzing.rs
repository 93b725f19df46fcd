//! The fuzz body of ISO 9660.

use std::future::Future;
use std::num::NonZeroU64;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use pxe_tree::{Cookie, MemBlob, NodeId, NodeKind, Tree};

use crate::{ImageOptions, Limits, NameSource};

/// Nodes that are looked at in one image.
const NODES_MAX: usize = 2000;
/// Sectors before the first volume descriptor, which no reader looks at.
const SYSTEM_BYTES: usize = 16 * 2048;

/// Whatever an image holds, all that is listed has the attributes that it is listed with, its key
/// leads back to it, and its content has as many bytes as it is said to have.
///
/// The first byte chooses the names, eight more are a node's number that comes from outside, the
/// rest is the image from its first descriptor on.
pub fn fuzz_iso(data: &[u8]) {
    let Some((&[names, number @ ..], image)) = data.split_first_chunk::<9>() else {
        return;
    };
    let names = match names % 4 {
        0 => NameSource::Best,
        1 => NameSource::RockRidge,
        2 => NameSource::Joliet,
        _ => NameSource::Plain,
    };
    let limits = Limits {
        directory_bytes_max: 256 << 10,
        directory_entries_max: 1000,
        ..Limits::default()
    };
    let options = ImageOptions::new().with_names(names).with_limits(limits);
    let bytes = [&[0; SYSTEM_BYTES][..], image].concat();
    let Ok(tree) = now(options.open(MemBlob::new(bytes))) else {
        return;
    };
    let tree = &*tree;
    if let Some(number) = NonZeroU64::new(u64::from_le_bytes(number)) {
        look_at(tree, NodeId::new(number));
    }
    let mut known = vec![tree.root()];
    let mut next = 0;
    while let Some(&dir) = known.get(next) {
        next += 1;
        let Ok(page) = now(tree.read_dir_attributes(dir, Cookie::START, usize::MAX)) else {
            continue;
        };
        assert!(page.end);
        for listed in page.entries {
            let found = listed.attributes.expect("known of every entry");
            let again = now(tree.lookup(dir, &listed.entry.name)).expect("listed");
            assert_eq!(found, again);
            look_at(tree, found.node);
            if found.kind == NodeKind::Directory
                && known.len() < NODES_MAX
                && !known.contains(&found.node)
            {
                known.push(found.node);
            }
        }
    }
}

/// All that can be asked of a node.
fn look_at(tree: &dyn Tree, node: NodeId) {
    let Ok(found) = now(tree.attributes(node)) else {
        return;
    };
    assert_eq!(found.node, node);
    assert!(found.mode <= 0o7777 && found.nlink > 0);
    let key = tree.key(node).expect("of a node that is there");
    assert_eq!(now(tree.resolve_key(&key)).expect("its own key"), node);
    if let Ok(above) = now(tree.parent(node)) {
        assert_eq!(found.kind, NodeKind::Directory);
        let above = now(tree.attributes(above)).expect("a directory above");
        assert_eq!(above.kind, NodeKind::Directory);
    }
    match now(tree.read_link(node)) {
        Ok(target) => assert_eq!(target.len() as u64, found.len),
        Err(_) => assert_ne!(found.kind, NodeKind::Link),
    }
    if let Ok(blob) = now(tree.open(node)) {
        assert_eq!(found.kind, NodeKind::File);
        let len = blob.attributes().len;
        assert_eq!(len, found.len);
        let tail = len.saturating_sub(100);
        let read = now(blob.read_at(tail, 1000)).expect("in the image");
        assert_eq!(read.len() as u64, len - tail);
        assert!(now(blob.read_at(len, 1)).expect("the end").is_empty());
    }
}

/// What an image in memory answers, it answers at once.
fn now<T>(work: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(work).as_mut().poll(&mut context) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("an image in memory waits"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pxe_tree::conformance::Fixture;

    use super::*;
    use crate::iso9660::image_builder::rock_ridge;

    fn image() -> Vec<u8> {
        let fixture = Fixture::new()
            .file("a/b/file", "content")
            .file(format!("a/{}", "n".repeat(250)), "long name")
            .link("link", "/a/./b/../file");
        rock_ridge(&fixture)[SYSTEM_BYTES..].to_vec()
    }

    proptest! {
        /// Sound images with some bytes that are not.
        #[test]
        fn damaged_images(
            names in any::<u8>(),
            number in any::<u64>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        ) {
            let mut image = image();
            let used: Vec<usize> = (0..image.len()).filter(|at| image[*at] != 0).collect();
            for (at, byte) in &changes {
                image[used[at.index(used.len())]] = *byte;
            }
            let data = [&[names][..], &(number % 100_000).to_le_bytes(), &image].concat();
            fuzz_iso(&data);
        }

        #[test]
        fn images_that_are_cut_off(end in any::<prop::sample::Index>()) {
            let image = image();
            fuzz_iso(&[&[0; 9][..], &image[..end.index(image.len())]].concat());
        }

        /// Each place in a sound image as a node's number.
        #[test]
        fn numbers_from_outside(number in 0u64..100_000) {
            fuzz_iso(&[&[0][..], &number.to_le_bytes(), &image()].concat());
        }
    }
}
