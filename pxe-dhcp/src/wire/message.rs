//! Reading a message.

use core::fmt;
use core::net::Ipv4Addr;
use std::borrow::Cow;

use pxe_core::MacAddr;

use super::{
    ClientFqdn, IpxeFeatures, MachineUuid, MessageType, OptionCode, OptionWalk, PxeBootItem,
    PxeOptions, RelayAgentInfo, UserClasses,
};
use crate::ClientArch;

/// The length of the fixed fields, `op` to `file` (RFC 2131 section 2).
pub const HEADER_BYTES: usize = 236;
/// Where the options begin: after the fixed fields and the magic cookie.
pub const OPTIONS_OFFSET: usize = HEADER_BYTES + MAGIC_COOKIE.len();
/// What precedes the options (RFC 2131 section 3).
pub const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The B bit of `flags`: the client cannot receive unicast yet (RFC 2131 section 2, figure 2).
pub const BROADCAST_FLAG: u16 = 0x8000;

/// Who sent a message (the `op` field).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// A client or a relay: BOOTREQUEST.
    Request,
    /// A server: BOOTREPLY.
    Reply,
}

impl Op {
    /// The octet on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
        }
    }
}

/// A datagram is no BOOTP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseMessageError {
    /// It is shorter than the fixed fields.
    TooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// It is longer than a UDP datagram can be.
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Its `op` is neither BOOTREQUEST nor BOOTREPLY.
    UnknownOp(u8),
}

impl fmt::Display for ParseMessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { len } => {
                write!(
                    f,
                    "BOOTP message of {len} bytes is shorter than {HEADER_BYTES}"
                )
            }
            Self::TooLong { len } => write!(f, "message of {len} bytes exceeds a UDP datagram"),
            Self::UnknownOp(op) => write!(f, "BOOTP op {op} is neither request nor reply"),
        }
    }
}

impl core::error::Error for ParseMessageError {}

/// A set of option codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct CodeSet([u64; 4]);

impl CodeSet {
    fn has(&self, code: OptionCode) -> bool {
        self.0[usize::from(code.0 >> 6)] & 1 << (code.0 & 63) != 0
    }

    /// Puts the code in; whether it was new.
    fn insert(&mut self, code: OptionCode) -> bool {
        let is_new = !self.has(code);
        self.0[usize::from(code.0 >> 6)] |= 1 << (code.0 & 63);
        is_new
    }
}

/// A BOOTP or DHCP message, borrowed from its datagram.
///
/// Accessors of options give `None` for an option that is missing or cannot mean anything; which
/// of them were malformed is said by [`malformed`](Self::malformed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    op: Op,
    header: &'a [u8; HEADER_BYTES],
    /// What follows the magic cookie; empty without one.
    options: &'a [u8],
    has_cookie: bool,
    overload: u8,
    present: CodeSet,
    repeated: CodeSet,
}

