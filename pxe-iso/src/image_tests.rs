//! What holds for images of either file system.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tree::conformance::{Fixture, check};
use pxe_tree::{Attributes, Blob, Direct, ErrorKind, MemBlob, Name, NodeId, Result, Tree};

use crate::iso9660::image_builder::{self as iso9660, record};
use crate::udf::image_builder::{self as udf, ROOT_BLOCK};
use crate::{Damage, Image, ImageError, ImageOptions, ImageTree, NameSource};

async fn open(image: Vec<u8>) -> Arc<ImageTree> {
    Image::open(MemBlob::new(image)).await.expect("an image")
}

async fn find(tree: &ImageTree, dir: NodeId, name: &str) -> Attributes {
    let name = Name::new(name).expect("a name");
    tree.lookup(dir, name).await.expect("there")
}

/// An ISO 9660 volume whose root has these records behind `.` and `..`.
fn plain(records: &[Vec<u8>]) -> Vec<u8> {
    let mut image = iso9660::ImageBuilder::new();
    let root = image.add(&[0; 2048]);
    let own = [0, 1].map(|name| record(&[name], root, 2048, 2, &[]));
    image.write_records(root, &[&own, records].concat());
    image.finish(root, 2048)
}

/// A UDF volume with one file, `file`.
fn udf_volume() -> Vec<u8> {
    let mut builder = udf::ImageBuilder::new(2048);
    builder.put_directory(ROOT_BLOCK, ROOT_BLOCK, &[("file", 2)]);
    builder.put(2, udf::Entry::embedded(5, b"UDF").file_entry(2));
    builder.build()
}

/// A UDF volume with the descriptors and directories of an ISO 9660 one before it.
fn bridge(iso9660: &[u8]) -> Vec<u8> {
    const DESCRIPTORS: std::ops::Range<usize> = 16 * 2048..18 * 2048;
    let mut image = udf_volume();
    // The recognition sequence moves behind the descriptors, which belong to it.
    image.copy_within(16 * 2048..19 * 2048, 18 * 2048);
    image[DESCRIPTORS].copy_from_slice(&iso9660[DESCRIPTORS]);
    // The directories would overwrite that sequence; the root is put where nothing else lies.
    let root = 30_u32;
    let len = iso9660.len() - 18 * 2048;
    image[root as usize * 2048..][..len].copy_from_slice(&iso9660[18 * 2048..]);
    for place in [16 * 2048 + 156, root as usize * 2048] {
        image[place + 2..place + 10].copy_from_slice(&iso9660::both32(root));
    }
    image
}

#[tokio::test]
async fn udf_comes_before_plain_names_and_before_a_stub() {
    let files = [b"A.;1", b"B.;1"].map(|name| record(name, 20, 0, 0, &[]));
    for (records, best) in [(&files[..], "UDF 1.02"), (&files[..1], "UDF 1.02")] {
        let image = bridge(&plain(records));
        assert_eq!(open(image.clone()).await.format_name(), best);
        let options = ImageOptions::new().with_names(NameSource::Plain);
        let tree = options.open(MemBlob::new(image.clone())).await;
        assert_eq!(tree.expect("an image").format_name(), "ISO 9660");
        // Without the anchors there is no UDF: names are better than none, a stub is no image.
        let mut damaged = image;
        let end = damaged.len() - 2048;
        damaged[256 * 2048] ^= 1;
        damaged[end] ^= 1;
        let opened = Image::open(MemBlob::new(damaged)).await;
        match records.len() {
            1 => assert!(matches!(opened, Err(ImageError::Damaged(Damage::Tag)))),
            _ => assert_eq!(opened.expect("an image").format_name(), "ISO 9660"),
        }
    }
}

#[tokio::test]
async fn damage_in_iso_9660_takes_nothing_from_udf() {
    let mut image = bridge(&plain(&[record(b"A.;1", 20, 0, 0, &[])]));
    // The root's flags: no directory.
    image[16 * 2048 + 156 + 25] = 0;
    assert_eq!(open(image.clone()).await.format_name(), "UDF 1.02");
    image.truncate(100 * 2048);
    let opened = Image::open(MemBlob::new(image)).await;
    assert!(matches!(opened, Err(ImageError::Damaged(_))));
}

