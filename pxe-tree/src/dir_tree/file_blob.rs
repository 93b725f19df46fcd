//! An open file as a blob, and the table by which all readers of a file share one.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Semaphore;

use super::blocking;
use super::stat::{Halt, Identity, Stat, Wait, os_error};
use super::wall::{Closed, Wall};
use crate::{Attributes, Blob, Direct, ErrorKind, Result, Timestamp};

/// A regular file below the root, open for reading.
#[derive(Debug)]
pub(super) struct FileBlob {
    file: Arc<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    fd: OwnedFd,
    attributes: Attributes,
    identity: Identity,
    /// Where it was opened, to tell a rename from an edit.
    path: Vec<u8>,
    wall: Arc<Wall>,
    explained: Mutex<Explained>,
    stale: AtomicBool,
    /// All of a short file, once it was read as a whole: whoever has it open finishes with that.
    content: OnceLock<Bytes>,
    /// Whether the file system answers from its cache when asked to (`RWF_NOWAIT`).
    reads_now: AtomicBool,
    /// Whether the kernel is being told what will be needed.
    advising: AtomicBool,
    /// Of all files of the tree.
    hints: Arc<Semaphore>,
}

/// Content of so many bytes stays in memory as long as its file is open: menus and small loaders,
/// which many machines ask for at once.
const CONTENT_MAX: u64 = 16 << 10;
/// How old a file's last change has to be for that. A second change within one tick of the file
/// system's clock (10 ms at most; two seconds on FAT) does not show in its times.
const CONTENT_SETTLED: Duration = Duration::from_secs(3);
/// Files whose hints are given at once: each holds a thread of the blocking pool, whose others
/// (512 in all by default) are for those who read.
pub(super) const HINTS_MAX: usize = 64;
/// As far as one hint reaches, in bytes.
const WILL_NEED_MAX: u64 = 8 << 20;
/// The kernel takes no more of one hint than its read-ahead window, 128 KiB by default.
const WILL_NEED_STEP: u64 = 128 << 10;

/// What may change without the content: a `ctime` that one of these explains is no edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Explained {
    changed: Timestamp,
    nlink: u32,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Explained {
    const fn of(stat: &Stat) -> Self {
        Self {
            changed: stat.changed,
            nlink: stat.nlink,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
        }
    }
}

impl FileBlob {
    pub(super) fn new(
        fd: OwnedFd,
        stat: &Stat,
        attributes: Attributes,
        path: Vec<u8>,
        wall: Arc<Wall>,
        hints: Arc<Semaphore>,
    ) -> Self {
        Self {
            file: Arc::new(OpenFile {
                fd,
                attributes,
                identity: stat.identity,
                path,
                wall,
                explained: Mutex::new(Explained::of(stat)),
                stale: AtomicBool::new(false),
                content: OnceLock::new(),
                reads_now: AtomicBool::new(true),
                advising: AtomicBool::new(false),
                hints,
            }),
        }
    }

    /// Whether this blob is what opening the file now would give.
    fn is_fresh(&self, stat: &Stat) -> bool {
        let attributes = &self.file.attributes;
        !self.file.stale.load(Ordering::Relaxed)
            && (attributes.len, attributes.modified) == (stat.len, stat.modified)
            && attributes.changed == stat.changed
    }

    /// The same, where it is not known either whether it is the file.
    pub(super) fn is_of(&self, stat: &Stat) -> bool {
        self.file.identity == stat.identity && self.is_fresh(stat)
    }
}

impl OpenFile {
    /// How much of a range lies within the content.
    fn within(&self, offset: u64, len: usize) -> usize {
        let left = self.attributes.len.saturating_sub(offset);
        usize::try_from(left).map_or(len, |left| left.min(len))
    }

    fn spoil(&self) -> Halt {
        self.stale.store(true, Ordering::Relaxed);
        ErrorKind::Stale.into()
    }

