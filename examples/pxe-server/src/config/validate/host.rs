//! `[[dhcp.host]]` and `[[dhcp.group]]`: machines that are known by themselves.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use pxe_core::MacAddr;
use pxe_dhcp::wire::OptionCode;
use pxe_dhcp::{DhcpOption, Ipv4Net, Mode, ReservedFor};

use super::super::file;
use super::super::place::Problems;
use super::super::suggest::nearest;
use super::super::{Host, HostBoot, Subnet};
use super::boot::boot_text;
use super::dhcp::{Taken, is_domain_name};
use super::option::{octets, options};
use super::value::{address, number, server_address};

/// What the machines of a group have in common.
struct Group {
    boot: HostBoot,
    lease_seconds: Option<u32>,
    options: Vec<DhcpOption>,
}

/// Every host, with what its group says.
pub(super) fn hosts(
    problems: &mut Problems<'_>,
    raw: &file::Dhcp,
    mode: Mode,
    subnets: &[Subnet],
    owned: &Taken,
) -> Vec<Host> {
    let groups = groups(problems, raw);
    let mut hosts: Vec<Host> = Vec::new();
    let mut known = Known::default();
    for (path, raw) in raw.host.with_paths("dhcp.host") {
        let address = address_of(problems, &path, raw, subnets, owned);
        if address.is_some() && !mode.gives_addresses() {
            problems.error(
                &format!("{path}.address"),
                format!("another server gives the addresses in {mode} mode"),
                "remove it, and reserve the address there",
            );
        }
        let Some(mut host) = host(problems, &path, raw, address) else {
            continue;
        };
        if let Some(name) = &raw.group {
            match groups.get(name.as_str()) {
                Some(group) => host.join(group),
                None => unknown_group(problems, &path, name, &groups),
            }
        }
        known.add(problems, &path, &host, subnets);
        hosts.push(host);
    }
    hosts
}

/// The hosts read so far, found by what has to differ between two of them.
#[derive(Default)]
struct Known {
    /// Each address, with the name of its host.
    addresses: BTreeMap<Ipv4Addr, String>,
    /// The hosts of each machine: where its address is, and the host's name.
    machines: BTreeMap<ReservedFor, Vec<(Option<Ipv4Net>, String)>>,
}

impl Known {
    /// An address is one host's, and a machine has one host in each subnet (a notebook may have an
    /// address in each of several).
    fn add(&mut self, problems: &mut Problems<'_>, path: &str, host: &Host, subnets: &[Subnet]) {
        let remedy = "give each host its own";
        if let Some(address) = host.address {
            if let Some(twin) = self.addresses.get(&address) {
                let message = format!("{address} is that of host {twin}, too");
                problems.error(&format!("{path}.address"), message, remedy);
            } else {
                self.addresses.insert(address, host.name.clone());
            }
        }
        let subnet = host.address.and_then(|address| {
            let subnet = subnets.iter().find(|one| one.network.contains(address));
            subnet.map(|subnet| subnet.network)
        });
        let others = self.machines.entry(host.client.clone()).or_default();
        let twin = others
            .iter()
            .find(|(other, _)| subnet.is_none() || other.is_none() || *other == subnet);
        if let Some((_, twin)) = twin {
            let message = format!("{} is that of host {twin}, too", host.client);
            problems.error(path, message, remedy);
        } else {
            others.push((subnet, host.name.clone()));
        }
    }
}

impl Host {
    /// What the group says holds where the host says nothing.
    fn join(&mut self, group: &Group) {
        if self.boot.file.is_none() && !self.boot.is_denied {
            self.boot.file.clone_from(&group.boot.file);
            self.boot.is_denied = group.boot.is_denied;
        }
        self.boot.next_server = self.boot.next_server.or(group.boot.next_server);
        self.lease_seconds = self.lease_seconds.or(group.lease_seconds);
        let own: Vec<_> = self.options.iter().map(|option| option.code).collect();
        let more = group
            .options
            .iter()
            .filter(|option| !own.contains(&option.code));
        self.options.extend(more.cloned());
    }
}

