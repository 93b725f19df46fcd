//! The records in their database: opening, checking, reading, committing. It blocks.
//!
//! Records are kept by the number of their change and not by their address: a batch then adds to
//! the end of one tree, and touches a few of its pages, where a batch of scattered addresses would
//! rewrite a page for each. (Batches of 50 new leases: 0.33 ms instead of 1.8 ms, most of it
//! writing.) Renewals come in about the order of the leases before them, so the records that they
//! replace lie together as well. Which change an address had last is kept in memory, and found
//! again when the database is opened, as every record is read then anyhow.
//!
//! A commit is one transaction with one flush: redb writes pages and the root that names them, all
//! with checksums, and flushes once ("1-phase commit with checksums"). After a loss of power it
//! takes the newest root whose pages are all there, so a commit that was not finished is undone.
//! Its two-phase commit would flush twice, against an attacker who chooses what is written, in
//! which order it reaches the disk, and when the power fails. Its quick repair saves the walk
//! through the whole tree after a crash, for two flushes and more writes a commit; that walk is
//! done at each start here, as a check.

use core::fmt;
use core::net::Ipv4Addr;
use core::ops::Bound;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ::redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::medium::{Backend, Medium, Overlay, rewrite};
use super::{Commit, Cursor, record};
use crate::{CommitError, LeaseRecord};

const LEASES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("leases");
/// What the database keeps of the file in memory; the default is 1 GiB.
const CACHE_BYTES: usize = 32 << 20;

