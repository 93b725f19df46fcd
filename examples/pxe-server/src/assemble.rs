//! From our configuration to those of the protocol crates.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use pxe_dhcp::wire::OptionCode;
use pxe_dhcp::{
    ArchPolicy, BindSpec, BootPolicy, DhcpOption, LeaseTimes, NoBoot, Reservation, ReservedFor,
    RulePolicy,
};
use pxe_tftp::PortMode;

use crate::config::{Boot, Config, Dhcp, Host, Subnet, Tftp};
use crate::decisions::Decisions;
use crate::dns::NameServers;
use crate::host_policy::HostPolicy;
use crate::menus::ScriptPolicy;
use crate::names::client_names;

/// What the TFTP server is told.
pub(crate) fn tftp(tftp: &Tftp) -> pxe_tftp::Config {
    let limits = pxe_tftp::Limits::new()
        .with_transfers_max(tftp.transfers_max)
        .with_transfers_per_remote_max(tftp.transfers_per_client_max);
    pxe_tftp::Config::new()
        .with_ports(match tftp.single_port {
            true => PortMode::Single,
            false => PortMode::PerTransfer,
        })
        .with_port_range(tftp.port_range.clone())
        .with_clamp_blksize_to_mtu(tftp.clamp_blksize_to_mtu)
        .with_blksize_max(tftp.blksize_max)
        .with_windowsize_max(tftp.windowsize_max)
        .with_limits(limits)
}

/// What the DHCP server is told.
pub(crate) fn dhcp(whole: &Config, dhcp: &Dhcp) -> pxe_dhcp::Config {
    let mut config = pxe_dhcp::Config::new()
        .with_mode(dhcp.mode)
        .with_ports(dhcp.port, dhcp.port.saturating_add(1))
        .with_binl_port(dhcp.binl_port)
        .with_probing(dhcp.probing)
        .with_limits(dhcp.limits);
    config.offer_time = dhcp.offer;
    config.quarantine_time = dhcp.quarantine;
    config.options.clone_from(&dhcp.options);
    config.classes.clone_from(&dhcp.classes);
    let name_servers = NameServers::of(whole);
    let subnets = dhcp.subnets.iter();
    let subnets = subnets.map(|one| {
        let mut subnet = subnet(dhcp, one, &name_servers);
        subnet.client_names = client_names(whole, one);
        subnet
    });
    config.subnets = subnets.collect();
    config
}

fn subnet(dhcp: &Dhcp, from: &Subnet, name_servers: &NameServers) -> pxe_dhcp::Subnet {
    let mut subnet = pxe_dhcp::Subnet::new(from.network);
    subnet.shared_network.clone_from(&from.shared_network);
    subnet.pools.clone_from(&from.pools);
    subnet.exclusions.clone_from(&from.exclusions);
    subnet.lease_seconds_default = from.lease_seconds;
    subnet.lease_seconds_min = from.lease_seconds_min;
    subnet.lease_seconds_max = from.lease_seconds_max;
    subnet.t1_seconds = from.t1_seconds;
    subnet.t2_seconds = from.t2_seconds;
    subnet.server_ip = from.server_ip;
    subnet.known_clients_only = from.known_clients_only;
    subnet.bootp = from.bootp;
    if !from.routers.is_empty() {
        subnet = subnet.with_routers(&from.routers);
    }
    let has = |code: OptionCode| {
        let mut options = from.options.iter().chain(&dhcp.options);
        options.any(|option| option.code == code)
    };
    // Our own name server and its domain are told where nothing else is.
    let own = name_servers.of_subnet(from);
    if !from.dns_servers.is_empty() {
        subnet = subnet.with_name_servers(&from.dns_servers);
    } else if !own.is_empty() && !has(OptionCode::DOMAIN_NAME_SERVERS) {
        subnet = subnet.with_name_servers(&own);
    }
    match (&from.domain_name, name_servers.domain()) {
        (Some(name), _) => subnet = subnet.with_domain_name(name),
        (None, Some(name)) if !has(OptionCode::DOMAIN_NAME) => {
            subnet = subnet.with_domain_name(name);
        }
        _ => {}
    }
    subnet.options.extend(from.options.iter().cloned());
    // In the modes that give no addresses, hosts are the policy's matter alone.
    if dhcp.mode.gives_addresses() {
        subnet.reservations = reservations(dhcp, from);
    }
    subnet
}

