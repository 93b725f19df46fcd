//! `[dhcp]` and its subnets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use pxe_dhcp::Ipv4Net;

use super::super::file::{self, OneOrMany};
use super::super::place::Problems;
use super::super::{Boot, Dhcp, Http, Subnet, Tftp};
use super::value::{address, addresses, number};

/// IFNAMSIZ without the NUL.
const INTERFACE_BYTES_MAX: usize = 15;

/// Addresses that a machine must not get, and the keys that say so.
pub(super) type Taken = BTreeMap<Ipv4Addr, &'static str>;

/// Every address that the configuration itself says is this server's.
pub(super) fn own_addresses(boot: Option<&Boot>, tftp: Option<&Tftp>, http: &[Http]) -> Taken {
    let http = http
        .iter()
        .flat_map(|http| &http.listen)
        .map(|at| (at, "http.listen"));
    let tftp = tftp
        .into_iter()
        .flat_map(|tftp| &tftp.listen)
        .map(|at| (at, "tftp.listen"));
    let listeners = http
        .chain(tftp)
        .filter_map(|(listener, key)| match listener.ip() {
            IpAddr::V4(address) if !address.is_unspecified() => Some((address, key)),
            _ => None,
        });
    let next_server = boot.and_then(|boot| boot.next_server);
    listeners
        .chain(next_server.map(|address| (address, "boot.next_server")))
        .collect()
}

pub(super) fn dhcp(problems: &mut Problems<'_>, raw: &file::Dhcp, mut owned: Taken) -> Dhcp {
    let interfaces = interfaces(problems, &raw.interface);
    let listen = listen(problems, &raw.listen);
    owned.extend(listen.iter().map(|address| (*address, "dhcp.listen")));
    let mut subnets: Vec<Subnet> = Vec::new();
    for (path, raw) in raw.subnet.with_paths("dhcp.subnet") {
        let Some(subnet) = subnet(problems, &path, raw, &owned) else {
            continue;
        };
        if let Some(twin) = subnets
            .iter()
            .find(|other| overlap(other.network, subnet.network))
        {
            problems.error(
                &format!("{path}.network"),
                format!("{} overlaps {}", subnet.network, twin.network),
                "give each network once",
            );
        }
        subnets.push(subnet);
    }
    if raw.subnet.values.is_empty() {
        problems.error(
            "dhcp.subnet",
            "no network is configured",
            "add [[dhcp.subnet]] with network and pools",
        );
    }
    if raw.interface.values.is_empty() && raw.listen.values.is_empty() {
        problems.error(
            "dhcp.interface",
            "no interface is named",
            "add interface = \"..\" to [dhcp]; `ip link` shows those of this machine",
        );
    }
    let port = number(problems, "dhcp.port", raw.port, 1..=65_534);
    Dhcp {
        interfaces,
        listen,
        port: port.unwrap_or(67),
        subnets,
    }
}

fn listen(problems: &mut Problems<'_>, raw: &OneOrMany<String>) -> Vec<Ipv4Addr> {
    let mut listen: Vec<Ipv4Addr> = Vec::new();
    for (path, text) in raw.with_paths("dhcp.listen") {
        let Some(own) = address(problems, &path, text) else {
            continue;
        };
        if own.is_multicast() || own.is_broadcast() {
            problems.error(
                &path,
                format!("{own} is no machine's address"),
                "choose one that `ip address` shows; an interface hears broadcasts by itself",
            );
        } else if listen.contains(&own) {
            problems.error(&path, format!("{own} is named twice"), "name it once");
        } else {
            listen.push(own);
        }
    }
    listen
}

fn interfaces(problems: &mut Problems<'_>, raw: &OneOrMany<String>) -> Vec<String> {
    // Both spellings are allowed, so the place is looked up under the one that was used.
    let key = ["dhcp.interfaces", "dhcp.interface"]
        .into_iter()
        .find(|key| problems.places().contains(key))
        .unwrap_or("dhcp.interface");
    let mut interfaces: Vec<String> = Vec::new();
    for (path, name) in raw.with_paths(key) {
        let bad = |char: char| char == '/' || char.is_control() || char.is_whitespace();
        if name.is_empty() || name.len() > INTERFACE_BYTES_MAX || name.contains(bad) {
            problems.error(
                &path,
                format!("{name:?} is no name of an interface"),
                "see `ip link` for those of this machine",
            );
        } else if interfaces.contains(name) {
            problems.error(&path, format!("{name} is named twice"), "name it once");
        } else {
            interfaces.push(name.clone());
        }
    }
    interfaces
}

fn subnet(
    problems: &mut Problems<'_>,
    path: &str,
    raw: &file::Subnet,
    owned: &Taken,
) -> Option<Subnet> {
    let network = network(problems, &format!("{path}.network"), raw.network.as_deref());
    let routers = addresses(problems, &format!("{path}.routers"), &raw.routers);
    let dns_servers = addresses(problems, &format!("{path}.dns_servers"), &raw.dns_servers);
    let (lease_seconds, lease_seconds_max) = lease_times(problems, path, raw);
    if let Some(name) = &raw.domain_name
        && !is_domain_name(name)
    {
        problems.error(
            &format!("{path}.domain_name"),
            format!("{name:?} is no domain name"),
            "write labels of letters, digits and hyphens, joined by dots",
        );
    }
    let network = network?;
    for (index, router) in routers.iter().enumerate() {
        if !network.contains(*router) {
            problems.warning(
                &format!("{path}.routers[{index}]"),
                format!("{router} is outside {network}, so machines cannot reach it"),
                "choose an address of that network",
            );
        }
    }
    let mut taken = owned.clone();
    taken.extend(
        routers
            .iter()
            .map(|router| (*router, "dhcp.subnet.routers")),
    );
    taken.extend(
        dns_servers
            .iter()
            .map(|server| (*server, "dhcp.subnet.dns_servers")),
    );
    Some(Subnet {
        network,
        pools: pools(
            problems,
            &format!("{path}.pools"),
            &raw.pools,
            network,
            &taken,
        ),
        routers,
        dns_servers,
        domain_name: raw.domain_name.clone(),
        lease_seconds,
        lease_seconds_max,
    })
}

