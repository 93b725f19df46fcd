//! Zones that are made from the configuration's lines, with the reverse names of their hosts.
//!
//! They are made as zone files, so that a line means what it means there, and what is wrong with
//! one is found as it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use pxe_core::Network;
use pxe_dns::{Name, NameRef};

use super::interfaces::Interfaces;
use super::reverse;
use crate::config::{Config, Dns, DnsZone, ZoneContent};

/// Octets that a line cannot have: it begins the SOA record, whose serial is filled in later.
const SERIAL: &str = "\u{0}SERIAL";

/// A zone file that nobody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrittenZone {
    /// The zone's name.
    pub(crate) name: Name,
    /// The lines, without a serial.
    text: String,
    /// The key of each line of the text.
    keys: Vec<String>,
}

impl WrittenZone {
    fn new(name: Name, ttl_seconds: u32, server: &Name, key: &str) -> Self {
        let mut zone = Self {
            name,
            text: String::new(),
            keys: Vec::new(),
        };
        zone.push(key, &format!("$TTL {ttl_seconds}"));
        // Secondaries ask each hour, and a name that is not there yet is asked for again after a
        // minute: its machine may be about to get it.
        let soa = format!(
            "@ SOA {server} hostmaster.{} {SERIAL} 3600 900 1209600 60",
            zone.within(server)
        );
        zone.push(key, &soa);
        zone.push(key, &format!("@ NS {server}"));
        zone
    }

    /// Whose mail address stands in the SOA record: the domain of the server.
    fn within(&self, server: &Name) -> String {
        match server.as_ref().parent() {
            Some(parent) if !parent.is_root() => parent.to_string(),
            _ => server.to_string(),
        }
    }

    fn push(&mut self, key: &str, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.keys.push(key.to_owned());
    }

    /// The key of a line of the text, counted from 1.
    pub(crate) fn key(&self, line: u32) -> Option<&str> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        self.keys.get(index).map(String::as_str)
    }

    /// The zone file with this serial.
    pub(crate) fn with_serial(&self, serial: u32) -> String {
        self.text.replacen(SERIAL, &serial.to_string(), 1)
    }
}

/// All zones that are made from lines, and the server's own name.
pub(crate) fn written(config: &Config, dns: &Dns, interfaces: &Interfaces) -> Vec<WrittenZone> {
    let server = server_name(config, dns, interfaces);
    let own = interfaces.service_addresses(config, dns);
    let mut zones: Vec<WrittenZone> = Vec::new();
    let mut pointers: BTreeMap<IpAddr, Name> = BTreeMap::new();
    for zone in &dns.zones {
        let ZoneContent::Lines {
            hosts,
            records,
            ttl_seconds,
        } = &zone.content
        else {
            continue;
        };
        let mut made = WrittenZone::new(zone.name.clone(), *ttl_seconds, &server, &zone.key);
        let is_ours = server.as_ref().is_within(zone.name.as_ref());
        let is_elsewhere = !is_nearest(dns, zone, server.as_ref());
        let mut has_server = !is_ours;
        for (label, addresses) in hosts {
            let key = format!("{}.hosts.{label}", zone.key);
            let Ok(name) = Name::from_text(label.as_bytes(), Some(zone.name.as_ref())) else {
                continue;
            };
            has_server |= name == server;
            for address in addresses {
                made.push(&key, &address_line(&name, *address));
                if !name.as_ref().is_wildcard() && name != zone.name {
                    let pointer = pointers.entry(*address).or_insert_with(|| name.clone());
                    // An address of several names is the server's, or the first one's.
                    if name == server {
                        *pointer = name.clone();
                    }
                }
            }
        }
        if !has_server {
            for address in &own {
                // A zone around the server's own has it as glue, which is answered to nobody.
                made.push("dns.server_name", &address_line(&server, *address));
                if !is_elsewhere {
                    pointers.insert(*address, server.clone());
                }
            }
        }
        for (index, record) in records.iter().enumerate() {
            made.push(&format!("{}.records[{index}]", zone.key), record);
        }
        zones.push(made);
    }
    for name in reverse_zones(config, dns, pointers.keys()) {
        if !zones.iter().any(|zone| zone.name == name) {
            zones.push(WrittenZone::new(name, 3600, &server, "dns"));
        }
    }
    for (address, name) in pointers {
        let Some(owner) = reverse::name_of(address) else {
            continue;
        };
        let files = dns
            .zones
            .iter()
            .filter(|zone| matches!(zone.content, ZoneContent::File(_)));
        let nearest_file = files
            .filter(|zone| owner.as_ref().is_within(zone.name.as_ref()))
            .map(|zone| zone.name.as_ref().wire().len())
            .max();
        let nearest = zones
            .iter_mut()
            .filter(|zone| owner.as_ref().is_within(zone.name.as_ref()))
            .max_by_key(|zone| zone.name.as_ref().wire().len());
        if let Some(zone) = nearest
            && nearest_file.is_none_or(|len| len < zone.name.as_ref().wire().len())
        {
            zone.push("dns", &format!("{owner} PTR {name}"));
        }
    }
    zones
}

