//! What a server is told.

use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;

use thiserror::Error;

use crate::{Class, DhcpOption, Ipv4Net, Limits, ReservedFor, Subnet};

/// When an address is probed before it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Probing {
    /// Never: for drivers that cannot probe, and measurements. If the wall clock was stepped before
    /// a restart, an address whose lease seems over may then be given to a second client.
    Off,
    /// When it was another client's before. An address that nobody had, or that this client had,
    /// is offered at once: waiting for a probe slows the boot of BIOS clients.
    #[default]
    Reused,
}

/// What a server is to its clients.
///
/// | | port 67 | port 4011 |
/// |---|---|---|
/// | [`Authoritative`](Self::Authoritative) | addresses and boot information | boot information |
/// | [`Proxy`](Self::Proxy) | boot information | boot information |
/// | [`Binl`](Self::Binl) | nothing | boot information |
///
/// Port 4011 is [`Engine::handle_binl_datagram`](crate::Engine::handle_binl_datagram).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mode {
    /// It gives addresses, and tells clients what to boot.
    #[default]
    Authoritative,
    /// It gives no addresses: another server does, and this one adds what to boot to that
    /// server's offer (proxyDHCP; Intel's PXE specification 2.1 section 2.2).
    Proxy,
    /// It answers at port 4011 only (the specification's boot server, Microsoft's BINL): for a
    /// DHCP server on the same host, or one that sends clients here.
    Binl,
}

