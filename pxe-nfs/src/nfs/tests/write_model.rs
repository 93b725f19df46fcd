//! Random changes by NFS, and the same ones by system calls elsewhere: the same comes of both.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use nfs3_types::nfs3::{Nfs3Option, createhow3, mknoddata3, nfs_fh3, nfsstat3, sattr3, stable_how};
use proptest::prelude::*;

use super::writer::{Said, Writer, mode};

/// The directories and names that changes are about; some are made, some are links that lead out.
const DIRS: [&str; 5] = ["", "a", "b", "a/b", "out"];
const NAMES: [&str; 6] = ["a", "b", "c", "f", "out", "out_file"];

#[derive(Debug, Clone)]
struct At {
    dir: &'static str,
    name: &'static str,
}

#[derive(Debug, Clone)]
enum Change {
    Create(At, u32),
    Guarded(At, u32),
    Mkdir(At, u32),
    Symlink(At, &'static str),
    Pipe(At, u32),
    Link(At, At),
    Remove(At),
    Rmdir(At),
    Rename(At, At),
    Write(At, u64, Vec<u8>, stable_how),
    Cut(At, u64),
    Chmod(At, u32),
}

fn at() -> impl Strategy<Value = At> {
    (
        prop::sample::select(&DIRS[..]),
        prop::sample::select(&NAMES[..]),
    )
        .prop_map(|(dir, name)| At { dir, name })
}

fn change() -> impl Strategy<Value = Change> {
    // Their owner may always do all: whoever runs the tests is as free by system calls.
    let file_mode = || (0_u32..0o200).prop_map(|bits| bits | 0o600);
    let dir_mode = || (0_u32..0o100).prop_map(|bits| bits | 0o700);
    let target = prop::sample::select(&["a", "../b", "nowhere", "f"][..]);
    let stable = prop::sample::select(
        &[
            stable_how::UNSTABLE,
            stable_how::DATA_SYNC,
            stable_how::FILE_SYNC,
        ][..],
    );
    let data = prop::collection::vec(any::<u8>(), 0..50);
    prop_oneof![
        3 => (at(), file_mode()).prop_map(|(at, mode)| Change::Create(at, mode)),
        1 => (at(), file_mode()).prop_map(|(at, mode)| Change::Guarded(at, mode)),
        2 => (at(), dir_mode()).prop_map(|(at, mode)| Change::Mkdir(at, mode)),
        1 => (at(), target).prop_map(|(at, target)| Change::Symlink(at, target)),
        1 => (at(), file_mode()).prop_map(|(at, mode)| Change::Pipe(at, mode)),
        2 => (at(), at()).prop_map(|(from, to)| Change::Link(from, to)),
        2 => at().prop_map(Change::Remove),
        2 => at().prop_map(Change::Rmdir),
        4 => (at(), at()).prop_map(|(from, to)| Change::Rename(from, to)),
        3 => (at(), 0_u64..100, data, stable)
            .prop_map(|(at, offset, data, stable)| Change::Write(at, offset, data, stable)),
        1 => (at(), 0_u64..100).prop_map(|(at, len)| Change::Cut(at, len)),
        1 => (at(), dir_mode()).prop_map(|(at, mode)| Change::Chmod(at, mode)),
    ]
}

/// By NFS, walking from the root each time or keeping handles makes no difference.
struct ByNfs {
    writer: Writer,
}

impl ByNfs {
    async fn dir(&self, path: &str) -> Said<nfs_fh3> {
        let mut here = self.writer.root().await;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            here = self.writer.look_up(&here, name).await?;
        }
        Ok(here)
    }

    async fn node(&self, at: &At) -> Said<nfs_fh3> {
        let dir = self.dir(at.dir).await?;
        self.writer.look_up(&dir, at.name).await
    }

