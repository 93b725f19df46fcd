//! Where leases are kept: the trait, a store in memory, and what every store has to pass.

use core::fmt;
use core::net::Ipv4Addr;
use core::ops::Bound;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use thiserror::Error;

use crate::{CommitError, LeaseRecord};

/// Keeps the records of leases, one per address, and lets none be lost once it was committed.
///
/// One server may have a store for itself, or several may share one: a record is only replaced if
/// its version is the one that the server knew.
#[async_trait]
pub trait LeaseStore: fmt::Debug + Send + Sync + 'static {
    /// The records with an address beyond `after`, in the order of their addresses, at most
    /// `records_max` of them. An empty page is the end.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or holds something damaged.
    async fn load(
        &self,
        after: Option<Ipv4Addr>,
        records_max: usize,
    ) -> Result<Vec<LeaseRecord>, StoreError>;

    /// Puts records in, and answers each in the same order. When it returns, what succeeded
    /// survives a loss of power, as far as the store promises that at all.
    ///
    /// Each is decided for itself: a conflict of one does not stop the others.
    async fn commit(&self, batch: Vec<Commit>) -> Vec<Result<(), CommitError>>;

    /// The records that changed since a point that an earlier call gave (`None`: since ever), in
    /// the order of their changes, at most `records_max` of them, and the next point. A record
    /// that changed twice may come once or twice. An empty page is the end for now.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or has forgotten that point: then everything has to be loaded
    /// again.
    async fn changes_since(
        &self,
        cursor: Option<Cursor>,
        records_max: usize,
    ) -> Result<(Vec<LeaseRecord>, Cursor), StoreError>;
}

/// A record to put into a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The record.
    pub lease: LeaseRecord,
    /// The version that the store must have of this address; `None`: it must have none.
    pub expected_version: Option<u64>,
}

impl Commit {
    /// A record that replaces this version.
    pub const fn new(lease: LeaseRecord, expected_version: Option<u64>) -> Self {
        Self {
            lease,
            expected_version,
        }
    }
}

/// A point in the history of a store; its meaning is the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u64);

impl Cursor {
    /// The point with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A store cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or its medium fails.
    #[error("lease store is unavailable: {0}")]
    Unavailable(String),
    /// It holds something that is no record.
    #[error("lease store is damaged: {0}")]
    Damaged(String),
    /// It does not know the point in its history any more.
    #[error("lease store has forgotten the point {} of its history", .0.number())]
    Forgotten(Cursor),
}

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
