//! Clients that are told what to boot and are given no address: proxyDHCP at port 67, and boot
//! servers at port 4011.

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::borrow::Cow;

use pxe_core::{Now, RecvMeta};

use super::answer;
use super::outgoing::Facts;
use super::request::Origin;
use super::{Engine, rate};
use crate::boot_menu::{vendor_options_of_file, vendor_options_of_item};
use crate::told::is_bios;
use crate::wire::{BROADCAST_FLAG, Message, MessageType, OptionCode, Priority, PxeBootItem, Reply};
use crate::{
    Boot, BootDecision, ClientArch, ClientInfo, Event, IgnoreReason, Ipv4Net, Limit, Mode,
    ReplyRoute, Stage,
};

/// A message that is about what to boot, or that is seen though it is another server's to answer.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) message: &'a Message<'a>,
    pub(super) message_type: MessageType,
    pub(super) meta: &'a RecvMeta,
    pub(super) client: ClientInfo,
    pub(super) architectures: Vec<ClientArch>,
    pub(super) stage: Stage,
}

/// What a client is told.
#[derive(Debug)]
struct Told<'a> {
    message_type: MessageType,
    server_ip: Ipv4Addr,
    next_server: Ipv4Addr,
    file: Option<Cow<'a, str>>,
    /// Option 43.
    vendor_options: Option<Vec<u8>>,
    decision: &'a BootDecision,
}

impl Engine {
    /// Whether a message is a [`Call`]: in each mode, what comes to port 4011 is, and a REQUEST
    /// that names an item of a boot menu, which a client may broadcast to port 67 instead (PXE 2.1
    /// section 2.2.4). Where no addresses are given, all is.
    pub(super) fn is_call(
        &self,
        message: &Message<'_>,
        message_type: MessageType,
        stage: Stage,
        origin: Origin,
    ) -> bool {
        origin == Origin::Binl
            || !self.plan.config.mode.gives_addresses()
            || asks_for_item(message, message_type, stage).is_some()
    }

    pub(super) fn on_call(&mut self, now: Now, call: &Call<'_>, origin: Origin) {
        let message_type = call.message_type;
        let item = asks_for_item(call.message, message_type, call.stage);
        let mode = self.plan.config.mode;
        match (origin, message_type) {
            (Origin::Binl, MessageType::REQUEST | MessageType::INFORM) => {
                self.acknowledge_boot(now, call, item);
            }
            (Origin::Binl, other) => {
                self.ignore(Some(call.client.clone()), IgnoreReason::MessageType(other));
            }
            (_, MessageType::REQUEST) if item.is_some() && mode != Mode::Binl => {
                self.acknowledge_boot(now, call, item);
            }
            (_, MessageType::REQUEST) => self.see_lease(call),
            (_, MessageType::DISCOVER) if mode == Mode::Proxy => self.offer_boot(now, call),
            (_, other) => {
                self.ignore(Some(call.client.clone()), IgnoreReason::NotLeasing(other));
            }
        }
    }

    /// A REQUEST to the server that gives addresses: it tells which address the client has, or is
    /// about to have.
    fn see_lease(&mut self, call: &Call<'_>) {
        let (message, client) = (call.message, call.client.clone());
        match message.requested_address().or(message.ciaddr()) {
            Some(address) => self.event(Event::LeasedByOther {
                client,
                address,
                server: message.server_id(),
            }),
            None => self.ignore(Some(client), IgnoreReason::NoAddress),
        }
    }

    /// A proxy's OFFER: what to boot, and no address.
    fn offer_boot(&mut self, now: Now, call: &Call<'_>) {
        // Any address can be forged as a relay's, where no subnets say which there are.
        if let Some(giaddr) = call.message.giaddr() {
            let hash = rate::hash_of_address(self.seed, giaddr);
            if !self.new_clients.allows(now.mono, hash) {
                let limit = Limit::NewClients;
                *self.counters.limits.entry(limit).or_default() += 1;
                return self.ignore(Some(call.client.clone()), IgnoreReason::Limit(limit));
            }
        }
        let Some((mut decision, server_ip)) = self.decide_call(call, None) else {
            return;
        };
        let reply = loop {
            let reply = Told::offer(call, &decision, server_ip).reply(call);
            if !self.drops_menu(call.message, &reply, &mut decision) {
                break reply;
            }
        };
        if decision.boot == Boot::Nothing {
            return self.leave_alone(call, decision);
        }
        let next_server = decision.next_server.unwrap_or(server_ip);
        let route = ReplyRoute {
            giaddr: call.message.giaddr(),
            is_broadcast: true,
            client_port: self.plan.config.client_port,
            server_port: self.plan.config.server_port,
            ..ReplyRoute::new(call.meta.interface)
        };
        let Some(to) = route.destination() else {
            return self.ignore(Some(call.client.clone()), IgnoreReason::NoRoute);
        };
        let Some(outgoing) = self.pack(call.message, call.meta, &call.client, &reply, to) else {
            return;
        };
        self.counters.proxy_offers += 1;
        self.send(outgoing);
        self.event(Event::ProxyOffered {
            client: call.client.clone(),
            boot: decision.boot,
            next_server,
            explanation: decision.explanation,
        });
    }

