//! The fuzz body of UDF volumes.

use std::future::Future;
use std::num::NonZeroU64;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use pxe_tree::{Attributes, Blob, Cookie, MemBlob, NodeId, NodeKind, Tree};

use super::image_builder::{
    ANCHOR_SECTOR, Entry, ImageBuilder, PARTITION_SECTOR, ROOT_BLOCK, SEQUENCE_SECTORS, identifier,
    sign, tagged,
};
use super::tag;
use crate::{ImageOptions, ImageTree, Limits, NameSource};

/// What begins an input that holds an image's sectors.
const SECTORS_MAGIC: &[u8] = b"\xffUDF";
/// Bytes of such a sector.
const SECTOR: usize = 2048;
/// Sectors of such an image: genisoimage's and mkudffs' smallest have fewer.
const SECTORS_MAX: usize = 1024;
/// Nodes that are looked at in one image.
const NODES_MAX: usize = 2000;

const BLOCK_SIZE: usize = 512;
/// Blocks of the partition that hold descriptors.
const DESCRIPTOR_BLOCKS: u32 = 12;
/// Bytes of one change: where, and what.
const CHANGE_LEN: usize = 4;
/// Whatever a volume says, what is read of it is bounded, fits to what was said of it, and comes
/// to an end.
///
/// The input is a list of changes to a sound volume: a number of a descriptor's sector, an offset
/// in it (two bytes) and the new byte. Or it is an image, for inputs that are made of those of other
/// programs: `SECTORS_MAGIC`, the number of a node that comes from outside (eight bytes), how many
/// sectors the image has (two bytes), and those of them that are not zero, each behind its number
/// (two bytes).
///
/// The tags of what was changed are made right again, so that not only they are tested.
pub fn fuzz_udf(data: &[u8]) {
    if let Some(image) = data.strip_prefix(SECTORS_MAGIC) {
        fuzz_image(image);
        return;
    }
    let mut image = sound_image();
    let sectors: Vec<u32> = (PARTITION_SECTOR..PARTITION_SECTOR + DESCRIPTOR_BLOCKS)
        .chain(
            SEQUENCE_SECTORS
                .into_iter()
                .flat_map(|first| first..first + 4),
        )
        .chain([ANCHOR_SECTOR])
        .collect();
    for change in data.chunks_exact(CHANGE_LEN) {
        let &[sector, low, high, value] = change else {
            continue;
        };
        let sector = sectors[usize::from(sector) % sectors.len()] as usize;
        let offset = usize::from(u16::from_le_bytes([low, high])) % BLOCK_SIZE;
        image[sector * BLOCK_SIZE + offset] = value;
    }
    for sector in sectors {
        let start = sector as usize * BLOCK_SIZE;
        sign_all(&mut image[start..start + BLOCK_SIZE]);
    }
    let options = ImageOptions::new().with_names(NameSource::Udf);
    if let Ok(tree) = now(options.open(MemBlob::new(image))) {
        walk(&tree);
    }
}

fn fuzz_image(data: &[u8]) {
    let Some((&number, data)) = data.split_first_chunk() else {
        return;
    };
    let Some((&count, data)) = data.split_first_chunk() else {
        return;
    };
    let count = usize::from(u16::from_le_bytes(count)).min(SECTORS_MAX);
    let mut image = vec![0; count * SECTOR];
    for sector in data.chunks(2 + SECTOR) {
        let Some((&place, bytes)) = sector.split_first_chunk() else {
            continue;
        };
        let start = usize::from(u16::from_le_bytes(place)) * SECTOR;
        let Some(sector) = image.get_mut(start..start + SECTOR) else {
            continue;
        };
        sector[..bytes.len()].copy_from_slice(bytes);
        // Other sectors are content, or ISO 9660's.
        if matches!(sector, [1..=9, 0, ..] | [0..=10, 1, ..]) {
            sign_all(sector);
        }
    }
    let limits = Limits {
        directory_bytes_max: 1 << 20,
        directory_entries_max: 1000,
        ..Limits::default()
    };
    let options = ImageOptions::new().with_names(NameSource::Udf);
    let Ok(tree) = now(options.with_limits(limits).open(MemBlob::new(image))) else {
        return;
    };
    if let Some(number) = NonZeroU64::new(u64::from_le_bytes(number)) {
        let node = NodeId::new(number);
        let known = now(tree.attributes(node));
        if let Ok(known) = &known {
            assert_eq!(known.node, node);
            let key = tree.key(node).expect("of a node that is there");
            assert_eq!(now(tree.resolve_key(&key)).expect("its own key"), node);
        }
        let is_directory = known.is_ok_and(|known| known.kind == NodeKind::Directory);
        assert!(is_directory || now(tree.parent(node)).is_err());
        assert!(is_directory || now(tree.read_dir(node, Cookie::START, 10)).is_err());
    }
    walk(&tree);
}

