//! A store in one file, each batch of it flushed.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use ::tokio::sync::oneshot;
use async_trait::async_trait;
use rustix::fs::OFlags;
use thiserror::Error;

use super::ledger::{Fault, Ledger};
use super::medium::{FileMedium, Medium};
use super::{Commit, Cursor, LeaseStore, StoreError};
use crate::{CommitError, LeaseRecord};

/// How long a store that failed answers so before it tries again: opening it reads all of it.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A store in one file, for one server: a batch is flushed (`fdatasync`) before it is answered, so
/// an ACK that left survives a loss of power. The file is a [redb](https://www.redb.org) database.
///
/// - **Opening checks everything**: every page and every record has a checksum. What is not as it
///   was written is refused ([`OpenStoreError::Damaged`]), and the file stays as it is. A batch
///   that a loss of power cut off is undone; none of it was acknowledged. One case cannot be told
///   from that: a bit that flips inside the very last commit before a crash. That one commit is
///   then undone without an error, though it was acknowledged; those before it are never.
/// - **One program at a time** has the file; it is locked (`flock`) while the store lives.
/// - **A medium that fails** (full, or with errors) makes commits and reads
///   [`Unavailable`](CommitError::Unavailable), so no client gets an ACK. The store is opened again
///   when it is next asked for something, at most once a second, and goes on when that works.
///   A full disk needs room only; where a disk comes back under another device, restart the server.
/// - **A thread of its own** does the work, so the runtime never waits for the disk. Dropping the
///   store waits for what it is doing, and closes the file.
///
/// Records that were replaced leave room for new ones: the file has about 170 bytes a lease, and
/// about 400 after many changes (measured with the example `lease_store`, 100,000 leases).
///
/// ```
/// # #[::tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pxe_core::{MacAddr, UnixTime};
/// use pxe_dhcp::{Commit, LeaseRecord, LeaseState, LeaseStore, RedbStore};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("leases.redb");
/// let store = RedbStore::open(&path)?;
/// let seen = UnixTime::from_seconds(1_795_000_000);
/// let state = LeaseState::Bound { expires: seen.saturating_add_seconds(3600) };
/// let lease = LeaseRecord::new([192, 168, 150, 7].into(), MacAddr::new([2, 0, 0, 0, 0, 1]), state, seen);
/// assert_eq!(store.commit(vec![Commit::new(lease.clone(), None)]).await, [Ok(())]);
///
/// drop(store);
/// let again = RedbStore::open(&path)?;
/// assert_eq!(again.load(None, 10).await?, [lease]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RedbStore {
    calls: Option<mpsc::Sender<Call>>,
    thread: Option<JoinHandle<()>>,
}

