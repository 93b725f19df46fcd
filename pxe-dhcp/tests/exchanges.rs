//! The exchanges of RFC 2131: all messages, all client states, relays, and what must not happen.

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pxe_core::{Destination, IfIndex, UnixTime};
use pxe_dhcp::wire::{Header, Message, MessageType, OptionCode, Reply};
use pxe_dhcp::{
    ClientKey, CommitError, Config, DhcpOption, Event, IgnoreReason, LeaseRecord, LeaseState,
    Limit, Limits, NakReason, ProbeResult, Probing, Reservation, Subnet,
};
use support::{Bench, MAC, Request, SERVER, ip, lan, mac, policy, required};

const ACK: MessageType = MessageType::ACK;
const NAK: MessageType = MessageType::NAK;
const OFFER: MessageType = MessageType::OFFER;

fn client() -> Request {
    Request::new(MAC)
}

fn yiaddr(reply: &[u8]) -> Option<Ipv4Addr> {
    Message::parse(reply).expect("a reply").yiaddr()
}

fn small(first: u8, last: u8) -> Config {
    let subnet = Subnet::new("192.168.150.0/24".parse().expect("a network"));
    Config::new().with_subnet(
        subnet
            .with_pool(ip(first), ip(last))
            .with_lease_seconds(600),
    )
}

fn is_ignored(bench: &Bench, expected: IgnoreReason) -> bool {
    matches!(bench.last_event(), Event::Ignored { reason, .. } if *reason == expected)
}

#[test]
fn discover_offer_request_ack() {
    let mut bench = Bench::lan();
    let address = bench.lease(&client());
    assert!(matches!(
        bench.last_event(),
        Event::Acknowledged { address: acked, lease_seconds: 3600, .. } if *acked == address
    ));
    let record = &bench.store[&address];
    assert_eq!(record.client, ClientKey::Ethernet(MAC));
    assert_eq!(
        record.state,
        LeaseState::Bound {
            expires: UnixTime::from_seconds(1_795_003_600)
        }
    );
    assert_eq!(bench.engine.offers_len(), 0);
}

#[test]
fn an_ack_waits_for_its_commit() {
    let mut bench = Bench::lan();
    let offer = bench.ask(&client().discover());
    let address = yiaddr(&offer).expect("an address");
    bench.holds_commits = true;
    assert!(bench.send(&client().select(address)).is_empty());
    // A repeated REQUEST waits too, and gets one ACK, with its own xid.
    assert!(bench.send(&client().select(address)).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::InProgress));
    bench.commit_all();
    let sent = bench.sent();
    assert_eq!(Bench::type_of(&sent), [ACK]);
    assert_eq!(Message::parse(&sent[0].1).expect("an ACK").xid(), 3);
}

#[test]
fn a_refused_commit_gives_no_ack_and_another_try_succeeds() {
    let mut bench = Bench::lan();
    let offer = bench.ask(&client().discover());
    let address = yiaddr(&offer).expect("an address");
    bench.holds_commits = true;
    bench.send(&client().select(address));
    let (ticket, ..) = bench.commits.remove(0);
    let failed = CommitError::Unavailable("disk full".to_owned());
    bench
        .engine
        .handle_committed(bench.now, ticket, Err(failed));
    assert!(bench.sent().is_empty());
    assert!(matches!(
        bench.last_event(),
        Event::CommitRefused {
            is_conflict: false,
            ..
        }
    ));
    bench.holds_commits = false;
    assert_eq!(
        Bench::type_of(&bench.send(&client().select(address))),
        [ACK]
    );
}

