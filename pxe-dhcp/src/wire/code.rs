//! The numbers of options and of message types.

use core::fmt;

/// The code of a DHCP option (RFC 2132 section 2; IANA's registry "BOOTP Vendor Extensions and
/// DHCP Options").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a wire integer: every value is valid
pub struct OptionCode(pub u8);

macro_rules! option_codes {
    ($($constant:ident = $number:literal, $meaning:literal;)*) => {
        impl OptionCode {
            $(
                #[doc = concat!("Option ", stringify!($number), ": ", $meaning, ".")]
                pub const $constant: Self = Self($number);
            )*
        }
    };
}

option_codes! {
    PAD = 0, "padding, without a length octet (RFC 2132 section 3.1)";
    SUBNET_MASK = 1, "the subnet's mask (RFC 2132 section 3.3)";
    ROUTERS = 3, "routers, by preference (RFC 2132 section 3.5)";
    DOMAIN_NAME_SERVERS = 6, "name servers, by preference (RFC 2132 section 3.8)";
    HOST_NAME = 12, "the client's host name (RFC 2132 section 3.14)";
    DOMAIN_NAME = 15, "the domain name (RFC 2132 section 3.17)";
    BROADCAST_ADDRESS = 28, "the subnet's broadcast address (RFC 2132 section 5.3)";
    NTP_SERVERS = 42, "time servers, by preference (RFC 2132 section 8.3)";
    VENDOR_SPECIFIC = 43, "vendor-specific information (RFC 2132 section 8.4)";
    REQUESTED_ADDRESS = 50, "the address a client asks for (RFC 2132 section 9.1)";
    LEASE_TIME = 51, "the lease time in seconds (RFC 2132 section 9.2)";
    OVERLOAD = 52, "`file` and `sname` hold options (RFC 2132 section 9.3)";
    MESSAGE_TYPE = 53, "the message type (RFC 2132 section 9.6)";
    SERVER_ID = 54, "the server's identifier, an address (RFC 2132 section 9.7)";
    PARAMETER_REQUEST_LIST = 55, "the options a client asks for (RFC 2132 section 9.8)";
    MESSAGE = 56, "an error message (RFC 2132 section 9.9)";
    MAX_MESSAGE_SIZE = 57, "the longest message a client takes (RFC 2132 section 9.10)";
    RENEWAL_TIME = 58, "T1 in seconds (RFC 2132 section 9.11)";
    REBINDING_TIME = 59, "T2 in seconds (RFC 2132 section 9.12)";
    VENDOR_CLASS = 60, "the vendor class identifier (RFC 2132 section 9.13)";
    CLIENT_ID = 61, "the client identifier (RFC 2132 section 9.14)";
    TFTP_SERVER_NAME = 66, "the boot server's name (RFC 2132 section 9.4)";
    BOOT_FILE_NAME = 67, "the boot file's name (RFC 2132 section 9.5)";
    USER_CLASS = 77, "user classes (RFC 3004)";
    CLIENT_FQDN = 81, "the client's full domain name (RFC 4702)";
    RELAY_AGENT_INFO = 82, "what a relay agent added (RFC 3046)";
    CLIENT_ARCH = 93, "client system architectures (RFC 4578 section 2.1)";
    CLIENT_NDI = 94, "the client's network interface (RFC 4578 section 2.2)";
    CLIENT_MACHINE_ID = 97, "the machine's UUID (RFC 4578 section 2.3)";
    SUBNET_SELECTION = 118, "the subnet a client wants an address in (RFC 3011)";
    DOMAIN_SEARCH = 119, "domains to complete names with (RFC 3397)";
    CLASSLESS_ROUTES = 121, "routes, the default route among them (RFC 3442)";
    IPXE = 175, "iPXE's own options, encapsulated (ipxe.org/howto/dhcpd)";
    PXELINUX_MAGIC = 208, "f1:00:74:7e, for PXELINUX before 3.55 (RFC 5071 section 4)";
    CONFIG_FILE = 209, "PXELINUX's configuration file (RFC 5071 section 5)";
    PATH_PREFIX = 210, "PXELINUX's path prefix (RFC 5071 section 6)";
    REBOOT_TIME = 211, "PXELINUX's reboot time in seconds (RFC 5071 section 7)";
    END = 255, "the end of the options, without a length octet (RFC 2132 section 3.2)";
}

impl OptionCode {
    /// Whether a value of `len` bytes can be right for this option; true for options whose form
    /// this crate does not know.
    pub const fn takes_len(self, len: usize) -> bool {
        match self {
            Self::OVERLOAD | Self::MESSAGE_TYPE => len == 1,
            Self::SUBNET_MASK
            | Self::BROADCAST_ADDRESS
            | Self::REQUESTED_ADDRESS
            | Self::LEASE_TIME
            | Self::SERVER_ID
            | Self::RENEWAL_TIME
            | Self::REBINDING_TIME
            | Self::SUBNET_SELECTION => len == 4,
            Self::MAX_MESSAGE_SIZE => len == 2,
            Self::CLIENT_ARCH => len >= 2 && len.is_multiple_of(2),
            Self::CLIENT_NDI => len == 3,
            Self::CLIENT_MACHINE_ID => len == 17,
            Self::CLIENT_FQDN => len >= 3,
            Self::CLIENT_ID => len >= 1,
            Self::ROUTERS | Self::DOMAIN_NAME_SERVERS | Self::NTP_SERVERS => {
                len >= 4 && len.is_multiple_of(4)
            }
            _ => true,
        }
    }
}

impl fmt::Display for OptionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The value of option 53 (RFC 2132 section 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs)] // a wire integer: every value is valid
pub struct MessageType(pub u8);

impl MessageType {
    /// A client looks for servers.
    pub const DISCOVER: Self = Self(1);
    /// A server offers an address.
    pub const OFFER: Self = Self(2);
    /// A client takes an offer, checks, or extends a lease.
    pub const REQUEST: Self = Self(3);
    /// A client found that its address is in use.
    pub const DECLINE: Self = Self(4);
    /// A server confirms.
    pub const ACK: Self = Self(5);
    /// A server refuses: the client has to start over.
    pub const NAK: Self = Self(6);
    /// A client gives its address back.
    pub const RELEASE: Self = Self(7);
    /// A client that has an address asks for options.
    pub const INFORM: Self = Self(8);

    /// The name as RFC 2131 writes it, without `DHCP`, if it is one of the eight above.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::DISCOVER => "DISCOVER",
            Self::OFFER => "OFFER",
            Self::REQUEST => "REQUEST",
            Self::DECLINE => "DECLINE",
            Self::ACK => "ACK",
            Self::NAK => "NAK",
            Self::RELEASE => "RELEASE",
            Self::INFORM => "INFORM",
            _ => return None,
        })
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "message type {}", self.0),
        }
    }
}
