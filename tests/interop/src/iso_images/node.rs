//! What is known of each node of a tree: as pxe-iso reads it, and as a directory on disk has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use pxe_iso::ImageTree;
use pxe_tree::{Attributes, Blob, Cookie, NodeId, NodeKind, Tree};

/// Bytes that are compared at once.
const PIECE: usize = 4 << 20;
/// Differences that are told.
const TOLD_MAX: usize = 12;
/// Levels of directories: no test has more.
const DEPTH_MAX: usize = 100;

/// A path without the slash before it; the root's is empty.
pub(super) type PathBytes = Vec<u8>;

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) kind: NodeKind,
    /// Of a file.
    pub(super) len: u64,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) nlink: u32,
    pub(super) device: (u32, u32),
    pub(super) modified: i64,
    pub(super) target: Option<Vec<u8>>,
}

/// The nodes of an image, by their paths.
pub(super) type Walked = BTreeMap<PathBytes, (NodeId, Known)>;

/// Looks at every node of a tree in every way that it can be asked, and finds the same each time.
pub(super) async fn walk(tree: &ImageTree) -> Result<Walked, String> {
    let root = tree.attributes(tree.root()).await.map_err(told)?;
    let mut left = vec![(PathBytes::new(), tree.root(), 0)];
    let mut nodes = BTreeMap::new();
    nodes.insert(PathBytes::new(), (tree.root(), known(tree, &root).await?));
    while let Some((above, dir, depth)) = left.pop() {
        if depth > DEPTH_MAX {
            return Err(format!("{} is too deep", shown(&above)));
        }
        let mut after = Cookie::START;
        loop {
            let page = tree.read_dir_attributes(dir, after, 1000).await;
            let page = page.map_err(|error| format!("{}: {error}", shown(&above)))?;
            for listed in page.entries {
                after = listed.entry.cookie;
                let name = listed.entry.name;
                let path = below(&above, name.as_bytes());
                let place = |error: pxe_tree::Error| format!("{}: {error}", shown(&path));
                let found = tree.lookup(dir, &name).await.map_err(place)?;
                let again = tree.attributes(found.node).await.map_err(place)?;
                if Some(&found) != listed.attributes.as_ref() || found != again {
                    return Err(format!("{}: {found:?} and {again:?}", shown(&path)));
                }
                let key = tree.key(found.node).map_err(place)?;
                if tree.resolve_key(&key).await.map_err(place)? != found.node {
                    return Err(format!("{}: another node's key", shown(&path)));
                }
                if found.kind == NodeKind::Directory {
                    if tree.parent(found.node).await.map_err(place)? != dir {
                        return Err(format!("{}: not below its parent", shown(&path)));
                    }
                    left.push((path.clone(), found.node, depth + 1));
                }
                let what = known(tree, &found).await?;
                if nodes.insert(path.clone(), (found.node, what)).is_some() {
                    return Err(format!("{} comes twice", shown(&path)));
                }
            }
            if page.end {
                break;
            }
        }
    }
    Ok(nodes)
}

/// Leaves out a path and what is below it.
pub(super) fn leave_out<T>(nodes: &mut BTreeMap<PathBytes, T>, path: &str) {
    let below = format!("{path}/");
    nodes.retain(|found, _| found != path.as_bytes() && !found.starts_with(below.as_bytes()));
}

async fn known(tree: &ImageTree, found: &Attributes) -> Result<Known, String> {
    let target = match found.kind {
        NodeKind::Link => Some(tree.read_link(found.node).await.map_err(told)?.to_vec()),
        _ => None,
    };
    Ok(Known {
        kind: found.kind,
        len: if found.kind == NodeKind::File {
            found.len
        } else {
            0
        },
        mode: found.mode,
        owner: (found.uid, found.gid),
        nlink: found.nlink,
        device: found.rdev,
        modified: found.modified.seconds,
        target,
    })
}

/// A directory on disk with all that is below it.
pub(super) fn on_disk(directory: &Path) -> Result<BTreeMap<PathBytes, Known>, String> {
    let mut nodes = BTreeMap::new();
    let mut left = vec![(PathBytes::new(), directory.to_path_buf())];
    while let Some((path, place)) = left.pop() {
        let told = |error: std::io::Error| format!("{}: {error}", place.display());
        let metadata = fs::symlink_metadata(&place).map_err(told)?;
        let file_type = metadata.file_type();
        let kind = match () {
            () if file_type.is_dir() => NodeKind::Directory,
            () if file_type.is_symlink() => NodeKind::Link,
            () if file_type.is_block_device() => NodeKind::BlockDevice,
            () if file_type.is_char_device() => NodeKind::CharDevice,
            () if file_type.is_fifo() => NodeKind::Fifo,
            () if file_type.is_socket() => NodeKind::Socket,
            () => NodeKind::File,
        };
        let is_device = matches!(kind, NodeKind::BlockDevice | NodeKind::CharDevice);
        let target = match kind {
            NodeKind::Link => Some(fs::read_link(&place).map_err(told)?),
            _ => None,
        };
        let what = Known {
            kind,
            len: if kind == NodeKind::File {
                metadata.len()
            } else {
                0
            },
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            nlink: u32::try_from(metadata.nlink()).map_err(|error| error.to_string())?,
            device: if is_device {
                device(metadata.rdev())
            } else {
                (0, 0)
            },
            modified: metadata.mtime(),
            target: target.map(|target| target.as_os_str().as_bytes().to_vec()),
        };
        if kind == NodeKind::Directory {
            for entry in fs::read_dir(&place).map_err(told)? {
                let name = entry.map_err(told)?.file_name();
                left.push((below(&path, name.as_bytes()), place.join(name)));
            }
        }
        nodes.insert(path, what);
    }
    Ok(nodes)
}

