//! Why a store did not take a record.

use thiserror::Error;

use crate::LeaseRecord;

/// A store did not take a record. The client gets no ACK.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The store has another version of the record than expected: another server changed it, or
    /// an earlier answer was lost. The engine adopts what the store has. If that is nothing, and
    /// the client holds the address, the engine asks once more, with a first record.
    #[error("record was changed by another server")]
    Conflict {
        /// What the store has; `None`: nothing.
        current: Option<Box<LeaseRecord>>,
    },
    /// The store cannot be reached, or its medium fails. Whether the record was written is not
    /// known.
    #[error("lease store is unavailable: {0}")]
    Unavailable(String),
}
