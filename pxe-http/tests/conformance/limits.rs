//! What peers can make a server hold and wait for.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pxe_http::{Event, Limit, Limits, ResponseEnd};
use pxe_tree::{ErrorKind, FileRequest, MemBlob, Opened, Source, source_fn};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::driver::{Driver, Running};
use crate::on_own_drivers;
use crate::support::{PatternBlob, Response, files, only, within_bounds};

on_own_drivers! {
    a_flood_of_header_bytes_is_bounded,
    a_flood_of_header_fields_is_bounded,
    heads_may_be_as_long_as_the_limit_says,
    a_head_that_does_not_end_is_not_waited_for,
    idle_connections_are_closed_before_and_after_a_request,
    a_client_that_takes_nothing_is_not_waited_for,
    a_slow_file_is_waited_for,
    a_source_that_hangs_is_answered_503,
    a_file_that_hangs_ends_with_a_closed_connection,
    one_client_cannot_take_all_connections,
    beyond_all_places_clients_wait_for_their_turn,
    idle_connections_make_room_for_others,
    slow_readers_make_room_for_others,
    who_takes_enough_keeps_its_place,
    a_client_that_asks_too_often_is_told_when_to_come_again,
    who_is_refused_again_and_again_is_told_of_as_a_sum,
    refusals_have_a_date_and_tell_head_the_length_of_their_page,
    a_panic_of_a_source_ends_one_connection_only,
}

