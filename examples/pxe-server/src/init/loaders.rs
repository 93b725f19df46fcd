//! What there is to lay out, and where it lies on this machine: `loaders.toml`, read.

use std::collections::HashSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

/// The data, with its description in its first lines.
const LOADERS: &str = include_str!("../loaders.toml");

/// As many links as the Linux kernel follows (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// All of `loaders.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Catalogue {
    #[serde(rename = "family")]
    pub(super) families: Vec<Family>,
    #[serde(rename = "system")]
    pub(super) systems: Vec<System>,
}

/// What belongs together for one kind of firmware.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Family {
    pub(super) name: String,
    /// For people: which machines, which loader.
    pub(super) what: String,
    /// Paths in the tree without which it does not boot.
    pub(super) needs: Vec<String>,
    /// Paths in the tree that are good to have.
    pub(super) wants: Vec<String>,
    /// The folder that gets links to `pxelinux.cfg` and `os`: these loaders take every name as
    /// relative to the folder of their boot file.
    pub(super) links: Option<String>,
    /// The architecture whose boot file the first of `needs` is, as `[boot.files]` names it.
    pub(super) boots: Option<String>,
}

/// A distribution.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct System {
    /// Its `ID`, or an `ID_LIKE`, in `/etc/os-release`.
    pub(super) id: String,
    /// The command that installs a package, without the package.
    pub(super) install: String,
    /// How its paths are known; for those who change them.
    #[expect(dead_code, reason = "kept beside the data, for people")]
    pub(super) verified: String,
    #[serde(rename = "package")]
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    name: String,
    files: Vec<Files>,
}

/// Files that a package brings, and what they become in the tree.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    from: Vec<PathBuf>,
    to: String,
    names: Option<Vec<String>>,
}

/// Where a file of the tree may come from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    pub(super) package: &'a str,
    /// The first that exists is taken.
    pub(super) paths: Vec<PathBuf>,
}

impl Catalogue {
    /// The catalogue that was built in.
    pub(super) fn built_in() -> Self {
        toml::from_str(LOADERS).expect("the built-in loaders.toml is read by a test")
    }

    /// The systems, the one that this machine runs first, and whether it is among them.
    pub(super) fn systems_for(&self, root: &Path) -> (Vec<&System>, bool) {
        let release = ["etc/os-release", "usr/lib/os-release"]
            .iter()
            .find_map(|path| std::fs::read_to_string(resolve(root, Path::new(path)).ok()?).ok())
            .unwrap_or_default();
        let ids = os_ids(&release);
        let own = ids
            .iter()
            .find_map(|id| self.systems.iter().find(|system| system.id == *id));
        let others = self
            .systems
            .iter()
            .filter(|system| own.is_none_or(|own| own.id != system.id));
        (own.into_iter().chain(others).collect(), own.is_some())
    }
}

impl System {
    /// Where this system has what becomes `target`, a path in the tree; `None` if it has no such
    /// thing in any package.
    pub(super) fn origin(&self, target: &str) -> Option<Origin<'_>> {
        self.packages.iter().find_map(|package| {
            package.files.iter().find_map(|files| {
                let paths = files.paths_of(target)?;
                Some(Origin {
                    package: &package.name,
                    paths,
                })
            })
        })
    }

    /// The file that becomes `target`, under `root`.
    pub(super) fn find(&self, root: &Path, target: &str) -> Option<Found> {
        self.origin(target)?.paths.into_iter().find_map(|path| {
            let real = resolve(root, &path).ok()?;
            let is_file = std::fs::metadata(&real).is_ok_and(|metadata| metadata.is_file());
            is_file.then_some(Found { shown: path, real })
        })
    }
}

impl Files {
    fn paths_of(&self, target: &str) -> Option<Vec<PathBuf>> {
        let Some(names) = &self.names else {
            return (self.to == target).then(|| self.from.clone());
        };
        let name = target.strip_prefix(self.to.as_str())?.strip_prefix('/')?;
        names.iter().find(|known| *known == name)?;
        Some(self.from.iter().map(|folder| folder.join(name)).collect())
    }
}

/// A loader on this machine.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path as the system knows it.
    pub(super) shown: PathBuf,
    /// Its path with the root before it and links followed.
    pub(super) real: PathBuf,
}

