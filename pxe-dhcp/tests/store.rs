//! What the engine makes of its store: conflicts, other servers, restarts, and clocks that step.

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pxe_core::{Destination, UnixTime};
use pxe_dhcp::wire::{Message, MessageType};
use pxe_dhcp::{
    CommitError, Config, Event, IgnoreReason, LeaseRecord, LeaseState, Limit, Limits, NakReason,
    ProbeResult, Probing, Reservation, WithdrawError,
};
use support::{Bench, MAC, Request, client, ip, is_ignored, lan, mac, policy, small, yiaddr};

const ACK: MessageType = MessageType::ACK;
const NAK: MessageType = MessageType::NAK;

fn is_nak(bench: &Bench, expected: NakReason) -> bool {
    matches!(bench.last_event(), Event::Nak { reason, .. } if *reason == expected)
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
    assert_eq!(Bench::type_of(&bench.send(&client().renew(address))), [ACK]);
    let is_told = |event: &Event| {
        matches!(
            event,
            Event::CommitRefused {
                is_conflict: true,
                ..
            }
        )
    };
    assert!(bench.events.iter().any(is_told));
    assert!(
        bench.send(&Request::new(mac(2)).discover()).is_empty(),
        "the client still has it"
    );
    assert_eq!(bench.store[&address].version, 3);
}

#[test]
fn a_conflict_with_the_clients_own_longer_lease_is_acknowledged_at_once() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = bench.lease(&client());
    let mut theirs = bench.store[&address].clone();
    theirs.version = 2;
    let expires = bench.now.wall.saturating_add_seconds(700);
    theirs.state = LeaseState::Bound { expires };
    bench.store.insert(address, theirs.clone());
    assert_eq!(Bench::type_of(&bench.send(&client().renew(address))), [ACK]);
    assert_eq!(bench.store[&address], theirs, "nothing was written");
}

/// The wall clock went a day forward, and the server starts anew.
fn restarted(bench: &Bench, config: Config) -> Bench {
    let mut again = Bench::new(config, policy());
    again.now = bench.now;
    again.now.wall = bench.now.wall.saturating_add_seconds(86_400);
    again.store = bench.store.clone();
    again.holds_probes = true;
    again.engine.load(again.now, bench.store.values().cloned());
    again
}

#[test]
fn a_lease_that_looks_over_after_a_restart_is_given_away_only_if_a_probe_finds_it_free() {
    let mut bench = Bench::new(small(10, 13), policy());
    let kept = bench.lease(&client());
    let released = bench.lease(&Request::new(mac(2)));
    bench.send(&Request::new(mac(2)).release(released));
    let other = bench.lease(&Request::new(mac(3)));
    let mut again = restarted(&bench, small(10, 13));
    // Addresses that nobody had come first, then those that were given back, without doubt.
    let fresh = yiaddr(&again.ask(&Request::new(mac(10)).discover())).expect("one is fresh");
    assert!(![kept, released, other].contains(&fresh));
    assert!(again.send(&Request::new(mac(11)).discover()).is_empty());
    assert_eq!(
        again.probes.pop().map(|(_, address)| address),
        Some(released)
    );
    assert!(again.send(&Request::new(mac(12)).discover()).is_empty());
    let doubtful = again.probes[0].1;
    assert!([kept, other].contains(&doubtful));
    // Nobody gets it by a REQUEST alone, neither who waits for the probe nor anybody else.
    for asking in [mac(12), mac(13)] {
        let naks = again.send(&Request::new(asking).select(doubtful));
        assert_eq!(Bench::type_of(&naks), [NAK], "{asking}");
    }
    assert!(again.send(&Request::new(mac(12)).discover()).is_empty());
    assert!(again.probed(ProbeResult::InUse).is_empty());
    // It costs its own client nothing.
    let own = if doubtful == kept { mac(3) } else { MAC };
    let own = Request::new(own);
    let address = if doubtful == kept { other } else { kept };
    assert_eq!(yiaddr(&again.ask(&own.discover())), Some(address));
    assert_eq!(Bench::type_of(&again.send(&own.renew(address))), [ACK]);
}

#[test]
fn the_doubt_ends_with_the_time_that_the_lease_was_given_for() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = bench.lease(&client());
    let mut again = restarted(&bench, small(10, 10).with_probing(Probing::Off));
    let other = Request::new(mac(2));
    assert_eq!(Bench::type_of(&again.send(&other.select(address))), [NAK]);
    again.advance(Duration::from_secs(600));
    assert_eq!(Bench::type_of(&again.send(&other.select(address))), [ACK]);
}

