//! A connection: queries in, responses out (RFC 7766).

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::listener::stopped;
use super::server::Shared;
use crate::{Event, Limited, Outcome, Peer, Rcode, Resolved};

/// A client's connection.
pub(super) struct Connection {
    stream: TcpStream,
    peer: Peer,
    shared: Arc<Shared>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: Peer, shared: Arc<Shared>) -> Self {
        Self {
            stream,
            peer,
            shared,
        }
    }

    /// Serves it to its end.
    pub(super) async fn serve(mut self, mut stop: watch::Receiver<bool>) {
        let idle_max = self.shared.service.limits().idle_max;
        loop {
            let turn = tokio::time::timeout(idle_max, self.turn());
            tokio::select! {
                turn = turn => match turn {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return,
                    Err(_) => {
                        let limit = "idle_max";
                        let peer = Some(self.peer);
                        self.shared.tell(&Event::Limited(Limited { peer, limit }));
                        return;
                    }
                },
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// One query.
    async fn turn(&mut self) -> io::Result<()> {
        let len = self.stream.read_u16().await?;
        let mut query = vec![0; len.into()];
        self.stream.read_exact(&mut query).await?;
        let mut reply = vec![0; 2];
        let service = &self.shared.service;
        let now = self.shared.clock.now();
        match service.handle(now, &self.peer, &query, &mut reply) {
            Outcome::Replied => {}
            Outcome::Ignored => return Ok(()),
            Outcome::Forward(forwarding) => {
                let failed = Resolved::new(Rcode::SERVFAIL, Vec::new());
                service.answer_forwarded(&forwarding, &failed, &mut reply);
            }
        }
        let len = u16::try_from(reply.len() - 2).map_err(io::Error::other)?;
        if let Some(prefix) = reply.get_mut(..2) {
            prefix.copy_from_slice(&len.to_be_bytes());
        }
        self.stream.write_all(&reply).await
    }
}
