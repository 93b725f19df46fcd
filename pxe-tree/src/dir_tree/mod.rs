//! A directory of this machine as a tree.

mod file_blob;
mod fs_type;
mod kept;
mod keys;
mod listing;
mod look;
mod misses;
mod recency;
mod search;
mod search_listing;
mod stat;
mod table;
mod wall;
mod write;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::sync::Semaphore;

use self::file_blob::{FileBlob, HINTS_MAX, OpenFiles};
use self::kept::Kept;
use self::look::Seen;
use self::misses::{MISSED_FOR, Misses};
use self::recency::Recency;
use self::search::{Search, Step};
use self::search_listing::Listing;
use self::stat::{Halt, Identity, Stat, Wait, os_error};
use self::table::{Place, ROOT, Table};
use self::wall::Wall;
use self::write::Uncommitted;
use crate::listing_cache::ListingCache;
use crate::stable_hash::{StableHasher, domain};
use crate::{
    Attributes, Blob, Capacity, Cookie, DirPage, Error, ErrorKind, ListedEntry, ListedPage, Name,
    NodeId, NodeKey, NodeKind, Result, Tree, TreePath,
};

/// A directory of this machine, with everything below it.
///
/// # What keeps it inside
///
/// Nothing outside the directory is ever opened, whatever links it holds and whoever renames
/// what in it meanwhile. Names can hold no slash, and every path is opened by `openat2` with
/// `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`, or name by name with `O_NOFOLLOW` where the
/// kernel (before 5.6) or a container refuses `openat2`. Links are followed by the one
/// [resolver](crate::resolve()) alone. File systems mounted below the root are part of the tree,
/// each with its own [`Attributes::fsid`]; a listing shows the number of the directory beneath
/// them. Only regular files are opened, with `O_NONBLOCK`, so
/// that neither a pipe nor a device can hold the server up.
///
/// # What waits
///
/// What the kernel has in its caches is answered at once (`RESOLVE_CACHED`, Linux 5.12;
/// `RWF_NOWAIT`); everything else goes to tokio's blocking pool. On file systems that may ask
/// another machine or process for what they have cached (NFS, FUSE and all that are not known to
/// be local), and on those mounted below the root, names always go to the pool. Listings do too.
/// What the kernel had in its caches a second ago is taken to be there still.
/// Without a tokio runtime the calling thread waits.
///
/// No descriptor is kept but the root's, those of files for as long as somebody has their blobs (or
/// writes to them), and those of 256 files ([`DirOptions::shared_files_max`]) that were asked for within the
/// last second, so that the next client has them at once. These are closed two seconds after that at the latest, by a
/// thread that is there for so long; a deleted file takes its space until then. They are on the
/// root's own file system: nothing below the root is held mounted longer.
///
/// # Files that change
///
/// As [`Blob`] says. A node whose path does not lead to the same inode any more is `Stale`, and
/// its key finds it again. A directory that was walked to just now is taken to be in its place
/// ([`DirOptions::settled_for`]): after somebody else moved it, out of the root too, those who
/// have its node, or one that was in it, may be told for so long that nothing changed. They are
/// told of no other file, and nothing is opened that way. Who walks names from the root sees each
/// change at once, and so does everybody if it was made through this tree. After more than
/// [`DirOptions::nodes_max`] others a node may be forgotten and is `Stale` too. All readers of an
/// unchanged file share one descriptor; the blob's
/// [`Attributes::node`] is the node by which it was opened first.
///
/// # Changes
///
/// As [`WriteTree`](crate::WriteTree) says, on threads that may wait, 64 of a tree at once. Only regular files are opened
/// for writing. Files and directories are flushed by `fsync`; of a link, a pipe, a socket or a
/// device, which cannot be opened for that, the directory is, so that a later change of their mode
/// or owner can be lost to a power cut. Where this process may write to a directory but not list
/// it, everything is flushed (`sync`). Files with unstable writes stay open until they are
/// committed, up to 128 of them; so does a file that was made with a mode by which this process
/// could not open it again. Meanwhile it cannot be executed on this machine (`ETXTBSY`).
///
/// What is moved by [`rename`](crate::WriteTree::rename) keeps its node and, with
/// [`DirKeys::Inode`], its key; a key that was made before a move to another directory costs a
/// search after a restart.
///
/// # Keys
///
/// See [`DirKeys`]. A key is found again by listing the directories above the node (not by the
/// server's own path), so a directory that may be searched but not listed hides what is below it
/// from keys after a restart. A key by inode that led to nothing is not searched for again for a
/// second, unless something is renamed or linked through this tree. What cannot be looked at, as a dead mount, hides what is in it; where
/// nothing else has the key, it gives the error of that (`Io`), as the node is not known to be
/// gone. A file system that does not answer at all holds up the search that comes to it. Nodes more than 24 names deep have no key (`Unsupported`).
///
/// # Example
///
/// ```
/// use pxe_tree::{DirTree, TreePath, resolve};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # std::fs::write(dir.path().join("lpxelinux.0"), "...")?;
/// let tree = DirTree::new(dir.path())?;
/// let found = resolve(&tree, &TreePath::parse("lpxelinux.0")?).await?;
/// assert_eq!(found.attributes.len, 3);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct DirTree {
    shared: Arc<Shared>,
}

