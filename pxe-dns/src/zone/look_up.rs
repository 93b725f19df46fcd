//! What a zone says of a name (RFC 1034 section 4.3.2, RFC 4592 section 3.3.1, RFC 6672).

use std::ops::Bound;

use super::sort_key::{KeyBuffer, common_len, prefixes};
use super::{Node, Zone};
use crate::{NameRef, RecordType};

/// What a zone says of a name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'z> {
    /// The name is there, and these are its records.
    Name(&'z Node),
    /// The name is not there, but a wildcard stands for it (RFC 4592).
    Wildcard(&'z Node),
    /// The name, or the wildcard for it, has no records, but a name below it has some.
    Empty,
    /// The name is at or below a delegation to the servers of this node.
    Cut(&'z Node),
    /// The name is below the DNAME of this node (RFC 6672).
    Dname(&'z Node),
    /// There is no such name, nor any below it (RFC 8020).
    Nothing,
}

impl Zone {
    /// Looks up a name in the zone. `key` is what follows the zone's own.
    pub(super) fn look_up(&self, key: &[u8], kind: RecordType) -> Found<'_> {
        if !self.cuts.is_empty()
            && let Some(found) = self.look_above(key, kind)
        {
            return found;
        }
        if let Some(node) = self.node(key) {
            return Found::Name(node);
        }
        let up_to = (Bound::Unbounded, Bound::Excluded(key));
        let before = self.nodes.range::<[u8], _>(up_to).next_back();
        let mut closest = before.map_or(0, |(before, _)| common_len(before.as_slice(), key));
        if let Some(after) = self.after(key) {
            if after.as_slice().starts_with(key) {
                return Found::Empty;
            }
            closest = closest.max(common_len(after.as_slice(), key));
        }
        let mut wildcard = KeyBuffer::of_key(key.get(..closest).unwrap_or_default());
        wildcard.push_label(b"*");
        let wildcard = wildcard.as_slice();
        match self.after(wildcard) {
            Some(after) if after.as_slice() == wildcard => {
                self.node(wildcard).map_or(Found::Nothing, Found::Wildcard)
            }
            Some(after) if after.as_slice().starts_with(wildcard) => Found::Empty,
            _ => Found::Nothing,
        }
    }

    /// The delegation or DNAME at or above a name that is nearest to the apex.
    fn look_above(&self, key: &[u8], kind: RecordType) -> Option<Found<'_>> {
        for above in std::iter::once(&[][..]).chain(prefixes(key)) {
            if !self.cuts.contains(above) {
                continue;
            }
            let node = self.node(above)?;
            let is_itself = above.len() == key.len();
            // DS is the parent's (RFC 4035 section 3.1.4.1).
            let is_parents = is_itself && kind == RecordType::DS;
            if !above.is_empty() && node.has(RecordType::NS) && !is_parents {
                return Some(Found::Cut(node));
            }
            if node.has(RecordType::DNAME) && !is_itself {
                return Some(Found::Dname(node));
            }
        }
        None
    }

    /// The records of a name that belongs to a delegated zone: they are here only so that its
    /// servers can be reached.
    pub(super) fn glue(&self, name: NameRef<'_>) -> Option<&Node> {
        if !name.is_within(self.origin()) {
            return None;
        }
        let key = KeyBuffer::new(name);
        let key = key.below(self.key.as_slice());
        match self.look_above(key, RecordType::A) {
            Some(Found::Cut(_)) => self.node(key),
            _ => None,
        }
    }
}
