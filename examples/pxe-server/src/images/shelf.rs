//! What was in the folder at one look, and under which names it is served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pxe_tree::{Cookie, Name, NameBuf, Timestamp, Tree};

use super::library::{FileHash, LibraryImage, Offered, Reason, file_hash, hash};

/// Names of the directory of images that are no image's: the menus.
const RESERVED: [&str; 4] = ["menu.cfg", "entries.cfg", "menu.ipxe", "grub.cfg"];

/// What was in the folder at its last look.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// All images, by their names: those that are not offered too.
    pub(crate) images: Vec<Arc<LibraryImage>>,
    /// What is wrong with the folder itself.
    pub(crate) problems: Vec<String>,
    /// The folder, for what lies beside images; `None` if it cannot be read.
    pub(super) folder: Option<Arc<dyn Tree>>,
    /// What the directory of images lists, in the order of the cookies.
    entries: Vec<ShelfEntry>,
    /// Places in `entries`.
    by_name: BTreeMap<NameBuf, usize>,
    /// Images that are served, or are mounted still, by their numbers.
    by_number: BTreeMap<u64, Arc<Offered>>,
    /// The same by their files: those that are served first.
    by_file: BTreeMap<FileHash, Vec<Arc<Offered>>>,
    /// Files that may be served soon.
    awaited: BTreeSet<FileHash>,
    /// When what is offered changed.
    pub(super) changed: Timestamp,
    /// Stands for what is listed.
    pub(super) stamp: u64,
}

/// An entry of the directory of images.
#[derive(Debug, Clone)]
pub(super) struct ShelfEntry {
    pub(super) name: NameBuf,
    pub(super) cookie: Cookie,
    pub(super) what: Shelved,
}

/// What is served under a name.
#[derive(Debug, Clone)]
pub(super) enum Shelved {
    /// `NAME`: the inside of an image.
    Inside(Arc<Offered>),
    /// `NAME.iso`: the image itself.
    Image(Arc<Offered>),
    /// `NAME.beside`: the folder of this name.
    Beside(NameBuf),
}

/// What a look at the folder found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) images: Vec<Arc<LibraryImage>>,
    /// Images that are gone or were replaced, and that machines have mounted.
    pub(super) retired: Vec<Arc<Offered>>,
    /// Folders beside images, by the file names of those.
    pub(super) beside: BTreeMap<NameBuf, NameBuf>,
    pub(super) folder: Option<Arc<dyn Tree>>,
    pub(super) problems: Vec<String>,
}