    async fn make(&self, change: &Change) -> Said<()> {
        let writer = &self.writer;
        match change {
            Change::Create(at, bits) => {
                let dir = self.dir(at.dir).await?;
                let how = createhow3::UNCHECKED(mode(*bits));
                writer.create(&dir, at.name, how).await.map(drop)
            }
            Change::Guarded(at, bits) => {
                let dir = self.dir(at.dir).await?;
                let how = createhow3::GUARDED(mode(*bits));
                writer.create(&dir, at.name, how).await.map(drop)
            }
            Change::Mkdir(at, bits) => {
                let dir = self.dir(at.dir).await?;
                writer.mkdir(&dir, at.name, mode(*bits)).await.map(drop)
            }
            Change::Symlink(at, target) => {
                let dir = self.dir(at.dir).await?;
                writer.symlink(&dir, at.name, target).await.map(drop)
            }
            Change::Pipe(at, bits) => {
                let dir = self.dir(at.dir).await?;
                let what = mknoddata3::NF3FIFO(mode(*bits));
                writer.mknod(&dir, at.name, what).await.map(drop)
            }
            Change::Link(from, to) => {
                let (node, dir) = (self.node(from).await?, self.dir(to.dir).await?);
                writer.link(&node, &dir, to.name).await.map(drop)
            }
            Change::Remove(at) => writer.remove(&self.dir(at.dir).await?, at.name).await,
            Change::Rmdir(at) => writer.rmdir(&self.dir(at.dir).await?, at.name).await,
            Change::Rename(from, to) => {
                let (from_dir, to_dir) = (self.dir(from.dir).await?, self.dir(to.dir).await?);
                writer
                    .rename((&from_dir, from.name), (&to_dir, to.name))
                    .await
            }
            Change::Write(at, offset, data, stable) => {
                let node = self.node(at).await?;
                writer.write(&node, *offset, data, *stable).await?;
                match *stable {
                    stable_how::UNSTABLE => writer.commit(&node).await.map(drop),
                    _ => Ok(()),
                }
            }
            Change::Cut(at, len) => {
                let size = sattr3 {
                    size: Nfs3Option::Some(*len),
                    ..sattr3::default()
                };
                writer.set(&self.node(at).await?, size).await.map(drop)
            }
            Change::Chmod(at, bits) => writer
                .set(&self.node(at).await?, mode(*bits))
                .await
                .map(drop),
        }
    }
}

/// By system calls, refused where a link would be followed.
struct BySystem<'a> {
    root: &'a Path,
}

type Failed = std::io::Error;

impl BySystem<'_> {
    fn dir(&self, path: &str) -> Result<std::path::PathBuf, Failed> {
        let mut here = self.root.to_owned();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            here.push(name);
            if !fs::symlink_metadata(&here)?.is_dir() {
                return Err(std::io::ErrorKind::NotADirectory.into());
            }
        }
        Ok(here)
    }

    fn path(&self, at: &At) -> Result<std::path::PathBuf, Failed> {
        Ok(self.dir(at.dir)?.join(at.name))
    }

    fn file(&self, at: &At) -> Result<std::path::PathBuf, Failed> {
        let path = self.path(at)?;
        match fs::symlink_metadata(&path)?.is_file() {
            true => Ok(path),
            false => Err(std::io::ErrorKind::InvalidInput.into()),
        }
    }

    fn create(&self, path: &Path, bits: u32) -> Result<(), Failed> {
        fs::File::create_new(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(bits))
    }

    fn make(&self, change: &Change) -> Result<(), Failed> {
        match change {
            Change::Create(at, bits) => match self.file(at) {
                Ok(_) => Ok(()),
                Err(_) => self.create(&self.path(at)?, *bits),
            },
            Change::Guarded(at, bits) => self.create(&self.path(at)?, *bits),
            Change::Mkdir(at, bits) => {
                let path = self.path(at)?;
                fs::create_dir(&path)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(*bits))
            }
            Change::Symlink(at, target) => symlink(target, self.path(at)?),
            Change::Pipe(at, bits) => {
                let path = self.path(at)?;
                let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
                rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(*bits))
            }
            Change::Link(from, to) => {
                let (from, to) = (self.path(from)?, self.dir(to.dir)?.join(to.name));
                fs::symlink_metadata(&from)?;
                fs::hard_link(from, to)
            }
            Change::Remove(at) => fs::remove_file(self.path(at)?),
            Change::Rmdir(at) => fs::remove_dir(self.path(at)?),
            Change::Rename(from, to) => {
                let (from, to) = (self.path(from)?, self.path(to)?);
                fs::rename(from, to)
            }
            Change::Write(at, offset, data, _) => {
                let file = fs::File::options().write(true).open(self.file(at)?)?;
                file.write_all_at(data, *offset)
            }
            Change::Cut(at, len) => {
                let file = fs::File::options().write(true).open(self.file(at)?)?;
                file.set_len(*len)
            }
            Change::Chmod(at, bits) => {
                let path = self.path(at)?;
                match fs::symlink_metadata(&path)?.is_symlink() {
                    // Linux's NFS server says that it was done (`nfsd_setattr`).
                    true => Ok(()),
                    false => fs::set_permissions(path, fs::Permissions::from_mode(*bits)),
                }
            }
        }
    }
}

