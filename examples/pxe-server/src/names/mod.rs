//! Names of leases in the DNS.
//!
//! Every record of a lease that goes to the store or comes from it passes [`NamingStore`]: those of
//! earlier runs when they are loaded, an ACK's, a release's, a decline's, the operator's, another
//! server's. It shows them to [`Names`], which knows by the [`Rules`] of the configuration what each
//! is to be called, by [`Claims`] who has a name that several want, and puts the records of the
//! holder into the zones ([`DynamicRecords`]). So **a name answers before the ACK of its lease
//! leaves**, as that waits for the store, and is gone when a release was stored.
//!
//! What nobody tells is that a lease ran out: [`Names::run`] waits for that, so that a name is gone
//! within a second of its lease's end. Others may remember it for its time to live, a third of the
//! lease and at most ten minutes.
//!
//! Nothing is kept beside the lease store: the same records give the same names after a restart.

mod claims;
mod naming_store;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pxe_core::{Instant, Now};
use pxe_dhcp::{LeaseRecord, LeaseState};
use pxe_dns::{DynamicRecords, Record, RecordType};
use tokio::sync::Notify;

use self::claims::{Change, Claims};
use self::rules::Unnamed;
use crate::config::LogLevel;
use crate::fact::{Fact, Protocol, What, printable};
use crate::hub::Hub;

pub(crate) use self::naming_store::NamingStore;
pub(crate) use self::rules::{Rules, Taken, client_names, is_reverse};

/// The names of all leases.
#[derive(Debug)]
pub(crate) struct Names {
    state: Mutex<State>,
    records: DynamicRecords,
    hub: Arc<Hub>,
    /// The next end of a lease is another one.
    ends_changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    rules: Rules,
    /// Every address that has a record in the store: as many as there are leases.
    leases: BTreeMap<Ipv4Addr, Lease>,
    /// When leases end.
    ends: BTreeSet<(Instant, Ipv4Addr)>,
    claims: Claims,
}

/// What is known of an address.
#[derive(Debug)]
struct Lease {
    /// The version of its record.
    version: u64,
    held: Option<Held>,
}

/// A lease that lasts.
#[derive(Debug)]
struct Held {
    /// Without what has nothing to do with names.
    record: Box<LeaseRecord>,
    until: Instant,
}

/// What is told of a step, once the state is consistent again.
#[derive(Debug)]
enum Told {
    Changed(Change),
    /// A lease wants a name that is another's.
    Lost {
        address: Ipv4Addr,
        name: String,
    },
    /// A lease has no name, and its machine might expect one.
    Unnamed {
        address: Ipv4Addr,
        why: Unnamed,
    },
}

impl Names {
    /// No lease is known yet, and no rules. The records go there.
    pub(crate) fn new(records: DynamicRecords, hub: Arc<Hub>) -> Self {
        Self {
            state: Mutex::default(),
            records,
            hub,
            ends_changed: Notify::new(),
        }
    }

    /// Puts the rules of another configuration, or of zones that changed, in force: names move, come
    /// and go.
    pub(crate) fn set_rules(&self, rules: Rules) {
        let mut state = self.state();
        let former = std::mem::replace(&mut state.rules, rules);
        let told = state.claim_all();
        self.publish(&state, &told);
        // Who keeps a name may have its PTR record in a zone now, or have it no more.
        for (name, holder) in state.claims.holders() {
            let (address, ttl) = (holder.address, holder.ttl_seconds);
            let records = state.rules.records(name, address, ttl);
            if records != former.records(name, address, ttl) {
                self.set(name, records);
            }
        }
        self.tell(&state, told);
    }

