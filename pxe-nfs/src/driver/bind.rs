//! Binding of ports, which may need privileges that serving does not.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::portmap::{IPPROTO_TCP, IPPROTO_UDP};
use crate::{Mapping, Programs, Transport, lock, mount, nfs, portmap};

/// Connections that may wait to be accepted: a class of machines that is switched on at once. The
/// system's bound (`net.core.somaxconn`) holds all the same.
const BACKLOG: i32 = 1024;

/// A port that is bound and not yet served.
#[derive(Debug)]
#[must_use = "a bound port serves nothing before it is given to a server"]
pub struct Bound {
    pub(super) socket: BoundSocket,
    local: SocketAddr,
}

#[derive(Debug)]
pub(super) enum BoundSocket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Bound {
    /// A listener that was bound elsewhere (inherited from a supervisor, for example).
    ///
    /// # Errors
    /// Its address cannot be told, or it cannot be made non-blocking.
    pub fn from_listener(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let local = listener.local_addr()?;
        Ok(Self {
            socket: BoundSocket::Tcp(listener),
            local,
        })
    }

    /// A socket for datagrams that was bound elsewhere.
    ///
    /// # Errors
    /// Its address cannot be told, or it cannot be made non-blocking.
    pub fn from_udp(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Self {
            socket: BoundSocket::Udp(socket),
            local,
        })
    }

    /// Where it listens; tells the port if port 0 was asked for.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// How calls come to it.
    pub const fn transport(&self) -> Transport {
        match self.socket {
            BoundSocket::Tcp(_) => Transport::Tcp,
            BoundSocket::Udp(_) => Transport::Udp,
        }
    }

    /// What the portmapper says of this port, once these programs are served at it.
    pub fn mappings(&self, programs: Programs) -> Vec<Mapping> {
        let named: &[(u32, &[u32])] = match programs {
            Programs::Nfs => &[
                (nfs::PROGRAM, &[nfs::VERSION]),
                (mount::PROGRAM, &[mount::VERSION]),
                (lock::PROGRAM, &lock::VERSIONS),
            ],
            Programs::Mount => &[(mount::PROGRAM, &[mount::VERSION])],
            Programs::Portmap => &[(portmap::PROGRAM, &[portmap::VERSION])],
        };
        let protocol = match self.transport() {
            Transport::Tcp => IPPROTO_TCP,
            Transport::Udp => IPPROTO_UDP,
        };
        let port = self.local.port();
        let mappings = |&(program, versions): &(u32, &'static [u32])| {
            versions.iter().map(move |&version| Mapping {
                program,
                version,
                protocol,
                port,
            })
        };
        named.iter().flat_map(mappings).collect()
    }
}

/// Binds a listener, with `SO_REUSEADDR`, so that a restarted server gets its port at once.
pub(super) fn bind_tcp(address: impl ToSocketAddrs) -> io::Result<Bound> {
    first(address, |address| {
        let socket = socket(address, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Bound::from_listener(socket.into())
    })
}

/// Binds a socket for datagrams.
pub(super) fn bind_udp(address: impl ToSocketAddrs) -> io::Result<Bound> {
    first(address, |address| {
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&address.into())?;
        Bound::from_udp(socket.into())
    })
}

/// A socket of the address' family. `[::]` takes IPv4 as well, whatever the system's default.
fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

/// Binds the first of the addresses that can be bound.
fn first(
    address: impl ToSocketAddrs,
    bind: impl Fn(SocketAddr) -> io::Result<Bound>,
) -> io::Result<Bound> {
    let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in address.to_socket_addrs()? {
        result = bind(address);
        if result.is_ok() {
            break;
        }
    }
    result
}
