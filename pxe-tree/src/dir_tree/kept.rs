//! Files that were opened a moment ago, which stay open for a moment.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::Shared;
use super::file_blob::FileBlob;
use super::recency::{Moment, Recency};
use super::stat::Stat;

/// How long a file stays open that nobody asks for; it may be twice that until it is closed.
///
/// As a class boots, all machines ask for the same files one after the other. A file that was
/// deleted takes its space for so long, and a file system is busy.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(1);
/// Of the files that may be shared, one in so many is kept open at most: others have need of room.
const SHARED_EACH: usize = 16;
/// What the thread needs that closes them.
const STACK_BYTES: usize = 64 << 10;

/// Open files by their paths.
#[derive(Debug)]
pub(super) struct Kept {
    files: Mutex<HashMap<Box<[u8]>, File>>,
    files_max: usize,
    /// Whether there is a thread that closes them.
    is_watched: AtomicBool,
}

#[derive(Debug)]
struct File {
    blob: Arc<FileBlob>,
    /// When somebody asked for it.
    used: Moment,
    /// When its path was walked, and led to it.
    walked: Option<Moment>,
}

impl Kept {
    /// For a tree that shares so many open files at once.
    pub(super) fn new(shared_files_max: usize) -> Self {
        Self {
            files: Mutex::default(),
            files_max: shared_files_max / SHARED_EACH,
            is_watched: AtomicBool::new(false),
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a file open to which this path leads. It takes the place of the one that was not used
    /// for longest, if there are too many.
    pub(super) fn put(
        &self,
        path: &[u8],
        blob: &Arc<FileBlob>,
        now: Moment,
        walked: Option<Moment>,
    ) {
        if self.files_max == 0 {
            return;
        }
        let mut files = self.files();
        if files.len() >= self.files_max && !files.contains_key(path) {
            let oldest = files.iter().min_by_key(|(_, file)| file.used);
            let oldest = oldest.map(|(path, _)| path.clone());
            oldest.and_then(|path| files.remove(&path));
        }
        let file = File {
            blob: Arc::clone(blob),
            used: now,
            walked,
        };
        files.insert(path.into(), file);
    }

    /// What this path led to, and when it was walked last.
    pub(super) fn get(&self, path: &[u8], now: Moment) -> Option<(Arc<FileBlob>, Option<Moment>)> {
        let mut files = self.files();
        let file = files.get_mut(path)?;
        file.used = now;
        Some((Arc::clone(&file.blob), file.walked))
    }

    /// The path was walked, and led to this.
    pub(super) fn walked(&self, path: &[u8], stat: &Stat, now: Moment) {
        let mut files = self.files();
        let file = files.get_mut(path).filter(|file| file.blob.is_of(stat));
        if let Some(file) = file {
            file.walked = Some(now);
        }
    }

    /// The path leads elsewhere now, or its file has changed.
    pub(super) fn forget(&self, path: &[u8]) {
        self.files().remove(path);
    }

    /// Closes what was not used for too long. Returns whether there is more to close later.
    fn close(&self, now: Moment) -> bool {
        let mut files = self.files();
        files.retain(|_, file| Recency::is_within(file.used, now, KEPT_FOR));
        if files.is_empty() {
            // Within the lock: who puts a file after this sees that a thread is needed.
            self.is_watched.store(false, Ordering::Relaxed);
            files.shrink_to(0);
        }
        !files.is_empty()
    }

    /// Sees to it that files are closed. Where that cannot be had, none is kept.
    pub(super) fn watch(&self, shared: &Arc<Shared>) {
        if self.is_watched.swap(true, Ordering::Relaxed) {
            return;
        }
        let watched = Arc::downgrade(shared);
        // A thread, and no task: whoever uses a tree may have no runtime, or one without a clock.
        let thread = std::thread::Builder::new()
            .name("pxe-tree".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || close_all(&watched));
        if thread.is_err() {
            self.files().clear();
            self.is_watched.store(false, Ordering::Relaxed);
        }
    }
}

/// Closes files until none is left, or the tree is gone, which takes them with it.
fn close_all(shared: &Weak<Shared>) {
    let closes = |shared: Arc<Shared>| shared.kept.close(shared.recency.now());
    loop {
        std::thread::sleep(KEPT_FOR);
        if !shared.upgrade().is_some_and(closes) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::{DirOptions, DirTree, Opened, Protocol, Source, Tree, TreePath, TreeSource};

    fn tree() -> (tempfile::TempDir, DirTree) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("boot")).expect("create");
        fs::write(dir.path().join("boot/menu"), "first").expect("write");
        let tree = DirTree::new(dir.path()).expect("a directory");
        // So that the test decides when files are closed.
        tree.shared.kept.is_watched.store(true, Ordering::Relaxed);
        (dir, tree)
    }

    async fn open(tree: &DirTree, path: &str) -> Arc<dyn crate::Blob> {
        let path = TreePath::parse(path).expect("valid");
        let tree = DirTree {
            shared: Arc::clone(&tree.shared),
        };
        let source = TreeSource::new(Arc::new(tree));
        let remote = ([10, 0, 0, 7], 2070).into();
        let request = crate::FileRequest::new(Protocol::Tftp, remote, &path);
        match source.open(&request).await {
            Ok(Opened::File(blob)) => blob,
            other => panic!("{other:?}"),
        }
    }

    async fn text(tree: &DirTree, path: &str) -> String {
        let bytes = open(tree, path).await.read_at(0, 100).await;
        String::from_utf8(bytes.expect("readable").to_vec()).expect("text")
    }

    /// Whether this process has a file open.
    fn is_open(file: &Path) -> bool {
        let open = fs::read_dir("/proc/self/fd").expect("proc");
        let mut targets = open.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        targets.any(|target| {
            target
                .to_string_lossy()
                .starts_with(&*file.to_string_lossy())
        })
    }

    #[tokio::test]
    async fn a_file_that_was_served_stays_open_for_a_moment_and_no_longer() {
        let (dir, tree) = tree();
        let first = open(&tree, "boot/menu").await;
        let again = open(&tree, "boot/menu").await;
        assert!(Arc::ptr_eq(&first, &again));
        drop((first, again));
        let path = TreePath::parse("boot/menu").expect("valid");
        assert!(tree.open_again(&path).is_some());
        let file = dir.path().join("boot/menu");
        fs::remove_file(&file).expect("remove");
        assert!(is_open(&file), "its space is taken still");
        let kept = &tree.shared.kept;
        let now = tree.shared.recency.now();
        assert!(kept.close(now) && is_open(&file));
        assert!(!kept.close(now.after(2 * KEPT_FOR)) && !is_open(&file));
        assert!(
            !kept.is_watched.load(Ordering::Relaxed),
            "the next one is watched anew"
        );
    }

    /// A server waits so long for a file and no longer, but the thread that opens it goes on.
    #[test]
    fn a_file_that_nobody_waits_for_any_more_is_closed_too() {
        let (_dir, tree) = tree();
        let kept = &tree.shared.kept;
        kept.is_watched.store(false, Ordering::Relaxed);
        tree.shared.is_cold.store(true, Ordering::Relaxed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let path = TreePath::parse("boot/menu").expect("valid");
            let found = crate::resolve(&tree, &path).await.expect("it is there");
            let mut opening = tree.open(found.attributes.node);
            let is_pending = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(opening.as_mut().poll(cx).is_pending())
            });
            assert!(is_pending.await);
            drop(opening);
            // One after the other, so that the file is open when this is done.
            let after = tokio::task::spawn_blocking(|| {});
            after.await.expect("no panic");
        });
        assert_eq!(kept.files().len(), 1);
        assert!(kept.is_watched.load(Ordering::Relaxed), "nobody closes it");
    }

    #[tokio::test]
    async fn a_file_that_was_deleted_is_closed_when_it_is_asked_for() {
        let (dir, tree) = tree();
        drop(open(&tree, "boot/menu").await);
        let file = dir.path().join("boot/menu");
        fs::remove_file(&file).expect("remove");
        let path = TreePath::parse("boot/menu").expect("valid");
        assert!(tree.open_again(&path).is_none() && !is_open(&file));
    }

    /// What was served once is not served again in place of what the path leads to.
    #[tokio::test]
    async fn whatever_changes_is_seen_at_once() {
        let (dir, tree) = tree();
        let at = |path: &str| dir.path().join(path);
        assert_eq!(text(&tree, "boot/menu").await, "first");
        fs::write(at("new"), "other").expect("write");
        fs::rename(at("new"), at("boot/menu")).expect("rename");
        assert_eq!(text(&tree, "boot/menu").await, "other");
        fs::write(at("boot/menu"), "edited in place").expect("write");
        assert_eq!(text(&tree, "boot/menu").await, "edited in place");
        fs::rename(at("boot"), at("old")).expect("rename");
        fs::create_dir(at("boot")).expect("create");
        fs::write(at("boot/menu"), "of another directory").expect("write");
        assert_eq!(text(&tree, "boot/menu").await, "of another directory");
        assert_eq!(text(&tree, "old/menu").await, "edited in place");
        // A link, which leads out of the tree if it is followed.
        let outside = tempfile::tempdir().expect("a temporary directory");
        fs::write(outside.path().join("menu"), "outside").expect("write");
        fs::remove_dir_all(at("boot")).expect("remove");
        std::os::unix::fs::symlink(outside.path(), at("boot")).expect("link");
        let path = TreePath::parse("boot/menu").expect("valid");
        assert!(tree.open_again(&path).is_none());
    }

    /// The same file, but the way to it is a link out of the tree now: seen as soon as a directory
    /// that was walked to has to be walked to again.
    #[tokio::test]
    async fn what_was_moved_out_is_not_served_again() {
        let (dir, tree) = tree();
        drop(open(&tree, "boot/menu").await);
        let outside = tempfile::tempdir().expect("a temporary directory");
        fs::rename(dir.path().join("boot"), outside.path().join("boot")).expect("rename");
        std::os::unix::fs::symlink(outside.path().join("boot"), dir.path().join("boot"))
            .expect("link");
        let path = TreePath::parse("boot/menu").expect("valid");
        tree.shared.recency.directories_changed();
        assert!(tree.open_again(&path).is_none());
    }

    #[tokio::test]
    async fn so_many_are_kept_and_no_more() {
        let (dir, tree) = tree();
        let max = DirOptions::default().shared_files_max / SHARED_EACH;
        for number in 0..max + 10 {
            let name = format!("boot/f{number}");
            fs::write(dir.path().join(&name), "x").expect("write");
            drop(open(&tree, &name).await);
        }
        assert_eq!(tree.shared.kept.files().len(), max);
        let last = TreePath::parse(&format!("boot/f{}", max + 9)).expect("valid");
        assert!(tree.open_again(&last).is_some());
    }
}
