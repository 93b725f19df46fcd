//! Decisions of the service, in the order in which they are made.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use pxe_core::{Instant, Now, UnixTime};
use pxe_dns::{
    AccessList, Event, Limits, LocalZones, Name, Outcome, Peer, Rcode, Record, RecordType, Refusal,
    Resolved, ServedZone, Service, ServiceBuilder, Transport, Zone,
};

const OWN: &str = "192.168.150.7:4000";
const STRANGER: &str = "198.51.100.7:4000";

fn at(millis: u64) -> Now {
    let mono = Instant::from_nanos(millis * 1_000_000);
    Now::new(mono, UnixTime::from_seconds(1_700_000_000))
}

fn peer(remote: &str, transport: Transport) -> Peer {
    Peer::new(remote.parse().expect("an address"), transport)
}

fn name(text: &str) -> Name {
    text.parse().expect(text)
}

fn record(owner: &str, kind: RecordType, data: &[u8]) -> Record {
    Record::new(name(owner), kind, 300, data.to_vec())
}

fn zone(origin: &str, more: impl IntoIterator<Item = Record>) -> Zone {
    let host = name(&format!("ns.{origin}"));
    let mut soa = host.as_ref().wire().repeat(2);
    soa.extend_from_slice(&[
        0, 0, 0, 1, 0, 0, 14, 16, 0, 0, 3, 132, 0, 9, 58, 128, 0, 0, 1, 44,
    ]);
    let mut records = vec![
        record(origin, RecordType::SOA, &soa),
        record(origin, RecordType::NS, host.as_ref().wire()),
    ];
    records.extend(more);
    Zone::new(name(origin), records).expect("a zone")
}

fn matrix() -> ServedZone {
    ServedZone::new(zone(
        "matrix.lan",
        [
            record("pxe.matrix.lan", RecordType::A, &[192, 168, 150, 1]),
            record(
                "www.matrix.lan",
                RecordType::CNAME,
                name("www.example.org").as_ref().wire(),
            ),
        ],
    ))
}

/// A query, with recursion desired.
fn query(text: &str, kind: RecordType) -> Vec<u8> {
    let mut message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    message.extend_from_slice(name(text).as_ref().wire());
    message.extend_from_slice(&kind.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

/// The same, of a client that takes so many octets.
fn edns(mut message: Vec<u8>, udp_len_max: u16) -> Vec<u8> {
    message[11] = 1;
    let [high, low] = udp_len_max.to_be_bytes();
    message.extend_from_slice(&[0, 0, 41, high, low, 0, 0, 0, 0, 0, 0]);
    message
}

/// A response's header.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    rcode: u8,
    aa: bool,
    tc: bool,
    ra: bool,
    answers: u8,
    authorities: u8,
}

fn said(reply: &[u8]) -> Said {
    let [0x12, 0x34, high, low, _, _, _, answers, _, authorities, ..] = *reply else {
        panic!("no response: {reply:?}");
    };
    assert_eq!(high & 0x80, 0x80, "it is no response");
    Said {
        rcode: low & 0xf,
        aa: high & 4 != 0,
        tc: high & 2 != 0,
        ra: low & 0x80 != 0,
        answers,
        authorities,
    }
}

/// A service that tells its events.
fn told(builder: ServiceBuilder) -> (Service, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::<Mutex<Vec<Event>>>::default();
    let told = Arc::clone(&events);
    let service = builder.on_event(move |event| told.lock().expect("alone").push(event.clone()));
    (service.build(), events)
}

fn builder() -> ServiceBuilder {
    let own = AccessList::parse(["192.168.150.0/24"]).expect("a list");
    Service::builder().zone(matrix()).recursion(own)
}

fn ask(service: &Service, remote: &str, message: &[u8]) -> (Outcome, Vec<u8>) {
    let mut reply = Vec::new();
    let peer = peer(remote, Transport::Udp);
    let outcome = service.handle(at(1000), &peer, message, &mut reply);
    (outcome, reply)
}

fn rcode(rcode: Rcode) -> u8 {
    u8::try_from(rcode.0).expect("a short code")
}

#[test]
fn zones_are_answered_and_the_rest_is_refused_or_forwarded() {
    let (service, events) = told(builder());
    for (remote, ra) in [(OWN, true), (STRANGER, false)] {
        let (_, reply) = ask(&service, remote, &query("PXE.matrix.lan", RecordType::A));
        let expected = Said {
            rcode: 0,
            aa: true,
            tc: false,
            ra,
            answers: 1,
            authorities: 0,
        };
        assert_eq!(said(&reply), expected, "{remote}");
    }
    let elsewhere = query("www.example.org", RecordType::A);
    let (outcome, reply) = ask(&service, STRANGER, &elsewhere);
    assert!(matches!(outcome, Outcome::Replied));
    assert_eq!(said(&reply).rcode, rcode(Rcode::REFUSED));
    assert_eq!(reply.len(), elsewhere.len(), "no longer than the query");
    let (outcome, reply) = ask(&service, OWN, &elsewhere);
    let Outcome::Forward(forwarding) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reply.is_empty());
    assert_eq!(forwarding.name, name("www.example.org"));
    // Who does not desire recursion does not get it.
    let mut without_rd = elsewhere;
    without_rd[2] = 0;
    let (_, reply) = ask(&service, OWN, &without_rd);
    assert_eq!(said(&reply).rcode, rcode(Rcode::REFUSED));
    let refusals: Vec<_> = events
        .lock()
        .expect("alone")
        .iter()
        .filter_map(|event| match event {
            Event::Refused(refused) => Some(refused.why),
            _ => None,
        })
        .collect();
    assert_eq!(refusals, [Refusal::NotHere; 2]);
}

