//! What firmware and boot loaders do, and what a server must therefore do: a test for each rule.

use std::time::Duration;

use pxe_core::{Destination, Instant, SendFailure, SocketId};
use pxe_tftp::wire::{self, ErrorCode, Opcode, Packet};
use pxe_tftp::{Config, Event, Limits, Outcome, PortMode};

use crate::client::{Ask, Ending};
use crate::world::{LISTENER, Link, World, content};

/// Where packets of tests without a model client come from.
const PEER: usize = 7;
/// The socket of the first transfer.
const FIRST: SocketId = SocketId(1);

fn ack(block: u16) -> Vec<u8> {
    let mut out = Vec::new();
    wire::encode_ack(&mut out, block);
    out
}

fn error(code: u16, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::encode_error(&mut out, ErrorCode(code), text.as_bytes());
    out
}

/// A world with this file, in which the test plays the client.
struct Script {
    world: World,
}

impl Script {
    fn new(config: Config, len: usize) -> Self {
        let mut world = World::new(config);
        world.file("file", content(len));
        Self { world }
    }

    /// Gives the server a packet; returns what it sends at once.
    fn give(&mut self, socket: SocketId, packet: &[u8]) -> Vec<Vec<u8>> {
        let before = self.world.sent.len();
        self.world.inject(World::address(PEER), socket, packet);
        self.world.sent[before..]
            .iter()
            .map(|(_, _, bytes)| bytes.clone())
            .collect()
    }

    fn ask(&mut self, ask: &Ask) -> Vec<Vec<u8>> {
        self.give(LISTENER, &ask.packet(Opcode::RRQ))
    }

    /// Lets time pass; returns what is sent meanwhile, with the time since now.
    fn wait(&mut self, time: Duration) -> Vec<(Duration, Vec<u8>)> {
        let (begin, before) = (self.world.now.mono, self.world.sent.len());
        self.world.run(time);
        let since = |at: Instant| at.saturating_duration_since(begin);
        let sent = self.world.sent[before..].iter();
        sent.map(|(at, _, bytes)| (since(*at), bytes.clone()))
            .collect()
    }

    fn outcomes(&self) -> Vec<&Outcome> {
        self.world.outcomes()
    }
}

/// The block numbers of these DATA packets.
fn blocks(packets: &[Vec<u8>]) -> Vec<u16> {
    let blocks = packets.iter().map(|bytes| match Packet::decode(bytes) {
        Ok(Packet::Data { block, .. }) => block,
        other => panic!("not DATA: {other:?}"),
    });
    blocks.collect()
}

fn code(packets: &[Vec<u8>]) -> ErrorCode {
    match Packet::decode(&packets[0]) {
        Ok(Packet::Error { code, .. }) if packets.len() == 1 => code,
        other => panic!("not one ERROR: {other:?}"),
    }
}

// EDK2's PXE driver asks for tsize, reads the OACK and sends ERROR 8 "User aborted the
// transfer" (seen in OVMF, and in pin/tftp issue 125); Intel's BIOS ROMs send ERROR 0 "TFTP Aborted"
// (danderson/netboot issue 21).
#[test]
fn size_probe_ends_quietly_and_reads_nothing() {
    for ports in [PortMode::PerTransfer, PortMode::Single] {
        for (number, text) in [(8, "User aborted the transfer"), (0, "TFTP Aborted")] {
            let mut script = Script::new(Config::default().with_ports(ports), 100_000);
            let ask = Ask::new("file")
                .option("tsize", 0)
                .option("blksize", 1468)
                .option("windowsize", 4);
            let sent = script.ask(&ask);
            assert_eq!(
                sent,
                [b"\0\x06tsize\x00100000\0blksize\x001468\0windowsize\x004\0".to_vec()]
            );
            let socket = match ports {
                PortMode::Single => LISTENER,
                _ => FIRST,
            };
            assert!(script.give(socket, &error(number, text)).is_empty());
            assert_eq!(script.outcomes(), [&Outcome::Probe]);
            assert_eq!(script.world.wants, 0);
            assert!(script.wait(Duration::from_secs(60)).is_empty());
            assert!(script.world.engine.is_idle());
        }
    }
}

