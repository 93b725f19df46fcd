//! `[images]`: a folder of images of systems.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pxe_tree::TreePath;

use super::super::Images;
use super::super::file;
use super::super::place::Problems;
use super::value::number;

/// Where images are served if nothing else is said.
const PATH_DEFAULT: &str = "/images";
/// For how long an image has to be left alone, if nothing else is said.
const SETTLE_SECONDS_DEFAULT: u64 = 5;

pub(super) fn images(
    problems: &mut Problems<'_>,
    raw: &file::Images,
    directory: &Path,
    is_served: bool,
) -> Images {
    let dir = match raw.dir.as_deref() {
        None | Some("") => {
            problems.error(
                "images.dir",
                "no folder of images is named",
                "add dir = \"/srv/images\" to [images]",
            );
            PathBuf::new()
        }
        Some(dir) => directory.join(dir),
    };
    if !is_served {
        problems.warning(
            "images",
            "no protocol serves files",
            "add [http], [tftp] or [nfs]",
        );
    }
    let profiles = raw.profiles.with_paths("images.profiles");
    let profiles = profiles.map(|(_, file)| directory.join(file)).collect();
    let settle = number(
        problems,
        "images.settle_seconds",
        raw.settle_seconds,
        0..=3600,
    );
    Images {
        dir,
        path: path(problems, raw.path.as_deref().unwrap_or(PATH_DEFAULT)),
        profiles,
        menu: raw.menu.unwrap_or(true),
        settle: Duration::from_secs(settle.unwrap_or(SETTLE_SECONDS_DEFAULT)),
    }
}

/// It stands in URLs, exports and command lines of kernels, so it is kept plain.
fn path(problems: &mut Problems<'_>, text: &str) -> TreePath {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/-._".contains(char);
    let path = TreePath::parse(text.as_bytes()).ok();
    let path = path.filter(|path| {
        let is_above = text.split('/').any(|name| name == "..");
        text.chars().all(is_plain) && !is_above && !path.is_root()
    });
    path.unwrap_or_else(|| {
        problems.error(
            "images.path",
            format!("{text:?} is no path that images can be served at"),
            "write it of A-Z, a-z, 0-9, -, . and _, such as /images",
        );
        TreePath::ROOT
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::Config;
    use std::path::Path;
    use std::time::Duration;

    fn parse(images: &str) -> Result<Config, String> {
        let text = format!("[tree]\nroot = \"/srv/tftp\"\n[tftp]\n[images]\n{images}\n");
        Config::parse(&text, Path::new("/etc/x.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_folder_is_enough() {
        let config = parse("dir = \"/srv/images\"").expect("valid");
        let images = config.images.expect("there");
        assert_eq!(images.dir, Path::new("/srv/images"));
        assert_eq!(images.path.to_string(), "/images");
        assert_eq!(images.settle, Duration::from_secs(5));
        assert!(images.menu && images.profiles.is_empty());
    }

    #[test]
    fn all_keys_are_read() {
        let keys = "dir = \"isos\"\npath = \"/os/live\"\nprofiles = \"my.toml\"\nmenu = false\n\
            settle_seconds = 0";
        let images = parse(keys).expect("valid").images.expect("there");
        assert_eq!(images.dir, Path::new("/etc/isos"));
        assert_eq!(images.path.to_string(), "/os/live");
        assert_eq!(images.profiles, [Path::new("/etc/my.toml")]);
        assert!(!images.menu && images.settle.is_zero());
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (keys, told) in [
            ("", "images.dir: no folder of images is named"),
            ("dir = \"x\"\npath = \"/\"", "images.path: \"/\" is no path"),
            ("dir = \"x\"\npath = \"/a b\"", "images.path: \"/a b\""),
            ("dir = \"x\"\npath = \"a/../b\"", "images.path: \"a/../b\""),
            ("dir = \"x\"\nsettle_seconds = -1", "images.settle_seconds"),
        ] {
            let error = parse(keys).expect_err(keys);
            assert!(error.contains(told), "{error}");
        }
    }
}
