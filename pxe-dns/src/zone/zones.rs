//! The zones that are served.

use std::collections::BTreeMap;

use super::sort_key::{KeyBuffer, SortKey, prefixes};
use crate::{NameRef, RecordType, ServedZone};

/// The zones that are served, found by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zones {
    served: Vec<ServedZone>,
    /// By the key of its name, where a zone is.
    index: BTreeMap<SortKey, usize>,
}

impl Zones {
    /// Serves these zones and no others. Of two with one name, the last counts. Returns those
    /// that were served before, which may take time to drop.
    pub(crate) fn replace(&mut self, zones: Vec<ServedZone>) -> Vec<ServedZone> {
        let index = zones.iter().enumerate();
        self.index = index
            .map(|(at, served)| (served.zone.key.clone(), at))
            .collect();
        std::mem::replace(&mut self.served, zones)
    }

    /// The zones that are served.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ServedZone> {
        self.index.values().filter_map(|at| self.served.get(*at))
    }

    /// The zone in which a name is: that with the longest name.
    pub(crate) fn find(&self, name: NameRef<'_>) -> Option<&ServedZone> {
        self.find_key(KeyBuffer::new(name).as_slice())
    }

    /// The zone that is to be asked for records of this type.
    pub(super) fn find_for(&self, key: &[u8], kind: RecordType) -> Option<&ServedZone> {
        let nearest = self.find_key(key)?;
        if kind != RecordType::DS || nearest.zone.key.as_slice() != key {
            return Some(nearest);
        }
        // DS is the parent's (RFC 4035 section 3.1.4.1), if it is here and not delegated further.
        let above = prefixes(key).rev().nth(1).unwrap_or_default();
        let parent = (!key.is_empty()).then(|| self.find_key(above)).flatten();
        Some(
            parent
                .filter(|parent| parent.zone.holds_cut(key))
                .unwrap_or(nearest),
        )
    }

    fn find_key(&self, key: &[u8]) -> Option<&ServedZone> {
        let longest_first = prefixes(key).rev().chain(std::iter::once(&[][..]));
        let mut found = longest_first.filter_map(|above| self.index.get(above));
        found.next().and_then(|at| self.served.get(*at))
    }
}
