//! Which name a lease is to have, by the configuration and the zones in force.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::str::FromStr;

use pxe_dhcp::wire::OptionCode;
use pxe_dhcp::{
    ClientName, ClientNames, Ipv4Net, LeaseRecord, LeaseState, NoClientName, ReservedFor,
    host_label,
};
use pxe_dns::{Name, NameRef, Record, RecordType};

use super::claims::{Claim, MachineKey};
use crate::config::{Config, Dhcp, Host, Subnet};

/// The longest that others may remember the name of a lease, in seconds: RFC 4702 section 5 has ten
/// minutes as the least of an update's time to live, and here it is the most, as a name is to be gone
/// soon after its machine.
const TTL_SECONDS_MAX: u64 = 600;
/// The part of a lease that others may remember its name for (RFC 4702 section 5).
const TTL_PART: u64 = 3;

/// What decides.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    subnets: Vec<(Ipv4Net, ClientNames)>,
    /// The operator's names of a machine, and the address that each is for.
    hosts: BTreeMap<ReservedFor, Vec<(Option<Ipv4Addr>, String)>>,
    taken: Taken,
    /// Zones of the configuration that have the names of addresses, and whether leases are among
    /// them.
    reverse: Vec<(Name, bool)>,
}

/// What the zones themselves have, which no lease replaces.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Names in text form and lower case, with their addresses.
    names: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    /// Addresses that have a PTR record.
    pointers: BTreeSet<Ipv4Addr>,
}

/// Why a lease has no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// Its network has no zone for leases, or it says no name, or asks for none.
    Silent,
    /// It says a name that clients are not given.
    Withheld(String),
    /// The zone has the name for another address.
    Taken(String),
}

impl Taken {
    /// What records of zones take: all names that they are of, and `own`, the server's name.
    pub(crate) fn of(records: impl IntoIterator<Item = Record>, own: &Name) -> Self {
        let mut taken = Self::default();
        for record in records {
            if let Some(address) = address_of_pointer(record.owner.as_ref()) {
                if record.kind == RecordType::PTR {
                    taken.pointers.insert(address);
                }
                continue;
            }
            let name = key_of(record.owner.as_ref());
            let addresses = taken.names.entry(name).or_default();
            if record.kind == RecordType::A
                && let Ok(octets) = <[u8; 4]>::try_from(&record.data[..])
            {
                addresses.insert(octets.into());
            }
        }
        taken.names.entry(key_of(own.as_ref())).or_default();
        taken
    }
}

impl Rules {
    /// The rules of a configuration whose zones have these names of their own.
    pub(crate) fn new(config: &Config, taken: Taken) -> Self {
        let dhcp = config.dhcp.as_ref();
        let dhcp = dhcp.filter(|dhcp| dhcp.mode.gives_addresses());
        let subnets = dhcp.iter().flat_map(|dhcp| &dhcp.subnets);
        let subnets = subnets.filter_map(|subnet| {
            let names = client_names(config, subnet)?;
            Some((subnet.network, names))
        });
        let mut hosts: BTreeMap<ReservedFor, Vec<_>> = BTreeMap::new();
        for host in dhcp.iter().flat_map(|dhcp| &dhcp.hosts) {
            if let Some(name) = host.dns_name() {
                let of_machine = hosts.entry(host.client.clone()).or_default();
                of_machine.push((host.address, name.to_owned()));
            }
        }
        let zones = config.dns.iter().flat_map(|dns| &dns.zones);
        let reverse = zones.filter(|zone| is_reverse(zone.name.as_ref()));
        Self {
            subnets: subnets.collect(),
            hosts,
            taken,
            reverse: (reverse.map(|zone| (zone.name.clone(), zone.has_leases))).collect(),
        }
    }

