//! Clients that speak plain BOOTP (RFC 951, RFC 1534).

mod support;

use std::time::Duration;

use pxe_dhcp::wire::{HEADER_BYTES, Message, MessageType, OptionCode};
use pxe_dhcp::{
    Boot, BootDecision, BootPolicy, BootRequest, Bootp, Config, DhcpOption, Event, IgnoreReason,
    LeaseState, ProbeResult, Reservation,
};
use support::{
    Bench, MAC, Request, SERVER, client, ip, is_ignored, lan, mac, policy, small, yiaddr,
};

/// A request as old ROMs send it: 300 bytes, a cookie, and nothing else.
fn bootp(request: Request) -> Request {
    let mut request = request;
    request.padded = 300;
    request
}

/// Boots a terminal, whoever asks.
#[derive(Debug)]
struct Terminal;

impl BootPolicy for Terminal {
    fn decide(&self, _: &BootRequest<'_>) -> BootDecision {
        BootDecision::new(Boot::File("terminal.img".to_owned()))
    }
}

#[test]
fn a_reserved_address_is_told_in_300_bytes_without_dhcp_options() {
    let reservation = Reservation::new(MAC, ip(50)).with_host_name("pc1");
    let subnet = lan().with_reservation(reservation);
    let mut bench = Bench::new(Config::new().with_subnet(subnet), Terminal);
    bench.holds_commits = true;
    assert!(
        bench.send(&bootp(client())).is_empty(),
        "the commit comes first"
    );
    bench.commit_all();
    let replies = bench.sent();
    assert_eq!(replies.len(), 1);
    let reply = &replies[0].1;
    assert_eq!(reply.len(), 300);
    let message = Message::parse(reply).expect("a reply");
    assert_eq!(message.yiaddr(), Some(ip(50)));
    assert_eq!(message.siaddr(), Some(SERVER));
    assert_eq!(message.file(), Some(&b"terminal.img"[..]));
    assert_eq!(message.host_name().as_deref(), Some(&b"pc1"[..]));
    for code in [1, 3, 6] {
        assert!(message.has_option(OptionCode(code)), "{code}");
    }
    for code in [51, 52, 53, 54, 57, 58, 59, 61, 66, 67] {
        assert!(!message.has_option(OptionCode(code)), "{code}");
    }
    assert!(matches!(bench.last_event(), Event::Acknowledged { .. }));
    assert!(matches!(
        bench.store[&ip(50)].state,
        LeaseState::Bound { .. }
    ));
    // The system's DHCP gets the same address.
    bench.holds_commits = false;
    assert_eq!(bench.lease(&client()), ip(50));
}

#[test]
fn options_beyond_the_vend_field_are_left_out() {
    let long = DhcpOption::new(OptionCode(17), [b'x'; 100]);
    let subnet = lan()
        .with_reservation(Reservation::new(MAC, ip(50)))
        .with_option(long);
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    let reply = bench.ask(&bootp(client()));
    assert_eq!(reply.len(), 300);
    let has_long = |reply: &[u8]| {
        let message = Message::parse(reply).expect("a reply");
        message.has_option(OptionCode(17))
    };
    assert!(!has_long(&reply));
    // What a client sends it can take.
    let mut large = client();
    large.padded = 400;
    let reply = bench.ask(&large);
    assert!(has_long(&reply) && reply.len() <= 400);
    // One without the cookie gets the same: who does not know the field passes over it.
    let bytes = bootp(client()).bytes();
    let replies = bench.send_bytes(&bytes[..HEADER_BYTES], SERVER);
    assert_eq!(yiaddr(&replies[0].1), Some(ip(50)));
}

