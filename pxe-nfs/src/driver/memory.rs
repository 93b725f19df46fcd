//! What all connections hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is told of a connection is a multiple of so many bytes, so that short replies, which are
/// most of them, touch nothing that all connections share.
const STEP_BYTES: usize = 64 * 1024;

/// What one connection holds, as part of what all of them do.
///
/// Nobody waits for others here: a connection that holds nothing may always begin a call, and one
/// that holds something goes on when that has left.
#[derive(Debug, Default)]
pub(super) struct Memory {
    all: Arc<AtomicUsize>,
    /// This connection's part of `all`.
    own: usize,
}

impl Memory {
    /// For one more connection.
    pub(super) fn another(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            own: 0,
        }
    }

    /// Tells how much this connection holds, in bytes.
    pub(super) fn set(&mut self, held: usize) {
        let held = held - held % STEP_BYTES;
        if held > self.own {
            self.all.fetch_add(held - self.own, Ordering::Relaxed);
        } else if held < self.own {
            self.all.fetch_sub(self.own - held, Ordering::Relaxed);
        }
        self.own = held;
    }

    /// What all connections hold, in bytes.
    pub(super) fn all(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.set(0);
    }
}