/// What hosts have in this subnet: their addresses there; or, where those are another link's, one
/// of the pools and all else that they are told, as isc-dhcpd does it.
fn reservations(dhcp: &Dhcp, subnet: &Subnet) -> Vec<Reservation> {
    let is_here = |address: Ipv4Addr| subnet.network.contains(address);
    let is_on_this_link = |address: Ipv4Addr| {
        dhcp.subnets.iter().any(|other| {
            let is_shared = other.shared_network.is_some();
            let shared = is_shared && other.shared_network == subnet.shared_network;
            shared && other.network.contains(address)
        })
    };
    let mut reservations: Vec<Reservation> = Vec::new();
    for host in &dhcp.hosts {
        if let Some(address) = host.address.filter(|address| is_here(*address)) {
            let reservation = Reservation::new(host.client.clone(), address);
            reservations.push(with_host(reservation, host));
        }
    }
    let here = reservations.iter().map(|one| one.client.clone());
    let mut known: BTreeSet<ReservedFor> = here.collect();
    for host in &dhcp.hosts {
        let is_elsewhere = !host.address.is_some_and(is_on_this_link);
        if is_elsewhere && known.insert(host.client.clone()) {
            reservations.push(with_host(Reservation::known(host.client.clone()), host));
        }
    }
    reservations
}

/// The same with what the host is told.
fn with_host(mut reservation: Reservation, host: &Host) -> Reservation {
    reservation.host_name.clone_from(&host.host_name);
    reservation.dns_name = host.dns_name().map(str::to_owned);
    reservation.options.clone_from(&host.options);
    if let Some(seconds) = host.lease_seconds {
        reservation.lease = LeaseTimes::exactly(seconds);
    }
    reservation
}

/// Where the DHCP server listens.
pub(crate) fn dhcp_sockets(dhcp: &Dhcp) -> Vec<BindSpec> {
    let interfaces = dhcp.interfaces.iter().map(BindSpec::interface);
    let addresses = dhcp.listen.iter().copied().map(BindSpec::address);
    interfaces.chain(addresses).collect()
}

/// Puts the configuration's decisions about machines in force.
pub(crate) fn decide_by(config: &Config, decisions: &Decisions) {
    let subnets = config.dhcp.iter().flat_map(|dhcp| &dhcp.subnets);
    let networks: Vec<_> = subnets.map(|subnet| subnet.network).collect();
    decisions.set_policy(&policy(config, Reasons::Few), &networks, can_deny(config));
}

/// Whether any rule gives a boot menu, whose items machines ask for at port 4011.
pub(crate) fn has_menus(config: &Config) -> bool {
    let mut rules = config.boot.iter().flat_map(|boot| &boot.rules);
    rules.any(|rule| matches!(rule.boot, Some(pxe_dhcp::Boot::Menu(_))))
}

/// Whether any rule denies a machine its boot.
fn can_deny(config: &Config) -> bool {
    let mut hosts = config.dhcp.iter().flat_map(|dhcp| &dhcp.hosts);
    let mut rules = config.boot.iter().flat_map(|boot| &boot.rules);
    hosts.any(|host| host.boot.is_denied)
        || rules.any(|rule| rule.boot == Some(pxe_dhcp::Boot::Denied))
}

/// How many of the rules that do not match an explanation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reasons {
    /// What costs little at each message.
    Few,
    All,
}