impl Mode {
    /// Whether it gives addresses.
    pub const fn gives_addresses(self) -> bool {
        matches!(self, Self::Authoritative)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authoritative => "authoritative",
            Self::Proxy => "proxy",
            Self::Binl => "binl",
        })
    }
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
    /// What the server is to its clients. Default: authoritative.
    pub mode: Mode,
    /// The subnets that addresses are given in. In the other modes none is needed: those that are
    /// here tell the policy where a client is, and our address there.
    pub subnets: Vec<Subnet>,
    /// Options for the clients of every subnet, as [`Subnet::options`] are for those of one: of
    /// each code the subnet's counts.
    pub options: Vec<DhcpOption>,
    /// Clients that are alike, and what they are told.
    pub classes: Vec<Class>,
    /// The UDP port to listen on, and of relays. Default: 67.
    ///
    /// Another one, like dnsmasq's `dhcp-alternate-port`, needs clients that know it: test
    /// clients, mostly. Replies to a relay go to this port.
    pub server_port: u16,
    /// The UDP port of clients. Default: 68.
    pub client_port: u16,
    /// The UDP port of boot servers, where clients ask for what they boot in all modes. Default:
    /// 4011. iPXE takes answers from no other.
    pub binl_port: u16,
    /// How long an offered address is kept for the client. Default: 60 s, as EDK2 collects offers
    /// for 4 s and repeats its REQUEST for up to 32 s.
    pub offer_time: Duration,
    /// How long an address that was found in use is given to nobody. Default: one hour.
    pub quarantine_time: Duration,
    /// When an address is probed before it is offered. Default: when it was another client's.
    pub probing: Probing,
    /// How long an address is probed before it counts as free. Default: 500 ms. Hosts on a link
    /// answer within milliseconds; and boot ROMs repeat their DISCOVER after a second, EDK2 after
    /// four, so an OFFER that waits for a probe still comes before the client loses patience.
    pub probe_time: Duration,
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
            mode: Mode::Authoritative,
            subnets: Vec::new(),
            options: Vec::new(),
            classes: Vec::new(),
            server_port: 67,
            client_port: 68,
            binl_port: 4011,
            offer_time: Duration::from_secs(60),
            quarantine_time: Duration::from_secs(3600),
            probing: Probing::Reused,
            probe_time: Duration::from_millis(500),
            message_bytes_max: 1472,
            own_addresses: Vec::new(),
            limits: Limits::new(),
        }
    }

    /// The same, in another mode.
    #[must_use]
    pub const fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The same, with one more subnet.
    #[must_use]
    pub fn with_subnet(mut self, subnet: Subnet) -> Self {
        self.subnets.push(subnet);
        self
    }

    /// The same, with an option for the clients of every subnet.
    #[must_use]
    pub fn with_option(mut self, option: DhcpOption) -> Self {
        self.options.push(option);
        self
    }

    /// The same, with one more class; the classes before it come first.
    #[must_use]
    pub fn with_class(mut self, class: Class) -> Self {
        self.classes.push(class);
        self
    }

    /// The same, on other ports than 67 and 68.
    #[must_use]
    pub const fn with_ports(mut self, server_port: u16, client_port: u16) -> Self {
        self.server_port = server_port;
        self.client_port = client_port;
        self
    }

    /// The same, on another port for boot servers than 4011.
    #[must_use]
    pub const fn with_binl_port(mut self, binl_port: u16) -> Self {
        self.binl_port = binl_port;
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
        if self.server_port == 0 || self.client_port == 0 || self.binl_port == 0 {
            return Err(ConfigError::PortZero);
        }
        if self.server_port == self.binl_port {
            return Err(ConfigError::PortsEqual(self.server_port));
        }
        if self.message_bytes_max < 548 {
            return Err(ConfigError::MessageBytesMax(self.message_bytes_max));
        }
        let mut classes = self.classes.iter();
        if let Some(class) = classes.find(|class| !class.lease.is_ordered()) {
            let class = class.name.clone();
            return Err(ConfigError::ClassLeaseTimes { class });
        }
        for (index, subnet) in self.subnets.iter().enumerate() {
            subnet.check()?;
            let has_addresses = !subnet.pools.is_empty() || !subnet.reservations.is_empty();
            if has_addresses && !self.mode.gives_addresses() {
                let (subnet, mode) = (subnet.network, self.mode);
                return Err(ConfigError::AddressesWithoutLeases { subnet, mode });
            }
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

/// A configuration contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A port is 0.
    #[error("port 0 is no port to listen on or to answer to")]
    PortZero,
    /// Port 67 and port 4011 are the same.
    #[error("port {0} cannot be both the server's port and the boot servers' port")]
    PortsEqual(u16),
    /// A subnet has pools or reservations, and the server gives no addresses.
    #[error("subnet {subnet}: pools and reservations make no sense in {mode} mode")]
    AddressesWithoutLeases {
        /// Where.
        subnet: Ipv4Net,
        /// The mode.
        mode: Mode,
    },
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
    /// An address is reserved for two clients.
    #[error("subnet {subnet}: address {address} is reserved twice")]
    AddressReservedTwice {
        /// Where.
        subnet: Ipv4Net,
        /// The address.
        address: Ipv4Addr,
    },
    /// A client has two reservations.
    #[error("subnet {subnet}: {client} has two reservations")]
    ClientReservedTwice {
        /// Where.
        subnet: Ipv4Net,
        /// For whom.
        client: ReservedFor,
    },
    /// The lease times of a reservation are out of order, or zero.
    #[error("subnet {subnet}: lease times reserved for {client} must be 0 < min <= default <= max")]
    ReservationLeaseTimes {
        /// Where.
        subnet: Ipv4Net,
        /// For whom.
        client: ReservedFor,
    },
    /// The lease times of a class are out of order, or zero.
    #[error("class {class}: lease times must be 0 < min <= default <= max")]
    ClassLeaseTimes {
        /// Its name.
        class: String,
    },
    /// T1 and T2 are out of order, or not within the default lease time.
    #[error("subnet {subnet}: renewal times must be 0 < T1 {t1} < T2 {t2} < lease time {lease}")]
    RenewalTimes {
        /// Where.
        subnet: Ipv4Net,
        /// T1, in seconds.
        t1: u32,
        /// T2, in seconds.
        t2: u32,
        /// The default lease time, in seconds.
        lease: u32,
    },
    /// Addresses for BOOTP clients have no time.
    #[error("subnet {subnet}: the lease time of BOOTP clients must be above 0")]
    BootpLeaseTime {
        /// Where.
        subnet: Ipv4Net,
    },
}

#[cfg(test)]
mod tests {
    use pxe_core::MacAddr;

    use super::*;
    use crate::Reservation;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a network")
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().expect("an address")
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
            Err(ConfigError::ClientReservedTwice { .. })
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
        assert_eq!(
            Config::new().with_binl_port(67).check(),
            Err(ConfigError::PortsEqual(67))
        );
    }

    #[test]
    fn only_who_gives_addresses_has_pools_and_reservations() {
        let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
        let lan = || Subnet::new(net("10.0.0.0/24"));
        let pool = lan().with_pool(ip("10.0.0.5"), ip("10.0.0.9"));
        let reserved = lan().with_reservation(Reservation::new(mac, ip("10.0.0.5")));
        for mode in [Mode::Proxy, Mode::Binl] {
            let check = |subnet| Config::new().with_mode(mode).with_subnet(subnet).check();
            assert_eq!(Config::new().with_mode(mode).check(), Ok(()));
            assert_eq!(check(lan()), Ok(()));
            let subnet = net("10.0.0.0/24");
            for subnet_config in [pool.clone(), reserved.clone()] {
                assert_eq!(
                    check(subnet_config),
                    Err(ConfigError::AddressesWithoutLeases { subnet, mode })
                );
            }
        }
    }
}
