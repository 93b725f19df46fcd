//! Who is let in, and how many.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::observer::Observer;
use super::peer::network;
use super::rate::Rates;
use super::refusals::Refusals;
use super::seat::{Leave, Seat};
#[cfg(feature = "tls")]
use super::tls::Handshakes;
use crate::Limits;
use crate::event::{Event, Limit, Limited};

/// How long a connection has to be idle before it is closed to make room for another.
const IDLE_LEAST: Duration = Duration::from_secs(1);

/// What all connections of a server share, whatever runs on them.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) limits: Limits,
    pub(super) observer: Observer,
    pub(super) rates: Rates,
    #[cfg(feature = "tls")]
    pub(super) handshakes: Handshakes,
    pub(super) refusals: Refusals,
    permits: Arc<Semaphore>,
    places: Mutex<Places>,
}

/// As many entries as there are connections at most.
#[derive(Debug, Default)]
struct Places {
    /// Connections of each client, by its network.
    clients: HashMap<IpAddr, usize>,
    seats: HashMap<u64, Arc<Seat>>,
    next_number: u64,
    is_stopping: bool,
}

impl Admission {
    pub(super) fn new(limits: Limits, observer: Observer) -> Self {
        let connections_max = limits.connections_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(connections_max)),
            rates: Rates::requests(&limits),
            #[cfg(feature = "tls")]
            handshakes: Handshakes::new(&limits),
            refusals: Refusals::default(),
            limits,
            observer,
            places: Mutex::default(),
        }
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.places().seats.len()
    }

    /// Has all connections end as soon as nothing is under way on them.
    pub(super) fn stop(&self) {
        let mut places = self.places();
        places.is_stopping = true;
        for seat in places.seats.values() {
            seat.ask(Leave::ServerStops);
        }
    }

    /// Tells that a bound was reached, now or later.
    pub(super) fn tell_limit(&self, limit: Limit, remote: Option<SocketAddr>, local: SocketAddr) {
        let limited = Limited {
            limit,
            remote,
            local,
            count: 1,
        };
        let told = match limit.is_refusal() && self.observer.listens() {
            true => self.refusals.take(limited),
            false => Some(limited),
        };
        if let Some(limited) = told {
            self.observer.tell(|| Event::Limited(limited));
        }
    }

    /// Tells whom something was refused again and again: all of it if the server ends.
    pub(super) fn tell_refusals(&self, all: bool) {
        for limited in self.refusals.sums(all) {
            self.observer.tell(|| Event::Limited(limited));
        }
    }

    /// A permit, if fewer than `connections_max` are given.
    pub(super) fn try_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Waits until fewer than `connections_max` are given. Meanwhile those that wait for their
    /// clients' requests are closed, one after the other, the one that waits the longest first;
    /// then those whose clients take too little, the slowest first.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let again = self.make_room();
            let permit = Arc::clone(&self.permits).acquire_owned();
            if let Ok(permit) = tokio::time::timeout_at(again, permit).await {
                return permit.ok();
            }
        }
    }

    /// Asks one connection to leave. Returns when it is time to look again.
    fn make_room(&self) -> Instant {
        let now = Instant::now();
        let places = self.places();
        let oldest = |since: fn(&Seat) -> Option<Instant>, patience| {
            let seats = places.seats.values();
            let waiting = seats.filter_map(|seat| Some((since(seat)?, seat)));
            let (since, seat) = waiting.min_by_key(|(since, _)| *since)?;
            // Beyond what the clock can say: never.
            Some((since.checked_add(patience)?, seat))
        };
        let idle = oldest(Seat::waits_since, IDLE_LEAST);
        let slow = oldest(Seat::slow_since, self.limits.slow_timeout);
        let due = [idle, slow].into_iter().flatten();
        match due.clone().find(|(at, _)| *at <= now) {
            Some((_, seat)) => {
                seat.ask(Leave::MakeRoom);
                now + Duration::from_millis(100)
            }
            // Others may be waited for meanwhile, and for longer.
            None => due.map(|(at, _)| at).fold(now + IDLE_LEAST, Ord::min),
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among all; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) admission: Arc<Admission>,
    pub(super) seat: Arc<Seat>,
    client: IpAddr,
    number: u64,
}

impl Place {
    /// `None` if the client has too many already.
    pub(super) fn take(admission: &Arc<Admission>, client: IpAddr) -> Option<Self> {
        let client = network(client);
        let mut places = admission.places();
        let count = places.clients.entry(client).or_default();
        if *count >= admission.limits.connections_per_client_max.max(1) {
            return None;
        }
        *count += 1;
        let seat = Arc::new(Seat::default());
        if places.is_stopping {
            seat.ask(Leave::ServerStops);
        }
        let number = places.next_number;
        places.next_number = number.wrapping_add(1);
        places.seats.insert(number, Arc::clone(&seat));
        Some(Self {
            admission: Arc::clone(admission),
            seat,
            client,
            number,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.admission.places();
        places.seats.remove(&self.number);
        if let Entry::Occupied(mut entry) = places.clients.entry(self.client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_64_are_one_client() {
        let limits = Limits {
            connections_per_client_max: 2,
            ..Limits::default()
        };
        let admission = Arc::new(Admission::new(limits, Observer::default()));
        let take = |client: &str| Place::take(&admission, client.parse().expect("an address"));
        let places = [take("2001:db8::1"), take("2001:db8::2")];
        assert!(places.iter().all(Option::is_some));
        assert!(take("2001:db8::ffff:1").is_none());
        assert!(take("2001:db8:0:1::1").is_some(), "another network");
        drop(places);
        assert!(take("2001:db8::1").is_some());
        assert!(admission.places().clients.is_empty());
    }
}
