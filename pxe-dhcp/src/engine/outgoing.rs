//! Replies: what the policy says, the bytes, and where they go.

use core::net::{IpAddr, Ipv4Addr};

use pxe_core::{Destination, RecvMeta, SocketId};

use super::Engine;
use super::answer::{self, Answer};
use super::request::{Asking, NAMED_MAX};
use crate::wire::{Message, MessageType, OptionCode, RelayAgentInfo, Reply};
use crate::{
    BootDecision, BootRequest, Class, ClientArch, ClientInfo, Event, IgnoreReason, Ipv4Net,
    ReplyRoute, Stage,
};

/// A reply that waits to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) socket: SocketId,
    pub(super) to: Destination,
    pub(super) source: Option<IpAddr>,
    pub(super) payload: Vec<u8>,
}

/// What a decision is made from.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) message: &'a Message<'a>,
    pub(super) client: &'a ClientInfo,
    pub(super) stage: Stage,
    pub(super) architectures: &'a [ClientArch],
    pub(super) network: Option<Ipv4Net>,
    pub(super) client_ip: Option<Ipv4Addr>,
    pub(super) server_ip: Ipv4Addr,
}

impl Facts<'_> {
    /// All that is known of a client, for a policy or a condition.
    fn with_request<T>(&self, ask: impl FnOnce(&BootRequest<'_>) -> T) -> T {
        let message = self.message;
        let (vendor_class, host_name) = (message.vendor_class(), message.host_name());
        let (client_id, requested) = (message.client_id(), message.parameter_request_list());
        let machine_id = message.option(OptionCode::CLIENT_MACHINE_ID);
        let relay = message.relay_agent_info();
        let relay = relay.as_deref().map(RelayAgentInfo::new);
        let user_classes = message.user_classes();
        let user_classes: Vec<&[u8]> = user_classes.iter().take(NAMED_MAX).collect();
        let request = BootRequest {
            stage: self.stage,
            mac: self.client.mac(),
            client_id: client_id.as_deref(),
            architectures: self.architectures,
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
            subnet: self.network,
            client_ip: self.client_ip,
            server_ip: self.server_ip,
            message: Some(message),
        };
        ask(&request)
    }
}

impl Engine {
    pub(super) fn decide(&self, asking: &Asking<'_>, client_ip: Option<Ipv4Addr>) -> BootDecision {
        self.decide_by(&self.facts(asking, client_ip))
    }

    pub(super) fn decide_by(&self, facts: &Facts<'_>) -> BootDecision {
        facts.with_request(|request| self.policy.decide(request).told_to(request))
    }

    /// The classes that the client is of, in their order.
    pub(super) fn classes(&self, asking: &Asking<'_>, client_ip: Option<Ipv4Addr>) -> Vec<&Class> {
        let classes = &self.plan.config.classes;
        if classes.is_empty() {
            return Vec::new();
        }
        self.facts(asking, client_ip).with_request(|request| {
            let classes = classes.iter();
            classes.filter(|one| one.when.matches(request)).collect()
        })
    }

    fn facts<'a>(&self, asking: &'a Asking<'_>, client_ip: Option<Ipv4Addr>) -> Facts<'a> {
        let subnet = client_ip
            .and_then(|ip| self.plan.subnet_of(ip))
            .unwrap_or(asking.subnet);
        Facts {
            message: asking.message,
            client: &asking.client,
            stage: asking.stage,
            architectures: &asking.architectures,
            network: Some(self.plan.subnets[subnet].config.network),
            client_ip,
            server_ip: asking.server_ip,
        }
    }

    pub(super) fn reply(
        &self,
        asking: &Asking<'_>,
        message_type: impl Into<Option<MessageType>>,
        lease: Option<(Ipv4Addr, u32)>,
        decision: &mut BootDecision,
    ) -> (Reply, Ipv4Addr) {
        let message_type = message_type.into();
        let index = lease.and_then(|(address, _)| self.plan.subnet_of(address));
        let subnet = &self.plan.subnets[index.unwrap_or(asking.subnet)];
        let client_ip = lease.map(|(address, _)| address);
        loop {
            let answer = Answer {
                message_type,
                request: asking.message,
                stage: asking.stage,
                server_ip: asking.server_ip,
                server_id: asking.server_id,
                lease,
                subnet: &subnet.config,
                reservation: self.reservation(asking),
                classes: self.classes(asking, client_ip.or(asking.message.ciaddr())),
                options: &self.plan.config.options,
                decision: &*decision,
            };
            let (reply, next_server) = (answer.reply(), answer.next_server());
            if !self.drops_menu(asking.message, &reply, decision) {
                return (reply, next_server);
            }
        }
    }

    /// Drops the menu of a decision if the reply with it would not fit: the first item boots then.
    pub(super) fn drops_menu(
        &self,
        request: &Message<'_>,
        reply: &Reply,
        decision: &mut BootDecision,
    ) -> bool {
        let limit = answer::limit(request, self.plan.config.message_bytes_max);
        reply.required_len() > limit
            && decision
                .drop_menu("the reply would be too long for the client: it gets the first item")
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
        // A DISCOVER has no address (RFC 2131 table 5), and to a foreign one anybody could have
        // us write.
        let ciaddr = message.ciaddr().filter(|ip| {
            let is_discover = message.message_type() == Some(MessageType::DISCOVER);
            !is_discover && self.plan.subnet_of(*ip).is_some()
        });
        let route = ReplyRoute {
            giaddr: message.giaddr(),
            ciaddr: ciaddr.or(sender.filter(|_| is_inform)),
            yiaddr,
            mac: message.mac(),
            is_broadcast: message.is_broadcast(),
            is_nak,
            client_port: self.plan.config.client_port,
            server_port: self.plan.config.server_port,
            ..ReplyRoute::new(meta.interface)
        };
        let client = &asking.client;
        let Some(to) = route.destination() else {
            self.ignore(Some(client.clone()), IgnoreReason::NoRoute);
            return None;
        };
        self.pack(message, meta, client, reply, to)
    }

    /// The reply's bytes, within the client's limit.
    pub(super) fn pack(
        &mut self,
        message: &Message<'_>,
        meta: &RecvMeta,
        client: &ClientInfo,
        reply: &Reply,
        to: Destination,
    ) -> Option<Outgoing> {
        let limit = answer::limit(message, self.plan.config.message_bytes_max);
        let mut payload = Vec::with_capacity(limit);
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