impl<'a> Message<'a> {
    /// Reads a datagram's payload.
    ///
    /// A message without the magic cookie has no options: it is plain BOOTP (RFC 1534).
    ///
    /// # Errors
    ///
    /// If the fixed fields are not all there, or `op` is unknown. No option can cause an error.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseMessageError> {
        let len = bytes.len();
        if len > usize::from(u16::MAX) {
            return Err(ParseMessageError::TooLong { len });
        }
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(ParseMessageError::TooShort { len });
        };
        let op = match header[0] {
            1 => Op::Request,
            2 => Op::Reply,
            other => return Err(ParseMessageError::UnknownOp(other)),
        };
        let (options, has_cookie) = match rest.strip_prefix(&MAGIC_COOKIE) {
            Some(options) => (options, true),
            None => (&[][..], false),
        };
        let mut message = Self {
            op,
            header,
            options,
            has_cookie,
            overload: 0,
            present: CodeSet::default(),
            repeated: CodeSet::default(),
        };
        let overload = OptionWalk::new(options, None, None)
            .find(|option| option.code == OptionCode::OVERLOAD && option.data.len() == 1);
        message.overload = overload
            .and_then(|option| option.data.first().copied())
            .unwrap_or(0);
        for option in message.options() {
            if !message.present.insert(option.code) {
                message.repeated.insert(option.code);
            }
        }
        Ok(message)
    }

    /// The bytes that it was read from, to be kept and read again.
    pub fn to_bytes(&self) -> Vec<u8> {
        let cookie: &[u8] = match self.has_cookie {
            true => &MAGIC_COOKIE,
            false => &[],
        };
        [self.header.as_slice(), cookie, self.options].concat()
    }

    /// How many bytes it has, options included.
    pub const fn wire_len(&self) -> usize {
        let cookie = if self.has_cookie {
            MAGIC_COOKIE.len()
        } else {
            0
        };
        HEADER_BYTES + cookie + self.options.len()
    }

    /// Who sent it.
    pub const fn op(&self) -> Op {
        self.op
    }

    /// The hardware type; 1 is Ethernet (RFC 1700).
    pub const fn htype(&self) -> u8 {
        self.header[1]
    }

    /// The length of the hardware address as sent; it may exceed the 16 bytes of `chaddr`.
    pub const fn hlen(&self) -> u8 {
        self.header[2]
    }

    /// How many relays it passed.
    pub const fn hops(&self) -> u8 {
        self.header[3]
    }

    /// The transaction's number.
    pub fn xid(&self) -> u32 {
        u32::from_be_bytes(self.array(4))
    }

    /// Seconds since the client began, as it says.
    pub fn secs(&self) -> u16 {
        u16::from_be_bytes(self.array(8))
    }

    /// The flags; see [`BROADCAST_FLAG`]. Clients that set further bits exist (opnsense/core
    /// issue 8081), and nothing is concluded from those.
    pub fn flags(&self) -> u16 {
        u16::from_be_bytes(self.array(10))
    }

    /// Whether the broadcast flag is set.
    pub fn is_broadcast(&self) -> bool {
        self.flags() & BROADCAST_FLAG != 0
    }

    /// The address that the client has and can be reached at, if any.
    pub fn ciaddr(&self) -> Option<Ipv4Addr> {
        self.address(12)
    }

    /// The address that a server gives.
    pub fn yiaddr(&self) -> Option<Ipv4Addr> {
        self.address(16)
    }

    /// The server to boot from.
    pub fn siaddr(&self) -> Option<Ipv4Addr> {
        self.address(20)
    }

    /// The first relay's address on the client's link, if it was relayed.
    pub fn giaddr(&self) -> Option<Ipv4Addr> {
        self.address(24)
    }

    /// The 16 bytes of `chaddr`.
    pub fn chaddr_field(&self) -> [u8; 16] {
        self.array(28)
    }

    /// The hardware address: the first `hlen` bytes of `chaddr`.
    ///
    /// An `hlen` beyond 16 counts as 6 with Ethernet and as 16 otherwise: firmware sends 255 or 0
    /// there, and EDK2 sends 16 with the machine's UUID in `chaddr` (`PcdPxe..SendGUID`).
    pub fn chaddr(&self) -> &'a [u8] {
        let len = match (self.htype(), self.hlen()) {
            (1, 0 | 17..) => 6,
            (_, hlen) => usize::from(hlen.min(16)),
        };
        &self.header[28..28 + len]
    }

    /// The Ethernet address, if the client has one and says it: `htype` 1, six bytes, not zero.
    pub fn mac(&self) -> Option<MacAddr> {
        let octets: [u8; 6] = self.chaddr().try_into().ok()?;
        (self.htype() == 1 && octets != [0; 6]).then_some(MacAddr::new(octets))
    }

    /// The `sname` field up to its first NUL; `None` if empty or overloaded.
    pub fn sname(&self) -> Option<&'a [u8]> {
        (self.overload & 2 == 0)
            .then(|| until_nul(&self.header[44..108]))
            .flatten()
    }

    /// The `file` field up to its first NUL; `None` if empty or overloaded.
    pub fn file(&self) -> Option<&'a [u8]> {
        (self.overload & 1 == 0)
            .then(|| until_nul(&self.header[108..236]))
            .flatten()
    }

    /// Whether the magic cookie is there. Without it this is BOOTP, and has no options.
    pub const fn has_magic_cookie(&self) -> bool {
        self.has_cookie
    }

    /// The options in their order, as they stand in the message.
    pub fn options(&self) -> OptionWalk<'a> {
        OptionWalk::new(
            self.options,
            (self.overload & 1 != 0).then_some(&self.header[108..236]),
            (self.overload & 2 != 0).then_some(&self.header[44..108]),
        )
    }

    /// Whether an option is there, whatever its value.
    pub fn has_option(&self, code: OptionCode) -> bool {
        self.present.has(code)
    }

    /// An option's value; the parts of a split one are joined in their order, adjacent or not
    /// (RFC 3396 section 7).
    ///
    /// Only a split option is copied, and its length is bounded by the datagram's.
    pub fn option(&self, code: OptionCode) -> Option<Cow<'a, [u8]>> {
        if !self.present.has(code) {
            return None;
        }
        let mut parts = self.options().filter(|option| option.code == code);
        let first = parts.next()?.data;
        if !self.repeated.has(code) {
            return Some(Cow::Borrowed(first));
        }
        let mut joined = first.to_vec();
        for part in parts {
            joined.extend_from_slice(part.data);
        }
        Some(Cow::Owned(joined))
    }

    /// The options whose length cannot be right, or ran beyond their field: each code once.
    pub fn malformed(&self) -> impl Iterator<Item = OptionCode> + '_ {
        // In two walks, however many options are split into however many parts.
        let (mut lens, mut truncated) = ([0_usize; 256], CodeSet::default());
        for option in self.options() {
            lens[usize::from(option.code.0)] += option.data.len();
            if option.truncated {
                truncated.insert(option.code);
            }
        }
        let mut seen = CodeSet::default();
        self.options()
            .map(|option| option.code)
            .filter(move |code| {
                seen.insert(*code)
                    && (truncated.has(*code) || !code.takes_len(lens[usize::from(code.0)]))
            })
    }

    /// Option 53; `None` in plain BOOTP.
    pub fn message_type(&self) -> Option<MessageType> {
        // A repeated 53 is a client that says it twice, not an option of two bytes.
        let option = self
            .options()
            .find(|option| option.code == OptionCode::MESSAGE_TYPE)?;
        option.data.first().copied().map(MessageType)
    }

    /// Option 50, the address that the client asks for.
    pub fn requested_address(&self) -> Option<Ipv4Addr> {
        self.option_address(OptionCode::REQUESTED_ADDRESS)
    }

    /// Option 54, the server that the client speaks to.
    pub fn server_id(&self) -> Option<Ipv4Addr> {
        self.option_address(OptionCode::SERVER_ID)
    }

    /// Option 51, the lease time that the client asks for, or is given, in seconds.
    pub fn lease_seconds(&self) -> Option<u32> {
        Some(u32::from_be_bytes(
            self.option_array(OptionCode::LEASE_TIME)?,
        ))
    }

    /// Option 55, the codes that the client asks for, in its order of preference.
    pub fn parameter_request_list(&self) -> Option<Cow<'a, [u8]>> {
        self.option(OptionCode::PARAMETER_REQUEST_LIST)
    }

    /// Option 57, the longest message that the client takes, in bytes.
    pub fn max_message_size(&self) -> Option<u16> {
        Some(u16::from_be_bytes(
            self.option_array(OptionCode::MAX_MESSAGE_SIZE)?,
        ))
    }

    /// Option 60, without NULs at its end.
    pub fn vendor_class(&self) -> Option<Cow<'a, [u8]>> {
        Some(without_nul(self.option(OptionCode::VENDOR_CLASS)?))
    }

    /// Option 61, the client identifier.
    pub fn client_id(&self) -> Option<Cow<'a, [u8]>> {
        self.option(OptionCode::CLIENT_ID)
            .filter(|data| !data.is_empty())
    }

    /// Option 77, the user classes.
    pub fn user_classes(&self) -> UserClasses<'a> {
        let data = self
            .option(OptionCode::USER_CLASS)
            .unwrap_or(Cow::Borrowed(&[]));
        UserClasses { data }
    }

    /// Option 12, the client's host name, without NULs at its end.
    pub fn host_name(&self) -> Option<Cow<'a, [u8]>> {
        let name = without_nul(self.option(OptionCode::HOST_NAME)?);
        (!name.is_empty()).then_some(name)
    }

    /// Option 81, the client's full domain name.
    pub fn client_fqdn(&self) -> Option<ClientFqdn> {
        ClientFqdn::read(&self.option(OptionCode::CLIENT_FQDN)?)
    }

    /// Option 82, what the relay added. The value is joined first if it was split.
    pub fn relay_agent_info(&self) -> Option<Cow<'a, [u8]>> {
        self.option(OptionCode::RELAY_AGENT_INFO)
    }

    /// Option 82 sub-option 5 (RFC 3527), else option 118 (RFC 3011): the link that the client
    /// wants an address on, where it is not that of `giaddr`.
    pub fn link_selection(&self) -> Option<Ipv4Addr> {
        let relay = self.relay_agent_info();
        let by_relay = relay.and_then(|info| RelayAgentInfo::new(&info).link_selection());
        by_relay.or_else(|| self.option_address(OptionCode::SUBNET_SELECTION))
    }

    /// Option 93, the architectures that the client can boot, its preferred one first.
    ///
    /// One option may hold several (RFC 5970 section 3.3 says so for DHCPv6, and firmware does it
    /// in DHCPv4). A half one at the end is left out.
    pub fn architectures(&self) -> Vec<ClientArch> {
        let Some(data) = self.option(OptionCode::CLIENT_ARCH) else {
            return Vec::new();
        };
        let (pairs, _) = data.as_chunks::<2>();
        pairs
            .iter()
            .map(|pair| ClientArch(u16::from_be_bytes(*pair)))
            .collect()
    }

    /// Option 94, the network interface: its type, and the UNDI version's major and minor number.
    pub fn network_interface(&self) -> Option<[u8; 3]> {
        self.option_array(OptionCode::CLIENT_NDI)
    }

    /// Option 97, the machine's UUID, if it is one.
    pub fn machine_uuid(&self) -> Option<MachineUuid> {
        MachineUuid::read(&self.option(OptionCode::CLIENT_MACHINE_ID)?)
    }

    /// The item that a PXE client asks a boot server for, in option 43 (71).
    pub fn pxe_boot_item(&self) -> Option<PxeBootItem> {
        PxeOptions::new(&self.option(OptionCode::VENDOR_SPECIFIC)?).boot_item()
    }

    /// Option 175, what an iPXE (or gPXE) client can do; `None` for other clients.
    pub fn ipxe_features(&self) -> Option<IpxeFeatures> {
        Some(IpxeFeatures::read(&self.option(OptionCode::IPXE)?))
    }

    /// An option that holds one address.
    fn option_address(&self, code: OptionCode) -> Option<Ipv4Addr> {
        let address = Ipv4Addr::from(self.option_array::<4>(code)?);
        (!address.is_unspecified()).then_some(address)
    }

    /// An option that has exactly this length.
    fn option_array<const LEN: usize>(&self, code: OptionCode) -> Option<[u8; LEN]> {
        self.option(code)?.as_ref().try_into().ok()
    }

    /// Fixed fields; `offset` is always a constant within the header.
    fn array<const LEN: usize>(&self, offset: usize) -> [u8; LEN] {
        let mut array = [0; LEN];
        array.copy_from_slice(&self.header[offset..offset + LEN]);
        array
    }

    fn address(&self, offset: usize) -> Option<Ipv4Addr> {
        let address = Ipv4Addr::from(self.array::<4>(offset));
        (!address.is_unspecified()).then_some(address)
    }
}

