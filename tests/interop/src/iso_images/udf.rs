//! UDF alone: a large file, and every volume that mkudffs makes.

use std::fs::File;
use std::path::Path;

use pxe_iso::NameSource;
use pxe_tree::{Cookie, Tree};

use super::node::{Same, compare, leave_out, on_disk, told, walk};
use super::source;
use super::tools::{self, Extractor, block_on, open, program, run};
use super::udf_filling::{Form, Volume, Written};
use super::{open_large, same_as_told};

/// A large directory, and a file of several extents, which 7z tells while it is compared: extracted
/// it would take its size on disk.
pub(super) fn genisoimage(_server: &Path) -> Result<(), String> {
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = work.path().join("source");
    source::files(&source).map_err(|error| error.to_string())?;
    source::many(&source.join("many"), 3000).map_err(|error| error.to_string())?;
    source::large(&source).map_err(|error| error.to_string())?;
    let image = work.path().join("image.iso");
    let flags = ["-udf", "-allow-limited-size", "-V", "A VOLUME"];
    tools::genisoimage(&source, &image, &flags)?;
    let directory = Extractor::SevenZip("udf").extract_but(&image, work.path(), &["large"])?;
    block_on(async {
        let tree = open(&image, NameSource::Udf).await?;
        let tree = tree.map_err(|error| error.to_string())?;
        if tree.volume_id() != "A VOLUME" {
            return Err(format!("the volume is {:?}", tree.volume_id()));
        }
        let mut seven_zip = program("7z");
        seven_zip.args(["x", "-so", "-bd", "-tudf"]);
        seven_zip.arg(&image).arg("large");
        same_as_told(&*open_large(&tree).await?, &mut seven_zip).await?;
        let mut found = walk(&tree).await?;
        leave_out(&mut found, "large");
        let expected = on_disk(&directory)?;
        compare(&tree, &found, &directory, &expected, &[Same::FileTimes]).await
    })
}

/// Every size of a block and every revision that mkudffs makes; the root has nothing in it.
pub(super) fn mkudffs(_server: &Path) -> Result<(), String> {
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let image = work.path().join("volume.img");
    let make = |flags: &[&str]| {
        let empty = File::create(&image).and_then(|file| file.set_len(20 << 20));
        empty.map_err(|error| error.to_string())?;
        run(program("mkudffs").args(flags).arg(&image)).map(drop)
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
                let tree = open(&image, NameSource::Udf).await?;
                let tree = tree.map_err(|error| error.to_string())?;
                let page = tree.read_dir(tree.root(), Cookie::START, 10).await;
                let entries = page.map_err(told)?.entries.len();
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
            let opened = open(&image, NameSource::Udf).await?;
            Ok(opened.map_or_else(|error| error.to_string(), |_| "read".into()))
        })?;
        if said != refusal {
            return Err(format!("{media}: {said}"));
        }
    }
    Ok(())
}

/// Entries and extents of every form; 7z tells what should be there. It reads blocks of two sizes;
/// what it made of them is what the others have to have too, but for the times.
pub(super) fn filled(_server: &Path) -> Result<(), String> {
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let image = work.path().join("volume.img");
    let mut extracted = None;
    for (size, revision) in [
        (512, "1.02"),
        (512, "2.01"),
        (2048, "1.50"),
        (2048, "2.00"),
        (1024, "1.02"),
        (4096, "2.01"),
    ] {
        let empty = File::create(&image).and_then(|file| file.set_len(20 << 20));
        empty.map_err(|error| error.to_string())?;
        let flags = ["-m", "hd", "-b", &size.to_string(), "-r", revision];
        run(program("mkudffs").args(flags).arg(&image))?;
        fill(&image, size)?;
        let mut same = &[][..];
        if matches!(size, 512 | 2048) {
            extracted = Some(Extractor::SevenZip("udf").extract(&image, work.path())?);
            same = &[Same::FileTimes];
        }
        let directory = extracted.as_deref().ok_or("7z is first")?;
        let expected = on_disk(directory)?;
        if expected.len() != 1 + 7 + 200 {
            return Err(format!("7z extracted {} nodes", expected.len()));
        }
        block_on(async {
            let tree = open(&image, NameSource::Udf).await?;
            let tree = tree.map_err(|error| error.to_string())?;
            compare(&tree, &walk(&tree).await?, directory, &expected, same).await
        })
        .map_err(|error| format!("blocks of {size}, {revision}: {error}"))?;
    }
    Ok(())
}

fn fill(image: &Path, block_size: usize) -> Result<(), String> {
    let content = |len: u32| -> Vec<u8> { (0..len).map(|at| (at % 251) as u8).collect() };
    let mut volume = Volume::open(image, block_size)?;
    let many: Vec<(String, Written)> = (0..200_u32)
        .map(|number| {
            let written = volume.file(number.to_string().as_bytes(), Form::Embedded);
            (format!("file {number}"), written)
        })
        .collect();
    let many: Vec<(&str, Written)> = many.iter().map(|(name, file)| (&**name, *file)).collect();
    let children = [
        ("many", volume.directory(&many)),
        ("empty", volume.file(b"", Form::Short(1))),
        ("embedded", volume.file(&content(200), Form::Embedded)),
        ("short", volume.file(&content(100_001), Form::Short(7))),
        ("long", volume.file(&content(100_001), Form::Long(9))),
        ("漢字", volume.file(&content(4096), Form::Long(1))),
        ("Ü", volume.file(&content(1), Form::Short(1))),
    ];
    volume.fill_root(&children);
    volume.save(image)
}
