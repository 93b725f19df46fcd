//! Losses of power, at each write.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use pxe_core::{Destination, MacAddr};
use pxe_dhcp::wire::{Message, MessageType};
use pxe_dhcp::{Commit, LeaseStore, RedbStore};

use super::disk::Disk;
use super::support::{Bench, Request, mac, policy, small, yiaddr};
use super::{load_all, wait};

/// Stores what the engine wants stored, in one batch, and gives what it then sends.
pub(crate) fn commit_to(bench: &mut Bench, store: &RedbStore) -> Vec<(Destination, Vec<u8>)> {
    let mut sent = bench.sent();
    let commits = std::mem::take(&mut bench.commits);
    let tickets: Vec<_> = commits.iter().map(|(ticket, ..)| *ticket).collect();
    let batch = commits
        .into_iter()
        .map(|(_, record, expected)| Commit::new(record, expected));
    let results = wait(store.commit(batch.collect()));
    for (ticket, result) in tickets.into_iter().zip(results) {
        bench.engine.handle_committed(bench.now, ticket, result);
    }
    sent.extend(bench.sent());
    sent
}

/// A lease from DISCOVER to ACK; `None` without an ACK.
pub(crate) fn lease(bench: &mut Bench, store: &RedbStore, mac: MacAddr) -> Option<Ipv4Addr> {
    let client = Request::new(mac);
    // None is left where offers that could not be stored hold the last addresses.
    let (_, offer) = bench.send(&client.discover()).pop()?;
    let address = yiaddr(&offer)?;
    assert!(
        bench.send(&client.select(address)).is_empty(),
        "not before the commit"
    );
    let sent = commit_to(bench, store);
    (Bench::type_of(&sent) == [MessageType::ACK]).then_some(address)
}

/// What clients were told: who has which address.
type Acknowledged = BTreeMap<Ipv4Addr, MacAddr>;

/// Some clients come, renew and leave, until all is done or the power fails.
fn serve(bench: &mut Bench, store: &RedbStore, acknowledged: &mut Acknowledged) {
    let all: Vec<MacAddr> = (1..=10).map(mac).collect();
    // Two alone, then four at once, then all renew and some leave, then others come.
    for together in [&all[..1], &all[1..2], &all[2..6]] {
        let mut offered = BTreeMap::new();
        for mac in together {
            let client = Request::new(*mac);
            let address = yiaddr(&bench.ask(&client.discover())).expect("an offer");
            bench.send(&client.select(address));
            offered.insert(address, *mac);
        }
        take(&commit_to(bench, store), acknowledged, &offered);
    }
    for (address, mac) in acknowledged.clone() {
        bench.send(&Request::new(mac).renew(address));
    }
    commit_to(bench, store);
    let leaving: Vec<_> = acknowledged
        .iter()
        .take(2)
        .map(|(at, mac)| (*at, *mac))
        .collect();
    for (address, mac) in leaving {
        // From now on it may be given to others, whether we remember that or not.
        acknowledged.remove(&address);
        bench.send(&Request::new(mac).release(address));
    }
    commit_to(bench, store);
    for mac in &all[6..] {
        if let Some(address) = lease(bench, store, *mac) {
            let before = acknowledged.insert(address, *mac);
            assert_eq!(before, None, "{address} is given twice");
        }
    }
}

fn take(
    sent: &[(Destination, Vec<u8>)],
    acknowledged: &mut Acknowledged,
    offered: &BTreeMap<Ipv4Addr, MacAddr>,
) {
    for (_, bytes) in sent {
        let message = Message::parse(bytes).expect("a reply");
        if message.message_type() == Some(MessageType::ACK) {
            let address = message.yiaddr().expect("an address");
            let before = acknowledged.insert(address, offered[&address]);
            assert_eq!(before, None, "{address} is given twice");
        }
    }
}

/// Nine addresses: those who leave make room for those who come.
fn bench() -> Bench {
    let mut bench = Bench::new(small(10, 18), policy());
    bench.holds_commits = true;
    bench
}

/// Starts again with what is left, and looks for what was acknowledged.
fn restart(content: Vec<u8>, acknowledged: &Acknowledged, context: &str) {
    let disk = Disk::new(content);
    let store = RedbStore::with_medium(disk, Duration::ZERO);
    let store = store.unwrap_or_else(|error| panic!("{context}: {error}"));
    let records = load_all(&store).expect("readable");
    let mut bench = bench();
    for (address, mac) in acknowledged {
        let found = records.iter().find(|record| record.address == *address);
        let found = found.unwrap_or_else(|| panic!("{context}: the lease of {address} is lost"));
        assert!(
            found.mac() == Some(*mac) && found.is_active(bench.now.wall),
            "{context}"
        );
    }
    bench.engine.load(bench.now, records);
    // Others get none of these addresses, and their holders go on.
    for number in 100..110 {
        for (_, offer) in bench.send(&Request::new(mac(number)).discover()) {
            let offered = yiaddr(&offer).expect("an address");
            assert!(
                !acknowledged.contains_key(&offered),
                "{context}: {offered} is given twice"
            );
        }
    }
    for (address, mac) in acknowledged {
        bench.send(&Request::new(*mac).renew(*address));
        let acks = Bench::type_of(&commit_to(&mut bench, &store));
        assert_eq!(acks, [MessageType::ACK], "{context}");
    }
}

#[test]
fn every_acknowledged_lease_survives_a_loss_of_power_at_any_write() {
    let mut acknowledged = Acknowledged::new();
    let disk = Disk::with_power_for(usize::MAX);
    let store = RedbStore::with_medium(Arc::clone(&disk) as _, Duration::ZERO).expect("a store");
    serve(&mut bench(), &store, &mut acknowledged);
    drop(store);
    let calls = disk.calls();
    assert!(calls > 60, "{calls} calls");
    assert_eq!(acknowledged.len(), 8);
    for cut in 0..=calls {
        let disk = Disk::with_power_for(cut);
        let mut acknowledged = Acknowledged::new();
        let mut is_made = false;
        if let Ok(store) = RedbStore::with_medium(Arc::clone(&disk) as _, Duration::ZERO) {
            is_made = true;
            serve(&mut bench(), &store, &mut acknowledged);
        }
        if !is_made {
            // A store that is half made may be refused: a file gets its name when it is whole.
            continue;
        }
        let context = format!("power for {cut} of {calls} calls");
        restart(disk.after_power_loss(), &acknowledged, &context);
        for seed in 0..3 {
            let torn = disk.after_torn_power_loss(seed * 1000 + cut as u64);
            restart(torn, &acknowledged, &format!("{context}, torn {seed}"));
        }
    }
}