/// Major and minor number, as glibc's `gnu_dev_major` and `gnu_dev_minor` have them.
fn device(number: u64) -> (u32, u32) {
    let major = number >> 8 & 0xfff | number >> 32 & 0xffff_f000;
    let minor = number & 0xff | number >> 12 & 0xffff_ff00;
    (major as u32, minor as u32)
}

fn below(above: &[u8], name: &[u8]) -> PathBytes {
    match above {
        [] => name.to_vec(),
        above => [above, b"/", name].concat(),
    }
}

/// What is the same on both sides, beside names, kinds, sizes, targets and bytes, which always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Same {
    /// Permission bits of all but links, which have none of their own on Linux.
    Modes,
    Owners,
    /// Names of a file.
    Links,
    Devices,
    /// Times of files.
    FileTimes,
    /// Times of directories.
    DirectoryTimes,
}

/// Compares all that was found in an image with a directory, byte by byte.
pub(super) async fn compare(
    tree: &ImageTree,
    found: &Walked,
    directory: &Path,
    expected: &BTreeMap<PathBytes, Known>,
    same: &[Same],
) -> Result<(), String> {
    let mut differences = Vec::new();
    let paths: BTreeSet<&PathBytes> = found.keys().chain(expected.keys()).collect();
    for path in paths {
        match (found.get(path), expected.get(path)) {
            (Some((node, found)), Some(expected)) => {
                let place = directory.join(std::ffi::OsStr::from_bytes(path));
                let what = differs(found, expected, same);
                if !what.is_empty() {
                    differences.push(format!("{}: {what}", shown(path)));
                } else if found.kind == NodeKind::File {
                    let blob = tree.open(*node).await;
                    let result = match blob {
                        Ok(blob) => same_bytes(&*blob, &place).await,
                        Err(error) => Err(error.to_string()),
                    };
                    if let Err(error) = result {
                        differences.push(format!("{}: {error}", shown(path)));
                    }
                }
            }
            (Some(_), None) => differences.push(format!("{} is not extracted", shown(path))),
            _ => differences.push(format!("{} is not found", shown(path))),
        }
    }
    match differences.len() {
        0 => Ok(()),
        count => {
            differences.truncate(TOLD_MAX);
            let place = directory.display();
            Err(format!(
                "{count} differences from {place}:\n  {}",
                differences.join("\n  ")
            ))
        }
    }
}

fn differs(found: &Known, expected: &Known, same: &[Same]) -> String {
    let mut what = String::new();
    let mut compared = |name: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
        let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
        if found != expected {
            let _ = write!(what, "{name} {found}, extracted {expected}; ");
        }
    };
    compared("kind", &found.kind, &expected.kind);
    compared("bytes", &found.len, &expected.len);
    let text = |target: &Option<Vec<u8>>| target.as_deref().map(shown);
    compared("target", &text(&found.target), &text(&expected.target));
    for same in same {
        match (same, found.kind) {
            (Same::Modes, NodeKind::Link) => {}
            (Same::Modes, _) => compared("mode", &found.mode, &expected.mode),
            (Same::Owners, _) => compared("owner", &found.owner, &expected.owner),
            (Same::Links, NodeKind::File) => compared("nlink", &found.nlink, &expected.nlink),
            (Same::Devices, _) => compared("device", &found.device, &expected.device),
            (Same::FileTimes, NodeKind::File) | (Same::DirectoryTimes, NodeKind::Directory) => {
                compared("time", &found.modified, &expected.modified);
            }
            _ => {}
        }
    }
    what
}

/// The same bytes, in pieces.
pub(super) async fn same_bytes(blob: &dyn Blob, path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    same_as(blob, file).await
}

/// The same bytes as all that can be read here.
pub(super) async fn same_as(blob: &dyn Blob, mut expected: impl Read) -> Result<(), String> {
    let mut piece = Vec::new();
    let mut offset = 0;
    loop {
        piece.clear();
        let mut part = (&mut expected).take(PIECE as u64);
        part.read_to_end(&mut piece)
            .map_err(|error| error.to_string())?;
        let read = blob.read_at(offset, PIECE).await.map_err(told)?;
        if read != piece {
            return Err(format!("other bytes after {offset}"));
        }
        if read.is_empty() {
            return Ok(());
        }
        offset += read.len() as u64;
    }
}

/// A path for people.
pub(super) fn shown(path: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(path).into_owned();
    if let Some((end, _)) = text.char_indices().nth(60) {
        text.truncate(end);
        text.push('…');
    }
    format!("/{text}")
}

/// For `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "as it is given there")]
pub(super) fn told(error: pxe_tree::Error) -> String {
    error.to_string()
}
