//! The server on tokio, over loopback, with a plain client.
#![cfg(feature = "tokio")]

mod faults;
mod lone;
mod processors;

use std::io::ErrorKind as ErrorKindOfSystem;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tftp::wire::{self, ErrorCode, Opcode, Options, Packet, Request};
use pxe_tftp::{Config, Event, Handle, Limits, Outcome, PortMode, SendFailure, Server};
use pxe_tree::{
    Attributes, Blob, ErrorKind, FileRequest, MemBlob, MemTree, NodeId, NodeKind, Opened, Source,
    TreeSource, source_fn,
};

/// Longer than any answer takes; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than a busy machine takes as a rule: what is repeated for nothing is absorbed.
const REPEATED_AFTER: Duration = Duration::from_secs(2);

/// A server that runs in a thread of its own, and its events.
struct Running {
    addr: SocketAddr,
    handle: Handle,
    events: mpsc::Receiver<Event>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Running {
    fn start(bind: &str, config: Config, source: impl Source) -> Self {
        let server = Server::bind(bind.parse().unwrap(), config);
        Self::of(server.expect("a port of loopback"), source)
    }

    fn of(server: Server, source: impl Source) -> Self {
        let (sender, events) = mpsc::channel();
        let server = server
            .with_grace(PATIENCE)
            .on_event(move |event| drop(sender.send(event.clone())));
        let addr = server.local_addr().unwrap();
        let handle = server.handle();
        let source: Arc<dyn Source> = Arc::new(source);
        // The runtime begins after the socket is bound, as in a program that drops privileges.
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?
                .block_on(server.run(source, std::future::pending()))
        });
        Self {
            addr,
            handle,
            events,
            thread: Some(thread),
        }
    }

    fn client(&self) -> Client {
        Client::of(self.addr)
    }

    /// The next event for which `find` has an answer.
    fn await_event<T>(&self, mut find: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            let event = self.events.recv_timeout(PATIENCE).expect("the event comes");
            if let Some(found) = find(event) {
                return found;
            }
        }
    }

    fn await_outcome(&self) -> Outcome {
        self.await_event(|event| match event {
            Event::TransferFinished { report, .. } => Some(report.outcome),
            _ => None,
        })
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic").expect("no error");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shut_down();
        if !std::thread::panicking() {
            self.join();
        }
    }
}

struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    /// Where the transfer's packets come from.
    peer: Option<SocketAddr>,
    /// Where those of the transfer before came from: on a busy machine, some are late.
    former: Option<SocketAddr>,
    /// The request, until it is answered: as with any client, it or its answer may be lost.
    unanswered: Option<Vec<u8>>,
}

#[derive(Debug, PartialEq)]
enum Got {
    Data(u16, Vec<u8>),
    Oack(Vec<(String, String)>),
    Error(ErrorCode, String),
}

