//! What is kept for one client: by which keys it is recognised, over ROM, loader and system.

mod support;

use std::net::Ipv4Addr;

use dhcproto::{Decodable, Decoder, v4};
use pxe_core::MacAddr;
use pxe_dhcp::wire::{MachineUuid, Message, MessageType, OptionCode};
use pxe_dhcp::{
    Class, Condition, Config, DhcpOption, Event, LeaseTimes, Reservation, ReservedFor, Subnet,
};
use support::{Bench, MAC, Request, client, ip, lan, mac, policy, yiaddr};

const ACK: MessageType = MessageType::ACK;
const NAK: MessageType = MessageType::NAK;

const UUID: [u8; 16] = [7; 16];
const RELAY: Ipv4Addr = Ipv4Addr::new(192, 168, 150, 2);

fn bench(subnet: Subnet) -> Bench {
    Bench::new(Config::new().with_subnet(subnet), policy())
}

fn reserved(client: ReservedFor) -> Bench {
    bench(lan().with_reservation(Reservation::new(client, ip(50)).with_host_name("pc1")))
}

/// What a PXE ROM says besides its MAC.
fn rom(mac: MacAddr) -> Request {
    let uuid = [&[0], &UUID[..]].concat();
    Request::new(mac)
        .option(93, [0, 0])
        .option(60, "PXEClient:Arch:00000:UNDI:002001")
        .option(97, uuid)
}

fn uuid() -> ReservedFor {
    ReservedFor::Uuid(MachineUuid::from_wire(UUID))
}

/// A client behind this port of the relay.
fn at_port(request: Request, port: u8) -> Request {
    request
        .giaddr(RELAY)
        .option(82, [1, 2, b'p', port, 2, 1, b'r'])
}

#[test]
fn by_mac_by_identifier_by_uuid_and_by_relay_port() {
    let remote_id = b"r".to_vec();
    let circuit_id = vec![b'p', 7];
    let port = ReservedFor::RelayPort {
        circuit_id: circuit_id.clone(),
        remote_id: remote_id.clone(),
    };
    for (client, request) in [
        (ReservedFor::Mac(MAC), client()),
        (uuid(), rom(MAC)),
        (
            ReservedFor::ClientId(b"\xffid".to_vec()),
            client().option(61, b"\xffid"),
        ),
        (port, at_port(client(), 7)),
        (ReservedFor::CircuitId(circuit_id), at_port(client(), 7)),
        (ReservedFor::RemoteId(remote_id), at_port(client(), 7)),
    ] {
        let mut bench = reserved(client.clone());
        assert_eq!(bench.lease(&request), ip(50), "{client}");
        let record = &bench.store[&ip(50)];
        assert_eq!(record.reserved_for, Some(client.clone()));
        let ack = bench.ask(&request.option(55, [12]).renew(ip(50)));
        let ack = Message::parse(&ack).expect("an ACK");
        assert_eq!(ack.host_name().as_deref(), Some(&b"pc1"[..]), "{client}");
        let stranger = Request::new(mac(9));
        assert_ne!(bench.lease(&stranger), ip(50), "{client}");
        let naks = bench.send(&stranger.select(ip(50)));
        assert_eq!(Bench::type_of(&naks), [NAK], "{client}");
    }
}

#[test]
fn the_system_keeps_the_address_that_the_roms_uuid_reserved() {
    let mut bench = reserved(uuid());
    assert_eq!(bench.lease(&rom(MAC)), ip(50));
    // Loader and system say no UUID, and one of them an identifier: the MAC ties them.
    let system = client().option(61, b"\xff\0system");
    for request in [client(), system.clone(), client()] {
        assert_eq!(bench.lease(&request), ip(50));
        assert_eq!(Bench::type_of(&bench.send(&request.renew(ip(50)))), [ACK]);
        assert_eq!(Bench::type_of(&bench.send(&request.reboot(ip(50)))), [ACK]);
    }
    // After its release, and when its lease is over, too.
    bench.send(&client().release(ip(50)));
    assert_eq!(bench.lease(&system), ip(50));
    bench.advance(std::time::Duration::from_secs(3601));
    assert_eq!(bench.lease(&client()), ip(50));
    // And after a restart of the server.
    let mut again = reserved(uuid());
    again.store = bench.store.clone();
    again.engine.load(again.now, bench.store.into_values());
    assert_eq!(again.lease(&system), ip(50));
}

#[test]
fn a_network_card_in_another_machine_is_not_that_machine() {
    let mut bench = reserved(uuid());
    assert_eq!(bench.lease(&rom(MAC)), ip(50));
    bench.send(&rom(MAC).release(ip(50)));
    let other = client().option(97, [0; 17]);
    assert_ne!(bench.lease(&other), ip(50));
}