/// By what the keys of a [`DirTree`] know a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DirKeys {
    /// By inode and birth: a renamed file keeps its key, also under another directory if the
    /// search for it stays within [`DirOptions::search_entries_max`]; a deleted file's key leads
    /// to nothing, even if another file was given its inode, unless both were born within one tick
    /// of the file system's clock (1 to 10 ms). On a file system that keeps no birth times, the
    /// path is part of the key, so a renamed file loses it, and a file deleted and made again
    /// under the same name with the same inode cannot be told from the first.
    #[default]
    Inode,
    /// By path: equal on another server with a copy of the directory, for directories that
    /// nobody changes. What lies at a path is what its key leads to.
    Name,
}

/// How a [`DirTree`] works: bounds, keys.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DirOptions {
    /// Nodes that are known at once; 131,072 by default, at some 400 bytes each. Those not used
    /// for long are forgotten and become `Stale`. At least 16.
    pub nodes_max: usize,
    /// Open files that are shared; 4,096 by default. Beyond, each reader opens for itself. One in 16
    /// of them may stay open for a moment after the last reader.
    pub shared_files_max: usize,
    /// Directory entries that are looked at to find a key that is not where it was; 16,384 by
    /// default.
    pub search_entries_max: usize,
    /// How long a directory is taken to be where it was found, and as open to look-ups
    /// ([`Tree::recent_directory`]) as it was; 10 ms by default, to a tick of the kernel's coarse
    /// clock (4 ms as most are built). See
    /// "Files that change" of [`DirTree`]. Zero has every path walked anew for each question.
    pub settled_for: Duration,
    /// What keys are made of.
    pub keys: DirKeys,
    /// Whether `openat2` is used where the kernel has it: for tests of the way without it.
    pub openat2: bool,
}

impl Default for DirOptions {
    fn default() -> Self {
        Self {
            nodes_max: 1 << 17,
            shared_files_max: 4096,
            search_entries_max: 1 << 14,
            settled_for: Duration::from_millis(10),
            keys: DirKeys::Inode,
            openat2: true,
        }
    }
}

impl DirOptions {
    /// The same, with that many nodes known at once.
    #[must_use]
    pub const fn with_nodes_max(mut self, nodes_max: usize) -> Self {
        self.nodes_max = nodes_max;
        self
    }

    /// The same, with that many shared open files.
    #[must_use]
    pub const fn with_shared_files_max(mut self, shared_files_max: usize) -> Self {
        self.shared_files_max = shared_files_max;
        self
    }

    /// The same, with that many entries looked at for a key that is not where it was.
    #[must_use]
    pub const fn with_search_entries_max(mut self, search_entries_max: usize) -> Self {
        self.search_entries_max = search_entries_max;
        self
    }

    /// The same, with directories taken to be where they were found for so long.
    #[must_use]
    pub const fn with_settled_for(mut self, settled_for: Duration) -> Self {
        self.settled_for = settled_for;
        self
    }

    /// The same, with keys of that sort.
    #[must_use]
    pub const fn with_keys(mut self, keys: DirKeys) -> Self {
        self.keys = keys;
        self
    }

    /// The same, opening name by name as where `openat2` is refused.
    #[must_use]
    pub const fn without_openat2(mut self) -> Self {
        self.openat2 = false;
        self
    }
}

