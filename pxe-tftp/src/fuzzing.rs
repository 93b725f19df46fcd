//! Bodies of the fuzz targets, shared with the property tests. No part of the public interface.

mod op;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use pxe_core::{BatchLimit, Destination, Instant, Now, RecvMeta, SendFailure, SocketId, UnixTime};

use crate::config::{Config, Limits, PortMode};
use crate::engine::Engine;
use crate::error::Refusal;
use crate::event::TransferId;
use crate::negotiate::Requested;
use crate::output::{FileInfo, Incoming, Output};
use crate::packets::Packets;
use crate::send_buffer::SendBuffer;
use crate::wire::{ErrorCode, Packet};
use op::{Input, Op};

/// Decodes a datagram: what is read lies within it, and survives being written and read again.
///
/// # Panics
///
/// If it does not.
pub fn fuzz_wire(data: &[u8]) {
    let Ok(packet) = Packet::decode(data) else {
        return;
    };
    let within = |part: &[u8]| {
        let (outer, inner) = (data.as_ptr_range(), part.as_ptr_range());
        assert!(part.is_empty() || (outer.start <= inner.start && inner.end <= outer.end));
        assert!(part.len() <= data.len());
    };
    match packet {
        Packet::ReadRequest(request) | Packet::WriteRequest(request) => {
            assert!(!request.filename.is_empty());
            for part in [request.filename, request.mode, request.options.as_bytes()] {
                within(part);
            }
            for string in [request.filename, request.mode] {
                assert!(!string.contains(&0));
            }
            let requested = Requested::from_wire(&request.options);
            assert!(
                requested
                    .blksize
                    .is_none_or(|blksize| (8..=65464).contains(&blksize))
            );
            assert!(requested.timeout_seconds != Some(0) && requested.windowsize != Some(0));
        }
        Packet::Data { payload, .. } => within(payload),
        Packet::Error { message, .. } => {
            within(message);
        }
        Packet::OptionAck(options) => within(options.as_bytes()),
        Packet::Ack { .. } => {}
    }
    let mut encoded = Vec::new();
    packet.encode(&mut encoded);
    assert!(
        encoded.len() <= data.len() + 1,
        "only a missing NUL is added"
    );
    let again = Packet::decode(&encoded).expect("what was written can be read");
    assert_eq!(again, packet);
    let mut twice = Vec::new();
    again.encode(&mut twice);
    assert_eq!(twice, encoded);
}

/// What one peer got and gave.
#[derive(Debug, Default)]
struct Account {
    received: u64,
    /// Sent before it acknowledged anything.
    unverified: u64,
    requests: u64,
    verified: bool,
    /// The socket and the block of the last packet to it.
    last: Option<(SocketId, u16)>,
    last_request: Vec<u8>,
}

const LISTENERS: u32 = 1;
const TRANSFERS_MAX: usize = 6;
const OUTPUTS_MAX: usize = 64;
const FIRST_SENDS_MAX: u32 = 3;
const WINDOW_BYTES_IN_ALL_MAX: usize = 96 << 10;

struct Harness {
    engine: Engine,
    now: Now,
    incoming: Vec<Incoming>,
    opening: Vec<TransferId>,
    wants: BTreeMap<TransferId, (u64, usize)>,
    sockets: BTreeSet<SocketId>,
    next_socket: u32,
    accounts: BTreeMap<SocketAddr, Account>,
    buf: SendBuffer,
}

fn config(ports: PortMode) -> Config {
    Config::new()
        .with_ports(ports)
        .with_chunk_bytes(4096)
        .with_read_ahead_bytes(1024)
        .with_limits(
            Limits::new()
                .with_transfers_max(TRANSFERS_MAX)
                .with_transfers_per_remote_max(2)
                .with_window_bytes_in_all_max(WINDOW_BYTES_IN_ALL_MAX)
                .with_incoming_max(3)
                .with_outputs_max(OUTPUTS_MAX)
                .with_replies_max(8)
                .with_remembered_max(4)
                .with_first_sends_max(FIRST_SENDS_MAX),
        )
}

/// The peers: three hosts, with two ports each.
fn peer_of(number: u8) -> SocketAddr {
    let host = Ipv4Addr::new(192, 0, 2, 10 + number % 3);
    SocketAddr::from((host, 2000 + u16::from(number / 3 % 2)))
}

