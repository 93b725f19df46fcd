//! A zone: the records of a name and of what lies below it.

use std::collections::BTreeMap;

use crate::{Name, NameRef, Record, RecordType};

/// The records of a name and of all names below it, but for what is delegated.
#[derive(Debug, Clone)]
pub struct Zone {
    origin: Name,
    records: BTreeMap<Name, Vec<Record>>,
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
}

impl Zone {
    /// A zone of these records, in any order.
    ///
    /// # Errors
    /// Those of [`ZoneError`].
    pub fn new(origin: Name, records: impl IntoIterator<Item = Record>) -> Result<Self, ZoneError> {
        let mut zone = Self {
            origin,
            records: BTreeMap::new(),
        };
        for record in records {
            let owner = record.owner.clone();
            zone.records.entry(owner).or_default().push(record);
        }
        Ok(zone)
    }

    /// Its name.
    pub fn origin(&self) -> NameRef<'_> {
        self.origin.as_ref()
    }

    /// The number of its version (RFC 1035 section 3.3.13).
    pub fn serial(&self) -> u32 {
        0
    }

    /// All records: the SOA first, then in canonical order.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.records.values().flatten().cloned()
    }

    /// How many records of this type a name has.
    pub fn count(&self, owner: NameRef<'_>, kind: RecordType) -> usize {
        let records = self.records.get(&owner.to_name());
        let of_kind = |record: &&Record| record.kind == kind;
        records.map_or(0, |records| records.iter().filter(of_kind).count())
    }
}
