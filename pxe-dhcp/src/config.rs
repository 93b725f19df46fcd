//! What a server is told, and what bounds it keeps.

use core::fmt;
use core::net::Ipv4Addr;
use core::ops::RangeInclusive;
use core::str::FromStr;
use core::time::Duration;

use pxe_core::MacAddr;
use thiserror::Error;

use crate::ClientKey;
use crate::wire::OptionCode;

/// An IPv4 network: an address and a prefix length, host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv4Net {
    network: Ipv4Addr,
    prefix: u8,
}

impl Ipv4Net {
    /// The network of this address; `None` if the prefix length exceeds 32. Host bits are cleared.
    pub const fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        if prefix > 32 {
            return None;
        }
        let network = Ipv4Addr::from_bits(address.to_bits() & mask_bits(prefix));
        Some(Self { network, prefix })
    }

    /// The first address.
    pub const fn network(self) -> Ipv4Addr {
        self.network
    }

    /// The prefix length, at most 32.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The mask.
    pub const fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask_bits(self.prefix))
    }

    /// The last address: the broadcast address, but for prefix lengths 31 and 32.
    pub const fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !mask_bits(self.prefix))
    }

    /// Whether the address is of this network.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask_bits(self.prefix) == self.network.to_bits()
    }

    /// Whether a host can have the address: neither the network's nor the broadcast address
    /// (RFC 3021: networks of 31 bits have neither).
    pub const fn is_host(self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        self.contains(address)
            && (self.prefix >= 31
                || (bits != self.network.to_bits() && bits != self.broadcast().to_bits()))
    }
}

const fn mask_bits(prefix: u8) -> u32 {
    match u32::MAX.checked_shl(32 - prefix as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

impl fmt::Display for Ipv4Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// A text is no network of the form `192.168.150.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a network of the form 192.168.150.0/24, or with bits set beyond its prefix")]
#[non_exhaustive]
pub struct ParseIpv4NetError;

impl FromStr for Ipv4Net {
    type Err = ParseIpv4NetError;

    /// Reads `192.168.150.0/24`. Host bits must be zero: `192.168.150.1/24` is more often a
    /// mistake than a network.
    fn from_str(text: &str) -> Result<Self, ParseIpv4NetError> {
        let (address, prefix) = text.split_once('/').ok_or(ParseIpv4NetError)?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseIpv4NetError);
        }
        let address: Ipv4Addr = address.parse().map_err(|_| ParseIpv4NetError)?;
        let prefix = prefix.parse().map_err(|_| ParseIpv4NetError)?;
        Self::new(address, prefix)
            .filter(|net| net.network == address)
            .ok_or(ParseIpv4NetError)
    }
}

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

/// When an address is probed before it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Probing {
    /// Never.
    #[default]
    Off,
    /// When it was another client's before. An address that nobody had, or that this client had,
    /// is offered at once: waiting for a probe slows the boot of BIOS clients.
    Reused,
}

/// What a server does.
///
/// ```
/// use pxe_dhcp::{Config, Ipv4Net, Subnet};
///
/// let network: Ipv4Net = "192.168.150.0/24".parse()?;
/// let config = Config::new().with_subnet(
///     Subnet::new(network)
///         .with_pool([192, 168, 150, 100].into(), [192, 168, 150, 200].into())
///         .with_routers(&[[192, 168, 150, 1].into()])
///         .with_domain_name("matrix.lan"),
/// );
/// config.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The subnets that addresses are given in.
    pub subnets: Vec<Subnet>,
    /// The UDP port to listen on, and of relays. Default: 67.
    ///
    /// Another one, like dnsmasq's `dhcp-alternate-port`, needs clients that know it: test
    /// clients, mostly. Replies to a relay go to this port.
    pub server_port: u16,
    /// The UDP port of clients. Default: 68.
    pub client_port: u16,
    /// How long an offered address is kept for the client. Default: 60 s, as EDK2 collects offers
    /// for 4 s and repeats its REQUEST for up to 32 s.
    pub offer_time: Duration,
    /// How long an address that was found in use is given to nobody. Default: one hour.
    pub quarantine_time: Duration,
    /// When an address is probed before it is offered. Default: never.
    pub probing: Probing,
    /// The longest message to send, in bytes, whatever the client allows with option 57 (EDK2
    /// says 65280). Default: 1472, what an Ethernet frame carries.
    pub message_bytes_max: usize,
    /// Addresses of this host, never given to a client. The driver adds those that it finds.
    pub own_addresses: Vec<Ipv4Addr>,
    /// Bounds on what peers can make the engine keep.
    pub limits: Limits,
}

