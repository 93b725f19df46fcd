//! The leases that an engine knows, by address, by client and by the time they end.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use pxe_core::Instant;

use crate::{ClientKey, LeaseRecord};

/// Whether an address is held, by the monotonic clock: a step of the wall clock must not free an
/// address that a client still uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// By its client, until then.
    Active { expires: Instant },
    /// By nobody; its client gets it back if it comes before the address is needed.
    Idle,
    /// By somebody unknown: given to nobody until then.
    Quarantined { until: Instant },
}

#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) record: LeaseRecord,
    pub(super) hold: Hold,
}

/// At most one lease per address; a client can have one per link.
#[derive(Debug, Default)]
pub(super) struct LeaseTable {
    by_address: BTreeMap<Ipv4Addr, Lease>,
    by_client: BTreeMap<ClientKey, Vec<Ipv4Addr>>,
    /// When active leases expire.
    expiries: BTreeSet<(Instant, Ipv4Addr)>,
    /// When quarantines end.
    quarantines: BTreeSet<(Instant, Ipv4Addr)>,
}

impl LeaseTable {
    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(super) fn get(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.by_address.get(&address)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &LeaseRecord> {
        self.by_address.values().map(|lease| &lease.record)
    }

    /// The addresses that are, or were last, this client's; not those in quarantine.
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
            }
            Hold::Quarantined { until } => {
                self.quarantines.insert((until, address));
            }
            Hold::Idle => {}
        }
        if !matches!(lease.hold, Hold::Quarantined { .. }) {
            self.by_client
                .entry(lease.record.client.clone())
                .or_default()
                .push(address);
        }
        self.by_address.insert(address, lease);
        before
    }

    pub(super) fn remove(&mut self, address: Ipv4Addr) -> Option<Lease> {
        let lease = self.by_address.remove(&address)?;
        match lease.hold {
            Hold::Active { expires } => {
                self.expiries.remove(&(expires, address));
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
