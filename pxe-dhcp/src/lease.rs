//! What is known of a lease, and whose it is.

use core::fmt;
use core::net::Ipv4Addr;

use pxe_core::{MacAddr, UnixTime};

use crate::wire::{ClientFqdn, MachineUuid, Message};
use crate::{ClientArch, ReservedFor};

/// The longest value of an option that is kept of a client, in bytes: what one option holds. Joined
/// ones (RFC 3396) could be as long as a datagram, and there are a million records.
pub(crate) const OPTION_BYTES_MAX: usize = 255;

/// By what a client is known, so that it keeps its address.
///
/// An Ethernet client is known by its MAC even if it sends a client identifier: the identifier
/// comes and goes between boot ROM, loader and system, and the address must not (RFC 2131
/// section 4.2 would have it otherwise, and machines then change address while they boot).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ClientKey {
    /// An Ethernet client.
    Ethernet(MacAddr),
    /// A client identifier (option 61) of a client without an Ethernet address.
    ClientId(Vec<u8>),
    /// A hardware address of another kind, where there is no client identifier either: its type,
    /// and at most 16 bytes.
    Hardware {
        /// The hardware type (RFC 1700).
        htype: u8,
        /// The address.
        address: Vec<u8>,
    },
}

impl ClientKey {
    /// By what the sender of this message is known; `None` if it says nothing about itself. An
    /// identifier of more than 255 bytes is none.
    pub fn of(message: &Message<'_>) -> Option<Self> {
        if let Some(mac) = message.mac() {
            return Some(Self::Ethernet(mac));
        }
        let client_id = message.client_id();
        if let Some(client_id) = client_id.filter(|id| id.len() <= OPTION_BYTES_MAX) {
            return Some(Self::ClientId(client_id.into_owned()));
        }
        let address = message.chaddr();
        let is_known = address.iter().any(|byte| *byte != 0);
        is_known.then(|| Self::Hardware {
            htype: message.htype(),
            address: address.to_vec(),
        })
    }

    /// The MAC, if that is what the client is known by.
    pub const fn mac(&self) -> Option<MacAddr> {
        match self {
            Self::Ethernet(mac) => Some(*mac),
            Self::ClientId(_) | Self::Hardware { .. } => None,
        }
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self {
            Self::Ethernet(mac) => return mac.fmt(f),
            Self::ClientId(bytes) => {
                f.write_str("id ")?;
                bytes
            }
            Self::Hardware { htype, address } => {
                write!(f, "hardware {htype} ")?;
                address
            }
        };
        for (index, byte) in bytes.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

impl From<MacAddr> for ClientKey {
    fn from(mac: MacAddr) -> Self {
        Self::Ethernet(mac)
    }
}

/// What state a lease is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaseState {
    /// Given to the client.
    Bound {
        /// Until when; a lease past it is expired, and may be given to another client.
        expires: UnixTime,
    },
    /// Given back by the client.
    Released {
        /// When.
        at: UnixTime,
    },
    /// Found in use by somebody else: by the client (DECLINE) or by a probe.
    Declined {
        /// Not given to anybody before that.
        until: UnixTime,
    },
}

/// A lease as a `LeaseStore` keeps it: one record per address.
///
/// It holds more than DHCP needs, for those that work with leases: name servers, lists, policies.
/// Of what a client says, values of more than 255 bytes are not kept.
/// What only a boot ROM says (architecture, UUID) stays when the operating system asks later.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseRecord {
    /// The address: the record's key.
    pub address: Ipv4Addr,
    /// 1 for the first record of an address, and one more with each change.
    pub version: u64,
    /// Whose it is, or was.
    pub client: ClientKey,
    /// The hardware type of `chaddr`; 1 is Ethernet.
    pub htype: u8,
    /// The hardware address, at most 16 bytes.
    pub chaddr: Vec<u8>,
    /// The client identifier (option 61) that came last.
    pub client_id: Option<Vec<u8>>,
    /// Given, given back, or in quarantine.
    pub state: LeaseState,
    /// When the client first got this address.
    pub first_seen: UnixTime,
    /// Since when the client has held this address without a break, and called itself as it does
    /// (options 12 and 81): of two who say one name, the earlier was first.
    pub named_since: UnixTime,
    /// When the client last asked for it, or its state last changed: the lease counts from then.
    pub last_seen: UnixTime,
    /// The host name (option 12), as bytes: it need not be text.
    pub host_name: Option<Vec<u8>>,
    /// The full domain name (option 81).
    pub fqdn: Option<ClientFqdn>,
    /// The vendor class (option 60) that came last.
    pub vendor_class: Option<Vec<u8>>,
    /// The relay that the client's last relayed request came through.
    pub giaddr: Option<Ipv4Addr>,
    /// The relay's circuit identifier (option 82, 1).
    pub circuit_id: Option<Vec<u8>>,
    /// The relay's remote identifier (option 82, 2).
    pub remote_id: Option<Vec<u8>>,
    /// The machine's UUID (option 97).
    pub uuid: Option<MachineUuid>,
    /// The architecture (option 93 or 60), as the boot ROM or loader said it.
    pub arch: Option<ClientArch>,
    /// By what the client was recognised when it was given this address, if it was reserved: it
    /// may not say so again (an operating system says no UUID).
    pub reserved_for: Option<ReservedFor>,
}

impl LeaseRecord {
    /// The first record of an address, with nothing known but whose it is.
    pub fn new(
        address: Ipv4Addr,
        client: impl Into<ClientKey>,
        state: LeaseState,
        seen: UnixTime,
    ) -> Self {
        let client = client.into();
        let chaddr = client
            .mac()
            .map(|mac| mac.octets().to_vec())
            .unwrap_or_default();
        Self {
            address,
            version: 1,
            client,
            htype: 1,
            chaddr,
            client_id: None,
            state,
            first_seen: seen,
            named_since: seen,
            last_seen: seen,
            host_name: None,
            fqdn: None,
            vendor_class: None,
            giaddr: None,
            circuit_id: None,
            remote_id: None,
            uuid: None,
            arch: None,
            reserved_for: None,
        }
    }

    /// Whether the client holds the address at this time.
    pub fn is_active(&self, at: UnixTime) -> bool {
        matches!(self.state, LeaseState::Bound { expires } if expires > at)
    }

    /// Until when the record gives the address to its client; `None` if it does not.
    pub(crate) const fn bound_until(&self) -> Option<UnixTime> {
        match self.state {
            LeaseState::Bound { expires } => Some(expires),
            LeaseState::Released { .. } | LeaseState::Declined { .. } => None,
        }
    }

    /// The MAC, if the client is known by it.
    pub const fn mac(&self) -> Option<MacAddr> {
        self.client.mac()
    }
}
