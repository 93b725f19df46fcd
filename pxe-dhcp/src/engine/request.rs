//! What a client's message leads to.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use pxe_core::{Now, RecvMeta};

use super::answer;
use super::change::{Change, Purpose};
use super::outgoing::Outgoing;
use super::plan::{Reserved, SubnetIndex};
use super::port::Port;
use super::proxy::Call;
use super::{Engine, rate};
use crate::lease_times::LeaseBounds;
use crate::raspberry_pi;
use crate::wire::{Message, MessageType, Op, OptionCode, RelayAgentInfo};
use crate::{
    ClientArch, ClientInfo, ClientKey, Event, IgnoreReason, LeaseState, Limit, NakReason,
    Reservation, ReservedFor, Stage,
};

/// How many malformed options of one message are worth an event.
const MALFORMED_EVENTS_MAX: usize = 8;

/// How many architectures and user classes of one message are looked at: firmware says one or two,
/// and each rule asks about all of them.
pub(super) const NAMED_MAX: usize = 16;

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A datagram at port 67.
    Wire,
    /// A datagram at port 4011.
    Binl,
    /// The DISCOVER of an offer that was probed: so many addresses were in use before.
    Probed { failed: u32 },
}

/// A client's message, and what follows from it alone.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) message: &'a Message<'a>,
    pub(super) meta: &'a RecvMeta,
    pub(super) client: ClientInfo,
    pub(super) architectures: Vec<ClientArch>,
    pub(super) stage: Stage,
    /// Where the client is.
    pub(super) subnet: SubnetIndex,
    /// Our address towards it.
    pub(super) server_ip: Ipv4Addr,
    /// What it is told as the server's identifier (option 54).
    pub(super) server_id: Ipv4Addr,
    /// All that it is recognised by, the most telling first; empty if nothing is reserved at all.
    pub(super) identities: Vec<ReservedFor>,
    /// What is reserved for it.
    pub(super) reserved: Option<Reserved>,
}

impl Engine {
    pub(super) fn receive(&mut self, now: Now, meta: &RecvMeta, payload: &[u8], origin: Origin) {
        if payload.len() > self.limits().datagram_bytes_max {
            let limit = Limit::DatagramBytes;
            *self.counters.limits.entry(limit).or_default() += 1;
            return self.ignore(None, IgnoreReason::TooLong);
        }
        let Ok(message) = Message::parse(payload) else {
            return self.ignore(None, IgnoreReason::NotDhcp);
        };
        let message = &message;
        let key = ClientKey::of(message);
        let xid = message.xid();
        let client = key.map(|key| ClientInfo {
            key,
            xid,
            giaddr: message.giaddr(),
        });
        if message.op() != Op::Request {
            return self.ignore(client, IgnoreReason::FromServer);
        }
        let is_new = !matches!(origin, Origin::Probed { .. });
        if is_new {
            for code in message.malformed().take(MALFORMED_EVENTS_MAX) {
                self.event(Event::MalformedOption {
                    client: client.clone(),
                    code,
                });
            }
        }
        let Some(client) = client else {
            return self.ignore(None, IgnoreReason::NoClient);
        };
        if is_new {
            // Whoever uses another's name elsewhere must not silence that one.
            let port = Port::of_message(message, meta).hash();
            let hash = rate::hash(self.seed ^ port, &client.key);
            if !self.allows(now, hash) {
                return self.ignore(Some(client), IgnoreReason::RateLimit);
            }
        }
        let Some(message_type) = message.message_type() else {
            if message.has_option(OptionCode::MESSAGE_TYPE) {
                return self.ignore(Some(client), IgnoreReason::NotDhcp);
            }
            if origin == Origin::Binl || !self.plan.config.mode.gives_addresses() {
                return self.ignore(Some(client), IgnoreReason::Bootp);
            }
            return self.on_bootp(now, client, message, meta, payload, origin);
        };
        let architectures = architectures_of(message);
        let stage = stage_of(message, &architectures);
        if is_new {
            self.report(message, message_type, &client, stage, &architectures);
        }
        if self.is_call(message, message_type, stage, origin) {
            let call = Call {
                message,
                message_type,
                meta,
                client,
                architectures,
                stage,
            };
            return self.on_call(now, &call, origin);
        }
        let Some(asking) = self.asking(message, meta, client, architectures, stage) else {
            return;
        };
        match message_type {
            MessageType::DISCOVER => self.on_discover(now, &asking, payload, origin),
            MessageType::REQUEST => self.on_request(now, asking),
            MessageType::RELEASE => self.on_release(now, &asking),
            MessageType::DECLINE => self.on_decline(now, &asking),
            MessageType::INFORM => self.on_inform(&asking),
            other => self.ignore(Some(asking.client), IgnoreReason::MessageType(other)),
        }
    }

