//! A folder that files are put into, held open.
//!
//! Everything is done relative to the open folder and without following links, so that nobody
//! who can write in the tree gets a file written elsewhere by swapping a folder for a link.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

/// Folders are for everyone to read: the server runs as nobody.
const FOLDER_MODE: u32 = 0o755;
/// No loader needs the executable bit.
const FILE_MODE: u32 = 0o644;

/// An open folder and the path by which people know it.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// What lies under a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Nothing,
    File,
    Folder,
    Link(OsString),
    /// A device, a socket, a pipe.
    Other,
}

/// What putting a file or a link did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    Created,
    Unchanged,
    Replaced,
    /// Something else lies there and was left as it is.
    Kept,
}

/// A failure of one file or folder, by its path.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}", path = path.display())]
pub(crate) struct FolderError {
    path: PathBuf,
    source: io::Error,
}

impl FolderError {
    pub(crate) fn new(path: &Path, source: impl Into<io::Error>) -> Self {
        Self {
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

impl Folder {
    /// Opens `path`, and makes it first if it is not there. A link to a folder is followed here:
    /// it is the path that the user chose.
    pub(crate) fn open_or_make(path: &Path) -> Result<Self, FolderError> {
        let error = |errno: Errno| FolderError::new(path, errno);
        make_all(path)?;
        let directory = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(path, directory, Mode::empty()).map_err(error)?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// The folder `name` in this one, made if it is not there. A link is refused.
    pub(crate) fn subfolder(&self, name: &str) -> Result<Self, FolderError> {
        let path = self.path.join(name);
        let error = |errno: Errno| FolderError::new(&path, errno);
        let made = match mkdirat(&self.fd, name, Mode::from_bits_truncate(0o700)) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(errno) => return Err(error(errno)),
        };
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty()).map_err(|errno| match errno {
            // Linux says ENOTDIR for a link under O_DIRECTORY, others ELOOP or EMLINK.
            Errno::ELOOP | Errno::ENOTDIR | Errno::EMLINK => FolderError::new(
                &path,
                io::Error::other("is not a folder (links are not written through)"),
            ),
            errno => error(errno),
        })?;
        if made {
            fchmod(&fd, Mode::from_bits_truncate(FOLDER_MODE)).map_err(error)?;
        }
        Ok(Self { fd, path })
    }

    /// What lies under `name`.
    pub(crate) fn entry(&self, name: &str) -> Result<Entry, FolderError> {
        let error = |errno: Errno| FolderError::new(&self.path.join(name), errno);
        let stat = match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(Entry::Nothing),
            Err(errno) => return Err(error(errno)),
        };
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        Ok(if kind == SFlag::S_IFREG {
            Entry::File
        } else if kind == SFlag::S_IFDIR {
            Entry::Folder
        } else if kind == SFlag::S_IFLNK {
            Entry::Link(readlinkat(&self.fd, name).map_err(error)?)
        } else {
            Entry::Other
        })
    }

    /// Puts a file with this content under `name`, whole or not at all.
    pub(crate) fn put(&self, name: &str, content: &[u8], force: bool) -> Result<Put, FolderError> {
        let put = match self.entry(name)? {
            Entry::Nothing => Put::Created,
            Entry::File if self.holds(name, content)? => return Ok(Put::Unchanged),
            Entry::File | Entry::Link(_) if force => Put::Replaced,
            // A folder is never removed, not even by force: nobody knows what is in it.
            Entry::File | Entry::Link(_) | Entry::Folder | Entry::Other => return Ok(Put::Kept),
        };
        let path = self.path.join(name);
        self.replace(name, |temporary| {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let private = Mode::from_bits_truncate(0o600);
            let error = |errno: Errno| FolderError::new(&path, errno);
            let fd = openat(&self.fd, temporary, flags, private).map_err(error)?;
            let mut file = File::from(fd);
            let written = file.write_all(content).and_then(|()| file.sync_all());
            written.map_err(|source| FolderError::new(&path, source))?;
            // After the content, and not by open's argument, which the umask cuts.
            fchmod(&file, Mode::from_bits_truncate(FILE_MODE)).map_err(error)
        })?;
        Ok(put)
    }

    /// Puts a link to `target` under `name`.
    pub(crate) fn link(&self, name: &str, target: &str, force: bool) -> Result<Put, FolderError> {
        let put = match self.entry(name)? {
            Entry::Nothing => Put::Created,
            Entry::Link(old) if old == target => return Ok(Put::Unchanged),
            Entry::File | Entry::Link(_) if force => Put::Replaced,
            Entry::File | Entry::Link(_) | Entry::Folder | Entry::Other => return Ok(Put::Kept),
        };
        let path = self.path.join(name);
        self.replace(name, |temporary| {
            symlinkat(target, &self.fd, temporary).map_err(|errno| FolderError::new(&path, errno))
        })?;
        Ok(put)
    }

    /// Whether the file under `name` has exactly this content.
    fn holds(&self, name: &str, content: &[u8]) -> Result<bool, FolderError> {
        let path = self.path.join(name);
        // Not blocking: between the look and the open, a pipe may have taken the file's place.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|errno| FolderError::new(&path, errno))?;
        let file = File::from(fd);
        let compare = |file: File| -> io::Result<bool> {
            if file.metadata()?.len() != content.len() as u64 {
                return Ok(false);
            }
            let mut old = Vec::with_capacity(content.len());
            // One byte more than expected is enough to know that it grew meanwhile.
            file.take(content.len() as u64 + 1).read_to_end(&mut old)?;
            Ok(old == content)
        };
        compare(file).map_err(|source| FolderError::new(&path, source))
    }

    /// Lets `make` make something under a temporary name, and renames that to `name`.
    fn replace(
        &self,
        name: &str,
        make: impl Fn(&str) -> Result<(), FolderError>,
    ) -> Result<(), FolderError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".{name}.{}-{count}.new", std::process::id());
        let made = make(&temporary).and_then(|()| {
            renameat(&self.fd, temporary.as_str(), &self.fd, name)
                .map_err(|errno| FolderError::new(&self.path.join(name), errno))
        });
        if made.is_err() {
            // Best effort: the error that matters is the first one.
            let _ = unlinkat(&self.fd, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        made
    }
}

/// Makes a folder and those above it that are not there, for everyone to read: what the umask
/// leaves may shut the server out.
fn make_all(path: &Path) -> Result<(), FolderError> {
    let error = |source: io::Error| FolderError::new(path, source);
    match std::fs::symlink_metadata(path) {
        Ok(_) => return Ok(()),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
        Err(other) => return Err(error(other)),
    }
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
    {
        make_all(parent)?;
    }
    std::fs::create_dir(path).map_err(error)?;
    std::fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)).map_err(error)
}
