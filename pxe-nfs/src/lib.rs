//! An NFSv3 server for machines without a disk: portmap, MOUNT and NFS over any
//! [`pxe_tree::Tree`], with file handles that survive a restart of the server.
//!
//! - A [`Service`] is the server without sockets, threads and clocks: a message in, a reply out
//!   (RFC 5531, 1833, 1813).
//! - `Server` brings it calls by TCP and UDP, with bounds on all that a client can make it hold
//!   (with the feature `tokio`, which is on by default).
//! - An [`Export`] is a tree at a path, for clients in the words of exports(5) ([`ExportClient`]).
//!
//! # Serve a directory
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{sync::Arc, time::Duration};
//! use pxe_nfs::{Export, HandleKey, Programs, Server, Service};
//! use pxe_tree::DirTree;
//!
//! let secret = std::fs::read("/var/lib/boot/nfs-key")?; // 16 random bytes
//! let key = HandleKey::new(secret.as_slice().try_into()?);
//! let export = Export::new("/srv/tftp", Arc::new(DirTree::new("/srv/tftp")?))
//!     .to("192.168.150.0/24(ro,insecure,no_root_squash,no_subtree_check)".parse()?);
//! let service = Service::builder(key)
//!     .export(export)
//!     .on_event(|event| println!("{event:?}"))
//!     .build()?;
//!
//! let mut server = Server::new(service).listen(Server::bind_tcp("[::]:2049")?, Programs::Nfs);
//! for portmap in [Server::bind_tcp("[::]:111")?, Server::bind_udp("[::]:111")?] {
//!     server = server.listen(portmap, Programs::Portmap);
//! }
//! // Privileges can be dropped here.
//! tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//!     let handle = server.start()?;
//!     // ... until it is time to stop:
//!     handle.shutdown(Duration::from_secs(10)).await;
//!     Ok(())
//! })
//! # }
//! # #[cfg(not(feature = "tokio"))]
//! # fn main() {}
//! ```
//!
//! # Answer calls without a socket
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use pxe_nfs::{Export, HandleKey, Peer, Programs, Service, Transport};
//! use pxe_tree::MemTree;
//!
//! let export = Export::new("/pub", Arc::new(MemTree::new())).to("*(insecure)".parse()?);
//! let service = Service::builder(HandleKey::new([7; 16])).export(export).build()?;
//!
//! // xid, CALL, RPC 2, program NFS, version 4, procedure NULL, AUTH_NONE twice.
//! let call = [1, 0, 2, 100_003, 4, 0, 0, 0, 0, 0_u32].map(u32::to_be_bytes).concat();
//! let client = ([192, 168, 150, 7], 900).into();
//! let here = ([192, 168, 150, 1], 2049).into();
//! let peer = Peer::new(client, here, Transport::Tcp);
//! let reply = service.answer(&peer, Programs::Nfs, call.into()).await.expect("a call");
//!
//! // xid, REPLY, accepted, AUTH_NONE, PROG_MISMATCH: version 3 to 3.
//! let expected = [1, 1, 0, 0, 0, 2, 3, 3_u32].map(u32::to_be_bytes).concat();
//! assert_eq!(reply.head, expected);
//! # Ok(()) }
//! ```
//!
//! # What it promises
//!
//! - A handle is good for as long as its node is there and its export has the same path, the same
//!   root in its tree and the same [`HandleKey`]: over restarts, and on other servers whose trees name their nodes alike.
//!   None can be made up: they are signed.
//! - Address, port and admission are asked for each call, before anything is looked up; modes are
//!   checked against the user that is left after squashing.
//! - What was changed is on the medium before the reply leaves, but for unstable writes; calls that
//!   must not be done twice are not. Nothing is written unless an export is
//!   [`writable`](Export::writable) and says `rw`.
//! - What a client can make the server hold is bounded by [`Limits`]. A client's fault is an
//!   [`Event`], never an error of yours. Replies to datagrams are small where nothing proves that
//!   the sender is the one that it says to be.
//!
//! # What it does not do
//!
//! Locks (NLM refuses them at once; a mount with `nolock` has its own), ACLs, NFS versions 2 and 4,
//! Kerberos, TLS, rpcbind's versions 3 and 4, names of hosts in exports. The README says what
//! clients make of it.
#![forbid(unsafe_code)]

mod access;
mod admission;
mod credentials;
#[cfg(feature = "tokio")]
mod driver;
mod error;
mod event;
mod export;
mod export_client;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod limits;
mod lock;
mod mount;
mod network;
mod nfs;
#[cfg(test)]
mod oracle;
mod peer;
mod portmap;
#[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "the transport's"))]
mod record;
mod reply;
mod rpc;
mod service;
#[cfg(feature = "nfs3-server")]
mod tree_fs;
mod xdr;

pub use crate::admission::{Admission, AdmissionFuture};
pub use crate::credentials::{Credentials, Squash};
#[cfg(feature = "tokio")]
pub use crate::driver::{Bound, Handle, RegisterError, Registration, Server, register};
pub use crate::error::{BuildError, ParseClientError};
pub use crate::event::{Disconnected, Event, Failed, Limited, Mounted, Refusal, Refused};
pub use crate::export::Export;
pub use crate::export_client::{ExportClient, ExportOptions};
pub use crate::handle::HandleKey;
pub use crate::limits::Limits;
pub use crate::network::Network;
pub use crate::peer::{Peer, Transport};
pub use crate::portmap::Mapping;
pub use crate::reply::{Data, Reply};
pub use crate::service::{Programs, Service, ServiceBuilder};
#[cfg(feature = "nfs3-server")]
pub use crate::tree_fs::{NodeHandle, TreeFs};

/// The README's example is compiled and run with the other documentation tests.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
