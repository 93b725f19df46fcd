//! The bounds on what peers can make an engine keep or do.

mod support;

use std::time::Duration;

use pxe_dhcp::wire::MessageType;
use pxe_dhcp::{Config, IgnoreReason, Limit, Limits};
use support::{Bench, Request, client, is_ignored, lan, mac, policy, small, yiaddr};

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
