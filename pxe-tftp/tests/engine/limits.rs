//! What clients can make the engine hold or send is bounded.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use pxe_core::{BatchLimit, SocketId};
use pxe_tftp::wire::{ErrorCode, Opcode, Packet};
use pxe_tftp::{
    Config, Event, Incoming, Limit, Limits, Noise, Outcome, Output, Refusal, SendBuffer,
};

use crate::client::{Ask, Ending};
use crate::world::{LISTENER, World, content};

fn world(limits: Limits) -> World {
    let mut world = World::new(Config::default().with_limits(limits));
    world.file("file", content(10_000));
    world
}

fn ask_from(world: &mut World, remote: SocketAddr) -> Vec<u8> {
    let before = world.sent.len();
    world.inject(remote, LISTENER, &Ask::new("file").packet(Opcode::RRQ));
    assert_eq!(
        world.sent.len(),
        before + 1,
        "no request is dropped without a word"
    );
    world.sent[before].2.clone()
}

fn limits_met(world: &World) -> Vec<Limit> {
    let limits = world.events.iter().filter_map(|event| match event {
        Event::LimitReached { limit, .. } => Some(*limit),
        _ => None,
    });
    limits.collect()
}

fn busy(packet: &[u8], reason: &str) -> bool {
    let Ok(Packet::Error { code, message }) = Packet::decode(packet) else {
        return false;
    };
    code == ErrorCode::NOT_DEFINED && message == format!("server busy: {reason}").as_bytes()
}

#[test]
fn transfers_are_bounded_in_all() {
    let mut world = world(Limits::default().with_transfers_max(3));
    for client in 0..3 {
        let packet = ask_from(&mut world, World::address(client));
        assert!(matches!(Packet::decode(&packet), Ok(Packet::Data { .. })));
    }
    let packet = ask_from(&mut world, World::address(3));
    assert!(busy(&packet, "too many transfers"));
    assert_eq!(limits_met(&world), [Limit::Transfers]);
    // A client that has its place keeps it.
    world.inject(
        World::address(1),
        LISTENER,
        &Ask::new("file").mode("OCTET").packet(Opcode::RRQ),
    );
    assert_eq!(world.engine.transfers(), 3);
    assert!(matches!(
        Packet::decode(&world.sent.last().unwrap().2),
        Ok(Packet::Data { block: 1, .. })
    ));
}

#[test]
fn transfers_are_bounded_per_client() {
    let mut world = world(Limits::default().with_transfers_per_remote_max(2));
    let from = |port| SocketAddr::from(([198, 51, 100, 9], port));
    ask_from(&mut world, from(1000));
    ask_from(&mut world, from(1001));
    let packet = ask_from(&mut world, from(1002));
    assert!(busy(&packet, "too many transfers with one client"));
    // Others are served.
    let packet = ask_from(&mut world, World::address(1));
    assert!(matches!(Packet::decode(&packet), Ok(Packet::Data { .. })));
    assert_eq!(limits_met(&world), [Limit::TransfersPerRemote]);
}

/// Takes what the engine asks for, and answers nothing.
fn take_incoming(world: &mut World, into: &mut Vec<Incoming>) {
    while let Some(output) = world.engine.poll_output() {
        match output {
            Output::Incoming(incoming) => into.push(incoming),
            Output::Event(event) => world.events.push(event),
            _ => {}
        }
    }
}

#[test]
fn requests_without_an_answer_are_bounded_in_number_and_time() {
    let limits = Limits::default()
        .with_incoming_max(2)
        .with_accept_timeout(Duration::from_secs(5));
    let mut world = world(limits);
    let mut waiting = Vec::new();
    let rrq = Ask::new("file").packet(Opcode::RRQ);
    for client in 0..3 {
        let meta = pxe_core::RecvMeta::new(LISTENER, World::address(client))
            .with_local_ip(crate::world::SERVER_IP);
        world.engine.handle_datagram(world.now, &meta, &rrq);
        take_incoming(&mut world, &mut waiting);
    }
    assert_eq!(waiting.len(), 2);
    assert_eq!(limits_met(&world), [Limit::Incoming]);
    world.drain_engine();
    assert!(busy(
        &world.sent[0].2,
        "too many requests wait for their files"
    ));
    world.run(Duration::from_secs(6));
    assert_eq!(world.engine.transfers(), 0);
    assert_eq!(world.errors_sent().len(), 3);
    // Answers that come too late do no harm.
    for incoming in waiting {
        let now = world.now;
        assert!(
            !world
                .engine
                .accept(now, incoming, pxe_tftp::FileInfo::new(10))
        );
    }
    world.drain_engine();
    assert!(world.engine.is_idle());
}

