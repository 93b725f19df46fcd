//! Listeners: connections are let in, within bounds.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::clients::Place;
use super::connection::Connection;
use super::server::Shared;
use crate::{Event, Peer, Transport};

/// Out of descriptors or memory: waiting is all that can help.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A port for connections.
pub(super) struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
}

impl Listener {
    pub(super) fn new(
        socket: std::net::TcpListener,
        local: SocketAddr,
        shared: Arc<Shared>,
        stop: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::from_std(socket)?,
            local,
            shared,
            stop,
        })
    }

    /// Serves until it is to stop, and then what is under way.
    pub(super) async fn run(mut self) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stopped(&mut self.stop) => break,
            };
            match accepted {
                Ok((stream, remote)) => {
                    // A panic of who listens to events does not close the port.
                    let admit = AssertUnwindSafe(|| self.admit(stream, remote));
                    if let Ok(Some((connection, place))) = catch_unwind(admit) {
                        let stop = self.stop.clone();
                        let permits = Arc::clone(&self.shared.permits);
                        connections.spawn(async move {
                            // It is there, or will be once the one that makes room has closed.
                            let permit = permits.acquire_owned().await;
                            connection.serve(stop).await;
                            drop((place, permit));
                        });
                    }
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    let text = format!("{}: {error}", self.local);
                    let tell = || self.shared.tell(&Event::AcceptFailed(text));
                    let _ = catch_unwind(AssertUnwindSafe(tell));
                    tokio::select! {
                        () = tokio::time::sleep(ACCEPT_RETRY) => {}
                        () = stopped(&mut self.stop) => break,
                    }
                }
            }
        }
        // Refuses newcomers while the rest finishes.
        drop(self.socket);
        while connections.join_next().await.is_some() {}
    }

    /// Gives a connection its place, for which an idle one makes room if there are as many as there
    /// may be, or closes it: a client goes on by UDP, or tries again.
    fn admit(&self, stream: TcpStream, remote: SocketAddr) -> Option<(Connection, Place)> {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let mut peer = Peer::new(remote, Transport::Tcp);
        peer.local_ip = stream
            .local_addr()
            .ok()
            .map(|local| local.ip().to_canonical());
        let limited = |limit| {
            let shared = &self.shared;
            shared.throttle.limited(&shared.service, Some(peer), limit);
        };
        let per_client_max = self.shared.service.limits().connections_per_client_max;
        let Some(place) = Place::take(&self.shared.clients, remote.ip(), per_client_max) else {
            limited("connections_per_client_max");
            return None;
        };
        if self.shared.permits.available_permits() == 0 && !self.shared.idle.close_longest() {
            limited("connections_max");
            return None;
        }
        // Without it, the end of a response may wait for the client's delayed ACK.
        let _ = stream.set_nodelay(true);
        let connection = Connection::new(stream, peer, Arc::clone(&self.shared));
        Some((connection, place))
    }
}

/// Resolves once the server stops, or has gone.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
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
