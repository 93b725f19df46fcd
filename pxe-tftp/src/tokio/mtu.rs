//! The MTU towards a client.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long an answer is good: a machine fetches dozens of files within seconds.
const FRESH: Duration = Duration::from_secs(10);
/// Answers kept; when there are more, all are forgotten.
const ENTRIES_MAX: usize = 1024;

/// Remembers MTUs for a short while.
#[derive(Debug, Default)]
pub(super) struct Mtus {
    known: HashMap<IpAddr, (Option<u32>, Instant)>,
}

impl Mtus {
    /// The MTU of the route to `remote`, in bytes; `None` where the system does not say.
    pub(super) fn towards(&mut self, remote: SocketAddr, local: Option<IpAddr>) -> Option<u32> {
        let now = Instant::now();
        if let Some((mtu, since)) = self.known.get(&remote.ip())
            && now.duration_since(*since) < FRESH
        {
            return *mtu;
        }
        if self.known.len() >= ENTRIES_MAX {
            self.known.clear();
        }
        let mtu = ask_route(remote, local).ok();
        self.known.insert(remote.ip(), (mtu, now));
        mtu
    }
}

/// Connecting a UDP socket sends nothing, but looks up the route, whose MTU can be asked then.
fn ask_route(remote: SocketAddr, local: Option<IpAddr>) -> io::Result<u32> {
    let unspecified = match remote {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = match local.map(|ip| UdpSocket::bind((ip, 0))) {
        Some(Ok(socket)) => socket,
        Some(Err(_)) | None => UdpSocket::bind((unspecified, 0))?,
    };
    socket.connect(remote)?;
    route_mtu(&socket, remote)
}

fn route_mtu(socket: &UdpSocket, remote: SocketAddr) -> io::Result<u32> {
    Ok(match remote {
        SocketAddr::V4(_) => rustix::net::sockopt::ip_mtu(socket)?,
        SocketAddr::V6(_) => rustix::net::sockopt::ipv6_mtu(socket)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_an_mtu() {
        let mut mtus = Mtus::default();
        let remote = SocketAddr::from(([127, 0, 0, 1], 9));
        let mtu = mtus.towards(remote, None).expect("the route to loopback");
        assert!(mtu >= 1280, "{mtu}");
        assert_eq!(mtus.towards(remote, None), Some(mtu));
    }
}
