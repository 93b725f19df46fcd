//! `[dns]`: where it listens, its zones, and who may ask.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use pxe_core::Network;
use pxe_dns::{Name, NameRef, Upstream};

use super::super::file::{self, OneOrMany};
use super::super::place::Problems;
use super::super::suggest::nearest;
use super::super::{Dhcp, Dns, DnsAddress, DnsClients, DnsForward, DnsWho, DnsZone, ZoneContent};
use super::listen::listeners;
use super::value::number;
use crate::names::is_reverse;

/// RFC 1035 section 4.2.
const DNS_PORT: u16 = 53;
/// An hour: what is written changes seldom, and a reload is not to take a day to be seen.
const TTL_SECONDS_DEFAULT: u32 = 3600;
/// RFC 2181 section 8.
const TTL_SECONDS_MAX: i64 = i32::MAX as i64;
/// The words that lists of clients have beside addresses and networks.
const WORDS: [&str; 4] = ["any", "none", "localhost", "localnets"];

/// Where it listens, if that is said.
pub(super) fn dns_listeners(
    problems: &mut Problems<'_>,
    raw: &file::Dns,
) -> Option<Vec<SocketAddr>> {
    let listen = raw.listen.as_ref()?;
    Some(listeners(problems, "dns.listen", Some(listen), DNS_PORT))
}

pub(super) fn dns(
    problems: &mut Problems<'_>,
    raw: &file::Dns,
    listen: Option<Vec<SocketAddr>>,
    dhcp: Option<&Dhcp>,
    directory: &Path,
) -> Dns {
    let domains = domains(problems, raw, dhcp);
    let domain = domains.first().map(|(_, name)| name.clone());
    let allow_query = clients(problems, "dns.allow_query", raw.allow_query.as_ref());
    let mut zones: Vec<DnsZone> = Vec::new();
    for (path, raw) in raw.zone.with_paths("dns.zone") {
        let Some(zone) = zone(problems, &path, raw, &allow_query, &domains, directory) else {
            continue;
        };
        if zones.iter().any(|other| other.name == zone.name) {
            let message = format!("{} is there twice", zone.name);
            problems.error(&format!("{path}.name"), message, "remove one of the two");
        }
        zones.push(zone);
    }
    for (key, name) in &domains {
        if !zones.iter().any(|zone| zone.name == *name) {
            zones.push(by_itself(key, name, &allow_query));
        }
    }
    Dns {
        listen,
        server_name: server_name(problems, raw, domain.as_ref()),
        domain,
        allow_query,
        allow_recursion: clients(
            problems,
            "dns.allow_recursion",
            raw.allow_recursion.as_ref(),
        ),
        forward: forward(problems, raw.forward.as_ref()),
        forward_zones: forward_zones(problems, &raw.forward_zones, &zones),
        stop_rebinding: raw.stop_rebinding.unwrap_or(false),
        tls_ca: tls_ca(problems, raw.tls_ca.as_deref(), directory),
        zones,
    }
}

/// The domain of `[dns]`, then those of subnets, each once and with its key.
fn domains(
    problems: &mut Problems<'_>,
    raw: &file::Dns,
    dhcp: Option<&Dhcp>,
) -> Vec<(String, Name)> {
    let mut domains: Vec<(String, Name)> = Vec::new();
    match raw.domain.as_deref() {
        // They are told of domains that others serve.
        Some("") => return domains,
        Some(text) => {
            let name = name(problems, "dns.domain", text, NameRef::ROOT);
            let is_root = name.as_ref().map(Name::as_ref) == Some(NameRef::ROOT);
            if is_root {
                let remedy = "write your own domain, such as lab.lan, or \"\" for none";
                problems.error("dns.domain", "all names there are would be ours", remedy);
            }
            let name = name.filter(|_| !is_root);
            domains.extend(name.map(|name| ("dns.domain".to_owned(), name)));
        }
        None => {}
    }
    let subnets = dhcp.into_iter().flat_map(|dhcp| &dhcp.subnets).enumerate();
    for (index, subnet) in subnets {
        // Whether it is one was checked with the subnet.
        let name = subnet.domain_name.as_deref();
        let Some(Ok(name)) = name.map(str::parse::<Name>) else {
            continue;
        };
        if !domains.iter().any(|(_, other)| *other == name) {
            domains.push((format!("dhcp.subnet[{index}].domain_name"), name));
        }
    }
    domains
}

/// A zone that nobody wrote: its names are the server's and those of leases.
fn by_itself(key: &str, name: &Name, allow_query: &DnsClients) -> DnsZone {
    DnsZone {
        name: name.clone(),
        content: ZoneContent::Lines {
            hosts: BTreeMap::new(),
            records: Vec::new(),
            ttl_seconds: TTL_SECONDS_DEFAULT,
        },
        has_leases: true,
        allow_query: allow_query.clone(),
        allow_transfer: DnsClients::Listed(Vec::new()),
        key: key.to_owned(),
    }
}

