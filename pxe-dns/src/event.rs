//! What happened, for the operator.

use crate::{Name, Peer, Rcode, RecordType};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A query was answered.
    Answered(Answered),
    /// A bound was reached.
    Limited(Limited),
    /// The system gives no connection: the address, and why.
    AcceptFailed(String),
}

/// A bound that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limited {
    /// By whom; `None` if by all together.
    pub peer: Option<Peer>,
    /// The field of [`Limits`](crate::Limits).
    pub limit: &'static str,
}

/// A query and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answered {
    /// Who asked.
    pub peer: Peer,
    /// For which name.
    pub name: Name,
    /// For which type.
    pub kind: RecordType,
    /// What was answered.
    pub rcode: Rcode,
}
