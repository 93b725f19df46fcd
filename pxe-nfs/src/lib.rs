//! NFS version 3 for machines without a disk: portmap, MOUNT and NFS over any [`pxe_tree::Tree`].
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