#[test]
fn what_others_said_is_answered_without_authority() {
    let (service, events) = told(builder());
    let Outcome::Forward(forwarding) =
        ask(&service, OWN, &query("www.example.org", RecordType::A)).0
    else {
        panic!("it is not ours");
    };
    let answer = record("www.example.org", RecordType::A, &[192, 0, 2, 1]);
    let resolved = Resolved::new(Rcode::NOERROR, vec![answer]);
    let mut reply = Vec::new();
    service.answer_forwarded(&forwarding, &resolved, &mut reply);
    let expected = Said {
        rcode: 0,
        aa: false,
        tc: false,
        ra: true,
        answers: 1,
        authorities: 0,
    };
    assert_eq!(said(&reply), expected);
    assert!(matches!(
        events.lock().expect("alone").as_slice(),
        [Event::Forwarded(_)]
    ));
}

/// More than the client takes is left out, and said to be.
#[test]
fn what_others_said_is_truncated_to_what_the_client_takes() {
    let service = builder().build();
    let answers = (0..100).map(|n| record("www.example.org", RecordType::A, &[192, 0, 2, n]));
    let resolved = Resolved::new(Rcode::NOERROR, answers.collect());
    let plain = query("www.example.org", RecordType::A);
    for (message, len_max) in [
        (plain.clone(), 512),
        (edns(plain.clone(), 100), 512),
        (edns(plain.clone(), 900), 900),
        (edns(plain, 4096), 1232),
    ] {
        let Outcome::Forward(forwarding) = ask(&service, OWN, &message).0 else {
            panic!("it is not ours");
        };
        let mut reply = Vec::new();
        service.answer_forwarded(&forwarding, &resolved, &mut reply);
        assert!(said(&reply).tc);
        assert!(
            (len_max - 27..=len_max).contains(&reply.len()),
            "{}",
            reply.len()
        );
    }
}

#[test]
fn an_alias_that_leads_out_of_our_zones_is_followed_by_others() {
    let service = builder().build();
    let message = query("www.matrix.lan", RecordType::A);
    let (_, reply) = ask(&service, STRANGER, &message);
    assert_eq!((said(&reply).rcode, said(&reply).answers), (0, 1));
    let Outcome::Forward(forwarding) = ask(&service, OWN, &message).0 else {
        panic!("the alias leads to others");
    };
    assert_eq!(forwarding.name, name("www.example.org"));
    let answer = record("www.example.org", RecordType::A, &[192, 0, 2, 1]);
    let mut reply = Vec::new();
    let resolved = Resolved::new(Rcode::NOERROR, vec![answer]);
    service.answer_forwarded(&forwarding, &resolved, &mut reply);
    assert_eq!((said(&reply).rcode, said(&reply).answers), (0, 2));
}

