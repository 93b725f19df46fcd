//! What happened, for the operator.

use std::time::Duration;

use crate::{Name, Peer, Rcode, RecordType};

/// What happened.
///
/// Who makes nothing of them gives [`ServiceBuilder::on_event`](crate::ServiceBuilder::on_event)
/// nothing, and they are not even made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A query was answered from our zones, or from those that each server has of its own.
    Answered(Answered),
    /// A query was answered with what others said.
    Forwarded(Answered),
    /// Others could not be asked, or did not answer: the client was sent SERVFAIL.
    ForwardFailed(ForwardFailed),
    /// A query was refused.
    Refused(Refused),
    /// What came is no query. It was answered if it has at least a header.
    Malformed(Peer),
    /// Responses by UDP were over the [rate](crate::Limits::responses_per_second).
    RateLimited(RateLimited),
    /// A zone was sent (AXFR, IXFR), as far as the client took it.
    Transferred(Transferred),
    /// A bound was reached. Of bounds on queries for others, and on the number of connections, one
    /// is told of in a second at most.
    Limited(Limited),
    /// A connection ended.
    TcpClosed(TcpClosed),
    /// The system gives no connection: the address, and why.
    AcceptFailed(String),
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
    /// Whether the client was told to come by TCP, as not all fits into what it takes.
    pub is_truncated: bool,
}

/// A query that others were to be asked, in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForwardFailed {
    /// Who asked.
    pub peer: Peer,
    /// For which name others were asked.
    pub name: Name,
    /// For which type.
    pub kind: RecordType,
    /// Why nobody answered.
    pub why: String,
}

/// A query that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// Who asked.
    pub peer: Peer,
    /// For which name.
    pub name: Name,
    /// For which type.
    pub kind: RecordType,
    /// Why.
    pub why: Refusal,
}

/// Why a query is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The name is in no zone, and others are not asked for this client, or it does not wish it.
    NotHere,
    /// The client may not ask for the zone.
    Query,
    /// The client may not have the zone, there is none of this name, or it asked by UDP.
    Transfer,
    /// Only the Internet's class is served: no server here tells its version (class CH).
    Class,
    /// Zones are not changed by messages (UPDATE, NOTIFY).
    Change,
}

/// Responses that did not leave as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimited {
    /// To whom the last of them would have gone; `None` if it is told after a while of quiet.
    pub peer: Option<Peer>,
    /// So many left not at all, since this was told last: at most once a second.
    pub dropped: u64,
    /// So many left empty, so that the client comes by TCP.
    pub truncated: u64,
}

/// A zone that a client fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// The client.
    pub peer: Peer,
    /// The zone.
    pub origin: Name,
    /// The version.
    pub serial: u32,
    /// Whether the client took all.
    pub is_complete: bool,
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

/// A connection that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpClosed {
    /// Whose it was.
    pub peer: Peer,
    /// Queries that came.
    pub queries: u64,
    /// Octets that were sent.
    pub bytes_sent: u64,
    /// For how long it was open.
    pub open: Duration,
}