/// The limit that the next event of that kind is about.
async fn limit_event(server: &mut Running) -> Limit {
    server
        .event(|event| match event {
            Event::Limited(limited) => Some(limited.limit),
            _ => None,
        })
        .await
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

const CLOSING: &str = "GET /hello HTTP/1.0\r\nConnection: close\r\n\r\n";

const KEEPING: &str = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

const MOMENT: Duration = Duration::from_millis(1);

async fn a_flood_of_header_bytes_is_bounded(driver: Driver) {
    let mut server = driver.with_files().await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nX: ").await;
    // The server closes long before the end, so that writing may fail.
    let flood = vec![b'x'; 64 * 1024];
    while client.stream.write_all(&flood).await.is_ok() {}
    assert_eq!(limit_event(&mut server).await, Limit::HeadBytes);
}

async fn a_flood_of_header_fields_is_bounded(driver: Driver) {
    let mut server = driver.with_files().await;
    let request = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
    let bytes = server.exchange(request).await;
    assert!(bytes.starts_with(b"HTTP/1.1 431 "));
    assert_eq!(limit_event(&mut server).await, Limit::HeadBytes);
}

async fn heads_may_be_as_long_as_the_limit_says(driver: Driver) {
    for (head_bytes_max, served, refused) in [
        (Limits::default().head_bytes_max, 16_000, 17_000),
        (20_000, 19_000, 21_000),
        (0, 8_000, 9_000),
    ] {
        let server = driver
            .start(
                limits(|limits| limits.head_bytes_max = head_bytes_max),
                files(),
            )
            .await;
        for (len, status) in [(served, "HTTP/1.0 200 "), (refused, "HTTP/1.1 431 ")] {
            let request = format!("GET /hello HTTP/1.0\r\nX: {}\r\n\r\n", "x".repeat(len));
            let bytes = server.exchange(request).await;
            assert!(bytes.starts_with(status.as_bytes()), "{len} bytes");
        }
    }
}

async fn a_head_that_does_not_end_is_not_waited_for(driver: Driver) {
    let limits = limits(|limits| limits.head_timeout = MOMENT);
    let mut server = driver.start(limits, files()).await;
    let mut client = server.connect().await;
    client.send("GET / HT").await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(limit_event(&mut server).await, Limit::HeadTime);
}

async fn idle_connections_are_closed_before_and_after_a_request(driver: Driver) {
    let limits = limits(|limits| limits.idle_timeout = MOMENT);
    let mut server = driver.start(limits, files()).await;
    let mut client = server.connect().await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(limit_event(&mut server).await, Limit::IdleTime);

    let response = server
        .exchange("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    // Under load the time may be over before the request is there.
    if !response.is_empty() {
        assert_eq!(Response::parse(&response).body, b"hello, world\n");
    }
    assert_eq!(limit_event(&mut server).await, Limit::IdleTime);
}

async fn a_client_that_takes_nothing_is_not_waited_for(driver: Driver) {
    let limits = limits(|limits| limits.stall_timeout = MOMENT);
    let mut server = driver
        .start(limits, only(Arc::new(PatternBlob::new(1 << 40))))
        .await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let told = server.response_event().await;
    assert_eq!(told.end, ResponseEnd::Disconnected);
    assert_eq!(limit_event(&mut server).await, Limit::StallTime);
}

/// A source that is slow is no fault of the client: no time runs against it.
async fn a_slow_file_is_waited_for(driver: Driver) {
    let limits = limits(|limits| {
        limits.head_timeout = MOMENT;
        limits.stall_timeout = MOMENT;
    });
    let mut blob = PatternBlob::new(10);
    blob.gate = Some((0, Semaphore::new(0)));
    let blob = Arc::new(blob);
    let mut server = driver.start(limits, only(blob.clone())).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    server
        .event(|event| matches!(event, Event::Request(_)).then_some(()))
        .await;
    // Meanwhile the time is over for others, one after the other.
    for _ in 0..5 {
        let mut other = server.connect().await;
        other.send("GET").await;
        assert_eq!(other.rest().await, b"");
    }
    blob.open_gate();
    assert_eq!(Response::parse(&client.rest().await).body.len(), 10);
}

async fn a_source_that_hangs_is_answered_503(driver: Driver) {
    #[derive(Debug)]
    struct Hung;

    #[async_trait]
    impl Source for Hung {
        async fn open(&self, _request: &FileRequest<'_>) -> pxe_tree::Result<Opened> {
            std::future::pending().await
        }
    }

    let limits = limits(|limits| limits.source_timeout = MOMENT);
    let mut server = driver.start(limits, Arc::new(Hung)).await;
    let response = Response::parse(&server.exchange(CLOSING).await);
    assert_eq!(response.status, "HTTP/1.0 503 Service Unavailable");
    assert!(response.field("Retry-After").is_some());
    assert_eq!(limit_event(&mut server).await, Limit::SourceTime);
    let told = server.response_event().await;
    assert_eq!(told.status, 503);
    assert_eq!(told.end, ResponseEnd::Complete);
}

async fn a_file_that_hangs_ends_with_a_closed_connection(driver: Driver) {
    const MIB: usize = 1 << 20;
    let limits = limits(|limits| limits.source_timeout = MOMENT);
    let mut blob = PatternBlob::new(MIB as u64);
    blob.gate = Some((MIB as u64 / 2, Semaphore::new(0)));
    let mut server = driver.start(limits, only(Arc::new(blob))).await;
    let response = Response::parse(&server.exchange(CLOSING).await);
    // Under load the time may be over before the first half was read.
    assert!(response.body.len() <= MIB / 2);
    let end = server.response_event().await.end;
    assert_eq!(end, ResponseEnd::FileFailed(ErrorKind::Busy));
    assert_eq!(limit_event(&mut server).await, Limit::SourceTime);
}

async fn one_client_cannot_take_all_connections(driver: Driver) {
    let limits = limits(|limits| limits.connections_per_client_max = 1);
    let mut server = driver.start(limits, files()).await;
    let mut first = server.connect().await;
    first.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await;
    first.head().await;

    match driver {
        // Nobody could read an answer before the handshake.
        #[cfg(feature = "tls")]
        Driver::Tls => assert!(server.dialer().dial().await.is_err()),
        _ => {
            let refused = server.connect().await.rest().await;
            assert!(refused.starts_with(b"HTTP/1.1 503 "));
            assert_eq!(Response::parse(&refused).field("Retry-After"), Some("1"));
        }
    }
    assert_eq!(limit_event(&mut server).await, Limit::ConnectionsPerClient);

    // The first one is still served, and its place is given back.
    first.body(13).await;
    first
        .send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert!(!first.rest().await.is_empty());
    while server.connections() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(server.exchange(CLOSING).await.starts_with(b"HTTP/1.0 200"));
}

async fn beyond_all_places_clients_wait_for_their_turn(driver: Driver) {
    let limits = limits(|limits| limits.connections_max = 1);
    let mut server = driver.start(limits, files()).await;
    let mut first = server.connect().await;
    first.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await;
    first.head().await;
    let dialer = server.dialer();
    let second = tokio::spawn(async move {
        // Over TLS, its handshake waits as well.
        let mut second = dialer.dial().await.expect("a handshake");
        second.send(CLOSING).await;
        second.rest().await
    });
    assert_eq!(limit_event(&mut server).await, Limit::Connections);
    drop(first);
    let response = within_bounds(second).await.expect("no panic");
    assert_eq!(Response::parse(&response).body, b"hello, world\n");
}

async fn idle_connections_make_room_for_others(driver: Driver) {
    let limits = limits(|limits| limits.connections_max = 2);
    let mut server = driver.start(limits, files()).await;
    let mut idle = server.connect().await;
    idle.send(KEEPING).await;
    idle.head().await;
    idle.body(13).await;
    let mut half_a_head = server.connect().await;
    half_a_head.send("GET /hello HT").await;

    let mut third = server.connect().await;
    third.send(KEEPING).await;
    assert_eq!(limit_event(&mut server).await, Limit::Connections);
    assert!(third.head().await.starts_with("HTTP/1.1 200 "));
    // The one that had waited longer.
    assert_eq!(idle.rest().await, b"");
    assert_eq!(server.connections(), 2);
}

/// As few as can be are not to keep all others out.
async fn slow_readers_make_room_for_others(driver: Driver) {
    let limits = limits(|limits| {
        limits.connections_max = 2;
        limits.slow_timeout = MOMENT;
    });
    let source = source_fn(|request: &FileRequest<'_>| {
        Ok(match request.path.is_root() {
            true => Opened::File(Arc::new(PatternBlob::new(1 << 40))),
            false => Opened::File(MemBlob::new("hello, world\n")),
        })
    });
    let mut server = driver.start(limits, Arc::new(source)).await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await;
        slow.push(client);
    }
    let mut third = server.connect().await;
    third.send(KEEPING).await;
    assert!(third.head().await.starts_with("HTTP/1.1 200 "));
    let told = server.response_event().await;
    assert_eq!(told.end, ResponseEnd::Disconnected);
    assert_eq!(server.connections(), 2);
}

