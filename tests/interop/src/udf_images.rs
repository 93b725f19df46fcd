//! UDF images that other programs make, read by pxe-iso and compared with what 7z extracts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pxe_iso::{ImageOptions, ImageTree, NameSource};
use pxe_tree::{Blob, Cookie, DirTree, ErrorKind, Name, NodeId, NodeKind, Tree};

use crate::LoneTest;

pub(crate) const TESTS: &[LoneTest] = &[
    ("udf_of_genisoimage_reads_as_7z_extracts_it", genisoimage),
    ("udf_of_mkudffs_is_read_or_refused_by_name", mkudffs),
];

/// Bytes of the large file: 4.1 GiB, five extents.
const LARGE_LEN: u64 = 4_402_341_479;

/// Where its extents end: the longest has a block of 2048 bytes less than 1 GiB.
const MARKS: [u64; 4] = [
    0x3fff_f800,
    2 * 0x3fff_f800,
    3 * 0x3fff_f800,
    4 * 0x3fff_f800,
];

/// Bytes that are compared at once.
const PIECE: usize = 4 << 20;

fn genisoimage(_server: &Path) -> Result<(), String> {
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (source, extracted) = (work.path().join("source"), work.path().join("extracted"));
    fill(&source).map_err(|error| format!("filling: {error}"))?;
    let image = work.path().join("image.iso");
    let flags = [
        "-quiet",
        "-udf",
        "-allow-limited-size",
        "-V",
        "A VOLUME",
        "-o",
    ];
    run(Command::new("genisoimage")
        .args(flags)
        .arg(&image)
        .arg(&source))?;
    let mut output = "-o".to_string();
    output.push_str(&extracted.to_string_lossy());
    run(Command::new("7z")
        .args(["x", "-tudf", "-x!large", &output])
        .arg(&image))?;
    block_on(async {
        let tree = open(&image).await?.map_err(|error| error.to_string())?;
        if tree.volume_id() != "A VOLUME" {
            return Err(format!("the volume is {:?}", tree.volume_id()));
        }
        same_at_extents(&tree, &source.join("large")).await?;
        // Where 7z would have written its 4 GiB.
        File::create(extracted.join("large")).map_err(|error| error.to_string())?;
        let files = compare(&tree, &extracted).await?;
        // What `fill` makes: else nothing was compared.
        match files {
            3004 => Ok(()),
            other => Err(format!("{other} files were compared")),
        }
    })
}

/// Names of one and two bytes a character, a large directory, a deep one, a file of several
/// extents, an empty one.
fn fill(source: &Path) -> std::io::Result<()> {
    let deep = source.join("a/b/c/d/e");
    let many = source.join("many");
    fs::create_dir_all(&deep)?;
    fs::create_dir_all(&many)?;
    fs::write(source.join("empty"), "")?;
    fs::write(source.join("Ünïcödé"), "latin")?;
    fs::write(source.join("漢字 and more.txt"), "wide")?;
    let content: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(deep.join("deep"), content)?;
    for number in 0..3000 {
        let name = format!("file {number} with a name that fills its directory");
        fs::write(many.join(name), number.to_string())?;
    }
    let large = File::create(source.join("large"))?;
    large.set_len(LARGE_LEN)?;
    for mark in MARKS {
        large.write_all_at(&mark.to_le_bytes(), mark - 4)?;
    }
    large.write_all_at(b"end", LARGE_LEN - 3)
}

/// Every size of a block and every revision that mkudffs makes; the root has nothing in it.
fn mkudffs(_server: &Path) -> Result<(), String> {
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let image = work.path().join("volume.img");
    let make = |flags: &[&str]| {
        let empty = File::create(&image).and_then(|file| file.set_len(20 << 20));
        empty.map_err(|error| error.to_string())?;
        run(Command::new("mkudffs").args(flags).arg(&image)).map(drop)
    };
    for size in ["512", "1024", "2048", "4096"] {
        for (revision, name) in [
            ("1.02", "UDF 1.02"),
            ("1.50", "UDF 1.50"),
            ("2.00", "UDF 2.00"),
            ("2.01", "UDF 2.01"),
        ] {
            make(&["-b", size, "-r", revision, "-l", "漢字"])?;
            let said = block_on(async {
                let tree = open(&image).await?.map_err(|error| error.to_string())?;
                let page = tree.read_dir(tree.root(), Cookie::START, 10).await;
                let entries = page.map_err(|error| error.to_string())?.entries.len();
                Ok(format!(
                    "{} {} {entries}",
                    tree.format_name(),
                    tree.volume_id()
                ))
            })?;
            if said != format!("{name} 漢字 0") {
                return Err(format!("blocks of {size}, {revision}: {said}"));
            }
        }
    }
    for (media, refusal) in [
        ("cdrw", "a sparable partition (UDF) is not read"),
        ("cdr", "a virtual partition (UDF) is not read"),
    ] {
        make(&["-b", "2048", "-m", media])?;
        let said = block_on(async {
            let opened = open(&image).await?;
            Ok(opened.map_or_else(|error| error.to_string(), |_| "read".into()))
        })?;
        if said != refusal {
            return Err(format!("{media}: {said}"));
        }
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

fn block_on<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|error| error.to_string())?.block_on(future)
}