impl Client {
    fn of(server: SocketAddr) -> Self {
        let local: IpAddr = match server {
            SocketAddr::V4(_) => [127, 0, 0, 1].into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        let socket = UdpSocket::bind((local, 0)).unwrap();
        socket.set_read_timeout(Some(REPEATED_AFTER)).unwrap();
        Self {
            socket,
            server,
            peer: None,
            former: None,
            unanswered: None,
        }
    }

    /// The next datagram. A request is sent again for as long as nothing comes.
    fn receive_datagram(&mut self, buffer: &mut [u8]) -> (usize, SocketAddr) {
        let started = Instant::now();
        loop {
            match self.socket.recv_from(buffer) {
                Ok(received) => return received,
                Err(error) if error.kind() == ErrorKindOfSystem::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            assert!(started.elapsed() < PATIENCE, "an answer within its time");
            if let Some(request) = &self.unanswered {
                self.socket.send_to(request, self.server).unwrap();
            }
        }
    }

    fn request(&mut self, opcode: Opcode, name: &str, options: &[(&str, &str)]) -> Got {
        let mut pairs = Vec::new();
        for (name, value) in options {
            pairs.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        let request = Request::new(name.as_bytes(), b"octet", Options::decode(&pairs));
        let mut out = Vec::new();
        wire::encode_request(&mut out, opcode, &request);
        self.socket.send_to(&out, self.server).unwrap();
        self.former = self.peer.take();
        self.unanswered = Some(out);
        self.receive()
    }

    fn receive(&mut self) -> Got {
        let mut buffer = vec![0; 70_000];
        let (len, from) = loop {
            let (len, from) = self.receive_datagram(&mut buffer);
            let late = self.peer != Some(from) && self.former == Some(from);
            if !late || from == self.server {
                break (len, from);
            }
        };
        self.unanswered = None;
        assert_eq!(
            from,
            *self.peer.get_or_insert(from),
            "one transfer has one port"
        );
        match Packet::decode(&buffer[..len]).unwrap() {
            Packet::Data { block, payload } => Got::Data(block, payload.to_vec()),
            Packet::OptionAck(options) => {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                Got::Oack(options.iter().map(|(n, v)| (text(n), text(v))).collect())
            }
            Packet::Error { code, message } => {
                Got::Error(code, String::from_utf8(message.to_vec()).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    fn acknowledge(&self, block: u16) {
        let mut ack = Vec::new();
        wire::encode_ack(&mut ack, block);
        self.socket.send_to(&ack, self.peer.unwrap()).unwrap();
    }

    /// Fetches a whole file; loopback loses a packet only when a buffer is full, and then the
    /// server sends it again.
    fn fetch(&mut self, name: &str, options: &[(&str, &str)]) -> Result<Vec<u8>, Got> {
        let mut got = self.request(Opcode::RRQ, name, options);
        let (mut blksize, mut windowsize) = (512, 1);
        if let Got::Oack(answers) = &got {
            for (name, value) in answers {
                match name.as_str() {
                    "blksize" => blksize = value.parse().unwrap(),
                    "windowsize" => windowsize = value.parse().unwrap(),
                    _ => {}
                }
            }
            self.acknowledge(0);
            got = self.receive();
        }
        let (mut content, mut expected, mut in_window) = (Vec::new(), 1_u16, 0);
        loop {
            match got {
                Got::Data(block, payload) if block == expected => {
                    content.extend_from_slice(&payload);
                    in_window += 1;
                    let last = payload.len() < blksize;
                    if last || in_window == windowsize {
                        self.acknowledge(block);
                        in_window = 0;
                    }
                    if last {
                        return Ok(content);
                    }
                    expected = expected.wrapping_add(1);
                }
                Got::Data(..) => {
                    self.acknowledge(expected.wrapping_sub(1));
                    in_window = 0;
                }
                // Repeated, since this thread was long in coming.
                Got::Oack(_) => self.acknowledge(0),
                other => return Err(other),
            }
            got = self.receive();
        }
    }
}

fn content(len: usize) -> Bytes {
    (0..len).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// `small`, `big`, `empty`, and a directory.
fn tree() -> TreeSource {
    let tree = MemTree::new();
    for (path, content) in [
        ("small", content(1000)),
        ("big", content(3_000_001)),
        ("empty", Bytes::new()),
        ("Boot/BCD", content(5000)),
    ] {
        tree.insert_file(path, content).unwrap();
    }
    TreeSource::new(Arc::new(tree))
}

#[test]
fn files_arrive_whole_by_a_port_of_their_own() {
    let server = Running::start("127.0.0.1:0", Config::new(), tree());
    let mut client = server.client();
    for (name, len) in [
        ("small", 1000),
        ("big", 3_000_001),
        ("empty", 0),
        ("\\Boot\\BCD", 5000),
    ] {
        for options in [
            &[][..],
            &[("blksize", "1432"), ("tsize", "0")],
            &[("blksize", "1468"), ("windowsize", "4")],
            &[("blksize", "1468"), ("windowsize", "64")],
            &[("blksize", "65464")],
        ] {
            let got = client.fetch(name, options).unwrap();
            assert!(got == content(len), "{name} {options:?}");
            let peer = client.peer.unwrap();
            assert_eq!(peer.ip(), server.addr.ip());
            assert_ne!(peer.port(), server.addr.port());
            assert_eq!(server.await_outcome(), Outcome::Complete);
        }
    }
}

#[test]
fn single_port_mode_answers_from_the_port_that_was_asked() {
    let config = Config::new().with_ports(PortMode::Single);
    let server = Running::start("127.0.0.1:0", config, tree());
    let mut client = server.client();
    for options in [&[][..], &[("blksize", "1468"), ("windowsize", "16")]] {
        assert!(client.fetch("big", options).unwrap() == content(3_000_001));
        assert_eq!(client.peer, Some(server.addr));
    }
}

#[test]
fn wildcard_sockets_answer_from_the_address_that_was_asked() {
    for ports in [PortMode::PerTransfer, PortMode::Single] {
        let server = Running::start("0.0.0.0:0", Config::new().with_ports(ports), tree());
        let asked = SocketAddr::from(([127, 0, 0, 7], server.addr.port()));
        let mut client = Client::of(asked);
        assert!(client.fetch("small", &[("blksize", "600")]).unwrap() == content(1000));
        assert_eq!(client.peer.unwrap().ip(), asked.ip());
        // Errors too.
        client.fetch("missing", &[]).unwrap_err();
        assert_eq!(client.peer.unwrap(), asked);
    }
}

#[test]
fn ipv6_and_ipv4_are_served_by_one_wildcard_socket() {
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("this kernel has no IPv6: nothing to test");
        return;
    }
    for ports in [PortMode::PerTransfer, PortMode::Single] {
        let server = Running::start("[::]:0", Config::new().with_ports(ports), tree());
        let port = server.addr.port();
        for asked in [
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port)),
            SocketAddr::from(([127, 0, 0, 7], port)),
        ] {
            let mut client = Client::of(asked);
            let options = [("blksize", "1400"), ("windowsize", "8")];
            assert!(client.fetch("big", &options).unwrap() == content(3_000_001));
            assert_eq!(client.peer.unwrap().ip(), asked.ip());
            client.fetch("missing", &[]).unwrap_err();
            assert_eq!(client.peer.unwrap(), asked);
            let remote = server.await_event(|event| match event {
                Event::RequestReceived { peer, .. } => Some(peer.remote),
                _ => None,
            });
            assert_eq!(remote, client.socket.local_addr().unwrap());
            while server.events.try_recv().is_ok() {}
        }
    }
}

#[test]
fn errors_have_the_right_code_and_name_the_file() {
    let server = Running::start("127.0.0.1:0", Config::new(), tree());
    let mut client = server.client();
    for (opcode, name, code, text) in [
        (
            Opcode::RRQ,
            "no/such",
            1,
            "no such file or directory: no/such",
        ),
        (Opcode::RRQ, "Boot", 2, "is a directory: Boot"),
        (Opcode::RRQ, "small/x", 1, "not a directory: small/x"),
        (Opcode::WRQ, "new", 2, "this server takes no files: new"),
    ] {
        assert_eq!(
            client.request(opcode, name, &[("tsize", "0")]),
            Got::Error(ErrorCode(code), text.to_owned())
        );
    }
}

#[test]
fn requests_that_came_before_the_server_ran_are_all_answered() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Config::new()).unwrap();
    let mut client = Client::of(server.local_addr().unwrap());
    // More than are received in one turn; no more than a socket's buffer takes.
    for _ in 0..200 {
        let wrq = b"\0\x02file\0octet\0";
        client.socket.send_to(wrq, client.server).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let task = runtime.spawn(server.run(Arc::new(tree()), std::future::pending()));
    for _ in 0..200 {
        // An ERROR for each.
        client.receive_datagram(&mut [0; 100]);
    }
    task.abort();
}

#[test]
fn shutdown_lets_transfers_finish_and_takes_no_new_ones() {
    let mut server = Running::start("127.0.0.1:0", Config::new(), tree());
    let mut old = server.client();
    assert!(matches!(
        old.request(Opcode::RRQ, "small", &[]),
        Got::Data(1, _)
    ));
    server.handle.shut_down();
    // The shutdown and this request are both there when the server's task runs next.
    assert_eq!(
        server.client().request(Opcode::RRQ, "small", &[]),
        Got::Error(ErrorCode::NOT_DEFINED, "server is shutting down".to_owned())
    );
    old.acknowledge(1);
    assert!(matches!(old.receive(), Got::Data(2, payload) if payload.len() == 488));
    old.acknowledge(2);
    server.join();
}

#[test]
fn the_grace_period_bounds_a_shutdown() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Config::new())
        .unwrap()
        .with_grace(Duration::ZERO);
    let mut client = Client::of(server.local_addr().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = runtime.spawn(server.run(Arc::new(tree()), async move {
        let _ = stopped.await;
    }));
    assert!(matches!(
        client.request(Opcode::RRQ, "small", &[]),
        Got::Data(1, _)
    ));
    drop(stop);
    assert_eq!(
        client.receive(),
        Got::Error(ErrorCode::NOT_DEFINED, "server is shutting down".to_owned())
    );
    runtime.block_on(task).unwrap().unwrap();
}

#[test]
fn a_new_configuration_is_for_new_transfers() {
    let server = Running::start("127.0.0.1:0", Config::new(), tree());
    let mut client = server.client();
    let options = [("blksize", "1400"), ("windowsize", "9")];
    let Got::Oack(answers) = client.request(Opcode::RRQ, "small", &options) else {
        panic!("no OACK");
    };
    assert_eq!(answers[0].1, "1400");
    server
        .handle
        .reconfigure(Config::new().with_blksize_max(700).with_windowsize_max(2));
    let mut other = server.client();
    let Got::Oack(answers) = other.request(Opcode::RRQ, "small", &options) else {
        panic!("no OACK");
    };
    assert_eq!(answers[0].1, "700");
    assert_eq!(answers[1].1, "2");
    client.acknowledge(0);
    assert!(matches!(client.receive(), Got::Data(1, payload) if payload.len() == 1000));
}

/// The system divides the clients among the threads, and with them whose place is free.
#[test]
fn who_does_not_answer_makes_room_whichever_thread_serves_it() {
    let limits = Limits::new()
        .with_transfers_max(1)
        .with_displaced_after(Duration::ZERO);
    let config = Config::new().with_limits(limits);
    let server = Running::start("127.0.0.1:0", config, tree());
    let mut silent = Vec::new();
    for _ in 0..16 {
        let mut client = server.client();
        let started = Instant::now();
        // A thread tells the others of its transfer a moment after the first packet has left.
        loop {
            match client.request(Opcode::RRQ, "small", &[]) {
                Got::Data(1, _) => break,
                Got::Error(_, text) => assert_eq!(text, "server busy: too many transfers"),
                other => panic!("{other:?}"),
            }
            assert!(started.elapsed() < PATIENCE, "a place");
        }
        silent.push(client);
    }
}

#[test]
fn a_closed_port_of_the_client_ends_its_transfer() {
    for ports in [PortMode::PerTransfer, PortMode::Single] {
        let config = Config::new()
            .with_ports(ports)
            .with_retransmit_initial(Duration::from_millis(50));
        let server = Running::start("127.0.0.1:0", config, tree());
        // A neighbour of the same address is none the worse for it.
        let mut neighbour = server.client();
        assert!(matches!(
            neighbour.request(Opcode::RRQ, "small", &[]),
            Got::Data(1, _)
        ));
        neighbour.acknowledge(1);
        let options = &[("blksize", "1400")][..];
        let mut client = server.client();
        client.request(Opcode::RRQ, "small", options);
        // Nobody listens there any more: the retransmission is answered by ICMP.
        drop(client);
        assert_eq!(
            server.await_outcome(),
            Outcome::SendFailed(SendFailure::Unreachable)
        );
        // Its first block may have been repeated before it was acknowledged.
        while !matches!(neighbour.receive(), Got::Data(2, _)) {}
    }
}

#[test]
fn transfers_keep_to_the_port_range() {
    // Four times as many ports as are needed, since some may be others' by now.
    let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port().min(65_000);
    drop(probe);
    let range = port..=port + 40;
    let config = Config::new().with_port_range(Some(range.clone()));
    let server = Running::start("127.0.0.1:0", config, tree());
    let mut clients: Vec<_> = (0..10).map(|_| server.client()).collect();
    let mut ports = std::collections::BTreeSet::new();
    for client in &mut clients {
        assert!(matches!(
            client.request(Opcode::RRQ, "small", &[]),
            Got::Data(1, _)
        ));
        let port = client.peer.unwrap().port();
        assert!(range.contains(&port), "{port} is not in {range:?}");
        assert!(ports.insert(port), "each transfer has a port of its own");
    }
}

#[test]
fn a_client_is_told_that_all_ports_of_the_range_are_in_use() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = Config::new().with_port_range(Some(port..=port));
    let server = Running::start("127.0.0.1:0", config, tree());
    let text = format!(
        "server has no socket for this transfer: all ports from {port} to {port} are in use"
    );
    assert_eq!(
        server.client().request(Opcode::RRQ, "small", &[]),
        Got::Error(ErrorCode::NOT_DEFINED, text)
    );
}

/// A file whose data are never at hand at once.
#[derive(Debug)]
struct Cold {
    attributes: Attributes,
    content: Bytes,
}

#[async_trait]
impl Blob for Cold {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    async fn read_at(&self, offset: u64, len: usize) -> pxe_tree::Result<Bytes> {
        tokio::task::yield_now().await;
        let from = (offset as usize).min(self.content.len());
        let upto = (from + len).min(self.content.len());
        Ok(self.content.slice(from..upto))
    }
}

fn cold(promised: usize, len: usize) -> impl Source {
    source_fn(move |_: &FileRequest<'_>| {
        let node = NodeId::new(std::num::NonZeroU64::MIN);
        Ok(Opened::File(Arc::new(Cold {
            attributes: Attributes::new(node, NodeKind::File, promised as u64),
            content: content(len),
        })))
    })
}

#[test]
fn cold_files_are_read_by_tasks() {
    let server = Running::start("127.0.0.1:0", Config::new(), cold(500_000, 500_000));
    let options = [("blksize", "1468"), ("windowsize", "16")];
    assert!(server.client().fetch("any", &options).unwrap() == content(500_000));
}

#[test]
fn a_file_that_shrank_ends_with_an_error_and_not_as_a_whole() {
    let server = Running::start("127.0.0.1:0", Config::new(), cold(500_000, 100_000));
    let Err(Got::Error(code, text)) = server.client().fetch("any", &[("blksize", "1468")]) else {
        panic!("no error");
    };
    assert_eq!(code, ErrorCode::NOT_DEFINED);
    assert_eq!(text, "file is shorter than expected: any");
}

#[test]
fn the_source_knows_who_asks_and_whom() {
    let source = source_fn(|request: &FileRequest<'_>| {
        let local = request.local.ok_or(ErrorKind::NotFound)?;
        let text = format!("{} {} {local}", request.protocol, request.remote);
        Ok(Opened::File(MemBlob::new(text)))
    });
    let server = Running::start("127.0.0.1:0", Config::new(), source);
    let mut client = server.client();
    let got = client.fetch("who", &[]).unwrap();
    let me = client.socket.local_addr().unwrap();
    assert_eq!(
        String::from_utf8(got).unwrap(),
        format!("tftp {me} {}", server.addr)
    );
}

