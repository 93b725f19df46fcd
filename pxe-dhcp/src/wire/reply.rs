//! Writing a message.

use core::fmt;
use core::net::Ipv4Addr;

use super::{HEADER_BYTES, MAGIC_COOKIE, Message, Op, OptionCode};

/// No reply is shorter: relays drop what is below BOOTP's size (RFC 951 section 3; opnsense/core
/// issue 7744).
pub const MESSAGE_BYTES_MIN: usize = 300;
/// What option 57 counts besides the message: the IP and UDP headers.
///
/// RFC 2131 section 2 takes 576 as an IP datagram's length, so a message of 548 bytes always fits.
pub const UDP_IP_HEADER_BYTES: usize = 28;

/// What a message without options takes: the fixed fields, the cookie and END.
const FIXED_BYTES: usize = HEADER_BYTES + MAGIC_COOKIE.len() + 1;

/// The fixed fields of a message to write (RFC 2131 section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Who sends it.
    pub op: Op,
    /// The hardware type.
    pub htype: u8,
    /// The hardware address's length, as the client said it.
    pub hlen: u8,
    /// Relays passed.
    pub hops: u8,
    /// The transaction's number.
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// Flags; see [`BROADCAST_FLAG`](super::BROADCAST_FLAG).
    pub flags: u16,
    /// The client's own address.
    pub ciaddr: Ipv4Addr,
    /// The address that is given.
    pub yiaddr: Ipv4Addr,
    /// The server to boot from.
    pub siaddr: Ipv4Addr,
    /// The relay's address.
    pub giaddr: Ipv4Addr,
    /// The hardware address, filled up with zeros.
    pub chaddr: [u8; 16],
}

impl Header {
    /// A BOOTREPLY with all else zero, for Ethernet.
    pub const fn reply() -> Self {
        Self {
            op: Op::Reply,
            htype: 1,
            hlen: 6,
            hops: 0,
            xid: 0,
            secs: 0,
            flags: 0,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            chaddr: [0; 16],
        }
    }

    /// A BOOTREQUEST with all else zero, for Ethernet.
    pub const fn request() -> Self {
        let mut header = Self::reply();
        header.op = Op::Request;
        header
    }

    /// The fixed fields of a message that was read.
    pub fn of(message: &Message<'_>) -> Self {
        let address = |address: Option<Ipv4Addr>| address.unwrap_or(Ipv4Addr::UNSPECIFIED);
        Self {
            op: message.op(),
            htype: message.htype(),
            hlen: message.hlen(),
            hops: message.hops(),
            xid: message.xid(),
            secs: message.secs(),
            flags: message.flags(),
            ciaddr: address(message.ciaddr()),
            yiaddr: address(message.yiaddr()),
            siaddr: address(message.siaddr()),
            giaddr: address(message.giaddr()),
            chaddr: message.chaddr_field(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.op.number(), self.htype, self.hlen, self.hops]);
        out.extend_from_slice(&self.xid.to_be_bytes());
        out.extend_from_slice(&self.secs.to_be_bytes());
        out.extend_from_slice(&self.flags.to_be_bytes());
        for address in [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr] {
            out.extend_from_slice(&address.octets());
        }
        out.extend_from_slice(&self.chaddr);
    }
}

/// What may be left out of a message that would grow too long: the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// Nobody asked for it, or it repeats what stands elsewhere.
    Extra,
    /// The client asked for it.
    Requested,
    /// The client asked for it, and may not boot without it: a root path, say.
    Boot,
    /// Never left out: the protocol asks for it, or the boot depends on it.
    Required,
}

/// A message does not fit, even without all that may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ReplyTooLong {
    /// The length in bytes that the required options alone need.
    pub len: usize,
    /// The length that was allowed.
    pub limit: usize,
}

impl fmt::Display for ReplyTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "message of {} bytes exceeds the {} that are allowed",
            self.len, self.limit
        )
    }
}

impl core::error::Error for ReplyTooLong {}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The message's length in bytes.
    pub len: usize,
    /// The options that were left out, in the order in which they were.
    pub dropped: Vec<OptionCode>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    code: OptionCode,
    data: Vec<u8>,
    priority: Priority,
}

impl Entry {
    fn wire_len(&self) -> usize {
        option_wire_len(self.data.len())
    }
}

/// The bytes on the wire of an option with a value of this length: a code and a length per 255
/// bytes (RFC 3396).
pub(crate) const fn option_wire_len(len: usize) -> usize {
    let parts = len.div_ceil(255);
    len + 2 * if parts == 0 { 1 } else { parts }
}

/// A message to write: fixed fields, names, and options in the order in which they were pushed,
/// but for 53 and 54, which come first, and 82, which comes last (RFC 3046 section 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    header: Header,
    sname: Vec<u8>,
    file: Vec<u8>,
    entries: Vec<Entry>,
}

