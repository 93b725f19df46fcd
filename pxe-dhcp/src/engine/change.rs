//! Changes on their way to the store.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::borrow::Cow;

use pxe_core::Now;

use super::lease_table::{Hold, Lease, Rank};
use super::request::{Asking, Origin};
use super::{Engine, Outgoing, Output, ProbeResult, Ticket};
use crate::lease::OPTION_BYTES_MAX;
use crate::wire::{ClientFqdn, Message, OptionCode, RelayAgentInfo};
use crate::{
    ClientInfo, ClientKey, CommitError, Event, IgnoreReason, LeaseRecord, LeaseState, Limit,
};

/// What follows when a change is in the store.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The client gets its ACK, and the address for this time.
    Acknowledge {
        reply: Outgoing,
        event: Event,
        lease_time: Duration,
    },
    /// The client gave its address back.
    Release { client: ClientInfo },
    /// The operator freed the address.
    Withdraw,
    /// The address is in use by somebody else.
    Quarantine { event: Event },
}

/// A change on its way to the store.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) record: LeaseRecord,
    pub(super) purpose: Purpose,
    /// Whether the store has refused it once, for another version of the client's own record.
    pub(super) is_retry: bool,
}

impl Change {
    pub(super) const fn new(record: LeaseRecord, purpose: Purpose) -> Self {
        Self {
            record,
            purpose,
            is_retry: false,
        }
    }
}

impl Engine {
    /// Asks the driver to store the record of a change, unless one of the same address is on its
    /// way; then a newer ACK for the same client takes the place of the older one.
    pub(super) fn start_change(&mut self, client: &ClientInfo, change: Change) {
        let address = change.record.address;
        if let Some(ticket) = self.changing.get(&address) {
            let before = self.changes.get_mut(ticket);
            if let Some(before) = before
                && before.record.client == change.record.client
                && let Purpose::Acknowledge { lease_time, .. } = &before.purpose
                && let Purpose::Acknowledge {
                    lease_time: again, ..
                } = &change.purpose
                && lease_time == again
            {
                // The client repeated itself, maybe with a new xid: it wants that one answered.
                // Not with another lease time, as that is not what is being stored.
                before.purpose = change.purpose;
            }
            self.ignore(Some(client.clone()), IgnoreReason::InProgress);
            return;
        }
        if self.changes.len() >= self.limits().commits_max {
            self.limit_reached(Limit::Commits);
            return;
        }
        let known = self.leases.get(address).map(|lease| lease.record.version);
        if known.is_none() && !self.make_room() {
            self.limit_reached(Limit::Leases);
            return;
        }
        let ticket = self.ticket();
        let lease = Box::new(change.record.clone());
        self.outputs.push_back(Output::Commit {
            ticket,
            lease,
            expected_version: known,
        });
        self.changing.insert(address, ticket);
        self.changes.insert(ticket, change);
        self.mark(address);
    }

