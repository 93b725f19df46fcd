//! The bounds on what peers can make an engine keep or do.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pxe_core::{IfIndex, MacAddr, RecvMeta, SocketId};
use pxe_dhcp::wire::{MachineUuid, MessageType};
use pxe_dhcp::{
    Config, Event, IgnoreReason, Limit, Limits, ProbeResult, Reservation, ReservedFor, Subnet,
};
use support::{Bench, Request, SERVER, client, ip, is_ignored, lan, mac, policy, small, yiaddr};

const ACK: MessageType = MessageType::ACK;

#[test]
fn a_liar_cannot_decline_the_whole_pool() {
    let mut limits = Limits::new();
    limits.quarantined_max = 3;
    let mut bench = Bench::new(small(10, 19).with_limits(limits), policy());
    for number in 0..30 {
        let liar = Request::new(mac(number));
        let address = bench.lease(&liar);
        bench.send(&liar.decline(address));
    }
    assert_eq!(
        bench.engine.counters().limits.get(&Limit::Quarantined),
        Some(&27)
    );
    bench.lease(&client());
}

#[test]
fn offers_are_bounded_and_a_forgotten_one_can_still_be_taken() {
    let mut limits = Limits::new();
    limits.offers_max = 5;
    let config = Config::new().with_subnet(lan()).with_limits(limits);
    let mut bench = Bench::new(config, policy());
    let address = yiaddr(&bench.ask(&client().discover())).expect("an address");
    for number in 10..16 {
        bench.ask(&Request::new(mac(number)).discover());
    }
    assert_eq!(bench.engine.offers_len(), 5);
    assert_eq!(bench.engine.counters().limits.get(&Limit::Offers), Some(&2));
    assert_eq!(
        Bench::type_of(&bench.send(&client().select(address))),
        [ACK]
    );
    bench.advance(Duration::from_secs(60));
    assert_eq!(bench.engine.offers_len(), 0, "offers end");
}

#[test]
fn leases_are_bounded() {
    let mut limits = Limits::new();
    limits.leases_max = 2;
    let mut bench = Bench::new(small(10, 20).with_limits(limits), policy());
    bench.lease(&client());
    let second = bench.lease(&Request::new(mac(2)));
    let third = Request::new(mac(3));
    let address = yiaddr(&bench.ask(&third.discover())).expect("an address");
    assert!(bench.send(&third.select(address)).is_empty());
    assert_eq!(bench.engine.counters().limits.get(&Limit::Leases), Some(&1));
    bench.send(&Request::new(mac(2)).release(second));
    assert_eq!(Bench::type_of(&bench.send(&third.select(address))), [ACK]);
    assert_eq!(bench.engine.leases().count(), 2);
}

#[test]
fn one_client_cannot_flood() {
    let mut bench = Bench::lan();
    let answered = (0..100)
        .filter(|_| !bench.send(&client().discover()).is_empty())
        .count();
    assert_eq!(answered, 32);
    assert!(is_ignored(&bench, IgnoreReason::RateLimit));
    bench.lease(&Request::new(mac(2)));
    bench.advance(Duration::from_secs(1));
    bench.lease(&client());
}

#[test]
fn commits_and_replies_that_wait_are_bounded() {
    let mut limits = Limits::new();
    (limits.commits_max, limits.transmits_max) = (2, 3);
    let mut bench = Bench::new(small(10, 30).with_limits(limits), policy());
    bench.holds_commits = true;
    for number in 0..4 {
        let client = Request::new(mac(number));
        let address = yiaddr(&bench.ask(&client.discover())).expect("an address");
        assert!(bench.send(&client.select(address)).is_empty());
    }
    assert_eq!((bench.engine.commits_len(), bench.commits.len()), (2, 2));
    let reached = |bench: &Bench, limit| bench.engine.counters().limits.get(&limit).copied();
    assert_eq!(reached(&bench, Limit::Commits), Some(2));
    // Nobody fetches the replies.
    let meta = RecvMeta::new(SocketId(0), SocketAddr::from(([0, 0, 0, 0], 68)))
        .with_local_ip(IpAddr::V4(SERVER))
        .with_interface(IfIndex::new(2).expect("not zero"));
    for number in 10..15 {
        let discover = Request::new(mac(number)).discover().bytes();
        bench.engine.handle_datagram(bench.now, &meta, &discover);
    }
    assert_eq!(bench.sent().len(), 3);
    assert_eq!(reached(&bench, Limit::Transmits), Some(2));
}