fn zone(
    problems: &mut Problems<'_>,
    path: &str,
    raw: &file::DnsZone,
    allow_query: &DnsClients,
    domains: &[(String, Name)],
    directory: &Path,
) -> Option<DnsZone> {
    let name_path = format!("{path}.name");
    let Some(text) = &raw.name else {
        let remedy = "add name = \"lab.lan\"";
        problems.error(&name_path, "the zone has no name", remedy);
        return None;
    };
    let origin = name(problems, &name_path, text, NameRef::ROOT)?;
    let content = match raw.file.as_deref() {
        Some("") => {
            let remedy = "name a zone file, or remove the key";
            problems.error(&format!("{path}.file"), "is empty", remedy);
            return None;
        }
        Some(file) => {
            let others = [
                ("hosts", !raw.hosts.is_empty()),
                ("records", !raw.records.values.is_empty()),
                ("ttl_seconds", raw.ttl_seconds.is_some()),
            ];
            for (key, _) in others.into_iter().filter(|(_, is_there)| *is_there) {
                problems.error(
                    &format!("{path}.{key}"),
                    format!("the zone's records are those of {file}"),
                    "write it into that file, or remove one of the two",
                );
            }
            ZoneContent::File(directory.join(file))
        }
        None => lines(problems, path, raw, &origin),
    };
    let is_domain = domains.iter().any(|(_, domain)| *domain == origin);
    let own_query = raw.allow_query.as_ref();
    let allow_transfer = format!("{path}.allow_transfer");
    Some(DnsZone {
        content,
        has_leases: (raw.leases).unwrap_or(is_domain || is_reverse(origin.as_ref())),
        allow_query: match own_query {
            None => allow_query.clone(),
            some => clients(problems, &format!("{path}.allow_query"), some),
        },
        allow_transfer: match raw.allow_transfer.as_ref() {
            None => DnsClients::Listed(Vec::new()),
            some => clients(problems, &allow_transfer, some),
        },
        name: origin,
        key: path.to_owned(),
    })
}

fn lines(
    problems: &mut Problems<'_>,
    path: &str,
    raw: &file::DnsZone,
    origin: &Name,
) -> ZoneContent {
    let mut hosts = BTreeMap::new();
    for (label, texts) in &raw.hosts {
        let path = format!("{path}.hosts.{label}");
        name(problems, &path, label, origin.as_ref());
        let mut addresses = Vec::new();
        if texts.values.is_empty() {
            let remedy = "add its address, or remove the name";
            problems.error(&path, format!("{label} has no address"), remedy);
        }
        for (path, text) in texts.with_paths(&path) {
            match text.parse::<IpAddr>() {
                Ok(address) => addresses.push(address),
                Err(_) => problems.error(
                    &path,
                    format!("{text:?} is no address"),
                    "write it as 192.168.150.1 or fd00::1; other types go into records",
                ),
            }
        }
        hosts.insert(label.clone(), addresses);
    }
    let mut records = Vec::new();
    for (path, line) in raw.records.with_paths(&format!("{path}.records")) {
        if line.contains(['\n', '\r']) {
            let remedy = "write each record as an element of its own";
            problems.error(&path, "a record is a single line here", remedy);
        }
        records.push(line.clone());
    }
    let ttl = number(
        problems,
        &format!("{path}.ttl_seconds"),
        raw.ttl_seconds,
        0..=TTL_SECONDS_MAX,
    );
    ZoneContent::Lines {
        hosts,
        records,
        ttl_seconds: ttl.unwrap_or(TTL_SECONDS_DEFAULT),
    }
}

fn name(problems: &mut Problems<'_>, path: &str, text: &str, origin: NameRef<'_>) -> Option<Name> {
    let name = Name::from_text(text.as_bytes(), Some(origin));
    match name {
        Ok(name) if !name.as_ref().is_within(origin) => {
            let remedy = format!("write it without its last dot, or below {origin}");
            problems.error(path, format!("{text} is not in {origin}"), remedy);
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            let remedy = "write labels of letters, digits and hyphens, joined by dots";
            problems.error(path, format!("{text:?} is no domain name: {error}"), remedy);
            None
        }
    }
}

fn server_name(
    problems: &mut Problems<'_>,
    raw: &file::Dns,
    domain: Option<&Name>,
) -> Option<Name> {
    let text = raw.server_name.as_deref()?;
    let path = "dns.server_name";
    let origin = domain.map_or(NameRef::ROOT, Name::as_ref);
    match Name::from_text(text.as_bytes(), Some(origin)) {
        Ok(name) => Some(name),
        Err(error) => {
            problems.error(
                path,
                format!("{text:?} is no domain name: {error}"),
                "write the server's name, such as pxe, or pxe.matrix.lan. with its last dot",
            );
            None
        }
    }
}

