//! What a certificate says of itself (RFC 5280), as far as whoever runs a server wants to know.
//!
//! Whether it can be used is rustls' to judge; this only tells for whom and how long it was made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pxe_tree::Timestamp;

/// What a server's certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// It is not valid before this time.
    pub not_before: Timestamp,
    /// It is not valid after this time.
    pub not_after: Timestamp,
    /// The DNS names that it is for, as they are written in it: `*.` stands for one label.
    pub dns_names: Vec<String>,
    /// The addresses that it is for.
    pub addresses: Vec<IpAddr>,
    /// What kind of key it is for.
    pub key: KeyKind,
}

/// What kind of key a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// RSA, which each client knows.
    Rsa,
    /// An elliptic curve, which EDK2 knows only if its packager chose it.
    EllipticCurve,
    /// Another.
    Other,
}

impl Certificate {
    /// Whether it is over at this time.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now.seconds > self.not_after.seconds
    }

    /// Whether its time has not begun.
    pub fn is_early(&self, now: Timestamp) -> bool {
        now.seconds < self.not_before.seconds
    }

    /// Whether a client that was told this name or address in a URL takes the certificate for it
    /// (RFC 9525 section 6).
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        self.dns_names.iter().any(|name| matches(name, host))
    }

    /// Reads a certificate; `None` if it is none, or has none of what is wanted.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        // RFC 5280 section 4.1: Certificate, and TBSCertificate within.
        let (certificate, _) = element(der, SEQUENCE)?;
        let (mut fields, _) = element(certificate, SEQUENCE)?;
        if let Some((_, rest)) = element(fields, explicit(0)) {
            fields = rest; // version
        }
        let (_, fields) = element(fields, INTEGER)?; // serialNumber
        let (_, fields) = element(fields, SEQUENCE)?; // signature
        let (_, fields) = element(fields, SEQUENCE)?; // issuer
        let (validity, fields) = element(fields, SEQUENCE)?;
        let (_, fields) = element(fields, SEQUENCE)?; // subject
        let (key_info, fields) = element(fields, SEQUENCE)?;
        let (not_before, validity) = time(validity)?;
        let (not_after, _) = time(validity)?;
        let (algorithm, _) = element(key_info, SEQUENCE)?;
        let (algorithm, _) = element(algorithm, OBJECT_IDENTIFIER)?;
        let mut certificate = Self {
            not_before,
            not_after,
            dns_names: Vec::new(),
            addresses: Vec::new(),
            key: match algorithm {
                RSA_ENCRYPTION => KeyKind::Rsa,
                EC_PUBLIC_KEY => KeyKind::EllipticCurve,
                _ => KeyKind::Other,
            },
        };
        certificate.read_names(fields);
        Some(certificate)
    }

    /// Takes the names out of what follows the public key, if there are any.
    fn read_names(&mut self, mut fields: &[u8]) {
        while let Some((tag, content, rest)) = any(fields) {
            fields = rest;
            if tag != explicit(3) {
                continue;
            }
            let Some((mut extensions, _)) = element(content, SEQUENCE) else {
                return;
            };
            while let Some((extension, rest)) = element(extensions, SEQUENCE) {
                extensions = rest;
                let Some((SUBJECT_ALT_NAME, value)) = element(extension, OBJECT_IDENTIFIER) else {
                    continue;
                };
                let value = element(value, BOOLEAN).map_or(value, |(_, rest)| rest); // critical
                let names = element(value, OCTET_STRING)
                    .and_then(|(value, _)| element(value, SEQUENCE))
                    .map_or(&[][..], |(names, _)| names);
                self.read_alternative_names(names);
            }
        }
    }

    /// RFC 5280 section 4.2.1.6.
    fn read_alternative_names(&mut self, mut names: &[u8]) {
        while let Some((tag, content, rest)) = any(names) {
            names = rest;
            match tag {
                DNS_NAME => {
                    if let Ok(name) = std::str::from_utf8(content) {
                        self.dns_names.push(name.to_owned());
                    }
                }
                IP_ADDRESS => {
                    if let Ok(octets) = <[u8; 4]>::try_from(content) {
                        self.addresses.push(Ipv4Addr::from(octets).into());
                    } else if let Ok(octets) = <[u8; 16]>::try_from(content) {
                        self.addresses.push(Ipv6Addr::from(octets).into());
                    }
                }
                _ => {}
            }
        }
    }
}

/// RFC 9525 section 6.3: a wildcard is a whole label, the first one.
fn matches(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        None => name.eq_ignore_ascii_case(host),
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
    }
}