/// A store cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// The file cannot be made or used.
    #[error("cannot open the lease store {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is no file.
    #[error("the lease store {} is not a regular file", path.display())]
    NoFile {
        /// What it is said to be.
        path: PathBuf,
    },
    /// Another program has it open, most likely a server.
    #[error("another server has the lease store {} open", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is not as it was written. It was not changed: keep a copy, and put a backup in its place,
    /// or nothing, as a server without records gives clients that renew their leases again.
    #[error("the lease store {} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The medium cannot be read or written.
    #[error("the lease store {} cannot be used: {reason}", path.display())]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl RedbStore {
    /// Opens a store, or makes one that is empty; its folder must exist.
    ///
    /// A new file is its owner's alone (mode 0600), as it tells who is where; a file that is there
    /// keeps its mode.
    ///
    /// # Errors
    ///
    /// If it cannot be made or used, another program has it for more than a second, or it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenStoreError> {
        let path = path.as_ref();
        if !path.exists() {
            make(path)?;
        }
        let file = open_file(path, OpenOptions::new().read(true).write(true))?;
        lock(path, || file.try_lock())?;
        let medium: Arc<dyn Medium> = Arc::new(FileMedium::new(file));
        Self::start(medium, RETRY_AFTER, false).map_err(|fault| told(fault, path))
    }

    /// Opens a store to look at it: nothing is written, and commits are
    /// [`Unavailable`](CommitError::Unavailable). Meanwhile no server can open it.
    ///
    /// # Errors
    ///
    /// If it does not exist, another program has it for more than a second, or it is damaged.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenStoreError> {
        let path = path.as_ref();
        let file = open_file(path, OpenOptions::new().read(true))?;
        lock(path, || file.try_lock_shared())?;
        let medium: Arc<dyn Medium> = Arc::new(FileMedium::new(file));
        Self::start(medium, RETRY_AFTER, true).map_err(|fault| told(fault, path))
    }

    /// Opens a store on something else than a file; an empty one becomes a store without records.
    /// A medium that failed is tried again `retry_after` that, at the next call.
    ///
    /// # Errors
    ///
    /// If it cannot be used, or holds something damaged.
    pub fn with_medium(medium: Arc<dyn Medium>, retry_after: Duration) -> Result<Self, StoreError> {
        Self::start(medium, retry_after, false).map_err(StoreError::from)
    }

    fn start(
        medium: Arc<dyn Medium>,
        retry_after: Duration,
        is_read_only: bool,
    ) -> Result<Self, Fault> {
        let ledger = guarded(|| {
            if is_read_only {
                Ledger::open_as_it_is(&medium)
            } else {
                Ledger::open(&medium)
            }
        })?;
        let worker = Worker {
            medium,
            retry_after,
            is_read_only,
            state: State::Open(ledger),
        };
        // Not bounded: each call in it has a caller who waits.
        let (calls, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("lease store".to_owned())
            .spawn(move || worker.run(&receiver))?;
        Ok(Self {
            calls: Some(calls),
            thread: Some(thread),
        })
    }

    async fn call<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.calls.as_ref()?.send(call(sender)).ok()?;
        receiver.await.ok()
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        drop(self.calls.take());
        if let Some(thread) = self.thread.take() {
            // It catches panics; there is nothing to learn here.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl LeaseStore for RedbStore {
    async fn load(
        &self,
        after: Option<Ipv4Addr>,
        records_max: usize,
    ) -> Result<Vec<LeaseRecord>, StoreError> {
        let call = |reply| Call::Load {
            after,
            records_max,
            reply,
        };
        self.call(call).await.unwrap_or_else(|| Err(has_ended()))
    }

    async fn commit(&self, batch: Vec<Commit>) -> Vec<Result<(), CommitError>> {
        let len = batch.len();
        let results = self.call(|reply| Call::Commit { batch, reply }).await;
        results.unwrap_or_else(|| unavailable(len, &has_ended()))
    }

    async fn changes_since(
        &self,
        cursor: Option<Cursor>,
        records_max: usize,
    ) -> Result<(Vec<LeaseRecord>, Cursor), StoreError> {
        let call = |reply| Call::Changes {
            cursor,
            records_max,
            reply,
        };
        self.call(call).await.unwrap_or_else(|| Err(has_ended()))
    }
}

/// What the thread is asked for, and where the answer goes.
enum Call {
    Load {
        after: Option<Ipv4Addr>,
        records_max: usize,
        reply: oneshot::Sender<Result<Vec<LeaseRecord>, StoreError>>,
    },
    Commit {
        batch: Vec<Commit>,
        reply: oneshot::Sender<Vec<Result<(), CommitError>>>,
    },
    Changes {
        cursor: Option<Cursor>,
        records_max: usize,
        reply: oneshot::Sender<Result<(Vec<LeaseRecord>, Cursor), StoreError>>,
    },
}

/// What runs on the store's thread.
struct Worker {
    medium: Arc<dyn Medium>,
    retry_after: Duration,
    is_read_only: bool,
    state: State,
}

enum State {
    Open(Ledger),
    Failed { reason: String, at: Instant },
}

impl Worker {
    fn run(mut self, calls: &mpsc::Receiver<Call>) {
        while let Ok(call) = calls.recv() {
            // Who asked may have gone.
            match call {
                Call::Load {
                    after,
                    records_max,
                    reply,
                } => {
                    let _ = reply.send(self.with(|ledger| ledger.load(after, records_max)));
                }
                Call::Commit { batch, reply } => {
                    let results = if self.is_read_only {
                        Err(StoreError::Unavailable("it is open for reading".to_owned()))
                    } else {
                        self.with(|ledger| ledger.commit(&batch))
                    };
                    let _ = reply
                        .send(results.unwrap_or_else(|error| unavailable(batch.len(), &error)));
                }
                Call::Changes {
                    cursor,
                    records_max,
                    reply,
                } => {
                    let changes = self.with(|ledger| ledger.changes_since(cursor, records_max));
                    let forgotten = || StoreError::Forgotten(cursor.unwrap_or(Cursor::new(0)));
                    let _ = reply.send(changes.and_then(|found| found.ok_or_else(forgotten)));
                }
            }
        }
        // Closing writes, and what is damaged may panic there too.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self)));
    }

    /// Works with the ledger; opens it again if it failed.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Ledger) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        if let State::Failed { reason, at } = &self.state {
            if at.elapsed() < self.retry_after {
                return Err(StoreError::Unavailable(reason.clone()));
            }
            match guarded(|| {
                if self.is_read_only {
                    Ledger::open_as_it_is(&self.medium)
                } else {
                    Ledger::reopen(&self.medium)
                }
            }) {
                Ok(ledger) => self.state = State::Open(ledger),
                Err(fault) => return Err(self.fail(fault)),
            }
        }
        let State::Open(ledger) = &mut self.state else {
            return Err(has_ended());
        };
        guarded(|| work(ledger)).map_err(|fault| self.fail(fault))
    }

    /// After a fault the database refuses everything: it is closed, and opened again later.
    fn fail(&mut self, fault: Fault) -> StoreError {
        let failed = State::Failed {
            reason: fault.to_string(),
            at: Instant::now(),
        };
        let before = std::mem::replace(&mut self.state, failed);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(before)));
        fault.into()
    }
}

