//! Directories that were read lately.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use pxe_tree::{Name, NodeId, Turn, Turns};

use crate::Limits;
use crate::format::Entry;

/// All entries of a directory, in the order of the medium, each name once.
#[derive(Debug)]
pub(crate) struct Directory {
    entries: Vec<Entry>,
    /// Places in `entries`, in the order of the names.
    by_name: Vec<u32>,
}

impl Directory {
    /// Of entries with the same name the first one stays.
    pub(crate) fn new(mut entries: Vec<Entry>) -> Self {
        entries.truncate(u32::MAX as usize);
        let mut places = sorted(&entries);
        let before = places.len();
        let mut doubles = Vec::new();
        places.dedup_by(|later, first| {
            let same = name(&entries, *later) == name(&entries, *first);
            if same {
                doubles.push(*later);
            }
            same
        });
        if places.len() < before {
            doubles.sort_unstable();
            let mut place = 0;
            entries.retain(|_| {
                place += 1;
                doubles.binary_search(&(place - 1)).is_err()
            });
            places = sorted(&entries);
        }
        Self {
            entries,
            by_name: places,
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn find(&self, wanted: &Name) -> Option<&Entry> {
        let found = self
            .by_name
            .binary_search_by(|place| name(&self.entries, *place).cmp(&Some(wanted)));
        let place = self.by_name.get(found.ok()?)?;
        self.entries.get(*place as usize)
    }
}

fn name(entries: &[Entry], place: u32) -> Option<&Name> {
    entries.get(place as usize).map(|entry| &*entry.name)
}

/// The places of the entries in the order of their names, then of their places.
fn sorted(entries: &[Entry]) -> Vec<u32> {
    let mut places: Vec<u32> = (0..).zip(entries).map(|(place, _)| place).collect();
    places.sort_by_key(|place| name(entries, *place));
    places
}

/// A bounded number of directories, the one used last at the end.
#[derive(Debug, Default)]
pub(crate) struct DirectoryCache {
    known: Mutex<VecDeque<(NodeId, Arc<Directory>)>>,
    reading: Turns<NodeId>,
}

impl DirectoryCache {
    /// What was read of a directory, or the right to read it: while one does, the others wait.
    pub(crate) async fn turn(&self, dir: NodeId) -> Turn<'_, Arc<Directory>, NodeId> {
        self.reading.turn(dir, || self.get(dir)).await
    }

    fn get(&self, dir: NodeId) -> Option<Arc<Directory>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = known.iter().rposition(|(known, _)| *known == dir)?;
        let found = known.remove(place)?;
        let directory = Arc::clone(&found.1);
        known.push_back(found);
        Some(directory)
    }

    pub(crate) fn put(&self, dir: NodeId, directory: Arc<Directory>, limits: &Limits) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(known, _)| *known != dir);
        let mut all: usize = known.iter().map(|(_, known)| known.entries.len()).sum();
        while known.len() >= limits.directories_cached_max.max(1)
            || all.saturating_add(directory.entries.len()) > limits.entries_cached_max
        {
            let Some((_, oldest)) = known.pop_front() else {
                break;
            };
            all -= oldest.entries.len();
        }
        known.push_back((dir, directory));
    }
}
