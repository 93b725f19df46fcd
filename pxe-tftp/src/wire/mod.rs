//! Bytes to packets and back: RFC 1350 section 5, RFC 2347.
//!
//! [`Packet::decode`] borrows from the datagram and allocates nothing; the `encode` functions
//! append to a buffer of the caller's. Neither panics, whatever the input.
//!
//! ```
//! use pxe_tftp::wire::{self, Packet};
//!
//! let rrq = b"\0\x01pxelinux.0\0octet\0BLKSIZE\01408\0tsize\00\0";
//! let Ok(Packet::ReadRequest(request)) = Packet::decode(rrq) else { panic!() };
//! assert_eq!(request.filename, b"pxelinux.0");
//! assert_eq!(request.options.get("blksize"), Some(&b"1408"[..]));
//!
//! let mut out = Vec::new();
//! wire::encode_ack(&mut out, 7);
//! assert_eq!(Packet::decode(&out), Ok(Packet::Ack { block: 7 }));
//! ```

mod encode;

use core::fmt;

pub use encode::{encode_ack, encode_data_header, encode_error, encode_oack, encode_request};

/// What kind of packet this is: the first two octets (RFC 1350 section 5, RFC 2347).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a plain number of the wire
pub struct Opcode(pub u16);

impl Opcode {
    /// Read request.
    pub const RRQ: Self = Self(1);
    /// Write request.
    pub const WRQ: Self = Self(2);
    /// Data.
    pub const DATA: Self = Self(3);
    /// Acknowledgment.
    pub const ACK: Self = Self(4);
    /// Error.
    pub const ERROR: Self = Self(5);
    /// Option acknowledgment (RFC 2347).
    pub const OACK: Self = Self(6);
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::RRQ => f.write_str("RRQ"),
            Self::WRQ => f.write_str("WRQ"),
            Self::DATA => f.write_str("DATA"),
            Self::ACK => f.write_str("ACK"),
            Self::ERROR => f.write_str("ERROR"),
            Self::OACK => f.write_str("OACK"),
            Self(other) => write!(f, "opcode {other}"),
        }
    }
}

/// The number in an ERROR packet (RFC 1350, appendix I; RFC 2347 adds 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a plain number of the wire
pub struct ErrorCode(pub u16);

impl ErrorCode {
    /// Not defined, see the message (if any).
    pub const NOT_DEFINED: Self = Self(0);
    /// File not found.
    pub const FILE_NOT_FOUND: Self = Self(1);
    /// Access violation.
    pub const ACCESS_VIOLATION: Self = Self(2);
    /// Disk full or allocation exceeded.
    pub const DISK_FULL: Self = Self(3);
    /// Illegal TFTP operation.
    pub const ILLEGAL_OPERATION: Self = Self(4);
    /// Unknown transfer ID.
    pub const UNKNOWN_TRANSFER_ID: Self = Self(5);
    /// File already exists.
    pub const FILE_ALREADY_EXISTS: Self = Self(6);
    /// No such user.
    pub const NO_SUCH_USER: Self = Self(7);
    /// The option negotiation was refused (RFC 2347).
    pub const OPTION_NEGOTIATION: Self = Self(8);
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NOT_DEFINED => f.write_str("0 (not defined)"),
            Self::FILE_NOT_FOUND => f.write_str("1 (file not found)"),
            Self::ACCESS_VIOLATION => f.write_str("2 (access violation)"),
            Self::DISK_FULL => f.write_str("3 (disk full)"),
            Self::ILLEGAL_OPERATION => f.write_str("4 (illegal operation)"),
            Self::UNKNOWN_TRANSFER_ID => f.write_str("5 (unknown transfer ID)"),
            Self::FILE_ALREADY_EXISTS => f.write_str("6 (file already exists)"),
            Self::NO_SUCH_USER => f.write_str("7 (no such user)"),
            Self::OPTION_NEGOTIATION => f.write_str("8 (option negotiation)"),
            Self(other) => other.fmt(f),
        }
    }
}

