//! What an engine tells an operator.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use pxe_core::{IfIndex, SendFailure};

use crate::error::Refusal;
use crate::negotiate::{Mode, Negotiated, Requested};
use crate::wire::{DecodeError, ErrorCode, Opcode};

/// A transfer's number: unique as long as its engine lives, from the request to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub(crate) u64);

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A file name as a client sent it: any octets but NUL.
///
/// It displays as text with control characters, quotes, backslashes and octets that are no UTF-8
/// escaped, so that a hostile name can neither forge a log line nor move a terminal's cursor.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filename(Bytes);

impl Filename {
    /// A name of these octets.
    pub fn new(name: impl Into<Bytes>) -> Self {
        Self(name.into())
    }

    /// The octets as sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Filename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

impl fmt::Debug for Filename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Writes text for people, escaping what could be mistaken or do harm.
fn write_escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' | '"' => write!(f, "\\{character}")?,
                // Format characters can reorder the text around them (U+202E).
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    write!(f, "{}", character.escape_unicode())?;
                }
                _ if character.is_control() => write!(f, "{}", character.escape_default())?,
                _ => fmt::Write::write_char(f, character)?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// The text of a client's ERROR packet, at most 128 octets of it. Displays like [`Filename`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PeerMessage(Bytes);

impl PeerMessage {
    const BYTES_MAX: usize = 128;

    pub(crate) fn new(message: &[u8]) -> Self {
        let len = message.len().min(Self::BYTES_MAX);
        Self(Bytes::copy_from_slice(
            message.get(..len).unwrap_or_default(),
        ))
    }

    /// The octets as sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for PeerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

impl fmt::Debug for PeerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The two ends of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// The client's address and port (its transfer ID, RFC 1350 section 4).
    pub remote: SocketAddr,
    /// The address that it asked, where the driver knows it; answers leave from it.
    pub local_ip: Option<IpAddr>,
    /// The interface that the request came in on, where the driver knows it.
    pub interface: Option<IfIndex>,
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The last block was acknowledged.
    Complete,
    /// The client only wanted to know the file's length: it asked for `tsize` and sent an ERROR
    /// when it had the answer. EDK2 and Intel's boot ROMs do so before every download. Normal.
    Probe,
    /// The client sent an ERROR.
    #[non_exhaustive]
    Aborted {
        /// The number it gave.
        code: ErrorCode,
        /// The text it gave.
        message: PeerMessage,
    },
    /// The client answered no more.
    TimedOut,
    /// The client sent another request from the same port.
    Superseded,
    /// The client had not acknowledged the first packet for
    /// [`Limits::displaced_after`](crate::Limits::displaced_after), and another one needed the
    /// place.
    Displaced,
    /// The client's port or host cannot be reached, or packets to it cannot be sent.
    SendFailed(SendFailure),
    /// The server broke it off (no socket, no data, shutting down); the client got this ERROR.
    Failed(Refusal),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Probe => f.write_str("size probe"),
            Self::Aborted { code, message } => {
                write!(f, "aborted by the client: error {code}: {message}")
            }
            Self::TimedOut => f.write_str("the client answers no more"),
            Self::Superseded => f.write_str("superseded by the client's next request"),
            Self::Displaced => f.write_str("made room for others, since it did not answer"),
            Self::SendFailed(failure) => failure.fmt(f),
            Self::Failed(refusal) => refusal.fmt(f),
        }
    }
}

/// What a transfer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What it ran with.
    pub negotiated: Negotiated,
    /// Octets of the transfer's representation that the client acknowledged.
    pub bytes: u64,
    /// Blocks that the client acknowledged.
    pub blocks: u64,
    /// Packets that were sent again.
    pub retransmits: u64,
    /// ACKs that were of no use: duplicates, and numbers out of the window.
    pub stray_acks: u64,
    /// From the request to the end.
    pub duration: Duration,
}

/// A bound of [`Limits`](crate::Limits) that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::transfers_max`](crate::Limits::transfers_max).
    Transfers,
    /// [`Limits::transfers_per_remote_max`](crate::Limits::transfers_per_remote_max).
    TransfersPerRemote,
    /// [`Limits::incoming_max`](crate::Limits::incoming_max).
    Incoming,
    /// [`Limits::stray_replies_per_second`](crate::Limits::stray_replies_per_second): a reply was
    /// not sent.
    StrayReplies,
    /// [`Limits::replies_max`](crate::Limits::replies_max): an ERROR was not sent.
    Replies,
    /// [`Limits::outputs_max`](crate::Limits::outputs_max).
    Outputs,
    /// [`Limits::window_bytes_in_all_max`](crate::Limits::window_bytes_in_all_max): a smaller
    /// window, or block, was granted than there would have been room for else.
    WindowBytes,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transfers => "too many transfers",
            Self::TransfersPerRemote => "too many transfers with one client",
            Self::Incoming => "too many requests wait for their files",
            Self::StrayReplies => "too many stray packets",
            Self::Replies => "too many replies wait to be sent",
            Self::Outputs => "too much waits for the driver",
            Self::WindowBytes => "windows hold too much together: this one is smaller",
        })
    }
}

