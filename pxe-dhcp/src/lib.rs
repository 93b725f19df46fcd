//! A DHCP server for network boot (RFC 2131), as a crate.
//!
//! It gives addresses, and tells each machine what to boot: by its architecture ([`ArchPolicy`]), by
//! rules on all that it says ([`RulePolicy`]), or by whatever a [`BootPolicy`] of yours decides; each
//! decision says which rules were tried, and why. It is made for careless firmware:
//! a malformed option, a wrong length or a UUID in place of a MAC costs no machine its boot, and
//! every reply is laid out as boot ROMs, EDK2, iPXE and relays need it.
//!
//! There are three layers, and each can be used alone:
//!
//! - [`wire`]: BOOTP and DHCP messages, read leniently and written strictly.
//! - [`Engine`]: the server as a plain struct, without socket, clock or disk. It can be simulated,
//!   and driven by any runtime.
//! - `Server` (feature `tokio`, on by default, Linux): one socket per interface, the clock, and a
//!   `LeaseStore`.
//!
//! # Example
//!
//! A server for one subnet, which boots syslinux by BIOS and UEFI:
//!
//! ```no_run
//! # #[cfg(all(feature = "tokio", target_os = "linux"))]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use pxe_dhcp::{ArchPolicy, BindSpec, Config, MemoryStore, Server, Subnet};
//!
//! let subnet = Subnet::new("192.168.150.0/24".parse()?)
//!     .with_pool([192, 168, 150, 100].into(), [192, 168, 150, 200].into())
//!     .with_routers(&[[192, 168, 150, 1].into()]);
//! let server = Server::bind(BindSpec::interface("br0"), Config::new().with_subnet(subnet))?
//!     .on_event(|event| println!("{event:?}"));
//! // Port 67 is bound: privileges can be dropped here.
//! let (store, policy) = (Arc::new(MemoryStore::new()), Arc::new(ArchPolicy::syslinux()));
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! runtime.block_on(server.run(store, policy, std::future::pending()))?;
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "tokio", target_os = "linux")))]
//! # fn main() {}
//! ```
//!
//! # Beside another DHCP server
//!
//! In [`Mode::Proxy`], another server goes on giving addresses, and nothing is changed there: this
//! one adds what to boot to that server's offers (proxyDHCP). In [`Mode::Binl`] it only answers at
//! port 4011. Neither needs subnets, leases or a store with anything in it.
//!
//! ```
//! use pxe_dhcp::{Config, Mode};
//!
//! let config = Config::new().with_mode(Mode::Proxy);
//! config.check()?;
//! # Ok::<(), pxe_dhcp::ConfigError>(())
//! ```
//!
//! - A BIOS ROM and iPXE boot what is in the proxy's OFFER. UEFI asks again at port 4011, so both
//!   ports are needed; firmware that boots by HTTP gets its URL in the OFFER.
//! - Operating systems, and clients that the policy boots nothing for, get no answer at all.
//! - Which address a client has is known from its REQUEST to the other server
//!   ([`Event::LeasedByOther`]) and from port 4011 ([`Event::BootServerAcknowledged`]).
//! - An answer of port 4011 goes to the address and port that it was asked from, if the request's
//!   `ciaddr` is that address or none, and each such address has a rate.
//!
//! # Boot menus
//!
//! A policy may answer with a [`BootMenu`], which BIOS ROMs, UEFI and BIOS iPXE show by themselves
//! (option 43); the item that was chosen is asked for at port 4011, in every mode. Other clients,
//! and those whose replies have no room for it, get the first item.
//!
//! # The run loop
//!
//! A driver of its own does this for ever (the example at [`Engine`] does it once):
//!
//! 1. Wait for a datagram, for the time of [`Engine::poll_timeout`], or for an answer of the
//!    store, and hand it to `handle_datagram` (port 67), `handle_binl_datagram` (port 4011),
//!    `handle_timeout` or `handle_committed`.
//! 2. Fetch from [`Engine::poll_output`] until it is empty: store the records (many in one go) and
//!    answer each by its [`Ticket`]; answer probes; look at the [`Event`]s.
//! 3. Fetch from [`Engine::poll_transmit`] until it is empty, and send.
//!
//! **An ACK leaves only after its lease is in the store** (RFC 2131 section 3.1, step 4), so no
//! acknowledged lease is lost with the power (`RedbStore`, feature `redb`). A store may refuse:
//! then it says what it has instead ([`CommitError::Conflict`]), the engine believes it, and the
//! client gets no ACK.
//!
//! # What clients can rely on
//!
//! - One address per MAC, from boot ROM to operating system, whether they send a client identifier
//!   or not; after a restart with an empty store too, where that address is still free. A client
//!   that renews is given its lease again there, as long as the address is of a pool or reserved.
//! - The same for reservations, by whichever of its keys a client is recognised (MAC, client
//!   identifier, UUID, port of a relay: [`ReservedFor`]). What a ROM said once, and an operating
//!   system does not say again, is kept with the lease.
//! - No address of another client's, though a clock was stepped: leases count on the monotonic
//!   clock, and one that looks over when it is loaded is doubted until a probe finds its address
//!   free. With [`Probing::Off`], or a driver that cannot probe, that is as good as the wall clock.
//! - Options from the decision of the policy, the reservation, the classes ([`Class`]), the subnet
//!   and the server; of each code the first that there is.
//! - Service while somebody invents MACs: new clients are bounded per port of a relay, link and
//!   block of MACs ([`Limits`]); those who are known, and reservations, are beyond these bounds.
//! - Boot information in OFFER and ACK, in the `file`, `sname` and `siaddr` fields and in options
//!   66 and 67 (which end with a NUL). No option 60 for PXE clients: with it, and without 43, EDK2
//!   takes an offer for a BINL one and waits for port 4011; with a boot menu, both. `HTTPClient`
//!   and a URL for firmware that boots by HTTP. PXELINUX's 208 to 211 whether asked for or not.
//! - Operating systems get the same address, `siaddr`, and no boot file.
//!
//! # What it does not do
//!
//! No MTFTP, no multicast discovery of boot servers, no Boot Integrity Services, no DHCPv6, no
//! updates of a DNS: it decides which names clients have there, and tells them ([`ClientNames`]). The driver is for Linux; without `CAP_NET_RAW` it neither probes addresses nor
//! sends to hardware addresses, but broadcasts instead, and says so. Without the feature `redb` the
//! only store here is in memory; a durable one implements `LeaseStore`.
#![deny(unsafe_code)]