#[test]
fn a_conflict_is_adopted_and_not_acknowledged() {
    let mut bench = Bench::lan();
    let offer = bench.ask(&client().discover());
    let address = yiaddr(&offer).expect("an address");
    // Another server with the same store was faster.
    let expires = bench.now.wall.saturating_add_seconds(600);
    let other = LeaseRecord::new(
        address,
        mac(99),
        LeaseState::Bound { expires },
        bench.now.wall,
    );
    bench.store.insert(address, other);
    assert!(bench.send(&client().select(address)).is_empty());
    assert!(matches!(
        bench.last_event(),
        Event::CommitRefused {
            is_conflict: true,
            ..
        }
    ));
    // Now the engine knows, and says so; the client gets another address.
    assert_eq!(
        Bench::type_of(&bench.send(&client().select(address))),
        [NAK]
    );
    assert_ne!(bench.lease(&client()), address);
    // When that lease is over, the address can be given, as a new version of that record.
    bench.advance(Duration::from_secs(601));
    assert_eq!(
        Bench::type_of(&bench.send(&Request::new(mac(99)).renew(address))),
        [ACK]
    );
    assert_eq!(bench.store[&address].version, 2);
}

#[test]
fn a_client_that_takes_another_servers_offer_frees_ours() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = yiaddr(&bench.ask(&client().discover())).expect("an address");
    assert!(
        bench.send(&Request::new(mac(2)).discover()).is_empty(),
        "the pool is exhausted"
    );
    assert!(matches!(bench.last_event(), Event::PoolExhausted { .. }));
    let other = Ipv4Addr::new(192, 168, 150, 250);
    assert!(bench.send(&client().select_of(ip(77), other)).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::OtherServer(other)));
    assert_eq!(bench.lease(&Request::new(mac(2))), address);
}

#[test]
fn init_reboot_acks_naks_or_is_silent() {
    let mut bench = Bench::lan();
    // "If the DHCP server has no record of this client, then it MUST remain silent."
    assert!(bench.send(&client().reboot(ip(150))).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::UnknownClient));
    let address = bench.lease(&client());
    assert_eq!(
        Bench::type_of(&bench.send(&client().reboot(address))),
        [ACK]
    );
    // Another address than the recorded one, and another network: NAK, known or not.
    assert_eq!(Bench::type_of(&bench.send(&client().reboot(ip(99)))), [NAK]);
    assert!(matches!(
        bench.last_event(),
        Event::Nak {
            reason: NakReason::OtherAddress,
            ..
        }
    ));
    let foreign = Ipv4Addr::new(10, 9, 8, 7);
    let unknown = Request::new(mac(50));
    let naks = bench.send(&unknown.reboot(foreign));
    assert_eq!(Bench::type_of(&naks), [NAK]);
    assert!(matches!(
        bench.last_event(),
        Event::Nak {
            reason: NakReason::WrongNetwork,
            ..
        }
    ));
    let broadcast = Destination::Broadcast {
        interface: IfIndex::new(2).expect("2"),
        port: 68,
    };
    assert_eq!(naks[0].0, broadcast);
}

#[test]
fn renewing_extends_the_lease_by_unicast() {
    let mut bench = Bench::lan();
    let address = bench.lease(&client());
    bench.advance(Duration::from_secs(1800));
    let acks = bench.send(&client().renew(address));
    assert_eq!(Bench::type_of(&acks), [ACK]);
    assert_eq!(
        acks[0].0,
        Destination::Unicast(SocketAddr::from((address, 68)))
    );
    assert_eq!(
        Message::parse(&acks[0].1).expect("an ACK").ciaddr(),
        Some(address)
    );
    let record = &bench.store[&address];
    assert_eq!(
        record.state,
        LeaseState::Bound {
            expires: UnixTime::from_seconds(1_795_005_400)
        }
    );
    assert_eq!(
        (record.version, record.first_seen.as_seconds()),
        (2, 1_795_000_000)
    );
    // Another client cannot renew it, whether it has a lease of its own or not.
    let other = Request::new(mac(2));
    assert_eq!(Bench::type_of(&bench.send(&other.renew(address))), [NAK]);
    bench.lease(&other);
    assert_eq!(Bench::type_of(&bench.send(&other.renew(address))), [NAK]);
}

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
fn release_frees_the_address_and_keeps_it_for_its_client() {
    let mut bench = Bench::new(small(10, 11), policy());
    let address = bench.lease(&client());
    assert!(
        bench
            .send(&Request::new(mac(2)).release(address))
            .is_empty()
    );
    assert!(is_ignored(&bench, IgnoreReason::NotHolder));
    assert!(bench.send(&client().release(address)).is_empty());
    assert!(matches!(bench.last_event(), Event::Released { .. }));
    assert!(matches!(
        bench.store[&address].state,
        LeaseState::Released { .. }
    ));
    assert_ne!(bench.lease(&Request::new(mac(2))), address);
    assert_eq!(bench.lease(&client()), address);
}

