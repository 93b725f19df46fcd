//! The store in a file: what it promises, on media that fail.

mod disk;
mod failing;
mod flips;
mod opening;
mod power;
#[path = "../support/mod.rs"]
mod support;

use std::future::Future;

use pxe_dhcp::{LeaseRecord, LeaseStore, StoreError};

/// Waits for a store, which works on a thread of its own.
fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(work)
}

fn load_all(store: &dyn LeaseStore) -> Result<Vec<LeaseRecord>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = wait(store.load(after, 100))?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = Some(last.address);
        all.extend(page);
    }
}
