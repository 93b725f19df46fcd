//! Who is served how often where the server has more to send than it can.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use pxe_core::{BatchLimit, Destination, Instant, Now, RecvMeta, SocketId, UnixTime};
use pxe_tftp::wire::{self, Opcode, Packet};
use pxe_tftp::{Config, Engine, FileInfo, Output, SendBuffer};

use crate::client::Ask;
use crate::world::{LISTENER, Random, SERVER_IP};

/// The server sends so many blocks in each of its turns, a tenth of a millisecond each: what one
/// link at a gigabit per second takes.
const BLOCKS_PER_TURN: usize = 8;
const TURN: Duration = Duration::from_micros(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    LockStep,
    Windowed,
    /// Answers each packet late.
    Slow,
    /// Answers no more after some blocks.
    Dead,
    /// Loses every twentieth packet.
    Lossy,
}

impl Kind {
    const fn round_trip(self) -> Duration {
        match self {
            Self::Slow => Duration::from_millis(40),
            _ => Duration::from_micros(300),
        }
    }

    fn ask(self) -> Ask {
        let ask = Ask::new("file").option("blksize", 1468);
        match self {
            Self::Windowed => ask.option("windowsize", 16),
            Self::Lossy => ask.option("windowsize", 4),
            _ => ask,
        }
    }
}

struct Client {
    kind: Kind,
    /// Blocks received in order.
    received: u64,
    /// Blocks of the window that have come.
    in_window: u64,
    window: u64,
    gap_reported: bool,
}

/// A file that never ends, a driver that cannot send all at once, and clients.
struct Site {
    now: Now,
    engine: Engine,
    data: Bytes,
    buffer: SendBuffer,
    next_socket: u32,
    clients: BTreeMap<SocketAddr, Client>,
    /// ACKs on their way.
    acks: BTreeMap<(Instant, u64), (SocketAddr, SocketId, Vec<u8>)>,
    sequence: u64,
    random: Random,
}

impl Site {
    fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        let clients = kinds.into_iter().enumerate().map(|(index, kind)| {
            let [high, low] = (index as u16).to_be_bytes();
            let address = SocketAddr::from((Ipv4Addr::new(198, 51, high, low), 49153));
            let client = Client {
                kind,
                received: 0,
                in_window: 0,
                window: match kind {
                    Kind::Windowed => 16,
                    Kind::Lossy => 4,
                    _ => 1,
                },
                gap_reported: false,
            };
            (address, client)
        });
        let mut site = Self {
            now: Now::new(Instant::EPOCH, UnixTime::from_seconds(0)),
            engine: Engine::new(Config::new()),
            data: Bytes::from(vec![1; 1 << 20]),
            buffer: SendBuffer::new(),
            next_socket: 0,
            clients: clients.collect(),
            acks: BTreeMap::new(),
            sequence: 0,
            random: Random(1),
        };
        let asks = site
            .clients
            .iter()
            .map(|(address, client)| (*address, client.kind.ask()));
        for (address, ask) in asks.collect::<Vec<_>>() {
            site.send(Duration::ZERO, address, LISTENER, ask.packet(Opcode::RRQ));
        }
        site
    }

    fn send(&mut self, after: Duration, from: SocketAddr, to: SocketId, packet: Vec<u8>) {
        self.sequence += 1;
        let key = (self.now.mono + after, self.sequence);
        self.acks.insert(key, (from, to, packet));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.now.mono < end {
            self.turn();
            self.now = self.now + TURN;
        }
    }

    fn turn(&mut self) {
        while let Some(entry) = self.acks.first_entry() {
            if entry.key().0 > self.now.mono {
                break;
            }
            let (from, socket, packet) = entry.remove();
            let meta = RecvMeta::new(socket, from).with_local_ip(SERVER_IP);
            self.engine.handle_datagram(self.now, &meta, &packet);
        }
        self.engine.handle_timeout(self.now);
        let mut blocks = 0;
        while blocks < BLOCKS_PER_TURN {
            self.outputs();
            let most = NonZeroUsize::new(BLOCKS_PER_TURN - blocks).expect("more than 0");
            let limit = BatchLimit::new(most, 65_000);
            let Some(transmit) = self.engine.poll_transmit(self.now, limit, &mut self.buffer)
            else {
                break;
            };
            let Destination::Unicast(to) = transmit.to else {
                panic!("TFTP is unicast");
            };
            let payload = self.buffer.to_vec();
            for segment in transmit.segments(&payload) {
                blocks += 1;
                self.deliver(to, transmit.socket, segment);
            }
        }
    }

    fn outputs(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Incoming(incoming) => {
                    let file = FileInfo::new(u64::MAX / 2).with_mtu(Some(1500));
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
                    let data = self.data.slice(..len);
                    self.engine.handle_data(self.now, transfer, offset, data);
                }
                _ => {}
            }
        }
    }

    fn deliver(&mut self, to: SocketAddr, socket: SocketId, packet: &[u8]) {
        let lost = self.random.next().is_multiple_of(20);
        let client = self.clients.get_mut(&to).expect("one of them");
        let mut answers = true;
        match Packet::decode(packet).expect("valid") {
            Packet::Data { block, .. } if block == (client.received + 1) as u16 => {
                match client.kind {
                    Kind::Dead if client.received >= 5 => return,
                    Kind::Lossy if lost => return,
                    _ => {}
                }
                client.received += 1;
                client.in_window += 1;
                client.gap_reported = false;
                answers = client.in_window == client.window;
            }
            Packet::Data { block, .. } => {
                // A gap is reported once; the last block again, since its ACK may be lost.
                let repeated = block == client.received as u16;
                answers = repeated || !std::mem::replace(&mut client.gap_reported, true);
            }
            Packet::OptionAck(_) => {}
            other => panic!("{other:?}"),
        }
        if answers {
            client.in_window = 0;
            let mut ack = Vec::new();
            wire::encode_ack(&mut ack, client.received as u16);
            let after = client.kind.round_trip();
            self.send(after, to, socket, ack);
        }
    }

    /// What each client of this kind received since, in ascending order.
    fn received(&self, kind: Kind, since: &BTreeMap<SocketAddr, u64>) -> Vec<u64> {
        let clients = self
            .clients
            .iter()
            .filter(|(_, client)| client.kind == kind);
        let mut received: Vec<u64> = clients
            .map(|(address, client)| client.received - since[address])
            .collect();
        received.sort_unstable();
        received
    }
}

