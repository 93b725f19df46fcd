//! Whole listings of directories, for trees that have to know all entries at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::turns::Turns;
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
    making: Turns<NodeId>,
}

/// What there is of a listing.
pub(crate) type Turn<'a, T> = crate::turns::Turn<'a, Arc<T>, NodeId>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Known<T> {
    dir: NodeId,
    change: u64,
    /// Whether a change since would show in the stamp.
    settled: bool,
    entries: usize,
    made: Arc<T>,
}

impl<T> Default for ListingCache<T> {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            making: Turns::default(),
        }
    }
}

impl<T> ListingCache<T> {
    /// What was made of this directory, if it did not change since.
    pub(crate) fn get(&self, dir: &Attributes) -> Option<Arc<T>> {
        let mut known = lock(&self.known);
        let place = known.iter().position(|known| known.dir == dir.node)?;
        let found = known.remove(place)?;
        if found.change != dir.change || !found.settled {
            return None;
        }
        let made = Arc::clone(&found.made);
        known.push_back(found);
        Some(made)
    }

    /// What was made of this directory last, and whether that still holds: for those who look at
    /// what they find by it.
    #[cfg_attr(
        not(any(feature = "dir", test)),
        expect(dead_code, reason = "DirTree's")
    )]
    pub(crate) fn latest(&self, dir: &Attributes) -> Option<(Arc<T>, bool)> {
        let mut known = lock(&self.known);
        let place = known.iter().position(|known| known.dir == dir.node)?;
        let found = known.remove(place)?;
        let holds = found.settled && found.change == dir.change;
        let made = Arc::clone(&found.made);
        known.push_back(found);
        Some((made, holds))
    }

    /// What was made of this directory, or the right to make it. A thousand clients that ask at
    /// once do not list it a thousand times at once: while one does it, the others wait.
    pub(crate) async fn turn(&self, dir: &Attributes) -> Turn<'_, T> {
        self.making.turn(dir.node, || self.get(dir)).await
    }

    /// Remembers what was made of so many entries of a directory, whose attributes were asked for
    /// before the listing.
    pub(crate) fn put(&self, dir: &Attributes, entries: usize, made: Arc<T>) {
        let settled = settled(dir.changed);
        let mut known = lock(&self.known);
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
            settled,
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

    /// One lists, whoever comes meanwhile waits, and one who gave up is not missed.
    #[tokio::test]
    async fn a_directory_is_listed_by_one_at_a_time() {
        let cache = Arc::new(ListingCache::default());
        let Turn::Make(maker) = cache.turn(&dir(1, 7)).await else {
            panic!("nothing was made");
        };
        let come = |number| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move {
                match cache.turn(&dir(number, 7)).await {
                    Turn::Made(made) => Some(*made),
                    Turn::Make(_) => None,
                }
            })
        };
        let waiting: Vec<_> = (0..100).map(|_| come(1)).collect();
        assert_eq!(come(2).await.expect("no panic"), None, "another directory");
        assert!(waiting.iter().all(|task| !task.is_finished()));
        waiting[0].abort();
        cache.put(&dir(1, 7), 1, Arc::new(5));
        drop(maker);
        for task in waiting.into_iter().skip(1) {
            assert_eq!(task.await.expect("no panic"), Some(5));
        }
        // Nothing was put, as it happens with a directory that changed just now: the next one may.
        let Turn::Make(maker) = cache.turn(&dir(1, 8)).await else {
            panic!("it changed");
        };
        let next = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { matches!(cache.turn(&dir(1, 8)).await, Turn::Make(_)) }
        });
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        drop(maker);
        assert!(next.await.expect("no panic"));
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
            let latest = cache.latest(&dir).map(|(_, holds)| holds);
            assert_eq!(latest, Some(kept), "{changed}");
            assert_eq!(cache.get(&dir).is_some(), kept, "{changed}");
        }
    }
}
