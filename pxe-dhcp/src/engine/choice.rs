//! Which address a client can have, and which one it gets.

use core::net::Ipv4Addr;

use pxe_core::Now;

use super::change::Purpose;
use super::lease_table::{Hold, Lease};
use super::offer_table::{Offer, OfferState};
use super::plan::SubnetIndex;
use super::port::Port;
use super::request::{Asking, Origin};
use super::{Engine, Output, rate};
use crate::{ClientKey, Event, IgnoreReason, LeaseState, Limit, NakReason, Probing, Subnet};

/// An address for a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) address: Ipv4Addr,
    /// Whether it has to be probed before it is offered.
    pub(super) needs_probe: bool,
}

impl Engine {
    /// The address to offer, in this order: the reserved one, the one that the client has or had,
    /// the one that it asks for, one that nobody had, the one that was given back first.
    pub(super) fn choose(&mut self, asking: &Asking<'_>) -> Option<Choice> {
        let client = &asking.client.key;
        let link = self.plan.subnets[asking.subnet].link.clone();
        let reservation = self.reservation(asking);
        if let Some(address) = reservation.and_then(|reservation| reservation.address) {
            match self.check_but_doubt(asking, address) {
                Ok(()) => {
                    let needs_probe = self.needs_probe(client, address);
                    return Some(Choice {
                        address,
                        needs_probe,
                    });
                }
                Err(NakReason::HeldByOther) => self.report_holder(asking, address),
                Err(_) => {}
            }
        }
        let known = self.leases.of_client(client).iter().copied();
        let offered = self.offers.get(client).map(|offer| offer.address);
        let mut before: Vec<Ipv4Addr> = known.chain(offered).collect();
        // The lease that is still held comes before one that is over.
        before.sort_by_key(|address| !self.holds(client, *address));
        if let Some(address) = before
            .into_iter()
            .find(|one| self.check(asking, *one).is_ok())
        {
            let needs_probe = self.needs_probe(client, address);
            return Some(Choice {
                address,
                needs_probe,
            });
        }
        // Not one that another client had: that client may come back for it.
        let asked = asking.message.requested_address();
        let asked = asked.filter(|address| self.leases.get(*address).is_none());
        if let Some(address) = asked.filter(|address| self.check(asking, *address).is_ok()) {
            return Some(Choice {
                address,
                needs_probe: false,
            });
        }
        let is_served = |config: &Subnet| !config.known_clients_only || asking.reserved.is_some();
        let link: Vec<_> = link
            .into_iter()
            .filter(|index| is_served(&self.plan.subnets[*index].config))
            .collect();
        let hash = rate::hash(self.seed, client);
        for index in &link {
            let pool = &self.plan.subnets[*index].pool;
            let start = (hash % pool.len().max(1) as u64) as usize;
            // Free ones are passed over only if they are this server's or the relay's own.
            let found = pool
                .free_from(start)
                .take(3)
                .find(|one| self.check(asking, *one).is_ok());
            if let Some(address) = found {
                return Some(Choice {
                    address,
                    needs_probe: false,
                });
            }
        }
        for index in &link {
            let idle = self.plan.subnets[*index]
                .idle
                .iter()
                .map(|(_, _, address)| *address);
            let found = idle
                .take(3)
                .find(|one| self.check_but_doubt(asking, *one).is_ok());
            if let Some(address) = found {
                return Some(Choice {
                    address,
                    needs_probe: self.needs_probe(client, address),
                });
            }
        }
        None
    }

    /// No address is left for a client, or none is for it.
    pub(super) fn report_nothing_to_give(&mut self, asking: &Asking<'_>) {
        let client = asking.client.clone();
        let link = &self.plan.subnets[asking.subnet].link;
        let is_open = |index: &SubnetIndex| !self.plan.subnets[*index].config.known_clients_only;
        if asking.reserved.is_none() && !link.iter().any(is_open) {
            return self.ignore(Some(client), IgnoreReason::NotReserved);
        }
        let subnet = self.plan.subnets[asking.subnet].config.network;
        self.event(Event::PoolExhausted { client, subnet });
    }

