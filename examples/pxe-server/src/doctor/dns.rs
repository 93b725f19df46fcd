//! Whether names can be answered: port 53, the zones, and those who are asked for others.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use pxe_dns::{NameRef, RecordType, Upstream};

use super::finding::Finding;
use super::ports::told;
use crate::config::{Config, Dns, DnsForward};
use crate::dns::{Interfaces, RESOLV_CONF, query, system_name_servers, try_both};
use crate::dns_commands::check_zones;
use crate::port_holder::{Holder, Transport, holder};

/// How long an upstream may take: a server that has to ask others itself needs some of it.
const UPSTREAM_PATIENCE: Duration = Duration::from_secs(3);

/// Tries each port, reads each zone, and asks each upstream. To be called as root, if that is who
/// starts the server.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let Some(dns) = &config.dns else {
        return Vec::new();
    };
    let interfaces = Interfaces::read();
    let listeners = interfaces.listeners(config, dns);
    let mut findings: Vec<Finding> = (listeners.iter().enumerate())
        .map(|(index, address)| examine_port(config, dns, index, *address))
        .collect();
    let zones = check_zones(config);
    findings.extend(
        zones
            .errors
            .into_iter()
            .map(|error| Finding::error(error, "")),
    );
    let warnings = zones.warnings.into_iter();
    findings.extend(warnings.map(|warning| Finding::warning(warning, "")));
    if zones.count > 0 {
        findings.push(Finding::ok(format!("{} zones can be served", zones.count)));
    }
    findings.extend(examine_upstreams(dns, &listeners, &interfaces));
    findings
}

/// What of the zones cannot be read by the user that this process has become, and was not told yet.
pub(super) fn examine_as_user(config: &Config, told: &[Finding]) -> Vec<Finding> {
    let is_told = |error: &str| told.iter().any(|one| one.to_string().contains(error));
    let errors = check_zones(config).errors.into_iter();
    let new = errors.filter(|error| !is_told(error));
    new.map(|error| Finding::error(error, "")).collect()
}

fn examine_port(config: &Config, dns: &Dns, index: usize, address: SocketAddr) -> Finding {
    let bound = try_both(address).map(drop);
    let transport = match &bound {
        Err((transport, _)) => *transport,
        Ok(()) => Transport::Udp,
    };
    let key = match dns.listen {
        Some(_) => format!("dns.listen[{index}]"),
        None => "dns".to_owned(),
    };
    let bound = bound.map_err(|(transport, error)| {
        config.bind_error(&key, &address.to_string(), &error, transport, address)
    });
    let is_free = bound.is_ok();
    let found = told(
        format!("DNS can listen on {address}"),
        transport,
        address,
        bound,
    );
    if is_free || !found.is_error() {
        return found;
    }
    match held(holder(transport, address).as_ref(), address) {
        Some(remedy) => found.with_remedy(remedy),
        None => found,
    }
}