fn groups<'a>(problems: &mut Problems<'_>, raw: &'a file::Dhcp) -> BTreeMap<&'a str, Group> {
    let mut groups = BTreeMap::new();
    for (path, raw) in raw.group.with_paths("dhcp.group") {
        let group = Group {
            boot: boot(
                problems,
                &path,
                raw.boot.as_deref(),
                raw.deny,
                raw.next_server.as_deref(),
            ),
            lease_seconds: lease_seconds(problems, &path, raw.lease_seconds),
            options: options(problems, &format!("{path}.options"), &raw.options),
        };
        let Some(name) = raw.name.as_deref().filter(|name| !name.is_empty()) else {
            problems.error(
                &format!("{path}.name"),
                "the group has no name",
                "add name = \"..\", and group = \"..\" to its hosts",
            );
            continue;
        };
        if groups.insert(name, group).is_some() {
            problems.error(
                &format!("{path}.name"),
                format!("two groups are called {name}"),
                "rename one of them",
            );
        }
    }
    groups
}

fn unknown_group(
    problems: &mut Problems<'_>,
    path: &str,
    name: &str,
    groups: &BTreeMap<&str, Group>,
) {
    let remedy = match nearest(name, groups.keys().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("add [[dhcp.group]] with name = \"{name}\""),
    };
    problems.error(
        &format!("{path}.group"),
        format!("there is no group {name}"),
        remedy,
    );
}

fn host(
    problems: &mut Problems<'_>,
    path: &str,
    raw: &file::Host,
    address: Option<Ipv4Addr>,
) -> Option<Host> {
    let boot = boot(
        problems,
        path,
        raw.boot.as_deref(),
        raw.deny,
        raw.next_server.as_deref(),
    );
    let lease_seconds = lease_seconds(problems, path, raw.lease_seconds);
    let options = options(problems, &format!("{path}.options"), &raw.options);
    for (key, name) in [("host_name", &raw.host_name), ("name", &raw.name)] {
        if let Some(name) = name
            && (name.is_empty() || (key == "host_name" && !is_domain_name(name)))
        {
            problems.error(
                &format!("{path}.{key}"),
                format!("{name:?} is no name of a machine"),
                "write letters, digits and hyphens, such as pc-7",
            );
        }
    }
    if raw.host_name.is_some() && options.iter().any(|one| one.code == OptionCode::HOST_NAME) {
        problems.error(
            &format!("{path}.options"),
            "option 12 is written twice: host_name is that, too",
            "remove one of the two",
        );
    }
    let client = client(problems, path, raw)?;
    let name = raw.name.clone().or_else(|| raw.host_name.clone());
    Some(Host {
        name: name.unwrap_or_else(|| client.to_string()),
        client,
        address,
        host_name: raw.host_name.clone(),
        boot,
        lease_seconds,
        options,
    })
}

