//! The driver, on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pxe_dns::{
    AccessList, Event, ForwardError, Forwarder, Limits, MemForwarder, Name, Question, Rcode,
    Record, RecordType, Resolved, ServedZone, Server, ServerHandle, Service, ServiceBuilder,
    Transport, ZoneFile, ZoneFileLimits,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};

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

/// Answers with an address once it is let.
#[derive(Debug)]
struct Gate {
    open: Semaphore,
    asked: mpsc::UnboundedSender<String>,
}

impl Gate {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<String>) {
        let (asked, questions) = mpsc::unbounded_channel();
        let open = Semaphore::new(0);
        (Arc::new(Self { open, asked }), questions)
    }
}

#[async_trait]
impl Forwarder for Gate {
    async fn resolve(&self, question: Question<'_>) -> Result<Resolved, ForwardError> {
        let _ = self.asked.send(question.name.to_string());
        let permit = self.open.acquire().await;
        permit.expect("it is not closed").forget();
        let address = vec![192, 0, 2, 1];
        let answer = Record::new(question.name.clone(), RecordType::A, 60, address);
        Ok(Resolved::new(Rcode::NOERROR, vec![answer]))
    }
}

/// A forwarder that counts what it is asked, and lets names wait that it does not know.
#[derive(Debug)]
struct Counted {
    inner: MemForwarder,
    asked: AtomicUsize,
    others: Semaphore,
}

#[async_trait]
impl Forwarder for Counted {
    async fn resolve(&self, question: Question<'_>) -> Result<Resolved, ForwardError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let resolved = self.inner.resolve(question).await?;
        if resolved.rcode == Rcode::NXDOMAIN {
            let permit = self.others.acquire().await;
            permit.expect("it is not closed").forget();
        }
        Ok(resolved)
    }
}

/// The same as [`serve`], asking others through a gate.
fn serve_gate(
    limits: impl FnOnce(&mut Limits),
    gate: &Arc<Gate>,
) -> (
    ServerHandle,
    SocketAddr,
    SocketAddr,
    mpsc::UnboundedReceiver<Event>,
) {
    let (service, events) = told(Service::builder().recursion(AccessList::any()), limits);
    let udp = Server::bind_udp("127.0.0.1:0").expect("a UDP port");
    let tcp = Server::bind_tcp("127.0.0.1:0").expect("a TCP port");
    let addresses = (udp.local_addr(), tcp.local_addr());
    let server = Server::new(service).forwarder(Arc::clone(gate) as _);
    let handle = server.listen(udp).listen(tcp).start().expect("a server");
    (handle, addresses.0, addresses.1, events)
}

/// A service with other bounds, and what it tells.
fn told(
    builder: ServiceBuilder,
    change: impl FnOnce(&mut Limits),
) -> (Service, mpsc::UnboundedReceiver<Event>) {
    let mut limits = Limits::default();
    change(&mut limits);
    let (sender, events) = mpsc::unbounded_channel();
    let builder = builder.limits(limits).on_event(move |event| {
        let _ = sender.send(event.clone());
    });
    (builder.build(), events)
}

/// The bound that is told next.
async fn limit_told(events: &mut mpsc::UnboundedReceiver<Event>) -> &'static str {
    loop {
        let event = soon(events.recv()).await.expect("a server");
        if let Event::Limited(limited) = event {
            return limited.limit;
        }
    }
}

/// A socket at an address of its own, connected to the server: what comes from another address is
/// not received.
async fn client(server: SocketAddr, ip: [u8; 4]) -> UdpSocket {
    let socket = UdpSocket::bind((std::net::Ipv4Addr::from(ip), 0)).await;
    let socket = socket.expect("a socket");
    socket.connect(server).await.expect("connected");
    socket
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut reply = vec![0; 65_535];
    let len = soon(socket.recv(&mut reply)).await.expect("a reply");
    reply.truncate(len);
    reply
}

fn id_and_rcode(reply: &[u8]) -> (u16, u8) {
    let [high, low, _, flags, ..] = *reply else {
        panic!("no response: {reply:?}");
    };
    (u16::from_be_bytes([high, low]), flags & 0xf)
}

