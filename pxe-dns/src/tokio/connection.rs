//! A connection: queries in, responses out in whatever order they are ready (RFC 7766).

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::forwards::Begun;
use super::idle::Idle;
use super::listener::stopped;
use super::server::Shared;
use crate::{Event, Limited, Outcome, Peer, TcpClosed, Transfer, Transferred};

/// Octets of the length before each message (RFC 1035 section 4.2.2).
const PREFIX_LEN: usize = 2;
/// Longer messages are no queries: the longest has a name, an OPT record and padding (RFC 8467).
const QUERY_LEN_MAX: usize = 4096;
/// Octets that are read at a time.
const READ_LEN: usize = 4096;

/// A client's connection.
pub(super) struct Connection {
    stream: TcpStream,
    peer: Peer,
    shared: Arc<Shared>,
    /// What was read and is not yet taken.
    received: Vec<u8>,
    /// What is to be sent, and how much of it is.
    unsent: Vec<u8>,
    sent: usize,
    /// Queries that others are asked for. A response keeps its place among them until there is
    /// room for it here.
    forwards: JoinSet<(Vec<u8>, Begun)>,
    /// Zones that the client gets, the first of them now.
    transfers: VecDeque<Transfer>,
    intake: Intake,
    idle: Idle,
    opened: Instant,
    /// When the last query came whole, or the last response had left.
    heard: Instant,
    /// When the client took something.
    taken: Instant,
    queries: u64,
    bytes_sent: u64,
}

/// Whether queries are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intake {
    Open,
    /// No more of them comes; what came is answered.
    Ended,
}

/// Why a connection is closed before its client closes it.
#[derive(Debug)]
enum End {
    Failed,
    Malformed,
    Limited(&'static str),
    /// Another one takes its place.
    Replaced,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Failed
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: Peer, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        Self {
            stream,
            peer,
            idle: Idle::new(&shared.idle),
            shared,
            received: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            forwards: JoinSet::new(),
            transfers: VecDeque::new(),
            intake: Intake::Open,
            opened: now,
            heard: now,
            taken: now,
            queries: 0,
            bytes_sent: 0,
        }
    }

    /// Serves it to its end.
    pub(super) async fn serve(mut self, stop: watch::Receiver<bool>) {
        match self.run(stop).await {
            Ok(()) | Err(End::Failed) => {}
            Err(End::Malformed) => self.shared.tell(&Event::Malformed(self.peer)),
            Err(End::Limited(limit)) => self.shared.tell(&Event::Limited(Limited {
                peer: Some(self.peer),
                limit,
            })),
            Err(End::Replaced) => {
                let shared = &self.shared;
                let peer = Some(self.peer);
                shared
                    .throttle
                    .limited(&shared.service, peer, "connections_max");
            }
        }
    }

