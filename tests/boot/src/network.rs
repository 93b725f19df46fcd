//! The network of one boot: a namespace with a bridge, the server's address on it and a tap for the machine; and further hosts.

use std::net::Ipv4Addr;
use std::path::Path;

use pxe_test_lab::{Namespace, run, unique_name};

/// The server's address.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The machine's Ethernet address.
pub(crate) const MACHINE: [u8; 6] = [0x52, 0x54, 0x00, 0x77, 0x00, 0x01];
/// The interface on which the server serves.
pub(crate) const BRIDGE: &str = "br0";
/// The interface to which the machine is plugged.
pub(crate) const TAP: &str = "tap0";

/// Makes it. Dropped, it is destroyed with all that is in it.
pub(crate) fn make(name: &str) -> Result<Namespace, String> {
    let namespace = Namespace::new(name)?;
    namespace.ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    namespace.ip(&["address", "add", &format!("{ADDRESS}/24"), "dev", BRIDGE])?;
    namespace.ip(&["tuntap", "add", TAP, "mode", "tap"])?;
    namespace.ip(&["link", "set", TAP, "master", BRIDGE])?;
    namespace.ip(&["link", "set", TAP, "up"])?;
    namespace.ip(&["link", "set", BRIDGE, "up"])?;
    Ok(namespace)
}

/// Plugs another host into the network, with a namespace of its own. `number` tells such hosts apart.
pub(crate) fn add_host(
    network: &Namespace,
    number: usize,
    address: Ipv4Addr,
) -> Result<Namespace, String> {
    let host = Namespace::new(&unique_name())?;
    let port = format!("host{number}");
    network.connect(&port, &host, "eth0")?;
    network.ip(&["link", "set", &port, "master", BRIDGE])?;
    host.ip(&["address", "add", &format!("{address}/24"), "dev", "eth0"])?;
    Ok(host)
}

/// Loads a ruleset of nft(8) into the namespace.
pub(crate) fn load_rules(network: &Namespace, rules: &Path) -> Result<(), String> {
    run(network.command("nft").arg("-f").arg(rules))
}