#[test]
fn many_clients_are_served_at_once() {
    let server = Running::start("127.0.0.1:0", Config::new(), cold(400_000, 400_000));
    let expected = content(400_000);
    std::thread::scope(|scope| {
        for number in 0..24 {
            let (mut client, expected) = (server.client(), &expected);
            scope.spawn(move || {
                let options = [("blksize", "1468"), ("windowsize", "4")];
                let options = if number % 2 == 0 {
                    &options[..1]
                } else {
                    &options
                };
                assert!(client.fetch("any", options).unwrap() == *expected);
            });
        }
    });
}

#[test]
fn the_limit_of_transfers_holds_over_all_threads() {
    let limits = Limits::new()
        .with_transfers_max(5)
        .with_displaced_after(PATIENCE);
    let config = Config::new().with_limits(limits);
    let server = Running::start("127.0.0.1:0", config, tree());
    // Their ports differ, so that the system divides them among the threads.
    let mut clients: Vec<_> = (0..40).map(|_| server.client()).collect();
    let served =
        clients
            .iter_mut()
            .filter_map(|client| match client.request(Opcode::RRQ, "small", &[]) {
                Got::Data(1, _) => Some(()),
                Got::Error(_, text) => {
                    assert_eq!(text, "server busy: too many transfers");
                    None
                }
                other => panic!("{other:?}"),
            });
    assert_eq!(served.count(), 5);
}

