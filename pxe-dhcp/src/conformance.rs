//! What every [`LeaseStore`] has to pass.

use core::net::Ipv4Addr;

use pxe_core::{MacAddr, UnixTime};

use crate::wire::{ClientFqdn, MachineUuid};
use crate::{ClientArch, Commit, CommitError, LeaseRecord, LeaseState, LeaseStore};

/// Runs all checks on a store that is empty; it holds some records afterwards.
///
/// # Panics
///
/// If the store does not do what [`LeaseStore`] says.
pub async fn lease_store(store: &dyn LeaseStore) {
    an_empty_store_has_no_records(store).await;
    every_field_survives(store).await;
    pages_are_ordered_and_complete(store).await;
    versions_decide(store).await;
    a_batch_is_answered_item_by_item(store).await;
    changes_come_in_their_order(store).await;
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + number)
}

fn record(number: u32, version: u64) -> LeaseRecord {
    let [.., a, b] = number.to_be_bytes();
    let state = LeaseState::Bound {
        expires: UnixTime::from_seconds(1_795_003_600),
    };
    let seen = UnixTime::from_seconds(1_795_000_000);
    let mac = MacAddr::new([2, 0, 0, 0, a, b]);
    let mut record = LeaseRecord::new(address(number), mac, state, seen);
    record.version = version;
    record
}

async fn commit(store: &dyn LeaseStore, record: LeaseRecord, expected: Option<u64>) {
    let results = store.commit(vec![Commit::new(record, expected)]).await;
    assert_eq!(results, [Ok(())]);
}

async fn load_all(store: &dyn LeaseStore, records_max: usize) -> Vec<LeaseRecord> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store
            .load(after, records_max)
            .await
            .expect("the store can be read");
        assert!(
            page.len() <= records_max,
            "a page of {} records",
            page.len()
        );
        let Some(last) = page.last() else { return all };
        after = Some(last.address);
        all.extend(page);
    }
}

async fn an_empty_store_has_no_records(store: &dyn LeaseStore) {
    assert!(
        load_all(store, 10).await.is_empty(),
        "the store must be empty to begin with"
    );
    let (changes, _) = store
        .changes_since(None, 10)
        .await
        .expect("the store can be read");
    assert!(changes.is_empty());
    assert!(store.commit(Vec::new()).await.is_empty());
}

async fn every_field_survives(store: &dyn LeaseStore) {
    let mut full = record(1, 1);
    full.htype = 32;
    full.chaddr = vec![7; 16];
    full.client_id = Some(vec![0, 255, 1]);
    full.state = LeaseState::Declined {
        until: UnixTime::from_seconds(u64::MAX),
    };
    full.named_since = UnixTime::from_seconds(1);
    full.host_name = Some(b"p\xffc".to_vec());
    full.fqdn = Some(ClientFqdn::new(5, "pc.lab.lan"));
    full.vendor_class = Some(b"PXEClient:Arch:00007:UNDI:003000".to_vec());
    full.circuit_id = Some(vec![]);
    full.remote_id = Some(vec![1; 255]);
    full.uuid = Some(MachineUuid::from_wire([9; 16]));
    full.arch = Some(ClientArch(0xfffe));
    let mut released = record(2, 1);
    released.state = LeaseState::Released {
        at: UnixTime::from_seconds(0),
    };
    for record in [full, released] {
        commit(store, record.clone(), None).await;
        assert!(load_all(store, 10).await.contains(&record), "{record:?}");
    }
}

async fn pages_are_ordered_and_complete(store: &dyn LeaseStore) {
    for number in [40, 10, 30, 20] {
        commit(store, record(number, 1), None).await;
    }
    for records_max in [1, 2, 3, 100] {
        let found: Vec<_> = load_all(store, records_max)
            .await
            .iter()
            .map(|record| record.address)
            .collect();
        assert_eq!(
            found,
            [1, 2, 10, 20, 30, 40].map(address),
            "pages of {records_max}"
        );
    }
}

async fn versions_decide(store: &dyn LeaseStore) {
    let first = record(10, 1);
    let conflict = |current: Option<&LeaseRecord>| {
        Err(CommitError::Conflict {
            current: current.cloned().map(Box::new),
        })
    };
    // The store has version 1, so neither "none" nor 2 is right.
    for expected in [None, Some(2)] {
        let results = store
            .commit(vec![Commit::new(record(10, 9), expected)])
            .await;
        assert_eq!(results, [conflict(Some(&first))]);
    }
    let results = store
        .commit(vec![Commit::new(record(50, 2), Some(1))])
        .await;
    assert_eq!(results, [conflict(None)], "it has none");
    commit(store, record(10, 2), Some(1)).await;
    assert!(load_all(store, 10).await.contains(&record(10, 2)));
}

async fn a_batch_is_answered_item_by_item(store: &dyn LeaseStore) {
    let batch = vec![
        Commit::new(record(20, 2), Some(1)),
        Commit::new(record(30, 2), Some(7)),
        // The same address twice: the second one sees the first.
        Commit::new(record(20, 3), Some(2)),
        Commit::new(record(60, 1), None),
    ];
    let results = store.commit(batch).await;
    assert_eq!(results.len(), 4);
    assert_eq!(
        (&results[0], &results[2], &results[3]),
        (&Ok(()), &Ok(()), &Ok(()))
    );
    assert!(matches!(results[1], Err(CommitError::Conflict { .. })));
    let all = load_all(store, 100).await;
    assert!(all.contains(&record(20, 3)) && all.contains(&record(30, 1)));
    assert!(all.contains(&record(60, 1)));
}

async fn changes_come_in_their_order(store: &dyn LeaseStore) {
    let mut cursor = None;
    loop {
        let (page, next) = store
            .changes_since(cursor, 2)
            .await
            .expect("the store can be read");
        assert!(page.len() <= 2, "a page of {} records", page.len());
        cursor = Some(next);
        if page.is_empty() {
            break;
        }
    }
    commit(store, record(30, 2), Some(1)).await;
    commit(store, record(10, 3), Some(2)).await;
    let (changes, next) = store
        .changes_since(cursor, 10)
        .await
        .expect("the store can be read");
    assert_eq!(changes, [record(30, 2), record(10, 3)]);
    let (changes, _) = store
        .changes_since(Some(next), 10)
        .await
        .expect("the store can be read");
    assert!(changes.is_empty());
}
