//! A zone: the records of a name and of what lies below it.

mod answer;
mod look_up;
#[cfg(test)]
mod model;
mod node;
mod octets;
mod overlay;
mod sort_key;
#[cfg(test)]
mod tests;
mod transfer;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use self::look_up::Found;
use self::node::{Node, RrSet};
use self::sort_key::{KeyBuffer, SortKey};
use crate::{Name, NameRef, Record, RecordType};

pub(crate) use self::answer::ZoneAnswer;
pub use self::transfer::Transfer;
pub(crate) use self::zones::Zones;

/// Octets of an SOA record's data after its names: serial, refresh, retry, expire, minimum.
const SOA_NUMBERS_LEN: usize = 20;
/// Octets of a record's data at most, so that it fits into a message with the longest question
/// and owner, and with EDNS.
pub(crate) const DATA_LEN_MAX: usize = 64_900;

/// The records of a name and of all names below it, but for what is delegated.
#[derive(Clone)]
pub struct Zone {
    origin: Name,
    /// The origin's key, with which the keys of all its names begin.
    key: SortKey,
    /// By what follows `key` in a name's key: the apex is first.
    nodes: BTreeMap<SortKey, Arc<Node>>,
    /// Below which names other rules hold: delegations and DNAMEs.
    cuts: BTreeSet<SortKey>,
    /// The zone's own nodes of the names that have dynamic records besides.
    overlaid: BTreeMap<SortKey, Option<Arc<Node>>>,
    soa: Soa,
}

/// What has to be known of the SOA record for most answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Soa {
    serial: u32,
    /// For how long it may be remembered that there is nothing (RFC 2308 section 3).
    negative_ttl_seconds: u32,
}

/// Why records make no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// A record is not in the zone.
    #[error("{owner} is not in the zone {origin}")]
    OutOfZone {
        /// Of what the record is.
        owner: Name,
        /// The zone's name.
        origin: Name,
    },
    /// There is no SOA record, or more than one.
    #[error("{origin} needs one SOA record and has {count}")]
    Soa {
        /// The zone's name.
        origin: Name,
        /// How many it has.
        count: usize,
    },
    /// An SOA record belongs to another name than the zone's.
    #[error("{owner} has an SOA record, which only {origin} can have")]
    SoaBelow {
        /// Of what the record is.
        owner: Name,
        /// The zone's name.
        origin: Name,
    },
    /// Data are not what records of this type have, or of more than 64,900 octets, which no
    /// message has room for.
    #[error("{owner} has a {kind} record that is malformed")]
    MalformedData {
        /// Of what the record is.
        owner: Name,
        /// The record's type.
        kind: RecordType,
    },
    /// A type that no record of a zone has (RFC 6895 section 3.1).
    #[error("{owner} has a {kind} record, which no zone can have")]
    MetaType {
        /// Of what the record is.
        owner: Name,
        /// The type.
        kind: RecordType,
    },
}

impl Zone {
    /// A zone of these records, in any order.
    ///
    /// A record that is there twice counts once. All records of a name and type get the TTL of the
    /// first (RFC 2181 sections 5 and 5.2).
    ///
    /// # Errors
    /// Those of [`ZoneError`].
    pub fn new(origin: Name, records: impl IntoIterator<Item = Record>) -> Result<Self, ZoneError> {
        let key = KeyBuffer::new(origin.as_ref());
        let mut by_key: BTreeMap<SortKey, (Name, Vec<Record>)> = BTreeMap::new();
        for record in records {
            check(&record, origin.as_ref())?;
            let record_key = KeyBuffer::new(record.owner.as_ref());
            let record_key = SortKey::new(record_key.below(key.as_slice()));
            let (_, of_name) = by_key
                .entry(record_key)
                .or_insert_with(|| (record.owner.clone(), Vec::new()));
            of_name.push(record);
        }
        let nodes: BTreeMap<SortKey, Arc<Node>> = by_key
            .into_iter()
            .map(|(key, (owner, records))| (key, Arc::new(Node::new(owner, records))))
            .collect();
        let apex = nodes.get(&[][..]);
        let soa = apex.and_then(|apex| apex.set(RecordType::SOA));
        let soa = match soa {
            Some(set) if set.len() == 1 => Soa::of(set),
            _ => None,
        };
        let count = apex
            .and_then(|apex| apex.set(RecordType::SOA))
            .map_or(0, RrSet::len);
        let soa = soa.ok_or_else(|| ZoneError::Soa {
            origin: origin.clone(),
            count,
        })?;
        let is_cut = |(key, node): &(&SortKey, &Arc<Node>)| {
            node.has(RecordType::DNAME) || node.has(RecordType::NS) && !key.as_slice().is_empty()
        };
        let cuts = nodes.iter().filter(is_cut).map(|(key, _)| key.clone());
        Ok(Self {
            cuts: cuts.collect(),
            key: SortKey::new(key.as_slice()),
            origin,
            nodes,
            overlaid: BTreeMap::new(),
            soa,
        })
    }

