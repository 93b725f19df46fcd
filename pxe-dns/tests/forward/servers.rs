//! Who is asked, and who instead.

use std::sync::Arc;
use std::time::Duration;

use pxe_dns::Forwarder as _;
use pxe_dns::wire::Section;
use pxe_dns::{
    ForwardConfigError, ForwardError, ForwardLimits, HickoryForwarder, Name, Question, Rcode,
    RecordType, Upstream,
};

use crate::fake::{Fake, name, push, respond, wire};
use crate::{addresses, ask, asking, forwarder};

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
