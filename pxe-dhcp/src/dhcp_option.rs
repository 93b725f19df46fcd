//! Options of a configuration or a policy.

use core::net::Ipv4Addr;

use thiserror::Error;

use crate::Ipv4Net;
use crate::wire::OptionCode;

/// A value that an option cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OptionValueError {
    /// A text is no domain name: labels of 1 to 63 bytes, 255 bytes in all (RFC 1035 section 2.3.4).
    #[error("{0:?} is no domain name")]
    DomainName(String),
}

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

    /// Domains to complete names with, the first one first (option 119, RFC 3397). A final dot is
    /// passed over.
    ///
    /// # Errors
    ///
    /// If one is no domain name.
    pub fn domain_search<'a>(
        domains: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, OptionValueError> {
        let mut data = Vec::new();
        // Where each name that was written begins, so that later ones can point to it (RFC 1035
        // section 4.1.4): the option is long enough as it is.
        let mut written: Vec<(Vec<&[u8]>, usize)> = Vec::new();
        for domain in domains {
            let labels = labels_of(domain)?;
            let mut rest = labels.as_slice();
            loop {
                let known = written.iter().find(|(name, _)| name == rest);
                // A pointer has 14 bits.
                let known = known.map(|(_, at)| *at).filter(|at| *at < 1 << 14);
                if let (Some(at), false) = (known, rest.is_empty()) {
                    data.extend_from_slice(&(0xc000 | at as u16).to_be_bytes());
                    break;
                }
                let Some((label, tail)) = rest.split_first() else {
                    data.push(0);
                    break;
                };
                written.push((rest.to_vec(), data.len()));
                data.push(label.len() as u8);
                data.extend_from_slice(label);
                rest = tail;
            }
        }
        Ok(Self::new(OptionCode::DOMAIN_SEARCH, data))
    }

    /// Routes: networks, and the router to each; 0.0.0.0 for those on the link itself (option 121,
    /// RFC 3442).
    ///
    /// A client that asks for this option ignores option 3: name the default route (0.0.0.0/0)
    /// here as well.
    pub fn classless_routes(routes: impl IntoIterator<Item = (Ipv4Net, Ipv4Addr)>) -> Self {
        let mut data = Vec::new();
        for (network, router) in routes {
            // Only the octets that the mask covers are sent.
            let significant = usize::from(network.prefix()).div_ceil(8);
            data.push(network.prefix());
            data.extend(network.network().octets().iter().take(significant));
            data.extend(router.octets());
        }
        Self::new(OptionCode::CLASSLESS_ROUTES, data)
    }

    /// The same, sent even if the client did not ask for it.
    #[must_use]
    pub const fn forced(mut self) -> Self {
        self.is_forced = true;
        self
    }
}

fn labels_of(domain: &str) -> Result<Vec<&[u8]>, OptionValueError> {
    let name = domain.strip_suffix('.').unwrap_or(domain).as_bytes();
    let labels: Vec<&[u8]> = name.split(|byte| *byte == b'.').collect();
    // Each label with its length, and the root.
    let is_name = name.len() + 2 <= 255 && labels.iter().all(|one| (1..=63).contains(&one.len()));
    if is_name {
        Ok(labels)
    } else {
        Err(OptionValueError::DomainName(domain.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 3397 section 2, but for its split in two.
    #[test]
    fn domain_search_of_rfc_3397_section_2() {
        let option = DhcpOption::domain_search(["eng.apple.com.", "marketing.apple.com"]);
        let expected = b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04";
        assert_eq!(option.expect("two names").data, expected);
    }

    #[test]
    fn what_is_no_domain_name_is_refused() {
        let long = "a".repeat(64);
        let longer = ["abcdefg"; 32].join(".");
        for name in ["", ".", "a..b", ".a", "a..", &long, &longer] {
            let refused = Err(OptionValueError::DomainName(name.to_owned()));
            assert_eq!(DhcpOption::domain_search([name]), refused, "{name}");
        }
        let whole = DhcpOption::domain_search(["lab.lan", "lab.lan", "lan"]).expect("names");
        assert_eq!(whole.data, b"\x03lab\x03lan\0\xc0\0\xc0\x04");
    }

    /// The table of RFC 3442, "Classless Route Option Format".
    #[test]
    fn destination_descriptors_of_rfc_3442() {
        for (network, descriptor) in [
            ("0.0.0.0/0", &[0][..]),
            ("10.0.0.0/8", &[8, 10]),
            ("10.0.0.0/24", &[24, 10, 0, 0]),
            ("10.17.0.0/16", &[16, 10, 17]),
            ("10.27.129.0/24", &[24, 10, 27, 129]),
            ("10.229.0.128/25", &[25, 10, 229, 0, 128]),
            ("10.198.122.47/32", &[32, 10, 198, 122, 47]),
        ] {
            let route = (network.parse().expect("a network"), [10, 0, 0, 1].into());
            let option = DhcpOption::classless_routes([route, route]);
            let one = [descriptor, &[10, 0, 0, 1]].concat();
            assert_eq!(option.data, [one.clone(), one].concat(), "{network}");
        }
    }
}
