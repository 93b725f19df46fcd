//! The network of one boot: a namespace with a bridge, the server's address on it and a tap for the machine.

use pxe_test_lab::Namespace;

/// The server's address.
pub(crate) const ADDRESS: &str = "10.77.0.1";
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
