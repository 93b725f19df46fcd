//! What opening a store makes of what it finds.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use pxe_core::{MacAddr, UnixTime};
use pxe_dhcp::{
    Commit, CommitError, Cursor, LeaseRecord, LeaseState, LeaseStore, OpenStoreError, RedbStore,
    StoreError, conformance,
};

use super::disk::Disk;
use super::{load_all, wait};

/// First records of this many addresses.
pub(crate) fn batch(addresses: std::ops::Range<u32>) -> Vec<Commit> {
    let seen = UnixTime::from_seconds(1_795_000_000);
    let expires = seen.saturating_add_seconds(3600);
    addresses
        .map(|number| {
            let [a, b, c, d] = number.to_be_bytes();
            let mac = MacAddr::new([2, 0, a, b, c, d]);
            let address = (0x0a00_0000 + number).into();
            let mut lease = LeaseRecord::new(address, mac, LeaseState::Bound { expires }, seen);
            lease.host_name = Some(format!("machine-{number}").into_bytes());
            lease.vendor_class = Some(b"PXEClient:Arch:00007:UNDI:003000".to_vec());
            Commit::new(lease, None)
        })
        .collect()
}

pub(crate) fn records(batch: &[Commit]) -> Vec<LeaseRecord> {
    batch.iter().map(|commit| commit.lease.clone()).collect()
}

#[tokio::test]
async fn the_store_in_a_file_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leases.redb");
    let store = RedbStore::open(&path).expect("a new store");
    let mode = fs::metadata(&path).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    conformance::lease_store(&store).await;
    // What it holds is there again, and its history goes on.
    let before = store.load(None, 100).await.expect("readable");
    let (changes, end) = store.changes_since(None, 100).await.expect("readable");
    assert_eq!(changes.len(), before.len());
    drop(store);
    let store = RedbStore::open(&path).expect("it is there");
    assert_eq!(store.load(None, 100).await, Ok(before));
    assert_eq!(store.changes_since(None, 100).await, Ok((changes, end)));
    let later = batch(500..501);
    assert_eq!(store.commit(later.clone()).await, [Ok(())]);
    let (changes, next) = store.changes_since(Some(end), 9).await.expect("readable");
    assert_eq!(changes, records(&later));
    // The point of a history that went further: this file was an older copy.
    let beyond = Cursor::new(next.number() + 1);
    let forgotten = Err(StoreError::Forgotten(beyond));
    assert_eq!(store.changes_since(Some(beyond), 9).await, forgotten);
}

#[test]
fn one_program_at_a_time_has_a_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leases.redb");
    let store = RedbStore::open(&path).expect("a new store");
    for again in [RedbStore::open(&path), RedbStore::open_read_only(&path)] {
        let error = again.expect_err("it is open");
        assert!(matches!(error, OpenStoreError::InUse { .. }), "{error}");
        let text = format!("another server has the lease store {} open", path.display());
        assert_eq!(error.to_string(), text);
    }
    drop(store);
    let one = RedbStore::open_read_only(&path).expect("closed");
    let other = RedbStore::open_read_only(&path).expect("readers do not mind each other");
    drop((one, other));
    RedbStore::open(&path).expect("closed");
}

#[test]
fn a_store_that_is_read_only_is_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leases.redb");
    let missing = RedbStore::open_read_only(&path).expect_err("not there");
    assert!(matches!(missing, OpenStoreError::File { .. }), "{missing}");
    assert!(!path.exists());
    let batch = batch(0..20);
    let store = RedbStore::open(&path).expect("a new store");
    assert!(wait(store.commit(batch.clone())).iter().all(Result::is_ok));
    drop(store);
    let before = fs::read(&path).expect("readable");
    let store = RedbStore::open_read_only(&path).expect("it is there");
    assert_eq!(load_all(&store), Ok(records(&batch)));
    let refused = wait(store.commit(super::opening::batch(20..21)));
    assert!(matches!(refused[0], Err(CommitError::Unavailable(_))));
    drop(store);
    assert!(fs::read(&path).expect("readable") == before);
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("text");
    let text = "lease 192.168.150.7 {\n".repeat(500);
    fs::write(&path, &text).expect("writable");
    let error = RedbStore::open(&path).expect_err("no store");
    assert!(matches!(error, OpenStoreError::Damaged { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("readable"), text);
    let error = RedbStore::open(folder.path()).expect_err("a folder");
    assert!(matches!(error, OpenStoreError::File { .. }), "{error}");
    let error = RedbStore::open(folder.path().join("no/such")).expect_err("no folder");
    assert!(matches!(error, OpenStoreError::File { .. }), "{error}");
    let error = RedbStore::open_read_only("/dev/null").expect_err("a device");
    assert!(matches!(error, OpenStoreError::NoFile { .. }), "{error}");
}

#[test]
fn a_store_that_was_half_made_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leases.redb");
    let half_made = folder.path().join("leases.redb.new");
    fs::write(&half_made, [0; 70_000]).expect("writable");
    let store = RedbStore::open(&path).expect("made");
    assert_eq!(load_all(&store), Ok(Vec::new()));
    assert!(!half_made.exists());
}

#[test]
fn one_flush_for_a_batch() {
    let disk = Disk::new(Vec::new());
    let store = RedbStore::with_medium(Arc::clone(&disk) as _, Duration::ZERO).expect("a store");
    for (addresses, name) in [(0..1, "one"), (1..101, "a hundred"), (101..1101, "many")] {
        let before = disk.flushes();
        let results = wait(store.commit(batch(addresses)));
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(disk.flushes() - before, 1, "{name}");
    }
    // A batch that changes nothing needs none.
    let before = disk.flushes();
    let results = wait(store.commit(batch(0..5)));
    assert!(results.iter().all(Result::is_err));
    assert_eq!(disk.flushes(), before);
}

/// Who may write to the folder could otherwise have any file emptied by a server that is root.
#[test]
fn a_link_in_the_place_of_a_half_made_store_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, other) = (
        folder.path().join("leases.redb"),
        folder.path().join("other"),
    );
    fs::write(&other, "precious").expect("written");
    let half_made = folder.path().join("leases.redb.new");
    std::os::unix::fs::symlink(&other, half_made).expect("linked");
    let error = RedbStore::open(&path).expect_err("a link");
    assert!(matches!(error, OpenStoreError::File { .. }), "{error}");
    assert_eq!(fs::read(&other).expect("there"), b"precious");
    assert!(!path.exists());
}

/// To open a FIFO waits for somebody who writes to it.
#[test]
fn a_fifo_is_no_store_and_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leases.redb");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("made");
    for opened in [RedbStore::open_read_only(&path), RedbStore::open(&path)] {
        let error = opened.expect_err("a FIFO");
        assert!(matches!(error, OpenStoreError::NoFile { .. }), "{error}");
    }
}
