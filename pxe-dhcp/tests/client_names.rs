//! Names of clients: what replies say of them, and what records keep.

mod support;

use std::time::Duration;

use pxe_dhcp::wire::{ClientFqdn, Message, OptionCode};
use pxe_dhcp::{ClientNames, Config, Reservation};
use support::{Bench, MAC, client, ip, lan, mac, policy};

fn bench() -> Bench {
    let subnet = lan()
        .with_client_names(ClientNames::new(["matrix.lan"]))
        .with_reservation(Reservation::new(mac(9), ip(9)).with_host_name("gw"));
    Bench::new(Config::new().with_subnet(subnet), policy())
}

/// Option 81 of the offer to a client that sends this one.
fn answer(request: &support::Request, data: &[u8]) -> Option<Vec<u8>> {
    let request = request.clone().option(81, data);
    let offer = bench().ask(&request.discover());
    let offer = Message::parse(&offer).expect("an offer");
    offer
        .option(OptionCode::CLIENT_FQDN)
        .map(|data| data.into_owned())
}

/// RFC 4702 section 4: E is copied, both codes are 255, O tells where S is not what was asked for.
#[test]
fn option_81_is_answered_with_what_the_server_does() {
    let wire = b"\x03pc7\x06matrix\x03lan\0";
    let said = |flags: u8, name: &[u8]| [&[flags, 0, 0], name].concat();
    let told = |flags: u8, name: &[u8]| Some([&[flags, 255, 255], name].concat());
    for (sent, expected) in [
        // S, E: the server is to update. The name gets its domain.
        (said(5, b"\x03PC7"), told(5, wire)),
        (said(5, b"\x03pc7\x06matrix\x03lan\0"), told(5, wire)),
        // A client that wants to update its A record itself is overridden.
        (said(4, b"\x03pc7\0"), told(7, wire)),
        // The deprecated encoding is answered in the same (section 2.3.1).
        (said(1, b"pc7"), told(1, b"pc7.matrix.lan")),
        (said(0, b"pc7.example.com."), told(3, b"pc7.matrix.lan")),
        // N: no updates; the name as it was sent.
        (said(12, b"\x03pc7"), told(12, b"\x03pc7")),
        // Names that clients are not given.
        (said(5, b"\x04wpad"), told(14, b"\x04wpad")),
        // No name, nothing to make one of.
        (said(1, b""), told(10, b"")),
    ] {
        assert_eq!(answer(&client(), &sent), expected, "{sent:02x?}");
    }
    // Without a name of its own it has that of option 12, or the operator's.
    let host = client().option(12, "pc7");
    assert_eq!(answer(&host, &said(5, b"")), told(5, wire));
    let reserved = support::Request::new(mac(9));
    let gw = told(5, b"\x02gw\x06matrix\x03lan\0");
    assert_eq!(answer(&reserved, &said(5, b"\x03pc7")), gw);
}

#[test]
fn option_81_is_not_sent_to_who_did_not_send_it_nor_without_names() {
    let offer = bench().ask(&client().option(12, "pc7").option(55, [81]).discover());
    let offer = Message::parse(&offer).expect("an offer");
    assert_eq!(offer.option(OptionCode::CLIENT_FQDN), None);
    let sent = client().option(81, b"\x05\0\0\x03pc7");
    let offer = Bench::lan().ask(&sent.discover());
    let offer = Message::parse(&offer).expect("an offer");
    assert_eq!(offer.option(OptionCode::CLIENT_FQDN), None);
    // What has no lease has no name: nothing is kept of INFORM.
    let mut bench = bench();
    bench.remote = ip(20);
    let ack = bench.ask(
        &sent
            .ciaddr(ip(20))
            .typed(pxe_dhcp::wire::MessageType::INFORM),
    );
    let ack = Message::parse(&ack).expect("an ACK");
    assert_eq!(ack.option(OptionCode::CLIENT_FQDN), None);
}

/// TechnitiumSoftware/DnsServer issue 1738.
#[test]
fn a_malformed_option_81_is_left_unanswered_and_costs_no_offer() {
    for data in [&b"\x04"[..], b"\x05\0"] {
        assert_eq!(answer(&client(), data), None);
    }
    // Flag E, yet text: read as far as it goes.
    let told = answer(&client(), b"\x04\0\0pc7").expect("an answer");
    assert_eq!(
        ClientFqdn::read(&told).expect("a name").name,
        "pc7.matrix.lan"
    );
}

#[test]
fn a_record_tells_since_when_its_client_has_its_name() {
    let mut bench = bench();
    let since = |bench: &Bench, address| bench.store[&address].named_since.as_seconds();
    let start = bench.now.wall.as_seconds();
    let silent = support::Request::new(MAC);
    let named = silent.clone().option(12, "pc7");
    let address = bench.lease(&silent);
    assert_eq!(since(&bench, address), start);
    bench.advance(Duration::from_secs(10));
    bench.lease(&named);
    assert_eq!(since(&bench, address), start + 10, "its first name");
    // A renewal, and a ROM that says no name, change nothing.
    bench.advance(Duration::from_secs(10));
    bench.ask(&named.renew(address));
    bench.lease(&silent);
    assert_eq!(since(&bench, address), start + 10);
    bench.advance(Duration::from_secs(10));
    bench.ask(&silent.clone().option(12, "pc8").renew(address));
    assert_eq!(since(&bench, address), start + 30, "another name");
    // After a break it has to stand behind those who came meanwhile.
    bench.advance(Duration::from_secs(4000));
    assert_eq!(bench.lease(&silent), address);
    assert_eq!(since(&bench, address), start + 4030);
    assert_eq!(bench.store[&address].first_seen.as_seconds(), start);
}
