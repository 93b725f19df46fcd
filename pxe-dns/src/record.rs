//! Types, classes and records.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::Name;

/// The type of a record, or of a question (RFC 1035 section 3.2.2, and the registry of IANA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a wire integer: every value is valid
pub struct RecordType(pub u16);

/// The class of a record (RFC 1035 section 3.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a wire integer: every value is valid
pub struct Class(pub u16);

/// The code of a response (RFC 1035 section 4.1.1, RFC 6895 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a wire integer: every value is valid
pub struct Rcode(pub u16);

impl Class {
    /// The Internet, which is the only class that is served.
    pub const IN: Self = Self(1);
    /// Chaosnet, by which servers are asked who they are.
    pub const CH: Self = Self(3);
    /// Any class, in questions.
    pub const ANY: Self = Self(255);
}

impl Rcode {
    /// An answer, if only that there is none.
    pub const NOERROR: Self = Self(0);
    /// The query cannot be read.
    pub const FORMERR: Self = Self(1);
    /// The server failed.
    pub const SERVFAIL: Self = Self(2);
    /// There is no such name.
    pub const NXDOMAIN: Self = Self(3);
    /// This kind of query is not known here.
    pub const NOTIMP: Self = Self(4);
    /// The server does not want to.
    pub const REFUSED: Self = Self(5);
    /// A name that exists, or would, when it should not: a DNAME makes a name that is too long
    /// (RFC 6672 section 2.2).
    pub const YXDOMAIN: Self = Self(6);
    /// The server is not authoritative for the zone (RFC 2136 section 2.2).
    pub const NOTAUTH: Self = Self(9);
    /// A version of EDNS that is not known here (RFC 6891 section 9).
    pub const BADVERS: Self = Self(16);
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NOERROR => "NOERROR",
            Self::FORMERR => "FORMERR",
            Self::SERVFAIL => "SERVFAIL",
            Self::NXDOMAIN => "NXDOMAIN",
            Self::NOTIMP => "NOTIMP",
            Self::REFUSED => "REFUSED",
            Self::YXDOMAIN => "YXDOMAIN",
            Self::NOTAUTH => "NOTAUTH",
            Self::BADVERS => "BADVERS",
            Self(code) => return write!(f, "RCODE{code}"),
        })
    }
}