    /// Takes records that were stored, or read from the store; of one address the last one counts.
    pub(crate) fn take<'a>(&self, records: impl IntoIterator<Item = &'a LeaseRecord>, how: How) {
        let now = self.hub.now();
        let mut state = self.state();
        let next = state.next_end();
        let mut told = Vec::new();
        for record in records {
            if how != How::Heard || state.is_newer(record) {
                told.extend(state.take(now, record));
            }
        }
        self.publish(&state, &told);
        if how != How::Loaded {
            self.tell(&state, told);
        }
        let is_other = state.next_end() != next;
        drop(state);
        if is_other {
            self.ends_changed.notify_one();
        }
    }

    /// The store has no record of this address any more.
    pub(crate) fn forget(&self, address: Ipv4Addr) {
        let mut state = self.state();
        let told = state.forget(address);
        self.publish(&state, &told);
        self.tell(&state, told);
    }

    /// Takes away the names of leases that are over by now. Gives the next end.
    fn end(&self, now: Now) -> Option<Instant> {
        let mut state = self.state();
        let told = state.end(now);
        self.publish(&state, &told);
        self.tell(&state, told);
        state.next_end()
    }

    /// Takes names away when their leases end. It does not end by itself.
    pub(crate) async fn run(&self) {
        loop {
            let now = self.hub.now();
            match self.end(now) {
                None => self.ends_changed.notified().await,
                Some(next) => {
                    let left = next.saturating_duration_since(now.mono);
                    // Whatever comes first; a permit of `notify_one` is not lost meanwhile.
                    let _ = tokio::time::timeout(left, self.ends_changed.notified()).await;
                }
            }
        }
    }

    /// The name that an address holds.
    pub(crate) fn of(&self, address: Ipv4Addr) -> Option<String> {
        self.state().claims.held_by(address).map(str::to_owned)
    }

    /// How many leases have a name.
    pub(crate) fn len(&self) -> usize {
        self.state().claims.names_len()
    }

    /// How many leases want a name that is another's.
    pub(crate) fn losers_len(&self) -> usize {
        let state = self.state();
        state.claims.len() - state.claims.names_len()
    }

    fn publish(&self, state: &State, told: &[Told]) {
        for told in told {
            let Told::Changed(change) = told else {
                continue;
            };
            let records = change.after.map(|holder| {
                let (address, ttl) = (holder.address, holder.ttl_seconds);
                state.rules.records(&change.name, address, ttl)
            });
            self.set(&change.name, records.unwrap_or_default());
        }
    }

    /// Puts the records of a name in the place of those that it had.
    fn set(&self, name: &str, records: Vec<Record>) {
        let why = match self.records.set(name.as_bytes(), records) {
            Ok(held_back) => held_back
                .into_iter()
                // A PTR record may have no zone: addresses need no names.
                .find(|held_back| held_back.kind == RecordType::A)
                .map(|held_back| held_back.reason.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            let (name, text) = (
                "name_unanswered",
                format!("name {name} is not answered: {why}"),
            );
            let fact = Fact::new(self.hub.now(), Protocol::Dns, What::Note { name, text });
            self.hub.note(fact, LogLevel::Warn);
        }
    }

    fn tell(&self, state: &State, told: Vec<Told>) {
        for told in told {
            let (address, level, what) = match told {
                Told::Changed(Change {
                    before: Some(before),
                    after: Some(after),
                    ..
                }) if before.address == after.address => continue,
                Told::Changed(Change {
                    name,
                    after: Some(after),
                    ..
                }) => {
                    let address = after.address;
                    (address, LogLevel::Info, What::Named { name, address })
                }
                Told::Changed(Change { name, before, .. }) => {
                    let Some(before) = before else { continue };
                    let text = format!("name {name} is gone with the lease of {}", before.address);
                    let name = "unnamed";
                    (before.address, LogLevel::Info, What::Note { name, text })
                }
                Told::Lost { address, name } => {
                    let holder = state.claims.holder(&name).map(|holder| holder.address);
                    let holder = holder.map_or_else(String::new, |holder| format!(" of {holder}"));
                    let text = format!("{address} has no name: {name} is that{holder}");
                    let name = "name_conflict";
                    (address, LogLevel::Warn, What::Note { name, text })
                }
                Told::Unnamed { address, why } => {
                    let why = match why {
                        Unnamed::Silent => continue,
                        Unnamed::Withheld(name) => {
                            format!("no machine is called {} by its own word", printable(&name))
                        }
                        Unnamed::Taken(name) => {
                            format!("{} is in the zone already", printable(&name))
                        }
                    };
                    let text = format!("{address} has no name: {why}");
                    let name = "name_refused";
                    (address, LogLevel::Warn, What::Note { name, text })
                }
            };
            let mut fact = Fact::new(self.hub.now(), Protocol::Dns, what);
            fact.ip = Some(IpAddr::V4(address));
            fact.mac = state.mac_of(address);
            match fact.what {
                What::Named { .. } => self.hub.tell(fact, level),
                _ => self.hub.note(fact, level),
            }
        }
    }

    /// A panic elsewhere leaves the state whole: each step ends with all tables in agreement.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why records pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// They are read at the start: nothing happened.
    Loaded,
    /// They were changed.
    Stored,
    /// Another server changed them, maybe before we did.
    Heard,
}

