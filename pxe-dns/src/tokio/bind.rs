//! Binding of ports, which may need privileges that serving does not.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use socket2::{Domain, Protocol, Socket, Type};

use super::udp;
use crate::Transport;

/// Connections that may wait to be accepted. The system's bound (`net.core.somaxconn`) holds all
/// the same.
const BACKLOG: i32 = 1024;
/// Sockets at a port for datagrams at most, each with a thread of its own.
const UDP_SOCKETS_MAX: usize = 8;
/// Octets that wait in a socket at most, if the system lets us: some thousand queries, while others
/// have the processor. The system's default holds some hundred.
const RECEIVE_BUFFER: usize = 4 << 20;

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
    /// Sockets among which the system divides the clients.
    Udp(Vec<udp::Socket>),
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

    /// A socket for datagrams that was bound elsewhere. It is served by one thread.
    ///
    /// # Errors
    /// Its address cannot be told, or it cannot be set up.
    pub fn from_udp(socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        Ok(Self {
            socket: BoundSocket::Udp(vec![udp::Socket::inherited(socket)?]),
            local,
        })
    }

    /// Where it listens; tells the port if port 0 was asked for.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// How queries come to it.
    pub const fn transport(&self) -> Transport {
        match self.socket {
            BoundSocket::Tcp(_) => Transport::Tcp,
            BoundSocket::Udp(_) => Transport::Udp,
        }
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

/// Binds sockets for datagrams: one for each processor that this program may use.
pub(super) fn bind_udp(address: impl ToSocketAddrs) -> io::Result<Bound> {
    first(address, |address| {
        let begun = socket(address, Type::DGRAM, Protocol::UDP)?;
        begun.bind(&address.into())?;
        let local = begun.local_addr()?.as_socket();
        let local = local.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut sockets = vec![begun];
        share(&mut sockets, local)?;
        let sockets: io::Result<_> = sockets
            .into_iter()
            .map(|socket| udp::Socket::own(socket.into()))
            .collect();
        Ok(Bound {
            socket: BoundSocket::Udp(sockets?),
            local,
        })
    })
}

/// Binds more sockets to the address of the first. That one was bound without `SO_REUSEPORT`, so
/// that it is an error if another program, or another process of this one, has the port.
fn share(sockets: &mut Vec<Socket>, local: SocketAddr) -> io::Result<()> {
    let count = available_parallelism().map_or(1, NonZeroUsize::get);
    while sockets.len() < count.min(UDP_SOCKETS_MAX) {
        for socket in &*sockets {
            socket.set_reuse_port(true)?;
        }
        let joined = socket(local, Type::DGRAM, Protocol::UDP)?;
        joined.set_reuse_port(true)?;
        joined.bind(&local.into())?;
        sockets.push(joined);
    }
    Ok(())
}

/// A socket of the address' family. `[::]` takes IPv4 as well, whatever the system's default.
fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    if kind == Type::DGRAM {
        // As much as the system grants.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
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
