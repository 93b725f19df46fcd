//! Names that registries of IANA give to numbers in data.

use super::number;

/// Algorithms of DNSSEC (RFC 4034 appendix A.1, RFC 8624, and the registry of IANA).
const ALGORITHMS: &[(&str, u8)] = &[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("ECC", 4),
    ("RSASHA1", 5),
    ("NSEC3DSA", 6),
    ("DSA-NSEC3-SHA1", 6),
    ("NSEC3RSASHA1", 7),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECCGOST", 12),
    ("ECC-GOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

/// Types of certificates (RFC 4398 section 2.1).
const CERTIFICATES: &[(&str, u16)] = &[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

/// Digests of keys (RFC 3658, RFC 4509, RFC 5933, RFC 6605).
const DIGESTS: &[(&str, u8)] = &[
    ("SHA-1", 1),
    ("SHA1", 1),
    ("SHA-256", 2),
    ("SHA256", 2),
    ("GOST", 3),
    ("SHA-384", 4),
    ("SHA384", 4),
];

/// For what keys are (RFC 2535 section 3.1.3).
const PROTOCOLS: &[(&str, u8)] = &[
    ("NONE", 0),
    ("TLS", 1),
    ("EMAIL", 2),
    ("DNSSEC", 3),
    ("IPSEC", 4),
    ("ALL", 255),
];

fn find<T: Copy + std::str::FromStr>(text: &[u8], names: &[(&str, T)]) -> Option<T> {
    let is_it = |(name, _): &&(&str, T)| name.as_bytes().eq_ignore_ascii_case(text);
    number(text).or_else(|| names.iter().find(is_it).map(|(_, value)| *value))
}

pub(super) fn algorithm(text: &[u8]) -> Option<u8> {
    find(text, ALGORITHMS)
}

pub(super) fn certificate(text: &[u8]) -> Option<u16> {
    find(text, CERTIFICATES)
}

pub(super) fn digest(text: &[u8]) -> Option<u8> {
    find(text, DIGESTS)
}

pub(super) fn protocol(text: &[u8]) -> Option<u8> {
    find(text, PROTOCOLS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names() {
        assert_eq!(algorithm(b"ecdsap256sha256"), Some(13));
        assert_eq!(algorithm(b"13"), Some(13));
        assert_eq!(algorithm(b"256"), None);
        assert_eq!(algorithm(b"-1"), None);
        assert_eq!(certificate(b"pkix"), Some(1));
        assert_eq!(digest(b"SHA-256"), Some(2));
        assert_eq!(protocol(b"dnssec"), Some(3));
        assert_eq!(protocol(b"x"), None);
    }
}