#[test]
fn private_addresses_are_not_asked_of_others() {
    let reverse = query("9.9.168.192.in-addr.arpa", RecordType::PTR);
    let service = builder().build();
    let (outcome, reply) = ask(&service, OWN, &reverse);
    assert!(matches!(outcome, Outcome::Replied));
    assert_eq!(said(&reply).rcode, rcode(Rcode::NXDOMAIN));
    assert_eq!((said(&reply).aa, said(&reply).authorities), (true, 1));
    let (_, reply) = ask(&service, STRANGER, &reverse);
    assert_eq!(said(&reply).rcode, rcode(Rcode::REFUSED));
    let elsewhere = LocalZones::new().elsewhere(name("168.192.in-addr.arpa"));
    service.set_local_zones(elsewhere);
    assert!(matches!(
        ask(&service, OWN, &reverse).0,
        Outcome::Forward(_)
    ));
}

#[test]
fn access_lists_decide_who_is_answered() {
    let mut served = matrix();
    served.query = AccessList::parse(["192.168.150.0/24"]).expect("a list");
    let (service, events) = told(Service::builder().zone(served));
    let message = query("pxe.matrix.lan", RecordType::A);
    assert_eq!(said(&ask(&service, OWN, &message).1).rcode, 0);
    let (_, reply) = ask(&service, STRANGER, &message);
    assert_eq!(said(&reply).rcode, rcode(Rcode::REFUSED));
    let events = events.lock().expect("alone");
    assert!(
        matches!(events.last(), Some(Event::Refused(refused)) if refused.why == Refusal::Query)
    );
}

/// `version.bind` and the like: no server here tells who it is.
#[test]
fn other_classes_are_refused() {
    let service = builder().build();
    for class in [3, 4, 255] {
        let mut message = query("version.bind", RecordType::TXT);
        *message.last_mut().expect("a class") = class;
        let (_, reply) = ask(&service, OWN, &message);
        assert_eq!(said(&reply).rcode, rcode(Rcode::REFUSED), "{class}");
    }
}

/// As BIND says it where `allow-update` is none, and of zones that it does not have.
#[test]
fn messages_do_not_change_zones() {
    let (service, events) = told(builder());
    for opcode in [4, 5] {
        for (zone, expected) in [
            ("matrix.lan", Rcode::REFUSED),
            ("pxe.matrix.lan", Rcode::NOTAUTH),
            ("example.org", Rcode::NOTAUTH),
        ] {
            let mut message = query(zone, RecordType::SOA);
            message[2] = opcode << 3;
            let (_, reply) = ask(&service, OWN, &message);
            assert_eq!(said(&reply).rcode, rcode(expected), "{opcode} {zone}");
            assert_eq!(reply.len(), 12);
        }
    }
    // Others are not known at all.
    let mut message = query("matrix.lan", RecordType::SOA);
    message[2] = 2 << 3;
    let (_, reply) = ask(&service, OWN, &message);
    assert_eq!(said(&reply).rcode, rcode(Rcode::NOTIMP));
    let events = events.lock().expect("alone");
    assert_eq!(events.len(), 7);
    assert!(matches!(events.last(), Some(Event::Malformed(_))));
}

#[test]
fn responses_and_impossible_senders_are_not_answered() {
    let service = builder().build();
    let message = query("pxe.matrix.lan", RecordType::A);
    for remote in [
        "198.51.100.7:0",
        "224.0.0.251:53",
        "255.255.255.255:53",
        "[::]:53",
    ] {
        let (outcome, reply) = ask(&service, remote, &message);
        assert!(
            matches!(outcome, Outcome::Ignored) && reply.is_empty(),
            "{remote}"
        );
    }
    let mut response = message.clone();
    response[2] |= 0x80;
    for message in [&response[..], &message[..11], b""] {
        let (outcome, reply) = ask(&service, STRANGER, message);
        assert!(matches!(outcome, Outcome::Ignored) && reply.is_empty());
    }
    // A header alone is answered by one.
    let (_, reply) = ask(&service, STRANGER, &message[..12]);
    assert_eq!(
        (said(&reply).rcode, reply.len()),
        (rcode(Rcode::FORMERR), 12)
    );
}

