//! The server over TCP, as a client on the loopback meets it.
#![cfg(feature = "tokio")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pxe_nfs::{Event, Handle, HandleKey, Limits, Programs, Server, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Events = Arc<Mutex<Vec<Event>>>;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const NFS: u32 = 100_003;

/// A server without exports: NULL and errors are all that it answers.
fn start(limits: Limits) -> (Handle, SocketAddr, Events) {
    let events = Events::default();
    let told = Arc::clone(&events);
    let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
        .limits(limits)
        .on_event(move |event| told.lock().expect("no panic").push(event.clone()))
        .build()
        .expect("a service");
    let bound = Server::bind_tcp(LOOPBACK).expect("a port");
    let address = bound.local_addr();
    let handle = Server::new(service)
        .listen(bound, Programs::Nfs)
        .start()
        .expect("a server");
    (handle, address, events)
}

/// The words of a call with neither user nor arguments.
fn call(xid: u32, program: u32, version: u32, procedure: u32) -> Vec<u8> {
    let words = [xid, 0, 2, program, version, procedure, 0, 0, 0, 0];
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// As a record of one fragment.
fn record(message: &[u8]) -> Vec<u8> {
    let mark = 1 << 31 | u32::try_from(message.len()).expect("a short message");
    let mut record = mark.to_be_bytes().to_vec();
    record.extend_from_slice(message);
    record
}

async fn reply(stream: &mut TcpStream) -> Vec<u8> {
    let mark = stream.read_u32().await.expect("a mark");
    assert_eq!(mark >> 31, 1, "replies are one fragment");
    let mut reply = vec![0; (mark & !(1 << 31)) as usize];
    stream.read_exact(&mut reply).await.expect("a reply");
    reply
}

fn word(reply: &[u8], at: usize) -> u32 {
    let bytes = reply[at * 4..][..4].try_into().expect("four bytes");
    u32::from_be_bytes(bytes)
}

async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // An error is a reset, which is an end too.
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, [], "nothing more comes");
}

#[tokio::test]
async fn pipelined_calls_are_all_answered() {
    let (handle, address, _) = start(Limits::default());
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let calls: Vec<u8> = (0..1000)
        .flat_map(|xid| record(&call(xid, NFS, 3, 0)))
        .collect();
    let (mut from, mut to) = stream.split();
    let write = async { to.write_all(&calls).await.expect("calls are taken") };
    let read = async {
        let mut seen = Vec::new();
        for _ in 0..1000 {
            let mut bytes = [0; 28];
            from.read_exact(&mut bytes).await.expect("a reply");
            seen.push(word(&bytes, 1));
            assert_eq!(word(&bytes, 6), 0, "SUCCESS");
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..1000));
    };
    tokio::join!(write, read);
    drop(stream);
    assert_eq!(handle.shutdown(Duration::from_secs(60)).await, 0);
}

#[tokio::test]
async fn a_call_may_come_byte_by_byte_and_in_many_fragments() {
    let (_handle, address, _) = start(Limits::default());
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    for byte in record(&call(7, NFS, 3, 0)) {
        stream.write_u8(byte).await.expect("a byte is taken");
    }
    assert_eq!(word(&reply(&mut stream).await, 0), 7);
    let message = call(8, NFS, 3, 0);
    for (at, byte) in message.iter().enumerate() {
        let last = u32::from(at + 1 == message.len()) << 31;
        stream.write_u32(last | 1).await.expect("a mark is taken");
        stream.write_u8(*byte).await.expect("a byte is taken");
    }
    assert_eq!(word(&reply(&mut stream).await, 0), 8);
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_still_gets_its_replies() {
    let (_handle, address, _) = start(Limits::default());
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let calls: Vec<u8> = (0..3)
        .flat_map(|xid| record(&call(xid, NFS, 3, 0)))
        .collect();
    stream.write_all(&calls).await.expect("calls are taken");
    stream.shutdown().await.expect("an end");
    for xid in 0..3 {
        assert_eq!(word(&reply(&mut stream).await, 0), xid);
    }
    is_closed(&mut stream).await;
}