    async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), End> {
        let mut stopped = pin!(stopped(&mut stop));
        let limits = self.shared.service.limits().clone();
        loop {
            let taken_before = self.queries;
            let is_held_up = self.take_queries()?;
            self.send()?;
            if self.queries > taken_before + 1 {
                // A client with so many queries at once may have as many more: others have their
                // turn, on this runtime, before those are read.
                tokio::task::yield_now().await;
            }
            let is_transferring = self.unsent.is_empty() && !self.transfers.is_empty();
            if is_transferring {
                self.transfer();
            }
            if is_transferring || is_held_up && self.has_room() {
                // Others have their turn.
                tokio::task::yield_now().await;
                continue;
            }
            let is_sending = !self.unsent.is_empty();
            let is_waiting = !self.forwards.is_empty();
            let takes_answers = is_waiting && self.has_room_for_responses();
            if self.intake == Intake::Ended && !is_sending && !is_waiting {
                return Ok(());
            }
            let (deadline, limit) = match (is_sending, is_waiting) {
                (true, _) => (
                    self.taken.checked_add(limits.send_stalled_max),
                    "send_stalled_max",
                ),
                // Others answer in bounded time.
                (false, true) => (None, ""),
                (false, false) => (self.heard.checked_add(limits.idle_max), "idle_max"),
            };
            let is_taking = self.intake == Intake::Open && !is_held_up;
            let is_idle = is_taking && !is_sending && !is_waiting;
            if !is_idle || self.queries > taken_before {
                self.idle.end();
            }
            if is_idle {
                self.idle.begin();
            }
            tokio::select! {
                ready = self.stream.readable(), if is_taking => {
                    ready?;
                    self.receive()?;
                }
                ready = self.stream.writable(), if is_sending => ready?,
                Some(done) = self.forwards.join_next(), if takes_answers => {
                    // A task that panicked has no reply; the client asks again.
                    if let Ok((reply, _begun)) = done {
                        self.push(&reply);
                    }
                }
                () = &mut stopped, if self.intake == Intake::Open => self.intake = Intake::Ended,
                () = self.idle.closing(), if is_idle => return Err(End::Replaced),
                () = until(deadline), if deadline.is_some() => return Err(End::Limited(limit)),
            }
        }
    }

    /// Whether one more query may be taken.
    fn has_room(&self) -> bool {
        let limits = self.shared.service.limits();
        self.forwards.len() + self.transfers.len() < limits.queries_per_connection_max.max(1)
            && self.has_room_for_responses()
    }

    /// Whether one more response may wait until the client takes it.
    fn has_room_for_responses(&self) -> bool {
        let limits = self.shared.service.limits();
        self.unsent.len() - self.sent < limits.response_bytes_max.max(1)
    }

    /// Reads what is there, up to a bound: the rest waits in the system, and then in the client.
    fn receive(&mut self) -> Result<(), End> {
        let mut octets = [0; READ_LEN];
        match self.stream.try_read(&mut octets) {
            Ok(0) => self.intake = Intake::Ended,
            Ok(len) => {
                let octets = octets.get(..len).unwrap_or_default();
                self.received.extend_from_slice(octets);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Takes the queries that are whole. Returns whether there may be more, for which there is no
    /// room.
    fn take_queries(&mut self) -> Result<bool, End> {
        let mut taken = 0;
        let is_held_up = loop {
            if !self.has_room() {
                break true;
            }
            let rest = self.received.get(taken..).unwrap_or_default();
            let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX_LEN>() else {
                break false;
            };
            let len = usize::from(u16::from_be_bytes(*prefix));
            if len > QUERY_LEN_MAX {
                return Err(End::Malformed);
            }
            if rest.len() < len {
                break false;
            }
            let start = taken + PREFIX_LEN;
            taken = start + len;
            self.take_query(start, taken);
        };
        self.received.drain(..taken);
        if self.received.is_empty() {
            self.received.shrink_to(READ_LEN);
        }
        Ok(is_held_up)
    }

    fn take_query(&mut self, start: usize, end: usize) {
        self.queries += 1;
        self.heard = Instant::now();
        let query = self.received.get(start..end).unwrap_or_default();
        let at = self.unsent.len();
        self.unsent.extend_from_slice(&[0; PREFIX_LEN]);
        let shared = &self.shared;
        let now = shared.clock.now();
        let outcome = shared
            .service
            .handle(now, &self.peer, query, &mut self.unsent);
        match outcome {
            Outcome::Replied => {}
            Outcome::Ignored => self.unsent.truncate(at),
            Outcome::Transfer(transfer) => self.transfers.push_back(transfer),
            Outcome::Forward(forwarding) => {
                if let Some(begun) = shared.forwards.begin(forwarding, &mut self.unsent) {
                    self.forwards.spawn(async move {
                        let mut reply = Vec::new();
                        begun.finish(&mut reply).await;
                        (reply, begun)
                    });
                }
            }
        }
        self.prefix(at);
    }

    /// Makes the next message of a zone: one, so that no more than the client takes is in memory.
    fn transfer(&mut self) {
        let Some(mut transfer) = self.transfers.pop_front() else {
            return;
        };
        let mut message = Vec::new();
        if transfer.next_message(&mut message) {
            self.transfers.push_front(transfer);
            self.push(&message);
        } else {
            self.tell_transfer(&transfer, true);
        }
    }

    fn tell_transfer(&self, transfer: &Transfer, is_complete: bool) {
        self.shared.service.tell_with(|| {
            Event::Transferred(Transferred {
                peer: self.peer,
                origin: transfer.origin().to_name(),
                serial: transfer.serial(),
                is_complete,
            })
        });
    }

    /// Appends a response.
    fn push(&mut self, reply: &[u8]) {
        let at = self.unsent.len();
        self.unsent.extend_from_slice(&[0; PREFIX_LEN]);
        self.unsent.extend_from_slice(reply);
        self.prefix(at);
    }

    /// Writes the length of the response whose prefix is there; takes an empty one back.
    fn prefix(&mut self, at: usize) {
        if at == 0 {
            // Nothing was to be taken before.
            self.taken = Instant::now();
        }
        let len = self.unsent.len().saturating_sub(at + PREFIX_LEN);
        match (u16::try_from(len), self.unsent.get_mut(at..at + PREFIX_LEN)) {
            (Ok(1..), Some(prefix)) => prefix.copy_from_slice(&(len as u16).to_be_bytes()),
            _ => self.unsent.truncate(at),
        }
    }

    /// Sends what the client takes now.
    fn send(&mut self) -> Result<(), End> {
        while let Some(rest @ [_, ..]) = self.unsent.get(self.sent..) {
            match self.stream.try_write(rest) {
                Ok(sent) => {
                    self.sent += sent;
                    self.bytes_sent += sent as u64;
                    self.taken = Instant::now();
                    self.heard = self.taken;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent.drain(..self.sent);
                    self.sent = 0;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent.clear();
        self.unsent.shrink_to(READ_LEN);
        self.sent = 0;
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for transfer in &self.transfers {
            self.tell_transfer(transfer, false);
        }
        let (peer, queries, bytes_sent) = (self.peer, self.queries, self.bytes_sent);
        let open = self.opened.elapsed();
        self.shared.tell(&Event::TcpClosed(TcpClosed {
            peer,
            queries,
            bytes_sent,
            open,
        }));
    }
}

/// Resolves at this time, if there is one.
async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}
