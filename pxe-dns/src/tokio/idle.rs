//! Connections that ask nothing, in the order in which they became so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Connections of which one may be closed to make room for another (RFC 7766 section 6.2.3: a server
/// may close idle connections sooner where it runs short of them). As many as are idle.
#[derive(Debug, Default)]
pub(super) struct IdleConnections(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_age: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

impl IdleConnections {
    /// Tells the one that is idle for longest to close; `false` if none is idle.
    pub(super) fn close_longest(&self) -> bool {
        let longest = self.lock().by_age.pop_first();
        if let Some((_, closing)) = &longest {
            closing.notify_one();
        }
        longest.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a connection is idle.
#[derive(Debug)]
pub(super) struct Idle {
    all: Arc<IdleConnections>,
    /// Its place in the table.
    age: Option<u64>,
    closing: Arc<Notify>,
}

impl Idle {
    /// Of a connection that is not idle yet.
    pub(super) fn new(all: &Arc<IdleConnections>) -> Self {
        Self {
            all: Arc::clone(all),
            age: None,
            closing: Arc::default(),
        }
    }

    /// It is idle, from now on if it was not before.
    pub(super) fn begin(&mut self) {
        if self.age.is_none() {
            let mut table = self.all.lock();
            let age = table.next;
            table.next += 1;
            table.by_age.insert(age, Arc::clone(&self.closing));
            self.age = Some(age);
        }
    }

    /// It is not.
    pub(super) fn end(&mut self) {
        if let Some(age) = self.age.take() {
            self.all.lock().by_age.remove(&age);
        }
    }

    /// Resolves when it has to make room.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.end();
    }
}
