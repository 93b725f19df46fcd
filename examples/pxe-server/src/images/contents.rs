//! What is asked of an image to recognise it, and what was found in it.

use std::collections::{BTreeMap, BTreeSet};

use super::profile::{ImagePath, Location, Profiles};

/// The most of a text file (`.disk/info`, `.treeinfo`) that is worth reading, in bytes: the largest
/// `.treeinfo` known, with checksums of all its images, has 4 KiB.
pub(crate) const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What some profiles want to know of an image, so that whoever can read it looks these up and no
/// others. An image of 100,000 files is asked about a hundred names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Questions {
    /// Files whose existence and length count.
    pub(crate) files: BTreeSet<String>,
    /// Folders whose files count, by all their names; the root is the empty name.
    pub(crate) folders: BTreeSet<String>,
    /// Files of which the first [`TEXT_BYTES_MAX`] are to be read.
    pub(crate) texts: BTreeSet<String>,
    /// The same as `files`, in the folder that the administrator put beside the image.
    pub(crate) beside: BTreeSet<String>,
}

impl Questions {
    /// What these profiles ask.
    pub(crate) fn of(profiles: &Profiles) -> Self {
        let mut questions = Self::default();
        for profile in profiles.iter() {
            for path in profile.paths() {
                match (path.location, path.folder_of_pattern()) {
                    (Location::Image, Some(folder)) => {
                        questions.folders.insert(folder.to_owned());
                    }
                    (Location::Image, None) => {
                        questions.files.insert(path.path.clone());
                    }
                    (Location::Beside, _) => {
                        questions.beside.insert(path.path.clone());
                    }
                }
            }
            let texts = profile.recognise.texts.iter();
            questions
                .texts
                .extend(texts.filter_map(|rule| rule.file.clone()));
        }
        questions
    }
}

/// What was found in an image. Paths have no slash at either end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The volume identifier of its primary descriptor, without the spaces that fill it up.
    pub(crate) volume_id: String,
    /// The length of the whole image in bytes.
    pub(crate) image_bytes: u64,
    /// The files that were asked for and are there, and all of the folders that were asked for;
    /// with their lengths in bytes.
    pub(crate) files: BTreeMap<String, u64>,
    /// The texts that were asked for and are there.
    pub(crate) texts: BTreeMap<String, String>,
    /// The files beside the image that were asked for and are there, with their lengths in bytes.
    pub(crate) beside: BTreeMap<String, u64>,
}

impl Contents {
    /// The file that `path` names, with its length; of several that fit a pattern the last in the
    /// order of their numbers, so that the newest kernel is taken, with its own initrd.
    pub(super) fn find(&self, path: &ImagePath) -> Option<(ImagePath, u64)> {
        let files = match path.location {
            Location::Image => &self.files,
            Location::Beside => &self.beside,
        };
        if path.folder_of_pattern().is_none() {
            return files.get(&path.path).map(|len| (path.clone(), *len));
        }
        files
            .iter()
            .filter(|(name, _)| path.fits(name))
            .max_by(|(a, _), (b, _)| by_numbers(a, b))
            .map(|(name, len)| {
                let location = path.location;
                let path = name.clone();
                (ImagePath { location, path }, *len)
            })
    }

    /// The first of `alternatives` that is there.
    pub(super) fn first(&self, alternatives: &[ImagePath]) -> Option<(ImagePath, u64)> {
        alternatives.iter().find_map(|path| self.find(path))
    }
}

/// Names in the order that people expect: `6.1.0-10` after `6.1.0-9`.
fn by_numbers(a: &str, b: &str) -> std::cmp::Ordering {
    runs(a).cmp(runs(b))
}

/// A name as runs of digits, by their lengths without zeros before them, and other characters.
fn runs(name: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_digit = first.is_ascii_digit();
        let end = rest
            .find(|char: char| char.is_ascii_digit() != is_digit)
            .unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        let digits = run.trim_start_matches('0');
        Some(if is_digit {
            (1 + digits.len(), digits)
        } else {
            (0, run)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_taken() {
        let names = [
            "live/vmlinuz-6.1.0-9-amd64",
            "live/vmlinuz-6.1.0-28-amd64",
            "live/initrd.img-6.1.0-28-amd64",
            "live/deeper/vmlinuz-7",
        ];
        let contents = Contents {
            files: names.map(|name| (name.to_owned(), 1)).into(),
            ..Contents::default()
        };
        let path = ImagePath::parse("live/vmlinuz-*").expect("valid");
        let (found, _) = contents.find(&path).expect("there");
        assert_eq!(found.path, "live/vmlinuz-6.1.0-28-amd64");
    }
}