/// Directory entries that are looked at where a key's hints lead.
const HINTED_ENTRIES_MAX: usize = 4 << 20;
/// Directories that are looked at where a key's hints lead, in case something is mounted there.
const HINTED_MOUNTS_MAX: usize = 4096;
/// Searches for keys that run at once; others wait for their turn, so that clients which come back
/// after a restart leave threads of the blocking pool to those who read.
const SEARCHES_MAX: usize = 8;
/// Changes that run at once; others wait for their turn, so that clients which write and flush
/// leave threads of the blocking pool (tokio has 512) to those who read.
const CHANGES_MAX: usize = 64;
/// File systems below the root whose numbers are remembered.
const FILE_SYSTEMS_MAX: usize = 256;
/// Nodes that are known at least, whatever the options say.
const NODES_MIN: usize = 16;

#[derive(Debug)]
struct Shared {
    wall: Arc<Wall>,
    root_identity: Identity,
    options: DirOptions,
    table: Mutex<Table>,
    recency: Recency,
    files: OpenFiles,
    kept: Kept,
    hints: Arc<Semaphore>,
    root_fs: OnceLock<FileSystem>,
    file_systems: Mutex<HashMap<(u32, u32), FileSystem>>,
    /// What searches for keys saw of directories that did not change since.
    listed: ListingCache<Listing>,
    searches: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    misses: Misses,
    uncommitted: Uncommitted,
    /// Held while names are changed, without waiting for the medium to have them: what is looked
    /// at before and afterwards is what was changed.
    names: Mutex<()>,
    /// What somebody else does in the midst of a change.
    #[cfg(test)]
    meanwhile: Mutex<Option<Meanwhile>>,
    /// Whether nothing of a file that is opened is in the kernel's caches.
    #[cfg(test)]
    is_cold: std::sync::atomic::AtomicBool,
}

/// See [`Shared::set_meanwhile`].
#[cfg(test)]
struct Meanwhile(Box<dyn FnOnce() + Send>);

#[cfg(test)]
impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

#[derive(Debug, Clone, Copy)]
struct FileSystem {
    fsid: u64,
    /// Part of keys: 0 for the root's own file system, so that it may be copied to another disk.
    tag: u64,
}

impl DirTree {
    /// The tree of this directory; a link to one will do.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `PermissionDenied`; the error names the path.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        Self::with_options(path, DirOptions::default())
    }

    /// The same with other options.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_options(path: impl AsRef<Path>, options: DirOptions) -> Result<Self> {
        let path = path.as_ref();
        Self::open_root(path, options).map_err(|error| {
            match TreePath::parse(path.as_os_str().as_bytes()) {
                Ok(path) => error.at(&path),
                Err(_) => error,
            }
        })
    }

    fn open_root(path: &Path, mut options: DirOptions) -> Result<Self> {
        options.nodes_max = options.nodes_max.max(NODES_MIN);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(os_error)?;
        let stat = Stat::of(&root).map_err(os_error)?;
        // Whether names in it may be looked up shows now, not at the first request.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        drop(rustix::fs::openat(&root, c".", flags, Mode::empty()).map_err(os_error)?);
        let local = fs_type::answers_alone(&root);
        let identity = stat.identity;
        let stamp = keys::stamp(options.keys, &identity, 0, b"");
        let wall = Wall::new(root, options.openat2, local);
        Ok(Self {
            shared: Arc::new(Shared {
                wall: Arc::new(wall),
                root_identity: identity,
                options,
                table: Mutex::new(Table::new(identity, stamp, options.nodes_max, options.keys)),
                recency: Recency::new(options.settled_for),
                root_fs: OnceLock::new(),
                files: OpenFiles::new(options.shared_files_max),
                kept: Kept::new(options.shared_files_max),
                hints: Arc::new(Semaphore::new(HINTS_MAX)),
                file_systems: Mutex::default(),
                listed: ListingCache::default(),
                searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
                changes: Arc::new(Semaphore::new(CHANGES_MAX)),
                misses: Misses::new(MISSED_FOR),
                uncommitted: Uncommitted::default(),
                names: Mutex::default(),
                #[cfg(test)]
                meanwhile: Mutex::default(),
                #[cfg(test)]
                is_cold: std::sync::atomic::AtomicBool::new(false),
            }),
        })
    }

    /// Answers from caches if that can be done, else on a thread that may wait.
    async fn answer<T, F>(&self, answer: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Arc<Shared>, Wait) -> Result<T, Halt> + Send + 'static,
    {
        match answer(&self.shared, Wait::Never) {
            Err(Halt::Wait) => self.wait(move |shared| answer(shared, Wait::Allowed)).await,
            done => Ok(done?),
        }
    }

    /// Answers on a thread that may wait.
    async fn wait<T, F>(&self, answer: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Shared>) -> Result<T, Halt> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        blocking(move || answer(&shared)).await
    }
}

