//! Asking servers that nobody would want to have.

mod fake;

use std::sync::Arc;
use std::time::Duration;

use fake::{Fake, name, push, respond, soa, wire};
use pxe_dns::wire::Section;
use pxe_dns::{
    AccessList, ForwardConfigError, ForwardError, ForwardLimits, Forwarder, HickoryForwarder,
    HickoryForwarderBuilder, Name, Question, Rcode, Record, RecordType, Resolved, Server, Service,
    Transport, Upstream,
};
use tokio::net::UdpSocket;

fn asking(fakes: &[&Fake]) -> HickoryForwarderBuilder {
    let upstreams: Vec<Upstream> = fakes.iter().map(|fake| fake.upstream()).collect();
    HickoryForwarder::builder().upstreams(upstreams)
}

fn forwarder(fakes: &[&Fake]) -> HickoryForwarder {
    asking(fakes).build().expect("a forwarder")
}

async fn ask(
    forwarder: &HickoryForwarder,
    text: &str,
    kind: RecordType,
) -> Result<Resolved, ForwardError> {
    forwarder.resolve(Question::new(&name(text), kind)).await
}

/// Addresses of a name, after the aliases.
fn addresses(resolved: &Resolved) -> Vec<&[u8]> {
    let addresses = resolved.answers.iter();
    let addresses = addresses.filter(|record| record.kind == RecordType::A);
    addresses.map(|record| &record.data[..]).collect()
}

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
            let cname = RecordType::CNAME;
            // In the wrong order, as some servers have it.
            push(
                response,
                Section::Answer,
                "c.example",
                RecordType::A,
                30,
                &[192, 0, 2, 3],
            );
            push(
                response,
                Section::Answer,
                "a.example",
                cname,
                60,
                &wire("b.example"),
            );
            push(
                response,
                Section::Answer,
                "b.example",
                cname,
                20,
                &wire("c.example"),
            );
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
            let target = wire("cdn.example");
            push(
                response,
                Section::Answer,
                "www.corp.test",
                RecordType::CNAME,
                60,
                &target,
            );
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

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_followed_by_the_next() {
    let silent = Fake::silent().await;
    let speaking = Fake::with_address([192, 0, 2, 1]).await;
    let forwarder = forwarder(&[&silent, &speaking]);
    let resolved = ask(&forwarder, "a.example", RecordType::A)
        .await
        .expect("an answer");
    assert_eq!(addresses(&resolved), [[192, 0, 2, 1]]);
    // The one that answered is asked first from now on.
    let before = silent.asked().len();
    ask(&forwarder, "b.example", RecordType::A)
        .await
        .expect("an answer");
    assert_eq!(silent.asked().len(), before);
    assert_eq!(speaking.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn if_all_are_silent_the_client_is_told_in_time() {
    let (one, other) = (Fake::silent().await, Fake::silent().await);
    let forwarder = forwarder(&[&one, &other]);
    let since = tokio::time::Instant::now();
    let answer = ask(&forwarder, "a.example", RecordType::A).await;
    let why = answer.expect_err("nobody answers");
    assert_eq!(
        (why.clone(), why.rcode()),
        (ForwardError::Timeout, Rcode::SERVFAIL)
    );
    let waited = since.elapsed();
    let limits = ForwardLimits::default();
    assert!(waited >= limits.deadline, "{waited:?}");
    assert!(
        waited < limits.deadline + Duration::from_millis(10),
        "{waited:?}"
    );
    // The datagram was sent again, to both.
    assert!(one.asked().len() >= 2);
    assert!(other.asked().len() >= 2);
    // RFC 9520 section 3.2: the next one need not wait.
    let asked = one.asked().len();
    let again = ask(&forwarder, "a.example", RecordType::A).await;
    assert_eq!(
        (again, since.elapsed()),
        (Err(ForwardError::Timeout), waited)
    );
    assert_eq!(one.asked().len(), asked);
    tokio::time::advance(Duration::from_secs(limits.failure_ttl_seconds.into())).await;
    assert!(ask(&forwarder, "a.example", RecordType::A).await.is_err());
    assert!(one.asked().len() > asked);
    let counters = forwarder.counters();
    assert_eq!((counters.timed_out, counters.from_cache), (2, 1));
    assert_eq!(counters.in_flight, 0);
}

#[tokio::test]
async fn nobody_is_asked_where_there_is_nobody() {
    let forwarder = forwarder(&[]);
    let answer = ask(&forwarder, "a.example", RecordType::A).await;
    assert_eq!(answer, Err(ForwardError::NoServer));
}

#[tokio::test]
async fn a_server_that_fails_or_refuses_is_followed_by_the_next() {
    let speaking = Fake::with_address([192, 0, 2, 1]).await;
    for rcode in [Rcode::SERVFAIL, Rcode::REFUSED, Rcode::NOTAUTH, Rcode(11)] {
        let failing = Fake::saying(rcode).await;
        let forwarder = forwarder(&[&failing, &speaking]);
        let resolved = ask(&forwarder, "a.example", RecordType::A)
            .await
            .expect("an answer");
        assert_eq!(addresses(&resolved), [[192, 0, 2, 1]], "{rcode}");
        assert_eq!(failing.asked().len(), 1);
    }
    let failing = Fake::saying(Rcode::REFUSED).await;
    let forwarder = forwarder(&[&failing]);
    for _ in 0..2 {
        let answer = ask(&forwarder, "a.example", RecordType::A).await;
        let why = answer.expect_err("it refuses").to_string();
        assert!(
            why.contains("REFUSED") && why.contains("127.0.0.1"),
            "{why}"
        );
    }
    assert_eq!(failing.asked().len(), 1, "a failure is kept for a moment");
}

#[tokio::test]
async fn a_server_without_edns_is_asked_without() {
    let fake = Fake::start(|query, _| {
        vec![respond(query, |response| match query.edns {
            Some(_) => response.set_rcode(Rcode::FORMERR),
            None => push(
                response,
                Section::Answer,
                "a.example",
                query.kind,
                1,
                &[192, 0, 2, 1],
            ),
        })]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    let resolved = ask(&forwarder, "a.example", RecordType::A)
        .await
        .expect("an answer");
    assert_eq!(addresses(&resolved).len(), 1);
    let edns: Vec<bool> = fake.asked().iter().map(|asked| asked.has_edns).collect();
    assert_eq!(edns, [true, false]);
}

#[tokio::test]
async fn a_server_that_only_refers_is_followed_by_the_next() {
    let referring = Fake::start(|query, _| {
        vec![respond(query, |response| {
            let ns = wire("a.root-servers.net");
            push(response, Section::Authority, ".", RecordType::NS, 60, &ns);
        })]
    })
    .await;
    let speaking = Fake::with_address([192, 0, 2, 1]).await;
    let forwarder = forwarder(&[&referring, &speaking]);
    let resolved = ask(&forwarder, "a.example", RecordType::A)
        .await
        .expect("an answer");
    assert_eq!(addresses(&resolved).len(), 1);
}

/// RFC 2308 section 5.
#[tokio::test]
async fn that_there_is_nothing_is_kept_as_long_as_the_soa_says() {
    let fake = Fake::start(|query, _| {
        let first = query.name.labels().next().unwrap_or_default().to_vec();
        vec![respond(query, |response| {
            if first == b"missing" {
                response.set_rcode(Rcode::NXDOMAIN);
            }
            if first == b"alias" {
                let target = wire("missing.example");
                response.set_rcode(Rcode::NXDOMAIN);
                push(
                    response,
                    Section::Answer,
                    "alias.example",
                    RecordType::CNAME,
                    900,
                    &target,
                );
            }
            if first != b"bare" {
                let soa = soa(300);
                push(
                    response,
                    Section::Authority,
                    "example",
                    RecordType::SOA,
                    3600,
                    &soa,
                );
            }
        })]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    for (text, rcode, answers) in [
        ("missing.example", Rcode::NXDOMAIN, 0),
        ("empty.example", Rcode::NOERROR, 0),
        ("alias.example", Rcode::NXDOMAIN, 1),
    ] {
        let before = fake.asked().len();
        for _ in 0..3 {
            let resolved = ask(&forwarder, text, RecordType::A)
                .await
                .expect("an answer");
            assert_eq!(
                (resolved.rcode, resolved.answers.len()),
                (rcode, answers),
                "{text}"
            );
            let soas: Vec<(RecordType, u32)> = resolved
                .authorities
                .iter()
                .map(|record| (record.kind, record.ttl_seconds))
                .collect();
            assert_eq!(soas, [(RecordType::SOA, 300)], "{text}");
        }
        assert_eq!(fake.asked().len(), before + 1, "{text}");
    }
    // Without an SOA record nobody knows for how long: it is not kept.
    let before = fake.asked().len();
    for _ in 0..2 {
        let resolved = ask(&forwarder, "bare.example", RecordType::A).await;
        assert_eq!(resolved, Ok(Resolved::new(Rcode::NOERROR, Vec::new())));
    }
    assert_eq!(fake.asked().len(), before + 2);
}

#[tokio::test]
async fn ttls_count_down_and_are_bounded() {
    let fake = Fake::start(|query, _| {
        vec![respond(query, |response| {
            let ttl = if query.kind == RecordType::A {
                60
            } else {
                u32::MAX >> 1
            };
            let data = [1; 16];
            let data = if query.kind == RecordType::A {
                &data[..4]
            } else {
                &data
            };
            push(
                response,
                Section::Answer,
                "a.example",
                query.kind,
                ttl,
                data,
            );
        })]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    let ttl = |resolved: Result<Resolved, ForwardError>| {
        resolved.map(|r| r.answers.iter().map(|r| r.ttl_seconds).collect::<Vec<_>>())
    };
    assert_eq!(
        ttl(ask(&forwarder, "a.example", RecordType::A).await),
        Ok(vec![60])
    );
    assert_eq!(
        ttl(ask(&forwarder, "a.example", RecordType::AAAA).await),
        Ok(vec![86_400])
    );
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(45)).await;
    assert_eq!(
        ttl(ask(&forwarder, "A.example", RecordType::A).await),
        Ok(vec![15])
    );
    assert_eq!(fake.asked().len(), 2);
    tokio::time::advance(Duration::from_secs(15)).await;
    tokio::time::resume();
    assert_eq!(
        ttl(ask(&forwarder, "a.example", RecordType::A).await),
        Ok(vec![60])
    );
    assert_eq!(fake.asked().len(), 3);
    forwarder.clear_cache();
    assert_eq!(forwarder.counters().cache_entries, 0);
}

#[tokio::test]
async fn identical_questions_are_asked_once() {
    let fake = Fake::with_permits(0, |query, _| {
        vec![respond(query, |response| {
            push(
                response,
                Section::Answer,
                "a.example",
                query.kind,
                0,
                &[192, 0, 2, 1],
            );
        })]
    })
    .await;
    // No datagram is sent twice in this test.
    let mut limits = ForwardLimits::default();
    limits.deadline = Duration::from_secs(60);
    limits.retransmit = Duration::from_secs(60);
    let forwarder = asking(&[&fake])
        .limits(limits)
        .build()
        .expect("a forwarder");
    let waiting = || {
        let forwarder = forwarder.clone();
        tokio::spawn(async move { ask(&forwarder, "A.example", RecordType::A).await })
    };
    let clients: Vec<_> = (0..20).map(|_| waiting()).collect();
    // The first of them goes away: the others get their answer all the same.
    while forwarder.counters().joined < 19 || fake.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut clients = clients.into_iter();
    clients.next().expect("twenty").abort();
    fake.permits.add_permits(1);
    for client in clients {
        let resolved = client.await.expect("not cancelled").expect("an answer");
        assert_eq!(addresses(&resolved), [[192, 0, 2, 1]]);
    }
    assert_eq!(fake.asked().len(), 1);
    let counters = forwarder.counters();
    assert_eq!(
        (counters.asked, counters.joined, counters.in_flight),
        (1, 19, 0)
    );
}

#[tokio::test]
async fn questions_that_wait_are_bounded() {
    let fake = Fake::with_permits(0, |query, _| {
        vec![respond(query, |response| {
            response.set_rcode(Rcode::NXDOMAIN);
        })]
    })
    .await;
    let mut limits = ForwardLimits::default();
    limits.in_flight_max = 3;
    let forwarder = asking(&[&fake])
        .limits(limits)
        .build()
        .expect("a forwarder");
    let waiting = |text: String| {
        let forwarder = forwarder.clone();
        tokio::spawn(async move { ask(&forwarder, &text, RecordType::A).await })
    };
    let clients: Vec<_> = (0..3).map(|n| waiting(format!("r{n}.example"))).collect();
    while forwarder.counters().in_flight < 3 {
        tokio::task::yield_now().await;
    }
    let answer = ask(&forwarder, "one-more.example", RecordType::A).await;
    assert_eq!(answer, Err(ForwardError::Busy));
    assert_eq!(forwarder.counters().busy, 1);
    fake.permits.add_permits(100);
    for client in clients {
        let resolved = client.await.expect("no panic").expect("an answer");
        assert_eq!(resolved.rcode, Rcode::NXDOMAIN);
    }
    let resolved = ask(&forwarder, "one-more.example", RecordType::A).await;
    assert_eq!(resolved.expect("an answer").rcode, Rcode::NXDOMAIN);
}

/// RFC 5452 section 9.1: a response has to have the query's identifier and question.
#[tokio::test]
async fn responses_to_something_else_are_not_believed() {
    let fake = Fake::start(|query, _| {
        let answer = |address: [u8; 4]| {
            respond(query, |response| {
                push(
                    response,
                    Section::Answer,
                    "a.example",
                    RecordType::A,
                    60,
                    &address,
                );
            })
        };
        let mut other_id = answer([6, 6, 6, 1]);
        other_id[0] ^= 0xff;
        let mut other_question = answer([6, 6, 6, 2]);
        other_question[13] = b'b';
        let mut no_response = answer([6, 6, 6, 3]);
        no_response[2] &= 0x7f;
        no_response[0] ^= 0xff;
        vec![
            other_id,
            other_question,
            no_response,
            vec![0],
            answer([192, 0, 2, 1]),
        ]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    let resolved = ask(&forwarder, "a.example", RecordType::A)
        .await
        .expect("an answer");
    assert_eq!(addresses(&resolved), [[192, 0, 2, 1]]);
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn records_that_nobody_asked_for_are_not_passed_on() {
    let fake = Fake::start(|query, _| {
        vec![respond(query, |response| {
            let a = RecordType::A;
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
                "bank.example",
                a,
                60,
                &[6, 6, 6, 6],
            );
            push(
                response,
                Section::Answer,
                "a.example",
                RecordType::TXT,
                60,
                b"\x01x",
            );
            let alias = wire("evil.example");
            push(
                response,
                Section::Answer,
                "bank.example",
                RecordType::CNAME,
                60,
                &alias,
            );
            push(
                response,
                Section::Authority,
                "example",
                RecordType::NS,
                60,
                &alias,
            );
            push(
                response,
                Section::Authority,
                "other",
                RecordType::SOA,
                60,
                &soa(5),
            );
            push(
                response,
                Section::Additional,
                "bank.example",
                a,
                60,
                &[6, 6, 6, 6],
            );
        })]
    })
    .await;
    let forwarder = forwarder(&[&fake]);
    let resolved = ask(&forwarder, "a.example", RecordType::A)
        .await
        .expect("an answer");
    let record = Record::new(name("a.example"), RecordType::A, 60, vec![192, 0, 2, 1]);
    assert_eq!(resolved, Resolved::new(Rcode::NOERROR, vec![record]));
    // Nor is anything of it kept under its name.
    let other = ask(&forwarder, "bank.example", RecordType::CNAME)
        .await
        .expect("an answer");
    assert_eq!(fake.asked().len(), 2);
    assert_eq!(other.answers.len(), 1);
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
async fn aliases_without_end_are_no_answer() {
    let endless = Fake::start(|query, _| {
        let label = query.name.labels().next().unwrap_or_default();
        let number: u32 = String::from_utf8_lossy(label).parse().unwrap_or(0);
        let target = wire(&format!("{}.example", number + 1));
        let owner = query.name.to_string();
        vec![respond(query, |response| {
            push(
                response,
                Section::Answer,
                &owner,
                RecordType::CNAME,
                60,
                &target,
            );
        })]
    })
    .await;
    let forwarder_ = forwarder(&[&endless]);
    let answer = ask(&forwarder_, "0.example", RecordType::A).await;
    assert!(matches!(answer, Err(ForwardError::Failed(_))), "{answer:?}");
    assert!(endless.asked().len() <= 8, "{}", endless.asked().len());

    let circle = Fake::start(|query, _| {
        vec![respond(query, |response| {
            let cname = RecordType::CNAME;
            push(
                response,
                Section::Answer,
                "a.example",
                cname,
                60,
                &wire("b.example"),
            );
            push(
                response,
                Section::Answer,
                "b.example",
                cname,
                60,
                &wire("a.example"),
            );
        })]
    })
    .await;
    let long = Fake::start(|query, _| {
        vec![respond(query, |response| {
            for number in 0..100 {
                let owner = if number == 0 {
                    "a".to_owned()
                } else {
                    number.to_string()
                };
                let target = wire(&(number + 1).to_string());
                push(
                    response,
                    Section::Answer,
                    &owner,
                    RecordType::CNAME,
                    60,
                    &target,
                );
            }
        })]
    })
    .await;
    for (fake, text) in [(&circle, "a.example"), (&long, "a")] {
        let answer = ask(&forwarder(&[fake]), text, RecordType::A).await;
        assert!(matches!(answer, Err(ForwardError::Failed(_))), "{answer:?}");
        assert_eq!(fake.asked().len(), 1);
    }
}

/// Two servers that forward to each other: a question that comes back waits for itself.
#[tokio::test]
async fn a_loop_between_two_servers_ends() {
    let mut limits = ForwardLimits::default();
    limits.deadline = Duration::from_millis(300);
    let forwarders: Arc<std::sync::OnceLock<[HickoryForwarder; 2]>> = Arc::default();
    let server = |other: usize| {
        let forwarders = Arc::clone(&forwarders);
        Fake::start(move |query, _| {
            let forwarders = Arc::clone(&forwarders);
            let name = query.name.to_name();
            tokio::spawn(async move {
                let forwarder = &forwarders.get().expect("set")[other];
                let question = Question::new(&name, RecordType::A);
                drop(forwarder.resolve(question).await);
            });
            Vec::new()
        })
    };
    let (left, right) = (server(0).await, server(1).await);
    let to = |fake: &Fake| {
        let builder = asking(&[fake]).limits(limits.clone());
        builder.build().expect("a forwarder")
    };
    forwarders.set([to(&right), to(&left)]).expect("set once");
    let [first, second] = forwarders.get().expect("set");
    let answer = ask(first, "loop.example", RecordType::A).await;
    assert_eq!(answer, Err(ForwardError::Timeout));
    assert_eq!((first.counters().asked, second.counters().asked), (1, 1));
    assert_eq!((left.asked().len(), right.asked().len()), (1, 1));
}

#[tokio::test]
async fn names_of_a_zone_are_asked_of_its_servers() {
    let [outside, corp, lab] = [1, 2, 3].map(|n| Fake::with_address([192, 0, 2, n]));
    let (outside, corp, lab) = (outside.await, corp.await, lab.await);
    let forwarder = asking(&[&outside])
        .zone(name("corp.example"), [corp.upstream()])
        .zone(name("LAB.corp.example"), [lab.upstream()])
        .build()
        .expect("a forwarder");
    for (text, last) in [
        ("www.example", 1),
        ("notcorp.example", 1),
        ("corp.example", 2),
        ("www.Corp.example", 2),
        ("x.lab.corp.example", 3),
    ] {
        let resolved = ask(&forwarder, text, RecordType::A)
            .await
            .expect("an answer");
        assert_eq!(addresses(&resolved), [[192, 0, 2, last]], "{text}");
    }
}

#[tokio::test]
async fn private_addresses_are_removed_where_that_is_wished() {
    let answer = |query: &pxe_dns::wire::Query<'_>, _: Transport| {
        let owner = query.name.to_string();
        vec![respond(query, |response| {
            for address in [
                [10, 0, 0, 1],
                [127, 0, 0, 1],
                [100, 64, 0, 1],
                [192, 0, 2, 1],
            ] {
                push(
                    response,
                    Section::Answer,
                    &owner,
                    RecordType::A,
                    60,
                    &address,
                );
            }
        })]
    };
    let (outside, corp) = (Fake::start(answer).await, Fake::start(answer).await);
    let build = |stop| {
        asking(&[&outside])
            .zone(name("corp.example"), [corp.upstream()])
            .stop_rebinding(stop)
            .build()
            .expect("a forwarder")
    };
    for (stop, text, count) in [
        (false, "www.example", 4),
        (true, "www.example", 1),
        (true, "www.corp.example", 4),
    ] {
        let resolved = ask(&build(stop), text, RecordType::A)
            .await
            .expect("an answer");
        assert_eq!(addresses(&resolved).len(), count, "{text}");
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
async fn the_case_of_letters_is_drawn_by_lot_where_that_is_wished() {
    let text = "abcdefghijklmnopqrstuvwxyz.example.";
    let keeping = Fake::with_address([192, 0, 2, 1]).await;
    let forgetting = Fake::start(move |query, transport| {
        let mut said = respond(query, |response| {
            push(
                response,
                Section::Answer,
                text,
                RecordType::A,
                60,
                &[192, 0, 2, 1],
            );
        });
        if transport == Transport::Udp {
            said[12..12 + 36].make_ascii_lowercase();
        }
        vec![said]
    })
    .await;
    for (fake, transports) in [
        (&keeping, vec![Transport::Udp]),
        (&forgetting, vec![Transport::Udp, Transport::Tcp]),
    ] {
        let builder = asking(&[fake]).case_randomization(true);
        let forwarder = builder.build().expect("a forwarder");
        let resolved = ask(&forwarder, text, RecordType::A)
            .await
            .expect("an answer");
        let owners: Vec<String> = resolved
            .answers
            .iter()
            .map(|r| r.owner.to_string())
            .collect();
        assert_eq!(owners, [text]);
        assert_eq!(fake.transports(), transports);
        assert_ne!(fake.asked()[0].name, text);
    }
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

#[test]
fn nobody_asks_himself() {
    let own = "192.0.2.1:53".parse().expect("an address");
    let any = "0.0.0.0:5300".parse().expect("an address");
    let build = |upstream: &str| {
        let upstream: Upstream = upstream.parse().expect(upstream);
        let builder = HickoryForwarder::builder().own_addresses([own, any]);
        let zone: Name = name("corp.example");
        let as_upstream = builder.upstreams([upstream.clone()]).build();
        let builder = HickoryForwarder::builder().own_addresses([own, any]);
        let as_zone = builder.zone(zone, [upstream]).build();
        (as_upstream.err(), as_zone.err())
    };
    for ourselves in ["192.0.2.1", "127.0.0.1:5300"] {
        let upstream: Upstream = ourselves.parse().expect(ourselves);
        let error = ForwardConfigError::Ourselves { upstream };
        assert_eq!(build(ourselves), (Some(error.clone()), Some(error)));
    }
    for other in [
        "192.0.2.1:5353",
        "127.0.0.1:5353",
        "203.0.113.78",
        "203.0.113.77:5300",
    ] {
        assert_eq!(build(other), (None, None), "{other}");
    }
}

#[test]
fn a_zone_has_servers_and_is_named_once() {
    let zone = name("corp.example");
    let server: Upstream = "192.0.2.1".parse().expect("an address");
    let none = HickoryForwarder::builder().zone(zone.clone(), []).build();
    let error = ForwardConfigError::NoServers { zone: zone.clone() };
    assert_eq!(none.err(), Some(error));
    let builder = HickoryForwarder::builder().zone(zone, [server.clone()]);
    let twice = builder.zone(name("CORP.example"), [server]).build();
    assert!(matches!(twice, Err(ForwardConfigError::ZoneTwice { .. })));
}

#[tokio::test]
async fn the_systems_servers_are_asked_but_for_ourselves() {
    let fake = Fake::with_address([192, 0, 2, 1]).await;
    let own = "127.0.0.1:53".parse().expect("an address");
    let builder = asking(&[&fake]).own_addresses([own]);
    let forwarder = builder.build().expect("a forwarder");
    ask(&forwarder, "a.example", RecordType::A)
        .await
        .expect("an answer");
    let text = b"nameserver 127.0.0.1\nnameserver 127.0.0.53\nsearch example\n";
    let shown = |upstreams: Vec<Upstream>| -> Vec<String> {
        upstreams.iter().map(Upstream::to_string).collect()
    };
    assert_eq!(shown(forwarder.set_resolv_conf(text)), ["127.0.0.53"]);
    assert_eq!(forwarder.counters().cache_entries, 0);
    assert_eq!(
        shown(forwarder.set_resolv_conf(b"nameserver 127.0.0.1\n")),
        [""; 0]
    );
    let answer = ask(&forwarder, "a.example", RecordType::A).await;
    assert_eq!(answer, Err(ForwardError::NoServer));
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_needs_its_feature() {
    let upstream: Upstream = "tls://192.0.2.1#dns.example".parse().expect("a server");
    let built = HickoryForwarder::builder().upstreams([upstream]).build();
    assert!(matches!(built, Err(ForwardConfigError::NoTls { .. })));
}

#[cfg(feature = "tls")]
#[test]
fn tls_needs_somebody_who_vouches_for_the_server() {
    let build = |text: &str, roots: Option<&[u8]>| {
        let upstream: Upstream = text.parse().expect(text);
        let builder = HickoryForwarder::builder().upstreams([upstream]);
        let builder = match roots {
            Some(pem) => builder.tls_roots(pem),
            None => builder,
        };
        builder.build().err()
    };
    let error = build("tls://192.0.2.1#dns.example", None);
    assert!(matches!(error, Some(ForwardConfigError::NoRoots { .. })));
    let error = build("tls://192.0.2.1#a..b", None);
    assert!(matches!(error, Some(ForwardConfigError::ServerName { .. })));
    for pem in [
        &b""[..],
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let error = build("tls://192.0.2.1#dns.example", Some(pem));
        assert!(
            matches!(error, Some(ForwardConfigError::Roots { .. })),
            "{error:?}"
        );
    }
    assert_eq!(build("192.0.2.1", None), None);
}

/// One machine that asks for names whose servers are silent leaves room for others' questions.
#[tokio::test]
async fn one_client_does_not_take_all_questions_that_wait() {
    let fake = Fake::start(
        |query, _| match query.name.to_string().starts_with("flood") {
            true => Vec::new(),
            false => vec![respond(query, |response| {
                let pushed = response.push(
                    Section::Answer,
                    query.name,
                    RecordType::A,
                    60,
                    &[192, 0, 2, 1],
                );
                pushed.expect("it fits");
            })],
        },
    )
    .await;
    let mut limits = ForwardLimits::default();
    limits.deadline = Duration::from_secs(60);
    let forwarder = asking(&[&fake])
        .limits(limits)
        .build()
        .expect("a forwarder");
    let service = Service::builder().recursion(AccessList::any()).build();
    let udp = Server::bind_udp("127.0.0.1:0").expect("a port");
    let address = udp.local_addr();
    let server = Server::new(service).forwarder(Arc::new(forwarder.clone()));
    let handle = server.listen(udp).start().expect("a server");
    let query = |name: &str| {
        [
            b"\0\x07\x01\0\0\x01\0\0\0\0\0\0",
            &wire(name)[..],
            &[0, 1, 0, 1],
        ]
        .concat()
    };
    let flooder = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    flooder.connect(address).await.expect("connected");
    let mut reply = [0; 512];
    for n in 0.. {
        let sent = query(&format!("flood{n}.example"));
        flooder.send(&sent).await.expect("sent");
        // Until it is told that it is enough.
        if flooder.try_recv(&mut reply).is_ok() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(reply[3] & 0xf, 2);
    let other = UdpSocket::bind("127.0.0.2:0").await.expect("a socket");
    other.connect(address).await.expect("connected");
    other.send(&query("boot.example")).await.expect("sent");
    let len = other.recv(&mut reply).await.expect("a reply");
    assert_eq!((reply[3] & 0xf, reply[7]), (0, 1), "{:?}", &reply[..len]);
    drop(handle);
}
