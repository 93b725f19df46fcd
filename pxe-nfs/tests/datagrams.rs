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

fn opaque(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).expect("a short text");
    let mut opaque = len.to_be_bytes().to_vec();
    opaque.extend_from_slice(bytes);
    opaque.resize(opaque.len().next_multiple_of(4), 0);
    opaque
}

/// A call as U-Boot makes it: AUTH_SYS with no name and no groups (net/nfs-common.c,
/// `rpc_add_credentials`). Returns the bytes after `SUCCESS` and the status, which is none.
async fn ask_as_u_boot(server: SocketAddr, call: [u32; 3], args: &[u8]) -> Vec<u8> {
    let [program, version, procedure] = call;
    let words = [7, 0, 2, program, version, procedure];
    let auth_sys = [1, 20, 0, 0, 0, 0, 0, 0, 0];
    let words = words.into_iter().chain(auth_sys);
    let mut message: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
    message.extend_from_slice(args);
    let reply = ask(server, &message).await;
    assert_eq!(reply[..7], [7, 1, 0, 0, 0, 0, 0], "{call:?}");
    let rest = reply[7..].iter();
    rest.flat_map(|word| word.to_be_bytes()).collect()
}

/// It knows UDP alone (net/nfs-common.c): MNT, a LOOKUP, and READs of 1 KiB whose arguments have a
/// word too many (`nfs_read_req`).
#[tokio::test]
async fn u_boot_reads_a_file_by_udp() {
    const MOUNT: u32 = 100_005;
    const NFS: u32 = 100_003;
    const READ_BYTES: u32 = 1024;
    let content: Vec<u8> = (0..2049_u32).map(|at| (at % 251) as u8).collect();
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("kernel"), &content).expect("written");
    let in_memory = MemTree::new();
    let file = in_memory.insert_file("kernel", content.clone());
    file.expect("free");
    let on_disk = pxe_tree::DirTree::new(dir.path()).expect("a directory");
    let trees: [Arc<dyn pxe_tree::Tree>; 2] = [Arc::new(in_memory), Arc::new(on_disk)];
    for tree in trees {
        let everybody = "*(ro,insecure)".parse().expect("clients");
        let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
            .export(Export::new("/boot", tree).to(everybody))
            .build()
            .expect("a service");
        let bound = Server::bind_udp("127.0.0.1:0").expect("a port");
        let address = bound.local_addr();
        let _handle = Server::new(service)
            .listen(bound, Programs::Nfs)
            .start()
            .expect("a server");
        let handle = |told: &[u8]| {
            let len = u32::from_be_bytes(told[..4].try_into().expect("a length"));
            told[4..][..len as usize].to_vec()
        };
        let root = handle(&ask_as_u_boot(address, [MOUNT, 3, 1], &opaque(b"/boot")).await);
        let args = [opaque(&root), opaque(b"kernel")].concat();
        let file = handle(&ask_as_u_boot(address, [NFS, 3, 3], &args).await);
        let mut got = Vec::new();
        for at in 0..3 {
            let words = [0, at * READ_BYTES, READ_BYTES, 0];
            let words = words.into_iter().flat_map(u32::to_be_bytes);
            let args: Vec<u8> = opaque(&file).into_iter().chain(words).collect();
            let told = ask_as_u_boot(address, [NFS, 3, 6], &args).await;
            // Attributes come first: a flag and 84 bytes.
            let [count, eof, len] = [88, 92, 96]
                .map(|at| u32::from_be_bytes(told[at..][..4].try_into().expect("four")));
            assert_eq!((count, eof), (len, u32::from(at == 2)));
            got.extend_from_slice(&told[100..][..len as usize]);
            assert_eq!(told.len(), 100 + (len as usize).next_multiple_of(4));
        }
        assert!(got == content, "the content");
    }
}