/// One TFTP packet, borrowed from a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// RRQ.
    ReadRequest(Request<'a>),
    /// WRQ.
    WriteRequest(Request<'a>),
    /// DATA.
    Data {
        /// The block number as sent: it wraps to 0 after 65535.
        block: u16,
        /// Any number of octets: only the negotiated block size says whether it is the last.
        payload: &'a [u8],
    },
    /// ACK.
    Ack {
        /// The block number as sent.
        block: u16,
    },
    /// ERROR.
    Error {
        /// What went wrong.
        code: ErrorCode,
        /// For a person; without its NUL. Some clients leave the NUL out, or the message.
        message: &'a [u8],
    },
    /// OACK (RFC 2347).
    OptionAck(Options<'a>),
}

/// What RRQ and WRQ carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The name as sent, without its NUL: any octets but NUL, never empty.
    pub filename: &'a [u8],
    /// The transfer mode as sent, without its NUL.
    pub mode: &'a [u8],
    /// The options (RFC 2347), maybe none.
    pub options: Options<'a>,
}

impl<'a> Request<'a> {
    /// A request from its parts.
    pub const fn new(filename: &'a [u8], mode: &'a [u8], options: Options<'a>) -> Self {
        Self {
            filename,
            mode,
            options,
        }
    }
}

/// Options in the order in which they were sent: each a name, NUL, a value, NUL (RFC 2347).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// Whole pairs only, each string with its NUL.
    pairs: &'a [u8],
}

impl<'a> Options<'a> {
    /// No options.
    pub const NONE: Self = Self { pairs: &[] };

    /// Reads pairs of NUL-terminated strings up to the first that is not whole.
    ///
    /// What follows (padding, a value without its NUL) is ignored: a request is still good
    /// without it, and old boot ROMs pad.
    pub fn decode(bytes: &'a [u8]) -> Self {
        let mut rest = bytes;
        while let Some((name, after_name)) = split_nul(rest) {
            let Some((_value, after_value)) = split_nul(after_name) else {
                break;
            };
            if name.is_empty() {
                break;
            }
            rest = after_value;
        }
        let (pairs, _ignored) = bytes.split_at(bytes.len() - rest.len());
        Self { pairs }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Names and values as sent, without their NULs.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.pairs;
        core::iter::from_fn(move || {
            let (name, after_name) = split_nul(rest)?;
            let (value, after_value) = split_nul(after_name)?;
            rest = after_value;
            Some((name, value))
        })
    }

    /// The first value of this option, whatever the case of its name (RFC 2347).
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The pairs as they are on the wire.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.pairs
    }
}

/// Why a datagram is no TFTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer octets than the fixed part of the packet takes.
    #[error("packet of {len} bytes is too short")]
    TooShort {
        /// Octets in the datagram.
        len: usize,
    },
    /// Not one of 1 to 6.
    #[error("opcode {opcode} is not one of TFTP")]
    UnknownOpcode {
        /// The first two octets.
        opcode: u16,
    },
    /// A request with no file name.
    #[error("request names no file")]
    EmptyFilename,
    /// A request whose file name or mode does not end in NUL.
    #[error("request ends within its file name or mode")]
    UnterminatedString,
}

impl<'a> Packet<'a> {
    /// Reads one datagram.
    ///
    /// # Errors
    ///
    /// The datagram is no TFTP packet. Options never make a request wrong: see
    /// [`Options::decode`].
    pub fn decode(datagram: &'a [u8]) -> Result<Self, DecodeError> {
        let too_short = DecodeError::TooShort {
            len: datagram.len(),
        };
        let (opcode, body) = split_u16(datagram).ok_or(too_short)?;
        match Opcode(opcode) {
            Opcode::RRQ => Ok(Self::ReadRequest(decode_request(body)?)),
            Opcode::WRQ => Ok(Self::WriteRequest(decode_request(body)?)),
            Opcode::DATA => {
                let (block, payload) = split_u16(body).ok_or(too_short)?;
                Ok(Self::Data { block, payload })
            }
            Opcode::ACK => {
                // Octets after the block number are ignored: some stacks pad to 60.
                let (block, _padding) = split_u16(body).ok_or(too_short)?;
                Ok(Self::Ack { block })
            }
            Opcode::ERROR => {
                let (code, message) = split_u16(body).ok_or(too_short)?;
                let message = split_nul(message).map_or(message, |(message, _)| message);
                Ok(Self::Error {
                    code: ErrorCode(code),
                    message,
                })
            }
            Opcode::OACK => Ok(Self::OptionAck(Options::decode(body))),
            Opcode(opcode) => Err(DecodeError::UnknownOpcode { opcode }),
        }
    }

