//! Where leases are kept: the trait, a store in memory, and one in a file.

#[cfg(feature = "redb")]
mod ledger;
#[cfg(feature = "redb")]
mod medium;
mod memory;
#[cfg(feature = "redb")]
mod record;
#[cfg(feature = "redb")]
mod redb;

use core::fmt;
use core::net::Ipv4Addr;

use async_trait::async_trait;
use thiserror::Error;

use crate::{CommitError, LeaseRecord};

#[cfg(feature = "redb")]
pub use self::medium::Medium;
pub use self::memory::MemoryStore;
#[cfg(feature = "redb")]
pub use self::redb::{OpenStoreError, RedbStore};

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
