//! Who is let in, and how many.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::observer::Observer;
use crate::Limits;
use crate::event::{Event, Limit, Limited};

/// What all connections of a server share, whatever runs on them.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) limits: Limits,
    pub(super) observer: Observer,
    permits: Arc<Semaphore>,
    /// Connections of each client; as many entries as there are connections at most.
    clients: Mutex<HashMap<IpAddr, usize>>,
}

impl Admission {
    pub(super) fn new(limits: Limits, observer: Observer) -> Self {
        let connections_max = limits.connections_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(connections_max)),
            limits,
            observer,
            clients: Mutex::default(),
        }
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.clients().values().sum()
    }

    /// Tells that a bound was reached.
    pub(super) fn tell_limit(&self, limit: Limit, remote: Option<SocketAddr>, local: SocketAddr) {
        self.observer.tell(|| {
            Event::Limited(Limited {
                limit,
                remote,
                local,
            })
        });
    }

    /// A permit, if fewer than `connections_max` are given.
    pub(super) fn try_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Waits until fewer than `connections_max` are given.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the table of clients; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) admission: Arc<Admission>,
    client: IpAddr,
}

impl Place {
    /// `None` if the client has too many already.
    pub(super) fn take(admission: &Arc<Admission>, client: IpAddr) -> Option<Self> {
        let mut clients = admission.clients();
        let count = clients.entry(client).or_default();
        if *count >= admission.limits.connections_per_client_max.max(1) {
            return None;
        }
        *count += 1;
        Some(Self {
            admission: Arc::clone(admission),
            client,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.admission.clients().entry(self.client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
