//! The server as it is, with a file on disk, over loopback.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pxe_tftp::wire::{self, Opcode, Options, Packet, Request};
use pxe_tftp::{Config, Handle, Limits, Server};
use pxe_tree::{DirTree, TreeSource};
use tempfile::TempDir;

use crate::{TRANSFER_BYTES_MAX, TRANSFERS, allocator, alone};

/// Longer than any answer takes; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of one address, fewer than the server lets one have.
const PER_ADDRESS: usize = 256;
const FILE_BYTES: usize = 8 << 20;
/// What the program itself has open, and what the server has besides its transfers' sockets.
const OTHER_FILES: u64 = 200;

/// A server that runs in threads of its own.
struct Running {
    addr: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<io::Result<()>>>,
    _directory: TempDir,
}

impl Running {
    /// Nothing is sent again, and nobody is given up: the test alone decides what happens.
    fn start(limits: Limits) -> Self {
        let hour = Duration::from_secs(3600);
        let limits = limits
            .with_greeting_timeout(hour)
            .with_silence_timeout(hour);
        let config = Config::new()
            .with_retransmit_initial(hour)
            .with_retransmit_min(hour)
            .with_retransmit_max(hour)
            .with_limits(limits);
        let directory = TempDir::new().expect("a directory");
        let content: Vec<u8> = (0..FILE_BYTES).map(|at| (at >> 9) as u8).collect();
        fs::write(directory.path().join("file"), content).expect("room for a file");
        let tree = DirTree::new(directory.path()).expect("a tree");
        let source = Arc::new(TreeSource::new(Arc::new(tree)));
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(addr, config).expect("a port of loopback");
        let server = server.with_grace(Duration::ZERO);
        let (addr, handle) = (server.local_addr().expect("an address"), server.handle());
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1).enable_all().build()?;
            runtime.block_on(server.run(source, std::future::pending()))
        });
        Self {
            addr,
            handle,
            thread: Some(thread),
            _directory: directory,
        }
    }

    /// A client that asks for the file, and has received its first window.
    fn client(&self, socket: UdpSocket, options: &[u8], windowsize: u16) -> Client {
        let mut packet = Vec::new();
        let request = Request::new(b"file", b"octet", Options::decode(options));
        wire::encode_request(&mut packet, Opcode::RRQ, &request);
        socket.send_to(&packet, self.addr).expect("sent");
        let mut client = Client {
            socket,
            windowsize,
            received: 0,
        };
        let (opcode, from) = client.receive();
        client.socket.connect(from).expect("connected");
        if opcode == Opcode::OACK {
            client.acknowledge();
            client.receive_window();
        } else {
            client.received = 1;
        }
        client
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shut_down();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().expect("no panic").expect("no error");
        }
    }
}

struct Client {
    socket: UdpSocket,
    windowsize: u16,
    /// The last block that came.
    received: u16,
}

impl Client {
    fn receive(&mut self) -> (Opcode, SocketAddr) {
        let mut packet = [0; 2048];
        let (len, from) = self.socket.recv_from(&mut packet).expect("an answer");
        let packet = Packet::decode(packet.get(..len).expect("no more than there is room for"));
        let packet = packet.expect("a packet");
        if let Packet::Data { block, .. } = packet {
            assert_eq!(block, self.received + 1, "loopback loses nothing");
        }
        (packet.opcode(), from)
    }

    fn receive_window(&mut self) {
        for _ in 0..self.windowsize {
            assert_eq!(self.receive().0, Opcode::DATA);
            self.received += 1;
        }
    }

    fn acknowledge(&self) {
        let [high, low] = self.received.to_be_bytes();
        self.socket.send(&[0, 4, high, low]).expect("sent");
    }

    /// Acknowledges what it has, and receives the next window.
    fn go_on(&mut self) {
        self.acknowledge();
        self.receive_window();
    }
}

/// Sockets of so many clients.
fn sockets(count: usize) -> Vec<UdpSocket> {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let files = 2 * count as u64 + OTHER_FILES;
    assert!(
        files <= most,
        "the test needs {files} open files (ulimit -Hn), and may have {most}"
    );
    setrlimit(Resource::RLIMIT_NOFILE, files.max(now), most).expect("the limit is raised");
    let socket = |number: usize| {
        let host = (number / PER_ADDRESS) as u8;
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, 1 + host), 0)).expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        socket
    };
    (0..count).map(socket).collect()
}

const LOCK_STEP: (&[u8], u16) = (b"blksize\x001432\0tsize\x000\0", 1);

/// 4,096 transfers of one file at once: engine, threads, and what these keep for each transfer. The
/// chunks of the file are in it too, since all share them.
#[test]
fn transfers_of_the_server_are_small() {
    let _alone = alone();
    let plain: (&[u8], u16) = (b"", 1);
    let edk2: (&[u8], u16) = (b"blksize\x001468\0windowsize\x004\0", 4);
    // Eleven blocks are what each has a right to.
    let eleven: (&[u8], u16) = (b"blksize\x001468\0windowsize\x0011\0", 11);
    for (options, windowsize) in [plain, LOCK_STEP, edk2, eleven] {
        let server = Running::start(Limits::new());
        let mut unused = sockets(TRANSFERS + 1);
        // What a first client leads to is none of the transfers' cost.
        let first = unused.pop().expect("there is one");
        let first = server.client(first, options, windowsize);
        first.socket.send(b"\0\x05\0\0\0").expect("sent");
        let mut clients = Vec::with_capacity(TRANSFERS);
        let before = allocator::bytes();
        for socket in unused.drain(..) {
            clients.push(server.client(socket, options, windowsize));
        }
        let begun = (allocator::bytes() - before) / TRANSFERS;
        for client in &mut clients {
            client.go_on();
        }
        let running = (allocator::bytes() - before) / TRANSFERS;
        println!(
            "{}: {begun} bytes per transfer when begun, {running} a window later",
            String::from_utf8_lossy(options).escape_debug()
        );
        assert!(begun < TRANSFER_BYTES_MAX && running < TRANSFER_BYTES_MAX);
    }
}

/// Where there are many transfers, one that says no more holds its window and little about it, and
/// not all of a large chunk that others have read with it.
#[test]
fn slow_transfers_at_different_places_hold_little_of_a_file() {
    const SLOW: usize = 96;
    const APART_BYTES: usize = 48 << 10;
    /// Chunks of 8 KiB at both ends of a window.
    const ROUNDING_BYTES: usize = 16 << 10;
    let _alone = alone();
    let limits = Limits::new()
        .with_ahead_transfers_max(0)
        .with_cache_bytes_max(0);
    let server = Running::start(limits);
    let mut unused = sockets(SLOW + 1);
    let (options, windowsize) = LOCK_STEP;
    // Nobody is alone with the file.
    let first = unused.pop().expect("there is one");
    let _first = server.client(first, options, windowsize);
    let mut clients = Vec::with_capacity(SLOW);
    let before = allocator::bytes();
    for (number, socket) in unused.drain(..).enumerate() {
        let mut client = server.client(socket, options, windowsize);
        while usize::from(client.received) * 1432 < number * APART_BYTES {
            client.go_on();
        }
        clients.push(client);
    }
    let each = (allocator::bytes() - before) / SLOW;
    println!("{each} bytes for each slow transfer");
    assert!(each < ROUNDING_BYTES + TRANSFER_BYTES_MAX);
}