    pub(super) fn finish_change(
        &mut self,
        now: Now,
        ticket: Ticket,
        result: Result<(), CommitError>,
    ) {
        let Some(Change {
            mut record,
            purpose,
            is_retry,
        }) = self.changes.remove(&ticket)
        else {
            return;
        };
        let address = record.address;
        self.changing.remove(&address);
        let known = self.leases.get(address).map(|lease| lease.record.version);
        if result.is_ok()
            && let Some(version) = known.filter(|version| *version > record.version)
        {
            // It was stored, and changed again by another server that shares the store, as we
            // were told in the meantime. The client asks again.
            self.mark(address);
            return self.event(Event::CommitRefused {
                address,
                reason: format!("the store has version {version}"),
                is_conflict: true,
            });
        }
        match (result, purpose) {
            (
                Ok(()),
                Purpose::Acknowledge {
                    reply,
                    event,
                    lease_time,
                },
            ) => {
                self.withdraw_offer_of(&record.client, address);
                // From now, which is later than the client counts from.
                let hold = Hold::Active {
                    expires: now.mono + lease_time,
                };
                self.put(Lease { record, hold });
                self.acknowledge(reply, event);
            }
            (Ok(()), Purpose::Release { client }) => {
                self.put(Lease {
                    record,
                    hold: Hold::Idle,
                });
                self.event(Event::Released { client, address });
            }
            (Ok(()), Purpose::Withdraw) => {
                let client = record.client.clone();
                self.put(Lease {
                    record,
                    hold: Hold::Idle,
                });
                self.event(Event::Withdrawn { client, address });
            }
            (Ok(()), Purpose::Quarantine { event }) => self.quarantine(now, record, event),
            (Err(CommitError::Conflict { current }), purpose) => {
                let is_ack = matches!(purpose, Purpose::Acknowledge { .. });
                let is_lost = current.is_none() && is_ack && self.holds(&record.client, address);
                let own = current.as_ref().filter(|current| {
                    is_ack
                        && current.client == record.client
                        && matches!(current.state, LeaseState::Bound { .. })
                });
                // Another server that shares the store was asked the same: the client may have
                // its lease from either.
                let is_long_enough =
                    own.is_some_and(|own| own.bound_until() >= record.bound_until());
                let is_own = own.is_some();
                let reason = match &current {
                    Some(current) => format!("the store has version {}", current.version),
                    None => "the store has no such record".to_owned(),
                };
                match current {
                    Some(current) => self.adopt(now, *current),
                    None => self.forget(address),
                }
                self.event(Event::CommitRefused {
                    address,
                    reason,
                    is_conflict: true,
                });
                self.mark(address);
                if is_long_enough && let Purpose::Acknowledge { reply, event, .. } = purpose {
                    self.withdraw_offer_of(&record.client, address);
                    self.acknowledge(reply, event);
                } else if is_lost || (is_own && !is_retry) {
                    // The client was promised this address, or has it, if not for long enough.
                    let known = self.leases.get(address).map(|lease| lease.record.version);
                    record.version = known.unwrap_or(0).saturating_add(1);
                    let client = ClientInfo::new(record.client.clone(), 0);
                    let is_retry = true;
                    let change = Change {
                        record,
                        purpose,
                        is_retry,
                    };
                    self.start_change(&client, change);
                }
            }
            (Err(error), purpose) => {
                // Nothing is known of the store's state now; the next change will tell.
                let reason = error.to_string();
                self.event(Event::CommitRefused {
                    address,
                    reason,
                    is_conflict: false,
                });
                if let Purpose::Quarantine { event } = purpose {
                    // Whatever the store says, the address is in use.
                    self.quarantine(now, record, event);
                }
                self.mark(address);
            }
        }
    }

    fn acknowledge(&mut self, reply: Outgoing, event: Event) {
        self.counters.acks += 1;
        self.send(reply);
        self.event(event);
    }

    /// Takes the offer of this address back, which became a lease.
    fn withdraw_offer_of(&mut self, client: &ClientKey, address: Ipv4Addr) {
        if self.offers.client_at(address) == Some(client) {
            self.offers.remove(client);
        }
    }

    fn quarantine(&mut self, now: Now, record: LeaseRecord, event: Event) {
        if self.leases.quarantined_len() >= self.limits().quarantined_max
            && let Some(oldest) = self.leases.oldest_quarantined()
            && let Some(lease) = self.leases.remove(oldest)
        {
            self.put(Lease {
                record: lease.record,
                hold: Hold::Idle,
            });
            self.limit_reached(Limit::Quarantined);
        }
        let hold = Hold::Quarantined {
            until: now.mono + self.plan.config.quarantine_time,
        };
        let offered = self.offers.client_at(record.address).cloned();
        if let Some(client) = offered {
            self.offers.remove(&client);
        }
        self.put(Lease { record, hold });
        self.event(event);
    }

    /// Whether one more lease can be kept; forgets the one that ended first if need be.
    pub(super) fn make_room(&mut self) -> bool {
        if self.leases.len() + self.changes.len() < self.limits().leases_max {
            return true;
        }
        let oldest = self
            .plan
            .subnets
            .iter()
            .filter_map(|subnet| subnet.idle.first())
            .min();
        let Some((rank, _, address)) = oldest.copied() else {
            return false;
        };
        // What is forgotten counts as nobody's.
        if rank == Rank::Doubtful {
            return false;
        }
        self.forget(address);
        true
    }