fn address_line(name: &Name, address: IpAddr) -> String {
    let kind = match address {
        IpAddr::V4(_) => "A",
        IpAddr::V6(_) => "AAAA",
    };
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _ = write!(line, "{name} {kind} {address}");
    line
}

/// Whether no other zone is nearer to this name.
fn is_nearest(dns: &Dns, zone: &DnsZone, name: NameRef<'_>) -> bool {
    let mut others = dns.zones.iter();
    !others.any(|other| {
        let is_nearer = other.name.as_ref().wire().len() > zone.name.as_ref().wire().len();
        is_nearer && name.is_within(other.name.as_ref())
    })
}

/// What this server is called: as is written; or as the host of its domain that has its address;
/// or as the machine itself, in that domain.
pub(crate) fn server_name(config: &Config, dns: &Dns, interfaces: &Interfaces) -> Name {
    if let Some(name) = &dns.server_name {
        return name.clone();
    }
    let own = interfaces.service_addresses(config, dns);
    let domain = dns.domain.as_ref();
    let zones = dns
        .zones
        .iter()
        .filter(|zone| domain.is_none_or(|domain| zone.name == *domain));
    for zone in zones.clone() {
        let ZoneContent::Lines { hosts, .. } = &zone.content else {
            continue;
        };
        let has_ours = |addresses: &[IpAddr]| {
            let is_ours = |address: &IpAddr| own.contains(address) || interfaces.has(*address);
            addresses.iter().any(is_ours)
        };
        let host = hosts.iter().find(|(label, addresses)| {
            !label.starts_with('*') && *label != "@" && has_ours(addresses)
        });
        let name = host.and_then(|(label, _)| {
            Name::from_text(label.as_bytes(), Some(zone.name.as_ref())).ok()
        });
        if let Some(name) = name {
            return name;
        }
    }
    let first = zones
        .map(|zone| &zone.name)
        .find(|name| !is_reverse(name.as_ref()));
    let origin = domain.or(first).map_or(NameRef::ROOT, Name::as_ref);
    let hostname = hostname();
    let label = hostname.split('.').next().unwrap_or_default();
    let name = Name::with_label(origin, label.as_bytes());
    name.or_else(|_| Name::with_label(origin, b"pxe"))
        .unwrap_or_else(|_| origin.to_name())
}

/// The kernel's name of this machine.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.unwrap_or_default().trim().to_owned()
}

fn is_reverse(name: NameRef<'_>) -> bool {
    let labels: Vec<&[u8]> = name.labels().collect();
    labels.ends_with(&[b"in-addr", b"arpa"]) || labels.ends_with(&[b"ip6", b"arpa"])
}

/// The zones for the names of addresses of the boot network, and of hosts that have private ones;
/// but not where a zone is configured that has them already.
fn reverse_zones<'a>(
    config: &Config,
    dns: &Dns,
    hosts: impl Iterator<Item = &'a IpAddr>,
) -> BTreeSet<Name> {
    let subnets = config.dhcp.iter().flat_map(|dhcp| &dhcp.subnets);
    let mut networks: Vec<Network> = subnets
        .filter_map(|subnet| {
            let first = IpAddr::V4(subnet.network.network());
            Network::new(first, subnet.network.prefix())
        })
        .collect();
    for host in hosts {
        let is_known = networks.iter().any(|network| network.contains(*host));
        // Others answer for public addresses.
        if !is_known && reverse::is_private(*host) {
            networks.extend(reverse::network_around(*host));
        }
    }
    let names = networks.into_iter().flat_map(reverse::zones_of);
    let is_configured = |name: &Name| {
        let mut zones = dns.zones.iter();
        zones.any(|zone| name.as_ref().is_within(zone.name.as_ref()))
    };
    names.filter(|name| !is_configured(name)).collect()
}
