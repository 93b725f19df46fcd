//! A port, and the connections that come to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

use super::admission::{Admission, Place};
use super::answer::Files;
use super::connection::{self, linger};
use super::peer::Peer;
use super::response::refusal;
#[cfg(feature = "tls")]
use super::tls::{self, CurrentIdentity};
use crate::event::{AcceptFailed, Event, Limit};

/// Refused connections whose clients are given time to read why; the others are closed at once.
const REFUSED_MAX: usize = 64;

pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) local: SocketAddr,
    pub(super) files: Files,
    pub(super) admission: Arc<Admission>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) transport: Transport,
}

/// What carries the requests that come to a port.
#[derive(Debug, Clone)]
pub(super) enum Transport {
    /// The connection itself.
    Plain,
    /// TLS, with this identity of ours.
    #[cfg(feature = "tls")]
    Tls(CurrentIdentity),
}

/// A connection that was let in, apart from its socket: what runs on it needs no more.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) files: Files,
    /// Kept as long as the connection is open.
    pub(super) place: Place,
}

impl Admitted {
    pub(super) const fn peer(&self) -> Peer {
        Peer::new(self.remote).with_local(self.local)
    }

    /// Tells that this connection reached a bound.
    pub(super) fn tell_limit(&self, limit: Limit) {
        let admission = &self.place.admission;
        admission.tell_limit(limit, Some(self.remote), self.local);
    }
}

impl Listener {
    pub(super) async fn run(mut self) {
        let mut connections = JoinSet::new();
        let mut refused = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = self.admission.refusals.due() => {
                    self.admission.tell_refusals(false);
                    continue;
                }
                () = stopped(&mut self.stop) => break,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let Some(admitted) = self.admit(&stream, unmapped(remote)) else {
                        while refused.try_join_next().is_some() {}
                        // Over TLS nobody could read it before a handshake, which costs more than
                        // it tells.
                        if refused.len() < REFUSED_MAX && matches!(self.transport, Transport::Plain)
                        {
                            refused.spawn(refuse(stream));
                        }
                        continue;
                    };
                    // One connection a listener waits here, the others in the operating system.
                    let Some(permit) = self.permit().await else {
                        break;
                    };
                    let transport = self.transport.clone();
                    connections.spawn(serve(stream, transport, admitted, permit));
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    let error = Arc::new(error);
                    self.admission.observer.tell(|| {
                        Event::AcceptFailed(AcceptFailed {
                            local: self.local,
                            error,
                        })
                    });
                    // Out of descriptors or memory: waiting is all that can help.
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(100)) => {}
                        () = stopped(&mut self.stop) => break,
                    }
                }
            }
        }
        // Refuses newcomers while the rest finishes.
        drop(self.socket);
        while connections.join_next().await.is_some() {}
    }

    /// Waits until fewer than `connections_max` are served; `None` if the server stops.
    async fn permit(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Some(permit) = self.admission.try_permit() {
            return Some(permit);
        }
        self.admission
            .tell_limit(Limit::Connections, None, self.local);
        tokio::select! {
            permit = self.admission.permit() => permit,
            () = stopped(&mut self.stop) => None,
        }
    }

    /// Gives a connection its place, or refuses it.
    fn admit(&self, stream: &TcpStream, remote: SocketAddr) -> Option<Admitted> {
        let local = stream.local_addr().map_or(self.local, unmapped);
        let Some(place) = Place::take(&self.admission, remote.ip()) else {
            let limit = Limit::ConnectionsPerClient;
            self.admission.tell_limit(limit, Some(remote), local);
            return None;
        };
        // Without it, the last piece of a response may wait for the client's delayed ACK.
        let _ = stream.set_nodelay(true);
        Some(Admitted {
            remote,
            local,
            files: self.files.clone(),
            place,
        })
    }
}

/// Tells a client that it has too many connections.
async fn refuse(mut stream: TcpStream) {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let cause = "too many connections from your address";
    // A fresh connection's send buffer takes it.
    if stream
        .write_all(&refusal(None, status, cause, Some(1)))
        .await
        .is_ok()
    {
        linger(&mut stream).await;
    }
}

/// Serves a connection to its end.
async fn serve(
    stream: TcpStream,
    transport: Transport,
    admitted: Admitted,
    _permit: OwnedSemaphorePermit,
) {
    match transport {
        Transport::Plain => connection::serve(stream, admitted).await,
        #[cfg(feature = "tls")]
        Transport::Tls(identity) => tls::serve(stream, &identity, admitted).await,
    }
}

/// Resolves once the server stops, or has gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

/// An IPv4 client of an IPv6 socket is an IPv4 client: policies and logs know it as such.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Errors of `accept` that say nothing of the listener (accept(2)).
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_clients_of_an_ipv6_socket_are_ipv4_clients() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert_eq!(
            unmapped(address("[::ffff:10.0.0.7]:49153")),
            address("10.0.0.7:49153")
        );
        assert_eq!(unmapped(address("[fe80::1]:80")), address("[fe80::1]:80"));
    }
}
