//! What is kept for one client.

use core::fmt;
use core::net::Ipv4Addr;

use pxe_core::MacAddr;

use crate::wire::MachineUuid;
use crate::{DhcpOption, LeaseTimes};

/// By what a client is recognised, that something is reserved for.
///
/// A client may be recognised by several: what names the machine comes before what names the
/// place it is plugged in, in the order of the variants here. The first that there is a
/// reservation for counts.
///
/// A boot ROM says its UUID, the operating system does not; and only what a relay forwards
/// carries a circuit, a renewal does not. The machine keeps its address all the same: what its
/// lease was reserved by is remembered with the MAC, until the client says another UUID or comes
/// from another port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReservedFor {
    /// The Ethernet address.
    Mac(MacAddr),
    /// A hardware address of another kind.
    Hardware {
        /// The hardware type (RFC 1700).
        htype: u8,
        /// The address, at most 16 bytes.
        address: Vec<u8>,
    },
    /// The client identifier (option 61), its type octet included.
    ClientId(Vec<u8>),
    /// The machine's UUID (option 97).
    Uuid(MachineUuid),
    /// Whoever is at this port of this relay or switch (option 82, 1 and 2).
    RelayPort {
        /// The circuit identifier.
        circuit_id: Vec<u8>,
        /// The remote identifier.
        remote_id: Vec<u8>,
    },
    /// Whoever is on this circuit (option 82, 1), of whatever relay.
    CircuitId(Vec<u8>),
    /// Whoever is at this remote end (option 82, 2), on whatever circuit.
    RemoteId(Vec<u8>),
}

impl From<MacAddr> for ReservedFor {
    fn from(mac: MacAddr) -> Self {
        Self::Mac(mac)
    }
}

impl From<MachineUuid> for ReservedFor {
    fn from(uuid: MachineUuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl fmt::Display for ReservedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Hardware { htype, address } => write!(f, "hardware {htype} {}", Hex(address)),
            Self::ClientId(id) => write!(f, "id {}", Hex(id)),
            Self::Uuid(uuid) => write!(f, "uuid {uuid}"),
            Self::RelayPort {
                circuit_id,
                remote_id,
            } => write!(f, "circuit {} remote {}", Hex(circuit_id), Hex(remote_id)),
            Self::CircuitId(id) => write!(f, "circuit {}", Hex(id)),
            Self::RemoteId(id) => write!(f, "remote {}", Hex(id)),
        }
    }
}

/// Octets in lower-case hexadecimal, joined by colons.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

/// What is kept for one client: an address, and what it alone is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reservation {
    /// For whom.
    pub client: ReservedFor,
    /// The address; it need not be in a pool. `None`: the client is known, and gets an address of
    /// a pool.
    pub address: Option<Ipv4Addr>,
    /// A host name to tell the client (option 12).
    pub host_name: Option<String>,
    /// Its name in the DNS ([`ClientNames`](crate::ClientNames)); `None`: its host name.
    pub dns_name: Option<String>,
    /// Options for this client; they come before those of classes and of the subnet.
    pub options: Vec<DhcpOption>,
    /// Lease times for this client; what is not said here is a class's or the subnet's.
    pub lease: LeaseTimes,
}

impl Reservation {
    /// This address for this client.
    pub fn new(client: impl Into<ReservedFor>, address: Ipv4Addr) -> Self {
        let mut reservation = Self::known(client);
        reservation.address = Some(address);
        reservation
    }

    /// No address of its own, but a client that is known
    /// ([`Subnet::known_clients_only`](crate::Subnet::known_clients_only)) and may have options of
    /// its own.
    pub fn known(client: impl Into<ReservedFor>) -> Self {
        Self {
            client: client.into(),
            address: None,
            host_name: None,
            dns_name: None,
            options: Vec::new(),
            lease: LeaseTimes::new(),
        }
    }

    /// The same, with a host name for the client.
    #[must_use]
    pub fn with_host_name(mut self, host_name: impl Into<String>) -> Self {
        self.host_name = Some(host_name.into());
        self
    }

    /// The same, with a name in the DNS that the client is not told as its host name.
    #[must_use]
    pub fn with_dns_name(mut self, name: impl Into<String>) -> Self {
        self.dns_name = Some(name.into());
        self
    }

    /// The same, with an option for the client.
    #[must_use]
    pub fn with_option(mut self, option: DhcpOption) -> Self {
        self.options.push(option);
        self
    }

    /// The same, with lease times for the client.
    #[must_use]
    pub const fn with_lease(mut self, lease: LeaseTimes) -> Self {
        self.lease = lease;
        self
    }
}
