//! Every byte arrives, whatever happens on the way.

use std::time::Duration;

use proptest::prelude::*;
use pxe_core::{BatchLimit, RecvMeta, SocketId};
use pxe_tftp::wire::Opcode;
use pxe_tftp::{Config, Outcome, PortMode, SendBuffer};

use crate::client::{Ask, Ending};
use crate::world::{Drain, LISTENER, Link, Random, World, content};

const LOSSY: Link = Link {
    delay: Duration::from_micros(300),
    jitter: Duration::from_micros(200),
    loss_per_mille: 30,
    duplicate_per_mille: 20,
};

fn ask(blksize: Option<u16>, windowsize: Option<u16>) -> Ask {
    let mut ask = Ask::new("file");
    if let Some(blksize) = blksize {
        ask = ask.option("blksize", blksize);
    }
    if let Some(windowsize) = windowsize {
        ask = ask.option("windowsize", windowsize);
    }
    ask
}

fn fetch(world: &mut World, ask: Ask, len: usize) {
    world.file("file", content(len));
    let client = world.start(ask);
    world.run_to_end();
    assert_eq!(*world.ending(client), Ending::Complete);
    assert_eq!(world.clients[client].data.len(), len);
    assert!(world.clients[client].data == content(len));
    assert_eq!(world.sockets.len(), 1, "every transfer's socket is closed");
}

#[test]
fn every_length_arrives_whole_over_a_clean_link() {
    for blksize in [None, Some(8), Some(1432), Some(1468)] {
        for windowsize in [None, Some(1), Some(4), Some(16), Some(64)] {
            let block = usize::from(blksize.unwrap_or(512));
            for len in [
                0,
                1,
                block - 1,
                block,
                block + 1,
                3 * block,
                70 * block,
                70 * block + 1,
            ] {
                let mut world = World::new(Config::default());
                fetch(&mut world, ask(blksize, windowsize), len);
                let reports = world.reports();
                assert_eq!(reports.len(), 1);
                assert_eq!(reports[0].outcome, Outcome::Complete);
                assert_eq!(reports[0].bytes, len as u64);
                assert_eq!(reports[0].blocks, (len / block + 1) as u64);
                assert_eq!(reports[0].retransmits, 0);
                assert_eq!(world.clients[0].data_packets, (len / block + 1) as u64);
            }
        }
    }
}

#[test]
fn every_length_arrives_whole_over_a_bad_link() {
    for (blksize, windowsize) in [
        (None, None),
        (Some(8), Some(5)),
        (Some(1468), Some(4)),
        (Some(1468), Some(64)),
    ] {
        let block = usize::from(blksize.unwrap_or(512));
        for len in [0, block, 5 * block - 1, 200 * block + 1] {
            for seed in 0..8 {
                for ports in [PortMode::PerTransfer, PortMode::Single] {
                    let mut world = World::new(Config::default().with_ports(ports));
                    world.link = LOSSY;
                    world.random = Random(seed);
                    world.disk = Duration::from_micros(seed * 400);
                    fetch(&mut world, ask(blksize, windowsize), len);
                }
            }
        }
    }
}

#[test]
fn block_numbers_roll_over_to_zero() {
    // 65536 blocks and more, in lock-step and in windows across the edge.
    for (windowsize, blocks) in [(None, 65_535), (None, 65_536), (Some(7), 131_080)] {
        let mut world = World::new(Config::default());
        world.keep_sent = false;
        fetch(&mut world, ask(Some(8), windowsize), blocks * 8 + 3);
        assert_eq!(world.reports()[0].blocks, blocks as u64 + 1);
        assert_eq!(world.reports()[0].retransmits, 0);
    }
    let mut world = World::new(Config::default());
    world.keep_sent = false;
    world.link = Link {
        loss_per_mille: 5,
        duplicate_per_mille: 5,
        jitter: Duration::from_micros(15),
        ..LOSSY
    };
    fetch(&mut world, ask(Some(8), Some(16)), 70_000 * 8);
}

#[test]
fn netascii_arrives_converted() {
    let text: Vec<u8> = (0..5000_u32)
        .map(|n| match n % 7 {
            0 => b'\n',
            3 => b'\r',
            n => b'a' + n as u8,
        })
        .collect();
    let mut expected = Vec::new();
    for &byte in &text {
        match byte {
            b'\n' => expected.extend(b"\r\n"),
            b'\r' => expected.extend(b"\r\0"),
            byte => expected.push(byte),
        }
    }
    for windowsize in [None, Some(8)] {
        for seed in 0..5 {
            let mut world = World::new(Config::default());
            world.link = LOSSY;
            world.random = Random(seed);
            world.file("file", text.clone());
            let ask = ask(None, windowsize).mode("NetASCII").option("tsize", 0);
            let client = world.start(ask);
            world.run_to_end();
            assert_eq!(*world.ending(client), Ending::Complete);
            assert!(world.clients[client].data == expected);
            assert_eq!(world.clients[client].tsize, None);
        }
    }
}