#[test]
fn long_names_and_requests_are_refused() {
    let mut world = world(Limits::default());
    for (name_len, padding) in [(600, 0), (10, 2000)] {
        let ask = Ask::new(&"n".repeat(name_len)).option("x", "y".repeat(padding));
        let before = world.sent.len();
        world.inject(World::address(0), LISTENER, &ask.packet(Opcode::RRQ));
        assert!(matches!(
            Packet::decode(&world.sent[before].2),
            Ok(Packet::Error { .. })
        ));
        assert!(world.sent[before].2.len() < 220);
    }
    assert_eq!(world.engine.transfers(), 0);
}

#[test]
fn replies_to_strays_are_bounded_per_second() {
    let mut world = world(Limits::default().with_stray_replies_per_second(10));
    for second in 0..3 {
        for client in 0..50 {
            world.inject(World::address(client), LISTENER, b"\0\x04\0\x01");
            world.inject(World::address(client), LISTENER, b"garbage");
        }
        assert_eq!(world.sent.len(), 10 * (second + 1));
        world.run(Duration::from_secs(1));
    }
    assert!(limits_met(&world).contains(&Limit::StrayReplies));
}

/// An event costs more than the packet that it is about.
#[test]
fn a_flood_is_a_few_events_a_second() {
    let mut world = world(Limits::default().with_transfers_max(1));
    ask_from(&mut world, World::address(0));
    world.events.clear();
    let rrq = Ask::new("file").packet(Opcode::RRQ);
    let wrq = Ask::new("file").packet(Opcode::WRQ);
    for client in 0..2000 {
        let from = World::address(1 + client % 100);
        for packet in [&b"garbage"[..], b"\0\x04\0\x01", &rrq[..], &wrq[..]] {
            world.inject(from, LISTENER, packet);
        }
        world.inject(World::address(0), LISTENER, &rrq);
    }
    assert!(world.events.len() < 1000, "{} events", world.events.len());
    // What was not told one by one is told in sums.
    world.run(Duration::from_secs(1));
    let mut malformed = 0;
    for event in &world.events {
        malformed += match event {
            Event::Malformed { .. } => 1,
            Event::Untold { noise, count, .. } if *noise == Noise::Malformed => *count,
            _ => 0,
        };
    }
    assert_eq!(malformed, 2000);
}

/// Thousands of machines that each fetch another image leave memory for all else.
#[test]
fn with_many_transfers_each_holds_little_of_its_file() {
    for (others, most) in [(1000, 64 << 10), (4000, 8 << 10)] {
        let mut world = world(Limits::default());
        world.engine.set_transfers_elsewhere(others);
        begin(&mut world);
        let wanted = std::iter::from_fn(|| world.engine.poll_output());
        let lens: Vec<_> = wanted
            .filter_map(|output| match output {
                Output::Want { len, .. } => Some(len),
                _ => None,
            })
            .collect();
        assert_eq!(lens, [most]);
    }
}

