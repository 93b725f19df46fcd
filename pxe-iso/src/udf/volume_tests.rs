//! Volumes built in memory, read through the tree.

use std::sync::Arc;

use bytes::Bytes;
use pxe_tree::{Attributes, Blob, Cookie, ErrorKind, MemBlob, Name, NodeId, NodeKind, Tree};

use super::address::BlockAddress;
use super::image_builder::{
    ANCHOR_SECTOR, Entry, ImageBuilder, PARTITION_SECTOR, ROOT_BLOCK, SEQUENCE_SECTORS, identifier,
    tagged,
};
use super::tag;
use crate::{Damage, ImageError, ImageOptions, ImageTree, Limits, NameSource, Unsupported};

const SIZES: [usize; 4] = [512, 1024, 2048, 4096];

async fn try_open(image: Vec<u8>) -> Result<Arc<ImageTree>, ImageError> {
    let options = ImageOptions::new().with_names(NameSource::Udf);
    options.open(MemBlob::new(image)).await
}

async fn open(builder: &ImageBuilder) -> Arc<ImageTree> {
    try_open(builder.build()).await.expect("a volume")
}

async fn names(tree: &ImageTree, dir: NodeId) -> Vec<String> {
    let page = tree.read_dir(dir, Cookie::START, 1000).await;
    let page = page.expect("a directory");
    assert!(page.end);
    let names = page.entries.iter().map(|entry| entry.name.to_string());
    names.collect()
}

async fn find(tree: &ImageTree, dir: NodeId, name: &str) -> Attributes {
    let name = Name::new(name).expect("a name");
    tree.lookup(dir, name).await.expect("there")
}

async fn open_file(tree: &ImageTree, name: &str) -> Arc<dyn Blob> {
    let found = find(tree, tree.root(), name).await;
    tree.open(found.node).await.expect("a file")
}

async fn read(tree: &ImageTree, name: &str) -> Bytes {
    let blob = open_file(tree, name).await;
    blob.read_at(0, 1 << 20).await.expect("content")
}

async fn refusal(tree: &ImageTree, name: &str) -> String {
    let found = find(tree, tree.root(), name).await;
    let error = tree.open(found.node).await.expect_err("refused");
    let source = std::error::Error::source(&error).expect("a reason");
    source.to_string()
}

fn node(block: u32) -> NodeId {
    BlockAddress {
        block,
        partition: 0,
    }
    .node()
}

#[tokio::test]
async fn volumes_of_every_sector_size_are_read() {
    for size in SIZES {
        let mut builder = ImageBuilder::new(size);
        builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &[("sub", 2), ("file", 3)]);
        builder.put_directory(2, ROOT_BLOCK, &[("file", 3)]);
        builder.put(3, Entry::embedded(5, b"embedded").file_entry(3));
        let tree = open(&builder).await;
        assert_eq!(tree.format_name(), "UDF 1.02");
        assert_eq!(tree.volume_id(), "LOGICAL");
        let len = (PARTITION_SECTOR as usize + 4) * size;
        assert_eq!(tree.declared_len(), Some(len as u64));
        assert_eq!(names(&tree, tree.root()).await, ["sub", "file"]);
        let sub = find(&tree, tree.root(), "sub").await;
        assert_eq!(sub.kind, NodeKind::Directory);
        for dir in [sub.node, tree.root()] {
            let parent = tree.parent(dir).await.expect("a directory");
            assert_eq!(parent, tree.root());
        }
        // Two names of one file are one node.
        let file = find(&tree, sub.node, "file").await;
        assert_eq!(file, find(&tree, tree.root(), "file").await);
        assert_eq!(read(&tree, "file").await, "embedded");
    }
}

