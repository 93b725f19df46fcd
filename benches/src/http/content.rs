//! The tree that all servers serve: many small files, some of a mebibyte, and a large one. And an
//! image that has the large one in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::pattern;

const SMALL_COUNT: u64 = 64;
const SMALL_LEN: u64 = 1 << 10;
const MEDIUM_COUNT: u64 = 16;
const MEDIUM_LEN: u64 = 1 << 20;
/// The name of the image, and that of the file in it.
const IMAGE: [&str; 2] = ["installer", "packages.img"];
/// Where the server has images in its tree.
pub(super) const IMAGES_PATH: &str = "/isos";

/// A file. Its bytes are those of the pattern from `first` on. No two files share any, but for the
/// large one in the image.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// As it is asked for.
    pub(super) path: String,
    pub(super) first: u64,
    pub(super) len: u64,
}

/// All files.
#[derive(Debug)]
pub(super) struct Files {
    /// Of 1 KiB.
    pub(super) small: Vec<File>,
    /// Of 1 MiB.
    pub(super) medium: Vec<File>,
    pub(super) large: File,
    /// The same file inside of an image.
    pub(super) large_in_image: File,
}

impl Files {
    /// Makes them below a directory, the large one with so many bytes, and the image in another
    /// one. They are in the page cache then.
    ///
    /// # Errors
    /// A text that names the file.
    pub(super) fn make(root: &Path, images: &Path, large_len: u64) -> Result<Self, String> {
        let large = File {
            path: "/images/installer.iso".to_owned(),
            first: 0,
            len: large_len,
        };
        let medium = series("/images/initrd", "img", large_len, MEDIUM_COUNT, MEDIUM_LEN);
        let first = large_len + MEDIUM_COUNT * MEDIUM_LEN;
        let small = series("/boot/menu", "cfg", first, SMALL_COUNT, SMALL_LEN);
        for directory in ["boot", "images"] {
            let path = root.join(directory);
            fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        for file in small.iter().chain(&medium).chain([&large]) {
            let path = root.join(file.path.trim_start_matches('/'));
            let written = pattern::write(&path, file.first, file.len);
            written.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        // Servers that serve as nobody come to it too.
        let opened = fs::set_permissions(root, fs::Permissions::from_mode(0o755));
        opened.map_err(|error| format!("{}: {error}", root.display()))?;
        let [image, name] = IMAGE;
        make_image(
            &images.join(format!("{image}.iso")),
            name,
            &root.join(large.path.trim_start_matches('/')),
        )?;
        let large_in_image = File {
            path: format!("{IMAGES_PATH}/{image}/{name}"),
            ..large
        };
        Ok(Self {
            small,
            medium,
            large,
            large_in_image,
        })
    }
}

/// Makes an image of a file under this name.
fn make_image(path: &Path, name: &str, of: &Path) -> Result<(), String> {
    let made = path.with_extension("made");
    let mut command = Command::new("xorriso");
    command.args(["-as", "mkisofs", "-quiet", "-graft-points", "-o"]);
    command.arg(&made).arg(format!("{name}={}", of.display()));
    pxe_test_lab::run(&mut command)?;
    let copied = pattern::copy(&made, path).and_then(|()| fs::remove_file(&made));
    copied.map_err(|error| format!("{}: {error}", path.display()))
}

fn series(stem: &str, extension: &str, first: u64, count: u64, len: u64) -> Vec<File> {
    let file = |number: u64| File {
        path: format!("{stem}-{number:02}.{extension}"),
        first: first + number * len,
        len,
    };
    (0..count).map(file).collect()
}