/// Firmware that writes what it got stops reading for seconds, and then takes much.
async fn who_takes_enough_keeps_its_place(driver: Driver) {
    const LEN: usize = 32 << 20;
    let limits = limits(|limits| {
        limits.connections_max = 1;
        limits.slow_timeout = Duration::from_secs(60);
    });
    let blob = Arc::new(PatternBlob::new(LEN as u64));
    let mut server = driver.start(limits, only(blob)).await;
    let mut first = server.connect().await;
    first.send("GET / HTTP/1.0\r\n\r\n").await;
    first.head().await;
    let dialer = server.dialer();
    let second = tokio::spawn(async move {
        let mut second = dialer.dial().await.expect("a handshake");
        second.send("HEAD / HTTP/1.0\r\n\r\n").await;
        second.rest().await
    });
    assert_eq!(limit_event(&mut server).await, Limit::Connections);
    assert_eq!(first.body(LEN).await.len(), LEN);
    drop(first);
    assert!(!within_bounds(second).await.expect("no panic").is_empty());
}

async fn a_client_that_asks_too_often_is_told_when_to_come_again(driver: Driver) {
    let limits = limits(|limits| {
        limits.requests_per_client_per_second = NonZeroU32::new(1);
        limits.requests_per_client_burst = 64;
    });
    let mut server = driver.start(limits, files()).await;
    let mut client = server.connect().await;
    for _ in 0..64 {
        client.send(KEEPING).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        client.body(13).await;
    }
    // On a busy machine that took so long that it may ask once more.
    let mut head;
    loop {
        client.send(KEEPING).await;
        head = client.head().await.into_bytes();
        if !head.starts_with(b"HTTP/1.1 200 ") {
            break;
        }
        client.body(13).await;
    }
    head.extend(client.rest().await);
    let response = Response::parse(&head);
    assert_eq!(response.status, "HTTP/1.1 429 Too Many Requests");
    assert!(response.field("Retry-After").is_some());
    assert_eq!(response.field("Connection"), Some("close"));
    assert!(response.body.starts_with(b"429 Too Many Requests\n"));
    assert_eq!(limit_event(&mut server).await, Limit::RequestRate);
}