#[tokio::test]
async fn each_anchor_and_each_sequence_will_do() {
    let mut builder = ImageBuilder::new(2048);
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &[("file", 2)]);
    builder.put(2, Entry::embedded(5, b"content").file_entry(2));
    let good = builder.build();
    let spoiled = |sectors: &[u32]| {
        let mut image = good.clone();
        for sector in sectors {
            image[*sector as usize * 2048 + 20] ^= 1;
        }
        image
    };
    let [main, reserve] = SEQUENCE_SECTORS;
    for sectors in [
        &[main + 2][..],
        &[reserve + 2],
        &[ANCHOR_SECTOR],
        &[ANCHOR_SECTOR, main],
    ] {
        let tree = try_open(spoiled(sectors)).await.expect("a second copy");
        assert_eq!(read(&tree, "file").await, "content");
    }
    let none = try_open(spoiled(&[main + 2, reserve + 2])).await;
    assert!(matches!(none, Err(ImageError::Damaged(Damage::Checksum))));
    let last = PARTITION_SECTOR + 3;
    let none = try_open(spoiled(&[ANCHOR_SECTOR, last])).await;
    assert!(matches!(none, Err(ImageError::Damaged(Damage::Tag))));
    // With 256 sectors behind the anchor at the end.
    let mut long = spoiled(&[ANCHOR_SECTOR]);
    long.resize(long.len() + 256 * 2048, 0);
    let tree = try_open(long).await.expect("the anchor 256 before the end");
    assert_eq!(read(&tree, "file").await, "content");
}

#[tokio::test]
async fn what_is_no_udf_is_said_to_be_none() {
    for len in [0, 2048, 32_768, 40_000, 1 << 20] {
        let none = try_open(vec![0; len]).await;
        assert!(matches!(none, Err(ImageError::NotAnImage)), "{len}");
    }
}

#[tokio::test]
async fn metadata_partitions_are_refused_by_the_revision() {
    let mut map = vec![0; 64];
    map[..2].copy_from_slice(&[2, 64]);
    map[5..28].copy_from_slice(b"*UDF Metadata Partition");
    let mut builder = ImageBuilder::new(2048).with_partition_map(map, 0x0250);
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &[]);
    let refused = try_open(builder.build()).await.expect_err("refused");
    assert_eq!(refused.to_string(), "UDF revision 250 is not read");
}

#[tokio::test]
async fn a_file_is_made_of_its_extents_holes_and_continuations() {
    let mut builder = ImageBuilder::new(512);
    builder.put_directory(
        ROOT_BLOCK,
        ROOT_BLOCK,
        &[("file", 2), ("loop", 9), ("short", 10)],
    );
    let continued = 3 << 30 | 512;
    let hole = 1 << 30 | 5;
    let file = Entry::short(5, 12, &[(3, 4), (hole, 0), (continued, 3), (7, 8)]);
    builder.put(2, file.extended_file_entry(2));
    let words = [0_u32, 8, 600, 6];
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    builder.put(3, tagged(tag::ALLOCATION_EXTENT, 3, &words));
    builder.put(4, b"abcdef");
    builder.put(6, b"uvwxyz");
    builder.put(7, Vec::new());
    builder.put(
        8,
        tagged(tag::ALLOCATION_EXTENT, 8, &{
            let words = [0_u32, 16, 1 << 30 | 1, 0, continued, 8];
            words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect::<Vec<u8>>()
        }),
    );
    builder.put(9, Entry::short(5, 1 << 40, &[(continued, 8)]).file_entry(9));
    builder.put(10, Entry::short(5, 4, &[(3, 4)]).file_entry(10));
    let tree = open(&builder).await;
    assert_eq!(&read(&tree, "file").await[..], b"abc\0\0\0\0\0uvwx");
    let endless = "damaged image: a chain of structures leads back to itself";
    assert_eq!(refusal(&tree, "loop").await, endless);
    let short = "damaged image: a structure ends before its fields do";
    assert_eq!(refusal(&tree, "short").await, short);
}