/// What to do about those who usually have port 53.
fn held(holder: Option<&Holder>, address: SocketAddr) -> Option<String> {
    let Some(Holder::Process { name, .. }) = holder else {
        return None;
    };
    // The kernel keeps 15 octets of a process's name.
    let remedy = match name.as_str() {
        "systemd-resolve" | "systemd-resolved" if address.ip().is_unspecified() => {
            "its stub has 127.0.0.53 only, so name our own address in dns.listen, such as \
             192.168.150.1:53; or set DNSStubListener=no in /etc/systemd/resolved.conf"
        }
        "systemd-resolve" | "systemd-resolved" => {
            "set DNSStubListener=no in /etc/systemd/resolved.conf, or DNSStubListenerExtra= less, \
             and restart it"
        }
        "dnsmasq" if address.ip().is_unspecified() => {
            "libvirt's has the addresses of its bridges only, so name our own address in \
             dns.listen; another one stops with `systemctl disable --now dnsmasq`"
        }
        "dnsmasq" => "set port=0 in its configuration to keep the rest of it, or stop it",
        "named" | "unbound" | "nsd" | "pdns_server" | "pdns_recursor" | "coredns" => {
            "stop it with `systemctl disable --now`, or have it leave this address (listen-on); \
             its zone files can be named in [[dns.zone]] as they are"
        }
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// Whether those that would be asked are there, and are not ourselves.
fn examine_upstreams(dns: &Dns, listeners: &[SocketAddr], interfaces: &Interfaces) -> Vec<Finding> {
    let is_own = |server: &SocketAddr| {
        let mut listeners = listeners.iter();
        listeners.any(|at| {
            let is_ours = interfaces.has(server.ip()) || server.ip().is_loopback();
            let is_here = at.ip().is_unspecified() && is_ours;
            at.port() == server.port() && (at.ip() == server.ip() || is_here)
        })
    };
    let mut findings = Vec::new();
    let servers: Vec<SocketAddr> = match &dns.forward {
        DnsForward::Nobody => Vec::new(),
        // Those by TLS are asked by the server itself: their certificates matter as well.
        DnsForward::Servers(servers) => (servers.iter())
            .filter(|server| server.server_name().is_none())
            .map(Upstream::address)
            .collect(),
        DnsForward::System => {
            let text = std::fs::read(RESOLV_CONF).unwrap_or_default();
            let servers = system_name_servers(&text);
            let (own, others): (Vec<_>, Vec<_>) = servers.into_iter().partition(is_own);
            for server in &own {
                findings.push(Finding::ok(format!(
                    "/etc/resolv.conf names this server ({server}): it does not ask itself"
                )));
            }
            if others.is_empty() {
                findings.push(Finding::warning(
                    "/etc/resolv.conf names no other server: names outside our zones are refused",
                    "name those to ask with forward = [\"9.9.9.9\"] in [dns], or write forward = [] \
                     where the network has no way out",
                ));
            }
            others
        }
    };
    let by_zone = dns.forward_zones.iter().flat_map(|(_, servers)| servers);
    let by_zone = by_zone.filter(|server| server.server_name().is_none());
    let servers = servers.into_iter().chain(by_zone.map(Upstream::address));
    findings.extend(servers.map(examine_upstream));
    findings
}

fn examine_upstream(server: SocketAddr) -> Finding {
    match ask(server) {
        Ok(()) => Finding::ok(format!("{server} answers, and is asked for other names")),
        Err(error) => Finding::warning(
            format!("{server} is to be asked for other names, and does not answer: {error}"),
            "look at the way out, or write forward = [] in [dns]: then clients are refused at once \
             instead of waiting",
        ),
    }
}

/// Asks for the root's name servers, which every server knows. What it answers is its own matter.
fn ask(server: SocketAddr) -> std::io::Result<()> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => [0; 4].into(),
        SocketAddr::V6(_) => [0; 16].into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(UPSTREAM_PATIENCE))?;
    socket.connect(server)?;
    socket.send(&query(NameRef::ROOT, RecordType::NS))?;
    let mut reply = [0; 512];
    match socket.recv(&mut reply) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            let seconds = UPSTREAM_PATIENCE.as_secs();
            Err(std::io::Error::other(format!(
                "nothing came for {seconds} s"
            )))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &str) -> Holder {
        Holder::Process {
            name: name.to_owned(),
            pid: 7,
        }
    }

    #[test]
    fn who_has_port_53_is_told_with_what_to_do() {
        let remedy = |name: &str, address: &str| {
            let address = address.parse().expect("an address");
            held(Some(&process(name)), address)
        };
        let stub = remedy("systemd-resolve", "0.0.0.0:53").expect("known");
        assert!(stub.contains("dns.listen"), "{stub}");
        let stub = remedy("systemd-resolve", "127.0.0.53:53").expect("known");
        assert!(stub.contains("DNSStubListener"), "{stub}");
        let libvirt = remedy("dnsmasq", "0.0.0.0:53").expect("known");
        assert!(libvirt.contains("dns.listen"), "{libvirt}");
        assert!(remedy("named", "10.0.0.1:53").is_some());
        assert_eq!(remedy("sleep", "10.0.0.1:53"), None);
        assert_eq!(held(None, SocketAddr::from(([10, 0, 0, 1], 53))), None);
    }

    /// Root reads everything: what the server's user cannot read is found as that user alone.
    #[test]
    fn a_zone_that_only_root_can_read_is_told_once() {
        let text = "[tree]\nroot = \"/\"\n[dns]\nforward = []\n[[dns.zone]]\nname = \"lab.lan\"\n\
                    file = \"/proc/self/no-such-zone\"\n";
        let config = Config::parse(text, std::path::Path::new("/x.toml")).expect("valid");
        let told = examine_as_user(&config, &[]);
        assert_eq!(told.len(), 1);
        assert!(told[0].is_error() && told[0].to_string().contains("no-such-zone"));
        assert!(examine_as_user(&config, &told).is_empty());
    }

    #[test]
    fn an_upstream_that_answers_is_told_from_one_that_is_not_there() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = server.local_addr().expect("bound");
        let answering = std::thread::spawn(move || {
            let mut query = [0; 512];
            let (len, from) = server.recv_from(&mut query).expect("asked");
            server.send_to(&query[..len], from).expect("sent");
        });
        assert!(!examine_upstream(address).to_string().starts_with("warning"));
        answering.join().expect("no panic");
        // Its port is closed now, and the kernel says so at once.
        assert!(examine_upstream(address).to_string().starts_with("warning"));
    }
}