    /// Its name.
    pub fn origin(&self) -> NameRef<'_> {
        self.origin.as_ref()
    }

    /// The number of its version (RFC 1035 section 3.3.13).
    pub fn serial(&self) -> u32 {
        self.soa.serial
    }

    /// All records: the SOA first, then in canonical order.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let is_soa = |record: &Record| record.kind == RecordType::SOA;
        let apex = self.nodes.values().take(1);
        let soa = apex.flat_map(|apex| apex.records()).filter(is_soa);
        let all = self.nodes.values().flat_map(|node| node.records());
        soa.chain(all.filter(move |record| !is_soa(record)))
    }

    /// How many records of this type a name has.
    pub fn count(&self, owner: NameRef<'_>, kind: RecordType) -> usize {
        let node = owner
            .is_within(self.origin())
            .then(|| self.node(KeyBuffer::new(owner).below(self.key.as_slice())))
            .flatten();
        node.and_then(|node| node.set(kind)).map_or(0, RrSet::len)
    }

    fn apex(&self) -> Option<&Node> {
        self.nodes.first_key_value().map(|(_, apex)| &**apex)
    }

    /// Whether a name is below the apex and at or above no other delegation than its own.
    fn holds_cut(&self, key: &[u8]) -> bool {
        let key = key.get(self.key.as_slice().len()..).unwrap_or_default();
        !matches!(self.look_up(key, RecordType::DS), Found::Cut(_))
    }

    fn node(&self, key: &[u8]) -> Option<&Node> {
        self.nodes.get(key).map(|node| &**node)
    }

    /// The first name at or after this key.
    fn after(&self, key: &[u8]) -> Option<&SortKey> {
        let range = (Bound::Included(key), Bound::Unbounded);
        let mut nodes = self.nodes.range::<[u8], _>(range);
        nodes.next().map(|(key, _)| key)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zone")
            .field("origin", &self.origin)
            .field("serial", &self.soa.serial)
            .field("names", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

impl Soa {
    fn of(set: &RrSet) -> Option<Self> {
        let numbers = soa_numbers(set.data().next()?)?;
        let [serial, _, _, _, minimum] = numbers;
        Some(Self {
            serial,
            negative_ttl_seconds: set.ttl_seconds.min(minimum),
        })
    }
}

/// The numbers of an SOA record.
fn soa_numbers(data: &[u8]) -> Option<[u32; 5]> {
    let mname = NameRef::from_wire(data).ok()?;
    let rest = data.get(mname.wire().len()..)?;
    let rname = NameRef::from_wire(rest).ok()?;
    let rest = rest.get(rname.wire().len()..)?;
    let numbers: &[u8; SOA_NUMBERS_LEN] = rest.try_into().ok()?;
    let mut words = [0; 5];
    for (word, octets) in words.iter_mut().zip(numbers.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*octets);
    }
    Some(words)
}

/// Whether a zone of this name can have this record.
fn check(record: &Record, origin: NameRef<'_>) -> Result<(), ZoneError> {
    let Record {
        owner, kind, data, ..
    } = record;
    if !owner.as_ref().is_within(origin) {
        return Err(ZoneError::OutOfZone {
            owner: owner.clone(),
            origin: origin.to_name(),
        });
    }
    if kind.is_meta() {
        return Err(ZoneError::MetaType {
            owner: owner.clone(),
            kind: *kind,
        });
    }
    let is_name = || NameRef::from_wire(data).is_ok_and(|name| name.wire().len() == data.len());
    let is_well_formed = match *kind {
        RecordType::SOA => soa_numbers(data).is_some(),
        RecordType::NS | RecordType::CNAME | RecordType::DNAME | RecordType::PTR => is_name(),
        RecordType::A => data.len() == 4,
        RecordType::AAAA => data.len() == 16,
        _ => true,
    };
    if !is_well_formed || data.len() > DATA_LEN_MAX {
        return Err(ZoneError::MalformedData {
            owner: owner.clone(),
            kind: *kind,
        });
    }
    if *kind == RecordType::SOA && owner.as_ref() != origin {
        return Err(ZoneError::SoaBelow {
            owner: owner.clone(),
            origin: origin.to_name(),
        });
    }
    Ok(())
}
