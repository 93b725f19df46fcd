//! Requests of a client that arrive at more than one processor.

use pxe_tftp::wire::Opcode;
use pxe_tftp::{Config, Event, Outcome, PortMode};

use crate::{Got, Running, tree};

/// Has this thread run on one processor, if there is such a one: then packets come in there.
fn run_on(processor: usize) {
    let this_thread = nix::unistd::Pid::from_raw(0);
    let mut set = nix::sched::CpuSet::new();
    let _ = set
        .set(processor)
        .and_then(|()| nix::sched::sched_setaffinity(this_thread, &set));
}

#[test]
fn a_request_that_is_repeated_on_another_processor_begins_no_second_transfer() {
    let server = Running::start("127.0.0.1:0", Config::new(), tree());
    for _ in 0..20 {
        let client = server.client();
        let ask = |processor, rrq: &[u8]| {
            run_on(processor);
            client.socket.send_to(rrq, client.server).unwrap();
        };
        let (mut received, mut repeated, mut superseded) = (0, 0, 0);
        let mut count = |event| {
            match event {
                Event::RequestReceived { .. } => received += 1,
                Event::RequestRepeated { .. } => repeated += 1,
                Event::TransferFinished { report, .. } => {
                    superseded += u32::from(report.outcome == Outcome::Superseded);
                }
                _ => {}
            }
            Some((received, repeated, superseded))
        };
        for processor in [0, 1, 0, 1] {
            ask(processor, b"\0\x01small\0octet\0");
        }
        while server.await_event(&mut count) != (1, 3, 0) {}
        // Another file ends that transfer, wherever it runs.
        ask(0, b"\0\x01big\0octet\0");
        while server.await_event(&mut count) != (2, 3, 1) {}
        ask(1, b"\0\x01empty\0octet\0");
        while server.await_event(&mut count) != (3, 3, 2) {}
    }
}

#[test]
fn single_port_mode_that_is_set_later_keeps_each_client_with_its_thread() {
    let server = Running::start("127.0.0.1:0", Config::new(), tree());
    let single = Config::new().with_ports(PortMode::Single);
    server.handle.reconfigure(single);
    // Each thread knows of it once it has answered from the port that was asked.
    for processor in [0, 1] {
        run_on(processor);
        while {
            let mut client = server.client();
            let fetched = client.fetch("small", &[]);
            fetched.is_err() || client.peer != Some(server.addr)
        } {}
    }
    for number in 0..40 {
        let mut client = server.client();
        let mut got = client.request(Opcode::RRQ, "Boot/BCD", &[]);
        for block in 1..=10 {
            // Each packet comes in on another processor.
            run_on(number % 2);
            while !matches!(got, Got::Data(number, _) if number == block) {
                got = client.receive();
            }
            run_on(usize::from(block) % 2);
            client.acknowledge(block);
        }
        assert_eq!(client.peer, Some(server.addr));
    }
}
