//! The exchanges of RFC 2131: all messages, all client states, relays, and what must not happen.

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pxe_core::{Destination, IfIndex, UnixTime};
use pxe_dhcp::wire::{Header, Message, MessageType, OptionCode, Reply};
use pxe_dhcp::{
    ClientKey, Config, DhcpOption, Event, IgnoreReason, LeaseState, NakReason, Reservation, Subnet,
};
use support::{
    Bench, MAC, Request, SERVER, client, ip, is_ignored, lan, mac, policy, required, small, yiaddr,
};

const ACK: MessageType = MessageType::ACK;
const NAK: MessageType = MessageType::NAK;

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
fn every_address_of_this_host_names_this_server() {
    let mut config = Config::new().with_subnet(lan());
    config.own_addresses.push(ip(6));
    let mut bench = Bench::new(config, policy());
    let address = yiaddr(&bench.ask(&client().discover())).expect("an address");
    let acks = bench.send(&client().select_of(address, ip(6)));
    assert_eq!(Bench::type_of(&acks), [ACK]);
    // What is meant for another server changes nothing here.
    let other = ip(7);
    for mut request in [client().release(address), client().decline(address)] {
        let server_id = request.options.iter_mut().find(|(code, _)| *code == 54);
        server_id.expect("it is there").1 = other.octets().to_vec();
        bench.send(&request);
        assert!(is_ignored(&bench, IgnoreReason::OtherServer(other)));
    }
    assert!(matches!(
        bench.store[&address].state,
        LeaseState::Bound { .. }
    ));
}

#[test]
fn a_nak_repeats_the_relays_information_and_frees_the_offer() {
    let mut bench = Bench::new(small(10, 10), policy());
    let relayed = client().giaddr(ip(2)).option(82, [1, 1, b'p']);
    bench.ask(&relayed.discover());
    let nak = bench.ask(&relayed.select(ip(99)));
    let nak = Message::parse(&nak).expect("a NAK");
    assert_eq!(nak.message_type(), Some(NAK));
    assert_eq!(nak.relay_agent_info().as_deref(), Some(&[1, 1, b'p'][..]));
    assert_eq!(bench.engine.offers_len(), 0);
}

#[test]
fn a_renewing_client_comes_before_who_was_offered_its_address() {
    let mut bench = Bench::new(small(10, 10), policy());
    let offered = Request::new(mac(2));
    let address = yiaddr(&bench.ask(&offered.discover())).expect("an address");
    // Our records were lost; who uses the address says so.
    assert_eq!(Bench::type_of(&bench.send(&client().renew(address))), [ACK]);
    let naks = bench.send(&offered.select(address));
    assert_eq!(Bench::type_of(&naks), [NAK]);
    // What is leased to another stays so.
    assert_eq!(Bench::type_of(&bench.send(&offered.renew(address))), [NAK]);
}

#[test]
fn a_relay_that_overrides_the_server_identifier_is_told_as_the_server() {
    // RFC 5107 section 4.
    let mut bench = Bench::lan();
    let relay = ip(2);
    let request = client()
        .giaddr(relay)
        .option(82, [1, 1, b'p', 11, 4, 192, 168, 150, 2]);
    let offer = bench.ask(&request.discover());
    let offer = Message::parse(&offer).expect("an offer");
    assert_eq!(offer.server_id(), Some(relay));
    assert_eq!(offer.siaddr(), Some(SERVER), "the boot server is still us");
    let address = offer.yiaddr().expect("an address");
    let ack = bench.ask(&request.select_of(address, relay));
    let ack = Message::parse(&ack).expect("an ACK");
    let found = (ack.message_type(), ack.server_id());
    assert_eq!(found, (Some(ACK), Some(relay)));
    let mut release = request.release(address);
    let server_id = release.options.iter_mut().find(|(code, _)| *code == 54);
    server_id.expect("it is there").1 = relay.octets().to_vec();
    bench.send(&release);
    assert!(matches!(bench.last_event(), Event::Released { .. }));
}

#[test]
fn a_subnet_selection_is_repeated_and_a_relays_comes_before_it() {
    // RFC 3011 section 2, RFC 3527 section 3.
    let far = Subnet::new("10.20.0.0/16".parse().expect("a network"))
        .with_pool([10, 20, 0, 10].into(), [10, 20, 0, 20].into());
    let mut bench = Bench::new(Config::new().with_subnet(lan()).with_subnet(far), policy());
    let selects = client().option(118, [10, 20, 0, 0]).option(55, [1]);
    let offer = bench.ask(&selects.discover());
    let offer = Message::parse(&offer).expect("an offer");
    let selected = offer.option(OptionCode::SUBNET_SELECTION);
    assert_eq!(selected.as_deref(), Some(&[10, 20, 0, 0][..]));
    let relayed = Request::new(mac(2))
        .option(118, [10, 20, 0, 0])
        .giaddr([172, 16, 0, 1].into())
        .option(82, [5, 4, 192, 168, 150, 0]);
    let address = yiaddr(&bench.ask(&relayed.discover())).expect("an address");
    assert_eq!(address.octets()[..2], [192, 168]);
}

