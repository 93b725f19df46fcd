//! Asking others for what is in no zone of ours.

mod memory;

use std::fmt;

use async_trait::async_trait;

use crate::wire::Query;
use crate::{Forwarding, Name, Rcode, RecordType, Resolved};

pub use memory::MemForwarder;

/// Asks others.
///
/// A driver calls it for each [`Outcome::Forward`](crate::Outcome::Forward) and gives what comes
/// back to [`Service::answer_forwarded`](crate::Service::answer_forwarded).
#[async_trait]
pub trait Forwarder: fmt::Debug + Send + Sync + 'static {
    /// What others say of this name and type. It ends in bounded time, and may be dropped at any
    /// moment.
    ///
    /// # Errors
    /// [`ForwardError`], for which the client is sent [`ForwardError::rcode`].
    async fn resolve(&self, question: Question<'_>) -> Result<Resolved, ForwardError>;
}

/// What others are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question<'a> {
    /// The name. It is absolute: nothing is ever appended to it.
    pub name: &'a Name,
    /// The type.
    pub kind: RecordType,
    /// Whether DNSSEC's records are welcome (DO, RFC 3225).
    pub dnssec_ok: bool,
}

impl<'a> Question<'a> {
    /// A question without wish for DNSSEC's records.
    pub const fn new(name: &'a Name, kind: RecordType) -> Self {
        Self {
            name,
            kind,
            dnssec_ok: false,
        }
    }

    /// The same, with or without wish for DNSSEC's records.
    #[must_use]
    pub const fn dnssec_ok(mut self, dnssec_ok: bool) -> Self {
        self.dnssec_ok = dnssec_ok;
        self
    }
}

impl<'a> From<&'a Forwarding> for Question<'a> {
    fn from(forwarding: &'a Forwarding) -> Self {
        let edns = Query::parse(&forwarding.message).ok();
        let edns = edns.and_then(|query| query.edns);
        Self::new(&forwarding.name, forwarding.kind)
            .dnssec_ok(edns.is_some_and(|edns| edns.dnssec_ok))
    }
}

/// Why nobody answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// There is nobody to be asked.
    #[error("no server is known that could be asked")]
    NoServer,
    /// Nobody answered in time.
    #[error("no server answered in time")]
    Timeout,
    /// Too many questions wait for their answers.
    #[error("too many questions wait for their answers")]
    Busy,
    /// Every server failed or refused; this is what the last one did.
    #[error("no server has an answer: {0}")]
    Failed(String),
}

impl ForwardError {
    /// What the client is told.
    pub const fn rcode(&self) -> Rcode {
        Rcode::SERVFAIL
    }
}
