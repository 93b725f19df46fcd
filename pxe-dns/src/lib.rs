//! A DNS server for a boot network: zones, names of leases, and forwarding.
//!
//! It comes in two layers:
//!
//! - [`Service`] is the server without sockets, threads and clocks: it is given a message, and
//!   gives a response, or a name that others are to be asked for.
//! - `Server` (feature `tokio`, on by default, Linux) brings it UDP and TCP, and asks others by a
//!   `Forwarder`.
//!
//! # A server in a few lines
//!
#![cfg_attr(all(feature = "tokio", target_os = "linux"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "tokio", target_os = "linux")), doc = "```ignore")]
//! use std::time::Duration;
//! use pxe_dns::{Name, ServedZone, Server, Service, ZoneFile, ZoneFileLimits};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let origin: Name = "matrix.lan".parse()?;
//! let files = |path: &str, _: usize| std::fs::read(path).map_err(|error| error.to_string());
//! let file = ZoneFile::read(&origin, "db.matrix.lan", &files, &ZoneFileLimits::default());
//! let zone = ServedZone::new(file.zone.ok_or("see file.findings")?);
//! let service = Service::builder().zone(zone).build();
//!
//! let (udp, tcp) = (Server::bind_udp("[::]:53")?, Server::bind_tcp("[::]:53")?);
//! // Privileges can be dropped here.
//! let handle = Server::new(service).listen(udp).listen(tcp).start()?;
//! tokio::signal::ctrl_c().await?;
//! handle.shutdown(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # The run loop
//!
//! A driver of one's own gives [`Service::handle`] each message, with the time and who sent it:
//!
//! ```
//! use pxe_core::{Instant, Now, UnixTime};
//! use pxe_dns::{AccessList, Outcome, Peer, Rcode, Resolved, Service, Transport};
//!
//! let service = Service::builder().recursion(AccessList::parse(["192.0.2.0/24"])?).build();
//! let now = Now::new(Instant::EPOCH, UnixTime::from_seconds(0));
//! let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04boot\x07example\0\0\x01\0\x01";
//! for (client, rcode) in [("192.0.2.7:53053", 2), ("198.51.100.7:53053", 5)] {
//!     let mut reply = Vec::new();
//!     let peer = Peer::new(client.parse()?, Transport::Udp);
//!     match service.handle(now, &peer, query, &mut reply) {
//!         Outcome::Replied | Outcome::Ignored => {}
//!         Outcome::Forward(forwarding) => {
//!             assert_eq!(forwarding.name.to_string(), "boot.example.");
//!             // Others would be asked here; these have failed.
//!             let resolved = Resolved::new(Rcode::SERVFAIL, Vec::new());
//!             service.answer_forwarded(&forwarding, &resolved, &mut reply);
//!         }
//!         outcome => unreachable!("{outcome:?}"),
//!     }
//!     // What is in the buffer is sent.
//!     assert_eq!(reply[3] & 0xf, rcode);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does not do
//!
//! It signs and verifies nothing (DNSSEC's records are answered as others), takes no changes by
//! messages (UPDATE, NOTIFY), is no secondary server, sends no differences (IXFR), and asks servers
//! that resolve instead of resolving from the root.
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
#[cfg(all(feature = "tokio", target_os = "linux"))]
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
#[cfg(all(feature = "tokio", target_os = "linux"))]
pub use crate::tokio::{Bound, Server, ServerHandle};
pub use crate::zone::{Transfer, Zone, ZoneError};
pub use crate::zone_file::{Finding, Severity, ZoneFile, ZoneFileLimits, ZoneFiles};

/// The README's example is compiled and run with the other documentation tests.
#[cfg(all(doctest, feature = "tokio", target_os = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;
