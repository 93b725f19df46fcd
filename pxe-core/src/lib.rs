//! Values that the datagram engines of network boot share: instants, MAC addresses, and what is
//! known about a datagram that came in or is to go out.
//!
//! There is no engine trait here, and no input or output. An engine (`pxe-tftp`, `pxe-dhcp`) is a
//! plain struct: `handle_*` takes input, `poll_*` gives output, and [`Now`] is always an argument.
//! A driver owns the sockets and the clock, and translates between them and these values.
//!
//! # Example
//!
//! A driver received a datagram on its socket number 0 and tells an engine about it:
//!
//! ```
//! use core::{net::{IpAddr, Ipv4Addr, SocketAddr}, time::Duration};
//! use pxe_core::{IfIndex, Instant, Now, RecvMeta, SocketId, UnixTime};
//!
//! let now = Now::new(Instant::EPOCH + Duration::from_millis(15), UnixTime::from_seconds(1_795_000_000));
//! let remote = SocketAddr::from(([192, 168, 150, 30], 49153));
//! let meta = RecvMeta::new(SocketId(0), remote)
//!     .with_local_ip(IpAddr::V4(Ipv4Addr::new(192, 168, 150, 1)))
//!     .with_interface(IfIndex::new(3).expect("interface indices start at 1"));
//! assert_eq!(now.mono.saturating_duration_since(Instant::EPOCH).as_millis(), 15);
//! assert_eq!(meta.remote.port(), 49153);
//! ```
//!
//! # What it does not do
//!
//! It reads no clock and draws no random numbers: both are the driver's, so that a whole network
//! can be simulated in virtual time.
#![no_std]
#![forbid(unsafe_code)]

mod datagram;
mod mac;
mod network;
mod time;

pub use crate::datagram::{
    BatchLimit, Destination, IfIndex, RecvMeta, SendFailure, SocketId, Transmit,
};
pub use crate::mac::{MacAddr, ParseMacAddrError};
pub use crate::network::{Network, ParseNetworkError};
pub use crate::time::{Instant, Now, UnixTime};

/// The README's example is compiled and run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
