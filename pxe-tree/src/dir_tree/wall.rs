//! Opening what lies below the root, and nothing else.
//!
//! The first wall is [`Name`](crate::Name), which holds neither slash nor `..`. The second one is
//! the kernel's: `openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`, or, where the kernel
//! (before 5.6) or a container's system call filter refuses that, a walk that opens name after
//! name with `O_NOFOLLOW`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::stat::{Stat, Wait};

/// Longer paths are opened piece by piece: the kernel takes 4,095 bytes at once.
const PIECE_MAX: usize = 4000;

#[derive(Debug)]
pub(super) struct Wall {
    root: OwnedFd,
    openat2: AtomicBool,
    /// Whether answers can be had from the kernel's caches alone (`RESOLVE_CACHED`, Linux 5.12).
    cached: bool,
    /// A name that gives an input/output error, as a dead mount does.
    #[cfg(test)]
    pub(super) broken: std::sync::OnceLock<&'static [u8]>,
}

/// Why nothing was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// It would have to wait for the medium.
    Wait,
    /// The kernel says so.
    Errno(Errno),
}

impl Wall {
    /// Around this directory. `local` says that looking at a cached file never waits.
    pub(super) fn new(root: OwnedFd, openat2_wanted: bool, local: bool) -> Self {
        let probe = |resolve| {
            openat2(
                &root,
                c".",
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            )
        };
        let works = openat2_wanted && probe(beneath()).is_ok();
        let cached = works && local && probe(beneath() | ResolveFlags::CACHED).is_ok();
        Self {
            root,
            openat2: AtomicBool::new(works),
            cached,
            #[cfg(test)]
            broken: std::sync::OnceLock::new(),
        }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Whether the kernel can be asked for what it has in its caches alone.
    pub(super) fn answers_now(&self) -> bool {
        self.cached
    }

    /// What lies at a path now, if that can be told from caches; for comparing it with what lay
    /// there a moment ago, and for nothing else: links on the way are followed.
    pub(super) fn glance(&self, path: &[u8]) -> Option<Stat> {
        if !self.cached || path.len() > PIECE_MAX {
            return None;
        }
        Stat::at(&self.root, path).ok()
    }

    /// Opens a path of names below the root; the empty path is the root itself. No link is
    /// followed: a link in the path is an error, one at its end can be opened with `O_PATH`.
    pub(super) fn open(&self, path: &[u8], flags: OFlags, wait: Wait) -> Result<OwnedFd, Closed> {
        let mut rest = path;
        let mut held: Option<OwnedFd> = None;
        while rest.len() > PIECE_MAX {
            let piece = rest.get(..PIECE_MAX).unwrap_or_default();
            let slash = piece.iter().rposition(|&byte| byte == b'/');
            let slash = slash.ok_or(Closed::Errno(Errno::NAMETOOLONG))?;
            let (piece, after) = rest.split_at(slash);
            let dir = held.as_ref().map_or(self.root(), AsFd::as_fd);
            held = Some(self.open_piece(dir, piece, OFlags::PATH | OFlags::DIRECTORY, wait)?);
            rest = after.get(1..).unwrap_or_default();
        }
        let dir = held.as_ref().map_or(self.root(), AsFd::as_fd);
        self.open_piece(dir, rest, flags, wait)
    }

    /// Opens a path of names below an open directory of this tree.
    pub(super) fn open_piece(
        &self,
        dir: BorrowedFd<'_>,
        path: &[u8],
        flags: OFlags,
        wait: Wait,
    ) -> Result<OwnedFd, Closed> {
        if wait == Wait::Never && !self.cached {
            return Err(Closed::Wait);
        }
        #[cfg(test)]
        if let Some(broken) = self.broken.get()
            && path.split(|&byte| byte == b'/').any(|name| name == *broken)
        {
            return Err(Closed::Errno(Errno::IO));
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = if path.is_empty() { b"." } else { path };
        if self.openat2.load(Ordering::Relaxed) {
            let resolve = match wait {
                // What is mounted below may ask another machine, even if the root does not.
                Wait::Never => beneath() | ResolveFlags::CACHED | ResolveFlags::NO_XDEV,
                Wait::Allowed => beneath(),
            };
            match openat2(dir, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::XDEV) if wait == Wait::Never => {
                    return Err(Closed::Wait);
                }
                // A filter that was put on since: from now on without.
                Err(Errno::NOSYS) => self.openat2.store(false, Ordering::Relaxed),
                // Of a filter, or of the file: the walk will tell.
                Err(Errno::PERM) => {}
                done => return done.map_err(Closed::Errno),
            }
        }
        if wait == Wait::Never {
            return Err(Closed::Wait);
        }
        walk(dir, path, flags).map_err(Closed::Errno)
    }
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

/// The same without `openat2`: names hold no slash and no `..`, and `O_NOFOLLOW` with each of
/// them is what keeps links from being followed.
fn walk(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut held: Option<OwnedFd> = None;
    let mut names = path.split(|&byte| byte == b'/').peekable();
    while let Some(name) = names.next() {
        let here = held.as_ref().map_or(dir, AsFd::as_fd);
        match names.peek() {
            Some(_) => held = Some(openat(here, name, on_the_way, Mode::empty())?),
            None => return openat(here, name, flags, Mode::empty()),
        }
    }
    Err(Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways of opening agree on everything, and neither follows a link.
    #[test]
    fn both_walls_agree() {
        let outside = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(outside.path().join("secret"), "x").expect("write");
        let top = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(top.path().join("a/b")).expect("create");
        std::fs::write(top.path().join("a/b/file"), "x").expect("write");
        for (link, target) in [
            ("out", outside.path()),
            ("up", "..".as_ref()),
            ("inner", "a/b".as_ref()),
            ("self", "self".as_ref()),
            ("proc", "/proc/self/root".as_ref()),
        ] {
            std::os::unix::fs::symlink(target, top.path().join(link)).expect("link");
        }
        let open = |openat2_wanted| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open(top.path(), flags, Mode::empty()).expect("open");
            Wall::new(root, openat2_wanted, true)
        };
        let (new, old) = (open(true), open(false));
        assert!(!old.openat2.load(Ordering::Relaxed));
        let see = |wall: &Wall, path: &str, flags| {
            let fd = wall.open(path.as_bytes(), flags, Wait::Allowed);
            fd.map(|fd| Stat::of(fd).expect("open").identity)
        };
        for path in [
            "", "a", "a/b", "a/b/file", "inner", "out", "self", "up", "proc",
        ] {
            let seen = see(&new, path, OFlags::PATH);
            // What was seen just now is in the kernel's caches, a link too; renames elsewhere can
            // make it look away for a moment.
            let cached = |_| new.open(path.as_bytes(), OFlags::PATH, Wait::Never).is_ok();
            assert_eq!((0..100).any(cached), new.cached, "{path}");
            assert!(seen.is_ok(), "{path}: the link itself can be seen");
            assert_eq!(seen, see(&old, path, OFlags::PATH), "{path}");
            let read = see(&new, path, OFlags::RDONLY);
            assert_eq!(read, see(&old, path, OFlags::RDONLY), "{path}");
        }
        for path in [
            "out/secret",
            "up/etc",
            "inner/file",
            "self/x",
            "a/b/file/x",
            "proc/etc",
            "no",
            "a/no/x",
        ] {
            for flags in [OFlags::PATH, OFlags::RDONLY] {
                assert!(see(&new, path, flags).is_err(), "{path}");
                assert!(see(&old, path, flags).is_err(), "{path}");
            }
        }
        for path in ["out", "self", "inner"] {
            assert_eq!(
                see(&old, path, OFlags::RDONLY),
                Err(Closed::Errno(Errno::LOOP))
            );
        }
    }

    /// The root is local; what is mounted below it (`/proc` is) may be another machine's.
    #[test]
    fn what_is_mounted_below_is_not_asked_on_the_spot() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).expect("open");
        let wall = Wall::new(root, true, true);
        for path in ["proc", "proc/sys"] {
            wall.open(path.as_bytes(), OFlags::PATH, Wait::Allowed)
                .expect("there");
            for _ in 0..100 {
                let opened = wall.open(path.as_bytes(), OFlags::PATH, Wait::Never);
                assert_eq!(opened.err(), Some(Closed::Wait), "{path}");
            }
        }
    }

    #[test]
    fn without_openat2_nothing_is_answered_from_caches() {
        let top = tempfile::tempdir().expect("a temporary directory");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(top.path(), flags, Mode::empty()).expect("open");
        let wall = Wall::new(root, false, true);
        assert_eq!(
            wall.open(b"", OFlags::PATH, Wait::Never).err(),
            Some(Closed::Wait)
        );
    }
}
