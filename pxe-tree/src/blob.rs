//! The trait of an open file.

use std::fmt::Debug;
use std::os::fd::BorrowedFd;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Attributes, Result};

/// An open file, shared by any number of readers.
///
/// # What a blob promises
///
/// A blob pins its file. If the name is given to another file (`rename`, as rsync does it), or
/// removed, readers finish with the content that they began with. If the content is **changed in
/// place** (size, `mtime` or `ctime` differ from what they were at opening), reads give
/// [`ErrorKind::Stale`](crate::ErrorKind::Stale), from then on, so that no peer gets a file made of
/// two versions; a protocol then ends the transfer with an error. The check is made after each
/// chunk was read, the last one too.
///
/// A `ctime` alone does not tell an edit whose `mtime` was put back from a change that leaves the
/// content alone. It is no edit if the number of names, the mode or the owner changed with it
/// (link, unlink, replacement, chmod, chown), or if the path leads elsewhere now (rename). So
/// harmless changes that leave all of these as they were end a transfer nevertheless: chmod and
/// chown to what it was already (`chmod -R` does that), a link made and removed between two
/// checks, setting an extended attribute, the `atime` or the `mtime` (to what it was), and renaming
/// another name of the same file (a hard link).
///
/// Content that a blob holds in memory as a whole cannot be made of two versions: its readers finish
/// with the one that they began with.
///
/// What cannot be seen: a write that comes after the last check; writes within the tick of the
/// file system's clock that leave the size alone; more writes through a memory map to a page that
/// was written to already; and a write that leaves the size alone, whose
/// `mtime` is put back, and behind which mode, owner, name or number of names change, all between
/// two checks.
#[async_trait]
pub trait Blob: Debug + Send + Sync + 'static {
    /// What was known of the file when it was opened; `len` is the length of the content.
    fn attributes(&self) -> &Attributes;

    /// The bytes from `offset` on, `len` of them unless the content ends before; empty at or
    /// beyond the end. The result is short **only** at the end of the content.
    ///
    /// # Errors
    /// `Stale` if the content was changed in place, `Io`.
    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes>;

    /// The same into a buffer, if it needs no waiting: the number of bytes read (fewer than the
    /// buffer takes only at the end of the content), or `None` where it would block or the blob
    /// cannot tell. Then [`read_at`](Self::read_at) is to be used.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    fn read_now(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>> {
        let _ = (offset, buf);
        Ok(None)
    }

    /// Where the bytes lie, for those who can send them without a copy: the longest contiguous
    /// prefix of the range that lies in one place. Whoever uses [`Direct::File`] asks
    /// [`validate`](Self::validate) afterwards.
    fn direct(&self, offset: u64, len: u64) -> Direct<'_> {
        let _ = (offset, len);
        Direct::None
    }

    /// Says that a range will be read soon, so that it can be fetched meanwhile. It waits for
    /// nothing.
    fn will_need(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// Whether the content is still the one that was opened, for bytes that were taken past
    /// [`read_at`](Self::read_at) (by `sendfile`).
    ///
    /// # Errors
    /// `Stale` if the content was changed in place, `Io`.
    fn validate(&self) -> Result<()> {
        Ok(())
    }
}

/// Where a range of a blob lies.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Direct<'a> {
    /// Not in one place that could be named; read it.
    None,
    /// In memory.
    Memory(&'a [u8]),
    /// In a file of the operating system: a file itself, or an extent of an image.
    File {
        /// The open file.
        fd: BorrowedFd<'a>,
        /// Where in it the range begins, in bytes.
        offset: u64,
        /// How many bytes from there on belong to the range: 1 up to the length asked for.
        len: u64,
    },
}
