//! A store in memory.

use core::net::Ipv4Addr;
use core::ops::Bound;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{Commit, Cursor, LeaseStore, StoreError};
use crate::{CommitError, LeaseRecord};

/// A store that forgets everything when the process ends: for tests, and for servers whose leases
/// are short.
#[derive(Debug, Default)]
pub struct MemoryStore {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    records: BTreeMap<Ipv4Addr, (LeaseRecord, u64)>,
    by_change: BTreeMap<u64, Ipv4Addr>,
    changes: u64,
}

impl MemoryStore {
    /// A store without records.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Content) -> T) -> T {
        // A panic elsewhere leaves nothing half done: each change below is complete in itself.
        work(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Content {
    fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
        let Commit {
            lease,
            expected_version,
        } = commit;
        let current = self.records.get(&lease.address);
        if current.map(|(record, _)| record.version) != expected_version {
            let current = current.map(|(record, _)| Box::new(record.clone()));
            return Err(CommitError::Conflict { current });
        }
        self.changes += 1;
        let address = lease.address;
        if let Some((_, before)) = self.records.insert(address, (lease, self.changes)) {
            self.by_change.remove(&before);
        }
        self.by_change.insert(self.changes, address);
        Ok(())
    }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn load(
        &self,
        after: Option<Ipv4Addr>,
        records_max: usize,
    ) -> Result<Vec<LeaseRecord>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self.with(|content| {
            let records = content.records.range((from, Bound::Unbounded));
            records
                .take(records_max)
                .map(|(_, (record, _))| record.clone())
                .collect()
        }))
    }

    async fn commit(&self, batch: Vec<Commit>) -> Vec<Result<(), CommitError>> {
        self.with(|content| {
            batch
                .into_iter()
                .map(|commit| content.commit(commit))
                .collect()
        })
    }

    async fn changes_since(
        &self,
        cursor: Option<Cursor>,
        records_max: usize,
    ) -> Result<(Vec<LeaseRecord>, Cursor), StoreError> {
        let after = cursor.map_or(0, Cursor::number);
        Ok(self.with(|content| {
            let changed = content
                .by_change
                .range((Bound::Excluded(after), Bound::Unbounded));
            let (mut records, mut last) = (Vec::new(), after);
            for (change, address) in changed.take(records_max) {
                last = *change;
                records.extend(
                    content
                        .records
                        .get(address)
                        .map(|(record, _)| record.clone()),
                );
            }
            (records, Cursor::new(last))
        }))
    }
}
