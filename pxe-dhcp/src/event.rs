//! What an engine tells about itself and its clients.

use core::fmt;
use core::net::Ipv4Addr;

use pxe_core::{Destination, IfIndex, MacAddr, SendFailure};

use crate::wire::{MachineUuid, MessageType, OptionCode};
use crate::{Boot, ClientArch, ClientKey, Explanation, Ipv4Net, Stage};

/// Who a message came from, as far as it says; part of most events.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// By what the client is known.
    pub key: ClientKey,
    /// Its transaction's number.
    pub xid: u32,
    /// The relay that the message came through.
    pub giaddr: Option<Ipv4Addr>,
}

impl ClientInfo {
    /// A client that was not relayed, in this transaction.
    pub fn new(key: impl Into<ClientKey>, xid: u32) -> Self {
        Self {
            key: key.into(),
            xid,
            giaddr: None,
        }
    }

    /// Its MAC, if it is known by that.
    pub const fn mac(&self) -> Option<MacAddr> {
        self.key.mac()
    }
}

impl fmt::Display for ClientInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)?;
        match self.giaddr {
            Some(giaddr) => write!(f, " via {giaddr}"),
            None => Ok(()),
        }
    }
}

/// Something that happened. A peer's faults are events, never errors.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A client's message was understood; what it leads to follows as further events.
    Received {
        /// Who sent it.
        client: ClientInfo,
        /// DISCOVER, REQUEST, RELEASE, DECLINE or INFORM.
        message_type: MessageType,
        /// At which step of its boot the client is.
        stage: Stage,
        /// Its first architecture.
        arch: Option<ClientArch>,
        /// Its vendor class.
        vendor_class: Option<Vec<u8>>,
        /// Its first user class.
        user_class: Option<Vec<u8>>,
        /// Its UUID.
        uuid: Option<MachineUuid>,
        /// Its host name.
        host_name: Option<Vec<u8>>,
        /// The address it asks for, or has.
        address: Option<Ipv4Addr>,
    },
    /// An address was offered.
    Offered {
        /// To whom.
        client: ClientInfo,
        /// The address.
        address: Ipv4Addr,
        /// What it was told to boot.
        boot: Boot,
        /// The boot server that it was told.
        next_server: Ipv4Addr,
        /// Why.
        explanation: Explanation,
    },
    /// A lease was given or extended: it is in the store, and the ACK is on its way. So too for
    /// a client that speaks plain BOOTP, which gets a BOOTREPLY.
    Acknowledged {
        /// To whom.
        client: ClientInfo,
        /// The address.
        address: Ipv4Addr,
        /// For how long, in seconds.
        lease_seconds: u32,
        /// What it was told to boot.
        boot: Boot,
        /// The boot server that it was told.
        next_server: Ipv4Addr,
        /// Why.
        explanation: Explanation,
    },
    /// A client that has an address was told options (answer to INFORM).
    Informed {
        /// Who.
        client: ClientInfo,
        /// Its address.
        address: Ipv4Addr,
        /// What it was told to boot.
        boot: Boot,
    },
    /// A client was told what to boot, and that another server gives addresses
    /// ([`Mode::Proxy`](crate::Mode::Proxy)).
    ProxyOffered {
        /// Who.
        client: ClientInfo,
        /// What it was told to boot. UEFI firmware is told by
        /// [`BootServerAcknowledged`](Self::BootServerAcknowledged), when it asks at port 4011.
        boot: Boot,
        /// The boot server that it was told.
        next_server: Ipv4Addr,
        /// Why.
        explanation: Explanation,
    },
    /// A client that has an address asked a boot server, at port 4011 mostly, and was told what to
    /// boot.
    BootServerAcknowledged {
        /// Who.
        client: ClientInfo,
        /// Its address, if it says it.
        address: Option<Ipv4Addr>,
        /// The item of a [`BootMenu`](crate::BootMenu) that it asked for.
        item_type: Option<u16>,
        /// What it was told to boot.
        boot: Boot,
        /// The boot server that it was told.
        next_server: Ipv4Addr,
        /// Why.
        explanation: Explanation,
    },
    /// A client that wants to boot was left without an answer, as there is nothing for it to boot
    /// and it gets its address from another server.
    NotBooted {
        /// Who.
        client: ClientInfo,
        /// [`Boot::Nothing`] or [`Boot::Denied`].
        boot: Boot,
        /// Why.
        explanation: Explanation,
    },
    /// A client takes an address from another server, as its broadcast REQUEST tells. Not in
    /// [`Mode::Authoritative`](crate::Mode::Authoritative).
    LeasedByOther {
        /// Who.
        client: ClientInfo,
        /// The address.
        address: Ipv4Addr,
        /// The other server, if the client names it.
        server: Option<Ipv4Addr>,
    },
    /// A REQUEST was refused: the client has to start over.
    Nak {
        /// Who.
        client: ClientInfo,
        /// What it asked for.
        address: Ipv4Addr,
        /// Why it cannot have it.
        reason: NakReason,
    },
    /// A message was left without an answer.
    Ignored {
        /// Who sent it, if it says.
        client: Option<ClientInfo>,
        /// Why.
        reason: IgnoreReason,
    },
    /// A client gave its address back.
    Released {
        /// Who.
        client: ClientInfo,
        /// The address.
        address: Ipv4Addr,
    },
    /// The operator freed an address: see [`Engine::withdraw`](crate::Engine::withdraw).
    Withdrawn {
        /// Whose it was.
        client: ClientKey,
        /// The address.
        address: Ipv4Addr,
    },
    /// A client found its address in use: the address is in quarantine.
    Declined {
        /// Who.
        client: ClientInfo,
        /// The address.
        address: Ipv4Addr,
    },
    /// A probe found an address in use: it is in quarantine.
    AddressInUse {
        /// The address.
        address: Ipv4Addr,
    },
    /// A lease ran out.
    Expired {
        /// Whose it was.
        client: ClientKey,
        /// The address.
        address: Ipv4Addr,
    },
    /// No address of the subnet is left for a client.
    PoolExhausted {
        /// Who asked.
        client: ClientInfo,
        /// Where.
        subnet: Ipv4Net,
    },
    /// A reserved address is held by another client, which keeps it until its lease ends.
    ReservationHeld {
        /// For whom it is reserved.
        client: ClientInfo,
        /// The address.
        address: Ipv4Addr,
        /// Who holds it.
        holder: ClientKey,
    },
    /// An option made no sense and was passed over; the rest of the message was used.
    MalformedOption {
        /// Who sent it, if it says.
        client: Option<ClientInfo>,
        /// The option.
        code: OptionCode,
    },
    /// Options were left out of a reply that would have exceeded the client's limit.
    OptionsDropped {
        /// To whom the reply goes.
        client: ClientInfo,
        /// The options, in the order in which they were left out.
        codes: Vec<OptionCode>,
        /// The limit in bytes.
        limit: usize,
    },
    /// A reply did not fit into the client's limit even without all that can be left out.
    ReplyTooLong {
        /// Who gets no reply.
        client: ClientInfo,
        /// The limit in bytes.
        limit: usize,
    },
    /// The store refused a lease; the client got no ACK and will ask again.
    CommitRefused {
        /// The address.
        address: Ipv4Addr,
        /// Why.
        reason: String,
        /// Whether another server had changed the record.
        is_conflict: bool,
    },
    /// What other servers changed in the store cannot be read; it is tried again.
    StoreUnreadable {
        /// Why.
        reason: String,
    },
    /// Another DHCP server answers on a link: which of the two a client believes is chance. Told
    /// again only after a while.
    OtherServer {
        /// Its server identifier (option 54).
        address: Ipv4Addr,
        /// Its hardware address, if it was heard itself.
        mac: Option<MacAddr>,
        /// The link.
        interface: Option<IfIndex>,
    },
    /// No other DHCP server answers on a link, where this one gives no addresses: nothing can boot
    /// there. From the driver.
    NoOtherServer {
        /// The interface.
        interface: String,
    },
    /// Other DHCP servers cannot be looked for. From the driver.
    SearchFailed {
        /// On which interface.
        interface: String,
        /// Why.
        reason: String,
    },
    /// Frames cannot be sent: clients without an address are answered by broadcast, and addresses
    /// on the link are not probed before they are offered. From the driver.
    LinkLayerUnavailable {
        /// Why.
        reason: String,
    },
    /// ICMP cannot be sent: addresses behind relays are not probed before they are offered. From
    /// the driver.
    PingUnavailable {
        /// Why.
        reason: String,
    },
    /// An interface is gone, and so are its clients. From the driver.
    InterfaceLost {
        /// Its name.
        interface: String,
    },
    /// An interface came back and is served again. From the driver.
    InterfaceServed {
        /// Its name.
        interface: String,
    },
    /// An interface came back and cannot be served: the server has to be started again. From the
    /// driver.
    InterfaceUnserved {
        /// Its name.
        interface: String,
        /// Why.
        reason: String,
    },
    /// Changes of this host's addresses cannot be followed. From the driver.
    ChangesUnseen {
        /// Why.
        reason: String,
    },
    /// This host has other addresses now. From the driver.
    OwnAddresses {
        /// All of them.
        addresses: Vec<Ipv4Addr>,
    },
    /// A reply could not be sent.
    SendFailed {
        /// Where to.
        to: Destination,
        /// Why.
        failure: SendFailure,
    },
    /// A bound of [`Limits`](crate::Limits) was reached.
    LimitReached {
        /// Which.
        limit: Limit,
    },
}