/// Every path of the tree that a family may bring.
pub(super) fn targets(family: &Family) -> impl Iterator<Item = (&str, bool)> {
    let needs = family.needs.iter().map(|target| (target.as_str(), true));
    needs.chain(family.wants.iter().map(|target| (target.as_str(), false)))
}

/// `ID`, then each word of `ID_LIKE`, of an os-release file (os-release(5)).
fn os_ids(release: &str) -> Vec<String> {
    let value = |key: &str| {
        release.lines().rev().find_map(|line| {
            let value = line.trim().strip_prefix(key)?.strip_prefix('=')?;
            Some(value.trim_matches(['"', '\'']).to_owned())
        })
    };
    let like = value("ID_LIKE").unwrap_or_default();
    let mut seen = HashSet::new();
    value("ID")
        .into_iter()
        .chain(like.split_whitespace().map(str::to_owned))
        .filter(|id| seen.insert(id.clone()))
        .collect()
}

/// `path` under `root`, with links followed as they would be if `root` were `/`: Debian's
/// `/usr/lib/ipxe/ipxe.efi` is a link to `/boot/ipxe.efi`.
fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut left: Vec<PathBuf> = path_parts(path).rev().collect();
    let mut inside = PathBuf::new();
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == Path::new("..") {
            inside.pop();
            continue;
        }
        let here = root.join(&inside).join(&part);
        match std::fs::read_link(&here) {
            Ok(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(io::Error::other("too many links"));
                }
                if target.is_absolute() {
                    inside = PathBuf::new();
                }
                left.extend(path_parts(&target).rev());
            }
            // Not a link, or not there: what uses the path will say so.
            Err(_) => inside.push(part),
        }
    }
    Ok(root.join(inside))
}

/// The names and `..` of a path, without its root and `.`.
fn path_parts(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every system's files are of some family, every need has an origin on some system, and no
    /// path leaves the tree.
    #[test]
    fn built_in_catalogue_is_consistent() {
        let catalogue = Catalogue::built_in();
        let known: HashSet<&str> = catalogue
            .families
            .iter()
            .flat_map(targets)
            .map(|(target, _)| target)
            .collect();
        for target in &known {
            let path = Path::new(target);
            assert!(
                path.components()
                    .all(|part| matches!(part, Component::Normal(_))),
                "{target}"
            );
            assert_eq!(
                path.components().count(),
                2,
                "{target}: one folder, one file"
            );
            let brought = catalogue
                .systems
                .iter()
                .any(|system| system.origin(target).is_some());
            assert!(brought, "{target}: no system brings it");
        }
        for system in &catalogue.systems {
            for files in system.packages.iter().flat_map(|package| &package.files) {
                assert!(
                    files.from.iter().all(|path| path.is_absolute()),
                    "{files:?}"
                );
                let named = files
                    .names
                    .iter()
                    .flatten()
                    .map(|name| format!("{}/{name}", files.to));
                let whole = files.names.is_none().then(|| files.to.clone());
                for target in named.chain(whole) {
                    assert!(known.contains(target.as_str()), "{}: {target}", system.id);
                }
            }
        }
    }

    #[test]
    fn derived_systems_are_their_parent() {
        assert_eq!(
            os_ids("NAME=x\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"),
            ["linuxmint", "ubuntu", "debian"]
        );
        assert_eq!(
            os_ids("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n"),
            ["opensuse-leap", "suse", "opensuse"]
        );
        assert!(os_ids("").is_empty());
    }

    #[test]
    fn links_stay_under_the_root() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("usr/lib/ipxe")).expect("made");
        std::fs::create_dir_all(at("boot")).expect("made");
        std::os::unix::fs::symlink("/boot/ipxe.efi", at("usr/lib/ipxe/ipxe.efi")).expect("made");
        std::os::unix::fs::symlink("../../../../../../boot", at("usr/lib/up")).expect("made");
        std::os::unix::fs::symlink("loop", at("loop")).expect("made");
        let resolved = |path: &str| resolve(root.path(), Path::new(path));
        assert_eq!(
            resolved("/usr/lib/ipxe/ipxe.efi").expect("resolves"),
            at("boot/ipxe.efi")
        );
        assert_eq!(resolved("/usr/lib/up/x").expect("resolves"), at("boot/x"));
        assert_eq!(resolved("/../../etc").expect("resolves"), at("etc"));
        assert!(resolved("/loop").is_err());
    }
}