fn network(problems: &mut Problems<'_>, path: &str, text: Option<&str>) -> Option<Ipv4Net> {
    let Some(text) = text else {
        let remedy = "add network = \"192.168.150.0/24\", as `ip address` shows yours";
        problems.error(path, "no network is named", remedy);
        return None;
    };
    let parts = text.split_once('/').and_then(|(address, prefix)| {
        let address: Ipv4Addr = address.parse().ok()?;
        Some((address, Ipv4Net::new(address, prefix.parse().ok()?)?))
    });
    let (message, remedy) = match parts {
        None => (
            format!("{text:?} is no IPv4 network"),
            "write it as 192.168.150.0/24".to_owned(),
        ),
        Some((_, network)) if !(1..=30).contains(&network.prefix()) => (
            format!("{network} cannot be served"),
            "choose a prefix length of 1 to 30".to_owned(),
        ),
        Some((address, network)) if address != network.network() => (
            format!("{text} is an address in a network, not a network"),
            format!("write {network}"),
        ),
        Some((_, network)) => return Some(network),
    };
    problems.error(path, message, remedy);
    None
}

fn pools(
    problems: &mut Problems<'_>,
    path: &str,
    raw: &OneOrMany<String>,
    network: Ipv4Net,
    taken: &Taken,
) -> Vec<RangeInclusive<Ipv4Addr>> {
    if raw.values.is_empty() {
        let example = Ipv4Addr::from_bits(network.network().to_bits() | 2);
        problems.error(
            path,
            "there are no addresses to give",
            format!("add pools = [\"{example}-..\"]"),
        );
    }
    let mut pools: Vec<RangeInclusive<Ipv4Addr>> = Vec::new();
    for (path, text) in raw.with_paths(path) {
        let Some(pool) = range(problems, &path, text) else {
            continue;
        };
        let outside = [*pool.start(), *pool.end()]
            .into_iter()
            .find(|address| !network.contains(*address));
        if let Some(outside) = outside {
            problems.error(
                &path,
                format!("{outside} is outside {network}"),
                "choose addresses of that network",
            );
            continue;
        }
        for (address, what) in [
            (network.network(), "the network's own address"),
            (network.broadcast(), "the broadcast address"),
        ] {
            if pool.contains(&address) {
                problems.error(
                    &path,
                    format!("{text} contains {address}, {what}"),
                    "leave it out",
                );
            }
        }
        for (address, key) in taken.range(pool.clone()) {
            problems.error(
                &path,
                format!("{text} contains {address}, which {key} says is taken"),
                "leave it out, or a machine may get it",
            );
        }
        let twin = pools
            .iter()
            .find(|other| other.start() <= pool.end() && pool.start() <= other.end());
        if let Some(twin) = twin {
            problems.error(
                &path,
                format!("{text} overlaps {}-{}", twin.start(), twin.end()),
                "give each address once",
            );
        }
        pools.push(pool);
    }
    pools
}

fn range(problems: &mut Problems<'_>, path: &str, text: &str) -> Option<RangeInclusive<Ipv4Addr>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first = first.trim().parse::<Ipv4Addr>();
    let last = last.trim().parse::<Ipv4Addr>();
    match (first, last) {
        (Ok(first), Ok(last)) if first <= last => return Some(first..=last),
        (Ok(first), Ok(last)) => problems.error(
            path,
            format!("{text} is empty, since its end comes before its beginning"),
            format!("write {last}-{first}"),
        ),
        _ => problems.error(
            path,
            format!("{text:?} is no range of IPv4 addresses"),
            "write it as 192.168.150.30-192.168.150.50",
        ),
    }
    None
}

fn lease_times(problems: &mut Problems<'_>, path: &str, raw: &file::Subnet) -> (u32, u32) {
    const USUAL: u32 = 3600;
    const USUAL_MAX: u32 = 86_400;
    // 2^32 - 1 means "for ever" (RFC 2131 section 3.3), which no lease of a boot should last.
    let range = 1..=i64::from(u32::MAX - 1);
    let usual = format!("{path}.lease_seconds");
    let longest = format!("{path}.lease_seconds_max");
    let seconds = number(problems, &usual, raw.lease_seconds, range.clone());
    let seconds_max = number(problems, &longest, raw.lease_seconds_max, range);
    match (seconds, seconds_max) {
        (Some(seconds), Some(max)) => {
            if max < seconds {
                problems.error(
                    &longest,
                    format!("{max} is less than lease_seconds, which is {seconds}"),
                    "make it at least as long",
                );
            }
            (seconds, max)
        }
        (Some(seconds), None) => (seconds, seconds.max(USUAL_MAX)),
        (None, Some(max)) => (max.min(USUAL), max),
        (None, None) => (USUAL, USUAL_MAX),
    }
}

/// RFC 1123 section 2.1; a final dot is allowed, and underscores, which some sites use.
fn is_domain_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Two networks either contain one another or have no address in common: they are prefixes.
fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}
