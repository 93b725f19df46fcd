//! The driver: sockets on tokio.