    /// Keeps an address for a client; whether it can be told so already. If not, a probe comes
    /// first, or has no room.
    pub(super) fn hold_offer(
        &mut self,
        now: Now,
        asking: &Asking<'_>,
        payload: &[u8],
        origin: Origin,
        choice: Choice,
    ) -> bool {
        let client = &asking.client;
        let address = choice.address;
        let before = self
            .offers
            .get(&client.key)
            .filter(|offer| offer.address == address);
        let is_sent = before.is_some_and(|offer| matches!(offer.state, OfferState::Sent));
        let probing = match before.map(|offer| &offer.state) {
            Some(OfferState::Probing { ticket, .. }) => Some(*ticket),
            _ => None,
        };
        let mut needs_probe = probing.is_some() || (choice.needs_probe && !is_sent);
        let is_full = self.offers.probing_len() >= self.limits().probes_max;
        if needs_probe && probing.is_none() && is_full {
            self.limit_reached(Limit::Probes);
            if self.is_doubtful(&client.key, address) {
                return false;
            }
            needs_probe = false;
        }
        let state = if needs_probe {
            let ticket = probing.unwrap_or_else(|| self.ticket());
            if probing.is_none() {
                let interface = asking.meta.interface.filter(|_| client.giaddr.is_none());
                self.outputs.push_back(Output::Probe {
                    ticket,
                    address,
                    interface,
                    client: client.mac(),
                });
            }
            let (meta, discover) = (*asking.meta, payload.to_vec());
            OfferState::Probing {
                ticket,
                meta,
                discover,
            }
        } else {
            OfferState::Sent
        };
        let probes_failed = match origin {
            Origin::Wire | Origin::Binl => 0,
            Origin::Probed { failed } => failed,
        };
        let expires = now.mono + self.plan.config.offer_time;
        let offer = Offer {
            address,
            state,
            probes_failed,
            expires,
            xid: client.xid,
            stage: asking.stage,
            architectures: asking.architectures.clone(),
            port: Port::of_message(asking.message, asking.meta),
        };
        if let Some(former) = self.offers.insert(client.key.clone(), offer) {
            self.mark(former);
        }
        self.mark(address);
        if self.offers.len() > self.limits().offers_max {
            if let Some(oldest) = self.offers.pop_first() {
                self.mark(oldest);
            }
            self.limit_reached(Limit::Offers);
        }
        !needs_probe
    }

    /// Whether the client can have this address; if not, why.
    pub(super) fn check(&self, asking: &Asking<'_>, address: Ipv4Addr) -> Result<(), NakReason> {
        let client = &asking.client.key;
        let is_offered = || self.offers.client_at(address) == Some(client);
        if self.is_doubtful(client, address) && !is_offered() {
            return Err(NakReason::HeldByOther);
        }
        self.check_but_doubt(asking, address)
    }

    /// Whether the client can have this address for the asking. One that is being probed was not
    /// offered yet.
    pub(super) fn check_asked(
        &self,
        asking: &Asking<'_>,
        address: Ipv4Addr,
    ) -> Result<(), NakReason> {
        let offer = self.offers.get(&asking.client.key);
        let is_probed = offer.is_some_and(|offer| {
            offer.address == address && matches!(offer.state, OfferState::Probing { .. })
        });
        if is_probed && !self.holds(&asking.client.key, address) {
            return Err(NakReason::NotAvailable);
        }
        self.check(asking, address)
    }

    /// Takes back what another client was offered and this one uses, as it says; not if it is
    /// somebody else's by our records.
    pub(super) fn yield_offer(&mut self, client: &ClientKey, address: Ipv4Addr) {
        let record = self.leases.get(address).map(|lease| &lease.record);
        let offered = self.offers.client_at(address);
        if record.is_none_or(|record| record.client == *client)
            && let Some(other) = offered.filter(|other| *other != client).cloned()
        {
            self.withdraw_offer(&other);
        }
    }