#[test]
fn decline_puts_the_address_in_quarantine() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = bench.lease(&client());
    assert!(
        bench
            .send(&Request::new(mac(2)).decline(address))
            .is_empty()
    );
    assert!(
        is_ignored(&bench, IgnoreReason::NotHolder),
        "only its holder can decline it"
    );
    assert!(bench.send(&client().decline(address)).is_empty());
    assert!(matches!(bench.last_event(), Event::Declined { .. }));
    assert!(
        bench.send(&client().discover()).is_empty(),
        "not even for its former holder"
    );
    bench.advance(Duration::from_secs(3600));
    assert_eq!(bench.lease(&client()), address);
}

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
fn inform_is_answered_without_an_address() {
    let mut bench = Bench::lan();
    let acks = bench.send(&client().inform(ip(20)).option(55, [1, 3, 15]));
    assert_eq!(Bench::type_of(&acks), [ACK]);
    assert_eq!(
        acks[0].0,
        Destination::Unicast(SocketAddr::from((ip(20), 68)))
    );
    let ack = Message::parse(&acks[0].1).expect("an ACK");
    assert_eq!((ack.yiaddr(), ack.lease_seconds()), (None, None));
    assert!(ack.has_option(OptionCode::ROUTERS) && !ack.has_option(OptionCode::NTP_SERVERS));
    assert!(bench.store.is_empty());
}

#[test]
fn bootp_is_ignored_with_an_event() {
    let mut bench = Bench::lan();
    assert!(bench.send(&client()).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::Bootp));
    let mut reply = Reply::new(Header::reply());
    required(&mut reply, 53, [2]);
    let mut bytes = Vec::new();
    reply.write(548, &mut bytes).expect("it fits");
    assert!(bench.send_bytes(&bytes, SERVER).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::FromServer));
    assert!(bench.send_bytes(b"nonsense", SERVER).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::NotDhcp));
}

