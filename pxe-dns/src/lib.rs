//! A DNS server for a boot network: zones, names of leases, and forwarding.
#![forbid(unsafe_code)]

mod access;
mod dynamic;
mod event;
#[cfg(feature = "tokio")]
mod forward;
mod forwarding;
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod local_zones;
mod name;
mod peer;
mod rate_limit;
mod record;
mod service;
#[cfg(feature = "tokio")]
mod tokio;
pub mod wire;
mod zone;
mod zone_file;

pub use crate::access::{AccessList, ParseAccessError};
pub use crate::dynamic::{DynamicError, DynamicRecords, HeldBack, HoldReason};
pub use crate::event::{
    Answered, Event, ForwardFailed, Limited, RateLimited, Refusal, Refused, TcpClosed, Transferred,
};
#[cfg(feature = "resolver")]
pub use crate::forward::{
    ForwardConfigError, ForwardCounters, ForwardLimits, HickoryForwarder, HickoryForwarderBuilder,
    ParseUpstreamError, Upstream,
};
#[cfg(feature = "tokio")]
pub use crate::forward::{ForwardError, Forwarder, MemForwarder, Question};
pub use crate::forwarding::{Forwarding, Resolved};
pub use crate::limits::Limits;
pub use crate::local_zones::LocalZones;
pub use crate::name::{LABEL_LEN_MAX, Labels, NAME_LEN_MAX, Name, NameError, NameRef};
pub use crate::peer::{Peer, Transport};
pub use crate::record::{Class, ParseRecordTypeError, Rcode, Record, RecordType};
pub use crate::service::{Outcome, ServedZone, Service, ServiceBuilder};
#[cfg(feature = "tokio")]
pub use crate::tokio::{Bound, Server, ServerHandle};
pub use crate::zone::{Transfer, Zone, ZoneError};
pub use crate::zone_file::{Finding, Severity, ZoneFile, ZoneFileLimits, ZoneFiles};

/// The README's example is compiled and run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
