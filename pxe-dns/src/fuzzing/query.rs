//! Arbitrary queries, asked of a service whose zones have all that is hard to answer.

use std::net::SocketAddr;
use std::sync::OnceLock;

use pxe_core::{Instant, Now, UnixTime};

use super::Message;
use crate::wire::{HEADER_LEN, NoQuery, Query, flag};
use crate::{
    AccessList, Limits, Name, Outcome, Peer, Rcode, Record, RecordType, ServedZone, Service,
    Transport, ZoneFile, ZoneFileLimits,
};

/// Wildcards, names without records, aliases that loop and lead elsewhere, delegations, sets that
/// are too large for a datagram.
const EXAMPLE: &str = r"$TTL 300
@ SOA ns root 1 1h 1h 1w 60
@ NS ns
@ NS ns.sub
@ MX 10 mail
@ MX 20 a.b.c
ns A 192.0.2.1
ns AAAA 2001:db8::1
mail A 192.0.2.2
* TXT wild
* MX 0 mail
sub.* TXT tame
a.b.c A 192.0.2.3
alias CNAME *.b.c
*.w CNAME x.w
loop CNAME pool
pool CNAME loop
far CNAME near.other.
away CNAME www.example.org.
d DNAME d.d
e DNAME other.
sub NS ns.sub
sub NS ns
sub DS 1 8 2 (000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f)
ns.sub A 192.0.2.4
_tftp._udp SRV 0 0 69 ns
$GENERATE 0-99 many A 192.0.2.$
$GENERATE 0-9 n$ CNAME n${1}
$GENERATE 0-30 big NS a-server-with-a-long-name-$.big
$GENERATE 0-30 a-server-with-a-long-name-$.big A 192.0.2.$
";
const OTHER: &str = "$TTL 300\n@ SOA ns.example. root.example. 1 1h 1h 1w 60\n@ NS ns.example.\n\
                     near CNAME far.example.\n* A 192.0.2.5\n";
const CLOSED: &str = "$TTL 300\n@ SOA ns.example. root.example. 1 1h 1h 1w 60\n@ NS ns.example.\n";

/// What names of queries are made of, if they are not arbitrary.
const LABELS: [&[u8]; 16] = [
    b"example", b"other", b"closed", b"*", b"a", b"b", b"c", b"sub", b"w", b"d", b"e", b"many",
    b"big", b"ns", b"loop", b"x",
];

/// Asks a service a query: by TCP or UDP, as one for whom others are asked, or as a stranger.
///
/// # Panics
///
/// If the service panics, or sends what no client can read, or more than the client takes, or
/// another question than the client's; or if it has others asked for one for whom it should not.
pub fn query(data: &[u8]) {
    let Some((&manner, data)) = data.split_first() else {
        return;
    };
    let transport = match manner & 1 {
        0 => Transport::Udp,
        _ => Transport::Tcp,
    };
    let is_ours = manner & 2 != 0;
    let address = if is_ours {
        [10, 0, 0, 7]
    } else {
        [203, 0, 113, 7]
    };
    let peer = Peer::new(SocketAddr::from((address, 5353)), transport);
    let message = match manner & 4 {
        0 => data.to_vec(),
        _ => made_up(data),
    };
    let now = Now::new(Instant::EPOCH, UnixTime::from_seconds(0));
    let mut reply = b"before".to_vec();
    let outcome = service().handle(now, &peer, &message, &mut reply);
    let reply = reply
        .strip_prefix(b"before")
        .expect("what was in the buffer stays");
    let parsed = Query::parse(&message);
    match outcome {
        Outcome::Ignored => assert!(reply.is_empty()),
        Outcome::Forward(_) => {
            let query = parsed.expect("only queries are forwarded");
            assert!(is_ours && query.rd && reply.is_empty());
        }
        Outcome::Transfer(mut transfer) => {
            assert!(reply.is_empty() && transport == Transport::Tcp);
            let mut reply = Vec::new();
            assert!(transfer.next_message(&mut reply));
            check(transport, &message, &reply);
        }
        Outcome::Replied => check(transport, &message, reply),
    }
    assert!(!matches!(parsed, Err(NoQuery::Ignored)) || reply.is_empty());
}

