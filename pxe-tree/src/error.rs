//! Why a file could not be had.

use std::{fmt, io};

use crate::TreePath;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a tree, a blob or a source could not do what was asked.
///
/// The [`kind`](Self::kind) decides what a peer is told (see [`ErrorKind`]'s codes); the path and
/// the operating system's error are for the operator's log.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    detail: Option<Box<Detail>>,
}

#[derive(Debug, Default)]
struct Detail {
    path: Option<TreePath>,
    source: Option<io::Error>,
}

impl Error {
    /// An error of this kind, with nothing more to say.
    pub const fn new(kind: ErrorKind) -> Self {
        Self { kind, detail: None }
    }

    /// An error of this kind that an operating system's error explains.
    pub fn with_source(kind: ErrorKind, source: io::Error) -> Self {
        let detail = Detail {
            path: None,
            source: Some(source),
        };
        Self {
            kind,
            detail: Some(Box::new(detail)),
        }
    }

    /// What went wrong.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The path at which it went wrong, if the operation had one.
    pub fn path(&self) -> Option<&TreePath> {
        self.detail.as_ref()?.path.as_ref()
    }

    /// The same error, naming the path at which it happened; a path already named stays.
    #[must_use]
    pub fn at(mut self, path: &TreePath) -> Self {
        let detail = self.detail.get_or_insert_default();
        detail.path.get_or_insert_with(|| path.clone());
        self
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl From<io::Error> for Error {
    /// Keeps the operating system's error as the source, and sorts it by its kind.
    fn from(source: io::Error) -> Self {
        Self::with_source(ErrorKind::from(source.kind()), source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => write!(f, "{path}: {}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.detail
            .as_ref()?
            .source
            .as_ref()
            .map(|source| source as _)
    }
}

/// What went wrong, in words that every protocol can translate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is nothing of this name.
    NotFound,
    /// A name that is not the last of a path, or a node that is to be listed, is no directory.
    NotADirectory,
    /// A directory was to be read as a file.
    IsADirectory,
    /// A node that is neither file, directory nor link (a device, a socket, a pipe) was opened.
    NotAFile,
    /// A node whose link target was asked for is no symbolic link.
    NotALink,
    /// The operating system, or an access rule, forbids it.
    PermissionDenied,
    /// More than [`LINKS_MAX`](crate::LINKS_MAX) symbolic links were met on the way.
    LinkLoop,
    /// A name is empty, `.`, `..`, or has a slash or a NUL in it.
    InvalidName,
    /// A name has more than [`Name::LEN_MAX`](crate::Name::LEN_MAX) bytes, or a path more than
    /// [`TreePath::LEN_MAX`](crate::TreePath::LEN_MAX).
    NameTooLong,
    /// A `NodeId` or a `NodeKey` whose node is gone, or a blob whose content was changed in place.
    Stale,
    /// A `Cookie` that this directory did not give.
    BadCookie,
    /// A `NodeKey` that no such tree made.
    BadKey,
    /// A bound is reached (open files, memory): asking again later may succeed.
    Busy,
    /// This tree cannot do that at all.
    Unsupported,
    /// The name that was to be made is taken.
    Exists,
    /// A directory that was to be removed or replaced is not empty.
    NotEmpty,
    /// The tree, or its file system, is not written to.
    ReadOnly,
    /// No room is left on the medium, or for this owner.
    NoSpace,
    /// A file would become larger than its file system takes.
    TooLarge,
    /// A node cannot be given a name on another file system.
    CrossDevice,
    /// A node has as many names as its file system allows.
    TooManyLinks,
    /// Only the owner, or root, could do that.
    NotPermitted,
    /// The medium failed, or what was read contradicts itself.
    Io,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 23] = [
        Self::NotFound,
        Self::NotADirectory,
        Self::IsADirectory,
        Self::NotAFile,
        Self::NotALink,
        Self::PermissionDenied,
        Self::LinkLoop,
        Self::InvalidName,
        Self::NameTooLong,
        Self::Stale,
        Self::BadCookie,
        Self::BadKey,
        Self::Busy,
        Self::Unsupported,
        Self::Exists,
        Self::NotEmpty,
        Self::ReadOnly,
        Self::NoSpace,
        Self::TooLarge,
        Self::CrossDevice,
        Self::TooManyLinks,
        Self::NotPermitted,
        Self::Io,
    ];

    /// What a peer is told in TFTP, HTTP and NFS: the one table of these codes.
    const fn codes(self) -> Codes {
        // TFTP: RFC 1350 section 5 (0 not defined, 1 not found, 2 access violation).
        // HTTP: RFC 9110 section 15. NFS: nfsstat3 of RFC 1813 section 2.6.
        let (tftp, http, nfs3) = match self {
            Self::NotFound => (1, 404, 2),          // NFS3ERR_NOENT
            Self::NotADirectory => (1, 404, 20),    // NFS3ERR_NOTDIR
            Self::IsADirectory => (2, 403, 21),     // NFS3ERR_ISDIR
            Self::NotAFile => (2, 403, 22),         // NFS3ERR_INVAL
            Self::NotALink => (2, 403, 22),         // NFS3ERR_INVAL
            Self::PermissionDenied => (2, 403, 13), // NFS3ERR_ACCES
            Self::LinkLoop => (2, 403, 22),         // RFC 1813 has no code for it: NFS3ERR_INVAL
            Self::InvalidName => (1, 404, 22),      // NFS3ERR_INVAL
            Self::NameTooLong => (1, 414, 63),      // NFS3ERR_NAMETOOLONG
            Self::Stale => (0, 503, 70),            // NFS3ERR_STALE
            Self::BadCookie => (0, 400, 10003),     // NFS3ERR_BAD_COOKIE
            Self::BadKey => (0, 400, 10001),        // NFS3ERR_BADHANDLE
            Self::Busy => (0, 503, 10008),          // NFS3ERR_JUKEBOX
            Self::Unsupported => (0, 501, 10004),   // NFS3ERR_NOTSUPP
            // Nothing is written by TFTP and HTTP: codes for the sake of the table.
            Self::Exists => (2, 409, 17),       // NFS3ERR_EXIST
            Self::NotEmpty => (2, 409, 66),     // NFS3ERR_NOTEMPTY
            Self::ReadOnly => (2, 403, 30),     // NFS3ERR_ROFS
            Self::NoSpace => (2, 507, 28),      // NFS3ERR_NOSPC
            Self::TooLarge => (2, 413, 27),     // NFS3ERR_FBIG
            Self::CrossDevice => (2, 403, 18),  // NFS3ERR_XDEV
            Self::TooManyLinks => (2, 403, 31), // NFS3ERR_MLINK
            Self::NotPermitted => (2, 403, 1),  // NFS3ERR_PERM
            Self::Io => (0, 500, 5),            // NFS3ERR_IO
        };
        Codes { tftp, http, nfs3 }
    }

    /// The TFTP error code (RFC 1350 section 5).
    pub const fn tftp_code(self) -> u16 {
        self.codes().tftp
    }

    /// The HTTP status code (RFC 9110 section 15).
    pub const fn http_status(self) -> u16 {
        self.codes().http
    }

    /// The `nfsstat3` of RFC 1813 section 2.6.
    pub const fn nfs3_status(self) -> u32 {
        self.codes().nfs3
    }
}

struct Codes {
    tftp: u16,
    http: u16,
    nfs3: u32,
}

impl From<io::ErrorKind> for ErrorKind {
    fn from(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::PermissionDenied,
            io::ErrorKind::NotADirectory => Self::NotADirectory,
            io::ErrorKind::IsADirectory => Self::IsADirectory,
            io::ErrorKind::InvalidFilename => Self::NameTooLong,
            io::ErrorKind::StaleNetworkFileHandle => Self::Stale,
            io::ErrorKind::OutOfMemory | io::ErrorKind::ResourceBusy => Self::Busy,
            io::ErrorKind::Unsupported => Self::Unsupported,
            io::ErrorKind::AlreadyExists => Self::Exists,
            io::ErrorKind::DirectoryNotEmpty => Self::NotEmpty,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            io::ErrorKind::FileTooLarge => Self::TooLarge,
            io::ErrorKind::CrossesDevices => Self::CrossDevice,
            io::ErrorKind::TooManyLinks => Self::TooManyLinks,
            _ => Self::Io,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file or directory",
            Self::NotADirectory => "not a directory",
            Self::IsADirectory => "is a directory",
            Self::NotAFile => "not a regular file",
            Self::NotALink => "not a symbolic link",
            Self::PermissionDenied => "permission denied",
            Self::LinkLoop => "too many symbolic links",
            Self::InvalidName => "invalid name",
            Self::NameTooLong => "name too long",
            Self::Stale => "file was removed or changed meanwhile",
            Self::BadCookie => "not a position of this directory",
            Self::BadKey => "not a key of this tree",
            Self::Busy => "too busy, try again",
            Self::Unsupported => "not supported",
            Self::Exists => "exists already",
            Self::NotEmpty => "directory is not empty",
            Self::ReadOnly => "read-only",
            Self::NoSpace => "no space left",
            Self::TooLarge => "file too large",
            Self::CrossDevice => "on another file system",
            Self::TooManyLinks => "too many names",
            Self::NotPermitted => "operation not permitted",
            Self::Io => "input/output error",
        })
    }
}