fn until_nul(field: &[u8]) -> Option<&[u8]> {
    let text = field.split(|byte| *byte == 0).next()?;
    (!text.is_empty()).then_some(text)
}

/// Microsoft's clients end their texts with a NUL.
fn without_nul(data: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let len = data
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    match data {
        Cow::Borrowed(data) => Cow::Borrowed(&data[..len]),
        Cow::Owned(mut data) => {
            data.truncate(len);
            Cow::Owned(data)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        (bytes[0], bytes[1], bytes[2]) = (1, 1, 6);
        bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 1, 2, 3]);
        bytes.extend_from_slice(&MAGIC_COOKIE);
        bytes.extend_from_slice(options);
        bytes
    }

    #[test]
    fn a_malformed_option_loses_no_other() {
        let bytes = message(&[
            53, 1, 1, 50, 3, 10, 0, 0, 57, 1, 5, 81, 1, 9, 93, 2, 0, 7, 255,
        ]);
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!(message.architectures(), [ClientArch::UEFI_X64]);
        assert_eq!(message.requested_address(), None);
        let malformed: Vec<_> = message.malformed().map(|code| code.0).collect();
        assert_eq!(malformed, [50, 57, 81]);
    }

    #[test]
    fn split_options_are_malformed_by_what_they_are_as_a_whole() {
        // 50 is whole in its parts, 57 is not; the second part of 12 ends too early.
        let bytes = message(&[
            50, 3, 10, 0, 0, 57, 2, 5, 0, 12, 1, b'a', 50, 1, 7, 57, 1, 0, 12, 9, b'b',
        ]);
        let message = Message::parse(&bytes).expect("a message");
        let malformed: Vec<_> = message.malformed().map(|code| code.0).collect();
        assert_eq!(malformed, [57, 12]);
    }

    #[test]
    fn a_message_gives_its_bytes_back() {
        for bytes in [
            message(&[53, 1, 1, 255, 0, 7]),
            message(&[])[..HEADER_BYTES].to_vec(),
        ] {
            assert_eq!(Message::parse(&bytes).expect("a message").to_bytes(), bytes);
        }
    }

    #[test]
    fn hlen_beyond_chaddr_is_no_panic() {
        for hlen in 0..=255 {
            let mut bytes = message(&[]);
            bytes[2] = hlen;
            let message = Message::parse(&bytes).expect("a message");
            assert!(message.chaddr().len() <= 16);
            assert_eq!(
                message.mac().is_some(),
                matches!(hlen, 0 | 6 | 17..),
                "hlen {hlen}"
            );
        }
    }

    #[test]
    fn edk2_sends_its_uuid_in_chaddr_with_hlen_16() {
        let mut bytes = message(&[]);
        bytes[2] = 16;
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!((message.chaddr().len(), message.mac()), (16, None));
    }

    #[test]
    fn split_options_are_joined_even_if_not_adjacent() {
        let bytes = message(&[93, 1, 0, 12, 1, b'a', 93, 3, 16, 0, 7]);
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!(
            message.architectures(),
            [ClientArch::UEFI_X64_HTTP, ClientArch::UEFI_X64]
        );
        assert_eq!(message.malformed().count(), 0);
    }

    #[test]
    fn overload_reads_file_then_sname() {
        let mut bytes = message(&[52, 1, 3, 12, 1, b'a', 255]);
        bytes[44..48].copy_from_slice(&[12, 2, b'c', b'd']);
        bytes[108..111].copy_from_slice(&[12, 1, b'b']);
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!(message.host_name().as_deref(), Some(&b"abcd"[..]));
        assert_eq!((message.file(), message.sname()), (None, None));
    }

    #[test]
    fn fields_without_nul_are_whole() {
        let mut bytes = message(&[]);
        bytes[108..236].fill(b'f');
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!(message.file().map(<[u8]>::len), Some(128));
        assert_eq!(message.sname(), None);
    }

    #[test]
    fn user_classes_in_both_encodings() {
        let classes = |data: &[u8]| -> Vec<Vec<u8>> {
            let mut options = vec![77, u8::try_from(data.len()).expect("short")];
            options.extend_from_slice(data);
            let bytes = message(&options);
            let message = Message::parse(&bytes).expect("a message");
            message.user_classes().iter().map(<[u8]>::to_vec).collect()
        };
        assert_eq!(classes(b"iPXE"), [b"iPXE"]);
        assert_eq!(classes(b"\x04iPXE"), [b"iPXE"]);
        assert_eq!(classes(b"\x04iPXE\x03lab"), [&b"iPXE"[..], b"lab"]);
        assert!(classes(b"").is_empty());
    }

    #[test]
    fn what_is_no_message() {
        assert_eq!(
            Message::parse(&[1; 235]).err(),
            Some(ParseMessageError::TooShort { len: 235 })
        );
        assert_eq!(
            Message::parse(&[7; 300]).err(),
            Some(ParseMessageError::UnknownOp(7))
        );
        let message = Message::parse(&[1; 300]).expect("BOOTP without the cookie");
        assert!(!message.has_magic_cookie());
        assert_eq!(message.options().count(), 0);
    }

    #[test]
    fn names_lose_the_nul_that_microsofts_clients_add() {
        let bytes = message(&[12, 3, b'p', b'c', 0]);
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!(message.host_name().as_deref(), Some(&b"pc"[..]));
    }
}
