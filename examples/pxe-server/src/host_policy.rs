//! What hosts of the configuration boot, ahead of all rules.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use pxe_dhcp::{
    Boot, BootDecision, BootPolicy, BootRequest, Condition, Pattern, ReservedFor, Rule, RulePolicy,
};

use crate::config::Host;

/// Finds the host that asks by what it is recognised by, in one look-up each: a site has thousands
/// of hosts, and an explanation that named all of them would explain nothing.
#[derive(Debug)]
pub(crate) struct HostPolicy {
    /// A host that says nothing of booting is in here, too: it is that one, and no other.
    hosts: BTreeMap<ReservedFor, Vec<Known>>,
    otherwise: Arc<dyn BootPolicy>,
}

/// A machine has one of these for each subnet that it has an address in.
#[derive(Debug)]
struct Known {
    address: Option<Ipv4Addr>,
    is_denied: bool,
    /// What it says of booting.
    policy: Option<RulePolicy>,
}

impl HostPolicy {
    /// What these hosts say, with this boot server if they name none, and this policy for what
    /// they do not say.
    pub(crate) fn new(
        hosts: &[Host],
        next_server: Option<Ipv4Addr>,
        otherwise: Arc<dyn BootPolicy>,
    ) -> Self {
        let mut known: BTreeMap<ReservedFor, Vec<Known>> = BTreeMap::new();
        for host in hosts {
            let policy = rule(host).map(|mut rule| {
                rule.next_server = rule.next_server.or(next_server);
                let otherwise = Shared(Arc::clone(&otherwise));
                RulePolicy::new().with_rule(rule).otherwise(otherwise)
            });
            known.entry(host.client.clone()).or_default().push(Known {
                address: host.address,
                is_denied: host.boot.is_denied,
                policy,
            });
        }
        Self {
            hosts: known,
            otherwise,
        }
    }

    /// The host that asks: by what names the machine first, then by where it is plugged in, in the
    /// order of [`ReservedFor`]. Of several of one machine it is the one with an address in the
    /// subnet from which it asks; but who may not boot in one subnet may not in any other.
    fn host(&self, request: &BootRequest<'_>) -> Option<&RulePolicy> {
        let client_id = request.client_id.map(<[u8]>::to_vec);
        let (circuit_id, remote_id) = (
            request.circuit_id.map(<[u8]>::to_vec),
            request.remote_id.map(<[u8]>::to_vec),
        );
        let port = circuit_id.clone().zip(remote_id.clone());
        let keys = [
            request.mac.map(ReservedFor::Mac),
            client_id.map(ReservedFor::ClientId),
            request.uuid.map(ReservedFor::Uuid),
            port.map(|(circuit_id, remote_id)| ReservedFor::RelayPort {
                circuit_id,
                remote_id,
            }),
            circuit_id.map(ReservedFor::CircuitId),
            remote_id.map(ReservedFor::RemoteId),
        ];
        let found = keys.into_iter().flatten();
        let mut found = found.filter_map(|key| self.hosts.get(&key));
        let hosts = found.next()?;
        let is_here = |host: &&Known| {
            let subnet = host.address.zip(request.subnet);
            subnet.is_some_and(|(address, subnet)| subnet.contains(address))
        };
        let denied = hosts.iter().find(|host| host.is_denied);
        let host = denied.or_else(|| hosts.iter().find(is_here));
        host.or(hosts.first())?.policy.as_ref()
    }
}

impl BootPolicy for HostPolicy {
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        match self.host(request) {
            Some(host) => host.decide(request),
            None => self.otherwise.decide(request),
        }
    }
}

/// A policy that several ask.
#[derive(Debug)]
struct Shared(Arc<dyn BootPolicy>);

impl BootPolicy for Shared {
    fn decide(&self, request: &BootRequest<'_>) -> BootDecision {
        self.0.decide(request)
    }
}

/// What a host says of booting, if it does.
fn rule(host: &Host) -> Option<Rule> {
    let mut rule = Rule::new(format!("host {}", host.name), condition(&host.client)?);
    rule.next_server = host.boot.next_server;
    match (&host.boot.file, host.boot.is_denied) {
        (_, true) => Some(rule.with_boot(Boot::Denied)),
        (Some(file), _) => Some(rule.with_file(file)),
        (None, _) => rule.next_server.is_some().then_some(rule),
    }
}

