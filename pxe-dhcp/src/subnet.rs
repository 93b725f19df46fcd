//! Subnets, and what their clients are told.

use core::net::Ipv4Addr;
use core::ops::RangeInclusive;
use std::collections::BTreeSet;

use crate::wire::OptionCode;
use crate::{ClientNames, ConfigError, DhcpOption, Ipv4Net, Reservation};

/// The most addresses that a subnet's pools may have together: those of a network of 8 bits.
pub(crate) const POOL_ADDRESSES_MAX: u64 = 1 << 24;

/// How clients that speak plain BOOTP (RFC 951) are served in a subnet.
///
/// They know no leases: what they are given they use until they are switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Bootp {
    /// Not at all.
    Ignored,
    /// Those that an address is reserved for.
    #[default]
    Reserved,
    /// Others get an address of a pool (isc-dhcpd's `dynamic-bootp`). Nothing tells when they
    /// are switched off, so after that many seconds since its last request the address counts as
    /// free.
    Dynamic {
        /// For how long, in seconds.
        lease_seconds: u32,
    },
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
    /// What is kept for one client each: an address, and what it is told.
    pub reservations: Vec<Reservation>,
    /// Whether only clients with a reservation are served: others are offered no address, and
    /// keep one that they have until it runs out. Default: false.
    pub known_clients_only: bool,
    /// How clients that speak plain BOOTP are served. Default: those with a reserved address.
    pub bootp: Bootp,
    /// The lease time, in seconds, for a client that does not ask for one. Default: 3600.
    pub lease_seconds_default: u32,
    /// The shortest lease time, in seconds, that a client can ask for. Default: 120.
    pub lease_seconds_min: u32,
    /// The longest lease time, in seconds, that a client can ask for. Default: 86400.
    pub lease_seconds_max: u32,
    /// When a client is to renew its lease with us (T1, option 58), in seconds. `None`, the
    /// default, and for leases that are no longer than [`t2_seconds`](Self::t2_seconds): half of
    /// the lease (RFC 2131 section 4.4.5).
    pub t1_seconds: Option<u32>,
    /// When a client is to renew its lease with any server (T2, option 59), in seconds. `None`,
    /// the default, and for leases that are no longer: 7/8 of the lease.
    pub t2_seconds: Option<u32>,
    /// The server's address to tell clients as its identifier (option 54) and boot server.
    /// `None`, the default: the address that the request was received at.
    pub server_ip: Option<Ipv4Addr>,
    /// Options for every client of the subnet, in the order of their importance. Those of a
    /// decision, a reservation and a class come before them, and those of
    /// [`Config::options`](crate::Config::options) after them: of each code the first counts. The
    /// mask (1), the lease times (51, 58, 59), the message type (53) and the server (54) are the
    /// engine's and not taken from here; the broadcast address (28) follows from the network
    /// unless it is here.
    pub options: Vec<DhcpOption>,
    /// Where the clients have names in the DNS: those that send option 81 are told theirs.
    /// `None`, the default: the option is left unanswered.
    pub client_names: Option<ClientNames>,
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
            known_clients_only: false,
            bootp: Bootp::Reserved,
            lease_seconds_default: 3600,
            lease_seconds_min: 120,
            lease_seconds_max: 86_400,
            t1_seconds: None,
            t2_seconds: None,
            server_ip: None,
            options: Vec::new(),
            client_names: None,
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

    /// The same, with T1 and T2 (options 58 and 59), in seconds.
    #[must_use]
    pub const fn with_renewal_seconds(mut self, t1_seconds: u32, t2_seconds: u32) -> Self {
        self.t1_seconds = Some(t1_seconds);
        self.t2_seconds = Some(t2_seconds);
        self
    }

    /// The same, for clients with a reservation only.
    #[must_use]
    pub const fn for_known_clients_only(mut self) -> Self {
        self.known_clients_only = true;
        self
    }

    /// The same, with this treatment of clients that speak plain BOOTP.
    #[must_use]
    pub const fn with_bootp(mut self, bootp: Bootp) -> Self {
        self.bootp = bootp;
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

    /// The same, telling clients that send option 81 their names.
    #[must_use]
    pub fn with_client_names(mut self, names: ClientNames) -> Self {
        self.client_names = Some(names);
        self
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
        self.check_renewal()?;
        if self.bootp == (Bootp::Dynamic { lease_seconds: 0 }) {
            return Err(ConfigError::BootpLeaseTime { subnet });
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
        self.check_reservations()
    }

    fn check_renewal(&self) -> Result<(), ConfigError> {
        let lease = self.lease_seconds_default;
        let t1 = self.t1_seconds.unwrap_or(lease / 2);
        let t2 = self.t2_seconds.unwrap_or((u64::from(lease) * 7 / 8) as u32);
        let is_said = self.t1_seconds.is_some() || self.t2_seconds.is_some();
        if is_said && !(0 < t1 && t1 < t2 && t2 < lease) {
            let subnet = self.network;
            return Err(ConfigError::RenewalTimes {
                subnet,
                t1,
                t2,
                lease,
            });
        }
        Ok(())
    }

    fn check_reservations(&self) -> Result<(), ConfigError> {
        let subnet = self.network;
        let (mut addresses, mut clients) = (BTreeSet::new(), BTreeSet::new());
        for reservation in &self.reservations {
            let client = &reservation.client;
            if let Some(address) = reservation.address {
                if !subnet.is_host(address) {
                    return Err(ConfigError::ReservationOutside { subnet, address });
                }
                if !addresses.insert(address) {
                    return Err(ConfigError::AddressReservedTwice { subnet, address });
                }
            }
            if !clients.insert(client) {
                let client = client.clone();
                return Err(ConfigError::ClientReservedTwice { subnet, client });
            }
            if !reservation.lease.is_ordered() {
                let client = client.clone();
                return Err(ConfigError::ReservationLeaseTimes { subnet, client });
            }
        }
        Ok(())
    }
}