/// What peers can cause by one packet each, and as fast as they can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Noise {
    /// [`Event::RequestRepeated`].
    RequestRepeated,
    /// [`Event::Refused`] of requests that got no further.
    Refused,
    /// [`Event::BroadcastIgnored`].
    BroadcastIgnored,
    /// [`Event::Malformed`].
    Malformed,
    /// [`Event::UnknownTransfer`].
    UnknownTransfer,
    /// [`Event::LimitReached`] of this limit.
    LimitReached(Limit),
}

/// Something an operator may want to know. Peers cause these, so none is an error of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A read request came in; the driver is asked for the file.
    #[non_exhaustive]
    RequestReceived {
        /// Its number from now on.
        transfer: TransferId,
        /// Who asks whom.
        peer: Peer,
        /// The name as sent.
        filename: Filename,
        /// The mode.
        mode: Mode,
        /// The known options.
        options: Requested,
    },
    /// The same request came in again while its transfer runs, and was absorbed.
    #[non_exhaustive]
    RequestRepeated {
        /// The running transfer.
        transfer: TransferId,
        /// Who asks whom.
        peer: Peer,
        /// Whether the first packet is sent again (nothing was acknowledged yet).
        answered: bool,
    },
    /// The file is open, and the first packet is on its way.
    #[non_exhaustive]
    TransferStarted {
        /// Its number.
        transfer: TransferId,
        /// Who asks whom.
        peer: Peer,
        /// The name as sent.
        filename: Filename,
        /// The file's length in bytes.
        len: u64,
        /// Mode and options.
        negotiated: Negotiated,
    },
    /// A transfer that had started is over.
    #[non_exhaustive]
    TransferFinished {
        /// Its number.
        transfer: TransferId,
        /// Who asked whom.
        peer: Peer,
        /// The name as sent.
        filename: Filename,
        /// What it came to.
        report: Report,
    },
    /// A request was answered with an ERROR.
    #[non_exhaustive]
    Refused {
        /// Its number, where it got as far as [`Event::RequestReceived`].
        transfer: Option<TransferId>,
        /// Who asked whom.
        peer: Peer,
        /// RRQ or WRQ.
        opcode: Opcode,
        /// The name as sent.
        filename: Filename,
        /// The ERROR.
        refusal: Refusal,
    },
    /// A request was dropped before it was answered: the client sent another one from the same
    /// port, or gave up with an ERROR.
    #[non_exhaustive]
    RequestDropped {
        /// Its number.
        transfer: TransferId,
        /// Who asked whom.
        peer: Peer,
        /// The name as sent.
        filename: Filename,
    },
    /// A request to a broadcast or multicast address was ignored (RFC 1123 section 4.2.3.4).
    #[non_exhaustive]
    BroadcastIgnored {
        /// Who asked whom.
        peer: Peer,
        /// The name as sent.
        filename: Filename,
    },
    /// A datagram is no TFTP packet, or one that makes no sense where it came in.
    #[non_exhaustive]
    Malformed {
        /// Who sent it.
        peer: Peer,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A packet belongs to no transfer of its sender.
    #[non_exhaustive]
    UnknownTransfer {
        /// Who sent it.
        peer: Peer,
        /// What it is.
        opcode: Opcode,
    },
    /// A bound was met.
    #[non_exhaustive]
    LimitReached {
        /// Which one.
        limit: Limit,
        /// Whose packet met it.
        peer: Peer,
    },
    /// In the second that is over, so many more events of one kind happened than
    /// [`Limits::noise_events_per_second`](crate::Limits::noise_events_per_second), which were not
    /// told one by one.
    #[non_exhaustive]
    Untold {
        /// Which kind.
        noise: Noise,
        /// How many.
        count: u64,
    },
    /// Events were dropped since the driver did not poll them in time.
    #[non_exhaustive]
    EventsLost {
        /// How many.
        count: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_escaped() {
        let name = Filename::new(&b"a\nb\\\"\x1b[2J\xff\xe2\x80\xae\xc3\xa9"[..]);
        assert_eq!(name.to_string(), "a\\nb\\\\\\\"\\u{1b}[2J\\xff\\u{202e}é");
    }
}
