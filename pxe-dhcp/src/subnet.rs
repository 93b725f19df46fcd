//! Subnets, and what their clients are told.

use core::net::Ipv4Addr;
use core::ops::RangeInclusive;

use pxe_core::MacAddr;

use crate::wire::OptionCode;
use crate::{ClientKey, ConfigError, Ipv4Net};

/// The most addresses that a subnet's pools may have together: those of a network of 8 bits.
pub(crate) const POOL_ADDRESSES_MAX: u64 = 1 << 24;

/// An option with its value, as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DhcpOption {
    /// The code.
    pub code: OptionCode,
    /// The value. Longer than 255 bytes is split (RFC 3396).
    pub data: Vec<u8>,
    /// Whether it is sent even if the client did not ask for it.
    pub is_forced: bool,
}

impl DhcpOption {
    /// An option that is sent if the client asks for it.
    pub fn new(code: OptionCode, data: impl AsRef<[u8]>) -> Self {
        Self {
            code,
            data: data.as_ref().to_vec(),
            is_forced: false,
        }
    }

    /// An option that holds addresses.
    pub fn addresses(code: OptionCode, addresses: &[Ipv4Addr]) -> Self {
        let data = addresses
            .iter()
            .flat_map(|address| address.octets())
            .collect();
        Self {
            code,
            data,
            is_forced: false,
        }
    }

    /// The same, sent even if the client did not ask for it.
    #[must_use]
    pub const fn forced(mut self) -> Self {
        self.is_forced = true;
        self
    }
}

/// An address that is kept for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reservation {
    /// For whom.
    pub client: ClientKey,
    /// The address; it need not be in a pool.
    pub address: Ipv4Addr,
    /// A host name to tell the client (option 12).
    pub host_name: Option<String>,
}

impl Reservation {
    /// This address for the client with this MAC.
    pub const fn new(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self {
            client: ClientKey::Ethernet(mac),
            address,
            host_name: None,
        }
    }

    /// The same, with a host name for the client.
    #[must_use]
    pub fn with_host_name(mut self, host_name: impl Into<String>) -> Self {
        self.host_name = Some(host_name.into());
        self
    }
}

/// A subnet, and what its clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subnet {
    /// The network.
    pub network: Ipv4Net,
    /// Subnets with the same name here are on one link: a client there may get an address of any
    /// of them. `None`: the subnet has its link for itself.
    pub shared_network: Option<String>,
    /// Ranges of addresses to give, both ends included.
    pub pools: Vec<RangeInclusive<Ipv4Addr>>,
    /// Ranges within the pools that are not given.
    pub exclusions: Vec<RangeInclusive<Ipv4Addr>>,
    /// Addresses kept for one client each.
    pub reservations: Vec<Reservation>,
    /// The lease time, in seconds, for a client that does not ask for one. Default: 3600.
    pub lease_seconds_default: u32,
    /// The shortest lease time, in seconds, that a client can ask for. Default: 120.
    pub lease_seconds_min: u32,
    /// The longest lease time, in seconds, that a client can ask for. Default: 86400.
    pub lease_seconds_max: u32,
    /// The server's address to tell clients as its identifier (option 54) and boot server.
    /// `None`, the default: the address that the request was received at.
    pub server_ip: Option<Ipv4Addr>,
    /// Options for every client, in the order of their importance. The mask (1), the lease times
    /// (51, 58, 59), the message type (53) and the server (54) are the engine's and not taken from
    /// here; the broadcast address (28) follows from the network unless it is here.
    pub options: Vec<DhcpOption>,
}

impl Subnet {
    /// A subnet with nothing to give and nothing to tell.
    pub const fn new(network: Ipv4Net) -> Self {
        Self {
            network,
            shared_network: None,
            pools: Vec::new(),
            exclusions: Vec::new(),
            reservations: Vec::new(),
            lease_seconds_default: 3600,
            lease_seconds_min: 120,
            lease_seconds_max: 86_400,
            server_ip: None,
            options: Vec::new(),
        }
    }

    /// The same, with a range of addresses to give, both ends included.
    #[must_use]
    pub fn with_pool(mut self, first: Ipv4Addr, last: Ipv4Addr) -> Self {
        self.pools.push(first..=last);
        self
    }

