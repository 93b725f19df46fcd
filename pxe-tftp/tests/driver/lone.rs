//! A transfer that has a thread for itself.

use std::net::UdpSocket;
use std::sync::mpsc;
use std::time::Instant;

use pxe_tftp::wire::{ErrorCode, Opcode};
use pxe_tftp::{Config, Server};

use crate::{Client, Got, PATIENCE, Running, content, tree};

/// A server of one thread.
fn with_one_thread(config: Config) -> Running {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    Running::of(Server::from_socket(socket, config).unwrap(), tree())
}

/// Has a client fetch a file of 375,001 blocks in lock-step, for as long as `goes_on`: after some
/// blocks its thread waits for nothing else. The last block that it has got, not acknowledged.
fn fetch_alone(client: &mut Client, mut goes_on: impl FnMut(u16) -> bool) -> u16 {
    let mut got = client.request(Opcode::RRQ, "big", &[("blksize", "8")]);
    let mut block = 0_u16;
    loop {
        match got {
            Got::Data(number, payload) if number == block.wrapping_add(1) => {
                assert_eq!(payload.len(), 8, "it has not come to its end");
                block = number;
            }
            Got::Data(..) | Got::Oack(_) => {}
            other => panic!("{other:?}"),
        }
        if block != 0 && !goes_on(block) {
            return block;
        }
        client.acknowledge(block);
        got = client.receive();
    }
}

#[test]
fn who_asks_while_a_transfer_is_alone_is_answered_before_that_is_over() {
    let server = with_one_thread(Config::new());
    let (sender, alone) = mpsc::channel();
    let deadline = Instant::now() + PATIENCE;
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (mut client, done) = (server.client(), &done);
        scope.spawn(move || {
            let goes_on = |block| {
                if block == 100 {
                    sender.send(()).unwrap();
                }
                let is_done = done.load(std::sync::atomic::Ordering::Acquire);
                !is_done && Instant::now() < deadline
            };
            fetch_alone(&mut client, goes_on);
        });
        alone.recv_timeout(PATIENCE).unwrap();
        assert!(server.client().fetch("small", &[]).unwrap() == content(1000));
        done.store(true, std::sync::atomic::Ordering::Release);
        // Its sender lives as long as the thread.
        alone.iter().for_each(drop);
    });
}

#[test]
fn a_client_that_was_alone_and_stops_is_sent_its_block_again() {
    let server = with_one_thread(Config::new());
    let mut client = server.client();
    let block = fetch_alone(&mut client, |block| block < 100);
    assert!(matches!(client.receive(), Got::Data(number, _) if number == block));
    assert!(server.client().fetch("small", &[]).unwrap() == content(1000));
    // And it goes on.
    client.acknowledge(block);
    while matches!(client.receive(), Got::Data(number, _) if number == block) {}
}

#[test]
fn a_shutdown_is_seen_while_a_transfer_is_alone() {
    let server = with_one_thread(Config::new());
    let mut client = server.client();
    let block = fetch_alone(&mut client, |block| {
        if block == 100 {
            server.handle.shut_down();
        }
        block < 200
    });
    assert_eq!(
        server.client().request(Opcode::RRQ, "small", &[]),
        Got::Error(ErrorCode::NOT_DEFINED, "server is shutting down".to_owned())
    );
    // Its grace is not over.
    client.acknowledge(block);
    while matches!(client.receive(), Got::Data(number, _) if number == block) {}
    let error = b"\0\x05\0\0enough\0";
    client.socket.send_to(error, client.peer.unwrap()).unwrap();
}
