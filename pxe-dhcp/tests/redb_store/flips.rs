//! Flipped bits.

use std::sync::Arc;
use std::time::Duration;

use pxe_dhcp::{LeaseRecord, LeaseStore, RedbStore, StoreError};

use super::disk::{Disk, next};
use super::opening::{batch, records};
use super::{load_all, wait};

const PAGE_BYTES: usize = 4096;

/// A store of some leases, half of them renewed.
struct Populated {
    /// Closed in order, and as a crash leaves it.
    closed: Vec<u8>,
    crashed: Vec<u8>,
    records: Vec<LeaseRecord>,
    /// Without the last commit.
    before: Vec<LeaseRecord>,
}

fn populated() -> Populated {
    let disk = Disk::new(Vec::new());
    let store = RedbStore::with_medium(Arc::clone(&disk) as _, Duration::ZERO).expect("a store");
    let mut all = batch(0..120);
    for part in all.chunks(10) {
        assert!(wait(store.commit(part.to_vec())).iter().all(Result::is_ok));
    }
    for commit in all.iter_mut().step_by(2) {
        commit.expected_version = Some(1);
        commit.lease.version = 2;
    }
    let renewals: Vec<_> = all.iter().step_by(2).cloned().collect();
    let mut before = Vec::new();
    for part in renewals.chunks(7) {
        before = load_all(&store).expect("readable");
        assert!(wait(store.commit(part.to_vec())).iter().all(Result::is_ok));
    }
    let crashed = disk.after_power_loss();
    drop(store);
    Populated {
        closed: disk.content(),
        crashed,
        records: records(&all),
        before,
    }
}

fn opened(bytes: &[u8]) -> Result<Vec<LeaseRecord>, StoreError> {
    let disk = Disk::new(bytes.to_vec());
    let store = RedbStore::with_medium(disk as _, Duration::ZERO)?;
    load_all(&store)
}

/// Flips bits of pages that hold something, each by itself, and says how many were errors. What
/// is no error must be one of these.
fn flip(bytes: &[u8], allowed: &[&[LeaseRecord]], flips: usize) -> usize {
    let is_used = |page: &[u8]| page.iter().any(|byte| *byte != 0);
    let used: Vec<usize> = (0..bytes.len() / PAGE_BYTES)
        .filter(|page| is_used(&bytes[page * PAGE_BYTES..][..PAGE_BYTES]))
        .collect();
    let (mut random, mut errors) = (7, 0);
    let mut bytes = bytes.to_vec();
    for _ in 0..flips {
        random = next(random);
        let page = used[(random >> 20) as usize % used.len()];
        random = next(random);
        let at = page * PAGE_BYTES + (random >> 40) as usize % PAGE_BYTES;
        let mask = 1 << (random >> 61);
        bytes[at] ^= mask;
        match opened(&bytes) {
            Ok(found) => {
                let is_allowed = allowed.contains(&found.as_slice());
                assert!(is_allowed, "bit {mask:#x} of byte {at} was not seen");
            }
            Err(StoreError::Damaged(_)) => errors += 1,
            Err(error) => panic!("bit {mask:#x} of byte {at}: {error}"),
        }
        bytes[at] ^= mask;
    }
    errors
}

#[test]
fn each_of_a_thousand_flipped_bits_gives_an_error_or_intact_records() {
    let Populated {
        closed, records, ..
    } = populated();
    assert!(opened(&closed) == Ok(records.clone()));
    let errors = flip(&closed, &[&records], 1000);
    assert!(errors > 200, "{errors} of 1000 flips were errors");
}

/// A commit whose pages are not as they were written may be one that the crash cut off: nobody can
/// tell, so it is undone.
#[test]
fn after_a_crash_a_flipped_bit_undoes_the_last_commit_at_most() {
    let Populated {
        crashed,
        records,
        before,
        ..
    } = populated();
    assert!(opened(&crashed) == Ok(records.clone()));
    assert!(before != records);
    let errors = flip(&crashed, &[&records, &before], 300);
    assert!(errors > 10, "{errors} of 300 flips were errors");
}
