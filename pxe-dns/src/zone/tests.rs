//! The rules, by the examples of the RFCs.

use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::fuzzing::Message;
use crate::wire::{Query, Response, flag};
use crate::{
    AccessList, Peer, Rcode, ServedZone, Transport, ZoneFile, ZoneFileLimits, dynamic::HoldReason,
};

pub(super) fn name(text: &str) -> Name {
    text.parse().expect(text)
}

pub(super) fn zone(origin: &str, text: &str) -> Zone {
    let text = format!("$TTL 3600\n@ SOA ns.example.com. root.example.com. 7 1h 1h 1w 300\n{text}");
    let files = |_: &str, _: usize| Ok(text.as_bytes().to_vec());
    let file = ZoneFile::read(&name(origin), "zone", &files, &ZoneFileLimits::default());
    let records = file
        .zone
        .as_ref()
        .map(|zone| zone.records().collect::<Vec<_>>());
    let records = records.unwrap_or_else(|| panic!("{:?}", file.findings));
    Zone::new(name(origin), records).expect("a zone")
}

pub(super) fn zones(all: impl IntoIterator<Item = Zone>) -> Zones {
    let mut zones = Zones::default();
    let served = all.into_iter().map(ServedZone::new);
    zones.replace(served.collect());
    zones
}

pub(super) fn peer(transport: Transport) -> Peer {
    Peer::new(SocketAddr::from(([192, 0, 2, 9], 5353)), transport)
}

