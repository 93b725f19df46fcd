//! A TFTP read server: a sans-IO engine (RFC 1350, 2347, 2348, 2349, 7440) and a tokio driver.
#![forbid(unsafe_code)]

mod config;
mod content;
mod engine;
mod error;
mod event;
mod flow;
mod negotiate;
mod reply;
#[cfg(feature = "tokio")]
mod tokio;
mod transfer;
pub mod wire;

pub use crate::config::{Config, Limits, PortMode};
pub use crate::engine::{Engine, FileInfo, Incoming, Output};
pub use crate::error::Refusal;
pub use crate::event::{Event, Filename, Limit, Outcome, Peer, PeerMessage, Report, TransferId};
pub use crate::negotiate::{Mode, Negotiated, Requested};
#[cfg(feature = "tokio")]
pub use crate::tokio::{Handle, Server};
pub use crate::wire::ErrorCode;
pub use pxe_core::SendFailure;