    /// Whether the client or address with this hash may send one more message.
    pub(super) fn allows(&mut self, now: Now, hash: u64) -> bool {
        let is_allowed = self.rate.allows(now.mono, hash);
        if !is_allowed {
            let limit = Limit::ClientMessages;
            *self.counters.limits.entry(limit).or_default() += 1;
        }
        is_allowed
    }

    /// What follows from a message; `None`, with an event, if its link is not one of ours.
    pub(super) fn asking<'a>(
        &mut self,
        message: &'a Message<'a>,
        meta: &'a RecvMeta,
        client: ClientInfo,
        architectures: Vec<ClientArch>,
        stage: Stage,
    ) -> Option<Asking<'a>> {
        let Some((subnet, server_ip)) = self.locate(message, meta) else {
            self.ignore(Some(client), IgnoreReason::NoSubnet);
            return None;
        };
        let relay = message.relay_agent_info();
        let relay = relay.as_deref().map(RelayAgentInfo::new);
        let server_id = relay.and_then(|relay| relay.server_id_override());
        let link = &self.plan.subnets[subnet].link;
        let identities = self.identities(message, &client.key, link);
        let reserved = self.plan.reserved_for(&identities, link);
        Some(Asking {
            message,
            meta,
            client,
            architectures,
            stage,
            subnet,
            server_ip,
            server_id: server_id.unwrap_or(server_ip),
            identities,
            reserved,
        })
    }

    /// The client's subnet and our address towards it.
    ///
    /// The link that a relay or the client names comes first (RFC 3527, RFC 3011), then the
    /// relay's own address, then that of the interface. A client with an address may write from
    /// a network behind a router: then its own address tells. A DISCOVER has none (RFC 2131
    /// table 5), whatever it says.
    fn locate(&self, message: &Message<'_>, meta: &RecvMeta) -> Option<(SubnetIndex, Ipv4Addr)> {
        let local = match meta.local_ip {
            Some(IpAddr::V4(ip)) if !ip.is_unspecified() && !ip.is_broadcast() => Some(ip),
            _ => None,
        };
        let by = |address: Option<Ipv4Addr>| address.and_then(|one| self.plan.subnet_of(one));
        let index = match message.link_selection().or(message.giaddr()) {
            Some(link) => by(Some(link)),
            None if message.message_type() == Some(MessageType::DISCOVER) => by(local),
            None => by(message.ciaddr()).or_else(|| by(local)),
        }?;
        let server_ip = self.plan.subnets.get(index)?.config.server_ip.or(local)?;
        Some((index, server_ip))
    }

    fn on_discover(&mut self, now: Now, asking: &Asking<'_>, payload: &[u8], origin: Origin) {
        if !matches!(origin, Origin::Probed { .. }) && !self.admits(now, asking, None) {
            return;
        }
        let Some(choice) = self.choose(asking) else {
            return self.report_nothing_to_give(asking);
        };
        if !self.hold_offer(now, asking, payload, origin, choice) {
            return;
        }
        let address = choice.address;
        let lease_seconds = self.lease_seconds(asking, address);
        let lease = Some((address, lease_seconds));
        let mut decision = self.decide(asking, Some(address));
        let (reply, next_server) = self.reply(asking, MessageType::OFFER, lease, &mut decision);
        let Some(outgoing) = self.write(asking, &reply, Some(address), false) else {
            return;
        };
        self.counters.offers += 1;
        self.send(outgoing);
        self.event(Event::Offered {
            client: asking.client.clone(),
            address,
            boot: decision.boot,
            next_server,
            explanation: decision.explanation,
        });
    }

    /// RFC 2131 section 4.3.2: the client's state shows in which fields are filled.
    fn on_request(&mut self, now: Now, mut asking: Asking<'_>) {
        let message = asking.message;
        // A Raspberry Pi's REQUEST lacks option 60 (rpi-eeprom issue 82): what its DISCOVER said
        // holds for the whole transaction, or the ACK would lack the boot file.
        if asking.stage == Stage::System
            && let Some(offer) = self.offers.get(&asking.client.key)
            && offer.xid == asking.client.xid
        {
            (asking.stage, asking.architectures) = (offer.stage, offer.architectures.clone());
        }
        if let Some(server) = message.server_id() {
            // SELECTING. Some clients name the server when they renew, too.
            if !self.is_this_server(&asking, server) {
                self.withdraw_offer(&asking.client.key);
                let interface = asking.meta.interface;
                let interface = interface.filter(|_| asking.client.giaddr.is_none());
                self.handle_other_server(now, server, None, interface);
                return self.ignore(Some(asking.client), IgnoreReason::OtherServer(server));
            }
            let Some(address) = message.requested_address().or(message.ciaddr()) else {
                return self.ignore(Some(asking.client), IgnoreReason::NoAddress);
            };
            let has_another = self.has_another(&asking, address);
            if message.ciaddr() == Some(address) && !has_another {
                self.yield_offer(&asking.client.key, address);
            }
            return match self.check_asked(&asking, address) {
                Ok(()) if has_another => self.refuse(&asking, address, NakReason::OtherAddress),
                Ok(()) => self.grant(now, &asking, address),
                Err(reason) => self.refuse(&asking, address, reason),
            };
        }
        // INIT-REBOOT asks with option 50; RENEWING and REBINDING with `ciaddr`.
        let Some(address) = message.ciaddr().or(message.requested_address()) else {
            return self.ignore(Some(asking.client), IgnoreReason::NoAddress);
        };
        let link = &self.plan.subnets[asking.subnet].link;
        let on_link = |one: Ipv4Addr| {
            self.plan
                .subnet_of(one)
                .is_some_and(|index| link.contains(&index))
        };
        if !on_link(address) {
            return self.refuse(&asking, address, NakReason::WrongNetwork);
        }
        let client = &asking.client.key;
        let known = self.leases.of_client(client);
        let is_known = known.contains(&address);
        let is_ours = self.gives(address);
        // A client that has one of our addresses goes on using it, whether our records were lost
        // or not: in silence, its address would be given to another. As dnsmasq's
        // `dhcp-authoritative` and isc-dhcpd do; RFC 2131 section 4.3.2 allows it to the server
        // with authority over the address.
        if is_known || (is_ours && message.ciaddr().is_some()) {
            let client = client.clone();
            if !is_known && self.has_another(&asking, address) {
                return self.refuse(&asking, address, NakReason::OtherAddress);
            }
            self.yield_offer(&client, address);
            return match self.check_asked(&asking, address) {
                Ok(()) => self.grant(now, &asking, address),
                Err(reason) => self.refuse(&asking, address, reason),
            };
        }
        // An address that is not ours may be another server's, unless the client's is ours.
        let has_record = message.ciaddr().is_none()
            && known
                .iter()
                .any(|other| on_link(*other) && (is_ours || self.holds(client, *other)));
        if has_record {
            return self.refuse(&asking, address, NakReason::OtherAddress);
        }
        // "If the DHCP server has no record of this client, then it MUST remain silent."
        self.ignore(Some(asking.client), IgnoreReason::UnknownClient);
    }

    /// Whether a client means this server by this identifier.
    fn is_this_server(&self, asking: &Asking<'_>, server: Ipv4Addr) -> bool {
        server == asking.server_ip || server == asking.server_id || self.plan.is_own(server)
    }

    /// Whether the client holds another address on its link, or is about to, and was not offered
    /// this one: a client that takes address after address would empty the pool.
    fn has_another(&self, asking: &Asking<'_>, address: Ipv4Addr) -> bool {
        let client = &asking.client.key;
        let link = &self.plan.subnets[asking.subnet].link;
        let offer = self.offers.get(client);
        if offer.is_some_and(|offer| offer.address == address) {
            return false;
        }
        let is_another = |other: Ipv4Addr| {
            let index = self.plan.subnet_of(other);
            other != address && index.is_some_and(|index| link.contains(&index))
        };
        let mut known = self.leases.of_client(client).iter();
        let mut granted = self.changes.values().filter(|change| {
            change.record.client == *client && matches!(change.purpose, Purpose::Acknowledge { .. })
        });
        known.any(|other| is_another(*other) && self.holds(client, *other))
            || granted.any(|change| is_another(change.record.address))
    }

    fn grant(&mut self, now: Now, asking: &Asking<'_>, address: Ipv4Addr) {
        if !self.admits(now, asking, Some(address)) {
            return;
        }
        let lease_seconds = self.lease_seconds(asking, address);
        let mut decision = self.decide(asking, Some(address));
        let lease = Some((address, lease_seconds));
        let (reply, next_server) = self.reply(asking, MessageType::ACK, lease, &mut decision);
        let Some(reply) = self.write(asking, &reply, Some(address), false) else {
            return;
        };
        let event = Event::Acknowledged {
            client: asking.client.clone(),
            address,
            lease_seconds,
            boot: decision.boot,
            next_server,
            explanation: decision.explanation,
        };
        self.start_lease(now, asking, address, lease_seconds, reply, event);
    }

    /// Has a lease stored; the reply waits for that.
    pub(super) fn start_lease(
        &mut self,
        now: Now,
        asking: &Asking<'_>,
        address: Ipv4Addr,
        lease_seconds: u32,
        reply: Outgoing,
        event: Event,
    ) {
        let expires = now.wall.saturating_add_seconds(lease_seconds.into());
        let record = self.record(now, asking, address, LeaseState::Bound { expires });
        let lease_time = Duration::from_secs(lease_seconds.into());
        let purpose = Purpose::Acknowledge {
            reply,
            event,
            lease_time,
        };
        self.start_change(&asking.client, Change::new(record, purpose));
    }

    fn refuse(&mut self, asking: &Asking<'_>, address: Ipv4Addr, reason: NakReason) {
        let reply = answer::nak(asking.message, asking.server_id, &reason.to_string());
        let Some(outgoing) = self.write(asking, &reply, None, true) else {
            return;
        };
        self.withdraw_offer(&asking.client.key);
        self.counters.naks += 1;
        self.send(outgoing);
        self.event(Event::Nak {
            client: asking.client.clone(),
            address,
            reason,
        });
    }

    fn on_release(&mut self, now: Now, asking: &Asking<'_>) {
        let client = asking.client.clone();
        if let Some(server) = asking.message.server_id()
            && !self.is_this_server(asking, server)
        {
            return self.ignore(Some(client), IgnoreReason::OtherServer(server));
        }
        let Some(address) = asking.message.ciaddr() else {
            return self.ignore(Some(client), IgnoreReason::NoAddress);
        };
        if !self.holds(&client.key, address) {
            return self.ignore(Some(client), IgnoreReason::NotHolder);
        }
        let record = self.record(now, asking, address, LeaseState::Released { at: now.wall });
        let purpose = Purpose::Release {
            client: client.clone(),
        };
        self.start_change(&client, Change::new(record, purpose));
    }

    fn on_decline(&mut self, now: Now, asking: &Asking<'_>) {
        let client = asking.client.clone();
        if let Some(server) = asking.message.server_id()
            && !self.is_this_server(asking, server)
        {
            return self.ignore(Some(client), IgnoreReason::OtherServer(server));
        }
        let Some(address) = asking.message.requested_address() else {
            return self.ignore(Some(client), IgnoreReason::NoAddress);
        };
        // Only who was given an address can know that it is in use.
        if !self.holds(&client.key, address) {
            return self.ignore(Some(client), IgnoreReason::NotHolder);
        }
        let record = self.declined(now, &client, address);
        let event = Event::Declined {
            client: client.clone(),
            address,
        };
        self.start_change(&client, Change::new(record, Purpose::Quarantine { event }));
    }

    /// RFC 2131 section 4.3.5: options, but no address and no lease time.
    fn on_inform(&mut self, asking: &Asking<'_>) {
        let client = asking.client.clone();
        let sender = match asking.meta.remote.ip() {
            IpAddr::V4(ip) if client.giaddr.is_none() && !ip.is_unspecified() => Some(ip),
            _ => None,
        };
        let Some(address) = asking.message.ciaddr().or(sender) else {
            return self.ignore(Some(client), IgnoreReason::NoAddress);
        };
        // Forgers could have us write to anybody; and to a network that we do not know there is
        // nothing to tell.
        if client.giaddr.is_none() && self.plan.subnet_of(address).is_none() {
            return self.ignore(Some(client), IgnoreReason::NoSubnet);
        }
        let mut decision = self.decide(asking, Some(address));
        let (reply, _) = self.reply(asking, MessageType::ACK, None, &mut decision);
        let Some(outgoing) = self.write(asking, &reply, None, false) else {
            return;
        };
        self.counters.acks += 1;
        self.send(outgoing);
        self.event(Event::Informed {
            client,
            address,
            boot: decision.boot,
        });
    }

    pub(super) fn withdraw_offer(&mut self, client: &ClientKey) {
        if let Some(offer) = self.offers.remove(client) {
            self.mark(offer.address);
        }
    }

    /// What the client asks for, within the bounds of its subnet, classes and reservation.
    fn lease_seconds(&self, asking: &Asking<'_>, address: Ipv4Addr) -> u32 {
        let index = self.plan.subnet_of(address).unwrap_or(asking.subnet);
        let mut bounds = LeaseBounds::of(&self.plan.subnets[index].config);
        for class in self.classes(asking, Some(address)).iter().rev() {
            bounds.narrow(&class.lease);
        }
        if let Some(reservation) = self.reservation(asking) {
            bounds.narrow(&reservation.lease);
        }
        bounds.seconds(asking.message.lease_seconds())
    }

    pub(super) fn reservation(&self, asking: &Asking<'_>) -> Option<&Reservation> {
        self.plan.reservation(asking.reserved?)
    }

    pub(super) fn ignore(&mut self, client: Option<ClientInfo>, reason: IgnoreReason) {
        self.counters.ignored += 1;
        self.event(Event::Ignored { client, reason });
    }

    fn report(
        &mut self,
        message: &Message<'_>,
        message_type: MessageType,
        client: &ClientInfo,
        stage: Stage,
        architectures: &[ClientArch],
    ) {
        let owned = |data: Option<std::borrow::Cow<'_, [u8]>>| data.map(|data| data.into_owned());
        self.event(Event::Received {
            client: client.clone(),
            message_type,
            stage,
            arch: architectures.first().copied(),
            vendor_class: owned(message.vendor_class()),
            user_class: message.user_classes().iter().next().map(<[u8]>::to_vec),
            uuid: message.machine_uuid(),
            host_name: owned(message.host_name()),
            address: message.ciaddr().or(message.requested_address()),
        });
    }
}

