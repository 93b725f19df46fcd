//! The network interfaces of this host.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use nix::net::if_::InterfaceFlags;
use pxe_core::{IfIndex, MacAddr};

/// The hardware type of Ethernet, and of what looks like it: bridges, VLANs, Wi-Fi (Linux,
/// include/uapi/linux/if_arp.h).
const ARPHRD_ETHER: u16 = 1;

/// A network interface, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: IfIndex,
    /// If it is Ethernet or looks like it.
    pub(super) mac: Option<MacAddr>,
    pub(super) is_up: bool,
    /// Its primary one first.
    pub(super) addresses: Vec<Ipv4Addr>,
}

/// All of them, by index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Interfaces {
    by_index: BTreeMap<IfIndex, Interface>,
}

impl Interfaces {
    /// Those that there are now.
    pub(super) fn list() -> io::Result<Self> {
        let mut by_name: BTreeMap<String, Interface> = BTreeMap::new();
        let mut addresses: Vec<(String, Ipv4Addr)> = Vec::new();
        for entry in nix::ifaddrs::getifaddrs()? {
            let Some(address) = entry.address else {
                continue;
            };
            if let Some(link) = address.as_link_addr() {
                let index = u32::try_from(link.ifindex()).ok().and_then(IfIndex::new);
                let Some(index) = index else { continue };
                let is_ethernet = link.hatype() == ARPHRD_ETHER && link.halen() == 6;
                let interface = Interface {
                    name: entry.interface_name.clone(),
                    index,
                    mac: link.addr().filter(|_| is_ethernet).map(MacAddr::new),
                    is_up: entry.flags.contains(InterfaceFlags::IFF_UP),
                    addresses: Vec::new(),
                };
                by_name.insert(entry.interface_name, interface);
            } else if let Some(address) = address.as_sockaddr_in() {
                // Addresses are listed by their label, such as `eth0:1`.
                let name = entry.interface_name.split(':').next().unwrap_or_default();
                addresses.push((name.to_owned(), address.ip()));
            }
        }
        for (name, address) in addresses {
            if let Some(interface) = by_name.get_mut(&name) {
                interface.addresses.push(address);
            }
        }
        let interfaces = by_name.into_values();
        Ok(Self {
            by_index: interfaces.map(|one| (one.index, one)).collect(),
        })
    }

    pub(super) fn get(&self, index: IfIndex) -> Option<&Interface> {
        self.by_index.get(&index)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Interface> {
        self.by_index.values().find(|one| one.name == name)
    }

    /// Every IPv4 address of this host.
    pub(super) fn addresses(&self) -> Vec<Ipv4Addr> {
        let interfaces = self.by_index.values();
        interfaces
            .flat_map(|one| one.addresses.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there_and_is_no_ethernet() {
        let interfaces = Interfaces::list().expect("a list");
        let lo = interfaces.named("lo").expect("loopback");
        assert_eq!(lo.mac, None);
        assert_eq!(interfaces.get(lo.index), Some(lo));
        assert_eq!(interfaces.named("no such"), None);
    }
}
