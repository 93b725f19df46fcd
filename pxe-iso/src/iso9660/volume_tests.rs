//! Volumes that are built in memory.

use std::sync::Arc;

use pxe_tree::conformance::{Expected, Fixture, check};
use pxe_tree::{DirTree, Direct, ErrorKind, MemBlob, Name, NodeKind, Tree, TreePath, resolve};

use super::image_builder::{self, ImageBuilder, both32, continuation, entry, path_record, record};
use crate::{Image, ImageError, ImageOptions, ImageTree, NameSource};

async fn open(image: Vec<u8>) -> Arc<ImageTree> {
    Image::open(MemBlob::new(image)).await.expect("an image")
}

/// An image without Rock Ridge whose root has these records behind `.` and `..`.
fn plain(build: impl FnOnce(&mut ImageBuilder) -> Vec<Vec<u8>>) -> Vec<u8> {
    with_root_area(&[], build)
}

/// The same, with `SP` and a known extension.
fn rock_ridge(build: impl FnOnce(&mut ImageBuilder) -> Vec<Vec<u8>>) -> Vec<u8> {
    let sp = entry(b"SP", &[0xbe, 0xef, 0]);
    with_root_area(&[sp, entry(b"RR", &[0])].concat(), build)
}

fn with_root_area(area: &[u8], build: impl FnOnce(&mut ImageBuilder) -> Vec<Vec<u8>>) -> Vec<u8> {
    let mut image = ImageBuilder::new();
    let root = image.add(&[0; 4096]);
    let mut records = vec![
        record(&[0], root, 4096, 2, area),
        record(&[1], root, 4096, 2, &[]),
    ];
    records.extend(build(&mut image));
    image.write_records(root, &records);
    image.finish(root, 4096)
}

async fn names(tree: &ImageTree) -> Vec<String> {
    let page = tree.read_dir(tree.root(), pxe_tree::Cookie::START, usize::MAX);
    let entries = page.await.expect("a directory").entries;
    entries.iter().map(|entry| entry.name.to_string()).collect()
}

async fn content(tree: &ImageTree, name: &str) -> pxe_tree::Result<Vec<u8>> {
    let name = Name::new(name).expect("a name");
    let node = tree.lookup(tree.root(), name).await?.node;
    let blob = tree.open(node).await?;
    Ok(blob.read_at(0, 1 << 20).await?.to_vec())
}

#[tokio::test]
async fn rock_ridge_conforms() {
    let fixture = Fixture::standard().with("other/fifo", Expected::Other(NodeKind::Fifo));
    let image = image_builder::rock_ridge(&fixture);
    check(&fixture, async || open(image.clone()).await as _).await;
}

/// Sent from the image's own file, whose extents are where the content is.
#[tokio::test]
async fn an_image_in_a_directory_conforms_and_is_sent_from_its_file() {
    let fixture = Fixture::new()
        .file("a/b", vec![b'x'; 5000])
        .link("l", "a/b");
    let dir = tempfile::tempdir().expect("a directory");
    let image = image_builder::rock_ridge(&fixture);
    std::fs::write(dir.path().join("image.iso"), image).expect("written");
    let open_image = async || {
        let images = DirTree::new(dir.path()).expect("a directory");
        let name = Name::new("image.iso").expect("a name");
        let found = images.lookup(images.root(), name).await.expect("there");
        let image = images.open(found.node).await.expect("a file");
        Image::open(image).await.expect("an image")
    };
    check(&fixture, async || open_image().await as _).await;
    let tree = open_image().await;
    let path = TreePath::parse("a/b").expect("a path");
    let found = resolve(&*tree, &path).await.expect("there").attributes;
    let blob = tree.open(found.node).await.expect("a file");
    let direct = blob.direct(1, u64::MAX);
    assert!(matches!(direct, Direct::File { len: 4999, .. }));
}

#[tokio::test]
async fn rock_ridge_has_modes_owners_and_times() {
    let fixture = Fixture::new().file("a/b", "content");
    let tree = open(image_builder::rock_ridge(&fixture)).await;
    assert_eq!(tree.format_name(), "ISO 9660, Rock Ridge");
    assert_eq!(tree.volume_id(), "TEST");
    let found = resolve(&*tree, &TreePath::parse("a/b").expect("a path")).await;
    let found = found.expect("there").attributes;
    assert_eq!((found.mode, found.uid, found.gid), (0o640, 7, 8));
    assert_eq!(found.modified.seconds, 1_709_210_096);
}

