//! The store in a file.

use pxe_dhcp::{RedbStore, conformance};

#[tokio::test]
async fn the_store_in_a_file_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = RedbStore::open(folder.path().join("leases.redb")).expect("a new store");
    conformance::lease_store(&store).await;
}
