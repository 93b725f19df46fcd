//! The server over TCP, as a client on the loopback meets it.
#![cfg(feature = "tokio")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pxe_nfs::{Admission, Event, Export, Handle, HandleKey, Limits, Programs, Server, Service};
use pxe_tree::MemTree;
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
async fn garbage_closes_the_connection_and_is_told() {
    let (handle, address, events) = start(Limits::default());
    let mut reply_in_a_call = call(7, NFS, 3, 0);
    reply_in_a_call[7] = 1;
    for garbage in [
        record(&reply_in_a_call),
        record(b"abc"),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        0xffff_ffff_u32.to_be_bytes().to_vec(),
    ] {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(&garbage).await.expect("garbage is taken");
        is_closed(&mut stream).await;
    }
    assert_eq!(handle.shutdown(Duration::from_secs(60)).await, 0);
    let events = events.lock().expect("no panic");
    let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
    assert_eq!(count(|event| matches!(event, Event::Malformed(_))), 4);
    assert_eq!(count(|event| matches!(event, Event::Disconnected(_))), 4);
}

#[tokio::test]
async fn a_client_has_so_many_connections() {
    let mut limits = Limits::default();
    limits.connections_per_client_max = 2;
    let (handle, address, events) = start(limits);
    let mut streams = Vec::new();
    for xid in 0..2 {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let null = record(&call(xid, NFS, 3, 0));
        stream.write_all(&null).await.expect("a call is taken");
        reply(&mut stream).await;
        streams.push(stream);
    }
    let mut third = TcpStream::connect(address).await.expect("a connection");
    is_closed(&mut third).await;
    assert_eq!(handle.connections(), 2);
    let limited = events.lock().expect("no panic").iter().any(
        |event| matches!(event, Event::Limited(by) if by.limit == "connections_per_client_max"),
    );
    assert!(limited);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait() {
    let mut limits = Limits::default();
    limits.connections_max = 1;
    let (_handle, address, _) = start(limits);
    let null = record(&call(1, NFS, 3, 0));
    let mut first = TcpStream::connect(address).await.expect("a connection");
    first.write_all(&null).await.expect("a call is taken");
    reply(&mut first).await;
    let mut second = TcpStream::connect(address).await.expect("a connection");
    second.write_all(&null).await.expect("a call is taken");
    first.write_all(&null).await.expect("a call is taken");
    reply(&mut first).await;
    drop(first);
    reply(&mut second).await;
}

/// A restarted server has its port at once, though connections of the former one linger.
#[tokio::test]
async fn a_restarted_server_has_its_port_at_once() {
    let null = record(&call(1, NFS, 3, 0));
    let (handle, address, _) = start(Limits::default());
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(&null).await.expect("a call is taken");
    reply(&mut stream).await;
    assert_eq!(handle.shutdown(Duration::from_secs(60)).await, 0);
    is_closed(&mut stream).await;
    let bound = Server::bind_tcp(address).expect("the same port");
    let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
        .build()
        .expect("a service");
    let _handle = Server::new(service)
        .listen(bound, Programs::Nfs)
        .start()
        .expect("a server");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(&null).await.expect("a call is taken");
    reply(&mut stream).await;
}

#[tokio::test]
async fn what_cannot_be_answered_in_time_is_ended() {
    const MOUNT: u32 = 100_005;
    const MNT: u32 = 1;
    let asked = Arc::new(tokio::sync::Notify::new());
    let asks = Arc::clone(&asked);
    let everybody = "*(insecure)".parse().expect("clients");
    let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
        .export(Export::new("/", Arc::new(MemTree::new())).to(everybody))
        .admit(move |_| {
            asks.notify_one();
            Admission::Pending(Box::pin(std::future::pending()))
        })
        .build()
        .expect("a service");
    let bound = Server::bind_tcp(LOOPBACK).expect("a port");
    let address = bound.local_addr();
    let handle = Server::new(service)
        .listen(bound, Programs::Nfs)
        .start()
        .expect("a server");
    let mut idle = TcpStream::connect(address).await.expect("a connection");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mnt = [&call(1, MOUNT, 3, MNT)[..], &[0, 0, 0, 1, b'/', 0, 0, 0]].concat();
    stream
        .write_all(&record(&mnt))
        .await
        .expect("a call is taken");
    asked.notified().await;
    assert_eq!(handle.shutdown(Duration::from_millis(1)).await, 1);
    is_closed(&mut stream).await;
    is_closed(&mut idle).await;
}

#[tokio::test]
async fn each_port_has_its_programs() {
    const MOUNT: u32 = 100_005;
    let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
        .build()
        .expect("a service");
    let bound = Server::bind_tcp(LOOPBACK).expect("a port");
    let address = bound.local_addr();
    let _handle = Server::new(service)
        .listen(bound, Programs::Mount)
        .start()
        .expect("a server");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // SUCCESS, and PROG_UNAVAIL.
    for (program, status) in [(MOUNT, 0), (NFS, 1)] {
        let null = record(&call(1, program, 3, 0));
        stream.write_all(&null).await.expect("a call is taken");
        assert_eq!(word(&reply(&mut stream).await, 5), status);
    }
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

/// What was begun may have changed something, or may keep others waiting.
#[tokio::test]
async fn calls_of_a_connection_that_is_lost_are_finished() {
    const MOUNT: u32 = 100_005;
    const MNT: u32 = 1;
    let (asks, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let (tells, mut told) = tokio::sync::mpsc::unbounded_channel();
    let everybody = "*(insecure)".parse().expect("clients");
    let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
        .export(Export::new("/", Arc::new(MemTree::new())).to(everybody))
        .admit(move |_| {
            let (go_on, wait) = tokio::sync::oneshot::channel();
            asks.send(go_on).expect("the test goes on");
            let ended = Ended(tells.clone(), "dropped");
            Admission::Pending(Box::pin(async move {
                let mut ended = ended;
                wait.await.expect("the test goes on");
                ended.1 = "finished";
                true
            }))
        })
        .build()
        .expect("a service");
    let bound = Server::bind_tcp(LOOPBACK).expect("a port");
    let address = bound.local_addr();
    let handle = Server::new(service)
        .listen(bound, Programs::Mount)
        .start()
        .expect("a server");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mnt = [&call(1, MOUNT, 3, MNT)[..], &[0, 0, 0, 1, b'/', 0, 0, 0]].concat();
    let mnt = record(&mnt);
    stream.write_all(&mnt).await.expect("a call is taken");
    let go_on = asked.recv().await.expect("the call is begun");
    // A reset, as of a machine that was switched off and on again.
    stream.set_zero_linger().expect("no linger");
    drop(stream);
    // Until the server has seen that.
    let mut other = TcpStream::connect(address).await.expect("a connection");
    let null = record(&call(1, MOUNT, 3, 0));
    for _ in 0..10 {
        other.write_all(&null).await.expect("a call is taken");
        reply(&mut other).await;
    }
    // It may be dropped already.
    let _ = go_on.send(());
    assert_eq!(told.recv().await, Some("finished"));
    drop(other);
    assert_eq!(handle.shutdown(Duration::from_secs(60)).await, 0);
}

/// Tells how it was when it ended.
struct Ended(
    tokio::sync::mpsc::UnboundedSender<&'static str>,
    &'static str,
);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}
