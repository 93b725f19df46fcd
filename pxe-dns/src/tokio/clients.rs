//! How many connections each client has.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections of each client; as many entries as there are connections at most.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<IpAddr, usize>>);

impl Clients {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections of all.
    pub(super) fn connections(&self) -> usize {
        self.lock().values().sum()
    }
}

/// A connection's place in the table; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Place {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Place {
    /// `None` if the client has so many already.
    pub(super) fn take(
        clients: &Arc<Clients>,
        client: IpAddr,
        per_client_max: usize,
    ) -> Option<Self> {
        let mut all = clients.lock();
        let count = all.entry(client).or_default();
        if *count >= per_client_max.max(1) {
            return None;
        }
        *count += 1;
        Some(Self {
            clients: Arc::clone(clients),
            client,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.clients.lock().entry(self.client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
