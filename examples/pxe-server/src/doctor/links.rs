//! The interfaces that DHCP is served on, and who else serves there.

use std::net::Ipv4Addr;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use pxe_dhcp::{FoundServer, find_dhcp_servers};

use super::finding::Finding;
use crate::assemble;
use crate::config::{Config, Dhcp};

/// Looks at each interface, and asks on all of them at once for other DHCP servers.
pub(super) fn examine(config: &Config, wait: Duration) -> Vec<Finding> {
    let Some(dhcp) = &config.dhcp else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut usable = Vec::new();
    for name in &dhcp.interfaces {
        match look_at(name) {
            Some(link) if link.is_up => {
                findings.push(link.addresses_in(dhcp));
                usable.push(name.clone());
            }
            Some(_) => findings.push(Finding::error(
                format!("interface {name} is down"),
                format!("`ip link set {name} up`, and look at its cable"),
            )),
            // It was told of.
            None => {}
        }
    }
    let gives_addresses = assemble::dhcp(config, dhcp).mode.gives_addresses();
    findings.extend(search(&usable, wait, gives_addresses));
    findings
}

struct Link {
    name: String,
    is_up: bool,
    addresses: Vec<Ipv4Addr>,
}

fn look_at(name: &str) -> Option<Link> {
    let mut link: Option<Link> = None;
    for entry in getifaddrs().ok()? {
        if entry.interface_name.split(':').next() != Some(name) {
            continue;
        }
        let link = link.get_or_insert_with(|| Link {
            name: name.to_owned(),
            is_up: entry.flags.contains(InterfaceFlags::IFF_UP),
            addresses: Vec::new(),
        });
        let address = entry
            .address
            .as_ref()
            .and_then(|address| address.as_sockaddr_in());
        link.addresses.extend(address.map(|address| address.ip()));
    }
    link
}

impl Link {
    fn addresses_in(&self, dhcp: &Dhcp) -> Finding {
        let name = &self.name;
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let Some(first) = self.addresses.first() else {
            return Finding::error(
                format!("interface {name} has no IPv4 address"),
                format!("give it one: `ip address add ADDRESS/LENGTH dev {name}`"),
            );
        };
        let is_of_subnet = |subnet: &crate::config::Subnet| {
            self.addresses
                .iter()
                .any(|one| subnet.network.contains(*one))
        };
        if dhcp.subnets.is_empty() || dhcp.subnets.iter().any(is_of_subnet) {
            return Finding::ok(format!(
                "interface {name} is up with {}",
                addresses.join(", ")
            ));
        }
        Finding::error(
            format!("interface {name} has {first}, and no [[dhcp.subnet]] is of that network"),
            "add one for it, or give the interface an address of a configured one",
        )
    }
}

/// Where the server gives addresses, no other one should; where it does not, another one has to.
fn search(names: &[String], wait: Duration, gives_addresses: bool) -> Vec<Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let text = format!("cannot look for other DHCP servers: {error}");
            return vec![Finding::warning(text, "")];
        }
    };
    runtime.block_on(async {
        let searches: Vec<_> = names
            .iter()
            .map(|name| {
                let asked = name.clone();
                (
                    name,
                    tokio::spawn(async move { find_dhcp_servers(&asked, wait).await }),
                )
            })
            .collect();
        let mut findings = Vec::new();
        for (name, search) in searches {
            match search
                .await
                .map_err(std::io::Error::other)
                .and_then(|found| found)
            {
                Ok(found) => findings.extend(judge(name, &found, gives_addresses)),
                Err(error) => {
                    let text = format!("cannot look for DHCP servers on {name}: {error}");
                    findings.push(Finding::warning(text, "run it as root"));
                }
            }
        }
        findings
    })
}

fn judge(name: &str, found: &[FoundServer], gives_addresses: bool) -> Vec<Finding> {
    let others: Vec<&FoundServer> = found.iter().filter(|one| one.offered.is_some()).collect();
    let list = |server: &&FoundServer| {
        let FoundServer { address, mac, .. } = server;
        format!("DHCP server {address} ({mac}) answers on {name}")
    };
    match (gives_addresses, others.is_empty()) {
        (true, true) => vec![Finding::ok(format!(
            "no other DHCP server answers on {name}"
        ))],
        (true, false) => {
            let remedy = "machines believe either: switch it off, or let this server be a proxy";
            let warn = |one: &&FoundServer| Finding::warning(list(one), remedy);
            others.iter().map(warn).collect()
        }
        (false, true) => vec![Finding::error(
            format!("no DHCP server answers on {name}, and this one gives no addresses"),
            "start one, or let this server give addresses",
        )],
        (false, false) => others.iter().map(|one| Finding::ok(list(one))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_and_judged() {
        let link = look_at("lo").expect("every machine has it");
        assert!(link.addresses.contains(&Ipv4Addr::LOCALHOST));
        assert!(look_at("no such").is_none());
    }

    #[test]
    fn no_server_is_wanted_or_one_is_needed() {
        let is_error = |findings: Vec<Finding>| findings.iter().any(Finding::is_error);
        assert!(!is_error(judge("eth0", &[], true)));
        assert!(is_error(judge("eth0", &[], false)));
    }
}