/// That the host asks, so that the explanation says by what it was recognised.
fn condition(client: &ReservedFor) -> Option<Condition> {
    Some(match client {
        ReservedFor::Mac(mac) => Condition::Mac((*mac).into()),
        ReservedFor::ClientId(id) => Condition::ClientId(Pattern::exact(id)),
        ReservedFor::Uuid(uuid) => Condition::Uuid(*uuid),
        ReservedFor::RelayPort {
            circuit_id,
            remote_id,
        } => Condition::All(vec![
            Condition::CircuitId(Pattern::exact(circuit_id)),
            Condition::RemoteId(Pattern::exact(remote_id)),
        ]),
        ReservedFor::CircuitId(id) => Condition::CircuitId(Pattern::exact(id)),
        ReservedFor::RemoteId(id) => Condition::RemoteId(Pattern::exact(id)),
        // No key of the configuration makes another one.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use pxe_dhcp::{ClientArch, NoBoot};

    use pxe_core::MacAddr;

    use crate::config::{Config, HostBoot};

    fn policy(hosts: &str) -> HostPolicy {
        let text = format!(
            "[tree]\nroot = \"/srv/tftp\"\n[dhcp]\ninterface = \"br1\"\nmode = \"proxy\"\n{hosts}"
        );
        let config = Config::parse(&text, Path::new("test.toml")).expect("valid");
        HostPolicy::new(
            &config.dhcp.expect("there").hosts,
            None,
            Arc::new(NoBoot::new()),
        )
    }

    fn decide(policy: &HostPolicy, mac: &str, circuit_id: Option<&[u8]>) -> BootDecision {
        let mut request = BootRequest::new([10, 0, 0, 1].into())
            .with_mac(mac.parse().expect("a MAC"))
            .with_architectures(&[ClientArch::UEFI_X64]);
        request.circuit_id = circuit_id;
        policy.decide(&request)
    }

    const HOSTS: &str = "[[dhcp.group]]\nname = \"lab\"\nboot = \"lab.efi\"\nnext_server = \"10.0.0.2\"\n\
        [[dhcp.host]]\nname = \"a\"\nmac = \"52:54:00:00:00:01\"\ngroup = \"lab\"\n\
        [[dhcp.host]]\nname = \"b\"\nmac = \"52:54:00:00:00:02\"\ndeny = true\ngroup = \"lab\"\n\
        [[dhcp.host]]\nname = \"c\"\nmac = \"52:54:00:00:00:03\"\n\
        [[dhcp.host]]\nname = \"door\"\ncircuit_id = \"port 7\"\nboot = \"door.efi\"\n";

    #[test]
    fn a_host_boots_what_it_or_its_group_says() {
        let policy = policy(HOSTS);
        let of_group = decide(&policy, "52:54:00:00:00:01", None);
        assert_eq!(of_group.boot, Boot::File("lab.efi".into()));
        assert_eq!(of_group.next_server, Some([10, 0, 0, 2].into()));
        let reason = of_group.explanation.to_string();
        assert!(reason.starts_with("+ host a: mac"), "{reason}");
        assert_eq!(
            decide(&policy, "52:54:00:00:00:02", None).boot,
            Boot::Denied
        );
        assert_eq!(
            decide(&policy, "52:54:00:00:00:09", None).boot,
            Boot::Nothing
        );
    }

    #[test]
    fn a_machine_with_several_hosts_boots_what_the_one_of_its_subnet_says() {
        let host = |boot: &str, address: [u8; 4]| Host {
            name: boot.to_owned(),
            client: "52:54:00:00:00:01"
                .parse::<MacAddr>()
                .expect("a MAC")
                .into(),
            address: Some(address.into()),
            host_name: None,
            boot: HostBoot {
                file: (boot != "no").then(|| boot.to_owned()),
                is_denied: boot == "no",
                next_server: None,
            },
            lease_seconds: None,
            options: Vec::new(),
        };
        let boot = |hosts: &[Host], subnet: &str| {
            let policy = HostPolicy::new(hosts, None, Arc::new(NoBoot::new()));
            let mut request = BootRequest::new([10, 0, 0, 1].into())
                .with_mac("52:54:00:00:00:01".parse().expect("a MAC"))
                .with_architectures(&[ClientArch::UEFI_X64]);
            request.subnet = Some(subnet.parse().expect("a network"));
            policy.decide(&request).boot
        };
        let hosts = [host("a.efi", [10, 0, 1, 9]), host("b.efi", [10, 0, 2, 9])];
        assert_eq!(boot(&hosts, "10.0.1.0/24"), Boot::File("a.efi".into()));
        assert_eq!(boot(&hosts, "10.0.2.0/24"), Boot::File("b.efi".into()));
        assert_eq!(boot(&hosts, "10.0.3.0/24"), Boot::File("a.efi".into()));
        let hosts = [host("no", [10, 0, 1, 9]), host("b.efi", [10, 0, 2, 9])];
        assert_eq!(boot(&hosts, "10.0.2.0/24"), Boot::Denied);
        assert_eq!(boot(&hosts, "10.0.3.0/24"), Boot::Denied);
    }

    #[test]
    fn what_names_the_machine_comes_before_its_place() {
        let policy = policy(HOSTS);
        let here = Some(&b"port 7"[..]);
        let unknown = decide(&policy, "52:54:00:00:00:09", here);
        assert_eq!(unknown.boot, Boot::File("door.efi".into()));
        let known = decide(&policy, "52:54:00:00:00:03", here);
        assert_eq!(known.boot, Boot::Nothing, "host c is no guest at the door");
    }
}