impl Event {
    /// The bound that was reached, if one was: of [`LimitReached`](Self::LimitReached), and of
    /// [`Ignored`](Self::Ignored) where a bound is the reason. To count them by.
    pub const fn limit(&self) -> Option<Limit> {
        match self {
            Self::LimitReached { limit }
            | Self::Ignored {
                reason: IgnoreReason::Limit(limit),
                ..
            } => Some(*limit),
            Self::Ignored {
                reason: IgnoreReason::RateLimit,
                ..
            } => Some(Limit::ClientMessages),
            Self::Ignored {
                reason: IgnoreReason::TooLong,
                ..
            } => Some(Limit::DatagramBytes),
            _ => None,
        }
    }
}

/// Why a REQUEST was refused (RFC 2131 section 4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NakReason {
    /// The address belongs to another network than the one that the client is on.
    WrongNetwork,
    /// The address is another client's.
    HeldByOther,
    /// The client has another address here.
    OtherAddress,
    /// No pool or reservation gives this address to this client.
    NotAvailable,
}

impl fmt::Display for NakReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongNetwork => "address is of another network",
            Self::HeldByOther => "address is another client's",
            Self::OtherAddress => "client has another address here",
            Self::NotAvailable => "address is in no pool and not reserved for this client",
        })
    }
}

