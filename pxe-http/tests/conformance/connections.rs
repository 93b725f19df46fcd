//! How long a connection lives, and which bytes on it are requests.

use std::sync::Arc;

use pxe_http::{Event, ResponseEnd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::driver::Driver;
use crate::support::{PatternBlob, Response, pattern, within_bounds};
use crate::{on_every_driver, on_own_drivers};

on_every_driver! {
    a_head_may_come_in_single_bytes,
    a_hundred_requests_at_once_are_answered_in_order,
    errors_keep_the_connection,
    a_source_that_hangs_holds_up_nobody_else,
    http_1_0_keeps_its_connection_only_if_asked_to,
    pipelined_requests_are_answered_in_order,
    a_post_with_a_body_is_refused_and_its_body_is_no_request,
    content_of_which_nobody_can_tell_the_end_is_refused,
    a_client_that_closes_its_sending_side_gets_its_file,
}

on_own_drivers! {
    a_client_that_leaves_is_told_of,
    a_last_response_arrives_though_its_client_spoke_on,
    garbage_is_answered_400_and_told_of,
}

async fn http_1_0_keeps_its_connection_only_if_asked_to(driver: Driver) {
    let server = driver.with_files().await;
    let mut client = server.connect().await;
    client
        .send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(
        head.ends_with("\r\nConnection: keep-alive\r\n\r\n"),
        "{head}"
    );
    client.body(13).await;
    client.send("GET /hello HTTP/1.0\r\n\r\n").await;
    let last = Response::parse(&client.rest().await);
    assert_eq!(last.field("Connection"), Some("close"));
    assert_eq!(last.body, b"hello, world\n");
}

async fn pipelined_requests_are_answered_in_order(driver: Driver) {
    let mut server = driver.with_files().await;
    let request = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n\
        HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n\
        GET /none HTTP/1.1\r\nHost: a\r\n\r\n\
        GET /hello HTTP/1.1\r\nHost: a\r\nRange: bytes=7-11\r\nConnection: close\r\n\r\n";
    let bytes = server.exchange(request).await;
    let text = String::from_utf8(bytes).expect("text");
    let parts: Vec<_> = text.split("HTTP/1.1 ").collect();
    assert_eq!(parts.len(), 5, "{text}");
    assert!(parts[1].starts_with("200 ") && parts[1].ends_with("\r\n\r\nhello, world\n"));
    assert!(parts[2].starts_with("200 ") && parts[2].ends_with("\r\n\r\n"));
    assert!(
        parts[3].starts_with("404 ") && parts[3].ends_with("/none: no such file or directory\n")
    );
    assert!(parts[4].starts_with("206 ") && parts[4].ends_with("\r\n\r\nworld"));
    for bytes_sent in [13, 0, 47, 5] {
        let response = server.response_event().await;
        assert_eq!(response.bytes_sent, bytes_sent, "{response:?}");
        assert_eq!(response.end, ResponseEnd::Complete);
    }
}

async fn a_post_with_a_body_is_refused_and_its_body_is_no_request(driver: Driver) {
    let server = driver.with_files().await;
    let body = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = format!(
        "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = Response::parse(&server.exchange(request).await);
    assert_eq!(response.status, "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(response.field("Allow"), Some("GET, HEAD"));
    assert_eq!(response.field("Connection"), Some("close"));
    assert_eq!(
        response.body,
        b"405 Method Not Allowed\nPOST: only GET and HEAD are served\n"
    );
}

/// RFC 9112 sections 6.1 and 6.3.
async fn content_of_which_nobody_can_tell_the_end_is_refused(driver: Driver) {
    let server = driver.with_files().await;
    for head in [
        "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: x",
        "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6",
        "GET /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip",
        "GET /hello HTTP/1.0\r\nTransfer-Encoding: chunked",
        "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: x",
    ] {
        let next = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
        let bytes = server.exchange(format!("{head}\r\n\r\n{next}")).await;
        let response = Response::parse(&bytes);
        assert!(
            response.status.contains(" 400 "),
            "{head}: {}",
            response.status
        );
        assert!(!bytes.ends_with(b"hello, world\n"), "{head}");
    }
}

async fn a_client_that_closes_its_sending_side_gets_its_file(driver: Driver) {
    let server = driver.with_blob(Arc::new(PatternBlob::new(1 << 20))).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.stream.shutdown().await.expect("half a close");
    let response = Response::parse(&client.rest().await);
    assert_eq!(response.body.len(), 1 << 20);
}

async fn a_client_that_leaves_is_told_of(driver: Driver) {
    let mut server = driver.with_blob(Arc::new(PatternBlob::new(1 << 40))).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    drop(client);
    let told = server.response_event().await;
    assert_eq!(told.end, ResponseEnd::Disconnected);
    assert!(told.bytes_sent < told.bytes_expected);
}

async fn garbage_is_answered_400_and_told_of(driver: Driver) {
    for garbage in [
        "garbage\r\n\r\n",
        "GET / HTTP/7.3\r\n\r\n",
        "\u{1}\u{2}\u{3}\r\n\r\n",
        "GET /\r\n\r\n",
    ] {
        let mut server = driver.with_files().await;
        let bytes = server.exchange(garbage).await;
        assert!(bytes.starts_with(b"HTTP/1.1 400 "), "{garbage:?}");
        let cause = server
            .event(|event| match event {
                Event::Malformed(malformed) => Some(malformed.cause),
                _ => None,
            })
            .await;
        assert!(!cause.is_empty());
    }
}

async fn a_head_may_come_in_single_bytes(driver: Driver) {
    let server = driver.with_files().await;
    let mut client = server.connect().await;
    for byte in b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(
        Response::parse(&client.rest().await).body,
        b"hello, world\n"
    );
}

async fn a_hundred_requests_at_once_are_answered_in_order(driver: Driver) {
    let server = driver.with_blob(Arc::new(PatternBlob::new(1000))).await;
    let mut client = server.connect().await;
    let requests =
        (0..100).map(|at| format!("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes={at}-{at}\r\n\r\n"));
    client.send(requests.collect::<String>()).await;
    for at in 0..100 {
        let head = client.head().await;
        assert!(head.contains(&format!("bytes {at}-{at}/1000")), "{head}");
        assert_eq!(client.body(1).await, [pattern(at)]);
    }
}

async fn errors_keep_the_connection(driver: Driver) {
    let server = driver.with_files().await;
    let mut client = server.connect().await;
    for (request, status) in [
        ("GET /none HTTP/1.1\r\nHost: a", "404"),
        ("GET /hello HTTP/1.1\r\nHost: a\r\nRange: bytes=99-", "416"),
        ("GET /hello HTTP/1.1\r\nHost: a\r\nIf-Match: \"x\"", "412"),
        ("GET /old HTTP/1.1\r\nHost: a", "302"),
        ("GET /hello HTTP/1.1\r\nHost: a", "200"),
    ] {
        client.send(format!("{request}\r\n\r\n")).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let len = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .expect("a length");
        client.body(len.parse().expect("a number")).await;
    }
}

/// RFC 9112 section 9.6: a socket that is closed with something unread resets its connection, and
/// the client loses what it has not read yet of its response.
async fn a_last_response_arrives_though_its_client_spoke_on(driver: Driver) {
    // More than what lies in the buffers in between.
    const LEN: usize = 8 << 20;
    let mut blob = PatternBlob::new(LEN as u64);
    blob.gate = Some((0, Semaphore::new(0)));
    let blob = Arc::new(blob);
    let mut server = driver.with_blob(blob.clone()).await;
    let mut client = server.connect().await;
    let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.send(last).await;
    let asked = |event| matches!(event, Event::Request(_)).then_some(());
    server.event(asked).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    blob.open_gate();
    let mut bytes = Vec::new();
    let end = within_bounds(client.stream.read_to_end(&mut bytes)).await;
    end.expect("an orderly end");
    assert_eq!(Response::parse(&bytes).body.len(), LEN);
}

async fn a_source_that_hangs_holds_up_nobody_else(driver: Driver) {
    let mut blob = PatternBlob::new(1000);
    blob.gate = Some((500, Semaphore::new(0)));
    let blob = Arc::new(blob);
    let server = driver.with_blob(blob.clone()).await;
    let mut hung = server.connect().await;
    hung.send("GET / HTTP/1.0\r\n\r\n").await;
    for _ in 0..3 {
        let request = "GET / HTTP/1.0\r\nRange: bytes=0-9\r\n\r\n";
        assert_eq!(
            Response::parse(&server.exchange(request).await).body.len(),
            10
        );
    }
    blob.open_gate();
    assert_eq!(Response::parse(&hung.rest().await).body.len(), 1000);
}