/// Everything that two directories can differ in, but for times and numbers.
fn seen(dir: &Path) -> Vec<(OsString, u32, u64, String)> {
    let mut entries: Vec<_> = fs::read_dir(dir).expect("list").flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    let describe = |entry: &fs::DirEntry| {
        let (path, meta) = (entry.path(), entry.metadata().expect("there"));
        let content = match meta.file_type() {
            kind if kind.is_dir() => format!("{:?}", seen(&path)),
            kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).expect("a link")),
            kind if kind.is_file() => format!("{:?}", fs::read(&path).expect("a file")),
            _ => String::new(),
        };
        (entry.file_name(), meta.mode(), meta.nlink(), content)
    };
    entries.iter().map(describe).collect()
}

/// Links that lead out of the tree, by both ways.
fn plant(root: &Path, outside: &Path) {
    symlink(outside, root.join("out")).expect("link");
    symlink(outside.join("f"), root.join("out_file")).expect("link");
}

async fn compare(changes: Vec<Change>) {
    let top = tempfile::tempdir().expect("a temporary directory");
    let outside = top.path().join("outside");
    fs::create_dir_all(outside.join("a")).expect("create");
    fs::write(outside.join("f"), "outside").expect("write");
    let outside_before = seen(&outside);
    let by_nfs = ByNfs {
        writer: Writer::myself(),
    };
    let nfs_root = by_nfs.writer.dir.path().to_owned();
    let system_root = top.path().join("system");
    fs::create_dir(&system_root).expect("create");
    plant(&nfs_root, &outside);
    plant(&system_root, &outside);
    let by_system = BySystem { root: &system_root };
    for change in &changes {
        let (done, expected) = (by_nfs.make(change).await, by_system.make(change));
        assert_eq!(
            done.is_ok(),
            expected.is_ok(),
            "{change:?}: {done:?} {expected:?}"
        );
        // Where the kernel has a number for it, so has NFS (RFC 1813 section 2.6).
        if let Some(errno) = expected.err().and_then(|error| error.raw_os_error()) {
            let status = match errno {
                39 => nfsstat3::NFS3ERR_NOTEMPTY as u32,
                errno => u32::try_from(errno).expect("positive"),
            };
            let said = done.err().map(|said| said as u32);
            let two_faults = matches!(change, Change::Rename(..) | Change::Link(..));
            assert!(
                said == Some(status) || two_faults,
                "{change:?}: {said:?} {status}"
            );
        }
        assert_eq!(seen(&nfs_root), seen(&system_root), "{change:?}");
    }
    assert_eq!(seen(&outside), outside_before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nfs_changes_what_system_calls_would(changes in prop::collection::vec(change(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(compare(changes));
    }
}