/// A query, and what the client says by EDNS: its size, and whether DNSSEC is welcome.
pub(super) fn query(name: &Name, kind: RecordType, rd: bool, edns: Option<(u16, bool)>) -> Vec<u8> {
    let edns_count = u8::from(edns.is_some());
    let mut message = vec![0, 7, u8::from(rd), 0, 0, 1, 0, 0, 0, 0, 0, edns_count];
    message.extend_from_slice(name.as_ref().wire());
    message.extend_from_slice(&kind.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    if let Some((size, dnssec_ok)) = edns {
        let [high, low] = size.to_be_bytes();
        let dnssec_ok = if dnssec_ok { 0x80 } else { 0 };
        message.extend_from_slice(&[0, 0, 41, high, low, 0, 0, dnssec_ok, 0, 0, 0]);
    }
    message
}

pub(super) fn answer(zones: &Zones, transport: Transport, message: &[u8]) -> (ZoneAnswer, Message) {
    let query = Query::parse(message).expect("a query");
    let len_max = match transport {
        Transport::Udp => query.udp_len_max(),
        Transport::Tcp => usize::from(u16::MAX),
    };
    let mut buffer = Vec::new();
    let mut response = Response::new(&query, len_max, &mut buffer);
    let said = zones.answer(&peer(transport), &query, &mut response);
    let len = response.finish();
    assert!(len == buffer.len() && len <= len_max);
    (said, Message::read(&buffer))
}

/// `www.example. A`, with `+rd`, `+tcp` or `+edns=SIZE` after it.
fn ask(zones: &Zones, question: &str) -> (ZoneAnswer, Message) {
    let words: Vec<&str> = question.split(' ').collect();
    let kind: RecordType = words[1].parse().expect(question);
    let has = |flag: &str| words.contains(&flag);
    let size = words.iter().find_map(|word| word.strip_prefix("+edns="));
    let edns = size.map(|size| (size.parse().expect(question), false));
    let transport = match has("+tcp") {
        true => Transport::Tcp,
        false => Transport::Udp,
    };
    answer(
        zones,
        transport,
        &query(&name(words[0]), kind, has("+rd"), edns),
    )
}

/// A response in a line: code and flags, then the sections.
fn shown(message: &Message) -> String {
    let flags = [(flag::AA, "aa"), (flag::TC, "tc")].into_iter();
    let flags = flags.filter(|(flag, _)| message.flags & flag != 0);
    let mut text = message.rcode.to_string();
    for (_, flag) in flags {
        text = format!("{text} {flag}");
    }
    let sections = [&message.answers, &message.authorities, &message.additionals];
    for (sign, section) in ["=", "@", "+"].into_iter().zip(sections) {
        for record in section {
            text = format!("{text} {sign} {}", shown_record(record));
        }
    }
    text
}

fn shown_record(record: &Record) -> String {
    let data = &record.data;
    let target = |at: usize| {
        NameRef::from_wire(&data[at..]).map_or_else(|_| "?".into(), |name| name.to_string())
    };
    let data = match record.kind {
        RecordType::A => {
            let octets: [u8; 4] = data[..].try_into().expect("an address");
            Ipv4Addr::from(octets).to_string()
        }
        RecordType::NS | RecordType::CNAME | RecordType::DNAME | RecordType::PTR => target(0),
        RecordType::MX => target(2),
        RecordType::SOA => record.ttl_seconds.to_string(),
        _ => data.len().to_string(),
    };
    format!("{} {} {data}", record.owner, record.kind)
}

fn check_table(zones: &Zones, table: &[(&str, &str)]) {
    for (question, expected) in table {
        assert_eq!(shown(&ask(zones, question).1), *expected, "{question}");
    }
}

/// How the zone sub.example. is signed.
const DS: &str =
    "sub DS 1 8 2 (000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f)\n";

/// The zone of RFC 4592 section 2.2.1.
fn rfc_4592() -> Zone {
    zone(
        "example.",
        "@ NS ns.example.com.\n@ NS ns.example.net.\n\
         * TXT \"this is a wildcard\"\n* MX 10 host1.example.\n\
         sub.* TXT \"this is not a wildcard\"\nhost1 A 192.0.2.1\n\
         _ssh._tcp.host1 SRV 0 0 22 host1\n_ssh._tcp.host2 SRV 0 0 22 host1\n\
         subdel NS ns.example.com.\nsubdel NS ns.example.net.\n",
    )
}

#[test]
fn wildcards_stand_for_names_as_in_rfc_4592_section_2_2_1() {
    let soa = "@ example. SOA 300";
    let zones = zones([rfc_4592()]);
    check_table(
        &zones,
        &[
            (
                "host3.example. MX +rd",
                "NOERROR aa = host3.example. MX host1.example. + host1.example. A 192.0.2.1",
            ),
            ("host3.example. A +rd", &format!("NOERROR aa {soa}")),
            (
                "foo.bar.example. TXT +rd",
                "NOERROR aa = foo.bar.example. TXT 19",
            ),
            ("host1.example. MX +rd", &format!("NOERROR aa {soa}")),
            ("sub.*.example. MX +rd", &format!("NOERROR aa {soa}")),
            (
                "_telnet._tcp.host1.example. SRV +rd",
                &format!("NXDOMAIN aa {soa}"),
            ),
            (
                "host.subdel.example. A +rd",
                "NOERROR @ subdel.example. NS ns.example.com. @ subdel.example. NS ns.example.net.",
            ),
            ("ghost.*.example. MX +rd", &format!("NXDOMAIN aa {soa}")),
            // Section 2.2.2: names without records are there.
            ("_tcp.host2.example. SRV +rd", &format!("NOERROR aa {soa}")),
            ("host2.example. MX +rd", &format!("NOERROR aa {soa}")),
            ("x.host2.example. MX +rd", &format!("NXDOMAIN aa {soa}")),
            ("*.example. TXT +rd", "NOERROR aa = *.example. TXT 19"),
        ],
    );
}

/// The zone EDU of RFC 1034 section 6.1, as far as its examples need it.
fn rfc_1034() -> Zones {
    let root = zone(
        ".",
        "@ NS A.ISI.EDU.\n@ NS C.ISI.EDU.\n@ NS SRI-NIC.ARPA.\n\
         MIL. NS SRI-NIC.ARPA.\nMIL. NS A.ISI.EDU.\n\
         SRI-NIC.ARPA. A 26.0.0.73\nSRI-NIC.ARPA. A 10.0.0.51\n\
         SRI-NIC.ARPA. MX 0 SRI-NIC.ARPA.\nSRI-NIC.ARPA. HINFO DEC-2060 TOPS20\n\
         USC-ISIC.ARPA. CNAME C.ISI.EDU.\n\
         A.ISI.EDU. A 26.3.0.103\nC.ISI.EDU. A 10.0.0.52\n\
         73.0.0.26.IN-ADDR.ARPA. PTR SRI-NIC.ARPA.\n",
    );
    zones([root])
}

#[test]
fn queries_of_rfc_1034_section_6_2_are_answered_so() {
    let servers = "@ . NS A.ISI.EDU. @ . NS C.ISI.EDU. @ . NS SRI-NIC.ARPA.";
    check_table(
        &rfc_1034(),
        &[
            (
                "SRI-NIC.ARPA. A +rd",
                "NOERROR aa = SRI-NIC.ARPA. A 26.0.0.73 = SRI-NIC.ARPA. A 10.0.0.51",
            ),
            (
                "SRI-NIC.ARPA. MX +rd",
                "NOERROR aa = SRI-NIC.ARPA. MX SRI-NIC.ARPA. \
                 + SRI-NIC.ARPA. A 26.0.0.73 + SRI-NIC.ARPA. A 10.0.0.51",
            ),
            ("SRI-NIC.ARPA. NS +rd", "NOERROR aa @ . SOA 300"),
            ("SIR-NIC.ARPA. A +rd", "NXDOMAIN aa @ . SOA 300"),
            (
                "BRL.MIL. A",
                "NOERROR @ MIL. NS SRI-NIC.ARPA. @ MIL. NS A.ISI.EDU.",
            ),
            (
                "USC-ISIC.ARPA. A +rd",
                "NOERROR aa = USC-ISIC.ARPA. CNAME C.ISI.EDU. = C.ISI.EDU. A 10.0.0.52",
            ),
            (
                "USC-ISIC.ARPA. CNAME +rd",
                "NOERROR aa = USC-ISIC.ARPA. CNAME C.ISI.EDU.",
            ),
            // Not one of its examples: who desires no recursion is a resolver, and told of the
            // servers; their addresses are there once, whoever needs them.
            (
                "USC-ISIC.ARPA. A",
                &format!(
                    "NOERROR aa = USC-ISIC.ARPA. CNAME C.ISI.EDU. = C.ISI.EDU. A 10.0.0.52 \
                     {servers} + A.ISI.EDU. A 26.3.0.103 \
                     + SRI-NIC.ARPA. A 26.0.0.73 + SRI-NIC.ARPA. A 10.0.0.51"
                ),
            ),
        ],
    );
}

#[test]
fn delegations_lead_to_other_servers_with_their_addresses() {
    let zones = zones([zone(
        "example.",
        &format!(
            "@ NS ns\nns A 192.0.2.1\nsub NS ns.sub\nsub NS ns.other\nsub NS ns\n\
             ns.sub A 192.0.2.2\nother NS ns.other\nns.other A 192.0.2.3\n{DS}"
        ),
    )]);
    let referral = "@ sub.example. NS ns.sub.example. @ sub.example. NS ns.other.example. \
                    @ sub.example. NS ns.example. \
                    + ns.sub.example. A 192.0.2.2 + ns.other.example. A 192.0.2.3";
    for question in [
        "sub.example. A",
        "sub.example. NS +rd",
        "sub.example. ANY +tcp",
        "a.b.sub.example. CNAME",
        "ns.sub.example. A",
        "a.sub.example. DS",
    ] {
        let (said, message) = ask(&zones, question);
        assert_eq!(said, ZoneAnswer::Referral);
        assert_eq!(shown(&message), format!("NOERROR {referral}"), "{question}");
    }
    check_table(
        &zones,
        &[
            ("sub.example. DS", "NOERROR aa = sub.example. DS 36"),
            ("other.example. DS", "NOERROR aa @ example. SOA 300"),
        ],
    );
}

#[test]
fn the_parent_says_how_a_child_is_signed() {
    let parent = zone(
        "example.",
        &format!("@ NS ns.example.com.\nsub NS ns.sub\n{DS}"),
    );
    let child = || zone("sub.example.", "@ NS ns\nns A 192.0.2.2\n");
    let both = zones([parent, child()]);
    check_table(
        &both,
        &[
            ("sub.example. DS", "NOERROR aa = sub.example. DS 36"),
            ("sub.example. SOA +rd", "NOERROR aa = sub.example. SOA 3600"),
            (
                "ns.sub.example. A +rd",
                "NOERROR aa = ns.sub.example. A 192.0.2.2",
            ),
        ],
    );
    let alone = zones([child()]);
    check_table(
        &alone,
        &[("sub.example. DS", "NOERROR aa @ sub.example. SOA 300")],
    );
}

#[test]
fn aliases_are_followed_through_all_zones_that_the_client_may_ask() {
    let first = zone(
        "example.",
        "@ NS ns.example.com.\na CNAME b.other.\nout CNAME www.example.org.\n\
         hidden CNAME a.closed.\nloop CNAME pool\npool CNAME loop\nself CNAME self\n\
         gone CNAME nowhere\n*.w CNAME x.w\ncut CNAME x.sub\nsub NS ns.example.com.\n",
    );
    let other = zone(
        "other.",
        "@ NS ns.example.com.\nb CNAME c.example.\nc A 192.0.2.3\n",
    );
    let mut closed = ServedZone::new(zone("closed.", "@ NS ns.example.com.\na A 192.0.2.4\n"));
    closed.query = AccessList::none();
    let mut all = Zones::default();
    all.replace(vec![ServedZone::new(first), ServedZone::new(other), closed]);
    check_table(
        &all,
        &[
            (
                "a.example. A +rd",
                "NXDOMAIN aa = a.example. CNAME b.other. = b.other. CNAME c.example. \
                 @ example. SOA 300",
            ),
            (
                "out.example. A +rd",
                "NOERROR aa = out.example. CNAME www.example.org.",
            ),
            (
                "hidden.example. A",
                "NOERROR aa = hidden.example. CNAME a.closed.",
            ),
            (
                "loop.example. A",
                "SERVFAIL aa = loop.example. CNAME pool.example. \
                 = pool.example. CNAME loop.example.",
            ),
            (
                "self.example. A",
                "SERVFAIL aa = self.example. CNAME self.example.",
            ),
            (
                "gone.example. A",
                "NXDOMAIN aa = gone.example. CNAME nowhere.example. @ example. SOA 300",
            ),
            (
                "y.w.example. A",
                "SERVFAIL aa = y.w.example. CNAME x.w.example. = x.w.example. CNAME x.w.example.",
            ),
            (
                "cut.example. A",
                "NOERROR aa = cut.example. CNAME x.sub.example. \
                 @ sub.example. NS ns.example.com.",
            ),
            (
                "out.example. ANY",
                "NOERROR aa = out.example. CNAME www.example.org.",
            ),
        ],
    );
    let outside = ZoneAnswer::Alias(name("www.example.org."));
    assert_eq!(ask(&all, "out.example. A").0, outside);
    assert_eq!(ask(&all, "a.closed. A").0, ZoneAnswer::Refused);
    assert_eq!(ask(&all, "example.org. A").0, ZoneAnswer::NotHere);
}

#[test]
fn chains_end_after_as_many_aliases_as_bind_follows() {
    let chain: String = (0..20)
        .map(|n| format!("n{n} CNAME n{}\n", n + 1))
        .collect();
    let zones = zones([zone(
        "example.",
        &format!("@ NS ns.example.com.\n{chain}n20 A 192.0.2.1\n"),
    )]);
    let (_, message) = ask(&zones, "n9.example. A +rd");
    assert_eq!((message.rcode, message.answers.len()), (Rcode::NOERROR, 12));
    let (_, message) = ask(&zones, "n8.example. A +rd");
    assert_eq!(
        (message.rcode, message.answers.len()),
        (Rcode::SERVFAIL, 12)
    );
}

#[test]
fn names_below_a_dname_are_called_otherwise() {
    let long = format!(
        "{}.",
        ["a".repeat(63), "b".repeat(63), "c".repeat(63)].join(".")
    );
    let zones = zones([zone(
        "example.",
        &format!(
            "@ NS ns.example.com.\nd DNAME new\nd A 192.0.2.1\nx.new A 192.0.2.2\n\
             long DNAME {long}\n"
        ),
    )]);
    let soa = "@ example. SOA 300";
    check_table(
        &zones,
        &[
            (
                "x.d.example. A +rd",
                "NOERROR aa = d.example. DNAME new.example. = x.d.example. CNAME x.new.example. \
                 = x.new.example. A 192.0.2.2",
            ),
            ("d.example. A +rd", "NOERROR aa = d.example. A 192.0.2.1"),
            (
                "d.example. DNAME +rd",
                "NOERROR aa = d.example. DNAME new.example.",
            ),
            (
                "x.d.example. CNAME +rd",
                "NOERROR aa = d.example. DNAME new.example. = x.d.example. CNAME x.new.example.",
            ),
            (
                "y.d.example. A +rd",
                &format!(
                    "NXDOMAIN aa = d.example. DNAME new.example. \
                     = y.d.example. CNAME y.new.example. {soa}"
                ),
            ),
        ],
    );
    let question = format!("{}.{}.long.example. A +rd", "e".repeat(63), "f".repeat(20));
    let (_, message) = ask(&zones, &question);
    assert_eq!((message.rcode, message.answers.len()), (Rcode::YXDOMAIN, 1));
}

/// RFC 2308 section 3: the TTL is the smaller one. Who asks for the SOA
/// of a name that is not there gets 0, as from BIND.
#[test]
fn it_is_said_for_how_long_there_is_nothing() {
    let zones = zones([zone(
        "example.",
        "@ NS ns.example.com.\n$TTL 60\na A 192.0.2.1\n",
    )]);
    check_table(
        &zones,
        &[
            ("a.example. AAAA", "NOERROR aa @ example. SOA 300"),
            ("b.example. AAAA", "NXDOMAIN aa @ example. SOA 300"),
            ("a.example. SOA", "NOERROR aa @ example. SOA 300"),
            ("b.example. SOA", "NXDOMAIN aa @ example. SOA 0"),
        ],
    );
    let short = "@ NS ns.example.com.\n";
    let mut records: Vec<Record> = zone("example.", short).records().collect();
    records[0].ttl_seconds = 20;
    let short = Zone::new(name("example."), records).expect("a zone");
    check_table(
        &tests::zones([short]),
        &[("b.example. A", "NXDOMAIN aa @ example. SOA 20")],
    );
}

#[test]
fn any_is_one_set_by_udp_and_all_by_tcp() {
    let zones = zones([zone(
        "example.",
        "@ NS ns.example.com.\na A 192.0.2.1\na TXT x\na MX 0 a\n",
    )]);
    check_table(
        &zones,
        &[
            ("a.example. ANY", "NOERROR aa = a.example. A 192.0.2.1"),
            (
                "a.example. ANY +rd +tcp",
                "NOERROR aa = a.example. A 192.0.2.1 = a.example. TXT 2 = a.example. MX a.example.",
            ),
            ("b.example. ANY", "NXDOMAIN aa @ example. SOA 300"),
            ("a.example. TYPE253", "NOTIMP"),
            ("a.example. TYPE249", "FORMERR"),
            ("a.example. OPT", "FORMERR"),
        ],
    );
}

#[test]
fn servers_are_named_to_resolvers_and_not_to_clients() {
    let zones = zones([zone("example.", "@ NS ns\nns A 192.0.2.1\na A 192.0.2.2\n")]);
    check_table(
        &zones,
        &[
            (
                "a.example. A",
                "NOERROR aa = a.example. A 192.0.2.2 @ example. NS ns.example. \
                 + ns.example. A 192.0.2.1",
            ),
            ("a.example. A +rd", "NOERROR aa = a.example. A 192.0.2.2"),
            (
                "a.example. A +edns=512",
                "NOERROR aa = a.example. A 192.0.2.2",
            ),
            (
                "ns.example. A",
                "NOERROR aa = ns.example. A 192.0.2.1 @ example. NS ns.example.",
            ),
            (
                "example. NS +rd",
                "NOERROR aa = example. NS ns.example. + ns.example. A 192.0.2.1",
            ),
        ],
    );
}

#[test]
fn what_does_not_fit_is_asked_for_by_tcp() {
    let many: String = (0..60).map(|n| format!("many A 192.0.2.{n}\n")).collect();
    let servers: String = (0..12)
        .map(|n| format!("sub NS server-name-{n}.sub\nserver-name-{n}.sub A 192.0.2.{n}\n"))
        .collect();
    let zones = zones([zone(
        "example.",
        &format!("@ NS ns\nns A 192.0.2.1\n{many}{servers}"),
    )]);
    let (_, message) = ask(&zones, "many.example. A");
    assert_eq!(shown(&message), "NOERROR aa tc");
    let (_, message) = ask(&zones, "many.example. A +rd +edns=1232");
    assert_eq!((message.answers.len(), message.flags & flag::TC), (60, 0));
    let (_, message) = ask(&zones, "many.example. A +tcp");
    assert_eq!(message.answers.len(), 60);
    // What was not asked for is left out in silence (RFC 2181 section 9), glue is not
    // (RFC 9471 section 3.1).
    let (_, message) = ask(&zones, "x.sub.example. A");
    assert_eq!(message.authorities.len(), 12);
    assert!(message.flags & flag::TC != 0 && message.additionals.len() < 12);
}

#[test]
fn the_zone_with_the_longest_name_is_asked() {
    let all = zones([
        zone("example.", "@ NS ns.example.com.\na.b A 192.0.2.1\n"),
        zone("b.example.", "@ NS ns.example.com.\na A 192.0.2.2\n"),
    ]);
    check_table(
        &all,
        &[
            (
                "A.b.Example. A +rd",
                "NOERROR aa = a.b.example. A 192.0.2.2",
            ),
            ("x.b.example. A +rd", "NXDOMAIN aa @ b.example. SOA 300"),
            ("ab.example. A +rd", "NXDOMAIN aa @ example. SOA 300"),
        ],
    );
}

#[test]
fn records_that_make_no_zone_are_told() {
    let soa = zone("example.", "@ NS ns.example.com.\n")
        .records()
        .next()
        .expect("SOA");
    let record = |owner: &str, kind, data: &[u8]| Record::new(name(owner), kind, 1, data.to_vec());
    let (origin, a) = (name("example."), RecordType::A);
    let of = |records: Vec<Record>| Zone::new(name("example."), records).expect_err("no zone");
    let mut other = soa.clone();
    other.data = [&soa.data[..soa.data.len() - 1], &[9]].concat().into();
    for (records, error) in [
        (
            vec![],
            ZoneError::Soa {
                origin: origin.clone(),
                count: 0,
            },
        ),
        (
            vec![soa.clone(), other],
            ZoneError::Soa {
                origin: origin.clone(),
                count: 2,
            },
        ),
        (
            vec![soa.clone(), record("a.test.", a, &[1; 4])],
            ZoneError::OutOfZone {
                owner: name("a.test."),
                origin: origin.clone(),
            },
        ),
        (
            vec![record("a.example.", RecordType::SOA, &soa.data)],
            ZoneError::SoaBelow {
                owner: name("a.example."),
                origin: origin.clone(),
            },
        ),
        (
            vec![record("example.", a, &[1; 3])],
            ZoneError::MalformedData {
                owner: origin.clone(),
                kind: a,
            },
        ),
        (
            vec![record("example.", RecordType::ANY, &[])],
            ZoneError::MetaType {
                owner: origin.clone(),
                kind: RecordType::ANY,
            },
        ),
    ] {
        assert_eq!(of(records), error);
    }
    let twice = Zone::new(origin, [soa.clone(), soa]).expect("a zone");
    assert_eq!(twice.records().count(), 1);
}

#[test]
fn a_set_has_one_ttl_and_no_record_twice() {
    let soa = zone("example.", "@ NS ns.example.com.\n")
        .records()
        .next()
        .expect("SOA");
    let mx = |ttl, target: &str| {
        let data = [&[0, 0], name(target).as_ref().wire()].concat();
        Record::new(name("example."), RecordType::MX, ttl, data)
    };
    let records = [
        soa,
        mx(60, "a.example."),
        mx(30, "A.example."),
        mx(30, "b.example."),
    ];
    let zone = Zone::new(name("example."), records).expect("a zone");
    assert_eq!(zone.count(name("EXAMPLE.").as_ref(), RecordType::MX), 2);
    assert!(
        zone.records()
            .skip(1)
            .all(|record| record.ttl_seconds == 60)
    );
}

#[test]
fn dynamic_records_are_answered_beside_those_of_the_zone() {
    let text = "@ NS ns.example.com.\nwww A 192.0.2.1\nalias CNAME www\nsub NS ns.example.com.\n\
                d DNAME www\n";
    let mut all = zones([zone("example.", text)]);
    let serial = |all: &Zones| {
        let served = all.find(name("example.").as_ref()).expect("a zone");
        let soa = ask(all, "example. SOA +rd").1.answers.remove(0);
        let [serial, ..] = soa_numbers(&soa.data).expect("numbers");
        assert_eq!(serial, served.zone.serial());
        serial
    };
    let a = |owner: &str, last| {
        let owner = name(owner);
        Record::new(owner, RecordType::A, 60, vec![192, 0, 2, last])
    };
    assert_eq!(serial(&all), 7);
    let set = |all: &mut Zones, owner: &str, records: Vec<Record>| {
        all.set_dynamic([(name(owner), records)]);
    };
    set(
        &mut all,
        "a.b.example.",
        vec![a("a.b.example.", 5), a("a.b.example.", 6)],
    );
    assert_eq!(serial(&all), 8);
    check_table(
        &all,
        &[
            (
                "a.b.example. A +rd",
                "NOERROR aa = a.b.example. A 192.0.2.5 = a.b.example. A 192.0.2.6",
            ),
            ("b.example. A +rd", "NOERROR aa @ example. SOA 300"),
        ],
    );
    set(
        &mut all,
        "a.b.example.",
        vec![a("a.b.example.", 5), a("a.b.example.", 6)],
    );
    assert_eq!(serial(&all), 8, "nothing changed");
    for (owner, reason) in [
        ("www.example.", HoldReason::InZone),
        ("alias.example.", HoldReason::Alias),
        ("x.sub.example.", HoldReason::Delegated),
        ("sub.example.", HoldReason::Delegated),
        ("x.d.example.", HoldReason::Renamed),
        ("www.example.org.", HoldReason::NoZone),
    ] {
        set(&mut all, owner, vec![a(owner, 9)]);
        assert_eq!(all.hold_reason(&a(owner, 9)), Some(reason), "{owner}");
    }
    assert_eq!(serial(&all), 8, "what is held back changes nothing");
    let ns = Record::new(name("x.example."), RecordType::NS, 1, vec![0]);
    assert_eq!(all.hold_reason(&ns), Some(HoldReason::NotForNames));
    set(&mut all, "a.b.example.", vec![]);
    assert_eq!(serial(&all), 9);
    check_table(
        &all,
        &[("b.example. A +rd", "NXDOMAIN aa @ example. SOA 300")],
    );
    // A zone that is loaded again has them, and those that waited for it.
    let again = [
        zone("example.", "@ NS ns.example.com.\n"),
        zone("example.org.", "@ NS ns.example.com.\n"),
    ];
    drop(all.replace(again.map(ServedZone::new).into()));
    assert_eq!(serial(&all), 10);
    check_table(
        &all,
        &[
            (
                "www.example. A +rd",
                "NOERROR aa = www.example. A 192.0.2.9",
            ),
            (
                "www.example.org. A +rd",
                "NOERROR aa = www.example.org. A 192.0.2.9",
            ),
        ],
    );
    let same = [zone("example.", "@ NS ns.example.com.\n")];
    drop(all.replace(same.map(ServedZone::new).into()));
    assert_eq!(serial(&all), 10, "a zone that is the same keeps its serial");
    let mut ahead = ServedZone::new(zone("example.", "@ NS ns.example.com.\n"));
    ahead.serial_offset = 1000;
    drop(all.replace(vec![ahead]));
    assert_eq!(serial(&all), 1007);
    drop(all.replace(vec![]));
    let back = [zone("example.", "@ NS ns.example.com.\n")];
    drop(all.replace(back.map(ServedZone::new).into()));
    assert_eq!(serial(&all), 1008, "a zone that was gone does not go back");
    assert!(overlay::is_after(0, u32::MAX) && !overlay::is_after(u32::MAX, 0));
}

/// 64 records under each of a thousand keys may be of one name: what fits into a message is answered,
/// so that a client that comes by TCP gets a whole answer.
#[test]
fn dynamic_records_that_fit_into_no_message_are_held_back() {
    let mut all = zones([zone("example.", "@ NS ns.example.com.\n")]);
    let owner = name("many.example.");
    let text = |number: u32| {
        let data = [&[200][..], &[b'x'; 196], &number.to_be_bytes()].concat();
        Record::new(owner.clone(), RecordType::TXT, 60, data)
    };
    let records: Vec<Record> = (0..400).map(text).collect();
    all.set_dynamic([(owner.clone(), records.clone())]);
    let is_held = |record: &&Record| all.hold_reason(record) == Some(HoldReason::TooLarge);
    let held = records.iter().filter(is_held).count();
    assert!((50..100).contains(&held), "{held}");
    let count = all
        .find(owner.as_ref())
        .map(|served| served.zone.count(owner.as_ref(), RecordType::TXT));
    assert_eq!(count, Some(400 - held));
    // Another type has a message of its own.
    let address = Record::new(owner.clone(), RecordType::A, 60, vec![192, 0, 2, 1]);
    assert_eq!(all.hold_reason(&address), None);
}
