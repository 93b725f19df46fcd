//! What comes back, whole and as it was said.

use pxe_dns::Forwarder as _;
use pxe_dns::wire::Section;
use pxe_dns::{Question, Rcode, Record, RecordType, Resolved, Transport};

use crate::fake::{Fake, name, push, push_alias, respond, soa, wire};
use crate::{addresses, ask, asking, forwarder};

#[tokio::test]
async fn records_of_any_type_come_as_they_are() {
    let cases: Vec<(RecordType, Vec<u8>)> = vec![
        (RecordType::A, vec![192, 0, 2, 1]),
        (RecordType::AAAA, vec![0x20; 16]),
        (RecordType::NS, wire("Ns.Boot.Example")),
        (RecordType::PTR, wire("Boot.Example")),
        (
            RecordType::MX,
            [vec![0, 10], wire("mx.Boot.example")].concat(),
        ),
        (RecordType::SOA, soa(300)),
        (RecordType::TXT, b"\x03a\"b\x00\x02\xff\x00".to_vec()),
        (
            RecordType::SRV,
            [vec![0, 1, 0, 2, 0, 69], wire("t.boot.example")].concat(),
        ),
        (
            RecordType::HTTPS,
            [vec![0, 1], wire("."), vec![0, 3, 0, 2, 1, 187]].concat(),
        ),
        (RecordType::CAA, b"\x00\x05issueca.example".to_vec()),
        (RecordType::DS, vec![1; 36]),
        (RecordType::DNSKEY, vec![2; 40]),
        (
            RecordType::URI,
            b"\x00\x01\x00\x02http://boot.example/".to_vec(),
        ),
        // Nobody knows what these are.
        (RecordType(65_280), vec![0xc0, 0x0c, 0, 1, 2]),
    ];
    let said = cases.clone();
    let fake = Fake::start(move |query, _| {
        vec![respond(query, |response| {
            for (kind, data) in said.iter().filter(|(kind, _)| *kind == query.kind) {
                push(response, Section::Answer, "boot.example", *kind, 60, data);
            }
        })]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    for (kind, data) in cases {
        let resolved = ask(&forwarder, "boot.example", kind)
            .await
            .expect("an answer");
        let record = Record::new(name("boot.example"), kind, 60, data);
        assert_eq!(
            resolved,
            Resolved::new(Rcode::NOERROR, vec![record]),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn aliases_come_with_what_they_lead_to() {
    let fake = Fake::start(|query, _| {
        vec![respond(query, |response| {
            // In the wrong order, as some servers have it.
            push(
                response,
                Section::Answer,
                "c.example",
                RecordType::A,
                30,
                &[192, 0, 2, 3],
            );
            push_alias(response, "a.example", 60, "b.example");
            push_alias(response, "b.example", 20, "c.example");
        })]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    let resolved = ask(&forwarder, "a.example", RecordType::A)
        .await
        .expect("an answer");
    assert_eq!(resolved.answers.len(), 3);
    assert_eq!(addresses(&resolved), [[192, 0, 2, 3]]);
}

/// A server that has zones and asks nobody tells where an alias leads, and not what is there.
#[tokio::test]
async fn what_aliases_lead_to_is_asked_for() {
    let inside = Fake::start(|query, _| {
        vec![respond(query, |response| {
            push_alias(response, "www.corp.test", 60, "cdn.example");
        })]
    })
    .await;
    let outside = Fake::with_address([192, 0, 2, 7]).await;
    let forwarder = asking(&[&outside])
        .zone(name("corp.test"), [inside.upstream()])
        .build()
        .expect("a forwarder");
    let resolved = ask(&forwarder, "www.corp.test", RecordType::A)
        .await
        .expect("an answer");
    let owners: Vec<String> = resolved
        .answers
        .iter()
        .map(|r| r.owner.to_string())
        .collect();
    assert_eq!(owners, ["www.corp.test.", "cdn.example."]);
    assert_eq!(addresses(&resolved), [[192, 0, 2, 7]]);
    // Who wants the alias itself is told it.
    let alias = ask(&forwarder, "www.corp.test", RecordType::CNAME)
        .await
        .expect("an answer");
    assert_eq!(alias.answers.len(), 1);
}

#[tokio::test]
async fn a_truncated_response_is_asked_for_by_tcp() {
    let big: Vec<u8> = (0..40)
        .flat_map(|_| [vec![250], vec![b'x'; 250]].concat())
        .collect();
    let data = big.clone();
    let fake = Fake::start(move |query, transport| {
        vec![respond(query, |response| match transport {
            Transport::Tcp => {
                for ttl in 0..6 {
                    push(
                        response,
                        Section::Answer,
                        "big.example",
                        query.kind,
                        60 + ttl,
                        &data,
                    );
                }
            }
            _ => response.set_truncated(),
        })]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    let resolved = ask(&forwarder, "big.example", RecordType::TXT)
        .await
        .expect("an answer");
    let len: usize = resolved
        .answers
        .iter()
        .map(|record| record.data.len())
        .sum();
    assert!(len > 60_000, "{len}");
    assert!(resolved.answers.iter().all(|record| record.data == big));
    assert_eq!(fake.transports(), [Transport::Udp, Transport::Tcp]);
    // The server has closed the connection since.
    let again = ask(&forwarder, "big.example", RecordType(65_281)).await;
    assert_eq!(again.expect("an answer").answers.len(), 6);
}

/// A pointer within it would lead astray in another message.
#[tokio::test]
async fn names_that_may_be_compressed_are_not_passed_on_unread() {
    let fake = Fake::start(|query, _| {
        vec![respond(query, |response| {
            push(
                response,
                Section::Answer,
                "a.example",
                query.kind,
                60,
                &[0xc0, 0x0c],
            );
        })]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    for (kind, count) in [(3, 0), (7, 0), (14, 0), (65_280, 1)] {
        let resolved = ask(&forwarder, "a.example", RecordType(kind)).await;
        assert_eq!(resolved.expect("an answer").answers.len(), count, "{kind}");
    }
}

#[tokio::test]
async fn signatures_are_for_those_who_want_them() {
    let fake = Fake::start(|query, _| {
        let signature = |kind: RecordType| [kind.0.to_be_bytes().to_vec(), vec![9; 20]].concat();
        vec![respond(query, |response| {
            let (a, rrsig) = (RecordType::A, RecordType::RRSIG);
            push(
                response,
                Section::Answer,
                "a.example",
                a,
                60,
                &[192, 0, 2, 1],
            );
            push(
                response,
                Section::Answer,
                "a.example",
                rrsig,
                60,
                &signature(a),
            );
            let txt = signature(RecordType::TXT);
            push(response, Section::Answer, "a.example", rrsig, 60, &txt);
            push(
                response,
                Section::Authority,
                "a.example",
                RecordType::NSEC,
                60,
                b"\0\0\x01\x40",
            );
        })]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    let name = name("a.example");
    let question = Question::new(&name, RecordType::A);
    let kinds = |resolved: &Resolved| -> Vec<RecordType> {
        let records = resolved.answers.iter().chain(&resolved.authorities);
        records.map(|record| record.kind).collect()
    };
    let plain = forwarder.resolve(question).await.expect("an answer");
    assert_eq!(kinds(&plain), [RecordType::A]);
    let signed = question.dnssec_ok(true).checking_disabled(true);
    let signed = forwarder.resolve(signed).await.expect("an answer");
    assert_eq!(
        kinds(&signed),
        [RecordType::A, RecordType::RRSIG, RecordType::NSEC]
    );
    let asked: Vec<(bool, bool)> = fake.asked().iter().map(|a| (a.dnssec_ok, a.cd)).collect();
    assert_eq!(asked, [(false, false), (true, true)]);
}

#[tokio::test]
async fn names_of_a_transfer_are_not_asked_for() {
    let fake = Fake::with_address([192, 0, 2, 1]).await;
    let forwarder = forwarder(&[&fake]);
    for kind in [
        RecordType::AXFR,
        RecordType::IXFR,
        RecordType::OPT,
        RecordType(0),
    ] {
        let resolved = ask(&forwarder, "a.example", kind).await.expect("an answer");
        assert_eq!(resolved, Resolved::new(Rcode::NOTIMP, Vec::new()));
    }
    assert_eq!(fake.asked(), []);
}