// Tags of DER (X.690 section 8.1.2).
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
// Of GeneralName (RFC 5280 section 4.2.1.6).
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

const fn explicit(number: u8) -> u8 {
    0xa0 | number
}

/// id-ce-subjectAltName, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// rsaEncryption, 1.2.840.113549.1.1.1 (RFC 3279 section 2.3.1).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// id-ecPublicKey, 1.2.840.10045.2.1 (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// The first element: its tag, its content, and what follows it.
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // A certificate is not longer than three bytes of length can say.
        0x81..=0x83 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let len = len
                .iter()
                .fold(0, |len, &byte| len << 8 | usize::from(byte));
            (len, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// The content of the first element, if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    any(der)
        .filter(|(found, ..)| *found == tag)
        .map(|(_, content, rest)| (content, rest))
}

/// RFC 5280 section 4.1.2.5: always in UTC, with seconds.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (tag, content, rest) = any(der)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let (year, text) = match tag {
        UTC_TIME => {
            let (year, text) = text.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text)
        }
        GENERALIZED_TIME => {
            let (year, text) = text.split_at_checked(4)?;
            (number(year)?, text)
        }
        _ => return None,
    };
    if text.len() != 10 {
        return None;
    }
    let two = |at: usize| number(text.get(at..at + 2)?);
    let (month, day) = (two(0)?, two(2)?);
    let (hour, minute, second) = (two(4)?, two(6)?, two(8)?);
    if !(1..=12).contains(&month) {
        return None;
    }
    let days = days_since_1970(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some((Timestamp::from_seconds(seconds), rest))
}

fn number(digits: &str) -> Option<i64> {
    let digits = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(digits)?;
    digits.parse().ok()
}

/// Days from 1970-01-01 to a day of the Gregorian calendar; `month` is from 1 to 12.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March, so that the leap day is its last.
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 153 days are five months, and each five of them are the same, from March on.
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let mut params =
            CertificateParams::new(vec!["pxe.matrix.lan".into(), "*.lan".into()]).expect("names");
        for address in ["10.77.0.1", "fd00::1"] {
            let address = address.parse().expect("an address");
            params.subject_alt_names.push(SanType::IpAddress(address));
        }
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Certificate::read(certificate.der()).expect("to be read")
    }

    #[test]
    fn names_and_times_are_read() {
        let certificate = made(|params| {
            params.not_before = rcgen::date_time_ymd(2000, 2, 29);
            params.not_after = rcgen::date_time_ymd(2051, 3, 1);
        });
        assert_eq!(certificate.not_before, Timestamp::from_seconds(951_782_400));
        assert_eq!(
            certificate.not_after,
            Timestamp::from_seconds(2_561_241_600)
        );
        assert_eq!(certificate.dns_names, ["pxe.matrix.lan", "*.lan"]);
        assert_eq!(certificate.addresses.len(), 2);
        assert_eq!(certificate.key, KeyKind::EllipticCurve);
        let at = Timestamp::from_seconds;
        assert!(certificate.is_early(at(951_782_399)) && !certificate.is_early(at(951_782_400)));
        assert!(certificate.is_expired(at(2_561_241_601)));
        assert!(!certificate.is_expired(at(2_561_241_600)));
    }

    #[test]
    fn a_client_takes_it_for_the_names_in_it_alone() {
        let certificate = made(|_| {});
        for host in [
            "pxe.matrix.lan",
            "PXE.matrix.LAN",
            "pxe.matrix.lan.",
            "matrix.lan.",
            "10.77.0.1",
            "fd00::1",
            "[fd00::1]",
        ] {
            assert!(certificate.is_for(host), "{host}");
        }
        for host in ["lan", ".lan", "a.b.lan", "10.77.0.2", "::1", ""] {
            assert!(!certificate.is_for(host), "{host}");
        }
    }

    #[test]
    fn one_without_names_is_for_nobody() {
        let certificate = made(|params| params.subject_alt_names.clear());
        assert!(certificate.dns_names.is_empty() && certificate.addresses.is_empty());
        assert!(!certificate.is_for("pxe.matrix.lan"));
    }

    #[test]
    fn what_is_cut_off_or_changed_anywhere_is_no_panic() {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["a".into()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let der = certificate.der().to_vec();
        for at in 0..der.len() {
            assert_eq!(Certificate::read(&der[..at]), None, "{at}");
            for byte in [0, 0x30, 0x7f, 0x80, 0x83, 0xff] {
                let mut changed = der.clone();
                changed[at] = byte;
                let _ = Certificate::read(&changed);
            }
        }
    }
}
