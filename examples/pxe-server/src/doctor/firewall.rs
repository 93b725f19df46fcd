//! Whether a firewall may keep requests out.

use std::collections::BTreeSet;
use std::process::Command;

use pxe_dhcp::Mode;

use super::finding::Finding;
use crate::assemble;
use crate::config::{Config, Portmap};
use crate::dns::Interfaces;
use crate::nfs::PORTMAP_PORT;

/// A hint and no more: what a ruleset lets through is known for certain only to the kernel.
pub(super) fn examine(config: &Config) -> Option<Finding> {
    let output = Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .ok()?;
    let rules = String::from_utf8(output.stdout).ok()?;
    let chain = filtering_chain(&rules)?;
    let text = format!("the firewall's chain {chain} refuses packets that come in");
    Some(Finding::warning(
        text,
        format!("make sure that it lets in {}", wanted(config)),
    ))
}

fn wanted(config: &Config) -> String {
    let mut udp = BTreeSet::new();
    if let Some(dhcp) = &config.dhcp {
        let dhcp = assemble::dhcp(config, dhcp);
        if dhcp.mode != Mode::Binl {
            udp.insert(dhcp.server_port);
        }
        if assemble::has_menus(config) || !dhcp.mode.gives_addresses() {
            udp.insert(dhcp.binl_port);
        }
    }
    let tftp = config.tftp.iter().flat_map(|tftp| &tftp.listen);
    udp.extend(tftp.map(std::net::SocketAddr::port));
    let http = config.http.iter().flat_map(|http| &http.listen);
    let mut tcp: BTreeSet<u16> = http.map(std::net::SocketAddr::port).collect();
    if let Some(nfs) = &config.nfs {
        let mut ports: Vec<u16> = nfs.listen.iter().map(std::net::SocketAddr::port).collect();
        ports.extend(&nfs.mount_ports);
        match &nfs.portmap {
            Portmap::Off => {}
            Portmap::Auto => ports.push(PORTMAP_PORT),
            Portmap::At(addresses) => ports.extend(addresses.iter().map(|at| at.port())),
        }
        tcp.extend(&ports);
        udp.extend(ports);
    }
    if let Some(dns) = &config.dns {
        let listeners = Interfaces::read().listeners(config, dns);
        let ports = listeners.iter().map(std::net::SocketAddr::port);
        tcp.extend(ports.clone());
        udp.extend(ports);
    }
    let list = |ports: &BTreeSet<u16>| {
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        ports.join(", ")
    };
    match tcp.is_empty() {
        true => format!("UDP {}", list(&udp)),
        false => format!("UDP {} and TCP {}", list(&udp), list(&tcp)),
    }
}

/// The first chain of `nft list ruleset` on the way in that drops or rejects by itself.
fn filtering_chain(rules: &str) -> Option<&str> {
    let mut chain = None;
    let mut is_input = false;
    for line in rules.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("chain ") {
            chain = Some(name.trim_end_matches(['{', ' ']));
            is_input = false;
        }
        is_input |= line.contains("hook input");
        let refuses = line.contains("policy drop")
            || line
                .split(' ')
                .any(|word| word == "drop" || word == "reject");
        if is_input && refuses {
            return chain;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{filtering_chain, wanted};
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn nfs_wants_both_transports_and_the_portmapper() {
        let text = "[tree]\nroot = \"/srv\"\n[nfs]\nmount_ports = 627\n\
                    export = { clients = \"*\" }\n";
        let config = Config::parse(text, Path::new("x.toml")).expect("valid");
        assert_eq!(wanted(&config), "UDP 111, 627, 2049 and TCP 111, 627, 2049");
    }

    #[test]
    fn only_chains_on_the_way_in_count() {
        let rules = "table inet filter {\n\tchain forward {\n\t\ttype filter hook forward priority \
                     filter; policy drop;\n\t}\n\tchain input {\n\t\ttype filter hook input \
                     priority filter; policy POLICY;\n\t\ttcp dport 22 accept\n\tLAST}\n}\n";
        let with = |policy: &str, last: &str| {
            let rules = rules.replace("POLICY", policy).replace("LAST", last);
            filtering_chain(&rules).map(str::to_owned)
        };
        assert_eq!(with("accept", ""), None);
        assert_eq!(with("drop", "").as_deref(), Some("input"));
        let last = "\treject with icmpx admin-prohibited\n\t";
        assert_eq!(with("accept", last).as_deref(), Some("input"));
    }
}
