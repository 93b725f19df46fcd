//! What the engine makes of its store: conflicts, other servers, restarts, and clocks that step.

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pxe_core::{Destination, UnixTime};
use pxe_dhcp::wire::{Message, MessageType};
use pxe_dhcp::{
    Config, Event, IgnoreReason, LeaseRecord, LeaseState, NakReason, Reservation, Subnet,
};
use support::{Bench, MAC, Request, ip, lan, mac, policy};

const ACK: MessageType = MessageType::ACK;
const NAK: MessageType = MessageType::NAK;

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

fn is_nak(bench: &Bench, expected: NakReason) -> bool {
    matches!(bench.last_event(), Event::Nak { reason, .. } if *reason == expected)
}

#[test]
fn a_lease_of_another_server_ends_our_offer_of_its_address() {
    for by_conflict in [false, true] {
        let mut bench = Bench::new(small(10, 10), policy());
        let address = yiaddr(&bench.ask(&client().discover())).expect("an address");
        let expires = bench.now.wall.saturating_add_seconds(600);
        let state = LeaseState::Bound { expires };
        let theirs = LeaseRecord::new(address, mac(99), state, bench.now.wall);
        bench.store.insert(address, theirs.clone());
        if by_conflict {
            assert!(bench.send(&client().select(address)).is_empty());
        } else {
            bench.engine.load(bench.now, [theirs]);
        }
        assert_eq!(bench.engine.offers_len(), 0);
        // Its holder comes here next: it was refused for the sake of that offer.
        let holder = Request::new(mac(99));
        assert_eq!(bench.lease(&holder), address);
        assert_eq!(Bench::type_of(&bench.send(&holder.renew(address))), [ACK]);
    }
}
