//! Images that other programs make, read by pxe-iso and compared with what other programs extract.

mod boot;
mod node;
mod source;
mod tools;
mod udf;
mod udf_filling;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use pxe_iso::{ImageTree, NameSource};
use pxe_tree::{Blob, Name, Tree};

use self::node::{Same, compare, leave_out, on_disk, same_as, told, walk};
use self::tools::{Extractor, block_on, open};
use crate::LoneTest;

pub(crate) const TESTS: &[LoneTest] = &[
    (
        "udf_of_genisoimage_reads_as_7z_extracts_it",
        udf::genisoimage,
    ),
    ("udf_of_mkudffs_is_read_or_refused_by_name", udf::mkudffs),
    ("udf_of_mkudffs_filled_reads_as_7z_extracts_it", udf::filled),
    ("iso_of_xorriso_reads_as_it_is_extracted", xorriso),
    ("iso_of_genisoimage_reads_as_it_is_extracted", genisoimage),
    ("iso_devices_have_their_numbers", devices),
    ("iso_deep_directories_are_where_they_were", deep),
    (
        "iso_with_plain_names_or_joliet_alone_is_read",
        without_rock_ridge,
    ),
    ("iso_of_60000_files_reads_as_it_is_extracted", many),
    ("iso_that_boots_reads_as_it_is_extracted", boot::bootable),
    ("iso_with_a_file_over_4_gib_reads_as_it_is_extracted", large),
];

/// All that is the same where Rock Ridge is read and written.
const ALL: &[Same] = &[
    Same::Modes,
    Same::Owners,
    Same::Links,
    Same::Devices,
    Same::FileTimes,
    Same::DirectoryTimes,
];
/// The same for xorriso, which does not make one file of several names again.
const RESTORED: &[Same] = &[
    Same::Modes,
    Same::Owners,
    Same::Devices,
    Same::FileTimes,
    Same::DirectoryTimes,
];
/// What the records themselves have.
const TIMES: &[Same] = &[Same::FileTimes];

/// How an image is read, by whom it is extracted, and what is the same then.
#[derive(Debug)]
struct Reading {
    names: NameSource,
    extractor: Extractor,
    same: &'static [Same],
    /// What is not compared, for the reason that stands beside it.
    left_out: &'static [&'static str],
}

const fn reading(names: NameSource, extractor: Extractor, same: &'static [Same]) -> Reading {
    Reading {
        names,
        extractor,
        same,
        left_out: &[],
    }
}

impl Reading {
    const fn without(mut self, left_out: &'static [&'static str]) -> Self {
        self.left_out = left_out;
        self
    }
}

fn xorriso(_server: &Path) -> Result<(), String> {
    use Extractor::{Bsdtar, Xorriso};
    use NameSource::{Joliet, Plain, RockRidge};

    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = work.path().join("source");
    source::files(&source).map_err(|error| error.to_string())?;
    source::unix(&source)?;
    source::devices(&source)?;
    source::beyond_genisoimage(&source).map_err(|error| error.to_string())?;
    let image = work.path().join("image.iso");
    tools::xorriso(&source, &image, &["-R", "-J", "-joliet-long"])?;
    check(
        work.path(),
        &image,
        &[
            reading(RockRidge, Xorriso("any"), RESTORED),
            reading(RockRidge, Bsdtar(""), ALL),
            // Linux and Windows show no dot at the end of a name of Joliet, these two do.
            reading(Joliet, Xorriso("norock"), TIMES).without(&["trailing", "trailing."]),
            reading(Joliet, Bsdtar("!rockridge"), TIMES).without(&["trailing", "trailing."]),
            reading(Plain, Xorriso("ecma119"), TIMES),
            reading(Plain, Bsdtar("!rockridge,!joliet"), TIMES),
        ],
    )
}