/// Option 93, or what option 60 says where 93 is missing or malformed (bootimus issue 118). A
/// PXEClient that says neither is a BIOS. A Raspberry Pi's boot ROM says that it is one, too.
fn architectures_of(message: &Message<'_>) -> Vec<ClientArch> {
    if raspberry_pi::is_boot_rom(message) {
        return vec![ClientArch::ARM_RPIBOOT];
    }
    let mut architectures = message.architectures();
    // They are kept with an offer, too.
    architectures.truncate(NAMED_MAX);
    if !architectures.is_empty() {
        return architectures;
    }
    match message.vendor_class() {
        Some(class) if class.starts_with(b"PXEClient") => {
            vec![ClientArch::from_vendor_class(&class).unwrap_or(ClientArch::X86_BIOS)]
        }
        Some(class) => ClientArch::from_vendor_class(&class).into_iter().collect(),
        None => Vec::new(),
    }
}

fn stage_of(message: &Message<'_>, architectures: &[ClientArch]) -> Stage {
    let vendor_class = message.vendor_class();
    let user_classes = message.user_classes();
    let user_classes: Vec<&[u8]> = user_classes.iter().take(NAMED_MAX).collect();
    let has_ipxe_features = message.ipxe_features().is_some();
    Stage::of(
        architectures,
        vendor_class.as_deref(),
        &user_classes,
        has_ipxe_features,
    )
}
