//! A medium that fails while the server runs, and comes back.

use std::sync::Arc;
use std::time::Duration;

use pxe_dhcp::wire::MessageType;
use pxe_dhcp::{CommitError, Event, LeaseStore, RedbStore};

use super::disk::{Disk, Health};
use super::load_all;
use super::power::{commit_to, lease};
use super::support::{Bench, Request, mac, policy, small, yiaddr};

fn is_unavailable(bench: &Bench) -> bool {
    let refused = |event: &&Event| {
        matches!(
            event,
            Event::CommitRefused {
                is_conflict: false,
                ..
            }
        )
    };
    bench
        .events
        .iter()
        .rev()
        .take(2)
        .any(|event| refused(&event))
}

#[test]
fn a_client_gets_no_ack_while_the_medium_fails_and_its_lease_when_it_works_again() {
    for health in [Health::Full, Health::LosesWrites, Health::Off] {
        let disk = Disk::new(Vec::new());
        let store =
            RedbStore::with_medium(Arc::clone(&disk) as _, Duration::ZERO).expect("a store");
        let mut bench = Bench::new(small(10, 60), policy());
        bench.holds_commits = true;
        let first = lease(&mut bench, &store, mac(1)).expect("an ACK");

        disk.set_health(health);
        let client = Request::new(mac(2));
        let address = yiaddr(&bench.ask(&client.discover())).expect("an offer");
        for _ in 0..3 {
            assert!(bench.send(&client.select(address)).is_empty());
            assert!(
                commit_to(&mut bench, &store).is_empty(),
                "{health:?}: no ACK"
            );
            assert!(is_unavailable(&bench), "{health:?}: {:?}", bench.events);
        }

        disk.set_health(Health::Good);
        // What was on its way when it failed may be there, and is adopted: then it takes two.
        let mut acks = Vec::new();
        for _ in 0..2 {
            acks.extend(bench.send(&client.select(address)));
            acks.extend(commit_to(&mut bench, &store));
        }
        let acks = Bench::type_of(&acks);
        assert!(acks.contains(&MessageType::ACK), "{health:?}: {acks:?}");
        let third = lease(&mut bench, &store, mac(3)).expect("an ACK");

        // All that was acknowledged survives the next loss of power.
        drop(store);
        let again = Disk::new(disk.after_power_loss());
        let store = RedbStore::with_medium(again, Duration::ZERO).expect("intact");
        let found = load_all(&store).expect("readable");
        for (number, address) in [(1, first), (2, address), (3, third)] {
            let record = found.iter().find(|record| record.address == address);
            let client = record.and_then(|record| record.mac());
            assert_eq!(client, Some(mac(number)), "{health:?}");
        }
    }
}

#[test]
fn a_store_that_failed_is_not_opened_again_at_once() {
    let disk = Disk::new(Vec::new());
    let an_hour = Duration::from_secs(3600);
    let store = RedbStore::with_medium(Arc::clone(&disk) as _, an_hour).expect("a store");
    let one = || super::opening::batch(0..1);
    disk.set_health(Health::Full);
    let refused = super::wait(store.commit(one()));
    assert!(matches!(refused[0], Err(CommitError::Unavailable(_))));
    disk.set_health(Health::Good);
    let calls = disk.calls();
    let again = super::wait(store.commit(one()));
    assert_eq!(again, refused, "the reason is told again");
    assert_eq!(disk.calls(), calls);
}

/// After a flush that failed, Linux takes the pages for clean: what can still be read is not on the
/// disk, and no later flush writes it ("fsyncgate", PostgreSQL 2018).
#[test]
fn what_a_failed_flush_left_is_written_again() {
    let disk = Disk::new(Vec::new());
    let store = RedbStore::with_medium(Arc::clone(&disk) as _, Duration::ZERO).expect("a store");
    disk.set_health(Health::LosesWrites);
    // Of many pages, most of which the next commit does not touch.
    let refused = super::wait(store.commit(super::opening::batch(0..500)));
    assert!(matches!(refused[0], Err(CommitError::Unavailable(_))));
    disk.set_health(Health::Good);
    let next = super::wait(store.commit(super::opening::batch(600..601)));
    assert_eq!(next, [Ok(())]);
    let before = load_all(&store).expect("readable");
    let left = Disk::new(disk.after_power_loss());
    drop(store);
    let store = RedbStore::with_medium(left, Duration::ZERO).expect("intact");
    assert!(load_all(&store) == Ok(before));
}