    /// The answer to a client that has an address, and asks what to boot.
    fn acknowledge_boot(&mut self, now: Now, call: &Call<'_>, item: Option<PxeBootItem>) {
        let (message, client) = (call.message, call.client.clone());
        if item.is_some_and(|item| item.is_credentials) {
            return self.ignore(Some(client), IgnoreReason::Credentials);
        }
        let sender = match call.meta.remote {
            SocketAddr::V4(sender) => Some(sender),
            SocketAddr::V6(_) => None,
        };
        let Some(sender) = sender else {
            return self.ignore(Some(client), IgnoreReason::NoRoute);
        };
        // Forgers can say any `chaddr`, so that no client's rate would be exceeded: the address
        // that all of that would be sent to has one too.
        let hash = rate::hash_of_address(self.seed, *sender.ip());
        if !self.allows(now, hash) {
            return self.ignore(Some(client), IgnoreReason::RateLimit);
        }
        let route = ReplyRoute {
            giaddr: message.giaddr(),
            ciaddr: message.ciaddr(),
            asked_from: Some(sender),
            ..ReplyRoute::new(call.meta.interface)
        };
        let Some(to) = route.destination() else {
            let reason = if sender.ip().is_unspecified() {
                IgnoreReason::NoRoute
            } else {
                IgnoreReason::OtherSender
            };
            return self.ignore(Some(client), reason);
        };
        let address = message.ciaddr().or_else(|| own_address(message, sender));
        let Some((mut decision, server_ip)) = self.decide_call(call, address) else {
            return;
        };
        let (reply, next_server, boot) = loop {
            let told = match Told::acknowledgement(&decision, server_ip, item) {
                Ok(told) => told,
                Err(reason) => return self.ignore(Some(client), reason),
            };
            let (reply, next_server) = (told.reply(call), told.next_server);
            let boot = match (&decision.boot, item, &told.file) {
                (Boot::Menu(_), Some(_), Some(file)) => Boot::File(file.clone().into_owned()),
                (boot, ..) => boot.clone(),
            };
            // The answer about an item holds no menu.
            if item.is_some() || !self.drops_menu(message, &reply, &mut decision) {
                break (reply, next_server, boot);
            }
        };
        if decision.boot == Boot::Nothing {
            return self.leave_alone(call, decision);
        }
        let Some(outgoing) = self.pack(message, call.meta, &client, &reply, to) else {
            return;
        };
        self.counters.boot_server_acks += 1;
        self.send(outgoing);
        self.event(Event::BootServerAcknowledged {
            client,
            address,
            item_type: item.map(|item| item.item_type),
            boot,
            next_server,
            explanation: decision.explanation,
        });
    }

    /// What the client is to boot, and our address towards it; `None` if that is nothing, and the
    /// client gets no answer.
    fn decide_call(
        &mut self,
        call: &Call<'_>,
        client_ip: Option<Ipv4Addr>,
    ) -> Option<(BootDecision, Ipv4Addr)> {
        if call.stage == Stage::System {
            self.ignore(Some(call.client.clone()), IgnoreReason::NothingToBoot);
            return None;
        }
        let (network, server_ip) = self.place_of(call, client_ip);
        let Some(server_ip) = server_ip else {
            self.ignore(Some(call.client.clone()), IgnoreReason::NoRoute);
            return None;
        };
        let decision = self.decide_by(&Facts {
            message: call.message,
            client: &call.client,
            stage: call.stage,
            architectures: &call.architectures,
            network,
            client_ip,
            server_ip,
        });
        if matches!(decision.boot, Boot::Nothing | Boot::Denied) {
            self.leave_alone(call, decision);
            return None;
        }
        Some((decision, server_ip))
    }

    /// A client that is to boot nothing gets no answer.
    fn leave_alone(&mut self, call: &Call<'_>, decision: BootDecision) {
        self.counters.ignored += 1;
        self.event(Event::NotBooted {
            client: call.client.clone(),
            boot: decision.boot,
            explanation: decision.explanation,
        });
    }

    /// The client's network, if it is one of the configuration, and our address towards it.
    fn place_of(
        &self,
        call: &Call<'_>,
        client_ip: Option<Ipv4Addr>,
    ) -> (Option<Ipv4Net>, Option<Ipv4Addr>) {
        let local = match call.meta.local_ip {
            Some(IpAddr::V4(ip)) if !ip.is_unspecified() && !ip.is_broadcast() => Some(ip),
            _ => None,
        };
        let link = call.message.link_selection().or(call.message.giaddr());
        let subnet = [client_ip, link, local]
            .into_iter()
            .flatten()
            .find_map(|address| self.plan.subnet_of(address));
        let config = subnet.and_then(|index| self.plan.subnets.get(index));
        let config = config.map(|subnet| &subnet.config);
        let server_ip = config.and_then(|config| config.server_ip).or(local);
        (config.map(|config| config.network), server_ip)
    }
}

