//! No packet leaves with DF set.

use std::io;
use std::net::UdpSocket;

use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};

/// Switches path MTU discovery off, which is on by default: no packet leaves with DF set, and
/// routers may fragment it.
///
/// An interface's MTU is not the path's (tunnels, relays), and old boot ROMs drop packets with DF.
/// `also_ipv4`: of an IPv6 socket that has IPv4 clients too.
pub(super) fn allow_fragments(
    socket: &UdpSocket,
    is_ipv6: bool,
    also_ipv4: bool,
) -> io::Result<()> {
    if !is_ipv6 || also_ipv4 {
        set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT)?;
    }
    if is_ipv6 {
        set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DONT)?;
    }
    Ok(())
}