fn check(transport: Transport, message: &[u8], reply: &[u8]) {
    let response = Message::read(reply);
    assert_ne!(response.flags & flag::QR, 0);
    assert_eq!(response.id.to_be_bytes(), message[..2]);
    let Ok(query) = Query::parse(message) else {
        assert!(
            reply.len() <= HEADER_LEN + 11,
            "an error is no larger than what is needed"
        );
        return;
    };
    let len_max = match transport {
        Transport::Udp => query.udp_len_max().min(Limits::default().udp_len_max),
        Transport::Tcp => usize::from(u16::MAX),
    };
    assert!(reply.len() <= len_max);
    let (name, kind, class) = response.question.expect("the question is repeated");
    assert_eq!(
        name.as_ref().wire(),
        query.name.wire(),
        "in the client's case"
    );
    assert_eq!((kind, class), (query.kind, query.class));
    assert_eq!(response.edns.is_some(), query.edns.is_some());
    if response.rcode == Rcode::NXDOMAIN && response.flags & flag::TC == 0 {
        let is_soa = |record: &Record| record.kind == RecordType::SOA;
        assert!(
            response.authorities.iter().any(is_soa),
            "and for how long (RFC 2308)"
        );
    }
    if matches!(kind, RecordType::AXFR | RecordType::IXFR) {
        // The SOA record is there twice.
        return;
    }
    for section in [
        &response.answers,
        &response.authorities,
        &response.additionals,
    ] {
        for (at, record) in section.iter().enumerate() {
            let before = section.get(..at).unwrap_or_default();
            assert!(!before.contains(record), "nothing is there twice");
        }
    }
}

/// A query that is well formed: labels of the zones, then type, and flags for the rest.
fn made_up(data: &[u8]) -> Vec<u8> {
    let mut name = Name::root();
    let mut rest = data.iter();
    for octet in rest.by_ref().take_while(|octet| **octet != 0xff) {
        let label = LABELS
            .get(usize::from(octet & 0xf))
            .copied()
            .unwrap_or_default();
        if let Ok(longer) = Name::with_label(name.as_ref(), label) {
            name = longer;
        }
    }
    let mut next = || rest.next().copied().unwrap_or_default();
    let flags = next();
    let mut message = vec![7, 7, flags & 1, 0, 0, 1, 0, 0, 0, 0, 0, flags >> 1 & 1];
    message.extend_from_slice(name.as_ref().wire());
    let kind = match flags & 4 {
        0 => [0, next()],
        _ => [next(), next()],
    };
    message.extend_from_slice(&kind);
    message.extend_from_slice(&[0, 1]);
    if flags & 2 != 0 {
        message.extend_from_slice(&[0, 0, 41, next(), next(), 0, 0, next() & 0x80, 0, 0, 0]);
    }
    message
}

fn service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    SERVICE.get_or_init(|| {
        let mut limits = Limits::default();
        (limits.responses_per_second, limits.own_responses_per_second) = (None, None);
        let mut closed = zone("closed.", CLOSED);
        closed.query = AccessList::none();
        let recursion = AccessList::parse(["10.0.0.0/8"]).expect("an access list");
        let service = Service::builder()
            .limits(limits)
            .recursion(recursion)
            .zone(zone("example.", EXAMPLE))
            .zone(zone("other.", OTHER))
            .zone(closed);
        let service = service.build();
        let owner: Name = "x.a.example.".parse().expect("a name");
        let lease = Record::new(owner, RecordType::A, 60, vec![192, 0, 2, 6]);
        service.dynamic().set(b"lease", vec![lease]).expect("room");
        service
    })
}

fn zone(origin: &str, text: &str) -> ServedZone {
    let origin: Name = origin.parse().expect("a name");
    let files = |_: &str, _: usize| Ok(text.as_bytes().to_vec());
    let file = ZoneFile::read(&origin, "zone", &files, &ZoneFileLimits::default());
    let zone = file.zone.unwrap_or_else(|| panic!("{:?}", file.findings));
    let mut served = ServedZone::new(zone);
    served.transfer = AccessList::any();
    served
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn any_query_gets_what_its_client_can_read(
            manner in any::<u8>(),
            data in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            query(&[&[manner][..], &data].concat());
        }

        #[test]
        fn names_of_the_zones_too(
            manner in 0..4_u8,
            labels in prop::collection::vec(0..16_u8, 0..5),
            flags in any::<[u8; 6]>(),
        ) {
            let data = [&[manner | 4][..], &[0], &labels, &[0xff], &flags].concat();
            query(&data);
        }
    }
}
