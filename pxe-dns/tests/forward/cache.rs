//! For how long answers are kept, and how many wait for theirs.

use std::sync::Arc;
use std::time::Duration;

use pxe_dns::wire::Section;
use pxe_dns::{
    AccessList, ForwardError, ForwardLimits, Rcode, RecordType, Resolved, Server, Service,
};
use tokio::net::UdpSocket;

use crate::fake::{Fake, push, push_alias, respond, soa, wire};
use crate::{addresses, ask, asking, forwarder};

/// RFC 2308 section 5.
#[tokio::test]
async fn that_there_is_nothing_is_kept_as_long_as_the_soa_says() {
    let fake = Fake::start(|query, _| {
        let first = query.name.labels().next().unwrap_or_default().to_vec();
        vec![respond(query, |response| {
            if first == b"missing" {
                response.set_rcode(Rcode::NXDOMAIN);
            }
            if first == b"alias" || first == b"bare-alias" {
                response.set_rcode(Rcode::NXDOMAIN);
                push_alias(response, &query.name.to_string(), 900, "missing.example");
            }
            if !first.starts_with(b"bare") {
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
    // Nor does it matter for how long an alias may be kept that leads nowhere.
    let before = fake.asked().len();
    for _ in 0..2 {
        let resolved = ask(&forwarder, "bare-alias.example", RecordType::A).await;
        let resolved = resolved.expect("an answer");
        assert_eq!(
            (resolved.rcode, resolved.answers.len()),
            (Rcode::NXDOMAIN, 1)
        );
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
