//! Whether machines find NFS, and find it again after a restart.

use std::net::SocketAddr;

use pxe_nfs::Server;

use super::finding::Finding;
use super::ports::told;
use crate::config::{Config, Nfs, Portmap};
use crate::nfs::{PORTMAP_PORT, addresses, handle_key};
use crate::port_holder::{Holder, Transport, holder};

/// Tries each port, and looks for the key of file handles. To be called as root, if that is who
/// starts the server.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let Some(nfs) = &config.nfs else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (index, address) in nfs.listen.iter().enumerate() {
        let key = format!("nfs.listen[{index}]");
        findings.push(examine_port(config, "NFS", &key, *address));
    }
    for port in &nfs.mount_ports {
        for ip in addresses(nfs) {
            let address = SocketAddr::new(ip, *port);
            findings.push(examine_port(config, "MOUNT", "nfs.mount_ports", address));
        }
    }
    findings.extend(examine_portmap(config, nfs));
    findings.push(examine_key(config));
    findings
}

fn examine_port(config: &Config, name: &str, key: &str, address: SocketAddr) -> Finding {
    let (transport, bound) = match Server::bind_tcp(address) {
        Err(error) => (Transport::Tcp, Err(error)),
        Ok(_) => (Transport::Udp, Server::bind_udp(address).map(drop)),
    };
    let bound = bound
        .map_err(|error| config.bind_error(key, &address.to_string(), &error, transport, address));
    let what = format!("{name} can listen on {address}");
    told(what, transport, address, bound)
}

fn examine_portmap(config: &Config, nfs: &Nfs) -> Vec<Finding> {
    let wanted: Vec<SocketAddr> = match &nfs.portmap {
        Portmap::Off => {
            let text = "nobody tells machines the port of NFS (nfs.portmap is off)";
            let remedy = "they need port=N,mountport=N; klibc port=N, and nfs.mount_ports = [627]";
            return vec![Finding::warning(text, remedy)];
        }
        Portmap::At(addresses) => addresses.clone(),
        Portmap::Auto => {
            let ips = addresses(nfs).into_iter();
            ips.map(|ip| SocketAddr::new(ip, PORTMAP_PORT)).collect()
        }
    };
    let is_auto = nfs.portmap == Portmap::Auto;
    let examine = |address: SocketAddr| match holder(Transport::Tcp, address) {
        Some(Holder::Process { name, pid }) if is_auto && name == "rpcbind" => Finding::ok(
            format!("rpcbind (pid {pid}) has port {PORTMAP_PORT}: NFS registers with it"),
        ),
        // systemd holds the port until somebody asks, and starts rpcbind then.
        Some(Holder::Process { name, pid: 1 }) if is_auto && name == "systemd" => Finding::ok(
            format!("systemd has port {PORTMAP_PORT} for rpcbind: NFS registers with it"),
        ),
        _ => {
            let found = examine_port(config, "the portmapper", "nfs.portmap", address);
            match is_auto {
                // The server starts all the same.
                true => found.at_most_warning(),
                false => found,
            }
        }
    };
    wanted.into_iter().map(examine).collect()
}

fn examine_key(config: &Config) -> Finding {
    let Some(file) = handle_key::of_service(config) else {
        return Finding::warning(
            "the key of file handles is kept nowhere: machines lose what they have mounted when \
             the server starts again",
            "name a file with nfs.handle_key",
        );
    };
    match handle_key::look(config, &file) {
        Ok(Some(_)) => Finding::ok(format!(
            "the key of file handles is in {}: what machines have mounted outlives a restart",
            file.display()
        )),
        Ok(None) => Finding::ok(format!(
            "the key of file handles will be made, in {}",
            file.display()
        )),
        Err(error) => Finding::error(error.to_string(), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// The address is one of those for documentation (RFC 5737), which no machine has.
    fn at_no_address_of_ours(portmap: &str) -> (bool, bool) {
        let text = format!(
            "[tree]\nroot = \"/srv\"\n[nfs]\nlisten = \"192.0.2.1:2049\"\nportmap = {portmap:?}\n\
             [nfs.export]\nclients = \"*\"\n"
        );
        let config = Config::parse(&text, Path::new("x.toml")).expect("valid");
        let nfs = config.nfs.as_ref().expect("configured");
        let port = examine_port(&config, "NFS", "nfs.listen", nfs.listen[0]);
        let portmap = examine_portmap(&config, nfs).remove(0);
        (port.is_error(), portmap.is_error())
    }

    #[test]
    fn a_portmapper_that_the_server_can_do_without_is_no_error() {
        assert_eq!(at_no_address_of_ours("auto"), (true, false));
        assert_eq!(at_no_address_of_ours("192.0.2.1:111"), (true, true));
    }

    #[test]
    fn what_is_no_key_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let key = directory.path().join("nfs.key");
        let text = format!(
            "[tree]\nroot = \"/srv\"\n[nfs]\nhandle_key = {key:?}\n[nfs.export]\nclients = \"*\"\n"
        );
        let config = Config::parse(&text, Path::new("x.toml")).expect("valid");
        assert!(!examine_key(&config).is_error(), "it will be made");
        std::fs::write(&key, "short").expect("writable");
        assert!(examine_key(&config).is_error());
    }
}