#[test]
fn error_after_data_is_an_abort_and_no_probe() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file").option("tsize", 0));
    assert_eq!(blocks(&script.give(FIRST, &ack(0))), [1]);
    assert!(script.give(FIRST, &error(0, "TFTP Aborted")).is_empty());
    let Outcome::Aborted { code, message, .. } = script.outcomes()[0] else {
        panic!("{:?}", script.outcomes());
    };
    assert_eq!(*code, ErrorCode::NOT_DEFINED);
    assert_eq!(message.to_string(), "TFTP Aborted");
}

// What each loader asks for, and gets on Ethernet.
#[test]
fn requests_of_known_clients_are_granted() {
    for (client, options, granted) in [
        (
            "EDK2",
            &[("blksize", 1468), ("windowsize", 4)][..],
            (1468, 4),
        ),
        ("pxelinux", &[("tsize", 0), ("blksize", 1408)], (1408, 1)),
        ("iPXE", &[("blksize", 1432), ("tsize", 0)], (1432, 1)),
        ("shim", &[("blksize", 512), ("windowsize", 4)], (512, 4)),
        ("GRUB", &[("blksize", 1024), ("tsize", 0)], (1024, 1)),
    ] {
        let mut world = World::new(Config::default());
        world.file("file", content(50_000));
        let mut ask = Ask::new("file");
        for (name, value) in options {
            ask = ask.option(name, value);
        }
        let number = world.start(ask);
        world.run_to_end();
        assert_eq!(*world.ending(number), Ending::Complete, "{client}");
        let negotiated = world.events.iter().find_map(|event| match event {
            Event::TransferStarted { negotiated, .. } => Some(negotiated),
            _ => None,
        });
        let negotiated = negotiated.unwrap();
        assert_eq!(
            (negotiated.blksize, negotiated.windowsize),
            granted,
            "{client}"
        );
    }
}

#[test]
fn windowsize_is_capped() {
    let mut script = Script::new(Config::default(), 100_000);
    let sent = script.ask(&Ask::new("file").option("windowsize", 65535));
    assert_eq!(sent, [b"\0\x06windowsize\x0064\0".to_vec()]);
    assert_eq!(script.give(FIRST, &ack(0)).len(), 64);
    let config = Config::default().with_windowsize_max(3);
    let mut script = Script::new(config, 100_000);
    script.ask(&Ask::new("file").option("windowsize", 65535));
    assert_eq!(blocks(&script.give(FIRST, &ack(0))), [1, 2, 3]);
}

#[test]
fn unknown_options_get_data_and_no_empty_oack() {
    let mut script = Script::new(Config::default(), 1000);
    let ask = Ask::new("file")
        .option("multicast", "")
        .option("utimeout", 100_000);
    assert_eq!(blocks(&script.ask(&ask)), [1]);
}

#[test]
fn blksize_is_clamped_to_the_interface_unless_switched_off() {
    for (mtu, clamp, granted) in [
        (Some(1500), true, "1468"),
        (Some(1400), true, "1368"),
        (Some(1500), false, "4096"),
        (None, true, "4096"),
    ] {
        let mut script = Script::new(Config::default().with_clamp_blksize_to_mtu(clamp), 100);
        script.world.mtu = mtu;
        let sent = script.ask(&Ask::new("file").option("blksize", 4096));
        assert_eq!(sent, [format!("\0\x06blksize\0{granted}\0").into_bytes()]);
    }
}

// A window of blocks that fit the MTU leaves in one send.
#[test]
fn a_window_is_one_transmit_of_equal_segments() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(
        &Ask::new("file")
            .option("blksize", 1428)
            .option("windowsize", 8),
    );
    script.world.largest_batch = 0;
    assert_eq!(
        blocks(&script.give(FIRST, &ack(0))),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(script.world.largest_batch, 8);
}