#[test]
fn a_machine_that_moves_to_another_port_leaves_that_ports_address() {
    let circuit = ReservedFor::CircuitId(vec![b'p', 7]);
    let mut bench = reserved(circuit);
    assert_eq!(bench.lease(&at_port(client(), 7)), ip(50));
    // A renewal goes past the relay.
    assert_eq!(Bench::type_of(&bench.send(&client().renew(ip(50)))), [ACK]);
    let moved = at_port(client(), 8);
    let naks = bench.send(&moved.reboot(ip(50)));
    assert_eq!(Bench::type_of(&naks), [NAK]);
    assert_ne!(bench.lease(&moved), ip(50));
    // Its lease is held until it ends: whoever is at that port now waits for it.
    let heir = at_port(Request::new(mac(2)), 7);
    assert_ne!(bench.lease(&heir), ip(50));
    let is_told = |event: &Event| matches!(event, Event::ReservationHeld { .. });
    assert!(bench.events.iter().any(is_told));
    bench.advance(std::time::Duration::from_secs(3601));
    assert_eq!(bench.lease(&heir), ip(50));
}

#[test]
fn what_names_the_machine_comes_before_what_names_its_port() {
    let subnet = lan()
        .with_reservation(Reservation::new(
            ReservedFor::CircuitId(vec![b'p', 7]),
            ip(50),
        ))
        .with_reservation(Reservation::new(uuid(), ip(51)))
        .with_reservation(Reservation::new(MAC, ip(52)));
    let mut bench = bench(subnet);
    assert_eq!(bench.lease(&at_port(rom(MAC), 7)), ip(52));
    assert_eq!(bench.lease(&at_port(rom(mac(2)), 7)), ip(51));
    assert_eq!(
        bench.lease(&at_port(Request::new(mac(2)), 7)),
        ip(51),
        "and its system, which says no UUID, is still that machine"
    );
    assert_eq!(bench.lease(&at_port(Request::new(mac(3)), 7)), ip(50));
}

#[test]
fn known_clients_only() {
    let subnet = lan()
        .with_reservation(Reservation::new(MAC, ip(50)))
        .with_reservation(Reservation::known(mac(2)))
        .for_known_clients_only();
    let mut bench = bench(subnet);
    assert_eq!(bench.lease(&client()), ip(50));
    let address = bench.lease(&Request::new(mac(2)));
    assert!((ip(100)..=ip(200)).contains(&address));
    let stranger = Request::new(mac(3));
    assert!(bench.send(&stranger.discover()).is_empty());
    let naks = bench.send(&stranger.select(ip(150)));
    assert_eq!(Bench::type_of(&naks), [NAK]);
    // One that has a lease keeps it.
    let open = Config::new().with_subnet(lan());
    let closed = bench.engine.config().clone();
    let policy = std::sync::Arc::new(policy());
    let configured = bench.engine.reconfigure(bench.now, open, policy.clone());
    configured.expect("good");
    let address = bench.lease(&stranger);
    let configured = bench.engine.reconfigure(bench.now, closed, policy);
    configured.expect("good");
    assert_eq!(Bench::type_of(&bench.send(&stranger.renew(address))), [ACK]);
}

#[test]
fn options_of_a_reservation_come_before_the_subnets_and_the_servers() {
    let ntp = |last| DhcpOption::addresses(OptionCode::NTP_SERVERS, &[ip(last)]);
    let log = |last| DhcpOption::addresses(OptionCode(7), &[ip(last)]);
    let reservation = Reservation::new(MAC, ip(50))
        .with_option(ntp(1))
        .with_lease(LeaseTimes::exactly(99));
    let subnet = lan()
        .with_option(ntp(2))
        .with_option(log(2))
        .with_reservation(reservation);
    let config = Config::new()
        .with_subnet(subnet)
        .with_option(ntp(3))
        .with_option(log(3))
        .with_option(DhcpOption::new(OptionCode(17), "/root"));
    let mut bench = Bench::new(config, policy());
    let told = |bench: &mut Bench, request: Request| {
        let offer = bench.ask(&request.option(55, [7, 17, 42]).discover());
        let offer = Message::parse(&offer).expect("an offer");
        let value = |code| {
            offer
                .option(OptionCode(code))
                .expect("it is told")
                .into_owned()
        };
        (value(42)[3], value(7)[3], value(17), offer.lease_seconds())
    };
    assert_eq!(
        told(&mut bench, client()),
        (1, 2, b"/root".to_vec(), Some(99))
    );
    assert_eq!(
        told(&mut bench, Request::new(mac(2))),
        (2, 2, b"/root".to_vec(), Some(3600))
    );
}

#[test]
fn renewal_times_of_a_subnet_are_told_as_far_as_they_fit_the_lease() {
    let mut subnet = lan().with_renewal_seconds(600, 3000);
    subnet.lease_seconds_min = 60;
    let mut bench = bench(subnet);
    let mut times = |asked: u32| {
        let request = client()
            .option(55, [58, 59])
            .option(51, asked.to_be_bytes());
        let offer = bench.ask(&request.discover());
        let offer = Message::parse(&offer).expect("an offer");
        [OptionCode::RENEWAL_TIME, OptionCode::REBINDING_TIME].map(|code| {
            let value = offer.option(code).expect("it is told");
            u32::from_be_bytes(value.as_ref().try_into().expect("four bytes"))
        })
    };
    assert_eq!(times(3600), [600, 3000]);
    assert_eq!(times(1000), [600, 875]);
    assert_eq!(times(100), [50, 87]);
}

