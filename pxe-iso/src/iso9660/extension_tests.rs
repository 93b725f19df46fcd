//! Rock Ridge, XA, Joliet and El Torito in volumes that are built in memory.

use std::sync::Arc;

use pxe_tree::{Attributes, Blob, Cookie, MemBlob, Name, NodeKind, Tree};

use super::image_builder::{ImageBuilder, entry, record};
use crate::{Image, ImageTree};

/// Seconds of 2024-02-29 12:34:56, which the builder's records have.
const RECORDED: i64 = 1_709_210_096;

async fn open(image: Vec<u8>) -> Arc<ImageTree> {
    Image::open(MemBlob::new(image)).await.expect("an image")
}

/// An image whose root's own record has this area, and behind it these records.
fn image_of(root_area: &[u8], build: impl FnOnce(&mut ImageBuilder) -> Vec<Vec<u8>>) -> Vec<u8> {
    let mut image = ImageBuilder::new();
    let root = image.add(&[0; 4096]);
    let mut records = vec![
        record(&[0], root, 4096, 2, root_area),
        record(&[1], root, 4096, 2, &[]),
    ];
    records.extend(build(&mut image));
    image.write_records(root, &records);
    image.finish(root, 4096)
}

fn sp(bytes_skipped: u8) -> Vec<u8> {
    entry(b"SP", &[0xbe, 0xef, bytes_skipped])
}

fn name(name: &[u8]) -> Vec<u8> {
    entry(b"NM", &[&[0][..], name].concat())
}

async fn find(tree: &ImageTree, name: &str) -> Attributes {
    let name = Name::new(name).expect("a name");
    tree.lookup(tree.root(), name).await.expect("there")
}

async fn names(tree: &ImageTree, dir: pxe_tree::NodeId) -> Vec<String> {
    let page = tree.read_dir(dir, Cookie::START, usize::MAX).await;
    let entries = page.expect("a directory").entries;
    entries.iter().map(|entry| entry.name.to_string()).collect()
}

fn seconds(found: &Attributes) -> (i64, i64, i64) {
    let times = [found.modified, found.accessed, found.changed];
    let [modified, accessed, changed] = times.map(|time| time.seconds);
    (modified, accessed, changed)
}

/// Seven bytes for a day of January 1970.
fn day(day: u8) -> Vec<u8> {
    vec![70, 1, day, 0, 0, 0, 0]
}

/// Of the seven times that TF may have (RRIP section 4.1.6), three are shown.
#[tokio::test]
async fn times_are_those_of_tf_and_else_the_records() {
    const DAY: i64 = 86_400;
    let times = |flags: u8, dates: &[Vec<u8>]| {
        let dates = dates.concat();
        entry(b"TF", &[&[flags][..], &dates].concat())
    };
    let image = image_of(&[sp(0), entry(b"RR", &[0])].concat(), |_| {
        let file = |name: &[u8], area: &[u8]| record(name, 20, 0, 0, area);
        let all: Vec<Vec<u8>> = (1..=7).map(day).collect();
        let long = |day: u8| format!("197001{day:02}00000050\0").into_bytes();
        vec![
            file(b"ALL.;1", &times(0x7f, &all)),
            file(b"CREATED.;1", &times(0x01, &all[..1])),
            file(b"LONG.;1", &times(0x80 | 0x06, &[long(2), long(3)])),
            file(b"MODIFIED.;1", &times(0x02, &all[..1])),
            file(b"NONE.;1", &[]),
            file(b"SHORT.;1", &times(0x0e, &all[..1])),
        ]
    });
    let tree = open(image).await;
    let all = find(&tree, "all").await;
    assert_eq!(seconds(&all), (DAY, 2 * DAY, 3 * DAY));
    // A time of creation is not shown.
    let recorded = (RECORDED, RECORDED, RECORDED);
    assert_eq!(seconds(&find(&tree, "created").await), recorded);
    assert_eq!(seconds(&find(&tree, "none").await), recorded);
    let long = find(&tree, "long").await;
    assert_eq!(seconds(&long), (DAY, 2 * DAY, DAY));
    assert_eq!(long.modified.nanos, 500_000_000);
    assert_eq!(seconds(&find(&tree, "modified").await), (0, 0, 0));
    // It has fewer dates than its flags say: it is damaged, and alone so.
    assert_eq!(names(&tree, tree.root()).await.len(), 5);
}

/// CD-ROM XA puts 14 bytes before the entries of each record (SUSP section 5.3); on the root's own
/// some writers put them there too.
#[tokio::test]
async fn the_bytes_of_cd_rom_xa_are_skipped() {
    let xa = [&[0, 0, 0, 0, 0x0d, 0x55][..], b"XA", &[0; 6]].concat();
    for before in [&xa[..], &[]] {
        let root_area = [before, &sp(14), &entry(b"RR", &[0])].concat();
        let image = image_of(&root_area, |image| {
            let block = image.add(b"content");
            let area = [&xa[..], &name(b"Long name")].concat();
            vec![record(b"LONGNAME.;1", block, 7, 0, &area)]
        });
        let tree = open(image).await;
        assert_eq!(tree.format_name(), "ISO 9660, Rock Ridge");
        assert_eq!(names(&tree, tree.root()).await, ["Long name"]);
    }
}

fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// An image whose supplementary descriptor has a root of its own, with these records.
fn joliet(build: impl FnOnce(&mut ImageBuilder) -> Vec<Vec<u8>>) -> Vec<u8> {
    let mut joliet_root = 0;
    let mut image = image_of(&[], |image| {
        joliet_root = image.add(&[0; 2048]);
        let mut records = vec![
            record(&[0], joliet_root, 2048, 2, &[]),
            record(&[1], joliet_root, 2048, 2, &[]),
        ];
        records.extend(build(image));
        image.write_records(joliet_root, &records);
        vec![record(b"PRIMARY.;1", 20, 0, 0, &[])]
    });
    // It takes the terminator's place.
    let (primary, supplementary) = image[16 * 2048..].split_at_mut(2048);
    supplementary[..2048].copy_from_slice(&primary[..2048]);
    supplementary[0] = 2;
    supplementary[88..91].copy_from_slice(b"%/E");
    supplementary[40..72].copy_from_slice(&ucs2("A volume ü      "));
    supplementary[156..190].copy_from_slice(&record(&[0], joliet_root, 2048, 2, &[]));
    image
}

#[tokio::test]
async fn a_volume_with_joliet_alone_has_its_names() {
    let image = joliet(|image| {
        let block = image.add(b"content");
        let file = |name: &[u8]| record(name, block, 7, 0, &[]);
        vec![
            file(&ucs2("Größe.tar.gz;1")),
            file(&ucs2("no version")),
            file(&ucs2("kernel.;1")),
            file(&ucs2("\u{1f4bf}")),
        ]
    });
    let tree = open(image).await;
    assert_eq!(tree.format_name(), "ISO 9660, Joliet");
    assert_eq!(tree.volume_id(), "A volume ü");
    let shown = ["Größe.tar.gz", "no version", "kernel", "\u{1f4bf}"];
    assert_eq!(names(&tree, tree.root()).await, shown);
    let found = find(&tree, "Größe.tar.gz").await;
    let blob = tree.open(found.node).await.expect("a file");
    assert_eq!(blob.read_at(0, 99).await.expect("read"), "content");
}

/// Joliet has UCS-2, so that half of a pair is nothing wrong there; of two names that are the same
/// once it is replaced the first is shown.
#[tokio::test]
async fn half_a_pair_of_surrogates_is_replaced() {
    let image = joliet(|_| {
        let file = |name: &[u8]| record(name, 20, 0, 0, &[]);
        vec![
            file(&[0xd8, 0x3d, 0, b'a']),
            file(&[0xd8, 0x3e, 0, b'a']),
            file(&[0, b'b', 0xdc, 0]),
        ]
    });
    let tree = open(image).await;
    let shown = ["\u{fffd}a", "b\u{fffd}"];
    assert_eq!(names(&tree, tree.root()).await, shown);
}

fn boot_entry(sectors: u16, block: u32) -> Vec<u8> {
    let mut made = vec![0; 32];
    made[0] = 0x88;
    made[6..8].copy_from_slice(&sectors.to_le_bytes());
    made[8..12].copy_from_slice(&block.to_le_bytes());
    made
}

fn section(is_last: bool, platform: u8, entries: u16) -> Vec<u8> {
    let mut made = vec![0; 32];
    made[0] = 0x90 | u8::from(is_last);
    made[1] = platform;
    made[2..4].copy_from_slice(&entries.to_le_bytes());
    made
}

/// UEFI takes a sector count of 0 and 1 for "to the end"; a file system knows its size itself.
#[tokio::test]
async fn el_torito_entries_of_uefi_have_their_sizes() {
    let mut image = image_of(&[], |image| {
        let bios = image.add(b"isolinux");
        let mut fat = vec![0; 512];
        fat[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
        fat[11..13].copy_from_slice(&512_u16.to_le_bytes());
        fat[19..21].copy_from_slice(&8_u16.to_le_bytes());
        fat[510..].copy_from_slice(&[0x55, 0xaa]);
        fat.resize(8 * 512, b'f');
        let fat = image.add(&fat);
        let last = image.add(&[b'u'; 3000]);
        let mut validation = vec![0; 32];
        validation[0] = 1;
        validation[28..].copy_from_slice(&[0xaa, 0x55, 0x55, 0xaa]);
        let mut extension = vec![0; 32];
        extension[0] = 0x44;
        let catalogue = [
            validation,
            boot_entry(4, bios),
            section(false, 0xef, 2),
            boot_entry(0, fat),
            extension,
            boot_entry(1, last),
            section(true, 0x42, 1),
            boot_entry(1, bios),
            vec![0; 32],
        ];
        image.add(&catalogue.concat());
        Vec::new()
    });
    let catalogue = u32::try_from(image.len() / 2048).expect("small") - 1;
    let boot = image[17 * 2048..].first_chunk_mut::<2048>();
    let boot = boot.expect("the terminator");
    boot[..30].copy_from_slice(b"\0CD001\x01EL TORITO SPECIFICATION");
    boot[71..75].copy_from_slice(&catalogue.to_le_bytes());
    let tree = open(image).await;
    let dir = find(&tree, "[BOOT]").await;
    assert_eq!(dir.kind, NodeKind::Directory);
    let shown = ["1-BIOS.img", "2-UEFI.img", "3-UEFI.img", "4-Other.img"];
    assert_eq!(names(&tree, dir.node).await, shown);
    for (name, len) in shown.iter().zip([2048, 4096, 6144, 512]) {
        let name = Name::new(*name).expect("a name");
        let found = tree.lookup(dir.node, name).await.expect("there");
        assert_eq!(found.len, len, "{name}");
        let blob: Arc<dyn Blob> = tree.open(found.node).await.expect("a file");
        let read = blob.read_at(0, 1 << 20).await.expect("read");
        assert_eq!(read.len() as u64, len);
    }
    assert_eq!(tree.parent(dir.node).await.expect("the root"), tree.root());
}