/// Runs what may wait on tokio's blocking pool, or here if there is none.
async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Halt> + Send + 'static,
{
    let done = match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(work)
            .await
            // The runtime is shutting down, or the work panicked.
            .map_err(|error| Error::with_source(ErrorKind::Io, io::Error::other(error)))?,
        Err(_) => work(),
    };
    Ok(done?)
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has this done once, after the next node was made and before it is opened.
    #[cfg(test)]
    fn set_meanwhile(&self, does: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().expect("no panic") = Some(Meanwhile(Box::new(does)));
    }

    #[cfg(test)]
    fn meanwhile(&self) {
        if let Some(Meanwhile(does)) = self.meanwhile.lock().expect("no panic").take() {
            does();
        }
    }

    fn place(&self, node: NodeId) -> Result<Place, ErrorKind> {
        self.table().place(node, 0)
    }

    fn file_systems(&self) -> MutexGuard<'_, HashMap<(u32, u32), FileSystem>> {
        self.file_systems
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn known_file_system(&self, dev: (u32, u32)) -> Option<FileSystem> {
        match dev == self.root_identity.dev {
            true => self.root_fs.get().copied(),
            false => self.file_systems().get(&dev).copied(),
        }
    }

    /// The file system of a device number, of which this is a file.
    fn file_system(&self, dev: (u32, u32), fd: BorrowedFd<'_>) -> Result<FileSystem, Errno> {
        if let Some(known) = self.known_file_system(dev) {
            return Ok(known);
        }
        let number = match rustix::fs::fstatvfs(fd)?.f_fsid {
            // A file system without a number of its own: that of its device has to do.
            0 => u64::from(dev.0) << 32 | u64::from(dev.1),
            number => number,
        };
        let file_system = FileSystem {
            fsid: StableHasher::new(domain::FSID).number(number).finish64(),
            tag: if dev == self.root_identity.dev {
                0
            } else {
                number
            },
        };
        if dev == self.root_identity.dev {
            return Ok(*self.root_fs.get_or_init(|| file_system));
        }
        let mut known = self.file_systems();
        if known.len() >= FILE_SYSTEMS_MAX {
            known.clear();
        }
        known.insert(dev, file_system);
        Ok(file_system)
    }

    fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage, Halt> {
        let place = self.place(dir)?;
        let (reached, stat) = self.reach(&place, Wait::Allowed)?;
        if stat.kind != NodeKind::Directory {
            return Err(ErrorKind::NotADirectory.into());
        }
        let listed = keys::open_dir(reached.as_fd(), b".")?;
        listing::page(listed, after, entries_max)
    }

    fn read_dir_attributes(
        &self,
        dir: NodeId,
        after: Cookie,
        entries_max: usize,
    ) -> Result<ListedPage, Halt> {
        let place = self.place(dir)?;
        let (reached, stat) = self.reach(&place, Wait::Allowed)?;
        if stat.kind != NodeKind::Directory {
            return Err(ErrorKind::NotADirectory.into());
        }
        let listed = keys::open_dir(reached.as_fd(), b".")?;
        let page = listing::page(&listed, after, entries_max)?;
        let now = self.recency.now();
        let entries = page.entries.into_iter().map(|entry| {
            let attributes = self.known_below(dir, &place, listed.as_fd(), &entry.name, now);
            ListedEntry::new(entry, attributes.ok())
        });
        Ok(ListedPage::new(entries.collect(), page.end))
    }

    fn capacity(&self, node: NodeId, wait: Wait) -> Result<Capacity, Halt> {
        let place = self.place(node)?;
        let (reached, _) = self.reach(&place, wait)?;
        let all = rustix::fs::fstatvfs(reached.as_fd())?;
        let bytes = |blocks: u64| blocks.saturating_mul(all.f_frsize);
        Ok(Capacity {
            bytes_total: bytes(all.f_blocks),
            bytes_free: bytes(all.f_bfree),
            bytes_available: bytes(all.f_bavail),
            nodes_total: all.f_files,
            nodes_free: all.f_ffree,
            nodes_available: all.f_favail,
        })
    }

    fn read_link(&self, node: NodeId, wait: Wait) -> Result<Bytes, Halt> {
        let place = self.place(node)?;
        let (reached, stat) = self.reach(&place, wait)?;
        if stat.kind != NodeKind::Link {
            return Err(ErrorKind::NotALink.into());
        }
        // Longer targets do not lie in the inode, at least on ext4: the disk may be asked.
        if wait == Wait::Never && stat.len > 59 {
            return Err(Halt::Wait);
        }
        let target = rustix::fs::readlinkat(reached.as_fd(), c"", Vec::new())?;
        Ok(target.into_bytes().into())
    }

    fn open(&self, node: NodeId, wait: Wait) -> Result<Arc<FileBlob>, Halt> {
        #[cfg(test)]
        if wait == Wait::Never && self.is_cold.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Halt::Wait);
        }
        // Looked at before it is opened: opening a device can already do something.
        let now = self.recency.now();
        let Seen { place, stat, .. } = self.see(node, wait)?;
        match stat.kind {
            NodeKind::File => {}
            NodeKind::Directory => return Err(ErrorKind::IsADirectory.into()),
            _ => return Err(ErrorKind::NotAFile.into()),
        }
        if let Some(blob) = self.files.shared(&stat) {
            if self.keeps(&stat) {
                self.kept.put(&place.path, &blob, now, None);
            }
            return Ok(blob);
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.open_place(&place, flags, wait)?;
        let stat = Stat::of(&fd)?;
        if stat.identity != place.identity || stat.kind != NodeKind::File {
            return Err(ErrorKind::Stale.into());
        }
        let fs = self.file_system(stat.identity.dev, fd.as_fd())?;
        let attributes = stat.attributes(node, fs.fsid);
        let (wall, hints) = (Arc::clone(&self.wall), Arc::clone(&self.hints));
        let blob = FileBlob::new(fd, &stat, attributes, place.path.clone(), wall, hints);
        let blob = self.files.share(blob, &stat);
        if self.keeps(&stat) {
            self.kept.put(&place.path, &blob, now, Some(now));
        }
        Ok(blob)
    }

    /// Whether a file stays open for a moment: where the kernel can be asked for it on the spot.
    fn keeps(&self, stat: &Stat) -> bool {
        stat.identity.dev == self.root_identity.dev && self.wall.answers_now()
    }

    /// The file at this path, if it is open still, unchanged, and at its place.
    fn open_again(&self, path: &[u8]) -> Option<Arc<FileBlob>> {
        let now = self.recency.now();
        let (blob, walked) = self.kept.get(path, now)?;
        // As long as it is open, the kernel has it and what is above it in its caches.
        let in_place = self.recency.is_in_place(walked, now);
        let stat = match in_place {
            true => self.wall.glance(path),
            false => {
                let reached = self.wall.open(path, OFlags::PATH, Wait::Never);
                reached.ok().and_then(|fd| Stat::of(fd).ok())
            }
        };
        let stat = stat.filter(|stat| blob.is_of(stat));
        match (stat, in_place) {
            (None, _) => {
                self.kept.forget(path);
                return None;
            }
            (Some(_), true) => {}
            (Some(stat), false) => self.kept.walked(path, &stat, now),
        }
        Some(blob)
    }

    /// The node of a key where its hints lead, or else wherever it is now.
    fn search_key(&self, key: &NodeKey) -> Result<Attributes, Halt> {
        let (stamp, hints) = keys::decode(self.options.keys, key)?;
        // Another search may have found it meanwhile.
        if let Some(known) = self.known(stamp, Wait::Allowed)? {
            return Ok(known);
        }
        if self.is_missed(key) {
            return Err(ErrorKind::Stale.into());
        }
        let before = self.misses.before();
        let mut hinted = Search::new(self, stamp, HINTED_ENTRIES_MAX);
        let mut way = hinted.by_hints(hints)?;
        let mut hidden = hinted.into_hidden();
        if way.is_none() && self.options.keys == DirKeys::Inode {
            let mut search = Search::new(self, stamp, self.options.search_entries_max);
            way = search.everywhere()?;
            hidden = hidden.or(search.into_hidden());
        }
        match (way, hidden) {
            (Some(way), _) => self.attributes(self.intern(&way)?, Wait::Allowed),
            // It may be there: nobody is to think that it is gone for good.
            (None, Some(hidden)) => Err(Halt::Error(hidden)),
            (None, None) => {
                self.misses.put(*key, before, self.recency.now());
                Err(ErrorKind::Stale.into())
            }
        }
    }

    /// Whether a key led to nothing just now. What is at a path is what a key by name leads to,
    /// so it may lead somewhere again.
    fn is_missed(&self, key: &NodeKey) -> bool {
        self.options.keys == DirKeys::Inode && self.misses.has(key, self.recency.now())
    }

    fn intern(&self, way: &[Step]) -> Result<NodeId, Halt> {
        let mut table = self.table();
        way.iter().try_fold(ROOT, |dir, step| {
            Ok(table.intern(dir, &step.name, step.stat.identity, step.stamp)?)
        })
    }
}

