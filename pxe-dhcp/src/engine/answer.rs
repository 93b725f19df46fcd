//! What a reply says.

use core::net::Ipv4Addr;
use std::borrow::Cow;

use crate::wire::{
    BROADCAST_FLAG, Header, MESSAGE_BYTES_MIN, Message, MessageType, OptionCode, Priority, Reply,
    UDP_IP_HEADER_BYTES, option_wire_len,
};
use crate::{Boot, BootDecision, Class, DhcpOption, Reservation, Stage, Subnet};

/// The length that every client takes: 576, an IP datagram's (RFC 2131 section 2).
const CLIENT_BYTES_MIN: u16 = 576;

/// An OFFER, an ACK or a BOOTREPLY, in parts.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// OFFER or ACK; `None` is the BOOTREPLY of plain BOOTP.
    pub(super) message_type: Option<MessageType>,
    pub(super) request: &'a Message<'a>,
    pub(super) stage: Stage,
    pub(super) server_ip: Ipv4Addr,
    pub(super) server_id: Ipv4Addr,
    /// The address and its lease time in seconds; `None` in the answer to INFORM.
    pub(super) lease: Option<(Ipv4Addr, u32)>,
    pub(super) subnet: &'a Subnet,
    pub(super) reservation: Option<&'a Reservation>,
    /// Those that the client is of.
    pub(super) classes: Vec<&'a Class>,
    /// Those of the whole server.
    pub(super) options: &'a [DhcpOption],
    pub(super) decision: &'a BootDecision,
}