fn genisoimage(_server: &Path) -> Result<(), String> {
    use Extractor::{Bsdtar, SevenZip, Xorriso};
    use NameSource::{Joliet, Plain, RockRidge, Udf};

    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = work.path().join("source");
    source::files(&source).map_err(|error| error.to_string())?;
    source::unix(&source)?;
    let image = work.path().join("image.iso");
    tools::genisoimage(&source, &image, &["-R", "-J", "-joliet-long", "-udf"])?;
    check(
        work.path(),
        &image,
        &[
            // genisoimage has this time 24 hours west of Greenwich, where no zone is (ECMA-119
            // section 9.1.5): Linux and bsdtar do not believe it, xorriso and 7z do.
            reading(RockRidge, Xorriso("any"), RESTORED).without(&["times/2038"]),
            // Only its children are marked as moved (RRIP section 4.1.5), so Linux and xorriso show
            // this directory, empty; bsdtar knows it by its name.
            reading(RockRidge, Bsdtar(""), ALL).without(&["rr_moved"]),
            reading(Joliet, Xorriso("norock"), TIMES).without(&["times/2038"]),
            // bsdtar leaves out what lies deep: "ignoring out-of-order directory".
            reading(Joliet, SevenZip("iso"), TIMES).without(&["times/2038"]),
            reading(Plain, Xorriso("ecma119"), TIMES).without(&["TIMES/2038"]),
            reading(Plain, Bsdtar("!rockridge,!joliet"), TIMES),
            reading(Udf, SevenZip("udf"), TIMES),
        ],
    )
}

/// Against the directory that the images were made of: bsdtar takes genisoimage's numbers for others,
/// and cannot make such devices.
fn devices(_server: &Path) -> Result<(), String> {
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = work.path().join("source");
    source::devices(&source)?;
    let image = work.path().join("image.iso");
    let expected = on_disk(&source)?;
    for make in [tools::xorriso, tools::genisoimage] {
        make(&source, &image, &["-R"])?;
        block_on(async {
            let tree = open(&image, NameSource::RockRidge).await?;
            let tree = tree.map_err(|error| error.to_string())?;
            compare(&tree, &walk(&tree).await?, &source, &expected, RESTORED).await
        })?;
    }
    Ok(())
}

/// Directories below the eighth level are moved, and found where they were (RRIP section 4.1.5).
fn deep(_server: &Path) -> Result<(), String> {
    use Extractor::{Bsdtar, Xorriso};
    use NameSource::RockRidge;

    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = work.path().join("source");
    source::files(&source).map_err(|error| error.to_string())?;
    source::unix(&source)?;
    let image = work.path().join("image.iso");
    for (flags, left_out) in [
        (&["-R"][..], &["rr_moved", "times/2038"]),
        (&["-r"], &["rr_moved", "times/2038"]),
        (&["-R", "-hide-rr-moved"], &[".rr_moved", "times/2038"]),
        // Here they are not moved.
        (&["-R", "-D"], &["rr_moved", "times/2038"]),
    ] {
        tools::genisoimage(&source, &image, flags)?;
        let readings = [
            reading(RockRidge, Xorriso("any"), RESTORED).without(left_out),
            reading(RockRidge, Bsdtar(""), ALL).without(left_out),
        ];
        check(work.path(), &image, &readings).map_err(|error| format!("{flags:?}: {error}"))?;
    }
    tools::xorriso_moving(&source, &image)?;
    // bsdtar ends with "failed to connect CL pointer to RE".
    check(
        work.path(),
        &image,
        &[reading(RockRidge, Xorriso("any"), RESTORED)],
    )
}

/// The same name source is taken without being asked for.
fn without_rock_ridge(_server: &Path) -> Result<(), String> {
    use Extractor::{Bsdtar, SevenZip, Xorriso};
    use NameSource::{Best, Joliet, Plain};

    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = work.path().join("source");
    source::files(&source).map_err(|error| error.to_string())?;
    let image = work.path().join("image.iso");
    for (make, flags) in [
        (tools::genisoimage as tools::Make, &["-J"][..]),
        (
            tools::genisoimage,
            &["-J", "-joliet-long", "-iso-level", "1"],
        ),
        (tools::xorriso_without_rock_ridge, &["-J"]),
    ] {
        make(&source, &image, flags)?;
        let readings = [
            reading(Best, Xorriso("any"), TIMES).without(&["times/2038"]),
            reading(Best, Bsdtar(""), TIMES),
            reading(Joliet, SevenZip("iso"), TIMES).without(&["times/2038"]),
            reading(Plain, Bsdtar("!joliet"), TIMES),
        ];
        check(work.path(), &image, &readings).map_err(|error| format!("{flags:?}: {error}"))?;
    }
    for (make, flags) in [
        (tools::genisoimage as tools::Make, &[][..]),
        (tools::genisoimage, &["-iso-level", "1"]),
        (tools::genisoimage, &["-iso-level", "4"]),
        (
            tools::genisoimage,
            &["-allow-lowercase", "-relaxed-filenames", "-l"],
        ),
        (tools::xorriso_without_rock_ridge, &[]),
    ] {
        make(&source, &image, flags)?;
        let mut readings = vec![reading(Best, Bsdtar(""), TIMES)];
        // xorriso replaces the names that level 4 has in UTF-8.
        if !flags.contains(&"4") {
            readings
                .push(reading(Best, Xorriso("any"), TIMES).without(&["TIMES/2038", "times/2038"]));
        }
        check(work.path(), &image, &readings).map_err(|error| format!("{flags:?}: {error}"))?;
    }
    Ok(())
}

