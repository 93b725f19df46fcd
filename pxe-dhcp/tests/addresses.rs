//! Which address a client gets: pools, reservations, shared networks, and what it had before.

mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use pxe_dhcp::wire::{Message, MessageType, OptionCode};
use pxe_dhcp::{
    Class, Condition, Config, DhcpOption, Event, IgnoreReason, LeaseState, Limits, NakReason,
    ProbeResult, Reservation, Subnet,
};
use support::{Bench, MAC, Request, client, ip, is_ignored, lan, mac, policy, small, yiaddr};

const ACK: MessageType = MessageType::ACK;
const NAK: MessageType = MessageType::NAK;
const OFFER: MessageType = MessageType::OFFER;

#[test]
fn an_expired_lease_stays_its_clients_until_it_is_needed() {
    let mut bench = Bench::new(small(10, 11), policy());
    let address = bench.lease(&client());
    bench.advance(Duration::from_secs(600));
    assert!(matches!(bench.last_event(), Event::Expired { .. }));
    let other = bench.lease(&Request::new(mac(2)));
    assert_ne!(other, address, "a fresh one is preferred");
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.lease(&client()), address);
    bench.advance(Duration::from_secs(601));
    // Both are over; the one that ended first goes first.
    assert_eq!(bench.lease(&Request::new(mac(3))), other);
    assert_eq!(bench.lease(&Request::new(mac(4))), address);
    assert!(bench.send(&client().discover()).is_empty());
}

#[test]
fn a_shared_network_gives_addresses_of_both_subnets() {
    let subnet = |text: &str, pool: u8| {
        let network: pxe_dhcp::Ipv4Net = text.parse().expect("a network");
        let mut octets = network.network().octets();
        octets[3] = pool;
        Subnet::new(network)
            .with_pool(octets.into(), octets.into())
            .with_shared_network("floor")
    };
    let config = Config::new()
        .with_subnet(subnet("192.168.150.0/24", 10))
        .with_subnet(subnet("192.168.151.0/24", 20));
    let mut bench = Bench::new(config, policy());
    assert_eq!(bench.lease(&client()), ip(10));
    let second = bench.lease(&Request::new(mac(2)));
    assert_eq!(second, Ipv4Addr::new(192, 168, 151, 20));
    assert_eq!(
        Bench::type_of(&bench.send(&Request::new(mac(2)).reboot(second))),
        [ACK]
    );
    assert!(bench.send(&Request::new(mac(3)).discover()).is_empty());
}

#[test]
fn own_addresses_routers_and_reservations_are_nobody_elses() {
    let subnet = Subnet::new("192.168.150.0/29".parse().expect("a network"))
        .with_pool(ip(0), ip(7))
        .without(ip(5), ip(5))
        .with_routers(&[ip(2)])
        .with_reservation(Reservation::new(MAC, ip(3)).with_host_name("pc1"));
    let mut config = Config::new().with_subnet(subnet);
    config.own_addresses.push(ip(6));
    let mut bench = Bench::new(config, policy());
    // .0 network, .1 server, .2 router, .3 reserved, .5 excluded, .6 own, .7 broadcast.
    assert_eq!(bench.lease(&Request::new(mac(2))), ip(4));
    assert!(bench.send(&Request::new(mac(3)).discover()).is_empty());
    assert_eq!(bench.lease(&client()), ip(3));
    let ack = bench.ask(&client().option(55, [12]).select(ip(3)));
    let ack = Message::parse(&ack).expect("an ACK");
    assert_eq!(ack.host_name().as_deref(), Some(&b"pc1"[..]));
    for taken in [0, 1, 2, 3, 5, 6, 7] {
        let asks = Request::new(mac(3)).select(ip(taken));
        assert_eq!(Bench::type_of(&bench.send(&asks)), [NAK], "{taken}");
    }
}