/// By what the host is recognised: one key, or both of a relay's.
fn client(problems: &mut Problems<'_>, path: &str, raw: &file::Host) -> Option<ReservedFor> {
    let keys = [
        ("mac", raw.mac.as_deref()),
        ("client_id", raw.client_id.as_deref()),
        ("uuid", raw.uuid.as_deref()),
        ("circuit_id", raw.circuit_id.as_deref()),
        ("remote_id", raw.remote_id.as_deref()),
    ];
    let given: Vec<(&str, &str)> = keys
        .into_iter()
        .filter_map(|(key, text)| Some((key, text?)))
        .collect();
    match given.as_slice() {
        [("mac", text)] => match text.parse::<MacAddr>() {
            Ok(mac) => Some(mac.into()),
            Err(_) => {
                let message = format!("{text:?} is no hardware address");
                problems.error(
                    &format!("{path}.mac"),
                    message,
                    "write it as 52:54:00:12:34:56",
                );
                None
            }
        },
        [("uuid", text)] => match text.parse::<pxe_dhcp::wire::MachineUuid>() {
            Ok(uuid) => Some(uuid.into()),
            Err(error) => {
                let message = format!("{text:?} is {error}");
                let remedy = "write it as `dmidecode -s system-uuid` shows it";
                problems.error(&format!("{path}.uuid"), message, remedy);
                None
            }
        },
        [("client_id", text)] => {
            identifier(problems, &format!("{path}.client_id"), text).map(ReservedFor::ClientId)
        }
        [("circuit_id", text)] => {
            identifier(problems, &format!("{path}.circuit_id"), text).map(ReservedFor::CircuitId)
        }
        // The only key that is left.
        [(_, text)] => {
            identifier(problems, &format!("{path}.remote_id"), text).map(ReservedFor::RemoteId)
        }
        [("circuit_id", circuit), ("remote_id", remote)] => {
            let circuit_id = identifier(problems, &format!("{path}.circuit_id"), circuit);
            let remote_id = identifier(problems, &format!("{path}.remote_id"), remote);
            Some(ReservedFor::RelayPort {
                circuit_id: circuit_id?,
                remote_id: remote_id?,
            })
        }
        [] => {
            problems.error(
                path,
                "nothing says which machine it is",
                "add mac = \"..\", or client_id, uuid, circuit_id, remote_id",
            );
            None
        }
        [(first, _), (second, _), ..] => {
            problems.error(
                &format!("{path}.{second}"),
                format!("{first} says which machine it is already"),
                "remove one; only circuit_id and remote_id go together",
            );
            None
        }
    }
}

/// Octets, as a text or after `hex:`.
fn identifier(problems: &mut Problems<'_>, path: &str, text: &str) -> Option<Vec<u8>> {
    let octets = match text.strip_prefix("hex:") {
        Some(hex) => octets(hex),
        None => Some(text.as_bytes().to_vec()),
    };
    let octets = octets.filter(|octets| (1..=255).contains(&octets.len()));
    if octets.is_none() {
        problems.error(
            path,
            format!("{text:?} is no identifier"),
            "write its text, or its 1 to 255 octets as \"hex:01525400123456\"",
        );
    }
    octets
}

fn address_of(
    problems: &mut Problems<'_>,
    path: &str,
    raw: &file::Host,
    subnets: &[Subnet],
    owned: &Taken,
) -> Option<Ipv4Addr> {
    let path = format!("{path}.address");
    let address = address(problems, &path, raw.address.as_deref()?)?;
    if let Some(key) = owned.get(&address) {
        problems.error(
            &path,
            format!("{address} is taken, {key} says"),
            "choose another one",
        );
    }
    let is_host = |subnet: &Subnet| {
        let network = subnet.network;
        network.contains(address) && address != network.network() && address != network.broadcast()
    };
    if !subnets.is_empty() && !subnets.iter().any(is_host) {
        problems.error(
            &path,
            format!("{address} is no machine's address in any dhcp.subnet"),
            "choose one, or add the subnet",
        );
        return None;
    }
    Some(address)
}

fn boot(
    problems: &mut Problems<'_>,
    path: &str,
    file: Option<&str>,
    deny: Option<bool>,
    next_server: Option<&str>,
) -> HostBoot {
    let key = format!("{path}.boot");
    if let Some(file) = file {
        boot_text(problems, &key, file);
    }
    let is_denied = deny.unwrap_or(false);
    if is_denied && file.is_some() {
        problems.error(
            &key,
            "deny says that it boots nothing",
            "remove one of the two",
        );
    }
    let next_server =
        next_server.and_then(|text| server_address(problems, &format!("{path}.next_server"), text));
    HostBoot {
        file: file.map(str::to_owned),
        is_denied,
        next_server,
    }
}

fn lease_seconds(problems: &mut Problems<'_>, path: &str, seconds: Option<i64>) -> Option<u32> {
    let range = 1..=i64::from(u32::MAX - 1);
    number(problems, &format!("{path}.lease_seconds"), seconds, range)
}
