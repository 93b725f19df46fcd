//! Clients that are refused again and again: told once, and then summed up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::peer::network;
use crate::event::{Limit, Limited};

/// How long the refusals of one client are summed up before they are told.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Clients whose refusals are summed up at once, each for each limit; those of others are one sum.
const CLIENTS_MAX: usize = 4096;

/// What was refused whom, and is not told yet. An event costs more than the request that it is
/// about: a client that is refused does not flood whoever listens.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    table: Mutex<Table>,
    /// Something is to be told later.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Table {
    clients: HashMap<Key, Sum>,
}

/// Whom, by its network; `None`: those for whom there was no room.
type Key = (Limit, Option<IpAddr>);

#[derive(Debug)]
struct Sum {
    due: Instant,
    /// The last one; its count is that of those that are not told.
    last: Limited,
}

impl Refusals {
    /// Counts a refusal. Returns it if it is to be told now.
    pub(super) fn take(&self, refused: Limited) -> Option<Limited> {
        let remote = refused.remote?;
        let mut table = self.table();
        let mut key = (refused.limit, Some(network(remote.ip())));
        let mut refused = refused;
        if table.clients.len() >= CLIENTS_MAX && !table.clients.contains_key(&key) {
            key.1 = None;
            refused.remote = None;
        }
        if let Some(sum) = table.clients.get_mut(&key) {
            let count = sum.last.count.saturating_add(refused.count);
            sum.last = Limited { count, ..refused };
            return None;
        }
        let sum = Sum {
            due: Instant::now() + TOLD_EVERY,
            last: Limited {
                count: 0,
                ..refused
            },
        };
        table.clients.insert(key, sum);
        self.begun.notify_waiters();
        Some(refused)
    }

    /// Waits until there is something to be told, or to be forgotten.
    pub(super) async fn due(&self) {
        loop {
            let begun = self.begun.notified();
            let due = self.table().clients.values().map(|sum| sum.due).min();
            match due {
                Some(due) => return tokio::time::sleep_until(due).await,
                None => begun.await,
            }
        }
    }

    /// The sums whose time is over; or all of them, as there is no more time.
    pub(super) fn sums(&self, all: bool) -> Vec<Limited> {
        let now = Instant::now();
        let mut sums = Vec::new();
        self.table().clients.retain(|_, sum| {
            if !all && sum.due > now {
                return true;
            }
            let count = std::mem::take(&mut sum.last.count);
            if count > 0 {
                sums.push(Limited { count, ..sum.last });
                sum.due = now + TOLD_EVERY;
            }
            count > 0
        });
        sums
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn refused(client: u32) -> Limited {
        let remote = SocketAddr::from((client.to_be_bytes(), 49153));
        Limited {
            limit: Limit::RequestRate,
            remote: Some(remote),
            local: SocketAddr::from(([10, 0, 0, 1], 80)),
            count: 1,
        }
    }

    fn counts(refusals: &Refusals) -> Vec<u64> {
        let sums = refusals.sums(false);
        sums.iter().map(|limited| limited.count).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_told_of_at_once_and_then_once_an_interval() {
        let refusals = Refusals::default();
        let told = |client| refusals.take(refused(client)).is_some();
        assert!(told(1));
        assert!(told(2), "another client");
        assert_eq!((0..100).filter(|_| told(1)).count(), 0);
        assert_eq!(counts(&refusals), [0; 0]);
        let begin = Instant::now();
        refusals.due().await;
        assert_eq!(begin.elapsed(), TOLD_EVERY);
        assert_eq!(counts(&refusals), [100]);
        // It goes on, and then it ends.
        assert!(!told(1));
        refusals.due().await;
        assert_eq!(counts(&refusals), [1]);
        refusals.due().await;
        assert_eq!(counts(&refusals), [0; 0]);
        assert!(refusals.table().clients.is_empty());
        assert!(told(1));
        assert!(!told(1));
        assert_eq!(refusals.sums(true).len(), 1, "no more time");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_clients_are_summed_up_and_the_others_together() {
        let refusals = Refusals::default();
        let told = (0..5000).filter(|&client| refusals.take(refused(client)).is_some());
        assert_eq!(told.count(), CLIENTS_MAX + 1);
        assert_eq!(refusals.table().clients.len(), CLIENTS_MAX + 1);
        let sums = refusals.sums(true);
        let [sum] = &sums[..] else {
            panic!("{} sums", sums.len());
        };
        assert_eq!(sum.remote, None);
        assert_eq!(sum.count, (5000 - CLIENTS_MAX - 1) as u64);
    }
}