/// Counts how often it is read, at once or by a task.
#[derive(Debug)]
struct Counted {
    attributes: Attributes,
    content: Bytes,
    hot: bool,
    reads: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl Blob for Counted {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    fn read_now(&self, offset: u64, buf: &mut [u8]) -> pxe_tree::Result<Option<usize>> {
        if !self.hot {
            return Ok(None);
        }
        self.reads
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let rest = &self.content[offset as usize..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(Some(len))
    }

    async fn read_at(&self, offset: u64, len: usize) -> pxe_tree::Result<Bytes> {
        self.reads
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        tokio::task::yield_now().await;
        let from = offset as usize;
        let upto = (from + len).min(self.content.len());
        Ok(self.content.slice(from..upto))
    }
}

#[test]
fn a_class_that_boots_at_once_reads_each_chunk_once() {
    let expected = content(500_000);
    for hot in [true, false] {
        let node = NodeId::new(std::num::NonZeroU64::MIN);
        let blob = Arc::new(Counted {
            attributes: Attributes::new(node, NodeKind::File, expected.len() as u64),
            content: expected.clone(),
            hot,
            reads: 0.into(),
        });
        let shared = Arc::clone(&blob);
        let source = source_fn(move |_: &FileRequest<'_>| {
            let blob = Arc::clone(&shared);
            Ok(Opened::File(blob))
        });
        let server = Running::start("127.0.0.1:0", Config::new(), source);
        std::thread::scope(|scope| {
            for number in 0..30 {
                let (mut client, expected) = (server.client(), &expected);
                scope.spawn(move || {
                    let options = [("blksize", "1468"), ("windowsize", "4")];
                    let options = &options[..1 + number % 2];
                    assert!(client.fetch("any", options).unwrap() == *expected);
                });
            }
        });
        let chunks = expected.len().div_ceil(Config::new().chunk_bytes);
        let reads = blob.reads.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(reads, chunks);
    }
}

#[test]
fn sockets_serve_again_and_no_transfer_gets_the_packets_of_another() {
    let server = Running::start("127.0.0.1:0", Config::new(), tree());
    // One port for all files, as lpxelinux has it: the next request follows the last ACK at once.
    let mut client = server.client();
    for round in 0..200 {
        let (name, len) = [("small", 1000), ("Boot/BCD", 5000)][round % 2];
        assert!(client.fetch(name, &[("blksize", "700")]).unwrap() == content(len));
        assert_eq!(server.await_outcome(), Outcome::Complete);
        // Nothing is late then, and the same port may come again by chance.
        client.peer = None;
    }
}

/// More clients than one turn of a thread takes, each of which acknowledges at once; until `done`,
/// which is given the block that each has got.
fn storm(config: Config, mut done: impl FnMut(SocketAddr, &[u16]) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // One thread: between several, the system divides the processors.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::from_socket(socket, config).unwrap();
    let addr = server.local_addr().unwrap();
    let mut clients: Vec<_> = (0..300).map(|_| Client::of(addr)).collect();
    let mut received = vec![0; clients.len()];
    let deadline = Instant::now() + PATIENCE;
    runtime.block_on(async {
        let task = tokio::spawn(server.run(Arc::new(tree()), std::future::pending()));
        for client in &clients {
            let rrq = b"\0\x01big\0octet\0";
            client.socket.send_to(rrq, addr).unwrap();
            client.socket.set_nonblocking(true).unwrap();
        }
        while !done(addr, &received) {
            assert!(Instant::now() < deadline, "{received:?}");
            for (client, received) in clients.iter_mut().zip(&mut received) {
                let mut buffer = [0; 1024];
                let Ok((_, from)) = client.socket.recv_from(&mut buffer) else {
                    continue;
                };
                client.peer = Some(from);
                *received = u16::from_be_bytes([buffer[2], buffer[3]]);
                client.acknowledge(*received);
            }
            tokio::task::yield_now().await;
        }
        task.abort();
    });
}

#[test]
fn no_client_starves_when_more_are_ready_than_fit_a_turn() {
    storm(Config::new(), |_, received| {
        let (least, most) = (received.iter().min(), received.iter().max());
        let (least, most) = (*least.unwrap(), *most.unwrap());
        // The turns do not divide evenly by the clients.
        assert!(most <= 2 * least + 10, "{received:?}");
        least >= 50
    });
}

#[test]
fn retransmissions_are_due_when_more_are_ready_than_fit_a_turn() {
    let config = Config::new().with_retransmit_initial(Duration::from_millis(10));
    let mut silent: Option<Client> = None;
    let mut packets = 0;
    storm(config, |addr, received| {
        let silent = silent.get_or_insert_with(|| {
            let client = Client::of(addr);
            client
                .socket
                .send_to(b"\0\x01small\0octet\0", addr)
                .unwrap();
            client.socket.set_nonblocking(true).unwrap();
            client
        });
        packets += usize::from(silent.socket.recv_from(&mut [0; 1024]).is_ok());
        assert!(received.iter().all(|&block| block < 1000), "{packets}");
        packets == 3
    });
}

#[test]
fn a_port_range_that_is_set_later_holds_for_sockets_that_were_in_use() {
    // One thread: its sockets are used again by whoever comes next.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::from_socket(socket, Config::new()).unwrap();
    let (addr, handle) = (server.local_addr().unwrap(), server.handle());
    let (sender, events) = mpsc::channel();
    let server = server.on_event(move |event| drop(sender.send(event.clone())));
    let thread = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(server.run(Arc::new(tree()), std::future::pending()))
    });
    let mut client = Client::of(addr);
    assert!(matches!(
        client.request(Opcode::RRQ, "small", &[]),
        Got::Data(1, _)
    ));
    // Below the system's own choice of ports.
    let range = 20_000..=20_200;
    handle.reconfigure(Config::new().with_port_range(Some(range.clone())));
    // The answer says that the server knows of it.
    Client::of(addr).fetch("missing", &[]).unwrap_err();
    client.acknowledge(1);
    assert!(matches!(client.receive(), Got::Data(2, _)));
    client.acknowledge(2);
    while !matches!(
        events.recv_timeout(PATIENCE).expect("the end comes"),
        Event::TransferFinished { .. }
    ) {}
    let mut other = Client::of(addr);
    assert!(other.fetch("small", &[]).unwrap() == content(1000));
    let port = other.peer.unwrap().port();
    assert!(range.contains(&port), "{port} is not in {range:?}");
    handle.shut_down();
    thread.join().expect("no panic").expect("no error");
}

