//! The driver: sockets on tokio, around [`Service`](crate::Service).

mod bind;
mod clients;
mod connection;
mod datagrams;
mod memory;
mod reply_queue;
mod room;
mod rpcbind;
mod server;

pub use self::bind::Bound;
pub use self::rpcbind::{RegisterError, Registration, register};
pub use self::server::{Handle, Server};
