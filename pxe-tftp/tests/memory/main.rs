//! What transfers cost in memory: a program of its own, since it counts what the whole program
//! allocates.

mod allocator;
#[cfg(feature = "tokio")]
mod driver;
mod engine;

use std::sync::{Mutex, MutexGuard, PoisonError};

const TRANSFERS: usize = 4096;
/// What a transfer may cost besides the data of its file, in bytes.
const TRANSFER_BYTES_MAX: usize = 16 << 10;

/// Nothing else is counted while a test holds this.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