impl Config {
    /// No subnets, and every default.
    pub fn new() -> Self {
        Self {
            subnets: Vec::new(),
            server_port: 67,
            client_port: 68,
            offer_time: Duration::from_secs(60),
            quarantine_time: Duration::from_secs(3600),
            probing: Probing::Off,
            message_bytes_max: 1472,
            own_addresses: Vec::new(),
            limits: Limits::new(),
        }
    }

    /// The same, with one more subnet.
    #[must_use]
    pub fn with_subnet(mut self, subnet: Subnet) -> Self {
        self.subnets.push(subnet);
        self
    }

    /// The same, on other ports than 67 and 68.
    #[must_use]
    pub const fn with_ports(mut self, server_port: u16, client_port: u16) -> Self {
        self.server_port = server_port;
        self.client_port = client_port;
        self
    }

    /// The same, with probes before offers.
    #[must_use]
    pub const fn with_probing(mut self, probing: Probing) -> Self {
        self.probing = probing;
        self
    }

    /// The same, with other bounds.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Looks for what cannot work.
    ///
    /// # Errors
    ///
    /// The first contradiction that is found, with the value at fault.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.server_port == 0 || self.client_port == 0 {
            return Err(ConfigError::PortZero);
        }
        if self.message_bytes_max < 548 {
            return Err(ConfigError::MessageBytesMax(self.message_bytes_max));
        }
        for (index, subnet) in self.subnets.iter().enumerate() {
            subnet.check()?;
            let others = self.subnets.iter().take(index).map(|other| other.network);
            for other in others {
                let network = subnet.network;
                if other.contains(network.network()) || network.contains(other.network()) {
                    return Err(ConfigError::SubnetsOverlap { network, other });
                }
            }
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Subnet {
    fn check(&self) -> Result<(), ConfigError> {
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

/// The most addresses that a subnet's pools may have together: those of a network of 8 bits.
pub(crate) const POOL_ADDRESSES_MAX: u64 = 1 << 24;

/// A configuration contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A port is 0.
    #[error("port 0 is no port to listen on or to answer to")]
    PortZero,
    /// [`Config::message_bytes_max`] is below what every client takes.
    #[error("message_bytes_max is {0}, but every client takes 548 bytes (RFC 2131 section 2)")]
    MessageBytesMax(usize),
    /// Two subnets have addresses in common.
    #[error("subnet {network} overlaps subnet {other}")]
    SubnetsOverlap {
        /// The later one.
        network: Ipv4Net,
        /// The earlier one.
        other: Ipv4Net,
    },
    /// Lease times are out of order, or zero.
    #[error("subnet {subnet}: lease times must be 0 < min {min} <= default {default} <= max {max}")]
    LeaseTimes {
        /// Where.
        subnet: Ipv4Net,
        /// The shortest, in seconds.
        min: u32,
        /// The default, in seconds.
        default: u32,
        /// The longest, in seconds.
        max: u32,
    },
    /// A range ends before it begins.
    #[error("subnet {subnet}: range {first} to {last} ends before it begins")]
    RangeReversed {
        /// Where.
        subnet: Ipv4Net,
        /// Its first address.
        first: Ipv4Addr,
        /// Its last address.
        last: Ipv4Addr,
    },
    /// A range leaves its subnet.
    #[error("subnet {subnet}: range {first} to {last} leaves the subnet")]
    RangeOutside {
        /// Where.
        subnet: Ipv4Net,
        /// Its first address.
        first: Ipv4Addr,
        /// Its last address.
        last: Ipv4Addr,
    },
    /// Two pools have addresses in common.
    #[error("subnet {subnet}: pool {first} to {last} overlaps an earlier one")]
    PoolsOverlap {
        /// Where.
        subnet: Ipv4Net,
        /// The later pool's first address.
        first: Ipv4Addr,
        /// The later pool's last address.
        last: Ipv4Addr,
    },
    /// The pools of a subnet have more than 2^24 addresses together.
    #[error("subnet {subnet}: pools of {addresses} addresses exceed 16777216")]
    PoolTooLarge {
        /// Where.
        subnet: Ipv4Net,
        /// How many they have.
        addresses: u64,
    },
    /// A reserved address is not a host's address of its subnet.
    #[error("subnet {subnet}: reserved address {address} is not a host's address there")]
    ReservationOutside {
        /// Where.
        subnet: Ipv4Net,
        /// The address.
        address: Ipv4Addr,
    },
    /// An address is reserved for two clients, or a client has two reserved addresses.
    #[error("subnet {subnet}: address {address} or its client is reserved twice")]
    ReservedTwice {
        /// Where.
        subnet: Ipv4Net,
        /// The later reservation's address.
        address: Ipv4Addr,
    },
}

/// Bounds on what peers can make an engine keep or do. None of them is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest message to read, in bytes. Default: 4096; the longest seen are of 600.
    pub datagram_bytes_max: usize,
    /// Offers that wait for their REQUEST. Beyond it the oldest is given up; its client can still
    /// have the address if it is free when the REQUEST comes. Default: 16384.
    pub offers_max: usize,
    /// Records of leases, expired ones included; beyond it the longest expired is forgotten, and
    /// if none is expired, new clients get nothing. Default: 1,000,000, some 400 MB.
    pub leases_max: usize,
    /// Changes on their way to the store. Default: 4096.
    pub commits_max: usize,
    /// Replies that wait to be sent. Default: 4096, at most 6 MB.
    pub transmits_max: usize,
    /// Events that wait to be fetched. Default: 65536.
    pub events_max: usize,
    /// Addresses in quarantine, so that a liar cannot decline a whole pool. Default: 64.
    pub quarantined_max: usize,
    /// Probes for one DISCOVER, each of which found its address in use. Default: 3.
    pub probes_per_client_max: u32,
    /// How many messages a client may send at once. Default: 32.
    pub client_burst: u32,
    /// How many messages per second a client may send on and on. Default: 8; boots send less than
    /// one.
    pub client_messages_per_second: u32,
    /// How many clients' rates are remembered, rounded up to a power of two. Default: 8192.
    pub rate_clients_max: usize,
}

impl Limits {
    /// Every default.
    pub const fn new() -> Self {
        Self {
            datagram_bytes_max: 4096,
            offers_max: 16_384,
            leases_max: 1_000_000,
            commits_max: 4096,
            transmits_max: 4096,
            events_max: 65_536,
            quarantined_max: 64,
            probes_per_client_max: 3,
            client_burst: 32,
            client_messages_per_second: 8,
            rate_clients_max: 8192,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a network")
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().expect("an address")
    }

    #[test]
    fn networks_and_their_hosts() {
        let lan = net("192.168.150.0/24");
        assert_eq!(lan.mask(), ip("255.255.255.0"));
        assert_eq!(lan.broadcast(), ip("192.168.150.255"));
        assert!(lan.is_host(ip("192.168.150.1")));
        assert!(!lan.is_host(ip("192.168.150.0")) && !lan.is_host(ip("192.168.150.255")));
        assert!(!lan.contains(ip("192.168.151.1")));
        assert!(net("10.0.0.0/31").is_host(ip("10.0.0.0")));
        assert!(net("0.0.0.0/0").contains(ip("255.1.2.3")));
        for text in [
            "10.0.0.1/24",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
        ] {
            assert_eq!(text.parse::<Ipv4Net>(), Err(ParseIpv4NetError), "{text}");
        }
    }

    #[test]
    fn contradictions_are_found() {
        let lan = || Subnet::new(net("10.0.0.0/24"));
        let check = |subnet: Subnet| Config::new().with_subnet(subnet).check();
        let (subnet, first, last) = (net("10.0.0.0/24"), ip("10.0.0.9"), ip("10.0.0.5"));
        assert_eq!(check(lan().with_pool(last, first)), Ok(()));
        assert_eq!(
            check(lan().with_pool(first, last)),
            Err(ConfigError::RangeReversed {
                subnet,
                first,
                last
            })
        );
        assert!(matches!(
            check(lan().with_pool(first, ip("10.0.1.5"))),
            Err(ConfigError::RangeOutside { .. })
        ));
        assert!(matches!(
            check(lan().with_pool(last, first).with_pool(first, first)),
            Err(ConfigError::PoolsOverlap { .. })
        ));
        assert!(matches!(
            check(lan().with_lease_seconds(0)),
            Err(ConfigError::LeaseTimes { .. })
        ));
        let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
        assert!(matches!(
            check(lan().with_reservation(Reservation::new(mac, ip("10.0.0.255")))),
            Err(ConfigError::ReservationOutside { .. })
        ));
        assert!(matches!(
            check(
                lan()
                    .with_reservation(Reservation::new(mac, first))
                    .with_reservation(Reservation::new(mac, last))
            ),
            Err(ConfigError::ReservedTwice { .. })
        ));
        assert!(matches!(
            Config::new()
                .with_subnet(lan())
                .with_subnet(Subnet::new(net("10.0.0.0/16")))
                .check(),
            Err(ConfigError::SubnetsOverlap { .. })
        ));
        assert_eq!(
            Config::new().with_ports(0, 68).check(),
            Err(ConfigError::PortZero)
        );
    }
}