#[tokio::test]
async fn an_image_in_an_image_is_read_where_it_lies() {
    let fixture = Fixture::new()
        .file("a/b", vec![b'x'; 5000])
        .link("l", "a/b");
    let inner = iso9660::rock_ridge(&fixture);
    let outer = iso9660::rock_ridge(&Fixture::new().file("inner.iso", inner));
    let open_inner = async || {
        let outer = open(outer.clone()).await;
        let found = find(&outer, outer.root(), "inner.iso").await;
        let inner = outer.open(found.node).await.expect("a file");
        Image::open(inner).await.expect("an image")
    };
    check(&fixture, async || open_inner().await as _).await;
    let tree = open_inner().await;
    let dir = find(&tree, tree.root(), "a").await;
    let file = find(&tree, dir.node, "b").await;
    let blob = tree.open(file.node).await.expect("a file");
    let Direct::Memory(sent) = blob.direct(4990, 99) else {
        panic!("not in memory");
    };
    assert_eq!(sent, [b'x'; 10]);
}

/// A path of 10,000 directories: nothing here goes down by itself.
#[tokio::test]
async fn a_path_of_10000_directories_is_walked() {
    const DEPTH: u32 = 10_000;
    let mut image = iso9660::ImageBuilder::new();
    let root = u32::try_from(image.bytes.len() / 2048).expect("small");
    for block in root..root + DEPTH {
        let above = block.saturating_sub(1).max(root);
        image.add(&[0; 2048]);
        let records = [
            record(&[0], block, 2048, 2, &[]),
            record(&[1], above, 2048, 2, &[]),
            // The last one leads beyond the end: it is not shown, and spoils nothing.
            record(b"D", block + 1, 2048, 2, &[]),
        ];
        image.write_records(block, &records);
    }
    let tree = open(image.finish(root, 2048)).await;
    let mut dir = tree.root();
    for _ in 1..DEPTH {
        let below = find(&tree, dir, "d").await.node;
        assert_eq!(tree.parent(below).await.expect("a directory"), dir);
        dir = below;
    }
    let error = tree.lookup(dir, Name::new("d").expect("a name")).await;
    assert_eq!(error.expect_err("the end").kind(), ErrorKind::NotFound);
}

/// Memory that has to be waited for, and counts how often it is.
#[derive(Debug)]
struct Waiting {
    image: Arc<MemBlob>,
    reads: AtomicUsize,
}

#[async_trait]
impl Blob for Waiting {
    fn attributes(&self) -> &Attributes {
        self.image.attributes()
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.image.read_at(offset, len).await
    }
}

#[tokio::test]
async fn of_many_who_ask_for_a_directory_one_reads_it() {
    let files: Vec<Vec<u8>> = (0..30)
        .map(|number| record(format!("F{number}.;1").as_bytes(), 20, 0, 0, &[]))
        .collect();
    let image = MemBlob::new(plain(&files));
    let reads = async |clients: usize| {
        let blob = Arc::new(Waiting {
            image: Arc::clone(&image),
            reads: AtomicUsize::new(0),
        });
        let tree = Image::open(Arc::clone(&blob) as _).await;
        let tree = tree.expect("an image");
        let before = blob.reads.load(Ordering::Relaxed);
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let tree = Arc::clone(&tree);
                tokio::spawn(async move { find(&tree, tree.root(), "f7").await })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        blob.reads.load(Ordering::Relaxed) - before
    };
    let alone = reads(1).await;
    assert!(alone > 0);
    assert_eq!(reads(100).await, alone);
}

/// Two images that were made in the same second, of the same size, have other keys if another file
/// lies in their roots.
#[tokio::test]
async fn keys_of_an_image_replaced_by_one_of_the_same_second_are_stale() {
    let of = |name: &[u8]| plain(&[record(name, 20, 0, 0, &[])]);
    let (old, new) = (open(of(b"A.;1")).await, open(of(b"B.;1")).await);
    let key = old.key(old.root()).expect("a key");
    let error = new.resolve_key(&key).await.expect_err("another image");
    assert_eq!(error.kind(), ErrorKind::Stale);
}