/// What machines are told to boot.
pub(crate) fn policy(config: &Config, reasons: Reasons) -> Arc<dyn BootPolicy> {
    let policy: Arc<dyn BootPolicy> = match (&config.boot, reasons) {
        (Some(boot), Reasons::Few) => Arc::new(rule_policy(config, boot)),
        (Some(boot), Reasons::All) => {
            Arc::new(rule_policy(config, boot).with_reasons_max(usize::MAX))
        }
        (None, _) => Arc::new(NoBoot::new()),
    };
    match &config.dhcp {
        Some(dhcp) if !dhcp.hosts.is_empty() => {
            let next_server = config.boot.as_ref().and_then(|boot| boot.next_server);
            Arc::new(HostPolicy::new(&dhcp.hosts, next_server, policy))
        }
        _ => policy,
    }
}

fn rule_policy(config: &Config, boot: &Boot) -> RulePolicy {
    let common = common_policy(boot);
    let by_arch = ScriptPolicy::new(config, arch_policy(boot, common.clone()), common);
    let policy = RulePolicy::new().otherwise(by_arch);
    let rules = boot.rules.iter().cloned();
    let decided = pxelinux_options(boot);
    rules.fold(policy, |policy, mut rule| {
        // One that leaves the boot to those after it leaves them their server too.
        if rule.boot.is_some() {
            rule.next_server = rule.next_server.or(boot.next_server);
            for option in &decided {
                if rule.options.iter().all(|own| own.code != option.code) {
                    rule.options.push(option.clone());
                }
            }
        }
        policy.with_rule(rule)
    })
}