/// What a network gets by UDP is bounded by packets, and none of them is longer than the query
/// but for those within the rate.
#[test]
fn a_flood_from_one_network_leaves_others_served() {
    let mut limits = Limits::default();
    limits.responses_per_second = NonZeroU32::new(10);
    let (service, events) = told(builder().limits(limits));
    let message = query("pxe.matrix.lan", RecordType::A);
    let flooder = peer(STRANGER, Transport::Udp);
    let (mut whole, mut truncated) = (0, 0);
    for millis in 0..10_000 {
        let mut reply = Vec::new();
        match service.handle(at(1000 + millis), &flooder, &message, &mut reply) {
            Outcome::Replied if said(&reply).tc => {
                truncated += 1;
                assert_eq!(reply.len(), message.len());
            }
            Outcome::Replied => whole += 1,
            outcome => assert!(matches!(outcome, Outcome::Ignored)),
        }
        if millis % 100 == 0 {
            for other in ["198.51.101.7:53", OWN, "127.0.0.1:53"] {
                let other = peer(other, Transport::Udp);
                let mut reply = Vec::new();
                let outcome = service.handle(at(1000 + millis), &other, &message, &mut reply);
                assert!(matches!(outcome, Outcome::Replied));
                assert_eq!(said(&reply).answers, 1);
            }
            // By TCP the flooder himself is answered: there he cannot forge who he is.
            let tcp = peer(STRANGER, Transport::Tcp);
            let mut reply = Vec::new();
            let _ = service.handle(at(1000 + millis), &tcp, &message, &mut reply);
            assert_eq!(said(&reply).answers, 1);
        }
    }
    assert!((139..=141).contains(&whole), "{whole}");
    assert!((4925..=4935).contains(&truncated), "{truncated}");
    let events = events.lock().expect("alone");
    let told = events
        .iter()
        .filter(|event| matches!(event, Event::RateLimited(_)));
    assert!((9..=10).contains(&told.count()));
}

/// Rejections of what is no query are counted, too: two servers cannot be made to send them to
/// each other for ever, and who is named falsely as the sender gets few.
#[test]
fn rejections_are_limited() {
    let mut limits = Limits::default();
    limits.responses_per_second = NonZeroU32::new(10);
    let service = builder().limits(limits).build();
    let replied = (0..1000).filter(|_| {
        let outcome = ask(
            &service,
            STRANGER,
            &query("pxe.matrix.lan", RecordType::A)[..12],
        )
        .0;
        matches!(outcome, Outcome::Replied)
    });
    assert_eq!(replied.count(), 40);
}

#[test]
fn zones_and_clients_are_swapped() {
    let service = builder().build();
    let message = query("pxe.matrix.lan", RecordType::A);
    service.set_zones(Vec::new());
    service.set_recursion(AccessList::none());
    let (_, reply) = ask(&service, OWN, &message);
    assert_eq!(said(&reply).rcode, rcode(Rcode::REFUSED));
    service.set_zones(vec![matrix()]);
    let (_, reply) = ask(&service, OWN, &message);
    assert_eq!((said(&reply).answers, said(&reply).ra), (1, false));
}