#[test]
fn a_thousand_clients_share_the_server_fairly() {
    let mut world = World::new(Config::default());
    world.keep_sent = false;
    let len = 20_000;
    world.file("file", content(len));
    for _ in 0..1000 {
        world.start(Ask::new("file").option("blksize", 1432));
    }
    // Long before the first is done, all have had their turn. One round takes 24 ms of wire.
    world.run(Duration::from_millis(200));
    let least = world.clients.iter().map(|client| client.data.len()).min();
    let most = world.clients.iter().map(|client| client.data.len()).max();
    assert!(most > Some(0) && most < Some(len));
    let (least, most) = (least.unwrap(), most.unwrap());
    assert!(most - least <= 2 * 1432, "{least} to {most}");
    world.run_to_end();
    for client in &world.clients {
        assert_eq!(client.ending, Some(Ending::Complete));
        assert!(client.data == content(len));
    }
}

#[test]
fn transfers_with_much_to_send_take_turns() {
    let mut world = World::new(Config::default());
    world.file("file", content(50_000));
    let rrq = ask(None, Some(8)).packet(Opcode::RRQ);
    for client in 0..3 {
        world.inject(World::address(client), LISTENER, &rrq);
    }
    for client in 0..3 {
        let meta = RecvMeta::new(SocketId(client + 1), World::address(client as usize));
        world
            .engine
            .handle_datagram(world.now, &meta, b"\0\x04\0\0");
    }
    world.outputs(usize::MAX);
    let mut turns = Vec::new();
    let mut buf = SendBuffer::new();
    while let Some(transmit) = world
        .engine
        .poll_transmit(world.now, BatchLimit::ONE, &mut buf)
    {
        turns.push(transmit.socket.0);
    }
    assert_eq!(turns, [1, 2, 3].repeat(8));
}

#[test]
fn the_order_of_draining_does_not_change_the_outcome() {
    for ports in [PortMode::PerTransfer, PortMode::Single] {
        for disk in [0, 250] {
            let runs = [
                Drain::OutputsFirst,
                Drain::TransmitsFirst,
                Drain::OneOfEach,
                Drain::Singly,
            ]
            .map(|drain| {
                let mut world = World::new(Config::default().with_ports(ports));
                world.drain = drain;
                world.disk = Duration::from_micros(disk);
                world.file("file", content(300_000));
                world.start(ask(Some(1468), Some(16)).option("tsize", 0));
                world.start(ask(None, None));
                world.start(Ask::new("missing"));
                world.run_to_end();
                let mut sent: Vec<_> = world.sent.clone();
                sent.sort();
                let data: Vec<_> = world.clients.iter().map(|c| c.data.clone()).collect();
                let endings: Vec<_> = world.clients.iter().map(|c| c.ending.clone()).collect();
                (sent, data, endings)
            });
            for run in &runs {
                assert!(*run == runs[0], "{ports:?} {disk}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // A quarter of what PROPTEST_CASES says.
        cases: ProptestConfig::default().cases / 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_transfer_over_any_link_is_whole_or_fails_loudly(
        seed in any::<u64>(),
        len in 0_usize..60_000,
        blksize in proptest::option::of(8_u16..3000),
        windowsize in proptest::option::of(1_u16..100),
        loss_per_mille in 0_u64..250,
        duplicate_per_mille in 0_u64..250,
        jitter_micros in 0_u64..5000,
        disk_micros in 0_u64..3000,
        single_port in any::<bool>(),
        drain in prop_oneof![
            Just(Drain::OutputsFirst),
            Just(Drain::TransmitsFirst),
            Just(Drain::OneOfEach),
            Just(Drain::Singly),
        ],
    ) {
        let ports = if single_port { PortMode::Single } else { PortMode::PerTransfer };
        let mut world = World::new(Config::default().with_ports(ports));
        world.random = Random(seed);
        world.drain = drain;
        world.disk = Duration::from_micros(disk_micros);
        world.link = Link {
            delay: Duration::from_micros(100),
            jitter: Duration::from_micros(jitter_micros),
            loss_per_mille,
            duplicate_per_mille,
        };
        let blocks = len / usize::from(blksize.unwrap_or(512)).min(1468);
        prop_assume!(blocks < 2000);
        world.file("file", content(len));
        let client = world.start(ask(blksize, windowsize));
        world.run_to_end();
        match world.ending(client) {
            Ending::Complete => prop_assert!(world.clients[client].data == content(len)),
            // With a quarter of all packets lost, patience may end.
            Ending::GaveUp | Ending::Error(..) => prop_assert!(loss_per_mille > 60),
        }
        prop_assert_eq!(world.sockets.len(), 1);
    }
}
