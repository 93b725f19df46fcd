//! Who may do something.

use std::net::IpAddr;
use std::str::FromStr;

use pxe_core::Network;

/// Addresses that may do something, and others that may not.
///
/// The first element that an address matches decides, as in BIND's address match lists; what
/// matches none may not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessList {
    elements: Vec<Element>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Element {
    network: Option<Network>,
    may: bool,
}

/// Something is no element of an access list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} is neither an address, nor a network as 192.168.150.0/24, nor any, nor none")]
pub struct ParseAccessError {
    text: String,
}

impl AccessList {
    /// Everybody.
    pub fn any() -> Self {
        Self {
            elements: vec![Element {
                network: None,
                may: true,
            }],
        }
    }

    /// Nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// A list of what is written so: `192.168.150.0/24`, `::1`, `!10.0.0.7`, `any`, `none`.
    ///
    /// # Errors
    /// The first that is none of these.
    pub fn parse<T: AsRef<str>>(
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Self, ParseAccessError> {
        let elements = texts.into_iter().map(|text| text.as_ref().parse());
        elements
            .collect::<Result<_, _>>()
            .map(|elements| Self { elements })
    }

    /// Whether this address may.
    pub fn allows(&self, address: IpAddr) -> bool {
        let matches = |element: &&Element| {
            element
                .network
                .is_none_or(|network| network.contains(address))
        };
        self.elements
            .iter()
            .find(matches)
            .is_some_and(|element| element.may)
    }
}

impl FromStr for Element {
    type Err = ParseAccessError;

    fn from_str(text: &str) -> Result<Self, ParseAccessError> {
        let (rest, may) = match text.strip_prefix('!') {
            Some(rest) => (rest.trim_start(), false),
            None => (text, true),
        };
        let element = match rest {
            "any" => Some((None, may)),
            "none" => Some((None, !may)),
            _ => rest.parse().ok().map(|network| (Some(network), may)),
        };
        let (network, may) = element.ok_or_else(|| ParseAccessError {
            text: text.to_owned(),
        })?;
        Ok(Self { network, may })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_that_matches_decides() {
        let list =
            AccessList::parse(["!192.168.150.7", "192.168.150.0/24", "::1"]).expect("a list");
        for (address, may) in [
            ("192.168.150.7", false),
            ("192.168.150.8", true),
            ("::ffff:192.168.150.8", true),
            ("192.168.151.8", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(
                list.allows(address.parse().expect("an address")),
                may,
                "{address}"
            );
        }
        assert!(AccessList::any().allows(IpAddr::from([1, 2, 3, 4])));
        assert!(!AccessList::none().allows(IpAddr::from([1, 2, 3, 4])));
        assert!(AccessList::parse(["localnet"]).is_err());
    }
}