#[test]
fn events_that_wait_are_bounded_and_their_loss_is_told_once() {
    let mut limits = Limits::new();
    limits.events_max = 5;
    let mut bench = Bench::new(small(10, 30).with_limits(limits), policy());
    let meta = RecvMeta::new(SocketId(0), SocketAddr::from(([0, 0, 0, 0], 68)));
    for _ in 0..20 {
        bench.engine.handle_datagram(bench.now, &meta, b"nonsense");
    }
    bench.drain();
    assert_eq!(bench.events.len(), 6);
    let limit = Limit::Events;
    assert_eq!(*bench.last_event(), Event::LimitReached { limit });
    assert_eq!(bench.engine.counters().limits.get(&limit), Some(&15));
}

#[test]
fn one_discover_is_worth_three_probes_in_vain() {
    let mut bench = Bench::new(small(10, 20), policy());
    bench.holds_probes = true;
    for number in 0..11 {
        bench.lease(&Request::new(mac(number)));
    }
    bench.advance(Duration::from_secs(601));
    assert!(bench.send(&Request::new(mac(50)).discover()).is_empty());
    let mut probes = 0;
    while !bench.probes.is_empty() {
        assert!(bench.probed(ProbeResult::InUse).is_empty());
        probes += 1;
    }
    assert_eq!(probes, 3);
    let limit = Limit::ClientProbes;
    assert_eq!(bench.engine.counters().limits.get(&limit), Some(&1));
    assert!(bench.events.contains(&Event::LimitReached { limit }));
}

#[test]
fn a_message_that_is_too_long_is_counted() {
    let mut config = small(10, 20);
    config.limits.datagram_bytes_max = 200;
    let mut bench = Bench::new(config, policy());
    assert!(bench.send(&Request::new(mac(1)).discover()).is_empty());
    let limit = Limit::DatagramBytes;
    assert_eq!(bench.last_event().limit(), Some(limit));
    assert_eq!(bench.engine.counters().limits.get(&limit), Some(&1));
}

#[test]
fn other_servers_are_bounded() {
    let mut config = small(10, 20);
    config.limits.other_servers_max = 1;
    let mut bench = Bench::new(config, policy());
    for last in [100, 101] {
        let now = bench.now;
        bench.engine.handle_other_server(now, ip(last), None, None);
    }
    bench.sent();
    let limit = Limit::OtherServers;
    assert_eq!(*bench.last_event(), Event::LimitReached { limit });
    assert_eq!(bench.engine.counters().limits.get(&limit), Some(&1));
}

/// A machine with a MAC that nobody had before.
fn stranger(number: u32) -> Request {
    let [a, b, c, d] = number.wrapping_mul(0x9e37_79b1).to_be_bytes();
    Request::new(MacAddr::new([a & 0xfe | 2, b, c, d, a, 9]))
}

fn at_port(request: Request, port: u8) -> Request {
    request.giaddr(ip(2)).option(82, [1, 1, port])
}

