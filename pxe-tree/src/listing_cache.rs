//! Whole listings of directories, for trees that have to know all entries at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::{Attributes, Cookie, DirEntry, ErrorKind, NodeId, Result, Timestamp, Tree};

/// How many directories one cache remembers.
const DIRECTORIES_MAX: usize = 64;
/// How many entries they have together; a larger directory alone is remembered too.
const ENTRIES_MAX: usize = 1 << 18;
/// How many entries a directory may have at all.
pub(crate) const DIRECTORY_ENTRIES_MAX: usize = 1 << 20;
const PAGE_ENTRIES: usize = 4096;
/// Longer than the clock tick of any file system (FAT has two seconds).
const SETTLED: Duration = Duration::from_millis(2500);

/// Remembers something made of a directory's listing until the directory changes.
#[derive(Debug)]
pub(crate) struct ListingCache<T> {
    /// The one used last is the last.
    known: Mutex<VecDeque<Known<T>>>,
}

#[derive(Debug)]
struct Known<T> {
    dir: NodeId,
    change: u64,
    entries: usize,
    made: Arc<T>,
}

impl<T> Default for ListingCache<T> {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
        }
    }
}

impl<T> ListingCache<T> {
    /// What was made of this directory, if it did not change since.
    pub(crate) fn get(&self, dir: &Attributes) -> Option<Arc<T>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = known.iter().position(|known| known.dir == dir.node)?;
        let found = known.remove(place)?;
        if found.change != dir.change {
            return None;
        }
        let made = Arc::clone(&found.made);
        known.push_back(found);
        Some(made)
    }

    /// Remembers what was made of so many entries of a directory, whose attributes were asked for
    /// before the listing.
    pub(crate) fn put(&self, dir: &Attributes, entries: usize, made: Arc<T>) {
        if !settled(dir.changed) {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.dir != dir.node);
        let mut all: usize = known.iter().map(|known| known.entries).sum();
        while known.len() >= DIRECTORIES_MAX || all.saturating_add(entries) > ENTRIES_MAX {
            let Some(oldest) = known.pop_front() else {
                break;
            };
            all -= oldest.entries;
        }
        known.push_back(Known {
            dir: dir.node,
            change: dir.change,
            entries,
            made,
        });
    }
}

/// Whether a change after this one would have another time. A directory that is changed twice
/// within a tick of its file system's clock has the same stamp both times.
fn settled(changed: Timestamp) -> bool {
    let Ok(seconds) = u64::try_from(changed.seconds) else {
        return true;
    };
    let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, changed.nanos);
    SystemTime::now()
        .duration_since(changed)
        .is_ok_and(|age| age > SETTLED)
}

/// All entries of a directory.
///
/// # Errors
/// What listing gives, and `Unsupported` beyond [`DIRECTORY_ENTRIES_MAX`].
pub(crate) async fn list(tree: &dyn Tree, dir: NodeId) -> Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    let mut after = Cookie::START;
    loop {
        let page = tree.read_dir(dir, after, PAGE_ENTRIES).await?;
        let last = page.entries.last().map(|entry| entry.cookie);
        entries.extend(page.entries);
        if entries.len() > DIRECTORY_ENTRIES_MAX {
            return Err(ErrorKind::Unsupported.into());
        }
        match last {
            Some(last) if !page.end => after = last,
            // A page that is not the last has entries; whoever breaks that ends here.
            _ => return Ok(entries),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeKind;
    use crate::id_table::id;

    fn dir(number: u64, change: u64) -> Attributes {
        let mut attributes = Attributes::new(id(number), NodeKind::Directory, 0);
        attributes.change = change;
        attributes
    }

    #[test]
    fn it_is_bounded_by_directories_and_by_entries() {
        let cache = ListingCache::default();
        for number in 1..=100 {
            cache.put(&dir(number, 7), 1, Arc::new(number));
        }
        assert!(cache.get(&dir(1, 7)).is_none());
        assert_eq!(cache.get(&dir(100, 7)).as_deref(), Some(&100));
        assert!(cache.get(&dir(100, 8)).is_none(), "it changed");
        assert!(cache.get(&dir(100, 7)).is_none(), "so it was forgotten");
        cache.put(&dir(200, 1), ENTRIES_MAX, Arc::new(200));
        assert_eq!(cache.get(&dir(200, 1)).as_deref(), Some(&200));
        assert!(cache.get(&dir(99, 7)).is_none(), "no room beside it");
    }

    #[test]
    fn what_changed_just_now_is_not_remembered() {
        let cache = ListingCache::default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = now.map_or(0, |now| now.as_secs()).cast_signed();
        for (changed, kept) in [(seconds, false), (seconds + 9, false), (seconds - 9, true)] {
            let mut dir = dir(1, 1);
            dir.changed = Timestamp::from_seconds(changed);
            cache.put(&dir, 1, Arc::new(()));
            assert_eq!(cache.get(&dir).is_some(), kept, "{changed}");
        }
    }
}
