//! A DHCP server for network boot.
#![forbid(unsafe_code)]

mod arch;
mod arch_policy;
mod commit_error;
mod config;
#[cfg(feature = "tokio")]
pub mod conformance;
mod destination;
mod engine;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod lease;
mod policy;
#[cfg(feature = "tokio")]
mod store;
#[cfg(all(feature = "tokio", target_os = "linux"))]
mod tokio;
pub mod wire;

pub use crate::arch::{ClientArch, ParseClientArchError};
pub use crate::arch_policy::ArchPolicy;
pub use crate::commit_error::CommitError;
pub use crate::config::{
    Config, ConfigError, DhcpOption, Ipv4Net, Limits, ParseIpv4NetError, Probing, Reservation,
    Subnet,
};
pub use crate::destination::ReplyRoute;
pub use crate::engine::{Counters, Engine, Output, ProbeResult, Ticket};
pub use crate::event::{ClientInfo, Event, IgnoreReason, Limit, NakReason};
pub use crate::lease::{ClientKey, LeaseRecord, LeaseState};
pub use crate::policy::{
    Boot, BootDecision, BootPolicy, BootRequest, Explanation, NoBoot, Stage, Tried,
};
#[cfg(feature = "tokio")]
pub use crate::store::{Commit, Cursor, LeaseStore, MemoryStore, StoreError};
#[cfg(all(feature = "tokio", target_os = "linux"))]
pub use crate::tokio::{BindError, BindSpec, Handle, RunError, Server};
