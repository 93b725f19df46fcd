//! The server over UDP, as a client on the loopback meets it.
#![cfg(feature = "tokio")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pxe_nfs::{Admission, Event, Export, Handle, HandleKey, Limits, Programs, Server, Service};
use pxe_tree::MemTree;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PORTMAP: u32 = 100_000;
const PORTMAP_NULL: u32 = 0;
const PORTMAP_DUMP: u32 = 4;

fn start(address: &str) -> (Handle, SocketAddr) {
    let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
        .build()
        .expect("a service");
    let bound = Server::bind_udp(address).expect("a port");
    let address = bound.local_addr();
    let handle = Server::new(service)
        .listen(bound, Programs::Portmap)
        .start()
        .expect("a server");
    (handle, address)
}

fn call(xid: u32, version: u32, procedure: u32) -> Vec<u8> {
    let words = [xid, 0, 2, PORTMAP, version, procedure, 0, 0, 0, 0];
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// The reply's words. Only what comes from the address that was asked is received.
async fn ask(server: SocketAddr, message: &[u8]) -> Vec<u32> {
    let local = match server {
        SocketAddr::V4(_) => "127.0.0.1:0",
        SocketAddr::V6(_) => "[::1]:0",
    };
    let socket = UdpSocket::bind(local).await.expect("a port");
    socket.connect(server).await.expect("a peer");
    socket.send(message).await.expect("to be sent");
    let mut reply = [0; 2048];
    let len = timeout(Duration::from_secs(60), socket.recv(&mut reply))
        .await
        .expect("an answer")
        .expect("a reply");
    let words = reply[..len].chunks_exact(4);
    words
        .map(|word| u32::from_be_bytes(word.try_into().expect("four bytes")))
        .collect()
}

#[tokio::test]
async fn replies_come_from_the_address_that_was_asked() {
    for wildcard in ["0.0.0.0:0", "[::]:0"] {
        let (_handle, address) = start(wildcard);
        for asked in ["127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"] {
            let asked: IpAddr = asked.parse().expect("an address");
            if asked.is_ipv6() && address.is_ipv4() {
                continue;
            }
            let asked = SocketAddr::new(asked, address.port());
            let reply = ask(asked, &call(7, 2, PORTMAP_NULL)).await;
            assert_eq!(reply, [7, 1, 0, 0, 0, 0], "{asked}");
        }
    }
}

#[tokio::test]
async fn the_portmapper_tells_of_what_is_listened_at() {
    let (_handle, address) = start("127.0.0.1:0");
    let reply = ask(address, &call(7, 2, PORTMAP_DUMP)).await;
    let port = u32::from(address.port());
    assert_eq!(reply, [7, 1, 0, 0, 0, 0, 1, PORTMAP, 2, 17, port, 0]);
}

/// rpcinfo and mount.nfs of libtirpc ask for versions 4 and 3 first (rpcb_getaddr), and go on with
/// the version that they are told.
#[tokio::test]
async fn versions_of_rpcbind_are_mismatches() {
    let (_handle, address) = start("127.0.0.1:0");
    for version in [3, 4] {
        let reply = ask(address, &call(7, version, 3)).await;
        assert_eq!(reply, [7, 1, 0, 0, 0, 2, 2, 2], "PROG_MISMATCH, 2 to 2");
    }
}

#[tokio::test]
async fn so_many_calls_are_answered_at_once() {
    const MOUNT: u32 = 100_005;
    const MNT: u32 = 1;
    let (limited, mut is_limited) = tokio::sync::watch::channel(0);
    let mut limits = Limits::default();
    limits.udp_calls_max = 3;
    let everybody = "*(insecure)".parse().expect("clients");
    let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
        .export(Export::new("/", Arc::new(MemTree::new())).to(everybody))
        .limits(limits)
        .admit(|_| Admission::Pending(Box::pin(std::future::pending())))
        .on_event(move |event| {
            if let Event::Limited(by) = event
                && by.limit == "udp_calls_max"
            {
                limited.send_modify(|count| *count += 1);
            }
        })
        .build()
        .expect("a service");
    let bound = Server::bind_udp("127.0.0.1:0").expect("a port");
    let address = bound.local_addr();
    let handle = Server::new(service)
        .listen(bound, Programs::Nfs)
        .start()
        .expect("a server");
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let words = [
        7,
        0,
        2,
        MOUNT,
        3,
        MNT,
        0,
        0,
        0,
        0,
        1,
        u32::from_be_bytes(*b"/\0\0\0"),
    ];
    let mnt: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    for _ in 0..10 {
        socket.send_to(&mnt, address).await.expect("to be sent");
    }
    let reached = is_limited.wait_for(|count| *count > 0);
    timeout(Duration::from_secs(60), reached)
        .await
        .expect("an event")
        .expect("a server");
    // They would wait for ever.
    handle.shutdown(Duration::ZERO).await;
    assert_eq!(*is_limited.borrow(), 1, "told once");
}

/// Two servers that answered each other's replies would never stop.
#[tokio::test]
async fn what_is_no_call_gets_no_answer() {
    let (_handle, address) = start("127.0.0.1:0");
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    socket.connect(address).await.expect("a peer");
    let mut reply = call(1, 2, PORTMAP_NULL);
    reply[7] = 1;
    for message in [&reply[..], b"", b"abc", &[0; 8]] {
        socket.send(message).await.expect("to be sent");
    }
    // They are answered in order.
    let last = call(9, 2, PORTMAP_NULL);
    socket.send(&last).await.expect("to be sent");
    let mut bytes = [0; 64];
    let len = timeout(Duration::from_secs(60), socket.recv(&mut bytes))
        .await
        .expect("an answer")
        .expect("a reply");
    assert_eq!(bytes[..len][..4], [0, 0, 0, 9]);
}

/// One socket is all that there is: what ends it ends the service.
#[tokio::test]
async fn a_call_that_panics_ends_nothing_else() {
    const MOUNT: u32 = 100_005;
    const MNT: u32 = 1;
    let everybody = "*(insecure)".parse().expect("clients");
    let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
        .export(Export::new("/", Arc::new(MemTree::new())).to(everybody))
        .admit(|_| -> bool { panic!("on purpose") })
        .build()
        .expect("a service");
    let bound = Server::bind_udp("127.0.0.1:0").expect("a port");
    let address = bound.local_addr();
    let _handle = Server::new(service)
        .listen(bound, Programs::Mount)
        .start()
        .expect("a server");
    let path = u32::from_be_bytes(*b"/\0\0\0");
    let words = [7, 0, 2, MOUNT, 3, MNT, 0, 0, 0, 0, 1, path];
    let mnt: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    let system_error = [7, 1, 0, 0, 0, 5];
    for _ in 0..2 {
        assert_eq!(ask(address, &mnt).await, system_error);
    }
}

/// What was cut off may have been longer than what is left says.
#[tokio::test]
async fn a_datagram_that_was_cut_off_gets_no_answer() {
    let (_handle, address) = start("127.0.0.1:0");
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    socket.connect(address).await.expect("a peer");
    for (xid, len) in [(1, 60_000), (2, 8192), (3, 40)] {
        let mut message = call(xid, 2, PORTMAP_NULL);
        message.resize(len, 0);
        socket.send(&message).await.expect("to be sent");
    }
    let mut bytes = [0; 64];
    for expected in [2, 3] {
        let received = timeout(Duration::from_secs(60), socket.recv(&mut bytes));
        received.await.expect("an answer").expect("a reply");
        assert_eq!(bytes[..4], [0, 0, 0, expected]);
    }
}