#[test]
fn no_more_records_are_loaded_than_leases_max() {
    let mut bench = Bench::new(small(10, 20), policy());
    for number in 0..5 {
        bench.lease(&Request::new(mac(number)));
    }
    let mut limits = Limits::new();
    limits.leases_max = 3;
    let mut again = Bench::new(small(10, 20).with_limits(limits), policy());
    again.store = bench.store.clone();
    again.engine.load(again.now, bench.store.values().cloned());
    assert_eq!(again.engine.leases().count(), 3);
    assert_eq!(again.engine.counters().limits[&Limit::Leases], 2);
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

#[test]
fn a_renewing_client_gets_its_lease_back_where_the_records_were_lost() {
    let reserved = Reservation::new(MAC, ip(50));
    let config = Config::new().with_subnet(lan().with_reservation(reserved));
    let mut bench = Bench::new(config, policy());
    let acks = bench.send(&Request::new(mac(2)).renew(ip(150)));
    assert_eq!(Bench::type_of(&acks), [ACK]);
    let to = Destination::Unicast(SocketAddr::from((ip(150), 68)));
    assert_eq!((acks[0].0, yiaddr(&acks[0].1)), (to, Some(ip(150))));
    let record = &bench.store[&ip(150)];
    assert_eq!((record.client.mac(), record.version), (Some(mac(2)), 1));
    assert_eq!(Bench::type_of(&bench.send(&client().renew(ip(50)))), [ACK]);

    // Another client's: it must not go on.
    let other = Request::new(mac(3));
    for taken in [ip(150), ip(50)] {
        assert_eq!(Bench::type_of(&bench.send(&other.renew(taken))), [NAK]);
        assert!(is_nak(&bench, NakReason::HeldByOther));
    }
    // In none of our pools: another server may have given it.
    assert!(bench.send(&other.renew(ip(60))).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::UnknownClient));
    // One client takes no second address so.
    let again = Request::new(mac(2)).renew(ip(151));
    assert_eq!(Bench::type_of(&bench.send(&again)), [NAK]);
    assert!(is_nak(&bench, NakReason::OtherAddress));
    assert_eq!(bench.store.len(), 2);
}

#[test]
fn a_lease_that_is_over_refuses_no_address_of_another_server() {
    let mut bench = Bench::new(small(10, 20), policy());
    bench.lease(&client());
    // Not ours to give, and none of our records: its server knows.
    assert!(bench.send(&client().renew(ip(99))).is_empty());
    bench.advance(Duration::from_secs(601));
    assert!(bench.send(&client().renew(ip(99))).is_empty());
    assert!(bench.send(&client().reboot(ip(99))).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::UnknownClient));
}

#[test]
fn an_ack_gives_no_more_time_than_was_committed() {
    let mut subnet = lan();
    (subnet.lease_seconds_min, subnet.lease_seconds_max) = (100, 7200);
    let mut bench = Bench::new(Config::new().with_subnet(subnet), policy());
    let address = yiaddr(&bench.ask(&client().discover())).expect("an address");
    bench.holds_commits = true;
    for seconds in [100_u32, 7200] {
        let request = client().select(address).option(51, seconds.to_be_bytes());
        assert!(bench.send(&request).is_empty());
    }
    bench.commit_all();
    let acks = bench.sent();
    let ack = Message::parse(&acks[0].1).expect("an ACK");
    let given = u64::from(ack.lease_seconds().expect("a lease"));
    let until = bench.now.wall.saturating_add_seconds(given);
    let expires = until;
    assert_eq!(bench.store[&address].state, LeaseState::Bound { expires });
}

#[test]
fn a_restart_before_the_clock_is_set_holds_no_lease_for_years() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = bench.lease(&client());
    let mut again = Bench::new(small(10, 10), policy());
    again.store = bench.store.clone();
    // A machine without a battery for its clock.
    again.now.wall = UnixTime::from_seconds(0);
    again.engine.load(again.now, bench.store.values().cloned());
    again.advance(Duration::from_secs(599));
    let other = Request::new(mac(2));
    assert!(again.send(&other.discover()).is_empty(), "it may last");
    again.advance(Duration::from_secs(1));
    assert_eq!(again.lease(&other), address);
}

#[test]
fn inform_is_not_answered_to_addresses_of_no_subnet() {
    let mut bench = Bench::lan();
    let far = Ipv4Addr::new(198, 51, 100, 7);
    assert!(bench.send(&client().inform(far)).is_empty());
    assert!(is_ignored(&bench, IgnoreReason::NoSubnet));
}

