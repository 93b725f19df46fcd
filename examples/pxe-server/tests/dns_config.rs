//! `[dns]`, good and bad, as people write it.

use std::net::IpAddr;
use std::path::Path;

use pxe_server::{Config, Dns, DnsClients, DnsForward, DnsWho, ZoneContent};

const LAB: &str = "[tree]\nroot = \"/srv/tftp\"\n[dns]\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/boot.toml")).map_err(|error| error.to_string())
}

fn dns(more: &str) -> Dns {
    let config = parse(&format!("{LAB}{more}\n"));
    config.expect("valid").dns.expect("configured")
}

/// The one error that these lines after `[dns]` give.
#[track_caller]
fn error(more: &str) -> String {
    let error = parse(&format!("{LAB}{more}\n")).expect_err("invalid");
    error.replacen("/etc/boot.toml:", "", 1)
}

fn names(dns: &Dns) -> Vec<String> {
    dns.zones.iter().map(|zone| zone.name.to_string()).collect()
}

#[test]
fn the_tutorials_names_take_five_lines() {
    let dns = dns(
        "domain = \"matrix.lan\"\n[dns.zone]\nname = \"matrix.lan\"\n\
         hosts = { pxe = \"192.168.150.1\" }",
    );
    assert_eq!(names(&dns), ["matrix.lan."]);
    let zone = &dns.zones[0];
    let ZoneContent::Lines { hosts, .. } = &zone.content else {
        panic!("lines");
    };
    assert_eq!(hosts["pxe"], [IpAddr::from([192, 168, 150, 1])]);
    assert!(zone.has_leases);
    assert_eq!(zone.allow_query, DnsClients::Own);
    assert_eq!(zone.allow_transfer, DnsClients::Listed(Vec::new()));
    assert_eq!(dns.forward, DnsForward::System);
    assert_eq!(dns.listen, None);
}

#[test]
fn domains_are_zones_by_themselves() {
    let dhcp = "[dhcp]\ninterface = \"br1\"\n[[dhcp.subnet]]\nnetwork = \"10.0.0.0/24\"\n\
                pools = \"10.0.0.9\"\ndomain_name = \"a.lan\"\n[[dhcp.subnet]]\n\
                network = \"10.0.1.0/24\"\npools = \"10.0.1.9\"\ndomain_name = \"A.lan\"\n";
    assert_eq!(names(&dns(dhcp)), ["a.lan."]);
    let own = dns(&format!("domain = \"b.lan\"\n{dhcp}"));
    assert_eq!(names(&own), ["b.lan.", "a.lan."]);
    let domain = own.domain.expect("written");
    assert_eq!(domain.to_string(), "b.lan.");
    let others = dns(&format!("domain = \"\"\n{dhcp}"));
    assert!(others.zones.is_empty(), "the domain is another server's");
    let with_zone = dns(&format!(
        "[dns.zone]\nname = \"a.lan\"\nfile = \"db.a\"\n{dhcp}"
    ));
    assert_eq!(names(&with_zone), ["a.lan."]);
    let file = Path::new("/etc/db.a").to_owned();
    assert_eq!(with_zone.zones[0].content, ZoneContent::File(file));
}

#[test]
fn lists_of_clients_are_those_of_bind() {
    let dns = dns(
        "allow_query = [\"!10.0.0.7\", \"10.0.0.0/8\", \"localhost\", \"localnets\"]\n\
                   allow_recursion = \"none\"",
    );
    let DnsClients::Listed(listed) = &dns.allow_query else {
        panic!("listed");
    };
    let may: Vec<bool> = listed.iter().map(|element| element.may).collect();
    assert_eq!(may, [false, true, true, true]);
    assert_eq!(listed[2].who, DnsWho::Localhost);
    assert_eq!(listed[3].who, DnsWho::Localnets);
    let DnsClients::Listed(listed) = &dns.allow_recursion else {
        panic!("listed");
    };
    assert_eq!((listed[0].who, listed[0].may), (DnsWho::Any, false));
}

#[test]
fn whom_to_ask_is_the_system_nobody_or_some() {
    assert_eq!(dns("forward = \"system\"").forward, DnsForward::System);
    assert_eq!(dns("forward = []").forward, DnsForward::Nobody);
    let DnsForward::Servers(servers) =
        dns("forward = [\"9.9.9.9\", \"tls://9.9.9.9#dns.quad9.net\"]").forward
    else {
        panic!("servers");
    };
    assert_eq!(servers[0].address().port(), 53);
    assert_eq!(servers[1].server_name(), Some("dns.quad9.net"));
}

