//! The engine alone, with a driver that has one file in memory.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use pxe_core::{BatchLimit, Destination, Instant, Now, RecvMeta, SocketId, UnixTime};
use pxe_tftp::wire::{self, Opcode, Options, Packet, Request};
use pxe_tftp::{Config, Engine, FileInfo, Output, SendBuffer};

use crate::{TRANSFER_BYTES_MAX, TRANSFERS, allocator, alone};

const LISTENER: SocketId = SocketId(0);
const SERVER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A driver with one file, from which all transfers share their data.
struct Driver {
    now: Now,
    engine: Engine,
    file: Bytes,
    buffer: SendBuffer,
    next_socket: u32,
    /// The socket of each client's transfer, and the last block that was sent by it.
    clients: BTreeMap<SocketAddr, (SocketId, u16)>,
    sent: usize,
}

fn client(index: usize) -> SocketAddr {
    let [high, low] = (index as u16).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(198, 51, high, low), 49153))
}

impl Driver {
    fn receive(&mut self, from: SocketAddr, socket: SocketId, packet: &[u8]) {
        let meta = RecvMeta::new(socket, from).with_local_ip(SERVER_IP);
        self.engine.handle_datagram(self.now, &meta, packet);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Incoming(incoming) => {
                    let file = FileInfo::new(self.file.len() as u64).with_mtu(Some(1500));
                    assert!(self.engine.accept(self.now, incoming, file));
                }
                Output::OpenSocket { transfer, .. } => {
                    self.next_socket += 1;
                    let socket = SocketId(self.next_socket);
                    self.engine.handle_socket_opened(self.now, transfer, socket);
                }
                Output::Want {
                    transfer,
                    offset,
                    len,
                    ..
                } => {
                    let data = self.file.slice(offset as usize..offset as usize + len);
                    self.engine.handle_data(self.now, transfer, offset, data);
                }
                _ => {}
            }
        }
        let limit = BatchLimit::new(NonZeroUsize::new(64).expect("more than 0"), 65_000);
        while let Some(transmit) = self.engine.poll_transmit(self.now, limit, &mut self.buffer) {
            let Destination::Unicast(to) = transmit.to else {
                panic!("TFTP is unicast");
            };
            self.sent += 1;
            let begin = self.buffer.slices().next().expect("not empty");
            let block = match Packet::decode(begin) {
                Ok(Packet::Data { block, .. }) => {
                    let size = transmit
                        .segment_size
                        .map_or(transmit.len, NonZeroUsize::get);
                    block.wrapping_add((transmit.len.div_ceil(size) - 1) as u16)
                }
                _ => 0,
            };
            self.clients.insert(to, (transmit.socket, block));
        }
    }

    fn acknowledge(&mut self, from: SocketAddr) {
        let (socket, block) = self.clients[&from];
        let [high, low] = block.to_be_bytes();
        self.receive(from, socket, &[0, 4, high, low]);
    }
}

/// 4,096 transfers of one file at once: each costs less than 16 KiB besides the data that it shares
/// with the others; and a lock-step block costs no allocation.
#[test]
fn transfers_are_small_and_blocks_allocate_nothing() {
    let _alone = alone();
    let mut driver = Driver {
        now: Now::new(Instant::EPOCH, UnixTime::from_seconds(0)),
        engine: Engine::new(Config::new()),
        file: Bytes::from(vec![7; 8 << 20]),
        buffer: SendBuffer::new(),
        next_socket: 0,
        clients: (0..TRANSFERS)
            .map(|index| (client(index), (LISTENER, 0)))
            .collect(),
        sent: 0,
    };
    let asks: [(&[u8], &[u8]); 4] = [
        (b"octet", b""),
        (b"octet", b"blksize\x001432\0tsize\x000\0"),
        (b"octet", b"blksize\x001468\0windowsize\x0064\0"),
        // Text is converted for each client by itself.
        (b"netascii", b"blksize\x0065464\0windowsize\x0064\0"),
    ];
    let name = "a/rather/long/path/to/a/kernel/vmlinuz-6.1.0-28-amd64";
    let before = allocator::bytes();
    for index in 0..TRANSFERS {
        let (mode, options) = asks[index % asks.len()];
        let options = Options::decode(options);
        let mut packet = Vec::new();
        let request = Request::new(name.as_bytes(), mode, options);
        wire::encode_request(&mut packet, Opcode::RRQ, &request);
        driver.receive(client(index), LISTENER, &packet);
    }
    let begun = (allocator::bytes() - before) / TRANSFERS;
    // In the midst of the file: everything that a transfer ever needs is there.
    for _ in 0..6 {
        for index in 0..TRANSFERS {
            driver.acknowledge(client(index));
        }
        driver.now = driver.now + Duration::from_millis(10);
        driver.engine.handle_timeout(driver.now);
        driver.drain();
    }
    assert_eq!(driver.engine.transfers(), TRANSFERS);
    let running = (allocator::bytes() - before) / TRANSFERS;
    println!("bytes per transfer: {begun} when begun, {running} in the midst of the file");
    assert!(begun < TRANSFER_BYTES_MAX && running < TRANSFER_BYTES_MAX);
    let in_lock_step: Vec<_> = (0..TRANSFERS).step_by(asks.len()).collect();
    blocks_allocate_nothing(&mut driver, &in_lock_step);
    // Each kind by itself: the memory that is free when those of its kind have given up.
    for (kind, (mode, options)) in asks.iter().enumerate() {
        let before = allocator::bytes();
        for index in (kind..TRANSFERS).step_by(asks.len()) {
            let (socket, _) = driver.clients[&client(index)];
            driver.receive(client(index), socket, b"\0\x05\0\0\0");
        }
        let freed = (before - allocator::bytes()) / (TRANSFERS / asks.len());
        println!(
            "{freed} bytes: {} with {:?}",
            String::from_utf8_lossy(mode),
            String::from_utf8_lossy(options)
        );
        assert!(freed < TRANSFER_BYTES_MAX);
    }
    assert!(driver.engine.is_idle());
}

/// A block of a lock-step transfer costs no allocation.
fn blocks_allocate_nothing(driver: &mut Driver, clients: &[usize]) {
    let (calls, sent) = (allocator::calls(), driver.sent);
    for _ in 0..12 {
        for index in clients {
            driver.acknowledge(client(*index));
        }
    }
    let blocks = driver.sent - sent;
    assert_eq!(blocks, clients.len() * 12);
    let calls = allocator::calls() - calls;
    println!("{calls} allocations for {blocks} lock-step blocks");
    // Each chunk of data that is asked for is one entry of a queue, once for 128 blocks.
    assert!(calls * 100 < blocks, "{calls} allocations");
}
