//! A lease store whose records have names.

use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use pxe_dhcp::{Commit, CommitError, Cursor, LeaseRecord, LeaseStore, StoreError};

use super::{How, Names};

/// Shows all records that pass to [`Names`].
#[derive(Debug)]
pub(crate) struct NamingStore {
    store: Arc<dyn LeaseStore>,
    names: Arc<Names>,
}

impl NamingStore {
    /// The store itself if there are no names.
    pub(crate) fn over(
        store: Arc<dyn LeaseStore>,
        names: Option<Arc<Names>>,
    ) -> Arc<dyn LeaseStore> {
        match names {
            Some(names) => Arc::new(Self { store, names }),
            None => store,
        }
    }
}

#[async_trait]
impl LeaseStore for NamingStore {
    async fn load(
        &self,
        after: Option<Ipv4Addr>,
        records_max: usize,
    ) -> Result<Vec<LeaseRecord>, StoreError> {
        let page = self.store.load(after, records_max).await?;
        self.names.take(&page, How::Loaded);
        Ok(page)
    }

    async fn commit(&self, batch: Vec<Commit>) -> Vec<Result<(), CommitError>> {
        let records: Vec<LeaseRecord> = batch.iter().map(|commit| commit.lease.clone()).collect();
        let results = self.store.commit(batch).await;
        // What the engine will believe.
        let stored = records.iter().zip(&results);
        let believed = stored.filter_map(|(record, result)| match result {
            Ok(()) => Some(record),
            Err(CommitError::Conflict { current }) => current.as_deref(),
            Err(_) => None,
        });
        self.names.take(believed, How::Stored);
        for (record, result) in records.iter().zip(&results) {
            if matches!(result, Err(CommitError::Conflict { current: None })) {
                self.names.forget(record.address);
            }
        }
        results
    }

    async fn changes_since(
        &self,
        cursor: Option<Cursor>,
        records_max: usize,
    ) -> Result<(Vec<LeaseRecord>, Cursor), StoreError> {
        let (records, cursor) = self.store.changes_since(cursor, records_max).await?;
        self.names.take(&records, How::Heard);
        Ok((records, cursor))
    }
}
