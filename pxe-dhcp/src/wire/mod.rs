//! BOOTP and DHCP messages: bytes to values, and back.
//!
//! Reading is lenient, because firmware is careless and one bad option must not cost a machine its
//! boot: [`Message`] borrows the datagram, allocates nothing that a length field controls, and
//! never panics. Writing is strict, because firmware is fragile: [`Reply`] puts 53 and 54 first and
//! 82 last, never overloads `sname` and `file`, and pads with zeros *after* END.
//!
//! ```
//! use pxe_dhcp::wire::{Header, Message, MessageType, OptionCode, Priority, Reply};
//!
//! let mut reply = Reply::new(Header::reply());
//! reply.push(OptionCode::MESSAGE_TYPE, MessageType::OFFER.0.to_be_bytes(), Priority::Required);
//! let mut bytes = Vec::new();
//! let written = reply.write(548, &mut bytes).expect("it fits");
//! assert_eq!(written.len, 300);
//!
//! let message = Message::parse(&bytes).expect("what was written can be read");
//! assert_eq!(message.message_type(), Some(MessageType::OFFER));
//! ```

mod code;
mod ipxe;
mod message;
mod option;
mod pxe_vendor;
mod reply;
mod user_class;
mod uuid;

pub use self::code::{MessageType, OptionCode};
pub use self::ipxe::{IpxeFeature, IpxeFeatures, ParseIpxeFeatureError};
pub use self::message::{
    BROADCAST_FLAG, HEADER_BYTES, MAGIC_COOKIE, Message, OPTIONS_OFFSET, Op, ParseMessageError,
};
pub use self::option::{ClientFqdn, OptionField, OptionWalk, RawOption, RelayAgentInfo};
pub use self::pxe_vendor::{DiscoveryControl, PxeBootItem, PxeOptions, PxeOptionsWriter, PxeTag};
pub(crate) use self::reply::option_wire_len;
pub use self::reply::{
    Header, MESSAGE_BYTES_MIN, Priority, Reply, ReplyTooLong, UDP_IP_HEADER_BYTES, Written,
};
pub use self::user_class::UserClasses;
pub use self::uuid::{MachineUuid, ParseMachineUuidError};