/// Why a store cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The medium fails.
    Unavailable(String),
    /// What is there is not what was written.
    Damaged(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(reason) | Self::Damaged(reason) => f.write_str(reason),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<::redb::Error> for Fault {
    fn from(error: ::redb::Error) -> Self {
        use ::redb::Error;
        match error {
            // A length or a magic number that make no sense come as these.
            Error::Io(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Damaged(error.to_string())
            }
            Error::Io(error) => Self::Unavailable(error.to_string()),
            Error::PreviousIo | Error::DatabaseClosed => Self::Unavailable(error.to_string()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// The place of an address's record.
#[derive(Debug, Clone, Copy)]
struct Place {
    change: u64,
    version: u64,
}

/// The records, open.
pub(super) struct Ledger {
    database: Database,
    places: BTreeMap<Ipv4Addr, Place>,
    last_change: u64,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("records", &self.places.len())
            .field("last_change", &self.last_change)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Checks all of it, and opens it. What is empty becomes a database without records.
    pub(super) fn open(medium: &Arc<dyn Medium>) -> Result<Self, Fault> {
        if !medium.is_empty()? {
            check(medium)?;
        }
        let database = open_database(Arc::clone(medium))?;
        let mut ledger = Self {
            database,
            places: BTreeMap::new(),
            last_change: 0,
        };
        ledger.find_places()?;
        Ok(ledger)
    }

    /// The same after a failure of the medium.
    pub(super) fn reopen(medium: &Arc<dyn Medium>) -> Result<Self, Fault> {
        let ledger = Self::open(medium)?;
        rewrite(&**medium)?;
        Ok(ledger)
    }

    /// Looks at what is there without a change to it.
    pub(super) fn open_as_it_is(medium: &Arc<dyn Medium>) -> Result<Self, Fault> {
        let overlay: Arc<dyn Medium> = Arc::new(Overlay::new(Arc::clone(medium))?);
        Self::open(&overlay)
    }

    /// Reads every record.
    fn find_places(&mut self) -> Result<(), Fault> {
        let transaction = self.database.begin_read().map_err(fault)?;
        let table = match transaction.open_table(LEASES) {
            Ok(table) => table,
            Err(::redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(fault(error)),
        };
        for entry in table.iter().map_err(fault)? {
            let (key, value) = entry.map_err(fault)?;
            let change = key.value();
            let LeaseRecord {
                address, version, ..
            } = decode(change, value.value())?;
            let place = Place { change, version };
            if self.places.insert(address, place).is_some() {
                return Err(Fault::Damaged(format!(
                    "there are two records of {address}"
                )));
            }
            self.last_change = change;
        }
        Ok(())
    }

    /// The records beyond an address, at most so many.
    pub(super) fn load(
        &self,
        after: Option<Ipv4Addr>,
        records_max: usize,
    ) -> Result<Vec<LeaseRecord>, Fault> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let places = self
            .places
            .range((from, Bound::Unbounded))
            .take(records_max);
        self.read(places.map(|(_, place)| place.change))
    }

    /// The records of changes beyond a point, at most so many; `None`: that point is not of this
    /// history.
    pub(super) fn changes_since(
        &self,
        cursor: Option<Cursor>,
        records_max: usize,
    ) -> Result<Option<(Vec<LeaseRecord>, Cursor)>, Fault> {
        let after = cursor.map_or(0, Cursor::number);
        if after > self.last_change {
            return Ok(None);
        }
        let transaction = self.database.begin_read().map_err(fault)?;
        let (mut records, mut last) = (Vec::new(), after);
        if self.last_change > 0 {
            let table = transaction.open_table(LEASES).map_err(fault)?;
            let changes = table
                .range::<u64>((Bound::Excluded(after), Bound::Unbounded))
                .map_err(fault)?;
            for entry in changes.take(records_max) {
                let (key, value) = entry.map_err(fault)?;
                last = key.value();
                records.push(decode(last, value.value())?);
            }
        }
        Ok(Some((records, Cursor::new(last))))
    }

    /// Puts a batch in: one transaction, one flush. Nothing of it is in if this fails, or all.
    pub(super) fn commit(
        &mut self,
        batch: &[Commit],
    ) -> Result<Vec<Result<(), CommitError>>, Fault> {
        let mut results = Vec::with_capacity(batch.len());
        // What the batch did so far, as a later item of the same address sees it.
        let mut staged: BTreeMap<Ipv4Addr, (Place, &LeaseRecord)> = BTreeMap::new();
        let mut bytes: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut replaced = Vec::new();
        let mut last_change = self.last_change;
        for Commit {
            lease,
            expected_version,
        } in batch
        {
            let before = staged.get(&lease.address).copied();
            let place = before.map(|(place, _)| place);
            let place = place.or_else(|| self.places.get(&lease.address).copied());
            if place.map(|place| place.version) != *expected_version {
                let current = match (before, place) {
                    (Some((_, record)), _) => Some(record.clone()),
                    (None, Some(place)) => self.read([place.change])?.pop(),
                    (None, None) => None,
                };
                let current = current.map(Box::new);
                results.push(Err(CommitError::Conflict { current }));
                continue;
            }
            let change = last_change + 1;
            match record::encode(change, lease) {
                Ok(encoded) => bytes.insert(change, encoded),
                Err(error) => {
                    results.push(Err(CommitError::Unavailable(error.to_string())));
                    continue;
                }
            };
            last_change = change;
            if let Some(place) = place
                && bytes.remove(&place.change).is_none()
            {
                replaced.push(place.change);
            }
            let version = lease.version;
            staged.insert(lease.address, (Place { change, version }, lease));
            results.push(Ok(()));
        }
        if !bytes.is_empty() {
            let transaction = self.database.begin_write().map_err(fault)?;
            let mut table = transaction.open_table(LEASES).map_err(fault)?;
            replaced.sort_unstable();
            for change in replaced {
                table.remove(change).map_err(fault)?;
            }
            for (change, encoded) in &bytes {
                table.insert(change, encoded.as_slice()).map_err(fault)?;
            }
            drop(table);
            transaction.commit().map_err(fault)?;
        }
        self.last_change = last_change;
        let staged = staged.into_iter();
        self.places
            .extend(staged.map(|(address, (place, _))| (address, place)));
        Ok(results)
    }

    fn read(&self, changes: impl IntoIterator<Item = u64>) -> Result<Vec<LeaseRecord>, Fault> {
        let mut changes = changes.into_iter().peekable();
        if changes.peek().is_none() {
            return Ok(Vec::new());
        }
        let transaction = self.database.begin_read().map_err(fault)?;
        let table = transaction.open_table(LEASES).map_err(fault)?;
        let mut records = Vec::new();
        for change in changes {
            let value = table.get(change).map_err(fault)?;
            let lost = || Fault::Damaged(format!("record {change} is lost"));
            records.push(decode(change, value.ok_or_else(lost)?.value())?);
        }
        Ok(records)
    }
}

/// Opens the database and verifies every page of it, with all writing of a repair kept in memory.
///
/// Two things are refused here that redb would go on from: pages that are not as they were written
/// (opening alone looks at none of their checksums, and 57 of 250 flipped bits gave wrong data),
/// and what `check_integrity` can mend by going back to the commit before, which would undo leases
/// that were acknowledged. As the file is not written, it is refused at each start until somebody
/// has looked at it. What a loss of power leaves behind is mended and passes.
fn check(medium: &Arc<dyn Medium>) -> Result<(), Fault> {
    let overlay = Overlay::new(Arc::clone(medium))?;
    let mut database = open_database(Arc::new(overlay))?;
    match database.check_integrity() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::Damaged(
            "pages are not as they were written".to_owned(),
        )),
        Err(error) => Err(fault(error)),
    }
}

fn open_database(medium: Arc<dyn Medium>) -> Result<Database, Fault> {
    Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(Backend(medium))
        .map_err(fault)
}

fn decode(change: u64, bytes: &[u8]) -> Result<LeaseRecord, Fault> {
    record::decode(change, bytes)
        .map_err(|error| Fault::Damaged(format!("record {change} cannot be used: {error}")))
}

fn fault(error: impl Into<::redb::Error>) -> Fault {
    Fault::from(error.into())
}
