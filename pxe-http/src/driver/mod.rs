//! The driver: sockets, clocks and hyper, around [`plan`](crate::plan()).

mod body;
mod connection;
mod observer;
mod server;
mod service;

pub use self::body::{BodyError, FileBody};
pub use self::server::{Bound, Handle, Server};
pub use self::service::{FileService, Peer, PeerService};