    /// The record of an address after this message, with what was known before where the message
    /// is silent: an operating system says neither architecture nor UUID.
    pub(super) fn record(
        &self,
        now: Now,
        asking: &Asking<'_>,
        address: Ipv4Addr,
        state: LeaseState,
    ) -> LeaseRecord {
        let (message, client) = (asking.message, &asking.client.key);
        let known = self.leases.get(address).map(|lease| &lease.record);
        let mut record = match known {
            Some(known) if known.client == *client => known.clone(),
            _ => LeaseRecord::new(address, client.clone(), state, now.wall),
        };
        record.version = known.map_or(0, |known| known.version).saturating_add(1);
        record.state = state;
        record.last_seen = now.wall;
        record.htype = message.htype();
        record.chaddr = message.chaddr().to_vec();
        let called = |record: &LeaseRecord| (record.host_name.clone(), record.fqdn.clone());
        let before = called(&record);
        fill(&mut record, message);
        let holds = self.holds(client, address);
        if !holds || called(&record) != before {
            record.named_since = now.wall;
        }
        record.reserved_for = self.reservation(asking).map(|one| one.client.clone());
        if let Some(arch) = asking.architectures.first() {
            record.arch = Some(*arch);
        }
        record
    }

    /// The record of an address that somebody else uses.
    pub(super) fn declined(&self, now: Now, client: &ClientInfo, address: Ipv4Addr) -> LeaseRecord {
        let seconds = self.plan.config.quarantine_time.as_secs();
        let state = LeaseState::Declined {
            until: now.wall.saturating_add_seconds(seconds),
        };
        let known = self.leases.get(address).map(|lease| &lease.record);
        let mut record = match known {
            Some(known) => known.clone(),
            None => LeaseRecord::new(address, client.key.clone(), state, now.wall),
        };
        record.version = known.map_or(0, |known| known.version).saturating_add(1);
        (record.state, record.last_seen) = (state, now.wall);
        record
    }

    pub(super) fn finish_probe(&mut self, now: Now, ticket: Ticket, result: ProbeResult) {
        let Some((client, meta, discover)) = self.offers.end_probe(ticket) else {
            return;
        };
        let mut failed = self
            .offers
            .get(&client)
            .map_or(0, |offer| offer.probes_failed);
        if result == ProbeResult::InUse
            && let Some(offer) = self.offers.remove(&client)
        {
            let address = offer.address;
            let info = ClientInfo::new(client, 0);
            let record = self.declined(now, &info, address);
            let event = Event::AddressInUse { address };
            self.mark(address);
            self.start_change(&info, Change::new(record, Purpose::Quarantine { event }));
            failed = failed.saturating_add(1);
            if failed >= self.limits().probes_per_client_max {
                self.limit_reached(Limit::ClientProbes);
                return;
            }
        }
        // The DISCOVER again: now it finds the offer as sent, or chooses another address.
        self.receive(now, &meta, &discover, Origin::Probed { failed });
    }
}

fn fill(record: &mut LeaseRecord, message: &Message<'_>) {
    let owned = |data: Option<Cow<'_, [u8]>>| {
        let data = data.filter(|data| data.len() <= OPTION_BYTES_MAX);
        data.map(Cow::into_owned)
    };
    let fqdn = owned(message.option(OptionCode::CLIENT_FQDN));
    let fqdn = fqdn.and_then(|data| ClientFqdn::read(&data));
    record.client_id = owned(message.client_id());
    record.vendor_class = owned(message.vendor_class());
    record.host_name = owned(message.host_name()).or(record.host_name.take());
    record.fqdn = fqdn.or(record.fqdn.take());
    record.uuid = message.machine_uuid().or(record.uuid);
    record.giaddr = message.giaddr().or(record.giaddr);
    if let Some(data) = message.relay_agent_info() {
        let relay = RelayAgentInfo::new(&data);
        record.circuit_id = relay.circuit_id().map(<[u8]>::to_vec);
        record.remote_id = relay.remote_id().map(<[u8]>::to_vec);
    }
}
