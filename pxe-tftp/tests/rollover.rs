//! Files so large that the block number wraps, the largest of 4 GiB and one byte: every byte of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use pxe_core::{BatchLimit, Instant, Now, RecvMeta, SocketId, UnixTime};
use pxe_tftp::wire::{self, Opcode, Options, Packet, Request};
use pxe_tftp::{Config, Engine, Event, FileInfo, Outcome, Output, Packets, PortMode, SendBuffer};

const BLKSIZE: usize = 1468;
/// The content repeats after so many bytes: a prime, so that no block and no chunk begins like
/// another one near it.
const PERIOD: usize = 1_000_003;
/// What the engine asks for at a time is no longer than this.
const WANT_BYTES_MAX: usize = 1 << 20;

/// Content in which every place can be told from those around it.
struct Content(Bytes);

impl Content {
    fn new() -> Self {
        let mut bytes = Vec::with_capacity(PERIOD + WANT_BYTES_MAX);
        let mut state = 1_u32;
        for _ in 0..PERIOD {
            // A linear congruential generator (Numerical Recipes).
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.push((state >> 24) as u8);
        }
        while bytes.len() < PERIOD + WANT_BYTES_MAX {
            let more = PERIOD.min(PERIOD + WANT_BYTES_MAX - bytes.len());
            bytes.extend_from_within(..more);
        }
        Self(bytes.into())
    }

    fn at(&self, offset: u64, len: usize) -> Bytes {
        let begin = (offset % PERIOD as u64) as usize;
        self.0.slice(begin..begin + len)
    }
}

/// How the engine is given the file.
#[derive(Debug, Clone, Copy)]
enum Given {
    Data,
    /// As `Server` does it with what lies on a disk.
    Packets,
}

/// Fetches a file of this length with this window, and checks every byte of it.
fn fetch(windowsize: u64, file_len: u64, given: Given) {
    let content = Content::new();
    let mut now = Now::new(Instant::EPOCH, UnixTime::from_seconds(0));
    let mut engine = Engine::new(Config::new().with_ports(PortMode::Single));
    let remote = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 7), 49153));
    let meta = RecvMeta::new(SocketId(0), remote);
    let options = format!("blksize\0{BLKSIZE}\0windowsize\0{windowsize}\0");
    let mut packet = Vec::new();
    let request = Request::new(b"file", b"octet", Options::decode(options.as_bytes()));
    wire::encode_request(&mut packet, Opcode::RRQ, &request);
    let limit = BatchLimit::new(NonZeroUsize::new(44).expect("more than 0"), 65_000);
    let mut buffer = SendBuffer::new();
    let mut received = 0_u64;
    let mut blocks = 0_u64;
    let mut report = None;
    while report.is_none() {
        now = now + Duration::from_micros(100);
        engine.handle_datagram(now, &meta, &packet);
        let mut acknowledges = false;
        loop {
            let mut idle = true;
            while let Some(output) = engine.poll_output() {
                idle = false;
                match output {
                    Output::Incoming(incoming) => {
                        let file = FileInfo::new(file_len).with_mtu(Some(1500));
                        assert!(engine.accept(now, incoming, file));
                    }
                    Output::Want {
                        transfer,
                        offset,
                        len,
                        ..
                    } => {
                        let data = content.at(offset, len);
                        match given {
                            Given::Data => engine.handle_data(now, transfer, offset, data),
                            Given::Packets => {
                                let packets = Packets::of_data(&data, BLKSIZE as u16, offset);
                                let packets = packets.expect("a block begins there");
                                engine.handle_packets(now, transfer, packets);
                            }
                        }
                    }
                    Output::Event(Event::TransferFinished { report: end, .. }) => {
                        report = Some(end);
                    }
                    _ => {}
                }
            }
            if let Some(transmit) = engine.poll_transmit(now, limit, &mut buffer) {
                idle = false;
                let bytes = buffer.to_vec();
                for segment in transmit.segments(&bytes) {
                    acknowledges = true;
                    let Ok(Packet::Data { block, payload }) = Packet::decode(segment) else {
                        assert!(matches!(Packet::decode(segment), Ok(Packet::OptionAck(_))));
                        continue;
                    };
                    blocks += 1;
                    assert_eq!(block, blocks as u16, "the number wraps to 0");
                    let len = (file_len - received).min(BLKSIZE as u64) as usize;
                    assert!(payload == content.at(received, len), "block {blocks}");
                    received += payload.len() as u64;
                }
            }
            if idle {
                break;
            }
        }
        assert!(acknowledges || report.is_some());
        packet.clear();
        wire::encode_ack(&mut packet, blocks as u16);
    }
    let report = report.expect("it is over");
    assert_eq!((received, report.outcome), (file_len, Outcome::Complete));
    assert_eq!((report.bytes, report.blocks), (file_len, blocks));
    assert_eq!(blocks, file_len.div_ceil(BLKSIZE as u64));
    assert_eq!((report.retransmits, report.stray_acks), (0, 0));
}

// 2,925,729 blocks: the number wraps 44 times, and windows of 61 lie across each wrap in another way.
#[test]
fn four_gib_and_one_byte_arrive_in_windows() {
    fetch(61, (4 << 30) + 1, Given::Packets);
}

// In lock-step each block is a round trip for the test, too: a part of that has to do.
#[test]
fn two_wraps_and_one_byte_arrive_in_lock_step() {
    for given in [Given::Data, Given::Packets] {
        fetch(1, 2 * 65_536 * BLKSIZE as u64 + 1, given);
    }
}
