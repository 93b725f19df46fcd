//! HTTP/1.x file serving for network boot: right for the clients that firmware and boot loaders
//! have, which read HTTP less well than browsers do.
//!
//! - [`plan()`] is a pure function from a request's head and what was found to the whole response:
//!   status, header fields in the order in which they must be sent, and the pieces of the body.
//!   GET, HEAD, ranges, conditional requests, listings (RFC 9110). It needs no runtime.
//! - `Server` answers requests from any [`pxe_tree::Source`], on any number of listeners, with
//!   bounds on everything that a peer can make it hold (feature `tokio`, which is on by default).
//! - `FileService` is the same for a server of your own: a service of hyper (feature `hyper`).
//!
//! # Serve a tree
//!
//! ```
//! # #[cfg(feature = "tokio")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{sync::Arc, time::Duration};
//! use pxe_http::Server;
//! use pxe_tree::{MemTree, TreeSource};
//!
//! let tree = MemTree::new();
//! tree.insert_file("boot.ipxe", "#!ipxe\nshell\n")?;
//! let source = Arc::new(TreeSource::new(Arc::new(tree)));
//!
//! let bound = Server::bind("127.0.0.1:0")?; // "0.0.0.0:80", then drop privileges
//! println!("http://{}/boot.ipxe", bound.local_addr());
//! tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//!     let handle = Server::new()
//!         .on_event(|event| println!("{event:?}"))
//!         .listen(bound, source)
//!         .start()?;
//!     // ... until it is time to stop:
//!     handle.shutdown(Duration::from_secs(10)).await;
//!     Ok(())
//! })
//! # }
//! # #[cfg(not(feature = "tokio"))]
//! # fn main() {}
//! ```
//!
//! # Plan a response without a server
//!
//! ```
//! use http::{HeaderMap, Method, StatusCode, Version};
//! use pxe_http::{MediaTypes, Outcome, RequestHead, plan};
//! use pxe_tree::{Blob, MemBlob, Timestamp};
//!
//! let headers = HeaderMap::new();
//! let head = RequestHead::new(&Method::GET, "/efi64//bootx64.efi", Version::HTTP_10, &headers);
//! let now = Timestamp::from_seconds(1_780_000_000);
//! let plan = match head.route() {
//!     Err(rejection) => plan(&head, Outcome::Rejected(rejection), now),
//!     Ok(route) => {
//!         assert_eq!(route.path.to_string(), "/efi64/bootx64.efi");
//!         let found = MemBlob::new("MZ"); // open the file at route.path here
//!         let types = MediaTypes::new();
//!         let outcome = Outcome::File {
//!             attributes: found.attributes(),
//!             media_type: types.of(&route.path),
//!         };
//!         plan(&head, outcome, now)
//!     }
//! };
//! assert_eq!(plan.status, StatusCode::OK);
//! assert_eq!(plan.header(&http::header::CONTENT_TYPE).unwrap(), "application/efi");
//! assert_eq!(plan.body_len(), 2);
//! ```
//!
//! # What it promises
//!
//! - `Content-Length` is always there (but for 304), exact, and never the last field; nothing is
//!   sent in chunks.
//! - A file that changes or fails while it is sent ends with a closed connection, never with a
//!   body of the right length and the wrong content.
//! - A peer's fault is an [`Event`], never an error of yours.
//!
//! # What it does not do
//!
//! HTTP/2, certificates of clients, uploads, compression. What it reads more leniently than RFC 9110
//! and 9112 say, for the sake of firmware: the value of `Host` is not judged, a percent sign that begins no escape stands
//! for itself, and a slash behind a file's path is passed over.
#![forbid(unsafe_code)]

mod accept;
mod byteranges;
mod condition;
mod cookie;
mod date;
mod directories;
#[cfg(any(feature = "tokio", feature = "hyper"))]
mod driver;
mod event;
mod fields;
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod listing;
mod listing_page;
mod media_type;
mod memo;
mod page;
mod plan;
mod range;
mod request;

pub use crate::cookie::bootif;
pub use crate::directories::Directories;
#[cfg(any(feature = "tokio", feature = "hyper"))]
pub use crate::driver::Peer;
#[cfg(feature = "hyper")]
pub use crate::driver::{BodyError, FileBody, FileService, PeerService};
#[cfg(feature = "tokio")]
pub use crate::driver::{Bound, Handle, Server};
#[cfg(feature = "tls")]
pub use crate::driver::{Certificate, CurrentIdentity, Identity, IdentityError, Instead, KeyKind};
pub use crate::event::{
    AcceptFailed, Event, HandshakeFailed, Limit, Limited, Malformed, Requested, RequestedHead,
    Responded, ResponseEnd,
};
pub use crate::limits::Limits;
pub use crate::listing::{Listing, ListingEntry, ListingLimits, Omitted};
pub use crate::media_type::MediaTypes;
pub use crate::plan::{Outcome, Piece, Plan, plan};
pub use crate::request::{Rejection, RequestHead, Route};

#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