impl Reply {
    /// A message without options.
    pub const fn new(header: Header) -> Self {
        Self {
            header,
            sname: Vec::new(),
            file: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// The same content as a message that was read, split options joined.
    pub fn of(message: &Message<'_>) -> Self {
        let mut reply = Self::new(Header::of(message));
        reply.set_sname(message.sname().unwrap_or_default());
        reply.set_file(message.file().unwrap_or_default());
        let mut last_seen = [false; 256];
        for option in message.options() {
            let seen = &mut last_seen[usize::from(option.code.0)];
            // `sname` and `file` are never overloaded here, so 52 would lie.
            if *seen || option.code == OptionCode::OVERLOAD {
                continue;
            }
            *seen = true;
            let data = message.option(option.code).unwrap_or_default();
            reply.push(option.code, data, Priority::Required);
        }
        reply
    }

    /// The fixed fields.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Puts a name into the `sname` field; whether it fits, with its NUL, into 64 bytes. One that
    /// does not leaves the field empty.
    pub fn set_sname(&mut self, name: &[u8]) -> bool {
        set_name(&mut self.sname, name, 64)
    }

    /// Puts a name into the `file` field; whether it fits, with its NUL, into 128 bytes. One that
    /// does not leaves the field empty.
    pub fn set_file(&mut self, name: &[u8]) -> bool {
        set_name(&mut self.file, name, 128)
    }

    /// Adds an option. A code that is there already gets the new value instead, in its old place;
    /// PAD and END are not options and change nothing.
    pub fn push(&mut self, code: OptionCode, data: impl AsRef<[u8]>, priority: Priority) {
        if matches!(code, OptionCode::PAD | OptionCode::END) {
            return;
        }
        let data = data.as_ref().to_vec();
        match self.entries.iter_mut().find(|entry| entry.code == code) {
            Some(entry) => (entry.data, entry.priority) = (data, priority),
            None => self.entries.push(Entry {
                code,
                data,
                priority,
            }),
        }
    }

    /// Whether an option was added.
    pub fn has(&self, code: OptionCode) -> bool {
        self.entries.iter().any(|entry| entry.code == code)
    }

    /// How many bytes the message takes without all that may be left out.
    pub fn required_len(&self) -> usize {
        let required = self.entries.iter();
        let required = required.filter(|entry| entry.priority == Priority::Required);
        let options: usize = required.map(Entry::wire_len).sum();
        (FIXED_BYTES + options).max(MESSAGE_BYTES_MIN)
    }

    /// Adds a text with a NUL after it, as options 66 and 67 need.
    ///
    /// Boot ROMs read on into the next byte, so that END becomes part of the name
    /// (netbootxyz/netboot.xyz issue 1198), and EDK2 writes a NUL over the byte after option 67
    /// (`PxeBcParseDhcp4Packet`).
    pub fn push_text(&mut self, code: OptionCode, text: &[u8], priority: Priority) {
        let mut data = text.to_vec();
        data.push(0);
        self.push(code, data, priority);
    }

    /// Appends the message to `out`, in at most `limit` bytes, padded with zeros after END to
    /// [`MESSAGE_BYTES_MIN`]. (PAD before END stops old U-Boots: insomniacslk/dhcp request 408.)
    ///
    /// # Errors
    ///
    /// If the required options alone do not fit; nothing is appended then.
    pub fn write(&self, limit: usize, out: &mut Vec<u8>) -> Result<Written, ReplyTooLong> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| match entry.code {
            OptionCode::MESSAGE_TYPE => 0,
            OptionCode::SERVER_ID => 1,
            OptionCode::RELAY_AGENT_INFO => 3,
            _ => 2,
        });
        let mut len = FIXED_BYTES + entries.iter().map(|entry| entry.wire_len()).sum::<usize>();
        let mut dropped = Vec::new();
        while len > limit {
            // The last of the lowest priority goes first.
            let last = entries
                .iter()
                .enumerate()
                .rev()
                .min_by_key(|(_, entry)| entry.priority);
            match last {
                Some((index, entry)) if entry.priority < Priority::Required => {
                    len -= entry.wire_len();
                    dropped.push(entries.remove(index).code);
                }
                _ => return Err(ReplyTooLong { len, limit }),
            }
        }
        if limit < MESSAGE_BYTES_MIN {
            return Err(ReplyTooLong {
                len: MESSAGE_BYTES_MIN,
                limit,
            });
        }
        let start = out.len();
        self.header.write(out);
        out.extend_from_slice(&self.sname);
        out.resize(start + 108, 0);
        out.extend_from_slice(&self.file);
        out.resize(start + HEADER_BYTES, 0);
        out.extend_from_slice(&MAGIC_COOKIE);
        for entry in entries {
            write_option(entry, out);
        }
        out.push(OptionCode::END.0);
        if out.len() - start < MESSAGE_BYTES_MIN {
            out.resize(start + MESSAGE_BYTES_MIN, 0);
        }
        Ok(Written {
            len: out.len() - start,
            dropped,
        })
    }
}