/// A query for the addresses of `pxe.matrix.lan`.
fn query(id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(b"\x01\0\0\x01\0\0\0\0\0\0\x03pxe\x06matrix\x03lan\0\0\x01\0\x01");
    message
}

/// One that is answered at once, without others: of a class that is refused.
fn refused(id: u16) -> Vec<u8> {
    let mut message = query(id);
    *message.last_mut().expect("a class") = 3;
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
        assert_eq!(reply.get(..4), Some(&[0x12, 0x34, 0x81, 5][..]), "{ip}");
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

#[tokio::test]
async fn ipv6_clients_are_answered() {
    // A machine without IPv6 has none to answer.
    let Ok(udp) = Server::bind_udp("[::1]:0") else {
        return;
    };
    let address = udp.local_addr();
    let handle = Server::new(Service::builder().build()).listen(udp);
    let handle = handle.start().expect("a server");
    assert_eq!(id_and_rcode(&ask_udp(address, &query(9)).await), (9, 5));
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// Many that wait are taken by one system call and answered by another.
#[tokio::test]
async fn all_of_many_queries_at_once_are_answered() {
    for ip in ["127.0.0.1", "0.0.0.0", "::"] {
        let (handle, udp, _) = serve(Service::builder().build(), ip);
        let server = SocketAddr::from(([127, 0, 0, 1], udp.port()));
        let socket = client(server, [127, 0, 0, 1]).await;
        for id in 0..100 {
            socket.send(&query(id)).await.expect("sent");
        }
        let mut ids = Vec::new();
        for _ in 0..100 {
            ids.push(id_and_rcode(&receive(&socket).await).0);
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..100).collect::<Vec<_>>(), "{ip}");
        assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
    }
}

/// A service manager starts the server for a query that waits in the socket: it is answered, and
/// those that come later are.
#[tokio::test]
async fn queries_that_wait_in_an_inherited_socket_are_answered() {
    for ip in ["127.0.0.1", "0.0.0.0", "::"] {
        let socket = std::net::UdpSocket::bind((ip, 0)).expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let server = SocketAddr::from(([127, 8, 8, 8], port));
        let server = match ip {
            "127.0.0.1" => SocketAddr::from(([127, 0, 0, 1], port)),
            _ => server,
        };
        let early = client(server, [127, 0, 0, 1]).await;
        for id in 0..40 {
            early.send(&query(id)).await.expect("sent");
        }
        let udp = pxe_dns::Bound::from_udp(socket).expect("a socket");
        let handle = Server::new(Service::builder().build()).listen(udp);
        let handle = handle.start().expect("a server");
        let late = client(server, [127, 0, 0, 1]).await;
        for id in 40..80 {
            late.send(&query(id)).await.expect("sent");
            assert_eq!(id_and_rcode(&receive(&late).await).0, id, "{ip}");
        }
        for id in 0..40 {
            assert_eq!(id_and_rcode(&receive(&early).await).0, id, "{ip}");
        }
        assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
    }
}

/// RFC 7766 section 6.2.1.1: answers leave as soon as they are ready.
#[tokio::test]
async fn a_slow_answer_holds_up_no_other_of_its_connection() {
    let (gate, mut questions) = Gate::new();
    let (handle, _, tcp, _) = serve_gate(|_| {}, &gate);
    let mut stream = TcpStream::connect(tcp).await.expect("connected");
    send_tcp(&mut stream, &query(1)).await;
    let asked = soon(questions.recv()).await;
    assert_eq!(asked.as_deref(), Some("pxe.matrix.lan."));
    send_tcp(&mut stream, &refused(2)).await;
    assert_eq!(id_and_rcode(&receive_tcp(&mut stream).await), (2, 5));
    gate.open.add_permits(1);
    assert_eq!(id_and_rcode(&receive_tcp(&mut stream).await), (1, 0));
    // What is under way when the client has said all is answered as well.
    send_tcp(&mut stream, &query(3)).await;
    soon(stream.shutdown()).await.expect("shut down");
    gate.open.add_permits(1);
    assert_eq!(id_and_rcode(&receive_tcp(&mut stream).await), (3, 0));
    let end = soon(stream.read_u8()).await.expect_err("the end");
    assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// Several queries in one segment, and one in several.
#[tokio::test]
async fn queries_come_in_any_pieces() {
    let (handle, _, tcp) = serve(Service::builder().build(), "127.0.0.1");
    let mut stream = TcpStream::connect(tcp).await.expect("connected");
    stream.set_nodelay(true).expect("no delay");
    let len = u16::try_from(query(0).len())
        .expect("a length")
        .to_be_bytes();
    let three = [&len, &query(1)[..], &len, &query(2), &len, &query(3)].concat();
    let (head, tail) = three.split_at(three.len() - 5);
    stream.write_all(head).await.expect("sent");
    for id in [1, 2] {
        assert_eq!(id_and_rcode(&receive_tcp(&mut stream).await), (id, 5));
    }
    for octet in tail {
        stream.write_all(&[*octet]).await.expect("sent");
    }
    assert_eq!(id_and_rcode(&receive_tcp(&mut stream).await), (3, 5));
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// A server that others have been asked by twice: by UDP, with ID 1, and by TCP, with ID 2.
async fn under_way() -> (ServerHandle, Arc<Gate>, UdpSocket, TcpStream) {
    let (gate, mut questions) = Gate::new();
    let (handle, udp, tcp, _) = serve_gate(|_| {}, &gate);
    let socket = client(udp, [127, 0, 0, 1]).await;
    socket.send(&query(1)).await.expect("sent");
    let mut stream = TcpStream::connect(tcp).await.expect("connected");
    send_tcp(&mut stream, &query(2)).await;
    for _ in 0..2 {
        assert!(soon(questions.recv()).await.is_some());
    }
    (handle, gate, socket, stream)
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way() {
    let (handle, gate, socket, mut stream) = under_way().await;
    let stopping = tokio::spawn(handle.shutdown(GRACE));
    gate.open.add_permits(2);
    assert_eq!(id_and_rcode(&receive(&socket).await), (1, 0));
    assert_eq!(id_and_rcode(&receive_tcp(&mut stream).await), (2, 0));
    assert_eq!(soon(stopping).await.expect("stopped"), 0);
}

/// Others that never answer hold up a stop for its grace and no longer.
#[tokio::test]
async fn a_stop_ends() {
    let (handle, _gate, _socket, mut stream) = under_way().await;
    assert_eq!(soon(handle.shutdown(Duration::from_millis(10))).await, 1);
    assert!(soon(stream.read_u8()).await.is_err());
}

/// One client's flood of random names takes its own places with others, and no more.
#[tokio::test]
async fn a_flood_of_forwarded_queries_leaves_others_served() {
    let (gate, mut questions) = Gate::new();
    let limits = |limits: &mut Limits| limits.forwards_per_client_max = 8;
    let (handle, udp, _, mut events) = serve_gate(limits, &gate);
    let flooder = client(udp, [127, 0, 0, 1]).await;
    for id in 0..200 {
        flooder.send(&query(id)).await.expect("sent");
    }
    // Those beyond are told at once.
    for _ in 0..192 {
        assert_eq!(id_and_rcode(&receive(&flooder).await).1, 2);
    }
    assert_eq!(limit_told(&mut events).await, "forwards_per_client_max");
    for _ in 0..8 {
        assert!(soon(questions.recv()).await.is_some());
    }
    let other = client(udp, [127, 0, 0, 2]).await;
    other.send(&query(7)).await.expect("sent");
    assert!(soon(questions.recv()).await.is_some());
    gate.open.add_permits(9);
    assert_eq!(id_and_rcode(&receive(&other).await), (7, 0));
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

#[tokio::test]
async fn queries_for_others_are_bounded_and_end() {
    let (gate, _questions) = Gate::new();
    let limits = |limits: &mut Limits| {
        limits.forwards_max = 1;
        limits.forward_max = Duration::from_millis(50);
    };
    let (handle, udp, _, mut events) = serve_gate(limits, &gate);
    let socket = client(udp, [127, 0, 0, 1]).await;
    socket.send(&query(1)).await.expect("sent");
    socket.send(&query(2)).await.expect("sent");
    // One socket is one thread: the second came second.
    assert_eq!(id_and_rcode(&receive(&socket).await), (2, 2));
    assert_eq!(limit_told(&mut events).await, "forwards_max");
    assert_eq!(id_and_rcode(&receive(&socket).await), (1, 2));
    let event = soon(events.recv()).await;
    assert!(matches!(event, Some(Event::ForwardFailed(_))), "{event:?}");
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

#[tokio::test]
async fn connections_are_bounded() {
    for (per_client, all, expected) in [
        (1, 10, "connections_per_client_max"),
        (10, 1, "connections_max"),
    ] {
        let (gate, mut asked) = Gate::new();
        let limits = |limits: &mut Limits| {
            limits.connections_per_client_max = per_client;
            limits.connections_max = all;
        };
        let (handle, _, tcp, mut events) = serve_gate(limits, &gate);
        // Its query is under way: it does not make room.
        let mut first = TcpStream::connect(tcp).await.expect("connected");
        send_tcp(&mut first, &query(1)).await;
        soon(asked.recv()).await.expect("asked");
        let mut second = TcpStream::connect(tcp).await.expect("connected");
        assert!(soon(second.read_u8()).await.is_err());
        assert_eq!(limit_told(&mut events).await, expected);
        gate.open.add_permits(1);
        assert_eq!(id_and_rcode(&receive_tcp(&mut first).await), (1, 0));
        drop(first);
        assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
    }
}

/// A thousand clients that say nothing do not keep others out.
#[tokio::test]
async fn the_connection_that_is_idle_for_longest_makes_room() {
    let (service, mut events) = told(Service::builder(), |limits| limits.connections_max = 2);
    let (handle, _, tcp) = serve(service, "127.0.0.1");
    let mut first = TcpStream::connect(tcp).await.expect("connected");
    let mut second = TcpStream::connect(tcp).await.expect("connected");
    for (stream, id) in [(&mut first, 1), (&mut second, 2)] {
        send_tcp(stream, &query(id)).await;
        assert_eq!(id_and_rcode(&receive_tcp(stream).await), (id, 5));
    }
    send_tcp(&mut first, &query(3)).await;
    assert_eq!(id_and_rcode(&receive_tcp(&mut first).await), (3, 5));
    let mut third = TcpStream::connect(tcp).await.expect("connected");
    send_tcp(&mut third, &query(4)).await;
    assert_eq!(id_and_rcode(&receive_tcp(&mut third).await), (4, 5));
    assert!(soon(second.read_u8()).await.is_err());
    assert_eq!(limit_told(&mut events).await, "connections_max");
    send_tcp(&mut first, &query(5)).await;
    assert_eq!(id_and_rcode(&receive_tcp(&mut first).await), (5, 5));
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// Neither silence nor a query that never ends keeps a connection.
#[tokio::test]
async fn silent_connections_are_closed() {
    for said in [&b""[..], b"\0\x1d\x12"] {
        let (service, mut events) = told(Service::builder(), |limits| {
            limits.idle_max = Duration::from_millis(50);
        });
        let (handle, _, tcp) = serve(service, "127.0.0.1");
        let mut stream = TcpStream::connect(tcp).await.expect("connected");
        stream.write_all(said).await.expect("sent");
        assert!(soon(stream.read_u8()).await.is_err());
        assert_eq!(limit_told(&mut events).await, "idle_max");
        assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
    }
}

/// A client that takes no responses holds a bounded number of them, and not for long.
#[tokio::test]
async fn clients_that_take_nothing_are_closed() {
    let (service, mut events) = told(Service::builder(), |limits| {
        limits.send_stalled_max = Duration::from_millis(50);
        limits.response_bytes_max = 1000;
    });
    let (handle, _, tcp) = serve(service, "127.0.0.1");
    let mut stream = TcpStream::connect(tcp).await.expect("connected");
    let one = [&[0, 32][..], &query(1)].concat();
    let many = one.repeat(1000);
    // Until it fails: the server has closed.
    let writing = async { while stream.write_all(&many).await.is_ok() {} };
    soon(writing).await;
    assert_eq!(limit_told(&mut events).await, "send_stalled_max");
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

#[tokio::test]
async fn what_is_too_long_for_a_query_ends_its_connection() {
    let (service, mut events) = told(Service::builder(), |_| {});
    let (handle, _, tcp) = serve(service, "127.0.0.1");
    let mut stream = TcpStream::connect(tcp).await.expect("connected");
    stream.write_all(&[0xff, 0xff]).await.expect("sent");
    assert!(soon(stream.read_u8()).await.is_err());
    let event = soon(events.recv()).await;
    assert!(matches!(event, Some(Event::Malformed(_))), "{event:?}");
    let event = soon(events.recv()).await;
    assert!(matches!(event, Some(Event::TcpClosed(_))), "{event:?}");
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// A zone of many messages goes to a client that asks for it twice, and for a name in between,
/// without waiting for the first to end.
#[tokio::test]
async fn zones_are_transferred_as_fast_as_the_client_takes_them() {
    const NAMES: usize = 5000;
    let text = "$TTL 300\n@ SOA ns root 7 3h 1h 1w 1h\n NS ns\nns A 192.0.2.1\n\
                $GENERATE 1-5000 host-$ A 192.0.2.2\n";
    let files = |_: &str, _: usize| Ok(text.as_bytes().to_vec());
    let origin = "matrix.lan".parse().expect("a name");
    let read = ZoneFile::read(&origin, "db", &files, &ZoneFileLimits::default());
    let mut served = ServedZone::new(read.zone.expect("a zone"));
    served.transfer = AccessList::any();
    let (service, mut events) = told(Service::builder().zone(served), |_| {});
    let (handle, _, tcp) = serve(service, "127.0.0.1");
    let mut stream = TcpStream::connect(tcp).await.expect("connected");
    let axfr = |id: u16| {
        let question = b"\0\0\0\x01\0\0\0\0\0\0\x06matrix\x03lan\0\0\xfc\0\x01";
        [&id.to_be_bytes()[..], question].concat()
    };
    for query in [axfr(1), query(2), axfr(3)] {
        send_tcp(&mut stream, &query).await;
    }
    let (mut records, mut others, mut messages) = (0, 0, 0);
    while records < 2 * (NAMES + 4) {
        let reply = receive_tcp(&mut stream).await;
        let count = usize::from(u16::from_be_bytes([reply[6], reply[7]]));
        match id_and_rcode(&reply) {
            (1 | 3, 0) => (records, messages) = (records + count, messages + 1),
            (2, 3) => others += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((records, others), (2 * (NAMES + 4), 1));
    assert!(messages > 4, "{messages}");
    drop(stream);
    let mut completed = 0;
    while completed < 2 {
        if let Some(Event::Transferred(transferred)) = soon(events.recv()).await {
            assert!(transferred.is_complete);
            assert_eq!(transferred.serial, 7);
            completed += 1;
        }
    }
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// Zones that are swapped all the time lose no query.
#[tokio::test]
async fn swapping_zones_loses_no_query() {
    let zone = |serial: u32| {
        let text = format!(
            "$TTL 300\n@ SOA ns root {serial} 3h 1h 1w 1h\n NS ns\npxe A 192.0.2.1\nns A 192.0.2.1\n"
        );
        let files = |_: &str, _: usize| Ok(text.clone().into_bytes());
        let origin = "matrix.lan".parse().expect("a name");
        let read = ZoneFile::read(&origin, "db", &files, &ZoneFileLimits::default());
        ServedZone::new(read.zone.expect("a zone"))
    };
    let service = Service::builder().zone(zone(1)).build();
    let (handle, udp, _) = serve(service.clone(), "127.0.0.1");
    let socket = client(udp, [127, 0, 0, 1]).await;
    for id in 0..200 {
        socket.send(&query(id)).await.expect("sent");
        service.set_zones(vec![zone(2 + u32::from(id))]);
        let reply = receive(&socket).await;
        assert_eq!(id_and_rcode(&reply), (id, 0));
        assert_eq!(reply[7], 1, "one answer");
    }
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// Who listens to events may panic: that costs what was under way, and no more.
#[tokio::test]
async fn a_panic_of_who_listens_does_not_silence_the_server() {
    let service = Service::builder().on_event(|event| {
        if let Event::Malformed(_) = event {
            panic!("as a test wants it");
        }
    });
    let (handle, udp, tcp) = serve(service.build(), "127.0.0.1");
    // As many clients as meet each of the threads.
    for _ in 0..32 {
        let bad = client(udp, [127, 0, 0, 1]).await;
        bad.send(&query(1)[..12]).await.expect("sent");
        bad.send(&query(2)).await.expect("sent");
        let mut stream = TcpStream::connect(tcp).await.expect("connected");
        send_tcp(&mut stream, &query(1)[..12]).await;
    }
    for id in 0..32 {
        assert_eq!(id_and_rcode(&ask_udp(udp, &query(id)).await), (id, 5));
        let mut stream = TcpStream::connect(tcp).await.expect("connected");
        send_tcp(&mut stream, &query(id)).await;
        assert_eq!(id_and_rcode(&receive_tcp(&mut stream).await), (id, 5));
    }
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// The same of who is told that there are too many connections.
#[tokio::test]
async fn a_panic_of_who_listens_does_not_close_the_port() {
    let mut limits = Limits::default();
    limits.connections_per_client_max = 1;
    let service = Service::builder().limits(limits).on_event(|event| {
        if let Event::Limited(_) = event {
            panic!("as a test wants it");
        }
    });
    let (handle, _, tcp) = serve(service.build(), "127.0.0.1");
    let mut first = TcpStream::connect(tcp).await.expect("connected");
    send_tcp(&mut first, &query(1)).await;
    assert_eq!(id_and_rcode(&receive_tcp(&mut first).await), (1, 5));
    let mut second = TcpStream::connect(tcp).await.expect("connected");
    assert!(soon(second.read_u8()).await.is_err());
    drop(first);
    let answered = async {
        loop {
            let mut stream = TcpStream::connect(tcp).await.expect("the port is open");
            let sent = stream.write_all(&[&[0, 32][..], &query(3)].concat()).await;
            // Closed at once, as long as the first has its place.
            if sent.is_ok() && stream.read_u16().await.is_ok() {
                break;
            }
        }
    };
    soon(answered).await;
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// Bounds that are no bounds.
#[tokio::test]
async fn clients_may_have_all_the_time_there_is() {
    let (service, _events) = told(Service::builder(), |limits| {
        limits.idle_max = Duration::MAX;
        limits.send_stalled_max = Duration::MAX;
        limits.forward_max = Duration::MAX;
        limits.rate_limit_burst = Duration::MAX;
    });
    let (handle, udp, tcp) = serve(service, "127.0.0.1");
    let mut stream = TcpStream::connect(tcp).await.expect("connected");
    for id in 0..3 {
        send_tcp(&mut stream, &query(id)).await;
        assert_eq!(id_and_rcode(&receive_tcp(&mut stream).await), (id, 5));
        assert_eq!(id_and_rcode(&ask_udp(udp, &query(id)).await), (id, 5));
    }
    drop(stream);
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// Datagrams of each length and of each content, at a socket that has all addresses.
#[tokio::test]
async fn no_datagram_silences_the_server() {
    let (service, _events) = told(Service::builder().recursion(AccessList::any()), |_| {});
    let (handle, udp, _) = serve(service, "::");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).expect("small")
    };
    let edns = [
        &query(7)[..11],
        &[1],
        &query(7)[12..],
        b"\0\0\x29\x04\xd0\0\0\x80\0\0\0",
    ];
    let whole = [query(7), edns.concat()];
    for ip in ["127.0.0.1", "::1"] {
        let server = SocketAddr::new(ip.parse().expect("an address"), udp.port());
        for round in 0..40 {
            let socket = UdpSocket::bind((ip, 0)).await.expect("a socket");
            socket.connect(server).await.expect("connected");
            for len in 0..=70 {
                let mut message = vec![0; len];
                match round {
                    0 => {}
                    1 => message.fill(0xff),
                    2 => message.fill(0xc0),
                    3..8 => message.fill_with(|| draw(256) as u8),
                    _ => {
                        message = whole[round % 2].clone();
                        message.truncate(len.max(12));
                        for _ in 0..=draw(4) {
                            let at = draw(message.len());
                            message[at] = draw(256) as u8;
                        }
                    }
                }
                socket.send(&message).await.expect("sent");
            }
            // Its last is answered, after whatever the others were answered by.
            socket.send(&query(0xabcd)).await.expect("sent");
            loop {
                let reply = receive(&socket).await;
                assert!(reply.len() >= 12 && reply[2] & 0x80 != 0, "{reply:?}");
                if id_and_rcode(&reply).0 == 0xabcd {
                    break;
                }
            }
        }
    }
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// Forwarded responses that a connection has no room for keep their places among those that others
/// are asked for: a client that takes nothing cannot gather them.
#[tokio::test]
async fn forwarded_responses_that_nobody_takes_are_bounded() {
    let (service, _events) = told(Service::builder().recursion(AccessList::any()), |limits| {
        limits.forwards_per_client_max = 4;
        limits.queries_per_connection_max = 4;
        limits.send_stalled_max = Duration::MAX;
    });
    let pxe: Name = "pxe.matrix.lan".parse().expect("a name");
    let long = |n| Record::new(pxe.clone(), RecordType::A, 60, vec![n; 6000]);
    let answer = Resolved::new(Rcode::NOERROR, (0..10).map(long).collect());
    let forwarder = Arc::new(Counted {
        inner: MemForwarder::new().with(pxe.clone(), RecordType::A, Ok(answer)),
        asked: AtomicUsize::new(0),
        others: Semaphore::new(0),
    });
    let udp = Server::bind_udp("127.0.0.1:0").expect("a UDP port");
    let tcp = Server::bind_tcp("127.0.0.1:0").expect("a TCP port");
    let (udp_address, tcp_address) = (udp.local_addr(), tcp.local_addr());
    let server = Server::new(service).forwarder(Arc::clone(&forwarder) as Arc<dyn Forwarder>);
    let handle = server.listen(udp).listen(tcp).start().expect("a server");
    let mut stream = TcpStream::connect(tcp_address).await.expect("connected");
    // 60 MB of responses.
    let many = [&[0, 32][..], &query(1)].concat().repeat(1000);
    stream.write_all(&many).await.expect("sent");
    let socket = client(udp_address, [127, 0, 0, 1]).await;
    // Until the connection is full, and others are asked no more.
    let full = async {
        let mut before = 0;
        loop {
            for _ in 0..100 {
                socket.send(&refused(3)).await.expect("sent");
                assert_eq!(id_and_rcode(&receive(&socket).await), (3, 5));
            }
            let asked = forwarder.asked.load(Ordering::Relaxed);
            if asked > 0 && asked == before {
                break;
            }
            before = asked;
        }
    };
    soon(full).await;
    // Three responses wait, beside the one that filled the connection: one place is left.
    let mut waits = query(2);
    waits[13..16].copy_from_slice(b"dns");
    socket.send(&waits).await.expect("sent");
    socket.send(&query(4)).await.expect("sent");
    assert_eq!(id_and_rcode(&receive(&socket).await), (4, 2));
    forwarder.others.add_permits(1);
    assert_eq!(id_and_rcode(&receive(&socket).await), (2, 3));
    // It gets them all the same, once it takes them.
    for _ in 0..1000 {
        let reply = receive_tcp(&mut stream).await;
        assert_eq!(id_and_rcode(&reply).0, 1);
    }
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}

/// A client that sends more queries than are read at a time has its turn, and others theirs: tasks
/// of other servers among them, which share the runtime.
#[tokio::test]
async fn a_flood_on_a_connection_lets_others_have_their_turn() {
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    let service = Service::builder().on_event(move |event| {
        if let Event::Refused(_) = event {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (handle, _, tcp) = serve(service.build(), "127.0.0.1");
    // All of them wait in the system before the server has its first turn.
    let mut stream = std::net::TcpStream::connect(tcp).expect("connected");
    stream.set_nonblocking(true).expect("set");
    let many = [&[0, 32][..], &refused(1)].concat().repeat(2000);
    let sent = std::io::Write::write(&mut stream, &many).expect("sent") / 34;
    assert!(sent > 1000, "{sent}");
    let (mut before, mut longest) = (0, 0);
    let turns = async {
        while before < sent {
            tokio::task::yield_now().await;
            let now = answered.load(Ordering::Relaxed);
            longest = longest.max(now - before);
            before = now;
        }
    };
    soon(turns).await;
    assert!(longest <= 4096 / 34 + 1, "{longest} in one turn");
    drop(stream);
    assert_eq!(soon(handle.shutdown(GRACE)).await, 0);
}
