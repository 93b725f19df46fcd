//! An engine, its driver, clients and the links between them, in virtual time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use pxe_core::{BatchLimit, Destination, Instant, Now, RecvMeta, SocketId, UnixTime};
use pxe_tftp::wire::Packet;
use pxe_tftp::{
    Config, Engine, ErrorCode, Event, FileInfo, Outcome, Output, Refusal, Report, SendBuffer,
};

use crate::client::{Ask, Client, Ending};

pub(crate) const SERVER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const LISTENER: SocketId = SocketId(0);
const MTU: u32 = 1500;
/// What one packet takes on the wire, at a gigabit per second.
const PACKET_TIME: Duration = Duration::from_micros(12);

/// SplitMix64: small, and equal on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }

    fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }
}

/// What a link does to packets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    /// Up to this much more, by chance: packets overtake each other.
    pub(crate) jitter: Duration,
    pub(crate) loss_per_mille: u64,
    pub(crate) duplicate_per_mille: u64,
}

impl Link {
    pub(crate) const CLEAN: Self = Self {
        delay: Duration::from_micros(100),
        jitter: Duration::ZERO,
        loss_per_mille: 0,
        duplicate_per_mille: 0,
    };
}

/// In which order the driver drains the engine's queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    OutputsFirst,
    TransmitsFirst,
    OneOfEach,
    /// One datagram at a time, outputs last.
    Singly,
}

