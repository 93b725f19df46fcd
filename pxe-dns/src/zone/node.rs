//! The records of one name.

use bytes::Bytes;

use crate::{Name, NameRef, Record, RecordType};

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
    data: Box<[u8]>,
}

impl Node {
    /// A node of records that all have this owner.
    pub(super) fn new(owner: Name, records: impl IntoIterator<Item = Record>) -> Self {
        let mut sets: Vec<(RecordType, u32, Vec<Bytes>)> = Vec::new();
        for record in records {
            let of_kind = sets.iter_mut().find(|(kind, ..)| *kind == record.kind);
            match of_kind {
                // RFC 2181 section 5: a record that is there twice is one.
                Some((kind, _, data)) => {
                    if !data.iter().any(|known| is_same(*kind, known, &record.data)) {
                        data.push(record.data);
                    }
                }
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
    fn new(kind: RecordType, ttl_seconds: u32, data: &[Bytes]) -> Self {
        let mut packed = Vec::with_capacity(data.iter().map(|data| 2 + data.len()).sum());
        for data in data {
            packed.extend_from_slice(&(data.len() as u16).to_be_bytes());
            packed.extend_from_slice(data);
        }
        Self {
            kind,
            ttl_seconds,
            data: packed.into(),
        }
    }

    /// Data of its records, in the order in which they were given.
    pub(super) fn data(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut rest = &self.data[..];
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first_chunk::<2>()?;
            let (data, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            rest = after;
            Some(data)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.data().count()
    }

    /// The name with which the data of the first record begin.
    pub(super) fn target(&self) -> Option<NameRef<'_>> {
        NameRef::from_wire(self.data().next()?).ok()
    }
}

/// Whether two records are the same: names in them are compared without regard to case
/// (RFC 4034 section 6.2).
fn is_same(kind: RecordType, a: &[u8], b: &[u8]) -> bool {
    match kind {
        RecordType::NS
        | RecordType::CNAME
        | RecordType::PTR
        | RecordType::DNAME
        | RecordType::MX
        | RecordType::SRV
        | RecordType::SOA => a.eq_ignore_ascii_case(b),
        _ => a == b,
    }
}
