//! What machines are told of our name server by DHCP.

use std::net::{IpAddr, Ipv4Addr};

use super::interfaces::Interfaces;
use crate::config::{Config, Subnet};

/// Our addresses at which machines can ask for names, and their domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NameServers {
    addresses: Vec<Ipv4Addr>,
    domain: Option<String>,
}

impl NameServers {
    /// Those of this configuration; none without `[dns]`.
    pub(crate) fn of(config: &Config) -> Self {
        let Some(dns) = &config.dns else {
            return Self::default();
        };
        let addresses = Interfaces::read()
            .service_addresses(config, dns)
            .into_iter();
        let addresses = addresses.filter_map(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        // Option 15 has no last dot.
        let domain = dns.domain.as_ref().map(ToString::to_string);
        let domain = domain.map(|domain| domain.trim_end_matches('.').to_owned());
        Self {
            addresses: addresses.collect(),
            domain,
        }
    }

    /// The ones that a subnet's machines are told: our address there, else one that they reach
    /// through a router.
    pub(crate) fn of_subnet(&self, subnet: &Subnet) -> Vec<Ipv4Addr> {
        let mut addresses = self.addresses.iter().copied();
        let here = addresses
            .clone()
            .find(|address| subnet.network.contains(*address));
        let own = subnet.server_ip.filter(|ip| self.addresses.contains(ip));
        own.or(here)
            .or_else(|| addresses.next())
            .into_iter()
            .collect()
    }

    /// The domain of machines that are told no other.
    pub(crate) fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }
}
