//! The drivers around [`plan`](crate::plan()): sockets and clocks.

#[cfg(feature = "tokio")]
mod admission;
mod answer;
#[cfg(feature = "hyper")]
mod body;
mod directory;
#[cfg(feature = "tokio")]
mod hyper_connection;
#[cfg(feature = "tokio")]
mod hyper_stream;
#[cfg(feature = "tokio")]
mod listener;
mod observer;
mod peer;
#[cfg(feature = "tokio")]
mod server;
#[cfg(feature = "hyper")]
mod service;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "hyper")]
pub use self::body::{BodyError, FileBody};
pub use self::peer::Peer;
#[cfg(feature = "tokio")]
pub use self::server::{Bound, Handle, Server};
#[cfg(feature = "hyper")]
pub use self::service::{FileService, PeerService};
#[cfg(feature = "tls")]
pub use self::tls::{Certificate, CurrentIdentity, Identity, IdentityError, Instead, KeyKind};