#[test]
fn a_reservation_beats_the_lease_at_the_next_discover_only() {
    let mut bench = Bench::lan();
    let address = bench.lease(&client());
    let reserved = Config::new().with_subnet(lan().with_reservation(Reservation::new(MAC, ip(50))));
    bench
        .engine
        .reconfigure(bench.now, reserved, std::sync::Arc::new(policy()))
        .expect("good");
    // A running system keeps its address: its root file system may hang on it.
    assert_eq!(Bench::type_of(&bench.send(&client().renew(address))), [ACK]);
    assert_eq!(bench.lease(&client()), ip(50));
}

#[test]
fn addresses_are_stable_over_servers_and_spread_over_the_pool() {
    let lease = |number: u8| Bench::lan().lease(&Request::new(mac(number)));
    let first: Vec<_> = (0..20).map(lease).collect();
    assert_eq!(first, (0..20).map(lease).collect::<Vec<_>>());
    let distinct: std::collections::BTreeSet<_> = first.iter().collect();
    assert!(distinct.len() > 12, "{distinct:?}");
}

#[test]
fn a_big_pool_is_given_to_its_last_address() {
    let subnet = Subnet::new("10.0.0.0/20".parse().expect("a network"))
        .with_server_ip([10, 0, 0, 1].into())
        .with_pool([10, 0, 0, 0].into(), [10, 0, 15, 255].into());
    let mut limits = Limits::new();
    limits.new_clients_burst = 8192;
    let config = Config::new().with_subnet(subnet).with_limits(limits);
    let mut bench = Bench::new(config, policy());
    let client = |number: u16| {
        let [a, b] = number.to_be_bytes();
        let request = Request::new(pxe_core::MacAddr::new([2, 0, 0, 0, a, b]));
        request.giaddr([10, 0, 0, 2].into())
    };
    let mut given = std::collections::BTreeSet::new();
    // 4096 less network, broadcast, server and the relay, through which all of them come.
    for number in 0..4092 {
        let offer = bench.ask(&client(number).discover());
        let address = yiaddr(&offer).expect("an address");
        assert!(given.insert(address), "{address} twice");
        let select = client(number).select_of(address, [10, 0, 0, 1].into());
        assert_eq!(Bench::type_of(&bench.send(&select)), [ACK]);
        bench.events.clear();
    }
    assert!(bench.send(&client(5000).discover()).is_empty());
    assert!(matches!(bench.last_event(), Event::PoolExhausted { .. }));
}

#[test]
fn every_address_of_a_pool_can_be_on_offer_at_once() {
    let mut bench = Bench::new(small(10, 29), policy());
    let offered: std::collections::BTreeSet<_> = (0..20)
        .map(|number| yiaddr(&bench.ask(&Request::new(mac(number)).discover())))
        .collect();
    assert_eq!(offered.len(), 20);
    assert!(bench.send(&Request::new(mac(50)).discover()).is_empty());
}

#[test]
fn a_reused_address_is_probed_first() {
    let mut bench = Bench::new(small(10, 11), policy());
    bench.holds_probes = true;
    // Fresh, and the client's own: offered at once.
    let first = bench.lease(&client());
    bench.lease(&client());
    bench.lease(&Request::new(mac(2)));
    bench.advance(Duration::from_secs(601));
    let third = Request::new(mac(3));
    assert!(bench.send(&third.discover()).is_empty());
    assert!(
        bench.send(&third.discover()).is_empty(),
        "the same probe answers this one"
    );
    assert_eq!(bench.probes.len(), 1);
    let (_, probed) = bench.probes[0];
    assert_eq!(probed, first);
    // In use: quarantined, and the next one probed.
    assert!(bench.probed(ProbeResult::InUse).is_empty());
    assert!(
        bench
            .events
            .iter()
            .any(|event| matches!(event, Event::AddressInUse { .. }))
    );
    assert!(matches!(
        bench.store[&first].state,
        LeaseState::Declined { .. }
    ));
    let offers = bench.probed(ProbeResult::Free);
    assert_eq!(Bench::type_of(&offers), [OFFER]);
    let address = yiaddr(&offers[0].1).expect("an address");
    assert_ne!(address, first);
    assert_eq!(Bench::type_of(&bench.send(&third.select(address))), [ACK]);
}

