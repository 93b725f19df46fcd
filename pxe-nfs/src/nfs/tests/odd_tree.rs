//! A tree that does what real ones do seldom.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tree::{
    Attributes, Blob, Cookie, DirEntry, DirPage, Direct, ErrorKind, MemTree, Name, NodeId, NodeKey,
    Result, Tree,
};

/// A tree in memory, with errors and cookies of the test's choice.
#[derive(Debug, Default)]
pub(super) struct OddTree {
    pub(super) inner: Arc<MemTree>,
    /// What `attributes_of_key` says.
    pub(super) of_keys: Option<ErrorKind>,
    /// What everything else says.
    pub(super) of_nodes: Option<ErrorKind>,
    /// How often that is said before it answers.
    pub(super) times: AtomicUsize,
    /// The cookies of a directory's entries, one after the other.
    pub(super) cookies: Vec<u64>,
    /// How often an open file is called stale before it is read.
    pub(super) stale_reads: Arc<AtomicUsize>,
    /// How often a node is forgotten before it gets a key.
    pub(super) stale_keys: AtomicUsize,
    /// How much of open files is in memory, if these are files of the operating system.
    pub(super) in_memory: Option<u64>,
    /// What was said to be needed soon: offsets and lengths.
    pub(super) needed: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl OddTree {
    pub(super) fn failing(of_nodes: ErrorKind, times: usize) -> Self {
        Self {
            inner: super::tree(),
            of_nodes: Some(of_nodes),
            times: AtomicUsize::new(times),
            ..Self::default()
        }
    }

    fn fail(&self) -> Result<()> {
        let Some(kind) = self.of_nodes else {
            return Ok(());
        };
        match is_left(&self.times) {
            true => Err(kind.into()),
            false => Ok(()),
        }
    }

    fn numbered(&self, mut entry: DirEntry, all: &[DirEntry]) -> DirEntry {
        let place = all.iter().position(|other| other.name == entry.name);
        if let Some(cookie) = place.and_then(|place| self.cookies.get(place)) {
            entry.cookie = Cookie(*cookie);
        }
        entry
    }
}

fn is_left(times: &AtomicUsize) -> bool {
    let less = |left: usize| left.checked_sub(1);
    times
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        .is_ok()
}

#[async_trait]
impl Tree for OddTree {
    fn root(&self) -> NodeId {
        self.inner.root()
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        self.fail()?;
        self.inner.lookup(dir, name).await
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        self.inner.attributes(node).await
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        self.fail()?;
        let all = self.inner.read_dir(dir, Cookie::START, usize::MAX).await?;
        let numbered = all
            .entries
            .iter()
            .map(|entry| self.numbered(entry.clone(), &all.entries));
        let numbered: Vec<DirEntry> = numbered.collect();
        let first = match after {
            Cookie::START => 0,
            after => {
                let place = numbered.iter().position(|entry| entry.cookie == after);
                place.ok_or(ErrorKind::BadCookie)? + 1
            }
        };
        let rest = numbered.into_iter().skip(first);
        let entries: Vec<DirEntry> = rest.take(entries_max).collect();
        let end = first + entries.len() == all.entries.len();
        Ok(DirPage::new(entries, end))
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        self.fail()?;
        self.inner.read_link(node).await
    }

    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        self.fail()?;
        Ok(Arc::new(OddBlob {
            inner: self.inner.open(node).await?,
            stale_reads: Arc::clone(&self.stale_reads),
            file: self
                .in_memory
                .map(|len| (tempfile::tempfile().expect("a file"), len)),
            needed: Arc::clone(&self.needed),
        }))
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        match is_left(&self.stale_keys) {
            true => Err(ErrorKind::Stale.into()),
            false => self.inner.key(node),
        }
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        match self.of_keys {
            Some(kind) => Err(kind.into()),
            None => self.inner.resolve_key(key).await,
        }
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        self.inner.parent(dir).await
    }
}

#[derive(Debug)]
struct OddBlob {
    inner: Arc<dyn Blob>,
    stale_reads: Arc<AtomicUsize>,
    file: Option<(std::fs::File, u64)>,
    needed: Arc<Mutex<Vec<(u64, u64)>>>,
}

#[async_trait]
impl Blob for OddBlob {
    fn attributes(&self) -> &Attributes {
        self.inner.attributes()
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        match is_left(&self.stale_reads) {
            true => Err(ErrorKind::Stale.into()),
            false => self.inner.read_at(offset, len).await,
        }
    }

    fn read_now(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>> {
        match self.file {
            Some((_, in_memory)) if offset < in_memory => self.inner.read_now(offset, buf),
            _ => Ok(None),
        }
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.needed.lock().expect("no panic").push((offset, len));
    }

    fn direct(&self, offset: u64, len: u64) -> Direct<'_> {
        let left = self.attributes().len.saturating_sub(offset);
        match &self.file {
            Some((file, _)) if left > 0 => Direct::File {
                fd: std::os::fd::AsFd::as_fd(file),
                offset,
                len: left.min(len),
            },
            _ => Direct::None,
        }
    }
}
