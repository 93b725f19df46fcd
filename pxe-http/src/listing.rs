//! What a directory holds, read from its tree within bounds.

use std::cmp::Ordering;
use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use pxe_tree::{Cookie, DirEntry, NameBuf, NodeId, NodeKind, Result, Timestamp, Tree};

/// How many entries are asked of a tree at a time.
const PAGE_ENTRIES: usize = 1024;
/// Entries that are looked up before others have their turn: what a tree knows at once is some
/// 0.1 ms of work.
const ENTRIES_PER_TURN: usize = 64;

/// Bounds of a [`Listing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListingLimits {
    /// How many entries are shown; the others are counted. 4,096 by default: more than a person
    /// reads, and at most some 1 MiB of HTML where names are of usual length.
    pub entries_max: usize,
    /// How many names are looked at to find those that come first, and to count the others; what
    /// lies beyond is not even counted. 262,144 by default: about 0.1 s of work.
    pub scanned_max: u64,
    /// How many listings a server makes at once; at least 1. Whoever comes beyond it gets 503 and
    /// may ask again. 32 by default.
    pub at_once_max: usize,
    /// How many bytes of pages a server holds that are made and not taken by their clients yet, a
    /// quarter of them for one client; each client may have one page whatever its length is. Whoever
    /// comes beyond it gets 503 and may ask again. 64 MiB by default: 64 of the longest pages, and
    /// tens of thousands of usual ones.
    pub sent_bytes_max: usize,
}

impl Default for ListingLimits {
    fn default() -> Self {
        Self {
            entries_max: 4096,
            scanned_max: 1 << 18,
            at_once_max: 32,
            sent_bytes_max: 64 << 20,
        }
    }
}

/// The entries of a directory, in the order in which they are shown: directories first, then all
/// else, each by name.
///
/// [`plan`](crate::plan()) makes a page of it: HTML for people, or JSON for a client whose `Accept`
/// puts `application/json` before `text/html`. A page has at most 1 MiB, and says how many entries
/// it leaves out. JSON has this form (a link's target and a name lose what is not UTF-8, a
/// reference is exact; what is not known is left out; `omitted` is null if it is not known):
///
/// ```json
/// {"path":"/os/","entries":[
/// {"name":"debian","href":"debian/","type":"directory","modified":"2026-11-21T08:49:37Z"},
/// {"name":"current","href":"current","type":"link","target":"debian"},
/// {"name":"linux","href":"linux","type":"file","size":8765432,"modified":"2026-11-21T08:49:37Z"},
/// {"name":"pipe","href":"pipe","type":"other"}
/// ],"omitted":0}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The entries; hidden ones (whose names begin with a dot) are among them.
    pub entries: Vec<ListingEntry>,
    /// What is not among them.
    pub omitted: Omitted,
}

/// What a [`Listing`] does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Omitted {
    /// Nothing: the listing is complete.
    Nothing,
    /// That many entries, which all come later in the order.
    Entries(u64),
    /// An unknown number of entries: the directory is beyond [`ListingLimits::scanned_max`].
    Unknown,
}

/// One entry of a directory, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListingEntry {
    /// The name.
    pub name: NameBuf,
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of a file's content; `None` for all else, and if it is not known.
    pub len: Option<u64>,
    /// When its content was changed last; `None` if that is not known.
    pub modified: Option<Timestamp>,
    /// Where a link points to; `None` for all else, and if it is not known.
    pub target: Option<Bytes>,
}

impl ListingEntry {
    /// An entry of which no more is known.
    pub const fn new(name: NameBuf, kind: NodeKind) -> Self {
        Self {
            name,
            kind,
            len: None,
            modified: None,
            target: None,
        }
    }
}

impl Listing {
    /// The listing of these entries, complete, and in the order in which they are shown.
    pub fn new(mut entries: Vec<ListingEntry>) -> Self {
        entries.sort_by(|a, b| order((a.kind, &a.name), (b.kind, &b.name)));
        Self {
            entries,
            omitted: Omitted::Nothing,
        }
    }

    /// Reads a directory.
    ///
    /// Holds at most twice [`ListingLimits::entries_max`] entries and a page of 1,024 at any time.
    /// What is known of an entry is asked only if it is shown.
    ///
    /// # Errors
    /// As [`Tree::read_dir`]. An entry that vanishes meanwhile, or of which nothing can be known,
    /// is no error.
    pub async fn read(tree: &dyn Tree, dir: NodeId, limits: &ListingLimits) -> Result<Self> {
        let entries_max = limits.entries_max.max(1);
        let mut first: Vec<DirEntry> = Vec::new();
        let mut scanned = 0_u64;
        let mut after = Cookie::START;
        let end = loop {
            let page = tree.read_dir(dir, after, PAGE_ENTRIES).await?;
            scanned = scanned.saturating_add(page.entries.len() as u64);
            // Only a last page may be empty.
            let last = page.entries.last().map(|entry| entry.cookie);
            first.extend(page.entries);
            if first.len() > entries_max.saturating_mul(2) {
                keep_first(&mut first, entries_max);
            }
            match last {
                Some(cookie) if !page.end && scanned < limits.scanned_max => after = cookie,
                _ => break page.end,
            }
        };
        keep_first(&mut first, entries_max);
        let omitted = match scanned.saturating_sub(first.len() as u64) {
            _ if !end => Omitted::Unknown,
            0 => Omitted::Nothing,
            count => Omitted::Entries(count),
        };
        let mut entries = Vec::with_capacity(first.len());
        for entry in first {
            entries.push(known(tree, dir, entry).await);
            if entries.len().is_multiple_of(ENTRIES_PER_TURN) {
                yield_now().await;
            }
        }
        Ok(Self { entries, omitted })
    }
}

/// Lets others have their turn, on whatever runtime this runs.
async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn keep_first(entries: &mut Vec<DirEntry>, count: usize) {
    entries.sort_unstable_by(|a, b| order((a.kind, &a.name), (b.kind, &b.name)));
    entries.truncate(count);
}

/// Directories first, then by the bytes of the name.
fn order(a: (NodeKind, &NameBuf), b: (NodeKind, &NameBuf)) -> Ordering {
    let rank = |kind| kind != NodeKind::Directory;
    (rank(a.0), a.1).cmp(&(rank(b.0), b.1))
}

/// An entry with what its tree says of it.
async fn known(tree: &dyn Tree, dir: NodeId, entry: DirEntry) -> ListingEntry {
    let mut listed = ListingEntry::new(entry.name, entry.kind);
    let Ok(attributes) = tree.lookup(dir, &listed.name).await else {
        return listed;
    };
    listed.kind = attributes.kind;
    listed.len = (attributes.kind == NodeKind::File).then_some(attributes.len);
    listed.modified = (attributes.modified != Timestamp::default()).then_some(attributes.modified);
    if attributes.kind == NodeKind::Link {
        listed.target = tree.read_link(attributes.node).await.ok();
    }
    listed
}