#[test]
fn a_client_cannot_take_address_after_address() {
    let mut bench = Bench::lan();
    let address = bench.lease(&client());
    let free = if address == ip(120) { ip(121) } else { ip(120) };
    assert_eq!(Bench::type_of(&bench.send(&client().select(free))), [NAK]);
    assert!(matches!(
        bench.last_event(),
        Event::Nak {
            reason: NakReason::OtherAddress,
            ..
        }
    ));
    assert_eq!(bench.store.len(), 1);
}

#[test]
fn clients_without_an_ethernet_address_are_known_by_their_identifier() {
    let mut bench = Bench::lan();
    let infiniband = |id: &[u8]| {
        let mut request = Request::new(mac(0)).option(61, id).broadcast();
        (
            request.header.htype,
            request.header.hlen,
            request.header.chaddr,
        ) = (32, 0, [0; 16]);
        request
    };
    let first = bench.lease(&infiniband(b"\xff\0one"));
    let second = bench.lease(&infiniband(b"\xff\0two"));
    assert_ne!(first, second);
    assert_eq!(bench.lease(&infiniband(b"\xff\0one")), first);
    let nobody = {
        let mut request = Request::new(mac(0));
        (
            request.header.htype,
            request.header.hlen,
            request.header.chaddr,
        ) = (32, 0, [0; 16]);
        request
    };
    assert!(bench.send(&nobody.discover()).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::NoClient));
}

#[test]
fn reconfiguring_keeps_leases_and_changes_answers() {
    let mut bench = Bench::lan();
    let address = bench.lease(&client());
    let moved = Config::new().with_subnet(
        Subnet::new("192.168.150.0/24".parse().expect("a network")).with_pool(ip(20), ip(30)),
    );
    bench
        .engine
        .reconfigure(bench.now, moved, std::sync::Arc::new(policy()))
        .expect("good");
    assert_eq!(
        Bench::type_of(&bench.send(&client().renew(address))),
        [ACK],
        "lease is kept"
    );
    let other = bench.lease(&Request::new(mac(2)));
    assert!((ip(20)..=ip(30)).contains(&other));
    let bad = Config::new().with_ports(0, 68);
    assert!(
        bench
            .engine
            .reconfigure(bench.now, bad, std::sync::Arc::new(policy()))
            .is_err()
    );
    bench.lease(&Request::new(mac(3)));
    // When the lease is over, the address is not given again, not even to its client.
    bench.advance(Duration::from_secs(3601));
    assert!((ip(20)..=ip(30)).contains(&bench.lease(&client())));
}

#[test]
fn a_lease_that_is_held_comes_before_one_that_is_over() {
    let mut bench = Bench::lan();
    let configure = |bench: &mut Bench, subnet: Subnet| {
        let config = Config::new().with_subnet(subnet);
        let policy = std::sync::Arc::new(policy());
        let configured = bench.engine.reconfigure(bench.now, config, policy);
        configured.expect("good");
    };
    let former = bench.lease(&client());
    bench.send(&client().release(former));
    let held = if former == ip(120) { ip(121) } else { ip(120) };
    let reserved = Reservation::new(MAC, held);
    configure(&mut bench, lan().with_reservation(reserved));
    assert_eq!(bench.lease(&client()), held);
    configure(&mut bench, lan());
    assert_eq!(bench.lease(&client()), held);
}

#[test]
fn an_address_that_another_client_had_is_not_given_for_the_asking() {
    let mut bench = Bench::lan();
    let address = bench.lease(&client());
    bench.send(&client().release(address));
    let asks = Request::new(mac(2)).option(50, address.octets());
    assert_ne!(yiaddr(&bench.ask(&asks.discover())), Some(address));
    let asks = Request::new(mac(3)).option(50, ip(177).octets());
    assert_eq!(yiaddr(&bench.ask(&asks.discover())), Some(ip(177)));
}

