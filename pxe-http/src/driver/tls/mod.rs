//! HTTPS: who a server is, and how a connection becomes one over TLS.

mod certificate;
mod finite_field;
mod handshake;
mod identity;
mod push;

pub use self::certificate::{Certificate, KeyKind};
pub(super) use self::handshake::{Handshakes, serve};
pub use self::identity::{CurrentIdentity, Identity, IdentityError, Instead};
