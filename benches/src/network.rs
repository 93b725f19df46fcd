//! The network that servers of files are compared in.

use pxe_test_lab::{Namespace, unique_name};

/// A namespace whose loopback interface has the segments of a real network: with its own of 64 KiB
/// some servers wait for acknowledgements that are late.
///
/// # Errors
/// What `ip` said.
pub(crate) fn loopback() -> Result<Namespace, String> {
    let namespace = Namespace::new(&unique_name())?;
    namespace.ip(&["link", "set", "lo", "mtu", "1500"])?;
    Ok(namespace)
}