/// Gives an engine whatever may happen, in any order.
///
/// # Panics
///
/// If a bound does not hold, a packet is not valid, or a peer that has proved nothing gets more
/// than it should.
pub fn fuzz_engine(data: &[u8]) {
    let mut input = Input(data);
    let ports = match input.byte() % 2 {
        0 => PortMode::PerTransfer,
        _ => PortMode::Single,
    };
    let mut harness = Harness {
        engine: Engine::new(config(ports)),
        now: Now::new(Instant::EPOCH, UnixTime::from_seconds(0)),
        incoming: Vec::new(),
        opening: Vec::new(),
        wants: BTreeMap::new(),
        sockets: (0..LISTENERS).map(SocketId).collect(),
        next_socket: LISTENERS,
        accounts: BTreeMap::new(),
        buf: SendBuffer::new(),
    };
    while !input.0.is_empty() {
        let op = Op::decode(&mut input);
        harness.apply(&op, ports);
        harness.check();
    }
    harness.finish();
}

impl Harness {
    fn apply(&mut self, op: &Op<'_>, ports: PortMode) {
        let now = self.now;
        match *op {
            Op::Datagram {
                peer,
                socket,
                payload,
            } => self.datagram(peer, socket, payload),
            Op::Request {
                peer,
                name,
                options,
                value,
            } => {
                // Another engine has some places, maybe with one to displace.
                let elsewhere = usize::from(value % 3);
                self.engine.set_transfers_elsewhere(elsewhere);
                let unanswered = (elsewhere == 2).then_some(Instant::EPOCH);
                self.engine.set_unanswered_elsewhere(unanswered);
                let account = self.accounts.entry(peer_of(peer)).or_default();
                if options & 128 != 0 && !account.last_request.is_empty() {
                    let again = account.last_request.clone();
                    return self.datagram(peer, 0, &again);
                }
                let mut rrq = vec![0, 1, b'a' + name % 3, 0];
                rrq.extend_from_slice(if options & 16 == 0 {
                    b"octet\0"
                } else {
                    b"netascii\0"
                });
                for (bit, option) in [
                    (1, "blksize"),
                    (2, "windowsize"),
                    (4, "tsize"),
                    (8, "timeout"),
                ] {
                    if options & bit != 0 {
                        let value = if bit == 8 { value % 256 } else { value };
                        rrq.extend_from_slice(format!("{option}\0{value}\0").as_bytes());
                    }
                }
                account.last_request.clone_from(&rrq);
                self.datagram(peer, 0, &rrq);
            }
            Op::Ack { peer, behind } => {
                let (socket, block) = self.last_sent(peer);
                let [high, low] = block.wrapping_sub(behind).to_be_bytes();
                self.datagram_on(peer, socket, &[0, 4, high, low]);
            }
            Op::Error { peer } => {
                let (socket, _) = self.last_sent(peer);
                self.datagram_on(peer, socket, b"\0\x05\0\x08User aborted the transfer\0");
            }
            Op::Drive { len } => self.drive(len),
            Op::Time { micros } => {
                self.now = now + Duration::from_micros(micros);
                self.engine.handle_timeout(self.now);
                let next = self.engine.poll_timeout();
                assert!(
                    next.is_none_or(|at| at > self.now.mono),
                    "nothing is left undone"
                );
                // Repeated calls are harmless.
                let transfers = self.engine.transfers();
                self.engine.handle_timeout(self.now);
                assert_eq!(self.engine.poll_timeout(), next);
                assert_eq!(self.engine.transfers(), transfers);
            }
            Op::Outputs { most } => self.outputs(usize::from(most)),
            Op::Transmits { most, segments } => self.transmits(most, segments),
            Op::Accept { len, mtu } => {
                if let Some(incoming) = self.incoming.pop() {
                    let borrowed = usize::from(mtu % 8) << 13;
                    self.engine.set_borrowed_window_bytes_elsewhere(borrowed);
                    let mtu = (mtu > 0).then_some(u32::from(mtu));
                    let file = FileInfo::new(len.into()).with_mtu(mtu);
                    self.engine.accept(now, incoming, file);
                }
            }
            Op::Refuse => {
                if let Some(incoming) = self.incoming.pop() {
                    let refusal = Refusal::file_not_found(incoming.filename());
                    self.engine.refuse(now, incoming, refusal);
                }
            }
            Op::Drop => drop(self.incoming.pop()),
            Op::Opened => {
                if let Some(transfer) = self.opening.pop() {
                    let socket = SocketId(self.next_socket);
                    self.next_socket += 1;
                    self.sockets.insert(socket);
                    self.engine.handle_socket_opened(now, transfer, socket);
                }
            }
            Op::NotOpened => {
                if let Some(transfer) = self.opening.pop() {
                    let refusal = Refusal::new(ErrorCode::NOT_DEFINED, "no socket");
                    self.engine.handle_socket_failed(now, transfer, refusal);
                }
            }
            Op::Data { cut, displaced } => {
                if let Some((transfer, (offset, len))) = self.wants.pop_first() {
                    let len = len * usize::from(cut) / 255;
                    let offset = if displaced { offset + 1 } else { offset };
                    // CRs and LFs, so that netascii has something to do.
                    let data: Bytes = (0..len).map(|n| b"\r\nx"[n % 3]).collect();
                    let blksize = self.engine.blksize(transfer).filter(|_| cut % 2 == 1);
                    match blksize.and_then(|size| Packets::of_data(&data, size, offset)) {
                        Some(packets) => self.engine.handle_packets(now, transfer, packets),
                        None => self.engine.handle_data(now, transfer, offset, data),
                    }
                }
            }
            Op::DataFailed => {
                if let Some((transfer, _)) = self.wants.pop_first() {
                    let refusal = Refusal::new(ErrorCode::NOT_DEFINED, "é".repeat(300));
                    self.engine.handle_data_failure(now, transfer, refusal);
                }
            }
            Op::SendFailed { peer, failure } => {
                let failure = match failure % 4 {
                    0 => SendFailure::Unreachable,
                    1 => SendFailure::TooLarge,
                    2 => SendFailure::Refused,
                    _ => SendFailure::Other,
                };
                let to = Destination::Unicast(peer_of(peer));
                self.engine.handle_send_failure(now, to, failure);
            }
            Op::Reconfigure => {
                self.engine.set_config(config(ports));
                self.engine.make_room(now);
            }
            Op::ShutDown => self.engine.shut_down(),
        }
    }

