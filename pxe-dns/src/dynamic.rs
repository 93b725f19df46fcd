//! Records that come and go while the server runs: names of leases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::zone::Zones;
use crate::{Limits, Name, Record, RecordType};

/// Records beside those of the zones, in the zones that are served. Cheap to clone; all clones are
/// one.
///
/// Each set of records has a key of the caller's: a lease, say. Setting it again replaces it. The
/// serial of a zone increases with each change in it (RFC 1982), and never goes back.
#[derive(Debug, Clone)]
pub struct DynamicRecords {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    keys: Mutex<Keys>,
    zones: RwLock<Zones>,
    keys_max: usize,
    records_max: usize,
}

/// Records as they were set.
#[derive(Debug, Default)]
struct Keys {
    records: BTreeMap<Box<[u8]>, Vec<Record>>,
    /// Which keys have records of a name.
    owners: BTreeMap<Name, BTreeSet<Box<[u8]>>>,
}

/// A record that is not answered now, and why.
///
/// It is kept: when the zones change, it is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBack {
    /// Of what the record is.
    pub owner: Name,
    /// What it is.
    pub kind: RecordType,
    /// Why it is not answered.
    pub reason: HoldReason,
}

/// Why a record is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HoldReason {
    /// No zone that is served has its name.
    #[error("no zone that is served has this name")]
    NoZone,
    /// The zone has records of this name and type of its own.
    #[error("the zone has records of this type for this name")]
    InZone,
    /// The zone says that the name is an alias (CNAME), which has no other records
    /// (RFC 1034 section 3.6.2).
    #[error("the zone says that this name is an alias")]
    Alias,
    /// The name is at or below a delegation to other servers.
    #[error("the zone leaves this name to other servers")]
    Delegated,
    /// The name is below a DNAME (RFC 6672 section 2.4).
    #[error("the zone says that this name is called otherwise (DNAME)")]
    Renamed,
    /// With it, the records of this name and type would not fit into a message. Those that came
    /// first, by the order of keys, are answered.
    #[error("the records of this name and type would not fit into a message")]
    TooLarge,
    /// A type that changes what other names mean (SOA, NS, CNAME, DNAME), or that no record has;
    /// or malformed data.
    #[error("such records belong into the zone itself")]
    NotForNames,
}

/// Records were not taken, and those before under this key stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DynamicError {
    /// There are as many keys as there may be: [`Limits::dynamic_keys_max`].
    #[error("there are records under {max} keys already")]
    TooManyKeys {
        /// The bound.
        max: usize,
    },
    /// More records than one key may have: [`Limits::dynamic_records_max`].
    #[error("more than {max} records for one key")]
    TooManyRecords {
        /// The bound.
        max: usize,
    },
}

impl DynamicRecords {
    /// None, beside the zones that are served.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            inner: Arc::new(Inner {
                keys: Mutex::default(),
                zones: RwLock::default(),
                keys_max: limits.dynamic_keys_max,
                records_max: limits.dynamic_records_max,
            }),
        }
    }

    /// Replaces the records of this key; no records remove it.
    ///
    /// Returns what is not answered for now, and why. Records of several keys for one name and
    /// type are answered together. When it returns, queries are answered with the change.
    ///
    /// # Errors
    /// Those of [`DynamicError`].
    pub fn set(&self, key: &[u8], records: Vec<Record>) -> Result<Vec<HeldBack>, DynamicError> {
        let Inner {
            keys_max,
            records_max,
            ..
        } = *self.inner;
        if records.len() > records_max {
            return Err(DynamicError::TooManyRecords { max: records_max });
        }
        // Held until the zones have the change, so that the last one here is the last one there.
        let keys = self.inner.keys.lock();
        let mut keys = keys.unwrap_or_else(PoisonError::into_inner);
        let is_new = !records.is_empty() && !keys.records.contains_key(key);
        if is_new && keys.records.len() >= keys_max {
            return Err(DynamicError::TooManyKeys { max: keys_max });
        }
        let changed = keys.set(key, records);
        let mut zones = self.zones_mut();
        zones.set_dynamic(changed);
        let records = keys.records.get(key).into_iter().flatten();
        let held = records.filter_map(|record| {
            let reason = zones.hold_reason(record)?;
            Some(HeldBack {
                owner: record.owner.clone(),
                kind: record.kind,
                reason,
            })
        });
        Ok(held.collect())
    }

    /// The zones, with these records in them.
    pub(crate) fn zones(&self) -> RwLockReadGuard<'_, Zones> {
        let zones = self.inner.zones.read();
        zones.unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to be changed.
    pub(crate) fn zones_mut(&self) -> RwLockWriteGuard<'_, Zones> {
        let zones = self.inner.zones.write();
        zones.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    /// Replaces the records of a key. Returns the names that this concerns, with all of theirs.
    fn set(&mut self, key: &[u8], records: Vec<Record>) -> Vec<(Name, Vec<Record>)> {
        let before = self.records.remove(key).unwrap_or_default();
        let owners = |records: &[Record]| -> BTreeSet<Name> {
            records.iter().map(|record| record.owner.clone()).collect()
        };
        let (gone, come) = (owners(&before), owners(&records));
        for owner in &gone {
            if let Some(keys) = self.owners.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.owners.remove(owner);
                }
            }
        }
        for owner in &come {
            let keys = self.owners.entry(owner.clone()).or_default();
            keys.insert(key.into());
        }
        if !records.is_empty() {
            self.records.insert(key.into(), records);
        }
        let concerned = gone.union(&come);
        concerned
            .map(|owner| (owner.clone(), self.of(owner)))
            .collect()
    }

    /// All records of a name.
    fn of(&self, owner: &Name) -> Vec<Record> {
        let keys = self.owners.get(owner).into_iter().flatten();
        let records = keys.filter_map(|key| self.records.get(key)).flatten();
        let of_owner = records.filter(|record| record.owner == *owner);
        of_owner.cloned().collect()
    }
}