// Blocks that must be fragmented cannot be segments of one send.
#[test]
fn fragmented_blocks_leave_one_by_one() {
    let mut world = World::new(Config::default().with_clamp_blksize_to_mtu(false));
    world.file("file", content(100_000));
    // `World` asserts that segments fit the MTU.
    let ask = Ask::new("file")
        .option("blksize", 4096)
        .option("windowsize", 8);
    let client = world.start(ask);
    world.run_to_end();
    assert!(world.clients[client].data == content(100_000));
}

// lpxelinux repeats after 60 ms and uses one port for all its files: dnsmasq starts two
// transfers then, and the orphan's OACK comes when the client waits for the next file.
#[test]
fn repeated_request_is_a_retransmission() {
    for ports in [PortMode::PerTransfer, PortMode::Single] {
        let socket = if ports == PortMode::Single {
            LISTENER
        } else {
            FIRST
        };
        let mut script = Script::new(Config::default().with_ports(ports), 100_000);
        let ask = Ask::new("file").option("blksize", 1408).option("tsize", 0);
        let oack = script.ask(&ask);
        assert_eq!(oack.len(), 1);
        assert_eq!(
            script.ask(&ask),
            oack,
            "nothing is acknowledged yet: sent again"
        );
        assert_eq!(blocks(&script.give(socket, &ack(0))), [1]);
        assert!(script.ask(&ask).is_empty(), "the transfer runs: ignored");
        assert_eq!(blocks(&script.give(socket, &ack(1))), [2]);
        assert_eq!(script.world.engine.transfers(), 1);
        let repeated = script.world.events.iter().filter_map(|event| match event {
            Event::RequestRepeated { answered, .. } => Some(*answered),
            _ => None,
        });
        assert_eq!(repeated.collect::<Vec<_>>(), [true, false]);
    }
}

#[test]
fn repeated_request_without_options_gets_data_1_again() {
    let mut script = Script::new(Config::default(), 100_000);
    let ask = Ask::new("file");
    assert_eq!(blocks(&script.ask(&ask)), [1]);
    assert_eq!(blocks(&script.ask(&ask)), [1]);
    assert_eq!(blocks(&script.give(FIRST, &ack(1))), [2]);
    assert!(script.ask(&ask).is_empty());
}

// The Raspberry Pi's boot ROM sends each request twice (raspberrypi/firmware issue 1041).
#[test]
fn twin_requests_of_the_raspberry_pi_are_one_transfer() {
    let mut script = Script::new(Config::default(), 100_000);
    script.world.disk = Duration::from_millis(5);
    let ask = Ask::new("file").option("tsize", 0).option("blksize", 1024);
    let first = script.ask(&ask);
    let second = script.ask(&ask);
    assert_eq!(first, second);
    // Its two ACKs lead to one DATA.
    assert!(script.give(FIRST, &ack(0)).is_empty());
    assert!(script.give(FIRST, &ack(0)).is_empty());
    let sent = script.wait(Duration::from_millis(100));
    assert_eq!(sent.len(), 1);
    assert_eq!(script.world.sockets.len(), 2);
}

#[test]
fn new_request_from_the_same_port_ends_the_older_transfer() {
    let mut script = Script::new(Config::default(), 100_000);
    script.world.file("other", content(10));
    script.ask(&Ask::new("file"));
    let sent = script.ask(&Ask::new("other"));
    // No ERROR: the client would take it for one of its new transfer.
    assert_eq!(blocks(&sent), [1]);
    assert_eq!(sent[0].len(), 4 + 10);
    assert_eq!(script.outcomes(), [&Outcome::Superseded]);
    // EDK2's second request has the same name, but not the same options.
    script.ask(&Ask::new("other").option("tsize", 0));
    script.ask(&Ask::new("other").option("blksize", 1468));
    assert_eq!(script.world.engine.transfers(), 1);
    assert_eq!(script.world.sockets.len(), 2);
}