#[test]
fn some_names_are_asked_of_others() {
    let dns = dns("forward = []\nstop_rebinding = true\ntls_ca = \"ca.pem\"\n\
         forward_zones = { \"corp.lan\" = \"10.0.0.53\", \"10.in-addr.arpa\" = [\"10.0.0.53\", \"10.0.0.54\"] }");
    let zones: Vec<(String, usize)> = (dns.forward_zones.iter())
        .map(|(name, servers)| (name.to_string(), servers.len()))
        .collect();
    let expected = [
        ("10.in-addr.arpa.".to_owned(), 2),
        ("corp.lan.".to_owned(), 1),
    ];
    assert_eq!(zones, expected);
    assert!(dns.stop_rebinding);
    assert_eq!(dns.tls_ca.as_deref(), Some(Path::new("/etc/ca.pem")));
}

#[test]
fn a_port_that_is_taken_twice_is_said_once() {
    let error = error("listen = [\"0.0.0.0:53\", \"127.0.0.1:53\"]");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("cannot both be listened at"), "{error}");
}

#[test]
fn errors_say_where_and_what_to_do() {
    for (more, expected) in [
        (
            "listne = \"127.0.0.1:53\"",
            "4:1: dns.listne: unknown key listne; did you mean listen?",
        ),
        (
            "listen = \"192.168.150.1\"",
            "4:10: dns.listen: 192.168.150.1 has no port; write 192.168.150.1:53",
        ),
        (
            "allow_query = \"localnet\"",
            "4:15: dns.allow_query: \"localnet\" is no network; did you mean localnets?",
        ),
        (
            "forward = [\"systm\"]",
            "4:12: dns.forward: \"systm\" is no name server; did you mean system?",
        ),
        (
            "forward = [\"tls://9.9.9.9\"]",
            "4:12: dns.forward: \"tls://9.9.9.9\" is no name server; write system, 9.9.9.9, or \
             tls://9.9.9.9#dns.quad9.net; [] asks nobody",
        ),
        (
            "forward = [\"system\", \"9.9.9.9\"]",
            "4:12: dns.forward: the system's name servers are asked alone; remove \"system\", or \
             the others",
        ),
        (
            "domain = \".\"",
            "4:10: dns.domain: all names there are would be ours; write your own domain, such as \
             lab.lan, or \"\" for none",
        ),
        (
            "[dns.zone]\nname = \"lab.lan\"\nhosts = { nas = [] }",
            "6:11: dns.zone.hosts.nas: nas has no address; add its address, or remove the name",
        ),
        (
            "forward_zones = { \"corp.lan\" = [\"ns.corp.lan\"] }",
            "4:33: dns.forward_zones.corp.lan: \"ns.corp.lan\" is no name server; write \
             10.0.0.53, or tls://10.0.0.53#dns.corp.lan",
        ),
        (
            "domain = \"lab.lan\"\nforward_zones = { \"lab.lan\" = \"10.0.0.53\" }",
            "5:31: dns.forward_zones.lab.lan: lab.lan. is a zone here (dns.domain): nobody is \
             asked for it; remove one of the two",
        ),
        (
            "[dns.zone]\nfile = \"x\"",
            "4:6: dns.zone.name: the zone has no name; add name = \"lab.lan\"",
        ),
        (
            "[dns.zone]\nname = \"a..b\"",
            "5:8: dns.zone.name: \"a..b\" is no domain name: an empty label; write labels of \
             letters, digits and hyphens, joined by dots",
        ),
        (
            "[dns.zone]\nname = \"lab.lan\"\nhosts = { nas = \"10.0.0\" }",
            "6:17: dns.zone.hosts.nas: \"10.0.0\" is no address; write it as 192.168.150.1 or \
             fd00::1; other types go into records",
        ),
        (
            "[dns.zone]\nname = \"lab.lan\"\nfile = \"db\"\nhosts = { nas = \"10.0.0.1\" }",
            "7:1: dns.zone.hosts: the zone's records are those of db; write it into that file, or \
             remove one of the two",
        ),
        (
            "[[dns.zone]]\nname = \"lab.lan\"\n[[dns.zone]]\nname = \"LAB.lan.\"",
            "7:8: dns.zone.name: LAB.lan. is there twice; remove one of the two",
        ),
    ] {
        assert_eq!(error(more), expected);
    }
}
