//! Whole files, parts of them, and files that fail while they are sent.

use std::sync::Arc;

use pxe_http::ResponseEnd;
use pxe_tree::{ErrorKind, MemBlob};
use tokio::io::AsyncReadExt;

use crate::driver::Driver;
use crate::on_every_driver;
use crate::support::{PatternBlob, Response, pattern, within_bounds};

on_every_driver! {
    five_mebibytes_that_have_to_be_waited_for_are_intact,
    five_mebibytes_that_are_at_hand_are_intact,
    five_mebibytes_in_memory_are_intact,
    a_range_beyond_4_gib_is_intact,
    a_slow_reader_gets_its_file_intact,
    a_file_that_changes_or_fails_closes_short,
    a_file_that_shrinks_closes_short,
}

async fn get_large(driver: Driver, blob: PatternBlob) {
    let len = blob.attributes.len;
    let mut server = driver.with_blob(Arc::new(blob)).await;
    let response = Response::parse(&server.exchange("GET / HTTP/1.0\r\n\r\n").await);
    assert_eq!(
        response.field("Content-Length"),
        Some(len.to_string().as_str())
    );
    assert_eq!(response.body.len() as u64, len);
    assert!(
        response
            .body
            .iter()
            .zip(0..)
            .all(|(&byte, at)| byte == pattern(at))
    );
    let told = server.response_event().await;
    assert_eq!((told.bytes_sent, told.end), (len, ResponseEnd::Complete));
}

/// Not a multiple of a chunk, so that the last one is short.
const LARGE: u64 = 5 * 1024 * 1024 + 17;

async fn five_mebibytes_that_have_to_be_waited_for_are_intact(driver: Driver) {
    get_large(driver, PatternBlob::new(LARGE)).await;
}

async fn five_mebibytes_that_are_at_hand_are_intact(driver: Driver) {
    let mut blob = PatternBlob::new(LARGE);
    blob.now = true;
    get_large(driver, blob).await;
}

async fn five_mebibytes_in_memory_are_intact(driver: Driver) {
    let content: Vec<u8> = (0..LARGE).map(pattern).collect();
    let server = driver.with_blob(MemBlob::new(content.clone())).await;
    let response = Response::parse(&server.exchange("GET / HTTP/1.0\r\n\r\n").await);
    assert!(response.body == content);
}

async fn a_range_beyond_4_gib_is_intact(driver: Driver) {
    let server = driver
        .with_blob(Arc::new(PatternBlob::new((4 << 30) + 100)))
        .await;
    let request = "GET / HTTP/1.0\r\nRange: bytes=4294967290-4294967305\r\n\r\n";
    let response = Response::parse(&server.exchange(request).await);
    assert_eq!(
        response.field("Content-Range"),
        Some("bytes 4294967290-4294967305/4294967396")
    );
    let expected: Vec<u8> = (4_294_967_290..4_294_967_306).map(pattern).collect();
    assert_eq!(response.body, expected);
}

async fn a_slow_reader_gets_its_file_intact(driver: Driver) {
    let server = driver.with_blob(Arc::new(PatternBlob::new(LARGE))).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    let mut at = 0;
    let mut buf = [0; 1000];
    while at < LARGE {
        let len = within_bounds(client.stream.read(&mut buf))
            .await
            .expect("bytes");
        assert!(len > 0, "closed at {at}");
        assert!(
            buf[..len]
                .iter()
                .zip(at..)
                .all(|(&byte, at)| byte == pattern(at))
        );
        at += len as u64;
        tokio::task::yield_now().await;
    }
}

async fn get_failing(driver: Driver, mut blob: PatternBlob, now: bool) -> (Vec<u8>, ResponseEnd) {
    blob.now = now;
    let mut server = driver.with_blob(Arc::new(blob)).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let response = Response::parse(&client.rest().await);
    assert_eq!(response.field("Content-Length"), Some("1000000"));
    let told = server.response_event().await;
    assert!(told.bytes_sent < told.bytes_expected);
    (response.body, told.end)
}

async fn a_file_that_changes_or_fails_closes_short(driver: Driver) {
    for now in [false, true] {
        for kind in [ErrorKind::Stale, ErrorKind::Io] {
            let mut blob = PatternBlob::new(1_000_000);
            blob.fails = Some((500_000, kind));
            let (body, end) = get_failing(driver, blob, now).await;
            assert!(body.len() < 1_000_000);
            assert_eq!(end, ResponseEnd::FileFailed(kind));
        }
    }
}

async fn a_file_that_shrinks_closes_short(driver: Driver) {
    for now in [false, true] {
        let mut blob = PatternBlob::new(1_000_000);
        blob.ends = Some(999_999);
        let (body, end) = get_failing(driver, blob, now).await;
        assert!(body.len() < 1_000_000);
        assert_eq!(end, ResponseEnd::FileFailed(ErrorKind::Stale));
    }
}