#[tokio::test]
async fn a_file_may_be_larger_than_4_gib() {
    let mut builder = ImageBuilder::new(2048);
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &[("file", 2)]);
    let most = 0x3fff_f800;
    let mut extents = vec![(1 << 30 | most, 0); 5];
    extents.push((3, 3));
    let len = u64::from(most) * 5 + 3;
    builder.put(2, Entry::short(5, len, &extents).file_entry(2));
    builder.put(3, b"end");
    let tree = open(&builder).await;
    let blob = open_file(&tree, "file").await;
    assert_eq!(blob.attributes().len, len);
    let end = blob.read_at(len - 5, 100).await.expect("content");
    assert_eq!(&end[..], b"\0\0end");
}

#[tokio::test]
async fn extents_beyond_the_partition_are_damage() {
    let mut builder = ImageBuilder::new(2048);
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &[("far", 2), ("gone", 77)]);
    builder.put(2, Entry::short(5, 4097, &[(4097, 1)]).file_entry(2));
    let tree = open(&builder).await;
    // The entry whose file entry lies nowhere is left out.
    assert_eq!(names(&tree, tree.root()).await, ["far"]);
    let beyond = "damaged image: something lies beyond the end of the image";
    assert_eq!(refusal(&tree, "far").await, beyond);
}

#[tokio::test]
async fn identifiers_may_lie_across_blocks_and_deleted_ones_are_gone() {
    let mut builder = ImageBuilder::new(512);
    let mut content = identifier(1 << 3, ROOT_BLOCK, b"");
    let mut expected = Vec::new();
    for number in 0..100 {
        let name = format!("file {number:03}");
        let characteristics = if number % 10 == 3 { 1 << 2 } else { 0 };
        let characters = [b"\x08", name.as_bytes()].concat();
        content.extend(identifier(characteristics, 2, &characters));
        if characteristics == 0 {
            expected.push(name);
        }
    }
    let len = u32::try_from(content.len()).expect("short");
    let root = Entry::short(4, u64::from(len), &[(512, 20), (len - 512, 3)]);
    builder.put(ROOT_BLOCK, root.file_entry(ROOT_BLOCK));
    builder.put(2, Entry::embedded(5, b"").file_entry(2));
    let rest = content.split_off(512);
    builder.put(3, rest);
    builder.put(20, content);
    let tree = open(&builder).await;
    assert_eq!(names(&tree, tree.root()).await, expected);
}

#[tokio::test]
async fn links_and_special_files_are_what_they_are() {
    let mut builder = ImageBuilder::new(2048);
    let children = [("link", 2), ("block", 3), ("pipe", 4), ("socket", 5)];
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &children);
    let target = b"\x03\0\0\0\x05\x05\0\0\x08boot";
    builder.put(2, Entry::embedded(12, target).file_entry(2));
    for (block, file_type) in [(3, 6), (4, 9), (5, 10)] {
        builder.put(block, Entry::embedded(file_type, b"").file_entry(block));
    }
    let tree = open(&builder).await;
    let link = find(&tree, tree.root(), "link").await;
    assert_eq!((link.kind, link.len), (NodeKind::Link, 7));
    let target = tree.read_link(link.node).await.expect("a link");
    assert_eq!(target, "../boot");
    let kinds = [NodeKind::BlockDevice, NodeKind::Fifo, NodeKind::Socket];
    for (name, kind) in ["block", "pipe", "socket"].into_iter().zip(kinds) {
        let found = find(&tree, tree.root(), name).await;
        assert_eq!(found.kind, kind);
        let opened = tree.open(found.node).await;
        assert_eq!(opened.expect_err("no file").kind(), ErrorKind::NotAFile);
    }
}

#[tokio::test]
async fn no_directory_contains_itself() {
    let mut builder = ImageBuilder::new(2048);
    let children = [("root", ROOT_BLOCK), ("a", 2), ("other parent", 3)];
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &children);
    builder.put_directory(2, ROOT_BLOCK, &[("a", 2), ("root", ROOT_BLOCK), ("b", 3)]);
    builder.put_directory(3, 2, &[("a", 2), ("b", 3)]);
    let tree = open(&builder).await;
    assert_eq!(names(&tree, tree.root()).await, ["a"]);
    assert_eq!(names(&tree, node(2)).await, ["b"]);
    assert_eq!(names(&tree, node(3)).await, [""; 0]);
}