    /// The socket and the block of the last packet to this peer.
    fn last_sent(&self, peer: u8) -> (SocketId, u16) {
        let account = self.accounts.get(&peer_of(peer));
        account
            .and_then(|account| account.last)
            .unwrap_or((SocketId(0), 0))
    }

    /// What a good driver does.
    fn drive(&mut self, len: u32) {
        for _ in 0..8 {
            self.outputs(usize::MAX);
            for incoming in std::mem::take(&mut self.incoming) {
                let file = FileInfo::new(len.into()).with_mtu(Some(1500));
                self.engine.accept(self.now, incoming, file);
            }
            while !self.opening.is_empty() {
                self.apply(&Op::Opened, PortMode::PerTransfer);
            }
            while !self.wants.is_empty() {
                let (cut, displaced) = (255, false);
                self.apply(&Op::Data { cut, displaced }, PortMode::PerTransfer);
            }
            self.transmits(u8::MAX, 63);
        }
    }

    fn datagram(&mut self, peer: u8, socket: u8, payload: &[u8]) {
        let sockets: Vec<_> = self.sockets.iter().copied().collect();
        if let Some(socket) = sockets.get(usize::from(socket) % sockets.len()) {
            self.datagram_on(peer, *socket, payload);
        }
    }

    fn datagram_on(&mut self, peer: u8, socket: SocketId, payload: &[u8]) {
        if !self.sockets.contains(&socket) {
            return;
        }
        let remote = peer_of(peer);
        let account = self.accounts.entry(remote).or_default();
        account.received += payload.len() as u64;
        match Packet::decode(payload) {
            // Only to a transfer's ears does it prove anything, but that is the engine's affair.
            Ok(Packet::Ack { .. }) => account.verified = true,
            _ => account.requests += 1,
        }
        let meta = RecvMeta::new(socket, remote).with_local_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.engine.handle_datagram(self.now, &meta, payload);
    }

    fn outputs(&mut self, most: usize) {
        for _ in 0..most {
            let Some(output) = self.engine.poll_output() else {
                return;
            };
            match output {
                Output::Incoming(incoming) => self.incoming.push(incoming),
                Output::OpenSocket { transfer, .. } => self.opening.push(transfer),
                Output::CloseSocket { socket } => {
                    assert!(socket.0 >= LISTENERS, "a listening socket is never closed");
                    assert!(self.sockets.remove(&socket), "closed once");
                }
                Output::Want {
                    transfer,
                    offset,
                    len,
                } => {
                    assert!(len > 0 && len <= 1 << 20);
                    let before = self.wants.insert(transfer, (offset, len));
                    assert_eq!(before, None, "one range at a time");
                }
                Output::Release { transfer } => {
                    self.wants.remove(&transfer);
                }
                Output::Event(event) => assert!(!format!("{event:?}").contains('\u{1b}')),
            }
        }
    }

