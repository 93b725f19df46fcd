//! Records that come and go while the server runs: names of leases.

use std::sync::Arc;

use crate::Record;

/// Records beside those of the zones, in the zones that are served. Cheap to clone; all clones are
/// one.
///
/// Each set of records has a key of the caller's: a lease, say. Setting it again replaces it. The
/// serial of a zone increases with each change in it (RFC 1982), and never goes back.
#[derive(Debug, Clone, Default)]
pub struct DynamicRecords {
    _inner: Arc<()>,
}

impl DynamicRecords {
    /// Replaces the records of this key; no records remove it. Those that are in no zone wait for
    /// one.
    pub fn set(&self, _key: &[u8], _records: Vec<Record>) {}
}