/// What every machine that boots is told, whatever says so.
fn pxelinux_options(boot: &Boot) -> Vec<DhcpOption> {
    let text = |code, text: &Option<String>| text.as_ref().map(|text| DhcpOption::new(code, text));
    let magic = boot.pxelinux_magic.then_some([0xf1, 0x00, 0x74, 0x7e]);
    let seconds = boot.reboot_seconds.map(u32::to_be_bytes);
    [
        magic.map(|magic| DhcpOption::new(OptionCode::PXELINUX_MAGIC, magic)),
        text(OptionCode::CONFIG_FILE, &boot.configfile),
        text(OptionCode::PATH_PREFIX, &boot.path_prefix),
        seconds.map(|seconds| DhcpOption::new(OptionCode::REBOOT_TIME, seconds)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn arch_policy(boot: &Boot, mut policy: ArchPolicy) -> ArchPolicy {
    for (arch, file) in &boot.files {
        policy = policy.with_arch(*arch, file);
    }
    if let Some(file) = &boot.default_file {
        policy = policy.with_default(file);
    }
    if let Some(file) = &boot.ipxe {
        policy = policy.with_ipxe(file);
    }
    policy
}

/// What all are told, whatever they boot.
fn common_policy(boot: &Boot) -> ArchPolicy {
    let policy = match boot.next_server {
        Some(next_server) => ArchPolicy::new().with_next_server(next_server),
        None => ArchPolicy::new(),
    };
    let options = pxelinux_options(boot).into_iter();
    options.fold(policy, ArchPolicy::with_option)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use pxe_dhcp::{BootRequest, ClientArch};

    #[test]
    fn pxelinux_options_are_those_of_the_configuration() {
        let text = "[tree]\nroot = \"/srv/tftp\"\n[dhcp]\nlisten = \"127.0.0.1\"\n\
            [[dhcp.subnet]]\nnetwork = \"10.0.0.0/8\"\npools = \"10.0.0.5\"\n[boot]\nfiles = { default = \"lpxelinux.0\" }\n\
            configfile = \"pxelinux.cfg/default\"\npath_prefix = \"bios/\"\nreboot_seconds = 60\n";
        let option = |text: &str, code| {
            let config = Config::parse(text, Path::new("test.toml")).expect("valid");
            let request = BootRequest::new([192, 168, 150, 1].into())
                .with_architectures(&[ClientArch::X86_BIOS]);
            let decision = policy(&config, Reasons::Few).decide(&request);
            decision.option(code).map(<[u8]>::to_vec)
        };
        let magic = format!("{text}pxelinux_magic = true\n");
        assert_eq!(option(text, OptionCode::PXELINUX_MAGIC), None);
        assert_eq!(
            option(&magic, OptionCode::PXELINUX_MAGIC),
            Some(vec![0xf1, 0, 0x74, 0x7e])
        );
        for (code, value) in [
            (209, &b"pxelinux.cfg/default"[..]),
            (210, b"bios/"),
            (211, &[0, 0, 0, 60]),
        ] {
            let sent = option(text, OptionCode(code)).expect("sent");
            // A text may end in a NUL.
            assert_eq!(sent.strip_suffix(b"\0").unwrap_or(&sent), value, "{code}");
        }
    }

    #[test]
    fn our_name_server_and_its_domain_are_told_where_nothing_else_is() {
        let told = |dhcp: &str, subnet: &str| {
            let text = format!(
                "[tree]\nroot = \"/srv/tftp\"\n[dns]\nlisten = \"10.0.0.1:53\"\n\
                 domain = \"lab.lan\"\n[dhcp]\nlisten = \"10.0.0.1\"\n{dhcp}\n\
                 [[dhcp.subnet]]\nnetwork = \"10.0.0.0/8\"\npools = \"10.0.0.5\"\n{subnet}\n"
            );
            let config = Config::parse(&text, Path::new("test.toml")).expect("valid");
            let engine = super::dhcp(&config, config.dhcp.as_ref().expect("configured"));
            let options = engine.subnets[0].options.iter();
            let of = |code: OptionCode| {
                let mut options = options.clone().filter(|option| option.code == code);
                let option = options.next();
                assert!(options.next().is_none(), "twice");
                option.map(|option| option.data.to_vec())
            };
            (
                of(OptionCode::DOMAIN_NAME_SERVERS),
                of(OptionCode::DOMAIN_NAME),
            )
        };
        let ours = (Some(vec![10, 0, 0, 1]), Some(b"lab.lan".to_vec()));
        assert_eq!(told("", ""), ours);
        let others = (Some(vec![10, 0, 0, 9]), Some(b"a.lan".to_vec()));
        let written = "dns_servers = \"10.0.0.9\"\ndomain_name = \"a.lan\"";
        assert_eq!(told("", written), others);
        let (servers, _) = told("options = { domain-name-servers = \"10.0.0.9\" }", "");
        assert_eq!(servers, None, "the one of [dhcp] holds");
    }

    #[test]
    fn a_rule_that_boots_names_its_server_whatever_rules_before_it_add() {
        let text = "[tree]\nroot = \"/srv/tftp\"\n[dhcp]\nlisten = \"127.0.0.1\"\n\
            [[dhcp.subnet]]\nnetwork = \"10.0.0.0/8\"\npools = \"10.0.0.5\"\n\
            [boot]\nnext_server = \"10.0.0.2\"\nfiles = { default = \"a.0\" }\n\
            [[boot.rule]]\noptions = { 252 = \"wpad\" }\n\
            [[boot.rule]]\nwhen = { arch = 7 }\nboot = \"b.efi\"\nnext_server = \"10.0.0.9\"\n";
        let config = Config::parse(text, Path::new("test.toml")).expect("valid");
        let next_server = |arch| {
            let architectures = [ClientArch(arch)];
            let request = BootRequest::new([10, 0, 0, 1].into());
            let request = request.with_architectures(&architectures);
            policy(&config, Reasons::Few).decide(&request).next_server
        };
        assert_eq!(next_server(7), Some([10, 0, 0, 9].into()));
        assert_eq!(next_server(0), Some([10, 0, 0, 2].into()));
    }
}