#[test]
fn a_hundred_thousand_reservations() {
    let mut subnet = Subnet::new("10.0.0.0/8".parse().expect("a network"))
        .with_server_ip([10, 0, 0, 1].into())
        .with_pool([10, 128, 0, 0].into(), [10, 255, 0, 0].into());
    let machine = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        MacAddr::new([2, 0, 0, a, b, c])
    };
    for number in 0..100_000 {
        let address = Ipv4Addr::from_bits(0x0a80_0000 + number);
        let reservation = Reservation::new(machine(number), address);
        subnet.reservations.push(reservation);
    }
    let mut bench = bench(subnet);
    for number in [0, 50_000, 99_999] {
        let request = Request::new(machine(number)).giaddr([10, 0, 0, 2].into());
        let address = yiaddr(&bench.ask(&request.discover())).expect("an address");
        assert_eq!(address.to_bits(), 0x0a80_0000 + number);
    }
    let stranger = Request::new(mac(1)).giaddr([10, 0, 0, 2].into());
    let address = yiaddr(&bench.ask(&stranger.discover())).expect("an address");
    assert!(address.to_bits() >= 0x0a80_0000 + 100_000);
}

#[test]
fn a_class_comes_between_the_reservation_and_the_subnet() {
    let ntp = |last| DhcpOption::addresses(OptionCode::NTP_SERVERS, &[ip(last)]);
    let log = |last| DhcpOption::addresses(OptionCode(7), &[ip(last)]);
    let virtual_machines = Condition::Mac("52:54:00".parse().expect("a prefix"));
    let own_uuid = Condition::Uuid(MachineUuid::from_wire(UUID));
    let subnet = lan()
        .with_option(ntp(2))
        .with_option(log(2))
        .with_reservation(Reservation::new(mac(9), ip(50)).with_option(ntp(1)));
    let mut longest = LeaseTimes::new();
    longest.max_seconds = Some(100);
    let config = Config::new()
        .with_subnet(subnet)
        .with_class(Class::new("one machine", own_uuid).with_option(ntp(5)))
        .with_class(
            Class::new("virtual machines", virtual_machines)
                .with_option(ntp(3))
                .with_option(log(3).forced())
                .with_lease(longest),
        );
    let mut bench = Bench::new(config, policy());
    let mut told = |request: Request| {
        let offer = bench.ask(&request.option(55, [42]).discover());
        let offer = Message::parse(&offer).expect("an offer");
        let last = |code| offer.option(OptionCode(code)).map(|value| value[3]);
        (last(42), last(7), offer.lease_seconds())
    };
    let other = Request::new(MacAddr::new([2, 0, 0, 0, 0, 1]));
    assert_eq!(told(other), (Some(2), None, Some(3600)));
    assert_eq!(told(client()), (Some(3), Some(3), Some(100)));
    assert_eq!(told(rom(MAC)), (Some(5), Some(3), Some(100)));
    assert_eq!(told(Request::new(mac(9))), (Some(1), Some(3), Some(100)));
}

#[test]
fn a_forced_option_is_sent_with_the_first_value() {
    let ntp = |last| DhcpOption::addresses(OptionCode::NTP_SERVERS, &[ip(last)]);
    let subnet = lan()
        .with_option(ntp(2).forced())
        .with_reservation(Reservation::new(MAC, ip(50)).with_option(ntp(1)));
    let mut bench = bench(subnet);
    let offer = bench.ask(&client().option(55, [1]).discover());
    let offer = Message::parse(&offer).expect("an offer");
    let value = offer.option(OptionCode::NTP_SERVERS);
    assert_eq!(value.as_deref(), Some(&ip(1).octets()[..]));
}

#[test]
fn a_long_option_is_split_and_a_search_list_read_by_others() {
    // RFC 3396; dhcproto joins adjacent parts, as clients do.
    let domains: Vec<String> = (0..40)
        .map(|number| format!("floor{number}.lab.lan"))
        .collect();
    let search = DhcpOption::domain_search(domains.iter().map(String::as_str)).expect("names");
    assert!(search.data.len() > 255);
    let mut bench = bench(lan().with_option(search.clone()));
    let request = client()
        .option(55, [119])
        .option(57, 1500_u16.to_be_bytes());
    let offer = bench.ask(&request.discover());
    let message = Message::parse(&offer).expect("an offer");
    let code = OptionCode::DOMAIN_SEARCH;
    assert_eq!(message.options().filter(|one| one.code == code).count(), 2);
    assert_eq!(message.option(code).as_deref(), Some(&search.data[..]));
    let decoded = v4::Message::decode(&mut Decoder::new(&offer)).expect("a message");
    let Some(v4::DhcpOption::DomainSearch(names)) =
        decoded.opts().get(v4::OptionCode::DomainSearch)
    else {
        panic!("no domain search")
    };
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 40);
    assert!(names[39].starts_with("floor39.lab.lan"), "{}", names[39]);
}
