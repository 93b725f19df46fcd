//! How a server ends, and how it begins.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pxe_http::{Event, ResponseEnd, Server};
use pxe_tree::MemBlob;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::driver::{Driver, Running};
use crate::on_own_drivers;
use crate::support::{Client, PatternBlob, Response, files, only, within_bounds};

on_own_drivers! {
    shutdown_lets_a_transfer_finish,
    shutdown_ends_what_does_not_finish_in_time,
}

/// Whatever pieces a driver reads, these are many of them.
const HALF: usize = 4 << 20;

/// A file whose second half waits, and a client that has got a part of the first.
async fn gated(driver: Driver) -> (Running, Arc<PatternBlob>, Client) {
    let mut blob = PatternBlob::new(2 * HALF as u64);
    blob.gate = Some((HALF as u64, Semaphore::new(0)));
    let blob = Arc::new(blob);
    let server = driver.with_blob(blob.clone()).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    client.body(1 << 20).await;
    (server, blob, client)
}

fn ends(events: &[Event]) -> Vec<ResponseEnd> {
    let ends = events.iter().filter_map(|event| match event {
        Event::Response(told) => Some(told.end),
        _ => None,
    });
    ends.collect()
}

async fn shutdown_lets_a_transfer_finish(driver: Driver) {
    let (server, blob, mut client) = gated(driver).await;
    let address = server.address;
    let mut idle = server.connect().await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n")
        .await;
    idle.head().await;
    idle.body(1).await;

    let stopping = server.shut_down(Duration::from_secs(60));
    // The idle connection is closed, and with it the port.
    assert_eq!(idle.rest().await, b"");
    while within_bounds(TcpStream::connect(address)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    blob.open_gate();
    assert_eq!(client.rest().await.len(), 2 * HALF - (1 << 20));
    let (left, events) = stopping.end().await;
    assert_eq!(left, 0);
    assert_eq!(ends(&events), [ResponseEnd::Complete; 2]);
}

async fn shutdown_ends_what_does_not_finish_in_time(driver: Driver) {
    let (server, blob, mut client) = gated(driver).await;
    let (left, events) = server.shut_down(Duration::ZERO).end().await;
    assert_eq!(left, 1);
    assert!(client.rest().await.len() <= HALF - (1 << 20));
    assert!(blob.read.load(Ordering::Relaxed) <= HALF as u64);
    assert_eq!(ends(&events), [ResponseEnd::Disconnected]);
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
        let mut client = Client {
            stream: Box::new(stream),
        };
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