impl Answer<'_> {
    /// The reply.
    pub(super) fn reply(&self) -> Reply {
        let mut header = header_of(self.request);
        if !self.is_denied() {
            header.siaddr = self.next_server();
        }
        if let Some((address, _)) = self.lease {
            header.yiaddr = address;
        }
        if self.message_type != Some(MessageType::OFFER) {
            header.ciaddr = self.request.ciaddr().unwrap_or(Ipv4Addr::UNSPECIFIED);
        }
        let mut reply = Reply::new(header);
        let Some(message_type) = self.message_type else {
            self.push_bootp(&mut reply);
            return reply;
        };
        push_type(&mut reply, message_type, self.server_id);
        if let Some((_, seconds)) = self.lease {
            let mut push = |code, seconds: u32, priority| {
                reply.push(code, seconds.to_be_bytes(), priority);
            };
            push(OptionCode::LEASE_TIME, seconds, Priority::Required);
            let (t1, t2) = self.renewal_seconds(seconds);
            push(OptionCode::RENEWAL_TIME, t1, Priority::Requested);
            push(OptionCode::REBINDING_TIME, t2, Priority::Requested);
        }
        let mask = self.subnet.network.mask().octets();
        reply.push(OptionCode::SUBNET_MASK, mask, Priority::Required);
        self.push_boot(&mut reply);
        for code in [OptionCode::CLIENT_MACHINE_ID, OptionCode::CLIENT_ID] {
            push_echo(&mut reply, self.request, code);
        }
        self.push_client_name(&mut reply);
        self.push_options(&mut reply);
        // Asked for or not (RFC 3011 section 2); but what is no address selected nothing.
        let code = OptionCode::SUBNET_SELECTION;
        let selection = self.request.option(code);
        if let Some(selection) = selection.filter(|data| code.takes_len(data.len())) {
            reply.push(code, selection, Priority::Required);
        }
        push_echo(&mut reply, self.request, OptionCode::RELAY_AGENT_INFO);
        reply
    }

    /// Option 81, for whoever sent it and gets a lease, asked for or not (RFC 4702 section 4):
    /// what is not leased has no name here.
    fn push_client_name(&self, reply: &mut Reply) {
        let names = self
            .subnet
            .client_names
            .as_ref()
            .filter(|_| self.lease.is_some());
        let own = self.reservation;
        let own = own.and_then(|one| one.dns_name.as_deref().or(one.host_name.as_deref()));
        let answer = names.and_then(|names| names.answer(self.request, own));
        if let Some(answer) = answer.filter(|_| !reply.has(OptionCode::CLIENT_FQDN)) {
            reply.push(OptionCode::CLIENT_FQDN, answer, Priority::Requested);
        }
    }

    /// Plain BOOTP knows no DHCP options (RFC 1534 section 2), its names have their fields, and what
    /// does not fit is left out.
    fn push_bootp(&self, reply: &mut Reply) {
        let requested = Priority::Requested;
        let mask = self.subnet.network.mask().octets();
        reply.push(OptionCode::SUBNET_MASK, mask, requested);
        if let Some(file) = file_of(&self.decision.boot) {
            let server_name = self.decision.server_name.as_deref();
            reply.set_sname(server_name.unwrap_or_default().as_bytes());
            reply.set_file(file.as_bytes());
        }
        if !self.is_denied() {
            let decided = self.decision.options.iter();
            for option in decided.filter(|option| !is_engines(option.code)) {
                reply.push(option.code, &option.data, requested);
            }
        }
        self.push_options(reply);
        push_echo(reply, self.request, OptionCode::RELAY_AGENT_INFO);
    }

    /// The boot server: an operating system is told too, as its initramfs may take it for the
    /// server of its root file system, and the router for it if nothing is said
    /// (netbootxyz/netboot.xyz issue 1474).
    pub(super) fn next_server(&self) -> Ipv4Addr {
        self.decision.next_server.unwrap_or(self.server_ip)
    }

    fn is_denied(&self) -> bool {
        self.decision.boot == Boot::Denied
    }

    /// T1 and T2 of a lease, in seconds: the subnet's if they fit into it, else a half and 7/8
    /// (RFC 2131 section 4.4.5).
    fn renewal_seconds(&self, lease: u32) -> (u32, u32) {
        // In 64 bits, as 7 times overflows.
        let t2_default = (u64::from(lease) * 7 / 8) as u32;
        let t2 = self.subnet.t2_seconds.filter(|t2| *t2 < lease);
        let t2 = t2.unwrap_or(t2_default);
        let t1 = self.subnet.t1_seconds.filter(|t1| *t1 < t2);
        (t1.unwrap_or(lease / 2).min(t2), t2)
    }

    fn push_boot(&self, reply: &mut Reply) {
        if self.is_denied() {
            return;
        }
        let boot = &self.decision.boot;
        if let Boot::Menu(menu) = boot {
            // Without 60 EDK2 does not look at 43 (`PxeBcParseDhcp4Packet`).
            reply.push(OptionCode::VENDOR_CLASS, b"PXEClient", Priority::Required);
            let menu = menu.vendor_options(self.server_ip);
            reply.push(OptionCode::VENDOR_SPECIFIC, menu, Priority::Required);
        }
        if let Some(file) = file_of(boot) {
            if self.stage == Stage::Http {
                // EDK2 takes only offers whose vendor class begins so (HttpBootParseDhcp4Packet).
                reply.push(OptionCode::VENDOR_CLASS, b"HTTPClient", Priority::Required);
            }
            push_file(reply, self.decision, self.next_server(), &file);
            if self.stage == Stage::Ipxe {
                // no-pxedhcp: iPXE need not wait for a proxyDHCP server (its net/udp/dhcp.c).
                reply.push(OptionCode::IPXE, [0xb0, 1, 1], Priority::Required);
            }
        }
        push_decided(reply, self.decision);
    }

    /// Options of the configuration: those that the client asks for, in its order (RFC 2132
    /// section 9.8), then those that are sent anyway. Of each code the first counts: the
    /// reservation's, then the classes', the subnet's, the server's; but it is sent unasked if any
    /// of them says so.
    fn push_options(&self, reply: &mut Reply) {
        let network = self.subnet.network;
        let broadcast = (network.prefix() < 31)
            .then(|| DhcpOption::addresses(OptionCode::BROADCAST_ADDRESS, &[network.broadcast()]));
        let host_name = self
            .reservation
            .and_then(|reservation| reservation.host_name.as_ref());
        let host_name = host_name.map(|name| DhcpOption::new(OptionCode::HOST_NAME, name));
        let reserved = self.reservation.map(|reservation| &reservation.options);
        let classes = self.classes.iter().map(|class| &class.options);
        let levels = reserved.into_iter().chain(classes);
        let known = levels
            .flatten()
            .chain(&host_name)
            .chain(&self.subnet.options)
            .chain(self.options)
            .chain(&broadcast);
        let asked = self.request.parameter_request_list();
        let asked_at = |code: OptionCode| match &asked {
            Some(codes) => codes.iter().position(|asked| *asked == code.0),
            // A client without a list is told all there is.
            None => Some(0),
        };
        // Each code's first value, and its place: `None` is not sent, the last is sent unasked.
        let mut chosen: Vec<(Option<usize>, &DhcpOption)> = Vec::new();
        for option in known {
            let code = option.code;
            if is_engines(code) || (self.is_denied() && is_about_booting(code, self.stage)) {
                continue;
            }
            let unasked = option.is_forced.then_some(usize::MAX);
            match chosen.iter_mut().find(|(_, other)| other.code == code) {
                Some((place, _)) => *place = place.or(unasked),
                None if reply.has(code) => {}
                None => chosen.push((asked_at(code).or(unasked), option)),
            }
        }
        chosen.sort_by_key(|(position, _)| *position);
        for (place, option) in chosen {
            // The mistake of a configuration must not make the whole reply malformed.
            let is_value = !option.data.is_empty() || option.code.takes_len(0);
            if place.is_some() && is_value {
                let priority = match is_about_booting(option.code, self.stage) {
                    true => Priority::Boot,
                    false => Priority::Requested,
                };
                reply.push(option.code, &option.data, priority);
            }
        }
    }
}

