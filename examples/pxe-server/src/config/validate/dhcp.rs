//! `[dhcp]` and its subnets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use pxe_dhcp::{Bootp, Ipv4Net, Mode, Probing};

use super::super::file::{self, OneOrMany};
use super::super::place::Problems;
use super::super::{Boot, Dhcp, Host, Http, Nfs, Subnet, Tftp};
use super::class::classes;
use super::host::hosts;
use super::option::options;
use super::value::{address, addresses, choice, number, server_address};

/// IFNAMSIZ without the NUL.
const INTERFACE_BYTES_MAX: usize = 15;

/// Addresses that a machine must not get, and the keys that say so.
pub(super) type Taken = BTreeMap<Ipv4Addr, &'static str>;

/// Every address that the configuration itself says is this server's.
pub(super) fn own_addresses(
    boot: Option<&Boot>,
    tftp: Option<&Tftp>,
    http: &[Http],
    nfs: Option<&Nfs>,
    dns: Option<&[SocketAddr]>,
) -> Taken {
    let http = http
        .iter()
        .flat_map(|http| &http.listen)
        .map(|at| (at, "http.listen"));
    let tftp = tftp
        .into_iter()
        .flat_map(|tftp| &tftp.listen)
        .map(|at| (at, "tftp.listen"));
    let nfs = nfs.into_iter().flat_map(|nfs| &nfs.listen);
    let listeners = http
        .chain(tftp)
        .chain(nfs.map(|at| (at, "nfs.listen")))
        .chain(dns.into_iter().flatten().map(|at| (at, "dns.listen")))
        .filter_map(|(listener, key)| match listener.ip() {
            IpAddr::V4(address) if !address.is_unspecified() => Some((address, key)),
            _ => None,
        });
    let next_server = boot.and_then(|boot| boot.next_server);
    listeners
        .chain(next_server.map(|address| (address, "boot.next_server")))
        .collect()
}

/// The modes' names.
const MODES: [(&str, Mode); 3] = [
    ("authoritative", Mode::Authoritative),
    ("proxy", Mode::Proxy),
    ("binl", Mode::Binl),
];