    /// What a lease claims; `None` in both if it is over.
    pub(super) fn claim(&self, record: &LeaseRecord) -> Result<Claim, Unnamed> {
        let LeaseState::Bound { expires } = record.state else {
            return Err(Unnamed::Silent);
        };
        let subnet = self.subnets.iter();
        let subnet = subnet.filter(|(network, _)| network.contains(record.address));
        let subnet = subnet.max_by_key(|(network, _)| network.prefix());
        let Some((network, names)) = subnet else {
            return Err(Unnamed::Silent);
        };
        let own = self.own_name(record, *network);
        let name = names.of(own, record.fqdn.as_ref(), record.host_name.as_deref());
        let name = name.map_err(|why| match why {
            NoClientName::Withheld(name) => Unnamed::Withheld(name),
            _ => Unnamed::Silent,
        })?;
        let is_reserved = name.is_reserved;
        let name = absolute(&name).ok_or(Unnamed::Silent)?;
        if let Some(addresses) = self.taken.names.get(&name) {
            return Err(match addresses.contains(&record.address) {
                true => Unnamed::Silent,
                false => Unnamed::Taken(name),
            });
        }
        let seconds = expires.saturating_seconds_since(record.last_seen);
        let ttl = (seconds / TTL_PART).clamp(1, TTL_SECONDS_MAX);
        Ok(Claim {
            name,
            is_reserved,
            since: record.named_since,
            machine: MachineKey::all_of(record),
            ttl_seconds: u32::try_from(ttl).unwrap_or(u32::MAX),
        })
    }

    /// The records of a name that a lease holds: A, and PTR if the zone has none for the address.
    pub(super) fn records(&self, name: &str, address: Ipv4Addr, ttl_seconds: u32) -> Vec<Record> {
        let Ok(owner) = Name::from_str(name) else {
            return Vec::new();
        };
        let pointer = (!self.taken.pointers.contains(&address))
            .then(|| pointer_of(address))
            .flatten();
        let pointer = pointer.filter(|pointer| self.takes_pointer(pointer.as_ref()));
        let pointer = pointer.map(|pointer| {
            let data = owner.as_ref().wire().to_vec();
            Record::new(pointer, RecordType::PTR, ttl_seconds, data)
        });
        let data = address.octets().to_vec();
        std::iter::once(Record::new(owner, RecordType::A, ttl_seconds, data))
            .chain(pointer)
            .collect()
    }

    /// Zones that nobody wrote are there for them.
    fn takes_pointer(&self, pointer: NameRef<'_>) -> bool {
        let zones = self.reverse.iter();
        let around = zones.filter(|(zone, _)| pointer.is_within(zone.as_ref()));
        let nearest = around.max_by_key(|(zone, _)| zone.as_ref().wire().len());
        nearest.is_none_or(|(_, takes)| *takes)
    }

    /// The operator's name for whoever has this lease: by what it was recognised, or by what its
    /// record says of it, as the host may have been added since.
    fn own_name(&self, record: &LeaseRecord, network: Ipv4Net) -> Option<&str> {
        if self.hosts.is_empty() {
            return None;
        }
        let client_id = record.client_id.clone().map(ReservedFor::ClientId);
        let keys = [
            record.reserved_for.clone(),
            record.mac().map(ReservedFor::Mac),
            client_id,
            record.uuid.map(ReservedFor::Uuid),
        ];
        let hosts = keys
            .into_iter()
            .flatten()
            .find_map(|key| self.hosts.get(&key))?;
        let at = |wanted: &dyn Fn(Option<Ipv4Addr>) -> bool| {
            hosts.iter().find(|(address, _)| wanted(*address))
        };
        let here = at(&|address| address.is_some_and(|address| network.contains(address)));
        let host = here.or_else(|| at(&|address| address.is_none()));
        let (_, name) = host.or(hosts.first())?;
        Some(name)
    }
}