#[test]
fn machine_that_was_reset_gets_its_file_anew() {
    let mut script = Script::new(Config::default(), 100_000);
    let ask = Ask::new("file");
    script.ask(&ask);
    script.give(FIRST, &ack(1));
    script.wait(Duration::from_secs(3));
    assert_eq!(blocks(&script.ask(&ask)), [1]);
    assert_eq!(script.outcomes(), [&Outcome::Superseded]);
    assert_eq!(script.world.engine.transfers(), 1);
}

#[test]
fn unknown_transfer_id_gets_error_5() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file"));
    let data = b"\0\x03\0\x01data".to_vec();
    // To the port of somebody else's transfer, and to the server's port.
    let stranger = World::address(PEER + 1);
    for socket in [FIRST, LISTENER] {
        for packet in [ack(1), data.clone()] {
            script.world.inject(stranger, socket, &packet);
            let (_, _, sent) = script.world.sent.pop().unwrap();
            assert_eq!(code(&[sent]), ErrorCode::UNKNOWN_TRANSFER_ID);
        }
    }
    // The transfer is none the worse for it.
    assert_eq!(blocks(&script.give(FIRST, &ack(1))), [2]);
}

#[test]
fn socket_is_closed_after_the_last_reply_that_leaves_by_it() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file"));
    let world = &mut script.world;
    for (remote, packet) in [
        (World::address(PEER + 1), ack(1)),
        (World::address(PEER), error(0, "TFTP Aborted")),
    ] {
        let meta = pxe_core::RecvMeta::new(FIRST, remote).with_local_ip(crate::world::SERVER_IP);
        world.engine.handle_datagram(world.now, &meta, &packet);
    }
    world.outputs(usize::MAX);
    assert_eq!(world.sockets.len(), 2);
    let before = world.sent.len();
    world.drain_engine();
    assert_eq!(world.sent.len(), before + 1);
    assert_eq!(world.sockets.len(), 1);
}

#[test]
fn error_is_never_answered_by_an_error() {
    let mut script = Script::new(Config::default(), 100);
    script.ask(&Ask::new("file"));
    let stranger = World::address(PEER + 1);
    let before = script.world.sent.len();
    for packet in [&error(5, "unknown transfer ID")[..], b"\0\x05", b"\0\x05\0"] {
        script.world.inject(stranger, FIRST, packet);
        script.world.inject(stranger, LISTENER, packet);
    }
    assert_eq!(script.world.sent.len(), before);
    assert!(script.give(FIRST, &error(0, "")).is_empty());
}

#[test]
fn late_ack_in_single_port_mode_gets_no_error() {
    // lpxelinux uses one port for all files: an ERROR 5 would end its next transfer.
    let config = Config::default().with_ports(PortMode::Single);
    let mut script = Script::new(config, 100);
    script.ask(&Ask::new("file"));
    assert!(script.give(LISTENER, &ack(1)).is_empty());
    assert_eq!(script.outcomes(), [&Outcome::Complete]);
    assert!(script.give(LISTENER, &ack(1)).is_empty());
}

// That answers leave from the address that was asked is asserted for every packet by `World`, and
// by tests/driver.rs on real sockets.

// pxelinux probes a dozen names before `default`: it takes minutes if errors are lost.
#[test]
fn missing_file_gets_error_1_at_once() {
    let mut script = Script::new(Config::default(), 100);
    let ask = Ask::new("pxelinux.cfg/C0A89627")
        .option("tsize", 0)
        .option("blksize", 1408);
    let sent = script.ask(&ask);
    assert_eq!(code(&sent), ErrorCode::FILE_NOT_FOUND);
    assert!(sent[0].ends_with(b": pxelinux.cfg/C0A89627\0"));
    assert!(script.world.engine.is_idle());
    assert_eq!(script.world.engine.poll_timeout(), None);
}

#[test]
fn write_is_refused_with_error_2() {
    let mut script = Script::new(Config::default(), 100);
    let sent = script.give(LISTENER, &Ask::new("file").packet(Opcode::WRQ));
    assert_eq!(code(&sent), ErrorCode::ACCESS_VIOLATION);
    assert!(script.world.engine.is_idle());
}

