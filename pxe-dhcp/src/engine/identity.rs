//! By what a client is recognised, that something is reserved for.

use super::Engine;
use super::plan::SubnetIndex;
use crate::wire::{Message, RelayAgentInfo};
use crate::{ClientKey, ReservedFor};

impl Engine {
    /// All that the client is recognised by, the most telling first: what its message says, and
    /// what is remembered of it where the message is silent.
    pub(super) fn identities(
        &self,
        message: &Message<'_>,
        client: &ClientKey,
        link: &[SubnetIndex],
    ) -> Vec<ReservedFor> {
        if !self.plan.has_reservations() {
            return Vec::new();
        }
        let mut identities = said(message);
        for address in self.leases.of_client(client) {
            let is_here = self
                .plan
                .subnet_of(*address)
                .is_some_and(|index| link.contains(&index));
            let remembered = self
                .leases
                .get(*address)
                .and_then(|lease| lease.record.reserved_for.as_ref());
            if let Some(remembered) = remembered
                && is_here
                && !identities.contains(remembered)
                && !contradicts(message, remembered)
            {
                identities.push(remembered.clone());
            }
        }
        identities.sort_unstable();
        identities
    }
}

/// What a message says of its client.
fn said(message: &Message<'_>) -> Vec<ReservedFor> {
    let mut said = Vec::with_capacity(6);
    let address = message.chaddr();
    if let Some(mac) = message.mac() {
        said.push(ReservedFor::Mac(mac));
    } else if address.iter().any(|byte| *byte != 0) {
        said.push(ReservedFor::Hardware {
            htype: message.htype(),
            address: address.to_vec(),
        });
    }
    if let Some(client_id) = message.client_id() {
        said.push(ReservedFor::ClientId(client_id.into_owned()));
    }
    if let Some(uuid) = message.machine_uuid() {
        said.push(ReservedFor::Uuid(uuid));
    }
    if let Some(data) = message.relay_agent_info() {
        let relay = RelayAgentInfo::new(&data);
        let (circuit, remote) = (relay.circuit_id(), relay.remote_id());
        if let (Some(circuit), Some(remote)) = (circuit, remote) {
            said.push(ReservedFor::RelayPort {
                circuit_id: circuit.to_vec(),
                remote_id: remote.to_vec(),
            });
        }
        said.extend(circuit.map(|id| ReservedFor::CircuitId(id.to_vec())));
        said.extend(remote.map(|id| ReservedFor::RemoteId(id.to_vec())));
    }
    said
}

/// Whether a message says that its client is not, or is no longer, the one meant: a network card
/// that was put into another machine, or a machine that moved to another port.
fn contradicts(message: &Message<'_>, remembered: &ReservedFor) -> bool {
    match remembered {
        // A MAC is what the lease was found by, and a machine has several identifiers: its ROM,
        // loader and system each make their own.
        ReservedFor::Mac(_) | ReservedFor::Hardware { .. } | ReservedFor::ClientId(_) => false,
        ReservedFor::Uuid(uuid) => message.machine_uuid().is_some_and(|said| said != *uuid),
        ReservedFor::RelayPort {
            circuit_id,
            remote_id,
        } => is_elsewhere(message, Some(circuit_id), Some(remote_id)),
        ReservedFor::CircuitId(id) => is_elsewhere(message, Some(id), None),
        ReservedFor::RemoteId(id) => is_elsewhere(message, None, Some(id)),
    }
}

fn is_elsewhere(message: &Message<'_>, circuit: Option<&[u8]>, remote: Option<&[u8]>) -> bool {
    let Some(data) = message.relay_agent_info() else {
        // A renewal goes past the relay.
        return message.giaddr().is_some();
    };
    let relay = RelayAgentInfo::new(&data);
    let differs = |said: Option<&[u8]>, meant: Option<&[u8]>| meant.is_some() && said != meant;
    differs(relay.circuit_id(), circuit) || differs(relay.remote_id(), remote)
}