/// Those who ask for the largest windows, and never acknowledge them, get a share of what there is
/// for all, and others get theirs.
#[test]
fn windows_are_bounded_in_bytes_over_all_transfers() {
    const IN_ALL: usize = 64 << 10;
    let limits = Limits::default()
        .with_transfers_max(4)
        .with_window_bytes_in_all_max(IN_ALL);
    let mut world = world(limits);
    world.mtu = None;
    world.file("file", content(200_000));
    world.file("small", content(5000));
    let mut ask = |client, name, blksize, windowsize| {
        let ask = Ask::new(name).option("blksize", blksize);
        let ask = ask.option("windowsize", windowsize);
        let remote = World::address(client);
        world.inject(remote, LISTENER, &ask.packet(Opcode::RRQ));
        let negotiated = world.events.iter().rev().find_map(|event| match event {
            Event::TransferStarted {
                negotiated, peer, ..
            } if peer.remote == remote => Some(*negotiated),
            _ => None,
        });
        let negotiated = negotiated.expect("a transfer");
        let limited = limits_met(&world).len();
        world.events.clear();
        assert!(world.engine.borrowed_window_bytes() <= IN_ALL / 2);
        (negotiated.blksize, negotiated.windowsize, limited)
    };
    // Of 8 KiB that are its own and 32 KiB to borrow, it takes 32; the next one, what is left.
    assert_eq!(ask(0, "file", 1024, 32), (1024, 32, 0));
    assert_eq!(ask(1, "file", 1024, 32), (1024, 16, 1));
    // Each has its share, whatever others do.
    assert_eq!(ask(2, "file", 1024, 32), (1024, 8, 1));
    assert_eq!(ask(3, "file", 65464, 64), (8192, 1, 1));
    // A client that goes gives back what it has borrowed.
    world.inject(World::address(0), SocketId(1), b"\0\x05\0\0\0");
    assert_eq!(world.engine.borrowed_window_bytes(), 8 << 10);
    let mut ask = |name, blksize, elsewhere| {
        world.engine.set_borrowed_window_bytes_elsewhere(elsewhere);
        let ask = Ask::new(name).option("blksize", blksize);
        let remote = World::address(4);
        let ask = ask.option("windowsize", 64);
        let before = world.sent.len();
        world.inject(remote, LISTENER, &ask.packet(Opcode::RRQ));
        String::from_utf8_lossy(&world.sent[before].2[2..]).into_owned()
    };
    // What other engines have lent counts too; and a small file is no matter.
    let oack = |blksize, windowsize| format!("blksize\0{blksize}\0windowsize\0{windowsize}\0");
    assert_eq!(ask("file", 1000, 0), oack(1000, 32));
    assert_eq!(ask("file", 1001, IN_ALL / 2), oack(1001, 8));
    assert_eq!(ask("small", 1002, IN_ALL / 2), oack(1002, 64));
}

/// Both sends have left, so that the second is no failure of a transfer that goes well.
#[test]
fn that_segments_are_refused_may_be_told_twice() {
    let mut world = world(Limits::default());
    begin(&mut world);
    let to = pxe_core::Destination::Unicast(World::address(0));
    for _ in 0..2 {
        world.engine.handle_segments_refused(to);
        assert_eq!(world.engine.transfers(), 1);
    }
}

#[test]
fn what_waits_for_the_driver_is_bounded() {
    let limits = Limits::default()
        .with_outputs_max(100)
        .with_replies_max(20)
        .with_noise_events_per_second(u32::MAX);
    let mut world = world(limits);
    let rrq = Ask::new("missing").packet(Opcode::RRQ);
    for client in 0..10_000 {
        let meta = pxe_core::RecvMeta::new(LISTENER, World::address(client));
        world.engine.handle_datagram(world.now, &meta, &rrq);
        world.engine.handle_datagram(world.now, &meta, b"garbage");
    }
    let mut waiting = Vec::new();
    take_incoming(&mut world, &mut waiting);
    assert!(waiting.len() <= 100);
    let lost = world.events.iter().find_map(|event| match event {
        Event::EventsLost { count, .. } => Some(*count),
        _ => None,
    });
    assert!(lost > Some(10_000));
    let now = world.now;
    let mut buf = SendBuffer::new();
    let mut replies = 0;
    while world
        .engine
        .poll_transmit(now, BatchLimit::ONE, &mut buf)
        .is_some()
    {
        replies += 1;
    }
    assert_eq!(replies, 20);
}

#[test]
fn acknowledged_data_are_let_go_of() {
    let config = Config::default()
        .with_chunk_bytes(1024)
        .with_read_ahead_bytes(1024);
    let mut world = World::new(config);
    begin(&mut world);
    let mut chunks: Vec<(u64, Bytes)> = Vec::new();
    for block in 1..=100_u16 {
        while let Some(output) = world.engine.poll_output() {
            if let Output::Want {
                transfer,
                offset,
                len,
                ..
            } = output
            {
                let bytes = Bytes::from(vec![0; len]);
                chunks.push((offset, bytes.clone()));
                world.engine.handle_data(world.now, transfer, offset, bytes);
            }
        }
        let mut buf = SendBuffer::new();
        let sent = world
            .engine
            .poll_transmit(world.now, BatchLimit::ONE, &mut buf);
        assert!(sent.is_some(), "{block}");
        let held = chunks.iter_mut().filter(|(_, bytes)| !bytes.is_unique());
        let held: usize = held.map(|(_, bytes)| bytes.len()).sum();
        assert!(held <= 4 * 1024, "{held} bytes at block {block}");
        let [high, low] = block.to_be_bytes();
        let meta = pxe_core::RecvMeta::new(SocketId(1), World::address(0));
        let ack = [0, 4, high, low];
        world.engine.handle_datagram(world.now, &meta, &ack);
    }
}

