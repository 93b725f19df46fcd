//! Asking others for what is in no zone of ours.

#[cfg(feature = "resolver")]
mod answer;
#[cfg(feature = "resolver")]
mod cache;
#[cfg(feature = "resolver")]
mod counters;
#[cfg(feature = "resolver")]
mod hickory;
#[cfg(feature = "resolver")]
mod limits;
mod memory;
#[cfg(feature = "resolver")]
mod resolv_conf;
#[cfg(feature = "resolver")]
mod server;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "resolver")]
mod upstream;

use std::fmt;

use async_trait::async_trait;

use crate::wire::Query;
use crate::{Forwarding, Name, Rcode, RecordType, Resolved};

#[cfg(feature = "resolver")]
pub use counters::ForwardCounters;
#[cfg(feature = "resolver")]
pub use hickory::{ForwardConfigError, HickoryForwarder, HickoryForwarderBuilder};
#[cfg(feature = "resolver")]
pub use limits::ForwardLimits;
pub use memory::MemForwarder;
#[cfg(feature = "resolver")]
pub use upstream::{ParseUpstreamError, Upstream};

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
    /// Whether the client validates itself (CD, RFC 4035 section 3.2.2).
    pub checking_disabled: bool,
}

impl<'a> Question<'a> {
    /// A question of a client that knows nothing of DNSSEC.
    pub const fn new(name: &'a Name, kind: RecordType) -> Self {
        Self {
            name,
            kind,
            dnssec_ok: false,
            checking_disabled: false,
        }
    }

    /// The same, with or without wish for DNSSEC's records.
    #[must_use]
    pub const fn dnssec_ok(mut self, dnssec_ok: bool) -> Self {
        self.dnssec_ok = dnssec_ok;
        self
    }

    /// The same for a client that validates itself, or does not.
    #[must_use]
    pub const fn checking_disabled(mut self, checking_disabled: bool) -> Self {
        self.checking_disabled = checking_disabled;
        self
    }
}

impl<'a> From<&'a Forwarding> for Question<'a> {
    fn from(forwarding: &'a Forwarding) -> Self {
        let query = Query::parse(&forwarding.message).ok();
        let edns = query.and_then(|query| query.edns);
        Self::new(&forwarding.name, forwarding.kind)
            .dnssec_ok(edns.is_some_and(|edns| edns.dnssec_ok))
            .checking_disabled(query.is_some_and(|query| query.cd))
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
