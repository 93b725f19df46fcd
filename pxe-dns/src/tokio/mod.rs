//! The driver: sockets, threads and the clock around [`Service`](crate::Service).

mod bind;
mod clients;
mod clock;
mod connection;
mod forwards;
mod idle;
mod listener;
mod server;
mod throttle;
mod udp;

pub use self::bind::Bound;
pub use self::server::{Server, ServerHandle};