/// What each client of each kind receives in two seconds, after the first tenth.
fn served(kinds: impl IntoIterator<Item = Kind>) -> BTreeMap<Kind, Vec<u64>> {
    let mut site = Site::new(kinds);
    site.run(Duration::from_millis(100));
    let before = site
        .clients
        .iter()
        .map(|(address, client)| (*address, client.received));
    let before = before.collect();
    site.run(Duration::from_secs(2));
    let mut kinds: Vec<Kind> = site.clients.values().map(|client| client.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let served = kinds
        .into_iter()
        .map(|kind| (kind, site.received(kind, &before)));
    served.collect()
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[test]
fn no_client_starves_among_slow_and_dead_ones() {
    let kinds = (0..256).map(|index| match index % 16 {
        0..=7 => Kind::LockStep,
        8..=11 => Kind::Windowed,
        12 => Kind::Slow,
        13 | 14 => Kind::Dead,
        _ => Kind::Lossy,
    });
    let served = served(kinds);
    for (kind, received) in &served {
        println!(
            "{kind:?}: {} clients, blocks in 2 s: least {}, median {}, p99 {}",
            received.len(),
            received[0],
            percentile(received, 50),
            percentile(received, 99)
        );
    }
    // Whoever asks for the same is served the same.
    for kind in [Kind::LockStep, Kind::Windowed] {
        let received = &served[&kind];
        let (least, p50, p99) = (
            received[0],
            percentile(received, 50),
            percentile(received, 99),
        );
        assert!(p99 * 100 <= p50 * 110, "{kind:?}: p99 {p99}, median {p50}");
        assert!(
            least * 110 >= p50 * 100,
            "{kind:?}: least {least}, median {p50}"
        );
    }
    // A slow client is no slower than it is: 50 round trips in two seconds, and the server's turns.
    assert!(served[&Kind::Slow][0] >= 40, "{:?}", served[&Kind::Slow]);
    // A lossy one goes on; a dead one has its five blocks.
    assert!(served[&Kind::Lossy][0] > 20, "{:?}", served[&Kind::Lossy]);
    assert!(served[&Kind::Dead].iter().all(|blocks| *blocks <= 5));
}

#[test]
fn slow_and_dead_clients_cost_the_others_nothing() {
    let good = |index: usize| match index % 2 {
        0 => Kind::LockStep,
        _ => Kind::Windowed,
    };
    let alone = served((0..64).map(good));
    let bad = (0..128).map(|index| match index % 2 {
        0 => Kind::Slow,
        _ => Kind::Dead,
    });
    let among = served((0..64).map(good).chain(bad));
    for kind in [Kind::LockStep, Kind::Windowed] {
        let (alone, among) = (percentile(&alone[&kind], 50), percentile(&among[&kind], 50));
        println!("{kind:?}: {alone} blocks alone, {among} among slow and dead ones");
        // They are given what they ask for, which is little: 64 blocks in 40 ms.
        assert!(
            among * 100 >= alone * 75,
            "{kind:?}: {alone} alone, {among} among them"
        );
    }
}
