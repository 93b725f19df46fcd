//! What peers can make the server hold, how it ends, and what it serves from.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pxe_http::{Event, Limit, Limits, ResponseEnd, Server};
use pxe_tree::{FileRequest, MemBlob, Opened, source_fn};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use support::{Client, PatternBlob, Response, Running, files, only, within_bounds};

/// The limit that the next event of that kind is about.
async fn limit_event(server: &mut Running) -> Limit {
    server
        .event(|event| match event {
            Event::Limited(limited) => Some(limited.limit),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_flood_of_header_bytes_is_bounded() {
    let mut server = Running::with_files();
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nX: ").await;
    // The server closes long before the end, so that writing may fail.
    let flood = vec![b'x'; 64 * 1024];
    while client.stream.write_all(&flood).await.is_ok() {}
    assert_eq!(limit_event(&mut server).await, Limit::HeadBytes);
}

#[tokio::test]
async fn a_flood_of_header_fields_is_bounded() {
    let mut server = Running::with_files();
    let request = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
    let bytes = server.exchange(request).await;
    assert!(bytes.starts_with(b"HTTP/1.1 431 "));
    assert_eq!(limit_event(&mut server).await, Limit::HeadBytes);
}

#[tokio::test]
async fn heads_may_be_as_long_as_the_limit_says() {
    for (head_bytes_max, served, refused) in [
        (Limits::default().head_bytes_max, 16_000, 17_000),
        (20_000, 19_000, 21_000),
        (0, 8_000, 9_000),
    ] {
        let server = Running::start(
            limits(|limits| limits.head_bytes_max = head_bytes_max),
            files(),
        );
        for (len, status) in [(served, "HTTP/1.0 200 "), (refused, "HTTP/1.1 431 ")] {
            let request = format!("GET /hello HTTP/1.0\r\nX: {}\r\n\r\n", "x".repeat(len));
            let bytes = server.exchange(request).await;
            assert!(bytes.starts_with(status.as_bytes()), "{len} bytes");
        }
    }
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

const CLOSING: &str = "GET /hello HTTP/1.0\r\nConnection: close\r\n\r\n";

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let limits = limits(|limits| limits.head_timeout = MOMENT);
    let mut server = Running::start(limits, files());
    let mut client = server.connect().await;
    client.send("GET / HT").await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(limit_event(&mut server).await, Limit::HeadTime);
}

#[tokio::test]
async fn idle_connections_are_closed_before_and_after_a_request() {
    let limits = limits(|limits| limits.idle_timeout = MOMENT);
    let mut server = Running::start(limits, files());
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

#[tokio::test]
async fn a_client_that_takes_nothing_is_not_waited_for() {
    let limits = limits(|limits| limits.stall_timeout = MOMENT);
    let mut server = Running::start(limits, only(Arc::new(PatternBlob::new(1 << 40))));
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let told = server.response_event().await;
    assert_eq!(told.end, ResponseEnd::Disconnected);
    assert_eq!(limit_event(&mut server).await, Limit::StallTime);
}

/// A source that is slow is no fault of the client: no time runs against it.
#[tokio::test]
async fn a_slow_file_is_waited_for() {
    let limits = limits(|limits| {
        limits.head_timeout = MOMENT;
        limits.stall_timeout = MOMENT;
    });
    let mut blob = PatternBlob::new(10);
    blob.gate = Some((0, Semaphore::new(0)));
    let blob = Arc::new(blob);
    let mut server = Running::start(limits, only(blob.clone()));
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
    blob.gate.as_ref().expect("a gate").1.add_permits(1);
    assert_eq!(Response::parse(&client.rest().await).body.len(), 10);
}

#[tokio::test]
async fn one_client_cannot_take_all_connections() {
    let limits = limits(|limits| limits.connections_per_client_max = 1);
    let mut server = Running::start(limits, files());
    let mut first = server.connect().await;
    first.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await;
    first.head().await;

    let mut second = server.connect().await;
    let refused = second.rest().await;
    assert!(refused.starts_with(b"HTTP/1.1 503 "));
    assert_eq!(Response::parse(&refused).field("Retry-After"), Some("1"));
    assert_eq!(limit_event(&mut server).await, Limit::ConnectionsPerClient);

    // The first one is still served, and its place is given back.
    first.body(13).await;
    first
        .send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert!(!first.rest().await.is_empty());
    while server.handle.connections() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(server.exchange(CLOSING).await.starts_with(b"HTTP/1.0 200"));
}

#[tokio::test]
async fn beyond_all_places_clients_wait_for_their_turn() {
    let limits = limits(|limits| limits.connections_max = 1);
    let mut server = Running::start(limits, files());
    let mut first = server.connect().await;
    first.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await;
    first.head().await;
    let mut second = server.connect().await;
    second.send(CLOSING).await;
    assert_eq!(limit_event(&mut server).await, Limit::Connections);
    drop(first);
    let response = Response::parse(&second.rest().await);
    assert_eq!(response.body, b"hello, world\n");
}

/// A file whose second half waits.
async fn gated() -> (Running, Arc<PatternBlob>, Client) {
    let mut blob = PatternBlob::new(128 * 1024);
    blob.gate = Some((64 * 1024, Semaphore::new(0)));
    let blob = Arc::new(blob);
    let server = Running::with_blob(blob.clone());
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    client.body(64 * 1024).await;
    (server, blob, client)
}

#[tokio::test]
async fn shutdown_lets_a_transfer_finish() {
    let (mut server, blob, mut client) = gated().await;
    let mut idle = server.connect().await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n")
        .await;
    idle.head().await;
    idle.body(1).await;

    let stopping = tokio::spawn(server.handle.shutdown(Duration::from_secs(60)));
    // The idle connection is closed, and with it the port.
    assert_eq!(idle.rest().await, b"");
    while within_bounds(TcpStream::connect(server.address))
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
    blob.gate.as_ref().expect("a gate").1.add_permits(1);
    assert_eq!(client.rest().await.len(), 64 * 1024);
    assert_eq!(within_bounds(stopping).await.expect("no panic"), 0);
    let mut ends = Vec::new();
    while let Some(event) = server.events.recv().await {
        if let Event::Response(told) = event {
            ends.push(told.end);
        }
    }
    assert_eq!(ends, [ResponseEnd::Complete; 2]);
}

#[tokio::test]
async fn shutdown_ends_what_does_not_finish_in_time() {
    let (mut server, blob, mut client) = gated().await;
    let left = within_bounds(server.handle.shutdown(Duration::ZERO)).await;
    assert_eq!(left, 1);
    assert_eq!(client.rest().await, b"");
    assert_eq!(blob.read.load(Ordering::Relaxed), 64 * 1024);
    let end = loop {
        if let Event::Response(told) = server.events.recv().await.expect("an event") {
            break told.end;
        }
    };
    assert_eq!(end, ResponseEnd::Disconnected);
}

#[tokio::test]
async fn listeners_have_sources_of_their_own() {
    let (one, two) = (
        Server::bind("127.0.0.1:0").expect("a port"),
        Server::bind("127.0.0.1:0").expect("a port"),
    );
    let addresses = [one.local_addr(), two.local_addr()];
    let handle = Server::new()
        .listen(one, only(MemBlob::new("one")))
        .listen(two, only(MemBlob::new("two")))
        .start()
        .expect("a runtime");
    for (address, body) in addresses.into_iter().zip(["one", "two"]) {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let mut client = Client { stream };
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        assert_eq!(Response::parse(&client.rest().await).body, body.as_bytes());
    }
    assert_eq!(handle.shutdown(Duration::from_secs(60)).await, 0);
}

#[test]
fn a_server_needs_a_runtime() {
    let bound = Server::bind("127.0.0.1:0").expect("a port");
    let server = Server::new().listen(bound, files());
    assert!(server.start().is_err());
}

#[tokio::test]
async fn a_panic_of_a_source_ends_one_connection_only() {
    let source = source_fn(|request: &FileRequest<'_>| {
        assert!(request.path.is_root(), "a fault of the source");
        Ok(Opened::File(MemBlob::new("fine")))
    });
    let server = Running::start(
        limits(|limits| limits.connections_max = 1),
        Arc::new(source),
    );
    assert_eq!(server.exchange("GET /x HTTP/1.0\r\n\r\n").await, b"");
    let response = Response::parse(&server.exchange("GET / HTTP/1.0\r\n\r\n").await);
    assert_eq!(response.body, b"fine");
}