/// The image as a tree, or why it is none.
async fn open(image: &Path) -> Result<Result<Arc<ImageTree>, pxe_iso::ImageError>, String> {
    let told = |error: pxe_tree::Error| error.to_string();
    let directory = image.parent().ok_or("no directory")?;
    let name = image.file_name().ok_or("no name")?.as_encoded_bytes();
    let files = DirTree::new(directory).map_err(told)?;
    let name = Name::new(name).map_err(|kind| format!("{kind:?}"))?;
    let found = files.lookup(files.root(), name).await.map_err(told)?;
    let blob = files.open(found.node).await.map_err(told)?;
    Ok(ImageOptions::new()
        .with_names(NameSource::Udf)
        .open(blob)
        .await)
}

/// Compares all of the tree with a directory: names, kinds, sizes, times and bytes, but only the
/// name of the large file. How many other files there were.
async fn compare(tree: &ImageTree, directory: &Path) -> Result<usize, String> {
    let mut files = 0;
    let mut left = vec![(tree.root(), directory.to_path_buf())];
    while let Some((node, directory)) = left.pop() {
        let nodes = list(tree, node).await?;
        let listed = fs::read_dir(&directory).map_err(|error| error.to_string())?;
        let listed = listed.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let listed: std::io::Result<BTreeSet<String>> = listed.collect();
        let listed = listed.map_err(|error| error.to_string())?;
        if !nodes.keys().eq(&listed) {
            return Err(format!(
                "{}: {:?} and {listed:?}",
                directory.display(),
                nodes.keys()
            ));
        }
        for (name, child) in nodes {
            let path = directory.join(&name);
            let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let known = tree.attributes(child).await.map_err(|error| told(&error))?;
            let expected = fs::metadata(&path).map_err(|error| told(&error))?;
            match known.kind {
                NodeKind::Directory if expected.is_dir() => left.push((child, path)),
                NodeKind::File if name == "large" => {}
                NodeKind::File if expected.is_file() => {
                    let times = (known.modified.seconds, expected.mtime());
                    if times.0 != times.1 || known.len != expected.len() {
                        return Err(told(&format!("{} bytes, times {times:?}", known.len)));
                    }
                    let blob = tree.open(child).await.map_err(|error| told(&error))?;
                    same_bytes(&*blob, &path)
                        .await
                        .map_err(|error| told(&error))?;
                    files += 1;
                }
                other => return Err(told(&format!("is a {other:?}"))),
            }
        }
    }
    Ok(files)
}

async fn list(tree: &ImageTree, dir: NodeId) -> Result<BTreeMap<String, NodeId>, String> {
    let mut nodes = BTreeMap::new();
    let mut after = Cookie::START;
    loop {
        let page = tree.read_dir_attributes(dir, after, 500).await;
        let page = page.map_err(|error| error.to_string())?;
        for listed in &page.entries {
            let name = listed.entry.name.to_string();
            let attributes = listed
                .attributes
                .as_ref()
                .ok_or(ErrorKind::Io.to_string())?;
            after = listed.entry.cookie;
            if nodes.insert(name, attributes.node).is_some() {
                return Err(format!("{} comes twice", listed.entry.name));
            }
        }
        if page.end {
            return Ok(nodes);
        }
    }
}

/// Compares the large file where extents may end, each a block less than 1 GiB, and at its end:
/// all of it would take a minute.
async fn same_at_extents(tree: &ImageTree, path: &Path) -> Result<(), String> {
    let name = Name::new("large").map_err(|kind| kind.to_string())?;
    let found = tree.lookup(tree.root(), name).await;
    let found = found.map_err(|error| error.to_string())?;
    let blob = tree.open(found.node).await;
    let blob = blob.map_err(|error| error.to_string())?;
    if blob.attributes().len != LARGE_LEN {
        return Err(format!("large has {} bytes", blob.attributes().len));
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    for start in MARKS.into_iter().chain([LARGE_LEN - 3]) {
        let from = start.saturating_sub(PIECE as u64 / 2);
        let read = blob.read_at(from, PIECE).await;
        let read = read.map_err(|error| error.to_string())?;
        let mut expected = vec![0; read.len()];
        let filled = file.read_exact_at(&mut expected, from);
        filled.map_err(|error| error.to_string())?;
        let whole = (LARGE_LEN - from).min(PIECE as u64);
        if read != expected || read.len() as u64 != whole {
            return Err(format!("large has other bytes after {from}"));
        }
    }
    Ok(())
}

async fn same_bytes(blob: &dyn Blob, path: &Path) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let mut expected = Vec::new();
    let mut offset = 0;
    loop {
        expected.clear();
        let mut part = (&mut file).take(PIECE as u64);
        part.read_to_end(&mut expected)
            .map_err(|error| error.to_string())?;
        let read = blob.read_at(offset, PIECE).await;
        let read = read.map_err(|error| error.to_string())?;
        if read != expected {
            return Err(format!("other bytes after {offset}"));
        }
        if read.is_empty() {
            return Ok(());
        }
        offset += read.len() as u64;
    }
}
