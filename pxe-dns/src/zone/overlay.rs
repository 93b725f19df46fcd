//! A zone with dynamic records in it, and its serial.

use std::sync::Arc;

use super::look_up::Found;
use super::node::{Node, RrSet};
use super::sort_key::{KeyBuffer, SortKey};
use super::{SOA_NUMBERS_LEN, Zone, check};
use crate::dynamic::HoldReason;
use crate::{NameRef, Record, RecordType};

impl Zone {
    /// Why a dynamic record is not answered in this zone, if it is not.
    pub(super) fn hold_reason(&self, record: &Record) -> Option<HoldReason> {
        let belongs_to_zone = matches!(
            record.kind,
            RecordType::SOA | RecordType::NS | RecordType::CNAME | RecordType::DNAME
        );
        if belongs_to_zone || check(record, self.origin()).is_err() {
            return Some(HoldReason::NotForNames);
        }
        let key = KeyBuffer::new(record.owner.as_ref());
        let key = key.below(self.key.as_slice());
        match self.look_up(key, RecordType::ANY) {
            Found::Cut(_) => return Some(HoldReason::Delegated),
            Found::Dname(_) => return Some(HoldReason::Renamed),
            _ => {}
        }
        let own = self.own_node(key)?;
        if own.has(RecordType::CNAME) {
            return Some(HoldReason::Alias);
        }
        own.has(record.kind).then_some(HoldReason::InZone)
    }

    /// The zone's own records of a name, without the dynamic ones.
    fn own_node(&self, key: &[u8]) -> Option<&Node> {
        match self.overlaid.get(key) {
            Some(own) => own.as_deref(),
            None => self.node(key),
        }
    }

    /// From now on the name has these records besides the zone's own. Says whether that changes
    /// anything.
    pub(super) fn overlay(&mut self, owner: NameRef<'_>, records: &[&Record]) -> bool {
        let key = KeyBuffer::new(owner);
        let key = SortKey::new(key.below(self.key.as_slice()));
        let own = match self.overlaid.get(&key) {
            Some(own) => own.clone(),
            None => self.nodes.get(&key).cloned(),
        };
        let node = match (&own, records.first()) {
            (own, None) => own.clone(),
            (Some(own), Some(_)) => Some(Arc::new(own.with(records.iter().copied()))),
            (None, Some(first)) => {
                let none = Node::new(first.owner.clone(), []);
                Some(Arc::new(none.with(records.iter().copied())))
            }
        };
        match records {
            [] => self.overlaid.remove(&key),
            _ => self.overlaid.insert(key.clone(), own),
        };
        let before = match &node {
            Some(node) => self.nodes.insert(key, Arc::clone(node)),
            None => self.nodes.remove(&key),
        };
        before != node
    }

    /// Gives the zone another serial.
    pub(super) fn set_serial(&mut self, serial: u32) {
        let apex = SortKey::new(&[]);
        if let Some(node) = self.nodes.get_mut(&apex) {
            *node = Arc::new(with_serial(node, serial));
        }
        if let Some(Some(own)) = self.overlaid.get_mut(&apex) {
            *own = Arc::new(with_serial(own, serial));
        }
        self.soa.serial = serial;
    }

    /// Makes the serial one that follows it (RFC 1982 section 3.1).
    pub(super) fn increase_serial(&mut self) {
        // Some take 0 for no serial.
        self.set_serial(self.soa.serial.wrapping_add(1).max(1));
    }

    /// Whether both have the same records, but for the serial.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.nodes.len() == other.nodes.len()
            && self.nodes.iter().zip(&other.nodes).all(|((a, x), (b, y))| {
                let is_apex = a.as_slice().is_empty();
                a == b && (x == y || is_apex && **x == with_serial(y, self.soa.serial))
            })
    }
}

/// Whether a serial follows another (RFC 1982 section 3.2).
pub(super) fn is_after(serial: u32, other: u32) -> bool {
    matches!(serial.wrapping_sub(other), 1..=0x7fff_ffff)
}

fn with_serial(apex: &Node, serial: u32) -> Node {
    let changed = apex.set(RecordType::SOA).and_then(|soa| {
        let mut data = soa.data().next()?.to_vec();
        let at = data.len().checked_sub(SOA_NUMBERS_LEN)?;
        let place = data.get_mut(at..at + 4)?;
        place.copy_from_slice(&serial.to_be_bytes());
        Some(RrSet::new(soa.kind, soa.ttl_seconds, &[data]))
    });
    match changed {
        Some(set) => apex.with_set(set),
        None => apex.clone(),
    }
}