#[test]
fn a_hundred_thousand_strangers_leave_known_clients_and_reservations_served() {
    let subnet = lan().with_reservation(Reservation::new(mac(77), ip(50)));
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    let address = bench.lease(&client());
    let former = Request::new(mac(2));
    let given_back = bench.lease(&former);
    bench.send(&former.release(given_back));
    for number in 0..100_000 {
        bench.send(&stranger(number).discover());
        bench.events.clear();
        if number % 1000 == 0 {
            bench.advance(Duration::from_millis(10));
        }
    }
    assert_eq!(Bench::type_of(&bench.send(&client().renew(address))), [ACK]);
    assert_eq!(bench.lease(&client()), address);
    assert_eq!(bench.lease(&Request::new(mac(77))), ip(50));
    let refused = bench.engine.counters().limits[&Limit::NewClients];
    assert!(refused > 90_000, "{refused}");
    assert!(
        bench.engine.offers_len() <= 101,
        "no more than the pool has"
    );
}

#[test]
fn a_class_of_200_machines_behind_one_relay_is_served_at_once() {
    let subnet = lan().with_pool(ip(3), ip(99)).with_pool(ip(201), ip(254));
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    let machine = |number: u8| at_port(Request::new(mac(number)), 1);
    let offers: Vec<_> = (0..200)
        .map(|number| yiaddr(&bench.ask(&machine(number).discover())).expect("an address"))
        .collect();
    for (number, address) in (0..200).zip(offers) {
        let acks = bench.send(&machine(number).select(address));
        assert_eq!(Bench::type_of(&acks), [ACK]);
    }
}

#[test]
fn leases_of_a_port_are_bounded() {
    let mut limits = Limits::new();
    limits.leases_per_port_max = 2;
    let config = Config::new().with_subnet(lan()).with_limits(limits);
    let mut bench = Bench::new(config, policy());
    let machine = |number, port| at_port(stranger(number), port);
    let first = bench.lease(&machine(1, 1));
    bench.lease(&machine(2, 1));
    assert!(bench.send(&machine(3, 1).discover()).is_empty());
    let limit = Limit::PortLeases;
    assert!(is_ignored(&bench, IgnoreReason::Limit(limit)));
    assert!(bench.send(&machine(3, 1).select(ip(150))).is_empty());
    assert_eq!(bench.engine.counters().limits[&limit], 2);
    // Another port, those who are there, and after a restart.
    bench.lease(&machine(4, 2));
    assert_eq!(bench.lease(&machine(1, 1)), first);
    let mut again = Bench::new(bench.engine.config().clone(), policy());
    again.store = bench.store.clone();
    again.engine.load(again.now, bench.store.values().cloned());
    assert!(again.send(&machine(3, 1).discover()).is_empty());
    again.send(&machine(1, 1).release(first));
    again.lease(&machine(3, 1));
}

#[test]
fn leases_of_a_block_of_macs_are_bounded() {
    let mut limits = Limits::new();
    limits.leases_per_oui_max = 2;
    let config = Config::new().with_subnet(lan()).with_limits(limits);
    let mut bench = Bench::new(config, policy());
    bench.lease(&Request::new(mac(1)));
    bench.lease(&Request::new(mac(2)));
    assert!(bench.send(&Request::new(mac(3)).discover()).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::Limit(Limit::OuiLeases)));
    bench.lease(&stranger(1));
}

#[test]
fn offers_and_new_clients_of_a_port_are_bounded() {
    let mut limits = Limits::new();
    (limits.offers_per_port_max, limits.new_clients_burst) = (2, 3);
    limits.new_clients_per_second = 1;
    let config = Config::new().with_subnet(lan()).with_limits(limits);
    let mut bench = Bench::new(config, policy());
    let machine = |number, port| at_port(stranger(number), port);
    let first = yiaddr(&bench.ask(&machine(1, 1).discover())).expect("an address");
    bench.ask(&machine(2, 1).discover());
    assert!(bench.send(&machine(3, 1).discover()).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::Limit(Limit::PortOffers)));
    bench.ask(&machine(5, 2).discover());
    assert_eq!(
        Bench::type_of(&bench.send(&machine(1, 1).select(first))),
        [ACK]
    );
    bench.lease(&machine(2, 1));
    bench.lease(&machine(3, 1));
    assert!(bench.send(&machine(4, 1).discover()).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::Limit(Limit::NewClients)));
    bench.advance(Duration::from_secs(1));
    bench.lease(&machine(4, 1));
}

