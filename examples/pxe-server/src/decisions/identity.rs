//! What is known of the machine at an address, by what it said over DHCP.

use std::net::{IpAddr, Ipv4Addr};

use pxe_core::MacAddr;
use pxe_dhcp::wire::MachineUuid;
use pxe_dhcp::{BootDecision, BootPolicy, BootRequest, ClientArch, Stage};

use super::asked::Asked;
use super::{Decisions, Known};
use crate::machines::MachineId;

/// A machine: who it is, and what it is told to boot.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) mac: Option<MacAddr>,
    pub(crate) uuid: Option<MachineUuid>,
    /// Option 12.
    pub(crate) host_name: Option<Vec<u8>>,
    /// What its firmware says; systems say none.
    pub(crate) arch: Option<ClientArch>,
    /// What is decided about it at the step of its boot that is known best.
    pub(crate) decision: BootDecision,
    /// What its firmware is told.
    pub(crate) as_firmware: BootDecision,
    /// What it is told where it runs iPXE.
    pub(crate) as_ipxe: BootDecision,
}

impl Decisions {
    /// Who the client at this address is. `neighbour` is the hardware address that the kernel knows
    /// for it, `local` the address of ours that it asked.
    pub(crate) fn identity(
        &self,
        ip: IpAddr,
        neighbour: Option<MacAddr>,
        local: Option<IpAddr>,
    ) -> Identity {
        let rules = self.rules.load();
        let mac = self.addresses.mac_of(ip).or(neighbour);
        let id = mac.map_or(MachineId::Ip(ip), MachineId::Mac);
        let steps: Vec<Asked> = match self.table().machines.get(&id) {
            Some(known) => known.asked().cloned().collect(),
            None => Vec::new(),
        };
        let server_ip = match local {
            Some(IpAddr::V4(local)) => local,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        // Its firmware says most of itself, and asks first.
        let said = steps.first().cloned();
        let said =
            said.unwrap_or_else(|| Asked::of_stranger(ip, mac, rules.network_of(ip), server_ip));
        // The request of its iPXE, where there was one.
        let ipxe = steps.iter().find(|asked| asked.stage == Stage::Ipxe);
        let identity = Identity::said(&*rules.policy, &said, ipxe);
        Identity {
            mac,
            uuid: steps.iter().find_map(|asked| asked.uuid),
            host_name: steps.iter().find_map(|asked| asked.host_name.clone()),
            ..identity
        }
    }
}

impl Identity {
    /// The machine that asks this policy so.
    pub(crate) fn of(policy: &dyn BootPolicy, request: &BootRequest<'_>) -> Self {
        Self::said(policy, &Asked::of(request), None)
    }

    /// The machine that said this, and this when it ran iPXE: without that, what it would say.
    fn said(policy: &dyn BootPolicy, said: &Asked, ipxe: Option<&Asked>) -> Self {
        let as_ipxe = match ipxe {
            Some(ipxe) => ipxe.ask(policy),
            None => said.clone().into_ipxe().ask(policy),
        };
        Self {
            mac: said.mac,
            uuid: said.uuid,
            host_name: said.host_name.clone(),
            arch: said.architectures.first().copied(),
            decision: said.ask(policy),
            as_firmware: said.clone().into_firmware().ask(policy),
            as_ipxe,
        }
    }
}

impl Known {
    /// What the machine asked in its last boot, its firmware first.
    fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.steps.iter().flatten().map(|judged| &judged.asked)
    }
}