#[test]
fn relayed_requests_get_their_own_subnet_and_option_82_back_last() {
    let far = Subnet::new("10.20.0.0/16".parse().expect("a network"))
        .with_pool([10, 20, 0, 10].into(), [10, 20, 0, 20].into());
    let mut bench = Bench::new(Config::new().with_subnet(lan()).with_subnet(far), policy());
    let relay = Ipv4Addr::new(10, 20, 0, 1);
    let info = [1, 2, b'p', b'1', 2, 1, b'r'];
    let request = client().broadcast().giaddr(relay).option(82, info);
    let offers = bench.send(&request.discover());
    assert_eq!(
        offers[0].0,
        Destination::Unicast(SocketAddr::from((relay, 67)))
    );
    let offer = Message::parse(&offers[0].1).expect("an offer");
    assert!(
        offer.is_broadcast(),
        "the flag is mirrored: the relay needs it"
    );
    assert_eq!(offer.giaddr(), Some(relay));
    let address = offer.yiaddr().expect("an address");
    assert_eq!(address.octets()[..2], [10, 20]);
    let last = offer.options().last().expect("an option");
    assert_eq!(
        (last.code, last.data),
        (OptionCode::RELAY_AGENT_INFO, &info[..])
    );
    assert_eq!(Bench::type_of(&bench.send(&request.select(address))), [ACK]);
    let record = &bench.store[&address];
    assert_eq!(record.circuit_id.as_deref(), Some(&b"p1"[..]));
    assert_eq!(record.remote_id.as_deref(), Some(&b"r"[..]));
    // A NAK through a relay has the broadcast flag, whatever the client said.
    let naks = bench.send(&client().giaddr(relay).reboot(ip(150)));
    assert_eq!(Bench::type_of(&naks), [NAK]);
    assert!(Message::parse(&naks[0].1).expect("a NAK").is_broadcast());
    // The link that the relay names beats its own address (RFC 3527), as option 118 does.
    let elsewhere = Ipv4Addr::new(172, 16, 0, 1);
    let selected = Request::new(mac(3))
        .giaddr(elsewhere)
        .option(82, [5, 4, 10, 20, 0, 0]);
    let offer = bench.ask(&selected.discover());
    assert_eq!(yiaddr(&offer).expect("an address").octets()[..2], [10, 20]);
    let selected = Request::new(mac(4)).option(118, [10, 20, 0, 0]);
    let offer = bench.ask(&selected.discover());
    assert_eq!(yiaddr(&offer).expect("an address").octets()[..2], [10, 20]);
    assert!(
        bench
            .send(&Request::new(mac(5)).giaddr(elsewhere).discover())
            .is_empty()
    );
    assert!(is_ignored(&bench, IgnoreReason::NoSubnet));
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
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
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
fn every_address_of_a_pool_can_be_on_offer_at_once() {
    let mut bench = Bench::new(small(10, 29), policy());
    let offered: std::collections::BTreeSet<_> = (0..20)
        .map(|number| yiaddr(&bench.ask(&Request::new(mac(number)).discover())))
        .collect();
    assert_eq!(offered.len(), 20);
    assert!(bench.send(&Request::new(mac(50)).discover()).is_empty());
}

#[test]
fn an_address_on_its_way_to_the_store_is_not_offered() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = yiaddr(&bench.ask(&client().discover())).expect("an address");
    bench.holds_commits = true;
    assert!(bench.send(&client().select(address)).is_empty());
    bench.advance(Duration::from_secs(61));
    assert_eq!(
        bench.engine.offers_len(),
        0,
        "the offer is over, the commit is not"
    );
    assert!(bench.send(&Request::new(mac(2)).discover()).is_empty());
    assert_eq!(
        Bench::type_of(&bench.send(&Request::new(mac(2)).select(address))),
        [NAK]
    );
    bench.commit_all();
    assert_eq!(Bench::type_of(&bench.sent()), [ACK]);
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
fn lease_times_are_asked_for_within_bounds() {
    let mut subnet = lan();
    (subnet.lease_seconds_min, subnet.lease_seconds_max) = (100, 7200);
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    for (asked, given) in [
        (None, 3600),
        (Some(1), 100),
        (Some(500), 500),
        (Some(u32::MAX), 7200),
    ] {
        let request = match asked {
            Some(seconds) => client().discover().option(51, seconds.to_be_bytes()),
            None => client().discover(),
        };
        let offer = bench.ask(&request);
        let seconds = Message::parse(&offer).expect("an offer").lease_seconds();
        assert_eq!(seconds, Some(given));
    }
}

#[test]
fn options_that_do_not_fit_are_dropped_and_boot_options_never() {
    let mut subnet = lan();
    for code in 224..=230 {
        subnet = subnet.with_option(DhcpOption::new(OptionCode(code), [7; 60]).forced());
    }
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    let request = client()
        .option(93, [0, 7])
        .option(60, "PXEClient")
        .option(55, [3, 6]);
    let offer = bench.ask(&request.discover());
    assert!(offer.len() <= 548, "{}", offer.len());
    let message = Message::parse(&offer).expect("an offer");
    assert_eq!(message.file(), Some(&b"efi64/syslinux.efi"[..]));
    for code in [67, 66, 209, 3, 6, 224] {
        assert!(message.has_option(OptionCode(code)), "{code}");
    }
    assert!(!message.has_option(OptionCode(230)));
    let dropped = bench
        .events
        .iter()
        .any(|event| matches!(event, Event::OptionsDropped { .. }));
    assert!(dropped);
    let offer = bench.ask(&request.option(57, 1500_u16.to_be_bytes()).discover());
    assert!(
        Message::parse(&offer)
            .expect("an offer")
            .has_option(OptionCode(230))
    );
}

#[test]
fn a_reused_address_is_probed_first() {
    let config = small(10, 11).with_probing(Probing::Reused);
    let mut bench = Bench::new(config, policy());
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
fn leases_survive_a_restart_through_their_records() {
    let mut bench = Bench::new(small(10, 11), policy());
    let address = bench.lease(&client());
    let records: Vec<_> = bench.store.values().cloned().collect();
    let mut again = Bench::new(small(10, 11), policy());
    again.store = bench.store.clone();
    again.now = bench.now + Duration::from_secs(300);
    again.engine.load(again.now, records);
    assert_ne!(again.lease(&Request::new(mac(2))), address);
    assert!(again.send(&Request::new(mac(3)).discover()).is_empty());
    assert_eq!(Bench::type_of(&again.send(&client().renew(address))), [ACK]);
    again.advance(Duration::from_secs(299));
    assert!(
        again
            .engine
            .leases()
            .all(|record| record.is_active(again.now.wall))
    );
}

#[test]
fn a_step_of_the_wall_clock_frees_no_address() {
    for step in [86_400_i64, -86_400] {
        let mut bench = Bench::new(small(10, 10), policy());
        let address = bench.lease(&client());
        let wall = bench.now.wall.as_seconds().saturating_add_signed(step);
        bench.now.wall = UnixTime::from_seconds(wall);
        assert!(bench.send(&Request::new(mac(2)).discover()).is_empty());
        assert_eq!(Bench::type_of(&bench.send(&client().renew(address))), [ACK]);
        bench.advance(Duration::from_secs(600));
        assert_eq!(bench.lease(&Request::new(mac(2))), address);
    }
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
fn a_record_whose_answer_was_lost_ends_no_lease_early() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = bench.lease(&client());
    // The renewal is stored, but the store's answer is lost, and the wall clock steps.
    bench.holds_commits = true;
    bench.send(&client().renew(address));
    let (ticket, lease, _) = bench.commits.remove(0);
    bench.store.insert(address, lease);
    let lost = CommitError::Unavailable("answer lost".to_owned());
    bench.engine.handle_committed(bench.now, ticket, Err(lost));
    bench.now.wall = bench.now.wall.saturating_add_seconds(86_400);
    // The next renewal finds the newer record, which seems to be over by the wall clock.
    bench.holds_commits = false;
    assert!(bench.send(&client().renew(address)).is_empty());
    assert!(matches!(
        bench.last_event(),
        Event::CommitRefused {
            is_conflict: true,
            ..
        }
    ));
    assert!(
        bench.send(&Request::new(mac(2)).discover()).is_empty(),
        "the client still has it"
    );
    assert_eq!(Bench::type_of(&bench.send(&client().renew(address))), [ACK]);
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
fn client_identifier_is_echoed() {
    // RFC 6842.
    let mut bench = Bench::lan();
    let request = client().option(61, b"\x01abcdef");
    for reply in [
        bench.ask(&request.discover()),
        bench.ask(&request.select(ip(200))),
    ] {
        let message = Message::parse(&reply).expect("a reply");
        assert_eq!(message.client_id().as_deref(), Some(&b"\x01abcdef"[..]));
    }
}

#[test]
fn an_identifier_without_a_value_is_not_echoed_and_a_short_uuid_is() {
    // rpi-eeprom issue 103: 16 bytes in option 97.
    let request = client().option(61, []).option(97, [0x34; 16]);
    let offer = Bench::lan().ask(&request.discover());
    let offer = Message::parse(&offer).expect("an offer");
    assert!(!offer.has_option(OptionCode::CLIENT_ID));
    let uuid = offer.option(OptionCode::CLIENT_MACHINE_ID);
    assert_eq!(uuid.as_deref(), Some(&[0x34; 16][..]));
}

#[test]
fn replies_go_by_link_layer_or_broadcast_as_the_client_asks() {
    let mut bench = Bench::lan();
    let interface = IfIndex::new(2).expect("not zero");
    let offers = bench.send(&client().discover());
    let ip = yiaddr(&offers[0].1).expect("an address");
    let to = Destination::LinkLayer {
        interface,
        hwaddr: MAC,
        ip,
        port: 68,
    };
    assert_eq!(offers[0].0, to);
    let offers = bench.send(&client().broadcast().discover());
    assert_eq!(
        offers[0].0,
        Destination::Broadcast {
            interface,
            port: 68
        }
    );
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
