//! Offers that wait for their REQUEST.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use pxe_core::{Instant, RecvMeta};

use super::Ticket;
use super::port::{Port, Tally};
use crate::{ClientArch, ClientKey, Stage};

#[derive(Debug)]
pub(super) enum OfferState {
    /// The OFFER was sent.
    Sent,
    /// The OFFER waits for a probe. Its DISCOVER is kept, to be handled again.
    Probing {
        ticket: Ticket,
        meta: RecvMeta,
        discover: Vec<u8>,
    },
}

#[derive(Debug)]
pub(super) struct Offer {
    pub(super) address: Ipv4Addr,
    pub(super) state: OfferState,
    /// How many probes found their address in use before this one.
    pub(super) probes_failed: u32,
    pub(super) expires: Instant,
    /// The DISCOVER's transaction, and what it said of the client's firmware.
    pub(super) xid: u32,
    pub(super) stage: Stage,
    pub(super) architectures: Vec<ClientArch>,
    /// Where the client is.
    pub(super) port: Port,
}

/// At most one offer per client, and one per address.
#[derive(Debug, Default)]
pub(super) struct OfferTable {
    by_client: BTreeMap<ClientKey, Offer>,
    by_address: BTreeMap<Ipv4Addr, ClientKey>,
    expiries: BTreeSet<(Instant, Ipv4Addr)>,
    /// The clients whose offers wait for a probe.
    probing: BTreeMap<Ticket, ClientKey>,
    by_port: Tally<Port>,
}

impl OfferTable {
    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// How many of them wait for a probe.
    pub(super) fn probing_len(&self) -> usize {
        self.probing.len()
    }

    pub(super) fn get(&self, client: &ClientKey) -> Option<&Offer> {
        self.by_client.get(client)
    }

    pub(super) fn client_at(&self, address: Ipv4Addr) -> Option<&ClientKey> {
        self.by_address.get(&address)
    }

    /// How many offers clients at this port have.
    pub(super) fn at_port(&self, port: Port) -> usize {
        self.by_port.of(&port)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.by_address.keys().copied()
    }

    /// Takes the DISCOVER that waits for this probe; its offer then counts as sent.
    pub(super) fn end_probe(&mut self, ticket: Ticket) -> Option<(ClientKey, RecvMeta, Vec<u8>)> {
        let client = self.probing.remove(&ticket)?;
        let state = &mut self.by_client.get_mut(&client)?.state;
        match core::mem::replace(state, OfferState::Sent) {
            OfferState::Probing { meta, discover, .. } => Some((client, meta, discover)),
            OfferState::Sent => None,
        }
    }

    /// Puts an offer in; gives back the address of the client's former one.
    pub(super) fn insert(&mut self, client: ClientKey, offer: Offer) -> Option<Ipv4Addr> {
        let before = self.remove(&client);
        self.by_address.insert(offer.address, client.clone());
        self.expiries.insert((offer.expires, offer.address));
        if let OfferState::Probing { ticket, .. } = &offer.state {
            self.probing.insert(*ticket, client.clone());
        }
        self.by_port.add(offer.port, 1);
        self.by_client.insert(client, offer);
        before.map(|offer| offer.address)
    }

    pub(super) fn remove(&mut self, client: &ClientKey) -> Option<Offer> {
        let offer = self.by_client.remove(client)?;
        self.by_address.remove(&offer.address);
        self.expiries.remove(&(offer.expires, offer.address));
        self.by_port.add(offer.port, -1);
        if let OfferState::Probing { ticket, .. } = &offer.state {
            self.probing.remove(ticket);
        }
        Some(offer)
    }

    /// Takes out the offer that ends first; gives its address.
    pub(super) fn pop_first(&mut self) -> Option<Ipv4Addr> {
        let (_, address) = *self.expiries.first()?;
        let client = self.by_address.get(&address)?.clone();
        self.remove(&client).map(|offer| offer.address)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Ipv4Addr> {
        self.next_due().filter(|at| *at <= now)?;
        self.pop_first()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }
}
