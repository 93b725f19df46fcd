//! The nodes of a tree that is composed of others.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::num::NonZeroU64;

use crate::NodeId;

/// A bounded two-way table of ids and the places in the composed trees for which they stand.
///
/// What was not used for long is forgotten (second chance), and gets another id the next time.
#[derive(Debug)]
pub(crate) struct IdTable<P, V> {
    by_id: HashMap<NodeId, Slot<P, V>>,
    by_place: HashMap<P, NodeId>,
    hand: VecDeque<NodeId>,
    last_id: u64,
    nodes_max: usize,
}

#[derive(Debug)]
struct Slot<P, V> {
    place: P,
    value: V,
    used: bool,
}

/// How many nodes of a composed tree are known at once.
pub(crate) const NODES_MAX: usize = 1 << 17;

/// The id of this number; the small ones are reserved for nodes that are never forgotten.
pub(crate) const fn id(number: u64) -> NodeId {
    match NonZeroU64::new(number) {
        Some(number) => NodeId::new(number),
        None => NodeId::new(NonZeroU64::MIN),
    }
}

impl<P: Clone + Eq + Hash, V> IdTable<P, V> {
    /// An empty table whose ids begin after the reserved ones.
    pub(crate) fn new(reserved: u64, nodes_max: usize) -> Self {
        Self {
            by_id: HashMap::new(),
            by_place: HashMap::new(),
            hand: VecDeque::new(),
            last_id: reserved,
            nodes_max,
        }
    }

    /// The id of a place; what is known of it is replaced.
    pub(crate) fn intern(&mut self, place: P, value: V) -> NodeId {
        if let Some(known) = self.by_place.get(&place).copied()
            && let Some(slot) = self.by_id.get_mut(&known)
        {
            slot.used = true;
            slot.value = value;
            return known;
        }
        while self.by_id.len() >= self.nodes_max {
            let Some(oldest) = self.hand.pop_front() else {
                break;
            };
            match self.by_id.get_mut(&oldest) {
                Some(slot) if slot.used => {
                    slot.used = false;
                    self.hand.push_back(oldest);
                }
                _ => {
                    if let Some(slot) = self.by_id.remove(&oldest) {
                        self.by_place.remove(&slot.place);
                    }
                }
            }
        }
        self.last_id += 1;
        let new = id(self.last_id);
        self.by_place.insert(place.clone(), new);
        let slot = Slot {
            place,
            value,
            used: false,
        };
        self.by_id.insert(new, slot);
        self.hand.push_back(new);
        new
    }

    pub(crate) fn get(&mut self, id: NodeId) -> Option<(&P, &mut V)> {
        let slot = self.by_id.get_mut(&id)?;
        slot.used = true;
        Some((&slot.place, &mut slot.value))
    }

    pub(crate) fn find(&self, place: &P) -> Option<NodeId> {
        self.by_place.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let mut table = IdTable::new(2, 10);
        let kept = table.intern("kept".to_owned(), 1);
        assert_eq!(kept, id(3));
        for number in 0..1000 {
            assert_eq!(table.intern("kept".to_owned(), number), kept);
            table.intern(number.to_string(), number);
            assert!(table.by_id.len() <= 10 && table.by_place.len() <= 10);
            assert!(table.hand.len() <= 10);
        }
        assert_eq!(table.get(kept).map(|(_, value)| *value), Some(999));
        assert_eq!(table.find(&"5".to_owned()), None);
    }
}