/// What a REQUEST gets in each state of its client (RFC 2131 section 4.3.2), `None` being silence.
#[test]
fn requests_in_all_states_of_rfc_2131_section_4_3_2() {
    let (ack, nak, silence) = (Some(ACK), Some(NAK), None);
    let foreign = Ipv4Addr::new(10, 9, 8, 7);
    // Of whom the address is; what SELECTING, INIT-REBOOT, and RENEWING or REBINDING get.
    let table = [
        ("the client", [ack, ack, ack]),
        ("another client", [nak, silence, nak]),
        // No record of the client: silence for INIT-REBOOT. Who has one of our addresses keeps it.
        ("nobody, of the pool", [ack, silence, ack]),
        ("nobody, of no pool", [nak, silence, silence]),
        ("another network", [nak, nak, nak]),
    ];
    for (owner, expected) in table {
        for (state, expected) in expected.into_iter().enumerate() {
            let mut bench = Bench::lan();
            let address = match owner {
                "the client" => bench.lease(&client()),
                "another client" => bench.lease(&Request::new(mac(2))),
                "nobody, of the pool" => ip(150),
                "nobody, of no pool" => ip(20),
                _ => foreign,
            };
            let request = match state {
                0 => client().select(address),
                1 => client().reboot(address),
                _ => client().renew(address),
            };
            let replies = bench.send(&request);
            let found = Bench::type_of(&replies).first().copied();
            assert_eq!(found, expected, "address of {owner}, state {state}");
        }
    }
}

#[test]
fn a_discover_that_claims_a_foreign_address_is_not_answered_there() {
    // Else anybody could have us write to any host (RFC 2131 section 4.1 trusts `ciaddr`).
    let mut bench = Bench::lan();
    let foreign = Ipv4Addr::new(203, 0, 113, 7);
    let claims = client().ciaddr(foreign);
    let address = yiaddr(&bench.ask(&claims.discover())).expect("an address");
    for request in [claims.discover(), claims.select(address)] {
        let replies = bench.send(&request);
        let (to, _) = &replies[0];
        assert!(matches!(to, Destination::LinkLayer { .. }), "{to:?}");
    }
}

#[test]
fn where_the_root_file_system_is_outlives_what_else_was_asked_for() {
    // The kernel's own DHCP names no length, and asks for the root path after domain and servers.
    let mut subnet = lan().with_option(DhcpOption::new(OptionCode(17), [b'/'; 60]));
    for code in [26, 28, 42, 44] {
        subnet = subnet.with_option(DhcpOption::new(OptionCode(code), [7; 80]));
    }
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    let request = client().option(55, [1, 3, 6, 12, 15, 26, 28, 42, 44, 17]);
    let offer = bench.ask(&request.discover());
    assert!(offer.len() <= 548, "{}", offer.len());
    let message = Message::parse(&offer).expect("an offer");
    assert!(message.has_option(OptionCode(17)));
    assert!(!message.has_option(OptionCode(44)));
}

#[test]
fn a_renewal_that_is_refused_takes_no_offer_away() {
    let mut bench = Bench::lan();
    bench.lease(&client());
    let offered = Request::new(mac(2));
    let address = yiaddr(&bench.ask(&offered.discover())).expect("an address");
    let selecting = client().ciaddr(address).select(address);
    for request in [client().renew(address), selecting] {
        assert_eq!(Bench::type_of(&bench.send(&request)), [NAK]);
        assert_eq!(bench.engine.offers_len(), 1);
    }
}

#[test]
fn an_option_without_the_value_that_it_needs_is_not_sent() {
    let rapid = DhcpOption::new(OptionCode(80), []).forced();
    let subnet = Subnet::new("192.168.150.0/24".parse().expect("a network"))
        .with_pool(ip(10), ip(20))
        .with_routers(&[])
        .with_name_servers(&[])
        .with_option(rapid);
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    let offer = bench.ask(&client().discover());
    let message = Message::parse(&offer).expect("an offer");
    assert_eq!(message.malformed().next(), None);
    assert!(message.has_option(OptionCode(80)));
}

#[test]
fn a_malformed_subnet_selection_and_a_message_type_without_value_are_not_answered_in_kind() {
    let mut bench = Bench::lan();
    let offer = bench.ask(&client().option(118, [10, 20, 0]).discover());
    let message = Message::parse(&offer).expect("an offer");
    assert_eq!(message.malformed().next(), None);
    // It is no plain BOOTP either.
    let reservation = Reservation::new(MAC, ip(50));
    let subnet = lan().with_reservation(reservation);
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    assert!(bench.send(&client().option(53, [])).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::NotDhcp));
}

#[test]
fn what_only_clients_say_is_sent_by_no_configuration() {
    // RFC 2131 table 3.
    let mut config = Config::new().with_subnet(lan());
    for code in [50, 55, 57] {
        config = config.with_option(DhcpOption::new(OptionCode(code), [1; 4]).forced());
    }
    let mut bench = Bench::new(config, policy());
    let offer = bench.ask(&client().discover());
    let message = Message::parse(&offer).expect("an offer");
    for code in [50, 55, 57] {
        assert!(!message.has_option(OptionCode(code)), "{code}");
    }
}
