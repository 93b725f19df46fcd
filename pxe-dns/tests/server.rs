//! The driver, on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use pxe_dns::{Server, ServerHandle, Service, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// For what takes no time at all.
const PATIENCE: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(10);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.expect("it takes too long")
}

/// A server at a free port of this address, for UDP and TCP.
fn serve(service: Service, ip: &str) -> (ServerHandle, SocketAddr, SocketAddr) {
    let udp = Server::bind_udp((ip, 0)).expect("a UDP port");
    let tcp = Server::bind_tcp((ip, 0)).expect("a TCP port");
    assert_eq!(
        (udp.transport(), tcp.transport()),
        (Transport::Udp, Transport::Tcp)
    );
    let addresses = (udp.local_addr(), tcp.local_addr());
    let server = Server::new(service).listen(udp).listen(tcp);
    let handle = server.start().expect("a server");
    (handle, addresses.0, addresses.1)
}

/// A query for the addresses of `pxe.matrix.lan`.
fn query(id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(b"\0\0\0\x01\0\0\0\0\0\0\x03pxe\x06matrix\x03lan\0\0\x01\0\x01");
    message
}

async fn ask_udp(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => "0.0.0.0:0".parse(),
        SocketAddr::V6(_) => "[::]:0".parse(),
    }
    .expect("an address");
    let socket = UdpSocket::bind(any).await.expect("a socket");
    // What comes from another address is not received then.
    socket.connect(server).await.expect("connected");
    socket.send(query).await.expect("sent");
    let mut reply = vec![0; 65_535];
    let len = soon(socket.recv(&mut reply)).await.expect("a reply");
    reply.truncate(len);
    reply
}

async fn send_tcp(stream: &mut TcpStream, query: &[u8]) {
    let len = u16::try_from(query.len()).expect("a length");
    let message = [&len.to_be_bytes(), query].concat();
    stream.write_all(&message).await.expect("sent");
}

async fn receive_tcp(stream: &mut TcpStream) -> Vec<u8> {
    let len = soon(stream.read_u16()).await.expect("a length");
    let mut reply = vec![0; len.into()];
    soon(stream.read_exact(&mut reply)).await.expect("a reply");
    reply
}

#[tokio::test]
async fn queries_are_answered_by_udp_and_tcp() {
    for ip in ["127.0.0.1", "0.0.0.0", "::"] {
        let (handle, udp, tcp) = serve(Service::builder().build(), ip);
        let loopback = |address: SocketAddr| SocketAddr::from(([127, 0, 0, 1], address.port()));
        let reply = ask_udp(loopback(udp), &query(0x1234)).await;
        assert_eq!(reply.get(..4), Some(&[0x12, 0x34, 0x80, 5][..]), "{ip}");
        let mut stream = TcpStream::connect(loopback(tcp)).await.expect("connected");
        for id in [1, 2] {
            send_tcp(&mut stream, &query(id)).await;
            let reply = receive_tcp(&mut stream).await;
            assert_eq!(reply.get(..2), Some(&id.to_be_bytes()[..]), "{ip}");
        }
        assert_eq!(handle.connections(), 1);
        assert_eq!(soon(handle.shutdown(GRACE)).await, 0, "{ip}");
    }
}

/// A wildcard socket answers from the address that was asked, not from the one that the route to
/// the client would give.
#[tokio::test]
async fn replies_leave_from_the_address_that_was_asked() {
    for ip in ["0.0.0.0", "::"] {
        let (handle, udp, _) = serve(Service::builder().build(), ip);
        for asked in [[127, 0, 0, 1], [127, 8, 8, 8]] {
            let reply = ask_udp(SocketAddr::from((asked, udp.port())), &query(7)).await;
            assert_eq!(reply.get(..2), Some(&[0, 7][..]), "{ip}");
        }
        assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let taken = Server::bind_udp("127.0.0.1:0").expect("a port");
    let error = Server::bind_udp(taken.local_addr()).expect_err("taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