    fn transmits(&mut self, most: u8, segments: u8) {
        let segments_max = NonZeroUsize::new(usize::from(segments % 64) + 1);
        let limit = BatchLimit::new(segments_max.unwrap_or(NonZeroUsize::MIN), 65_000);
        for _ in 0..most {
            let now = self.now;
            let Some(transmit) = self.engine.poll_transmit(now, limit, &mut self.buf) else {
                assert!(self.buf.is_empty());
                return;
            };
            let sent = self.buf.to_vec();
            assert_eq!((transmit.len, transmit.len), (self.buf.len(), sent.len()));
            assert!(
                self.sockets.contains(&transmit.socket),
                "not by a closed socket"
            );
            assert_eq!(transmit.source, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
            let mut count = 0;
            for segment in transmit.segments(&sent) {
                let packet = Packet::decode(segment);
                assert!(
                    matches!(
                        packet,
                        Ok(Packet::Data { .. } | Packet::Error { .. } | Packet::OptionAck(_))
                    ),
                    "a server sends only these: {packet:?}"
                );
                count += 1;
            }
            assert!(count <= limit.segments_max.get());
            let Destination::Unicast(remote) = transmit.to else {
                panic!("TFTP is unicast");
            };
            let account = self
                .accounts
                .get_mut(&remote)
                .expect("nobody is sent to unasked");
            let last = transmit.segments(&sent).last().map(Packet::decode);
            account.last = match last {
                Some(Ok(Packet::Data { block, .. })) => Some((transmit.socket, block)),
                _ => Some((transmit.socket, 0)),
            };
            if !account.verified {
                account.unverified += transmit.len as u64;
                // Each request leads to a few first packets, none greater than a block of 512
                // bytes or what was asked for, and an ERROR at the end.
                let per_request = u64::from(FIRST_SENDS_MAX) * 1100 + 2 * 260;
                assert!(
                    account.unverified <= account.requests * per_request,
                    "amplified: {account:?}"
                );
            }
        }
    }

    fn check(&self) {
        assert!(self.engine.transfers() <= TRANSFERS_MAX);
        assert!(self.incoming.len() <= self.accounts.len() * 512);
        let [outputs, ready, unanswered, remembered] = self.engine.sizes();
        assert!(outputs <= OUTPUTS_MAX + 8 * TRANSFERS_MAX + 64 + self.sockets.len());
        assert!(ready <= self.engine.transfers());
        assert!(unanswered <= self.engine.transfers());
        assert!(remembered <= 4);
        let borrowed = self.engine.borrowed_window_bytes();
        assert!(borrowed <= WINDOW_BYTES_IN_ALL_MAX / 2);
    }

    /// Left alone, an engine comes to rest, and nothing is left behind.
    fn finish(mut self) {
        for _ in 0..10_000 {
            self.outputs(usize::MAX);
            for transfer in std::mem::take(&mut self.opening) {
                let refusal = Refusal::new(ErrorCode::NOT_DEFINED, "no socket");
                self.engine
                    .handle_socket_failed(self.now, transfer, refusal);
            }
            self.transmits(u8::MAX, 63);
            self.check();
            let Some(next) = self.engine.poll_timeout() else {
                self.outputs(usize::MAX);
                assert!(self.engine.is_idle());
                assert_eq!(self.engine.borrowed_window_bytes(), 0);
                assert_eq!(
                    self.sockets.len(),
                    LISTENERS as usize,
                    "every socket is closed"
                );
                assert!(self.wants.is_empty(), "every transfer is released");
                return;
            };
            let step = next.saturating_duration_since(self.now.mono);
            self.now = self.now + step;
            self.engine.handle_timeout(self.now);
        }
        panic!("it goes on for ever");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Requests as firmware sends them, and what has broken servers elsewhere.
    const SEEDS: [&[u8]; 12] = [
        b"",
        b"\0\x01pxelinux.0\0octet\0blksize\x001408\0tsize\x000\0",
        b"\0\x01x\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0",
        b"\0\x01x\0NETASCII\0",
        b"\0\x02x\0octet\0",
        b"\0\x03\xff\xffdata",
        b"\0\x04\0\0",
        b"\0\x05\0\x08User aborted the transfer\0",
        b"\0\x05\0\0",
        b"\0\x06blksize\x001468\0",
        b"\0\x01\0\0",
        b"\0\x01x\0octet\0blksize\0",
    ];

    #[test]
    fn seeds_hold() {
        for seed in SEEDS {
            fuzz_wire(seed);
            fuzz_engine(seed);
            for end in 0..seed.len() {
                fuzz_wire(&seed[..end]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            // More with PROPTEST_CASES.
            cases: ProptestConfig::default().cases.max(512),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_datagram_holds(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            fuzz_wire(&data);
        }

        #[test]
        fn any_request_holds(opcode in 1_u8..7, text in "[a-z0-9\\x00]{0,80}") {
            let mut data = vec![0, opcode];
            data.extend_from_slice(text.as_bytes());
            fuzz_wire(&data);
        }

        #[test]
        fn any_course_of_things_holds(data in proptest::collection::vec(any::<u8>(), 0..3000)) {
            fuzz_engine(&data);
        }
    }
}
