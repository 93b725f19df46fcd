//! The records of one name.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::octets::Octets;
use crate::{Name, NameRef, Record, RecordType};

/// Octets of data, with their lengths, that a set has without memory of its own: the name
/// `host-192-168-150-7.lan`, say.
const SHORT_LEN_MAX: usize = 30;

/// All records of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// The name, in the case of its first record.
    pub(super) owner: Name,
    sets: Box<[RrSet]>,
}

/// All records of a name and type (RFC 2181 section 5): none twice, and all with one TTL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RrSet {
    pub(super) kind: RecordType,
    pub(super) ttl_seconds: u32,
    /// Data of each record, after its length (two octets).
    data: Octets<SHORT_LEN_MAX>,
}

impl Node {
    /// A node of records that all have this owner.
    pub(super) fn new(owner: Name, records: impl IntoIterator<Item = Record>) -> Self {
        let mut sets: Vec<(RecordType, u32, Vec<Bytes>)> = Vec::new();
        // Found without going through all that there are: a name may have very many.
        let mut places: BTreeMap<RecordType, usize> = BTreeMap::new();
        let mut known: BTreeSet<(RecordType, Bytes)> = BTreeSet::new();
        for record in records {
            let place = *places.entry(record.kind).or_insert(sets.len());
            // RFC 2181 section 5: a record that is there twice is one.
            let is_new = known.insert((record.kind, essence(record.kind, &record.data)));
            match sets.get_mut(place) {
                Some((_, _, data)) if is_new => data.push(record.data),
                Some(_) => {}
                None => sets.push((record.kind, record.ttl_seconds, vec![record.data])),
            }
        }
        let sets = sets
            .into_iter()
            .map(|(kind, ttl, data)| RrSet::new(kind, ttl, &data));
        Self {
            owner,
            sets: sets.collect(),
        }
    }

    /// The same with more records, of types that it does not have. Their sets get the smallest
    /// of their TTLs, as they come from several who know nothing of each other.
    pub(super) fn with<'r>(&self, records: impl IntoIterator<Item = &'r Record>) -> Self {
        let mut records: Vec<Record> = records.into_iter().cloned().collect();
        let ttls: BTreeMap<RecordType, u32> =
            records.iter().fold(BTreeMap::new(), |mut ttls, record| {
                let ttl: &mut u32 = ttls.entry(record.kind).or_insert(record.ttl_seconds);
                *ttl = record.ttl_seconds.min(*ttl);
                ttls
            });
        for record in &mut records {
            record.ttl_seconds = ttls.get(&record.kind).copied().unwrap_or_default();
        }
        let more = Self::new(self.owner.clone(), records);
        Self {
            owner: self.owner.clone(),
            sets: [&self.sets[..], &more.sets[..]].concat().into(),
        }
    }

    /// The same with another set in the place of that of its type.
    pub(super) fn with_set(&self, set: RrSet) -> Self {
        let mut node = self.clone();
        if let Some(place) = node.sets.iter_mut().find(|other| other.kind == set.kind) {
            *place = set;
        }
        node
    }

    pub(super) fn sets(&self) -> &[RrSet] {
        &self.sets
    }

    pub(super) fn set(&self, kind: RecordType) -> Option<&RrSet> {
        self.sets.iter().find(|set| set.kind == kind)
    }

    pub(super) fn has(&self, kind: RecordType) -> bool {
        self.set(kind).is_some()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.sets.iter().flat_map(|set| {
            set.data().map(|data| {
                let data = Bytes::copy_from_slice(data);
                Record::new(self.owner.clone(), set.kind, set.ttl_seconds, data)
            })
        })
    }
}

impl RrSet {
    pub(super) fn new<D: AsRef<[u8]>>(kind: RecordType, ttl_seconds: u32, data: &[D]) -> Self {
        let len = |data: &D| Self::packed_len(data.as_ref().len());
        let mut packed = Vec::with_capacity(data.iter().map(len).sum());
        for data in data.iter().map(AsRef::as_ref) {
            packed.extend_from_slice(&(data.len() as u16).to_be_bytes());
            packed.extend_from_slice(data);
        }
        Self {
            kind,
            ttl_seconds,
            data: Octets::new(&packed),
        }
    }

    /// Data of its records, in the order in which they were given.
    pub(super) fn data(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.data_from(0)
    }

    /// The same from a place on, to which each record adds its [`packed_len`](Self::packed_len).
    pub(super) fn data_from(&self, at: usize) -> impl Iterator<Item = &[u8]> + Clone {
        let mut rest = self.data.as_slice().get(at..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first_chunk::<2>()?;
            let (data, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            rest = after;
            Some(data)
        })
    }

    /// Octets that a record of so much data takes here.
    pub(super) const fn packed_len(data_len: usize) -> usize {
        2 + data_len
    }

    pub(super) fn len(&self) -> usize {
        self.data().count()
    }

    /// The name with which the data of the first record begin.
    pub(super) fn target(&self) -> Option<NameRef<'_>> {
        NameRef::from_wire(self.data().next()?).ok()
    }
}

/// What is equal in records that are the same: a name is compared without regard to case
/// (RFC 4034 section 6.2), the numbers before it are not letters.
fn essence(kind: RecordType, data: &Bytes) -> Bytes {
    let numbers_len = match kind {
        RecordType::NS | RecordType::CNAME | RecordType::PTR | RecordType::DNAME => 0,
        RecordType::MX => 2,
        RecordType::SRV => 6,
        _ => return data.clone(),
    };
    match data.split_at_checked(numbers_len) {
        Some((numbers, name)) => [numbers, &name.to_ascii_lowercase()].concat().into(),
        None => data.clone(),
    }
}