#[test]
fn a_declined_address_is_nobodys_while_that_is_being_stored_nor_if_it_cannot_be() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = bench.lease(&client());
    bench.holds_commits = true;
    bench.send(&client().decline(address));
    assert!(bench.send(&client().discover()).is_empty());
    assert_eq!(
        Bench::type_of(&bench.send(&client().select(address))),
        [NAK]
    );
    let (ticket, ..) = bench.commits.remove(0);
    let failed = CommitError::Unavailable("disk full".to_owned());
    bench
        .engine
        .handle_committed(bench.now, ticket, Err(failed));
    assert!(bench.send(&client().discover()).is_empty());
    assert!(bench.send(&Request::new(mac(2)).discover()).is_empty());
}

#[test]
fn an_older_record_is_passed_over_and_a_shorter_one_ends_no_lease_early() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = bench.lease(&client());
    bench.send(&client().renew(address));
    let expires = bench.now.wall.saturating_add_seconds(60);
    let state = LeaseState::Bound { expires };
    let old = LeaseRecord::new(address, mac(99), state, bench.now.wall);
    bench.engine.load(bench.now, [old.clone()]);
    let mut same = old;
    same.version = 2;
    bench.engine.load(bench.now, [same]);
    assert_eq!(Bench::type_of(&bench.send(&client().renew(address))), [ACK]);
    let mut shorter = LeaseRecord::new(address, MAC, state, bench.now.wall);
    shorter.version = 4;
    bench.store.insert(address, shorter.clone());
    bench.engine.load(bench.now, [shorter]);
    bench.advance(Duration::from_secs(599));
    assert!(bench.send(&Request::new(mac(2)).discover()).is_empty());
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.lease(&Request::new(mac(2))), address);
}

#[test]
fn a_withdrawn_lease_is_free_when_the_store_has_that() {
    let mut bench = Bench::new(small(10, 10), policy());
    let missing = bench.engine.withdraw(bench.now, ip(10));
    assert_eq!(missing, Err(WithdrawError::NotHeld(ip(10))));
    let address = bench.lease(&client());
    bench.holds_commits = true;
    bench.engine.withdraw(bench.now, address).expect("a lease");
    bench.drain();
    let again = bench.engine.withdraw(bench.now, address);
    assert_eq!(again, Err(WithdrawError::Busy(address)));
    let other = Request::new(mac(2));
    assert!(bench.send(&other.discover()).is_empty(), "not yet");
    bench.commit_all();
    bench.drain();
    assert!(matches!(
        bench.last_event(),
        Event::Withdrawn { client, address: freed } if client.mac() == Some(MAC) && *freed == address
    ));
    let record = &bench.store[&address];
    assert_eq!(record.version, 2);
    let at = bench.now.wall;
    assert_eq!(record.state, LeaseState::Released { at });
    bench.holds_commits = false;
    assert_eq!(bench.lease(&other), address);
    // Nothing of the first lease's end is left to free the second.
    let refused = bench.send(&client().renew(address));
    assert_eq!(Bench::type_of(&refused), [NAK]);
}

#[test]
fn a_withdrawal_frees_an_address_in_quarantine() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = bench.lease(&client());
    bench.send(&client().decline(address));
    assert!(bench.send(&client().discover()).is_empty());
    bench.engine.withdraw(bench.now, address).expect("held");
    bench.drain();
    assert_eq!(bench.lease(&client()), address);
}

#[test]
fn a_withdrawal_that_cannot_be_stored_frees_nothing() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = bench.lease(&client());
    bench.holds_commits = true;
    let ticket = bench.engine.withdraw(bench.now, address).expect("a lease");
    bench.drain();
    let failed = CommitError::Unavailable("disk full".to_owned());
    bench
        .engine
        .handle_committed(bench.now, ticket, Err(failed));
    bench.commits.clear();
    bench.holds_commits = false;
    assert!(bench.send(&Request::new(mac(2)).discover()).is_empty());
    assert_eq!(Bench::type_of(&bench.send(&client().renew(address))), [ACK]);
}

#[test]
fn a_store_that_lost_a_record_frees_no_address_that_is_held() {
    let mut bench = Bench::new(small(10, 10), policy());
    let address = bench.lease(&client());
    bench.send(&client().renew(address));
    bench.store.clear();
    assert_eq!(Bench::type_of(&bench.send(&client().renew(address))), [ACK]);
    assert_eq!(bench.store[&address].version, 1);
    assert!(bench.send(&Request::new(mac(2)).discover()).is_empty());
}