    /// Whether the content is still the one that was opened.
    ///
    /// Renaming, linking, unlinking, replacing by rename, and changes of mode or owner move the
    /// `ctime` of a file as an edit does, and leave size and `mtime` alone, as an edit whose
    /// `mtime` is put back does. The first ones show in what else changed; a plain rename shows
    /// in the path, which leads elsewhere now.
    fn check(&self, wait: Wait) -> Result<(), Halt> {
        if self.stale.load(Ordering::Relaxed) {
            return Err(ErrorKind::Stale.into());
        }
        let stat = Stat::of(&self.fd)?;
        let content = (self.attributes.len, self.attributes.modified);
        if (stat.len, stat.modified) != content {
            return Err(self.spoil());
        }
        let (before, now) = (*self.explained(), Explained::of(&stat));
        if before.changed == now.changed {
            return Ok(());
        }
        let same_but_time = before
            == Explained {
                changed: before.changed,
                ..now
            };
        if same_but_time && self.leads_here(wait)? {
            // Another reader may have explained it meanwhile.
            if self.explained().changed == now.changed {
                return Ok(());
            }
            return Err(self.spoil());
        }
        *self.explained() = now;
        Ok(())
    }

    fn explained(&self) -> std::sync::MutexGuard<'_, Explained> {
        self.explained
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn leads_here(&self, wait: Wait) -> Result<bool, Halt> {
        match self.wall.open(&self.path, OFlags::PATH, wait) {
            Ok(fd) => Ok(Stat::of(fd)?.identity == self.identity),
            Err(Closed::Wait) => Err(Halt::Wait),
            Err(Closed::Errno(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => Ok(false),
            // It cannot be told: safety first.
            Err(Closed::Errno(_)) => Ok(true),
        }
    }

    /// A range, which lies within the content, if it is in memory here.
    fn known(&self, offset: u64, len: usize) -> Option<Bytes> {
        let content = self.content.get()?;
        let begin = usize::try_from(offset).ok()?;
        let end = begin.checked_add(len)?;
        (end <= content.len()).then(|| content.slice(begin..end))
    }

    /// Remembers the content, which was read just now and checked since.
    fn remember(&self, content: &[u8]) {
        let is_all = content.len() as u64 == self.attributes.len && !content.is_empty();
        if is_all && self.attributes.len <= CONTENT_MAX && is_settled(self.explained().changed) {
            let _ = self.content.set(Bytes::copy_from_slice(content));
        }
    }

    /// Fills the buffer, which lies within the content, then checks.
    fn fill(&self, offset: u64, buf: &mut [u8], wait: Wait) -> Result<(), Halt> {
        if let Some(known) = self.known(offset, buf.len()) {
            buf.copy_from_slice(&known);
            return Ok(());
        }
        self.fill_from_file(offset, buf, wait)?;
        if self.content.get().is_none() {
            self.remember(buf);
        }
        Ok(())
    }

    fn fill_from_file(&self, mut offset: u64, buf: &mut [u8], wait: Wait) -> Result<(), Halt> {
        if self.stale.load(Ordering::Relaxed) {
            return Err(ErrorKind::Stale.into());
        }
        let mut rest = buf;
        while !rest.is_empty() {
            let read = match wait {
                Wait::Allowed => rustix::io::pread(&self.fd, &mut *rest, offset),
                Wait::Never => {
                    if !self.reads_now.load(Ordering::Relaxed) {
                        return Err(Halt::Wait);
                    }
                    let mut slices = [IoSliceMut::new(rest)];
                    let flags = ReadWriteFlags::NOWAIT;
                    rustix::io::preadv2(&self.fd, &mut slices, offset, flags)
                }
            };
            let read = match read {
                Ok(0) => {
                    // Cut off below what was promised; even if it has grown again since, the
                    // bytes are gone.
                    return Err(self.spoil());
                }
                Ok(read) => read,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if wait == Wait::Never => return Err(Halt::Wait),
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) if wait == Wait::Never => {
                    self.reads_now.store(false, Ordering::Relaxed);
                    return Err(Halt::Wait);
                }
                Err(errno) => return Err(errno.into()),
            };
            offset += read as u64;
            rest = rest.split_at_mut(read).1;
        }
        self.check(wait)
    }

    /// Has the kernel begin to read a range. It waits for room in the medium's queue, and for
    /// what says where the range lies.
    fn advise(&self, mut offset: u64, end: u64) {
        while offset < end {
            let step = WILL_NEED_STEP.min(end - offset);
            // Only a hint: where it is not taken, the reads will wait.
            let advice = rustix::fs::Advice::WillNeed;
            if rustix::fs::fadvise(&self.fd, offset, NonZeroU64::new(step), advice).is_err() {
                break;
            }
            offset += step;
        }
        self.advising.store(false, Ordering::Release);
    }

    fn read(&self, offset: u64, len: usize, wait: Wait) -> Result<Bytes, Halt> {
        let len = self.within(offset, len);
        if let Some(known) = self.known(offset, len) {
            return Ok(known);
        }
        let mut buf = vec![0; len];
        self.fill(offset, &mut buf, wait)?;
        Ok(buf.into())
    }
}

/// Whether a change is so old that each later one shows in the file's times.
fn is_settled(changed: Timestamp) -> bool {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    let age = now.tv_sec.saturating_sub(changed.seconds);
    u64::try_from(age).is_ok_and(|age| age > CONTENT_SETTLED.as_secs())
}

#[async_trait]
impl Blob for FileBlob {
    fn attributes(&self) -> &Attributes {
        &self.file.attributes
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        match self.file.read(offset, len, Wait::Never) {
            Ok(bytes) => return Ok(bytes),
            Err(Halt::Error(error)) => return Err(error),
            Err(Halt::Wait) => {}
        }
        let file = Arc::clone(&self.file);
        blocking(move || file.read(offset, len, Wait::Allowed)).await
    }