#[test]
fn modes_are_octet_and_netascii_in_any_case() {
    for mode in ["octet", "OCTET", "netascii", "NetAscii"] {
        let mut script = Script::new(Config::default(), 100);
        assert_eq!(blocks(&script.ask(&Ask::new("file").mode(mode))), [1]);
    }
    for mode in ["mail", "MAIL", "binary", ""] {
        let mut script = Script::new(Config::default(), 100);
        let sent = script.ask(&Ask::new("file").mode(mode));
        assert_eq!(code(&sent), ErrorCode::ILLEGAL_OPERATION);
    }
}

#[test]
fn first_block_of_a_window_lost_is_sent_again_once_per_round_trip() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file").option("windowsize", 4));
    script.wait(Duration::from_millis(10)); // the round trip
    assert_eq!(blocks(&script.give(FIRST, &ack(0))), [1, 2, 3, 4]);
    script.wait(Duration::from_millis(10));
    // Blocks 2, 3 and 4 arrived without 1, and each is reported.
    assert_eq!(blocks(&script.give(FIRST, &ack(0))), [1, 2, 3, 4]);
    assert!(script.give(FIRST, &ack(0)).is_empty());
    assert!(script.give(FIRST, &ack(0)).is_empty());
    // If they were meant seriously, another round trip shows it.
    let sent = script.wait(Duration::from_millis(10));
    let sent: Vec<_> = sent.into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(blocks(&sent), [1, 2, 3, 4]);
    assert_eq!(blocks(&script.give(FIRST, &ack(4))), [5, 6, 7, 8]);
}

#[test]
fn ack_inside_a_window_resumes_from_it() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file").option("windowsize", 4));
    script.wait(Duration::from_millis(10));
    assert_eq!(blocks(&script.give(FIRST, &ack(0))), [1, 2, 3, 4]);
    assert_eq!(blocks(&script.give(FIRST, &ack(2))), [3, 4, 5, 6]);
    script.wait(Duration::from_millis(10));
    assert_eq!(blocks(&script.give(FIRST, &ack(6))), [7, 8, 9, 10]);
}

#[test]
fn acks_of_the_future_and_the_past_are_ignored() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file").option("windowsize", 4));
    assert!(
        script.give(FIRST, &ack(1)).is_empty(),
        "the OACK awaits ACK 0"
    );
    script.give(FIRST, &ack(0));
    script.give(FIRST, &ack(4));
    for block in [9, 10, 1000, 65535, 3, 0] {
        assert!(script.give(FIRST, &ack(block)).is_empty(), "{block}");
    }
    assert_eq!(blocks(&script.give(FIRST, &ack(8))), [9, 10, 11, 12]);
    script.give(FIRST, &error(0, ""));
    assert_eq!(script.world.reports()[0].stray_acks, 7);
    assert_eq!(script.world.reports()[0].blocks, 8);
}

// RFC 1123 section 4.2.3.1.
#[test]
fn sorcerers_apprentice_is_avoided() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file"));
    let mut sent = 1;
    for block in 1..=100 {
        // Each ACK comes twice, and then once more.
        sent += script.give(FIRST, &ack(block)).len();
        sent += script.give(FIRST, &ack(block)).len();
        sent += script.give(FIRST, &ack(block)).len();
    }
    assert_eq!(sent, 101);
    // And with a network that doubles every packet in both directions.
    let mut world = World::new(Config::default());
    world.link = Link {
        duplicate_per_mille: 1000,
        ..Link::CLEAN
    };
    world.file("file", content(512 * 50));
    world.start(Ask::new("file"));
    world.run_to_end();
    assert_eq!(world.reports()[0].outcome, Outcome::Complete);
    // DATA 1, since the request came twice; nothing after it.
    assert_eq!(world.reports()[0].retransmits, 1);
}