    /// The same, without this range, both ends included.
    #[must_use]
    pub fn without(mut self, first: Ipv4Addr, last: Ipv4Addr) -> Self {
        self.exclusions.push(first..=last);
        self
    }

    /// The same, with an address kept for one client.
    #[must_use]
    pub fn with_reservation(mut self, reservation: Reservation) -> Self {
        self.reservations.push(reservation);
        self
    }

    /// The same, with one lease time for all, in seconds.
    #[must_use]
    pub const fn with_lease_seconds(mut self, seconds: u32) -> Self {
        self.lease_seconds_default = seconds;
        self.lease_seconds_min = seconds;
        self.lease_seconds_max = seconds;
        self
    }

    /// The same, with an option.
    #[must_use]
    pub fn with_option(mut self, option: DhcpOption) -> Self {
        self.options.push(option);
        self
    }

    /// The same, with routers (option 3).
    #[must_use]
    pub fn with_routers(self, routers: &[Ipv4Addr]) -> Self {
        self.with_option(DhcpOption::addresses(OptionCode::ROUTERS, routers))
    }

    /// The same, with name servers (option 6).
    #[must_use]
    pub fn with_name_servers(self, servers: &[Ipv4Addr]) -> Self {
        self.with_option(DhcpOption::addresses(
            OptionCode::DOMAIN_NAME_SERVERS,
            servers,
        ))
    }

    /// The same, with a domain name (option 15).
    #[must_use]
    pub fn with_domain_name(self, name: &str) -> Self {
        self.with_option(DhcpOption::new(OptionCode::DOMAIN_NAME, name))
    }

    /// The same, with time servers (option 42).
    #[must_use]
    pub fn with_ntp_servers(self, servers: &[Ipv4Addr]) -> Self {
        self.with_option(DhcpOption::addresses(OptionCode::NTP_SERVERS, servers))
    }

    /// The same, with its own address to tell clients.
    #[must_use]
    pub const fn with_server_ip(mut self, server_ip: Ipv4Addr) -> Self {
        self.server_ip = Some(server_ip);
        self
    }

    /// The same, on a link that it shares with all subnets of this name.
    #[must_use]
    pub fn with_shared_network(mut self, name: impl Into<String>) -> Self {
        self.shared_network = Some(name.into());
        self
    }
}

impl Subnet {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let subnet = self.network;
        let (min, default, max) = (
            self.lease_seconds_min,
            self.lease_seconds_default,
            self.lease_seconds_max,
        );
        if min == 0 || min > default || default > max {
            return Err(ConfigError::LeaseTimes {
                subnet,
                min,
                default,
                max,
            });
        }
        let mut pools = 0_u64;
        for range in self.pools.iter().chain(&self.exclusions) {
            let (first, last) = (*range.start(), *range.end());
            if first > last {
                return Err(ConfigError::RangeReversed {
                    subnet,
                    first,
                    last,
                });
            }
            if !subnet.contains(first) || !subnet.contains(last) {
                return Err(ConfigError::RangeOutside {
                    subnet,
                    first,
                    last,
                });
            }
        }
        for (index, range) in self.pools.iter().enumerate() {
            pools += u64::from(range.end().to_bits() - range.start().to_bits()) + 1;
            for other in self.pools.iter().take(index) {
                if range.start() <= other.end() && other.start() <= range.end() {
                    let (first, last) = (*range.start(), *range.end());
                    return Err(ConfigError::PoolsOverlap {
                        subnet,
                        first,
                        last,
                    });
                }
            }
        }
        if pools > POOL_ADDRESSES_MAX {
            return Err(ConfigError::PoolTooLarge {
                subnet,
                addresses: pools,
            });
        }
        for (index, reservation) in self.reservations.iter().enumerate() {
            let address = reservation.address;
            if !subnet.is_host(address) {
                return Err(ConfigError::ReservationOutside { subnet, address });
            }
            let others = self.reservations.iter().take(index);
            for other in others {
                if other.address == address || other.client == reservation.client {
                    return Err(ConfigError::ReservedTwice { subnet, address });
                }
            }
        }
        Ok(())
    }
}
