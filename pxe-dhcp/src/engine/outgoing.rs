//! Replies: what the policy says, the bytes, and where they go.

use core::net::{IpAddr, Ipv4Addr};

use pxe_core::{Destination, SocketId};

use super::Engine;
use super::answer::{self, Answer};
use super::request::Asking;
use crate::wire::{MessageType, OptionCode, RelayAgentInfo, Reply};
use crate::{Boot, BootDecision, BootRequest, Class, Event, IgnoreReason, ReplyRoute};

/// A reply that waits to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) socket: SocketId,
    pub(super) to: Destination,
    pub(super) source: Option<IpAddr>,
    pub(super) payload: Vec<u8>,
}

impl Engine {
    pub(super) fn decide(&self, asking: &Asking<'_>, client_ip: Option<Ipv4Addr>) -> BootDecision {
        let mut decision = self.with_request(asking, client_ip, |one| self.policy.decide(one));
        let is_told = answer::boot_file(asking.stage, &decision.boot).is_some();
        if !is_told && !matches!(decision.boot, Boot::Nothing | Boot::Denied) {
            decision
                .explanation
                .failed("http", "firmware that boots by HTTP needs a URL");
            decision.boot = Boot::Nothing;
        }
        decision
    }

    /// The classes that the client is of, in their order.
    pub(super) fn classes(&self, asking: &Asking<'_>, client_ip: Option<Ipv4Addr>) -> Vec<&Class> {
        let classes = &self.plan.config.classes;
        if classes.is_empty() {
            return Vec::new();
        }
        self.with_request(asking, client_ip, |request| {
            let classes = classes.iter();
            classes.filter(|one| one.when.matches(request)).collect()
        })
    }

    /// All that is known of a client, for a policy or a condition.
    fn with_request<T>(
        &self,
        asking: &Asking<'_>,
        client_ip: Option<Ipv4Addr>,
        ask: impl FnOnce(&BootRequest<'_>) -> T,
    ) -> T {
        let message = asking.message;
        let (vendor_class, host_name) = (message.vendor_class(), message.host_name());
        let (client_id, requested) = (message.client_id(), message.parameter_request_list());
        let machine_id = message.option(OptionCode::CLIENT_MACHINE_ID);
        let relay = message.relay_agent_info();
        let relay = relay.as_deref().map(RelayAgentInfo::new);
        let user_classes = message.user_classes();
        let user_classes: Vec<&[u8]> = user_classes.iter().collect();
        let subnet = client_ip
            .and_then(|ip| self.plan.subnet_of(ip))
            .unwrap_or(asking.subnet);
        let request = BootRequest {
            stage: asking.stage,
            mac: asking.client.mac(),
            client_id: client_id.as_deref(),
            architectures: &asking.architectures,
            vendor_class: vendor_class.as_deref(),
            user_classes: &user_classes,
            ipxe_features: message.ipxe_features(),
            uuid: message.machine_uuid(),
            machine_id: machine_id.as_deref(),
            host_name: host_name.as_deref(),
            giaddr: message.giaddr(),
            circuit_id: relay.and_then(|relay| relay.circuit_id()),
            remote_id: relay.and_then(|relay| relay.remote_id()),
            requested_options: requested.as_deref().unwrap_or_default(),
            subnet: Some(self.plan.subnets[subnet].config.network),
            client_ip,
            server_ip: asking.server_ip,
            message: Some(message),
        };
        ask(&request)
    }

    pub(super) fn reply(
        &self,
        asking: &Asking<'_>,
        message_type: MessageType,
        lease: Option<(Ipv4Addr, u32)>,
        decision: &BootDecision,
    ) -> (Reply, Ipv4Addr) {
        let index = lease.and_then(|(address, _)| self.plan.subnet_of(address));
        let subnet = &self.plan.subnets[index.unwrap_or(asking.subnet)];
        let client_ip = lease.map(|(address, _)| address);
        let answer = Answer {
            message_type,
            request: asking.message,
            stage: asking.stage,
            server_ip: asking.server_ip,
            lease,
            subnet: &subnet.config,
            reservation: self.reservation(asking),
            classes: self.classes(asking, client_ip.or(asking.message.ciaddr())),
            options: &self.plan.config.options,
            decision,
        };
        (answer.reply(), answer.next_server())
    }

    /// The reply's bytes and where they go.
    pub(super) fn write(
        &mut self,
        asking: &Asking<'_>,
        reply: &Reply,
        yiaddr: Option<Ipv4Addr>,
        is_nak: bool,
    ) -> Option<Outgoing> {
        let (message, meta) = (asking.message, asking.meta);
        let sender = match meta.remote.ip() {
            IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
            _ => None,
        };
        let is_inform = message.message_type() == Some(MessageType::INFORM);
        let route = ReplyRoute {
            giaddr: message.giaddr(),
            ciaddr: message.ciaddr().or(sender.filter(|_| is_inform)),
            yiaddr,
            mac: message.mac(),
            is_broadcast: message.is_broadcast(),
            is_nak,
            interface: meta.interface,
            client_port: self.plan.config.client_port,
            server_port: self.plan.config.server_port,
        };
        let client = &asking.client;
        let Some(to) = route.destination() else {
            self.ignore(Some(client.clone()), IgnoreReason::NoRoute);
            return None;
        };
        let limit = answer::limit(message, self.plan.config.message_bytes_max);
        let mut payload = Vec::new();
        match reply.write(limit, &mut payload) {
            Ok(written) if written.dropped.is_empty() => {}
            Ok(written) => {
                let (client, codes) = (client.clone(), written.dropped);
                self.event(Event::OptionsDropped {
                    client,
                    codes,
                    limit,
                });
            }
            Err(_) => {
                self.event(Event::ReplyTooLong {
                    client: client.clone(),
                    limit,
                });
                return None;
            }
        }
        let source = meta.local_ip.filter(|ip| match ip {
            IpAddr::V4(ip) => !ip.is_broadcast() && !ip.is_unspecified(),
            IpAddr::V6(_) => false,
        });
        Some(Outgoing {
            socket: meta.socket,
            to,
            source,
            payload,
        })
    }
}
