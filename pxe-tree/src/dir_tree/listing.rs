//! Reading directories page by page.

use std::os::fd::AsFd;

use rustix::fs::{RawDir, SeekFrom};
use rustix::io::Errno;

use super::fs_type;
use super::stat::{Halt, Stat, kind_of};
use crate::{Cookie, DirEntry, DirPage, ErrorKind, Name, NodeKind};

/// The longest page, whatever is asked for.
pub(super) const PAGE_ENTRIES_MAX: usize = 8192;

/// The smallest buffer that holds an entry of the longest name (24 bytes and the name), aligned.
const BUFFER_MIN: usize = 1024;
const BUFFER_MAX: usize = 64 * 1024;

/// Calls `see` with each entry (name, kind if it can be known, inode, cookie) after a
/// position, until it returns false.
///
/// Gives true if nothing follows what was seen.
pub(super) fn scan(
    dir: impl AsFd,
    after: Cookie,
    entries_wanted: usize,
    mut see: impl FnMut(&Name, Option<NodeKind>, u64, Cookie) -> Result<bool, Halt>,
) -> Result<bool, Halt> {
    let dir = dir.as_fd();
    if after != Cookie::START {
        match rustix::fs::seek(dir, SeekFrom::Start(after.0)) {
            Ok(_) => {}
            Err(Errno::INVAL | Errno::OVERFLOW) => return Err(ErrorKind::BadCookie.into()),
            Err(errno) => return Err(errno.into()),
        }
    }
    let lists_inodes = fs_type::lists_inodes(dir);
    // Most names are short: about 40 bytes an entry.
    let room = entries_wanted
        .saturating_mul(40)
        .clamp(BUFFER_MIN, BUFFER_MAX);
    let mut buffer: Vec<u8> = Vec::with_capacity(room);
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Errno::INTR) => continue,
            // The directory itself was removed: it is empty now.
            Err(Errno::NOENT) => return Ok(true),
            Err(Errno::INVAL) if after != Cookie::START => {
                return Err(ErrorKind::BadCookie.into());
            }
            Err(errno) => return Err(errno.into()),
        };
        // `.` and `..` are no names; nor is what a damaged file system makes up.
        let Ok(name) = Name::new(entry.file_name().to_bytes()) else {
            continue;
        };
        let cookie = Cookie(entry.next_entry_cookie());
        let (mut kind, mut ino) = (kind_of(entry.file_type()), entry.ino());
        // Some file systems do not say the kind (XFS without ftype, some FUSE).
        if kind.is_none() || !lists_inodes {
            match Stat::below(dir, name) {
                Ok(stat) => (kind, ino) = (Some(stat.kind), stat.identity.ino),
                Err(Errno::NOENT) => continue,
                Err(Errno::ACCESS) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if !see(name, kind, ino, cookie)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One page of an open directory.
pub(super) fn page(dir: impl AsFd, after: Cookie, entries_max: usize) -> Result<DirPage, Halt> {
    let entries_max = entries_max.clamp(1, PAGE_ENTRIES_MAX);
    let mut entries = Vec::new();
    let end = scan(dir, after, entries_max, |name, kind, fileid, cookie| {
        if entries.len() >= entries_max {
            return Ok(false);
        }
        // It is no more than a name where nothing may be looked up.
        let kind = kind.ok_or(ErrorKind::PermissionDenied)?;
        entries.push(DirEntry::new(name.to_buf(), cookie, kind, fileid));
        Ok(true)
    })?;
    Ok(DirPage::new(entries, end))
}
