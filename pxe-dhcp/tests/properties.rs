//! Properties of the wire and of the engine, on the bodies of the fuzz targets.

use dhcproto::{Decodable, Decoder, v4};
use proptest::prelude::*;
use pxe_dhcp::fuzzing::{fuzz_engine_replies, fuzz_frame, fuzz_wire};

/// A message that is nearly right: the fixed fields, the cookie, and options with plausible codes.
fn nearly_message() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![
        Just(0_u8),
        Just(12),
        Just(43),
        Just(50),
        Just(52),
        Just(53),
        Just(54),
        Just(55),
        Just(57),
        Just(60),
        Just(61),
        Just(77),
        Just(81),
        Just(82),
        Just(93),
        Just(94),
        Just(97),
        Just(175),
        Just(255),
        any::<u8>(),
    ];
    let option = (
        code,
        prop::collection::vec(any::<u8>(), 0..20),
        any::<bool>(),
    );
    let header = prop::collection::vec(any::<u8>(), 236);
    (header, 1..3_u8, prop::collection::vec(option, 0..30)).prop_map(|(header, op, options)| {
        let mut bytes = header;
        bytes[0] = op;
        bytes.extend_from_slice(&[99, 130, 83, 99]);
        for (code, data, is_honest) in options {
            let len = if is_honest {
                data.len() as u8
            } else {
                data.len() as u8 ^ 3
            };
            bytes.extend_from_slice(&[code, len]);
            bytes.extend_from_slice(&data);
        }
        bytes
    })
}

/// A frame that is nearly right: an ARP packet, or UDP over IPv4 whose checksum is right.
fn nearly_frame() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((0..70_usize, any::<u8>()), 0..3);
    (any::<bool>(), any::<[u8; 8]>(), 0..80_usize, changes).prop_map(
        |(is_arp, ends, payload_len, changes)| {
            let mut frame = vec![0xff; 12];
            if is_arp {
                frame.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, ends[0] % 3]);
                frame.extend_from_slice(&[2; 6]);
                frame.extend_from_slice(&ends[..4]);
                frame.extend_from_slice(&[0; 6]);
                frame.extend_from_slice(&ends[4..]);
            } else {
                frame.extend_from_slice(&[8, 0]);
                let mut ip = vec![0x45, 0, 0, 28 + payload_len as u8, 0, 0, 0, 0, 64, 17, 0, 0];
                ip.extend_from_slice(&ends);
                let words = ip
                    .chunks(2)
                    .map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
                let sum: u32 = words.sum();
                let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                frame.extend_from_slice(&ip);
                frame.extend_from_slice(&[0, 67, 0, 68, 0, 8 + payload_len as u8, 0, 0]);
                frame.resize(frame.len() + payload_len, 7);
            }
            for (index, value) in changes {
                if let Some(byte) = frame.get_mut(index) {
                    *byte = value;
                }
            }
            frame
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wire_is_stable_on_any_bytes(data in prop::collection::vec(any::<u8>(), 0..700)) {
        fuzz_wire(&data);
    }

    #[test]
    fn wire_is_stable_on_nearly_messages(data in nearly_message()) {
        fuzz_wire(&data);
    }

    #[test]
    fn frames_are_read_as_they_are_written(data in nearly_frame()) {
        fuzz_frame(&data);
    }

    #[test]
    fn any_bytes_are_a_frame_or_are_none(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_frame(&data);
    }

    #[test]
    fn engine_keeps_its_promises(data in prop::collection::vec(any::<u8>(), 0..2500)) {
        fuzz_engine_replies(&data, |reply| {
            v4::Message::decode(&mut Decoder::new(reply)).expect("dhcproto reads our replies");
        });
    }
}
