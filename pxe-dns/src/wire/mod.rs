//! Messages: queries that came, and responses (RFC 1035 section 4, RFC 6891).

mod compression;
mod query;
mod response;

pub use query::{Edns, NoQuery, Opcode, Query};
pub use response::{Full, Mark, Response, Section};

/// Octets of a message's header.
pub const HEADER_LEN: usize = 12;
/// Octets of a datagram that any client takes (RFC 1035 section 4.2.1).
pub const DATAGRAM_LEN_MIN: usize = 512;

/// The second pair of octets of a header (RFC 1035 section 4.1.1, RFC 4035 section 3).
pub(crate) mod flag {
    pub(crate) const QR: u16 = 1 << 15;
    pub(crate) const AA: u16 = 1 << 10;
    pub(crate) const TC: u16 = 1 << 9;
    pub(crate) const RD: u16 = 1 << 8;
    pub(crate) const RA: u16 = 1 << 7;
    pub(crate) const CD: u16 = 1 << 4;
}
