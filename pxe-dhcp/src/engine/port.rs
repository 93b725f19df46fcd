//! Where a client is plugged in, and how many there are.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use pxe_core::RecvMeta;

use super::rate;
use crate::LeaseRecord;
use crate::wire::{Message, RelayAgentInfo};

/// Where a client is plugged in, as far as is known: the port of a relay (option 82), else the
/// relay, else our interface. An attacker chooses MACs, but not this.
///
/// A hash of it, so that a long circuit identifier costs no memory. If two ports ever have the
/// same, they share their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port(u64);

impl Port {
    /// Where a message comes from. On our own link, a client can say an option 82 itself: there it
    /// makes no port.
    pub(super) fn of_message(message: &Message<'_>, meta: &RecvMeta) -> Self {
        let Some(giaddr) = message.giaddr() else {
            let interface = meta.interface.map_or(0, |interface| interface.get());
            return Self(rate::hash_parts(2, &[&interface.to_be_bytes()]));
        };
        Self::told_by(message).unwrap_or_else(|| Self::of(Some(giaddr), None, None))
    }

    /// The port that a message came through, if a relay or a switch tells.
    pub(super) fn told_by(message: &Message<'_>) -> Option<Self> {
        let data = message.relay_agent_info()?;
        let relay = RelayAgentInfo::new(&data);
        Self::told(message.giaddr(), relay.circuit_id(), relay.remote_id())
    }

    /// The relay's port that a lease's client was at last.
    pub(super) fn of_record(record: &LeaseRecord) -> Option<Self> {
        let (circuit, remote) = (record.circuit_id.as_deref(), record.remote_id.as_deref());
        Self::told(record.giaddr, circuit, remote)
    }

    fn told(
        giaddr: Option<Ipv4Addr>,
        circuit: Option<&[u8]>,
        remote: Option<&[u8]>,
    ) -> Option<Self> {
        let is_told = circuit.is_some() || remote.is_some();
        is_told.then(|| Self::of(giaddr, circuit, remote))
    }

    fn of(giaddr: Option<Ipv4Addr>, circuit: Option<&[u8]>, remote: Option<&[u8]>) -> Self {
        let giaddr = giaddr.unwrap_or(Ipv4Addr::UNSPECIFIED).octets();
        let circuit = circuit.unwrap_or_default();
        let len = circuit.len().to_be_bytes();
        let parts = [&giaddr[..], &len, circuit, remote.unwrap_or_default()];
        Self(rate::hash_parts(1, &parts))
    }

    pub(super) const fn hash(self) -> u64 {
        self.0
    }
}

/// How many there are of each kind; none takes no memory.
#[derive(Debug)]
pub(super) struct Tally<K>(BTreeMap<K, usize>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Tally<K> {
    pub(super) fn of(&self, kind: &K) -> usize {
        self.0.get(kind).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, kind: K, by: isize) {
        let count = self.of(&kind).saturating_add_signed(by);
        if count == 0 {
            self.0.remove(&kind);
        } else {
            self.0.insert(kind, count);
        }
    }
}