/// Else a chain of directories, each with two names for the next one, has more paths than anybody
/// can walk.
#[tokio::test]
async fn a_directory_has_one_name() {
    let mut builder = ImageBuilder::new(2048);
    let children = [("a", 2), ("b", 2), ("file", 3), ("again", 3)];
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &children);
    builder.put_directory(2, ROOT_BLOCK, &[]);
    builder.put(3, Entry::embedded(5, b"content").file_entry(3));
    let tree = open(&builder).await;
    let shown = ["a", "file", "again"];
    assert_eq!(names(&tree, tree.root()).await, shown);
}

/// A small image can lead to the same bytes ever again.
#[tokio::test]
async fn what_the_entries_of_a_directory_lead_to_is_bounded() {
    let mut builder = ImageBuilder::new(2048);
    let links: Vec<String> = (0..30).map(|number| format!("link {number:02}")).collect();
    let children: Vec<(&str, u32)> = links.iter().map(|name| (&**name, 2)).collect();
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &children);
    let name = [&b"\x05\xc9\0\0\x08"[..], &[b'n'; 200]].concat();
    builder.put(2, Entry::embedded(12, &name).file_entry(2));
    for (bytes, limit) in [(6_149, true), (6_150, false)] {
        let limits = Limits {
            directory_bytes_max: bytes,
            ..Limits::default()
        };
        let options = ImageOptions::new().with_names(NameSource::Udf);
        let image = MemBlob::new(builder.build());
        let tree = options.with_limits(limits).open(image).await;
        let tree = tree.expect("a volume");
        let page = tree.read_dir(tree.root(), Cookie::START, 99).await;
        assert_eq!(page.is_err(), limit, "30 links of 205 bytes");
    }
    let limits = Limits {
        directory_entries_max: 29,
        ..Limits::default()
    };
    let options = ImageOptions::new().with_limits(limits);
    let tree = options.open(MemBlob::new(builder.build())).await;
    let tree = tree.expect("a volume");
    let page = tree.read_dir(tree.root(), Cookie::START, 99).await;
    assert_eq!(page.expect_err("30 entries").kind(), ErrorKind::Io);
}

#[tokio::test]
async fn files_that_are_not_read_say_why() {
    let mut builder = ImageBuilder::new(2048);
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &[("worm", 2), ("packed", 3)]);
    let worm = Entry {
        strategy: 4096,
        ..Entry::embedded(5, b"")
    };
    builder.put(2, worm.file_entry(2));
    let packed = Entry {
        flags: 1 << 11,
        ..Entry::embedded(5, b"")
    };
    builder.put(3, packed.file_entry(3));
    let tree = open(&builder).await;
    let strategy = Unsupported::Udf("an ICB of strategy 4096");
    assert_eq!(refusal(&tree, "worm").await, strategy.to_string());
    let transformed = Unsupported::Udf("a transformed file");
    assert_eq!(refusal(&tree, "packed").await, transformed.to_string());
}

#[tokio::test]
async fn a_node_that_no_entry_lies_at_is_stale_or_damage() {
    let mut builder = ImageBuilder::new(2048);
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &[("file", 2)]);
    builder.put(2, Entry::embedded(5, b"content").file_entry(2));
    let tree = open(&builder).await;
    for (block, kind) in [(0, ErrorKind::Io), (3, ErrorKind::Stale)] {
        let error = tree.attributes(node(block)).await.expect_err("no node");
        assert_eq!(error.kind(), kind);
    }
    let outside = tree.key(node(3)).expect_err("outside of the partition");
    assert_eq!(outside.kind(), ErrorKind::Stale);
    let error = tree.parent(node(2)).await.expect_err("no directory");
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    let key = tree.key(node(2)).expect("a key");
    for tree in [tree, open(&builder).await] {
        let found = tree.resolve_key(&key).await.expect("its own key");
        assert_eq!(found, node(2));
    }
}
