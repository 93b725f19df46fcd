//! The table of requests and transfers, and the ways to find one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use pxe_core::{Instant, SocketId};

use crate::config::Config;
use crate::event::{Filename, Peer, TransferId};
use crate::flow::Flow;
use crate::negotiate::Mode;

/// A request, from its arrival to the end of its transfer.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) peer: Peer,
    /// Where the request came in.
    pub(crate) listener: SocketId,
    /// The whole request: another one is a repetition only if it is the same.
    pub(crate) request: Bytes,
    pub(crate) filename: Filename,
    pub(crate) mode: Mode,
    pub(crate) received_at: Instant,
    pub(crate) config: Arc<Config>,
    pub(crate) state: State,
    /// What its window may hold beyond its share, in octets.
    pub(crate) borrowed_bytes: usize,
    /// Whether it stands in the queue of those that have something to send.
    pub(crate) queued: bool,
    /// Its entry among the table's unanswered: since its first packet was sent.
    unanswered: Option<Instant>,
    /// Its entry in the table's timers: no later than its deadline.
    armed: Option<Instant>,
}

/// What is awaited of whom.
#[derive(Debug)]
pub(crate) enum State {
    /// The driver looks for the file.
    Asking,
    /// The driver opens a socket.
    Opening(Box<Flow>),
    /// Blocks go out, acknowledgments come in.
    Running {
        socket: SocketId,
        /// The socket is this transfer's own, and to be closed after it.
        owned: bool,
        flow: Box<Flow>,
    },
}

impl Transfer {
    pub(crate) const fn new(
        peer: Peer,
        listener: SocketId,
        request: Bytes,
        filename: Filename,
        mode: Mode,
        received_at: Instant,
        config: Arc<Config>,
    ) -> Self {
        Self {
            peer,
            listener,
            request,
            filename,
            mode,
            received_at,
            config,
            state: State::Asking,
            borrowed_bytes: 0,
            queued: false,
            unanswered: None,
            armed: None,
        }
    }

    /// When something is to be done if nothing happens before.
    pub(crate) fn deadline(&self) -> Instant {
        match &self.state {
            State::Asking | State::Opening(_) => {
                self.received_at + self.config.limits.accept_timeout
            }
            State::Running { flow, .. } => flow.deadline(),
        }
    }

    pub(crate) fn flow_mut(&mut self) -> Option<&mut Flow> {
        match &mut self.state {
            State::Asking => None,
            State::Opening(flow) | State::Running { flow, .. } => Some(flow),
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    /// How often the slot was used: an old number finds nothing.
    generation: u32,
    transfer: Option<Box<Transfer>>,
}

/// All transfers, by number, by client, by socket and by time.
///
/// Ordered maps throughout: they need no random seed against chosen collisions, and whatever is
/// read from them in order is the same in every run.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_request: BTreeMap<(SocketAddr, SocketId), TransferId>,
    by_socket: BTreeMap<SocketId, TransferId>,
    by_ip: BTreeMap<IpAddr, usize>,
    timers: BTreeSet<(Instant, TransferId)>,
    /// Those whose first packet was sent and not acknowledged, by the time since.
    unanswered: BTreeSet<(Instant, TransferId)>,
    /// How many are in [`State::Asking`].
    asking: usize,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) const fn asking(&self) -> usize {
        self.asking
    }

    pub(crate) fn with_ip(&self, ip: IpAddr) -> usize {
        self.by_ip.get(&ip).copied().unwrap_or(0)
    }

    pub(crate) fn ids(&self) -> Vec<TransferId> {
        self.by_request.values().copied().collect()
    }

    pub(crate) fn insert(&mut self, transfer: Transfer) -> TransferId {
        debug_assert!(matches!(transfer.state, State::Asking));
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        let id = TransferId(u64::from(slot.generation) << 32 | u64::from(index));
        let remote = transfer.peer.remote;
        self.by_request.insert((remote, transfer.listener), id);
        *self.by_ip.entry(remote.ip()).or_default() += 1;
        self.asking += 1;
        slot.transfer = Some(Box::new(transfer));
        id
    }

    pub(crate) fn get(&self, id: TransferId) -> Option<&Transfer> {
        let slot = self.slots.get((id.0 & u64::from(u32::MAX)) as usize)?;
        if u64::from(slot.generation) != id.0 >> 32 {
            return None;
        }
        slot.transfer.as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: TransferId) -> Option<&mut Transfer> {
        let slot = self.slots.get_mut((id.0 & u64::from(u32::MAX)) as usize)?;
        if u64::from(slot.generation) != id.0 >> 32 {
            return None;
        }
        slot.transfer.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, id: TransferId) -> Option<Transfer> {
        self.get_mut(id)?;
        let index = (id.0 & u64::from(u32::MAX)) as u32;
        let slot = self.slots.get_mut(index as usize)?;
        let transfer = slot.transfer.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        let remote = transfer.peer.remote;
        self.by_request.remove(&(remote, transfer.listener));
        if let Some(count) = self.by_ip.get_mut(&remote.ip()) {
            *count -= 1;
            if *count == 0 {
                self.by_ip.remove(&remote.ip());
            }
        }
        match &transfer.state {
            State::Asking => self.asking -= 1,
            State::Running {
                socket,
                owned: true,
                ..
            } => {
                self.by_socket.remove(socket);
            }
            State::Opening(_) | State::Running { owned: false, .. } => {}
        }
        if let Some(at) = transfer.armed {
            self.timers.remove(&(at, id));
        }
        if let Some(since) = transfer.unanswered {
            self.unanswered.remove(&(since, id));
        }
        Some(*transfer)
    }

