//! A TFTP read server for network boot: RFC 1350 with the options of RFC 2347, 2348 (`blksize`),
//! 2349 (`timeout`, `tsize`) and 7440 (`windowsize`).
//!
//! It comes in two layers:
//!
//! - [`Engine`] is a plain struct. It is given datagrams, the driver's answers and the time, and it
//!   gives datagrams, wishes and events. It owns no socket, file, clock, thread or task, so a whole
//!   network of clients can be simulated with it.
//! - `Server` (feature `tokio`, on by default; Linux) drives an engine for each processor with UDP
//!   sockets and serves the files of a `pxe_tree::Source`.
//!
//! # A server in a few lines
//!
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use std::sync::Arc;
//! use pxe_tftp::{Config, Server};
//! use pxe_tree::{ErrorKind, FileRequest, MemBlob, Opened, source_fn};
//!
//! # async fn serve() -> std::io::Result<()> {
//! let source = source_fn(|request: &FileRequest<'_>| match request.path.as_bytes() {
//!     b"boot.ipxe" => Ok(Opened::File(MemBlob::new("#!ipxe\nshell\n"))),
//!     _ => Err(ErrorKind::NotFound.into()),
//! });
//! let server = Server::bind("0.0.0.0:69".parse().unwrap(), Config::new())?
//!     .on_event(|event| println!("{event:?}"));
//! server.run(Arc::new(source), std::future::pending()).await
//! # }
//! ```
//!
//! # The run loop of an engine
//!
//! A driver gives the engine what comes in, drains [`Engine::poll_output`] and
//! [`Engine::poll_transmit`] until both are empty (in any order), and waits for the next datagram
//! or for [`Engine::poll_timeout`]. Here is one that serves a file from memory to a client that
//! is played by hand:
//!
//! ```
//! use std::time::Duration;
//! use pxe_core::{BatchLimit, Instant, Now, RecvMeta, SocketId, UnixTime};
//! use pxe_tftp::{Config, Engine, FileInfo, Output, PortMode, Refusal, SendBuffer};
//!
//! let mut engine = Engine::new(Config::new().with_ports(PortMode::Single));
//! let file = bytes::Bytes::from_static(b"hello");
//! let mut now = Now::new(Instant::EPOCH, UnixTime::from_seconds(0));
//! let client = RecvMeta::new(SocketId(0), "192.0.2.7:49153".parse().unwrap());
//! let mut buffer = SendBuffer::new();
//!
//! for datagram in [&b"\0\x01hello.txt\0octet\0"[..], b"\0\x04\0\x01"] {
//!     now = now + Duration::from_millis(1);
//!     engine.handle_timeout(now); // when `poll_timeout` says so; early calls are harmless
//!     engine.handle_datagram(now, &client, datagram);
//!     while let Some(output) = engine.poll_output() {
//!         match output {
//!             Output::Incoming(incoming) if incoming.filename().as_bytes() == b"hello.txt" => {
//!                 engine.accept(now, incoming, FileInfo::new(file.len() as u64));
//!             }
//!             Output::Incoming(incoming) => {
//!                 let refusal = Refusal::file_not_found(incoming.filename());
//!                 engine.refuse(now, incoming, refusal);
//!             }
//!             Output::Want { transfer, offset, len, .. } => {
//!                 let offset = offset as usize;
//!                 engine.handle_data(now, transfer, offset as u64, file.slice(offset..offset + len));
//!             }
//!             Output::Event(event) => println!("{event:?}"),
//!             _ => {} // sockets, in the mode where each transfer has one of its own
//!         }
//!     }
//!     while let Some(transmit) = engine.poll_transmit(now, BatchLimit::ONE, &mut buffer) {
//!         // Send it from `transmit.socket` to `transmit.to`, and gather `buffer.slices()` for it.
//!         assert_eq!(transmit.len, 9);
//!         assert_eq!(buffer.to_vec(), b"\0\x03\0\x01hello");
//!     }
//! }
//! assert!(engine.is_idle());
//! assert_eq!(engine.poll_timeout(), None);
//! ```
//!
//! # What it promises
//!
//! - A peer's fault is an [`Event`], never an `Err` and never a panic. Whatever a peer can make
//!   grow has a bound in [`Limits`].
//! - A transfer ends where [`FileInfo::len`] says. A file that turns out shorter ends with an
//!   ERROR, never with a short block, which a client would take for the end of the whole file.
//! - A peer that has acknowledged nothing gets few packets, so that a forged source address gains
//!   little ([`Limits::first_sends_max`]): five blocks of 512 bytes and an ERROR for a request
//!   without options. [`PortMode::Single`] cannot promise that.
//! - The server never sets DF, and answers from the address that was asked.
//! - Who sends to a port of somebody else's transfer gets ERROR 5 (RFC 1350 section 4), or, from
//!   `Server`, whose sockets of transfers know their clients alone, ICMP's "port unreachable" from
//!   the system. The transfer is none the worse for it.
//!
//! # What it does not do
//!
//! It takes no files: a write request gets ERROR 2. It knows neither `multicast` (RFC 2090) nor
//! `utimeout`, and not the obsolete mode `mail`. A block number wraps to 0, as every client that
//! gets that far expects; none is known that wants 1. It decides no access and maps no names: that
//! is the part of whoever answers [`Output::Incoming`], or of the `Source`
//! (`pxe_tree::RewriteSource` does by rules what a map file of tftpd-hpa does).
#![forbid(unsafe_code)]

mod config;
mod content;
mod engine;
mod error;
mod event;
mod flow;
#[doc(hidden)]
pub mod fuzzing;
mod listener;
mod negotiate;
mod noise;
mod output;
mod packets;
mod reply;
mod send_buffer;
#[cfg(feature = "tokio")]
mod tokio;
mod transfer;
pub mod wire;

pub use crate::config::{Config, Limits, PortMode};
pub use crate::engine::Engine;
pub use crate::error::Refusal;
pub use crate::event::{
    Event, Filename, Limit, Noise, Outcome, Peer, PeerMessage, Report, TransferId,
};
pub use crate::negotiate::{Mode, Negotiated, Requested};
pub use crate::output::{FileInfo, Incoming, Output};
pub use crate::packets::Packets;
pub use crate::send_buffer::SendBuffer;
#[cfg(feature = "tokio")]
pub use crate::tokio::{Handle, Server};
pub use crate::wire::ErrorCode;
pub use pxe_core::SendFailure;

/// The README's example is compiled with the other documentation tests.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