impl Shelf {
    /// What is served of what was found; `now` is when.
    pub(super) fn new(found: Found, before: &Self, now: Timestamp) -> Self {
        let mut shelf = Self {
            images: found.images,
            problems: found.problems,
            folder: found.folder,
            ..Self::default()
        };
        shelf.images.sort_by(|a, b| a.name.cmp(&b.name));
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for image in &shelf.images {
            let file = file_hash(&image.file_name);
            let Some(offered) = image.offered() else {
                if image.reason().is_some_and(|reason| reason.will_pass()) {
                    shelf.awaited.insert(file);
                }
                continue;
            };
            shelf.by_number.insert(offered.number, Arc::clone(offered));
            let of_file = shelf.by_file.entry(file).or_default();
            of_file.insert(0, Arc::clone(offered));
            parts.push(image.name.clone().into_bytes());
            parts.push(offered.fsid.to_le_bytes().to_vec());
            let mut add = |suffix: &str, what: Shelved| {
                // Longer than a name can be: it is served as a directory alone.
                let Ok(name) = NameBuf::new(format!("{}{suffix}", image.name)) else {
                    return;
                };
                let cookie = cookie_of(&name);
                shelf.entries.push(ShelfEntry { name, cookie, what });
            };
            add("", Shelved::Inside(Arc::clone(offered)));
            add(".iso", Shelved::Image(Arc::clone(offered)));
            if let Some(folder) = found.beside.get(&image.file_name) {
                parts.push(b"beside".to_vec());
                add(".beside", Shelved::Beside(folder.clone()));
            }
        }
        for retired in found.retired {
            let of_file = shelf.by_file.entry(retired.file).or_default();
            of_file.push(Arc::clone(&retired));
            shelf.by_number.insert(retired.number, retired);
        }
        let entries = &mut shelf.entries;
        entries.sort_by(|a, b| (a.cookie, &a.name).cmp(&(b.cookie, &b.name)));
        let mut last = Cookie::START;
        for (place, entry) in entries.iter_mut().enumerate() {
            // Two names of one hash: the second one moves up.
            entry.cookie = entry.cookie.max(Cookie(last.0 + 1));
            last = entry.cookie;
            shelf.by_name.insert(entry.name.clone(), place);
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        shelf.stamp = hash(&parts);
        shelf.changed = match shelf.stamp == before.stamp {
            true => before.changed,
            false => now,
        };
        shelf
    }

    /// Whether the folder could be read at the last look.
    pub(crate) const fn is_readable(&self) -> bool {
        self.folder.is_some()
    }

    /// The images that are served, by their names.
    pub(crate) fn offered(&self) -> impl Iterator<Item = (&Arc<LibraryImage>, &Arc<Offered>)> {
        let images = self.images.iter();
        images.filter_map(|image| Some((image, image.offered()?)))
    }

    /// The image of this name.
    #[cfg(test)]
    pub(crate) fn image(&self, name: &str) -> Option<&Arc<LibraryImage>> {
        let found = self
            .images
            .binary_search_by(|image| image.name.as_str().cmp(name));
        self.images.get(found.ok()?)
    }

    pub(super) fn entry(&self, name: &Name) -> Option<&ShelfEntry> {
        self.entries.get(*self.by_name.get(name)?)
    }

    /// The entries after a position.
    pub(super) fn after(&self, after: Cookie) -> &[ShelfEntry] {
        let begin = self.entries.partition_point(|entry| entry.cookie <= after);
        self.entries.get(begin..).unwrap_or_default()
    }

    pub(super) fn by_number(&self, number: u64) -> Option<&Arc<Offered>> {
        self.by_number.get(&number)
    }

    /// The images that a file is or was, the one that is served first.
    pub(super) fn by_file(&self, file: &FileHash) -> &[Arc<Offered>] {
        self.by_file
            .get(file)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    pub(super) fn is_awaited(&self, file: &FileHash) -> bool {
        self.awaited.contains(file)
    }

    /// How many images are being opened from disks that do not answer.
    pub(crate) fn opening_count(&self) -> usize {
        let images = self.images.iter();
        images
            .filter(|image| image.reason() == Some(&Reason::Opening))
            .count()
    }

    /// How many images are open for those who have them mounted, and no longer served.
    pub(crate) fn retired_count(&self) -> usize {
        self.by_number.len() - self.offered().count()
    }
}

fn cookie_of(name: &Name) -> Cookie {
    // Room above for the rare names that have to move up.
    Cookie((hash(&[b"cookie", name.as_bytes()]) >> 2).max(1))
}

/// The names that images are served under, by those of their files. It depends on the files that
/// are there alone: those whose names are plain have them as they are.
pub(super) fn names<'f>(
    files: impl IntoIterator<Item = &'f NameBuf>,
) -> BTreeMap<&'f NameBuf, String> {
    let mut taken: BTreeSet<String> = RESERVED.map(str::to_owned).into();
    let mut named = BTreeMap::new();
    let mut files: Vec<(bool, String, &NameBuf)> = files
        .into_iter()
        .map(|file| {
            let plain = plain(stem(file).unwrap_or(file));
            let is_as_it_is = format!("{plain}.iso").as_bytes() == file.as_bytes();
            (!is_as_it_is, plain, file)
        })
        .collect();
    files.sort();
    // The numbers that are tried next, by the names that several have.
    let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
    for (_, plain, file) in files {
        let all = |name: &str| {
            [
                name.to_owned(),
                format!("{name}.iso"),
                format!("{name}.beside"),
            ]
        };
        let is_free = |name: &str| all(name).iter().all(|name| !taken.contains(name));
        let mut name = plain.clone();
        // Not from 2 again: 50,000 files may have one name.
        let next = numbers.entry(plain.clone()).or_insert(2_u64);
        while !is_free(&name) {
            name = format!("{plain}-{next}");
            *next += 1;
        }
        taken.extend(all(&name));
        named.insert(file, name);
    }
    named
}