#[test]
fn a_pool_is_for_bootp_only_where_the_subnet_says_so() {
    let mut bench = Bench::new(small(10, 10), policy());
    assert!(bench.send(&bootp(client())).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::Bootp));
    let mut config = small(10, 10);
    let lease_seconds = 5000;
    config.subnets[0].bootp = Bootp::Dynamic { lease_seconds };
    let mut bench = Bench::new(config, policy());
    assert_eq!(yiaddr(&bench.ask(&bootp(client()))), Some(ip(10)));
    assert!(bench.send(&bootp(Request::new(mac(2)))).is_empty());
    assert!(matches!(bench.last_event(), Event::PoolExhausted { .. }));
    assert_eq!(bench.engine.offers_len(), 0);
    // It counts from the last request.
    bench.advance(Duration::from_secs(4000));
    bench.ask(&bootp(client()));
    bench.advance(Duration::from_secs(4000));
    assert!(bench.send(&bootp(Request::new(mac(2)))).is_empty());
    bench.advance(Duration::from_secs(1000));
    // Another client's before: a probe comes first.
    bench.holds_probes = true;
    assert!(bench.send(&bootp(Request::new(mac(2)))).is_empty());
    let replies = bench.probed(ProbeResult::Free);
    assert_eq!(yiaddr(&replies[0].1), Some(ip(10)));
    assert_eq!(bench.store[&ip(10)].client.mac(), Some(mac(2)));
}

#[test]
fn bootp_can_be_switched_off_and_is_not_for_strangers_to_known_clients() {
    let reserved = || lan().with_reservation(Reservation::new(MAC, ip(50)));
    let subnet = reserved().with_bootp(Bootp::Ignored);
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    assert!(bench.send(&bootp(client())).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::Bootp));
    let lease_seconds = 600;
    let subnet = reserved().with_bootp(Bootp::Dynamic { lease_seconds });
    let subnet = subnet.for_known_clients_only();
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    assert_eq!(yiaddr(&bench.ask(&bootp(client()))), Some(ip(50)));
    assert!(bench.send(&bootp(Request::new(mac(2)))).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::NotReserved));
}

#[test]
fn a_relayed_bootp_client_is_answered_through_its_relay() {
    let subnet = lan().with_reservation(Reservation::new(MAC, ip(50)));
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    let request = bootp(client()).giaddr(ip(2)).option(82, [1, 1, b'p']);
    let reply = bench.ask(&request);
    let message = Message::parse(&reply).expect("a reply");
    assert_eq!(message.giaddr(), Some(ip(2)));
    let last = message.options().last().expect("options");
    assert_eq!(last.code, OptionCode::RELAY_AGENT_INFO);
    assert_eq!(
        Bench::type_of(&bench.send(&request)),
        Vec::<MessageType>::new()
    );
}

#[test]
fn who_cannot_have_its_reserved_address_gets_none_of_the_pool() {
    // It would use it until it is switched off, and others would get it before.
    let mut bench = Bench::new(Config::new().with_subnet(lan()), policy());
    let held = bench.lease(&Request::new(mac(2)));
    let subnet = lan().with_reservation(Reservation::new(MAC, held));
    let config = Config::new().with_subnet(subnet);
    let policy = std::sync::Arc::new(policy());
    let configured = bench.engine.reconfigure(bench.now, config, policy);
    configured.expect("good");
    assert!(bench.send(&bootp(client())).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::Bootp));
    assert_eq!(bench.engine.offers_len(), 0);
    bench.advance(Duration::from_secs(3601));
    assert_eq!(yiaddr(&bench.send(&bootp(client()))[0].1), Some(held));
}

#[test]
fn what_a_relay_says_takes_no_room_from_its_client() {
    // The relay takes option 82 out again (RFC 3046 section 2.1).
    let subnet = lan().with_reservation(Reservation::new(MAC, ip(50)));
    let mut bench = Bench::new(Config::new().with_subnet(subnet), Terminal);
    let mut info = vec![1, 30];
    info.extend([b'c'; 30]);
    info.extend([2, 30]);
    info.extend([b'r'; 30]);
    let request = bootp(client()).giaddr(ip(2)).option(82, &info);
    let reply = bench.ask(&request);
    let message = Message::parse(&reply).expect("a reply");
    assert_eq!(message.relay_agent_info().as_deref(), Some(&info[..]));
    assert!(message.has_option(OptionCode::SUBNET_MASK));
    assert!(reply.len() - info.len() - 2 <= 300);
}