#[async_trait]
impl Tree for DirTree {
    fn root(&self) -> NodeId {
        ROOT
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        match self.shared.lookup(dir, name, Wait::Never) {
            Err(Halt::Wait) => {
                let name = name.to_buf();
                self.wait(move |shared| shared.lookup(dir, &name, Wait::Allowed))
                    .await
            }
            done => Ok(done?),
        }
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        self.answer(move |shared, wait| shared.attributes(node, wait))
            .await
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        self.wait(move |shared| shared.read_dir(dir, after, entries_max))
            .await
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        self.answer(move |shared, wait| shared.read_link(node, wait))
            .await
    }

    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        let opened = self.answer(move |shared, wait| {
            let blob = shared.open(node, wait)?;
            // Here, as whoever asked may not wait for the answer.
            shared.kept.watch(shared);
            Ok(blob)
        });
        Ok(opened.await?)
    }

    fn open_again(&self, path: &TreePath) -> Option<Arc<dyn Blob>> {
        Some(self.shared.open_again(path.as_bytes())?)
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        let table = self.shared.table();
        let stamp = table.stamp(node)?;
        let hints = table.hints(node);
        Ok(keys::encode(self.shared.options.keys, stamp, &hints)?)
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        Ok(self.attributes_of_key(key).await?.node)
    }

    async fn attributes_of_key(&self, key: &NodeKey) -> Result<Attributes> {
        let key = *key;
        let (stamp, _) = keys::decode(self.shared.options.keys, &key)?;
        let known = self
            .answer(move |shared, wait| shared.known(stamp, wait))
            .await?;
        if let Some(attributes) = known {
            return Ok(attributes);
        }
        if self.shared.is_missed(&key) {
            return Err(ErrorKind::Stale.into());
        }
        let turn = Arc::clone(&self.shared.searches).acquire_owned().await;
        let turn = turn.map_err(|_| ErrorKind::Io)?;
        // The turn ends when the thread is free again, even if nobody waits for the answer.
        let (found, _turn) = self
            .wait(move |shared| Ok((shared.search_key(&key), turn)))
            .await?;
        Ok(found?)
    }

    fn recent_directory(&self, key: &NodeKey) -> Option<Attributes> {
        let (stamp, _) = keys::decode(self.shared.options.keys, key).ok()?;
        self.shared.recent(stamp)
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        self.answer(move |shared, wait| shared.parent(dir, wait))
            .await
    }

    async fn read_dir_attributes(
        &self,
        dir: NodeId,
        after: Cookie,
        entries_max: usize,
    ) -> Result<ListedPage> {
        self.wait(move |shared| shared.read_dir_attributes(dir, after, entries_max))
            .await
    }

    async fn capacity(&self, node: NodeId) -> Result<Capacity> {
        self.answer(move |shared, wait| shared.capacity(node, wait))
            .await
    }
}