/// A NAK with its reason in words (RFC 2131 table 3).
pub(super) fn nak(request: &Message<'_>, server_ip: Ipv4Addr, reason: &str) -> Reply {
    let mut header = header_of(request);
    if request.giaddr().is_some() {
        // So that the relay broadcasts it (RFC 2131 section 4.3.2).
        header.flags |= BROADCAST_FLAG;
    }
    let mut reply = Reply::new(header);
    push_type(&mut reply, MessageType::NAK, server_ip);
    reply.push(OptionCode::MESSAGE, reason, Priority::Extra);
    push_echo(&mut reply, request, OptionCode::CLIENT_ID);
    push_echo(&mut reply, request, OptionCode::RELAY_AGENT_INFO);
    reply
}

/// The longest reply that a client takes, in bytes.
///
/// Option 57 counts the IP and UDP headers, and is never believed below 576; a client without it
/// takes 576. A client that speaks plain BOOTP takes what BOOTP has, 300, or what it sent; what its
/// relay added, the relay takes out again.
pub(super) fn limit(request: &Message<'_>, message_bytes_max: usize) -> usize {
    if request.message_type().is_none() {
        let relays = request.relay_agent_info();
        let relays = relays.map_or(0, |info| option_wire_len(info.len()));
        let client = request.wire_len().saturating_sub(relays);
        let client = client.max(MESSAGE_BYTES_MIN);
        return (client + relays).min(message_bytes_max);
    }
    let client = request
        .max_message_size()
        .unwrap_or(CLIENT_BYTES_MIN)
        .max(CLIENT_BYTES_MIN);
    (usize::from(client) - UDP_IP_HEADER_BYTES).min(message_bytes_max)
}

/// What goes into option 67; of a menu, its first item's file, for a client that shows none
/// although it should.
pub(super) fn file_of(boot: &Boot) -> Option<Cow<'_, str>> {
    match boot {
        Boot::File(file) | Boot::Url(file) => Some(Cow::Borrowed(file)),
        Boot::Menu(menu) => menu.first()?.file(0),
        Boot::Nothing | Boot::Denied => None,
    }
}

