//! Servers that are asked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The port of DNS (RFC 1035 section 4.2).
const PORT: u16 = 53;
/// The port of DNS over TLS (RFC 7858 section 3.1).
const TLS_PORT: u16 = 853;

/// A server that is asked, and how.
///
/// It is written `9.9.9.9`, `192.0.2.1:5353`, `2620:fe::fe`, `[2620:fe::fe]:5353`, or, for DNS over
/// TLS, `tls://9.9.9.9#dns.quad9.net` with the name that the server's certificate has to have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upstream {
    address: SocketAddr,
    server_name: Option<String>,
}

/// Something is no server that could be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text} is no server: write its address as 9.9.9.9, 192.0.2.1:5353 or [2620:fe::fe]:5353, \
     and for TLS tls://9.9.9.9#dns.quad9.net with the name in its certificate"
)]
pub struct ParseUpstreamError {
    text: String,
}

impl Upstream {
    /// A server that is asked by UDP, and by TCP what does not fit into a datagram.
    pub const fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            server_name: None,
        }
    }

    /// A server that is asked by TLS (RFC 7858) and has a certificate of this name.
    pub const fn tls(address: SocketAddr, server_name: String) -> Self {
        Self {
            address,
            server_name: Some(server_name),
        }
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name in its certificate, if it is asked by TLS.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }
}

impl FromStr for Upstream {
    type Err = ParseUpstreamError;

    fn from_str(text: &str) -> Result<Self, ParseUpstreamError> {
        let parsed = match text.strip_prefix("tls://") {
            None => parse_address(text, PORT).map(Self::plain),
            Some(rest) => rest.split_once('#').and_then(|(address, name)| {
                let is_name =
                    !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic());
                let address = parse_address(address, TLS_PORT)?;
                is_name.then(|| Self::tls(address, name.to_owned()))
            }),
        };
        parsed.ok_or_else(|| ParseUpstreamError {
            text: text.to_owned(),
        })
    }
}

/// An address with a port or without.
fn parse_address(text: &str, port: u16) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = match (text.parse(), bare) {
        (Ok(address), _) => address,
        (_, Some(bare)) => SocketAddr::new(IpAddr::V6(bare.parse().ok()?), port),
        _ => SocketAddr::new(text.parse().ok()?, port),
    };
    (address.port() != 0 && !address.ip().is_unspecified()).then_some(address)
}

impl fmt::Display for Upstream {
    /// As it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match self.server_name {
            None => PORT,
            Some(_) => {
                f.write_str("tls://")?;
                TLS_PORT
            }
        };
        match self.address {
            SocketAddr::V4(v4) if v4.port() == port => write!(f, "{}", v4.ip())?,
            SocketAddr::V6(v6) if v6.port() == port => write!(f, "[{}]", v6.ip())?,
            address => write!(f, "{address}")?,
        }
        match &self.server_name {
            None => Ok(()),
            Some(name) => write!(f, "#{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_written_as_addresses() {
        for (text, address, name, shown) in [
            ("9.9.9.9", "9.9.9.9:53", None, "9.9.9.9"),
            ("192.0.2.1:5353", "192.0.2.1:5353", None, "192.0.2.1:5353"),
            ("2620:fe::fe", "[2620:fe::fe]:53", None, "[2620:fe::fe]"),
            ("[2620:fe::fe]", "[2620:fe::fe]:53", None, "[2620:fe::fe]"),
            ("[::1]:5353", "[::1]:5353", None, "[::1]:5353"),
            (
                "tls://9.9.9.9#dns.quad9.net",
                "9.9.9.9:853",
                Some("dns.quad9.net"),
                "tls://9.9.9.9#dns.quad9.net",
            ),
            (
                "tls://[2620:fe::fe]:8853#dns.quad9.net",
                "[2620:fe::fe]:8853",
                Some("dns.quad9.net"),
                "tls://[2620:fe::fe]:8853#dns.quad9.net",
            ),
        ] {
            let upstream: Upstream = text.parse().expect(text);
            assert_eq!(upstream.address(), address.parse().expect("an address"));
            assert_eq!(upstream.server_name(), name);
            assert_eq!(upstream.to_string(), shown);
        }
        for text in [
            "",
            "dns.quad9.net",
            "9.9.9.9#dns.quad9.net",
            "9.9.9.9:0",
            "0.0.0.0",
            "tls://9.9.9.9",
            "tls://9.9.9.9#",
            "tls://dns.quad9.net",
            "https://9.9.9.9#dns.quad9.net",
            "9.9.9.9 ",
        ] {
            let error = text.parse::<Upstream>().expect_err(text);
            assert!(error.to_string().contains(text));
        }
    }
}