#[test]
fn a_shutdown_that_was_asked_for_before_the_server_ran_ends_it() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Config::new()).unwrap();
    server.handle().shut_down();
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let run = server.run(Arc::new(tree()), std::future::pending());
        let _ = sender.send(runtime.block_on(run));
    });
    let result = ended.recv_timeout(PATIENCE).expect("it ends");
    result.expect("no error");
}

#[test]
fn the_limit_of_one_address_holds_over_all_threads() {
    let limits = Limits::new()
        .with_transfers_per_remote_max(5)
        .with_displaced_after(PATIENCE);
    let config = Config::new().with_limits(limits);
    let server = Running::start("127.0.0.1:0", config, tree());
    let mut clients: Vec<_> = (0..40).map(|_| server.client()).collect();
    let ask = |client: &mut Client| match client.request(Opcode::RRQ, "small", &[]) {
        Got::Data(1, _) => true,
        Got::Error(_, text) => {
            assert_eq!(text, "server busy: too many transfers with one client");
            false
        }
        other => panic!("{other:?}"),
    };
    let served: Vec<_> = clients.iter_mut().map(ask).collect();
    assert_eq!(served.iter().filter(|served| **served).count(), 5);
    // Places are free again once transfers are over, on whichever thread.
    for (client, served) in clients.iter_mut().zip(served) {
        if served {
            client.acknowledge(1);
            assert!(matches!(client.receive(), Got::Data(2, _)));
            client.acknowledge(2);
            assert_eq!(server.await_outcome(), Outcome::Complete);
        }
    }
    let served = clients.iter_mut().map(ask).filter(|served| *served);
    assert_eq!(served.count(), 5);
}