impl std::error::Error for ErrorKind {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_codes_that_say_failure() {
        for kind in ErrorKind::ALL {
            assert!(
                kind.tftp_code() <= 2,
                "{kind:?}: only codes 0 to 2 fit a refused read"
            );
            assert!((400..600).contains(&kind.http_status()), "{kind:?}");
            assert_ne!(kind.nfs3_status(), 0, "{kind:?}: 0 is NFS3_OK");
        }
    }

    /// RFC 1813 section 2.6: of a handle it is `BADHANDLE`; `BAD_COOKIE` is for directory reads.
    #[test]
    fn a_bad_key_is_a_bad_handle() {
        let key = crate::NodeKey::new(&[0; 99]).expect_err("too long");
        assert_eq!(key.nfs3_status(), 10001);
        assert_eq!(ErrorKind::BadCookie.nfs3_status(), 10003);
    }

    #[test]
    fn the_first_path_named_stays() {
        let inner = TreePath::parse("a/b").expect("valid");
        let outer = TreePath::parse("a").expect("valid");
        let error = Error::new(ErrorKind::NotFound).at(&inner).at(&outer);
        assert_eq!(error.path(), Some(&inner));
        assert_eq!(error.to_string(), "/a/b: no such file or directory");
    }

    #[test]
    fn an_operating_system_error_is_sorted_and_kept() {
        let error = Error::from(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(std::error::Error::source(&error).is_some());
    }
}
