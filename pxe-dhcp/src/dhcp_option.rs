//! Options of a configuration or a policy.

use core::net::Ipv4Addr;

use crate::wire::OptionCode;

/// An option with its value, as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DhcpOption {
    /// The code.
    pub code: OptionCode,
    /// The value. Longer than 255 bytes is split (RFC 3396).
    pub data: Vec<u8>,
    /// Whether it is sent even if the client did not ask for it.
    pub is_forced: bool,
}

impl DhcpOption {
    /// An option that is sent if the client asks for it.
    pub fn new(code: OptionCode, data: impl AsRef<[u8]>) -> Self {
        Self {
            code,
            data: data.as_ref().to_vec(),
            is_forced: false,
        }
    }

    /// An option that holds addresses.
    pub fn addresses(code: OptionCode, addresses: &[Ipv4Addr]) -> Self {
        let data = addresses
            .iter()
            .flat_map(|address| address.octets())
            .collect();
        Self {
            code,
            data,
            is_forced: false,
        }
    }

    /// The same, sent even if the client did not ask for it.
    #[must_use]
    pub const fn forced(mut self) -> Self {
        self.is_forced = true;
        self
    }
}