#[derive(Debug)]
enum Delivery {
    ToServer {
        port: u16,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    ToClient {
        client: usize,
        port: u16,
        bytes: Vec<u8>,
    },
    Data {
        transfer: pxe_tftp::TransferId,
        offset: u64,
        len: usize,
    },
}

pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) engine: Engine,
    pub(crate) clients: Vec<Client>,
    pub(crate) events: Vec<Event>,
    pub(crate) files: BTreeMap<Vec<u8>, Bytes>,
    /// Lengths that the driver promises, where they differ from the content's.
    pub(crate) promised: BTreeMap<Vec<u8>, u64>,
    pub(crate) link: Link,
    pub(crate) drain: Drain,
    pub(crate) random: Random,
    /// How long reading takes; zero: no time at all.
    pub(crate) disk: Duration,
    pub(crate) mtu: Option<u32>,
    /// Packets that the server sent, with the time.
    pub(crate) sent: Vec<(Instant, usize, Vec<u8>)>,
    pub(crate) keep_sent: bool,
    /// The most segments that one send had.
    pub(crate) largest_batch: usize,
    pub(crate) wants: u64,
    /// Sockets open now.
    pub(crate) sockets: BTreeMap<u16, SocketId>,
    open: BTreeMap<pxe_tftp::TransferId, Vec<u8>>,
    /// When the wire to the clients is free again: a burst takes its time.
    wire_free: Instant,
    queue: BTreeMap<(Instant, u64), Delivery>,
    sequence: u64,
    next_socket: u32,
    buffer: SendBuffer,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            now: Now::new(Instant::EPOCH, UnixTime::from_seconds(1_795_000_000)),
            engine: Engine::new(config),
            clients: Vec::new(),
            events: Vec::new(),
            files: BTreeMap::new(),
            promised: BTreeMap::new(),
            link: Link::CLEAN,
            drain: Drain::OutputsFirst,
            random: Random(1),
            disk: Duration::ZERO,
            mtu: Some(MTU),
            sent: Vec::new(),
            keep_sent: true,
            largest_batch: 0,
            wants: 0,
            sockets: BTreeMap::from([(69, LISTENER)]),
            open: BTreeMap::new(),
            wire_free: Instant::EPOCH,
            queue: BTreeMap::new(),
            sequence: 0,
            next_socket: 1,
            buffer: SendBuffer::new(),
        }
    }

    pub(crate) fn file(&mut self, name: &str, content: impl Into<Bytes>) {
        self.files.insert(name.into(), content.into());
    }

    pub(crate) fn address(client: usize) -> SocketAddr {
        let [high, low] = (client as u16).to_be_bytes();
        SocketAddr::from(([198, 51, high, low], 49153))
    }

    /// Starts a client; returns its number.
    pub(crate) fn start(&mut self, ask: Ask) -> usize {
        let (client, (port, bytes)) = Client::start(self.now, ask);
        self.clients.push(client);
        let index = self.clients.len() - 1;
        self.send_to_server(index, port, bytes);
        index
    }

    #[allow(clippy::needless_pass_by_value)] // a client hands its packet over
    pub(crate) fn send_to_server(&mut self, client: usize, port: u16, bytes: Vec<u8>) {
        let from = Self::address(client);
        self.transport(|| Delivery::ToServer {
            port,
            from,
            bytes: bytes.clone(),
        });
    }

    /// Gives the engine a datagram at once.
    pub(crate) fn inject(&mut self, from: SocketAddr, socket: SocketId, bytes: &[u8]) {
        let meta = RecvMeta::new(socket, from).with_local_ip(SERVER_IP);
        self.engine.handle_datagram(self.now, &meta, bytes);
        self.drain_engine();
    }

    fn transport(&mut self, delivery: impl Fn() -> Delivery) {
        let link = self.link;
        self.wire_free = self.wire_free.max(self.now.mono) + PACKET_TIME;
        if self.random.chance(link.loss_per_mille) {
            return;
        }
        let copies = if self.random.chance(link.duplicate_per_mille) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let jitter = self.random.below(link.jitter.as_nanos() as u64);
            let at = self.wire_free + link.delay + Duration::from_nanos(jitter);
            self.schedule(at, delivery());
        }
    }

    fn schedule(&mut self, at: Instant, delivery: Delivery) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), delivery);
    }

    /// Runs until nothing is left to do but timers that lie more than `limit` ahead of now.
    pub(crate) fn run(&mut self, limit: Duration) {
        let end = self.now.mono + limit;
        self.drain_engine();
        loop {
            let next = self
                .queue
                .keys()
                .map(|(at, _)| *at)
                .next()
                .into_iter()
                .chain(self.engine.poll_timeout())
                .chain(self.clients.iter().filter_map(|client| client.deadline))
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            if next > self.now.mono {
                let step = next.saturating_duration_since(self.now.mono);
                self.now = self.now + step;
            }
            self.step();
        }
        if end > self.now.mono {
            self.now = self.now + end.saturating_duration_since(self.now.mono);
        }
    }

    /// Runs until the clients are done and the server has forgotten them.
    pub(crate) fn run_to_end(&mut self) {
        for _ in 0..3600 {
            let done = self.clients.iter().all(|client| client.ending.is_some());
            if done && self.engine.is_idle() && self.queue.is_empty() {
                return;
            }
            self.run(Duration::from_secs(1));
        }
        panic!("not over after an hour: {:?}", self.events.last());
    }

    fn step(&mut self) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > self.now.mono {
                break;
            }
            let delivery = entry.remove();
            self.deliver(delivery);
        }
        for index in 0..self.clients.len() {
            if let Some((port, bytes)) = self.clients[index].handle_timeout(self.now) {
                self.send_to_server(index, port, bytes);
            }
        }
        self.engine.handle_timeout(self.now);
        if let Some(at) = self.engine.poll_timeout() {
            assert!(at > self.now.mono, "nothing is left undone");
        }
        self.drain_engine();
    }

    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::ToServer { port, from, bytes } => {
                // A closed port: the system answers by ICMP, which is lost here.
                if let Some(socket) = self.sockets.get(&port).copied() {
                    self.inject(from, socket, &bytes);
                }
            }
            Delivery::ToClient {
                client,
                port,
                bytes,
            } => {
                let now = self.now;
                let reply = self.clients[client].handle_packet(now, port, &bytes);
                if let Some((port, bytes)) = reply {
                    self.send_to_server(client, port, bytes);
                }
            }
            Delivery::Data {
                transfer,
                offset,
                len,
            } => {
                self.give_data(transfer, offset, len);
                self.drain_engine();
            }
        }
    }

    fn give_data(&mut self, transfer: pxe_tftp::TransferId, offset: u64, len: usize) {
        let Some(content) = self
            .open
            .get(&transfer)
            .and_then(|name| self.files.get(name))
        else {
            return;
        };
        let from = (offset as usize).min(content.len());
        let upto = (from + len).min(content.len());
        let bytes = content.slice(from..upto);
        self.engine.handle_data(self.now, transfer, offset, bytes);
    }

    pub(crate) fn drain_engine(&mut self) {
        loop {
            let progress = match self.drain {
                Drain::OutputsFirst => self.outputs(usize::MAX) | self.transmits(usize::MAX),
                Drain::TransmitsFirst => self.transmits(usize::MAX) | self.outputs(usize::MAX),
                Drain::OneOfEach => self.outputs(1) | self.transmits(1),
                Drain::Singly => self.transmits(1) || self.outputs(1),
            };
            if !progress {
                return;
            }
        }
    }

    pub(crate) fn outputs(&mut self, most: usize) -> bool {
        for done in 0..most {
            let Some(output) = self.engine.poll_output() else {
                return done > 0;
            };
            self.handle_output(output);
        }
        true
    }

    fn handle_output(&mut self, output: Output) {
        let now = self.now;
        match output {
            Output::Incoming(incoming) => {
                let name = incoming.filename().as_bytes().to_vec();
                match self.files.get(&name) {
                    Some(content) => {
                        let len = self.promised.get(&name).copied();
                        let len = len.unwrap_or(content.len() as u64);
                        self.open.insert(incoming.transfer(), name);
                        let file = FileInfo::new(len).with_mtu(self.mtu);
                        assert!(self.engine.accept(now, incoming, file));
                    }
                    None => {
                        let refusal = Refusal::file_not_found(incoming.filename());
                        self.engine.refuse(now, incoming, refusal);
                    }
                }
            }
            Output::OpenSocket {
                transfer, local_ip, ..
            } => {
                assert_eq!(local_ip, Some(SERVER_IP));
                let socket = SocketId(self.next_socket);
                self.next_socket += 1;
                self.sockets.insert(port_of(socket), socket);
                self.engine.handle_socket_opened(now, transfer, socket);
            }
            Output::CloseSocket { socket, .. } => {
                let closed = self.sockets.remove(&port_of(socket));
                assert_eq!(
                    closed,
                    Some(socket),
                    "closed once, and only what was opened"
                );
                assert_ne!(socket, LISTENER);
            }
            Output::Want {
                transfer,
                offset,
                len,
                ..
            } => {
                self.wants += 1;
                assert!(len > 0);
                if self.disk.is_zero() {
                    self.give_data(transfer, offset, len);
                } else {
                    let at = now.mono + self.disk;
                    self.schedule(
                        at,
                        Delivery::Data {
                            transfer,
                            offset,
                            len,
                        },
                    );
                }
            }
            Output::Release { transfer, .. } => {
                self.open.remove(&transfer);
            }
            Output::Event(event) => self.events.push(event),
            other => panic!("unknown output {other:?}"),
        }
    }

    fn transmits(&mut self, most: usize) -> bool {
        let limit = match self.drain {
            Drain::Singly => BatchLimit::ONE,
            _ => BatchLimit::new(NonZeroUsize::new(64).unwrap(), 65_000),
        };
        for done in 0..most {
            let Some(transmit) = self.engine.poll_transmit(self.now, limit, &mut self.buffer)
            else {
                assert!(self.buffer.is_empty());
                return done > 0;
            };
            let payload = self.buffer.to_vec();
            assert_eq!(payload.len(), transmit.len);
            assert!(payload.len() <= 65_507);
            assert_eq!(
                transmit.source,
                Some(SERVER_IP),
                "from the address that was asked"
            );
            let Destination::Unicast(to) = transmit.to else {
                panic!("TFTP is unicast");
            };
            let segments: Vec<_> = transmit.segments(&payload).collect();
            if segments.len() > 1 {
                let mtu = self.mtu.expect("no segments without a known MTU") as usize;
                assert!(segments[0].len() + 28 <= mtu, "segments are not fragmented");
            }
            assert!(segments.len() <= limit.segments_max.get());
            self.largest_batch = self.largest_batch.max(segments.len());
            let client = (0..self.clients.len()).find(|client| Self::address(*client) == to);
            for segment in segments {
                Packet::decode(segment).expect("every packet is valid");
                if self.keep_sent {
                    let client = client.unwrap_or(usize::MAX);
                    self.sent.push((self.now.mono, client, segment.to_vec()));
                }
                let Some(client) = client else { continue };
                let port = port_of(transmit.socket);
                let bytes = segment.to_vec();
                self.transport(|| Delivery::ToClient {
                    client,
                    port,
                    bytes: bytes.clone(),
                });
            }
        }
        true
    }

    pub(crate) fn ending(&self, client: usize) -> &Ending {
        self.clients[client].ending.as_ref().expect("over")
    }

    /// What became of finished transfers, in order.
    pub(crate) fn reports(&self) -> Vec<&Report> {
        let reports = self.events.iter().filter_map(|event| match event {
            Event::TransferFinished { report, .. } => Some(report),
            _ => None,
        });
        reports.collect()
    }

    pub(crate) fn outcomes(&self) -> Vec<&Outcome> {
        self.reports()
            .iter()
            .map(|report| &report.outcome)
            .collect()
    }

    /// The codes of ERROR packets that were sent.
    pub(crate) fn errors_sent(&self) -> Vec<ErrorCode> {
        let errors = self
            .sent
            .iter()
            .filter_map(|(_, _, bytes)| match Packet::decode(bytes) {
                Ok(Packet::Error { code, .. }) => Some(code),
                _ => None,
            });
        errors.collect()
    }
}

pub(crate) fn port_of(socket: SocketId) -> u16 {
    match socket {
        LISTENER => 69,
        SocketId(id) => 10_000 + id as u16,
    }
}

/// Content in which every place can be told from every other.
pub(crate) fn content(len: usize) -> Bytes {
    let mut random = Random(len as u64);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}