impl State {
    fn is_newer(&self, record: &LeaseRecord) -> bool {
        let known = self.leases.get(&record.address);
        known.is_none_or(|known| known.version < record.version)
    }

    fn take(&mut self, now: Now, record: &LeaseRecord) -> Vec<Told> {
        let address = record.address;
        let until = end_of(now, record);
        let before = self.let_go(address);
        let held = until.map(|until| Held {
            record: Box::new(about_names(record)),
            until,
        });
        if let Some(until) = until {
            self.ends.insert((until, address));
        }
        let version = record.version;
        self.leases.insert(address, Lease { version, held });
        let is_news = before.is_none_or(|before| {
            let said = |record: &LeaseRecord| (record.client.clone(), record.named_since);
            said(&before.record) != said(record)
        });
        self.claim(address, is_news)
    }

    /// Brings the claim of an address up to date. `is_news`: its machine has just said who it is.
    fn claim(&mut self, address: Ipv4Addr, is_news: bool) -> Vec<Told> {
        let held = self
            .leases
            .get(&address)
            .and_then(|lease| lease.held.as_ref());
        let claim = held.map(|held| self.rules.claim(&held.record));
        let (claim, refused) = match claim {
            None => (None, None),
            Some(Ok(claim)) => (Some(claim), None),
            Some(Err(why)) => (None, Some(why)),
        };
        let wanted = claim.as_ref().map(|claim| claim.name.clone());
        let changes = self.claims.put(address, claim);
        let mut told: Vec<Told> = changes.into_iter().map(Told::Changed).collect();
        if is_news {
            let lost = wanted.filter(|_| self.claims.held_by(address).is_none());
            told.extend(lost.map(|name| Told::Lost { address, name }));
            told.extend(refused.map(|why| Told::Unnamed { address, why }));
        }
        told
    }

    fn claim_all(&mut self) -> Vec<Told> {
        let addresses: Vec<Ipv4Addr> = self.leases.keys().copied().collect();
        let mut told = Vec::new();
        for address in addresses {
            told.extend(self.claim(address, false));
        }
        told
    }

    fn forget(&mut self, address: Ipv4Addr) -> Vec<Told> {
        self.let_go(address);
        self.leases.remove(&address);
        self.claim(address, false)
    }

    fn end(&mut self, now: Now) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some((at, address)) = self.ends.first().copied()
            && at <= now.mono
        {
            self.let_go(address);
            told.extend(self.claim(address, false));
        }
        told
    }

    /// The lease of an address is over.
    fn let_go(&mut self, address: Ipv4Addr) -> Option<Held> {
        let held = self.leases.get_mut(&address)?.held.take()?;
        self.ends.remove(&(held.until, address));
        Some(held)
    }

    fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(at, _)| *at)
    }

    fn mac_of(&self, address: Ipv4Addr) -> Option<pxe_core::MacAddr> {
        let held = self.leases.get(&address)?.held.as_ref()?;
        held.record.mac()
    }
}

/// When a lease ends, as the DHCP engine counts it: by the monotonic clock, and no longer from now
/// than it was given for. `None` if it does not last.
fn end_of(now: Now, record: &LeaseRecord) -> Option<Instant> {
    let LeaseState::Bound { expires } = record.state else {
        return None;
    };
    let left = expires.saturating_seconds_since(now.wall);
    let whole = expires.saturating_seconds_since(record.last_seen);
    let left = std::time::Duration::from_secs(left.min(whole));
    (!left.is_zero()).then(|| now.mono + left)
}

/// The record without what names do not depend on: there may be a million.
fn about_names(record: &LeaseRecord) -> LeaseRecord {
    let mut record = record.clone();
    record.chaddr = Vec::new();
    (record.vendor_class, record.circuit_id, record.remote_id) = (None, None, None);
    record
}
