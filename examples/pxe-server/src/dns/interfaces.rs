//! What this machine's interfaces say: our addresses, and the networks that we are in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::sys::socket::SockaddrStorage;
use pxe_core::Network;
use pxe_dns::AccessList;

use crate::config::{Config, Dns, DnsClients, DnsWho};

/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;

/// The addresses of this machine, as they were at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interfaces(Vec<InterfaceAddress>);

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
struct InterfaceAddress {
    interface: String,
    address: IpAddr,
    network: Network,
}

impl Interfaces {
    /// Those that the kernel tells of.
    pub(crate) fn read() -> Self {
        let ip = |address: &SockaddrStorage| -> Option<IpAddr> {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        };
        let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
        let all = all.filter_map(|found| {
            let address = ip(&found.address?)?;
            let prefix_len = match ip(&found.netmask?)? {
                IpAddr::V4(mask) => mask.to_bits().leading_ones(),
                IpAddr::V6(mask) => mask.to_bits().leading_ones(),
            };
            Some(InterfaceAddress {
                interface: found.interface_name,
                address,
                network: Network::new(address, u8::try_from(prefix_len).ok()?)?,
            })
        });
        Self(all.collect())
    }

    /// Whether this is an address of this machine.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.0
            .iter()
            .any(|own| own.address == address.to_canonical())
    }

    /// The addresses to listen at.
    ///
    /// If nothing is said, they are those of the boot network: DHCP's interfaces, and the addresses
    /// at which it or another protocol listens. Every address would clash with others' servers:
    /// systemd-resolved has port 53 of 127.0.0.53, libvirt's dnsmasq that of its bridge.
    pub(crate) fn listeners(&self, config: &Config, dns: &Dns) -> Vec<SocketAddr> {
        if let Some(listen) = &dns.listen {
            return listen.clone();
        }
        let mut ips: Vec<IpAddr> = Vec::new();
        let mut add = |ip: IpAddr| {
            if !ip.is_unspecified() && !ips.contains(&ip) {
                ips.push(ip);
            }
        };
        if let Some(dhcp) = &config.dhcp {
            let on_interface = |own: &&InterfaceAddress| dhcp.interfaces.contains(&own.interface);
            let own = self.0.iter().filter(on_interface);
            // A link-local address is nobody's name server: its clients would have to name a link.
            own.filter(|own| !is_link_local(own.address))
                .for_each(|own| add(own.address));
            dhcp.listen.iter().for_each(|ip| add(IpAddr::V4(*ip)));
        }
        if ips.is_empty() {
            let tftp = config.tftp.iter().flat_map(|tftp| &tftp.listen);
            let http = config.http.iter().flat_map(|http| &http.listen);
            let nfs = config.nfs.iter().flat_map(|nfs| &nfs.listen);
            let mut add = |at: &SocketAddr| {
                if !at.ip().is_unspecified() && !ips.contains(&at.ip()) {
                    ips.push(at.ip());
                }
            };
            tftp.chain(http).chain(nfs).for_each(&mut add);
        }
        if ips.is_empty() {
            ips.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        }
        let listeners = ips.into_iter();
        listeners.map(|ip| SocketAddr::new(ip, DNS_PORT)).collect()
    }

    /// Those addresses of ours that machines of the boot network can ask at.
    pub(crate) fn service_addresses(&self, config: &Config, dns: &Dns) -> Vec<IpAddr> {
        let listeners = self.listeners(config, dns);
        let is_everywhere = |v6: bool| {
            let mut ips = listeners.iter().map(SocketAddr::ip);
            ips.any(|ip| ip.is_unspecified() && (ip.is_ipv6() || !v6))
        };
        let named = listeners.iter().map(SocketAddr::ip);
        let mut addresses: Vec<IpAddr> = named.filter(|ip| !ip.is_unspecified()).collect();
        for own in &self.0 {
            let is_known = addresses.contains(&own.address);
            let is_ours = is_everywhere(own.address.is_ipv6()) && !is_link_local(own.address);
            if is_ours && !own.address.is_loopback() && !is_known {
                addresses.push(own.address);
            }
        }
        // What only this machine can reach is told to nobody, if there is anything else.
        if addresses.iter().any(|address| !address.is_loopback()) {
            addresses.retain(|address| !address.is_loopback());
        }
        let is_in_a_subnet = |address: &IpAddr| {
            let mut subnets = config.dhcp.iter().flat_map(|dhcp| &dhcp.subnets);
            subnets.any(|subnet| match address {
                IpAddr::V4(address) => subnet.network.contains(*address),
                IpAddr::V6(_) => false,
            })
        };
        addresses.sort_by_key(|address| !is_in_a_subnet(address));
        addresses
    }

    /// Who is meant by a list of clients.
    pub(crate) fn access_list(&self, config: &Config, dns: &Dns, of: &DnsClients) -> AccessList {
        let networks = |networks: Vec<Network>, may: bool| {
            let sign = if may { "" } else { "!" };
            let texts = networks.into_iter();
            texts.map(move |network| format!("{sign}{network}"))
        };
        let texts: Vec<String> = match of {
            DnsClients::Own => {
                let own = self.own_networks(config, dns);
                networks(own, true).collect()
            }
            DnsClients::Listed(listed) => (listed.iter())
                .flat_map(|element| match element.who {
                    DnsWho::Any => vec![match element.may {
                        true => "any".to_owned(),
                        false => "!any".to_owned(),
                    }],
                    DnsWho::Localhost => networks(self.localhost(), element.may).collect(),
                    DnsWho::Localnets => networks(self.localnets(), element.may).collect(),
                    DnsWho::Network(network) => networks(vec![network], element.may).collect(),
                })
                .collect(),
        };
        // They are what a network looks like.
        AccessList::parse(&texts).unwrap_or_default()
    }

    /// Every address of this machine, loopback's whole network included.
    fn localhost(&self) -> Vec<Network> {
        let own = self.0.iter().map(|own| Network::from(own.address));
        loopback().into_iter().chain(own).collect()
    }

    /// The networks that this machine has an interface in.
    fn localnets(&self) -> Vec<Network> {
        let own = self.0.iter().map(|own| own.network);
        loopback().into_iter().chain(own).collect()
    }

    /// This machine and the boot network: the subnets of DHCP, and the networks of the interfaces
    /// that we listen at. If we listen everywhere, subnets tell which interfaces are the boot
    /// network's; without subnets, all are.
    pub(crate) fn own_networks(&self, config: &Config, dns: &Dns) -> Vec<Network> {
        let subnets = config.dhcp.iter().flat_map(|dhcp| &dhcp.subnets);
        let subnets: Vec<Network> = subnets
            .filter_map(|subnet| {
                let first = IpAddr::V4(subnet.network.network());
                Network::new(first, subnet.network.prefix())
            })
            .collect();
        let listeners = self.listeners(config, dns);
        let is_home = |own: &InterfaceAddress| {
            let is_named = listeners.iter().any(|at| at.ip() == own.address);
            let is_in_subnet = subnets.iter().any(|subnet| subnet.contains(own.address));
            let is_everywhere = listeners.iter().any(|at| at.ip().is_unspecified());
            is_named || is_in_subnet || (subnets.is_empty() && is_everywhere)
        };
        let home = self.0.iter().filter(|own| is_home(own));
        let names: Vec<&str> = home.map(|own| own.interface.as_str()).collect();
        let at_home = self.0.iter();
        let at_home = at_home.filter(|own| names.contains(&own.interface.as_str()));
        let mut networks = self.localhost();
        networks.extend(subnets.iter().copied());
        networks.extend(at_home.map(|own| own.network));
        networks
    }
}

fn loopback() -> Vec<Network> {
    let v4 = Network::new(IpAddr::from([127, 0, 0, 0]), 8);
    let v6 = Network::from(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));
    v4.into_iter().chain([v6]).collect()
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