/// Begins a transfer, and leaves its data to be asked for.
fn begin(world: &mut World) {
    let rrq = Ask::new("file").packet(Opcode::RRQ);
    let meta = pxe_core::RecvMeta::new(LISTENER, World::address(0));
    world.engine.handle_datagram(world.now, &meta, &rrq);
    let now = world.now;
    while let Some(output) = world.engine.poll_output() {
        match output {
            Output::Incoming(incoming) => {
                let file = pxe_tftp::FileInfo::new(100_000);
                world.engine.accept(now, incoming, file);
            }
            Output::OpenSocket { transfer, .. } => {
                world
                    .engine
                    .handle_socket_opened(now, transfer, SocketId(1));
                return;
            }
            _ => {}
        }
    }
}

#[test]
fn slow_disk_does_not_cost_a_client_its_transfer() {
    let mut world = world(Limits::default());
    world.file("file", content(300_000));
    world.disk = Duration::from_secs(20);
    let client = world.start(
        Ask::new("file")
            .option("blksize", 1468)
            .option("windowsize", 64),
    );
    world.run_to_end();
    assert_eq!(*world.ending(client), Ending::Complete);
    assert!(world.clients[client].data == content(300_000));
}

#[test]
fn stuck_disk_ends_with_an_error() {
    let mut world = world(Limits::default().with_data_timeout(Duration::from_secs(10)));
    world.disk = Duration::from_secs(100_000);
    let client = world.start(Ask::new("file"));
    world.run(Duration::from_secs(11));
    assert_eq!(
        *world.ending(client),
        Ending::Error(ErrorCode::NOT_DEFINED, "server is too slow: file".into())
    );
    assert!(matches!(world.outcomes()[..], [Outcome::Failed(_)]));
}

#[test]
fn short_data_are_a_failure_and_no_end_of_file() {
    let mut world = world(Limits::default());
    world.promised.insert(b"file".to_vec(), 20_000);
    let client = world.start(Ask::new("file").option("blksize", 1000));
    world.run_to_end();
    let Ending::Error(_, text) = world.ending(client) else {
        panic!("{:?}", world.ending(client));
    };
    assert_eq!(text, "file is shorter than expected: file");
    assert!(world.clients[client].data.len() <= 10_000);
}

#[test]
fn shutdown_refuses_and_finishes() {
    let mut world = world(Limits::default());
    let running = world.start(Ask::new("file"));
    world.run(Duration::from_millis(1));
    world.engine.shut_down();
    let late = world.start(Ask::new("file"));
    world.run_to_end();
    assert_eq!(*world.ending(running), Ending::Complete);
    assert_eq!(
        *world.ending(late),
        Ending::Error(ErrorCode::NOT_DEFINED, "server is shutting down".into())
    );
    assert!(world.engine.is_idle());
}

#[test]
fn abort_tells_every_client() {
    let mut world = world(Limits::default());
    for _ in 0..5 {
        world.start(Ask::new("file"));
    }
    world.run(Duration::from_millis(1));
    let now = world.now;
    let refusal = Refusal::new(ErrorCode::NOT_DEFINED, "bye");
    world.engine.abort_all(now, &refusal);
    world.run_to_end();
    for client in 0..5 {
        assert_eq!(
            *world.ending(client),
            Ending::Error(ErrorCode::NOT_DEFINED, "bye".into())
        );
    }
    assert_eq!(world.sockets.len(), 1);
}

#[test]
fn forged_request_with_a_long_timeout_holds_its_place_for_a_short_time() {
    let mut world = world(Limits::default());
    let ask = Ask::new("file").option("timeout", 255);
    world.inject(World::address(5), LISTENER, &ask.packet(Opcode::RRQ));
    assert_eq!(world.engine.transfers(), 1);
    world.run(Duration::from_secs(31));
    assert_eq!(world.engine.transfers(), 0);
    assert_eq!(world.outcomes(), [&Outcome::TimedOut]);
}

/// Requests whose sender never answers: one from each of these ports, or addresses.
fn forge(world: &mut World, remotes: impl Iterator<Item = SocketAddr>) {
    for remote in remotes {
        world.inject(remote, LISTENER, &Ask::new("file").packet(Opcode::RRQ));
    }
}