fn clients(problems: &mut Problems<'_>, path: &str, raw: Option<&OneOrMany<String>>) -> DnsClients {
    let Some(raw) = raw else {
        return DnsClients::Own;
    };
    let mut listed = Vec::new();
    for (path, text) in raw.with_paths(path) {
        let (rest, may) = match text.strip_prefix('!') {
            Some(rest) => (rest.trim_start(), false),
            None => (text.as_str(), true),
        };
        let element = match rest {
            "any" => Some((DnsWho::Any, may)),
            "none" => Some((DnsWho::Any, !may)),
            "localhost" => Some((DnsWho::Localhost, may)),
            "localnets" => Some((DnsWho::Localnets, may)),
            network => {
                (network.parse::<Network>().ok()).map(|network| (DnsWho::Network(network), may))
            }
        };
        match element {
            Some((who, may)) => listed.push(DnsAddress { who, may }),
            None => {
                let remedy = match nearest(rest, WORDS) {
                    Some(word) => format!("did you mean {word}?"),
                    None => format!(
                        "write a network as 192.168.150.0/24, an address, or one of: {}",
                        WORDS.join(", ")
                    ),
                };
                problems.error(&path, format!("{text:?} is no network"), remedy);
            }
        }
    }
    DnsClients::Listed(listed)
}

fn forward(problems: &mut Problems<'_>, raw: Option<&OneOrMany<String>>) -> DnsForward {
    let Some(raw) = raw else {
        return DnsForward::System;
    };
    let mut upstreams: Vec<Upstream> = Vec::new();
    let mut is_system = false;
    for (path, text) in raw.with_paths("dns.forward") {
        match text.as_str() {
            "system" if raw.values.len() == 1 => is_system = true,
            "system" => problems.error(
                &path,
                "the system's name servers are asked alone",
                "remove \"system\", or the others",
            ),
            _ => {
                let remedy = match nearest(text, ["system"]) {
                    Some(word) => format!("did you mean {word}?"),
                    None => "write system, 9.9.9.9, or tls://9.9.9.9#dns.quad9.net; [] asks nobody"
                        .to_owned(),
                };
                upstream(problems, &path, text, remedy, &mut upstreams);
            }
        }
    }
    match (is_system, upstreams.is_empty()) {
        (true, _) => DnsForward::System,
        (false, true) => DnsForward::Nobody,
        (false, false) => DnsForward::Servers(upstreams),
    }
}

/// Reads a server that is asked, and puts it to the others.
fn upstream(
    problems: &mut Problems<'_>,
    path: &str,
    text: &str,
    remedy: String,
    upstreams: &mut Vec<Upstream>,
) {
    match text.parse::<Upstream>() {
        Ok(upstream) if upstreams.contains(&upstream) => {
            problems.error(path, format!("{text} is named twice"), "name it once");
        }
        Ok(upstream) => upstreams.push(upstream),
        Err(_) => problems.error(path, format!("{text:?} is no name server"), remedy),
    }
}

/// Names that other servers than `forward`'s are asked for.
fn forward_zones(
    problems: &mut Problems<'_>,
    raw: &BTreeMap<String, OneOrMany<String>>,
    zones: &[DnsZone],
) -> Vec<(Name, Vec<Upstream>)> {
    let mut read: Vec<(Name, Vec<Upstream>)> = Vec::new();
    for (text, servers) in raw {
        let path = format!("dns.forward_zones.{text}");
        let Some(name) = name(problems, &path, text, NameRef::ROOT) else {
            continue;
        };
        if let Some(zone) = zones.iter().find(|zone| zone.name == name) {
            let message = format!(
                "{name} is a zone here ({}): nobody is asked for it",
                zone.key
            );
            problems.error(&path, message, "remove one of the two");
        }
        if read.iter().any(|(other, _)| *other == name) {
            let message = format!("{name} is there twice");
            problems.error(&path, message, "remove one of the two");
            continue;
        }
        if servers.values.is_empty() {
            let remedy = "name them, or remove the name";
            problems.error(&path, format!("{name} has no servers"), remedy);
        }
        let mut upstreams = Vec::new();
        for (path, text) in servers.with_paths(&path) {
            let remedy = "write 10.0.0.53, or tls://10.0.0.53#dns.corp.lan".to_owned();
            upstream(problems, &path, text, remedy, &mut upstreams);
        }
        if !upstreams.is_empty() {
            read.push((name, upstreams));
        }
    }
    read
}

fn tls_ca(problems: &mut Problems<'_>, raw: Option<&str>, directory: &Path) -> Option<PathBuf> {
    let file = raw?;
    if file.is_empty() {
        let remedy = "name a file of certificates in PEM form, or remove the key";
        problems.error("dns.tls_ca", "is empty", remedy);
        return None;
    }
    Some(directory.join(file))
}