/// A file name without `.iso`, in any case; `None` if it is none of an image. Files whose names
/// begin with a dot are those that rsync and browsers have not finished.
pub(super) fn stem(file: &Name) -> Option<&Name> {
    let (stem, ending) = file.as_bytes().split_last_chunk::<4>()?;
    let is_image = ending.eq_ignore_ascii_case(b".iso") && !stem.starts_with(b".");
    Name::new(stem).ok().filter(|_| is_image)
}

/// A name that needs no quoting in paths, URLs and command lines.
fn plain(stem: &Name) -> String {
    let text = String::from_utf8_lossy(stem.as_bytes());
    let plain = text.chars().map(|char| match char {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => char,
        _ => '_',
    });
    plain.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(files: &[&str]) -> Vec<String> {
        let files: Vec<NameBuf> = files
            .iter()
            .map(|name| NameBuf::new(name.as_bytes().to_vec()).expect("a name"))
            .collect();
        let names = names(&files);
        files.iter().map(|file| names[file].clone()).collect()
    }

    #[test]
    fn images_are_named_by_their_files() {
        let stem = |name: &str| {
            let name = Name::new(name).expect("a name");
            stem(name).map(ToString::to_string)
        };
        assert_eq!(stem("a.iso").as_deref(), Some("a"));
        assert_eq!(stem("A.b.IsO").as_deref(), Some("A.b"));
        for other in [
            ".iso",
            "iso",
            "a.iso.part",
            ".a.iso.Xy12",
            ".a.iso",
            "..iso",
        ] {
            assert_eq!(stem(other), None, "{other}");
        }
    }

    #[test]
    fn each_image_has_a_plain_name_of_its_own() {
        assert_eq!(
            named(&["a b.iso", "a_b.iso", "a\nb.iso"]),
            ["a_b-3", "a_b", "a_b-2"]
        );
        assert_eq!(named(&["x.ISO", "x.iso", "X.iso"]), ["x-2", "x", "X"]);
        assert_eq!(named(&["ü.iso"]), ["_"]);
        // Their own directories would have the names of other things.
        assert_eq!(named(&["x.iso", "x.iso.iso"]), ["x", "x.iso-2"]);
        assert_eq!(named(&["x.iso", "x.beside.iso"]), ["x", "x.beside-2"]);
        assert_eq!(named(&["menu.cfg.iso"]), ["menu.cfg-2"]);
    }

    /// Trying all numbers for each of them would take hours.
    #[test]
    fn names_that_differ_in_what_becomes_an_underscore_are_told_apart_in_time() {
        let files: Vec<String> = (0..50_000_u32)
            .map(|number| {
                let char = |shift: u32| char::from_u32(0x4e00 + (number >> shift & 0xff));
                let [high, low] = [8, 0].map(|shift| char(shift).expect("a character"));
                format!("{high}{low}.iso")
            })
            .collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let names: BTreeSet<String> = named(&files).into_iter().collect();
        assert_eq!(names.len(), files.len());
        assert!(names.contains("__") && names.contains("__-50000"));
    }

    #[test]
    fn a_plain_name_does_not_depend_on_other_files() {
        let alone = named(&["debian.iso"]);
        assert_eq!(
            named(&["debian.iso", "debian.ISO", "Debian.iso"])[..1],
            alone
        );
    }
}