macro_rules! record_types {
    ($($name:ident = $code:literal, $doc:literal;)*) => {
        impl RecordType {
            $(#[doc = $doc] pub const $name: Self = Self($code);)*

            /// The mnemonic, if it has one.
            pub const fn mnemonic(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            fn of_mnemonic(text: &str) -> Option<Self> {
                $(if text.eq_ignore_ascii_case(stringify!($name)) {
                    return Some(Self::$name);
                })*
                None
            }
        }
    };
}

record_types! {
    A = 1, "An IPv4 address (RFC 1035).";
    NS = 2, "A name server (RFC 1035).";
    CNAME = 5, "The canonical name of an alias (RFC 1035).";
    SOA = 6, "The start of a zone of authority (RFC 1035).";
    PTR = 12, "A pointer to another name (RFC 1035).";
    HINFO = 13, "CPU and operating system (RFC 1035).";
    MX = 15, "A mail exchange (RFC 1035).";
    TXT = 16, "Text (RFC 1035).";
    RP = 17, "A responsible person (RFC 1183).";
    AFSDB = 18, "An AFS data base (RFC 1183).";
    SIG = 24, "A signature (RFC 2535).";
    KEY = 25, "A key (RFC 2535).";
    AAAA = 28, "An IPv6 address (RFC 3596).";
    LOC = 29, "A location (RFC 1876).";
    SRV = 33, "A server of a service (RFC 2782).";
    NAPTR = 35, "A naming authority pointer (RFC 3403).";
    KX = 36, "A key exchanger (RFC 2230).";
    CERT = 37, "A certificate (RFC 4398).";
    DNAME = 39, "Another subtree (RFC 6672).";
    OPT = 41, "Not a record, but EDNS (RFC 6891).";
    APL = 42, "Lists of address prefixes (RFC 3123).";
    DS = 43, "A delegation's signer (RFC 4034).";
    SSHFP = 44, "The fingerprint of an SSH key (RFC 4255).";
    RRSIG = 46, "A signature (RFC 4034).";
    NSEC = 47, "The next name (RFC 4034).";
    DNSKEY = 48, "A zone's key (RFC 4034).";
    DHCID = 49, "To whom a name belongs that DHCP gave (RFC 4701).";
    NSEC3 = 50, "The next hashed name (RFC 5155).";
    NSEC3PARAM = 51, "How names are hashed (RFC 5155).";
    TLSA = 52, "The certificate of a TLS server (RFC 6698).";
    SMIMEA = 53, "The certificate of a mail address (RFC 8162).";
    CDS = 59, "A child's DS (RFC 7344).";
    CDNSKEY = 60, "A child's DNSKEY (RFC 7344).";
    OPENPGPKEY = 61, "An OpenPGP key (RFC 7929).";
    CSYNC = 62, "What a parent may copy (RFC 7477).";
    SVCB = 64, "How a service is reached (RFC 9460).";
    HTTPS = 65, "How an HTTPS server is reached (RFC 9460).";
    SPF = 99, "Text, obsolete (RFC 7208).";
    IXFR = 251, "In questions: what changed in a zone (RFC 1995).";
    AXFR = 252, "In questions: a whole zone (RFC 5936).";
    ANY = 255, "In questions: all types (RFC 1035, RFC 8482).";
    URI = 256, "A URI (RFC 7553).";
    CAA = 257, "Who may issue certificates (RFC 8659).";
}

impl RecordType {
    /// Whether this is a type of questions alone, or of messages, never of a zone's records
    /// (RFC 6895 section 3.1).
    pub const fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255)
    }
}

impl fmt::Display for RecordType {
    /// The mnemonic, or `TYPE` and the code (RFC 3597 section 5).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(mnemonic) => f.write_str(mnemonic),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// No type is called like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no record type: {text}")]
pub struct ParseRecordTypeError {
    text: String,
}

impl FromStr for RecordType {
    type Err = ParseRecordTypeError;

    /// A mnemonic in any case, or `TYPE` and the code (RFC 3597 section 5).
    fn from_str(text: &str) -> Result<Self, ParseRecordTypeError> {
        let by_code = || {
            let prefix = text.get(..4)?;
            let digits = text.get(4..)?;
            let is_code = prefix.eq_ignore_ascii_case("TYPE")
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_code.then(|| digits.parse().ok().map(Self)).flatten()
        };
        let found = Self::of_mnemonic(text).or_else(by_code);
        found.ok_or_else(|| ParseRecordTypeError {
            text: text.to_owned(),
        })
    }
}

/// A record of the Internet's class.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Of what.
    pub owner: Name,
    /// What it is.
    pub kind: RecordType,
    /// For how many seconds it may be kept: at most 2^31 - 1 (RFC 2181 section 8).
    pub ttl_seconds: u32,
    /// The data in wire form, with names that are not compressed: at most 65,535 octets.
    pub data: Bytes,
}

impl Record {
    /// A record.
    pub fn new(owner: Name, kind: RecordType, ttl_seconds: u32, data: impl Into<Bytes>) -> Self {
        Self {
            owner,
            kind,
            ttl_seconds,
            data: data.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names_and_numbers() {
        for (text, kind, shown) in [
            ("a", RecordType::A, "A"),
            ("NSEC3PARAM", RecordType(51), "NSEC3PARAM"),
            ("type65280", RecordType(65280), "TYPE65280"),
            ("TYPE1", RecordType::A, "A"),
        ] {
            assert_eq!(text.parse(), Ok(kind));
            assert_eq!(kind.to_string(), shown);
        }
        for text in ["", "TYPE", "TYPE65536", "TYPE+1", "B", "TYP\u{c9}1"] {
            assert!(text.parse::<RecordType>().is_err(), "{text}");
        }
    }
}