    /// Leaves [`State::Asking`]; `false` if it was left before.
    pub(crate) fn accept(&mut self, id: TransferId, flow: Flow, single_port: bool) -> bool {
        let Some(transfer) = self.get_mut(id) else {
            return false;
        };
        if !matches!(transfer.state, State::Asking) {
            return false;
        }
        let flow = Box::new(flow);
        transfer.state = if single_port {
            State::Running {
                socket: transfer.listener,
                owned: false,
                flow,
            }
        } else {
            State::Opening(flow)
        };
        self.asking -= 1;
        true
    }

    /// Gives a transfer in [`State::Opening`] its socket; `false` if it is in another state, or
    /// the socket is another transfer's.
    pub(crate) fn open(&mut self, id: TransferId, socket: SocketId) -> bool {
        if self.by_socket.contains_key(&socket) {
            return false;
        }
        let Some(transfer) = self.get_mut(id) else {
            return false;
        };
        match std::mem::replace(&mut transfer.state, State::Asking) {
            State::Opening(flow) => {
                transfer.state = State::Running {
                    socket,
                    owned: true,
                    flow,
                };
                self.by_socket.insert(socket, id);
                true
            }
            other => {
                transfer.state = other;
                false
            }
        }
    }

    /// The transfer whose own socket this is.
    pub(crate) fn of_socket(&self, socket: SocketId) -> Option<TransferId> {
        self.by_socket.get(&socket).copied()
    }

    /// The transfer that this client asked for on this listening socket.
    pub(crate) fn of_request(&self, remote: SocketAddr, listener: SocketId) -> Option<TransferId> {
        self.by_request.get(&(remote, listener)).copied()
    }

    /// The transfers of this client, on all listening sockets.
    pub(crate) fn of_remote(&self, remote: SocketAddr) -> Vec<TransferId> {
        let range = (remote, SocketId(0))..=(remote, SocketId(u32::MAX));
        self.by_request.range(range).map(|(_, id)| *id).collect()
    }

    /// The first packet of a transfer has been sent, maybe again.
    pub(crate) fn greeted(&mut self, now: Instant, id: TransferId) {
        if let Some(transfer) = self.get_mut(id)
            && transfer.unanswered.is_none()
        {
            transfer.unanswered = Some(now);
            self.unanswered.insert((now, id));
        }
    }

    /// A transfer's packet was acknowledged.
    pub(crate) fn answered(&mut self, id: TransferId) {
        if let Some(since) = self
            .get_mut(id)
            .and_then(|transfer| transfer.unanswered.take())
        {
            self.unanswered.remove(&(since, id));
        }
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// The transfer whose first packet has not been acknowledged for longest, or that comes so many
    /// after it.
    pub(crate) fn unanswered_at(&self, rank: usize) -> Option<(Instant, TransferId)> {
        self.unanswered.iter().nth(rank).copied()
    }

    /// The same, of those with this address.
    pub(crate) fn longest_unanswered_of(&self, ip: IpAddr) -> Option<(Instant, TransferId)> {
        let first = (SocketAddr::new(ip, 0), SocketId(0));
        self.by_request
            .range(first..)
            .take_while(|((remote, _), _)| remote.ip() == ip)
            .filter_map(|(_, &id)| Some((self.get(id)?.unanswered?, id)))
            .min()
    }

    /// Sees to it that a timer goes off at the transfer's deadline, or before.
    ///
    /// Before is good enough: lock-step transfers put off their deadline with every block, and the
    /// timers need not be touched for that.
    pub(crate) fn arm(&mut self, id: TransferId) {
        let Some(transfer) = self.get_mut(id) else {
            return;
        };
        let deadline = transfer.deadline();
        match transfer.armed {
            Some(armed) if armed <= deadline => {}
            armed => {
                transfer.armed = Some(deadline);
                if let Some(armed) = armed {
                    self.timers.remove(&(armed, id));
                }
                self.timers.insert((deadline, id));
            }
        }
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes the next timer that has gone off.
    pub(crate) fn pop_timer(&mut self, now: Instant) -> Option<TransferId> {
        self.timers.first().filter(|(at, _)| *at <= now)?;
        let (_, id) = self.timers.pop_first()?;
        if let Some(transfer) = self.get_mut(id) {
            transfer.armed = None;
        }
        Some(id)
    }
}