fn write_option(entry: &Entry, out: &mut Vec<u8>) {
    let mut rest = entry.data.as_slice();
    loop {
        let part_len = u8::try_from(rest.len()).unwrap_or(u8::MAX);
        let (part, tail) = rest.split_at(usize::from(part_len));
        out.extend_from_slice(&[entry.code.0, part_len]);
        out.extend_from_slice(part);
        if tail.is_empty() {
            return;
        }
        rest = tail;
    }
}

fn set_name(field: &mut Vec<u8>, name: &[u8], size: usize) -> bool {
    field.clear();
    let fits = name.len() < size;
    if fits {
        field.extend_from_slice(name);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, limit: usize) -> Result<(Vec<u8>, Written), ReplyTooLong> {
        let mut bytes = Vec::new();
        reply
            .write(limit, &mut bytes)
            .map(|written| (bytes, written))
    }

    #[test]
    fn padding_is_zeros_after_end() {
        let mut reply = Reply::new(Header::reply());
        reply.push(OptionCode::MESSAGE_TYPE, [2], Priority::Required);
        let (bytes, written) = written(&reply, 548).expect("fits");
        assert_eq!((bytes.len(), written.len), (300, 300));
        assert_eq!(bytes[240..244], [53, 1, 2, 255]);
        assert!(bytes[244..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn type_and_server_come_first_and_relay_information_last() {
        let mut reply = Reply::new(Header::reply());
        for code in [82, 1, 54, 3, 53] {
            reply.push(OptionCode(code), [9; 4], Priority::Required);
        }
        let (bytes, _) = written(&reply, 548).expect("fits");
        let message = Message::parse(&bytes).expect("a message");
        let order: Vec<_> = message.options().map(|option| option.code.0).collect();
        assert_eq!(order, [53, 54, 1, 3, 82]);
    }

    #[test]
    fn long_options_are_split_and_read_back_whole() {
        for len in [0, 1, 254, 255, 256, 510, 511, 700] {
            let data: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
            let mut reply = Reply::new(Header::reply());
            reply.push(OptionCode(43), &data, Priority::Required);
            let (bytes, _) = written(&reply, 1472).expect("fits");
            let message = Message::parse(&bytes).expect("a message");
            assert_eq!(
                message.option(OptionCode(43)).as_deref(),
                Some(&data[..]),
                "{len}"
            );
        }
    }

    #[test]
    fn low_priorities_are_left_out_first_and_required_ones_never() {
        let mut reply = Reply::new(Header::reply());
        reply.push(OptionCode(67), [b'f'; 100], Priority::Required);
        reply.push(OptionCode(6), [1; 100], Priority::Requested);
        reply.push(OptionCode(119), [1; 100], Priority::Requested);
        reply.push(OptionCode(200), [1; 100], Priority::Extra);
        let dropped = |limit| {
            let codes = written(&reply, limit).map(|(bytes, written)| {
                assert!(bytes.len() <= limit && bytes.len() >= MESSAGE_BYTES_MIN);
                written
                    .dropped
                    .iter()
                    .map(|code| code.0)
                    .collect::<Vec<_>>()
            });
            codes.map_err(|error| error.len)
        };
        assert_eq!(dropped(1472), Ok(vec![]));
        assert_eq!(dropped(576), Ok(vec![200]));
        assert_eq!(dropped(500), Ok(vec![200, 119]));
        assert_eq!(dropped(400), Ok(vec![200, 119, 6]));
        assert_eq!(dropped(342), Err(343));
    }

    #[test]
    fn names_end_with_a_nul() {
        let mut reply = Reply::new(Header::reply());
        reply.push_text(OptionCode::BOOT_FILE_NAME, b"a.efi", Priority::Required);
        assert!(reply.set_file(&[b'f'; 127]));
        assert!(!reply.set_sname(&[b's'; 64]));
        let (bytes, _) = written(&reply, 548).expect("fits");
        assert_eq!(bytes[240..249], *b"\x43\x06a.efi\0\xff");
        assert_eq!(bytes[235], 0);
        assert_eq!(Message::parse(&bytes).expect("a message").sname(), None);
    }

    #[test]
    fn a_second_value_replaces_the_first() {
        let mut reply = Reply::new(Header::reply());
        reply.push(OptionCode(6), [1; 4], Priority::Requested);
        reply.push(OptionCode(6), [2; 4], Priority::Required);
        reply.push(OptionCode::END, [1], Priority::Required);
        let (bytes, _) = written(&reply, 548).expect("fits");
        assert_eq!(bytes[240..247], [6, 4, 2, 2, 2, 2, 255]);
    }
}
