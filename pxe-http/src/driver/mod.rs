//! The drivers around [`plan`](crate::plan()): sockets and clocks.

#[cfg(feature = "tokio")]
mod admission;
mod answer;
#[cfg(feature = "hyper")]
mod body;
#[cfg(feature = "tokio")]
mod connection;
mod directory;
#[cfg(feature = "hyper")]
// Without TLS, the services have no connection of ours that they run on.
#[cfg_attr(not(feature = "tls"), allow(dead_code))]
mod flow;
#[cfg(feature = "tokio")]
mod head;
#[cfg(feature = "tls")]
mod hyper_connection;
#[cfg(feature = "tls")]
mod hyper_stream;
#[cfg(feature = "tokio")]
mod known_head;
#[cfg(feature = "tokio")]
mod listener;
mod observer;
#[cfg(feature = "tokio")]
mod outgoing;
#[cfg(feature = "tokio")]
mod patience;
mod peer;
#[cfg(feature = "tokio")]
mod rate;
#[cfg(feature = "tokio")]
mod refusals;
#[cfg(feature = "tokio")]
mod response;
#[cfg(feature = "tokio")]
mod scratch;
#[cfg(feature = "tokio")]
mod seat;
#[cfg(feature = "tokio")]
mod server;
#[cfg(feature = "hyper")]
mod service;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod turns;

#[cfg(feature = "hyper")]
pub use self::body::{BodyError, FileBody};
#[cfg(feature = "tokio")]
pub(crate) use self::head::Head;
pub use self::peer::Peer;
#[cfg(feature = "tokio")]
pub use self::server::{Bound, Handle, Server};
#[cfg(feature = "hyper")]
pub use self::service::{FileService, PeerService};
#[cfg(feature = "tls")]
pub use self::tls::{Certificate, CurrentIdentity, Identity, IdentityError, Instead, KeyKind};