    /// The opcode that this packet starts with.
    pub const fn opcode(&self) -> Opcode {
        match self {
            Self::ReadRequest(_) => Opcode::RRQ,
            Self::WriteRequest(_) => Opcode::WRQ,
            Self::Data { .. } => Opcode::DATA,
            Self::Ack { .. } => Opcode::ACK,
            Self::Error { .. } => Opcode::ERROR,
            Self::OptionAck(_) => Opcode::OACK,
        }
    }

    /// Appends the packet to `out`. What was decoded leniently is written strictly.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::ReadRequest(request) => encode_request(out, Opcode::RRQ, request),
            Self::WriteRequest(request) => encode_request(out, Opcode::WRQ, request),
            Self::Data { block, payload } => {
                encode_data_header(out, *block);
                out.extend_from_slice(payload);
            }
            Self::Ack { block } => encode_ack(out, *block),
            Self::Error { code, message } => encode_error(out, *code, message),
            Self::OptionAck(options) => encode_oack(out, options.iter()),
        }
    }
}

fn decode_request(body: &[u8]) -> Result<Request<'_>, DecodeError> {
    let (filename, rest) = split_nul(body).ok_or(DecodeError::UnterminatedString)?;
    if filename.is_empty() {
        return Err(DecodeError::EmptyFilename);
    }
    let (mode, rest) = split_nul(rest).ok_or(DecodeError::UnterminatedString)?;
    Ok(Request {
        filename,
        mode,
        options: Options::decode(rest),
    })
}

/// The first two octets as a number in network order, and the rest.
fn split_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// What precedes the first NUL, and what follows it.
fn split_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    let (string, rest) = bytes.split_at_checked(end)?;
    Some((string, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_case_insensitive_and_in_any_order() {
        let options = Options::decode(b"TSize\x000\0x-unknown\0?\0bLkSiZe\x001432\0");
        assert_eq!(options.get("blksize"), Some(&b"1432"[..]));
        assert_eq!(options.get("tsize"), Some(&b"0"[..]));
        assert_eq!(options.get("windowsize"), None);
        assert_eq!(options.iter().count(), 3);
    }

    #[test]
    fn first_of_duplicate_options_counts() {
        let options = Options::decode(b"blksize\x001024\0BLKSIZE\x00512\0");
        assert_eq!(options.get("blksize"), Some(&b"1024"[..]));
    }

    #[test]
    fn what_follows_the_last_whole_option_is_ignored() {
        for tail in [&b"blksize"[..], b"blksize\x0014", b"\0\0\0\0", b"\0"] {
            let mut bytes = b"tsize\x000\0".to_vec();
            bytes.extend_from_slice(tail);
            let options = Options::decode(&bytes);
            assert_eq!(options.as_bytes(), b"tsize\x000\0");
        }
    }

    #[test]
    fn malformed_packets_are_told_apart() {
        use DecodeError::*;
        let cases: [(&[u8], DecodeError); 9] = [
            (b"", TooShort { len: 0 }),
            (b"\0", TooShort { len: 1 }),
            (b"\0\x03\0", TooShort { len: 3 }),
            (b"\0\x04", TooShort { len: 2 }),
            (b"\0\x05\0", TooShort { len: 3 }),
            (b"\0\x07\0\0", UnknownOpcode { opcode: 7 }),
            (b"\0\x01\0octet\0", EmptyFilename),
            (b"\0\x01file", UnterminatedString),
            (b"\0\x01file\0octet", UnterminatedString),
        ];
        for (datagram, error) in cases {
            assert_eq!(Packet::decode(datagram), Err(error), "{datagram:?}");
        }
    }

    #[test]
    fn error_without_message_or_nul_is_understood() {
        let code = ErrorCode::NOT_DEFINED;
        for (datagram, message) in [
            (&b"\0\x05\0\0"[..], &b""[..]),
            (b"\0\x05\0\0\0", b""),
            (b"\0\x05\0\0TFTP Aborted", b"TFTP Aborted"),
            (b"\0\x05\0\0TFTP Aborted\0", b"TFTP Aborted"),
        ] {
            assert_eq!(
                Packet::decode(datagram),
                Ok(Packet::Error { code, message })
            );
        }
    }
}