async fn who_is_refused_again_and_again_is_told_of_as_a_sum(driver: Driver) {
    let limits = limits(|limits| {
        limits.requests_per_client_per_second = NonZeroU32::new(1);
        limits.requests_per_client_burst = 1;
    });
    let server = driver.start(limits, files()).await;
    let mut refused = 0;
    for _ in 0..40 {
        let response = server.exchange(CLOSING).await;
        refused += u64::from(response.get(9..12) == Some(b"429"));
    }
    let (_, events) = server.shut_down(Duration::from_secs(60)).end().await;
    let counts = events.iter().filter_map(|event| match event {
        Event::Limited(limited) => Some(limited.count),
        _ => None,
    });
    let counts: Vec<u64> = counts.collect();
    assert!(refused > 1);
    assert_eq!(counts.iter().sum::<u64>(), refused);
    assert_eq!(counts.first(), Some(&1));
    // One every 10 s, and one at the end.
    assert!(counts.len() <= 5, "{counts:?}");
}

/// RFC 9110 sections 6.6.1 and 8.6.
async fn refusals_have_a_date_and_tell_head_the_length_of_their_page(driver: Driver) {
    let limits = limits(|limits| {
        limits.requests_per_client_per_second = NonZeroU32::new(1);
        limits.requests_per_client_burst = 1;
    });
    let server = driver.start(limits, files()).await;
    let mut lens = Vec::new();
    for method in ["GET", "HEAD"] {
        let refused = loop {
            let response = server.exchange(CLOSING.replace("GET", method)).await;
            let response = Response::parse(&response);
            if response.status.contains(" 429 ") {
                break response;
            }
        };
        assert!(refused.field("Date").is_some(), "{:?}", refused.names());
        lens.push(refused.field("Content-Length").map(str::to_owned));
        assert_eq!(refused.body.is_empty(), method == "HEAD");
    }
    assert_eq!(lens[0], lens[1]);
    let garbage = server.exchange("garbage\r\n\r\n").await;
    assert!(Response::parse(&garbage).field("Date").is_some());
}

async fn a_panic_of_a_source_ends_one_connection_only(driver: Driver) {
    let source = source_fn(|request: &FileRequest<'_>| {
        assert!(request.path.is_root(), "a fault of the source");
        Ok(Opened::File(MemBlob::new("fine")))
    });
    let server = driver
        .start(
            limits(|limits| limits.connections_max = 1),
            Arc::new(source),
        )
        .await;
    assert_eq!(server.exchange("GET /x HTTP/1.0\r\n\r\n").await, b"");
    let response = Response::parse(&server.exchange("GET / HTTP/1.0\r\n\r\n").await);
    assert_eq!(response.body, b"fine");
}
