//! Properties of the wire and of the engine, on the bodies of the fuzz targets.

use dhcproto::{Decodable, Decoder, v4};
use proptest::prelude::*;
use pxe_dhcp::fuzzing::{fuzz_engine_replies, fuzz_wire};

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
    fn engine_keeps_its_promises(data in prop::collection::vec(any::<u8>(), 0..2500)) {
        fuzz_engine_replies(&data, |reply| {
            v4::Message::decode(&mut Decoder::new(reply)).expect("dhcproto reads our replies");
        });
    }
}
