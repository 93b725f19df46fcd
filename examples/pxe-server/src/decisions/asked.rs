//! A request to the boot policy that is kept, so that the policy can be asked again.

use std::net::{IpAddr, Ipv4Addr};

use pxe_core::MacAddr;
use pxe_dhcp::wire::{IpxeFeatures, MachineUuid, Message};
use pxe_dhcp::{BootDecision, BootPolicy, BootRequest, ClientArch, Ipv4Net, LeaseRecord, Stage};

/// What a [`BootRequest`] says, with nothing borrowed. All of it came in one DHCP message, so it
/// is no longer than two of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) stage: Stage,
    pub(super) mac: Option<MacAddr>,
    client_id: Option<Vec<u8>>,
    pub(super) architectures: Vec<ClientArch>,
    vendor_class: Option<Vec<u8>>,
    user_classes: Vec<Vec<u8>>,
    ipxe_features: Option<IpxeFeatures>,
    pub(super) uuid: Option<MachineUuid>,
    machine_id: Option<Vec<u8>>,
    pub(super) host_name: Option<Vec<u8>>,
    giaddr: Option<Ipv4Addr>,
    circuit_id: Option<Vec<u8>>,
    remote_id: Option<Vec<u8>>,
    requested_options: Vec<u8>,
    subnet: Option<Ipv4Net>,
    client_ip: Option<Ipv4Addr>,
    server_ip: Ipv4Addr,
    message: Option<Vec<u8>>,
}

impl Asked {
    pub(super) fn of(request: &BootRequest<'_>) -> Self {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        Self {
            stage: request.stage,
            mac: request.mac,
            client_id: owned(request.client_id),
            architectures: request.architectures.to_vec(),
            vendor_class: owned(request.vendor_class),
            user_classes: request
                .user_classes
                .iter()
                .map(|class| class.to_vec())
                .collect(),
            ipxe_features: request.ipxe_features,
            uuid: request.uuid,
            machine_id: owned(request.machine_id),
            host_name: owned(request.host_name),
            giaddr: request.giaddr,
            circuit_id: owned(request.circuit_id),
            remote_id: owned(request.remote_id),
            requested_options: request.requested_options.to_vec(),
            subnet: request.subnet,
            client_ip: request.client_ip,
            server_ip: request.server_ip,
            message: request.message.map(Message::to_bytes),
        }
    }

    /// Of a client at `ip`, of which no request was heard: its addresses are all that is known.
    pub(super) fn of_stranger(
        ip: IpAddr,
        mac: Option<MacAddr>,
        subnet: Option<Ipv4Net>,
        server_ip: Ipv4Addr,
    ) -> Self {
        let mut request = BootRequest::new(server_ip);
        request.mac = mac;
        request.subnet = subnet;
        request.client_ip = match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        };
        Self::of(&request)
    }

    /// What a lease of an earlier run remembers of its client.
    pub(super) fn of_lease(
        lease: &LeaseRecord,
        subnet: Option<Ipv4Net>,
        server_ip: Ipv4Addr,
    ) -> Self {
        let architectures: Vec<ClientArch> = lease.arch.into_iter().collect();
        let mut request = BootRequest::new(server_ip).with_architectures(&architectures);
        if let Some(vendor_class) = &lease.vendor_class {
            request = request.with_vendor_class(vendor_class);
        }
        request.mac = lease.mac();
        request.client_id = lease.client_id.as_deref();
        request.uuid = lease.uuid;
        request.host_name = lease.host_name.as_deref();
        request.circuit_id = lease.circuit_id.as_deref();
        request.remote_id = lease.remote_id.as_deref();
        request.subnet = subnet;
        request.client_ip = Some(lease.address);
        Self::of(&request)
    }

    /// The same machine's, once it runs iPXE.
    pub(super) fn into_ipxe(mut self) -> Self {
        self.stage = Stage::Ipxe;
        self.user_classes = vec![b"iPXE".to_vec()];
        self
    }

    /// The same machine's, while its firmware boots it by TFTP or HTTP.
    pub(super) fn into_firmware(mut self) -> Self {
        if !matches!(self.stage, Stage::Pxe | Stage::Http) {
            self.stage = Stage::Pxe;
            self.user_classes.clear();
            self.ipxe_features = None;
        }
        self
    }

    /// What this policy decides.
    pub(super) fn ask(&self, policy: &dyn BootPolicy) -> BootDecision {
        let user_classes: Vec<&[u8]> = self.user_classes.iter().map(Vec::as_slice).collect();
        let mut request = BootRequest::new(self.server_ip);
        request.stage = self.stage;
        request.mac = self.mac;
        request.client_id = self.client_id.as_deref();
        request.architectures = &self.architectures;
        request.vendor_class = self.vendor_class.as_deref();
        request.user_classes = &user_classes;
        request.ipxe_features = self.ipxe_features;
        request.uuid = self.uuid;
        request.machine_id = self.machine_id.as_deref();
        request.host_name = self.host_name.as_deref();
        request.giaddr = self.giaddr;
        request.circuit_id = self.circuit_id.as_deref();
        request.remote_id = self.remote_id.as_deref();
        request.requested_options = &self.requested_options;
        request.subnet = self.subnet;
        request.client_ip = self.client_ip;
        // It was a message, so it is one.
        let message = self
            .message
            .as_deref()
            .and_then(|bytes| Message::parse(bytes).ok());
        request.message = message.as_ref();
        policy.decide(&request)
    }
}