/// 50,000 in one directory, and 10,000 in 500.
fn many(_server: &Path) -> Result<(), String> {
    // In memory: disks take minutes to make and to remove so many files.
    let work = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let work = work.map_err(|error| error.to_string())?;
    let (one, many) = (work.path().join("one"), work.path().join("many"));
    let fill = || {
        source::many(&one.join("directory"), 50_000)?;
        (0..500).try_for_each(|number| source::many(&many.join(number.to_string()), 20))
    };
    fill().map_err(|error| error.to_string())?;
    let image = work.path().join("image.iso");
    // The time that xorriso takes grows with the square of a directory's files.
    tools::genisoimage(&one, &image, &["-R"])?;
    let bsdtar = reading(NameSource::RockRidge, Extractor::Bsdtar(""), ALL);
    check(work.path(), &image, &[bsdtar])?;
    tools::xorriso(&many, &image, &["-R", "-J"])?;
    let bsdtar = reading(NameSource::Joliet, Extractor::Bsdtar("!rockridge"), TIMES);
    check(work.path(), &image, &[bsdtar])
}

/// Compared with the directory, and with what bsdtar says while it is said: so no copy of it is
/// needed.
fn large(_server: &Path) -> Result<(), String> {
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = work.path().join("source");
    source::large(&source).map_err(|error| error.to_string())?;
    let image = work.path().join("image.iso");
    tools::xorriso(&source, &image, &["-R", "-J"])?;
    block_on(async {
        let tree = open(&image, NameSource::RockRidge).await?;
        let tree = tree.map_err(|error| error.to_string())?;
        let mut bsdtar = tools::program("bsdtar");
        bsdtar.arg("-xOf").arg(&image).arg("large");
        same_as_told(&*open_large(&tree).await?, &mut bsdtar).await?;
        let expected = on_disk(&source)?;
        compare(&tree, &walk(&tree).await?, &source, &expected, TIMES).await?;
        let joliet = open(&image, NameSource::Joliet).await?;
        let joliet = joliet.map_err(|error| error.to_string())?;
        open_large(&joliet).await.map(drop)
    })
}

/// Compares all of a file with what a program writes to its standard output.
async fn same_as_told(blob: &dyn Blob, command: &mut Command) -> Result<(), String> {
    let teller = command.stdout(Stdio::piped()).spawn();
    let mut teller = teller.map_err(|error| error.to_string())?;
    let extracted = teller.stdout.take().ok_or("no output")?;
    let same = same_as(blob, extracted).await;
    let ended = teller.wait().map_err(|error| error.to_string())?;
    same?;
    match ended.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {ended}")),
    }
}

async fn open_large(tree: &ImageTree) -> Result<Arc<dyn Blob>, String> {
    let name = Name::new("large").map_err(|kind| kind.to_string())?;
    let found = tree.lookup(tree.root(), name).await.map_err(told)?;
    let blob = tree.open(found.node).await.map_err(told)?;
    match blob.attributes().len {
        source::LARGE_LEN => Ok(blob),
        len => Err(format!("it has {len} bytes")),
    }
}

/// Reads and extracts an image in each of these ways.
fn check(work: &Path, image: &Path, readings: &[Reading]) -> Result<(), String> {
    let mut failures = Vec::new();
    for reading in readings {
        let directory = reading.extractor.extract(image, work)?;
        let result = block_on(async {
            let tree = open(image, reading.names).await?;
            let tree = tree.map_err(|error| error.to_string())?;
            let mut found = walk(&tree).await?;
            let mut expected = on_disk(&directory)?;
            // Nor what only pxe-iso shows, nor the root, whose time bsdtar does not set.
            for left_out in reading.left_out.iter().chain(&["[BOOT]", ""]) {
                leave_out(&mut found, left_out);
                leave_out(&mut expected, left_out);
            }
            compare(&tree, &found, &directory, &expected, reading.same).await
        });
        if let Err(error) = result {
            let Reading {
                names, extractor, ..
            } = reading;
            failures.push(format!("{names:?} and {extractor:?}: {error}"));
        }
        fs::remove_dir_all(&directory).map_err(|error| error.to_string())?;
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\n")),
    }
}