/// Makes a fault of a panic: redb panics on some damaged pages ("index out of bounds").
///
/// What was being worked on is dropped after a fault, so nothing half done is seen again.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("no reason was given");
        Err(Fault::Damaged(format!("the database gave up: {text}")))
    })
}

/// Makes an empty store beside the path, and gives it its name when it is whole: so a loss of power
/// at the first start leaves a store, or none, and nothing that a later start has to refuse.
fn make(path: &Path) -> Result<(), OpenStoreError> {
    let failed = |source| OpenStoreError::File {
        path: path.to_path_buf(),
        source,
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let half_made = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    // It is emptied: not what a link leads to, which somebody else may have put there.
    options.custom_flags(flags(OFlags::NOFOLLOW));
    let file = options.open(&half_made).map_err(failed)?;
    // Another server that starts is at the same.
    lock(path, || file.try_lock())?;
    file.set_len(0).map_err(failed)?;
    let medium: Arc<dyn Medium> = Arc::new(FileMedium::new(file));
    guarded(|| Ledger::open(&medium)).map_err(|fault| told(fault, path))?;
    medium.sync().map_err(failed)?;
    // Unlike a rename it replaces nothing.
    match std::fs::hard_link(&half_made, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    std::fs::remove_file(&half_made).map_err(failed)?;
    // The name must survive a loss of power as well.
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let folder = File::open(folder).map_err(failed)?;
    folder.sync_all().map_err(failed)
}

fn open_file(path: &Path, options: &mut OpenOptions) -> Result<File, OpenStoreError> {
    let failed = |source| OpenStoreError::File {
        path: path.to_path_buf(),
        source,
    };
    // Else it would wait for the other end of a FIFO; files do not care.
    options.custom_flags(flags(OFlags::NONBLOCK));
    let file = options.open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        let path = path.to_path_buf();
        return Err(OpenStoreError::NoFile { path });
    }
    Ok(file)
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// How often a lock that another has is tried again, and after how long.
///
/// Who lets it go may still be at it: a server that ends while its successor starts, or a process that
/// another one began at this moment, as a child has its parent's files, and so their locks, until it
/// becomes another program.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(20);

fn lock(
    path: &Path,
    try_lock: impl Fn() -> Result<(), TryLockError>,
) -> Result<(), OpenStoreError> {
    for _ in 0..LOCK_TRIES {
        match try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_WAIT),
            Err(TryLockError::Error(source)) => {
                let path = path.to_path_buf();
                return Err(OpenStoreError::File { path, source });
            }
        }
    }
    let path = path.to_path_buf();
    Err(OpenStoreError::InUse { path })
}

fn told(fault: Fault, path: &Path) -> OpenStoreError {
    let path = path.to_path_buf();
    match fault {
        Fault::Unavailable(reason) => OpenStoreError::Unavailable { path, reason },
        Fault::Damaged(reason) => OpenStoreError::Damaged { path, reason },
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable(reason) => Self::Unavailable(reason),
            Fault::Damaged(reason) => Self::Damaged(reason),
        }
    }
}

fn has_ended() -> StoreError {
    StoreError::Unavailable("its thread has ended".to_owned())
}

fn unavailable(len: usize, error: &StoreError) -> Vec<Result<(), CommitError>> {
    let reason = match error {
        StoreError::Unavailable(reason) => reason.clone(),
        other => other.to_string(),
    };
    vec![Err(CommitError::Unavailable(reason)); len]
}