/// A volume with a node of each kind.
fn sound_image() -> Vec<u8> {
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let mut builder = ImageBuilder::new(BLOCK_SIZE);
    let children = [
        ("sub", 2),
        ("small", 3),
        ("large", 4),
        ("link", 6),
        ("null", 7),
    ];
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &children);
    let mut content = identifier(1 << 3, ROOT_BLOCK, b"");
    content.extend(identifier(0, 9, b"\x08deep"));
    content.extend(identifier(1 << 2, 3, b"\x08gone"));
    content.extend(identifier(0, 3, b"\x10\x6f\x22\x5b\x57"));
    let len = u32::try_from(content.len()).unwrap_or(0);
    let sub = Entry::short(4, u64::from(len), &[(len, 8)]);
    builder.put(2, sub.file_entry(2));
    builder.put(3, Entry::embedded(5, b"embedded").extended_file_entry(3));
    let large = [(600, 10), (1 << 30 | 70, 0), (3 << 30 | 512, 5)];
    builder.put(4, Entry::short(5, 700, &large).file_entry(4));
    let continued = words(&[0, 8, 30, 11]);
    builder.put(5, tagged(tag::ALLOCATION_EXTENT, 5, &continued));
    let target = b"\x02\0\0\0\x03\0\0\0\x05\x05\0\0\x08boot";
    builder.put(6, Entry::embedded(12, target).file_entry(6));
    let mut attributes = vec![0; 24];
    attributes.extend(words(&[12, 1, 24, 0, 1, 3]));
    let null = Entry {
        attributes,
        ..Entry::embedded(7, b"")
    };
    builder.put(7, null.file_entry(7));
    builder.put(8, content);
    builder.put_directory(9, 2, &[("small", 3)]);
    builder.put(10, [b'x'; 2 * BLOCK_SIZE]);
    builder.build()
}

/// Makes all tags of a block right again: those of identifiers in it first.
fn sign_all(block: &mut [u8]) {
    for at in (tag::TAG_LEN..block.len()).step_by(4) {
        if block[at..].starts_with(&tag::FILE_IDENTIFIER.to_le_bytes()) {
            sign(&mut block[at..]);
        }
    }
    sign(block);
}

/// Looks at everything. No directory comes twice: each has one parent, and one name there.
fn walk(tree: &ImageTree) {
    let mut known = vec![tree.root()];
    let mut next = 0;
    let mut left = NODES_MAX;
    while let Some(&dir) = known.get(next) {
        next += 1;
        let Ok(page) = now(tree.read_dir_attributes(dir, Cookie::START, 1000)) else {
            continue;
        };
        for listed in page.entries {
            let Some(found) = listed.attributes else {
                continue;
            };
            if left == 0 {
                return;
            }
            left -= 1;
            look_at(tree, dir, &found);
            if found.kind == NodeKind::Directory {
                assert!(
                    !known.contains(&found.node),
                    "a directory lies in two places"
                );
                known.push(found.node);
            }
        }
    }
}

fn look_at(tree: &ImageTree, dir: NodeId, known: &Attributes) {
    if let Ok(attributes) = now(tree.attributes(known.node)) {
        assert_eq!(attributes, *known);
    }
    match known.kind {
        NodeKind::Directory => assert_eq!(now(tree.parent(known.node)).ok(), Some(dir)),
        NodeKind::Link => {
            let target = now(tree.read_link(known.node)).expect("it was read for its length");
            assert_eq!(target.len() as u64, known.len);
        }
        NodeKind::File => {
            if let Ok(blob) = now(tree.open(known.node)) {
                assert_eq!(blob.attributes().len, known.len);
                read(&*blob);
            }
        }
        _ => assert!(now(tree.open(known.node)).is_err()),
    }
}

/// Reads the start and the end of a file.
fn read(blob: &dyn Blob) {
    const PART: usize = 5000;
    let len = blob.attributes().len;
    for offset in [0, len.saturating_sub(PART as u64 / 2)] {
        let read = now(blob.read_at(offset, PART)).expect("its extents were checked");
        assert_eq!(read.len() as u64, (len - offset).min(PART as u64));
    }
}

/// The result of a future that waits for nothing, since the image lies in memory.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("memory was waited for"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sound_volume_is_read_whole() {
        let options = ImageOptions::new().with_names(NameSource::Udf);
        let image = MemBlob::new(sound_image());
        let tree = now(options.open(image)).expect("a volume");
        let page = now(tree.read_dir(tree.root(), Cookie::START, 100)).expect("the root");
        assert_eq!(page.entries.len(), 5);
        for entry in page.entries {
            let found = now(tree.lookup(tree.root(), &entry.name)).expect("listed");
            match found.kind {
                NodeKind::File => read(&*now(tree.open(found.node)).expect("a file")),
                NodeKind::Directory => {
                    let below = now(tree.read_dir(found.node, Cookie::START, 100));
                    assert_eq!(below.expect("a directory").entries.len(), 2);
                }
                _ => {}
            }
        }
        fuzz_udf(&[]);
    }

    /// An image in the form that the ones of other programs have.
    fn image_of_sectors() -> Vec<u8> {
        let mut builder = ImageBuilder::new(SECTOR);
        builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &[("sub", 2), ("file", 3)]);
        builder.put_directory(2, ROOT_BLOCK, &[("file", 3)]);
        builder.put(3, Entry::embedded(5, b"content").file_entry(3));
        let image = builder.build();
        let count = u16::try_from(image.len() / SECTOR).expect("few");
        let mut data = [SECTORS_MAGIC, &2_u64.to_le_bytes(), &count.to_le_bytes()].concat();
        for (number, sector) in (0_u16..).zip(image.chunks(SECTOR)) {
            if sector.iter().any(|byte| *byte != 0) {
                data.extend(number.to_le_bytes());
                data.extend(sector);
            }
        }
        data
    }

    proptest! {
        #[test]
        fn images_with_changes_break_no_promise(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..30),
        ) {
            let mut data = image_of_sectors();
            let used: Vec<usize> = (4..data.len()).filter(|at| data[*at] != 0).collect();
            for (at, byte) in changes {
                data[used[at.index(used.len())]] = byte;
            }
            fuzz_udf(&data);
        }

        #[test]
        fn volumes_with_changes_break_no_promise(
            changes in prop::collection::vec((any::<u8>(), 0_u16..512, any::<u8>()), 0..30),
        ) {
            let mut data = Vec::new();
            for (sector, offset, value) in changes {
                let [low, high] = offset.to_le_bytes();
                data.extend([sector, low, high, value]);
            }
            fuzz_udf(&data);
        }
    }
}
