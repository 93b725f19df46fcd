//! A server that has no file descriptor left: a process of its own, since the limit is one's.
#![cfg(all(feature = "tokio", target_os = "linux"))]

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pxe_nfs::{Event, HandleKey, Programs, Server, Service};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_server_without_descriptors_tells_it_and_tries_again() {
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&failures);
    let service = Service::builder(HandleKey::new([7; HandleKey::LEN]))
        .on_event(move |event| {
            if let Event::AcceptFailed(_) = event {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        })
        .build()
        .expect("a service");
    let bound = Server::bind_tcp("127.0.0.1:0").expect("a port");
    let address: SocketAddr = bound.local_addr();
    let _handle = Server::new(service)
        .listen(bound, Programs::Nfs)
        .start()
        .expect("a server");

    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let before = getrlimit(Resource::Nofile);
    // All numbers below this one are taken, or can be had by nobody but those before.
    let none_left = Rlimit {
        current: Some(0),
        ..before
    };
    setrlimit(Resource::Nofile, none_left).expect("to be lowered");
    socket
        .connect(&address.into())
        .expect("a connection that is not accepted");
    while failures.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    setrlimit(Resource::Nofile, before).expect("to be raised");

    socket.set_nonblocking(true).expect("a socket");
    let mut stream = tokio::net::TcpStream::from_std(TcpStream::from(socket)).expect("a stream");
    let words = [1 << 31 | 40, 7, 0, 2, 100_003, 3, 0, 0, 0, 0, 0_u32];
    let null: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    stream.write_all(&null).await.expect("a call is taken");
    let mut reply = [0; 28];
    stream.read_exact(&mut reply).await.expect("a reply");
    assert_eq!(reply[4..8], [0, 0, 0, 7]);
}