#[test]
fn a_reserved_address_that_another_client_had_is_probed_first() {
    let mut bench = Bench::new(small(10, 10), policy());
    bench.holds_probes = true;
    bench.lease(&Request::new(mac(2)));
    bench.advance(Duration::from_secs(601));
    let mut config = small(10, 10);
    config.subnets[0] = config.subnets[0]
        .clone()
        .with_reservation(Reservation::new(MAC, ip(10)));
    let policy = std::sync::Arc::new(policy());
    let configured = bench.engine.reconfigure(bench.now, config, policy);
    configured.expect("good");
    assert!(bench.send(&client().discover()).is_empty());
    assert_eq!(bench.probes.len(), 1);
    let offers = bench.probed(ProbeResult::Free);
    assert_eq!(Bench::type_of(&offers), [OFFER]);
    bench.ask(&client().select(ip(10)));
    bench.lease(&client());
    assert!(bench.probes.is_empty(), "it is the client's own now");
}

#[test]
fn an_address_that_its_client_declined_is_probed_after_its_quarantine() {
    let mut bench = Bench::new(small(10, 11), policy());
    let address = bench.lease(&client());
    bench.send(&client().decline(address));
    bench.advance(Duration::from_secs(3601));
    bench.holds_probes = true;
    assert!(bench.send(&client().discover()).is_empty());
    assert_eq!(bench.probes[0].1, address);
    let offers = bench.probed(ProbeResult::InUse);
    let other = yiaddr(&offers[0].1).expect("an address");
    assert_ne!(other, address);
}

#[test]
fn routers_of_all_options_are_given_to_nobody() {
    let routers = |last| DhcpOption::addresses(OptionCode::ROUTERS, &[ip(last)]);
    let everybody = Condition::All(Vec::new());
    let mut config = small(10, 13)
        .with_option(routers(10))
        .with_class(Class::new("all", everybody).with_option(routers(11)));
    config.subnets[0] = config.subnets[0]
        .clone()
        .with_reservation(Reservation::known(mac(2)).with_option(routers(12)));
    let mut bench = Bench::new(config, policy());
    assert_eq!(bench.lease(&client()), ip(13));
    assert!(bench.send(&Request::new(mac(3)).discover()).is_empty());
}

#[test]
fn the_address_that_a_discover_names_is_not_where_its_client_is() {
    // RFC 2131 section 4.3.1: by `giaddr` or the interface. Not by what is left in `ciaddr`.
    let far = Subnet::new("10.20.0.0/16".parse().expect("a network"))
        .with_pool([10, 20, 0, 10].into(), [10, 20, 0, 20].into());
    let mut bench = Bench::new(Config::new().with_subnet(lan()).with_subnet(far), policy());
    let discover = client().ciaddr([10, 20, 0, 15].into()).discover();
    let address = yiaddr(&bench.ask(&discover)).expect("an address");
    assert_eq!(address.octets()[..3], [192, 168, 150]);
}

#[test]
fn a_newer_record_that_was_loaded_before_its_commit_was_answered_counts() {
    let mut bench = Bench::lan();
    bench.holds_commits = true;
    let address = yiaddr(&bench.ask(&client().discover())).expect("an address");
    assert!(bench.send(&client().select(address)).is_empty());
    // It was stored, ended by another server that shares the store, and given to another client.
    let (ticket, mut record, _) = bench.commits.remove(0);
    record.version += 2;
    record.client = mac(2).into();
    bench.engine.load(bench.now, [record]);
    bench.engine.handle_committed(bench.now, ticket, Ok(()));
    assert!(bench.sent().is_empty(), "no ACK");
    let holder = bench.engine.leases().next().expect("a lease");
    assert_eq!(holder.client, mac(2).into());
}