    fn read_now(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>> {
        let len = self.file.within(offset, buf.len());
        let (buf, _) = buf.split_at_mut(len);
        match self.file.fill(offset, buf, Wait::Never) {
            Ok(()) => Ok(Some(len)),
            Err(Halt::Wait) => Ok(None),
            Err(Halt::Error(error)) => Err(error),
        }
    }

    fn direct(&self, offset: u64, len: u64) -> Direct<'_> {
        match self.file.attributes.len.saturating_sub(offset).min(len) {
            0 => Direct::None,
            len => Direct::File {
                fd: self.file.fd.as_fd(),
                offset,
                len,
            },
        }
    }

    /// A hint is dropped while another one for the same file, or those for 64 others, are being
    /// given, and without a tokio runtime; at most 8 MiB of it count.
    fn will_need(&self, offset: u64, len: u64) {
        let end = offset.saturating_add(len.min(WILL_NEED_MAX));
        let end = end.min(self.file.attributes.len);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if offset >= end {
            return;
        }
        let Ok(turn) = Arc::clone(&self.file.hints).try_acquire_owned() else {
            return;
        };
        if self.file.advising.swap(true, Ordering::Acquire) {
            return;
        }
        let file = Arc::clone(&self.file);
        runtime.spawn_blocking(move || {
            file.advise(offset, end);
            drop(turn);
        });
    }

    fn validate(&self) -> Result<()> {
        match self.file.check(Wait::Allowed) {
            Ok(()) => Ok(()),
            Err(Halt::Error(error)) => Err(error),
            Err(Halt::Wait) => Err(os_error(Errno::AGAIN)),
        }
    }
}

/// The files that are open now, so that a thousand readers of one share its descriptor.
///
/// It keeps nothing open by itself. When it is full, files are still opened, each for itself.
#[derive(Debug)]
pub(super) struct OpenFiles {
    files: Mutex<HashMap<Identity, Weak<FileBlob>>>,
    files_max: usize,
}

impl OpenFiles {
    pub(super) fn new(files_max: usize) -> Self {
        Self {
            files: Mutex::default(),
            files_max,
        }
    }

    /// The blob of this file, if it is open and unchanged since.
    pub(super) fn shared(&self, stat: &Stat) -> Option<Arc<FileBlob>> {
        let blob = self.lock().get(&stat.identity)?.upgrade()?;
        blob.is_fresh(stat).then_some(blob)
    }