pub(super) fn dhcp(problems: &mut Problems<'_>, raw: &file::Dhcp, mut owned: Taken) -> Dhcp {
    let mode = choice(problems, "dhcp.mode", raw.mode.as_deref(), &MODES).unwrap_or_default();
    let interfaces = interfaces(problems, &raw.interface);
    let listen = listen(problems, &raw.listen);
    owned.extend(listen.iter().map(|address| (*address, "dhcp.listen")));
    let mut subnets: Vec<Subnet> = Vec::new();
    let mut without_pools: Vec<(String, Ipv4Net)> = Vec::new();
    for (path, raw) in raw.subnet.with_paths("dhcp.subnet") {
        let Some(subnet) = subnet(problems, &path, raw, mode, &owned) else {
            continue;
        };
        if raw.pools.values.is_empty() {
            without_pools.push((format!("{path}.pools"), subnet.network));
        }
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
    if raw.subnet.values.is_empty() && mode.gives_addresses() {
        problems.error(
            "dhcp.subnet",
            "no network is configured",
            "add [[dhcp.subnet]] with network and pools, or mode = \"proxy\" where another \
             server gives the addresses",
        );
    }
    if raw.interface.values.is_empty() && raw.listen.values.is_empty() {
        problems.error(
            "dhcp.interface",
            "no interface is named",
            "add interface = \"..\" to [dhcp]; `ip link` shows those of this machine",
        );
    }
    let hosts = hosts(problems, raw, mode, &subnets, &owned);
    if mode.gives_addresses() {
        something_to_give(problems, &without_pools, &hosts);
    }
    let (port, binl_port) = ports(problems, raw);
    let probing = [("off", Probing::Off), ("reused", Probing::Reused)];
    let usual = pxe_dhcp::Config::new();
    let seconds = |seconds: Option<u64>, usual| seconds.map_or(usual, Duration::from_secs);
    Dhcp {
        interfaces,
        listen,
        port,
        binl_port,
        mode,
        probing: choice(problems, "dhcp.probing", raw.probing.as_deref(), &probing)
            .unwrap_or(usual.probing),
        offer: seconds(
            number(problems, "dhcp.offer_seconds", raw.offer_seconds, 5..=3600),
            usual.offer_time,
        ),
        quarantine: seconds(
            number(
                problems,
                "dhcp.quarantine_seconds",
                raw.quarantine_seconds,
                0..=604_800,
            ),
            usual.quarantine_time,
        ),
        limits: limits(problems, &raw.limits),
        options: options(problems, "dhcp.options", &raw.options),
        classes: classes(problems, &raw.class),
        subnets,
        hosts,
    }
}

fn ports(problems: &mut Problems<'_>, raw: &file::Dhcp) -> (u16, u16) {
    let port = number(problems, "dhcp.port", raw.port, 1..=65_534).unwrap_or(67);
    let binl_port = number(problems, "dhcp.binl_port", raw.binl_port, 1..=65_535).unwrap_or(4011);
    if binl_port == port {
        problems.error(
            "dhcp.binl_port",
            format!("{binl_port} is the DHCP server's port"),
            "choose another one; firmware knows 4011 only",
        );
    }
    (port, binl_port)
}

fn limits(problems: &mut Problems<'_>, raw: &file::Limits) -> pxe_dhcp::Limits {
    let mut limits = pxe_dhcp::Limits::new();
    let (offers, leases) = (1_048_576, 16_777_216);
    for (key, value, max, limit) in [
        ("leases_max", raw.leases_max, leases, &mut limits.leases_max),
        ("offers_max", raw.offers_max, offers, &mut limits.offers_max),
        (
            "quarantined_max",
            raw.quarantined_max,
            offers,
            &mut limits.quarantined_max,
        ),
        (
            "offers_per_port_max",
            raw.offers_per_port_max,
            offers,
            &mut limits.offers_per_port_max,
        ),
        (
            "leases_per_port_max",
            raw.leases_per_port_max,
            leases,
            &mut limits.leases_per_port_max,
        ),
        (
            "leases_per_oui_max",
            raw.leases_per_oui_max,
            leases,
            &mut limits.leases_per_oui_max,
        ),
    ] {
        let path = format!("dhcp.limits.{key}");
        if let Some(value) = number(problems, &path, value, 1..=max) {
            *limit = value;
        }
    }
    for (key, value, limit) in [
        ("client_burst", raw.client_burst, &mut limits.client_burst),
        (
            "client_messages_per_second",
            raw.client_messages_per_second,
            &mut limits.client_messages_per_second,
        ),
        (
            "new_clients_burst",
            raw.new_clients_burst,
            &mut limits.new_clients_burst,
        ),
        (
            "new_clients_per_second",
            raw.new_clients_per_second,
            &mut limits.new_clients_per_second,
        ),
    ] {
        let path = format!("dhcp.limits.{key}");
        if let Some(value) = number(problems, &path, value, 1..=1_048_576) {
            *limit = value;
        }
    }
    limits
}

/// A subnet without pools gives addresses to its hosts alone.
fn something_to_give(
    problems: &mut Problems<'_>,
    without_pools: &[(String, Ipv4Net)],
    hosts: &[Host],
) {
    for (path, network) in without_pools {
        let mut reserved = hosts.iter().filter_map(|host| host.address);
        if !reserved.any(|address| network.contains(address)) {
            let example = Ipv4Addr::from_bits(network.network().to_bits() | 2);
            problems.error(
                path,
                "there are no addresses to give",
                format!("add pools = [\"{example}-..\"]"),
            );
        }
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
    mode: Mode,
    owned: &Taken,
) -> Option<Subnet> {
    let network = network(problems, &format!("{path}.network"), raw.network.as_deref());
    let routers = addresses(problems, &format!("{path}.routers"), &raw.routers);
    let dns_servers = addresses(problems, &format!("{path}.dns_servers"), &raw.dns_servers);
    let (lease_seconds, lease_seconds_min, lease_seconds_max) = lease_times(problems, path, raw);
    let (t1_seconds, t2_seconds) = renewal_times(problems, path, raw, lease_seconds);
    let server_ip = raw
        .server_ip
        .as_deref()
        .and_then(|text| server_address(problems, &format!("{path}.server_ip"), text));
    let bootp = bootp(problems, path, raw);
    let options = options(problems, &format!("{path}.options"), &raw.options);
    let named = [
        (3, "routers", !routers.is_empty()),
        (6, "dns_servers", !dns_servers.is_empty()),
        (15, "domain_name", raw.domain_name.is_some()),
    ];
    for (code, key, is_set) in named {
        if is_set && options.iter().any(|option| option.code.0 == code) {
            problems.error(
                &format!("{path}.options"),
                format!("option {code} is written twice: {key} is that, too"),
                "remove one of the two",
            );
        }
    }
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
    let mut pools_of = |key: &str, raw, taken: &Taken| {
        let path = format!("{path}.{key}");
        pools(problems, &path, raw, network, taken)
    };
    let exclusions = pools_of("exclude", &raw.exclude, &Taken::new());
    // What is not given may be taken.
    taken.retain(|address, _| !exclusions.iter().any(|range| range.contains(address)));
    let pools = pools_of("pools", &raw.pools, &taken);
    if !pools.is_empty() && !mode.gives_addresses() {
        problems.error(
            &format!("{path}.pools"),
            format!("another server gives the addresses in {mode} mode"),
            "remove the pools, or set dhcp.mode = \"authoritative\"",
        );
    }
    Some(Subnet {
        network,
        shared_network: raw.shared_network.clone(),
        pools,
        exclusions,
        routers,
        dns_servers,
        domain_name: raw.domain_name.clone(),
        lease_seconds,
        lease_seconds_min,
        lease_seconds_max,
        t1_seconds,
        t2_seconds,
        server_ip,
        known_clients_only: raw.known_clients_only.unwrap_or(false),
        bootp,
        options,
    })
}

fn bootp(problems: &mut Problems<'_>, path: &str, raw: &file::Subnet) -> Bootp {
    let lease = format!("{path}.bootp_lease_seconds");
    let range = 1..=i64::from(u32::MAX - 1);
    let lease_seconds = number(problems, &lease, raw.bootp_lease_seconds, range);
    let kinds = [
        ("off", Bootp::Ignored),
        ("reserved", Bootp::Reserved),
        (
            "dynamic",
            Bootp::Dynamic {
                lease_seconds: lease_seconds.unwrap_or(86_400),
            },
        ),
    ];
    let bootp = choice(
        problems,
        &format!("{path}.bootp"),
        raw.bootp.as_deref(),
        &kinds,
    );
    let bootp = bootp.unwrap_or_default();
    if lease_seconds.is_some() && !matches!(bootp, Bootp::Dynamic { .. }) {
        problems.warning(
            &lease,
            "has no effect",
            "set bootp = \"dynamic\", or remove it",
        );
    }
    bootp
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

/// The usual lease time, the shortest, and the longest.
fn lease_times(problems: &mut Problems<'_>, path: &str, raw: &file::Subnet) -> (u32, u32, u32) {
    const USUAL: u32 = 3600;
    const USUAL_MIN: u32 = 120;
    const USUAL_MAX: u32 = 86_400;
    // 2^32 - 1 means "for ever" (RFC 2131 section 3.3), which no lease of a boot should last.
    let range = 1..=i64::from(u32::MAX - 1);
    let (shortest, longest) = (
        format!("{path}.lease_seconds_min"),
        format!("{path}.lease_seconds_max"),
    );
    let usual = format!("{path}.lease_seconds");
    let seconds: Option<u32> = number(problems, &usual, raw.lease_seconds, range.clone());
    let min: Option<u32> = number(problems, &shortest, raw.lease_seconds_min, range.clone());
    let max: Option<u32> = number(problems, &longest, raw.lease_seconds_max, range);
    // What is not said gives way to what is.
    let usual = seconds.unwrap_or_else(|| {
        let least = USUAL.max(min.unwrap_or(0));
        least.min(max.unwrap_or(u32::MAX))
    });
    let least = min.unwrap_or(USUAL_MIN.min(usual));
    let most = max.unwrap_or(USUAL_MAX.max(usual));
    if most < usual {
        problems.error(
            &longest,
            format!("{most} is less than lease_seconds, which is {usual}"),
            "make it at least as long",
        );
    }
    if least > usual {
        let what = match seconds {
            Some(_) => "lease_seconds",
            None => "lease_seconds_max",
        };
        problems.error(
            &shortest,
            format!("{least} is more than {what}, which is {usual}"),
            "make it at most as long",
        );
    }
    (usual, least, most)
}

/// T1 and T2, which RFC 2131 section 4.4.5 wants in this order before the lease's end.
fn renewal_times(
    problems: &mut Problems<'_>,
    path: &str,
    raw: &file::Subnet,
    lease_seconds: u32,
) -> (Option<u32>, Option<u32>) {
    let range = 1..=i64::from(u32::MAX - 1);
    let (t1_path, t2_path) = (format!("{path}.t1_seconds"), format!("{path}.t2_seconds"));
    let t1: Option<u32> = number(problems, &t1_path, raw.t1_seconds, range.clone());
    let t2: Option<u32> = number(problems, &t2_path, raw.t2_seconds, range);
    let usual_t2 = (u64::from(lease_seconds) * 7 / 8) as u32;
    let (first, second) = (t1.unwrap_or(lease_seconds / 2), t2.unwrap_or(usual_t2));
    if (t1.is_some() || t2.is_some()) && !(first < second && second < lease_seconds) {
        problems.error(
            if t1.is_some() { &t1_path } else { &t2_path },
            format!("t1 is {first}, t2 is {second}, and lease_seconds is {lease_seconds}"),
            "put them in that order: t1 < t2 < lease_seconds",
        );
    }
    (t1, t2)
}

/// RFC 1123 section 2.1; a final dot is allowed, and underscores, which some sites use.
pub(super) fn is_domain_name(name: &str) -> bool {
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