/// The domains in which machines of this network are named: its own domain, if its zone takes leases,
/// then the other zones that do, for machines that say so in full. A network without a domain has
/// that of `[dns]`, or else the first zone. `None` if leases have no names here.
pub(crate) fn client_names(config: &Config, subnet: &Subnet) -> Option<ClientNames> {
    let dhcp = config.dhcp.as_ref()?;
    let zones: Vec<NameRef<'_>> = (config.zones_of_leases())
        .map(|zone| zone.name.as_ref())
        .filter(|zone| !is_reverse(*zone))
        .collect();
    let own = match domain_of(dhcp, subnet) {
        Some(domain) => Some(Name::from_str(&domain).ok()?),
        None => config.dns.as_ref().and_then(|dns| dns.domain.clone()),
    };
    let domain = match own.as_ref().map(Name::as_ref) {
        Some(own) => (takes_leases(config, own) == Some(true)).then_some(own),
        None => zones.first().copied(),
    };
    let domain = key_of(domain?);
    let others = zones.iter().map(|zone| key_of(*zone));
    let others: Vec<String> = others.filter(|other| *other != domain).collect();
    Some(ClientNames::new(std::iter::once(domain).chain(others)))
}

/// Whether the zone that has this name takes leases; `None` if no zone of the configuration has it.
fn takes_leases(config: &Config, name: NameRef<'_>) -> Option<bool> {
    let zones = config.dns.iter().flat_map(|dns| &dns.zones);
    let around = zones.filter(|zone| name.is_within(zone.name.as_ref()));
    let nearest = around.max_by_key(|zone| zone.name.as_ref().wire().len());
    nearest.map(|zone| zone.has_leases)
}

/// Option 15, as the clients of this subnet are told it.
fn domain_of(dhcp: &Dhcp, subnet: &Subnet) -> Option<String> {
    let mut options = subnet.options.iter().chain(&dhcp.options);
    let option = options.find(|option| option.code == OptionCode::DOMAIN_NAME);
    let option = option.map(|option| String::from_utf8_lossy(&option.data).into_owned());
    subnet.domain_name.clone().or(option)
}

impl Host {
    /// By what the DNS calls it: its host name, or what else it is called if that is one.
    pub(crate) fn dns_name(&self) -> Option<&str> {
        let name = self.name.as_str();
        let is_host = host_label(name.as_bytes()).is_some_and(|it| it.eq_ignore_ascii_case(name));
        self.host_name.as_deref().or(is_host.then_some(name))
    }
}

/// The whole name, if it is one: it may be too long.
fn absolute(name: &ClientName) -> Option<String> {
    let name = name.to_string();
    Name::from_str(&name).is_ok().then_some(name)
}

/// A name as it is compared here: its text in lower case, without the final dot.
fn key_of(name: NameRef<'_>) -> String {
    let mut text = name.to_string().to_ascii_lowercase();
    text.pop();
    text
}

/// Whether it is the name of addresses, or of a zone of such names.
pub(crate) fn is_reverse(name: NameRef<'_>) -> bool {
    let labels: Vec<&[u8]> = name.labels().collect();
    let ends = |end: [&[u8]; 2]| {
        let last = labels.iter().rev().zip(end.iter().rev());
        labels.len() >= end.len() && last.into_iter().all(|(a, b)| a.eq_ignore_ascii_case(b))
    };
    ends([b"in-addr", b"arpa"]) || ends([b"ip6", b"arpa"])
}

/// The name whose PTR record tells an address (RFC 1035 section 3.5).
fn pointer_of(address: Ipv4Addr) -> Option<Name> {
    let [a, b, c, d] = address.octets();
    Name::from_str(&format!("{d}.{c}.{b}.{a}.in-addr.arpa")).ok()
}

fn address_of_pointer(name: NameRef<'_>) -> Option<Ipv4Addr> {
    if !is_reverse(name) {
        return None;
    }
    let mut labels = name.labels();
    let mut octet = || std::str::from_utf8(labels.next()?).ok()?.parse::<u8>().ok();
    let (d, c, b, a) = (octet()?, octet()?, octet()?, octet()?);
    Some([a, b, c, d].into())
}