/// Nobody gets a zone by default, and nobody by UDP.
#[test]
fn a_zone_goes_to_listed_addresses_by_tcp() {
    let mut served = matrix();
    served.transfer = AccessList::parse(["192.168.150.0/24"]).expect("a list");
    let (service, events) = told(Service::builder().zone(served));
    let handle = |origin: &str, kind, remote, transport| {
        let mut reply = Vec::new();
        let outcome = service.handle(
            at(1),
            &peer(remote, transport),
            &query(origin, kind),
            &mut reply,
        );
        (outcome, reply)
    };
    let refusals = [
        ("matrix.lan", STRANGER, Transport::Tcp, Rcode::REFUSED),
        ("matrix.lan", OWN, Transport::Udp, Rcode::FORMERR),
        ("pxe.matrix.lan", OWN, Transport::Tcp, Rcode::NOTAUTH),
        ("example.org", OWN, Transport::Tcp, Rcode::NOTAUTH),
    ];
    for (origin, remote, transport, expected) in refusals {
        let (_, reply) = handle(origin, RecordType::AXFR, remote, transport);
        assert_eq!(said(&reply).rcode, rcode(expected), "{origin} {remote}");
    }
    let refused = |event: &&Event| matches!(event, Event::Refused(refused) if refused.why == Refusal::Transfer);
    let refused = events.lock().expect("alone").iter().filter(refused).count();
    assert_eq!(refused, refusals.len());
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        let (outcome, reply) = handle("matrix.lan", kind, OWN, Transport::Tcp);
        let Outcome::Transfer(mut transfer) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!((transfer.serial(), reply.len()), (1, 0));
        let mut message = Vec::new();
        assert!(transfer.next_message(&mut message));
        assert_eq!(said(&message).answers, 5);
    }
    // RFC 1995 section 2: by UDP the version alone.
    let (_, reply) = handle("matrix.lan", RecordType::IXFR, OWN, Transport::Udp);
    assert_eq!((said(&reply).rcode, said(&reply).answers), (0, 1));
}

/// What is no query costs one of our own as much of its rate as a query does: a machine that runs
/// wild is not answered more often for sending nonsense.
#[test]
fn rejections_of_our_own_are_limited_too() {
    let mut limits = Limits::default();
    limits.own_responses_per_second = NonZeroU32::new(10);
    let service = builder().limits(limits).build();
    let header = &query("pxe.matrix.lan", RecordType::A)[..12];
    let replied = (0..1000).filter(|_| matches!(ask(&service, OWN, header).0, Outcome::Replied));
    assert_eq!(replied.count(), 40);
}

/// The zones may have become others while others were asked: what they say now does not get into
/// the sections of what was said then.
#[test]
fn zones_that_change_while_others_are_asked_spoil_no_response() {
    let alias = |target: &str| {
        let target = name(target).as_ref().wire().to_vec();
        ServedZone::new(zone(
            "matrix.lan",
            [record("www.matrix.lan", RecordType::CNAME, &target)],
        ))
    };
    let cut = ServedZone::new(zone(
        "matrix.lan",
        [record(
            "www.matrix.lan",
            RecordType::NS,
            name("ns.example.org").as_ref().wire(),
        )],
    ));
    let mut closed = alias("www.example.org");
    closed.query = AccessList::none();
    for (zones, expected) in [
        (vec![alias("www.example.org")], (0, 2, 0)),
        (vec![cut], (2, 0, 0)),
        (vec![alias("www.example.net")], (2, 0, 0)),
        (vec![closed], (2, 0, 0)),
        (vec![], (2, 0, 0)),
        // They know the whole answer now.
        (vec![matrix_with_www()], (0, 1, 0)),
    ] {
        let service = builder().build();
        let message = query("www.matrix.lan", RecordType::A);
        let Outcome::Forward(forwarding) = ask(&service, OWN, &message).0 else {
            panic!("the alias leads to others");
        };
        service.set_zones(zones);
        let answer = record("www.example.org", RecordType::A, &[192, 0, 2, 1]);
        let mut reply = Vec::new();
        let resolved = Resolved::new(Rcode::NOERROR, vec![answer]);
        service.answer_forwarded(&forwarding, &resolved, &mut reply);
        let said = said(&reply);
        assert_eq!((said.rcode, said.answers, said.authorities), expected);
    }
}

fn matrix_with_www() -> ServedZone {
    let www = record("www.matrix.lan", RecordType::A, &[192, 168, 150, 2]);
    ServedZone::new(zone("matrix.lan", [www]))
}
