//! Fixtures on the disk of this machine.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use pxe_tree::NodeKind;
use pxe_tree::conformance::{Expected, Fixture};
use tempfile::TempDir;

fn at(dir: &Path, path: &[u8]) -> PathBuf {
    dir.join(OsStr::from_bytes(path))
}

/// Puts what a fixture says into a directory.
fn write(fixture: &Fixture, dir: &Path) {
    for (path, expected) in fixture.entries() {
        let place = at(dir, path.as_bytes());
        match expected {
            Expected::File(content) => std::fs::write(&place, content).expect("write"),
            Expected::Directory => std::fs::create_dir_all(&place).expect("create"),
            Expected::Link(target) => symlink(OsStr::from_bytes(target), &place).expect("link"),
            Expected::Other(NodeKind::Fifo) => mkfifo(&place),
            Expected::Other(NodeKind::Socket) => {
                drop(std::os::unix::net::UnixListener::bind(&place).expect("bind"));
            }
            other => panic!("{path}: no way to make {other:?} without root"),
        }
    }
}

fn mkfifo(place: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, place, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("mknod");
}

/// A temporary directory with what a fixture says.
pub(crate) fn directory(fixture: &Fixture) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    write(fixture, dir.path());
    dir
}
