//! Who holds a port that we need.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Which of the kernel's tables to look in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// The process that holds a port, as far as this process may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A process.
    Process { name: String, pid: u32 },
    /// One whose open files we may not look at, of this user.
    User { uid: u32 },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { name, pid } => write!(f, "{name}, pid {pid}"),
            Self::User { uid: 0 } => f.write_str("a process of root; ask as root for its name"),
            Self::User { uid } => write!(f, "a process of user id {uid}"),
        }
    }
}

/// Who keeps us from binding `address`, if it can be found out.
pub(crate) fn holder(transport: Transport, address: SocketAddr) -> Option<Holder> {
    let (v4, v6) = match transport {
        Transport::Tcp => ("/proc/net/tcp", "/proc/net/tcp6"),
        Transport::Udp => ("/proc/net/udp", "/proc/net/udp6"),
    };
    // A socket of IPv6 can hold the port for both families.
    let socket = [v4, v6].into_iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines()
            .filter_map(Socket::parse)
            .find(|socket| socket.keeps(transport, address))
    })?;
    Some(process_with(socket.inode).unwrap_or(Holder::User { uid: socket.uid }))
}

/// A line of `/proc/net/tcp` and its siblings (Linux, Documentation/networking/proc_net_tcp.rst).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    state: u8,
    uid: u32,
    inode: u64,
}

impl Socket {
    const LISTEN: u8 = 0x0a;

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let local = parse_address(fields.nth(1)?)?;
        let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
        let uid = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some(Self {
            local,
            state,
            uid,
            inode,
        })
    }

    fn keeps(&self, transport: Transport, wanted: SocketAddr) -> bool {
        let own = self.local.ip().to_canonical();
        let wanted_ip = wanted.ip().to_canonical();
        self.local.port() == wanted.port()
            && (own == wanted_ip || own.is_unspecified() || wanted_ip.is_unspecified())
            && (transport == Transport::Udp || self.state == Self::LISTEN)
    }
}

/// `0100007F:0045`: each 32 bits of the address in host order, the port in hexadecimal.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |text: &str| Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes());
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(address)?)),
        32 => {
            let mut octets = [0; 16];
            for (index, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(address.get(index * 8..index * 8 + 8)?)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The process that has a socket of this inode open.
fn process_with(inode: u64) -> Option<Holder> {
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // Not ours to look at, or gone meanwhile.
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let has_it = files
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|target| target == Path::new(&wanted));
        if has_it {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Holder::Process {
                name: name.trim_end().to_owned(),
                pid,
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn our_own_sockets_are_found() {
        let me = std::process::id();
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("bind");
        for (transport, address) in [
            (Transport::Udp, udp.local_addr().expect("bound")),
            (Transport::Tcp, tcp.local_addr().expect("bound")),
        ] {
            for wanted in [address, SocketAddr::from(([0, 0, 0, 0], address.port()))] {
                match holder(transport, wanted) {
                    Some(Holder::Process { pid, .. }) => assert_eq!(pid, me),
                    other => panic!("{wanted}: {other:?}"),
                }
            }
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_lines_are_read() {
        let line = "  45: 0100007F:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000 \
                    65534        0 31337 2 0000000000000000 0";
        let socket = Socket::parse(line).expect("valid");
        assert_eq!(socket.local, SocketAddr::from(([127, 0, 0, 1], 69)));
        assert_eq!((socket.uid, socket.inode, socket.state), (65534, 31337, 7));
        let any = "00000000000000000000000000000000:0050";
        assert_eq!(parse_address(any), Some("[::]:80".parse().expect("valid")));
        let mapped = "0000000000000000FFFF00000100007F:0050";
        assert_eq!(
            parse_address(mapped),
            Some("[::ffff:127.0.0.1]:80".parse().expect("valid"))
        );
        for line in ["", "sl local_address rem_address st", "0: zz:1 0:0 0A"] {
            assert_eq!(Socket::parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_connection_is_no_listener() {
        let wanted = SocketAddr::from(([127, 0, 0, 1], 80));
        let connected = Socket {
            local: wanted,
            state: 1,
            uid: 0,
            inode: 1,
        };
        assert!(!connected.keeps(Transport::Tcp, wanted));
        assert!(connected.keeps(Transport::Udp, wanted));
    }
}
