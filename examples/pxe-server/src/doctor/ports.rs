//! Whether each port can be had, and who has it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use pxe_dhcp::{BindError, BindSpec, Mode};

use super::finding::Finding;
use crate::assemble;
use crate::bind::StartError;
use crate::config::{Config, Dhcp};
use crate::port_holder::{Holder, Transport, holder};

/// The name of this program's processes.
const OWN_NAME: &str = env!("CARGO_PKG_NAME");

/// Tries every port that the configuration wants.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(dhcp) = &config.dhcp {
        for spec in assemble::dhcp_sockets(dhcp) {
            findings.push(examine_dhcp(config, dhcp, spec));
        }
    }
    for (index, address) in config
        .tftp
        .iter()
        .flat_map(|tftp| tftp.listen.iter().enumerate())
    {
        let key = format!("tftp.listen[{index}]");
        let bound = UdpSocket::bind(address).map(drop);
        let error = bound.map_err(|error| {
            config.bind_error(&key, &address.to_string(), &error, Transport::Udp, *address)
        });
        let what = format!("TFTP can listen on {address}");
        findings.push(told(what, Transport::Udp, *address, error));
    }
    for http in &config.http {
        for (index, address) in http.listen.iter().enumerate() {
            let key = format!("{}.listen[{index}]", http.key);
            let bound = TcpListener::bind(address).map(drop);
            let error = bound.map_err(|error| {
                config.bind_error(&key, &address.to_string(), &error, Transport::Tcp, *address)
            });
            let what = format!("HTTP can listen on {address}");
            findings.push(told(what, Transport::Tcp, *address, error));
        }
    }
    findings
}

fn examine_dhcp(config: &Config, dhcp: &Dhcp, spec: BindSpec) -> Finding {
    let wanted = assemble::dhcp(config, dhcp);
    let has_binl = assemble::has_menus(config);
    let ports = match wanted.mode {
        Mode::Binl => format!("UDP port {}", wanted.binl_port),
        mode if has_binl || !mode.gives_addresses() => {
            format!("UDP ports {} and {}", wanted.server_port, wanted.binl_port)
        }
        _ => format!("UDP port {}", wanted.server_port),
    };
    let what = format!("DHCP can listen on {ports} of {spec}");
    let ip = match &spec {
        BindSpec::Address(ip) => *ip,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let bound = pxe_dhcp::Server::bind(spec, wanted);
    let bound = bound.and_then(|server| match has_binl {
        true => server.with_binl(),
        false => Ok(server),
    });
    match bound {
        Ok(_) => Finding::ok(what),
        // The configuration's check of this machine has told it.
        Err(error @ BindError::NoInterface { .. }) => Finding::error(error.to_string(), ""),
        Err(error) => {
            let port = match &error {
                BindError::Socket { port, .. } => *port,
                _ => dhcp.port,
            };
            let address = SocketAddr::from((ip, port));
            let error = Err(config.dhcp_error("dhcp", error));
            told(what, Transport::Udp, address, error)
        }
    }
}

/// A port that this server itself has is as it should be.
pub(super) fn told(
    what: String,
    transport: Transport,
    address: SocketAddr,
    result: Result<(), StartError>,
) -> Finding {
    let Err(error) = result else {
        return Finding::ok(what);
    };
    match holder(transport, address) {
        Some(Holder::Process { name, pid }) if name == OWN_NAME => {
            Finding::ok(format!("{what}: it does, as pid {pid}"))
        }
        _ => Finding::error(error.to_string(), ""),
    }
}