mod arch;
mod arch_policy;
mod boot_file;
mod boot_menu;
mod class;
mod client_name;
mod commit_error;
mod condition;
mod config;
#[cfg(feature = "tokio")]
pub mod conformance;
mod destination;
mod dhcp_option;
mod engine;
mod event;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod lease;
mod lease_times;
mod limits;
mod net;
mod pattern;
mod policy;
mod raspberry_pi;
mod reservation;
mod rule_policy;
#[cfg(feature = "tokio")]
mod store;
mod subnet;
#[cfg(all(feature = "tokio", target_os = "linux"))]
mod tokio;
mod told;
pub mod wire;

pub use crate::arch::{ClientArch, ParseClientArchError};
pub use crate::arch_policy::ArchPolicy;
pub use crate::boot_file::PLACEHOLDERS;
pub use crate::boot_menu::{BootItem, BootMenu, BootMenuError};
pub use crate::class::Class;
pub use crate::client_name::{ClientName, ClientNames, NoClientName, host_label};
pub use crate::commit_error::CommitError;
pub use crate::condition::{Checked, Condition};
pub use crate::config::{Config, ConfigError, Mode, Probing};
pub use crate::destination::ReplyRoute;
pub use crate::dhcp_option::{DhcpOption, OptionValueError};
pub use crate::engine::{Counters, Engine, Output, ProbeResult, Ticket, WithdrawError};
pub use crate::event::{ClientInfo, Event, IgnoreReason, Limit, NakReason};
pub use crate::lease::{ClientKey, LeaseRecord, LeaseState};
pub use crate::lease_times::LeaseTimes;
pub use crate::limits::Limits;
pub use crate::net::{Ipv4Net, ParseIpv4NetError};
pub use crate::pattern::{MacPrefix, ParseMacPrefixError, ParsePatternError, Pattern};
pub use crate::policy::{
    Boot, BootDecision, BootPolicy, BootRequest, Explanation, NoBoot, ParseStageError, Stage, Tried,
};
pub use crate::raspberry_pi::RASPBERRY_PI_BLOCKS;
pub use crate::reservation::{Reservation, ReservedFor};
pub use crate::rule_policy::{Rule, RulePolicy};
#[cfg(feature = "tokio")]
pub use crate::store::{Commit, Cursor, LeaseStore, MemoryStore, StoreError};
#[cfg(feature = "redb")]
pub use crate::store::{Medium, OpenStoreError, RedbStore};
pub use crate::subnet::{Bootp, Subnet};
#[cfg(all(feature = "tokio", target_os = "linux"))]
pub use crate::tokio::{
    BindError, BindSpec, FoundServer, Handle, RunError, Server, find_dhcp_servers,
};

/// The README's example is compiled with the other documentation tests.
#[cfg(all(doctest, feature = "tokio", target_os = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;