    /// Shares a blob from now on. If another one came first, that is the one to use.
    pub(super) fn share(&self, blob: FileBlob, stat: &Stat) -> Arc<FileBlob> {
        let mut files = self.lock();
        if let Some(first) = files.get(&stat.identity).and_then(Weak::upgrade)
            && first.is_fresh(stat)
        {
            return first;
        }
        if files.len() >= self.files_max {
            files.retain(|_, blob| blob.strong_count() > 0);
        }
        let blob = Arc::new(blob);
        if files.len() < self.files_max || files.contains_key(&stat.identity) {
            files.insert(stat.identity, Arc::downgrade(&blob));
        }
        blob
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Identity, Weak<FileBlob>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::{DirTree, Name, Tree};

    use super::*;

    #[tokio::test]
    async fn a_short_file_in_memory_is_read_to_its_end_as_it_was() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("menu");
        std::fs::write(&path, "first").expect("write");
        let tree = DirTree::new(dir.path()).expect("a directory");
        let open = async || {
            let name = Name::new("menu").expect("valid");
            let node = tree.lookup(tree.root(), name).await.expect("there").node;
            let opened = tree.shared.open(node, Wait::Allowed);
            opened.map_err(crate::Error::from).expect("open")
        };
        let blob = open().await;
        assert_eq!(blob.read_at(0, 100).await.expect("read"), "first");
        // It was changed just now: a second change may not show.
        assert!(blob.file.content.get().is_none());
        blob.file.content.set("first".into()).expect("not yet");
        std::fs::write(&path, "other!").expect("write");
        let mut buf = [0; 9];
        assert_eq!(blob.read_now(2, &mut buf).expect("read"), Some(3));
        assert_eq!(&buf[..3], b"rst");
        assert_eq!(blob.read_at(1, 2).await.expect("read"), "ir");
        assert_eq!(blob.read_at(5, 2).await.expect("at the end"), "");
        assert_eq!(open().await.read_at(0, 9).await.expect("read"), "other!");
    }

    #[test]
    fn what_changed_just_now_is_not_settled() {
        let now = clock_gettime(ClockId::Realtime).tv_sec;
        for (age, settled) in [(-10, false), (0, false), (2, false), (100, true)] {
            let changed = Timestamp::from_seconds(now - age);
            assert_eq!(is_settled(changed), settled, "{age}");
        }
    }

    /// However many files are read that are on a slow medium: threads are left to the reads.
    #[test]
    fn hints_for_many_files_leave_threads_to_reads() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .build()
            .expect("a runtime");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tree = DirTree::new(dir.path()).expect("a directory");
        runtime.block_on(async {
            // The one thread is held up by something else, so that no hint comes to its end.
            let (release, held) = std::sync::mpsc::channel::<()>();
            let mut blobs = Vec::new();
            for number in 0..HINTS_MAX + 10 {
                let name = format!("f{number}");
                std::fs::write(dir.path().join(&name), "content").expect("write");
                let name = Name::new(&name).expect("valid");
                let node = tree.lookup(tree.root(), name).await.expect("there").node;
                blobs.push(
                    tree.shared
                        .open(node, Wait::Allowed)
                        .map_err(crate::Error::from)
                        .expect("open"),
                );
            }
            let holder = tokio::task::spawn_blocking(move || held.recv().is_ok());
            let given = || {
                let under_way = |blob: &&Arc<FileBlob>| blob.file.advising.load(Ordering::Relaxed);
                blobs.iter().filter(under_way).count()
            };
            for blob in &blobs {
                blob.will_need(0, 7);
                blob.will_need(0, 7);
            }
            assert_eq!(given(), HINTS_MAX);
            release.send(()).expect("it waits");
            assert!(holder.await.expect("it ends"));
            // One thread gives them in order.
            tokio::task::spawn_blocking(|| ()).await.expect("it ends");
            assert_eq!(given(), 0);
            blobs.last().expect("many").will_need(0, 7);
            tokio::task::spawn_blocking(|| ()).await.expect("it ends");
            assert_eq!(tree.shared.hints.available_permits(), HINTS_MAX);
        });
    }
}