impl<'a> Told<'a> {
    /// What is in a proxy's OFFER.
    ///
    /// BIOS ROMs and iPXE boot what is in it. UEFI wants neither menu nor discovery in it, and
    /// asks at port 4011 instead: with option 43, some firmware ignores it (danderson/netboot,
    /// `pixiecore/dhcp.go`; dnsmasq, `redirect4011`), and EDK2 did until 2022 (tianocore/edk2,
    /// `PxeBcCacheDhcp4Offer`).
    fn offer(call: &Call<'_>, decision: &'a BootDecision, server_ip: Ipv4Addr) -> Self {
        let next_server = decision.next_server.unwrap_or(server_ip);
        let arch = call.architectures.first().copied();
        let asks_again = call.stage == Stage::Pxe
            && arch.is_some_and(|arch| arch.is_uefi() || arch.name().is_none());
        let mut told = Self {
            message_type: MessageType::OFFER,
            server_ip,
            next_server,
            file: answer::file_of(&decision.boot),
            vendor_options: None,
            decision,
        };
        if asks_again {
            // EDK2 takes `siaddr` for the server to ask at port 4011 (`PxeBcRetryBinlOffer`), so
            // it is ours; and the file, which EDK2 does not look at, has to be on that server.
            told.next_server = server_ip;
            if next_server != server_ip || matches!(decision.boot, Boot::Menu(_)) {
                told.file = None;
            }
        } else if let Boot::Menu(menu) = &decision.boot {
            told.vendor_options = Some(menu.vendor_options(server_ip));
        } else if call.stage != Stage::Http && arch.is_some_and(is_bios) {
            told.vendor_options = Some(vendor_options_of_file());
        }
        told
    }

    /// What is in a boot server's ACK, about this item of a menu if one is asked for; or why there
    /// is no answer.
    fn acknowledgement(
        decision: &'a BootDecision,
        server_ip: Ipv4Addr,
        item: Option<PxeBootItem>,
    ) -> Result<Self, IgnoreReason> {
        let mut told = Self {
            message_type: MessageType::ACK,
            server_ip,
            next_server: decision.next_server.unwrap_or(server_ip),
            file: answer::file_of(&decision.boot),
            vendor_options: None,
            decision,
        };
        match (&decision.boot, item) {
            (Boot::Menu(menu), Some(asked)) => {
                let found = menu.item(asked.item_type);
                let found = found.and_then(|item| Some((item, item.file(asked.layer)?)));
                let (item, file) = found.ok_or(IgnoreReason::UnknownItem(asked.item_type))?;
                told.file = Some(file);
                told.next_server = item.next_server().unwrap_or(told.next_server);
            }
            (Boot::Menu(menu), None) => {
                told.vendor_options = Some(menu.vendor_options(server_ip));
            }
            _ => {}
        }
        if let Some(asked) = item {
            let options = vendor_options_of_item(asked, server_ip, told.next_server);
            told.vendor_options = Some(options);
        }
        Ok(told)
    }

    fn reply(&self, call: &Call<'_>) -> Reply {
        let request = call.message;
        let mut header = answer::header_of(request);
        header.siaddr = self.next_server;
        if self.message_type == MessageType::ACK {
            header.ciaddr = request.ciaddr().unwrap_or(Ipv4Addr::UNSPECIFIED);
        } else if request.giaddr().is_none() {
            // The client has no address yet. A relay is told what the client said, and no more.
            header.flags |= BROADCAST_FLAG;
        }
        let mut reply = Reply::new(header);
        // Not what a relay says in its place (RFC 5107): iPXE and ROMs ask at port 4011 of the
        // server that 54 names (iPXE, `dhcp_proxy_tx`), where relays do not listen.
        answer::push_type(&mut reply, self.message_type, self.server_ip);
        let class: &[u8] = match call.stage {
            Stage::Http => b"HTTPClient",
            _ => b"PXEClient",
        };
        reply.push(OptionCode::VENDOR_CLASS, class, Priority::Required);
        if let Some(file) = &self.file {
            answer::push_file(&mut reply, self.decision, self.next_server, file);
        }
        if let Some(vendor_options) = &self.vendor_options {
            reply.push(
                OptionCode::VENDOR_SPECIFIC,
                vendor_options,
                Priority::Required,
            );
        }
        answer::push_decided(&mut reply, self.decision);
        for code in [
            OptionCode::CLIENT_MACHINE_ID,
            OptionCode::CLIENT_ID,
            OptionCode::RELAY_AGENT_INFO,
        ] {
            answer::push_echo(&mut reply, request, code);
        }
        reply
    }
}

/// The item of a menu that a client asks a boot server for.
fn asks_for_item(
    message: &Message<'_>,
    message_type: MessageType,
    stage: Stage,
) -> Option<PxeBootItem> {
    // An operating system may have another use for option 43.
    // And a client that selects an offer asks for its address.
    let is_asked = message_type == MessageType::REQUEST
        && stage != Stage::System
        && message.requested_address().is_none();
    is_asked.then(|| message.pxe_boot_item()).flatten()
}

/// The client's own address, where it writes from it without a relay.
fn own_address(message: &Message<'_>, sender: SocketAddrV4) -> Option<Ipv4Addr> {
    message.giaddr().is_none().then_some(*sender.ip())
}
