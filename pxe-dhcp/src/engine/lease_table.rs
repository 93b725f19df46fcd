//! The leases that an engine knows, by address, by client and by the time they end.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use pxe_core::{Instant, UnixTime};

use super::port::{Port, Tally};
use crate::{ClientKey, LeaseRecord, LeaseState};

/// Whether an address is held, by the monotonic clock: a step of the wall clock must not free an
/// address that a client still uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// By its client, until then.
    Active { expires: Instant },
    /// By nobody; its client gets it back if it comes before the address is needed.
    Idle,
    /// By its client, perhaps, until then. Its record was over when it was read, but by a clock
    /// that may have been stepped while no server ran: to its client the lease may still be good.
    Doubtful { until: Instant },
    /// By somebody unknown: given to nobody until then.
    Quarantined { until: Instant },
}

#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) record: LeaseRecord,
    pub(super) hold: Hold,
}

/// In which order addresses that another client had are given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Its client gave it back.
    Released,
    /// It ran out, or was in quarantine.
    Over,
    /// [`Hold::Doubtful`].
    Doubtful,
}

impl Lease {
    /// Its place among those that can be given again: of a rank, the longest over comes first.
    pub(super) fn idle_entry(&self) -> (Rank, UnixTime, Ipv4Addr) {
        let (rank, at) = match self.record.state {
            LeaseState::Released { at } => (Rank::Released, at),
            LeaseState::Bound { expires: at } | LeaseState::Declined { until: at } => {
                (Rank::Over, at)
            }
        };
        let is_doubtful = matches!(self.hold, Hold::Doubtful { .. });
        let rank = if is_doubtful { Rank::Doubtful } else { rank };
        (rank, at, self.record.address)
    }

    pub(super) const fn is_active(&self) -> bool {
        matches!(self.hold, Hold::Active { .. })
    }
}

/// How many addresses that it had are a client's own still; of more, the first ones count as
/// anybody's. Each of its messages looks at all of them, and one client could have had every address
/// of a pool.
const FORMER_ADDRESSES_MAX: usize = 8;

/// At most one lease per address; a client can have one per link.
#[derive(Debug, Default)]
pub(super) struct LeaseTable {
    /// Boxed: they are large, and a third of a tree's places is empty.
    by_address: BTreeMap<Ipv4Addr, Box<Lease>>,
    by_client: BTreeMap<ClientKey, Vec<Ipv4Addr>>,
    /// When active leases expire, and doubts end.
    expiries: BTreeSet<(Instant, Ipv4Addr)>,
    /// When quarantines end.
    quarantines: BTreeSet<(Instant, Ipv4Addr)>,
    /// How many active leases there are per relay port, and per block of MACs.
    by_port: Tally<Port>,
    by_oui: Tally<[u8; 3]>,
}

impl LeaseTable {
    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(super) fn get(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.by_address.get(&address).map(AsRef::as_ref)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &LeaseRecord> {
        self.by_address.values().map(|lease| &lease.record)
    }

    /// The addresses that are this client's, and some that were last; not those in quarantine.
    pub(super) fn of_client(&self, client: &ClientKey) -> &[Ipv4Addr] {
        self.by_client.get(client).map_or(&[], Vec::as_slice)
    }

    pub(super) fn quarantined_len(&self) -> usize {
        self.quarantines.len()
    }

    /// Puts a lease in; gives back what was at its address.
    pub(super) fn insert(&mut self, lease: Lease) -> Option<Lease> {
        let address = lease.record.address;
        let before = self.remove(address);
        match lease.hold {
            Hold::Active { expires } => {
                self.expiries.insert((expires, address));
                self.count(&lease.record, 1);
            }
            Hold::Doubtful { until } => {
                self.expiries.insert((until, address));
            }
            Hold::Quarantined { until } => {
                self.quarantines.insert((until, address));
            }
            Hold::Idle => {}
        }
        let is_clients = !matches!(lease.hold, Hold::Quarantined { .. });
        let client = is_clients.then(|| lease.record.client.clone());
        self.by_address.insert(address, Box::new(lease));
        if let Some(client) = client {
            self.remember(client, address);
        }
        before
    }

    fn remember(&mut self, client: ClientKey, address: Ipv4Addr) {
        let addresses = self.by_client.entry(client).or_default();
        addresses.push(address);
        if addresses.len() > FORMER_ADDRESSES_MAX {
            let by_address = &self.by_address;
            let is_idle = |one: &Ipv4Addr| by_address.get(one).is_some_and(|it| !it.is_active());
            if let Some(first) = addresses.iter().position(is_idle) {
                addresses.remove(first);
            }
        }
    }

    pub(super) fn remove(&mut self, address: Ipv4Addr) -> Option<Lease> {
        let lease = *self.by_address.remove(&address)?;
        match lease.hold {
            Hold::Active { expires } => {
                self.expiries.remove(&(expires, address));
                self.count(&lease.record, -1);
            }
            Hold::Doubtful { until } => {
                self.expiries.remove(&(until, address));
            }
            Hold::Quarantined { until } => {
                self.quarantines.remove(&(until, address));
            }
            Hold::Idle => {}
        }
        if let Some(addresses) = self.by_client.get_mut(&lease.record.client) {
            addresses.retain(|other| *other != address);
            if addresses.is_empty() {
                self.by_client.remove(&lease.record.client);
            }
        }
        Some(lease)
    }

    /// How many active leases the clients at this relay port have.
    pub(super) fn active_at_port(&self, port: Port) -> usize {
        self.by_port.of(&port)
    }

    /// How many active leases clients with MACs of this block have.
    pub(super) fn active_of_oui(&self, oui: [u8; 3]) -> usize {
        self.by_oui.of(&oui)
    }

    fn count(&mut self, record: &LeaseRecord, by: isize) {
        if let Some(port) = Port::of_record(record) {
            self.by_port.add(port, by);
        }
        if let Some(mac) = record.mac() {
            self.by_oui.add(mac.oui(), by);
        }
    }

    /// Takes out a lease that ended, or an address whose quarantine did.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Lease> {
        let due = |queue: &BTreeSet<(Instant, Ipv4Addr)>| {
            queue
                .first()
                .filter(|(at, _)| *at <= now)
                .map(|(_, address)| *address)
        };
        let address = due(&self.expiries).or_else(|| due(&self.quarantines))?;
        self.remove(address)
    }

    /// The address that has been in quarantine the longest, if their times are alike.
    pub(super) fn oldest_quarantined(&self) -> Option<Ipv4Addr> {
        self.quarantines.first().map(|(_, address)| *address)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let first = |queue: &BTreeSet<(Instant, Ipv4Addr)>| queue.first().map(|(at, _)| *at);
        first(&self.expiries)
            .into_iter()
            .chain(first(&self.quarantines))
            .min()
    }
}