#[test]
fn forged_requests_lock_nobody_out() {
    let mut world = world(Limits::default().with_transfers_max(100));
    // A client in the middle of its file keeps its place, however long ago it came.
    let old = World::address(5000);
    ask_from(&mut world, old);
    world.inject(old, SocketId(1), b"\0\x04\0\x01");
    forge(&mut world, (0..99).map(World::address));
    assert_eq!(world.engine.transfers(), 100);
    // Those who asked a moment ago may be about to answer.
    let packet = ask_from(&mut world, World::address(6000));
    assert!(busy(&packet, "too many transfers"));
    world.run(Duration::from_millis(250));
    for late in 0..50 {
        let packet = ask_from(&mut world, World::address(6001 + late));
        assert!(matches!(Packet::decode(&packet), Ok(Packet::Data { .. })));
        assert_eq!(world.engine.transfers(), 100);
    }
    assert_eq!(world.outcomes(), [&Outcome::Displaced; 50]);
    let before = world.sent.len();
    world.inject(old, SocketId(1), b"\0\x04\0\x02");
    assert!(matches!(
        Packet::decode(&world.sent[before].2),
        Ok(Packet::Data { block: 3, .. })
    ));
    assert_eq!(world.sockets.len(), 101, "no socket is left behind");
}

/// All places are taken, by transfers of another engine.
#[test]
fn unanswered_transfers_of_another_engine_make_room() {
    let limits = Limits::default().with_transfers_max(3);
    let (mut here, mut there) = (world(limits.clone()), world(limits));
    forge(&mut there, (0..3).map(World::address));
    let since = there.engine.unanswered_since(0);
    assert_eq!(there.engine.unanswered_since(2), since);
    assert_eq!(there.engine.unanswered_since(3), None);
    assert!(since.is_some());
    let mut ask = |millis, since| {
        here.run(Duration::from_millis(millis));
        here.engine.set_transfers_elsewhere(3);
        here.engine.set_unanswered_elsewhere(since);
        let remote = World::address(100 + here.sent.len());
        let packet = ask_from(&mut here, remote);
        let served = matches!(Packet::decode(&packet), Ok(Packet::Data { .. }));
        assert!(served || busy(&packet, "too many transfers"));
        (served, here.engine.take_displacements())
    };
    assert_eq!(ask(100, since), (false, 0));
    assert_eq!(ask(150, None), (false, 0));
    assert_eq!(ask(0, since), (true, 1));
    assert_eq!(ask(0, None), (false, 0));
    there.run(Duration::from_millis(250));
    let now = there.now;
    assert!(there.engine.make_room(now));
    there.drain_engine();
    assert_eq!(there.outcomes(), [&Outcome::Displaced]);
    assert_eq!(there.engine.transfers(), 2);
    there.inject(World::address(1), SocketId(2), b"\0\x04\0\x01");
    there.inject(World::address(2), SocketId(3), b"\0\x04\0\x01");
    assert!(!there.engine.make_room(now));
    assert_eq!(there.engine.unanswered_since(0), None);
}

#[test]
fn forged_requests_in_the_name_of_a_client_do_not_lock_it_out() {
    let mut world = world(Limits::default().with_transfers_per_remote_max(20));
    let from = |port| SocketAddr::from(([198, 51, 100, 9], port));
    // Older ones of others are left alone: they take nothing from this client.
    forge(&mut world, (0..5).map(World::address));
    forge(&mut world, (1000..1020).map(from));
    world.run(Duration::from_millis(250));
    let packet = ask_from(&mut world, from(49153));
    assert!(matches!(Packet::decode(&packet), Ok(Packet::Data { .. })));
    assert_eq!(world.engine.transfers(), 25);
    let displaced = world.events.iter().find_map(|event| match event {
        Event::TransferFinished { peer, .. } => Some(peer.remote),
        _ => None,
    });
    assert_eq!(displaced, Some(from(1000)));
}

#[test]
fn silent_client_with_a_long_timeout_holds_its_place_for_a_short_time() {
    let mut world = world(Limits::default());
    let ask = Ask::new("file").option("timeout", 255);
    world.inject(World::address(5), LISTENER, &ask.packet(Opcode::RRQ));
    world.inject(World::address(5), SocketId(1), b"\0\x04\0\0");
    world.run(Duration::from_secs(61));
    assert_eq!(world.engine.transfers(), 0);
    assert_eq!(world.outcomes(), [&Outcome::TimedOut]);
}

#[test]
fn slow_disk_is_not_counted_as_the_clients_silence() {
    let mut world = world(Limits::default());
    world.disk = Duration::from_secs(40);
    let mut ask = Ask::new("file");
    ask.repeats_max = 100;
    let client = world.start(ask);
    world.run_to_end();
    assert_eq!(*world.ending(client), Ending::Complete);
}
