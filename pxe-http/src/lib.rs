//! HTTP/1.x file serving for network boot.
#![forbid(unsafe_code)]

mod condition;
mod cookie;
#[cfg(feature = "hyper")]
mod driver;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod media_type;
mod plan;
mod range;
mod request;

pub use crate::cookie::bootif;
#[cfg(feature = "hyper")]
pub use crate::driver::{
    BodyError, Bound, FileBody, FileService, Handle, Peer, PeerService, Server,
};
pub use crate::event::{
    AcceptFailed, Event, Limit, Limited, Malformed, Requested, Responded, ResponseEnd,
};
pub use crate::limits::Limits;
pub use crate::media_type::MediaTypes;
pub use crate::plan::{Outcome, Piece, Plan, plan};
pub use crate::request::{Rejection, RequestHead, Route};
