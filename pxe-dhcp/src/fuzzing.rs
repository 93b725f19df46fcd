//! The bodies of the fuzz targets, which the property tests run too.

mod engine_model;
mod engine_setup;
mod input;

pub use self::engine_model::{fuzz_engine, fuzz_engine_replies};

use crate::frame::{Arp, BROADCAST, Echo, UdpEnds};
use crate::wire::{Message, OptionField, Reply};

/// Reads arbitrary bytes as a message, and writes and reads it again.
///
/// # Panics
///
/// If an accessor panics, or what is written once is not the same when it is written again.
pub fn fuzz_wire(data: &[u8]) {
    let Ok(message) = Message::parse(data) else {
        assert!(data.len() < 236 || !matches!(data[0], 1 | 2) || data.len() > 65_535);
        return;
    };
    read_all(&message);
    let Some(first) = written(&message) else {
        return;
    };
    let again = Message::parse(&first).expect("what was written can be read");
    read_all(&again);
    assert_eq!(again.xid(), message.xid());
    assert_eq!(again.mac(), message.mac());
    assert_eq!(again.architectures(), message.architectures());
    assert_eq!(again.message_type(), first_byte_of_type(&message));
    assert!(
        again
            .options()
            .all(|option| option.field == OptionField::Options)
    );
    assert_eq!(written(&again).as_ref(), Some(&first), "writing is stable");
}

/// Reads arbitrary bytes as what comes from packet sockets and raw sockets; what is read can be
/// written and read again.
///
/// # Panics
///
/// If a reader panics, or reads more than there is, or something else the second time.
pub fn fuzz_frame(data: &[u8]) {
    let mut frame = Vec::new();
    if let Some((ends, payload)) = UdpEnds::parse(data) {
        assert!(payload.len() + 42 <= data.len());
        assert!(ends.write(payload, &mut frame));
        assert_eq!(UdpEnds::parse(&frame), Some((ends, payload)));
    }
    frame.clear();
    if let Some(arp) = Arp::parse(data) {
        arp.write(BROADCAST, &mut frame);
        assert_eq!(Arp::parse(&frame), Some(arp));
        assert_eq!(arp.user_of(arp.sender_ip), Some(arp.sender_mac));
        let probe = Arp::probe(arp.sender_mac, arp.target_ip);
        assert_eq!(probe.user_of(arp.target_ip), Some(arp.sender_mac));
    }
    if let Some((_, echo)) = Echo::parse_reply(data) {
        assert!(data.len() >= 28);
        assert_eq!(
            echo.request()[4..],
            data[usize::from(data[0] & 15) * 4 + 4..][..4]
        );
    }
}

/// A repeated option 53 is joined when it is written, and its first byte stays the first.
fn first_byte_of_type(message: &Message<'_>) -> Option<crate::wire::MessageType> {
    let joined = message.option(crate::wire::OptionCode::MESSAGE_TYPE)?;
    joined.first().copied().map(crate::wire::MessageType)
}

fn written(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // Splitting long values again can take some bytes more than they came in.
    let written = Reply::of(message).write(65_535, &mut bytes).ok()?;
    assert_eq!(written.len, bytes.len());
    assert!(written.dropped.is_empty() && bytes.len() >= 300);
    Some(bytes)
}

fn read_all(message: &Message<'_>) {
    assert!(message.chaddr().len() <= 16);
    assert!(message.sname().is_none_or(|name| name.len() <= 64));
    assert!(message.file().is_none_or(|name| name.len() <= 128));
    let total: usize = message.options().map(|option| option.data.len()).sum();
    for option in message.options() {
        let joined = message.option(option.code).expect("it is there");
        assert!(joined.len() >= option.data.len() && joined.len() <= total);
        assert!(message.has_option(option.code));
    }
    assert!(message.malformed().count() <= 254);
    let classes: usize = message.user_classes().iter().map(<[u8]>::len).sum();
    assert!(classes <= total);
    let _ = (
        message.ciaddr(),
        message.yiaddr(),
        message.siaddr(),
        message.giaddr(),
    );
    let _ = (
        message.requested_address(),
        message.server_id(),
        message.lease_seconds(),
    );
    let _ = (message.parameter_request_list(), message.max_message_size());
    let _ = (
        message.vendor_class(),
        message.client_id(),
        message.host_name(),
    );
    let _ = (
        message.client_fqdn(),
        message.link_selection(),
        message.network_interface(),
    );
    let _ = (
        message.machine_uuid().map(|uuid| uuid.to_string()),
        message.ipxe_features(),
    );
    let _ = (
        message.secs(),
        message.hops(),
        message.flags(),
        message.is_broadcast(),
    );
}