#[tokio::test]
async fn a_file_of_several_extents_is_one() {
    let tree = open(plain(|image| {
        let second = image.add(b"the end");
        let first = image.add(&[b'a'; 2048]);
        vec![
            record(b"BIG.;1", first, 2048, 0x80, &[]),
            record(b"BIG.;1", second, 7, 0, &[]),
            record(b"HALF.;1", second, 7, 0x80, &[]),
        ]
    }))
    .await;
    assert_eq!(names(&tree).await, ["big"], "half of a file is none");
    let expected = [&[b'a'; 2048][..], b"the end"].concat();
    assert_eq!(content(&tree, "big").await.expect("a file"), expected);
}

#[tokio::test]
async fn extended_attribute_records_are_no_content() {
    let tree = open(plain(|image| {
        let block = image.add(&[b'x'; 2048]);
        image.add(b"content");
        let mut made = record(b"A.TXT;1", block, 7, 0, &[]);
        made[1] = 1;
        vec![made]
    }))
    .await;
    assert_eq!(content(&tree, "a.txt").await.expect("a file"), b"content");
}

/// They are listed, and say why they cannot be read.
#[tokio::test]
async fn what_is_not_read_is_refused_by_name() {
    let image = rock_ridge(|image| {
        let block = image.add(b"content");
        let mut interleaved = record(b"INTERLEAVED.;1", block, 7, 0, &[]);
        interleaved[26] = 1;
        let zf = [b"pz\x04\x0f", &both32(99)[..]].concat();
        let sf = [both32(0), both32(7), vec![0]].concat();
        vec![
            interleaved,
            record(b"ZISOFS.;1", block, 7, 0, &entry(b"ZF", &zf)),
            record(b"SPARSE.;1", block, 7, 0, &entry(b"SF", &sf)),
        ]
    });
    let tree = open(image).await;
    for (name, why) in [
        ("interleaved", "interleaved"),
        ("zisofs", "zisofs (ZF)"),
        ("sparse", "Rock Ridge (SF)"),
    ] {
        let error = content(&tree, name).await.expect_err("not read");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let source = std::error::Error::source(&error).expect("a reason");
        assert!(source.to_string().contains(why), "{name}: {source}");
    }
}