#[test]
fn retransmissions_back_off_and_end_with_an_error() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file"));
    script.give(FIRST, &ack(1));
    let sent = script.wait(Duration::from_secs(120));
    let (times, packets): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
    let millis: Vec<_> = times.iter().map(Duration::as_millis).collect();
    // 200 ms doubled up to 8 s: the round trip was instant, so the least time holds.
    assert_eq!(millis, [200, 600, 1400, 3000, 6200, 12_600, 20_600]);
    assert_eq!(blocks(&packets[..6]), [2; 6]);
    assert_eq!(code(&packets[6..]), ErrorCode::NOT_DEFINED);
    assert_eq!(script.outcomes(), [&Outcome::TimedOut]);
    assert_eq!(script.world.reports()[0].retransmits, 6);
    assert_eq!(script.world.sockets.len(), 1);
    assert_eq!(script.world.engine.poll_timeout(), None);
}

// RFC 6298 section 2: the mean, and four times the deviation, which is half of the first sample.
#[test]
fn retransmission_waits_for_the_measured_round_trip_and_its_spread() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file"));
    script.wait(Duration::from_millis(300));
    script.give(FIRST, &ack(1));
    let sent = script.wait(Duration::from_secs(1));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, Duration::from_millis(900));
}

// Karn's rule: nobody knows which of the two packets an ACK is for.
#[test]
fn round_trips_of_packets_sent_twice_do_not_count() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file"));
    for block in 1..10 {
        script.give(FIRST, &ack(block));
        let sent = script.wait(Duration::from_millis(200));
        assert_eq!(sent.len(), 1, "{block}");
        assert_eq!(sent[0].0, Duration::from_millis(200), "{block}");
    }
}

#[test]
fn timeout_option_is_honoured() {
    let mut script = Script::new(Config::default(), 100_000);
    let sent = script.ask(&Ask::new("file").option("timeout", 3));
    assert_eq!(sent, [b"\0\x06timeout\x003\0".to_vec()]);
    script.give(FIRST, &ack(0));
    script.give(FIRST, &ack(1));
    let sent = script.wait(Duration::from_secs(12));
    let times: Vec<_> = sent.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(times, [3, 9]);
}

#[test]
fn peer_that_never_answers_gets_few_packets() {
    for ask in [Ask::new("file"), Ask::new("file").option("blksize", 1468)] {
        let limits = Limits::default().with_first_sends_max(3);
        let mut script = Script::new(Config::default().with_limits(limits), 100_000);
        let mut sent = script.ask(&ask).len();
        for _ in 0..20 {
            sent += script.ask(&ask).len();
        }
        assert_eq!(sent, 3, "repeated requests do not help");
        let later = script.wait(Duration::from_secs(120));
        assert_eq!(later.len(), 1, "but for the ERROR at its end");
        assert_eq!(script.outcomes(), [&Outcome::TimedOut]);
    }
}

#[test]
fn unreachable_peer_ends_its_transfer() {
    let mut script = Script::new(Config::default(), 100_000);
    script.ask(&Ask::new("file"));
    let to = Destination::Unicast(World::address(PEER));
    let now = script.world.now;
    script
        .world
        .engine
        .handle_send_failure(now, to, SendFailure::Other);
    script
        .world
        .engine
        .handle_send_failure(now, to, SendFailure::Refused);
    assert_eq!(script.world.engine.transfers(), 1);
    script
        .world
        .engine
        .handle_send_failure(now, to, SendFailure::Unreachable);
    script.world.drain_engine();
    assert_eq!(
        script.outcomes(),
        [&Outcome::SendFailed(SendFailure::Unreachable)]
    );
    assert_eq!(script.world.sockets.len(), 1);
}

// RFC 1123 section 4.2.3.4.
#[test]
fn request_to_a_broadcast_address_is_ignored() {
    let mut script = Script::new(Config::default(), 100);
    let meta = pxe_core::RecvMeta::new(LISTENER, World::address(PEER))
        .with_local_ip(std::net::Ipv4Addr::BROADCAST.into());
    let rrq = Ask::new("file").packet(Opcode::RRQ);
    script
        .world
        .engine
        .handle_datagram(script.world.now, &meta, &rrq);
    script.world.drain_engine();
    assert!(script.world.sent.is_empty());
    assert!(matches!(
        script.world.events[..],
        [Event::BroadcastIgnored { .. }]
    ));
}