/// Why a message was left without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IgnoreReason {
    /// It is no DHCP message.
    NotDhcp,
    /// It is longer than [`Limits::datagram_bytes_max`](crate::Limits::datagram_bytes_max).
    TooLong,
    /// It is a server's.
    FromServer,
    /// It is plain BOOTP, without a message type, and the subnet does not serve this client by it
    /// ([`Subnet::bootp`](crate::Subnet::bootp)).
    Bootp,
    /// Its type is one that this server does not answer.
    MessageType(MessageType),
    /// It names no client: neither a hardware address nor an identifier.
    NoClient,
    /// It came from a link that no subnet of the configuration is on, or is about an address of
    /// none.
    NoSubnet,
    /// It names another server; what we offered is free again.
    OtherServer(Ipv4Addr),
    /// It lacks the address that it is about.
    NoAddress,
    /// We have no record of this client, or the address is another server's to give: we must stay
    /// silent (RFC 2131 section 4.3.2).
    UnknownClient,
    /// It is about an address that this client does not have.
    NotHolder,
    /// The same change is on its way to the store; its answer is this message's too.
    InProgress,
    /// The client sends more than [`Limits::client_burst`](crate::Limits::client_burst) allows.
    RateLimit,
    /// It is about an address, and this server gives none ([`Mode`](crate::Mode)).
    NotLeasing(MessageType),
    /// It comes from an operating system, and this server has nothing to tell but what to boot.
    NothingToBoot,
    /// It asks for an item that the client's menu does not have.
    UnknownItem(u16),
    /// It asks for the signature of a boot file (Boot Integrity Services), and there is none.
    Credentials,
    /// It was sent to port 4011 from another address than the one that it claims: an answer could
    /// go to somebody who did not ask.
    OtherSender,
    /// A limit that holds for clients that are not known yet.
    Limit(Limit),
    /// No address is given to clients without a reservation here
    /// ([`Subnet::known_clients_only`](crate::Subnet::known_clients_only)).
    NotReserved,
    /// There is nowhere to send an answer to: no relay, no address, and no known interface.
    NoRoute,
}

impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDhcp => f.write_str("no DHCP message"),
            Self::TooLong => f.write_str("message is too long"),
            Self::FromServer => f.write_str("message is a server's"),
            Self::Bootp => {
                f.write_str("client speaks plain BOOTP, and no address is reserved for it")
            }
            Self::MessageType(message_type) => write!(f, "{message_type} is not answered"),
            Self::NoClient => f.write_str("message names no client"),
            Self::NoSubnet => f.write_str("no subnet is configured for its link"),
            Self::OtherServer(server) => write!(f, "client speaks to the server {server}"),
            Self::NoAddress => f.write_str("message lacks its address"),
            Self::UnknownClient => f.write_str("client is not known here"),
            Self::NotHolder => f.write_str("client does not have this address"),
            Self::InProgress => f.write_str("the answer is on its way"),
            Self::RateLimit => f.write_str("client sends too much"),
            Self::NotLeasing(message_type) => {
                write!(f, "{message_type} is for the server that gives addresses")
            }
            Self::NothingToBoot => f.write_str("client does not boot from the network"),
            Self::UnknownItem(item_type) => write!(f, "its menu has no item {item_type}"),
            Self::Credentials => f.write_str("boot files have no signatures here"),
            Self::OtherSender => f.write_str("sender has another address than it says"),
            Self::Limit(limit) => write!(f, "new clients have to wait: {limit}"),
            Self::NotReserved => f.write_str("nothing is reserved for this client"),
            Self::NoRoute => f.write_str("there is no way to answer"),
        }
    }
}

/// A bound of [`Limits`](crate::Limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::datagram_bytes_max`](crate::Limits::datagram_bytes_max): a message was left
    /// without an answer.
    DatagramBytes,
    /// [`Limits::offers_max`](crate::Limits::offers_max): the oldest offer was given up.
    Offers,
    /// [`Limits::leases_max`](crate::Limits::leases_max): no new client gets a lease.
    Leases,
    /// [`Limits::commits_max`](crate::Limits::commits_max): a message was left without an answer.
    Commits,
    /// [`Limits::probes_max`](crate::Limits::probes_max): an address was offered without a probe,
    /// or not offered.
    Probes,
    /// [`Limits::probes_per_client_max`](crate::Limits::probes_per_client_max): a DISCOVER was left
    /// without an answer.
    ClientProbes,
    /// [`Limits::other_servers_max`](crate::Limits::other_servers_max): another DHCP server was not
    /// told of.
    OtherServers,
    /// [`Limits::transmits_max`](crate::Limits::transmits_max): a reply was not sent.
    Transmits,
    /// [`Limits::events_max`](crate::Limits::events_max): events were lost.
    Events,
    /// [`Limits::quarantined_max`](crate::Limits::quarantined_max): the oldest address in
    /// quarantine came free early.
    Quarantined,
    /// [`Limits::client_burst`](crate::Limits::client_burst): a client's message was left without
    /// an answer.
    ClientMessages,
    /// [`Limits::new_clients_burst`](crate::Limits::new_clients_burst): a new client was left
    /// without an answer, and so in the three below.
    NewClients,
    /// [`Limits::offers_per_port_max`](crate::Limits::offers_per_port_max).
    PortOffers,
    /// [`Limits::leases_per_port_max`](crate::Limits::leases_per_port_max).
    PortLeases,
    /// [`Limits::leases_per_oui_max`](crate::Limits::leases_per_oui_max).
    OuiLeases,
}

impl Limit {
    /// The name of its field in [`Limits`](crate::Limits).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DatagramBytes => "datagram_bytes_max",
            Self::Offers => "offers_max",
            Self::Leases => "leases_max",
            Self::Commits => "commits_max",
            Self::Probes => "probes_max",
            Self::ClientProbes => "probes_per_client_max",
            Self::OtherServers => "other_servers_max",
            Self::Transmits => "transmits_max",
            Self::Events => "events_max",
            Self::Quarantined => "quarantined_max",
            Self::ClientMessages => "client_burst",
            Self::NewClients => "new_clients_burst",
            Self::PortOffers => "offers_per_port_max",
            Self::PortLeases => "leases_per_port_max",
            Self::OuiLeases => "leases_per_oui_max",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