#[tokio::test]
async fn content_beyond_the_end_is_listed_and_not_read() {
    let tree = open(plain(|_| vec![record(b"FAR.;1", 1 << 30, 7, 0, &[])])).await;
    assert_eq!(names(&tree).await, ["far"]);
    let error = content(&tree, "far").await.expect_err("beyond the end");
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[tokio::test]
async fn continuation_areas_that_lead_back_end() {
    let tree = open(rock_ridge(|image| {
        let block = u32::try_from(image.bytes.len() / 2048).expect("small");
        image.add(&continuation(block, 0, 28));
        vec![
            record(b"LOOP.;1", 20, 7, 0, &continuation(block, 0, 28)),
            record(b"SOUND.;1", 20, 7, 0, &[]),
        ]
    }))
    .await;
    assert_eq!(names(&tree).await, ["sound"]);
}

/// A moved directory: its place (`CL`), the directory that holds it (`RE`), its parent (`PL`).
#[tokio::test]
async fn a_directory_that_was_moved_is_where_it_was() {
    let mut root = 0;
    let mut moved = 0;
    let tree = open(rock_ridge(|image| {
        root = u32::try_from(image.bytes.len() / 2048).expect("small") - 2;
        let holder = image.add(&[0; 2048]);
        moved = image.add(&[0; 2048]);
        image.write_records(
            holder,
            &[
                record(&[0], holder, 2048, 2, &[]),
                record(&[1], root, 4096, 2, &[]),
                record(b"D", moved, 2048, 2, &entry(b"RE", &[])),
            ],
        );
        image.write_records(
            moved,
            &[
                record(&[0], moved, 2048, 2, &[]),
                record(&[1], holder, 2048, 2, &entry(b"PL", &both32(root))),
                record(b"F.;1", 20, 0, 0, &[]),
            ],
        );
        vec![
            record(b"D.;1", 20, 0, 0, &entry(b"CL", &both32(moved))),
            record(b"HOLDER", holder, 2048, 2, &[]),
        ]
    }))
    .await;
    let look = async |dir, name| tree.lookup(dir, Name::new(name).expect("a name")).await;
    let found = look(tree.root(), "d").await.expect("CL");
    assert_eq!(found.kind, NodeKind::Directory);
    assert!(look(found.node, "f").await.is_ok());
    assert_eq!(tree.parent(found.node).await.expect("PL"), tree.root());
    let holder = look(tree.root(), "holder").await.expect("there").node;
    assert!(look(holder, "d").await.is_err(), "RE is not shown");
}

/// Every `..` of Joliet's hierarchy names its own directory there; the path table is right.
#[tokio::test]
async fn libisofs_names_no_parent_in_joliets_hierarchy() {
    let (mut root, mut sub) = (0, 0);
    let mut image = plain(|image| {
        root = u32::try_from(image.bytes.len() / 2048).expect("small") - 2;
        sub = image.add(&[0; 2048]);
        let own = record(&[0], sub, 2048, 2, &[]);
        image.write_records(sub, &[own, record(&[1], sub, 2048, 2, &[])]);
        vec![record(b"SUB", sub, 2048, 2, &[])]
    });
    let table = [path_record(root, 1, &[0]), path_record(sub, 1, b"SUB")].concat();
    let block = u32::try_from(image.len() / 2048).expect("small");
    image.extend(&table);
    let len = u32::try_from(table.len()).expect("small");
    let mut with_table = image.clone();
    with_table[16 * 2048 + 132..][..8].copy_from_slice(&both32(len));
    with_table[16 * 2048 + 140..][..4].copy_from_slice(&block.to_le_bytes());
    let tree = open(with_table).await;
    let look = async |tree: &ImageTree| {
        let name = Name::new("sub").expect("a name");
        tree.lookup(tree.root(), name).await.expect("there").node
    };
    let above = tree.parent(look(&tree).await).await;
    assert_eq!(above.expect("by the path table"), tree.root());
    let tree = open(image).await;
    let error = tree.parent(look(&tree).await).await.expect_err("no table");
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[tokio::test]
async fn a_directory_in_itself_is_not_shown() {
    let tree = open(plain(|image| {
        let root = u32::try_from(image.bytes.len() / 2048).expect("small") - 2;
        vec![record(b"AGAIN", root, 4096, 2, &[])]
    }))
    .await;
    assert!(names(&tree).await.is_empty());
}

#[tokio::test]
async fn el_torito_entries_are_files() {
    let mut image = plain(|image| {
        let boot = image.add(b"boot sector");
        let mut catalogue = vec![0; 96];
        catalogue[0] = 1;
        catalogue[28..32].copy_from_slice(&[0xaa, 0x55, 0x55, 0xaa]);
        catalogue[32] = 0x88;
        catalogue[38] = 4;
        catalogue[40..44].copy_from_slice(&boot.to_le_bytes());
        image.add(&catalogue);
        Vec::new()
    });
    // The boot record takes the terminator's place.
    let catalogue = u32::try_from(image.len() / 2048).expect("small") - 1;
    image[17 * 2048..][..30].copy_from_slice(b"\0CD001\x01EL TORITO SPECIFICATION");
    image[17 * 2048 + 71..][..4].copy_from_slice(&catalogue.to_le_bytes());
    let tree = open(image).await;
    assert_eq!(names(&tree).await, ["[BOOT]"]);
    let path = TreePath::parse("[BOOT]/1-BIOS.img").expect("a path");
    let found = resolve(&*tree, &path).await.expect("there").attributes;
    assert_eq!(found.len, 2048);
    let blob = tree.open(found.node).await.expect("a file");
    assert_eq!(blob.read_at(0, 11).await.expect("read"), "boot sector");
    assert_eq!(tree.attributes(found.node).await.expect("there"), found);
}

#[tokio::test]
async fn a_replaced_image_has_other_keys() {
    let image = plain(|_| Vec::new());
    let mut other = image.clone();
    other[16 * 2048 + 40] = b'X';
    let key = open(image).await;
    let key = key.key(key.root()).expect("a key");
    let error = open(other).await.resolve_key(&key).await;
    assert_eq!(error.expect_err("another").kind(), ErrorKind::Stale);
}

#[tokio::test]
async fn what_is_no_image_is_said_to_be_none() {
    for bytes in [Vec::new(), vec![0; 100], vec![0; 100_000]] {
        let opened = Image::open(MemBlob::new(bytes)).await;
        assert!(matches!(opened, Err(ImageError::NotAnImage)));
    }
    let joliet = ImageOptions::new().with_names(NameSource::Joliet);
    let opened = joliet.open(MemBlob::new(plain(|_| Vec::new()))).await;
    assert!(matches!(opened, Err(ImageError::NotAnImage)));
}