    /// Whether another client may still have this address, although its lease looks over.
    fn is_doubtful(&self, client: &ClientKey, address: Ipv4Addr) -> bool {
        self.leases.get(address).is_some_and(|lease| {
            matches!(lease.hold, Hold::Doubtful { .. }) && lease.record.client != *client
        })
    }

    /// Whether the client can have this address if a probe finds it free; if not, why.
    pub(super) fn check_but_doubt(
        &self,
        asking: &Asking<'_>,
        address: Ipv4Addr,
    ) -> Result<(), NakReason> {
        let client = &asking.client.key;
        let link = &self.plan.subnets[asking.subnet].link;
        let Some(index) = self
            .plan
            .subnet_of(address)
            .filter(|index| link.contains(index))
        else {
            return Err(NakReason::WrongNetwork);
        };
        let subnet = &self.plan.subnets[index];
        let is_ours = self.plan.is_own(address)
            || address == asking.server_ip
            || Some(address) == asking.client.giaddr;
        if is_ours || !subnet.config.network.is_host(address) {
            return Err(NakReason::NotAvailable);
        }
        let held_by_other = |other: &ClientKey| other != client;
        match self.leases.get(address) {
            Some(Lease {
                hold: Hold::Quarantined { .. },
                ..
            }) => {
                return Err(NakReason::NotAvailable);
            }
            Some(Lease {
                hold: Hold::Active { .. },
                record,
            }) if held_by_other(&record.client) => {
                return Err(NakReason::HeldByOther);
            }
            _ => {}
        }
        let changing = self
            .changing
            .get(&address)
            .and_then(|ticket| self.changes.get(ticket));
        if changing.is_some_and(|change| matches!(change.purpose, Purpose::Quarantine { .. })) {
            return Err(NakReason::NotAvailable);
        }
        if self.offers.client_at(address).is_some_and(held_by_other)
            || changing.is_some_and(|change| held_by_other(&change.record.client))
        {
            return Err(NakReason::HeldByOther);
        }
        // A lease outlives a change of the pools: a running system would lose its root file system
        // with its address.
        let is_given = || {
            let is_served = !subnet.config.known_clients_only || asking.reserved.is_some();
            (is_served && subnet.pool.contains(address)) || self.holds(client, address)
        };
        match self.plan.reservation_at(address) {
            Some(reservation) if asking.identities.contains(&reservation.client) => Ok(()),
            Some(_) => Err(NakReason::HeldByOther),
            None if is_given() => Ok(()),
            None => Err(NakReason::NotAvailable),
        }
    }

    /// Whether the client holds this address now.
    pub(super) fn holds(&self, client: &ClientKey, address: Ipv4Addr) -> bool {
        self.leases
            .get(address)
            .is_some_and(|lease| lease.record.client == *client && lease.is_active())
    }

    /// Whether a pool or a reservation gives this address.
    pub(super) fn gives(&self, address: Ipv4Addr) -> bool {
        self.plan.subnet_of(address).is_some_and(|index| {
            let is_pooled = self.plan.subnets[index].pool.contains(address);
            is_pooled || self.plan.reservation_at(address).is_some()
        })
    }

    /// Another client had it, so it may have kept it; or it was found in use, by whomever.
    fn needs_probe(&self, client: &ClientKey, address: Ipv4Addr) -> bool {
        let lease = self.leases.get(address);
        let may_be_used = lease.is_some_and(|Lease { record, .. }| {
            record.client != *client || matches!(record.state, LeaseState::Declined { .. })
        });
        may_be_used && self.plan.config.probing == Probing::Reused
    }

    fn report_holder(&mut self, asking: &Asking<'_>, address: Ipv4Addr) {
        let Some(lease) = self.leases.get(address) else {
            return;
        };
        let holder = lease.record.client.clone();
        self.event(Event::ReservationHeld {
            client: asking.client.clone(),
            address,
            holder,
        });
    }
}