#[test]
fn a_circuit_that_a_client_says_itself_is_no_port_of_its_own() {
    // A relay discards such requests (RFC 3046 section 2.1), but none is between these and us.
    let mut limits = Limits::new();
    limits.offers_per_port_max = 2;
    let config = Config::new().with_subnet(lan()).with_limits(limits);
    let mut bench = Bench::new(config, policy());
    for number in 0..5 {
        let machine = stranger(number).option(82, [1, 1, number as u8]);
        bench.send(&machine.discover());
    }
    assert_eq!(bench.engine.offers_len(), 2);
    assert!(is_ignored(&bench, IgnoreReason::Limit(Limit::PortOffers)));
}

#[test]
fn a_reservation_that_many_can_claim_lets_one_of_them_past_the_limits() {
    let uuid = [7; 16];
    let by_uuid = ReservedFor::Uuid(MachineUuid::from_wire(uuid));
    for (reservation, served) in [
        (Reservation::new(by_uuid.clone(), ip(50)), 3),
        (Reservation::known(by_uuid), 2),
    ] {
        let mut limits = Limits::new();
        limits.offers_per_port_max = 2;
        let subnet = lan().with_reservation(reservation);
        let config = Config::new().with_subnet(subnet).with_limits(limits);
        let mut bench = Bench::new(config, policy());
        bench.ask(&stranger(100).discover());
        bench.ask(&stranger(101).discover());
        for number in 0..9 {
            let forger = stranger(number).option(97, [&[0], &uuid[..]].concat());
            bench.send(&forger.discover());
        }
        assert_eq!(bench.engine.offers_len(), served);
        // Nor do they get by with an address that they insist on.
        for number in 10..19 {
            let forger = stranger(number).option(97, [&[0], &uuid[..]].concat());
            bench.send(&forger.select(ip(150)));
            assert!(is_ignored(&bench, IgnoreReason::Limit(Limit::PortOffers)));
        }
    }
}

#[test]
fn two_thousand_machines_whose_power_comes_back_are_served_within_a_second() {
    let subnet = Subnet::new("10.0.0.0/20".parse().expect("a network"))
        .with_pool([10, 0, 0, 10].into(), [10, 0, 15, 250].into());
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    bench.holds_commits = true;
    let machine = |number: u32| {
        let mut request = stranger(number);
        request.local_ip = [10, 0, 0, 1].into();
        request
    };
    bench.server = [10, 0, 0, 1].into();
    let offers: Vec<_> = (0..2000)
        .map(|number| {
            // A ROM that is not answered within its patience asks twice.
            bench.send(&machine(number).discover());
            yiaddr(&bench.ask(&machine(number).discover())).expect("an address")
        })
        .collect();
    for (number, address) in (0..2000).zip(offers) {
        let request = machine(number).select_of(address, [10, 0, 0, 1].into());
        assert!(bench.send(&request).is_empty(), "the commit comes first");
    }
    assert_eq!(bench.commits.len(), 2000);
    bench.commit_all();
    assert_eq!(Bench::type_of(&bench.sent()), [ACK; 2000]);
}

#[test]
fn what_is_kept_of_a_client_is_no_longer_than_an_option() {
    // 4 KiB in each record, joined by RFC 3396, would be gigabytes of them.
    let mut request = client();
    for _ in 0..5 {
        for code in [12, 60, 61] {
            request = request.option(code, [b'x'; 100]);
        }
        request = request.option(81, [b'x'; 100]);
    }
    let mut bench = Bench::lan();
    let address = bench.lease(&request.option(57, 1500_u16.to_be_bytes()));
    let record = &bench.store[&address];
    assert_eq!(record.host_name, None);
    assert_eq!(record.vendor_class, None);
    assert_eq!(record.client_id, None);
    assert_eq!(record.fqdn, None);
    let mut long = Request::new(mac(2));
    (long.header.htype, long.header.hlen, long.header.chaddr) = (32, 0, [0; 16]);
    let long = long.option(61, [1; 200]).option(61, [2; 200]);
    assert!(bench.send(&long.discover()).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::NoClient));
}