/// The boot server's name and the boot file's.
pub(super) fn push_file(
    reply: &mut Reply,
    decision: &BootDecision,
    next_server: Ipv4Addr,
    file: &str,
) {
    let server_name = match &decision.server_name {
        Some(name) => name.clone(),
        None => next_server.to_string(),
    };
    // The fields too, and never overloaded: some firmware reads only one of the two.
    reply.set_sname(server_name.as_bytes());
    reply.set_file(file.as_bytes());
    let priority = match decision.boot {
        // Beside a menu, which may need all the room, they are for the few that show none.
        Boot::Menu(_) => Priority::Extra,
        _ => Priority::Required,
    };
    reply.push_text(
        OptionCode::TFTP_SERVER_NAME,
        server_name.as_bytes(),
        priority,
    );
    reply.push_text(OptionCode::BOOT_FILE_NAME, file.as_bytes(), priority);
}

/// The options that the policy decided on.
pub(super) fn push_decided(reply: &mut Reply, decision: &BootDecision) {
    for option in &decision.options {
        if !is_engines(option.code) {
            reply.push(option.code, &option.data, Priority::Required);
        }
    }
}

pub(super) fn header_of(request: &Message<'_>) -> Header {
    let mut header = Header::reply();
    header.htype = request.htype();
    header.hlen = request.hlen();
    header.xid = request.xid();
    // The flags are mirrored, through relays too (pyke369/pdhcp issue 3).
    header.flags = request.flags();
    header.giaddr = request.giaddr().unwrap_or(Ipv4Addr::UNSPECIFIED);
    header.chaddr = request.chaddr_field();
    header
}

pub(super) fn push_type(reply: &mut Reply, message_type: MessageType, server_ip: Ipv4Addr) {
    reply.push(
        OptionCode::MESSAGE_TYPE,
        [message_type.0],
        Priority::Required,
    );
    reply.push(
        OptionCode::SERVER_ID,
        server_ip.octets(),
        Priority::Required,
    );
}

/// Repeats an option of the request: 61 (RFC 6842), 82 (RFC 3046 section 2.2), 97 (RFC 4578
/// section 2.3), whatever its value: a Raspberry Pi's UUID is too short, and wants to be seen
/// again. Only an option without a value is not repeated.
pub(super) fn push_echo(reply: &mut Reply, request: &Message<'_>, code: OptionCode) {
    if let Some(data) = request.option(code).filter(|data| !data.is_empty()) {
        reply.push(code, data, Priority::Required);
    }
}

/// Options that a configuration or policy cannot set: the engine's, and those that no server sends
/// (RFC 2131 table 3).
fn is_engines(code: OptionCode) -> bool {
    matches!(
        code,
        OptionCode::PAD
            | OptionCode::SUBNET_MASK
            | OptionCode::REQUESTED_ADDRESS
            | OptionCode::LEASE_TIME
            | OptionCode::OVERLOAD
            | OptionCode::MESSAGE_TYPE
            | OptionCode::SERVER_ID
            | OptionCode::PARAMETER_REQUEST_LIST
            | OptionCode::MAX_MESSAGE_SIZE
            | OptionCode::RENEWAL_TIME
            | OptionCode::REBINDING_TIME
            | OptionCode::CLIENT_ID
            | OptionCode::RELAY_AGENT_INFO
            | OptionCode::END
    )
}

/// Options that tell a client what to boot or from where: not for one that is denied its boot, and
/// the last to be left out for others.
/// Of option 43, an operating system may have another use than firmware (PXE 2.1 section 2.4).
fn is_about_booting(code: OptionCode, stage: Stage) -> bool {
    const BOOT_FILE_SIZE: OptionCode = OptionCode(13);
    const ROOT_PATH: OptionCode = OptionCode(17);
    const TFTP_SERVER_ADDRESS: OptionCode = OptionCode(150);
    match code {
        BOOT_FILE_SIZE | ROOT_PATH | TFTP_SERVER_ADDRESS => true,
        OptionCode::TFTP_SERVER_NAME | OptionCode::BOOT_FILE_NAME | OptionCode::IPXE => true,
        OptionCode::PXELINUX_MAGIC | OptionCode::CONFIG_FILE => true,
        OptionCode::PATH_PREFIX | OptionCode::REBOOT_TIME => true,
        OptionCode::VENDOR_SPECIFIC => stage != Stage::System,
        _ => false,
    }
}
