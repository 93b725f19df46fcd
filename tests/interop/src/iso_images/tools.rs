//! The programs that make images, and those that extract them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use pxe_iso::{ImageError, ImageOptions, ImageTree, NameSource};
use pxe_tree::{DirTree, Name, Tree};

use super::node::told;

/// What each program may take: genisoimage never ends with some targets of links.
const SECONDS_MAX: &str = "120";

/// A program that is ended after a while.
pub(super) fn program(name: &str) -> Command {
    let mut command = Command::new("timeout");
    // bsdtar takes names for what the locale says.
    command.args([SECONDS_MAX, name]).env("LC_ALL", "C.UTF-8");
    command
}

pub(super) fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!(
            "{command:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// A program that makes an image of a directory, with these options.
pub(super) type Make = fn(&Path, &Path, &[&str]) -> Result<(), String>;

/// xorriso as it behaves for those who know mkisofs.
pub(super) fn xorriso(source: &Path, image: &Path, flags: &[&str]) -> Result<(), String> {
    let mut command = program("xorriso");
    command.args(["-as", "mkisofs", "-quiet", "-iso-level", "3"]);
    run(command.args(flags).arg("-o").arg(image).arg(source)).map(drop)
}

/// The same, without Rock Ridge, which it writes otherwise whatever is asked for.
pub(super) fn xorriso_without_rock_ridge(
    source: &Path,
    image: &Path,
    flags: &[&str],
) -> Result<(), String> {
    xorriso(source, image, &[&["--norock"], flags].concat())
}

/// xorriso with directories below the eighth level moved, which it allows otherwise.
pub(super) fn xorriso_moving(source: &Path, image: &Path) -> Result<(), String> {
    let mut command = program("xorriso");
    command.arg("-outdev").arg(image).args(["-blank", "all"]);
    command.args(["-compliance", "deep_paths_off", "-rr_reloc_dir", "rr_moved"]);
    run(command.arg("-map").arg(source).arg("/")).map(drop)
}

pub(super) fn genisoimage(source: &Path, image: &Path, flags: &[&str]) -> Result<(), String> {
    let mut command = program("genisoimage");
    command.args(["-quiet", "-iso-level", "3"]).args(flags);
    run(command.arg("-o").arg(image).arg(source)).map(drop)
}

/// Who extracts an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extractor {
    /// `xorriso -osirrox on`, which reads what `-read_fs` says.
    Xorriso(&'static str),
    /// bsdtar with these options for its ISO 9660 reader.
    Bsdtar(&'static str),
    /// 7z with this format: `udf`, `iso`.
    SevenZip(&'static str),
}

impl Extractor {
    /// Extracts all of an image into a new directory.
    pub(super) fn extract(self, image: &Path, work: &Path) -> Result<PathBuf, String> {
        self.extract_but(image, work, &[])
    }

    /// Extracts all but these names of the root, which xorriso takes no notice of.
    pub(super) fn extract_but(
        self,
        image: &Path,
        work: &Path,
        left_out: &[&str],
    ) -> Result<PathBuf, String> {
        let taken = fs::read_dir(work).map_err(|error| error.to_string())?;
        let directory = work.join(format!("extracted-{}", taken.count()));
        let mut command = match self {
            Self::Xorriso(file_system) => {
                let mut command = program("xorriso");
                // Devices and hard links are not restored unless that is asked for.
                command.args(["-osirrox", "on:device_files", "-hardlinks", "on"]);
                command.args(["-read_fs", file_system]);
                command.arg("-indev").arg(image).args(["-extract", "/"]);
                command.arg(&directory);
                command
            }
            Self::Bsdtar(options) => {
                fs::create_dir(&directory).map_err(|error| error.to_string())?;
                let mut command = program("bsdtar");
                command.arg("-xpf").arg(image).arg("-C").arg(&directory);
                for name in left_out {
                    command.args(["--exclude", name]);
                }
                if !options.is_empty() {
                    command.args(["--options", options]);
                }
                command
            }
            Self::SevenZip(format) => {
                let mut command = program("7z");
                let mut output = std::ffi::OsString::from("-o");
                output.push(&directory);
                command.args(["x", "-y", "-bd", &format!("-t{format}")]);
                command.args(left_out.iter().map(|name| format!("-x!{name}")));
                command.arg(output).arg(image);
                command
            }
        };
        run(&mut command)?;
        Ok(directory)
    }
}

/// The image as a tree, or why it is none.
pub(super) async fn open(
    image: &Path,
    names: NameSource,
) -> Result<Result<Arc<ImageTree>, ImageError>, String> {
    let directory = image.parent().ok_or("no directory")?;
    let name = image.file_name().ok_or("no name")?.as_encoded_bytes();
    let files = DirTree::new(directory).map_err(told)?;
    let name = Name::new(name).map_err(|kind| format!("{kind:?}"))?;
    let found = files.lookup(files.root(), name).await.map_err(told)?;
    let blob = files.open(found.node).await.map_err(told)?;
    // Neither bsdtar nor xorriso has plain names in lower case.
    let options = ImageOptions::new().with_case_kept();
    Ok(options.with_names(names).open(blob).await)
}

pub(super) fn block_on<T>(future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|error| error.to_string())?.block_on(future)
}