#[test]
fn probes_are_bounded_and_a_doubtful_address_is_not_given_without_one() {
    let mut limits = Limits::new();
    limits.probes_max = 1;
    let config = small(10, 12).with_limits(limits);
    let mut bench = Bench::new(config.clone(), policy());
    for number in 1..=3 {
        bench.lease(&Request::new(mac(number)));
    }
    let store = bench.store.clone();
    bench.holds_probes = true;
    bench.advance(Duration::from_secs(601));
    assert!(bench.send(&Request::new(mac(4)).discover()).is_empty());
    // Its lease is over by a clock that is right: as a driver does that cannot probe.
    bench.ask(&Request::new(mac(5)).discover());
    assert_eq!(bench.probes.len(), 1);
    let reached = bench.engine.counters().limits.get(&Limit::Probes);
    assert_eq!(reached, Some(&1));
    // After a restart, the clock may have been stepped meanwhile.
    let mut again = Bench::new(config, policy());
    again.now = bench.now;
    again.holds_probes = true;
    again.engine.load(again.now, store.into_values());
    assert!(again.send(&Request::new(mac(4)).discover()).is_empty());
    assert!(again.send(&Request::new(mac(5)).discover()).is_empty());
    assert_eq!((again.probes.len(), again.engine.offers_len()), (1, 1));
    assert_eq!(Bench::type_of(&again.probed(ProbeResult::Free)).len(), 1);
    assert!(again.send(&Request::new(mac(5)).discover()).is_empty());
    assert_eq!(again.probes.len(), 1, "there is room for this one now");
}

#[test]
fn who_floods_in_anothers_name_from_elsewhere_silences_nobody() {
    let mut bench = Bench::lan();
    let address = bench.lease(&at_port(client(), 1));
    for _ in 0..100 {
        bench.send(&at_port(client(), 2).discover());
    }
    assert!(is_ignored(&bench, IgnoreReason::RateLimit));
    let renewal = at_port(client(), 1).renew(address);
    assert_eq!(Bench::type_of(&bench.send(&renewal)), [ACK]);
}

#[test]
fn a_client_that_takes_and_gives_back_address_after_address_is_known_by_the_last() {
    let mut bench = Bench::lan();
    for last in 100..=120 {
        let acks = bench.send(&client().select(ip(last)));
        assert_eq!(Bench::type_of(&acks), [ACK]);
        bench.send(&client().release(ip(last)));
        bench.advance(Duration::from_secs(1));
    }
    assert_eq!(bench.engine.leases().count(), 21);
    let naks = bench.send(&client().reboot(ip(100)));
    assert_eq!(Bench::type_of(&naks), [MessageType::NAK]);
    let acks = bench.send(&client().reboot(ip(120)));
    assert_eq!(Bench::type_of(&acks), [ACK]);
}

#[test]
fn a_client_cannot_take_several_addresses_while_the_first_is_being_stored() {
    let mut bench = Bench::lan();
    bench.holds_commits = true;
    assert!(bench.send(&client().select(ip(150))).is_empty());
    for request in [client().select(ip(151)), client().renew(ip(152))] {
        let naks = bench.send(&request);
        assert_eq!(Bench::type_of(&naks), [MessageType::NAK]);
    }
    assert!(bench.send(&client().select(ip(150))).is_empty());
    bench.commit_all();
    assert_eq!(Bench::type_of(&bench.sent()), [ACK]);
    assert_eq!(bench.engine.leases().count(), 1);
}
